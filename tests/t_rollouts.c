/*
 * t_rollouts.c - many answers at once: each built when it ends, repaired while others are written,
 * stored, and told; whatever becomes of its neighbours. The builder is the real one. Answers come
 * from an engine that writes what this file says (src/paced.h), or from the demonstration model.
 */
#include "tests/store.h"

#include <signal.h>

#include "src/model_flags.h"
#include "src/paced.h"
#include "src/rollouts.h"
#include "src/base/clock.h"
#include "tests/faulty_vfs.h"

#define PROGRAM(size)                                                                              \
	"```python\nimport cadquery as cq\n\nresult = cq.Workplane(\"XY\").box(30, 30, " size      \
	")\n```\n"
#define BROKEN(name) "```python\nimport cadquery as cq\n\nresult = " name "\n```\n"

static char dir[256];
static struct app app;
static struct prompt_set prompts;
static struct task task;
static struct model_flags flags;

static const char task_text[] =
	"{\"format\": \"cadforge-task-1\", \"id\": \"hook\", \"level\": \"easy\", \"family\": \"hooks\","
	"\"bbox_mm\": [30, 30, 40], \"semantic_hints\": [\"hook\"], \"prompt\": \"A hook.\","
	"\"dimensions\": [{\"name\": \"height\", \"value_mm\": 40, \"about\": \"of all\"}],"
	"\"expect\": {\"hooks\": 1}, \"seed_box_over_height\": null, \"reference\": null,"
	"\"orientation\": \"free\", \"checks\": []}";

static int setup(void **state)
{
	const char *python = getenv("PYTHON_ENV");
	char here[4096];
	struct err e = { 0 };

	(void)state;
	faulty_vfs_register();
	if (!getcwd(here, sizeof(here)))
		return -1;
	setenv("CADFORGE_LIBEXEC", here, 0);
	setenv("CADFORGE_TASKS", SRCDIR "/tasks", 1);
	setenv("CADFORGE_DEMO", SRCDIR "/gpu/demo", 1);
	unsetenv("CADFORGE_MODEL");
	if (python && *python)
		setenv("CADFORGE_PYTHON_ENV", python, 1);
	make_folder(dir, sizeof(dir));
	app_init(&app);
	app_find(&app);
	app.quiet = true;
	app.jobs = 2;
	model_flags_init(&flags);
	flags.sampling.temperature = 1;
	flags.sampling.top_p = 1;
	flags.sampling.top_k = 0;
	flags.temperature_given = true;
	flags.backend = GPU_CPU;
	static const char *const dirs[] = { SRCDIR "/tasks/prompts" };
	if (prompt_set_load(&prompts, dirs, 1, "demo", &e) < 0 ||
	    task_parse(&task, task_text, strlen(task_text), "hook.json", &e) < 0 ||
	    model_flags_finish(&flags, &app, &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	prompt_set_release(&prompts);
	task_release(&task);
	remove_folder(dir);
	return 0;
}

/* ---- what is told ---- */

enum { TOLD_MAX = 64 };

struct told {
	int group, member, turn, number, n, prompt_tokens;
	bool lost, built, clipped, has_logp;
	double total, parent, entropy;
	int64_t episode, turn_id;
	int32_t *id;
	float *logp;
	char why[512];
	char prompt[6000]; /* the user's */
};

struct test {
	struct rollouts *r;
	struct store *store;
	struct err e;
	struct told v[TOLD_MAX];
	int n, over, ticks, stop_at; /* stop_at: tick that says stop; 0: none */
	void (*on_tick)(struct test *t);
	void (*on_done)(struct test *t, const struct told *v);
	/* the written answers */
	const char *const *text;
	int n_text;
	int asked;
	uint64_t seed[TOLD_MAX]; /* of each request */
	double step_s;
};

static void on_done(void *ctx, const struct rollout *r)
{
	struct test *t = ctx;
	struct told *v = &t->v[t->n];
	const cJSON *last = cJSON_GetArrayItem(r->messages, cJSON_GetArraySize(r->messages) - 1);

	assert_true(t->n < TOLD_MAX);
	t->n++;
	*v = (struct told){
		.group = r->group,
		.member = r->member,
		.turn = r->turn,
		.number = r->number,
		.n = r->n,
		.prompt_tokens = r->prompt_tokens,
		.lost = !r->scored,
		.built = r->scored && r->scored->built,
		.clipped = r->clipped,
		.has_logp = r->logp != NULL,
		.total = r->scored ? r->scored->total : NAN,
		.parent = r->parent ? json_number_or(
					      cJSON_GetObjectItemCaseSensitive(r->parent, "reward"),
					      "total", NAN)
		                    : NAN,
		.entropy = r->entropy,
		.episode = r->episode,
		.turn_id = r->turn_id,
	};
	if (r->id) {
		v->id = malloc((size_t)r->n * sizeof(*v->id));
		memcpy(v->id, r->id, (size_t)r->n * sizeof(*v->id));
	}
	if (r->logp) {
		v->logp = malloc((size_t)r->n * sizeof(*v->logp));
		memcpy(v->logp, r->logp, (size_t)r->n * sizeof(*v->logp));
	}
	snprintf(v->why, sizeof(v->why), "%s", r->why.kind ? r->why.text : "");
	snprintf(v->prompt, sizeof(v->prompt), "%s", json_string_or(last, "content", ""));
	if (t->on_done)
		t->on_done(t, v);
}

static void on_over(void *ctx, int group, void *user)
{
	struct test *t = ctx;

	(void)group;
	(void)user;
	t->over++;
}

static int on_tick(void *ctx)
{
	struct test *t = ctx;

	t->ticks++;
	if (t->on_tick)
		t->on_tick(t);
	return t->stop_at && t->ticks >= t->stop_at;
}

static void on_answer(void *ctx, const struct gpu_request *r, int sequence,
                      struct paced_answer *out)
{
	struct test *t = ctx;
	int i = t->asked++;
	const char *text = i < t->n_text ? t->text[i] : "";

	if (i < TOLD_MAX)
		t->seed[i] = r->sampling.seed + (uint64_t)sequence;
	if (text[0] == '!') {
		out->error = text + 1;
		out->kind = ERR_LOST;
		return;
	}
	out->endless = text[0] == '~';
	out->text = text + out->endless;
	out->len = strlen(out->text);
}

static struct gpu *open_paced(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
                              struct err *e)
{
	struct test *t = ctx;
	const struct paced_options p = { .ctx = ctx, .answer = on_answer, .step_s = t->step_s };

	(void)o;
	return paced_open(&p, ops, e);
}

static void open_rollouts(struct test *t, int max_tokens, bool demo)
{
	const struct rollouts_options o = {
		.app = &app,
		.store = t->store,
		.source = "eval",
		.model = &flags,
		.prompts = &prompts,
		.scoring = { .app = &app, .profile = "exact-train", .rebuilds = -1 },
		.max_tokens = max_tokens,
		.light = true,
		.ctx = t,
		.done = on_done,
		.group_over = on_over,
		.tick = on_tick,
		.engine = demo ? NULL : open_paced,
		.engine_ctx = t,
	};

	t->r = rollouts_open(&o, &t->e);
	if (!t->r)
		fail_msg("%s", t->e.text);
}

static void open_store(struct test *t, const char *name, const char *vfs)
{
	const struct store_options so = { .vfs = vfs };
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	t->store = store_open(path, STORE_WRITE, &so, &t->e);
	if (!t->store)
		fail_msg("%s", t->e.text);
}

static void add(struct test *t, int members, int turns, double enough, uint64_t seed)
{
	const struct rollout_group g = {
		.task = &task, .members = members, .turns = turns, .enough = enough, .seed = seed
	};

	if (rollouts_add(t->r, &g, &t->e) < 0)
		fail_msg("%s", t->e.text);
}

static void run(struct test *t)
{
	assert_done(rollouts_run(t->r, &t->e), &t->e);
}

static void close_all(struct test *t)
{
	rollouts_close(t->r);
	store_close(t->store);
	for (int i = 0; i < t->n; i++) {
		free(t->v[i].id);
		free(t->v[i].logp);
	}
}

static const struct told *find(const struct test *t, int group, int member, int turn)
{
	for (int i = 0; i < t->n; i++)
		if (t->v[i].group == group && t->v[i].member == member && t->v[i].turn == turn)
			return &t->v[i];
	fail_msg("answer %d.%d.%d was not told", group, member, turn);
	return NULL;
}

/* ---- no barrier ---- */

static void an_answer_is_scored_while_its_siblings_are_written(void **state)
{
	static const char *const texts[] = { "~so it goes on ", PROGRAM("40"), BROKEN("no_such") };
	struct test t = { .text = texts, .n_text = 3, .step_s = 1e-3 };
	struct rollouts_figures f;

	(void)state;
	open_rollouts(&t, 4000, false);
	add(&t, 3, 1, NAN, 1);
	run(&t);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.over, 1);
	/* the endless one takes four seconds, the others a moment */
	assert_int_equal(t.v[2].member, 1);
	assert_true(t.v[2].clipped);
	assert_int_equal(t.v[2].n, 4000);
	assert_true(find(&t, 0, 2, 1)->built);
	assert_false(find(&t, 0, 3, 1)->built);
	assert_false(find(&t, 0, 3, 1)->lost);
	/* its tokens, the one that ended it included */
	const struct told *v = find(&t, 0, 2, 1);
	assert_int_equal(v->n,
	                 (int)(strlen(texts[1]) + PACED_TOKEN_BYTES - 1) / PACED_TOKEN_BYTES + 1);
	assert_int_equal(v->id[v->n - 1], PACED_STOP);
	assert_close(v->logp[v->n - 1], -0.5, 0);
	assert_close(v->entropy, 0.75, 1e-12);
	f = rollouts_figures(t.r);
	assert_int_equal(f.answers, 3);
	assert_int_equal(f.built, 1);
	assert_int_equal(f.clipped, 1);
	assert_int_equal(f.lost, 0);
	assert_true(f.decoding_s > 3.5 && f.decoding_s <= f.seconds);
	assert_true(f.waiting_s < f.seconds - f.decoding_s + 1e-6);
	assert_int_equal(rollouts_figures(t.r).answers, 0);
	close_all(&t);
}

/* ---- chains ---- */

static int keep_turn(void *ctx, const struct store_turn *v)
{
	struct store_turn *turn = ctx;

	turn[v->number] = *v;
	return 0;
}

static void a_member_goes_on_until_it_is_enough(void **state)
{
	/* in the order in which they are asked for: two first tries, then what is repaired */
	static const char *const texts[] = { BROKEN("first_one"), PROGRAM("40"),
		                             BROKEN("second_one"), PROGRAM("20") };
	struct test t = { .text = texts, .n_text = 4 };
	struct store_turn turn[8] = { 0 };

	(void)state;
	open_store(&t, "chain.db", NULL);
	open_rollouts(&t, 400, false);
	add(&t, 2, 3, 0.1, 7);
	run(&t);
	assert_int_equal(t.n, 4);
	assert_int_equal(t.over, 1);
	const struct told *a = find(&t, 0, 1, 1), *b = find(&t, 0, 1, 2), *c = find(&t, 0, 1, 3);
	const struct told *d = find(&t, 0, 2, 1);
	assert_false(a->built);
	assert_true(isnan(a->parent));
	assert_contains(b->prompt, "first_one");
	assert_close(b->parent, a->total, 0);
	assert_contains(c->prompt, "second_one");
	assert_true(c->built && d->built);
	assert_true(d->total >= 0.1);
	/* one episode: the siblings, and what goes on from one of them */
	assert_done(store_turns(t.store, a->episode, keep_turn, turn, &t.e), &t.e);
	assert_int_equal(turn[a->number].parent, 0);
	assert_int_equal(turn[a->number].member, 1);
	assert_int_equal(turn[d->number].member, 2);
	assert_int_equal(turn[b->number].parent, a->number);
	assert_int_equal(turn[c->number].parent, b->number);
	assert_int_equal(turn[c->number].id, c->turn_id);
	assert_close(turn[c->number].total, c->total, 1e-12);
	assert_int_equal(turn[b->number].completion_tokens, b->n);
	/* every answer has a seed of its own */
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < i; k++)
			assert_true(t.seed[i] != t.seed[k]);

	/* and a group that repairs one of these turns goes on from it */
	const struct rollout_group g = { .task = &task,
		                         .members = 1,
		                         .turns = 1,
		                         .enough = NAN,
		                         .episode = a->episode,
		                         .parent = a->number };
	int64_t episode = a->episode;
	int parent = a->number;
	double total = a->total;
	assert_int_equal(rollouts_add(t.r, &g, &t.e), 1);
	run(&t);
	const struct told *x = find(&t, 1, 1, 1);
	assert_contains(x->prompt, "first_one");
	assert_close(x->parent, total, 1e-12);
	assert_int_equal(x->episode, episode);
	assert_done(store_turns(t.store, episode, keep_turn, turn, &t.e), &t.e);
	assert_int_equal(turn[x->number].parent, parent);
	close_all(&t);
}

/* ---- what goes wrong ---- */

static void what_is_lost_has_no_total_and_the_others_go_on(void **state)
{
	/* the first's engine dies under it twice: it is asked for again once */
	static const char *const texts[] = { "!the device is gone", PROGRAM("40"), "",
		                             "!the device is gone" };
	struct test t = { .text = texts, .n_text = 4 };

	(void)state;
	open_store(&t, "lost.db", NULL);
	open_rollouts(&t, 400, false);
	add(&t, 3, 2, NAN, 7);
	run(&t);
	assert_true(find(&t, 0, 1, 1)->lost);
	assert_true(isnan(find(&t, 0, 1, 1)->total));
	assert_int_equal(find(&t, 0, 1, 1)->number, 0);
	assert_contains(find(&t, 0, 1, 1)->why, "the device is gone");
	assert_true(find(&t, 0, 2, 1)->built);
	/* an empty answer is an answer: its end was drawn */
	assert_false(find(&t, 0, 3, 1)->lost);
	assert_false(find(&t, 0, 3, 1)->built);
	assert_int_equal(find(&t, 0, 3, 1)->n, 1);
	assert_int_equal(t.n, 5); /* the lost one has no second turn */
	assert_int_equal(rollouts_figures(t.r).lost, 1);
	close_all(&t);
}

static void the_last_builder(struct test *t)
{
	char path[64], line[64];
	int pid;

	if (t->n < 2) /* the others first */
		return;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fscanf(f, "%d", &pid) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		FILE *c = fopen(path, "re");
		if (c && fgets(line, sizeof(line), c) && strncmp(line, "cadforge-build", 14) == 0)
			kill(pid, SIGKILL);
		if (c)
			fclose(c);
	}
	fclose(f);
}

static void the_last_builder_but_one(struct test *t)
{
	t->n++;
	the_last_builder(t);
	t->n--;
}

static void no_more_of_that(struct test *t, const struct told *v)
{
	if (v->lost)
		t->on_tick = NULL;
}

/* Equal programs have equal scores: one is built, however many there are, and when it is lost
 * another one is built instead. */
static void equal_answers_are_built_once(void **state)
{
	static const char *const texts[] = { PROGRAM("40"), PROGRAM("40"),     PROGRAM("20"),
		                             PROGRAM("40"), BROKEN("no_such"), BROKEN("no_such"),
		                             PROGRAM("20"), PROGRAM("40"),     BROKEN("no_such") };
	struct test t = { .text = texts, .n_text = 9 };
	struct rollouts_figures f;

	(void)state;
	open_store(&t, "equal.db", NULL);
	open_rollouts(&t, 400, false);
	add(&t, 6, 1, NAN, 7);
	run(&t);
	f = rollouts_figures(t.r);
	assert_int_equal(f.answers, 6);
	assert_int_equal(f.built, 4);
	assert_int_equal(f.remembered, 3);
	assert_close(find(&t, 0, 1, 1)->total, find(&t, 0, 4, 1)->total, 0);
	assert_true(find(&t, 0, 1, 1)->total > find(&t, 0, 5, 1)->total);
	assert_close(find(&t, 0, 5, 1)->total, find(&t, 0, 6, 1)->total, 0);
	/* each is a turn of its own, with all that belongs to one */
	struct buf a = { 0 }, b = { 0 };
	const struct told *first = find(&t, 0, 1, 1), *second = find(&t, 0, 2, 1);
	assert_true(first->number != second->number);
	assert_done(store_artifact(t.store, first->episode, first->number, "reward.json", &a, &t.e),
	            &t.e);
	assert_done(
		store_artifact(t.store, second->episode, second->number, "reward.json", &b, &t.e),
		&t.e);
	assert_string_equal(buf_str(&a), buf_str(&b));
	/* and of the next group, too */
	add(&t, 3, 1, NAN, 8);
	run(&t);
	assert_int_equal(rollouts_figures(t.r).remembered, 3);
	buf_release(&a);
	buf_release(&b);
	close_all(&t);
}

static void an_equal_of_what_was_lost_is_built(void **state)
{
#define SLOW                                                                                       \
	"```python\nimport cadquery as cq\nfor i in range(30000000):\n    pass\n"                  \
	"result = cq.Workplane().box(30, 30, 40)\n```\n"
	static const char *const texts[] = { SLOW, SLOW, PROGRAM("40") };
	struct test t = { .text = texts,
		          .n_text = 3,
		          .on_tick = the_last_builder_but_one,
		          .on_done = no_more_of_that };

	(void)state;
	open_rollouts(&t, 400, false);
	add(&t, 3, 1, NAN, 7);
	run(&t);
	assert_int_equal(find(&t, 0, 1, 1)->lost + find(&t, 0, 2, 1)->lost, 1);
	assert_int_equal(find(&t, 0, 1, 1)->built + find(&t, 0, 2, 1)->built, 1);
	assert_int_equal(rollouts_figures(t.r).remembered, 0);
	close_all(&t);
}

static void go_on_after_the_loss(struct test *t, const struct told *v)
{
	if (!v->lost)
		return;
	t->on_tick = NULL;
	add(t, 1, 1, NAN, 3);
}

static void a_builder_that_is_killed_under_an_answer_loses_that_one(void **state)
{
	static const char *const texts[] = {
		"```python\nimport cadquery as cq\nwhile True:\n    pass\n```\n", PROGRAM("40"),
		"```python\nimport cadquery as cq\nfor i in range(40000):\n    print('x' * 100)\nresult = "
		"cq.Workplane().box(30, 30, 40)\n```\n",
		PROGRAM("30")
	};
	struct test t = { .text = texts,
		          .n_text = 4,
		          .on_tick = the_last_builder,
		          .on_done = go_on_after_the_loss };

	(void)state;
	open_rollouts(&t, 400, false);
	add(&t, 3, 1, NAN, 7);
	run(&t);
	assert_true(find(&t, 0, 2, 1)->built);
	/* megabytes of log are a limit that was hit */
	assert_false(find(&t, 0, 3, 1)->built);
	assert_false(find(&t, 0, 3, 1)->lost);
	assert_true(find(&t, 0, 1, 1)->lost);
	assert_contains(find(&t, 0, 1, 1)->why, "says nothing of the program");
	assert_true(find(&t, 1, 1, 1)->built);
	assert_int_equal(t.over, 2);
	close_all(&t);
}

static void a_full_store_is_told_and_stops_nothing(void **state)
{
	static const char *const texts[] = { PROGRAM("40"), PROGRAM("41"), PROGRAM("42") };
	struct test t = { .text = texts, .n_text = 3 };

	(void)state;
	open_store(&t, "full.db", "faulty");
	open_rollouts(&t, 400, false);
	fault_plan = (struct fault_plan){ .what = FAULT_FULL, .at = 1, .stays = true };
	add(&t, 2, 1, NAN, 7);
	run(&t);
	assert_true(fault_plan.hit);
	fault_plan = (struct fault_plan){ 0 };
	for (int m = 1; m <= 2; m++) {
		assert_true(find(&t, 0, m, 1)->built);
		assert_int_equal(find(&t, 0, m, 1)->number, 0);
	}
	/* there is room again */
	add(&t, 1, 1, NAN, 8);
	run(&t);
	assert_int_equal(find(&t, 1, 1, 1)->number, 1);
	close_all(&t);
}

static void a_stop_drops_what_is_under_way(void **state)
{
	static const char *const texts[] = { "~on and on ", "~on and on ", PROGRAM("40") };
	struct test t = { .text = texts, .n_text = 3, .step_s = 1e-3, .stop_at = 3 };
	double begun = clock_now_s();

	(void)state;
	open_rollouts(&t, 1 << 20, false);
	add(&t, 2, 1, NAN, 7);
	assert_int_equal(rollouts_run(t.r, &t.e), -1);
	assert_int_equal(t.e.kind, ERR_CANCELLED);
	assert_true(clock_now_s() - begun < 60);
	assert_int_equal(t.n, 0);
	t.stop_at = 0;
	add(&t, 1, 1, NAN, 7);
	run(&t);
	assert_true(find(&t, 1, 1, 1)->built);
	close_all(&t);
}

static void what_keeps_all_of_it_from_going_on_is_an_error(void **state)
{
	struct test t = { 0 };

	(void)state;
	open_rollouts(&t, 400, true);
	assert_int_equal(rollouts_adapter(t.r, dir, &t.e), -1);
	assert_int_equal(t.e.kind, ERR_INPUT);
	assert_contains(t.e.text, "adapter_config.json");
	/* a folder, and no model in it */
	assert_done(rollouts_model(t.r, dir, &t.e), &t.e);
	add(&t, 2, 1, NAN, 7);
	assert_int_equal(rollouts_run(t.r, &t.e), -1);
	assert_contains(t.e.text, "config.json");
	assert_int_equal(t.n, 0);
	close_all(&t);
}

/* ---- the demonstration model ---- */

static void an_answer_hangs_on_its_seed_alone(void **state)
{
	struct test t = { 0 };

	(void)state;
	open_rollouts(&t, 40, true);
	add(&t, 2, 1, NAN, 42);
	run(&t);
	/* the same amid others, and asked for in another order */
	add(&t, 3, 1, NAN, 41);
	add(&t, 4, 1, NAN, 42);
	run(&t);
	for (int m = 1; m <= 2; m++) {
		const struct told *a = find(&t, 0, m, 1), *b = find(&t, 2, m, 1);
		assert_int_equal(a->n, b->n);
		assert_non_null(a->logp);
		assert_memory_equal(a->id, b->id, (size_t)a->n * sizeof(*a->id));
		assert_memory_equal(a->logp, b->logp, (size_t)a->n * sizeof(*a->logp));
		assert_true(a->clipped ? a->n == 40 : a->id[a->n - 1] > 2000);
	}
	assert_true(find(&t, 0, 1, 1)->n != find(&t, 0, 2, 1)->n ||
	            memcmp(find(&t, 0, 1, 1)->id, find(&t, 0, 2, 1)->id,
	                   (size_t)find(&t, 0, 1, 1)->n * sizeof(int32_t)) != 0);
	assert_non_null(rollouts_about(t.r));
	close_all(&t);
}

static long resident_kib(int pid)
{
	char path[64], line[200];
	long v = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &v) == 1)
			break;
	if (f)
		fclose(f);
	return v;
}

/* An adapter as a trainer writes it: the demonstration's with another value in it. */
static void write_adapter(const char *to, int change)
{
	static const char *const name[] = { "adapter_config.json", "adapter_model.safetensors" };
	char path[400];
	struct buf b = { 0 };

	mkdir(to, 0755);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), SRCDIR "/gpu/demo/sft/%s", name[i]);
		buf_clear(&b);
		assert_int_equal(buf_read_file(&b, path, 64 << 20, NULL), 0);
		if (i == 1) /* a weight, low bytes first: a tenth of it, and its sign */
			for (size_t k = 0; k < 64; k++)
				b.data[b.len - 1 - 4 * k] ^= (char)((change >> (k % 8) & 1) << 7);
		snprintf(path, sizeof(path), "%s/%s", to, name[i]);
		FILE *f = fopen(path, "we");
		assert_non_null(f);
		assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
		assert_int_equal(fclose(f), 0);
	}
	buf_release(&b);
}

static void adapters_are_exchanged_without_restart_or_growth(void **state)
{
	struct test t = { 0 };
	char at[300], path[320];
	long before = 0, after;
	int pid = 0;

	(void)state;
	open_rollouts(&t, 12, true);
	for (int i = 1; i <= 40; i++) {
		snprintf(at, sizeof(at), "%s/policy-%d", dir, i);
		write_adapter(at, i);
		assert_done(rollouts_adapter(t.r, at, &t.e), &t.e);
		add(&t, 1, 1, NAN, 5);
		run(&t);
		/* as a trainer does with older ones */
		if (i > 2) {
			snprintf(path, sizeof(path), "%s/policy-%d", dir, i - 2);
			remove_folder(path);
		}
		int now = (int)json_number_or(rollouts_about(t.r), "pid", 0);
		assert_true(now > 0 && (pid == 0 || now == pid));
		pid = now;
		if (i == 10)
			before = resident_kib(pid);
	}
	after = resident_kib(pid);
	assert_true(before > 0);
	/* prefixes that are kept take their part; thirty adapters would be 42 MB. (AddressSanitizer
	 * keeps what was freed.) */
#ifdef __SANITIZE_ADDRESS__
	const long room_kib = 1 << 20;
#else
	const long room_kib = 12288;
#endif
	if (after > before + room_kib)
		fail_msg("40 adapters: %ld KiB after 10 of them, %ld at the end", before, after);
	/* in the same folder another one: what is in it counts, not what it is called */
	const struct told *first = &t.v[39];
	write_adapter(at, 255);
	add(&t, 1, 1, NAN, 5);
	run(&t);
	const struct told *second = &t.v[40];
	assert_false(first->lost || second->lost);
	assert_true(first->n != second->n ||
	            memcmp(first->logp, second->logp, (size_t)first->n * sizeof(float)) != 0);
	/* and a model: the engine is another one then */
	assert_done(rollouts_model(t.r, flags.model, &t.e), &t.e);
	add(&t, 1, 1, NAN, 5);
	run(&t);
	assert_true((int)json_number_or(rollouts_about(t.r), "pid", 0) != pid);
	for (int i = 39; i <= 40; i++) {
		snprintf(path, sizeof(path), "%s/policy-%d", dir, i);
		remove_folder(path);
	}
	close_all(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_scored_while_its_siblings_are_written),
		cmocka_unit_test(a_member_goes_on_until_it_is_enough),
		cmocka_unit_test(what_is_lost_has_no_total_and_the_others_go_on),
		cmocka_unit_test(a_builder_that_is_killed_under_an_answer_loses_that_one),
		cmocka_unit_test(equal_answers_are_built_once),
		cmocka_unit_test(an_equal_of_what_was_lost_is_built),
		cmocka_unit_test(a_full_store_is_told_and_stops_nothing),
		cmocka_unit_test(a_stop_drops_what_is_under_way),
		cmocka_unit_test(what_keeps_all_of_it_from_going_on_is_an_error),
		cmocka_unit_test(an_answer_hangs_on_its_seed_alone),
		cmocka_unit_test(adapters_are_exchanged_without_restart_or_growth),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
