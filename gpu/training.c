#include "gpu/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/door.h"
#include "gpu/train_wire.h"
#include "gpu/training_inside.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/spawn.h"

enum { CLOSE_S = 60 };
static const char program_cpu[] = "cadforge-train", program_cuda[] = "cadforge-train-cuda";

struct training {
	struct training_ops ops;
	char *libexec;
	enum gpu_backend backend;
	struct helper program;
	bool cuda; /* the program that runs is cadforge-train-cuda */
	bool ready, over;
	struct buf begin; /* the first frame: sent again to the program that stands in */
	struct frame_reader in;
	struct buf out;
};

static bool has_program(const struct training *t, const char *name)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", t->libexec, name);
	return access(path, X_OK) == 0;
}

static int start(struct training *t, bool cuda, struct err *e)
{
	char path[4200];
	const char *env[DOOR_ENV_MAX + 1], *argv[] = { path, NULL };

	t->cuda = cuda;
	snprintf(path, sizeof(path), "%s/%s", t->libexec, cuda ? program_cuda : program_cpu);
	if (cuda && !has_program(t, program_cuda))
		return err_set(e, ERR_LACKS,
		               "%s is not there: this build has no CUDA half; configure it where "
		               "nvcc is, or take --backend cpu",
		               path);
	door_environment(env);
	if (helper_start(&t->program, argv, env, false, e) < 0)
		return -1;
	buf_add(&t->out, t->begin.data, t->begin.len);
	return 0;
}

static void let_go(struct training *t)
{
	frame_reader_release(&t->in);
	t->in = (struct frame_reader){ .json_max = TRAIN_JSON_MAX };
	buf_release(&t->out);
}

static void end(struct training *t, const char *outcome, enum err_kind kind, const char *error)
{
	if (t->over)
		return;
	t->over = true;
	t->ops.ended(t->ops.ctx, outcome, kind, error);
}

/* cadforge-train does what cadforge-train-cuda cannot. */
static void stand_in(struct training *t, const char *because)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };
	struct err e = { 0 };

	helper_stop(&t->program, 1);
	let_go(t);
	buf_printf(&text, "on the CPU, since %s cannot: %s", program_cuda, because);
	cJSON_AddNumberToObject(o, "step", 0);
	cJSON_AddStringToObject(o, "text", buf_str(&text));
	t->ops.event(t->ops.ctx, "note", o);
	cJSON_Delete(o);
	buf_release(&text);
	if (start(t, false, &e) < 0)
		end(t, "failed", e.kind, e.text);
}

/* 0; 1: what follows is another program's, or nothing. */
static int on_ended(struct training *t, const cJSON *o)
{
	const char *outcome = json_string_or(o, "outcome", "failed");
	const char *error = json_string_or(o, "error", NULL);
	enum err_kind kind = error ? door_error_kind(json_string_or(o, "kind", "")) : ERR_NONE;

	if (t->cuda && t->backend == GPU_AUTO && !t->ready && kind == ERR_LACKS) {
		stand_in(t, error);
		return 1;
	}
	if (strcmp(outcome, "done") != 0 && strcmp(outcome, "stopped") != 0) {
		outcome = "failed";
		error = error ? error : "the training program says no more";
		kind = kind ? kind : ERR_IO;
	}
	/* it leaves by itself; its last words are said */
	helper_stop(&t->program, 5);
	end(t, outcome, kind, error);
	return 1;
}

static void died(struct training *t)
{
	char how[64] = "", text[300];
	struct pollfd p = { .fd = t->program.pidfd, .events = POLLIN };

	poll(&p, 1, 2000);
	if (!helper_gone(&t->program, how, sizeof(how)))
		helper_stop(&t->program, 0);
	if (t->cuda && t->backend == GPU_AUTO && !t->ready) {
		snprintf(text, sizeof(text), "it died before it was ready (%s)", how);
		stand_in(t, text);
		return;
	}
	snprintf(text, sizeof(text),
	         "the training program died%s (%s%s); what was learnt since the last checkpoint is "
	         "lost, resume goes on from there",
	         t->ready ? "" : " before it was ready", *how ? how : "it closed its connection",
	         strstr(how, "signal 9") ? "; out of memory?" : "");
	end(t, "failed", ERR_LOST, text);
}

static void nonsense(struct training *t, const struct err *said)
{
	char text[560];

	helper_stop(&t->program, 0);
	snprintf(text, sizeof(text), "the training program spoke nonsense and was ended: %s",
	         said->text);
	end(t, "failed", ERR_PROTOCOL, text);
}

/* As on_ended(); -1: no message of ours. */
static int on_frame(struct training *t, const struct frame *f, struct err *e)
{
	static const struct {
		uint32_t type;
		const char *event;
	} kinds[] = { { TRAIN_READY, "ready" },
		      { TRAIN_STEP, "step" },
		      { TRAIN_EVAL, "eval" },
		      { TRAIN_SAVED, "checkpoint" },
		      { TRAIN_NOTE, "note" } };
	cJSON *o = json_parse(f->json, f->json_len, e);
	int rc = -1;

	if (!o)
		return -1;
	if (!cJSON_IsObject(o)) {
		err_set(e, ERR_PROTOCOL, "a message that is no object");
	} else if (f->type == TRAIN_ENDED) {
		rc = on_ended(t, o);
	} else {
		err_set(e, ERR_PROTOCOL, "a message of type %u", f->type);
		t->ready |= f->type == TRAIN_READY;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
			if (kinds[i].type == f->type) {
				t->ops.event(t->ops.ctx, kinds[i].event, o);
				rc = 0;
			}
	}
	cJSON_Delete(o);
	return rc;
}

/* Reads all that is there now. */
static void listen(struct training *t)
{
	struct err e = { 0 };
	struct frame f;
	int rc;

	for (;;) {
		while ((rc = frame_next(&t->in, &f, &e)) > 0) {
			rc = on_frame(t, &f, &e);
			if (rc < 0)
				nonsense(t, &e);
			if (rc != 0)
				return;
		}
		if (rc < 0) {
			nonsense(t, &e);
			return;
		}
		ssize_t n = frame_fill(&t->in, t->program.fd, &e);
		if (n == -2)
			return;
		if (n <= 0) {
			died(t);
			return;
		}
	}
}

static void put(struct training *t, uint32_t type, cJSON *o)
{
	struct buf text = { 0 };

	if (!t->over && t->program.pid > 0) {
		json_print(&text, o);
		frame_append(&t->out, type, 0, buf_str(&text), text.len, NULL, 0);
		/* now: the caller may be about to wait for something else */
		frame_flush(&t->out, t->program.fd, NULL);
	}
	buf_release(&text);
	cJSON_Delete(o);
}

void training_pause(struct training *t, bool paused)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "paused", paused);
	put(t, TRAIN_PAUSE, o);
}

void training_checkpoint(struct training *t)
{
	put(t, TRAIN_CHECKPOINT, cJSON_CreateObject());
}

void training_stop(struct training *t)
{
	put(t, TRAIN_STOP, cJSON_CreateObject());
}

int training_poll_fds(struct training *t, struct pollfd *out, int cap)
{
	if (t->over || t->program.pid <= 0 || cap < 1)
		return 0;
	out[0] = (struct pollfd){ .fd = t->program.fd,
		                  .events = (short)(POLLIN | (t->out.len ? POLLOUT : 0)) };
	return 1;
}

int training_step(struct training *t, struct err *e)
{
	(void)e;
	if (t->over)
		return 0;
	/* a line that is broken is told by reading from it */
	if (t->out.len > 0)
		frame_flush(&t->out, t->program.fd, NULL);
	listen(t);
	return 0;
}

bool training_over(const struct training *t)
{
	return t->over;
}

static int first_frame(struct training *t, const cJSON *settings, bool resume, bool policy,
                       struct err *e)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };
	int rc = 0;

	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(settings, true));
	cJSON_AddBoolToObject(o, "resume", resume);
	cJSON_AddBoolToObject(o, "policy", policy);
	json_print(&text, o);
	cJSON_Delete(o);
	if (text.len > TRAIN_JSON_MAX)
		rc = err_set(e, ERR_INPUT, "settings of %zu bytes", text.len);
	frame_append(&t->begin, TRAIN_BEGIN, 0, buf_str(&text), text.len, NULL, 0);
	if (rc == 0 && (buf_failed(&text) || buf_failed(&t->begin)))
		rc = err_set(e, ERR_MEM, "out of memory");
	buf_release(&text);
	return rc;
}

int training_send(struct training *t, const struct buf *frame, struct err *e)
{
	if (t->over || t->program.pid <= 0)
		return 0;
	buf_add(&t->out, frame->data, frame->len);
	if (buf_failed(&t->out))
		return err_set(e, ERR_MEM, "no memory for a message of %zu bytes", frame->len);
	frame_flush(&t->out, t->program.fd, NULL);
	return 0;
}

struct training *training_open(const char *libexec_dir, enum gpu_backend backend,
                               const cJSON *settings, bool resume, const struct training_ops *ops,
                               struct err *e)
{
	return training_start(libexec_dir, backend, settings, resume, false, ops, e);
}

struct training *training_start(const char *libexec_dir, enum gpu_backend backend,
                                const cJSON *settings, bool resume, bool policy,
                                const struct training_ops *ops, struct err *e)
{
	const char *asked = json_string_or(settings, "backend", "auto");
	struct training *t = calloc(1, sizeof(*t));

	if (!t || !(t->libexec = strdup(libexec_dir))) {
		free(t);
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	t->ops = *ops;
	t->program = (struct helper){ .fd = -1, .pidfd = -1 };
	t->in.json_max = TRAIN_JSON_MAX;
	t->backend = backend != GPU_AUTO          ? backend
	             : strcmp(asked, "cpu") == 0  ? GPU_CPU
	             : strcmp(asked, "cuda") == 0 ? GPU_CUDA
	                                          : GPU_AUTO;
	if (first_frame(t, settings, resume, policy, e) == 0 &&
	    start(t,
	          t->backend == GPU_CUDA ||
	                  (t->backend == GPU_AUTO && has_program(t, program_cuda)),
	          e) == 0)
		return t;
	training_close(t);
	return NULL;
}

void training_close(struct training *t)
{
	if (!t)
		return;
	/* the end of the line is a stop with a checkpoint */
	helper_stop(&t->program, CLOSE_S);
	let_go(t);
	buf_release(&t->begin);
	free(t->libexec);
	free(t);
}
