/*
 * optimizer.h - update rules and schedules: pure functions over flat arrays.
 *
 * AdamW: Loshchilov and Hutter 2019 (decoupled decay), bias correction as in Kingma and Ba 2015:
 *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   p = p (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 * Muon (Jordan 2024), for matrices of full training: m = mu m + g; u = NS5(g + mu m), five steps of
 * the quintic Newton-Schulz iteration (3.4445, -4.7750, 2.0315) on the matrix scaled to Frobenius
 * norm 1; p = p (1 - lr decay) - lr sqrt(max(1, rows / cols)) u
 */
#ifndef GPU_OPTIMIZER_H
#define GPU_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct update {
	bool muon; /* for PARAM_MATRIX; everything else gets AdamW */
	double lr, lr_muon, beta1, beta2, eps, decay, momentum;
	int64_t step; /* 1, 2, ...: of the bias correction */
};

enum schedule_shape {
	SCHEDULE_CONSTANT,
	SCHEDULE_COSINE,     /* to floor, half a period */
	SCHEDULE_LINEAR,     /* to floor */
	SCHEDULE_FLAT_LINEAR /* flat, then linear to floor over the last @decay_share */
};
/* "constant", "cosine", "linear", "flat-linear"; -1: unknown */
int schedule_parse(const char *name);
const char *schedule_name(enum schedule_shape s);

struct schedule {
	enum schedule_shape shape;
	double peak, floor;    /* learning rates */
	int64_t steps, warmup; /* warm-up rises linearly: step s of w has peak * s / w */
	double decay_share;    /* of SCHEDULE_FLAT_LINEAR, 0..1 */
};
/* The rate of step 1..steps (beyond: floor). */
double schedule_rate(const struct schedule *s, int64_t step);

/* As above, in place; @scale multiplies g first. Sums and corrections in double, values f32. */
void adamw_update(float *p, const float *g, float *m, float *v, size_t n, const struct update *u,
                  bool decay, double scale);

#endif
