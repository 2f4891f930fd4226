#include "tests/seed.h"

#include "engine/topology.h"

static struct topology measure(const struct soup *s)
{
	struct mesh m;
	struct topology t;

	assert_int_equal(mesh_from_soup(&m, s, NULL), 0);
	mesh_normalize(&m);
	assert_int_equal(topology_measure(&t, &m, NULL), 0);
	mesh_release(&m);
	return t;
}

static void counts_are_those_of_trimesh(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct mesh m = vector_mesh(item);
		struct topology t;
		print_message("%s\n", at(item, "name")->valuestring);
		assert_int_equal(topology_measure(&t, &m, NULL), 0);
		assert_int_equal(t.vertices, num(item, "vertices"));
		assert_int_equal(t.triangles, num(item, "triangles"));
		assert_int_equal(t.components, num(item, "components"));
		assert_int_equal(t.boundary_edges, num(item, "boundary_edges"));
		assert_int_equal(t.non_manifold_edges, num(item, "non_manifold_edges"));
		assert_int_equal(t.degenerate_faces, num(item, "degenerate_faces"));
		assert_int_equal(t.watertight, cJSON_IsTrue(at(item, "watertight")));
		assert_int_equal(t.winding_consistent,
		                 cJSON_IsTrue(at(item, "winding_consistent")));
		topology_release(&t);
		mesh_release(&m);
	}
	cJSON_Delete(all);
}

static void a_box_with_a_triangle_off_is_not_watertight(void **state)
{
	struct soup s = { 0 };

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 10, 20, 30 });
	struct topology t = measure(&s);
	assert_int_equal(t.components, 1);
	assert_true(t.watertight);
	assert_true(t.winding_consistent);
	/* A closed mesh of one piece loses 0.07 for having fewer than 50 triangles. */
	assert_close(topology_score(&t), 0.93, 1e-12);
	topology_release(&t);
	s.n_tri--;
	t = measure(&s);
	assert_int_equal(t.boundary_edges, 3);
	assert_false(t.watertight);
	/* 0.25 + 0.05 + 0 (3 of 11 are far above 1 in 250) + 0.15 + 0.15 + 0.03 - 0.10 */
	assert_close(topology_score(&t), 0.53, 1e-12);
	topology_release(&t);
	soup_release(&s);
}

static void a_fan_of_a_thousand_triangles_on_one_edge_is_counted_once(void **state)
{
	struct soup s = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		float a = (float)i / 159.0f;
		soup_add(&s, (float[9]){ 0, 0, 0, 0, 0, 5, cosf(a), sinf(a), 2 }, NULL);
	}
	struct topology t = measure(&s);
	assert_int_equal(t.non_manifold_edges, 1);
	assert_int_equal(t.boundary_edges, 2000);
	assert_int_equal(t.components, 1000);
	topology_release(&t);
	soup_release(&s);
}

static void components_are_numbered_by_their_first_triangle(void **state)
{
	struct soup s = { 0 };

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 1, 1, 1 });
	add_box(&s, (float[3]){ 5, 5, 5 }, (float[3]){ 6, 6, 6 });
	struct topology t = measure(&s);
	assert_int_equal(t.components, 2);
	for (int i = 0; i < 24; i++)
		assert_int_equal(t.component_of[i], i / 12);
	topology_release(&t);
	soup_release(&s);
}

static void penalties_follow_the_counts(void **state)
{
	static const struct {
		long triangles, components, boundary, tangled, degenerate;
		bool watertight;
		double score;
	} cases[] = {
		{ 1000, 1, 0, 0, 0, true, 1.00 },    { 1000, 120, 0, 0, 0, true, 1.00 },
		{ 1000, 121, 0, 0, 0, true, 0.87 },  { 1000, 250, 0, 0, 0, true, 0.87 },
		{ 1000, 251, 0, 0, 0, true, 0.55 },  { 1000, 1, 2, 0, 0, false, 0.80 },
		{ 1000, 1, 0, 2, 0, false, 0.825 },  { 1000, 1, 0, 0, 2, true, 0.925 },
		{ 1000, 1, 21, 21, 21, false, 0.1 }, { 750001, 1, 0, 0, 0, true, 0.93 },
		{ 49, 1, 0, 0, 0, true, 0.93 },      { 50, 1, 0, 0, 0, true, 1.00 },
		{ 0, 0, 0, 0, 0, false, 0.70 },      { 10, 300, 10, 10, 10, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct topology t = { .triangles = cases[i].triangles,
			              .components = cases[i].components,
			              .boundary_edges = cases[i].boundary,
			              .non_manifold_edges = cases[i].tangled,
			              .degenerate_faces = cases[i].degenerate,
			              .watertight = cases[i].watertight };
		assert_close(topology_score(&t), cases[i].score, 1e-12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_those_of_trimesh),
		cmocka_unit_test(a_box_with_a_triangle_off_is_not_watertight),
		cmocka_unit_test(a_fan_of_a_thousand_triangles_on_one_edge_is_counted_once),
		cmocka_unit_test(components_are_numbered_by_their_first_triangle),
		cmocka_unit_test(penalties_follow_the_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
