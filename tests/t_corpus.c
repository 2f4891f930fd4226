/*
 * t_corpus.c - the demonstration model's texts: what they are made of, that the streams share
 * nothing, and that programs build and broken ones fail as they are meant to, with the real
 * builder.
 */
#include "tests/lib.h"

#include "engine/failure.h"
#include "engine/repair.h"
#include "src/corpus.h"
#include "src/pipeline.h"

enum { SAMPLE = 1500, PROGRAM_BYTES = 1600, TASKS = 25 };

static const struct corpus_options programs = { .seed = 7, .plain = 0.5 };
static const struct corpus_options repairs = { .seed = 7, .repairs = 1, .plain = 0.5 };
static const struct corpus_options drills = { .seed = 7, .drills = 1, .plain = 0.5 };

static void load_set(struct prompt_set *set)
{
	const char *src = getenv("srcdir");
	char dir[500];
	struct err e;

	snprintf(dir, sizeof(dir), "%s/tasks/prompts", src ? src : ".");
	const char *dirs[] = { dir };
	if (prompt_set_load(set, dirs, 1, "demo", &e) < 0)
		fail_msg("%s", e.text);
}

static void make(struct corpus_document *d, const struct corpus_options *o,
                 enum corpus_stream stream, uint64_t number)
{
	struct err e;

	if (corpus_make(d, o, stream, number, &e) < 0)
		fail_msg("%s", e.text);
}

static void a_document_is_a_function_of_seed_stream_and_number(void **state)
{
	(void)state;
	struct corpus_options other = repairs;
	other.seed++;
	for (uint64_t i = 0; i < 20; i++) {
		struct corpus_document a, b, c;
		make(&a, &repairs, CORPUS_TRAIN, i);
		make(&b, &repairs, CORPUS_TRAIN, i);
		make(&c, &other, CORPUS_TRAIN, i);
		assert_string_equal(a.program, b.program);
		assert_string_equal(a.broken, b.broken);
		assert_string_equal(a.task.prompt, b.task.prompt);
		assert_true(strcmp(a.program, c.program) != 0 ||
		            strcmp(a.task.prompt, c.task.prompt) != 0);
		corpus_release(&a);
		corpus_release(&b);
		corpus_release(&c);
	}
}

/* @value as people write it, not part of a longer number. */
static bool has_number(const char *text, double value)
{
	char want[40];
	size_t n = (size_t)snprintf(want, sizeof(want), "%.10g", value);

	for (const char *p = strstr(text, want); p; p = strstr(p + 1, want)) {
		bool before = p > text && strchr("0123456789.", p[-1]);
		bool behind = (p[n] >= '0' && p[n] <= '9') ||
		              (p[n] == '.' && p[n + 1] >= '0' && p[n + 1] <= '9');
		if (!before && !behind)
			return true;
	}
	return false;
}

static void a_program_has_every_number_its_prompt_asks_for(void **state)
{
	struct prompt_set set = { 0 };
	bool drawn[100] = { false };
	(void)state;

	load_set(&set);
	for (uint64_t i = 0; i < SAMPLE; i++) {
		struct corpus_document d;
		struct buf prompt = { 0 };
		struct err e;
		make(&d, &programs, (enum corpus_stream)(i % 3), i);
		assert_int_equal(prompt_task(&prompt, &set, &d.task, &e), 0);
		assert_true(d.family >= 0 && d.family < corpus_families());
		assert_int_equal(corpus_family_unseen(d.family), i % 3 == CORPUS_UNSEEN);
		drawn[d.family] = true;
		assert_int_equal(corpus_numbers_found(&d, d.program), d.numbers);
		assert_true(d.numbers > 0);
		for (int k = 0; k < d.numbers; k++) {
			char line[80];
			if (!has_number(buf_str(&prompt), d.number[k].value))
				fail_msg("%s %g is not in:\n%s", d.number[k].name,
				         d.number[k].value, buf_str(&prompt));
			snprintf(line, sizeof(line), "\n%s = %.10g\n", d.number[k].name,
			         d.number[k].value);
			assert_contains(d.program, line);
		}
		assert_contains(d.program, "\nfixture = ");
		assert_null(strpbrk(d.program, "@'\t"));
		assert_null(strpbrk(d.task.prompt, "{}|%"));
		assert_true(strlen(d.program) <= PROGRAM_BYTES);
		buf_release(&prompt);
		corpus_release(&d);
	}
	for (int i = 0; i < corpus_families(); i++)
		if (!drawn[i])
			fail_msg("family %s never came", corpus_family_name(i));
	prompt_set_release(&set);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is asked for: the family and its numbers. */
static char *asked(const struct corpus_document *d)
{
	struct buf b = { 0 };

	buf_printf(&b, "%d", d->family);
	for (int i = 0; i < d->numbers; i++)
		buf_printf(&b, " %s %.10g", d->number[i].name, d->number[i].value);
	return buf_take(&b, NULL);
}

static void what_is_held_out_has_no_numbers_of_training(void **state)
{
	enum { SEEN = 3000, HELD = 600 };
	static char *seen[SEEN];
	struct corpus_document d;
	(void)state;

	for (int i = 0; i < SEEN; i++) {
		make(&d, &programs, CORPUS_TRAIN, (uint64_t)i);
		seen[i] = asked(&d);
		corpus_release(&d);
	}
	qsort(seen, SEEN, sizeof(*seen), by_text);
	for (int i = 0; i < HELD; i++) {
		make(&d, &programs, CORPUS_HELD, (uint64_t)i);
		char *key = asked(&d);
		if (bsearch(&key, seen, SEEN, sizeof(*seen), by_text))
			fail_msg("%s of training is held out: %s", d.task.id, key);
		free(key);
		corpus_release(&d);
	}
	for (int i = 0; i < SEEN; i++)
		free(seen[i]);
}

static void what_the_workbench_sends_for_each_task_is_in_training(void **state)
{
	const char *src = getenv("srcdir");
	struct prompt_set set = { 0 };
	struct task_set tasks = { 0 };
	bool met[TASKS] = { false };
	int left = TASKS;
	char dir[500];
	struct err e;
	(void)state;

	load_set(&set);
	snprintf(dir, sizeof(dir), "%s/tasks", src ? src : ".");
	const char *dirs[] = { dir };
	assert_int_equal(task_set_load(&tasks, dirs, 1, &e), 0);
	assert_int_equal(tasks.n, TASKS);
	for (uint64_t i = 0; i < 12000 && left > 0; i++) {
		struct corpus_document d;
		struct buf want = { 0 }, got = { 0 };
		make(&d, &programs, CORPUS_TRAIN, i);
		const char *id = corpus_family_task(d.family);
		int k = 0;
		while (k < tasks.n && (!id || strcmp(tasks.tasks[k].id, id) != 0))
			k++;
		assert_true(!id || k < tasks.n);
		if (id && !met[k]) {
			assert_int_equal(prompt_task(&want, &set, &tasks.tasks[k], &e), 0);
			assert_int_equal(prompt_task(&got, &set, &d.task, &e), 0);
			met[k] = strcmp(buf_str(&want), buf_str(&got)) == 0;
			left -= met[k];
		}
		buf_release(&want);
		buf_release(&got);
		corpus_release(&d);
	}
	for (int k = 0; k < tasks.n; k++)
		if (!met[k])
			fail_msg("%s: its prompt never came", tasks.tasks[k].id);
	task_set_release(&tasks);
	prompt_set_release(&set);
}

static void a_drill_is_assignments_of_all_its_numbers(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct corpus_document d;
		int lines = 0;
		make(&d, &drills, i % 2 ? CORPUS_HELD : CORPUS_TRAIN, i);
		assert_int_equal(d.kind, CORPUS_DRILL);
		assert_int_equal(d.family, -1);
		assert_true(d.numbers >= 3 && d.numbers <= 7);
		for (const char *p = d.program; *p; p++)
			lines += *p == '\n';
		assert_int_equal(lines, d.numbers);
		assert_int_equal(corpus_numbers_found(&d, d.program), d.numbers);
		corpus_release(&d);
	}
}

static void a_number_in_a_name_or_a_longer_number_is_not_found(void **state)
{
	struct corpus_document d = { .numbers = 2,
		                     .number = { { .value = 12 }, { .value = 2.5 } } };
	(void)state;

	assert_int_equal(corpus_numbers_found(&d, "a = 12\nb = f(2.5)\n"), 2);
	assert_int_equal(corpus_numbers_found(&d, "a_12 = 112\nM12 = 12.5\nb = 2.55\n"), 0);
	assert_int_equal(corpus_numbers_found(&d, "a = 12.0"), 1);
	assert_int_equal(corpus_numbers_found(&d, ""), 0);
}

static void a_row_is_the_prompt_at_work_and_the_program(void **state)
{
	struct prompt_set set = { 0 };
	struct corpus_document d;
	struct buf row = { 0 };
	struct err e;
	(void)state;

	load_set(&set);
	make(&d, &repairs, CORPUS_TRAIN, 3);
	assert_int_equal(corpus_row(&row, &d, &set, NULL, &e), -1);
	assert_contains(e.text, "turn");
	cJSON *score = cJSON_Parse("{\"build\": {\"ok\": false, \"class\": \"undefined_name\"},"
	                           "\"notes\": [\"Not built: no such name.\"]}");
	const struct repair_turn turn = {
		.number = 1, .program = d.broken, .program_len = strlen(d.broken), .score = score
	};
	assert_int_equal(corpus_row(&row, &d, &set, &turn, &e), 0);
	cJSON *o = json_parse(buf_str(&row), row.len, &e);
	assert_non_null(o);
	const cJSON *m = cJSON_GetObjectItem(o, "messages");
	cJSON *asked = repair_messages(&set, &d.task, &turn, &e);
	assert_int_equal(cJSON_GetArraySize(m), 3);
	for (int i = 0; i < 2; i++)
		assert_string_equal(json_string_or(cJSON_GetArrayItem(m, i), "content", "x"),
		                    json_string_or(cJSON_GetArrayItem(asked, i), "content", "y"));
	assert_contains(json_string_or(cJSON_GetArrayItem(m, 1), "content", ""), "no such name");
	assert_string_equal(json_string_or(cJSON_GetArrayItem(m, 2), "role", ""), "assistant");
	assert_string_equal(json_string_or(cJSON_GetArrayItem(m, 2), "content", ""), d.program);
	assert_string_equal(json_string_or(o, "kind", ""), "repair");
	assert_string_equal(json_string_or(o, "task", ""), d.task.id);
	cJSON_Delete(asked);
	cJSON_Delete(o);
	cJSON_Delete(score);
	buf_release(&row);
	corpus_release(&d);
	prompt_set_release(&set);
}

/* ---- with the builder ---- */

enum { RIGHT = 32, BROKEN = 21, BUILDS = RIGHT + BROKEN };

struct builds {
	struct corpus_document d[BUILDS];
	int done;
};

static void built(void *ctx, size_t item, struct pipeline_item *it)
{
	struct builds *b = ctx;
	const struct corpus_document *d = &b->d[item];

	b->done++;
	if (item < RIGHT) {
		if (!it->build.ok || !it->shape.ok)
			fail_msg("%s: %s\n%s", d->task.id, it->build.error ? it->build.error : "?",
			         d->program);
		assert_int_equal((int)json_number_or(it->shape.geometry, "solids", 0), 1);
		assert_true(json_bool_or(it->shape.geometry, "valid", false));
		const cJSON *box = cJSON_GetObjectItem(it->shape.geometry, "bbox_mm");
		for (int a = 0; a < 3; a++)
			assert_close(cJSON_GetArrayItem(box, a)->valuedouble, d->bbox_mm[a], 0.01);
	} else if (d->breakage != CLASS_DISCONNECTED_OR_WEAK &&
	           d->breakage != CLASS_LOW_EDITABILITY) {
		enum build_class got = failure_class(it->build.cause, 1, 1);
		if (it->build.ok || (int)got != d->breakage)
			fail_msg("%s: %s wanted, got %s: %s\n%s", d->task.id,
			         build_class_name((enum build_class)d->breakage),
			         build_class_name(got), it->build.error ? it->build.error : "-",
			         d->broken);
	} else if (!it->build.ok) {
		fail_msg("%s builds, and is not right: %s\n%s", d->task.id, it->build.error,
		         d->broken);
	}
}

static void programs_build_as_asked_and_broken_ones_fail_as_meant(void **state)
{
	static struct builds b;
	static struct pipeline_item items[BUILDS];
	struct pipeline_options o = {
		.engine = { .libexec_dir = ".", .python_env = getenv("PYTHON_ENV"), .jobs = 2 },
		.dialect = DIALECT_OPEN,
		.geometry = true,
		.measure = true,
		.ctx = &b,
		.done = built,
	};
	struct err e;
	(void)state;

	/* one right program of each family, and three ways of every class */
	bool has[100] = { false };
	int n = 0, aims[CLASS_COUNT] = { 0 };
	for (uint64_t i = 0; n < corpus_families(); i++) {
		struct corpus_document d;
		make(&d, &programs, i % 4 ? CORPUS_TRAIN : CORPUS_UNSEEN, i);
		if (has[d.family]) {
			corpus_release(&d);
			continue;
		}
		has[d.family] = true;
		assert_true(n < RIGHT);
		b.d[n++] = d;
	}
	assert_int_equal(n, RIGHT);
	for (uint64_t i = 0; n < BUILDS; i++) {
		struct corpus_document d;
		make(&d, &repairs, CORPUS_TRAIN, i);
		assert_string_not_equal(d.broken, d.program);
		if (aims[d.breakage]++ < 3)
			b.d[n++] = d;
		else
			corpus_release(&d);
	}
	for (int i = 0; i < BUILDS; i++) {
		items[i].program = i < RIGHT ? b.d[i].program : b.d[i].broken;
		items[i].len = strlen(items[i].program);
	}
	limits_default(&o.limits);
	struct pipeline *p = pipeline_open(&o, &e);
	if (!p || pipeline_run(p, items, BUILDS, &e) < 0)
		fail_msg("%s", e.text);
	pipeline_close(p);
	assert_int_equal(b.done, BUILDS);
	for (int i = 0; i < BUILDS; i++)
		corpus_release(&b.d[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_is_a_function_of_seed_stream_and_number),
		cmocka_unit_test(a_program_has_every_number_its_prompt_asks_for),
		cmocka_unit_test(what_is_held_out_has_no_numbers_of_training),
		cmocka_unit_test(what_the_workbench_sends_for_each_task_is_in_training),
		cmocka_unit_test(a_drill_is_assignments_of_all_its_numbers),
		cmocka_unit_test(a_number_in_a_name_or_a_longer_number_is_not_found),
		cmocka_unit_test(a_row_is_the_prompt_at_work_and_the_program),
		cmocka_unit_test(programs_build_as_asked_and_broken_ones_fail_as_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
