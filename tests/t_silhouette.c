#include "tests/seed.h"

#include "engine/silhouette.h"

/* As tests/oracle/seed.py has it: FNV-1a over row, first and last column of every run. */
static uint64_t mask_hash(const struct mask *m)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (int y = 0; y < MASK_SIZE; y++)
		for (int x = 0; x < MASK_SIZE; x++) {
			if (!mask_get(m, x, y))
				continue;
			int first = x;
			while (x + 1 < MASK_SIZE && mask_get(m, x + 1, y))
				x++;
			h = (h ^ (uint64_t)y) * 0x100000001b3u;
			h = (h ^ (uint64_t)first) * 0x100000001b3u;
			h = (h ^ (uint64_t)x) * 0x100000001b3u;
		}
	return h;
}

static void triangles_are_filled_as_pillow_fills_them(void **state)
{
	FILE *f = fopen(SRCDIR "/tests/data/seed/triangles.txt", "r");
	char line[512];
	int n = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		int x[3], y[3];
		long pixels;
		unsigned long long hash;
		static struct mask m;
		if (*line == '#')
			continue;
		assert_int_equal(sscanf(line, "%d %d %d %d %d %d %ld %llx", &x[0], &y[0], &x[1],
		                        &y[1], &x[2], &y[2], &pixels, &hash),
		                 8);
		memset(&m, 0, sizeof(m));
		mask_triangle(&m, x, y);
		if (mask_count(&m) != pixels || mask_hash(&m) != hash)
			fail_msg("%s: %ld pixels", line, mask_count(&m));
		n++;
	}
	fclose(f);
	assert_int_equal(n, 2000);
}

static void all_six_views_are_those_of_numpy_and_pillow(void **state)
{
	cJSON *all = seed_vectors("mesh.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "meshes"))
	{
		struct mesh m = vector_mesh(item);
		static struct mask mask;
		for (int v = 0; v < VIEW_COUNT; v++) {
			const char *want =
				cJSON_GetArrayItem(at(item, "mask_hash"), v)->valuestring;
			assert_int_equal(silhouette_draw(&mask, &m, v, NULL), 0);
			if (mask_hash(&mask) != strtoull(want, NULL, 16))
				fail_msg("%s, %s: %ld pixels, want %d",
				         at(item, "name")->valuestring, view_name(v),
				         mask_count(&mask),
				         cJSON_GetArrayItem(at(item, "mask_pixels"), v)->valueint);
		}
		mesh_release(&m);
	}
	cJSON_Delete(all);
}

static void a_triangle_over_painted_pixels_changes_nothing(void **state)
{
	static struct mask m, before;

	(void)state;
	mask_triangle(&m, (int[3]){ 0, 511, 0 }, (int[3]){ 0, 0, 511 });
	before = m;
	mask_triangle(&m, (int[3]){ 10, 100, 30 }, (int[3]){ 10, 20, 90 });
	assert_memory_equal(&m, &before, sizeof(m));
	assert_close(mask_iou(&m, &before), 1, 0);
}

static void a_triangle_that_reaches_out_of_the_mask_is_not_painted(void **state)
{
	static struct mask m;

	(void)state;
	mask_triangle(&m, (int[3]){ -1, 5, 5 }, (int[3]){ 0, 0, 5 });
	mask_triangle(&m, (int[3]){ 0, 512, 5 }, (int[3]){ 0, 0, 5 });
	mask_triangle(&m, (int[3]){ 0, 5, 5 }, (int[3]){ 0, 0, 2147483647 });
	assert_int_equal(mask_count(&m), 0);
}

static void likeness_is_shared_over_joint_pixels(void **state)
{
	static struct mask a, b;

	(void)state;
	assert_close(mask_iou(&a, &b), 0, 0);
	mask_triangle(&a, (int[3]){ 10, 19, 10 }, (int[3]){ 5, 5, 5 });
	assert_int_equal(mask_count(&a), 10);
	assert_close(mask_iou(&a, &b), 0, 0);
	mask_triangle(&b, (int[3]){ 15, 24, 15 }, (int[3]){ 5, 5, 5 });
	assert_close(mask_iou(&a, &b), 5.0 / 15.0, 0);
}

static void weights_of_the_views_sum_to_one(void **state)
{
	double sum = 0;

	(void)state;
	for (int v = 0; v < VIEW_COUNT; v++)
		sum += view_weight(v);
	assert_close(sum, 1, 1e-15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(triangles_are_filled_as_pillow_fills_them),
		cmocka_unit_test(all_six_views_are_those_of_numpy_and_pillow),
		cmocka_unit_test(a_triangle_over_painted_pixels_changes_nothing),
		cmocka_unit_test(a_triangle_that_reaches_out_of_the_mask_is_not_painted),
		cmocka_unit_test(likeness_is_shared_over_joint_pixels),
		cmocka_unit_test(weights_of_the_views_sum_to_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
