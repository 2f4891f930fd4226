#include "tests/seed.h"

#include "engine/seed_text.h"
#include "engine/text.h"

static void counts_are_those_of_pythons_patterns(void **state)
{
	cJSON *all = seed_vectors("text.json");
	const cJSON *item, *v;
	const char *hints[16];
	int n_hints = 0;

	(void)state;
	cJSON_ArrayForEach(v, at(all, "hints")) hints[n_hints++] = v->valuestring;
	cJSON_ArrayForEach(item, at(all, "texts"))
	{
		const char *t = at(item, "text")->valuestring;
		size_t n = strlen(t), strip_at, strip_len;
		struct seed_text got;
		bool hits[16];
		double share;
		assert_int_equal(seed_text_measure(&got, t, n, NULL), 0);
		if (got.functions != num(item, "functions") ||
		    got.named_values != num(item, "values") || got.returns != num(item, "returns"))
			fail_msg("'%s': %ld %ld %ld, want %g %g %g", t, got.functions,
			         got.named_values, got.returns, num(item, "functions"),
			         num(item, "values"), num(item, "returns"));
		assert_int_equal(got.final_object, cJSON_IsTrue(at(item, "final")));
		if (seed_text_has_fixture(t, n) != cJSON_IsTrue(at(item, "fixture")))
			fail_msg("fixture in '%s'", t);
		assert_int_equal(seed_text_hints(&share, hits, t, n, hints, n_hints, NULL), 0);
		for (int i = 0; i < n_hints; i++)
			if (hits[i] != cJSON_IsTrue(cJSON_GetArrayItem(at(item, "hits"), i)))
				fail_msg("hint %s in '%s'", hints[i], t);
		text_strip(t, n, &strip_at, &strip_len);
		v = at(item, "stripped");
		assert_int_equal(strip_len, strlen(v->valuestring));
		assert_memory_equal(t + strip_at, v->valuestring, strip_len);
	}
	cJSON_Delete(all);
}

static struct seed_text measure(const char *code)
{
	struct seed_text t;

	assert_int_equal(seed_text_measure(&t, code, strlen(code), NULL), 0);
	return t;
}

static void editability_weighs_functions_values_returns_and_the_final_object(void **state)
{
	(void)state;
	assert_close(measure("").editability, 0, 0);
	assert_close(measure("fixture = 1").editability, 0.20 * (1 / 8.0) + 0.20, 1e-15);
	assert_close(measure("def a():\n\treturn 1\n").editability, 0.35 / 6 + 0.25, 1e-15);
	/* Two returns of one function count once; one of two counts half. */
	assert_close(measure("def a():\n return 1\n return 2\n").editability, 0.35 / 6 + 0.25,
	             1e-15);
	assert_close(measure("def a(): pass\ndef b():\n return 2\n").editability, 0.70 / 6 + 0.125,
	             1e-15);
}

static void functions_in_strings_and_comments_count_as_lines_do(void **state)
{
	(void)state;
	assert_int_equal(measure("\"\"\"\ndef a(\n def b(\n\"\"\"").functions, 2);
	assert_int_equal(measure("# def a(").functions, 0);
	assert_int_equal(measure("x = 1; y = 2").named_values, 1);
	assert_int_equal(measure("box(\n  width=5,\n  height=-.5)").named_values, 1);
}

static void a_megabyte_of_newlines_takes_no_time(void **state)
{
	struct buf b = { 0 };
	struct seed_text t;

	(void)state;
	for (int i = 0; i < 1 << 20; i++)
		buf_addc(&b, '\n');
	buf_adds(&b, "return\n");
	assert_int_equal(seed_text_measure(&t, b.data, b.len, NULL), 0);
	assert_int_equal(t.returns, 1);
	buf_release(&b);
}

static void bytes_that_are_no_text_are_no_words(void **state)
{
	static const char code[] =
		"def \xff(\0\ndef a\xc3(\ndef ok(\n\x80\xe2\x84 = 1\nfixture\xff=";
	struct seed_text t;

	(void)state;
	assert_int_equal(seed_text_measure(&t, code, sizeof(code) - 1, NULL), 0);
	assert_int_equal(t.functions, 1);
	assert_int_equal(t.named_values, 0);
	assert_false(seed_text_has_fixture(code, sizeof(code) - 1));
}

static double cheap(const char *code, const char *raw)
{
	double s;

	assert_int_equal(seed_text_cheap(&s, code, strlen(code), raw, strlen(raw), NULL), 0);
	return s;
}

static void the_cheap_score_adds_and_takes_by_words(void **state)
{
	static const struct {
		const char *code, *raw;
		double score;
	} cases[] = {
		{ "", "", 0 },
		{ "import cadquery as cq", "", 0.25 },
		{ "fixture = 1", "", 0.25 },
		{ "myfixture = 1", "", 0 },
		{ "cq.Workplane", "", 0.20 },
		{ "def ", "", 0.15 },
		{ "LEG", "", 0.10 },
		{ "import cadquery as cq\nfixture = cq.Workplane\ndef f(): leg", "", 0.95 },
		{ "import cadquery as cq\nfixture = cq.Workplane\ndef f(): leg", "```", 0.70 },
		{ "import cadquery as cq\nfixture = 1\nopen(x)", "", 0 },
		{ "import cadquery as cq\nfixture = cq.Workplane\nos.system", "", 0.20 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_close(cheap(cases[i].code, cases[i].raw), cases[i].score, 1e-12);
}

static void without_hints_the_office_chair_is_asked_for(void **state)
{
	const char *code = "seat BackRest star_base starbase casters";
	double share;

	(void)state;
	assert_int_equal(seed_text_hints(&share, NULL, code, strlen(code), NULL, 0, NULL), 0);
	assert_close(share, 0.4, 1e-15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_those_of_pythons_patterns),
		cmocka_unit_test(editability_weighs_functions_values_returns_and_the_final_object),
		cmocka_unit_test(functions_in_strings_and_comments_count_as_lines_do),
		cmocka_unit_test(a_megabyte_of_newlines_takes_no_time),
		cmocka_unit_test(bytes_that_are_no_text_are_no_words),
		cmocka_unit_test(the_cheap_score_adds_and_takes_by_words),
		cmocka_unit_test(without_hints_the_office_chair_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
