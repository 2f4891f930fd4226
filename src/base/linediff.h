/*
 * linediff.h - what changed from one text to another, line by line, in the unified form.
 *
 * The longest common subsequence of the lines (least edits) while the part that differs has at most
 * LINEDIFF_CELLS line pairs; beyond that the whole part is shown as replaced: the work is bounded.
 * A text without a newline at its end differs from one with it, as diff(1) has it.
 */
#ifndef BASE_LINEDIFF_H
#define BASE_LINEDIFF_H

#include <stddef.h>

#include "src/base/buf.h"

enum { LINEDIFF_CELLS = 4000000 };

struct linediff {
	int removed, added; /* lines */
};

/* Appends "--- @name_a", "+++ @name_b" and the hunks with @context lines about each change;
 * nothing when the texts are equal. 0; -1 (ERR_MEM). @count may be NULL. */
int linediff(struct buf *out, const char *a, size_t len_a, const char *name_a, const char *b,
             size_t len_b, const char *name_b, int context, struct linediff *count, struct err *e);

/* Both texts in full, beside each other: a row has a line of either or of both. */
struct linediff_row {
	const char *left, *right;   /* into the texts; NULL: this side has no line here */
	size_t left_len, right_len; /* without the newline */
	int left_no, right_no;      /* from 1; 0: none */
	char sign;                  /* ' ' the same, '-' left only, '+' right only, '~' changed */
};
/* Lines that differ are set beside each other (~) where they are alike for the greater part;
 * otherwise what went stands above what came. The caller frees *@rows. 0; -1 (ERR_MEM). @count may
 * be NULL. */
int linediff_rows(struct linediff_row **rows, int *n, const char *a, size_t len_a, const char *b,
                  size_t len_b, struct linediff *count, struct err *e);

#endif
