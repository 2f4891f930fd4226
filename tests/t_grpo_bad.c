/*
 * t_grpo_bad.c - the loop of reinforcement learning under bad answers: hostile and endless ones, an
 * engine and a builder that die, a reward that is none, groups without spread, a full store. Each
 * step goes on with what is left, nothing is learnt from what nobody measured, and it is told.
 *
 * Builder, scorer, trainer and store are the real ones; the answers are written here
 * (src/paced.h).
 */
#include "tests/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "engine/prompts.h"
#include "src/grpo.h"
#include "src/grpo_settings.h"
#include "src/paced.h"
#include "tests/faulty_vfs.h"

#define PROGRAM(size)                                                                              \
	"import cadquery as cq\nfixture = cq.Workplane(\"XY\").box(30, 30, " size ")\n"
#define BROKEN "import cadquery as cq\nfixture = no_such_name\n"
#define HANGS  "import cadquery as cq\nwhile True:\n    pass\n"

enum { GROUPS = 2, MEMBERS = 4, ANSWERS = GROUPS * MEMBERS };
enum { HOSTILE, ALL_FAIL, ALL_EQUAL, ENGINE_DIES, BUILDER_DIES, STORE_FULL, WELL, STEPS };

/* '~': without an end; '!': none, the engine is lost with it. */
static const char *const answers[STEPS][ANSWERS] = {
	[HOSTILE] = { PROGRAM("40"), "~on and on ", HANGS, BROKEN,
	              /* escapes, marks that turn text around, a NUL's worth of nothing */
	              "import cadquery as cq\nprint('\033]0;owned\007\033[2J\xe2\x80\xae')\n"
	              "fixture = \"\033[31m\xff\xfe\"\n",
	              "import cadquery as cq\nwhile True:\n    print('x' * 100000)\n",
	              "import os\nos.system('kill -9 -1')\nos.kill(os.getppid(), 9)\n",
	              PROGRAM("20") },
	[ALL_FAIL] = { BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN },
	[ALL_EQUAL] = { PROGRAM("40"), PROGRAM("40"), PROGRAM("40"), PROGRAM("40"), PROGRAM("40"),
	                PROGRAM("40"), PROGRAM("40"), PROGRAM("40") },
	[ENGINE_DIES] = { "!the device is gone", PROGRAM("40"), "!the device is gone", BROKEN, "",
	                  PROGRAM("30"), "", "!the device is gone" },
	[BUILDER_DIES] = { PROGRAM("40"), BROKEN, HANGS, PROGRAM("30"), PROGRAM("40"), BROKEN,
	                   PROGRAM("20"), HANGS },
	[STORE_FULL] = { PROGRAM("40"), BROKEN, PROGRAM("30"), BROKEN, PROGRAM("40"), BROKEN,
	                 PROGRAM("20"), BROKEN },
	[WELL] = { PROGRAM("40"), BROKEN, PROGRAM("30"), BROKEN, PROGRAM("40"), BROKEN,
	           PROGRAM("20"), BROKEN },
};

/* Neither builds; four steps of two answers each, then the others. */
static const char *const hollow[2][2] = {
	{ "x = no_such_name\n", "import cadquery as cq\nx = no_such_name\n" },
	{ "import cadquery as cq\nfixture = cq.Workplane(no_such_name)\n",
	  "import cadquery as cq\ndef part():\n    return cq.Workplane(no_such_name)\nfixture = part()\n" },
};

struct told_step {
	int step, answers, used, lost, clipped, flat, built;
	double loss, reward;
	bool has_loss;
};

struct test {
	int asked; /* in this step */
	struct told_step step[STEPS];
	int n_steps;
	struct buf notes;
	atomic_bool killing, over;
	pid_t process;
	int n_hollow;
	bool hollow; /* answers of a text that builds nothing */
};

static void on_answer(void *ctx, const struct gpu_request *r, int sequence,
                      struct paced_answer *out)
{
	struct test *t = ctx;
	int i = t->asked++;
	/* what is asked for again, since the engine was lost, is lost again */
	const char *text = i < ANSWERS ? answers[t->n_steps % STEPS][i] : "!the device is gone";

	(void)r;
	(void)sequence;
	if (t->hollow) {
		text = hollow[t->n_hollow++ / 8 % 2][i % 2];
		*out = (struct paced_answer){ .text = text, .len = strlen(text) };
		return;
	}
	t->killing = t->n_steps == BUILDER_DIES;
	if (t->n_steps == STORE_FULL && !fault_plan.what)
		fault_plan = (struct fault_plan){ .what = FAULT_FULL, .at = 1, .stays = true };
	if (*text == '!') {
		out->error = text + 1;
		out->kind = ERR_LOST;
		return;
	}
	out->endless = *text == '~';
	out->text = text + out->endless;
	out->len = strlen(out->text);
}

static struct gpu *open_engine(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
                               struct err *e)
{
	const struct paced_options p = { .ctx = ctx, .answer = on_answer };

	(void)o;
	return paced_open(&p, ops, e);
}

/* The builder of this process, once, when it has worked on something for a while: its jobs are
 * begun again. (One that is lost twice under a job loses that one: t_rollouts.) */
static void *kill_builders(void *ctx)
{
	struct test *t = ctx;
	char path[64], line[64];
	int pid, kills = 0;

	while (!t->over) {
		usleep(700000);
		if (!t->killing || kills > 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)t->process);
		FILE *f = fopen(path, "re");
		for (bool killed = false; f && !killed && fscanf(f, "%d", &pid) == 1;) {
			snprintf(path, sizeof(path), "/proc/%d/comm", pid);
			FILE *c = fopen(path, "re");
			if (c && fgets(line, sizeof(line), c) &&
			    strncmp(line, "cadforge-build", 14) == 0)
				killed = kill(pid, SIGKILL) == 0;
			kills += killed;
			if (c)
				fclose(c);
		}
		if (f)
			fclose(f);
	}
	return NULL;
}

static double figure(const cJSON *o, const char *key)
{
	return json_number_or(o, key, NAN);
}

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct test *t = ctx;

	if (strcmp(kind, "note") == 0)
		buf_printf(&t->notes, "%s\n", json_string_or(o, "text", ""));
	if (strcmp(kind, "step") != 0)
		return;
	if (t->hollow) {
		t->asked = 0;
		return;
	}
	assert_true(t->n_steps < STEPS);
	t->step[t->n_steps++] = (struct told_step){
		.step = (int)figure(o, "step"),
		.answers = (int)figure(o, "answers"),
		.used = (int)figure(o, "used"),
		.lost = (int)figure(o, "lost"),
		.clipped = (int)figure(o, "clipped"),
		.flat = (int)figure(o, "flat"),
		.built = (int)figure(o, "built"),
		.loss = figure(o, "loss"),
		.reward = figure(o, "reward"),
	};
	t->asked = 0;
	/* there is room again */
	if (t->n_steps == STORE_FULL + 1) {
		assert_true(fault_plan.hit);
		fault_plan = (struct fault_plan){ 0 };
	}
}

struct rows {
	int n[STEPS + 1], used[STEPS + 1], lost[STEPS + 1];
};

static int see_row(void *ctx, const struct store_rollout *r)
{
	struct rows *x = ctx;

	x->n[r->step]++;
	x->used[r->step] += strcmp(r->use, "used") == 0;
	x->lost[r->step] += strcmp(r->use, "lost") == 0;
	/* nothing has an advantage that has no reward, and nothing one that is no number */
	if (isnan(r->reward) && !isnan(r->advantage) && r->advantage != 0)
		fail_msg("turn %d.%d has no reward and an advantage of %g", (int)r->episode,
		         r->turn, r->advantage);
	if (strcmp(r->use, "used") == 0)
		assert_true(isfinite(r->advantage) && isfinite(r->reward));
	return 0;
}

static const char task_text[] =
	"{\"format\": \"cadforge-task-1\", \"id\": \"hook\", \"level\": \"easy\", \"family\": \"hooks\","
	"\"bbox_mm\": [30, 30, 40], \"semantic_hints\": [\"hook\"], \"prompt\": \"A hook.\","
	"\"dimensions\": [{\"name\": \"height\", \"value_mm\": 40, \"about\": \"of all\"}],"
	"\"expect\": {\"hooks\": 1}, \"seed_box_over_height\": null, \"reference\": null,"
	"\"orientation\": \"free\", \"checks\": []}";

/* Everything that a run takes, with the demonstration model's base. */
struct world {
	char dir[256];
	struct app app;
	struct model_flags flags;
	struct prompt_set prompts;
	struct task task;
	struct task_set tasks;
	int first;
	struct grpo_settings settings;
	cJSON *all, *policy;
	struct store *store;
	struct grpo_options o;
};

static void open_world(struct world *w, struct test *t, const char *more)
{
	static const char *const sets[] = { SRCDIR "/tasks/prompts" };
	const char *python = getenv("PYTHON_ENV");
	const struct store_options so = { .vfs = "faulty" };
	char path[300], here[4096], config[2000];
	struct err e = { 0 };

	if (!python || !*python) {
		print_message("nothing is built without CadQuery\n");
		skip();
	}
	*w = (struct world){ .first = 0 };
	w->tasks = (struct task_set){ .tasks = &w->task, .n = 1 };
	faulty_vfs_register();
	assert_non_null(getcwd(here, sizeof(here)));
	setenv("CADFORGE_LIBEXEC", here, 0);
	setenv("CADFORGE_TASKS", SRCDIR "/tasks", 1);
	setenv("CADFORGE_PYTHON_ENV", python, 1);
	make_folder(w->dir, sizeof(w->dir));
	app_init(&w->app);
	app_find(&w->app);
	w->app.quiet = true;
	w->app.jobs = 2;
	w->app.limits.wall_s = 60;
	w->app.limits.cpu_s = 2;
	model_flags_init(&w->flags);
	w->flags.model = SRCDIR "/gpu/demo/base";
	w->flags.no_adapter = true;
	w->flags.backend = GPU_CPU;
	w->flags.temperature_given = true;
	assert_done(model_flags_finish(&w->flags, &w->app, &e), &e);
	assert_done(prompt_set_load(&w->prompts, sets, 1, "demo", &e), &e);
	assert_done(task_parse(&w->task, task_text, strlen(task_text), "hook.json", &e), &e);
	snprintf(config, sizeof(config),
	         "{\"model\":\"%s\",\"adapter\":\"none\",\"out\":\"%s\",\"tries\":1,\"turns\":1,"
	         "\"rank\":2,\"max_tokens\":60,\"repairs\":0,\"eval_every\":-1,\"lr\":0.0001,%s}",
	         w->flags.model, w->dir, more);
	w->all = json_parse(config, strlen(config), &e);
	assert_non_null(w->all);
	assert_done(grpo_settings_read(&w->settings, &w->policy, w->all, &e), &e);
	snprintf(path, sizeof(path), "%s/sessions.db", w->dir);
	w->store = store_open(path, STORE_WRITE, &so, &e);
	assert_non_null(w->store);
	w->o = (struct grpo_options){
		.app = &w->app,
		.store = w->store,
		.model = &w->flags,
		.tasks = &w->tasks,
		.task = &w->first,
		.n_tasks = 1,
		.prompts = &w->prompts,
		.settings = w->settings,
		.policy = w->policy,
		.backend = GPU_CPU,
		.all = w->all,
		.kind = "grpo",
		.ctx = t,
		.event = on_event,
		.engine = open_engine,
		.engine_ctx = t,
	};
}

static void close_world(struct world *w)
{
	char clean[400];

	store_close(w->store);
	cJSON_Delete(w->all);
	cJSON_Delete(w->policy);
	prompt_set_release(&w->prompts);
	task_release(&w->task);
	snprintf(clean, sizeof(clean), "rm -rf '%s'", w->dir);
	assert_int_equal(system(clean), 0);
}

/* The published dense runs: text that builds nothing learns to look like a program. */
static void a_reward_that_rises_without_builds_stops_the_run(void **state)
{
	struct test t = { .process = getpid(), .hollow = true };
	struct grpo_result result;
	struct world w;
	struct err e = { 0 };
	(void)state;

	open_world(&w, &t,
	           "\"steps\":12,\"prompts\":1,\"members\":2,\"reward\":\"dense\","
	           "\"guards\":[\"dead=off\",\"reward=stop:0.05:8\"]");
	assert_done(grpo_run(&w.o, &result, &e), &e);
	assert_string_equal(result.outcome, "alarm");
	assert_int_equal(result.step, 8);
	assert_contains(buf_str(&t.notes), "the reward rises and the build rate does not: over 8 "
	                                   "steps -0.125 -> 0.265, built 0 % -> 0 %");
	assert_contains(buf_str(&t.notes), "the reward pays for text that is no part");
	buf_release(&t.notes);
	close_world(&w);
}

static void every_step_goes_on_with_what_is_left(void **state)
{
	struct test t = { .process = getpid() };
	struct grpo_result result;
	struct rows rows = { { 0 }, { 0 }, { 0 } };
	struct world w;
	struct err e = { 0 };
	pthread_t killer;
	(void)state;

	open_world(&w, &t,
	           "\"steps\":7,\"prompts\":2,\"members\":4,\"reward\":\"seed-fast\","
	           "\"guards\":[\"dead=warn\",\"clipped=warn\",\"lost=warn:0.1:1\"]");
	assert_int_equal(w.settings.steps, STEPS);
	assert_int_equal(pthread_create(&killer, NULL, kill_builders, &t), 0);
	int rc = grpo_run(&w.o, &result, &e);
	t.over = true;
	pthread_join(killer, NULL);
	assert_done(rc, &e);

	assert_string_equal(result.outcome, "done");
	assert_int_equal(t.n_steps, STEPS);
	assert_done(store_rollouts(w.store, result.run, 1, STEPS, see_row, &rows, &e), &e);
	for (int i = 0; i < STEPS; i++) {
		const struct told_step *s = &t.step[i];
		print_message("step %d: answers %d used %d lost %d clipped %d flat %d built %d "
		              "loss %g reward %g; %d rows\n",
		              s->step, s->answers, s->used, s->lost, s->clipped, s->flat, s->built,
		              s->loss, s->reward, rows.n[i + 1]);
		assert_int_equal(s->step, i + 1);
		assert_int_equal(s->answers, ANSWERS);
		/* a step without anything to learn from has no loss, rather than one of 0 */
		assert_int_equal(isnan(s->loss), s->used == 0);
		assert_true(isnan(s->reward) == (s->lost == ANSWERS));
	}

	/* what hangs has no figure under the published reward; what has no end is masked */
	assert_int_equal(t.step[HOSTILE].lost, 1);
	assert_int_equal(t.step[HOSTILE].clipped, 1);
	assert_int_equal(t.step[HOSTILE].built, 2);
	assert_int_equal(t.step[HOSTILE].flat, 0);
	assert_int_equal(t.step[HOSTILE].used, ANSWERS - 2);

	assert_int_equal(t.step[ALL_FAIL].flat, GROUPS);
	assert_int_equal(t.step[ALL_FAIL].used, 0);
	assert_int_equal(t.step[ALL_FAIL].lost, 0);
	assert_int_equal(t.step[ALL_FAIL].built, 0);
	assert_int_equal(t.step[ALL_EQUAL].flat, GROUPS);
	assert_int_equal(t.step[ALL_EQUAL].used, 0);
	assert_int_equal(t.step[ALL_EQUAL].built, ANSWERS);

	/* the first group has one of each left, of the second an empty answer counts as one */
	assert_int_equal(t.step[ENGINE_DIES].lost, 3);
	assert_int_equal(t.step[ENGINE_DIES].used, 5);
	assert_contains(buf_str(&t.notes), "the device is gone");

	/* both that hang have no figure, and what was under way at the kill was built again */
	assert_int_equal(t.step[BUILDER_DIES].lost, 2);
	assert_int_equal(t.step[BUILDER_DIES].built, 4);
	assert_int_equal(t.step[BUILDER_DIES].used, 6);

	assert_int_equal(t.step[STORE_FULL].used, ANSWERS);
	assert_int_equal(t.step[STORE_FULL].lost, 0);
	assert_int_equal(rows.n[STORE_FULL + 1], 0);
	assert_int_equal(t.step[WELL].used, ANSWERS);
	assert_int_equal(rows.used[WELL + 1], ANSWERS);
	assert_int_equal(rows.used[HOSTILE + 1], ANSWERS - 2);
	assert_int_equal(rows.lost[HOSTILE + 1], 1);

	/* and the guards saw it */
	assert_contains(buf_str(&t.notes), "answers have no reward: 3 of the 8 of 1 step");

	int problems = 0;
	const struct store_fsck_options fsck = { .quick = false };
	assert_done(store_fsck(w.store, &fsck, &problems, &e), &e);
	assert_int_equal(problems, 0);
	buf_release(&t.notes);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_goes_on_with_what_is_left),
		cmocka_unit_test(a_reward_that_rises_without_builds_stops_the_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
