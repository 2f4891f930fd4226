#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "src/base/clock.h"
#include "src/serve_inside.h"

enum { POLLS_MAX = 128, REFUSED_MS = 1000, GOODBYE_MS = 2000 };

/* ---- who is there ---- */

static struct client **bucket_of_conn(const struct serving *s, uint64_t conn)
{
	return (struct client **)(uintptr_t)&s->by_conn[conn % SERVE_BUCKETS];
}

static struct client **bucket_of_id(const struct serving *s, const char *id)
{
	unsigned hash = 5381;

	for (; *id; id++)
		hash = hash * 33 + (unsigned char)*id;
	return (struct client **)(uintptr_t)&s->by_id[hash % SERVE_BUCKETS];
}

static struct client *client_of(const struct serving *s, uint64_t conn)
{
	struct client *c = *bucket_of_conn(s, conn);

	while (c && c->conn != conn)
		c = c->next_of_conn;
	return c;
}

struct client *serve_client_named(const struct serving *s, const char *id)
{
	struct client *c = *bucket_of_id(s, id);

	while (c && !(c->session && !c->ending && strcmp(c->id, id) == 0))
		c = c->next_of_id;
	return c;
}

static void attach(struct serving *s, struct client *c, uint64_t conn)
{
	struct client **at = bucket_of_conn(s, conn);

	c->conn = conn;
	if (!conn)
		return;
	c->next_of_conn = *at;
	*at = c;
}

static void detach(struct serving *s, struct client *c)
{
	struct client **at = bucket_of_conn(s, c->conn);

	while (*at && *at != c)
		at = &(*at)->next_of_conn;
	if (*at)
		*at = c->next_of_conn;
	c->conn = 0;
	c->socket = c->rpc_socket = false;
}

/* Nobody can guess the name of another's session. */
static int name_client(struct client *c)
{
	unsigned char random[12];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -1;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(c->id + 2 * i, 3, "%02x", random[i]);
	return 0;
}

struct client *serve_client_new(struct serving *s, uint64_t conn)
{
	struct client *c = calloc(1, sizeof(*c)), **by_id;

	if (!c || name_client(c) < 0) {
		free(c);
		return NULL;
	}
	c->heard_s = clock_now_s();
	c->last = &c->first;
	c->at = &s->clients;
	c->next = s->clients;
	if (c->next)
		c->next->at = &c->next;
	s->clients = c;
	by_id = bucket_of_id(s, c->id);
	c->next_of_id = *by_id;
	*by_id = c;
	attach(s, c, conn);
	return c;
}

static void forget_waiting(struct client *c)
{
	while (c->first) {
		struct serve_waiting *w = c->first;
		c->first = w->next;
		free(w);
	}
	c->last = &c->first;
	c->n_waiting = 0;
	c->waiting_bytes = 0;
}

void serve_client_free(struct serving *s, struct client *c)
{
	struct client **at = bucket_of_id(s, c->id);

	while (*at != c)
		at = &(*at)->next_of_id;
	*at = c->next_of_id;
	for (at = &s->ready; *at && *at != c;)
		at = &(*at)->next_ready;
	if (*at)
		*at = c->next_ready;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	if (c->session) {
		environment_leave(s->environment, c->session);
		s->sessions -= c->counted;
		s->once -= !c->counted;
	}
	detach(s, c);
	forget_waiting(c);
	cJSON_Delete(c->tool_id);
	free(c);
}

bool serve_admit(struct serving *s, struct client *c, char *why, size_t size)
{
	if (s->sessions < s->o->capacity) {
		c->session = environment_session(s->environment, c);
		if (c->session) {
			c->counted = true;
			s->sessions++;
			s->sessions_begun++;
			return true;
		}
	}
	s->refused++;
	snprintf(why, size,
	         "Server at capacity: %d/%d sessions active. Cannot accept new connections.",
	         s->sessions, s->o->capacity);
	return false;
}

bool serve_client_busy(const struct client *c)
{
	return c->session && env_session_busy(c->session);
}

/* ---- answers ---- */

void serve_json(struct serving *s, uint64_t conn, int status, struct buf *text)
{
	net_answer(s->net, conn, status, "application/json", buf_str(text), text->len);
	buf_release(text);
}

void serve_detail(struct serving *s, uint64_t conn, int status, const char *text)
{
	struct buf body = { 0 };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "detail", text);
	json_print(&body, o);
	cJSON_Delete(o);
	serve_json(s, conn, status, &body);
}

void serve_send(struct serving *s, struct client *c, struct buf *text)
{
	net_send(s->net, c->conn, buf_str(text), text->len);
	buf_release(text);
}

/* Of the environment. What is to follow it is done by the loop, since this comes from within. */
static void on_answer(void *ctx, struct env_session *session, const char *message, size_t len,
                      const char *body, size_t body_len)
{
	struct serving *s = ctx;
	struct client *c = env_session_user(session);
	bool failed = strncmp(message, "{\"type\":\"error\"", 15) == 0;

	if (c->tool)
		serve_tool_answer(s, c, body, failed);
	else if (c->socket)
		net_send(s->net, c->conn, message, len);
	else
		net_answer(s->net, c->conn, failed ? 500 : 200, "application/json", body, body_len);
	c->heard_s = clock_now_s();
	if (!c->ready) {
		c->ready = true;
		c->next_ready = s->ready;
		s->ready = c;
	}
}

static void on_stepped(void *ctx, struct env_session *session, const struct env_stepped *x)
{
	const struct serving *s = ctx;
	char name[64];
	cJSON *o;

	if (!s->o->log_json)
		return;
	o = cJSON_CreateObject();
	snprintf(name, sizeof(name), "%lld.%d", (long long)x->episode, x->turn);
	cJSON_AddStringToObject(o, "turn", name);
	json_add_text(o, "task", x->task);
	cJSON_AddStringToObject(o, "reward_mode", openenv_mode_name(x->mode));
	json_add_figure(o, "reward", x->reward);
	cJSON_AddBoolToObject(o, "built", x->built);
	json_add_figure(o, "seconds", x->seconds);
	serve_say(s, "step", env_session_user(session), o);
}

/* ---- messages of sockets ---- */

static void refuse_stopping(struct serving *s, struct client *c)
{
	struct buf out = { 0 };

	openenv_error_message(&out, "EXECUTION_ERROR", NULL, "the server is stopping");
	serve_send(s, c, &out);
}

static void take_rpc(struct serving *s, struct client *c, const char *text, size_t len)
{
	cJSON *o = json_parse(text, len, NULL);

	serve_rpc(s, c, 0, o, false);
	cJSON_Delete(o);
}

static void take_message(struct serving *s, struct client *c, const char *text, size_t len)
{
	struct openenv_ask a = { 0 };

	s->messages++;
	c->heard_s = clock_now_s();
	if (c->rpc_socket) {
		take_rpc(s, c, text, len);
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
	case OPENENV_RPC:
		serve_rpc(s, c, 0, a.rpc, true);
		break;
	case OPENENV_RESET:
	case OPENENV_STEP:
		if (s->stopping) {
			refuse_stopping(s, c);
			break;
		}
		/* fall through */
	case OPENENV_STATE:
		environment_ask(s->environment, c->session, &a);
		break;
	}
	openenv_ask_release(&a);
}

/* Whether what comes from it is to wait behind something that goes on. */
static bool must_wait(const struct client *c)
{
	return serve_client_busy(c) || c->ready;
}

/* Reads on, or stops reading, as there is room for what waits. */
static void hold(struct serving *s, struct client *c)
{
	bool full = c->n_waiting >= SERVE_WAITING_MAX || c->waiting_bytes >= SERVE_WAITING_BYTES;

	if (full != c->held) {
		c->held = full;
		net_hold(s->net, c->conn, full);
	}
}

/* What came meanwhile, in its order, until one of them takes time again. */
static void next_messages(struct serving *s, struct client *c)
{
	while (c->first && !must_wait(c)) {
		struct serve_waiting *w = c->first;
		c->first = w->next;
		if (!c->first)
			c->last = &c->first;
		c->n_waiting--;
		c->waiting_bytes -= w->len;
		take_message(s, c, w->text, w->len);
		free(w);
	}
	hold(s, c);
}

static void put_behind(struct serving *s, struct client *c, const char *text, size_t len)
{
	struct serve_waiting *w = malloc(sizeof(*w) + len + 1);

	if (!w) {
		net_hang_up(s->net, c->conn, 1011);
		return;
	}
	w->next = NULL;
	w->len = len;
	memcpy(w->text, text, len);
	w->text[len] = '\0';
	*c->last = w;
	c->last = &w->next;
	c->n_waiting++;
	c->waiting_bytes += len;
	hold(s, c);
}

static void on_message(void *ctx, uint64_t conn, const char *text, size_t len, bool binary)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);
	struct buf out = { 0 };

	if (!c)
		return;
	if (c->refused) {
		/* it has been told; and now it has spoken, it listens */
		net_hang_up(s->net, conn, 1000);
	} else if (binary) {
		openenv_error_message(&out, "SESSION_ERROR", NULL, "a message is text, not bytes");
		serve_send(s, c, &out);
		net_hang_up(s->net, conn, 1000);
	} else if (c->first || must_wait(c)) {
		put_behind(s, c, text, len);
	} else {
		take_message(s, c, text, len);
	}
}

/* ---- sockets come and go ---- */

/* The value of @key in a query; "" when it is not there. Ids need no percent signs. */
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
	char id[SERVE_ID_BYTES];
	struct client *c;

	if (s->stopping || (strcmp(path, "/ws") != 0 && strcmp(path, "/mcp") != 0))
		return false;
	query_value(query, "session_id", id, sizeof(id));
	c = *id ? serve_client_named(s, id) : NULL;
	if (c && c->made && !c->conn) {
		attach(s, c, conn);
	} else {
		c = serve_client_new(s, conn);
		if (!c)
			return false;
		/* a session that is not there, or has a socket: told when this one is open */
		c->refused = *id != '\0';
	}
	c->socket = true;
	c->rpc_socket = path[1] == 'm';
	return true;
}

static void refuse(struct serving *s, struct client *c, const char *code, const cJSON *more,
                   const char *why)
{
	struct buf out = { 0 };

	openenv_error_message(&out, code, more, "%s", why);
	serve_send(s, c, &out);
	c->refused = true;
	c->heard_s = clock_now_s();
	serve_say(s, "refused", c, serve_why(why));
}

static void on_opened(void *ctx, uint64_t conn)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);
	char why[160];
	cJSON *more;

	if (!c)
		return;
	if (c->refused) {
		refuse(s, c, "SESSION_ERROR", NULL,
		       "there is no such session, or another socket has it");
	} else if (c->made || c->rpc_socket) {
		serve_say(s, c->made ? "session attached" : "mcp socket", c, NULL);
	} else if (serve_admit(s, c, why, sizeof(why))) {
		serve_say(s, "session begun", c, NULL);
	} else {
		more = cJSON_CreateObject();
		cJSON_AddNumberToObject(more, "active_sessions", s->sessions);
		cJSON_AddNumberToObject(more, "max_sessions", s->o->capacity);
		refuse(s, c, "CAPACITY_REACHED", more, why);
		cJSON_Delete(more);
	}
}

static void on_gone(void *ctx, uint64_t conn)
{
	struct serving *s = ctx;
	struct client *c = client_of(s, conn);

	if (s->completions)
		completions_gone(s->completions, conn);
	if (!c)
		return;
	if (c->made && !c->ending) {
		detach(s, c);
		forget_waiting(c);
		c->held = false;
		c->heard_s = clock_now_s();
		serve_say(s, "session left", c, NULL);
		return;
	}
	if (c->counted)
		serve_say(s, "session ended", c, serve_why("its client left"));
	serve_client_free(s, c);
}

static void on_request(void *ctx, uint64_t conn, const struct net_request *r)
{
	struct serving *s = ctx;

	s->requests++;
	serve_request(s, conn, r);
}

/* ---- the loop ---- */

/* Those whose answer was given. */
static void go_on(struct serving *s)
{
	struct client *c;

	while ((c = s->ready)) {
		s->ready = c->next_ready;
		c->ready = false;
		if (!c->counted) {
			serve_client_free(s, c);
			continue;
		}
		if (c->socket)
			next_messages(s, c);
		if (c->socket && s->stopping && !must_wait(c))
			net_hang_up(s->net, c->conn, 1001);
	}
}

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
		} else if (s->o->idle_s > 0 && c->counted && !serve_client_busy(c) &&
		           now - c->heard_s > s->o->idle_s) {
			s->idle_ended++;
			serve_say(s, "session idle", c, NULL);
			c->heard_s = now;
			c->ending = true;
			if (c->conn)
				net_hang_up(s->net, c->conn, 1000);
			else
				serve_client_free(s, c);
		}
	}
}

static bool anything_under_way(const struct serving *s)
{
	return environment_figures(s->environment).under_way > 0 ||
	       (s->completions && completions_under_way(s->completions) > 0);
}

static void begin_stop(struct serving *s)
{
	s->stopping = true;
	net_refuse_new(s->net);
	serve_say(s, "stopping", NULL, serve_why("steps under way are finished"));
	for (struct client *c = s->clients; c; c = c->next)
		if (c->socket && !must_wait(c))
			net_hang_up(s->net, c->conn, 1001);
}

/* While the environment cannot come back at once. */
static int on_tick(void *ctx)
{
	struct serving *s = ctx;

	net_wait(s->net, NULL, 0, 0);
	return s->given_up;
}

static int one_round(struct serving *s, struct err *e)
{
	struct pollfd fds[POLLS_MAX];
	int n = environment_poll_fds(s->environment, fds, POLLS_MAX), wait_ms = 250, ms;

	if (s->completions) {
		n += completions_poll_fds(s->completions, fds + n, POLLS_MAX - n);
		ms = completions_timeout_ms(s->completions);
		wait_ms = ms >= 0 && ms < wait_ms ? ms : wait_ms;
	}
	net_wait(s->net, fds, n, wait_ms);
	if (environment_work(s->environment, e) < 0 ||
	    (s->completions && completions_work(s->completions, e) < 0))
		return -1;
	go_on(s);
	look(s);
	return 0;
}

/* Always told, and in one form, since --port 0 leaves it to us. */
static void tell_address(const struct serving *s)
{
	bool six = strchr(s->o->host, ':') != NULL;
	cJSON *o = cJSON_CreateObject();
	char text[300];

	snprintf(text, sizeof(text), "http://%s%.200s%s:%d", six ? "[" : "", s->o->host,
	         six ? "]" : "", net_port(s->net));
	cJSON_AddStringToObject(o, "address", text);
	cJSON_AddNumberToObject(o, "port", net_port(s->net));
	cJSON_AddNumberToObject(o, "capacity", s->o->capacity);
	cJSON_AddBoolToObject(o, "token", s->o->token != NULL);
	if (s->o->log_json) {
		serve_say(s, "listening", NULL, o);
	} else {
		app_tell("listening: %s, %d sessions at most, %s", text, s->o->capacity,
		         s->o->token ? "a token is asked for" : "no token is asked for (loopback)");
		cJSON_Delete(o);
	}
}

static int loop(struct serving *s, struct err *e)
{
	double stop_by = 0, gone_by;

	for (;;) {
		if (app_interrupted() && !s->stopping) {
			begin_stop(s);
			stop_by = clock_now_s() + SERVE_STOP_S;
		}
		if (s->stopping && (!anything_under_way(s) || clock_now_s() > stop_by))
			break;
		if (one_round(s, e) < 0)
			return -1;
	}
	/* the last answers, and the farewells, are on their way */
	s->given_up = true;
	for (struct client *c = s->clients; c; c = c->next)
		if (c->socket)
			net_hang_up(s->net, c->conn, 1001);
	gone_by = clock_now_s() + GOODBYE_MS / 1000.0;
	while (net_busy(s->net) && clock_now_s() < gone_by)
		net_wait(s->net, NULL, 0, 50);
	return 0;
}

int serve_run(const struct serve_options *o, struct err *e)
{
	static const char *const open_paths[] = { "/health", "/healthz", NULL };
	struct serving *s = calloc(1, sizeof(*s));
	int rc = -1;

	if (!s)
		return err_set(e, ERR_MEM, "out of memory");
	*s = (struct serving){ .o = o, .started = clock_now_s() };
	const struct net_options no = { .host = o->host,
		                        .port = o->port,
		                        .token = o->token,
		                        .open_paths = open_paths,
		                        .message_max = OPENENV_MESSAGE_MAX };
	const struct net_ops ops = { s, on_request, on_open, on_opened, on_message, on_gone };
	struct environment_options eo = { .app = o->app,
		                          .store = o->store,
		                          .tasks = o->tasks,
		                          .prompts = o->prompts,
		                          .light = o->light,
		                          .ctx = s,
		                          .tick = on_tick,
		                          .stepped = on_stepped,
		                          .answer = on_answer };
	/* the port first: whose it is already, no builder is started for */
	s->net = net_open(&no, &ops, e);
	if (s->net && store_run_start(o->store, "serve", "{}", &eo.run, e) == 0) {
		s->environment = environment_open(&eo, e);
		if (s->environment && o->model)
			s->completions = completions_open(s, o->model, e);
		if (s->environment && (!o->model || s->completions)) {
			tell_address(s);
			rc = loop(s, e);
		}
		store_run_end(o->store, eo.run, rc == 0 ? "done" : "failed", NULL);
	}
	net_close(s->net);
	completions_close(s->completions);
	while (s->clients)
		serve_client_free(s, s->clients);
	environment_close(s->environment);
	free(s);
	return rc;
}
