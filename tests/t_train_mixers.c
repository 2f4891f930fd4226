/*
 * t_train_mixers.c - the two mixers of the CPU trainer, in every version that this processor runs:
 * against token-by-token twins in double, those against finite differences; and the promises on
 * samples and threads.
 */
#include "tests/model.h"

#include "gpu/train_mixers.h"

static const enum mixer_isa versions[] = { MIXER_PLAIN, MIXER_AVX2, MIXER_AVX512 };
static const char *const version_name[] = { "best", "plain", "avx2", "avx512" };

static double noise(uint32_t *seed) /* in [-1, 1) */
{
	*seed = *seed * 1664525 + 1013904223;
	return (double)(*seed >> 8) / (1 << 23) - 1;
}

static float *noises(size_t n, double scale, uint32_t seed)
{
	float *x = malloc(n * sizeof *x); /* no room beyond: reads past the end are seen */
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(scale * noise(&seed));
	return x;
}

static float *zeros(size_t n)
{
	return calloc(n, sizeof(float));
}

/* Largest difference over the largest value. */
static double apart(const float *got, const double *want, size_t n)
{
	double most = 0, top = 1e-9;
	for (size_t i = 0; i < n; i++) {
		if (!(fabs(got[i] - want[i]) <= most))
			most = isnan(got[i]) ? INFINITY : fabs(got[i] - want[i]);
		top = fabs(want[i]) > top ? fabs(want[i]) : top;
	}
	return most / top;
}

static double *widened(const float *x, size_t n)
{
	double *d = malloc((n + 1) * sizeof *d);
	for (size_t i = 0; i < n; i++)
		d[i] = x[i];
	return d;
}

/* ---- the DeltaNet's twin ---- */

enum { D_U, D_Z, D_A, D_B, D_CONV, D_ALOG, D_DT, D_NORM, D_ARRAYS };

struct delta_case {
	const char *name;
	int nk, nv, dk, dv, K;
	int samples, len[8];
	double decay, beta, same; /* size of a's values; of b's; how far all rows' keys agree */
};

static void delta_config(struct model_config *c, const struct delta_case *t)
{
	*c = (struct model_config){ .hidden = 64,
		                    .key_heads = t->nk,
		                    .value_heads = t->nv,
		                    .key_dim = t->dk,
		                    .value_dim = t->dv,
		                    .conv = t->K,
		                    .norm_eps = 1e-6 };
}

struct delta_sizes {
	int n, channels;
	int32_t start[16];
	size_t count[D_ARRAYS];
};

static void delta_sizes(struct delta_sizes *s, const struct delta_case *t)
{
	s->n = 0;
	s->start[0] = 0;
	for (int i = 0; i < t->samples; i++)
		s->start[i + 1] = s->n += t->len[i];
	s->channels = 2 * t->nk * t->dk + t->nv * t->dv;
	const size_t n = (size_t)s->n;
	s->count[D_U] = n * (size_t)s->channels;
	s->count[D_Z] = n * (size_t)(t->nv * t->dv);
	s->count[D_A] = s->count[D_B] = n * (size_t)t->nv;
	s->count[D_CONV] = (size_t)(s->channels * t->K);
	s->count[D_ALOG] = s->count[D_DT] = (size_t)t->nv;
	s->count[D_NORM] = (size_t)t->dv;
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
	return x > 30 ? x : log1p(exp(x));
}

/* y of all rows, token by token (qwen35.md section 4); with @dy also the gradients, added to @d. */
static void delta_twin(const struct delta_case *t, const struct delta_sizes *z, double *const *in,
                       double *y, const double *dy, double *const *d)
{
	const int n = z->n, ch = z->channels, nk = t->nk, nv = t->nv, dk = t->dk, dv = t->dv;
	const size_t sq = (size_t)(dk * dv);
	double *x = calloc((size_t)(n * ch), sizeof *x), *c = calloc((size_t)(n * ch), sizeof *c);
	double *dc = calloc((size_t)(n * ch), sizeof *dc);
	double *S = calloc((size_t)(n + 1) * sq, sizeof *S); /* after each token */
	double *St = calloc(sq, sizeof *St), *L = calloc(sq, sizeof *L);
	double *o = calloc((size_t)(n * dv), sizeof *o), *dd = calloc((size_t)(n * dv), sizeof *dd);
	double *q = calloc((size_t)(n * dk), sizeof *q), *k = calloc((size_t)(n * dk), sizeof *k);
	double *g = calloc((size_t)n, sizeof *g), *be = calloc((size_t)n, sizeof *be);
	for (int s = 0; s < t->samples; s++)
		for (int r = z->start[s]; r < z->start[s + 1]; r++)
			for (int m = 0; m < ch; m++) {
				for (int j = 0; j < t->K; j++) {
					int at = r - (t->K - 1) + j;
					if (at >= z->start[s])
						x[r * ch + m] += in[D_CONV][m * t->K + j] *
						                 in[D_U][at * ch + m];
				}
				c[r * ch + m] = x[r * ch + m] * sigmoid(x[r * ch + m]);
			}
	for (int h = 0; h < nv; h++) {
		const int kh = h / (nv / nk), qa = kh * dk, ka = nk * dk + qa,
			  va = 2 * nk * dk + h * dv;
		for (int s = 0; s < t->samples; s++) {
			const int from = z->start[s], to = z->start[s + 1];
			memset(S + (size_t)from * sq, 0, sq * sizeof *S);
			for (int r = from; r < to; r++) {
				const double *cr = c + r * ch;
				double qq = 0, kk = 0, ss = 0;
				for (int i = 0; i < dk; i++) {
					qq += cr[qa + i] * cr[qa + i];
					kk += cr[ka + i] * cr[ka + i];
				}
				for (int i = 0; i < dk; i++) {
					q[r * dk + i] = cr[qa + i] / sqrt(qq + 1e-6) / sqrt(dk);
					k[r * dk + i] = cr[ka + i] / sqrt(kk + 1e-6);
				}
				g[r] = -exp(in[D_ALOG][h]) *
				       softplus(in[D_A][r * nv + h] + in[D_DT][h]);
				be[r] = sigmoid(in[D_B][r * nv + h]);
				double *now = S + (size_t)(r + 1) * sq;
				const double *was = S + (size_t)r * sq;
				for (size_t i = 0; i < sq; i++)
					now[i] = r > from ? exp(g[r]) * was[i] : 0;
				for (int v = 0; v < dv; v++) {
					double sum = 0;
					for (int i = 0; i < dk; i++)
						sum += now[i * dv + v] * k[r * dk + i];
					dd[r * dv + v] = be[r] * (cr[va + v] - sum);
				}
				for (int v = 0; v < dv; v++) {
					double sum = 0;
					for (int i = 0; i < dk; i++) {
						now[i * dv + v] += k[r * dk + i] * dd[r * dv + v];
						sum += now[i * dv + v] * q[r * dk + i];
					}
					o[r * dv + v] = sum;
					ss += sum * sum;
				}
				for (int v = 0; v < dv; v++) {
					double zz = in[D_Z][(r * nv + h) * dv + v];
					y[(r * nv + h) * dv + v] = o[r * dv + v] /
					                           sqrt(ss / dv + 1e-6) *
					                           in[D_NORM][v] * zz * sigmoid(zz);
				}
			}
			if (!dy)
				continue;
			memset(L, 0, sq * sizeof *L);
			for (int r = to - 1; r >= from; r--) {
				const double *cr = c + r * ch, *kr = k + r * dk, *qr = q + r * dk;
				const double * or = o + r * dv, *dr = dd + r * dv;
				double don[512], ddd[512], dq[512], dkk[512], ss = 0, dot = 0;
				for (int v = 0; v < dv; v++)
					ss += or [v] * or [v];
				const double inv = 1 / sqrt(ss / dv + 1e-6);
				for (int v = 0; v < dv; v++) {
					const int at = (r * nv + h) * dv + v;
					double zz = in[D_Z][at], si = sigmoid(zz),
					       w = in[D_NORM][v];
					d[D_Z][at] += dy[at] * or [v] * inv * w * si *
					                                  (1 + zz * (1 - si));
					d[D_NORM][v] += dy[at] * or [v] * inv * zz * si;
					don[v] = dy[at] * w * zz * si;
					dot += don[v] * or [v];
				}
				for (int v = 0; v < dv; v++)
					don[v] = inv * don[v] - inv * inv * inv * or [v] * dot / dv;
				const double *now = S + (size_t)(r + 1) * sq;
				const double *was = S + (size_t)r * sq;
				double eg = exp(g[r]), db = 0, dg = 0;
				for (int i = 0; i < dk; i++)
					for (int v = 0; v < dv; v++) {
						L[i * dv + v] += qr[i] * don[v];
						St[i * dv + v] =
							r > from ? eg * was[i * dv + v] : 0;
					}
				for (int v = 0; v < dv; v++) {
					ddd[v] = 0;
					for (int i = 0; i < dk; i++)
						ddd[v] += L[i * dv + v] * kr[i];
					db += ddd[v] * dr[v] / be[r];
					dc[r * ch + va + v] += be[r] * ddd[v];
				}
				for (int i = 0; i < dk; i++) {
					dq[i] = dkk[i] = 0;
					for (int v = 0; v < dv; v++) {
						dq[i] += now[i * dv + v] * don[v];
						dkk[i] += L[i * dv + v] * dr[v] -
						          be[r] * St[i * dv + v] * ddd[v];
						L[i * dv + v] -= be[r] * kr[i] * ddd[v];
						dg += L[i * dv + v] * St[i * dv + v];
						L[i * dv + v] *= eg;
					}
				}
				double a = in[D_A][r * nv + h] + in[D_DT][h];
				double rate = -exp(in[D_ALOG][h]);
				d[D_A][r * nv + h] += dg * rate * sigmoid(a);
				d[D_DT][h] += dg * rate * sigmoid(a);
				d[D_ALOG][h] += dg * g[r];
				d[D_B][r * nv + h] += db * be[r] * (1 - be[r]);
				/* through the unit vectors */
				double qq = 1e-6, kk = 1e-6, qd = 0, kd = 0;
				for (int i = 0; i < dk; i++) {
					qq += cr[qa + i] * cr[qa + i];
					kk += cr[ka + i] * cr[ka + i];
					qd += cr[qa + i] * dq[i];
					kd += cr[ka + i] * dkk[i];
				}
				for (int i = 0; i < dk; i++) {
					dc[r * ch + qa + i] += (dq[i] - cr[qa + i] * qd / qq) /
					                       sqrt(qq) / sqrt(dk);
					dc[r * ch + ka + i] +=
						(dkk[i] - cr[ka + i] * kd / kk) / sqrt(kk);
				}
			}
		}
	}
	for (int s = 0; dy && s < t->samples; s++)
		for (int r = z->start[s]; r < z->start[s + 1]; r++)
			for (int m = 0; m < ch; m++) {
				double si = sigmoid(x[r * ch + m]);
				double dx = dc[r * ch + m] * si * (1 + x[r * ch + m] * (1 - si));
				for (int j = 0; j < t->K; j++) {
					int at = r - (t->K - 1) + j;
					if (at < z->start[s])
						continue;
					d[D_CONV][m * t->K + j] += dx * in[D_U][at * ch + m];
					d[D_U][at * ch + m] += dx * in[D_CONV][m * t->K + j];
				}
			}
	free(x), free(c), free(dc), free(S), free(St), free(L), free(o), free(dd);
	free(q), free(k), free(g), free(be);
}

/* ---- a case in f32 ---- */

struct delta_rig {
	struct model_config c;
	struct delta_sizes z;
	float *in[D_ARRAYS], *d[D_ARRAYS], *y, *dy;
	bool no_weights; /* gradients of none */
};

static void delta_make(struct delta_rig *g, const struct delta_case *t)
{
	delta_config(&g->c, t);
	delta_sizes(&g->z, t);
	const double scale[D_ARRAYS] = { 1, 2, t->decay, t->beta, 0.7, 0.8, 1, 0.5 };
	for (int i = 0; i < D_ARRAYS; i++) {
		g->in[i] = noises(g->z.count[i], scale[i], (uint32_t)(7 + i));
		g->d[i] = zeros(g->z.count[i]);
	}
	for (size_t i = 0; i < g->z.count[D_NORM]; i++)
		g->in[D_NORM][i] += 1;
	const int keys = t->nk * t->dk;
	for (int r = 1; t->same > 0 && r < g->z.n; r++)
		for (int m = keys; m < 2 * keys; m++) {
			float *u = g->in[D_U] + r * g->z.channels + m;
			*u = (float)(t->same * g->in[D_U][m] + (1 - t->same) * *u);
		}
	g->no_weights = false;
	g->y = zeros(g->z.count[D_Z]);
	g->dy = noises(g->z.count[D_Z], 1, 99);
}

static void delta_free(struct delta_rig *g)
{
	for (int i = 0; i < D_ARRAYS; i++)
		free(g->in[i]), free(g->d[i]);
	free(g->y), free(g->dy);
}

static struct pool *threads(int n)
{
	struct err e;
	struct pool *p = pool_open(n, &e);
	assert_non_null(p);
	return p;
}

static void delta_run(struct delta_rig *g, int samples, struct pool *p, enum mixer_isa isa)
{
	struct mixer_rows r = { g->z.n, samples, g->z.start, p, isa };
	struct delta_weights w = { g->in[D_CONV], g->in[D_ALOG], g->in[D_DT], g->in[D_NORM] };
	struct delta_gradients d = { g->d[D_CONV], g->d[D_ALOG], g->d[D_DT], g->d[D_NORM] };
	float *kept = malloc(delta_kept_floats(&g->c, g->z.n, samples) * sizeof *kept);
	float *scratch = malloc(delta_scratch_floats(&g->c, g->z.n, samples, pool_threads(p)) *
	                        sizeof *scratch);
	memset(kept, 0xff, delta_kept_floats(&g->c, g->z.n, samples) * sizeof *kept); /* NaN */
	memset(scratch, 0xff,
	       delta_scratch_floats(&g->c, g->z.n, samples, pool_threads(p)) * sizeof *scratch);
	delta_forward(&g->c, &r, &w, g->in[D_U], g->in[D_Z], g->in[D_A], g->in[D_B], g->y, NULL,
	              scratch);
	float *again = zeros(g->z.count[D_Z]);
	delta_forward(&g->c, &r, &w, g->in[D_U], g->in[D_Z], g->in[D_A], g->in[D_B], again, kept,
	              scratch);
	assert_memory_equal(again, g->y, g->z.count[D_Z] * sizeof *again);
	free(again);
	delta_backward(&g->c, &r, &w, g->in[D_U], g->in[D_Z], g->in[D_A], g->in[D_B], kept, g->dy,
	               g->d[D_U], g->d[D_Z], g->d[D_A], g->d[D_B], g->no_weights ? NULL : &d,
	               scratch);
	free(kept), free(scratch);
}

static const char *const delta_name[D_ARRAYS] = { "u",    "z",     "a",       "b",
	                                          "conv", "A_log", "dt_bias", "norm" };

static const struct delta_case delta_cases[] = {
	{ "lengths about the chunk's", 2, 2, 16, 16, 4, 6, { 1, 63, 64, 65, 130, 2 }, 1, 1, 0 },
	{ "the oracle's heads", 2, 4, 16, 24, 4, 3, { 70, 5, 129 }, 1, 1, 0 },
	{ "the demonstration's heads", 4, 4, 48, 48, 4, 2, { 100, 210 }, 1, 1, 0 },
	{ "odd sizes", 1, 3, 7, 13, 3, 3, { 66, 1, 30 }, 1, 1, 0 },
	{ "one tap", 1, 1, 8, 20, 1, 2, { 70, 9 }, 1, 1, 0 },
	{ "sixteen taps", 1, 2, 20, 8, 16, 2, { 70, 9 }, 1, 1, 0 },
	{ "the large models' heads", 1, 2, 128, 128, 4, 1, { 140 }, 1, 1, 0 },
	{ "nearly equal keys, no decay", 2, 2, 16, 16, 4, 1, { 200 }, 0.1, 6, 0.97 },
	{ "forgotten within a token, and not at all", 2, 2, 16, 16, 4, 1, { 150 }, 40, 9, 0 },
};

/* A sum's rounding follows its terms: what cancels in them is not asked for. */
static double gate_terms(const struct delta_case *t, const struct delta_sizes *z, double *const *d)
{
	double all = 0, most = 0;
	for (int i = 0; i < t->nv; i++) {
		double sum = 0;
		for (int r = 0; r < z->n; r++)
			sum += fabs(d[D_A][r * t->nv + i]);
		all = sum > all ? sum : all;
		most = fabs(d[D_DT][i]) > most ? fabs(d[D_DT][i]) : most;
	}
	return most / all;
}

static bool runs_here(enum mixer_isa isa)
{
	bool runs;
	mixer_version(isa, &runs);
	return runs;
}

static void show(const char *name, enum mixer_isa isa, const char *what, double off)
{
	if (getenv("SHOW"))
		print_message("%s, %s: %s %g\n", name, version_name[isa], what, off);
}

static void the_delta_rule_and_its_gradients_equal_the_recurrence(void **state)
{
	(void)state;
	struct pool *p = threads(2);
	for (size_t i = 0; i < sizeof delta_cases / sizeof *delta_cases; i++) {
		const struct delta_case *t = &delta_cases[i];
		struct delta_rig g;
		delta_make(&g, t);
		double *in[D_ARRAYS], *d[D_ARRAYS];
		double *y = calloc(g.z.count[D_Z], sizeof *y), *dy = widened(g.dy, g.z.count[D_Z]);
		for (int a = 0; a < D_ARRAYS; a++) {
			in[a] = widened(g.in[a], g.z.count[a]);
			d[a] = calloc(g.z.count[a], sizeof(double));
		}
		delta_twin(t, &g.z, in, y, dy, d);
		for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
			if (!runs_here(versions[v]))
				continue;
			for (int a = D_CONV; a < D_ARRAYS; a++)
				memset(g.d[a], 0, g.z.count[a] * sizeof(float));
			delta_run(&g, t->samples, p, versions[v]);
			double off = apart(g.y, y, g.z.count[D_Z]);
			if (off > 2e-5)
				fail_msg("%s, %s: y is off by %g", t->name,
				         version_name[versions[v]], off);
			for (int a = 0; a < D_ARRAYS; a++) {
				off = apart(g.d[a], d[a], g.z.count[a]);
				if (a == D_ALOG || a == D_DT)
					off *= gate_terms(t, &g.z, d);
				if (a == D_ALOG && t->decay > 10)
					off /= 40; /* terms are up to 40 times those of dt_bias */
				show(t->name, versions[v], delta_name[a], off);
				if (!(off < (a == D_ALOG || a == D_DT ? 5e-5 : 2e-5)))
					fail_msg("%s, %s: d%s is off by %g", t->name,
					         version_name[versions[v]], delta_name[a], off);
			}
		}
		for (int a = 0; a < D_ARRAYS; a++)
			free(in[a]), free(d[a]);
		free(y), free(dy);
		delta_free(&g);
	}
	pool_close(p);
}

static double along(const double *x, const double *y, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

/* Along a random direction in all inputs of one array at once. */
static void the_delta_twin_s_gradients_equal_finite_differences(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct delta_case *t = &delta_cases[i];
		struct delta_rig g;
		delta_make(&g, t);
		double *in[D_ARRAYS], *d[D_ARRAYS];
		double *y = calloc(g.z.count[D_Z], sizeof *y), *dy = widened(g.dy, g.z.count[D_Z]);
		for (int a = 0; a < D_ARRAYS; a++) {
			in[a] = widened(g.in[a], g.z.count[a]);
			d[a] = calloc(g.z.count[a], sizeof(double));
		}
		delta_twin(t, &g.z, in, y, dy, d);
		for (int a = 0; a < D_ARRAYS; a++) {
			const size_t n = g.z.count[a];
			float *way = noises(n, 1, (uint32_t)(40 + a));
			double side[2], *was = in[a], *to = widened(way, n);
			for (int s = 0; s < 2; s++) {
				in[a] = widened(way, n);
				for (size_t m = 0; m < n; m++)
					in[a][m] = was[m] + (s ? 1e-5 : -1e-5) * to[m];
				delta_twin(t, &g.z, in, y, NULL, NULL);
				side[s] = along(y, dy, g.z.count[D_Z]);
				free(in[a]);
			}
			in[a] = was;
			const double want = (side[1] - side[0]) / 2e-5, got = along(d[a], to, n);
			if (!(fabs(got - want) <= 1e-6 * (1 + fabs(want))))
				fail_msg("%s: d%s is %.9g, by differences %.9g", t->name,
				         delta_name[a], got, want);
			free(way), free(to);
		}
		for (int a = 0; a < D_ARRAYS; a++)
			free(in[a]), free(d[a]);
		free(y), free(dy);
		delta_free(&g);
	}
}

static void bits_equal(const char *name, const char *what, const float *a, const float *b, size_t n)
{
	if (memcmp(a, b, n * sizeof *a) != 0)
		fail_msg("%s: other bits in %s", name, what);
}

static void delta_bits_do_not_depend_on_threads_or_neighbours(void **state)
{
	(void)state;
	struct pool *one = threads(1), *many = threads(5);
	for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
		const struct delta_case *t = &delta_cases[1];
		struct delta_rig a, b;
		if (!runs_here(versions[v]))
			continue;
		delta_make(&a, t);
		delta_make(&b, t);
		delta_run(&a, t->samples, one, versions[v]);
		delta_run(&b, t->samples, many, versions[v]);
		bits_equal(t->name, "y", a.y, b.y, a.z.count[D_Z]);
		for (int i = 0; i < D_ARRAYS; i++)
			bits_equal(t->name, delta_name[i], a.d[i], b.d[i], a.z.count[i]);
		/* the last sample alone */
		struct delta_case alone = *t;
		alone.samples = 1;
		alone.len[0] = t->len[t->samples - 1];
		struct delta_rig c;
		delta_make(&c, &alone);
		const size_t from = (size_t)a.z.start[t->samples - 1];
		for (int i = D_U; i <= D_B; i++)
			memcpy(c.in[i], a.in[i] + from * (a.z.count[i] / (size_t)a.z.n),
			       c.z.count[i] * sizeof(float));
		memcpy(c.dy, a.dy + from * (a.z.count[D_Z] / (size_t)a.z.n),
		       c.z.count[D_Z] * sizeof(float));
		delta_run(&c, 1, many, versions[v]);
		bits_equal(t->name, "y alone", c.y, a.y + from * (a.z.count[D_Z] / (size_t)a.z.n),
		           c.z.count[D_Z]);
		for (int i = D_U; i <= D_B; i++)
			bits_equal(t->name, delta_name[i], c.d[i],
			           a.d[i] + from * (a.z.count[i] / (size_t)a.z.n), c.z.count[i]);
		delta_free(&a), delta_free(&b), delta_free(&c);
	}
	pool_close(one);
	pool_close(many);
}

/* ---- attention's twin ---- */

enum { A_Q, A_K, A_V, A_QNORM, A_KNORM, A_ARRAYS };
static const char *const attention_name[A_ARRAYS] = { "q", "k", "v", "q_norm", "k_norm" };

struct attention_case {
	const char *name;
	int heads, kv, hd, rotary;
	int samples, len[8];
	double size; /* of q's and k's norms: how sharp the rows are */
};

static const struct attention_case attention_cases[] = {
	{ "lengths about the block's", 2, 2, 16, 4, 6, { 1, 63, 64, 65, 130, 2 }, 1 },
	{ "the oracle's heads", 4, 2, 32, 8, 3, { 70, 5, 129 }, 1 },
	{ "the demonstration's heads", 4, 2, 48, 12, 2, { 100, 210 }, 1 },
	{ "odd sizes", 3, 1, 13, 6, 3, { 66, 1, 30 }, 1 },
	{ "nothing turned", 2, 1, 24, 0, 1, { 40 }, 1 },
	{ "the large models' heads", 4, 1, 256, 64, 1, { 140 }, 1 },
	{ "one key takes all", 2, 2, 16, 16, 1, { 150 }, 20 },
};

struct attention_rig {
	struct model_config c;
	int n;
	int32_t start[16];
	size_t count[A_ARRAYS], outputs;
	float *in[A_ARRAYS], *d[A_ARRAYS], *y, *dy;
	bool no_weights;
};

static void attention_make(struct attention_rig *g, const struct attention_case *t)
{
	g->c = (struct model_config){ .hidden = 64,
		                      .heads = t->heads,
		                      .kv_heads = t->kv,
		                      .head_dim = t->hd,
		                      .rotary = t->rotary,
		                      .rope_theta = 10000,
		                      .norm_eps = 1e-6 };
	g->n = 0;
	g->start[0] = 0;
	for (int i = 0; i < t->samples; i++)
		g->start[i + 1] = g->n += t->len[i];
	const size_t n = (size_t)g->n, hd = (size_t)t->hd;
	g->outputs = n * (size_t)t->heads * hd;
	g->count[A_Q] = 2 * g->outputs;
	g->count[A_K] = g->count[A_V] = n * (size_t)t->kv * hd;
	g->count[A_QNORM] = g->count[A_KNORM] = hd;
	for (int i = 0; i < A_ARRAYS; i++) {
		g->in[i] = noises(g->count[i], i < A_QNORM ? 1.5 : 0.5, (uint32_t)(70 + i));
		g->d[i] = zeros(g->count[i]);
	}
	for (size_t i = 0; i < hd; i++) {
		g->in[A_QNORM][i] += (float)(t->size - 1);
		g->in[A_KNORM][i] += (float)(t->size - 1);
	}
	g->no_weights = false;
	g->y = zeros(g->outputs);
	g->dy = noises(g->outputs, 1, 98);
}

static void attention_free(struct attention_rig *g)
{
	for (int i = 0; i < A_ARRAYS; i++)
		free(g->in[i]), free(g->d[i]);
	free(g->y), free(g->dy);
}

/* Normed and turned, and back. */
static void twin_turn(const struct model_config *c, const double *x, const double *w, int pos,
                      double *y)
{
	const int n = c->head_dim, half = c->rotary / 2;
	double ss = 0;
	for (int i = 0; i < n; i++)
		ss += x[i] * x[i];
	for (int i = 0; i < n; i++)
		y[i] = x[i] / sqrt(ss / n + 1e-6) * (1 + w[i]);
	for (int i = 0; i < half; i++) {
		float rate = 1.0f / (float)pow(c->rope_theta, 2.0 * i / c->rotary);
		double f = (float)pos * rate, a = y[i], b = y[i + half];
		y[i] = a * cos(f) - b * sin(f);
		y[i + half] = b * cos(f) + a * sin(f);
	}
}

static void twin_turn_back(const struct model_config *c, const double *x, const double *w, int pos,
                           const double *dy, double *dx, double *dw)
{
	const int n = c->head_dim, half = c->rotary / 2;
	double ss = 0, dot = 0, e[512];
	memcpy(e, dy, (size_t)n * sizeof *e);
	for (int i = 0; i < half; i++) {
		float rate = 1.0f / (float)pow(c->rope_theta, 2.0 * i / c->rotary);
		double f = (float)pos * rate;
		e[i] = dy[i] * cos(f) + dy[i + half] * sin(f);
		e[i + half] = dy[i + half] * cos(f) - dy[i] * sin(f);
	}
	for (int i = 0; i < n; i++)
		ss += x[i] * x[i];
	const double inv = 1 / sqrt(ss / n + 1e-6);
	for (int i = 0; i < n; i++) {
		dw[i] += e[i] * x[i] * inv;
		e[i] *= 1 + w[i];
		dot += e[i] * x[i] * inv / n;
	}
	for (int i = 0; i < n; i++)
		dx[i] += inv * (e[i] - x[i] * inv * dot);
}

static void attention_twin(const struct attention_rig *g, double *const *in, double *y,
                           const double *dy, double *const *d)
{
	const struct model_config *c = &g->c;
	const int hd = c->head_dim, H = c->heads, KV = c->kv_heads;
	const size_t n = (size_t)g->n;
	double *q = calloc(n * (size_t)hd, sizeof *q), *k = calloc(n * (size_t)hd, sizeof *k);
	double *dq = calloc(n * (size_t)hd, sizeof *q), *dk = calloc(n * (size_t)hd, sizeof *k);
	double *p = calloc(n, sizeof *p), *dp = calloc(n, sizeof *dp);
	for (int h = 0; h < H; h++) {
		const int kh = h / (H / KV);
		for (int s = 0; g->start[s] < g->n; s++) {
			const int from = g->start[s], to = g->start[s + 1];
			for (int r = from; r < to; r++) {
				twin_turn(c, in[A_Q] + (r * H + h) * 2 * hd, in[A_QNORM], r - from,
				          q + r * hd);
				twin_turn(c, in[A_K] + (r * KV + kh) * hd, in[A_KNORM], r - from,
				          k + r * hd);
				memset(dq + r * hd, 0, (size_t)hd * sizeof *dq);
				memset(dk + r * hd, 0, (size_t)hd * sizeof *dk);
			}
			for (int r = from; r < to; r++) {
				double top = -INFINITY, sum = 0, total = 0;
				for (int m = from; m <= r; m++) {
					p[m] = along(q + r * hd, k + m * hd, (size_t)hd) / sqrt(hd);
					top = fmax(top, p[m]);
				}
				for (int m = from; m <= r; m++)
					sum += p[m] = exp(p[m] - top);
				double o[512] = { 0 }, d_o[512];
				for (int m = from; m <= r; m++)
					for (int i = 0; i < hd; i++)
						o[i] += p[m] / sum *
						        in[A_V][(m * KV + kh) * hd + i];
				const double *gate = in[A_Q] + (r * H + h) * 2 * hd + hd;
				for (int i = 0; i < hd; i++)
					y[(r * H + h) * hd + i] = o[i] * sigmoid(gate[i]);
				if (!dy)
					continue;
				for (int i = 0; i < hd; i++) {
					const double si = sigmoid(gate[i]);
					const double up = dy[(r * H + h) * hd + i];
					d[A_Q][(r * H + h) * 2 * hd + hd + i] +=
						up * o[i] * si * (1 - si);
					d_o[i] = up * si;
				}
				for (int m = from; m <= r; m++) {
					p[m] /= sum;
					dp[m] = 0;
					for (int i = 0; i < hd; i++) {
						const int at = (m * KV + kh) * hd + i;
						dp[m] += d_o[i] * in[A_V][at];
						d[A_V][at] += p[m] * d_o[i];
					}
					total += p[m] * dp[m];
				}
				for (int m = from; m <= r; m++)
					for (int i = 0; i < hd; i++) {
						const double ds = p[m] * (dp[m] - total) / sqrt(hd);
						dq[r * hd + i] += ds * k[m * hd + i];
						dk[m * hd + i] += ds * q[r * hd + i];
					}
			}
			for (int r = from; dy && r < to; r++) {
				const int qa = (r * H + h) * 2 * hd, ka = (r * KV + kh) * hd;
				twin_turn_back(c, in[A_Q] + qa, in[A_QNORM], r - from, dq + r * hd,
				               d[A_Q] + qa, d[A_QNORM]);
				twin_turn_back(c, in[A_K] + ka, in[A_KNORM], r - from, dk + r * hd,
				               d[A_K] + ka, d[A_KNORM]);
			}
		}
	}
	free(q), free(k), free(dq), free(dk), free(p), free(dp);
}

static void attention_run(struct attention_rig *g, int samples, struct pool *p, enum mixer_isa isa)
{
	struct mixer_rows r = { g->n, samples, g->start, p, isa };
	struct attention_weights w = { g->in[A_QNORM], g->in[A_KNORM] };
	struct attention_gradients d = { g->d[A_QNORM], g->d[A_KNORM] };
	int longest = 0;
	for (int s = 0; s < samples; s++)
		longest = g->start[s + 1] - g->start[s] > longest ? g->start[s + 1] - g->start[s]
		                                                  : longest;
	size_t keep = attention_kept_floats(&g->c, g->n, samples);
	size_t room = attention_scratch_floats(&g->c, g->n, samples, longest, pool_threads(p));
	float *kept = malloc(keep * sizeof *kept), *scratch = malloc(room * sizeof *scratch);
	memset(kept, 0xff, keep * sizeof *kept); /* NaN */
	memset(scratch, 0xff, room * sizeof *scratch);
	attention_forward(&g->c, &r, &w, g->in[A_Q], g->in[A_K], g->in[A_V], g->y, NULL, scratch);
	float *again = zeros(g->outputs);
	attention_forward(&g->c, &r, &w, g->in[A_Q], g->in[A_K], g->in[A_V], again, kept, scratch);
	assert_memory_equal(again, g->y, g->outputs * sizeof *again);
	free(again);
	memset(scratch, 0xff, room * sizeof *scratch);
	attention_backward(&g->c, &r, &w, g->in[A_Q], g->in[A_K], g->in[A_V], kept, g->dy,
	                   g->d[A_Q], g->d[A_K], g->d[A_V], g->no_weights ? NULL : &d, scratch);
	free(kept), free(scratch);
}

static void attention_and_its_gradients_equal_the_plain_sums(void **state)
{
	(void)state;
	struct pool *p = threads(2);
	for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++) {
		const struct attention_case *t = &attention_cases[i];
		struct attention_rig g;
		attention_make(&g, t);
		double *in[A_ARRAYS], *d[A_ARRAYS];
		double *y = calloc(g.outputs, sizeof *y), *dy = widened(g.dy, g.outputs);
		for (int a = 0; a < A_ARRAYS; a++) {
			in[a] = widened(g.in[a], g.count[a]);
			d[a] = calloc(g.count[a], sizeof(double));
		}
		attention_twin(&g, in, y, dy, d);
		for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
			if (!runs_here(versions[v]))
				continue;
			for (int a = A_QNORM; a < A_ARRAYS; a++)
				memset(g.d[a], 0, g.count[a] * sizeof(float));
			attention_run(&g, t->samples, p, versions[v]);
			double off = apart(g.y, y, g.outputs);
			show(t->name, versions[v], "y", off);
			/* scores of hundreds have seven digits */
			const double tolerance = 1e-5 * t->size * t->size;
			if (!(off < tolerance))
				fail_msg("%s, %s: y is off by %g", t->name,
				         version_name[versions[v]], off);
			for (int a = 0; a < A_ARRAYS; a++) {
				off = apart(g.d[a], d[a], g.count[a]);
				show(t->name, versions[v], attention_name[a], off);
				if (!(off < tolerance))
					fail_msg("%s, %s: d%s is off by %g", t->name,
					         version_name[versions[v]], attention_name[a], off);
			}
		}
		for (int a = 0; a < A_ARRAYS; a++)
			free(in[a]), free(d[a]);
		free(y), free(dy);
		attention_free(&g);
	}
	pool_close(p);
}

static void the_attention_twin_s_gradients_equal_finite_differences(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct attention_case *t = &attention_cases[i];
		struct attention_rig g;
		attention_make(&g, t);
		double *in[A_ARRAYS], *d[A_ARRAYS];
		double *y = calloc(g.outputs, sizeof *y), *dy = widened(g.dy, g.outputs);
		for (int a = 0; a < A_ARRAYS; a++) {
			in[a] = widened(g.in[a], g.count[a]);
			d[a] = calloc(g.count[a], sizeof(double));
		}
		attention_twin(&g, in, y, dy, d);
		for (int a = 0; a < A_ARRAYS; a++) {
			const size_t n = g.count[a];
			float *way = noises(n, 1, (uint32_t)(40 + a));
			double side[2], *was = in[a], *to = widened(way, n);
			for (int s = 0; s < 2; s++) {
				in[a] = widened(way, n);
				for (size_t m = 0; m < n; m++)
					in[a][m] = was[m] + (s ? 1e-5 : -1e-5) * to[m];
				attention_twin(&g, in, y, NULL, NULL);
				side[s] = along(y, dy, g.outputs);
				free(in[a]);
			}
			in[a] = was;
			const double want = (side[1] - side[0]) / 2e-5, got = along(d[a], to, n);
			if (!(fabs(got - want) <= 1e-6 * (1 + fabs(want))))
				fail_msg("%s: d%s is %.9g, by differences %.9g", t->name,
				         attention_name[a], got, want);
			free(way), free(to);
		}
		for (int a = 0; a < A_ARRAYS; a++)
			free(in[a]), free(d[a]);
		free(y), free(dy);
		attention_free(&g);
	}
}

static void attention_bits_do_not_depend_on_threads_or_neighbours(void **state)
{
	(void)state;
	struct pool *one = threads(1), *many = threads(5);
	for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
		const struct attention_case *t = &attention_cases[1];
		struct attention_rig a, b, c;
		if (!runs_here(versions[v]))
			continue;
		attention_make(&a, t);
		attention_make(&b, t);
		attention_run(&a, t->samples, one, versions[v]);
		attention_run(&b, t->samples, many, versions[v]);
		bits_equal(t->name, "y", a.y, b.y, a.outputs);
		for (int i = 0; i < A_ARRAYS; i++)
			bits_equal(t->name, attention_name[i], a.d[i], b.d[i], a.count[i]);
		/* the last sample alone */
		struct attention_case alone = *t;
		alone.samples = 1;
		alone.len[0] = t->len[t->samples - 1];
		attention_make(&c, &alone);
		const size_t from = (size_t)a.start[t->samples - 1], n = (size_t)a.n;
		for (int i = A_Q; i <= A_V; i++)
			memcpy(c.in[i], a.in[i] + from * (a.count[i] / n),
			       c.count[i] * sizeof(float));
		memcpy(c.dy, a.dy + from * (a.outputs / n), c.outputs * sizeof(float));
		attention_run(&c, 1, many, versions[v]);
		bits_equal(t->name, "y alone", c.y, a.y + from * (a.outputs / n), c.outputs);
		for (int i = A_Q; i <= A_V; i++)
			bits_equal(t->name, attention_name[i], c.d[i],
			           a.d[i] + from * (a.count[i] / n), c.count[i]);
		attention_free(&a), attention_free(&b), attention_free(&c);
	}
	pool_close(one);
	pool_close(many);
}

/* ---- what both promise ---- */

static void gradients_of_weights_may_be_left_out(void **state)
{
	(void)state;
	struct pool *p = threads(2);
	struct delta_rig d;
	struct attention_rig a;
	delta_make(&d, &delta_cases[1]);
	attention_make(&a, &attention_cases[1]);
	delta_run(&d, delta_cases[1].samples, p, MIXER_BEST);
	attention_run(&a, attention_cases[1].samples, p, MIXER_BEST);
	float *du = noises(d.z.count[D_U], 1, 1), *dq = noises(a.count[A_Q], 1, 1);
	memcpy(du, d.d[D_U], d.z.count[D_U] * sizeof *du);
	memcpy(dq, a.d[A_Q], a.count[A_Q] * sizeof *dq);
	d.no_weights = a.no_weights = true;
	delta_run(&d, delta_cases[1].samples, p, MIXER_BEST);
	attention_run(&a, attention_cases[1].samples, p, MIXER_BEST);
	bits_equal("DeltaNet", "du", du, d.d[D_U], d.z.count[D_U]);
	bits_equal("attention", "dq", dq, a.d[A_Q], a.count[A_Q]);
	free(du), free(dq);
	delta_free(&d), attention_free(&a);
	pool_close(p);
}

static void long_samples_need_no_square_of_memory(void **state)
{
	(void)state;
	struct model_config c;
	config_named(&c, "9b");
	size_t short_ones = attention_scratch_floats(&c, 8192, 64, 128, 2);
	size_t long_one = attention_scratch_floats(&c, 8192, 1, 8192, 2);
	assert_true(long_one < short_ones + (size_t)8192 * 500);
}

static float *read_tensor(const struct tensor *t)
{
	assert_non_null(t);
	float *x = malloc((size_t)t->n * sizeof *x);
	tensor_read(t, 0, t->n, x);
	return x;
}

static float *traced(const struct tensors *t, const char *name)
{
	return read_tensor(tensors_find(t, name));
}

/* Within 1e-4 + 1e-4 of the largest (the oracle's README). */
static void trace_equal(const struct tensors *t, const char *name, const float *got)
{
	const struct tensor *want = tensors_find(t, name);
	float *x = traced(t, name), top = 0;
	for (uint64_t i = 0; i < want->n; i++)
		top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
	for (uint64_t i = 0; i < want->n; i++)
		if (!(fabsf(got[i] - x[i]) <= 1e-4f * (1 + top)))
			fail_msg("%s[%d]: %g, the oracle has %g", name, (int)i, got[i], x[i]);
	free(x);
}

static void the_oracle_s_trace_is_met(void **state)
{
	(void)state;
	char path[4096];
	struct tensors trace = { 0 };
	struct model m = { 0 };
	struct err e;
	if (tensors_open_file(&trace, oracle(path, "expected/trace_base_L65.safetensors"), &e) <
	            0 ||
	    model_open(&m, oracle(path, "tiny-f32"), &e) < 0)
		fail_msg("%s", e.text);
	struct pool *p = threads(2);
	const int32_t start[] = { 0, 65 };
	const struct model_config *c = &m.config;
	const struct layer *linear = &m.layer[0], *full = &m.layer[3];
	float *weight[] = { read_tensor(linear->conv),    read_tensor(linear->a_log),
		            read_tensor(linear->dt_bias), read_tensor(linear->norm),
		            read_tensor(full->q_norm),    read_tensor(full->k_norm) };
	float *in[] = { traced(&trace, "layers.0.linear_attn.in_proj_qkv"),
		        traced(&trace, "layers.0.linear_attn.in_proj_z"),
		        traced(&trace, "layers.0.linear_attn.in_proj_a"),
		        traced(&trace, "layers.0.linear_attn.in_proj_b"),
		        traced(&trace, "layers.3.self_attn.q_proj"),
		        traced(&trace, "layers.3.self_attn.k_proj"),
		        traced(&trace, "layers.3.self_attn.v_proj") };
	struct delta_weights dw = { weight[0], weight[1], weight[2], weight[3] };
	struct attention_weights aw = { weight[4], weight[5] };
	float *y = zeros(65 * 128);
	float *ds = zeros(delta_scratch_floats(c, 65, 1, 2));
	float *as = zeros(attention_scratch_floats(c, 65, 1, 65, 2));
	for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
		if (!runs_here(versions[v]))
			continue;
		struct mixer_rows r = { 65, 1, start, p, versions[v] };
		delta_forward(c, &r, &dw, in[0], in[1], in[2], in[3], y, NULL, ds);
		trace_equal(&trace, "layers.0.linear_attn.gated_norm_out", y);
		attention_forward(c, &r, &aw, in[4], in[5], in[6], y, NULL, as);
		trace_equal(&trace, "layers.3.self_attn.gated_attn_out", y);
	}
	for (size_t i = 0; i < sizeof weight / sizeof *weight; i++)
		free(weight[i]);
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		free(in[i]);
	free(y), free(ds), free(as);
	pool_close(p);
	model_close(&m);
	tensors_close(&trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_delta_rule_and_its_gradients_equal_the_recurrence),
		cmocka_unit_test(the_delta_twin_s_gradients_equal_finite_differences),
		cmocka_unit_test(delta_bits_do_not_depend_on_threads_or_neighbours),
		cmocka_unit_test(attention_and_its_gradients_equal_the_plain_sums),
		cmocka_unit_test(the_attention_twin_s_gradients_equal_finite_differences),
		cmocka_unit_test(attention_bits_do_not_depend_on_threads_or_neighbours),
		cmocka_unit_test(gradients_of_weights_may_be_left_out),
		cmocka_unit_test(long_samples_need_no_square_of_memory),
		cmocka_unit_test(the_oracle_s_trace_is_met),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
