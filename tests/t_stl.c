/* t_stl.c - STL in both dialects, whole and damaged. */
#include "tests/lib.h"

#include "engine/stl.h"

static const float corners[2][9] = { { 0, 0, 0, 10, 0, 0, 0, 10, 0 },
	                             { 0, 0, 1.5f, 0, 10, 0, 10, 0, -2.25f } };

static struct buf binary(int n)
{
	struct soup s = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	for (int i = 0; i < n; i++)
		assert_int_equal(soup_add(&s, corners[i % 2], &e), 0);
	assert_int_equal(stl_write(&b, &s, &e), 0);
	soup_release(&s);
	return b;
}

static void what_is_written_is_read_back_bit_for_bit(void **state)
{
	struct buf b = binary(7), again = { 0 };
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(b.len, 84 + 50 * 7);
	assert_int_equal(stl_read(&s, b.data, b.len, 100, &e), 0);
	assert_int_equal(s.n_tri, 7);
	assert_memory_equal(s.xyz + 9, corners[1], sizeof(corners[1]));
	assert_int_equal(stl_write(&again, &s, &e), 0);
	assert_memory_equal(b.data, again.data, b.len);
	/* the normal of the first triangle is up, after the count at byte 84 */
	float normal[3];
	memcpy(normal, b.data + 84, 12);
	assert_true(normal[0] == 0 && normal[1] == 0 && normal[2] == 1);
	soup_release(&s);
	buf_release(&b);
	buf_release(&again);
}

/* OCCT's reader takes this file for text: its first 134 bytes hold nothing above '~'. */
static void a_binary_file_that_begins_with_solid_is_binary(void **state)
{
	struct buf b = binary(2);
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	memset(b.data, ' ', 80);
	memcpy(b.data, "solid printable", 15);
	assert_int_equal(stl_read(&s, b.data, b.len, 100, &e), 0);
	assert_int_equal(s.n_tri, 2);
	soup_release(&s);
	buf_release(&b);
}

static const char text[] =
	"solid two words\r\n"
	" facet normal 0 0 1\r\n  outer loop\r\n   vertex 0 0 0\r\n"
	"   vertex 1.0e1 0 0\r\n   vertex 0 +10. -.5E-1\r\n  endloop\r\n endfacet\r\n"
	"endsolid two words\r\nsolid\nFACET NORMAL 0 0 0\nOUTER LOOP\n"
	"VERTEX 1 2 3 VERTEX 4 5 6 VERTEX 7 8 9\nENDLOOP ENDFACET\nendsolid\n";

static void text_is_read_whatever_its_blanks_case_and_solids(void **state)
{
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(stl_read(&s, text, sizeof(text) - 1, 100, &e), 0);
	assert_int_equal(s.n_tri, 2);
	assert_true(s.xyz[3] == 10 && s.xyz[8] == -0.05f && s.xyz[17] == 9);
	soup_release(&s);
}

static void every_cut_of_text_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(text) - 3; len++) {
		struct soup s = { 0 };
		struct err e = { 0 };
		const char *end = strstr(text, "endsolid") + 8;
		int rc = stl_read(&s, text, len, 100, &e);
		/* the first solid is whole and so is its end, with or without its name; the second
		 * is whole too once its last word is there */
		bool whole = (len >= (size_t)(end - text) && len <= (size_t)(end - text) + 12);
		if (rc == 0 && !whole)
			fail_msg("cut to %zu bytes it was read", len);
		if (rc < 0)
			assert_true(e.kind == ERR_INPUT && e.text[0]);
		soup_release(&s);
	}
}

static void damage_is_named_with_its_place(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "", "0 bytes" },
		{ "hello", "5 bytes" },
		{ "solid x\nfacet normal 0 0 nan\n", "line 2: 'nan' where a number" },
		{ "solid x\nfacet normal 0 0 1e999\n", "line 2" },
		{ "solid x\nfacet normal 0 0 0x10\n", "line 2" },
		{ "solid x\nfacet normal 0 0 1\nouter loop\nvertex 1 2\n",
		  "line 5: the file ends" },
		{ "solid x\nface", "'face' where 'facet' or 'endsolid'" },
		{ "solid x\nendsolid\nrubbish", "line 3: 'rubbish'" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct soup s = { 0 };
		struct err e = { 0 };
		assert_int_equal(stl_read(&s, bad[i].text, strlen(bad[i].text), 100, &e), -1);
		assert_contains(e.text, bad[i].words);
		assert_null(s.xyz);
	}
	struct buf b = binary(3);
	struct soup s = { 0 };
	struct err e = { 0 };
	assert_int_equal(stl_read(&s, b.data, b.len - 1, 100, &e), -1);
	assert_contains(e.text, "says 3 triangles, that is 234 bytes, the file has 233");
	memcpy(b.data + 84 + 50 + 12, "\0\0\300\177", 4); /* a NaN */
	assert_int_equal(stl_read(&s, b.data, b.len, 100, &e), -1);
	assert_contains(e.text, "byte 146: triangle 2");
	assert_int_equal(stl_read(&s, b.data, b.len, 2, &e), -1);
	assert_contains(e.text, "at most 2");
	buf_release(&b);
}

static void no_triangle_is_an_empty_file_and_no_error(void **state)
{
	struct buf b = binary(0);
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(stl_read(&s, b.data, b.len, 100, &e), 0);
	assert_int_equal(s.n_tri, 0);
	assert_int_equal(stl_read(&s, "solid\nendsolid", 14, 100, &e), 0);
	assert_int_equal(s.n_tri, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back_bit_for_bit),
		cmocka_unit_test(a_binary_file_that_begins_with_solid_is_binary),
		cmocka_unit_test(text_is_read_whatever_its_blanks_case_and_solids),
		cmocka_unit_test(every_cut_of_text_is_refused),
		cmocka_unit_test(damage_is_named_with_its_place),
		cmocka_unit_test(no_triangle_is_an_empty_file_and_no_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
