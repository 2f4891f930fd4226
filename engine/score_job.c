#include "engine/score_job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/glb.h"
#include "engine/stl.h"
#include "src/base/clock.h"

/* The published evaluator's export (reward-seed.md, section 1, item 6). */
#define SEED_LINEAR  0.1
#define SEED_ANGULAR 0.1

/* for the eye: rounds of a drawing that fills the screen */
#define PICTURE_LINEAR  0.1
#define PICTURE_ANGULAR 0.15

#define FACES_MAX     200000
#define TRIANGLES_MAX 5000000
#define CPU_S         10
#define MEMORY_MIB    2048

/* The index of @word among @words (NULL-terminated), or -1. */
static int choice(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static int one_of(const cJSON *o, const char *key, const char *const *words, int def, int *out,
                  struct err *e)
{
	const char *word;

	*out = def;
	if (!cJSON_GetObjectItemCaseSensitive(o, key))
		return 0;
	if (json_get_string(o, key, &word, e) < 0)
		return -1;
	*out = choice(word, words);
	if (*out < 0)
		return err_set(e, ERR_INPUT, "%s: '%.40s' is none of %s, %s, %s", key, word,
		               words[0], words[1], words[2]);
	return 0;
}

static int pictures_parse(struct picture_request *p, const cJSON *o, struct err *e)
{
	const cJSON *views = cJSON_GetObjectItemCaseSensitive(o, "views"), *x;
	double px, rotation, reference;

	if (json_get_number_between(o, "px", VIEW_PX, VIEW_PX_MIN, VIEW_PX_MAX, &px, e) < 0 ||
	    json_get_number_between(o, "rotation", 0, 0, VOXEL_TURNS - 1, &rotation, e) < 0 ||
	    json_get_number_between(o, "reference", 0, 0, UINT32_MAX, &reference, e) < 0)
		return -1;
	p->px = (int)px;
	p->rotation = (int)rotation;
	p->reference = (uint32_t)reference;
	snprintf(p->title, sizeof(p->title), "%s", json_string_or(o, "title", ""));
	cJSON_ArrayForEach(x, views)
	{
		if (!cJSON_IsString(x) || p->n == PICTURES_MAX ||
		    strlen(x->valuestring) >= VIEW_NAME_MAX)
			return err_set(e, ERR_INPUT,
			               "views: at most %d names of at most %d bytes were expected",
			               PICTURES_MAX, VIEW_NAME_MAX - 1);
		if (view_name_check(x->valuestring, e) < 0)
			return -1;
		memcpy(p->name[p->n++], x->valuestring, strlen(x->valuestring) + 1);
	}
	if (p->n == 0)
		return err_set(e, ERR_INPUT, "views: an array of names was expected");
	return 0;
}

int score_request_parse(struct score_request *out, const char *json, size_t len, struct err *e)
{
	static const char *const formats[] = { "brep", "stl", "glb", "meshed", NULL };
	static const char *const figures[] = { "none", "fast", "full", NULL };
	struct score_request r = { 0 };
	double faces, triangles, reference;
	int format, kind, rc = -1;
	const cJSON *x;

	cJSON *o = json_parse(json, len, e);
	if (!o)
		return err_wrap(e, "score request");
	if (one_of(o, "format", formats, SCORE_BREP, &format, e) < 0 ||
	    one_of(o, "figures", figures, SCORE_FIGURES_NONE, &kind, e) < 0 ||
	    json_get_number_between(o, "cpu_s", CPU_S, 0.001, 86400, &r.cpu_s, e) < 0 ||
	    json_get_number_between(o, "under_way", 0, 0, 1e6, &r.under_way, e) < 0 ||
	    json_get_number_between(o, "memory_mib", MEMORY_MIB, 1, 1 << 20, &r.memory_mib, e) <
	            0 ||
	    json_get_number_between(o, "faces_max", FACES_MAX, 1, 1e8, &faces, e) < 0 ||
	    json_get_number_between(o, "triangles_max", TRIANGLES_MAX, 1, 1e8, &triangles, e) < 0 ||
	    json_get_number_between(o, "reference", 0, 0, UINT32_MAX, &reference, e) < 0)
		goto out;
	r.format = (enum score_format)format;
	r.figures = (enum score_figures)kind;
	r.geometry = json_bool_or(o, "geometry", false);
	r.reference = (uint32_t)reference;
	r.limits.faces_max = (long)faces;
	r.limits.triangles_max = (long)triangles;
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "export"))
	{
		const char *word = cJSON_IsString(x) ? x->valuestring : "";
		if (strcmp(word, "stl") == 0) {
			r.export_stl = true;
		} else if (strcmp(word, "glb") == 0) {
			r.export_glb = true;
		} else {
			err_set(e, ERR_INPUT, "export: '%.40s' is neither stl nor glb", word);
			goto out;
		}
	}
	r.prepare = json_bool_or(o, "prepare", false);
	x = cJSON_GetObjectItemCaseSensitive(o, "pictures");
	if (cJSON_IsObject(x) && pictures_parse(&r.pictures, x, e) < 0) {
		err_wrap(e, "pictures");
		goto out;
	}
	cJSON *exact = cJSON_DetachItemFromObjectCaseSensitive(o, "exact");
	r.wants_exact = exact && !cJSON_IsNull(exact);
	if (!r.wants_exact) {
		cJSON_Delete(exact);
	} else if (exact_request_parse(&r.exact, exact, e) < 0) {
		goto out;
	} else if (r.prepare || r.format != SCORE_BREP || r.figures != SCORE_FIGURES_NONE) {
		exact_request_release(&r.exact);
		err_set(e, ERR_INPUT,
		        "exact: measured on a BREP alone, without figures or prepare");
		goto out;
	}
	*out = r;
	rc = 0;
out:
	cJSON_Delete(o);
	return rc < 0 ? err_wrap(e, "score request") : 0;
}

void score_request_release(struct score_request *r)
{
	exact_request_release(&r->exact);
}

cJSON *score_failure(const char *cause, const char *error, const char *limit_name, double limit,
                     double used)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "ok", false);
	cJSON_AddStringToObject(o, "cause", cause);
	json_add_text(o, "error", error);
	if (limit_name) {
		cJSON *l = cJSON_AddObjectToObject(o, "limit");
		json_add_text(l, "name", limit_name);
		json_add_figure(l, "limit", limit);
		json_add_figure(l, "used", used);
	} else {
		cJSON_AddNullToObject(o, "limit");
	}
	cJSON_AddNullToObject(o, "geometry");
	cJSON_AddNullToObject(o, "figures");
	cJSON_AddNullToObject(o, "exact");
	return o;
}

cJSON *geometry_to_json(const struct geometry *g)
{
	cJSON *o = cJSON_CreateObject(), *holes;
	double box[3];

	for (int i = 0; i < 3; i++)
		box[i] = g->box_max_mm[i] - g->box_min_mm[i];
	cJSON_AddNumberToObject(o, "solids", g->solids);
	cJSON_AddNumberToObject(o, "shells", g->shells);
	cJSON_AddNumberToObject(o, "faces", g->faces);
	cJSON_AddNumberToObject(o, "edges", g->edges);
	cJSON_AddNumberToObject(o, "vertices", g->vertices);
	json_add_figure(o, "volume_mm3", g->volume_mm3);
	json_add_figure(o, "area_mm2", g->area_mm2);
	json_add_figures(o, "bbox_mm", box, 3);
	json_add_figures(o, "box_min_mm", g->box_min_mm, 3);
	json_add_figures(o, "center_of_mass_mm", g->center_of_mass_mm, 3);
	json_add_figures(o, "inertia_mm5", g->inertia_mm5, 6);
	json_add_figure(o, "min_distance_mm", g->min_distance_mm);
	cJSON_AddBoolToObject(o, "closed", g->closed);
	cJSON_AddBoolToObject(o, "valid", g->valid);
	json_add_figure(o, "genus", g->genus < 0 ? NAN : g->genus);
	holes = cJSON_AddArrayToObject(o, "holes");
	for (int i = 0; i < g->n_holes; i++) {
		const struct hole *h = &g->holes[i];
		cJSON *one = cJSON_CreateObject();
		json_add_figures(one, "axis", h->axis, 3);
		json_add_figure(one, "diameter_mm", h->diameter_mm);
		json_add_figure(one, "depth_mm", h->depth_mm);
		cJSON_AddBoolToObject(one, "through", h->through);
		json_add_figures(one, "center_mm", h->center_mm, 3);
		cJSON_AddItemToArray(holes, one);
	}
	return o;
}

struct job {
	const struct score_request *r;
	const struct exact_reference *reference;
	struct exact_reference prepared;
	struct soup soup;
	cJSON *geometry, *figures, *exact, *exports;
	char geometry_error[sizeof(((struct err *)0)->text)];
	double read_s, measure_s, mesh_s, score_s, render_s;
	enum shape_fault fault;
};

/* Triangles are needed for figures and exports; without them, faces alone tell that there is a
 * surface. */
static bool wants_mesh(const struct score_request *r)
{
	return r->figures != SCORE_FIGURES_NONE || r->export_stl || r->export_glb ||
	       r->pictures.n > 0;
}

/* What the exact profiles ask of a shape that was measured: all of it on triangles of their own,
 * which the exports are of then, too. */
static int ask_exact(struct job *j, const struct shape *s, const struct geometry *g, struct err *e)
{
	double t = clock_now_s();

	if (exact_mesh(s, g, j->r->limits.triangles_max, &j->soup, &j->fault, e) < 0)
		return -1;
	j->mesh_s = clock_now_s() - t;
	t = clock_now_s();
	if (j->r->prepare) {
		if (exact_prepare_shape(&j->prepared, s, g, &j->fault, e) < 0)
			return -1;
	} else {
		j->exact = exact_measure(&j->r->exact, s, g, &j->soup, j->reference, &j->fault, e);
		if (!j->exact)
			return -1;
	}
	j->score_s = clock_now_s() - t;
	return 0;
}

static int from_brep(struct job *j, const void *bytes, size_t len, struct err *e)
{
	bool exact = j->r->wants_exact || j->r->prepare;
	struct geometry g;
	double t = clock_now_s();
	int rc = 0;

	struct shape *s = shape_read_brep(bytes, len, j->r->format == SCORE_MESHED, &j->r->limits,
	                                  &j->fault, e);
	j->read_s = clock_now_s() - t;
	if (!s)
		return -1;
	if (j->r->geometry || exact || !wants_mesh(j->r)) {
		struct err why = { 0 };
		t = clock_now_s();
		int measured = shape_measure(s, &g, &j->fault, &why);
		j->measure_s = clock_now_s() - t;
		if (measured == 0) {
			if (!j->r->prepare)
				j->geometry = geometry_to_json(&g);
			if (g.faces == 0) {
				j->fault = SHAPE_EMPTY;
				rc = err_set(
					e, ERR_INPUT,
					"shape has no face (points, curves or nothing); extrude it or combine solids");
			}
			if (rc == 0 && exact)
				rc = ask_exact(j, s, &g, e);
			geometry_release(&g);
		} else if (exact || j->fault == SHAPE_NO_MEMORY) {
			*e = why;
			rc = -1;
		} else {
			/* what cannot be measured may still be meshed, and is worth its reward */
			j->fault = SHAPE_SOUND;
			memcpy(j->geometry_error, why.text, sizeof(why.text));
		}
	}
	if (rc == 0 && wants_mesh(j->r) && !exact) {
		t = clock_now_s();
		bool drawn = j->r->pictures.n > 0;
		rc = shape_mesh(s, drawn ? PICTURE_LINEAR : SEED_LINEAR, true,
		                drawn ? PICTURE_ANGULAR : SEED_ANGULAR, j->r->limits.triangles_max,
		                &j->soup, &j->fault, e);
		j->mesh_s = clock_now_s() - t;
	}
	shape_free(s);
	return rc;
}

static int from_triangles(struct job *j, const void *bytes, size_t len, struct err *e)
{
	double t = clock_now_s();
	long max = j->r->limits.triangles_max;
	int rc = j->r->format == SCORE_STL ? stl_read(&j->soup, bytes, len, max, e)
	                                   : glb_read(&j->soup, bytes, len, max, e);

	j->read_s = clock_now_s() - t;
	if (rc < 0) {
		j->fault = e->kind == ERR_MEM ? SHAPE_NO_MEMORY : SHAPE_DAMAGED;
		return -1;
	}
	if (j->soup.n_tri == 0) {
		j->fault = SHAPE_EMPTY;
		return err_set(e, ERR_INPUT, "the file holds no triangle; export a solid");
	}
	if (j->r->prepare && exact_prepare_soup(&j->prepared, &j->soup, &j->fault, e) < 0)
		return -1;
	return 0;
}

static int compare(struct job *j, const struct reference_set *refs, struct err *e)
{
	struct figures f;
	double t = clock_now_s();

	if (j->r->figures == SCORE_FIGURES_NONE)
		return 0;
	int rc = figures_measure(&f, &j->soup, refs, j->r->figures == SCORE_FIGURES_FULL, e);
	if (rc == 0)
		j->figures = figures_to_json(&f);
	else
		j->fault = e->kind == ERR_MEM ? SHAPE_NO_MEMORY : SHAPE_EMPTY;
	j->score_s = clock_now_s() - t;
	return rc;
}

static void add_export(struct job *j, const char *format, size_t bytes)
{
	cJSON *x = cJSON_CreateObject();

	cJSON_AddStringToObject(x, "format", format);
	cJSON_AddNumberToObject(x, "bytes", (double)bytes);
	cJSON_AddItemToArray(j->exports, x);
}

static int export_one(struct job *j, const char *format,
                      int (*write)(struct buf *, const struct soup *, struct err *),
                      struct buf *blob, struct err *e)
{
	size_t before = blob->len;

	if (write(blob, &j->soup, e) < 0) {
		j->fault = SHAPE_NO_MEMORY;
		return -1;
	}
	add_export(j, format, blob->len - before);
	return 0;
}

static int export_reference(struct job *j, struct buf *blob, struct err *e)
{
	size_t before = blob->len;

	if (exact_reference_serialize(&j->prepared, blob, e) < 0) {
		j->fault = SHAPE_NO_MEMORY;
		return -1;
	}
	add_export(j, "reference", blob->len - before);
	return 0;
}

static int draw_one(struct job *j, struct views *v, const char *name, struct buf *blob,
                    struct err *e)
{
	size_t before = blob->len;

	if (views_png(v, name, j->r->pictures.px, blob, e) < 0)
		return -1;
	add_export(j, "png", blob->len - before);
	cJSON_AddStringToObject(cJSON_GetArrayItem(j->exports, cJSON_GetArraySize(j->exports) - 1),
	                        "name", name);
	return 0;
}

static int draw(struct job *j, struct buf *blob, struct err *e)
{
	const struct picture_request *p = &j->r->pictures;
	double *xyz = NULL, t = clock_now_s();
	int *solid_of = NULL, turn[3][3], rc = -1;
	struct views *v = NULL;
	size_t n = 0;

	voxel_turn(p->rotation, turn);
	if (exact_solids_of_soup(&j->soup, &xyz, &solid_of, &n, e) == 0) {
		const struct facets f = { xyz, solid_of, n };
		v = views_open(&f, j->reference, turn, p->title, e);
	}
	for (int i = 0; v && i < p->n; i++) {
		rc = draw_one(j, v, p->name[i], blob, e);
		if (rc < 0)
			break;
	}
	if (rc < 0)
		j->fault = e->kind == ERR_MEM ? SHAPE_NO_MEMORY : SHAPE_EMPTY;
	views_close(v);
	free(xyz);
	free(solid_of);
	j->render_s = clock_now_s() - t;
	return rc;
}

static cJSON *failure_of(const struct job *j, const struct err *e)
{
	bool triangles =
		j->read_s > 0 &&
		((j->r->format != SCORE_BREP && j->r->format != SCORE_MESHED) || j->mesh_s > 0);

	switch (j->fault) {
	case SHAPE_EMPTY:
		return score_failure("empty_shape", e->text, NULL, NAN, NAN);
	case SHAPE_OVER_LIMIT:
		return score_failure("shape_limit", e->text, triangles ? "triangles" : "faces",
		                     triangles ? (double)j->r->limits.triangles_max
		                               : (double)j->r->limits.faces_max,
		                     NAN);
	case SHAPE_NO_MEMORY:
		return score_failure("memory_limit", e->text, "memory", j->r->memory_mib, NAN);
	default:
		return score_failure("bad_input", e->text, NULL, NAN, NAN);
	}
}

int score_job_run(const struct score_request *r, const void *bytes, size_t len,
                  const struct score_references *refs, struct buf *json, struct buf *blob,
                  struct err *e)
{
	struct job j = { .r = r,
		         .reference = refs ? refs->exact : NULL,
		         .exports = cJSON_CreateArray() };
	size_t blob_from = blob->len;
	struct err why = { 0 };
	double t = clock_now_s();
	cJSON *o;

	int rc = r->format == SCORE_BREP || r->format == SCORE_MESHED
	                 ? from_brep(&j, bytes, len, &why)
	                 : from_triangles(&j, bytes, len, &why);
	if (rc == 0)
		rc = compare(&j, refs ? refs->seed : NULL, &why);
	if (rc == 0 && r->export_stl)
		rc = export_one(&j, "stl", stl_write, blob, &why);
	if (rc == 0 && r->export_glb)
		rc = export_one(&j, "glb", glb_write, blob, &why);
	if (rc == 0 && r->prepare)
		rc = export_reference(&j, blob, &why);
	if (rc == 0 && r->pictures.n > 0)
		rc = draw(&j, blob, &why);
	if (rc < 0) {
		blob->len = blob_from;
		blob->failed = false;
		o = failure_of(&j, &why);
		cJSON_DeleteItemFromObject(o, "geometry");
		cJSON_DeleteItemFromObject(o, "figures");
		cJSON_DeleteItemFromObject(o, "exact");
		cJSON_Delete(j.exact);
		j.exact = NULL;
		cJSON_Delete(j.exports);
		j.exports = cJSON_CreateArray();
	} else {
		o = cJSON_CreateObject();
		cJSON_AddBoolToObject(o, "ok", true);
		cJSON_AddStringToObject(o, "cause", "ok");
		cJSON_AddNullToObject(o, "error");
		cJSON_AddNullToObject(o, "limit");
	}
	cJSON_AddItemToObject(o, "geometry", j.geometry ? j.geometry : cJSON_CreateNull());
	if (j.geometry_error[0])
		cJSON_AddStringToObject(o, "geometry_error", j.geometry_error);
	cJSON_AddItemToObject(o, "figures", j.figures ? j.figures : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "exact", j.exact ? j.exact : cJSON_CreateNull());
	cJSON *s = cJSON_AddObjectToObject(o, "seconds");
	cJSON_AddNumberToObject(s, "read", j.read_s);
	cJSON_AddNumberToObject(s, "measure", j.measure_s);
	cJSON_AddNumberToObject(s, "mesh", j.mesh_s);
	cJSON_AddNumberToObject(s, "score", j.score_s);
	cJSON_AddNumberToObject(s, "render", j.render_s);
	cJSON_AddNumberToObject(s, "total", clock_now_s() - t);
	cJSON_AddItemToObject(o, "exports", j.exports);
	json_print(json, o);
	cJSON_Delete(o);
	soup_release(&j.soup);
	exact_reference_release(&j.prepared);
	if (buf_failed(json))
		return err_set(e, ERR_MEM, "out of memory for the result");
	return 0;
}
