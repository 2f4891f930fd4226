/*
 * serve.h - the environment over the net: OpenEnv (HTTP, WebSocket, MCP), artifacts, completions,
 * figures.
 *
 * One port. A WebSocket at /ws is a session and its episode; so is what openenv/session/create
 * makes. HTTP's /reset, /step and /state each have an environment of their own that is thrown away,
 * as the protocol wants it; as many at once as there may be sessions. At capacity a socket is let
 * in, told CAPACITY_REACHED, and hung up on once its client has spoken, or after a second.
 *
 * A client's messages are answered in their order. Those that come while a part is built are read
 * and wait; past SERVE_WAITING_MAX of them, or SERVE_WAITING_BYTES, no more is read from that
 * client. Nor is it from one that does not take its answers (src/serve_net.h).
 *
 * A stop (SIGINT, SIGTERM) refuses new connections and new steps, finishes the steps under way,
 * answers them, closes every socket with 1001 and ends; it takes at most SERVE_STOP_S.
 */
#ifndef SRC_SERVE_H
#define SRC_SERVE_H

#include "src/environment.h"
#include "src/model_flags.h"

enum {
	SERVE_STOP_S = 60,
	SERVE_WAITING_MAX = 1024,
	SERVE_WAITING_BYTES = 32 << 20,
};

struct serve_options {
	const struct app *app;
	struct store *store;
	const struct task_set *tasks;
	const struct prompt_set *prompts;
	const char *host;   /* an address of this machine */
	int port;           /* 0: any free one */
	const char *token;  /* NULL: everybody may ask: only where host is a loopback address */
	int capacity;       /* sessions, both kinds together */
	double idle_s;      /* a session without a message for so long is ended; 0: never */
	bool light;         /* no pictures, meshes and shapes are made and kept */
	bool metrics;       /* GET /metrics */
	bool log_json;      /* events as objects on stderr, steps too; else as sentences */
	const char *readme; /* for /metadata; NULL: none */
	const struct model_flags *model; /* for /v1/completions; NULL: none */
};

/* Until it is stopped. 0; -1 with @e. */
int serve_run(const struct serve_options *o, struct err *e);

#endif
