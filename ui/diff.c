#include "ui/diff.h"

#include <stdio.h>
#include <string.h>

#include "ui/parts.h"

enum { ALIKE_SHOWN = 3 }; /* lines around a change, where lines that are alike are folded */

/* @text from cell @skip on. */
static void draw_from(struct canvas *c, int x, int y, int w, enum role role, const char *text,
                      int skip)
{
	size_t len = text ? strlen(text) : 0, at = 0;
	int column = 0;

	while (at < len && column < skip) {
		uint32_t cp;
		int cells;
		size_t n = text_step(text + at, len - at, column, &cp, &cells);

		if (!n)
			return;
		at += n;
		column += cells;
	}
	draw_text(c, x, y, w, role, text ? text + at : "", len - at);
}

/* Of a line that was changed far to the right the beginning is left out, so that the change is
 * seen: cells to leave out, the same for both. */
static int skip_of(const struct view_diff_line *l, int w)
{
	size_t n = 0;
	int cells;

	if (!l->left || !l->right)
		return 0;
	while (l->left[n] && l->left[n] == l->right[n])
		n++;
	while (n > 0 && ((uint8_t)l->left[n] & 0xc0) == 0x80)
		n--;
	cells = text_width(l->left, n);
	return cells < w * 4 / 5 ? 0 : cells - w / 2;
}

static void draw_line(struct canvas *c, int x, int y, int w, enum role role, const char *text,
                      int left, int skip)
{
	if (w < 2)
		return;
	if (left == 0 && skip > 0) {
		draw_str(c, x, y, 1, ROLE_FAINT, "~");
		draw_from(c, x + 1, y, w - 1, role, text, skip);
	} else
		draw_from(c, x, y, w, role, text, left);
}

/* ---- one under the other ---- */

struct unified {
	struct canvas *c; /* NULL: only counts */
	struct rect r;
	int from, left, row;
	int first;         /* row of the first change; -1 */
	int here;          /* a row, */
	int before, after; /* and those of the changes before and after it; -1 */
};

static void unified_row(struct unified *u, enum role role, char sign, const char *text, int skip)
{
	int y = u->row++ - u->from;

	if (!u->c || y < 0 || y >= u->r.h)
		return;
	if (sign)
		draw_f(u->c, u->r.x, u->r.y + y, 2, role, "%c", sign);
	draw_line(u->c, u->r.x + 2, u->r.y + y, u->r.w - 2, role, text, u->left, skip);
}

/* Lines that are alike, from @d[i] to @d[end]. */
static void unified_alike(struct unified *u, const struct view_diff_line *d, int n, int i, int end)
{
	int head = i == 0 ? 0 : ALIKE_SHOWN, tail = end == n ? 0 : ALIKE_SHOWN;
	char text[64];

	for (int k = i; k < end; k++) {
		if (end - i > head + tail + 1 && k == i + head) {
			snprintf(text, sizeof text, "... %d lines alike", end - i - head - tail);
			unified_row(u, ROLE_FAINT, 0, text, 0);
			k = end - tail - 1;
			continue;
		}
		unified_row(u, ROLE_NORMAL, ' ', d[k].left, 0);
	}
}

/* Rows in all. */
static int unify(struct unified *u, const struct view_diff_line *d, int n)
{
	int w = u->r.w - 2;

	u->row = 0;
	u->first = u->before = u->after = -1;
	for (int i = 0, end; i < n; i = end) {
		bool alike = d[i].sign == ' ';

		for (end = i; end < n && (d[end].sign == ' ') == alike; end++)
			;
		if (alike) {
			unified_alike(u, d, n, i, end);
			continue;
		}
		if (u->first < 0)
			u->first = u->row;
		if (u->row < u->here)
			u->before = u->row;
		if (u->row > u->here && u->after < 0)
			u->after = u->row;
		for (int k = i; k < end; k++)
			if (d[k].left)
				unified_row(u, ROLE_DEL, '-', d[k].left,
				            u->c ? skip_of(&d[k], w) : 0);
		for (int k = i; k < end; k++)
			if (d[k].right)
				unified_row(u, ROLE_ADD, '+', d[k].right,
				            u->c ? skip_of(&d[k], w) : 0);
	}
	return u->row;
}

/* The first row worth seeing of another diff; then the reader's own. */
static void settle(struct diff_pane *p, uint64_t of, int rows, int page, int first)
{
	p->page = page;
	if (p->of != of) {
		p->of = of;
		p->top = first > 3 ? first - 3 : 0;
		p->left = 0;
	}
	if (p->top > rows - page)
		p->top = rows > page ? rows - page : 0;
}

void diff_draw(struct diff_pane *p, struct canvas *c, struct rect r, const struct view_diff_line *d,
               int n, uint64_t of)
{
	struct unified u = { .r = r };
	int rows = unify(&u, d, n);

	p->sides = false;
	settle(p, of * 2, rows, r.h, u.first);
	if (u.first < 0) {
		part_say(c, r, ROLE_FAINT, "The two programs are the same.");
		return;
	}
	u.c = c;
	u.from = p->top;
	u.left = p->left;
	unify(&u, d, n);
}

/* ---- beside each other ---- */

static void draw_side(const struct diff_pane *p, struct canvas *c, struct rect r,
                      const struct view_diff_line *d, int n, bool right_side, bool pair)
{
	for (int i = 0; i < r.h && p->top + i < n; i++) {
		const struct view_diff_line *l = &d[p->top + i];
		const char *text = right_side ? l->right : l->left;
		int no = right_side ? l->right_no : l->left_no, x = r.x, w;
		bool changed = l->sign != ' ';
		enum role role = !changed     ? ROLE_NORMAL
		                 : pair       ? ROLE_STRONG
		                 : right_side ? ROLE_ADD
		                              : ROLE_DEL;

		if (!text)
			continue;
		if (r.w >= 50) {
			char number[16] = "";

			if (no > 0)
				snprintf(number, sizeof number, "%d", no);
			draw_right(c, x + 3, r.y + i, 4, ROLE_FAINT, number);
			x += 4;
		}
		if (changed)
			draw_str(c, x, r.y + i, 1, role, pair ? "*" : right_side ? "+" : "-");
		w = r.x + r.w - x - 2;
		draw_line(c, x + 2, r.y + i, w, role, text, p->left, changed ? skip_of(l, w) : 0);
	}
}

void diff_draw_sides(struct diff_pane *p, struct canvas *c, struct rect left, struct rect right,
                     const struct view_diff_line *d, int n, uint64_t of, bool pair)
{
	int first = 0;

	while (first < n && d[first].sign == ' ')
		first++;
	p->sides = true;
	settle(p, of * 2 + 1, n, left.h, pair || first == n ? 0 : first);
	draw_side(p, c, left, d, n, false, pair);
	draw_side(p, c, right, d, n, true, pair);
}

/* ---- keys ---- */

static int other_change(const struct diff_pane *p, const struct view_diff_line *d, int n, int step)
{
	/* the change one is at stands three rows below the top */
	struct unified u = { .here = p->top ? p->top + 3 : 0 };

	if (!p->sides) {
		unify(&u, d, n);
		return step > 0 ? u.after : u.before;
	}
	for (int i = u.here + step; i >= 0 && i < n; i += step)
		if (d[i].sign != ' ' && (i == 0 || d[i - 1].sign == ' '))
			return i;
	return -1;
}

bool diff_key(struct diff_pane *p, struct key k, const struct view_diff_line *d, int n)
{
	int to;

	switch (k.code) {
	case KEYS_LEFT:
		p->left = p->left > 8 ? p->left - 8 : 0;
		return true;
	case KEYS_RIGHT:
		p->left += p->left < 4000 ? 8 : 0;
		return true;
	case KEYS_MATCH_NEXT:
	case KEYS_MATCH_PREVIOUS:
		to = other_change(p, d, n, k.code == KEYS_MATCH_NEXT ? 1 : -1);
		if (to >= 0)
			p->top = to > 3 ? to - 3 : 0;
		return true;
	case KEYS_PAGE_UP:
		p->top = p->top > p->page ? p->top - p->page : 0;
		return true;
	case KEYS_PAGE_DOWN:
	case ' ':
		p->top += p->page;
		return true;
	default:
		return part_scroll(&p->top, k);
	}
}
