/*
 * t_cpu_kernels.c - every version of the kernels that this processor runs, against sums in F64, and
 * against itself: the bits of a column don't depend on the columns beside it.
 */
#include "tests/lib.h"

#include <stdatomic.h>
#include <unistd.h>

#include "gpu/cpu_kernels.h"
#include "gpu/safetensors.h"
#include "gpu/threads.h"

static const char *const versions[] = { "plain", "avx2", "avx512" };

static float noise(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return (float)(*seed >> 8) / (1 << 23) - 1;
}

static float *noises(size_t n, uint32_t seed)
{
	float *x = malloc((n + 64) * sizeof *x); /* room to read whole vectors */
	for (size_t i = 0; i < n + 64; i++)
		x[i] = noise(&seed);
	return x;
}

static uint16_t f16_of(float v) /* of one that F16 holds exactly, and is not tiny */
{
	uint32_t u;
	memcpy(&u, &v, 4);
	return (uint16_t)((u >> 16 & 0x8000) | (((u >> 23 & 255) - 112) << 10) | (u >> 13 & 1023));
}

/* Weights of a kind at an odd byte, and what they are in F64. */
struct weights {
	struct mat m;
	char *bytes;
	float *scale;
	double *value;
};

static void weights_make(struct weights *w, enum mat_kind kind, int rows, int cols)
{
	size_t n = (size_t)rows * (size_t)cols, groups = ((size_t)cols + Q8_GROUP - 1) / Q8_GROUP;
	uint32_t seed = 5;
	w->bytes = malloc(n * 4 + 1);
	w->scale = malloc(groups * (size_t)rows * sizeof(float));
	w->value = malloc(n * sizeof *w->value);
	for (size_t i = 0; i < groups * (size_t)rows; i++)
		w->scale[i] = 0.01f + 0.005f * noise(&seed);
	for (size_t i = 0; i < n; i++) {
		float v = noise(&seed);
		uint16_t half;
		switch (kind) {
		case MAT_F32:
			memcpy(w->bytes + 1 + 4 * i, &v, 4);
			break;
		case MAT_BF16:
			half = bf16_round(v);
			v = bf16_widen(half);
			memcpy(w->bytes + 1 + 2 * i, &half, 2);
			break;
		case MAT_F16:
			v = v < 0 ? -0.25f : 0.25f + (float)(i % 512) / 1024;
			half = f16_of(v);
			assert_true(f16_widen(half) == v);
			memcpy(w->bytes + 1 + 2 * i, &half, 2);
			break;
		default:
			w->bytes[1 + i] = (char)lrintf(v * 127);
			v = (float)(signed char)w->bytes[1 + i] *
			    w->scale[i / (size_t)cols * groups + i % (size_t)cols / Q8_GROUP];
		}
		w->value[i] = v;
	}
	w->m = (struct mat){ kind, w->bytes + 1, w->scale, rows, cols };
}

static void weights_release(struct weights *w)
{
	free(w->bytes);
	free(w->scale);
	free(w->value);
}

static void products_are_right_and_columns_don_t_see_each_other(void **state)
{
	/* rows that fill no tile, columns that fill no vector, more than a block */
	static const int shapes[][2] = { { 1, 1 },    { 8, 64 },   { 13, 17 },  { 24, 100 },
		                         { 7, 1024 }, { 9, 1025 }, { 21, 2500 } };
	static const int columns[] = { 1, 2, 3, 4, 5, 17, 64, 128 };
	(void)state;
	for (size_t v = 0; v < 3; v++) {
		const struct kernels *k = kernels_named(versions[v]);
		if (!k) {
			print_message("%s: not on this processor\n", versions[v]);
			continue;
		}
		for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
			for (enum mat_kind kind = MAT_F32; kind <= MAT_Q8; kind++) {
				const int rows = shapes[s][0], n = shapes[s][1];
				const size_t ld = row_pad((size_t)n) + ROW_PAD;
				struct weights w;
				weights_make(&w, kind, rows, n);
				float *x = noises(128 * ld, 3);
				for (int c = 0; c < 128; c++)
					for (size_t i = (size_t)n; i < ld; i++)
						x[(size_t)c * ld + i] = 0;
				float *y = malloc(128 * 24 * sizeof *y), *z = malloc(128 * 24 * 4);
				k->dot(&w.m, 0, rows, x, ld, 128, y, 24, 1, false);
				for (int c = 0; c < 128; c++)
					for (int r = 0; r < rows; r++) {
						double sum = 0, size = 0;
						for (int i = 0; i < n; i++) {
							double p = w.value[r * n + i] *
							           (double)x[(size_t)c * ld +
							                     (size_t)i];
							sum += p;
							size += fabs(p);
						}
						assert_close((double)y[c * 24 + r], sum,
						             3e-6 * size);
					}
				for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
					for (int at = 0; at + columns[i] <= 128; at += columns[i]) {
						/* in two parts, as two threads would */
						int half = rows / k->rows / 2 * k->rows;
						k->dot(&w.m, 0, half, x + (size_t)at * ld, ld,
						       columns[i], z, 24, 1, false);
						k->dot(&w.m, half, rows - half, x + (size_t)at * ld,
						       ld, columns[i], z, 24, 1, false);
						for (int c = 0; c < columns[i]; c++)
							assert_memory_equal(z + c * 24,
							                    y + (at + c) * 24,
							                    (size_t)rows * 4);
						if (columns[i] == 1 && at == 4)
							break; /* the rest is no other case */
					}
				for (int r = 0; r < rows; r++)
					z[r] = 10;
				k->dot(&w.m, 0, rows, x, ld, 1, z, 24, -0.5f, true);
				for (int r = 0; r < rows; r++)
					assert_close((double)z[r], 10 - 0.5 * (double)y[r],
					             2e-6 * (10 + fabs((double)y[r])));
				free(x);
				free(y);
				free(z);
				weights_release(&w);
			}
	}
}

static void sums_over_elements_are_right(void **state)
{
	static const int sizes[] = { 1, 3, 8, 16, 17, 31, 64, 100, 257 };
	(void)state;
	for (size_t v = 0; v < 3; v++) {
		const struct kernels *k = kernels_named(versions[v]);
		for (size_t s = 0; k && s < sizeof sizes / sizeof *sizes; s++) {
			int n = sizes[s];
			float *x = noises((size_t)n, 1), *w = noises((size_t)n, 2);
			float *y = calloc((size_t)n + 64, sizeof *y);
			double squares = 0;
			for (int i = 0; i < n; i++)
				squares += (double)x[i] * (double)x[i];
			k->rms(y, x, w, 1e-6f, n);
			for (int i = 0; i < n; i++)
				assert_close((double)y[i],
				             (double)x[i] / sqrt(squares / n + 1e-6) * (double)w[i],
				             2e-6);
			assert_true(y[n] == 0);
			memcpy(y, x, (size_t)n * 4);
			k->unit(y, 0.25f, 1e-6f, n);
			for (int i = 0; i < n; i++)
				assert_close((double)y[i],
				             0.25 * (double)x[i] / sqrt(squares + 1e-6), 1e-6);
			for (int i = 0; i < n; i++)
				y[i] = x[i] * 60;
			k->silu_mul(y, w, n);
			for (int i = 0; i < n; i++) {
				double g = 60 * (double)x[i];
				assert_close((double)y[i], g / (1 + exp(-g)) * (double)w[i],
				             1e-6 * (1e-30 + fabs(g)));
			}
			memcpy(y, w, (size_t)n * 4);
			k->sigmoid_mul(y, x, n);
			for (int i = 0; i < n; i++)
				assert_close((double)y[i], (double)w[i] / (1 + exp(-(double)x[i])),
				             1e-6);
			assert_true(y[n] == 0);
			double top = -1e9, sum = 0;
			for (int i = 0; i < n; i++) {
				y[i] = x[i] * 30;
				top = (double)y[i] > top ? (double)y[i] : top;
			}
			for (int i = 0; i < n; i++)
				sum += exp(30 * (double)x[i] - top);
			float got = k->softmax(y, n);
			assert_close((double)got, sum, 2e-5 * sum);
			for (int i = 0; i < n; i++)
				assert_close((double)y[i], exp(30 * (double)x[i] - top), 1e-5);
			for (size_t i = (size_t)n; i < row_pad((size_t)n); i++)
				assert_true(y[i] == 0);
			free(x);
			free(w);
			free(y);
		}
	}
}

static void far_arguments_and_nan_are_what_they_should_be(void **state)
{
	(void)state;
	for (size_t v = 0; v < 3; v++) {
		const struct kernels *k = kernels_named(versions[v]);
		float g[16] = { -1e30f, -200, -88, 0, 88, 200, 1e30f, NAN }, u[16];
		for (int i = 0; i < 16; i++)
			u[i] = 1;
		if (!k)
			continue;
		k->silu_mul(g, u, 16);
		for (int i = 1; i < 3; i++)
			assert_true(fabsf(g[i]) < 1e-30f);
		assert_true(fabsf(g[0]) < 1e-7f);
		assert_true(g[3] == 0 && g[4] == 88 && g[5] == 200 && g[6] == 1e30f);
		assert_true(isnan(g[7]));
		float s[16] = { 1, NAN, 2 };
		assert_true(isnan(k->softmax(s, 3)));
	}
}

static void values_are_weighed_alike_in_any_company(void **state)
{
	enum { HD = 80, T = 64, COLS = 7, LD = 100 };
	(void)state;
	for (size_t ver = 0; ver < 3; ver++) {
		const struct kernels *k = kernels_named(versions[ver]);
		if (!k)
			continue;
		float *v = noises(T * HD, 4), *p = noises(COLS * LD, 6);
		float got[COLS][HD] = { { 0 } }, alone[HD], *o[COLS];
		static const int n[COLS] = { 64, 0, 1, 63, 17, 64, 5 };
		for (int c = 0; c < COLS; c++)
			o[c] = got[c];
		k->weigh(o, p, LD, n, COLS, v, HD, HD);
		for (int c = 0; c < COLS; c++) {
			float *to = alone;
			memset(alone, 0, sizeof alone);
			k->weigh(&to, p + c * LD, LD, n + c, 1, v, HD, HD);
			assert_memory_equal(alone, got[c], sizeof alone);
			for (int j = 0; j < HD; j++) {
				double sum = 0;
				for (int t = 0; t < n[c]; t++)
					sum += (double)p[c * LD + t] * (double)v[t * HD + j];
				assert_close((double)alone[j], sum, 2e-5);
			}
		}
		free(v);
		free(p);
	}
}

static void few_inner_values_are_spread_over_rows_alike_in_any_company(void **state)
{
	enum { ROWS = 150, INNER = 5, COLS = 7, LDM = 160, LDT = 16, LDY = 170 };
	static const int cuts[][2] = { { 0, 150 }, { 0, 8 }, { 8, 64 }, { 72, 78 }, { 146, 4 } };
	(void)state;
	for (size_t ver = 0; ver < 3; ver++) {
		const struct kernels *k = kernels_named(versions[ver]);
		if (!k)
			continue;
		float *m = noises(INNER * LDM + ROW_PAD, 4), *t = noises(COLS * LDT, 6);
		float *y = noises(COLS * LDY, 8), *all = malloc(COLS * LDY * sizeof *all);
		memcpy(all, y, COLS * LDY * sizeof *all);
		k->spread(m, LDM, INNER, 0, ROWS, t, LDT, COLS, all, LDY, 0.5f);
		for (int c = 0; c < COLS; c++)
			for (int r = 0; r < LDY; r++) {
				double sum = 0;
				for (int i = 0; i < INNER && r < ROWS; i++)
					sum += (double)m[i * LDM + r] * (double)t[c * LDT + i];
				assert_close((double)all[c * LDY + r],
				             (double)y[c * LDY + r] + 0.5 * sum, 1e-5);
			}
		for (int c = 0; c < COLS; c++)
			for (size_t cut = 0; cut < sizeof cuts / sizeof *cuts; cut++) {
				const int row = cuts[cut][0], n = cuts[cut][1];
				float alone[LDY];
				memcpy(alone, y + c * LDY, sizeof alone);
				k->spread(m, LDM, INNER, row, n, t + c * LDT, LDT, 1, alone, LDY,
				          0.5f);
				assert_memory_equal(alone + row, all + c * LDY + row,
				                    (size_t)n * sizeof *alone);
				assert_memory_equal(alone, y + c * LDY,
				                    (size_t)row * sizeof *alone);
				assert_memory_equal(alone + row + n, y + c * LDY + row + n,
				                    (size_t)(LDY - row - n) * sizeof *alone);
			}
		free(m);
		free(t);
		free(y);
		free(all);
	}
}

/* Of one head, as qwen35.md has it. */
static void recurrence(double *s, int dk, int dv, const float *k, const float *q, const float *v,
                       double decay, double beta, double *o)
{
	for (int j = 0; j < dv; j++) {
		double r = 0;
		for (int i = 0; i < dk; i++) {
			s[i * dv + j] *= decay;
			r += s[i * dv + j] * (double)k[i];
		}
		double d = beta * ((double)v[j] - r);
		o[j] = 0;
		for (int i = 0; i < dk; i++) {
			s[i * dv + j] += (double)k[i] * d;
			o[j] += s[i * dv + j] * (double)q[i];
		}
	}
}

static void the_recurrence_is_right_and_can_be_done_again(void **state)
{
	static const int dims[][2] = { { 16, 24 }, { 1, 1 }, { 33, 16 }, { 64, 64 }, { 128, 128 } };
	enum { T = 40, LD = 400 };
	(void)state;
	for (size_t ver = 0; ver < 3; ver++) {
		const struct kernels *kn = kernels_named(versions[ver]);
		for (size_t z = 0; kn && z < sizeof dims / sizeof *dims; z++) {
			const int dk = dims[z][0], dv = dims[z][1], ldv = (int)row_pad((size_t)dv);
			float *in = noises(T * LD, 8), decay[T], beta[T];
			uint32_t seed = 4;
			for (int t = 0; t < T; t++) {
				decay[t] = 0.9f + 0.1f * noise(&seed);
				beta[t] = 0.5f + 0.5f * noise(&seed);
				kn->unit(in + t * LD, 1, 1e-6f, dk);
				kn->unit(in + t * LD + dk, 1, 1e-6f, dk);
			}
			size_t floats = (size_t)(dk * ldv);
			float *s = calloc(floats, 4), *one = calloc(floats, 4);
			float *again = calloc(floats, 4), *o = calloc(T * LD, 4);
			float *o1 = calloc(T * LD, 4), *d = calloc(T * LD, 4);
			double *want = calloc((size_t)(dk * dv), sizeof *want), out[128];
			kn->delta(s, dk, ldv, T, in, in + dk, in + 2 * dk, LD, decay, beta, 1, o,
			          LD, d, LD);
			for (int t = 0; t < T; t++) {
				const float *k = in + t * LD;
				kn->delta(one, dk, ldv, 1, k, k + dk, k + 2 * dk, LD, decay + t,
				          beta + t, 1, o1 + t * LD, LD, NULL, 0);
				kn->delta_again(again, dk, ldv, k, d + t * LD, decay[t]);
				recurrence(want, dk, dv, k, k + dk, k + 2 * dk, (double)decay[t],
				           (double)beta[t], out);
				for (int j = 0; j < dv; j++)
					assert_close((double)o[t * LD + j], out[j], 1e-5);
				assert_memory_equal(o + t * LD, o1 + t * LD, (size_t)dv * 4);
			}
			assert_memory_equal(s, one, floats * 4);
			assert_memory_equal(s, again, floats * 4);
			for (int i = 0; i < dk; i++)
				for (int j = 0; j < dv; j++)
					assert_close((double)s[i * ldv + j], want[i * dv + j],
					             1e-5);
			free(in);
			free(s);
			free(one);
			free(again);
			free(o);
			free(o1);
			free(d);
			free(want);
		}
	}
}

static void a_convolution_goes_on_where_it_stopped(void **state)
{
	enum { T = 20, LD = 70 };
	(void)state;
	for (size_t ver = 0; ver < 3; ver++) {
		const struct kernels *kn = kernels_named(versions[ver]);
		for (int K = 1; kn && K <= 5; K++)
			for (int n = 1; n <= 50; n += 7) {
				float *u = noises(T * LD, 3), *w = noises((size_t)(K * LD), 5);
				float *window = calloc((size_t)(K * LD), 4);
				float *in = malloc(T * LD * 4), *cut = malloc(T * LD * 4);
				memcpy(in, u, T * LD * 4);
				memcpy(cut, u, T * LD * 4);
				kn->conv(u, LD, T, n, w, window, LD, K);
				for (int t = 0; t < T; t++)
					for (int c = 0; c < n; c++) {
						double sum = 0;
						for (int j = 0; j < K; j++)
							if (t - (K - 1) + j >= 0)
								sum += (double)w[j * LD + c] *
								       (double)in[(t - (K - 1) +
								                   j) * LD +
								                  c];
						assert_close((double)u[t * LD + c],
						             sum / (1 + exp(-sum)), 1e-6);
					}
				for (int j = 0; j < K - 1; j++)
					assert_memory_equal(window + j * LD,
					                    in + (T - (K - 1) + j) * LD,
					                    (size_t)n * 4);
				memset(window, 0, (size_t)(K * LD) * 4);
				for (int t = 0; t < T; t += t % 3 + 1) {
					int m = t % 3 + 1 < T - t ? t % 3 + 1 : T - t;
					kn->conv(cut + t * LD, LD, m, n, w, window, LD, K);
				}
				for (int t = 0; t < T; t++)
					assert_memory_equal(cut + t * LD, u + t * LD,
					                    (size_t)n * 4);
				free(u);
				free(w);
				free(window);
				free(in);
				free(cut);
			}
	}
}

struct counted {
	_Atomic int done[5000];
	_Atomic int threads[16];
};

static void count(void *arg, int item, int thread)
{
	struct counted *c = arg;
	c->done[item]++;
	c->threads[thread] = 1;
}

static void a_pool_does_every_item_once(void **state)
{
	struct err e;
	(void)state;
	for (int threads = 1; threads <= 6; threads++) {
		struct pool *p = pool_open(threads, &e);
		struct counted *c = calloc(1, sizeof *c);
		assert_non_null(p);
		assert_int_equal(pool_threads(p), threads);
		for (int round = 0; round < 300; round++) {
			int n = round * 7919 % 100;
			if (round % 60 == 59) {
				usleep(2000); /* they sleep, and must be woken */
				n = 5000;
			}
			memset(c, 0, sizeof *c);
			pool_run(p, count, c, n);
			for (int i = 0; i < 5000; i++)
				assert_int_equal(c->done[i], i < n);
		}
		free(c);
		pool_close(p);
	}
	pool_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_right_and_columns_don_t_see_each_other),
		cmocka_unit_test(sums_over_elements_are_right),
		cmocka_unit_test(far_arguments_and_nan_are_what_they_should_be),
		cmocka_unit_test(values_are_weighed_alike_in_any_company),
		cmocka_unit_test(few_inner_values_are_spread_over_rows_alike_in_any_company),
		cmocka_unit_test(the_recurrence_is_right_and_can_be_done_again),
		cmocka_unit_test(a_convolution_goes_on_where_it_stopped),
		cmocka_unit_test(a_pool_does_every_item_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
