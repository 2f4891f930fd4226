#include "engine/views.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/canvas.h"
#include "engine/scene.h"

#define INK_DIM 170
#define GRID    192   /* cells an axis of the grids that tell what is inside */
#define NEAR    0.004 /* of the reference's diagonal: surfaces so near each other are one */

struct views {
	struct scene part;      /* as it lies */
	struct scene turned;    /* in the placement of the reference; only with one */
	struct scene reference; /* only when a difference was asked for */
	struct facets facets;
	const struct exact_reference *ref;
	int turn[3][3];
	bool has_turned, has_reference, has_grids;
	struct surface_tree tree; /* of the turned part */
	double *placed;           /* its triangles */
	struct voxels in_part, in_reference;
	char title[200];
	/* what pictures are drawn on, one after the other */
	struct canvas canvas;
	struct depth depth;
};

/* ---- names ---- */

struct which {
	enum { SHOW_SIDE, SHOW_SECTION, SHOW_DIFFERENCE, SHOW_SHEET } what;
	enum side_view side;
	int axis;
	double at;
};

static int parse(struct which *w, const char *name, struct err *e)
{
	char axis = 'y', end;
	double at = 0.5;

	*w = (struct which){ .what = SHOW_SIDE };
	for (int v = 0; v < VIEW_SIDES; v++)
		if (strcmp(name, side_view_name((enum side_view)v)) == 0) {
			w->side = (enum side_view)v;
			return 0;
		}
	if (strcmp(name, "sheet") == 0) {
		w->what = SHOW_SHEET;
		return 0;
	}
	if (strcmp(name, "difference") == 0) {
		w->what = SHOW_DIFFERENCE;
		return 0;
	}
	if (strcmp(name, "section") == 0 ||
	    (sscanf(name, "section:%c:%lf%c", &axis, &at, &end) == 2 && axis >= 'x' &&
	     axis <= 'z' && at > 0 && at < 1)) {
		w->what = SHOW_SECTION;
		w->axis = axis - 'x';
		w->at = at;
		return 0;
	}
	return err_set(
		e, ERR_INPUT,
		"'%.40s' is no view: front, back, left, right, top, isometric, section, section:x:0.5 (an "
		"axis and a fraction of the box), difference and sheet are",
		name);
}

int view_name_check(const char *name, struct err *e)
{
	struct which w;

	return parse(&w, name, e);
}

/* ---- numbers ---- */

/* "480", "62.5", "0.08": as many digits as an engineer would write. */
static void length_text(char out[32], double mm)
{
	int digits = mm >= 100 ? 1 : mm >= 1 ? 2 : 3;

	snprintf(out, 32, "%.*f", digits, mm);
	if (strchr(out, '.')) {
		char *p = out + strlen(out);
		while (p[-1] == '0')
			*--p = '\0';
		if (p[-1] == '.')
			*--p = '\0';
	}
}

/* The largest of 1, 2, 5 times a power of ten that is at most @mm. */
static double round_length(double mm)
{
	double ten = pow(10, floor(log10(mm)));

	return (mm >= 5 * ten ? 5 : mm >= 2 * ten ? 2 : 1) * ten;
}

/* ---- what is drawn beside the part ---- */

static void arrow(struct canvas *c, double x, double y, double dx, double dy, double size)
{
	double px = -dy, py = dx;

	canvas_line(c, x, y, x + dx * size + px * size * 0.35, y + dy * size + py * size * 0.35,
	            1.1, INK_DIM);
	canvas_line(c, x, y, x + dx * size - px * size * 0.35, y + dy * size - py * size * 0.35,
	            1.1, INK_DIM);
}

/* Below, from @x0 to @x1, at height @y; @from_y: the part's lower end. */
static void dimension_below(struct canvas *c, double x0, double x1, double from_y, double y,
                            double mm, double size)
{
	char text[32];

	length_text(text, mm);
	canvas_line(c, x0, from_y + 4, x0, y + 4, 1, 90);
	canvas_line(c, x1, from_y + 4, x1, y + 4, 1, 90);
	canvas_line(c, x0, y, x1, y, 1, INK_DIM);
	double w = canvas_text_width(size, text);
	if (x1 - x0 > 2.2 * size) {
		arrow(c, x0, y, 1, 0, size * 0.8);
		arrow(c, x1, y, -1, 0, size * 0.8);
	}
	canvas_text(c, (x0 + x1 - w) / 2, y + size * 1.75, size, text);
}

static void dimension_right(struct canvas *c, double y0, double y1, double from_x, double x,
                            double mm, double size)
{
	char text[32];

	length_text(text, mm);
	canvas_line(c, from_x + 4, y0, x + 4, y0, 1, 90);
	canvas_line(c, from_x + 4, y1, x + 4, y1, 1, 90);
	canvas_line(c, x, y0, x, y1, 1, INK_DIM);
	if (y1 - y0 > 2.2 * size) {
		arrow(c, x, y0, 0, 1, size * 0.8);
		arrow(c, x, y1, 0, -1, size * 0.8);
	}
	canvas_text(c, x + size * 0.7, (y0 + y1 + size) / 2, size, text);
}

static void scale_bar(struct canvas *c, double x, double y, double px_per_mm, double room,
                      double size)
{
	char text[40], number[32];
	double mm = round_length(room / px_per_mm), w = mm * px_per_mm;

	length_text(number, mm);
	snprintf(text, sizeof(text), "%s mm", number);
	canvas_line(c, x, y, x + w, y, 3, 220);
	canvas_line(c, x, y - 5, x, y + 2, 1.2, 220);
	canvas_line(c, x + w, y - 5, x + w, y + 2, 1.2, 220);
	canvas_text(c, x + w + size, y + size * 0.4, size, text);
}

static void box_text(char out[120], const struct scene *s)
{
	char t[3][32];

	for (int k = 0; k < 3; k++)
		length_text(t[k], s->hi[k] - s->lo[k]);
	snprintf(out, 120, "%s \xc3\x97 %s \xc3\x97 %s mm", t[0], t[1], t[2]);
}

/* How much of the box one sees along the screen's right and up. */
static void seen_lengths(const struct camera *cam, const struct scene *s, double out[2])
{
	for (int i = 0; i < 2; i++) {
		out[i] = 0;
		for (int k = 0; k < 3; k++)
			out[i] += fabs(cam->axis[i][k]) * (s->hi[k] - s->lo[k]);
	}
}

static void dimensions(struct canvas *c, const struct camera *cam, const struct scene *s,
                       double size)
{
	double len[2], cx = cam->x + cam->w / 2.0, cy = cam->y + cam->h / 2.0;

	seen_lengths(cam, s, len);
	double w = len[0] * cam->px_per_mm / 2, h = len[1] * cam->px_per_mm / 2;
	dimension_below(c, cx - w, cx + w, cy + h, cy + h + size * 1.4, len[0], size);
	dimension_right(c, cy - h, cy + h, cx + w, cx + w + size * 1.4, len[1], size);
}

/* ---- one look ---- */

static int look(struct views *v, const struct scene_look *l, struct err *e)
{
	if (depth_open(&v->depth, l->camera->w, l->camera->h, e) < 0 ||
	    scene_surfaces(&v->part, l, &v->depth, e) < 0)
		return -1;
	scene_show(&v->depth, l, &v->canvas);
	return scene_edges(&v->part, l, &v->depth, &v->canvas, e);
}

/* The frame in the middle of a picture, with room for what stands beside the part. */
static struct camera frame(int px)
{
	return (struct camera){
		.x = px * 8 / 100, .y = px * 9 / 100, .w = px * 78 / 100, .h = px * 75 / 100
	};
}

static double text_size(int px)
{
	return fmax(px / 60.0, 6);
}

static void caption(struct canvas *c, const struct views *v, const char *name, int px)
{
	double size = text_size(px);
	char head[64];

	snprintf(head, sizeof(head), "%s", name);
	if (head[0] >= 'a' && head[0] <= 'z')
		head[0] = (char)(head[0] - 'a' + 'A');
	canvas_text(c, px * 0.03, px * 0.05, size * 1.2, head);
	double w = canvas_text_width(size, v->title);
	if (w < px * 0.6)
		canvas_text(c, px * 0.97 - w, px * 0.05, size, v->title);
}

static int side_picture(struct views *v, enum side_view side, int px, struct err *e)
{
	struct canvas *c = &v->canvas;
	struct camera cam = frame(px);
	double size = text_size(px);

	camera_fit(&cam, side, v->part.lo, v->part.hi);
	const struct scene_look l = { .camera = &cam, .cut_mm = NAN, .cull = v->part.closed };
	if (look(v, &l, e) < 0)
		return -1;
	caption(c, v, side_view_name(side), px);
	if (side == VIEW_ISOMETRIC) {
		char text[120];
		box_text(text, &v->part);
		double w = canvas_text_width(size, text);
		canvas_text(c, px * 0.97 - w, px * 0.965, size, text);
	} else {
		dimensions(c, &cam, &v->part, size);
	}
	scale_bar(c, px * 0.03, px * 0.955, cam.px_per_mm, px * 0.2, size);
	return 0;
}

static int section_picture(struct views *v, const struct which *w, int px, struct err *e)
{
	static const enum side_view from[3] = { VIEW_RIGHT, VIEW_FRONT, VIEW_TOP };
	struct canvas *c = &v->canvas;
	struct camera cam = frame(px);
	double size = text_size(px);
	char name[80], number[32];

	camera_fit(&cam, from[w->axis], v->part.lo, v->part.hi);
	double at = v->part.lo[w->axis] + w->at * (v->part.hi[w->axis] - v->part.lo[w->axis]);
	/* the front looks along y from its low end */
	const struct scene_look l = { .camera = &cam, .cut_mm = cam.axis[2][w->axis] * at };
	if (look(v, &l, e) < 0)
		return -1;
	length_text(number, fabs(at));
	snprintf(name, sizeof(name), "section at %c = %s%s mm", 'x' + w->axis,
	         at < 0 && strcmp(number, "0") != 0 ? "-" : "", number);
	caption(c, v, name, px);
	dimensions(c, &cam, &v->part, size);
	scale_bar(c, px * 0.03, px * 0.955, cam.px_per_mm, px * 0.2, size);
	return 0;
}

/* ---- the difference ---- */

struct marking {
	const struct voxels *other;      /* what is inside the other solid */
	const struct surface_tree *tree; /* its surface */
	double near_mm;
	bool of_reference;
	uint8_t *asked; /* of each cell: 0 not yet, 1 near, 2 not */
	size_t hint;
};

/* Of a point of one surface: near the other's, outside of it or inside? */
static enum hue mark(void *ctx, const double p[3])
{
	struct marking *m = ctx;
	const struct voxels *v = m->other;
	int at[3], in = 0;

	for (int k = 0; k < 3; k++) {
		double cell = (p[k] - v->lo[k]) / v->cell[k] - 0.5;
		cell = cell < -1 ? -1 : cell > v->n ? v->n : cell;
		at[k] = (int)floor(cell);
	}
	for (int i = 0; i < 8; i++) {
		int x = at[0] + (i & 1), y = at[1] + (i >> 1 & 1), z = at[2] + (i >> 2);
		in += x >= 0 && y >= 0 && z >= 0 && x < v->n && y < v->n && z < v->n &&
		      voxels_get(v, x, y, z);
	}
	if (in > 0 && in < 8)
		return HUE_PART;
	/* a cell is some pixels wide and asked once */
	int n = v->n,
	    x = at[0] < 0    ? 0
	        : at[0] >= n ? n - 1
	                     : at[0],
	    y = at[1] < 0    ? 0
	        : at[1] >= n ? n - 1
	                     : at[1],
	    z = at[2] < 0    ? 0
	        : at[2] >= n ? n - 1
	                     : at[2];
	uint8_t *asked = &m->asked[((size_t)y * (size_t)n + (size_t)x) * (size_t)n + (size_t)z];
	if (*asked == 0)
		*asked = surface_distance(m->tree, p, &m->hint) <= m->near_mm ? 1 : 2;
	if (*asked == 1)
		return HUE_PART;
	/* the part's surface out in the open bounds what is too much, within the reference what is
	 * missing; the reference's own, where the part is not, what is missing */
	if (m->of_reference)
		return in ? HUE_PART : HUE_MISSING;
	return in ? HUE_MISSING : HUE_SURPLUS;
}

static int place(struct views *v, struct err *e)
{
	size_t n = v->facets.n;
	double lo[3], hi[3];

	if (v->has_turned)
		return 0;
	v->placed = malloc(sizeof(*v->placed) * 9 * n);
	if (!v->placed)
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", n);
	facets_box(&v->facets, lo, hi);
	for (size_t i = 0; i < 3 * n; i++)
		for (int k = 0; k < 3; k++) {
			double x = 0;
			for (int m = 0; m < 3; m++)
				x += v->turn[k][m] *
				     (v->facets.xyz[3 * i + (size_t)m] - (lo[m] + hi[m]) / 2);
			v->placed[3 * i + (size_t)k] = x;
		}
	const struct facets f = { v->placed, v->facets.solid_of, n };
	if (surface_tree_build(&v->tree, &f, NULL, e) < 0 ||
	    scene_open(&v->turned, v->placed, n, e) < 0)
		return -1;
	v->has_turned = true;
	return 0;
}

static int grids(struct views *v, struct err *e)
{
	const struct surface_tree *t = &v->ref->tree;
	double lo[3], hi[3], *xyz;
	int *solid_of, rc = -1;

	if (v->has_grids)
		return 0;
	for (int k = 0; k < 3; k++) {
		hi[k] = fmax(v->turned.hi[k], v->ref->len_mm[k] / 2);
		lo[k] = fmin(v->turned.lo[k], -v->ref->len_mm[k] / 2);
	}
	xyz = malloc(sizeof(*xyz) * 9 * t->n);
	solid_of = malloc(sizeof(*solid_of) * t->n);
	if (!xyz || !solid_of) {
		err_set(e, ERR_MEM, "out of memory for %zu triangles", t->n);
		goto out;
	}
	/* those of one solid stand together, which the tree's order does not keep */
	size_t at = 0;
	for (uint32_t s = 0; s < v->ref->n_solids; s++)
		for (size_t i = 0; i < t->n; i++)
			if (v->ref->solid_of[i] == s) {
				for (int k = 0; k < 9; k++)
					xyz[9 * at + (size_t)k] = t->xyz[9 * i + (size_t)k];
				solid_of[at++] = (int)s;
			}
	const struct facets ref = { xyz, solid_of, at },
			    part = { v->placed, v->facets.solid_of, v->facets.n };
	if (scene_open(&v->reference, xyz, at, e) < 0)
		goto out;
	v->has_reference = true;
	if (voxels_open(&v->in_part, GRID, lo, hi, e) < 0 ||
	    voxels_open(&v->in_reference, GRID, lo, hi, e) < 0 ||
	    voxels_fill(&v->in_part, &part, NULL, NULL, e) < 0 ||
	    voxels_fill(&v->in_reference, &ref, NULL, NULL, e) < 0)
		goto out;
	v->has_grids = true;
	rc = 0;
out:
	free(xyz);
	free(solid_of);
	return rc;
}

static void key_of(struct canvas *c, double x, double y, double size, enum hue hue,
                   const char *text)
{
	for (int i = 0; i < (int)size + 2; i++)
		for (int k = 0; k < (int)size + 2; k++) {
			int px = (int)x + k, py = (int)(y - size) + i - 1;
			if (px < 0 || py < 0 || px >= c->w || py >= c->h)
				continue;
			size_t at = (size_t)py * (size_t)c->w + (size_t)px;
			c->hue[at] = (uint8_t)hue;
			c->level[at] = 235;
		}
	canvas_text(c, x + size * 2, y, size, text);
}

static int difference_picture(struct views *v, int px, struct err *e)
{
	struct camera cam = frame(px);
	struct canvas *c = &v->canvas;
	struct depth *d = &v->depth;
	double size = text_size(px), lo[3], hi[3], near_mm;

	if (!v->ref)
		return err_set(e, ERR_INPUT, "a difference needs a reference, and there is none");
	if (place(v, e) < 0 || grids(v, e) < 0)
		return -1;
	near_mm = NEAR * v->ref->diagonal_mm;
	for (int k = 0; k < 3; k++) {
		hi[k] = fmax(v->turned.hi[k], v->reference.hi[k]);
		lo[k] = fmin(v->turned.lo[k], v->reference.lo[k]);
	}
	camera_fit(&cam, VIEW_ISOMETRIC, lo, hi);
	struct marking of_part = { &v->in_reference,
		                   &v->ref->tree,
		                   near_mm,
		                   false,
		                   calloc(GRID * GRID, GRID),
		                   0 },
		       of_ref = {
			       &v->in_part, &v->tree, near_mm, true, calloc(GRID * GRID, GRID), 0
		       };
	int rc = -1;
	const struct scene_hues part_hues = { &of_part, mark }, ref_hues = { &of_ref, mark };
	const struct scene_look part = { .camera = &cam,
		                         .hues = &part_hues,
		                         .cut_mm = NAN,
		                         .cull = v->turned.closed },
				ref = { .camera = &cam,
		                        .hues = &ref_hues,
		                        .only_marked = true,
		                        .cut_mm = NAN,
		                        .cull = v->reference.closed };
	if (!of_part.asked || !of_ref.asked) {
		err_set(e, ERR_MEM, "out of memory for a picture");
		goto out;
	}
	if (depth_open(d, cam.w, cam.h, e) == 0 && scene_surfaces(&v->turned, &part, d, e) == 0 &&
	    scene_surfaces(&v->reference, &ref, d, e) == 0) {
		scene_show(d, &part, c);
		if (scene_edges(&v->turned, &part, d, c, e) < 0 ||
		    scene_edges(&v->reference, &ref, d, c, e) < 0)
			goto out;
		caption(c, v, "difference to the reference", px);
		key_of(c, px * 0.45, px * 0.955, size, HUE_MISSING, "missing");
		key_of(c, px * 0.65, px * 0.955, size, HUE_SURPLUS, "too much");
		scale_bar(c, px * 0.03, px * 0.955, cam.px_per_mm, px * 0.2, size);
		rc = 0;
	}
out:
	free(of_part.asked);
	free(of_ref.asked);
	return rc;
}

/* ---- the sheet ---- */

struct cell {
	enum side_view side;
	int x, y, w, h; /* thirds of the picture */
	bool dimensions;
};

static int sheet_picture(struct views *v, int px, struct err *e)
{
	static const struct cell cells[] = {
		{ VIEW_ISOMETRIC, 0, 0, 2, 2, false }, { VIEW_FRONT, 2, 0, 1, 1, true },
		{ VIEW_RIGHT, 2, 1, 1, 1, true },      { VIEW_TOP, 0, 2, 1, 1, true },
		{ VIEW_BACK, 1, 2, 1, 1, false },      { VIEW_LEFT, 2, 2, 1, 1, false },
	};
	enum { CELLS = sizeof(cells) / sizeof(*cells) };
	int head = px / 16, foot = px / 22, third = px / 3, high = (px - head - foot) / 3;
	double size = fmax(px / 80.0, 5.5), scale = INFINITY, big = fmax(px / 52.0, 7);
	struct canvas *c = &v->canvas;
	struct camera cam[CELLS];
	char text[120];

	/* the five that show true lengths have one scale */
	for (int i = 0; i < CELLS; i++) {
		const struct cell *k = &cells[i];
		int pad = k->w == 2 ? px / 18 : px / 15;
		cam[i] = (struct camera){ .x = k->x * third + pad / 2,
			                  .y = head + k->y * high + pad / 2 + px / 60,
			                  .w = k->w * third - pad * 3 / 2,
			                  .h = k->h * high - pad - px / 30 };
		camera_fit(&cam[i], k->side, v->part.lo, v->part.hi);
		if (k->side != VIEW_ISOMETRIC)
			scale = fmin(scale, cam[i].px_per_mm);
	}
	for (int i = 0; i < CELLS; i++) {
		const struct cell *k = &cells[i];
		const struct scene_look l = { .camera = &cam[i],
			                      .cut_mm = NAN,
			                      .cull = v->part.closed };
		if (k->side != VIEW_ISOMETRIC)
			cam[i].px_per_mm = scale;
		if (look(v, &l, e) < 0)
			return -1;
		if (k->dimensions)
			dimensions(c, &cam[i], &v->part, size);
		canvas_text(c, k->x * third + px / 60.0, head + k->y * high + size * 2, size,
		            side_view_name(k->side));
	}
	/* thin rules between the cells */
	for (int i = 0; i <= 3; i++) {
		int y = head + i * high, from = i == 1 ? 2 * third : 0;
		canvas_line(c, from, y + 0.5, px, y + 0.5, 1, 60);
	}
	canvas_line(c, 2 * third + 0.5, head, 2 * third + 0.5, head + 3 * high, 1, 60);
	canvas_line(c, third + 0.5, head + 2 * high, third + 0.5, head + 3 * high, 1, 60);
	box_text(text, &v->part);
	double w = canvas_text_width(big, text), room = px * 0.96 - w - px / 40.0;
	canvas_text(c, px * 0.98 - w, head * 0.66, big, text);
	char title[sizeof(v->title)];
	snprintf(title, sizeof(title), "%s", v->title);
	for (size_t n = strlen(title); n > 3 && canvas_text_width(big, title) > room; n--)
		snprintf(title + n - 3, 4, "...");
	canvas_text(c, px * 0.02, head * 0.66, big, title);
	scale_bar(c, px * 0.02, px - foot * 0.4, scale, px * 0.15, size);
	return 0;
}

/* ---- the door ---- */

struct views *views_open(const struct facets *part, const struct exact_reference *reference,
                         const int turn[3][3], const char *title, struct err *e)
{
	static const int none[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };
	struct views *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_MEM, "out of memory for pictures");
		return NULL;
	}
	v->facets = *part;
	v->ref = reference;
	memcpy(v->turn, turn ? turn : none, sizeof(v->turn));
	snprintf(v->title, sizeof(v->title), "%s", title ? title : "");
	if (scene_open(&v->part, part->xyz, part->n, e) < 0) {
		views_close(v);
		return NULL;
	}
	return v;
}

void views_close(struct views *v)
{
	if (!v)
		return;
	scene_release(&v->part);
	scene_release(&v->turned);
	scene_release(&v->reference);
	surface_tree_release(&v->tree);
	voxels_release(&v->in_part);
	voxels_release(&v->in_reference);
	canvas_release(&v->canvas);
	depth_release(&v->depth);
	free(v->placed);
	free(v);
}

int views_png(struct views *v, const char *name, int px, struct buf *out, struct err *e)
{
	struct which w;
	int rc = -1;

	if (parse(&w, name, e) < 0)
		return -1;
	if (px < VIEW_PX_MIN || px > VIEW_PX_MAX)
		return err_set(e, ERR_INPUT, "%d pixels: %d to %d were expected", px, VIEW_PX_MIN,
		               VIEW_PX_MAX);
	if (canvas_open(&v->canvas, px, px, e) < 0)
		return -1;
	switch (w.what) {
	case SHOW_SIDE:
		rc = side_picture(v, w.side, px, e);
		break;
	case SHOW_SECTION:
		rc = section_picture(v, &w, px, e);
		break;
	case SHOW_DIFFERENCE:
		rc = difference_picture(v, px, e);
		break;
	case SHOW_SHEET:
		rc = sheet_picture(v, px, e);
		break;
	}
	return rc == 0 ? canvas_png(&v->canvas, out, e) : -1;
}
