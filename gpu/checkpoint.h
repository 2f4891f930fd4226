/*
 * checkpoint.h - a run's state on disk, such that a crash at any moment leaves the older one whole.
 *
 *   DIR/checkpoint-000400/   adapter_*.{json,safetensors}, or a model's folder: usable by
 * themselves state.safetensors    values, first and second moments by parameter name, F32
 *       state.json           {format, step, settings hash, data hash, tokens, losses' tail, rng}
 * Written as .checkpoint-000400.partial, every file and the folder synced, then renamed. Older ones
 * beyond @keep are removed only then.
 */
#ifndef GPU_CHECKPOINT_H
#define GPU_CHECKPOINT_H

#include <cjson/cJSON.h>

#include "gpu/train.h"

/* @state: what goes into state.json beside the step; borrowed. @tokenizer_dir: full training. */
int checkpoint_write(struct trainer *t, const char *run_dir, int64_t step, const cJSON *state,
                     const char *tokenizer_dir, const char *base_name, int keep, struct err *e);
/* The newest whole checkpoint: its folder (to be freed) and step; 0 found, 1 none, -1 with @e. */
int checkpoint_newest(const char *run_dir, char **dir, int64_t *step, struct err *e);
/* Values and moments into @t, state.json into @state (caller's to delete). ERR_INPUT when names or
 * shapes differ, with the first that does. */
int checkpoint_read(struct trainer *t, const char *dir, cJSON **state, struct err *e);

#endif
