#include "tests/lib.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/checks.h"
#include "engine/task.h"

static const char *const our_dir = SRCDIR "/tasks";

static struct task_set ours(void)
{
	struct task_set s;
	struct err e;

	if (task_set_load(&s, &our_dir, 1, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

/* ---- a folder of packs made for one test ---- */

struct place {
	char dir[64];
};

static void place_make(struct place *p)
{
	strcpy(p->dir, "/tmp/t_task.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
}

static void place_remove(struct place *p)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	assert_int_equal(system(command), 0);
}

/* Writes @text to @name in the place, with the folders before it. */
static void put(const struct place *p, const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	for (char *c = path + strlen(p->dir) + 1; *c; c++)
		if (*c == '/') {
			*c = 0;
			assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
			*c = '/';
		}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#define PACK "{\"format\": \"cadforge-pack-1\", \"name\": \"p\", \"about\": \"a\"}"
#define SOLIDS                                                                                     \
	"{\"id\": \"one\", \"kind\": \"solids\", \"want\": 1, \"about\": \"one solid\", "          \
	"\"covers\": [\"legs\"]}"
#define TASK_OF(id, more)                                                                          \
	"{\n\"format\": \"cadforge-task-1\",\n\"id\": \"" id "\",\n\"level\": \"easy\",\n"         \
	"\"family\": \"f\",\n\"bbox_mm\": [1, 2, 3],\n\"semantic_hints\": [\"leg\"],\n"            \
	"\"prompt\": \"p\",\n\"dimensions\": [{\"name\": \"w\", \"value_mm\": 1, "                 \
	"\"about\": \"X\"}],\n\"expect\": {\"legs\": 4},\n\"seed_box_over_height\": null,\n"       \
	"\"reference\": \"references/r.py\",\n\"checks\": [" SOLIDS "]" more "\n}\n"
#define TASK TASK_OF("a", "")

static void the_pack_holds_25_tasks_of_three_levels(void **state)
{
	struct task_set s = ours();
	int levels[3] = { 0 };

	(void)state;
	for (int i = 0; i < s.left_out.n; i++)
		fail_msg("%s:%d: %s", s.left_out.v[i].file, s.left_out.v[i].line,
		         s.left_out.v[i].text);
	assert_int_equal(s.n, 25);
	assert_int_equal(s.n_packs, 1);
	assert_int_equal(s.packs[0].n_tasks, 25);
	for (int i = 0; i < s.n; i++) {
		levels[s.tasks[i].level]++;
		assert_true(s.tasks[i].n_hints >= 3);
		assert_true(s.tasks[i].n_dimensions >= 2);
		assert_true(strlen(s.tasks[i].prompt) > 40);
		assert_true(cJSON_GetArraySize(s.tasks[i].expect) > 0);
		assert_non_null(s.tasks[i].reference);
		assert_string_equal(s.tasks[i].pack, "cadforge");
	}
	for (int l = 0; l < 3; l++)
		assert_true(levels[l] > 0);
	task_set_release(&s);
	task_set_release(&s);
}

static void a_task_is_found_by_its_id(void **state)
{
	struct task_set s = ours();
	struct err e;
	const struct task *t = task_find(&s, "table_six_leg_500n", &e);

	(void)state;
	assert_non_null(t);
	assert_close(t->bbox_mm[0], 900, 0);
	assert_true(t->has_seed_box);
	assert_close(t->seed_box_over_height[0], 0.7229, 0);
	assert_string_equal(t->hints[1], "six_leg");
	assert_string_equal(t->dimensions[0].name, "top_length");
	assert_close(t->dimensions[0].value_mm, 900, 0);
	assert_string_equal(task_level_name(t->level), "easy");
	t = task_find(&s, "office_chair", &e);
	assert_non_null(t);
	assert_false(t->has_seed_box);
	assert_int_equal(t->level, TASK_HARD);
	task_set_release(&s);
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
		  "'cadforge tasks' lists all" },
	};
	struct task_set s = ours();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e;
		assert_null(task_find(&s, cases[i].id, &e));
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, cases[i].near);
	}
	task_set_release(&s);
}

static void a_mistake_is_named_by_line_and_field(void **state)
{
	static const struct {
		const char *old, *now, *why;
	} cases[] = {
		{ TASK, "", "f.json:1: column 1: the JSON text ends too early" },
		{ TASK, "{", "f.json:1: column 1: not JSON" },
		{ TASK, "[]", "f.json:1: an object wanted" },
		{ "\"easy\",", "\"easy\",,", "f.json:4: column 18: not JSON" },
		{ "\"easy\"", "3", "f.json:4: level: a string wanted, got a number" },
		{ "\"easy\"", "\"eazy\"",
		  "f.json:4: level: easy, medium or hard wanted, got \"eazy\"" },
		{ "\"cadforge-task-1\"", "\"cadforge-tasks-1\"",
		  "f.json:2: format: \"cadforge-task-1\" wanted, got \"cadforge-tasks-1\"" },
		{ "\"a\"", "\"A b\"", "f.json:3: id: a name of letters a-z" },
		{ "\"family\": \"f\",\n", "", "f.json:1: family: a string wanted, got nothing" },
		{ "\"f\"", "\"\"", "f.json:5: family: 1 to 200 bytes wanted, got 0" },
		{ "[1, 2, 3]", "[1, 2]", "f.json:6: bbox_mm: 3 numbers wanted, got 2" },
		{ "[1, 2, 3]", "[1,\n0,\n3]", "f.json:7: bbox_mm[1]: a length above 0" },
		{ "[1, 2, 3]", "[1, 2, \"3\"]", "f.json:6: bbox_mm[2]: a number" },
		{ "[\"leg\"]", "[]",
		  "f.json:7: semantic_hints: an array of 1 to 100 words wanted, got 0" },
		{ "[\"leg\"]", "[\"leg\", 4]", "f.json:7: semantic_hints[1]: a word wanted" },
		{ "\"p\"", "null", "f.json:8: prompt: a string wanted, got null" },
		{ "\"w\"", "\"3w\"", "f.json:9: dimensions[0]: name: a Python name" },
		{ "\"value_mm\": 1", "\"value_mm\": -1",
		  "f.json:9: dimensions[0]: value_mm: a length above 0 and up to 1e+07 wanted, "
		  "got -1" },
		{ "\"value_mm\": 1", "\"value\": 1",
		  "f.json:9: dimensions[0]: value: no such key" },
		{ "{\"legs\": 4}", "[]", "f.json:10: expect: an object of facts wanted" },
		{ "{\"legs\": 4}", "{\"legs\": {}}", "f.json:10: expect.legs: a number" },
		{ "{\"legs\": 4}", "{\"legs\": 4, \"legs\": 5}",
		  "expect.legs: the key is there "
		  "twice" },
		{ "{\"legs\": 4}", "{\"feet\": 4}",
		  "f.json:13: checks: one: covers: expect has no \"legs\"" },
		{ "null", "[1, 1, 1e99]", "f.json:11: seed_box_over_height[2]" },
		{ "references/r.py", "references/r.dwg", "f.json:12: reference: a .py, .step" },
		{ "references/r.py", "/etc/r.py", "f.json:12: reference: a path inside the pack" },
		{ "references/r.py", "a/../../r.py",
		  "f.json:12: reference: a path inside the pack" },
		{ "\"references/r.py\"", "7", "f.json:12: reference: a string wanted" },
		{ "\"checks\": [" SOLIDS "]", "\"checks\": [3]",
		  "f.json:13: checks[0]: check: an object wanted" },
		{ "\"checks\": [" SOLIDS "]", "\"checks\": 3", "f.json:13: checks: an array" },
		{ "[" SOLIDS "]", "[" SOLIDS ",\n" SOLIDS "]",
		  "f.json:14: checks[1]: id: another check is \"one\" too" },
		{ "\"want\": 1", "\"want\":\n\"one\"", "f.json:14: check \"one\": want: " },
		{ "\"solids\"", "\"solid\"", "f.json:13: check \"one\": kind: " },
		{ "\"semantic_hints\"", "\"semantic_hint\"",
		  "f.json:7: semantic_hint: no such key; did you mean \"semantic_hints\"?" },
		{ "\"prompt\": \"p\"", "\"prompt\": \"p\",\n\"prompt\": \"q\"",
		  "f.json:9: prompt: the key is there twice" },
		{ "\"p\"", "\"\xff\"", "f.json:8: byte 0xff is no UTF-8" },
		{ "\"p\"", "\"p\\u0000q\"", "f.json:8: \\u0000 in a text" },
		{ "\"p\"", "\"p\\u001b[2J\"",
		  "f.json:8: prompt: a sign that is not seen, \"\\x1b\": leave it out" },
		{ "\"p\"", "\"a \xe2\x80\xae b\"",
		  "f.json:8: prompt: a sign that is not seen, \"\\u202e\": leave it out" },
		{ "\"checks\"", "\"orientation\": \"any\", \"checks\"",
		  "f.json:13: orientation: free or fixed wanted, got \"any\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *good = TASK, *place = strstr(good, cases[i].old);
		struct buf b = { 0 };
		struct task t;
		struct err e;
		assert_non_null(place);
		buf_add(&b, good, (size_t)(place - good));
		buf_adds(&b, cases[i].now);
		buf_adds(&b, place + strlen(cases[i].old));
		assert_int_equal(task_parse(&t, b.data, b.len, "f.json", &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, cases[i].why);
		buf_release(&b);
	}
}

static void a_good_task_is_read_whole(void **state)
{
	struct task t;
	struct err e;
	const char *good = TASK_OF("a", ",\n\"orientation\": \"fixed\"");

	(void)state;
	if (task_parse(&t, good, strlen(good), "some/where/a.json", &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(t.reference, "some/where/references/r.py");
	assert_int_equal(t.orientation, TASK_FIXED);
	assert_int_equal(t.n_checks, 1);
	assert_string_equal(t.file, "some/where/a.json");
	task_release(&t);
	task_release(&t);
}

static void all_mistakes_are_told_not_only_the_first(void **state)
{
	struct task_problems p = { 0 };
	struct task t;
	const char *bad =
		"{\"format\": \"x\", \"id\": \"A\", \"level\": 1, \"bbox_mm\": [0, -1, 2],"
		"\"checks\": [{\"id\": \"c\", \"kind\": \"cube\"}, 3], \"extra\": 1}";

	(void)state;
	assert_int_equal(task_read(&t, bad, strlen(bad), "f", true, &p), -1);
	assert_true(p.n >= 12);
	assert_int_equal(p.errors, p.n);
	task_problems_release(&p);
	task_problems_release(&p);
}

static void a_damaged_task_is_refused_or_harmless(void **state)
{
	struct buf b = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(
		buf_read_file(&b, SRCDIR "/tasks/cadforge/four_leg_chair_700n.json", 1 << 20, &e),
		0);
	size_t last = b.len - 3; /* before the closing brace */
	for (size_t i = 0; i < b.len; i += 7) {
		struct task_problems p = { 0 };
		struct task t;
		char old = b.data[i];
		b.data[i] = (char)(old ^ 0x21);
		if (task_read(&t, b.data, b.len, "f", true, &p) == 0)
			task_release(&t);
		else
			assert_true(p.errors > 0);
		b.data[i] = old;
		task_problems_release(&p);
		if (i < last)
			assert_int_equal(task_parse(&t, b.data, i, "f", &e), -1);
	}
	buf_release(&b);
}

static void a_bad_task_is_left_out_and_the_others_come_in(void **state)
{
	struct place p;
	struct task_set s;
	struct err e;
	const char *dir = p.dir;

	(void)state;
	place_make(&p);
	put(&p, "one/pack.json", PACK);
	put(&p, "one/a.json", TASK_OF("a", ""));
	put(&p, "one/b.json", TASK_OF("a", ""));
	put(&p, "one/c.json", "{");
	put(&p, "two/a.json", TASK_OF("a", ""));
	put(&p, "prompts/x/set.json", "{}");
	put(&p, "note.txt", "not a folder");
	assert_int_equal(task_set_load(&s, &dir, 1, &e), 0);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.tasks[0].id, "a");
	assert_int_equal(s.n_packs, 1);
	assert_int_equal(s.left_out.n, 3);
	assert_contains(s.left_out.v[0].file, "one/b.json");
	assert_int_equal(s.left_out.v[0].line, 3);
	assert_contains(s.left_out.v[0].text, "id: \"b\" wanted, as the file is called, got \"a\"");
	assert_contains(s.left_out.v[2].file, "two/pack.json");
	assert_null(task_find(&s, "c", &e));
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "one/c.json:1: ");
	task_set_release(&s);
	place_remove(&p);
}

static void of_two_folders_the_first_one_s_task_counts(void **state)
{
	struct place p;
	struct task_set s;
	struct err e;
	char first[100], second[100];

	(void)state;
	place_make(&p);
	put(&p, "1/mine/pack.json", PACK);
	put(&p, "1/mine/a.json", TASK_OF("a", ""));
	put(&p, "2/theirs/pack.json", PACK);
	put(&p, "2/theirs/a.json", TASK_OF("a", ""));
	put(&p, "2/theirs/b.json", TASK_OF("b", ""));
	snprintf(first, sizeof(first), "%s/1", p.dir);
	snprintf(second, sizeof(second), "%s/2", p.dir);
	const char *dirs[] = { first, second, "/nowhere/at/all" };
	assert_int_equal(task_set_load(&s, dirs, 3, &e), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.left_out.n, 0);
	const struct task *t = task_find(&s, "a", &e);
	assert_non_null(t);
	assert_contains(t->file, "/1/mine/");
	task_set_release(&s);

	put(&p, "2/more/pack.json",
	    "{\"format\": \"cadforge-pack-1\", \"name\": \"q\", "
	    "\"about\": \"a\"}");
	put(&p, "2/more/b.json", TASK_OF("b", ""));
	assert_int_equal(task_set_load(&s, dirs + 1, 1, &e), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.left_out.n, 1);
	assert_contains(s.left_out.v[0].text, "has the same");
	task_set_release(&s);
	place_remove(&p);
}

/* Whether some problem of @p is in @file, on @line, and says @text. */
static bool told(const struct task_problems *p, const char *file, int line, const char *text)
{
	for (int i = 0; i < p->n; i++)
		if (strstr(p->v[i].file, file) && p->v[i].line == line &&
		    strstr(p->v[i].text, text))
			return true;
	for (int i = 0; i < p->n; i++)
		print_message("%s:%d: %s\n", p->v[i].file, p->v[i].line, p->v[i].text);
	return false;
}

static void a_pack_is_checked_to_its_last_file(void **state)
{
	struct place p;
	struct task_problems problems = { 0 };
	struct err e;

	(void)state;
	place_make(&p);
	put(&p, "pack.json", "{\"format\": \"cadforge-pack-1\",\n\"name\": 3,\n\"abuot\": \"a\"}");
	put(&p, "a.json", TASK_OF("a", ""));
	put(&p, "b.json",
	    "{\"format\": \"cadforge-task-1\", \"id\": \"b\", \"level\": \"hard\", \"family\": "
	    "\"f\", \"bbox_mm\": [1, 2, 3], \"semantic_hints\": [\"x\"], \"prompt\": \"p\", "
	    "\"dimensions\": [],\n\"expect\": {\n\"legs\": 4},\n\"reference\": "
	    "\"references/empty.py\",\n\"checks\": []}");
	put(&p, "c.jsn", "{}");
	put(&p, "references/empty.py", "");
	put(&p, "references/left.py", "x = 1\n");
	assert_int_equal(task_pack_check(p.dir, &problems, NULL, &e), 0);
	assert_true(told(&problems, "pack.json", 2, "name: a string wanted, got a number"));
	assert_true(told(&problems, "pack.json", 3, "abuot: no such key; did you mean \"about\"?"));
	assert_true(told(&problems, "pack.json", 1, "about: a string wanted, got nothing"));
	assert_true(told(&problems, "a.json", 12, "references/r.py: No such file"));
	assert_true(told(&problems, "b.json", 3, "expect.legs: no check covers it"));
	assert_true(told(&problems, "b.json", 5, "checks: none"));
	assert_true(told(&problems, "c.jsn", 0, "no part of a pack"));
	assert_true(told(&problems, "references/left.py", 0, "no task names it"));
	task_problems_release(&problems);
	assert_int_equal(task_pack_check("/nowhere", &problems, NULL, &e), -1);
	assert_contains(e.text, "/nowhere");
	place_remove(&p);
}

static void a_pack_without_mistakes_has_none(void **state)
{
	struct place p;
	struct task_problems problems = { 0 };
	struct task_set s;
	struct err e;

	(void)state;
	place_make(&p);
	put(&p, "pack.json", PACK);
	put(&p, "a.json", TASK);
	put(&p, "references/r.py", "fixture = 1\n");
	put(&p, "README.md", "words\n");
	assert_int_equal(task_pack_check(p.dir, &problems, &s, &e), 0);
	for (int i = 0; i < problems.n; i++)
		fail_msg("%s:%d: %s", problems.v[i].file, problems.v[i].line, problems.v[i].text);
	assert_int_equal(s.n, 1);
	task_set_release(&s);
	place_remove(&p);
}

/* A reader of the schema and a reader of the program know the same fields of each kind. */
static void the_published_schema_has_the_kinds_and_fields_of_checks(void **state)
{
	struct buf text = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(buf_read_file(&text, SRCDIR "/tasks/task.schema.json", 1 << 20, &e), 0);
	cJSON *schema = json_parse(buf_str(&text), text.len, &e);
	assert_non_null(schema);
	const cJSON *defs = cJSON_GetObjectItemCaseSensitive(schema, "$defs"), *v;
	int kinds = 0;
	cJSON_ArrayForEach(v, defs) kinds += strncmp(v->string, "check_", 6) == 0;
	assert_int_equal(kinds, CHECK_KINDS);
	for (int k = 0; k < CHECK_KINDS; k++) {
		const char *name = check_kind_name((enum check_kind)k);
		char key[100], line[100];
		snprintf(key, sizeof(key), "check_%s", name);
		snprintf(line, sizeof(line), "{\"id\": \"a\", \"kind\": \"%s\", \"strange\": 1}",
		         name);
		const cJSON *def = cJSON_GetObjectItemCaseSensitive(defs, key), *p;
		if (!def)
			fail_msg("the schema has no %s", key);
		cJSON *o = json_parse(line, strlen(line), &e);
		struct check c;
		assert_int_equal(check_parse(&c, o, 0, &e), -1);
		cJSON_Delete(o);
		/* "... strange: no such field of solids, which has: id kind weight ..." */
		char *has = strstr(e.text, "which has: ");
		assert_non_null(has);
		int ours_n = 0, theirs_n = 0;
		cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(def, "properties"))
			theirs_n++;
		for (char *word = strtok(has + strlen("which has: "), " "); word;
		     word = strtok(NULL, " ")) {
			ours_n++;
			if (!cJSON_GetObjectItemCaseSensitive(
				    cJSON_GetObjectItemCaseSensitive(def, "properties"), word))
				fail_msg("the schema's %s has no %s", key, word);
		}
		assert_int_equal(ours_n, theirs_n);
	}
	cJSON_Delete(schema);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pack_holds_25_tasks_of_three_levels),
		cmocka_unit_test(a_task_is_found_by_its_id),
		cmocka_unit_test(a_miss_names_the_nearest),
		cmocka_unit_test(a_mistake_is_named_by_line_and_field),
		cmocka_unit_test(a_good_task_is_read_whole),
		cmocka_unit_test(all_mistakes_are_told_not_only_the_first),
		cmocka_unit_test(a_damaged_task_is_refused_or_harmless),
		cmocka_unit_test(a_bad_task_is_left_out_and_the_others_come_in),
		cmocka_unit_test(of_two_folders_the_first_one_s_task_counts),
		cmocka_unit_test(a_pack_is_checked_to_its_last_file),
		cmocka_unit_test(a_pack_without_mistakes_has_none),
		cmocka_unit_test(the_published_schema_has_the_kinds_and_fields_of_checks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
