#include "gpu/train_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gpu/blas.h"
#include "gpu/checkpoint.h"
#include "gpu/model_write.h"
#include "gpu/random_weight.h"
#include "gpu/train.h"
#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/base/json.h"

enum { SAMPLES = 8, LENGTH = 384, ROWS = SAMPLES * LENGTH, RANK = 16, SQUARE = 2048 };

enum way { WAY_ADAMW, WAY_MUON, WAY_LORA, WAYS };

struct bench {
	struct model m;
	int32_t id[ROWS], label[ROWS], start[SAMPLES + 1];
	float coef[ROWS], logp[ROWS];
	struct pool *pool;
	float *square; /* three matrices */
	double sgemm;  /* GF/s */
	struct measured {
		double seconds, loss; /* of the best step, of the first one */
	} way[WAYS];
	double checkpoint_s;
};

static struct model_config demo_shape(void)
{
	return (struct model_config){
		.hidden = 192,
		.layers = 6,
		.heads = 4,
		.kv_heads = 2,
		.head_dim = 48,
		.key_heads = 4,
		.value_heads = 4,
		.key_dim = 48,
		.value_dim = 48,
		.conv = 4,
		.mlp = 512,
		.vocabulary = 2048,
		.rotary = 24,
		.rope_theta = 1e4,
		.norm_eps = 1e-6,
		.context = 8192,
		.tied = true,
		.kind = { LAYER_DELTA, LAYER_DELTA, LAYER_ATTENTION, LAYER_DELTA, LAYER_DELTA,
		          LAYER_ATTENTION },
		.n_delta = 4,
		.n_attention = 2,
	};
}

/* ---- what a step needs, in units of 10^9 ---- */

static double step_gflop(const struct model_config *c, bool lora)
{
	double products = (double)c->vocabulary * c->hidden, adapters = 0, mixers = 0;
	double seen = (LENGTH + 1) / 2.0; /* by a token of those before it, on average */
	int out, in;

	for (int l = 0; l < c->layers; l++) {
		for (enum module m = 0; m < MODULE_COUNT; m++)
			if (module_shape(c, l, m, &out, &in)) {
				products += (double)out * in;
				adapters += (double)RANK * (out + in);
			}
		mixers += c->kind[l] == LAYER_DELTA ? /* S k, k d, S q; q k and p v */
		                  3.0 * c->value_heads * c->key_dim * c->value_dim
		                                    : 2.0 * seen * c->heads * c->head_dim;
	}
	return 2e-9 * ROWS *
	       (lora ? 2 * products + 3 * adapters + 3 * mixers : 3 * products + 3 * mixers);
}

/* ---- measuring ---- */

static void square_item(void *arg, int item, int thread)
{
	const struct bench *b = arg;
	const size_t n = SQUARE, all = n * n;
	int parts = pool_threads(b->pool), from = SQUARE * item / parts,
	    to = SQUARE * (item + 1) / parts;

	(void)thread;
	blas_product(NULL, &(struct product_of){ .m = to - from,
	                                         .n = SQUARE,
	                                         .k = SQUARE,
	                                         .alpha = 1,
	                                         .a = b->square + (size_t)from * n,
	                                         .lda = n,
	                                         .b = b->square + all,
	                                         .ldb = n,
	                                         .c = b->square + 2 * all + (size_t)from * n,
	                                         .ldc = n });
}

static void measure_sgemm(struct bench *b)
{
	for (int i = 0; i < 3; i++) {
		double from = clock_now_s();
		pool_run(b->pool, square_item, b, pool_threads(b->pool));
		double rate = 2e-9 * SQUARE * SQUARE * SQUARE / (clock_now_s() - from);
		b->sgemm = fmax(b->sgemm, rate);
	}
}

static int measure_way(struct bench *b, enum way way, int threads, const char *dir, struct err *e)
{
	const struct train_options o = { .full = way != WAY_LORA,
		                         .rank = RANK,
		                         .alpha = 2 * RANK,
		                         .targets = (1u << MODULE_COUNT) - 1,
		                         .seed = 1,
		                         .threads = threads,
		                         .rows = ROWS };
	const struct train_batch batch = {
		.n = ROWS, .samples = SAMPLES, .id = b->id, .label = b->label, .start = b->start
	};
	struct update u = { .muon = way == WAY_MUON,
		            .lr = 1e-3,
		            .lr_muon = 0.02,
		            .beta1 = 0.9,
		            .beta2 = 0.999,
		            .eps = 1e-8,
		            .momentum = 0.95 };
	struct measured *m = &b->way[way];
	struct trainer *t = train_cpu_open(&b->m, &o, e);
	double norm, loss;
	int rc = -1;

	if (!t)
		return -1;
	const struct trainer_ops *ops = trainer_base(t)->ops;
	for (int i = 0; i < 4; i++) { /* the first one meets fresh memory */
		double from = clock_now_s();
		u.step = i + 1;
		if (ops->zero_gradients(t, e) < 0 ||
		    ops->pass(t, &batch, b->coef, b->logp, e) < 0 ||
		    ops->gradient_norm(t, &norm, e) < 0 ||
		    ops->update(t, &u, fmin(1, 1 / norm), e) < 0)
			goto out;
		double seconds = clock_now_s() - from;
		m->seconds = m->seconds > 0 ? fmin(m->seconds, seconds) : seconds;
		loss = 0;
		for (int r = 0; r < ROWS; r++)
			loss += (double)b->coef[r] * b->logp[r];
		if (i == 0)
			m->loss = loss;
	}
	if (way == WAY_ADAMW) {
		const struct checkpoint_options to = { .run_dir = dir,
			                               .dtype = DTYPE_F32,
			                               .keep = 1 };
		struct checkpoint_written written = { 0 };
		double from = clock_now_s();
		if (checkpoint_write(t, &to, 1, NULL, &written, e) < 0)
			goto out;
		double seconds = clock_now_s() - from;
		b->checkpoint_s = b->checkpoint_s > 0 ? fmin(b->checkpoint_s, seconds) : seconds;
		free(written.dir);
	}
	rc = 0;
out:
	ops->close(t);
	return rc;
}

/* ---- what a peer is given ---- */

struct values {
	struct model_values v[512];
	int n;
};

static int leave_model(const struct bench *b, const char *dir, struct err *e)
{
	struct values all = { .n = 0 };
	struct buf path = { 0 };
	int rc;

	for (int i = 0; i < b->m.tensors.n && all.n < 512; i++) {
		const struct tensor *t = &b->m.tensors.item[i];
		struct model_values *v = &all.v[all.n++];
		v->name = t->name;
		v->n_dims = t->n_dims;
		for (int k = 0; k < t->n_dims && k < 3; k++)
			v->dims[k] = t->dims[k];
		v->value = t->data;
	}
	buf_printf(&path, "%s/model", dir);
	if (buf_failed(&path))
		rc = err_set(e, ERR_MEM, "no memory for a path");
	else
		rc = model_write(buf_str(&path), &b->m.config, all.v, all.n, DTYPE_F32, NULL, e);
	buf_release(&path);
	return rc;
}

static int leave_batch(const struct bench *b, const char *dir, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "input_ids");
	struct buf path = { 0 }, text = { 0 };
	int rc;

	for (int s = 0; s < SAMPLES; s++)
		cJSON_AddItemToArray(list, cJSON_CreateIntArray(b->id + b->start[s], LENGTH));
	json_print(&text, o);
	cJSON_Delete(o);
	buf_printf(&path, "%s/batch.json", dir);
	if (buf_failed(&text) || buf_failed(&path))
		rc = err_set(e, ERR_MEM, "no memory for a batch");
	else
		rc = file_write_atomic(buf_str(&path), text.data, text.len, e);
	buf_release(&path);
	buf_release(&text);
	return rc;
}

/* ---- the mode ---- */

static void make_batch(struct bench *b)
{
	for (int i = 0; i < ROWS; i++)
		b->id[i] = (int32_t)(random_weight_uniform(7, (uint64_t)i) *
		                     (float)b->m.config.vocabulary);
	for (int i = 0; i < ROWS; i++) {
		bool last = (i + 1) % LENGTH == 0;
		b->label[i] = last ? -1 : b->id[i + 1];
		b->coef[i] = last ? 0 : -1.0f / (ROWS - SAMPLES);
	}
	for (int s = 0; s <= SAMPLES; s++)
		b->start[s] = s * LENGTH;
}

static void print_line(cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);

	if (text)
		printf("%s\n", text);
	free(text);
	cJSON_Delete(o);
}

static void print_all(const struct bench *b)
{
	static const char *const name[] = { "adamw", "muon", "lora" };
	char about[64];
	cJSON *o = cJSON_CreateObject();

	blas_about(about);
	cJSON_AddStringToObject(o, "name", "sgemm");
	cJSON_AddNumberToObject(o, "value", b->sgemm);
	cJSON_AddNumberToObject(o, "threads", pool_threads(b->pool));
	cJSON_AddStringToObject(o, "about", about);
	print_line(o);
	for (int i = 0; i < WAYS; i++) {
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "name", name[i]);
		cJSON_AddNumberToObject(o, "value", ROWS / b->way[i].seconds);
		cJSON_AddNumberToObject(o, "seconds", b->way[i].seconds);
		cJSON_AddNumberToObject(o, "gflop", step_gflop(&b->m.config, i == WAY_LORA));
		cJSON_AddNumberToObject(o, "loss", b->way[i].loss);
		print_line(o);
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", "checkpoint");
	cJSON_AddNumberToObject(o, "value", b->checkpoint_s);
	print_line(o);
}

static int bench(struct bench *b, const char *dir, int rounds, int threads, struct err *e)
{
	const struct model_config c = demo_shape();
	const size_t all = (size_t)SQUARE * SQUARE;

	if (model_fresh(&b->m, &c, 1, e) < 0 || !(b->pool = pool_open(threads, e)))
		return -1;
	b->square = malloc(3 * all * sizeof(float));
	if (!b->square)
		return err_set(e, ERR_MEM, "no memory for three matrices");
	for (size_t i = 0; i < 2 * all; i++)
		b->square[i] = random_weight_uniform(3, i);
	make_batch(b);
	if (leave_model(b, dir, e) < 0 || leave_batch(b, dir, e) < 0)
		return -1;
	for (int i = 0; i < rounds; i++) {
		measure_sgemm(b);
		for (enum way w = 0; w < WAYS; w++)
			if (measure_way(b, w, threads, dir, e) < 0)
				return -1;
	}
	print_all(b);
	return 0;
}

int train_bench_main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct err e = { 0 };
	const char *dir = argc > 1 ? argv[1] : NULL;
	int rounds = 3, threads = 0, rc = -1;

	for (int i = 2; i < argc; i += 2) {
		int n = i + 1 < argc ? atoi(argv[i + 1]) : 0;
		if (strcmp(argv[i], "--rounds") == 0 && n > 0)
			rounds = n;
		else if (strcmp(argv[i], "--threads") == 0 && n > 0)
			threads = n;
		else
			dir = NULL;
	}
	if (!dir)
		err_set(&e, ERR_USAGE, "usage: --bench DIR [--rounds N] [--threads N]");
	else if (!b)
		err_set(&e, ERR_MEM, "out of memory");
	else
		rc = bench(b, dir, rounds, threads, &e);
	if (b) {
		free(b->square);
		pool_close(b->pool);
		model_close(&b->m);
		free(b);
	}
	if (rc < 0)
		fprintf(stderr, "cadforge-train: %s\n", e.text);
	return rc < 0 ? err_exit_status(&e) : 0;
}
