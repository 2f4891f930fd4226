#include "tests/seed.h"

#include "engine/contact.h"

static struct contact measure(const struct mesh *m)
{
	struct topology t;
	struct contact c;

	assert_int_equal(topology_measure(&t, m, NULL), 0);
	assert_int_equal(contact_measure(&c, m, &t, NULL), 0);
	topology_release(&t);
	return c;
}

static struct contact measure_soup(struct soup *s)
{
	struct mesh m;

	assert_int_equal(mesh_from_soup(&m, s, NULL), 0);
	mesh_normalize(&m);
	struct contact c = measure(&m);
	mesh_release(&m);
	soup_release(s);
	return c;
}

static void gaps_are_those_of_a_search_over_all_pairs(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct mesh m = vector_mesh(item);
		struct contact c = measure(&m);
		const cJSON *want = at(item, "contact");
		print_message("%s\n", at(item, "name")->valuestring);
		assert_int_equal(c.components_checked, num(want, "checked"));
		assert_close(c.mean_gap_ratio, num(want, "mean"), 1e-12);
		assert_close(c.max_gap_ratio, num(want, "max"), 1e-12);
		assert_int_equal(c.large_gap_components, num(want, "large"));
		mesh_release(&m);
	}
	cJSON_Delete(all);
}

static void two_boxes_ten_percent_of_the_height_apart_are_two_large_gaps(void **state)
{
	struct soup s = { 0 };

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 10, 10, 100 });
	add_box(&s, (float[3]){ 20, 0, 0 }, (float[3]){ 30, 10, 100 });
	struct contact c = measure_soup(&s);
	assert_int_equal(c.components_checked, 2);
	assert_int_equal(c.large_gap_components, 2);
	assert_close(c.mean_gap_ratio, 0.1, 1e-12);
	assert_close(c.score, 0, 0); /* exp(-2.8) exp(-0.4) - 0.08 is below 0 */
}

static void a_piece_inside_another_ones_box_touches_it(void **state)
{
	struct soup s = { 0 };

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 100, 100, 100 });
	add_box(&s, (float[3]){ 40, 40, 40 }, (float[3]){ 60, 60, 60 });
	assert_close(measure_soup(&s).score, 1, 0);
}

static void small_gaps_cost_by_their_mean_and_their_largest(void **state)
{
	struct soup s = { 0 };

	(void)state;
	add_box(&s, (float[3]){ 0, 0, 0 }, (float[3]){ 10, 10, 100 });
	add_box(&s, (float[3]){ 11, 0, 0 }, (float[3]){ 30, 10, 100 });
	struct contact c = measure_soup(&s);
	assert_int_equal(c.large_gap_components, 0);
	assert_close(c.score, exp(-28 * 0.01) * exp(-4 * 0.01), 1e-12);
}

static void twenty_thousand_loose_pieces_are_no_quadratic_matter(void **state)
{
	struct soup s = { 0 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		float x = (float)(i % 150) * 3, y = (float)(i / 150) * 3;
		soup_add(&s, (float[9]){ x, y, 0, x + 1, y, 0, x, y + 1, 1 }, NULL);
	}
	struct contact c = measure_soup(&s);
	assert_int_equal(c.components_checked, 20000);
	assert_close(c.mean_gap_ratio, 2, 1e-9);
	assert_close(c.score, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gaps_are_those_of_a_search_over_all_pairs),
		cmocka_unit_test(two_boxes_ten_percent_of_the_height_apart_are_two_large_gaps),
		cmocka_unit_test(a_piece_inside_another_ones_box_touches_it),
		cmocka_unit_test(small_gaps_cost_by_their_mean_and_their_largest),
		cmocka_unit_test(twenty_thousand_loose_pieces_are_no_quadratic_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
