/*
 * python.h - the embedded CPython: made warm once, then, in a jailed child, one job.
 *
 * The only door to Python. What happens there is in engine/builder.py, which is compiled into the
 * program. The interpreter is isolated: no environment variables, no user site, no .pth files,
 * fixed hash seed, so that the same program gives the same shape.
 */
#ifndef ENGINE_PYTHON_H
#define ENGINE_PYTHON_H

#include <stdbool.h>

#include "src/base/buf.h"
#include "src/base/err.h"

struct python_options {
	const char *env_dir;  /* virtual environment with CadQuery; NULL: the system's python3 */
	const char *gl_stubs; /* folder with libGL.so.1 and libX11.so.6 of our own, or NULL */
	const char *font;     /* the one font that text() gets */
};

/* Starts the interpreter, imports CadQuery, warms up. @versions gets one JSON object. 0, or -1 with
 * @e: what is missing and what installs it. */
int python_start(const struct python_options *o, struct buf *versions, struct err *e);

/* Folders and files that a child may still have to read; NULL-terminated, valid for ever. Callable
 * before python_start(). */
const char *const *python_read_only(const struct python_options *o);

/* In a child that waits for its job, before its last jail: streams, handlers, everything that can
 * be done before the job is known. */
void python_settle(void);

/* In such a child, while no job has come: step 0, 1, ... of a rehearsal, a few milliseconds each,
 * so that the pages which a program writes to are its own before one comes. False: that was the
 * last. */
bool python_rehearse(int step);

enum python_job { PYTHON_BUILD, PYTHON_FACTS, PYTHON_CONVERT, PYTHON_WATCH };

/* Where a watched program comes from, and where it is told of (nursery_next() and the like). Set
 * before python_run(PYTHON_WATCH); borrowed. */
struct nursery_io;
void python_stream(const struct nursery_io *io);

/* What the child tells when it is ended from outside goes to @place_fd as one line of words
 * "name=number": line and module (line of the innermost frame of the program, and of its top
 * level), done and all (top-level statements), space and room (bytes of address space used beyond
 * the warm image, and allowed). From here on SIGUSR2 and every deadly signal write it. */
void python_watch(int place_fd, unsigned long long memory_bytes);

/* Runs the job in this process. @json gets the report, @blob what belongs to it (BREP, STEP). When
 * Python itself fails the report says so; the answer is always one. 0, or -1 when out of memory. */
int python_run(enum python_job kind, const char *request, size_t request_len, const void *blob,
               size_t blob_len, struct buf *json, struct buf *out);

#endif
