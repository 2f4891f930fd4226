/*
 * workbench_live_view.c - Live as ui draws it: it only points to what is there.
 */
#include "src/workbench_live_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what the frame says ---- */

static const char *adapters_words(struct workbench *w)
{
	const cJSON *a, *list = cJSON_GetObjectItemCaseSensitive(w->settings, "adapters");
	struct buf b = { 0 };

	cJSON_ArrayForEach(a, list)
		buf_printf(&b, "+%s",
	                   wb_live_base_name(cJSON_IsString(a) ? a->valuestring
	                                                       : json_string_or(a, "dir", "")));
	const char *t = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return t;
}

const char *wb_live_model(struct workbench *w)
{
	const char *env = getenv("CADFORGE_MODEL");
	const char *model = json_string_or(w->settings, "model", w->model.model);
	char demo[4200];

	if (!model && env && *env)
		model = env;
	if (!model && model_demo_base(&w->app, demo, sizeof(demo)))
		model = wb_text(w, "%s", demo);
	return model;
}

void wb_host_view(struct workbench *w, struct view *v)
{
	struct wb_live *l = w->live_state;
	const char *model = wb_live_model(w);

	if (l && model && strcmp(l->about_of, model) != 0) {
		snprintf(l->about_of, sizeof(l->about_of), "%s", model);
		if (model_about_read(&l->about, model, NULL) < 0)
			l->about = (struct model_about){ .name = "" };
	}
	if (l && model && l->about.name[0])
		model = l->about.name;
	else if (l && l->model[0])
		model = l->model;
	v->running = wb_host_busy(w);
	/* a command goes before a model, as in the host */
	bool command = json_string_or(w->settings, "command", NULL) != NULL;
	if (command || !model) {
		v->model = v->model_long = command ? "a command" : "no model";
		return;
	}
	const char *adapters = adapters_words(w);
	v->model = v->model_long = wb_text(w, "%s%s", wb_live_base_name(model), adapters);
	v->device = v->device_long = l && l->device[0] ? l->device : NULL;
}

/* ---- the view ---- */

static struct view_text text_of(const struct buf *b, uint64_t id, uint64_t version, size_t kept,
                                enum text_kind kind, bool streaming)
{
	return (struct view_text){ .text = buf_str(b),
		                   .len = b->len,
		                   .id = id,
		                   .version = version,
		                   .kept = kept,
		                   .kind = kind,
		                   .streaming = streaming };
}

/* The tokens of the program. What was made for the last frame is kept: an answer may have a hundred
 * thousand of them, and a frame adds twenty. */
static void tokens(struct workbench *w, const struct live_answer *a, uint64_t id,
                   struct view_text *out)
{
	struct wb_tokens *k = &w->inside->tokens;
	size_t end = a->code_at + a->code.len;
	int i = k->first + k->n;

	if (a->n_tokens == 0 || a->code.len == 0) {
		k->of = NULL;
		return;
	}
	/* theirs have moved, or the program begins elsewhere than it seemed to */
	if (k->of != a->tokens || k->id != id || k->code_at != a->code_at || i > a->n_tokens ||
	    (k->n > 0 && k->last_start != a->tokens[i - 1].start)) {
		k->of = a->tokens;
		k->id = id;
		k->code_at = a->code_at;
		k->n = 0;
		k->first = i = live_code_first(a);
	}
	for (; i < a->n_tokens && a->tokens[i].start < end; i++) {
		const struct live_token *t = &a->tokens[i];
		if (k->n == k->cap) {
			int cap = k->cap ? 2 * k->cap : 1024;
			struct view_token *v = realloc(k->v, sizeof(*v) * (size_t)cap);
			if (!v)
				return;
			k->v = v;
			k->cap = cap;
		}
		struct view_token *v = &k->v[k->n++];
		*v = (struct view_token){
			.start = (uint32_t)(t->start > a->code_at ? t->start - a->code_at : 0),
			.p = t->p,
			.entropy = t->entropy,
			.n_top = t->n_top,
			.id = t->id
		};
		for (int j = 0; j < t->n_top && j < 5; j++)
			v->top[j] = (struct view_alternative){ t->top[j].id, t->top[j].p,
				                               t->top[j].text };
		k->last_start = t->start;
	}
	out->tokens = k->v;
	out->n_tokens = k->n;
}

static void turns(struct workbench *w, const struct wb_live *l, struct view_live *v)
{
	struct view_turn *rows = l->n_rows ? wb_array(w, struct view_turn, l->n_rows) : NULL;

	for (int i = 0; rows && i < l->n_rows; i++) {
		const struct row *r = &l->rows[l->order[i]];
		const char *words = r->class_name[0] ? wb_class_words(r->class_name) : NULL;
		rows[i] = (struct view_turn){
			.number = r->number,
			.parent = r->parent,
			.depth = l->depth[i],
			.mark = wb_mark(r->built, r->total),
			.reward = r->total,
			.delta = r->total - r->parent_total,
			.tokens = r->tokens,
			.member = r->member,
			.build_s = r->build_s,
			.failure = words ? wb_text(w, "%s", words) : NULL,
			.source = wb_text(w, "%s", r->source),
			.note = strcmp(r->finish, "length") == 0 ? "clipped" : NULL,
			.grade = -1,
			.is_best = r->number == l->best,
		};
	}
	v->turns = rows;
	v->n_turns = rows ? l->n_rows : 0;
}

static void members(struct workbench *w, const struct live *x, uint64_t id, struct view_live *v)
{
	int n = x->n_answers;
	struct view_member *m = n > 1 ? wb_array(w, struct view_member, n) : NULL;
	int best = -1;

	if (!m)
		return;
	for (int i = 0; i < n; i++) {
		const struct live_answer *a = &x->answer[i];
		bool streaming = !a->over && wb_live_working(x);
		m[i] = (struct view_member){
			.number = i + 1,
			.tokens = a->n_tokens,
			.mark = isfinite(a->total) || a->turn ? wb_mark(a->built, a->total)
			        : streaming                   ? MARK_RUNNING
			        : wb_live_working(x)          ? MARK_NONE
			                                      : MARK_NEVER, /* it failed before */
			.reward = a->total,
			.streaming = streaming,
			.code = text_of(&a->code, id << 8 | (uint64_t)i, a->version, a->code_kept,
			                TEXT_PYTHON, streaming),
			.failure = a->class_name[0] ? wb_class_words(a->class_name) : NULL,
		};
		if (a->built && isfinite(a->total) &&
		    (best < 0 || a->total > x->answer[best].total))
			best = i;
	}
	if (best >= 0)
		m[best].best = true;
	v->group = m;
	v->n_group = n;
}

/* What is known of the turn in flight. False: nothing is. */
static bool score(struct workbench *w, const struct live *x, struct view_score *out)
{
	bool any = false;

	for (int t = 0; t < LIVE_TERMS; t++)
		any = any || isfinite(x->terms[t]);
	wb_score_view(w, x->score, out);
	if (x->score) {
		out->turn = out->turn ? out->turn : x->turn;
		return true;
	}
	if (!any)
		return false;
	out->total = x->total;
	out->delta = x->delta;
	out->turn = x->turn;
	for (int t = 0; t < LIVE_TERMS && t < out->n_terms; t++) {
		out->terms[t].value = x->terms[t];
		out->terms[t].pending = wb_live_working(x) && (isnan(x->terms[t]) || x->early[t]);
	}
	return true;
}

static uint64_t number_of(const char *name)
{
	uint64_t h = 1;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return h;
}

static void picture(struct workbench *w, const struct live *x, uint64_t id, struct wb_picture *p,
                    const struct picture_look *look, struct view_live *v)
{
	if (x->stl.len > 0)
		wb_picture_stl(p, id << 24 ^ x->stl_version, x->stl.data, x->stl.len, NULL);
	else if (!p->part || !wb_live_working(x))
		wb_picture_stl(p, 0, NULL, 0,
		               wb_live_working(x) ? "nothing is built yet"
		                                  : "no shape yet: a turn that builds shows here");
	if (look->difference && x->task[0]) {
		const struct task *task = wb_task(w, x->task);
		struct buf stl = { 0 };
		uint64_t reference = number_of(x->task);
		if (task && p->reference_id != reference && wb_drawing_load(task, &stl))
			wb_picture_reference(p, reference, stl.data, stl.len);
		buf_release(&stl);
	}
	wb_picture_view(w, p, look, &v->image);
	if (x->stl_line > 0)
		v->image_of = wb_text(w, "turn %d line %d (building)", x->turn, x->stl_line);
	else if (x->stl.len > 0)
		v->image_of = wb_text(w, "turn %d", x->turn);
}

static const char *next_words(const struct workbench *w, const struct wb_live *l)
{
	(void)w;
	switch (l->live.at) {
	case LIVE_AT_GENERATE:
		return "build";
	case LIVE_AT_BUILD:
		return "score";
	case LIVE_AT_SCORE:
		return "store";
	case LIVE_AT_COMMIT:
		return "the next turn";
	default:
		return !l->task[0]               ? NULL
		       : l->asked                ? "it begins"
		       : l->episode && l->n_rows ? "a further turn"
		                                 : "the first turn";
	}
}

/* One sentence when nothing can be begun. */
/* An answer that never began shows nothing: what kept it from that stands in its place. */
static bool something_written(const struct live *x)
{
	for (int i = 0; i < x->n_answers; i++)
		if (x->answer[i].text.len > 0)
			return true;
	return false;
}

static const char *why_not(struct workbench *w, const struct wb_live *l)
{
	if (!l->task[0])
		return "no task is open: 1 shows the tasks, Enter opens one";
	if (wb_live_at_work(l) || something_written(&l->live))
		return NULL;
	if (l->trouble[0])
		return wb_text(w, "%s", l->trouble);
	if (!wb_live_model(w) && !json_string_or(w->settings, "command", NULL))
		return "no model is there to write: :set model DIR (or cadforge --model DIR); "
		       "e writes a program by hand and builds it";
	return NULL;
}

static const char *why_not_build(const struct workbench *w)
{
	return w->app.python_env[0] ? NULL : app_env_remedy;
}

/* What the program printed, then what became of it, a line a fact. */
static void log_text(struct workbench *w, const struct live *x, uint64_t id, struct view_text *out)
{
	struct buf b = { 0 };
	const cJSON *g = cJSON_GetObjectItemCaseSensitive(x->score, "geometry"), *c;
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(x->score, "build");
	uint64_t known = 0;

	if (x->log.len)
		buf_add(&b, x->log.data, x->log.len);
	if (b.len && b.data[b.len - 1] != '\n')
		buf_addc(&b, '\n');
	/* the build is over before its class is known: that takes the score */
	if (x->class_name[0] || isfinite(x->build_s)) {
		known |= 1;
		bool ok = strcmp(x->class_name, "build_ok") == 0 || !x->build_error[0];
		if (ok)
			buf_printf(&b, "build   done in %.2f s\n", x->build_s);
		else if (x->build_line > 0 && strncmp(x->build_error, "line ", 5) != 0)
			buf_printf(&b, "build   line %d: %s\n", x->build_line, x->build_error);
		else
			buf_printf(&b, "build   %s\n", x->build_error);
	}
	if (cJSON_IsObject(g) && json_bool_or(build, "ok", false)) {
		known |= 2;
		buf_printf(&b, "shape   %.0f %s, %.0f faces, %s, %s; mesh: %.0f triangles\n",
		           json_number_or(g, "solids", 0),
		           json_number_or(g, "solids", 0) > 1.5 ? "solids" : "solid",
		           json_number_or(g, "faces", 0),
		           json_bool_or(g, "valid", false) ? "valid" : "not valid",
		           json_bool_or(g, "closed", false) ? "closed" : "not closed",
		           json_number_or(cJSON_GetObjectItemCaseSensitive(x->score, "mesh"),
		                          "triangles", 0));
	}
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(x->score, "checks"))
	{
		if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "ok")))
			buf_printf(&b, "check   %s: %s\n", json_string_or(c, "id", "?"),
			           json_string_or(c, "why", "not fulfilled"));
	}
	/* the score's own: while the next turn is written, that has none yet */
	double total =
		json_number_or(cJSON_GetObjectItemCaseSensitive(x->score, "reward"), "total", NAN);
	if (x->score && !isnan(total)) {
		known |= 4;
		buf_printf(&b, "reward  %.3f %s\n", total, x->profile);
	}
	if (x->score && json_number_or(x->score, "turn", 0) > 0) {
		known |= 8;
		buf_printf(&b, "stored  turn %.0f of episode %lld\n",
		           json_number_or(x->score, "turn", 0), (long long)x->episode);
	}
	out->len = b.len;
	out->text = arena_text(&w->frame, buf_str(&b), b.len);
	out->id = id;
	out->version = x->log_version << 4 | known;
	out->kind = TEXT_LOG;
	out->streaming = wb_live_working(x);
	buf_release(&b);
}

void wb_live_fill(struct workbench *w, struct live *x, uint64_t id, struct wb_picture *p,
                  const struct picture_look *look, int64_t now_us, struct view_live *v)
{
	const struct live_answer *a = wb_live_answer(x);
	const struct task *task = x->task[0] ? wb_task(w, x->task) : NULL;
	bool work = wb_live_working(x), streaming = x->at == LIVE_AT_GENERATE && !a->over;
	uint64_t text = id << 8 | (uint64_t)x->member;

	v->task = x->task[0] ? x->task : NULL;
	v->level = task ? task_level_name(task->level) : NULL;
	v->episode = x->episode;
	v->turn = x->turn;
	v->code_turn = a->turn ? a->turn : x->turn;
	v->log_turn = x->turn;
	v->phase = (enum live_phase)x->at;
	v->failed_last = !work && x->class_name[0] && strcmp(x->class_name, "build_ok") != 0;
	v->code = text_of(&a->code, text, a->version, a->code_kept, TEXT_PYTHON, streaming);
	v->code.error_line = x->build_line;
	v->code.error = x->build_error[0] ? x->build_error : NULL;
	if (x->early_error[0] && !x->build_line && !x->class_name[0]) {
		v->code.error_line = x->early_line;
		v->code.error = x->early_error;
		v->early = wb_text(w, "line %d fails: %s", x->early_line, x->early_error);
	}
	tokens(w, a, text, &v->code);
	v->thinking = text_of(&a->thinking, text, a->version, 0, TEXT_PLAIN, streaming);
	v->answer = text_of(&a->text, text, a->version, 0, TEXT_PLAIN, streaming);
	log_text(w, x, id, &v->log);
	if (x->class_name[0])
		v->log_fact = strcmp(x->class_name, "build_ok") == 0
		                      ? wb_text(w, "ok   %.1f s", x->build_s)
		                      : wb_class_words(x->class_name);
	score(w, x, &v->score);
	picture(w, x, id, p, look, v);
	members(w, x, id, v);
	v->tokens = a->n_tokens;
	v->first_token_s = v->tokens_per_s = v->elapsed_s = NAN;
	if (x->first_token_us > 0 && x->started_us > 0) {
		double s = (double)(x->last_us - x->first_token_us) / 1e6;
		v->first_token_s = (double)(x->first_token_us - x->started_us) / 1e6;
		v->tokens_per_s = a->n_tokens > 1 && s > 0.05 ? a->n_tokens / s : NAN;
	}
	if (work && x->started_us > 0)
		v->elapsed_s = (double)(now_us - x->started_us) / 1e6;
}

void wb_live_view(struct workbench *w, struct view *view)
{
	struct wb_live *l = w->live_state;
	struct view_live *v = &view->live;
	const struct task *task = l->task[0] ? wb_task(w, l->task) : NULL;

	wb_live_fill(w, &l->live, l->generation, &l->picture, &l->look, store_now_us(), v);
	/* while nothing is known of the turn in flight, the one before stays in sight */
	/* and of one that was opened the store has all: weights, checks, facts */
	if (l->score && !l->live.score &&
	    (v->score.turn == 0 || v->score.turn == (int)json_number_or(l->score, "turn", 0))) {
		double delta = v->score.turn ? v->score.delta : NAN;

		wb_score_view(w, l->score, &v->score);
		if (!isfinite(v->score.delta))
			v->score.delta = delta;
	}
	v->task = l->task[0] ? l->task : NULL;
	v->level = task ? task_level_name(task->level) : NULL;
	v->episode = l->episode;
	v->turns_max = (int)json_number_or(w->settings, "turns", 4);
	v->tokens_max = (int)json_number_or(w->settings, "max_tokens", 4096);
	v->group_asked = l->group_shown;
	turns(w, l, v);
	v->next = next_words(w, l);
	v->why_not = why_not(w, l);
	v->why_not_build = why_not_build(w);
	v->session[0] = wb_text(w, "database %s", wb_live_base_name(w->db));
	if (l->n_queue > 0)
		v->session[1] =
			wb_text(w, "%d %s to come", l->n_queue, l->n_queue == 1 ? "task" : "tasks");
	if (l->task[0])
		wb_status(w, "%s%s", l->task,
		          l->episode ? wb_text(w, "   episode %lld", (long long)l->episode) : "");
	else
		wb_status(w, "no task is open");
	if (v->next)
		wb_status_right(w, "next: %s", v->next);
}
