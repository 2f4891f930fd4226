/*
 * evaluation_text.h - evaluations in words and figures for people: the same lines on a terminal and
 * on a page.
 */
#ifndef SRC_EVALUATION_TEXT_H
#define SRC_EVALUATION_TEXT_H

#include "src/evaluation.h"

struct evaluation_line {
	char label[48]; /* "builds at once" */
	char cell[64];  /* "87.5 % (71.2 to 96.1)"; "-" where there is nothing to tell */
};
enum { EVALUATION_LINES_MAX = 40 };
/* The figures of @v; how many lines. */
int evaluation_lines(const struct evaluation *v, struct evaluation_line out[EVALUATION_LINES_MAX]);
/* The cell of that label among @n lines; "-" when there is none. */
const char *evaluation_cell(const struct evaluation_line *v, int n, const char *label);

/* "0.612 (0.480 to 0.731)" with @digits after the point; @percent: times 100, "61.2 % (...)". */
void evaluation_interval(char *out, size_t size, const struct interval *i, int digits,
                         bool percent);
void evaluation_p(char *out, size_t size, double p); /* "p = 0.031", "p < 0.001", "no p" */

/* What @b is against @a, lines ended by newlines, appended. */
void evaluation_pair_text(struct buf *out, const struct evaluation_pair *p,
                          const struct evaluation *a, const struct evaluation *b);
/* Several arms beside one another, as a table of plain text, appended. */
void evaluation_table(struct buf *out, const struct evaluation *v, int n);
/* Failures, the most frequent first: "undefined_name 4, syntax_closure 1"; "none". */
void evaluation_failures(struct buf *out, const int cls[CLASS_COUNT]);

#endif
