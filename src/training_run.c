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
#include "src/run_log.h"

enum {
	SAMPLER_NICE = 15, /* answers are not worth a step's time */
};
#define PLAIN_S 5.0  /* between two plain lines of progress */
#define GRACE_S 10.0 /* for a sampler that was told to end */

struct work {
	const struct training_run_options *o;
	struct training_result *out;
	const char *dir; /* settings' out */
	struct training *t;
	struct run_log log;
	/* the end */
	bool began, over, interrupted, paused; /* began: the run's row knows of it */
	struct err failure;
	/* what is shown */
	double told, begun, tokens_per_s, left_s;
	/* the process that answers held-out prompts */
	pid_t sampler;
	char next[4096]; /* checkpoint that came while it was at work; "" none */
	int64_t next_step;
	double sampler_until;
	bool sampler_told;
};

/* ---- what a person sees ---- */

static void show_step(struct work *w, const cJSON *o)
{
	double now = clock_now_s();
	char left[32];

	if (w->o->app->quiet || w->o->app->json)
		return;
	if (now - w->told < (w->log.bar ? 0.2 : PLAIN_S) && w->out->step > 1 &&
	    w->out->step < w->out->steps)
		return;
	w->told = now;
	run_log_time(left, sizeof(left), w->left_s);
	run_log_clear_bar(&w->log);
	fprintf(stderr, "%s %" PRId64 "/%" PRId64 "  loss %.4f  lr %.2g  norm %.3g  %.0f tokens/s",
	        w->paused ? "paused at" : "step", w->out->step, w->out->steps, w->out->loss,
	        json_number_or(o, "lr", NAN), json_number_or(o, "grad_norm", NAN), w->tokens_per_s);
	fprintf(stderr, "  %s left%s", left, w->log.bar ? "" : "\n");
}

static void show_ready(struct work *w, const cJSON *o)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(o, "data");
	const cJSON *drops = cJSON_GetObjectItemCaseSensitive(data, "dropped"), *d;

	if (w->o->app->json)
		return;
	run_log_say(&w->log, "run %" PRId64 ": %s on %s, %.0f of %.0f parameters learn",
	            w->out->run, json_string_or(o, "backend", "?"),
	            json_string_or(o, "device", "?"), json_number_or(o, "trainable", NAN),
	            json_number_or(o, "parameters", NAN));
	run_log_say(&w->log, "%.0f samples, %.0f held out, %.0f tokens; %" PRId64 " steps",
	            json_number_or(o, "samples", 0), json_number_or(o, "eval_samples", 0),
	            json_number_or(o, "tokens", 0), w->out->steps);
	cJSON_ArrayForEach(d, drops)
	{
		double n = cJSON_IsNumber(d) ? d->valuedouble : json_number_or(d, "count", 0);
		if (n > 0)
			run_log_say(&w->log, "left out: %.0f, %s%s%s", n,
			            d->string ? d->string : json_string_or(d, "reason", "?"),
			            json_string_or(d, "first", NULL) ? ", the first: " : "",
			            json_string_or(d, "first", ""));
	}
	if (json_number_or(o, "resumed_from", 0) > 0)
		run_log_say(&w->log, "goes on from step %.0f",
		            json_number_or(o, "resumed_from", 0));
	if (w->dir)
		run_log_say(&w->log, "folder: %s", w->dir);
}

/* ---- into the store ---- */

/* The run's row: with the first word of the training, so that settings it refuses leave none. */
static void begin_run(struct work *w)
{
	const struct training_run_options *o = w->o;
	cJSON *about = o->about ? cJSON_Duplicate(o->about, true) : cJSON_CreateObject();

	w->began = true;
	cJSON_AddStringToObject(about, "version", PACKAGE_VERSION);
	cJSON_AddItemToObject(about, "settings", cJSON_Duplicate(o->settings, true));
	cJSON_AddNumberToObject(about, "samples", o->samples);
	cJSON_AddNumberToObject(about, "sample_s", o->sample_s);
	run_log_begin(&w->log, o->kind, o->run, about);
	w->out->run = w->log.run;
	cJSON_Delete(about);
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
	run_log_flush(&w->log);
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
			run_log_say(&w->log, "step %.0f: loss on what is held out %.4f",
			            json_number_or(o, "step", 0), out->eval_loss);
	} else if (strcmp(kind, "checkpoint") == 0) {
		snprintf(out->checkpoint, sizeof(out->checkpoint), "%s",
		         json_string_or(o, "dir", ""));
		if (!w->o->app->json)
			run_log_say(&w->log, "step %.0f: checkpoint %s, %.1f MB in %.1f s",
			            json_number_or(o, "step", 0), out->checkpoint,
			            json_number_or(o, "bytes", 0) / 1e6,
			            json_number_or(o, "seconds", 0));
	} else if (strcmp(kind, "note") == 0 && !w->o->app->json) {
		run_log_say(&w->log, "%s", json_string_or(o, "text", ""));
	}
	if (strcmp(kind, "ready") == 0 || strcmp(kind, "step") == 0 || strcmp(kind, "eval") == 0 ||
	    strcmp(kind, "checkpoint") == 0 || strcmp(kind, "note") == 0)
		run_log_row(&w->log, kind, out->step, o);
	if (strcmp(kind, "eval") == 0 || strcmp(kind, "checkpoint") == 0 ||
	    strcmp(kind, "ready") == 0)
		run_log_flush(&w->log);
	run_log_print(&w->log, kind, o);
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
	char word[RUN_LOG_WORD];

	if (!run_log_word(w->dir, word))
		return;
	if (strcmp(word, "pause") == 0 || strcmp(word, "go on") == 0) {
		w->paused = word[0] == 'p';
		training_pause(w->t, w->paused);
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "step", (double)w->out->step);
		cJSON_AddStringToObject(o, "text", w->paused ? "paused" : "goes on");
		cJSON_AddBoolToObject(o, "paused", w->paused);
		on_event(w, "note", o);
		cJSON_Delete(o);
		run_log_flush(&w->log);
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
		run_log_say(&w->log,
		            "stopping: the step under way is finished, a checkpoint is written");
		training_stop(w->t);
	}
	take_word(w);
	attend_sampler(w);
	run_log_tend(&w->log);
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
	run_log_init(&w->log, o->app, o->store);
	w->begun = clock_now_s();
	w->left_s = w->tokens_per_s = NAN;
	w->t = training_open(o->app->libexec, o->backend, o->settings, o->run != 0, &ops, e);
	if (!w->t) {
		free(w);
		return -1;
	}
	while (!w->over && !training_over(w->t))
		if (wait_and_step(w, &wrong) < 0)
			break;
	run_log_clear_bar(&w->log);
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
		run_log_end(&w->log, out->step, out->outcome, &w->failure);
	if (w->interrupted || strcmp(out->outcome, "done") != 0)
		stop_sampler(w);
	else if (w->sampler > 0)
		run_log_say(&w->log, "held-out prompts are being answered");
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
	run_log_release(&w->log);
	free(w);
	return rc;
}
