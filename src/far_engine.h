/*
 * far_engine.h - answers from the models of workers on other machines (cadforge worker --model):
 * what stands behind gpu.h's door when --queue names a Redis server and workers there have the
 * model that is asked for.
 *
 * All answers come from engines of one kind (src/drawing.h), the one that is chosen when it is
 * opened: so an answer is the same whichever worker draws it, and the same as from such an engine
 * here. Adapters travel with what is asked; a worker's own need not, however large they are. Tokens
 * are told when their answer is over, in the order in which they were drawn. A worker that dies, is
 * cut off or frozen loses nothing: another takes the job when its lease is over (src/queue.h).
 */
#ifndef SRC_FAR_ENGINE_H
#define SRC_FAR_ENGINE_H

#include "gpu/gpu.h"
#include "src/app.h"
#include "src/model_flags.h"

/* Looks at who is there, ten seconds at most. NULL with @e: ERR_LACKS when no live worker has that
 * model, with this dtype and context, in words that say which there are; ERR_INPUT: the model is
 * none; what queue_list() and queue_open() say. ops as of gpu_open(). */
struct gpu *far_engine_open(const char *url, bool quiet, const struct gpu_options *o,
                            const struct gpu_ops *ops, struct err *e);

/* Who answers, by the flags: with --queue the workers, when there are some with this model or
 * --backend queue says so; else gpu_open()'s engine. @ctx: struct engine_choice. For
 * rollouts_options.engine and its like. */
struct engine_choice {
	const struct app *app;
	const struct model_flags *model;
};
struct gpu *engine_choose(void *ctx, const struct gpu_options *o, const struct gpu_ops *ops,
                          struct err *e);

#endif
