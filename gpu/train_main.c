/*
 * train_main.c - cadforge-train: a training run in a process of its own (gpu/train_wire.h), or by
 * hand; or a policy that learns what it is given, a step at a time.
 *
 * Between two passes it looks at fd 3 and at its signals: a pause, a wish for a checkpoint, a stop
 * take effect within a step. SIGINT and SIGTERM are a stop, and so is the asker's end.
 *
 * The same source with -DTRAIN_CUDA is cadforge-train-cuda.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef TRAIN_CUDA
#include "gpu/blas.h"
#include "gpu/train_bench.h"
#endif
#include "gpu/policy_run.h"
#include "gpu/train_grad.h"
#include "gpu/train_run.h"
#include "gpu/train_wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"

#ifdef TRAIN_CUDA
static const char program[] = "cadforge-train-cuda";
#define TRAINER_OPEN train_cuda_open
static const enum gpu_backend own = GPU_CUDA;
#else
static const char program[] = "cadforge-train";
#define TRAINER_OPEN train_cpu_open
static const enum gpu_backend own = GPU_CPU;
#endif

/* A signal's handler writes to STOPS_IN, whose other end is STOPS. (A signalfd would not do: the
 * BLAS has threads before main() begins, and a signal may go to any of them.) */
enum { DOOR = 3, STOPS = 60, STOPS_IN = 61, SETTINGS_MAX = 4 << 20 };

struct train {
	/* flags */
	const char *settings_path; /* by hand; NULL: frames */
	bool resume;
	/* */
	struct frame_reader in;
	struct buf out;
	bool lost; /* the asker */
	bool paused, stop, checkpoint;
	cJSON *settings; /* once they are there */
	bool policy;     /* answers are learnt from, as they come: */
	bool asked;      /* there is one more step of them */
	struct policy_batch batch;
};

static const char *kind_name(enum err_kind k)
{
	switch (k) {
	case ERR_USAGE:
		return "usage";
	case ERR_INPUT:
		return "input";
	case ERR_MEM:
		return "memory";
	case ERR_LACKS:
		return "lacks";
	case ERR_LOST:
		return "lost";
	default:
		return "io";
	}
}

/* ---- saying ---- */

static const struct {
	const char *event;
	uint32_t type;
} kinds[] = { { "ready", TRAIN_READY },      { "step", TRAIN_STEP }, { "eval", TRAIN_EVAL },
	      { "checkpoint", TRAIN_SAVED }, { "note", TRAIN_NOTE }, { "ended", TRAIN_ENDED } };

/* A person, or a program that reads what a person would. */
static void print(struct train *t, const char *kind, const cJSON *object)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };
	const cJSON *v;

	cJSON_AddStringToObject(o, "event", kind);
	cJSON_ArrayForEach(v, object) cJSON_AddItemToObject(o, v->string, cJSON_Duplicate(v, true));
	json_print(&text, o);
	cJSON_Delete(o);
	/* nobody reads any more: as good as an asker that is gone */
	if (puts(buf_str(&text)) < 0 || fflush(stdout) != 0)
		t->stop = true;
	buf_release(&text);
}

/* What waits for the asker goes out; with @wait all of it. */
static void flush(struct train *t, bool wait)
{
	while (!t->lost && t->out.len > 0) {
		int rc = frame_flush(&t->out, DOOR, NULL);
		if (rc < 0)
			t->lost = true;
		if (rc <= 0 || !wait)
			return;
		struct pollfd p = { .fd = DOOR, .events = POLLOUT };
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			t->lost = true;
	}
}

static void on_event(void *ctx, const char *kind, const cJSON *object)
{
	struct train *t = ctx;
	struct buf text = { 0 };
	size_t i = 0;

	if (t->settings_path) {
		print(t, kind, object);
		return;
	}
	while (strcmp(kinds[i].event, kind) != 0)
		i++;
	json_print(&text, object);
	frame_append(&t->out, kinds[i].type, 0, buf_str(&text), text.len, NULL, 0);
	buf_release(&text);
	flush(t, false);
}

static void say_ended(struct train *t, const char *outcome, const struct err *e)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "outcome", outcome);
	json_add_text(o, "error", e->kind ? e->text : NULL);
	json_add_text(o, "kind", e->kind ? kind_name(e->kind) : NULL);
	on_event(t, "ended", o);
	cJSON_Delete(o);
	flush(t, true);
}

/* ---- hearing ---- */

/* 0; -1: no message of ours. */
static int on_frame(struct train *t, const struct frame *f)
{
	/* the answers of a step have a reader of their own */
	cJSON *o = f->type == TRAIN_LEARN ? NULL : json_parse(f->json, f->json_len, NULL);
	struct err e = { 0 };
	int rc = 0;

	switch (f->type) {
	case TRAIN_BEGIN:
		if (t->settings) {
			rc = -1;
			break;
		}
		t->settings = cJSON_DetachItemFromObjectCaseSensitive(o, "settings");
		t->resume = json_bool_or(o, "resume", false);
		t->policy = json_bool_or(o, "policy", false);
		rc = t->settings ? 0 : -1;
		break;
	case TRAIN_PAUSE:
		t->paused = json_bool_or(o, "paused", false);
		break;
	case TRAIN_CHECKPOINT:
		t->checkpoint = true;
		break;
	case TRAIN_STOP:
		t->stop = true;
		break;
	case TRAIN_LEARN:
		rc = t->policy && !t->asked ? policy_batch_read(&t->batch, f, &e) : -1;
		t->asked = rc == 0;
		if (e.kind)
			fprintf(stderr, "%s: %s\n", program, e.text);
		break;
	default:
		rc = -1;
	}
	cJSON_Delete(o);
	return rc;
}

/* Takes all that is there. */
static void listen(struct train *t)
{
	struct err e = { 0 };
	struct frame f;
	int rc;

	while (!t->lost) {
		while ((rc = frame_next(&t->in, &f, &e)) > 0)
			if (on_frame(t, &f) < 0) {
				fprintf(stderr, "%s: a message of type %u that is none of ours\n",
				        program, f.type);
				t->lost = true;
				return;
			}
		if (rc < 0)
			fprintf(stderr, "%s: %s\n", program, e.text);
		ssize_t n = rc < 0 ? -1 : frame_fill(&t->in, DOOR, &e);
		if (n == -2)
			return;
		t->lost = n <= 0;
	}
}

/* Waits at most @ms (-1: for ever) for something from the asker or a signal. */
static void hear(struct train *t, int ms)
{
	char byte;
	struct pollfd p[2] = { { .fd = STOPS, .events = POLLIN },
		               { .fd = DOOR,
		                 .events = (short)(POLLIN | (t->out.len ? POLLOUT : 0)) } };

	poll(p, t->settings_path || t->lost ? 1 : 2, ms);
	while (read(STOPS, &byte, 1) == 1)
		t->stop = true;
	if (!t->settings_path) {
		flush(t, false);
		listen(t);
	}
}

static unsigned wants(void *ctx, bool wait)
{
	struct train *t = ctx;
	unsigned want;

	hear(t, wait ? -1 : 0);
	want = (t->checkpoint ? TRAIN_WANT_CHECKPOINT : 0u) | (t->paused ? TRAIN_WANT_PAUSE : 0u) |
	       (t->stop || t->lost ? TRAIN_WANT_STOP : 0u);
	t->checkpoint = false;
	return want;
}

/* ---- beginning ---- */

static int read_settings(struct train *t, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	if (!t->settings_path) {
		while (!t->settings && !t->lost && !t->stop)
			hear(t, -1);
		return t->settings ? 0 : err_set(e, ERR_CANCELLED, "the asker is gone");
	}
	rc = buf_read_file(&text, t->settings_path, SETTINGS_MAX, e);
	if (rc == 0 && !(t->settings = json_parse(buf_str(&text), text.len, e)))
		rc = err_wrap(e, "%.200s", t->settings_path);
	buf_release(&text);
	return rc;
}

static int check_backend(const cJSON *settings, struct err *e)
{
	const char *asked = json_string_or(settings, "backend", "auto");

	if (strcmp(asked, own == GPU_CUDA ? "cpu" : "cuda") != 0)
		return 0;
	return err_set(e, ERR_USAGE, "setting backend: %s, and this is %s", asked, program);
}

/* Steps as they are asked for. 0 all done; 1 stopped; -1. */
static int learn_policy(struct train *t, const struct train_run_ops *ops, struct err *e)
{
	struct policy_run *r = policy_run_open(t->settings, t->resume, ops, e);
	unsigned want = 0;
	int rc = r ? 0 : -1;

	while (rc == 0 && !policy_run_done(r)) {
		want = wants(t, !t->asked && !(want & TRAIN_WANT_CHECKPOINT));
		if (want & TRAIN_WANT_CHECKPOINT)
			policy_run_save(r);
		if (want & TRAIN_WANT_STOP)
			rc = 1;
		if (rc != 0 || !t->asked)
			continue;
		rc = policy_run_learn(r, &t->batch, e);
		policy_batch_release(&t->batch);
		t->asked = false;
	}
	if (rc >= 0 && policy_run_end(r, e) < 0)
		rc = -1;
	policy_run_close(r);
	return rc;
}

static int learn_rows(struct train *t, const struct train_run_ops *ops, struct err *e)
{
	struct train_run *r = train_run_open(t->settings, t->resume, ops, e);
	int rc = r ? train_run_go(r, e) : -1;

	train_run_close(r);
	return rc;
}

/* 0 done or stopped; -1 failed. */
static int work(struct train *t, struct err *e)
{
	char device[96] = "CUDA";
	const struct train_run_ops ops = { .ctx = t,
		                           .program = program,
		                           .device = device,
		                           .open = TRAINER_OPEN,
		                           .event = on_event,
		                           .wants = wants };
	int rc;

#ifndef TRAIN_CUDA
	char blas[64];
	blas_about(blas);
	snprintf(device, sizeof(device), "CPU, %s", blas);
#endif
	rc = read_settings(t, e);
	if (e->kind == ERR_CANCELLED)
		return 0; /* nobody is there to be told */
	if (rc == 0 && (rc = check_backend(t->settings, e)) == 0)
		rc = t->policy ? learn_policy(t, &ops, e) : learn_rows(t, &ops, e);
	say_ended(t, rc < 0 ? "failed" : rc > 0 ? "stopped" : "done", e);
	return rc < 0 ? -1 : 0;
}

static void usage(void)
{
	fprintf(stderr,
	        "usage: %s --settings FILE.json [--resume]\n"
	        "       %s --grad MODEL ...\n"
	        "Else it is started by cadforge with a socket on fd 3; settings are told of in\n"
	        "gpu/train_settings.h, messages in gpu/train_wire.h.\n",
	        program, program);
}

static int flags(struct train *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--resume") == 0)
			t->resume = true;
		else if (strcmp(argv[i], "--settings") == 0 && i + 1 < argc)
			t->settings_path = argv[++i];
		else
			return -1;
	}
	return t->settings_path || (!t->resume && fcntl(DOOR, F_GETFD) >= 0) ? 0 : -1;
}

/* When memory runs out the kernel shall take us and not the workbench. */
static void first_to_go(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "600", 3) < 0)
		errno = 0; /* a system that does not let us: nothing is lost */
	close(fd);
}

static void on_signal(int number)
{
	int was = errno;

	(void)number;
	if (write(STOPS_IN, "", 1) < 0)
		errno = 0; /* full: it is known already */
	errno = was;
}

static int take_signals(struct err *e)
{
	static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0 || dup3(ends[0], STOPS, O_CLOEXEC) < 0 ||
	    dup3(ends[1], STOPS_IN, O_CLOEXEC) < 0)
		return err_errno(e, ERR_IO, "a pipe for signals");
	close(ends[0]);
	close(ends[1]);
	for (size_t i = 0; i < sizeof(stops) / sizeof(*stops); i++)
		sigaction(stops[i], &act, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct train t = { .stop = false };
	struct err e = { 0 };
	int rc;

#ifndef TRAIN_CUDA
	blas_start(argv);
	if (argc > 1 && strcmp(argv[1], "--bench") == 0)
		return train_bench_main(argc - 1, argv + 1);
#endif
	if (argc > 1 && strcmp(argv[1], "--grad") == 0)
		return train_grad_main(argc - 1, argv + 1, TRAINER_OPEN);
	if (flags(&t, argc, argv) < 0) {
		usage();
		return 2;
	}
	/* whoever started us may have asked that we die with it: we have a checkpoint to write */
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write over the limit fails like one on a full disk */
	if (take_signals(&e) < 0) {
		fprintf(stderr, "%s: %s\n", program, e.text);
		return 1;
	}
	if (!t.settings_path) {
		fcntl(DOOR, F_SETFL, fcntl(DOOR, F_GETFL) | O_NONBLOCK);
		t.in.json_max = TRAIN_JSON_MAX;
	}
	first_to_go();
	rc = work(&t, &e);
	cJSON_Delete(t.settings);
	policy_batch_release(&t.batch);
	frame_reader_release(&t.in);
	buf_release(&t.out);
	return rc == 0 ? 0 : err_exit_status(&e);
}
