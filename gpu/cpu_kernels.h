/*
 * cpu_kernels.h - the inner loops of the CPU backend, in one version for each instruction set.
 *
 * All arithmetic is F32. The promise of backend.h starts here: every value is a fixed sequence of
 * operations on its own row, whatever stands beside it and however the rows are grouped. A matrix
 * product's element is
 *
 *   y[c][r] = sum over blocks of MAT_BLOCK along k of  S( sum_j w[r][k + j*LANES + lane] x[c][...]
 * )
 *
 * with one vector accumulator for each (r, c), filled in rising k, S the sum of its lanes in a
 * fixed tree, and the blocks added in order. One column or 512, straight from the weights or
 * through an unpacked panel: the same operations, so the same bits. Versions differ in LANES, and
 * in bits.
 *
 * Rows of activations: 4-byte aligned, with room up to a multiple of ROW_PAD floats, zero there.
 */
#ifndef GPU_CPU_KERNELS_H
#define GPU_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ROW_PAD = 16,     /* floats; no version has more lanes */
	MAT_BLOCK = 1024, /* of k: what is summed up before the lanes are */
	PANEL = 1024,  /* of k, of one tile's rows, unpacked at once: two thirds of a 48 KiB L1 */
	Q8_GROUP = 64, /* weights of a row that share a scale */
	CONV_MAX = 16, /* taps of a convolution */
	DOT_COLS = 128 /* columns of one call at most: their blocks stay in L2 */
};

static inline size_t row_pad(size_t n)
{
	return (n + ROW_PAD - 1) / ROW_PAD * ROW_PAD;
}

/* [rows, cols], row-major, rows close together. */
enum mat_kind { MAT_NONE, MAT_F32, MAT_F16, MAT_BF16, MAT_Q8 };
struct mat {
	enum mat_kind kind;
	const void *data;   /* any alignment */
	const float *scale; /* MAT_Q8: [rows][ceil(cols / Q8_GROUP)]; a weight is (float)q * scale,
	                     * rounded */
	int rows, cols;
};
size_t mat_row_bytes(const struct mat *m); /* what a product reads of a row */

struct kernels {
	const char *name; /* "avx512", "avx2", "plain" */
	int lanes;
	int rows; /* of a tile: calls that start at multiples of it waste nothing */

	/* y[c*ldy + r] = (add ? y : 0) + scale * (m x)[r], r in [row, row + n), c < cols <=
	 * DOT_COLS. @ldx >= row_pad(m->cols). */
	void (*dot)(const struct mat *m, int row, int n, const float *x, size_t ldx, int cols,
	            float *y, size_t ldy, float scale, bool add);

	/* y[c*ldy + r] += scale * sum over k < inner of m[k*ldm + r] * t[c*ldt + k], in rising k, r
	 * in [row, row + n), c < cols: a product with few inner values, as an adapter's B, whose
	 * matrix is kept [inner][ldm], so that a vector is rows and no lanes are to be summed.
	 * @m is readable ROW_PAD floats beyond its end. */
	void (*spread)(const float *m, size_t ldm, int inner, int row, int n, const float *t,
	               size_t ldt, int cols, float *y, size_t ldy, float scale);
	/* y = x / sqrt(mean(x^2) + eps) * w; y may be x. */
	void (*rms)(float *y, const float *x, const float *w, float eps, int n);
	/* x = x * scale / sqrt(sum(x^2) + eps) */
	void (*unit)(float *x, float scale, float eps, int n);
	/* gate = silu(gate) * up */
	void (*silu_mul)(float *gate, const float *up, int n);
	/* o = o * sigmoid(gate) */
	void (*sigmoid_mul)(float *o, const float *gate, int n);
	/* s = exp(s - max s), 0 from n up to row_pad(n); returns the sum. */
	float (*softmax)(float *s, int n);
	/* o[c][0..hd) += sum over t < n[c] of p[c*ldp + t] * v[t*ldv + 0..hd), in rising t; @hd a
	 * multiple of ROW_PAD. */
	void (*weigh)(float *const *o, const float *p, size_t ldp, const int *n, int cols,
	              const float *v, size_t ldv, int hd);

	/* The causal convolution and silu over T tokens, in place: u[t*ldu + c], c < n. @w: [K][n],
	 * rows @ldw apart. @window: the last K-1 inputs, oldest first, rows @ldw apart; moved on.
	 */
	void (*conv)(float *u, size_t ldu, int t, int n, const float *w, float *window, size_t ldw,
	             int k);
	/* T tokens of one value head's recurrence. s: [dk][ldv], o and d (NULL: not wanted) [T] at
	 * ldo and ldv; k, q: [T][dk] at ldk; v: [T][dv] at ldk, readable up to ldv =
	 * row_pad(dv); decay e^g and beta: [T] at ldg. What stands beyond dv in s, o, d means
	 * nothing. */
	void (*delta)(float *s, int dk, int ldv, int t, const float *k, const float *q,
	              const float *v, size_t ldk, const float *decay, const float *beta, size_t ldg,
	              float *o, size_t ldo, float *d, size_t ldd);
	/* S = e^g S + k dT: what delta() did to the state, from what it noted. */
	void (*delta_again)(float *s, int dk, int ldv, const float *k, const float *d, float decay);
	/* The sum of n floats; for measuring how fast memory can be read. */
	float (*sweep)(const float *x, size_t n);
};

/* The best version that this processor runs. */
const struct kernels *kernels_best(void);
/* By name; NULL: unknown here, or this processor cannot run it. */
const struct kernels *kernels_named(const char *name);

#endif
