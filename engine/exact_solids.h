/*
 * exact_solids.h - is the B-rep one sound thing? Topology and contact of reward-exact.md, asked of
 * the kernel.
 *
 * Runs in the scorer's jailed child, on a shape that shape_mesh() has given its triangles. Bounded
 * by counts, not by a clock: the same shape gets the same answer.
 */
#ifndef ENGINE_EXACT_SOLIDS_H
#define ENGINE_EXACT_SOLIDS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/shape.h"
#include "engine/voxel.h"

/* Shares of a solid that are below it are flat facets on round walls, not material. */
#define EXACT_OVERLAP_MIN 0.01

struct exact_edges {
	long free;         /* of a shell, used by one face alone */
	long non_manifold; /* by three or more */
};

/* Edges of each shell, and of faces outside of any; those that are points (a sphere's poles) do not
 * count. 0, or -1 with @fault and @e. */
int exact_count_edges(const struct shape *s, struct exact_edges *out, enum shape_fault *fault,
                      struct err *e);

struct exact_contact {
	int solids, groups;      /* groups: of solids that are joined */
	double overlap;          /* the largest share of a solid that lies in another one, 0 to 1 */
	double overlap_at_mm[3]; /* the middle of where that is; NAN without */
	/* the smallest of the groups, when there are several: the middle and size of its box, and
	 * the gap between its box and the nearest solid's of another group (0: the boxes meet) */
	double loose_at_mm[3], loose_mm[3], gap_mm;
	double touch_mm; /* as it was asked */
	int by_mesh; /* pairs that were told by their triangles: the kernel had taken too long */
};

/* @f: the shape's triangles, numbered by solid as probe_open() does. @deflection_mm: of the
 * triangulation. @touch_mm: solids as near as that are joined. @joint_mm: clearance within which
 * coaxial cylinders of two solids join them; below 0: no joint is declared. 0, or -1 with @fault
 * and @e. */
int exact_find_contact(const struct shape *s, const struct facets *f, double deflection_mm,
                       double touch_mm, double joint_mm, struct exact_contact *out,
                       enum shape_fault *fault, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
