/*
 * cmd_build.c - one program, built in the jail and exported.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/extract.h"
#include "engine/views.h"
#include "engine/failure.h"
#include "src/app.h"
#include "src/pipeline.h"
#include "src/show.h"

enum { OUTPUTS_MAX = 16, PROGRAM_MAX = 8 << 20, SHAPE_MAX = 256 << 20 };

/* What FILE holds, by its ending. */
enum source { SOURCE_PROGRAM, SOURCE_BREP, SOURCE_STEP, SOURCE_STL, SOURCE_GLB };

struct work {
	const struct app *app;
	const char *file;
	char *shown;                     /* its name for people */
	const char *output[OUTPUTS_MAX]; /* as named, and where that leads */
	char *target[OUTPUTS_MAX];
	int n_outputs;
	const char *view[OUTPUTS_MAX]; /* of the k-th picture; the sheet where none is named */
	int n_views, view_px;
	const struct buf *text; /* of the file */
	enum source source;
	bool facts;
	size_t log_shown;   /* bytes of the log that were passed on as they came */
	struct build build; /* taken from the pipeline */
	struct shape_report shape;
	bool measured;
};

static const char *ending(const char *path)
{
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');

	return dot && (!slash || dot > slash) ? dot + 1 : "";
}

static enum source source_of(const char *path)
{
	static const struct {
		const char *ending;
		enum source source;
	} known[] = { { "brep", SOURCE_BREP },
		      { "step", SOURCE_STEP },
		      { "stp", SOURCE_STEP },
		      { "stl", SOURCE_STL },
		      { "glb", SOURCE_GLB } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcasecmp(ending(path), known[i].ending) == 0)
			return known[i].source;
	return SOURCE_PROGRAM;
}

static bool wants(const struct work *w, const char *a, const char *b)
{
	for (int i = 0; i < w->n_outputs; i++)
		if (strcasecmp(ending(w->output[i]), a) == 0 ||
		    strcasecmp(ending(w->output[i]), b) == 0)
			return true;
	return false;
}

static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	struct work *w = ctx;

	(void)item;
	(void)stream;
	if (!w->app->quiet)
		fwrite(text, 1, len, stderr);
	w->log_shown += len;
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static void on_done(void *ctx, size_t item, struct pipeline_item *it)
{
	struct work *w = ctx;

	(void)item;
	if (!w->app->quiet)
		show_rest_of_log(stderr, &it->build.log, w->log_shown);
	w->build = it->build;
	w->shape = it->shape;
	w->measured = it->measured;
	it->build = (struct build){ 0 };
	it->shape = (struct shape_report){ 0 };
}

/* The pictures that -o asks for, in one go. */
static int draw(struct work *w, struct pipeline *p, struct shape_report *out, struct err *e)
{
	const char *views[OUTPUTS_MAX], *slash = strrchr(w->file, '/');
	bool triangles = w->source == SOURCE_STL || w->source == SOURCE_GLB;
	const struct buf *shape = triangles ? w->text : &w->build.brep;
	struct shape_request r = { .bytes = buf_str(shape),
		                   .len = shape->len,
		                   .format = w->source == SOURCE_STL   ? SHAPE_STL
		                             : w->source == SOURCE_GLB ? SHAPE_GLB
		                                                       : SHAPE_BREP,
		                   .views = views,
		                   .view_px = w->view_px,
		                   .title = slash ? slash + 1 : w->file,
		                   .limits = w->app->limits };

	for (int i = 0; i < w->n_outputs; i++)
		if (strcasecmp(ending(w->output[i]), "png") == 0) {
			views[r.n_views] = r.n_views < w->n_views ? w->view[r.n_views] : "sheet";
			r.n_views++;
		}
	if (r.n_views == 0)
		return 0;
	if (pipeline_measure(p, &r, out, e) < 0)
		return -1;
	if (!out->ok || out->n_pictures != r.n_views)
		return err_set(e, ERR_INPUT, "no picture of %s: %s", w->file,
		               out->error ? out->error : "it cannot be drawn");
	return 0;
}

static int export_all(struct work *w, struct pipeline *p, cJSON *list, struct err *e)
{
	struct shape_report drawn = { 0 };
	int rc = draw(w, p, &drawn, e), n_drawn = 0;

	for (int i = 0; i < w->n_outputs && rc == 0; i++) {
		const char *path = w->output[i], *x = ending(path);
		struct buf step = { 0 };
		const struct buf *what = strcasecmp(x, "brep") == 0  ? &w->build.brep
		                         : strcasecmp(x, "stl") == 0 ? &w->shape.stl
		                         : strcasecmp(x, "glb") == 0 ? &w->shape.glb
		                         : strcasecmp(x, "png") == 0
		                                 ? &drawn.pictures[n_drawn++].png
		                                 : &step;
		if (what == &step)
			rc = pipeline_convert(p, true, w->build.brep.data, w->build.brep.len, &step,
			                      e);
		if (rc == 0)
			rc = file_write_atomic(w->target[i], buf_str(what), what->len, e);
		if (rc == 0) {
			cJSON *o = cJSON_CreateObject();
			show_add_file(o, path);
			cJSON_AddNumberToObject(o, "bytes", (double)what->len);
			cJSON_AddItemToArray(list, o);
			if (!w->app->json && !w->app->quiet)
				printf("  wrote %s, %zu bytes\n", path, what->len);
		}
		buf_release(&step);
	}
	shape_report_release(&drawn);
	return rc;
}

/* Facts for people: a line each, "dimension width = 500, line 4, 2 uses". */
static void show_facts(FILE *out, const cJSON *facts)
{
	const cJSON *group, *one, *v;

	cJSON_ArrayForEach(group, facts)
	{
		if (!cJSON_IsArray(group) && !cJSON_IsObject(group)) {
			char *text = cJSON_PrintUnformatted(group);
			fprintf(out, "  %s: %s\n", group->string, text ? text : "");
			free(text);
			continue;
		}
		fprintf(out, "  %s:%s\n", group->string, group->child ? "" : " none");
		cJSON_ArrayForEach(one, group)
		{
			const char *sep = "";
			fputs("    ", out);
			if (one->string)
				fprintf(out, "%s: ", one->string);
			if (!cJSON_IsObject(one)) {
				char *text =
					cJSON_IsString(one) ? NULL : cJSON_PrintUnformatted(one);
				fputs(text                  ? text
				      : cJSON_IsString(one) ? one->valuestring
				                            : "",
				      out);
				free(text);
			}
			const cJSON *members = cJSON_IsObject(one) ? one : NULL;
			cJSON_ArrayForEach(v, members)
			{
				char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
				if (!cJSON_IsNull(v))
					fprintf(out, "%s%s %s", sep, v->string,
					        text                ? text
					        : cJSON_IsString(v) ? v->valuestring
					                            : "");
				if (!cJSON_IsNull(v))
					sep = ", ";
				free(text);
			}
			fputc('\n', out);
		}
	}
}

static int report(struct work *w, struct pipeline *p, struct err *e)
{
	enum build_class cls = failure_class(w->build.cause, NAN, NAN);
	cJSON *o = cJSON_CreateObject(), *list;
	int rc = 0;

	/* a shape that could not be measured is no part: the scorer's word goes before the
	 * builder's */
	if (w->build.ok && !(w->measured && w->shape.ok)) {
		w->build.ok = false;
		w->build.cause = w->shape.cause;
		free(w->build.error);
		w->build.error = w->shape.error;
		w->shape.error = NULL;
		w->build.limit = w->shape.limit;
		cls = failure_class(w->build.cause, NAN, NAN);
	}
	show_add_file(o, w->file);
	cJSON_AddItemToObject(o, "build", show_build_json(&w->build, cls));
	cJSON_AddItemToObject(o, "geometry", show_geometry_json(w->shape.geometry));
	cJSON_AddItemToObject(o, "mesh",
	                      show_mesh_json(w->shape.has_figures ? &w->shape.figures : NULL));
	if (w->facts)
		cJSON_AddItemToObject(o, "facts",
		                      w->build.facts ? cJSON_Duplicate(w->build.facts, true)
		                                     : cJSON_CreateNull());
	list = cJSON_AddArrayToObject(o, "outputs");
	if (!w->app->json) {
		if (w->build.ok) {
			printf("%s: %s in %.0f ms\n", w->shown,
			       w->source == SOURCE_PROGRAM ? "built" : "read",
			       w->build.seconds * 1e3);
			show_geometry(stdout, w->shape.geometry);
			if (w->shape.has_figures)
				printf("  %ld triangles, %ld vertices, %ld pieces; %s; box %.2f x %.2f x %.2f mm\n",
				       w->shape.figures.triangles, w->shape.figures.vertices,
				       w->shape.figures.components,
				       w->shape.figures.watertight ? "watertight"
				                                   : "NOT watertight",
				       w->shape.figures.box_len_mm[0],
				       w->shape.figures.box_len_mm[1],
				       w->shape.figures.box_len_mm[2]);
		} else {
			show_build_failure(stdout, w->file,
			                   cJSON_GetObjectItemCaseSensitive(o, "build"));
		}
		if (w->facts)
			show_facts(stdout, w->build.facts);
	}
	if (w->build.ok)
		rc = export_all(w, p, list, e);
	if (w->app->json)
		show_json_line(o);
	cJSON_Delete(o);
	return rc;
}

/* A shape that somebody else made: no program runs; it is read, measured and exported in the same
 * jails. */
static int read_shape(struct work *w, struct pipeline *p, const struct buf *file, struct err *e)
{
	struct shape_request r = {
		.bytes = buf_str(file),
		.len = file->len,
		.format = w->source == SOURCE_STL   ? SHAPE_STL
		          : w->source == SOURCE_GLB ? SHAPE_GLB
		                                    : SHAPE_BREP,
		.geometry = w->source != SOURCE_STL && w->source != SOURCE_GLB,
		.figures = FIGURES_NONE,
		.export_stl = wants(w, "stl", "stl"),
		.export_glb = wants(w, "glb", "glb"),
		.limits = w->app->limits,
	};

	for (int i = 0; i < w->n_outputs && !r.geometry; i++)
		if (strcasecmp(ending(w->output[i]), "stl") != 0 &&
		    strcasecmp(ending(w->output[i]), "png") != 0 &&
		    strcasecmp(ending(w->output[i]), "glb") != 0)
			return err_set(
				e, ERR_USAGE,
				"-o %s: %s holds triangles, which have no surfaces to write as %s",
				w->output[i], w->file, ending(w->output[i]));
	if (!r.geometry)
		r.figures = FIGURES_FAST;
	if (w->source == SOURCE_STEP) {
		if (pipeline_convert(p, false, file->data, file->len, &w->build.brep, e) < 0)
			return e->kind == ERR_INPUT ? err_wrap(e, "%s", w->file) : -1;
		r.bytes = w->build.brep.data;
		r.len = w->build.brep.len;
	} else if (w->source == SOURCE_BREP) {
		buf_add(&w->build.brep, buf_str(file), file->len);
	}
	if (pipeline_measure(p, &r, &w->shape, e) < 0)
		return -1;
	if (!w->shape.ok) {
		err_set(e, ERR_INPUT, "%s: %s", w->file,
		        w->shape.error ? w->shape.error : "cannot be used");
		return -1;
	}
	w->measured = w->build.ok = true;
	w->build.cause = CAUSE_OK;
	w->build.seconds = w->shape.seconds;
	w->build.limit.limit = w->build.limit.used = NAN;
	return 0;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Before anything is built: that @path can be written and is not what is read. Writes where it
 * leads, through symbolic links, to @out, which the caller frees. */
static int check_output(char **out, const char *path, const char *input, struct err *e)
{
	char folder[PATH_MAX], real[PATH_MAX], target[PATH_MAX];
	struct stat st;
	const char *slash;

	snprintf(target, sizeof(target), "%s", path);
	/* a link that leads nowhere yet is followed by hand: realpath() wants its end to be there
	 */
	for (int hops = 0; lstat(target, &st) == 0 && S_ISLNK(st.st_mode); hops++) {
		ssize_t n = readlink(target, real, sizeof(real) - 1);
		if (n < 0 || hops == 40)
			return err_set(e, ERR_USAGE, "-o %s: a symbolic link that leads nowhere",
			               path);
		real[n] = '\0';
		slash = real[0] == '/' ? NULL : strrchr(target, '/');
		int folder_len = slash ? (int)(slash - target) + 1 : 0;
		int len = snprintf(folder, sizeof(folder), "%.*s%s", folder_len, target, real);
		if (len >= (int)sizeof(folder))
			return err_set(e, ERR_USAGE, "-o %s: its link is too long", path);
		strcpy(target, folder);
	}
	if (stat(target, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(e, ERR_USAGE, "-o %s: is a folder; name a file in it", path);
	if (same_file(target, input))
		return err_set(e, ERR_USAGE, "-o %s: is the file that is read; name another", path);
	slash = strrchr(target, '/');
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - target) + 1 : 1,
	         slash ? target : ".");
	if (access(folder, W_OK | X_OK) < 0)
		return err_set(e, ERR_USAGE, "-o %s: %s", path,
		               errno == ENOENT    ? "its folder does not exist"
		               : errno == ENOTDIR ? "its folder is no folder"
		                                  : "its folder cannot be written to");
	*out = strdup(target);
	return *out ? 0 : err_set(e, ERR_MEM, "out of memory");
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { APP_LONG_OPTIONS,
		                                 { "out", required_argument, NULL, 'o' },
		                                 { "dialect", required_argument, NULL, 'd' },
		                                 { "facts", no_argument, NULL, 'f' },
		                                 { "view", required_argument, NULL, 'v' },
		                                 { "size", required_argument, NULL, 's' },
		                                 { NULL, 0, NULL, 0 } };
	struct app a;
	struct work w = { .app = &a, .view_px = VIEW_PX };
	struct buf text = { 0 };
	struct extract what = { 0 };
	struct err e = { 0 };
	enum dialect dialect = DIALECT_OPEN;
	struct pipeline *p = NULL;
	int opt, rc;

	app_init(&a);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":o:d:f", options, NULL)) >= 0) {
		rc = app_flag(&a, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		switch (opt) {
		case 'o':
			if (w.n_outputs == OUTPUTS_MAX)
				return app_usage(self, "-o: at most %d files", OUTPUTS_MAX);
			w.output[w.n_outputs++] = optarg;
			break;
		case 'd':
			if (app_dialect(optarg, &dialect) < 0)
				return EXIT_USAGE;
			break;
		case 'f':
			w.facts = true;
			break;
		case 'v':
			if (w.n_views == OUTPUTS_MAX)
				return app_usage(self, "--view: at most %d", OUTPUTS_MAX);
			if (view_name_check(optarg, &e) < 0 || strcmp(optarg, "difference") == 0)
				return app_usage(self, "--view: %s",
				                 e.text[0] ? e.text
				                           : "a difference needs a task: see run");
			w.view[w.n_views++] = optarg;
			break;
		case 's':
			if (app_whole("--size", optarg, VIEW_PX_MIN, VIEW_PX_MAX, &w.view_px) < 0)
				return EXIT_USAGE;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (argc - optind != 1)
		return app_usage(self, argc == optind ? "a program is expected: FILE.py"
		                                      : "one program at a time");
	for (int i = 0; i < w.n_outputs; i++) {
		static const char *const known[] = { "step", "stp", "stl", "brep", "glb", "png" };
		bool ok = false;
		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			ok = ok || strcasecmp(ending(w.output[i]), known[k]) == 0;
		if (!ok)
			return app_usage(
				self,
				"-o %s: its name must end in .step, .stl, .brep, .glb or .png",
				w.output[i]);
	}
	w.file = argv[optind];
	if (!w.file[0])
		return app_usage(self, "an empty word is no file: FILE.py");
	w.shown = show_name(w.file);
	if (!w.shown)
		return EXIT_NO;
	app_find(&a);
	w.source = source_of(w.file);
	if (buf_read_file(&text, w.file, w.source == SOURCE_PROGRAM ? PROGRAM_MAX : SHAPE_MAX, &e) <
	    0)
		return app_fail(&e);
	w.text = &text;
	for (int i = 0; i < w.n_outputs; i++)
		if (check_output(&w.target[i], w.output[i], w.file, &e) < 0)
			return app_fail(&e);
	if (w.source == SOURCE_PROGRAM &&
	    extract_program(&what, EXTRACT_FILE, buf_str(&text), text.len, &e) < 0)
		return app_fail(&e);
	a.jobs = 1;
	struct pipeline_options o = {
		.dialect = dialect,
		.limits = a.limits,
		.no_filter = a.no_filter,
		.facts = w.facts,
		.geometry = true,
		.measure = true,
		.export_stl = wants(&w, "stl", "stl"),
		.export_glb = wants(&w, "glb", "glb"),
		.ctx = &w,
		.log = on_log,
		.tick = on_tick,
		.done = on_done,
	};
	app_engine_options(&a, &o.engine);
	app_catch_interrupt();
	struct pipeline_item it = { .program = buf_str(&what.program),
		                    .len = what.program.len,
		                    .line_offset = what.line_offset };
	p = pipeline_open(&o, &e);
	if (!p)
		rc = -1;
	else if (w.source == SOURCE_PROGRAM)
		rc = pipeline_run(p, &it, 1, &e);
	else
		rc = read_shape(&w, p, &text, &e);
	if (rc < 0 || report(&w, p, &e) < 0)
		rc = app_fail(&e);
	else
		rc = w.build.ok ? EXIT_DONE : EXIT_NO;
	build_release(&w.build);
	shape_report_release(&w.shape);
	pipeline_close(p);
	for (int i = 0; i < w.n_outputs; i++)
		free(w.target[i]);
	free(w.shown);
	extract_release(&what);
	buf_release(&text);
	return rc;
}

const struct cmd cmd_build = {
	.name = "build",
	.usage =
		"build FILE [-o OUT.step|.stl|.brep|.glb|.png]... [--dialect seed|open] [--facts] [--json]",
	.summary = "build one program in the jail, measure it, export it",
	.help = "  FILE              a program (.py, or text with a fenced block), or a shape to read, measure and\n"
		"                    convert: .step .stp .brep .stl .glb\n"
		"  -o, --out FILE    write the part; the ending says how: .step .stl .brep .glb, and\n"
		"                    .png for a picture; may be repeated\n"
		"  --view NAME       of the picture: sheet (default), front, back, left, right, top, isometric, section or\n"
		"                    section:AXIS:AT with a fraction of the box; the k-th is of the k-th picture\n"
		"  --size PX         height and width of a picture, 96 to 2048 (720)\n"
		"  --dialect D       open (default): all of Python's builtins and the usual imports;\n"
		"                    seed: what the published environment allows\n"
		"  --facts           also the static facts of the program's syntax tree\n",
	.engine = true,
	.run = run,
};
