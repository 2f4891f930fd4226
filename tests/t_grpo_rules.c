/* Rewards, advantages and guards: against the published rows and the trainer's own advantages, by
 * hand, and by runs drawn from fixed seeds: healthy ones, and such as fail in the published way. */
#include "tests/lib.h"

#include <unistd.h>

#include "engine/engine.h"
#include "engine/extract.h"
#include "engine/mt19937.h"
#include "engine/reward_seed.h"
#include "gpu/policy_loss.h"
#include "src/grpo_rules.h"

/* ---- groups ---- */

static const struct grpo_group_options plain = { .advantage = ADVANTAGE_GROUP };

static struct grpo_answer answer(int turn, int member, double reward)
{
	return (struct grpo_answer){
		.turn = turn, .member = member, .built = reward > 0, .reward = reward, .before = NAN
	};
}

static void advantages_are_the_trainers_to_the_bit(void **state)
{
	struct mt19937 r;
	(void)state;

	mt19937_seed(&r, 3407);
	for (int round = 0; round < 200; round++) {
		struct grpo_answer v[16];
		struct grpo_group_figures f;
		double reward[16], want[16], mean = 0;
		int n = 2 + round % 15;
		for (int i = 0; i < n; i++) {
			reward[i] = 2 * mt19937_double(&r) - 1;
			v[i] = answer(1, i + 1, reward[i]);
		}
		policy_advantages(reward, n, want);
		grpo_group(&plain, v, n, &f);
		for (int i = 0; i < n; i++) {
			assert_true(v[i].advantage == want[i]);
			assert_int_equal(v[i].use, GRPO_USED);
			mean += reward[i] / n;
		}
		assert_close(f.mean, mean, 1e-15);
		assert_int_equal(f.used, n);
		grpo_group(&(struct grpo_group_options){ .advantage = ADVANTAGE_CENTRED }, v, n,
		           &f);
		for (int i = 0; i < n; i++)
			assert_close(v[i].advantage, reward[i] - mean, 1e-15);
	}
}

static void turns_are_set_beside_turns_and_a_repair_earns_its_gain(void **state)
{
	struct grpo_answer v[5] = { answer(1, 1, -0.5), answer(1, 2, 0.5), answer(2, 1, 0.25),
		                    answer(2, 2, 0.5), answer(3, 2, 0.75) };
	const struct grpo_group_options o = { .advantage = ADVANTAGE_CENTRED, .delta = 0.5 };
	struct grpo_group_figures f;
	(void)state;

	v[2].before = -0.5;
	v[3].before = 0.5;
	v[4].before = 0.5;
	grpo_group(&o, v, 5, &f);
	assert_close(v[0].advantage, -0.5, 1e-15);
	assert_close(v[1].advantage, 0.5, 1e-15);
	assert_close(v[2].credit, 0.25 + 0.5 * 0.75, 1e-15);
	assert_close(v[3].credit, 0.5, 1e-15);
	assert_close(v[2].advantage, 0.0625, 1e-15);
	assert_close(v[3].advantage, -0.0625, 1e-15);
	/* alone in its turn: there is nothing to set it beside */
	assert_int_equal(v[4].use, GRPO_FLAT);
	assert_true(v[4].advantage == 0);
	assert_int_equal(f.used, 4);
	assert_false(f.flat);
	assert_close(f.mean, 0.3, 1e-15);
	assert_close(f.failed, -0.5, 1e-15);
}

static void what_was_lost_or_cut_off_is_not_learnt_from(void **state)
{
	struct grpo_answer v[4] = { answer(1, 1, 1), answer(1, 2, NAN), answer(1, 3, 0),
		                    answer(1, 4, -1) };
	struct grpo_group_options o = { .advantage = ADVANTAGE_CENTRED, .mask_clipped = true };
	struct grpo_group_figures f;
	(void)state;

	v[1].built = true; /* whatever is said of it */
	v[3].clipped = true;
	grpo_group(&o, v, 4, &f);
	assert_int_equal(v[1].use, GRPO_LOST);
	assert_true(v[1].advantage == 0);
	assert_int_equal(v[3].use, GRPO_CLIPPED);
	assert_true(v[3].advantage == 0);
	/* its reward counts in the mean, which is 0 and not 0.5 */
	assert_close(v[0].advantage, 1, 1e-15);
	assert_close(v[2].advantage, 0, 1e-15);
	assert_int_equal(f.lost, 1);
	assert_int_equal(f.clipped, 1);
	assert_int_equal(f.built, 1);
	assert_int_equal(f.used, 2);
	o.mask_clipped = false;
	grpo_group(&o, v, 4, &f);
	assert_close(v[3].advantage, -1, 1e-15);

	/* infinities are no rewards either */
	v[0].reward = INFINITY;
	v[2].reward = -INFINITY;
	grpo_group(&plain, v, 4, &f);
	assert_int_equal(f.lost, 3);
	assert_int_equal(v[3].use, GRPO_FLAT);
	assert_true(f.flat);
	assert_true(isnan(f.spread));
	assert_true(f.none_built && !f.all_built);
}

static void a_group_without_spread_teaches_nothing(void **state)
{
	struct grpo_answer v[3] = { answer(1, 1, 0.4), answer(1, 2, 0.4 + 4e-7),
		                    answer(1, 3, 0.4) };
	struct grpo_group_figures f;
	(void)state;

	grpo_group(&plain, v, 3, &f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(v[i].use, GRPO_FLAT);
		assert_true(v[i].advantage == 0);
	}
	assert_true(f.flat && f.all_built && !f.none_built);
	v[1].reward = 0.4 + 3e-6;
	grpo_group(&plain, v, 3, &f);
	assert_false(f.flat);

	for (int i = 0; i < 3; i++)
		v[i].reward = NAN;
	grpo_group(&plain, v, 3, &f);
	assert_true(f.flat && !f.all_built && !f.none_built && isnan(f.mean) && isnan(f.failed));
	grpo_group(&plain, v, 0, &f);
	assert_true(f.flat && isnan(f.mean) && f.answers == 0);
}

static void a_step_is_the_sum_of_its_groups(void **state)
{
	struct grpo_answer v[12], all[12];
	struct grpo_group_figures g;
	struct grpo_step_figures f;
	struct mt19937 r;
	(void)state;

	mt19937_seed(&r, 5);
	grpo_step_begin(&f, 7);
	assert_true(isnan(f.reward) && isnan(f.kl) && isnan(f.build_rate));
	for (int i = 0; i < 12; i++) {
		double reward = i < 4 ? NAN : i % 5 == 0 ? NAN : 2 * mt19937_double(&r) - 1;
		v[i] = all[i] = answer(1, i % 4 + 1, reward);
	}
	for (int i = 0; i < 12; i += 4) { /* the first group is lost as a whole */
		grpo_group(&plain, v + i, 4, &g);
		grpo_step_add(&f, &g);
	}
	grpo_group(&plain, all, 12, &g);
	assert_int_equal(f.groups, 3);
	assert_int_equal(f.flat, 1);
	assert_int_equal(f.step, 7);
	assert_int_equal(f.answers, 12);
	assert_int_equal(f.lost, g.lost);
	assert_int_equal(f.built, g.built);
	assert_int_equal(f.used, 12 - g.lost);
	assert_close(f.reward, g.mean, 1e-15);
	assert_close(f.failed, g.failed, 1e-15);
	assert_close(f.build_rate, (double)g.built / (12 - g.lost), 1e-15);
}

/* ---- rewards ---- */

static double earned(const char *reward, const char *score, const char *completion)
{
	cJSON *o = json_parse(score, strlen(score), NULL);
	double v;

	assert_non_null(o);
	v = grpo_reward(reward, o, completion, completion ? strlen(completion) : 0);
	cJSON_Delete(o);
	return v;
}

static void a_reward_is_a_measured_figure_or_none(void **state)
{
	static const char score[] =
		"{\"build\":{\"ok\":false,\"cause\":\"name\"},\"reward\":{\"total\":-1},"
		"\"strict\":-0.64,\"cheap\":0.7,\"shaped\":0.22}";
	(void)state;

	assert_string_equal(grpo_reward_profile("dense"), "seed-fast");
	assert_string_equal(grpo_reward_profile("dense-full"), "seed-full");
	assert_string_equal(grpo_reward_profile("strict"), "strict");
	assert_string_equal(grpo_reward_profile("exact-train"), "exact-train");
	assert_string_equal(grpo_reward_profile("my/own.json"), "my/own.json");
	assert_null(grpo_reward_profile(""));
	assert_null(grpo_reward_profile(NULL));

	assert_close(earned("dense", score, "x"), 0.22, 0);
	assert_close(earned("dense-full", score, NULL), 0.22, 0);
	assert_close(earned("strict", score, "x"), -0.64, 0);
	assert_close(earned("seed-fast", score, "x"), -1, 0);
	assert_true(isnan(earned("", score, "x")));
	assert_true(isnan(grpo_reward("dense", NULL, "x", 1)));
	/* as the published trainer: before it evaluates anything */
	assert_close(earned("dense", score, " \n"), 0, 0);
	assert_close(earned("dense", score, "<think>a box</think>\n"), 0, 0);
	assert_close(earned("strict", score, " \n"), -0.64, 0);

	/* nothing was measured; no figure; one that cannot be */
	assert_true(isnan(earned("dense",
	                         "{\"build\":{\"ok\":false,\"cause\":\"builder_lost\"},"
	                         "\"reward\":{\"total\":-1},\"shaped\":0.22}",
	                         "x")));
	assert_true(isnan(earned(
		"strict", "{\"build\":{\"cause\":\"builder_lost\"},\"strict\":-0.64}", "x")));
	assert_true(isnan(earned("exact", "{\"reward\":{\"total\":null}}", "x")));
	assert_true(isnan(earned("exact", "{\"reward\":{\"total\":\"0.5\"}}", "x")));
	assert_true(isnan(earned("exact", "{\"reward\":{\"total\":1e300}}", "x")));
	assert_true(isnan(earned("exact", "{\"reward\":0.5}", "x")));
	assert_true(isnan(earned("exact", "[]", "x")));
	assert_true(isnan(earned("strict", "{\"reward\":{\"total\":0.5}}", "x")));
}

static const char *shared_dir(void)
{
	const char *named = getenv("CADFORGE_SHARED");
	const char *const places[] = { named ? named : "../shared",
		                       named ? named : SRCDIR "/../shared" };

	for (size_t i = 0; i < 2; i++) {
		struct buf path = { 0 };
		buf_printf(&path, "%s/parity/expected.jsonl", places[i]);
		bool there = access(buf_str(&path), R_OK) == 0;
		buf_release(&path);
		if (there)
			return places[i];
	}
	return NULL;
}

static void read_shared(struct buf *out, const char *name)
{
	struct buf path = { 0 };
	struct err e;

	buf_printf(&path, "%s/parity/%s", shared_dir(), name);
	if (buf_read_file(out, buf_str(&path), 1 << 26, &e) < 0)
		fail_msg("%s", e.text);
	buf_release(&path);
}

/* The three figures of a text that did not build, from our own formulas; those of one that did are
 * in tests/t_parity_text.c and tests/e2e/parity.sh. */
static void score_text(struct reward *out, const cJSON *row, const struct buf *text)
{
	const char *line = json_string_or(row, "error_line", "");
	struct extract x;
	struct err e;

	assert_int_equal(extract_program(&x, EXTRACT_FILE, buf_str(text), text->len, &e), 0);
	struct seed_input in = {
		.outcome = *json_string_or(row, "evaluator_crash", "") ? SEED_EVALUATOR_CRASH
		                                                       : SEED_BUILD_FAILED,
		.code = { buf_str(&x.program), x.program.len },
		.raw = { buf_str(text), text->len },
		.stderr_text = { line, strlen(line) },
	};
	assert_int_equal(reward_seed(out, NULL, NULL, &in, &e), 0);
	extract_release(&x);
}

static void check_row(const cJSON *row)
{
	double total = json_number_or(row, "total", NAN);
	double strict = json_number_or(row, "strict", NAN);
	double cheap = json_number_or(row, "cheap", NAN);
	double dense = json_number_or(row, "build_fail_shaped", NAN), got;
	bool built = json_bool_or(row, "build_ok", false);
	struct buf text = { 0 }, path = { 0 };

	buf_printf(&path, "%s.py", json_string_or(row, "case", ""));
	read_shared(&text, buf_str(&path));
	struct reward r = {
		.total = total, .strict = strict, .cheap = cheap, .shaped = built ? total : dense
	};
	if (!built)
		score_text(&r, row, &text);
	cJSON *score = cJSON_CreateObject(), *reward = cJSON_AddObjectToObject(score, "reward");
	json_add_figure(reward, "total", r.total);
	json_add_figure(score, "strict", r.strict);
	json_add_figure(score, "cheap", r.cheap);
	json_add_figure(score, "shaped", r.shaped);
	assert_close(r.cheap, cheap, 1e-12);
	assert_close(grpo_reward("strict", score, buf_str(&text), text.len), strict, 1e-12);
	got = grpo_reward("dense", score, buf_str(&text), text.len);
	/* the row is of the evaluator, which the trainer does not ask of an empty text */
	assert_close(got, strstr(buf_str(&path), "fail_empty_code") ? 0 : dense, 1e-12);
	if (built)
		assert_close(got, total, 1e-12);
	got = grpo_reward("seed-fast", score, buf_str(&text), text.len);
	if (isnan(total))
		assert_true(isnan(got));
	else
		assert_close(got, total, 1e-12);
	cJSON_Delete(score);
	buf_release(&text);
	buf_release(&path);
}

static void the_published_rows_earn_what_they_say(void **state)
{
	struct buf rows = { 0 };
	int n = 0;
	(void)state;

	if (!shared_dir()) {
		print_message("no published rows are at hand: ../shared/parity\n");
		skip();
	}
	read_shared(&rows, "expected.jsonl");
	for (char *p = rows.data; *p;) {
		size_t len = strcspn(p, "\n");
		cJSON *row = json_parse(p, len, NULL);
		assert_non_null(row);
		check_row(row);
		cJSON_Delete(row);
		n++;
		p += len + (p[len] != '\0');
	}
	assert_true(n > 400);
	buf_release(&rows);
}

/* ---- guards ---- */

static void a_rule_is_set_by_its_words_or_not_at_all(void **state)
{
	static const char *const bad[][2] = {
		{ "", "NAME=POLICY" },
		{ "dead", "NAME=POLICY" },
		{ "died=stop", "reward, dead, clipped, kl or lost" },
		{ "dea=stop", "reward, dead, clipped, kl or lost" },
		{ "dead=halt", "off, warn, replace or stop" },
		{ "dead=", "off, warn, replace or stop" },
		{ "dead=stop:", "a limit from 0 to 1" },
		{ "dead=stop:1.5", "a limit from 0 to 1" },
		{ "dead=stop:nan", "a limit from 0 to 1" },
		{ "dead=stop:0.5x", "a limit from 0 to 1" },
		{ "kl=stop:-1", "a limit from 0 to 1e+06" },
		{ "kl=stop:1:0", "a window from 1 to 256" },
		{ "kl=stop:1:257", "a window from 1 to 256" },
		{ "kl=stop:1:2.5", "a window from 1 to 256" },
		{ "kl=stop:1:2:3", "a window from 1 to 256" },
		{ "reward=warn:0.1:7", "a window from 8 to 256" },
		{ "kl=stop,", "NAME=POLICY" },
		{ "kl=stop,dead=x", "off, warn, replace or stop" },
	};
	struct grpo_guard_rule rule[ALARMS], usual[ALARMS];
	struct err e;
	(void)state;

	grpo_guard_usual(rule);
	grpo_guard_usual(usual);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(grpo_guard_set(rule, bad[i][0], &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_contains(e.text, bad[i][1]);
		assert_memory_equal(rule, usual, sizeof(rule));
	}
	char *endless = malloc(100001);
	assert_non_null(endless);
	memset(endless, '=', 100000);
	endless[100000] = '\0';
	assert_int_equal(grpo_guard_set(rule, endless, &e), -1);
	free(endless);

	assert_int_equal(grpo_guard_set(rule, "dead=stop", &e), 0);
	assert_int_equal(rule[ALARM_DEAD].policy, GUARD_STOP);
	assert_close(rule[ALARM_DEAD].limit, usual[ALARM_DEAD].limit, 0);
	assert_int_equal(grpo_guard_set(rule, "kl=warn:0.25,clipped=replace:0.05:1", &e), 0);
	assert_close(rule[ALARM_KL].limit, 0.25, 0);
	assert_int_equal(rule[ALARM_KL].window, usual[ALARM_KL].window);
	assert_int_equal(rule[ALARM_CLIPPED].window, 1);
	assert_int_equal(grpo_guard_set(rule, "reward=off", &e), 0);
	assert_int_equal(rule[ALARM_REWARD].policy, GUARD_OFF);
	for (int a = 0; a < ALARMS; a++)
		assert_true(*grpo_alarm_name((enum grpo_alarm)a));
	assert_string_equal(grpo_policy_name(GUARD_REPLACE), "replace");
}

/* A run that is drawn: what an answer of it is like at step @t of @steps. */
struct kind {
	const char *name;
	double build[2];  /* share that builds, at the first step and the last */
	double failed[2]; /* reward of those that do not, before noise of */
	double failed_noise;
	double good[2]; /* of those that do */
	double good_noise;
	double task; /* tasks differ: so much is added to or taken from the build rate of one */
	double clipped, lost, equal; /* shares; equal: of groups in which all are alike */
	double kl[2];
};

static double between(const double v[2], double t)
{
	return v[0] + (v[1] - v[0]) * t;
}

static double normal(struct mt19937 *r)
{
	/* near enough */
	return 2 * (mt19937_double(r) + mt19937_double(r) + mt19937_double(r) - 1.5);
}

static bool happens(struct mt19937 *r, double p)
{
	return mt19937_double(r) < p;
}

enum { GROUPS = 4, MEMBERS = 8 };

static void draw_step(struct grpo_step_figures *f, const struct kind *k, int64_t step, double t,
                      struct mt19937 *r)
{
	grpo_step_begin(f, step);
	for (int g = 0; g < GROUPS; g++) {
		struct grpo_answer v[MEMBERS];
		struct grpo_group_figures figures;
		double build = between(k->build, t) + k->task * (2 * mt19937_double(r) - 1);
		bool equal = happens(r, k->equal);
		for (int i = 0; i < MEMBERS; i++) {
			bool built = happens(r, build);
			double reward = between(built ? k->good : k->failed, t) +
			                (built ? k->good_noise : k->failed_noise) * normal(r);
			v[i] = answer(1, i + 1, happens(r, k->lost) ? NAN : reward);
			v[i].built = built;
			v[i].clipped = happens(r, k->clipped);
			if (equal && i) {
				v[i].reward = v[0].reward;
				v[i].built = v[0].built;
			}
		}
		grpo_group(&plain, v, MEMBERS, &figures);
		grpo_step_add(f, &figures);
	}
	f->kl = between(k->kl, t) * (1 + 0.3 * normal(r));
}

struct seen {
	int runs[ALARMS];     /* in which it went off */
	double first[ALARMS]; /* mean step of its first alarm */
	int most[ALARMS];     /* alarms of one run */
};

static struct seen draw_runs(const struct kind *k, int runs, int steps, char text[400],
                             enum grpo_alarm keep)
{
	struct seen s = { { 0 }, { 0 }, { 0 } };
	struct mt19937 r;

	mt19937_seed(&r, 20260923);
	for (int run = 0; run < runs; run++) {
		struct grpo_guard g = { .n = 0 };
		int told[ALARMS] = { 0 };
		grpo_guard_usual(g.rule);
		for (int i = 0; i < steps; i++) {
			struct grpo_step_figures f;
			struct grpo_alarm_told out[ALARMS];
			draw_step(&f, k, i + 1, (double)i / (steps - 1), &r);
			int n = grpo_guard_step(&g, &f, out);
			for (int x = 0; x < n; x++) {
				enum grpo_alarm a = out[x].alarm;
				if (told[a]++ == 0)
					s.first[a] += i + 1;
				if (text && a == keep)
					memcpy(text, out[x].text, sizeof(out[x].text));
			}
		}
		for (int a = 0; a < ALARMS; a++) {
			s.runs[a] += told[a] > 0;
			s.most[a] = told[a] > s.most[a] ? told[a] : s.most[a];
		}
	}
	for (int a = 0; a < ALARMS; a++)
		s.first[a] /= s.runs[a] ? s.runs[a] : 1;
	print_message("%-34s", k->name);
	for (int a = 0; a < ALARMS; a++)
		print_message("  %s %d/%d at %.0f", grpo_alarm_name((enum grpo_alarm)a), s.runs[a],
		              runs, s.first[a]);
	print_message("\n");
	return s;
}

static const struct kind healthy[] = {
	{ "strict, builds rise",
	  { 0.1, 0.7 },
	  { -0.64, -0.6 },
	  0.06,
	  { 0.75, 0.85 },
	  0.1,
	  0.1,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.1 } },
	{ "strict, nothing is learnt",
	  { 0.3, 0.3 },
	  { -0.64, -0.64 },
	  0.06,
	  { 0.75, 0.75 },
	  0.1,
	  0.2,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.05 } },
	{ "exact, failures get further too",
	  { 0.2, 0.6 },
	  { -0.85, -0.6 },
	  0.15,
	  { 0.4, 0.6 },
	  0.15,
	  0.15,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.2 } },
	{ "dense, builds rise",
	  { 0.3, 0.8 },
	  { 0.15, 0.2 },
	  0.1,
	  { 0.7, 0.8 },
	  0.08,
	  0.2,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.1 } },
	{ "dense, nothing is learnt",
	  { 0.3, 0.3 },
	  { 0.15, 0.15 },
	  0.15,
	  { 0.7, 0.7 },
	  0.1,
	  0.2,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.1 } },
	{ "nearly all build, better and better",
	  { 0.95, 0.97 },
	  { -0.6, -0.6 },
	  0.06,
	  { 0.5, 0.8 },
	  0.1,
	  0.03,
	  0.01,
	  0.002,
	  0.2,
	  { 0, 0.2 } },
};

static void healthy_runs_are_left_alone(void **state)
{
	enum { RUNS = 200, STEPS = 200 };
	(void)state;

	for (size_t i = 0; i < sizeof(healthy) / sizeof(*healthy); i++) {
		struct seen s = draw_runs(&healthy[i], RUNS, STEPS, NULL, ALARMS);
		for (int a = 0; a < ALARMS; a++)
			assert_true(s.runs[a] <= RUNS / 100);
	}
}

static void the_published_failure_is_told_and_nothing_else(void **state)
{
	/* dense: text that never builds learns to earn its 0.37 while 3 or 30 of 100 build */
	static const struct kind hollow[] = {
		{ "dense, 3 % build throughout",
		  { 0.03, 0.03 },
		  { 0.0, 0.35 },
		  0.12,
		  { 0.7, 0.7 },
		  0.1,
		  0.03,
		  0.01,
		  0.002,
		  0.2,
		  { 0, 0.1 } },
		{ "dense, 30 % build throughout",
		  { 0.3, 0.3 },
		  { 0.0, 0.35 },
		  0.12,
		  { 0.7, 0.7 },
		  0.1,
		  0.1,
		  0.01,
		  0.002,
		  0.2,
		  { 0, 0.1 } },
		{ "dense, builds fall",
		  { 0.3, 0.15 },
		  { -0.1, 0.35 },
		  0.12,
		  { 0.7, 0.7 },
		  0.1,
		  0.1,
		  0.01,
		  0.002,
		  0.2,
		  { 0, 0.1 } },
	};
	char text[400] = "";
	(void)state;

	for (size_t i = 0; i < sizeof(hollow) / sizeof(*hollow); i++) {
		struct seen s = draw_runs(&hollow[i], 100, 80, text, ALARM_REWARD);
		assert_true(s.runs[ALARM_REWARD] >= 90);
		assert_true(s.most[ALARM_REWARD] <= 80 / 64 + 1);
		assert_true(s.runs[ALARM_DEAD] + s.runs[ALARM_CLIPPED] + s.runs[ALARM_KL] +
		                    s.runs[ALARM_LOST] <=
		            4);
	}
	assert_contains(text, "the reward rises and the build rate does not");
	assert_contains(text, "the reward pays for text that is no part");
	assert_contains(text, "strict");
}

static void dead_groups_clipped_and_lost_answers_and_drift_are_told(void **state)
{
	struct kind k = healthy[1];
	char text[400] = "";
	struct seen s;
	(void)state;

	k.name = "eight groups of ten dead";
	k.equal = 0.8;
	k.build[0] = k.build[1] = 0.02;
	s = draw_runs(&k, 100, 40, text, ALARM_DEAD);
	assert_true(s.runs[ALARM_DEAD] >= 98 && s.first[ALARM_DEAD] < 9);
	assert_contains(text, "have no spread");
	assert_contains(text, "Easier tasks");

	k = healthy[1];
	k.name = "every answer cut off";
	k.clipped = 1;
	s = draw_runs(&k, 100, 5, text, ALARM_CLIPPED);
	assert_true(s.runs[ALARM_CLIPPED] == 100 && s.first[ALARM_CLIPPED] == 1);
	assert_contains(text, "128 of the 128 of 4 steps (100 %; 5 % is allowed)");
	assert_contains(text, "--max-tokens");

	k = healthy[1];
	k.name = "every second answer lost";
	k.lost = 0.5;
	s = draw_runs(&k, 100, 5, text, ALARM_LOST);
	assert_true(s.runs[ALARM_LOST] == 100 && s.first[ALARM_LOST] < 1.2);
	assert_contains(text, "cadforge doctor");

	k = healthy[1];
	k.name = "the policy drifts";
	k.kl[1] = 5;
	s = draw_runs(&k, 100, 100, text, ALARM_KL);
	assert_true(s.runs[ALARM_KL] == 100 && s.first[ALARM_KL] < 20);
	assert_contains(text, "nats a token");
}

static void an_alarm_is_told_again_after_a_window_and_off_is_off(void **state)
{
	struct grpo_guard g = { .n = 0 };
	struct grpo_step_figures f;
	struct grpo_alarm_told out[ALARMS];
	int told = 0;
	(void)state;

	grpo_guard_usual(g.rule);
	assert_int_equal(grpo_guard_set(g.rule, "clipped=stop:0:4,lost=off", NULL), 0);
	for (int i = 1; i <= 300; i++) { /* past the ring's end */
		grpo_step_begin(&f, i);
		f.answers = 16;
		f.clipped = 1;
		f.lost = 16;
		f.groups = f.flat = 1;
		int n = grpo_guard_step(&g, &f, out);
		for (int k = 0; k < n; k++)
			if (out[k].alarm == ALARM_CLIPPED) {
				assert_int_equal(out[k].policy, GUARD_STOP);
				assert_int_equal(i % 4, 1);
				told++;
			} else {
				assert_int_equal(out[k].alarm, ALARM_DEAD);
			}
	}
	assert_int_equal(told, 75);
	/* steps without any answer are no news */
	memset(&g, 0, sizeof(g));
	grpo_guard_usual(g.rule);
	for (int i = 1; i <= 50; i++) {
		grpo_step_begin(&f, i);
		assert_int_equal(grpo_guard_step(&g, &f, out), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(advantages_are_the_trainers_to_the_bit),
		cmocka_unit_test(turns_are_set_beside_turns_and_a_repair_earns_its_gain),
		cmocka_unit_test(what_was_lost_or_cut_off_is_not_learnt_from),
		cmocka_unit_test(a_group_without_spread_teaches_nothing),
		cmocka_unit_test(a_step_is_the_sum_of_its_groups),
		cmocka_unit_test(a_reward_is_a_measured_figure_or_none),
		cmocka_unit_test(the_published_rows_earn_what_they_say),
		cmocka_unit_test(a_rule_is_set_by_its_words_or_not_at_all),
		cmocka_unit_test(healthy_runs_are_left_alone),
		cmocka_unit_test(the_published_failure_is_told_and_nothing_else),
		cmocka_unit_test(dead_groups_clipped_and_lost_answers_and_drift_are_told),
		cmocka_unit_test(an_alarm_is_told_again_after_a_window_and_off_is_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
