#include "ui/image.h"

#include <chafa.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	CELL_W_PX = 10, /* when the terminal does not say; twice as high as wide */
	CELL_H_PX = 20,
	SIDE_MAX_PX = 2048,
	CELLS_MAX = 1 << 18
};

void image_release(struct image_pane *p)
{
	free(p->cells);
	memset(p, 0, sizeof *p);
}

static bool there(const struct view_image *im)
{
	return im->rgb && im->w > 0 && im->h > 0;
}

struct rect image_place(const struct view_image *im, struct rect r)
{
	struct rect out = { r.x, r.y, 0, 0 };
	double scale;

	if (!there(im) || r.w < 1 || r.h < 1)
		return out;
	/* a cell is twice as high as wide */
	scale = fmin((double)r.w / im->w, 2.0 * r.h / im->h);
	out.w = (int)lround(im->w * scale);
	out.h = (int)lround(im->h * scale / 2);
	out.w = out.w < 1 ? 1 : out.w > r.w ? r.w : out.w;
	out.h = out.h < 1 ? 1 : out.h > r.h ? r.h : out.h;
	out.x += (r.w - out.w) / 2;
	out.y += (r.h - out.h) / 2;
	return out;
}

void image_room(int w, int h, enum ui_image_mode mode, int *w_px, int *h_px)
{
	/* Two and a half pixels for each that a block element can show keep edges crisp and their
	 * slant smooth; the terminal's own graphics show every pixel. */
	int per_w = mode == UI_IMAGE_KITTY || mode == UI_IMAGE_SIXEL ? CELL_W_PX : 5;
	int per_h = 2 * per_w;

	*w_px = *h_px = 0;
	if (w < 1 || h < 1 || mode == UI_IMAGE_OFF)
		return;
	*w_px = w * per_w > SIDE_MAX_PX ? SIDE_MAX_PX : w * per_w;
	*h_px = h * per_h > SIDE_MAX_PX ? SIDE_MAX_PX : h * per_h;
}

static bool is_ground(const uint8_t *p)
{
	return p[0] == 255 && p[1] == 255 && p[2] == 255;
}

/* The same pixels, the ground transparent; free(). */
static uint8_t *with_alpha(const struct view_image *im)
{
	size_t n = (size_t)im->w * (size_t)im->h;
	uint8_t *out = malloc(n * 4);

	for (size_t i = 0; out && i < n; i++) {
		const uint8_t *p = im->rgb + 3 * i;

		memcpy(out + 4 * i, p, 3);
		out[4 * i + 3] = is_ground(p) ? 0 : 255;
	}
	return out;
}

/* libchafa keeps the number of its threads to itself; one is enough for a pane, and the process
 * stays one that may fork. */
static ChafaCanvas *convert(const struct view_image *im, int w, int h, ChafaPixelMode mode,
                            int cell_w_px, int cell_h_px)
{
	uint8_t *pixels = with_alpha(im);
	ChafaSymbolMap *map = chafa_symbol_map_new();
	ChafaCanvasConfig *config = chafa_canvas_config_new();
	ChafaCanvas *canvas;

	if (!pixels)
		goto none;
	chafa_set_n_threads(1);
	chafa_symbol_map_add_by_tags(map, CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_SOLID |
	                                          CHAFA_SYMBOL_TAG_HALF | CHAFA_SYMBOL_TAG_QUAD);
	chafa_canvas_config_set_symbol_map(config, map);
	chafa_canvas_config_set_geometry(config, w, h);
	chafa_canvas_config_set_cell_geometry(config, cell_w_px, cell_h_px);
	chafa_canvas_config_set_canvas_mode(config, CHAFA_CANVAS_MODE_TRUECOLOR);
	chafa_canvas_config_set_pixel_mode(config, mode);
	chafa_canvas_config_set_dither_mode(config, CHAFA_DITHER_MODE_NONE);
	chafa_canvas_config_set_color_space(config, CHAFA_COLOR_SPACE_RGB);
	chafa_canvas_config_set_preprocessing_enabled(config, FALSE);
	chafa_canvas_config_set_transparency_threshold(config, 0.5f);
	chafa_canvas_config_set_work_factor(config, 0.5f);
	canvas = chafa_canvas_new(config);
	chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGBA8_UNASSOCIATED, pixels, im->w, im->h,
	                             im->w * 4);
	chafa_symbol_map_unref(map);
	chafa_canvas_config_unref(config);
	free(pixels);
	return canvas;
none:
	chafa_symbol_map_unref(map);
	chafa_canvas_config_unref(config);
	return NULL;
}

static uint32_t color_of(gint rgb)
{
	return rgb < 0 ? CELL_DEFAULT : (uint32_t)rgb & 0xffffff;
}

/* A block element of what the other one leaves. */
static uint32_t complement(uint32_t cp)
{
	static const uint16_t pairs[][2] = { { ' ', 0x2588 },    { 0x2580, 0x2584 },
		                             { 0x258c, 0x2590 }, { 0x2596, 0x259c },
		                             { 0x2597, 0x259b }, { 0x2598, 0x259f },
		                             { 0x259d, 0x2599 }, { 0x259a, 0x259e } };

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		for (int k = 0; k < 2; k++)
			if (pairs[i][k] == cp)
				return pairs[i][!k];
	return cp;
}

static int blocks(struct image_pane *p, const struct view_image *im)
{
	ChafaCanvas *canvas =
		convert(im, p->w, p->h, CHAFA_PIXEL_MODE_SYMBOLS, CELL_W_PX, CELL_H_PX);

	if (!canvas)
		return -1;
	for (int y = 0; y < p->h; y++)
		for (int x = 0; x < p->w; x++) {
			struct cell *cell = &p->cells[y * p->w + x];
			gint fg, bg;

			memset(cell, 0, sizeof *cell);
			cell->ch[0] = chafa_canvas_get_char_at(canvas, x, y);
			chafa_canvas_get_colors_at(canvas, x, y, &fg, &bg);
			cell->fg = color_of(fg);
			cell->bg = color_of(bg);
			/* ground in front of a colour: the colour in front of the ground */
			if (cell->fg == CELL_DEFAULT && cell->bg != CELL_DEFAULT) {
				cell->ch[0] = complement(cell->ch[0]);
				cell->fg = cell->bg;
				cell->bg = CELL_DEFAULT;
			}
			/* nothing to be seen: a blank of the terminal's own */
			if (!cell->ch[0])
				cell->ch[0] = ' ';
			cell->pixel = cell->bg != CELL_DEFAULT ||
			              (cell->fg != CELL_DEFAULT && cell->ch[0] != ' ');
			if (!cell->pixel)
				*cell = (struct cell){ .ch = { ' ' } };
		}
	chafa_canvas_unref(canvas);
	return 0;
}

/* As ink on paper: the darker, the denser; lines are the densest. */
static void shades(struct image_pane *p, const struct view_image *im)
{
	static const char ramp[] = ".:-=+*oO#@";

	for (int y = 0; y < p->h; y++)
		for (int x = 0; x < p->w; x++) {
			struct cell *cell = &p->cells[y * p->w + x];
			int x0 = x * im->w / p->w, x1 = (x + 1) * im->w / p->w;
			int y0 = y * im->h / p->h, y1 = (y + 1) * im->h / p->h;
			double sum = 0, least = 255;
			int n = 0, all = 0;

			for (int j = y0; j < (y1 > y0 ? y1 : y0 + 1); j++)
				for (int i = x0; i < (x1 > x0 ? x1 : x0 + 1); i++) {
					const uint8_t *q =
						im->rgb +
						3 * ((size_t)j * (size_t)im->w + (size_t)i);
					double v = 0.30 * q[0] + 0.59 * q[1] + 0.11 * q[2];

					all++;
					if (is_ground(q))
						continue;
					sum += v;
					least = v < least ? v : least;
					n++;
				}
			memset(cell, 0, sizeof *cell);
			cell->ch[0] = ' ';
			if (n * 3 >= all && n) {
				/* a line through the cell is seen though it covers little of it */
				double v = 0.6 * sum / n + 0.4 * least;
				int k = (int)((255 - v) * (double)(sizeof ramp - 1) / 256);

				cell->ch[0] = (uint32_t)ramp[k];
				cell->role = ROLE_NORMAL;
			}
		}
}

static int make(struct image_pane *p, const struct view_image *im, struct rect at, bool ascii,
                enum ui_image_mode mode)
{
	image_release(p);
	if ((long)at.w * at.h > CELLS_MAX)
		return -1;
	p->cells = malloc((size_t)at.w * (size_t)at.h * sizeof *p->cells);
	if (!p->cells)
		return -1;
	p->w = at.w;
	p->h = at.h;
	if (ascii)
		shades(p, im);
	else if (blocks(p, im) < 0) {
		image_release(p);
		return -1;
	}
	p->id = im->id;
	p->ascii = ascii;
	p->mode = mode;
	return 0;
}

/* Words in the middle, a line broken at blanks. */
static void words(struct canvas *c, struct rect r, const char *text)
{
	int rows = 0;

	if (r.w > 8) {
		r.x++;
		r.w -= 2;
	}
	if (!text || r.w < 4 || r.h < 1)
		return;
	for (int pass = 0; pass < 2; pass++) {
		const char *p = text;
		int y = r.y + (r.h - rows > 0 ? (r.h - rows) / 2 : 0);

		rows = 0;
		while (*p && rows < r.h) {
			size_t len = strcspn(p, "\n"), cut;

			while (text_width(p, len) > r.w) {
				for (cut = len; cut > 0 && p[cut - 1] != ' '; cut--)
					;
				if (!cut)
					break;
				len = cut - 1;
			}
			if (pass)
				draw_text(c,
				          r.x + (r.w - text_width(p, len)) / 2 *
				                          (r.w > text_width(p, len)),
				          y + rows, r.w, ROLE_FAINT, p, len);
			rows++;
			p += len;
			p += strspn(p, " \n");
		}
	}
}

void image_draw(struct image_pane *p, struct canvas *c, struct rect r, const struct view_image *im,
                enum ui_image_mode mode)
{
	struct rect at;
	bool ascii = c->ascii || c->tier < TIER_256 || mode == UI_IMAGE_ASCII;

	if (r.w < 1 || r.h < 1)
		return;
	if (mode == UI_IMAGE_OFF) {
		words(c, r, there(im) ? "pictures are off" : im->why);
		return;
	}
	if (!there(im)) {
		words(c, r, im->why && *im->why ? im->why : "no picture yet");
		return;
	}
	if (mode == UI_IMAGE_KITTY || mode == UI_IMAGE_SIXEL)
		return;
	at = image_place(im, r);
	if ((p->id != im->id || p->w != at.w || p->h != at.h || p->ascii != ascii || !p->cells) &&
	    make(p, im, at, ascii, mode) < 0) {
		words(c, r, "too little memory for the picture");
		return;
	}
	for (int y = 0; y < at.h && at.y + y < c->h; y++)
		for (int x = 0; x < at.w && at.x + x < c->w; x++)
			if (at.y + y >= 0 && at.x + x >= 0)
				c->cells[(size_t)(at.y + y) * (size_t)c->w + (size_t)(at.x + x)] =
					p->cells[y * at.w + x];
}

/* ---- the terminal's own graphics ---- */

int image_escape(struct buf *out, const struct view_image *im, enum ui_image_mode mode, int w,
                 int h, int cell_w_px, int cell_h_px, struct err *e)
{
	bool kitty = mode == UI_IMAGE_KITTY;
	ChafaTermInfo *info;
	ChafaCanvas *canvas;
	GString *text;

	if (!there(im) || w < 1 || h < 1 || (!kitty && mode != UI_IMAGE_SIXEL))
		return 0;
	if (cell_w_px < 1 || cell_h_px < 1 || cell_w_px > 100 || cell_h_px > 200) {
		cell_w_px = CELL_W_PX;
		cell_h_px = CELL_H_PX;
	}
	canvas = convert(im, w, h, kitty ? CHAFA_PIXEL_MODE_KITTY : CHAFA_PIXEL_MODE_SIXELS,
	                 cell_w_px, cell_h_px);
	if (!canvas)
		return err_set(e, ERR_MEM, "out of memory for a picture");
	info = chafa_term_db_get_fallback_info(chafa_term_db_get_default());
	text = chafa_canvas_print(canvas, info);
	buf_add(out, text->str, text->len);
	g_string_free(text, TRUE);
	chafa_term_info_unref(info);
	chafa_canvas_unref(canvas);
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory for a picture") : 0;
}

void image_escape_erase(struct buf *out, enum ui_image_mode mode)
{
	/* kitty: delete all placements that are to be seen, and their data */
	if (mode == UI_IMAGE_KITTY)
		buf_adds(out, "\033_Ga=d,d=A,q=2\033\\");
}

enum ui_image_mode image_mode_for(enum ui_image_mode asked, const char *term, const char *tmux,
                                  const char *sty, const char **why)
{
	bool multiplexer = (tmux && *tmux) || (sty && *sty) ||
	                   (term && (!strncmp(term, "tmux", 4) || !strncmp(term, "screen", 6)));

	*why = NULL;
	if ((asked != UI_IMAGE_KITTY && asked != UI_IMAGE_SIXEL) || !multiplexer)
		return asked;
	*why = "inside tmux or screen pictures are made of characters: terminal graphics would be "
	       "drawn in wrong places";
	return UI_IMAGE_BLOCKS;
}
