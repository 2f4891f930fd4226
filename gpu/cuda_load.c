/*
 * What the CUDA backend keeps on the device, and how it gets there: one arena, laid out twice by
 * the same function (first for its size, then for its addresses), weights stacked per stage as the
 * kernels stream them and cuBLASLt reads them, adapters beside them.
 */
#include "gpu/cuda_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/k_prefill.h"
#include "gpu/random_weight.h"

/* ---- sizes ---- */

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static int lacks(struct err *e, const char *field, int got, int most)
{
	return err_set(e, ERR_LACKS,
	               "the CUDA backend takes models with %s up to %d; this one has %d: run it on "
	               "the CPU",
	               field, most, got);
}

int cuda_size(struct cuda *b, const struct model *m, const struct backend_options *o, struct err *e)
{
	const struct model_config *c = &m->config;
	if (o->dtype == BACKEND_INT8)
		return err_set(e, ERR_LACKS,
		               "the CUDA backend has no int8 weights; bf16, or f32 for x as high + "
		               "low parts");
	if (c->n_attention && c->head_dim > K_HEAD_DIM)
		return lacks(e, "head_dim", c->head_dim, K_HEAD_DIM);
	if (c->n_delta && c->key_dim > PREFILL_KEY_MAX)
		return lacks(e, "linear_key_head_dim", c->key_dim, PREFILL_KEY_MAX);
	if (c->n_delta && c->conv > K_CONV)
		return lacks(e, "linear_conv_kernel_dim", c->conv, K_CONV);
	b->model = m;
	b->precise = o->precise || o->dtype == BACKEND_F32;
	b->slots = o->slots > 0 ? o->slots : 64;
	int most = c->context < 32768 ? c->context : 32768;
	b->context = o->context > 0 ? o->context : most;
	if (b->context > c->context)
		return err_set(e, ERR_USAGE,
		               "a context of %d tokens was asked for; the model has %d", b->context,
		               c->context);
	b->pages_of_context = (b->context + K_PAGE - 1) / K_PAGE;
	int q = 2 * c->heads * c->head_dim + 2 * c->kv_heads * c->head_dim;
	b->h = c->hidden;
	b->ld_h = (int)up_to((uint64_t)c->hidden, 32);
	b->channels = config_channels(c);
	b->width = (int)up_to((uint64_t)(b->channels + 2 * c->value_heads), 4);
	b->z_width = c->value_heads * c->value_dim;
	b->ld_v = (int)up_to((uint64_t)c->vocabulary, 4);
	b->ld_z = (int)up_to((uint64_t)b->z_width, 4);
	b->ld_o = b->ld_z;
	b->mlp_rows = (int)up_to((uint64_t)c->mlp, 8);
	b->ld_m = (int)up_to((uint64_t)c->mlp, 32);
	b->ld_ao = (int)up_to((uint64_t)c->heads * c->head_dim, 32);
	b->ld_in = max_int(2 * b->mlp_rows, max_int(c->n_attention ? q : 0,
	                                            b->channels + 2 * c->value_heads + b->z_width));
	b->ld_in = (int)up_to((uint64_t)b->ld_in, 16);
	b->ld_act = max_int(max_int(b->ld_h, b->ld_m),
	                    max_int(b->ld_ao, (int)up_to((uint64_t)b->z_width, 32)));
	b->dkp = (int)up_to((uint64_t)c->key_dim, 4);
	b->hdp = (int)up_to((uint64_t)c->head_dim, 8);
	b->t_rows = RANKS_MAX;
	b->state_values = (uint64_t)c->n_delta * c->value_heads * c->value_dim * b->dkp;
	b->ring_values = (uint64_t)c->n_delta * RING_ROWS * b->width;
	b->page_bytes = (uint64_t)c->kv_heads * K_PAGE * b->hdp * (b->precise ? 4 : 2);
	return 0;
}

/* ---- layout ---- */

struct cursor {
	char *base;
	uint64_t at;
};

static void *part(struct cursor *c, uint64_t bytes)
{
	void *p = c->base ? c->base + c->at : NULL;
	c->at += up_to(bytes, 256);
	return p;
}

/* Low parts are there for weights that a bf16 cannot hold, when precision is asked for. */
static bool wants_low(const struct cuda *b, const struct tensor *const *t, int n)
{
	for (int i = 0; i < n; i++)
		if (t[i] && t[i]->dtype != DTYPE_BF16)
			return b->precise;
	return false;
}

static struct k_matrix matrix(struct cursor *c, int rows, int k, bool low)
{
	struct k_matrix w = { .rows = rows, .k = k, .ld = (int32_t)up_to((uint64_t)k, 32) };
	uint64_t bytes = up_to((uint64_t)rows, 16) * (uint64_t)w.ld * 2;
	w.high = part(c, bytes);
	if (low)
		w.low = part(c, bytes);
	return w;
}

static struct k_act act(struct cursor *c, int columns, int ld, bool low)
{
	struct k_act a = { .ld = ld };
	a.high = part(c, (uint64_t)columns * ld * 2);
	a.low = low ? part(c, (uint64_t)columns * ld * 2) : NULL;
	return a;
}

static float *floats(struct cursor *c, uint64_t n)
{
	return part(c, n * sizeof(float));
}

/* The modules of a stage in the order they are stacked, and the first row of each. */
static int stacked(const struct cuda *b, int l, enum stage stage, enum module module[4], int row[4])
{
	static const enum module of[2][STAGE_COUNT][4] = {
		[LAYER_DELTA] = { { MODULE_QKV, MODULE_A, MODULE_B, MODULE_Z },
		                  { MODULE_OUT },
		                  { MODULE_GATE, MODULE_UP },
		                  { MODULE_DOWN } },
		[LAYER_ATTENTION] = { { MODULE_Q, MODULE_K, MODULE_V },
		                      { MODULE_O },
		                      { MODULE_GATE, MODULE_UP },
		                      { MODULE_DOWN } },
	};
	const struct model_config *c = &b->model->config;
	int n = stage == STAGE_IN ? (c->kind[l] == LAYER_DELTA ? 4 : 3)
	                          : (stage == STAGE_GATE_UP ? 2 : 1);
	for (int i = 0, at = 0; i < n; i++) {
		int out, in;
		module[i] = of[c->kind[l]][stage][i];
		module_shape(c, l, module[i], &out, &in);
		row[i] = at;
		at += stage == STAGE_GATE_UP ? b->mlp_rows : out;
	}
	return n;
}

static void layout_weights(struct cuda *b, struct cursor *c)
{
	const struct model *m = b->model;
	const struct model_config *f = &m->config;
	b->embedding = matrix(c, f->vocabulary, b->h, wants_low(b, &m->embedding, 1));
	b->head = m->head == m->embedding
	                  ? b->embedding
	                  : matrix(c, f->vocabulary, b->h, wants_low(b, &m->head, 1));
	b->final_norm = floats(c, (uint64_t)b->h);
	int index[2] = { 0, 0 };
	for (int l = 0; l < f->layers; l++) {
		struct cuda_layer *w = &b->layer[l];
		w->index = index[f->kind[l]]++;
		for (enum stage s = 0; s < STAGE_COUNT; s++) {
			enum module module[4];
			const struct tensor *t[4];
			int row[4], out = 0, in = 0, n = stacked(b, l, s, module, row);
			for (int i = 0; i < n; i++) {
				t[i] = m->layer[l].linear[module[i]];
				module_shape(f, l, module[i], &out, &in);
			}
			int rows = s == STAGE_GATE_UP ? 2 * b->mlp_rows : row[n - 1] + out;
			w->w[s] = matrix(c, rows, in, wants_low(b, t, n));
		}
		w->input_norm = floats(c, (uint64_t)b->h);
		w->post_norm = floats(c, (uint64_t)b->h);
		if (f->kind[l] == LAYER_DELTA) {
			w->conv = floats(c, (uint64_t)b->channels * f->conv);
			w->a_log = floats(c, (uint64_t)f->value_heads);
			w->dt_bias = floats(c, (uint64_t)f->value_heads);
			w->norm = floats(c, (uint64_t)f->value_dim);
		} else {
			w->q_norm = floats(c, (uint64_t)f->head_dim);
			w->k_norm = floats(c, (uint64_t)f->head_dim);
		}
	}
	b->rope = floats(c, (uint64_t)b->context * f->rotary);
}

static void layout_scratch(struct cuda *b, struct cursor *c)
{
	const struct model_config *f = &b->model->config;
	uint64_t V = (uint64_t)b->ld_v, columns = K_COLUMNS, piece = BACKEND_PIECE;
	bool low = b->precise;
	int64_t partial = 0;
	int counters = 0;
	for (int l = -1; l < f->layers; l++)
		for (int s = 0; s < (l < 0 ? 1 : STAGE_COUNT); s++) {
			int rows = l < 0 ? b->head.rows : b->layer[l].w[s].rows;
			int64_t need = k_stream_scratch(rows, K_COLUMNS);
			partial = need > partial ? need : partial;
			counters = max_int(counters, k_stream_counters(rows));
		}
	b->pass = part(c, sizeof(*b->pass));
	b->x = floats(c, columns * b->ld_h);
	b->y = floats(c, columns * b->ld_in);
	b->o = floats(c, columns * b->ld_o);
	b->partial = floats(c, (uint64_t)partial);
	b->counter = part(c, (uint64_t)counters * 4);
	b->lora_t = floats(c, (uint64_t)K_DISTINCT * b->t_rows * K_COLUMNS);
	b->act_in = act(c, K_COLUMNS, b->ld_act, low);
	b->act_o = act(c, K_COLUMNS, b->ld_ao, low);
	b->act_m = act(c, K_COLUMNS, b->ld_m, low);
	if (f->n_attention) {
		int parts = k_attention_parts(b->context);
		b->attention_partial =
			floats(c, (uint64_t)k_attention_scratch(K_COLUMNS, f->heads, f->kv_heads,
		                                                f->head_dim, parts));
		/* one per column, kv head and four of its query heads */
		b->attention_counter = part(c, columns * f->heads * 4);
	}
	b->rows_x = floats(c, columns * b->ld_h);
	b->logits = floats(c, columns * V);
	b->row_index = part(c, columns * 4);
	b->count = part(c, columns * V * 4);
	b->history = part(c, columns * b->context * 4);
	b->mask = part(c, columns * ((V + 63) / 64) * 8);
	b->pick_scratch = part(c, (uint64_t)k_pick_scratch_bytes(PICKS_MAX, f->vocabulary));
	b->picked = part(c, PICKS_MAX * sizeof(*b->picked));
	b->piece_x = floats(c, piece * b->ld_h);
	b->piece_y = floats(c, piece * b->ld_in);
	b->piece_t = floats(c, piece * b->t_rows);
	b->piece_act = act(c, BACKEND_PIECE, b->ld_act, low);
	b->q_turned = floats(c, f->n_attention ? piece * f->heads * f->head_dim : 0);
	b->delta_scratch = floats(c, f->n_delta ? prefill_delta_scratch(BACKEND_PIECE, f->key_heads,
	                                                                f->value_heads, f->key_dim,
	                                                                f->value_dim)
	                                        : 0);
	b->piece_ids = part(c, piece * 4);
}

uint64_t cuda_layout(struct cuda *b, char *base)
{
	const struct model_config *f = &b->model->config;
	struct cursor c = { base, 0 };
	layout_weights(b, &c);
	b->weight_bytes = c.at;
	b->state = floats(&c, (uint64_t)b->slots * b->state_values);
	b->ring = floats(&c, (uint64_t)b->slots * b->ring_values);
	b->table = part(&c, (uint64_t)b->slots * b->pages_of_context * 4);
	b->slot_token = part(&c, (uint64_t)b->slots * 4);
	b->slot_bytes = c.at - b->weight_bytes;
	b->adapter_table = part(&c, sizeof(*b->adapter_table) * ADAPTERS_MAX * (uint64_t)f->layers *
	                                    STAGE_COUNT);
	layout_scratch(b, &c);
	b->k_pages = part(&c, (uint64_t)f->n_attention * b->pages * b->page_bytes);
	b->v_pages = part(&c, (uint64_t)f->n_attention * b->pages * b->page_bytes);
	return c.at;
}

int cuda_need(struct cuda_need *out, const struct model *m, const struct backend_options *o,
              struct err *e)
{
	struct cuda *b = calloc(1, sizeof(*b));
	if (b)
		b->layer = calloc((size_t)m->config.layers, sizeof(*b->layer));
	if (!b || !b->layer) {
		free(b);
		return err_set(e, ERR_MEM, "out of memory");
	}
	int rc = cuda_size(b, m, o, e);
	if (rc == 0) {
		b->pages = 0;
		uint64_t all = cuda_layout(b, NULL);
		out->weights = b->weight_bytes;
		out->slots = b->slot_bytes;
		out->scratch = all - b->weight_bytes - b->slot_bytes;
		out->context =
			2 * (uint64_t)m->config.n_attention * b->pages_of_context * b->page_bytes;
	}
	free(b->layer);
	free(b);
	return rc;
}

/* ---- weights ---- */

void *cuda_stage(struct cuda *b, uint64_t bytes, struct err *e)
{
	bytes = up_to(bytes, 256);
	if (bytes > STAGING_BYTES) {
		err_set(e, ERR_MEM, "%llu bytes to upload at once; %d at most",
		        (unsigned long long)bytes, STAGING_BYTES);
		return NULL;
	}
	if (b->staged + bytes > STAGING_BYTES) {
		/* what was staged before has to be on the device first */
		if (device_finish(b->device, e) < 0)
			return NULL;
		b->staged = 0;
	}
	void *p = b->staging + b->staged;
	b->staged += bytes;
	return p;
}

/* @t, [rows][k], to rows @row.. of @w. */
static int load_matrix(struct cuda *b, const struct k_matrix *w, int row, const struct tensor *t,
                       struct err *e)
{
	int rows = (int)t->dims[0], k = w->k;
	if (!t->data) {
		uint64_t key = random_weight_key(b->model->random_seed,
		                                 (uint64_t)(t - b->model->tensors.item));
		prefill_fill(b->stream, (uint16_t *)w->high + (uint64_t)row * w->ld, rows, k, w->ld,
		             key);
		return 0;
	}
	bool low = w->low != NULL;
	int chunk = (int)(((uint64_t)STAGING_BYTES / 4) / ((uint64_t)w->ld * 2));
	chunk = chunk < 1 ? 1 : (chunk > rows ? rows : chunk);
	float *wide = t->dtype == DTYPE_BF16 ? NULL : malloc(sizeof(*wide) * (size_t)k);
	if (t->dtype != DTYPE_BF16 && !wide)
		return err_set(e, ERR_MEM, "out of memory");
	int rc = 0;
	for (int from = 0; from < rows && rc == 0; from += chunk) {
		int n = rows - from < chunk ? rows - from : chunk;
		uint64_t bytes = (uint64_t)n * w->ld * 2;
		uint16_t *high = cuda_stage(b, bytes, e);
		uint16_t *lower = high && low ? cuda_stage(b, bytes, e) : NULL;
		if (!high || (low && !lower)) {
			rc = -1;
			break;
		}
		/* a wrap between the two would have given the first one's place away */
		if (low && lower < high)
			high = cuda_stage(b, bytes, e);
		if (!high) {
			rc = -1;
			break;
		}
		memset(high, 0, bytes);
		if (low)
			memset(lower, 0, bytes);
		for (int i = 0; i < n; i++) {
			uint64_t at = (uint64_t)(from + i) * (uint64_t)k;
			uint16_t *to = high + (uint64_t)i * w->ld;
			if (!wide) {
				memcpy(to, (const char *)t->data + at * 2, (size_t)k * 2);
				continue;
			}
			tensor_read(t, at, (uint64_t)k, wide);
			for (int j = 0; j < k; j++) {
				to[j] = bf16_round(wide[j]);
				if (low)
					lower[(uint64_t)i * w->ld + j] =
						bf16_round(wide[j] - bf16_widen(to[j]));
			}
		}
		uint64_t place = (uint64_t)(row + from) * w->ld;
		device_upload(b->device, (uint16_t *)w->high + place, high, bytes);
		if (low)
			device_upload(b->device, (uint16_t *)w->low + place, lower, bytes);
		rc = device_check(b->device, e);
	}
	free(wide);
	return rc;
}

static int load_floats(struct cuda *b, const float *to, const struct tensor *t, struct err *e)
{
	uint64_t most = STAGING_BYTES / 4 / sizeof(float);
	for (uint64_t from = 0; from < t->n; from += most) {
		uint64_t n = t->n - from < most ? t->n - from : most;
		float *wide = cuda_stage(b, n * sizeof(float), e);
		if (!wide)
			return -1;
		tensor_read(t, from, n, wide);
		device_upload(b->device, (float *)to + from, wide, n * sizeof(float));
	}
	return device_check(b->device, e);
}

static int load_rope(struct cuda *b, struct err *e)
{
	const struct model_config *c = &b->model->config;
	int half = c->rotary / 2;
	for (int from = 0; from < b->context; from += 1024) {
		int n = b->context - from < 1024 ? b->context - from : 1024;
		float *turn = cuda_stage(b, (uint64_t)n * c->rotary * sizeof(float), e);
		if (!turn)
			return -1;
		for (int p = 0; p < n; p++)
			for (int i = 0; i < half; i++) {
				/* the reference has angles in f32; in double they are closer to
				 * what is meant, and differ in its last bit */
				float wave = (float)pow(c->rope_theta, -2.0 * i / c->rotary);
				float angle = (float)(from + p) * wave;
				turn[(p * half + i) * 2] = (float)cos((double)angle);
				turn[(p * half + i) * 2 + 1] = (float)sin((double)angle);
			}
		device_upload(b->device, (float *)b->rope + (uint64_t)from * c->rotary, turn,
		              (uint64_t)n * c->rotary * sizeof(float));
	}
	return device_check(b->device, e);
}

int cuda_load(struct cuda *b, struct err *e)
{
	const struct model *m = b->model;
	const struct model_config *c = &m->config;
	struct device *d = b->device;

	/* padding of matrices, states, rings and counters start as zero; a slot's state is cleared
	 * when it is opened */
	device_zero(d, b->arena, b->weight_bytes);
	device_zero(d, b->slot_token, (uint64_t)b->slots * 4);
	device_zero(d, b->table, (uint64_t)b->slots * b->pages_of_context * 4);
	device_zero(d, b->adapter_table,
	            sizeof(*b->adapter_table) * ADAPTERS_MAX * (uint64_t)c->layers * STAGE_COUNT);
	/* the counters lie between partial and lora_t */
	device_zero(d, b->counter, (uint64_t)((char *)b->lora_t - (char *)b->counter));
	if (b->attention_counter)
		device_zero(d, b->attention_counter, (uint64_t)K_COLUMNS * c->heads * 4);
	device_zero(d, b->count, (uint64_t)K_COLUMNS * b->ld_v * 4);
	const struct k_act acts[] = { b->act_in, b->act_o, b->act_m, b->piece_act };
	const int columns[] = { K_COLUMNS, K_COLUMNS, K_COLUMNS, BACKEND_PIECE };
	for (int i = 0; i < 4; i++) {
		device_zero(d, acts[i].high, (uint64_t)columns[i] * acts[i].ld * 2);
		if (acts[i].low)
			device_zero(d, acts[i].low, (uint64_t)columns[i] * acts[i].ld * 2);
	}

	if (load_matrix(b, &b->embedding, 0, m->embedding, e) < 0 ||
	    (m->head != m->embedding && load_matrix(b, &b->head, 0, m->head, e) < 0) ||
	    load_floats(b, b->final_norm, m->final_norm, e) < 0 || load_rope(b, e) < 0)
		return -1;
	for (int l = 0; l < c->layers; l++) {
		const struct cuda_layer *w = &b->layer[l];
		const struct layer *from = &m->layer[l];
		for (enum stage s = 0; s < STAGE_COUNT; s++) {
			enum module module[4];
			int row[4], n = stacked(b, l, s, module, row);
			for (int i = 0; i < n; i++)
				if (load_matrix(b, &w->w[s], row[i], from->linear[module[i]], e) <
				    0)
					return -1;
		}
		const struct {
			const float *to;
			const struct tensor *t;
		} small[] = { { w->input_norm, from->input_norm },
			      { w->post_norm, from->post_norm },
			      { w->q_norm, from->q_norm },
			      { w->k_norm, from->k_norm },
			      { w->conv, from->conv },
			      { w->a_log, from->a_log },
			      { w->dt_bias, from->dt_bias },
			      { w->norm, from->norm } };
		for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
			if (small[i].to && load_floats(b, small[i].to, small[i].t, e) < 0)
				return -1;
	}
	return device_finish(d, e);
}

/* ---- adapters ---- */

/* Lays out one adapter's values from @c on. */
static int layout_adapter(const struct cuda *b, const struct adapter *a, struct cursor *c,
                          struct k_adapter_stage *stage, struct err *e)
{
	for (int l = 0; l < b->model->config.layers; l++)
		for (enum stage s = 0; s < STAGE_COUNT; s++) {
			enum module module[4];
			int row[4], ranks = 0, in = 0, n = stacked(b, l, s, module, row);
			struct k_adapter_stage *to = &stage[l * STAGE_COUNT + s];
			memset(to, 0, sizeof(*to));
			for (int i = 0; i < n; i++) {
				const struct lora_part *p = &a->part[l][module[i]];
				int out;
				module_shape(&b->model->config, l, module[i], &out, &in);
				if (p->rank == 0)
					continue;
				to->segment[to->n].row = row[i];
				to->segment[to->n].rows = out;
				to->segment[to->n].rank = p->rank;
				to->segment[to->n].at = ranks;
				to->segment[to->n].scale = p->scale;
				to->segment[to->n].b = floats(c, (uint64_t)out * p->rank);
				ranks += p->rank;
				to->n++;
			}
			if (ranks > RANKS_MAX)
				return err_set(e, ERR_LACKS,
				               "adapter %s: layer %d: ranks of modules that read "
				               "the same input add up to %d; the CUDA backend "
				               "takes %d",
				               a->name, l, ranks, RANKS_MAX);
			if (ranks)
				to->a = matrix(c, ranks, in, b->precise);
		}
	return 0;
}

static int upload_part(struct cuda *b, const struct k_adapter_stage *to, int i,
                       const struct lora_part *p, struct err *e)
{
	const struct k_matrix *m = &to->a;
	int rank = to->segment[i].rank;
	struct tensor t = { .dtype = DTYPE_F32, .n_dims = 2, .dims = { rank, m->k } };
	t.n = (uint64_t)rank * m->k;
	t.bytes = t.n * 4;
	t.data = p->a;
	if (load_matrix(b, m, to->segment[i].at, &t, e) < 0)
		return -1;
	t.dims[0] = to->segment[i].rows;
	t.dims[1] = rank;
	t.n = (uint64_t)to->segment[i].rows * rank;
	t.bytes = t.n * 4;
	t.data = p->b;
	return load_floats(b, to->segment[i].b, &t, e);
}

int cuda_adapter_add(struct backend *base, const struct adapter *a, struct err *e)
{
	struct cuda *b = (struct cuda *)base;
	int layers = b->model->config.layers, number = 0;
	uint64_t stages = (uint64_t)layers * STAGE_COUNT;
	if (a->layers != layers)
		return err_set(e, ERR_INPUT, "adapter %s has %d layers, the model %d", a->name,
		               a->layers, layers);
	while (number < ADAPTERS_MAX && b->adapter[number].used)
		number++;
	if (number == ADAPTERS_MAX)
		return err_set(e, ERR_MEM, "%d adapters are on the device; drop one", ADAPTERS_MAX);
	struct cuda_adapter new = { .used = true };
	new.stage = calloc(stages, sizeof(*new.stage));
	if (!new.stage)
		return err_set(e, ERR_MEM, "out of memory");
	struct cursor c = { NULL, 0 };
	if (layout_adapter(b, a, &c, new.stage, e) < 0)
		goto fail;
	new.memory = device_take(b->device, c.at, e);
	if (!new.memory) {
		err_wrap(e, "adapter %s", a->name);
		goto fail;
	}
	device_zero(b->device, new.memory, c.at);
	c = (struct cursor){ new.memory, 0 };
	layout_adapter(b, a, &c, new.stage, e);
	for (int l = 0; l < layers; l++)
		for (enum stage s = 0; s < STAGE_COUNT; s++) {
			const struct k_adapter_stage *to = &new.stage[l * STAGE_COUNT + s];
			enum module module[4];
			int row[4], n = stacked(b, l, s, module, row);
			for (int i = 0, at = 0; i < n; i++) {
				const struct lora_part *p = &a->part[l][module[i]];
				if (p->rank && upload_part(b, to, at++, p, e) < 0)
					goto fail;
			}
		}
	const uint64_t chunk = 4096; /* stages at a time: well under the staging area */
	for (uint64_t from = 0; from < stages; from += chunk) {
		uint64_t n = stages - from < chunk ? stages - from : chunk;
		void *p = cuda_stage(b, n * sizeof(*new.stage), e);
		if (!p)
			goto fail;
		memcpy(p, new.stage + from, n * sizeof(*new.stage));
		device_upload(b->device, b->adapter_table + (uint64_t)number * stages + from, p,
		              n * sizeof(*new.stage));
	}
	if (device_check(b->device, e) < 0)
		goto fail;
	int rows = b->lora_rows;
	for (uint64_t i = 0; i < stages; i++)
		rows = max_int(rows, (int)up_to((uint64_t) new.stage[i].a.rows, 16));
	if (rows > b->lora_rows) {
		/* graphs hold the bound: those with adapters are made again when next needed */
		for (int i = 0; i < BUCKETS * 2; i++) {
			device_graph_drop(b->device, b->graph[i / 2][1][i % 2]);
			b->graph[i / 2][1][i % 2] = NULL;
		}
		b->lora_rows = rows;
	}
	b->adapter[number] = new;
	return number + 1;
fail:
	if (new.memory)
		device_give(b->device, new.memory);
	free(new.stage);
	return -1;
}

void cuda_adapter_drop(struct backend *base, int adapter)
{
	struct cuda *b = (struct cuda *)base;
	if (adapter < 1 || adapter > ADAPTERS_MAX || !b->adapter[adapter - 1].used)
		return;
	struct cuda_adapter *a = &b->adapter[adapter - 1];
	device_finish(b->device, NULL); /* steps that read it; a failure is told by the next call */
	device_give(b->device, a->memory);
	free(a->stage);
	memset(a, 0, sizeof(*a));
}
