#include "src/scoring.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/failure.h"
#include "engine/reward_exact.h"
#include "engine/reward_seed.h"
#include "src/base/clock.h"
#include "src/base/sha256.h"
#include "src/farm.h"
#include "src/pipeline.h"
#include "src/references.h"
#include "src/remembered.h"
#include "src/show.h"
#include "src/watch.h"

enum { PROFILE_BYTES_MAX = 1 << 20, EDITS_MAX = 64 };

enum mode { MODE_SEED_FAST, MODE_SEED_FULL, MODE_STRICT, MODE_EXACT };

static const char *const seed_names[] = { "seed-fast", "seed-full", "strict" };

/* What the programs of one task share. */
struct ready {
	const struct task *task; /* NULL: of programs without one */
	cJSON *exact;            /* what is asked of the scorer */
	int exact_id;
	double nodes; /* of the reference's program; NAN */
	struct blanks blanks;
	bool prepared;
	struct reference_set box; /* --reference seed-task */
	bool has_box;
	/* what other machines are given of it (src/job.h) */
	bool shared;
	char task_sha[SHA256_HEX], reference_sha[SHA256_HEX], ending[8];
};

struct job;

/* A program once more, with one named number changed. */
struct edit {
	struct job *job;
	const cJSON *dimension; /* of the job's facts */
	struct buf program;
	struct pipeline_item item;
	bool whole, built, ok;
	char why[160]; /* "" when ok */
};

struct job {
	const struct scoring_input *in;
	struct ready *ready;
	struct extract what;
	struct pipeline_item item;
	struct job *next, **at; /* of all jobs, and what points to this one */
	/* of the program as it is, kept while it is rebuilt */
	struct build build;
	struct shape_report shape;
	bool measured;
	struct edit *edits;
	int n_edits, waiting;
	bool lost; /* a rebuild of it was */
	double rebuild_s;
	/* of programs that are remembered: what tells it from others; its equal that is under way,
	 * and then it waits and is in no pipeline */
	bool has_key, waits;
	unsigned char key[SHA256_BYTES];
	const struct job *equal;
};

struct scoring {
	struct scoring_options o;
	enum mode mode;
	struct exact_profile profile; /* of MODE_EXACT */
	char name[64], hash[SHA256_HEX];
	char reference[PATH_MAX]; /* "task", "none", "seed-task", or a path */
	enum dialect dialect;
	int rebuilds;
	struct reference_set set; /* a folder of the published form */
	bool has_set;
	struct pipeline *pipeline; /* NULL before it is needed */
	struct farm *farm;         /* --queue: others build and score; NULL: this machine does */
	char profile_sha[SHA256_HEX];
	struct err failed; /* of a run on the farm: one that could not be scored ends it */
	struct ready **ready;
	int n_ready;
	struct job *jobs; /* under way */
	struct scoring_stream to;
	struct remembered *remembered; /* NULL: nothing is */
	int64_t n_remembered;
	bool left; /* a job's equal came to nothing that can be taken: it is to be built after all
	            */
};

void scored_release(struct scored *s)
{
	for (int i = 0; i < s->n_pictures; i++)
		buf_release(&s->pictures[i].png);
	free(s->pictures);
	cJSON_Delete(s->json);
	cJSON_Delete(s->facts);
	build_release(&s->build);
	buf_release(&s->program);
	buf_release(&s->log);
	buf_release(&s->brep);
	buf_release(&s->stl);
	buf_release(&s->step);
	*s = (struct scored){ .total = NAN };
}

/* ---- profiles ---- */

/* The names of the profiles in a folder, ", " between. */
static void list_profiles(struct buf *out, const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *f; d && (f = readdir(d));) {
		size_t n = strlen(f->d_name);
		if (n > 5 && f->d_name[0] != '.' && strcmp(f->d_name + n - 5, ".json") == 0)
			buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)(n - 5), f->d_name);
	}
	if (d)
		closedir(d);
}

static int find_profile(char *path, size_t size, const struct app *a, const char *name,
                        struct err *e)
{
	char dirs[2][PATH_MAX + 16];
	struct buf known = { 0 };
	int n = 0;

	if (a->user_data[0])
		snprintf(dirs[n++], sizeof(dirs[0]), "%s/profiles", a->user_data);
	if (a->tasks[0])
		snprintf(dirs[n++], sizeof(dirs[0]), "%s/profiles", a->tasks);
	for (int i = 0; i < n; i++) {
		int len = snprintf(path, size, "%s/%s.json", dirs[i], name);
		if (len > 0 && (size_t)len < size && access(path, F_OK) == 0)
			return 0;
	}
	for (int i = 0; i < n; i++)
		list_profiles(&known, dirs[i]);
	err_set(e, ERR_USAGE,
	        "--profile: %s, seed-fast, seed-full, strict or a file .json was expected, got '%.80s'",
	        known.len ? buf_str(&known) : "exact", name);
	buf_release(&known);
	return -1;
}

static int load_profile(struct scoring *s, const char *name, struct err *e)
{
	char path[2 * PATH_MAX];
	struct buf text = { 0 };
	size_t n = strlen(name);

	for (int i = 0; i < 3; i++)
		if (strcmp(name, seed_names[i]) == 0) {
			s->mode = (enum mode)i;
			snprintf(s->name, sizeof(s->name), "%s", name);
			sha256_hex(name, n, s->hash);
			return 0;
		}
	s->mode = MODE_EXACT;
	if (strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".json") == 0))
		snprintf(path, sizeof(path), "%s", name);
	else if (find_profile(path, sizeof(path), s->o.app, name, e) < 0)
		return -1;
	int rc = buf_read_file(&text, path, PROFILE_BYTES_MAX, e);
	if (rc < 0)
		err_wrap(e, "--profile");
	else
		rc = exact_profile_parse(&s->profile, buf_str(&text), text.len, path, e);
	if (rc == 0) {
		snprintf(s->name, sizeof(s->name), "%s", s->profile.name);
		sha256_hex(buf_str(&text), text.len, s->hash);
	}
	if (rc == 0 && s->farm)
		rc = farm_share(s->farm, buf_str(&text), text.len, s->profile_sha, e);
	buf_release(&text);
	return rc;
}

/* ---- references ---- */

static int load_seed_reference(struct scoring *s, struct err *e)
{
	const char *what = s->reference;

	if (strcmp(what, "none") == 0)
		return 0;
	if (strcmp(what, "task") == 0)
		return err_set(
			e, ERR_USAGE,
			"--reference task: the tasks' own references are the exact profiles'; %s "
			"takes seed-task, none, or a folder of the published form",
			s->name);
	if (strcmp(what, "seed-task") == 0) {
		if (s->mode == MODE_SEED_FULL)
			return err_set(
				e, ERR_USAGE,
				"--reference seed-task has a box alone, and seed-full needs points and masks: "
				"use seed-fast, or name a folder");
		return 0;
	}
	if (reference_load(&s->set, what, e) < 0)
		return err_wrap(e, "--reference");
	s->has_set = true;
	if (s->mode == MODE_SEED_FULL && !reference_is_full(&s->set))
		return err_set(e, ERR_USAGE,
		               "--reference %s: seed-full needs points and masks in it", what);
	return 0;
}

/* A folder or a file for the exact profiles, or a word. */
static int check_exact_reference(const struct scoring *s, struct err *e)
{
	const char *what = s->reference;

	if (strcmp(what, "task") == 0 || strcmp(what, "none") == 0)
		return 0;
	if (strcmp(what, "seed-task") == 0)
		return err_set(
			e, ERR_USAGE,
			"--reference seed-task is the box that the published reward compares with: "
			"it goes with --profile seed-fast or strict");
	if (access(what, R_OK) < 0)
		return err_errno(e, ERR_USAGE, "--reference %s", what);
	return 0;
}

/* The path of the task's reference under the scoring's rule; "" for none. */
static int reference_path(const struct scoring *s, const struct task *t, char *out, size_t size,
                          struct err *e)
{
	static const char *const endings[] = { "py", "step", "stp", "brep", "stl", "glb" };

	*out = '\0';
	if (strcmp(s->reference, "none") == 0)
		return 0;
	if (strcmp(s->reference, "task") == 0) {
		if (t && t->reference)
			snprintf(out, size, "%s", t->reference);
		return 0;
	}
	DIR *d = opendir(s->reference);
	if (!d) {
		snprintf(out, size, "%s", s->reference);
		return 0;
	}
	closedir(d);
	if (!t)
		return err_set(
			e, ERR_USAGE,
			"--reference %s: a folder holds a reference for each task: give --task "
			"ID, or name a file",
			s->reference);
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		int n = snprintf(out, size, "%s/%s.%s", s->reference, t->id, endings[i]);
		if (n > 0 && (size_t)n < size && access(out, F_OK) == 0)
			return 0;
	}
	*out = '\0';
	return err_set(e, ERR_USAGE,
	               "--reference %s: no %s.py, .step, .stp, .brep, .stl or .glb in it",
	               s->reference, t->id);
}

/* ---- what the programs of a task share ---- */

/* The count of solids that the task wants, as its check says it: n or [min, max]; NULL. */
static const cJSON *solids_wanted(const struct task *t)
{
	const cJSON *c = t && t->checks ? t->checks->child : NULL;

	while (c && strcmp(json_string_or(c, "kind", ""), "solids") != 0)
		c = c->next;
	return cJSON_GetObjectItemCaseSensitive(c, "want");
}

static cJSON *exact_request(const struct scoring *s, const struct task *t)
{
	cJSON *o = cJSON_CreateObject();
	const cJSON *solids = solids_wanted(t);
	const cJSON *genus = t ? cJSON_GetObjectItemCaseSensitive(t->expect, "genus") : NULL;

	cJSON_AddItemToObject(o, "checks",
	                      t && t->checks ? cJSON_Duplicate(t->checks, true)
	                                     : cJSON_CreateArray());
	cJSON_AddStringToObject(o, "orientation",
	                        t && t->orientation == TASK_FIXED ? "fixed" : "free");
	cJSON_AddItemToObject(o, "solids",
	                      solids ? cJSON_Duplicate(solids, true) : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "genus",
	                      cJSON_IsNumber(genus) ? cJSON_Duplicate(genus, true)
	                                            : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "constants", exact_profile_constants(&s->profile));
	return o;
}

static struct ready *ready_of(struct scoring *s, const struct task *t, struct err *e)
{
	for (int i = 0; i < s->n_ready; i++)
		if (s->ready[i]->task == t)
			return s->ready[i];
	struct ready **more = realloc(s->ready, sizeof(*more) * (size_t)(s->n_ready + 1));
	if (more)
		s->ready = more;
	struct ready *r = more ? calloc(1, sizeof(*r)) : NULL;
	if (!r) {
		err_set(e, ERR_MEM, "out of memory for a task");
		return NULL;
	}
	s->ready[s->n_ready++] = r;
	r->task = t;
	r->nodes = NAN;
	if (s->mode == MODE_EXACT)
		r->exact = exact_request(s, t);
	if (s->mode != MODE_EXACT && strcmp(s->reference, "seed-task") == 0 && t &&
	    t->has_seed_box) {
		reference_from_box(&r->box, t->seed_box_over_height);
		r->has_box = true;
	}
	return r;
}

/* What a worker needs of a task: it may not have the pack. */
static int share(struct scoring *s, struct ready *r, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX] = "";
	int rc = 0;

	if (r->shared)
		return 0;
	if (s->mode == MODE_EXACT && reference_path(s, r->task, path, sizeof(path), e) < 0)
		return -1;
	if (*path && farm_share_file(s->farm, path, r->reference_sha, r->ending, e) < 0)
		return err_wrap(e, "the reference");
	if (r->task && r->task->json) {
		json_print(&text, r->task->json);
		rc = buf_failed(&text)
		             ? err_set(e, ERR_MEM, "out of memory for a task")
		             : farm_share(s->farm, buf_str(&text), text.len, r->task_sha, e);
		buf_release(&text);
	}
	r->shared = rc == 0;
	return rc;
}

static int prepare(struct scoring *s, struct ready *r, struct err *e)
{
	struct prepared p = { .nodes = NAN };
	char path[PATH_MAX];
	int rc;

	if (s->farm)
		return share(s, r, e);
	if (r->prepared || s->mode != MODE_EXACT)
		return 0;
	if (reference_path(s, r->task, path, sizeof(path), e) < 0)
		return -1;
	if (*path) {
		/* while that is looked for, the other program starts */
		if (scoring_warm(s, e) < 0)
			return -1;
		rc = reference_prepare(&p, s->pipeline, s->o.app, path, e);
		if (rc == 0)
			rc = engine_exact_reference(pipeline_engine(s->pipeline), buf_str(&p.blob),
			                            p.blob.len, &r->exact_id, e);
		r->nodes = p.nodes;
		prepared_release(&p);
		if (rc < 0)
			return -1;
	}
	if (r->task && r->task->n_checks > 0 && !s->o.no_blanks &&
	    reference_blanks(&r->blanks, s->pipeline, s->o.app, r->exact, r->task->bbox_mm, e) < 0)
		return err_wrap(e, "task %s", r->task->id);
	r->prepared = true;
	return 0;
}

/* ---- the object of score --json ---- */

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
static cJSON *exact_json(const struct scoring *s, const struct job *j, const struct exact_reward *r,
                         const struct exact_edits *x, cJSON *rebuilds)
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

static cJSON *rebuilds_json(const struct job *j)
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
static cJSON *score_json(const struct scoring *s, const struct job *j, enum build_class cls,
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

/* ---- one program's end ---- */

/* The scorer's word goes before the builder's: a shape that cannot be measured is no part. */
static void adopt_shape_failure(struct build *b, struct shape_report *s)
{
	b->ok = false;
	b->cause = s->cause;
	free(b->error);
	b->error = s->error;
	s->error = NULL;
	b->limit = s->limit;
}

static void hand_out(struct scoring *s, struct job *j, double total, enum build_class cls,
                     cJSON *json)
{
	struct scored out = { .built = j->build.ok, .total = total, .json = json, .cls = cls };

	out.lost = j->lost || j->build.cause == CAUSE_BUILDER_LOST;

	out.build = j->build;
	j->build = (struct build){ 0 };
	out.log = out.build.log;
	out.build.log = (struct buf){ 0 };
	out.brep = out.build.brep;
	out.build.brep = (struct buf){ 0 };
	if (!(s->o.artifacts & (SCORING_BREP | SCORING_STEP | SCORING_VIEWS)))
		buf_release(&out.brep);
	out.facts = out.build.facts;
	out.build.facts = NULL;
	out.stl = j->shape.stl;
	j->shape.stl = (struct buf){ 0 };
	out.program = j->what.program;
	j->what.program = (struct buf){ 0 };
	if (j->has_key)
		remembered_keep(s->remembered, j->key, &out);
	s->to.done(s->to.ctx, j->item.index, &out, NULL);
	scored_release(&out);
}

static int end_seed(struct scoring *s, struct job *j, struct err *e)
{
	struct build *b = &j->build;
	struct shape_report *shape = &j->shape;
	struct notes notes = { 0 };
	struct buf errors = { 0 };
	struct reward r;
	enum build_class cls;

	if (b->ok && !(j->measured && shape->ok))
		adopt_shape_failure(b, shape);
	enum seed_outcome outcome = b->no_triangles ? SEED_EVALUATOR_CRASH
	                                            : seed_outcome_of(b->cause, shape->has_figures);
	if (!b->ok)
		seed_stderr(&errors, b->exception, b->error, b->traceback);
	struct seed_input in = {
		.outcome = outcome,
		.full = s->mode == MODE_SEED_FULL,
		.figures = shape->has_figures ? &shape->figures : NULL,
		.task = j->in->task,
		.code = { buf_str(&j->what.program), j->what.program.len },
		.raw = { j->in->text, j->in->len },
		.stderr_text = { buf_str(&errors), errors.len },
	};
	if (reward_seed(&r, NULL, &notes, &in, e) < 0) {
		buf_release(&errors);
		return -1;
	}
	if (b->dialect == DIALECT_OPEN) {
		cls = failure_class(b->cause, r.editability, r.semantic_parts);
	} else {
		struct seed_failure_input f = {
			.built = outcome == SEED_BUILT,
			.editability = r.editability,
			.semantic_parts = r.semantic_parts,
			.errors = in.stderr_text,
			.completion = in.raw,
			.code = in.code,
		};
		if (outcome == SEED_EVALUATOR_CRASH)
			f.error = (struct text_ref){ SEED_CRASH_TEXT, sizeof(SEED_CRASH_TEXT) - 1 };
		cls = seed_failure_class(&f);
	}
	if (s->mode == MODE_STRICT)
		r.total = r.strict;
	hand_out(s, j, r.total, cls, score_json(s, j, cls, &r, &notes, NULL));
	buf_release(&errors);
	notes_release(&notes);
	return 0;
}

static int count_lines(const struct buf *text)
{
	int n = text->len > 0 && text->data[text->len - 1] != '\n';

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

/* A shape without a solid is no part, however it was built. */
static void want_a_solid(struct job *j)
{
	struct build *b = &j->build;

	if (!b->ok || json_number_or(j->shape.geometry, "solids", 0) >= 1)
		return;
	b->ok = false;
	b->cause = CAUSE_EMPTY_SHAPE;
	free(b->error);
	b->error = strdup("the final object has no solid, only faces, edges or points: give it "
	                  "thickness, or close it");
}

static void terms_of(const struct scoring *s, const struct job *j, const struct exact_edits *x,
                     double t[TERM_COUNT])
{
	const cJSON *m = j->shape.exact;
	const cJSON *g = j->shape.geometry;

	for (int i = 0; i < TERM_COUNT; i++)
		t[i] = json_number_or(m, reward_term_name((enum reward_term)i), NAN);
	t[TERM_BUILD] = 1;
	t[TERM_EDITABILITY] = exact_editability(&s->profile, x, s->rebuilds);
	/* a tree too deep to be looked at is not editable; a shape without a program has none */
	if (isnan(t[TERM_EDITABILITY]) && !j->in->shape)
		t[TERM_EDITABILITY] = 0;
	t[TERM_EFFICIENCY] = exact_efficiency(
		&s->profile, json_number_or(m, "faces", json_number_or(g, "faces", NAN)),
		json_number_or(m, "reference_faces", NAN),
		json_number_or(j->build.facts, "nodes", NAN), j->ready->nodes);
}

static int end_exact(struct scoring *s, struct job *j, struct err *e)
{
	struct build *b = &j->build;
	struct exact_edits x = { .rebuilds = j->n_edits };
	struct notes notes = { 0 };
	struct exact_reward xr;
	double t[TERM_COUNT];

	for (int i = 0; i < j->n_edits; i++)
		x.rebuilds_ok += j->edits[i].ok;
	exact_edits_from_facts(&x, b->facts);
	if (b->ok) {
		if (!j->shape.exact)
			return err_set(
				e, ERR_PROTOCOL,
				"the scorer said nothing for the exact profiles: this is our "
				"fault, run it again");
		double parts =
			exact_credit(cJSON_GetObjectItemCaseSensitive(j->shape.exact, "checks"),
		                     j->ready->blanks.score, j->ready->blanks.n_forms,
		                     j->ready->blanks.n_checks, s->profile.together);
		terms_of(s, j, &x, t);
		t[TERM_SEMANTIC_PARTS] = parts;
		exact_built(&xr, &s->profile, t);
	} else {
		struct exact_failure f = {
			.cause = b->cause,
			.line = j->in->unfinished ? 0 : b->line - j->what.line_offset,
			.lines = count_lines(&j->what.program),
			.statements_done = j->in->unfinished ? 0 : b->statements_done,
			.statements_all = b->statements_all,
		};
		/* what the scorer cannot read has no solid that anybody could measure */
		if ((j->measured || j->in->shape) && f.cause == CAUSE_BAD_INPUT)
			f.cause = CAUSE_EMPTY_SHAPE;
		exact_failed(&xr, &s->profile, &f);
	}
	struct reward r = {
		.total = xr.total,
		.build = xr.term[TERM_BUILD],
		.topology = xr.term[TERM_TOPOLOGY],
		.contact = xr.term[TERM_CONTACT],
		.semantic_parts = xr.term[TERM_SEMANTIC_PARTS],
		.reference_similarity = xr.term[TERM_REFERENCE_SIMILARITY],
		.silhouette = xr.term[TERM_SILHOUETTE],
		.editability = xr.term[TERM_EDITABILITY],
		.efficiency = xr.term[TERM_EFFICIENCY],
		.strict = NAN,
		.cheap = NAN,
		.shaped = NAN,
	};
	enum build_class cls = failure_class(b->cause, r.editability, r.semantic_parts);
	cJSON *rebuilds = rebuilds_json(j);
	struct exact_advice advice = {
		.build = b,
		.reward = &xr,
		.exact = j->shape.exact,
		.facts = b->facts,
		.rebuilds = rebuilds,
		.edits = &x,
		.nodes = json_number_or(b->facts, "nodes", NAN),
		.reference_nodes = j->ready->nodes,
	};
	if (exact_notes(&notes, &advice, e) < 0) {
		cJSON_Delete(rebuilds);
		return -1;
	}
	hand_out(s, j, r.total, cls,
	         score_json(s, j, cls, &r, &notes, exact_json(s, j, &xr, &x, rebuilds)));
	notes_release(&notes);
	return 0;
}

static void job_free(struct job *j)
{
	*j->at = j->next;
	if (j->next)
		j->next->at = j->at;
	extract_release(&j->what);
	build_release(&j->build);
	shape_report_release(&j->shape);
	for (int i = 0; i < j->n_edits; i++)
		buf_release(&j->edits[i].program);
	free(j->edits);
	free(j);
}

/* ---- programs that were scored already ---- */

static void add_text(struct sha256 *h, const void *text, size_t len)
{
	uint64_t n = len;

	sha256_add(h, &n, sizeof(n));
	sha256_add(h, text, len);
}

/* All that a score is made from, beside the profile. */
static void name_job(struct scoring *s, struct job *j)
{
	const struct scoring_input *in = j->in;
	const bool exact = s->mode == MODE_EXACT;
	const int numbers[] = { in->unfinished, j->what.line_offset };
	struct buf parent = { 0 };
	struct sha256 h;

	if (!s->remembered || in->shape)
		return;
	if (in->parent)
		json_print(&parent, in->parent);
	sha256_start(&h);
	sha256_add(&h, &j->ready, sizeof(j->ready));
	sha256_add(&h, numbers, sizeof(numbers));
	add_text(&h, buf_str(&j->what.program), j->what.program.len);
	/* the published failure classes are told from the whole answer */
	add_text(&h, exact ? "" : in->text, exact ? 0 : in->len);
	add_text(&h, in->file ? in->file : "", in->file ? strlen(in->file) + 1 : 0);
	add_text(&h, buf_str(&parent), parent.len);
	sha256_end(&h, j->key);
	j->has_key = !buf_failed(&parent);
	buf_release(&parent);
}

/* Whether its score is there. */
static bool take_remembered(struct scoring *s, const struct job *j)
{
	const struct scored *got = remembered_of(s->remembered, j->key);
	struct scored out;

	if (!got || scored_copy(&out, got) < 0)
		return false;
	s->n_remembered++;
	s->to.done(s->to.ctx, j->item.index, &out, NULL);
	scored_release(&out);
	return true;
}

/* Those that waited for @of; one whose score cannot be taken is left to be built. */
static void equals_end(struct scoring *s, const struct job *of)
{
	for (struct job *j = s->jobs, *next; j; j = next) {
		next = j->next;
		if (!j->waits || j->equal != of)
			continue;
		j->equal = NULL;
		if (take_remembered(s, j))
			job_free(j);
		else
			s->left = true;
	}
}

static const struct job *equal_under_way(const struct scoring *s, const struct job *of)
{
	for (const struct job *j = s->jobs; j; j = j->next)
		if (j != of && j->has_key && !j->waits &&
		    memcmp(j->key, of->key, SHA256_BYTES) == 0)
			return j;
	return NULL;
}

/* To other machines: all that the score is made from. */
static void job_send(struct scoring *s, struct job *j)
{
	const struct scoring_input *in = j->in;
	const struct ready *r = j->ready;
	struct job_asked a = {
		.dialect = s->dialect,
		.rebuilds = s->rebuilds,
		.no_blanks = s->o.no_blanks,
		.no_filter = s->o.app->no_filter,
		.unfinished = in->unfinished,
		.program_lines = in->program_lines,
		.artifacts = s->o.artifacts,
		.rule = in->rule,
		.shape = !in->shape          ? JOB_PROGRAM
		         : in->shape_is_step ? JOB_STEP
		                             : JOB_BREP,
		.limits = s->o.app->limits,
		.text = in->shape ? in->shape : in->text,
		.len = in->shape ? in->shape_len : in->len,
	};

	if (s->mode != MODE_EXACT)
		snprintf(a.profile, sizeof(a.profile), "%.31s", s->name);
	memcpy(a.profile_sha, s->profile_sha, SHA256_HEX);
	memcpy(a.task_sha, r->task_sha, SHA256_HEX);
	memcpy(a.reference_sha, r->reference_sha, SHA256_HEX);
	memcpy(a.ending, r->ending, sizeof(a.ending));
	snprintf(a.reference, sizeof(a.reference), "%.15s",
	         s->mode != MODE_EXACT ? s->reference
	         : !*r->reference_sha  ? "none"
	         : *r->task_sha        ? "task"
	                               : "file");
	if (farm_add(s->farm, &a, j, &s->failed) < 0 && j->in->file)
		err_wrap(&s->failed, "%s", j->in->file);
}

static void job_go(struct scoring *s, struct job *j)
{
	j->waits = j->has_key && (j->equal = equal_under_way(s, j)) != NULL;
	if (!j->waits && s->farm)
		job_send(s, j);
	else if (!j->waits)
		pipeline_add(s->pipeline, &j->item);
}

/* Outside of callbacks. Whether there were any. */
static bool start_left(struct scoring *s)
{
	if (!s->left)
		return false;
	s->left = false;
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->waits && !j->equal)
			job_go(s, j);
	return true;
}

/* ---- one program's end, whatever it is ---- */

static void job_end(struct scoring *s, struct job *j)
{
	struct err e = { 0 };
	int rc = s->mode == MODE_EXACT ? end_exact(s, j, &e) : end_seed(s, j, &e);

	if (rc < 0) {
		if (j->in->file)
			err_wrap(&e, "%s", j->in->file);
		s->to.done(s->to.ctx, j->item.index, NULL, &e);
	}
	equals_end(s, j);
	job_free(j);
}

/* ---- what other machines say ---- */

/* Those who listen are told at once what they would have been told one by one. */
static void tell_all(struct scoring *s, const struct job *j, struct scored *out)
{
	const struct scoring_ears *to = &s->o.ears;
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(out->json, "reward");
	size_t item = j->item.index;

	if (to->log && out->log.len > 0)
		to->log(to->ctx, item, "stdout", out->log.data, out->log.len);
	if (to->built)
		to->built(to->ctx, item, &out->build);
	if (!out->built)
		return;
	if (to->shape && out->stl.len > 0)
		to->shape(to->ctx, item, out->stl.data, out->stl.len);
	for (int i = 0; to->figure && s->mode == MODE_EXACT && i < TERM_COUNT; i++) {
		const char *name = reward_term_name((enum reward_term)i);
		double v = json_number_or(reward, name, NAN);
		if (i != TERM_EDITABILITY && isfinite(v))
			to->figure(to->ctx, item, name, v);
	}
}

/* What a worker does not know: what the file is called here, and the parent. */
static void complete(const struct job *j, struct scored *out)
{
	cJSON *file = cJSON_CreateObject();

	if (j->in->file) {
		show_add_file(file, j->in->file);
		for (cJSON *x; (x = cJSON_DetachItemFromArray(file, 0));) {
			char key[32];
			snprintf(key, sizeof(key), "%s", x->string);
			cJSON_ReplaceItemInObjectCaseSensitive(out->json, key, x);
		}
	}
	cJSON_Delete(file);
	if (j->in->parent)
		cJSON_ReplaceItemInObjectCaseSensitive(out->json, "delta",
		                                       exact_delta(j->in->parent, out->json));
}

static void on_farm(void *ctx, void *user, struct scored *out, const struct err *why)
{
	struct scoring *s = ctx;
	struct job *j = user;
	struct err e;

	if (out) {
		tell_all(s, j, out);
		complete(j, out);
		if (j->has_key)
			remembered_keep(s->remembered, j->key, out);
		s->to.done(s->to.ctx, j->item.index, out, NULL);
	} else {
		e = *why;
		if (j->in->file)
			err_wrap(&e, "%s", j->in->file);
		s->to.done(s->to.ctx, j->item.index, NULL, &e);
	}
	equals_end(s, j);
	job_free(j);
}

static int farm_open_for(struct scoring *s, struct err *e)
{
	const struct farm_ops ops = { .ctx = s, .done = on_farm };

	if (!s->o.app->queue)
		return 0;
	s->farm = farm_open(s->o.app->queue, s->o.app->quiet, &ops, e);
	return s->farm ? 0 : -1;
}

/* Until all that were added are over. */
static int farm_until_over(struct scoring *s, struct err *e)
{
	const struct scoring_ears *to = &s->o.ears;

	for (;;) {
		struct pollfd fd[4];
		if (farm_work(s->farm, e) < 0)
			return -1;
		if (s->failed.kind || farm_waiting(s->farm) == 0)
			break;
		int n = farm_poll_fds(s->farm, fd, 4), ms = farm_timeout_ms(s->farm);
		int tick_ms = to->tick_ms > 0 ? to->tick_ms : 250;
		if (to->tick && to->tick(to->ctx) != 0)
			return err_set(e, ERR_CANCELLED, "cancelled");
		poll(fd, (nfds_t)n, ms < 0 || ms > tick_ms ? tick_ms : ms);
	}
	if (s->failed.kind)
		*e = s->failed;
	return s->failed.kind ? -1 : 0;
}

/* ---- rebuilds ---- */

/* Writes the edited program, in whole numbers or not. 0; 1: not this one; -1. */
static int edit_write(struct scoring *s, struct edit *x, struct err *e)
{
	const struct buf *program = &x->job->what.program;

	buf_release(&x->program);
	int rc = exact_edit(&x->program, buf_str(program), program->len, x->dimension,
	                    s->profile.change, x->whole, e);
	x->item = (struct pipeline_item){
		.program = buf_str(&x->program),
		.len = x->program.len,
		.line_offset = x->job->what.line_offset,
		.bare = true,
	};
	return rc;
}

/* The first named dimensions that reach the shape, each changed in a program of its own. */
static int edits_start(struct scoring *s, struct job *j, struct err *e)
{
	const cJSON *all = cJSON_GetObjectItemCaseSensitive(j->build.facts, "dimensions"), *d;

	j->edits = calloc(EDITS_MAX, sizeof(*j->edits));
	if (!j->edits)
		return err_set(e, ERR_MEM, "out of memory for rebuilds");
	cJSON_ArrayForEach(d, all)
	{
		struct edit *x = &j->edits[j->n_edits];
		if (j->n_edits == s->rebuilds || j->n_edits == EDITS_MAX)
			break;
		if (!json_bool_or(d, "reaches", false))
			continue;
		*x = (struct edit){ .job = j, .dimension = d };
		int rc = edit_write(s, x, e);
		if (rc < 0)
			return -1;
		if (rc > 0)
			buf_release(&x->program);
		else
			j->n_edits++;
	}
	for (int i = 0; i < j->n_edits; i++) {
		pipeline_push(s->pipeline, &j->edits[i].item);
		j->waiting++;
	}
	return 0;
}

static void edit_done(struct scoring *s, struct edit *x)
{
	struct job *j = x->job;
	struct build b = x->item.build;
	struct shape_report shape = x->item.shape;
	bool measured = x->item.measured;
	struct err e = { 0 };

	x->item.build = (struct build){ 0 };
	x->item.shape = (struct shape_report){ 0 };
	j->rebuild_s += b.seconds;
	j->lost = j->lost || b.cause == CAUSE_BUILDER_LOST || shape.cause == CAUSE_BUILDER_LOST;
	/* a count takes whole numbers alone, and says so by its type */
	bool again = !b.ok && b.cause == CAUSE_TYPE && !x->whole &&
	             json_bool_or(x->dimension, "whole", false);
	x->whole = x->whole || again;
	if (again) {
		int rc = edit_write(s, x, &e);
		if (rc == 0)
			pipeline_push(s->pipeline, &x->item);
		if (rc < 0)
			pipeline_fail(s->pipeline, &e);
		again = rc == 0;
	}
	if (!again && !b.ok)
		snprintf(x->why, sizeof(x->why), "it does not build any more (%s)",
		         b.error ? b.error : build_cause_label(b.cause));
	else if (!again && !(measured && shape.ok && exact_shape_sound(shape.geometry)))
		snprintf(x->why, sizeof(x->why), "what comes is no sound solid any more");
	else if (!again && !exact_shape_changed(j->shape.geometry, shape.geometry))
		snprintf(x->why, sizeof(x->why), "the part stays as it was");
	else
		x->ok = !again;
	build_release(&b);
	shape_report_release(&shape);
	if (again)
		return;
	if (--j->waiting == 0)
		job_end(s, j);
}

/* ---- the pipeline's callbacks ---- */

/* What is known before the rebuilds: they change editability alone. */
static void tell_terms(struct scoring *s, const struct job *j, size_t index)
{
	const struct scoring_ears *to = &s->o.ears;
	struct exact_edits none = { 0 };
	double t[TERM_COUNT];

	terms_of(s, j, &none, t);
	t[TERM_SEMANTIC_PARTS] = exact_credit(
		cJSON_GetObjectItemCaseSensitive(j->shape.exact, "checks"), j->ready->blanks.score,
		j->ready->blanks.n_forms, j->ready->blanks.n_checks, s->profile.together);
	for (int i = 0; i < TERM_COUNT; i++)
		if (i != TERM_EDITABILITY && isfinite(t[i]))
			to->figure(to->ctx, index, reward_term_name((enum reward_term)i), t[i]);
}

static void tell_built(struct scoring *s, const struct job *j, size_t index)
{
	const struct scoring_ears *to = &s->o.ears;

	if (to->built)
		to->built(to->ctx, index, &j->build);
	if (!j->build.ok)
		return;
	if (to->shape && j->shape.stl.len > 0)
		to->shape(to->ctx, index, j->shape.stl.data, j->shape.stl.len);
	if (to->figure && s->mode == MODE_EXACT && j->shape.exact)
		tell_terms(s, j, index);
}

static void on_done(void *ctx, size_t index, struct pipeline_item *it)
{
	struct scoring *s = ctx;
	struct err e = { 0 };

	if (index == PIPELINE_PUSHED) {
		edit_done(s, (struct edit *)((char *)it - offsetof(struct edit, item)));
		return;
	}
	struct job *j = (struct job *)((char *)it - offsetof(struct job, item));
	j->build = it->build;
	j->shape = it->shape;
	j->measured = it->measured;
	it->build = (struct build){ 0 };
	it->shape = (struct shape_report){ 0 };
	if (s->mode == MODE_EXACT) {
		if (j->build.ok && !(j->measured && j->shape.ok))
			adopt_shape_failure(&j->build, &j->shape);
		want_a_solid(j);
	}
	tell_built(s, j, index);
	if (s->mode == MODE_EXACT && j->build.ok && s->rebuilds > 0 && edits_start(s, j, &e) < 0)
		pipeline_fail(s->pipeline, &e);
	if (!j->waiting)
		job_end(s, j);
}

static int on_tick(void *ctx)
{
	struct scoring *s = ctx;

	return s->o.ears.tick ? s->o.ears.tick(s->o.ears.ctx) : 0;
}

static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	struct scoring *s = ctx;

	if (s->o.ears.log)
		s->o.ears.log(s->o.ears.ctx, item, stream, text, len);
}

/* ---- the verbs ---- */

struct scoring *scoring_open(const struct scoring_options *o, struct err *e)
{
	struct scoring *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	s->o = *o;
	if (farm_open_for(s, e) < 0 || load_profile(s, o->profile ? o->profile : "exact", e) < 0)
		goto fail;
	bool exact = s->mode == MODE_EXACT;
	snprintf(s->reference, sizeof(s->reference), "%s",
	         o->reference ? o->reference
	         : exact      ? "task"
	                      : "none");
	s->dialect = o->dialect ? *o->dialect : exact ? DIALECT_OPEN : DIALECT_SEED;
	s->rebuilds = o->rebuilds >= 0 ? o->rebuilds : s->profile.rebuilds;
	if (s->rebuilds > EDITS_MAX)
		s->rebuilds = EDITS_MAX;
	if ((exact ? check_exact_reference(s, e) : load_seed_reference(s, e)) < 0)
		goto fail;
	struct pipeline_options p = {
		.dialect = s->dialect,
		.limits = o->app->limits,
		.no_filter = o->app->no_filter,
		.measure = true,
		.geometry = true,
		.facts = exact,
		.figures = exact                       ? FIGURES_NONE
		           : s->mode == MODE_SEED_FULL ? FIGURES_FULL
		                                       : FIGURES_FAST,
		.export_stl = o->artifacts & SCORING_STL,
		.tick_ms = o->ears.tick_ms,
		.ctx = s,
		.log = on_log,
		.tick = on_tick,
		.done = on_done,
	};
	if (s->farm && s->has_set) {
		err_set(e, ERR_USAGE,
		        "--reference %s: a folder of the published form does not travel: score "
		        "without --queue, or with --reference seed-task",
		        s->reference);
		goto fail;
	}
	app_engine_options(o->app, &p.engine);
	if (o->remember > 0 && !o->artifacts && !(s->remembered = remembered_new(o->remember))) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	s->pipeline = pipeline_open(&p, e);
	if (s->pipeline)
		return s;
fail:
	scoring_close(s);
	return NULL;
}

void scoring_forget_tasks(struct scoring *s)
{
	for (int i = 0; i < s->n_ready; i++) {
		cJSON_Delete(s->ready[i]->exact);
		blanks_release(&s->ready[i]->blanks);
		reference_release(&s->ready[i]->box);
		free(s->ready[i]);
	}
	s->n_ready = 0;
	/* their names hang on these */
	if (s->remembered)
		remembered_clear(s->remembered);
}

void scoring_close(struct scoring *s)
{
	if (!s)
		return;
	farm_close(s->farm);
	pipeline_close(s->pipeline);
	scoring_forget_tasks(s);
	remembered_free(s->remembered);
	free(s->ready);
	reference_release(&s->set);
	free(s);
}

void scoring_listen(struct scoring *s, const struct scoring_ears *ears)
{
	static const struct scoring_ears nobody;

	s->o.ears = ears ? *ears : nobody;
	pipeline_tick_ms(s->pipeline, s->o.ears.tick_ms);
}

const char *scoring_profile_name(const struct scoring *s)
{
	return s->name;
}

int64_t scoring_remembered(const struct scoring *s)
{
	return s->n_remembered;
}

const char *scoring_profile_hash(const struct scoring *s)
{
	return s->hash;
}

struct watch *scoring_watch(struct scoring *s, const struct watch_ops *ops, struct err *e)
{
	const struct watch_options o = {
		.dialect = s->dialect,
		.no_filter = s->o.app->no_filter,
		.limits = s->o.app->limits,
		.shapes = ops->shape != NULL,
	};

	return watch_open(s->pipeline, &o, ops, e);
}

double scoring_editability(const struct scoring *s, const cJSON *facts)
{
	struct exact_edits x = { 0 };

	if (s->mode != MODE_EXACT)
		return NAN;
	exact_edits_from_facts(&x, facts);
	return exact_editability(&s->profile, &x, 0);
}

int scoring_poll_fds(struct scoring *s, struct pollfd *out, int cap)
{
	int n = s->farm ? farm_poll_fds(s->farm, out, cap) : 0;

	return n + engine_poll_fds(pipeline_engine(s->pipeline), out + n, cap - n);
}

void scoring_attend(struct scoring *s)
{
	struct err e = { 0 };

	/* what cannot be kept alive is told by the run that needs it */
	if (s->farm)
		farm_work(s->farm, &e);
	engine_step(pipeline_engine(s->pipeline), &e);
}

int scoring_warm(struct scoring *s, struct err *e)
{
	struct engine *en = pipeline_engine(s->pipeline);

	if (s->farm)
		return farm_work(s->farm, e);
	return engine_warm_builder(en, e) < 0 || engine_warm_scorer(en, e) < 0 ? -1 : 0;
}

static void add_versions(struct buf *out, const cJSON *info, const char *what)
{
	const cJSON *v;

	cJSON_ArrayForEach(
		v, cJSON_GetObjectItemCaseSensitive(info, "versions")) if (cJSON_IsString(v))
		buf_printf(out, "%s%s%s %s", out->len ? ", " : "", what, v->string, v->valuestring);
}

int scoring_versions(struct scoring *s, struct buf *out, struct err *e)
{
	const struct engine *en = pipeline_engine(s->pipeline);

	if (pipeline_ready(s->pipeline, true, true, e) < 0)
		return -1;
	add_versions(out, engine_builder_info(en), "");
	add_versions(out, engine_scorer_info(en), "scorer's ");
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

int scoring_prepare(struct scoring *s, const struct task *task, struct err *e)
{
	struct ready *r = ready_of(s, task, e);

	return r ? prepare(s, r, e) : -1;
}

int scoring_reference_mesh(struct scoring *s, const struct task *task, struct buf *out,
                           struct err *e)
{
	if (!task->reference)
		return err_set(e, ERR_INPUT, "task %s has no reference", task->id);
	return reference_mesh(out, s->pipeline, s->o.app, task->reference, e);
}

void scoring_unreadable(const struct scoring *s, const struct task *task, const char *file,
                        const char *why, struct scored *out)
{
	const struct reward none = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	const struct scoring_input in = { .task = task, .file = file };
	const struct notes notes = { 0 };
	struct job j = { .in = &in };

	j.build = (struct build){ .cause = CAUSE_BAD_INPUT,
		                  .dialect = s->dialect,
		                  .error = strdup(why),
		                  .seconds = NAN,
		                  .cpu_s = NAN };
	*out = (struct scored){ .total = NAN, .cls = CLASS_UNKNOWN_BUILD_FAILURE };
	out->json = score_json(s, &j, out->cls, &none, &notes, NULL);
	out->build = j.build;
}

static const struct reference_set *seed_reference(const struct scoring *s, const struct ready *r)
{
	return s->has_set ? &s->set : r->has_box ? &r->box : NULL;
}

static int start_job(struct scoring *s, struct job *j, size_t item, struct err *e)
{
	const struct scoring_input *in = j->in;

	if (in->shape && s->mode != MODE_EXACT)
		return err_set(
			e, ERR_USAGE,
			"%s: a shape without a program is scored by the exact profiles alone, and "
			"this is %s",
			in->file ? in->file : "a shape", s->name);
	j->ready = ready_of(s, in->task, e);
	if (!j->ready || prepare(s, j->ready, e) < 0 ||
	    (!in->shape && extract_program(&j->what, in->rule, in->text, in->len, e) < 0))
		return -1;
	if (s->farm && (in->shape ? in->shape_len : in->len) > JOB_TEXT_BYTES_MAX)
		return err_set(e, ERR_INPUT, "%s: more than %d MiB are too much for other machines",
		               in->file ? in->file : "a text", JOB_TEXT_BYTES_MAX >> 20);
	if (in->program_lines)
		j->what.line_offset = 0;
	j->item = (struct pipeline_item){
		.program = buf_str(&j->what.program),
		.len = j->what.program.len,
		.line_offset = j->what.line_offset,
		.given = in->shape,
		.given_len = in->shape_len,
		.given_is_step = in->shape_is_step,
		.reference = seed_reference(s, j->ready),
		.exact = j->ready->exact,
		.exact_reference = j->ready->exact_id,
		.index = item,
	};
	name_job(s, j);
	return 0;
}

void scoring_begin(struct scoring *s, const struct scoring_stream *to)
{
	s->to = *to;
	s->failed = (struct err){ 0 };
	pipeline_begin(s->pipeline);
}

int scoring_add(struct scoring *s, const struct scoring_input *in, size_t item, struct err *e)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return err_set(e, ERR_MEM, "out of memory for a program");
	j->in = in;
	j->next = s->jobs;
	j->at = &s->jobs;
	if (j->next)
		j->next->at = &j->next;
	s->jobs = j;
	int rc = start_job(s, j, item, e);
	if (rc < 0 || (j->has_key && take_remembered(s, j)))
		job_free(j);
	else
		job_go(s, j);
	return rc;
}

int scoring_work(struct scoring *s, struct err *e)
{
	int rc;

	do
		rc = s->farm ? farm_work(s->farm, e) : pipeline_work(s->pipeline, e);
	while (rc == 0 && start_left(s));
	if (rc == 0 && s->failed.kind) {
		*e = s->failed;
		rc = -1;
	}
	return rc;
}

void scoring_end(struct scoring *s)
{
	if (s->farm)
		farm_drop(s->farm);
	pipeline_end(s->pipeline);
	while (s->jobs)
		job_free(s->jobs);
	s->left = false;
}

/* Of a run that waits: one that cannot be scored ends it. */
struct all {
	struct scoring *s;
	void (*done)(void *ctx, size_t item, struct scored *out);
	void *ctx;
};

static void done_of_all(void *ctx, size_t item, struct scored *out, const struct err *why)
{
	const struct all *a = ctx;

	if (out)
		a->done(a->ctx, item, out);
	else if (a->s->farm)
		a->s->failed = *why;
	else
		pipeline_fail(a->s->pipeline, why);
}

int scoring_run_all(struct scoring *s, const struct scoring_input *in, size_t n,
                    void (*done)(void *ctx, size_t item, struct scored *out), void *ctx,
                    struct err *e)
{
	struct all all = { s, done, ctx };
	const struct scoring_stream to = { &all, done_of_all };
	int rc = 0;

	scoring_begin(s, &to);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = scoring_add(s, &in[i], i, e);
	do
		rc = rc != 0   ? rc
		     : s->farm ? farm_until_over(s, e)
		               : pipeline_until_over(s->pipeline, e);
	while (rc == 0 && start_left(s));
	scoring_end(s);
	return rc;
}

static void take_one(void *ctx, size_t item, struct scored *out)
{
	struct scored *to = ctx;

	(void)item;
	*to = *out;
	*out = (struct scored){ 0 };
}

/* A part without pictures is a part still: what cannot be drawn is left out. */
static int draw(struct scoring *s, const struct task *task, struct scored *got, struct err *e)
{
	static const char *const views[] = { "front",     "back",    "left",  "right",     "top",
		                             "isometric", "section", "sheet", "difference" };
	const struct ready *r = ready_of(s, task, e);
	struct shape_report report = { 0 };

	if (!r)
		return -1;
	const cJSON *reference = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(got->json, "exact"), "reference");
	struct shape_request q = {
		.bytes = buf_str(&got->brep),
		.len = got->brep.len,
		.views = views,
		.n_views = (int)(sizeof(views) / sizeof(*views)) - (r->exact_id == 0),
		.view_px = 720,
		.title = task ? task->id : "",
		.exact_reference = r->exact_id,
		.rotation = (int)json_number_or(reference, "rotation", 0),
		.limits = s->o.app->limits,
	};
	if (pipeline_measure(s->pipeline, &q, &report, e) < 0)
		return -1;
	got->pictures = calloc((size_t)report.n_pictures + 1, sizeof(*got->pictures));
	for (int i = 0; got->pictures && i < report.n_pictures; i++) {
		struct scored_picture *p = &got->pictures[got->n_pictures++];
		snprintf(p->name, sizeof(p->name), "%s", report.pictures[i].name);
		p->png = report.pictures[i].png;
		report.pictures[i].png = (struct buf){ 0 };
	}
	cJSON *seconds = cJSON_GetObjectItemCaseSensitive(got->json, "seconds");
	cJSON_DeleteItemFromObject(seconds, "render");
	json_add_figure(seconds, "render", report.seconds);
	shape_report_release(&report);
	return 0;
}

int scoring_finish(struct scoring *s, const struct scoring_input *in, struct scored *got,
                   struct err *e)
{
	if (got->built && (s->o.artifacts & SCORING_VIEWS) && draw(s, in->task, got, e) < 0)
		return -1;
	if (got->built && (s->o.artifacts & SCORING_STEP)) {
		/* what cannot be expressed as STEP is a part without that file */
		if (pipeline_convert(s->pipeline, true, buf_str(&got->brep), got->brep.len,
		                     &got->step, e) < 0 &&
		    e->kind != ERR_INPUT)
			return -1;
	}
	if (!(s->o.artifacts & SCORING_BREP))
		buf_release(&got->brep);
	return 0;
}

int scoring_run(struct scoring *s, const struct scoring_input *in, struct scored *out,
                struct err *e)
{
	struct scored got = { .total = NAN };

	if (scoring_run_all(s, in, 1, take_one, &got, e) < 0 ||
	    (!s->farm && scoring_finish(s, in, &got, e) < 0))
		goto fail;
	*out = got;
	return 0;
fail:
	scored_release(&got);
	return -1;
}
