#include "tests/seed.h"

#include "engine/figures.h"

/* A set of one reference, drawn from a vector as the published one was from its mesh. */
static struct reference_set reference_of(const cJSON *item)
{
	struct reference_set set = { .n = 1 };
	struct reference *r = &set.ref[0];
	struct mesh m = vector_mesh(item);
	double lo[3], hi[3];

	strcpy(r->name, "glb");
	r->weight = 1;
	mesh_box(&m, lo, hi);
	for (int c = 0; c < 3; c++)
		r->box[c] = hi[c] - lo[c];
	r->n_points = CANDIDATE_POINTS;
	r->points = malloc(3 * CANDIDATE_POINTS * sizeof(float));
	surface_sample(&m, CANDIDATE_POINTS, CHAMFER_SEED, r->points, NULL);
	assert_int_equal(point_tree_build(&r->tree, r->points, r->n_points, NULL), 0);
	r->masks = malloc(VIEW_COUNT * sizeof(*r->masks));
	for (int v = 0; v < VIEW_COUNT; v++)
		silhouette_draw(&r->masks[v], &m, v, NULL);
	mesh_release(&m);
	return set;
}

static void figures_of_a_pair_are_those_of_the_libraries(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "pairs"))
	{
		const cJSON *a = vector_named(at(all, "meshes"), at(item, "a")->valuestring);
		const cJSON *b = vector_named(at(all, "meshes"), at(item, "b")->valuestring);
		struct soup s = vector_soup(a);
		struct reference_set set = reference_of(b);
		struct figures f;
		double sum = 0;
		assert_int_equal(figures_measure(&f, &s, &set, true, NULL), 0);
		assert_int_equal(f.n_ref, 1);
		assert_close(f.ref[0].chamfer, num(item, "score"), 1e-15);
		for (int v = 0; v < VIEW_COUNT; v++) {
			double iou = cJSON_GetArrayItem(at(item, "iou"), v)->valuedouble;
			assert_close(f.ref[0].view_iou[v], iou, 0);
			sum += view_weight(v) * iou;
		}
		assert_close(f.ref[0].silhouette, sum, 1e-15);
		reference_release(&set);
		soup_release(&s);
	}
	cJSON_Delete(all);
}

static void heights_are_those_of_numpy(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct soup s = vector_soup(item);
		struct figures f;
		assert_int_equal(figures_measure(&f, &s, NULL, false, NULL), 0);
		assert_int_equal(f.n_ref, 0);
		assert_close(f.low_p90_ratio, num(item, "low_p90_ratio"),
		             1e-15 * num(item, "low_p90_ratio"));
		assert_int_equal(f.high_vertices, num(item, "high_vertices"));
		soup_release(&s);
	}
	cJSON_Delete(all);
}

static void fast_figures_take_the_box_three_times(void **state)
{
	struct soup s = { 0 };
	struct reference_set set;
	struct figures f;

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 50, 100, 100 });
	reference_from_box(&set, (double[3]){ 1, 1, 1 });
	assert_int_equal(figures_measure(&f, &s, &set, false, NULL), 0);
	assert_close(f.ref[0].bbox, 1 - 0.5 / 3, 1e-15);
	assert_close(f.ref[0].chamfer, f.ref[0].bbox, 0);
	assert_close(f.ref[0].silhouette, f.ref[0].bbox, 0);
	assert_true(isnan(f.ref[0].view_iou[0]));
	assert_close(f.box_len_mm[0], 50, 0);
	assert_close(f.mesh_volume_mm3, 500000, 1e-6);
	struct err e;
	assert_int_equal(figures_measure(&f, &s, &set, true, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	s.n_tri = 0;
	assert_int_equal(figures_measure(&f, &s, &set, false, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	soup_release(&s);
}

static void figures_survive_the_way_through_json_to_the_last_bit(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	struct soup s = vector_soup(vector_named(at(all, "meshes"), "thirty_loose_boxes"));
	struct reference_set set = reference_of(vector_named(at(all, "meshes"), "ball"));

	(void)state;
	for (int full = 0; full < 2; full++) {
		struct figures f, g;
		struct buf text = { 0 };
		struct err e;
		assert_int_equal(figures_measure(&f, &s, &set, full, NULL), 0);
		cJSON *o = figures_to_json(&f);
		json_print(&text, o);
		cJSON_Delete(o);
		o = json_parse(buf_str(&text), text.len, &e);
		assert_non_null(o);
		if (figures_from_json(&g, o, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(g.full, full);
		assert_int_equal(g.components, 30);
		assert_close(g.mean_gap_ratio, f.mean_gap_ratio, 0);
		assert_close(g.normalized_len[0], f.normalized_len[0], 0);
		assert_close(g.ref[0].chamfer, f.ref[0].chamfer, 0);
		if (full)
			assert_close(g.ref[0].view_iou[5], f.ref[0].view_iou[5], 0);
		cJSON_DeleteItemFromObject(o, "contact");
		assert_int_equal(figures_from_json(&g, o, &e), -1);
		assert_contains(e.text, "contact: a number wanted, got nothing");
		cJSON_Delete(o);
		buf_release(&text);
	}
	reference_release(&set);
	soup_release(&s);
	cJSON_Delete(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_of_a_pair_are_those_of_the_libraries),
		cmocka_unit_test(heights_are_those_of_numpy),
		cmocka_unit_test(fast_figures_take_the_box_three_times),
		cmocka_unit_test(figures_survive_the_way_through_json_to_the_last_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
