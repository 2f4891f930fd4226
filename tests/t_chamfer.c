#include "tests/seed.h"

#include "engine/chamfer.h"
#include "engine/mt19937.h"

static void the_twister_is_numpys_legacy_one(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "twister"))
	{
		struct mt19937 g;
		double x = 0;
		mt19937_seed(&g, (uint32_t)num(item, "seed"));
		for (int i = 0; i < 2000; i++) {
			x = mt19937_double(&g);
			if (i < 4)
				assert_close(x,
				             cJSON_GetArrayItem(at(item, "first"), i)->valuedouble,
				             0);
		}
		assert_close(x, num(item, "last"), 0);
	}
	cJSON_Delete(all);
}

static void points_fall_where_trimesh_drops_them(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct mesh m = vector_mesh(item);
		float p[3 * CANDIDATE_POINTS];
		const cJSON *v;
		int i = 0;
		assert_int_equal(surface_sample(&m, CANDIDATE_POINTS, CHAMFER_SEED, p, NULL), 0);
		cJSON_ArrayForEach(v, at(item, "points"))
		{
			assert_close(p[3 * 100 * (i / 3) + i % 3], v->valuedouble, 0);
			i++;
		}
		assert_int_equal(i, 45);
		mesh_release(&m);
	}
	cJSON_Delete(all);
}

static void mean_distances_are_those_of_scipys_tree(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "pairs"))
	{
		struct point_tree tree[2];
		double ab, ba;
		for (int k = 0; k < 2; k++) {
			float p[3 * CANDIDATE_POINTS];
			struct mesh m = vector_mesh(vector_named(
				at(all, "meshes"), at(item, k ? "b" : "a")->valuestring));
			surface_sample(&m, CANDIDATE_POINTS, CHAMFER_SEED, p, NULL);
			assert_int_equal(point_tree_build(&tree[k], p, CANDIDATE_POINTS, NULL), 0);
			mesh_release(&m);
		}
		assert_int_equal(mean_nearest(&tree[0], &tree[1], &ab, NULL), 0);
		assert_int_equal(mean_nearest(&tree[1], &tree[0], &ba, NULL), 0);
		assert_close(ab, num(item, "ab"), 0);
		assert_close(ba, num(item, "ba"), 0);
		assert_close(chamfer_score(ab, ba), num(item, "score"), 1e-15);
		point_tree_release(&tree[0]);
		point_tree_release(&tree[1]);
	}
	cJSON_Delete(all);
}

static void the_nearest_point_is_the_one_that_a_plain_search_finds(void **state)
{
	struct mt19937 g;

	(void)state;
	mt19937_seed(&g, 42);
	for (int n = 1; n < 400; n += n < 20 ? 1 : 37) {
		float p[3 * 400];
		struct point_tree t;
		int hint = 0;
		for (int i = 0; i < 3 * n; i++) /* a coarse lattice: many equal coordinates */
			p[i] = (float)floor(mt19937_double(&g) * 12);
		assert_int_equal(point_tree_build(&t, p, n, NULL), 0);
		for (int k = 0; k < 200; k++) {
			double q[3], best = INFINITY;
			for (int c = 0; c < 3; c++)
				q[c] = mt19937_double(&g) * 30 - 9;
			for (int i = 0; i < n; i++) {
				double x = p[3 * i] - q[0], y = p[3 * i + 1] - q[1],
				       z = p[3 * i + 2] - q[2];
				best = fmin(best, x * x + y * y + z * z);
			}
			assert_close(point_tree_nearest(&t, q, &hint), sqrt(best), 0);
		}
		point_tree_release(&t);
	}
}

static void points_that_all_coincide_make_a_tree(void **state)
{
	static float p[3 * 5000];
	struct point_tree t;
	int hint = 17;

	(void)state;
	for (int i = 0; i < 3 * 5000; i++)
		p[i] = 4;
	assert_int_equal(point_tree_build(&t, p, 5000, NULL), 0);
	assert_close(point_tree_nearest(&t, (double[3]){ 4, 4, 7 }, &hint), 3, 0);
	point_tree_release(&t);
	struct err e;
	assert_int_equal(point_tree_build(&t, p, 0, &e), -1);
	assert_contains(e.text, "points wanted");
}

static void a_mesh_without_area_still_gives_points(void **state)
{
	struct soup s = { 0 };
	struct mesh m;
	float p[30];

	(void)state;
	soup_add(&s, (float[9]){ 1, 2, 3, 1, 2, 3, 1, 2, 3 }, NULL);
	assert_int_equal(mesh_from_soup(&m, &s, NULL), 0);
	assert_int_equal(surface_sample(&m, 10, 7, p, NULL), 0);
	for (int i = 0; i < 30; i++)
		assert_close(p[i], 1 + i % 3, 0);
	mesh_release(&m);
	soup_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_twister_is_numpys_legacy_one),
		cmocka_unit_test(points_fall_where_trimesh_drops_them),
		cmocka_unit_test(mean_distances_are_those_of_scipys_tree),
		cmocka_unit_test(the_nearest_point_is_the_one_that_a_plain_search_finds),
		cmocka_unit_test(points_that_all_coincide_make_a_tree),
		cmocka_unit_test(a_mesh_without_area_still_gives_points),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
