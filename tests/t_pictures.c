/*
 * t_pictures.c - canvas, scene and views: which pixels a solid covers, which edges are seen, what a
 * cut and a difference show.
 */
#include "tests/lib.h"

#include <png.h>

#include "engine/canvas.h"
#include "engine/scene.h"
#include "engine/views.h"
#include "src/base/buf.h"

struct triangles {
	double xyz[9 * 4096];
	size_t n;
};

static void corner(struct triangles *t, int k, double x, double y, double z)
{
	double *p = &t->xyz[9 * t->n + 3 * (size_t)k];

	p[0] = x, p[1] = y, p[2] = z;
}

static void quad(struct triangles *t, const double a[3], const double b[3], const double c[3],
                 const double d[3])
{
	const double *p[2][3] = { { a, b, c }, { a, c, d } };

	for (int i = 0; i < 2; i++, t->n++)
		for (int k = 0; k < 3; k++)
			corner(t, k, p[i][k][0], p[i][k][1], p[i][k][2]);
}

/* @out: turned outwards; else a cavity. */
static void box(struct triangles *t, const double lo[3], const double hi[3], bool out)
{
	double v[8][3];
	static const int faces[6][4] = { { 0, 2, 3, 1 }, { 4, 5, 7, 6 }, { 0, 1, 5, 4 },
		                         { 2, 6, 7, 3 }, { 0, 4, 6, 2 }, { 1, 3, 7, 5 } };

	for (int i = 0; i < 8; i++)
		for (int k = 0; k < 3; k++)
			v[i][k] = i >> k & 1 ? hi[k] : lo[k];
	for (int f = 0; f < 6; f++) {
		const int *q = faces[f];
		if (out)
			quad(t, v[q[0]], v[q[1]], v[q[2]], v[q[3]]);
		else
			quad(t, v[q[3]], v[q[2]], v[q[1]], v[q[0]]);
	}
}

static void cylinder(struct triangles *t, double r, double h, int n)
{
	for (int i = 0; i < n; i++) {
		double a = 2 * M_PI * i / n, b = 2 * M_PI * (i + 1) / n;
		double p[4][3] = { { r * cos(a), r * sin(a), 0 },
			           { r * cos(b), r * sin(b), 0 },
			           { r * cos(b), r * sin(b), h },
			           { r * cos(a), r * sin(a), h } };
		if (i == n - 1) /* closed exactly */
			p[1][0] = p[2][0] = r, p[1][1] = p[2][1] = 0;
		quad(t, p[0], p[1], p[2], p[3]);
		corner(t, 0, 0, 0, 0), corner(t, 1, p[1][0], p[1][1], 0);
		corner(t, 2, p[0][0], p[0][1], 0), t->n++;
		corner(t, 0, 0, 0, h), corner(t, 1, p[3][0], p[3][1], h);
		corner(t, 2, p[2][0], p[2][1], h), t->n++;
	}
}

static struct scene scene_of(const struct triangles *t)
{
	struct scene s;
	struct err e = { 0 };

	if (scene_open(&s, t->xyz, t->n, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

/* @px pixels a mm, the middle of the box in the middle of a frame of 100 by 100. */
static struct camera camera_of(const struct scene *s, enum side_view v, double px)
{
	struct camera c = { .w = 100, .h = 100 };

	camera_fit(&c, v, s->lo, s->hi);
	c.px_per_mm = px;
	return c;
}

static struct depth drawn(const struct scene *s, const struct scene_look *l)
{
	struct depth d = { 0 };
	struct err e = { 0 };

	assert_int_equal(depth_open(&d, l->camera->w, l->camera->h, &e), 0);
	assert_int_equal(scene_surfaces(s, l, &d, &e), 0);
	return d;
}

static int covered(const struct depth *d)
{
	int n = 0;

	for (int i = 0; i < d->w * d->h; i++)
		n += d->key[i] != 0;
	return n;
}

static struct triangles *fresh(void)
{
	struct triangles *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	return t;
}

static void a_box_covers_its_pixels_and_no_other(void **state)
{
	struct triangles *t = fresh();
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 10, 20, 5 };
	const int want[VIEW_SIDES] = { 40 * 20, 40 * 20, 80 * 20, 80 * 20, 40 * 80, 0 };
	(void)state;
	box(t, lo, hi, true);
	struct scene s = scene_of(t);
	assert_true(s.closed);
	for (int v = VIEW_FRONT; v < VIEW_ISOMETRIC; v++) {
		struct camera c = camera_of(&s, (enum side_view)v, 4);
		const struct scene_look l = { .camera = &c, .cut_mm = NAN, .cull = true };
		struct depth d = drawn(&s, &l);
		assert_int_equal(covered(&d), want[v]);
		depth_release(&d);
	}
	scene_release(&s);
	free(t);
}

/* A square cut into triangles at random points: each pixel is covered once. Counted by a cut behind
 * it, before which every fragment that faces the viewer counts. */
static void neighbours_share_no_pixel_and_leave_none_out(void **state)
{
	struct triangles *t = fresh();
	const double a[3] = { 0, 0, 0 }, b[3] = { 12.3, 0, 0 }, c[3] = { 12.3, 0, 11.7 },
		     d[3] = { 0, 0, 11.7 };
	const double *square[4] = { a, b, c, d };
	uint32_t x = 12345;
	(void)state;
	for (int i = 0; i < 4; i++, t->n++) {
		const double *p = square[i], *q = square[(i + 1) % 4];
		corner(t, 0, 5.1, 0, 6.3), corner(t, 1, p[0], p[1], p[2]),
			corner(t, 2, q[0], q[1], q[2]);
	}
	for (int i = 0; i < 500; i++) {
		/* one triangle becomes three */
		size_t k = (x = x * 1664525 + 1013904223) % t->n, n = t->n;
		double v[3][3], m[3];
		memcpy(v, &t->xyz[9 * k], sizeof(v));
		double u = 0.2 + (x >> 8) % 100 / 250.0, w = 0.2 + (x >> 16) % 100 / 250.0;
		for (int j = 0; j < 3; j++)
			m[j] = v[0][j] + u * 0.9 * (v[1][j] - v[0][j]) +
			       w * 0.9 * (1 - u) * (v[2][j] - v[0][j]);
		for (int j = 0; j < 3; j++) {
			t->n = j == 0 ? k : n + (size_t)j - 1;
			corner(t, 0, v[j][0], v[j][1], v[j][2]);
			corner(t, 1, v[(j + 1) % 3][0], v[(j + 1) % 3][1], v[(j + 1) % 3][2]);
			corner(t, 2, m[0], m[1], m[2]);
		}
		t->n = n + 2;
	}
	struct scene s = scene_of(t);
	struct camera cam = camera_of(&s, VIEW_FRONT, 7.13);
	cam.depth_mm[0] -= 10;
	const struct scene_look l = { .camera = &cam, .cut_mm = cam.depth_mm[0] + 1 };
	struct depth got = drawn(&s, &l);
	int once = 0;
	for (int i = 0; i < got.w * got.h; i++) {
		assert_true(got.inside[i] == 0 || got.inside[i] == 1);
		once += got.inside[i] == 1;
	}
	/* corners are rounded to 1/16 of a pixel */
	assert_close(once, 12.3 * 7.13 * 11.7 * 7.13, 100);
	for (int y = 20; y < 80; y++)
		for (int i = 20; i < 80; i++)
			assert_int_equal(got.inside[y * 100 + i], 1);
	depth_release(&got);
	scene_release(&s);
	free(t);
}

static int ink_in(const struct canvas *c, int x0, int y0, int x1, int y1)
{
	int n = 0;

	for (int y = y0; y < y1; y++)
		for (int x = x0; x < x1; x++)
			n += c->ink[y * c->w + x] > 0;
	return n;
}

static struct canvas edges_of(const struct scene *s, const struct camera *cam)
{
	const struct scene_look l = { .camera = cam, .cut_mm = NAN, .cull = s->closed };
	struct canvas c = { 0 };
	struct err e = { 0 };

	assert_int_equal(canvas_open(&c, 100, 100, &e), 0);
	struct depth d = drawn(s, &l);
	scene_show(&d, &l, &c);
	assert_int_equal(scene_edges(s, &l, &d, &c, &e), 0);
	depth_release(&d);
	return c;
}

static void hidden_edges_are_not_drawn(void **state)
{
	struct triangles *t = fresh();
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 4, 20 }, lo2[3] = { 5, 10, 5 },
		     hi2[3] = { 15, 14, 15 };
	(void)state;
	box(t, lo, hi, true);
	box(t, lo2, hi2, true);
	struct scene s = scene_of(t);
	struct camera front = camera_of(&s, VIEW_FRONT, 4), back = camera_of(&s, VIEW_BACK, 4);
	struct canvas c = edges_of(&s, &front);
	/* the big box stands before the small one: its outline alone */
	assert_int_equal(ink_in(&c, 14, 14, 86, 86), 0);
	assert_true(ink_in(&c, 8, 8, 92, 92) > 4 * 75);
	canvas_release(&c);
	c = edges_of(&s, &back);
	assert_true(ink_in(&c, 14, 14, 86, 86) > 4 * 38);
	canvas_release(&c);
	scene_release(&s);
	free(t);
}

static void a_round_has_no_lines_but_its_outline(void **state)
{
	struct triangles *t = fresh();
	(void)state;
	cylinder(t, 10, 20, 64);
	struct scene s = scene_of(t);
	assert_true(s.closed);
	struct camera front = camera_of(&s, VIEW_FRONT, 4);
	struct canvas c = edges_of(&s, &front);
	assert_int_equal(ink_in(&c, 14, 14, 86, 86), 0);
	/* both sides turn away from the viewer there */
	assert_true(ink_in(&c, 8, 20, 13, 80) >= 60);
	assert_true(ink_in(&c, 87, 20, 92, 80) >= 60);
	/* shades go over smoothly */
	int jump = 0;
	for (int x = 16; x < 84; x++) {
		int step = abs(c.level[50 * 100 + x] - c.level[50 * 100 + x - 1]);
		jump = step > jump ? step : jump;
	}
	assert_true(jump <= 12);
	canvas_release(&c);
	scene_release(&s);
	free(t);
}

static void a_cut_shows_what_is_solid(void **state)
{
	struct triangles *t = fresh();
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 20, 20 }, lo2[3] = { 5, 5, 5 },
		     hi2[3] = { 15, 15, 15 };
	(void)state;
	box(t, lo, hi, true);
	box(t, lo2, hi2, false);
	struct scene s = scene_of(t);
	struct camera cam = camera_of(&s, VIEW_FRONT, 4);
	/* in the middle: the viewer is at low y, and the third coordinate is -y */
	const struct scene_look l = { .camera = &cam, .cut_mm = -10 };
	struct depth d = drawn(&s, &l);
	int solid = 0;
	for (int i = 0; i < 100 * 100; i++)
		solid += d.inside[i] > 0;
	assert_int_equal(solid, 80 * 80 - 40 * 40);
	struct canvas c = { 0 };
	struct err e = { 0 };
	assert_int_equal(canvas_open(&c, 100, 100, &e), 0);
	scene_show(&d, &l, &c);
	assert_int_equal(c.hue[15 * 100 + 50], HUE_CUT);
	assert_int_equal(c.hue[50 * 100 + 50], HUE_PART); /* the cavity's back wall */
	assert_int_equal(c.hue[2 * 100 + 2], HUE_PAPER);
	canvas_release(&c);
	depth_release(&d);
	scene_release(&s);
	free(t);
}

/* What a reader of PNG makes of it: rows of RGB. */
static uint8_t *decoded(const struct buf *png, int *w, int *h)
{
	png_image image = { .version = PNG_IMAGE_VERSION };

	assert_true(png_image_begin_read_from_memory(&image, png->data, png->len));
	image.format = PNG_FORMAT_RGB;
	uint8_t *px = malloc(PNG_IMAGE_SIZE(image));
	assert_true(png_image_finish_read(&image, NULL, px, 0, NULL));
	*w = (int)image.width;
	*h = (int)image.height;
	return px;
}

static void a_picture_is_read_as_it_was_drawn(void **state)
{
	struct canvas c = { 0 };
	struct err e = { 0 };
	struct buf png = { 0 };
	int w, h;
	(void)state;
	assert_int_equal(canvas_open(&c, 200, 60, &e), 0);
	for (int i = 0; i < 200 * 60; i++) {
		c.hue[i] = (uint8_t)(i % HUE_COUNT);
		c.level[i] = (uint8_t)(i * 7);
	}
	canvas_line(&c, 3, 3, 190, 50, 2, 200);
	canvas_text(&c, 10, 40, 20, "\xc3\x98 12.5 \xc2\xb1 0.1 mm \xc3\x97");
	assert_int_equal(canvas_png(&c, &png, &e), 0);
	uint8_t *px = decoded(&png, &w, &h);
	assert_int_equal(w, 200);
	assert_int_equal(h, 60);
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			const uint8_t *p = px + 3 * (y * w + x);
			assert_int_equal(p[0] << 16 | p[1] << 8 | p[2], canvas_rgb(&c, x, y));
		}
	free(px);
	buf_release(&png);
	canvas_release(&c);
	assert_int_equal(canvas_open(&c, 5000, 60, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
}

static void every_letter_has_strokes_of_its_own(void **state)
{
	static const char all[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;-+=/()[]%_<>#!?'|*";
	struct canvas c[2] = { { 0 } };
	struct err e = { 0 };
	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(canvas_open(&c[i], 64, 64, &e), 0);
	for (size_t i = 0; all[i]; i++)
		for (size_t k = 0; k < i; k++) {
			char one[2] = { all[i], 0 }, other[2] = { all[k], 0 };
			canvas_clear(&c[0]);
			canvas_clear(&c[1]);
			assert_true(canvas_text(&c[0], 8, 48, 36, one) > 0);
			canvas_text(&c[1], 8, 48, 36, other);
			if (memcmp(c[0].ink, c[1].ink, 64 * 64) == 0)
				fail_msg("%s and %s look alike", one, other);
		}
	/* what it cannot draw is a box, bytes that are no UTF-8 too */
	assert_true(canvas_text_width(10, "\xe4\xb8\xad") > 0);
	assert_true(canvas_text(&c[0], 0, 10, 10, "\xff\xfe\xc3") > 0);
	for (int i = 0; i < 2; i++)
		canvas_release(&c[i]);
}

static int hue_pixels(const struct buf *png, enum hue hue)
{
	int w, h, n = 0;
	uint8_t *px = decoded(png, &w, &h);

	/* the key in the foot of the picture is left out */
	for (int i = 0; i < w * (h * 9 / 10); i++) {
		int r = px[3 * i], g = px[3 * i + 1], b = px[3 * i + 2];
		bool orange = r > g + 40 && g > b + 25, blue = b > r + 40 && b > g + 20;
		n += hue == HUE_SURPLUS ? orange : blue;
	}
	free(px);
	return n;
}

/* The difference picture of @part against @whole. */
static struct buf difference(const struct triangles *part, const struct triangles *whole)
{
	struct facets f = { part->xyz, NULL, part->n }, g = { whole->xyz, NULL, whole->n };
	struct exact_reference ref;
	struct buf png = { 0 };
	struct err e = { 0 };
	double lo[3], hi[3];

	facets_box(&g, lo, hi);
	assert_int_equal(exact_reference_make(&ref, &g, lo, hi, 0, &e), 0);
	struct views *v = views_open(&f, &ref, NULL, "a part", &e);
	assert_non_null(v);
	if (views_png(v, "difference", 300, &png, &e) < 0)
		fail_msg("%s", e.text);
	views_close(v);
	exact_reference_release(&ref);
	return png;
}

static void missing_and_surplus_material_have_two_colours(void **state)
{
	struct triangles *plain = fresh(), *post = fresh(), *hollow = fresh();
	const double lo[3] = { -20, -20, -5 }, hi[3] = { 20, 20, 5 };
	(void)state;
	box(plain, lo, hi, true);
	/* a post on top that keeps the box's middle in its place: one below, too */
	box(post, lo, hi, true);
	const double lo2[3] = { -5, -5, 5.5 }, hi2[3] = { 5, 5, 15 }, lo3[3] = { -5, -5, -15 },
		     hi3[3] = { 5, 5, -5.5 };
	box(post, lo2, hi2, true);
	box(post, lo3, hi3, true);
	struct buf same = difference(plain, plain), more = difference(post, plain),
		   less = difference(plain, post);
	assert_int_equal(hue_pixels(&same, HUE_SURPLUS), 0);
	assert_int_equal(hue_pixels(&same, HUE_MISSING), 0);
	assert_true(hue_pixels(&more, HUE_SURPLUS) > 500);
	assert_int_equal(hue_pixels(&more, HUE_MISSING), 0);
	assert_true(hue_pixels(&less, HUE_MISSING) > 500);
	assert_int_equal(hue_pixels(&less, HUE_SURPLUS), 0);
	buf_release(&same);
	buf_release(&more);
	buf_release(&less);
	free(plain);
	free(post);
	free(hollow);
}

static void the_same_part_gives_the_same_bytes(void **state)
{
	static const char *const names[] = { "front", "isometric", "section", "section:x:0.25",
		                             "sheet" };
	struct triangles *t = fresh();
	(void)state;
	cylinder(t, 10, 20, 40);
	struct facets f = { t->xyz, NULL, t->n };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct buf png[2] = { { 0 }, { 0 } };
		for (int k = 0; k < 2; k++) {
			struct err e = { 0 };
			struct views *v = views_open(&f, NULL, NULL, "a part", &e);
			assert_non_null(v);
			assert_int_equal(views_png(v, names[i], 320, &png[k], &e), 0);
			views_close(v);
		}
		assert_int_equal(png[0].len, png[1].len);
		assert_memory_equal(png[0].data, png[1].data, png[0].len);
		buf_release(&png[0]);
		buf_release(&png[1]);
	}
	free(t);
}

/* Pictures of one part are drawn on one canvas, one after the other. */
static void nothing_of_a_picture_is_left_in_the_next(void **state)
{
	static const struct {
		const char *name;
		int px;
	} of[] = { { "section:z:0.5", 320 }, { "front", 320 },          { "sheet", 320 },
		   { "top", 200 },           { "section:x:0.25", 400 }, { "isometric", 320 } };
	struct triangles *t = fresh();
	struct err e = { 0 };
	(void)state;
	cylinder(t, 10, 20, 40);
	struct facets f = { t->xyz, NULL, t->n };
	struct views *one = views_open(&f, NULL, NULL, "a part", &e);
	assert_non_null(one);
	for (size_t i = 0; i < 2 * sizeof(of) / sizeof(*of); i++) {
		size_t k = i % (sizeof(of) / sizeof(*of));
		struct buf png[2] = { { 0 }, { 0 } };
		struct views *fresh_one = views_open(&f, NULL, NULL, "a part", &e);
		assert_non_null(fresh_one);
		assert_int_equal(views_png(one, of[k].name, of[k].px, &png[0], &e), 0);
		assert_int_equal(views_png(fresh_one, of[k].name, of[k].px, &png[1], &e), 0);
		views_close(fresh_one);
		assert_int_equal(png[0].len, png[1].len);
		assert_memory_equal(png[0].data, png[1].data, png[0].len);
		buf_release(&png[0]);
		buf_release(&png[1]);
	}
	views_close(one);
	free(t);
}

static void what_cannot_be_drawn_is_said(void **state)
{
	static const char *const wrong[] = { "",          "Front",         "section:",
		                             "section:w", "section:x:0",   "section:x:1",
		                             "sheets",    "section:x:0.5k" };
	struct triangles *t = fresh();
	struct facets f = { t->xyz, NULL, 0 };
	struct err e = { 0 };
	struct buf png = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		e = (struct err){ 0 };
		assert_int_equal(view_name_check(wrong[i], &e), -1);
		assert_contains(e.text, "isometric");
	}
	assert_null(views_open(&f, NULL, NULL, "", &e));
	assert_contains(e.text, "no triangle");
	/* nothing but NaN, infinity, and triangles without area */
	corner(t, 0, NAN, 0, 0), corner(t, 1, 1, 0, 0), corner(t, 2, 0, 1, 0), t->n++;
	corner(t, 0, 0, 0, 0), corner(t, 1, INFINITY, 0, 0), corner(t, 2, 0, 1, 0), t->n++;
	corner(t, 0, 0, 0, 0), corner(t, 1, 1, 1, 1), corner(t, 2, 2, 2, 2), t->n++;
	corner(t, 0, 1e300, 0, 0), corner(t, 1, 0, 1e300, 0), corner(t, 2, 0, 0, 1e300), t->n++;
	f.n = t->n;
	e = (struct err){ 0 };
	assert_null(views_open(&f, NULL, NULL, "", &e));
	assert_int_equal(e.kind, ERR_INPUT);
	/* with one that can be seen they are left out; it is huge, thin and far away */
	corner(t, 0, 1e30, 1e30, 0), corner(t, 1, 1.5e30, 1e30, 0),
		corner(t, 2, 1e30, 1.5e30, 1e10), t->n++;
	f.n = t->n;
	struct views *v = views_open(&f, NULL, NULL, "", &e);
	assert_non_null(v);
	for (int i = 0; i < VIEW_SIDES; i++)
		assert_int_equal(views_png(v, side_view_name((enum side_view)i), 200, &png, &e), 0);
	assert_int_equal(views_png(v, "sheet", 200, &png, &e), 0);
	assert_int_equal(views_png(v, "section", 200, &png, &e), 0);
	assert_int_equal(views_png(v, "difference", 200, &png, &e), -1);
	assert_contains(e.text, "reference");
	assert_int_equal(views_png(v, "front", 10, &png, &e), -1);
	assert_contains(e.text, "96");
	views_close(v);
	buf_release(&png);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_box_covers_its_pixels_and_no_other),
		cmocka_unit_test(neighbours_share_no_pixel_and_leave_none_out),
		cmocka_unit_test(hidden_edges_are_not_drawn),
		cmocka_unit_test(a_round_has_no_lines_but_its_outline),
		cmocka_unit_test(a_cut_shows_what_is_solid),
		cmocka_unit_test(a_picture_is_read_as_it_was_drawn),
		cmocka_unit_test(every_letter_has_strokes_of_its_own),
		cmocka_unit_test(missing_and_surplus_material_have_two_colours),
		cmocka_unit_test(the_same_part_gives_the_same_bytes),
		cmocka_unit_test(nothing_of_a_picture_is_left_in_the_next),
		cmocka_unit_test(what_cannot_be_drawn_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
