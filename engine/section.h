/*
 * section.h - the cut of triangles by a plane across an axis: its faces and what lies inside.
 *
 * Pure geometry, mm. Material is where the winding of the cut's border is not 0, so solids that
 * overlap are one. Coordinates in the plane are u = axis + 1, v = axis + 2 (of x, y, z in turn).
 * Nothing is chained into loops: a mesh with a crack loses a sliver and no more.
 */
#ifndef ENGINE_SECTION_H
#define ENGINE_SECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/err.h"

struct section_line {
	double a[2], b[2]; /* material on the left hand from a to b */
};

struct section {
	int axis;
	double at_mm;
	struct section_line *lines;
	size_t n_lines;
};

struct section_face {
	double area_mm2, middle_mm[2]; /* of its area; that of a sliver may be its box's */
	double min_mm[2], max_mm[2];
};

struct section_faces {
	struct section_face *faces; /* largest first */
	int n;
	double area_mm2; /* of all, overlaps counted once */
};

/* Cuts @n_tri triangles (9 doubles each, counter-clockwise from outside) at @axis = @at_mm. What
 * lies in the plane counts as above it: a plane on a top face cuts just below. 0, or -1 (ERR_MEM).
 */
int section_cut(struct section *out, const double *xyz, size_t n_tri, int axis, double at_mm,
                struct err *e);
void section_release(struct section *s);

/* Is there material at (u, v)? */
bool section_holds(const struct section *s, double u, double v);

/* Its separate faces inside of @clip (u0, v0, u1, v1; NULL: all). Pieces no further apart than
 * @join_mm are one; faces of less than @min_area_mm2 are left out. 0, or -1: ERR_MEM, ERR_INPUT
 * when it has too many lines to be worked through. */
int section_find_faces(struct section_faces *out, const struct section *s, const double clip[4],
                       double join_mm, double min_area_mm2, struct err *e);
void section_faces_release(struct section_faces *f);

/* How many separate stretches without material a circle about (u, v) passes, of at least @min_rad
 * each; 0 when it meets none, or nothing else. @middles (may be NULL) takes the angle of the middle
 * of up to @max of them. */
int section_gaps(const struct section *s, double u, double v, double radius_mm, double min_rad,
                 double *middles, int max, struct err *e);

#endif
