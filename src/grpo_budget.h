/*
 * grpo_budget.h - how long prompts and answers are, in the model's own tokens, and from that how
 * many an answer may have: enough that nothing is cut off. The published adaptive run failed on
 * that: its budget ended all of 120 answers before their end.
 *
 * The budget is one and a half times the longest answer that is known of this model, rounded up:
 *     what its folder says (cadforge.json, "answer_tokens": the longest it was trained on),
 *     the rows that its adapter was trained on (train.jsonl beside the adapter's checkpoint),
 *     its answers in the store that built and ended by themselves, when there are 64 or more.
 * Where nothing is known it is 8192, which was enough for the published one. It is bounded by what
 * the context leaves beside the longest prompt; a repair also quotes a program. A guard enlarges it
 * by half when answers are cut off (src/grpo.c), but not when those that end have at most half of
 * it: then the others have no end at all.
 */
#ifndef SRC_GRPO_BUDGET_H
#define SRC_GRPO_BUDGET_H

#include "gpu/chat.h"
#include "gpu/model.h"
#include "src/model_flags.h"
#include "src/store.h"

struct grpo_budget {
	struct tokenizer *tokenizer;
	struct model_config config;
	double parameters;
	enum chat_thinking thinking;
	bool thinks; /* by default */
	int context; /* tokens of prompt and answer */
	int longest; /* prompt that was measured and is used */
	/* what was found */
	int known;       /* tokens of the longest known answer; 0: none is */
	char where[120]; /* of it, for people */
};

/* @model: a folder; ERR_INPUT says what a folder is wanted for, and what is wrong with it. @context
 * 0: the model's, at most 32768. */
int grpo_budget_open(struct grpo_budget *b, const char *model, enum chat_thinking thinking,
                     int context, struct err *e);
void grpo_budget_close(struct grpo_budget *b); /* safe on {0} and twice */

/* Tokens of a prompt as it is sent, or -1. */
int grpo_budget_prompt(const struct grpo_budget *b, const cJSON *messages, struct err *e);

/* Tokens of the longest answer in a file of chat JSON lines, what ends it included; 0: it cannot be
 * read, or has none. */
int grpo_budget_rows(const struct tokenizer *t, const char *file);

/* Looks for the longest known answer of @m; @store may be NULL. What cannot be read is passed over.
 */
void grpo_budget_look(struct grpo_budget *b, const struct model_flags *m, struct store *store);
/* How many tokens an answer may have. @prompt: of the longest prompt; @repairs: answers, or prompts
 * of the curriculum, are repaired. */
int grpo_budget_answer(const struct grpo_budget *b, int prompt, bool repairs);
/* The most that could be given. */
int grpo_budget_room(const struct grpo_budget *b, int prompt, bool repairs);

#endif
