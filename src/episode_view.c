#include "src/episode_view.h"

#include <stdio.h>
#include <string.h>

#include "engine/glb.h"
#include "engine/stl.h"

void episode_view_release(struct episode_view *v)
{
	for (int i = 0; i < v->n; i++)
		buf_release(&v->picture[i].png);
	buf_release(&v->glb);
	*v = (struct episode_view){ 0 };
}

struct reading {
	struct store *store;
	int64_t episode;
	int turn;
	cJSON *artifacts;
	int *damaged;
};

static cJSON *artifact(const struct reading *r, const char *name)
{
	cJSON *a;

	cJSON_ArrayForEach(a, r->artifacts)
	{
		if (strcmp(json_string_or(a, "name", ""), name) == 0)
			return a;
	}
	return NULL;
}

static bool is_there(const struct reading *r, const char *name)
{
	cJSON *a = artifact(r, name);

	return a && json_bool_or(a, "there", false);
}

/* 0; 1: it is not there, or damaged; -1. */
static int content(const struct reading *r, const char *name, struct buf *out, struct err *e)
{
	cJSON *a = artifact(r, name);
	size_t before = out->len;

	if (!is_there(r, name))
		return 1;
	if (store_artifact(r->store, r->episode, r->turn, name, out, e) == 0)
		return 0;
	if (e->kind != ERR_INPUT)
		return -1;
	out->len = before;
	cJSON_ReplaceItemInObjectCaseSensitive(a, "there", cJSON_CreateBool(false));
	(*r->damaged)++;
	return 1;
}

/* ---- pictures ---- */

static int read_picture(struct episode_view *v, const struct reading *r, const char *file,
                        struct err *e)
{
	size_t n = strlen(file);
	struct episode_picture *p = &v->picture[v->n];

	if (v->n == EPISODE_PICTURES_MAX || n < 5 || n - 4 >= sizeof(p->name) ||
	    strcmp(file + n - 4, ".png") != 0)
		return 0;
	*p = (struct episode_picture){ 0 };
	int rc = content(r, file, &p->png, e);
	if (rc != 0 || p->png.len < 8 || memcmp(p->png.data, "\x89PNG\r\n\x1a\n", 8) != 0) {
		buf_release(&p->png);
		return rc < 0 ? -1 : 0;
	}
	snprintf(p->name, sizeof(p->name), "%.*s", (int)n - 4, file);
	v->n++;
	return 0;
}

static int read_pictures(struct episode_view *v, const struct reading *r, struct err *e)
{
	static const char *const first[] = { "isometric.png", "front.png", "right.png", "top.png",
		                             "sheet.png" };
	const int sides = 4;
	cJSON *a;

	for (int i = 0; i < sides; i++)
		if (read_picture(v, r, first[i], e) < 0)
			return -1;
	/* the sheet is those four once more */
	if (v->n < sides && read_picture(v, r, first[sides], e) < 0)
		return -1;
	cJSON_ArrayForEach(a, r->artifacts)
	{
		const char *file = json_string_or(a, "name", "");
		bool again = false;
		for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++)
			again = again || strcmp(first[i], file) == 0;
		if (!again && strcmp(json_string_or(a, "kind", ""), "view") == 0 &&
		    read_picture(v, r, file, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- the part ---- */

/* 0; 1: it says why not. */
static int glb_of_stl(struct episode_view *v, const struct buf *stl, struct err *e)
{
	struct soup soup = { 0 };

	/* the size of a binary one says how many: nothing is read that is not shown */
	if (stl->len > 84 + 50 * (size_t)EPISODE_TRIANGLES_MAX) {
		snprintf(v->why, sizeof(v->why),
		         "The part has more than %d triangles, too many for a page.",
		         EPISODE_TRIANGLES_MAX);
		return 1;
	}
	int rc = stl_read(&soup, buf_str(stl), stl->len, EPISODE_TRIANGLES_MAX, e);
	if (rc == 0)
		rc = glb_write(&v->glb, &soup, e);
	soup_release(&soup);
	if (rc < 0 && e->kind == ERR_INPUT) {
		snprintf(v->why, sizeof(v->why), "The stored triangles cannot be shown: %.200s.",
		         e->text);
		return 1;
	}
	return rc;
}

static int glb_of_shape(struct episode_view *v, const struct episode_mesher *mesher,
                        const struct buf *shape, bool is_step, struct err *e)
{
	struct err why = { 0 };

	if (mesher->glb(mesher->ctx, buf_str(shape), shape->len, is_step, &v->glb, &why) < 0) {
		buf_release(&v->glb);
		if (why.kind == ERR_MEM || why.kind == ERR_CANCELLED) {
			*e = why;
			return -1;
		}
		snprintf(v->why, sizeof(v->why),
		         "The stored %s could not be made into triangles: %.200s.",
		         is_step ? "STEP" : "BREP", why.text);
		return 1;
	}
	if (v->glb.len > 4096 + 36 * (size_t)EPISODE_TRIANGLES_MAX) {
		buf_release(&v->glb);
		snprintf(v->why, sizeof(v->why),
		         "The part has more than %d triangles, too many for a page.",
		         EPISODE_TRIANGLES_MAX);
		return 1;
	}
	return 0;
}

static int read_part(struct episode_view *v, const struct reading *r, bool built,
                     const struct episode_mesher *mesher, struct err *e)
{
	struct buf shape = { 0 };
	int rc = content(r, "shape.stl", &shape, e);

	if (rc == 0) {
		rc = glb_of_stl(v, &shape, e);
	} else if (rc > 0 && mesher) {
		bool is_step = false;
		rc = content(r, "shape.brep", &shape, e);
		if (rc > 0) {
			is_step = true;
			rc = content(r, "shape.step", &shape, e);
		}
		if (rc == 0)
			rc = glb_of_shape(v, mesher, &shape, is_step, e);
	}
	buf_release(&shape);
	if (rc > 0 && !mesher && (is_there(r, "shape.brep") || is_there(r, "shape.step")))
		snprintf(v->why, sizeof(v->why),
		         "Its triangles were pruned; 'cadforge export' makes them of its shape.");
	if (rc > 0 && !v->why[0])
		snprintf(
			v->why, sizeof(v->why), "%s",
			built ? "Its shape is not stored any more: it was pruned, or the part came "
				"without one."
			      : "There is no part: the program did not build.");
	return rc < 0 ? -1 : 0;
}

int episode_view_read(struct episode_view *out, struct store *s, int64_t episode, int turn,
                      bool built, cJSON *artifacts, const struct episode_mesher *mesher,
                      int *damaged, struct err *e)
{
	struct reading r = { s, episode, turn, artifacts, damaged };

	*out = (struct episode_view){ 0 };
	if (read_pictures(out, &r, e) < 0 || read_part(out, &r, built, mesher, e) < 0) {
		episode_view_release(out);
		return -1;
	}
	return 0;
}
