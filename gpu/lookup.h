/*
 * lookup.h - what an answer may go on with, because the text before it did; and whether trying
 * pays.
 *
 * A repair repeats most of the previous program. So the tokens after the longest match of the
 * answer's end, in the previous program, the prompt and the answer itself, are a guess at what
 * comes next (a *draft*), which the model checks in one pass. A wrong draft costs time, never a
 * token.
 *
 * What decides whether and how far to draft:
 * - how sure: matches fall into classes by their length; each class has its own share of drafts
 *   that held, counted in this answer with old counts fading. p for the first token of a draft is
 *   then p^j for the j-th to be reached and to hold.
 * - how dear: the seconds of a step by its number of columns are measured as steps happen
 *   (lookup_costs_note), between counts that were seen a straight line is taken, beyond them 2 % of
 *   a step a column (a step that waits for weights from memory) until it is measured.
 * - the choice: with S sequences in a step of C columns, of which T tokens are expected, m columns
 *   more are taken that make (T + p + ... + p^m) / seconds(C + m) largest, m in 1, 3, 7, 15 or all
 *   that is there; none when that is no more than 3 % better than T / seconds(C). Once in 256
 *   refusals of a sure draft four columns are tried all the same, so that one slow step is not
 *   believed for ever. So at the worst, drafts that never pay cost some hundredths of a plain
 *   decode.
 *
 * Pure but for the seconds that are told: no clock, no backend.
 */
#ifndef GPU_LOOKUP_H
#define GPU_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

enum { LOOKUP_CLASSES = 6, LOOKUP_COLUMNS = 64 };

struct lookup {
	int32_t *id; /* texts, -1 between them; the last is prompt and answer */
	int n, cap;
	int32_t *before; /* [cap] the pair that ends here: the last place before with the same hash;
	                  * -1 */
	int32_t *bucket; /* [n_buckets] last place with this hash; -1 */
	int n_buckets;   /* a power of two */
	int at;          /* where the text that the answer follows goes on; -1: follows none */
	int missed;      /* tokens since the last that was as expected */
	struct {
		double tried, held;
	} trust[LOOKUP_CLASSES];
};

int lookup_init(struct lookup *l); /* 0, or -1: out of memory */
void lookup_release(struct lookup *l);
/* A text of its own: matches do not run over its end. Add the prompt last. */
int lookup_add_text(struct lookup *l, const int32_t *id, int n);
int lookup_add_prompt(struct lookup *l, const int32_t *id, int n);
/* The answer's next token. */
int lookup_add_token(struct lookup *l, int32_t id);

struct lookup_draft {
	int kind;          /* which class of matches, 0..LOOKUP_CLASSES - 1 */
	int n;             /* 0: nothing to go by */
	double p;          /* that a token holds when all before it did */
	int32_t const *id; /* borrowed till the next lookup_add */
};
void lookup_find(struct lookup *l, int max, struct lookup_draft *out);
/* Of the @n tokens of a draft of that kind that were tried, the first @held were right. */
void lookup_tell(struct lookup *l, int kind, int n, int held);

struct lookup_costs {
	double s[LOOKUP_COLUMNS + 1]; /* of a step of so many columns */
	int seen[LOOKUP_COLUMNS + 1];
	unsigned refused;
};
void lookup_costs_note(struct lookup_costs *c, int columns, double seconds);
double lookup_costs_of(const struct lookup_costs *c, int columns); /* 0: nothing is known at all */
/* How many of a draft's first @max tokens to try beside @columns columns that bring @tokens. */
int lookup_worth(struct lookup_costs *c, int columns, double tokens, const struct lookup_draft *d,
                 int max);

#endif
