/*
 * t_judging.c - which judgements count, and how far they agree.
 */
#include "tests/store.h"

#include "src/judging.h"

static char dir[256];
static struct store *db;
static int64_t one, two, other_task;

static int setup(void **state)
{
	struct err e = { 0 };
	char path[300];
	int number;

	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/s.db", dir);
	if (!(db = store_open(path, STORE_WRITE, NULL, &e)))
		fail_msg("%s", e.text);
	assert_done(start_episode(db, "hook", &one, &e), &e);
	assert_done(start_episode(db, "hook", &two, &e), &e);
	assert_done(start_episode(db, "stool", &other_task, &e), &e);
	for (int i = 0; i < 3; i++) {
		assert_done(commit_turn(db, one, 0, i + 1, &number, &e), &e);
		assert_done(commit_turn(db, two, 0, i + 1, &number, &e), &e);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_close(db);
	remove_folder(dir);
	return 0;
}

static void say(const char *as, int64_t episode, int turn, int grade, const char *tag)
{
	struct err e = { 0 };
	int64_t id;
	const char *const tags[] = { tag };
	struct store_judgement_new j = { .episode = episode,
		                         .turn = turn,
		                         .as = as,
		                         .grade = grade,
		                         .tags = tags,
		                         .n_tags = tag != NULL };

	assert_done(store_judge(db, &j, &id, &e), &e);
}

static struct judgements all(void)
{
	struct judgements j;
	struct err e = { 0 };

	assert_done(judgements_read(&j, db, 0, 0, NULL, NULL, &e), &e);
	return j;
}

static void the_last_grade_counts_until_it_is_taken_back(void **state)
{
	size_t n;

	(void)state;
	say("ann", one, 1, 2, NULL);
	say("ann", one, 1, 4, NULL);
	say("bob", one, 1, 5, NULL);
	struct judgements j = all();
	assert_int_equal(judgements_grade_of(&j, "ann", one, 1), 1);
	assert_int_equal(judgements_grade_of(&j, "ann", one, 2), -1);
	struct graded *v = judgements_grades(&j, &n);
	assert_int_equal(n, 2);
	free(v);
	judgements_release(&j);

	say("ann", one, 1, -1, JUDGING_WITHDRAWN);
	j = all();
	assert_int_equal(judgements_grade_of(&j, "ann", one, 1), 0);
	judgements_release(&j);
	say("ann", one, 1, -1, JUDGING_WITHDRAWN);
	say("ann", one, 1, -1, JUDGING_WITHDRAWN); /* nothing left: nothing happens */
	j = all();
	assert_int_equal(judgements_grade_of(&j, "ann", one, 1), -1);
	v = judgements_grades(&j, &n);
	assert_int_equal(n, 1);
	assert_int_equal(v[0].grade, 5);
	free(v);
	judgements_release(&j);
}

static void a_preference_is_a_tag_that_names_the_other_turn(void **state)
{
	char tag[JUDGING_TAG];
	size_t n;

	(void)state;
	judging_tag(tag, false, one, one, 2);
	assert_string_equal(tag, "over:2");
	say("ann", one, 3, -1, tag);
	judging_tag(tag, true, one, two, 1);
	assert_string_equal(tag, "level:2.1");
	say("ann", one, 1, -1, tag);
	struct judgements j = all();
	assert_true(j.v[0].prefers && !j.v[0].equal && j.v[0].other_episode == one &&
	            j.v[0].other_turn == 2);
	assert_true(j.v[1].prefers && j.v[1].equal && j.v[1].other_episode == two &&
	            j.v[1].other_turn == 1);
	/* the other's reward was looked up: equal programs have equal ones here */
	assert_close(j.v[1].other_total, j.v[1].total, 0);
	assert_true(judgements_has_pair(&j, "ann", two, 1, one, 1));
	assert_false(judgements_has_pair(&j, "bob", two, 1, one, 1));
	assert_false(judgements_has_pair(&j, "ann", two, 1, one, 2));
	struct preference *p = judgements_preferences(&j, &n);
	assert_int_equal(n, 2);
	free(p);
	judgements_release(&j);
}

static void of_preferences_about_the_same_two_the_last_counts(void **state)
{
	struct preferences_agreement q;
	size_t n;

	(void)state;
	say("ann", one, 1, -1, "over:2");
	say("ann", one, 2, -1, "over:1");
	say("bob", one, 2, -1, "over:1");
	say("cat", one, 1, -1, "level:2");
	struct judgements j = all();
	assert_false(judgements_pair_stands(&j, 0));
	assert_true(judgements_pair_stands(&j, 1));
	struct preference *p = judgements_preferences(&j, &n);
	assert_int_equal(n, 3);
	preferences_of(p, n, &q);
	assert_int_equal(q.pairs, 3);
	assert_int_equal(q.judges, 3);
	assert_int_equal(q.equal, 1);
	assert_int_equal(q.shared, 3);
	assert_close(q.same, 1.0 / 3, 1e-12);
	assert_int_equal(q.reward_pairs, 2);
	double agrees = p[0].total_better > p[0].total_worse   ? 1
	                : p[0].total_better < p[0].total_worse ? 0
	                                                       : 0.5;
	assert_close(q.reward_agrees, agrees, 1e-12);
	free(p);
	struct buf b = { 0 };
	judgements_words(&j, &b);
	assert_contains(buf_str(&b), "3 preferences, judges agree on 33 %");
	buf_release(&b);
	judgements_release(&j);
}

static void tags_that_only_look_like_preferences_are_tags(void **state)
{
	static const char *const tags[] = { "over:",
		                            "over:x",
		                            "over:1.x",
		                            "over:-1",
		                            "over:1", /* of itself */
		                            "over:99999999999999999999",
		                            "over:99999999999",
		                            "level:0",
		                            "overall:2",
		                            "over:0002.000000000000000000000000000000000000001" };

	(void)state;
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++)
		say("ann", one, 1, -1, tags[i]);
	struct judgements j = all();
	for (size_t i = 0; i < j.n; i++)
		if (j.v[i].prefers)
			fail_msg("%s", j.v[i].tags);
	struct buf b = { 0 };
	judgements_words(&j, &b);
	assert_int_equal(b.len, 0);
	buf_release(&b);
	judgements_release(&j);
}

static void an_order_follows_from_its_seed_alone(void **state)
{
	int a[50], b[50], c[50], seen[50] = { 0 }, differ = 0;

	(void)state;
	judging_shuffle(judging_seed("ann", "hook"), a, 50);
	judging_shuffle(judging_seed("ann", "hook"), b, 50);
	judging_shuffle(judging_seed("bob", "hook"), c, 50);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(a[i], b[i]);
		differ += a[i] != c[i];
		assert_in_range(a[i], 0, 49);
		seen[a[i]]++;
	}
	assert_true(differ > 30);
	for (int i = 0; i < 50; i++)
		assert_int_equal(seen[i], 1);
	assert_true(judging_seed("a", "bc") != judging_seed("ab", "c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_grade_counts_until_it_is_taken_back, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_preference_is_a_tag_that_names_the_other_turn,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(of_preferences_about_the_same_two_the_last_counts,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(tags_that_only_look_like_preferences_are_tags,
		                                setup, teardown),
		cmocka_unit_test(an_order_follows_from_its_seed_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
