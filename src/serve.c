#include "src/serve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config.h"
#include "src/base/clock.h"
#include "src/serve_net.h"

enum { POLLS_MAX = 64, ID_BYTES = 40, REFUSED_MS = 1000, BUCKETS = 1024, TASKS_MAX = 4096 };

enum kind {
	WAIT_HTTP,   /* a request of its own environment; gone when it is answered */
	WAIT_SOCKET, /* /ws */
	WAIT_RPC,    /* a tool's step, asked over HTTP or /mcp */
};

/* A message that came while the one before it was being answered. */
struct waiting {
	struct waiting *next;
	size_t len;
	char text[];
};

/* One who may ask: a socket, a session made by JSON-RPC, or both in one. */
struct client {
	struct client *next, **at;
	uint64_t conn;   /* 0: none now */
	bool socket;     /* the connection is a WebSocket; else it is a request */
	bool rpc_socket; /* of /mcp: its messages are JSON-RPC */
	bool made;       /* by openenv/session/create: stays when the socket leaves */
	bool refused;    /* at capacity */
	bool ending;     /* asked to close while it was attached */
	char id[ID_BYTES];
	struct env_session *session;
	double heard_s;
	/* the step under way, asked by a tool: how the answer is to be wrapped */
	bool tool;
	bool tool_on_ws;    /* within an "mcp" message of /ws */
	uint64_t tool_conn; /* a request that waits for it */
	cJSON *tool_id;
	struct waiting *first, **last;
	int n_waiting;
};

struct serving {
	const struct serve_options *o;
	struct net *net;
	struct environment *environment;
	struct client *clients;
	int sessions; /* that count against the capacity */
	bool stopping;
	double started, looked_s;
	int64_t requests, messages, refused, idle_ended;
	double slowest_s;
};

/* ---- what is said of it ---- */

static void say(const struct serving *s, const char *event, const struct client *c,
                const char *more)
{
	if (s->o->app->quiet)
		return;
	if (s->o->log_json) {
		struct buf line = { 0 };
		cJSON *o = cJSON_CreateObject();
		char when[40];
		store_utc_time(when, sizeof(when), store_now_us());
		cJSON_AddStringToObject(o, "time", when);
		cJSON_AddStringToObject(o, "event", event);
		if (c)
			cJSON_AddStringToObject(o, "session", c->id);
		if (more)
			cJSON_AddStringToObject(o, "text", more);
		cJSON_AddNumberToObject(o, "sessions", s->sessions);
		json_print(&line, o);
		fprintf(stderr, "%s\n", buf_str(&line));
		buf_release(&line);
		cJSON_Delete(o);
	} else {
		app_tell("%s%s%s%s%s", event, c ? " " : "", c ? c->id : "", more ? ": " : "",
		         more ? more : "");
	}
}

/* ---- clients ---- */

static struct client *client_of(const struct serving *s, uint64_t conn)
{
	struct client *c = s->clients;

	while (c && c->conn != conn)
		c = c->next;
	return conn ? c : NULL;
}

static struct client *client_named(const struct serving *s, const char *id)
{
	struct client *c = s->clients;

	while (c && !(c->session && strcmp(c->id, id) == 0))
		c = c->next;
	return c;
}

static int name_client(struct client *c)
{
	unsigned char random[12];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -1;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(c->id + 2 * i, 3, "%02x", random[i]);
	return 0;
}

static struct client *client_new(struct serving *s, uint64_t conn)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c || name_client(c) < 0) {
		free(c);
		return NULL;
	}
	c->conn = conn;
	c->heard_s = clock_now_s();
	c->last = &c->first;
	c->at = &s->clients;
	c->next = s->clients;
	if (c->next)
		c->next->at = &c->next;
	s->clients = c;
	return c;
}

static void client_free(struct serving *s, struct client *c)
{
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	if (c->session) {
		environment_leave(s->environment, c->session);
		s->sessions -= c->socket || c->made;
	}
	while (c->first) {
		struct waiting *w = c->first;
		c->first = w->next;
		free(w);
	}
	cJSON_Delete(c->tool_id);
	free(c);
}

/* ---- fixed answers ---- */

static void send_json(struct serving *s, uint64_t conn, int status, struct buf *body)
{
	net_answer(s->net, conn, status, "application/json", buf_str(body), body->len);
	buf_release(body);
}

static void send_detail(struct serving *s, uint64_t conn, int status, const char *text)
{
	struct buf body = { 0 };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "detail", text);
	json_print(&body, o);
	cJSON_Delete(o);
	send_json(s, conn, status, &body);
}

static void send_text(struct serving *s, struct client *c, struct buf *text)
{
	net_send(s->net, c->conn, buf_str(text), text->len);
	buf_release(text);
}

/* "Server at capacity: 4/4 sessions active. Cannot accept new connections." */
static void capacity_words(const struct serving *s, char *out, size_t size)
{
	snprintf(out, size,
	         "Server at capacity: %d/%d sessions active. Cannot accept new connections.",
	         s->sessions, s->o->capacity);
}

/* ---- answers of the environment ---- */

static void next_message(struct serving *s, struct client *c);

static void on_answer(void *ctx, struct env_session *session, const char *message, size_t len,
                      const char *body, size_t body_len)
{
	struct serving *s = ctx;
	struct client *c = env_session_user(session);

	if (c->tool) {
		struct buf text = { 0 };
		bool failed = strncmp(message, "{\"type\":\"error\"", 15) == 0;
		openenv_rpc_result(&text, c->tool_id, openenv_tool_text(body, failed));
		if (c->tool_on_ws) {
			struct buf wrapped = { 0 };
			buf_printf(&wrapped, "{\"type\":\"mcp\",\"data\":%s}", buf_str(&text));
			buf_release(&text);
			text = wrapped;
		}
		if (c->tool_conn)
			net_answer(s->net, c->tool_conn, 200, "application/json", buf_str(&text),
			           text.len);
		else
			net_send(s->net, c->conn, buf_str(&text), text.len);
		buf_release(&text);
		c->tool = c->tool_on_ws = false;
		c->tool_conn = 0;
		cJSON_Delete(c->tool_id);
		c->tool_id = NULL;
	} else if (c->socket) {
		net_send(s->net, c->conn, message, len);
	} else {
		net_answer(s->net, c->conn,
		           strncmp(message, "{\"type\":\"error\"", 15) == 0 ? 500 : 200,
		           "application/json", body, body_len);
	}
}

/* ---- JSON-RPC ---- */

static cJSON *task_json(const struct task *t, bool whole)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "task_id", t->id);
	cJSON_AddStringToObject(o, "level", task_level_name(t->level));
	cJSON_AddStringToObject(o, "prompt", t->prompt);
	if (!whole)
		return o;
	json_add_figures(o, "bbox_mm", t->bbox_mm, 3);
	cJSON *list = cJSON_AddObjectToObject(o, "dimensions");
	for (int i = 0; i < t->n_dimensions; i++)
		cJSON_AddNumberToObject(list, t->dimensions[i].name, t->dimensions[i].value_mm);
	if (t->expect)
		cJSON_AddItemToObject(o, "expect", cJSON_Duplicate(t->expect, true));
	return o;
}

/* The text of a tool that is answered at once; NULL: it is a step. @failed: it could not. */
static char *tool_text(struct serving *s, const struct client *c, const struct openenv_rpc *r,
                       bool *failed)
{
	struct buf text = { 0 };
	cJSON *o = NULL;
	struct err e = { 0 };
	const struct task *t;

	*failed = false;
	switch (r->tool) {
	case TOOL_LIST_TASKS:
		o = cJSON_CreateArray();
		for (int i = 0; i < s->o->tasks->n; i++)
			cJSON_AddItemToArray(o, task_json(&s->o->tasks->tasks[i], false));
		break;
	case TOOL_GET_TASK:
		t = task_find(s->o->tasks, r->text, &e);
		if (t)
			o = task_json(t, true);
		else
			buf_adds(&text, e.text);
		*failed = !t;
		break;
	case TOOL_LOG:
		buf_adds(&text, c ? env_session_log(c->session) : "");
		break;
	case TOOL_MEASURE:
		if (c && env_session_score(c->session)) {
			o = cJSON_CreateObject();
			static const char *const keys[] = { "geometry", "mesh", "contact", "checks",
				                            "notes" };
			for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
				const cJSON *v = cJSON_GetObjectItemCaseSensitive(
					env_session_score(c->session), keys[i]);
				if (v)
					cJSON_AddItemToObject(o, keys[i], cJSON_Duplicate(v, true));
			}
		} else {
			buf_adds(&text, "nothing was submitted in this session yet");
			*failed = true;
		}
		break;
	case TOOL_SUBMIT:
		return NULL;
	}
	if (o)
		json_print(&text, o);
	cJSON_Delete(o);
	if (!text.data)
		buf_adds(&text, "");
	return buf_take(&text, NULL);
}

/* A session that is made to be asked by its id; NULL: none can be, and why in @out. */
static struct client *make_session(struct serving *s, struct buf *out, const cJSON *id)
{
	char why[160];
	struct client *c = s->sessions < s->o->capacity ? client_new(s, 0) : NULL;

	if (c && !(c->session = environment_session(s->environment, c))) {
		client_free(s, c);
		c = NULL;
	}
	if (!c) {
		capacity_words(s, why, sizeof(why));
		openenv_rpc_error(out, id, -32000, why);
		s->refused++;
		return NULL;
	}
	c->made = true;
	s->sessions++;
	say(s, "session made", c, NULL);
	return c;
}

static void end_session(struct serving *s, struct client *c, const char *why)
{
	say(s, "session ended", c, why);
	client_free(s, c);
}

/* What a request of JSON-RPC gets: into @out; or nothing yet, when it is a step of @on, whose
 * answer comes later (on_answer()). */
static bool rpc(struct serving *s, struct client *on, uint64_t conn, const struct openenv_rpc *r,
                bool on_ws, struct buf *out)
{
	struct client *c = on;
	bool failed;
	char *text;

	if (r->session && !(c = client_named(s, r->session))) {
		openenv_rpc_error(out, r->id, -32602, "unknown session");
		return true;
	}
	switch (r->want) {
	case RPC_REFUSED:
		buf_add(out, buf_str(&r->refusal), r->refusal.len);
		return true;
	case RPC_TOOLS:
		openenv_rpc_result(out, r->id, openenv_tools());
		return true;
	case RPC_CREATE:
		c = make_session(s, out, r->id);
		if (c) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddStringToObject(o, "session_id", c->id);
			openenv_rpc_result(out, r->id, o);
		}
		return true;
	case RPC_END: {
		cJSON *o = cJSON_CreateObject();
		bool attached = c->conn != 0;
		cJSON_AddStringToObject(o, "session_id", c->id);
		cJSON_AddBoolToObject(o, "closed", !attached);
		if (attached)
			cJSON_AddBoolToObject(o, "closing", true);
		openenv_rpc_result(out, r->id, o);
		if (attached)
			c->ending = true;
		else
			end_session(s, c, "closed");
		return true;
	}
	case RPC_CALL:
		break;
	}
	text = tool_text(s, c, r, &failed);
	if (text) {
		openenv_rpc_result(out, r->id, openenv_tool_text(text, failed));
		free(text);
		return true;
	}
	if (!c || !c->session) {
		openenv_rpc_error(
			out, r->id, -32602,
			"submit_cadquery needs a session: openenv/session/create makes one, params.session_id names it");
		return true;
	}
	if (env_session_busy(c->session)) {
		openenv_rpc_error(out, r->id, -32603,
		                  "the session's program before this one is being built");
		return true;
	}
	const struct openenv_ask a = {
		.want = OPENENV_STEP, .code = r->text, .mode = OPENENV_FAST, .timeout_s = NAN
	};
	c->tool = true;
	c->tool_on_ws = on_ws;
	c->tool_conn = conn;
	c->tool_id = r->id ? cJSON_Duplicate(r->id, true) : NULL;
	c->heard_s = clock_now_s();
	environment_ask(s->environment, c->session, &a);
	return false;
}

static void rpc_over_http(struct serving *s, uint64_t conn, const char *text, size_t len)
{
	struct openenv_rpc r;
	struct buf out = { 0 };
	cJSON *o = json_parse(text, len, NULL);

	openenv_rpc(&r, o);
	if (rpc(s, NULL, conn, &r, false, &out))
		send_json(s, conn, 200, &out);
	openenv_rpc_release(&r);
	cJSON_Delete(o);
}

/* ---- messages of sockets ---- */

static void take_message(struct serving *s, struct client *c, const char *text, size_t len)
{
	struct openenv_ask a = { 0 };
	struct buf out = { 0 };

	s->messages++;
	c->heard_s = clock_now_s();
	if (c->rpc_socket) {
		struct openenv_rpc r;
		cJSON *o = json_parse(text, len, NULL);
		openenv_rpc(&r, o);
		if (rpc(s, c, 0, &r, false, &out))
			send_text(s, c, &out);
		openenv_rpc_release(&r);
		cJSON_Delete(o);
		return;
	}
	openenv_message(&a, text, len);
	switch (a.want) {
	case OPENENV_REFUSED:
		net_send(s->net, c->conn, buf_str(&a.refusal), a.refusal.len);
		if (a.fatal)
			net_hang_up(s->net, c->conn, 1000);
		break;
	case OPENENV_CLOSE:
		net_hang_up(s->net, c->conn, 1000);
		break;
	case OPENENV_RPC: {
		struct openenv_rpc r;
		openenv_rpc(&r, a.rpc);
		if (rpc(s, c, 0, &r, true, &out)) {
			struct buf wrapped = { 0 };
			buf_printf(&wrapped, "{\"type\":\"mcp\",\"data\":%s}", buf_str(&out));
			send_text(s, c, &wrapped);
		}
		buf_release(&out);
		openenv_rpc_release(&r);
		break;
	}
	default:
		environment_ask(s->environment, c->session, &a);
	}
	openenv_ask_release(&a);
}

static bool busy(const struct client *c)
{
	return c->session && env_session_busy(c->session);
}

/* What came meanwhile, in its order, until one of them takes time again. */
static void next_message(struct serving *s, struct client *c)
{
	while (c->first && !busy(c)) {
		struct waiting *w = c->first;
		c->first = w->next;
		if (!c->first)
			c->last = &c->first;
		if (c->n_waiting-- == NET_WAITING_MAX)
			net_hold(s->net, c->conn, false);
		take_message(s, c, w->text, w->len);
		free(w);
	}
}

static void on_message(void *ctx, uint64_t conn, const char *text, size_t len, bool binary)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);
	struct waiting *w;

	if (!c || c->refused)
		return;
	if (binary) {
		struct buf out = { 0 };
		openenv_error_message(&out, "SESSION_ERROR", NULL, "a message is text, not bytes");
		send_text(s, c, &out);
		net_hang_up(s->net, conn, 1000);
		return;
	}
	if (!busy(c) && !c->first) {
		take_message(s, c, text, len);
		return;
	}
	w = malloc(sizeof(*w) + len + 1);
	if (!w) {
		net_hang_up(s->net, conn, 1011);
		return;
	}
	w->next = NULL;
	w->len = len;
	memcpy(w->text, text, len);
	w->text[len] = '\0';
	*c->last = w;
	c->last = &w->next;
	if (++c->n_waiting == NET_WAITING_MAX)
		net_hold(s->net, conn, true);
}

/* ---- sockets come and go ---- */

/* The value of @key in a query, percent signs undone; "" when it is not there. */
static void query_value(const char *query, const char *key, char *out, size_t size)
{
	size_t n = strlen(key), at = 0;
	const char *p = query;

	out[0] = '\0';
	while (p && !(strncmp(p, key, n) == 0 && p[n] == '=')) {
		p = strchr(p, '&');
		p = p ? p + 1 : NULL;
	}
	for (p = p ? p + n + 1 : ""; *p && *p != '&' && at + 1 < size; p++)
		out[at++] = *p;
	out[at] = '\0';
}

static bool on_open(void *ctx, uint64_t conn, const char *path, const char *query)
{
	struct serving *s = ctx;
	char id[ID_BYTES];
	struct client *c;

	if (s->stopping || (strcmp(path, "/ws") != 0 && strcmp(path, "/mcp") != 0))
		return false;
	query_value(query, "session_id", id, sizeof(id));
	c = *id ? client_named(s, id) : NULL;
	if (c && c->made && !c->conn) {
		c->conn = conn;
		c->socket = true;
		c->rpc_socket = path[1] == 'm';
		return true;
	}
	c = client_new(s, conn);
	if (!c)
		return false;
	c->socket = true;
	c->rpc_socket = path[1] == 'm';
	/* a session that is not there, or has a socket already: told when it is open */
	if (*id)
		c->refused = true;
	return true;
}

static void on_opened(void *ctx, uint64_t conn)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);
	struct buf out = { 0 };
	char why[160];

	if (!c || c->made)
		return;
	if (c->refused) {
		openenv_error_message(&out, "SESSION_ERROR", NULL,
		                      "there is no such session, or another socket has it");
		send_text(s, c, &out);
		net_hang_up(s->net, conn, 1000);
		return;
	}
	if (c->rpc_socket) {
		/* its sessions are made by what it asks */
		say(s, "socket", c, "mcp");
		return;
	}
	if (s->sessions < s->o->capacity && (c->session = environment_session(s->environment, c))) {
		s->sessions++;
		say(s, "session begun", c, NULL);
		return;
	}
	cJSON *more = cJSON_CreateObject();
	cJSON_AddNumberToObject(more, "active_sessions", s->sessions);
	cJSON_AddNumberToObject(more, "max_sessions", s->o->capacity);
	capacity_words(s, why, sizeof(why));
	openenv_error_message(&out, "CAPACITY_REACHED", more, "%s", why);
	cJSON_Delete(more);
	send_text(s, c, &out);
	c->refused = true; /* hung up on when it speaks, or in a second: see look() */
	s->refused++;
	say(s, "refused", c, why);
}

static void on_gone(void *ctx, uint64_t conn)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);

	if (!c) {
		for (c = s->clients; c; c = c->next)
			if (c->tool_conn == conn)
				c->tool_conn = 0;
		return;
	}
	if (c->made && !c->ending) {
		c->conn = 0;
		c->socket = c->rpc_socket = false;
		return;
	}
	if (c->session)
		say(s, "session ended", c, "the client left");
	client_free(s, c);
}

/* ---- HTTP ---- */

static void health(struct serving *s, uint64_t conn)
{
	struct buf b = { 0 };

	buf_adds(&b, "{\"status\":\"healthy\"}");
	send_json(s, conn, 200, &b);
}

/* A request of its own environment, answered by on_answer(). */
static void ask_once(struct serving *s, uint64_t conn, struct openenv_ask *a)
{
	struct client *c;

	if (a->want == OPENENV_REFUSED) {
		send_json(s, conn, a->status, &a->refusal);
		return;
	}
	c = client_new(s, conn);
	if (!c || !(c->session = environment_session(s->environment, c))) {
		send_detail(s, conn, 503, "no memory for another environment");
		if (c)
			client_free(s, c);
		return;
	}
	environment_ask(s->environment, c->session, a);
}

static void post_step(struct serving *s, uint64_t conn, const struct net_request *r)
{
	struct openenv_ask a;

	openenv_step_body(&a, r->body, r->len);
	ask_once(s, conn, &a);
	openenv_ask_release(&a);
}

static void post_reset(struct serving *s, uint64_t conn, const struct net_request *r)
{
	struct openenv_ask a;

	openenv_reset_body(&a, r->body, r->len);
	ask_once(s, conn, &a);
	openenv_ask_release(&a);
}

static void get_state(struct serving *s, uint64_t conn)
{
	struct openenv_ask a = { .want = OPENENV_STATE };

	ask_once(s, conn, &a);
}

/* /artifacts/EPISODE/step-N/FILE */
static bool artifact(struct serving *s, uint64_t conn, const char *path)
{
	static const char *const types[][2] = { { ".png", "image/png" },
		                                { ".json", "application/json" },
		                                { ".txt", "text/plain; charset=utf-8" },
		                                { ".md", "text/markdown; charset=utf-8" },
		                                { ".py", "text/x-python; charset=utf-8" },
		                                { ".log", "text/plain; charset=utf-8" },
		                                { ".stl", "model/stl" },
		                                { ".step", "model/step" } };
	long long episode;
	int turn, at = 0;
	struct buf b = { 0 };
	struct err e = { 0 };
	const char *type = "application/octet-stream", *name, *dot;

	if (sscanf(path, "/artifacts/%lld/step-%d/%n", &episode, &turn, &at) != 2 || !at)
		return false;
	name = path + at;
	dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dot, types[i][0]) == 0)
			type = types[i][1];
	if (strchr(name, '/') || store_artifact(s->o->store, episode, turn, name, &b, &e) < 0)
		/* the store's own words name its file */
		send_detail(s, conn, 404, "no such artifact, or it was pruned");
	else
		net_answer(s->net, conn, 200, type, buf_str(&b), b.len);
	buf_release(&b);
	return true;
}

static void gauge(struct buf *b, const char *name, const char *type, const char *about, double v)
{
	buf_printf(b, "# HELP cadforge_%s %s\n# TYPE cadforge_%s %s\ncadforge_%s %.17g\n", name,
	           about, name, type, name, v);
}

static void metrics(struct serving *s, uint64_t conn)
{
	struct environment_figures f = environment_figures(s->environment);
	struct buf b = { 0 };

	gauge(&b, "uptime_seconds", "gauge", "Since the server began.", clock_now_s() - s->started);
	gauge(&b, "sessions", "gauge", "Sessions that are open.", s->sessions);
	gauge(&b, "sessions_capacity", "gauge", "Sessions that may be open.", s->o->capacity);
	gauge(&b, "sessions_refused_total", "counter", "Refused at capacity.", (double)s->refused);
	gauge(&b, "sessions_idle_total", "counter", "Ended since nothing came.",
	      (double)s->idle_ended);
	gauge(&b, "requests_total", "counter", "Requests of HTTP.", (double)s->requests);
	gauge(&b, "messages_total", "counter", "Messages of sockets.", (double)s->messages);
	gauge(&b, "resets_total", "counter", "Resets.", (double)f.resets);
	gauge(&b, "steps_total", "counter", "Steps, built or not.", (double)f.steps);
	gauge(&b, "steps_built_total", "counter", "Steps whose program built.", (double)f.built);
	gauge(&b, "steps_lost_total", "counter", "Programs lost under the builder.",
	      (double)f.lost);
	gauge(&b, "steps_under_way", "gauge", "Programs being built or waiting for it.",
	      f.under_way);
	gauge(&b, "step_seconds_total", "counter", "From a step's arrival to its score, summed.",
	      f.score_s);
	net_answer(s->net, conn, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b),
	           b.len);
	buf_release(&b);
}

/* The task API of 0.10: /list_environments, /ENV/splits, /ENV/tasks, ... */
static bool task_api(struct serving *s, uint64_t conn, const struct net_request *r)
{
	static const char *const verbs[] = { "splits", "tasks", "num_tasks", "task", "task_range" };
	const char *slash = strchr(r->path + 1, '/'), *verb;
	const struct task *list[TASKS_MAX];
	struct buf b = { 0 };
	cJSON *body, *o;
	int which = 0, n;

	if (!slash)
		return false;
	verb = slash + 1;
	while (which < 5 && strcmp(verbs[which], verb) != 0)
		which++;
	if (which == 5)
		return false;
	size_t len = (size_t)(slash - r->path - 1);
	if (len != strlen(OPENENV_NAME) || strncasecmp(r->path + 1, OPENENV_NAME, len) != 0) {
		send_detail(s, conn, 404, "no such environment; GET /list_environments");
		return true;
	}
	if (strcmp(r->method, which == 0 ? "GET" : "POST") != 0) {
		send_detail(s, conn, 405, "Method Not Allowed");
		return true;
	}
	if (which == 0) {
		buf_adds(
			&b,
			"[{\"name\":\"train\",\"type\":\"train\"},{\"name\":\"validation\",\"type\":"
			"\"validation\"},{\"name\":\"test\",\"type\":\"test\"}]");
		send_json(s, conn, 200, &b);
		return true;
	}
	body = json_parse(r->body, r->len, NULL);
	const char *split = json_string_or(body, "split", NULL);
	n = split ? environment_split(s->environment, split, list, TASKS_MAX) : -1;
	if (n < 0) {
		send_detail(s, conn, split ? 404 : 422,
		            "split: \"train\", \"validation\" or \"test\" wanted");
		cJSON_Delete(body);
		return true;
	}
	double from = json_number_or(body, which == 3 ? "index" : "start", which == 3 ? NAN : 0);
	double to = which == 3 ? from + 1 : json_number_or(body, "stop", n);
	o = cJSON_CreateObject();
	if (which == 2) {
		cJSON_AddNumberToObject(o, "num_tasks", n);
	} else if (which == 3) {
		if (!(from >= 0 && from < n) || from != floor(from)) {
			cJSON_Delete(o);
			cJSON_Delete(body);
			send_detail(s, conn, 400, "index out of range");
			return true;
		}
		cJSON_AddItemToObject(o, "task", task_json(list[(int)from], true));
	} else {
		cJSON *v = cJSON_AddArrayToObject(o, "tasks");
		from = which == 1 || !(from >= 0) ? 0 : from;
		to = which == 1 || !(to <= n) ? n : to;
		for (int i = (int)from; i < to; i++)
			cJSON_AddItemToArray(v, task_json(list[i], false));
		if (which == 1)
			cJSON_AddStringToObject(o, "env_name", OPENENV_NAME);
	}
	json_print(&b, o);
	cJSON_Delete(o);
	cJSON_Delete(body);
	send_json(s, conn, 200, &b);
	return true;
}

static void on_request(void *ctx, uint64_t conn, const struct net_request *r)
{
	static const struct {
		const char *path, *method;
	} routes[] = { { "/health", "GET" },       { "/healthz", "GET" },
		       { "/metadata", "GET" },     { "/schema", "GET" },
		       { "/openapi.json", "GET" }, { "/state", "GET" },
		       { "/metrics", "GET" },      { "/list_environments", "GET" },
		       { "/reset", "POST" },       { "/step", "POST" },
		       { "/mcp", "POST" } };
	enum {
		HEALTH,
		HEALTHZ,
		METADATA,
		SCHEMA,
		OPENAPI,
		STATE,
		METRICS,
		ENVIRONMENTS,
		RESET,
		STEP,
		MCP,
		ROUTES
	};
	struct serving *s = ctx;
	struct buf b = { 0 };
	int i = 0;

	s->requests++;
	while (i < ROUTES && strcmp(routes[i].path, r->path) != 0)
		i++;
	if (i == ROUTES || (i == METRICS && !s->o->metrics)) {
		if (i == ROUTES && strcmp(r->method, "GET") == 0 && artifact(s, conn, r->path))
			return;
		if (i == ROUTES && task_api(s, conn, r))
			return;
		send_detail(s, conn, 404, "Not Found");
		return;
	}
	if (strcmp(routes[i].method, r->method) != 0) {
		send_detail(s, conn, 405, "Method Not Allowed");
		return;
	}
	switch (i) {
	case HEALTH:
		health(s, conn);
		return;
	case HEALTHZ:
		buf_adds(&b, "{\"ok\":\"true\",\"env\":\"" OPENENV_NAME "\"}");
		break;
	case METADATA:
		openenv_metadata(&b, PACKAGE_VERSION, s->o->readme);
		break;
	case SCHEMA:
		openenv_schema(&b);
		break;
	case OPENAPI:
		openenv_openapi(&b, PACKAGE_VERSION);
		break;
	case ENVIRONMENTS:
		buf_adds(&b, "[\"" OPENENV_NAME "\"]");
		break;
	case METRICS:
		metrics(s, conn);
		return;
	case STATE:
		get_state(s, conn);
		return;
	case RESET:
		post_reset(s, conn, r);
		return;
	case STEP:
		post_step(s, conn, r);
		return;
	case MCP:
		rpc_over_http(s, conn, r->body, r->len);
		return;
	default:
		break;
	}
	send_json(s, conn, 200, &b);
}

/* ---- the loop ---- */

/* Idle sessions, refused sockets that said nothing. */
static void look(struct serving *s)
{
	double now = clock_now_s();
	struct client *c = s->clients, *next;

	if (now - s->looked_s < 0.25)
		return;
	s->looked_s = now;
	for (; c; c = next) {
		next = c->next;
		if (c->refused && now - c->heard_s > REFUSED_MS / 1000.0) {
			net_hang_up(s->net, c->conn, 1000);
		} else if (s->o->idle_s > 0 && c->session && !busy(c) && (c->socket || c->made) &&
		           now - c->heard_s > s->o->idle_s) {
			s->idle_ended++;
			if (c->socket) {
				say(s, "idle", c, NULL);
				net_hang_up(s->net, c->conn, 1000);
				c->heard_s = now;
				c->made = false;
			} else {
				end_session(s, c, "idle");
			}
		}
	}
}

static bool anything_under_way(const struct serving *s)
{
	return environment_figures(s->environment).under_way > 0;
}

/* Always, and in one form, since --port 0 leaves it to us. */
static void tell_address(const struct serving *s)
{
	char text[300];
	bool six = strchr(s->o->host, ':') != NULL;

	snprintf(text, sizeof(text), "http://%s%.200s%s:%d%s", six ? "[" : "", s->o->host,
	         six ? "]" : "", net_port(s->net), s->o->token ? " (a token is wanted)" : "");
	if (s->o->app->quiet)
		app_tell("listening: %s", text);
	else
		say(s, "listening", NULL, text);
}

int serve_run(const struct serve_options *o, struct err *e)
{
	struct serving s = { .o = o, .started = clock_now_s() };
	struct net_options no = { .host = o->host,
		                  .port = o->port,
		                  .token = o->token,
		                  .message_max = OPENENV_MESSAGE_MAX };
	struct net_ops ops = { &s, on_request, on_open, on_opened, on_message, on_gone };
	struct environment_options eo = { .app = o->app,
		                          .store = o->store,
		                          .tasks = o->tasks,
		                          .prompts = o->prompts,
		                          .ctx = &s,
		                          .answer = on_answer };
	double stop_by = 0;
	int rc = -1;

	if (store_run_start(o->store, "serve", "{}", &eo.run, e) < 0)
		return -1;
	s.environment = environment_open(&eo, e);
	s.net = s.environment ? net_open(&no, &ops, e) : NULL;
	if (!s.net)
		goto out;
	tell_address(&s);
	for (;;) {
		struct pollfd fds[POLLS_MAX];
		if (app_interrupted() && !s.stopping) {
			s.stopping = true;
			stop_by = clock_now_s() + SERVE_STOP_S;
			net_refuse_new(s.net);
			say(&s, "stopping", NULL, "steps under way are finished");
		}
		if (s.stopping && (!anything_under_way(&s) || clock_now_s() > stop_by))
			break;
		net_wait(s.net, fds, environment_poll_fds(s.environment, fds, POLLS_MAX), 250);
		if (environment_work(s.environment, e) < 0)
			goto out;
		/* what waited behind a step that is answered now; requests that are answered */
		for (struct client *c = s.clients, *next; c; c = next) {
			next = c->next;
			if (c->socket)
				next_message(&s, c);
			else if (!c->made && c->session && !busy(c))
				client_free(&s, c);
		}
		look(&s);
	}
	rc = 0;
out:
	net_close(s.net);
	environment_close(s.environment);
	store_run_end(o->store, eo.run, rc == 0 ? "done" : "failed", NULL);
	return rc;
}
