/*
 * k_prefill.cuh - the prefill kernels: what stands between the matrix products when many tokens of
 * one sequence go through a layer at once. Launchers and shapes: k_prefill.h.
 *
 * Products inside the chunked DeltaNet and the attention run on tensor cores with both operands
 * split into a high and a low bf16 part and three products (high high, high low, low high): 7e-6
 * instead of 3e-3 against f64 (cuda.md, section 8), for under 2 % of a prefill's work.
 */
#include "gpu/dev.h"
#include "gpu/k_prefill.h"
#include "gpu/k_product.cuh"
#include "gpu/random_weight.h"

/* ---- element-wise ---- */

/* Rows of k values of model_random()'s tensor into rows of ld, the rest zero. */
static __global__ void kp_fill(uint16_t *out, int ld, int k, uint64_t key)
{
	uint64_t row = blockIdx.x;
	for (int i = threadIdx.x; i < ld; i += blockDim.x)
		out[row * ld + i] = i < k ? to_bf16(random_weight(key, row * k + i)) : (bf16)0;
}

/* x: (T, h) f32, row t = row ids[t] of the embedding, bf16 rows of ld values. */
static __global__ void kp_embed(float *x, int ldx, const int32_t *ids, const uint16_t *embedding,
                                const uint16_t *embedding_low, int ld, int h)
{
	size_t t = blockIdx.x;
	size_t from = (size_t)ids[t] * ld;
	for (int i = threadIdx.x; i < h; i += blockDim.x)
		x[t * ldx + i] = from_bf16(embedding[from + i]) +
		                 (embedding_low ? from_bf16(embedding_low[from + i]) : 0.0f);
}

/* One block a token. */
static __global__ void __launch_bounds__(256)
	kp_norm(uint16_t *high, uint16_t *low, int ldo, const float *x, int ldx, const float *w,
                int h, float eps)
{
	SHARED(float, part, 8);
	const float *row = x + (size_t)blockIdx.x * ldx;
	size_t out = (size_t)blockIdx.x * ldo;
	float sum = 0;
	for (int i = threadIdx.x; i < h; i += 256)
		sum += row[i] * row[i];
	float scale = 1.0f / sqrtf(block_sum(sum, part) / (float)h + eps);
	for (int i = threadIdx.x; i < h; i += 256)
		split_store(high, low, out + i, row[i] * scale * (1.0f + w[i]));
}

static __global__ void kp_silu_mul(uint16_t *high, uint16_t *low, int ldo, const float *gate,
                                   const float *up, int ld, int I)
{
	size_t in = (size_t)blockIdx.y * ld, out = (size_t)blockIdx.y * ldo;
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < I)
		split_store(high, low, out + i, silu(gate[in + i]) * up[in + i]);
}

static __global__ void kp_gather(float *out, int ldo, const float *x, int ldx, const int32_t *row,
                                 int h)
{
	for (int i = threadIdx.x; i < h; i += blockDim.x)
		out[(size_t)blockIdx.x * ldo + i] = x[(size_t)row[blockIdx.x] * ldx + i];
}

/* y[t][row] += scale * sum_r B[row][r] t[t][r]. Block: 64 rows of B and 32 tokens; rank in shared
 * memory 32 at a time. */
static __global__ void __launch_bounds__(256)
	kp_lora(float *y, int ldy, const float *t, int ldt, const float *b, int rows, int rank,
                int T, float scale)
{
	SHARED(float, bs, 64 * 33);
	SHARED(float, ts, 32 * 33);
	int row0 = (int)blockIdx.x * 64, t0 = (int)blockIdx.y * 32, tid = (int)threadIdx.x;
	int row = tid % 64, part = tid / 64; /* 8 tokens each */
	float sum[8] = { 0 };
	for (int r0 = 0; r0 < rank; r0 += 32) {
		block_sync();
		for (int i = tid; i < 64 * 32; i += 256) {
			int r = r0 + i % 32, at = row0 + i / 32;
			bs[i / 32 * 33 + i % 32] =
				r < rank && at < rows ? b[(size_t)at * rank + r] : 0.0f;
		}
		for (int i = tid; i < 32 * 32; i += 256) {
			int r = r0 + i % 32, at = t0 + i / 32;
			ts[i / 32 * 33 + i % 32] =
				r < rank && at < T ? t[(size_t)at * ldt + r] : 0.0f;
		}
		block_sync();
		for (int r = 0; r < 32; r++) {
			float v = bs[row * 33 + r];
			UNROLL
			for (int i = 0; i < 8; i++)
				sum[i] += v * ts[(part * 8 + i) * 33 + r];
		}
	}
	if (row0 + row >= rows)
		return;
	for (int i = 0; i < 8; i++) {
		int at = t0 + part * 8 + i;
		if (at < T)
			y[(size_t)at * ldy + row0 + row] += scale * sum[i];
	}
}

/* ---- attention ---- */

template <bool F32>
DEV void page_store(void *pages, size_t i, float v)
{
	if (F32)
		((float *)pages)[i] = v;
	else
		((bf16 *)pages)[i] = to_bf16(v);
}

/* A warp a head of a token: q heads are normed, turned, scaled by 1 / sqrt(hd) and left as f32; k
 * heads are normed, turned and written to their page; v heads go to theirs as they are. */
template <bool F32>
static __global__ void __launch_bounds__(128) kp_turn(struct attention_piece a)
{
	int lane = (int)threadIdx.x % 32;
	int head = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (head >= a.H + 2 * a.KV)
		return;
	int position = a.position + t;
	bool query = head < a.H, value = head >= a.H + a.KV;
	int kv = query ? 0 : (head - a.H) % a.KV;
	const float *row = query ? a.q + (size_t)t * a.ld + (size_t)head * 2 * a.hd
	                         : (value ? a.v : a.k) + (size_t)t * a.ld + (size_t)kv * a.hd;
	size_t place = 0;
	if (!query)
		place = (((size_t)a.pages[position / 64] * a.KV + kv) * 64 + position % 64) * a.hdp;
	if (value) {
		for (int i = lane; i < a.hdp; i += 32)
			page_store<F32>(a.v_pages, place + i, i < a.hd ? row[i] : 0.0f);
		return;
	}
	const float *w = query ? a.q_norm : a.k_norm;
	float sum = 0;
	for (int i = lane; i < a.hd; i += 32)
		sum += row[i] * row[i];
	float scale = 1.0f / sqrtf(warp_sum(sum) / (float)a.hd + a.eps);
	for (int i = lane; i < a.hd; i += 32) {
		float v = row[i] * scale * (1.0f + w[i]);
		if (i < a.R) {
			int half = a.R / 2, j = i % half;
			int other = i < half ? i + half : i - half;
			float o = row[other] * scale * (1.0f + w[other]);
			const float *turn = a.rope + ((size_t)position * half + j) * 2;
			v = i < half ? v * turn[0] - o * turn[1] : v * turn[0] + o * turn[1];
		}
		if (query)
			a.q_turned[((size_t)t * a.H + head) * a.hd + i] =
				v * (1.0f / sqrtf((float)a.hd));
		else
			page_store<F32>(a.k_pages, place + i, v);
	}
	if (!query && lane < a.hdp - a.hd)
		page_store<F32>(a.k_pages, place + a.hd + lane, 0.0f);
}

/* One K or V tile into shared: @keys rows of HD bf16 (and their low parts), zeros past the last key
 * and past hd. */
template <int HD, bool F32>
DEV void load_tile(bf16 *high, bf16 *low, const void *pages, const struct attention_piece &a,
                   int kv, int from, int keys, int n_keys)
{
	const int LD = HD + 8;
	for (int i = threadIdx.x; i < keys * (HD / 8); i += 256) {
		int key = i / (HD / 8), d = i % (HD / 8) * 8, position = from + key;
		bool there = position < n_keys && d < a.hdp;
		size_t at = 0;
		if (there)
			at = (((size_t)a.pages[position / 64] * a.KV + kv) * 64 + position % 64) *
			             a.hdp +
			     d;
		uint4 h = make_uint4(0, 0, 0, 0), l = h;
		if (there && F32) {
			const float *p = (const float *)pages + at;
			pair_split s0 = split_pair(p[0], p[1]), s1 = split_pair(p[2], p[3]);
			pair_split s2 = split_pair(p[4], p[5]), s3 = split_pair(p[6], p[7]);
			h = make_uint4(s0.high, s1.high, s2.high, s3.high);
			l = make_uint4(s0.low, s1.low, s2.low, s3.low);
		} else if (there) {
			h = load_fresh((const bf16 *)pages + at);
		}
		*(uint4 *)(high + key * LD + d) = h;
		if (F32)
			*(uint4 *)(low + key * LD + d) = l;
	}
}

/* Keys of a tile: what registers (O of 256 dims takes 128 of them) and shared memory bear. */
HOSTDEV constexpr int attend_keys(int hd, bool f32)
{
	return f32 || hd > 64 ? 32 : 64;
}

/* Block (tile of 128 stacked rows, kv head): row r of the sequence's stack is token r / group,
 * query head kv * group + r % group, so that all heads of a group share K and V. A warp owns 16
 * rows; keys come in tiles through shared memory; softmax online (running maximum and sum a row), O
 * in registers. Scores and weights as high + low, K and V as they are stored. Twin: attend() of
 * t_prefill.cc, 1e-5. */
template <int HD, bool F32>
static __global__ void __launch_bounds__(256, 1) kp_attend(struct attention_piece a)
{
	const int LD = HD + 8, KEYS = attend_keys(HD, F32), NK = KEYS / 8, ND = HD / 8;
	DYN_SHARED(bf16, shared);
	bf16 *qh = shared, *ql = qh + 128 * LD;
	bf16 *kh = ql + 128 * LD, *vh = kh + KEYS * LD;
	bf16 *kl = vh + KEYS * LD, *vl = F32 ? kl + KEYS * LD : kl;
	int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, g = lane / 4, t = lane % 4;
	int group = a.H / a.KV, kv = (int)blockIdx.y;
	/* the longest rows first, so that the short ones fill the end */
	int base = (int)(gridDim.x - 1 - blockIdx.x) * 128, rows = a.T * group;

	for (int i = threadIdx.x; i < 128 * HD; i += 256) {
		int r = base + i / HD, d = i % HD;
		float v = 0;
		if (r < rows && d < a.hd)
			v = a.q_turned[((size_t)(r / group) * a.H + kv * group + r % group) * a.hd +
			               d];
		split_store(qh, ql, (size_t)(i / HD) * LD + d, v);
	}
	int last = min(base + 127, rows - 1) / group, n_keys = a.position + last + 1;
	int mine[2]; /* the last key that my two rows may see */
	UNROLL
	for (int i = 0; i < 2; i++)
		mine[i] = a.position + min(base + warp * 16 + g + i * 8, rows - 1) / group;
	float o[ND][4], top[2] = { -INFINITY, -INFINITY }, sum[2] = { 0, 0 };
	clear<ND>(o);

	for (int from = 0; from < n_keys; from += KEYS) {
		block_sync();
		load_tile<HD, F32>(kh, kl, a.k_pages, a, kv, from, KEYS, n_keys);
		load_tile<HD, F32>(vh, vl, a.v_pages, a, kv, from, KEYS, n_keys);
		block_sync();
		float s[NK][4];
		clear<NK>(s);
		for (int d = 0; d < HD; d += 16) {
			uint32_t ah[4], al[4];
			int row = warp * 16 + lane % 16, col = d + lane / 16 * 8;
			ldmatrix_x4(ah, qh + row * LD + col);
			ldmatrix_x4(al, ql + row * LD + col);
			UNROLL
			for (int n = 0; n < NK; n += 2) {
				/* matrices: keys n*8.., d..; same keys, d+8; next 8 keys, d; d+8 */
				int key = n * 8 + lane % 8 + lane / 16 * 8;
				int at = key * LD + d + lane / 8 % 2 * 8;
				uint32_t b[4];
				ldmatrix_x4(b, kh + at);
				mma_bf16(s[n], al, b);
				mma_bf16(s[n], ah, b);
				mma_bf16(s[n + 1], al, b + 2);
				mma_bf16(s[n + 1], ah, b + 2);
				if (F32) {
					ldmatrix_x4(b, kl + at);
					mma_bf16(s[n], ah, b);
					mma_bf16(s[n + 1], ah, b + 2);
				}
			}
		}
		UNROLL
		for (int i = 0; i < 2; i++) {
			float best = -INFINITY;
			UNROLL
			for (int n = 0; n < NK; n++) {
				UNROLL
				for (int j = 2 * i; j < 2 * i + 2; j++) {
					if (from + n * 8 + 2 * t + j % 2 > mine[i])
						s[n][j] = -INFINITY;
					best = fmaxf(best, s[n][j]);
				}
			}
			best = fmaxf(best, warp_xor(best, 1));
			best = fmaxf(best, warp_xor(best, 2));
			best = fmaxf(best, top[i]);
			/* every row sees key 0, in the first tile: best is finite */
			float shrink = expf(top[i] - best), add = 0;
			UNROLL
			for (int n = 0; n < NK; n++) {
				UNROLL
				for (int j = 2 * i; j < 2 * i + 2; j++) {
					s[n][j] = expf(s[n][j] - best);
					add += s[n][j];
				}
			}
			add += warp_xor(add, 1);
			add += warp_xor(add, 2);
			sum[i] = sum[i] * shrink + add;
			top[i] = best;
			UNROLL
			for (int n = 0; n < ND; n++) {
				o[n][2 * i] *= shrink;
				o[n][2 * i + 1] *= shrink;
			}
		}
		/* what the accumulators of two 8-key tiles hold is the A fragment of 16 keys */
		UNROLL
		for (int k = 0; k < NK; k += 2) {
			uint32_t ph[4], pl[4];
			UNROLL
			for (int i = 0; i < 4; i++) {
				float *p = s[k + i / 2] + i % 2 * 2;
				pair_split x = split_pair(p[0], p[1]);
				ph[i] = x.high;
				pl[i] = x.low;
			}
			UNROLL
			for (int n = 0; n < ND; n += 2) {
				/* transposed: keys 0..7, dims n*8..; keys 8..15; then the next 8
				 * dims */
				int key = k * 8 + lane % 16, at = key * LD + n * 8 + lane / 16 * 8;
				uint32_t b[4];
				ldmatrix_x4_trans(b, vh + at);
				mma_bf16(o[n], pl, b);
				mma_bf16(o[n], ph, b);
				mma_bf16(o[n + 1], pl, b + 2);
				mma_bf16(o[n + 1], ph, b + 2);
				if (F32) {
					ldmatrix_x4_trans(b, vl + at);
					mma_bf16(o[n], ph, b);
					mma_bf16(o[n + 1], ph, b + 2);
				}
			}
		}
	}
	UNROLL
	for (int n = 0; n < ND; n++) {
		UNROLL
		for (int i = 0; i < 4; i++) {
			int r = base + warp * 16 + g + i / 2 * 8, d = n * 8 + 2 * t + i % 2;
			if (r >= rows || d >= a.hd)
				continue;
			int token = r / group, head = kv * group + r % group;
			float gate = a.q[(size_t)token * a.ld + (size_t)head * 2 * a.hd + a.hd + d];
			split_store(a.high, a.low, (size_t)token * a.ldo + (size_t)head * a.hd + d,
			            o[n][i] / sum[i / 2] * sigmoid(gate));
		}
	}
}

template <int HD, bool F32>
static void launch_attend(dev_stream s, const struct attention_piece *a)
{
	int planes = (F32 ? 4 : 2) * attend_keys(HD, F32);
	size_t bytes = (size_t)(256 + planes) * (HD + 8) * sizeof(bf16);
	dim3 grid((unsigned)((a->T * (a->H / a->KV) + 127) / 128), (unsigned)a->KV);
	LAUNCH((kp_attend<HD, F32>), grid, 256, bytes, s, *a);
}

/* ---- gated DeltaNet ---- */

/* Scratch of one piece, in floats; @n chunks. */
struct delta_scratch {
	float *q, *k, *v; /* [T][nk][dk] twice, [T][nv][dv] */
	float *g, *beta;  /* [T][nv] */
	float *W, *U, *P; /* [chunk][nv][64][dk], [..][64][dv], [..][64][64] */
	float *G;         /* [chunk][nv][64] inclusive sums of g */
	float *o;         /* [T][nv][dv] */
};

static uint64_t scratch_layout(struct delta_scratch *s, float *base, int T, int nk, int nv, int dk,
                               int dv)
{
	uint64_t chunks = (uint64_t)(T + PREFILL_CHUNK - 1) / PREFILL_CHUNK, at = 0;
	uint64_t rows = chunks * (uint64_t)nv * PREFILL_CHUNK;
	float **part[] = {
		&s->q, &s->k, &s->v, &s->g, &s->beta, &s->W, &s->U, &s->P, &s->G, &s->o
	};
	uint64_t n[] = { (uint64_t)T * nk * dk,
		         (uint64_t)T * nk * dk,
		         (uint64_t)T * nv * dv,
		         (uint64_t)T * nv,
		         (uint64_t)T * nv,
		         rows * dk,
		         rows * dv,
		         rows * PREFILL_CHUNK,
		         rows,
		         (uint64_t)T * nv * dv };
	for (int i = 0; i < 10; i++) {
		*part[i] = base + at;
		at += (n[i] + 3) & ~(uint64_t)3;
	}
	return at;
}

/* Convolution and silu of all channels, then q and k to unit length (q also times dk^-1/2); decay
 * and beta. A warp a row: 2 nk heads of q and k, nv heads of v, and one row of gates. */
static __global__ void __launch_bounds__(128) kp_conv(struct delta_piece d, struct delta_scratch s)
{
	int lane = (int)threadIdx.x % 32;
	int row = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	int channels = 2 * d.nk * d.dk + d.nv * d.dv;
	if (row > 2 * d.nk + d.nv)
		return;
	if (row == 2 * d.nk + d.nv) {
		for (int j = lane; j < d.nv; j += 32) {
			const float *ab = d.y + (size_t)t * d.ld + channels;
			float a = ab[j] + d.dt_bias[j];
			/* softplus, also where exp overflows */
			float soft = a > 20.0f ? a : log1pf(expf(a));
			s.g[(size_t)t * d.nv + j] = -expf(d.a_log[j]) * soft;
			s.beta[(size_t)t * d.nv + j] = sigmoid(ab[d.nv + j]);
		}
		return;
	}
	bool value = row >= 2 * d.nk;
	int dim = value ? d.dv : d.dk;
	int channel = value ? 2 * d.nk * d.dk + (row - 2 * d.nk) * d.dv : row * d.dk;
	float *out = value        ? s.v + ((size_t)t * d.nv + row - 2 * d.nk) * d.dv
	             : row < d.nk ? s.q + ((size_t)t * d.nk + row) * d.dk
	                          : s.k + ((size_t)t * d.nk + row - d.nk) * d.dk;
	float sum = 0;
	for (int i = lane; i < dim; i += 32) {
		float c = 0;
		for (int j = 0; j < d.K; j++) {
			int from = t - (d.K - 1) + j, position = d.position + from;
			float u = 0;
			if (from >= 0) {
				u = d.y[(size_t)from * d.ld + channel + i];
			} else if (position >= 0) {
				u = d.ring[(size_t)(position % d.ring_rows) * d.ring_ld + channel +
				           i];
			}
			c += d.conv[(size_t)(channel + i) * d.K + j] * u;
		}
		c = silu(c);
		out[i] = c;
		sum += c * c;
	}
	if (value)
		return;
	float scale = 1.0f / sqrtf(warp_sum(sum) + 1e-6f);
	if (row < d.nk)
		scale /= sqrtf((float)d.dk);
	for (int i = lane; i < dim; i += 32)
		out[i] *= scale; /* what this lane wrote */
}

/* The last tokens' rows into the ring, after kp_conv has read what was there. */
static __global__ void kp_ring(struct delta_piece d, int width)
{
	int t = d.T - 1 - (int)blockIdx.y, i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < width)
		d.ring[(size_t)((d.position + t) % d.ring_rows) * d.ring_ld + i] =
			d.y[(size_t)t * d.ld + i];
}

/* Kernel 1 of section 8, block (chunk, key head): K K' and Q K' once, then for each of the key
 * head's value heads A, its inverse, W, U and P. The inverse of I + A (unit lower triangular): 16 x
 * 16 blocks of the diagonal by forward substitution, a lane a column, then -X22 A21 X11 for 16 ->
 * 32 -> 64. (Never the product (I - A)(I + A^2)...: with correlated keys it overflows.) */
template <bool EXACT>
static __global__ void __launch_bounds__(256, 1)
	kp_chunk_prepare(struct delta_piece d, struct delta_scratch s)
{
	const int C = PREFILL_CHUNK, LC = C + 4;
	DYN_SHARED(float, shared);
	int chunk = (int)blockIdx.x, kh = (int)blockIdx.y, tid = (int)threadIdx.x;
	int warp = tid / 32, m = warp % 4 * 16, half = warp / 4;
	int dkp = (d.dk + 15) / 16 * 16, LK = dkp + 4, n = min(C, d.T - chunk * C);
	float *K = shared, *Q = K + C * LK, *KK = Q + C * LK, *QK = KK + C * LC, *A = QK + C * LC,
	      *X = A + C * LC, *Y = X + C * LC, *G = Y + 32 * 36, *beta = G + C,
	      *u_scale = beta + C;

	for (int i = tid; i < C * LK; i += 256) {
		int t = i / LK, c = i % LK;
		bool there = t < n && c < d.dk;
		size_t at = ((size_t)(chunk * C + t) * d.nk + kh) * d.dk + c;
		K[i] = there ? s.k[at] : 0.0f;
		Q[i] = there ? s.q[at] : 0.0f;
	}
	block_sync();
	{
		float kk[4][4], qk[4][4];
		clear<4>(kk);
		clear<4>(qk);
		auto other = [=](int k, int c) { return K[(half * 32 + c) * LK + k]; };
		product3<4, EXACT>(
			kk, dkp, [=](int r, int k) { return K[(m + r) * LK + k]; }, other);
		product3<4, EXACT>(
			qk, dkp, [=](int r, int k) { return Q[(m + r) * LK + k]; }, other);
		each_result<4>(
			kk, [=](int r, int c, float v) { KK[(m + r) * LC + half * 32 + c] = v; });
		each_result<4>(
			qk, [=](int r, int c, float v) { QK[(m + r) * LC + half * 32 + c] = v; });
	}
	int each = d.nv / d.nk;
	for (int j = kh * each; j < (kh + 1) * each; j++) {
		size_t rows = ((size_t)chunk * d.nv + j) * C;
		block_sync(); /* KK and QK are there; nobody reads the last head's A, X, G */
		if (tid == 0) {
			float sum = 0;
			for (int t = 0; t < C; t++) {
				if (t < n)
					sum += s.g[(size_t)(chunk * C + t) * d.nv + j];
				G[t] = sum;
			}
		}
		if (tid >= 32 && tid < 32 + C) {
			int t = tid - 32;
			beta[t] = t < n ? s.beta[(size_t)(chunk * C + t) * d.nv + j] : 0.0f;
		}
		block_sync();
		if (tid < C) {
			u_scale[tid] = beta[tid] * expf(G[tid]);
			s.G[rows + tid] = G[tid];
		}
		for (int i = tid; i < C * C; i += 256) {
			int r = i / C, c = i % C;
			float decay = r >= c ? expf(G[r] - G[c]) : 0.0f;
			A[r * LC + c] = r > c ? beta[r] * KK[r * LC + c] * decay : 0.0f;
			X[r * LC + c] = 0;
			s.P[rows * C + i] = r >= c ? QK[r * LC + c] * decay : 0.0f;
		}
		block_sync();
		if (tid < 64) {
			int b = tid / 16 * 16, col = tid % 16;
			float x[16];
			UNROLL
			for (int r = 0; r < 16; r++) {
				float v = r == col ? 1.0f : 0.0f;
				UNROLL
				for (int k = 0; k < r; k++)
					v -= A[(b + r) * LC + b + k] * x[k];
				x[r] = v;
				X[(b + r) * LC + b + col] = v;
			}
		}
		block_sync();
		/* two pairs of 16: a warp each */
		if (warp < 2) {
			int b = warp * 32;
			float acc[2][4];
			clear<2>(acc);
			product3<2, EXACT>(
				acc, 16, [=](int r, int k) { return A[(b + 16 + r) * LC + b + k]; },
				[=](int k, int c) { return X[(b + k) * LC + b + c]; });
			each_result<2>(acc, [=](int r, int c, float v) {
				Y[(warp * 16 + r) * 36 + c] = v;
			});
			warp_sync();
			clear<2>(acc);
			product3<2, EXACT>(
				acc, 16,
				[=](int r, int k) { return X[(b + 16 + r) * LC + b + 16 + k]; },
				[=](int k, int c) { return Y[(warp * 16 + k) * 36 + c]; });
			each_result<2>(acc, [=](int r, int c, float v) {
				X[(b + 16 + r) * LC + b + c] = -v;
			});
		}
		block_sync();
		/* 32: rows m2.. of two, columns of four */
		int m2 = warp % 2 * 16, n2 = warp / 2 * 8;
		float acc[1][4];
		clear<1>(acc);
		product3<1, EXACT>(
			acc, 32, [=](int r, int k) { return A[(32 + m2 + r) * LC + k]; },
			[=](int k, int c) { return X[k * LC + n2 + c]; });
		each_result<1>(acc, [=](int r, int c, float v) { Y[(m2 + r) * 36 + n2 + c] = v; });
		block_sync();
		clear<1>(acc);
		product3<1, EXACT>(
			acc, 32, [=](int r, int k) { return X[(32 + m2 + r) * LC + 32 + k]; },
			[=](int k, int c) { return Y[k * 36 + n2 + c]; });
		each_result<1>(acc,
		               [=](int r, int c, float v) { X[(32 + m2 + r) * LC + n2 + c] = -v; });
		block_sync();
		/* row m of X ends at its diagonal */
		for (int c0 = half * 32; c0 < d.dk; c0 += 64) {
			float w[4][4];
			int dk = d.dk;
			float *W = s.W;
			clear<4>(w);
			product3<4, EXACT>(
				w, m + 16,
				[=](int r, int k) { return X[(m + r) * LC + k] * u_scale[k]; },
				[=](int k, int c) {
					return c0 + c < dk ? K[k * LK + c0 + c] : 0.0f;
				});
			each_result<4>(w, [=](int r, int c, float v) {
				if (c0 + c < dk)
					W[(rows + m + r) * dk + c0 + c] = v;
			});
		}
		for (int c0 = half * 32; c0 < d.dv; c0 += 64) {
			float u[4][4];
			int dv = d.dv;
			float *U = s.U;
			const float *V = s.v + ((size_t)chunk * C * d.nv + j) * dv;
			size_t step = (size_t)d.nv * dv;
			clear<4>(u);
			product3<4, EXACT>(
				u, m + 16,
				[=](int r, int k) { return X[(m + r) * LC + k] * beta[k]; },
				[=](int k, int c) {
					return k < n && c0 + c < dv ? V[k * step + c0 + c] : 0.0f;
				});
			each_result<4>(u, [=](int r, int c, float v) {
				if (c0 + c < dv)
					U[(rows + m + r) * dv + c0 + c] = v;
			});
		}
	}
}

/* Kernel 2, block (32 columns of dv, value head): chunks in order, S [dk][32] in shared memory.
 * V' = U - W S; O = e^G Q S + P V'; S <- e^G_C S + (e^(G_C - G) K)' V'. */
template <bool EXACT>
static __global__ void __launch_bounds__(256)
	kp_chunk_scan(struct delta_piece d, struct delta_scratch s)
{
	const int C = PREFILL_CHUNK, LS = 36;
	DYN_SHARED(float, shared);
	int strip = (int)blockIdx.x * 32, j = (int)blockIdx.y, kh = j / (d.nv / d.nk);
	int tid = (int)threadIdx.x, warp = tid / 32, m = warp % 4 * 16, half = warp / 4 * 16;
	int dk = d.dk, dv = d.dv, dkp = (dk + 15) / 16 * 16, columns = min(32, dv - strip);
	float *S = shared, *V = S + dkp * LS, *eG = V + C * LS, *rest = eG + C;

	for (int i = tid; i < dkp * 32; i += 256) {
		int c = i / dkp, r = i % dkp; /* dk runs fastest in memory */
		S[r * LS + c] = r < dk && c < columns
		                        ? d.state[((size_t)j * dv + strip + c) * d.dkp + r]
		                        : 0.0f;
	}
	int chunks = (d.T + C - 1) / C;
	for (int chunk = 0; chunk < chunks; chunk++) {
		int n = min(C, d.T - chunk * C);
		size_t rows = ((size_t)chunk * d.nv + j) * C;
		size_t first = ((size_t)chunk * C * d.nk + kh) * dk, step = (size_t)d.nk * dk;
		const float *W = s.W + rows * dk, *U = s.U + rows * dv, *P = s.P + rows * C;
		const float *Q = s.q + first, *K = s.k + first;
		block_sync(); /* S is there, V and eG are free */
		if (tid < C) {
			float g = s.G[rows + tid], end = s.G[rows + C - 1];
			eG[tid] = expf(g);
			rest[tid] = expf(end - g);
		}
		float acc[2][4];
		clear<2>(acc);
		product3<2, EXACT>(
			acc, dkp,
			[=](int r, int k) { return k < dk ? W[(size_t)(m + r) * dk + k] : 0.0f; },
			[=](int k, int c) { return S[k * LS + half + c]; });
		each_result<2>(acc, [=](int r, int c, float v) {
			bool there = half + c < columns;
			float u = there ? U[(size_t)(m + r) * dv + strip + half + c] : 0.0f;
			V[(m + r) * LS + half + c] = u - v;
		});
		block_sync();
		clear<2>(acc);
		product3<2, EXACT>(
			acc, dkp,
			[=](int r, int k) {
				return m + r < n && k < dk ? Q[(m + r) * step + k] * eG[m + r]
			                                   : 0.0f;
			},
			[=](int k, int c) { return S[k * LS + half + c]; });
		product3<2, EXACT>(
			acc, m + 16, [=](int r, int k) { return P[(m + r) * C + k]; },
			[=](int k, int c) { return V[k * LS + half + c]; });
		float *o = s.o + ((size_t)chunk * C * d.nv + j) * dv + strip;
		size_t o_step = (size_t)d.nv * dv;
		each_result<2>(acc, [=](int r, int c, float v) {
			if (m + r < n && half + c < columns)
				o[(m + r) * o_step + half + c] = v;
		});
		block_sync(); /* S has been read by all */
		float fade = eG[C - 1];
		for (int r0 = warp * 16; r0 < dkp; r0 += 128) {
			float add[4][4];
			clear<4>(add);
			product3<4, EXACT>(
				add, C,
				[=](int r, int k) {
					return k < n && r0 + r < dk ? K[k * step + r0 + r] * rest[k]
				                                    : 0.0f;
				},
				[=](int k, int c) { return V[k * LS + c]; });
			each_result<4>(add, [=](int r, int c, float v) {
				float *at = &S[(r0 + r) * LS + c];
				*at = fade * *at + v;
			});
		}
	}
	block_sync();
	for (int i = tid; i < dkp * 32; i += 256) {
		int c = i / dkp, r = i % dkp;
		if (r < dk && c < columns)
			d.state[((size_t)j * dv + strip + c) * d.dkp + r] = S[r * LS + c];
	}
}

/* A warp a value head of a token: o / rms(o) * w * silu(z). */
static __global__ void __launch_bounds__(128)
	kp_gated_norm(struct delta_piece d, struct delta_scratch s)
{
	int lane = (int)threadIdx.x % 32;
	int j = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (j >= d.nv)
		return;
	const float *o = s.o + ((size_t)t * d.nv + j) * d.dv;
	const float *z =
		d.y + (size_t)t * d.ld + 2 * d.nk * d.dk + d.nv * (d.dv + 2) + (size_t)j * d.dv;
	float sum = 0;
	for (int i = lane; i < d.dv; i += 32)
		sum += o[i] * o[i];
	float scale = 1.0f / sqrtf(warp_sum(sum) / (float)d.dv + d.eps);
	for (int i = lane; i < d.dv; i += 32)
		split_store(d.high, d.low, (size_t)t * d.ldo + (size_t)j * d.dv + i,
		            o[i] * scale * d.norm[i] * silu(z[i]));
}

/* ---- launchers ---- */

extern "C" {

void prefill_fill(dev_stream s, uint16_t *out, int rows, int k, int ld, uint64_t key)
{
	LAUNCH(kp_fill, rows, 256, 0, s, out, ld, k, key);
}

void prefill_embed(dev_stream s, float *x, int ldx, const int32_t *ids, const uint16_t *embedding,
                   const uint16_t *embedding_low, int ld, int T, int h)
{
	LAUNCH(kp_embed, T, 256, 0, s, x, ldx, ids, embedding, embedding_low, ld, h);
}

void prefill_norm(dev_stream s, uint16_t *high, uint16_t *low, int ldo, const float *x, int ldx,
                  const float *w, int T, int h, float eps)
{
	LAUNCH(kp_norm, T, 256, 0, s, high, low, ldo, x, ldx, w, h, eps);
}

void prefill_silu_mul(dev_stream s, uint16_t *high, uint16_t *low, int ldo, const float *gate,
                      const float *up, int ld, int T, int I)
{
	LAUNCH(kp_silu_mul, dim3((unsigned)((I + 255) / 256), (unsigned)T), 256, 0, s, high, low,
	       ldo, gate, up, ld, I);
}

void prefill_lora(dev_stream s, float *y, int ldy, const float *t, int ldt, const float *b,
                  int rows, int rank, int T, float scale)
{
	LAUNCH(kp_lora, dim3((unsigned)((rows + 63) / 64), (unsigned)((T + 31) / 32)), 256, 0, s, y,
	       ldy, t, ldt, b, rows, rank, T, scale);
}

void prefill_gather(dev_stream s, float *out, int ldo, const float *x, int ldx, const int32_t *row,
                    int n, int h)
{
	LAUNCH(kp_gather, n, 256, 0, s, out, ldo, x, ldx, row, h);
}

void prefill_attend(dev_stream s, const struct attention_piece *a)
{
	dim3 heads((unsigned)a->T, (unsigned)((a->H + 2 * a->KV + 3) / 4));
	if (a->f32)
		LAUNCH(kp_turn<true>, heads, 128, 0, s, *a);
	else
		LAUNCH(kp_turn<false>, heads, 128, 0, s, *a);
	if (a->hd <= 64 && a->f32)
		launch_attend<64, true>(s, a);
	else if (a->hd <= 64)
		launch_attend<64, false>(s, a);
	else if (a->f32)
		launch_attend<256, true>(s, a);
	else
		launch_attend<256, false>(s, a);
}

uint64_t prefill_delta_scratch(int T, int nk, int nv, int dk, int dv)
{
	struct delta_scratch s;
	return scratch_layout(&s, NULL, T, nk, nv, dk, dv);
}

void prefill_delta(dev_stream stream, const struct delta_piece *d)
{
	const unsigned C = PREFILL_CHUNK;
	struct delta_scratch s;
	scratch_layout(&s, d->scratch, d->T, d->nk, d->nv, d->dk, d->dv);
	int width = 2 * d->nk * d->dk + d->nv * (d->dv + 2);
	unsigned T = (unsigned)d->T, chunks = (T + C - 1) / C,
		 dkp = ((unsigned)d->dk + 15) / 16 * 16;
	dim3 rows(T, (unsigned)((2 * d->nk + d->nv + 1 + 3) / 4));
	dim3 last((unsigned)((width + 255) / 256), (unsigned)min(d->T, d->ring_rows));
	LAUNCH(kp_conv, rows, 128, 0, stream, *d, s);
	LAUNCH(kp_ring, last, 256, 0, stream, *d, width);
	size_t prepare = (2 * C * (dkp + 4) + 4 * C * (C + 4) + 32 * 36 + 3 * C) * sizeof(float);
	size_t scan = (dkp * 36 + C * 36 + 2 * C) * sizeof(float);
	dim3 chunk_heads(chunks, (unsigned)d->nk);
	dim3 strips((unsigned)((d->dv + 31) / 32), (unsigned)d->nv);
	if (d->exact) {
		LAUNCH(kp_chunk_prepare<true>, chunk_heads, 256, prepare, stream, *d, s);
		LAUNCH(kp_chunk_scan<true>, strips, 256, scan, stream, *d, s);
	} else {
		LAUNCH(kp_chunk_prepare<false>, chunk_heads, 256, prepare, stream, *d, s);
		LAUNCH(kp_chunk_scan<false>, strips, 256, scan, stream, *d, s);
	}
	LAUNCH(kp_gated_norm, dim3(T, (unsigned)((d->nv + 3) / 4)), 128, 0, stream, *d, s);
}

} /* extern "C" */
