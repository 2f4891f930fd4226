/*
 * learner.h - what every run that learns has, whatever it learns from: a folder that it alone works
 * in, model and trainer, where it is, and its checkpoints. gpu/train_run.c learns from rows of a
 * file, gpu/policy_run.c from answers with advantages.
 */
#ifndef GPU_LEARNER_H
#define GPU_LEARNER_H

#include "gpu/checkpoint.h"
#include "gpu/tokenizer.h"
#include "gpu/train_settings.h"
#include "src/base/sha256.h"

enum { TRAIN_WANT_CHECKPOINT = 1, TRAIN_WANT_PAUSE = 2, TRAIN_WANT_STOP = 4 };

struct train_run_ops {
	void *ctx;
	const char *program, *device; /* for "ready" */
	struct trainer *(*open)(const struct model *m, const struct train_options *o,
	                        struct err *e);
	/* gpu/training.h, gpu/policy.h: ready, step, checkpoint, note, ...; @object borrowed. */
	void (*event)(void *ctx, const char *kind, const cJSON *object);
	/* What is wanted now; asked between passes, so a stop takes effect within one. @wait: not
	 * before that may have changed. TRAIN_WANT_CHECKPOINT is said once for each wish. */
	unsigned (*wants)(void *ctx, bool wait);
};

struct learner {
	const struct train_settings *s;
	struct train_run_ops ops;
	char *out; /* absolute */
	int lock;  /* OUT/lock, held with flock(): one process at a time works there */
	struct tokenizer *tokenizer;
	struct model model;
	struct adapter from;
	char model_hash[SHA256_HEX], adapter_hash[SHA256_HEX];
	struct trainer *trainer;
	struct schedule schedule; /* the owner's to fill in */
	/* one pass: of learner_open_trainer()'s rows */
	int rows;
	int32_t *id, *label, *start;
	float *coef, *logp;
	/* where it is */
	int64_t step, saved; /* done; of the last checkpoint, -1: none */
	char *saved_dir;
	struct err passed_over;    /* why a newer checkpoint was */
	double save_s, since_save; /* how long one takes; when the last one was done */
	bool slow_told;
};

/* The folder with its lock, model, tokenizer, adapter. @s and @ops' texts are borrowed to the end.
 * ERR_INPUT: what in settings or model; another process works there. After a failure
 * learner_close(). */
int learner_open(struct learner *l, const struct train_settings *s, const struct train_run_ops *ops,
                 struct err *e);
void learner_close(struct learner *l); /* safe on {0} and twice */
/* The trainer, and room for passes of @rows. ERR_MEM as gpu/train.h. */
int learner_open_trainer(struct learner *l, int rows, struct err *e);
const struct trainer_ops *learner_act(const struct learner *l);

/* From the newest whole checkpoint: values, moments, step. 0 with what was kept with it (*state,
 * the caller's to delete); 1: there is none; -1: ERR_INPUT (settings or model do not agree with it;
 * there is one and @resume is false), ERR_IO. */
int learner_begin(struct learner *l, bool resume, cJSON **state, struct err *e);
int learner_write_settings(struct learner *l, struct err *e); /* OUT/settings.json */
/* ERR_INPUT unless @state's @key is @now: setting @what, @path. */
int learner_same_hash(const cJSON *state, const char *key, const char *now, const char *what,
                      const char *path, struct err *e);

void learner_tell(struct learner *l, const char *kind, cJSON *o); /* deletes @o */
void learner_note(struct learner *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* program, pid, backend, device, out, parameters, trainable, resumed_from, memory_bytes. */
cJSON *learner_ready(const struct learner *l);
/* "the checkpoint of step 3 stays" */
void learner_where(const struct learner *l, char out[80]);

/* The rule of @step, with @update as the number that bias correction counts by. */
struct update learner_update(const struct learner *l, int64_t step, int64_t update);

/* A checkpoint of this step unless there is one. @more: what is kept with it beside settings and
 * hashes; borrowed. On the way: a failure is a note, and the run goes on. At the end: -1, since
 * what was learnt is lost. */
void learner_save(struct learner *l, const cJSON *more);
int learner_save_at_the_end(struct learner *l, const cJSON *more, struct err *e);

#endif
