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

#endif
