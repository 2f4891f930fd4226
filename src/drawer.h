/*
 * drawer.h - the half of a worker that has a model: takes requests for answers from the queue and
 * lets its engine draw them (src/drawing.h), beside the builds of src/worker.h.
 *
 * It is a worker of its own in the table, with a kind: requests for another model, dtype or backend
 * never come to it. Adapters are taken from the files that came with the request, or from the
 * worker's own folders, by their SHA-256 alone; a request whose adapter is neither is answered with
 * that. A lease is renewed while the engine writes, and what nobody waits for any more is stopped.
 */
#ifndef SRC_DRAWER_H
#define SRC_DRAWER_H

#include "src/app.h"
#include "src/model_flags.h"
#include "src/worker.h"

struct drawer_options {
	const struct app *app;
	const struct model_flags *model; /* after model_flags_finish() */
	const struct redis_address *address;
	const char *versions; /* of the worker */
	const char *dir;      /* a folder of the worker's own, for adapters */
	int slots;            /* requests taken at once; 0: 4 on a CPU, 32 on a GPU */
	void *ctx;
	void (*joined)(void *ctx, const char *name, const char *engine); /* may be NULL, */
	void (*done)(void *ctx, const struct worker_job *j);             /* as this */
};

struct drawer;
/* Loads the model, which may take minutes, and joins. ERR_CANCELLED: interrupted meanwhile. */
struct drawer *drawer_open(const struct drawer_options *o, struct err *e);
void drawer_close(struct drawer *d); /* NULL is fine, here and below */

int drawer_poll_fds(struct drawer *d, struct pollfd *out, int cap);
int drawer_timeout_ms(struct drawer *d);          /* -1: no matter */
int drawer_step(struct drawer *d, struct err *e); /* -1: it cannot be a worker here */
void drawer_stop(struct drawer *d);               /* takes no more */
int drawer_under_way(const struct drawer *d);

#endif
