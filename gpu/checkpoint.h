/*
 * checkpoint.h - a run's state on disk, such that a crash at any moment leaves the older one whole.
 *
 *   RUN/checkpoint-000400/   adapter_config.json and adapter_model.safetensors, or a model's folder
 *                            with its tokenizer: to be used as they are
 *       state.safetensors    value.NAME, moment1.NAME, moment2.NAME of every parameter, F32
 *       state.json           {format, step, ...}: what the run wants to know when it goes on
 *
 * Written as RUN/.checkpoint-000400.partial, every file and the folder synced, then renamed, and
 * RUN synced. Only then those beyond @keep go, by a rename to a name with a dot first. What begins
 * with ".checkpoint-" is what a crash left, and is removed by the next writing.
 */
#ifndef GPU_CHECKPOINT_H
#define GPU_CHECKPOINT_H

#include <cjson/cJSON.h>

#include "gpu/train.h"

struct checkpoint_options {
	const char *run_dir;       /* is there */
	const char *tokenizer_dir; /* full training; NULL: none is copied */
	const char *base_name;     /* LoRA: base_model_name_or_path */
	enum dtype dtype;          /* of what is to be used as it is: F32 or BF16 */
	int keep;                  /* >= 1 */
};

struct checkpoint_written {
	char *dir; /* to be freed */
	uint64_t bytes;
};

/* @state: what goes into state.json beside format and step; borrowed. -1 leaves RUN as it was but
 * for what a crash had left (ERR_IO: the disk is full, ...; ERR_MEM; ERR_INPUT: a value or moment
 * is no finite number, from which nothing can go on). */
int checkpoint_write(struct trainer *t, const struct checkpoint_options *o, int64_t step,
                     const cJSON *state, struct checkpoint_written *out, struct err *e);

/* What is to be used as it is alone, as RUN/policy/000012 of step 12: whole or not at all. Of older
 * ones the newest @o->keep - 1 stay, of a later step none. *dir (to be freed) is where it is. */
int checkpoint_policy(struct trainer *t, const struct checkpoint_options *o, int64_t step,
                      char **dir, struct err *e);
/* All of them but the newest @keep go: room on a full disk. How many went. */
int checkpoint_drop_policies(const char *run_dir, int keep);

/* The newest whole checkpoint: its folder (to be freed) and step. 0; 1: there is none; -1 with @e:
 * RUN cannot be read, or there are some and not one is whole. @passed_over (may be NULL): why a
 * newer one was, kind 0 when none. */
int checkpoint_newest(const char *run_dir, char **dir, int64_t *step, struct err *passed_over,
                      struct err *e);
/* All but the newest whole one are removed: room on a full disk. How many went. */
int checkpoint_drop_older(const char *run_dir);

/* state.json alone; the caller's to delete. */
cJSON *checkpoint_state(const char *dir, struct err *e);
/* Values and moments into @t. ERR_INPUT when names or shapes differ, with the first that does. */
int checkpoint_read(struct trainer *t, const char *dir, struct err *e);

#endif
