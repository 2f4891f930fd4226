/*
 * t_episode.c - the turn machine: which turn is repaired, when an episode ends, what cannot come.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/episode.h"

#define FAILED (-1.0) /* a total below 0 stands for a program that did not build */

static struct episode_effect step(struct episode *ep, struct episode_event ev)
{
	struct episode_effect out = { .kind = EFFECT_NONE };
	struct err e = { 0 };

	if (episode_step(ep, &ev, &out, &e) < 0)
		fail_msg("%s", e.text);
	return out;
}

static struct episode_effect start(struct episode *ep, const struct episode_rules *r)
{
	episode_init(ep, r);
	return step(ep, (struct episode_event){ .kind = EPISODE_START, .time_s = 1 });
}

/* One whole turn; gives back what comes after it, and to @commit what it was committed as. */
static struct episode_effect turn(struct episode *ep, int number, double total,
                                  struct episode_effect *commit)
{
	struct episode_effect f = step(ep, (struct episode_event){ .kind = EPISODE_COMPLETION });

	assert_int_equal(f.kind, EFFECT_SCORE);
	f = step(ep, (struct episode_event){
			     .kind = EPISODE_SCORED, .built = total >= 0, .total = total });
	assert_int_equal(f.kind, EFFECT_COMMIT);
	if (commit)
		*commit = f;
	return step(ep, (struct episode_event){ .kind = EPISODE_COMMITTED, .turn = number });
}

static struct episode_rules rules(void)
{
	struct episode_rules r;

	episode_rules_default(&r);
	return r;
}

static void an_end_is_known_by_its_name(void **state)
{
	(void)state;
	for (int i = END_NONE + 1; i <= END_LOST; i++)
		assert_int_equal(episode_end_named(episode_end_name((enum episode_end)i)), i);
	assert_int_equal(episode_end_named("no such end"), END_NONE);
	assert_int_equal(episode_end_named(""), END_NONE);
}

static void the_first_turn_answers_the_first_prompt(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect f = start(&ep, &r), commit;

	assert_int_equal(f.kind, EFFECT_ASK);
	assert_int_equal(f.ask, 0);
	assert_int_equal(f.round, 1);
	assert_int_equal(f.parent.turn, 0);
	turn(&ep, 1, 0.4, &commit);
	assert_int_equal(commit.parent.turn, 0);
	assert_true(commit.is_best);
	assert_true(isnan(commit.delta));
}

static void a_repair_goes_out_from_the_best_turn_so_far(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect commit, f;

	r.rounds = 9;
	r.no_gain = 0;
	start(&ep, &r);
	static const struct {
		double total;
		bool best;
		int next_parent;
	} c[] = {
		{ FAILED, true, 1 }, { 0.50, true, 2 },  { 0.40, false, 2 }, { 0.50, false, 2 },
		{ 0.51, true, 5 },   { -0.2, false, 5 }, { 0.9, true, 7 },
	};
	for (int i = 0; i < 7; i++) {
		int parent = ep.parent.turn;
		double before = ep.parent.total;
		f = turn(&ep, i + 1, c[i].total, &commit);
		assert_int_equal(commit.parent.turn, parent);
		assert_int_equal(commit.is_best, c[i].best);
		if (parent)
			assert_true(fabs(commit.delta - (c[i].total - before)) < 1e-12);
		assert_int_equal(f.kind, EFFECT_ASK);
		assert_int_equal(f.parent.turn, c[i].next_parent);
		assert_int_equal(f.ask, i + 1);
		assert_int_equal(f.round, i + 2);
	}
}

static void a_program_that_built_is_better_than_any_that_did_not(void **state)
{
	(void)state;
	struct episode_turn none = { 0 }, no_total = { 1, true, NAN }, failed = { 2, false, -0.1 },
			    low = { 3, true, -0.3 }, high = { 4, true, 0.3 };

	assert_true(episode_better(&failed, &none));
	assert_false(episode_better(&none, &failed));
	assert_false(episode_better(&none, &none));
	assert_true(episode_better(&low, &failed));
	assert_false(episode_better(&failed, &low));
	assert_true(episode_better(&high, &low));
	assert_false(episode_better(&high, &high));
	assert_true(episode_better(&low, &no_total));
	assert_false(episode_better(&no_total, &low));
	assert_false(episode_better(&no_total, &no_total));
}

static void it_ends_at_the_first_reason_that_holds(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct episode_rules r; /* of the fields that are 0 the default */
		double totals[8];
		int n;
		enum episode_end end;
	} c[] = {
		{ "exactly enough", { .rounds = 4 }, { 0.92 }, 1, END_ENOUGH },
		{ "not quite enough", { .rounds = 1 }, { 0.9199 }, 1, END_TURNS },
		{ "an own threshold", { .enough = 0.5, .rounds = 4 }, { 0.4, 0.5 }, 2, END_ENOUGH },
		{ "never enough", { .enough = NAN, .rounds = 2 }, { 1, 1 }, 2, END_TURNS },
		{ "all turns", { .rounds = 4 }, { 0.1, 0.2, 0.3, 0.4 }, 4, END_TURNS },
		{ "two repairs that bring nothing",
		  { .rounds = 8, .no_gain = 2 },
		  { 0.4, 0.3, 0.4 },
		  3,
		  END_NO_GAIN },
		{ "a gain in between",
		  { .rounds = 8, .no_gain = 2 },
		  { 0.4, 0.3, 0.5, 0.4, 0.5 },
		  5,
		  END_NO_GAIN },
		{ "as many as asked for without a gain",
		  { .rounds = 8, .no_gain = 3 },
		  { 0.4, 0, 0, 0 },
		  4,
		  END_NO_GAIN },
		{ "the last repair is also the last turn",
		  { .rounds = 3, .no_gain = 2 },
		  { 0.4, 0, 0 },
		  3,
		  END_TURNS },
		{ "files run out", { .rounds = 4, .completions = 2 }, { 0.4, 0.5 }, 2, END_SOURCE },
		{ "files and turns end together",
		  { .rounds = 2, .completions = 2 },
		  { 0.4, 0.5 },
		  2,
		  END_TURNS },
		{ "a failure ends it",
		  { .rounds = 4, .stop_on_error = true },
		  { 0.4, FAILED },
		  2,
		  END_ERROR },
		{ "a failure does not end it", { .rounds = 2 }, { FAILED, 0.4 }, 2, END_TURNS },
		{ "a whole group is made",
		  { .rounds = 1, .group = 3 },
		  { 0.95, 0.2, 0.1 },
		  3,
		  END_ENOUGH },
		{ "a group is no repair",
		  { .rounds = 2, .group = 3, .no_gain = 1 },
		  { 0.3, 0.2, 0.1, 0.2 },
		  4,
		  END_TURNS },
		{ "files run out in a group",
		  { .rounds = 2, .group = 3, .completions = 2 },
		  { 0.3, 0.2 },
		  2,
		  END_SOURCE },
		{ "one of a group built",
		  { .rounds = 2, .group = 2, .stop_on_error = true },
		  { FAILED, 0.2, FAILED },
		  3,
		  END_ERROR },
		{ "none of a group built",
		  { .rounds = 2, .group = 2, .stop_on_error = true },
		  { FAILED, FAILED },
		  2,
		  END_ERROR },
	};
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
		struct episode ep;
		struct episode_rules r = c[i].r;
		struct episode_effect f;
		if (r.enough == 0)
			r.enough = EPISODE_ENOUGH;
		if (r.group == 0)
			r.group = 1;
		f = start(&ep, &r);
		for (int k = 0; k < c[i].n; k++) {
			if (f.kind != EFFECT_ASK)
				fail_msg("%s: ended before turn %d", c[i].what, k + 1);
			f = turn(&ep, k + 1, c[i].totals[k], NULL);
		}
		if (f.kind != EFFECT_END || f.end != c[i].end)
			fail_msg("%s: effect %d, end %s", c[i].what, f.kind,
			         episode_end_name(f.end));
		assert_int_equal(ep.end, c[i].end);
		assert_int_equal(ep.committed, c[i].n);
	}
}

static void a_group_is_siblings_and_the_best_of_them_is_repaired(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect f, commit;
	static const double total[] = { 0.2, 0.7, 0.6 };

	r.group = 3;
	r.rounds = 2;
	f = start(&ep, &r);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(f.kind, EFFECT_ASK);
		assert_int_equal(f.round, 1);
		assert_int_equal(f.ask, k);
		f = turn(&ep, k + 1, total[k], &commit);
		assert_int_equal(commit.parent.turn, 0);
	}
	assert_int_equal(f.round, 2);
	assert_int_equal(f.parent.turn, 2);
	f = turn(&ep, 4, 0.8, &commit);
	assert_int_equal(commit.parent.turn, 2);
	assert_int_equal(f.end, END_TURNS);
	assert_int_equal(ep.best.turn, 4);
}

static void a_fork_answers_to_the_turn_it_was_made_from(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect f, commit;

	r.rounds = 2;
	episode_init(&ep, &r);
	f = step(&ep, (struct episode_event){ .kind = EPISODE_START,
	                                      .parent = { 2, true, 0.3 },
	                                      .best = { 5, true, 0.8 } });
	assert_int_equal(f.kind, EFFECT_ASK);
	assert_int_equal(f.parent.turn, 2);
	f = turn(&ep, 7, 0.6, &commit);
	assert_int_equal(commit.parent.turn, 2);
	assert_false(commit.is_best);
	assert_true(fabs(commit.delta - 0.3) < 1e-12);
	/* the store had given out 6 meanwhile: another process */
	assert_int_equal(f.parent.turn, 5);
	f = turn(&ep, 8, 0.9, &commit);
	assert_int_equal(f.kind, EFFECT_END);
	assert_int_equal(ep.best.turn, 8);
	assert_true(episode_built(&ep));
}

static void a_user_stops_it_now_or_after_the_turn(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect f;

	for (int at = 0; at < 3; at++) {
		start(&ep, &r);
		turn(&ep, 1, 0.3, NULL);
		if (at > 0)
			step(&ep, (struct episode_event){ .kind = EPISODE_COMPLETION });
		if (at > 1)
			step(&ep, (struct episode_event){
					  .kind = EPISODE_SCORED, .built = true, .total = 0.9 });
		f = step(&ep, (struct episode_event){ .kind = EPISODE_STOP });
		assert_int_equal(f.kind, EFFECT_END);
		assert_int_equal(f.end, END_INTERRUPTED);
		assert_int_equal(ep.committed, 1);
		assert_int_equal(ep.best.turn, 1);
		/* again: nothing more to do, and no error */
		f = step(&ep, (struct episode_event){ .kind = EPISODE_STOP });
		assert_int_equal(f.kind, EFFECT_NONE);
		assert_int_equal(ep.end, END_INTERRUPTED);
	}
	start(&ep, &r);
	f = step(&ep, (struct episode_event){ .kind = EPISODE_STOP_AFTER });
	assert_int_equal(f.kind, EFFECT_NONE);
	f = turn(&ep, 1, 0.3, NULL);
	assert_int_equal(f.end, END_STOPPED);
	assert_int_equal(ep.committed, 1);
}

static void a_source_or_a_machine_that_fails_ends_it(void **state)
{
	(void)state;
	struct episode ep;
	struct episode_rules r = rules();
	struct episode_effect f;

	start(&ep, &r);
	f = step(&ep, (struct episode_event){ .kind = EPISODE_NO_COMPLETION });
	assert_int_equal(f.end, END_NO_COMPLETION);
	assert_false(episode_built(&ep));
	for (int at = 0; at < 3; at++) {
		start(&ep, &r);
		if (at > 0)
			step(&ep, (struct episode_event){ .kind = EPISODE_COMPLETION });
		if (at > 1)
			step(&ep, (struct episode_event){ .kind = EPISODE_SCORED, .total = NAN });
		f = step(&ep, (struct episode_event){ .kind = EPISODE_LOST });
		assert_int_equal(f.end, END_LOST);
		assert_int_equal(ep.committed, 0);
	}
}

static void what_cannot_come_now_is_told_and_changes_nothing(void **state)
{
	(void)state;
	/* which of the eight events may come in each of the five phases */
	static const char *const may[] = {
		[EPISODE_NEW] = "10000010",     [EPISODE_ASKING] = "01001111",
		[EPISODE_SCORING] = "00100111", [EPISODE_COMMITTING] = "00010111",
		[EPISODE_OVER] = "00000010",
	};
	for (int phase = EPISODE_NEW; phase <= EPISODE_OVER; phase++) {
		for (int kind = EPISODE_START; kind <= EPISODE_STOP_AFTER; kind++) {
			struct episode ep, before;
			struct episode_rules r = rules();
			struct episode_effect out;
			struct err e = { 0 };
			episode_init(&ep, &r);
			if (phase > EPISODE_NEW)
				start(&ep, &r);
			if (phase > EPISODE_ASKING)
				step(&ep, (struct episode_event){ .kind = EPISODE_COMPLETION });
			if (phase > EPISODE_SCORING)
				step(&ep, (struct episode_event){ .kind = EPISODE_SCORED });
			if (phase > EPISODE_COMMITTING)
				step(&ep, (struct episode_event){ .kind = EPISODE_LOST });
			assert_int_equal(ep.phase, phase);
			before = ep;
			struct episode_event ev = { .kind = (enum episode_event_kind)kind,
				                    .time_s = 77,
				                    .turn = 1 };
			int rc = episode_step(&ep, &ev, &out, &e);
			assert_int_equal(rc, may[phase][kind] == '1' ? 0 : -1);
			if (rc < 0) {
				assert_int_equal(e.kind, ERR_PROTOCOL);
				assert_non_null(strstr(e.text, "episode: it "));
				assert_memory_equal(&ep, &before, sizeof(ep));
			} else {
				assert_true(ep.changed_s == 77);
			}
		}
	}
}

/* Whatever comes in whatever order: it ends, never asks for more than it may, and its best is the
 * best. */
static void any_order_of_events_keeps_its_promises(void **state)
{
	(void)state;
	unsigned seed = 7;

	for (int run = 0; run < 20000; run++) {
		struct episode ep;
		struct episode_rules r = rules();
		struct episode_effect f;
		struct episode_turn best = { 0 };
		int asks = 0, turns = 0;
		double in_flight = NAN;
		bool built = false;
		r.rounds = 1 + (int)(rand_r(&seed) % 5);
		r.group = 1 + (int)(rand_r(&seed) % 4);
		r.no_gain = (int)(rand_r(&seed) % 3);
		r.completions = (int)(rand_r(&seed) % 8);
		r.stop_on_error = rand_r(&seed) % 2;
		episode_init(&ep, &r);
		for (int i = 0; i < 400 && ep.phase != EPISODE_OVER; i++) {
			struct episode_event ev = {
				/* stops and losses seldom, or nothing else would be seen */
				.kind = rand_r(&seed) % 50
				                ? (enum episode_event_kind)(rand_r(&seed) % 4)
				                : (enum episode_event_kind)(rand_r(&seed) % 8),
				.built = rand_r(&seed) % 3 != 0,
				.total = rand_r(&seed) % 10 ? (rand_r(&seed) % 100) / 100.0 : NAN,
				.turn = turns + 1,
			};
			if (episode_step(&ep, &ev, &f, NULL) < 0)
				continue;
			asks += f.kind == EFFECT_ASK;
			if (ev.kind == EPISODE_SCORED) {
				in_flight = ev.total;
				built = ev.built;
			}
			if (ev.kind == EPISODE_COMMITTED) {
				struct episode_turn t = { ++turns, built, in_flight };
				if (episode_better(&t, &best))
					best = t;
			}
			if (f.kind == EFFECT_ASK) {
				assert_int_equal(f.parent.turn != 0, f.round > 1);
				if (f.round > 1)
					assert_int_equal(f.parent.turn, best.turn);
			}
		}
		assert_int_equal(ep.phase, EPISODE_OVER);
		assert_int_equal(ep.best.turn, best.turn);
		assert_int_equal(ep.committed, turns);
		assert_true(asks <= r.group + r.rounds - 1);
		assert_true(r.completions == 0 || asks <= r.completions);
		assert_true(turns <= asks);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_known_by_its_name),
		cmocka_unit_test(the_first_turn_answers_the_first_prompt),
		cmocka_unit_test(a_repair_goes_out_from_the_best_turn_so_far),
		cmocka_unit_test(a_program_that_built_is_better_than_any_that_did_not),
		cmocka_unit_test(it_ends_at_the_first_reason_that_holds),
		cmocka_unit_test(a_group_is_siblings_and_the_best_of_them_is_repaired),
		cmocka_unit_test(a_fork_answers_to_the_turn_it_was_made_from),
		cmocka_unit_test(a_user_stops_it_now_or_after_the_turn),
		cmocka_unit_test(a_source_or_a_machine_that_fails_ends_it),
		cmocka_unit_test(what_cannot_come_now_is_told_and_changes_nothing),
		cmocka_unit_test(any_order_of_events_keeps_its_promises),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
