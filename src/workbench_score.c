/*
 * workbench_score.c - scores, classes and times as a view has them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/reward_exact.h"
#include "src/workbench.h"

#define WEAK 0.60 /* below: "~" (screens.md) */

static const cJSON *in(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

enum mark wb_mark(bool built, double total)
{
	return !built ? MARK_FAILED : total < WEAK ? MARK_WEAK : MARK_BUILT;
}

const char *wb_class_words(const char *class_name)
{
	if (!class_name || strcmp(class_name, build_class_name(CLASS_BUILD_OK)) == 0)
		return NULL;
	for (int c = 0; c < CLASS_COUNT; c++)
		if (strcmp(class_name, build_class_name((enum build_class)c)) == 0)
			return build_class_label((enum build_class)c);
	return class_name;
}

const char *wb_when(struct workbench *w, int64_t time_us)
{
	char text[24];

	store_local_time(text, sizeof(text), time_us);
	text[16] = '\0'; /* without seconds */
	return wb_text(w, "%s", text);
}

/* A want or a got: number, text, array, region. */
static const char *value_text(struct workbench *w, const cJSON *v)
{
	struct buf b = { 0 };

	if (!v || cJSON_IsNull(v))
		return "-";
	if (cJSON_IsString(v))
		return wb_text(w, "%s", v->valuestring);
	if (cJSON_IsBool(v))
		return cJSON_IsTrue(v) ? "yes" : "no";
	if (cJSON_IsNumber(v))
		return wb_text(w, "%.6g", v->valuedouble);
	if (cJSON_IsArray(v)) {
		const cJSON *x;
		cJSON_ArrayForEach(x, v)
		{
			buf_adds(&b, b.len ? " x " : "");
			if (cJSON_IsNumber(x))
				buf_printf(&b, "%.6g", x->valuedouble);
			else
				buf_adds(&b, "any");
		}
	} else {
		json_print(&b, v);
	}
	const char *t = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return t;
}

static void checks(struct workbench *w, const cJSON *list, struct view_score *out)
{
	int n = cJSON_GetArraySize(list), i = 0;
	struct view_check *v = n > 0 ? wb_array(w, struct view_check, n) : NULL;
	const cJSON *c;

	if (!v)
		return;
	cJSON_ArrayForEach(c, list)
	{
		const cJSON *ok = in(c, "ok");
		v[i++] = (struct view_check){
			.id = json_string_or(c, "id", "?"),
			.ok = cJSON_IsBool(ok) ? cJSON_IsTrue(ok) : -1,
			.want = value_text(w, in(c, "want")),
			.got = value_text(w, in(c, "got")),
			.why = json_string_or(c, "why", json_string_or(c, "about", "")),
			.weight = json_number_or(c, "weight", NAN),
			.score = json_number_or(c, "score", NAN),
		};
		out->checks_ok += json_bool_or(c, "ok", false);
	}
	out->checks = v;
	out->n_checks = n;
}

static void notes(struct workbench *w, const cJSON *list, struct view_score *out)
{
	int n = cJSON_GetArraySize(list), i = 0;
	const char **v = n > 0 ? wb_array(w, const char *, n) : NULL;
	const cJSON *c;

	if (!v)
		return;
	cJSON_ArrayForEach(c, list) v[i++] = cJSON_IsString(c) ? c->valuestring : "";
	out->notes = v;
	out->n_notes = n;
}

static void fact(struct view_fact *v, int *n, const char *label, const char *value)
{
	v[(*n)++] = (struct view_fact){ label, value };
}

static void facts(struct workbench *w, const cJSON *score, struct view_score *out)
{
	const cJSON *g = in(score, "geometry"), *m = in(score, "mesh"), *b = in(score, "build");
	struct view_fact *v = wb_array(w, struct view_fact, 10);
	int n = 0;

	if (!v || !cJSON_IsObject(g) || !cJSON_IsArray(in(g, "bbox_mm")))
		return;
	double d[3] = { NAN, NAN, NAN };
	for (int k = 0; k < 3; k++) {
		const cJSON *x = cJSON_GetArrayItem(in(g, "bbox_mm"), k);
		d[k] = cJSON_IsNumber(x) ? x->valuedouble : NAN;
	}
	fact(v, &n, "box", wb_text(w, "%.1f x %.1f x %.1f mm", d[0], d[1], d[2]));
	fact(v, &n, "volume", wb_text(w, "%.1f cm3", json_number_or(g, "volume_mm3", NAN) / 1000));
	fact(v, &n, "solids", wb_text(w, "%.0f", json_number_or(g, "solids", NAN)));
	fact(v, &n, "faces edges",
	     wb_text(w, "%.0f %.0f", json_number_or(g, "faces", NAN),
	             json_number_or(g, "edges", NAN)));
	fact(v, &n, "valid closed",
	     wb_text(w, "%s %s", json_bool_or(g, "valid", false) ? "yes" : "no",
	             json_bool_or(g, "closed", false) ? "yes" : "no"));
	if (isfinite(json_number_or(g, "min_distance_mm", NAN)))
		fact(v, &n, "gap",
		     wb_text(w, "%.2f mm", json_number_or(g, "min_distance_mm", NAN)));
	if (cJSON_GetArraySize(in(g, "holes")) > 0)
		fact(v, &n, "holes", wb_text(w, "%d", cJSON_GetArraySize(in(g, "holes"))));
	if (isfinite(json_number_or(m, "triangles", NAN)))
		fact(v, &n, "triangles", wb_text(w, "%.0f", json_number_or(m, "triangles", NAN)));
	if (isfinite(json_number_or(b, "seconds", NAN)))
		fact(v, &n, "build", wb_text(w, "%.2f s", json_number_or(b, "seconds", NAN)));
	out->facts = v;
	out->n_facts = n;
}

const char *wb_term_name(int term)
{
	static const char *const names[STORE_TERMS] = { "build",    "topology",  "contact",
		                                        "semantic", "reference", "silhouette",
		                                        "editable", "efficient" };

	return names[term];
}

void wb_score_view(struct workbench *w, const cJSON *score, struct view_score *out)
{
	const cJSON *reward = in(score, "reward"), *exact = in(score, "exact");

	*out = (struct view_score){ .total = NAN, .delta = NAN, .n_terms = STORE_TERMS };
	out->mastery = out->class_weight = NAN;
	for (int t = 0; t < STORE_TERMS; t++) {
		out->terms[t] = (struct view_term){
			.name = wb_term_name(t),
			.value = json_number_or(reward, store_term_names[t], NAN),
			.weight = json_number_or(in(in(exact, "terms"), store_term_names[t]),
			                         "weight", NAN),
			.adds = json_number_or(in(in(exact, "terms"), store_term_names[t]), "adds",
			                       NAN),
		};
	}
	if (!score)
		return;
	out->base = json_number_or(exact, "floor", 0);
	out->total = json_number_or(reward, "total", NAN);
	out->delta = json_number_or(score, "delta", NAN);
	out->profile = json_string_or(score, "profile", NULL);
	out->failure = wb_class_words(json_string_or(in(score, "build"), "class", NULL));
	out->turn = (int)json_number_or(score, "turn", 0);
	checks(w, in(score, "checks"), out);
	notes(w, in(score, "notes"), out);
	facts(w, score, out);
}
