/*
 * compare.h - models, adapters, prompts and sampling beside one another: tasks in rows, settings in
 * columns, what came of it in the cells. Pure: made from sums over turns (src/tallies.h), or from
 * the turns of runs.
 *
 * A cell counts turns: how many there are, how many built, the mean and the best total. Totals of
 * different reward profiles are not comparable, so a table is of one profile; what was scored under
 * others is left out and counted.
 *
 * A build rate has a Wilson interval of 95 % (E. B. Wilson, 1927; z = 1.959964): it takes turns as
 * draws that do not depend on each other, which holds for first tries, and for repairs of one
 * episode only roughly.
 */
#ifndef SRC_COMPARE_H
#define SRC_COMPARE_H

#include "src/tallies.h"

/* What makes a column; or-ed. */
enum compare_by {
	COMPARE_MODEL = 1,
	COMPARE_ADAPTER = 2,
	COMPARE_PROMPTS = 4,
	COMPARE_SAMPLING = 8
};
/* "model,adapter". 0 or -1 (ERR_USAGE: what was expected). */
int compare_by_parse(const char *text, unsigned *out, struct err *e);

enum compare_turns { COMPARE_ALL, COMPARE_FIRST, COMPARE_REPAIRS };

struct compare_options {
	unsigned by;
	enum compare_turns turns; /* first tries, turns that go on from another, or both */
	const char *profile;      /* NULL: the one with the most turns */
	const char *task, *model, *adapter; /* only these; NULL: all */
};

struct compare_cell {
	int64_t n, built, scored;
	double total, best; /* sum over those scored; NAN: none is */
	int64_t best_turn;  /* id of a turn; 0: none */
};
double compare_mean(const struct compare_cell *c); /* NAN: none was scored */

struct compare_column {
	const char *model, *adapter, *prompts,
		*sampling;  /* "": none, or not what columns differ in */
	const char *source; /* of turns without a model: "file", "command" */
	int64_t run;        /* of compare_runs(); 0 */
	char *label;        /* for people, short */
	struct compare_cell all;
	double rate[3];               /* build rate, its lower and upper end; NAN without turns */
	double mean;                  /* over all its turns */
	double task_mean;             /* mean of the means of the tasks that it has */
	int tasks;                    /* that it has */
	int64_t failure[CLASS_COUNT]; /* turns by class, build_ok as well */
};

struct compare_row {
	char *task;
	struct compare_cell *cell; /* n_columns */
	int best;      /* the column with the highest mean; -1: fewer than two have one */
	double spread; /* of the means; NAN: fewer than two */
};

struct compare {
	struct compare_options o;
	char profile[64];
	struct compare_column *column;
	int n_columns;
	struct compare_row *row; /* by task */
	int n_rows;
	int64_t left_out; /* turns scored under other profiles */
	/* its own */
	int cap_columns, cap_rows;
};

/* 0, or -1 (ERR_MEM). An empty table is no error. */
int compare_make(struct compare *out, const struct tallies *t, const struct compare_options *o,
                 struct err *e);
/* A column a run. ERR_INPUT: no such run. */
int compare_runs(struct compare *out, struct tallies *t, struct store *s, const int64_t *run, int n,
                 const struct compare_options *o, struct err *e);
void compare_release(struct compare *c); /* safe on {0} and twice */

/* Whether a turn counted under @k is in that cell. */
bool compare_in_cell(const struct compare *c, const struct tally *k, int row, int column);

/* The interval of 95 % for @built of @n: rate, lower, upper; NANs when @n is 0. */
void compare_wilson(int64_t built, int64_t n, double out[3]);

/* "syntax_closure 3, undefined_name 1", the most frequent first; "" without failures. @labels: in
 * words for people. */
void compare_failures(const struct compare_column *c, bool labels, struct buf *out);

/* Two columns over the tasks that both have: the mean over tasks of (second - first). */
struct compare_pair {
	int tasks, better, worse; /* of the second, by mean total */
	double reward, reward_low,
		reward_high; /* 95 %, bootstrap over tasks, 10,000 draws, seed 0 */
	double reward_p;     /* that signs fall so by chance: two-sided sign-flip test of the mean,
	                        exact     up to 16 tasks, else 65,536 draws with seed 0; NAN: no task */
	double rate, rate_low, rate_high, rate_p; /* the same for the build rates */
};
int compare_paired(const struct compare *c, int first, int second, struct compare_pair *out,
                   struct err *e);

#endif
