/*
 * serve_net.h - HTTP/1.1 and WebSockets on one port (libwebsockets), whole messages in and out.
 *
 * Nothing here knows what the messages mean. One thread, one loop: net_wait() sleeps until
 * something came over the net, or one of the caller's own descriptors is ready, or the time is up.
 *
 * Who may call: with a token set, a request must have "Authorization: Bearer TOKEN", or a path that
 * begins with /t/TOKEN, which is taken off; else it is answered with 401. Comparison takes equal
 * time for every wrong token of one length.
 *
 * A body must come with its length ("Transfer-Encoding: chunked" is answered with 411). A
 * connection serves one request and ends with its answer ("Connection: close"): libwebsockets 4.1
 * takes the head of a request that came right behind another one for its body, or never comes back
 * from it.
 *
 * Frames that a client sends in pieces are joined; pings are answered as long as net_wait() is
 * called (of several that come at once, the first). A peer of a socket that is silent for
 * NET_SILENT_S is pinged, and dropped when it does not answer for as long again, or takes nothing
 * of what it is sent.
 */
#ifndef SRC_SERVE_NET_H
#define SRC_SERVE_NET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

enum {
	NET_SILENT_S = 20,
	NET_UNSENT_BYTES = 8 << 20, /* past so many for a socket, no more is read from it */
};

struct net_options {
	const char *host;  /* an address or a name; NULL: 127.0.0.1 */
	int port;          /* 0: any free one; see net_port() */
	const char *token; /* NULL: everybody may */
	/* Paths that need none, for probes; ends with NULL; NULL: none */
	const char *const *open_paths;
	size_t message_max;  /* bytes of a body or message; more: 413, or close 1009 */
	int connections_max; /* 0: as many as the process may have descriptors, less 64 */
	double silent_s;     /* 0: NET_SILENT_S */
};

struct net_request {
	const char *method;       /* "GET", "HEAD", "POST", ... */
	const char *path, *query; /* without the token; query "" when there is none */
	const char *body;
	size_t len;
};

/* A connection's number is never used again. */
struct net_ops {
	void *ctx;
	/* A whole request: net_answer() it, at once or later. */
	void (*request)(void *ctx, uint64_t conn, const struct net_request *r);
	/* A socket asks to be opened: false refuses it with 404. */
	bool (*open)(void *ctx, uint64_t conn, const char *path, const char *query);
	void (*opened)(void *ctx, uint64_t conn);
	/* A whole message. @binary ones have any bytes. */
	void (*message)(void *ctx, uint64_t conn, const char *text, size_t len, bool binary);
	/* It is gone, whoever left; a request whose asker left, too. */
	void (*gone)(void *ctx, uint64_t conn);
};

struct net;
/* ERR_LACKS: the port is taken or needs rights (says which); ERR_USAGE: no such address. */
struct net *net_open(const struct net_options *o, const struct net_ops *ops, struct err *e);
void net_close(struct net *n); /* at once; NULL is fine */
int net_port(const struct net *n);
int net_connections(const struct net *n);
bool net_busy(const struct net *n); /* sockets are open, or answers not written yet */

/* Each is forgotten when the connection is gone. */
void net_answer(struct net *n, uint64_t conn, int status, const char *type, const void *body,
                size_t len);
/* An answer that comes in pieces, until net_end(); gone() is told as of one that is waited for. */
void net_begin(struct net *n, uint64_t conn, const char *type);
void net_more(struct net *n, uint64_t conn, const void *bytes, size_t len);
void net_end(struct net *n, uint64_t conn);
void net_send(struct net *n, uint64_t conn, const char *text, size_t len);
void net_hang_up(struct net *n, uint64_t conn, int code); /* after what was sent: 1000, 1009, ... */
/* Takes no more of a socket's messages, nor of its pings, until said otherwise. */
void net_hold(struct net *n, uint64_t conn, bool hold);
void net_refuse_new(struct net *n); /* a stop has begun: no new connections */

/* Sleeps at most @timeout_ms (-1: any time), or until one of @fds is ready, and does what came.
 * @fds' revents are not set: the caller asks its own. */
void net_wait(struct net *n, const struct pollfd *fds, int n_fds, int timeout_ms);

#endif
