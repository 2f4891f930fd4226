/*
 * workbench_live.c - the line to the host, and the screen that shows what it does.
 *
 * The host works (src/host.h); what it says is folded by src/live into the state that is shown. The
 * same fold over the events of a stored turn is how a turn that is gone on from stands there.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/found.h"
#include "src/host.h"
#include "src/live.h"
#include "src/settings.h"
#include "src/turn_tree.h"
#include "src/workbench_inside.h"

enum { QUEUE_MAX = 256, TURNS_MAX = 4096, GROUP_DEFAULT = 4 };

struct row {
	int number, parent, member, tokens;
	bool built;
	double total, parent_total, build_s; /* NAN: none */
	char class_name[48], source[24], finish[16];
};

struct wb_live {
	struct live live;
	bool known;     /* the host said hello */
	bool asked;     /* for work, and no answer yet */
	bool attach;    /* to this host its own settings count */
	cJSON *waiting; /* commands that were given before it said hello */
	char queue[QUEUE_MAX][64];
	int n_queue;
	/* what is worked on, or would be */
	char task[128];
	int64_t episode; /* 0: a new one */
	int parent;      /* what the next turn answers to; 0: the best */
	cJSON *score;    /* of the turn that was scored last */
	uint64_t generation;
	struct row *rows; /* its turns */
	int n_rows, *order, *depth;
	int best;
	/* the model, as the host says */
	char model[128], device[64], trouble[240];
	/* what the model's folder says of itself, as of the folder */
	char about_of[4200];
	struct model_about about;
	/* looking */
	struct picture_look look;
	struct wb_picture picture;
	bool reference_asked, group_shown, edit_prompt;
	double ticked_s;
	struct choosable {
		char *dir, *why; /* why not; NULL: it fits */
	} * adapters;            /* of the list over the screen */
	int n_adapters;
};

static void forget_adapters(struct wb_live *v)
{
	for (int i = 0; i < v->n_adapters; i++) {
		free(v->adapters[i].dir);
		free(v->adapters[i].why);
	}
	free(v->adapters);
	v->adapters = NULL;
	v->n_adapters = 0;
}

static void forget_turns(struct wb_live *v)
{
	free(v->rows);
	free(v->order);
	free(v->depth);
	v->rows = NULL;
	v->order = v->depth = NULL;
	v->n_rows = v->best = 0;
}

static struct wb_live *state(struct workbench *w)
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

static void read_turns(struct workbench *w)
{
	struct wb_live *v = w->live_state;
	struct err e = { 0 };
	double best = -INFINITY;

	forget_turns(v);
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
		forget_turns(v);
	free(nodes);
}

/* ---- news ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = strlen(path);

	/* of a server the model's name */
	if (strstr(path, "://") && strchr(path, '#'))
		return strchr(path, '#') + 1;
	/* DIR/ is DIR */
	if (slash && n > 1 && !slash[1])
		for (slash--; slash > path && *slash != '/'; slash--)
			;
	return slash && *slash == '/' ? slash + 1 : path;
}

static void take_settings(struct workbench *w, const cJSON *o)
{
	if (!cJSON_IsObject(o))
		return;
	cJSON_Delete(w->settings);
	w->settings = cJSON_Duplicate(o, true);
	if (!w->settings)
		w->settings = cJSON_CreateObject();
}

static void take_model(struct wb_live *v, const cJSON *o)
{
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, "model");
	const char *name = cJSON_IsString(m)
	                           ? m->valuestring
	                           : json_string_or(m, "name", json_string_or(o, "name", ""));

	if (*name)
		snprintf(v->model, sizeof(v->model), "%s", base_name(name));
	snprintf(v->device, sizeof(v->device), "%s",
	         json_string_or(o, "device", json_string_or(o, "backend", "")));
	v->trouble[0] = '\0';
}

static bool same_value(const cJSON *a, const cJSON *b)
{
	return a && b && cJSON_Compare(a, b, true);
}

/* What the command line says of the model and of sampling, where it is not what holds anyway. */
cJSON *wb_flags_settings(const struct workbench *w)
{
	static const char *const backends[] = { "auto", "cuda", "cpu" };
	const struct model_flags *m = &w->model;
	const char *env = getenv("CADFORGE_MODEL");
	struct model_flags plain;
	cJSON *o = cJSON_CreateObject();

	if (m->model || (env && *env))
		cJSON_AddStringToObject(o, "model", m->model ? m->model : env);
	if (!m->given)
		return o;
	if (m->n_adapters || m->no_adapter) {
		cJSON *list = cJSON_AddArrayToObject(o, "adapters");
		for (int i = 0; i < m->n_adapters; i++) {
			cJSON *a = cJSON_CreateObject();
			cJSON_AddStringToObject(a, "dir", m->adapter[i].dir);
			cJSON_AddNumberToObject(a, "scale", (double)m->adapter[i].weight);
			cJSON_AddItemToArray(list, a);
		}
	}
	if (m->backend || m->far)
		cJSON_AddStringToObject(o, "backend", m->far ? "queue" : backends[m->backend]);
	if (m->dtype)
		cJSON_AddStringToObject(o, "dtype", m->dtype);
	if (m->threads)
		cJSON_AddNumberToObject(o, "threads", m->threads);
	if (m->context)
		cJSON_AddNumberToObject(o, "context", m->context);
	if (m->timeout_s > 0)
		cJSON_AddNumberToObject(o, "timeout", m->timeout_s);
	model_flags_init(&plain);
	cJSON *sampling = model_flags_sampling(m), *usual = model_flags_sampling(&plain);
	for (const cJSON *x = sampling ? sampling->child : NULL; x; x = x->next)
		if (!same_value(x, cJSON_GetObjectItemCaseSensitive(usual, x->string)) ||
		    (m->temperature_given && strcmp(x->string, "temperature") == 0))
			cJSON_AddItemToObject(o, x->string, cJSON_Duplicate(x, true));
	cJSON_Delete(sampling);
	cJSON_Delete(usual);
	return o;
}

/* A new host: what was set before there was one, then what was wanted of it. */
static void hello(struct workbench *w, const cJSON *o)
{
	struct wb_live *v = w->live_state;
	struct err e = { 0 };
	cJSON *set = wb_flags_settings(w), *command;
	const cJSON *name;

	v->known = true;
	live_release(&v->live);
	live_init(&v->live);
	v->n_queue = 0;
	cJSON_ArrayForEach(name,
	                   cJSON_GetObjectItemCaseSensitive(o, "queue")) if (cJSON_IsString(name) &&
	                                                                     v->n_queue < QUEUE_MAX)
		snprintf(v->queue[v->n_queue++], sizeof(v->queue[0]), "%s", name->valuestring);
	take_settings(w, cJSON_GetObjectItemCaseSensitive(o, "settings"));
	/* to one that is at work only what was given just now is news */
	for (const cJSON *x = v->attach ? NULL : w->inside->own->child; x; x = x->next) {
		cJSON_DeleteItemFromObjectCaseSensitive(set, x->string);
		cJSON_AddItemToObject(set, x->string, cJSON_Duplicate(x, true));
	}
	int64_t episode = (int64_t)json_number_or(o, "episode", 0);
	const char *task = json_string_or(o, "task", "");
	/* one that is at work says what is looked at */
	if (episode > 0 && (v->attach || json_bool_or(o, "busy", false))) {
		v->episode = episode;
		snprintf(v->task, sizeof(v->task), "%s", task);
		v->parent = 0;
		v->generation++;
		read_turns(w);
	}
	/* one by one: that one of them is refused keeps none of the others from holding */
	for (cJSON *x; (x = cJSON_DetachItemFromArray(set, 0));) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "do", "set");
		cJSON_AddItemToObject(one, x->string, x);
		host_send(w->host, one, &e);
	}
	cJSON_Delete(set);
	while ((command = cJSON_DetachItemFromArray(v->waiting, 0)))
		host_send(w->host, command, &e);
	wb_fail(w, &e);
}

static void begun(struct workbench *w, const struct live_news *n)
{
	struct wb_live *v = w->live_state;
	const char *task = json_string_or(n->data, "task", "");

	v->asked = false;
	if (v->n_queue > 0 && strcmp(v->queue[0], task) == 0)
		memmove(v->queue, v->queue + 1, sizeof(v->queue[0]) * (size_t)--v->n_queue);
	int64_t episode = (int64_t)json_number_or(n->data, "episode", 0);
	if (episode != v->episode) {
		cJSON_Delete(v->score);
		v->score = NULL;
	}
	v->episode = episode;
	v->parent = 0;
	v->generation++;
	v->group_shown = json_number_or(n->data, "group", 1) > 1;
	snprintf(v->task, sizeof(v->task), "%s", task);
	read_turns(w);
}

static void edit_prompt(struct workbench *w, const cJSON *o)
{
	struct wb_live *v = w->live_state;
	const char *text = json_string_or(o, "text", "");
	struct buf out = { 0 };
	struct err e = { 0 };

	if (!v->edit_prompt)
		return;
	v->edit_prompt = false;
	int rc = wb_edit(w, ".txt", text, strlen(text), &out, &e);
	if (rc < 0) {
		wb_fail(w, &e);
	} else {
		cJSON *ask = cJSON_CreateObject();
		cJSON_AddStringToObject(ask, "do", v->episode ? "turn" : "start");
		if (v->episode) {
			cJSON_AddNumberToObject(ask, "episode", (double)v->episode);
			cJSON_AddNumberToObject(ask, "parent", json_number_or(o, "parent", 0));
		} else {
			cJSON_AddStringToObject(ask, "task", v->task);
		}
		/* as it was is the one that the host would make */
		if (rc == 1)
			cJSON_AddStringToObject(ask, "prompt", buf_str(&out));
		if (wb_ask_host(w, ask, &e) < 0)
			wb_fail(w, &e);
		else
			v->asked = true;
	}
	buf_release(&out);
}

static void take_reference(struct workbench *w, const struct live_news *n)
{
	struct wb_live *v = w->live_state;
	const char *name = json_string_or(n->data, "task", "");
	const struct task *task = wb_task(w, name);
	const char *error = json_string_or(n->data, "error", NULL);

	v->reference_asked = false;
	if (task && n->len > 0)
		wb_drawing_keep(task, n->bytes, n->len);
	wb_tasks_drawing(w, name, n->bytes, n->len, error);
	if (error)
		wb_say(w, MESSAGE_WARN, "reference of %s: %s", name, error);
}

static void news(void *ctx, const struct live_news *n)
{
	struct workbench *w = ctx;
	struct wb_live *v = w->live_state;
	struct err e = { 0 };

	if (strcmp(n->kind, "hello") == 0) {
		hello(w, n->data);
	} else if (strcmp(n->kind, "begin") == 0) {
		begun(w, n);
	} else if (strcmp(n->kind, "settings") == 0) {
		take_settings(w, n->data);
	} else if (strcmp(n->kind, "model") == 0) {
		take_model(v, n->data);
	} else if (strcmp(n->kind, "prompt-is") == 0) {
		edit_prompt(w, n->data);
	} else if (strcmp(n->kind, "reference") == 0) {
		take_reference(w, n);
	} else if (strcmp(n->kind, "refused") == 0) {
		/* of a turn it stays in sight where the turn would be */
		if (v->asked)
			snprintf(v->trouble, sizeof(v->trouble), "%s",
			         json_string_or(n->data, "why", "refused"));
		v->asked = v->edit_prompt = false;
		wb_say(w, MESSAGE_ERROR, "%s", json_string_or(n->data, "why", "refused"));
	} else if (strcmp(n->kind, "trouble") == 0) {
		v->asked = v->edit_prompt = false;
		snprintf(v->trouble, sizeof(v->trouble), "%s", json_string_or(n->data, "text", ""));
		wb_say(w, MESSAGE_ERROR, "%s", v->trouble);
	}
	if (live_feed(&v->live, n, &e) < 0)
		wb_fail(w, &e);
	if (strcmp(n->kind, "turn") == 0) {
		cJSON_Delete(v->score);
		v->score = cJSON_Duplicate(n->data, true);
		read_turns(w);
		wb_store_changed(w);
	}
	wb_dirty(w);
}

static void lost(void *ctx, const char *why)
{
	struct workbench *w = ctx;
	struct wb_live *v = w->live_state;

	v->asked = v->known = false;
	w->inside->host_lost = true;
	if (v->live.at != LIVE_AT_WAIT && v->live.at != LIVE_AT_DONE)
		v->live.at = LIVE_AT_IDLE;
	wb_say(w, MESSAGE_ERROR, "%s", why && *why ? why : "the host is gone");
}

static struct host_ops ops_of(struct workbench *w)
{
	return (struct host_ops){ .ctx = w, .news = news, .lost = lost };
}

/* ---- the line ---- */

void wb_host_greet(struct workbench *w, int attach)
{
	struct host_about about[8];
	struct host_ops ops = ops_of(w);
	struct err e = { 0 };
	int pid = attach, n;

	if (!state(w))
		return;
	if (attach < 0) {
		/* one whose line broke, or that was left alone; not another screen's */
		n = host_find(w->db, about, 8);
		if (n <= 0 || about[0].attached)
			return;
		pid = about[0].pid;
	}
	w->live_state->attach = true;
	if (host_attach(&w->host, w->db, pid, &ops, &e) < 0) {
		w->host = NULL;
		w->live_state->attach = false;
		if (attach >= 0)
			wb_fail(w, &e);
	}
}

int wb_ask_host(struct workbench *w, cJSON *command, struct err *e)
{
	struct wb_live *v = state(w);
	struct host_ops ops = ops_of(w);

	if (!v || !command) {
		cJSON_Delete(command);
		return err_set(e, ERR_MEM, "out of memory");
	}
	if (!w->host) {
		v->attach = v->known = false;
		if (host_start(&w->host, &w->app, NULL, w->db, &ops, e) < 0) {
			w->host = NULL;
			cJSON_Delete(command);
			return -1;
		}
	}
	if (v->known)
		return host_send(w->host, command, e);
	if (!v->waiting)
		v->waiting = cJSON_CreateArray();
	cJSON_AddItemToArray(v->waiting, command);
	return 0;
}

void wb_host_step(struct workbench *w)
{
	struct err e = { 0 };

	if (!w->host)
		return;
	host_step(w->host, &e);
	if (w->inside->host_lost) {
		w->inside->host_lost = false;
		host_close(w->host);
		w->host = NULL;
	}
}

static bool working(const struct live *x)
{
	return x->at >= LIVE_AT_GENERATE && x->at <= LIVE_AT_COMMIT;
}

static bool at_work(const struct wb_live *v)
{
	return working(&v->live);
}

static const struct live_answer *answer_of(const struct live *x)
{
	return &x->answer[x->member >= 0 && x->member < LIVE_MEMBERS_MAX ? x->member : 0];
}

bool wb_host_busy(const struct workbench *w)
{
	const struct wb_live *v = w->live_state;

	return w->host && v &&
	       (at_work(v) || v->asked || v->n_queue > 0 || v->reference_asked ||
	        cJSON_GetArraySize(v->waiting) > 0);
}

bool wb_host_runs(const struct workbench *w, const char *task)
{
	const struct wb_live *v = w->live_state;

	if (!w->host || !v)
		return false;
	for (int i = 0; i < v->n_queue; i++)
		if (strcmp(v->queue[i], task) == 0)
			return true;
	return at_work(v) && strcmp(v->task, task) == 0;
}

bool wb_host_leave(struct workbench *w, bool end)
{
	struct err e = { 0 };
	bool busy = wb_host_busy(w);

	if (!w->host)
		return false;
	if (end) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "do", "end");
		host_send(w->host, o, &e);
		/* it is told before the line goes */
		for (int i = 0; i < 50 && w->host && host_wants_write(w->host); i++) {
			struct pollfd p = { .fd = host_fd(w->host), .events = POLLOUT };
			poll(&p, 1, 20);
			wb_host_step(w);
		}
	}
	return busy && !end;
}

void wb_host_close(struct workbench *w)
{
	struct wb_live *v = w->live_state;

	host_close(w->host);
	w->host = NULL;
	if (!v)
		return;
	live_release(&v->live);
	cJSON_Delete(v->waiting);
	cJSON_Delete(v->score);
	forget_turns(v);
	wb_picture_release(&v->picture);
	forget_adapters(v);
	free(v);
	w->live_state = NULL;
}

/* ---- settings ---- */

static const char *setting_text(struct workbench *w, const cJSON *x)
{
	struct buf b = { 0 };

	if (cJSON_IsString(x))
		buf_adds(&b, x->valuestring);
	else if (x)
		json_print(&b, x);
	const char *t = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return t;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* What was typed as the value of that setting; NULL with @e. "none" is none where there may be
 * none, and of what is on or off any word for it will do. */
static cJSON *typed_value(const char *name, const char *text, struct err *e)
{
	static const char *const may_lack[] = { "model", "command", "dtype", "enough", NULL };
	static const char *const flags[] = { "guard", "stop_on_error", "early", NULL };
	static const char *const yes[] = { "on", "yes", "true", NULL };
	static const char *const no[] = { "off", "no", "false", NULL };
	char *end;
	double number = strtod(text, &end);

	if (strcmp(text, "none") == 0 && strcmp(name, "adapters") == 0)
		return cJSON_CreateArray();
	if (strcmp(text, "none") == 0 && is_one_of(name, may_lack))
		return cJSON_CreateNull();
	if (is_one_of(name, flags) && (is_one_of(text, yes) || is_one_of(text, no)))
		return cJSON_CreateBool(is_one_of(text, yes));
	if (*text && !*end && isfinite(number) && strlen(text) < 16)
		return cJSON_CreateNumber(number);
	if (*text == '[' || *text == '{')
		return json_parse(text, strlen(text), e);
	return cJSON_CreateString(text);
}

/* As a host will see it: what it would refuse is said while the line is still in mind. */
static int try_setting(const char *name, const cJSON *value, struct err *e)
{
	struct settings s;
	cJSON *o = cJSON_CreateObject();

	settings_init(&s);
	cJSON_AddItemToObject(o, name, cJSON_Duplicate(value, true));
	int rc = settings_set(&s, o, NULL, e);
	cJSON_Delete(o);
	settings_release(&s);
	return rc;
}

void wb_set(struct workbench *w, const char *text, struct err *e)
{
	char name[64];
	size_t n = strcspn(text, " \t=");
	const char *value = text + n + strspn(text + n, " \t=");

	if (n == 0) {
		wb_settings_page(w);
		return;
	}
	if (n >= sizeof(name)) {
		err_set(e, ERR_USAGE, ":set NAME VALUE was expected, as in :set temperature 0.7");
		return;
	}
	memcpy(name, text, n);
	name[n] = '\0';
	/* as the command line has it: --max-tokens */
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
	if (!*value) {
		const cJSON *x = cJSON_GetObjectItemCaseSensitive(w->settings, name);
		wb_say(w, MESSAGE_SAY, "%s is %s", name,
		       x ? setting_text(w, x) : "not set: as the host has it");
		return;
	}
	/* as a shell would have it */
	char *plain = strdup(value);
	size_t len = plain ? strlen(plain) : 0;
	if (len > 1 && (*plain == '"' || *plain == '\'') && plain[len - 1] == *plain) {
		memmove(plain, plain + 1, len);
		plain[len - 2] = '\0';
	}
	value = plain ? plain : "";
	cJSON *v = typed_value(name, value, e);
	if (!v || try_setting(name, v, e) < 0) {
		cJSON_Delete(v);
		free(plain);
		return;
	}
	cJSON_DeleteItemFromObjectCaseSensitive(w->inside->own, name);
	cJSON_AddItemToObject(w->inside->own, name, v);
	if (w->host) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "do", "set");
		cJSON_AddItemToObject(o, name, cJSON_Duplicate(v, true));
		if (wb_ask_host(w, o, e) == 0)
			wb_say(w, MESSAGE_SAY, "%s %s, from the next turn on", name, value);
	} else {
		cJSON_DeleteItemFromObjectCaseSensitive(w->settings, name);
		cJSON_AddItemToObject(w->settings, name, cJSON_Duplicate(v, true));
		wb_say(w, MESSAGE_SAY, "%s %s, when work begins", name, value);
	}
	free(plain);
}

void wb_settings_page(struct workbench *w)
{
	struct buf b = { 0 };
	const cJSON *x;

	cJSON_ArrayForEach(x, w->settings)
	{
		buf_printf(&b, "%-18s %s\n", x->string, setting_text(w, x));
	}
	if (b.len == 0)
		buf_adds(&b, "Nothing is set yet: the defaults of 'cadforge run' count.\n");
	buf_adds(&b, "\n:set NAME VALUE changes one, from the next turn on.\n");
	wb_page(w, "Settings", TEXT_PLAIN, buf_str(&b), b.len);
	buf_release(&b);
}

/* ---- what the frame says ---- */

static const char *adapters_words(struct workbench *w)
{
	const cJSON *a, *list = cJSON_GetObjectItemCaseSensitive(w->settings, "adapters");
	struct buf b = { 0 };

	cJSON_ArrayForEach(a, list) buf_printf(
		&b, "+%s",
		base_name(cJSON_IsString(a) ? a->valuestring : json_string_or(a, "dir", "")));
	const char *t = wb_text(w, "%s", buf_str(&b));
	buf_release(&b);
	return t;
}

/* The model that writes, as far as it is known before the host has said so; NULL: none. */
static const char *model_of(struct workbench *w)
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
	const char *model = model_of(w);

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
	v->model = v->model_long = wb_text(w, "%s%s", base_name(model), adapters);
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
		bool streaming = !a->over && working(x);
		m[i] = (struct view_member){
			.number = i + 1,
			.tokens = a->n_tokens,
			.mark = isfinite(a->total) || a->turn ? wb_mark(a->built, a->total)
			        : streaming                   ? MARK_RUNNING
			        : working(x)                  ? MARK_NONE
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
		out->terms[t].pending = working(x) && (isnan(x->terms[t]) || x->early[t]);
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
	else if (!p->part || !working(x))
		wb_picture_stl(p, 0, NULL, 0,
		               working(x) ? "nothing is built yet"
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
	if (at_work(l) || something_written(&l->live))
		return NULL;
	if (l->trouble[0])
		return wb_text(w, "%s", l->trouble);
	if (!model_of(w) && !json_string_or(w->settings, "command", NULL))
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
	out->streaming = working(x);
	buf_release(&b);
}

void wb_live_fill(struct workbench *w, struct live *x, uint64_t id, struct wb_picture *p,
                  const struct picture_look *look, int64_t now_us, struct view_live *v)
{
	const struct live_answer *a = answer_of(x);
	const struct task *task = x->task[0] ? wb_task(w, x->task) : NULL;
	bool work = working(x), streaming = x->at == LIVE_AT_GENERATE && !a->over;
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

static void fill(struct workbench *w, struct view *view)
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
	v->session[0] = wb_text(w, "database %s", base_name(w->db));
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
	read_turns(w);
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
	struct wb_live *v = state(w);

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
	struct wb_live *v = state(w);
	cJSON *o = verb("start");

	if (!v) {
		cJSON_Delete(o);
		return err_set(e, ERR_MEM, "out of memory");
	}
	cJSON_AddStringToObject(o, "task", task);
	cJSON_AddBoolToObject(o, "auto", true);
	if (later) {
		cJSON_AddBoolToObject(o, "queue", true);
		if (v->n_queue < QUEUE_MAX)
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
	struct wb_live *v = state(w);
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
	const struct live_answer *a = answer_of(x);

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
	const struct live_answer *a = answer_of(x);
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
		err_set(e, ERR_INPUT, "%s: %s", base_name(x->dir), x->why);
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
		       x ? base_name(x->dir) : "no adapter");
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
	const char *model = model_of(w);
	bool server = model && strstr(model, "://");
	struct found f;
	int fitting = 0;

	forget_adapters(v);
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
			              base_name(x->dir),
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
	const struct live_answer *a = answer_of(x);

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
	if (!at_work(v))
		return -1;
	if (now_s - v->ticked_s >= 1) {
		v->ticked_s = now_s;
		wb_dirty(w);
	}
	return 1;
}

static void changed(struct workbench *w)
{
	read_turns(w);
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
	return state(w) ? 0 : err_set(e, ERR_MEM, "out of memory");
}

const struct wb_screen wb_live = {
	.open = open_screen,
	.view = fill,
	.intent = intent,
	.tick = tick,
	.changed = changed,
	.keep = keep,
	.recall = recall,
};
