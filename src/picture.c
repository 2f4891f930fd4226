#include "src/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/nearest.h"
#include "engine/scene.h"
#include "engine/stl.h"

enum {
	TRIANGLES_READ = 5000000,
	TRIANGLES_SHOWN = 60000, /* above that corners are drawn together */
	GRID_CELLS = 400, /* of the longest side of the box: finer than a terminal's pixels */
	PX_MIN = 16,
	PX_MAX = 2048,
};
#define NEAR   0.006 /* of the reference's diagonal: surfaces so near each other are one */
#define GROUND 0xFFFFFFu

struct part {
	struct scene scene;
	struct surface_tree tree; /* made when a difference is first asked for */
	double middle[3];
};

const char *picture_view_name(enum picture_view v)
{
	static const char *const names[PICTURE_VIEWS] = { "front", "left", "right", "top",
		                                          "iso",   "back", "sheet", "off" };

	return v < PICTURE_VIEWS ? names[v] : "";
}

enum picture_view picture_view_named(const char *name)
{
	for (int v = 0; v < PICTURE_VIEWS; v++)
		if (strcmp(name, picture_view_name((enum picture_view)v)) == 0)
			return (enum picture_view)v;
	return PICTURE_VIEWS;
}

/* Corners onto a grid: what is smaller than a cell of it falls together and is left out. */
static size_t thin(double *xyz, size_t n)
{
	double lo[3], hi[3], longest = 0;
	size_t kept = 0;

	for (int k = 0; k < 3; k++) {
		lo[k] = INFINITY;
		hi[k] = -INFINITY;
	}
	for (size_t i = 0; i < 9 * n; i++) {
		lo[i % 3] = fmin(lo[i % 3], xyz[i]);
		hi[i % 3] = fmax(hi[i % 3], xyz[i]);
	}
	for (int k = 0; k < 3; k++)
		longest = fmax(longest, hi[k] - lo[k]);
	if (!(longest > 0))
		return n;
	double cell = longest / GRID_CELLS;
	for (size_t i = 0; i < n; i++) {
		double *t = xyz + 9 * kept;
		for (size_t c = 0; c < 9; c++)
			t[c] = lo[c % 3] + round((xyz[9 * i + c] - lo[c % 3]) / cell) * cell;
		if (memcmp(t, t + 3, 3 * sizeof(*t)) != 0 &&
		    memcmp(t + 3, t + 6, 3 * sizeof(*t)) != 0 &&
		    memcmp(t, t + 6, 3 * sizeof(*t)) != 0)
			kept++;
	}
	return kept;
}

struct part *part_open(const void *stl, size_t len, struct err *e)
{
	struct soup soup = { 0 };
	struct part *p = NULL;
	double *xyz = NULL;

	if (stl_read(&soup, stl, len, TRIANGLES_READ, e) < 0)
		return NULL;
	size_t n = soup.n_tri;
	xyz = malloc(sizeof(*xyz) * 9 * (n ? n : 1));
	p = calloc(1, sizeof(*p));
	if (!xyz || !p) {
		err_set(e, ERR_MEM, "out of memory for %zu triangles", n);
		goto bad;
	}
	for (size_t i = 0; i < 9 * n; i++)
		xyz[i] = soup.xyz[i];
	soup_release(&soup);
	if (n > TRIANGLES_SHOWN)
		n = thin(xyz, n);
	if (scene_open(&p->scene, xyz, n, e) < 0)
		goto bad;
	for (int k = 0; k < 3; k++)
		p->middle[k] = (p->scene.lo[k] + p->scene.hi[k]) / 2;
	free(xyz);
	return p;
bad:
	soup_release(&soup);
	free(xyz);
	part_close(p);
	return NULL;
}

void part_close(struct part *p)
{
	if (!p)
		return;
	scene_release(&p->scene);
	surface_tree_release(&p->tree);
	free(p);
}

void part_size_mm(const struct part *p, double size_mm[3])
{
	for (int k = 0; k < 3; k++)
		size_mm[k] = p->scene.hi[k] - p->scene.lo[k];
}

/* ---- where one looks from ---- */

static void turn_about(double a[3], double b[3], double deg)
{
	double c = cos(deg * M_PI / 180), s = sin(deg * M_PI / 180);

	for (int k = 0; k < 3; k++) {
		double x = a[k], y = b[k];
		a[k] = c * x + s * y;
		b[k] = c * y - s * x;
	}
}

/* The part turned about its own vertical: every axis of the screen turned the other way. */
static void turn_part(struct camera *c, double deg)
{
	double co = cos(-deg * M_PI / 180), s = sin(-deg * M_PI / 180);

	for (int i = 0; i < 3; i++) {
		double x = c->axis[i][0], y = c->axis[i][1];
		c->axis[i][0] = co * x - s * y;
		c->axis[i][1] = s * x + co * y;
	}
}

/* The axes stand; the scale and depth that show a ball about the box, or the box itself. */
static void fit(struct camera *c, const double lo[3], const double hi[3])
{
	double half[3], least = 1e-9;

	for (int k = 0; k < 3; k++)
		least += (hi[k] - lo[k]) * 1e-6;
	for (int i = 0; i < 3; i++) {
		half[i] = 0;
		for (int k = 0; k < 3; k++)
			half[i] += fabs(c->axis[i][k]) * (hi[k] - lo[k]) / 2;
	}
	c->px_per_mm = fmin((c->w - 2) / (2 * fmax(half[0], least)),
	                    (c->h - 2) / (2 * fmax(half[1], least)));
	double reach = half[2] * 1.01 + least, at = 0;
	for (int k = 0; k < 3; k++)
		at += c->axis[2][k] * c->middle[k];
	c->depth_mm[0] = at - reach;
	c->depth_mm[1] = at + reach;
}

static const enum side_view sides[] = {
	[PICTURE_FRONT] = VIEW_FRONT, [PICTURE_LEFT] = VIEW_LEFT,     [PICTURE_RIGHT] = VIEW_RIGHT,
	[PICTURE_TOP] = VIEW_TOP,     [PICTURE_ISO] = VIEW_ISOMETRIC, [PICTURE_BACK] = VIEW_BACK,
};

static void aim(struct camera *c, enum picture_view view, const struct picture_look *look,
                const double lo[3], const double hi[3])
{
	camera_fit(c, sides[view], lo, hi);
	if (look->tilt_deg != 0)
		turn_about(c->axis[1], c->axis[2], look->tilt_deg);
	if (look->turn_deg != 0)
		turn_part(c, look->turn_deg);
	fit(c, lo, hi);
}

/* ---- the difference ---- */

struct marking {
	const struct surface_tree *other;
	const double *from, *to; /* middles: a point of ours, laid onto the other */
	double near_mm;
	enum hue far;
	size_t hint;
};

static enum hue mark(void *ctx, const double p_mm[3])
{
	struct marking *m = ctx;
	double p[3];

	for (int k = 0; k < 3; k++)
		p[k] = p_mm[k] - m->from[k] + m->to[k];
	return surface_distance(m->other, p, &m->hint) <= m->near_mm ? HUE_PART : m->far;
}

static int tree_of(struct part *p, struct err *e)
{
	const struct scene *s = &p->scene;
	struct facets f = { .n = s->n_tri };

	if (p->tree.n)
		return 0;
	double *xyz = malloc(sizeof(*xyz) * 9 * s->n_tri);
	if (!xyz)
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", s->n_tri);
	for (size_t i = 0; i < 3 * s->n_tri; i++)
		for (size_t k = 0; k < 3; k++)
			xyz[3 * i + k] = s->v[3 * (size_t)s->t[i] + k];
	f.xyz = xyz;
	int rc = surface_tree_build(&p->tree, &f, NULL, e);
	free(xyz);
	return rc;
}

/* ---- drawing ---- */

struct easel {
	struct canvas canvas;
	struct depth depth;
};

static int draw_one(struct easel *z, const struct part *p, const struct part *reference,
                    const struct picture_look *look, enum picture_view view, struct camera *c,
                    struct err *e)
{
	struct marking of_part, of_reference;
	const struct scene_hues part_hues = { &of_part, mark },
				reference_hues = { &of_reference, mark };
	double lo[3], hi[3];

	memcpy(lo, p->scene.lo, sizeof(lo));
	memcpy(hi, p->scene.hi, sizeof(hi));
	if (reference) {
		double diagonal = 0;
		for (int k = 0; k < 3; k++) {
			double half = (reference->scene.hi[k] - reference->scene.lo[k]) / 2;
			lo[k] = fmin(lo[k], p->middle[k] - half);
			hi[k] = fmax(hi[k], p->middle[k] + half);
			diagonal += 4 * half * half;
		}
		double near_mm = NEAR * sqrt(diagonal);
		of_part = (struct marking){ &reference->tree, p->middle,   reference->middle,
			                    near_mm,          HUE_SURPLUS, 0 };
		of_reference = (struct marking){ &p->tree, reference->middle, p->middle,
			                         near_mm,  HUE_MISSING,       0 };
	}
	aim(c, view, look, lo, hi);
	struct scene_look l = { .camera = c,
		                .hues = reference ? &part_hues : NULL,
		                .cut_mm = look->section ? (c->depth_mm[0] + c->depth_mm[1]) / 2
		                                        : (double)NAN,
		                .cull = p->scene.closed && !look->section };
	if (depth_open(&z->depth, c->w, c->h, e) < 0 ||
	    scene_surfaces(&p->scene, &l, &z->depth, e) < 0)
		return -1;
	if (reference) {
		/* the same place seen by the reference's own coordinates */
		struct camera c2 = *c;
		double move = 0;
		for (int k = 0; k < 3; k++) {
			c2.middle[k] += reference->middle[k] - p->middle[k];
			move += c->axis[2][k] * (reference->middle[k] - p->middle[k]);
		}
		c2.depth_mm[0] += move;
		c2.depth_mm[1] += move;
		struct scene_look r = { .camera = &c2,
			                .hues = &reference_hues,
			                .only_marked = true,
			                .cut_mm = l.cut_mm + move,
			                .cull = reference->scene.closed && !look->section };
		if (scene_surfaces(&reference->scene, &r, &z->depth, e) < 0)
			return -1;
		scene_show(&z->depth, &l, &z->canvas);
		if (scene_edges(&reference->scene, &r, &z->depth, &z->canvas, e) < 0)
			return -1;
	} else {
		scene_show(&z->depth, &l, &z->canvas);
	}
	return scene_edges(&p->scene, &l, &z->depth, &z->canvas, e);
}

int picture_draw(struct part *p, struct part *reference, const struct picture_look *look, int w,
                 int h, uint8_t *rgb, struct err *e)
{
	static const enum picture_view on_sheet[4] = { PICTURE_FRONT, PICTURE_RIGHT, PICTURE_TOP,
		                                       PICTURE_ISO };
	struct easel z = { 0 };
	int rc = -1;

	if (w < PX_MIN || h < PX_MIN || w > PX_MAX || h > PX_MAX)
		return err_set(e, ERR_INPUT, "a picture of %d x %d pixels: %d to %d is possible", w,
		               h, PX_MIN, PX_MAX);
	struct part *other = look->difference ? reference : NULL;
	if (other && (tree_of(p, e) < 0 || tree_of(other, e) < 0))
		return -1;
	if (canvas_open(&z.canvas, w, h, e) < 0)
		goto out;
	if (look->view == PICTURE_SHEET && w >= 2 * PX_MIN && h >= 2 * PX_MIN) {
		for (int i = 0; i < 4; i++) {
			struct camera c = { .x = i % 2 * (w / 2) + 1,
				            .y = i / 2 * (h / 2) + 1,
				            .w = w / 2 - 2,
				            .h = h / 2 - 2 };
			if (draw_one(&z, p, other, look, on_sheet[i], &c, e) < 0)
				goto out;
		}
	} else if (look->view < PICTURE_OFF) {
		struct camera c = { .w = w, .h = h };
		enum picture_view v = look->view == PICTURE_SHEET ? PICTURE_ISO : look->view;
		if (draw_one(&z, p, other, look, v, &c, e) < 0)
			goto out;
	}
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			size_t at = (size_t)y * (size_t)w + (size_t)x;
			uint32_t c = canvas_rgb(&z.canvas, x, y);
			bool ground = z.canvas.hue[at] == HUE_PAPER;
			if (ground && !z.canvas.ink[at])
				c = GROUND;
			else if (c == GROUND)
				c = 0xFEFEFE;
			rgb[3 * at] = (uint8_t)(c >> 16);
			rgb[3 * at + 1] = (uint8_t)(c >> 8);
			rgb[3 * at + 2] = (uint8_t)c;
		}
	rc = 0;
out:
	canvas_release(&z.canvas);
	depth_release(&z.depth);
	return rc;
}
