/*
 * sampler.c - picks in a few passes over the row, none of them a sort.
 *
 * A row of the real vocabulary is a megabyte, so what counts is how often it is read. The first
 * pass goes block by block (a block stays in L1): its largest value, then exp of it, so that one
 * reading gives argmax, log-sum-exp and entropy. The blocks' maxima are kept: who looks for the
 * largest few later skips nearly all blocks. Filters never sort: the border of top_k and top_p is
 * found by radix selection over order-preserving keys (linear whatever the values are), and what is
 * kept stays in the order of ids, which is also the order that the draw walks.
 */
#include "gpu/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16, BLOCK = 1024, CAND_SPARE = 1024 };

/* Sixteen lanes as one value; gcc splits them where registers are narrower. Never passed by value:
 * that would depend on the ABI of the target. */
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lanes_i __attribute__((vector_size(4 * LANES)));

struct block {
	float max;
	bool finite; /* all of it */
};

struct kernels {
	struct block (*scan)(const float *x, int n);
	/* w = exp((x - max) / t) of a block: to @out when that is not NULL, their sum to @sum, the
	 * sum of w (x - max) / t to @weighed. */
	void (*weigh)(const float *x, int n, float max, float t, double *sum, double *weighed,
	              float *out);
};

struct sampler {
	int v, n_blocks;
	const struct kernels *k;
	float *adjusted;     /* [V] logits after penalties and mask */
	float *max_raw;      /* [n_blocks] */
	float *max_adjusted; /* [n_blocks] */
	double *sum;         /* [n_blocks] */
	int32_t *count;      /* [V] zero between picks */
	uint64_t *cand;      /* [V + CAND_SPARE] keys, rising ids */
	float *weight;       /* [V + CAND_SPARE] of cand */
};

void sampling_default(struct sampling *s)
{
	*s = (struct sampling){ .top_p = 1, .repetition = 1 };
}

/* ---- Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3;
 * SC 2011) ---- */

void sampler_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] };
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)0xD2511F53u * c[0];
		uint64_t b = (uint64_t)0xCD9E8D57u * c[2];
		uint32_t n0 = (uint32_t)(b >> 32) ^ c[1] ^ k0;
		uint32_t n2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
		c[0] = n0;
		c[1] = (uint32_t)b;
		c[2] = n2;
		c[3] = (uint32_t)a;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	memcpy(out, c, sizeof(c));
}

float sampler_uniform(uint64_t seed, uint64_t position, uint32_t lane)
{
	const uint32_t counter[4] = { (uint32_t)position, (uint32_t)(position >> 32), lane, 0 };
	const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t word[4];
	sampler_philox(counter, key, word);
	return (float)(word[0] >> 8) * 0x1p-24f;
}

/* ---- the two passes over a block ---- */

static inline __attribute__((always_inline)) void lanes_load(lanes *out, const float *x)
{
	memcpy(out, x, sizeof(*out));
}

/* The last, partial vector: what is missing is filled with the block's first value, which changes
 * no maximum; @there masks it where it would count. */
static inline __attribute__((always_inline)) void lanes_tail(lanes *out, lanes_i *there,
                                                             const float *x, int n, float fill)
{
	for (int l = 0; l < LANES; l++) {
		(*out)[l] = l < n ? x[l] : fill;
		(*there)[l] = l < n ? -1 : 0;
	}
}

static inline __attribute__((always_inline)) void lanes_max(lanes *best, const lanes *x)
{
	lanes_i more = *x > *best;
	*best = (lanes)(((lanes_i)*x & more) | ((lanes_i)*best & ~more));
}

static inline __attribute__((always_inline)) struct block scan_body(const float *x, int n)
{
	const lanes_i exponent = (lanes_i){ 0 } + 0x7f800000;
	lanes best = (lanes){ 0 } - INFINITY;
	lanes_i odd = { 0 }, there;
	struct block b = { .max = -INFINITY, .finite = true };
	int i = 0;

	for (; i + LANES <= n; i += LANES) {
		lanes v;
		lanes_load(&v, x + i);
		odd |= ((lanes_i)v & exponent) == exponent;
		lanes_max(&best, &v);
	}
	if (i < n) {
		lanes v;
		lanes_tail(&v, &there, x + i, n - i, x[0]);
		odd |= ((lanes_i)v & exponent) == exponent;
		lanes_max(&best, &v);
	}
	for (int l = 0; l < LANES; l++) {
		if (best[l] > b.max)
			b.max = best[l];
		b.finite = b.finite && !odd[l];
	}
	return b;
}

/* y, at most 0, to exp(y), relative error below 2e-7; what is under -87, -infinity or NaN gives 0,
 * and its y becomes 0 as well, so that y exp(y) is 0. Range reduction by ln 2 in two parts, then a
 * polynomial of degree 6 (Taylor's, good to 1.2e-7 on +-ln 2 / 2). */
static inline __attribute__((always_inline)) void lanes_exp(lanes *y, lanes *out)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
	lanes_i in = *y > -87.0f;
	lanes v = (lanes)((lanes_i)*y & in);
	lanes t = v * 1.44269504088896341f + magic;
	lanes k = t - magic;
	lanes r = v - k * 0.693359375f;
	r = r - k * -2.12194440e-4f;
	lanes p = r * (1.0f / 720) + (1.0f / 120);
	p = p * r + (1.0f / 24);
	p = p * r + (1.0f / 6);
	p = p * r + 0.5f;
	p = p * r + 1.0f;
	p = p * r + 1.0f;
	lanes_i scale = ((lanes_i)t << 23) + 0x3f800000; /* low bits of t are k */
	*out = (lanes)((lanes_i)(p * (lanes)scale) & in);
	*y = v;
}

static inline __attribute__((always_inline)) void
weigh_body(const float *x, int n, float max, float t, double *sum, double *weighed, float *out)
{
	lanes s = { 0 }, ys = { 0 };
	int i = 0;

	for (; i + LANES <= n; i += LANES) {
		lanes y, w;
		lanes_load(&y, x + i);
		y = y - max;
		if (t != 1.0f) /* a division a value is half of the pass */
			y = y / t;
		lanes_exp(&y, &w);
		s += w;
		ys += y * w;
		if (out)
			memcpy(out + i, &w, sizeof(w));
	}
	if (i < n) {
		lanes y, w;
		lanes_i there;
		lanes_tail(&y, &there, x + i, n - i, x[0]);
		y = (y - max) / t;
		lanes_exp(&y, &w);
		w = (lanes)((lanes_i)w & there);
		s += w;
		ys += y * w;
		for (int l = 0; out && l < n - i; l++)
			out[i + l] = w[l];
	}
	double total = 0, y_total = 0;
	for (int l = 0; l < LANES; l++) {
		total += s[l];
		y_total += ys[l];
	}
	*sum = total;
	*weighed = y_total;
}

#define KERNELS(name, attribute)                                                                   \
	attribute static struct block scan_##name(const float *x, int n)                           \
	{                                                                                          \
		return scan_body(x, n);                                                            \
	}                                                                                          \
	attribute static void weigh_##name(const float *x, int n, float max, float t, double *sum, \
	                                   double *weighed, float *out)                            \
	{                                                                                          \
		weigh_body(x, n, max, t, sum, weighed, out);                                       \
	}                                                                                          \
	static const struct kernels kernels_##name = { scan_##name, weigh_##name };

KERNELS(plain, )
#if defined(__x86_64__)
KERNELS(avx2, __attribute__((target("avx2,fma"))))
KERNELS(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))))
#endif

static const struct kernels *kernels_here(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
		return &kernels_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &kernels_avx2;
#endif
	return &kernels_plain;
}

/* ---- the sampler ---- */

struct sampler *sampler_open(int vocabulary)
{
	struct sampler *s;
	if (vocabulary < 1 || !(s = calloc(1, sizeof(*s))))
		return NULL;
	size_t v = (size_t)vocabulary;
	s->v = vocabulary;
	s->n_blocks = (vocabulary - 1) / BLOCK + 1;
	s->k = kernels_here();
	s->adjusted = malloc(v * sizeof(float));
	s->max_raw = malloc((size_t)s->n_blocks * sizeof(float));
	s->max_adjusted = malloc((size_t)s->n_blocks * sizeof(float));
	s->sum = malloc((size_t)s->n_blocks * sizeof(double));
	s->count = calloc(v, sizeof(int32_t));
	s->cand = malloc((v + CAND_SPARE) * sizeof(uint64_t));
	s->weight = malloc((v + CAND_SPARE) * sizeof(float));
	if (!s->adjusted || !s->max_raw || !s->max_adjusted || !s->sum || !s->count || !s->cand ||
	    !s->weight) {
		sampler_close(s);
		return NULL;
	}
	return s;
}

void sampler_close(struct sampler *s)
{
	if (!s)
		return;
	free(s->adjusted);
	free(s->max_raw);
	free(s->max_adjusted);
	free(s->sum);
	free(s->count);
	free(s->cand);
	free(s->weight);
	free(s);
}

static int block_len(const struct sampler *s, int b)
{
	int left = s->v - b * BLOCK;
	return left < BLOCK ? left : BLOCK;
}

/* Falls as values fall and, on ties, as ids rise: the largest keys are the first picks. */
static uint64_t key_of(float value, int32_t id)
{
	uint32_t bits;
	value += 0.0f; /* -0 is 0 */
	memcpy(&bits, &value, 4);
	bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
	return (uint64_t)bits << 32 | (uint32_t)~id;
}

static int32_t key_id(uint64_t key)
{
	return (int32_t) ~(uint32_t)key;
}

static float key_value(uint64_t key)
{
	uint32_t bits = (uint32_t)(key >> 32);
	float value;
	bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
	memcpy(&value, &bits, 4);
	return value;
}

static int32_t first_equal(const struct sampler *s, const float *x, int b, float value)
{
	const float *p = x + (size_t)b * BLOCK;
	int i = 0, n = block_len(s, b);
	while (i < n - 1 && p[i] != value)
		i++;
	return b * BLOCK + i;
}

/* The largest of @x, lowest id on ties, and every block's largest; -1 when all are -infinity. */
static int32_t argmax(struct sampler *s, const float *x, float *block_max)
{
	float best = -INFINITY;
	int at = -1;
	for (int b = 0; b < s->n_blocks; b++) {
		block_max[b] = s->k->scan(x + (size_t)b * BLOCK, block_len(s, b)).max;
		if (block_max[b] > best) {
			best = block_max[b];
			at = b;
		}
	}
	return at < 0 ? -1 : first_equal(s, x, at, best);
}

struct measure {
	float max;
	int32_t arg;
	double log_sum; /* of exp(x - max) */
	double entropy;
};

/* One reading of the row as the model gave it. -1 when a value is NaN or infinite. */
static int measure(struct sampler *s, const float *x, struct measure *m)
{
	double sum = 0, weighed = 0; /* of w = exp(x - max) and of (x - max) w */
	float max = -INFINITY;
	int at = 0;

	for (int b = 0; b < s->n_blocks; b++) {
		const float *p = x + (size_t)b * BLOCK;
		struct block k = s->k->scan(p, block_len(s, b));
		double part, part_weighed;
		if (!k.finite)
			return -1;
		s->max_raw[b] = k.max;
		if (k.max > max) { /* a new largest: what is there moves to it */
			if (sum > 0) {
				double down = (double)k.max - max, scale = exp(-down);
				weighed = scale > 0 ? scale * (weighed - down * sum) : 0;
				sum *= scale;
			}
			max = k.max;
			at = b;
		}
		s->k->weigh(p, block_len(s, b), max, 1.0f, &part, &part_weighed, NULL);
		sum += part;
		weighed += part_weighed;
	}
	m->max = max;
	m->arg = first_equal(s, x, at, max);
	m->log_sum = log(sum);
	m->entropy = m->log_sum - weighed / sum;
	if (m->entropy < 0)
		m->entropy = 0;
	return 0;
}

/* ---- the largest few ---- */

/* The smallest of the keys that are kept when the largest are taken until their weights (each 1
 * when @weight is NULL) reach @target: byte by byte from the top, histogram by histogram. All n
 * reach it or all are kept. */
static uint64_t cut(const uint64_t *key, const float *weight, int n, double target)
{
	uint64_t prefix = 0, known = 0; /* bits of the answer so far, and which they are */
	double above = 0;               /* of keys larger than any with this prefix */

	for (int shift = 56; shift >= 0; shift -= 8) {
		double mass[256] = { 0 };
		int count[256] = { 0 };
		int bin = -1, last = -1;
		for (int i = 0; i < n; i++) {
			if ((key[i] & known) != prefix)
				continue;
			int at = (int)(key[i] >> shift & 255);
			mass[at] += weight ? (double)weight[i] : 1.0;
			count[at]++;
		}
		for (int at = 255; at >= 0 && bin < 0; at--) {
			if (!count[at])
				continue;
			last = at;
			if (above + mass[at] >= target)
				bin = at;
			else
				above += mass[at];
		}
		if (bin < 0) { /* rounding: the parts sum to a little less than the whole */
			bin = last;
			above -= mass[last];
		}
		prefix |= (uint64_t)bin << shift;
		known |= (uint64_t)255 << shift;
		if (count[bin] == 1) { /* one left: it is the one */
			for (int i = 0; i < n; i++)
				if ((key[i] & known) == prefix)
					return key[i];
		}
	}
	return prefix;
}

static int keep_from(uint64_t *key, int n, uint64_t least)
{
	int kept = 0;
	for (int i = 0; i < n; i++)
		if (key[i] >= least)
			key[kept++] = key[i];
	return kept;
}

/* Keys of the @k largest of @x (fewer when fewer are not -infinity) in s->cand, ids rising. Whole
 * blocks are passed over when their largest cannot get in; the list is cut whenever it doubles. */
static int largest(struct sampler *s, const float *x, const float *block_max, int k)
{
	int n = 0;
	int64_t cap = (int64_t)2 * k + CAND_SPARE / 2;
	float least =
		-INFINITY; /* must be exceeded: an equal value has a higher id than all kept */

	if (cap > (int64_t)s->v + CAND_SPARE)
		cap = (int64_t)s->v + CAND_SPARE;
	for (int b = 0; b < s->n_blocks; b++) {
		if (!(block_max[b] > least))
			continue;
		int first = b * BLOCK, end = first + block_len(s, b);
		for (int i = first; i < end; i++) {
			if (!(x[i] > least))
				continue;
			s->cand[n++] = key_of(x[i], i);
			if (n < cap)
				continue;
			uint64_t border = cut(s->cand, NULL, n, k);
			n = keep_from(s->cand, n, border);
			least = key_value(border);
		}
	}
	return n > k ? keep_from(s->cand, n, cut(s->cand, NULL, n, k)) : n;
}

/* Keys of the values whose weight exp((x - max) / t) is at least @least > 0, ids rising. */
static int heavier(struct sampler *s, const float *x, const float *block_max, float max, float t,
                   double least)
{
	float w[BLOCK];
	double sum, weighed;
	int n = 0;
	/* a block is only looked at when its largest may be in: a little slack, then exactly */
	double border = max + (log(least) - 1e-3) * t;

	for (int b = 0; b < s->n_blocks; b++) {
		if (block_max[b] < border)
			continue;
		const float *p = x + (size_t)b * BLOCK;
		int len = block_len(s, b);
		s->k->weigh(p, len, max, t, &sum, &weighed, w);
		for (int i = 0; i < len; i++)
			if (w[i] >= least && w[i] > 0)
				s->cand[n++] = key_of(p[i], b * BLOCK + i);
	}
	return n;
}

/* s->weight of s->cand; their sum. */
static double weigh_candidates(struct sampler *s, int n, float max, float t)
{
	float x[BLOCK];
	double sum = 0;
	for (int from = 0; from < n; from += BLOCK) {
		int len = n - from < BLOCK ? n - from : BLOCK;
		double part, weighed;
		for (int i = 0; i < len; i++)
			x[i] = key_value(s->cand[from + i]);
		s->k->weigh(x, len, max, t, &part, &weighed, s->weight + from);
		sum += part;
	}
	return sum;
}

/* ---- penalties and mask ---- */

static float bounded(float v)
{
	if (v > FLT_MAX)
		return FLT_MAX;
	return v < -FLT_MAX ? -FLT_MAX : v;
}

static void penalise(struct sampler *s, float *x, const struct sampler_input *in)
{
	const struct sampling *p = in->sampling;
	const bool repetition = p->repetition != 1.0f;

	for (int part = 0; part < 2 && repetition; part++) {
		const int32_t *id = part ? in->answer : in->prompt;
		int n = part ? in->n_answer : in->n_prompt;
		for (int i = 0; i < n; i++) {
			if (id[i] < 0 || id[i] >= s->v || s->count[id[i]])
				continue;
			float v = x[id[i]];
			s->count[id[i]] = 1;
			x[id[i]] = bounded(v > 0 ? v / p->repetition : v * p->repetition);
		}
	}
	for (int part = 0; part < 2 && repetition; part++) {
		const int32_t *id = part ? in->answer : in->prompt;
		int n = part ? in->n_answer : in->n_prompt;
		for (int i = 0; i < n; i++)
			if (id[i] >= 0 && id[i] < s->v)
				s->count[id[i]] = 0;
	}
	if (p->presence == 0 && p->frequency == 0)
		return;
	for (int i = 0; i < in->n_answer; i++)
		if (in->answer[i] >= 0 && in->answer[i] < s->v)
			s->count[in->answer[i]]++;
	for (int i = 0; i < in->n_answer; i++) {
		int32_t id = in->answer[i];
		if (id < 0 || id >= s->v || !s->count[id])
			continue;
		x[id] = bounded(x[id] - p->presence - p->frequency * (float)s->count[id]);
		s->count[id] = 0;
	}
}

static void put_mask(const struct sampler *s, float *x, const uint64_t *mask)
{
	for (int base = 0, w = 0; base < s->v; base += 64, w++) {
		int n = s->v - base < 64 ? s->v - base : 64;
		if (mask[w] == ~(uint64_t)0)
			continue;
		for (int i = 0; i < n; i++)
			if (!(mask[w] >> i & 1))
				x[base + i] = -INFINITY;
	}
}

/* ---- the draw ---- */

/* Without filters the row itself is walked: block sums find the block, its weights the id. */
static int32_t draw_from_all(struct sampler *s, const float *x, float max, float t, float u,
                             double *share)
{
	float w[BLOCK];
	double total = 0, at = 0, weighed;
	int b = 0, last = -1;

	for (int i = 0; i < s->n_blocks; i++) {
		s->k->weigh(x + (size_t)i * BLOCK, block_len(s, i), max, t, &s->sum[i], &weighed,
		            NULL);
		total += s->sum[i];
		if (s->sum[i] > 0)
			last = i;
	}
	double target = (double)u * total;
	while (b < last && at + s->sum[b] <= target)
		at += s->sum[b++];
	int n = block_len(s, b), pick = -1;
	double block_sum;
	s->k->weigh(x + (size_t)b * BLOCK, n, max, t, &block_sum, &weighed, w);
	for (int i = 0; i < n; i++) {
		if (w[i] > 0)
			pick = i; /* should rounding leave the target beyond the end */
		at += w[i];
		if (w[i] > 0 && at > target)
			break;
	}
	*share = w[pick] / total;
	return b * BLOCK + pick;
}

static int32_t draw_from_few(const struct sampler *s, int n, double total, float u, double *share)
{
	double at = 0, target = (double)u * total;
	int pick = -1;
	for (int i = 0; i < n; i++) {
		if (s->weight[i] > 0)
			pick = i;
		at += s->weight[i];
		if (s->weight[i] > 0 && at > target)
			break;
	}
	*share = s->weight[pick] / total;
	return key_id(s->cand[pick]);
}

static int32_t draw(struct sampler *s, const float *x, const float *block_max, float max,
                    const struct sampler_input *in, float *drawn)
{
	const struct sampling *p = in->sampling;
	const float t = p->temperature;
	const float u = sampler_uniform(p->seed, in->position, 0);
	const bool by_mass = p->top_p < 1;
	double share, total;
	int32_t id;
	int n;

	if (p->top_k > 0 && p->top_k < s->v) {
		n = largest(s, x, block_max, p->top_k);
	} else if (by_mass || p->min_p > 0) {
		double least = FLT_MIN;
		if (by_mass) {
			/* ids of less than (1 - top_p) / V of all mass cannot be needed to reach
			 * top_p; half of that, for the roundings */
			double all = 0, weighed;
			for (int b = 0; b < s->n_blocks; b++) {
				s->k->weigh(x + (size_t)b * BLOCK, block_len(s, b), max, t,
				            &s->sum[b], &weighed, NULL);
				all += s->sum[b];
			}
			least = 0.5 * (1 - (double)p->top_p) * all / s->v;
			n = heavier(s, x, block_max, max, t, least > FLT_MIN ? least : FLT_MIN);
			weigh_candidates(s, n, max, t);
			n = keep_from(s->cand, n,
			              cut(s->cand, s->weight, n, (double)p->top_p * all));
		} else {
			n = heavier(s, x, block_max, max, t, p->min_p);
		}
	} else {
		id = draw_from_all(s, x, max, t, u, &share);
		*drawn = (float)log(share);
		return id;
	}
	total = weigh_candidates(s, n, max, t);
	if (by_mass && p->top_k > 0 && p->top_k < s->v) {
		n = keep_from(s->cand, n, cut(s->cand, s->weight, n, (double)p->top_p * total));
		total = weigh_candidates(s, n, max, t);
	}
	if (p->min_p > 0) {
		int kept = 0;
		for (int i = 0; i < n; i++)
			if (s->weight[i] >= p->min_p)
				s->cand[kept++] = s->cand[i];
		n = kept;
		total = weigh_candidates(s, n, max, t);
	}
	id = draw_from_few(s, n, total, u, &share);
	*drawn = (float)log(share);
	return id;
}

static int by_key_falling(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

int sampler_pick(struct sampler *s, const float *logits, const struct sampler_input *in,
                 struct picked *out)
{
	const struct sampling *p = in->sampling;
	struct measure m;

	*out = (struct picked){ .id = -1 };
	if (measure(s, logits, &m) < 0)
		return -1;

	const double lse = m.max + m.log_sum;
	int top = p->top < 0 ? 0 : p->top > SAMPLER_TOP_MAX ? SAMPLER_TOP_MAX : p->top;
	if (top > 0) {
		out->n_top = largest(s, logits, s->max_raw, top);
		qsort(s->cand, (size_t)out->n_top, sizeof(*s->cand), by_key_falling);
		for (int i = 0; i < out->n_top; i++) {
			out->top[i].id = key_id(s->cand[i]);
			out->top[i].logprob = (float)(key_value(s->cand[i]) - lse);
		}
	}
	out->entropy = (float)m.entropy;

	const float *x = logits, *block_max = s->max_raw;
	int32_t best = m.arg;
	bool penalties = (p->presence != 0 || p->frequency != 0) && in->n_answer > 0;
	penalties = penalties || (p->repetition != 1 && (in->n_answer > 0 || in->n_prompt > 0));
	if (penalties || in->mask) {
		memcpy(s->adjusted, logits, (size_t)s->v * sizeof(float));
		if (penalties)
			penalise(s, s->adjusted, in);
		if (in->mask)
			put_mask(s, s->adjusted, in->mask);
		x = s->adjusted;
		block_max = s->max_adjusted;
		best = argmax(s, x, s->max_adjusted);
		if (best < 0) /* everything is masked */
			return -1;
	}
	out->id = p->temperature > 0 ? draw(s, x, block_max, x[best], in, &out->drawn) : best;
	out->logprob = (float)(logits[out->id] - lse);
	return 0;
}
