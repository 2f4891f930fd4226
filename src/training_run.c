/*
 * training_run.c - a training watched from its settings to its end.
 */
#include "src/training_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "src/base/clock.h"
#include "src/base/utf8.h"

enum {
	HELD_MAX = 4096,   /* rows that wait for the store, at most */
	SAMPLER_NICE = 15, /* answers are not worth a step's time */
};
#define FLUSH_S 10.0 /* what a kill may cost of the store's rows */
#define PLAIN_S 5.0  /* between two plain lines of progress */
#define GRACE_S 10.0 /* for a sampler that was told to end */

struct work {
	const struct training_run_options *o;
	struct training_result *out;
	const char *dir; /* settings' out */
	struct training *t;
	/* rows on their way to the store */
	struct store_step held[HELD_MAX];
	int n_held;
	double flushed;
	bool store_told; /* that it cannot be written */
	/* the end */
	bool began, over, interrupted, paused; /* began: the run's row knows of it */
	struct err failure;
	/* what is shown */
	bool bar;
	double told, begun, tokens_per_s, left_s;
	/* the process that answers held-out prompts */
	pid_t sampler;
	char next[4096]; /* checkpoint that came while it was at work; "" none */
	int64_t next_step;
	double sampler_until;
	bool sampler_told;
};

/* ---- what a person sees ---- */

static void clear_bar(struct work *w)
{
	if (w->bar)
		fputs("\r\033[K", stderr);
}

static void say(struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct work *w, const char *fmt, ...)
{
	struct buf text = { 0 }, clean = { 0 };
	va_list ap;

	if (w->o->app->quiet)
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	utf8_clean_line(&clean, buf_str(&text), text.len);
	clear_bar(w);
	fprintf(stderr, "%s\n", buf_str(&clean));
	buf_release(&text);
	buf_release(&clean);
}

static void time_words(char *out, size_t size, double s)
{
	if (!isfinite(s) || s < 0)
		snprintf(out, size, "?");
	else if (s < 90)
		snprintf(out, size, "%.0f s", s);
	else if (s < 5400)
		snprintf(out, size, "%.0f min", s / 60);
	else
		snprintf(out, size, "%.1f h", s / 3600);
}

static void show_step(struct work *w, const cJSON *o)
{
	double now = clock_now_s();
	char left[32];

	if (w->o->app->quiet || w->o->app->json)
		return;
	if (now - w->told < (w->bar ? 0.2 : PLAIN_S) && w->out->step > 1 &&
	    w->out->step < w->out->steps)
		return;
	w->told = now;
	time_words(left, sizeof(left), w->left_s);
	clear_bar(w);
	fprintf(stderr, "%s %" PRId64 "/%" PRId64 "  loss %.4f  lr %.2g  norm %.3g  %.0f tokens/s",
	        w->paused ? "paused at" : "step", w->out->step, w->out->steps, w->out->loss,
	        json_number_or(o, "lr", NAN), json_number_or(o, "grad_norm", NAN), w->tokens_per_s);
	fprintf(stderr, "  %s left%s", left, w->bar ? "" : "\n");
}

static void show_ready(struct work *w, const cJSON *o)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(o, "data");
	const cJSON *drops = cJSON_GetObjectItemCaseSensitive(data, "dropped"), *d;

	if (w->o->app->json)
		return;
	say(w, "run %" PRId64 ": %s on %s, %.0f of %.0f parameters learn", w->out->run,
	    json_string_or(o, "backend", "?"), json_string_or(o, "device", "?"),
	    json_number_or(o, "trainable", NAN), json_number_or(o, "parameters", NAN));
	say(w, "%.0f samples, %.0f held out, %.0f tokens; %" PRId64 " steps",
	    json_number_or(o, "samples", 0), json_number_or(o, "eval_samples", 0),
	    json_number_or(o, "tokens", 0), w->out->steps);
	cJSON_ArrayForEach(d, drops)
	{
		double n = cJSON_IsNumber(d) ? d->valuedouble : json_number_or(d, "count", 0);
		if (n > 0)
			say(w, "left out: %.0f, %s%s%s", n,
			    d->string ? d->string : json_string_or(d, "reason", "?"),
			    json_string_or(d, "first", NULL) ? ", the first: " : "",
			    json_string_or(d, "first", ""));
	}
	if (json_number_or(o, "resumed_from", 0) > 0)
		say(w, "goes on from step %.0f", json_number_or(o, "resumed_from", 0));
	if (w->dir)
		say(w, "folder: %s", w->dir);
}

/* ---- into the store ---- */

static void tell_store(struct work *w, const struct err *e)
{
	if (!w->store_told)
		say(w, "%s. The training goes on; its rows wait", e->text);
	w->store_told = true;
}

static void forget_rows(struct work *w)
{
	for (int i = 0; i < w->n_held; i++)
		free((char *)w->held[i].data);
	w->n_held = 0;
}

static void flush_rows(struct work *w)
{
	struct err e = { 0 };

	w->flushed = clock_now_s();
	if (!w->o->store || !w->out->run || w->n_held == 0)
		return;
	if (store_steps_add(w->o->store, w->out->run, w->held, w->n_held, &e) < 0) {
		tell_store(w, &e);
		return;
	}
	w->store_told = false;
	forget_rows(w);
	store_tend(w->o->store);
}

/* What has no column of its own. */
static char *rest_of(const cJSON *o)
{
	static const char *const columns[] = { "step",   "loss",    "lr",     "grad_norm",
		                               "tokens", "seconds", "left_s", "tokens_per_s" };
	cJSON *copy = cJSON_Duplicate(o, true);
	struct buf text = { 0 };

	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(copy, columns[i]);
	if (copy && copy->child)
		json_print(&text, copy);
	cJSON_Delete(copy);
	return text.len ? buf_take(&text, NULL) : NULL;
}

static void hold_row(struct work *w, const char *kind, const cJSON *o)
{
	double tokens = json_number_or(o, "tokens", -1);

	if (!w->o->store)
		return;
	/* a store that cannot be written for hours: the newest rows are worth most */
	if (w->n_held == HELD_MAX) {
		free((char *)w->held[0].data);
		memmove(w->held, w->held + 1, (HELD_MAX - 1) * sizeof(*w->held));
		w->n_held--;
	}
	w->held[w->n_held++] = (struct store_step){
		.kind = kind,
		.step = strcmp(kind, "step") == 0
		                ? (int64_t)json_number_or(o, "step", 0)
		                : (int64_t)json_number_or(o, "step", (double)w->out->step),
		.time_us = store_now_us(),
		.loss = json_number_or(o, "loss", NAN),
		.lr = json_number_or(o, "lr", NAN),
		.norm = json_number_or(o, "grad_norm", NAN),
		.seconds = json_number_or(o, "seconds", NAN),
		.tokens = tokens >= 0 && strcmp(kind, "ready") != 0 ? (int64_t)tokens : -1,
		.data = rest_of(o),
	};
}

/* The run's row: with the first word of the training, so that settings it refuses leave none. */
static void begin_run(struct work *w)
{
	const struct training_run_options *o = w->o;
	cJSON *about = o->about ? cJSON_Duplicate(o->about, true) : cJSON_CreateObject();
	struct buf text = { 0 };
	struct err e = { 0 };

	w->began = true;
	cJSON_AddStringToObject(about, "version", PACKAGE_VERSION);
	cJSON_AddItemToObject(about, "settings", cJSON_Duplicate(o->settings, true));
	cJSON_AddNumberToObject(about, "samples", o->samples);
	cJSON_AddNumberToObject(about, "sample_s", o->sample_s);
	json_print(&text, about);
	cJSON_Delete(about);
	if (o->run) {
		w->out->run = o->run;
		if (store_run_again(o->store, o->run, &e) < 0)
			tell_store(w, &e);
	} else if (store_run_start(o->store, o->kind, buf_str(&text), &w->out->run, &e) < 0) {
		tell_store(w, &e);
		w->out->run = 0;
	}
	buf_release(&text);
}

static void end_run(struct work *w)
{
	cJSON *o = cJSON_CreateObject();
	struct err e = { 0 };

	cJSON_AddStringToObject(o, "outcome", w->out->outcome);
	if (w->failure.kind)
		cJSON_AddStringToObject(o, "error", w->failure.text);
	hold_row(w, "end", o);
	cJSON_Delete(o);
	flush_rows(w);
	if (w->o->store && w->out->run &&
	    store_run_end(w->o->store, w->out->run, w->out->outcome, &e) < 0)
		tell_store(w, &e);
	forget_rows(w);
}

/* ---- answers on the way ---- */

static void sampler_child(const struct work *w, const char *checkpoint, int64_t step, pid_t parent)
{
	char run[32], at[32], n[32], seconds[32];
	const char *argv[24];
	int k = 0, null_fd;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	setpgid(0, 0);
	setpriority(PRIO_PROCESS, 0, SAMPLER_NICE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	null_fd = open("/dev/null", O_RDWR);
	if (null_fd < 0)
		_exit(127);
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(null_fd, 2);
	snprintf(run, sizeof(run), "%" PRId64, w->out->run);
	snprintf(at, sizeof(at), "%" PRId64, step);
	snprintf(n, sizeof(n), "%d", w->o->samples);
	snprintf(seconds, sizeof(seconds), "%g", w->o->sample_s);
	argv[k++] = "cadforge";
	argv[k++] = "train";
	argv[k++] = "sample";
	argv[k++] = run;
	argv[k++] = "--db";
	argv[k++] = store_file(w->o->store);
	argv[k++] = "--checkpoint";
	argv[k++] = checkpoint;
	argv[k++] = "--step";
	argv[k++] = at;
	argv[k++] = "--samples";
	argv[k++] = n;
	argv[k++] = "--seconds";
	argv[k++] = seconds;
	argv[k++] = "--quiet";
	argv[k] = NULL;
	execv("/proc/self/exe", (char *const *)(void *)argv);
	_exit(127);
}

static void start_sampler(struct work *w, const char *checkpoint, int64_t step)
{
	pid_t parent = getpid();

	if (w->o->samples <= 0 || !w->o->store || !w->out->run || !*checkpoint)
		return;
	if (w->sampler > 0) {
		snprintf(w->next, sizeof(w->next), "%s", checkpoint);
		w->next_step = step;
		return;
	}
	flush_rows(w);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		sampler_child(w, checkpoint, step, parent);
	if (pid < 0)
		return;
	w->sampler = pid;
	w->sampler_told = false;
	w->sampler_until = clock_now_s() + w->o->sample_s + GRACE_S;
}

/* Collects it when it has ended, ends it when its time is over. */
static void attend_sampler(struct work *w)
{
	int status;
	double now = clock_now_s();

	if (w->sampler <= 0)
		return;
	if (waitpid(w->sampler, &status, WNOHANG) == w->sampler) {
		w->sampler = 0;
		if (w->next[0]) {
			char dir[sizeof(w->next)];
			memcpy(dir, w->next, sizeof(dir));
			w->next[0] = '\0';
			/* the folders before the newest ones are removed on the way */
			if (access(dir, R_OK) == 0)
				start_sampler(w, dir, w->next_step);
		}
		return;
	}
	if (now < w->sampler_until)
		return;
	kill(w->sampler, w->sampler_told ? SIGKILL : SIGTERM);
	w->sampler_told = true;
	w->sampler_until = now + GRACE_S;
}

static void stop_sampler(struct work *w)
{
	w->next[0] = '\0';
	if (w->sampler > 0 && !w->sampler_told)
		w->sampler_until = 0;
}

/* ---- events ---- */

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct work *w = ctx;
	struct training_result *out = w->out;

	if (strcmp(kind, "ready") == 0) {
		out->steps = (int64_t)json_number_or(o, "steps", 0);
		out->step = (int64_t)json_number_or(o, "resumed_from", 0);
		if (w->o->store)
			begin_run(w);
		show_ready(w, o);
	} else if (strcmp(kind, "step") == 0) {
		out->step = (int64_t)json_number_or(o, "step", 0);
		out->loss = json_number_or(o, "loss", NAN);
		w->tokens_per_s = json_number_or(o, "tokens_per_s", NAN);
		w->left_s = json_number_or(o, "left_s", NAN);
		show_step(w, o);
	} else if (strcmp(kind, "eval") == 0) {
		out->eval_loss = json_number_or(o, "loss", NAN);
		if (!w->o->app->json)
			say(w, "step %.0f: loss on what is held out %.4f",
			    json_number_or(o, "step", 0), out->eval_loss);
	} else if (strcmp(kind, "checkpoint") == 0) {
		snprintf(out->checkpoint, sizeof(out->checkpoint), "%s",
		         json_string_or(o, "dir", ""));
		if (!w->o->app->json)
			say(w, "step %.0f: checkpoint %s, %.1f MB in %.1f s",
			    json_number_or(o, "step", 0), out->checkpoint,
			    json_number_or(o, "bytes", 0) / 1e6, json_number_or(o, "seconds", 0));
	} else if (strcmp(kind, "note") == 0 && !w->o->app->json) {
		say(w, "%s", json_string_or(o, "text", ""));
	}
	if (strcmp(kind, "ready") == 0 || strcmp(kind, "step") == 0 || strcmp(kind, "eval") == 0 ||
	    strcmp(kind, "checkpoint") == 0 || strcmp(kind, "note") == 0)
		hold_row(w, kind, o);
	if (strcmp(kind, "eval") == 0 || strcmp(kind, "checkpoint") == 0 ||
	    strcmp(kind, "ready") == 0)
		flush_rows(w);
	if (w->o->app->json) {
		cJSON *line = cJSON_CreateObject(), *x;
		struct buf text = { 0 };
		cJSON_AddStringToObject(line, "event", kind);
		cJSON_AddNumberToObject(line, "run", (double)out->run);
		cJSON_ArrayForEach(x, o) if (x->string && strcmp(x->string, "event") != 0)
			cJSON_AddItemToObject(line, x->string, cJSON_Duplicate(x, true));
		json_print(&text, line);
		puts(buf_str(&text));
		fflush(stdout);
		buf_release(&text);
		cJSON_Delete(line);
	}
	if (w->o->event)
		w->o->event(w->o->ctx, kind, o);
	if (strcmp(kind, "checkpoint") == 0)
		start_sampler(w, out->checkpoint, (int64_t)json_number_or(o, "step", 0));
}

static void on_end(void *ctx, const char *outcome, enum err_kind kind, const char *error)
{
	struct work *w = ctx;

	w->over = true;
	snprintf(w->out->outcome, sizeof(w->out->outcome), "%s", outcome);
	if (strcmp(outcome, "failed") == 0)
		err_set(&w->failure, kind ? kind : ERR_LOST, "%s",
		        error && *error ? error : "the training ended without a word");
}

/* ---- asked from outside ---- */

static void ask_path(char *out, size_t size, const char *dir, const char *name)
{
	snprintf(out, size, "%s/%s", dir, name);
}

int training_run_alive(const char *out)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, alive;

	if (!out || stat(out, &st) < 0)
		return -1;
	ask_path(path, sizeof(path), out, "lock");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	alive = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return alive;
}

int training_run_ask(const char *out, const char *word, struct err *e)
{
	char path[PATH_MAX];

	if (training_run_alive(out) != 1)
		return err_set(e, ERR_INPUT,
		               "%.200s: no training works there now; 'cadforge runs' lists them, "
		               "'cadforge train resume RUN' goes on with one",
		               out ? out : "(no folder)");
	ask_path(path, sizeof(path), out, "ask");
	return file_write_atomic(path, word, strlen(word), e);
}

static void take_word(struct work *w)
{
	char path[PATH_MAX], word[32] = "";
	int fd;
	ssize_t n;

	if (!w->dir)
		return;
	ask_path(path, sizeof(path), w->dir, "ask");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	n = read(fd, word, sizeof(word) - 1);
	close(fd);
	unlink(path);
	word[n > 0 ? n : 0] = '\0';
	word[strcspn(word, "\n")] = '\0';
	if (strcmp(word, "pause") == 0 || strcmp(word, "go on") == 0) {
		w->paused = word[0] == 'p';
		training_pause(w->t, w->paused);
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "step", (double)w->out->step);
		cJSON_AddStringToObject(o, "text", w->paused ? "paused" : "goes on");
		cJSON_AddBoolToObject(o, "paused", w->paused);
		on_event(w, "note", o);
		cJSON_Delete(o);
		flush_rows(w);
	} else if (strcmp(word, "checkpoint") == 0) {
		training_checkpoint(w->t);
	} else if (strcmp(word, "stop") == 0) {
		training_stop(w->t);
	}
}

/* ---- the run ---- */

static int wait_and_step(struct work *w, struct err *e)
{
	struct pollfd fds[16];
	int n = training_poll_fds(w->t, fds, 16);

	if (poll(fds, (nfds_t)n, 250) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	if (training_step(w->t, e) < 0)
		return -1;
	if (app_interrupted() && !w->interrupted) {
		w->interrupted = true;
		say(w, "stopping: the step under way is finished, a checkpoint is written");
		training_stop(w->t);
	}
	take_word(w);
	attend_sampler(w);
	if (clock_now_s() - w->flushed > FLUSH_S)
		flush_rows(w);
	return 0;
}

int training_run(const struct training_run_options *o, struct training_result *out, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	const struct training_ops ops = { .ctx = w, .event = on_event, .ended = on_end };
	struct err wrong = { 0 };

	*out = (struct training_result){ .loss = NAN, .eval_loss = NAN, .run = o->run };
	if (!w)
		return err_set(e, ERR_MEM, "out of memory");
	w->o = o;
	w->out = out;
	w->dir = json_string_or(o->settings, "out", NULL);
	w->bar = !o->app->quiet && !o->app->json && isatty(STDERR_FILENO);
	w->begun = w->flushed = clock_now_s();
	w->left_s = w->tokens_per_s = NAN;
	w->t = training_open(o->app->libexec, o->backend, o->settings, o->run != 0, &ops, e);
	if (!w->t) {
		free(w);
		return -1;
	}
	while (!w->over && !training_over(w->t))
		if (wait_and_step(w, &wrong) < 0)
			break;
	clear_bar(w);
	training_close(w->t);
	if (!w->over) {
		snprintf(out->outcome, sizeof(out->outcome), "failed");
		w->failure = wrong;
		if (!wrong.kind)
			err_set(&w->failure, ERR_LOST,
			        "the training's process ended without a word");
	}
	out->seconds = clock_now_s() - w->begun;
	if (w->began)
		end_run(w);
	if (w->interrupted || strcmp(out->outcome, "done") != 0)
		stop_sampler(w);
	else if (w->sampler > 0)
		say(w, "held-out prompts are being answered");
	while (w->sampler > 0) {
		if (app_interrupted())
			stop_sampler(w);
		attend_sampler(w);
		if (w->sampler > 0)
			usleep(50000);
	}
	int rc = 0;
	if (strcmp(out->outcome, "failed") == 0) {
		if (e)
			*e = w->failure;
		rc = -1;
	}
	forget_rows(w);
	free(w);
	return rc;
}
