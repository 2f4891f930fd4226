#include "src/export_shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "src/pipeline.h"

enum format { STEP, STL, BREP, GLB, PNG, NONE };

static const struct {
	const char *ending;
	enum format format;
	const char *artifact; /* NULL: none is ever stored */
} formats[] = {
	{ ".step", STEP, "shape.step" }, { ".stp", STEP, "shape.step" },
	{ ".stl", STL, "shape.stl" },    { ".brep", BREP, "shape.brep" },
	{ ".glb", GLB, NULL },           { ".png", PNG, "sheet.png" },
};
enum { N_FORMATS = sizeof(formats) / sizeof(*formats) };

static int format_of(const char *path)
{
	size_t n = strlen(path);

	for (int i = 0; i < N_FORMATS; i++) {
		size_t m = strlen(formats[i].ending);
		if (n > m && strcasecmp(path + n - m, formats[i].ending) == 0)
			return i;
	}
	return -1;
}

bool export_shape_named(const char *path)
{
	return format_of(path) >= 0;
}

struct work {
	const struct app *app;
	struct store *s;
	int64_t episode;
	int turn;
	char task[128];
	bool has[N_FORMATS];
	bool has_step, has_brep, pruned, built;
	const char *wanted;
};

static int take_episode(void *ctx, const struct store_episode *x)
{
	struct work *w = ctx;

	snprintf(w->task, sizeof(w->task), "%s", x->task);
	if (!w->turn)
		w->turn = x->best;
	return 0;
}

static int take_turn(void *ctx, const struct store_turn *t)
{
	((struct work *)ctx)->built = t->built;
	return 0;
}

static int take_artifact(void *ctx, const struct store_artifact *a)
{
	struct work *w = ctx;

	for (int i = 0; i < N_FORMATS; i++)
		if (formats[i].artifact && strcmp(a->name, formats[i].artifact) == 0)
			w->has[i] = a->there;
	w->has_step = w->has_step || (a->there && strcmp(a->name, "shape.step") == 0);
	w->has_brep = w->has_brep || (a->there && strcmp(a->name, "shape.brep") == 0);
	w->pruned = w->pruned || (a->pruned && strcmp(a->name, "shape.brep") == 0);
	return 0;
}

static int stop(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int measure(struct work *w, struct pipeline *p, const struct buf *brep, enum format f,
                   struct buf *out, struct err *e)
{
	static const char *const views[] = { "sheet" };
	struct shape_report report = { 0 };
	const struct shape_request r = {
		.bytes = buf_str(brep),
		.len = brep->len,
		.format = SHAPE_BREP,
		.export_stl = f == STL,
		.export_glb = f == GLB,
		.views = views,
		.n_views = f == PNG,
		.view_px = 720,
		.title = w->task,
		.limits = w->app->limits,
	};
	int rc = pipeline_measure(p, &r, &report, e);

	/* a request for pictures alone measures nothing, and says so by its pictures */
	if (rc == 0 && f == PNG && report.n_pictures == 1)
		buf_add(out, report.pictures[0].png.data, report.pictures[0].png.len);
	else if (rc == 0 && report.ok && f == STL)
		buf_add(out, report.stl.data, report.stl.len);
	else if (rc == 0 && report.ok && f == GLB)
		buf_add(out, report.glb.data, report.glb.len);
	else if (rc == 0)
		rc = err_set(e, ERR_INPUT, "%s",
		             report.error ? report.error : build_cause_label(report.cause));
	shape_report_release(&report);
	return rc;
}

/* Of the BREP that is stored, or of the STEP where there is none. */
static int make(struct work *w, enum format f, struct buf *out, struct err *e)
{
	struct pipeline_options o = { .limits = w->app->limits, .tick = stop };
	struct buf stored = { 0 }, brep = { 0 };
	struct pipeline *p;
	int rc;

	if (store_artifact(w->s, w->episode, w->turn, w->has_brep ? "shape.brep" : "shape.step",
	                   &stored, e) < 0)
		return -1;
	app_engine_options(w->app, &o.engine);
	o.engine.jobs = 1;
	if (!(p = pipeline_open(&o, e))) {
		buf_release(&stored);
		return -1;
	}
	rc = w->has_brep ? 0 : pipeline_convert(p, false, stored.data, stored.len, &brep, e);
	const struct buf *shape = w->has_brep ? &stored : &brep;
	if (rc == 0 && f == BREP)
		buf_add(out, shape->data, shape->len);
	else if (rc == 0 && f == STEP)
		rc = pipeline_convert(p, true, shape->data, shape->len, out, e);
	else if (rc == 0)
		rc = measure(w, p, shape, f, out, e);
	pipeline_close(p);
	buf_release(&stored);
	buf_release(&brep);
	return rc;
}

static int read_or_make(struct work *w, int format, struct buf *out, bool *made, struct err *e)
{
	if (w->has[format])
		return store_artifact(w->s, w->episode, w->turn, formats[format].artifact, out, e);
	if (!w->has_brep && !w->has_step)
		return w->pruned ? err_set(e, ERR_INPUT,
		                           "turn %" PRId64
		                           ".%d: its shape was pruned: 'cadforge show "
		                           "%" PRId64 ".%d --artifact program.py -o F.py' and "
		                           "'cadforge build F.py -o %s' build it again",
		                           w->episode, w->turn, w->episode, w->turn, w->wanted)
		       : w->built
		               ? err_set(e, ERR_INPUT, "turn %" PRId64 ".%d: no shape was stored",
		                         w->episode, w->turn)
		               : err_set(e, ERR_INPUT,
		                         "turn %" PRId64 ".%d did not build: it has no shape",
		                         w->episode, w->turn);
	*made = true;
	return make(w, formats[format].format, out, e);
}

int export_shape(const struct app *app, struct store *s, int64_t episode, int turn,
                 const char *path, struct exported_shape *done, struct err *e)
{
	struct work w = { .app = app, .s = s, .episode = episode, .turn = turn, .wanted = path };
	struct buf out = { 0 };
	struct stat st;
	int rc, format = format_of(path);

	*done = (struct exported_shape){ 0 };
	if (format < 0)
		return err_set(e, ERR_USAGE,
		               "%s: its name must end in .step, .stl, .brep, .glb or .png", path);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "%s is there already, and no plain file", path);
	if (store_episode(s, episode, take_episode, &w, e) < 0)
		return -1;
	if (!w.turn)
		return err_set(e, ERR_INPUT,
		               "episode %" PRId64 " has no turn with a total: name one", episode);
	if (store_turn(s, episode, w.turn, take_turn, &w, e) < 0 ||
	    store_artifacts(s, episode, w.turn, take_artifact, &w, e) < 0)
		return -1;
	rc = read_or_make(&w, format, &out, &done->made, e);
	if (rc == 0 && buf_failed(&out))
		rc = err_set(e, ERR_MEM, "%s: no memory", path);
	if (rc == 0)
		rc = file_write_atomic(path, buf_str(&out), out.len, e);
	done->turn = w.turn;
	done->bytes = out.len;
	buf_release(&out);
	return rc;
}
