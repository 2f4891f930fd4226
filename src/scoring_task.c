/*
 * scoring_task.c - profiles, references, and what the programs of one task share.
 */
#include "src/scoring_inside.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROFILE_BYTES_MAX = 1 << 20 };

static const char *const seed_names[] = { "seed-fast", "seed-full", "strict" };

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

int scoring_load_profile(struct scoring *s, const char *name, struct err *e)
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

int scoring_load_seed_reference(struct scoring *s, struct err *e)
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
int scoring_check_reference(const struct scoring *s, struct err *e)
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

struct ready *scoring_ready_of(struct scoring *s, const struct task *t, struct err *e)
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

int scoring_make_ready(struct scoring *s, struct ready *r, struct err *e)
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
