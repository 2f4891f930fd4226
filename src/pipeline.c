#include "src/pipeline.h"
#include "src/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One thing that is waited for outside of a run. */
struct awaited {
	uint32_t job; /* 0: nothing */
	bool done;
	struct build *build;
	struct shape_report *report;
	struct buf *bytes;
	char *refusal; /* why there are no bytes */
};

struct known_reference {
	const struct reference_set *set;
	int id;
};

struct pipeline {
	struct pipeline_options o;
	struct engine *engine;
	struct known_reference *known;
	int n_known;
	struct queue {
		struct pipeline_item *first, *last;
		size_t n;
	} pushed, added, flying; /* pushed go before added */
	struct err failed;       /* from inside a callback */
	struct awaited awaited;
	struct engine_ops others;
};

static int step(struct pipeline *p, struct err *e)
{
	if (p->o.tick && p->o.tick(p->o.ctx))
		return err_set(e, ERR_CANCELLED, "interrupted");
	return engine_wait(p->engine, p->o.tick_ms > 0 ? p->o.tick_ms : 250, e);
}

static void queue_add(struct queue *q, struct pipeline_item *it)
{
	it->next = NULL;
	if (q->last)
		q->last->next = it;
	else
		q->first = it;
	q->last = it;
	q->n++;
}

/* Takes @it out of it; the first when @it is NULL. NULL: it is empty. */
static struct pipeline_item *queue_take(struct queue *q, struct pipeline_item *it)
{
	struct pipeline_item *before = NULL;

	it = it ? it : q->first;
	if (!it)
		return NULL;
	for (struct pipeline_item *x = q->first; x != it; x = x->next)
		before = x;
	*(before ? &before->next : &q->first) = it->next;
	q->last = it->next ? q->last : before;
	q->n--;
	it->next = NULL;
	return it;
}

static struct pipeline_item *find(struct pipeline *p, uint32_t job)
{
	struct pipeline_item *it = p->flying.first;

	while (it && it->job != job)
		it = it->next;
	return it;
}

static void finish(struct pipeline *p, struct pipeline_item *it)
{
	bool listed = it->listed;

	queue_take(&p->flying, it);
	it->job = 0;
	it->seconds = clock_now_s() - it->started;
	p->o.done(p->o.ctx, it->index, it);
	if (!listed) /* may be gone, or under way again */
		return;
	build_release(&it->build);
	shape_report_release(&it->shape);
}

static void on_log(void *ctx, uint32_t job, const char *stream, const char *text, size_t len)
{
	struct pipeline *p = ctx;
	const struct pipeline_item *it = find(p, job);

	if (p->o.log && it && it->index != PIPELINE_PUSHED)
		p->o.log(p->o.ctx, it->index, stream, text, len);
}

/* The engine's number for a set, which it is told of once; 0 for none. */
static int reference_id(struct pipeline *p, const struct reference_set *set, struct err *e)
{
	int id = 0;

	if (!set)
		return 0;
	for (int i = 0; i < p->n_known; i++)
		if (p->known[i].set == set)
			return p->known[i].id;
	struct known_reference *more = realloc(p->known, sizeof(*more) * (size_t)(p->n_known + 1));
	if (!more)
		return err_set(e, ERR_MEM, "out of memory for a reference");
	p->known = more;
	if (engine_reference(p->engine, set, &id, e) < 0)
		return -1;
	p->known[p->n_known++] = (struct known_reference){ set, id };
	return id;
}

/* What was built is measured, where that is wanted; else it is done with. */
static void measure(struct pipeline *p, struct pipeline_item *it)
{
	if (it->build.ok && p->o.measure) {
		struct shape_request r = {
			.bytes = it->build.brep.data,
			.len = it->build.brep.len,
			.format = SHAPE_BREP,
			.geometry = it->bare || p->o.geometry,
			.limits = p->o.limits,
		};
		if (!it->bare) {
			r.figures = p->o.figures;
			r.reference = reference_id(
				p, it->reference ? it->reference : p->o.reference, &p->failed);
			r.exact = it->exact;
			r.exact_reference = it->exact_reference;
			r.export_stl = p->o.export_stl;
			r.export_glb = p->o.export_glb;
		}
		if (r.reference >= 0 && engine_measure(p->engine, &r, &it->job, &p->failed) == 0)
			return;
	}
	finish(p, it);
}

static void on_built(void *ctx, uint32_t job, struct build *b)
{
	struct pipeline *p = ctx;
	struct pipeline_item *it = find(p, job);

	if (p->awaited.build && job == p->awaited.job) {
		*p->awaited.build = *b;
		memset(b, 0, sizeof(*b));
		p->awaited.done = true;
		return;
	}
	if (!it)
		return;
	it->build = *b;
	memset(b, 0, sizeof(*b));
	measure(p, it);
}

static void on_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	struct pipeline *p = ctx;
	struct pipeline_item *it = find(p, job);

	if (p->awaited.report && job == p->awaited.job) {
		*p->awaited.report = *r;
		memset(r, 0, sizeof(*r));
		p->awaited.done = true;
		return;
	}
	if (!it) {
		if (p->others.measured)
			p->others.measured(p->others.ctx, job, r);
		return;
	}
	it->shape = *r;
	it->measured = true;
	memset(r, 0, sizeof(*r));
	finish(p, it);
}

static void on_watched(void *ctx, uint32_t job, const struct watch_sight *w)
{
	struct pipeline *p = ctx;

	if (p->others.watched)
		p->others.watched(p->others.ctx, job, w);
}

void pipeline_listen(struct pipeline *p, const struct engine_ops *ears)
{
	static const struct engine_ops nobody;

	p->others = ears ? *ears : nobody;
}

static void refuse(struct build *b, const char *why)
{
	b->ok = false;
	b->cause = CAUSE_BAD_INPUT;
	b->error = strdup(why);
}

static void on_bytes(void *ctx, uint32_t job, const void *bytes, size_t len, const char *error)
{
	struct pipeline *p = ctx;
	struct pipeline_item *it = find(p, job);

	if (it) { /* a STEP that is measured */
		if (error)
			refuse(&it->build, error);
		else
			buf_add(&it->build.brep, bytes, len);
		measure(p, it);
		return;
	}
	if (!p->awaited.bytes || job != p->awaited.job)
		return;
	if (error)
		p->awaited.refusal = strdup(error);
	else
		buf_add(p->awaited.bytes, bytes, len);
	p->awaited.done = true;
}

struct pipeline *pipeline_open(const struct pipeline_options *o, struct err *e)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->o = *o;
	struct engine_ops ops = { .ctx = p,
		                  .log = on_log,
		                  .built = on_built,
		                  .measured = on_measured,
		                  .watched = on_watched,
		                  .converted = on_bytes,
		                  .prepared = on_bytes };
	p->engine = engine_open(&o->engine, &ops, e);
	if (!p->engine) {
		pipeline_close(p);
		return NULL;
	}
	return p;
}

void pipeline_close(struct pipeline *p)
{
	if (!p)
		return;
	engine_close(p->engine);
	free(p->known);
	free(p->awaited.refusal);
	free(p);
}

void pipeline_tick_ms(struct pipeline *p, int ms)
{
	p->o.tick_ms = ms;
}

int pipeline_ready(struct pipeline *p, bool builder, bool scorer, struct err *e)
{
	if ((builder && engine_warm_builder(p->engine, e) < 0) ||
	    (scorer && engine_warm_scorer(p->engine, e) < 0))
		return -1;
	while ((builder && !engine_builder_info(p->engine)) ||
	       (scorer && !engine_scorer_info(p->engine)))
		if (step(p, e) < 0)
			return -1;
	return 0;
}

int pipeline_warm(struct pipeline *p, struct err *e)
{
	return pipeline_ready(p, true, p->o.measure, e);
}

static int hand_over(struct pipeline *p, struct pipeline_item *it, struct err *e)
{
	struct build_request r = {
		.program = it->program,
		.len = it->len,
		.line_offset = it->line_offset,
		.dialect = p->o.dialect,
		.no_filter = p->o.no_filter,
		.facts = p->o.facts && !it->bare,
		.limits = p->o.limits,
	};

	it->started = clock_now_s();
	it->measured = false;
	if (it->given) {
		/* nothing is built: the shape stands for what a program would have left */
		it->build = (struct build){ .ok = true,
			                    .dialect = p->o.dialect,
			                    .limit = { .limit = NAN, .used = NAN },
			                    .seconds = NAN,
			                    .cpu_s = NAN };
		if (it->given_is_step &&
		    engine_convert(p->engine, false, it->given, it->given_len, &it->job, e) < 0)
			return -1;
		queue_add(&p->flying, it);
		if (!it->given_is_step) {
			buf_add(&it->build.brep, it->given, it->given_len);
			measure(p, it);
		}
		return 0;
	}
	if (engine_build(p->engine, &r, &it->job, e) < 0)
		return -1;
	queue_add(&p->flying, it);
	return 0;
}

/* As many as there is room for. */
static int hand_over_all(struct pipeline *p, struct err *e)
{
	size_t most = 2 * (size_t)p->o.engine.jobs;
	struct pipeline_item *it;

	/* the scorer starts while the builder imports CadQuery */
	if ((p->pushed.n || p->added.n) && (engine_warm_builder(p->engine, e) < 0 ||
	                                    (p->o.measure && engine_warm_scorer(p->engine, e) < 0)))
		return -1;
	while (p->flying.n < most &&
	       (it = queue_take(p->pushed.n ? &p->pushed : &p->added, NULL)) != NULL)
		if (hand_over(p, it, e) < 0)
			return -1;
	return 0;
}

/* What went wrong in a step that itself went well. */
static int look(const struct pipeline *p, struct err *e)
{
	if (p->failed.kind) {
		*e = p->failed;
		return -1;
	}
	if (p->flying.n && engine_jobs(p->engine) == 0)
		return err_set(
			e, ERR_PROTOCOL,
			"%zu programs got no answer from the engine: this is our fault, run it again",
			p->flying.n);
	return 0;
}

void pipeline_begin(struct pipeline *p)
{
	p->pushed = p->added = p->flying = (struct queue){ 0 };
	p->failed = (struct err){ 0 };
}

void pipeline_add(struct pipeline *p, struct pipeline_item *it)
{
	it->job = 0;
	queue_add(&p->added, it);
}

int pipeline_work(struct pipeline *p, struct err *e)
{
	return engine_step(p->engine, e) < 0 || look(p, e) < 0 || hand_over_all(p, e) < 0 ? -1 : 0;
}

void pipeline_end(struct pipeline *p)
{
	struct pipeline_item *it;

	/* after a stop some are built and not measured; their answers find nobody */
	p->pushed = p->added = (struct queue){ 0 };
	while ((it = queue_take(&p->flying, NULL)) != NULL) {
		if (it->job)
			engine_cancel(p->engine, it->job);
		it->job = 0;
		build_release(&it->build);
		shape_report_release(&it->shape);
	}
}

int pipeline_until_over(struct pipeline *p, struct err *e)
{
	while (p->added.n || p->pushed.n || p->flying.n)
		if (hand_over_all(p, e) < 0 || step(p, e) < 0 || look(p, e) < 0)
			return -1;
	return 0;
}

int pipeline_run(struct pipeline *p, struct pipeline_item *items, size_t n, struct err *e)
{
	pipeline_begin(p);
	for (size_t i = 0; i < n; i++) {
		items[i].index = i;
		items[i].listed = true;
		pipeline_add(p, &items[i]);
	}
	int rc = pipeline_until_over(p, e);
	pipeline_end(p);
	return rc;
}

void pipeline_push(struct pipeline *p, struct pipeline_item *it)
{
	it->index = PIPELINE_PUSHED;
	it->job = 0;
	queue_add(&p->pushed, it);
}

void pipeline_fail(struct pipeline *p, const struct err *e)
{
	if (!p->failed.kind)
		p->failed = *e;
}

/* Waits for what was asked; @rc: of the asking. */
static int await(struct pipeline *p, int rc, struct err *e)
{
	while (rc == 0 && !p->awaited.done) {
		rc = step(p, e);
		if (rc == 0 && !p->awaited.done && engine_jobs(p->engine) == 0)
			rc = err_set(e, ERR_PROTOCOL,
			             "no answer from the engine: this is our fault, run it again");
	}
	if (rc == 0 && p->awaited.refusal)
		rc = err_set(e, ERR_INPUT, "%s", p->awaited.refusal);
	if (rc == 0 && p->awaited.bytes && buf_failed(p->awaited.bytes))
		rc = err_set(e, ERR_MEM, "out of memory");
	if (rc < 0 && p->awaited.job && !p->awaited.done)
		engine_cancel(p->engine, p->awaited.job);
	free(p->awaited.refusal);
	p->awaited = (struct awaited){ 0 };
	return rc;
}

int pipeline_convert(struct pipeline *p, bool to_step, const void *bytes, size_t len,
                     struct buf *out, struct err *e)
{
	p->awaited = (struct awaited){ .bytes = out };
	return await(p, engine_convert(p->engine, to_step, bytes, len, &p->awaited.job, e), e);
}

int pipeline_prepare(struct pipeline *p, enum shape_format format, const void *bytes, size_t len,
                     struct buf *out, struct err *e)
{
	p->awaited = (struct awaited){ .bytes = out };
	return await(p, engine_prepare(p->engine, format, bytes, len, &p->awaited.job, e), e);
}

int pipeline_build(struct pipeline *p, const struct build_request *r, struct build *out,
                   struct err *e)
{
	p->awaited = (struct awaited){ .build = out };
	return await(p, engine_build(p->engine, r, &p->awaited.job, e), e);
}

int pipeline_measure(struct pipeline *p, const struct shape_request *r, struct shape_report *out,
                     struct err *e)
{
	p->awaited = (struct awaited){ .report = out };
	return await(p, engine_measure(p->engine, r, &p->awaited.job, e), e);
}

struct engine *pipeline_engine(struct pipeline *p)
{
	return p->engine;
}
