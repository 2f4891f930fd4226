/*
 * workbench_live.c - the line to the host, and the screen that shows what it does.
 *
 * The host works (src/host.h); what it says is folded by src/live into the state that is shown. The
 * same fold over the events of a stored turn is how a turn that is gone on from stands there.
 */
#include "src/workbench_live_inside.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/turn_tree.h"

enum { TURNS_MAX = 4096, GROUP_DEFAULT = 4 };

void wb_live_forget_adapters(struct wb_live *v)
{
	for (int i = 0; i < v->n_adapters; i++) {
		free(v->adapters[i].dir);
		free(v->adapters[i].why);
	}
	free(v->adapters);
	v->adapters = NULL;
	v->n_adapters = 0;
}

void wb_live_forget_turns(struct wb_live *v)
{
	free(v->rows);
	free(v->order);
	free(v->depth);
	v->rows = NULL;
	v->order = v->depth = NULL;
	v->n_rows = v->best = 0;
}

struct wb_live *wb_live_state_of(struct workbench *w)
{
	if (!w->live_state) {
		w->live_state = calloc(1, sizeof(*w->live_state));
		if (w->live_state) {
			live_init(&w->live_state->live);
			w->live_state->look.view = PICTURE_ISO;
		}
	}
	return w->live_state;
}

/* ---- turns of the episode ---- */

static int take_row(void *ctx, const struct store_turn *t)
{
	struct wb_live *v = ctx;

	if (v->n_rows == TURNS_MAX)
		return 1;
	if (v->n_rows % 64 == 0) {
		struct row *rows = realloc(v->rows, sizeof(*rows) * (size_t)(v->n_rows + 64));
		if (!rows)
			return 1;
		v->rows = rows;
	}
	struct row *r = &v->rows[v->n_rows++];
	*r = (struct row){ .number = t->number,
		           .parent = t->parent,
		           .member = t->member,
		           .tokens = t->completion_tokens,
		           .built = t->built,
		           .total = t->total,
		           .parent_total = t->parent_total,
		           .build_s = NAN };
	snprintf(r->class_name, sizeof(r->class_name), "%s", t->class_name ? t->class_name : "");
	snprintf(r->source, sizeof(r->source), "%s", t->source ? t->source : "");
	snprintf(r->finish, sizeof(r->finish), "%s", t->finish ? t->finish : "");
	return 0;
}

/* How long each turn's build took is an event of it. */
static int take_build_time(void *ctx, const struct store_event *ev)
{
	struct wb_live *v = ctx;

	if (strcmp(ev->kind, "build") != 0 || !ev->data)
		return 0;
	cJSON *o = json_parse(ev->data, strlen(ev->data), NULL);
	for (int i = 0; i < v->n_rows; i++)
		if (v->rows[i].number == ev->turn)
			v->rows[i].build_s = json_number_or(o, "seconds", NAN);
	cJSON_Delete(o);
	return 0;
}

void wb_live_read_turns(struct workbench *w)
{
	struct wb_live *v = w->live_state;
	struct err e = { 0 };
	double best = -INFINITY;

	wb_live_forget_turns(v);
	struct store *s = v->episode ? wb_store(w, &e) : NULL;
	if (!s || store_turns(s, v->episode, take_row, v, &e) < 0 ||
	    store_events(s, v->episode, 0, take_build_time, v, &e) < 0)
		return;
	struct turn_node *nodes = calloc((size_t)v->n_rows + 1, sizeof(*nodes));
	v->order = calloc((size_t)v->n_rows + 1, sizeof(*v->order));
	v->depth = calloc((size_t)v->n_rows + 1, sizeof(*v->depth));
	for (int i = 0; nodes && i < v->n_rows; i++) {
		nodes[i] = (struct turn_node){ v->rows[i].number, v->rows[i].parent };
		if (isfinite(v->rows[i].total) && v->rows[i].total > best) {
			best = v->rows[i].total;
			v->best = v->rows[i].number;
		}
	}
	if (!nodes || !v->order || !v->depth ||
	    turn_tree(nodes, v->n_rows, v->best, v->order, v->depth, &e) < 0)
		wb_live_forget_turns(v);
	free(nodes);
}

/* ---- a task, a turn that stands there ---- */

static void look_at(struct workbench *w, const char *task, int64_t episode)
{
	struct wb_live *v = w->live_state;

	if (strcmp(v->task, task) != 0 || episode != v->episode || episode == 0) {
		live_release(&v->live);
		live_init(&v->live);
		cJSON_Delete(v->score);
		v->score = NULL;
		v->generation++;
		v->group_shown = false;
	}
	snprintf(v->task, sizeof(v->task), "%s", task);
	v->episode = episode;
	v->parent = 0;
	v->trouble[0] = '\0';
	wb_live_read_turns(w);
}

static cJSON *verb(const char *what)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "do", what);
	return o;
}

static int work(struct workbench *w, cJSON *o, struct err *e)
{
	int rc = wb_ask_host(w, o, e);

	if (rc == 0)
		w->live_state->asked = true;
	return rc;
}

int wb_live_task(struct workbench *w, const char *task, bool run, struct err *e)
{
	struct wb_live *v = wb_live_state_of(w);

	if (!v)
		return err_set(e, ERR_MEM, "out of memory");
	if (wb_host_busy(w)) {
		if (strcmp(v->task, task) == 0 && !run)
			return 0;
		if (run)
			return wb_live_queue(w, task, true, e);
		wb_say(w, MESSAGE_SAY, "%s is under way: s stops it, r runs %s after it", v->task,
		       task);
		return 0;
	}
	look_at(w, task, 0);
	return run ? wb_live_queue(w, task, false, e) : 0;
}

int wb_live_queue(struct workbench *w, const char *task, bool later, struct err *e)
{
	struct wb_live *v = wb_live_state_of(w);
	cJSON *o = verb("start");

	if (!v) {
		cJSON_Delete(o);
		return err_set(e, ERR_MEM, "out of memory");
	}
	cJSON_AddStringToObject(o, "task", task);
	cJSON_AddBoolToObject(o, "auto", true);
	if (later) {
		cJSON_AddBoolToObject(o, "queue", true);
		if (v->n_queue < LIVE_QUEUE_MAX)
			snprintf(v->queue[v->n_queue++], sizeof(v->queue[0]), "%.63s", task);
	}
	return work(w, o, e);
}

struct take_event {
	struct wb_live *v;
	int member;
	struct err *e;
};

static int take_event(void *ctx, const struct store_event *ev)
{
	struct take_event *t = ctx;
	const char *data = ev->data ? ev->data : "";

	return live_event(&t->v->live, ev->time_us, ev->kind, ev->turn, 0, data, strlen(data),
	                  t->e) < 0;
}

static int take_task(void *ctx, const struct store_episode *x)
{
	char *out = ctx;

	snprintf(out, 128, "%s", x->task);
	return 0;
}

/* That turn stands there as it ended. */
static int stand_turn(struct workbench *w, int64_t episode, int turn, struct err *e)
{
	struct wb_live *v = wb_live_state_of(w);
	struct store *s = wb_store(w, e);
	struct take_event t = { v, 0, e };
	struct buf bytes = { 0 };
	struct err own = { 0 };
	char task[128] = "";

	if (!v || !s || store_episode(s, episode, take_task, task, e) < 0)
		return -1;
	v->episode = 0;
	look_at(w, task, episode);
	if (turn <= 0)
		turn = v->best ? v->best : v->n_rows;
	if (turn <= 0)
		return 0;
	if (store_events(s, episode, turn, take_event, &t, e) < 0)
		return -1;
	v->live.turn = turn;
	/* what the events do not say, or an import has none of */
	if (!v->live.answer[0].text.len &&
	    store_artifact(s, episode, turn, "completion.txt", &bytes, &own) == 0)
		live_event(&v->live, 0, "tokens", turn, 0, buf_str(&bytes), bytes.len, e);
	buf_clear(&bytes);
	if (!v->live.answer[0].n_tokens &&
	    store_artifact(s, episode, turn, "tokens.json", &bytes, &own) == 0) {
		cJSON *tokens_json = json_parse(buf_str(&bytes), bytes.len, &own);
		if (tokens_json)
			live_tokens(&v->live, 0, tokens_json, &own);
		cJSON_Delete(tokens_json);
	}
	buf_clear(&bytes);
	if (store_artifact(s, episode, turn, "shape.stl", &bytes, &own) == 0)
		live_shape(&v->live, bytes.data, bytes.len, 0, &own);
	buf_clear(&bytes);
	if (store_artifact(s, episode, turn, "reward.json", &bytes, &own) == 0) {
		v->score = json_parse(buf_str(&bytes), bytes.len, &own);
		if (v->score)
			cJSON_AddNumberToObject(v->score, "turn", turn);
	}
	buf_release(&bytes);
	v->live.at = LIVE_AT_WAIT;
	v->live.answer[0].over = true;
	v->live.answer[0].turn = turn;
	v->live.n_answers = v->live.n_answers ? v->live.n_answers : 1;
	v->parent = turn;
	v->generation++;
	return 0;
}

void wb_fork(struct workbench *w, int64_t episode, int turn, struct err *e)
{
	if (wb_host_busy(w)) {
		err_set(e, ERR_USAGE, "%s is under way: s in Live stops it first",
		        w->live_state->task);
		return;
	}
	if (stand_turn(w, episode, turn, e) < 0)
		return;
	wb_go(w, SCREEN_LIVE);
	wb_say(w, MESSAGE_SAY,
	       "goes on from %lld.%d: Enter asks for a turn, R shows its prompt first",
	       (long long)episode, turn);
}

/* ---- intents ---- */

static void add_place(const struct wb_live *v, cJSON *o)
{
	if (v->episode) {
		cJSON_AddNumberToObject(o, "episode", (double)v->episode);
		cJSON_AddNumberToObject(o, "parent", v->parent);
	} else {
		cJSON_AddStringToObject(o, "task", v->task);
	}
}

/* A further turn of the episode, or its first one. */
static void go_on(struct workbench *w, int group, struct err *e)
{
	struct wb_live *v = w->live_state;

	if (wb_host_busy(w)) {
		wb_say(w, MESSAGE_SAY, "it is at work: s stops, S stops after this turn");
		return;
	}
	if (!v->task[0]) {
		wb_say(w, MESSAGE_SAY, "no task is open: Enter in Tasks opens one");
		return;
	}
	cJSON *o = verb(v->episode ? "turn" : "start");
	add_place(v, o);
	if (group > 1)
		cJSON_AddNumberToObject(o, "group", group);
	work(w, o, e);
}

static void tell(struct workbench *w, const char *what, struct err *e)
{
	if (!wb_host_busy(w)) {
		wb_say(w, MESSAGE_SAY, "nothing is under way");
		return;
	}
	if (strcmp(what, "stop-after") == 0)
		w->live_state->n_queue = 0;
	if (wb_ask_host(w, verb(what), e) == 0)
		wb_say(w, MESSAGE_SAY, "%s",
		       strcmp(what, "stop") == 0 ? "stopping; what came is built and kept"
		                                 : "this turn is the last");
}

/* The turn whose code is looked at. */
static int shown_turn(const struct wb_live *v)
{
	const struct live *x = &v->live;
	const struct live_answer *a = wb_live_answer(x);

	return a->turn ? a->turn : v->n_rows ? v->rows[v->n_rows - 1].number : 0;
}

static void repair(struct workbench *w, bool edit, struct err *e)
{
	struct wb_live *v = w->live_state;

	if (wb_host_busy(w) || !v->task[0]) {
		go_on(w, 0, e);
		return;
	}
	cJSON *o = verb(edit ? "prompt" : v->episode ? "turn" : "start");
	if (v->episode) {
		cJSON_AddNumberToObject(o, "episode", (double)v->episode);
		cJSON_AddNumberToObject(o, "parent", shown_turn(v));
	} else {
		cJSON_AddStringToObject(o, "task", v->task);
	}
	if (edit) {
		v->edit_prompt = wb_ask_host(w, o, e) == 0;
		return;
	}
	work(w, o, e);
}

static void hand(struct workbench *w, const char *program, size_t len, struct err *e)
{
	struct wb_live *v = w->live_state;
	cJSON *o = verb("hand");
	struct buf text = { 0 };

	/* JSON has no word for a NUL, and no program needs one */
	for (size_t i = 0; i < len; i++)
		if (program[i])
			buf_addc(&text, program[i]);
	if (v->episode) {
		cJSON_AddNumberToObject(o, "episode", (double)v->episode);
		cJSON_AddNumberToObject(o, "parent", shown_turn(v));
	} else {
		cJSON_AddStringToObject(o, "task", v->task);
	}
	cJSON_AddStringToObject(o, "program", buf_str(&text));
	buf_release(&text);
	work(w, o, e);
}

static void by_hand(struct workbench *w, bool edit, struct err *e)
{
	static const char first[] = "import cadquery as cq\n\n"
				    "fixture = cq.Workplane(\"XY\").box(10, 10, 10)\n";
	struct wb_live *v = w->live_state;
	const struct live *x = &v->live;
	const struct live_answer *a = wb_live_answer(x);
	struct buf out = { 0 };

	if (!v->task[0]) {
		wb_say(w, MESSAGE_SAY, "no task is open: Enter in Tasks opens one");
		return;
	}
	if (wb_host_busy(w)) {
		wb_say(w, MESSAGE_SAY, "it is at work: s stops it first");
		return;
	}
	if (!edit && a->code.len == 0) {
		wb_say(w, MESSAGE_SAY, "no program stands in Code: e writes one");
		return;
	}
	if (!edit) {
		hand(w, a->code.data, a->code.len, e);
		return;
	}
	const char *text = a->code.len ? a->code.data : first;
	int rc = wb_edit(w, ".py", text, a->code.len ? a->code.len : strlen(first), &out, e);
	if (rc == 1)
		hand(w, out.data, out.len, e);
	else if (rc == 0)
		wb_say(w, MESSAGE_SAY, "left as it was: nothing is built");
	buf_release(&out);
}

static void adapter_chosen(struct workbench *w, int64_t id, struct err *e)
{
	struct wb_live *v = w->live_state;
	const struct choosable *x = id > 0 && id <= v->n_adapters ? &v->adapters[id - 1] : NULL;
	struct buf text = { 0 };
	cJSON *list;

	if (x && x->why) {
		err_set(e, ERR_INPUT, "%s: %s", wb_live_base_name(x->dir), x->why);
		return;
	}
	list = cJSON_CreateArray();
	if (x) {
		cJSON *a = cJSON_CreateObject();
		cJSON_AddStringToObject(a, "dir", x->dir);
		cJSON_AddNumberToObject(a, "scale", 1);
		cJSON_AddItemToArray(list, a);
	}
	buf_adds(&text, "adapters ");
	json_print(&text, list);
	cJSON_Delete(list);
	wb_set(w, buf_str(&text), e);
	buf_release(&text);
	if (e->kind == ERR_NONE)
		wb_say(w, MESSAGE_SAY, "%s, from the next turn on",
		       x ? wb_live_base_name(x->dir) : "no adapter");
}

/* The model's number among those found; -1: it is a server, or cannot be used. */
static int model_in(const struct found *f, const char *model)
{
	char real[PATH_MAX];

	if (!model || !realpath(model, real))
		return -1;
	for (int i = 0; i < f->n_models; i++)
		if (f->model[i].usable && strcmp(f->model[i].dir, real) == 0)
			return i;
	return -1;
}

static bool in_force(const struct workbench *w, const char *dir)
{
	const cJSON *a, *list = cJSON_GetObjectItemCaseSensitive(w->settings, "adapters");
	char real[PATH_MAX];

	cJSON_ArrayForEach(a, list)
	{
		const char *one = cJSON_IsString(a) ? a->valuestring : json_string_or(a, "dir", "");
		if (realpath(one, real) && strcmp(real, dir) == 0)
			return true;
	}
	return false;
}

static void choose_adapter(struct workbench *w, struct err *e)
{
	struct wb_live *v = w->live_state;
	const char *model = wb_live_model(w);
	bool server = model && strstr(model, "://");
	struct found f;
	int fitting = 0;

	wb_live_forget_adapters(v);
	if (found_look(&f, &w->app, NULL, 0, server ? NULL : model, e) < 0)
		return;
	int of = server ? -1 : model_in(&f, model);
	v->adapters = calloc((size_t)f.n_adapters + 1, sizeof(*v->adapters));
	wb_choose(w, "Adapter", NULL, adapter_chosen);
	wb_choice_add(w, 0, MARK_NONE, "none", "the model alone");
	/* those that fit first, then the others and why not */
	for (int pass = 0; pass < 2 && v->adapters; pass++)
		for (int i = 0; i < f.n_adapters; i++) {
			struct found_adapter *a = &f.adapter[i];
			bool fits = false;
			for (int k = 0; k < a->n_fits; k++)
				fits = fits || a->fits[k] == of;
			/* without a folder to hold it against, only the engine can tell */
			const char *why = fits || of < 0 ? NULL
			                  : *a->why      ? a->why
			                                 : "it is another model's";
			if ((why != NULL) != (pass == 1))
				continue;
			struct choosable *x = &v->adapters[v->n_adapters];
			*x = (struct choosable){ a->dir, why ? strdup(why) : NULL };
			a->dir = NULL;
			v->n_adapters++;
			fitting += !why;
			const char *in = in_force(w, x->dir) ? "   in use" : "";
			const char *rank = a->rank > 0 ? wb_text(w, "   rank %d", a->rank) : "";
			wb_choice_add(w, v->n_adapters, why ? MARK_FAILED : MARK_NONE,
			              wb_live_base_name(x->dir),
			              why ? why : wb_text(w, "%s%s%s", x->dir, rank, in));
		}
	wb_choice_fact(w, server    ? "a server has its own adapters"
	                  : fitting ? "from the next turn on"
	                            : "none fits; :set adapters [{\"dir\": ...}]");
	found_release(&f);
}

static void branch(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_live *v = w->live_state;
	const struct live *x = &v->live;
	const struct live_answer *a = wb_live_answer(x);

	if (!a->turn) {
		wb_say(w, MESSAGE_SAY, "the turn is not stored yet: s stops it, then branch");
		return;
	}
	/* the screen counts the tokens of the program, the host those of the whole answer */
	int first = live_code_first(a);
	cJSON *o = verb("branch");
	cJSON_AddNumberToObject(o, "episode", (double)v->episode);
	cJSON_AddNumberToObject(o, "turn", a->turn);
	cJSON_AddNumberToObject(o, "token", first + (double)in->n);
	cJSON_AddNumberToObject(o, "id", (double)in->m);
	work(w, o, e);
}

static void difference(struct workbench *w, struct err *e)
{
	struct wb_live *v = w->live_state;
	const struct task *task = v->task[0] ? wb_task(w, v->task) : NULL;
	struct buf stl = { 0 };

	v->look.difference = !v->look.difference;
	if (!v->look.difference || !task)
		return;
	if (!task->reference) {
		wb_say(w, MESSAGE_SAY, "%s has no reference", task->id);
	} else if (!wb_drawing_load(task, &stl) && !v->reference_asked) {
		cJSON *o = verb("reference");
		cJSON_AddStringToObject(o, "task", task->id);
		v->reference_asked = wb_ask_host(w, o, e) == 0;
		wb_say(w, MESSAGE_SAY, "the reference is being built");
	}
	buf_release(&stl);
}

static void select_turn(struct workbench *w, const struct intent *in, struct err *e)
{
	if (in->m == 2 && in->n > 0 && w->live_state->episode)
		wb_show_episode(w, w->live_state->episode, (int)in->n);
	(void)e;
}

static bool intent(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_live *v = w->live_state;

	switch (in->kind) {
	case INTENT_GO_ON:
		go_on(w, 0, e);
		return true;
	case INTENT_GROUP:
		/* once there is one, the key shows it or not */
		if (v->live.n_answers > 1 && in->n <= 0)
			v->group_shown = !v->group_shown;
		else
			go_on(w, in->n > 1 ? (int)in->n : GROUP_DEFAULT, e);
		return true;
	case INTENT_STOP:
		tell(w, "stop", e);
		return true;
	case INTENT_STOP_AFTER:
		tell(w, "stop-after", e);
		return true;
	case INTENT_REPAIR:
	case INTENT_REPAIR_EDIT:
		repair(w, in->kind == INTENT_REPAIR_EDIT, e);
		return true;
	case INTENT_ADAPTER:
		choose_adapter(w, e);
		return true;
	case INTENT_BUILD:
	case INTENT_EDIT:
		by_hand(w, in->kind == INTENT_EDIT, e);
		return true;
	case INTENT_BRANCH:
		branch(w, in, e);
		return true;
	case INTENT_DIFFERENCE:
		difference(w, e);
		return true;
	case INTENT_IMAGE:
	case INTENT_TURN_PART:
	case INTENT_SECTION:
		return wb_look_intent(&v->look, in);
	case INTENT_SELECT:
		select_turn(w, in, e);
		return true;
	case INTENT_EXPORT:
		if (v->episode)
			wb_export(w, v->episode, in->text, e);
		else
			err_set(e, ERR_USAGE, "nothing was stored here yet");
		return true;
	default:
		return false;
	}
}

static double tick(struct workbench *w, double now_s)
{
	struct wb_live *v = w->live_state;

	/* the clock is shown while something runs */
	if (!wb_live_at_work(v))
		return -1;
	if (now_s - v->ticked_s >= 1) {
		v->ticked_s = now_s;
		wb_dirty(w);
	}
	return 1;
}

static void changed(struct workbench *w)
{
	wb_live_read_turns(w);
}

static void keep(struct workbench *w, cJSON *o)
{
	const struct wb_live *v = w->live_state;

	cJSON_AddStringToObject(o, "task", v->task);
	cJSON_AddNumberToObject(o, "episode", (double)v->episode);
	cJSON_AddNumberToObject(o, "turn", shown_turn(v));
	cJSON_AddStringToObject(o, "image", picture_view_name(v->look.view));
	cJSON_AddBoolToObject(o, "section", v->look.section);
	cJSON_AddBoolToObject(o, "difference", v->look.difference);
}

static void recall(struct workbench *w, const cJSON *o)
{
	struct wb_live *v = w->live_state;
	const char *task = json_string_or(o, "task", "");
	int64_t episode = (int64_t)json_number_or(o, "episode", 0);
	enum picture_view view = picture_view_named(json_string_or(o, "image", "iso"));
	struct err e = { 0 };

	if (view < PICTURE_VIEWS)
		v->look.view = view;
	v->look.section = json_bool_or(o, "section", false);
	v->look.difference = json_bool_or(o, "difference", false);
	if (w->host || v->task[0])
		return;
	if (episode > 0)
		stand_turn(w, episode, (int)json_number_or(o, "turn", 0), &e);
	else if (wb_task(w, task))
		look_at(w, task, 0);
}

static int open_screen(struct workbench *w, struct err *e)
{
	return wb_live_state_of(w) ? 0 : err_set(e, ERR_MEM, "out of memory");
}

const struct wb_screen wb_live = {
	.open = open_screen,
	.view = wb_live_view,
	.intent = intent,
	.tick = tick,
	.changed = changed,
	.keep = keep,
	.recall = recall,
};
