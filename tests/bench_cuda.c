/*
 * bench_cuda - whole models on the device, random weights made there (cuda.md section 13, steps 4
 * and 5). One line a figure, to standard output; what fails is told and the rest goes on.
 *
 *   MODEL decode batch=B context=N graph=0|1 early=0|1 lora=R ms=median p10=.. p90=.. tok/s=..
 * of-sweep=.. MODEL prefill tokens=N ms=.. tok/s=.. TFLOP/s=.. of-cublas=.. MODEL group batch=32
 * tokens=1024 tok/s=.. of-batch-1=..
 *
 * of-sweep: bytes that a step must read (weights without the embedding's table, states and keys)
 * over the time it took, over the card's own 8 GiB read sweep. of-cublas: what cuBLASLt takes for
 * the same products alone, over the whole prefill. Usage: bench_cuda [2b] [9b] ...; on the emulated
 * device a tiny model shows that it works and nothing else.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cuda.h"
#include "gpu/device.h"
#include "gpu/sweep.h"
#include "src/base/clock.h"

enum { STEPS = 320, DROPPED = 64, CONTEXT = 9472, SLOTS = 66 };

struct bench {
	const char *name;
	struct model m;
	struct backend *b;
	bool emulated;
	double sweep; /* bytes/s; NAN: not known */
	double batch_1_s;
	struct err e;
};

static bool failed(struct bench *x, const char *what)
{
	printf("%s %s FAILED: %s\n", x->name, what, x->e.text);
	fflush(stdout);
	x->e.text[0] = 0;
	return false;
}

static int rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static bool prefilled(struct bench *x, int slot, int tokens, struct lora_mix mix)
{
	int32_t ids[BACKEND_PIECE];
	for (int at = 0; at < tokens;) {
		int n = tokens - at < BACKEND_PIECE ? tokens - at : BACKEND_PIECE;
		for (int i = 0; i < n; i++)
			ids[i] = (at + i) * 7 % x->m.config.vocabulary;
		struct run run = { .slot = slot, .n = n, .ids = ids, .mix = mix };
		struct picked none;
		if (x->b->ops->submit(x->b, &(struct step){ .run = &run, .n_runs = 1 }, &x->e) < 0)
			return false;
		if (x->b->ops->collect(x->b, &none, &x->e) < 0)
			return false;
		at += n;
	}
	return true;
}

/* Seconds of each of @steps greedy steps of @batch copies of one prefix, two in flight. */
static bool decoded(struct bench *x, int batch, int context, struct lora_mix mix, int steps,
                    double *s)
{
	struct run run[BACKEND_DECODE_MAX];
	struct pick pick[BACKEND_DECODE_MAX];
	struct picked out[BACKEND_DECODE_MAX];
	struct sampling greedy;
	int32_t first = 5;
	int slot[BACKEND_DECODE_MAX + 1], n = 0;
	bool good = false;
	sampling_default(&greedy);
	memset(pick, 0, sizeof(pick));
	slot[n] = x->b->ops->slot_open(x->b, -1, &x->e);
	if (slot[n] < 0)
		return false;
	n++;
	if (!prefilled(x, slot[0], context, mix))
		goto out;
	for (int i = 0; i < batch; i++, n++) {
		slot[n] = x->b->ops->slot_open(x->b, slot[0], &x->e);
		if (slot[n] < 0)
			goto out;
		run[i] = (struct run){
			.slot = slot[n], .n = 1, .ids = &first, .rows = ROWS_LAST, .mix = mix
		};
		pick[i].run = i;
		pick[i].input.sampling = &greedy;
	}
	const struct step step = { run, batch, pick, batch };
	if (x->b->ops->submit(x->b, &step, &x->e) < 0)
		goto out;
	for (int i = 0; i < batch; i++)
		run[i].ids = NULL;
	double before = clock_now_s();
	for (int i = 0; i < steps; i++) {
		if (i + 1 < steps && x->b->ops->submit(x->b, &step, &x->e) < 0)
			goto out;
		if (x->b->ops->collect(x->b, out, &x->e) < 0)
			goto out;
		double now = clock_now_s();
		s[i] = now - before;
		before = now;
	}
	good = true;
out:
	while (n > 0)
		x->b->ops->slot_close(x->b, slot[--n]);
	return good;
}

static double step_bytes(const struct bench *x, int batch, int context)
{
	struct backend_figures f;
	const struct model_config *c = &x->m.config;
	x->b->ops->figures(x->b, &f);
	double weights = (double)f.weight_bytes;
	if (!c->tied)
		weights -= (double)c->vocabulary * c->hidden * 2;
	double state = 2.0 * c->n_delta * c->value_heads * c->value_dim * c->key_dim * 4;
	return weights + batch * (state + (double)f.kv_bytes_per_token * context);
}

static void decode_row(struct bench *x, int batch, int context, int rank, struct lora_mix mix,
                       const struct cuda_choice *how)
{
	double s[STEPS];
	int steps = x->emulated ? 4 : STEPS, dropped = x->emulated ? 1 : DROPPED;
	if (x->emulated && context > 64)
		context = 70;
	if (!decoded(x, batch, context, mix, steps, s)) {
		failed(x, "decode");
		return;
	}
	int n = steps - dropped;
	qsort(s + dropped, (size_t)n, sizeof(*s), rising);
	double *sorted = s + dropped, median = sorted[n / 2];
	if (batch == 1 && rank == 0 && context == 64 && !how->no_graph)
		x->batch_1_s = median;
	printf("%s decode batch=%d context=%d graph=%d early=%d lora=%d ms=%.4f p10=%.4f p90=%.4f "
	       "tok/s=%.1f of-sweep=%.3f\n",
	       x->name, batch, context, !how->no_graph, how->early, rank, median * 1e3,
	       sorted[n / 10] * 1e3, sorted[n * 9 / 10] * 1e3, batch / median,
	       step_bytes(x, batch, context) / median / x->sweep);
	fflush(stdout);
}

/* Milliseconds of cuBLASLt for a piece of @n tokens: every layer's products, and no more. */
static double products_ms(const struct bench *x, struct device *d, int n, struct err *e)
{
	const struct model_config *c = &x->m.config;
	int h = c->hidden, I = c->mlp,
	    delta_in = config_channels(c) + c->value_heads * (c->value_dim + 2);
	int attention_in = 2 * (c->heads + c->kv_heads) * c->head_dim;
	const struct {
		int count, n, k;
	} shape[] = { { c->n_delta, (delta_in + 15) / 16 * 16, h },
		      { c->n_delta, h, c->value_heads * c->value_dim },
		      { c->n_attention, attention_in, h },
		      { c->n_attention, h, c->heads * c->head_dim },
		      { c->layers, 2 * I, h },
		      { c->layers, h, I } };
	uint64_t w_values = 0, x_values = 0, y_values = 0;
	for (int i = 0; i < 6; i++) {
		uint64_t rows = (uint64_t)shape[i].n, k = ((uint64_t)shape[i].k + 7) / 8 * 8;
		w_values = fmax((double)w_values, (double)(rows * k));
		x_values = fmax((double)x_values, (double)((uint64_t)n * k));
		y_values = fmax((double)y_values, (double)((uint64_t)n * rows));
	}
	enum { COPIES = 3 }; /* weights are not found in L2 */
	char *memory =
		device_take(d, w_values * 2 * COPIES + x_values * 2 + y_values * 4 + 1024, e);
	if (!memory)
		return NAN;
	device_zero(d, memory, w_values * 2 * COPIES + x_values * 2 + y_values * 4);
	uint16_t *w = (uint16_t *)memory;
	uint16_t *in = (uint16_t *)(memory + (w_values * 2 * COPIES + 255) / 256 * 256);
	float *y = (float *)((char *)in + (x_values * 2 + 255) / 256 * 256);
	double ms = NAN;
	for (int turn = 0; turn < 2; turn++) {
		device_mark(d, 0);
		int copy = 0;
		for (int i = 0; i < 6; i++)
			for (int j = 0; j < shape[i].count; j++) {
				struct gemm g = { .w = w + copy++ % COPIES * w_values,
					          .x = in,
					          .y = y,
					          .rows = n,
					          .n = shape[i].n,
					          .k = shape[i].k,
					          .ldw = (shape[i].k + 7) / 8 * 8,
					          .ldx = (shape[i].k + 7) / 8 * 8,
					          .ldy = shape[i].n,
					          .scale = 1 };
				device_gemm(d, &g);
			}
		device_mark(d, 1);
		if (device_finish(d, e) == 0)
			ms = (double)device_elapsed_ms(d, 0, 1);
	}
	device_give(d, memory);
	return ms;
}

static void prefill_row(struct bench *x, struct device *d, int tokens)
{
	const struct model_config *c = &x->m.config;
	double best = INFINITY;
	if (x->emulated)
		tokens = 70;
	for (int i = 0; i < (x->emulated ? 1 : 3); i++) {
		int slot = x->b->ops->slot_open(x->b, -1, &x->e);
		double before = clock_now_s();
		bool good = slot >= 0 && prefilled(x, slot, tokens, (struct lora_mix){ 0 });
		double s = clock_now_s() - before;
		if (slot >= 0)
			x->b->ops->slot_close(x->b, slot);
		if (!good) {
			failed(x, "prefill");
			return;
		}
		best = fmin(best, s);
	}
	int piece = tokens < BACKEND_PIECE ? tokens : BACKEND_PIECE;
	double products = d ? products_ms(x, d, piece, &x->e) * tokens / piece / 1e3 : NAN;
	double flop = 2.0 *
	              ((double)config_parameters(c) -
	               (double)c->vocabulary * c->hidden * (c->tied ? 1 : 2)) *
	              tokens;
	printf("%s prefill tokens=%d ms=%.3f tok/s=%.0f TFLOP/s=%.1f of-cublas=%.3f\n", x->name,
	       tokens, best * 1e3, tokens / best, flop / best / 1e12, products / best);
	fflush(stdout);
}

static void group_row(struct bench *x)
{
	int tokens = x->emulated ? 3 : 1024, batch = x->emulated ? 4 : 32;
	double *s = calloc((size_t)tokens, sizeof(*s)), sum = 0;
	if (s && decoded(x, batch, 64, (struct lora_mix){ 0 }, tokens, s)) {
		for (int i = 0; i < tokens; i++)
			sum += s[i];
		double rate = (double)batch * tokens / sum;
		printf("%s group batch=%d tokens=%d tok/s=%.1f of-batch-1=%.2f\n", x->name, batch,
		       tokens, rate, rate * x->batch_1_s);
		fflush(stdout);
	} else {
		failed(x, "group");
	}
	free(s);
}

/* An adapter of @rank on every linear layer: small values, so that nothing overflows. */
static bool adapter_made(struct bench *x, int rank, struct lora_mix *mix)
{
	const struct model_config *c = &x->m.config;
	struct adapter a = { .layers = c->layers, .rank_max = rank };
	uint64_t most = 0;
	int out, in, number = -1;
	for (int l = 0; l < c->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++)
			if (module_shape(c, l, m, &out, &in))
				most = (uint64_t)rank * (uint64_t)(out + in) > most
				               ? (uint64_t)rank * (uint64_t)(out + in)
				               : most;
	float *values = malloc(most * sizeof(*values));
	a.part = calloc((size_t)c->layers, sizeof(*a.part));
	snprintf(a.name, sizeof(a.name), "rank-%d", rank);
	if (values && a.part) {
		for (uint64_t i = 0; i < most; i++)
			values[i] = (float)((int)(i * 2654435761u >> 20 & 255) - 128) / 16384;
		for (int l = 0; l < c->layers; l++)
			for (enum module m = 0; m < MODULE_COUNT; m++)
				if (module_shape(c, l, m, &out, &in))
					a.part[l][m] =
						(struct lora_part){ rank, 1, values, values };
		double before = clock_now_s();
		number = x->b->ops->adapter_add(x->b, &a, &x->e);
		printf("%s adapter rank=%d ms=%.2f\n", x->name, rank,
		       (clock_now_s() - before) * 1e3);
	}
	free(values);
	free(a.part);
	*mix = (struct lora_mix){ .n = 1 };
	mix->part[0].adapter = number;
	mix->part[0].weight = 1;
	return number > 0 || failed(x, "adapter");
}

static bool opened(struct bench *x, const struct cuda_choice *how)
{
	const struct backend_options o = { .slots = x->emulated ? 8 : SLOTS,
		                           .context = x->emulated ? 200 : CONTEXT };
	double before = clock_now_s();
	x->b = cuda_open_as(&x->m, &o, how, &x->e);
	if (!x->b)
		return failed(x, "open");
	printf("%s open graph=%d early=%d s=%.2f\n", x->name, !how->no_graph, how->early,
	       clock_now_s() - before);
	return true;
}

static void bench_model(struct bench *x, struct device *d)
{
	static const struct cuda_choice choices[] = { { 0 },
		                                      { .early = true },
		                                      { .no_graph = true } };
	const struct lora_mix none = { 0 };
	struct lora_mix mix;
	for (int i = 0; i < (x->emulated ? 1 : 3); i++) {
		if (!opened(x, &choices[i]))
			continue;
		if (i == 0 && !x->emulated) {
			x->sweep = backend_read_sweep(x->b, &x->e);
			printf("%s sweep GB/s=%.1f\n", x->name, x->sweep / 1e9);
		}
		decode_row(x, 1, 64, 0, none, &choices[i]);
		if (i == 0) {
			for (int context = 2048; context <= 8192 && !x->emulated; context *= 4)
				decode_row(x, 1, context, 0, none, &choices[i]);
			for (int batch = 4; batch <= 64 && !x->emulated; batch *= 2)
				decode_row(x, batch, 64, 0, none, &choices[i]);
			group_row(x);
			for (int tokens = 512; tokens <= (x->emulated ? 512 : 8192); tokens *= 4)
				prefill_row(x, d, tokens);
			for (int rank = 16; rank <= (x->emulated ? 16 : 64); rank *= 4)
				if (adapter_made(x, rank, &mix)) {
					decode_row(x, 1, 64, rank, mix, &choices[i]);
					x->b->ops->adapter_drop(x->b, mix.part[0].adapter);
				}
		}
		x->b->ops->close(x->b);
	}
}

int main(int argc, char **argv)
{
	static const char *const both[] = { "2b", "9b" };
	struct err e = { 0 };
	struct device_about about;
	struct device *d = device_open(&e);
	if (!d) {
		printf("bench_cuda: skipped: %s\n", e.text);
		return 77;
	}
	device_describe(d, &about);
	printf("device %s free=%.1f GiB\n", about.name, (double)about.free_bytes / (1 << 30));
	bool emulated = strcmp(about.name, "emulated device") == 0;
	const char *const *names = argc > 1 ? (const char *const *)argv + 1 : both;
	for (int i = 0; i < (argc > 1 ? argc - 1 : emulated ? 1 : 2); i++) {
		struct bench x = {
			.name = names[i], .emulated = emulated, .sweep = NAN, .batch_1_s = NAN
		};
		struct model_config c;
		if (config_named(&c, names[i]) < 0) {
			printf("%s: no such model\n", names[i]);
			continue;
		}
		if (emulated) { /* 2b's kinds of layers, small */
			c.hidden = 64;
			c.layers = 4;
			c.heads = c.key_heads = c.value_heads = 2;
			c.kv_heads = 1;
			c.head_dim = c.key_dim = c.value_dim = 32;
			c.rotary = 8;
			c.mlp = 96;
			c.vocabulary = 256;
			c.n_delta = 3;
			c.n_attention = 1;
		}
		if (model_random(&x.m, &c, DTYPE_BF16, 1, true, &x.e) < 0) {
			failed(&x, "model");
			continue;
		}
		bench_model(&x, d);
		model_close(&x.m);
	}
	device_close(d);
	return 0;
}
