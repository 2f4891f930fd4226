/*
 * t_policy.c - a policy that learns, through its door and the real program: the oracle's losses and
 * gradients, a problem that has to be solved, and runs that are killed, stopped, forsaken, or out
 * of disk, which go on to the bit.
 */
#include "tests/tiny_model.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "gpu/chat.h"
#include "gpu/model_write.h"
#include "gpu/policy.h"
#include "gpu/policy_loss.h"
#include "gpu/policy_wire.h"
#include "gpu/train.h"
#include "src/base/clock.h"

enum { STEPS = 12, PATIENCE_S = 60, VOCABULARY = 264, END = 258 };

/* ---- a place with a model ---- */

struct place {
	char dir[64];
	cJSON *messages; /* a prompt */
};

static const char *in(const struct place *p, const char *name)
{
	static char out[4][300];
	static int at;

	at = (at + 1) % 4;
	snprintf(out[at], sizeof(out[at]), "%s/%s", p->dir, name);
	return out[at];
}

/* A model with fresh values, as a folder that can be learnt on. */
static void write_model(const struct place *p)
{
	struct model_config *c = calloc(1, sizeof(*c));
	struct model_values *v;
	struct model m;
	struct err e = { 0 };

	assert_non_null(c);
	assert_int_equal(
		config_parse(c, smallest_config, sizeof(smallest_config) - 1, "config", &e), 0);
	assert_int_equal(model_fresh(&m, c, 7, &e), 0);
	v = calloc((size_t)m.tensors.n, sizeof(*v));
	assert_non_null(v);
	/* the head is the embedding, which begins so small that no token could ever be likely */
	for (uint64_t i = 0; i < m.embedding->n; i++)
		((float *)(uintptr_t)m.embedding->data)[i] *= 20;
	for (int i = 0; i < m.tensors.n; i++) {
		const struct tensor *t = &m.tensors.item[i];
		v[i] = (struct model_values){ .name = t->name,
			                      .n_dims = t->n_dims,
			                      .value = t->data };
		assert_int_equal(t->dtype, DTYPE_F32);
		for (int k = 0; k < t->n_dims; k++)
			v[i].dims[k] = t->dims[k];
	}
	if (model_write(in(p, "model"), c, v, m.tensors.n, DTYPE_F32, p->dir, &e) < 0)
		fail_msg("%s", e.text);
	free(v);
	model_close(&m);
	free(c);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	folder_make(p->dir);
	tiny_model_files(p->dir);
	write_model(p);
	p->messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"box\"}]");
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	cJSON_Delete(p->messages);
	folder_remove(p->dir);
	free(p);
	return 0;
}

static cJSON *settings(const struct place *p, const char *out)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "model", in(p, "model"));
	cJSON_AddStringToObject(o, "out", in(p, out));
	cJSON_AddNumberToObject(o, "rank", 4);
	cJSON_AddNumberToObject(o, "lr", 0.01);
	cJSON_AddNumberToObject(o, "warmup", 0);
	cJSON_AddNumberToObject(o, "steps", STEPS);
	cJSON_AddNumberToObject(o, "save_every", 4);
	cJSON_AddNumberToObject(o, "longest", 64);
	cJSON_AddNumberToObject(o, "pass_rows", 100);
	return o;
}

static void set(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObject(o, key);
	cJSON_AddItemToObject(o, key, v);
}

/* ---- watching ---- */

struct watched {
	double loss[STEPS + 1], norm[STEPS + 1]; /* NAN: not told */
	double kl, clip_share, ratio, mismatch, mismatch_max, lr;
	int step, resumed_from, kept; /* kept: the state's "at", -1 none */
	pid_t pid;
	bool ready;
	int saved;
	char policy[400], note[600], outcome[20], error[600];
	enum err_kind kind;
};

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct watched *w = ctx;
	int step = (int)json_number_or(o, "step", -1);

	if (strcmp(kind, "ready") == 0) {
		w->ready = true;
		w->pid = (pid_t)json_number_or(o, "pid", 0);
		w->resumed_from = (int)json_number_or(o, "resumed_from", -1);
		w->kept = (int)json_number_or(cJSON_GetObjectItem(o, "state"), "at", -1);
		snprintf(w->policy, sizeof(w->policy), "%s", json_string_or(o, "policy", ""));
	} else if (strcmp(kind, "step") == 0) {
		w->step = step;
		if (step <= STEPS) {
			w->loss[step] = json_number_or(o, "loss", NAN);
			w->norm[step] = json_number_or(o, "grad_norm", NAN);
		}
		w->kl = json_number_or(o, "kl", NAN);
		w->clip_share = json_number_or(o, "clip_share", NAN);
		w->ratio = json_number_or(o, "ratio_max", NAN);
		w->mismatch = json_number_or(o, "mismatch", NAN);
		w->mismatch_max = json_number_or(o, "mismatch_max", NAN);
		w->lr = json_number_or(o, "lr", NAN);
		snprintf(w->policy, sizeof(w->policy), "%s", json_string_or(o, "policy", ""));
	} else if (strcmp(kind, "checkpoint") == 0) {
		w->saved = step;
	} else {
		assert_string_equal(kind, "note");
		snprintf(w->note, sizeof(w->note), "%s", json_string_or(o, "text", ""));
	}
}

static void on_ended(void *ctx, const char *outcome, enum err_kind kind, const char *error)
{
	struct watched *w = ctx;

	assert_string_equal(w->outcome, "");
	snprintf(w->outcome, sizeof(w->outcome), "%s", outcome);
	snprintf(w->error, sizeof(w->error), "%s", error ? error : "");
	w->kind = kind;
}

static struct policy *begin(const cJSON *o, bool resume, struct watched *w)
{
	const struct policy_ops ops = { .ctx = w, .event = on_event, .ended = on_ended };
	struct err e = { 0 };

	*w = (struct watched){ .saved = -1, .resumed_from = -1, .kept = -1 };
	for (int i = 0; i <= STEPS; i++)
		w->loss[i] = w->norm[i] = NAN;
	struct policy *p = policy_open(".", GPU_CPU, o, resume, &ops, &e);
	if (!p)
		fail_msg("%s", e.text);
	return p;
}

enum { TO_READY = 0, TO_END = -1 };

/* Until it is ready, step @step was told, or the end. */
static void go(struct policy *p, struct watched *w, int step)
{
	double until = clock_now_s() + PATIENCE_S;
	struct pollfd fd;

	while (!policy_over(p) && (step == TO_END || !w->ready || w->step < step)) {
		if (clock_now_s() > until)
			fail_msg("nothing happens after step %d (%s)", w->step, w->note);
		if (policy_poll_fds(p, &fd, 1) == 1)
			poll(&fd, 1, 1000);
		assert_int_equal(policy_step(p, NULL), 0);
	}
}

static void expect(const struct watched *w, const char *outcome)
{
	if (strcmp(w->outcome, outcome) != 0)
		fail_msg("%s was expected, got %s: %s", outcome, w->outcome, w->error);
}

/* ---- answers ---- */

enum { GROUP = 5, ANSWER_MAX = 12 };

struct group {
	struct policy_sample v[GROUP];
	int32_t id[GROUP][ANSWER_MAX];
	float drawn[GROUP][ANSWER_MAX];
};

/* Answers that are a function of the step, as a loop's would be of its policy. */
static void make_group(struct group *g, const struct place *p, int step)
{
	for (int a = 0; a < GROUP; a++) {
		int n = 3 + (step * 5 + a * 7) % (ANSWER_MAX - 3);
		for (int i = 0; i < n; i++) {
			g->id[a][i] = i + 1 < n ? 'a' + (step + a * 3 + i * i) % 20 : END;
			g->drawn[a][i] = -5.5f - 0.01f * (float)((a + i) % 7);
		}
		g->v[a] = (struct policy_sample){ .messages = p->messages,
			                          .id = g->id[a],
			                          .drawn = g->drawn[a],
			                          .n = n,
			                          .advantage = (a * 4 + step) % 5 - 2 };
	}
}

static void ask(struct policy *p, const struct place *at, int step)
{
	struct group g;
	struct err e = { 0 };
	cJSON *state = cJSON_CreateObject();

	make_group(&g, at, step);
	cJSON_AddNumberToObject(state, "at", step);
	/* one of the steps has nothing to learn */
	if (policy_learn(p, step, g.v, step == 6 ? 0 : GROUP, state, false, &e) < 0)
		fail_msg("%s", e.text);
	cJSON_Delete(state);
}

/* From where it is to the end, or to step @until. */
static void run_to(struct policy *p, const struct place *at, struct watched *w, int until)
{
	go(p, w, TO_READY);
	for (int i = (w->resumed_from > 0 ? w->resumed_from : 0) + 1; i <= until && !policy_over(p);
	     i++) {
		ask(p, at, i);
		go(p, w, i);
	}
}

static void run_out(const cJSON *o, const struct place *at, bool resume, struct watched *w)
{
	struct policy *p = begin(o, resume, w);

	run_to(p, at, w, STEPS);
	go(p, w, TO_END);
	policy_close(p);
}

static void same_curve(const struct watched *w, const struct watched *whole, int from)
{
	for (int i = from + 1; i <= w->step; i++) {
		assert_memory_equal(&w->loss[i], &whole->loss[i], sizeof(double));
		assert_memory_equal(&w->norm[i], &whole->norm[i], sizeof(double));
	}
}

static void same_file(const char *a, const char *b)
{
	struct buf x = { 0 }, y = { 0 };
	struct err e = { 0 };

	if (buf_read_file(&x, a, 1 << 28, &e) < 0 || buf_read_file(&y, b, 1 << 28, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	buf_release(&x);
	buf_release(&y);
}

static void same_result(const struct place *p, const char *a, const char *b, const char *weights)
{
	char x[128], y[128];

	snprintf(x, sizeof(x), "%s/checkpoint-%06d/state.safetensors", a, STEPS);
	snprintf(y, sizeof(y), "%s/checkpoint-%06d/state.safetensors", b, STEPS);
	same_file(in(p, x), in(p, y));
	snprintf(x, sizeof(x), "%s/policy/%06d/%s", a, STEPS, weights);
	snprintf(y, sizeof(y), "%s/policy/%06d/%s", b, STEPS, weights);
	same_file(in(p, x), in(p, y));
}

static int folders_in(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *x; d && (x = readdir(d));)
		n += x->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* The unbroken run, once for all tests. */
static const struct watched *unbroken(const struct place *p)
{
	static struct watched w;

	if (!w.ready) {
		cJSON *o = settings(p, "whole");
		run_out(o, p, false, &w);
		cJSON_Delete(o);
		expect(&w, "done");
	}
	return &w;
}

/* ---- claims ---- */

static void a_policy_learns_and_tells_of_it(void **state)
{
	struct place *p = *state;
	const struct watched *w = unbroken(p);
	struct model m;
	struct adapter a;
	struct err e = { 0 };

	assert_int_equal(w->step, STEPS);
	assert_int_equal(w->saved, STEPS);
	assert_true(w->resumed_from < 0);
	assert_true(isnan(w->loss[6]) && isnan(w->norm[6]));
	assert_true(w->norm[1] > 0 && w->norm[STEPS] > 0);
	assert_true(isnan(w->kl));
	assert_true(w->mismatch > 0 && w->mismatch_max >= w->mismatch);
	/* two policies stay, and each is an adapter */
	assert_int_equal(folders_in(in(p, "whole/policy")), 2);
	assert_string_equal(strrchr(w->policy, '/'), "/000012");
	assert_int_equal(model_open(&m, in(p, "model"), &e), 0);
	if (adapter_open(&a, w->policy, &m.config, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(a.base_model, in(p, "model"));
	adapter_close(&a);
	if (adapter_open(&a, in(p, "whole/policy/000011"), &m.config, &e) < 0)
		fail_msg("%s", e.text);
	adapter_close(&a);
	model_close(&m);
	assert_int_equal(access(in(p, "whole/settings.json"), R_OK), 0);
}

static void killed_at_any_moment_it_goes_on_to_the_bit(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "killed");
	struct watched w;
	int kills = 0;

	/* never in the last: that one could be over before it is killed */
	for (int at = 2; at + 1 < STEPS; at += 2, kills++) {
		struct policy *x = begin(o, kills > 0, &w);
		run_to(x, p, &w, at);
		/* somewhere in the step that follows, or before it */
		ask(x, p, at + 1);
		usleep((useconds_t)(kills * 7919 % 9000));
		kill(w.pid, SIGKILL);
		go(x, &w, TO_END);
		policy_close(x);
		expect(&w, "failed");
		assert_int_equal(w.kind, ERR_LOST);
		assert_contains(w.error, "resume");
		int from = w.resumed_from > 0 ? w.resumed_from : 0;
		assert_true(from % 4 == 0);
		assert_true(w.kept == (from > 0 ? from : -1));
		same_curve(&w, whole, from);
	}
	run_out(o, p, true, &w);
	expect(&w, "done");
	assert_true(kills > 3);
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "killed", "whole", "adapter_model.safetensors");
	assert_int_equal(folders_in(in(p, "killed/policy")), 2);
	cJSON_Delete(o);
}

static void stopped_it_goes_on_from_where_it_was(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "stopped");
	struct watched w;
	struct policy *x = begin(o, false, &w);
	char path[440];

	run_to(x, p, &w, 7);
	policy_stop(x);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "stopped");
	assert_int_equal(w.saved, 7);
	snprintf(path, sizeof(path), "%s/adapter_model.safetensors", w.policy);
	/* what a later policy was is of no use to a run that goes on from before it */
	mkdir(in(p, "stopped/policy/000009"), 0777);
	set(o, "threads", cJSON_CreateNumber(1));
	x = begin(o, true, &w);
	go(x, &w, TO_READY);
	assert_int_equal(w.resumed_from, 7);
	assert_int_equal(w.kept, 7);
	assert_string_equal(strrchr(w.policy, '/'), "/000007");
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(access(in(p, "stopped/policy/000009"), R_OK), -1);
	run_to(x, p, &w, STEPS);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "done");
	same_curve(&w, whole, 7);
	same_result(p, "stopped", "whole", "adapter_model.safetensors");
	/* and when there is nothing left to do it says so */
	x = begin(o, true, &w);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "done");
	assert_int_equal(w.kept, STEPS);
	/* nor is it begun anew by mistake, nor with other settings */
	run_out(o, p, false, &w);
	assert_contains(w.error, "resume that run");
	set(o, "clip_high", cJSON_CreateNumber(0.28));
	run_out(o, p, true, &w);
	assert_contains(w.error, "setting clip_high: the run that is to go on has 0.2");
	cJSON_Delete(o);
}

/* The asker dies in the middle of a step: what was learnt is kept, and the program leaves. */
static void forsaken_it_saves_and_leaves(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "forsaken");
	struct watched w;
	int told[2], lock, step = 0;

	set(o, "save_every", cJSON_CreateNumber(0));
	assert_int_equal(pipe(told), 0);
	pid_t asker = fork();
	assert_true(asker >= 0);
	if (asker == 0) {
		struct policy *x = begin(o, false, &w);
		run_to(x, p, &w, 5);
		ask(x, p, 6);
		if (write(told[1], &w.step, sizeof(w.step)) < 0)
			_exit(1);
		pause();
	}
	close(told[1]);
	assert_int_equal(read(told[0], &step, sizeof(step)), sizeof(step));
	close(told[0]);
	assert_int_equal(kill(asker, SIGKILL), 0);
	waitpid(asker, NULL, 0);
	/* it holds the lock until it leaves */
	assert_true((lock = open(in(p, "forsaken/lock"), O_RDWR)) >= 0);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	close(lock);
	run_out(o, p, true, &w);
	expect(&w, "done");
	assert_in_range(w.resumed_from, 5, 6);
	assert_int_equal(w.kept, w.resumed_from);
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "forsaken", "whole", "adapter_model.safetensors");
	cJSON_Delete(o);
}

/* All of a model learns, with a reference, twice on each step's answers, in passes of one answer or
 * two; stopped and resumed. */
static void a_whole_model_learns_against_what_it_was(void **state)
{
	struct place *p = *state;
	cJSON *o = settings(p, "full");
	struct watched w, half, rest;
	struct model m;
	struct err e = { 0 };

	set(o, "method", cJSON_CreateString("full"));
	set(o, "beta", cJSON_CreateNumber(0.1));
	set(o, "updates", cJSON_CreateNumber(2));
	set(o, "temperature", cJSON_CreateNumber(0.8));
	set(o, "lr", cJSON_CreateNumber(1e-3));
	set(o, "pass_rows", cJSON_CreateNumber(64));
	run_out(o, p, false, &w);
	expect(&w, "done");
	assert_true(w.kl > 0);
	assert_true(w.ratio > 1);
	if (model_open(&m, w.policy, &e) < 0)
		fail_msg("%s", e.text);
	model_close(&m);
	set(o, "out", cJSON_CreateString(in(p, "full2")));
	struct policy *x = begin(o, false, &half);
	run_to(x, p, &half, 5);
	policy_close(x); /* a checkpoint all the same */
	run_out(o, p, true, &rest);
	expect(&rest, "done");
	assert_int_equal(rest.resumed_from, 5);
	same_curve(&half, &w, 0);
	same_curve(&rest, &w, 5);
	assert_memory_equal(&rest.kl, &w.kl, sizeof(w.kl));
	same_result(p, "full", "full2", "model.safetensors");
	cJSON_Delete(o);
}

/* ---- what comes out is what the oracle has ---- */

static void own_group(const cJSON *json, struct policy_sample *v, int32_t id[4][16],
                      double advantage[4])
{
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(json, "completion_ids");
	struct err e = { 0 };

	assert_int_equal(json_get_numbers(json, "advantages", advantage, 4, &e), 0);
	for (int a = 0; a < 4; a++) {
		const cJSON *row = cJSON_GetArrayItem(ids, a);
		v[a].n = cJSON_GetArraySize(row);
		v[a].id = id[a];
		v[a].advantage = advantage[a];
		for (int i = 0; i < v[a].n; i++)
			id[a][i] = (int32_t)cJSON_GetArrayItem(row, i)->valuedouble;
	}
}

/* A trainer of our own on the same model and adapter: the gradient of the same loss, by a forward,
 * the loss, and a pass with its coefficients. What the program does in one pass has to give its
 * norm.
 */
static double norm_by_hand(const char *model, const cJSON *messages, const struct policy_sample *v,
                           int n, const struct policy_options *o, float temperature, double *kl,
                           double *loss)
{
	enum { ROWS = 600 };
	static int32_t id[ROWS], label[ROWS], start[GROUP + 1];
	static float coef[ROWS], logp[ROWS], reference[ROWS];
	struct policy_answer answer[GROUP];
	struct policy_figures f;
	struct chat_ids c = { 0 };
	struct model m;
	struct err e = { 0 };
	double norm;
	struct train_batch b = {
		.id = id, .label = label, .start = start, .samples = n, .temperature = temperature
	};
	const struct train_options options = { .rank = 4,
		                               .alpha = 32,
		                               .targets = (1u << MODULE_Q) | (1u << MODULE_K) |
		                                          (1u << MODULE_V) | (1u << MODULE_O) |
		                                          (1u << MODULE_GATE) | (1u << MODULE_UP) |
		                                          (1u << MODULE_DOWN),
		                               .seed = 3407,
		                               .rows = ROWS };

	struct tokenizer *t = tokenizer_open(model, &e);
	assert_non_null(t);
	assert_int_equal(chat_encode(&c, t, messages, true, CHAT_THINKING_OFF, false, &e), 0);
	assert_int_equal(model_open(&m, model, &e), 0);
	struct trainer *x = train_cpu_open(&m, &options, &e);
	if (!x)
		fail_msg("%s", e.text);
	const struct trainer_ops *act = trainer_base(x)->ops;
	for (int a = 0; a < n; a++) {
		assert_true(b.n + c.ids.n + v[a].n - 1 <= ROWS);
		memcpy(id + b.n, c.ids.id, (size_t)c.ids.n * sizeof(*id));
		memcpy(id + b.n + c.ids.n, v[a].id, (size_t)(v[a].n - 1) * sizeof(*id));
		for (int i = 0; i < c.ids.n + v[a].n - 1; i++)
			label[b.n + i] = i < c.ids.n - 1 ? -1 : v[a].id[i - c.ids.n + 1];
		answer[a] = (struct policy_answer){ .n = v[a].n,
			                            .advantage = v[a].advantage,
			                            .logp = logp + b.n + c.ids.n - 1,
			                            .reference = reference + b.n + c.ids.n - 1,
			                            .coef = coef + b.n + c.ids.n - 1 };
		b.n += c.ids.n + v[a].n - 1;
		start[a + 1] = b.n;
	}
	memset(coef, 0, sizeof(coef));
	if (act->pass(x, &b, NULL, logp, &e) < 0 || act->pass_base(x, &b, reference, &e) < 0 ||
	    policy_loss(o, answer, n, &f, &e) < 0 || act->zero_gradients(x, &e) < 0 ||
	    act->pass(x, &b, coef, NULL, &e) < 0 || act->gradient_norm(x, &norm, &e) < 0)
		fail_msg("%s", e.text);
	*kl = f.kl;
	*loss = f.loss;
	act->close(x);
	model_close(&m);
	tokenizer_close(t);
	chat_ids_release(&c);
	return norm;
}

static void one_pass_gives_what_three_give(void **state)
{
	struct place *p = *state;
	struct watched w;
	struct group g;
	struct err e = { 0 };

	make_group(&g, p, 3);
	for (int a = 0; a < GROUP; a++)
		g.v[a].drawn = NULL;
	for (int k = 0; k < 6; k++) {
		char out[40];
		snprintf(out, sizeof(out), "hand%d", k);
		const struct policy_options o = { .reduction = (enum policy_reduction)(k % 3),
			                          .beta = 0.5,
			                          .low = 0.2,
			                          .high = 0.2,
			                          .weighted_kl = k < 3,
			                          .longest = 40 };
		const double temperature = k < 3 ? 1 : 0.7;
		cJSON *s = settings(p, out);
		set(s, "reduction", cJSON_CreateString(policy_reduction_name(o.reduction)));
		set(s, "beta", cJSON_CreateNumber(o.beta));
		set(s, "weighted_kl", cJSON_CreateBool(o.weighted_kl));
		set(s, "answer_longest", cJSON_CreateNumber(o.longest));
		set(s, "temperature", cJSON_CreateNumber(temperature));
		struct policy *x = begin(s, false, &w);
		go(x, &w, TO_READY);
		assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, false, &e), 0);
		go(x, &w, 1);
		policy_close(x);
		double kl, loss,
			norm = norm_by_hand(in(p, "model"), p->messages, g.v, GROUP, &o,
		                            (float)temperature, &kl, &loss);
		assert_true(norm > 0);
		assert_close(w.norm[1], norm, 1e-5 * norm);
		assert_close(w.loss[1], loss, 1e-6);
		assert_close(w.kl, kl, 1e-6);
		cJSON_Delete(s);
	}
}

/* Both the engine's rounding, and what a token's part is multiplied by for it. */
static void what_the_engine_drew_weighs(void **state)
{
	struct place *p = *state;
	struct watched w;
	struct err e = { 0 };
	const int32_t id[] = { 'x', END };
	float drawn[2] = { -5, -5 };
	struct policy_sample v = {
		.messages = p->messages, .id = id, .drawn = drawn, .n = 2, .advantage = 1
	};
	double norm[3];

	for (int k = 0; k < 3; k++) {
		char out[40];
		snprintf(out, sizeof(out), "drawn%d", k);
		cJSON *s = settings(p, out);
		set(s, "importance_cap", cJSON_CreateNumber(k == 1 ? 3 : 0));
		v.drawn = k == 0 ? NULL : drawn;
		/* far less likely to the engine than to the trainer: held by the cap */
		drawn[0] = drawn[1] = -50;
		struct policy *x = begin(s, false, &w);
		go(x, &w, TO_READY);
		assert_int_equal(policy_learn(x, 1, &v, 1, NULL, false, &e), 0);
		go(x, &w, 1);
		policy_close(x);
		norm[k] = w.norm[1];
		assert_true(k == 0 ? isnan(w.mismatch) : w.mismatch > 35 && w.mismatch < 50);
		cJSON_Delete(s);
	}
	assert_close(norm[1], 3 * norm[0], 1e-5 * norm[0]);
	assert_close(norm[2], norm[0], 1e-9);
}

/* AdamW's first moment after one update is a tenth of the gradient. */
static void same_gradient(const char *checkpoint, const char *expected)
{
	struct tensors got = { 0 }, want = { 0 };
	struct err e = { 0 };
	double sum = 0, off = 0;
	char name[256];

	if (tensors_open_file(&got, checkpoint, &e) < 0 ||
	    tensors_open_file(&want, expected, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(want.n > 10);
	for (int i = 0; i < want.n; i++) {
		const struct tensor *x = &want.item[i];
		assert_memory_equal(x->name, "grad.", 5);
		snprintf(name, sizeof(name), "moment1.%s", x->name + 5);
		const struct tensor *y = tensors_find(&got, name);
		if (!y)
			fail_msg("no %s", name);
		assert_int_equal(x->n, y->n);
		float *a = malloc(x->n * sizeof(*a)), *b = malloc(x->n * sizeof(*b));
		tensor_read(x, 0, x->n, a);
		tensor_read(y, 0, y->n, b);
		for (uint64_t k = 0; k < x->n; k++) {
			double d = 10 * (double)b[k] - (double)a[k];
			sum += (double)a[k] * (double)a[k];
			off += d * d;
		}
		free(b);
		free(a);
	}
	assert_true(sum > 0);
	assert_true(sqrt(off) < 2e-3 * sqrt(sum));
	tensors_close(&want);
	tensors_close(&got);
}

static void the_oracles_seven_variants_are_learnt_from(void **state)
{
	struct place *p = *state;
	static int32_t id[4][16];
	static float old[4][16];
	char path[4096], model[4096], adapter[4096];
	struct policy_sample v[4];
	double advantage[4];
	struct buf text = { 0 };
	struct tensors logps = { 0 };
	struct watched w;
	struct err e = { 0 };
	int cases = 0, gradients = 0;
	cJSON *json, *c, *messages;

	/* skips the case where there is no oracle */
	assert_int_equal(buf_read_file(&text, oracle(path, "expected/grpo.json"), 1 << 20, &e), 0);
	messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"Make a box.\"}]");
	json = json_parse(buf_str(&text), text.len, &e);
	assert_non_null(json);
	assert_int_equal(
		tensors_open_file(&logps, oracle(path, "expected/grpo_logps.safetensors"), &e), 0);
	const struct tensor *x = tensors_find(&logps, "old_logps");
	assert_non_null(x);
	assert_int_equal(x->n, 64);
	tensor_read(x, 0, x->n, *old);
	own_group(json, v, id, advantage);
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(json, "cases"))
	{
		char out[80];
		double loss = json_number_or(c, "loss", NAN);
		double norm = json_number_or(c, "grad_norm", NAN);
		cJSON *s = cJSON_CreateObject();
		snprintf(out, sizeof(out), "oracle-%s", c->string);
		cJSON_AddStringToObject(s, "model", oracle(model, "tiny-f32"));
		cJSON_AddStringToObject(s, "adapter", oracle(adapter, "lora-a"));
		cJSON_AddStringToObject(s, "out", in(p, out));
		cJSON_AddNumberToObject(s, "steps", 1);
		cJSON_AddNumberToObject(s, "clip", 0);
		cJSON_AddNumberToObject(s, "longest", 64);
		cJSON_AddNumberToObject(s, "pass_rows", 80);
		cJSON_AddStringToObject(s, "reduction", json_string_or(c, "loss_type", ""));
		cJSON_AddNumberToObject(s, "beta", json_number_or(c, "beta", NAN));
		cJSON_AddBoolToObject(s, "watch_kl", true);
		cJSON_AddBoolToObject(s, "weighted_kl",
		                      json_bool_or(c, "kl_importance_correction", false));
		cJSON_AddNumberToObject(s, "answer_longest", 32);
		cJSON_AddStringToObject(s, "old", "engine");
		for (int a = 0; a < 4; a++) {
			v[a].messages = messages;
			v[a].drawn = json_bool_or(c, "on_policy", false) ? NULL : old[a];
		}
		struct policy *q = begin(s, false, &w);
		go(q, &w, TO_READY);
		if (!w.ready)
			fail_msg("%s", w.error);
		assert_int_equal(policy_learn(q, 1, v, 4, NULL, false, &e), 0);
		go(q, &w, TO_END);
		policy_close(q);
		expect(&w, "done");
		assert_close(w.loss[1], loss, 1e-4 + 1e-4 * fabs(loss));
		assert_close(w.kl, json_number_or(c, "mean_kl", NAN), 1e-3);
		assert_close(w.clip_share, json_number_or(c, "clip_fraction", NAN), 1e-6);
		assert_close(w.norm[1], norm, 2e-3 * norm);
		/* oracle() would skip all of it for one that is not there */
		char state_at[400], name[200];
		oracle(path, "expected");
		snprintf(name, sizeof(name), "/grpo_grads_%s.safetensors", c->string);
		strncat(path, name, sizeof(path) - strlen(path) - 1);
		if (access(path, R_OK) == 0) {
			snprintf(state_at, sizeof(state_at),
			         "%s/checkpoint-000001/state.safetensors", in(p, out));
			same_gradient(state_at, path);
			gradients++;
		}
		cJSON_Delete(s);
		cases++;
	}
	assert_int_equal(cases, 7);
	assert_int_equal(gradients, 3);
	tensors_close(&logps);
	cJSON_Delete(messages);
	cJSON_Delete(json);
	buf_release(&text);
}

/* ---- a problem that has to be solved ---- */

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Log-probabilities of the first token of an answer under the policy in @dir. */
static void first_token(const struct place *p, const char *dir, float out[VOCABULARY])
{
	static int32_t id[64], label[64];
	struct chat_ids c = { 0 };
	struct adapter a = { 0 };
	struct model m;
	struct err e = { 0 };
	float logp[64];

	struct tokenizer *t = tokenizer_open(in(p, "model"), &e);
	assert_non_null(t);
	assert_int_equal(chat_encode(&c, t, p->messages, true, CHAT_THINKING_OFF, false, &e), 0);
	assert_true(c.ids.n < 64);
	assert_int_equal(model_open(&m, in(p, "model"), &e), 0);
	if (*dir)
		assert_int_equal(adapter_open(&a, dir, &m.config, &e), 0);
	const struct train_options options = { .rank = 4,
		                               .alpha = 32,
		                               .targets = 1u << MODULE_DOWN,
		                               .from = *dir ? &a : NULL,
		                               .threads = 1,
		                               .rows = 64 };
	struct trainer *x = train_cpu_open(&m, &options, &e);
	if (!x)
		fail_msg("%s", e.text);
	int32_t start[2] = { 0, c.ids.n };
	const struct train_batch b = {
		.n = c.ids.n, .samples = 1, .id = id, .label = label, .start = start
	};
	memcpy(id, c.ids.id, (size_t)c.ids.n * sizeof(*id));
	for (int i = 0; i < c.ids.n; i++)
		label[i] = -1;
	for (int k = 0; k < VOCABULARY; k++) {
		label[c.ids.n - 1] = k;
		assert_int_equal(trainer_base(x)->ops->pass(x, &b, NULL, logp, &e), 0);
		out[k] = logp[c.ids.n - 1];
	}
	trainer_base(x)->ops->close(x);
	adapter_close(&a);
	model_close(&m);
	tokenizer_close(t);
	chat_ids_release(&c);
}

/* One prompt, answers of one token, and reward for one of 264: drawn from the policy as it is, step
 * by step, until it hardly draws anything else. Nothing tells the policy which one it is but the
 * rewards of what it tried. */
static void a_bandit_is_solved(void **state)
{
	enum { MEMBERS = 64, LAST = 100 };
	struct place *p = *state;
	cJSON *o = settings(p, "bandit");
	struct watched w;
	struct err e = { 0 };
	float logp[VOCABULARY], drawn[MEMBERS];
	double reward[MEMBERS], advantage[MEMBERS], share = 0;
	struct policy_sample v[MEMBERS];
	int32_t id[MEMBERS];
	uint32_t seed = 11;
	int step = 0, wanted = 0;

	set(o, "steps", cJSON_CreateNumber(LAST));
	set(o, "lr", cJSON_CreateNumber(0.003));
	set(o, "schedule", cJSON_CreateString("constant"));
	set(o, "save_every", cJSON_CreateNumber(0));
	set(o, "pass_rows", cJSON_CreateNumber(2048));
	struct policy *x = begin(o, false, &w);
	go(x, &w, TO_READY);
	first_token(p, "", logp);
	/* one that is as likely as one of so many can be */
	for (int k = 1; k < VOCABULARY; k++)
		if (fabs((double)logp[k] + log(VOCABULARY)) <
		    fabs((double)logp[wanted] + log(VOCABULARY)))
			wanted = k;
	assert_close(exp((double)logp[wanted]), 1.0 / VOCABULARY, 1e-3);
	while (step < LAST && share <= 0.9) {
		for (int a = 0; a < MEMBERS; a++) {
			double at = (double)next(&seed) / (1 << 24);
			int k = 0;
			while (k + 1 < VOCABULARY && (at -= exp((double)logp[k])) > 0)
				k++;
			id[a] = k;
			drawn[a] = logp[k];
			reward[a] = k == wanted;
		}
		policy_advantages(reward, MEMBERS, advantage);
		for (int a = 0; a < MEMBERS; a++)
			v[a] = (struct policy_sample){ .messages = p->messages,
				                       .id = &id[a],
				                       .drawn = &drawn[a],
				                       .n = 1,
				                       .advantage = advantage[a] };
		step++;
		if (policy_learn(x, step, v, MEMBERS, NULL, false, &e) < 0)
			fail_msg("%s", e.text);
		go(x, &w, step);
		assert_string_equal(w.outcome, "");
		/* the same values, by the same arithmetic */
		/* where no one was lucky there is nothing to pass */
		assert_true(isnan(w.mismatch) || w.mismatch < 1e-5);
		first_token(p, w.policy, logp);
		share = exp((double)logp[wanted]);
	}
	policy_close(x);
	print_message("share %.3f after %d steps\n", share, step);
	assert_true(share > 0.9);
	cJSON_Delete(o);
}

/* ---- what is wrong is told ---- */

static void what_cannot_be_learnt_names_the_answer(void **state)
{
	struct place *p = *state;
	struct watched w;
	struct group g;
	struct err e = { 0 };
	cJSON *o = settings(p, "wrong");
	struct policy *x = begin(o, false, &w);

	make_group(&g, p, 1);
	/* at the door */
	g.v[2].advantage = NAN;
	assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, false, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "answer 3: its advantage is no number");
	g.v[2].advantage = 1;
	g.drawn[1][2] = -INFINITY;
	assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, false, &e), -1);
	assert_contains(e.text, "answer 2, token 3: the log-probability");
	g.drawn[1][2] = -1;
	g.v[4].n = 0;
	assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, false, &e), -1);
	assert_contains(e.text, "answer 5 has no tokens");
	/* and none of it was sent: the step can be learnt */
	make_group(&g, p, 1);
	assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, true, &e), 0);
	assert_int_equal(policy_learn(x, 2, g.v, GROUP, NULL, false, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	go(x, &w, 1);
	/* in the program */
	g.id[3][1] = VOCABULARY;
	assert_int_equal(policy_learn(x, 2, g.v, GROUP, NULL, false, &e), 0);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "failed");
	assert_contains(w.error, "step 2: answer 4, token 2: id 264; the vocabulary has 264");
	assert_contains(w.error, "nothing was learnt from it, the checkpoint of step 1 stays");

	static int32_t many[200];
	const struct policy_sample longer = {
		.messages = p->messages, .id = many, .n = 60, .advantage = 1
	};
	x = begin(o, true, &w);
	go(x, &w, TO_READY);
	assert_int_equal(policy_learn(x, 2, &longer, 1, NULL, false, &e), 0);
	go(x, &w, TO_END);
	policy_close(x);
	assert_contains(w.error, "answer 1 has 60 tokens after a prompt of");
	assert_contains(w.error, "setting longest is 64");

	x = begin(o, true, &w);
	go(x, &w, TO_READY);
	assert_int_equal(policy_learn(x, 5, &longer, 1, NULL, false, &e), 0);
	go(x, &w, TO_END);
	policy_close(x);
	assert_contains(w.error, "step 5 was asked for, and 1 of 12 are done");
	cJSON_Delete(o);
}

/* Advantages that are numbers, and a gradient that is none. */
static void a_gradient_that_is_no_number_stops_before_the_update(void **state)
{
	struct place *p = *state;
	struct watched w;
	struct group g;
	struct err e = { 0 };
	cJSON *o = settings(p, "huge");
	struct policy *x = begin(o, false, &w);

	make_group(&g, p, 1);
	go(x, &w, TO_READY);
	assert_int_equal(policy_learn(x, 1, g.v, GROUP, NULL, true, &e), 0);
	go(x, &w, 1);
	make_group(&g, p, 2);
	g.v[3].advantage = 1e300;
	assert_int_equal(policy_learn(x, 2, g.v, GROUP, NULL, false, &e), 0);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "failed");
	assert_int_equal(w.kind, ERR_INPUT);
	assert_contains(w.error, "step 2: answer 4: the norm of its gradient is no number");
	assert_contains(w.error, "nothing was learnt");
	/* what was learnt before is there, and it goes on */
	x = begin(o, true, &w);
	go(x, &w, TO_READY);
	assert_int_equal(w.resumed_from, 1);
	ask(x, p, 2);
	go(x, &w, 2);
	policy_close(x);
	assert_true(isfinite(w.norm[2]));
	cJSON_Delete(o);
}

/* Files may have so many bytes. */
static void a_full_disk_is_told_and_nothing_is_lost(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "disk");
	struct rlimit was, small;
	struct watched w;
	struct policy *x = begin(o, false, &w);

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 4000;
	run_to(x, p, &w, 5);
	assert_int_equal(w.saved, 4);
	assert_int_equal(prlimit(w.pid, RLIMIT_FSIZE, &small, NULL), 0);
	ask(x, p, 6); /* nothing is written for it */
	go(x, &w, 6);
	ask(x, p, 7);
	go(x, &w, TO_END);
	policy_close(x);
	expect(&w, "failed");
	assert_int_equal(w.kind, ERR_IO);
	assert_contains(w.error, "the policy of step 7 could not be written");
	assert_contains(w.error, "make room under");
	run_out(o, p, true, &w);
	expect(&w, "done");
	assert_int_equal(w.resumed_from, 4);
	same_curve(&w, whole, 4);
	same_result(p, "disk", "whole", "adapter_model.safetensors");
	cJSON_Delete(o);
}

/* What the program takes from its line may be anything. */
static void strange_frames_are_refused(void **state)
{
	struct place *p = *state;
	struct policy_batch b;
	struct group g;
	struct frame f;
	struct err e = { 0 };
	struct buf out = { 0 };
	cJSON *kept = cJSON_Parse("{\"at\": 3}");

	make_group(&g, p, 3);
	g.v[1].drawn = NULL;
	assert_int_equal(policy_frame(&out, 3, g.v, GROUP, kept, true, &e), 0);
	assert_int_equal(frame_parse(&f, out.data, out.len, &e), 0);
	/* it comes out as it went in, the prompt once */
	assert_int_equal(policy_batch_read(&b, &f, &e), 0);
	assert_int_equal(b.n, GROUP);
	assert_int_equal(b.step, 3);
	assert_true(b.checkpoint);
	assert_int_equal(cJSON_GetArraySize(b.prompts), 1);
	assert_int_equal((int)json_number_or(b.state, "at", 0), 3);
	for (int a = 0; a < GROUP; a++) {
		assert_int_equal(b.item[a].n, g.v[a].n);
		assert_true(b.item[a].advantage == g.v[a].advantage);
		assert_int_equal(b.item[a].has_drawn, a != 1);
		assert_memory_equal(b.id + b.item[a].at, g.v[a].id,
		                    (size_t)g.v[a].n * sizeof(*b.id));
		if (a != 1)
			assert_memory_equal(b.drawn + b.item[a].at, g.v[a].drawn,
			                    (size_t)g.v[a].n * sizeof(*b.drawn));
	}
	policy_batch_release(&b);
	/* cut anywhere, it is an error or a whole number of answers */
	unsigned char *blob = malloc(f.blob_len);
	assert_non_null(blob);
	int whole = 0;
	for (uint32_t n = 0; n <= f.blob_len; n++) {
		struct frame cut = f;
		unsigned char *exact = malloc(n + 1); /* for the sanitizer */
		memcpy(exact, f.blob, n);
		cut.blob = exact;
		cut.blob_len = n;
		if (policy_batch_read(&b, &cut, &e) == 0)
			whole++;
		else
			assert_int_equal(e.kind, ERR_PROTOCOL);
		policy_batch_release(&b);
		free(exact);
	}
	assert_int_equal(whole, GROUP + 1);
	/* nor does a byte that is another one lead anywhere */
	for (uint32_t i = 0; i < f.blob_len; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct frame other = f;
			memcpy(blob, f.blob, f.blob_len);
			blob[i] ^= (unsigned char)(1 << bit);
			other.blob = blob;
			if (policy_batch_read(&b, &other, &e) == 0)
				for (int a = 0; a < b.n; a++)
					assert_in_range(b.item[a].prompt, 0, 0);
			policy_batch_release(&b);
		}
	static const char *const bad[] = { "",
		                           "[]",
		                           "{\"prompts\": 1, \"step\": 1}",
		                           "{\"prompts\": []}",
		                           "{\"prompts\": [[]], \"step\": -1}",
		                           "{\"prompts\": [[]], \"step\": 1, \"state\": 3}" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct frame other = f;
		other.json = bad[i];
		other.json_len = (uint32_t)strlen(bad[i]);
		assert_int_equal(policy_batch_read(&b, &other, &e), -1);
		assert_null(b.json);
	}
	free(blob);
	cJSON_Delete(kept);
	buf_release(&out);
}

static void settings_that_cannot_be_name_the_key(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *key, *value, *words;
	} bad[] = {
		{ "data", "\"rows.jsonl\"", "setting data: there is none of that name" },
		{ "epochs", "3", "setting epochs: there is none of that name" },
		{ "model", "\"fresh:config.json\"", "setting model: the folder of a model" },
		{ "steps", "null", "setting steps: it is needed" },
		{ "reduction", "\"ppo\"", "setting reduction: one of dapo|grpo|dr_grpo" },
		{ "beta", "-1", "setting beta: at least 0" },
		{ "temperature", "0", "setting temperature: above 0" },
		{ "updates", "0", "setting updates: at least 1" },
		{ "importance_cap", "\"2\"", "setting importance_cap: a number was expected" },
		{ "clip_low", "2", "setting clip_low" },
		{ "weighted_kl", "1", "setting weighted_kl: true or false" },
		{ "thinking", "\"maybe\"", "setting thinking" },
		{ "longest", "200", "setting longest" },
	};
	struct watched w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cJSON *o = settings(p, "bad");
		set(o, bad[i].key, cJSON_Parse(bad[i].value));
		struct policy *x = begin(o, false, &w);
		go(x, &w, TO_END);
		policy_close(x);
		expect(&w, "failed");
		assert_int_equal(w.kind, ERR_INPUT);
		assert_contains(w.error, bad[i].words);
		cJSON_Delete(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_learns_and_tells_of_it),
		cmocka_unit_test(killed_at_any_moment_it_goes_on_to_the_bit),
		cmocka_unit_test(stopped_it_goes_on_from_where_it_was),
		cmocka_unit_test(forsaken_it_saves_and_leaves),
		cmocka_unit_test(a_whole_model_learns_against_what_it_was),
		cmocka_unit_test(one_pass_gives_what_three_give),
		cmocka_unit_test(what_the_engine_drew_weighs),
		cmocka_unit_test(the_oracles_seven_variants_are_learnt_from),
		cmocka_unit_test(a_bandit_is_solved),
		cmocka_unit_test(what_cannot_be_learnt_names_the_answer),
		cmocka_unit_test(a_gradient_that_is_no_number_stops_before_the_update),
		cmocka_unit_test(a_full_disk_is_told_and_nothing_is_lost),
		cmocka_unit_test(strange_frames_are_refused),
		cmocka_unit_test(settings_that_cannot_be_name_the_key),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
