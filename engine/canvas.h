/*
 * canvas.h - flat drawing: anti-aliased lines, text in strokes, and the few colours a picture has.
 *
 * A pixel is a hue (a ramp from dark to light) and a level on it, 0 to 255; what is drawn over it
 * is an ink of 0 (none) to 255. Ink darkens the level, so that one byte, an index into the palette,
 * says it all. x grows to the right, y downwards, in pixels; (0.5, 0.5) is the middle of the first
 * one.
 *
 * The same calls give the same bytes on every machine.
 */
#ifndef ENGINE_CANVAS_H
#define ENGINE_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/err.h"

/* In difference pictures: SURPLUS is material that the reference has not (orange), MISSING what
 * only the reference has (blue): two colours that people with any of the colour deficiencies tell
 * apart, also by their lightness. */
enum hue { HUE_PAPER, HUE_PART, HUE_SURPLUS, HUE_MISSING, HUE_CUT, HUE_COUNT };

#define CANVAS_MAX 4096

struct canvas {
	int w, h;
	uint8_t *hue, *level, *ink; /* w * h each */
};

/* White paper. One of this size that was opened before is wiped; {0} before the first opening.
 * 0, or -1: ERR_INPUT for a size out of 16 to CANVAS_MAX, ERR_MEM. */
int canvas_open(struct canvas *c, int w, int h, struct err *e);
void canvas_release(struct canvas *c);
void canvas_clear(struct canvas *c);

/* Ink of @darkest on the part @cover (to 1) of a pixel of the canvas; what is darker stays. */
static inline void canvas_ink(struct canvas *c, int x, int y, double cover, int darkest)
{
	if (cover <= 0)
		return;
	uint8_t *p = &c->ink[(size_t)y * (size_t)c->w + (size_t)x];
	int ink = (int)((cover < 1 ? cover : 1) * darkest + 0.5);

	if (ink > *p)
		*p = (uint8_t)ink;
}

/* Ink up to @darkest along the line, @width pixels wide, with soft sides. */
void canvas_line(struct canvas *c, double x0, double y0, double x1, double y1, double width,
                 int darkest);
/* ASCII, and the signs for diameter, degree, plus-minus and times in UTF-8; others are boxes.
 * (@x, @y) is the left end of the base line, @size the height of a capital in pixels. Returns the
 * width. */
double canvas_text(struct canvas *c, double x, double y, double size, const char *text);
double canvas_text_width(double size, const char *text);
/* Appends a PNG (8 bits, palette). 0, or -1 (ERR_MEM). */
int canvas_png(const struct canvas *c, struct buf *out, struct err *e);
/* What a pixel looks like, 0xRRGGBB. */
uint32_t canvas_rgb(const struct canvas *c, int x, int y);

#endif
