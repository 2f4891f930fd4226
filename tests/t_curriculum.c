/* t_curriculum.c - what is trained next follows from the newest turns by the formula, and says why.
 */
#include "tests/store.h"

#include <math.h>

#include "src/curriculum_read.h"

static const char text[] =
	"{\"format\":\"cadforge-curriculum-1\",\"name\":\"t\",\"about\":\"a\",\"base\":{"
	"\"syntax_closure\":1,\"missing_fixture\":1,\"invented_api\":2,\"undefined_name\":1,"
	"\"type_or_value\":1,\"disconnected_or_weak\":1,\"low_editability\":0.5,"
	"\"unknown_build_failure\":1},\"difficulty\":{\"easy\":1,\"medium\":1.5,\"hard\":2},"
	"\"completions\":64,\"repairs\":4,\"stages\":{\"over\":10,\"least\":4,"
	"\"balanced_from\":0.3,\"hard_from\":0.6}}";

static struct curriculum *open_rules(void)
{
	struct curriculum_rules r;
	struct err e = { 0 };

	assert_done(curriculum_rules_parse(&r, text, strlen(text), "t.json", &e), &e);
	struct curriculum *c = curriculum_open(&r, &e);
	assert_non_null(c);
	assert_int_equal(curriculum_task(c, "easy_one", TASK_EASY), 0);
	assert_int_equal(curriculum_task(c, "hard_one", TASK_HARD), 1);
	assert_int_equal(curriculum_task(c, "easy_two", TASK_EASY), 2);
	assert_int_equal(curriculum_task(c, "gone", -1), 3);
	return c;
}

static int64_t made;

static void add(struct curriculum *c, int task, enum build_class class, enum build_class repairs)
{
	struct curriculum_turn t = { .id = ++made,
		                     .episode = 100 + made,
		                     .number = 1,
		                     .task = task,
		                     .class = class,
		                     .repairs = repairs,
		                     .built = class <= CLASS_DISCONNECTED_OR_WEAK };
	curriculum_add(c, &t);
}

static void the_weight_is_the_formula(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_state s;
	struct buf said = { 0 };
	(void)state;

	add(c, 0, CLASS_INVENTED_API, CLASS_COUNT);
	add(c, 1, CLASS_INVENTED_API, CLASS_INVENTED_API);
	add(c, 1, CLASS_BUILD_OK, CLASS_INVENTED_API);
	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	const struct curriculum_class *x = &s.class[CLASS_INVENTED_API];
	assert_int_equal(x->count, 2);
	assert_int_equal(x->repairs, 2);
	assert_int_equal(x->built, 1);
	assert_true(fabs(x->mastery - 2.0 / 4) < 1e-12);
	assert_true(fabs(x->difficulty - 1.5) < 1e-12);
	assert_true(fabs(x->weight - 2 * 0.25 * 1.5) < 1e-12);
	/* never repaired: m is 0.5 */
	assert_true(fabs(s.class[CLASS_SYNTAX_CLOSURE].weight - 0.25) < 1e-12);
	assert_true(fabs(s.class[CLASS_SYNTAX_CLOSURE].share - 0.25) < 1e-12);
	assert_int_equal(s.completions, 4);
	curriculum_explain(c, &s, CURRICULUM_MASTERY, CLASS_INVENTED_API, &said);
	assert_string_equal(
		buf_str(&said),
		"weight 0.75 = base 2.00 x (1 - 0.500)^2 x difficulty 1.50; m = (1 + 1) / "
		"(2 + 2): 1 of its newest 2 repairs built");
	buf_release(&said);
	curriculum_close(c);
}

static void only_the_newest_turns_and_repairs_count(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_state s;
	(void)state;

	/* from before the window; then 64 that fill it; the window's own repairs push them out */
	for (int i = 0; i < 4; i++)
		curriculum_add_repair(c, CLASS_SYNTAX_CLOSURE, true);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_int_equal(s.class[CLASS_SYNTAX_CLOSURE].built, 4);
	add(c, 0, CLASS_TYPE_OR_VALUE, CLASS_COUNT);
	for (int i = 0; i < 64; i++)
		add(c, 0, CLASS_SYNTAX_CLOSURE, i < 3 ? CLASS_SYNTAX_CLOSURE : CLASS_COUNT);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_int_equal(s.completions, 64);
	assert_int_equal(s.class[CLASS_TYPE_OR_VALUE].count, 0);
	assert_int_equal(s.class[CLASS_SYNTAX_CLOSURE].repairs, 4);
	assert_int_equal(s.class[CLASS_SYNTAX_CLOSURE].built, 1);
	curriculum_close(c);
}

static int draw(const struct curriculum *c, enum curriculum_stage stage, uint32_t seed, int n,
                struct curriculum_item *out)
{
	struct curriculum_ask ask = { .stage = stage, .seed = seed, .n = n };
	struct err e = { 0 };
	int got = curriculum_next(c, &ask, out, &e);

	assert_done(got, &e);
	return got;
}

static void by_hand_a_class_is_pinned_banned_or_weighed(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_item v[64];
	struct curriculum_state s;
	(void)state;

	for (int i = 0; i < 20; i++)
		add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	add(c, 1, CLASS_UNDEFINED_NAME, CLASS_COUNT);
	for (int i = 0; i < 4; i++)
		curriculum_add_repair(c, CLASS_UNDEFINED_NAME, true);
	curriculum_set_hand(c, CLASS_UNDEFINED_NAME, HAND_PIN, NAN);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_true(fabs(s.class[CLASS_UNDEFINED_NAME].weight - 2) < 1e-12);
	for (uint32_t seed = 0; seed < 50; seed++) {
		/* in foundation too, though its task is hard */
		assert_int_equal(draw(c, STAGE_FOUNDATION, seed, 4, v), 4);
		assert_int_equal(v[0].class, CLASS_UNDEFINED_NAME);
		assert_contains(v[0].why, "pinned");
	}
	curriculum_set_hand(c, CLASS_UNDEFINED_NAME, HAND_BAN, NAN);
	assert_int_equal(draw(c, STAGE_HARD, 1, 64, v), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(v[i].class, CLASS_SYNTAX_CLOSURE);
	curriculum_set_hand(c, CLASS_UNDEFINED_NAME, HAND_WEIGHT, 0.75);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_true(s.class[CLASS_UNDEFINED_NAME].weight == 0.75);
	/* 0.75 against 0.25 */
	int n = 0;
	for (uint32_t seed = 0; seed < 100; seed++) {
		draw(c, STAGE_HARD, seed, 64, v);
		for (int i = 0; i < 64; i++)
			n += v[i].class == CLASS_UNDEFINED_NAME;
	}
	assert_true(n > 6400 * 0.72 && n < 6400 * 0.78);
	curriculum_close(c);
}

static void assert_stage(const struct curriculum *c, enum curriculum_stage asked, const char *want)
{
	struct curriculum_state s;
	struct buf said = { 0 };

	curriculum_look(c, CURRICULUM_MASTERY, &s);
	curriculum_explain_stage(c, &s, asked, &said);
	assert_string_equal(buf_str(&said), want);
	buf_release(&said);
}

static void the_stage_follows_the_build_rate_and_says_what_may_be_drawn(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_item v[8];
	struct curriculum_state s;
	(void)state;

	add(c, 1, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	add(c, 2, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_int_equal(s.stage, STAGE_FOUNDATION);
	assert_stage(
		c, STAGE_AUTO,
		"foundation, since there are 3 turns and 4 are needed to measure a build rate; "
		"balanced from 30 % on. It draws from the lowest level that has failures");
	/* the easy ones, each once before one comes again */
	assert_int_equal(draw(c, STAGE_AUTO, 3, 4, v), 4);
	for (int i = 0; i < 4; i++)
		assert_true(v[i].task == 0 || v[i].task == 2);
	assert_int_not_equal(v[0].task, v[1].task);
	assert_int_not_equal(v[2].task, v[3].task);
	for (int i = 0; i < 2; i++)
		add(c, 0, CLASS_BUILD_OK, CLASS_COUNT);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_int_equal(s.stage, STAGE_BALANCED);
	assert_stage(c, STAGE_AUTO,
	             "balanced, since 2 of the newest 5 turns built (40 %); hard from 60 % on, "
	             "foundation below 30 %. It draws from all levels, each class and task once "
	             "before any comes again");
	assert_stage(c, STAGE_HARD,
	             "hard, as was asked for (the build rate would say balanced): all, by weight "
	             "alone");
	draw(c, STAGE_AUTO, 3, 3, v);
	assert_int_equal((1 << v[0].task) | (1 << v[1].task) | (1 << v[2].task), 7);
	for (int i = 0; i < 5; i++)
		add(c, 0, CLASS_BUILD_OK, CLASS_COUNT);
	curriculum_look(c, CURRICULUM_MASTERY, &s);
	assert_int_equal(s.stage, STAGE_HARD);
	assert_stage(c, STAGE_AUTO,
	             "hard, since 7 of the newest 10 turns built (70 %); balanced below 60 %. It "
	             "draws from all, by weight alone");
	curriculum_close(c);
}

static void equal_failures_are_taken_the_newest_first_and_a_seed_is_a_batch(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_item v[6], w[6];
	(void)state;

	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	add(c, 3, CLASS_SYNTAX_CLOSURE, CLASS_COUNT); /* in no pack: counted, not drawn */
	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	draw(c, STAGE_HARD, 0, 3, v);
	assert_int_equal(v[0].episode, 100 + made);
	assert_int_equal(v[1].episode, 100 + made - 2);
	assert_int_equal(v[2].episode, 100 + made);
	add(c, 1, CLASS_TYPE_OR_VALUE, CLASS_COUNT);
	draw(c, STAGE_HARD, 7, 6, v);
	draw(c, STAGE_HARD, 7, 6, w);
	for (int i = 0; i < 6; i++)
		assert_true(v[i].episode == w[i].episode && v[i].class == w[i].class);
	curriculum_close(c);
}

static void without_failures_the_batch_is_of_first_tries(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_item v[5];
	(void)state;

	add(c, 0, CLASS_BUILD_OK, CLASS_COUNT);
	assert_int_equal(draw(c, STAGE_AUTO, 0, 5, v), 5);
	assert_int_equal(v[0].kind, ITEM_FIRST);
	assert_int_equal(v[0].task, 2); /* easy, never built */
	assert_int_equal(v[1].task, 1); /* hard, never built */
	assert_int_equal(v[2].task, 0); /* built before */
	assert_int_equal(v[3].task, 2);
	curriculum_close(c);
	struct curriculum_rules r;
	struct err e = { 0 };
	assert_done(curriculum_rules_parse(&r, text, strlen(text), "t.json", &e), &e);
	c = curriculum_open(&r, &e);
	assert_int_equal(draw(c, STAGE_AUTO, 0, 5, v), 0); /* no task at all */
	curriculum_close(c);
}

/* (1 + (1 - rate)^2) * (1 + 0.2 * (classes - rank)), by hand. */
static void the_seed_formula_is_the_published_codes(void **state)
{
	struct curriculum *c = open_rules();
	struct curriculum_item v[8];
	struct curriculum_state s;
	struct err e = { 0 };
	(void)state;

	add(c, 0, CLASS_BUILD_OK, CLASS_COUNT);
	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT);
	add(c, 0, CLASS_SYNTAX_CLOSURE, CLASS_COUNT); /* task 0: 1 of 3 built */
	add(c, 1, CLASS_UNDEFINED_NAME, CLASS_COUNT); /* task 1: 0 of 1 */
	curriculum_look(c, CURRICULUM_SEED, &s);
	assert_int_equal(s.classes, 2);
	assert_int_equal(s.class[CLASS_SYNTAX_CLOSURE].rank, 1);
	/* (1 + (2/3)^2) * 1.2 = 1.73333..., (1 + 1) * 1 = 2 */
	struct curriculum_ask ask = { .formula = CURRICULUM_SEED, .stage = STAGE_HARD, .n = 3 };
	assert_int_equal(curriculum_next(c, &ask, v, &e), 3);
	assert_true(v[0].class == CLASS_UNDEFINED_NAME && v[0].weight == 2.0);
	assert_true(v[1].class == CLASS_SYNTAX_CLOSURE && v[1].weight == 1.7333);
	assert_true(v[2].class == CLASS_SYNTAX_CLOSURE && v[2].episode == v[1].episode - 1);
	/* foundation: by level, so the easy task's first; in turn from each group */
	ask.stage = STAGE_FOUNDATION;
	assert_int_equal(curriculum_next(c, &ask, v, &e), 3);
	assert_true(v[0].class == CLASS_SYNTAX_CLOSURE && v[1].class == CLASS_UNDEFINED_NAME &&
	            v[2].class == CLASS_SYNTAX_CLOSURE);
	curriculum_close(c);
}

static void rates_are_per_batch_the_oldest_first(void **state)
{
	struct curriculum *c = open_rules();
	double rate[4];
	int batch = 0;
	(void)state;

	assert_int_equal(curriculum_rates(c, rate, 4, &batch), 0);
	for (int i = 0; i < 20; i++)
		add(c, 0, i < 8 || i >= 18 ? CLASS_SYNTAX_CLOSURE : CLASS_BUILD_OK, CLASS_COUNT);
	assert_int_equal(curriculum_rates(c, rate, 4, &batch), 3);
	assert_int_equal(batch, 8);
	assert_true(rate[0] == 0 && rate[1] == 1 && rate[2] == 0.5);
	curriculum_close(c);
}

static void rules_that_are_wrong_say_where(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} of[] = {
		{ "\"syntax_closure\":1", "\"syntax_closure\":-1",
		  "base.syntax_closure: a number" },
		{ "\"easy\":1,", "", "difficulty.easy: a number from 0 to 1000 was expected, and" },
		{ "\"repairs\":4", "\"repairs\":4.5", "repairs: a whole number" },
		{ "\"over\":10", "\"over\":10,\"x\":1", "stages.x: there is no such key" },
		{ "curriculum-1", "curriculum-2", "format: cadforge-curriculum-1 was expected" },
		{ "\"invented_api\":2", "\"build_ok\":2", "base.build_ok: there is no such key" },
	};
	struct curriculum_rules r;
	(void)state;

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct buf b = { 0 };
		struct err e = { 0 };
		const char *at = strstr(text, of[i].from);
		assert_non_null(at);
		buf_add(&b, text, (size_t)(at - text));
		buf_adds(&b, of[i].to);
		buf_adds(&b, at + strlen(of[i].from));
		assert_int_equal(curriculum_rules_parse(&r, b.data, b.len, "t.json", &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "t.json: ");
		assert_contains(e.text, of[i].says);
		buf_release(&b);
	}
}

/* What is read turn by turn is what is read at once. */
static void the_feed_goes_on_where_it_was(void **state)
{
	static const enum build_class classes[] = { CLASS_INVENTED_API, CLASS_BUILD_OK,
		                                    CLASS_SYNTAX_CLOSURE };
	struct curriculum_feed f, g;
	struct curriculum_state a, b;
	struct curriculum_rules r;
	struct tallies t = { 0 }, u = { 0 };
	struct task task = { .id = "hook", .level = TASK_MEDIUM };
	struct task_set tasks = { .tasks = &task, .n = 1 };
	struct err e = { 0 };
	char dir[256], db[300];
	int64_t ep;
	int number;
	(void)state;

	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_done(curriculum_rules_parse(&r, text, strlen(text), "t.json", &e), &e);
	assert_done(curriculum_feed_open(&f, &r, &tasks, &e), &e);
	assert_int_equal(curriculum_feed_read(&f, &t, s, 0, &e), 0);
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 0; i < 90; i++) {
		enum build_class class = classes[i * i % 3];
		cJSON *score = score_of(0.5, class == CLASS_BUILD_OK, build_class_name(class));
		struct store_turn_new n = { .episode = ep,
			                    .parent = i ? 1 + (i * 7) % i : 0,
			                    .source = "model",
			                    .model = i % 2 ? "small" : "large",
			                    .prompt_tokens = -1,
			                    .completion_tokens = -1,
			                    .score = score };
		assert_done(store_turn_commit(s, &n, &number, &e), &e);
		cJSON_Delete(score);
		if (i % 4 == 0)
			assert_int_equal(curriculum_feed_read(&f, &t, s, 0, &e), 0);
	}
	struct store_hand_new hand = {
		.class_name = "invented_api", .as = "ann", .change = STORE_HAND_WEIGHT, .weight = 4
	};
	assert_done(store_hand_add(s, &hand, NULL, &e), &e);
	assert_int_equal(curriculum_feed_read(&f, &t, s, 0, &e), 0);
	assert_done(curriculum_feed_open(&g, &r, &tasks, &e), &e);
	/* and in slices */
	int slices = 0, rc;
	while ((rc = curriculum_feed_read(&g, &u, s, 5, &e)) == 1)
		slices++;
	assert_int_equal(rc, 0);
	assert_true(slices > 64 / 5);
	curriculum_look(f.c, CURRICULUM_MASTERY, &a);
	curriculum_look(g.c, CURRICULUM_MASTERY, &b);
	assert_int_equal(a.completions, 64);
	assert_true(a.class[CLASS_INVENTED_API].weight == 4);
	for (int i = 0; i < CLASS_COUNT; i++) {
		assert_int_equal(a.class[i].count, b.class[i].count);
		assert_int_equal(a.class[i].repairs, b.class[i].repairs);
		assert_int_equal(a.class[i].built, b.class[i].built);
		assert_true(a.class[i].weight == b.class[i].weight);
		assert_int_equal(a.class[i].turn, b.class[i].turn);
	}
	assert_int_equal(t.n, u.n);
	for (int i = 0; i < t.n; i++) {
		assert_int_equal(t.v[i].turns, u.v[i].turns);
		assert_int_equal(t.v[i].built, u.v[i].built);
		assert_string_equal(t.v[i].model, u.v[i].model);
	}
	curriculum_feed_close(&f);
	curriculum_feed_close(&g);
	tallies_release(&t);
	tallies_release(&u);
	store_close(s);
	remove_folder(dir);
}

/* The newest first, each with its error in one clean line, whatever it is made of. */
static void examples_keep_the_error_and_its_line(void **state)
{
	static const char *const scores[] = {
		"{\"build\":{\"ok\":false,\"class\":\"invented_api\",\"exception\":\"AttributeError\","
		"\"error\":\"line 7: AttributeError: no attribute 'cone'\",\"line\":7,\"source\":\"w.cone(2)\"}}",
		"{\"build\":{\"ok\":true,\"class\":\"build_ok\"},\"reward\":{\"total\":1}}",
		"{\"build\":{\"ok\":false,\"class\":\"invented_api\",\"line\":-3,"
		"\"error\":\"\\u001b[31mred\\nsecond line\",\"source\":5}}",
		"{\"build\":{\"ok\":true,\"class\":\"low_editability\",\"error\":null},"
		"\"notes\":[\"name the numbers\",\"x\"],\"reward\":{\"total\":0.5}}",
		"{\"build\":{\"ok\":false,\"class\":\"invented_api\",\"cause\":\"attribute\"}}",
	};
	struct curriculum_example v[8];
	struct curriculum_feed f;
	struct curriculum_rules r;
	struct tallies t = { 0 };
	struct task task = { .id = "hook", .level = TASK_MEDIUM };
	struct task_set tasks = { .tasks = &task, .n = 1 };
	struct err e = { 0 };
	char dir[256], db[300];
	int64_t ep;
	int number;
	(void)state;

	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_done(curriculum_rules_parse(&r, text, strlen(text), "t.json", &e), &e);
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (size_t i = 0; i < sizeof(scores) / sizeof(*scores); i++) {
		cJSON *score = json_parse(scores[i], strlen(scores[i]), &e);
		struct store_turn_new n = { .episode = ep,
			                    .source = "model",
			                    .finish = i == 0 ? "length" : "stop",
			                    .prompt_tokens = -1,
			                    .completion_tokens = -1,
			                    .score = score };
		assert_non_null(score);
		assert_done(store_turn_commit(s, &n, &number, &e), &e);
		cJSON_Delete(score);
	}
	assert_done(curriculum_feed_open(&f, &r, &tasks, &e), &e);
	assert_int_equal(curriculum_feed_read(&f, &t, s, 0, &e), 0);
	assert_int_equal(curriculum_examples(&f, s, CLASS_INVENTED_API, v, 8, &e), 3);
	assert_int_equal(v[0].turn, 5);
	assert_string_equal(v[0].error, "attribute");
	assert_int_equal(v[1].turn, 3);
	assert_string_equal(v[1].error, "\\x1b[31mred");
	assert_string_equal(v[1].source, "");
	assert_int_equal(v[1].line, 0);
	assert_string_equal(v[2].error, "AttributeError: no attribute 'cone'");
	assert_string_equal(v[2].source, "w.cone(2)");
	assert_int_equal(v[2].line, 7);
	assert_true(v[2].clipped && !v[1].clipped);
	assert_string_equal(v[2].task, "hook");
	assert_int_equal(curriculum_examples(&f, s, CLASS_INVENTED_API, v, 1, &e), 1);
	assert_int_equal(curriculum_examples(&f, s, CLASS_LOW_EDITABILITY, v, 8, &e), 1);
	assert_string_equal(v[0].error, "name the numbers");
	assert_int_equal(curriculum_examples(&f, s, CLASS_SYNTAX_CLOSURE, v, 8, &e), 0);
	curriculum_feed_close(&f);
	tallies_release(&t);
	store_close(s);
	remove_folder(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_keep_the_error_and_its_line),
		cmocka_unit_test(the_weight_is_the_formula),
		cmocka_unit_test(only_the_newest_turns_and_repairs_count),
		cmocka_unit_test(by_hand_a_class_is_pinned_banned_or_weighed),
		cmocka_unit_test(the_stage_follows_the_build_rate_and_says_what_may_be_drawn),
		cmocka_unit_test(equal_failures_are_taken_the_newest_first_and_a_seed_is_a_batch),
		cmocka_unit_test(without_failures_the_batch_is_of_first_tries),
		cmocka_unit_test(the_seed_formula_is_the_published_codes),
		cmocka_unit_test(rates_are_per_batch_the_oldest_first),
		cmocka_unit_test(rules_that_are_wrong_say_where),
		cmocka_unit_test(the_feed_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
