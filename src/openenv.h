/*
 * openenv.h - the OpenEnv protocol: what a client's message asks for, and the words of every
 * answer.
 *
 * Pure: no sockets, no clock, no sessions. Texts in, texts out; src/serve.h carries out what is
 * asked. Wire shapes are those of openenv-core 0.2.3 with what openenv 0.10 added (a superset: an
 * older client ignores what it does not know). What a message must not be is answered in the same
 * shape as the reference server's: 422 with a list of {type, loc, msg, input, ctx} over HTTP, an
 * error message with the same list over a WebSocket.
 *
 * Action: code (1 character or more), task_id, reward_mode ("fast" | "full" | "exact" | "strict"),
 * task_prompt, metadata; nothing else.
 */
#ifndef SRC_OPENENV_H
#define SRC_OPENENV_H

#include "engine/task.h"
#include "src/base/buf.h"
#include "src/base/json.h"

#define OPENENV_NAME         "cadforge_cadquery"
#define OPENENV_DEFAULT_TASK "four_leg_chair_700n"
#define OPENENV_ENOUGH       0.92
enum {
	OPENENV_STEPS_MAX = 12,
	OPENENV_ID_MAX = 255,
	OPENENV_MESSAGE_MAX = 16 << 20 /* bytes of a message or body */
};

enum openenv_mode { OPENENV_FAST, OPENENV_FULL, OPENENV_EXACT, OPENENV_STRICT };
/* "fast", ...; and the profile that it is scored under: "seed-fast", "seed-full", "exact",
 * "strict". */
const char *openenv_mode_name(enum openenv_mode m);
const char *openenv_mode_profile(enum openenv_mode m);

enum openenv_want {
	OPENENV_RESET,
	OPENENV_STEP,
	OPENENV_STATE,
	OPENENV_RPC, /* JSON-RPC; see openenv_rpc() */
	OPENENV_CLOSE,
	OPENENV_REFUSED /* the answer is there already */
};

/* What is asked. Texts point into @json, which it owns; NULL: not said. */
struct openenv_ask {
	enum openenv_want want;
	cJSON *json;
	/* reset */
	const char *episode_id, *task_id, *task_brief, *split;
	long long seed, index; /* -1: not said */
	/* step; task_id too */
	const char *code;
	enum openenv_mode mode;
	const char *task_prompt;
	double timeout_s; /* NAN: not said */
	const cJSON *rpc; /* the request */
	/* OPENENV_REFUSED: the whole answer; @fatal: the socket is to be closed after it */
	int status; /* of HTTP */
	struct buf refusal;
	bool fatal;
};
void openenv_ask_release(struct openenv_ask *a); /* safe on {0} and twice */

/* A text message of /ws. What it is not is OPENENV_REFUSED. */
void openenv_message(struct openenv_ask *out, const char *text, size_t len);
/* The bodies of POST /reset and POST /step; an empty body of a reset asks for nothing special. */
void openenv_reset_body(struct openenv_ask *out, const char *text, size_t len);
void openenv_step_body(struct openenv_ask *out, const char *text, size_t len);

/* What a client is shown after a reset or a step. All borrowed. */
struct openenv_trace {
	int step;
	const char *task_id;
	enum openenv_mode mode;
	double reward;
	const cJSON *terms; /* object of terms, with "total"; NULL: null */
	bool ok;
	const cJSON *notes; /* array of texts */
	char artifacts[64]; /* "artifact:EPISODE/step-N" */
};
struct openenv_seen {
	const char *task_id, *task_brief;
	const cJSON *constraints; /* array of texts */
	const char *code;
	const cJSON *reward;   /* object of terms; NULL: {} */
	const cJSON *notes;    /* array of texts */
	const char *artifacts; /* "" after a reset */
	const cJSON *renders;  /* object name -> reference; NULL: {} */
	const struct openenv_trace *trace;
	int n_trace;
	double value; /* the reward of this answer */
	bool done;
	/* keys of ours, within "metadata" */
	const char *log;     /* of the build; NULL: none */
	double delta;        /* to the step before; NAN: null */
	const char *failure; /* class of the build, "build_ok", ...; NULL: none */
	/* state */
	const char *episode_id;
	int step_count;
};
/* {"observation", "reward", "done", "metadata"}: the body of /reset and /step. */
void openenv_result(struct buf *out, const struct openenv_seen *s);
/* The same as a message of /ws. */
void openenv_result_message(struct buf *out, const struct openenv_seen *s);
void openenv_state(struct buf *out, const struct openenv_seen *s, bool base_alone);
void openenv_state_message(struct buf *out, const struct openenv_seen *s);
/* {"type": "error", "data": {"message", "code"}}; @more: further keys, an object, or NULL. */
void openenv_error_message(struct buf *out, const char *code, const cJSON *more, const char *fmt,
                           ...) __attribute__((format(printf, 4, 5)));

/* ---- fixed answers ---- */
void openenv_schema(struct buf *out);
void openenv_metadata(struct buf *out, const char *version, const char *readme);
void openenv_openapi(struct buf *out, const char *version);
void openenv_docs(struct buf *out, const char *version); /* the same as a page, one file */

/* ---- JSON-RPC ---- */
enum openenv_rpc_want {
	RPC_REFUSED, /* the answer is in @refusal */
	RPC_TOOLS,   /* tools/list: openenv_tools() is the result */
	RPC_CALL,    /* tools/call: name, arguments, session_id */
	RPC_CREATE,  /* openenv/session/create */
	RPC_END      /* openenv/session/close: session_id */
};
enum openenv_tool { TOOL_LIST_TASKS, TOOL_GET_TASK, TOOL_SUBMIT, TOOL_LOG, TOOL_MEASURE };
struct openenv_rpc {
	enum openenv_rpc_want want;
	const cJSON *id;     /* of the request; NULL: null */
	const char *session; /* NULL: not said */
	enum openenv_tool tool;
	const char *text; /* of a tool's one argument: code, task_id; NULL: it takes none */
	struct buf refusal;
};
void openenv_rpc_release(struct openenv_rpc *r);
/* @o: a parsed request, borrowed as long as @out; NULL: it was no JSON. */
void openenv_rpc(struct openenv_rpc *out, const cJSON *o);
cJSON *openenv_tools(void); /* {"tools": [...]}; the caller's */
/* Takes @result. */
void openenv_rpc_result(struct buf *out, const cJSON *id, cJSON *result);
void openenv_rpc_error(struct buf *out, const cJSON *id, int code, const char *message);
/* A tool's answer as MCP has it: {"content": [{"type": "text", "text"}], "isError"}. */
cJSON *openenv_tool_text(const char *text, bool is_error);

#endif
