#include "tests/seed.h"

#include <dirent.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/figures.h"
#include "engine/mt19937.h"

struct place {
	char dir[64];
};

static void put(const struct place *p, const char *name, const void *bytes, size_t len)
{
	char path[160];
	struct err e;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	if (file_write_atomic(path, bytes, len, &e) < 0)
		fail_msg("%s", e.text);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
	put(p, name, text, strlen(text));
}

static void put_picture(const struct place *p, const char *name, int width, int height,
                        unsigned format)
{
	png_image image = { .version = PNG_IMAGE_VERSION,
		            .width = (png_uint_32)width,
		            .height = (png_uint_32)height,
		            .format = format };
	unsigned char *pixels = calloc((size_t)width * (size_t)height, 4);
	char path[160];

	if (width > 100 && height > 50)
		for (int x = 0; x < 100; x++)
			pixels[width * 50 + x] = (unsigned char)(1 + x);
	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
	free(pixels);
}

static const char description[] =
	"{\"weight\": 0.4, \"normalized_bbox\": {\"xlen\": 500, \"ylen\": "
	"250.5, \"zlen\": 1000}, \"note\": \"ours\"}";

/* A reference in a folder of its own. */
static void place_make(struct place *p)
{
	float points[30];

	snprintf(p->dir, sizeof(p->dir), "/tmp/t_reference.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	for (int i = 0; i < 30; i++)
		points[i] = (float)i;
	put_text(p, "reference.json", description);
	put(p, "points.f32", points, sizeof(points));
	for (int v = 0; v < VIEW_COUNT; v++) {
		char name[32];
		snprintf(name, sizeof(name), "%s.png", view_name(v));
		put_picture(p, name, 512, 512, PNG_FORMAT_GRAY);
	}
}

static void remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *i;
	char path[400];

	while (d && (i = readdir(d))) {
		if (i->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, i->d_name);
		if (unlink(path) < 0)
			remove_all(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void a_folder_with_a_description_is_one_reference(void **state)
{
	struct place p;
	struct reference_set set;
	struct err e;

	(void)state;
	place_make(&p);
	if (reference_load(&set, p.dir, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(set.n, 1);
	assert_string_equal(set.ref[0].name, "glb");
	assert_close(set.ref[0].weight, 1, 0);
	assert_close(set.ref[0].box[1], 250.5, 0);
	assert_int_equal(set.ref[0].n_points, 10);
	assert_int_equal(mask_count(&set.ref[0].masks[5]), 100);
	assert_true(reference_is_full(&set));
	reference_release(&set);
	reference_release(&set);
	remove_all(p.dir);
}

static void weights_are_shared_over_what_is_there(void **state)
{
	struct place p, q;
	struct reference_set set;
	struct err e;
	char path[160];

	(void)state;
	place_make(&p);
	place_make(&q);
	put_text(
		&p, "reference.json",
		"{\"weight\": 0.6, \"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1, \"zlen\": 1000}}");
	struct place root = { "/tmp/t_reference_root.XXXXXX" };
	assert_non_null(mkdtemp(root.dir));
	snprintf(path, sizeof(path), "%s/ideal", root.dir);
	assert_int_equal(rename(p.dir, path), 0);
	assert_int_equal(reference_load(&set, root.dir, &e), 0);
	assert_int_equal(set.n, 1);
	assert_close(set.ref[0].weight, 1, 0);
	reference_release(&set);
	snprintf(path, sizeof(path), "%s/glb", root.dir);
	assert_int_equal(rename(q.dir, path), 0);
	assert_int_equal(reference_load(&set, root.dir, &e), 0);
	assert_int_equal(set.n, 2);
	assert_string_equal(set.ref[0].name, "ideal");
	assert_close(set.ref[0].weight, 0.6, 0);
	assert_close(set.ref[1].weight, 0.4, 0);
	reference_release(&set);
	remove_all(root.dir);
}

static void refused(const struct place *p, const char *what, const char *why)
{
	struct reference_set set;
	struct err e = { 0 };

	assert_int_equal(reference_load(&set, p->dir, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, p->dir);
	assert_contains(e.text, what);
	assert_contains(e.text, why);
}

static void damaged_files_are_named_with_what_was_wanted(void **state)
{
	static const struct {
		const char *text, *why;
	} texts[] = {
		{ "{", "not JSON" },
		{ "[]", "normalized_bbox" },
		{ "{\"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1}}", "zlen: a number wanted" },
		{ "{\"weight\": 1, \"normalized_bbox\": {\"xlen\": 1, \"ylen\": -1, \"zlen\": 1}}",
		  "ylen: a length" },
		{ "{\"weight\": 1, \"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1, \"zlen\": 0}}",
		  "zlen: a height" },
		{ "{\"weight\": 0, \"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1, \"zlen\": 1}}",
		  "weight: a number above 0" },
		{ "{\"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1, \"zlen\": 1}}",
		  "weight: a number wanted, got nothing" },
		{ "{\"weight\": 1, \"name\": \"\", \"normalized_bbox\": {\"xlen\": 1, \"ylen\": 1, "
		  "\"zlen\": 1}}",
		  "name: 1 to 31 bytes" },
	};
	struct place p;
	float points[6] = { 1, 2, 3, 4, NAN, 6 };
	struct buf png = { 0 };
	struct err e;
	char path[160];

	(void)state;
	place_make(&p);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		put_text(&p, "reference.json", texts[i].text);
		refused(&p, "reference.json", texts[i].why);
	}
	put_text(&p, "reference.json", description);
	put(&p, "points.f32", points, sizeof(points));
	refused(&p, "points.f32", "point 1");
	put(&p, "points.f32", points, 13);
	refused(&p, "points.f32", "got 13 bytes");
	put(&p, "points.f32", points, 0);
	refused(&p, "points.f32", "got 0 bytes");
	put(&p, "points.f32", points, 12);
	put_picture(&p, "left.png", 511, 512, PNG_FORMAT_GRAY);
	refused(&p, "left.png", "got 511 x 512");
	put_picture(&p, "left.png", 512, 512, PNG_FORMAT_RGBA);
	refused(&p, "left.png", "in another format");
	put_text(&p, "left.png", "GIF89a");
	refused(&p, "left.png", "not a PNG picture");
	snprintf(path, sizeof(path), "%s/top.png", p.dir);
	assert_int_equal(buf_read_file(&png, path, 1 << 20, &e), 0);
	put(&p, "left.png", png.data, png.len - 40);
	refused(&p, "left.png", "PNG");
	snprintf(path, sizeof(path), "%s/left.png", p.dir);
	unlink(path);
	refused(&p, "left.png", "No such file");
	snprintf(path, sizeof(path), "%s/reference.json", p.dir);
	unlink(path);
	refused(&p, "no reference here", "wanted");
	struct reference_set set;
	assert_int_equal(reference_load(&set, "/nowhere/at/all", &e), -1);
	buf_release(&png);
	remove_all(p.dir);
}

static struct buf some_bytes(void)
{
	struct place p;
	struct reference_set set;
	struct buf b = { 0 };

	place_make(&p);
	assert_int_equal(reference_load(&set, p.dir, NULL), 0);
	assert_int_equal(reference_serialize(&set, &b, NULL), 0);
	reference_release(&set);
	remove_all(p.dir);
	return b;
}

static void what_is_sent_arrives(void **state)
{
	struct buf b = some_bytes(), again = { 0 };
	struct reference_set set;
	struct err e;

	(void)state;
	if (reference_parse(&set, b.data, b.len, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(mask_count(&set.ref[0].masks[0]), 100);
	assert_int_equal(set.ref[0].tree.n, 10);
	assert_int_equal(reference_serialize(&set, &again, &e), 0);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	reference_release(&set);
	reference_from_box(&set, (double[3]){ 0.5, 0.7, 1 });
	assert_false(reference_is_full(&set));
	buf_clear(&again);
	assert_int_equal(reference_serialize(&set, &again, &e), 0);
	reference_release(&set);
	assert_int_equal(reference_parse(&set, again.data, again.len, &e), 0);
	assert_close(set.ref[0].box[1], 700, 0);
	reference_release(&set);
	buf_release(&b);
	buf_release(&again);
}

static void damaged_bytes_are_refused_or_harmless(void **state)
{
	struct buf b = some_bytes();
	struct reference_set set;
	struct mt19937 g;
	struct err e;
	const size_t head = 8 + 4 + 72 + 120; /* all but the masks */

	(void)state;
	mt19937_seed(&g, 3);
	for (size_t len = 0; len < b.len; len += len < head ? 1 : 9999) {
		char *cut = malloc(len ? len : 1); /* so that a read past it is seen */
		memcpy(cut, b.data, len);
		assert_int_equal(reference_parse(&set, cut, len, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		free(cut);
	}
	buf_addc(&b, 0);
	assert_int_equal(reference_parse(&set, b.data, b.len, &e), -1);
	assert_contains(e.text, "too many");
	b.len--;
	int taken = 0;
	for (int i = 0; i < 3000; i++) {
		size_t k = mt19937_next(&g) % head;
		char old = b.data[k];
		b.data[k] ^= (char)(1 << mt19937_next(&g) % 8);
		if (reference_parse(&set, b.data, b.len, &e) == 0) {
			taken++;
			reference_release(&set);
		}
		b.data[k] = old;
	}
	assert_true(taken > 0 && taken < 3000);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_with_a_description_is_one_reference),
		cmocka_unit_test(weights_are_shared_over_what_is_there),
		cmocka_unit_test(damaged_files_are_named_with_what_was_wanted),
		cmocka_unit_test(what_is_sent_arrives),
		cmocka_unit_test(damaged_bytes_are_refused_or_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
