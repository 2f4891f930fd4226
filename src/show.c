#include "src/show.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/reward_exact.h"
#include "src/base/utf8.h"

char *show_name(const char *file)
{
	struct buf b = { 0 };

	utf8_clean_line(&b, file, strlen(file));
	return buf_take(&b, NULL);
}

void show_add_path(cJSON *o, const char *key, const char *path)
{
	char *name = !path || utf8_valid(path, strlen(path), NULL) ? NULL : show_name(path);

	json_add_text(o, key, name ? name : path);
	free(name);
}

void show_add_file(cJSON *o, const char *file)
{
	show_add_path(o, "file", file);
}

cJSON *show_build_json(const struct build *b, enum build_class cls)
{
	cJSON *o = cJSON_CreateObject(), *limit;

	cJSON_AddBoolToObject(o, "ok", b->ok);
	json_add_text(o, "class", cls < CLASS_COUNT ? build_class_name(cls) : NULL);
	cJSON_AddStringToObject(o, "cause", build_cause_name(b->cause));
	json_add_text(o, "error", b->error);
	json_add_text(o, "exception", b->exception);
	json_add_figure(o, "line", b->line > 0 ? b->line : NAN);
	json_add_figure(o, "column", b->column > 0 ? b->column : NAN);
	json_add_text(o, "source", b->source);
	if (b->limit.name[0]) {
		limit = cJSON_AddObjectToObject(o, "limit");
		cJSON_AddStringToObject(limit, "name", b->limit.name);
		json_add_figure(limit, "limit", b->limit.limit);
		json_add_figure(limit, "used", b->limit.used);
	} else {
		cJSON_AddNullToObject(o, "limit");
	}
	cJSON_AddStringToObject(o, "dialect", b->dialect == DIALECT_SEED ? "seed" : "open");
	json_add_figure(o, "seconds", b->seconds);
	json_add_figure(o, "cpu_seconds", b->cpu_s);
	json_add_figure(o, "peak_mib", b->peak_mib > 0 ? b->peak_mib : NAN);
	json_add_figure(o, "statements_done", b->statements_all > 0 ? b->statements_done : NAN);
	json_add_figure(o, "statements_all", b->statements_all > 0 ? b->statements_all : NAN);
	json_add_text(o, "log", buf_str(&b->log));
	json_add_figure(o, "log_bytes_dropped", (double)b->log_dropped);
	cJSON_AddItemToObject(o, "refused",
	                      b->refused ? cJSON_Duplicate(b->refused, true)
	                                 : cJSON_CreateObject());
	return o;
}

cJSON *show_geometry_json(const cJSON *geometry)
{
	cJSON *o = geometry ? cJSON_Duplicate(geometry, true) : cJSON_CreateNull();

	for (cJSON *x = o ? o->child : NULL, *next; x; x = next) {
		const cJSON *v;
		bool all = cJSON_IsArray(x) && x->child;
		next = x->next;
		cJSON_ArrayForEach(v, x) all = all && cJSON_IsNull(v);
		if (all)
			cJSON_ReplaceItemInObjectCaseSensitive(o, x->string, cJSON_CreateNull());
	}
	return o;
}

static void add_count(cJSON *o, const char *key, const struct figures *f, long v)
{
	json_add_figure(o, key, f ? (double)v : NAN);
}

static void add_bool(cJSON *o, const char *key, const struct figures *f, bool v)
{
	if (f)
		cJSON_AddBoolToObject(o, key, v);
	else
		cJSON_AddNullToObject(o, key);
}

cJSON *show_mesh_json(const struct figures *f)
{
	cJSON *o = cJSON_CreateObject();

	add_count(o, "vertices", f, f ? f->vertices : 0);
	add_count(o, "triangles", f, f ? f->triangles : 0);
	add_count(o, "components", f, f ? f->components : 0);
	add_count(o, "boundary_edges", f, f ? f->boundary_edges : 0);
	add_count(o, "non_manifold_edges", f, f ? f->non_manifold_edges : 0);
	add_count(o, "degenerate_faces", f, f ? f->degenerate_faces : 0);
	add_bool(o, "watertight", f, f && f->watertight);
	add_bool(o, "winding_consistent", f, f && f->winding_consistent);
	return o;
}

cJSON *show_contact_json(const struct figures *f)
{
	cJSON *o = cJSON_CreateObject();

	add_count(o, "components_checked", f, f ? f->components_checked : 0);
	json_add_figure(o, "mean_gap_ratio", f ? f->mean_gap_ratio : NAN);
	json_add_figure(o, "max_gap_ratio", f ? f->max_gap_ratio : NAN);
	add_count(o, "large_gap_components", f, f ? f->large_gap_components : 0);
	return o;
}

void show_rest_of_log(FILE *out, const struct buf *log, size_t shown)
{
	/* of a log that was cut no more is kept than was shown */
	if (log->len <= shown)
		return;
	fwrite(log->data + shown, 1, log->len - shown, out);
	if (log->data[log->len - 1] != '\n')
		fputc('\n', out);
}

static const cJSON *in(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

void show_build_failure(FILE *out, const char *path, const cJSON *b)
{
	char *file = show_name(path);
	enum build_cause cause = CAUSE_OTHER_EXCEPTION;
	const char *cls = json_string_or(b, "class", NULL);
	const char *source = json_string_or(b, "source", "");
	int line_at = (int)json_number_or(b, "line", 0);
	int column = (int)json_number_or(b, "column", 0);

	if (!file)
		return;
	build_cause_parse(json_string_or(b, "cause", ""), &cause);
	fprintf(out, "%s: not built: %s", file, build_cause_label(cause));
	if (cls)
		fprintf(out, " (%s)", cls);
	fputc('\n', out);
	fprintf(out, "  %s", file);
	if (line_at > 0)
		fprintf(out, ":%d", line_at);
	if (line_at > 0 && column > 0)
		fprintf(out, ":%d", column);
	/* the sentence may begin with the line, which stands before it already */
	const char *said = json_string_or(b, "error", build_cause_label(cause));
	char line[32];
	snprintf(line, sizeof(line), "line %d: ", line_at);
	if (line_at > 0 && strncmp(said, line, strlen(line)) == 0)
		said += strlen(line);
	fprintf(out, ": %s\n", said);
	if (*source) {
		fprintf(out, "    %s\n", source);
		if (column > 0 && column < 200) {
			/* tabs stay tabs, so that the mark stands under its letter */
			fputs("    ", out);
			const char *p = source;
			size_t left = strlen(p);
			for (int i = 1; i < column && left > 0; i++) {
				uint32_t c;
				int n = utf8_decode(p, left, &c);
				fputc(*p == '\t' ? '\t' : ' ', out);
				p += n > 0 ? n : 1;
				left -= (size_t)(n > 0 ? n : 1);
			}
			fputs("^\n", out);
		}
	}
	const cJSON *limit = in(b, "limit"), *x;
	if (cJSON_IsObject(limit)) {
		fprintf(out, "  limit %s: %g", json_string_or(limit, "name", ""),
		        json_number_or(limit, "limit", NAN));
		if (isfinite(json_number_or(limit, "used", NAN)))
			fprintf(out, ", used %.4g", json_number_or(limit, "used", NAN));
		fputc('\n', out);
	}
	cJSON_ArrayForEach(x, in(b, "refused"))
		fprintf(out, "  the jail refused %s, %.0f time%s\n", x->string, x->valuedouble,
	                x->valuedouble == 1 ? "" : "s");
	free(file);
}

static double at(const cJSON *array, int i)
{
	const cJSON *v = cJSON_GetArrayItem(array, i);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static void count(FILE *out, const cJSON *g, const char *key, const char *one, const char *many,
                  const char *sep)
{
	double n = json_number_or(g, key, NAN);

	if (isfinite(n))
		fprintf(out, "%s%.0f %s", sep, n, n == 1 ? one : many);
}

static void amount(FILE *out, const char *what, double v, const char *unit)
{
	if (isfinite(v))
		fprintf(out, "%s %.1f %s", what, v, unit);
	else
		fprintf(out, "%s -%s", what, unit + strcspn(unit, ",\n"));
}

void show_geometry(FILE *out, const cJSON *g)
{
	const cJSON *box = cJSON_GetObjectItemCaseSensitive(g, "bbox_mm");
	const cJSON *holes = cJSON_GetObjectItemCaseSensitive(g, "holes"), *h;

	if (!g)
		return;
	count(out, g, "solids", "solid", "solids", "  ");
	count(out, g, "faces", "face", "faces", ", ");
	count(out, g, "edges", "edge", "edges", ", ");
	fprintf(out, "; %s, %s\n", json_bool_or(g, "valid", false) ? "valid" : "NOT valid",
	        json_bool_or(g, "closed", false) ? "closed" : "NOT closed");
	fprintf(out, "  box %.2f x %.2f x %.2f mm, ", at(box, 0), at(box, 1), at(box, 2));
	amount(out, "volume", json_number_or(g, "volume_mm3", NAN), "mm3, ");
	amount(out, "area", json_number_or(g, "area_mm2", NAN), "mm2\n");
	double gap = json_number_or(g, "min_distance_mm", NAN);
	if (isfinite(gap))
		fprintf(out, "  least distance between solids %.3f mm\n", gap);
	cJSON_ArrayForEach(h, holes)
	{
		const cJSON *axis = cJSON_GetObjectItemCaseSensitive(h, "axis");
		const cJSON *c = cJSON_GetObjectItemCaseSensitive(h, "center_mm");
		fprintf(out,
		        "  hole diameter %.2f mm, depth %.2f mm, %s, along (%.2g %.2g %.2g) at (%.2f %.2f %.2f)\n",
		        json_number_or(h, "diameter_mm", NAN), json_number_or(h, "depth_mm", NAN),
		        json_bool_or(h, "through", false) ? "through" : "blind", at(axis, 0),
		        at(axis, 1), at(axis, 2), at(c, 0), at(c, 1), at(c, 2));
	}
}

static void terms(FILE *f, const cJSON *score)
{
	const cJSON *reward = in(score, "reward"), *exact = in(score, "exact");
	double scale = json_number_or(exact, "scale", NAN);

	if (cJSON_IsObject(exact))
		fprintf(f, "  %-22s %6s  %-20s  adds %.4f\n", "having built", "", "",
		        json_number_or(exact, "floor", NAN));
	for (int t = 0; t < TERM_COUNT; t++) {
		const char *name = reward_term_name((enum reward_term)t);
		const cJSON *how = in(in(exact, "terms"), name);
		double v = json_number_or(reward, name, NAN);
		double adds = json_number_or(how, "adds", NAN);
		char bar[21] = "....................";
		if (!isfinite(v)) {
			fprintf(f, "  %-22s      -\n", reward_term_label((enum reward_term)t));
			continue;
		}
		for (int k = 0; k < 20 && k < (int)lround(v * 20); k++)
			bar[k] = '#';
		fprintf(f, "  %-22s %6.3f  %s", reward_term_label((enum reward_term)t), v, bar);
		if (isfinite(adds))
			fprintf(f, "  adds %.4f of %.4f", adds,
			        scale * json_number_or(how, "weight", NAN));
		fputc('\n', f);
	}
}

static void checks(FILE *f, const cJSON *list)
{
	const cJSON *c;
	int met = 0, all = cJSON_GetArraySize(list);

	if (!all)
		return;
	cJSON_ArrayForEach(c, list) met += json_bool_or(c, "ok", false);
	fprintf(f, "  %d of %d checks met\n", met, all);
	cJSON_ArrayForEach(c, list)
	{
		if (!json_bool_or(c, "ok", false))
			fprintf(f, "    %-24s %5.3f  %s\n", json_string_or(c, "id", "?"),
			        json_number_or(c, "score", 0), json_string_or(c, "why", ""));
	}
}

void show_score(FILE *f, const cJSON *score)
{
	const cJSON *build = in(score, "build"), *seconds = in(score, "seconds"), *note;
	const char *name = json_string_or(score, "file", "the program");
	const char *task = json_string_or(score, "task", "no task");
	const char *profile = json_string_or(score, "profile", "?");
	double total = json_number_or(in(score, "reward"), "total", NAN);
	bool built = json_bool_or(build, "ok", false), exact = cJSON_IsObject(in(score, "exact"));
	double rebuild = json_number_or(seconds, "rebuild", NAN);
	char *file = show_name(name);

	if (built) {
		fprintf(f, "%s: total %.4f (%s, %s), %s\n", file ? file : "?", total, profile, task,
		        json_string_or(build, "class", "?"));
		terms(f, score);
		checks(f, in(score, "checks"));
		show_geometry(f, in(score, "geometry"));
	} else {
		show_build_failure(f, name, build);
		if (isfinite(total))
			fprintf(f, "  total %.4f (%s, %s)\n", total, profile, task);
		else
			fprintf(f, "  no total: %s (%s, %s)\n",
			        exact ? "this says nothing about the program"
			              : "the published evaluator has none for this",
			        profile, task);
	}
	cJSON_ArrayForEach(note, in(score, "notes"))
	{
		/* the checks stand above */
		if (cJSON_IsString(note) &&
		    !(built && exact && strncmp(note->valuestring, "Check ", 6) == 0))
			fprintf(f, "  note: %s\n", note->valuestring);
	}
	fprintf(f, "  build %.0f ms, measure and score %.0f ms",
	        json_number_or(seconds, "build", 0) * 1e3,
	        (json_number_or(seconds, "read", 0) + json_number_or(seconds, "measure", 0) +
	         json_number_or(seconds, "mesh", 0) + json_number_or(seconds, "score", 0)) *
	                1e3);
	if (isfinite(rebuild))
		fprintf(f, ", rebuilds %.0f ms", rebuild * 1e3);
	fputc('\n', f);
	free(file);
}

void show_json_line(const cJSON *o)
{
	struct buf b = { 0 };

	json_print(&b, o);
	puts(buf_str(&b));
	fflush(stdout);
	buf_release(&b);
}
