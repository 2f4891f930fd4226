/* t_grpo.c - settings by name, the order of prompts, budgets from the data, and a step's answers
 * put together: what the loop of reinforcement learning decides without anybody's process.
 */
#include "tests/store.h"

#include <math.h>

#include "engine/prompts.h"
#include "src/grpo_batch.h"
#include "src/grpo_budget.h"
#include "src/grpo_prompts.h"
#include "src/grpo_settings.h"

/* ---- settings ---- */

static const struct grpo_setting *named(const char *key)
{
	for (int i = 0; i < grpo_setting_count; i++)
		if (strcmp(grpo_setting_table[i].key, key) == 0)
			return &grpo_setting_table[i];
	fail_msg("no setting %s", key);
	return NULL;
}

static void take(cJSON *all, const char *key, const char *text)
{
	struct err e = { 0 };

	assert_done(grpo_setting_take(all, named(key), text, &e), &e);
}

static void what_flags_say_reaches_loop_and_policy(void **state)
{
	cJSON *all = cJSON_CreateObject(), *policy;
	struct grpo_settings s;
	struct err e = { 0 };
	(void)state;

	take(all, "steps", "7");
	take(all, "members", "16");
	take(all, "reward", "strict");
	take(all, "advantage", "centred");
	take(all, "mask_clipped", "off");
	take(all, "clip_high", "0.28");
	take(all, "guards", "dead=stop:0.9");
	take(all, "guards", "kl=off");
	take(all, "tasks", "one");
	take(all, "tasks", "two");
	take(all, "adapter", "none");
	assert_done(grpo_settings_read(&s, &policy, all, &e), &e);
	assert_int_equal(s.steps, 7);
	assert_int_equal(s.members, 16);
	assert_string_equal(s.reward, "strict");
	assert_int_equal(s.group.advantage, ADVANTAGE_CENTRED);
	assert_false(s.group.mask_clipped);
	assert_int_equal(s.guard[ALARM_DEAD].policy, GUARD_STOP);
	assert_int_equal(s.guard[ALARM_KL].policy, GUARD_OFF);
	/* what nobody said is usual */
	assert_int_equal(s.prompts, 4);
	assert_string_equal(s.stage, "auto");
	assert_string_equal(s.weight, "mastery");
	assert_float_equal(json_number_or(policy, "steps", 0), 7, 0);
	assert_float_equal(json_number_or(policy, "clip_high", 0), 0.28, 0);
	assert_string_equal(json_string_or(policy, "reduction", ""), "dapo");
	/* the trainer knows nothing of these */
	assert_false(cJSON_HasObjectItem(policy, "adapter"));
	assert_false(cJSON_HasObjectItem(policy, "members"));
	assert_false(cJSON_HasObjectItem(policy, "tasks"));
	cJSON_Delete(policy);
	/* a row has all of it, and that says the same */
	grpo_settings_complete(all);
	assert_float_equal(json_number_or(all, "prompts", 0), 4, 0);
	assert_float_equal(json_number_or(all, "members", 0), 16, 0);
	struct grpo_settings again;
	assert_done(grpo_settings_read(&again, &policy, all, &e), &e);
	assert_int_equal(again.tries, s.tries);
	assert_string_equal(again.reward, "strict");
	cJSON_Delete(policy);
	cJSON_Delete(all);
}

static void settings_that_cannot_be_are_told_by_name(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"members\":1}", "members" },
		{ "{\"steps\":2.5}", "steps" },
		{ "{\"reduction\":\"sum\"}", "reduction" },
		{ "{\"mine\":1}", "mine" },
		{ "{\"tasks\":[1]}", "tasks" },
		{ "{\"memberz\":2}", "memberz" },
		{ "{\"guards\":[\"nothing=warn\"]}", "nothing" },
		{ "{\"reward\":7}", "reward" },
		{ "{\"temperature\":0}", "temperature" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		cJSON *o = json_parse(wrong[i][0], strlen(wrong[i][0]), NULL), *policy = NULL;
		struct grpo_settings s;
		struct err e = { 0 };
		assert_int_equal(grpo_settings_read(&s, &policy, o, &e), -1);
		if (!strstr(e.text, wrong[i][1]))
			fail_msg("%s: %s", wrong[i][0], e.text);
		cJSON_Delete(o);
	}
}

static void what_is_said_first_holds_and_presets_are_whole(void **state)
{
	static const char *const presets[] = { "seed-2b-dense", "seed-9b-dense", "seed-9b-strict",
		                               "seed-9b-repair", "seed-9b-loop" };
	struct err e = { 0 };
	struct buf known = { 0 };
	(void)state;

	grpo_settings_presets(&known);
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		cJSON *all = cJSON_CreateObject(), *policy;
		struct grpo_settings s;
		take(all, "members", "6");
		assert_done(grpo_settings_preset(all, presets[i], &e), &e);
		assert_done(grpo_settings_read(&s, &policy, all, &e), &e);
		assert_int_equal(s.members, 6);
		assert_true(s.max_tokens >= 1536 && s.context >= 8192);
		assert_non_null(strstr(buf_str(&known), presets[i]));
		cJSON_Delete(policy);
		cJSON_Delete(all);
	}
	cJSON *all = cJSON_CreateObject();
	assert_int_equal(grpo_settings_preset(all, "seed-70b", &e), -1);
	assert_non_null(strstr(e.text, "seed-9b-strict"));
	cJSON_Delete(all);
	buf_release(&known);
}

static void the_usual_rate_goes_by_size(void **state)
{
	(void)state;
	assert_float_equal(grpo_usual_lr(3.2e6, false), 1.5e-3, 1e-12);
	assert_float_equal(grpo_usual_lr(9e9, false), 5e-6, 1e-12);
	assert_float_equal(grpo_usual_lr(9e9, true), 5e-7, 1e-12);
	assert_true(grpo_usual_lr(1e8, false) < 1.5e-3 && grpo_usual_lr(1e8, false) > 5e-6);
}

/* ---- a step's answers ---- */

static struct grpo_prompt prompt(void)
{
	return (struct grpo_prompt){ .messages = cJSON_CreateArray(), .class = CLASS_COUNT };
}

struct told {
	int member, turn;
	double total; /* NAN: lost */
	bool built, clipped;
};

static void answer(struct grpo_batch *b, struct batch_group *g, const struct told *t)
{
	static const int32_t ids[3] = { 5, 6, 7 };
	static const float logp[3] = { -1, -2, -3 };
	struct scored s = { .built = t->built, .total = t->total, .cls = CLASS_BUILD_OK };
	struct rollout r = { .member = t->member,
		             .turn = t->turn,
		             .id = ids,
		             .logp = logp,
		             .n = 1 + t->member % 3,
		             .entropy = 0.5,
		             .clipped = t->clipped,
		             .number = t->member,
		             .turn_id = 100 * t->turn + t->member,
		             .episode = 9,
		             .text = "x",
		             .text_len = 1 };
	cJSON *messages = cJSON_CreateArray();
	struct err e = { 0 };

	r.messages = messages;
	if (!isnan(t->total)) {
		s.json = score_of(t->total, t->built, "build_ok");
		r.scored = &s;
	} else {
		err_set(&r.why, ERR_LOST, "the builder died");
	}
	assert_done(grpo_batch_take(b, g, 0, &r, &e), &e);
	cJSON_Delete(s.json);
	cJSON_Delete(messages);
}

static void the_order_in_which_answers_end_changes_nothing(void **state)
{
	static const struct told told[] = {
		{ 1, 1, 0.2, true, false }, { 2, 1, -1, false, false }, { 3, 1, 0.9, true, true },
		{ 1, 2, 0.6, true, false }, { 2, 2, 0.1, true, false }, { 4, 1, NAN, false, false }
	};
	enum { N = sizeof(told) / sizeof(*told) };
	const struct grpo_settings settings = { .members = 4,
		                                .reward = "exact",
		                                .group = { .mask_clipped = true } };
	double advantage[2][N];
	int n[2];
	(void)state;

	for (int way = 0; way < 2; way++) {
		struct grpo_batch b;
		struct policy_sample *v;
		struct store_rollout *rows;
		struct grpo_step_figures f;
		grpo_batch_begin(&b, &settings);
		struct grpo_prompt p = prompt();
		struct batch_group *g = grpo_batch_group(&b, &p);
		for (int i = 0; i < N; i++)
			answer(&b, g, &told[way ? N - 1 - i : i]);
		assert_int_equal(grpo_batch_lost(g), 1);
		grpo_batch_over(&b, g);
		n[way] = grpo_batch_samples(&b, &v);
		for (int i = 0; i < n[way]; i++)
			advantage[way][i] = v[i].advantage;
		/* the lost one and the clipped one are not learnt from */
		assert_int_equal(n[way], 4);
		assert_int_equal(grpo_batch_rows(&b, 3, &rows), N);
		for (int i = 0; i < N; i++) {
			assert_int_equal(rows[i].step, 3);
			if (rows[i].turn_id == 104)
				assert_string_equal(rows[i].use, "lost");
			if (rows[i].turn_id == 103)
				assert_string_equal(rows[i].use, "clipped");
		}
		grpo_batch_figures(&b, 3, &f);
		assert_int_equal(f.answers, N);
		assert_int_equal(f.lost, 1);
		assert_int_equal(f.clipped, 1);
		assert_int_equal(f.used, 4);
		free(v);
		free(rows);
		grpo_batch_release(&b);
	}
	assert_int_equal(n[0], n[1]);
	assert_memory_equal(advantage[0], advantage[1], (size_t)n[0] * sizeof(double));
}

static void groups_that_are_equal_teach_nothing(void **state)
{
	const struct grpo_settings settings = { .members = 2, .reward = "exact" };
	struct grpo_batch b;
	struct policy_sample *v;
	struct grpo_step_figures f;
	(void)state;

	grpo_batch_begin(&b, &settings);
	for (int i = 0; i < 2; i++) {
		struct grpo_prompt p = prompt();
		struct batch_group *g = grpo_batch_group(&b, &p);
		answer(&b, g, &(struct told){ 1, 1, -1, false, false });
		answer(&b, g, &(struct told){ 2, 1, i ? NAN : -1, false, false });
		grpo_batch_over(&b, g);
		assert_true(g->f.flat);
	}
	assert_int_equal(grpo_batch_samples(&b, &v), 0);
	free(v);
	grpo_batch_figures(&b, 1, &f);
	assert_int_equal(f.flat, 2);
	assert_int_equal(f.used, 0);
	grpo_batch_release(&b);
}

/* ---- budgets ---- */

static void a_budget_leaves_room_for_prompt_and_program(void **state)
{
	struct grpo_budget b = { .context = 4096 };
	(void)state;

	/* nothing is known: as much as there is, up to what the published run needed */
	assert_int_equal(grpo_budget_answer(&b, 600, false), 3496);
	b.context = 32768;
	assert_int_equal(grpo_budget_answer(&b, 600, false), 8192);
	b.known = 301;
	assert_int_equal(grpo_budget_answer(&b, 600, false), 452);
	b.context = 900;
	assert_int_equal(grpo_budget_answer(&b, 600, false), 300);
	/* a repair quotes a program beside its words */
	b.context = 4096;
	b.known = 4000;
	int n = grpo_budget_answer(&b, 600, true);
	assert_true(n > 1000 && 600 + 2 * n < 4096);
}

static void prompts_are_counted_in_the_models_tokens(void **state)
{
	struct grpo_budget b;
	struct model_flags m = { .model = SRCDIR "/gpu/demo/base" };
	static const char text[] = "[{\"role\":\"user\",\"content\":\"A plate, 20 mm.\"}]";
	cJSON *messages = json_parse(text, sizeof(text) - 1, NULL);
	struct err e = { 0 };
	(void)state;

	assert_int_equal(grpo_budget_open(&b, "http://localhost/v1#x", CHAT_THINKING_OFF, 0, &e),
	                 -1);
	assert_non_null(strstr(e.text, "folder"));
	assert_done(grpo_budget_open(&b, m.model, CHAT_THINKING_OFF, 0, &e), &e);
	assert_int_equal(b.context, b.config.context);
	assert_true(b.parameters > 1e6 && b.parameters < 1e7);
	int n = grpo_budget_prompt(&b, messages, &e);
	assert_true(n > 8 && n < 40);
	m.about.answer_tokens = 321;
	grpo_budget_look(&b, &m, NULL);
	assert_int_equal(b.known, 321);
	grpo_budget_close(&b);
	assert_int_equal(grpo_budget_open(&b, m.model, CHAT_THINKING_OFF, 1 << 20, &e), -1);
	assert_non_null(strstr(e.text, "--context"));
	cJSON_Delete(messages);
}

/* ---- the order ---- */

struct asking {
	struct task_set tasks;
	struct prompt_set prompts;
	struct app app;
	struct grpo_options o;
	struct grpo_budget b;
	struct store *store;
	char dir[200];
	int task[64];
};

static void open_asking(struct asking *a, double repairs)
{
	const char *packs[] = { SRCDIR "/tasks" }, *sets[] = { SRCDIR "/tasks/prompts" };
	char path[300];
	struct err e = { 0 };

	*a = (struct asking){ .app = { .quiet = true } };
	snprintf(a->app.tasks, sizeof(a->app.tasks), "%s", packs[0]);
	make_folder(a->dir, sizeof(a->dir));
	snprintf(path, sizeof(path), "%s/x.db", a->dir);
	assert_non_null(a->store = store_open(path, STORE_WRITE, NULL, &e));
	assert_done(task_set_load(&a->tasks, packs, 1, &e), &e);
	assert_done(prompt_set_load(&a->prompts, sets, 1, "default", &e), &e);
	assert_done(grpo_budget_open(&a->b, SRCDIR "/gpu/demo/base", CHAT_THINKING_OFF, 0, &e), &e);
	for (int i = 0; i < 5; i++)
		a->task[i] = i;
	a->o = (struct grpo_options){ .app = &a->app,
		                      .store = a->store,
		                      .tasks = &a->tasks,
		                      .task = a->task,
		                      .n_tasks = 5,
		                      .prompts = &a->prompts,
		                      .settings = { .seed = 11,
		                                    .repairs = repairs,
		                                    .curriculum = "default",
		                                    .stage = "auto",
		                                    .weight = "mastery" } };
}

static void close_asking(struct asking *a)
{
	grpo_budget_close(&a->b);
	prompt_set_release(&a->prompts);
	task_set_release(&a->tasks);
	store_close(a->store);
	remove_folder(a->dir);
}

static void each_task_once_before_any_comes_again(void **state)
{
	struct asking a;
	struct err e = { 0 };
	const struct task *order[15];
	cJSON *kept = NULL;
	(void)state;

	open_asking(&a, 0);
	for (int way = 0; way < 2; way++) {
		struct grpo_prompts *p = grpo_prompts_open(&a.o, &a.b, &e);
		assert_non_null(p);
		assert_done(grpo_prompts_begin(p, kept, 0, &e), &e);
		assert_done(grpo_prompts_step(p, 1, 15, 100, &e), &e);
		for (int i = way ? 7 : 0; i < 15; i++) {
			struct grpo_prompt x;
			if (!way && i == 7) {
				cJSON_Delete(kept);
				kept = grpo_prompts_state(p);
			}
			assert_done(grpo_prompts_next(p, &x, &e), &e);
			assert_false(x.repair);
			/* one that goes on asks what the unbroken one asks */
			if (way)
				assert_ptr_equal(x.task, order[i]);
			order[i] = x.task;
			cJSON_Delete(x.messages);
		}
		grpo_prompts_close(p);
	}
	bool other = false;
	for (int round = 0; round < 3; round++) {
		unsigned seen = 0;
		for (int i = 0; i < 5; i++) {
			seen |= 1u << (order[5 * round + i] - a.tasks.tasks);
			other = other || order[5 * round + i] != order[i];
		}
		assert_int_equal(seen, 31);
	}
	assert_true(other); /* each time in another order */
	cJSON_Delete(kept);
	close_asking(&a);
}

static void failures_of_the_run_come_back_as_repairs(void **state)
{
	struct asking a;
	struct err e = { 0 };
	int64_t run, episode;
	int number, repairs = 0, firsts = 0;
	(void)state;

	open_asking(&a, 0.5);
	assert_done(store_run_start(a.store, "grpo", "{}", &run, &e), &e);
	/* a task that is learnt from, and one that is held out, both failed */
	for (int i = 0; i < 2; i++) {
		const struct task *t = &a.tasks.tasks[i ? 7 : 2];
		cJSON *score = score_of(-1, false, "undefined_name");
		struct store_turn_new turn = { .source = "model",
			                       .prompt_tokens = -1,
			                       .completion_tokens = -1,
			                       .program = "x = y\n",
			                       .program_len = 6,
			                       .score = score };
		assert_done(start_episode(a.store, t->id, &episode, &e), &e);
		turn.episode = episode;
		assert_done(store_turn_commit(a.store, &turn, &number, &e), &e);
		cJSON_Delete(score);
	}
	struct store_rollout rows[2];
	for (int i = 0; i < 2; i++)
		rows[i] = (struct store_rollout){ .turn_id = i + 1,
			                          .step = 1,
			                          .group = i,
			                          .member = 1,
			                          .round = 1,
			                          .kind = "first",
			                          .reward = -1,
			                          .advantage = 0,
			                          .use = "flat" };
	assert_done(store_rollouts_add(a.store, run, rows, 2, &e), &e);
	a.o.run = run;
	struct grpo_prompts *p = grpo_prompts_open(&a.o, &a.b, &e);
	assert_non_null(p);
	/* the killed run's step 1 is in the checkpoint */
	assert_done(grpo_prompts_begin(p, NULL, 1, &e), &e);
	assert_done(grpo_prompts_step(p, 2, 8, 100, &e), &e);
	for (int i = 0; i < 8; i++) {
		struct grpo_prompt x;
		assert_done(grpo_prompts_next(p, &x, &e), &e);
		if (x.repair) {
			/* never of the one that is held out */
			assert_string_equal(x.task->id, a.tasks.tasks[2].id);
			assert_int_equal(x.episode, 1);
			assert_int_equal(x.class, CLASS_UNDEFINED_NAME);
			repairs++;
		} else {
			firsts++;
		}
		cJSON_Delete(x.messages);
	}
	assert_int_equal(repairs, 4);
	assert_int_equal(firsts, 4);
	grpo_prompts_close(p);
	close_asking(&a);
}

static void prompts_that_do_not_fit_are_named(void **state)
{
	struct asking a;
	struct err e = { 0 };
	(void)state;

	open_asking(&a, 0);
	a.b.context = 40;
	assert_null(grpo_prompts_open(&a.o, &a.b, &e));
	assert_non_null(strstr(e.text, "no prompt fits into a context of 40"));
	close_asking(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_flags_say_reaches_loop_and_policy),
		cmocka_unit_test(settings_that_cannot_be_are_told_by_name),
		cmocka_unit_test(what_is_said_first_holds_and_presets_are_whole),
		cmocka_unit_test(the_usual_rate_goes_by_size),
		cmocka_unit_test(the_order_in_which_answers_end_changes_nothing),
		cmocka_unit_test(groups_that_are_equal_teach_nothing),
		cmocka_unit_test(a_budget_leaves_room_for_prompt_and_program),
		cmocka_unit_test(prompts_are_counted_in_the_models_tokens),
		cmocka_unit_test(each_task_once_before_any_comes_again),
		cmocka_unit_test(failures_of_the_run_come_back_as_repairs),
		cmocka_unit_test(prompts_that_do_not_fit_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
