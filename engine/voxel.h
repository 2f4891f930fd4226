/*
 * voxel.h - solids as bits on a grid, and the 24 ways in which a part can lie along the axes.
 *
 * A cell belongs to a solid when its middle is inside by parity: a line along z crosses the solid's
 * triangles an odd number of times below it. Solids are filled one by one and united, so that two
 * that overlap leave no hole. Which triangle a line meets is decided in whole numbers (corners are
 * rounded to 1/65536 of a cell, an edge belongs to one of its two triangles), so a closed mesh
 * never leaks; a line that crosses an open one an odd number of times meets nothing.
 *
 * Pure functions: the same triangles give the same bits on every machine.
 */
#ifndef ENGINE_VOXEL_H
#define ENGINE_VOXEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VOXEL_TURNS 24

/* Rotation @r, 0 to 23, as rows: place in the comparison = turn * place of its own. 0 leaves the
 * part as it is. r / 4 is the order of the axes (xyz xzy yxz yzx zxy zyx: turned axis i is the own
 * axis order[i]), r % 4 the signs: of the four that make no mirror image, with fewer minuses and
 * then earlier pluses first. */
void voxel_turn(int r, int turn[3][3]);
void voxel_turn_axes(int r, int order[3], int sign[3]);

/* Triangles of solids, borrowed: nine coordinates each, finite; those of one solid stand together.
 */
struct facets {
	const double *xyz;
	const int *solid_of; /* of triangle i; NULL: all are of one */
	size_t n;
};

struct voxels {
	int n; /* cells along each axis: a multiple of 32, at most 512 */
	double lo[3], cell[3];
	int words;      /* of 64 bits, for one column along z */
	uint64_t *bits; /* [(y * n + x) * words]; bit z % 64 of word z / 64 */
};

/* An empty grid over the box. An axis without extent is given some. 0, or -1 (ERR_MEM). */
int voxels_open(struct voxels *v, int n, const double lo[3], const double hi[3], struct err *e);
void voxels_release(struct voxels *v);

/* Adds the solids; what reaches out of the box is cut off. @order (NULL: 0 1 2): axis i of the grid
 * is coordinate order[i] of the triangles. @shared, unless NULL, gets how many cells are in more
 * than one solid, those that were set before included. 0, or -1 (ERR_MEM). */
int voxels_fill(struct voxels *v, const struct facets *f, const int order[3], long *shared,
                struct err *e);

long voxels_count(const struct voxels *v);
/* Of two grids of one n: cells that are set in both. */
long voxels_shared(const struct voxels *a, const struct voxels *b);
/* Shared over joint; 0 when both are empty. */
double voxels_iou(const struct voxels *a, const struct voxels *b);
/* As voxels_shared() with @a turned over along the axes whose sign is negative. */
long voxels_shared_flipped(const struct voxels *a, const int sign[3], const struct voxels *b);
bool voxels_get(const struct voxels *v, int x, int y, int z);

#ifdef __cplusplus
}
#endif
#endif
