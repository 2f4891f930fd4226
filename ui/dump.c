#include "ui/dump.h"

#include <math.h>
#include <string.h>

static void add_character(struct buf *out, uint32_t cp)
{
	if (cp < 0x80) {
		buf_addc(out, (char)cp);
	} else if (cp < 0x800) {
		buf_addc(out, (char)(0xc0 | cp >> 6));
		buf_addc(out, (char)(0x80 | (cp & 0x3f)));
	} else if (cp < 0x10000) {
		buf_addc(out, (char)(0xe0 | cp >> 12));
		buf_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (cp & 0x3f)));
	} else {
		buf_addc(out, (char)(0xf0 | cp >> 18));
		buf_addc(out, (char)(0x80 | (cp >> 12 & 0x3f)));
		buf_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (cp & 0x3f)));
	}
}

static void cut_back(struct buf *out, size_t from, char c)
{
	while (out->len > from && out->data[out->len - 1] == c)
		out->data[--out->len] = '\0';
}

void dump_text(const struct canvas *c, struct buf *out)
{
	for (int y = 0; y < c->h; y++) {
		size_t from = out->len;
		for (int x = 0; x < c->w; x++) {
			const struct cell *a = cell_at(c, x, y);
			for (int i = 0; i < 3 && a->ch[i]; i++)
				add_character(out, a->ch[i]);
		}
		cut_back(out, from, ' ');
		buf_addc(out, '\n');
	}
}

void dump_roles(const struct canvas *c, struct buf *out)
{
	static const char letters[N_ROLES] = {
#define X(constant, name, letter) letter,
		UI_ROLES(X)
#undef X
	};

	for (int y = 0; y < c->h; y++) {
		size_t from = out->len;
		for (int x = 0; x < c->w; x++) {
			const struct cell *a = cell_at(c, x, y);
			buf_addc(out, a->pixel     ? 'p'
			              : a->reverse ? 'S'
			              : a->ch[0] == ' ' && a->role != ROLE_SELECT
			                      ? '.'
			                      : letters[a->role]);
		}
		cut_back(out, from, '.');
		buf_addc(out, '\n');
	}
}

/* ---- the picture ---- */

/* Of one cell, in pixels; what DejaVu Sans Mono and its like have at this size. */
#define CELL_W 9.0
#define CELL_H 18.0
enum { FONT_PX = 15, PAD = 10 };

static double px(int x)
{
	return PAD + x * CELL_W;
}

static double py(int y)
{
	return PAD + y * CELL_H;
}

static void rectangle(struct buf *out, double x, double y, double w, double h, uint32_t rgb)
{
	buf_printf(out,
	           "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#%06x\"/>\n",
	           x, y, w, h, (unsigned)rgb & 0xffffff);
}

/* Lines and blocks fill their cells in any font this way. True: it was one. */
static bool shape(struct buf *out, const struct cell *a, int cx, int cy, uint32_t ink)
{
	double x = px(cx), y = py(cy), mx = x + CELL_W / 2, my = y + CELL_H / 2;
	uint32_t ch = a->ch[0];

	if (ch >= 0x2500 && ch <= 0x257f && (a->line & 15)) {
		if (a->line & 1)
			rectangle(out, mx - 0.5, y, 1, CELL_H / 2 + 0.5, ink);
		if (a->line & 2)
			rectangle(out, mx - 0.5, my - 0.5, 1, CELL_H / 2 + 0.5, ink);
		if (a->line & 4)
			rectangle(out, x, my - 0.5, CELL_W / 2 + 0.5, 1, ink);
		if (a->line & 8)
			rectangle(out, mx - 0.5, my - 0.5, CELL_W / 2 + 0.5, 1, ink);
		return true;
	}
	if (ch == 0x2580) {
		rectangle(out, x, y, CELL_W, CELL_H / 2, ink);
	} else if (ch >= 0x2581 && ch <= 0x2588) {
		double h = CELL_H * (ch - 0x2580) / 8;
		rectangle(out, x, y + CELL_H - h, CELL_W, h, ink);
	} else if (ch >= 0x2589 && ch <= 0x258f) {
		rectangle(out, x, y, CELL_W * (0x2590 - ch) / 8, CELL_H, ink);
	} else if (ch == 0x2590) {
		rectangle(out, mx, y, CELL_W / 2, CELL_H, ink);
	} else if (ch == 0x2594) {
		rectangle(out, x, y, CELL_W, CELL_H / 8, ink);
	} else if (ch == 0x2595) {
		rectangle(out, x + CELL_W * 7 / 8, y, CELL_W / 8, CELL_H, ink);
	} else if (ch >= 0x2596 && ch <= 0x259f) {
		/* quadrants: upper left 1, upper right 2, lower left 4, lower right 8 */
		static const uint8_t quarters[10] = { 4, 8, 1, 13, 9, 7, 11, 2, 6, 14 };
		uint8_t q = quarters[ch - 0x2596];
		for (int i = 0; i < 4; i++)
			if (q & 1 << i)
				rectangle(out, i & 1 ? mx : x, i & 2 ? my : y, CELL_W / 2,
				          CELL_H / 2, ink);
	} else {
		return false;
	}
	return true;
}

static void add_escaped(struct buf *out, const struct cell *a)
{
	for (int i = 0; i < 3 && a->ch[i]; i++) {
		if (a->ch[i] == '<')
			buf_adds(out, "&lt;");
		else if (a->ch[i] == '&')
			buf_adds(out, "&amp;");
		else
			add_character(out, a->ch[i]);
	}
}

struct ink {
	uint32_t fg, bg;
	bool bold, underline, filled;
};

static struct ink ink_of(const struct cell *a, enum theme theme)
{
	struct look look = theme_look(theme, TIER_256, a->role);
	struct ink k = { .fg = theme_ink(theme, a->role), .bg = theme_paper(theme) };

	if (a->pixel) {
		k.fg = a->fg == CELL_DEFAULT ? theme_ink(theme, ROLE_NORMAL) : a->fg;
		if (a->bg != CELL_DEFAULT) {
			k.bg = a->bg;
			k.filled = true;
		}
	} else {
		k.bold = look.bold;
		k.underline = look.underline;
	}
	if (a->reverse || (!a->pixel && look.reverse)) {
		uint32_t fg = k.fg;
		k.fg = k.bg;
		k.bg = fg;
		k.filled = true;
	}
	return k;
}

static bool alike(const struct ink *a, const struct ink *b)
{
	return a->fg == b->fg && a->bg == b->bg && a->bold == b->bold &&
	       a->underline == b->underline && a->filled == b->filled;
}

static void row_svg(const struct canvas *c, int y, enum theme theme, struct buf *out)
{
	for (int x = 0; x < c->w;) {
		const struct cell *a = cell_at(c, x, y);
		struct ink ink = ink_of(a, theme);
		int end = x + 1, first, last;
		while (end < c->w) {
			struct ink other = ink_of(cell_at(c, end, y), theme);
			if (!alike(&ink, &other))
				break;
			end++;
		}
		if (ink.filled)
			rectangle(out, px(x), py(y), (end - x) * CELL_W, CELL_H, ink.bg);
		/* words of the run, apart from shapes and wide gaps */
		while (x < end) {
			a = cell_at(c, x, y);
			if (a->ch[0] == ' ' || a->ch[0] == 0 || shape(out, a, x, y, ink.fg)) {
				x++;
				continue;
			}
			first = last = x;
			for (int k = x; k < end && k - last < 3; k++) {
				const struct cell *b = cell_at(c, k, y);
				if (b->ch[0] >= 0x2500 && b->ch[0] < 0x25a0)
					break;
				if (b->ch[0] != ' ')
					last = k;
			}
			buf_printf(
				out,
				"<text x=\"%.2f\" y=\"%.2f\" fill=\"#%06x\"%s%s textLength=\"%.2f\">",
				px(first), py(y) + CELL_H * 0.76, (unsigned)ink.fg & 0xffffff,
				ink.bold ? " font-weight=\"bold\"" : "",
				ink.underline ? " text-decoration=\"underline\"" : "",
				(last - first + 1) * CELL_W);
			for (x = first; x <= last; x++)
				if (cell_at(c, x, y)->ch[0])
					add_escaped(out, cell_at(c, x, y));
			buf_adds(out, "</text>\n");
		}
	}
}

void dump_svg(const struct canvas *c, enum theme theme, const char *title, struct buf *out)
{
	double w = 2 * PAD + c->w * CELL_W, h = 2 * PAD + c->h * CELL_H;

	buf_printf(out,
	           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
	           "viewBox=\"0 0 %.0f %.0f\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, "
	           "monospace\" font-size=\"%d\" shape-rendering=\"crispEdges\" "
	           "xml:space=\"preserve\">\n<title>%s</title>\n",
	           w, h, w, h, FONT_PX, title);
	buf_printf(out, "<rect width=\"%.0f\" height=\"%.0f\" rx=\"6\" fill=\"#%06x\"/>\n", w, h,
	           (unsigned)theme_paper(theme));
	for (int y = 0; y < c->h; y++)
		row_svg(c, y, theme, out);
	buf_adds(out, "</svg>\n");
}
