/*
 * windows.h - the openings that one sees through along an axis.
 *
 * Pure geometry, mm. On a picture of the part's shadow, 512 points along the longer side:
 * background that the border does not reach. Coordinates in it are u = axis + 1, v = axis + 2 (of
 * x, y, z in turn).
 */
#ifndef ENGINE_WINDOWS_H
#define ENGINE_WINDOWS_H

#include <stddef.h>

#include "src/base/err.h"

struct window {
	double area_mm2, middle_mm[2];
};

struct windows {
	struct window *w; /* largest first */
	int n;
};

/* @box: u0, v0, u1, v1 of the part. Openings of less than @min_area_mm2, or of fewer than four
 * points of the picture, are left out. 0, or -1 (ERR_MEM). */
int windows_find(struct windows *out, const double *xyz, size_t n_tri, int axis,
                 const double box[4], double min_area_mm2, struct err *e);
void windows_release(struct windows *w);

#endif
