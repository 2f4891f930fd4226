/*
 * scene.h - a solid's triangles made ready to be looked at from any side, and the looking.
 *
 * Orthographic. Shading is smooth over a surface and breaks at its edges; an edge is drawn where
 * two surfaces meet at an angle, where a surface ends, and where it turns away from the viewer;
 * hidden ones are not. Works on triangles alone, so that a B-rep, an STL and a GLB look alike.
 *
 * Lengths in mm. Corners are rounded to 1/16 of a pixel and coverage is decided in whole numbers,
 * so that the same triangles give the same pixels on every machine, and a closed solid has no
 * pinholes.
 */
#ifndef ENGINE_SCENE_H
#define ENGINE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/canvas.h"

struct scene_edge {
	uint32_t a, b;   /* vertices */
	uint32_t t0, t1; /* triangles beside it; t1 UINT32_MAX: it ends here */
	bool sharp;
};

struct scene {
	float *v; /* 3 * n_vert */
	size_t n_vert;
	uint32_t *t;  /* 3 * n_tri */
	float *face;  /* 3 * n_tri: unit normals */
	float *round; /* 9 * n_tri: at the corners, smoothed */
	size_t n_tri;
	struct scene_edge *edge;
	size_t n_edge;
	bool closed; /* every edge has two triangles, turned one way round: backs are never seen */
	double lo[3], hi[3];
};

/* @xyz: nine coordinates a triangle, counter-clockwise from outside. Triangles without area or with
 * NaN or infinity are left out. 0, or -1: ERR_INPUT when none is left, ERR_MEM. */
int scene_open(struct scene *s, const double *xyz, size_t n_tri, struct err *e);
void scene_release(struct scene *s);

/* Where one looks from: rows are the screen's right, its up, and towards the viewer; unit, at right
 * angles. */
struct camera {
	double axis[3][3];
	double middle[3];   /* what is in the middle of the frame, mm */
	double px_per_mm;   /* > 0 */
	int x, y, w, h;     /* the frame on the canvas, pixels */
	double depth_mm[2]; /* least and greatest value of the third coordinate to be seen */
};

enum side_view {
	VIEW_FRONT,
	VIEW_BACK,
	VIEW_LEFT,
	VIEW_RIGHT,
	VIEW_TOP,
	VIEW_ISOMETRIC,
	VIEW_SIDES
};
/* "front" ... "isometric" */
const char *side_view_name(enum side_view v);
/* Fits the box @lo to @hi into the frame, which the caller has set. */
void camera_fit(struct camera *c, enum side_view v, const double lo[3], const double hi[3]);
/* On the canvas: x, y in pixels, and the third coordinate in mm. */
void camera_project(const struct camera *c, const double p[3], double out[3]);

/* What a point of a surface is, in a difference picture. */
struct scene_hues {
	void *ctx;
	enum hue (*of)(void *ctx, const double p_mm[3]);
};

/* The depth of each pixel drawn so far in this frame. {0} before the first opening. */
struct depth {
	uint32_t *key;  /* depth << 8 | level; 0: nothing */
	uint8_t *hue;   /* of what has a key, where the look has hues */
	int8_t *inside; /* with a cut: solids around the point on the cutting plane */
	int w, h;
	size_t room; /* pixels that there is memory for */
};
/* Nothing drawn yet. One that was opened before gives its memory to the next frame: fresh pages
 * cost more than drawing on them. 0, or -1 (ERR_MEM). */
int depth_open(struct depth *d, int w, int h, struct err *e);
void depth_release(struct depth *d);

struct scene_look {
	const struct camera *camera;
	const struct scene_hues *hues; /* NULL: all is HUE_PART */
	bool only_marked;              /* with hues: what is HUE_PART is not drawn */
	/* Only what is behind this plane (third coordinate, mm) is drawn, and where the plane goes
	 * through a solid its face is hatched. NAN: no cut. */
	double cut_mm;
	bool cull; /* a closed solid: what faces away is not looked at */
};

/* Surfaces into @d, which has the size of the camera's frame; edges need them all. 0, or -1
 * (ERR_MEM). */
int scene_surfaces(const struct scene *s, const struct scene_look *l, struct depth *d,
                   struct err *e);
/* What was drawn, onto the canvas, at the frame's place. */
void scene_show(const struct depth *d, const struct scene_look *l, struct canvas *c);
/* The edges that are seen, as ink. 0, or -1 (ERR_MEM). */
int scene_edges(const struct scene *s, const struct scene_look *l, const struct depth *d,
                struct canvas *c, struct err *e);

#endif
