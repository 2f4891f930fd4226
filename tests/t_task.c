#include "tests/lib.h"

#include "engine/task.h"

static struct task_pack ours(void)
{
	struct task_pack p;
	struct err e;

	if (task_pack_load(&p, SRCDIR "/tasks", &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void the_pack_holds_24_tasks_of_three_levels(void **state)
{
	struct task_pack p = ours();
	int levels[3] = { 0 };

	(void)state;
	assert_int_equal(p.n, 24);
	for (int i = 0; i < p.n; i++) {
		levels[p.tasks[i].level]++;
		assert_true(p.tasks[i].n_hints >= 3);
		assert_true(strlen(p.tasks[i].prompt) > 40);
		assert_true(cJSON_GetArraySize(p.tasks[i].expect) > 0);
	}
	for (int l = 0; l < 3; l++)
		assert_true(levels[l] > 0);
	task_pack_release(&p);
	task_pack_release(&p);
}

static void a_task_is_found_by_its_id(void **state)
{
	struct task_pack p = ours();
	struct err e;
	const struct task *t = task_find(&p, "table_six_leg_500n", &e);

	(void)state;
	assert_non_null(t);
	assert_close(t->bbox_mm[0], 900, 0);
	assert_close(t->seed_box_over_height[0], 0.7229, 0);
	assert_string_equal(t->hints[1], "six_leg");
	assert_string_equal(task_level_name(t->level), "easy");
	task_pack_release(&p);
}

static void a_miss_names_the_nearest(void **state)
{
	static const struct {
		const char *id, *near;
	} cases[] = {
		{ "four_leg_chair_700", "four_leg_chair_700n" },
		{ "table_six_legs", "table_six_leg_500n" },
		{ "stator", "axial_motor_stator_12_slot" },
		{ "bench_vice_simplified", "bench_vise_simplified" },
		{ "", "nearest" },
		{ "a_name_that_is_longer_than_any_identifier_could_ever_be_in_this_pack_x",
		  "tasks/cadforge/tasks.json" },
	};
	struct task_pack p = ours();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e;
		assert_null(task_find(&p, cases[i].id, &e));
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, cases[i].near);
	}
	task_pack_release(&p);
}

#define TASK(more)                                                                                 \
	"{\"format\": \"cadforge-tasks-1\", \"tasks\": [{\"id\": \"a\", \"level\": \"easy\", "     \
	"\"family\": \"f\", \"bbox_mm\": [1, 2, 3], \"semantic_hints\": [\"leg\"], \"prompt\": "   \
	"\"p\", \"expect\": {}, \"seed_box_over_height\": [1, 1, 1]" more "}]}"

static void mistakes_are_named_by_task_and_key(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "JSON" },
		{ "{", "JSON" },
		{ "[]", "an object with" },
		{ "{}", "format: a string wanted, got nothing" },
		{ "{\"format\": \"x\"}", "\"cadforge-tasks-1\" wanted, got \"x\"" },
		{ "{\"format\": \"cadforge-tasks-1\"}", "tasks: an array" },
		{ "{\"format\": \"cadforge-tasks-1\", \"tasks\": [], \"more\": 1}",
		  "more: no such key" },
		{ "{\"format\": \"cadforge-tasks-1\", \"tasks\": [1]}",
		  "tasks[0]: an object wanted" },
		{ "{\"format\": \"cadforge-tasks-1\", \"tasks\": [{\"id\": \"A b\"}]}",
		  "tasks[0]: id: letters" },
		{ "{\"format\": \"cadforge-tasks-1\", \"tasks\": [{\"id\": \"a\", \"level\": \"x\"}]}",
		  "tasks[0]: a: level: easy, medium or hard wanted, got \"x\"" },
		{ TASK(", \"id\": \"b\""), "id: the key is there twice" },
		{ TASK(", \"colour\": 1"), "colour: no such key" },
	};
	struct task_pack p;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(
			task_pack_parse(&p, cases[i].text, strlen(cases[i].text), "f.json", &e),
			-1);
		assert_contains(e.text, "f.json: ");
		assert_contains(e.text, cases[i].why);
	}
	const char *good = TASK("");
	if (task_pack_parse(&p, good, strlen(good), "f.json", &e) < 0)
		fail_msg("%s", e.text);
	task_pack_release(&p);
	assert_int_equal(task_pack_load(&p, "/nowhere", &e), -1);
	assert_contains(e.text, "/nowhere/cadforge/tasks.json");
}

static void every_key_of_a_task_is_checked(void **state)
{
	static const struct {
		const char *old, *now, *why;
	} cases[] = {
		{ "\"easy\"", "3", "level: a string" },
		{ "\"f\"", "\"\"", "family: 1 to" },
		{ "[1, 2, 3]", "[1, 2]", "bbox_mm: 3 numbers wanted, got 2" },
		{ "[1, 2, 3]", "[1, 0, 3]", "bbox_mm[1]: a length above 0" },
		{ "[1, 2, 3]", "[1, 2, \"3\"]", "bbox_mm[2]: a number" },
		{ "[\"leg\"]", "[]", "semantic_hints" },
		{ "[\"leg\"]", "[\"leg\", 4]", "semantic_hints[1]" },
		{ "\"p\"", "null", "prompt: a string" },
		{ "{}", "[]", "expect: an object" },
		{ "[1, 1, 1]", "[1, 1, 1e99]", "seed_box_over_height[2]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *good = TASK(""), *place = strstr(good, cases[i].old);
		struct buf b = { 0 };
		struct task_pack p;
		struct err e;
		assert_non_null(place);
		buf_add(&b, good, (size_t)(place - good));
		buf_adds(&b, cases[i].now);
		buf_adds(&b, place + strlen(cases[i].old));
		assert_int_equal(task_pack_parse(&p, b.data, b.len, "f.json", &e), -1);
		assert_contains(e.text, "f.json: tasks[0]: a: ");
		assert_contains(e.text, cases[i].why);
		buf_release(&b);
	}
}

static void a_damaged_pack_is_refused_or_harmless(void **state)
{
	struct buf b = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(buf_read_file(&b, SRCDIR "/tasks/cadforge/tasks.json", 1 << 20, &e), 0);
	for (size_t i = 0; i < b.len; i += 97) {
		struct task_pack p;
		char old = b.data[i];
		b.data[i] = (char)(old ^ 0x21);
		if (task_pack_parse(&p, b.data, b.len, "f", &e) == 0)
			task_pack_release(&p);
		b.data[i] = old;
		assert_int_equal(task_pack_parse(&p, b.data, i, "f", &e), -1);
	}
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pack_holds_24_tasks_of_three_levels),
		cmocka_unit_test(a_task_is_found_by_its_id),
		cmocka_unit_test(a_miss_names_the_nearest),
		cmocka_unit_test(mistakes_are_named_by_task_and_key),
		cmocka_unit_test(every_key_of_a_task_is_checked),
		cmocka_unit_test(a_damaged_pack_is_refused_or_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
