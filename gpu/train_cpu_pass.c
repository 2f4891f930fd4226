/*
 * A pass over a packed batch. What is local to a row (norms, linear layers, the MLP, adapters) is
 * done for a block of rows at a time, from one mixer to the next, within one item: its values stay
 * in the core's own cache, and the products are whole sgemms. Between those regions stand the
 * mixers (train_mixers.h), and on the way back the products that sum over all rows (gradients of
 * weights). Blocks are a function of the batch alone, so equal bits with any number of threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/blas.h"
#include "gpu/train_cpu_inside.h"
#include "gpu/train_dropout.h"
#include "gpu/train_kernels.h"
#include "gpu/train_panels.h"

enum {
	BLOCK = 192,           /* rows of an item, when there are many */
	BLOCKS = 16,           /* items that are wanted where there are few rows */
	HEAD_FLOATS = 1 << 21, /* of logits held at once, but ... */
	HEAD_ROWS_MIN = 128,   /* ... never fewer rows than that */
	HEAD_ROWS_MAX = 1024,  /* ... nor more */
	HEAD_BLOCKS = 16,      /* items of those rows */
	TOKEN_RANGES = 64,     /* items of the embedding's gradient */
	HEAD_PACKED = 1 << 24, /* floats of a head that is packed; a larger one is OpenBLAS' */
	MODULES_IN = 4         /* linear layers that share a mixer's input, at most */
};

/* What a layer computed and going back needs. Rows close together. */
struct kept {
	float *inverse1, *mid, *inverse2; /* [n], [n][h], [n] */
	float *in[MODULE_COUNT];          /* [n][out] of those before the mixer */
	float *y;                         /* [n][in of O or OUT] */
	float *mixer;
	float *gate, *up;       /* [n][I]; on the way back: silu(gate) * up, and d/d up */
	float *t[MODULE_COUNT]; /* [n][rank]: A x */
};

struct pass {
	struct cpu_trainer *t;
	const struct train_batch *b;
	struct mixer_rows rows;
	enum pass_mode mode;
	bool adapters;
	const float *coef;
	float *logp;
	int n, block, blocks;
	float sharper; /* 1 / temperature: what logits are multiplied by */

	float **x;         /* [layers + 1] residual stream before each layer, and at the end */
	struct kept *kept; /* [layers]; without PASS_KEEP they share memory by turns */
	float *mixer_scratch;
	float *scratch; /* of threads */
	size_t scratch_floats;

	/* weights of the layers under way as gpu/train_panels.h wants them: for one direction */
	enum mixer_isa isa;
	float *packed[MODULE_COUNT];
	float *head_there, *head_back; /* NULL: not packed */

	/* going back */
	float *d_out, *d_mid, *d_in;   /* [n][h]: at a layer's end, after its mixer, before it */
	float *dy;                     /* [n][in of O or OUT] */
	float *d[MODULE_COUNT];        /* [n][out] of those before the mixer */
	float *d_gate;                 /* [n][I] */
	float *normed1, *normed2;      /* [n][h] */
	float *dt[MODULE_COUNT];       /* [n][rank] */
	float *dropped;                /* [n][widest in] */
	float *norm_sums, *norm_sums2; /* [blocks][h] */

	/* head: rows that have a label */
	int32_t *row; /* [labelled] */
	int labelled, head_rows, head_block;
	float *logits;         /* [head_rows][V] */
	float *head_in;        /* [head_rows][h] */
	float *head_sum;       /* [items][h] */
	int head_from, head_n; /* the group under way */

	int32_t *by_token, *token_start; /* rows in order of their token; [TOKEN_RANGES + 1] */
	int layer;                       /* under way */
	bool again;                      /* computing a layer anew */
};

static const enum module before_delta[] = { MODULE_QKV, MODULE_Z, MODULE_A, MODULE_B };
static const enum module before_attention[] = { MODULE_Q, MODULE_K, MODULE_V };

/* The modules between a layer's norm and its mixer. */
static int modules_before(enum layer_kind kind, const enum module **out)
{
	*out = kind == LAYER_DELTA ? before_delta : before_attention;
	return kind == LAYER_DELTA ? 4 : 3;
}

static enum module module_after(enum layer_kind kind)
{
	return kind == LAYER_DELTA ? MODULE_OUT : MODULE_O;
}

/* ---- where things are ---- */

struct plan {
	float *base; /* NULL: only adding up */
	size_t floats;
};

static float *take(struct plan *m, size_t floats)
{
	float *p = m->base ? m->base + m->floats : NULL;

	m->floats += (floats + 15) / 16 * 16;
	return p;
}

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t kept_mixer(const struct model_config *c, enum layer_kind kind, int n, int samples)
{
	return kind == LAYER_DELTA ? delta_kept_floats(c, n, samples)
	                           : attention_kept_floats(c, n, samples);
}

static void plan_kept(struct plan *m, const struct cpu_trainer *t, int l, size_t n, int samples,
                      enum pass_mode mode, struct kept *k)
{
	const struct train_layer *y = &t->layer[l];
	const enum module *before;
	size_t h = (size_t)t->c.hidden;

	k->inverse1 = take(m, n);
	k->mid = take(m, n * h);
	k->inverse2 = take(m, n);
	for (int i = 0, count = modules_before(y->kind, &before); i < count; i++)
		k->in[before[i]] = take(m, n * (size_t)y->linear[before[i]].out);
	k->y = take(m, n * (size_t)y->linear[module_after(y->kind)].in);
	if (mode == PASS_FORWARD)
		return;
	k->mixer = take(m, kept_mixer(&t->c, y->kind, (int)n, samples));
	k->gate = take(m, n * (size_t)t->c.mlp);
	k->up = take(m, n * (size_t)t->c.mlp);
	for (int i = 0; i < MODULE_COUNT; i++)
		if (y->linear[i].rank > 0)
			k->t[i] = take(m, n * (size_t)y->linear[i].rank);
}

static void plan_back(struct plan *m, struct pass *p)
{
	const struct cpu_trainer *t = p->t;
	size_t n = (size_t)p->n, h = (size_t)t->c.hidden, wide = 0;
	size_t d[MODULE_COUNT] = { 0 }, dt[MODULE_COUNT] = { 0 }, dy = 0;

	for (int l = 0; l < t->c.layers; l++) {
		const struct train_layer *y = &t->layer[l];
		for (int k = 0; k < MODULE_COUNT; k++) {
			d[k] = most(d[k], (size_t)y->linear[k].out);
			dt[k] = most(dt[k], (size_t)y->linear[k].rank);
			wide = most(wide, (size_t)y->linear[k].in);
		}
		dy = most(dy, (size_t)y->linear[module_after(y->kind)].in);
	}
	p->d_out = take(m, n * h);
	p->d_mid = take(m, n * h);
	p->d_in = take(m, n * h);
	p->dy = take(m, n * dy);
	for (int k = 0; k < MODULE_GATE; k++)
		if (k != MODULE_O && k != MODULE_OUT)
			p->d[k] = take(m, n * d[k]);
	p->d_gate = take(m, n * (size_t)t->c.mlp);
	p->normed1 = take(m, n * h);
	p->normed2 = take(m, n * h);
	for (int k = 0; k < MODULE_COUNT; k++)
		p->dt[k] = take(m, n * dt[k]);
	if (t->base.options.dropout > 0)
		p->dropped = take(m, n * wide);
	p->norm_sums = take(m, (size_t)p->blocks * h);
	p->norm_sums2 = take(m, (size_t)p->blocks * h);
	p->by_token = (int32_t *)take(m, n);
	p->token_start = (int32_t *)take(m, TOKEN_RANGES + 1);
}

static void plan_packed(struct plan *m, struct pass *p)
{
	const struct cpu_trainer *t = p->t;
	const int h = t->c.hidden, v = t->c.vocabulary;

	for (int k = 0; k < MODULE_COUNT; k++) {
		size_t floats = 0;
		for (int l = 0; l < t->c.layers; l++) {
			const struct train_linear *w = &t->layer[l].linear[k];
			if (w->out > 0)
				floats = most(floats, most(panels_floats(w->out, w->in),
				                           panels_floats(w->in, w->out)));
		}
		p->packed[k] = take(m, floats);
	}
	if ((int64_t)h * v > HEAD_PACKED)
		return;
	p->head_there = take(m, panels_floats(v, h));
	if (p->mode != PASS_FORWARD)
		p->head_back = take(m, panels_floats(h, v));
}

/* Gives everything its place in @base; returns the floats. */
static size_t plan_pass(struct pass *p, float *base, int samples, int longest)
{
	const struct cpu_trainer *t = p->t;
	const struct model_config *c = &t->c;
	struct plan m = { base, 0 };
	size_t n = (size_t)p->n, h = (size_t)c->hidden, mixer = 0, wide = 0, rank = 0;
	int threads = pool_threads(t->pool);

	p->block = (p->n + BLOCKS - 1) / BLOCKS;
	p->block = p->block > BLOCK ? BLOCK : (p->block + 15) / 16 * 16;
	p->blocks = (p->n + p->block - 1) / p->block;

	p->x = (float **)take(&m, ((size_t)c->layers + 1) * sizeof(float *) / sizeof(float));
	p->kept = (struct kept *)take(&m, (size_t)c->layers * sizeof(struct kept) / sizeof(float));
	float *pair[2] = { 0 };
	for (int l = 0; l <= c->layers; l++) {
		float *x = p->mode == PASS_FORWARD && l > 1 ? pair[l & 1] : take(&m, n * h);
		pair[l & 1] = x;
		if (base)
			p->x[l] = x;
	}
	/* shared by every second layer: one reads its own while it writes the next one's */
	size_t kept_floats = 0;
	for (int l = 0; l < c->layers && p->mode != PASS_KEEP; l++) {
		struct plan one = { 0 };
		struct kept k;
		plan_kept(&one, t, l, n, samples, p->mode, &k);
		kept_floats = most(kept_floats, one.floats);
	}
	const size_t first = m.floats;
	for (int l = 0; l < c->layers; l++) {
		struct kept k = { 0 };
		if (p->mode != PASS_KEEP)
			m.floats = first + (l & 1 ? kept_floats : 0);
		plan_kept(&m, t, l, n, samples, p->mode, &k);
		if (base)
			p->kept[l] = k;
		size_t s = t->layer[l].kind == LAYER_DELTA
		                   ? delta_scratch_floats(c, p->n, samples, threads)
		                   : attention_scratch_floats(c, p->n, samples, longest, threads);
		if (p->mode == PASS_FORWARD)
			s += kept_mixer(c, t->layer[l].kind, p->n, samples);
		mixer = most(mixer, s);
		for (int i = 0; i < MODULE_COUNT; i++) {
			wide = most(wide, (size_t)t->layer[l].linear[i].in);
			rank = most(rank, (size_t)t->layer[l].linear[i].rank);
		}
	}
	if (p->mode != PASS_KEEP)
		m.floats = first + 2 * kept_floats;
	p->mixer_scratch = take(&m, mixer);
	p->scratch_floats =
		((size_t)p->block * (2 * h + 3 * (size_t)c->mlp + wide + rank) + 15) / 16 * 16;
	p->scratch = take(&m, (size_t)threads * p->scratch_floats);
	plan_packed(&m, p);

	p->head_rows = HEAD_FLOATS / c->vocabulary;
	p->head_rows = p->head_rows < HEAD_ROWS_MIN ? HEAD_ROWS_MIN : p->head_rows;
	p->head_rows = p->head_rows > HEAD_ROWS_MAX ? HEAD_ROWS_MAX : p->head_rows;
	p->head_rows = p->head_rows > p->n ? p->n : p->head_rows;
	p->head_block = (p->head_rows + HEAD_BLOCKS - 1) / HEAD_BLOCKS;
	p->row = (int32_t *)take(&m, n);
	p->logits = take(&m, (size_t)p->head_rows * (size_t)c->vocabulary);
	p->head_in = take(&m, (size_t)p->head_rows * h);
	p->head_sum = take(&m, HEAD_BLOCKS * h);
	if (p->mode != PASS_FORWARD)
		plan_back(&m, p);
	return m.floats;
}

size_t train_pass_floats(const struct cpu_trainer *t, int rows, int samples, int longest,
                         enum pass_mode mode)
{
	struct cpu_trainer *same = (struct cpu_trainer *)t; /* struct pass has no const one */
	struct pass p = { .t = same, .n = rows, .mode = mode };

	return plan_pass(&p, NULL, samples, longest);
}

/* ---- linear layers, for a block of rows ---- */

static void product(bool tb, int m, int n, int k, float alpha, const float *a, size_t lda,
                    const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	blas_product(NULL, &(struct product_of){ .tb = tb,
	                                         .m = m,
	                                         .n = n,
	                                         .k = k,
	                                         .alpha = alpha,
	                                         .beta = beta,
	                                         .a = a,
	                                         .lda = lda,
	                                         .b = b,
	                                         .ldb = ldb,
	                                         .c = c,
	                                         .ldc = ldc });
}

static uint64_t dropout_key(const struct pass *p, int layer, enum module k)
{
	return train_dropout_key(p->b->seed, layer, (int)k);
}

/* The weights of @n modules of a layer, for products of rows with them (@there) or on the way back.
 */
static int pack_modules(const struct pass *p, int layer, const enum module *k, int n, bool there,
                        struct panels_of *out)
{
	for (int i = 0; i < n; i++) {
		const struct train_linear *w = &p->t->layer[layer].linear[k[i]];
		out[i] = (struct panels_of){ .b = w->w,
			                     .n = there ? w->out : w->in,
			                     .k = there ? w->in : w->out,
			                     .turned = there,
			                     .to = p->packed[k[i]] };
	}
	return n;
}

static int modules_from(enum layer_kind kind, enum module out[static 4])
{
	out[0] = module_after(kind);
	out[1] = MODULE_GATE;
	out[2] = MODULE_UP;
	out[3] = MODULE_DOWN;
	return 4;
}

/* What stands after the mixer of layer @after and before that of layer @before; -1: none. */
static void pack(const struct pass *p, int after, int before, bool there)
{
	struct panels_of what[MODULE_COUNT];
	enum module some[4];
	const enum module *more;
	int n = 0;

	if (after >= 0) {
		int count = modules_from(p->t->layer[after].kind, some);
		n += pack_modules(p, after, some, count, there, what);
	}
	if (before >= 0) {
		int count = modules_before(p->t->layer[before].kind, &more);
		n += pack_modules(p, before, more, count, there, what + n);
	}
	panels_pack(p->t->pool, what, n);
}

/* y = W x + s B (A x), and @plus where it is not NULL. @x: the block's own rows, @from the first of
 * them; @spare: [block][widest in + rank]. */
static void linear(const struct pass *p, int layer, enum module k, const float *x, int from,
                   int rows, float *y, const float *plus, float *spare)
{
	const struct train_linear *w = &p->t->layer[layer].linear[k];
	const size_t in = (size_t)w->in, out = (size_t)w->out, rank = (size_t)w->rank;
	const float drop = p->t->base.options.dropout;

	panels_product(p->isa, p->packed[k], rows, w->out, w->in, 1, x, plus, y);
	if (rank == 0 || !p->adapters)
		return;
	float *kept = p->kept[layer].t[k];
	float *t = kept ? kept + (size_t)from * rank : spare + (size_t)p->block * in;
	/* what is not kept is not learnt from: nothing is dropped */
	if (drop > 0 && kept) {
		uint64_t key = dropout_key(p, layer, k);
		for (int i = 0; i < rows; i++)
			dropout_row(spare + (size_t)i * in, x + (size_t)i * in, key, from + i,
			            w->in, drop, 0);
		x = spare;
	}
	product(true, rows, w->rank, w->in, 1, x, in, w->a, in, 0, t, rank);
	product(true, rows, w->out, w->rank, w->scale, t, rank, w->b, rank, 1, y, out);
}

/* dx = dy W + s (dy B) A, or added to dx; dx NULL: not wanted. s dy B is kept for A's gradient. */
static void linear_back(const struct pass *p, int layer, enum module k, const float *dy, int from,
                        int rows, float *dx, bool add, float *spare)
{
	const struct train_linear *w = &p->t->layer[layer].linear[k];
	const size_t in = (size_t)w->in, out = (size_t)w->out, rank = (size_t)w->rank;
	const float drop = p->t->base.options.dropout;

	if (dx)
		panels_product(p->isa, p->packed[k], rows, w->in, w->out, 1, dy, add ? dx : NULL,
		               dx);
	if (rank == 0)
		return;
	float *dt = p->dt[k] + (size_t)from * rank;
	product(false, rows, w->rank, w->out, w->scale, dy, out, w->b, rank, 0, dt, rank);
	if (!dx)
		return;
	if (drop == 0) {
		product(false, rows, w->in, w->rank, 1, dt, rank, w->a, in, 1, dx, in);
		return;
	}
	uint64_t key = dropout_key(p, layer, k);
	product(false, rows, w->in, w->rank, 1, dt, rank, w->a, in, 0, spare, in);
	for (int i = 0; i < rows; i++)
		dropout_row(dx + (size_t)i * in, spare + (size_t)i * in, key, from + i, w->in, drop,
		            1);
}

/* ---- forward, a block of rows from mixer to mixer ---- */

struct block {
	int from, rows;
	/* of the thread: [block][h] twice, [block][I] three times, what linear() wants */
	float *normed, *other, *gate, *up, *act, *spare;
};

static struct block block_of(const struct pass *p, int item, int thread)
{
	const size_t h = (size_t)p->t->c.hidden, mlp = (size_t)p->t->c.mlp, n = (size_t)p->block;
	struct block b = { .from = item * p->block };

	b.rows = p->n - b.from < p->block ? p->n - b.from : p->block;
	b.normed = p->scratch + (size_t)thread * p->scratch_floats;
	b.other = b.normed + n * h;
	b.gate = b.other + n * h;
	b.up = b.gate + n * mlp;
	b.act = b.up + n * mlp;
	b.spare = b.act + n * mlp;
	return b;
}

static void norm_rows(const struct pass *p, const struct train_vector *w, const float *x,
                      float *inverse, float *out, int rows)
{
	const int h = p->t->c.hidden;

	for (int i = 0; i < rows; i++)
		inverse[i] = norm_forward(out + (size_t)i * (size_t)h, x + (size_t)i * (size_t)h,
		                          w->w, (float)p->t->c.norm_eps, h);
}

/* From the residual stream to the mixer's inputs. */
static void block_before(const struct pass *p, int l, const struct block *b)
{
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];
	const size_t from = (size_t)b->from, h = (size_t)p->t->c.hidden;
	const enum module *before;

	norm_rows(p, &y->input_norm, p->x[l] + from * h, k->inverse1 + from, b->normed, b->rows);
	for (int i = 0, n = modules_before(y->kind, &before); i < n; i++) {
		enum module m = before[i];
		linear(p, l, m, b->normed, b->from, b->rows,
		       k->in[m] + from * (size_t)y->linear[m].out, NULL, b->spare);
	}
}

/* From the mixer's output to the next layer's residual stream. */
static void block_after(const struct pass *p, int l, const struct block *b)
{
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];
	const enum module out = module_after(y->kind);
	const size_t from = (size_t)b->from, h = (size_t)p->t->c.hidden, mlp = (size_t)p->t->c.mlp,
		     rows = (size_t)b->rows;
	float *mid = k->mid + from * h, *next = p->x[l + 1] + from * h;
	float *gate = k->gate ? k->gate + from * mlp : b->gate;
	float *up = k->up ? k->up + from * mlp : b->up;

	linear(p, l, out, k->y + from * (size_t)y->linear[out].in, b->from, b->rows, mid,
	       p->x[l] + from * h, b->spare);
	norm_rows(p, &y->post_norm, mid, k->inverse2 + from, b->normed, b->rows);
	linear(p, l, MODULE_GATE, b->normed, b->from, b->rows, gate, NULL, b->spare);
	linear(p, l, MODULE_UP, b->normed, b->from, b->rows, up, NULL, b->spare);
	if (p->again && y->linear[MODULE_DOWN].rank == 0)
		return; /* the sum is there */
	silu_mul_forward(b->act, gate, up, rows * mlp);
	linear(p, l, MODULE_DOWN, b->act, b->from, b->rows, next, mid, b->spare);
}

static void first_item(void *arg, int item, int thread)
{
	const struct pass *p = arg;
	const struct block b = block_of(p, item, thread);
	const size_t h = (size_t)p->t->c.hidden;

	for (int i = b.from; i < b.from + b.rows && !p->again; i++)
		memcpy(p->x[0] + (size_t)i * h, p->t->embedding + (size_t)p->b->id[i] * h,
		       h * sizeof(float));
	block_before(p, p->layer, &b);
}

static void between_item(void *arg, int item, int thread)
{
	const struct pass *p = arg;
	const struct block b = block_of(p, item, thread);

	block_after(p, p->layer, &b);
	if (!p->again && p->layer + 1 < p->t->c.layers)
		block_before(p, p->layer + 1, &b);
}

static struct delta_weights delta_weights(const struct train_layer *y)
{
	return (struct delta_weights){ y->conv.w, y->a_log.w, y->dt_bias.w, y->norm.w };
}

static void mixer(const struct pass *p, int l)
{
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];

	if (y->kind == LAYER_DELTA) {
		struct delta_weights w = delta_weights(y);
		delta_forward(&p->t->c, &p->rows, &w, k->in[MODULE_QKV], k->in[MODULE_Z],
		              k->in[MODULE_A], k->in[MODULE_B], k->y, k->mixer, p->mixer_scratch);
	} else {
		struct attention_weights w = { y->q_norm.w, y->k_norm.w };
		attention_forward(&p->t->c, &p->rows, &w, k->in[MODULE_Q], k->in[MODULE_K],
		                  k->in[MODULE_V], k->y, k->mixer, p->mixer_scratch);
	}
}

static void forward(struct pass *p)
{
	p->layer = 0;
	pack(p, -1, 0, true);
	pool_run(p->t->pool, first_item, p, p->blocks);
	for (int l = 0; l < p->t->c.layers; l++) {
		p->layer = l;
		mixer(p, l);
		pack(p, l, l + 1 < p->t->c.layers ? l + 1 : -1, true);
		pool_run(p->t->pool, between_item, p, p->blocks);
	}
}

/* What layer @l computed, from its input, once more. */
static void forward_again(struct pass *p, int l)
{
	p->layer = l;
	p->again = true;
	pack(p, l, l, true);
	pool_run(p->t->pool, first_item, p, p->blocks);
	mixer(p, l);
	pool_run(p->t->pool, between_item, p, p->blocks);
	p->again = false;
}

/* ---- head and loss ---- */

/* Rows of the group: logits, their softmax, the label's log-probability; with coefficients d loss /
 * d logits in their place, and what goes back into the residual stream. */
static void head_item(void *arg, int item, int thread)
{
	struct pass *p = arg;
	const struct cpu_trainer *t = p->t;
	const int first = item * p->head_block;
	const int n = p->head_n - first < p->head_block ? p->head_n - first : p->head_block;
	const size_t h = (size_t)t->c.hidden, v = (size_t)t->c.vocabulary;
	const int32_t *row = p->row + p->head_from + first;
	const float *x = p->x[t->c.layers];
	float *in = p->head_in + (size_t)first * h, *logits = p->logits + (size_t)first * v;
	float *back = p->scratch + (size_t)thread * p->scratch_floats; /* [head_block][h] */
	float inverse[HEAD_ROWS_MAX / HEAD_BLOCKS + 1];
	float *sum = p->coef && t->final_norm.dw ? p->head_sum + (size_t)item * h : NULL;

	for (int i = 0; i < n; i++)
		inverse[i] = norm_forward(in + (size_t)i * h, x + (size_t)row[i] * h,
		                          t->final_norm.w, (float)t->c.norm_eps, (int)h);
	if (p->head_there)
		panels_product(p->isa, p->head_there, n, (int)v, (int)h, p->sharper, in, NULL,
		               logits);
	else
		product(true, n, (int)v, (int)h, p->sharper, in, h, t->head, h, 0, logits, v);
	for (int i = 0; i < n; i++) {
		float *z = logits + (size_t)i * v, top;
		const int32_t label = p->b->label[row[i]];
		const float of_label = z[label];
		const double log_sum = softmax_forward(z, (int)v, &top);
		const float logp = (float)((double)of_label - top - log_sum);
		if (p->logp)
			p->logp[row[i]] = logp;
		if (!p->coef)
			continue;
		float coef = p->coef[row[i]];
		if (p->b->slope && coef != 0)
			coef *= p->b->slope(p->b->slope_ctx, row[i], logp);
		scale_values(z, (float)(-coef * exp(-log_sum)), v);
		z[label] += coef;
	}
	if (!p->coef)
		return;
	if (p->head_back)
		panels_product(p->isa, p->head_back, n, (int)h, (int)v, p->sharper, logits, NULL,
		               back);
	else
		product(false, n, (int)h, (int)v, p->sharper, logits, v, t->head, h, 0, back, h);
	if (sum)
		memset(sum, 0, h * sizeof(float));
	for (int i = 0; i < n; i++) {
		float *d = p->d_out + (size_t)row[i] * h;
		norm_backward(d, d, back + (size_t)i * h, x + (size_t)row[i] * h, t->final_norm.w,
		              inverse[i], sum, (int)h);
	}
}

static void head(struct pass *p)
{
	const struct cpu_trainer *t = p->t;
	const size_t h = (size_t)t->c.hidden, v = (size_t)t->c.vocabulary;

	p->labelled = 0;
	for (int i = 0; i < p->n; i++)
		if (p->b->label[i] >= 0 && (p->logp || (p->coef && p->coef[i] != 0)))
			p->row[p->labelled++] = i;
	const struct panels_of packed[2] = {
		{ .b = t->head, .n = (int)v, .k = (int)h, .turned = true, .to = p->head_there },
		{ .b = t->head, .n = (int)h, .k = (int)v, .to = p->head_back }
	};
	if (p->head_there && p->labelled > 0)
		panels_pack(t->pool, packed, p->coef ? 2 : 1);
	for (int from = 0; from < p->labelled; from += p->head_rows) {
		p->head_from = from;
		p->head_n = p->labelled - from < p->head_rows ? p->labelled - from : p->head_rows;
		int items = (p->head_n + p->head_block - 1) / p->head_block;
		pool_run(t->pool, head_item, p, items);
		if (!p->coef)
			continue;
		for (int i = 0; i < items && t->final_norm.dw; i++)
			add_values(t->final_norm.dw, p->head_sum + (size_t)i * h, h);
		if (t->d_head)
			blas_product(t->pool, &(struct product_of){ .ta = true,
			                                            .m = (int)v,
			                                            .n = (int)h,
			                                            .k = p->head_n,
			                                            .alpha = p->sharper,
			                                            .beta = 1,
			                                            .a = p->logits,
			                                            .lda = v,
			                                            .b = p->head_in,
			                                            .ldb = h,
			                                            .c = t->d_head,
			                                            .ldc = h });
	}
}

/* ---- back ---- */

static void norm_rows_back(const struct pass *p, const struct train_vector *w, float *dx,
                           const float *before, const float *dy, const float *x,
                           const float *inverse, float *again, float *sum, int rows)
{
	const int h = p->t->c.hidden;

	if (sum)
		memset(sum, 0, (size_t)h * sizeof(float));
	for (int i = 0; i < rows; i++) {
		size_t at = (size_t)i * (size_t)h;
		norm_again(again + at, x + at, w->w, inverse[i], h);
		if (dx)
			norm_backward(dx + at, before + at, dy + at, x + at, w->w, inverse[i], sum,
			              h);
	}
}

/* From a layer's end back to its mixer's output. */
static void after_item(void *arg, int item, int thread)
{
	struct pass *p = arg;
	const struct block b = block_of(p, item, thread);
	const int l = p->layer;
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];
	const enum module out = module_after(y->kind);
	const size_t from = (size_t)b.from, h = (size_t)p->t->c.hidden, mlp = (size_t)p->t->c.mlp,
		     rows = (size_t)b.rows;
	float *gate = k->gate + from * mlp, *up = k->up + from * mlp, *d = p->d_gate + from * mlp;
	float *sum = y->post_norm.dw ? p->norm_sums2 + (size_t)item * h : NULL;

	linear_back(p, l, MODULE_DOWN, p->d_out + from * h, b.from, b.rows, d, false, b.spare);
	silu_mul_backward(gate, up, d, rows * mlp);
	linear_back(p, l, MODULE_GATE, d, b.from, b.rows, b.other, false, b.spare);
	linear_back(p, l, MODULE_UP, up, b.from, b.rows, b.other, true, b.spare);
	norm_rows_back(p, &y->post_norm, p->d_mid + from * h, p->d_out + from * h, b.other,
	               k->mid + from * h, k->inverse2 + from, p->normed2 + from * h, sum, b.rows);
	bool further = l > p->t->lowest || y->learns_before;
	linear_back(p, l, out, p->d_mid + from * h, b.from, b.rows,
	            further ? p->dy + from * (size_t)y->linear[out].in : NULL, false, b.spare);
}

static void mixer_back(const struct pass *p, int l)
{
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];

	if (y->kind == LAYER_DELTA) {
		struct delta_weights w = delta_weights(y);
		struct delta_gradients g = { y->conv.dw, y->a_log.dw, y->dt_bias.dw, y->norm.dw };
		delta_backward(&p->t->c, &p->rows, &w, k->in[MODULE_QKV], k->in[MODULE_Z],
		               k->in[MODULE_A], k->in[MODULE_B], k->mixer, p->dy, p->d[MODULE_QKV],
		               p->d[MODULE_Z], p->d[MODULE_A], p->d[MODULE_B], &g,
		               p->mixer_scratch);
	} else {
		struct attention_weights w = { y->q_norm.w, y->k_norm.w };
		struct attention_gradients g = { y->q_norm.dw, y->k_norm.dw };
		attention_backward(&p->t->c, &p->rows, &w, k->in[MODULE_Q], k->in[MODULE_K],
		                   k->in[MODULE_V], k->mixer, p->dy, p->d[MODULE_Q], p->d[MODULE_K],
		                   p->d[MODULE_V], &g, p->mixer_scratch);
	}
}

/* From the mixer's inputs back to the layer's own. */
static void before_item(void *arg, int item, int thread)
{
	struct pass *p = arg;
	const struct block b = block_of(p, item, thread);
	const int l = p->layer;
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];
	const size_t from = (size_t)b.from, h = (size_t)p->t->c.hidden;
	const enum module *before;
	float *sum = y->input_norm.dw ? p->norm_sums + (size_t)item * h : NULL;
	bool further = l > p->t->lowest;

	for (int i = 0, n = modules_before(y->kind, &before); i < n; i++) {
		enum module m = before[i];
		linear_back(p, l, m, p->d[m] + from * (size_t)y->linear[m].out, b.from, b.rows,
		            further ? b.other : NULL, i > 0, b.spare);
	}
	norm_rows_back(p, &y->input_norm, further ? p->d_in + from * h : NULL, p->d_mid + from * h,
	               b.other, p->x[l] + from * h, k->inverse1 + from, p->normed1 + from * h, sum,
	               b.rows);
}

/* One linear layer with what went in and what came back. */
struct learning {
	enum module m;
	const float *x, *dy; /* [n][in], [n][out] */
};

struct dropping {
	const struct pass *p;
	const struct learning *one;
	int in;
};

static void drop_item(void *arg, int item, int thread)
{
	const struct dropping *d = arg;
	const struct pass *p = d->p;
	const size_t in = (size_t)d->in;
	const int from = item * p->block;
	const uint64_t key = dropout_key(p, p->layer, d->one->m);

	(void)thread;
	for (int i = from; i < p->n && i < from + p->block; i++)
		dropout_row(p->dropped + (size_t)i * in, d->one->x + (size_t)i * in, key, i, d->in,
		            p->t->base.options.dropout, 0);
}

static struct product_of over_rows(int n, float alpha, const float *a, int m, const float *b,
                                   int columns, float *c)
{
	return (struct product_of){ .ta = true,
		                    .m = m,
		                    .n = columns,
		                    .k = n,
		                    .alpha = alpha,
		                    .beta = 1,
		                    .a = a,
		                    .lda = (size_t)m,
		                    .b = b,
		                    .ldb = (size_t)columns,
		                    .c = c,
		                    .ldc = (size_t)columns };
}

/* Gradients of a layer's weights: sums over all rows, in one region but for dropout. */
static void learn(struct pass *p, const struct learning *what, int n)
{
	const struct train_layer *y = &p->t->layer[p->layer];
	const bool drops = p->t->base.options.dropout > 0;
	struct product_of todo[2 * MODULE_COUNT];
	int count = 0;

	for (int i = 0; i < n; i++) {
		const struct train_linear *w = &y->linear[what[i].m];
		const float *t = p->kept[p->layer].t[what[i].m], *dt = p->dt[what[i].m];
		if (w->dw)
			todo[count++] =
				over_rows(p->n, 1, what[i].dy, w->out, what[i].x, w->in, w->dw);
		if (w->rank == 0)
			continue;
		todo[count++] = over_rows(p->n, w->scale, what[i].dy, w->out, t, w->rank, w->db);
		if (!drops) {
			todo[count++] = over_rows(p->n, 1, dt, w->rank, what[i].x, w->in, w->da);
			continue;
		}
		struct dropping d = { p, &what[i], w->in };
		pool_run(p->t->pool, drop_item, &d, p->blocks);
		struct product_of a = over_rows(p->n, 1, dt, w->rank, p->dropped, w->in, w->da);
		blas_product(p->t->pool, &a);
	}
	blas_products(p->t->pool, todo, count);
}

static void add_sums(float *dw, const float *sums, int blocks, int h)
{
	for (int i = 0; dw && i < blocks; i++)
		add_values(dw, sums + (size_t)i * (size_t)h, (size_t)h);
}

static void layer_back(struct pass *p, int l)
{
	const struct train_layer *y = &p->t->layer[l];
	const struct kept *k = &p->kept[l];
	const enum module out = module_after(y->kind);
	const enum module *before;
	struct learning what[MODULE_COUNT];
	int n = 0;

	if (p->mode == PASS_RECOMPUTE)
		forward_again(p, l);
	p->layer = l;
	pack(p, l, l, false);
	pool_run(p->t->pool, after_item, p, p->blocks);
	what[n++] = (struct learning){ MODULE_DOWN, k->gate, p->d_out };
	what[n++] = (struct learning){ MODULE_GATE, p->normed2, p->d_gate };
	what[n++] = (struct learning){ MODULE_UP, p->normed2, k->up };
	what[n++] = (struct learning){ out, k->y, p->d_mid };
	if (l > p->t->lowest || y->learns_before) {
		mixer_back(p, l);
		pool_run(p->t->pool, before_item, p, p->blocks);
		for (int i = 0, count = modules_before(y->kind, &before); i < count; i++)
			what[n++] = (struct learning){ before[i], p->normed1, p->d[before[i]] };
		add_sums(y->input_norm.dw, p->norm_sums, p->blocks, p->t->c.hidden);
	}
	add_sums(y->post_norm.dw, p->norm_sums2, p->blocks, p->t->c.hidden);
	learn(p, what, n);

	float *done = p->d_out;
	p->d_out = p->d_in;
	p->d_in = done;
}

static void embedding_item(void *arg, int item, int thread)
{
	const struct pass *p = arg;
	const size_t h = (size_t)p->t->c.hidden;

	(void)thread;
	for (int i = p->token_start[item]; i < p->token_start[item + 1]; i++) {
		size_t row = (size_t)p->by_token[i];
		add_values(p->t->d_embedding + (size_t)p->b->id[row] * h, p->d_out + row * h, h);
	}
}

/* Rows of a token are added in their order; an item has a range of tokens. */
static void embedding_back(struct pass *p)
{
	const int64_t v = p->t->c.vocabulary;
	int32_t count[TOKEN_RANGES] = { 0 }, at = 0;

	for (int i = 0; i < p->n; i++)
		count[p->b->id[i] * (int64_t)TOKEN_RANGES / v]++;
	for (int i = 0; i < TOKEN_RANGES; i++) {
		p->token_start[i] = at;
		at += count[i];
		count[i] = p->token_start[i];
	}
	p->token_start[TOKEN_RANGES] = at;
	for (int i = 0; i < p->n; i++)
		p->by_token[count[p->b->id[i] * (int64_t)TOKEN_RANGES / v]++] = i;
	pool_run(p->t->pool, embedding_item, p, TOKEN_RANGES);
}

void train_pass(struct cpu_trainer *t, const struct train_batch *b, int longest,
                enum pass_mode mode, bool adapters, const float *coef, float *logp)
{
	struct pass p = { .t = t,
		          .b = b,
		          .rows = { b->n, b->samples, b->start, t->pool },
		          .mode = mode,
		          .adapters = adapters,
		          .coef = coef,
		          .logp = logp,
		          .n = b->n,
		          .isa = mixer_version(MIXER_BEST, NULL),
		          .sharper = b->temperature > 0 ? 1 / b->temperature : 1 };

	plan_pass(&p, t->room, b->samples, longest);
	if (logp)
		memset(logp, 0, (size_t)b->n * sizeof(float));
	if (coef)
		memset(p.d_out, 0, (size_t)b->n * (size_t)t->c.hidden * sizeof(float));
	forward(&p);
	head(&p);
	if (!coef)
		return;
	for (int l = t->c.layers - 1; l >= 0 && l >= t->lowest; l--)
		layer_back(&p, l);
	if (t->d_embedding)
		embedding_back(&p);
}
