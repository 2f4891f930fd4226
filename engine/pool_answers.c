/*
 * pool_answers.c - what came back of a job: frames made into reports, and told.
 */
#include "engine/pool_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/base/utf8.h"

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

void pool_job_free(struct job *j)
{
	buf_release(&j->frame);
	buf_release(&j->more);
	buf_release(&j->log);
	buf_release(&j->log_partial[0]);
	buf_release(&j->log_partial[1]);
	free(j);
}

struct job **pool_job_find(struct program *p, uint32_t id)
{
	for (struct job **j = &p->first; *j; j = &(*j)->next)
		if ((*j)->id == id)
			return j;
	return NULL;
}

struct job *pool_job_unlink(struct program *p, struct job **at)
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

void pool_job_seen(struct engine *en, const struct job *j, const struct frame *f)
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
		if (!r.ok || pool_submit_figures(en, m, f->blob, f->blob_len, &e) < 0) {
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

void pool_job_answer(struct engine *en, struct job *j, const struct frame *f, const char *lost)
{
	struct err e = { 0 };
	cJSON *o;
	char *why = NULL;

	if (j->whole) {
		part_answer(en, j, f, lost);
		pool_job_free(j);
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
	pool_job_free(j);
}

void pool_job_log(struct engine *en, struct job *j, const struct frame *f)
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
