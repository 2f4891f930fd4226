/*
 * The CUDA trainer's memory: one arena, laid out twice by the same function (first for its size,
 * then for its addresses), and how weights and first values get there.
 */
#include "gpu/train_cuda_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/k_prefill.h"
#include "gpu/random_weight.h"

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

/* ---- layout ---- */

struct cursor {
	char *base;
	uint64_t at;
};

static void *part(struct cursor *c, uint64_t bytes)
{
	void *p = c->base ? c->base + c->at : NULL;
	c->at += round_up(bytes, 256);
	return p;
}

static float *floats(struct cursor *c, uint64_t n)
{
	return part(c, n * sizeof(float));
}

static uint16_t *halves(struct cursor *c, uint64_t n)
{
	return part(c, n * sizeof(uint16_t));
}

/* The modules of a stage in the order they are stacked. */
static int stacked(enum layer_kind kind, enum site_kind s, enum module out[4])
{
	static const enum module of[2][SITES][4] = {
		[LAYER_DELTA] = { { MODULE_QKV, MODULE_Z, MODULE_A, MODULE_B },
		                  { MODULE_OUT },
		                  { MODULE_GATE, MODULE_UP },
		                  { MODULE_DOWN } },
		[LAYER_ATTENTION] = { { MODULE_Q, MODULE_K, MODULE_V },
		                      { MODULE_O },
		                      { MODULE_GATE, MODULE_UP },
		                      { MODULE_DOWN } },
	};
	memcpy(out, of[kind][s], sizeof(of[kind][s]));
	if (s == SITE_IN)
		return kind == LAYER_DELTA ? 4 : 3;
	return s == SITE_GATE_UP ? 2 : 1;
}

/* Places of the parameters; and what each stage has. */
static int plan_sites(struct train_cuda *t, struct err *e)
{
	const struct model_config *c = &t->base.model->config;
	uint64_t at = 0;
	for (int i = 0; i < t->base.params; i++) {
		t->place[i] = at;
		at += round_up((uint64_t)t->base.param[i].rows * (uint64_t)t->base.param[i].cols,
		               8);
	}
	t->flat = at;
	for (int l = 0; l < c->layers; l++)
		for (enum site_kind s = 0; s < SITES; s++) {
			struct site *w = &t->layer[l].site[s];
			enum module module[4];
			w->n = stacked(c->kind[l], s, module);
			for (int i = 0; i < w->n; i++) {
				int out, in;
				module_shape(c, l, module[i], &out, &in);
				w->m[i].module = module[i];
				w->m[i].row = w->rows;
				w->m[i].rows = out;
				w->rows +=
					s == SITE_GATE_UP ? (int)round_up((uint64_t)out, 8) : out;
				w->k = in;
			}
			w->rows = (int)round_up((uint64_t)w->rows, 8);
			w->kp = (int)round_up((uint64_t)w->k, 8);
		}
	for (int i = 0; i < t->base.params; i++) {
		const struct param *p = &t->base.param[i];
		for (enum site_kind s = 0; s < SITES; s++) {
			struct site *w = &t->layer[p->layer].site[s];
			for (int j = 0; j < w->n; j++) {
				if (w->m[j].module != p->module)
					continue;
				if (p->is_b) {
					w->m[j].pb = t->place[i];
					continue;
				}
				w->m[j].pa = t->place[i];
				w->m[j].rank = (int)p->rows;
				w->m[j].at = w->ext;
				w->m[j].scale =
					train_lora_scale(&t->base.options, p->layer, p->module);
				w->ext += (int)round_up((uint64_t)p->rows, 8);
			}
		}
	}
	for (int l = 0; l < c->layers; l++)
		for (enum site_kind s = 0; s < SITES; s++) {
			struct site *w = &t->layer[l].site[s];
			if (w->ext)
				w->ext = (int)round_up((uint64_t)w->ext, 64);
			w->ld = w->kp + w->ext;
			t->ld_act = max_int(t->ld_act, w->ld);
			if (w->ext > 8192)
				return err_set(
					e, ERR_LACKS,
					"layer %d: ranks of modules that read the same input add "
					"up to %d; the CUDA trainer takes 8192",
					l, w->ext);
		}
	return 0;
}

static void layout_weights(struct train_cuda *t, struct cursor *c)
{
	const struct model *m = t->base.model;
	const struct model_config *f = &m->config;
	uint64_t V = (uint64_t)f->vocabulary;
	int channels = config_channels(f);
	t->embedding = halves(c, V * (uint64_t)t->hp);
	t->head = m->head == m->embedding ? t->embedding : halves(c, V * (uint64_t)t->hp);
	t->final_norm = floats(c, (uint64_t)t->h);
	t->rope = floats(c, (uint64_t)t->longest * (uint64_t)f->rotary);
	for (int l = 0; l < f->layers; l++) {
		struct train_layer *w = &t->layer[l];
		w->kind = f->kind[l];
		for (enum site_kind s = 0; s < SITES; s++) {
			struct site *x = &w->site[s];
			x->w = halves(c, (uint64_t)x->rows * (uint64_t)x->ld);
			x->a = x->ext ? halves(c, (uint64_t)x->ext * (uint64_t)x->kp) : NULL;
		}
		w->input_norm = floats(c, (uint64_t)t->h);
		w->post_norm = floats(c, (uint64_t)t->h);
		if (w->kind == LAYER_DELTA) {
			w->conv = floats(c, (uint64_t)channels * (uint64_t)f->conv);
			w->a_log = floats(c, (uint64_t)f->value_heads);
			w->dt_bias = floats(c, (uint64_t)f->value_heads);
			w->norm = floats(c, (uint64_t)f->value_dim);
		} else {
			w->q_norm = floats(c, (uint64_t)f->head_dim);
			w->k_norm = floats(c, (uint64_t)f->head_dim);
		}
	}
	t->value = floats(c, t->flat);
	t->gradient = floats(c, t->flat);
	t->moment1 = floats(c, t->flat);
	t->moment2 = floats(c, t->flat);
	t->copies = part(c, sizeof(*t->copies) * (uint64_t)t->base.params);
	t->squares = part(c, sizeof(double) * (1 + TRAIN_SQUARES));
}

static void layout_kept(struct train_cuda *t, struct cursor *c)
{
	const struct model_config *f = &t->base.model->config;
	uint64_t room = (uint64_t)t->room;
	struct kept shared[2];
	for (int l = 0; l <= f->layers; l++)
		t->x[l] = floats(c, room * (uint64_t)t->hp);
	bool made[2] = { false, false };
	for (int l = 0; l < f->layers; l++) {
		struct train_layer *w = &t->layer[l];
		if (t->recompute && made[w->kind]) {
			w->kept = shared[w->kind];
			continue;
		}
		struct kept *k = &w->kept;
		k->in = halves(c, room * (uint64_t)w->site[SITE_IN].rows);
		k->mid = floats(c, room * (uint64_t)t->hp);
		k->gu = halves(c, room * (uint64_t)w->site[SITE_GATE_UP].rows);
		if (w->kind == LAYER_ATTENTION) {
			k->o = halves(c, room * (uint64_t)f->heads * (uint64_t)f->head_dim);
			k->lse = floats(c, room * (uint64_t)f->heads);
		}
		shared[w->kind] = *k;
		made[w->kind] = true;
	}
}

static void layout_delta(struct train_cuda *t, struct cursor *c)
{
	const struct model_config *f = &t->base.model->config;
	struct delta_train *d = &t->delta;
	uint64_t room = (uint64_t)t->room, C = TRAIN_CHUNK, nv = (uint64_t)f->value_heads;
	uint64_t dk = (uint64_t)f->key_dim, dv = (uint64_t)f->value_dim;
	uint64_t places = (uint64_t)t->chunks_most * nv;
	uint64_t keys = room * (uint64_t)f->key_heads * dk, values = room * nv * dv;
	if (!f->n_delta)
		return;
	d->q = floats(c, keys);
	d->k = floats(c, keys);
	d->v = floats(c, values);
	d->g = floats(c, room * nv);
	d->beta = floats(c, room * nv);
	d->W = floats(c, places * C * dk);
	d->U = floats(c, places * C * dv);
	d->P = floats(c, places * C * C);
	d->X = floats(c, places * C * C);
	d->G = floats(c, places * C);
	d->S = floats(c, places * dk * dv);
	d->vn = floats(c, places * C * dv);
	d->o = floats(c, values);
	d->d_o = floats(c, values);
	d->dS = floats(c, places * dk * dv);
	d->dvn = floats(c, places * C * dv);
	d->dq = floats(c, keys);
	d->d_k = floats(c, keys);
	d->d_v = floats(c, values);
	d->dg = floats(c, room * nv);
	d->dbeta = floats(c, room * nv);
}

static void layout_scratch(struct train_cuda *t, struct cursor *c)
{
	const struct model_config *f = &t->base.model->config;
	uint64_t room = (uint64_t)t->room, widest = 0, V = round_up((uint64_t)f->vocabulary, 8);
	int ld[SITES] = { 0 };
	for (int l = 0; l < f->layers; l++)
		for (enum site_kind s = 0; s < SITES; s++) {
			const struct site *w = &t->layer[l].site[s];
			ld[s] = max_int(ld[s], w->ld);
			widest = (uint64_t)max_int((int)widest, w->rows);
		}
	t->xin = halves(c, room * (uint64_t)max_int(ld[SITE_IN], ld[SITE_GATE_UP]));
	t->y = halves(c, room * (uint64_t)ld[SITE_OUT]);
	t->m = halves(c, room * (uint64_t)ld[SITE_DOWN]);
	t->e = halves(c, room * widest);
	t->d = halves(c, room * (uint64_t)t->ld_act);
	t->drop = t->base.options.dropout > 0 ? halves(c, room * (uint64_t)t->ld_act) : NULL;
	t->dx = floats(c, room * (uint64_t)t->hp);
	t->dxb = halves(c, room * (uint64_t)t->hp);
	if (f->n_attention) {
		uint64_t hd = (uint64_t)f->head_dim, heads = room * (uint64_t)f->heads;
		uint64_t keys = round_up((uint64_t)t->longest, TRAIN_ROUND);
		uint64_t strip =
			(uint64_t)min_int(TRAIN_STRIP, (int)keys) * (uint64_t)f->heads * keys;
		t->q = halves(c, heads * hd);
		t->k = halves(c, room * (uint64_t)f->kv_heads * hd);
		t->d_o = halves(c, heads * hd);
		t->dot = floats(c, heads);
		t->dq = floats(c, heads * hd);
		t->dk = floats(c, room * (uint64_t)f->kv_heads * hd);
		t->dv = floats(c, room * (uint64_t)f->kv_heads * hd);
		t->s = floats(c, strip);
		t->dp = floats(c, strip);
		t->p = halves(c, strip);
		t->ds = halves(c, strip);
	}
	layout_delta(t, c);
	uint64_t head_rows = (uint64_t)min_int(TRAIN_HEAD_ROWS, t->room);
	t->logits = floats(c, head_rows * V);
	t->dlogits = halves(c, head_rows * V);
	t->head_x = halves(c, head_rows * (uint64_t)t->hp);
	t->head_d = halves(c, head_rows * (uint64_t)t->hp);
	t->ids = part(c, room * 4);
	t->first = part(c, room * 4);
	t->pick = part(c, room * 4);
	t->label = part(c, room * 4);
	t->coef = floats(c, room);
	t->chunk_row = part(c, room * 4);
	t->chunk_n = part(c, room * 4);
	t->sample_chunk = part(c, (room + 1) * 4);
	t->logp = floats(c, room);
}

static uint64_t layout(struct train_cuda *t, char *base)
{
	struct cursor c = { base, 0 };
	layout_weights(t, &c);
	t->weight_bytes = c.at;
	layout_kept(t, &c);
	layout_scratch(t, &c);
	return c.at;
}

/* ---- sizes ---- */

static int lacks(struct err *e, const char *field, int got, int most)
{
	return err_set(e, ERR_LACKS,
	               "the CUDA trainer takes models with %s up to %d; this one has %d: train it "
	               "on the CPU",
	               field, most, got);
}

static void size_for(struct train_cuda *t, int rows)
{
	int context = t->base.model->config.context, chunks = rows / TRAIN_CHUNK + 1;
	t->rows = rows;
	/* products may run over rows that are no sample's, and attention's strips over the end */
	t->room = (int)round_up((uint64_t)rows, 256) + 2 * TRAIN_ROUND;
	t->longest = min_int(rows, context);
	t->chunks_most = chunks + min_int(chunks, 64);
}

/* Activations are kept when they fit, else computed again; the largest batch that fits is told when
 * neither does. */
static int fit(struct train_cuda *t, uint64_t budget, struct err *e)
{
	int rows = t->rows;
	t->recompute = t->base.options.recompute;
	t->arena_bytes = layout(t, NULL);
	if (t->arena_bytes > budget && !t->recompute) {
		t->recompute = true;
		t->arena_bytes = layout(t, NULL);
	}
	if (t->arena_bytes <= budget)
		return 0;
	uint64_t need = t->arena_bytes;
	t->recompute = true;
	int low = 0, high = rows;
	while (high - low > 64) {
		int middle = low + (high - low) / 2;
		size_for(t, middle);
		*(layout(t, NULL) <= budget ? &low : &high) = middle;
	}
	low = low / 64 * 64;
	if (low < 64)
		return err_set(
			e, ERR_MEM,
			"the model needs %.1f GiB of device memory before any batch, %.1f GiB "
			"may be used: take a smaller model, or train on the CPU",
			(double)t->weight_bytes / 1073741824.0, (double)budget / 1073741824.0);
	return err_set(e, ERR_MEM,
	               "batches of %d rows need %.1f GiB of device memory, %.1f GiB may be used: "
	               "lower the tokens of a batch by %d, to %d",
	               rows, (double)need / 1073741824.0, (double)budget / 1073741824.0, rows - low,
	               low);
}

/* ---- weights ---- */

void *train_cuda_stage(struct train_cuda *t, uint64_t bytes, struct err *e)
{
	bytes = round_up(bytes, 256);
	if (bytes > TRAIN_STAGING_BYTES) {
		err_set(e, ERR_MEM, "%llu bytes to upload at once; %d at most",
		        (unsigned long long)bytes, TRAIN_STAGING_BYTES);
		return NULL;
	}
	if (t->staged + bytes > TRAIN_STAGING_BYTES) {
		/* what was staged before has to be on the device first */
		if (device_finish(t->device, e) < 0)
			return NULL;
		t->staged = 0;
	}
	void *p = t->staging + t->staged;
	t->staged += bytes;
	return p;
}

/* @from, [rows][k], to rows of @ld values at @to; columns beyond k become zero. */
static int load_matrix(struct train_cuda *t, uint16_t *to, int ld, const struct tensor *from,
                       struct err *e)
{
	int rows = (int)from->dims[0], k = (int)from->dims[1];
	if (!from->data) {
		const struct model *m = t->base.model;
		uint64_t key =
			random_weight_key(m->random_seed, (uint64_t)(from - m->tensors.item));
		prefill_fill(t->stream, to, rows, k, ld, key);
		return 0;
	}
	int chunk = (int)(((uint64_t)TRAIN_STAGING_BYTES / 4) / ((uint64_t)ld * 2));
	chunk = chunk < 1 ? 1 : min_int(chunk, rows);
	float *wide = from->dtype == DTYPE_BF16 ? NULL : malloc(sizeof(*wide) * (size_t)k);
	if (from->dtype != DTYPE_BF16 && !wide)
		return err_set(e, ERR_MEM, "out of memory");
	int rc = 0;
	for (int first = 0; first < rows && rc == 0; first += chunk) {
		int n = min_int(chunk, rows - first);
		uint64_t bytes = (uint64_t)n * (uint64_t)ld * 2;
		uint16_t *out = train_cuda_stage(t, bytes, e);
		if (!out) {
			rc = -1;
			break;
		}
		memset(out, 0, bytes);
		for (int i = 0; i < n; i++) {
			uint64_t at = (uint64_t)(first + i) * (uint64_t)k;
			uint16_t *row = out + (uint64_t)i * (uint64_t)ld;
			if (!wide) {
				memcpy(row, (const char *)from->data + at * 2, (size_t)k * 2);
				continue;
			}
			tensor_read(from, at, (uint64_t)k, wide);
			for (int j = 0; j < k; j++)
				row[j] = bf16_round(wide[j]);
		}
		device_upload(t->device, to + (uint64_t)first * (uint64_t)ld, out, bytes);
		rc = device_check(t->device, e);
	}
	free(wide);
	return rc;
}

static int upload_floats(struct train_cuda *t, const float *to, const float *from, uint64_t n,
                         struct err *e)
{
	const uint64_t most = TRAIN_STAGING_BYTES / 4 / sizeof(float);
	for (uint64_t at = 0; at < n; at += most) {
		uint64_t count = n - at < most ? n - at : most;
		float *out = train_cuda_stage(t, count * sizeof(float), e);
		if (!out)
			return -1;
		memcpy(out, from + at, count * sizeof(float));
		device_upload(t->device, (float *)(uintptr_t)to + at, out, count * sizeof(float));
	}
	return device_check(t->device, e);
}

static int load_floats(struct train_cuda *t, const float *to, const struct tensor *from,
                       struct err *e)
{
	float *wide = malloc(sizeof(*wide) * (from->n ? from->n : 1));
	if (!wide)
		return err_set(e, ERR_MEM, "out of memory");
	tensor_read(from, 0, from->n, wide);
	int rc = upload_floats(t, to, wide, from->n, e);
	free(wide);
	return rc;
}

static int load_rope(struct train_cuda *t, struct err *e)
{
	const struct model_config *c = &t->base.model->config;
	int half = c->rotary / 2;
	float *turn = malloc(sizeof(*turn) * ((size_t)t->longest * (size_t)c->rotary + 1));
	if (!turn)
		return err_set(e, ERR_MEM, "out of memory");
	for (int i = 0; i < half; i++) {
		float wave = (float)pow(c->rope_theta, -2.0 * i / c->rotary);
		for (int p = 0; p < t->longest; p++) {
			float angle = (float)p * wave;
			turn[(p * half + i) * 2] = (float)cos((double)angle);
			turn[(p * half + i) * 2 + 1] = (float)sin((double)angle);
		}
	}
	int rc = upload_floats(t, t->rope, turn, (uint64_t)t->longest * (uint64_t)c->rotary, e);
	free(turn);
	return rc;
}

static int load_layer(struct train_cuda *t, int l, struct err *e)
{
	const struct train_layer *w = &t->layer[l];
	const struct layer *from = &t->base.model->layer[l];
	for (enum site_kind s = 0; s < SITES; s++) {
		const struct site *x = &w->site[s];
		for (int i = 0; i < x->n; i++)
			if (load_matrix(t, x->w + (uint64_t)x->m[i].row * (uint64_t)x->ld, x->ld,
			                from->linear[x->m[i].module], e) < 0)
				return -1;
	}
	const struct {
		const float *to;
		const struct tensor *from;
	} small[] = { { w->input_norm, from->input_norm },
		      { w->post_norm, from->post_norm },
		      { w->q_norm, from->q_norm },
		      { w->k_norm, from->k_norm },
		      { w->conv, from->conv },
		      { w->a_log, from->a_log },
		      { w->dt_bias, from->dt_bias },
		      { w->norm, from->norm } };
	for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
		if (small[i].to && load_floats(t, small[i].to, small[i].from, e) < 0)
			return -1;
	return 0;
}

/* First values of the parameters, and which bf16 copies follow them. */
static int load_params(struct train_cuda *t, struct err *e)
{
	struct trainer_base *b = &t->base;
	float *first = malloc(sizeof(*first) * (b->values ? b->values : 1));
	struct train_copy *copies = train_cuda_stage(t, sizeof(*copies) * (uint64_t)b->params, e);
	int rc = -1;
	if (!first)
		err_set(e, ERR_MEM, "out of memory");
	if (!first || !copies)
		goto out;
	t->n_copies = 0;
	for (int l = 0; l < b->model->config.layers; l++)
		for (enum site_kind s = 0; s < SITES; s++) {
			const struct site *w = &t->layer[l].site[s];
			for (int i = 0; i < w->n; i++) {
				if (!w->m[i].rank)
					continue;
				copies[t->n_copies++] = (struct train_copy){
					.src = t->value + w->m[i].pa,
					.dst = w->a + (uint64_t)w->m[i].at * (uint64_t)w->kp,
					.rows = w->m[i].rank,
					.cols = w->k,
					.ld = w->kp,
					.scale = 1,
				};
				copies[t->n_copies++] = (struct train_copy){
					.src = t->value + w->m[i].pb,
					.dst = w->w + (uint64_t)w->m[i].row * (uint64_t)w->ld +
					       w->kp + w->m[i].at,
					.rows = w->m[i].rows,
					.cols = w->m[i].rank,
					.ld = w->ld,
					.scale = w->m[i].scale,
				};
			}
		}
	device_upload(t->device, t->copies, copies, sizeof(*copies) * (uint64_t)t->n_copies);
	if (train_first_values(b->model, &b->options, b->param, b->params, first, e) < 0)
		goto out;
	for (int i = 0; i < b->params; i++)
		if (upload_floats(t, t->value + t->place[i], first + b->param[i].at,
		                  (uint64_t)b->param[i].rows * (uint64_t)b->param[i].cols, e) < 0)
			goto out;
	t->stale = true;
	rc = 0;
out:
	free(first);
	return rc;
}

int train_cuda_load(struct train_cuda *t, struct err *e)
{
	const struct model *m = t->base.model;
	const struct model_config *c = &m->config;
	if (c->n_delta && c->key_dim > TRAIN_KEY_MAX)
		return lacks(e, "linear_key_head_dim", c->key_dim, TRAIN_KEY_MAX);
	if (c->n_delta && c->value_dim > TRAIN_VALUE_MAX)
		return lacks(e, "linear_value_head_dim", c->value_dim, TRAIN_VALUE_MAX);
	if (t->base.options.rows < 1 || t->base.options.rows > TRAIN_ROWS_MOST)
		return err_set(e, ERR_USAGE, "rows of a batch: 1 to %d, got %d", TRAIN_ROWS_MOST,
		               t->base.options.rows);
	t->h = c->hidden;
	t->hp = (int)round_up((uint64_t)c->hidden, 8);
	t->ip = (int)round_up((uint64_t)c->mlp, 8);
	t->layer = calloc((size_t)c->layers, sizeof(*t->layer));
	t->x = calloc((size_t)c->layers + 1, sizeof(*t->x));
	t->place = calloc((size_t)t->base.params, sizeof(*t->place));
	if (!t->layer || !t->x || !t->place)
		return err_set(e, ERR_MEM, "out of memory");
	if (plan_sites(t, e) < 0)
		return -1;
	size_for(t, t->base.options.rows);
	struct device_about about;
	device_describe(t->device, &about);
	uint64_t budget = t->base.options.memory_bytes ? t->base.options.memory_bytes
	                                               : about.free_bytes / 50 * 49;
	if (fit(t, budget, e) < 0)
		return -1;
	t->arena = device_take(t->device, t->arena_bytes, e);
	t->staging = device_take_pinned(t->device, TRAIN_STAGING_BYTES, e);
	t->pinned_bytes = 10 * round_up((uint64_t)(t->room + 1) * 4, 256);
	t->pinned = device_take_pinned(t->device, t->pinned_bytes, e);
	if (!t->arena || !t->staging || !t->pinned)
		return -1;
	layout(t, t->arena);
	/* padding is zero, and rows that are no sample's hold finite values for ever */
	device_zero(t->device, t->arena, t->arena_bytes);
	if (load_matrix(t, t->embedding, t->hp, m->embedding, e) < 0 ||
	    (t->head != t->embedding && load_matrix(t, t->head, t->hp, m->head, e) < 0) ||
	    load_floats(t, t->final_norm, m->final_norm, e) < 0 || load_rope(t, e) < 0)
		return -1;
	for (int l = 0; l < c->layers; l++)
		if (load_layer(t, l, e) < 0)
			return -1;
	if (load_params(t, e) < 0)
		return -1;
	t->base.peak_bytes = t->arena_bytes;
	return device_finish(t->device, e);
}

void train_cuda_release(struct train_cuda *t)
{
	if (t->device) {
		struct err none = { 0 };
		device_finish(t->device, &none);
		device_give(t->device, t->arena);
		device_give_pinned(t->device, t->staging);
		device_give_pinned(t->device, t->pinned);
		device_close(t->device);
	}
	free(t->base.param);
	free(t->layer);
	free(t->x);
	free(t->place);
	free(t);
}
