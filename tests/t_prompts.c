#include "tests/lib.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/prompts.h"

static const char *const ours = SRCDIR "/tasks/prompts";

struct place {
	char dir[64];
};

static void place_make(struct place *p)
{
	strcpy(p->dir, "/tmp/t_prompts.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
}

static void place_remove(struct place *p)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	assert_int_equal(system(command), 0);
}

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

#define SET(name, more)                                                                            \
	"{\"format\": \"cadforge-prompts-1\", \"name\": \"" name "\", \"about\": \"a\"" more "}"

/* A whole set of one-word texts. */
static void put_set(const struct place *p, const char *name)
{
	char path[200], head[200];

	snprintf(path, sizeof(path), "%s/set.json", name);
	snprintf(head, sizeof(head),
	         "{\"format\": \"cadforge-prompts-1\", \"name\": \"%s\", \"about\": \"a\"}", name);
	put(p, path, head);
	for (int k = 0; k < PROMPT_KINDS; k++) {
		snprintf(path, sizeof(path), "%s/%s", name, prompt_file((enum prompt_kind)k));
		put(p, path, "word\n\n");
	}
}

static struct prompt_set load(const char *dir, const char *name)
{
	struct prompt_set s;
	struct err e;

	if (prompt_set_load(&s, &dir, 1, name, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void each_class_of_failure_has_its_text(void **state)
{
	(void)state;
	for (int c = 0; c < CLASS_COUNT; c++) {
		char want[100];
		snprintf(want, sizeof(want), "repair/%s.txt",
		         build_class_name((enum build_class)c));
		assert_string_equal(prompt_file((enum prompt_kind)((int)PROMPT_REPAIR + c)), want);
	}
	assert_int_equal(CLASS_COUNT, 9);
}

static void our_set_renders_every_text_with_every_value(void **state)
{
	struct prompt_set s = load(ours, PROMPTS_DEFAULT);
	struct err e;

	(void)state;
	assert_int_equal(strlen(s.hash), 64);
	for (int k = 0; k < PROMPT_KINDS; k++) {
		const char *const *names = prompt_placeholders((enum prompt_kind)k);
		struct prompt_value full[40], empty[40];
		struct buf with = { 0 }, without = { 0 };
		int n = 0;
		for (; names[n]; n++) {
			full[n] = (struct prompt_value){ names[n], "VALUE" };
			/* these are always there */
			bool always =
				strcmp(names[n], "program") == 0 || strcmp(names[n], "prompt") == 0;
			empty[n] = (struct prompt_value){ names[n], always ? "p" : NULL };
		}
		if (prompt_render(&with, &s, (enum prompt_kind)k, full, n, &e) < 0 ||
		    prompt_render(&without, &s, (enum prompt_kind)k, empty, n, &e) < 0)
			fail_msg("%s", e.text);
		assert_true(with.len > without.len);
		assert_contains(buf_str(&with), "VALUE");
		assert_null(strstr(buf_str(&with), "{"));
		/* the program in the system text has its functions two lines apart */
		if (k != PROMPT_SYSTEM && strstr(buf_str(&without), "\n\n\n"))
			fail_msg("%s: two empty lines: %s", prompt_file((enum prompt_kind)k),
			         buf_str(&without));
		buf_release(&with);
		buf_release(&without);
	}
	prompt_set_release(&s);
	prompt_set_release(&s);
}

static void a_repair_text_shows_the_program(void **state)
{
	struct prompt_set s = load(ours, PROMPTS_DEFAULT);

	(void)state;
	for (int k = PROMPT_CHECKS; k < PROMPT_KINDS; k++)
		assert_contains(s.text[k], "\n{program}\n");
	prompt_set_release(&s);
}

static void the_task_s_prompt_has_its_box_and_its_dimensions(void **state)
{
	const char *dir = SRCDIR "/tasks";
	struct prompt_set s = load(ours, PROMPTS_DEFAULT);
	struct task_set tasks;
	struct buf b = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(task_set_load(&tasks, &dir, 1, &e), 0);
	for (int i = 0; i < tasks.n; i++) {
		buf_clear(&b);
		if (prompt_task(&b, &s, &tasks.tasks[i], &e) < 0)
			fail_msg("%s", e.text);
		assert_contains(buf_str(&b), tasks.tasks[i].prompt);
		assert_contains(buf_str(&b), tasks.tasks[i].dimensions[0].name);
	}
	buf_clear(&b);
	assert_int_equal(prompt_task(&b, &s, task_find(&tasks, "four_leg_chair_700n", &e), &e), 0);
	assert_contains(buf_str(&b), "Box of the part: at most 500 x 500 x 900 mm (X x Y x Z).");
	buf_clear(&b);
	assert_int_equal(prompt_system(&b, &s, &e), 0);
	assert_contains(buf_str(&b), "cadquery, math, numpy");
	buf_release(&b);
	task_set_release(&tasks);
	prompt_set_release(&s);
}

static void sections_stay_only_with_a_value(void **state)
{
	static const struct {
		const char *text, *log, *want;
	} cases[] = {
		{ "a {log} b", "x", "a x b" },
		{ "a {log} b", "", "a  b" },
		{ "a{?log} ({log}){/log} b", "x", "a (x) b" },
		{ "a{?log} ({log}){/log} b", "", "a b" },
		{ "a\n{?log}\nit said {log}\n{/log}\nb", "x", "a\nit said x\nb" },
		{ "a\n{?log}\nit said {log}\n{/log}\nb", "", "a\nb" },
		{ "a {{log}} b {{", "x", "a {log} b {" },
		{ "{log}{log}", "{log}", "{log}{log}" }, /* values are not looked into */
	};
	struct place p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		struct err e;
		place_make(&p);
		put_set(&p, "x");
		put(&p, "x/repair/checks.txt", cases[i].text);
		struct prompt_set s = load(p.dir, "x");
		const struct prompt_value v[] = { { "log", cases[i].log } };
		if (prompt_render(&b, &s, PROMPT_CHECKS, v, 1, &e) < 0)
			fail_msg("%s", e.text);
		assert_string_equal(buf_str(&b), cases[i].want);
		buf_release(&b);
		prompt_set_release(&s);
		place_remove(&p);
	}
}

static void mistakes_are_named_by_file_and_line(void **state)
{
	static const struct {
		const char *file, *text, *why;
	} cases[] = {
		{ "x/task.txt", "a\n{tsak}",
		  "x/task.txt:2: {tsak}: no such placeholder here; there "
		  "are {id}, {prompt}" },
		{ "x/task.txt", "a\n\n{program}", "x/task.txt:3: {program}: no such" },
		{ "x/system.txt", "a { b", "x/system.txt:1: { begins no placeholder" },
		{ "x/system.txt", "a } b", "x/system.txt:1: } without {" },
		{ "x/system.txt", "{imports", "{ begins no placeholder" },
		{ "x/repair/checks.txt", "a\n{?log}\nb",
		  "checks.txt:2: {?log}: its {/log} is missing" },
		{ "x/repair/checks.txt", "a{/log}", "{/log}: {?log} is not open" },
		{ "x/repair/checks.txt", "{?log}{?notes}{/notes}{/log}", "do not nest" },
		{ "x/repair/checks.txt", "", "checks.txt: empty" },
		{ "x/repair/checks.txt", "a\n\xff", "checks.txt:2: byte 0xff is no UTF-8" },
		{ "x/repair/checks.txt", "a\n\x1b[2J",
		  "checks.txt:2: a sign that is not seen (\\x1b): leave it out" },
		{ "x/repair/syntax_close.txt", "a", "syntax_close.txt: no file of a prompt set" },
		{ "x/sytem.txt", "a", "sytem.txt: no file of a prompt set" },
		{ "x/set.json", "{", "x/set.json: line 1" },
		{ "x/set.json", "[]", "x/set.json: an object wanted" },
		{ "x/set.json", "{}", "x/set.json: format: a string wanted, got nothing" },
		{ "x/set.json", SET("y", ""), "name: \"x\" wanted, as the folder is called, got" },
		{ "x/set.json", SET("x", ",\n\"bas\": 1"), "line 2: bas: no such key" },
		{ "x/set.json", SET("x", ", \"about\": 1"), "about: the key is there twice" },
		{ "x/set.json", SET("x", ", \"base\": 3"), "base: the name of another set" },
		{ "x/set.json", SET("x", ", \"base\": \"x\""), "base: the name of another set" },
		{ "x/set.json", SET("x", ", \"base\": \"z\""), "no prompt set is called \"z\"" },
	};
	struct place p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct prompt_set s;
		struct err e;
		place_make(&p);
		const char *dir = p.dir;
		put_set(&p, "x");
		put(&p, cases[i].file, cases[i].text);
		assert_int_equal(prompt_set_load(&s, &dir, 1, "x", &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, cases[i].why);
		place_remove(&p);
	}
}

static void a_set_takes_what_it_lacks_from_its_base(void **state)
{
	struct place p;
	struct err e;
	struct prompt_set s, base;

	(void)state;
	place_make(&p);
	put_set(&p, "x");
	put(&p, "y/set.json", SET("y", ", \"base\": \"x\""));
	base = load(p.dir, "x");
	s = load(p.dir, "y");
	assert_string_equal(s.hash, base.hash); /* equal texts */
	assert_true(s.inherited[PROMPT_TASK]);
	assert_string_equal(s.text[PROMPT_TASK], "word");
	prompt_set_release(&s);
	put(&p, "y/task.txt", "other");
	s = load(p.dir, "y");
	assert_string_not_equal(s.hash, base.hash);
	assert_false(s.inherited[PROMPT_TASK]);
	prompt_set_release(&s);
	prompt_set_release(&base);

	const char *dir = p.dir;
	put(&p, "z/set.json", SET("z", ", \"base\": \"w\""));
	put(&p, "w/set.json", SET("w", ", \"base\": \"z\""));
	assert_int_equal(prompt_set_load(&s, &dir, 1, "z", &e), -1);
	assert_contains(e.text, "a circle");
	put(&p, "v/set.json", SET("v", ""));
	assert_int_equal(prompt_set_load(&s, &dir, 1, "v", &e), -1);
	assert_contains(e.text, "v/system.txt is missing, and set.json names no \"base\"");
	place_remove(&p);
}

static void an_unknown_set_names_those_there_are(void **state)
{
	static const char *const names[] = { "nothing", "", "../prompts/default", ".", "a/b" };
	struct prompt_set s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(prompt_set_load(&s, &ours, 1, names[i], &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, "default");
	}
}

static void a_value_that_was_not_given_is_an_error(void **state)
{
	struct prompt_set s = load(ours, PROMPTS_DEFAULT);
	struct buf b = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(prompt_render(&b, &s, PROMPT_TASK, NULL, 0, &e), -1);
	assert_contains(e.text, "default/task.txt: {prompt}: no value was given");
	buf_release(&b);
	prompt_set_release(&s);
}

static void the_first_folder_s_set_counts_and_names_come_once(void **state)
{
	struct place p;
	struct prompt_set s;
	struct err e;
	char **names;

	(void)state;
	place_make(&p);
	put_set(&p, "default");
	put_set(&p, "mine");
	const char *dirs[] = { p.dir, ours, "/nowhere/at/all" };
	assert_int_equal(prompt_set_names(&names, dirs, 3, &e), 3);
	assert_string_equal(names[0], "default");
	assert_string_equal(names[1], "demo");
	assert_string_equal(names[2], "mine");
	for (int i = 0; i < 3; i++)
		free(names[i]);
	free(names);
	assert_int_equal(prompt_set_load(&s, dirs, 3, "default", &e), 0);
	assert_string_equal(s.text[PROMPT_SYSTEM], "word");
	prompt_set_release(&s);
	place_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_class_of_failure_has_its_text),
		cmocka_unit_test(our_set_renders_every_text_with_every_value),
		cmocka_unit_test(a_repair_text_shows_the_program),
		cmocka_unit_test(the_task_s_prompt_has_its_box_and_its_dimensions),
		cmocka_unit_test(sections_stay_only_with_a_value),
		cmocka_unit_test(mistakes_are_named_by_file_and_line),
		cmocka_unit_test(a_set_takes_what_it_lacks_from_its_base),
		cmocka_unit_test(an_unknown_set_names_those_there_are),
		cmocka_unit_test(a_value_that_was_not_given_is_an_error),
		cmocka_unit_test(the_first_folder_s_set_counts_and_names_come_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
