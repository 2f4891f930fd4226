/*
 * found.h - which models and adapters there are, where, and which fits which. Looks at
 * configurations and headers alone, never at weights.
 *
 * Looked through, in this order, the folder itself and two levels below:
 *     the folders given
 *     the folder of the model in use (else CADFORGE_MODEL's), the one it lies in, and adapters/
 *     there
 *     models/ and adapters/ of the user's own data ($XDG_DATA_HOME/cadforge)
 *     models/ and adapters/ beside the program (a folder above it), else of the installed data
 *     the demonstration model's folder
 * A folder with config.json is a model, one with adapter_config.json an adapter. What cannot be
 * used is listed with the reason.
 */
#ifndef SRC_FOUND_H
#define SRC_FOUND_H

#include "gpu/lora.h"
#include "src/app.h"

enum { FOUND_MAX = 512 };

struct found_model {
	char *dir;
	const char *where; /* "given", "in use", "CADFORGE_MODEL", "user", "installed", "demo" */
	bool usable;
	char why[240];              /* why it is not */
	struct model_config config; /* when it is */
	uint64_t weight_bytes;      /* of its .safetensors files */
};

struct found_adapter {
	char *dir;
	const char *where;
	char *base_model; /* what its configuration says of its base; NULL: nothing */
	int rank;         /* 0: not known, as it fits none of the models */
	uint64_t parameters;
	int fits[FOUND_MAX]; /* numbers of models */
	int n_fits;
	char why[480]; /* why it does not fit, of the model tried last; "" when it fits one */
};

struct found {
	struct found_model *model;
	struct found_adapter *adapter;
	int n_models, n_adapters;
	bool more;         /* there were more than FOUND_MAX */
	struct buf looked; /* folders that were looked through, a line each */
};

/* After app_find(). @dirs: the folders given. @model: the folder of the model in use; NULL:
 * CADFORGE_MODEL's. 0, or -1 (ERR_MEM). */
int found_look(struct found *out, const struct app *a, const char *const *dirs, int n_dirs,
               const char *model, struct err *e);
void found_release(struct found *f); /* safe on {0} and twice */

#endif
