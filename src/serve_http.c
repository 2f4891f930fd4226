#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "src/serve_inside.h"

/* ---- an environment of its own ---- */

/* Answered when it has been carried out; then its environment is thrown away. */
static void ask_once(struct serving *s, uint64_t conn, struct openenv_ask *a)
{
	struct client *c;
	char why[160];

	if (a->want == OPENENV_REFUSED) {
		serve_json(s, conn, a->status, &a->refusal);
		return;
	}
	if (s->stopping) {
		serve_detail(s, conn, 503, "the server is stopping");
		return;
	}
	if (s->once >= s->o->capacity) {
		snprintf(why, sizeof(why),
		         "Server at capacity: %d/%d requests under way. Ask again.", s->once,
		         s->o->capacity);
		serve_detail(s, conn, 503, why);
		s->refused++;
		return;
	}
	c = serve_client_new(s, conn);
	if (!c || !(c->session = environment_session(s->environment, c))) {
		serve_detail(s, conn, 503, "no memory for another environment");
		if (c)
			serve_client_free(s, c);
		return;
	}
	s->once++;
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

/* ---- artifacts ---- */

static int is_served(void *ctx, const struct store_episode *x)
{
	*(bool *)ctx = strcmp(x->source, "serve") == 0;
	return 0;
}

/* /artifacts/EPISODE/step-N/FILE */
static bool artifact(struct serving *s, uint64_t conn, const struct net_request *r)
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
	bool served = false;

	if (sscanf(r->path, "/artifacts/%lld/step-%d/%n", &episode, &turn, &at) != 2 || !at)
		return false;
	name = r->path + at;
	if (strcmp(r->method, "GET") != 0) {
		serve_detail(s, conn, 405, "Method Not Allowed");
		return true;
	}
	dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dot, types[i][0]) == 0)
			type = types[i][1];
	/* what was not served here is nobody's who asks here */
	if (strchr(name, '/') || store_episode(s->o->store, episode, is_served, &served, &e) < 0 ||
	    !served || store_artifact(s->o->store, episode, turn, name, &b, &e) < 0)
		/* the store's own words name its file */
		serve_detail(s, conn, 404, "no such artifact, or it was pruned");
	else
		net_answer(s->net, conn, 200, type, buf_str(&b), b.len);
	buf_release(&b);
	return true;
}

/* ---- tasks ---- */

/* The task API of 0.10: /list_environments, /ENV/splits, /ENV/tasks, ... */
static bool task_api(struct serving *s, uint64_t conn, const struct net_request *r)
{
	static const char *const verbs[] = { "splits", "tasks", "num_tasks", "task", "task_range" };
	const char *slash = strchr(r->path + 1, '/'), *verb;
	const struct task *list[SERVE_TASKS_MAX];
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
		serve_detail(s, conn, 404, "no such environment; GET /list_environments");
		return true;
	}
	if (strcmp(r->method, which == 0 ? "GET" : "POST") != 0) {
		serve_detail(s, conn, 405, "Method Not Allowed");
		return true;
	}
	if (which == 0) {
		buf_adds(
			&b,
			"[{\"name\":\"train\",\"type\":\"train\"},{\"name\":\"validation\",\"type\":"
			"\"validation\"},{\"name\":\"test\",\"type\":\"test\"}]");
		serve_json(s, conn, 200, &b);
		return true;
	}
	body = json_parse(r->body, r->len, NULL);
	const char *split = json_string_or(body, "split", NULL);
	n = split ? environment_split(s->environment, split, list, SERVE_TASKS_MAX) : -1;
	if (n < 0) {
		serve_detail(s, conn, split ? 404 : 422,
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
			serve_detail(s, conn, 400, "index out of range");
			return true;
		}
		cJSON_AddItemToObject(o, "task", serve_task_json(list[(int)from], true));
	} else {
		cJSON *v = cJSON_AddArrayToObject(o, "tasks");
		from = which == 1 || !(from >= 0) ? 0 : from;
		to = which == 1 || !(to <= n) ? n : to;
		for (int i = (int)from; i < to; i++)
			cJSON_AddItemToArray(v, serve_task_json(list[i], false));
		if (which == 1)
			cJSON_AddStringToObject(o, "env_name", OPENENV_NAME);
	}
	json_print(&b, o);
	cJSON_Delete(o);
	cJSON_Delete(body);
	serve_json(s, conn, 200, &b);
	return true;
}

/* ---- the routes ---- */

static void post_rpc(struct serving *s, uint64_t conn, const struct net_request *r)
{
	cJSON *o = json_parse(r->body, r->len, NULL);

	serve_rpc(s, NULL, conn, o, false);
	cJSON_Delete(o);
}

static void page(struct serving *s, uint64_t conn)
{
	struct buf b = { 0 };

	openenv_docs(&b, PACKAGE_VERSION);
	net_answer(s->net, conn, 200, "text/html; charset=utf-8", buf_str(&b), b.len);
	buf_release(&b);
}

static void metrics(struct serving *s, uint64_t conn)
{
	struct buf b = { 0 };

	serve_metrics(s, &b);
	net_answer(s->net, conn, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b),
	           b.len);
	buf_release(&b);
}

#define ROUTES(X)                                                                                  \
	X(HEALTH, "/health", "GET")                                                                \
	X(HEALTHZ, "/healthz", "GET")                                                              \
	X(METADATA, "/metadata", "GET")                                                            \
	X(SCHEMA, "/schema", "GET")                                                                \
	X(OPENAPI, "/openapi.json", "GET")                                                         \
	X(ROOT, "/", "GET")                                                                        \
	X(DOCS, "/docs", "GET")                                                                    \
	X(REDOC, "/redoc", "GET")                                                                  \
	X(STATE, "/state", "GET")                                                                  \
	X(METRICS, "/metrics", "GET")                                                              \
	X(ENVIRONMENTS, "/list_environments", "GET")                                               \
	X(MODELS, "/v1/models", "GET")                                                             \
	X(RESET, "/reset", "POST")                                                                 \
	X(STEP, "/step", "POST")                                                                   \
	X(MCP, "/mcp", "POST")                                                                     \
	X(COMPLETIONS, "/v1/completions", "POST")                                                  \
	X(CHAT, "/v1/chat/completions", "POST")

enum route {
#define X(name, path, method) ROUTE_##name,
	ROUTES(X)
#undef X
		ROUTES_COUNT
};

static const struct {
	const char *path, *method;
} routes[] = {
#define X(name, path, method) { path, method },
	ROUTES(X)
#undef X
};

static void carry_out(struct serving *s, enum route which, uint64_t conn,
                      const struct net_request *r)
{
	struct buf b = { 0 };

	switch (which) {
	case ROUTE_HEALTH:
		buf_adds(&b, "{\"status\":\"healthy\"}");
		break;
	case ROUTE_HEALTHZ:
		buf_adds(&b, "{\"ok\":\"true\",\"env\":\"" OPENENV_NAME "\"}");
		break;
	case ROUTE_METADATA:
		openenv_metadata(&b, PACKAGE_VERSION, s->o->readme);
		break;
	case ROUTE_SCHEMA:
		openenv_schema(&b);
		break;
	case ROUTE_OPENAPI:
		openenv_openapi(&b, PACKAGE_VERSION);
		break;
	case ROUTE_ENVIRONMENTS:
		buf_adds(&b, "[\"" OPENENV_NAME "\"]");
		break;
	case ROUTE_MODELS:
		completions_models(s->completions, &b);
		break;
	case ROUTE_ROOT:
	case ROUTE_DOCS:
	case ROUTE_REDOC:
		page(s, conn);
		return;
	case ROUTE_METRICS:
		metrics(s, conn);
		return;
	case ROUTE_STATE:
		get_state(s, conn);
		return;
	case ROUTE_RESET:
		post_reset(s, conn, r);
		return;
	case ROUTE_STEP:
		post_step(s, conn, r);
		return;
	case ROUTE_MCP:
		post_rpc(s, conn, r);
		return;
	case ROUTE_COMPLETIONS:
	case ROUTE_CHAT:
		completions_ask(s->completions, conn, which == ROUTE_CHAT, r->body, r->len);
		return;
	case ROUTES_COUNT:
		return;
	}
	serve_json(s, conn, 200, &b);
}

void serve_request(struct serving *s, uint64_t conn, const struct net_request *r)
{
	int i = 0;

	while (i < ROUTES_COUNT && strcmp(routes[i].path, r->path) != 0)
		i++;
	if (i == ROUTES_COUNT) {
		if (strncmp(r->path, "/artifacts/", 11) == 0 ? artifact(s, conn, r)
		                                             : task_api(s, conn, r))
			return;
		serve_detail(s, conn, 404, "Not Found");
	} else if (i == ROUTE_METRICS && !s->o->metrics) {
		serve_detail(s, conn, 404, "Not Found: the server was started without --metrics");
	} else if ((i == ROUTE_MODELS || i == ROUTE_COMPLETIONS || i == ROUTE_CHAT) &&
	           !s->completions) {
		serve_detail(s, conn, 404, "Not Found: the server was started without --model");
	} else if (strcmp(routes[i].method, r->method) != 0) {
		serve_detail(s, conn, 405, "Method Not Allowed");
	} else {
		carry_out(s, (enum route)i, conn, r);
	}
}
