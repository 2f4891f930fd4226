/*
 * thickness.h - how thick are the walls of a solid?
 *
 * Pure geometry, mm. From places spread evenly over the surface a ray goes straight into the
 * material to where it leaves again; a wall is where both surfaces are within 37 degrees of
 * parallel, so that edges, tips and chamfers are none.
 */
#ifndef ENGINE_THICKNESS_H
#define ENGINE_THICKNESS_H

#include <stddef.h>

#include "src/base/err.h"

/* What a hundredth of the surface that has a wall behind it is thinner than: one sharp corner more
 * or less does not change it. NAN when there is no wall. @solid_of: rays end at triangles of their
 * own solid. Same mesh, same figure. 0, or -1 (ERR_MEM). */
int thickness_measure(double *out, const double *xyz, const int *solid_of, size_t n_tri,
                      struct err *e);

#endif
