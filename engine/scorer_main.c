/*
 * cadforge-scorer: the CAD kernel without Python, and a jailed child for every shape.
 *
 *     cadforge-scorer [--jobs N] [--unforked]
 *
 * Speaks frames (src/base/frame.h, engine/wire.h) on descriptor 3 and leaves when that is closed.
 * By hand: any program that gives it a socket pair.
 *
 * This process parses no stranger's bytes: shapes go to children (engine/nursery.h) as they came.
 * It does parse references, which come from cadforge itself, so that children forked later find
 * them in memory; spares forked before are let go.
 *
 * --unforked is for the bench alone: jobs run in this very process, one after the other, without
 * jail or child, which is the kernel's own time. Never give it a stranger's shape.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/nursery.h"
#include "engine/sandbox.h"
#include "engine/score_job.h"
#include "engine/serve.h"
#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/clock.h"

#define JOBS_MAX 64
#define LOG_KEPT (64u << 10)
#define LOG_MAX  (1u << 20)
/* what a child says about its shape: a few hundred figures, and sentences */
#define REPORT_MAX    (4u << 20)
#define REPORT_VALUES 50000
#define REPLY_MAX                                                                                  \
	(1200ull << 20) /* 5 million triangles as STL and GLB are 430 MB, and as much again while  \
	                 * they are written */

struct kept_reference {
	uint32_t id;
	bool is_exact;
	struct reference_set set;
	struct exact_reference exact;
	char error[200]; /* why it cannot be used; "" when it can */
};

/* What is kept of a job while a child works on it, to name the limit it hit. */
struct known_job {
	uint32_t id;
	double cpu_s; /* its limit */
	struct known_job *next;
};

struct scorer {
	struct sandbox *jail;
	struct sandbox_layers layers;
	struct nursery *nursery;
	struct kept_reference *ref;
	int n_ref;
	struct known_job *jobs;
	struct frame_reader in;
	struct buf out;
	int jobs_max;
	bool unforked;
};

static void send_json(struct scorer *sc, enum wire_type type, uint32_t job, cJSON *o,
                      const void *blob, size_t blob_len)
{
	struct buf text = { .secret = true };

	json_print(&text, o);
	frame_append(&sc->out, type, job, buf_str(&text), text.len, blob, blob_len);
	buf_release(&text);
	cJSON_Delete(o);
}

/* ---- references ---- */

static const struct kept_reference *reference_find(const struct scorer *sc, uint32_t id)
{
	for (int i = 0; i < sc->n_ref; i++)
		if (sc->ref[i].id == id)
			return &sc->ref[i];
	return NULL;
}

static void kept_reference_release(struct kept_reference *k)
{
	reference_release(&k->set);
	exact_reference_release(&k->exact);
}

/* A reference that cannot be used is remembered with its error: the jobs that name it get that. */
static void reference_take(struct scorer *sc, const struct frame *f)
{
	struct kept_reference k = { 0 };
	struct err e = { 0 };
	long long id = 0;

	cJSON *o = json_parse(f->json, f->json_len, &e);
	if (!o || json_get_int(o, "id", 1, UINT32_MAX, &id, &e) < 0) {
		cJSON_Delete(o);
		return; /* no job can name it */
	}
	k.is_exact = strcmp(json_string_or(o, "kind", "seed"), "exact") == 0;
	cJSON_Delete(o);
	k.id = (uint32_t)id;
	if ((k.is_exact ? exact_reference_parse(&k.exact, f->blob, f->blob_len, &e)
	                : reference_parse(&k.set, f->blob, f->blob_len, &e)) < 0)
		snprintf(k.error, sizeof(k.error), "reference %lld: %.150s", id, e.text);
	int at = 0;
	while (at < sc->n_ref && sc->ref[at].id != k.id)
		at++;
	if (at < sc->n_ref) {
		kept_reference_release(&sc->ref[at]);
	} else {
		struct kept_reference *more =
			realloc(sc->ref, sizeof(*more) * (size_t)(sc->n_ref + 1));
		if (!more) {
			kept_reference_release(&k);
			return;
		}
		sc->ref = more;
		sc->n_ref++;
	}
	sc->ref[at] = k;
	if (sc->nursery)
		nursery_refresh(sc->nursery);
}

/* What reference @id of that kind is (NULL: 0, none), or -1 with @why. */
static int reference_of_kind(const struct scorer *sc, uint32_t id, bool exact,
                             const struct kept_reference **out, char *why, size_t cap)
{
	*out = NULL;
	if (id == 0)
		return 0;
	const struct kept_reference *k = reference_find(sc, id);
	if (!k)
		snprintf(why, cap, "reference %u was never sent to this scorer", id);
	else if (k->error[0])
		snprintf(why, cap, "%s", k->error);
	else if (k->is_exact != exact)
		snprintf(why, cap, "reference %u is of the %s profiles", id,
		         k->is_exact ? "exact" : "seed");
	else
		*out = k;
	return *out ? 0 : -1;
}

/* Those a job asks for, or -1 with @why. */
static int references_for(const struct scorer *sc, const struct score_request *r,
                          struct score_references *out, char *why, size_t cap)
{
	const struct kept_reference *seed, *exact;

	if (reference_of_kind(sc, r->reference, false, &seed, why, cap) < 0 ||
	    reference_of_kind(sc, r->pictures.n ? r->pictures.reference : r->exact.reference, true,
	                      &exact, why, cap) < 0)
		return -1;
	out->seed = seed ? &seed->set : NULL;
	out->exact = exact ? &exact->exact : NULL;
	return 0;
}

/* ---- the child's side ---- */

static void child_run(void *ctx, const struct frame *f, const struct nursery_io *io)
{
	const struct scorer *sc = ctx;
	struct score_references refs;
	struct score_request r;
	struct buf json = { 0 }, blob = { 0 };
	struct err e = { 0 };
	char why[240] = "";

	if (score_request_parse(&r, f->json, f->json_len, &e) < 0 ||
	    references_for(sc, &r, &refs, why, sizeof(why)) < 0)
		nursery_cannot(e.text[0] ? e.text : why); /* the parent looked at both before */
	struct sandbox_limits limits = { .memory_bytes = (uint64_t)(r.memory_mib * 1048576.0),
		                         .cpu_s = r.cpu_s + 1,
		                         .file_bytes = REPLY_MAX };
	if (sc->jail && sandbox_enter(sc->jail, &limits, &e) < 0) {
		err_wrap(&e, "the jail");
		nursery_cannot(e.text);
	}
	nursery_began(io);
	if (score_job_run(&r, f->blob, f->blob_len, &refs, &json, &blob, &e) < 0) {
		static const char none[] =
			"{\"ok\":false,\"cause\":\"memory_limit\",\"error\":\"out of memory for the result; use a simpler shape\","
			"\"limit\":null,\"geometry\":null,\"figures\":null,\"exact\":null}";
		nursery_reply(io, none, sizeof(none) - 1, NULL, 0);
		return;
	}
	nursery_reply(io, json.data, json.len, blob.data, blob.len);
	/* no frees: the process ends here */
}

/* ---- the parent's side ---- */

static struct known_job **job_slot(struct scorer *sc, uint32_t id)
{
	struct known_job **p = &sc->jobs;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static cJSON *report_from_outside(const struct nursery_verdict *v, const struct known_job *j)
{
	double cpu_s = j ? j->cpu_s : NAN;
	char what[400];
	cJSON *o;

	switch (v->end) {
	case NURSERY_WALL:
		snprintf(
			what, sizeof(what),
			"the shape was not measured in %g s: this machine is too busy, or the shape is too heavy",
			wire_measure_wall_s(cpu_s));
		return score_failure("shape_limit", what, "score wall", wire_measure_wall_s(cpu_s),
		                     v->wall_s);
	case NURSERY_CPU:
		snprintf(
			what, sizeof(what),
			"the shape is too heavy: not measured in %g s of CPU time, the limit; use fewer faces, fewer "
			"free-form surfaces, or raise the limit",
			cpu_s);
		return score_failure("shape_limit", what, "score cpu", cpu_s, v->cpu_s);
	case NURSERY_SIGNALLED:
		/* not ours, and the jail lets no shape send it: an operator, or the system short of
		 * memory */
		if (v->status == SIGKILL)
			return score_failure("builder_lost",
			                     "the scorer's child was killed from outside", NULL,
			                     NAN, NAN);
		if (v->status == SIGXCPU)
			return score_failure(
				"shape_limit",
				"the shape is too heavy: its CPU time is used up; use a simpler shape",
				"score cpu", cpu_s, v->cpu_s);
		snprintf(
			what, sizeof(what),
			"the CAD kernel crashed (signal %d, SIG%s) on this shape; it is damaged: build it another way or export "
			"it again",
			v->status, sigabbrev_np(v->status) ? sigabbrev_np(v->status) : "unknown");
		return score_failure("crash", what, NULL, NAN, NAN);
	case NURSERY_OUTPUT:
		return score_failure(
			"crash",
			"the CAD kernel printed without end on this shape; it is damaged: export it again",
			NULL, NAN, NAN);
	case NURSERY_EXITED:
		snprintf(
			what, sizeof(what),
			"the CAD kernel ended its process (status %d) on this shape; it is damaged: export it again%s%.150s",
			v->status, v->error[0] ? ": " : "", v->error);
		return score_failure("crash", what, NULL, NAN, NAN);
	case NURSERY_CANCELLED:
		o = score_failure("cancelled", "cancelled", NULL, NAN, NAN);
		cJSON_AddStringToObject(o, "end", "cancelled");
		return o;
	case NURSERY_REPLIED:
	case NURSERY_LOST:
		break;
	}
	snprintf(what, sizeof(what), "the scorer could not run the job: %.240s", v->error);
	return score_failure("builder_lost", what, NULL, NAN, NAN);
}

/* A child that was taken over by its shape can say anything in words. It says it about itself
 * alone, and that the scorer was lost is not its to say. */
static bool reply_is_sound(const struct frame *reply, struct err *e)
{
	cJSON *o = json_parse_bounded(reply->json, reply->json_len, REPORT_VALUES, e);

	if (!o)
		return false;
	bool sound =
		cJSON_IsObject(o) && strcmp(json_string_or(o, "cause", "ok"), "builder_lost") != 0;
	cJSON_Delete(o);
	return sound || err_set(e, ERR_PROTOCOL, "its report is none") == 0;
}

static void job_done(void *ctx, const struct nursery_verdict *verdict)
{
	struct scorer *sc = ctx;
	struct nursery_verdict v = *verdict;
	struct known_job **slot = job_slot(sc, v.job), *j = *slot;
	struct err e = { 0 };

	if (v.end == NURSERY_REPLIED && !reply_is_sound(&v.reply, &e)) {
		v.end = NURSERY_EXITED;
		snprintf(v.error, sizeof(v.error), "%.200s", e.text);
	}
	if (v.end == NURSERY_REPLIED)
		frame_append(&sc->out, WIRE_RESULT, v.job, v.reply.json, v.reply.json_len,
		             v.reply.blob, v.reply.blob_len);
	else
		send_json(sc, WIRE_RESULT, v.job, report_from_outside(&v, j), NULL, 0);
	if (j) {
		*slot = j->next;
		free(j);
	}
}

static void job_log(void *ctx, uint32_t job, const char *stream, const void *bytes, size_t len)
{
	struct scorer *sc = ctx;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "stream", stream);
	send_json(sc, WIRE_LOG, job, o, bytes, len);
}

static void refuse(struct scorer *sc, uint32_t job, const char *cause, const char *why)
{
	send_json(sc, WIRE_RESULT, job, score_failure(cause, why, NULL, NAN, NAN), NULL, 0);
}

static void score_here(struct scorer *sc, const struct frame *f, const struct score_request *r,
                       const struct score_references *refs)
{
	struct buf json = { 0 }, blob = { 0 };
	struct err e = { 0 };

	if (score_job_run(r, f->blob, f->blob_len, refs, &json, &blob, &e) < 0)
		refuse(sc, f->job, "memory_limit", e.text);
	else
		frame_append(&sc->out, WIRE_RESULT, f->job, json.data, json.len, blob.data,
		             blob.len);
	buf_release(&json);
	buf_release(&blob);
}

static void take_score(struct scorer *sc, const struct frame *f)
{
	struct score_references refs;
	struct score_request r;
	struct err e = { 0 };
	char why[240];

	if (score_request_parse(&r, f->json, f->json_len, &e) < 0) {
		refuse(sc, f->job, "bad_input", e.text);
		return;
	}
	if (references_for(sc, &r, &refs, why, sizeof(why)) < 0) {
		refuse(sc, f->job, "bad_input", why);
		goto out;
	}
	if (sc->unforked) {
		score_here(sc, f, &r, &refs);
		goto out;
	}
	struct nursery_limits l = { .wall_s = wire_measure_wall_s(r.cpu_s),
		                    .under_way = (int)r.under_way,
		                    .cpu_s = r.cpu_s,
		                    .memory_bytes = (uint64_t)(r.memory_mib * 1048576.0),
		                    .file_bytes = REPLY_MAX,
		                    .reply_json_max = REPORT_MAX,
		                    .log_kept_bytes = LOG_KEPT,
		                    .log_max_bytes = LOG_MAX };
	struct known_job *j = calloc(1, sizeof(*j));
	if (j) {
		*j = (struct known_job){ f->job, r.cpu_s, sc->jobs };
		sc->jobs = j;
	}
	if (nursery_submit(sc->nursery, f, &l, &e) < 0) {
		if (j) {
			sc->jobs = j->next;
			free(j);
		}
		refuse(sc, f->job, "builder_lost", e.text);
	}
out:
	score_request_release(&r);
}

static int take_frames(void *ctx, struct err *e)
{
	struct scorer *sc = ctx;
	struct frame f;
	int more;

	while ((more = frame_next(&sc->in, &f, e)) > 0) {
		switch (f.type) {
		case WIRE_SCORE:
			take_score(sc, &f);
			break;
		case WIRE_REFERENCE:
			reference_take(sc, &f);
			break;
		case WIRE_CANCEL:
			if (sc->nursery)
				nursery_cancel(sc->nursery, f.job);
			break;
		default:
			return err_set(e, ERR_PROTOCOL, "a frame of type %u is not for the scorer",
			               f.type);
		}
	}
	return more;
}

/* ---- start ---- */

static int options(struct scorer *sc, int argc, char **argv, struct err *e)
{
	sc->jobs_max = (int)sysconf(_SC_NPROCESSORS_ONLN);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--unforked") == 0) {
			sc->unforked = true;
		} else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
			sc->jobs_max = atoi(argv[++i]);
			if (sc->jobs_max < 1 || sc->jobs_max > JOBS_MAX)
				return err_set(e, ERR_USAGE, "--jobs %s: 1 to %d was expected",
				               argv[i], JOBS_MAX);
		} else {
			return err_set(e, ERR_USAGE, "%s: not known; --jobs N and --unforked are",
			               argv[i]);
		}
	}
	if (sc->jobs_max < 1)
		sc->jobs_max = 1;
	if (sc->jobs_max > JOBS_MAX)
		sc->jobs_max = JOBS_MAX;
	return 0;
}

/* The pages that a job writes to are the child's own by the time it comes. */
static bool child_idle(void *ctx, int step)
{
	struct err e = { 0 };

	(void)ctx;
	(void)step;
	shape_warm_up(&e);
	return false;
}

static int begin(struct scorer *sc, struct err *e)
{
	/* a child opens no file: libraries and locale are loaded by now */
	static const char *const nothing[] = { NULL };
	const struct nursery_ops ops = { .ctx = sc,
		                         .child_idle = child_idle,
		                         .child_run = child_run,
		                         .log = job_log,
		                         .done = job_done };
	const struct sandbox_policy policy = { .read_only = nothing, .max_fds = 32 };

	if (shape_warm_up(e) < 0)
		return -1;
	if (sc->unforked)
		return 0;
	sc->jail = sandbox_prepare(&policy, e);
	if (!sc->jail)
		return -1;
	sc->nursery =
		nursery_open(&ops, sc->jail, sc->jobs_max < 4 ? sc->jobs_max : 4, sc->jobs_max, e);
	return sc->nursery ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct scorer sc = { .in.in.secret = true, .out.secret = true };
	struct err e = { 0 };
	double t0 = clock_now_s();

	if (options(&sc, argc, argv, &e) < 0) {
		fprintf(stderr, "cadforge-scorer: %s\n", e.text);
		return 2;
	}
	int rc = serve_begin("cadforge-scorer");
	if (rc)
		return rc;
	sandbox_probe(&sc.layers);
	if (begin(&sc, &e) < 0) {
		serve_say_ready(&sc.out, "cadforge-scorer", NULL, 0, &sc.layers, &e);
		return 3;
	}
	serve_say_ready(&sc.out, "cadforge-scorer", shape_kernel_version(), clock_now_s() - t0,
	                &sc.layers, NULL);
	const struct serve loop = { .in = &sc.in,
		                    .out = &sc.out,
		                    .nursery = &sc.nursery,
		                    .ctx = &sc,
		                    .take_frames = take_frames };
	rc = serve_loop(&loop, &e);
	if (rc < 0 && e.kind != ERR_LOST)
		fprintf(stderr, "cadforge-scorer: %s\n", e.text);
	nursery_close(sc.nursery);
	for (int i = 0; i < sc.n_ref; i++)
		kept_reference_release(&sc.ref[i]);
	free(sc.ref);
	while (sc.jobs) {
		struct known_job *next = sc.jobs->next;
		free(sc.jobs);
		sc.jobs = next;
	}
	frame_reader_release(&sc.in);
	buf_release(&sc.out);
	sandbox_free(sc.jail);
	return rc < 0 ? 1 : 0;
}
