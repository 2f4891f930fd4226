/*
 * help.h - the keys that hold here, over the screen: made from the keymap, scrolls, filters as one
 * types, and does what is selected.
 */
#ifndef UI_HELP_H
#define UI_HELP_H

#include "ui/keymap.h"
#include "ui/pane.h"

struct help {
	bool open;
	struct list list; /* ids: rows of the keymap */
};

void help_open(struct help *h);
/* Over @r; the filter's prompt and counts in the status row @status. */
void help_draw(struct help *h, const struct keymap *k, int screen, struct canvas *c, struct rect r,
               struct rect status);
/* Takes every key. The row to do comes back when Enter was pressed on one, else NULL. */
const struct keymap_row *help_key(struct help *h, const struct keymap *k, int screen,
                                  struct key key);
void help_release(struct help *h); /* safe on {0} and twice */

#endif
