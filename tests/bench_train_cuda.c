/*
 * bench_train_cuda - LoRA training on the device, random weights made there (cuda.md sections 10
 * and 13, step 5): rank 16 beside every linear layer, samples of 2,048 tokens, every token a label.
 * One line a figure, to standard output; what fails is told and the rest goes on.
 *
 *   MODEL train rows=N recompute=0|1 ms=median forward=.. back=.. update=.. tok/s=.. TFLOP/s=..
 *         of-peak=.. GiB=..
 *   MODEL layer kind=delta|attention forward=ms back=ms products=ms
 *
 * TFLOP/s: 4 N T, N the weights of the linear layers, and 4 V h for each label's row, over the time
 * of a pass and its update; of-peak: over 989. forward: with the head, there and back. products:
 * what a layer's matrix products alone take, there and back, at their usual shapes; the rest of
 * forward and back is the kernels between. Usage: bench_train_cuda [2b] [9b] ...; on the emulated
 * device a tiny model shows that it works and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/train_cuda_inside.h"
#include "src/base/clock.h"

enum { PASSES = 5, SAMPLE = 2048, MARK_FROM = 8, MARK_TO = 9 };

struct bench {
	const char *name;
	struct model m;
	struct train_cuda *t;
	struct trainer *base;
	bool emulated;
	int sample;
	int32_t *id, *label, *start;
	float *coef;
	struct train_batch b;
	struct err e;
};

static void failed(struct bench *x, const char *what)
{
	printf("%s %s FAILED: %s\n", x->name, what, x->e.text);
	fflush(stdout);
	x->e.text[0] = 0;
}

static int rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), rising);
	return v[n / 2];
}

static bool batch_made(struct bench *x, int rows)
{
	int samples = rows / x->sample;
	x->id = malloc(sizeof(*x->id) * (size_t)rows);
	x->label = malloc(sizeof(*x->label) * (size_t)rows);
	x->coef = malloc(sizeof(*x->coef) * (size_t)rows);
	x->start = malloc(sizeof(*x->start) * (size_t)(samples + 1));
	if (!x->id || !x->label || !x->coef || !x->start)
		return false;
	for (int i = 0; i < rows; i++) {
		x->id[i] = (int32_t)((uint32_t)i * 2654435761u >> 8) % x->m.config.vocabulary;
		x->label[i] =
			(int32_t)((uint32_t)(i + 1) * 2654435761u >> 8) % x->m.config.vocabulary;
		x->coef[i] = -1.0f / (float)rows;
	}
	for (int s = 0; s <= samples; s++)
		x->start[s] = s * x->sample;
	x->b = (struct train_batch){ rows, samples, x->id, x->label, x->start, 1 };
	return true;
}

static void batch_dropped(struct bench *x)
{
	free(x->id);
	free(x->label);
	free(x->coef);
	free(x->start);
	x->id = x->label = x->start = NULL;
	x->coef = NULL;
}

/* Multiply-adds of the linear layers for one token. */
static double linear_weights(const struct bench *x)
{
	double n = 0;
	for (int l = 0; l < x->m.config.layers; l++)
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			int out, in;
			if (module_shape(&x->m.config, l, k, &out, &in))
				n += (double)out * in;
		}
	return n;
}

static void train_row(struct bench *x)
{
	const struct trainer_ops *ops = x->t->base.ops;
	const struct model_config *c = &x->m.config;
	struct update u = {
		.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.01, .step = 1
	};
	double all[PASSES], forward[PASSES], back[PASSES], update[PASSES];
	int passes = x->emulated ? 1 : PASSES;
	for (int i = -1; i < passes; i++) {
		double norm;
		if (x->emulated && i < 0)
			continue;
		double before = clock_now_s();
		if (ops->zero_gradients(x->base, &x->e) < 0 ||
		    ops->pass(x->base, &x->b, x->coef, NULL, &x->e) < 0) {
			failed(x, "pass");
			return;
		}
		double passed = clock_now_s();
		if (ops->gradient_norm(x->base, &norm, &x->e) < 0 ||
		    ops->update(x->base, &u, norm > 1 ? 1 / norm : 1, &x->e) < 0 ||
		    device_finish(x->t->device, &x->e) < 0) {
			failed(x, "update");
			return;
		}
		u.step++;
		if (i < 0)
			continue; /* plans are made, memory is warm */
		all[i] = clock_now_s() - before;
		update[i] = clock_now_s() - passed;
		forward[i] =
			(double)device_elapsed_ms(x->t->device, TRAIN_MARK_BEGIN, TRAIN_MARK_HEAD);
		back[i] = (double)device_elapsed_ms(x->t->device, TRAIN_MARK_HEAD, TRAIN_MARK_END);
	}
	double s = median(all, passes), rows = x->b.n;
	double flop = 4 * rows * (linear_weights(x) + (double)c->vocabulary * c->hidden);
	printf("%s train rows=%d recompute=%d ms=%.2f forward=%.2f back=%.2f update=%.2f tok/s=%.1f "
	       "TFLOP/s=%.1f of-peak=%.3f GiB=%.1f\n",
	       x->name, x->b.n, x->t->recompute, s * 1e3, median(forward, passes),
	       median(back, passes), median(update, passes) * 1e3, rows / s, flop / s / 1e12,
	       flop / s / 989e12, (double)x->t->base.peak_bytes / (1 << 30));
	fflush(stdout);
}

/* The products of a layer's stages, there and back, and nothing else. */
static void products(struct train_cuda *t, const struct train_layer *w)
{
	for (enum site_kind s = 0; s < SITES; s++) {
		const struct site *x = &w->site[s];
		uint16_t *in = s == SITE_DOWN ? t->m : (s == SITE_OUT ? t->y : t->xin);
		struct product p = {
			.a = in,
			.b = x->w,
			.c = t->e,
			.m = t->padded,
			.n = x->rows,
			.k = x->ld,
			.lda = x->ld,
			.ldb = x->ld,
			.ldc = x->rows,
			.b_turned = true,
			.c_bf16 = true,
			.scale = 1,
		};
		device_product(t->device, &p);
		p.a = t->e;
		p.c = t->d;
		p.n = x->ld;
		p.k = x->rows;
		p.lda = x->rows;
		p.ldc = x->ld;
		p.b_turned = false;
		device_product(t->device, &p);
	}
}

static double timed(struct bench *x, int l, int what)
{
	struct train_cuda *t = x->t;
	double ms[PASSES];
	int passes = x->emulated ? 1 : PASSES;
	for (int i = -1; i < passes; i++) {
		if (x->emulated && i < 0)
			continue;
		device_mark(t->device, MARK_FROM);
		if (what == 0)
			train_cuda_forward(t, l);
		else if (what == 1)
			train_cuda_back(t, l);
		else
			products(t, &t->layer[l]);
		device_mark(t->device, MARK_TO);
		if (device_finish(t->device, &x->e) < 0) {
			failed(x, "layer");
			return 0;
		}
		if (i >= 0)
			ms[i] = (double)device_elapsed_ms(t->device, MARK_FROM, MARK_TO);
	}
	return median(ms, passes);
}

/* After a pass: its tables are still there. */
static void layer_rows(struct bench *x)
{
	static const char *const word[] = { "delta", "attention" };
	for (enum layer_kind kind = LAYER_DELTA; kind <= LAYER_ATTENTION; kind++)
		for (int l = 0; l < x->m.config.layers; l++)
			if (x->m.config.kind[l] == kind) {
				double forward = timed(x, l, 0), back = timed(x, l, 1);
				printf("%s layer kind=%s forward=%.3f back=%.3f products=%.3f\n",
				       x->name, word[kind], forward, back, timed(x, l, 2));
				fflush(stdout);
				break;
			}
}

static void bench_rows(struct bench *x, int rows, bool recompute, bool layers)
{
	struct train_options o = {
		.rank = 16, .alpha = 32, .seed = 1, .rows = rows, .recompute = recompute
	};
	o.targets = (1u << MODULE_COUNT) - 1;
	if (!batch_made(x, rows)) {
		printf("%s rows=%d FAILED: out of memory\n", x->name, rows);
		batch_dropped(x);
		return;
	}
	x->base = train_cuda_open(&x->m, &o, &x->e);
	if (!x->base) {
		failed(x, "open");
		batch_dropped(x);
		return;
	}
	x->t = (struct train_cuda *)(void *)x->base;
	train_row(x);
	if (layers)
		layer_rows(x);
	x->t->base.ops->close(x->base);
	batch_dropped(x);
}

int main(int argc, char **argv)
{
	static const char *const both[] = { "2b", "9b" };
	struct err e = { 0 };
	struct device_about about;
	struct device *d = device_open(&e);
	if (!d) {
		printf("bench_train_cuda: skipped: %s\n", e.text);
		return 77;
	}
	device_describe(d, &about);
	device_close(d);
	printf("device %s free=%.1f GiB\n", about.name, (double)about.free_bytes / (1 << 30));
	bool emulated = strcmp(about.name, "emulated device") == 0;
	const char *const *names = argc > 1 ? (const char *const *)argv + 1 : both;
	for (int i = 0; i < (argc > 1 ? argc - 1 : emulated ? 1 : 2); i++) {
		struct bench x = { .name = names[i], .emulated = emulated };
		struct model_config c;
		x.sample = emulated ? 40 : SAMPLE;
		if (config_named(&c, names[i]) < 0) {
			printf("%s: no such model\n", names[i]);
			continue;
		}
		if (emulated) { /* 2b's kinds of layers, small */
			c.hidden = 32;
			c.layers = 2;
			c.heads = c.key_heads = c.value_heads = 2;
			c.kv_heads = 1;
			c.head_dim = c.key_dim = c.value_dim = 16;
			c.rotary = 8;
			c.mlp = 48;
			c.vocabulary = 64;
			c.n_delta = c.n_attention = 1;
			c.kind[1] = LAYER_ATTENTION;
		}
		if (model_random(&x.m, &c, DTYPE_BF16, 1, true, &x.e) < 0) {
			failed(&x, "model");
			continue;
		}
		if (emulated) {
			bench_rows(&x, 2 * x.sample, false, true);
		} else {
			bench_rows(&x, 2048, false, true);
			bench_rows(&x, 8192, false, true);
			bench_rows(&x, 8192, true, false);
			bench_rows(&x, 16384, false, false);
		}
		model_close(&x.m);
	}
	return 0;
}
