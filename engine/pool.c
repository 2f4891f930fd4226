/*
 * pool.c - the asker's side of the engine: three helper programs, the jobs given to them, and what
 * to do when one dies.
 *
 * A job is kept as the frame that was sent until its RESULT has come. When a program dies, it is
 * started again and its jobs are sent once more; a job that loses two programs in a row is answered
 * builder_lost. While the builder runs it also keeps an heir: a warm copy of itself, forked, that
 * waits on a socket of its own (WIRE_HEIR), so that a builder that is killed is replaced in the
 * time of a fork instead of the second that importing CadQuery takes.
 */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/spawn.h"
#include "src/base/utf8.h"
#include "src/base/clock.h"

#define JSON_MAX          (16u << 20)
#define START_S           60.0 /* a program that is not ready by then is killed */
#define SILENCE_S         20.0 /* beyond a job's own limits; then the program is taken for hung */
#define RESTARTS_IN_A_ROW 5
#define PREPARE_S         60.0

/* by enum shape_format */
static const char *const shape_format_name[] = { "brep", "stl", "glb" };

/* A measurement of a BREP with figures of its mesh is three jobs: the scorer measures the B-rep
 * while the mesher, with the kernel version that programs run on, meshes it (where it cannot work,
 * the builder does, in a child that runs no program); then the scorer takes the figures of that
 * mesh. (Triangle counts differ between
 * kernel versions; the published figures are those of the newer one.) */
enum part { PART_NONE, PART_GEOMETRY, PART_MESH, PART_FIGURES };

struct measuring {
	uint32_t id;
	struct shape_request request; /* bytes are not kept */
	struct shape_report report;
	int waiting; /* parts that have not answered */
	double started;
};

struct job {
	uint32_t id, type;
	struct measuring *whole; /* or NULL */
	enum part part;
	struct buf frame; /* as sent */
	struct buf more;  /* frames that follow it, of a watched program that was not sent yet */
	int losses;
	bool sent, cancelled, prepare;
	double limit_s;
	enum dialect dialect;
	struct buf log, log_partial[2];
	struct job *next;
};

struct program {
	const char *name;
	struct helper helper;
	struct frame_reader in;
	struct buf out;
	bool ready;
	double started, heard;
	int deaths_in_a_row;
	cJSON *info;
	struct job *first, **last;
	/* the builder's heir */
	int heir_fd;
	pid_t heir_pid;
	bool heir_asked;
};

struct kept_reference {
	struct buf bytes;
	bool exact, sent;
};

struct engine {
	struct engine_ops ops;
	char libexec[4096], python_env[4096], jobs_text[16];
	bool quiet, has_python_env, unjailed;
	struct program builder, scorer, mesher;
	bool no_mesher; /* it cannot work here: the builder meshes */
	struct kept_reference *ref;
	int n_ref;
	uint32_t next_job;
	int restarts;
};

void build_release(struct build *b)
{
	free(b->error);
	free(b->exception);
	free(b->source);
	free(b->traceback);
	buf_release(&b->brep);
	buf_release(&b->log);
	cJSON_Delete(b->facts);
	cJSON_Delete(b->refused);
	*b = (struct build){ 0 };
}

void shape_report_release(struct shape_report *r)
{
	free(r->error);
	cJSON_Delete(r->geometry);
	cJSON_Delete(r->exact);
	buf_release(&r->stl);
	buf_release(&r->glb);
	for (int i = 0; i < r->n_pictures; i++)
		buf_release(&r->pictures[i].png);
	free(r->pictures);
	*r = (struct shape_report){ 0 };
}

/* ---- jobs ---- */

static void job_free(struct job *j)
{
	buf_release(&j->frame);
	buf_release(&j->more);
	buf_release(&j->log);
	buf_release(&j->log_partial[0]);
	buf_release(&j->log_partial[1]);
	free(j);
}

static struct job **job_find(struct program *p, uint32_t id)
{
	for (struct job **j = &p->first; *j; j = &(*j)->next)
		if ((*j)->id == id)
			return j;
	return NULL;
}

/* Takes it off the list; the caller frees it. */
static struct job *job_unlink(struct program *p, struct job **at)
{
	struct job *j = *at;

	*at = j->next;
	if (p->last == &j->next)
		p->last = at;
	j->next = NULL;
	return j;
}

/* One line, unless @lines. */
static char *clean(const char *s, bool lines)
{
	struct buf b = { 0 };

	if (!s)
		return NULL;
	if (lines)
		utf8_clean(&b, s, strlen(s));
	else
		utf8_clean_line(&b, s, strlen(s));
	return buf_take(&b, NULL);
}

static char *clean_text(const cJSON *o, const char *key)
{
	return clean(json_string_or(o, key, NULL), false);
}

/* Every string and key in a tree that a child wrote. False when memory ran out. */
static bool clean_tree(cJSON *v)
{
	char **const texts[2] = { &v->valuestring, &v->string };

	for (int i = 0; i < 2; i++) {
		if (!*texts[i])
			continue;
		char *s = clean(*texts[i], false);
		if (!s)
			return false;
		cJSON_free(*texts[i]);
		*texts[i] = s;
	}
	for (cJSON *c = v->child; c; c = c->next)
		if (!clean_tree(c))
			return false;
	return true;
}

/* An object of @o, taken out of it and cleaned; NULL when there is none. */
static cJSON *take_tree(cJSON *o, const char *key)
{
	cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!cJSON_IsObject(v))
		return NULL;
	v = cJSON_DetachItemViaPointer(o, v);
	if (!clean_tree(v)) {
		cJSON_Delete(v);
		return NULL;
	}
	return v;
}

/* {syscall: count}: what is no such thing is left out. */
static cJSON *take_refused(const cJSON *o)
{
	const cJSON *x;
	cJSON *out = cJSON_CreateObject();
	int n = 0;

	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "refused"))
	{
		size_t len = x->string ? strlen(x->string) : 0;
		bool name = len > 0 && len <= 32 &&
		            strspn(x->string, "abcdefghijklmnopqrstuvwxyz0123456789_ ") == len;
		if (name && cJSON_IsNumber(x) && x->valuedouble >= 0 && x->valuedouble <= 1e9 &&
		    x->valuedouble == floor(x->valuedouble) && n++ < 64)
			cJSON_AddNumberToObject(out, x->string, x->valuedouble);
	}
	return out;
}

static double bounded(const cJSON *o, const char *key, double max)
{
	double v = json_number_or(o, key, 0);

	return v >= 0 && v <= max ? v : v > max ? max : 0;
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void read_limit(struct limit_hit *l, const cJSON *o)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "limit");

	l->limit = l->used = NAN;
	if (!cJSON_IsObject(v))
		return;
	const char *name = json_string_or(v, "name", "");
	static const char *const known[] = { "wall",      "cpu",      "memory",    "output",
		                             "brep",      "faces",    "triangles", "score wall",
		                             "score cpu", "processes" };
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(name, known[i]) == 0)
			snprintf(l->name, sizeof(l->name), "%s", name);
	l->limit = json_number_or(v, "limit", NAN);
	l->used = json_number_or(v, "used", NAN);
}

/* ---- what came back ---- */

/* The report on a program, of which log and blob are not part. */
static struct build build_of(const struct job *j, const struct frame *f, const char *lost)
{
	struct build b = { .cause = CAUSE_BUILDER_LOST, .dialect = j->dialect };
	struct err e = { 0 };
	cJSON *o = f ? json_parse(f->json, f->json_len, &e) : NULL;

	b.limit.limit = b.limit.used = NAN;
	if (!o) {
		b.error = copy(lost ? lost : e.text);
		return b;
	}
	const char *cause = json_string_or(o, "cause", "");
	b.ok = json_bool_or(o, "ok", false);
	if (build_cause_parse(cause, &b.cause) < 0)
		b.cause = CAUSE_CRASH;
	if (b.ok != (b.cause == CAUSE_OK)) { /* only a forged reply says such a thing */
		b.ok = false;
		b.cause = CAUSE_CRASH;
	}
	b.error = clean_text(o, "error");
	b.exception = clean_text(o, "exception");
	b.source = clean_text(o, "source");
	b.traceback = clean(json_string_or(o, "traceback", NULL), true);
	b.line = (int)bounded(o, "line", 1e9);
	b.column = (int)bounded(o, "column", 1e9);
	b.statements_done = (int)bounded(o, "statements_done", 1e9);
	b.statements_all = (int)bounded(o, "statements_all", 1e9);
	b.seconds = bounded(o, "seconds", 1e6);
	b.cpu_s = bounded(o, "cpu_s", 1e6);
	b.peak_mib = bounded(o, "peak_mib", 1e9);
	b.log_bytes = (long long)bounded(o, "log_bytes", 1e15);
	b.log_dropped = (long long)bounded(o, "log_dropped", 1e15);
	b.no_triangles = json_bool_or(o, "no_triangles", false);
	read_limit(&b.limit, o);
	b.facts = take_tree(o, "facts");
	b.refused = take_refused(o);
	cJSON_Delete(o);
	return b;
}

static void job_built(struct engine *en, struct job *j, const struct frame *f, const char *lost)
{
	struct build b = build_of(j, f, lost);

	if (b.ok)
		buf_add(&b.brep, f->blob, f->blob_len);
	for (int i = 0; i < 2; i++)
		utf8_clean(&j->log, buf_str(&j->log_partial[i]), j->log_partial[i].len);
	b.log = j->log;
	j->log = (struct buf){ 0 };
	en->ops.built(en->ops.ctx, j->id, &b);
	build_release(&b);
}

static void job_watched(struct engine *en, const struct job *j, const struct frame *f,
                        const char *lost)
{
	struct build b = build_of(j, f, lost);
	struct watch_sight w = { .over = &b, .statements = b.statements_done };
	struct err e = { 0 };
	cJSON *o = f ? json_parse(f->json, f->json_len, &e) : NULL;

	char *name = clean_text(o, "name");
	w.name = name;
	w.name_line = (int)bounded(o, "name_line", 1e9);
	w.cut_line = (int)bounded(o, "cut_line", 1e9);
	cJSON_Delete(o);
	if (en->ops.watched)
		en->ops.watched(en->ops.ctx, j->id, &w);
	build_release(&b);
	free(name);
}

/* A notice on a watched program. */
static void job_seen(struct engine *en, const struct job *j, const struct frame *f)
{
	struct err e = { 0 };
	cJSON *o = json_parse(f->json, f->json_len, &e);

	if (!o || j->cancelled || j->type != WIRE_WATCH) {
		cJSON_Delete(o);
		return;
	}
	char *name = clean_text(o, "name"), *shape_name = clean_text(o, "shape_name");
	cJSON *facts = take_tree(o, "facts");
	struct watch_sight w = {
		.statements = (int)bounded(o, "statements", 1e9),
		.line = (int)bounded(o, "line", 1e9),
		.name = name,
		.name_line = (int)bounded(o, "name_line", 1e9),
		.shape_name = f->blob_len ? shape_name : NULL,
		.shape_line = (int)bounded(o, "shape_line", 1e9),
		.brep = f->blob_len ? f->blob : NULL,
		.brep_len = f->blob_len,
		.facts = facts,
	};
	if (en->ops.watched)
		en->ops.watched(en->ops.ctx, j->id, &w);
	cJSON_Delete(facts);
	cJSON_Delete(o);
	free(name);
	free(shape_name);
}

/* The exact profiles' figures, when they are such: a child speaks of its own shape alone, but what
 * it says is counted with. */
static cJSON *take_exact(cJSON *o)
{
	static const char *const terms[] = { "topology", "contact",    "semantic_parts",
		                             "iou",      "silhouette", "reference_similarity" };
	cJSON *v = take_tree(o, "exact");
	const cJSON *x;

	for (size_t i = 0; v && i < sizeof(terms) / sizeof(*terms); i++) {
		const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, terms[i]);
		if (t && !cJSON_IsNull(t) &&
		    !(cJSON_IsNumber(t) && t->valuedouble >= 0 && t->valuedouble <= 1)) {
			cJSON_Delete(v);
			return NULL;
		}
	}
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(v, "checks"))
	{
		double score = json_number_or(x, "score", -1);
		if (!(score >= 0 && score <= 1)) {
			cJSON_Delete(v);
			return NULL;
		}
	}
	return v;
}

/* NULL when there are too many, or no memory. */
static struct buf *picture_room(struct shape_report *r, const cJSON *export)
{
	char *name = clean_text(export, "name");
	struct picture *more =
		r->n_pictures < 64
			? realloc(r->pictures, sizeof(*more) * (size_t)(r->n_pictures + 1))
			: NULL;

	if (!more || !name) {
		free(name);
		if (more)
			r->pictures = more;
		return NULL;
	}
	r->pictures = more;
	more[r->n_pictures] = (struct picture){ 0 };
	snprintf(more[r->n_pictures].name, sizeof(more->name), "%s", name);
	free(name);
	return &more[r->n_pictures++].png;
}

static struct shape_report report_of(const struct frame *f, const char *lost)
{
	struct shape_report r = { .cause = CAUSE_BUILDER_LOST };
	struct err e = { 0 };
	cJSON *o = f ? json_parse(f->json, f->json_len, &e) : NULL;

	r.limit.limit = r.limit.used = NAN;
	if (o) {
		r.ok = json_bool_or(o, "ok", false);
		if (build_cause_parse(json_string_or(o, "cause", ""), &r.cause) < 0)
			r.cause = CAUSE_CRASH;
		r.error = clean_text(o, "error");
		read_limit(&r.limit, o);
		r.geometry = take_tree(o, "geometry");
		r.exact = take_exact(o);
		const cJSON *figures = cJSON_GetObjectItemCaseSensitive(o, "figures");
		if (cJSON_IsObject(figures)) {
			r.has_figures = figures_from_json(&r.figures, figures, &e) == 0;
			if (!r.has_figures && r.ok) {
				r.ok = false;
				r.cause = CAUSE_CRASH;
				free(r.error);
				r.error = copy(e.text);
			}
		}
		const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, "seconds");
		r.read_s = json_number_or(s, "read", 0);
		r.measure_s = json_number_or(s, "measure", 0);
		r.mesh_s = json_number_or(s, "mesh", 0);
		r.score_s = json_number_or(s, "score", 0);
		r.render_s = json_number_or(s, "render", 0);
		r.seconds =
			json_number_or(s, "total", r.read_s + r.measure_s + r.mesh_s + r.score_s);
		const char *at = f->blob;
		size_t left = f->blob_len;
		const cJSON *x;
		cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "exports"))
		{
			double bytes = json_number_or(x, "bytes", -1);
			const char *format = json_string_or(x, "format", "");
			if (!(bytes >= 0 && bytes <= (double)left))
				break;
			struct buf *to = strcmp(format, "stl") == 0   ? &r.stl
			                 : strcmp(format, "glb") == 0 ? &r.glb
			                                              : NULL;
			if (strcmp(format, "png") == 0)
				to = picture_room(&r, x);
			if (to)
				buf_add(to, at, (size_t)bytes);
			at += (size_t)bytes;
			left -= (size_t)bytes;
		}
		cJSON_Delete(o);
	} else {
		r.error = copy(lost ? lost : e.text);
	}
	return r;
}

static int submit_figures(struct engine *en, struct measuring *m, const void *brep, size_t len,
                          struct err *e);

static void take_failure(struct shape_report *to, struct shape_report *from)
{
	free(to->error);
	to->ok = false;
	to->cause = from->cause;
	to->error = from->error;
	to->limit = from->limit;
	from->error = NULL;
}

static void part_answer(struct engine *en, const struct job *j, const struct frame *f,
                        const char *lost)
{
	struct measuring *m = j->whole;
	struct shape_report r = report_of(f, lost), *w = &m->report;
	struct err e = { 0 };

	m->waiting--;
	switch (j->part) {
	case PART_GEOMETRY:
		/* what cannot be measured may still be meshed, and is worth its reward */
		w->geometry = r.geometry;
		w->read_s = r.read_s;
		w->measure_s = r.measure_s;
		r.geometry = NULL;
		break;
	case PART_MESH:
		w->mesh_s = r.seconds;
		if (!r.ok && (r.cause == CAUSE_WALL_LIMIT || r.cause == CAUSE_CPU_LIMIT))
			r.cause = CAUSE_SHAPE_LIMIT;
		if (!r.ok || submit_figures(en, m, f->blob, f->blob_len, &e) < 0) {
			if (r.ok) {
				r.cause = CAUSE_BUILDER_LOST;
				r.error = copy(e.text);
			}
			take_failure(w, &r);
		}
		break;
	case PART_FIGURES:
		if (!r.ok)
			take_failure(w, &r);
		else
			w->ok = true;
		w->cause = r.cause;
		w->has_figures = r.has_figures;
		w->figures = r.figures;
		w->mesh_s += r.mesh_s;
		w->read_s += r.read_s;
		w->score_s = r.score_s;
		w->stl = r.stl;
		w->glb = r.glb;
		r.stl = r.glb = (struct buf){ 0 };
		break;
	case PART_NONE:
		break;
	}
	shape_report_release(&r);
	if (m->waiting > 0)
		return;
	w->seconds = clock_now_s() - m->started;
	en->ops.measured(en->ops.ctx, m->id, w);
	shape_report_release(w);
	free(m);
}

/* The one export of a request with prepare is the reference. */
static void job_prepared(struct engine *en, const struct job *j, const struct frame *f,
                         const char *lost)
{
	struct shape_report r = report_of(f, lost);
	const char *why = NULL;

	if (!r.ok)
		why = r.error ? r.error : build_cause_label(r.cause);
	else if (f->blob_len == 0)
		why = "the scorer prepared nothing";
	if (en->ops.prepared)
		en->ops.prepared(en->ops.ctx, j->id, why ? NULL : f->blob, why ? 0 : f->blob_len,
		                 why);
	shape_report_release(&r);
}

static void job_measured(struct engine *en, struct job *j, const struct frame *f, const char *lost)
{
	struct shape_report r = report_of(f, lost);

	en->ops.measured(en->ops.ctx, j->id, &r);
	shape_report_release(&r);
}

static void job_answer(struct engine *en, struct job *j, const struct frame *f, const char *lost)
{
	struct err e = { 0 };
	cJSON *o;
	char *why = NULL;

	if (j->whole) {
		part_answer(en, j, f, lost);
		job_free(j);
		return;
	}
	switch (j->type) {
	case WIRE_BUILD:
		job_built(en, j, f, lost);
		break;
	case WIRE_WATCH:
		job_watched(en, j, f, lost);
		break;
	case WIRE_SCORE:
		if (j->prepare)
			job_prepared(en, j, f, lost);
		else
			job_measured(en, j, f, lost);
		break;
	case WIRE_FACTS:
		o = f ? json_parse(f->json, f->json_len, &e) : NULL;
		why = o ? clean_text(o, "error") : copy(lost ? lost : e.text);
		if (en->ops.facts) {
			cJSON *facts = take_tree(o, "facts");
			en->ops.facts(en->ops.ctx, j->id, facts, why);
			cJSON_Delete(facts);
		}
		free(why);
		cJSON_Delete(o);
		break;
	case WIRE_CONVERT:
		o = f ? json_parse(f->json, f->json_len, &e) : NULL;
		why = o ? clean_text(o, "error") : copy(lost ? lost : e.text);
		if (en->ops.converted) {
			if (o && json_bool_or(o, "ok", false))
				en->ops.converted(en->ops.ctx, j->id, f->blob, f->blob_len, NULL);
			else
				en->ops.converted(en->ops.ctx, j->id, NULL, 0,
				                  why ? why : "not converted");
		}
		free(why);
		cJSON_Delete(o);
		break;
	}
	job_free(j);
}

/* Log bytes are cleaned by whole lines, so that an escape sequence cut by a pipe's buffer cannot
 * slip through. */
static void job_log(struct engine *en, struct job *j, const struct frame *f)
{
	char stream[16] = "stdout";
	struct err e = { 0 };
	cJSON *o = json_parse(f->json, f->json_len, &e);

	snprintf(stream, sizeof(stream), "%s", json_string_or(o, "stream", "stdout"));
	cJSON_Delete(o);
	struct buf *partial = &j->log_partial[strcmp(stream, "stderr") == 0];
	buf_add(partial, f->blob, f->blob_len);
	size_t whole = partial->len;
	while (whole > 0 && partial->data[whole - 1] != '\n')
		whole--;
	if (whole == 0 && partial->len > 65536) /* a line without an end is passed on in pieces */
		whole = partial->len;
	if (whole == 0)
		return;
	struct buf clean = { 0 };
	utf8_clean(&clean, partial->data, whole);
	buf_consume(partial, whole);
	if (en->ops.log && clean.len)
		en->ops.log(en->ops.ctx, j->id, stream, clean.data, clean.len);
	buf_add(&j->log, buf_str(&clean), clean.len);
	buf_release(&clean);
}

/* ---- the programs ---- */

enum { PROGRAMS = 3 };

static struct program *program_at(struct engine *en, int i)
{
	struct program *const all[PROGRAMS] = { &en->builder, &en->scorer, &en->mesher };

	return all[i];
}

static void program_init(struct program *p, const char *name)
{
	memset(p, 0, sizeof(*p));
	p->name = name;
	p->helper.fd = p->helper.pidfd = -1;
	p->heir_fd = -1;
	p->last = &p->first;
	p->in.json_max = JSON_MAX;
}

static void program_reset(struct program *p)
{
	frame_reader_release(&p->in);
	buf_release(&p->out);
	p->in.json_max = JSON_MAX;
	p->ready = false;
	p->heir_asked = false;
}

static int program_start(struct engine *en, struct program *p, struct err *e)
{
	char path[4200], stubs[4200];
	const char *argv[12];
	/* The kernel's libraries are bound at the start and not, once more, in every child: that
	 * took a third of a measurement's time, and costs the start nothing that shows
	 * (2026-11-22). */
	static const char *const bound[] = { "LD_BIND_NOW=1", NULL }, *const none[] = { NULL };
	int n = 0;

	if (p->helper.pid > 0)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", en->libexec, p->name);
	snprintf(stubs, sizeof(stubs), "%s/gl", en->libexec);
	argv[n++] = path;
	argv[n++] = "--jobs";
	argv[n++] = en->jobs_text;
	if (p == &en->builder) {
		argv[n++] = "--gl-stubs";
		argv[n++] = stubs;
	}
	if (p != &en->scorer && en->has_python_env) {
		argv[n++] = "--python-env";
		argv[n++] = en->python_env;
	}
	if (en->unjailed)
		argv[n++] = "--unforked";
	argv[n] = NULL;
	program_reset(p);
	if (helper_start(&p->helper, argv, p == &en->scorer ? bound : none, en->quiet, e) < 0)
		return -1;
	p->started = p->heard = clock_now_s();
	if (p == &en->scorer)
		for (int i = 0; i < en->n_ref; i++)
			en->ref[i].sent = false;
	for (struct job *j = p->first; j; j = j->next)
		j->sent = false;
	return 0;
}

static void program_send_waiting(struct engine *en, struct program *p)
{
	if (!p->ready)
		return;
	if (p == &en->scorer)
		for (int i = 0; i < en->n_ref; i++) {
			if (en->ref[i].sent)
				continue;
			char json[64];
			int n = snprintf(json, sizeof(json), "{\"id\":%d,\"kind\":\"%s\"}", i + 1,
			                 en->ref[i].exact ? "exact" : "seed");
			frame_append(&p->out, WIRE_REFERENCE, 0, json, (size_t)n,
			             en->ref[i].bytes.data, en->ref[i].bytes.len);
			en->ref[i].sent = true;
		}
	/* One of the jobs that were there when the program died may be the reason. They go one by
	 * one, so that it takes no other along when it strikes again. */
	bool suspects = false, flying = false;
	for (const struct job *j = p->first; j; j = j->next) {
		suspects |= j->losses > 0;
		flying |= j->sent && j->type != WIRE_WATCH;
	}
	for (struct job *j = p->first; j; j = j->next) {
		if (j->sent)
			continue;
		if (suspects && flying)
			break;
		buf_add(&p->out, j->frame.data, j->frame.len);
		buf_add(&p->out, j->more.data, j->more.len);
		buf_release(&j->more);
		j->sent = true;
		flying |= j->type != WIRE_WATCH;
	}
}

static void forget_heir(struct program *p)
{
	if (p->heir_fd >= 0)
		close(p->heir_fd);
	p->heir_fd = -1;
	p->heir_pid = 0;
}

static void ask_for_heir(struct program *p)
{
	if (!p->ready || p->heir_asked || p->heir_fd >= 0 || !json_bool_or(p->info, "heir", false))
		return;
	frame_append(&p->out, WIRE_HEIR, 0, "{}", 2, NULL, 0);
	p->heir_asked = true;
}

/* The heir becomes the program: its socket takes the place of the dead one's. Its pid is not our
 * child by fork but by adoption (we are a subreaper), so helper_gone() can wait for it. */
static bool take_heir(struct program *p)
{
	struct pollfd alive = { .fd = p->heir_fd, .events = POLLIN };

	if (p->heir_fd < 0)
		return false;
	/* it never speaks before it is asked, so anything here is its end */
	if (p->heir_pid <= 0 || poll(&alive, 1, 0) > 0) {
		forget_heir(p);
		return false;
	}
	program_reset(p);
	p->helper.fd = p->heir_fd;
	p->helper.pid = p->heir_pid;
	p->helper.pidfd = (int)syscall(SYS_pidfd_open, p->heir_pid, 0);
	p->heir_fd = -1;
	p->heir_pid = 0;
	p->ready = true;
	p->heard = clock_now_s();
	return true;
}

/* It cannot work here: what waits for it goes to the builder, which takes the same jobs. */
static int do_without_mesher(struct engine *en, struct err *e)
{
	struct program *m = &en->mesher, *b = &en->builder;

	en->no_mesher = true;
	helper_stop(&m->helper, 0);
	program_reset(m);
	if (!m->first)
		return 0;
	for (struct job *j = m->first; j; j = j->next)
		j->sent = false;
	*b->last = m->first;
	b->last = m->last;
	m->first = NULL;
	m->last = &m->first;
	if (program_start(en, b, e) < 0)
		return -1;
	program_send_waiting(en, b);
	return 0;
}

/* A program died, or must: its jobs go to its heir or to a new one, once. @read_jobs: it may have
 * died of them, since what was sent had reached it. */
static int program_lost(struct engine *en, struct program *p, const char *why, bool read_jobs,
                        struct err *e)
{
	char how[64] = "";
	bool was_ready = p->ready;
	int rc = 0;

	if (p->helper.pid > 0) {
		if (!helper_gone(&p->helper, how, sizeof(how))) {
			kill(p->helper.pid, SIGKILL);
			helper_stop(&p->helper, 1.0);
		}
	}
	en->restarts++;
	p->deaths_in_a_row = was_ready ? p->deaths_in_a_row : p->deaths_in_a_row + 1;
	if (p->deaths_in_a_row >= RESTARTS_IN_A_ROW && p == &en->mesher)
		return do_without_mesher(en, e);
	if (p->deaths_in_a_row >= RESTARTS_IN_A_ROW)
		return err_set(e, ERR_LOST,
		               "%s does not stay alive: %s (%s); run `cadforge doctor`", p->name,
		               why, how);
	struct job *gone = NULL, **gone_last = &gone;
	for (struct job **at = &p->first; *at;) {
		struct job *j = *at;
		/* what a watched program had come to is lost with it; its owner has the text */
		bool again = j->type != WIRE_WATCH && (!read_jobs || ++j->losses < 2);
		if (!j->sent || again) {
			j->sent = false;
			buf_clear(&j->log);
			buf_clear(&j->log_partial[0]);
			buf_clear(&j->log_partial[1]);
			at = &j->next;
			continue;
		}
		*gone_last = job_unlink(p, at);
		gone_last = &j->next;
	}
	if (take_heir(p)) {
		/* first of all an heir of its own: the next blow may fall at once */
		ask_for_heir(p);
		program_send_waiting(en, p);
	} else {
		/* also one that was never ready and has no jobs: somebody may wait for its greeting
		 */
		rc = program_start(en, p, e);
	}
	while (gone) {
		struct job *j = gone;
		char text[200];
		gone = j->next;
		snprintf(
			text, sizeof(text),
			j->type == WIRE_WATCH
				? "%s was lost while it watched this program (%s%s%s)"
				: "%s was lost twice under this job (%s%s%s): this says nothing of the program",
			p->name, why, how[0] ? ", " : "", how);
		job_answer(en, j, NULL, text);
	}
	return rc;
}

static int program_frame(struct engine *en, struct program *p, const struct frame *f, struct err *e)
{
	struct job **at = f->job ? job_find(p, f->job) : NULL;

	switch (f->type) {
	case WIRE_READY: {
		cJSON *o = json_parse(f->json, f->json_len, e);
		if (!o)
			return err_wrap(e, "%s", p->name);
		const char *error = json_string_or(o, "error", NULL);
		if (error && p == &en->mesher) {
			cJSON_Delete(p->info);
			p->info = o;
			return do_without_mesher(en, e);
		}
		if (error) {
			const char *remedy = json_string_or(o, "remedy", NULL);
			err_set(e, ERR_LACKS, "%s: %s%s%s", p->name, error, remedy ? "; " : "",
			        remedy ? remedy : "");
			cJSON_Delete(o);
			return -1;
		}
		cJSON_Delete(p->info);
		p->info = o;
		p->ready = true;
		p->deaths_in_a_row = 0;
		program_send_waiting(en, p);
		ask_for_heir(p);
		return 0;
	}
	case WIRE_LOG:
		/* what a watched program prints is printed again by the build that counts */
		if (at && (*at)->type != WIRE_WATCH)
			job_log(en, *at, f);
		return 0;
	case WIRE_NOTICE:
		if (at)
			job_seen(en, *at, f);
		return 0;
	case WIRE_RESULT:
		if (at) {
			/* what the reader holds stays valid while the callback queues further jobs
			 */
			struct job *j = job_unlink(p, at);
			struct frame again = *f;
			cJSON *o = NULL;
			struct err ignored = { 0 };
			if (j->type == WIRE_BUILD || j->type == WIRE_SCORE || j->whole)
				o = json_parse(f->json, f->json_len, &ignored);
			bool lost =
				o && strcmp(json_string_or(o, "cause", ""), "builder_lost") == 0;
			cJSON_Delete(o);
			if (lost && !j->cancelled && j->type != WIRE_WATCH && ++j->losses < 2) {
				/* our own fault there (a child that could not be forked, was killed
				 * from outside): once more */
				j->sent = false;
				buf_clear(&j->log);
				*p->last = j;
				p->last = &j->next;
				program_send_waiting(en, p);
				return 0;
			}
			job_answer(en, j, &again, NULL);
			program_send_waiting(en, p);
		}
		return 0;
	case WIRE_HEIR: {
		cJSON *o = json_parse(f->json, f->json_len, e);
		p->heir_pid = (pid_t)json_number_or(o, "pid", 0);
		p->heir_asked = false;
		cJSON_Delete(o);
		if (p->heir_fd >= 0 && p->heir_pid > 0)
			fcntl(p->heir_fd, F_SETFL, fcntl(p->heir_fd, F_GETFL) | O_NONBLOCK);
		else
			forget_heir(p);
		return 0;
	}
	default:
		return err_set(e, ERR_PROTOCOL, "%s sent a message of unknown type %u", p->name,
		               f->type);
	}
}

static int program_read(struct engine *en, struct program *p, struct err *e)
{
	struct err why = { 0 };
	struct frame f;

	for (int rounds = 0; rounds < 64 && p->helper.fd >= 0; rounds++) {
		pid_t pid = p->helper.pid;
		int passed = -1;
		ssize_t n = frame_fill_fd(&p->in, p->helper.fd, &passed, &why);
		if (passed >= 0) {
			if (p->heir_fd >= 0)
				close(p->heir_fd);
			p->heir_fd = passed;
		}
		if (n == -2)
			return 0;
		if (n <= 0)
			return program_lost(en, p, n == 0 ? "it died" : why.text, true, e);
		p->heard = clock_now_s();
		for (;;) {
			int have = frame_next(&p->in, &f, &why);
			if (have == 0)
				break;
			if (have < 0)
				return program_lost(en, p, why.text, true, e);
			if (program_frame(en, p, &f, e) < 0)
				return -1;
			if (p->helper.pid != pid)
				return 0;
		}
	}
	return 0;
}

/* Children of a program that died come to us (we are a subreaper) as bodies to collect. Only those
 * that bear our names and are no program of ours are taken: other children belong to other parts of
 * cadforge. */
static void collect_orphans(struct engine *en)
{
	for (int rounds = 0; rounds < 256; rounds++) {
		siginfo_t s = { 0 };
		char path[40], comm[32] = "";
		if (waitid(P_ALL, 0, &s, WEXITED | WNOHANG | WNOWAIT) < 0 || s.si_pid == 0)
			return;
		for (int i = 0; i < PROGRAMS; i++)
			if (s.si_pid == program_at(en, i)->helper.pid)
				return;
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)s.si_pid);
		FILE *f = fopen(path, "re");
		if (f) {
			if (!fgets(comm, sizeof(comm), f))
				comm[0] = '\0';
			fclose(f);
		}
		if (strncmp(comm, "cadforge-", 9) != 0)
			return;
		waitpid(s.si_pid, NULL, WNOHANG);
	}
}

static int program_step(struct engine *en, struct program *p, struct err *e)
{
	struct err why = { 0 };
	double now = clock_now_s();

	if (p->helper.fd < 0)
		return p->first ? program_start(en, p, e) : 0;
	if (p->out.len && frame_flush(&p->out, p->helper.fd, &why) < 0)
		return program_lost(en, p, why.text, false, e);
	if (program_read(en, p, e) < 0)
		return -1;
	if (p->heir_fd >= 0) {
		struct pollfd x = { .fd = p->heir_fd, .events = POLLIN };
		if (poll(&x, 1, 0) > 0) {
			forget_heir(p);
			ask_for_heir(p);
		}
	}
	if (p->out.len && p->helper.fd >= 0 && frame_flush(&p->out, p->helper.fd, &why) < 0)
		return program_lost(en, p, why.text, false, e);
	if (p->helper.fd < 0)
		return 0;
	if (!p->ready && now > p->started + START_S)
		return program_lost(en, p, "it was not ready after 60 s", true, e);
	if (p->ready && p->first) {
		double longest = 0;
		/* of a watched program nothing may be heard as long as nobody writes */
		for (const struct job *j = p->first; j; j = j->next)
			longest = fmax(longest, j->type == WIRE_WATCH ? INFINITY : j->limit_s);
		if (now > p->heard + longest + SILENCE_S)
			return program_lost(en, p, "it gave no answer for too long", true, e);
	}
	return 0;
}

/* ---- the door ---- */

struct engine *engine_open(const struct engine_options *o, const struct engine_ops *ops,
                           struct err *e)
{
	struct engine *en = calloc(1, sizeof(*en));
	int jobs = o->jobs < 1 ? 1 : o->jobs > 64 ? 64 : o->jobs;

	if (!en) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	en->ops = *ops;
	snprintf(en->libexec, sizeof(en->libexec), "%s", o->libexec_dir);
	if (o->python_env)
		snprintf(en->python_env, sizeof(en->python_env), "%s", o->python_env);
	en->has_python_env = o->python_env != NULL;
	snprintf(en->jobs_text, sizeof(en->jobs_text), "%d", jobs);
	en->quiet = o->quiet;
	en->unjailed = o->unjailed;
	program_init(&en->builder, "cadforge-builder");
	program_init(&en->scorer, "cadforge-scorer");
	program_init(&en->mesher, "cadforge-mesher");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return en;
}

static void program_close(struct program *p)
{
	forget_heir(p);
	helper_stop(&p->helper, 1.0);
	program_reset(p);
	cJSON_Delete(p->info);
	while (p->first) {
		struct job *j = job_unlink(p, &p->first);
		if (j->whole && --j->whole->waiting == 0) {
			shape_report_release(&j->whole->report);
			free(j->whole);
		}
		job_free(j);
	}
}

void engine_close(struct engine *en)
{
	if (!en)
		return;
	for (int i = 0; i < PROGRAMS; i++)
		program_close(program_at(en, i));
	collect_orphans(en);
	for (int i = 0; i < en->n_ref; i++)
		buf_release(&en->ref[i].bytes);
	free(en->ref);
	free(en);
}

/* The bench's unjailed kernel does all in the one warm process. */
static struct program *meshing_program(struct engine *en)
{
	struct err why = { 0 };

	if (!en->unjailed && !en->no_mesher && program_start(en, &en->mesher, &why) < 0)
		en->no_mesher = true;
	return en->unjailed || en->no_mesher ? &en->builder : &en->mesher;
}

int engine_warm_builder(struct engine *en, struct err *e)
{
	return program_start(en, &en->builder, e);
}

int engine_warm_scorer(struct engine *en, struct err *e)
{
	meshing_program(en);
	return program_start(en, &en->scorer, e);
}

static int submit(struct engine *en, struct program *p, uint32_t type, cJSON *json,
                  const void *blob, size_t len, double limit_s, enum dialect dialect, uint32_t *id,
                  struct err *e)
{
	struct job *j = calloc(1, sizeof(*j));
	struct buf text = { 0 };

	if (!j || len > FRAME_BLOB_MAX) {
		free(j);
		cJSON_Delete(json);
		return err_set(e, len > FRAME_BLOB_MAX ? ERR_INPUT : ERR_MEM,
		               "%zu bytes are too many for a job", len);
	}
	json_print(&text, json);
	cJSON_Delete(json);
	j->id = ++en->next_job ? en->next_job : ++en->next_job;
	j->type = type;
	j->limit_s = limit_s;
	j->dialect = dialect;
	frame_append(&j->frame, type, j->id, buf_str(&text), text.len, blob, len);
	if (buf_failed(&text) || buf_failed(&j->frame)) {
		buf_release(&text);
		job_free(j);
		return err_set(e, ERR_MEM, "out of memory for a job of %zu bytes", len);
	}
	buf_release(&text);
	*p->last = j;
	p->last = &j->next;
	if (id)
		*id = j->id;
	if (program_start(en, p, e) < 0) {
		job_free(job_unlink(p, job_find(p, j->id)));
		return -1;
	}
	program_send_waiting(en, p);
	return 0;
}

static void add_limits(cJSON *o, const struct limits *l)
{
	cJSON_AddNumberToObject(o, "wall_s", l->wall_s);
	cJSON_AddNumberToObject(o, "cpu_s", l->cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", l->memory_mib);
	cJSON_AddNumberToObject(o, "output_kib", l->output_kib);
	cJSON_AddNumberToObject(o, "brep_mib", l->brep_mib);
}

static int submit_program(struct engine *en, uint32_t type, const struct build_request *r,
                          uint32_t *job, struct err *e)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "dialect", r->dialect == DIALECT_SEED ? "seed" : "open");
	cJSON_AddBoolToObject(o, "filter", !r->no_filter);
	cJSON_AddBoolToObject(o, "facts", r->facts);
	cJSON_AddNumberToObject(o, "line_offset", r->line_offset);
	add_limits(o, &r->limits);
	return submit(en, &en->builder, type, o, r->program, r->len, r->limits.wall_s, r->dialect,
	              job, e);
}

int engine_build(struct engine *en, const struct build_request *r, uint32_t *job, struct err *e)
{
	return submit_program(en, WIRE_BUILD, r, job, e);
}

int engine_watch_begin(struct engine *en, const struct build_request *r, uint32_t *job,
                       struct err *e)
{
	return submit_program(en, WIRE_WATCH, r, job, e);
}

static void feed(struct engine *en, uint32_t id, const char *json, const char *text, size_t len)
{
	struct program *p = &en->builder;
	struct job **at = job_find(p, id);

	if (!at || (*at)->type != WIRE_WATCH || (*at)->cancelled)
		return;
	frame_append((*at)->sent ? &p->out : &(*at)->more, WIRE_MORE, id, json, strlen(json), text,
	             len);
}

void engine_watch_text(struct engine *en, uint32_t job, const char *text, size_t len)
{
	feed(en, job, "{}", text, len);
}

void engine_watch_shape(struct engine *en, uint32_t job)
{
	feed(en, job, "{\"shape\":true}", NULL, 0);
}

void engine_watch_end(struct engine *en, uint32_t job)
{
	feed(en, job, "{\"end\":true}", NULL, 0);
}

int engine_facts(struct engine *en, const char *program, size_t len, uint32_t *job, struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_FACTS, o, program, len, l.wall_s, DIALECT_OPEN, job,
	              e);
}

int engine_names(struct engine *en, uint32_t *job, struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	cJSON_AddBoolToObject(o, "names", true);
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_FACTS, o, "", 0, l.wall_s, DIALECT_OPEN, job, e);
}

int engine_convert(struct engine *en, bool to_step, const void *bytes, size_t len, uint32_t *job,
                   struct err *e)
{
	struct limits l;
	cJSON *o = cJSON_CreateObject();

	limits_default(&l);
	cJSON_AddStringToObject(o, "to", to_step ? "step" : "brep");
	add_limits(o, &l);
	return submit(en, &en->builder, WIRE_CONVERT, o, bytes, len, l.wall_s, DIALECT_OPEN, job,
	              e);
}

static cJSON *score_request(const struct shape_request *r, const char *format, bool geometry,
                            enum figures_mode mode)
{
	static const char *const figures[] = { "none", "fast", "full" };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "format", format);
	cJSON_AddBoolToObject(o, "geometry", geometry);
	cJSON_AddStringToObject(o, "figures", figures[mode]);
	cJSON_AddNumberToObject(o, "reference", r->reference);
	cJSON_AddNumberToObject(o, "cpu_s", r->limits.score_cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", r->limits.memory_mib);
	cJSON_AddNumberToObject(o, "faces_max", (double)r->limits.faces_max);
	cJSON_AddNumberToObject(o, "triangles_max", (double)r->limits.triangles_max);
	return o;
}

static void add_exact(cJSON *o, const struct shape_request *r)
{
	if (!r->exact)
		return;
	cJSON *x = cJSON_Duplicate(r->exact, true);
	cJSON_DeleteItemFromObjectCaseSensitive(x, "reference");
	cJSON_AddNumberToObject(x, "reference", r->exact_reference);
	cJSON_AddItemToObject(o, "exact", x);
}

static void add_exports(cJSON *o, const struct shape_request *r)
{
	cJSON *x = cJSON_AddArrayToObject(o, "export");

	if (r->export_stl)
		cJSON_AddItemToArray(x, cJSON_CreateString("stl"));
	if (r->export_glb)
		cJSON_AddItemToArray(x, cJSON_CreateString("glb"));
}

static void add_pictures(cJSON *o, const struct shape_request *r)
{
	if (r->n_views == 0)
		return;
	cJSON *x = cJSON_AddObjectToObject(o, "pictures");
	cJSON *views = cJSON_AddArrayToObject(x, "views");
	for (int i = 0; i < r->n_views; i++)
		cJSON_AddItemToArray(views, cJSON_CreateString(r->views[i]));
	cJSON_AddNumberToObject(x, "px", r->view_px);
	cJSON_AddNumberToObject(x, "rotation", r->rotation);
	cJSON_AddNumberToObject(x, "reference", r->exact_reference);
	json_add_text(x, "title", r->title);
}

/* Makes the job just queued a part of @m. */
static void join(struct program *p, uint32_t id, struct measuring *m, enum part part)
{
	struct job *j = *job_find(p, id);

	j->whole = m;
	j->part = part;
	m->waiting++;
}

static int submit_figures(struct engine *en, struct measuring *m, const void *brep, size_t len,
                          struct err *e)
{
	cJSON *o = score_request(&m->request, "meshed", false, m->request.figures);
	uint32_t id;

	add_exports(o, &m->request);
	if (submit(en, &en->scorer, WIRE_SCORE, o, brep, len,
	           wire_measure_wall_s(m->request.limits.score_cpu_s), DIALECT_OPEN, &id, e) < 0)
		return -1;
	join(&en->scorer, id, m, PART_FIGURES);
	return 0;
}

static int submit_mesh(struct engine *en, struct program *p, const struct shape_request *r,
                       uint32_t *id, struct err *e)
{
	cJSON *o = cJSON_CreateObject();

	/* the published parameters: reward-seed section 1, item 6 */
	cJSON_AddStringToObject(o, "to", "mesh");
	cJSON_AddNumberToObject(o, "linear", 0.1);
	cJSON_AddNumberToObject(o, "angular", 0.1);
	cJSON_AddNumberToObject(o, "wall_s", wire_measure_wall_s(r->limits.score_cpu_s));
	cJSON_AddNumberToObject(o, "cpu_s", r->limits.score_cpu_s);
	cJSON_AddNumberToObject(o, "memory_mib", r->limits.memory_mib);
	return submit(en, p, WIRE_CONVERT, o, r->bytes, r->len,
	              wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, id, e);
}

int engine_measure(struct engine *en, const struct shape_request *r, uint32_t *job, struct err *e)
{
	uint32_t id;

	if (r->exact && (r->format != SHAPE_BREP || r->figures != FIGURES_NONE))
		return err_set(e, ERR_USAGE,
		               "the exact profiles measure a BREP, and no figures of its mesh");
	if (r->format != SHAPE_BREP || r->figures == FIGURES_NONE) {
		cJSON *o = score_request(r, shape_format_name[r->format], r->geometry, r->figures);
		add_exports(o, r);
		add_exact(o, r);
		add_pictures(o, r);
		return submit(en, &en->scorer, WIRE_SCORE, o, r->bytes, r->len,
		              wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, job, e);
	}
	struct measuring *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ERR_MEM, "out of memory for a job");
	m->request = *r;
	m->request.bytes = NULL;
	m->started = clock_now_s();
	m->report.limit.limit = m->report.limit.used = NAN;
	struct program *mesher = meshing_program(en);
	if (submit_mesh(en, mesher, r, &id, e) < 0) {
		free(m);
		return -1;
	}
	m->id = id; /* the first part's number stands for the whole */
	join(mesher, id, m, PART_MESH);
	if (r->geometry) {
		cJSON *o = score_request(r, "brep", true, FIGURES_NONE);
		if (submit(en, &en->scorer, WIRE_SCORE, o, r->bytes, r->len,
		           wire_measure_wall_s(r->limits.score_cpu_s), DIALECT_OPEN, &id, e) < 0) {
			struct job **at = job_find(mesher, m->id);
			if (at)
				job_free(job_unlink(mesher, at));
			free(m);
			return -1;
		}
		join(&en->scorer, id, m, PART_GEOMETRY);
	}
	if (job)
		*job = m->id;
	return 0;
}

static struct kept_reference *reference_room(struct engine *en, struct err *e)
{
	struct kept_reference *more = realloc(en->ref, sizeof(*more) * (size_t)(en->n_ref + 1));

	if (!more) {
		err_set(e, ERR_MEM, "out of memory for a reference");
		return NULL;
	}
	en->ref = more;
	en->ref[en->n_ref] = (struct kept_reference){ 0 };
	return &en->ref[en->n_ref];
}

int engine_reference(struct engine *en, const struct reference_set *set, int *id, struct err *e)
{
	struct kept_reference *k = reference_room(en, e);

	if (!k)
		return -1;
	if (reference_serialize(set, &k->bytes, e) < 0) {
		buf_release(&k->bytes);
		return -1;
	}
	*id = ++en->n_ref;
	return 0;
}

int engine_exact_reference(struct engine *en, const void *blob, size_t len, int *id, struct err *e)
{
	struct kept_reference *k = reference_room(en, e);

	if (!k)
		return -1;
	k->exact = true;
	buf_add(&k->bytes, blob, len);
	if (buf_failed(&k->bytes)) {
		buf_release(&k->bytes);
		return err_set(e, ERR_MEM, "out of memory for a reference of %zu bytes", len);
	}
	*id = ++en->n_ref;
	return 0;
}

int engine_prepare(struct engine *en, enum shape_format format, const void *bytes, size_t len,
                   uint32_t *job, struct err *e)
{
	struct shape_request r = { .format = format };
	uint32_t id;

	limits_default(&r.limits);
	/* once for a reference, which may be a scan of a million triangles */
	r.limits.score_cpu_s = PREPARE_S;
	cJSON *o = score_request(&r, shape_format_name[format], false, FIGURES_NONE);
	cJSON_AddTrueToObject(o, "prepare");
	if (submit(en, &en->scorer, WIRE_SCORE, o, bytes, len, wire_measure_wall_s(PREPARE_S),
	           DIALECT_OPEN, &id, e) < 0)
		return -1;
	(*job_find(&en->scorer, id))->prepare = true;
	if (job)
		*job = id;
	return 0;
}

void engine_cancel(struct engine *en, uint32_t id)
{
	for (int i = 0; i < PROGRAMS; i++) {
		struct program *p = program_at(en, i);
		for (struct job **at = &p->first; *at;) {
			struct job *j = *at;
			if (j->id != id && !(j->whole && j->whole->id == id)) {
				at = &j->next;
				continue;
			}
			j->cancelled = true;
			if (j->sent) {
				frame_append(&p->out, WIRE_CANCEL, j->id, "{}", 2, NULL, 0);
				at = &j->next;
			} else {
				job_answer(en, job_unlink(p, at), NULL, "cancelled");
			}
		}
	}
}

int engine_poll_fds(struct engine *en, struct pollfd *out, int cap)
{
	int n = 0;

	for (int i = 0; i < PROGRAMS; i++) {
		const struct program *p = program_at(en, i);
		if (p->helper.fd >= 0 && n < cap)
			out[n++] = (struct pollfd){ .fd = p->helper.fd,
				                    .events = (short)(POLLIN |
				                                      (p->out.len ? POLLOUT : 0)) };
		if (p->heir_fd >= 0 && n < cap)
			out[n++] = (struct pollfd){ .fd = p->heir_fd, .events = POLLIN };
	}
	return n;
}

int engine_timeout_ms(struct engine *en)
{
	/* the watchdogs above need no precision */
	for (int i = 0; i < PROGRAMS; i++)
		if (program_at(en, i)->helper.fd >= 0)
			return 1000;
	return -1;
}

int engine_step(struct engine *en, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < PROGRAMS && rc == 0; i++)
		rc = program_step(en, program_at(en, i), e);
	collect_orphans(en);
	return rc;
}

int engine_wait(struct engine *en, int timeout_ms, struct err *e)
{
	struct pollfd p[8];
	int n = engine_poll_fds(en, p, 8), own = engine_timeout_ms(en);

	if (timeout_ms < 0 || (own >= 0 && own < timeout_ms))
		timeout_ms = own;
	if (poll(p, (nfds_t)n, timeout_ms) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	return engine_step(en, e);
}

int engine_jobs(const struct engine *en)
{
	int n = 0;

	for (const struct job *j = en->builder.first; j; j = j->next)
		n += j->type != WIRE_WATCH;
	for (const struct job *j = en->scorer.first; j; j = j->next)
		n++;
	for (const struct job *j = en->mesher.first; j; j = j->next)
		n++;
	return n;
}

const cJSON *engine_builder_info(const struct engine *en)
{
	return en->builder.info;
}

const cJSON *engine_scorer_info(const struct engine *en)
{
	return en->scorer.info;
}

const cJSON *engine_mesher_info(const struct engine *en)
{
	return en->mesher.info;
}

int engine_restarts(const struct engine *en)
{
	return en->restarts;
}

bool engine_builder_ready(const struct engine *en)
{
	return en->builder.ready;
}

int engine_builder_pid(const struct engine *en)
{
	return en->builder.helper.pid;
}

int engine_scorer_pid(const struct engine *en)
{
	return en->scorer.helper.pid;
}
