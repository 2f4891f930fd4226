/* What answers were to a run: kept a step at a time under one link, read with what their turns say.
 */
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
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_CONSTRAINT)
		fprintf(stderr, "%s\n", sqlite3_errmsg(d));
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

static int print_rollout(void *ctx, const struct store_rollout *v)
{
	struct buf *b = ctx;

	buf_printf(b, "%lld %d.%d.%d %s %lld.%d %s %s%s%c%s", (long long)v->step, v->group,
	           v->member, v->round, v->kind, (long long)v->episode, v->turn, v->task,
	           v->class_name ? v->class_name : "-", v->repairs ? " repairs " : "",
	           v->built ? '+' : 'x', v->repairs ? v->repairs : "");
	if (v->clipped)
		buf_adds(b, " clipped");
	if (!isnan(v->total))
		buf_printf(b, " t%g", v->total);
	if (!isnan(v->reward))
		buf_printf(b, " r%g", v->reward);
	if (!isnan(v->advantage))
		buf_printf(b, " a%g", v->advantage);
	buf_printf(b, " %d %s\n", v->completion_tokens, v->use);
	return 0;
}

static int first_alone(void *ctx, const struct store_rollout *v)
{
	(void)v;
	++*(int *)ctx;
	return 1;
}

/* A turn of @episode; its id. */
static int64_t a_turn(struct store *s, int64_t episode, int parent, bool built, bool clipped)
{
	cJSON *score = score_of(built ? 0.75 : -1, built, built ? "ok" : "undefined_name");
	struct store_turn_new t = { .episode = episode,
		                    .parent = parent,
		                    .source = "model",
		                    .finish = clipped ? "length" : "stop",
		                    .prompt_tokens = 9,
		                    .completion_tokens = clipped ? -1 : 20,
		                    .score = score };
	struct err e = { 0 };
	int number;
	int64_t id = 0;

	assert_done(store_turn_commit(s, &t, &number, &e), &e);
	assert_done(store_newest_turn(s, 0, &id, &e), &e);
	cJSON_Delete(score);
	return id;
}

static struct store_rollout of_step(int64_t turn_id, int64_t step, int group, int member)
{
	return (struct store_rollout){ .turn_id = turn_id,
		                       .step = step,
		                       .group = group,
		                       .member = member,
		                       .round = 1,
		                       .kind = "first",
		                       .reward = 0.5,
		                       .advantage = NAN,
		                       .use = "used" };
}

static int64_t a_run(struct store *s)
{
	struct err e = { 0 };
	int64_t run = 0;

	assert_done(store_run_start(s, "grpo", "{}", &run, &e), &e);
	return run;
}

static void a_step_is_read_with_what_its_turns_say(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s), ep, chair;
	struct store_rollout v[4];
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_done(start_episode(s, "chair", &chair, &e), &e);
	v[0] = of_step(a_turn(s, ep, 0, false, false), 1, 1, 1);
	v[0].reward = -0.5;
	v[0].advantage = -0.75;
	v[1] = of_step(a_turn(s, ep, 1, true, false), 1, 1, 1);
	v[1].round = 2;
	v[1].advantage = 1.25;
	v[2] = of_step(a_turn(s, ep, 0, false, true), 1, 1, 2);
	v[2].use = "clipped";
	v[3] = of_step(a_turn(s, chair, 0, true, false), 1, 0, 1);
	v[3].kind = "repair";
	v[3].reward = NAN;
	v[3].use = "lost";
	assert_done(store_rollouts_add(s, run, v, 4, &e), &e);
	assert_done(store_rollouts_add(s, run, v, 0, &e), &e);
	assert_done(store_rollouts(s, run, 0, 9, print_rollout, &said, &e), &e);
	assert_string_equal(
		buf_str(&said),
		"1 0.1.1 repair 2.1 chair ok+ t0.75 20 lost\n"
		"1 1.1.1 first 1.1 hook undefined_namex t-1 r-0.5 a-0.75 20 used\n"
		"1 1.2.1 first 1.3 hook undefined_namex clipped t-1 r0.5 -1 clipped\n"
		"1 1.1.2 first 1.2 hook ok repairs +undefined_name t0.75 r0.5 a1.25 20 used\n");
	int told = 0;
	assert_done(store_rollouts(s, run, 1, 1, first_alone, &told, &e), &e);
	assert_int_equal(told, 1);
	buf_clear(&said);
	assert_done(store_rollouts(s, run, 2, 9, print_rollout, &said, &e), &e);
	assert_done(store_rollouts(s, run + 1, 0, 9, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void what_is_no_answer_of_the_store_is_refused_whole(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s), ep;
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	int64_t turn = a_turn(s, ep, 0, true, false);
	struct store_rollout v[2] = { of_step(turn, 1, 0, 1), of_step(99, 1, 0, 2) };
	assert_int_equal(store_rollouts_add(s, run, v, 2, &e), -1);
	assert_contains(e.text, "rollout of turn id 99, step 1: ");
	assert_contains(e.text, "there is none of that id");
	v[1].turn_id = turn;
	assert_int_equal(store_rollouts_add(s, run, v, 2, &e), -1);
	v[0].use = "liked";
	assert_int_equal(store_rollouts_add(s, run, v, 1, &e), -1);
	v[0] = of_step(turn, 1, 0, 1);
	v[0].kind = "second";
	assert_int_equal(store_rollouts_add(s, run, v, 1, &e), -1);
	v[0].kind = "first";
	assert_int_equal(store_rollouts_add(s, 7, v, 1, &e), -1);
	assert_contains(e.text, "there is no run 7");
	assert_done(store_rollouts(s, run, 0, 9, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "");
	assert_done(store_rollouts_add(s, run, v, 1, &e), &e);
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void of_steps_taken_again_the_later_ones_hold(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s), other = a_run(s), ep;
	/* a kill after step 4; on from 1, stopped after 3: what holds are 1, 2 and 3 as they were
	 * taken the second time */
	static const int taken[] = { 1, 2, 3, 4, 2, 3 };
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (size_t i = 0; i < 6; i++) {
		struct store_rollout v[2];
		v[0] = of_step(a_turn(s, ep, 0, true, false), taken[i], 0, 1);
		v[1] = of_step(a_turn(s, ep, 0, true, false), taken[i], 0, 2);
		assert_done(store_rollouts_add(s, run, v, i == 4 ? 1 : 2, &e), &e);
		if (i < 2) {
			/* evaluations on the way, and another run's steps */
			v[0] = of_step(a_turn(s, ep, 0, true, false), 0, (int)i, 1);
			v[0].kind = "eval";
			v[0].use = NULL;
			assert_done(store_rollouts_add(s, run, v, 1, &e), &e);
			v[0] = of_step(a_turn(s, ep, 0, true, false), 9 - (int)i, 0, 1);
			assert_done(store_rollouts_add(s, other, v, 1, &e), &e);
		}
	}
	assert_done(store_rollouts(s, run, 0, INT64_MAX, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "0 0.1.1 eval 1.3 hook ok+ t0.75 r0.5 20 \n"
	                                    "0 1.1.1 eval 1.7 hook ok+ t0.75 r0.5 20 \n"
	                                    "1 0.1.1 first 1.1 hook ok+ t0.75 r0.5 20 used\n"
	                                    "1 0.2.1 first 1.2 hook ok+ t0.75 r0.5 20 used\n"
	                                    "2 0.1.1 first 1.13 hook ok+ t0.75 r0.5 20 used\n"
	                                    "3 0.1.1 first 1.15 hook ok+ t0.75 r0.5 20 used\n"
	                                    "3 0.2.1 first 1.16 hook ok+ t0.75 r0.5 20 used\n");
	/* a part of them tells the same of each */
	buf_clear(&said);
	assert_done(store_rollouts(s, run, 3, 4, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "3 0.1.1 first 1.15 hook ok+ t0.75 r0.5 20 used\n"
	                                    "3 0.2.1 first 1.16 hook ok+ t0.75 r0.5 20 used\n");
	buf_clear(&said);
	assert_done(store_rollouts(s, other, 0, 99, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "8 0.1.1 first 1.8 hook ok+ t0.75 r0.5 20 used\n");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void rows_stay_when_their_turns_are_pruned(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t run = a_run(s), ep[2];
	int problems;
	(void)state;

	assert_done(start_episode(s, "hook", &ep[0], &e), &e);
	assert_done(start_episode(s, "chair", &ep[1], &e), &e);
	struct store_rollout v[2] = { of_step(a_turn(s, ep[0], 0, true, false), 1, 0, 1),
		                      of_step(a_turn(s, ep[1], 0, true, false), 1, 1, 1) };
	assert_done(store_rollouts_add(s, run, v, 2, &e), &e);
	struct store_prune p = { .episode = ep[0], .whole_episodes = true };
	struct store_pruned gone;
	assert_done(store_prune(s, &p, &gone, &e), &e);
	assert_done(store_rollouts(s, run, 0, 9, print_rollout, &said, &e), &e);
	assert_string_equal(buf_str(&said), "1 1.1.1 first 2.1 chair ok+ t0.75 r0.5 20 used\n");
	assert_whole(s);
	store_close(s);
	/* a change behind the guards is seen, as before */
	assert_int_equal(outside("UPDATE rollouts SET reward = 1"), SQLITE_CONSTRAINT);
	assert_int_equal(outside("DELETE FROM rollouts"), SQLITE_CONSTRAINT);
	assert_int_equal(
		outside("DROP TRIGGER rollouts_stay_as_they_are; DROP TRIGGER rollouts_have_a_turn; "
	                "UPDATE rollouts SET reward = 1 WHERE number = 1; INSERT INTO rollouts "
	                "VALUES (1, 3, 99, 1, 0, 1, 1, 'first', 1, 1, 'used', 2)"),
		SQLITE_OK);
	s = open_it(STORE_WRITE);
	look_through(s, false, &said, &problems);
	assert_contains(buf_str(&said), "rollouts 1 to 2 of run 1 is not as it was");
	assert_contains(buf_str(&said), "rollout 3 of run 1 is in no link of the chain");
	assert_int_equal(problems, 2);
	store_close(s);
	buf_release(&said);
}

static int count_turn(void *ctx, const struct store_turn *t)
{
	(void)t;
	++*(int *)ctx;
	return 0;
}

static void a_database_of_version_3_is_brought_up_with_all_it_has(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t ep, run;
	int number, turns = 0;
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 0; i < 3; i++)
		assert_done(commit_turn(s, ep, i, i, &number, &e), &e);
	run = a_run(s);
	store_close(s);
	assert_int_equal(outside("DROP TABLE rollouts; PRAGMA user_version = 3"), SQLITE_OK);
	assert_null(store_open(db, STORE_READ, NULL, &e));
	assert_contains(e.text, "older schema version 3");
	s = open_it(STORE_WRITE);
	assert_done(store_turns(s, ep, count_turn, &turns, &e), &e);
	assert_int_equal(turns, 3);
	assert_whole(s);
	struct store_rollout v = of_step(2, 1, 0, 1);
	assert_done(store_rollouts_add(s, run, &v, 1, &e), &e);
	assert_done(store_rollouts(s, run, 1, 1, print_rollout, &said, &e), &e);
	assert_contains(buf_str(&said), "1 0.1.1 first 1.2 hook");
	assert_whole(s);
	/* the copy has them too */
	char copy[700];
	snprintf(copy, sizeof(copy), "%s/copy.db", dir);
	assert_done(store_backup(s, copy, &e), &e);
	store_close(s);
	s = store_open(copy, STORE_READ, NULL, &e);
	assert_non_null(s);
	buf_clear(&said);
	assert_done(store_rollouts(s, run, 1, 1, print_rollout, &said, &e), &e);
	assert_contains(buf_str(&said), "1 0.1.1 first 1.2 hook");
	store_close(s);
	/* and the one from before the migration is kept */
	DIR *d = opendir(dir);
	int kept = 0;
	for (struct dirent *x; d && (x = readdir(d));)
		kept += strstr(x->d_name, ".v3-") != NULL && strstr(x->d_name, ".bak") != NULL;
	closedir(d);
	assert_true(kept >= 1);
	buf_release(&said);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_step_is_read_with_what_its_turns_say),
		CLAIM(what_is_no_answer_of_the_store_is_refused_whole),
		CLAIM(of_steps_taken_again_the_later_ones_hold),
		CLAIM(rows_stay_when_their_turns_are_pruned),
		CLAIM(a_database_of_version_3_is_brought_up_with_all_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
