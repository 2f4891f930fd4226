/*
 * serve_inside.h - what the files of src/serve share: who is there, and how one answers.
 */
#ifndef SRC_SERVE_INSIDE_H
#define SRC_SERVE_INSIDE_H

#include "src/serve.h"
#include "src/serve_net.h"

enum { SERVE_BUCKETS = 1024, SERVE_ID_BYTES = 32, SERVE_TASKS_MAX = 4096 };

/* A message that came while the one before it was being answered. */
struct serve_waiting {
	struct serve_waiting *next;
	size_t len;
	char text[];
};

/* One who may ask: a socket, a session made by JSON-RPC, both in one, or a request of HTTP that has
 * an environment of its own until it is answered. */
struct client {
	struct client *next, **at;
	struct client *next_of_conn, *next_of_id; /* in their buckets */
	uint64_t conn;                            /* 0: none now */
	bool socket;                              /* the connection is a WebSocket */
	bool rpc_socket;                          /* of /mcp: its messages are JSON-RPC */
	bool made;    /* by openenv/session/create: stays when the socket leaves */
	bool counted; /* against the capacity */
	bool refused; /* told why; hung up on when it speaks, or in a second */
	bool ending;  /* it is to end when its socket leaves */
	char id[SERVE_ID_BYTES];
	struct env_session *session;
	double heard_s;
	/* the step under way, asked by a tool: how the answer is to be wrapped */
	bool tool, tool_socket, tool_on_ws; /* tool_on_ws: within an "mcp" message of /ws */
	uint64_t tool_conn;                 /* who waits for it: a request or a socket */
	cJSON *tool_id;
	/* what came meanwhile */
	struct serve_waiting *first, **last;
	int n_waiting;
	size_t waiting_bytes;
	bool held; /* takes no more from the net */
	/* its answer was given: what waited behind it is next */
	bool ready;
	struct client *next_ready;
};

struct completions;

struct serving {
	const struct serve_options *o;
	struct net *net;
	struct environment *environment;
	struct completions *completions; /* NULL: no model */
	struct client *clients, *ready;
	struct client *by_conn[SERVE_BUCKETS], *by_id[SERVE_BUCKETS];
	int sessions; /* that count against the capacity */
	int once;     /* requests of HTTP with an environment of their own */
	bool stopping, given_up;
	double started, looked_s;
	int64_t requests, messages, sessions_begun, refused, idle_ended;
};

/* ---- serve.c ---- */
struct client *serve_client_new(struct serving *s, uint64_t conn); /* NULL: no memory */
void serve_client_free(struct serving *s, struct client *c);
struct client *serve_client_named(const struct serving *s, const char *id);
/* Gives it a session, if there is room: false with @why. */
bool serve_admit(struct serving *s, struct client *c, char *why, size_t size);
bool serve_client_busy(const struct client *c);

/* Each releases @text. */
void serve_json(struct serving *s, uint64_t conn, int status, struct buf *text);
void serve_send(struct serving *s, struct client *c, struct buf *text);
/* {"detail": text} */
void serve_detail(struct serving *s, uint64_t conn, int status, const char *text);

/* ---- serve_log.c ---- */
/* A line an event; @more: further keys of it, taken; may be NULL. */
void serve_say(const struct serving *s, const char *event, const struct client *c, cJSON *more);
cJSON *serve_why(const char *text); /* {"why": text} */
void serve_metrics(const struct serving *s, struct buf *out);

/* ---- serve_rpc.c ---- */
cJSON *serve_task_json(const struct task *t, bool whole);
/* A request: @on the socket that it came over, or NULL with @conn. Its answer goes out now, or with
 * the step that it asks for. @o: parsed; NULL: it was no JSON. */
void serve_rpc(struct serving *s, struct client *on, uint64_t conn, const cJSON *o, bool on_ws);
/* The answer of a tool's step. */
void serve_tool_answer(struct serving *s, struct client *c, const char *body, bool failed);

/* ---- serve_http.c ---- */
void serve_request(struct serving *s, uint64_t conn, const struct net_request *r);

/* ---- serve_completions.c ---- */
/* Starts the engine and returns at once. */
struct completions *completions_open(struct serving *s, const struct model_flags *m, struct err *e);
void completions_close(struct completions *k);
void completions_models(struct completions *k, struct buf *out); /* of GET /v1/models */
/* A request of /v1/completions; @chat: of /v1/chat/completions. */
void completions_ask(struct completions *k, uint64_t conn, bool chat, const char *body, size_t len);
void completions_gone(struct completions *k, uint64_t conn); /* who asked has left */
int completions_under_way(const struct completions *k);
int completions_poll_fds(struct completions *k, struct pollfd *out, int cap);
int completions_timeout_ms(struct completions *k); /* -1: none */
int completions_work(struct completions *k, struct err *e);
void completions_metrics(const struct completions *k, struct buf *out);

#endif
