/*
 * paper.h - a report as a folder: README.md with its plots, pictures and data beside it, and the
 * same as one index.html that needs nothing else. Both come from the same calls.
 *
 * Texts are shown, never obeyed: whatever is given as a format's result, a cell, a caption or a
 * block is cleaned (src/base/utf8.h) and escaped for both forms, so that texts of strangers may be
 * among the arguments.
 *
 * The first error is kept and told by paper_close(); after one the calls do nothing.
 */
#ifndef SRC_PAPER_H
#define SRC_PAPER_H

#include "src/plot.h"

struct paper;

/* @dir must be new, empty, or hold an earlier report of @by ("cadforge report"), whose files of the
 * same names are then replaced. NULL with @e: ERR_USAGE (the folder is something else), ERR_IO. */
struct paper *paper_open(const char *dir, const char *by, const char *title, struct err *e);
/* Writes README.md and index.html. @p is gone afterwards, also after an error. */
int paper_close(struct paper *p, struct err *e);
void paper_drop(struct paper *p); /* without writing them; NULL is fine */

#define PAPER_TEXT(a, b) __attribute__((format(printf, a, b)))

void paper_heading(struct paper *p, int level, const char *fmt, ...) PAPER_TEXT(3, 4); /* 2 to 4 */
void paper_text(struct paper *p, const char *fmt, ...) PAPER_TEXT(2, 3); /* a paragraph */
void paper_warn(struct paper *p, const char *fmt, ...) PAPER_TEXT(2, 3); /* one to be seen */
void paper_item(struct paper *p, const char *fmt, ...) PAPER_TEXT(2, 3); /* of a list */

/* Columns by name; ">name" has its cells at the right. Cells follow row by row. */
void paper_table(struct paper *p, const char *const *column, int n);
void paper_cell(struct paper *p, const char *fmt, ...) PAPER_TEXT(2, 3);
/* A number by @fmt (one double); "-" when it is none. */
void paper_figure(struct paper *p, const char *fmt, double v) PAPER_TEXT(2, 0);
void paper_table_end(struct paper *p);

/* @name: of the file ("reward.svg"). The caption stands below it; it may be "". */
void paper_plot(struct paper *p, const char *name, const struct plot *plot, const char *fmt, ...)
	PAPER_TEXT(4, 5);
void paper_picture(struct paper *p, const char *name, const void *png, size_t len, const char *alt);
/* Text as it is, at most @lines lines of it (0: all). @language: "python", or "". */
void paper_block(struct paper *p, const char *language, const char *text, size_t len, int lines);
/* What follows until the end is seen when it is opened. Does not nest. */
void paper_fold(struct paper *p, const char *fmt, ...) PAPER_TEXT(2, 3);
void paper_fold_end(struct paper *p);

/* A file beside the page; paper_text() may name it. */
void paper_file(struct paper *p, const char *name, const struct buf *content);
/* A line that leads to such a file. */
void paper_link(struct paper *p, const char *name, const char *fmt, ...) PAPER_TEXT(3, 4);

#endif
