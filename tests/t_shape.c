/* t_shape.c - what the B-rep door says of known solids. tests/data/brep was written by CadQuery 2.8
 * (OCCT 7.9) with tests/oracle/brep.py; the figures are the formulas beside them. */
#include "tests/lib.h"

#include "engine/shape.h"
#include "src/base/buf.h"

static const struct shape_limits room = { 200000, 5000000 };

static struct buf file(const char *name)
{
	const char *top = getenv("srcdir");
	struct buf b = { 0 };
	struct err e = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/data/brep/%s.brep", top ? top : ".", name);
	if (buf_read_file(&b, path, 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

static struct shape *read_shape(const char *name)
{
	struct buf b = file(name);
	enum shape_fault fault;
	struct err e = { 0 };
	struct shape *s = shape_read_brep(b.data, b.len, false, &room, &fault, &e);

	if (!s)
		fail_msg("%s: %s", name, e.text);
	buf_release(&b);
	return s;
}

static struct geometry measured(const char *name)
{
	struct shape *s = read_shape(name);
	enum shape_fault fault;
	struct geometry g;
	struct err e = { 0 };

	if (shape_measure(s, &g, &fault, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	shape_free(s);
	return g;
}

static struct soup meshed(const char *name)
{
	struct shape *s = read_shape(name);
	enum shape_fault fault;
	struct soup m = { 0 };
	struct err e = { 0 };

	if (shape_mesh(s, 0.1, true, 0.1, room.triangles_max, &m, &fault, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	shape_free(s);
	return m;
}

static int warm(void **state)
{
	struct err e = { 0 };
	(void)state;
	return shape_warm_up(&e);
}

static void known_solids_have_their_counts_genus_volume_and_box(void **state)
{
	static const struct {
		const char *name;
		int solids, shells, faces, edges, vertices, genus;
		double volume, area, x, y, z;
	} want[] = {
		{ "box", 1, 1, 6, 12, 8, 0, 6000, 2200, 10, 20, 30 },
		{ "box_text", 1, 1, 6, 12, 8, 0, 6000, 2200, 10, 20, 30 },
		{ "two_boxes", 2, 2, 12, 24, 16, 0, 12000, 4400, 23, 44, 60 },
		{ "assembly", 2, 2, 12, 24, 16, 0, 12000, 4400, 20, 20, 30 },
		/* 2 pi^2 R r^2, 4 pi^2 R r */
		{ "torus", 1, 1, 1, 2, 1, 1, 2 * M_PI * M_PI * 20 * 25, 4 * M_PI * M_PI * 100, 50,
		  50, 10 },
		/* 4/3 pi (10^3 - 6^3); two shells, each a sphere */
		{ "hollow_sphere", 1, 2, 2, 6, 4, 0, 4.0 / 3 * M_PI * (1000 - 216),
		  4 * M_PI * (100 + 36), 20, 20, 20 },
		/* 40*20*5 - (14*6 + pi 3^2)*5 */
		{ "slot", 1, 1, 10, 24, 16, 1, 4000 - (14 * 6 + M_PI * 9) * 5, 2209.699111843077,
		  40, 20, 5 },
		/* two knuckles */
		{ "clevis", 1, 1, 12, 30, 20, 2, 40 * 20 * 30 - 16 * 20 * 20 - M_PI * 16 * 24,
		  5762.123859659494, 40, 20, 30 },
		{ "half_pipe", 1, 1, 8, 18, 12, 0, 8000 - M_PI * 8 * 40, 2932.38934211693, 40, 20,
		  10 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct geometry g = measured(want[i].name);
		print_message("%s\n", want[i].name);
		assert_int_equal(g.solids, want[i].solids);
		assert_int_equal(g.shells, want[i].shells);
		assert_int_equal(g.faces, want[i].faces);
		assert_int_equal(g.edges, want[i].edges);
		assert_int_equal(g.vertices, want[i].vertices);
		assert_int_equal(g.genus, want[i].genus);
		assert_close(g.volume_mm3, want[i].volume, 1e-6 * want[i].volume);
		assert_close(g.area_mm2, want[i].area, 1e-6 * want[i].area);
		assert_close(g.box_max_mm[0] - g.box_min_mm[0], want[i].x, 1e-6);
		assert_close(g.box_max_mm[1] - g.box_min_mm[1], want[i].y, 1e-6);
		assert_close(g.box_max_mm[2] - g.box_min_mm[2], want[i].z, 1e-6);
		assert_true(g.closed);
		assert_true(g.valid);
		geometry_release(&g);
	}
}

static void a_box_has_the_inertia_of_the_formula_wherever_it_lies(void **state)
{
	struct geometry g = measured("box");
	(void)state;
	/* m/12 (b^2 + c^2) */
	assert_close(g.inertia_mm5[0], 6000.0 / 12 * (400 + 900), 1e-3);
	assert_close(g.inertia_mm5[1], 6000.0 / 12 * (100 + 900), 1e-3);
	assert_close(g.inertia_mm5[2], 6000.0 / 12 * (100 + 400), 1e-3);
	assert_close(g.inertia_mm5[3], 0, 1e-3);
	assert_close(g.center_of_mass_mm[2], 15, 1e-9);
	geometry_release(&g);
	/* two boxes, each 6000, apart by (13, 24, 30): I_xy = -m1 m2/(m1+m2) dx dy */
	g = measured("two_boxes");
	assert_close(g.inertia_mm5[3], -3000.0 * 13 * 24, 1e-3);
	assert_close(g.inertia_mm5[4], -3000.0 * 13 * 30, 1e-3);
	assert_close(g.inertia_mm5[5], -3000.0 * 24 * 30, 1e-3);
	geometry_release(&g);
}

/* Three places of one cylinder, the second turned to lie along y: it is weighed once, and turned
 * and moved by us. Each has m r^2 / 2 along its axis, m (3 r^2 + h^2) / 12 across, and is moved by
 * the parallel axes. */
static void a_part_at_several_places_weighs_what_its_copies_do(void **state)
{
	static const double at[3][3] = { { 0, 0, 0 }, { 100, 0, 0 }, { 0, 60, 7 } };
	static const int along[3] = { 2, 1, 2 };
	static const int row[6] = { 0, 1, 2, 0, 0, 1 }, column[6] = { 0, 1, 2, 1, 2, 2 };
	const double m = M_PI * 25 * 20, axial = m * 25 / 2, across = m * (75 + 400) / 12;
	struct geometry g = measured("same_part_thrice");
	double c[3];
	(void)state;
	assert_close(g.volume_mm3, 3 * m, 1e-9 * m);
	assert_close(g.area_mm2, 3 * (2 * M_PI * 25 + M_PI * 10 * 20), 1e-6);
	for (int k = 0; k < 3; k++) {
		c[k] = (at[0][k] + at[1][k] + at[2][k]) / 3;
		assert_close(g.center_of_mass_mm[k], c[k], 1e-9);
	}
	for (int i = 0; i < 6; i++) {
		double want = 0;
		for (int s = 0; s < 3; s++) {
			double d[3], dd = 0;
			for (int k = 0; k < 3; k++) {
				d[k] = at[s][k] - c[k];
				dd += d[k] * d[k];
			}
			want -= m * d[row[i]] * d[column[i]];
			if (row[i] == column[i])
				want += m * dd + (row[i] == along[s] ? axial : across);
		}
		assert_close(g.inertia_mm5[i], want, 1e-9 * 1e7);
	}
	assert_true(g.valid);
	geometry_release(&g);
}

/* Support function of a torus with axis a: R sqrt(1 - a_i^2) + r along i. */
static void the_box_of_a_tilted_torus_is_exact(void **state)
{
	struct geometry g = measured("torus_tilted");
	/* (0 0 1) turned by 40 degrees about (1, 1, 0.3) */
	double k[3] = { 1, 1, 0.3 }, n = sqrt(2.09), c = cos(40 * M_PI / 180),
	       s = sin(40 * M_PI / 180);
	(void)state;
	for (int i = 0; i < 3; i++)
		k[i] /= n;
	double axis[3] = { k[1] * s + k[0] * k[2] * (1 - c), -k[0] * s + k[1] * k[2] * (1 - c),
		           c + k[2] * k[2] * (1 - c) };
	for (int i = 0; i < 3; i++)
		assert_close(g.box_max_mm[i] - g.box_min_mm[i],
		             2 * (20 * sqrt(1 - axis[i] * axis[i]) + 5), 1e-6);
	geometry_release(&g);
}

static void what_is_not_closed_has_no_volume_and_no_genus(void **state)
{
	static const char *const open[] = { "open_shell", "face" };
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct geometry g = measured(open[i]);
		assert_false(g.closed);
		assert_true(isnan(g.volume_mm3));
		assert_true(isnan(g.inertia_mm5[0]));
		assert_int_equal(g.genus, -1);
		assert_close(g.area_mm2, i ? 200 : 2000, 1e-6);
		geometry_release(&g);
	}
}

static void solids_are_as_far_apart_as_they_are(void **state)
{
	struct geometry g = measured("two_boxes");
	(void)state;
	assert_close(g.min_distance_mm, 5, 1e-9); /* a 3-4 gap, corner to corner */
	geometry_release(&g);
	g = measured("touching");
	assert_true(g.min_distance_mm == 0);
	geometry_release(&g);
	g = measured("nested_apart"); /* a ball of radius 5 in a hollow of half size 15 */
	assert_close(g.min_distance_mm, 10, 1e-6);
	geometry_release(&g);
	g = measured("box");
	assert_true(isnan(g.min_distance_mm));
	geometry_release(&g);
}

struct want_hole {
	double diameter, depth;
	bool through;
	double axis[3], center[3];
};

static void expect_holes(const char *name, const struct want_hole *want, int n)
{
	struct geometry g = measured(name);

	print_message("%s\n", name);
	assert_int_equal(g.n_holes, n);
	for (int i = 0; i < n; i++) {
		assert_close(g.holes[i].diameter_mm, want[i].diameter, 1e-6);
		assert_close(g.holes[i].depth_mm, want[i].depth, 1e-5);
		assert_int_equal(g.holes[i].through, want[i].through);
		for (int k = 0; k < 3; k++) {
			assert_close(g.holes[i].axis[k], want[i].axis[k], 1e-9);
			assert_close(g.holes[i].center_mm[k], want[i].center[k], 1e-5);
		}
	}
	geometry_release(&g);
}

#define Z                                                                                          \
	{                                                                                          \
		0, 0, 1                                                                            \
	}
#define COUNT(a) (int)(sizeof(a) / sizeof(*(a)))

static void bores_are_found_with_axis_depth_and_kind(void **state)
{
	static const struct want_hole plate[] = {
		{ 6, 10, true, Z, { -20, 10, 5 } }, /* drilled through */
		{ 5, 4, false, Z, { 0, 10, 8 } },   /* blind, flat floor */
		{ 4, 8, true, Z, { 20, -15, 4 } },  /* under a countersink of 90 degrees, 8 wide */
		{ 4, 7, true, Z, { 20, 10, 3.5 } }, /* under a counterbore ... */
		{ 9, 3, false, Z, { 20, 10, 8.5 } } /* ... and it */
	};
	static const struct want_hole clevis[] = {
		{ 8, 12, true, { 1, 0, 0 }, { -14, 0, 8 } },
		{ 8, 12, true, { 1, 0, 0 }, { 14, 0, 8 } },
	};
	static const struct want_hole rounded[] = { { 10, 10, false, Z, { 0, 0, 5 } } };
	static const struct want_hole tip[] = { { 6, 10, false, Z, { 0, 0, 10 } } };
	static const struct want_hole halves[] = { { 6, 10, true, Z, { 0, 0, 0 } } };
	static const struct want_hole mouths[] = { { 6, 8.5, true, Z, { 0, 0, -0.25 } } };
	static const struct want_hole mirrored[] = { { 4, 6, false, Z, { -35, 0, 2 } } };
	(void)state;
	expect_holes("plate_holes", plate, COUNT(plate));
	expect_holes("clevis", clevis, COUNT(clevis));
	expect_holes("blind_rounded_floor", rounded, COUNT(rounded));
	expect_holes("drilled_tip", tip, COUNT(tip));
	expect_holes("bore_in_halves", halves, COUNT(halves));
	expect_holes("filleted_bore", mouths, COUNT(mouths)); /* rounded above, chamfered below */
	expect_holes("mirrored", mirrored, COUNT(mirrored));
}

static void a_bore_across_a_tube_is_two_through_its_walls(void **state)
{
	struct geometry g = measured("cross_drilled");
	(void)state;
	assert_int_equal(g.n_holes, 3);
	for (int i = 0; i < 3; i++) {
		assert_true(g.holes[i].through);
		assert_close(g.holes[i].diameter_mm, i == 1 ? 12 : 4, 1e-6);
	}
	assert_close(g.holes[1].depth_mm, 40, 1e-6);
	assert_int_equal(g.genus, 3);
	geometry_release(&g);
}

static void fillets_slots_and_half_pipes_are_no_bores(void **state)
{
	(void)state;
	expect_holes("filleted", NULL, 0);
	expect_holes("slot", NULL, 0);
	expect_holes("half_pipe", NULL, 0);
	expect_holes("torus", NULL, 0);
}

static void a_mesh_encloses_what_the_shape_does(void **state)
{
	static const struct {
		const char *name;
		size_t n_tri;
	} want[] = { { "box", 12 }, { "assembly", 24 }, { "touching", 24 }, { "open_shell", 10 } };
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct soup m = meshed(want[i].name);
		double six = 0;
		assert_int_equal(m.n_tri, want[i].n_tri);
		for (size_t t = 0; t < m.n_tri; t++) {
			const float *c = m.xyz + 9 * t;
			six += c[0] * ((double)c[4] * c[8] - (double)c[5] * c[7]) +
			       c[1] * ((double)c[5] * c[6] - (double)c[3] * c[8]) +
			       c[2] * ((double)c[3] * c[7] - (double)c[4] * c[6]);
		}
		if (i < 3) /* signed: the winding is outward, through locations too */
			assert_close(six / 6, i ? 12000 : 6000, 1e-3);
		soup_release(&m);
	}
}

static void a_wire_has_figures_but_no_mesh(void **state)
{
	struct shape *s = read_shape("wire");
	enum shape_fault fault;
	struct geometry g;
	struct soup m = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(shape_measure(s, &g, &fault, &e), 0);
	assert_int_equal(g.faces, 0);
	assert_int_equal(g.edges, 1);
	assert_int_equal(shape_mesh(s, 0.1, true, 0.1, 1000, &m, &fault, &e), -1);
	assert_int_equal(fault, SHAPE_EMPTY);
	assert_contains(e.text, "no surface");
	geometry_release(&g);
	shape_free(s);
}

static void expect_refused(const void *bytes, size_t len, const struct shape_limits *l,
                           enum shape_fault want, const char *words)
{
	enum shape_fault fault;
	struct err e = { 0 };
	struct shape *s = shape_read_brep(bytes, len, false, l, &fault, &e);

	assert_null(s);
	assert_int_equal(fault, want);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, words);
}

static void what_is_no_shape_is_refused_in_words(void **state)
{
	static const struct shape_limits five = { 5, 1000 };
	struct buf b = file("box");
	struct buf none = file("empty");
	(void)state;
	expect_refused("", 0, &room, SHAPE_DAMAGED, "no bytes");
	expect_refused("solid cube\n", 11, &room, SHAPE_DAMAGED, "byte 0");
	expect_refused("\nOpen CASCADE Topology V9, (c)", 30, &room, SHAPE_DAMAGED, "version 9");
	expect_refused(none.data, none.len, &room, SHAPE_EMPTY, "empty");
	expect_refused(b.data, b.len, &five, SHAPE_OVER_LIMIT, "6 faces, at most 5");
	buf_release(&b);
	buf_release(&none);
}

static void every_cut_of_a_brep_is_refused(void **state)
{
	static const char *const names[] = { "box", "box_text", "hollow_sphere" };
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct buf b = file(names[i]);
		/* the last line of text is a shape's index and its location: cut, it is another */
		size_t whole = i == 1 ? b.len - 8 : b.len;
		for (size_t len = 0; len < whole; len += 1 + len / 50) {
			enum shape_fault fault;
			struct err e = { 0 };
			struct shape *s = shape_read_brep(b.data, len, false, &room, &fault, &e);
			if (s)
				fail_msg("%s: cut to %zu of %zu bytes it was read", names[i], len,
				         b.len);
			assert_true(e.text[0] != '\0');
		}
		buf_release(&b);
	}
}

static void too_many_triangles_are_a_limit(void **state)
{
	struct shape *s = read_shape("torus");
	enum shape_fault fault;
	struct soup m = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(shape_mesh(s, 0.1, true, 0.1, 1000, &m, &fault, &e), -1);
	assert_int_equal(fault, SHAPE_OVER_LIMIT);
	assert_contains(e.text, "1000 triangles");
	assert_null(m.xyz);
	shape_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_solids_have_their_counts_genus_volume_and_box),
		cmocka_unit_test(a_box_has_the_inertia_of_the_formula_wherever_it_lies),
		cmocka_unit_test(a_part_at_several_places_weighs_what_its_copies_do),
		cmocka_unit_test(the_box_of_a_tilted_torus_is_exact),
		cmocka_unit_test(what_is_not_closed_has_no_volume_and_no_genus),
		cmocka_unit_test(solids_are_as_far_apart_as_they_are),
		cmocka_unit_test(bores_are_found_with_axis_depth_and_kind),
		cmocka_unit_test(a_bore_across_a_tube_is_two_through_its_walls),
		cmocka_unit_test(fillets_slots_and_half_pipes_are_no_bores),
		cmocka_unit_test(a_mesh_encloses_what_the_shape_does),
		cmocka_unit_test(a_wire_has_figures_but_no_mesh),
		cmocka_unit_test(what_is_no_shape_is_refused_in_words),
		cmocka_unit_test(every_cut_of_a_brep_is_refused),
		cmocka_unit_test(too_many_triangles_are_a_limit),
	};
	return cmocka_run_group_tests(tests, warm, NULL);
}
