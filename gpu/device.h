/*
 * device.h - what the CUDA backend's host side needs of a device: memory, copies, events, graphs,
 * and the one product it does not write itself.
 *
 * Two implementations: device_cuda.cu (CUDA runtime and cuBLASLt) and device_emu.c (the host's own
 * memory, everything at once, products in plain loops), so that gpu/cuda.c runs unchanged under
 * `make check` without a GPU, over the kernels' emulation.
 *
 * One stream: what is queued happens in the order queued. Calls that queue return nothing; the
 * first that failed is kept and told by device_check(), device_wait() or device_finish(), after
 * which the device is lost for this process.
 */
#ifndef GPU_DEVICE_H
#define GPU_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dev_stream_ *dev_stream; /* a cudaStream_t; NULL in the emulation */

struct device;
struct device_graph;

struct device_about {
	char name[160]; /* for people */
	uint64_t total_bytes, free_bytes;
	int processors; /* SMs */
	bool graphs;    /* device_capture_*() may be used */
};

enum { DEVICE_EVENTS = 16 };

/* The first device. NULL: ERR_LACKS with the driver's words when there is none that can run
 * sm_90. */
struct device *device_open(struct err *e);
void device_close(struct device *d);
void device_describe(struct device *d, struct device_about *out);
dev_stream device_stream(struct device *d);

/* Device memory, not cleared, aligned to 256 bytes; NULL with ERR_MEM. */
void *device_take(struct device *d, uint64_t bytes, struct err *e);
void device_give(struct device *d, void *p);
/* Host memory that copies can run from and to beside the program. */
void *device_take_pinned(struct device *d, uint64_t bytes, struct err *e);
void device_give_pinned(struct device *d, void *p);

/* Queued; the host's side must be pinned and stay untouched until an event after it has come. */
void device_upload(struct device *d, void *dst, const void *pinned, uint64_t bytes);
void device_download(struct device *d, void *pinned, const void *src, uint64_t bytes);
void device_copy(struct device *d, void *dst, const void *src, uint64_t bytes);
void device_zero(struct device *d, void *dst, uint64_t bytes);

/* Marks this place in the queue as event 0..DEVICE_EVENTS-1; waiting for it, or for all. 0, or -1
 * with ERR_LOST. */
void device_mark(struct device *d, int event);
int device_wait(struct device *d, int event, struct err *e);
int device_finish(struct device *d, struct err *e);
int device_check(struct device *d, struct err *e);
/* Milliseconds between two events that have come. */
float device_elapsed_ms(struct device *d, int from, int to);

/* Everything queued between begin and end becomes a graph and is not done. NULL: it could not be
 * made; the stream is usable and nothing was done. */
void device_capture_begin(struct device *d);
struct device_graph *device_capture_end(struct device *d);
void device_graph_launch(struct device *d, struct device_graph *g);
void device_graph_drop(struct device *d, struct device_graph *g);

/* y[t][i] = scale * sum_k (x[t][k] w[i][k] + x_low[t][k] w[i][k] + x[t][k] w_low[i][k])
 * (+ y[t][i] with @add), sums in f32. w, x and their low parts: bf16, rows of ldw and ldx values;
 * y: f32, rows of ldy. All pointers 16-byte aligned, ldw and ldx multiples of 8, ldy of 4. A low
 * part that is NULL is left out; else it costs a product of its own. One algorithm a shape, so the
 * same rows give the same bits in the same place of the same shape. */
struct gemm {
	const uint16_t *w, *w_low, *x, *x_low;
	float *y;
	int rows, n, k; /* of x and y; of w and columns of y; of w's and x's columns */
	int ldw, ldx, ldy;
	float scale;
	bool add;
};
void device_gemm(struct device *d, const struct gemm *g);

/* c[i][j] = scale * sum_k a(i, k) b(k, j) (+ c[i][j] with @add), sums in f32, i < m, j < n; all
 * row-major, bf16 in, f32 or bf16 out. a is stored [m][k], with @a_turned [k][m]; b [k][n], with
 * @b_turned [n][k]. @batch > 1: as many products, their operands @step_a, @step_b, @step_c values
 * apart (a step of 0: the same one for all; never of c). Aligned as the pointers and rows happen to
 * be; fast from 16 bytes on. Values beyond the last column of a row are not touched. */
struct product {
	const uint16_t *a, *b;
	void *c; /* uint16_t with @c_bf16, else float */
	int m, n, k;
	int lda, ldb, ldc; /* of the stored rows */
	bool a_turned, b_turned, c_bf16, add;
	float scale;
	int batch; /* 0 and 1: one */
	int64_t step_a, step_b, step_c;
};
void device_product(struct device *d, const struct product *p);

#ifdef __cplusplus
}
#endif

#endif
