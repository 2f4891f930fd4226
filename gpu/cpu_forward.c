/*
 * cpu_forward.c - the forward pass of qwen35.md, section 4, over the columns of one pass: tokens of
 * any number of slots, side by side.
 *
 * A layer is five regions of the pool (two more where there are many columns, for the norms):
 * projections; recurrence or attention; output projection; gate and up; down. A region's matrix
 * products are cut into blocks of rows and columns, and a LoRA adapter's A x are its first items:
 * who is to add B t to his rows waits for them, and they were begun before his.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cpu.h"

enum {
	ITEM_BYTES =
		192 << 10, /* of weights, where a few columns pass over them: shorter ones keep the
	                    * hardware from reading ahead, and asking it to by hand costs more */
	ITEM_ROWS = 64,    /* where many do */
	FEW_COLS = 8,
	NORM_COLS = 16, /* columns of an item of the norms */
	PRODUCTS_MAX = 4
};

struct lora_span {
	int column, n;
	const struct lora_mix *mix;
};

struct cpu_work {
	/* of rows, in floats */
	size_t ld_h, ld_in, ld_small, ld_kv, ld_mixed, ld_attended, ld_mlp, ld_o;
	float *x;            /* residual stream [CPU_COLS][ld_h] */
	float *normed;       /* [CPU_COLS][ld_h] */
	float *in;           /* q_proj, or in_proj_qkv [CPU_COLS][ld_in] */
	float *k, *v;        /* [CPU_COLS][ld_kv] */
	float *a, *b;        /* in_proj_a, in_proj_b [CPU_COLS][ld_small] */
	float *decay, *beta; /* e^g, beta [CPU_COLS][ld_small] */
	float *core;         /* DeltaNet's o before its norm [CPU_COLS][nv][ld_value] */
	float *mixed;        /* z, then what out_proj is given [CPU_COLS][ld_mixed] */
	float *attended;     /* what o_proj is given [CPU_COLS][ld_attended] */
	float *gate, *up;    /* [CPU_COLS][ld_mlp] */
	float *cos, *sin;    /* [CPU_COLS][R / 2] */
	float *scratch;      /* a thread: [scratch_floats], see attend_item() and delta_item() */
	size_t scratch_floats, ld_scores;
	float *last;   /* [CPU_HEAD_ROWS][ld_h] */
	float *logits; /* [head_rows][V] */
	int head_rows;

	struct lora_span *lora;
	struct lora_unit *unit;
	float *inner; /* A x */
	int n_lora, lora_cap, unit_cap;
	size_t inner_cap;
};

static void trace(struct cpu *b, int layer, const char *name, const float *v, size_t ld, int rows,
                  int n)
{
	if (b->trace)
		b->trace(b->trace_ctx, layer, name, v, ld, rows, n);
}

/* ---- matrix products, with adapters beside them ---- */

/* y = W x (+ y), and + sum of weight s B (A x). */
struct product {
	const struct mat *m;
	enum module module;
	const float *x;
	size_t ldx;
	float *y;
	size_t ldy;
	bool add;
};

/* One adapter beside one product, for consecutive columns. */
struct lora_unit {
	int product, column, n;
	const struct cpu_part *part;
	float scale; /* of B t */
	float *t;    /* [n][ldt] */
	size_t ldt;
};

struct region {
	struct cpu *b;
	struct product p[PRODUCTS_MAX];
	int n_products, cols;
	bool gated; /* two products: then p[0].y = silu(p[0].y) * p[1].y */
	struct lora_unit *unit;
	int n_units;
	int blocks_inner;            /* items that compute A x: blocks of columns of each unit */
	int rows_item[PRODUCTS_MAX]; /* rows of an item */
	int items[PRODUCTS_MAX];     /* of a block of columns */
	int items_block;             /* their sum */
	_Atomic int inner_done;
};

static void region_add(struct region *r, const struct mat *m, enum module module, const float *x,
                       size_t ldx, float *y, size_t ldy, bool add)
{
	r->p[r->n_products++] = (struct product){ m, module, x, ldx, y, ldy, add };
}

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static void inner_item(struct region *r, int item)
{
	for (int i = 0; i < r->n_units; i++) {
		const struct lora_unit *u = &r->unit[i];
		int blocks = (u->n + DOT_COLS - 1) / DOT_COLS;
		if (item >= blocks) {
			item -= blocks;
			continue;
		}
		const struct product *p = &r->p[u->product];
		int from = item * DOT_COLS;
		r->b->kernels->dot(&u->part->a, 0, u->part->a.rows,
		                   p->x + (size_t)(u->column + from) * p->ldx, p->ldx,
		                   min_int(DOT_COLS, u->n - from), u->t + (size_t)from * u->ldt,
		                   u->ldt, 1, false);
		return;
	}
}

/* Rows [row, row + rows) of columns [column, column + n) of one product. */
static void product_block(struct region *r, int product, int row, int rows, int column, int n)
{
	const struct kernels *k = r->b->kernels;
	const struct product *p = &r->p[product];
	k->dot(p->m, row, rows, p->x + (size_t)column * p->ldx, p->ldx, n,
	       p->y + (size_t)column * p->ldy, p->ldy, 1, p->add);
	for (int i = 0; i < r->n_units; i++) {
		const struct lora_unit *u = &r->unit[i];
		int from = u->column > column ? u->column : column;
		int to = min_int(u->column + u->n, column + n);
		if (u->product != product || from >= to)
			continue;
		while (atomic_load_explicit(&r->inner_done, memory_order_acquire) < r->blocks_inner)
			pool_pause();
		k->spread(u->part->b, u->part->ldb, u->part->a.rows, row, rows,
		          u->t + (size_t)(from - u->column) * u->ldt, u->ldt, to - from,
		          p->y + (size_t)from * p->ldy, p->ldy, u->scale);
	}
}

static void region_item(void *arg, int item, int thread)
{
	struct region *r = arg;
	(void)thread;
	if (item < r->blocks_inner) {
		inner_item(r, item);
		atomic_fetch_add_explicit(&r->inner_done, 1, memory_order_release);
		return;
	}
	item -= r->blocks_inner;
	int column = item / r->items_block * DOT_COLS, n = min_int(DOT_COLS, r->cols - column);
	int product = 0;
	for (item %= r->items_block; item >= r->items[product]; product++)
		item -= r->items[product];
	const struct product *p = &r->p[product];
	int row = item * r->rows_item[product];
	int rows = min_int(r->rows_item[product], p->m->rows - row);

	product_block(r, product, row, rows, column, n);
	if (!r->gated)
		return;
	product_block(r, 1, row, rows, column, n);
	for (int c = column; c < column + n; c++)
		r->b->kernels->silu_mul(p->y + (size_t)c * p->ldy + row,
		                        r->p[1].y + (size_t)c * r->p[1].ldy + row, rows);
}

static void region_run(struct region *r, struct cpu *b, const struct cpu_layer *layer, int cols)
{
	struct cpu_work *w = b->work;
	r->b = b;
	r->cols = cols;
	r->unit = w->unit;
	size_t used = 0;
	int layer_number = layer ? (int)(layer - b->layer) : 0;
	for (int s = 0; layer && s < w->n_lora; s++)
		for (int product = 0; product < r->n_products; product++)
			for (int i = 0; i < w->lora[s].mix->n; i++) {
				const struct lora_mix *mix = w->lora[s].mix;
				const struct cpu_adapter *a = &b->adapter[mix->part[i].adapter - 1];
				const struct cpu_part *part =
					&a->part[layer_number][r->p[product].module];
				if (part->a.kind == MAT_NONE)
					continue;
				size_t ldt = row_pad((size_t)part->a.rows);
				r->unit[r->n_units++] = (struct lora_unit){
					.product = product,
					.column = w->lora[s].column,
					.n = w->lora[s].n,
					.part = part,
					.scale = mix->part[i].weight * part->scale,
					.t = w->inner + used,
					.ldt = ldt,
				};
				used += ldt * (size_t)w->lora[s].n;
				r->blocks_inner += (w->lora[s].n + DOT_COLS - 1) / DOT_COLS;
			}
	memset(w->inner, 0, used * sizeof *w->inner); /* beyond the ranks */

	const int tile = b->kernels->rows;
	const int blocks = (cols + DOT_COLS - 1) / DOT_COLS;
	const int products = r->gated ? 1 : r->n_products;
	int rows_all = 0;
	for (int i = 0; i < products; i++)
		rows_all += r->p[i].m->rows;
	/* enough items that threads end together */
	int most = rows_all * blocks / (4 * pool_threads(b->pool));
	for (int i = 0; i < products; i++) {
		const struct mat *m = r->p[i].m;
		size_t row_bytes = mat_row_bytes(m) * (r->gated ? 2 : 1);
		int rows = cols > FEW_COLS ? ITEM_ROWS : (int)(ITEM_BYTES / row_bytes);
		rows = min_int(rows, most) / tile * tile;
		r->rows_item[i] = rows < tile ? tile : rows;
		r->items[i] = (m->rows + r->rows_item[i] - 1) / r->rows_item[i];
		r->items_block += r->items[i];
	}
	pool_run(b->pool, region_item, r, r->blocks_inner + r->items_block * blocks);
}

/* ---- norms ---- */

struct norms {
	struct cpu *b;
	const float *x, *weight;
	float *y;
	size_t ld;
	int cols;
};

static void norms_item(void *arg, int item, int thread)
{
	struct norms *a = arg;
	(void)thread;
	int to = min_int((item + 1) * NORM_COLS, a->cols);
	for (int c = item * NORM_COLS; c < to; c++)
		a->b->kernels->rms(a->y + (size_t)c * a->ld, a->x + (size_t)c * a->ld, a->weight,
		                   (float)a->b->c.norm_eps, a->b->c.hidden);
}

/* N(x; w) of every column. */
static const float *norm(struct cpu *b, const float *weight, int cols)
{
	struct cpu_work *w = b->work;
	struct norms a = { b, w->x, weight, w->normed, w->ld_h, cols };
	pool_run(b->pool, norms_item, &a, (cols + NORM_COLS - 1) / NORM_COLS);
	return w->normed;
}

/* ---- gated DeltaNet ---- */

struct mixer {
	struct cpu *b;
	const struct cpu_layer *layer;
	const struct cpu_span *span;
	int n_spans;
	int block, cols; /* of attention */
};

static float softplus(float x)
{
	return x > 20 ? x : log1pf(expf(x));
}

/* What a window's item must be able to undo: the state before it and, of the convolution, what
 * comes in. */
static void undo_note(struct cpu *b, const struct cpu_layer *l, const struct cpu_span *span,
                      const float *u, const int *from, const int *n, int head, int heads)
{
	const struct model_config *c = &b->c;
	struct cpu_slot *s = &b->slot[span->slot];
	size_t head_floats = (size_t)c->key_dim * b->ld_value;
	memcpy(cpu_recurrent(b, s->undo.state, l->index) + (size_t)head * head_floats,
	       cpu_recurrent(b, s->state, l->index) + (size_t)head * head_floats,
	       (size_t)heads * head_floats * sizeof(float));
	float *note = s->undo.u + (size_t)l->index * BACKEND_WINDOW_MAX * b->ld_channels;
	for (int part = 0; part < 3; part++) {
		for (int j = 0; j < c->conv - 1; j++) {
			size_t at = (size_t)j * b->ld_channels + (size_t)from[part];
			memcpy(cpu_window(b, s->undo.state, l->index) + at,
			       cpu_window(b, s->state, l->index) + at,
			       (size_t)n[part] * sizeof(float));
		}
		for (int t = 0; t < span->n; t++)
			memcpy(note + (size_t)t * b->ld_channels + from[part],
			       u + (size_t)t * b->work->ld_in + from[part],
			       (size_t)n[part] * sizeof(float));
	}
}

/* One key head of one span, and the value heads that use it. */
static void delta_item(void *arg, int item, int thread)
{
	const struct mixer *mx = arg;
	struct cpu *b = mx->b;
	const struct kernels *kn = b->kernels;
	const struct model_config *c = &b->c;
	const struct cpu_layer *l = mx->layer;
	struct cpu_work *w = b->work;

	const struct cpu_span *span = &mx->span[item / c->key_heads];
	struct cpu_slot *s = &b->slot[span->slot];
	const int key_head = item % c->key_heads, group = c->value_heads / c->key_heads;
	const int dk = c->key_dim, dv = c->value_dim, head = key_head * group, T = span->n;
	/* its channels of u: q, k, v */
	const int from[3] = { key_head * dk, (c->key_heads + key_head) * dk,
		              2 * c->key_heads * dk + head * dv };
	const int n[3] = { dk, dk, group * dv };
	float *u = w->in + (size_t)span->column * w->ld_in;

	if (span->window)
		undo_note(b, l, span, u, from, n, head, group);

	/* c_t = silu(sum_j w[j] u_{t-(K-1)+j}) */
	float *window = cpu_window(b, s->state, l->index);
	for (int part = 0; part < 3; part++)
		kn->conv(u + from[part], w->ld_in, T, n[part], l->conv + from[part],
		         window + from[part], b->ld_channels, c->conv);

	/* q / |q| / sqrt(dk), k / |k| */
	for (int t = 0; t < T; t++) {
		float *ut = u + (size_t)t * w->ld_in;
		kn->unit(ut + from[0], 1.0f / sqrtf((float)dk), 1e-6f, dk);
		kn->unit(ut + from[1], 1.0f, 1e-6f, dk);
	}

	for (int j = head; j < head + group; j++) {
		const size_t at = (size_t)span->column * w->ld_small + (size_t)j;
		for (int t = 0; t < T; t++) {
			size_t i = at + (size_t)t * w->ld_small;
			/* g = -exp(A_log) softplus(a + dt_bias); beta = sigmoid(b) */
			w->decay[i] = expf(l->minus_a[j] * softplus(w->a[i] + l->dt_bias[j]));
			w->beta[i] = 1.0f / (1.0f + expf(-w->b[i]));
		}
		float *core = w->core + (size_t)span->column * w->ld_o + (size_t)j * b->ld_value;
		float *d = NULL;
		const size_t ldd = (size_t)c->value_heads * b->ld_value;
		if (span->window)
			d = s->undo.d + (size_t)l->index * BACKEND_WINDOW_MAX * ldd +
			    (size_t)j * b->ld_value;
		kn->delta(cpu_recurrent(b, s->state, l->index) +
		                  (size_t)j * (size_t)dk * b->ld_value,
		          dk, (int)b->ld_value, T, u + from[1], u + from[0],
		          u + from[2] + (j - head) * dv, w->ld_in, w->decay + at, w->beta + at,
		          w->ld_small, core, w->ld_o, d, ldd);

		/* [o / rms(o) w] silu(z) */
		for (int t = 0; t < T; t++) {
			float *o = core + (size_t)t * w->ld_o;
			float *normed = w->scratch + (size_t)thread * w->scratch_floats;
			float *z = w->mixed + (size_t)(span->column + t) * w->ld_mixed + j * dv;
			kn->rms(normed, o, l->norm, (float)c->norm_eps, dv);
			kn->silu_mul(z, normed, dv);
		}
	}
	if (!span->window)
		return;
	for (int t = 0; t < T; t++) {
		size_t row = (size_t)l->index * BACKEND_WINDOW_MAX + (size_t)t;
		memcpy(s->undo.k + (row * (size_t)c->key_heads + (size_t)key_head) * b->ld_key,
		       u + (size_t)t * w->ld_in + from[1], (size_t)dk * sizeof(float));
		for (int j = head; j < head + group; j++)
			s->undo.decay[row * (size_t)c->value_heads + (size_t)j] =
				w->decay[(size_t)(span->column + t) * w->ld_small + (size_t)j];
	}
}

/* ---- gated attention ---- */

/* Norm and rotation of a column's queries and keys; keys and values go to their page. */
static void prepare_column(struct cpu *b, const struct cpu_layer *l, const struct cpu_span *span,
                           int t)
{
	const struct model_config *c = &b->c;
	const struct kernels *kn = b->kernels;
	struct cpu_work *w = b->work;
	const size_t column = (size_t)(span->column + t);
	const int position = span->position + t, half = c->rotary / 2;
	const float *cosine = w->cos + column * (size_t)half;
	const float *sine = w->sin + column * (size_t)half;
	const int32_t page = b->slot[span->slot].page[position / CPU_PAGE];
	const size_t row = (size_t)(position % CPU_PAGE) * b->hd_pad;

	for (int j = 0; j < c->heads + c->kv_heads; j++) {
		const bool key = j >= c->heads;
		const int kv = j - c->heads;
		float *u = key ? w->k + column * w->ld_kv + kv * c->head_dim
		               : w->in + column * w->ld_in + (size_t)j * 2 * c->head_dim;
		kn->rms(u, u, key ? l->k_norm : l->q_norm, (float)c->norm_eps, c->head_dim);
		for (int i = 0; i < half; i++) {
			float p = u[i], q = u[i + half];
			u[i] = p * cosine[i] - q * sine[i];
			u[i + half] = q * cosine[i] + p * sine[i];
		}
		if (!key)
			continue;
		memcpy(cpu_page(b, page, l->index, kv, 0) + row, u,
		       (size_t)c->head_dim * sizeof(float));
		memcpy(cpu_page(b, page, l->index, kv, 1) + row,
		       w->v + column * w->ld_kv + kv * c->head_dim,
		       (size_t)c->head_dim * sizeof(float));
	}
}

static void prepare_item(void *arg, int item, int thread)
{
	const struct mixer *m = arg;
	(void)thread;
	int from = item * FEW_COLS, to = min_int(from + FEW_COLS, m->cols);
	for (int s = 0; s < m->n_spans; s++) {
		const struct cpu_span *span = &m->span[s];
		for (int t = from > span->column ? from - span->column : 0;
		     t < span->n && span->column + t < to; t++)
			prepare_column(m->b, m->layer, span, t);
	}
}

/* Some queries of one span against one kv head: queries are numbered token by token, and within
 * one by the heads of the group. */
static void attend_item(void *arg, int item, int thread)
{
	const struct mixer *m = arg;
	struct cpu *b = m->b;
	const struct kernels *kn = b->kernels;
	const struct model_config *c = &b->c;
	struct cpu_work *w = b->work;
	const struct cpu_span *span = m->span;
	const int group = c->heads / c->kv_heads;
	int blocks;
	for (;; span++) {
		blocks = (span->n * group + m->block - 1) / m->block;
		if (item < blocks * c->kv_heads)
			break;
		item -= blocks * c->kv_heads;
	}
	const int kv = item / blocks, first = item % blocks * m->block;
	const int n = min_int(m->block, span->n * group - first);
	const struct cpu_slot *s = &b->slot[span->slot];
	const float scale = 1.0f / sqrtf((float)c->head_dim);

	float *scores = w->scratch + (size_t)thread * w->scratch_floats;
	float *queries = scores + CPU_ATTEND_COLS * w->ld_scores;
	float *values = queries + CPU_ATTEND_COLS * b->hd_pad;
	float *value[CPU_ATTEND_COLS];
	int seen[CPU_ATTEND_COLS], some[CPU_ATTEND_COLS], most = 0;

	for (int i = 0; i < n; i++) {
		int t = (first + i) / group, head = kv * group + (first + i) % group;
		const float *q = w->in + (size_t)(span->column + t) * w->ld_in +
		                 (size_t)head * 2 * c->head_dim;
		for (int j = 0; j < c->head_dim; j++)
			queries[(size_t)i * b->hd_pad + (size_t)j] = q[j] * scale;
		for (size_t j = (size_t)c->head_dim; j < b->hd_pad; j++)
			queries[(size_t)i * b->hd_pad + j] = 0;
		value[i] = values + (size_t)i * b->hd_pad;
		memset(value[i], 0, b->hd_pad * sizeof(float));
		seen[i] = span->position + t + 1;
		most = seen[i] > most ? seen[i] : most;
	}

	for (int p = 0; p * CPU_PAGE < most; p++) {
		struct mat keys = { .kind = MAT_F32,
			            .data = cpu_page(b, s->page[p], m->layer->index, kv, 0),
			            .rows = min_int(CPU_PAGE, most - p * CPU_PAGE),
			            .cols = (int)b->hd_pad };
		kn->dot(&keys, 0, keys.rows, queries, b->hd_pad, n, scores + p * CPU_PAGE,
		        w->ld_scores, 1, false);
	}
	float sum[CPU_ATTEND_COLS];
	for (int i = 0; i < n; i++)
		sum[i] = kn->softmax(scores + (size_t)i * w->ld_scores, seen[i]);
	for (int p = 0; p * CPU_PAGE < most; p++) {
		for (int i = 0; i < n; i++) {
			some[i] = min_int(CPU_PAGE, seen[i] - p * CPU_PAGE);
			some[i] = some[i] < 0 ? 0 : some[i];
		}
		kn->weigh(value, scores + p * CPU_PAGE, w->ld_scores, some, n,
		          cpu_page(b, s->page[p], m->layer->index, kv, 1), b->hd_pad,
		          (int)b->hd_pad);
	}
	for (int i = 0; i < n; i++) {
		int t = (first + i) / group, head = kv * group + (first + i) % group;
		const float *gate = w->in + (size_t)(span->column + t) * w->ld_in +
		                    ((size_t)head * 2 + 1) * (size_t)c->head_dim;
		float *o = w->attended + (size_t)(span->column + t) * w->ld_attended +
		           (size_t)head * (size_t)c->head_dim;
		for (int j = 0; j < c->head_dim; j++)
			o[j] = value[i][j] / sum[i];
		kn->sigmoid_mul(o, gate, c->head_dim);
	}
}

/* ---- layers ---- */

static void delta_layer(struct cpu *b, const struct cpu_layer *l, struct mixer *m, const float *x)
{
	const struct model_config *c = &b->c;
	struct cpu_work *w = b->work;
	const int number = (int)(l - b->layer), cols = m->cols;

	struct region r = { 0 };
	region_add(&r, &l->linear[MODULE_QKV], MODULE_QKV, x, w->ld_h, w->in, w->ld_in, false);
	region_add(&r, &l->linear[MODULE_Z], MODULE_Z, x, w->ld_h, w->mixed, w->ld_mixed, false);
	region_add(&r, &l->linear[MODULE_A], MODULE_A, x, w->ld_h, w->a, w->ld_small, false);
	region_add(&r, &l->linear[MODULE_B], MODULE_B, x, w->ld_h, w->b, w->ld_small, false);
	region_run(&r, b, l, cols);
	trace(b, number, "linear_attn.in_proj_qkv", w->in, w->ld_in, cols, config_channels(c));
	trace(b, number, "linear_attn.in_proj_z", w->mixed, w->ld_mixed, cols,
	      c->value_heads * c->value_dim);
	trace(b, number, "linear_attn.in_proj_a", w->a, w->ld_small, cols, c->value_heads);
	trace(b, number, "linear_attn.in_proj_b", w->b, w->ld_small, cols, c->value_heads);

	pool_run(b->pool, delta_item, m, m->n_spans * c->key_heads);
	trace(b, number, "linear_attn.conv_v", w->in + 2 * c->key_heads * c->key_dim, w->ld_in,
	      cols, c->value_heads * c->value_dim);
	trace(b, number, "linear_attn.beta", w->beta, w->ld_small, cols, c->value_heads);
	for (int j = 0; b->trace && j < c->value_heads; j++) {
		char name[64];
		snprintf(name, sizeof name, "linear_attn.core_out[%d]", j);
		trace(b, number, name, w->core + (size_t)j * b->ld_value, w->ld_o, cols,
		      c->value_dim);
	}
	trace(b, number, "linear_attn.gated_norm_out", w->mixed, w->ld_mixed, cols,
	      c->value_heads * c->value_dim);

	r = (struct region){ 0 };
	region_add(&r, &l->linear[MODULE_OUT], MODULE_OUT, w->mixed, w->ld_mixed, w->x, w->ld_h,
	           true);
	region_run(&r, b, l, cols);
}

static void attention_layer(struct cpu *b, const struct cpu_layer *l, struct mixer *m,
                            const float *x)
{
	const struct model_config *c = &b->c;
	struct cpu_work *w = b->work;
	const int number = (int)(l - b->layer), cols = m->cols;

	struct region r = { 0 };
	region_add(&r, &l->linear[MODULE_Q], MODULE_Q, x, w->ld_h, w->in, w->ld_in, false);
	region_add(&r, &l->linear[MODULE_K], MODULE_K, x, w->ld_h, w->k, w->ld_kv, false);
	region_add(&r, &l->linear[MODULE_V], MODULE_V, x, w->ld_h, w->v, w->ld_kv, false);
	region_run(&r, b, l, cols);
	trace(b, number, "self_attn.q_proj", w->in, w->ld_in, cols, 2 * c->heads * c->head_dim);
	trace(b, number, "self_attn.k_proj", w->k, w->ld_kv, cols, c->kv_heads * c->head_dim);
	trace(b, number, "self_attn.v_proj", w->v, w->ld_kv, cols, c->kv_heads * c->head_dim);

	pool_run(b->pool, prepare_item, m, (cols + FEW_COLS - 1) / FEW_COLS);
	for (int j = 0; b->trace && j < c->heads + c->kv_heads; j++) {
		char name[64];
		bool key = j >= c->heads;
		snprintf(name, sizeof name, "self_attn.%c_rope[%d]", key ? 'k' : 'q',
		         key ? j - c->heads : j);
		trace(b, number, name,
		      key ? w->k + (j - c->heads) * c->head_dim : w->in + j * 2 * c->head_dim,
		      key ? w->ld_kv : w->ld_in, cols, c->head_dim);
	}

	/* as many queries together as share keys, but something for every thread */
	const int group = c->heads / c->kv_heads, threads = pool_threads(b->pool);
	int queries = cols * group;
	int wanted = (threads + c->kv_heads - 1) / c->kv_heads;
	m->block = min_int((queries + wanted - 1) / wanted, CPU_ATTEND_COLS);
	int items = 0;
	for (int s = 0; s < m->n_spans; s++)
		items += (m->span[s].n * group + m->block - 1) / m->block * c->kv_heads;
	pool_run(b->pool, attend_item, m, items);
	trace(b, number, "self_attn.gated_attn_out", w->attended, w->ld_attended, cols,
	      c->heads * c->head_dim);

	r = (struct region){ 0 };
	region_add(&r, &l->linear[MODULE_O], MODULE_O, w->attended, w->ld_attended, w->x, w->ld_h,
	           true);
	region_run(&r, b, l, cols);
}

/* x += down(silu(gate x) * up x) */
static void mlp(struct cpu *b, const struct cpu_layer *l, const float *x, int cols)
{
	struct cpu_work *w = b->work;
	struct region r = { .gated = true };
	region_add(&r, &l->linear[MODULE_GATE], MODULE_GATE, x, w->ld_h, w->gate, w->ld_mlp, false);
	region_add(&r, &l->linear[MODULE_UP], MODULE_UP, x, w->ld_h, w->up, w->ld_mlp, false);
	region_run(&r, b, l, cols);
	r = (struct region){ 0 };
	region_add(&r, &l->linear[MODULE_DOWN], MODULE_DOWN, w->gate, w->ld_mlp, w->x, w->ld_h,
	           true);
	region_run(&r, b, l, cols);
}

static void lora_spans(struct cpu_work *w, const struct cpu_span *span, int n_spans)
{
	w->n_lora = 0;
	for (int i = 0; i < n_spans; i++) {
		struct lora_span *last = w->n_lora ? &w->lora[w->n_lora - 1] : NULL;
		if (span[i].mix->n == 0)
			continue;
		if (last && last->column + last->n == span[i].column &&
		    lora_mix_equal(last->mix, span[i].mix))
			last->n += span[i].n;
		else
			w->lora[w->n_lora++] =
				(struct lora_span){ span[i].column, span[i].n, span[i].mix };
	}
}

void cpu_forward(struct cpu *b, const struct cpu_span *span, int n_spans, const int32_t *ids)
{
	const struct model_config *c = &b->c;
	struct cpu_work *w = b->work;
	const int cols = span[n_spans - 1].column + span[n_spans - 1].n, half = c->rotary / 2;
	struct mixer m = { .b = b, .span = span, .n_spans = n_spans, .cols = cols };

	lora_spans(w, span, n_spans);
	for (int s = 0; s < n_spans; s++) {
		if (span[s].window) {
			struct cpu_undo *undo = &b->slot[span[s].slot].undo;
			undo->n = span[s].n;
			undo->position = span[s].position;
		}
		for (int t = 0; t < span[s].n; t++) {
			size_t column = (size_t)(span[s].column + t);
			/* angles in F32, as the model was trained */
			for (int i = 0; i < half; i++) {
				float angle =
					(float)(span[s].position + t) * b->inverse_frequency[i];
				w->cos[column * (size_t)half + (size_t)i] = cosf(angle);
				w->sin[column * (size_t)half + (size_t)i] = sinf(angle);
			}
		}
	}
	for (int i = 0; i < cols; i++)
		tensor_read(b->model->embedding, (uint64_t)ids[i] * (uint64_t)c->hidden,
		            (uint64_t)c->hidden, w->x + (size_t)i * w->ld_h);

	for (int i = 0; i < c->layers; i++) {
		const struct cpu_layer *l = &b->layer[i];
		const float *x = norm(b, l->input_norm, cols);
		trace(b, i, "input_layernorm", x, w->ld_h, cols, c->hidden);
		m.layer = l;
		if (l->kind == LAYER_DELTA)
			delta_layer(b, l, &m, x);
		else
			attention_layer(b, l, &m, x);
		x = norm(b, l->post_norm, cols);
		trace(b, i, "post_attention_layernorm", x, w->ld_h, cols, c->hidden);
		mlp(b, l, x, cols);
		trace(b, i, "residual_out", w->x, w->ld_h, cols, c->hidden);
	}
}

const float *cpu_head(struct cpu *b, const int *column, int n)
{
	struct cpu_work *w = b->work;
	for (int i = 0; i < n; i++)
		b->kernels->rms(w->last + (size_t)i * w->ld_h, w->x + (size_t)column[i] * w->ld_h,
		                b->final_norm, (float)b->c.norm_eps, b->c.hidden);
	struct region r = { 0 };
	region_add(&r, &b->head, MODULE_COUNT, w->last, w->ld_h, w->logits, (size_t)b->c.vocabulary,
	           false);
	region_run(&r, b, NULL, n);
	return w->logits;
}

/* ---- windows cut back ---- */

struct rewinding {
	struct cpu *b;
	struct cpu_slot *s;
	int n;
};

/* One value head of one layer; its first, also the convolution's window. */
static void rewind_item(void *arg, int item, int thread)
{
	struct rewinding *a = arg;
	struct cpu *b = a->b;
	const struct model_config *c = &b->c;
	const struct cpu_undo *undo = &a->s->undo;
	const int l = item / c->value_heads, j = item % c->value_heads;
	const int key_head = j / (c->value_heads / c->key_heads), past = c->conv - 1;
	const size_t head_floats = (size_t)c->key_dim * b->ld_value;
	(void)thread;

	float *state = cpu_recurrent(b, a->s->state, l) + (size_t)j * head_floats;
	memcpy(state, cpu_recurrent(b, undo->state, l) + (size_t)j * head_floats,
	       head_floats * sizeof(float));
	for (int t = 0; t < a->n; t++) {
		size_t row = (size_t)l * BACKEND_WINDOW_MAX + (size_t)t;
		size_t value_row = row * (size_t)c->value_heads + (size_t)j;
		b->kernels->delta_again(state, c->key_dim, (int)b->ld_value,
		                        undo->k + (row * (size_t)c->key_heads + (size_t)key_head) *
		                                          b->ld_key,
		                        undo->d + value_row * b->ld_value, undo->decay[value_row]);
	}
	/* the last K-1 of what was before the window and what it took in */
	for (int i = 0; j == 0 && i < past; i++) {
		int from = a->n + i;
		const float *u =
			from < past ? cpu_window(b, undo->state, l) + (size_t)from * b->ld_channels
				    : undo->u + ((size_t)l * BACKEND_WINDOW_MAX +
		                                 (size_t)(from - past)) *
							b->ld_channels;
		memcpy(cpu_window(b, a->s->state, l) + (size_t)i * b->ld_channels, u,
		       b->ld_channels * sizeof(float));
	}
}

void cpu_rewind(struct cpu *b, struct cpu_slot *s, int n)
{
	struct rewinding a = { b, s, n };
	pool_run(b->pool, rewind_item, &a, b->c.n_delta * b->c.value_heads);
}

/* ---- room ---- */

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Rows of 4 KiB and its multiples would all begin on the same lines of the cache. */
static size_t stride(int n)
{
	return row_pad((size_t)n) + ROW_PAD;
}

/* 64-byte aligned, zero; NULL when there is none. Big ones are only mapped until they are used. */
static float *floats(size_t n)
{
	void *base = calloc(n + 32, sizeof(float));
	if (!base)
		return NULL;
	char *at = (char *)(((uintptr_t)base + 64 + 63) / 64 * 64);
	((void **)at)[-1] = base;
	return (float *)at;
}

static void floats_free(float *p)
{
	if (p)
		free(((void **)p)[-1]);
}

int cpu_work_open(struct cpu *b, struct err *e)
{
	const struct model_config *c = &b->c;
	struct cpu_work *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(e, ERR_MEM, "no memory for a forward pass");
	b->work = w;
	const int channels = config_channels(c);
	w->ld_h = stride(c->hidden);
	w->ld_in = max_size(stride(channels), stride(2 * c->heads * c->head_dim));
	w->ld_small = stride(c->value_heads);
	w->ld_kv = stride(c->kv_heads * c->head_dim);
	w->ld_mixed = stride(c->value_heads * c->value_dim);
	w->ld_attended = stride(c->heads * c->head_dim);
	w->ld_mlp = stride(c->mlp);
	w->ld_o = (size_t)c->value_heads * b->ld_value + ROW_PAD;
	w->ld_scores = row_pad((size_t)b->pages_max * CPU_PAGE) + ROW_PAD;
	w->scratch_floats =
		max_size(CPU_ATTEND_COLS * (w->ld_scores + 2 * b->hd_pad), b->ld_value + ROW_PAD);
	const struct {
		float **at;
		size_t rows, floats;
	} want[] = {
		{ &w->x, CPU_COLS, w->ld_h },
		{ &w->normed, CPU_COLS, w->ld_h },
		{ &w->in, CPU_COLS, w->ld_in },
		{ &w->k, CPU_COLS, w->ld_kv },
		{ &w->v, CPU_COLS, w->ld_kv },
		{ &w->a, CPU_COLS, w->ld_small },
		{ &w->b, CPU_COLS, w->ld_small },
		{ &w->decay, CPU_COLS, w->ld_small },
		{ &w->beta, CPU_COLS, w->ld_small },
		{ &w->core, CPU_COLS, w->ld_o },
		{ &w->mixed, CPU_COLS, w->ld_mixed },
		{ &w->attended, CPU_COLS, w->ld_attended },
		{ &w->gate, CPU_COLS, w->ld_mlp },
		{ &w->up, CPU_COLS, w->ld_mlp },
		{ &w->cos, CPU_COLS, (size_t)c->rotary / 2 + 1 },
		{ &w->sin, CPU_COLS, (size_t)c->rotary / 2 + 1 },
		{ &w->scratch, (size_t)pool_threads(b->pool), w->scratch_floats },
		{ &w->last, CPU_HEAD_ROWS, w->ld_h },
		{ &w->inner, 1, ROW_PAD },
	};
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		*want[i].at = floats(want[i].rows * want[i].floats);
		if (!*want[i].at)
			return err_set(e, ERR_MEM,
			               "no memory for a forward pass: %zu MiB more wanted",
			               want[i].rows * want[i].floats * sizeof(float) >> 20);
	}
	return cpu_head_reserve(b, 1, e);
}

void cpu_work_close(struct cpu *b)
{
	struct cpu_work *w = b->work;
	if (!w)
		return;
	float *all[] = { w->x,     w->normed, w->in,      w->k,     w->v,        w->a,    w->b,
		         w->decay, w->beta,   w->core,    w->mixed, w->attended, w->gate, w->up,
		         w->cos,   w->sin,    w->scratch, w->last,  w->logits,   w->inner };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		floats_free(all[i]);
	free(w->lora);
	free(w->unit);
	free(w);
	b->work = NULL;
}

int cpu_head_reserve(struct cpu *b, int rows, struct err *e)
{
	struct cpu_work *w = b->work;
	rows = min_int(rows, CPU_HEAD_ROWS);
	if (rows <= w->head_rows)
		return 0;
	float *logits = floats((size_t)rows * (size_t)b->c.vocabulary);
	if (!logits)
		return err_set(e, ERR_MEM, "no memory for %d rows of %d logits", rows,
		               b->c.vocabulary);
	floats_free(w->logits);
	w->logits = logits;
	w->head_rows = rows;
	return 0;
}

int cpu_work_reserve(struct cpu *b, const struct cpu_span *span, int n_spans, struct err *e)
{
	struct cpu_work *w = b->work;
	if (n_spans > w->lora_cap) {
		struct lora_span *more = realloc(w->lora, (size_t)n_spans * sizeof *more);
		if (!more)
			return err_set(e, ERR_MEM, "no memory for the adapters of %d runs",
			               n_spans);
		w->lora = more;
		w->lora_cap = n_spans;
	}
	size_t units = 0, inner = 0;
	for (int i = 0; i < n_spans; i++) {
		const struct lora_mix *mix = span[i].mix;
		units += (size_t)mix->n * PRODUCTS_MAX;
		for (int j = 0; j < mix->n; j++)
			inner += (size_t)span[i].n * PRODUCTS_MAX *
			         row_pad((size_t)b->adapter[mix->part[j].adapter - 1].rank_max);
	}
	if (units > (size_t)w->unit_cap) {
		struct lora_unit *more = realloc(w->unit, units * sizeof *more);
		if (!more)
			return err_set(e, ERR_MEM, "no memory for the adapters of %d runs",
			               n_spans);
		w->unit = more;
		w->unit_cap = (int)units;
	}
	if (inner > w->inner_cap) {
		float *more = floats(inner);
		if (!more)
			return err_set(e, ERR_MEM, "no memory for the adapters of %d runs",
			               n_spans);
		floats_free(w->inner);
		w->inner = more;
		w->inner_cap = inner;
	}
	return 0;
}
