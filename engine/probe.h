/*
 * probe.h - what checks ask of a solid: its triangles by solid, faces by surface, holes and joints,
 * all turned into the placement in which it is compared.
 *
 * Runs in the scorer's jailed child, after shape_mesh() has given every face its triangles: those
 * are used, none are made here. Lengths in mm. Const once opened; a caller may fill one by hand
 * (tests do): without a shape it has no faces and no joints.
 */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/checks.h"
#include "engine/shape.h"

struct probe {
	const struct shape *shape; /* borrowed */
	int turn[3][3];            /* rows: placement = turn * own place; a rotation by axes */
	double box_min_mm[3], box_max_mm[3];
	int solids; /* distinct ones */
	/* of the closed solids (geometry); NAN without one */
	double volume_mm3, center_of_mass_mm[3];
	struct hole *holes; /* geometry's, turned; axes point as there */
	int n_holes;
	struct probe_inside *inside; /* what was asked of the B-rep already; probe.cc's own */
	double *xyz;   /* triangles: 9 * n_tri, corners counter-clockwise from outside */
	int *solid_of; /* triangle -> 0 .. ; faces outside of any solid have numbers of their own */
	size_t n_tri;
};

/* @s (meshed) and @shape stay the caller's and must outlive the probe; @g is copied from. @turn is
 * one of the 24 rotations by axes, NULL for none. 0, or -1 (ERR_INPUT: no triangles; ERR_MEM) with
 * @out empty. */
int probe_open(struct probe *out, const struct shape *s, const struct geometry *g,
               const int turn[3][3], struct err *e);
void probe_release(struct probe *p);

/* Faces of one surface that share an edge, as one: a cylinder cut at its seam is one face to an
 * engineer. */
struct probe_face {
	enum surface_kind surface;
	double radius_mm; /* cylinder, sphere, tube of a torus; of a cone the largest; else NAN */
	double major_mm;  /* torus; else NAN */
	double axis[3];   /* of revolution, or a plane's normal; sign as struct hole; NAN else */
	double middle_mm[3]; /* of its box */
	double turn_rad;     /* the angle it goes round its axis; NAN for planes and freeform */
	enum side side;      /* SIDE_IN when the material is outside of a round; ANY for planes */
	int whole; /* faces that lie in one surface, joined or not, have the same number */
};

/* 0, or -1 (ERR_INPUT, ERR_MEM). Caller frees @out with free(). By place, so that the order does
 * not hang on how the kernel numbered them. */
int probe_faces(const struct probe *p, struct probe_face **out, int *n, struct err *e);

/* A hole as an engineer counts it: those of struct geometry; slots with round ends; bores that are
 * open along one side. */
struct probe_hole {
	double axis[3], middle_mm[3];
	double diameter_mm, depth_mm;
	double length_mm; /* of a slot, from end to end; 0 for a round one */
	double turn_rad;  /* how far the wall goes round: 2 pi but for open bores, from pi / 2 on */
	bool through;
};

/* As probe_faces. */
int probe_holes(const struct probe *p, struct probe_hole **out, int *n, struct err *e);

/* A cylinder of one solid in a bore of another, on one axis, side by side along it. */
struct probe_joint {
	double axis[3], middle_mm[3];
	double diameter_mm;  /* of the inner one */
	double clearance_mm; /* of the radii; negative when it is pressed in */
};

/* One for each pair of solids and axis, of all whose clearance is at most @clearance_mm. As
 * probe_faces. */
int probe_joints(const struct probe *p, double clearance_mm, struct probe_joint **out, int *n,
                 struct err *e);

#ifdef __cplusplus
}
#endif
#endif
