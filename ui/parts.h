/*
 * parts.h - what Live and Replay are both made of: the program as it comes, with the thinking above
 * it, and words where nothing is.
 */
#ifndef UI_PARTS_H
#define UI_PARTS_H

#include "ui/screen.h"

/* Of screen_state.texts: beyond the panes that screens name. */
enum { PART_THINKING = 6, PART_CERTAIN = 7 };

/* Within the borders of a pane; with a blank cell beside them. */
struct rect part_inside(struct rect r);
struct rect part_padded(struct rect r);
/* A line across @r at row @y. */
void part_rule(struct canvas *c, struct rect r, int y);
/* Words, broken at blanks, from the top of @r; rows used. */
int part_say(struct canvas *c, struct rect r, enum role role, const char *text);

/* The program of @l in the pane @at, whose text_pane is texts[@pane]: while it comes, with the
 * thinking (folded or open), with the first error of building while it streams; as certainty when
 * that is on; or what would fill it. */
void part_code(struct screen_state *s, int pane, const struct view_live *l, struct canvas *c,
               struct rect at, bool focused);
/* The program, or all that came when it is no program; the one of the two whose tokens are known.
 */
const struct view_text *part_text(const struct view_live *l);
const struct view_text *part_certain(const struct view_live *l);
/* u, t, and while certainty is on all that walks it; then scrolling. True when taken. */
bool part_code_key(struct screen_state *s, int pane, const struct view_live *l, struct key k,
                   struct intent *out);
/* The status row while certainty is on: what the keys do there. False when it is off. */
bool part_certain_status(const struct screen_state *s, struct canvas *c, struct rect row);
/* Scrolls @at rows without end; what is drawn takes back what is too far. True when taken. */
bool part_scroll(int *at, struct key k);

#endif
