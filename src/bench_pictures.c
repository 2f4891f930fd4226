/*
 * bench_pictures.c - what the pictures of a turn cost: drawing and writing them, in the scorer's
 * jailed child, of a part with some 20,000 triangles.
 */
#include <math.h>
#include <stdio.h>

#include "src/bench.h"
#include "src/pipeline.h"

/* A plate with studs and bores: rounds of every size, and planes. */
static const char part[] =
	"import cadquery as cq\n"
	"plate = cq.Workplane('XY').box(240, 160, 12).edges('|Z').fillet(10)\n"
	"places = [(x * 44 - 88, (x % 2) * 60 - 30) for x in range(5)]\n"
	"studs = cq.Workplane('XY').pushPoints(places).circle(9).extrude(26)\n"
	"studs = studs.faces('>Z').edges().fillet(4)\n"
	"fixture = plate.union(studs).faces('<Z').workplane().pushPoints(places)"
	".circle(5).cutBlind(-24)\n";

struct got {
	struct buf brep;
};

static void on_done(void *ctx, size_t item, struct pipeline_item *it)
{
	struct got *g = ctx;

	(void)item;
	g->brep = it->build.brep;
	it->build.brep = (struct buf){ 0 };
}

static int tick(void *ctx)
{
	(void)ctx;
	return bench_go_on(NULL) < 0;
}

int bench_pictures(struct bench *b, struct err *e)
{
	static const char *const views[] = { "front", "back",      "left",    "right",
		                             "top",   "isometric", "section", "sheet" };
	struct got g = { 0 };
	struct pipeline_options o = { .dialect = DIALECT_OPEN,
		                      .limits = b->app.limits,
		                      .ctx = &g,
		                      .tick = tick,
		                      .done = on_done };
	struct pipeline_item it = { .program = part, .len = sizeof(part) - 1 };
	double least = INFINITY;
	size_t bytes = 0, triangles = 0;
	int rc = -1;

	bench_say(b, "pictures of a part");
	app_engine_options(&b->app, &o.engine);
	struct pipeline *p = pipeline_open(&o, e);
	if (!p || pipeline_run(p, &it, 1, e) < 0)
		goto out;
	for (int round = 0; round < b->rounds; round++) {
		struct shape_report r = { 0 };
		const struct shape_request q = { .bytes = buf_str(&g.brep),
			                         .len = g.brep.len,
			                         .views = views,
			                         .n_views = sizeof(views) / sizeof(*views),
			                         .view_px = 720,
			                         .export_stl = true,
			                         .title = "a plate with studs",
			                         .limits = b->app.limits };
		if (bench_go_on(e) < 0 || pipeline_measure(p, &q, &r, e) < 0)
			goto out;
		if (!r.ok || r.n_pictures != q.n_views) {
			err_set(e, ERR_LOST, "no pictures: %s", r.error ? r.error : "too few");
			shape_report_release(&r);
			goto out;
		}
		least = fmin(least, r.render_s);
		triangles = r.stl.len > 84 ? (r.stl.len - 84) / 50 : 0;
		bytes = 0;
		for (int i = 0; i < r.n_pictures; i++)
			bytes += r.pictures[i].png.len;
		shape_report_release(&r);
	}
	bench_figure(b, "score.pictures", least * 1e3, "ms", 60, NAN, NAN, NULL);
	bench_figure(b, "score.pictures_triangles", (double)triangles, "", NAN, NAN, NAN, NULL);
	bench_figure(b, "score.pictures_size", (double)bytes / 1024, "KiB", NAN, NAN, NAN, NULL);
	rc = 0;
out:
	pipeline_close(p);
	buf_release(&g.brep);
	return rc;
}
