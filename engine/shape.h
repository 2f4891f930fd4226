/*
 * shape.h - the only door to OpenCASCADE (engine/shape.cc): a solid read from bytes, its figures,
 * its triangles.
 *
 * Runs in the scorer's jailed child alone: the bytes are untrusted. OCCT exceptions never leave
 * this file.
 */
#ifndef ENGINE_SHAPE_H
#define ENGINE_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/mesh.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shape; /* opaque; owns its TopoDS_Shape */

struct hole {
	double axis[3];      /* unit, the first component that is not 0 is positive */
	double center_mm[3]; /* on the axis, in the middle of its depth */
	double diameter_mm, depth_mm;
	bool through; /* open at both ends */
};

/* What the B-rep itself says. Absent figures are NAN (or -1 for counts). */
struct geometry {
	int solids, shells, faces, edges,
		vertices; /* distinct (by TShape and location, orientation ignored) */
	int genus;        /* summed over closed shells, from Euler's formula with holes in faces */
	double volume_mm3, area_mm2;
	double box_min_mm[3], box_max_mm[3];
	double center_of_mass_mm[3];
	double inertia_mm5[6];  /* xx yy zz xy xz yz about the centre of mass, density 1 */
	double min_distance_mm; /* least over pairs of solids; NAN with fewer than two */
	bool closed, valid;
	struct hole *holes;
	int n_holes;
};

void geometry_release(struct geometry *g);

struct shape_limits {
	long faces_max, triangles_max;
};

/* Makes OCCT ready to be forked (one-thread pool, warm code paths). Once, in the scorer before it
 * forks. */
int shape_warm_up(struct err *e);

/* Binary BREP (BinTools, up to V4) or text BREP. NULL with @e (ERR_INPUT) when damaged, empty or
 * over the limits. */
struct shape *shape_read_brep(const void *bytes, size_t len, const struct shape_limits *l,
                              struct err *e);
void shape_free(struct shape *s);

/* 0, or -1 with @e. */
int shape_measure(const struct shape *s, struct geometry *out, struct err *e);

/* The seed's mesh: linear deflection 0.1 relative, angular 0.1 rad, per face in exploration order.
 */
int shape_mesh(const struct shape *s, double linear, bool relative, double angular,
               long triangles_max, struct soup *out, struct err *e);

/* "7.6.3" */
const char *shape_kernel_version(void);

#ifdef __cplusplus
}
#endif
#endif
