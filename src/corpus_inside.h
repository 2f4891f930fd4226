/*
 * corpus_inside.h - how a family of parts is written down, for src/corpus*.c alone.
 *
 * A family is data: the numbers of its programs in their order, the parts in theirs, and words. In
 * texts of programs ' stands for a quotation mark and @leg for the part called leg: make_leg()
 * where the program has functions, leg where it has none. Expressions know + - * / ( ) and the
 * names of the family's numbers.
 */
#ifndef CORPUS_INSIDE_H
#define CORPUS_INSIDE_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/corpus.h"

enum { FAMILY_NUMBERS = 24, FAMILY_PARTS = 10, FAMILY_OPTIONS = 3, FAMILY_SAYS = 8 };

enum number_unit { IN_MM, A_COUNT, IN_DEGREES };

struct family_number {
	const char *name;   /* of the constant */
	const char *labels; /* what a prompt calls it, | between; NULL: prompts never speak of it */
	const char *about;  /* in a list of dimensions; NULL: the first label */
	double low, high, step;
	double task; /* what the family's task asks for; 0: nothing */
	/* What the program says where the prompt does not speak of it. NULL: every prompt does. */
	const char *otherwise;
	int option; /* from 1: only with that option */
	enum number_unit unit;
};

struct family_part {
	const char *name;
	const char *how; /* "union", "cut" with what is there; NULL: others use it */
	/* Lines; the last is the expression that is the part. */
	const char *text;
	int option;
};

struct family_option {
	int percent;         /* of the programs have it */
	bool task;           /* the task's own wording includes it */
	const char *clauses; /* behind the description, | between */
};

struct family {
	const char *name;
	const char *task;    /* the id of the task that it is a simple take on; NULL */
	const char *bbox[3]; /* expressions */
	struct family_number number[FAMILY_NUMBERS];
	struct family_part part[FAMILY_PARTS];
	struct family_option option[FAMILY_OPTIONS];
	/* Descriptions: "a round plate with ..." behind an opening, or, beginning with a capital,
	 * whole sentences that are the prompt (of a family with a task: its own first). {name} is a
	 * number. The last is for prompts that training does not see. */
	const char *says[FAMILY_SAYS];
	bool at_most; /* the task's box is one that it stays within */
	const char *limits; /* comparisons that hold, ; between */
	int weight;         /* how often, in tenths of the usual; 0: 10 */
};

extern const struct family *const corpus_all[];
extern const int corpus_known, corpus_all_count; /* the first so many are of training */

/* What a family's number is worth in one document. */
struct number_value {
	double value;
	bool there; /* with the options that there are */
	bool asked; /* the prompt speaks of it; else it is what its "otherwise" says */
};

/* The value of an expression of the family's numbers; 0, or -1 (ERR_INPUT) where it is none. A
 * comparison is 1 or 0; 1 where it names a number that is not there. */
int corpus_evaluate(double *out, const struct family *f, const struct number_value *v,
                    const char *text, size_t len, struct err *e);

/* Random numbers of one document. */
struct dice {
	uint64_t state;
};
uint64_t dice_next(struct dice *d);
int dice_below(struct dice *d, int n); /* 0 to n - 1 */
bool dice_percent(struct dice *d, int percent);

/* The @k-th of texts with | between, its length in @len; how many there are. */
const char *choice_at(const char *texts, int k, size_t *len);
int choices(const char *texts);

/* One program. @flat: without functions. @plain_numbers: the numbers where they are used, no names.
 */
struct program_style {
	bool flat, plain_numbers;
};
void corpus_program(struct buf *out, const struct family *f, const struct number_value *v,
                    unsigned options, struct program_style style);

/* Breaks a right program of @d's as class @aim; 0, or -1 where this program cannot be broken so. */
int corpus_break(struct buf *out, const struct family *f, const struct number_value *v,
                 unsigned options, bool flat, enum build_class aim, struct dice *dice);

#endif
