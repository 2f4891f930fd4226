/*
 * grpo_prompts.h - what is asked next: first tries at tasks in an order by seed, each once before
 * any comes again, and among them a share of repairs from the curriculum (src/curriculum.h).
 *
 * The k-th prompt of a run, from 0, is a repair when floor((k + 1) share) > floor(k share); where
 * the curriculum has nothing to repair it is the order's next. Repairs are drawn once a step, by
 * seed and step, from what the curriculum knows then: the run's own answers of all steps before,
 * and with @mine the newest turns that the store had when the run began. Tasks that are held out
 * are counted there and never drawn.
 *
 * All of it is a function of settings, the number of prompts taken, and the store's rows of earlier
 * steps, so that a run that was killed asks what the unbroken one asks: grpo_prompts_state() is
 * what has to be kept.
 */
#ifndef SRC_GRPO_PROMPTS_H
#define SRC_GRPO_PROMPTS_H

#include "src/curriculum.h"
#include "src/grpo.h"
#include "src/grpo_budget.h"

struct grpo_prompt {
	const struct task *task;
	cJSON *messages; /* the caller's to delete */
	bool repair;
	enum build_class class; /* of what is repaired; CLASS_COUNT: a first try */
	int64_t episode;        /* and which turn that is; 0: a first try */
	int turn;
	char why[200]; /* of a repair: the curriculum's words */
};

struct grpo_prompts;
/* The tasks. @b: measures; its @longest gets the longest first try's tokens. Prompts that leave
 * less than a quarter of the context for the answer are left out; ERR_INPUT when none is left. @o
 * is borrowed. */
struct grpo_prompts *grpo_prompts_open(const struct grpo_options *o, struct grpo_budget *b,
                                       struct err *e);
/* Where it stands. @state: of grpo_prompts_state() at the checkpoint, NULL for a new run; @step:
 * its step. */
int grpo_prompts_begin(struct grpo_prompts *p, const cJSON *state, int64_t step, struct err *e);
void grpo_prompts_close(struct grpo_prompts *p); /* NULL is fine */

/* Begins a step in which @most prompts are drawn at most, answers of @tokens each. -1: ERR_MEM, or
 * the store cannot be read. */
int grpo_prompts_step(struct grpo_prompts *p, int64_t step, int most, int tokens, struct err *e);
int grpo_prompts_next(struct grpo_prompts *p, struct grpo_prompt *out, struct err *e);
/* The rows of @step are in the store: they are counted. */
int grpo_prompts_feed(struct grpo_prompts *p, int64_t run, int64_t step, struct err *e);

void grpo_prompts_look(const struct grpo_prompts *p, struct curriculum_state *out);
cJSON *grpo_prompts_state(const struct grpo_prompts *p); /* the caller's to delete */
/* What was left out since the last call, a sentence, or "". */
const char *grpo_prompts_left_out(struct grpo_prompts *p);

/* 64 bits from a seed and two numbers (SplitMix64's finalizer over each). */
uint64_t grpo_seed(uint64_t seed, uint64_t a, uint64_t b);

#endif
