#include "src/transcript.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/jsonl.h"

enum { VALUES_MAX = 100000, SESSION_MAX = 200, NOTES_MAX = 64 };

struct transcript {
	int (*done)(void *ctx, const struct transcript_episode *ep);
	void *ctx;
	struct transcript_episode *open; /* one a session */
	int n, cap;
	size_t bytes;
};

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void episode_clear(struct transcript *t, struct transcript_episode *ep)
{
	for (int i = 0; i < ep->n; i++) {
		free(ep->step[i].code);
		free(ep->step[i].said);
	}
	t->bytes -= ep->bytes;
	free(ep->step);
	free(ep->task);
	free(ep->waits);
	free(ep->waits_task);
	free(ep->waits_mode);
	free(ep->last_code);
	*ep = (struct transcript_episode){ .session = ep->session };
}

struct transcript *transcript_new(int (*done)(void *ctx, const struct transcript_episode *ep),
                                  void *ctx)
{
	struct transcript *t = calloc(1, sizeof(*t));

	if (t) {
		t->done = done;
		t->ctx = ctx;
	}
	return t;
}

void transcript_free(struct transcript *t)
{
	for (int i = 0; t && i < t->n; i++) {
		episode_clear(t, &t->open[i]);
		free(t->open[i].session);
	}
	if (t)
		free(t->open);
	free(t);
}

/* ---- one line ---- */

enum message { NO_MESSAGE, RESET, STEP, OBSERVATION, ERROR, OTHER };

static enum message kind_of(const cJSON *o)
{
	static const struct {
		const char *name;
		enum message kind;
	} known[] = {
		{ "reset", RESET }, { "step", STEP },   { "observation", OBSERVATION },
		{ "error", ERROR }, { "state", OTHER }, { "close", OTHER },
		{ "mcp", OTHER },
	};
	const cJSON *type = get(o, "type");

	for (size_t i = 0; cJSON_IsString(type) && i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(type->valuestring, known[i].name) == 0)
			return known[i].kind;
	if (type)
		return NO_MESSAGE;
	if (cJSON_IsObject(get(o, "action")))
		return STEP;
	return cJSON_IsObject(get(o, "observation")) ? OBSERVATION : NO_MESSAGE;
}

/* The message of a line: itself, or what it wraps. *@owned: to be deleted. */
static const cJSON *message_of(const cJSON *o, cJSON **owned)
{
	static const char *const keys[] = { "message", "sent", "received", "request", "response" };

	*owned = NULL;
	if (kind_of(o) != NO_MESSAGE)
		return o;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const cJSON *v = get(o, keys[i]);
		if (cJSON_IsObject(v) && kind_of(v) != NO_MESSAGE)
			return v;
		if (!cJSON_IsString(v) ||
		    jsonl_checked(v->valuestring, strlen(v->valuestring), NULL) < 0)
			continue;
		*owned = json_parse_bounded(v->valuestring, strlen(v->valuestring), VALUES_MAX,
		                            NULL);
		if (cJSON_IsObject(*owned) && kind_of(*owned) != NO_MESSAGE)
			return *owned;
		cJSON_Delete(*owned);
		*owned = NULL;
	}
	return NULL;
}

bool transcript_is(const char *line, size_t len)
{
	cJSON *o = json_parse_bounded(line, len, VALUES_MAX, NULL), *owned = NULL;
	bool is = cJSON_IsObject(o) && !get(o, "completion") && !get(o, "messages") &&
	          message_of(o, &owned);

	cJSON_Delete(owned);
	cJSON_Delete(o);
	return is;
}

/* ---- episodes ---- */

static int out_of_memory(struct err *e)
{
	err_set(e, ERR_MEM, "out of memory");
	return -2;
}

static int set(char **to, const char *text, struct err *e)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return out_of_memory(e);
	free(*to);
	*to = copy;
	return 0;
}

static struct transcript_episode *session_of(struct transcript *t, const cJSON *line, struct err *e)
{
	char name[SESSION_MAX] = "";
	const cJSON *v = get(line, "session");

	if (!v)
		v = get(line, "session_id");
	if (cJSON_IsString(v))
		snprintf(name, sizeof(name), "%s", v->valuestring);
	else if (cJSON_IsNumber(v))
		snprintf(name, sizeof(name), "%.17g", v->valuedouble);
	for (int i = t->n - 1; i >= 0; i--)
		if (strcmp(t->open[i].session, name) == 0)
			return &t->open[i];
	if (t->n == TRANSCRIPT_SESSIONS_MAX) {
		err_set(e, ERR_INPUT, "session: at most %d of them in one file are read",
		        TRANSCRIPT_SESSIONS_MAX);
		return NULL;
	}
	if (t->n == t->cap) {
		int cap = t->cap ? 2 * t->cap : 8;
		void *p = realloc(t->open, (size_t)cap * sizeof(*t->open));
		if (!p) {
			out_of_memory(e);
			return NULL;
		}
		t->open = p;
		t->cap = cap;
	}
	struct transcript_episode *ep = &t->open[t->n];
	*ep = (struct transcript_episode){ .session = strdup(name) };
	if (!ep->session) {
		out_of_memory(e);
		return NULL;
	}
	t->n++;
	return ep;
}

static int add_step(struct transcript *t, struct transcript_episode *ep, int line, char *said,
                    struct err *e)
{
	if (ep->n == ep->cap) {
		int cap = ep->cap ? 2 * ep->cap : 8;
		void *p = realloc(ep->step, (size_t)cap * sizeof(*ep->step));
		if (!p) {
			free(said);
			return out_of_memory(e);
		}
		ep->step = p;
		ep->cap = cap;
	}
	size_t len = strlen(ep->waits);
	ep->step[ep->n++] = (struct transcript_step){ ep->waits, len, said };
	ep->waits = NULL;
	ep->bytes += len;
	t->bytes += len;
	if (!ep->line)
		ep->line = ep->waits_line ? ep->waits_line : line;
	return set(&ep->last_code, ep->step[ep->n - 1].code, e);
}

/* What waits for an answer is a step without one. */
static int settle(struct transcript *t, struct transcript_episode *ep, struct err *e)
{
	if (!ep->waits)
		return 0;
	if (!ep->task && set(&ep->task, ep->waits_task, e) < 0)
		return -2;
	return add_step(t, ep, ep->waits_line, NULL, e);
}

/* The episode is over: told, and begun anew. */
static int finish(struct transcript *t, struct transcript_episode *ep, struct err *e)
{
	int rc = settle(t, ep, e);

	if (rc == 0 && ep->n > 0 && t->done(t->ctx, ep))
		rc = -2;
	episode_clear(t, ep);
	return rc;
}

static int take_reset(struct transcript *t, struct transcript_episode *ep, const cJSON *m,
                      struct err *e)
{
	const cJSON *data = get(m, "data");
	int rc = finish(t, ep, e);

	return rc < 0 ? rc : set(&ep->task, json_string_or(data, "task_id", NULL), e);
}

static int take_step(struct transcript *t, struct transcript_episode *ep, const cJSON *m, int line,
                     struct err *e)
{
	const cJSON *data = get(m, "type") ? get(m, "data") : get(m, "action");
	const cJSON *code = get(data, "code");
	int rc;

	if (!cJSON_IsString(code) || !*code->valuestring)
		return err_set(e, ERR_INPUT, "%s.code: the program was expected",
		               get(m, "type") ? "data" : "action");
	if (strlen(code->valuestring) + t->bytes > TRANSCRIPT_BYTES_MAX)
		return err_set(e, ERR_INPUT,
		               "code: more than %d bytes of programs wait for the end of their "
		               "episodes",
		               TRANSCRIPT_BYTES_MAX);
	/* a client may send on before it is answered; so may one whose answers were not kept */
	if ((rc = settle(t, ep, e)) < 0)
		return rc;
	if (ep->n >= TRANSCRIPT_STEPS_MAX)
		return err_set(e, ERR_INPUT, "an episode of more than %d steps",
		               TRANSCRIPT_STEPS_MAX);
	ep->waits_line = line;
	if (set(&ep->waits, code->valuestring, e) < 0 ||
	    set(&ep->waits_task, json_string_or(data, "task_id", NULL), e) < 0 ||
	    set(&ep->waits_mode, json_string_or(data, "reward_mode", NULL), e) < 0)
		return -2;
	return 0;
}

/* What the server said of a step, as JSON. */
static char *said_of(const struct transcript_episode *ep, const cJSON *body, const cJSON *seen)
{
	const cJSON *notes = get(seen, "verifier_notes"), *note, *done = get(body, "done");
	cJSON *o = cJSON_CreateObject(), *list;
	struct buf text = { 0 };
	int n = 0;

	json_add_figure(o, "reward", json_number_or(body, "reward", NAN));
	if (cJSON_IsBool(done))
		cJSON_AddBoolToObject(o, "done", cJSON_IsTrue(done));
	else
		cJSON_AddNullToObject(o, "done");
	json_add_text(o, "reward_mode", ep->waits_mode);
	list = cJSON_AddArrayToObject(o, "notes");
	cJSON_ArrayForEach(note, notes)
	{
		if (cJSON_IsString(note) && n++ < NOTES_MAX)
			cJSON_AddItemToArray(list, cJSON_CreateString(note->valuestring));
	}
	json_print(&text, o);
	cJSON_Delete(o);
	return buf_take(&text, NULL);
}

static int take_observation(struct transcript *t, struct transcript_episode *ep, const cJSON *m,
                            int line, struct err *e)
{
	const cJSON *body = get(m, "type") ? get(m, "data") : m, *seen = get(body, "observation");
	const char *task = json_string_or(seen, "task_id", NULL);
	const char *code = json_string_or(seen, "current_code", "");
	int rc = 0;

	if (!cJSON_IsObject(seen))
		return err_set(e, ERR_INPUT, "observation: an object was expected");
	if (task && !*task)
		task = NULL;
	if (!ep->waits && *code && (!ep->last_code || strcmp(code, ep->last_code) != 0)) {
		if (strlen(code) + t->bytes > TRANSCRIPT_BYTES_MAX || ep->n >= TRANSCRIPT_STEPS_MAX)
			return err_set(e, ERR_INPUT, "an episode of more than %d steps or %d bytes",
			               TRANSCRIPT_STEPS_MAX, TRANSCRIPT_BYTES_MAX);
		ep->waits_line = line;
		if (set(&ep->waits, code, e) < 0 || set(&ep->waits_task, NULL, e) < 0 ||
		    set(&ep->waits_mode, NULL, e) < 0)
			return -2;
	}
	if (!ep->waits) /* of a reset */
		return ep->n == 0 && task ? set(&ep->task, task, e) : 0;
	if (!task)
		task = ep->waits_task;
	if (task && ep->task && ep->n > 0 && strcmp(task, ep->task) != 0) {
		/* a step of another task: an episode of its own */
		char *waits = ep->waits, *mode = ep->waits_mode;
		int at = ep->waits_line;
		ep->waits = ep->waits_mode = NULL;
		/* @task may be this one's */
		char *name = strdup(task);
		rc = name ? finish(t, ep, e) : out_of_memory(e);
		ep->waits = waits;
		ep->waits_mode = mode;
		ep->waits_line = at;
		if (rc < 0) {
			free(name);
			return rc;
		}
		ep->task = name;
	} else if (task && (rc = set(&ep->task, task, e)) < 0) {
		return rc;
	}
	return add_step(t, ep, line, said_of(ep, body, seen), e);
}

int transcript_line(struct transcript *t, int number, const char *line, size_t len, struct err *e)
{
	struct transcript_episode *ep;
	cJSON *o, *owned = NULL;
	const cJSON *m;
	int rc = 0;

	if (jsonl_checked(line, len, e) < 0)
		return -1;
	if (!(o = json_parse_bounded(line, len, VALUES_MAX, e)))
		return -1;
	m = cJSON_IsObject(o) ? message_of(o, &owned) : NULL;
	if (!m) {
		rc = err_set(e, ERR_INPUT,
		             "a message of OpenEnv was expected: its type is reset, step, "
		             "observation, state, error, mcp or close");
		goto out;
	}
	if (!(ep = session_of(t, o, e))) {
		rc = e->kind == ERR_MEM ? -2 : -1;
		goto out;
	}
	switch (kind_of(m)) {
	case RESET:
		rc = take_reset(t, ep, m, e);
		break;
	case STEP:
		rc = take_step(t, ep, m, number, e);
		break;
	case OBSERVATION:
		rc = take_observation(t, ep, m, number, e);
		break;
	case ERROR:
		/* the server says that it counted no step */
		rc = set(&ep->waits, NULL, e);
		break;
	case NO_MESSAGE:
	case OTHER:
		break;
	}
out:
	cJSON_Delete(owned);
	cJSON_Delete(o);
	return rc;
}

int transcript_end(struct transcript *t, struct err *e)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < t->n; i++)
		rc = finish(t, &t->open[i], e);
	return rc;
}
