/*
 * k_sample.cuh - from rows of logits to tokens; the twin of gpu/sampler.c on the device.
 *
 * Three launches a step, whatever the picks ask for: (1) counts of the ids that penalties are
 * about; (2) one reading of the rows, 1024 ids a block: largest values, sums of weights, all kept
 * per block of ids; (3) one block a pick, which reads only what it must: of 243 blocks of ids those
 * whose largest may be among the candidates.
 *
 * Weights are summed in fixed point (42 bits after the point, of a largest weight of 1), so that
 * sums are the same in any order and the histograms of the cuts can be made with atomics; what has
 * a share under 1e-13 of the largest is never drawn. Sums that only report (log-sum-exp, entropy)
 * are doubles in a fixed order.
 */
#ifndef GPU_K_SAMPLE_CUH
#define GPU_K_SAMPLE_CUH

#include <float.h>

#include "gpu/dev.h"
#include "gpu/kernels.h"

typedef unsigned long long u64;

enum {
	SCAN_THREADS = 256,
	PICK_THREADS = 512, /* more leaves too few registers */
	PICK_WARPS = PICK_THREADS / 32,
	COUNT_IN_PROMPT = 1 << 30 /* in count[]: the rest is occurrences in the answer */
};

/* What (2) leaves of a pick; arrays of one value per block of ids, then room for V candidates. */
struct pick_scratch {
	u64 *raw_key, *key; /* of the largest, before and after penalties and mask */
	float *raw_sum;     /* of exp(x - largest) */
	float *raw_weighed; /* of (x - largest) exp(x - largest) */
	float *sum;         /* of exp((x - largest) / temperature), adjusted */
	int *odd;           /* a value is NaN or infinite */
	int *offset;
	u64 *list;
};

HOSTDEV int pick_blocks(int vocabulary)
{
	return (vocabulary - 1) / K_PICK_BLOCK + 1;
}

HOSTDEV int64_t pick_scratch_bytes(int vocabulary)
{
	int64_t n = pick_blocks(vocabulary);
	return (n * (2 * 8 + 5 * 4) + (int64_t)vocabulary * 8 + 63) / 64 * 64;
}

DEV struct pick_scratch pick_scratch_of(const struct k_pick &a, int pick)
{
	struct pick_scratch s;
	int64_t n = pick_blocks(a.vocabulary);
	char *p = (char *)a.scratch + pick * pick_scratch_bytes(a.vocabulary);
	s.raw_key = (u64 *)p;
	s.key = s.raw_key + n;
	s.list = s.key + n;
	s.raw_sum = (float *)(s.list + a.vocabulary);
	s.raw_weighed = s.raw_sum + n;
	s.sum = s.raw_weighed + n;
	s.odd = (int *)(s.sum + n);
	s.offset = s.odd + n;
	return s;
}

/* Order-preserving: larger values, then lower ids, have larger keys. */
DEV u64 key_of(float value, int id)
{
	uint32_t bits = bits_float(value + 0.0f); /* -0 is 0 */
	bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
	return (u64)bits << 32 | (uint32_t)~id;
}
DEV int key_id(u64 key)
{
	return (int)~(uint32_t)key;
}
DEV float key_value(u64 key)
{
	uint32_t bits = (uint32_t)(key >> 32);
	return float_bits(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}
/* No key of a finite value is smaller. */
#define KEY_FINITE ((u64)0x00800000u << 32)

DEV float bounded(float v)
{
	return fminf(fmaxf(v, -FLT_MAX), FLT_MAX);
}

/* The logit @x of @id after penalties and mask. */
DEV float adjusted(const struct k_pick_input &in, const int32_t *count, int id, float x)
{
	const struct sampling &p = in.sampling;
	int c = count ? count[id] : 0;
	if (c && p.repetition != 1.0f)
		x = bounded(x > 0 ? x / p.repetition : x * p.repetition);
	c &= COUNT_IN_PROMPT - 1;
	if (c && (p.presence != 0 || p.frequency != 0))
		x = bounded(x - p.presence - p.frequency * (float)c);
	if (in.mask && !(in.mask[id >> 6] >> (id & 63) & 1))
		x = -INFINITY;
	return x;
}

/* This pick's counts, NULL when no penalty is in force. */
DEV int32_t *pick_counts(const struct k_pick &a, const struct k_pick_input &in, int pick)
{
	const struct sampling &p = in.sampling;
	bool any = (p.presence != 0 || p.frequency != 0 || p.repetition != 1.0f) &&
	           in.n_prompt + in.n_answer > 0;
	return any ? a.count + (int64_t)pick * a.vocabulary : nullptr;
}

/* ---- 1: counts ---- */

DEV void stage_pick_count(const struct k_pick &a, int pick, int block, int n_blocks)
{
	const struct k_pick_input &in = a.input[pick];
	int32_t *count = pick_counts(a, in, pick);
	if (!count)
		return;
	int n = in.n_prompt + in.n_answer;
	for (int i = block * SCAN_THREADS + (int)threadIdx.x; i < n; i += n_blocks * SCAN_THREADS) {
		int id = in.history[i];
		if (id < 0 || id >= a.vocabulary)
			continue;
		if (i < in.n_prompt)
			atomic_or(&count[id], COUNT_IN_PROMPT);
		else
			atomic_add(&count[id], 1);
	}
}

/* ---- 2: one reading ---- */

DEV u64 warp_largest(u64 v)
{
	UNROLL
	for (int m = 16; m; m >>= 1)
		v = max(v, warp_xor(v, m));
	return v;
}

DEV void stage_pick_scan(const struct k_pick &a, int pick, int block)
{
	enum { WARPS = SCAN_THREADS / 32, EACH = K_PICK_BLOCK / SCAN_THREADS };
	SHARED(u64, keys, 2 * WARPS);
	SHARED(float, sums, 3 * WARPS);
	SHARED(int, odds, WARPS);
	const struct k_pick_input &in = a.input[pick];
	const int32_t *count = pick_counts(a, in, pick);
	const float *row = a.logits + (int64_t)in.row * a.ld;
	const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	const float t = in.sampling.temperature;
	float x[EACH], y[EACH];
	u64 raw = 0, best = 0;
	bool odd = false;

	UNROLL
	for (int i = 0; i < EACH; i++) {
		int id = block * K_PICK_BLOCK + i * SCAN_THREADS + tid;
		x[i] = y[i] = -INFINITY;
		if (id >= a.vocabulary)
			continue;
		x[i] = row[id];
		odd |= !(fabsf(x[i]) <= FLT_MAX);
		y[i] = adjusted(in, count, id, x[i]);
		raw = max(raw, key_of(x[i], id));
		best = max(best, key_of(y[i], id));
	}
	raw = warp_largest(raw);
	best = warp_largest(best);
	odd = warp_any(odd);
	if (lane == 0) {
		keys[warp] = raw;
		keys[WARPS + warp] = best;
		odds[warp] = odd;
	}
	block_sync();
	for (int w = 0; w < WARPS; w++) {
		raw = max(raw, keys[w]);
		best = max(best, keys[WARPS + w]);
		odd |= odds[w] != 0;
	}
	const float raw_max = key_value(raw), y_max = key_value(best);
	float raw_sum = 0, weighed = 0, sum = 0;
	UNROLL
	for (int i = 0; i < EACH; i++) {
		if (x[i] > -INFINITY) {
			float d = x[i] - raw_max, w = expf(d);
			raw_sum += w;
			weighed += d * w;
		}
		if (y[i] > -INFINITY && t > 0)
			sum += expf((y[i] - y_max) / t);
	}
	raw_sum = warp_sum(raw_sum);
	weighed = warp_sum(weighed);
	sum = warp_sum(sum);
	if (lane == 0) {
		sums[warp] = raw_sum;
		sums[WARPS + warp] = weighed;
		sums[2 * WARPS + warp] = sum;
	}
	block_sync();
	if (tid == 0) {
		struct pick_scratch s = pick_scratch_of(a, pick);
		raw_sum = weighed = sum = 0;
		for (int w = 0; w < WARPS; w++) {
			raw_sum += sums[w];
			weighed += sums[WARPS + w];
			sum += sums[2 * WARPS + w];
		}
		s.raw_key[block] = raw;
		s.key[block] = best;
		s.raw_sum[block] = raw_sum;
		s.raw_weighed[block] = weighed;
		s.sum[block] = sum;
		s.odd[block] = odd;
	}
}

/* ---- 3: the pick, by one block ---- */

struct pick_block {   /* shared memory of the block */
	u64 *mass;    /* [256] */
	int *count;   /* [256] */
	u64 *warp;    /* [PICK_WARPS + 2] */
	double *sums; /* [PICK_WARPS] */
};

DEV u64 block_largest(const struct pick_block &b, u64 v)
{
	int warp = (int)threadIdx.x / 32;
	v = warp_largest(v);
	block_sync();
	if (threadIdx.x % 32 == 0)
		b.warp[warp] = v;
	block_sync();
	for (int w = 0; w < PICK_WARPS; w++)
		v = max(v, b.warp[w]);
	return v;
}

DEV double block_total(const struct pick_block &b, double v)
{
	UNROLL
	for (int m = 16; m; m >>= 1)
		v += warp_xor(v, m);
	block_sync();
	if (threadIdx.x % 32 == 0)
		b.sums[threadIdx.x / 32] = v;
	block_sync();
	double sum = 0;
	for (int w = 0; w < PICK_WARPS; w++)
		sum += b.sums[w];
	return sum;
}

/* The sum of @v of the threads before this one, and in *@total of all. */
DEV u64 block_before(const struct pick_block &b, u64 v, u64 *total)
{
	int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
	u64 run = v;
	UNROLL
	for (int by = 1; by < 32; by *= 2) {
		u64 other = warp_up(run, by);
		if (lane >= by)
			run += other;
	}
	block_sync();
	if (lane == 31)
		b.warp[warp] = run;
	block_sync();
	u64 before = run - v, all = 0;
	for (int w = 0; w < PICK_WARPS; w++) {
		if (w < warp)
			before += b.warp[w];
		all += b.warp[w];
	}
	*total = all;
	return before;
}

/* What weighs a key: 1 each, or exp((value - max) / temperature) in fixed point. */
struct weigher {
	bool ones;
	float max, temperature;
};
DEV float weight_of(const struct weigher &w, u64 key)
{
	return expf((key_value(key) - w.max) / w.temperature);
}
DEV u64 mass_of(const struct weigher &w, u64 key)
{
	return w.ones ? 1 : (u64)(weight_of(w, key) * 4398046511104.0f + 0.5f);
}

/* A border: the largest keys are kept until their mass reaches @target (at least 1), all when they
 * never do; key >= border is kept. Byte by byte from the top, histogram by histogram. */
DEV u64 cut(const struct pick_block &b, const u64 *key, int n, const struct weigher &w, u64 target)
{
	const int tid = (int)threadIdx.x, lane = tid % 32;
	u64 prefix = 0, known = 0, above = 0;

	for (int shift = 56; shift >= 0; shift -= 8) {
		block_sync();
		if (tid < 256) {
			b.mass[tid] = 0;
			b.count[tid] = 0;
		}
		block_sync();
		for (int i = tid; i < n; i += PICK_THREADS) {
			u64 k = key[i];
			if ((k & known) != prefix)
				continue;
			int at = (int)(k >> shift & 255);
			atomic_add(&b.mass[at], mass_of(w, k));
			atomic_add(&b.count[at], 1);
		}
		block_sync();
		if (tid < 32) {
			/* lane l has bins 255 - 8 l down to 248 - 8 l */
			u64 part = 0;
			for (int i = 0; i < 8; i++)
				part += b.mass[255 - 8 * lane - i];
			u64 run = part;
			for (int by = 1; by < 32; by *= 2) {
				u64 other = warp_up(run, by);
				if (lane >= by)
					run += other;
			}
			u64 sum = above + run - part;
			/* the bin that reaches the target; else the lowest that holds anything */
			int bin = -1, lowest = 256;
			u64 before = 0, before_lowest = 0;
			for (int i = 0; i < 8; i++) {
				int at = 255 - 8 * lane - i;
				if (b.count[at]) {
					lowest = at;
					before_lowest = sum;
				}
				if (b.count[at] && bin < 0 && sum + b.mass[at] >= target) {
					bin = at;
					before = sum;
				}
				sum += b.mass[at];
			}
			unsigned reached = warp_ballot(bin >= 0), held = warp_ballot(lowest < 256);
			int owner = 31;
			if (reached)
				while (owner && reached & ((1u << owner) - 1))
					owner--;
			else
				while (owner && !(held >> owner & 1))
					owner--;
			if (lane == owner) {
				b.warp[PICK_WARPS] = (u64)(reached ? bin : lowest);
				b.warp[PICK_WARPS + 1] = reached ? before : before_lowest;
			}
		}
		block_sync();
		int bin = (int)b.warp[PICK_WARPS];
		above = b.warp[PICK_WARPS + 1];
		prefix |= (u64)bin << shift;
		known |= (u64)255 << shift;
		/* All of the bin is needed, or it holds one: lower bytes change nothing. */
		if (b.count[bin] == 1 || above + b.mass[bin] == target)
			break;
	}
	return prefix;
}

/* Keeps what is at least @least and, with @least_weight > 0, weighs so much; the order stays. */
DEV int keep(const struct pick_block &b, u64 *key, int n, u64 least, const struct weigher &w,
             float least_weight)
{
	int kept = 0;
	for (int from = 0; from < n; from += PICK_THREADS) {
		int i = from + (int)threadIdx.x;
		u64 k = i < n ? key[i] : 0;
		bool in = i < n && k >= least;
		if (in && least_weight > 0)
			in = weight_of(w, k) >= least_weight;
		u64 total, before = block_before(b, in, &total);
		if (in) /* everybody has read theirs: block_before() is a barrier */
			key[kept + (int)before] = k;
		kept += (int)total;
		block_sync();
	}
	return kept;
}

/* Keys of at least @border of the row, ids rising, to s.list. A warp counts a block of ids, then
 * writes it. */
DEV int gather(const struct pick_block &b, const struct k_pick &a, const struct pick_scratch &s,
               const struct k_pick_input &in, const int32_t *count, bool raw, u64 border)
{
	const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
	const int blocks = pick_blocks(a.vocabulary);
	const float *row = a.logits + (int64_t)in.row * a.ld;
	const u64 *largest = raw ? s.raw_key : s.key;
	int n = 0;

	for (int phase = 0; phase < 2; phase++) {
		for (int block = warp; block < blocks; block += PICK_WARPS) {
			int at = phase ? s.offset[block] : 0, found = 0;
			if (largest[block] >= border)
				for (int i = 0; i < K_PICK_BLOCK; i += 32) {
					int id = block * K_PICK_BLOCK + i + lane;
					u64 k = 0;
					if (id < a.vocabulary)
						k = key_of(raw ? row[id]
						               : adjusted(in, count, id, row[id]),
						           id);
					unsigned in_it = warp_ballot(k >= border);
					if (phase && in_it >> lane & 1)
						s.list[at + bit_count(in_it & ((1u << lane) - 1))] =
							k;
					at += bit_count(in_it);
					found += bit_count(in_it);
				}
			if (!phase && lane == 0)
				s.offset[block] = found;
			warp_sync();
		}
		block_sync();
		if (phase)
			break;
		for (int from = 0; from < blocks; from += PICK_THREADS) {
			int i = from + (int)threadIdx.x;
			u64 total;
			u64 before = block_before(b, i < blocks ? (u64)s.offset[i] : 0, &total);
			if (i < blocks)
				s.offset[i] = n + (int)before;
			n += (int)total;
		}
		block_sync();
	}
	return n;
}

/* The @k largest, ids rising, to s.list; fewer when fewer are finite. */
DEV int largest(const struct pick_block &b, const struct k_pick &a, const struct pick_scratch &s,
                const struct k_pick_input &in, const int32_t *count, bool raw, int k)
{
	const struct weigher ones = { true, 0, 1 };
	const int blocks = pick_blocks(a.vocabulary);
	u64 border = 0;
	if (k <= blocks) /* k blocks have a value so large: the k-th largest is no smaller */
		border = cut(b, raw ? s.raw_key : s.key, blocks, ones, (u64)k);
	int n = gather(b, a, s, in, count, raw, max(border, KEY_FINITE));
	return n > k ? keep(b, s.list, n, cut(b, s.list, n, ones, (u64)k), ones, 0) : n;
}

DEV u64 list_mass(const struct pick_block &b, const u64 *key, int n, const struct weigher &w)
{
	u64 sum = 0, total;
	for (int i = (int)threadIdx.x; i < n; i += PICK_THREADS)
		sum += mass_of(w, key[i]);
	block_before(b, sum, &total);
	return total;
}

/* Philox 4x32-10, as sampler_uniform(). */
DEV float uniform(u64 seed, u64 position)
{
	uint32_t c[4] = { (uint32_t)position, (uint32_t)(position >> 32), 0, 0 };
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	for (int round = 0; round < 10; round++) {
		u64 x = (u64)0xD2511F53u * c[0], y = (u64)0xCD9E8D57u * c[2];
		uint32_t n0 = (uint32_t)(y >> 32) ^ c[1] ^ k0;
		uint32_t n2 = (uint32_t)(x >> 32) ^ c[3] ^ k1;
		c[0] = n0;
		c[1] = (uint32_t)y;
		c[2] = n2;
		c[3] = (uint32_t)x;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	return (float)(c[0] >> 8) * 5.9604644775390625e-8f;
}

/* Place in a sequence of masses, given thread by thread and round by round, of the first whose
 * running sum exceeds @target; -1: none. @run: the sum so far, carried over the rounds. */
DEV void walk(const struct pick_block &b, u64 mass, int place, double target, u64 *run, int *found,
              u64 *before_found)
{
	u64 total, before = *run + block_before(b, mass, &total);
	bool here = mass && (double)before <= target && (double)(before + mass) > target;
	u64 best = block_largest(b, here ? (u64)place + 1 : 0);
	if (best && *found < 0)
		*found = (int)best - 1;
	u64 at = block_largest(b, here ? before : 0);
	if (best)
		*before_found = at;
	*run += total;
}

/* The draw from everything: block of ids by the sums of (2), then within it. */
DEV int draw_from_all(const struct pick_block &b, const struct k_pick &a,
                      const struct pick_scratch &s, const struct k_pick_input &in,
                      const int32_t *count, const struct weigher &w, float u, double *share)
{
	const int blocks = pick_blocks(a.vocabulary);
	const float *row = a.logits + (int64_t)in.row * a.ld;
	u64 total = 0, run = 0, before = 0;
	int block = -1;

	for (int pass = 0; pass < 2; pass++)
		for (int from = 0; from < blocks; from += PICK_THREADS) {
			int i = from + (int)threadIdx.x;
			u64 mass = 0, sum;
			if (i < blocks && s.key[i] >= KEY_FINITE)
				mass = (u64)(s.sum[i] * weight_of(w, s.key[i]) * 4398046511104.0f +
				             0.5f);
			if (pass)
				walk(b, mass, i, (double)u * (double)total, &run, &block, &before);
			else {
				block_before(b, mass, &sum);
				total += sum;
			}
		}
	double target = (double)u * (double)total - (double)before;
	int pick = -1;
	u64 inside = 0, unused = 0, last = 0;
	for (int from = 0; from < K_PICK_BLOCK; from += PICK_THREADS) {
		int id = block * K_PICK_BLOCK + from + (int)threadIdx.x;
		u64 key = 0, mass = 0;
		if (id < a.vocabulary)
			key = key_of(adjusted(in, count, id, row[id]), id);
		if (key >= KEY_FINITE)
			mass = mass_of(w, key);
		if (mass)
			last = (u64)id + 1;
		walk(b, mass, id, target, &inside, &pick, &unused);
	}
	last = block_largest(b, last);
	if (pick < 0) /* the block's own sum was a little larger: its last */
		pick = (int)last - 1;
	*share = (double)weight_of(w, key_of(adjusted(in, count, pick, row[pick]), pick)) *
	         4398046511104.0 / (double)total;
	return pick;
}

DEV int draw_from_list(const struct pick_block &b, const u64 *key, int n, const struct weigher &w,
                       float u, double *share)
{
	u64 total = list_mass(b, key, n, w), run = 0, before = 0;
	int pick = -1;
	for (int from = 0; from < n && pick < 0; from += PICK_THREADS) {
		int i = from + (int)threadIdx.x;
		walk(b, i < n ? mass_of(w, key[i]) : 0, i, (double)u * (double)total, &run, &pick,
		     &before);
	}
	*share = (double)weight_of(w, key[pick]) * 4398046511104.0 / (double)total;
	return key_id(key[pick]);
}

DEV int draw(const struct pick_block &b, const struct k_pick &a, const struct pick_scratch &s,
             const struct k_pick_input &in, const int32_t *count, float top_value, double *share)
{
	const struct sampling &p = in.sampling;
	const float u = uniform(p.seed, in.position);
	const struct weigher w = { false, top_value, p.temperature };
	const bool by_count = p.top_k > 0 && p.top_k < a.vocabulary, by_mass = p.top_p < 1;
	const int blocks = pick_blocks(a.vocabulary);
	int n;

	if (!by_count && !by_mass && !(p.min_p > 0))
		return draw_from_all(b, a, s, in, count, w, u, share);
	if (by_count) {
		n = largest(b, a, s, in, count, false, p.top_k);
	} else {
		/* Only what can matter: for top_p ids of at least (1 - top_p) / V of all mass
		 * (half of that, for roundings), for min_p alone those of its share. */
		double all = 0, least = p.min_p;
		if (by_mass) {
			for (int i = (int)threadIdx.x; i < blocks; i += PICK_THREADS)
				if (s.key[i] >= KEY_FINITE)
					all += (double)s.sum[i] * (double)weight_of(w, s.key[i]);
			all = block_total(b, all);
			least = 0.5 * (1 - (double)p.top_p) * all / a.vocabulary;
		}
		float border =
			top_value + (logf(fmaxf((float)least, FLT_MIN)) - 1e-3f) * p.temperature;
		n = gather(b, a, s, in, count, false, max(key_of(bounded(border), -1), KEY_FINITE));
		if (by_mass) {
			u64 target = (u64)((double)p.top_p * all * 4398046511104.0);
			n = keep(b, s.list, n, cut(b, s.list, n, w, max(target, (u64)1)), w, 0);
		}
	}
	if (by_mass && by_count) {
		u64 target = (u64)((double)p.top_p * (double)list_mass(b, s.list, n, w));
		n = keep(b, s.list, n, cut(b, s.list, n, w, max(target, (u64)1)), w, 0);
	}
	if (p.min_p > 0)
		n = keep(b, s.list, n, 0, w, p.min_p);
	return draw_from_list(b, s.list, n, w, u, share);
}

DEV void stage_pick(const struct k_pick &a, int pick)
{
	SHARED(u64, mass, 256);
	SHARED(int, counts, 256);
	SHARED(u64, warps, PICK_WARPS + 2);
	SHARED(double, sums, PICK_WARPS);
	const struct pick_block b = { mass, counts, warps, sums };
	const struct k_pick_input &in = a.input[pick];
	const struct pick_scratch s = pick_scratch_of(a, pick);
	const int tid = (int)threadIdx.x, blocks = pick_blocks(a.vocabulary);
	int32_t *count = pick_counts(a, in, pick);
	struct picked *out = &a.out[pick];
	const float *row = a.logits + (int64_t)in.row * a.ld;
	u64 raw = 0, best = 0;
	bool odd = false;

	for (int i = tid; i < blocks; i += PICK_THREADS) {
		raw = max(raw, s.raw_key[i]);
		best = max(best, s.key[i]);
		odd |= s.odd[i] != 0;
	}
	raw = block_largest(b, raw);
	best = block_largest(b, best);
	odd = block_largest(b, odd) != 0;
	const float raw_max = key_value(raw);
	double part = 0, weighed = 0;
	for (int i = tid; i < blocks; i += PICK_THREADS) {
		double d = (double)key_value(s.raw_key[i]) - (double)raw_max, by = exp(d);
		if (by > 0) {
			part += by * (double)s.raw_sum[i];
			weighed += by * ((double)s.raw_weighed[i] + d * (double)s.raw_sum[i]);
		}
	}
	part = block_total(b, part);
	weighed = block_total(b, weighed);
	const double log_sum = log(part), lse = (double)raw_max + log_sum;

	int id = -1, n_top = 0;
	double share = 1;
	if (!odd) {
		n_top = min(min(max(in.sampling.top, 0), (int)SAMPLER_TOP_MAX), a.vocabulary);
		if (n_top > 0)
			n_top = largest(b, a, s, in, count, true, n_top);
		if (tid < n_top) {
			u64 k = s.list[tid];
			int rank = 0;
			for (int i = 0; i < n_top; i++)
				rank += s.list[i] > k;
			out->top[rank].id = key_id(k);
			out->top[rank].logprob = (float)((double)key_value(k) - lse);
		}
		block_sync(); /* the list is used again */
		if (best >= KEY_FINITE) {
			id = key_id(best);
			if (in.sampling.temperature > 0)
				id = draw(b, a, s, in, count, key_value(best), &share);
		}
	}
	if (tid == 0) {
		out->id = id;
		out->logprob = id < 0 ? 0 : (float)((double)row[id] - lse);
		out->drawn = id < 0 ? 0 : (float)log(share);
		out->entropy = odd ? 0 : fmaxf((float)(log_sum - weighed / part), 0.0f);
		out->n_top = n_top;
		if (in.slot >= 0)
			a.slot_token[in.slot] = id;
	}
	block_sync(); /* counts are not read any more */
	if (count)
		for (int i = tid; i < in.n_prompt + in.n_answer; i += PICK_THREADS) {
			int at = in.history[i];
			if (at >= 0 && at < a.vocabulary)
				count[at] = 0;
		}
}

__global__ void __launch_bounds__(SCAN_THREADS) kernel_pick_count(const struct k_pick a)
{
	grid_trigger();
	grid_wait();
	if ((int)blockIdx.y < a.step->n_picks)
		stage_pick_count(a, (int)blockIdx.y, (int)blockIdx.x, (int)gridDim.x);
}

__global__ void __launch_bounds__(SCAN_THREADS) kernel_pick_scan(const struct k_pick a)
{
	grid_trigger();
	grid_wait();
	if ((int)blockIdx.y < a.step->n_picks)
		stage_pick_scan(a, (int)blockIdx.y, (int)blockIdx.x);
}

__global__ void __launch_bounds__(PICK_THREADS) kernel_pick(const struct k_pick a)
{
	grid_trigger();
	grid_wait();
	if ((int)blockIdx.x < a.step->n_picks)
		stage_pick(a, (int)blockIdx.x);
}

#endif
