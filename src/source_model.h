/*
 * source_model.h - completions from a model (src/source.h): our own engine or a server, through
 * gpu.h's door.
 *
 * A group is asked for at once and told one by one: while the first is built and scored the others
 * are still being written. A repair's prompt shares its head with the first one's, and its program
 * drafts from the one that is repaired. What was thought stands in the completion between <think>
 * marks, as the model would write it.
 */
#ifndef SRC_SOURCE_MODEL_H
#define SRC_SOURCE_MODEL_H

#include "src/model_flags.h"
#include "src/source.h"

/* Starts the engine. Borrows @a and @m until it is closed; of @m all but the model and how its
 * engine is started (backend, dtype, threads, context, timeout) may change between prompts. 0, or
 * -1 with @e. */
/* The same with another engine than gpu_open()'s (src/rollouts.h); NULL: that one. */
int source_model_of(struct source *out, const struct app *a, const struct model_flags *m,
                    struct gpu *(*engine)(void *ctx, const struct gpu_options *o,
                                          const struct gpu_ops *ops, struct err *e),
                    void *engine_ctx, struct err *e);
int source_model(struct source *out, const struct app *a, const struct model_flags *m,
                 struct err *e);

#endif
