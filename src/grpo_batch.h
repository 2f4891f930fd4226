/*
 * grpo_batch.h - the answers of one step of reinforcement learning: gathered as they end, in
 * groups; what they earned, what of them is learnt from, and the figures of the step. Data alone:
 * no files, no processes.
 *
 * Answers end in any order; once a group is over they stand by turn and member, and groups by
 * number, so that what is learnt does not depend on who was first.
 */
#ifndef SRC_GRPO_BATCH_H
#define SRC_GRPO_BATCH_H

#include "gpu/policy.h"
#include "src/grpo.h"
#include "src/grpo_prompts.h"
#include "src/rollouts.h"

struct batch_answer {
	struct grpo_answer a;
	int32_t *id;
	float *logp; /* NULL: not known */
	int n;
	cJSON *messages; /* its prompt; NULL: the group's */
	double total, entropy;
	enum build_class class;
	int64_t episode, turn_id; /* 0: it is not stored */
	int number;
	double generate_s, score_s;
};

struct batch_group {
	int number; /* in the step, from 0 */
	struct grpo_prompt prompt;
	struct batch_answer *v;
	int n, cap;
	int parts;     /* of it that are under way with src/rollouts.h */
	int members;   /* that were asked for, those asked for again included */
	bool over;     /* its figures are known */
	bool replaced; /* it teaches nothing, and another was drawn */
	struct grpo_group_figures f;
};

struct grpo_batch {
	const struct grpo_settings *s; /* borrowed */
	struct batch_group **group;
	int n;
	struct err why; /* of the first answer that was lost; kind 0: none was */
	bool no_tokens; /* an answer came without its tokens */
};

void grpo_batch_begin(struct grpo_batch *b, const struct grpo_settings *s);
void grpo_batch_release(struct grpo_batch *b); /* safe on {0} and twice */

/* A group more; @p is its own from now on. NULL: out of memory. */
struct batch_group *grpo_batch_group(struct grpo_batch *b, const struct grpo_prompt *p);
/* An answer to it. @base: what is added to its member's number. -1: out of memory. */
int grpo_batch_take(struct grpo_batch *b, struct batch_group *g, int base, const struct rollout *r,
                    struct err *e);
/* First tries of the group that nobody scored. */
int grpo_batch_lost(const struct batch_group *g);
/* Nothing more comes: advantages and figures. */
void grpo_batch_over(struct grpo_batch *b, struct batch_group *g);

/* When all groups are over: what is to be learnt, by group, turn, member; borrowed texts and ids.
 * The caller frees *@out; how many, or -1 (out of memory). */
int grpo_batch_samples(const struct grpo_batch *b, struct policy_sample **out);
/* What is stored of them. */
int grpo_batch_rows(const struct grpo_batch *b, int64_t step, struct store_rollout **out);
void grpo_batch_figures(const struct grpo_batch *b, int64_t step, struct grpo_step_figures *out);
/* Tokens of the longest answer that ended by itself; 0: none did. */
int grpo_batch_ended(const struct grpo_batch *b);
/* Into the data of the step (src/grpo.h), as far as answers say it. */
void grpo_batch_json(const struct grpo_batch *b, const struct grpo_step_figures *f, cJSON *data);

#endif
