#include "gpu/optimizer.h"

#include <math.h>
#include <string.h>

#include "gpu/wide.h"

static const char *const shape_name[] = { "constant", "cosine", "linear", "flat-linear" };

int schedule_parse(const char *name)
{
	for (int i = 0; i < (int)(sizeof(shape_name) / sizeof(*shape_name)); i++)
		if (strcmp(name, shape_name[i]) == 0)
			return i;
	return -1;
}

const char *schedule_name(enum schedule_shape s)
{
	return shape_name[s];
}

double schedule_rate(const struct schedule *s, int64_t step)
{
	if (step > s->steps)
		return s->floor;
	if (step < 1)
		step = 1;
	if (step <= s->warmup)
		return s->peak * (double)step / (double)s->warmup;

	/* the first step after the warm-up has the peak's rate, and the last one still learns */
	double from = (double)s->warmup;
	if (s->shape == SCHEDULE_FLAT_LINEAR)
		from = fmax(from, (double)s->steps * (1 - s->decay_share));
	double left = (double)s->steps - from;
	double done = left > 0 ? fmax(0, ((double)step - 1 - from) / left) : 0;
	switch (s->shape) {
	case SCHEDULE_CONSTANT:
		return s->peak;
	case SCHEDULE_COSINE:
		return s->floor + (s->peak - s->floor) * 0.5 * (1 + cos(M_PI * done));
	default:
		return s->peak + (s->floor - s->peak) * done;
	}
}

WIDE void adamw_update(float *restrict p, const float *restrict g, float *restrict m,
                       float *restrict v, size_t n, const struct update *u, bool decay,
                       double scale)
{
	const double b1 = u->beta1, b2 = u->beta2;
	const double rate = u->lr / (1 - pow(b1, (double)u->step));
	const double even = 1 / (1 - pow(b2, (double)u->step));
	const double keep = decay ? 1 - u->lr * u->decay : 1;

#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		double x = g[i] * scale;
		double first = b1 * m[i] + (1 - b1) * x;
		double second = b2 * v[i] + (1 - b2) * x * x;
		m[i] = (float)first;
		v[i] = (float)second;
		p[i] = (float)(p[i] * keep - rate * first / (sqrt(second * even) + u->eps));
	}
}
