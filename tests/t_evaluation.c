/*
 * t_evaluation.c - evaluations read from the store: figures against sums made by hand, two beside
 * one another, and what may not be compared.
 */
#include "tests/store.h"

#include <math.h>

#include "src/evaluation_inside.h"
#include "src/evaluation_text.h"

static char dir[64], db[96];
static struct store *s;

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/s.db", dir);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_close(s);
	remove_folder(dir);
	return 0;
}

static void near(double got, double want)
{
	if (!(fabs(got - want) < 1e-9))
		fail_msg("%.12g was expected, got %.12g", want, got);
}

#define TASK(id, hash, diagonal)                                                                   \
	"{\"task\":\"" id "\",\"pack\":\"p\",\"hash\":\"" hash                                     \
	"\",\"level\":\"medium\",\"diagonal_mm\":" diagonal "}"

static int64_t begin(const char *arm, int turns, const char *profile, const char *tasks)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	int64_t run = 0;

	buf_printf(&b,
	           "{\"arm\":\"%s\",\"profile\":\"%s\",\"prompts\":\"default\",\"seeds\":2,"
	           "\"seed\":0,\"turns\":%d,\"enough\":0.9,\"sampling\":{\"temperature\":0.5},"
	           "\"tasks\":[%s]}",
	           arm, profile, turns, tasks);
	assert_done(store_run_start(s, "eval", buf_str(&b), &run, &e), &e);
	buf_release(&b);
	return run;
}

struct answer {
	double total; /* NAN: the item has no such turn */
	const char *cls;
	double iou, chamfer;
	bool valid;
};

static cJSON *score(const struct answer *a)
{
	bool built = strcmp(a->cls, "build_ok") == 0;
	cJSON *o = score_of(a->total, built, a->cls), *x;

	x = cJSON_AddObjectToObject(o, "geometry");
	cJSON_AddNumberToObject(x, "solids", 1);
	cJSON_AddBoolToObject(x, "closed", a->valid);
	cJSON_AddBoolToObject(x, "valid", true);
	x = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "exact"), "reference");
	json_add_figure(x, "iou", a->iou);
	json_add_figure(x, "chamfer_mm", a->chamfer);
	return o;
}

/* An item of up to two turns, as evaluation_run() leaves it. */
static int64_t item(int64_t run, int task, int seed, const struct answer *a, int n, bool finished)
{
	struct store_episode_new ep = {
		.task = "t", .profile = "exact", .source = "eval", .run = run
	};
	struct store_rollout row[2];
	struct store_step step = { .kind = "eval",
		                   .step = task * 2 + seed,
		                   .loss = NAN,
		                   .lr = NAN,
		                   .norm = NAN,
		                   .tokens = 30,
		                   .seconds = 3,
		                   .data = "{\"generate_s\":2,\"score_s\":1,\"wall_s\":1.5}" };
	struct err e = { 0 };
	int64_t id = 0;
	int number = 0;

	assert_done(store_episode_start(s, &ep, &id, &e), &e);
	for (int i = 0; i < n; i++) {
		cJSON *o = score(&a[i]);
		struct store_turn_new t = { .episode = id,
			                    .parent = i,
			                    .source = "model",
			                    .model = "m",
			                    .prompt_tokens = 5,
			                    .completion_tokens = 10,
			                    .finish = i ? "stop" : "length",
			                    .program = "x",
			                    .program_len = 1,
			                    .score = o };
		assert_done(store_turn_commit(s, &t, &number, &e), &e);
		row[i] = (struct store_rollout){ .group = task,
			                         .member = seed,
			                         .round = i + 1,
			                         .kind = "eval",
			                         .reward = a[i].total,
			                         .advantage = NAN,
			                         .use = "" };
		assert_done(store_newest_turn(s, 0, &row[i].turn_id, &e), &e);
		cJSON_Delete(o);
	}
	if (finished) {
		assert_done(store_rollouts_add(s, run, row, n, &e), &e);
		assert_done(store_steps_add(s, run, &step, 1, &e), &e);
	}
	return id;
}

static const struct answer good = { 0.95, "build_ok", 0.8, 2, true };
static const struct answer fair = { 0.55, "build_ok", 0.4, 6, true };
static const struct answer loose = { 0.25, "build_ok", 0.2, 10, false };
static const struct answer broken = { -0.45, "undefined_name", NAN, NAN, false };

#define TWO_TASKS TASK("a", "h1", "100") "," TASK("b", "h2", "200")

static void read_it(struct evaluation *v, int64_t run)
{
	struct err e = { 0 };

	assert_done(evaluation_read(v, s, run, &e), &e);
}

static void figures_are_those_of_the_items(void **state)
{
	int64_t run = begin("one", 1, "exact", TWO_TASKS);
	struct evaluation v;
	struct err e = { 0 };

	(void)state;
	item(run, 0, 1, &good, 1, true);
	item(run, 0, 2, &fair, 1, true);
	item(run, 1, 1, &broken, 1, true);
	item(run, 1, 2, &loose, 1, true);
	/* one that was killed before it was over counts for nothing */
	item(run, 1, 1, &good, 1, false);
	assert_done(store_run_end(s, run, "done", &e), &e);
	read_it(&v, run);
	assert_int_equal(v.n, 4);
	assert_int_equal(v.expected, 4);
	near(v.f.build_rate.value, 0.75);
	near(v.f.invalid.value, 0.5);
	near(v.f.reward.value, (0.95 + 0.55 - 0.45 + 0.25) / 4);
	near(v.f.median_reward.value, 0.4);
	near(v.f.best, 0.95);
	/* over tasks: 0.75 and -0.1 */
	near(v.f.reward.low, -0.1);
	near(v.f.reward.high, 0.75);
	near(v.f.iou.value, (0.8 + 0.4 + 0.2) / 3);
	assert_int_equal(v.f.iou.n, 3);
	near(v.f.iou_all.value, 0.35);
	near(v.f.chamfer_mm.value, 6);
	near(v.f.chamfer_median_mm.value, 6);
	near(v.f.chamfer_share.value, (0.02 + 0.06 + 0.05) / 3);
	assert_int_equal(v.f.n_k, 2);
	near(v.f.built_at[0].value, 0.75);
	near(v.f.built_at[1].value, 1);
	near(v.f.pass_at[0].value, 0.25);
	near(v.f.pass_at[1].value, 0.5);
	/* all tasks built one of two: Wilson's interval of 2 of 2 */
	near(v.f.built_at[1].low, statistics_rate(2, 2).low);
	assert_int_equal(v.f.cls[CLASS_BUILD_OK], 3);
	assert_int_equal(v.f.cls[CLASS_UNDEFINED_NAME], 1);
	assert_int_equal(v.f.clipped, 4);
	near(v.f.tokens, 40);
	near(v.f.seconds, 6);
	near(v.f.generate_s, 8);
	assert_int_equal(v.task[0].built, 2);
	assert_int_equal(v.task[0].right, 1);
	near(v.task[0].mean, 0.75);
	near(v.task[1].best, 0.25);
	evaluation_release(&v);
	evaluation_release(&v);
}

static void the_best_turn_counts_and_the_first_is_told_apart(void **state)
{
	const struct answer mended[2] = { broken, good }, spoilt[2] = { fair, broken };
	int64_t run = begin("two", 2, "exact", TWO_TASKS), ep;
	struct evaluation v;

	(void)state;
	item(run, 0, 1, mended, 2, true);
	ep = item(run, 1, 1, spoilt, 2, true);
	read_it(&v, run);
	assert_int_equal(v.n, 2);
	assert_int_equal(v.f.lost, 0); /* it has not ended: the rest may come */
	near(v.f.build_rate.value, 1);
	near(v.f.first_rate.value, 0.5);
	near(v.f.first_reward.value, 0.05);
	near(v.f.reward.value, 0.75);
	assert_int_equal(v.f.first_class[CLASS_UNDEFINED_NAME], 1);
	assert_int_equal(v.f.cls[CLASS_UNDEFINED_NAME], 0);
	assert_int_equal(v.item[0].best, 2);
	assert_int_equal(v.item[1].best, 1);
	assert_int_equal(v.item[1].episode, ep);
	near(v.item[1].iou, 0.4);
	assert_int_equal(v.item[0].tokens, 20);
	evaluation_release(&v);
}

static void an_item_that_two_processes_made_counts_once(void **state)
{
	int64_t run = begin("one", 1, "exact", TWO_TASKS);
	struct evaluation v;

	(void)state;
	item(run, 0, 1, &good, 1, true);
	item(run, 0, 1, &broken, 1, true);
	read_it(&v, run);
	assert_int_equal(v.n, 1);
	near(v.f.reward.value, 0.95);
	evaluation_release(&v);
}

static void a_run_without_an_answer_has_no_figures(void **state)
{
	int64_t run = begin("none", 1, "exact", TWO_TASKS);
	struct evaluation v;
	struct buf text = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_done(store_run_end(s, run, "done", &e), &e);
	read_it(&v, run);
	assert_int_equal(v.f.lost, 4);
	assert_true(isnan(v.f.reward.value) && isnan(v.f.best) && isnan(v.f.iou_all.value));
	evaluation_table(&text, &v, 1);
	assert_null(strstr(buf_str(&text), "nan"));
	assert_non_null(strstr(buf_str(&text), "0 of 4 (some lost)"));
	cJSON *o = evaluation_json(&v);
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(o, "reward"), "value")));
	cJSON_Delete(o);
	buf_release(&text);
	evaluation_release(&v);
}

static void two_are_compared_over_the_items_that_both_have(void **state)
{
	int64_t one = begin("one", 1, "exact", TWO_TASKS),
		two = begin("two", 1, "exact", TWO_TASKS);
	struct evaluation a, b;
	struct evaluation_pair p;
	struct err e = { 0 };
	struct buf text = { 0 };

	(void)state;
	item(one, 0, 1, &broken, 1, true);
	item(one, 0, 2, &fair, 1, true);
	item(one, 1, 1, &fair, 1, true);
	item(two, 0, 1, &good, 1, true);
	item(two, 0, 2, &fair, 1, true);
	item(two, 1, 2, &good, 1, true);
	item(two, 1, 1, &loose, 1, true);
	read_it(&a, one);
	read_it(&b, two);
	assert_done(evaluation_compare(&p, &a, &b, &e), &e);
	assert_int_equal(p.items, 3);
	assert_int_equal(p.tasks, 2);
	near(p.reward.difference.value, (1.4 + 0 - 0.3) / 3);
	assert_int_equal(p.reward.better, 1);
	assert_int_equal(p.reward.worse, 1);
	assert_int_equal(p.reward.equal, 1);
	/* sums of the tasks 1.4 and -0.3: both |1.7| flips are further, the other two as far */
	near(p.reward.p, 1);
	assert_int_equal(p.only_b, 1);
	assert_int_equal(p.only_a, 0);
	assert_int_equal(p.both, 2);
	near(p.mcnemar, 1);
	assert_non_null(strstr(p.limits, "Of 3 and 4 items, 3 are in both"));
	assert_non_null(strstr(p.limits, "2 tasks: p cannot be below 0.5"));
	evaluation_pair_text(&text, &p, &a, &b);
	assert_non_null(strstr(buf_str(&text), "1 better, 1 worse, 1 equal"));
	buf_release(&text);
	evaluation_release(&a);
	evaluation_release(&b);
}

static void what_does_not_compare_is_refused_in_words(void **state)
{
	static const struct {
		int turns;
		const char *profile, *tasks, *why;
	} other[] = {
		{ 1, "exact-train", TWO_TASKS, "different profiles do not compare" },
		{ 2, "exact", TWO_TASKS, "had 1 turn an item, run" },
		{ 1, "exact", TASK("a", "h9", "100"), "their tasks changed between the two" },
		{ 1, "exact", TASK("c", "h1", "100"), "have no item in common" },
	};
	int64_t one = begin("one", 1, "exact", TWO_TASKS), run, no = 0;
	struct evaluation a, b;
	struct evaluation_pair p;
	struct err e = { 0 };

	(void)state;
	item(one, 0, 1, &fair, 1, true);
	read_it(&a, one);
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++) {
		run = begin("two", other[i].turns, other[i].profile, other[i].tasks);
		item(run, 0, 1, &good, 1, true);
		read_it(&b, run);
		e = (struct err){ 0 };
		assert_int_equal(evaluation_compare(&p, &a, &b, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		if (!strstr(e.text, other[i].why))
			fail_msg("'%s' was expected in: %s", other[i].why, e.text);
		evaluation_release(&b);
	}
	evaluation_release(&a);
	assert_done(store_run_start(s, "sft", "{}", &no, &e), &e);
	assert_int_equal(evaluation_read(&b, s, no, &e), -1);
	assert_non_null(strstr(e.text, "is no evaluation"));
	assert_int_equal(evaluation_read(&b, s, 999, &e), -1);
	assert_non_null(strstr(e.text, "there is no run"));
	assert_done(store_run_start(s, "eval", "{\"tasks\":[1,2],\"seeds\":1e300}", &no, &e), &e);
	assert_int_equal(evaluation_read(&b, s, no, &e), -1);
}

static void episodes_that_were_removed_are_no_items(void **state)
{
	int64_t run = begin("one", 1, "exact", TWO_TASKS), gone;
	struct store_prune prune = { .whole_episodes = true };
	struct store_pruned out;
	struct evaluation v;
	struct err e = { 0 };

	(void)state;
	item(run, 0, 1, &good, 1, true);
	gone = item(run, 1, 1, &broken, 1, true);
	prune.episode = gone;
	assert_done(store_prune(s, &prune, &out, &e), &e);
	read_it(&v, run);
	assert_int_equal(v.n, 1);
	near(v.f.reward.value, 0.95);
	evaluation_release(&v);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(figures_are_those_of_the_items),
		TEST(the_best_turn_counts_and_the_first_is_told_apart),
		TEST(an_item_that_two_processes_made_counts_once),
		TEST(a_run_without_an_answer_has_no_figures),
		TEST(two_are_compared_over_the_items_that_both_have),
		TEST(what_does_not_compare_is_refused_in_words),
		TEST(episodes_that_were_removed_are_no_items),
	};

	return cmocka_run_group_tests_name("evaluation", tests, NULL, NULL);
}
