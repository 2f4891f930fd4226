/*
 * stages.h - long work done by one command, stage by stage, in a folder of its own: what is done
 * is not done again, what was interrupted goes on.
 *
 * OUT/recipe.json has the values that shape the result, OUT/STAGE.json the figures of a stage: it
 * is there when the stage is done. A stage takes care itself that it goes on where it was.
 */
#ifndef SRC_STAGES_H
#define SRC_STAGES_H

#include <cjson/cJSON.h>

#include "src/app.h"
#include "src/base/buf.h"
#include "src/store.h"

/* A value of the recipe: a double in the caller's struct. */
struct stage_setting {
	const char *name;
	size_t at; /* of the double in that struct */
	double usual, min, max;
	bool whole;
	int stage; /* the first that it changes */
	const char *what;
};

/* What stages are there; const. */
struct stages_plan {
	const char *verb; /* "train demo" */
	const char *const *name;
	int (*const *make)(void *ctx, cJSON *figures, struct err *e);
	int n;
	const struct stage_setting *setting;
	int settings;
};

struct stages {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	const struct stages_plan *plan;
	void *recipe; /* the struct of the settings */
	void *ctx;    /* of plan->make */
	char out[4096];
	int again, until; /* made anew from here on (plan->n: none is), no further than */
	struct buf given; /* names of values that were given, commas between */
	double told;      /* the last line of progress */
};

/* The recipe gets what is usual; @again, @until: all of it, once. */
void stages_begin(struct stages *s, const struct app *app, const struct stages_plan *plan,
                  void *recipe, void *ctx);
/* "NAME=VALUE" for the recipe; ERR_USAGE says what there is. */
int stages_set(struct stages *s, const char *text, struct err *e);
void stages_given(struct stages *s, const char *name); /* was given in another way */

/* Makes the folder, reads its recipe or begins one. What was given must agree with the stages that
 * are done already (ERR_USAGE); what was not is as it is there. Stages from s->again on are
 * forgotten. */
int stages_open(struct stages *s, struct err *e);
void stages_close(struct stages *s);
bool stages_done(const struct stages *s, int stage);
/* All up to s->until that are not done. ERR_CANCELLED when it was interrupted: called again it goes
 * on. */
int stages_make(struct stages *s, struct err *e);

/* " --set NAME=VALUE" of each that is not the usual. */
void stages_print_set(struct buf *out, const struct stages *s);

/* ---- the folder ---- */

/* "OUT/NAME" */
void stages_path(const struct stages *s, char *out, size_t size, const char *name);
cJSON *stages_read(const struct stages *s, const char *name, struct err *e); /* as JSON */
int stages_write(const struct stages *s, const char *name, const cJSON *o, struct err *e);
/* Removes OUT/NAME, a file or a folder with all that is in it. */
int stages_remove(const struct stages *s, const char *name, struct err *e);
/* A line on standard error; with @often at most every 5 s. */
void stages_say(struct stages *s, bool often, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- flags: --out, --stage, --until, --seed, --set ---- */

enum stages_flag {
	STAGES_OUT = 12000,
	STAGES_STAGE,
	STAGES_UNTIL,
	STAGES_SEED,
	STAGES_SET,
};
/* clang-format off */
#define STAGES_LONG_OPTIONS \
	{ "out", required_argument, NULL, STAGES_OUT }, \
	{ "stage", required_argument, NULL, STAGES_STAGE }, \
	{ "until", required_argument, NULL, STAGES_UNTIL }, \
	{ "seed", required_argument, NULL, STAGES_SEED }, \
	{ "set", required_argument, NULL, STAGES_SET }
/* clang-format on */
#define STAGES_HELP                                                                                \
	"  --seed N          of all that is drawn (3407)\n"                                        \
	"  --stage S         make S anew, and what comes after it\n"                               \
	"  --until S         no further than S\n"                                                  \
	"  --set NAME=VALUE  another value of the recipe; may be repeated\n"
/* 1: done; 0: not one of ours; -1: wrong value, told on stderr. */
int stages_flag(struct stages *s, int opt, const char *arg);
/* "\nThe recipe:\n" and a line a value, on stdout. */
void stages_print_recipe(const struct stages_plan *plan);

/* ---- a training as (part of) a stage ---- */

struct stage_training {
	int64_t run, steps;
	double loss, eval_loss, tokens, seconds, tokens_per_s; /* of steps of this part of it */
	char checkpoint[4096];
};
/* A training to its end, in OUT/NAME-run, what it told in OUT/NAME-events.jsonl; goes on with the
 * one that is there. @settings: gpu/training.h, whose out is that folder. @kind: of the run in
 * @store, which may be NULL: then it is always begun anew. */
int stages_train(struct stages *s, struct store *store, const char *kind, const char *name,
                 const cJSON *settings, struct stage_training *out, struct err *e);
/* {run, steps, loss, eval_loss, tokens_per_s, settings} */
void stages_training_figures(cJSON *o, const struct stage_training *t, const cJSON *settings);

#endif
