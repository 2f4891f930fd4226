/*
 * safetensors.h - tensors by name in memory-mapped .safetensors files, and the writer of such
 * files.
 *
 * The format: 8 bytes little-endian length N, N bytes of JSON {name: {dtype, shape, data_offsets}},
 * then the data, row-major, little-endian (qwen35.md, section 11). Everything is checked before a
 * pointer is given out: the header's length, dtypes and shapes, ranges that cover the data without
 * gap or overlap, overflow of the product of the dimensions. The files are strangers': what is
 * wrong is an ERR_INPUT that names file, tensor, what was wanted and what is there. Values are not
 * looked at. A file must not be cut short while it is mapped (replace it by a rename).
 */
#ifndef GPU_SAFETENSORS_H
#define GPU_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I32, DTYPE_I64, DTYPE_OTHER };
const char *dtype_name(enum dtype t); /* "F32", ...; "other" */
size_t dtype_bytes(enum dtype t);     /* of one element; 0 for DTYPE_OTHER */

enum { TENSOR_DIMS_MAX = 8 }; /* vision parts, which are skipped, have 5 */

struct tensor {
	const char *name; /* NUL-terminated UTF-8 */
	enum dtype dtype;
	const char *word; /* the dtype as the file has it ("F8_E4M3"); NULL when not from a file */
	int n_dims;
	int64_t dims[TENSOR_DIMS_MAX]; /* each >= 0 */
	uint64_t n;                    /* elements */
	uint64_t bytes;
	const void *data; /* in the map; may be unaligned: read through tensor_read() or test. NULL:
	                   * a tensor of model_random() whose values the backend makes itself */
	int file;         /* index into the set's files */
};

/* Tensors of one file, or of all the files of an index. */
struct tensors {
	struct tensor *item; /* sorted by name */
	int n;
	struct mapped_file {
		char *path;
		void *base;
		uint64_t bytes;
	} * file;
	int n_files;
	char *names; /* what the items' names point into */
};

/* One file. */
int tensors_open_file(struct tensors *t, const char *path, struct err *e);
/* A folder: by @stem.safetensors.index.json when it is there ("model", "adapter_model"), which is
 * then obeyed: every tensor that it names must be in the file that it names (a plain name in the
 * same folder), and what it does not name is left out; else @stem.safetensors. */
int tensors_open_folder(struct tensors *t, const char *dir, const char *stem, struct err *e);
void tensors_close(struct tensors *t); /* safe on {0} and twice */

const struct tensor *tensors_find(const struct tensors *t, const char *name); /* NULL: none */

/* @n values from @from on, widened to F32, into @out. Exact for F32, F16, BF16. The caller has
 * checked the range and that the dtype is one of those. */
void tensor_read(const struct tensor *t, uint64_t from, uint64_t n, float *out);

/* "[8192, 1, 4]" */
void tensor_shape(const struct tensor *t, char *out, size_t len);

float bf16_widen(uint16_t v);
uint16_t bf16_round(float v); /* to nearest, ties to even; NaN stays NaN */
float f16_widen(uint16_t v);
uint16_t f16_round(float v); /* likewise; what is too large becomes infinite */

/* Writes @n tensors (data in memory, dtype as given) to @path through a temporary file and a
 * rename. @metadata: "key", "value", ... NULL at the end; or NULL. A dtype of DTYPE_OTHER goes by
 * its @word and @bytes. */
int tensors_write(const char *path, const struct tensor *item, int n, const char *const *metadata,
                  struct err *e);

/* The same for what is not in memory all at once: tensors whose data is NULL are asked for, some
 * megabytes at a time. @rows writes rows @from to @from + @n - 1 of @item[@i] to @out, in its
 * dtype; a row is one step of the first dimension. 0, or -1 with @e, which ends the writing. */
typedef int tensor_rows_fn(void *ctx, int i, int64_t from, int64_t n, void *out, struct err *e);
int tensors_write_made(const char *path, const struct tensor *item, int n,
                       const char *const *metadata, tensor_rows_fn *rows, void *ctx, struct err *e);

/* @n values in @dtype (F32, F16, BF16) from @in to @out. False: one of them is finite, but not in
 * that dtype. */
bool tensor_narrow(enum dtype dtype, const float *in, uint64_t n, void *out);

#endif
