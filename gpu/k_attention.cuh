/*
 * k_attention.cuh - one token of each column against its sequence's pages (cuda.md section 4).
 *
 * Block = (part of the keys, kv head and up to 4 of its query heads, column), 128 threads. The 4
 * query heads share every row of keys and values; a lane has 8 of up to 256 dims. A warp takes 4
 * rows at a time: 16 dot products, whose sums over the lanes are made together (16 exchanges
 * instead of 80). Warps are joined in shared memory, parts by the last block of the column and head
 * to come, in the order of the parts.
 *
 * How a sequence is cut into parts depends on its own length alone: 128 keys up to 8,192, 512
 * beyond. Keys of the group's own columns (a window's, or the one token's) may not be in the pages
 * yet, so each block norms and turns them itself, rounded as pages hold them; the first block of a
 * column writes the column's own.
 *
 * Twin: struct attention_model in tests/t_k_decode.cc, f64; one bf16 step, precise 1e-5.
 */
#ifndef GPU_K_ATTENTION_CUH
#define GPU_K_ATTENTION_CUH

#include "gpu/dev.h"
#include "gpu/kernels.h"

enum {
	ATTENTION_THREADS = 128,
	ATTENTION_WARPS = 4,
	ATTENTION_HEADS = 4,
	ATTENTION_WINDOW = 16 /* columns of a group */
};

HOSTDEV int attention_part(int tokens)
{
	return tokens <= 8192 ? 128 : 512;
}

DEV float sigmoid(float v)
{
	return 1.0f / (1.0f + expf(-v));
}

/* A row of keys or values as pages hold it, 8 dims a lane. */
DEV void load_dims(float v[8], const bf16 *p)
{
	uint4 u = *(const uint4 *)p;
	v[0] = low_bf16(u.x);
	v[1] = high_bf16(u.x);
	v[2] = low_bf16(u.y);
	v[3] = high_bf16(u.y);
	v[4] = low_bf16(u.z);
	v[5] = high_bf16(u.z);
	v[6] = low_bf16(u.w);
	v[7] = high_bf16(u.w);
}
DEV void load_dims(float v[8], const float *p)
{
	float4 x = *(const float4 *)p, y = *(const float4 *)(p + 4);
	v[0] = x.x;
	v[1] = x.y;
	v[2] = x.z;
	v[3] = x.w;
	v[4] = y.x;
	v[5] = y.y;
	v[6] = y.z;
	v[7] = y.w;
}
DEV void put_dim(bf16 *p, float v)
{
	*p = to_bf16(v);
}
DEV void put_dim(float *p, float v)
{
	*p = v;
}

/* N(x; norm), then RoPE at @position, of the head vector at @x: a warp, dims lane + 32 i, 8 of
 * them. Dims from hd on are 0. */
DEV void norm_and_turn(float v[8], const struct k_attention &a, const float *x, const float *norm,
                       int position)
{
	const int lane = (int)threadIdx.x % 32, half = a.rotary / 2;
	float sum = 0;
	UNROLL
	for (int i = 0; i < 8; i++) {
		int d = lane + 32 * i;
		v[i] = d < a.hd ? x[d] : 0;
		sum += v[i] * v[i];
	}
	const float scale = 1.0f / sqrtf(warp_sum(sum) / (float)a.hd + a.eps);
	const float *turn = a.rope + (int64_t)position * half * 2;
	UNROLL
	for (int i = 0; i < 8; i++) {
		int d = lane + 32 * i;
		if (d >= a.hd)
			continue;
		v[i] = v[i] * scale * (1.0f + norm[d]);
		if (d < a.rotary) {
			/* the pair's other half, normed the same way */
			int pair = d < half ? d + half : d - half, at = d < half ? d : d - half;
			float other = x[pair] * scale * (1.0f + norm[pair]);
			v[i] = v[i] * turn[2 * at] + (d < half ? -other : other) * turn[2 * at + 1];
		}
	}
}

/* Sums over the warp of 16 values a lane at once: value @lane / 2 comes back (to both lanes of the
 * pair). Each exchange gives away half of what is left. */
DEV float sum_16(float v[16])
{
	const int lane = (int)threadIdx.x % 32;
	UNROLL
	for (int n = 8, m = 16; n; n /= 2, m /= 2) {
		bool upper = lane & m;
		UNROLL
		for (int i = 0; i < 8; i++) {
			if (i >= n)
				break;
			float give = upper ? v[i] : v[i + n];
			float keep = upper ? v[i + n] : v[i];
			v[i] = keep + warp_xor(give, m);
		}
	}
	return v[0] + warp_xor(v[0], 1);
}

template <class T>
DEV void stage_attention(const struct k_attention &a, int part, int head_block, int column,
                         T *shared)
{
	/* Joined warps; also the last block's table. [warp][head][0: max, 1: sum] */
	SHARED(float, stat, ATTENTION_WARPS *ATTENTION_HEADS * 2);
	SHARED(float, query, ATTENTION_HEADS *K_HEAD_DIM);
	SHARED(float, joined, ATTENTION_WARPS *ATTENTION_HEADS *K_HEAD_DIM);
	SHARED(int, come, 1);
	const struct k_column *self = &a.step->column[column];
	const struct k_group gr = a.step->group[self->group];
	const int group_heads = a.heads / a.kv_heads;
	const int blocks_of_kv = (group_heads + ATTENTION_HEADS - 1) / ATTENTION_HEADS;
	const int kv = head_block / blocks_of_kv;
	const int first_head = kv * group_heads + head_block % blocks_of_kv * ATTENTION_HEADS;
	const int n_heads = min((int)ATTENTION_HEADS, (kv + 1) * group_heads - first_head);
	const int tokens = self->position + 1, size = attention_part(tokens);
	const int parts = (tokens + size - 1) / size;
	if (part >= parts)
		return;
	const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	const int hdp = (a.hd + 7) / 8 * 8;
	const int from = part * size, to = min(from + size, tokens);
	const int own = max(from, gr.position); /* keys from here to @to are computed, not read */
	const int32_t *table = a.table + (int64_t)self->slot * a.table_stride;
	const int key_at = 2 * a.heads * a.hd, value_at = key_at + a.kv_heads * a.hd;
	T *k_own = shared, *v_own = shared + ATTENTION_WINDOW * hdp;

	/* ---- queries, and keys and values of this step ---- */
	for (int h = warp; h < ATTENTION_HEADS; h += ATTENTION_WARPS) {
		float v[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
		if (h < n_heads)
			norm_and_turn(v, a,
			              a.qkv + (int64_t)column * a.ld_qkv +
			                      (int64_t)(first_head + h) * 2 * a.hd,
			              a.q_norm, self->position);
		UNROLL
		for (int i = 0; i < 8; i++)
			query[h * K_HEAD_DIM + lane + 32 * i] = v[i] / sqrtf((float)a.hd);
	}
	for (int p = own + warp; p < to; p += ATTENTION_WARPS) {
		const float *row = a.qkv + (int64_t)(gr.column + p - gr.position) * a.ld_qkv;
		float k[8];
		norm_and_turn(k, a, row + key_at + (int64_t)kv * a.hd, a.k_norm, p);
		/* only the column's own, only once */
		bool store = p == self->position && head_block % blocks_of_kv == 0;
		int64_t at = store ? (((int64_t)table[p / K_PAGE] * a.kv_heads + kv) * K_PAGE +
		                      p % K_PAGE) *
		                             hdp
		                   : 0;
		UNROLL
		for (int i = 0; i < 8; i++) {
			int d = lane + 32 * i;
			if (d >= hdp)
				continue;
			float v = d < a.hd ? row[value_at + (int64_t)kv * a.hd + d] : 0;
			put_dim(&k_own[(p - own) * hdp + d], k[i]);
			put_dim(&v_own[(p - own) * hdp + d], v);
			if (store) {
				put_dim((T *)a.k_pages + at + d, k[i]);
				put_dim((T *)a.v_pages + at + d, v);
			}
		}
	}
	block_sync();

	/* ---- the part's keys, 4 at a time a warp ---- */
	const int d0 = lane * 8;
	const bool has = d0 < hdp;
	float q[ATTENTION_HEADS][8], o[ATTENTION_HEADS][8];
	UNROLL
	for (int h = 0; h < ATTENTION_HEADS; h++)
		UNROLL
	for (int i = 0; i < 8; i++) {
		q[h][i] = query[h * K_HEAD_DIM + d0 + i];
		o[h][i] = 0;
	}
	/* of head lane / 2 % 4: in sum_16's result value 4 r + h is row r, head h */
	float largest = -INFINITY, total = 0;

	auto row_of = [&](const T *pages, const T *owns, int p) -> const T * {
		if (p >= own)
			return owns + (p - own) * hdp + d0;
		return pages +
		       (((int64_t)table[p / K_PAGE] * a.kv_heads + kv) * K_PAGE + p % K_PAGE) *
		               hdp +
		       d0;
	};
	for (int p0 = from + 4 * warp; p0 < to; p0 += 4 * ATTENTION_WARPS) {
		float score[16];
		UNROLL
		for (int r = 0; r < 4; r++) {
			float k[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
			if (has && p0 + r < to)
				load_dims(k, row_of((const T *)a.k_pages, k_own, p0 + r));
			UNROLL
			for (int h = 0; h < ATTENTION_HEADS; h++) {
				float s = 0;
				UNROLL
				for (int i = 0; i < 8; i++)
					s += q[h][i] * k[i];
				score[4 * r + h] = s;
			}
		}
		float s = sum_16(score);
		if (p0 + lane / 8 >= to)
			s = -INFINITY;
		/* the 4 rows of a head sit 8 lanes apart; the first row is always there */
		float m = fmaxf(s, warp_xor(s, 8));
		m = fmaxf(m, warp_xor(m, 16));
		m = fmaxf(m, largest);
		const float shrink = expf(largest - m), e = expf(s - m);
		largest = m;
		float sum = e + warp_xor(e, 8);
		total = total * shrink + (sum + warp_xor(sum, 16));
		UNROLL
		for (int h = 0; h < ATTENTION_HEADS; h++) {
			float by = warp_from(shrink, 2 * h);
			UNROLL
			for (int i = 0; i < 8; i++)
				o[h][i] *= by;
		}
		UNROLL
		for (int r = 0; r < 4; r++) {
			float v[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
			if (has && p0 + r < to)
				load_dims(v, row_of((const T *)a.v_pages, v_own, p0 + r));
			UNROLL
			for (int h = 0; h < ATTENTION_HEADS; h++) {
				float by = warp_from(e, 8 * r + 2 * h);
				UNROLL
				for (int i = 0; i < 8; i++)
					o[h][i] += by * v[i];
			}
		}
	}

	/* ---- warps ---- */
	if (lane < 8 && lane % 2 == 0) {
		stat[(warp * ATTENTION_HEADS + lane / 2) * 2] = largest;
		stat[(warp * ATTENTION_HEADS + lane / 2) * 2 + 1] = total;
	}
	UNROLL
	for (int h = 0; h < ATTENTION_HEADS; h++)
		UNROLL
	for (int i = 0; i < 8; i++)
		joined[(warp * ATTENTION_HEADS + h) * K_HEAD_DIM + d0 + i] = o[h][i];
	block_sync();
	const int stride = a.hd + 2; /* of a head's part: max, sum, o */
	const int64_t place = (int64_t)column * a.kv_heads * blocks_of_kv + head_block;
	float *partial = a.partial + place * a.parts * ATTENTION_HEADS * stride;
	for (int i = tid; i < n_heads * a.hd; i += ATTENTION_THREADS) {
		int h = i / a.hd, d = i % a.hd;
		float m = -INFINITY, sum = 0, out = 0;
		UNROLL
		for (int w = 0; w < ATTENTION_WARPS; w++)
			m = fmaxf(m, stat[(w * ATTENTION_HEADS + h) * 2]);
		UNROLL
		for (int w = 0; w < ATTENTION_WARPS; w++) {
			float by = expf(stat[(w * ATTENTION_HEADS + h) * 2] - m);
			sum += by * stat[(w * ATTENTION_HEADS + h) * 2 + 1];
			out += by * joined[(w * ATTENTION_HEADS + h) * K_HEAD_DIM + d];
		}
		float *to_part = partial + (int64_t)(part * ATTENTION_HEADS + h) * stride;
		if (d == 0) {
			to_part[0] = m;
			to_part[1] = sum;
		}
		to_part[2 + d] = out;
	}

	/* ---- parts: the last block to come joins them ---- */
	fence();
	block_sync();
	if (tid == 0)
		*come = (int)atomic_inc_wrap(a.counter + place, (unsigned)parts - 1);
	block_sync();
	if (*come != parts - 1)
		return;
	fence();
	for (int i = tid; i < n_heads * a.hd; i += ATTENTION_THREADS) {
		int h = i / a.hd, d = i % a.hd;
		float m = -INFINITY, sum = 0, out = 0;
		for (int w = 0; w < parts; w++) {
			const float *at = partial + (int64_t)(w * ATTENTION_HEADS + h) * stride;
			float pm = load_fresh(at), next = fmaxf(m, pm);
			float by_old = expf(m - next), by_new = expf(pm - next);
			sum = sum * by_old + load_fresh(at + 1) * by_new;
			out = out * by_old + load_fresh(at + 2 + d) * by_new;
			m = next;
		}
		float gate = a.qkv[(int64_t)column * a.ld_qkv +
		                   (int64_t)(first_head + h) * 2 * a.hd + a.hd + d];
		float v = out / sum * sigmoid(gate);
		int64_t at = (int64_t)column * a.out.ld + (int64_t)(first_head + h) * a.hd + d;
		bf16 high = to_bf16(v);
		a.out.high[at] = high;
		if (a.out.low)
			a.out.low[at] = to_bf16(v - from_bf16(high));
	}
}

template <class T>
__global__ void __launch_bounds__(ATTENTION_THREADS, 4) kernel_attention(const struct k_attention a)
{
	DYN_SHARED(T, shared);
	grid_trigger();
	grid_wait();
	if ((int)blockIdx.z < a.step->n_columns)
		stage_attention<T>(a, (int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z, shared);
}

#endif
