/*
 * nearest.h - how far a point is from a surface of triangles, and points spread over one.
 *
 * Distances are to the triangles themselves and not to samples of them, so that two meshes of one
 * surface are as far apart as their tessellations, which is nothing. Pure functions; mm.
 */
#ifndef ENGINE_NEAREST_H
#define ENGINE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

#include "engine/voxel.h"

/* The box of the triangles below, of their corners as float. The left child is the next node. */
struct surface_node {
	float min[3], max[3];
	uint32_t begin, n; /* triangles, in tree order; n 0: no leaf */
	uint32_t right;    /* the other child; 0 in a leaf */
};

/* A tree of boxes over triangles. Const once built. */
struct surface_tree {
	struct surface_node *nodes;
	float *xyz; /* 9 a triangle, in tree order */
	size_t n_nodes, n;
};

#define SURFACE_DEPTH_MAX 64

/* From 1 to 2^26 triangles. @order, unless NULL, gets which of them triangle i of the tree is: the
 * caller's to free(). 0, or -1 (ERR_INPUT: none or too many; ERR_MEM). */
int surface_tree_build(struct surface_tree *out, const struct facets *f, uint32_t **order,
                       struct err *e);
void surface_tree_release(struct surface_tree *t);

/* One that came from elsewhere can be walked: every child lies further on and inside, no leaf
 * reaches out, nothing is deeper than SURFACE_DEPTH_MAX, all coordinates are finite. */
bool surface_tree_sound(const struct surface_tree *t);

/* Distance from @p. @hint: a triangle in tree order that is likely near (kept across calls, begins
 * at 0); only speed depends on it. */
double surface_distance(const struct surface_tree *t, const double p[3], size_t *hint);

/* @n points spread evenly by area: out[3 * n]. Point i stands for the i-th of @n equal shares of
 * the area, at a place within it drawn from the Mersenne twister (engine/mt19937.h) that begins
 * with @seed. Triangles without area get none, unless all are such: then all points are the first
 * corner. 0, or -1 (ERR_MEM). */
int surface_points(const struct facets *f, int n, uint32_t seed, float *out, struct err *e);

#endif
