/*
 * diff.h - two programs beside each other, or one under the other: what went, what came.
 */
#ifndef UI_DIFF_H
#define UI_DIFF_H

#include "ui/draw.h"
#include "ui/pane.h"
#include "ui/view.h"

/* Where a reader stands in one; {0} before. */
struct diff_pane {
	uint64_t of;   /* which one it is: another one begins at its first change */
	int top, left; /* first row and cell shown */
	int page;
	bool sides; /* drawn with two sides */
};

/* One under the other in @r; lines that are alike are folded away from the changes. @of: names the
 * pair of programs. */
void diff_draw(struct diff_pane *p, struct canvas *c, struct rect r, const struct view_diff_line *d,
               int n, uint64_t of);
/* Beside each other, line by line, from the first change on. @pair: from the beginning, and without
 * taking sides: no colour of what went and what came. */
void diff_draw_sides(struct diff_pane *p, struct canvas *c, struct rect left, struct rect right,
                     const struct view_diff_line *d, int n, uint64_t of, bool pair);
/* Scrolls; KEYS_MATCH_NEXT and _PREVIOUS go to the next change and the one before. True when taken.
 */
bool diff_key(struct diff_pane *p, struct key k, const struct view_diff_line *d, int n);

#endif
