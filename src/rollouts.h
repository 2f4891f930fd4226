/*
 * rollouts.h - many answers at once: drawn from a model, built, scored and stored, each as far as
 * it is. What GRPO learns from and what an evaluation counts.
 *
 * A *group* is one prompt and @members answers to it. With @turns above 1 a member goes on: an
 * answer that is not yet enough is given back to the model with what came of it (engine/repair.h),
 * as a turn that goes on from it, until it is enough or the turns are used up. So a member is a
 * chain of turns, each with its own prompt.
 *
 * Decoding, building and scoring overlap, with no barrier between them: an answer goes to the
 * builder when it ends, its repair to the engine when it is scored, while others are still being
 * written. All groups that were added are asked for at once; how many are decoded together is the
 * engine's matter (gpu_options.slots).
 *
 * Sampling: answer (group, member, turn) has a seed of its own, a function of the group's seed,
 * member and turn alone, so that it does not depend on what else is under way.
 *
 * In the store a group is an episode (or a branch of one), its members siblings, its repairs turns
 * with that parent; each turn is committed when it is scored. An answer that could not be drawn, or
 * that our own machinery lost, is told as lost and never has a total: nothing is learnt from a
 * reward that nobody measured.
 */
#ifndef SRC_ROLLOUTS_H
#define SRC_ROLLOUTS_H

#include "engine/prompts.h"
#include "src/app.h"
#include "src/model_flags.h"
#include "src/scoring.h"
#include "src/store.h"

struct rollout {                 /* one answer; valid while it is told */
	int group, member, turn; /* members and turns from 1 */
	void *user;              /* the group's */
	const struct task *task;
	const cJSON *messages; /* its prompt */
	const int32_t *id;     /* its tokens, the one that ends it included; NULL: not known */
	const float *logp;     /* of each, as it was drawn; NULL: not known */
	int n, prompt_tokens;  /* -1: not known */
	double entropy;        /* mean over its tokens, nats; NAN: not known */
	const char *text;
	size_t text_len;
	bool clipped;                /* it has no end: its budget was used up */
	const struct scored *scored; /* NULL: lost */
	const cJSON *parent; /* the score of the turn that it goes on from; NULL: a first try */
	int64_t episode;
	int number;                 /* of its turn in the episode; 0: it is not stored */
	int64_t turn_id;            /* of its row in the store; 0 */
	double generate_s, score_s; /* decoding, and from its end to its score */
	struct err why;             /* of a lost one */
};

struct rollout_group {
	const struct task *task;
	const cJSON *messages; /* the prompt; NULL: made from @prompts for the task, or for the turn
	                        * that is repaired. Borrowed until the group is over */
	int members;
	int turns;     /* of each; at least 1 */
	double enough; /* a member with this total is done; NAN: never */
	uint64_t seed;
	/* A repair of a turn that is in the store: the group's turns go on from it. 0: a new
	 * episode */
	int64_t episode;
	int parent;
	const cJSON *settings; /* of the episode, or NULL; borrowed until the group is over */
	void *user;
};

struct rollouts_options {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	struct store *store; /* NULL: nothing is stored; then no group can be a repair of a turn */
	int64_t run;
	const char *source;              /* "train", "eval": word of the episodes */
	/* How it is asked for: borrowed, and looked at when a run begins, so that sampling may be
	 * changed between runs. An adapter or a model that was set since goes before its own */
	const struct model_flags *model;
	const struct prompt_set *prompts;
	struct scoring_options scoring; /* its ears are ours */
	int max_tokens;                 /* of an answer; 0: what the context leaves */
	int slots;                      /* answers decoded together; 0: the engine's choice */
	bool light; /* artifacts of a turn: texts, tokens and score alone, no shapes and pictures */
	void *ctx;
	/* Each answer when it is scored and stored, in the order in which they end. */
	void (*done)(void *ctx, const struct rollout *r);
	void (*group_over)(void *ctx, int group, void *user); /* may be NULL */
	/* A dozen times a second; not 0: stop. May be NULL */
	int (*tick)(void *ctx);
	/* Another engine than gpu_open()'s (gpu/door.h), for benches and tests; NULL */
	struct gpu *(*engine)(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
	                      struct err *e);
	void *engine_ctx;
};

struct rollouts;
struct rollouts *rollouts_open(const struct rollouts_options *o, struct err *e);
void rollouts_close(struct rollouts *r); /* NULL is fine */

/* The policy to draw from, from now on: an adapter on the same base (no restart), or a model (the
 * engine is started again). Between runs. */
int rollouts_adapter(struct rollouts *r, const char *dir, struct err *e); /* NULL: the base alone */
int rollouts_model(struct rollouts *r, const char *dir, struct err *e);
void rollouts_budget(struct rollouts *r, int max_tokens); /* from now on */

/* Adds a group; from within done() and group_over() too. Its number, from 0; -1. */
int rollouts_add(struct rollouts *r, const struct rollout_group *g, struct err *e);
/* Until all groups that were added are over. -1: ERR_CANCELLED when tick() said stop (what was
 * under way is dropped), or what keeps all of it from going on (no engine; no builder after three
 * starts). A full store is no such thing: answers are then told with number 0, and a warning once.
 */
int rollouts_run(struct rollouts *r, struct err *e);

/* Figures since the last call, or since it was opened. */
struct rollouts_figures {
	int answers, built, lost, clipped;
	int remembered;    /* of the answers: equal to one that was built before */
	double seconds;    /* of rollouts_run() */
	double decoding_s; /* of them with at least one answer being decoded */
	double waiting_s;  /* of them with none, since builds and scores were waited for */
	int64_t tokens;
};
struct rollouts_figures rollouts_figures(struct rollouts *r);
const cJSON *rollouts_about(struct rollouts *r); /* what the engine said of itself; NULL: not yet */

#endif
