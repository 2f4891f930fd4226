/*
 * serve.h - the environment over the net: OpenEnv (HTTP, WebSocket, MCP), artifacts, figures.
 *
 * One port. A WebSocket at /ws is a session; so is what openenv/session/create makes. HTTP's
 * /reset, /step and /state each have an environment of their own that is thrown away, as the
 * protocol wants it. At capacity a socket is let in, told CAPACITY_REACHED, and hung up on once its
 * client has spoken, or after a second.
 *
 * A stop (SIGINT, SIGTERM) refuses new connections, finishes the steps under way, answers them,
 * closes every socket with 1001 and ends; at most SERVE_STOP_S.
 */
#ifndef SRC_SERVE_H
#define SRC_SERVE_H

#include "src/environment.h"

enum { SERVE_STOP_S = 60 };

struct serve_options {
	const struct app *app;
	struct store *store;
	const struct task_set *tasks;
	const struct prompt_set *prompts;
	const char *host;   /* an address of this machine */
	int port;           /* 0: any free one */
	const char *token;  /* NULL: only where host is a loopback address */
	int capacity;       /* sessions, both kinds together */
	double idle_s;      /* a session without a message for so long is ended; 0: never */
	bool metrics;       /* GET /metrics */
	bool log_json;      /* a line an event on stderr as an object; else as a sentence */
	const char *readme; /* for /metadata; NULL: none */
};

/* Until it is stopped. 0; -1 with @e. */
int serve_run(const struct serve_options *o, struct err *e);

#endif
