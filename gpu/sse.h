/*
 * sse.h - server-sent events as a stream of bytes, cut anywhere (WHATWG HTML, "Server-sent
 * events").
 *
 * A line ends in CR, LF or both; a blank line ends an event; "data" lines of one event are joined
 * by newlines; comments, ids and unknown fields are left out. `struct sse s = {.max = N}`.
 */
#ifndef GPU_SSE_H
#define GPU_SSE_H

#include "src/base/buf.h"

struct sse {
	size_t max; /* bytes of an event's data and of a line, both */
	struct buf line, data;
	char event[32]; /* type; "" for the ordinary one; cut */
	bool has_data, after_cr;
	int mark; /* bytes of a byte order mark at the beginning that were seen; -1: past it */
};
void sse_release(struct sse *s);

/* @event: "" or what its "event" line said; @data: NUL-terminated. Not 0: stop. */
typedef int (*sse_fn)(void *ctx, const char *event, const char *data, size_t len);

/* 0, or -1: ERR_PROTOCOL (longer than max), ERR_MEM, or what @fn said (then @e is its). */
int sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *ctx, struct err *e);
/* The stream is over. An event that no blank line has ended is given out all the same: servers
 * forget that line. */
int sse_end(struct sse *s, sse_fn fn, void *ctx, struct err *e);

#endif
