/*
 * train_kernels.h - the CPU trainer's loops over values: norms, silu, softmax, with their way back.
 *
 * Plain C that the compiler turns into vectors, in one version for each instruction set. All f32;
 * sums within a row in f32 in a fixed order, over a vocabulary in double. Formulas: qwen35.md,
 * section 4.
 */
#ifndef GPU_TRAIN_KERNELS_H
#define GPU_TRAIN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* y = x * inverse * (1 + w); returns inverse = 1 / sqrt(mean(x^2) + eps). */
float norm_forward(float *y, const float *x, const float *w, float eps, int n);
/* The same with the inverse that norm_forward() gave. */
void norm_again(float *y, const float *x, const float *w, float inverse, int n);
/* dx = before + what comes back through the norm (@before may be dx); with @dw: dw += dy * x *
 * inverse. */
void norm_backward(float *dx, const float *before, const float *dy, const float *x, const float *w,
                   float inverse, float *dw, int n);

/* y = silu(gate) * up */
void silu_mul_forward(float *y, const float *gate, const float *up, size_t n);
/* @dy: d loss / d y. In place: gate becomes y, up becomes d/d up, dy becomes d/d gate. */
void silu_mul_backward(float *gate, float *up, float *dy, size_t n);

/* x = exp(x - max x); returns log(sum), of what stands in x then, and max in @top. */
double softmax_forward(float *x, int n, float *top);
/* x = x * by */
void scale_values(float *x, float by, size_t n);
/* y += x */
void add_values(float *y, const float *x, size_t n);
/* Sum of squares, in double. */
double squares(const float *x, size_t n);

/* y = dropped ? 0 : x * 1 / (1 - p), or with @add y += it: gpu/train_dropout.h. */
void dropout_row(float *y, const float *x, uint64_t key, int row, int in, float p, int add);

#endif
