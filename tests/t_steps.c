/* What a training told is kept in stretches, each a link of the chain; its answers are episodes. */
#include "tests/store.h"

#include <math.h>
#include <sqlite3.h>

static char dir[64], db[600];

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_folder(dir);
	return 0;
}

static int outside(const char *sql)
{
	sqlite3 *d = NULL;

	assert_int_equal(sqlite3_open(db, &d), SQLITE_OK);
	int rc = sqlite3_exec(d, sql, NULL, NULL, NULL);
	sqlite3_close(d);
	return rc & 0xff;
}

static struct store *open_it(enum store_mode mode)
{
	struct err e = { 0 };
	struct store *s = store_open(db, mode, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

static int print_step(void *ctx, const struct store_step *v)
{
	struct buf *b = ctx;

	buf_printf(b, "%d:%s@%lld", v->number, v->kind, (long long)v->step);
	if (!isnan(v->loss))
		buf_printf(b, " %g", v->loss);
	if (v->tokens >= 0)
		buf_printf(b, " %lldt", (long long)v->tokens);
	buf_printf(b, "%s;", v->data ? v->data : "");
	return 0;
}

static int print_sample(void *ctx, const struct store_sample *v)
{
	buf_printf(ctx, "%lld@%lld %s %d%c;", (long long)v->episode, (long long)v->step, v->task,
	           v->turns, v->built ? '+' : 'x');
	return 0;
}

static int print_run(void *ctx, const struct store_run *v)
{
	buf_printf(ctx, "%s %s;", v->kind, v->outcome ? v->outcome : "-");
	return 0;
}

static int64_t a_run(struct store *s)
{
	static const struct store_step three[] = {
		{ .kind = "ready",
		  .loss = NAN,
		  .lr = NAN,
		  .norm = NAN,
		  .seconds = NAN,
		  .tokens = -1,
		  .data = "{\"steps\":9}" },
		{ .kind = "step",
		  .step = 1,
		  .loss = 3.5,
		  .lr = 1e-4,
		  .norm = 0.5,
		  .seconds = 0.25,
		  .tokens = 0 },
		{ .kind = "step",
		  .step = 2,
		  .loss = 3.25,
		  .lr = 2e-4,
		  .norm = 0.5,
		  .seconds = 0.25,
		  .tokens = 640 },
	};
	struct err e = { 0 };
	int64_t run = 0;

	assert_done(store_run_start(s, "sft", "{\"rank\":16}", &run, &e), &e);
	assert_done(store_steps_add(s, run, three, 3, &e), &e);
	return run;
}

static void steps_come_back_in_the_order_in_which_they_were_told(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s);
	(void)state;

	/* the run went on from step 1: step 2 is taken once more */
	const struct store_step again = { .kind = "step",
		                          .step = 2,
		                          .loss = 3.25,
		                          .lr = NAN,
		                          .norm = NAN,
		                          .seconds = NAN,
		                          .tokens = 640 };
	assert_done(store_steps_add(s, run, &again, 1, &e), &e);
	assert_done(store_steps(s, run, 0, 100, print_step, &said, &e), &e);
	assert_string_equal(buf_str(&said), "1:ready@0{\"steps\":9};2:step@1 3.5 0t;"
	                                    "3:step@2 3.25 640t;4:step@2 3.25 640t;");
	buf_clear(&said);
	assert_done(store_steps(s, run, 2, 1, print_step, &said, &e), &e);
	assert_string_equal(buf_str(&said), "3:step@2 3.25 640t;");
	assert_int_equal(store_steps_add(s, 7, &again, 1, &e), -1);
	assert_contains(e.text, "there is no run 7: they are numbered from 1 to 1");
	const struct store_step unknown = { .kind = "dance" };
	assert_int_equal(store_steps_add(s, run, &unknown, 1, &e), -1);
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void a_run_that_ended_may_go_on_and_end_again(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s);
	(void)state;

	assert_done(store_run_end(s, run, "stopped", &e), &e);
	assert_int_equal(store_run_end(s, run, "done", &e), -1);
	assert_contains(e.text, "a run ends once, unless it goes on");
	assert_done(store_run_again(s, run, &e), &e);
	assert_done(store_run_again(s, run, &e), &e);
	assert_done(store_runs(s, 0, 9, print_run, &said, &e), &e);
	assert_string_equal(buf_str(&said), "sft -;");
	assert_done(store_run_end(s, run, "done", &e), &e);
	assert_int_equal(store_run_again(s, 9, &e), -1);
	assert_contains(e.text, "there is no run 9");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void samples_are_episodes_and_go_with_them(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s), ep[2];
	int number, problems;
	(void)state;

	for (int i = 0; i < 2; i++) {
		assert_done(start_episode(s, i ? "chair" : "hook", &ep[i], &e), &e);
		assert_done(commit_turn(s, ep[i], 0, 1 + i, &number, &e), &e);
		assert_done(store_sample_add(s, run, 50 - 10 * i, ep[i], &e), &e);
	}
	assert_int_equal(store_sample_add(s, run, 60, ep[0], &e), -1);
	assert_done(store_samples(s, run, 0, print_sample, &said, &e), &e);
	assert_string_equal(buf_str(&said), "2@40 chair 1x;1@50 hook 1+;");
	assert_whole(s);
	struct store_prune p = { .episode = ep[0], .whole_episodes = true };
	struct store_pruned gone;
	assert_done(store_prune(s, &p, &gone, &e), &e);
	buf_clear(&said);
	assert_done(store_samples(s, run, 0, print_sample, &said, &e), &e);
	assert_string_equal(buf_str(&said), "2@40 chair 1x;");
	assert_whole(s);
	store_close(s);
	/* a change behind the guards is seen */
	assert_int_equal(outside("UPDATE steps SET loss = 0.1 WHERE number = 3"),
	                 SQLITE_CONSTRAINT);
	assert_int_equal(outside("DELETE FROM steps"), SQLITE_CONSTRAINT);
	assert_int_equal(outside("DROP TRIGGER steps_stay_as_they_are; "
	                         "UPDATE steps SET loss = 0.1 WHERE number = 3; "
	                         "INSERT INTO steps (run, number, kind, step, time_us) "
	                         "VALUES (1, 4, 'step', 3, 0)"),
	                 SQLITE_OK);
	s = open_it(STORE_WRITE);
	look_through(s, false, &said, &problems);
	assert_contains(buf_str(&said), "rows 1 to 3 of run 1 is not as it was");
	assert_contains(buf_str(&said), "row 4 of run 1 is in no link of the chain");
	assert_int_equal(problems, 2);
	store_close(s);
	buf_release(&said);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(steps_come_back_in_the_order_in_which_they_were_told),
		CLAIM(a_run_that_ended_may_go_on_and_end_again),
		CLAIM(samples_are_episodes_and_go_with_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
