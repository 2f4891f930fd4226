/*
 * export_pairs.h - what was answered to each prompt, and which of two answers is the better one.
 *
 * People's word goes before the reward's: of two answers that somebody set against one another
 * ("over", "level"), or that the same people graded, the judgements decide, and the reward is not
 * asked. Votes of several are added up; as many for as against are level, and level answers make no
 * pair. Else the best by its total is set against each that is worse by the margin.
 */
#ifndef SRC_EXPORT_PAIRS_H
#define SRC_EXPORT_PAIRS_H

#include "src/judging.h"

struct said; /* a prompt, and its answers */

struct said_set {
	struct said *v;
	int n, cap;
	void *by_key; /* tsearch */
};

struct said_answer {
	int64_t episode;
	int turn;
	char *program;
	double total;
};

struct said_pair {
	const char *task;
	const cJSON *prompt;
	const struct said_answer *chosen, *rejected;
	bool judged;    /* by people; else by the reward */
	const char *as; /* who, when it was one person; NULL */
};

/* The number of the prompt on that task, *@fresh when it was not there yet; -1: ERR_MEM. */
int said_prompt(struct said_set *set, const char *task, const cJSON *prompt, bool *fresh,
                struct err *e);
int said_add(struct said_set *set, int prompt, int64_t episode, int turn, const char *program,
             double total, struct err *e);
/* Every pair, in the order of the prompts. @min: the least total of the chosen one; @margin: the
 * least difference of totals where the reward decides. @j: all judgements of the store. -1:
 * @pair's. */
int said_pairs(const struct said_set *set, const struct judgements *j, double min, double margin,
               int (*pair)(void *ctx, const struct said_pair *p, struct err *e), void *ctx,
               struct err *e);
void said_release(struct said_set *set); /* safe on {0} and twice */

#endif
