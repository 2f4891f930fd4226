/*
 * watch.h - an answer whose program is executed while it is being written.
 *
 * Takes the text as it comes, finds the program in it as extract.h does, and has the engine execute
 * its statements as they close (engine_watch_begin()). Tells which name was bound to a shape last,
 * the shape's triangles, what the text so far has of named numbers and functions, and the first
 * error. When the text turns out to be another program (a fence opens after talk that looked like
 * one, a second block begins) it begins again with that.
 *
 * What is told is early, not final: the build that counts is a clean one of the whole text. Nothing
 * here blocks, and nothing that goes wrong here is an error of the turn: then it tells nothing
 * more.
 */
#ifndef SRC_WATCH_H
#define SRC_WATCH_H

#include "engine/extract.h"
#include "src/pipeline.h"

struct watch_news {
	int statements, line; /* executed; where the last of them ends; lines of the program */
	const char *name;     /* bound last to a shape; NULL: none yet */
	int name_line;
	const struct build *why; /* the first error, or the limit that was hit; NULL: none so far */
	/* The build of the first @cut bytes of the answer fails in the same way, whatever would
	 * have followed in this program: nothing is to be gained by more of it. Not so for limits
	 * and crashes, which may fall otherwise next time, and for texts that may yet turn out to
	 * be talk. */
	bool certain;
	size_t cut;
};

struct watch_ops {
	void *ctx;
	void (*news)(void *ctx, const struct watch_news *n);
	/* binary STL of the shape bound to @name by the program up to @line; a few a second at most
	 */
	void (*shape)(void *ctx, const void *stl, size_t len, const char *name, int line);
	/* struct watch_sight's, of what was executed so far; what stands there may only grow, but
	 * shares of it may fall. May be NULL */
	void (*facts)(void *ctx, const cJSON *facts);
};

struct watch_options {
	enum dialect dialect;
	bool no_filter;
	struct limits limits; /* a build's */
	bool shapes;          /* wanted */
};

struct watch;

/* On the pipeline's engine, whose answers to it are heard from now on; one watch a pipeline. */
struct watch *watch_open(struct pipeline *p, const struct watch_options *o,
                         const struct watch_ops *ops, struct err *e);
void watch_close(struct watch *w); /* NULL is fine */

/* A new answer; what was watched before is stopped. */
void watch_begin(struct watch *w, enum extract_rule rule);
/* More of it: kept, and looked at in watch_step(). */
void watch_text(struct watch *w, const char *text, size_t len);
/* Hands on what came, and takes what the engine has to say, without waiting: some tens of times a second
 * while text comes. Not from within the pipeline's own waiting. */
void watch_step(struct watch *w);
/* No more is told of this answer. */
void watch_stop(struct watch *w);

#endif
