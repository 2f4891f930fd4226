/*
 * Schedules, AdamW and Muon against their formulas.
 */
#include "tests/lib.h"

#include "gpu/blas.h"
#include "gpu/muon.h"
#include "gpu/optimizer.h"

/* ---- schedules ---- */

static void names_of_schedules_are_known_and_no_others(void **state)
{
	static const char *const name[] = { "constant", "cosine", "linear", "flat-linear" };

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(schedule_parse(name[i]), i);
		assert_string_equal(schedule_name(i), name[i]);
	}
	assert_int_equal(schedule_parse("Cosine"), -1);
	assert_int_equal(schedule_parse(""), -1);
}

static void the_rate_rises_to_its_peak_and_falls_to_its_floor(void **state)
{
	(void)state;
	for (int shape = 0; shape < 4; shape++) {
		const struct schedule s = { .shape = shape,
			                    .peak = 2e-3,
			                    .floor = 1e-4,
			                    .steps = 100,
			                    .warmup = 10,
			                    .decay_share = 0.4 };
		for (int i = 1; i <= 10; i++)
			assert_close(schedule_rate(&s, i), 2e-4 * i, 1e-15);
		assert_close(schedule_rate(&s, 11), 2e-3, 1e-15);
		for (int i = 12; i <= 100; i++) {
			assert_true(schedule_rate(&s, i) <= schedule_rate(&s, i - 1));
			assert_true(schedule_rate(&s, i) > s.floor); /* the last step learns, too */
		}
		assert_close(schedule_rate(&s, 101), 1e-4, 0);
		assert_close(schedule_rate(&s, 100),
		             shape == SCHEDULE_CONSTANT ? 2e-3
		             : shape == SCHEDULE_COSINE
		                     ? 1e-4 + 1.9e-3 * 0.5 * (1 + cos(M_PI * 89 / 90))
		             : shape == SCHEDULE_LINEAR ? 2e-3 - 1.9e-3 * 89 / 90
		                                        : 2e-3 - 1.9e-3 * 39 / 40,
		             1e-12);
	}
	/* half way down: 45 of 90 steps are done before step 56 */
	struct schedule s = { SCHEDULE_COSINE, 1, 0, 100, 10, 0 };
	assert_close(schedule_rate(&s, 56), 0.5, 1e-12);
	s.shape = SCHEDULE_LINEAR;
	assert_close(schedule_rate(&s, 56), 0.5, 1e-12);
	/* flat for 60 steps, then 40 down */
	s.shape = SCHEDULE_FLAT_LINEAR;
	s.decay_share = 0.4;
	assert_close(schedule_rate(&s, 60), 1, 0);
	assert_close(schedule_rate(&s, 81), 0.5, 1e-12);
}

static void a_run_shorter_than_its_warm_up_has_rates_too(void **state)
{
	const struct schedule s = { SCHEDULE_COSINE, 1, 0, 3, 5, 0 },
			      one = { SCHEDULE_LINEAR, 1, 0, 1, 0, 0 };

	(void)state;
	assert_close(schedule_rate(&s, 3), 0.6, 1e-12);
	assert_close(schedule_rate(&s, 4), 0, 0);
	assert_close(schedule_rate(&one, 1), 1, 0);
}

/* ---- AdamW ---- */

enum { N = 1003 };

static void fill(float *v, int n, uint32_t seed)
{
	for (int i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		v[i] = (float)((int)(seed >> 12 & 0xffff) - 32768) / 32768;
	}
}

static const struct update rule = { .lr = 1e-2,
	                            .lr_muon = 0.05,
	                            .beta1 = 0.9,
	                            .beta2 = 0.99,
	                            .eps = 1e-8,
	                            .decay = 0.1,
	                            .momentum = 0.9,
	                            .step = 1 };

static void adamw_is_its_formula(void **state)
{
	float p[N], g[N], m[N] = { 0 }, v[N] = { 0 };
	double P[N], M[N] = { 0 }, W[N] = { 0 };

	(void)state;
	fill(p, N, 1);
	for (int i = 0; i < N; i++)
		P[i] = p[i];
	for (int step = 1; step <= 5; step++) {
		struct update u = rule;
		u.step = step;
		fill(g, N, (uint32_t)step + 7);
		adamw_update(p, g, m, v, N, &u, true, 0.5);
		for (int i = 0; i < N; i++) {
			double x = 0.5 * g[i];
			M[i] = u.beta1 * M[i] + (1 - u.beta1) * x;
			W[i] = u.beta2 * W[i] + (1 - u.beta2) * x * x;
			double even = M[i] / (1 - pow(u.beta1, step)),
			       size = sqrt(W[i] / (1 - pow(u.beta2, step)));
			P[i] = P[i] * (1 - u.lr * u.decay) - u.lr * even / (size + u.eps);
			assert_close(p[i], P[i], 1e-6);
			assert_close(m[i], M[i], 1e-6);
			assert_close(v[i], W[i], 1e-6);
		}
	}
}

static void the_first_step_is_the_rate_against_the_sign(void **state)
{
	float p[3] = { 1, 1, 1 }, g[3] = { 5, -1e-3f, 0 }, m[3] = { 0 }, v[3] = { 0 };

	(void)state;
	adamw_update(p, g, m, v, 3, &rule, false, 1);
	assert_close(p[0], 0.99, 1e-6);
	assert_close(p[1], 1.01, 1e-6);
	assert_close(p[2], 1, 0);
	adamw_update(p, g, m, v, 3, &rule, true, 0); /* decay alone: moments fade */
	assert_true(p[2] < 1);
}

static void pieces_give_the_bits_of_the_whole(void **state)
{
	float p[2][N], g[N], m[2][N] = { 0 }, v[2][N] = { 0 };

	(void)state;
	fill(p[0], N, 1);
	memcpy(p[1], p[0], sizeof(p[0]));
	fill(g, N, 2);
	adamw_update(p[0], g, m[0], v[0], N, &rule, true, 0.3);
	for (int from = 0; from < N; from += 64) {
		size_t n = (size_t)(N - from < 64 ? N - from : 64);
		adamw_update(p[1] + from, g + from, m[1] + from, v[1] + from, n, &rule, true, 0.3);
	}
	assert_memory_equal(p[0], p[1], sizeof(p[0]));
	assert_memory_equal(v[0], v[1], sizeof(v[0]));
}

/* ---- Muon ---- */

static void muon(int threads, struct muon_matrix *m, int n, const struct update *u, double scale)
{
	struct err e = { 0 };
	struct pool *pool = pool_open(threads, &e);

	assert_non_null(pool);
	if (muon_update(pool, m, n, u, scale, &e) < 0)
		fail_msg("%s", e.text);
	pool_close(pool);
}

/* U of g [rows][cols], from a step of a matrix of zeros without momentum. */
static void direction(const float *g, int rows, int cols, float *out)
{
	float *value = calloc((size_t)(rows * cols), sizeof(float)),
	      *momentum = calloc((size_t)(rows * cols), sizeof(float));
	struct update u = rule;

	u.momentum = 0;
	muon(1, &(struct muon_matrix){ rows, cols, value, g, momentum }, 1, &u, 3);
	for (int i = 0; i < rows * cols; i++) {
		out[i] = -value[i] / (float)(u.lr_muon * sqrt(fmax(1, (double)rows / cols)));
		assert_close(momentum[i], 3 * g[i], 1e-6);
	}
	free(value);
	free(momentum);
}

/* All directions of the gradient count nearly alike: U Ut has eigenvalues near 1. */
static void muon_makes_the_gradient_nearly_orthogonal(void **state)
{
	enum { ROWS = 24, COLS = 60 };
	float g[ROWS * COLS], u[ROWS * COLS], turned[ROWS * COLS], w[ROWS * COLS];
	double along = 0, trace = 0, off = 0;

	(void)state;
	fill(g, ROWS * COLS, 5);
	for (int i = 0; i < COLS; i++) /* one direction ten times as large as the others */
		for (int r = 0; r < ROWS; r++)
			g[r * COLS + i] += (float)(10.0 * sin(i) * cos(r) / 10);
	direction(g, ROWS, COLS, u);
	for (int i = 0; i < ROWS * COLS; i++)
		along += (double)g[i] * u[i];
	assert_true(along > 0);
	for (int r = 0; r < ROWS; r++)
		for (int s = 0; s < ROWS; s++) {
			double dot = 0;
			for (int i = 0; i < COLS; i++)
				dot += (double)u[r * COLS + i] * u[s * COLS + i];
			if (r == s)
				trace += dot / ROWS;
			else
				off += dot * dot / (ROWS * (ROWS - 1));
		}
	assert_close(trace, 0.85, 0.3); /* its coefficients leave singular values of 0.7 to 1.2 */
	assert_true(sqrt(off) < 0.1);

	/* and a matrix that is higher than wide is the same thing turned */
	for (int r = 0; r < ROWS; r++)
		for (int i = 0; i < COLS; i++)
			turned[i * ROWS + r] = g[r * COLS + i];
	direction(turned, COLS, ROWS, w);
	for (int r = 0; r < ROWS; r++)
		for (int i = 0; i < COLS; i++)
			assert_close(w[i * ROWS + r], u[r * COLS + i], 1e-5);
}

/* By the rule itself, in double. */
static void newton_schulz(double *x, int rows, int cols)
{
	double norm = 0, *a = calloc((size_t)(rows * rows), sizeof(double)),
	       *b = calloc((size_t)(rows * rows), sizeof(double)),
	       *y = calloc((size_t)(rows * cols), sizeof(double));

	for (int i = 0; i < rows * cols; i++)
		norm += x[i] * x[i];
	for (int i = 0; i < rows * cols; i++)
		x[i] /= sqrt(norm);
	for (int step = 0; step < 5; step++) {
		for (int r = 0; r < rows; r++)
			for (int s = 0; s < rows; s++) {
				a[r * rows + s] = 0;
				for (int i = 0; i < cols; i++)
					a[r * rows + s] += x[r * cols + i] * x[s * cols + i];
			}
		for (int r = 0; r < rows; r++)
			for (int s = 0; s < rows; s++) {
				b[r * rows + s] = -4.7750 * a[r * rows + s];
				for (int i = 0; i < rows; i++)
					b[r * rows + s] +=
						2.0315 * a[r * rows + i] * a[i * rows + s];
			}
		for (int r = 0; r < rows; r++)
			for (int i = 0; i < cols; i++) {
				y[r * cols + i] = 3.4445 * x[r * cols + i];
				for (int s = 0; s < rows; s++)
					y[r * cols + i] += b[r * rows + s] * x[s * cols + i];
			}
		memcpy(x, y, (size_t)(rows * cols) * sizeof(double));
	}
	free(a);
	free(b);
	free(y);
}

static void muon_is_its_formula_with_momentum_and_decay(void **state)
{
	enum { ROWS = 10, COLS = 7 }; /* higher than wide: the rule on the turned one */
	float g[ROWS * COLS], p[ROWS * COLS], m[ROWS * COLS] = { 0 };
	double P[ROWS * COLS], M[ROWS * COLS] = { 0 }, x[ROWS * COLS];

	(void)state;
	fill(p, ROWS * COLS, 3);
	for (int i = 0; i < ROWS * COLS; i++)
		P[i] = p[i];
	for (uint32_t step = 1; step <= 3; step++) {
		fill(g, ROWS * COLS, step + 50);
		muon(1, &(struct muon_matrix){ ROWS, COLS, p, g, m }, 1, &rule, 0.5);
		for (int i = 0; i < ROWS * COLS; i++) {
			M[i] = 0.9 * M[i] + 0.5 * g[i];
			x[(i % COLS) * ROWS + i / COLS] = 0.5 * g[i] + 0.9 * M[i];
		}
		newton_schulz(x, COLS, ROWS);
		for (int i = 0; i < ROWS * COLS; i++) {
			P[i] = P[i] * (1 - 0.05 * 0.1) -
			       0.05 * sqrt(10.0 / 7) * x[(i % COLS) * ROWS + i / COLS];
			assert_close(p[i], P[i], 2e-5);
		}
	}
}

/* Sides of one panel and of several, whole and not, higher and wider. */
static void muon_is_its_formula_for_any_shape(void **state)
{
	static const int shapes[][2] = { { 1, 5 },     { 5, 1 },    { 48, 96 },   { 97, 48 },
		                         { 100, 131 }, { 130, 99 }, { 145, 145 }, { 51, 300 } };

	(void)state;
	for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
		const int rows = shapes[k][0], cols = shapes[k][1], n = rows * cols;
		const bool turned = rows > cols;
		float *g = malloc((size_t)n * sizeof(*g)), *u = malloc((size_t)n * sizeof(*u));
		double *x = malloc((size_t)n * sizeof(*x)), worst = 0;

		fill(g, n, (uint32_t)k + 20);
		direction(g, rows, cols, u);
		for (int i = 0; i < n; i++)
			x[turned ? i % cols * rows + i / cols : i] = g[i];
		newton_schulz(x, turned ? cols : rows, turned ? rows : cols);
		for (int i = 0; i < n; i++)
			worst = fmax(worst,
			             fabs(u[i] - x[turned ? i % cols * rows + i / cols : i]));
		/* of values around 1 / sqrt(the longer side) */
		if (!(worst < 1e-4))
			fail_msg("%d x %d: off by %g", rows, cols, worst);
		free(g);
		free(u);
		free(x);
	}
}

static void threads_change_no_bit_of_muon(void **state)
{
	enum { K = 6, ROWS = 40, COLS = 30 };
	static float p[2][K][ROWS * COLS], m[2][K][ROWS * COLS], g[K][ROWS * COLS];

	(void)state;
	for (int k = 0; k < K; k++) {
		fill(g[k], ROWS * COLS, (uint32_t)k);
		fill(p[0][k], ROWS * COLS, (uint32_t)k + 9);
		memcpy(p[1][k], p[0][k], sizeof(p[0][k]));
	}
	for (int two = 0; two < 2; two++) {
		struct muon_matrix a[K];
		for (int k = 0; k < K; k++) /* of several shapes, in no order */
			a[k] = (struct muon_matrix){ ROWS - 5 * (k * 3 % 5), COLS, p[two][k], g[k],
				                     m[two][k] };
		muon(1 + two, a, K, &rule, 1);
	}
	assert_memory_equal(p[0], p[1], sizeof(p[0]));
	assert_memory_equal(m[0], m[1], sizeof(m[0]));
}

static void a_gradient_of_zeros_moves_nothing_but_decay(void **state)
{
	float p[12], g[12] = { 0 }, m[12] = { 0 };

	(void)state;
	for (int i = 0; i < 12; i++)
		p[i] = 1;
	muon(1, &(struct muon_matrix){ 3, 4, p, g, m }, 1, &rule, 1);
	for (int i = 0; i < 12; i++)
		assert_close(p[i], 1 - 0.05 * 0.1, 1e-6);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_schedules_are_known_and_no_others),
		cmocka_unit_test(the_rate_rises_to_its_peak_and_falls_to_its_floor),
		cmocka_unit_test(a_run_shorter_than_its_warm_up_has_rates_too),
		cmocka_unit_test(adamw_is_its_formula),
		cmocka_unit_test(the_first_step_is_the_rate_against_the_sign),
		cmocka_unit_test(pieces_give_the_bits_of_the_whole),
		cmocka_unit_test(muon_makes_the_gradient_nearly_orthogonal),
		cmocka_unit_test(muon_is_its_formula_with_momentum_and_decay),
		cmocka_unit_test(muon_is_its_formula_for_any_shape),
		cmocka_unit_test(threads_change_no_bit_of_muon),
		cmocka_unit_test(a_gradient_of_zeros_moves_nothing_but_decay),
	};

	(void)argc;
	blas_start(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
