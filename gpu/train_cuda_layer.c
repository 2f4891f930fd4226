/*
 * A layer of the CUDA trainer, forward and back: the order of its kernels and products.
 *
 * Products run over t->padded rows: the batch's and a few that are no sample's. Those hold finite
 * values and gradients of zero, so they change nothing.
 */
#include "gpu/train_cuda_inside.h"

#include "gpu/train_dropout.h"

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

/* ---- linear stages ---- */

static uint64_t drop_key(const struct train_cuda *t, int l, enum module m)
{
	return train_dropout_key(t->seed, l, (int)m);
}

/* t = A x into x's last columns. */
static void site_lora(struct train_cuda *t, int l, const struct site *w, uint16_t *x)
{
	float p = t->dropout;
	if (!w->ext || !t->adapters)
		return;
	struct product a = {
		.a = x,
		.b = w->a,
		.c = x + w->kp,
		.m = t->padded,
		.n = w->ext,
		.k = w->kp,
		.lda = w->ld,
		.ldb = w->kp,
		.ldc = w->ld,
		.b_turned = true,
		.c_bf16 = true,
		.scale = 1,
	};
	device_product(t->device, &a);
	for (int i = 0; i < w->n && p > 0; i++) {
		if (!w->m[i].rank)
			continue;
		train_drop(t->stream, t->drop, w->kp, x, w->ld, t->padded, w->k,
		           drop_key(t, l, w->m[i].module), p);
		a.a = t->drop;
		a.lda = w->kp;
		a.b = w->a + (int64_t)w->m[i].at * w->kp;
		a.n = w->m[i].rank;
		a.c = x + w->kp + w->m[i].at;
		device_product(t->device, &a);
	}
}

/* out = W x + s B t: bf16 rows of w->rows, or added to the f32 residual. */
static void site_forward(struct train_cuda *t, int l, const struct site *w, uint16_t *x,
                         uint16_t *out, float *residual)
{
	site_lora(t, l, w, x);
	device_product(t->device, &(struct product){
					  .a = x,
					  .b = w->w,
					  .c = residual ? (void *)residual : out,
					  .m = t->padded,
					  .n = residual ? t->h : w->rows,
					  .k = t->adapters ? w->ld : w->kp,
					  .lda = w->ld,
					  .ldb = w->ld,
					  .ldc = residual ? t->hp : w->rows,
					  .b_turned = true,
					  .c_bf16 = !residual,
					  .add = residual != NULL,
					  .scale = 1,
				  });
}

/* t->d = gradient of the stage's input x, from e, that of its output (rows of @lde); gradients of A
 * and B are added to. x has its t. */
static void site_back(struct train_cuda *t, int l, const struct site *w, const uint16_t *e, int lde,
                      const uint16_t *x)
{
	float p = t->dropout;
	struct product f = {
		.a = e,
		.b = w->w,
		.c = t->d,
		.m = t->padded,
		.n = w->ld,
		.k = lde,
		.lda = lde,
		.ldb = w->ld,
		.ldc = w->ld,
		.c_bf16 = true,
		.scale = 1,
	};
	device_product(t->device, &f);
	for (int i = 0; i < w->n; i++) {
		int rank = w->m[i].rank, at = w->kp + w->m[i].at;
		if (!rank)
			continue;
		struct product g = {
			.a = e + w->m[i].row,
			.b = x + at,
			.c = t->gradient + w->m[i].pb,
			.m = w->m[i].rows,
			.n = rank,
			.k = t->padded,
			.lda = lde,
			.ldb = w->ld,
			.ldc = rank,
			.a_turned = true,
			.add = true,
			.scale = w->m[i].scale,
		};
		device_product(t->device, &g);
		uint64_t key = drop_key(t, l, w->m[i].module);
		if (p > 0)
			train_drop(t->stream, t->drop, w->kp, x, w->ld, t->padded, w->k, key, p);
		g.a = t->d + at;
		g.b = p > 0 ? t->drop : x;
		g.c = t->gradient + w->m[i].pa;
		g.m = rank;
		g.n = w->k;
		g.lda = w->ld;
		g.ldb = p > 0 ? w->kp : w->ld;
		g.ldc = w->k;
		g.scale = 1; /* d's columns have it */
		device_product(t->device, &g);
		if (p > 0) {
			device_product(t->device, &(struct product){
							  .a = t->d + at,
							  .b = w->a + (int64_t)w->m[i].at * w->kp,
							  .c = t->drop,
							  .m = t->padded,
							  .n = w->kp,
							  .k = rank,
							  .lda = w->ld,
							  .ldb = w->kp,
							  .ldc = w->kp,
							  .c_bf16 = true,
							  .scale = 1,
						  });
			train_drop_add(t->stream, t->d, w->ld, t->drop, w->kp, t->padded, w->k, key,
			               p);
		}
	}
	if (!w->ext || p > 0)
		return;
	device_product(t->device, &(struct product){
					  .a = t->d + w->kp,
					  .b = w->a,
					  .c = t->d,
					  .m = t->padded,
					  .n = w->kp,
					  .k = w->ext,
					  .lda = w->ld,
					  .ldb = w->kp,
					  .ldc = w->ld,
					  .c_bf16 = true,
					  .add = true,
					  .scale = 1,
				  });
}

static void norm(struct train_cuda *t, const struct site *w, const float *x, const float *weight)
{
	train_norm(t->stream, t->xin, w->ld, x, t->hp, NULL, weight, t->padded, t->h,
	           (float)t->base.model->config.norm_eps);
}

static void norm_back(struct train_cuda *t, const struct site *w, const float *x,
                      const float *weight)
{
	train_norm_back(t->stream, t->dx, t->hp, t->dxb, t->hp, t->d, w->ld, x, NULL, weight, t->n,
	                t->h, (float)t->base.model->config.norm_eps);
}

/* ---- attention ---- */

static struct attention_train attention(const struct train_cuda *t, int l)
{
	const struct train_layer *w = &t->layer[l];
	const struct model_config *c = &t->base.model->config;
	return (struct attention_train){
		.n = t->n,
		.first = t->first,
		.H = c->heads,
		.KV = c->kv_heads,
		.hd = c->head_dim,
		.R = c->rotary,
		.eps = (float)c->norm_eps,
		.rope = t->rope,
		.q_norm = w->q_norm,
		.k_norm = w->k_norm,
		.y = w->kept.in,
		.dy = t->e,
		.ld = w->site[SITE_IN].rows,
		.room = t->room,
		.q = t->q,
		.k = t->k,
		.o = w->kept.o,
		.lse = w->kept.lse,
		.out = t->y,
		.ldo = w->site[SITE_OUT].ld,
		.dout = t->d,
		.ldd = w->site[SITE_OUT].ld,
		.d_o = t->d_o,
		.dot = t->dot,
		.dq = t->dq,
		.dk = t->dk,
		.dv = t->dv,
	};
}

/* Products of a strip: the rows of all query heads of a key head stand together. */
struct strip_products {
	struct train_cuda *t;
	const struct attention_train *a;
	const struct attention_strip *x;
	int rows, group;
	int64_t by_query, by_key, by_score; /* values from key head to key head */
	const uint16_t *values;             /* of the sample */
};

static struct strip_products strip_of(struct train_cuda *t, const struct attention_train *a,
                                      const struct attention_strip *x)
{
	int group = a->H / a->KV, rows = x->tokens * group;
	return (struct strip_products){
		.t = t,
		.a = a,
		.x = x,
		.rows = rows,
		.group = group,
		.by_query = a->room * group * a->hd,
		.by_key = a->room * a->hd,
		.by_score = (int64_t)rows * x->ld,
		.values = a->y + (int64_t)x->row0 * a->ld + 2 * a->H * a->hd + a->KV * a->hd,
	};
}

static int64_t query_at(const struct strip_products *s)
{
	return (int64_t)(s->x->row0 + s->x->from) * s->group * s->a->hd;
}

/* Scores of rows that are laid out as queries with keys or values. */
static void strip_scores(const struct strip_products *s, const uint16_t *rows, const uint16_t *keys,
                         int ldk, int64_t by_key, float *out)
{
	device_product(s->t->device, &(struct product){
					     .a = rows + query_at(s),
					     .b = keys,
					     .c = out,
					     .m = s->rows,
					     .n = s->x->keys,
					     .k = s->a->hd,
					     .lda = s->a->hd,
					     .ldb = ldk,
					     .ldc = s->x->ld,
					     .b_turned = true,
					     .scale = 1,
					     .batch = s->a->KV,
					     .step_a = s->by_query,
					     .step_b = by_key,
					     .step_c = s->by_score,
				     });
}

/* What weights of a strip gather of keys or values, laid out as queries. */
static void strip_gather(const struct strip_products *s, const uint16_t *weights,
                         const uint16_t *keys, int ldk, int64_t by_key, void *out, bool bf16)
{
	void *to = bf16 ? (void *)((uint16_t *)out + query_at(s))
	                : (void *)((float *)out + query_at(s));
	device_product(s->t->device, &(struct product){
					     .a = weights,
					     .b = keys,
					     .c = to,
					     .m = s->rows,
					     .n = s->a->hd,
					     .k = s->x->keys,
					     .lda = s->x->ld,
					     .ldb = ldk,
					     .ldc = s->a->hd,
					     .c_bf16 = bf16,
					     .scale = 1,
					     .batch = s->a->KV,
					     .step_a = s->by_score,
					     .step_b = by_key,
					     .step_c = s->by_query,
				     });
}

/* What keys or values are given back by rows laid out as queries; added. */
static void strip_scatter(const struct strip_products *s, const uint16_t *weights,
                          const uint16_t *rows, float *out)
{
	device_product(s->t->device, &(struct product){
					     .a = weights,
					     .b = rows + query_at(s),
					     .c = out + (int64_t)s->x->row0 * s->a->hd,
					     .m = s->x->keys,
					     .n = s->a->hd,
					     .k = s->rows,
					     .lda = s->x->ld,
					     .ldb = s->a->hd,
					     .ldc = s->a->hd,
					     .a_turned = true,
					     .add = true,
					     .scale = 1,
					     .batch = s->a->KV,
					     .step_a = s->by_score,
					     .step_b = s->by_query,
					     .step_c = s->by_key,
				     });
}

/* Each strip of each sample, in order: @back or not. */
static void each_strip(struct train_cuda *t, const struct attention_train *a, bool back)
{
	for (int i = 0; i < t->samples; i++) {
		int row0 = t->start[i], n = t->start[i + 1] - row0;
		for (int from = 0; from < n; from += TRAIN_STRIP) {
			int tokens = (int)round_up((uint64_t)min_int(TRAIN_STRIP, n - from),
			                           TRAIN_ROUND);
			int keys = (int)round_up((uint64_t)min_int(from + tokens, n), TRAIN_ROUND);
			const struct attention_strip x = {
				.row0 = row0,
				.n = n,
				.from = from,
				.tokens = tokens,
				.keys = keys,
				.s = t->s,
				.dp = t->dp,
				.p = t->p,
				.ds = t->ds,
				.ld = keys,
			};
			const struct strip_products s = strip_of(t, a, &x);
			const uint16_t *k = a->k + (int64_t)row0 * a->hd;
			strip_scores(&s, a->q, k, a->hd, s.by_key, t->s);
			if (!back) {
				train_softmax(t->stream, a, &x);
				strip_gather(&s, t->p, s.values, a->ld, a->hd, a->o, true);
				continue;
			}
			strip_scores(&s, a->d_o, s.values, a->ld, a->hd, t->dp);
			train_softmax_back(t->stream, a, &x);
			strip_gather(&s, t->ds, k, a->hd, s.by_key, t->dq, false);
			strip_scatter(&s, t->ds, a->q, t->dk);
			strip_scatter(&s, t->p, a->d_o, t->dv);
		}
	}
}

static void attention_back(struct train_cuda *t, int l)
{
	const struct attention_train a = attention(t, l);
	uint64_t bytes = (uint64_t)a.KV * (uint64_t)a.room * (uint64_t)a.hd * sizeof(float);
	train_attention_gate_back(t->stream, &a);
	device_zero(t->device, t->dk, bytes);
	device_zero(t->device, t->dv, bytes);
	each_strip(t, &a, true);
	train_attention_split_back(t->stream, &a);
}

/* ---- DeltaNet ---- */

static struct delta_train delta(const struct train_cuda *t, int l)
{
	const struct train_layer *w = &t->layer[l];
	const struct model_config *c = &t->base.model->config;
	struct delta_train d = t->delta; /* buffers */
	d.n = t->n;
	d.first = t->first;
	d.chunk_row = t->chunk_row;
	d.chunk_n = t->chunk_n;
	d.sample_chunk = t->sample_chunk;
	d.nk = c->key_heads;
	d.nv = c->value_heads;
	d.dk = c->key_dim;
	d.dv = c->value_dim;
	d.K = c->conv;
	d.eps = (float)c->norm_eps;
	d.y = w->kept.in;
	d.dy = t->e;
	d.ld = w->site[SITE_IN].rows;
	d.conv = w->conv;
	d.a_log = w->a_log;
	d.dt_bias = w->dt_bias;
	d.norm = w->norm;
	d.out = t->y;
	d.ldo = w->site[SITE_OUT].ld;
	d.dout = t->d;
	d.ldd = w->site[SITE_OUT].ld;
	return d;
}

/* The next samples whose chunks fit the buffers, from @d->sample0 on; false: none is left. */
static bool delta_group(const struct train_cuda *t, struct delta_train *d)
{
	const int32_t *chunk = t->host_sample_chunk;
	int from = d->sample0, to = from;
	if (from == t->samples)
		return false;
	while (to < t->samples && chunk[to + 1] - chunk[from] <= t->chunks_most)
		to++;
	d->samples = to - from;
	d->chunk0 = chunk[from];
	d->chunks = chunk[to] - chunk[from];
	d->row0 = t->start[from];
	d->rows = t->start[to] - t->start[from];
	return true;
}

static void delta_back(struct train_cuda *t, int l)
{
	struct delta_train d = delta(t, l);
	/* one group: its states lie where delta_forward() left them */
	bool again = t->host_sample_chunk[t->samples] > t->chunks_most;
	for (d.sample0 = 0; delta_group(t, &d); d.sample0 += d.samples) {
		if (again)
			train_delta_forward(t->stream, &d, true);
		train_delta_back(t->stream, &d);
	}
	train_delta_conv_back(t->stream, &d);
}

static void delta_forward(struct train_cuda *t, int l, bool keep)
{
	struct delta_train d = delta(t, l);
	train_delta_conv(t->stream, &d);
	for (d.sample0 = 0; delta_group(t, &d); d.sample0 += d.samples)
		train_delta_forward(t->stream, &d, keep);
	train_delta_gate(t->stream, &d);
}

/* ---- a layer ---- */

/* From the in-projections' outputs to t->y. @again: they are kept from before (attention's own
 * results too), and going back is next. */
static void mixer(struct train_cuda *t, int l, bool again)
{
	if (t->layer[l].kind == LAYER_DELTA) {
		delta_forward(t, l, again);
		return;
	}
	const struct attention_train a = attention(t, l);
	train_attention_split(t->stream, &a);
	if (!again || t->recompute)
		each_strip(t, &a, false);
	train_attention_gate(t->stream, &a);
}

/* Up to gate and up. */
static void layer_inside(struct train_cuda *t, int l, bool again)
{
	const struct train_layer *w = &t->layer[l];
	uint64_t bytes = (uint64_t)t->padded * (uint64_t)t->hp * sizeof(float);
	norm(t, &w->site[SITE_IN], t->x[l], w->input_norm);
	site_forward(t, l, &w->site[SITE_IN], t->xin, w->kept.in, NULL);
	mixer(t, l, again);
	device_copy(t->device, w->kept.mid, t->x[l], bytes);
	site_forward(t, l, &w->site[SITE_OUT], t->y, NULL, w->kept.mid);
	norm(t, &w->site[SITE_GATE_UP], w->kept.mid, w->post_norm);
	site_forward(t, l, &w->site[SITE_GATE_UP], t->xin, w->kept.gu, NULL);
}

static void silu_mul(struct train_cuda *t, int l)
{
	const struct train_layer *w = &t->layer[l];
	train_silu_mul(t->stream, t->m, w->site[SITE_DOWN].ld, w->kept.gu,
	               w->site[SITE_GATE_UP].rows, t->ip, t->padded);
}

void train_cuda_forward(struct train_cuda *t, int l)
{
	const struct train_layer *w = &t->layer[l];
	uint64_t bytes = (uint64_t)t->padded * (uint64_t)t->hp * sizeof(float);
	layer_inside(t, l, false);
	silu_mul(t, l);
	device_copy(t->device, t->x[l + 1], w->kept.mid, bytes);
	site_forward(t, l, &w->site[SITE_DOWN], t->m, NULL, t->x[l + 1]);
}

void train_cuda_back(struct train_cuda *t, int l)
{
	const struct train_layer *w = &t->layer[l];
	const struct site *in = &w->site[SITE_IN], *out = &w->site[SITE_OUT];
	const struct site *gate_up = &w->site[SITE_GATE_UP], *down = &w->site[SITE_DOWN];

	if (t->recompute)
		layer_inside(t, l, true);
	/* MLP */
	silu_mul(t, l);
	site_lora(t, l, down, t->m);
	site_back(t, l, down, t->dxb, t->hp, t->m);
	train_silu_back(t->stream, t->e, t->d, down->ld, w->kept.gu, gate_up->rows, t->ip,
	                t->padded);
	if (!t->recompute) {
		norm(t, gate_up, w->kept.mid, w->post_norm);
		site_lora(t, l, gate_up, t->xin);
	}
	site_back(t, l, gate_up, t->e, gate_up->rows, t->xin);
	norm_back(t, gate_up, w->kept.mid, w->post_norm);
	/* mixer */
	if (!t->recompute) {
		mixer(t, l, true);
		site_lora(t, l, out, t->y);
	}
	site_back(t, l, out, t->dxb, t->hp, t->y);
	/* rows that are no sample's: what the last layer left there is not zero */
	device_zero(t->device, t->e + (int64_t)t->n * in->rows,
	            (uint64_t)(t->padded - t->n) * (uint64_t)in->rows * 2);
	if (w->kind == LAYER_DELTA)
		delta_back(t, l);
	else
		attention_back(t, l);
	norm(t, in, t->x[l], w->input_norm);
	site_lora(t, l, in, t->xin);
	site_back(t, l, in, t->e, in->rows, t->xin);
	norm_back(t, in, t->x[l], w->input_norm);
}
