#include "tests/lib.h"

#include "engine/exact_match.h"
#include "engine/voxel.h"

struct body {
	double xyz[9 * 4096];
	int solid_of[4096];
	struct facets f;
};

static void add(struct body *b, int solid, const double p[3], const double q[3], const double r[3])
{
	double *to = b->xyz + 9 * b->f.n;

	assert_true(b->f.n < 4096);
	memcpy(to, p, 3 * sizeof(double));
	memcpy(to + 3, q, 3 * sizeof(double));
	memcpy(to + 6, r, 3 * sizeof(double));
	b->solid_of[b->f.n++] = solid;
	b->f.xyz = b->xyz;
	b->f.solid_of = b->solid_of;
}

/* Twelve triangles, outwards; @skip of them are left out. */
static void add_box(struct body *b, int solid, const double lo[3], const double hi[3], int skip)
{
	static const int quads[6][4] = { { 0, 2, 3, 1 }, { 4, 5, 7, 6 }, { 0, 1, 5, 4 },
		                         { 2, 6, 7, 3 }, { 0, 4, 6, 2 }, { 1, 3, 7, 5 } };
	double c[8][3];

	for (int i = 0; i < 8; i++)
		for (int a = 0; a < 3; a++)
			c[i][a] = i >> a & 1 ? hi[a] : lo[a];
	for (int q = 0; q < 6; q++)
		for (int k = 0; k < 2; k++)
			if (skip-- <= 0)
				add(b, solid, c[quads[q][0]], c[quads[q][k + 1]],
				    c[quads[q][k + 2]]);
}

static void add_round(struct body *b, int solid, double r, double lo, double hi, int n)
{
	for (int i = 0; i < n; i++) {
		double s = 2 * M_PI * i / n, t = 2 * M_PI * (i + 1) / n;
		const double a[3] = { r * cos(s), r * sin(s), lo };
		const double c[3] = { r * cos(t), r * sin(t), lo };
		const double d[3] = { a[0], a[1], hi }, f[3] = { c[0], c[1], hi };
		const double bottom[3] = { 0, 0, lo }, top[3] = { 0, 0, hi };
		add(b, solid, a, c, f);
		add(b, solid, a, f, d);
		add(b, solid, bottom, c, a);
		add(b, solid, top, d, f);
	}
}

static struct voxels fill(const struct body *b, int n, double lo, double hi, long *shared)
{
	const double l[3] = { lo, lo, lo }, h[3] = { hi, hi, hi };
	struct voxels v;

	assert_int_equal(voxels_open(&v, n, l, h, NULL), 0);
	assert_int_equal(voxels_fill(&v, &b->f, NULL, shared, NULL), 0);
	return v;
}

static void a_box_has_the_cells_whose_middles_are_in_it(void **state)
{
	static struct body b;
	const double lo[3] = { 1, 2, 3 }, hi[3] = { 5, 8, 29 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	struct voxels v = fill(&b, 32, 0, 32, NULL);
	assert_int_equal(voxels_count(&v), 4 * 6 * 26);
	for (int z = 0; z < 32; z++)
		for (int y = 0; y < 32; y++)
			for (int x = 0; x < 32; x++)
				assert_int_equal(voxels_get(&v, x, y, z), x >= 1 && x < 5 &&
				                                                  y >= 2 && y < 8 &&
				                                                  z >= 3 && z < 29);
	voxels_release(&v);
}

/* Every edge of the mesh goes through middles of cells. */
static void an_edge_through_a_middle_belongs_to_one_triangle(void **state)
{
	static struct body b;
	const double lo[3] = { 0.5, 0.5, 0.5 }, hi[3] = { 30.5, 30.5, 30.5 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	struct voxels v = fill(&b, 32, 0, 32, NULL);
	assert_int_equal(voxels_count(&v), 30 * 30 * 30);
	voxels_release(&v);
}

static void a_cylinder_of_slivers_leaks_nowhere(void **state)
{
	static struct body b;

	(void)state;
	memset(&b, 0, sizeof(b));
	add_round(&b, 0, 50, -40, 40, 1000);
	struct voxels v = fill(&b, 128, -64, 64, NULL);
	assert_close((double)voxels_count(&v), M_PI * 50 * 50 * 80, 0.005 * M_PI * 50 * 50 * 80);
	for (int y = 0; y < 128; y++)
		for (int x = 0; x < 128; x++) {
			bool in = voxels_get(&v, x, y, 64);
			for (int z = 0; z < 128; z++)
				assert_int_equal(voxels_get(&v, x, y, z), in && z >= 24 && z < 104);
		}
	voxels_release(&v);
}

static void solids_that_overlap_leave_no_hole(void **state)
{
	static struct body b;
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 20, 20 };
	const double lo2[3] = { 10, 10, 10 }, hi2[3] = { 30, 30, 30 };
	long shared;

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 7, lo, hi, 0);
	add_box(&b, 3, lo2, hi2, 0);
	struct voxels v = fill(&b, 32, 0, 32, &shared);
	assert_int_equal(voxels_count(&v), 2 * 8000 - 1000);
	assert_int_equal(shared, 1000);
	voxels_release(&v);
}

static void a_cavity_of_the_same_solid_is_empty(void **state)
{
	static struct body b;
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 20, 20 };
	const double lo2[3] = { 5, 5, 5 }, hi2[3] = { 15, 15, 15 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	add_box(&b, 0, lo2, hi2, 0);
	struct voxels v = fill(&b, 32, 0, 32, NULL);
	assert_int_equal(voxels_count(&v), 8000 - 1000);
	voxels_release(&v);
}

static void an_open_box_is_empty_under_the_hole(void **state)
{
	static struct body b;
	const double lo[3] = { 2, 2, 2 }, hi[3] = { 30, 30, 30 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 2); /* no floor */
	struct voxels v = fill(&b, 32, 0, 32, NULL);
	assert_int_equal(voxels_count(&v), 0);
	voxels_release(&v);
}

static void what_is_far_away_or_flat_does_no_harm(void **state)
{
	static struct body b;
	const double lo[3] = { -1e30, -1e30, -1e30 }, hi[3] = { 1e30, 1e30, 1e30 };
	const double same[3] = { 4, 4, 4 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	add_box(&b, 1, same, same, 0);
	struct voxels v = fill(&b, 32, 0, 32, NULL);
	assert_int_equal(voxels_count(&v), 32 * 32 * 32);
	voxels_release(&v);

	const double flat[3] = { 5, 5, 0 }, origin[3] = { 0, 0, 0 };
	assert_int_equal(voxels_open(&v, 32, origin, flat, NULL), 0);
	assert_true(v.cell[2] > 0);
	voxels_release(&v);
}

static int det(int t[3][3])
{
	return t[0][0] * (t[1][1] * t[2][2] - t[1][2] * t[2][1]) -
	       t[0][1] * (t[1][0] * t[2][2] - t[1][2] * t[2][0]) +
	       t[0][2] * (t[1][0] * t[2][1] - t[1][1] * t[2][0]);
}

static void the_turns_are_24_and_none_is_a_mirror_image(void **state)
{
	int t[VOXEL_TURNS][3][3];
	static const int one[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };

	(void)state;
	for (int i = 0; i < VOXEL_TURNS; i++) {
		voxel_turn(i, t[i]);
		assert_int_equal(det(t[i]), 1);
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(t[i], t[k], sizeof(one));
	}
	assert_memory_equal(t[0], one, sizeof(one));
}

/* An L with a peg: no turn but the one that undoes the turn fits it. */
static void add_corner(struct body *b)
{
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 30, 6, 4 };
	const double lo2[3] = { 0, 0, 4 }, hi2[3] = { 6, 6, 40 };
	const double lo3[3] = { 0, 6, 0 }, hi3[3] = { 10, 22, 4 };

	add_box(b, 0, lo, hi, 0);
	add_box(b, 1, lo2, hi2, 0);
	add_box(b, 2, lo3, hi3, 0);
}

static void turn_all(struct body *b, int r)
{
	int t[3][3];

	voxel_turn(r, t);
	for (size_t i = 0; i < 3 * b->f.n; i++) {
		double p[3];
		memcpy(p, b->xyz + 3 * i, sizeof(p));
		for (int a = 0; a < 3; a++)
			b->xyz[3 * i + (size_t)a] =
				t[a][0] * p[0] + t[a][1] * p[1] + t[a][2] * p[2];
	}
}

static struct exact_reference reference_of(const struct body *b)
{
	struct exact_reference r;
	struct err e = { 0 };
	double lo[3], hi[3];

	facets_box(&b->f, lo, hi);
	if (exact_reference_make(&r, &b->f, lo, hi, 18, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static const struct exact_constants constants = { .touch_mm = 0.05,
	                                          .iou_weight = 0.6,
	                                          .chamfer_scale = 0.02 };

static struct exact_match match(const struct exact_reference *r, const struct body *b,
                                int *rotation)
{
	double lo[3], hi[3], len[3];
	struct exact_match m;
	int order[3], sign[3];

	facets_box(&b->f, lo, hi);
	assert_int_equal(exact_rotation(r, &b->f, lo, hi, rotation, NULL), 0);
	voxel_turn_axes(*rotation, order, sign);
	for (int a = 0; a < 3; a++)
		len[a] = hi[order[a]] - lo[order[a]];
	double *placed = exact_placed(&b->f, lo, hi, *rotation);
	struct facets f = { .xyz = placed, .solid_of = b->solid_of, .n = b->f.n };
	assert_int_equal(exact_compare(&m, r, &f, len, &constants, NULL), 0);
	free(placed);
	return m;
}

static void a_turned_part_is_found_and_is_the_same(void **state)
{
	static struct body b, turned;
	int back[3][3], t[3][3], rotation;

	(void)state;
	memset(&b, 0, sizeof(b));
	add_corner(&b);
	struct exact_reference r = reference_of(&b);
	for (int i = 0; i < VOXEL_TURNS; i++) {
		turned = b;
		turned.f.xyz = turned.xyz;
		turned.f.solid_of = turned.solid_of;
		turn_all(&turned, i);
		for (size_t k = 0; k < 3 * turned.f.n; k++)
			turned.xyz[3 * k] += 1000; /* where it stands is of no matter */
		struct exact_match m = match(&r, &turned, &rotation);
		voxel_turn(i, t);
		voxel_turn(rotation, back);
		for (int a = 0; a < 3; a++)
			for (int c = 0; c < 3; c++)
				assert_int_equal(back[a][c], t[c][a]);
		assert_close(m.iou, 1, 1e-3);
		assert_close(m.chamfer_mm, 0, 1e-4);
		assert_close(m.similarity, 1, 1e-3);
		assert_close(m.silhouette, 1, 1e-2);
	}
	exact_reference_release(&r);
}

static void a_part_that_fits_as_well_in_many_ways_is_not_turned(void **state)
{
	static struct body b;
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 30, 30, 30 };
	int rotation;

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	struct exact_reference r = reference_of(&b);
	match(&r, &b, &rotation);
	assert_int_equal(rotation, 0);
	exact_reference_release(&r);
}

static void millimetres_are_millimetres(void **state)
{
	static struct body b, larger;
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 40, 30, 20 };
	const double lo2[3] = { 0, 0, 0 }, hi2[3] = { 80, 60, 40 };
	int rotation;

	(void)state;
	memset(&b, 0, sizeof(b));
	memset(&larger, 0, sizeof(larger));
	add_box(&b, 0, lo, hi, 0);
	add_box(&larger, 0, lo2, hi2, 0);
	struct exact_reference r = reference_of(&b), r2 = reference_of(&larger);
	struct exact_match m = match(&r, &larger, &rotation);
	struct exact_match n = match(&r2, &b, &rotation);
	assert_close(m.iou, 1.0 / 8, 1e-9);
	assert_close(n.iou, 1.0 / 8, 1e-9);
	assert_close(m.outline_iou[0], 0.25, 0.01);
	assert_close(n.outline_iou[0], 0.25, 0.01);
	/* surfaces lie 20, 15 and 10 mm apart at the least */
	assert_true(m.chamfer_mm > 10 && m.chamfer_mm < 30);
	exact_reference_release(&r);
	exact_reference_release(&r2);
}

static void two_meshes_of_one_surface_are_no_distance_apart(void **state)
{
	static struct body b, finer;
	int rotation;

	(void)state;
	memset(&b, 0, sizeof(b));
	memset(&finer, 0, sizeof(finer));
	add_round(&b, 0, 30, 0, 50, 90);
	add_round(&finer, 0, 30, 0, 50, 143);
	struct exact_reference r = reference_of(&b);
	struct exact_match m = match(&r, &finer, &rotation);
	assert_true(m.chamfer_mm < 0.02);
	assert_true(m.iou > 0.99);
	assert_true(m.similarity > 0.99);
	exact_reference_release(&r);
}

static void a_reference_comes_back_from_its_bytes(void **state)
{
	static struct body b;
	struct exact_reference r, back;
	struct buf one = { 0 }, two = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_corner(&b);
	r = reference_of(&b);
	assert_int_equal(exact_reference_serialize(&r, &one, NULL), 0);
	assert_int_equal(exact_reference_parse(&back, one.data, one.len, &e), 0);
	assert_int_equal(exact_reference_serialize(&back, &two, NULL), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	assert_int_equal(back.faces, 18);
	assert_int_equal(back.n_solids, 3);
	exact_reference_release(&back);
	exact_reference_release(&r);

	for (size_t len = 0; len < one.len; len += 1 + len / 7) {
		assert_int_equal(exact_reference_parse(&back, one.data, len, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "prepared reference");
	}
	/* the tree's first child points at itself, then behind the end */
	for (int i = 0; i < 2; i++) {
		struct surface_node *root = (struct surface_node *)(two.data + 56);
		root->right = i ? 0xffffff : 1;
		assert_int_equal(exact_reference_parse(&back, two.data, two.len, &e), -1);
		assert_contains(e.text, "damaged");
	}
	one.data[4]++;
	assert_int_equal(exact_reference_parse(&back, one.data, one.len, &e), -1);
	assert_contains(e.text, "version");
	buf_release(&one);
	buf_release(&two);
}

static void a_reference_without_an_inside_is_none(void **state)
{
	static struct body b;
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 20, 20 };
	struct exact_reference r;
	struct err e = { 0 };

	(void)state;
	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 2);
	assert_int_equal(exact_reference_make(&r, &b.f, lo, hi, 0, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "encloses no volume");
}

static void add_soup(struct soup *s, const double lo[3], const double hi[3], bool inside_out)
{
	static struct body b;

	memset(&b, 0, sizeof(b));
	add_box(&b, 0, lo, hi, 0);
	for (size_t i = 0; i < b.f.n; i++) {
		float c[9];
		for (size_t k = 0; k < 9; k++)
			c[k] = (float)b.xyz[9 * i + (inside_out ? (2 - k / 3) * 3 + k % 3 : k)];
		assert_int_equal(soup_add(s, c, NULL), 0);
	}
}

static void pieces_of_a_mesh_are_solids_and_cavities(void **state)
{
	const double lo[3] = { 0, 0, 0 }, hi[3] = { 20, 20, 20 };
	const double lo2[3] = { 5, 5, 5 }, hi2[3] = { 15, 15, 15 };
	const double lo3[3] = { 10, -5, -5 }, hi3[3] = { 30, 3, 3 };
	struct soup s = { 0 };
	struct facets f = { 0 };
	double *xyz;
	int *solid_of;

	(void)state;
	add_soup(&s, lo, hi, false);
	add_soup(&s, lo3, hi3, false); /* overlaps the first */
	add_soup(&s, lo2, hi2, true);  /* a cavity in it */
	assert_int_equal(exact_solids_of_soup(&s, &xyz, &solid_of, &f.n, NULL), 0);
	f.xyz = xyz;
	f.solid_of = solid_of;
	assert_int_equal(f.n, 36);
	assert_int_equal(solid_of[0], solid_of[23]);
	assert_int_not_equal(solid_of[23], solid_of[24]);
	struct voxels v;
	const double from[3] = { -1, -6, -6 }, upto[3] = { 31, 26, 26 };
	assert_int_equal(voxels_open(&v, 32, from, upto, NULL), 0);
	assert_int_equal(voxels_fill(&v, &f, NULL, NULL, NULL), 0);
	assert_int_equal(voxels_count(&v), 8000 - 1000 + 20 * 8 * 8 - 10 * 3 * 3);
	voxels_release(&v);
	free(xyz);
	free(solid_of);
	soup_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_box_has_the_cells_whose_middles_are_in_it),
		cmocka_unit_test(an_edge_through_a_middle_belongs_to_one_triangle),
		cmocka_unit_test(a_cylinder_of_slivers_leaks_nowhere),
		cmocka_unit_test(solids_that_overlap_leave_no_hole),
		cmocka_unit_test(a_cavity_of_the_same_solid_is_empty),
		cmocka_unit_test(an_open_box_is_empty_under_the_hole),
		cmocka_unit_test(what_is_far_away_or_flat_does_no_harm),
		cmocka_unit_test(the_turns_are_24_and_none_is_a_mirror_image),
		cmocka_unit_test(a_turned_part_is_found_and_is_the_same),
		cmocka_unit_test(a_part_that_fits_as_well_in_many_ways_is_not_turned),
		cmocka_unit_test(millimetres_are_millimetres),
		cmocka_unit_test(two_meshes_of_one_surface_are_no_distance_apart),
		cmocka_unit_test(a_reference_comes_back_from_its_bytes),
		cmocka_unit_test(a_reference_without_an_inside_is_none),
		cmocka_unit_test(pieces_of_a_mesh_are_solids_and_cavities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
