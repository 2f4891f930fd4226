/*
 * bench_kernels - each decode stage alone, at the shapes of 2B and 9B, against the card's own read
 * sweep (cuda.md section 13, steps 1 and 3). One line a figure, to standard output:
 *
 *   NAME columns=N early=0|1 us=... GB/s=... of-sweep=...
 *
 * Every launch of a run reads another copy of its weights, so that L2 cannot help; the time of a
 * launch is that of a captured run of them divided by their number, median of seven. On the
 * emulated device it runs tiny shapes, which shows that it works and nothing else.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/device.h"
#include "gpu/kernels.h"

enum { REPEATS = 7, COPIES_MAX = 16, WIDEST = 64 };

struct bench {
	struct device *d;
	struct device_about about;
	bool tiny;
	double sweep; /* bytes/s */
	uint16_t *weights;
	uint64_t weight_bytes;
	struct k_step *step, *pinned_step;
	float *x, *y, *norm, *partial;
	uint16_t *act, *out;
	uint32_t *counter;
	int width; /* values of a column of x, y and act */
	struct err e;
};

struct stage {
	const char *name;
	int rows, k;
	enum k_prologue prologue;
	enum k_epilogue epilogue;
};

static const struct stage stages[] = {
	{ "2b.in_proj", 8224, 2048, K_RMS, K_STORE },
	{ "2b.out_proj", 2048, 2048, K_READY, K_ADD },
	{ "2b.qkv", 5120, 2048, K_RMS, K_STORE },
	{ "2b.gate_up", 12288, 2048, K_RMS, K_SILU_MUL },
	{ "2b.down", 2048, 6144, K_READY, K_ADD },
	{ "2b.head", 248320, 2048, K_RMS, K_LOGITS },
	{ "9b.in_proj", 12352, 4096, K_RMS, K_STORE },
	{ "9b.out_proj", 4096, 4096, K_READY, K_ADD },
	{ "9b.qkv", 10240, 4096, K_RMS, K_STORE },
	{ "9b.gate_up", 24576, 4096, K_RMS, K_SILU_MUL },
	{ "9b.down", 4096, 12288, K_READY, K_ADD },
	{ "9b.head", 248320, 4096, K_RMS, K_LOGITS },
};
static const struct stage tiny_stages[] = {
	{ "tiny.in_proj", 112, 64, K_RMS, K_STORE },
	{ "tiny.gate_up", 320, 64, K_RMS, K_SILU_MUL },
	{ "tiny.down", 64, 160, K_READY, K_ADD },
};

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* Median milliseconds of what @queue queues, from a graph where there are graphs. NAN with b->e. */
static double timed(struct bench *b, void (*queue)(struct bench *b, const void *ctx),
                    const void *ctx)
{
	struct device_graph *g = NULL;
	float ms[REPEATS];
	const int repeats = b->tiny ? 1 : REPEATS, warm = b->tiny ? 0 : 2;
	if (b->about.graphs) {
		device_capture_begin(b->d);
		queue(b, ctx);
		g = device_capture_end(b->d);
	}
	for (int i = 0; i < repeats + warm; i++) {
		device_mark(b->d, 0);
		if (g)
			device_graph_launch(b->d, g);
		else
			queue(b, ctx);
		device_mark(b->d, 1);
		if (device_wait(b->d, 1, &b->e) < 0)
			return NAN;
		if (i >= warm)
			ms[i - warm] = device_elapsed_ms(b->d, 0, 1);
	}
	if (g)
		device_graph_drop(b->d, g);
	qsort(ms, (size_t)repeats, sizeof(ms[0]), by_value);
	return ms[repeats / 2];
}

struct sweep_run {
	int blocks;
};

static void queue_one_sweep(struct bench *b, const void *ctx)
{
	const struct sweep_run *r = ctx;
	struct k_tuning t = { .processors = b->about.processors };
	struct k_sweep a = { b->weights, (int64_t)(b->weight_bytes & ~(uint64_t)15), b->counter };
	queue_sweep(&a, r->blocks, &t, device_stream(b->d));
}

struct stage_run {
	const struct stage *s;
	int columns, copies;
	struct k_tuning t;
};

static int padded(int n, int to)
{
	return (n + to - 1) / to * to;
}

static uint64_t stage_bytes(const struct stage *s)
{
	return (uint64_t)padded(s->rows, 16) * (uint64_t)padded(s->k, 32) * 2;
}

static void queue_stage(struct bench *b, const void *ctx)
{
	const struct stage_run *r = ctx;
	const struct stage *s = r->s;
	for (int i = 0; i < r->copies; i++) {
		struct k_stream a = {
			.step = b->step,
			.w = { .high = b->weights + stage_bytes(s) / 2 * (uint64_t)i,
			       .rows = s->rows,
			       .k = s->k,
			       .ld = padded(s->k, 32) },
			.prologue = s->prologue,
			.epilogue = s->epilogue,
			.in = { .high = b->act, .ld = b->width },
			.in_x = b->x,
			.norm = b->norm,
			.ld_in_x = b->width,
			.eps = 1e-6f,
			.y = b->y,
			.ld_y = padded(s->rows, 4),
			.out = { .high = b->out, .ld = padded(s->rows / 2, 32) },
			.partial = b->partial,
			.counter = b->counter,
		};
		queue_stream(&a, r->columns, &r->t, device_stream(b->d));
	}
}

static int bench_sweep(struct bench *b)
{
	for (int per = 1; per <= 8; per *= 2) {
		struct sweep_run r = { per * b->about.processors };
		double ms = timed(b, queue_one_sweep, &r);
		if (isnan(ms))
			return -1;
		double rate = ms > 0 ? (double)b->weight_bytes / ms * 1e3 : 0;
		printf("sweep bytes=%llu blocks-per-sm=%d us=%.1f GB/s=%.0f\n",
		       (unsigned long long)b->weight_bytes, per, ms * 1e3, rate / 1e9);
		if (rate > b->sweep)
			b->sweep = rate;
	}
	return 0;
}

/* What a launch costs when there is nothing to do: the gap between two kernels of a graph. */
static int bench_gap(struct bench *b)
{
	static const struct stage nothing = { "gap", 16, 32, K_READY, K_STORE };
	for (int early = 0; early < 2; early++) {
		struct stage_run r = {
			&nothing, 1, COPIES_MAX, { b->about.processors, 8, early != 0 }
		};
		double ms = timed(b, queue_stage, &r);
		if (isnan(ms))
			return -1;
		printf("gap early=%d us=%.2f\n", early, ms * 1e3 / COPIES_MAX);
	}
	return 0;
}

static int bench_stages(struct bench *b)
{
	static const int widths[] = { 1, 4, 8, 16, 32, 64 };
	const struct stage *table = b->tiny ? tiny_stages : stages;
	int n = b->tiny ? (int)(sizeof(tiny_stages) / sizeof(*tiny_stages))
	                : (int)(sizeof(stages) / sizeof(*stages));
	for (int i = 0; i < n; i++)
		for (unsigned w = 0; w < sizeof(widths) / sizeof(*widths); w++)
			for (int early = 0; early < 2; early++) {
				uint64_t fit =
					b->tiny ? 2 : b->weight_bytes / stage_bytes(&table[i]);
				struct stage_run r = { &table[i],
					               widths[w],
					               fit < COPIES_MAX ? (int)fit : COPIES_MAX,
					               { b->about.processors, 1, early != 0 } };
				if (r.copies < 1)
					continue;
				b->pinned_step->n_columns = b->pinned_step->n_rows = widths[w];
				for (int c = 0; c < widths[w]; c++)
					b->pinned_step->row[c] = c;
				device_upload(b->d, b->step, b->pinned_step, sizeof(*b->step));
				double ms = timed(b, queue_stage, &r);
				if (isnan(ms))
					return -1;
				double us = ms * 1e3 / r.copies;
				double rate =
					us > 0 ? (double)stage_bytes(&table[i]) / us * 1e6 : 0;
				printf("%s columns=%d early=%d us=%.2f GB/s=%.0f of-sweep=%.3f\n",
				       table[i].name, widths[w], early, us, rate / 1e9,
				       b->sweep > 0 ? rate / b->sweep : 0);
				fflush(stdout);
			}
	return 0;
}

static int prepare(struct bench *b)
{
	enum { CHUNK = 1 << 20 };
	uint64_t rows = b->tiny ? 512 : 248320;
	uint64_t pieces = b->tiny ? 1 : (8ull << 30) / CHUNK;
	uint16_t *chunk;

	b->width = b->tiny ? 512 : 12288 + 32;
	b->weight_bytes = pieces * CHUNK;
	uint64_t act = (uint64_t)WIDEST * (uint64_t)b->width;
	if (!(b->weights = device_take(b->d, b->weight_bytes, &b->e)) ||
	    !(chunk = device_take_pinned(b->d, CHUNK, &b->e)) ||
	    !(b->pinned_step = device_take_pinned(b->d, sizeof(*b->step), &b->e)) ||
	    !(b->step = device_take(b->d, sizeof(*b->step), &b->e)) ||
	    !(b->x = device_take(b->d, act * 4, &b->e)) ||
	    !(b->y = device_take(b->d, WIDEST * rows * 4, &b->e)) ||
	    !(b->norm = device_take(b->d, (uint64_t)b->width * 4, &b->e)) ||
	    !(b->act = device_take(b->d, act * 2, &b->e)) ||
	    !(b->out = device_take(b->d, act * 2, &b->e)) ||
	    !(b->partial = device_take(b->d, 64ull << 20, &b->e)) ||
	    !(b->counter = device_take(b->d, 64 << 10, &b->e)))
		return -1;
	uint32_t r = 1;
	for (int i = 0; i < CHUNK / 2; i++) { /* bf16 of either sign, about 2^-7 to 2^-5 */
		r = r * 1664525u + 1013904223u;
		chunk[i] = (uint16_t)((r >> 16 & 0x80ff) | 0x3c00);
	}
	for (uint64_t i = 0; i < pieces; i++)
		device_upload(b->d, (char *)b->weights + i * CHUNK, chunk, CHUNK);
	device_zero(b->d, b->x, act * 4);
	device_zero(b->d, b->y, WIDEST * rows * 4);
	device_zero(b->d, b->norm, (uint64_t)b->width * 4);
	device_zero(b->d, b->act, act * 2);
	device_zero(b->d, b->counter, 64 << 10);
	memset(b->pinned_step, 0, sizeof(*b->pinned_step));
	b->pinned_step->n_columns = b->pinned_step->n_rows = 1;
	device_upload(b->d, b->step, b->pinned_step, sizeof(*b->step));
	return device_finish(b->d, &b->e);
}

int main(void)
{
	struct bench b = { 0 };
	if (!(b.d = device_open(&b.e))) {
		printf("bench_kernels: skipped: %s\n", b.e.text);
		return 77;
	}
	device_describe(b.d, &b.about);
	b.tiny = strcmp(b.about.name, "emulated device") == 0;
	printf("device %s, %d multiprocessors\n", b.about.name, b.about.processors);
	int failed =
		prepare(&b) < 0 || bench_sweep(&b) < 0 || bench_gap(&b) < 0 || bench_stages(&b) < 0;
	if (failed)
		fprintf(stderr, "bench_kernels: %s\n", b.e.text);
	device_close(b.d);
	return failed;
}
