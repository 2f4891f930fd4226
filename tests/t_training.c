/*
 * t_training.c - a training through its door and the real program: killed, stopped, paused,
 * forsaken, and out of disk; what goes on gives what the unbroken run gives, to the bit.
 */
#include "tests/tiny_model.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "gpu/lora.h"
#include "gpu/training.h"
#include "src/base/clock.h"

enum { STEPS = 24, PATIENCE_S = 60 };

/* ---- a place with a model's shape, rows, and settings ---- */

struct place {
	char dir[64];
};

static const char *in(const struct place *p, const char *name)
{
	static char out[4][300];
	static int at;

	at = (at + 1) % 4;
	snprintf(out[at], sizeof(out[at]), "%s/%s", p->dir, name);
	return out[at];
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct buf rows = { 0 };

	folder_make(p->dir);
	tiny_model_files(p->dir);
	for (int i = 0; i < 40; i++)
		buf_printf(&rows,
		           "{\"messages\": [{\"role\": \"user\", \"content\": \"box %d\"}, "
		           "{\"role\": \"assistant\", \"content\": \"box(%d, %d)\"}], \"until\": "
		           "%g}\n",
		           i, i, i * i % 17, i % 3 ? 1.0 : 0.6);
	tiny_write(p->dir, "rows.jsonl", rows.data, rows.len);
	buf_release(&rows);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	folder_remove(p->dir);
	free(p);
	return 0;
}

static cJSON *settings(const struct place *p, const char *out)
{
	cJSON *o = cJSON_CreateObject();
	char model[320];

	snprintf(model, sizeof(model), "fresh:%s", in(p, "config.json"));
	cJSON_AddStringToObject(o, "model", model);
	cJSON_AddStringToObject(o, "tokenizer", p->dir);
	cJSON_AddStringToObject(o, "data", in(p, "rows.jsonl"));
	cJSON_AddStringToObject(o, "eval_data", in(p, "rows.jsonl"));
	cJSON_AddStringToObject(o, "out", in(p, out));
	cJSON_AddStringToObject(o, "optimizer", "muon");
	cJSON_AddNumberToObject(o, "lr", 4e-3);
	cJSON_AddNumberToObject(o, "batch_samples", 4);
	cJSON_AddNumberToObject(o, "pass_rows", 150);
	cJSON_AddNumberToObject(o, "steps", STEPS);
	cJSON_AddNumberToObject(o, "eval_every", 5);
	cJSON_AddNumberToObject(o, "save_every", 4);
	return o;
}

static void set(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObject(o, key);
	cJSON_AddItemToObject(o, key, v);
}

/* ---- watching ---- */

struct watched {
	double loss[STEPS + 1], norm[STEPS + 1], eval[STEPS + 1]; /* NAN: not told */
	int step, steps, resumed_from;
	pid_t pid;
	bool ready;
	int saved; /* last checkpoint's step, -1 */
	char saved_dir[400], note[600], outcome[20], error[600];
	enum err_kind kind;
};

static void watch(struct watched *w)
{
	*w = (struct watched){ .saved = -1, .resumed_from = -1 };
	for (int i = 0; i <= STEPS; i++)
		w->loss[i] = w->norm[i] = w->eval[i] = NAN;
}

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct watched *w = ctx;
	int step = (int)json_number_or(o, "step", -1);

	if (strcmp(kind, "ready") == 0) {
		w->ready = true;
		w->pid = (pid_t)json_number_or(o, "pid", 0);
		w->steps = (int)json_number_or(o, "steps", 0);
		w->resumed_from = (int)json_number_or(o, "resumed_from", -1);
		assert_non_null(cJSON_GetObjectItem(o, "data"));
	} else if (strcmp(kind, "step") == 0) {
		assert_in_range(step, 1, STEPS);
		w->step = step;
		w->loss[step] = json_number_or(o, "loss", NAN);
		w->norm[step] = json_number_or(o, "grad_norm", NAN);
		assert_true(json_number_or(o, "tokens_per_s", 0) > 0);
		assert_true(json_number_or(o, "left_s", -1) >= 0);
	} else if (strcmp(kind, "eval") == 0) {
		assert_in_range(step, 0, STEPS);
		w->eval[step] = json_number_or(o, "loss", NAN);
	} else if (strcmp(kind, "checkpoint") == 0) {
		w->saved = step;
		snprintf(w->saved_dir, sizeof(w->saved_dir), "%s", json_string_or(o, "dir", ""));
		assert_int_equal(access(w->saved_dir, R_OK), 0);
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

static struct training *begin(const cJSON *o, bool resume, struct watched *w)
{
	const struct training_ops ops = { .ctx = w, .event = on_event, .ended = on_ended };
	struct err e = { 0 };

	watch(w);
	struct training *t = training_open(".", GPU_CPU, o, resume, &ops, &e);
	if (!t)
		fail_msg("%s", e.text);
	return t;
}

/* Until step @step was told, or the end (@step 0). */
static void go(struct training *t, struct watched *w, int step)
{
	double until = clock_now_s() + PATIENCE_S;
	struct pollfd fd;

	while (!training_over(t) && (step == 0 || w->step < step)) {
		if (clock_now_s() > until)
			fail_msg("nothing happens after step %d (%s)", w->step, w->note);
		if (training_poll_fds(t, &fd, 1) == 1)
			poll(&fd, 1, 1000);
		assert_int_equal(training_step(t, NULL), 0);
	}
}

static void run_out(const cJSON *o, bool resume, struct watched *w)
{
	struct training *t = begin(o, resume, w);

	go(t, w, 0);
	training_close(t);
}

static void expect(const struct watched *w, const char *outcome)
{
	if (strcmp(w->outcome, outcome) != 0)
		fail_msg("%s was expected, got %s: %s", outcome, w->outcome, w->error);
}

/* All that was told of a step or an evaluation is what @whole says of it. */
static void same_curve(const struct watched *w, const struct watched *whole, int from)
{
	for (int i = 0; i <= STEPS; i++) {
		if (i > from && i > 0 && i <= w->step)
			assert_false(isnan(w->loss[i]));
		if (!isnan(w->loss[i]))
			assert_memory_equal(&w->loss[i], &whole->loss[i], sizeof(double));
		if (!isnan(w->norm[i]))
			assert_memory_equal(&w->norm[i], &whole->norm[i], sizeof(double));
		if (!isnan(w->eval[i]))
			assert_memory_equal(&w->eval[i], &whole->eval[i], sizeof(double));
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

static void same_result(const struct place *p, const char *a, const char *b)
{
	static const char *const file[] = { "state.safetensors", "model.safetensors" };
	char x[128], y[128];

	for (int i = 0; i < 2; i++) {
		snprintf(x, sizeof(x), "%s/checkpoint-%06d/%s", a, STEPS, file[i]);
		snprintf(y, sizeof(y), "%s/checkpoint-%06d/%s", b, STEPS, file[i]);
		same_file(in(p, x), in(p, y));
	}
}

/* The unbroken run, once for all tests. */
static const struct watched *unbroken(const struct place *p)
{
	static struct watched w;

	if (!w.ready) {
		cJSON *o = settings(p, "whole");
		run_out(o, false, &w);
		cJSON_Delete(o);
		expect(&w, "done");
	}
	return &w;
}

/* ---- claims ---- */

static void a_run_learns_and_tells_of_it(void **state)
{
	struct place *p = *state;
	const struct watched *w = unbroken(p);
	struct model m;
	struct err e = { 0 };

	assert_int_equal(w->steps, STEPS);
	assert_int_equal(w->step, STEPS);
	assert_true(w->resumed_from < 0);
	assert_true(w->eval[STEPS] < w->eval[0] - 1);
	assert_false(isnan(w->eval[5]));
	assert_true(isnan(w->eval[4]));
	assert_int_equal(w->saved, STEPS);
	/* three stay, and each is a model */
	assert_true(access(in(p, "whole/checkpoint-000012"), R_OK) < 0);
	assert_int_equal(access(in(p, "whole/checkpoint-000016"), R_OK), 0);
	assert_int_equal(access(in(p, "whole/settings.json"), R_OK), 0);
	if (model_open(&m, w->saved_dir, &e) < 0)
		fail_msg("%s", e.text);
	model_close(&m);
}

static void killed_at_any_moment_it_goes_on_to_the_bit(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "killed");
	struct watched w;
	int at = 2, from = 0, kills = 0;

	for (;;) {
		struct training *t = begin(o, kills > 0, &w);
		go(t, &w, at);
		if (training_over(t)) {
			training_close(t);
			break;
		}
		/* somewhere in the step, the evaluation or the checkpoint that follows */
		usleep((useconds_t)(kills * 7919 % 9000));
		kill(w.pid, SIGKILL);
		go(t, &w, 0);
		training_close(t);
		/* it may have told the end before */
		if (strcmp(w.outcome, "failed") == 0) {
			assert_int_equal(w.kind, ERR_LOST);
			assert_contains(w.error, "resume");
		}
		assert_true(w.resumed_from <= 0 || w.resumed_from % 4 == 0);
		from = w.resumed_from > 0 ? w.resumed_from : 0;
		same_curve(&w, whole, from);
		/* at most what came since the last checkpoint is lost */
		assert_true(from >= (at - 3) / 4 * 4 - 4);
		at += 3;
		kills++;
	}
	expect(&w, "done");
	assert_true(kills > 5);
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "killed", "whole");
	cJSON_Delete(o);
}

static void stopped_it_goes_on_to_the_bit(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "stopped");
	struct watched w;
	struct training *t = begin(o, false, &w);

	go(t, &w, 7);
	training_stop(t);
	go(t, &w, 0);
	training_close(t);
	expect(&w, "stopped");
	assert_true(w.saved == w.step && w.step < STEPS);
	same_curve(&w, whole, 0);
	int at = w.step;
	/* what does not shape the result may change */
	set(o, "threads", cJSON_CreateNumber(1));
	set(o, "save_every", cJSON_CreateNumber(0));
	set(o, "keep", cJSON_CreateNumber(5));
	run_out(o, true, &w);
	expect(&w, "done");
	assert_int_equal(w.resumed_from, at);
	same_curve(&w, whole, at);
	same_result(p, "stopped", "whole");
	/* and when there is nothing left to do it says so */
	run_out(o, true, &w);
	expect(&w, "done");
	assert_int_equal(w.step, 0);
	cJSON_Delete(o);
}

static void paused_it_waits_and_can_be_stopped(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "paused");
	struct watched w;
	struct pollfd fd;
	struct training *t = begin(o, false, &w);

	go(t, &w, 3);
	training_pause(t, true);
	training_checkpoint(t);
	/* the checkpoint is written within the pause */
	double until = clock_now_s() + PATIENCE_S;
	while (w.saved < 0 || w.saved < w.step) {
		assert_true(clock_now_s() < until);
		assert_int_equal(training_poll_fds(t, &fd, 1), 1);
		poll(&fd, 1, 1000);
		training_step(t, NULL);
		assert_false(training_over(t));
	}
	int at = w.step;
	/* nothing comes while it pauses: the wait runs its time out */
	assert_int_equal(training_poll_fds(t, &fd, 1), 1);
	assert_int_equal(poll(&fd, 1, 300), 0);
	assert_int_equal(w.step, at);
	training_pause(t, false);
	go(t, &w, at + 2);
	training_pause(t, true);
	training_stop(t);
	go(t, &w, 0);
	training_close(t);
	expect(&w, "stopped");
	same_curve(&w, whole, 0);
	run_out(o, true, &w);
	expect(&w, "done");
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "paused", "whole");
	cJSON_Delete(o);
}

/* The asker dies: a checkpoint is written, and the program leaves. */
static void forsaken_it_saves_and_leaves(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "forsaken");
	struct watched w;
	int told[2], lock;

	set(o, "save_every", cJSON_CreateNumber(0));
	assert_int_equal(pipe(told), 0);
	pid_t asker = fork();
	assert_true(asker >= 0);
	if (asker == 0) {
		struct training *t = begin(o, false, &w);
		go(t, &w, 5);
		if (write(told[1], &w.step, sizeof(w.step)) < 0)
			_exit(1);
		pause();
	}
	int step = 0;
	close(told[1]);
	assert_int_equal(read(told[0], &step, sizeof(step)), sizeof(step));
	close(told[0]);
	assert_int_equal(kill(asker, SIGKILL), 0);
	waitpid(asker, NULL, 0);
	/* it holds the lock until it leaves */
	assert_true((lock = open(in(p, "forsaken/lock"), O_RDWR)) >= 0);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	close(lock);
	run_out(o, true, &w);
	expect(&w, "done");
	assert_true(w.resumed_from >= step);
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "forsaken", "whole");
	cJSON_Delete(o);
}

static void closing_the_door_is_no_loss(void **state)
{
	struct place *p = *state;
	cJSON *o = settings(p, "closed");
	struct watched w;
	struct training *t = begin(o, false, &w);

	go(t, &w, 6);
	int at = w.step;
	training_close(t);
	run_out(o, true, &w);
	expect(&w, "done");
	assert_true(w.resumed_from >= at);
	cJSON_Delete(o);
}

static void one_works_in_a_folder(void **state)
{
	struct place *p = *state;
	cJSON *o = settings(p, "shared");
	struct watched w, other;
	struct training *t = begin(o, false, &w);

	go(t, &w, 1);
	run_out(o, true, &other);
	expect(&other, "failed");
	assert_contains(other.error, "another training works in");
	char pid[40];
	snprintf(pid, sizeof(pid), "(process %d)", (int)w.pid);
	assert_contains(other.error, pid);
	training_stop(t);
	go(t, &w, 0);
	training_close(t);
	/* nor is what is there begun anew by mistake */
	run_out(o, false, &other);
	expect(&other, "failed");
	assert_contains(other.error, "resume that run");
	cJSON_Delete(o);
}

static void what_shapes_the_result_cannot_change_on_the_way(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *key;
		double value;
		const char *words;
	} change[] = {
		{ "lr", 3e-3, "setting lr: the run that is to go on has 0.004, now it is 0.003" },
		{ "steps", STEPS + 1, "setting steps" },
		{ "seed", 1, "setting seed" },
		{ "batch_samples", 5, "setting batch_samples" },
	};
	struct watched w;

	unbroken(p);
	for (size_t i = 0; i < sizeof(change) / sizeof(*change); i++) {
		cJSON *o = settings(p, "whole");
		set(o, change[i].key, cJSON_CreateNumber(change[i].value));
		run_out(o, true, &w);
		expect(&w, "failed");
		assert_int_equal(w.kind, ERR_INPUT);
		assert_contains(w.error, change[i].words);
		assert_false(w.ready);
		cJSON_Delete(o);
	}
	/* other rows under the same name */
	cJSON *o = settings(p, "whole");
	tiny_write(p->dir, "other.jsonl", "{\"text\": \"abc\"}", 15);
	set(o, "data", cJSON_CreateString(in(p, "other.jsonl")));
	run_out(o, true, &w);
	assert_contains(w.error, "setting data");
	/* the same rows under another name are the same rows */
	assert_int_equal(rename(in(p, "rows.jsonl"), in(p, "moved.jsonl")), 0);
	set(o, "data", cJSON_CreateString(in(p, "moved.jsonl")));
	set(o, "eval_data", cJSON_CreateNull());
	run_out(o, true, &w);
	assert_int_equal(rename(in(p, "moved.jsonl"), in(p, "rows.jsonl")), 0);
	expect(&w, "done");
	cJSON_Delete(o);
}

static void an_adapter_is_learnt_on_a_base_and_gone_on_from(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "lora");
	struct watched w;
	struct model m;
	struct adapter a;
	struct err e = { 0 };

	cJSON_DeleteItemFromObject(o, "tokenizer");
	cJSON_DeleteItemFromObject(o, "optimizer");
	set(o, "model", cJSON_CreateString(whole->saved_dir));
	set(o, "rank", cJSON_CreateNumber(4));
	set(o, "dropout", cJSON_CreateNumber(0.1));
	set(o, "steps", cJSON_CreateNumber(8));
	run_out(o, false, &w);
	expect(&w, "done");
	assert_true(w.eval[8] < w.eval[0]);
	/* a new adapter changes nothing at first */
	assert_close(w.eval[0], whole->eval[STEPS], 1e-5);
	assert_int_equal(model_open(&m, whole->saved_dir, &e), 0);
	if (adapter_open(&a, w.saved_dir, &m.config, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(a.rank_max, 4);
	assert_string_equal(a.base_model, whole->saved_dir);
	adapter_close(&a);
	model_close(&m);
	double before = w.eval[8];
	set(o, "adapter", cJSON_CreateString(w.saved_dir));
	set(o, "out", cJSON_CreateString(in(p, "lora2")));
	set(o, "base_name", cJSON_CreateString("somebody/base"));
	run_out(o, false, &w);
	expect(&w, "done");
	assert_close(w.eval[0], before, 1e-6);
	assert_int_equal(model_open(&m, whole->saved_dir, &e), 0);
	assert_int_equal(adapter_open(&a, w.saved_dir, &m.config, &e), 0);
	assert_string_equal(a.base_model, "somebody/base");
	adapter_close(&a);
	model_close(&m);
	cJSON_Delete(o);
}

/* Files may have so many bytes: checkpoints fail, and the run goes on to the end. */
static void a_full_disk_is_told_and_nothing_is_lost(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "full");
	struct rlimit was, small;
	struct watched w;
	struct training *t = begin(o, false, &w);

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 20000;
	go(t, &w, 5); /* the first checkpoint is written */
	assert_int_equal(w.saved, 4);
	assert_int_equal(prlimit(w.pid, RLIMIT_FSIZE, &small, NULL), 0);
	go(t, &w, 0);
	training_close(t);
	expect(&w, "failed");
	assert_int_equal(w.kind, ERR_IO);
	assert_int_equal(w.step, STEPS);
	assert_contains(w.note, "could not be written");
	assert_contains(w.note, "make room under");
	assert_contains(w.error, "make room under");
	assert_contains(w.error, "resume");
	same_curve(&w, whole, 0);
	run_out(o, true, &w);
	expect(&w, "done");
	assert_true(w.resumed_from >= 4);
	same_curve(&w, whole, w.resumed_from);
	same_result(p, "full", "whole");
	cJSON_Delete(o);
}

static void what_is_wrong_is_told_in_words(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *key, *value, *words;
	} bad[] = {
		{ "lrr", "1", "setting lrr: there is none of that name" },
		{ "lr", "-1", "setting lr: above 0" },
		{ "model", "\"fresh:/nowhere\"", "/nowhere" },
		{ "model", "\"/nowhere\"", "setting tokenizer" },
		{ "data", "\"/nowhere\"", "setting data: /nowhere" },
		{ "out", "\"/proc/none/here\"", "setting out" },
		{ "backend", "\"cuda\"", "setting backend: cuda, and this is cadforge-train" },
		{ "pass_rows", "10", "longest" },
	};
	struct watched w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cJSON *o = settings(p, "bad");
		set(o, bad[i].key, cJSON_Parse(bad[i].value));
		if (strcmp(bad[i].key, "pass_rows") == 0)
			set(o, "longest", cJSON_CreateNumber(20));
		run_out(o, false, &w);
		expect(&w, "failed");
		assert_contains(w.error, bad[i].words);
		cJSON_Delete(o);
	}
	struct err e = { 0 };
	const struct training_ops ops = { .ctx = &w, .event = on_event, .ended = on_ended };
	cJSON *o = settings(p, "bad");
	assert_null(training_open("/nowhere", GPU_CPU, o, false, &ops, &e));
	assert_int_equal(e.kind, ERR_LACKS);
	assert_null(training_open(p->dir, GPU_CUDA, o, false, &ops, &e));
	assert_contains(e.text, "has no CUDA half");
	cJSON_Delete(o);
}

/* By hand: a line for each event; ^C is a stop. */
static void by_hand_it_prints_lines(void **state)
{
	struct place *p = *state;
	const struct watched *whole = unbroken(p);
	cJSON *o = settings(p, "hand");
	char command[700], line[8192], *text = cJSON_Print(o);
	int last = 0;
	bool interrupted = false, stopped = false;
	pid_t pid = 0;

	tiny_write(p->dir, "settings", text, strlen(text));
	cJSON_free(text);
	cJSON_Delete(o);
	for (int round = 0; round < 2; round++) {
		snprintf(command, sizeof(command), "exec ./cadforge-train --settings %s %s",
		         in(p, "settings"), round ? "--resume" : "");
		FILE *f = popen(command, "r");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			cJSON *x = cJSON_Parse(line);
			const char *event = json_string_or(x, "event", "");
			if (strcmp(event, "ready") == 0)
				pid = (pid_t)json_number_or(x, "pid", 0);
			if (strcmp(event, "step") == 0) {
				int step = (int)json_number_or(x, "step", 0);
				double loss = json_number_or(x, "loss", NAN);
				assert_int_equal(step, last + 1);
				last = step;
				assert_memory_equal(&loss, &whole->loss[step], sizeof(loss));
				if (step == 3 && !interrupted) {
					interrupted = true;
					assert_int_equal(kill(pid, SIGINT), 0);
				}
			}
			if (strcmp(event, "ended") == 0)
				stopped |= strcmp(json_string_or(x, "outcome", ""), "stopped") == 0;
			cJSON_Delete(x);
		}
		assert_int_equal(pclose(f), 0);
	}
	assert_true(stopped);
	assert_int_equal(last, STEPS);
	same_result(p, "hand", "whole");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_learns_and_tells_of_it),
		cmocka_unit_test(killed_at_any_moment_it_goes_on_to_the_bit),
		cmocka_unit_test(stopped_it_goes_on_to_the_bit),
		cmocka_unit_test(paused_it_waits_and_can_be_stopped),
		cmocka_unit_test(forsaken_it_saves_and_leaves),
		cmocka_unit_test(closing_the_door_is_no_loss),
		cmocka_unit_test(one_works_in_a_folder),
		cmocka_unit_test(what_shapes_the_result_cannot_change_on_the_way),
		cmocka_unit_test(an_adapter_is_learnt_on_a_base_and_gone_on_from),
		cmocka_unit_test(a_full_disk_is_told_and_nothing_is_lost),
		cmocka_unit_test(what_is_wrong_is_told_in_words),
		cmocka_unit_test(by_hand_it_prints_lines),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
