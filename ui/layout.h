/*
 * layout.h - which pane stands where: three columns, two, or one at a time.
 */
#ifndef UI_LAYOUT_H
#define UI_LAYOUT_H

#include "ui/draw.h"
#include "ui/screen.h"

enum layout_kind {
	LAYOUT_ONE, /* fewer than 80 columns: one pane, the others as tabs */
	LAYOUT_TWO, /* fewer than 140 */
	LAYOUT_THREE
};
enum layout_kind layout_kind(int cols);

/* For LAYOUT_ONE and for zoom: the panes' names in a row, the focused one marked. Takes that row
 * off
 * @r. */
void layout_tabs(struct canvas *c, struct rect *r, const char *const *names, int n, int focus);

#endif
