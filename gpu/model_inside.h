/*
 * model_inside.h - the tensors of a model, one by one: shared by model.c, which looks for them, and
 * random_model.c, which makes them.
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
