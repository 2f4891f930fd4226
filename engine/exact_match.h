/*
 * exact_match.h - how alike a part and a reference are, in mm, lying as they fit best.
 *
 * reward-exact.md, terms reference_similarity and silhouette. Box middles are laid together; scale
 * is never fitted. Pure functions: the same triangles give the same figures.
 */
#ifndef ENGINE_EXACT_MATCH_H
#define ENGINE_EXACT_MATCH_H

#include "engine/exact_reference.h"

/* Of the 24 rotations the one that shares most cells with the reference: the coarse voxels choose,
 * and where some come within 5 % of the best, the fine ones among those. Less than 0.2 % apart is a
 * tie, and of a tie the smaller number is taken. (A part's own volume is the same in all, so the
 * greatest share is the greatest IoU.) 0, or -1 (ERR_MEM). */
int exact_rotation(const struct exact_reference *r, const struct facets *f, const double lo[3],
                   const double hi[3], int *rotation, struct err *e);

/* @f about the middle of its box and turned: nine doubles a triangle, the caller's to free. NULL
 * when out of memory. */
double *exact_placed(const struct facets *f, const double lo[3], const double hi[3], int rotation);

/* Of the profile. */
struct exact_constants {
	double touch_mm;      /* solids as near as that are joined: 0.05 */
	double iou_weight;    /* of reference_similarity, the rest is of the distance: 0.6 */
	double chamfer_scale; /* of the reference's diagonal: where exp() has fallen to 1/e: 0.02 */
};

struct exact_match {
	double iou;        /* of EXACT_FINE voxels over a box that holds both */
	double chamfer_mm; /* mean of the two mean distances from EXACT_POINTS points on one to the
	                      other's surface */
	double similarity; /* w iou + (1 - w) exp(-chamfer / (scale * the reference's diagonal)) */
	double silhouette; /* mean IoU of six outlines */
	double outline_iou[EXACT_OUTLINES];
};

/* @f as exact_placed() gives it, @len_mm its box. 0, or -1 (ERR_MEM; ERR_INPUT: no triangles). */
int exact_compare(struct exact_match *out, const struct exact_reference *r, const struct facets *f,
                  const double len_mm[3], const struct exact_constants *c, struct err *e);

/* Outlines of placed triangles; the window of each shows the box @len_mm about the middle. */
void exact_outlines(struct mask out[EXACT_OUTLINES], const struct facets *f,
                    const double len_mm[3]);

#endif
