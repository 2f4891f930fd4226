/*
 * t_jsonl.c - completions as data sets have them, and every way in which a line is none.
 */
#include "tests/lib.h"

#include "src/jsonl.h"

static struct jsonl_completion parse(const char *line)
{
	struct jsonl_completion c;
	struct err e = { 0 };

	if (jsonl_completion_parse(&c, line, strlen(line), &e) < 0)
		fail_msg("%s: %s", line, e.text);
	return c;
}

static const char *message(const struct jsonl_completion *c, int i, const char *key)
{
	return json_string_or(cJSON_GetArrayItem(c->prompt, i), key, "not there");
}

static void a_line_has_task_prompt_and_completion(void **state)
{
	struct jsonl_completion c = parse(
		"{\"task\": \"hook\", \"prompt\": \"A hook.\", \"completion\": \"x = 1\\n\", "
		"\"model\": \"small\", \"adapter\": \"sft\", \"finish\": \"length\", \"more\": [1]}");

	(void)state;
	assert_string_equal(c.task, "hook");
	assert_string_equal(c.completion, "x = 1\n");
	assert_string_equal(c.model, "small");
	assert_string_equal(c.adapter, "sft");
	assert_string_equal(c.finish, "length");
	assert_int_equal(cJSON_GetArraySize(c.prompt), 1);
	assert_string_equal(message(&c, 0, "role"), "user");
	assert_string_equal(message(&c, 0, "content"), "A hook.");
	jsonl_completion_release(&c);
	jsonl_completion_release(&c);
}

static void a_prompt_is_messages_or_is_missing(void **state)
{
	struct jsonl_completion c = parse(
		"{\"task_id\": \"hook\", \"completion\": [{\"role\": \"assistant\", "
		"\"content\": \"y\"}], \"prompt\": [{\"role\": \"system\", \"content\": \"s\", "
		"\"name\": 3}, {\"role\": \"user\", \"content\": \"u\"}]}");

	(void)state;
	assert_string_equal(c.task, "hook");
	assert_string_equal(c.completion, "y");
	assert_int_equal(cJSON_GetArraySize(c.prompt), 2);
	assert_string_equal(message(&c, 1, "content"), "u");
	assert_string_equal(message(&c, 0, "name"), "not there");
	jsonl_completion_release(&c);
	c = parse("{\"completion\": \"\", \"prompt\": null, \"task\": null, \"model\": null}");
	assert_null(c.task);
	assert_null(c.prompt);
	assert_null(c.model);
	assert_string_equal(c.completion, "");
	jsonl_completion_release(&c);
}

static void a_conversation_ends_with_the_completion(void **state)
{
	struct jsonl_completion c = parse(
		"{\"task\": \"hook\", \"messages\": [{\"role\": \"user\", \"content\": \"u\"}, "
		"{\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": "
		"\"v\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}");

	(void)state;
	assert_string_equal(c.completion, "b");
	assert_int_equal(cJSON_GetArraySize(c.prompt), 3);
	assert_string_equal(message(&c, 2, "content"), "v");
	jsonl_completion_release(&c);
}

static void what_is_no_completion_is_told_with_its_key(void **state)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
		{ "", "" },
		{ "{", "" },
		{ "{\"task\": \"hook\"", "" },
		{ "null", "an object was expected, got null" },
		{ "[]", "an object was expected, got a list" },
		{ "\"x\"", "an object was expected, got a text" },
		{ "{}", "completion: a text was expected, and there is none" },
		{ "{\"completion\": 3}", "completion: a text was expected, got a number" },
		{ "{\"completion\": {}}", "completion: a text was expected, got an object" },
		{ "{\"completion\": []}", "completion: an empty list" },
		{ "{\"completion\": [3]}", "completion[0]: an object" },
		{ "{\"completion\": [{\"role\": \"user\", \"content\": \"x\"}]}",
		  "got role 'user'" },
		{ "{\"completion\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": "
		  "\"assistant\", \"content\": \"x\"}]}",
		  "one message was expected, got 2" },
		{ "{\"completion\": \"x\", \"task\": 4}",
		  "task: a text was expected, got a number" },
		{ "{\"completion\": \"x\", \"prompt\": true}", "prompt: a text or a list" },
		{ "{\"completion\": \"x\", \"prompt\": []}", "prompt: an empty list" },
		{ "{\"completion\": \"x\", \"prompt\": [{\"role\": \"user\"}]}",
		  "prompt[0].content: a text was expected, got nothing" },
		{ "{\"completion\": \"x\", \"prompt\": [{\"content\": \"user\"}]}",
		  "prompt[0].role: a text was expected, got nothing" },
		{ "{\"completion\": \"x\", \"finish\": []}", "finish: a text was expected" },
		{ "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
		  "messages: the last message" },
		{ "{\"completion\": \"x\"} trailing", "" },
		{ "{\"completion\": \"\xff\"}", "byte 17 is no UTF-8" },
		{ "{\"completion\": \"a\\u0000b\"}", "byte 18: a NUL" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct jsonl_completion c = { 0 };
		struct err e = { 0 };
		assert_int_equal(
			jsonl_completion_parse(&c, cases[i].line, strlen(cases[i].line), &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		if (!strstr(e.text, cases[i].words) || !e.text[0])
			fail_msg("%s: '%s' is not in: %s", cases[i].line, cases[i].words, e.text);
	}
}

static void a_backslash_before_u0000_is_no_nul(void **state)
{
	struct jsonl_completion c = parse("{\"completion\": \"a\\\\u0000b\"}");

	(void)state;
	assert_string_equal(c.completion, "a\\u0000b");
	jsonl_completion_release(&c);
}

static void any_bytes_can_be_said_in_json(void **state)
{
	static const char bytes[] = "a\0b\xff\xc3(\xe2\x82\xac";
	struct buf b = { 0 };

	(void)state;
	assert_true(jsonl_text(&b, bytes, sizeof(bytes) - 1));
	assert_string_equal(buf_str(&b), "a\xef\xbf\xbd"
	                                 "b\xef\xbf\xbd\xef\xbf\xbd(\xe2\x82\xac");
	buf_clear(&b);
	assert_false(jsonl_text(&b, "plain \xc3\xa4\n", 9));
	assert_string_equal(buf_str(&b), "plain \xc3\xa4\n");
	buf_release(&b);
	assert_true(jsonl_blank(" \t\r\n", 4));
	assert_true(jsonl_blank("", 0));
	assert_false(jsonl_blank(" x", 2));
}

static void a_table_kept_by_column_has_rows(void **state)
{
	static const char table[] =
		"{\"step\":3,\"task\":[\"a\",\"b\"],\"completion\":[\"x\",\"y\"],\"reward\":[1]}";
	static const char *const none[] = { "{\"completion\":\"x\"}",
		                            "{\"completion\":[{\"role\":\"assistant\"}]}",
		                            "{\"completion\":[]}", "[1]", "{" };
	struct buf b = { 0 };

	(void)state;
	cJSON *o = jsonl_columns(table, strlen(table));
	assert_non_null(o);
	for (int i = 0; i < 3; i++) {
		cJSON *row = jsonl_row(o, i);
		json_print(&b, row);
		buf_addc(&b, '\n');
		cJSON_Delete(row);
	}
	cJSON_Delete(o);
	assert_string_equal(buf_str(&b),
	                    "{\"step\":3,\"task\":\"a\",\"completion\":\"x\",\"reward\":1}\n"
	                    "{\"step\":3,\"task\":\"b\",\"completion\":\"y\"}\n{\"step\":3}\n");
	buf_release(&b);
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_null(jsonl_columns(none[i], strlen(none[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_task_prompt_and_completion),
		cmocka_unit_test(a_prompt_is_messages_or_is_missing),
		cmocka_unit_test(a_conversation_ends_with_the_completion),
		cmocka_unit_test(what_is_no_completion_is_told_with_its_key),
		cmocka_unit_test(a_backslash_before_u0000_is_no_nul),
		cmocka_unit_test(a_table_kept_by_column_has_rows),
		cmocka_unit_test(any_bytes_can_be_said_in_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
