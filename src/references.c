#include "src/references.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/exact_reference.h"
#include "src/base/sha256.h"

#define FORMAT "cadforge-prepared-1"

enum { PROGRAM_MAX = 8 << 20, FILE_MAX = 256 << 20, HEAD_MAX = 4096 };

enum kind { KIND_PROGRAM, KIND_STEP, KIND_BREP, KIND_STL, KIND_GLB, KIND_NONE };

void prepared_release(struct prepared *r)
{
	buf_release(&r->blob);
	*r = (struct prepared){ .nodes = NAN };
}

static enum kind kind_of(const char *path)
{
	static const struct {
		const char *ending;
		enum kind kind;
	} known[] = { { ".py", KIND_PROGRAM }, { ".step", KIND_STEP }, { ".stp", KIND_STEP },
		      { ".brep", KIND_BREP },  { ".stl", KIND_STL },   { ".glb", KIND_GLB } };
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t k = strlen(known[i].ending);
		if (n > k && strcasecmp(path + n - k, known[i].ending) == 0)
			return known[i].kind;
	}
	return KIND_NONE;
}

/* ---- the cache ---- */

static void add_versions(struct sha256 *s, const cJSON *info)
{
	struct buf text = { 0 };
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(info, "versions"), *x;

	cJSON_ArrayForEach(x, v)
	{
		/* what differs from start to start is no version */
		if (x->string && strcmp(x->string, "start_seconds") == 0)
			continue;
		buf_printf(&text, "%s=", x->string ? x->string : "");
		json_print(&text, x);
		buf_addc(&text, '\n');
	}
	sha256_add(s, buf_str(&text), text.len);
	buf_release(&text);
}

/* Makes the folder, and those above it; "" when there is no place for a cache. */
static void cache_dir(char *out, size_t size)
{
	const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");
	int n;

	if (cache && *cache == '/')
		n = snprintf(out, size, "%s/cadforge/references", cache);
	else if (home && *home == '/')
		n = snprintf(out, size, "%s/.cache/cadforge/references", home);
	else
		n = -1;
	if (n < 0 || (size_t)n >= size) {
		*out = '\0';
		return;
	}
	for (char *at = strchr(out + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(out, 0777);
		*at = '/';
	}
	if (mkdir(out, 0777) < 0 && errno != EEXIST)
		*out = '\0';
}

/* Which scorer it was: another one measures otherwise. */
static void add_scorer(struct sha256 *s, struct pipeline *p, const struct app *a)
{
	char path[PATH_MAX + 32], text[80];
	struct stat st = { 0 };

	snprintf(path, sizeof(path), "%s/cadforge-scorer", a->libexec);
	stat(path, &st);
	int n = snprintf(text, sizeof(text), "%lld %lld.%09ld\n", (long long)st.st_size,
	                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	sha256_add(s, text, (size_t)n);
	add_versions(s, engine_scorer_info(pipeline_engine(p)));
}

static void cache_name(char hex[SHA256_HEX], struct pipeline *p, const struct app *a,
                       enum kind kind, const struct buf *file)
{
	struct sha256 s;
	char head[80];

	int n = snprintf(head, sizeof(head), FORMAT " %d %d\n", EXACT_REFERENCE_VERSION, kind);
	sha256_start(&s);
	sha256_add(&s, head, (size_t)n);
	add_scorer(&s, p, a);
	if (kind == KIND_PROGRAM || kind == KIND_STEP)
		add_versions(&s, engine_builder_info(pipeline_engine(p)));
	sha256_add(&s, buf_str(file), file->len);
	sha256_end_hex(&s, hex);
}

/* The path of what is kept under that name; "" when nothing can be. */
static void cache_path(char *out, size_t size, const char *hex)
{
	char dir[PATH_MAX];

	cache_dir(dir, sizeof(dir));
	*out = '\0';
	if (*dir)
		snprintf(out, size, "%s/%s", dir, hex);
}

/* A line of JSON, {format, nodes, bytes, sha256}, and the blob. */
static bool cache_load(struct prepared *out, const char *path)
{
	struct buf file = { 0 };
	struct err e = { 0 };
	char hex[SHA256_HEX];
	cJSON *head = NULL;
	bool good = false;

	if (buf_read_file(&file, path, FILE_MAX, &e) < 0)
		goto out;
	const char *end = memchr(buf_str(&file), '\n', file.len < HEAD_MAX ? file.len : HEAD_MAX);
	if (!end)
		goto out;
	head = json_parse(file.data, (size_t)(end - file.data), &e);
	size_t len = file.len - (size_t)(end + 1 - file.data);
	if (!head || strcmp(json_string_or(head, "format", ""), FORMAT) != 0)
		goto out;
	sha256_hex(end + 1, len, hex);
	if (strcmp(json_string_or(head, "sha256", ""), hex) != 0)
		goto out;
	out->nodes = json_number_or(head, "nodes", NAN);
	buf_add(&out->blob, end + 1, len);
	good = !buf_failed(&out->blob);
out:
	cJSON_Delete(head);
	buf_release(&file);
	return good;
}

static void cache_store(const struct prepared *r, const char *path)
{
	struct buf file = { 0 };
	struct err e = { 0 };
	char hex[SHA256_HEX];
	cJSON *head = cJSON_CreateObject();

	sha256_hex(buf_str(&r->blob), r->blob.len, hex);
	cJSON_AddStringToObject(head, "format", FORMAT);
	json_add_figure(head, "nodes", r->nodes);
	cJSON_AddStringToObject(head, "sha256", hex);
	json_print(&file, head);
	cJSON_Delete(head);
	buf_addc(&file, '\n');
	buf_add(&file, buf_str(&r->blob), r->blob.len);
	/* a cache that cannot be written is none, and no reason to stop */
	if (!buf_failed(&file))
		file_write_atomic(path, buf_str(&file), file.len, &e);
	buf_release(&file);
}

/* ---- making one ---- */

/* Its BREP, and the size of its syntax tree. */
static int build(struct buf *brep, double *nodes, struct pipeline *p, const struct app *a,
                 const struct buf *file, struct err *e)
{
	struct build b = { 0 };
	struct build_request r = { .program = buf_str(file),
		                   .len = file->len,
		                   .dialect = DIALECT_OPEN,
		                   .facts = true,
		                   .limits = a->limits };
	int rc = pipeline_build(p, &r, &b, e);

	if (rc == 0 && b.cause == CAUSE_BUILDER_LOST)
		rc = err_set(e, ERR_LOST, "%s", b.error ? b.error : build_cause_label(b.cause));
	else if (rc == 0 && !b.ok)
		rc = err_set(e, ERR_INPUT, "does not build: %s",
		             b.error ? b.error : build_cause_label(b.cause));
	if (rc == 0) {
		*brep = b.brep;
		b.brep = (struct buf){ 0 };
		*nodes = json_number_or(b.facts, "nodes", NAN);
	}
	build_release(&b);
	return rc;
}

static int make(struct prepared *out, struct pipeline *p, const struct app *a, enum kind kind,
                const struct buf *file, struct err *e)
{
	struct buf brep = { 0 };
	const struct buf *shape = file;
	int rc = 0;

	if (kind == KIND_PROGRAM)
		rc = build(&brep, &out->nodes, p, a, file, e);
	else if (kind == KIND_STEP)
		rc = pipeline_convert(p, false, buf_str(file), file->len, &brep, e);
	if (kind == KIND_PROGRAM || kind == KIND_STEP)
		shape = &brep;
	if (rc == 0)
		rc = pipeline_prepare(p,
		                      kind == KIND_STL   ? SHAPE_STL
		                      : kind == KIND_GLB ? SHAPE_GLB
		                                         : SHAPE_BREP,
		                      buf_str(shape), shape->len, &out->blob, e);
	buf_release(&brep);
	return rc;
}

int reference_prepare(struct prepared *out, struct pipeline *p, const struct app *a,
                      const char *path, struct err *e)
{
	struct prepared r = { .nodes = NAN };
	enum kind kind = kind_of(path);
	struct buf file = { 0 };
	char hex[SHA256_HEX], kept[PATH_MAX + SHA256_HEX + 1];
	int rc = -1;

	if (kind == KIND_NONE)
		return err_set(e, ERR_INPUT,
		               "reference %s: a file .py, .step, .stp, .brep, .stl or .glb was "
		               "expected",
		               path);
	if (buf_read_file(&file, path, kind == KIND_PROGRAM ? PROGRAM_MAX : FILE_MAX, e) < 0) {
		err_wrap(e, "reference");
		goto out;
	}
	/* the versions of what makes it are in its name in the cache */
	if (pipeline_ready(p, kind == KIND_PROGRAM || kind == KIND_STEP, true, e) < 0)
		goto out;
	cache_name(hex, p, a, kind, &file);
	cache_path(kept, sizeof(kept), hex);
	if (*kept && cache_load(&r, kept)) {
		r.cached = true;
		rc = 0;
	} else {
		prepared_release(&r);
		rc = make(&r, p, a, kind, &file, e);
		if (rc == 0 && *kept)
			cache_store(&r, kept);
		if (rc < 0 && e->kind == ERR_INPUT)
			err_wrap(e, "reference %s (mend it, or give --reference none)", path);
	}
	if (rc == 0) {
		*out = r;
		r = (struct prepared){ .nodes = NAN };
	}
out:
	prepared_release(&r);
	buf_release(&file);
	return rc;
}

static int mesh(struct buf *out, struct pipeline *p, const struct app *a, enum kind kind,
                const struct buf *file, struct err *e)
{
	struct buf brep = { 0 };
	struct shape_report report = { 0 };
	double nodes;
	int rc = kind == KIND_PROGRAM ? build(&brep, &nodes, p, a, file, e)
	         : kind == KIND_STEP
	                 ? pipeline_convert(p, false, buf_str(file), file->len, &brep, e)
	                 : 0;
	const struct buf *shape = brep.len ? &brep : file;
	struct shape_request r = {
		.bytes = buf_str(shape),
		.len = shape->len,
		.format = kind == KIND_STL   ? SHAPE_STL
		          : kind == KIND_GLB ? SHAPE_GLB
		                             : SHAPE_BREP,
		.export_stl = true,
		.limits = a->limits,
	};

	if (rc == 0)
		rc = pipeline_measure(p, &r, &report, e);
	if (rc == 0 && !report.ok)
		rc = err_set(e, ERR_INPUT, "%s",
		             report.error ? report.error : build_cause_label(report.cause));
	if (rc == 0)
		buf_add(out, report.stl.data, report.stl.len);
	if (rc == 0 && buf_failed(out))
		rc = err_set(e, ERR_MEM, "out of memory");
	shape_report_release(&report);
	buf_release(&brep);
	return rc;
}

int reference_mesh(struct buf *out, struct pipeline *p, const struct app *a, const char *path,
                   struct err *e)
{
	enum kind kind = kind_of(path);
	struct buf file = { 0 };
	int rc = buf_read_file(&file, path, kind == KIND_PROGRAM ? PROGRAM_MAX : FILE_MAX, e);

	if (rc == 0 && kind == KIND_STL)
		buf_add(out, file.data, file.len);
	else if (rc == 0)
		rc = mesh(out, p, a, kind, &file, e);
	buf_release(&file);
	return rc < 0 ? err_wrap(e, "reference %s", path) : 0;
}

/* ---- blanks ---- */

#define BLANK_FORMAT "cadforge-blank-2"

/* Before each: the box's sides l, w, h and t, a tenth of the least. */
static const char blank_head[] = "import cadquery as cq\n"
				 "l, w, h, t = %.17g, %.17g, %.17g, %.17g\n"
				 "def block(x, y, z, low=0.0, dx=0.0, dy=0.0):\n"
				 "    at = (dx, dy, low + z / 2)\n"
				 "    return cq.Workplane('XY').box(x, y, z).translate(at)\n";

static const struct {
	bool again; /* the same form as the one before: the better of their scores is its score */
	const char *program;
} blanks[] = {
	{ false, "fixture = block(l, w, h)\n" },
	{ true, "fixture = cq.Workplane('XY').ellipse(l / 2, w / 2).extrude(h)\n" },
	{ false, "d = min(l, w)\n"
	         "fixture = cq.Workplane('XY').circle(d / 2).circle(d / 4).extrude(h)\n" },
	{ false, "fixture = block(l, w, t).union(block(l, t, h, 0, 0, (w - t) / 2))\n" },
	{ false, "fixture = block(l, w, h).cut(block(l, w - 2 * t, h, t))\n" },
	{ false, "fixture = block(l, t, h).union(block(l, w, t)).union(block(l, w, t, h - t))\n" },
	{ false, "fixture = block(l, w, t, h - t)\n"
	         "for x in (-1, 1):\n"
	         "    for y in (-1, 1):\n"
	         "        leg = block(t, t, h, 0, x * (l - t) / 2, y * (w - t) / 2)\n"
	         "        fixture = fixture.union(leg)\n" },
	{ false, "fixture = block(l, w, t).union(block(l / 3, w / 3, h))\n" },
	{ false, "fixture = block(l, w, h).cut(block(l - 2 * t, w - 2 * t, h, t))\n" },
};
enum { BLANKS = sizeof(blanks) / sizeof(*blanks) };

void blanks_release(struct blanks *b)
{
	free(b->score);
	*b = (struct blanks){ 0 };
}

/* The checks' scores on one blank, each where it is better than what is there. */
static int blank_measure(double *best, int n, struct pipeline *p, const struct app *a,
                         const cJSON *request, const struct buf *program, struct err *e)
{
	struct shape_report report = { 0 };
	struct buf brep = { 0 };
	double nodes;
	int rc = build(&brep, &nodes, p, a, program, e);

	struct shape_request r = { .bytes = buf_str(&brep),
		                   .len = brep.len,
		                   .format = SHAPE_BREP,
		                   .geometry = true,
		                   .exact = request,
		                   .limits = a->limits };
	if (rc == 0)
		rc = pipeline_measure(p, &r, &report, e);
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(report.exact, "checks"), *c;
	if (rc == 0 && cJSON_GetArraySize(checks) != n)
		rc = err_set(e, ERR_INPUT, "its checks cannot be evaluated on a block: %s",
		             report.error ? report.error : "the scorer does not say why");
	int i = 0;
	if (rc == 0)
		cJSON_ArrayForEach(c, checks)
		{
			best[i] = fmax(best[i], json_number_or(c, "score", 0));
			i++;
		}
	shape_report_release(&report);
	buf_release(&brep);
	return rc;
}

/* @n scores. */
static bool blank_load(double *out, int n, const char *path)
{
	struct buf file = { 0 };
	struct err e = { 0 };
	bool good = false;

	if (buf_read_file(&file, path, 1 << 20, &e) < 0)
		return false;
	cJSON *o = json_parse(buf_str(&file), file.len, &e);
	const cJSON *scores = cJSON_GetObjectItemCaseSensitive(o, "scores"), *v;
	if (o && strcmp(json_string_or(o, "format", ""), BLANK_FORMAT) == 0 &&
	    cJSON_GetArraySize(scores) == n) {
		int i = 0;
		good = true;
		cJSON_ArrayForEach(v, scores)
		{
			good = good && cJSON_IsNumber(v) && v->valuedouble >= 0 &&
			       v->valuedouble <= 1;
			out[i++] = v->valuedouble;
		}
	}
	cJSON_Delete(o);
	buf_release(&file);
	return good;
}

static void blank_store(const double *scores, int n, const char *path)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "format", BLANK_FORMAT);
	json_add_figures(o, "scores", scores, n);
	json_print(&text, o);
	cJSON_Delete(o);
	if (!buf_failed(&text))
		file_write_atomic(path, buf_str(&text), text.len, &e);
	buf_release(&text);
}

int reference_blanks(struct blanks *out, struct pipeline *p, const struct app *a,
                     const cJSON *request, const double bbox_mm[3], struct err *e)
{
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(request, "checks");
	struct buf programs[BLANKS] = { { 0 } }, text = { 0 };
	char hex[SHA256_HEX], kept[PATH_MAX + SHA256_HEX + 1];
	int count = cJSON_GetArraySize(checks), forms = 0, rc = 0;
	double thick = fmin(fmin(bbox_mm[0], bbox_mm[1]), bbox_mm[2]) / 10;
	struct sha256 s;

	*out = (struct blanks){ 0 };
	if (count == 0)
		return 0;
	if (pipeline_ready(p, true, true, e) < 0)
		return -1;
	double *score = calloc((size_t)count * BLANKS, sizeof(*score));
	if (!score)
		return err_set(e, ERR_MEM, "out of memory for %d checks", count);
	for (int i = 0; i < BLANKS; i++) {
		buf_printf(&programs[i], blank_head, bbox_mm[0], bbox_mm[1], bbox_mm[2], thick);
		buf_adds(&programs[i], blanks[i].program);
		forms += !blanks[i].again;
	}
	json_print(&text, request);
	sha256_start(&s);
	sha256_add(&s, BLANK_FORMAT, sizeof(BLANK_FORMAT));
	add_scorer(&s, p, a);
	add_versions(&s, engine_builder_info(pipeline_engine(p)));
	sha256_add(&s, buf_str(&text), text.len);
	for (int i = 0; i < BLANKS; i++)
		sha256_add(&s, buf_str(&programs[i]), programs[i].len);
	sha256_end_hex(&s, hex);
	cache_path(kept, sizeof(kept), hex);
	if (!*kept || !blank_load(score, count * forms, kept)) {
		memset(score, 0, sizeof(*score) * (size_t)count * BLANKS);
		size_t row = 0;
		for (int i = 0; i < BLANKS && rc == 0; i++) {
			row += i && !blanks[i].again ? (size_t)count : 0;
			rc = blank_measure(score + row, count, p, a, request, &programs[i], e);
		}
		if (rc == 0 && *kept)
			blank_store(score, count * forms, kept);
	}
	for (int i = 0; i < BLANKS; i++)
		buf_release(&programs[i]);
	buf_release(&text);
	if (rc < 0) {
		free(score);
		return -1;
	}
	*out = (struct blanks){ .score = score, .n_forms = forms, .n_checks = count };
	return 0;
}
