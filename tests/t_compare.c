/* t_compare.c - a table has each turn once, in its row and column, and its figures are those of the
 * turns. */
#include "tests/store.h"

#include <math.h>

#include "src/compare.h"

static struct tally of(int64_t id, const char *task, const char *model, const char *adapter,
                       enum build_class class, int turns, int built, double total, double best)
{
	return (struct tally){ .id = id,
		               .task = task,
		               .profile = "exact",
		               .prompts = "default",
		               .source = "model",
		               .model = model,
		               .adapter = adapter,
		               .sampling = "{\"temperature\":0.6}",
		               .repairs = CLASS_COUNT,
		               .class = class,
		               .turns = turns,
		               .built = built,
		               .scored = turns,
		               .total = total,
		               .best = best,
		               .best_turn = id };
}

static struct compare make(struct tally *v, int n, const struct compare_options *o)
{
	struct tallies t = { .v = v, .n = n };
	struct compare c = { 0 };
	struct err e = { 0 };

	assert_done(compare_make(&c, &t, o, &e), &e);
	return c;
}

/* From the closed form in another language (Python's doubles). */
static void the_interval_is_wilsons(void **state)
{
	static const struct {
		int built, n;
		double low, high;
	} cases[] = {
		{ 0, 1, 0, 0.793450 },         { 1, 1, 0.206549, 1 },
		{ 5, 10, 0.236593, 0.763407 }, { 96, 320, 0.252406, 0.352339 },
		{ 0, 10, 0, 0.277533 },
	};
	double v[3];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		compare_wilson(cases[i].built, cases[i].n, v);
		if (fabs(v[1] - cases[i].low) > 2e-6 || fabs(v[2] - cases[i].high) > 2e-6)
			fail_msg("%d of %d: %.6f to %.6f", cases[i].built, cases[i].n, v[1], v[2]);
	}
	compare_wilson(0, 0, v);
	assert_true(isnan(v[0]) && isnan(v[1]) && isnan(v[2]));
}

static void columns_are_what_turns_differ_in(void **state)
{
	struct tally v[] = {
		of(1, "hook", "2b", "", CLASS_SYNTAX_CLOSURE, 3, 0, -1.5, -0.25),
		of(2, "hook", "2b", "", CLASS_BUILD_OK, 1, 1, 0.5, 0.5),
		of(3, "hook", "2b", "sft", CLASS_BUILD_OK, 2, 2, 1.5, 0.875),
		of(4, "chair", "/models/9b", "", CLASS_INVENTED_API, 4, 0, -2, -0.5),
	};
	struct compare_options o = { .by = COMPARE_MODEL | COMPARE_ADAPTER };
	struct compare c = make(v, 4, &o);
	struct buf said = { 0 };
	(void)state;

	assert_int_equal(c.n_columns, 3);
	assert_int_equal(c.n_rows, 2);
	assert_string_equal(c.row[0].task, "chair");
	assert_string_equal(c.column[0].label, "2b");
	assert_string_equal(c.column[1].label, "2b+sft");
	assert_string_equal(c.column[2].label, "9b");
	const struct compare_cell *x = &c.row[1].cell[0];
	assert_int_equal(x->n, 4);
	assert_int_equal(x->built, 1);
	assert_true(compare_mean(x) == -0.25 && x->best == 0.5 && x->best_turn == 2);
	assert_int_equal(c.row[1].best, 1);
	assert_true(fabs(c.row[1].spread - 1) < 1e-12);
	assert_int_equal(c.row[0].best, -1); /* of one there is no best */
	assert_int_equal(c.column[0].failure[CLASS_SYNTAX_CLOSURE], 3);
	compare_failures(&c.column[0], false, &said);
	assert_string_equal(buf_str(&said), "syntax_closure 3");
	assert_true(compare_in_cell(&c, &v[0], 1, 0) && !compare_in_cell(&c, &v[2], 1, 0) &&
	            compare_in_cell(&c, &v[2], 1, -1));
	compare_release(&c);
	o.by = COMPARE_MODEL;
	c = make(v, 4, &o);
	assert_int_equal(c.n_columns, 2);
	assert_int_equal(c.row[1].cell[0].n, 6);
	compare_release(&c);
	o.by = COMPARE_ADAPTER;
	c = make(v, 4, &o);
	assert_string_equal(c.column[0].label, "base");
	compare_release(&c);
	buf_release(&said);
}

static void totals_of_other_profiles_are_left_out_and_counted(void **state)
{
	struct tally v[] = {
		of(1, "hook", "2b", "", CLASS_BUILD_OK, 3, 3, 1.5, 0.5),
		of(2, "hook", "2b", "", CLASS_BUILD_OK, 4, 4, 3.5, 0.9),
	};
	struct compare_options o = { .by = COMPARE_MODEL };
	(void)state;

	v[0].profile = "seed-fast";
	struct compare c = make(v, 2, &o);
	assert_string_equal(c.profile, "exact");
	assert_int_equal(c.left_out, 3);
	assert_int_equal(c.column[0].all.n, 4);
	compare_release(&c);
	o.profile = "seed-fast";
	c = make(v, 2, &o);
	assert_int_equal(c.left_out, 4);
	assert_int_equal(c.column[0].all.n, 3);
	compare_release(&c);
}

static void first_tries_and_repairs_are_told_apart(void **state)
{
	struct tally v[] = {
		of(1, "hook", "2b", "", CLASS_SYNTAX_CLOSURE, 5, 0, -2.5, -0.5),
		of(2, "hook", "2b", "", CLASS_BUILD_OK, 2, 2, 1, 0.5),
	};
	struct compare_options o = { .by = COMPARE_MODEL, .turns = COMPARE_FIRST };
	(void)state;

	v[1].repairs = CLASS_SYNTAX_CLOSURE;
	struct compare c = make(v, 2, &o);
	assert_int_equal(c.column[0].all.n, 5);
	compare_release(&c);
	o.turns = COMPARE_REPAIRS;
	c = make(v, 2, &o);
	assert_int_equal(c.column[0].all.n, 2);
	compare_release(&c);
}

static void a_column_of_sampling_says_what_differs(void **state)
{
	struct tally v[] = {
		of(1, "hook", "2b", "", CLASS_BUILD_OK, 1, 1, 0.5, 0.5),
		of(2, "hook", "2b", "", CLASS_BUILD_OK, 1, 1, 0.5, 0.5),
	};
	struct compare_options o = { .by = COMPARE_SAMPLING };
	(void)state;

	v[0].sampling = "{\"temperature\":0.5,\"top_k\":20}";
	v[1].sampling = "{\"temperature\":1,\"top_k\":20}";
	struct compare c = make(v, 2, &o);
	assert_string_equal(c.column[0].label, "temperature 0.5");
	assert_string_equal(c.column[1].label, "temperature 1");
	compare_release(&c);
}

static void two_columns_are_compared_task_by_task(void **state)
{
	static const char *const tasks[] = { "a", "b", "c", "d" };
	struct tally v[9];
	struct compare_options o = { .by = COMPARE_MODEL };
	struct compare_pair p;
	struct err e = { 0 };
	int n = 0;
	(void)state;

	for (int i = 0; i < 4; i++) {
		v[n] = of(n + 1, tasks[i], "old", "", CLASS_BUILD_OK, 2, 1, 0, 0.5);
		n++;
		v[n] = of(n + 1, tasks[i], "new", "", CLASS_BUILD_OK, 2, 2, 1, 0.5);
		n++;
	}
	v[n] = of(n + 1, "alone", "old", "", CLASS_BUILD_OK, 1, 1, 0.9, 0.9);
	n++;
	struct compare c = make(v, n, &o);
	assert_string_equal(c.column[0].label, "old");
	assert_done(compare_paired(&c, 0, 1, &p, &e), &e);
	assert_int_equal(p.tasks, 4);
	assert_int_equal(p.better, 4);
	assert_true(fabs(p.reward - 0.5) < 1e-12 && fabs(p.rate - 0.5) < 1e-12);
	assert_true(fabs(p.reward_low - 0.5) < 1e-12 && fabs(p.reward_high - 0.5) < 1e-12);
	/* all four signs as they are, or all four turned: 2 of 16 */
	assert_true(fabs(p.reward_p - 2.0 / 16) < 1e-12);
	assert_done(compare_paired(&c, 1, 0, &p, &e), &e);
	assert_int_equal(p.worse, 4);
	compare_release(&c);
	c = make(v, 0, &o);
	assert_int_equal(c.n_columns, 0);
	compare_release(&c);
}

static void runs_are_columns_of_their_own(void **state)
{
	struct compare_options o = { .by = COMPARE_MODEL };
	struct tallies t = { 0 };
	struct compare c = { 0 };
	struct err e = { 0 };
	char dir[256], db[300];
	int64_t run[3], ep;
	int number;
	(void)state;

	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	for (int i = 0; i < 3; i++) {
		assert_done(store_run_start(s, "group", NULL, &run[i], &e), &e);
		if (i == 2)
			break;
		struct store_episode_new n = {
			.task = "hook", .profile = "exact", .source = "run", .run = run[i]
		};
		assert_done(store_episode_start(s, &n, &ep, &e), &e);
		for (int k = 0; k < 2 + i; k++)
			assert_done(commit_turn(s, ep, 0, k, &number, &e), &e);
	}
	assert_done(compare_runs(&c, &t, s, run, 3, &o, &e), &e);
	assert_int_equal(c.n_columns, 3);
	assert_string_equal(c.column[1].label, "run 2");
	assert_int_equal(c.column[0].all.n, 2);
	assert_int_equal(c.column[1].all.n, 3);
	assert_int_equal(c.column[1].all.built, 2);
	assert_int_equal(c.column[2].all.n, 0);
	compare_release(&c);
	run[1] = 99;
	assert_int_equal(compare_runs(&c, &t, s, run, 2, &o, &e), -1);
	assert_contains(e.text, "there is no run 99: they are numbered from 1 to 3");
	tallies_release(&t);
	store_close(s);
	remove_folder(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_interval_is_wilsons),
		cmocka_unit_test(columns_are_what_turns_differ_in),
		cmocka_unit_test(totals_of_other_profiles_are_left_out_and_counted),
		cmocka_unit_test(first_tries_and_repairs_are_told_apart),
		cmocka_unit_test(a_column_of_sampling_says_what_differs),
		cmocka_unit_test(two_columns_are_compared_task_by_task),
		cmocka_unit_test(runs_are_columns_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
