/*
 * k_decode.cu - launchers of the decode stages: shapes and grids. See kernels.h.
 *
 * Compiled by nvcc, and by g++ for the emulation. Nothing here changes values: grids and splits are
 * matters of speed, and bits are fixed in the kernels.
 */
#include "gpu/k_stream.cuh"
#include "gpu/k_delta.cuh"
#include "gpu/k_attention.cuh"
#include "gpu/k_sample.cuh"

#define QUEUE(t, kernel, grid, block, bytes, s, ...)                                               \
	do {                                                                                       \
		if ((t)->early)                                                                    \
			LAUNCH_EARLY((kernel), grid, block, bytes, s, __VA_ARGS__);                \
		else                                                                               \
			LAUNCH((kernel), grid, block, bytes, s, __VA_ARGS__);                      \
	} while (0)

static unsigned blocks_of(int64_t n, int64_t most)
{
	int64_t least = n < most ? n : most;
	return (unsigned)(least < 1 ? 1 : least);
}

void queue_embed(const struct k_embed *a, int columns, const struct k_tuning *t, dev_stream s)
{
	QUEUE(t, kernel_embed, blocks_of(columns, K_COLUMNS), 256, 0, s, *a);
}

/* ---- weight streaming ---- */

enum { SPLIT_BLOCKS = 1024 /* matrices of more row blocks are not split */ };

static int row_blocks_of(int rows)
{
	return ((rows + 15) / 16 + 3) / 4;
}

int64_t k_stream_scratch(int rows, int columns)
{
	if (columns <= 8 || row_blocks_of(rows) >= SPLIT_BLOCKS)
		return 0;
	return (int64_t)row_blocks_of(rows) * 4 * WIDE_ROWS * K_COLUMNS;
}

int k_stream_counters(int rows)
{
	return row_blocks_of(rows);
}

template <int NT>
static void queue_wide(const struct k_stream &a, const struct k_tuning *t, dev_stream s)
{
	int row_blocks = row_blocks_of(a.w.rows), split = 1;
	while (split < 4 && row_blocks < SPLIT_BLOCKS && row_blocks * split < t->processors)
		split *= 2;
	size_t bytes = (size_t)wide_stages(NT, a.precise) * wide_stage_values(NT, a.precise) * 2;
	size_t sums = sizeof(float) * WIDE_ROWS * (8 * NT + 1);
	unsigned grid = blocks_of((int64_t)row_blocks * split, t->processors);
	bytes = bytes > sums ? bytes : sums;
	if (a.precise)
		QUEUE(t, (kernel_wide<NT, true>), grid, STREAM_THREADS, bytes, s, a, split);
	else
		QUEUE(t, (kernel_wide<NT, false>), grid, STREAM_THREADS, bytes, s, a, split);
}

void queue_stream(const struct k_stream *given, int columns, const struct k_tuning *t, dev_stream s)
{
	struct k_stream a = *given;
	columns = columns < K_COLUMNS ? columns : K_COLUMNS;
	size_t bytes = (size_t)columns * (size_t)(a.w.ld + 32) * (a.precise ? 4 : 2);
	bool fused = a.prologue != K_READY && columns <= t->fused_max && columns <= 8 &&
	             bytes <= 96 * 1024;
	if (!fused)
		bytes = 0;
	if (a.prologue != K_READY && !fused) {
		QUEUE(t, kernel_prepare, blocks_of(columns, K_COLUMNS), STREAM_THREADS, 0, s, a);
		a.prologue = K_READY;
	}

	if (a.lora.table) {
		unsigned grid = blocks_of(2 * t->processors, INT32_MAX);
		if (fused && a.precise)
			QUEUE(t, (kernel_lora<true, true>), grid, STREAM_THREADS, bytes, s, a);
		else if (fused)
			QUEUE(t, (kernel_lora<true, false>), grid, STREAM_THREADS, bytes, s, a);
		else if (a.precise)
			QUEUE(t, (kernel_lora<false, true>), grid, STREAM_THREADS, bytes, s, a);
		else
			QUEUE(t, (kernel_lora<false, false>), grid, STREAM_THREADS, bytes, s, a);
	}

	unsigned grid = blocks_of((a.w.rows + 15) / 16, 2 * t->processors);
	if (columns > 32)
		queue_wide<8>(a, t, s);
	else if (columns > 16)
		queue_wide<4>(a, t, s);
	else if (columns > 8)
		queue_wide<2>(a, t, s);
	else if (fused && a.precise)
		QUEUE(t, (kernel_narrow<true, true>), grid, STREAM_THREADS, bytes, s, a);
	else if (fused)
		QUEUE(t, (kernel_narrow<true, false>), grid, STREAM_THREADS, bytes, s, a);
	else if (a.precise)
		QUEUE(t, (kernel_narrow<false, true>), grid, STREAM_THREADS, bytes, s, a);
	else
		QUEUE(t, (kernel_narrow<false, false>), grid, STREAM_THREADS, bytes, s, a);
}

/* ---- DeltaNet ---- */

void queue_delta(const struct k_delta *a, int groups, const struct k_tuning *t, dev_stream s)
{
	dim3 grid((unsigned)((a->dv + DELTA_ROWS - 1) / DELTA_ROWS), (unsigned)a->nv,
	          blocks_of(groups, K_COLUMNS));
	if (a->dk <= 32)
		QUEUE(t, kernel_delta<1>, grid, DELTA_THREADS, 0, s, *a);
	else if (a->dk <= 64)
		QUEUE(t, kernel_delta<2>, grid, DELTA_THREADS, 0, s, *a);
	else if (a->dk <= 128)
		QUEUE(t, kernel_delta<4>, grid, DELTA_THREADS, 0, s, *a);
	else
		QUEUE(t, kernel_delta<8>, grid, DELTA_THREADS, 0, s, *a);
}

/* ---- attention ---- */

static int head_blocks_of(int heads, int kv_heads)
{
	return (heads / kv_heads + ATTENTION_HEADS - 1) / ATTENTION_HEADS;
}

int k_attention_parts(int tokens)
{
	if (tokens <= 8192)
		return (tokens + 127) / 128;
	int parts = (tokens + 511) / 512;
	return parts > 64 ? parts : 64;
}

int64_t k_attention_scratch(int columns, int heads, int kv_heads, int hd, int parts)
{
	return (int64_t)columns * kv_heads * head_blocks_of(heads, kv_heads) * parts *
	       ATTENTION_HEADS * (hd + 2);
}

void queue_attention(const struct k_attention *a, int columns, const struct k_tuning *t,
                     dev_stream s)
{
	dim3 grid((unsigned)a->parts,
	          (unsigned)(a->kv_heads * head_blocks_of(a->heads, a->kv_heads)),
	          blocks_of(columns, K_COLUMNS));
	size_t values = 2 * ATTENTION_WINDOW * (size_t)((a->hd + 7) / 8 * 8);
	if (a->kv_f32)
		QUEUE(t, kernel_attention<float>, grid, ATTENTION_THREADS, values * 4, s, *a);
	else
		QUEUE(t, kernel_attention<bf16>, grid, ATTENTION_THREADS, values * 2, s, *a);
}

/* ---- picks ---- */

int64_t k_pick_scratch_bytes(int picks, int vocabulary)
{
	return picks * pick_scratch_bytes(vocabulary);
}

void queue_pick(const struct k_pick *a, int picks, const struct k_tuning *t, dev_stream s)
{
	unsigned n = blocks_of(picks, 65535);
	QUEUE(t, kernel_pick_count, dim3(8, n), SCAN_THREADS, 0, s, *a);
	QUEUE(t, kernel_pick_scan, dim3((unsigned)pick_blocks(a->vocabulary), n), SCAN_THREADS, 0,
	      s, *a);
	QUEUE(t, kernel_pick, n, PICK_THREADS, 0, s, *a);
}

/* ---- the yardstick ---- */

void queue_sweep(const struct k_sweep *a, int blocks, const struct k_tuning *t, dev_stream s)
{
	QUEUE(t, kernel_sweep, blocks_of(blocks, INT32_MAX), STREAM_THREADS, 0, s, *a);
}
