/*
 * bars.h - figures as lengths: the reward's terms, columns over time, the reward per turn.
 *
 * Block elements where the terminal has UTF-8, "#" and "." where it has not; never braille.
 */
#ifndef UI_BARS_H
#define UI_BARS_H

#include "ui/draw.h"
#include "ui/view.h"

/* The total and its delta, a line a term with bar; wide ones also weight and what each adds to the
 * total; then failure class, mastery, checks as they fit. A term that is not known yet shows "...",
 * one that does not apply "-". Draws at most r.h rows; returns how many. */
int bars_score(struct canvas *c, struct rect r, const struct view_score *s);
/* The same as running text, as many terms a row as fit: for little room. Rows used. */
int bars_score_brief(struct canvas *c, struct rect r, const struct view_score *s);
/* Checks: mark, name, what was wanted and got, those that failed first when they do not all fit and
 * the rest counted in the last row (@more: after "+ 5 more"). Rows used. */
int bars_checks(struct canvas *c, struct rect r, const struct view_check *checks, int n,
                const char *more);
/* All that was measured, for a pane that scrolls: checks with their reasons, then the solid's
 * facts; from row @from on. The rows that there are in all. */
int bars_measured(struct canvas *c, struct rect r, const struct view_score *s, int from);

/* Columns over time, oldest left, the last that fit; @lo..@hi is the height, axis and its ends at
 * the left (@lo_text, @hi_text), @x_text below. NAN: no column. */
void bars_columns(struct canvas *c, struct rect r, const double *v, int n, double lo, double hi,
                  const char *lo_text, const char *hi_text, const char *x_text, int first);
/* The same of all of a curve however wide it is: where there is less room each column is the mean of
 * several. The ends of the axis stand at its left, the first and last step below. */
void bars_curve(struct canvas *c, struct rect r, const struct view_curve *k);
/* Reward per turn, -1 to 1 about a line at 0; the turn @shown is marked. */
void bars_turns(struct canvas *c, struct rect r, const struct view_turn *turns, int n, int shown);

/* "+0.075", "-0.054", "-" into @out (at least 8). */
const char *delta_text(char *out, double v);
/* "1,204", "7,214" into @out (at least 28). */
const char *count_text(char *out, int64_t v);

#endif
