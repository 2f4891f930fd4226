/*
 * chamfer.h - points on a surface, and how far two sets of them lie apart.
 *
 * Section 4 of the published reward. Distances are exact (the nearest point, in double precision),
 * as scipy's cKDTree gives them.
 */
#ifndef ENGINE_CHAMFER_H
#define ENGINE_CHAMFER_H

#include "engine/mesh.h"

#define CANDIDATE_POINTS 1500
#define CHAMFER_SEED     7

/* Points ordered for search: a balanced k-d tree over runs of a few points. Const once built. */
struct point_tree {
	double *xyz;     /* 3 * n, in tree order */
	uint32_t *order; /* place in tree order -> number of the point as it was given */
	struct point_node *nodes;
	int n, n_nodes;
};

/* @n from 1 to 2^24; @xyz is copied. 0, or -1 (ERR_MEM). */
int point_tree_build(struct point_tree *out, const float *xyz, int n, struct err *e);
void point_tree_release(struct point_tree *t);

/* Distance from @p to the nearest point. @hint: a place in tree order that is likely near (kept
 * across calls, begins at 0); only speed depends on it. */
double point_tree_nearest(const struct point_tree *t, const double p[3], int *hint);

/* @n points on the surface, weighted by area: out[3 * n]. The draws are those of trimesh 4.12
 * (numpy's legacy generator seeded with @seed). A mesh without area gives points of its first
 * triangle. 0, or -1 (ERR_MEM). */
int surface_sample(const struct mesh *m, int n, uint32_t seed, float *out, struct err *e);

/* Mean distance from the points of @from to @to, summed in the order the points were given in. */
int mean_nearest(const struct point_tree *from, const struct point_tree *to, double *out,
                 struct err *e);

/* exp(-((ab + ba) / 2 / 1000) / 0.10) of the two mean distances, normalized units. */
double chamfer_score(double ab, double ba);

#endif
