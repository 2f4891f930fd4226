#include "ui/layout.h"

#include <string.h>

enum layout_kind layout_kind(int cols)
{
	return cols < 80 ? LAYOUT_ONE : cols < 140 ? LAYOUT_TWO : LAYOUT_THREE;
}

void layout_tabs(struct canvas *c, struct rect *r, const char *const *names, int n, int focus)
{
	struct rect row = rect_take_top(r, 1);
	int first = 0, x = row.x;

	if (row.h < 1)
		return;
	/* the focused one is always in sight */
	for (int need = 0, i = focus; i >= 0 && i < n; i--) {
		need += (int)strlen(names[i]) + 2;
		if (need > row.w) {
			first = i + 1 > focus ? focus : i + 1;
			break;
		}
	}
	for (int i = first; i < n && x < row.x + row.w; i++) {
		int room = row.x + row.w - x;

		if (i == focus)
			x += draw_f(c, x, row.y, room, ROLE_FOCUS, "[%s]", names[i]);
		else
			x += draw_f(c, x, row.y, room, ROLE_FAINT, " %s ", names[i]);
	}
}
