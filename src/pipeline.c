#include "src/pipeline.h"
#include "src/base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pipeline {
	struct pipeline_options o;
	struct engine *engine;
	const struct reference_set **known; /* the reference of engine id i + 1 */
	int n_known;
	struct pipeline_item *items;
	size_t n, next, ended;
	size_t in_flight;
	struct err failed; /* from inside a callback */
	struct buf *converted;
	bool converting;
	struct shape_report *measured; /* of pipeline_measure(); NULL while none is under way */
	uint32_t measure_job;
};

static int step(struct pipeline *p, struct err *e)
{
	if (p->o.tick && p->o.tick(p->o.ctx))
		return err_set(e, ERR_CANCELLED, "interrupted");
	return engine_wait(p->engine, 250, e);
}

static struct pipeline_item *find(struct pipeline *p, uint32_t job, size_t *index)
{
	for (size_t i = 0; i < p->next; i++)
		if (p->items[i].job == job) {
			*index = i;
			return &p->items[i];
		}
	return NULL;
}

static void finish(struct pipeline *p, struct pipeline_item *it, size_t index)
{
	it->job = 0;
	it->seconds = clock_now_s() - it->started;
	p->in_flight--;
	p->ended++;
	p->o.done(p->o.ctx, index, it);
	build_release(&it->build);
	shape_report_release(&it->shape);
}

static void on_log(void *ctx, uint32_t job, const char *stream, const char *text, size_t len)
{
	struct pipeline *p = ctx;
	size_t index;

	if (p->o.log && find(p, job, &index))
		p->o.log(p->o.ctx, index, stream, text, len);
}

/* The engine's number for a set, which it is told of once; 0 for none. */
static int reference_id(struct pipeline *p, const struct reference_set *set, struct err *e)
{
	int id = 0;

	if (!set)
		return 0;
	for (int i = 0; i < p->n_known; i++)
		if (p->known[i] == set)
			return i + 1;
	const struct reference_set **more =
		realloc(p->known, sizeof(*more) * (size_t)(p->n_known + 1));
	if (!more)
		return err_set(e, ERR_MEM, "out of memory for a reference");
	p->known = more;
	if (engine_reference(p->engine, set, &id, e) < 0)
		return -1;
	p->known[p->n_known++] = set;
	return id;
}

static void on_built(void *ctx, uint32_t job, struct build *b)
{
	struct pipeline *p = ctx;
	size_t index;
	struct pipeline_item *it = find(p, job, &index);

	if (!it)
		return;
	it->build = *b;
	memset(b, 0, sizeof(*b));
	if (it->build.ok && p->o.measure) {
		struct shape_request r = {
			.bytes = it->build.brep.data,
			.len = it->build.brep.len,
			.format = SHAPE_BREP,
			.geometry = p->o.geometry,
			.figures = p->o.figures,
			.reference = reference_id(p, it->reference ? it->reference : p->o.reference,
			                          &p->failed),
			.export_stl = p->o.export_stl,
			.export_glb = p->o.export_glb,
			.limits = p->o.limits,
		};
		if (r.reference >= 0 && engine_measure(p->engine, &r, &it->job, &p->failed) == 0)
			return;
	}
	finish(p, it, index);
}

static void on_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	struct pipeline *p = ctx;
	size_t index;
	struct pipeline_item *it = find(p, job, &index);

	if (p->measured && job == p->measure_job) {
		*p->measured = *r;
		memset(r, 0, sizeof(*r));
		p->measured = NULL;
		return;
	}
	if (!it)
		return;
	it->shape = *r;
	it->measured = true;
	memset(r, 0, sizeof(*r));
	finish(p, it, index);
}

static void on_converted(void *ctx, uint32_t job, const void *bytes, size_t len, const char *error)
{
	struct pipeline *p = ctx;

	(void)job;
	p->converting = false;
	if (error)
		err_set(&p->failed, ERR_INPUT, "%s", error);
	else
		buf_add(p->converted, bytes, len);
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
		                  .converted = on_converted };
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
	free(p);
}

int pipeline_warm(struct pipeline *p, struct err *e)
{
	if (engine_warm_builder(p->engine, e) < 0 ||
	    (p->o.measure && engine_warm_scorer(p->engine, e) < 0))
		return -1;
	while (!engine_builder_info(p->engine) || (p->o.measure && !engine_scorer_info(p->engine)))
		if (step(p, e) < 0)
			return -1;
	return 0;
}

static int run_items(struct pipeline *p, struct pipeline_item *items, size_t n, struct err *e)
{
	size_t most = 2 * (size_t)p->o.engine.jobs;

	p->items = items;
	p->n = n;
	p->next = p->ended = p->in_flight = 0;
	p->failed = (struct err){ 0 };
	/* the scorer starts while the builder imports CadQuery */
	if (n && (engine_warm_builder(p->engine, e) < 0 ||
	          (p->o.measure && engine_warm_scorer(p->engine, e) < 0)))
		return -1;
	while (p->ended < n) {
		while (p->next < n && p->in_flight < most) {
			struct pipeline_item *it = &items[p->next++];
			struct build_request r = {
				.program = it->program,
				.len = it->len,
				.line_offset = it->line_offset,
				.dialect = p->o.dialect,
				.no_filter = p->o.no_filter,
				.facts = p->o.facts,
				.limits = p->o.limits,
			};
			it->started = clock_now_s();
			it->measured = false;
			if (engine_build(p->engine, &r, &it->job, e) < 0)
				return -1;
			p->in_flight++;
		}
		if (step(p, e) < 0)
			return -1;
		if (p->failed.kind) {
			*e = p->failed;
			return -1;
		}
		if (p->in_flight && engine_jobs(p->engine) == 0)
			return err_set(
				e, ERR_PROTOCOL,
				"%zu programs got no answer from the engine: this is our fault, run it again",
				p->in_flight);
	}
	return 0;
}

int pipeline_run(struct pipeline *p, struct pipeline_item *items, size_t n, struct err *e)
{
	int rc = run_items(p, items, n, e);

	/* after a stop some are built and not measured */
	for (size_t i = 0; i < n; i++) {
		build_release(&items[i].build);
		shape_report_release(&items[i].shape);
	}
	return rc;
}

int pipeline_convert(struct pipeline *p, bool to_step, const void *bytes, size_t len,
                     struct buf *out, struct err *e)
{
	p->failed = (struct err){ 0 };
	p->converted = out;
	p->converting = true;
	if (engine_convert(p->engine, to_step, bytes, len, NULL, e) < 0)
		return -1;
	while (p->converting)
		if (step(p, e) < 0)
			return -1;
	if (p->failed.kind) {
		*e = p->failed;
		return -1;
	}
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

int pipeline_measure(struct pipeline *p, const struct shape_request *r, struct shape_report *out,
                     struct err *e)
{
	p->measured = out;
	if (engine_measure(p->engine, r, &p->measure_job, e) < 0)
		return -1;
	while (p->measured)
		if (step(p, e) < 0)
			return -1;
	return 0;
}

struct engine *pipeline_engine(struct pipeline *p)
{
	return p->engine;
}
