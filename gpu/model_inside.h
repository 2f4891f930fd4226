/*
 * model_inside.h - the tensors of a model, one by one: shared by model.c, which looks for them,
 * random_model.c, which makes them, and model_write.c, which writes them.
 */
#ifndef GPU_MODEL_INSIDE_H
#define GPU_MODEL_INSIDE_H

#include "gpu/model.h"

enum role {
	ROLE_MATRIX,
	ROLE_NORM,       /* zero-centred: N(x; w) multiplies by 1 + w */
	ROLE_PLAIN_NORM, /* multiplies by w */
	ROLE_CONV,
	ROLE_A_LOG,
	ROLE_DT_BIAS
};

/* A_log and the gated norm are F32 in real files whatever the rest is. */
static inline enum dtype role_dtype(enum role role, enum dtype dtype)
{
	return role == ROLE_A_LOG || role == ROLE_PLAIN_NORM ? DTYPE_F32 : dtype;
}

struct wanted {
	const char *name; /* with the prefix */
	enum role role;
	int n_dims;
	int64_t dims[3];
	const struct tensor **slot; /* of struct model: where it goes */
};

/* Calls @each for every tensor that @m's config asks for, whose layers are allocated. @prefix as
 * "model.". Stops at the first that is not 0, and returns that. */
int model_each(struct model *m, const char *prefix, const char *head,
               int (*each)(void *ctx, const struct wanted *w, struct err *e), void *ctx,
               struct err *e);

#endif
