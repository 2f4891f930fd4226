/*
 * views.h - the pictures of a part: six sides, a section, the difference to its reference, and a
 * contact sheet, each a PNG with a scale and the dimensions of the box.
 *
 * Runs in the scorer's jailed child. Lengths in mm. The same shape gives the same bytes.
 */
#ifndef ENGINE_VIEWS_H
#define ENGINE_VIEWS_H

#include <stdbool.h>

#include "engine/exact_reference.h"
#include "engine/voxel.h"
#include "src/base/buf.h"
#include "src/base/err.h"

#define VIEW_NAME_MAX 32
#define VIEW_PX_MIN   96
#define VIEW_PX_MAX   2048
#define VIEW_PX       720

/* "front", "back", "left", "right", "top", "isometric", "sheet", "difference", "section" (the
 * middle, seen from the front) or "section:AXIS:AT" with AXIS x, y or z and AT, a fraction of the
 * box, between 0 and 1. 0, or -1 (ERR_INPUT naming the word and what there is). */
int view_name_check(const char *name, struct err *e);

/* What all pictures of one part share. */
struct views;

/* @part is borrowed for the life of the views. @reference (borrowed, or NULL) is in the placement
 * that @turn (NULL: none) brings the part to, about the middle of its box. @title: one line of
 * printable text for the sheet, may be "". NULL with @e (ERR_INPUT: nothing to be seen; ERR_MEM).
 */
struct views *views_open(const struct facets *part, const struct exact_reference *reference,
                         const int turn[3][3], const char *title, struct err *e);
void views_close(struct views *v);

/* Appends one picture of @px by @px pixels. 0, or -1 (ERR_INPUT: a name there is not, "difference"
 * without a reference; ERR_MEM). */
int views_png(struct views *v, const char *name, int px, struct buf *out, struct err *e);

#endif
