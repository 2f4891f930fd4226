/*
 * evaluation.h - what a model can do, counted: tasks x seeds, each answered in one turn or in
 * several, built and scored, with intervals; and two of them beside one another.
 *
 * An *item* is one task under one seed: an episode of its own, whose turns go on from each other
 * until one is enough or the turns are used up. An *arm* is who answers: a model, with adapters or
 * without. An evaluation of one arm is a run of the store, kind "eval"; several arms over the same
 * items are several runs, which are compared pair by pair.
 *
 * A run's settings are {"arm", "model", "model_hash", "adapters": [{"folder", "scale", "hash"}],
 * "sampling", "profile", "profile_hash", "reference", "prompts", "prompts_hash", "seeds", "seed",
 * "turns", "enough", "max_tokens", "tasks": [{"task", "pack", "hash", "level", "diagonal_mm"}],
 * "set": hash of tasks and seeds, and what @about has}. What is stored is not done again:
 * evaluation_run() takes the newest run that has these settings, and goes on with it where it was
 * not done.
 *
 * When an item is over its turns become rollouts of the run (kind "eval", step 0; group: number of
 * the task from 0, member: the seed from 1, round: the turn) and a step of kind "eval" (step: the
 * item's number from 1; tokens, seconds; data {"task", "member", "episode", "generate_s",
 * "score_s", "wall_s": since the item before it}) with them, in one transaction. An item that has
 * no such rows was not finished, and counts for nothing.
 *
 * Figures are over items, of an item's best turn (the highest total), but for what says "first":
 * of its first. An answer that was lost (nobody measured it) is left out and counted.
 * Intervals are of 95 %, percentile bootstrap over tasks (src/statistics.h): seeds of one task are
 * no draws of their own; of a share that is 0 or 1, where resampling tells nothing, Wilson's over
 * tasks. All are recomputed from the store's rows.
 */
#ifndef SRC_EVALUATION_H
#define SRC_EVALUATION_H

#include "engine/engine.h"
#include "engine/prompts.h"
#include "engine/task.h"
#include "src/app.h"
#include "src/model_flags.h"
#include "src/statistics.h"
#include "src/store.h"

enum { EVALUATION_KS = 4, EVALUATION_ARMS_MAX = 6, EVALUATION_SEEDS_MAX = 256 };

/* ---- doing it ---- */

struct evaluation_item {                /* one task under one seed */
	int task;                       /* of struct evaluation */
	int seed;                       /* from 1 */
	int turns;                      /* answered and scored; 0: lost */
	bool first_built, built, valid; /* valid: one or more solids, closed and valid */
	double first, total;            /* of the first turn, of the best; NAN: none */
	enum build_class first_class, cls;
	double iou;        /* volumetric, against the task's reference; NAN: not measured */
	double chamfer_mm; /* NAN: not measured */
	bool clipped;      /* the best turn's answer has no end */
	int64_t tokens;    /* of all its answers; -1: not known */
	double generate_s, score_s;
	int64_t episode;
	int best; /* number of its best turn in the episode */
};

struct evaluation_options {
	const struct app *app;           /* after app_find() and app_catch_interrupt() */
	struct store *store;             /* required */
	const char *arm;                 /* its name in tables */
	const struct model_flags *model; /* who answers, and how it is sampled; borrowed */
	const struct task *const *task;  /* borrowed */
	int n_tasks;
	const struct prompt_set *prompts;
	const char *profile;   /* as scoring_options; NULL: "exact" */
	const char *reference; /* as scoring_options */
	int seeds, turns;      /* at least 1 */
	double enough;         /* a chain ends with such a total; 0.92 is usual; NAN: never */
	uint64_t seed;         /* of all draws */
	int max_tokens, slots; /* src/rollouts.h */
	bool light;            /* no shapes and pictures are kept */
	const cJSON *about;    /* more for the run's settings, or NULL; "kind" and so on */
	bool anew;             /* a new run whatever is there */
	void *ctx;
	/* Each item when it is stored; @done of @all items, those of an earlier part included. Not
	 * 0: stop. May be NULL */
	int (*item)(void *ctx, const struct evaluation_item *i, const struct task *task, int done,
	            int all);
};
/* Blocks. 0 with *@run; -1 with @e (and *@run, 0: none was begun): ERR_CANCELLED when it was
 * interrupted or item() said stop: called again it goes on. ERR_USAGE: several seeds at temperature
 * 0, which all give the same. */
int evaluation_run(const struct evaluation_options *o, int64_t *run, struct err *e);

/* ---- what came of it ---- */

struct evaluation_task {
	char id[TASK_ID_MAX + 1], hash[SHA256_HEX];
	enum task_level level;
	double diagonal_mm; /* of the asked box */
	int items, first_built, built, right, valid;
	double mean, best;      /* of totals; NAN: none */
	double iou, chamfer_mm; /* means */
};

struct evaluation_figures {
	int items, tasks, lost, clipped, right, first_right;
	struct interval build_rate, first_rate; /* of items: the best turn, the first */
	struct interval invalid;                /* share of items without a valid solid */
	struct interval reward, first_reward, median_reward;
	double best;                             /* total; NAN */
	int k[EVALUATION_KS], n_k;               /* 1, 2, 4, ... as far as there are seeds */
	struct interval built_at[EVALUATION_KS]; /* at least one of k first answers builds, */
	struct interval pass_at[EVALUATION_KS];  /* at least one is right: total >= @right_from */
	double right_from;
	struct interval iou, iou_median; /* of those measured, */
	struct interval iou_all;         /* and of all, where nothing is measured 0 */
	struct interval chamfer_mm, chamfer_median_mm;
	struct interval chamfer_share; /* of the asked box's diagonal, mean */
	int first_class[CLASS_COUNT], cls[CLASS_COUNT];
	double tokens, generate_s, score_s; /* in all; NAN: not known */
	double seconds;                     /* that it was worked on, by the clock */
};

struct evaluation {
	int64_t run, started_us, ended_us; /* ended 0: it has not */
	char arm[64], profile[64], prompts[64], outcome[32];
	cJSON *settings;
	struct evaluation_task *task;
	int n_tasks, seeds, turns, expected; /* expected: items when all are done */
	struct evaluation_item *item;        /* by task and seed */
	int n;
	struct evaluation_figures f;
};
/* From the store. ERR_INPUT: no such run, or one that is no evaluation. */
int evaluation_read(struct evaluation *out, struct store *s, int64_t run, struct err *e);
void evaluation_release(struct evaluation *v); /* safe on {0} and twice */

/* ---- two beside one another, over the items that both have ---- */

struct evaluation_pair {
	int items, tasks;
	struct paired reward, first_reward; /* b less a; src/statistics.h */
	struct paired build;                /* of build rates, sign flips over tasks */
	int only_a, only_b, both, neither;  /* built by */
	double mcnemar;                     /* p over items, as if each were a draw of its own */
	char limits[600]; /* sentences: what keeps the comparison from meaning more; "" nothing */
};
/* ERR_INPUT, in words: other profiles or references, other numbers of turns, other prompts of a
 * task (its file changed): totals of these do not compare; or there is no item that both have. */
int evaluation_compare(struct evaluation_pair *out, const struct evaluation *a,
                       const struct evaluation *b, struct err *e);

/* The objects of eval --json; the caller's to delete. */
cJSON *evaluation_json(const struct evaluation *v);
cJSON *evaluation_item_json(const struct evaluation *v, const struct evaluation_item *i);
cJSON *evaluation_pair_json(const struct evaluation_pair *p, const struct evaluation *a,
                            const struct evaluation *b);

/* ---- a page: README.md, index.html (one file, pictures in it), *.svg ---- */

/* Of @n runs into @out: new, empty, or an earlier page's. ERR_USAGE: the folder is something else.
 */
int evaluation_page(struct store *s, const int64_t *run, int n, const char *out, struct err *e);

#endif
