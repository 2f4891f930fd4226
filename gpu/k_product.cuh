/*
 * k_product.cuh - what the prefill and the training kernels share: warp products on tensor cores
 * with operands split into bf16 parts, sums over a block, and the two activations.
 */
#ifndef GPU_K_PRODUCT_CUH
#define GPU_K_PRODUCT_CUH

#include "gpu/dev.h"

struct pair_split {
	uint32_t high, low;
};

DEV pair_split split_pair(float a, float b)
{
	pair_split s;
	s.high = to_bf16x2(a, b);
	s.low = to_bf16x2(a - low_bf16(s.high), b - high_bf16(s.high));
	return s;
}

DEV void split_store(uint16_t *high, uint16_t *low, size_t i, float v)
{
	bf16 h = to_bf16(v);
	high[i] = h;
	if (low)
		low[i] = to_bf16(v - from_bf16(h));
}

/* What is left of a pair after its high and low parts. */
DEV uint32_t split_rest(pair_split s, float a, float b)
{
	return to_bf16x2(a - low_bf16(s.high) - low_bf16(s.low),
	                 b - high_bf16(s.high) - high_bf16(s.low));
}

/* acc += A B for one warp: 16 rows, NT tiles of 8 columns, k in steps of 16 up to @k_end. a(row, k)
 * and b(k, column) give the operands as f32 from wherever they lie. Two parts an operand and three
 * products; with EXACT three parts and six products: as good as f32. */
template <int NT, bool EXACT, class A, class B>
DEV void product3(float (*acc)[4], int k_end, A a, B b)
{
	int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
	for (int k = 0; k < k_end; k += 16) {
		uint32_t ah[4], al[4], ar[4];
		UNROLL
		for (int i = 0; i < 4; i++) {
			int row = g + i % 2 * 8, col = k + 2 * t + i / 2 * 8;
			float p = a(row, col), q = a(row, col + 1);
			pair_split s = split_pair(p, q);
			ah[i] = s.high;
			al[i] = s.low;
			if (EXACT)
				ar[i] = split_rest(s, p, q);
		}
		UNROLL
		for (int n = 0; n < NT; n++) {
			uint32_t bh[2], bl[2], br[2];
			UNROLL
			for (int i = 0; i < 2; i++) {
				int row = k + 2 * t + i * 8, col = n * 8 + g;
				float p = b(row, col), q = b(row + 1, col);
				pair_split s = split_pair(p, q);
				bh[i] = s.high;
				bl[i] = s.low;
				if (EXACT)
					br[i] = split_rest(s, p, q);
			}
			if (EXACT) {
				mma_bf16(acc[n], al, bl);
				mma_bf16(acc[n], ar, bh);
				mma_bf16(acc[n], ah, br);
			}
			mma_bf16(acc[n], al, bh);
			mma_bf16(acc[n], ah, bl);
			mma_bf16(acc[n], ah, bh);
		}
	}
}

/* Calls f(row, column, value) for what this lane holds of a warp's 16 x 8 NT result. */
template <int NT, class F>
DEV void each_result(float (*acc)[4], F f)
{
	int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
	UNROLL
	for (int n = 0; n < NT; n++) {
		UNROLL
		for (int i = 0; i < 4; i++)
			f(g + i / 2 * 8, n * 8 + 2 * t + i % 2, acc[n][i]);
	}
}

template <int NT>
DEV void clear(float (*acc)[4])
{
	UNROLL
	for (int n = 0; n < NT; n++) {
		UNROLL
		for (int i = 0; i < 4; i++)
			acc[n][i] = 0;
	}
}

DEV float silu(float v)
{
	return v / (1.0f + expf(-v));
}

DEV float sigmoid(float v)
{
	return 1.0f / (1.0f + expf(-v));
}

/* Sum over a block of 256 threads, the same bits in every thread. @part: 8 floats of shared. */
DEV float block_sum(float v, float *part)
{
	v = warp_sum(v);
	if (threadIdx.x % 32 == 0)
		part[threadIdx.x / 32] = v;
	block_sync();
	v = 0;
	for (int i = 0; i < 8; i++)
		v += part[i];
	return v;
}

#endif
