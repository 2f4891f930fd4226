/*
 * worker.h - takes build-and-score jobs from a queue (src/queue.h), does them as src/scoring.h
 * does, and answers: cadforge worker. With a model it draws answers as well (src/drawer.h).
 *
 * A worker needs no task pack and no profile: what a job names comes beside it, and is kept in a
 * folder of the worker's own until it ends. Programs are jailed as everywhere; the job itself is
 * read as a stranger's, and its limits are the job's, so that its score is the same wherever it is
 * made.
 */
#ifndef SRC_WORKER_H
#define SRC_WORKER_H

#include "src/app.h"
#include "src/model_flags.h"
#include "src/queue.h"

struct worker_job {
	const char *hash;
	enum queue_fate fate;
	bool drawn; /* answers of a model, and no build */
	bool built, taken_over;
	double total;          /* NAN: none */
	double wait_s, work_s; /* in the queue, and from then to the answer */
	const struct err *why; /* of one that is not QUEUE_ANSWERED */
};

struct worker_options {
	const struct app
		*app; /* after app_find() and app_catch_interrupt(); jobs: so many at once */
	const struct redis_address *address;
	const struct model_flags *model; /* after model_flags_finish(); NULL: it builds alone */
	int slots;                       /* requests to the model at once; 0: src/drawer.h's */
	void *ctx;
	/* It has joined under this name. May be NULL, as the others */
	void (*joined)(void *ctx, const char *name, const char *versions);
	void (*draws)(void *ctx, const char *name, const char *engine); /* and with its model */
	void (*done)(void *ctx, const struct worker_job *j);
	/* Redis is away, "": it is back */
	void (*trouble)(void *ctx, const char *what);
};

/* Until it is interrupted: then what is under way is finished, and 0. -1: it cannot be a worker
 * here (no CadQuery, no Redis that lets it in, versions that are not the farm's). */
int worker_run(const struct worker_options *o, struct err *e);

#endif
