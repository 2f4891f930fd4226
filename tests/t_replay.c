/*
 * t_replay.c - an episode played back: the same whichever way one came to a moment; nobody waits
 * for what nobody did; what was recorded badly is passed over. And casts.
 */
#include "tests/store.h"

#include "src/base/json.h"
#include "src/cast.h"
#include "src/replay.h"

static char dir[256];
static struct store *db;
static int64_t episode;

static int setup(void **state)
{
	struct err e = { 0 };
	char path[300];

	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/s.db", dir);
	if (!(db = store_open(path, STORE_WRITE, NULL, &e)))
		fail_msg("%s", e.text);
	assert_done(start_episode(db, "hook", &episode, &e), &e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_close(db);
	remove_folder(dir);
	return 0;
}

#define S 1000000ll

/* A turn that began at @at_s, took @took_s, and whose answer came in two pieces. */
static void add_turn(int parent, int member, double at_s, double took_s, bool built, double total)
{
	int64_t t = (int64_t)(at_s * 1e6) + 1000 * S, end = t + (int64_t)(took_s * 1e6);
	struct err e = { 0 };
	char program[80], ask[120], figure[80];
	int number;
	cJSON *score = score_of(total, built, built ? "build_ok" : "undefined_name");

	snprintf(program, sizeof(program), "import cadquery as cq\nsize = %d\nfixture = size\n",
	         (int)at_s);
	snprintf(ask, sizeof(ask), "{\"do\":\"ask\",\"turn\":1,\"round\":1,\"parent\":%s}",
	         parent ? "1" : "null");
	snprintf(figure, sizeof(figure), "{\"name\":\"total\",\"value\":%.3f}", total);
	const struct store_event_new events[] = {
		{ t, "decision", ask },
		{ t, "prompt", "{\"bytes\":10}" },
		{ t + (end - t) / 4, "tokens", "import cadquery as cq\n" },
		{ t + (end - t) / 2, "tokens", strchr(program, '\n') + 1 },
		{ t + (end - t) / 2, "completion",
		  "{\"bytes\":40,\"finish\":\"stop\",\"seconds\":1}" },
		{ t + (end - t) * 3 / 4, "log", "a line\n" },
		{ t + (end - t) * 3 / 4, "build",
		  built ? "{\"ok\":true,\"cause\":\"ok\",\"error\":null,\"seconds\":0.5}"
		        : "{\"ok\":false,\"cause\":\"name\",\"error\":\"no such name\",\"seconds\":0.5}" },
		{ end, "figure", figure },
		{ end, "decision", "{\"do\":\"commit\",\"best\":true,\"delta\":null}" },
	};
	struct store_turn_new n = { .episode = episode,
		                    .parent = parent,
		                    .source = "model",
		                    .started_us = t,
		                    .committed_us = end,
		                    .member = member,
		                    .prompt_tokens = -1,
		                    .completion_tokens = -1,
		                    .finish = "stop",
		                    .completion = program,
		                    .completion_len = strlen(program),
		                    .program = program,
		                    .program_len = strlen(program),
		                    .score = score,
		                    .events = events,
		                    .n_events = sizeof(events) / sizeof(*events) };
	assert_done(store_turn_commit(db, &n, &number, &e), &e);
	cJSON_Delete(score);
}

static struct replay *open_replay(void)
{
	struct err e = { 0 };
	struct replay *r = replay_open(db, episode, &e);

	if (!r)
		fail_msg("%s", e.text);
	return r;
}

/* What is to be seen of it, in words. */
static void say(const struct replay *r, struct buf *out)
{
	const struct live *l = &r->live;

	buf_clear(out);
	buf_printf(out, "turn %d parent %d at %d answers %d total %.3f class %s build %.3g log %s",
	           l->turn, l->parent, (int)l->at, l->n_answers, l->total, l->class_name,
	           l->build_s, buf_str(&l->log));
	for (int i = 0; i < l->n_answers; i++)
		buf_printf(out, " [%d %s %d %.3f %s]", l->answer[i].turn,
		           buf_str(&l->answer[i].code), l->answer[i].over, l->answer[i].total,
		           l->answer[i].class_name);
}

static void a_moment_is_the_same_from_before_and_from_behind(void **state)
{
	struct buf there[80] = { { 0 } }, now = { 0 };
	struct err e = { 0 };

	(void)state;
	add_turn(0, 1, 0, 8, true, 0.5);
	add_turn(0, 2, 8, 4, false, -0.75);
	add_turn(0, 3, 12, 4, true, 0.25);
	add_turn(1, 0, 20, 8, true, 0.75);
	add_turn(4, 0, 30, 8, false, -0.5);
	struct replay *r = open_replay();
	assert_in_range(r->n, 5 * 9, 79);
	for (int i = 0; i <= r->n; i++) {
		say(r, &there[i]);
		if (i < r->n)
			assert_done(replay_step(r, 1, &e), &e);
	}
	assert_int_equal(r->done, r->n);
	assert_string_equal(buf_str(&r->live.answer[0].code),
	                    "import cadquery as cq\nsize = 30\nfixture = size");
	assert_int_equal(r->live.turn, 5);
	for (int i = r->n; i > 0; i--) {
		assert_done(replay_step(r, -1, &e), &e);
		say(r, &now);
		/* of what was before the round before nothing is to be seen */
		if (strcmp(buf_str(&now), buf_str(&there[i - 1])) != 0)
			fail_msg("after %d events:\n%s\nbut before:\n%s", i - 1, buf_str(&now),
			         buf_str(&there[i - 1]));
	}
	for (int i = 0; i <= 79; i++)
		buf_release(&there[i]);
	buf_release(&now);
	replay_close(r);
}

static void one_seeks_by_turn_share_and_second(void **state)
{
	struct err e = { 0 };

	(void)state;
	add_turn(0, 0, 0, 8, true, 0.5);
	add_turn(1, 0, 8.5, 8, true, 0.75);
	struct replay *r = open_replay();
	assert_close(r->length_s, 16.5, 1e-6);
	assert_int_equal(replay_turn_at(r), 0);
	assert_done(replay_seek(r, 2.0, &e), &e);
	assert_string_equal(buf_str(&r->live.answer[0].code), "import cadquery as cq\n");
	assert_int_equal(replay_turn_at(r), 1);
	assert_done(replay_seek_turn(r, 2, &e), &e);
	assert_close(r->at_s, 8.5, 1e-6);
	assert_int_equal(replay_turn_at(r), 2);
	assert_int_equal(r->live.answer[0].code.len, 0);
	assert_done(replay_seek_share(r, 1000, &e), &e);
	assert_int_equal(r->done, r->n);
	assert_close(r->live.total, 0.75, 1e-9);
	assert_done(replay_seek_share(r, 0, &e), &e);
	assert_done(replay_seek(r, -5, &e), &e);
	assert_close(r->at_s, 0, 0);
	assert_done(replay_seek(r, 1e300, &e), &e);
	assert_close(r->at_s, 16.5, 1e-6);
	assert_int_equal(replay_seek_turn(r, 3, &e), -1);
	assert_contains(e.text, "no turn 3");
	replay_close(r);
}

static void a_night_between_two_turns_is_a_second(void **state)
{
	(void)state;
	add_turn(0, 0, 0, 8, true, 0.5);
	add_turn(1, 0, 40000, 600, true, 0.75);
	struct replay *r = open_replay();
	/* but not what the model took its time for */
	assert_close(r->length_s, 8 + REPLAY_PAUSE_S + 600, 1e-6);
	assert_close(r->turn[1].from_s, 9, 1e-6);
	replay_close(r);
}

static void it_plays_at_its_speed_and_holds_at_the_end(void **state)
{
	struct err e = { 0 };
	bool changed;

	(void)state;
	add_turn(0, 0, 0, 8, true, 0.5);
	struct replay *r = open_replay();
	assert_close(replay_tick(r, 5, &changed, &e), -1, 0);
	assert_done(replay_play(r, true, 100, &e), &e);
	/* what happened at once is there at once; the next in two seconds: asked again before */
	assert_close(replay_tick(r, 100, &changed, &e), 0.5, 1e-9);
	assert_true(changed);
	assert_close(replay_tick(r, 101.9, &changed, &e), 0.1, 1e-6);
	assert_false(changed);
	replay_tick(r, 102, &changed, &e);
	assert_true(changed);
	assert_close(r->at_s, 2, 1e-6);
	for (int i = 0; i < 9; i++)
		replay_speed(r, 1);
	assert_close(r->speed, 16, 0);
	replay_tick(r, 102.125, &changed, &e);
	assert_close(r->at_s, 4, 1e-6);
	replay_speed(r, -9);
	assert_close(r->speed, 0.25, 0);
	replay_tick(r, 106.125, &changed, &e);
	assert_close(r->at_s, 5, 1e-6);
	/* a clock that stands or is set back moves nothing */
	replay_tick(r, 90, &changed, &e);
	assert_close(r->at_s, 5, 1e-6);
	replay_speed(r, 9);
	assert_close(replay_tick(r, 200, &changed, &e), -1, 0);
	assert_true(changed);
	assert_false(r->playing);
	assert_int_equal(r->done, r->n);
	assert_done(replay_play(r, true, 300, &e), &e);
	assert_close(r->at_s, 0, 0);
	assert_true(r->playing);
	replay_close(r);
}

static void a_turn_without_events_is_its_text_and_its_score(void **state)
{
	struct err e = { 0 };
	int number;

	(void)state;
	struct store_turn_new n = { .episode = episode,
		                    .source = "import",
		                    .started_us = S,
		                    .committed_us = S,
		                    .prompt_tokens = -1,
		                    .completion_tokens = -1,
		                    .program = "x = 1\n",
		                    .program_len = 6 };
	cJSON *score = score_of(0.5, true, "build_ok");
	n.score = score;
	assert_done(store_turn_commit(db, &n, &number, &e), &e);
	struct replay *r = open_replay();
	assert_close(r->length_s, REPLAY_BARE_S, 1e-6);
	assert_done(replay_seek(r, 0, &e), &e);
	assert_string_equal(buf_str(&r->live.answer[0].text), "x = 1\n");
	assert_true(isnan(r->live.total));
	assert_done(replay_seek(r, 9, &e), &e);
	assert_close(r->live.total, 0.5, 1e-9);
	cJSON_Delete(score);
	replay_close(r);
}

static void what_was_recorded_badly_is_passed_over(void **state)
{
	struct err e = { 0 };
	int number;
	/* a clock that was set back, kinds and data that mean nothing */
	static const struct store_event_new events[] = {
		{ 9 * S, "decision", "{\"do\":\"ask\"" },
		{ 8 * S, "tokens", NULL },
		{ 7 * S, "tokens", "a = 1\n\x1b]0;x\x07" },
		{ -5 * S, "build", "[[[[" },
		{ INT64_MAX, "figure", "{\"name\":7,\"value\":\"x\"}" },
		{ 0, "phase", "{}" },
		{ 0, "early", "{\"line\":1e99}" },
		{ 0, "token", "{\"i\":-1,\"top\":[[],[1],[1,2,3],{}]}" },
		{ 0, "no such kind", "null" },
		{ 0, "begin", "{\"group\":1e9,\"parent\":-1}" },
		{ 0, "shape", "{\"line\":3}" },
		{ 0, "turn", "3" },
	};
	cJSON *score = score_of(0.5, true, "build_ok");
	struct store_turn_new n = { .episode = episode,
		                    .source = "model",
		                    .started_us = 10 * S,
		                    .committed_us = 11 * S,
		                    .prompt_tokens = -1,
		                    .completion_tokens = -1,
		                    .member = 64,
		                    .score = score,
		                    .events = events,
		                    .n_events = sizeof(events) / sizeof(*events) };

	(void)state;
	assert_done(store_turn_commit(db, &n, &number, &e), &e);
	n.member = 1000000;
	assert_done(store_turn_commit(db, &n, &number, &e), &e);
	struct replay *r = open_replay();
	double before = 0;
	for (int i = 0; i < r->n; i++) {
		assert_true(isfinite(r->event[i].at_s) && r->event[i].at_s >= before);
		before = r->event[i].at_s;
	}
	for (int i = 0; i < r->n; i++)
		assert_done(replay_step(r, 1, &e), &e);
	for (int i = 0; i < r->n; i++)
		assert_done(replay_step(r, -1, &e), &e);
	cJSON_Delete(score);
	replay_close(r);
}

static void an_episode_without_turns_has_nothing_to_play(void **state)
{
	struct err e = { 0 };

	(void)state;
	struct replay *r = open_replay();
	assert_int_equal(r->n, 0);
	assert_done(replay_play(r, true, 1, &e), &e);
	assert_false(r->playing);
	assert_done(replay_step(r, 1, &e), &e);
	assert_done(replay_seek_share(r, 500, &e), &e);
	replay_close(r);
	assert_null(replay_open(db, episode + 1, &e));
	assert_int_equal(e.kind, ERR_INPUT);
}

/* ---- casts ---- */

static void a_cast_is_a_header_and_an_event_a_line(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct err e = { 0 };
	struct cast c;

	(void)state;
	assert_int_equal(
		cast_begin(&c, f, "f", 80, 24, 1700000000123456, "a \"title\"", "xterm", &e), 0);
	assert_int_equal(cast_add(&c, 0, "\x1b[1m\xc3\xa4\r\n", 8, &e), 0);
	assert_int_equal(cast_add(&c, 0.1234567, "", 0, &e), 0);
	assert_int_equal(cast_add(&c, 0.1234567, "a\xff\0b\xe2\x94", 6, &e), 0);
	assert_int_equal(cast_add(&c, 0.05, "late", 4, &e), 0);
	fclose(f);
	assert_string_equal(
		text,
		"{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1700000000,\"title\":\"a "
		"\\\"title\\\"\",\"env\":{\"TERM\":\"xterm\"}}\n"
		"[0,\"o\",\"\\u001b[1m\xc3\xa4\\r\\n\"]\n"
		"[0.123457,\"o\",\"a?b??\"]\n"
		"[0.123457,\"o\",\"late\"]\n");
	assert_int_equal(c.events, 3);
	free(text);
}

static void a_cast_that_cannot_be_written_is_told(void **state)
{
	FILE *f = fopen("/dev/full", "w");
	struct err e = { 0 };
	struct cast c;

	(void)state;
	if (!f)
		skip();
	setvbuf(f, NULL, _IONBF, 0);
	assert_int_equal(cast_begin(&c, f, "the name", 80, 24, 0, "t", "xterm", &e), -1);
	assert_int_equal(e.kind, ERR_IO);
	assert_contains(e.text, "the name");
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_moment_is_the_same_from_before_and_from_behind,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(one_seeks_by_turn_share_and_second, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_night_between_two_turns_is_a_second, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(it_plays_at_its_speed_and_holds_at_the_end, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_turn_without_events_is_its_text_and_its_score,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_recorded_badly_is_passed_over, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(an_episode_without_turns_has_nothing_to_play, setup,
		                                teardown),
		cmocka_unit_test(a_cast_is_a_header_and_an_event_a_line),
		cmocka_unit_test(a_cast_that_cannot_be_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
