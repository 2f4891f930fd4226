/*
 * k_train_delta.cuh - the training kernels of the gated DeltaNet: chunked rule forward and back
 * over packed samples. Launchers and shapes: k_train.h; formulas: cuda.md section 10.
 *
 * Chunks of 64 tokens begin anew at each sample's start. What goes from chunk to chunk (the state
 * forward, its gradient back) is cut over columns of dv, a block 32 of them; everything else is
 * parallel over chunks. Sums over the value heads of a key head are taken by one block, in order.
 * Products as in k_product.cuh, operands in two bf16 parts. The letters K, Q, X, W, U, P, G, S, D
 * are the formulas'.
 */
#include "gpu/dev.h"
#include "gpu/k_product.cuh"
#include "gpu/k_train.h"

/* What stands before the silu: the convolution of channel @n at row @t. */
DEV float conv_at(const struct delta_train &d, int t, int n)
{
	float c = 0;
	int first = d.first[t];
	for (int j = 0; j < d.K; j++) {
		int from = t - (d.K - 1) + j;
		if (from >= first)
			c += d.conv[(size_t)n * d.K + j] * from_bf16(d.y[(size_t)from * d.ld + n]);
	}
	return c;
}

/* softplus, also where exp overflows */
DEV float softplus(float v)
{
	return v > 20.0f ? v : log1pf(expf(v));
}

/* Where row @row (2 nk heads of q and k, nv of v) of a token's channels begins, its width, and its
 * place in the three arrays. */
struct delta_head {
	int channel, dim;
	bool value;
	float *at;
};
DEV delta_head head_of(const struct delta_train &d, int t, int row, float *q, float *k, float *v)
{
	delta_head h;
	h.value = row >= 2 * d.nk;
	h.dim = h.value ? d.dv : d.dk;
	h.channel = h.value ? 2 * d.nk * d.dk + (row - 2 * d.nk) * d.dv : row * d.dk;
	h.at = h.value      ? v + ((size_t)t * d.nv + row - 2 * d.nk) * d.dv
	       : row < d.nk ? q + ((size_t)t * d.nk + row) * d.dk
	                    : k + ((size_t)t * d.nk + row - d.nk) * d.dk;
	return h;
}

/* Convolution and silu of all channels, then q and k to unit length (q also times dk^-1/2); decay
 * and beta. A warp a row: heads of q, k, v, and one row of gates. */
static __global__ void __launch_bounds__(128) kt_delta_conv(struct delta_train d)
{
	int lane = (int)threadIdx.x % 32;
	int row = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (row > 2 * d.nk + d.nv)
		return;
	if (row == 2 * d.nk + d.nv) {
		const uint16_t *ab = d.y + (size_t)t * d.ld + 2 * d.nk * d.dk + 2 * d.nv * d.dv;
		for (int j = lane; j < d.nv; j += 32) {
			d.g[(size_t)t * d.nv + j] =
				-expf(d.a_log[j]) * softplus(from_bf16(ab[j]) + d.dt_bias[j]);
			d.beta[(size_t)t * d.nv + j] = sigmoid(from_bf16(ab[d.nv + j]));
		}
		return;
	}
	delta_head h = head_of(d, t, row, d.q, d.k, d.v);
	float sum = 0;
	for (int i = lane; i < h.dim; i += 32) {
		float c = silu(conv_at(d, t, h.channel + i));
		h.at[i] = c;
		sum += c * c;
	}
	if (h.value)
		return;
	float scale = 1.0f / sqrtf(warp_sum(sum) + 1e-6f);
	if (row < d.nk)
		scale /= sqrtf((float)d.dk);
	for (int i = lane; i < h.dim; i += 32)
		h.at[i] *= scale; /* what this lane wrote */
}

/* Back through length and silu: dq, d_k, d_v become gradients of what conv_at() gives. With f = c
 * s m, s = (sum c^2 + 1e-6)^-1/2: dc = s m df - c s^3 m <c, df>. And the gates. */
static __global__ void __launch_bounds__(128) kt_delta_act_back(struct delta_train d)
{
	int lane = (int)threadIdx.x % 32;
	int row = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (row > 2 * d.nk + d.nv)
		return;
	if (row == 2 * d.nk + d.nv) {
		size_t at = (size_t)t * d.ld + 2 * d.nk * d.dk + 2 * d.nv * d.dv;
		for (int j = lane; j < d.nv; j += 32) {
			size_t i = (size_t)t * d.nv + j;
			float a = from_bf16(d.y[at + j]) + d.dt_bias[j], beta = d.beta[i];
			d.dy[at + j] = to_bf16(-expf(d.a_log[j]) * sigmoid(a) * d.dg[i]);
			d.dy[at + d.nv + j] = to_bf16(beta * (1.0f - beta) * d.dbeta[i]);
		}
		return;
	}
	delta_head h = head_of(d, t, row, d.dq, d.d_k, d.d_v);
	float scale = 1, back = 0;
	if (!h.value) {
		float square = 0, dot = 0;
		for (int i = lane; i < h.dim; i += 32) {
			float c = silu(conv_at(d, t, h.channel + i));
			square += c * c;
			dot += c * h.at[i];
		}
		float s = 1.0f / sqrtf(warp_sum(square) + 1e-6f);
		scale = row < d.nk ? s / sqrtf((float)d.dk) : s;
		back = scale * s * s * warp_sum(dot);
	}
	for (int i = lane; i < h.dim; i += 32) {
		float p = conv_at(d, t, h.channel + i), s = sigmoid(p);
		float dc = scale * h.at[i] - back * p * s;
		h.at[i] = dc * s * (1.0f + p * (1.0f - s));
	}
}

/* Back through the convolution: du_t = sum_j w_{K-1-j} dp_{t+j}, within the sample. A thread a
 * channel. */
static __global__ void __launch_bounds__(256) kt_delta_conv_back(struct delta_train d)
{
	int n = (int)(blockIdx.x * 256 + threadIdx.x), t = (int)blockIdx.y;
	int keys = d.nk * d.dk, values = d.nv * d.dv;
	if (n >= 2 * keys + values)
		return;
	const float *from = n < keys       ? d.dq + n
	                    : n < 2 * keys ? d.d_k + n - keys
	                                   : d.d_v + n - 2 * keys;
	int width = n < 2 * keys ? keys : values, first = d.first[t];
	float sum = 0;
	for (int j = 0; j < d.K && t + j < d.n && d.first[t + j] == first; j++)
		sum += d.conv[(size_t)n * d.K + d.K - 1 - j] * from[(size_t)(t + j) * width];
	d.dy[(size_t)t * d.ld + n] = to_bf16(sum);
}

/* A warp a value head of a token: o / rms(o) * w * silu(z). */
static __global__ void __launch_bounds__(128) kt_delta_gate(struct delta_train d)
{
	int lane = (int)threadIdx.x % 32;
	int j = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = (int)blockIdx.x;
	if (j >= d.nv)
		return;
	const float *o = d.o + ((size_t)t * d.nv + j) * d.dv;
	const uint16_t *z =
		d.y + (size_t)t * d.ld + 2 * d.nk * d.dk + d.nv * d.dv + (size_t)j * d.dv;
	uint16_t *out = d.out + (size_t)t * d.ldo + (size_t)j * d.dv;
	float sum = 0;
	for (int i = lane; i < d.dv; i += 32)
		sum += o[i] * o[i];
	float r = 1.0f / sqrtf(warp_sum(sum) / (float)d.dv + d.eps);
	for (int i = lane; i < d.dv; i += 32)
		out[i] = to_bf16(o[i] * r * d.norm[i] * silu(from_bf16(z[i])));
}

static __global__ void __launch_bounds__(128) kt_delta_gate_back(struct delta_train d)
{
	int lane = (int)threadIdx.x % 32;
	int j = (int)(blockIdx.y * 4 + threadIdx.x / 32), t = d.row0 + (int)blockIdx.x;
	if (j >= d.nv)
		return;
	size_t at = ((size_t)t * d.nv + j) * d.dv;
	size_t zat = (size_t)t * d.ld + 2 * d.nk * d.dk + d.nv * d.dv + (size_t)j * d.dv;
	const float *o = d.o + at;
	const uint16_t *dout = d.dout + (size_t)t * d.ldd + (size_t)j * d.dv;
	float square = 0, dot = 0;
	for (int i = lane; i < d.dv; i += 32) {
		square += o[i] * o[i];
		dot += from_bf16(dout[i]) * d.norm[i] * silu(from_bf16(d.y[zat + i])) * o[i];
	}
	float r = 1.0f / sqrtf(warp_sum(square) / (float)d.dv + d.eps);
	float back = r * r * r / (float)d.dv * warp_sum(dot);
	for (int i = lane; i < d.dv; i += 32) {
		float z = from_bf16(d.y[zat + i]), s = sigmoid(z), g = from_bf16(dout[i]);
		d.d_o[at + i] = r * g * d.norm[i] * z * s - o[i] * back;
		d.dy[zat + i] = to_bf16(g * d.norm[i] * o[i] * r * s * (1.0f + z * (1.0f - s)));
	}
}

/* ---- the rule, forward ---- */

/* Block (chunk, key head): K K' and Q K' once, then for each of the key head's value heads A, its
 * inverse, W, U and P. The inverse of I + A (unit lower triangular): 16 x 16 blocks of the diagonal
 * by forward substitution, a lane a column, then -X22 A21 X11 for 16 -> 32 -> 64. */
static __global__ void __launch_bounds__(256, 1) kt_delta_prepare(struct delta_train d)
{
	const int C = TRAIN_CHUNK, LC = C + 4;
	DYN_SHARED(float, shared);
	int chunk = (int)blockIdx.x, kh = (int)blockIdx.y, tid = (int)threadIdx.x;
	int warp = tid / 32, m = warp % 4 * 16, half = warp / 4;
	int row0 = d.chunk_row[d.chunk0 + chunk], n = d.chunk_n[d.chunk0 + chunk];
	int dkp = (d.dk + 15) / 16 * 16, LK = dkp + 4;
	float *K = shared, *Q = K + C * LK, *KK = Q + C * LK, *QK = KK + C * LC, *A = QK + C * LC,
	      *X = A + C * LC, *Y = X + C * LC, *G = Y + 32 * 36, *beta = G + C,
	      *u_scale = beta + C;

	for (int i = tid; i < C * LK; i += 256) {
		int t = i / LK, c = i % LK;
		bool there = t < n && c < d.dk;
		size_t at = ((size_t)(row0 + t) * d.nk + kh) * d.dk + c;
		K[i] = there ? d.k[at] : 0.0f;
		Q[i] = there ? d.q[at] : 0.0f;
	}
	block_sync();
	{
		float kk[4][4], qk[4][4];
		clear<4>(kk);
		clear<4>(qk);
		auto other = [=](int k, int c) { return K[(half * 32 + c) * LK + k]; };
		product3<4, false>(
			kk, dkp, [=](int r, int k) { return K[(m + r) * LK + k]; }, other);
		product3<4, false>(
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
					sum += d.g[(size_t)(row0 + t) * d.nv + j];
				G[t] = sum;
			}
		}
		if (tid >= 32 && tid < 32 + C) {
			int t = tid - 32;
			beta[t] = t < n ? d.beta[(size_t)(row0 + t) * d.nv + j] : 0.0f;
		}
		block_sync();
		if (tid < C) {
			u_scale[tid] = beta[tid] * expf(G[tid]);
			d.G[rows + tid] = G[tid];
		}
		for (int i = tid; i < C * C; i += 256) {
			int r = i / C, c = i % C;
			float decay = r >= c ? expf(G[r] - G[c]) : 0.0f;
			A[r * LC + c] = r > c ? beta[r] * KK[r * LC + c] * decay : 0.0f;
			X[r * LC + c] = 0;
			d.P[rows * C + i] = r >= c ? QK[r * LC + c] * decay : 0.0f;
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
			product3<2, false>(
				acc, 16, [=](int r, int k) { return A[(b + 16 + r) * LC + b + k]; },
				[=](int k, int c) { return X[(b + k) * LC + b + c]; });
			each_result<2>(acc, [=](int r, int c, float v) {
				Y[(warp * 16 + r) * 36 + c] = v;
			});
			warp_sync();
			clear<2>(acc);
			product3<2, false>(
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
		product3<1, false>(
			acc, 32, [=](int r, int k) { return A[(32 + m2 + r) * LC + k]; },
			[=](int k, int c) { return X[k * LC + n2 + c]; });
		each_result<1>(acc, [=](int r, int c, float v) { Y[(m2 + r) * 36 + n2 + c] = v; });
		block_sync();
		clear<1>(acc);
		product3<1, false>(
			acc, 32, [=](int r, int k) { return X[(32 + m2 + r) * LC + 32 + k]; },
			[=](int k, int c) { return Y[k * 36 + n2 + c]; });
		each_result<1>(acc,
		               [=](int r, int c, float v) { X[(32 + m2 + r) * LC + n2 + c] = -v; });
		block_sync();
		for (int i = tid; i < C * C; i += 256)
			d.X[rows * C + i] = X[i / C * LC + i % C];
		/* row m of X ends at its diagonal */
		for (int c0 = half * 32; c0 < d.dk; c0 += 64) {
			float w[4][4];
			int dk = d.dk;
			float *W = d.W;
			clear<4>(w);
			product3<4, false>(
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
			float *U = d.U;
			const float *V = d.v + ((size_t)row0 * d.nv + j) * dv;
			size_t step = (size_t)d.nv * dv;
			clear<4>(u);
			product3<4, false>(
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

/* Block (32 columns of dv, value head, sample): chunks in order, S [dk][32] in shared memory.
 * V' = U - W S; O = e^G Q S + P V'; S <- e^G_C S + (e^(G_C - G) K)' V'. */
template <bool KEEP>
static __global__ void __launch_bounds__(256, 2) kt_delta_scan(struct delta_train d)
{
	const int C = TRAIN_CHUNK, LS = 36;
	DYN_SHARED(float, shared);
	int strip = (int)blockIdx.x * 32, j = (int)blockIdx.y, kh = j / (d.nv / d.nk);
	int tid = (int)threadIdx.x, warp = tid / 32, m = warp % 4 * 16, half = warp / 4 * 16;
	int dk = d.dk, dv = d.dv, dkp = (dk + 15) / 16 * 16, columns = min(32, dv - strip);
	float *S = shared, *V = S + dkp * LS, *eG = V + C * LS, *rest = eG + C;
	int first = d.sample_chunk[d.sample0 + (int)blockIdx.z];
	int last = d.sample_chunk[d.sample0 + (int)blockIdx.z + 1];

	for (int i = tid; i < dkp * LS; i += 256)
		S[i] = 0;
	for (int chunk = first; chunk < last; chunk++) {
		int n = d.chunk_n[chunk];
		size_t row0 = (size_t)d.chunk_row[chunk];
		size_t place = (size_t)(chunk - d.chunk0) * d.nv + j, rows = place * C;
		size_t step = (size_t)d.nk * dk, o_step = (size_t)d.nv * dv;
		const float *W = d.W + rows * dk, *U = d.U + rows * dv, *P = d.P + rows * C;
		const float *Q = d.q + (row0 * d.nk + kh) * dk, *K = d.k + (row0 * d.nk + kh) * dk;
		block_sync(); /* S is there, V and eG are free */
		if (tid < C) {
			float g = d.G[rows + tid], end = d.G[rows + C - 1];
			eG[tid] = expf(g);
			rest[tid] = expf(end - g);
		}
		if (KEEP) {
			float *keep = d.S + place * dk * dv + strip;
			for (int i = tid; i < dk * 32; i += 256)
				if (i % 32 < columns)
					keep[(size_t)(i / 32) * dv + i % 32] =
						S[i / 32 * LS + i % 32];
		}
		float acc[2][4];
		clear<2>(acc);
		product3<2, false>(
			acc, dkp,
			[=](int r, int k) { return k < dk ? W[(size_t)(m + r) * dk + k] : 0.0f; },
			[=](int k, int c) { return S[k * LS + half + c]; });
		float *vn = d.vn + rows * dv + strip;
		each_result<2>(acc, [=](int r, int c, float v) {
			bool there = half + c < columns;
			float u = there ? U[(size_t)(m + r) * dv + strip + half + c] : 0.0f;
			V[(m + r) * LS + half + c] = u - v;
			if (KEEP && there)
				vn[(size_t)(m + r) * dv + half + c] = u - v;
		});
		block_sync();
		clear<2>(acc);
		product3<2, false>(
			acc, dkp,
			[=](int r, int k) {
				return m + r < n && k < dk ? Q[(m + r) * step + k] * eG[m + r]
			                                   : 0.0f;
			},
			[=](int k, int c) { return S[k * LS + half + c]; });
		product3<2, false>(
			acc, m + 16, [=](int r, int k) { return P[(m + r) * C + k]; },
			[=](int k, int c) { return V[k * LS + half + c]; });
		float *o = d.o + (row0 * d.nv + j) * dv + strip;
		each_result<2>(acc, [=](int r, int c, float v) {
			if (m + r < n && half + c < columns)
				o[(m + r) * o_step + half + c] = v;
		});
		block_sync(); /* S has been read by all */
		float fade = eG[C - 1];
		for (int r0 = warp * 16; r0 < dkp; r0 += 128) {
			float add[4][4];
			clear<4>(add);
			product3<4, false>(
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
}

/* ---- the rule, back ---- */

/* Block (32 columns of dv, value head, sample): chunks in reverse, dS [dk][32] in shared memory.
 * dV' = P' dO + H K dS with H = e^(G_C - G); dS <- e^G_C dS + (e^G Q)' dO - W' dV'. */
static __global__ void __launch_bounds__(256, 2) kt_delta_scan_back(struct delta_train d)
{
	const int C = TRAIN_CHUNK, LS = 36;
	DYN_SHARED(float, shared);
	int strip = (int)blockIdx.x * 32, j = (int)blockIdx.y, kh = j / (d.nv / d.nk);
	int tid = (int)threadIdx.x, warp = tid / 32, m = warp % 4 * 16, half = warp / 4 * 16;
	int dk = d.dk, dv = d.dv, dkp = (dk + 15) / 16 * 16, columns = min(32, dv - strip);
	float *S = shared, *V = S + dkp * LS, *O = V + C * LS, *eG = O + C * LS, *rest = eG + C;
	int first = d.sample_chunk[d.sample0 + (int)blockIdx.z];
	int last = d.sample_chunk[d.sample0 + (int)blockIdx.z + 1];

	for (int i = tid; i < dkp * LS; i += 256)
		S[i] = 0;
	for (int chunk = last - 1; chunk >= first; chunk--) {
		int n = d.chunk_n[chunk];
		size_t row0 = (size_t)d.chunk_row[chunk];
		size_t place = (size_t)(chunk - d.chunk0) * d.nv + j, rows = place * C;
		size_t step = (size_t)d.nk * dk, o_step = (size_t)d.nv * dv;
		const float *W = d.W + rows * dk, *P = d.P + rows * C;
		const float *Q = d.q + (row0 * d.nk + kh) * dk, *K = d.k + (row0 * d.nk + kh) * dk;
		const float *dO = d.d_o + (row0 * d.nv + j) * dv + strip;
		block_sync(); /* S is there; V, O and eG are free */
		if (tid < C) {
			float g = d.G[rows + tid], end = d.G[rows + C - 1];
			eG[tid] = expf(g);
			rest[tid] = expf(end - g);
		}
		float *keep = d.dS + place * dk * dv + strip;
		for (int i = tid; i < dk * 32; i += 256)
			if (i % 32 < columns)
				keep[(size_t)(i / 32) * dv + i % 32] = S[i / 32 * LS + i % 32];
		for (int i = tid; i < C * 32; i += 256) {
			int t = i / 32, x = i % 32;
			O[t * LS + x] = t < n && x < columns ? dO[t * o_step + x] : 0.0f;
		}
		block_sync();
		float acc[2][4];
		clear<2>(acc);
		product3<2, false>(
			acc, C - m, [=](int r, int k) { return P[(size_t)(m + k) * C + m + r]; },
			[=](int k, int c) { return O[(m + k) * LS + half + c]; });
		product3<2, false>(
			acc, dkp,
			[=](int r, int k) {
				return m + r < n && k < dk ? K[(m + r) * step + k] * rest[m + r]
			                                   : 0.0f;
			},
			[=](int k, int c) { return S[k * LS + half + c]; });
		float *dvn = d.dvn + rows * dv + strip;
		each_result<2>(acc, [=](int r, int c, float v) {
			V[(m + r) * LS + half + c] = v;
			if (half + c < columns)
				dvn[(size_t)(m + r) * dv + half + c] = v;
		});
		block_sync(); /* S has been read by all */
		float fade = eG[C - 1];
		for (int r0 = warp * 16; r0 < dkp; r0 += 128) {
			float add[4][4];
			clear<4>(add);
			product3<4, false>(
				add, C,
				[=](int r, int k) {
					return k < n && r0 + r < dk ? Q[k * step + r0 + r] * eG[k]
				                                    : 0.0f;
				},
				[=](int k, int c) { return O[k * LS + c]; });
			product3<4, false>(
				add, C,
				[=](int r, int k) {
					return r0 + r < dk ? -W[(size_t)k * dk + r0 + r] : 0.0f;
				},
				[=](int k, int c) { return V[k * LS + c]; });
			each_result<4>(add, [=](int r, int c, float v) {
				float *at = &S[(r0 + r) * LS + c];
				*at = fade * *at + v;
			});
		}
	}
}

/* Row sums of what a warp holds of a 16 x 32 result: f(row, column, value) is what is added; the
 * sum of row r is left in out[r] by one lane. */
template <class F>
DEV void row_sums(float (*acc)[4], float *out, F f)
{
	int lane = (int)threadIdx.x % 32, g = lane / 4;
	float sum[2] = { 0, 0 };
	each_result<4>(acc, [&](int r, int c, float v) {
		float part = f(r, c, v);
		if (r == g)
			sum[0] += part;
		else
			sum[1] += part;
	});
	UNROLL
	for (int i = 0; i < 2; i++) {
		sum[i] += warp_xor(sum[i], 1);
		sum[i] += warp_xor(sum[i], 2);
	}
	if (lane % 4 == 0) {
		out[g] += sum[0];
		out[g + 8] += sum[1];
	}
}

/* Block (chunk, key head): everything that needs no other chunk, for each of the key head's value
 * heads in turn. dX_w = T' dW = -(T' dV') S' = -dX_u S' spares a product. */
static __global__ void __launch_bounds__(256, 1) kt_delta_chunk_back(struct delta_train d)
{
	const int C = TRAIN_CHUNK, LC = C + 4;
	DYN_SHARED(float, shared);
	int chunk = (int)blockIdx.x, kh = (int)blockIdx.y, tid = (int)threadIdx.x;
	int lane = tid % 32, warp = tid / 32, m = warp % 4 * 16, half = warp / 4;
	int row0 = d.chunk_row[d.chunk0 + chunk], n = d.chunk_n[d.chunk0 + chunk];
	int dk = d.dk, dv = d.dv;
	int dkp = (dk + 15) / 16 * 16, LK = dkp + 4, dvp = (dv + 15) / 16 * 16, LV = dvp + 4;
	float *K = shared, *Q = K + C * LK, *Xw = Q + C * LK, *Xu = Xw + C * LK;
	float *KK = Xu + C * LV, *M = KK + C * LC, *E = M + C * LC, *F = E + C * LC;
	float *G = F + C * LC, *beta = G + C, *eG = beta + C, *rest = eG + C;
	float *dG = rest + C, *dB = dG + C;
	/* row sums by the warps of either half of the columns: q dq, h, dA D KK */
	float *rq = dB + C, *rh = rq + 2 * C, *rb = rh + 2 * C, *part = rb + 2 * C;

	for (int i = tid; i < C * LK; i += 256) {
		int t = i / LK, c = i % LK;
		bool there = t < n && c < dk;
		size_t at = ((size_t)(row0 + t) * d.nk + kh) * dk + c;
		K[i] = there ? d.k[at] : 0.0f;
		Q[i] = there ? d.q[at] : 0.0f;
		Xw[i] = 0; /* columns beyond dk stay so */
	}
	for (int i = tid; i < C * LV; i += 256)
		Xu[i] = 0;
	block_sync();
	{
		float kk[4][4];
		clear<4>(kk);
		product3<4, false>(
			kk, dkp, [=](int r, int k) { return K[(m + r) * LK + k]; },
			[=](int k, int c) { return K[(half * 32 + c) * LK + k]; });
		each_result<4>(
			kk, [=](int r, int c, float v) { KK[(m + r) * LC + half * 32 + c] = v; });
	}
	int each = d.nv / d.nk;
	for (int j = kh * each; j < (kh + 1) * each; j++) {
		bool more = j > kh * each;
		size_t place = (size_t)chunk * d.nv + j, rows = place * C;
		size_t o_step = (size_t)d.nv * dv, o_at = ((size_t)row0 * d.nv + j) * dv;
		const float *X = d.X + rows * C, *P = d.P + rows * C;
		const float *W = d.W + rows * dk, *U = d.U + rows * dv;
		const float *vn = d.vn + rows * dv, *dvn = d.dvn + rows * dv, *dO = d.d_o + o_at;
		const float *S = d.S + place * dk * dv, *dS = d.dS + place * dk * dv;
		block_sync(); /* KK is there; the last head is done */
		if (tid < C) {
			float g = d.G[rows + tid];
			G[tid] = g;
			eG[tid] = expf(g);
			rest[tid] = expf(d.G[rows + C - 1] - g);
			beta[tid] = tid < n ? d.beta[(size_t)(row0 + tid) * d.nv + j] : 0.0f;
		}
		for (int i = tid; i < 6 * C; i += 256)
			rq[i] = 0;
		block_sync();
		float acc[4][4];

		/* dP = tril(dO V''): M = dP D, F = dP P */
		clear<4>(acc);
		product3<4, false>(
			acc, dvp,
			[=](int r, int k) {
				return m + r < n && k < dv ? dO[(m + r) * o_step + k] : 0.0f;
			},
			[=](int k, int c) {
				return k < dv ? vn[(size_t)(half * 32 + c) * dv + k] : 0.0f;
			});
		each_result<4>(acc, [=](int r, int c, float v) {
			int R = m + r, J = half * 32 + c;
			M[R * LC + J] = R >= J ? v * expf(G[R] - G[J]) : 0.0f;
			F[R * LC + J] = R >= J ? v * P[R * C + J] : 0.0f;
		});
		/* dX_u = T' dV'; T's column ends at its diagonal */
		for (int c0 = half * 32; c0 < dv; c0 += 64) {
			float *dv_out = d.d_v + o_at;
			clear<4>(acc);
			product3<4, false>(
				acc, C - m,
				[=](int r, int k) { return X[(size_t)(m + k) * C + m + r]; },
				[=](int k, int c) {
					return c0 + c < dv ? dvn[(size_t)(m + k) * dv + c0 + c]
				                           : 0.0f;
				});
			each_result<4>(acc, [=](int r, int c, float v) {
				if (c0 + c >= dv)
					return;
				Xu[(m + r) * LV + c0 + c] = v;
				if (m + r < n)
					dv_out[(m + r) * o_step + c0 + c] = beta[m + r] * v;
			});
		}
		block_sync();
		/* dX_w = -dX_u S' */
		for (int c0 = half * 32; c0 < dk; c0 += 64) {
			clear<4>(acc);
			product3<4, false>(
				acc, dvp, [=](int r, int k) { return Xu[(m + r) * LV + k]; },
				[=](int k, int c) {
					return k < dv && c0 + c < dk ? S[(size_t)(c0 + c) * dv + k]
				                                     : 0.0f;
				});
			each_result<4>(acc, [=](int r, int c, float v) {
				if (c0 + c < dk)
					Xw[(m + r) * LK + c0 + c] = -v;
			});
		}
		block_sync();
		/* dA = -stril(dX_w W' + dX_u U'): E = beta dA D, F += dA A */
		clear<4>(acc);
		product3<4, false>(
			acc, dkp, [=](int r, int k) { return Xw[(m + r) * LK + k]; },
			[=](int k, int c) {
				return k < dk ? W[(size_t)(half * 32 + c) * dk + k] : 0.0f;
			});
		product3<4, false>(
			acc, dvp, [=](int r, int k) { return Xu[(m + r) * LV + k]; },
			[=](int k, int c) {
				return k < dv ? U[(size_t)(half * 32 + c) * dv + k] : 0.0f;
			});
		row_sums(acc, rb + half * C + m, [=](int r, int c, float v) {
			int R = m + r, J = half * 32 + c;
			float da = R > J ? -v * expf(G[R] - G[J]) : 0.0f;
			float dakk = R > J ? da * KK[R * LC + J] : 0.0f;
			E[R * LC + J] = beta[R] * da;
			F[R * LC + J] += beta[R] * dakk;
			return dakk;
		});
		block_sync();
		/* dQ = (dP D) K + e^G dO S' */
		for (int c0 = half * 32; c0 < dk; c0 += 64) {
			float *out = d.dq + ((size_t)row0 * d.nk + kh) * dk;
			size_t step = (size_t)d.nk * dk;
			clear<4>(acc);
			product3<4, false>(
				acc, dvp,
				[=](int r, int k) {
					return m + r < n && k < dv
				                       ? dO[(m + r) * o_step + k] * eG[m + r]
				                       : 0.0f;
				},
				[=](int k, int c) {
					return k < dv && c0 + c < dk ? S[(size_t)(c0 + c) * dv + k]
				                                     : 0.0f;
				});
			row_sums(acc, rq + half * C + m, [=](int r, int c, float v) {
				return c0 + c < dk ? v * Q[(m + r) * LK + c0 + c] : 0.0f;
			});
			product3<4, false>(
				acc, m + 16, [=](int r, int k) { return M[(m + r) * LC + k]; },
				[=](int k, int c) {
					return c0 + c < dk ? K[k * LK + c0 + c] : 0.0f;
				});
			each_result<4>(acc, [=](int r, int c, float v) {
				if (m + r >= n || c0 + c >= dk)
					return;
				float *to = out + (m + r) * step + c0 + c;
				*to = more ? *to + v : v;
			});
		}
		/* dK = H V' dS' + (dP D)' Q + (E + E') K + diag(beta e^G) dX_w */
		for (int c0 = half * 32; c0 < dk; c0 += 64) {
			float *out = d.d_k + ((size_t)row0 * d.nk + kh) * dk;
			size_t step = (size_t)d.nk * dk;
			clear<4>(acc);
			product3<4, false>(
				acc, dvp,
				[=](int r, int k) {
					return k < dv ? vn[(size_t)(m + r) * dv + k] * rest[m + r]
				                      : 0.0f;
				},
				[=](int k, int c) {
					return k < dv && c0 + c < dk ? dS[(size_t)(c0 + c) * dv + k]
				                                     : 0.0f;
				});
			row_sums(acc, rh + half * C + m, [=](int r, int c, float v) {
				return c0 + c < dk ? v * K[(m + r) * LK + c0 + c] : 0.0f;
			});
			product3<4, false>(
				acc, C, [=](int r, int k) { return M[k * LC + m + r]; },
				[=](int k, int c) {
					return c0 + c < dk ? Q[k * LK + c0 + c] : 0.0f;
				});
			product3<4, false>(
				acc, C,
				[=](int r, int k) {
					return E[(m + r) * LC + k] + E[k * LC + m + r];
				},
				[=](int k, int c) {
					return c0 + c < dk ? K[k * LK + c0 + c] : 0.0f;
				});
			each_result<4>(acc, [=](int r, int c, float v) {
				int R = m + r;
				if (R >= n || c0 + c >= dk)
					return;
				float *to = out + R * step + c0 + c;
				v += beta[R] * eG[R] * Xw[R * LK + c0 + c];
				*to = more ? *to + v : v;
			});
		}
		/* <dS, S> */
		float dot = 0;
		for (int i = tid; i < dk * dv; i += 256)
			dot += S[i] * dS[i];
		dot = block_sum(dot, part); /* and the row sums are there */
		/* the rest of dG and dbeta, a warp eight rows */
		for (int R = warp * 8; R < warp * 8 + 8; R++) {
			float f = 0, w = 0, u = 0;
			for (int i = lane; i < C; i += 32)
				f += F[R * LC + i] - F[i * LC + R];
			for (int i = lane; i < dk; i += 32)
				w += Xw[R * LK + i] * K[R * LK + i];
			if (R < n)
				for (int i = lane; i < dv; i += 32)
					u += Xu[R * LV + i] * d.v[o_at + R * o_step + i];
			f = warp_sum(f);
			w = warp_sum(w) * eG[R];
			u = warp_sum(u);
			if (lane == 0) {
				dG[R] = f + rq[R] + rq[C + R] + beta[R] * w - rh[R] - rh[C + R];
				dB[R] = rb[R] + rb[C + R] + w + u;
			}
		}
		block_sync();
		if (tid == 0) {
			float sum = eG[C - 1] * dot;
			for (int t = 0; t < C; t++)
				sum += rh[t] + rh[C + t];
			for (int t = C - 1; t >= 0; t--) {
				sum += dG[t];
				if (t < n)
					d.dg[(size_t)(row0 + t) * d.nv + j] = sum;
			}
		}
		if (tid < n)
			d.dbeta[(size_t)(row0 + tid) * d.nv + j] = dB[tid];
	}
}

/* ---- launchers ---- */

extern "C" {

static dim3 delta_heads(const struct delta_train *d)
{
	return dim3((unsigned)d->n, (unsigned)((2 * d->nk + d->nv + 1 + 3) / 4));
}

void train_delta_conv(dev_stream s, const struct delta_train *d)
{
	LAUNCH(kt_delta_conv, delta_heads(d), 128, 0, s, *d);
}

void train_delta_forward(dev_stream s, const struct delta_train *d, bool keep)
{
	const unsigned C = TRAIN_CHUNK;
	unsigned dkp = ((unsigned)d->dk + 15) / 16 * 16;
	size_t prepare = (2 * C * (dkp + 4) + 4 * C * (C + 4) + 32 * 36 + 3 * C) * sizeof(float);
	size_t scan = (dkp * 36 + C * 36 + 2 * C) * sizeof(float);
	dim3 chunk_heads((unsigned)d->chunks, (unsigned)d->nk);
	dim3 strips((unsigned)((d->dv + 31) / 32), (unsigned)d->nv, (unsigned)d->samples);
	LAUNCH(kt_delta_prepare, chunk_heads, 256, prepare, s, *d);
	if (keep)
		LAUNCH(kt_delta_scan<true>, strips, 256, scan, s, *d);
	else
		LAUNCH(kt_delta_scan<false>, strips, 256, scan, s, *d);
}

void train_delta_gate(dev_stream s, const struct delta_train *d)
{
	LAUNCH(kt_delta_gate, dim3((unsigned)d->n, (unsigned)((d->nv + 3) / 4)), 128, 0, s, *d);
}

void train_delta_back(dev_stream s, const struct delta_train *d)
{
	const unsigned C = TRAIN_CHUNK;
	unsigned dkp = ((unsigned)d->dk + 15) / 16 * 16, dvp = ((unsigned)d->dv + 15) / 16 * 16;
	size_t scan = (dkp * 36 + 2 * C * 36 + 2 * C) * sizeof(float);
	size_t chunk =
		(3 * C * (dkp + 4) + C * (dvp + 4) + 4 * C * (C + 4) + 12 * C + 8) * sizeof(float);
	dim3 rows((unsigned)d->rows, (unsigned)((d->nv + 3) / 4));
	dim3 strips((unsigned)((d->dv + 31) / 32), (unsigned)d->nv, (unsigned)d->samples);
	dim3 chunk_heads((unsigned)d->chunks, (unsigned)d->nk);
	LAUNCH(kt_delta_gate_back, rows, 128, 0, s, *d);
	LAUNCH(kt_delta_scan_back, strips, 256, scan, s, *d);
	LAUNCH(kt_delta_chunk_back, chunk_heads, 256, chunk, s, *d);
}

void train_delta_conv_back(dev_stream s, const struct delta_train *d)
{
	int channels = 2 * d->nk * d->dk + d->nv * d->dv;
	dim3 grid((unsigned)((channels + 255) / 256), (unsigned)d->n);
	LAUNCH(kt_delta_act_back, delta_heads(d), 128, 0, s, *d);
	LAUNCH(kt_delta_conv_back, grid, 256, 0, s, *d);
}

} /* extern "C" */
