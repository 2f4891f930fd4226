/*
 * pylex.h - Python read byte by byte, as far as is needed to know that what was read can no longer
 * become a program.
 *
 * Certain faults only: a bracket that closes nothing or the wrong one, a line that ends inside a
 * string or behind an operator, indentation that no line before allows, characters that Python has
 * not, a name of cadquery that does not exist, a method that does not exist in an unbroken chain
 * from Workplane(...) or Sketch(...). Where certainty ends (an f-string whose braces hold quotes,
 * tabs beside blanks, cadquery handed on under another name) it stops finding faults. A state is
 * plain data: copy it with =.
 */
#ifndef GPU_PYLEX_H
#define GPU_PYLEX_H

#include <stdbool.h>
#include <stdint.h>

enum { PYLEX_DEPTH_MAX = 64, PYLEX_INDENTS_MAX = 32, PYLEX_WORD_MAX = 31, PYLEX_CLASSES_MAX = 8 };

/* Names in rising order of bytes, and for each what a chain goes on with after a call: a class's
 * number from 1, or 0. */
struct pylex_names {
	const char *const *name;
	const uint8_t *then;
	int n;
};

struct pylex_api {
	struct pylex_names module;                    /* cadquery's; then: the class of that name */
	struct pylex_names class_[PYLEX_CLASSES_MAX]; /* [number - 1] */
	int n_classes;
};

struct pylex {
	uint8_t lex;   /* where it is: enum in pylex.c */
	bool lost;     /* no faults are found any more */
	bool in_fence; /* a line of three backticks ends the program */
	/* strings */
	char quote;
	uint8_t quotes; /* of a run of them */
	bool triple, escape, formatted;
	uint8_t braces;
	/* brackets: which, and the class whose chain goes on after it closes */
	uint8_t depth;
	struct {
		char open;
		uint8_t chain;
	} bracket[PYLEX_DEPTH_MAX];
	/* lines */
	uint16_t column;
	bool tabs, blanks; /* in this line's indentation */
	bool expect_indent, line_begins, carriage;
	uint8_t n_indents, header;
	struct {
		uint16_t column;
		uint8_t flags;
	} indent[PYLEX_INDENTS_MAX];
	uint8_t ticks;
	/* the statement */
	uint8_t first;  /* its first keyword */
	uint8_t before; /* the keyword just before */
	uint8_t flags;
	char last;     /* last byte that is neither blank nor comment; 0 at its beginning */
	char previous; /* the byte before, whatever it was */
	bool equals;   /* a '=' that may become '==' */
	/* words */
	char word[PYLEX_WORD_MAX + 1];
	uint8_t word_len; /* counts on past PYLEX_WORD_MAX, to 255 */
	bool attribute;   /* the word stands behind a point */
	bool first_word;  /* the word began its statement */
	char word_after;  /* what stood before it, as last */
	char alias_after; /* and before the last name of the module */
	/* names */
	char alias[2][PYLEX_WORD_MAX + 1];
	uint8_t n_aliases;
	bool module_unsure, chain_unsure;
	uint8_t pending, pending_class;
	uint8_t dot, dot_class; /* what the next word is checked against */
	uint8_t chain, open_chain;
	bool soft;          /* looked up, but no fault */
	uint16_t low, high; /* names that begin with the word */
	bool import_cadquery, import_dotted, import_as;
	/* the final object */
	bool target, target_word; /* a final name stands where one may be assigned; it was the last
	                             word */
	bool assigned, global;
};

/* At the beginning of a program; @in_fence as above. */
void pylex_begin(struct pylex *p, bool in_fence);

/* What came of a byte: NULL, or why no program goes on with it (then @p is spoiled). After the
 * newline (or end) behind a closing fence pylex_closed() holds. */
const char *pylex_step(struct pylex *p, const struct pylex_api *api, unsigned char c);
bool pylex_closed(const struct pylex *p);
bool pylex_over(const struct pylex *p); /* and its newline is there: what comes is no program */

/* Why the program may not end here; NULL when it may. Says nothing of the final object: that is
 * p->assigned. */
const char *pylex_incomplete(const struct pylex *p, const struct pylex_api *api);

/* @p without what no fault depends on before the next line: two states with the same bytes here
 * have the same mask. */
void pylex_essence(struct pylex *out, const struct pylex *p);

/* Letters, digits, blanks and what is above ASCII are no fault here, in any number and order. */
bool pylex_takes_words(const struct pylex *p);
/* As above, at the beginning of a line: what holds for one letter holds for all. */
bool pylex_at_line_begin(const struct pylex *p);

#endif
