/*
 * training_run.h - a training from its settings to its end, watched: every step into the store, a
 * line of progress (or an object an event), answers to held-out prompts as it goes.
 *
 * What it told is stored in stretches, so that a run costs the disk little: at each checkpoint and
 * evaluation, else every 10 seconds. After a kill of this process the store has all but the last
 * stretch; the run goes on from its newest checkpoint, whose steps the store may miss or have twice
 * (store_steps()). A disk that is full for the store does not end the training: the rows wait.
 *
 * Another process may ask: the word "pause", "go on", "checkpoint" or "stop" in the file OUT/ask
 * (training_run_ask()), taken within a second and removed.
 *
 * A new run's row in the store has the settings {"version", "settings": {...}, "samples",
 * "sample_s", and what @about has}.
 */
#ifndef SRC_TRAINING_RUN_H
#define SRC_TRAINING_RUN_H

#include "gpu/training.h"
#include "src/app.h"
#include "src/store.h"

struct training_run_options {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	struct store *store;   /* NULL: nothing is stored */
	const char *kind;      /* of a new run: "sft", "demo-base" */
	const cJSON *settings; /* gpu/training.h; paths absolute */
	const cJSON *about;    /* more for the run's row ("rows": what was dropped), or NULL */
	enum gpu_backend backend;
	int64_t run; /* goes on with this one from its newest checkpoint; 0: a new one */
	/* Answers by the model as it is: at every checkpoint so many of the held-out rows. 0: none.
	 * Made by a process of its own at low priority (cadforge train sample), ended after
	 * @sample_s; of the checkpoints that come while one is at work the newest is next. */
	int samples;
	double sample_s;
	void *ctx;
	/* Each event, after it was taken in; may be NULL. */
	void (*event)(void *ctx, const char *kind, const cJSON *object);
};

struct training_result {
	int64_t run, step, steps;
	double loss, eval_loss; /* of the last step that was told, the last evaluation; NAN */
	double seconds;         /* of this part of the run */
	char outcome[16];       /* "done", "stopped", "failed" */
	char checkpoint[4096];  /* folder of the newest one; "" none */
};

/* Blocks. 0 with @out, whatever the outcome but "failed"; -1 with @e: it could not begin, or it
 * failed (its words), and @out says how far it got. An interruption ends it with a checkpoint:
 * "stopped". */
int training_run(const struct training_run_options *o, struct training_result *out, struct err *e);

/* Asks the training that works in @out. 0; ERR_INPUT when none does, ERR_IO. */
int training_run_ask(const char *out, const char *word, struct err *e);
/* Whether a process trains in @out now (it holds OUT/lock): 1, 0; -1: that cannot be seen from
 * here (no such folder). */
int training_run_alive(const char *out);

#endif
