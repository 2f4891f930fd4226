/*
 * host_post.h - the host's sockets: who is at the other end, what is said to the workbench, and
 * what was said of the round in flight, for a workbench that comes later.
 *
 * Nothing here waits. Whoever is not of this user is hung up on; whoever speaks nonsense, takes
 * nothing for so long that POST_OUT_MAX bytes wait, or calls and does not attach, too.
 */
#ifndef SRC_HOST_POST_H
#define SRC_HOST_POST_H

#include <cjson/cJSON.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/frame.h"

enum { POST_PEERS = 8, POST_OUT_MAX = 256 << 20, POST_ROUND_MAX = 64 << 20 };

struct post_peer {
	int fd; /* -1: free */
	struct frame_reader in;
	struct buf out;
	bool workbench, closing; /* closing: when all was sent */
	double since_s;          /* it called, or is closing */
};

struct post {
	int dir, listen; /* -1 */
	char prefix[24], name[64];
	int place; /* of the folders where it may be */
	struct post_peer peer[POST_PEERS];
	struct buf round; /* frames that a workbench gets after "hello" */
	struct buf shape; /* the last one of those that have bytes */
	double looked_s;  /* when it was last seen that the socket still has its name */
	void *ctx;
	/* What @p says, an object; may be borrowed for the call. */
	void (*command)(void *ctx, struct post_peer *p, const cJSON *o);
};

/* Listens for workbenches of this database. @fd: a line to one that is attached already, or -1.
 * What of the folder cannot be is told in @e, and then only that one is heard: still 0. -1:
 * neither.
 */
int post_open(struct post *p, const char *db, int fd, struct err *e);
void post_close(struct post *p); /* says "bye" */

bool post_attached(const struct post *p);
/* @q is the workbench from now on; one that was is told "taken". */
void post_attach(struct post *p, struct post_peer *q);
/* Hangs up on the workbench after telling it @kind. False: there is none. */
bool post_part(struct post *p, const char *kind);

int post_poll_fds(struct post *p, struct pollfd *out, int cap);
/* Takes what is there, calls command(), sends what goes. */
void post_step(struct post *p);

struct post_news {
	int64_t time_us; /* 0: now */
	const char *kind;
	int turn, member;
	const void *bytes;
	size_t len;
	bool keep; /* of the round: for a workbench that comes later */
};
/* To the workbench. @data: JSON text. */
void post_say(struct post *p, const struct post_news *n, const char *data, size_t len);
void post_say_json(struct post *p, const struct post_news *n, cJSON *data); /* takes @data */
/* To @q alone. Takes @data. */
void post_answer(struct post *p, struct post_peer *q, const char *kind, cJSON *data);
/* A round begins: what was kept is forgotten. */
void post_forget(struct post *p);
/* All that is kept, to @q. */
void post_retell(struct post *p, struct post_peer *q);

/* @text as a JSON string; what is no UTF-8, and NUL, is U+FFFD. */
void post_quote(struct buf *out, const char *text, size_t len);

#endif
