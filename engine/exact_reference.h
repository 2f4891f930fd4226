/*
 * exact_reference.h - what the exact profiles compare a part with: a task's reference, measured
 * once.
 *
 * A reference is made in the scorer's jailed child (exact_reference_make), travels and is cached as
 * bytes (serialize), and is read back by the scorer for all its later children (parse, which trusts
 * nothing). All coordinates are in mm about the middle of the reference's box.
 */
#ifndef ENGINE_EXACT_REFERENCE_H
#define ENGINE_EXACT_REFERENCE_H

#include "engine/mesh.h"
#include "engine/nearest.h"
#include "engine/silhouette.h"
#include "engine/voxel.h"
#include "src/base/buf.h"

/* Of the bytes and of all that is measured into them: a cache keeps it in its keys. */
#define EXACT_REFERENCE_VERSION 1

#define EXACT_FINE     128 /* cells an axis for the IoU */
#define EXACT_COARSE   32  /* for the choice of the rotation */
#define EXACT_POINTS   1024
#define EXACT_SEED     7
#define EXACT_OUTLINES 4 /* front, right, top, isometric: back and left are mirror images */

struct exact_reference {
	double len_mm[3], diagonal_mm; /* of its box */
	long faces;                    /* of its B-rep; 0: it came as a mesh */
	struct surface_tree tree;      /* its triangles */
	uint32_t *solid_of;            /* of triangle i of the tree */
	uint32_t n_solids;
	float *points; /* 3 * EXACT_POINTS, on its surface */
	struct voxels fine, coarse;
	struct mask *outlines; /* EXACT_OUTLINES */
};

/* @f with the box @lo to @hi (of the B-rep, or of the triangles). 0, or -1: ERR_INPUT when it
 * encloses no volume, ERR_MEM. */
int exact_reference_make(struct exact_reference *out, const struct facets *f, const double lo[3],
                         const double hi[3], long faces, struct err *e);
void exact_reference_release(struct exact_reference *r);

/* Equal references give equal bytes. 0, or -1 (ERR_MEM). */
int exact_reference_serialize(const struct exact_reference *r, struct buf *out, struct err *e);
/* 0, or -1: ERR_INPUT when the bytes are damaged or of another version, ERR_MEM. */
int exact_reference_parse(struct exact_reference *out, const void *bytes, size_t len,
                          struct err *e);

/* Triangles that came without solids. Where the mesh is closed and turned one way round, its
 * connected pieces are the solids, and one that is turned inside out is a cavity of the smallest
 * that holds it; else all is one. Caller frees both with free(). 0, or -1 (ERR_INPUT: no finite
 * triangle; ERR_MEM). */
int exact_solids_of_soup(const struct soup *s, double **xyz, int **solid_of, size_t *n,
                         struct err *e);

/* The box of triangles. */
void facets_box(const struct facets *f, double lo[3], double hi[3]);

#endif
