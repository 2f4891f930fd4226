/*
 * picture.h - a part's triangles as pixels for a terminal: from the STL that a build left, through
 * engine/scene.
 *
 * Small and quick: a frame of the workbench waits for it. A mesh of more triangles than a terminal
 * can show is thinned on reading, so that the memory has a bound (about 12 MiB a part).
 */
#ifndef SRC_PICTURE_H
#define SRC_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

enum picture_view {
	PICTURE_FRONT,
	PICTURE_LEFT,
	PICTURE_RIGHT,
	PICTURE_TOP,
	PICTURE_ISO,
	PICTURE_BACK,
	PICTURE_SHEET, /* front, right, top, iso in one */
	PICTURE_OFF,
	PICTURE_VIEWS
};
const char *picture_view_name(enum picture_view v); /* "front", ..., "sheet", "off" */
/* The view of that name; PICTURE_VIEWS when there is none such. */
enum picture_view picture_view_named(const char *name);

/* From which side, turned how, cut open or not, against the reference or not. */
struct picture_look {
	enum picture_view view;
	double turn_deg, tilt_deg; /* beyond the view: about the vertical, towards the viewer */
	bool section, difference;
};

struct part; /* triangles made ready */

/* A binary or text STL. NULL with @e: ERR_INPUT (damaged, nothing in it), ERR_MEM. */
struct part *part_open(const void *stl, size_t len, struct err *e);
void part_close(struct part *p); /* NULL is fine */
void part_size_mm(const struct part *p, double size_mm[3]);

/* @w x @h pixels of three bytes, rows from the top, into @rgb (w * h * 3). With look.difference and
 * a @reference (may be NULL), middles of the boxes laid together, what the part has too much is
 * orange, what only the reference has is blue. 0, or -1 (ERR_MEM, ERR_INPUT for a size out of 16 to
 * 2048). */
int picture_draw(struct part *p, struct part *reference, const struct picture_look *look, int w,
                 int h, uint8_t *rgb, struct err *e);

#endif
