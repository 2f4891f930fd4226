/*
 * workbench_tasks.c - the tasks: which there are, what came of them, what the selected one asks
 * for.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/prompts.h"
#include "src/base/sha256.h"
#include "src/pack_write.h"
#include "src/packs.h"
#include "src/workbench_inside.h"

enum { DRAWING_MAX = 64 << 20 };

/* What the rows are sorted by; each once more turned round. */
static const char *const orders[] = { "level", "name", "family", "best", "runs", "failure" };
enum order { BY_LEVEL, BY_NAME, BY_FAMILY, BY_BEST, BY_RUNS, BY_FAILURE, N_ORDERS };

struct row {
	const struct task *task;
	int64_t id;
	bool marked;
	int64_t runs, last;
	double best;
	bool built;
	char failure[48];
};

struct wb_tasks {
	struct row *rows;
	int n;
	enum order order;
	bool reversed;
	int64_t runs_total;
	int built_once, marked;
	int64_t selected;
	/* the selected one */
	char *prompt;
	uint64_t prompt_id, prompt_version;
	struct wb_picture drawing;
	struct picture_look look;
	char asked[TASK_ID_MAX + 1]; /* whose drawing the host was asked for */
};

/* A row's id: of the name, so that it stays when tasks are read again. */
static int64_t id_of(const char *name)
{
	uint64_t h = 1469598103934665603u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (int64_t)(h >> 1);
}

static struct row *row_named(struct wb_tasks *t, const char *name)
{
	for (int i = 0; i < t->n; i++)
		if (strcmp(t->rows[i].task->id, name) == 0)
			return &t->rows[i];
	return NULL;
}

static struct row *row_of(struct wb_tasks *t, int64_t id)
{
	for (int i = 0; i < t->n; i++)
		if (t->rows[i].id == id)
			return &t->rows[i];
	return NULL;
}

static enum mark mark_of(const struct row *r)
{
	if (r->runs == 0)
		return MARK_NEVER;
	return isnan(r->best) ? MARK_FAILED : wb_mark(r->built, r->best);
}

/* ---- order ---- */

static int figure_order(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) - isnan(b); /* without one: last */
	return a < b ? 1 : a > b ? -1 : 0;
}

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct wb_tasks *t = ctx;
	const struct row *a = pa, *b = pb;
	int d = 0;

	switch (t->order) {
	case BY_LEVEL:
		d = (int)a->task->level - (int)b->task->level;
		break;
	case BY_FAMILY:
		d = strcmp(a->task->family, b->task->family);
		break;
	case BY_BEST:
		d = figure_order(a->best, b->best);
		break;
	case BY_RUNS:
		d = a->runs < b->runs ? 1 : a->runs > b->runs ? -1 : 0;
		break;
	case BY_FAILURE:
		d = strcmp(a->failure[0] ? a->failure : "~", b->failure[0] ? b->failure : "~");
		break;
	default:
		break;
	}
	if (d == 0)
		d = strcmp(a->task->id, b->task->id);
	return t->reversed ? -d : d;
}

static void sort(struct wb_tasks *t)
{
	qsort_r(t->rows, (size_t)t->n, sizeof(*t->rows), compare, t);
}

/* ---- what is there ---- */

static int take_tasks(struct workbench *w, struct err *e)
{
	struct wb_tasks *t = w->tasks_state;
	struct row *rows = calloc((size_t)(w->tasks.n ? w->tasks.n : 1), sizeof(*rows));

	if (!rows)
		return err_set(e, ERR_MEM, "out of memory for %d tasks", w->tasks.n);
	for (int i = 0; i < w->tasks.n; i++) {
		const struct task *task = &w->tasks.tasks[i];
		const struct row *old = row_of(t, id_of(task->id));
		rows[i] = (struct row){ .task = task,
			                .id = id_of(task->id),
			                .best = NAN,
			                .marked = old && old->marked };
	}
	free(t->rows);
	t->rows = rows;
	t->n = w->tasks.n;
	sort(t);
	return 0;
}

static int take_summary(void *ctx, const struct store_task *s)
{
	struct wb_tasks *t = ctx;
	struct row *r = row_named(t, s->task);
	const char *words = wb_class_words(s->last_class);

	t->runs_total += s->episodes;
	if (!r)
		return 0;
	r->runs = s->episodes;
	r->last = s->last;
	r->best = s->best_total;
	r->built = s->best_built;
	t->built_once += s->best_built;
	snprintf(r->failure, sizeof(r->failure), "%s", words ? words : "");
	return 0;
}

static void changed(struct workbench *w)
{
	struct wb_tasks *t = w->tasks_state;
	struct err e = { 0 };
	struct store *s = wb_store(w, &e);

	t->runs_total = 0;
	t->built_once = 0;
	for (int i = 0; i < t->n; i++) {
		t->rows[i].runs = t->rows[i].last = 0;
		t->rows[i].best = NAN;
		t->rows[i].built = false;
		t->rows[i].failure[0] = '\0';
	}
	if (s && store_tasks(s, take_summary, t, &e) < 0)
		wb_fail(w, &e);
	sort(t);
}

int wb_tasks_reload(struct workbench *w, struct err *e)
{
	struct task_set set;
	struct task_set old = w->tasks;

	if (packs_load(&set, &w->app, e) < 0)
		return -1;
	w->tasks = set;
	w->inside->tasks_why[0] = '\0';
	if (w->tasks_state && take_tasks(w, e) < 0) {
		w->tasks = old;
		task_set_release(&set);
		return -1;
	}
	task_set_release(&old);
	if (w->tasks_state)
		changed(w);
	return 0;
}

/* ---- the selected one ---- */

/* Where a reference's drawing is kept: by the content of its file. "" when nowhere. */
static void drawing_path(char *out, size_t size, const struct task *task)
{
	const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");
	struct buf file = { 0 };
	struct err e = { 0 };
	char hex[SHA256_HEX];

	*out = '\0';
	if (!task->reference || buf_read_file(&file, task->reference, DRAWING_MAX, &e) < 0) {
		buf_release(&file);
		return;
	}
	sha256_hex(buf_str(&file), file.len, hex);
	buf_release(&file);
	if (cache && *cache == '/')
		snprintf(out, size, "%s/cadforge/drawings/%s.stl", cache, hex);
	else if (home && *home == '/')
		snprintf(out, size, "%s/.cache/cadforge/drawings/%s.stl", home, hex);
}

/* 1: its triangles are in @stl; 0: not kept yet. */
int wb_drawing_load(const struct task *task, struct buf *stl)
{
	char path[PATH_MAX];
	struct err e = { 0 };

	drawing_path(path, sizeof(path), task);
	return *path && buf_read_file(stl, path, DRAWING_MAX, &e) == 0;
}

void wb_drawing_keep(const struct task *task, const void *stl, size_t len)
{
	char path[PATH_MAX];
	struct err e = { 0 };

	drawing_path(path, sizeof(path), task);
	if (!*path)
		return;
	char *slash = strrchr(path, '/');
	*slash = '\0';
	int made = make_folders(path, &e);
	*slash = '/';
	/* a cache that cannot be written is none, and no reason to stop */
	if (made == 0)
		file_write_atomic(path, stl, len, &e);
}

static void take_drawing(struct workbench *w, const struct row *r)
{
	struct wb_tasks *t = w->tasks_state;
	struct buf stl = { 0 };
	char why[200];

	if (!r->task->reference)
		wb_picture_stl(&t->drawing, (uint64_t)r->id, NULL, 0, "this task has no reference");
	else if (wb_drawing_load(r->task, &stl))
		wb_picture_stl(&t->drawing, (uint64_t)r->id, stl.data, stl.len, NULL);
	else {
		snprintf(why, sizeof(why), "%s",
		         strcmp(t->asked, r->task->id) == 0
		                 ? "its reference is being built"
		                 : "not drawn yet: i builds its reference and draws it");
		wb_picture_stl(&t->drawing, 0, NULL, 0, why);
	}
	buf_release(&stl);
}

void wb_tasks_drawing(struct workbench *w, const char *task, const void *stl, size_t len,
                      const char *error)
{
	struct wb_tasks *t = w->tasks_state;
	const struct row *r = t ? row_of(t, t->selected) : NULL;

	if (!t || !r || strcmp(r->task->id, task) != 0)
		return;
	t->asked[0] = '\0';
	wb_picture_stl(&t->drawing, len ? (uint64_t)r->id : 0, stl, len,
	               error ? error : "its reference has no triangles");
	wb_dirty(w);
}

static void select_row(struct workbench *w, int64_t id)
{
	struct wb_tasks *t = w->tasks_state;
	const struct row *r = row_of(t, id);

	if (!r || (id == t->selected && t->prompt))
		return;
	t->selected = id;
	free(t->prompt);
	t->prompt = strdup(r->task->prompt);
	t->prompt_id = (uint64_t)id;
	t->prompt_version++;
	if (t->look.view != PICTURE_OFF)
		take_drawing(w, r);
}

static const char *checks_line(struct workbench *w, const struct task *task)
{
	struct buf b = { 0 };
	const char *kinds[64];
	int counts[64], n = 0;
	const cJSON *c;

	cJSON_ArrayForEach(c, task->checks)
	{
		const char *kind = json_string_or(c, "kind", "?");
		int i = 0;
		while (i < n && strcmp(kinds[i], kind) != 0)
			i++;
		if (i == n && n < 64) {
			kinds[n] = kind;
			counts[n++] = 0;
		}
		if (i < n)
			counts[i]++;
	}
	buf_printf(&b, "checks %d", task->n_checks);
	for (int i = 0; i < n; i++) {
		buf_printf(&b, "%s%s", i ? ", " : ": ", kinds[i]);
		if (counts[i] > 1)
			buf_printf(&b, " x%d", counts[i]);
	}
	const char *line = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return line;
}

static void check_rows(struct workbench *w, const struct task *task, struct view_tasks *out)
{
	struct view_check *v = wb_array(w, struct view_check, task->n_checks);
	const cJSON *c;
	int i = 0;

	if (!v)
		return;
	cJSON_ArrayForEach(c, task->checks)
	{
		const cJSON *want = cJSON_GetObjectItemCaseSensitive(c, "want");
		struct buf b = { 0 };
		if (cJSON_IsString(want))
			buf_adds(&b, want->valuestring);
		else if (want)
			json_print(&b, want);
		if (i < task->n_checks)
			v[i++] = (struct view_check){ .id = json_string_or(c, "id", "?"),
				                      .ok = -1,
				                      .want = wb_text(w, "%s", buf_str(&b)),
				                      .why = json_string_or(c, "about", ""),
				                      .weight = json_number_or(c, "weight", 1),
				                      .score = NAN };
		buf_release(&b);
	}
	out->checks = v;
	out->n_checks = i;
}

static void view(struct workbench *w, struct view *v)
{
	struct wb_tasks *t = w->tasks_state;
	struct view_tasks *out = &v->tasks;
	struct view_task *rows = wb_array(w, struct view_task, t->n);

	if (t->n > 0 && !row_of(t, t->selected))
		select_row(w, t->rows[0].id);
	for (int i = 0; rows && i < t->n; i++) {
		const struct row *r = &t->rows[i];
		bool running = wb_host_runs(w, r->task->id);
		rows[i] = (struct view_task){
			.id = r->id,
			.name = r->task->id,
			.pack = r->task->pack,
			.level = task_level_name(r->task->level),
			.family = r->task->family,
			.last_failure = running         ? "running"
			                : r->runs == 0  ? "never run"
			                : r->failure[0] ? r->failure
			                                : "-",
			.mark = running ? MARK_RUNNING : mark_of(r),
			.best = r->best,
			.runs = (int)(r->runs < INT_MAX ? r->runs : INT_MAX),
			.marked = r->marked,
		};
	}
	out->rows = rows;
	out->n_rows = rows ? t->n : 0;
	out->runs_total = (int)(t->runs_total < INT_MAX ? t->runs_total : INT_MAX);
	out->built_once = t->built_once;
	out->order =
		t->reversed ? wb_text(w, "%s, turned round", orders[t->order]) : orders[t->order];
	const struct row *r = row_of(t, t->selected);
	if (r) {
		const struct task *k = r->task;
		out->prompt = (struct view_text){ .text = t->prompt,
			                          .len = t->prompt ? strlen(t->prompt) : 0,
			                          .id = t->prompt_id,
			                          .version = t->prompt_version };
		out->size = wb_text(w, "%.6g x %.6g x %.6g mm", k->bbox_mm[0], k->bbox_mm[1],
		                    k->bbox_mm[2]);
		out->checks_line = checks_line(w, k);
		out->reference = k->reference ? "y" : "n";
		check_rows(w, k, out);
		wb_picture_view(w, &t->drawing, &t->look, &out->drawing);
	}
	if (t->n == 0)
		wb_status(w, "no tasks: %s",
		          w->inside->tasks_why[0] ? w->inside->tasks_why : "A writes one");
	else
		wb_status(w, "%d tasks, %d built at least once, %d marked, %" PRId64 " episodes",
		          t->n, t->built_once, t->marked, t->runs_total);
	wb_status_right(w, "sorted: %s", out->order);
}

/* ---- intents ---- */

/* The task goes into Live, ready to be begun. */
static void open_task(struct workbench *w, const struct row *r, bool run, struct err *e)
{
	if (wb_live_task(w, r->task->id, run, e) == 0)
		wb_go(w, SCREEN_LIVE);
}

static void run_marked(struct workbench *w, struct err *e)
{
	struct wb_tasks *t = w->tasks_state;
	const char *first = NULL;
	int n = 0;

	for (int i = 0; i < t->n; i++) {
		if (!t->rows[i].marked)
			continue;
		if (wb_live_queue(w, t->rows[i].task->id, n > 0 || wb_host_busy(w), e) < 0)
			return;
		first = first ? first : t->rows[i].task->id;
		n++;
	}
	if (n == 0)
		wb_say(w, MESSAGE_SAY, "no task is marked: Space marks one");
	else
		wb_say(w, MESSAGE_SAY, "%d %s one after another, %s first; 2 shows it", n,
		       n == 1 ? "task runs," : "tasks run,", first);
}

static void new_task(struct workbench *w, const char *name, struct err *e)
{
	char user[sizeof(w->app.user_data) + 16];
	struct buf dir = { 0 }, path = { 0 };
	char id[32];

	packs_user_dir(user, sizeof(user), &w->app);
	if (!user[0]) {
		err_set(e, ERR_LACKS, "without HOME and XDG_DATA_HOME there is no place for it");
		return;
	}
	buf_printf(&dir, "%s/own", user);
	for (int n = 1; !name || !*name; n++) {
		snprintf(id, sizeof(id), "my_task_%d", n);
		if (!wb_task(w, id))
			name = id;
	}
	if (pack_new_task(&path, buf_str(&dir), name, e) == 0 &&
	    wb_edit_file(w, buf_str(&path), e) == 0) {
		struct task_problems problems = { 0 };
		struct buf text = { 0 };
		struct task task = { 0 };
		/* what is wrong with it is said at once, by line */
		if (buf_read_file(&text, buf_str(&path), 8 << 20, e) == 0) {
			if (task_read(&task, buf_str(&text), text.len, buf_str(&path), true,
			              &problems) < 0 ||
			    problems.errors) {
				struct buf line = { 0 };
				task_problem_print(&line, &problems.v[0]);
				err_set(e, ERR_INPUT, "%.400s", buf_str(&line));
				buf_release(&line);
			} else {
				wb_say(w, MESSAGE_SAY, "task %s is %s", name, buf_str(&path));
			}
			task_release(&task);
			task_problems_release(&problems);
		}
		buf_release(&text);
		struct err own = { 0 };
		if (wb_tasks_reload(w, &own) < 0 && e->kind == ERR_NONE)
			*e = own;
		if (wb_task(w, name)) {
			select_row(w, id_of(name));
			if (w->ui)
				ui_select(w->ui, SCREEN_TASKS, id_of(name));
		}
	}
	buf_release(&dir);
	buf_release(&path);
}

static void mark(struct workbench *w, int64_t id)
{
	struct wb_tasks *t = w->tasks_state;
	struct row *r = row_of(t, id);

	if (!r)
		return;
	r->marked = !r->marked;
	t->marked += r->marked ? 1 : -1;
}

static void picture(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_tasks *t = w->tasks_state;
	const struct row *r = row_of(t, t->selected);

	if (!r)
		return;
	/* the first i asks for what there is not yet; from then on it is the next view */
	if (in->kind == INTENT_IMAGE && t->look.view != PICTURE_OFF && !t->drawing.part &&
	    r->task->reference && strcmp(t->asked, r->task->id) != 0) {
		cJSON *ask = cJSON_CreateObject();
		cJSON_AddStringToObject(ask, "do", "reference");
		cJSON_AddStringToObject(ask, "task", r->task->id);
		if (wb_ask_host(w, ask, e) < 0)
			return;
		snprintf(t->asked, sizeof(t->asked), "%s", r->task->id);
		take_drawing(w, r);
		return;
	}
	bool was_off = t->look.view == PICTURE_OFF;
	wb_look_intent(&t->look, in);
	if (was_off && t->look.view != PICTURE_OFF)
		take_drawing(w, r);
}

static bool intent(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_tasks *t = w->tasks_state;
	int64_t id = in->n > 0 ? in->n : wb_selected(w, SCREEN_TASKS);
	const struct row *r;

	switch (in->kind) {
	case INTENT_SELECT:
		select_row(w, in->n);
		if (in->m == 2 && (r = row_of(t, in->n)))
			open_task(w, r, false, e);
		return true;
	case INTENT_OPEN:
	case INTENT_RUN:
		r = row_of(t, id > 0 ? id : t->selected);
		if (r)
			open_task(w, r, in->kind == INTENT_RUN, e);
		return true;
	case INTENT_RUN_MARKED:
		run_marked(w, e);
		return true;
	case INTENT_MARK:
		mark(w, id > 0 ? id : t->selected);
		return true;
	case INTENT_NEW_TASK:
		new_task(w, in->text, e);
		return true;
	case INTENT_ORDER:
		if (t->reversed)
			t->order = (enum order)((t->order + 1) % N_ORDERS);
		t->reversed = !t->reversed;
		sort(t);
		return true;
	case INTENT_IMAGE:
	case INTENT_TURN_PART:
	case INTENT_SECTION:
		picture(w, in, e);
		return true;
	case INTENT_EXPORT:
		r = row_of(t, t->selected);
		if (r && r->last > 0)
			wb_export(w, r->last, in->text, e);
		else
			err_set(e, ERR_USAGE,
			        "this task was never run: there is no episode to export");
		return true;
	default:
		return false;
	}
}

static bool command(struct workbench *w, const char *text, struct err *e)
{
	struct wb_tasks *t = w->tasks_state;
	const struct row *r = row_of(t, t->selected);

	if (strcmp(text, "episodes") == 0 && r) {
		struct store_filter f = store_filter_none();
		f.task = r->task->id;
		wb_list_episodes(w, wb_text(w, "Episodes of %s", r->task->id), &f);
		return true;
	}
	if (strncmp(text, "new-task ", 9) == 0) {
		new_task(w, text + 9, e);
		return true;
	}
	return false;
}

static void keep(struct workbench *w, cJSON *o)
{
	struct wb_tasks *t = w->tasks_state;
	const struct row *r = row_of(t, t->selected);

	cJSON_AddStringToObject(o, "order", orders[t->order]);
	cJSON_AddBoolToObject(o, "reversed", t->reversed);
	cJSON_AddStringToObject(o, "image", picture_view_name(t->look.view));
	if (r)
		cJSON_AddStringToObject(o, "selected", r->task->id);
	cJSON *marked = cJSON_AddArrayToObject(o, "marked");
	for (int i = 0; i < t->n; i++)
		if (t->rows[i].marked)
			cJSON_AddItemToArray(marked, cJSON_CreateString(t->rows[i].task->id));
}

static void recall(struct workbench *w, const cJSON *o)
{
	struct wb_tasks *t = w->tasks_state;
	const char *order = json_string_or(o, "order", "");
	const char *selected = json_string_or(o, "selected", "");
	enum picture_view v = picture_view_named(json_string_or(o, "image", "iso"));
	const cJSON *name;

	for (int i = 0; i < N_ORDERS; i++)
		if (strcmp(order, orders[i]) == 0)
			t->order = (enum order)i;
	t->reversed = json_bool_or(o, "reversed", false);
	if (v < PICTURE_VIEWS)
		t->look.view = v;
	cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(o, "marked"))
	{
		struct row *r = cJSON_IsString(name) ? row_named(t, name->valuestring) : NULL;
		if (r && !r->marked) {
			r->marked = true;
			t->marked++;
		}
	}
	if (row_named(t, selected)) {
		select_row(w, id_of(selected));
		if (w->ui)
			ui_select(w->ui, SCREEN_TASKS, id_of(selected));
	}
	sort(t);
}

static int open_screen(struct workbench *w, struct err *e)
{
	struct wb_tasks *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ERR_MEM, "out of memory");
	t->look.view = PICTURE_ISO;
	t->selected = -1;
	w->tasks_state = t;
	return take_tasks(w, e);
}

static void close_screen(struct workbench *w)
{
	struct wb_tasks *t = w->tasks_state;

	wb_picture_release(&t->drawing);
	free(t->rows);
	free(t->prompt);
	free(t);
	w->tasks_state = NULL;
}

const struct wb_screen wb_tasks = {
	.open = open_screen,
	.close = close_screen,
	.view = view,
	.intent = intent,
	.command = command,
	.changed = changed,
	.keep = keep,
	.recall = recall,
};
