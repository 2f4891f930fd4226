/*
 * column.h - where a line along an axis runs through material, for many lines.
 *
 * Pure geometry, mm. Material is where the winding of the triangles is not 0: solids that overlap
 * are one. Exact along the line; as fine across as lines are asked for. Coordinates across are
 * u = axis + 1, v = axis + 2 (of x, y, z in turn), w is along.
 */
#ifndef ENGINE_COLUMN_H
#define ENGINE_COLUMN_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

/* Triangles by the cell of a grid across the axis that their projections meet. */
struct columns {
	const double *xyz; /* borrowed */
	int axis, n[2];
	double lo[2], step[2], per_mm[2]; /* of a cell, and its inverse */
	uint32_t *first;                  /* n[0] * n[1] + 1 places in which */
	uint32_t *which;
};

/* Material from a to b. */
struct span {
	double a, b;
};

/* Spans of one line, in order and apart; grows as needed. {0} is an empty one. */
struct spans {
	struct span *s;
	int n, cap;
	struct column_hit *hits; /* scratch */
	int cap_hits;
};
void spans_release(struct spans *s);

/* 0, or -1 (ERR_MEM). @xyz (9 doubles a triangle) must outlive it. */
int columns_open(struct columns *out, const double *xyz, size_t n_tri, int axis, struct err *e);
void columns_close(struct columns *c);

/* The material along the line at (u, v). A line on which the mesh is not closed has none. 0, or -1
 * (ERR_MEM). */
int columns_at(const struct columns *c, double u, double v, struct spans *out, struct err *e);

/* In how many connected pieces is the material between the corners @from and @to (x, y, z)? @c: the
 * columns of all three axes; lines are laid along @axis. Lines side by side are connected where the
 * way between them is material too, but for gaps of at most @join_mm; pieces of less than
 * @min_share of it all do not count. 0, or -1: ERR_MEM, ERR_INPUT when it is too crumbled. */
int columns_pieces(const struct columns c[3], int axis, const double from[3], const double to[3],
                   double join_mm, double min_share, int *out, struct err *e);

/* Length of material in @s within [lo, hi]. */
double spans_length(const struct spans *s, double lo, double hi);
/* Length that both have. @mirror (NAN: none): @q is reflected at it. */
double spans_common(const struct spans *p, const struct spans *q, double mirror);

#endif
