/*
 * workbench_live_news.c - what the host says, folded into what is shown.
 */
#include "src/workbench_live_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- news ---- */

const char *wb_live_base_name(const char *path)
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
		snprintf(v->model, sizeof(v->model), "%s", wb_live_base_name(name));
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
	cJSON_ArrayForEach(
		name, cJSON_GetObjectItemCaseSensitive(o, "queue")) if (cJSON_IsString(name) &&
	                                                                v->n_queue < LIVE_QUEUE_MAX)
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
		wb_live_read_turns(w);
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
	wb_live_read_turns(w);
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
		wb_live_read_turns(w);
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

struct host_ops wb_live_ops(struct workbench *w)
{
	return (struct host_ops){ .ctx = w, .news = news, .lost = lost };
}
