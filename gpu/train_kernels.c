#include "gpu/train_kernels.h"

#include <math.h>

#include "gpu/train_dropout.h"
#include "gpu/wide.h"

/* e^x to 2 units in the last place, for x in [-87, 88]; beyond, what it is at the end. Cody and
 * Waite's reduction and the minimax polynomial of Cephes' expf (S. Moshier), as in
 * gpu/cpu_kernels_isa.h. */
static inline __attribute__((always_inline)) float exp_of(float x)
{
	const float shift = 12582912.0f; /* 1.5 * 2^23: rounds to an integer in the low bits */
	union {
		float f;
		int32_t i;
	} n, power;

	/* a comparison with NaN is false, so that NaN passes */
	x = x > 88.0f ? 88.0f : x;
	x = x < -87.0f ? -87.0f : x;
	n.f = x * 1.44269504f + shift;
	power.i = (int32_t)((uint32_t)(n.i - 0x4b400000 + 127) << 23);
	float k = n.f - shift;
	float r = x - k * 0.693359375f;
	r += k * 2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + (r + 1.0f);
	return p * power.f;
}

WIDE float norm_forward(float *restrict y, const float *restrict x, const float *restrict w,
                        float eps, int n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int i = 0; i < n; i++)
		sum += x[i] * x[i];
	float inverse = 1 / sqrtf(sum / (float)n + eps);
#pragma omp simd
	for (int i = 0; i < n; i++)
		y[i] = x[i] * inverse * (1 + w[i]);
	return inverse;
}

WIDE void norm_again(float *restrict y, const float *restrict x, const float *restrict w,
                     float inverse, int n)
{
#pragma omp simd
	for (int i = 0; i < n; i++)
		y[i] = x[i] * inverse * (1 + w[i]);
}

WIDE void norm_backward(float *dx, const float *before, const float *restrict dy,
                        const float *restrict x, const float *restrict w, float inverse,
                        float *restrict dw, int n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int i = 0; i < n; i++)
		sum += dy[i] * (1 + w[i]) * x[i];
	float along = sum * inverse * inverse * inverse / (float)n;
#pragma omp simd
	for (int i = 0; i < n; i++)
		dx[i] = before[i] + (inverse * dy[i] * (1 + w[i]) - along * x[i]);
	if (!dw)
		return;
#pragma omp simd
	for (int i = 0; i < n; i++)
		dw[i] += dy[i] * x[i] * inverse;
}

WIDE void silu_mul_forward(float *restrict y, const float *restrict gate, const float *restrict up,
                           size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		y[i] = gate[i] / (1 + exp_of(-gate[i])) * up[i];
}

WIDE void silu_mul_backward(float *restrict gate, float *restrict up, float *restrict dy, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float g = gate[i], u = up[i], d = dy[i];
		float sigmoid = 1 / (1 + exp_of(-g));
		float silu = g * sigmoid;
		gate[i] = silu * u;
		up[i] = d * silu;
		dy[i] = d * u * (sigmoid + silu * (1 - sigmoid));
	}
}

WIDE double softmax_forward(float *x, int n, float *top)
{
	float most = -INFINITY;
	double sum = 0;

#pragma omp simd reduction(max : most)
	for (int i = 0; i < n; i++)
		most = x[i] > most ? x[i] : most;
#pragma omp simd reduction(+ : sum)
	for (int i = 0; i < n; i++) {
		x[i] = exp_of(x[i] - most);
		sum += x[i];
	}
	*top = most;
	return log(sum);
}

WIDE void scale_values(float *x, float by, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		x[i] *= by;
}

WIDE void add_values(float *restrict y, const float *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

WIDE double squares(const float *x, size_t n)
{
	double sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum;
}

WIDE void dropout_row(float *y, const float *x, uint64_t key, int row, int in, float p, int add)
{
	const float keep = 1 / (1 - p);

	for (int i = 0; i < in; i++) {
		float v = train_dropped(key, row, in, i, p) ? 0 : x[i] * keep;
		y[i] = add ? y[i] + v : v;
	}
}
