/*
 * serve.h - the loop of a helper program: what the asker on descriptor 3 says, and what comes of
 * its nursery.
 */
#ifndef ENGINE_SERVE_H
#define ENGINE_SERVE_H

#include "engine/nursery.h"
#include "src/base/json.h"

#define ASKER_FD 3

/* Points into the program's own state, which may change under the loop (a builder's heir has a
 * nursery of its own). */
struct serve {
	struct frame_reader *in;
	struct buf *out;
	struct nursery **nursery; /* *nursery may be NULL */
	void *ctx;
	int (*take_frames)(void *ctx,
	                   struct err *e); /* all whole frames in @in; -1 with @e ends the loop */
};

/* 0 when the asker has closed its end; -1 with @e. */
int serve_loop(const struct serve *s, struct err *e);

/* First of all in @program: what signals mean to it, and its end of the socket. 0, or the exit
 * status when it was not started by cadforge, which is told on stderr. */
int serve_begin(const char *program);

/* READY of a program around one kernel, into @out: of that version and ready after @seconds, or,
 * with
 * @failed, why not; then all of it has been sent when this returns. */
void serve_say_ready(struct buf *out, const char *program, const char *kernel, double seconds,
                     const struct sandbox_layers *l, const struct err *failed);

/* READY's "jail". The caller's to delete. */
cJSON *serve_layers_json(const struct sandbox_layers *l);

#endif
