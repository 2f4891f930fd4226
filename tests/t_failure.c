#include "tests/lib.h"

#include "engine/failure.h"

static struct text_ref ref(const char *text)
{
	return (struct text_ref){ text, strlen(text) };
}

static const char *class_of(const char *code, const char *errors)
{
	struct seed_failure_input in = { .errors = ref(errors),
		                         .completion = ref(code),
		                         .code = ref(code) };

	return build_class_name(seed_failure_class(&in));
}

static void the_first_rule_that_holds_names_the_class(void **state)
{
	static const struct {
		const char *code, *errors, *name;
	} cases[] = {
		{ "fixture = box(", "TypeError", "syntax_closure" },
		{ "fixture = a[0", "", "syntax_closure" },
		{ "fixture = 1", "  SyntaxError: x\nNameError", "syntax_closure" },
		{ "fixture = 1", "IndentationError: x", "unknown_build_failure" },
		{ "x = 1", "AttributeError", "missing_fixture" },
		{ "myfixture = 1", "AttributeError", "missing_fixture" },
		{ "fixture = 1", "AttributeError: 'Workplane' ... NameError", "invented_api" },
		{ "fixture = cq.Workplane().sphere(2)", "NameError: x", "invented_api" },
		{ "fixture = 1", "NameError: TypeError", "undefined_name" },
		{ "fixture = 1", "TypeError: x", "type_or_value" },
		{ "fixture = 1", "OCP.StdFail.StdFail_NotDone: BRep_API: command not done",
		  "type_or_value" },
		{ "fixture = 1", "RecursionError: x", "unknown_build_failure" },
		{ "# ValueError in a comment\nfixture = 1", "RecursionError", "type_or_value" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(class_of(cases[i].code, cases[i].errors), cases[i].name);
}

static void only_the_first_thousand_characters_of_the_code_are_searched(void **state)
{
	char near[4096] = "fixture = 1\n", far[4096];

	(void)state;
	/* Characters, not bytes: each of these takes two. */
	for (int i = 0; i < 983; i++)
		strcat(near, "\xc3\xa9");
	strcpy(far, near);
	strcat(near, ".cone");
	strcat(far, " .cone");
	assert_string_equal(class_of(near, "x"), "invented_api"); /* 12 + 983 + 5 = 1000 */
	assert_string_equal(class_of(far, "x"), "unknown_build_failure");
}

static void what_builds_is_judged_by_its_terms(void **state)
{
	static const struct {
		double editability, semantic;
		const char *name;
	} cases[] = {
		{ 0.64, 0.9, "low_editability" },
		{ 0.64, 0.1, "low_editability" },
		{ 0.65, 0.44, "disconnected_or_weak" },
		{ 0.65, 0.45, "build_ok" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct seed_failure_input in = { .built = true,
			                         .editability = cases[i].editability,
			                         .semantic_parts = cases[i].semantic,
			                         .code = ref("(((") };
		assert_string_equal(build_class_name(seed_failure_class(&in)), cases[i].name);
		assert_string_equal(build_class_name(failure_class(CAUSE_OK, cases[i].editability,
		                                                   cases[i].semantic)),
		                    cases[i].name);
	}
	assert_int_equal(failure_class(CAUSE_OK, NAN, NAN), CLASS_BUILD_OK);
}

static void every_cause_has_a_word_a_label_and_a_class(void **state)
{
	(void)state;
	for (int i = 0; i < CAUSE_COUNT; i++) {
		enum build_cause back;
		enum build_cause c = (enum build_cause)i;
		assert_int_equal(build_cause_parse(build_cause_name(c), &back), 0);
		assert_int_equal(back, c);
		assert_true(strlen(build_cause_label(c)) > 0);
		assert_true(failure_class(c, 1, 1) < CLASS_COUNT);
		assert_int_equal(failure_class(c, 1, 1) == CLASS_BUILD_OK, c == CAUSE_OK);
	}
	enum build_cause c;
	assert_int_equal(build_cause_parse("nonsense", &c), -1);
	for (int i = 0; i < CLASS_COUNT; i++)
		assert_true(strlen(build_class_label((enum build_class)i)) > 0);
	assert_int_equal(failure_class(CAUSE_SYNTAX, NAN, NAN), CLASS_SYNTAX_CLOSURE);
	assert_int_equal(failure_class(CAUSE_NO_FINAL_OBJECT, NAN, NAN), CLASS_MISSING_FIXTURE);
	assert_int_equal(failure_class(CAUSE_BUILDER_LOST, NAN, NAN), CLASS_UNKNOWN_BUILD_FAILURE);
}

static void the_line_that_tells_is_the_last_with_a_word_of_trouble(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{ "Traceback (most recent call last):\n  File \"x\", line 1\nNameError: a\n",
		  "NameError: a" },
		{ "Traceback (most recent call last):\n  x\nStdFail_NotDone: BRep_API\n",
		  "Traceback (most recent call last):" },
		{ "one\n\n two \n\n", "two" },
		{ "", "" },
		{ "\n\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct text_ref line = seed_error_line(ref(cases[i].text));
		assert_int_equal(line.n, strlen(cases[i].line));
		if (line.n)
			assert_memory_equal(line.p, cases[i].line, line.n);
	}
	char longer[700];
	memset(longer, 'x', sizeof(longer));
	assert_int_equal(seed_error_line((struct text_ref){ longer, sizeof(longer) }).n, 500);
}

static void standard_error_ends_with_type_and_message_once(void **state)
{
	static const struct {
		const char *exception, *message, *traceback, *text;
	} cases[] = {
		{ "NameError", "x", NULL, "NameError: x\n" },
		{ "Standard_DomainError", NULL, "", "Standard_DomainError\n" },
		{ "NameError", "x", "Traceback\n  File\n", "Traceback\n  File\nNameError: x\n" },
		{ "NameError", "x", "Traceback\n  File\nNameError: x",
		  "Traceback\n  File\nNameError: x\n" },
		{ "Standard_DomainError", "", "Traceback\n  a\nOCP.Standard_DomainError\n",
		  "Traceback\n  a\nOCP.Standard_DomainError\n" },
		{ "ValueError", "two\nlines", "Traceback\n  a\nValueError: two\nlines\n",
		  "Traceback\n  a\nValueError: two\nlines\n" },
		{ NULL, NULL, "as it is", "as it is\n" },
		{ NULL, NULL, NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		seed_stderr(&b, cases[i].exception, cases[i].message, cases[i].traceback);
		assert_string_equal(buf_str(&b), cases[i].text);
		buf_release(&b);
	}
}

static void the_default_limits_are_those_of_the_manual(void **state)
{
	struct limits l;

	(void)state;
	limits_default(&l);
	assert_close(l.wall_s, 45, 0);
	assert_close(l.cpu_s, 40, 0);
	assert_close(l.score_cpu_s, 10, 0);
	assert_int_equal(l.memory_mib, 2048);
	assert_int_equal(l.output_kib, 512);
	assert_int_equal(l.brep_mib, 256);
	assert_int_equal(l.faces_max, 200000);
	assert_int_equal(l.triangles_max, 5000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_holds_names_the_class),
		cmocka_unit_test(only_the_first_thousand_characters_of_the_code_are_searched),
		cmocka_unit_test(what_builds_is_judged_by_its_terms),
		cmocka_unit_test(every_cause_has_a_word_a_label_and_a_class),
		cmocka_unit_test(the_line_that_tells_is_the_last_with_a_word_of_trouble),
		cmocka_unit_test(standard_error_ends_with_type_and_message_once),
		cmocka_unit_test(the_default_limits_are_those_of_the_manual),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
