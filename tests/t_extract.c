#include "tests/seed.h"

#include "engine/extract.h"

static struct extract extract(enum extract_rule rule, const char *text)
{
	struct extract x;

	assert_int_equal(extract_program(&x, rule, text, strlen(text), NULL), 0);
	return x;
}

static void programs_are_those_that_pythons_patterns_find(void **state)
{
	cJSON *all = seed_vectors("text.json");
	const cJSON *item;

	(void)state;
	cJSON_ArrayForEach(item, at(all, "fences"))
	{
		const char *text = at(item, "text")->valuestring;
		const char *file = at(item, "file")->valuestring;
		const char *completion = at(item, "completion")->valuestring;
		struct extract x = extract(EXTRACT_FILE, text);
		if (strcmp(buf_str(&x.program), file) != 0)
			fail_msg("'%s': got '%s', want '%s'", text, buf_str(&x.program), file);
		assert_int_equal(x.fenced, cJSON_IsTrue(at(item, "fenced")));
		assert_memory_equal(text + x.offset, file, strlen(file));
		extract_release(&x);
		x = extract(EXTRACT_COMPLETION, text);
		if (strcmp(buf_str(&x.program), completion) != 0)
			fail_msg("'%s': got '%s', want '%s'", text, buf_str(&x.program),
			         completion);
		for (int i = 0; i < x.n_pieces; i++) {
			size_t end = i + 1 < x.n_pieces ? x.pieces[i + 1].at : x.program.len;
			assert_memory_equal(text + x.pieces[i].source, completion + x.pieces[i].at,
			                    end - x.pieces[i].at);
		}
		extract_release(&x);
	}
	cJSON_Delete(all);
}

static void lines_of_the_program_are_found_again_in_the_text(void **state)
{
	const char *text = "Here it is:\n\n```python\n\nimport cadquery as cq\nx = 1\n```\nbye\n";
	struct extract x = extract(EXTRACT_FILE, text);

	(void)state;
	assert_string_equal(buf_str(&x.program), "import cadquery as cq\nx = 1");
	assert_true(x.fenced);
	assert_false(x.clipped);
	assert_int_equal(x.line_offset, 4);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 1), 5);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 2), 6);
	extract_release(&x);
}

static void lines_after_a_thought_in_the_middle_are_found_too(void **state)
{
	const char *text =
		"<think>a\nb</think>hm\nimport cadquery as cq\n<think>\n\n\n</think>x = 1\ny = 2\n";
	struct extract x = extract(EXTRACT_COMPLETION, text);

	(void)state;
	assert_string_equal(buf_str(&x.program), "import cadquery as cq\nx = 1\ny = 2");
	assert_int_equal(x.n_pieces, 2);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 1), 3);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 2), 7);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 3), 8);
	extract_release(&x);
}

static void a_fence_without_an_end_is_clipped(void **state)
{
	static const struct {
		const char *text;
		bool clipped;
	} cases[] = {
		{ "```python\nx = 1", true },       { "```python\nx = 1\n``", true },
		{ "```python\nx = 1\n```", false }, { "x = 1", false },
		{ "```text is no opening", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct extract x = extract(EXTRACT_FILE, cases[i].text);
		assert_int_equal(x.clipped, cases[i].clipped);
		extract_release(&x);
	}
	struct extract x = extract(EXTRACT_COMPLETION, "<think>and then it stops");
	assert_true(x.clipped);
	extract_release(&x);
}

#define IMPORT "import cadquery as cq\n"

static void an_answer_has_its_program_wherever_models_put_it(void **state)
{
	static const struct {
		const char *text, *program;
		bool fenced, clipped;
	} cases[] = {
		{ IMPORT "fixture = 1\n", IMPORT "fixture = 1", false, false },
		{ "import math\n" IMPORT "x = 1", "import math\n" IMPORT "x = 1", false, false },
		{ "Sure! Here is the part:\n\n" IMPORT "x = 1", IMPORT "x = 1", false, false },
		{ "# a chair\n" IMPORT, "# a chair\nimport cadquery as cq", false, false },
		{ "H = 3.0\nx = H", "H = 3.0\nx = H", false, false },
		{ "Text.\n```python\nx = 1\n```\nbye", "x = 1", true, false },
		{ "~~~py\nx = 1\n~~~", "x = 1", true, false },
		{ "```\nx = 1\n```", "x = 1", true, false },
		/* a step first, then the whole; the whole first, then a detail of it */
		{ "First ```x```:\n```python\nbox(1, 2, 3)\n```\nAll:\n```python\n" IMPORT
		  "x = 1\n```",
		  IMPORT "x = 1", true, false },
		{ "```python\n" IMPORT
		  "x = 1\n```\nwhere\n```python\nx = 1  # is a very long remark on it\n```",
		  IMPORT "x = 1", true, false },
		{ "```python\n" IMPORT "x = 1\n```\nWait, better:\n```python\n" IMPORT "x = 2\n```",
		  IMPORT "x = 2", true, false },
		{ "```python\na = 1\nb = 2\n```\n```python\nc = 3\n```", "a = 1\nb = 2", true,
		  false },
		{ "```bash\npip install cadquery\n```\n```python\nx = 1\n```", "x = 1", true,
		  false },
		/* cut off */
		{ "Here:\n```python\n" IMPORT "x = (1,", IMPORT "x = (1,", false, true },
		{ "```python\n" IMPORT "x = 1\n```\nor\n```python\n" IMPORT "y", IMPORT "y", false,
		  true },
		/* thoughts */
		{ "<think>import cadquery as cq\nno</think>\n```python\nx = 1\n```", "x = 1", true,
		  false },
		{ "so ```python\nno\n```\n</think>\n\n```python\nx = 1\n```", "x = 1", true,
		  false },
		{ "a</think>" IMPORT "x = 1", IMPORT "x = 1", false, false },
		/* nothing in it that is a program: as it stands */
		{ "I can not do that.", "I can not do that.", false, false },
		{ "", "", false, false },
		{ "```python\n```", "", true, false },
		{ "```", "", false, true },
		{ "from here on: nothing", "from here on: nothing", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *text = cases[i].text;
		struct extract x = extract(EXTRACT_ANSWER, text);
		if (strcmp(buf_str(&x.program), cases[i].program) != 0 ||
		    x.fenced != cases[i].fenced || x.clipped != cases[i].clipped)
			fail_msg("'%s': got '%s'%s%s", text, buf_str(&x.program),
			         x.fenced ? ", fenced" : "", x.clipped ? ", clipped" : "");
		assert_memory_equal(text + x.offset, cases[i].program, x.program.len);
		extract_release(&x);
	}
	const char *text = "hm\n</think>\nso\n```python\nx = 1\ny = 2\n```\n";
	struct extract x = extract(EXTRACT_ANSWER, text);
	assert_int_equal(extract_source_line(&x, text, strlen(text), 2), 6);
	extract_release(&x);
}

static void any_bytes_are_a_text(void **state)
{
	static const char text[] = "\xff\0```\xe2\x80\n x \xe3\x80```py\n\0a\x85\n```\xa0";
	struct extract x;

	(void)state;
	assert_int_equal(extract_program(&x, EXTRACT_FILE, text, sizeof(text) - 1, NULL), 0);
	assert_int_equal(x.program.len, 3);
	assert_memory_equal(x.program.data, "\0a\x85", 3);
	extract_release(&x);
	extract_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_those_that_pythons_patterns_find),
		cmocka_unit_test(lines_of_the_program_are_found_again_in_the_text),
		cmocka_unit_test(lines_after_a_thought_in_the_middle_are_found_too),
		cmocka_unit_test(a_fence_without_an_end_is_clipped),
		cmocka_unit_test(an_answer_has_its_program_wherever_models_put_it),
		cmocka_unit_test(any_bytes_are_a_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
