/* What a run of reinforcement learning told comes back on a page, each figure with the rows it is
 * made of. */
#include "tests/store.h"

#include <math.h>
#include <stdlib.h>

#include "src/report.h"

static char dir[64], db[600], out[600];

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	snprintf(out, sizeof(out), "%s/page", dir);
	return 0;
}

static int teardown(void **state)
{
	char line[700];
	(void)state;

	/* to look at: KEEP_REPORT=FOLDER */
	if (getenv("KEEP_REPORT")) {
		snprintf(line, sizeof(line), "cp -r '%s' '%s'", dir, getenv("KEEP_REPORT"));
		(void)!system(line);
	}
	snprintf(line, sizeof(line), "rm -rf '%s'", dir);
	return system(line);
}

static struct store *open_it(enum store_mode mode)
{
	struct err e = { 0 };
	struct store *s = store_open(db, mode, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

/* Even dice, the same each time. */
static double dice(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(*seed >> 33) / (double)(1u << 31);
}

static const char *const class_names[] = { "build_ok", "undefined_name", "syntax_closure",
	                                   "missing_fixture", "invented_api" };
enum { GROUPS = 2, MEMBERS = 4 };

struct told {
	int answers, built, clipped, flat;
	double reward;
	int classes[5];
	char best[24], worst[24];
};

/* An answer of a run: its turn, whose program says what became of it. */
static int64_t answer(struct store *s, int64_t episode, bool built, bool clipped, int cls,
                      double total, int member)
{
	char program[300];
	cJSON *score = score_of(total, built, class_names[cls]);
	struct store_turn_new t = { .episode = episode,
		                    .source = "model",
		                    .finish = clipped ? "length" : "stop",
		                    .model = "tiny",
		                    .member = member,
		                    .prompt_tokens = 90,
		                    .completion_tokens = clipped ? 300 : 150 + 10 * cls,
		                    .completion = "an answer",
		                    .completion_len = 9,
		                    .score = score };
	struct err e = { 0 };
	int number;
	int64_t id = 0;

	snprintf(program, sizeof(program), "import cadquery as cq\n\nHEIGHT = %d  # mm\n%s\n",
	         10 + member,
	         cls == 3 ? "part_of_it = cq.Workplane().box(1, 2, HEIGHT)"
	                  : "fixture = cq.Workplane().box(1, 2, HEIGHT)");
	if (!clipped) {
		t.program = program;
		t.program_len = strlen(program);
	}
	assert_done(store_turn_commit(s, &t, &number, &e), &e);
	assert_done(store_newest_turn(s, 0, &id, &e), &e);
	cJSON_Delete(score);
	return id;
}

/* One step of a run whose answers build with probability @p. */
static void step(struct store *s, int64_t run, int64_t number, double p, bool dense, uint64_t *seed,
                 struct told *all)
{
	struct store_rollout v[GROUPS * MEMBERS];
	struct told t = { 0 };
	struct err e = { 0 };
	struct buf data = { 0 };
	double best = -9, worst = 9, square = 0;

	for (int g = 0; g < GROUPS; g++) {
		char task[32];
		int64_t ep;
		int built_here = 0;
		snprintf(task, sizeof(task), "task_%d", (int)((number * GROUPS + g) % 7));
		assert_done(start_episode(s, task, &ep, &e), &e);
		for (int m = 0; m < MEMBERS; m++) {
			bool built = dice(seed) < p, clipped = !built && dice(seed) < 0.1;
			int cls = built ? 0 : 1 + (int)(dice(seed) * 4);
			double total = built ? 0.4 + 0.5 * dice(seed) : -1;
			double reward = built ? total : dense ? 0.37 * dice(seed) : -0.5;
			struct store_rollout *r = &v[g * MEMBERS + m];
			*r = (struct store_rollout){ .turn_id = answer(s, ep, built, clipped, cls,
				                                       total, m + 1),
				                     .step = number,
				                     .group = g,
				                     .member = m + 1,
				                     .round = 1,
				                     .kind = "first",
				                     .reward = reward,
				                     .advantage = NAN,
				                     .use = clipped ? "clipped" : "used" };
			t.answers++;
			t.built += built;
			t.clipped += clipped;
			t.classes[cls]++;
			t.reward += reward;
			square += reward * reward;
			built_here += built;
			if (reward > best) {
				best = reward;
				snprintf(t.best, sizeof(t.best), "%lld", (long long)ep);
			}
			worst = fmin(worst, reward);
		}
		t.flat += !dense && built_here == 0;
	}
	assert_done(store_rollouts_add(s, run, v, GROUPS * MEMBERS, &e), &e);
	double mean = t.reward / t.answers;
	buf_printf(&data,
	           "{\"reward\":%.17g,\"reward_std\":%.17g,\"build_rate\":%.17g,\"groups\":%d,"
	           "\"flat\":%d,\"all_built\":0,\"none_built\":%d,\"replaced\":0,\"answers\":%d,"
	           "\"built\":%d,\"used\":%d,\"clipped\":%d,\"lost\":0,\"kl\":%.6f,"
	           "\"clip_share\":0.01,\"ratio_max\":1.5,\"mismatch\":0.002,\"entropy\":%.4f,"
	           "\"length\":170,\"length_max\":%d,\"generate_s\":2.5,\"wait_s\":0.25,"
	           "\"learn_s\":1.0,\"repairs\":0,\"stage\":\"%s\",\"classes\":{",
	           mean, sqrt(fmax(0, square / t.answers - mean * mean)),
	           (double)t.built / t.answers, GROUPS, t.flat, t.flat, t.answers, t.built,
	           t.answers - t.clipped, t.clipped, 0.001 * (double)number,
	           1.2 - 0.01 * (double)number, t.clipped ? 300 : 190,
	           number < 15 ? "foundation" : "balanced");
	for (int i = 0; i < 5; i++)
		buf_printf(&data, "%s\"%s\":%d", i ? "," : "", class_names[i], t.classes[i]);
	buf_printf(&data, "},\"weights\":{\"undefined_name\":%.3f,\"syntax_closure\":%.3f}}",
	           0.25 / (double)number, 0.5 - 0.01 * (double)number);
	const struct store_step row = { .kind = "step",
		                        .step = number,
		                        .loss = 0.01,
		                        .lr = 1e-4,
		                        .norm = 0.5 + 0.1 * dice(seed),
		                        .seconds = 4,
		                        .tokens = 1360,
		                        .data = buf_str(&data) };
	assert_done(store_steps_add(s, run, &row, 1, &e), &e);
	buf_release(&data);
	all->answers += t.answers;
	all->built += t.built;
	all->clipped += t.clipped;
	all->reward += t.reward;
}

static int64_t a_run(struct store *s, int steps, bool dense, struct told *all)
{
	struct err e = { 0 };
	int64_t run = 0;
	uint64_t seed = dense ? 7 : 8;
	char settings[200];
	struct store_step about = {
		.kind = "ready",
		.loss = NAN,
		.lr = NAN,
		.norm = NAN,
		.seconds = NAN,
		.tokens = -1,
		.data = "{\"steps\":40,\"trainable\":1000,\"parameters\":9000,\"reward\":"
			"\"exact-train\",\"pid\":7,\"device\":\"a|b\"}"
	};

	*all = (struct told){ 0 };
	snprintf(
		settings, sizeof(settings),
		"{\"version\":\"1\",\"settings\":{\"reward\":\"%s\",\"out\":\"/nowhere/secret/run\","
		"\"steps\":40}}",
		dense ? "dense" : "strict");
	assert_done(store_run_start(s, "grpo", settings, &run, &e), &e);
	assert_done(store_steps_add(s, run, &about, 1, &e), &e);
	for (int i = 1; i <= steps; i++)
		step(s, run, i, dense ? 0.3 : 0.1 + 0.02 * i, dense, &seed, all);
	if (dense) {
		about.kind = "note";
		about.step = 12;
		about.data =
			"{\"alarm\":\"reward\",\"policy\":\"warn\",\"text\":\"the reward rose by "
			"0.08, the build rate by 0.00\",\"done\":null}";
		assert_done(store_steps_add(s, run, &about, 1, &e), &e);
	}
	return run;
}

static void read_page(const char *name, struct buf *b)
{
	char path[700];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/%s", out, name);
	buf_clear(b);
	if (buf_read_file(b, path, 64 << 20, &e) < 0)
		fail_msg("%s", e.text);
}

static int lines_of(const struct buf *b)
{
	int n = 0;

	for (const char *p = buf_str(b); *p; p++)
		n += *p == '\n';
	return n;
}

static bool no_picture(void *ctx, const char *task, const char *program, size_t len,
                       struct buf *png)
{
	++*(int *)ctx;
	assert_non_null(task);
	assert_int_equal(strlen(program), len);
	buf_adds(png, "\x89PNG");
	return true;
}

static void a_run_is_told_with_the_rows_behind_every_figure(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf page = { 0 }, html = { 0 }, csv = { 0 };
	struct err e = { 0 };
	struct told t;
	int drawn = 0;
	int64_t run = a_run(s, 30, false, &t);
	const struct report_options o = { .out = out, .picture = no_picture, .ctx = &drawn };
	char want[200];
	(void)state;

	assert_done(report_write(s, &run, 1, &o, &e), &e);
	read_page("README.md", &page);
	read_page("index.html", &html);
	assert_contains(buf_str(&page), "# Reinforcement learning, run 1\n");
	assert_contains(buf_str(&page), "| 30/40 | 240 |");
	snprintf(want, sizeof(want), "Clipped by the budget: %d of 240 answers", t.clipped);
	assert_contains(buf_str(&page), want);
	assert_contains(buf_str(&page), "it rose");
	assert_contains(buf_str(&page), "None went off.");
	static const char *const files[] = { "reward.svg",     "builds.svg",    "classes-1.svg",
		                             "health-1.svg",   "length.svg",    "weights-1.svg",
		                             "groups-1.svg",   "spread.svg",    "kl.svg",
		                             "entropy.svg",    "grad_norm.svg", "seconds-1.svg",
		                             "clip_share.svg", "lr.svg",        "data.json" };
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(want, sizeof(want), "](%s)", files[i]);
		assert_contains(buf_str(&page), want);
		read_page(files[i], &csv);
		assert_null(strstr(buf_str(&csv), "no figures yet"));
	}
	/* nothing but the page is needed */
	assert_null(strstr(buf_str(&html), "src=\"http"));
	assert_null(strstr(buf_str(&html), ".svg\""));
	assert_contains(buf_str(&html), "data:image/png;base64,");
	/* the place of the run is nobody's business */
	assert_null(strstr(buf_str(&page), "/nowhere"));
	assert_contains(buf_str(&page), "| out | run |");
	/* what the run told of itself, where no setting says it */
	assert_contains(buf_str(&page), "| device | a\\|b |");
	assert_null(strstr(buf_str(&page), "| pid |"));
	assert_contains(buf_str(&page), "run 1 strict");
	/* the best ones are of different tasks, with what they build */
	assert_true(drawn >= 4);
	assert_contains(buf_str(&page), "## Best completions");
	assert_contains(buf_str(&page), "the gusset is missing"); /* notes of one that failed */
	assert_contains(buf_str(&page), ", total -1.000, did not build: ");
	assert_contains(buf_str(&page), ", built; 150 tokens. ");
	/* the rows */
	read_page("steps-1.csv", &csv);
	assert_int_equal(lines_of(&csv), 31);
	assert_contains(buf_str(&csv), "step,row,loss,lr,grad_norm,");
	assert_contains(buf_str(&csv), "\n30,31,0.01,0.0001,");
	read_page("answers-1.csv", &csv);
	assert_int_equal(lines_of(&csv), 241);
	assert_contains(buf_str(&csv), "\n1.1,1,0,1,1,first,task_2,,");
	read_page("data.json", &csv);
	cJSON *data = json_parse(buf_str(&csv), csv.len, &e);
	assert_non_null(data);
	const cJSON *mine = cJSON_GetArrayItem(cJSON_GetObjectItem(data, "runs"), 0);
	double answers = 0;
	for (int i = 0; i < 30; i++)
		answers += cJSON_GetArrayItem(cJSON_GetObjectItem(mine, "answers"), i)->valuedouble;
	assert_close(answers, 240, 0);
	cJSON_Delete(data);
	store_close(s);
	buf_release(&page);
	buf_release(&html);
	buf_release(&csv);
}

static void several_runs_stand_in_the_same_plots(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf page = { 0 }, svg = { 0 };
	struct err e = { 0 };
	struct told t;
	int64_t runs[2] = { a_run(s, 30, true, &t), a_run(s, 25, false, &t) };
	const struct report_options o = { .out = out };
	(void)state;

	assert_done(report_write(s, runs, 2, &o, &e), &e);
	read_page("README.md", &page);
	assert_contains(buf_str(&page), "# Reinforcement learning, runs 1, 2\n");
	assert_contains(buf_str(&page), "| 1 | 12 | reward | warn | the reward rose by 0.08");
	assert_contains(buf_str(&page), "](classes-1.svg)");
	assert_contains(buf_str(&page), "](classes-2.svg)");
	read_page("builds.svg", &svg);
	assert_contains(buf_str(&svg), ">run 1 dense<");
	assert_contains(buf_str(&svg), ">run 2 strict<");
	assert_contains(buf_str(&page), "Its picture was not kept, and cannot be made here.");
	store_close(s);
	buf_release(&page);
	buf_release(&svg);
}

static void what_a_run_did_not_tell_is_left_out_and_never_0(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct buf page = { 0 };
	struct err e = { 0 };
	int64_t run = 0;
	const struct store_step rows[] = {
		{ .kind = "step",
		  .step = 1,
		  .loss = NAN,
		  .lr = NAN,
		  .norm = NAN,
		  .seconds = NAN,
		  .tokens = -1,
		  .data = "{\"reward\":null,\"build_rate\":null}" },
		{ .kind = "step",
		  .step = 2,
		  .loss = NAN,
		  .lr = NAN,
		  .norm = NAN,
		  .seconds = NAN,
		  .tokens = -1,
		  .data = "{\"reward\":0.5,\"classes\":7,\"weights\":[1],\"stage\":{}}" },
		{ .kind = "note",
		  .step = 2,
		  .loss = NAN,
		  .lr = NAN,
		  .norm = NAN,
		  .seconds = NAN,
		  .tokens = -1,
		  .data = "{\"alarm\":\"<b>|\",\"text\":7}" },
		{ .kind = "end",
		  .step = 2,
		  .loss = NAN,
		  .lr = NAN,
		  .norm = NAN,
		  .seconds = NAN,
		  .tokens = -1,
		  .data = "{\"error\":\"the <i>disk</i> is full\"}" },
	};
	const struct report_options o = { .out = out };
	const struct store_step ready = { .kind = "ready",
		                          .loss = NAN,
		                          .lr = NAN,
		                          .norm = NAN,
		                          .seconds = NAN,
		                          .tokens = -1,
		                          .data = "{\"reward\":\"exact-train\"}" };
	(void)state;

	assert_done(store_run_start(s, "grpo", "{\"settings\":{}}", &run, &e), &e);
	assert_done(report_write(s, &run, 1, &o, &e), &e);
	read_page("README.md", &page);
	assert_contains(buf_str(&page), "It has no step yet.");
	assert_done(store_steps_add(s, run, &ready, 1, &e), &e);
	assert_done(store_steps_add(s, run, rows, 4, &e), &e);
	assert_done(report_write(s, &run, 1, &o, &e), &e);
	read_page("README.md", &page);
	assert_contains(buf_str(&page), "Build rate: not told by its steps.");
	assert_contains(buf_str(&page), "### run 1 exact-train\n");
	assert_contains(buf_str(&page), "It failed: the \\<i\\>disk\\</i\\> is full");
	assert_contains(buf_str(&page), "| 1 | 2 | \\<b\\>\\| |  |  |");
	assert_contains(buf_str(&page), "There are none in the database.");
	assert_null(strstr(buf_str(&page), "0.0 %"));
	assert_null(strstr(buf_str(&page), "nan"));
	read_page("steps-1.csv", &page);
	assert_contains(buf_str(&page), "\n1,2,,,,,,,,");
	/* a run that is no training */
	assert_done(store_run_start(s, "group", NULL, &run, &e), &e);
	assert_int_equal(report_write(s, &run, 1, &o, &e), -1);
	assert_contains(e.text, "is no training");
	run = 99;
	assert_int_equal(report_write(s, &run, 1, &o, &e), -1);
	assert_contains(e.text, "there is no run 99");
	store_close(s);
	buf_release(&page);
}

/* ---- logs of others ---- */

static const char *log_of(const char *name)
{
	static char path[8][700];
	static int n;

	n = (n + 1) % 8;
	snprintf(path[n], sizeof(path[0]), "%s/tests/data/logs/%s", SRCDIR, name);
	return path[n];
}

static void one_log(const char *file, struct buf *page)
{
	struct err e = { 0 };
	const struct report_options o = { .out = out };

	assert_done(report_logs(&file, 1, &o, &e), &e);
	read_page("README.md", page);
	assert_null(strstr(buf_str(page), "nan"));
}

static void a_log_without_builds_has_no_build_rate(void **state)
{
	struct buf page = { 0 };
	(void)state;

	/* the published report said 0 % of such rows */
	one_log(log_of("debug-summary.json"), &page);
	assert_contains(buf_str(&page), "40 debug rows");
	assert_contains(buf_str(&page), "| missing | the build rate is not known; it is not 0 % |");
	assert_contains(buf_str(&page), "16 of 40 rows have more (40.0 %)");
	assert_null(strstr(buf_str(&page), "](builds.svg)"));
	assert_contains(buf_str(&page), "](classes-1.svg)");
	assert_contains(buf_str(&page), "](chars.svg)");
	assert_contains(buf_str(&page), "The log has no text of it.");
	buf_release(&page);
}

static void a_log_with_builds_has_their_rate(void **state)
{
	struct buf page = { 0 };
	(void)state;

	one_log(log_of("debug-rows.jsonl"), &page);
	assert_contains(buf_str(&page),
	                "Build rate of the rows that say it: 27.5 % (16.1 to 42.8), 11 of 40.");
	assert_contains(buf_str(&page), "](builds.svg)");
	assert_contains(buf_str(&page), "debug-rows.jsonl, row ");
	read_page("answers-1.csv", &page);
	assert_contains(buf_str(&page), "row,step,group");
	read_page("steps-1.csv", &page);
	assert_int_equal(lines_of(&page), 11);
	buf_release(&page);
}

static void completions_as_trl_logs_them_are_read(void **state)
{
	struct buf page = { 0 };
	(void)state;

	one_log(log_of("trl-completions.jsonl"), &page);
	assert_contains(buf_str(&page), "48 completions");
	assert_contains(buf_str(&page), "The reward of a row is build\\_reward + format\\_reward.");
	assert_contains(buf_str(&page), "| names its final object | in all rows |");
	assert_contains(buf_str(&page), "| advantage | in all rows |");
	assert_contains(buf_str(&page), "import cadquery as cq");
	read_page("answers-1.csv", &page);
	/* whether it builds is not in the log: an empty field */
	assert_contains(buf_str(&page), "\n1,1,0,0,0,,,,,,,,");
	buf_release(&page);
}

static void steps_of_a_trainer_are_read_beside_other_logs(void **state)
{
	const char *files[] = { log_of("trainer_state.json"), log_of("debug-rows.jsonl") };
	const struct report_options o = { .out = out };
	struct buf page = { 0 };
	struct err e = { 0 };
	(void)state;

	one_log(files[0], &page);
	assert_contains(buf_str(&page), "20 steps of the trainer");
	assert_contains(buf_str(&page), "Clipped by the budget: 36.2 % of the answers.");
	assert_contains(buf_str(&page), "](kl.svg)");
	assert_contains(buf_str(&page), "](length.svg)");
	assert_done(report_logs(files, 2, &o, &e), &e);
	read_page("README.md", &page);
	assert_contains(buf_str(&page), "### 1 trainer\\_state.json");
	assert_contains(buf_str(&page), "### 2 debug-rows.jsonl");
	buf_release(&page);
}

static int write_log(const char *text, size_t len, struct err *e)
{
	char path[700];
	const char *file = path;
	const struct report_options o = { .out = out };

	snprintf(path, sizeof(path), "%s/log.jsonl", dir);
	if (file_write_atomic(path, text, len, e) < 0)
		return -1;
	return report_logs(&file, 1, &o, e);
}

static void what_is_no_log_is_refused_in_words(void **state)
{
	struct buf page = { 0 };
	struct err e = { 0 };
	const char *none = "/nowhere/at.all";
	const struct report_options o = { .out = out };
	(void)state;

	assert_int_equal(write_log("", 0, &e), -1);
	assert_contains(e.text, "no row of it is known");
	assert_int_equal(write_log("PAR1\x15\x04", 6, &e), -1);
	assert_contains(e.text, "line 1");
	assert_contains(e.text, "Expected JSON lines");
	assert_int_equal(write_log("{\"a\":1}\n{\"b\":[{\"c\":2}]}\n", 24, &e), -1);
	assert_int_equal(report_logs(&none, 1, &o, &e), -1);
	assert_contains(e.text, none);
	/* rows that cannot be read are told, the others taken */
	const char some[] =
		"{\"completion\":\"x\",\"reward\":1,\"step\":1}\n{broken\n"
		"{\"completion\":\"\\u001b[2J<b>\",\"reward\":\"high\",\"step\":-4}\n"
		"{\"step\":[1,2],\"completion\":[\"a\",\"b\"],\"reward\":[0.5,1e999]}\n[7]\n";
	assert_done(write_log(some, strlen(some), &e), &e);
	read_page("README.md", &page);
	assert_contains(buf_str(&page),
	                "1 line could not be read and is left out; the first is line 2");
	assert_contains(buf_str(&page), "1 object had no key that is known");
	assert_contains(buf_str(&page), "| reward | in 2 of 4 rows |");
	assert_contains(buf_str(&page), "| step | in 3 of 4 rows |");
	assert_null(strchr(buf_str(&page), '\033'));
	buf_release(&page);
}

static void no_bytes_end_it(void **state)
{
	static const char *const files[] = { "trl-completions.jsonl", "debug-summary.json",
		                             "debug-rows.jsonl", "trainer_state.json" };
	static const char *const bits[] = { "null",
		                            "[",
		                            "]",
		                            "{",
		                            "}",
		                            "1e308",
		                            "-",
		                            "\"",
		                            ",",
		                            "\"step\":",
		                            "\"completion\":",
		                            "\xff",
		                            "\\u0000",
		                            "[[]]" };
	struct buf text = { 0 }, hurt = { 0 };
	uint64_t seed = 5;
	int taken = 0;
	(void)state;

	for (int i = 0; i < 160; i++) {
		struct err e = { 0 };
		buf_clear(&text);
		buf_clear(&hurt);
		assert_done(buf_read_file(&text, log_of(files[i % 4]), 1 << 20, &e), &e);
		/* a piece of it, with pieces put in */
		size_t len = (size_t)(dice(&seed) * 3000) + 100, at = 0;
		len = len < text.len ? len : text.len;
		for (int k = 0; k < 4; k++) {
			size_t to = at + (size_t)(dice(&seed) * (double)(len - at));
			const char *bit = bits[(int)(dice(&seed) * 14)];
			buf_add(&hurt, buf_str(&text) + at, to - at);
			buf_adds(&hurt, bit);
			at = to + (dice(&seed) < 0.5 && to < len);
		}
		buf_add(&hurt, buf_str(&text) + at, len - at);
		if (write_log(buf_str(&hurt), hurt.len, &e) == 0) {
			taken++;
			read_page("index.html", &text);
			assert_null(strchr(buf_str(&text), '\033'));
		} else {
			assert_int_equal(e.kind, ERR_INPUT);
		}
	}
	assert_true(taken > 40);
	buf_release(&text);
	buf_release(&hurt);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_run_is_told_with_the_rows_behind_every_figure),
		CLAIM(several_runs_stand_in_the_same_plots),
		CLAIM(what_a_run_did_not_tell_is_left_out_and_never_0),
		CLAIM(a_log_without_builds_has_no_build_rate),
		CLAIM(a_log_with_builds_has_their_rate),
		CLAIM(completions_as_trl_logs_them_are_read),
		CLAIM(steps_of_a_trainer_are_read_beside_other_logs),
		CLAIM(what_is_no_log_is_refused_in_words),
		CLAIM(no_bytes_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
