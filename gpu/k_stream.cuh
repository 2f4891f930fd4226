/*
 * k_stream.cuh - matrices that stream past up to 64 columns (cuda.md, decision 3).
 *
 * What fixes the bits of a column: K is cut into slices of 32 values and these into 8 chunks of
 * equal length (the last ones may be short or empty). A chunk's sum P is one chain of mma, slice
 * after slice (with x as high + low parts: high, then low; a matrix with a low part: all slices
 * high, then all low). y = ((P0 + P1) + (P2 + P3)) + ((P4 + P5) + (P6 + P7)). Tensor cores compute
 * a column of the product from that column alone, so neither batch nor grid nor split shows in the
 * result.
 *
 * Two shapes of the same thing:
 * - narrow, up to 8 columns: a block takes 16 rows, each of its 8 warps one chunk. Weights go from
 *   memory to registers, 16 bytes a lane; the next 8 loads are always under way, over the borders
 * of tiles and from before the wait for the launch's predecessors. Two blocks a multiprocessor.
 * - wide, 16, 32 or 64 columns: a block takes 64 rows and 8, 4 or 2 chunks; weights and x go
 * through a ring in shared memory by asynchronous copies. Parts of a row block meet in scratch,
 * where the last block to come adds them in order.
 *
 * Fragments: within a slice the order of k is free as long as W and x agree, so lane (g, t) takes 8
 * consecutive values of rows g and g + 8 (and of column g of x) in one 16-byte load: values 0..3
 * feed the first mma, 4..7 the second.
 *
 * Twin: struct streaming in tests/t_k_decode.cc, sums in f64; 3e-6 of the largest value.
 */
#ifndef GPU_K_STREAM_CUH
#define GPU_K_STREAM_CUH

#include "gpu/dev.h"
#include "gpu/kernels.h"

enum { STREAM_THREADS = 256, STREAM_WARPS = 8, WIDE_ROWS = 64, WIDE_K = 64 };

DEV float silu(float v)
{
	return v / (1.0f + expf(-v));
}

DEV int stream_columns(const struct k_stream &a)
{
	return a.epilogue == K_LOGITS ? a.step->n_rows : a.step->n_columns;
}

/* Slices of a chunk. */
DEV int chunk_slices(int ld)
{
	return (ld / 32 + 7) / 8;
}

/* Row of the matrix that is row @i of 16-row tile @tile. */
DEV int tile_row(const struct k_matrix &w, bool pairs, int tile, int i)
{
	if (!pairs)
		return tile * 16 + i;
	return i < 8 ? tile * 8 + i : w.rows / 2 + tile * 8 + i - 8;
}

DEV void put_parts(uint16_t *high, uint16_t *low, int at, float v)
{
	bf16 h = to_bf16(v);
	high[at] = h;
	if (low)
		low[at] = to_bf16(v - from_bf16(h));
}

/* ---- prologue ---- */

/* Column @c of what the matrix is fed, by a whole block of 256 threads; zeros beyond K. Ends with a
 * barrier for nobody: callers put one. */
DEV void normalise(const struct k_stream &a, int c, uint16_t *high, uint16_t *low)
{
	SHARED(float, sums, STREAM_WARPS);
	int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	int column = a.epilogue == K_LOGITS ? a.step->row[c] : c;
	const float *x = a.in_x + (int64_t)column * a.ld_in_x;

	if (a.prologue == K_RMS) {
		float sum = 0;
		for (int i = tid; i < a.w.k; i += STREAM_THREADS)
			sum += x[i] * x[i];
		sum = warp_sum(sum);
		block_sync(); /* those who read the last column's sums are done */
		if (lane == 0)
			sums[warp] = sum;
		block_sync();
		float all = 0;
		for (int i = 0; i < STREAM_WARPS; i++)
			all += sums[i];
		float scale = 1.0f / sqrtf(all / (float)a.w.k + a.eps);
		for (int i = tid; i < a.w.k; i += STREAM_THREADS)
			put_parts(high, low, i, x[i] * scale * (1.0f + a.norm[i]));
	} else {
		const float *z = a.z + (int64_t)column * a.ld_z;
		for (int head = warp; head < a.w.k / a.dim; head += STREAM_WARPS) {
			const float *o = x + head * a.dim;
			float sum = 0;
			for (int i = lane; i < a.dim; i += 32)
				sum += o[i] * o[i];
			sum = warp_sum(sum);
			float scale = 1.0f / sqrtf(sum / (float)a.dim + a.eps);
			for (int i = lane; i < a.dim; i += 32)
				put_parts(high, low, head * a.dim + i,
				          o[i] * scale * a.norm[i] * silu(z[head * a.dim + i]));
		}
	}
	for (int i = a.w.k + tid; i < a.w.ld; i += STREAM_THREADS)
		put_parts(high, low, i, 0);
}

/* ---- epilogue ---- */

/* What the column's adapters add to row @row. Sums over the rank in order. */
DEV float lora_of(const struct k_stream &a, int row, int c)
{
	const struct k_column *column = &a.step->column[c];
	float sum = 0;
	for (int p = 0; p < column->n_mix; p++) {
		int distinct = column->mix[p].distinct;
		const struct k_adapter_stage *st =
			a.lora.table + (int64_t)a.step->adapter[distinct] * a.lora.stride;
		for (int i = 0; i < st->n; i++) {
			int at = row - st->segment[i].row, rank = st->segment[i].rank;
			if (at < 0 || at >= st->segment[i].rows)
				continue;
			const float *b = st->segment[i].b + (int64_t)at * rank;
			const float *t = a.lora.t +
			                 ((int64_t)distinct * a.lora.t_rows + st->segment[i].at) *
			                         K_COLUMNS +
			                 c;
			float part = 0;
			UNROLL_N(4)
			for (int r = 0; r < rank; r++)
				part += b[r] * t[r * K_COLUMNS];
			sum += column->mix[p].weight * st->segment[i].scale * part;
		}
	}
	return sum;
}

DEV void put_row(const struct k_stream &a, int row, int c, float v)
{
	float *y = a.y + (int64_t)c * a.ld_y;
	if (a.epilogue == K_ADD) {
		y[row] += v;
	} else if (a.epilogue == K_SPLIT && row < a.split) {
		const struct k_column *column = &a.step->column[c];
		a.ring[column->slot * a.ring_slot +
		       (int64_t)(column->position & (a.ring_rows - 1)) * a.ld_ring + row] = v;
	} else {
		y[a.epilogue == K_SPLIT ? row - a.split : row] = v;
	}
}

/* Row @i of @tile, column @c; @up is row i + 8 where rows come in pairs. */
DEV void put_value(const struct k_stream &a, int tile, int i, int c, float v, float up)
{
	bool pairs = a.epilogue == K_SILU_MUL;
	int row = tile_row(a.w, pairs, tile, i);
	if (row >= a.w.rows)
		return;
	if (a.lora.table)
		v += lora_of(a, row, c);
	if (!pairs) {
		put_row(a, row, c, v);
		return;
	}
	if (a.lora.table)
		up += lora_of(a, row + a.w.rows / 2, c);
	int64_t at = (int64_t)c * a.out.ld + row;
	put_parts(a.out.high + at, a.out.low ? a.out.low + at : nullptr, 0, silu(v) * up);
}

/* ---- narrow ---- */

/* The two mma of one slice: @w0, @w1 rows g and g + 8, @x column g. */
DEV void slice_mma(float acc[4], uint4 w0, uint4 w1, uint4 x)
{
	uint32_t a0[4] = { w0.x, w1.x, w0.y, w1.y }, b0[2] = { x.x, x.y };
	uint32_t a1[4] = { w0.z, w1.z, w0.w, w1.w }, b1[2] = { x.z, x.w };
	mma_bf16(acc, a0, b0);
	mma_bf16(acc, a1, b1);
}

DEV uint4 load_16(const uint16_t *p)
{
	return *(const uint4 *)p;
}

/* Where the reading of a block's weights stands: units of 16 rows one after the other, of each the
 * warp's chunk, slices in batches of 4; matrices with a low part twice. */
struct narrow_unit {
	const uint16_t *high, *low; /* [..][ld]; high NULL: nothing is read and the sums are 0 */
	int tile;
};

struct narrow_place {
	struct narrow_unit of;
	int unit, part, slice;
	const uint16_t *row0, *row1; /* the lane's first values of its two rows */
};

DEV void narrow_rows(struct narrow_place *at, const struct k_matrix &w, bool pairs)
{
	const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
	const uint16_t *m = at->part ? at->of.low : at->of.high;
	at->row0 = m + (int64_t)tile_row(w, pairs, at->of.tile, g) * w.ld + 8 * t;
	at->row1 = m + (int64_t)tile_row(w, pairs, at->of.tile, g + 8) * w.ld + 8 * t;
}

/* Units @first, @first + @step, ... below @n: @describe(unit) says what is read, @prepare() gives x
 * once the first loads are under way (what they read was there before the launch), and
 * @consume(unit, value) gets the sums: thread 16 c + i, below 128, has row i of the tile and column
 * c. The next 4 slices are always under way, over the borders of units too, so that memory is busy
 * while a unit is summed up. Columns from @columns on, of @c0(unit) .. + 7, are not read. All units
 * have @w's row length. @red: 2 x 8 x 128 floats. */
template <bool PRECISE, class Describe, class Prepare, class First, class Consume>
DEV void narrow_units(const struct k_matrix &w, bool pairs, int first, int step, int n, int columns,
                      float *red, Describe describe, Prepare prepare, First c0, Consume consume)
{
	const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	const int g = lane / 4, t = lane % 4;
	const int per = chunk_slices(w.ld), last = w.ld / 32;
	const int from = min(warp * per, last), to = min(from + per, last);
	const uint4 none = make_uint4(0, 0, 0, 0);
	struct narrow_place at = {};
	uint4 next0[4], next1[4];

	auto begin = [&](int unit) {
		at.unit = unit;
		at.part = 0;
		at.slice = from;
		if (unit < n) {
			at.of = describe(unit);
			narrow_rows(&at, w, pairs);
		}
	};
	auto load = [&] {
		UNROLL
		for (int i = 0; i < 4; i++) {
			next0[i] = next1[i] = none;
			if (at.unit < n && at.of.high && at.slice + i < to) {
				next0[i] = load_stream(at.row0 + (at.slice + i) * 32);
				next1[i] = load_stream(at.row1 + (at.slice + i) * 32);
			}
		}
	};
	auto advance = [&] {
		at.slice += 4;
		if (at.slice < to)
			return;
		at.slice = from;
		if (at.part == 0 && at.of.low) {
			at.part = 1;
			narrow_rows(&at, w, pairs);
		} else {
			begin(at.unit + step);
		}
	};

	begin(first);
	load();
	const struct k_act x = prepare(columns);
	int turn = 0;
	for (int unit = first; unit < n; unit = at.unit, turn ^= 1) {
		const int column = c0(unit) + g;
		const bool there = column < columns;
		const uint16_t *x_high = x.high + (int64_t)column * x.ld + 8 * t;
		const uint16_t *x_low = PRECISE ? x.low + (int64_t)column * x.ld + 8 * t : nullptr;
		float acc[4] = { 0, 0, 0, 0 };
		do {
			uint4 w0[4], w1[4];
			const int s = at.slice;
			UNROLL
			for (int i = 0; i < 4; i++) {
				w0[i] = next0[i];
				w1[i] = next1[i];
			}
			advance();
			load();
			UNROLL
			for (int i = 0; i < 4; i++) {
				if (s + i >= to)
					break;
				slice_mma(acc, w0[i], w1[i],
				          there ? load_16(x_high + (s + i) * 32) : none);
				if (PRECISE)
					slice_mma(acc, w0[i], w1[i],
					          there ? load_16(x_low + (s + i) * 32) : none);
			}
		} while (at.unit == unit);

		/* Two buffers in turn: who still reads the last unit's sums is not disturbed. */
		float *sums = red + turn * STREAM_WARPS * 128, *mine = sums + warp * 128;
		mine[g * 8 + 2 * t] = acc[0];
		mine[g * 8 + 2 * t + 1] = acc[1];
		mine[(g + 8) * 8 + 2 * t] = acc[2];
		mine[(g + 8) * 8 + 2 * t + 1] = acc[3];
		block_sync();
		if (tid < 128) {
			float p[STREAM_WARPS];
			/* rows are the fast index of threads: neighbours store side by side */
			int place = tid % 16 * 8 + tid / 16;
			UNROLL
			for (int i = 0; i < STREAM_WARPS; i++)
				p[i] = sums[i * 128 + place];
			consume(unit,
			        ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7])));
		}
	}
}

/* What a matrix is fed: the prologue into shared memory where the block does it itself. */
template <bool FUSED>
struct narrow_input {
	const struct k_stream &a;
	uint16_t *shared;
	__device__ struct k_act operator()(int columns) const
	{
		grid_wait();
		struct k_act x = a.in;
		if (FUSED) {
			x.ld = a.w.ld + 32; /* 16-byte reads of 8 columns meet no bank twice */
			x.high = shared;
			x.low = a.precise ? shared + (int64_t)columns * x.ld : nullptr;
			for (int c = 0; c < columns; c++)
				normalise(a, c, x.high + c * x.ld,
				          x.low ? x.low + c * x.ld : nullptr);
			block_sync();
		}
		return x;
	}
};

template <bool FUSED, bool PRECISE>
DEV void stage_narrow(const struct k_stream &a, int block, int n_blocks, uint16_t *shared)
{
	SHARED(float, red, 2 * STREAM_WARPS * 128);
	const int tid = (int)threadIdx.x, i = tid % 16, c = tid / 16;
	const bool pairs = a.epilogue == K_SILU_MUL;
	const int columns = min(stream_columns(a), 8);

	narrow_units<PRECISE>(
		a.w, pairs, block, n_blocks, (a.w.rows + 15) / 16, columns, red,
		[&](int tile) {
			struct narrow_unit u = { a.w.high, a.w.low, tile };
			return u;
		},
		narrow_input<FUSED>{ a, shared }, [](int) { return 0; },
		[&](int tile, float v) {
			/* a pair's up row is 8 lanes on */
			float up = pairs ? warp_down(v, 8) : 0;
			if (c < columns && !(pairs && i >= 8))
				put_value(a, tile, i, c, v, up);
		});
}

/* t = A x for every different adapter of the step and all columns, 8 at a time. */
template <bool FUSED, bool PRECISE>
DEV void stage_lora(const struct k_stream &a, int block, int n_blocks, uint16_t *shared)
{
	SHARED(float, red, 2 * STREAM_WARPS * 128);
	const int tid = (int)threadIdx.x;
	const int columns = stream_columns(a), eights = (columns + 7) / 8;
	const int tiles = (a.lora.t_rows + 15) / 16, units = a.step->n_adapters * tiles * eights;
	if (block >= units)
		return;

	auto matrix = [&](int unit) {
		int adapter = a.step->adapter[unit / (tiles * eights)];
		return &a.lora.table[(int64_t)adapter * a.lora.stride].a;
	};
	narrow_units<PRECISE>(
		a.w, false, block, n_blocks, units, columns, red,
		[&](int unit) {
			const struct k_matrix *m = matrix(unit);
			int tile = unit / eights % tiles;
			struct narrow_unit u = { tile * 16 < m->rows ? m->high : nullptr, m->low,
			                         tile };
			return u;
		},
		narrow_input<FUSED>{ a, shared }, [&](int unit) { return unit % eights * 8; },
		[&](int unit, float v) {
			int row = unit / eights % tiles * 16 + tid % 16;
			int c = unit % eights * 8 + tid / 16, distinct = unit / (tiles * eights);
			if (c < columns && row < matrix(unit)->rows)
				a.lora.t[((int64_t)distinct * a.lora.t_rows + row) * K_COLUMNS +
			                 c] = v;
		});
}

/* ---- wide ---- */

/* Where 16 bytes @piece (0..7) of row @row lie in a [rows][64] tile: the halves of odd rows change
 * places, so that the 8 lanes of one phase of a 16-byte read meet no bank twice. */
DEV int swizzled(int row, int piece)
{
	return row * WIDE_K + (piece ^ (row & 1) << 2) * 8;
}

/* Shared memory of one stage of the ring, values. */
HOSTDEV int wide_stage_values(int n_tiles, bool precise)
{
	return 2 * (WIDE_ROWS + 8 * n_tiles * (precise ? 2 : 1)) * WIDE_K;
}

HOSTDEV int wide_stages(int n_tiles, bool precise)
{
	return wide_stage_values(n_tiles, precise) * 2 * 4 <= 96 * 1024 ? 4 : 3;
}

/* Unit = (row block, part of @split): 64 rows, chunks part * 8 / split and on. Warp w: rows 16 (w %
 * 4), half w / 4 of the unit's chunks. */
template <int NT, bool PRECISE>
DEV void stage_wide(const struct k_stream &a, int split, int block, int n_blocks, uint16_t *ring)
{
	SHARED(int, come, 1);
	const int columns = min(stream_columns(a), 8 * NT);
	const bool pairs = a.epilogue == K_SILU_MUL;
	const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
	const int g = lane / 4, t = lane % 4, row_warp = warp % 4, half = warp / 4;
	const int tiles = (a.w.rows + 15) / 16, row_blocks = (tiles + 3) / 4;
	const int per = chunk_slices(a.w.ld), last = a.w.ld / 32;
	const int turns = (per + 1) / 2; /* stages of a chunk, for either part of the matrix */
	const int chunks = 4 / split;    /* of one warp; split is 1, 2 or 4 */
	const int n_parts = a.w.low ? 2 : 1, n_turns = chunks * n_parts * turns;
	const int STAGES = wide_stages(NT, PRECISE);
	const int stage_values = wide_stage_values(NT, PRECISE);
	const int x_values = 8 * NT * WIDE_K;
	float *sums = (float *)ring; /* [64][8 NT + 1], when the ring has run dry */

	for (int unit = block; unit < row_blocks * split; unit += n_blocks) {
		const int row_block = unit / split, part = unit % split;

		/* Stage number @n of the unit: for both halves, 64 values of k. */
		auto fetch = [&](int n) {
			uint16_t *to = ring + n % STAGES * stage_values;
			int chunk_of = n / (n_parts * turns), low = n / turns % n_parts;
			const uint16_t *m = low ? a.w.low : a.w.high;
			for (int h = 0; h < 2; h++) {
				int chunk = part * 2 * chunks + h * chunks + chunk_of;
				int first = chunk * per + n % turns * 2;
				int end = min((chunk + 1) * per, last);
				uint16_t *w_to = to + h * WIDE_ROWS * WIDE_K;
				for (int i = tid; i < WIDE_ROWS * 8; i += STREAM_THREADS) {
					int r = i / 8, piece = i % 8;
					int tile = row_block * 4 + r / 16;
					bool valid = tile < tiles && first + piece / 4 < end;
					int64_t at = (int64_t)tile_row(a.w, pairs, tile, r % 16) *
					                     a.w.ld +
					             first * 32 + piece * 8;
					cp_async_16_or_zero(w_to + swizzled(r, piece),
					                    m + (valid ? at : 0), valid);
				}
				uint16_t *x_to = to + 2 * WIDE_ROWS * WIDE_K +
				                 h * x_values * (PRECISE ? 2 : 1);
				for (int i = tid; i < 8 * NT * 8; i += STREAM_THREADS) {
					int c = i / 8, piece = i % 8;
					bool valid = c < columns && first + piece / 4 < end;
					int64_t at = valid ? (int64_t)c * a.in.ld + first * 32 +
					                             piece * 8
					                   : 0;
					cp_async_16_or_zero(x_to + swizzled(c, piece),
					                    a.in.high + at, valid);
					if (PRECISE)
						cp_async_16_or_zero(x_to + x_values +
						                            swizzled(c, piece),
						                    a.in.low + at, valid);
				}
			}
		};

		float acc[NT][4], pair[NT][4], total[NT][4];
		UNROLL
		for (int j = 0; j < NT; j++)
			UNROLL
		for (int i = 0; i < 4; i++)
			acc[j][i] = pair[j][i] = total[j][i] = 0;

		for (int n = 0; n < STAGES - 1; n++) {
			if (n < n_turns)
				fetch(n);
			cp_async_commit();
		}
		for (int n = 0; n < n_turns; n++) {
			/* The stage is there for this thread, then for all; and nobody still reads
			 * the one that is overwritten next. */
			if (STAGES == 4)
				cp_async_wait<2>();
			else
				cp_async_wait<1>();
			block_sync();
			if (n + STAGES - 1 < n_turns)
				fetch(n + STAGES - 1);
			cp_async_commit();

			const uint16_t *at = ring + n % STAGES * stage_values;
			const uint16_t *w_at = at + half * WIDE_ROWS * WIDE_K;
			const uint16_t *x_at =
				at + 2 * WIDE_ROWS * WIDE_K + half * x_values * (PRECISE ? 2 : 1);
			int chunk_of = n / (n_parts * turns);
			int chunk = part * 2 * chunks + half * chunks + chunk_of;
			int end = min((chunk + 1) * per, last);
			UNROLL
			for (int s = 0; s < 2; s++) {
				if (chunk * per + n % turns * 2 + s >= end)
					continue; /* the same for the whole warp */
				int r = row_warp * 16 + g, piece = s * 4 + t;
				uint4 w0 = load_16(w_at + swizzled(r, piece));
				uint4 w1 = load_16(w_at + swizzled(r + 8, piece));
				UNROLL
				for (int j = 0; j < NT; j++) {
					int x = swizzled(j * 8 + g, piece);
					slice_mma(acc[j], w0, w1, load_16(x_at + x));
					if (PRECISE)
						slice_mma(acc[j], w0, w1,
						          load_16(x_at + x_values + x));
				}
			}
			if ((n + 1) % (n_parts * turns) == 0) { /* the chunk is whole */
				UNROLL
				for (int j = 0; j < NT; j++)
					UNROLL
				for (int i = 0; i < 4; i++) {
					/* P0 | P0 + P1 | P2 | (P0 + P1) + (P2 + P3) */
					if (chunk_of & 1)
						pair[j][i] += acc[j][i];
					else
						pair[j][i] = acc[j][i];
					if (chunk_of == 1)
						total[j][i] = pair[j][i];
					acc[j][i] = 0;
				}
			}
		}
		cp_async_wait<0>();
		block_sync();
		/* chunks 4: total = P0 + P1, pair = P2 + P3; 2: pair = P0 + P1; 1: pair = P0. */
		if (chunks == 4)
			UNROLL
		for (int j = 0; j < NT; j++)
			UNROLL
		for (int i = 0; i < 4; i++)
			pair[j][i] = total[j][i] + pair[j][i];

		const int wide = 8 * NT + 1;
		for (int h = 0; h < 2; h++) {
			if (half == h)
				UNROLL
			for (int j = 0; j < NT; j++)
				UNROLL
			for (int i = 0; i < 4; i++) {
				int r = row_warp * 16 + g + i / 2 * 8;
				float *to = &sums[r * wide + j * 8 + 2 * t + i % 2];
				*to = h ? *to + pair[j][i] : pair[j][i];
			}
			block_sync();
		}
		bool mine = true;
		if (split > 1) {
			float *to = a.partial + (int64_t)row_block * split * WIDE_ROWS * K_COLUMNS;
			for (int i = tid; i < WIDE_ROWS * 8 * NT; i += STREAM_THREADS)
				to[part * WIDE_ROWS * K_COLUMNS + i] =
					sums[i % WIDE_ROWS * wide + i / WIDE_ROWS];
			fence();
			block_sync();
			if (tid == 0)
				*come = (int)atomic_inc_wrap(a.counter + row_block,
				                             (unsigned)split - 1);
			block_sync();
			mine = *come == split - 1;
			if (mine) {
				fence();
				for (int i = tid; i < WIDE_ROWS * 8 * NT; i += STREAM_THREADS) {
					float p[4];
					UNROLL
					for (int k = 0; k < 4; k++)
						p[k] = k < split ? load_fresh(to +
						                              k * WIDE_ROWS *
						                                      K_COLUMNS +
						                              i)
						                 : 0;
					sums[i % WIDE_ROWS * wide + i / WIDE_ROWS] =
						split == 2 ? p[0] + p[1]
							   : (p[0] + p[1]) + (p[2] + p[3]);
				}
				block_sync();
			}
		}
		if (mine)
			for (int i = tid; i < WIDE_ROWS * columns; i += STREAM_THREADS) {
				int r = i % WIDE_ROWS, c = i / WIDE_ROWS;
				int tile = row_block * 4 + r / 16;
				if (tile < tiles && !(pairs && r % 16 >= 8))
					put_value(a, tile, r % 16, c, sums[r * wide + c],
					          pairs ? sums[(r + 8) * wide + c] : 0);
			}
		block_sync(); /* the ring is filled anew */
	}
}

/* ---- embedding ---- */

DEV void stage_embed(const struct k_embed &a, int block, int n_blocks)
{
	for (int c = block; c < a.step->n_columns; c += n_blocks) {
		const struct k_column *column = &a.step->column[c];
		int id = column->id < 0 ? a.slot_token[column->slot] : column->id;
		/* A pick that could not be made left -1: the sequence has ended, any token does. */
		id = min(max(id, 0), a.table.rows - 1);
		for (int i = (int)threadIdx.x; i < a.table.k; i += (int)blockDim.x) {
			int64_t at = (int64_t)id * a.table.ld + i;
			float v = from_bf16(a.table.high[at]);
			if (a.table.low)
				v += from_bf16(a.table.low[at]);
			a.x[(int64_t)c * a.ldx + i] = v;
		}
	}
}

/* ---- the yardstick: reading and nothing else ---- */

DEV void stage_sweep(const struct k_sweep &a, int block, int n_blocks)
{
	const uint4 *p = (const uint4 *)a.p;
	const int64_t n = a.bytes / 16, step = (int64_t)n_blocks * STREAM_THREADS;
	unsigned sum = 0;
	int64_t i = (int64_t)block * STREAM_THREADS + (int)threadIdx.x;
	for (; i + 7 * step < n; i += 8 * step) {
		uint4 v[8];
		UNROLL
		for (int j = 0; j < 8; j++)
			v[j] = load_stream(p + i + j * step);
		UNROLL
		for (int j = 0; j < 8; j++)
			sum += v[j].x + v[j].y + v[j].z + v[j].w;
	}
	for (; i < n; i += step) {
		uint4 v = load_stream(p + i);
		sum += v.x + v.y + v.z + v.w;
	}
	UNROLL
	for (int m = 16; m; m >>= 1)
		sum += warp_xor(sum, m);
	if (threadIdx.x % 32 == 0)
		atomic_add(a.sum, sum);
}

/* ---- kernels ---- */

__global__ void __launch_bounds__(STREAM_THREADS) kernel_sweep(const struct k_sweep a)
{
	grid_trigger();
	grid_wait();
	stage_sweep(a, (int)blockIdx.x, (int)gridDim.x);
}

__global__ void __launch_bounds__(256) kernel_embed(const struct k_embed a)
{
	grid_trigger();
	grid_wait();
	stage_embed(a, (int)blockIdx.x, (int)gridDim.x);
}

__global__ void __launch_bounds__(STREAM_THREADS) kernel_prepare(const struct k_stream a)
{
	grid_trigger();
	grid_wait();
	int c = (int)blockIdx.x;
	if (c < stream_columns(a))
		normalise(a, c, a.in.high + (int64_t)c * a.in.ld,
		          a.precise ? a.in.low + (int64_t)c * a.in.ld : nullptr);
}

template <bool FUSED, bool PRECISE>
__global__ void __launch_bounds__(STREAM_THREADS, 2) kernel_narrow(const struct k_stream a)
{
	DYN_SHARED(uint16_t, shared);
	grid_trigger(); /* narrow_units() waits, when its first loads are under way */
	stage_narrow<FUSED, PRECISE>(a, (int)blockIdx.x, (int)gridDim.x, shared);
}

template <bool FUSED, bool PRECISE>
__global__ void __launch_bounds__(STREAM_THREADS, 2) kernel_lora(const struct k_stream a)
{
	DYN_SHARED(uint16_t, shared);
	grid_trigger();
	grid_wait(); /* also blocks that have nothing to do */
	stage_lora<FUSED, PRECISE>(a, (int)blockIdx.x, (int)gridDim.x, shared);
}

template <int NT, bool PRECISE>
__global__ void __launch_bounds__(STREAM_THREADS, 1) kernel_wide(const struct k_stream a, int split)
{
	DYN_SHARED(uint16_t, ring);
	grid_trigger();
	grid_wait();
	stage_wide<NT, PRECISE>(a, split, (int)blockIdx.x, (int)gridDim.x, ring);
}

#endif
