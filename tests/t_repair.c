/*
 * t_repair.c - the prompt of a first try and of a repair: fresh, whole, by class, bounded.
 */
#include "tests/seed.h"

#include "engine/repair.h"
#include "src/base/utf8.h"

static struct prompt_set set;
static struct task task;

static const char task_text[] =
	"{\"format\": \"cadforge-task-1\", \"id\": \"stool\", \"level\": \"easy\", \"family\": \"furniture\","
	"\"bbox_mm\": [300, 300, 400], \"semantic_hints\": [\"seat\", \"leg\"],"
	"\"prompt\": \"A stool with four legs.\","
	"\"dimensions\": [{\"name\": \"height\", \"value_mm\": 400, \"about\": \"floor to seat\"}],"
	"\"expect\": {\"legs\": 4}, \"seed_box_over_height\": null, \"reference\": null,"
	"\"orientation\": \"free\", \"checks\": ["
	"{\"id\": \"legs\", \"kind\": \"section\", \"about\": \"four legs\", \"axis\": \"z\", \"at\": 0.2, \"want\": 4},"
	"{\"id\": \"box\", \"kind\": \"bbox_mm\", \"about\": \"the box\", \"want\": [300, 300, 400]}]}";

static int setup(void **state)
{
	static const char *const dirs[] = { SRCDIR "/tasks/prompts" };
	struct err e = { 0 };

	(void)state;
	if (prompt_set_load(&set, dirs, 1, PROMPTS_DEFAULT, &e) < 0 ||
	    task_parse(&task, task_text, strlen(task_text), "stool.json", &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	prompt_set_release(&set);
	task_release(&task);
	return 0;
}

/* The user's message of the repair of a turn with this score, program and log. */
static char *repair(const char *score, const char *program, const char *log, bool clipped)
{
	struct err e = { 0 };
	cJSON *json = json_parse(score, strlen(score), &e);

	if (!json)
		fail_msg("%s", e.text);
	struct repair_turn t = {
		.number = 3,
		.program = program,
		.program_len = strlen(program),
		.log = log,
		.log_len = strlen(log),
		.score = json,
		.clipped = clipped,
	};
	cJSON *messages = repair_messages(&set, &task, &t, &e);
	if (!messages)
		fail_msg("%s", e.text);
	assert_int_equal(cJSON_GetArraySize(messages), 2);
	char *text =
		strdup(json_string_or(cJSON_GetArrayItem(messages, 1), "content", "no content"));
	cJSON_Delete(messages);
	cJSON_Delete(json);
	return text;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in:\n%s", part, text);
}

static void a_first_try_is_the_system_text_and_the_task(void **state)
{
	struct err e = { 0 };
	struct buf text = { 0 };
	cJSON *m = repair_messages(&set, &task, NULL, &e);

	(void)state;
	assert_non_null(m);
	assert_int_equal(cJSON_GetArraySize(m), 2);
	assert_string_equal(json_string_or(cJSON_GetArrayItem(m, 0), "role", ""), "system");
	assert_string_equal(json_string_or(cJSON_GetArrayItem(m, 1), "role", ""), "user");
	has(json_string_or(cJSON_GetArrayItem(m, 0), "content", ""), "fixture");
	has(json_string_or(cJSON_GetArrayItem(m, 1), "content", ""), "A stool with four legs.");
	lacks(json_string_or(cJSON_GetArrayItem(m, 1), "content", ""), "last program");
	/* for a command both are one text, the system's first */
	repair_text(&text, m);
	const char *system = json_string_or(cJSON_GetArrayItem(m, 0), "content", "");
	assert_memory_equal(buf_str(&text), system, strlen(system));
	has(buf_str(&text), "\n\nA stool with four legs.");
	assert_int_equal(text.data[text.len - 1], '\n');
	buf_release(&text);
	cJSON_Delete(m);
}

#define FAILED(cls, rest)                                                                          \
	"{\"build\": {\"ok\": false, \"class\": \"" cls "\", " rest "}, "                          \
	"\"reward\": {\"total\": -0.6}, \"checks\": [], \"notes\": [\"a note\"]}"

static void every_class_has_a_text_that_quotes_the_program(void **state)
{
	(void)state;
	for (int c = 0; c < CLASS_COUNT; c++) {
		char score[400];
		bool built = c <= CLASS_DISCONNECTED_OR_WEAK;
		snprintf(score, sizeof(score),
		         "{\"build\": {\"ok\": %s, \"class\": \"%s\", \"error\": %s, \"line\": %s, "
		         "\"source\": %s}, \"reward\": {\"total\": 0.41}, \"checks\": [], "
		         "\"notes\": [\"use fewer faces\"]}",
		         built ? "true" : "false", build_class_name((enum build_class)c),
		         built ? "null" : "\"the message\"", built ? "null" : "17",
		         built ? "null" : "\"x = y\"");
		char *text = repair(score, "import cadquery as cq\nLEG = 7.25\n", "", false);
		has(text, "A stool with four legs.");
		has(text, "LEG = 7.25");
		/* what was broken, the reward and its notes, what to keep, what to change */
		char *json = strstr(text, "{\"total\": 0.410}");
		assert_non_null(json);
		memset(json, ' ', strlen("{\"total\": 0.410}"));
		has(text, "use fewer faces");
		if (!built)
			has(text, c == CLASS_SYNTAX_CLOSURE ? "Leave what was right" : "Keep ");
		has(text, "rite the whole program again");
		lacks(text, "{");
		lacks(text, "}");
		if (!built && c != CLASS_MISSING_FIXTURE)
			has(text, "the message");
		free(text);
	}
}

static void what_failed_is_named_with_its_line(void **state)
{
	char *text = repair(FAILED("invented_api",
	                           "\"cause\": \"attribute\", \"exception\": \"AttributeError\", "
	                           "\"error\": \"no attribute 'filet'; did you mean 'fillet'?\", "
	                           "\"line\": 12, \"column\": 4, \"source\": \"w.filet(2)\""),
	                    "w.filet(2)\n", "", false);

	(void)state;
	has(text, "AttributeError");
	has(text, "no attribute 'filet'; did you mean 'fillet'?");
	has(text, "12");
	has(text, "w.filet(2)");
	has(text, "a note");
	free(text);
}

static void a_cut_off_answer_is_told_so(void **state)
{
	const char *score =
		FAILED("syntax_closure", "\"cause\": \"syntax\", \"error\": \"'(' was "
	                                 "never closed\", \"line\": 2, \"source\": \"f(\"");
	char *text = repair(score, "x = 1\nf(", "", true);

	(void)state;
	has(text, "cut off");
	free(text);
	text = repair(score, "x = 1\nf(", "", false);
	lacks(text, "cut off");
	free(text);
}

static void checks_that_fell_short_come_costliest_first(void **state)
{
	char *text = repair(
		"{\"build\": {\"ok\": true, \"class\": \"build_ok\"}, \"reward\": {\"total\": 0.6125, "
		"\"topology\": 1, \"silhouette\": 0.4, \"editability\": null},"
		"\"checks\": ["
		"{\"id\": \"box\", \"want\": [300, null, 400], \"got\": [300, 20.5, 100], \"ok\": false, "
		"\"weight\": 1, \"score\": 0.9, \"why\": \"it is 300 mm too low\"},"
		"{\"id\": \"legs\", \"want\": [4, null], \"got\": 3, \"ok\": false, \"weight\": 2, \"score\": 0.75, "
		"\"why\": \"expected 4 separate faces\"},"
		"{\"id\": \"stands\", \"want\": \"yes\", \"got\": \"yes\", \"ok\": true, \"weight\": 1, "
		"\"score\": 1, \"why\": \"it is upright\"}], \"notes\": []}",
		"x = 1\n", "", false);

	(void)state;
	has(text, "0.613 of 1");
	has(text, "1 of 3 checks hold");
	has(text, "- four legs: wanted at least 4, got 3. expected 4 separate faces\n"
	          "- the box: wanted 300 x any x 400, got 300 x 20.5 x 100. it is 300 mm too low");
	lacks(text, "upright");
	has(text, "silhouette 0.400 of 1");
	/* a figure that there is not is not told, and neither is what is no figure's name */
	has(text, "Its reward: {\"total\": 0.613, \"topology\": 1.000, \"silhouette\": 0.400}\n");
	has(text, "holds, which must stay so: stands.");
	lacks(text, "- topology");
	lacks(text, "- editability");
	free(text);
}

static void what_a_check_wants_is_said_in_words(void **state)
{
	static const struct {
		const char *json, *words;
	} cases[] = {
		{ "4", "4" },
		{ "0.98", "0.98" },
		{ "[2, 6]", "2 to 6" },
		{ "[2, null]", "at least 2" },
		{ "[null, 0.5]", "at most 0.5" },
		{ "[500, null, 900]", "500 x any x 900" },
		{ "\"inside by 3 mm\"", "inside by 3 mm" },
		{ "[\"a\", \"b\"]", "a, b" },
		{ "true", "yes" },
		{ "null", "-" },
		{ "[null, null]", "any x any" },
		{ "[]", "" },
		{ "{}", "any" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		cJSON *v = json_parse(cases[i].json, strlen(cases[i].json), NULL);
		repair_value(&b, v);
		assert_string_equal(buf_str(&b), cases[i].words);
		buf_release(&b);
		cJSON_Delete(v);
	}
}

static void many_failed_checks_are_cut_to_a_dozen(void **state)
{
	struct buf score = { 0 };

	(void)state;
	buf_adds(&score, "{\"build\": {\"ok\": true, \"class\": \"build_ok\"}, \"reward\": {}, "
	                 "\"notes\": [], \"checks\": [");
	for (int i = 0; i < 20; i++)
		buf_printf(&score,
		           "%s{\"id\": \"check-%02d\", \"want\": 1, \"got\": 0, \"ok\": false, "
		           "\"weight\": 1, \"score\": 0, \"why\": \"\"}",
		           i ? "," : "", i);
	buf_adds(&score, "]}");
	char *text = repair(buf_str(&score), "x = 1\n", "", false);
	has(text, "check-11");
	lacks(text, "check-12");
	has(text, "- and 8 more");
	free(text);
	buf_release(&score);
}

static void a_long_program_keeps_its_head_and_its_tail(void **state)
{
	struct buf program = { 0 };
	const char *score = FAILED("undefined_name", "\"error\": \"x\"");

	(void)state;
	for (int i = 0; i < 2000; i++)
		buf_printf(&program, "name_%04d = %d\n", i, i);
	buf_adds(&program, "fixture = name_1999\n");
	char *text = repair(score, buf_str(&program), "", false);
	has(text, "name_0000 = 0\n");
	has(text, "lines are left out here ...\n");
	has(text, "name_1999 = 1999\nfixture = name_1999");
	lacks(text, "name_1000");
	assert_true(strlen(text) < REPAIR_PROGRAM_BYTES + 4000);
	/* the head is two thirds, in whole lines */
	const char *cut = strstr(text, "# ...");
	assert_true(cut - strstr(text, "name_0000") > REPAIR_PROGRAM_BYTES / 2);
	assert_int_equal(cut[-1], '\n');
	free(text);
	/* all in one line, of characters of three bytes */
	buf_clear(&program);
	for (int i = 0; i < 9000; i++)
		buf_adds(&program, "\xe2\x82\xac");
	text = repair(score, buf_str(&program), "", false);
	assert_true(strlen(text) < REPAIR_PROGRAM_BYTES + 4000);
	assert_true(utf8_valid(text, strlen(text), NULL));
	lacks(text, "\\x");
	free(text);
	buf_release(&program);
}

static void of_the_log_the_last_lines_are_shown(void **state)
{
	struct buf log = { 0 };

	(void)state;
	for (int i = 0; i < 900; i++)
		buf_printf(&log, "line %d\n", i);
	char *text = repair(FAILED("unknown_build_failure", "\"error\": \"x\""), "x = 1",
	                    buf_str(&log), false);
	has(text, "\nline 899");
	lacks(text, "line 100\n");
	free(text);
	buf_release(&log);
}

static void bytes_that_are_no_text_are_made_visible(void **state)
{
	char *text = repair(FAILED("syntax_closure", "\"error\": \"x\""), "x = \"\xff\x1b[31m\"\n",
	                    "", false);

	(void)state;
	has(text, "\\xff");
	has(text, "\\x1b[31m");
	free(text);
}

static void a_score_without_anything_still_makes_a_prompt(void **state)
{
	(void)state;
	free(repair("{}", "", "", false));
	free(repair("{\"build\": 3, \"reward\": [], \"checks\": {}, \"notes\": \"x\"}", "", "",
	            true));
	free(repair("{\"build\": {\"class\": \"no such class\"}, \"checks\": [1, null, {}, "
	            "{\"ok\": false}], \"notes\": [1, {}]}",
	            "", "", true));
}

static void the_same_turn_gives_the_same_prompt(void **state)
{
	const char *score = FAILED("type_or_value", "\"error\": \"x\", \"limit\": {\"name\": "
	                                            "\"wall_s\", \"limit\": 45, \"used\": 45.25}");
	char *a = repair(score, "x = 1\n", "said\n", false);
	char *b = repair(score, "x = 1\n", "said\n", false);

	(void)state;
	assert_string_equal(a, b);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_try_is_the_system_text_and_the_task),
		cmocka_unit_test(every_class_has_a_text_that_quotes_the_program),
		cmocka_unit_test(what_failed_is_named_with_its_line),
		cmocka_unit_test(a_cut_off_answer_is_told_so),
		cmocka_unit_test(checks_that_fell_short_come_costliest_first),
		cmocka_unit_test(what_a_check_wants_is_said_in_words),
		cmocka_unit_test(many_failed_checks_are_cut_to_a_dozen),
		cmocka_unit_test(a_long_program_keeps_its_head_and_its_tail),
		cmocka_unit_test(of_the_log_the_last_lines_are_shown),
		cmocka_unit_test(bytes_that_are_no_text_are_made_visible),
		cmocka_unit_test(a_score_without_anything_still_makes_a_prompt),
		cmocka_unit_test(the_same_turn_gives_the_same_prompt),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
