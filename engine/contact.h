/*
 * contact.h - do the pieces of a mesh stand together? By the boxes of its components.
 *
 * Section 2 of the published reward ("Contact"). Pieces whose box diagonal is below 1.5 % of the
 * whole's height do not count. A gap is the distance between two boxes, 0 when they overlap.
 */
#ifndef ENGINE_CONTACT_H
#define ENGINE_CONTACT_H

#include "engine/topology.h"

struct contact {
	long components_checked;
	double mean_gap_ratio, max_gap_ratio; /* nearest gaps over the whole's height */
	long large_gap_components;            /* ratio above 0.08 */
	double score;                         /* 0 to 1 */
};

/* 0, or -1 (ERR_MEM) with @out untouched. */
int contact_measure(struct contact *out, const struct mesh *m, const struct topology *t,
                    struct err *e);

#endif
