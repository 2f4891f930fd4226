/* t_tally.c - the sums that tables are read from are those of the turns, whatever happens to them.
 */
#include "tests/store.h"

#include <math.h>
#include <sqlite3.h>

static char dir[256], db[300];

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

static struct store *open_it(enum store_mode mode)
{
	struct err e = { 0 };
	struct store *s = store_open(db, mode, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

/* With a plain connection, as another tool would. */
static void outside(const char *sql)
{
	sqlite3 *d = NULL;
	char *text = NULL;

	assert_int_equal(sqlite3_open(db, &d), SQLITE_OK);
	if (sqlite3_exec(d, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s", text);
	sqlite3_close(d);
}

static void add(struct store *s, int64_t ep, int parent, const char *model, const char *sampling,
                double total, bool built, const char *class_name)
{
	struct err e = { 0 };
	cJSON *score = score_of(total, built, class_name);
	struct store_turn_new t = { .episode = ep,
		                    .parent = parent,
		                    .source = "model",
		                    .model = model,
		                    .sampling = sampling,
		                    .prompt_tokens = -1,
		                    .completion_tokens = -1,
		                    .program = "x",
		                    .program_len = 1,
		                    .score = score };
	int number;

	assert_done(store_turn_commit(s, &t, &number, &e), &e);
	cJSON_Delete(score);
}

/* Two episodes: a model that fails twice and then builds, and another one that builds at once. */
static void fill(struct store *s, int64_t ep[2])
{
	struct err e = { 0 };

	assert_done(start_episode(s, "hook", &ep[0], &e), &e);
	add(s, ep[0], 0, "small", "{\"temperature\":0.6,\"seed\":1}", -0.5, false, "invented_api");
	add(s, ep[0], 1, "small", "{\"temperature\":0.6,\"seed\":2}", -0.25, false, "invented_api");
	add(s, ep[0], 2, "small", "{\"temperature\":0.6,\"seed\":3}", 0.5, true, "build_ok");
	assert_done(start_episode(s, "hook", &ep[1], &e), &e);
	add(s, ep[1], 0, "large", "no JSON", 0.75, true, "build_ok");
}

static int print_tally(void *ctx, const struct store_tally *t)
{
	struct buf *b = ctx;

	buf_printf(b, "%s %s %s <%s >%s n%d b%d s%d %.2f %.2f @%d\n", t->task, t->model,
	           t->sampling, t->repairs, t->class_name, (int)t->turns, (int)t->built,
	           (int)t->scored, t->total, t->best, (int)t->best_turn);
	return 0;
}

static int print_outcome(void *ctx, const struct store_outcome *o)
{
	struct buf *b = ctx;

	buf_printf(b, "%d:%d.%d%s ", (int)o->id, (int)o->episode, o->turn, o->built ? "+" : "x");
	return 0;
}

static void all_tallies(struct store *s, struct buf *out)
{
	struct err e = { 0 };

	buf_clear(out);
	assert_done(store_tallies(s, 0, 1000, print_tally, out, &e), &e);
}

static const char four_turns[] =
	"hook small {\"temperature\":0.6} < >invented_api n1 b0 s1 -0.50 -0.50 @1\n"
	"hook small {\"temperature\":0.6} <invented_api >invented_api n1 b0 s1 -0.25 -0.25 @2\n"
	"hook small {\"temperature\":0.6} <invented_api >build_ok n1 b1 s1 0.50 0.50 @3\n"
	"hook large no JSON < >build_ok n1 b1 s1 0.75 0.75 @4\n";

static void turns_that_are_alike_but_for_the_seed_are_counted_together(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	int64_t ep[2];
	(void)state;

	fill(s, ep);
	all_tallies(s, &said);
	assert_string_equal(buf_str(&said), four_turns);
	add(s, ep[0], 1, "small", "{\"temperature\":0.6,\"seed\":9}", 0.25, true, "build_ok");
	all_tallies(s, &said);
	assert_contains(buf_str(&said), "<invented_api >build_ok n2 b2 s2 0.75 0.50 @3\n");
	add(s, ep[0], 1, "small", "{\"temperature\":0.6,\"seed\":9}", 0.625, true, "build_ok");
	all_tallies(s, &said);
	assert_contains(buf_str(&said), "<invented_api >build_ok n3 b3 s3 1.38 0.62 @6\n");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void a_database_of_version_1_is_counted_when_it_is_brought_up(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	int64_t ep[2];
	(void)state;

	fill(s, ep);
	store_close(s);
	outside("DROP VIEW tally_keys; DROP TABLE repairs; DROP TABLE tally_turns; DROP TABLE "
	        "tallies; DROP TABLE curriculum; DROP TABLE run_samples; DROP TABLE steps; "
	        "DROP TRIGGER runs_stay_as_they_are; CREATE TRIGGER runs_end_once BEFORE UPDATE ON "
	        "runs BEGIN SELECT 1; END; DROP TABLE rollouts; PRAGMA user_version = 1");
	struct err e = { 0 };
	assert_null(store_open(db, STORE_READ, NULL, &e));
	assert_contains(e.text, "older schema version 1");
	s = open_it(STORE_WRITE);
	all_tallies(s, &said);
	for (const char *line = four_turns; *line; line = strchr(line, '\n') + 1) {
		char one[200];
		snprintf(one, sizeof(one), "%.*s", (int)(strchr(line, '\n') - line), line);
		assert_contains(buf_str(&said), one);
	}
	assert_whole(s);
	add(s, ep[1], 0, "large", "no JSON", 0.8, true, "build_ok");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void what_is_new_is_read_after_the_last_one_seen(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t ep[2];
	(void)state;

	fill(s, ep);
	assert_done(store_outcomes(s, 1, 2, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "2:1.2x 3:1.3+ ");
	int64_t id = -1;
	assert_done(store_newest_turn(s, 0, &id, &e), &e);
	assert_int_equal(id, 4);
	assert_done(store_newest_turn(s, 3, &id, &e), &e);
	assert_int_equal(id, 1);
	assert_done(store_newest_turn(s, 4, &id, &e), &e);
	assert_int_equal(id, 0);
	buf_clear(&said);
	assert_done(store_outcomes(s, 3, 100, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "4:2.1+ ");
	buf_clear(&said);
	assert_done(store_repairs(s, "invented_api", 64, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "3:1.3+ 2:1.2x ");
	buf_clear(&said);
	assert_done(store_repairs(s, "invented_api", 1, print_outcome, &said, &e), &e);
	assert_done(store_repairs(s, "syntax_closure", 64, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "3:1.3+ ");
	buf_clear(&said);
	int64_t ids[4] = { 0 };
	assert_int_equal(store_tally_turns(s, 1, 0, 4, ids, &e), 1);
	assert_int_equal(ids[0], 1);
	assert_int_equal(store_tally_turns(s, 1, 1, 4, ids, &e), 0);
	assert_done(store_outcome(s, 1, print_outcome, &said, &e), &e);
	assert_done(store_outcome(s, 99, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "1:1.1x ");
	store_close(s);
	buf_release(&said);
}

static void removed_episodes_are_in_no_sum(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct store_pruned gone;
	struct buf said = { 0 };
	struct err e = { 0 };
	int64_t ep[2], more;
	(void)state;

	fill(s, ep);
	/* of one key with the first turn of the first episode, and the best of it */
	assert_done(start_episode(s, "hook", &more, &e), &e);
	add(s, more, 0, "small", "{\"temperature\":0.6,\"seed\":4}", -0.125, false, "invented_api");
	struct store_prune p = { .whole_episodes = true, .episode = more };
	assert_done(store_prune(s, &p, &gone, &e), &e);
	all_tallies(s, &said);
	assert_string_equal(buf_str(&said), four_turns);
	p.episode = ep[0];
	assert_done(store_prune(s, &p, &gone, &e), &e);
	all_tallies(s, &said);
	assert_string_equal(buf_str(&said), strrchr(four_turns, 'h'));
	buf_clear(&said);
	assert_done(store_repairs(s, "invented_api", 64, print_outcome, &said, &e), &e);
	assert_string_equal(buf_str(&said), "");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void sums_that_are_wrong_are_found_and_made_anew(void **state)
{
	static const char *const harm[] = {
		"UPDATE tallies SET built = built + 1 WHERE id = 2",
		"UPDATE tallies SET total = total + 0.01 WHERE id = 1",
		"UPDATE tallies SET best = 0.9 WHERE id = 3",
		"UPDATE tallies SET class = 'syntax_closure' WHERE id = 1",
		"DELETE FROM tally_turns WHERE turn = 2",
		"DELETE FROM repairs",
		"INSERT INTO repairs VALUES ('syntax_closure', 1, 0)",
		"UPDATE repairs SET built = 1",
	};
	struct store *s = open_it(STORE_WRITE);
	struct buf said = { 0 };
	int64_t ep[2];
	int problems;
	(void)state;

	fill(s, ep);
	for (size_t i = 0; i < sizeof(harm) / sizeof(*harm); i++) {
		outside(harm[i]);
		look_through(s, false, &said, &problems);
		if (problems != 1)
			fail_msg("%s: fsck found %d: %s", harm[i], problems, buf_str(&said));
		assert_contains(buf_str(&said), "sums over turns are not those of the turns");
		look_through(s, true, &said, &problems);
		assert_int_equal(problems, 0);
		assert_whole(s);
	}
	store_close(s);
	buf_release(&said);
}

static int print_hand(void *ctx, const struct store_hand_row *h)
{
	struct buf *b = ctx;

	assert_true(h->time_us > 0);
	buf_printf(b, "%s %s %s", h->as, store_hand_name(h->change), h->class_name);
	if (!isnan(h->weight))
		buf_printf(b, " %.2f", h->weight);
	buf_printf(b, " (%s)\n", h->why ? h->why : "-");
	return 0;
}

static void what_is_said_by_hand_is_kept_and_never_rewritten(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct store_hand_new n = { .class_name = "invented_api",
		                    .as = "ann",
		                    .change = STORE_HAND_PIN,
		                    .why = "the new release" };
	struct buf said = { 0 };
	struct err e = { 0 };
	int problems;
	(void)state;

	assert_done(store_hand_add(s, &n, NULL, &e), &e);
	n = (struct store_hand_new){ .class_name = "invented_api",
		                     .as = "bob",
		                     .change = STORE_HAND_WEIGHT,
		                     .weight = 2.5 };
	assert_done(store_hand_add(s, &n, NULL, &e), &e);
	n.weight = NAN;
	assert_int_equal(store_hand_add(s, &n, NULL, &e), -1);
	assert_contains(e.text, "a weight of 0 or more was expected");
	n.change = STORE_HAND_FREE;
	n.as = "";
	assert_int_equal(store_hand_add(s, &n, NULL, &e), -1);
	assert_done(store_hands(s, print_hand, &said, &e), &e);
	assert_string_equal(buf_str(&said), "ann pin invented_api (the new release)\n"
	                                    "bob weight invented_api 2.50 (-)\n");
	assert_whole(s);
	sqlite3 *d = NULL;
	assert_int_equal(sqlite3_open(db, &d), SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(d, "DELETE FROM curriculum", NULL, NULL, NULL),
	                     SQLITE_OK);
	assert_int_not_equal(
		sqlite3_exec(d, "UPDATE curriculum SET \"as\" = 'eve'", NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(d);
	/* behind the guards too it is seen */
	outside("DROP TRIGGER curriculum_stays_as_it_is; UPDATE curriculum SET \"as\" = 'eve' "
	        "WHERE id = 2");
	look_through(s, false, &said, &problems);
	assert_int_equal(problems, 1);
	assert_contains(buf_str(&said),
	                "change 2 of the curriculum (invented_api) is not as it was");
	store_close(s);
	buf_release(&said);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(turns_that_are_alike_but_for_the_seed_are_counted_together),
		CLAIM(a_database_of_version_1_is_counted_when_it_is_brought_up),
		CLAIM(what_is_new_is_read_after_the_last_one_seen),
		CLAIM(removed_episodes_are_in_no_sum),
		CLAIM(sums_that_are_wrong_are_found_and_made_anew),
		CLAIM(what_is_said_by_hand_is_kept_and_never_rewritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
