#include "tests/seed.h"

#include "engine/numeric.h"

static void vertices_merge_as_trimesh_merges_them(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct soup s = vector_soup(item);
		struct mesh m;
		const cJSON *first = at(item, "first_vertex_of_triangle"), *v;
		size_t i = 0;
		print_message("%s\n", at(item, "name")->valuestring);
		assert_int_equal(mesh_from_soup(&m, &s, NULL), 0);
		assert_int_equal(m.n_vert, num(item, "vertices"));
		assert_int_equal(m.n_tri, num(item, "triangles"));
		cJSON_ArrayForEach(v, first) assert_int_equal(m.t[3 * i++], v->valueint);
		mesh_release(&m);
		soup_release(&s);
	}
	cJSON_Delete(all);
}

static void sizes_and_area_are_those_of_trimesh(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct soup s = vector_soup(item);
		struct mesh m;
		double lo[3], hi[3], want[3], area = num(item, "area");
		assert_int_equal(mesh_from_soup(&m, &s, NULL), 0);
		mesh_box(&m, lo, hi);
		assert_int_equal(json_get_numbers(item, "box_len_mm", want, 3, NULL), 0);
		for (int c = 0; c < 3; c++)
			assert_close(hi[c] - lo[c], want[c], 0);
		assert_close(mesh_area(&m), area, 1e-12 * area);
		mesh_normalize(&m);
		mesh_box(&m, lo, hi);
		assert_int_equal(json_get_numbers(item, "normalized_len", want, 3, NULL), 0);
		for (int c = 0; c < 3; c++)
			assert_close(hi[c] - lo[c], want[c], 0);
		mesh_release(&m);
		soup_release(&s);
	}
	cJSON_Delete(all);
}

static void a_normalized_mesh_is_1000_high_and_stands_on_the_origin(void **state)
{
	struct soup s = { 0 };
	struct mesh m;
	double lo[3], hi[3];

	(void)state;
	add_box(&s, (float[3]){ 10, 20, 30 }, (float[3]){ 20, 40, 34 });
	assert_int_equal(mesh_from_soup(&m, &s, NULL), 0);
	assert_close(mesh_volume(&m), 800, 1e-9);
	mesh_normalize(&m);
	mesh_box(&m, lo, hi);
	assert_close(lo[2], 0, 0);
	assert_close(hi[2], 1000, 0);
	assert_close(hi[0], 1250, 1e-9);
	assert_close(lo[0], -1250, 1e-9);
	assert_close(hi[1], 2500, 1e-9);
	mesh_release(&m);
	soup_release(&s);
}

static void triangles_with_corners_that_are_no_numbers_are_dropped(void **state)
{
	struct soup s = { 0 };
	struct mesh m;
	struct err e;

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 1, 1, 1 });
	s.xyz[0] = NAN;
	s.xyz[9 + 4] = INFINITY;
	assert_int_equal(mesh_from_soup(&m, &s, &e), 0);
	assert_int_equal(m.n_tri, 10);
	mesh_release(&m);
	for (size_t i = 0; i < s.n_tri; i++)
		s.xyz[9 * i + 8] = -INFINITY;
	assert_int_equal(mesh_from_soup(&m, &s, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	soup_release(&s);
	assert_int_equal(mesh_from_soup(&m, &s, &e), -1);
	assert_contains(e.text, "no triangles");
}

static void many_vertices_outgrow_the_first_table(void **state)
{
	struct soup s = { 0 };
	struct mesh m;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		float x = (float)i;
		assert_int_equal(soup_add(&s, (float[9]){ x, 0, 0, x, 1, 0, x, 0, 1 + x }, NULL),
		                 0);
	}
	assert_int_equal(mesh_from_soup(&m, &s, NULL), 0);
	assert_int_equal(m.n_vert, 15000);
	assert_int_equal(m.t[3 * 4999 + 2], 14999);
	assert_close(m.v[3 * 14999 + 2], 5000, 0);
	mesh_release(&m);
	soup_release(&s);
}

/* numpy.random.RandomState(n).random_sample: the same generator as engine/mt19937. */
#include "engine/mt19937.h"

static void means_and_percentiles_are_numpys_to_the_last_bit(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "sums"))
	{
		int n = (int)num(item, "n");
		double *x = malloc((size_t)n * sizeof(*x));
		struct mt19937 g;
		mt19937_seed(&g, (uint32_t)n);
		for (int i = 0; i < n; i++)
			x[i] = mt19937_double(&g) * 1000;
		assert_close(mean_pairwise(x, (size_t)n), num(item, "mean"), 0);
		assert_close(percentile_linear(x, (size_t)n, 90), num(item, "p90"), 0);
		assert_close(percentile_linear(x, (size_t)n, 37), num(item, "p37"), 0);
		free(x);
	}
	assert_close(mean_pairwise(NULL, 0), 0, 0);
	assert_close(percentile_linear(NULL, 0, 90), 0, 0);
	cJSON_Delete(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vertices_merge_as_trimesh_merges_them),
		cmocka_unit_test(sizes_and_area_are_those_of_trimesh),
		cmocka_unit_test(a_normalized_mesh_is_1000_high_and_stands_on_the_origin),
		cmocka_unit_test(triangles_with_corners_that_are_no_numbers_are_dropped),
		cmocka_unit_test(many_vertices_outgrow_the_first_table),
		cmocka_unit_test(means_and_percentiles_are_numpys_to_the_last_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
