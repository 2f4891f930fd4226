#include "engine/canvas.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Light end, dark end. The dark ends are one ink, so that lines look alike on all. */
static const uint8_t light[HUE_COUNT][3] = {
	[HUE_PAPER] = { 255, 255, 255 },  [HUE_PART] = { 224, 231, 240 },
	[HUE_SURPLUS] = { 255, 176, 64 }, [HUE_MISSING] = { 110, 170, 245 },
	[HUE_CUT] = { 238, 226, 196 },
};
static const uint8_t dark[3] = { 26, 32, 44 };

/* ---- strokes ---- */

/* Points of two digits, x then y, with the base line at y = 2 and capitals up to 8; a space lifts
 * the pen. Drawn for this program. */
static const char *const strokes[128] = {
	['0'] = "122233372818070312",
	['1'] = "172822 1232",
	['2'] = "07183847460242",
	['3'] = "07183847463515 354443321203",
	['4'] = "32380444",
	['5'] = "480805354443321203",
	['6'] = "473818070312324344351504",
	['7'] = "084822",
	['8'] = "15060718384746351504031232434435",
	['9'] = "031232434738180706153546",
	['A'] = "022842 1434",
	['B'] = "02083847463505 3544433202",
	['C'] = "4738180703123243",
	['D'] = "02082846442202",
	['E'] = "48080242 0535",
	['F'] = "480802 0535",
	['G'] = "47381807031232434525",
	['H'] = "0208 4248 0545",
	['I'] = "1838 2822 1232",
	['J'] = "4843321203",
	['K'] = "0208 4805 1642",
	['L'] = "080242",
	['M'] = "0208254842",
	['N'] = "02084248",
	['O'] = "123243473818070312",
	['P'] = "02083847463505",
	['Q'] = "123243473818070312 2442",
	['R'] = "02083847463505 2542",
	['S'] = "473818070615354443321203",
	['T'] = "0848 2822",
	['U'] = "080312324348",
	['V'] = "082248",
	['W'] = "0812253248",
	['X'] = "0248 0842",
	['Y'] = "082548 2522",
	['Z'] = "08480242",
	['a'] = "16364542 441403123243",
	['b'] = "0802 0516364543321203",
	['c'] = "4536160503123243",
	['d'] = "4842 4536160503123243",
	['e'] = "04444536160503123243",
	['f'] = "382722 1636",
	['g'] = "46413010 4536160503123243",
	['h'] = "0802 0516364542",
	['i'] = "2622 2828",
	['j'] = "262110 2828",
	['k'] = "0802 4604 1542",
	['l'] = "282332",
	['m'] = "0602 05162522 25364542",
	['n'] = "0602 0516364542",
	['o'] = "123243453616050312",
	['p'] = "0600 0516364543321203",
	['q'] = "4640 4536160503123243",
	['r'] = "0602 05163645",
	['s'] = "45361605143443321203",
	['t'] = "282332 1636",
	['u'] = "0603123243 4642",
	['v'] = "062246",
	['w'] = "0612243246",
	['x'] = "0246 0642",
	['y'] = "0622 4610",
	['z'] = "06460242",
	['.'] = "2222",
	[','] = "2211",
	[':'] = "2222 2525",
	[';'] = "2211 2525",
	['-'] = "0535",
	['+'] = "0545 2327",
	['='] = "0444 0646",
	['/'] = "0248",
	['\\'] = "0842",
	['('] = "38272332",
	[')'] = "18272312",
	['['] = "38181232",
	[']'] = "18383212",
	['%'] = "0248 0707 4343",
	['_'] = "0242",
	['<'] = "460442",
	['>'] = "064402",
	['#'] = "1218 3238 0444 0646",
	['!'] = "2824 2222",
	['?'] = "07183847462524 2222",
	['\''] = "2826",
	['"'] = "1816 3836",
	['|'] = "2822",
	['*'] = "0446 0644 2327",
	['&'] = "4206071827260403123245",
	['@'] = "4412030718384744354534",
	['~'] = "05163545",
	['^'] = "062846",
};

static const char box_glyph[] = "0242480802";

/* The glyph that @s begins with; *len gets its bytes. */
static const char *glyph(const char *s, int *len)
{
	static const struct {
		const char *sign, *strokes;
	} more[] = { { "\xc3\x98", "123243473818070312 0248" }, /* diameter */
		     { "\xc3\x97", "0345 0543" },               /* times */
		     { "\xc2\xb1", "0646 2428 0242" },          /* plus-minus */
		     { "\xc2\xb0", "0607181716 06" } };         /* degree */
	unsigned char c = (unsigned char)*s;

	*len = 1;
	if (c < 0x80)
		return strokes[c] ? strokes[c] : c == ' ' ? NULL : box_glyph;
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++)
		if (strncmp(s, more[i].sign, 2) == 0) {
			*len = 2;
			return more[i].strokes;
		}
	while (((unsigned char)s[*len] & 0xc0) == 0x80)
		(*len)++;
	return box_glyph;
}

static void extent(const char *g, int *lo, int *hi)
{
	*lo = 9;
	*hi = 0;
	for (; g[0] && g[1]; g += 2) {
		while (*g == ' ')
			g++;
		int x = g[0] - '0';
		*lo = x < *lo ? x : *lo;
		*hi = x > *hi ? x : *hi;
	}
}

/* ---- the canvas ---- */

int canvas_open(struct canvas *c, int w, int h, struct err *e)
{
	if (c->hue && c->w == w && c->h == h) {
		canvas_clear(c);
		return 0;
	}
	canvas_release(c);
	if (w < 16 || h < 16 || w > CANVAS_MAX || h > CANVAS_MAX)
		return err_set(e, ERR_INPUT, "a picture of %d x %d pixels: 16 to %d were expected",
		               w, h, CANVAS_MAX);
	size_t n = (size_t)w * (size_t)h;
	c->w = w;
	c->h = h;
	c->hue = malloc(n);
	c->level = malloc(n);
	c->ink = malloc(n);
	if (!c->hue || !c->level || !c->ink) {
		canvas_release(c);
		return err_set(e, ERR_MEM, "out of memory for a picture of %d x %d pixels", w, h);
	}
	canvas_clear(c);
	return 0;
}

void canvas_release(struct canvas *c)
{
	free(c->hue);
	free(c->level);
	free(c->ink);
	*c = (struct canvas){ 0 };
}

void canvas_clear(struct canvas *c)
{
	size_t n = (size_t)c->w * (size_t)c->h;

	memset(c->hue, HUE_PAPER, n);
	memset(c->level, 255, n);
	memset(c->ink, 0, n);
}

/* By the distance from the segment: right for any angle and with round ends. Short lines only. */
static void stroke(struct canvas *c, double x0, double y0, double x1, double y1, double width,
                   int darkest)
{
	double r = width / 2 + 0.5, dx = x1 - x0, dy = y1 - y0, len2 = dx * dx + dy * dy;
	int left = (int)floor(fmin(x0, x1) - r), right = (int)ceil(fmax(x0, x1) + r);
	int top = (int)floor(fmin(y0, y1) - r), bottom = (int)ceil(fmax(y0, y1) + r);

	left = left < 0 ? 0 : left;
	top = top < 0 ? 0 : top;
	right = right > c->w - 1 ? c->w - 1 : right;
	bottom = bottom > c->h - 1 ? c->h - 1 : bottom;
	for (int y = top; y <= bottom; y++)
		for (int x = left; x <= right; x++) {
			double px = x + 0.5 - x0, py = y + 0.5 - y0;
			double t = len2 > 0 ? (px * dx + py * dy) / len2 : 0;
			t = t < 0 ? 0 : t > 1 ? 1 : t;
			double ex = px - t * dx, ey = py - t * dy;
			canvas_ink(c, x, y, r - sqrt(ex * ex + ey * ey), darkest);
		}
}

void canvas_line(struct canvas *c, double x0, double y0, double x1, double y1, double width,
                 int darkest)
{
	bool steep = fabs(y1 - y0) > fabs(x1 - x0);
	double a0 = steep ? y0 : x0, b0 = steep ? x0 : y0, a1 = steep ? y1 : x1,
	       b1 = steep ? x1 : y1;

	if (!(isfinite(x0) && isfinite(y0) && isfinite(x1) && isfinite(y1)))
		return;
	if (hypot(x1 - x0, y1 - y0) < 8) {
		stroke(c, x0, y0, x1, y1, width, darkest);
		return;
	}
	if (a0 > a1) {
		double t = a0;
		a0 = a1, a1 = t;
		t = b0;
		b0 = b1, b1 = t;
	}
	double slope = (b1 - b0) / (a1 - a0), across = 1 / sqrt(1 + slope * slope);
	double r = (width / 2 + 0.5), reach = r / across;
	int major = steep ? c->h : c->w, minor = steep ? c->w : c->h;
	int from = a0 < 0 ? 0 : (int)floor(a0), to = a1 > major ? major : (int)ceil(a1);

	for (int a = from; a < to; a++) {
		double b = b0 + slope * (a + 0.5 - a0);
		int lo = (int)floor(b - reach), hi = (int)ceil(b + reach);
		lo = lo < 0 ? 0 : lo;
		hi = hi > minor - 1 ? minor - 1 : hi;
		for (int k = lo; k <= hi; k++)
			canvas_ink(c, steep ? k : a, steep ? a : k, r - fabs(k + 0.5 - b) * across,
			           darkest);
	}
}

static double text(struct canvas *c, double x, double y, double size, const char *s)
{
	double unit = size / 6, at = x, width = size * 0.13 < 1 ? 1 : size * 0.13;
	int len;

	for (; *s; s += len) {
		const char *g = glyph(s, &len);
		int lo = 0, hi = 2;
		if (g)
			extent(g, &lo, &hi);
		double pen_x = 0, pen_y = 0;
		bool down = false;
		for (const char *p = g; c && p && *p;) {
			if (*p == ' ' || !p[1]) {
				down = false;
				p++;
				continue;
			}
			double px = at + (p[0] - '0' - lo) * unit, py = y - (p[1] - '0' - 2) * unit;
			if (down)
				stroke(c, pen_x, pen_y, px, py, width, 235);
			pen_x = px, pen_y = py;
			down = true;
			p += 2;
		}
		at += (hi - lo + 2.2) * unit;
	}
	return at - x;
}

double canvas_text(struct canvas *c, double x, double y, double size, const char *s)
{
	return text(c, x, y, size, s);
}

double canvas_text_width(double size, const char *s)
{
	return text(NULL, 0, 0, size, s);
}

/* ---- colours ---- */

/* Entries of the palette: where shading is fine, many. 256 at most in all. */
static const int entries[HUE_COUNT] = {
	[HUE_PAPER] = 24, [HUE_PART] = 104, [HUE_SURPLUS] = 48, [HUE_MISSING] = 48, [HUE_CUT] = 24
};

static int first_entry(int hue)
{
	int at = 0;

	for (int h = 0; h < hue; h++)
		at += entries[h];
	return at;
}

static uint8_t channel(int hue, int entry, int k)
{
	double f = (double)entry / (entries[hue] - 1);

	return (uint8_t)(dark[k] + (light[hue][k] - dark[k]) * f + 0.5);
}

/* Which of the hue's entries; ink darkens. */
static int entry_of(int hue, int level, int ink)
{
	int left = (level * (255 - ink) + 127) / 255;

	return (left * (entries[hue] - 1) + 127) / 255;
}

uint32_t canvas_rgb(const struct canvas *c, int x, int y)
{
	size_t at = (size_t)y * (size_t)c->w + (size_t)x;
	int hue = c->hue[at], entry = entry_of(hue, c->level[at], c->ink[at]);

	return (uint32_t)channel(hue, entry, 0) << 16 | (uint32_t)channel(hue, entry, 1) << 8 |
	       channel(hue, entry, 2);
}

struct png_out {
	struct buf *to;
	struct err *e;
};

static void png_append(png_structp png, png_bytep data, png_size_t n)
{
	struct png_out *o = png_get_io_ptr(png);

	buf_add(o->to, data, n);
}

static void png_flushed(png_structp png)
{
	(void)png;
}

static void png_failed(png_structp png, png_const_charp why)
{
	struct png_out *o = png_get_error_ptr(png);

	err_set(o->e, ERR_MEM, "the picture cannot be written: %s", why);
	longjmp(png_jmpbuf(png), 1);
}

static void png_warned(png_structp png, png_const_charp why)
{
	(void)png;
	(void)why;
}

/* The palette's entries of a row. Much of a picture is bare paper, and is told by eight pixels. */
static void index_row(const struct canvas *c, int y, uint8_t index[HUE_COUNT][256], uint8_t *row)
{
	size_t at = (size_t)y * (size_t)c->w;
	const uint8_t *hue = c->hue + at, *level = c->level + at, *ink = c->ink + at;

	memset(row, index[HUE_PAPER][255], (size_t)c->w);
	for (int x = 0; x < c->w;) {
		uint64_t h, l, i;
		if (x + 8 <= c->w) {
			memcpy(&h, hue + x, 8);
			memcpy(&l, level + x, 8);
			memcpy(&i, ink + x, 8);
			if ((h | i | ~l) == 0) {
				x += 8;
				continue;
			}
		}
		for (int end = x + 8 < c->w ? x + 8 : c->w; x < end; x++)
			row[x] = index[hue[x]]
				      [ink[x] ? (level[x] * (255 - ink[x]) + 127) / 255 : level[x]];
	}
}

int canvas_png(const struct canvas *c, struct buf *out, struct err *e)
{
	struct png_out o = { out, e };
	png_color palette[256];
	uint8_t index[HUE_COUNT][256];
	size_t start = out->len;
	png_infop info = NULL;
	int n = 0;

	for (int hue = 0; hue < HUE_COUNT; hue++) {
		for (int k = 0; k < entries[hue]; k++)
			palette[n++] = (png_color){ channel(hue, k, 0), channel(hue, k, 1),
				                    channel(hue, k, 2) };
		for (int level = 0; level < 256; level++)
			index[hue][level] = (uint8_t)(first_entry(hue) + entry_of(hue, level, 0));
	}
	uint8_t *row = malloc((size_t)c->w);
	png_structp png =
		png_create_write_struct(PNG_LIBPNG_VER_STRING, &o, png_failed, png_warned);
	if (png)
		info = png_create_info_struct(png);
	if (!row || !info) {
		png_destroy_write_struct(&png, &info);
		free(row);
		return err_set(e, ERR_MEM, "out of memory for a picture");
	}
	if (setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		free(row);
		out->len = start;
		return -1;
	}
	png_set_write_fn(png, &o, png_append, png_flushed);
	png_set_IHDR(png, info, (png_uint_32)c->w, (png_uint_32)c->h, 8, PNG_COLOR_TYPE_PALETTE,
	             PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_PLTE(png, info, palette, n);
	/* indices are no samples: differences of them say nothing */
	png_set_filter(png, 0, PNG_FILTER_NONE);
	/* ours are in the palette by making: libpng need not look for one that is not */
	png_set_check_for_invalid_index(png, 0);
	png_set_compression_level(png, 1);
	png_set_compression_buffer_size(png, 1 << 16);
	png_write_info(png, info);
	for (int y = 0; y < c->h; y++) {
		index_row(c, y, index, row);
		png_write_row(png, row);
	}
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	free(row);
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "out of memory for a picture");
	return 0;
}
