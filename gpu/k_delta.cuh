/*
 * k_delta.cuh - the gated DeltaNet, token by token (qwen35.md section 4, cuda.md section 3).
 *
 * Block = (16 value channels, value head, group), 128 threads. A warp holds 4 rows of S (a row is
 * one value channel, dk contiguous), 8 lanes a row; lane j has the float4s j, j + 8, j + 16 ... of
 * its row, so the state is read once, kept in registers for all tokens of the group and written at
 * most once. The convolution of the key head's q and k is done again by each of its blocks: 4 KB
 * from L2 instead of a kernel of its own. o is read before the write: with S~ = e^g S, d = beta (v
 * - S~ k), o = S~ q + d (k . q).
 *
 * A token's arithmetic is the same in whatever group and place it is walked, replayed or not.
 * Twin: twin_delta() in tests/t_k_decode.cc, f64; 3e-6 of the largest value.
 */
#ifndef GPU_K_DELTA_CUH
#define GPU_K_DELTA_CUH

#include "gpu/dev.h"
#include "gpu/kernels.h"

enum { DELTA_THREADS = 128, DELTA_ROWS = 16 };

/* silu of the convolution of channel @n at position @p. */
DEV float conv_at(const struct k_delta &a, const float *ring, int n, int p)
{
	const float *w = a.conv + (int64_t)n * a.conv_k;
	float sum = 0;
	UNROLL_N(1)
	for (int j = 0; j < a.conv_k; j++) {
		int at = p - (a.conv_k - 1) + j;
		if (at >= 0)
			sum += w[j] * ring[(int64_t)(at & (a.ring_rows - 1)) * a.ld_ring + n];
	}
	return sum / (1.0f + expf(-sum));
}

/* @NG: float4s of a row that a lane holds; dk <= 32 NG. */
template <int NG>
DEV void stage_delta(const struct k_delta &a, int rows_of, int head, int group)
{
	SHARED(float, kq, 2 * 32 * NG);   /* k, then q, as the convolution gives them */
	SHARED(float, v_row, DELTA_ROWS); /* v of the block's rows */
	SHARED(float, square, 2 * (DELTA_THREADS / 32));
	const struct k_group gr = a.step->group[group];
	const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	const int j = lane % 8, row = rows_of * DELTA_ROWS + warp * 4 + lane / 8;
	const int key_head = head / (a.nv / a.nk), fours = (a.dk + 3) / 4, wide = 32 * NG;
	const int channels = 2 * a.nk * a.dk + a.nv * a.dv;
	const float *ring = a.ring + gr.slot * a.ring_slot;
	const bool mine = row < a.dv;
	float4 *state_at = (float4 *)a.state;
	const int64_t in_state = ((int64_t)head * a.dv + row) * fours;
	float4 S[NG];

	UNROLL
	for (int i = 0; i < NG; i++) {
		S[i] = make_float4(0, 0, 0, 0);
		if (mine && i * 8 + j < fours)
			S[i] = state_at[gr.state_from * (a.state_stride / 4) + in_state + i * 8 +
			                j];
	}
	const float decay = expf(a.a_log[head]), bias = a.dt_bias[head];

	for (int n = 0; n <= gr.replay + gr.n; n++) {
		if (n == gr.store_after && mine)
			UNROLL
		for (int i = 0; i < NG; i++)
			if (i * 8 + j < fours)
				state_at[gr.state_to * (a.state_stride / 4) + in_state + i * 8 +
				         j] = S[i];
		if (n == gr.replay + gr.n)
			break;
		const int p = gr.position - gr.replay + n;
		float part_k = 0, part_q = 0;
		for (int i = tid; i < 2 * wide; i += DELTA_THREADS) {
			/* wide is a multiple of 32: a warp is in k or in q */
			int d = i % wide;
			bool is_q = i >= wide;
			float c = 0;
			if (d < a.dk)
				c = conv_at(a, ring, ((is_q ? 0 : a.nk) + key_head) * a.dk + d, p);
			kq[i] = c;
			if (is_q)
				part_q += c * c;
			else
				part_k += c * c;
		}
		if (tid < DELTA_ROWS && rows_of * DELTA_ROWS + tid < a.dv)
			v_row[tid] = conv_at(
				a, ring, 2 * a.nk * a.dk + head * a.dv + rows_of * DELTA_ROWS + tid,
				p);
		part_k = warp_sum(part_k);
		part_q = warp_sum(part_q);
		if (lane == 0) {
			square[2 * warp] = part_k;
			square[2 * warp + 1] = part_q;
		}
		block_sync();
		float all_k = 0, all_q = 0;
		UNROLL
		for (int w = 0; w < DELTA_THREADS / 32; w++) {
			all_k += square[2 * w];
			all_q += square[2 * w + 1];
		}
		const float scale_k = 1.0f / sqrtf(all_k + 1e-6f);
		const float scale_q = 1.0f / sqrtf(all_q + 1e-6f) / sqrtf((float)a.dk);
		const float *ab = ring + (int64_t)(p & (a.ring_rows - 1)) * a.ld_ring + channels;
		const float in = ab[head] + bias;
		const float softplus = in > 20.0f ? in : log1pf(expf(in));
		const float gate = expf(-decay * softplus);
		const float beta = 1.0f / (1.0f + expf(-ab[a.nv + head]));

		float sk = 0, sq = 0, kk = 0;
		UNROLL
		for (int i = 0; i < NG; i++) {
			const float4 k = *(const float4 *)(kq + 4 * (i * 8 + j));
			const float4 q = *(const float4 *)(kq + wide + 4 * (i * 8 + j));
			S[i].x *= gate;
			S[i].y *= gate;
			S[i].z *= gate;
			S[i].w *= gate;
			sk += S[i].x * k.x + S[i].y * k.y + S[i].z * k.z + S[i].w * k.w;
			sq += S[i].x * q.x + S[i].y * q.y + S[i].z * q.z + S[i].w * q.w;
			kk += k.x * q.x + k.y * q.y + k.z * q.z + k.w * q.w;
		}
		UNROLL
		for (int m = 4; m; m >>= 1) {
			sk += warp_xor(sk, m);
			sq += warp_xor(sq, m);
			kk += warp_xor(kk, m);
		}
		float d = 0;
		if (mine)
			d = beta * (v_row[warp * 4 + lane / 8] - sk * scale_k);
		const float write = d * scale_k;
		UNROLL
		for (int i = 0; i < NG; i++) {
			const float4 k = *(const float4 *)(kq + 4 * (i * 8 + j));
			S[i].x += k.x * write;
			S[i].y += k.y * write;
			S[i].z += k.z * write;
			S[i].w += k.w * write;
		}
		if (a.o && mine && j == 0 && n >= gr.replay)
			a.o[(int64_t)(gr.column + n - gr.replay) * a.ld_o + head * a.dv + row] =
				sq * scale_q + d * (kk * scale_k * scale_q);
		block_sync(); /* k and q are written anew */
	}
}

template <int NG>
__global__ void __launch_bounds__(DELTA_THREADS, NG <= 4 ? 4 : 2) kernel_delta(const struct k_delta a)
{
	grid_trigger();
	grid_wait();
	if ((int)blockIdx.z < a.step->n_groups)
		stage_delta<NG>(a, (int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z);
}

#endif
