#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/serve_inside.h"

/* ---- tools ---- */

cJSON *serve_task_json(const struct task *t, bool whole)
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
			cJSON_AddItemToArray(o, serve_task_json(&s->o->tasks->tasks[i], false));
		break;
	case TOOL_GET_TASK:
		t = task_find(s->o->tasks, r->text, &e);
		if (t)
			o = serve_task_json(t, true);
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

/* ---- sessions ---- */

static void make_session(struct serving *s, struct buf *out, const cJSON *id)
{
	char why[160];
	struct client *c = serve_client_new(s, 0);
	cJSON *o;

	if (!c || !serve_admit(s, c, why, sizeof(why))) {
		openenv_rpc_error(out, id, -32000, c ? why : "out of memory");
		if (c)
			serve_client_free(s, c);
		return;
	}
	c->made = true;
	serve_say(s, "session made", c, NULL);
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "session_id", c->id);
	openenv_rpc_result(out, id, o);
}

/* With a socket in it, it ends when that leaves. */
static void end_session(struct serving *s, struct client *c, struct buf *out, const cJSON *id)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "session_id", c->id);
	cJSON_AddBoolToObject(o, "closed", c->conn == 0);
	if (c->conn)
		cJSON_AddBoolToObject(o, "closing", true);
	openenv_rpc_result(out, id, o);
	c->ending = true;
	if (c->conn == 0) {
		serve_say(s, "session ended", c, serve_why("closed"));
		serve_client_free(s, c);
	}
}

/* ---- requests ---- */

/* To a request of HTTP, a socket of /mcp, or, @on_ws, one of /ws. */
static void reply(struct serving *s, uint64_t conn, bool socket, bool on_ws, const struct buf *text)
{
	struct buf wrapped = { 0 };

	if (!socket) {
		net_answer(s->net, conn, 200, "application/json", buf_str(text), text->len);
	} else if (on_ws) {
		buf_printf(&wrapped, "{\"type\":\"mcp\",\"data\":%s}", buf_str(text));
		net_send(s->net, conn, buf_str(&wrapped), wrapped.len);
		buf_release(&wrapped);
	} else {
		net_send(s->net, conn, buf_str(text), text->len);
	}
}

void serve_tool_answer(struct serving *s, struct client *c, const char *body, bool failed)
{
	struct buf text = { 0 };

	openenv_rpc_result(&text, c->tool_id, openenv_tool_text(body, failed));
	reply(s, c->tool_conn, c->tool_socket, c->tool_on_ws, &text);
	buf_release(&text);
	c->tool = false;
	cJSON_Delete(c->tool_id);
	c->tool_id = NULL;
}

static void submit(struct serving *s, struct client *c, uint64_t conn, bool socket,
                   const struct openenv_rpc *r, bool on_ws)
{
	const struct openenv_ask a = {
		.want = OPENENV_STEP, .code = r->text, .mode = OPENENV_FAST, .timeout_s = NAN
	};

	c->tool = true;
	c->tool_on_ws = on_ws;
	c->tool_socket = socket;
	c->tool_conn = conn;
	c->tool_id = r->id ? cJSON_Duplicate(r->id, true) : NULL;
	environment_ask(s->environment, c->session, &a);
}

/* A tool: false when its answer comes later. */
static bool call(struct serving *s, const struct client *on, struct client *c, uint64_t conn,
                 const struct openenv_rpc *r, bool on_ws, struct buf *out)
{
	bool failed, busy = c && serve_client_busy(c);
	char *text, why[160];

	if (r->tool == TOOL_SUBMIT && c && !c->session && !s->stopping &&
	    !serve_admit(s, c, why, sizeof(why))) {
		/* a socket of /mcp becomes a session when it needs one */
		openenv_rpc_error(out, r->id, -32000, why);
	} else if (r->tool == TOOL_SUBMIT && !c) {
		openenv_rpc_error(out, r->id, -32602,
		                  "submit_cadquery needs a session: openenv/session/create makes "
		                  "one, params.session_id names it");
	} else if (r->tool == TOOL_SUBMIT && s->stopping) {
		openenv_rpc_error(out, r->id, -32603, "the server is stopping");
	} else if (r->tool == TOOL_SUBMIT && busy) {
		openenv_rpc_error(out, r->id, -32603,
		                  "the session's program before this one is being built");
	} else if (r->tool == TOOL_SUBMIT) {
		submit(s, c, conn, on != NULL, r, on_ws);
		return false;
	} else {
		text = tool_text(s, c && c->session ? c : NULL, r, &failed);
		openenv_rpc_result(out, r->id, openenv_tool_text(text ? text : "", failed));
		free(text);
	}
	return true;
}

void serve_rpc(struct serving *s, struct client *on, uint64_t conn, const cJSON *o, bool on_ws)
{
	struct openenv_rpc r;
	struct buf out = { 0 };
	struct client *c = on;
	bool now = true;

	if (on)
		conn = on->conn;
	openenv_rpc(&r, o);
	if (r.session && r.want != RPC_REFUSED) {
		c = serve_client_named(s, r.session);
		if (c)
			c->heard_s = clock_now_s();
	}
	if (r.want == RPC_REFUSED)
		buf_add(&out, buf_str(&r.refusal), r.refusal.len);
	else if (r.session && !c)
		openenv_rpc_error(&out, r.id, -32602, "unknown session");
	else if (r.want == RPC_TOOLS)
		openenv_rpc_result(&out, r.id, openenv_tools());
	else if (r.want == RPC_CREATE && s->stopping)
		openenv_rpc_error(&out, r.id, -32000, "the server is stopping");
	else if (r.want == RPC_CREATE)
		make_session(s, &out, r.id);
	else if (r.want == RPC_END)
		end_session(s, c, &out, r.id);
	else
		now = call(s, on, c, conn, &r, on_ws, &out);
	if (now)
		reply(s, conn, on != NULL, on_ws, &out);
	buf_release(&out);
	openenv_rpc_release(&r);
}
