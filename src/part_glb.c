#include "src/part_glb.h"

#include <stdlib.h>

#include "src/pipeline.h"

struct part_glb {
	const struct app *app;
	struct pipeline *pipeline;
};

struct part_glb *part_glb_open(const struct app *app, struct err *e)
{
	struct part_glb *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->app = app;
	return p;
}

void part_glb_close(struct part_glb *p)
{
	if (!p)
		return;
	if (p->pipeline)
		pipeline_close(p->pipeline);
	free(p);
}

static int stop(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int start(struct part_glb *p, struct err *e)
{
	struct pipeline_options o = { .limits = p->app->limits, .tick = stop };

	if (p->pipeline)
		return 0;
	app_engine_options(p->app, &o.engine);
	o.engine.jobs = 1;
	p->pipeline = pipeline_open(&o, e);
	return p->pipeline ? 0 : -1;
}

int part_glb_make(void *ctx, const void *shape, size_t len, bool is_step, struct buf *out,
                  struct err *e)
{
	struct part_glb *p = ctx;
	struct shape_report report = { 0 };
	struct buf brep = { 0 };

	if (start(p, e) < 0 ||
	    (is_step && pipeline_convert(p->pipeline, false, shape, len, &brep, e) < 0)) {
		buf_release(&brep);
		return -1;
	}
	struct shape_request r = { .bytes = is_step ? buf_str(&brep) : shape,
		                   .len = is_step ? brep.len : len,
		                   .format = SHAPE_BREP,
		                   .export_glb = true,
		                   .limits = p->app->limits };
	int rc = pipeline_measure(p->pipeline, &r, &report, e);
	if (rc == 0 && !report.ok)
		rc = err_set(e, ERR_INPUT, "%s",
		             report.error ? report.error : build_cause_label(report.cause));
	if (rc == 0)
		buf_add(out, report.glb.data, report.glb.len);
	if (rc == 0 && buf_failed(out))
		rc = err_set(e, ERR_MEM, "no memory for a GLB");
	shape_report_release(&report);
	buf_release(&brep);
	return rc;
}
