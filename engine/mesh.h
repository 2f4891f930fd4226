/*
 * mesh.h - triangles, as an STL file holds them and as the published evaluator sees them.
 *
 * Lengths in mm unless a name says normalized. No files here (engine/stl.h, engine/glb.h).
 */
#ifndef ENGINE_MESH_H
#define ENGINE_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

/* Loose triangles in STL order and STL precision: 9 floats each (three corners). */
struct soup {
	float *xyz;
	size_t n_tri, cap_tri;
};

/* Room for one more triangle is made as needed. 0, or -1 (ERR_MEM). */
int soup_add(struct soup *s, const float corners[9], struct err *e);
void soup_release(struct soup *s);

/* Triangles over shared vertices. */
struct mesh {
	double *v;   /* 3 * n_vert */
	uint32_t *t; /* 3 * n_tri, vertex indices */
	size_t n_vert, n_tri;
};

void mesh_release(struct mesh *m);

/* The published evaluator's loading (reward-seed.md section 2): corners whose coordinates agree
 * after round-half-even(1e8 * x) become one vertex (the first in order), corners with NaN or
 * infinity drop their triangles. Float32 values widened to double. 0, or -1 (ERR_MEM; ERR_INPUT
 * when nothing is left). */
int mesh_from_soup(struct mesh *out, const struct soup *s, struct err *e);

/* Box of the vertices: min[3], max[3]. */
void mesh_box(const struct mesh *m, double min[3], double max[3]);

/* The evaluator's frame: height 1000 (z length; 1e-9 stands for none), box centre at x = y = 0,
 * lowest point at z = 0. Vertices are not merged again. In place. */
void mesh_normalize(struct mesh *m);

/* In the square of the mesh's unit. */
double mesh_triangle_area(const struct mesh *m, size_t i);
double mesh_area(const struct mesh *m);
/* Enclosed volume by the divergence theorem: signed, and meaningless unless the mesh is closed. */
double mesh_volume(const struct mesh *m);

#endif
