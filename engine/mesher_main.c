/*
 * cadforge-mesher: the mesher of the kernel in CadQuery's wheel, without Python, and a jailed child
 * for every shape.
 *
 *     cadforge-mesher [--jobs N] [--python-env DIR]
 *
 * Speaks frames (src/base/frame.h, engine/wire.h) on descriptor 3 and leaves when that is closed.
 * It answers WIRE_CONVERT to "mesh" as the builder does, whose child for it is a fork of some 300
 * MB that takes longer to make and to end than a small part takes to mesh. Where the wheel is not
 * as it must be, READY says so and the builder is asked instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/nursery.h"
#include "engine/sandbox.h"
#include "engine/serve.h"
#include "engine/wheel.h"
#include "engine/wire.h"
#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/base/json.h"

#define JOBS_MAX   64
#define LOG_KEPT   (64u << 10)
#define LOG_MAX    (1u << 20)
#define REPORT_MAX (64u << 10)
#define MIB        1048576.0
/* triangles as they lie in a BREP: some 60 bytes each, of five million and more */
#define REPLY_MAX (640ull << 20)

struct mesher {
	struct wheel *wheel;
	struct sandbox *jail;
	struct sandbox_layers layers;
	struct nursery *nursery;
	struct frame_reader in;
	struct buf out;
	int jobs_max;
	const char *python_env;
};

struct request {
	double linear, angular, wall_s, cpu_s, memory_mib, under_way;
};

static int request_parse(struct request *r, const struct frame *f, struct err *e)
{
	cJSON *o = json_parse(f->json, f->json_len, e);
	int rc = -1;

	if (o && strcmp(json_string_or(o, "to", ""), "mesh") != 0)
		err_set(e, ERR_INPUT, "to: only \"mesh\" is made here");
	else if (o && json_get_number_between(o, "linear", 0.1, 1e-6, 1e6, &r->linear, e) == 0 &&
	         json_get_number_between(o, "angular", 0.1, 1e-4, 10, &r->angular, e) == 0 &&
	         json_get_number_between(o, "wall_s", 10, 0.001, 86400, &r->wall_s, e) == 0 &&
	         json_get_number_between(o, "cpu_s", r->wall_s, 0.001, 86400, &r->cpu_s, e) == 0 &&
	         json_get_number_between(o, "under_way", 0, 0, 1e6, &r->under_way, e) == 0 &&
	         json_get_number_between(o, "memory_mib", 2048, 1, 1 << 20, &r->memory_mib, e) == 0)
		rc = 0;
	cJSON_Delete(o);
	return rc < 0 ? err_wrap(e, "mesh request") : 0;
}

static cJSON *report(const char *cause, const char *error, double seconds)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "ok", !error);
	cJSON_AddStringToObject(o, "cause", cause);
	json_add_text(o, "error", error);
	json_add_figure(cJSON_AddObjectToObject(o, "seconds"), "total", seconds);
	return o;
}

/* ---- the child's side ---- */

static bool child_idle(void *ctx, int step)
{
	const struct mesher *m = ctx;

	(void)step;
	wheel_rehearse(m->wheel);
	return false;
}

static void child_run(void *ctx, const struct frame *f, const struct nursery_io *io)
{
	const struct mesher *m = ctx;
	struct request r;
	struct buf json = { 0 }, blob = { 0 };
	struct err e = { 0 };

	if (request_parse(&r, f, &e) < 0)
		nursery_cannot(e.text); /* the parent looked at it before */
	struct sandbox_limits limits = { .memory_bytes = (uint64_t)(r.memory_mib * MIB),
		                         .cpu_s = r.cpu_s + 1,
		                         .file_bytes = REPLY_MAX };
	if (m->jail && sandbox_enter(m->jail, &limits, &e) < 0) {
		err_wrap(&e, "the jail");
		nursery_cannot(e.text);
	}
	nursery_began(io);
	double start = clock_now_s();
	int rc = wheel_mesh(m->wheel, f->blob, f->blob_len, r.linear, r.angular, &blob, &e);
	const char *cause = rc == 0 ? "ok" : e.kind == ERR_MEM ? "memory_limit" : "kernel_error";
	if (rc < 0)
		buf_release(&blob);
	json_print(&json, report(cause, rc < 0 ? e.text : NULL, clock_now_s() - start));
	nursery_reply(io, buf_str(&json), json.len, blob.data, blob.len);
	/* no frees: the process ends here */
}

/* ---- the parent's side ---- */

static void send_json(struct mesher *m, enum wire_type type, uint32_t job, cJSON *o)
{
	struct buf text = { .secret = true };

	json_print(&text, o);
	frame_append(&m->out, type, job, buf_str(&text), text.len, NULL, 0);
	buf_release(&text);
	cJSON_Delete(o);
}

static void refuse(struct mesher *m, uint32_t job, const char *cause, const char *why)
{
	send_json(m, WIRE_RESULT, job, report(cause, why, NAN));
}

/* What a child says of itself, when it is no report of ours. */
static bool reply_is_sound(const struct frame *reply)
{
	struct err e = { 0 };
	cJSON *o = json_parse_bounded(reply->json, reply->json_len, 64, &e);
	bool sound =
		cJSON_IsObject(o) && strcmp(json_string_or(o, "cause", ""), "builder_lost") != 0;

	cJSON_Delete(o);
	return sound;
}

static void job_done(void *ctx, const struct nursery_verdict *v)
{
	struct mesher *m = ctx;
	char what[400];

	switch (v->end) {
	case NURSERY_REPLIED:
		if (!reply_is_sound(&v->reply)) {
			refuse(m, v->job, "crash",
			       "the report on the triangles is none: the shape is damaged");
			return;
		}
		frame_append(&m->out, WIRE_RESULT, v->job, v->reply.json, v->reply.json_len,
		             v->reply.blob, v->reply.blob_len);
		return;
	case NURSERY_WALL:
	case NURSERY_CPU:
		snprintf(
			what, sizeof(what),
			"the shape is too heavy: not meshed after %.1f s, the limit; use fewer faces, fewer "
			"free-form surfaces, or raise the limit",
			v->wall_s);
		refuse(m, v->job, "wall_limit", what);
		return;
	case NURSERY_SIGNALLED:
		if (v->status == SIGKILL) {
			refuse(m, v->job, "builder_lost",
			       "the mesher's child was killed from outside");
			return;
		}
		snprintf(
			what, sizeof(what),
			"the CAD kernel crashed (signal %d, SIG%s) meshing this shape; it is damaged: build "
			"it another way",
			v->status, sigabbrev_np(v->status) ? sigabbrev_np(v->status) : "unknown");
		refuse(m, v->job, "crash", what);
		return;
	case NURSERY_EXITED:
	case NURSERY_OUTPUT:
		snprintf(
			what, sizeof(what),
			"the CAD kernel ended its process meshing this shape; it is damaged: build "
			"it another way%s%.150s",
			v->error[0] ? ": " : "", v->error);
		refuse(m, v->job, "crash", what);
		return;
	case NURSERY_CANCELLED:
		refuse(m, v->job, "cancelled", "cancelled");
		return;
	case NURSERY_LOST:
		break;
	}
	snprintf(what, sizeof(what), "the mesher could not run the job: %.240s", v->error);
	refuse(m, v->job, "builder_lost", what);
}

static void take_mesh(struct mesher *m, const struct frame *f)
{
	struct request r;
	struct err e = { 0 };

	if (request_parse(&r, f, &e) < 0) {
		refuse(m, f->job, "bad_input", e.text);
		return;
	}
	struct nursery_limits l = { .wall_s = r.wall_s,
		                    .cpu_s = r.cpu_s,
		                    .under_way = (int)r.under_way,
		                    .memory_bytes = (uint64_t)(r.memory_mib * MIB),
		                    .file_bytes = REPLY_MAX,
		                    .reply_json_max = REPORT_MAX,
		                    .log_kept_bytes = LOG_KEPT,
		                    .log_max_bytes = LOG_MAX };
	if (nursery_submit(m->nursery, f, &l, &e) < 0)
		refuse(m, f->job, "builder_lost", e.text);
}

static int take_frames(void *ctx, struct err *e)
{
	struct mesher *m = ctx;
	struct frame f;
	int more;

	while ((more = frame_next(&m->in, &f, e)) > 0) {
		if (f.type == WIRE_CONVERT)
			take_mesh(m, &f);
		else if (f.type == WIRE_CANCEL)
			nursery_cancel(m->nursery, f.job);
		else
			return err_set(e, ERR_PROTOCOL, "a frame of type %u is not for the mesher",
			               f.type);
	}
	return more;
}

/* ---- start ---- */

static int options(struct mesher *m, int argc, char **argv, struct err *e)
{
	m->jobs_max = (int)sysconf(_SC_NPROCESSORS_ONLN);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--python-env") == 0 && i + 1 < argc) {
			m->python_env = argv[++i];
		} else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
			m->jobs_max = atoi(argv[++i]);
			if (m->jobs_max < 1 || m->jobs_max > JOBS_MAX)
				return err_set(e, ERR_USAGE, "--jobs %s: 1 to %d was expected",
				               argv[i], JOBS_MAX);
		} else {
			return err_set(e, ERR_USAGE,
			               "%s: not known; --jobs N and --python-env DIR are", argv[i]);
		}
	}
	if (m->jobs_max < 1)
		m->jobs_max = 1;
	if (m->jobs_max > JOBS_MAX)
		m->jobs_max = JOBS_MAX;
	return 0;
}

static int begin(struct mesher *m, struct err *e)
{
	/* a child opens no file: the libraries are loaded by now */
	static const char *const nothing[] = { NULL };
	const struct nursery_ops ops = {
		.ctx = m, .child_idle = child_idle, .child_run = child_run, .done = job_done
	};
	const struct sandbox_policy policy = { .read_only = nothing, .max_fds = 32 };
	char dir[4096];

	if (wheel_find(dir, sizeof(dir), m->python_env, e) < 0)
		return -1;
	m->wheel = wheel_open(dir, e);
	if (!m->wheel)
		return -1;
	m->jail = sandbox_prepare(&policy, e);
	if (!m->jail)
		return -1;
	m->nursery = nursery_open(&ops, m->jail, m->jobs_max < 4 ? m->jobs_max : 4, m->jobs_max, e);
	return m->nursery ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct mesher m = { .in.in.secret = true, .out.secret = true };
	struct err e = { 0 };
	double t0 = clock_now_s();

	if (options(&m, argc, argv, &e) < 0) {
		fprintf(stderr, "cadforge-mesher: %s\n", e.text);
		return 2;
	}
	int rc = serve_begin("cadforge-mesher");
	if (rc)
		return rc;
	sandbox_probe(&m.layers);
	if (begin(&m, &e) < 0) {
		serve_say_ready(&m.out, "cadforge-mesher", NULL, 0, &m.layers, &e);
		return 3;
	}
	serve_say_ready(&m.out, "cadforge-mesher", wheel_version(m.wheel), clock_now_s() - t0,
	                &m.layers, NULL);
	const struct serve loop = { .in = &m.in,
		                    .out = &m.out,
		                    .nursery = &m.nursery,
		                    .ctx = &m,
		                    .take_frames = take_frames };
	rc = serve_loop(&loop, &e);
	if (rc < 0 && e.kind != ERR_LOST)
		fprintf(stderr, "cadforge-mesher: %s\n", e.text);
	nursery_close(m.nursery);
	frame_reader_release(&m.in);
	buf_release(&m.out);
	sandbox_free(m.jail);
	wheel_close(m.wheel);
	return rc < 0 ? 1 : 0;
}
