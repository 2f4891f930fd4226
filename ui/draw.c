/*
 * draw.c - a canvas of cells, and what is drawn on one.
 *
 * Everything that is shown passes through put(): a character of a stranger's text is decoded,
 * judged and given a width in text_step() and in no second place.
 */
#include "ui/draw.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "src/base/utf8.h"
#include "ui/view.h"

/* Ways a border goes from a cell. LINE_TEXT: a title stands on it; the line goes on underneath. */
enum { LINE_UP = 1, LINE_DOWN = 2, LINE_LEFT = 4, LINE_RIGHT = 8, LINE_TEXT = 16 };

enum { UNKNOWN = 0xfffd };

/* ---- the canvas ---- */

void cells_clear(struct canvas *c)
{
	const struct cell blank = { .ch = { ' ' }, .role = ROLE_NORMAL };

	for (int i = 0; i < c->w * c->h; i++)
		c->cells[i] = blank;
}

int cells_size(struct canvas *c, int w, int h)
{
	struct cell *cells;

	w = w < 1 ? 1 : w > 4096 ? 4096 : w;
	h = h < 1 ? 1 : h > 4096 ? 4096 : h;
	if (!c->cells || w != c->w || h != c->h) {
		cells = reallocarray(NULL, (size_t)w * (size_t)h, sizeof(*cells));
		if (!cells)
			return -1;
		free(c->cells);
		c->cells = cells;
		c->w = w;
		c->h = h;
	}
	cells_clear(c);
	return 0;
}

void cells_release(struct canvas *c)
{
	free(c->cells);
	c->cells = NULL;
	c->w = c->h = 0;
}

struct cell *cell_at(const struct canvas *c, int x, int y)
{
	if (x < 0 || y < 0 || x >= c->w || y >= c->h)
		return NULL;
	return &c->cells[y * c->w + x];
}

/* ---- rectangles ---- */

static int within(int n, int max)
{
	if (max < 0)
		max = 0;
	return n < 0 ? 0 : n > max ? max : n;
}

struct rect rect_take_top(struct rect *r, int h)
{
	struct rect t = *r;

	t.h = within(h, r->h);
	r->y += t.h;
	r->h -= t.h;
	return t;
}

struct rect rect_take_bottom(struct rect *r, int h)
{
	struct rect t = *r;

	t.h = within(h, r->h);
	r->h -= t.h;
	t.y = r->y + r->h;
	return t;
}

struct rect rect_take_left(struct rect *r, int w)
{
	struct rect t = *r;

	t.w = within(w, r->w);
	r->x += t.w;
	r->w -= t.w;
	return t;
}

struct rect rect_take_right(struct rect *r, int w)
{
	struct rect t = *r;

	t.w = within(w, r->w);
	r->w -= t.w;
	t.x = r->x + r->w;
	return t;
}

struct rect pane_take_top(struct rect *r, int h)
{
	struct rect t = rect_take_top(r, h);

	if (t.h > 0) {
		r->y--;
		r->h++;
	}
	return t;
}

struct rect pane_take_bottom(struct rect *r, int h)
{
	struct rect t = rect_take_bottom(r, h);

	if (t.h > 0)
		r->h++;
	return t;
}

struct rect pane_take_left(struct rect *r, int w)
{
	struct rect t = rect_take_left(r, w);

	if (t.w > 0) {
		r->x--;
		r->w++;
	}
	return t;
}

struct rect pane_take_right(struct rect *r, int w)
{
	struct rect t = rect_take_right(r, w);

	if (t.w > 0)
		r->w++;
	return t;
}

/* ---- text ---- */

/* What must not be shown as it is: it has no picture, or turns the text around it. */
static bool hidden(uint32_t cp)
{
	switch (utf8proc_category((utf8proc_int32_t)cp)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return true;
	default:
		return false;
	}
}

size_t text_step(const char *text, size_t len, int column, uint32_t *cp, int *cells)
{
	int n;

	*cells = 1;
	*cp = (unsigned char)text[0];
	if (*cp >= 0x20 && *cp < 0x7f)
		return 1;
	if (*cp == '\t') {
		*cp = ' ';
		*cells = 8 - column % 8;
		return 1;
	}
	n = utf8_decode(text, len, cp);
	if (n == 0 || *cp == 0) {
		*cp = UNKNOWN;
		return 1;
	}
	if (hidden(*cp)) {
		*cp = UNKNOWN;
		return (size_t)n;
	}
	*cells = utf8proc_charwidth((utf8proc_int32_t)*cp);
	if (*cells < 0 || *cells > 2)
		*cells = 1;
	return (size_t)n;
}

int text_width(const char *text, size_t len)
{
	int total = 0;

	for (size_t i = 0; i < len && text[i] != '\n';) {
		uint32_t cp;
		int cells;
		i += text_step(text + i, len - i, total, &cp, &cells);
		total += cells;
	}
	return total;
}

/* A wide character has two cells; when one is written over, the other goes blank. */
static void part(struct canvas *c, int x, int y)
{
	struct cell *a = cell_at(c, x, y), *left = cell_at(c, x - 1, y),
		    *right = cell_at(c, x + 1, y);

	if (a->ch[0] == 0 && left)
		*left = (struct cell){ .ch = { ' ' },
			               .role = left->role,
			               .reverse = left->reverse };
	else if (right && right->ch[0] == 0)
		*right = (struct cell){ .ch = { ' ' },
			                .role = right->role,
			                .reverse = right->reverse };
}

static void put(struct canvas *c, int x, int y, enum role role, uint32_t cp, int cells)
{
	struct cell *a = cell_at(c, x, y);

	if (!a || (cells == 2 && !cell_at(c, x + 1, y)))
		return;
	if (c->ascii && cp >= 0x7f) {
		cp = '?';
		if (cells == 2)
			put(c, x + 1, y, role, '?', 1);
		cells = 1;
	}
	part(c, x, y);
	*a = (struct cell){ .ch = { cp }, .role = (uint8_t)role };
	if (cells == 2) {
		part(c, x + 1, y);
		a[1] = (struct cell){ .ch = { 0 }, .role = (uint8_t)role };
	}
}

static void combine(struct canvas *c, int x, int y, uint32_t cp)
{
	struct cell *a = cell_at(c, x, y);

	if (a && a->ch[0] == 0)
		a = cell_at(c, x - 1, y);
	if (!a || c->ascii || a->ch[0] == 0 || a->ch[0] == ' ' || a->ch[2])
		return;
	a->ch[a->ch[1] ? 2 : 1] = cp;
}

/* Draws what fits into @w cells; *@used bytes. */
static int draw_some(struct canvas *c, int x, int y, int w, enum role role, const char *text,
                     size_t len, size_t *used)
{
	int total = 0;
	size_t i = 0;

	while (i < len && text[i] != '\n') {
		uint32_t cp;
		int cells;
		size_t n = text_step(text + i, len - i, total, &cp, &cells);
		if (text[i] == '\t' && total + cells > w)
			cells = w - total;
		if (total + cells > w || (total == w && cells > 0))
			break;
		if (cells == 0) {
			if (total > 0)
				combine(c, x + total - 1, y, cp);
		} else if (text[i] == '\t') {
			for (int k = 0; k < cells; k++)
				put(c, x + total + k, y, role, ' ', 1);
		} else {
			put(c, x + total, y, role, cp, cells);
		}
		total += cells;
		i += n;
	}
	*used = i;
	return total;
}

int draw_text(struct canvas *c, int x, int y, int w, enum role role, const char *text, size_t len)
{
	size_t used;

	return w <= 0 || !text ? 0 : draw_some(c, x, y, w, role, text, len, &used);
}

int draw_str(struct canvas *c, int x, int y, int w, enum role role, const char *text)
{
	size_t len, used;
	int n;

	if (!text || w <= 0)
		return 0;
	len = strlen(text);
	n = draw_some(c, x, y, w, role, text, len, &used);
	if (used < len && text[used] != '\n') {
		n = draw_some(c, x, y, w - 1, role, text, len, &used);
		for (; n < w - 1; n++)
			put(c, x + n, y, role, ' ', 1);
		put(c, x + n, y, role, '~', 1);
		n++;
	}
	return n;
}

int draw_right(struct canvas *c, int x_end, int y, int w, enum role role, const char *text)
{
	size_t len = text ? strlen(text) : 0, skip = 0;
	int width = text ? text_width(text, len) : 0;

	while (width > w && skip < len) {
		uint32_t cp;
		int cells;
		skip += text_step(text + skip, len - skip, 0, &cp, &cells);
		width = text_width(text + skip, len - skip);
	}
	return width > 0 ? draw_text(c, x_end - width, y, width, role, text + skip, len - skip) : 0;
}

int draw_f(struct canvas *c, int x, int y, int w, enum role role, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return draw_str(c, x, y, w, role, text);
}

void draw_sign(struct canvas *c, int x, int y, enum role role, const char *utf8, char ascii)
{
	uint32_t cp;

	if (c->ascii || utf8_decode(utf8, strlen(utf8), &cp) == 0)
		cp = (unsigned char)ascii;
	put(c, x, y, role, cp, 1);
}

/* ---- areas and borders ---- */

void draw_clear(struct canvas *c, struct rect r)
{
	for (int y = r.y; y < r.y + r.h; y++)
		for (int x = r.x; x < r.x + r.w; x++)
			put(c, x, y, ROLE_NORMAL, ' ', 1);
}

void draw_reverse(struct canvas *c, struct rect r)
{
	for (int y = r.y; y < r.y + r.h; y++)
		for (int x = r.x; x < r.x + r.w; x++) {
			struct cell *a = cell_at(c, x, y);
			/* in one colour, whatever it was: patches of several are hard to read */
			if (a) {
				a->reverse = true;
				a->role = ROLE_SELECT;
			}
		}
}

void draw_role(struct canvas *c, struct rect r, enum role role)
{
	for (int y = r.y; y < r.y + r.h; y++)
		for (int x = r.x; x < r.x + r.w; x++) {
			struct cell *a = cell_at(c, x, y);
			if (a)
				a->role = (uint8_t)role;
		}
}

static void border(struct canvas *c, int x, int y, enum role role, uint8_t ways)
{
	static const char *const signs[16] = { " ", "│", "│", "│", "─", "┘", "┐", "┤",
		                               "─", "└", "┌", "├", "─", "┴", "┬", "┼" };
	struct cell *a = cell_at(c, x, y);
	uint8_t all;

	if (!a)
		return;
	if (a->line & LINE_TEXT)
		return;
	all = a->line | ways;
	/* a focused pane's border stays strong when its neighbour draws the same line */
	if (a->line && a->role == ROLE_FOCUS)
		role = ROLE_FOCUS;
	draw_sign(c, x, y, role, signs[all],
	          all == (LINE_UP | LINE_DOWN)      ? '|'
	          : all == (LINE_LEFT | LINE_RIGHT) ? '-'
	                                            : '+');
	a->line = all;
}

static void title_text(struct canvas *c, int x, int y, int w)
{
	for (int i = 0; i < w; i++) {
		struct cell *a = cell_at(c, x + i, y);
		if (a)
			a->line = LINE_TEXT;
	}
}

struct rect draw_pane(struct canvas *c, struct rect r, const char *title, const char *fact,
                      bool focused)
{
	enum role role = focused ? ROLE_FOCUS : ROLE_FAINT;
	int right = r.x + r.w - 1, bottom = r.y + r.h - 1;
	int room = r.w - 4, taken = 0;
	struct rect inside = { r.x + 1, r.y + 1, r.w - 2, r.h - 2 };

	if (r.w < 2 || r.h < 2)
		return (struct rect){ r.x, r.y, 0, 0 };
	for (int x = r.x; x <= right; x++) {
		uint8_t ways = (x > r.x ? LINE_LEFT : 0) | (x < right ? LINE_RIGHT : 0);
		border(c, x, r.y, role, ways);
		border(c, x, bottom, role, ways);
	}
	for (int y = r.y; y <= bottom; y++) {
		uint8_t ways = (y > r.y ? LINE_UP : 0) | (y < bottom ? LINE_DOWN : 0);
		border(c, r.x, y, role, ways);
		border(c, right, y, role, ways);
	}
	/* "- Title ----- fact -": the fact keeps its room, the title is cut first */
	if (fact && *fact && room > 3) {
		int w = text_width(fact, strlen(fact));
		w = w > room - 3 ? room - 3 : w;
		int x = right - 2 - w;
		draw_str(c, x, r.y, w, ROLE_NORMAL, fact);
		put(c, x - 1, r.y, role, ' ', 1);
		put(c, x + w, r.y, role, ' ', 1);
		title_text(c, x - 1, r.y, w + 2);
		taken = w + 3;
	}
	if (title && *title && room - taken > 2) {
		int x = r.x + 3, w = 0;
		if (focused)
			draw_sign(c, x + w++, r.y, ROLE_FOCUS, "*", '*');
		w += draw_str(c, x + w, r.y, room - taken - w - (taken ? 2 : 1),
		              focused ? ROLE_FOCUS : ROLE_TITLE, title);
		put(c, x - 1, r.y, role, ' ', 1);
		put(c, x + w, r.y, role, ' ', 1);
		title_text(c, x - 1, r.y, w + 2);
	}
	return inside;
}

/* ---- bars, marks, figures ---- */

void draw_bar(struct canvas *c, int x, int y, int w, double share, enum role role)
{
	int full;

	if (isnan(share)) {
		draw_clear(c, (struct rect){ x, y, w, 1 });
		return;
	}
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	full = (int)lround(share * w);
	/* what is there at all is seen */
	if (full == 0 && share > 0 && w > 0)
		full = 1;
	/* three quarters of a row high: bars below one another stay apart */
	for (int i = 0; i < w; i++)
		draw_sign(c, x + i, y, i < full ? role : ROLE_BAR_REST, i < full ? "▆" : "·",
		          i < full ? '#' : '.');
}

const char *mark_sign(int mark, bool ascii)
{
	switch ((enum mark)mark) {
	case MARK_NEVER:
		return ascii ? "." : "·";
	case MARK_BUILT:
		return ascii ? "+" : "✓";
	case MARK_WEAK:
		return "~";
	case MARK_FAILED:
		return ascii ? "x" : "✗";
	case MARK_RUNNING:
		return ascii ? ">" : "▸";
	case MARK_NONE:
		break;
	}
	return " ";
}

enum role mark_role(int mark)
{
	switch ((enum mark)mark) {
	case MARK_BUILT:
		return ROLE_GOOD;
	case MARK_WEAK:
		return ROLE_WEAK;
	case MARK_FAILED:
		return ROLE_BAD;
	case MARK_RUNNING:
		return ROLE_RUN;
	case MARK_NEVER:
		return ROLE_FAINT;
	case MARK_NONE:
		break;
	}
	return ROLE_NORMAL;
}

const char *figure_text(char *out, double v)
{
	if (!isfinite(v))
		strcpy(out, "-");
	else if (fabs(v) >= 99999)
		snprintf(out, 12, "%.2e", v);
	else
		snprintf(out, 12, "%.3f", v == 0 ? 0.0 : v);
	return out;
}
