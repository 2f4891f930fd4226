/*
 * topology.h - is this mesh one closed thing, and how far is it from one?
 *
 * Section 2 of the published reward. Pure functions of a normalized mesh (mesh_normalize: the
 * bound on degenerate triangles is in its units). Degenerate triangles stay in all counts.
 */
#ifndef ENGINE_TOPOLOGY_H
#define ENGINE_TOPOLOGY_H

#include <stdbool.h>

#include "engine/mesh.h"

struct topology {
	long vertices, triangles;
	long components;         /* of triangles joined over edges that are used exactly twice */
	long boundary_edges;     /* undirected edges used once */
	long non_manifold_edges; /* used more than twice */
	long degenerate_faces;   /* area below 1e-8 */
	bool watertight;         /* every undirected edge is used exactly twice */
	bool winding_consistent; /* in every such pair the directions are opposite */
	uint32_t *component_of;  /* triangle -> 0 .. components - 1, numbered by first triangle */
};

/* 0, or -1 (ERR_MEM) with @out untouched. */
int topology_measure(struct topology *out, const struct mesh *m, struct err *e);
void topology_release(struct topology *t);

/* The topology term, 0 to 1. */
double topology_score(const struct topology *t);

#endif
