/*
 * The CUDA trainer (gpu/train.h): LoRA beside a frozen base of bf16 weights. Products in bf16 with
 * f32 sums, the residual stream, the delta rule, gradients, values and moments in f32, the loss'
 * and the norm's sums fixed in order: the same batches give the same bits on the same device.
 */
#include "gpu/train_cuda_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/k_prefill.h"

/* Of the pinned memory's ten places, those that are read again: tell_batch() fills the first eight.
 */
enum { PLACE_PICK = 2, PLACE_COEF = 7, PLACE_LOGP = 9 };

static struct train_cuda *cuda_of(struct trainer *t)
{
	return (struct train_cuda *)(void *)t;
}

static void cuda_close(struct trainer *base)
{
	train_cuda_release(cuda_of(base));
}

/* ---- a pass ---- */

static int check_batch(const struct train_cuda *t, const struct train_batch *b, const float *coef,
                       struct err *e)
{
	const struct model_config *c = &t->base.model->config;
	if (b->n < 1 || b->n > t->rows)
		return err_set(e, ERR_INPUT,
		               "a batch of %d rows; the trainer was opened for 1 to %d", b->n,
		               t->rows);
	if (!(b->temperature >= 0 && isfinite(b->temperature)))
		return err_set(e, ERR_INPUT, "temperature: a number of 0 or more wanted, got %g",
		               (double)b->temperature);
	if (b->samples < 1 || b->start[0] != 0 || b->start[b->samples] != b->n)
		return err_set(e, ERR_INPUT,
		               "starts of samples must begin with 0 and end with the rows, %d",
		               b->n);
	for (int i = 0; i < b->samples; i++) {
		int n = b->start[i + 1] - b->start[i];
		if (n < 1)
			return err_set(e, ERR_INPUT,
			               "sample %d: its start must be below the next one's", i);
		if (n > c->context)
			return err_set(e, ERR_INPUT, "sample %d has %d tokens; the model takes %d",
			               i, n, c->context);
	}
	for (int i = 0; i < b->n; i++) {
		if (b->id[i] < 0 || b->id[i] >= c->vocabulary)
			return err_set(e, ERR_INPUT, "row %d: token %d; the vocabulary has %d", i,
			               b->id[i], c->vocabulary);
		if (b->label[i] < -1 || b->label[i] >= c->vocabulary)
			return err_set(e, ERR_INPUT, "row %d: label %d; the vocabulary has %d", i,
			               b->label[i], c->vocabulary);
		if (coef && b->label[i] < 0 && coef[i] != 0)
			return err_set(e, ERR_INPUT, "row %d has a coefficient and no label", i);
	}
	return 0;
}

/* One table of a batch, on its way from the pinned memory. */
struct table {
	struct train_cuda *t;
	uint64_t at;
};
static void *table_next(struct table *w, int n)
{
	void *p = w->t->pinned + w->at;
	w->at += round_up((uint64_t)n * 4, 256);
	return p;
}

static void upload(struct train_cuda *t, void *to, const void *from, int n)
{
	device_upload(t->device, to, from, (uint64_t)n * 4);
}

/* What the kernels want to know of the batch. Nothing of the last pass is under way. */
static void tell_batch(struct train_cuda *t, const struct train_batch *b, const float *coef)
{
	struct table w = { t, 0 };
	int room = t->room + 1, chunks = 0;
	int32_t *ids = table_next(&w, room), *first = table_next(&w, room);
	int32_t *pick = table_next(&w, room), *label = table_next(&w, room);
	int32_t *chunk_row = table_next(&w, room), *chunk_n = table_next(&w, room);
	int32_t *sample_chunk = table_next(&w, room);
	float *factor = table_next(&w, room);

	t->n = b->n;
	t->samples = b->samples;
	t->start = b->start;
	t->seed = b->seed;
	t->padded = (int)round_up((uint64_t)b->n, b->n > 2048 ? 256 : TRAIN_ROUND);
	t->picks = 0;
	for (int s = 0; s < b->samples; s++) {
		sample_chunk[s] = chunks;
		for (int at = b->start[s]; at < b->start[s + 1]; at += TRAIN_CHUNK) {
			int left = b->start[s + 1] - at;
			chunk_row[chunks] = at;
			chunk_n[chunks++] = left < TRAIN_CHUNK ? left : TRAIN_CHUNK;
		}
		for (int i = b->start[s]; i < b->start[s + 1]; i++)
			first[i] = b->start[s];
	}
	sample_chunk[b->samples] = chunks;
	t->host_sample_chunk = sample_chunk;
	for (int i = 0; i < t->padded; i++)
		ids[i] = i < b->n ? b->id[i] : 0;
	for (int i = 0; i < b->n; i++)
		if (b->label[i] >= 0) {
			pick[t->picks] = i;
			label[t->picks++] = b->label[i];
		}
	while (t->picks % TRAIN_ROUND) { /* shapes of products shall be few */
		pick[t->picks] = -1;
		label[t->picks++] = 0;
	}
	upload(t, t->ids, ids, t->padded);
	upload(t, t->first, first, b->n);
	upload(t, t->pick, pick, t->picks);
	upload(t, t->label, label, t->picks);
	upload(t, t->chunk_row, chunk_row, chunks);
	upload(t, t->chunk_n, chunk_n, chunks);
	upload(t, t->sample_chunk, sample_chunk, b->samples + 1);
	if (coef) {
		memcpy(factor, coef, (size_t)b->n * sizeof(*coef));
		upload(t, t->coef, factor, b->n);
	}
}

/* Place @i of the ten that the pinned memory has for tables and results. */
static float *pinned_place(const struct train_cuda *t, int i)
{
	return (float *)(void *)(t->pinned + t->pinned_bytes / 10 * (uint64_t)i);
}

/* Coefficients that depend on log-probabilities, of the rows that a block of the head has picked:
 * what the kernel found comes here, and what follows from it goes back. */
static int ask_slopes(struct train_cuda *t, const struct train_batch *b, const float *coef,
                      int from, int n, struct err *e)
{
	float *factor = pinned_place(t, PLACE_COEF), *logp = pinned_place(t, PLACE_LOGP);
	const int32_t *pick = (const int32_t *)(const void *)pinned_place(t, PLACE_PICK) + from;

	while (n > 0 && pick[n - 1] < 0)
		n--;
	if (n == 0)
		return 0;
	int first = pick[0], last = pick[n - 1];
	device_download(t->device, logp + first, t->logp + first,
	                (uint64_t)(last - first + 1) * sizeof(*logp));
	if (device_finish(t->device, e) < 0)
		return -1;
	for (int i = first; i <= last; i++)
		factor[i] = b->label[i] >= 0 && coef[i] != 0
		                    ? coef[i] * b->slope(b->slope_ctx, i, logp[i])
		                    : 0;
	upload(t, t->coef + first, factor + first, last - first + 1);
	return 0;
}

/* Final norm, head and loss of the rows that have a label, a block at a time. With @coef their
 * gradient starts dx. */
static int head(struct train_cuda *t, const struct train_batch *b, const float *coef, struct err *e)
{
	const struct model_config *c = &t->base.model->config;
	const float *x = t->x[c->layers];
	const bool back = coef != NULL;
	int V = c->vocabulary, ldv = (int)round_up((uint64_t)V, 8);
	float eps = (float)c->norm_eps;

	device_zero(t->device, t->logp, (uint64_t)t->n * sizeof(float));
	if (back) {
		device_zero(t->device, t->dx,
		            (uint64_t)t->padded * (uint64_t)t->hp * sizeof(float));
		device_zero(t->device, t->dxb, (uint64_t)t->padded * (uint64_t)t->hp * 2);
	}
	for (int from = 0; from < t->picks; from += TRAIN_HEAD_ROWS) {
		int n = t->picks - from < TRAIN_HEAD_ROWS ? t->picks - from : TRAIN_HEAD_ROWS;
		train_norm(t->stream, t->head_x, t->hp, x, t->hp, t->pick + from, t->final_norm, n,
		           t->h, eps);
		struct product p = {
			.a = t->head_x,
			.b = t->head,
			.c = t->logits,
			.m = n,
			.n = V,
			.k = t->hp,
			.lda = t->hp,
			.ldb = t->hp,
			.ldc = ldv,
			.b_turned = true,
			.scale = b->temperature > 0 ? 1 / b->temperature : 1,
		};
		device_product(t->device, &p);
		if (back && b->slope) {
			train_loss(t->stream, t->logits, ldv, V, t->label + from, t->pick + from,
			           NULL, t->logp, t->dlogits, ldv, n);
			if (ask_slopes(t, b, coef, from, n, e) < 0)
				return -1;
		}
		train_loss(t->stream, t->logits, ldv, V, t->label + from, t->pick + from,
		           back ? t->coef : NULL, t->logp, t->dlogits, ldv, n);
		if (!back)
			continue;
		p.a = t->dlogits;
		p.c = t->head_d;
		p.n = t->hp;
		p.k = V;
		p.lda = ldv;
		p.ldc = t->hp;
		p.b_turned = false;
		p.c_bf16 = true;
		device_product(t->device, &p);
		train_norm_back(t->stream, t->dx, t->hp, t->dxb, t->hp, t->head_d, t->hp, x,
		                t->pick + from, t->final_norm, n, t->h, eps);
	}
	return 0;
}

static int run_pass(struct train_cuda *t, const struct train_batch *b, const float *coef,
                    float *logp, bool adapters, struct err *e)
{
	const struct model_config *c = &t->base.model->config;
	if (check_batch(t, b, coef, e) < 0)
		return -1;
	t->adapters = adapters;
	t->dropout = coef ? t->base.options.dropout : 0;
	device_mark(t->device, TRAIN_MARK_BEGIN);
	if (t->stale) {
		train_refresh(t->stream, t->copies, t->n_copies);
		t->stale = false;
	}
	tell_batch(t, b, coef);
	prefill_embed(t->stream, t->x[0], t->hp, t->ids, t->embedding, NULL, t->hp, t->padded,
	              t->h);
	for (int l = 0; l < c->layers; l++)
		train_cuda_forward(t, l);
	if (head(t, b, coef, e) < 0)
		return -1;
	device_mark(t->device, TRAIN_MARK_HEAD);
	for (int l = c->layers - 1; l >= 0 && coef; l--)
		train_cuda_back(t, l);
	device_mark(t->device, TRAIN_MARK_END);
	float *out = pinned_place(t, PLACE_LOGP);
	device_download(t->device, out, t->logp, (uint64_t)b->n * sizeof(*out));
	if (device_finish(t->device, e) < 0)
		return -1;
	if (logp)
		memcpy(logp, out, (size_t)b->n * sizeof(*out));
	return 0;
}

static int cuda_pass(struct trainer *base, const struct train_batch *b, const float *coef,
                     float *logp, struct err *e)
{
	return run_pass(cuda_of(base), b, coef, logp, true, e);
}

static int cuda_pass_base(struct trainer *base, const struct train_batch *b, float *logp,
                          struct err *e)
{
	return run_pass(cuda_of(base), b, NULL, logp, false, e);
}

/* ---- parameters ---- */

static int cuda_zero_gradients(struct trainer *base, struct err *e)
{
	struct train_cuda *t = cuda_of(base);
	device_zero(t->device, t->gradient, t->flat * sizeof(float));
	return device_check(t->device, e);
}

static int cuda_gradient_norm(struct trainer *base, double *norm, struct err *e)
{
	struct train_cuda *t = cuda_of(base);
	double *out = train_cuda_stage(t, sizeof(*out), e);
	if (!out)
		return -1;
	train_squares(t->stream, t->squares, t->squares + 1, t->gradient, t->flat);
	device_download(t->device, out, t->squares, sizeof(*out));
	if (device_finish(t->device, e) < 0)
		return -1;
	*norm = sqrt(*out);
	return 0;
}

static int cuda_update(struct trainer *base, const struct update *u, double scale, struct err *e)
{
	struct train_cuda *t = cuda_of(base);
	if (u->muon)
		return err_set(
			e, ERR_USAGE,
			"Muon is for full training, which runs on the CPU; adapters take AdamW");
	train_adamw(t->stream, &(struct adamw_train){
				       .p = t->value,
				       .g = t->gradient,
				       .m = t->moment1,
				       .v = t->moment2,
				       .n = t->flat,
				       .lr = u->lr,
				       .beta1 = u->beta1,
				       .beta2 = u->beta2,
				       .eps = u->eps,
				       .decay = u->decay,
				       .correction1 = 1 - pow(u->beta1, (double)u->step),
				       .correction2 = 1 - pow(u->beta2, (double)u->step),
				       .scale = scale,
			       });
	t->stale = true;
	return device_check(t->device, e);
}

static float *slot_of(struct train_cuda *t, enum param_slot s)
{
	float *const slot[PARAM_SLOTS] = {
		[PARAM_VALUE] = t->value,
		[PARAM_GRADIENT] = t->gradient,
		[PARAM_MOMENT1] = t->moment1,
		[PARAM_MOMENT2] = t->moment2,
	};
	return slot[s];
}

/* A parameter's values through the staging memory; @out or @in. */
static int move(struct train_cuda *t, int param, enum param_slot s, float *out, const float *in,
                struct err *e)
{
	const uint64_t most = TRAIN_STAGING_BYTES / 4 / sizeof(float);
	const struct param *p = &t->base.param[param];
	uint64_t n = (uint64_t)p->rows * (uint64_t)p->cols;
	float *at = slot_of(t, s) + t->place[param];
	for (uint64_t from = 0; from < n; from += most) {
		uint64_t count = n - from < most ? n - from : most;
		float *pinned = train_cuda_stage(t, count * sizeof(float), e);
		if (!pinned)
			return -1;
		if (in) {
			memcpy(pinned, in + from, count * sizeof(float));
			device_upload(t->device, at + from, pinned, count * sizeof(float));
			continue;
		}
		device_download(t->device, pinned, at + from, count * sizeof(float));
		if (device_finish(t->device, e) < 0)
			return -1;
		memcpy(out + from, pinned, count * sizeof(float));
	}
	return device_check(t->device, e);
}

static int cuda_read(struct trainer *base, int param, enum param_slot s, float *out, struct err *e)
{
	return move(cuda_of(base), param, s, out, NULL, e);
}

static int cuda_write(struct trainer *base, int param, enum param_slot s, const float *in,
                      struct err *e)
{
	struct train_cuda *t = cuda_of(base);
	if (s == PARAM_VALUE)
		t->stale = true;
	return move(t, param, s, NULL, in, e);
}

static const struct trainer_ops cuda_ops = {
	.name = "cuda",
	.close = cuda_close,
	.pass = cuda_pass,
	.pass_base = cuda_pass_base,
	.zero_gradients = cuda_zero_gradients,
	.gradient_norm = cuda_gradient_norm,
	.update = cuda_update,
	.read = cuda_read,
	.write = cuda_write,
};

struct trainer *train_cuda_open(const struct model *m, const struct train_options *o, struct err *e)
{
	if (o->full) {
		err_set(e, ERR_LACKS,
		        "the CUDA trainer learns adapters; all of a model's parameters are learnt on "
		        "the CPU");
		return NULL;
	}
	if (!(o->dropout >= 0 && o->dropout < 1)) {
		err_set(e, ERR_USAGE, "dropout: 0 or more and under 1 wanted, got %g",
		        (double)o->dropout);
		return NULL;
	}
	struct train_cuda *t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	t->base.ops = &cuda_ops;
	t->base.model = m;
	t->base.options = *o;
	if (train_params(&t->base.param, &t->base.params, &t->base.values, &m->config, o, e) < 0)
		goto fail;
	t->device = device_open(e);
	if (!t->device)
		goto fail;
	t->stream = device_stream(t->device);
	if (train_cuda_load(t, e) < 0)
		goto fail;
	return (struct trainer *)(void *)t;
fail:
	train_cuda_release(t);
	return NULL;
}
