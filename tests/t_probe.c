#include "tests/lib.h"

#include "engine/column.h"
#include "engine/probe.h"
#include "engine/section.h"
#include "engine/thickness.h"
#include "engine/windows.h"
#include "src/base/buf.h"

/* Triangles laid by hand. */
struct pile {
	double xyz[9 * 400];
	int solid_of[400];
	size_t n;
};

static void add_triangle(struct pile *p, int solid, const double *a, const double *b,
                         const double *c)
{
	memcpy(p->xyz + 9 * p->n, a, 3 * sizeof(double));
	memcpy(p->xyz + 9 * p->n + 3, b, 3 * sizeof(double));
	memcpy(p->xyz + 9 * p->n + 6, c, 3 * sizeof(double));
	p->solid_of[p->n++] = solid;
}

/* The twelve triangles of a box, outside out; @hollow: inside out, a cavity. */
static void add_box(struct pile *p, int solid, const double lo[3], const double hi[3], bool hollow)
{
	for (int axis = 0; axis < 3; axis++) {
		for (int side = 0; side < 2; side++) {
			double c[4][3];
			int u = (axis + 1) % 3, v = (axis + 2) % 3;
			for (int k = 0; k < 4; k++) {
				c[k][axis] = side ? hi[axis] : lo[axis];
				c[k][u] = k == 1 || k == 2 ? hi[u] : lo[u];
				c[k][v] = k >= 2 ? hi[v] : lo[v];
			}
			bool outward = (side == 1) != hollow;
			add_triangle(p, solid, c[0], c[outward ? 1 : 2], c[outward ? 2 : 1]);
			add_triangle(p, solid, c[0], c[outward ? 2 : 3], c[outward ? 3 : 2]);
		}
	}
}

static struct section_faces cut(const struct pile *p, int axis, double at, const double clip[4])
{
	struct section s;
	struct section_faces f;
	struct err e = { 0 };

	assert_int_equal(section_cut(&s, p->xyz, p->n, axis, at, &e), 0);
	assert_int_equal(section_find_faces(&f, &s, clip, 0.05, 1e-9, &e), 0);
	section_release(&s);
	return f;
}

static void a_cut_through_a_box_is_its_rectangle_whichever_way(void **state)
{
	struct pile p = { 0 };
	const double lo[3] = { -1, 2, 3 }, hi[3] = { 4, 9, 14 }, len[3] = { 5, 7, 11 };
	(void)state;
	add_box(&p, 0, lo, hi, false);
	for (int axis = 0; axis < 3; axis++) {
		int u = (axis + 1) % 3, v = (axis + 2) % 3;
		struct section_faces f = cut(&p, axis, lo[axis] + 0.3 * len[axis], NULL);
		assert_int_equal(f.n, 1);
		assert_close(f.area_mm2, len[u] * len[v], 1e-9);
		assert_close(f.faces[0].middle_mm[0], (lo[u] + hi[u]) / 2, 1e-9);
		assert_close(f.faces[0].middle_mm[1], (lo[v] + hi[v]) / 2, 1e-9);
		assert_close(f.faces[0].min_mm[1], lo[v], 1e-9);
		section_faces_release(&f);
		/* on its faces: below the top there is something, at the bottom nothing */
		f = cut(&p, axis, hi[axis], NULL);
		assert_int_equal(f.n, 1);
		section_faces_release(&f);
		f = cut(&p, axis, lo[axis], NULL);
		assert_int_equal(f.n, 0);
		section_faces_release(&f);
	}
}

static void solids_that_overlap_or_touch_are_one_face_and_a_gap_is_two(void **state)
{
	static const struct {
		double from, area;
		int n;
	} cases[] = { { 5, 150, 1 }, { 10, 200, 1 }, { 10.04, 200, 1 }, { 10.1, 200, 2 } };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (int across = 0; across < 2; across++) {
			/* apart along u, and along v */
			struct pile p = { 0 };
			const double zero[3] = { 0 }, ten[3] = { 10, 10, 10 };
			double lo[3] = { 0 }, hi[3] = { 10, 10, 10 };
			lo[across] = cases[i].from;
			hi[across] = cases[i].from + 10;
			add_box(&p, 0, zero, ten, false);
			add_box(&p, 1, lo, hi, false);
			struct section_faces f = cut(&p, 2, 5, NULL);
			assert_int_equal(f.n, cases[i].n);
			assert_close(f.area_mm2, cases[i].area, 1e-6);
			section_faces_release(&f);
		}
	}
}

static void a_cavity_is_not_material(void **state)
{
	struct pile p = { 0 };
	const double lo[3] = { 0 }, hi[3] = { 10, 10, 10 }, in[3] = { 3, 3, 3 },
		     out[3] = { 7, 7, 7 };
	const double left[4] = { -1, -1, 2, 11 }, strip[4] = { -1, 4, 11, 6 };
	struct section s;
	struct err e = { 0 };
	(void)state;
	add_box(&p, 0, lo, hi, false);
	add_box(&p, 0, in, out, true);
	struct section_faces f = cut(&p, 2, 5, NULL);
	assert_int_equal(f.n, 1);
	assert_close(f.area_mm2, 84, 1e-9);
	section_faces_release(&f);
	f = cut(&p, 2, 5, left);
	assert_int_equal(f.n, 1);
	assert_close(f.area_mm2, 20, 1e-9);
	section_faces_release(&f);
	f = cut(&p, 2, 5, strip); /* left and right of the cavity */
	assert_int_equal(f.n, 2);
	assert_close(f.area_mm2, 12, 1e-9);
	section_faces_release(&f);

	assert_int_equal(section_cut(&s, p.xyz, p.n, 2, 5, &e), 0);
	assert_true(section_holds(&s, 1, 5));
	assert_false(section_holds(&s, 5, 5));
	assert_false(section_holds(&s, 11, 5));
	/* a circle through the walls: in at the sides, out at the corners of the box */
	assert_int_equal(section_gaps(&s, 5, 5, 4, 0.01, NULL, 0, &e), 0);
	assert_int_equal(section_gaps(&s, 5, 5, 6, 0.01, NULL, 0, &e), 4);
	double at[8];
	assert_int_equal(section_gaps(&s, 5, 5, 2.5, 0.01, at, 8, &e), 4);
	for (int i = 0; i < 4; i++) /* in the corners of the cavity */
		assert_close(fabs(fmod(at[i] + 4 * M_PI, M_PI / 2) - M_PI / 4), 0, 1e-9);
	section_release(&s);
}

static void a_line_runs_through_material_from_face_to_face(void **state)
{
	struct pile p = { 0 };
	const double lo[3] = { 0 }, hi[3] = { 10, 20, 30 }, in[3] = { 3, 3, 3 },
		     out[3] = { 7, 7, 7 }, over[3] = { 0, 0, 25 }, top[3] = { 10, 20, 40 };
	struct spans s = { 0 };
	struct err e = { 0 };
	(void)state;
	add_box(&p, 0, lo, hi, false);
	add_box(&p, 0, in, out, true);
	add_box(&p, 1, over, top, false);
	for (int axis = 0; axis < 3; axis++) {
		static const struct span want[3][2] = { { { 0, 3 }, { 7, 10 } },
			                                { { 0, 3 }, { 7, 20 } },
			                                { { 0, 3 }, { 7, 40 } } };
		struct columns c;
		assert_int_equal(columns_open(&c, p.xyz, p.n, axis, &e), 0);
		assert_int_equal(columns_at(&c, 5, 5, &s, &e), 0);
		assert_int_equal(s.n, 2);
		for (int i = 0; i < 2; i++) {
			assert_close(s.s[i].a, want[axis][i].a, 1e-12);
			assert_close(s.s[i].b, want[axis][i].b, 1e-12);
		}
		assert_close(spans_length(&s, 2, 8), 2, 1e-12);
		assert_close(spans_common(&s, &s, NAN), spans_length(&s, -1e9, 1e9), 1e-12);
		assert_int_equal(columns_at(&c, -5, 5, &s, &e), 0);
		assert_int_equal(s.n, 0);
		/* on the diagonal that two triangles share, and on edges of the box */
		assert_int_equal(columns_at(&c, 1,
		                            axis == 0   ? 3
		                            : axis == 1 ? 1.0 / 3
		                                        : 2,
		                            &s, &e),
		                 0);
		assert_int_equal(s.n, 1);
		columns_close(&c);
	}
	/* 0..3 and 7..40 against their image at 20: 37..40 and 0..33 */
	struct columns c;
	assert_int_equal(columns_open(&c, p.xyz, p.n, 2, &e), 0);
	assert_int_equal(columns_at(&c, 5, 5, &s, &e), 0);
	assert_close(spans_common(&s, &s, 20), 3 + 26 + 3, 1e-12);
	columns_close(&c);
	spans_release(&s);
	spans_release(&s);
}

static void an_open_mesh_has_no_material_on_a_line_through_its_hole(void **state)
{
	struct pile p = { 0 };
	const double lo[3] = { 0 }, hi[3] = { 10, 10, 10 };
	struct columns c;
	struct spans s = { 0 };
	struct err e = { 0 };
	(void)state;
	add_box(&p, 0, lo, hi, false);
	p.n -= 2; /* the top */
	assert_int_equal(columns_open(&c, p.xyz, p.n, 2, &e), 0);
	assert_int_equal(columns_at(&c, 5, 4, &s, &e), 0);
	assert_int_equal(s.n, 0);
	columns_close(&c);
	assert_int_equal(columns_open(&c, p.xyz, 0, 2, &e), 0);
	assert_int_equal(columns_at(&c, 5, 4, &s, &e), 0);
	assert_int_equal(s.n, 0);
	columns_close(&c);
	spans_release(&s);
}

static void pieces_are_what_hangs_together_in_the_region(void **state)
{
	struct pile p = { 0 };
	/* two posts and a beam on them */
	const double a0[3] = { 0 }, a1[3] = { 10, 10, 50 }, b0[3] = { 90, 0, 0 },
		     b1[3] = { 100, 10, 50 }, c0[3] = { 0, 0, 50 }, c1[3] = { 100, 10, 60 };
	const double low[3] = { 100, 10, 40 };
	const double slit0[3] = { 100.2, 0, 0 }, slit1[3] = { 130, 10, 60 };
	struct columns c[3];
	struct err e = { 0 };
	int n;
	(void)state;
	add_box(&p, 0, a0, a1, false);
	add_box(&p, 1, b0, b1, false);
	add_box(&p, 2, c0, c1, false);
	for (int k = 0; k < 3; k++)
		assert_int_equal(columns_open(&c[k], p.xyz, p.n, k, &e), 0);
	for (int axis = 0; axis < 3; axis++) {
		assert_int_equal(columns_pieces(c, axis, a0, c1, 0.05, 0.003, &n, &e), 0);
		assert_int_equal(n, 1);
		assert_int_equal(columns_pieces(c, axis, a0, low, 0.05, 0.003, &n, &e), 0);
		assert_int_equal(n, 2);
	}
	for (int k = 0; k < 3; k++)
		columns_close(&c[k]);
	/* a gap far narrower than the lines are apart */
	add_box(&p, 3, slit0, slit1, false);
	for (int k = 0; k < 3; k++)
		assert_int_equal(columns_open(&c[k], p.xyz, p.n, k, &e), 0);
	for (int axis = 0; axis < 3; axis++) {
		assert_int_equal(columns_pieces(c, axis, a0, slit1, 0.05, 0.003, &n, &e), 0);
		assert_int_equal(n, 2);
		assert_int_equal(columns_pieces(c, axis, a0, slit1, 0.25, 0.003, &n, &e), 0);
		assert_int_equal(n, 1);
	}
	for (int k = 0; k < 3; k++)
		columns_close(&c[k]);
}

static void walls_are_as_thick_as_they_are(void **state)
{
	struct pile p = { 0 };
	const double lo[3] = { 0 }, hi[3] = { 100, 80, 60 }, in[3] = { 3, 3, 3 },
		     out[3] = { 95, 76, 56 }, far[3] = { 100.5, 0, 0 }, end[3] = { 140, 80, 60 };
	struct err e = { 0 };
	double mm;
	(void)state;
	add_box(&p, 0, lo, hi, false);
	assert_int_equal(thickness_measure(&mm, p.xyz, p.solid_of, p.n, &e), 0);
	assert_close(mm, 60, 1e-9);
	add_box(&p, 0, in, out, true);
	/* half a millimetre away, and no wall of the first */
	add_box(&p, 1, far, end, false);
	assert_int_equal(thickness_measure(&mm, p.xyz, p.solid_of, p.n, &e), 0);
	assert_close(mm, 3, 1e-9);
	assert_int_equal(thickness_measure(&mm, p.xyz, p.solid_of, 0, &e), 0);
	assert_true(isnan(mm));
	assert_int_equal(thickness_measure(&mm, p.xyz, p.solid_of, 1, &e), 0);
	assert_true(isnan(mm)); /* one triangle has nothing behind it */
}

static void windows_are_seen_with_their_place_and_size(void **state)
{
	struct pile p = { 0 };
	/* a frame of four bars round 60 x 20, and a mullion */
	static const double bars[5][2][3] = { { { 0, 0, 0 }, { 10, 5, 40 } },
		                              { { 70, 0, 0 }, { 80, 5, 40 } },
		                              { { 0, 0, 0 }, { 80, 5, 10 } },
		                              { { 0, 0, 30 }, { 80, 5, 40 } },
		                              { { 30, 0, 0 }, { 40, 5, 40 } } };
	const double box[4] = { 0, 0, 40, 80 }; /* u is z, v is x */
	struct windows w;
	struct err e = { 0 };
	(void)state;
	for (int i = 0; i < 5; i++)
		add_box(&p, i, bars[i][0], bars[i][1], false);
	assert_int_equal(windows_find(&w, p.xyz, p.n, 1, box, 1, &e), 0);
	assert_int_equal(w.n, 2);
	assert_close(w.w[0].area_mm2, 600, 15);
	assert_close(w.w[0].middle_mm[0], 20, 0.2);
	assert_close(w.w[0].middle_mm[1], 55, 0.2);
	assert_close(w.w[1].area_mm2, 400, 15);
	windows_release(&w);
	assert_int_equal(windows_find(&w, p.xyz, p.n, 1, box, 500, &e), 0);
	assert_int_equal(w.n, 1);
	windows_release(&w);
	assert_int_equal(windows_find(&w, p.xyz, 0, 1, (double[4]){ 0 }, 1, &e), 0);
	assert_int_equal(w.n, 0);
}

/* ---- the B-rep ---- */

static int warm(void **state)
{
	struct err e = { 0 };
	(void)state;
	return shape_warm_up(&e);
}

struct part {
	struct shape *shape;
	struct geometry geometry;
	struct soup soup;
	struct probe probe;
};

static struct part opened(const char *name, const int turn[3][3])
{
	static const struct shape_limits room = { 1000, 200000 };
	const char *top = getenv("srcdir");
	enum shape_fault fault;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct part p = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/data/%s.brep", top ? top : ".", name);
	if (buf_read_file(&b, path, 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	p.shape = shape_read_brep(b.data, b.len, false, &room, &fault, &e);
	buf_release(&b);
	if (!p.shape || shape_measure(p.shape, &p.geometry, &fault, &e) < 0 ||
	    shape_mesh(p.shape, 0.1, true, 0.1, room.triangles_max, &p.soup, &fault, &e) < 0 ||
	    probe_open(&p.probe, p.shape, &p.geometry, turn, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	return p;
}

static void closed(struct part *p)
{
	probe_release(&p->probe);
	probe_release(&p->probe);
	soup_release(&p->soup);
	geometry_release(&p->geometry);
	shape_free(p->shape);
}

static double volume_of(const struct probe *p, int solid)
{
	double six = 0;

	for (size_t i = 0; i < p->n_tri; i++) {
		const double *c = p->xyz + 9 * i;
		if (p->solid_of[i] != solid)
			continue;
		six += c[0] * (c[4] * c[8] - c[5] * c[7]) + c[1] * (c[5] * c[6] - c[3] * c[8]) +
		       c[2] * (c[3] * c[7] - c[4] * c[6]);
	}
	return six / 6;
}

static void each_solid_has_its_own_triangles_outside_out(void **state)
{
	static const int turn[3][3] = { { 0, -1, 0 }, { 0, 0, 1 }, { -1, 0, 0 } };
	(void)state;
	for (int turned = 0; turned < 2; turned++) {
		struct part p = opened("brep/two_boxes", turned ? turn : NULL);
		assert_int_equal(p.probe.solids, 2);
		assert_int_equal(p.probe.n_tri, 24);
		assert_close(volume_of(&p.probe, 0), 6000, 1e-6);
		assert_close(volume_of(&p.probe, 1), 6000, 1e-6);
		assert_close(p.probe.volume_mm3, 12000, 1e-6);
		/* 23 x 44 x 60, with its middle at (11.5, 22, 30) */
		const double *c = p.probe.center_of_mass_mm, *lo = p.probe.box_min_mm,
			     *hi = p.probe.box_max_mm;
		assert_close(c[0], turned ? -22 : 11.5, 1e-9);
		assert_close(c[1], turned ? 30 : 22, 1e-9);
		assert_close(c[2], turned ? -11.5 : 30, 1e-9);
		assert_close(lo[0], turned ? -44 : 0, 1e-9);
		assert_close(hi[0], turned ? 0 : 23, 1e-9);
		assert_close(hi[2] - lo[2], turned ? 23 : 60, 1e-9);
		closed(&p);
	}
}

static void faces_are_known_by_surface_side_and_turn(void **state)
{
	static const int turn[3][3] = { { 0, 0, 1 }, { 1, 0, 0 }, { 0, 1, 0 } };
	struct probe_face *f;
	struct err e = { 0 };
	int n;
	(void)state;
	struct part p = opened("brep/torus", turn);
	assert_int_equal(probe_faces(&p.probe, &f, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(f[0].surface, SURFACE_TORUS);
	assert_int_equal(f[0].side, SIDE_OUT);
	assert_close(f[0].radius_mm, 5, 1e-9);
	assert_close(f[0].major_mm, 20, 1e-9);
	assert_close(f[0].axis[0], 1, 1e-12);
	assert_close(f[0].turn_rad, 2 * M_PI, 1e-9);
	free(f);
	closed(&p);

	p = opened("brep/hollow_sphere", NULL);
	assert_int_equal(probe_faces(&p.probe, &f, &n, &e), 0);
	assert_int_equal(n, 2);
	int in = f[0].radius_mm < 8 ? 0 : 1;
	assert_close(f[in].radius_mm, 6, 1e-9);
	assert_int_equal(f[in].surface, SURFACE_SPHERE);
	assert_int_equal(f[in].side, SIDE_IN);
	assert_int_equal(f[!in].side, SIDE_OUT);
	assert_true(isnan(f[in].axis[0]));
	free(f);
	closed(&p);

	/* its halves share edges: one bore; its flats lie side by side: one each */
	p = opened("brep/bore_in_halves", NULL);
	assert_int_equal(probe_faces(&p.probe, &f, &n, &e), 0);
	int bores = 0, flats = 0;
	for (int i = 0; i < n; i++) {
		bores += f[i].surface == SURFACE_CYLINDER;
		flats += f[i].surface == SURFACE_PLANE;
		if (f[i].surface == SURFACE_CYLINDER)
			assert_close(f[i].turn_rad, 2 * M_PI, 1e-6);
	}
	assert_int_equal(bores, 1);
	assert_int_equal(flats, 6);
	free(f);
	closed(&p);

	p = opened("brep/mirrored", NULL);
	assert_int_equal(probe_faces(&p.probe, &f, &n, &e), 0);
	for (int i = 0; i < n; i++)
		if (f[i].surface == SURFACE_CYLINDER)
			assert_int_equal(f[i].side, SIDE_IN);
	free(f);
	closed(&p);
}

static void slots_are_holes_with_a_length(void **state)
{
	struct part p = opened("brep/slot", NULL);
	struct probe_hole *h;
	struct err e = { 0 };
	int n;
	(void)state;
	assert_int_equal(probe_holes(&p.probe, &h, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_close(h[0].diameter_mm, 6, 1e-9);
	assert_close(h[0].length_mm, 20, 1e-9);
	assert_close(h[0].depth_mm, 5, 1e-9);
	assert_close(h[0].middle_mm[0], 0, 1e-9);
	assert_close(fabs(h[0].axis[2]), 1, 1e-9);
	assert_true(h[0].through);
	free(h);
	closed(&p);

	p = opened("brep/half_pipe", NULL); /* a groove: half round, and no flat walls */
	assert_int_equal(probe_holes(&p.probe, &h, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_close(h[0].turn_rad, M_PI, 1e-6);
	assert_close(h[0].length_mm, 0, 0);
	free(h);
	closed(&p);
}

static void a_joint_has_its_axis_and_its_clearance(void **state)
{
	static const int turn[3][3] = { { 0, 0, -1 }, { 0, 1, 0 }, { 1, 0, 0 } };
	struct part p = opened("checks/joint", turn);
	struct probe_joint *j;
	struct err e = { 0 };
	int n;
	(void)state;
	assert_int_equal(probe_joints(&p.probe, 0.2, &j, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_close(j[0].axis[0], 1, 1e-9);
	assert_close(j[0].clearance_mm, 0.1, 1e-9);
	assert_close(j[0].diameter_mm, 10, 1e-9);
	assert_close(j[0].middle_mm[0], 0, 1e-9);
	free(j);
	assert_int_equal(probe_joints(&p.probe, 0.01, &j, &n, &e), 0);
	assert_int_equal(n, 0);
	free(j);
	closed(&p);
}

static void without_a_shape_there_are_no_faces(void **state)
{
	struct probe p = { 0 };
	struct probe_face *f;
	struct probe_joint *j;
	struct err e = { 0 };
	int n = 7;
	(void)state;
	assert_int_equal(probe_faces(&p, &f, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(probe_joints(&p, 1, &j, &n, &e), 0);
	assert_int_equal(n, 0);
	free(f);
	free(j);
	probe_release(&p);
}

static void what_was_not_meshed_is_refused(void **state)
{
	static const struct shape_limits room = { 1000, 200000 };
	const char *top = getenv("srcdir");
	enum shape_fault fault;
	struct geometry g;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct probe p = { .n_tri = 3 };
	char path[512];
	(void)state;
	snprintf(path, sizeof(path), "%s/tests/data/brep/box.brep", top ? top : ".");
	assert_int_equal(buf_read_file(&b, path, 1 << 24, &e), 0);
	struct shape *s = shape_read_brep(b.data, b.len, false, &room, &fault, &e);
	assert_non_null(s);
	assert_int_equal(shape_measure(s, &g, &fault, &e), 0);
	assert_int_equal(probe_open(&p, s, &g, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "no triangles");
	assert_int_equal(p.n_tri, 0);
	assert_null(p.xyz);
	geometry_release(&g);
	shape_free(s);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_through_a_box_is_its_rectangle_whichever_way),
		cmocka_unit_test(solids_that_overlap_or_touch_are_one_face_and_a_gap_is_two),
		cmocka_unit_test(a_cavity_is_not_material),
		cmocka_unit_test(a_line_runs_through_material_from_face_to_face),
		cmocka_unit_test(an_open_mesh_has_no_material_on_a_line_through_its_hole),
		cmocka_unit_test(pieces_are_what_hangs_together_in_the_region),
		cmocka_unit_test(walls_are_as_thick_as_they_are),
		cmocka_unit_test(windows_are_seen_with_their_place_and_size),
		cmocka_unit_test(each_solid_has_its_own_triangles_outside_out),
		cmocka_unit_test(faces_are_known_by_surface_side_and_turn),
		cmocka_unit_test(slots_are_holes_with_a_length),
		cmocka_unit_test(a_joint_has_its_axis_and_its_clearance),
		cmocka_unit_test(without_a_shape_there_are_no_faces),
		cmocka_unit_test(what_was_not_meshed_is_refused),
	};
	return cmocka_run_group_tests(tests, warm, NULL);
}
