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

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/mesh.h"

struct shape; /* opaque; owns its TopoDS_Shape */

struct hole {
	double axis[3];      /* unit, the first component that is not 0 is positive */
	double center_mm[3]; /* on the axis, in the middle of its depth */
	double diameter_mm, depth_mm;
	bool through; /* open at both ends; a counterbore is one that is not, and the hole in its
	                 floor is another */
};

/* What the B-rep itself says. Absent figures are NAN (or -1 for counts). */
struct geometry {
	int solids, shells, faces, edges,
		vertices; /* distinct (by TShape and location, orientation ignored) */
	int genus;        /* summed over closed shells, from Euler's formula with holes in faces; -1
	                     without one, or when a shell is no manifold */
	double volume_mm3; /* of the closed solids; it, the centre and the inertia are NAN without
	                      one */
	double area_mm2;
	double box_min_mm[3], box_max_mm[3];
	double center_of_mass_mm[3];
	double inertia_mm5[6];  /* xx yy zz xy xz yz of the tensor about the centre of mass, density
	                         * 1  (so xy is minus the integral of x*y) */
	double min_distance_mm; /* least over pairs of solids, 0 when two touch or overlap; NAN with
	                           fewer than two, or when it would cost too much to know */
	bool closed; /* there is a shell, every shell is closed and every face is in one */
	bool valid;  /* the kernel's own check of the whole B-rep */
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

/* What was the matter with a shape that could not be read, meshed or measured. */
enum shape_fault { SHAPE_SOUND, SHAPE_DAMAGED, SHAPE_EMPTY, SHAPE_OVER_LIMIT, SHAPE_NO_MEMORY };

/* Binary BREP (BinTools, V1 to V4) or text BREP (V1 to V3). NULL with @e (ERR_INPUT, ERR_MEM) and
 * @fault set when damaged, empty or over the limits. Triangles that came with it are dropped, since
 * a program could have forged them, unless @meshed says that they were made by a mesher of ours:
 * then shape_mesh() takes them as they are. */
struct shape *shape_read_brep(const void *bytes, size_t len, bool meshed,
                              const struct shape_limits *l, enum shape_fault *fault, struct err *e);
void shape_free(struct shape *s);

/* 0, or -1 with @fault and @e. */
int shape_measure(const struct shape *s, struct geometry *out, enum shape_fault *fault,
                  struct err *e);

/* Triangles per face in exploration order, corners rounded to float32 as an STL file holds them.
 * The seed's mesh: linear deflection 0.1 relative, angular 0.1 rad. SHAPE_EMPTY when there is none:
 * points and curves have no surface. 0, or -1 with @fault and @e. */
int shape_mesh(const struct shape *s, double linear, bool relative, double angular,
               long triangles_max, struct soup *out, enum shape_fault *fault, struct err *e);

/* "7.6.3" */
const char *shape_kernel_version(void);

#ifdef __cplusplus
}
#endif
#endif
