/*
 * scoring_json.c - the object of score --json.
 */
#include "src/scoring_inside.h"

#include <math.h>

#include "src/show.h"

/* ---- its parts ---- */

static void add_reward(cJSON *o, const struct reward *r)
{
	cJSON *x = cJSON_AddObjectToObject(o, "reward");
	double t[TERM_COUNT];

	reward_terms(r, t);
	json_add_figure(x, "total", r->total);
	for (int i = 0; i < TERM_COUNT; i++)
		json_add_figure(x, reward_term_name((enum reward_term)i), t[i]);
	json_add_figure(o, "strict", r->strict);
	json_add_figure(o, "cheap", r->cheap);
	json_add_figure(o, "shaped", r->shaped);
}

static void add_notes(cJSON *o, const struct notes *n)
{
	cJSON *a = cJSON_AddArrayToObject(o, "notes");

	for (int i = 0; i < n->n; i++)
		cJSON_AddItemToArray(a, cJSON_CreateString(n->text[i]));
}

static void add_seconds(cJSON *o, const struct job *j)
{
	const struct shape_report *s = j->measured ? &j->shape : NULL;
	cJSON *t = cJSON_AddObjectToObject(o, "seconds");

	json_add_figure(t, "build", j->build.seconds);
	json_add_figure(t, "build_cpu", j->build.cpu_s);
	json_add_figure(t, "read", s ? s->read_s : NAN);
	json_add_figure(t, "measure", s ? s->measure_s : NAN);
	json_add_figure(t, "mesh", s ? s->mesh_s : NAN);
	json_add_figure(t, "score", s ? s->score_s : NAN);
	json_add_figure(t, "rebuild", j->n_edits ? j->rebuild_s : NAN);
	json_add_figure(t, "render", NAN);
}

static cJSON *copy_or_null(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return v ? cJSON_Duplicate(v, true) : cJSON_CreateNull();
}

/* How the total came about. */
cJSON *scoring_exact_json(const struct scoring *s, const struct job *j,
                          const struct exact_reward *r, const struct exact_edits *x,
                          cJSON *rebuilds)
{
	const cJSON *from = j->build.ok ? j->shape.exact : NULL;
	cJSON *o = cJSON_CreateObject(), *terms, *ref, *edits;

	cJSON_AddStringToObject(o, "profile_hash", s->hash);
	json_add_figure(o, "floor", j->build.ok ? s->profile.floor : NAN);
	json_add_figure(o, "scale", j->build.ok ? s->profile.scale : NAN);
	json_add_figure(o, "gate", r->gate);
	terms = cJSON_AddObjectToObject(o, "terms");
	for (int t = 0; t < TERM_COUNT; t++) {
		cJSON *one = cJSON_AddObjectToObject(terms, reward_term_name((enum reward_term)t));
		json_add_figure(one, "weight", r->weight[t]);
		json_add_figure(one, "adds", r->adds[t]);
	}
	cJSON_AddItemToObject(o, "topology", copy_or_null(from, "topology_details"));
	cJSON_AddItemToObject(o, "contact", copy_or_null(from, "contact_details"));
	ref = cJSON_AddObjectToObject(o, "reference");
	for (const char *const *k = (const char *const[]){ "iou", "chamfer_mm", "rotation", "faces",
	                                                   "reference_faces", NULL };
	     *k; k++)
		cJSON_AddItemToObject(ref, *k, copy_or_null(from, *k));
	json_add_figure(ref, "nodes", json_number_or(j->build.facts, "nodes", NAN));
	json_add_figure(ref, "reference_nodes", j->ready->nodes);
	edits = cJSON_AddObjectToObject(o, "edits");
	json_add_figure(edits, "named_used", x->parsed ? x->named_used : NAN);
	json_add_figure(edits, "numbers", x->parsed ? x->numbers : NAN);
	json_add_figure(edits, "functions", x->parsed ? x->functions : NAN);
	cJSON_AddItemToObject(edits, "rebuilds", rebuilds);
	return o;
}

cJSON *scoring_rebuilds_json(const struct job *j)
{
	cJSON *a = cJSON_CreateArray();

	for (int i = 0; i < j->n_edits; i++) {
		const struct edit *x = &j->edits[i];
		const cJSON *d = x->dimension;
		size_t from = (size_t)json_number_or(d, "from", 0);
		size_t to = (size_t)json_number_or(d, "to", 0);
		char was[80], now[80];
		/* what was put in its place is as much longer as the text is */
		size_t now_len = to - from + x->program.len - j->what.program.len;
		snprintf(was, sizeof(was), "%.*s", (int)(to - from),
		         buf_str(&j->what.program) + from);
		snprintf(now, sizeof(now), "%.*s", (int)now_len, buf_str(&x->program) + from);
		cJSON *o = cJSON_CreateObject();
		json_add_text(o, "name", json_string_or(d, "name", ""));
		json_add_figure(o, "line", json_number_or(d, "line", NAN));
		cJSON_AddStringToObject(o, "from", was);
		cJSON_AddStringToObject(o, "to", now);
		cJSON_AddBoolToObject(o, "ok", x->ok);
		json_add_text(o, "why", x->ok ? NULL : x->why);
		cJSON_AddItemToArray(a, o);
	}
	return a;
}

/* All that every profile's object has. @exact: taken over, NULL for the seed profiles. */
cJSON *scoring_score_json(const struct scoring *s, const struct job *j, enum build_class cls,
                          const struct reward *r, const struct notes *notes, cJSON *exact)
{
	const struct shape_report *shape = &j->shape;
	const struct figures *f = shape->has_figures ? &shape->figures : NULL;
	const cJSON *measured = j->build.ok ? shape->exact : NULL;
	const cJSON *mesh = cJSON_GetObjectItemCaseSensitive(measured, "mesh");
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(measured, "checks");
	cJSON *o = cJSON_CreateObject();

	if (j->in->file)
		show_add_file(o, j->in->file);
	else
		cJSON_AddNullToObject(o, "file");
	json_add_text(o, "task", j->in->task ? j->in->task->id : NULL);
	cJSON_AddStringToObject(o, "profile", s->name);
	cJSON *build = show_build_json(&j->build, cls);
	cJSON_AddItemToObject(o, "build", build);
	/* equal programs have equal scores: what differs from run to run is in "seconds" alone */
	cJSON_DeleteItemFromObjectCaseSensitive(build, "cpu_seconds");
	cJSON_DeleteItemFromObjectCaseSensitive(build, "peak_mib");
	add_reward(o, r);
	cJSON_AddItemToObject(o, "geometry", show_geometry_json(shape->geometry));
	cJSON_AddItemToObject(o, "mesh", mesh ? cJSON_Duplicate(mesh, true) : show_mesh_json(f));
	cJSON_AddItemToObject(o, "contact", show_contact_json(f));
	cJSON_AddItemToObject(o, "checks",
	                      checks ? cJSON_Duplicate(checks, true) : cJSON_CreateArray());
	cJSON_AddItemToObject(o, "exact", exact ? exact : cJSON_CreateNull());
	add_notes(o, notes);
	cJSON_AddItemToObject(o, "delta",
	                      j->in->parent ? exact_delta(j->in->parent, o) : cJSON_CreateNull());
	add_seconds(o, j);
	return o;
}
