/*
 * The order of the kernels: qwen35.md section 4, a few columns at a time (decode: the stages of
 * kernels.h) and many tokens of one slot at a time (prefill: cuBLASLt and k_prefill.h). Both work
 * on the same weights, states, rings and pages.
 */
#include "gpu/cuda_inside.h"

#include "gpu/k_prefill.h"

static float norm_eps(const struct cuda *b)
{
	return (float)b->model->config.norm_eps;
}

/* ---- decode ---- */

static struct k_stream stage_of(struct cuda *b, int l, enum stage stage, bool adapters)
{
	const struct k_matrix *w = &b->layer[l].w[stage];
	return (struct k_stream){
		.step = &b->pass->step,
		.w = *w,
		.prologue = K_RMS,
		.in = { b->act_in.high, b->act_in.low, w->ld },
		.in_x = b->x,
		.ld_in_x = b->ld_h,
		.eps = norm_eps(b),
		.precise = b->precise,
		.y = b->x,
		.ld_y = b->ld_h,
		.lora = { .table = adapters ? b->adapter_table + l * STAGE_COUNT + stage : NULL,
		          .stride = b->model->config.layers * STAGE_COUNT,
		          .t_rows = b->lora_rows,
		          .t = b->lora_t },
		.partial = b->partial,
		.counter = b->counter,
	};
}

static struct k_delta delta_of(struct cuda *b, int l)
{
	const struct model_config *c = &b->model->config;
	const struct cuda_layer *w = &b->layer[l];
	return (struct k_delta){
		.step = &b->pass->step,
		.ring = b->ring + (uint64_t)w->index * RING_ROWS * b->width,
		.ring_slot = (int64_t)b->ring_values,
		.ring_rows = RING_ROWS,
		.ld_ring = b->width,
		.conv = w->conv,
		.a_log = w->a_log,
		.dt_bias = w->dt_bias,
		.state = b->state + (uint64_t)w->index * c->value_heads * c->value_dim * b->dkp,
		.state_stride = (int64_t)b->state_values,
		.nk = c->key_heads,
		.nv = c->value_heads,
		.dk = c->key_dim,
		.dv = c->value_dim,
		.conv_k = c->conv,
		.o = b->o,
		.ld_o = b->ld_o,
	};
}

static void decode_delta(struct cuda *b, int l, int columns, bool adapters)
{
	struct k_delta delta = delta_of(b, l);
	struct k_stream in = stage_of(b, l, STAGE_IN, adapters);
	in.norm = b->layer[l].input_norm;
	in.epilogue = K_SPLIT;
	in.split = b->channels + 2 * b->model->config.value_heads;
	in.ring = b->ring + (uint64_t)b->layer[l].index * RING_ROWS * b->width;
	in.ring_slot = (int64_t)b->ring_values;
	in.ring_rows = RING_ROWS;
	in.ld_ring = b->width;
	in.y = b->y;
	in.ld_y = b->ld_z;
	queue_stream(&in, columns, &b->tuning, b->stream);
	queue_delta(&delta, columns, &b->tuning, b->stream);
	struct k_stream out = stage_of(b, l, STAGE_OUT, adapters);
	out.prologue = K_GATED;
	out.in_x = b->o;
	out.ld_in_x = b->ld_o;
	out.norm = b->layer[l].norm;
	out.z = b->y;
	out.ld_z = b->ld_z;
	out.dim = b->model->config.value_dim;
	out.epilogue = K_ADD;
	queue_stream(&out, columns, &b->tuning, b->stream);
}

static void decode_attention(struct cuda *b, int l, int columns, bool adapters)
{
	const struct model_config *c = &b->model->config;
	const struct cuda_layer *w = &b->layer[l];
	struct k_stream in = stage_of(b, l, STAGE_IN, adapters);
	in.norm = w->input_norm;
	in.epilogue = K_STORE;
	in.y = b->y;
	in.ld_y = b->ld_in;
	queue_stream(&in, columns, &b->tuning, b->stream);
	struct k_attention a = {
		.step = &b->pass->step,
		.qkv = b->y,
		.ld_qkv = b->ld_in,
		.q_norm = w->q_norm,
		.k_norm = w->k_norm,
		.eps = norm_eps(b),
		.rope = b->rope,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.hd = c->head_dim,
		.rotary = c->rotary,
		.k_pages = b->k_pages + (uint64_t)w->index * b->pages * b->page_bytes,
		.v_pages = b->v_pages + (uint64_t)w->index * b->pages * b->page_bytes,
		.kv_f32 = b->precise,
		.table = b->table,
		.table_stride = b->pages_of_context,
		.parts = k_attention_parts(b->context),
		.partial = b->attention_partial,
		.counter = b->attention_counter,
		.out = b->act_o,
	};
	queue_attention(&a, columns, &b->tuning, b->stream);
	struct k_stream out = stage_of(b, l, STAGE_OUT, adapters);
	out.prologue = K_READY;
	out.in = b->act_o;
	out.epilogue = K_ADD;
	queue_stream(&out, columns, &b->tuning, b->stream);
}

void cuda_head(struct cuda *b, const float *x, int rows)
{
	struct k_stream head = stage_of(b, 0, STAGE_IN, false);
	head.w = b->head;
	head.in.ld = b->head.ld;
	head.norm = b->final_norm;
	head.in_x = x;
	head.epilogue = K_LOGITS;
	head.y = b->logits;
	head.ld_y = b->ld_v;
	queue_stream(&head, rows, &b->tuning, b->stream);
}

void cuda_picks(struct cuda *b, int picks)
{
	struct k_pick a = {
		.step = &b->pass->step,
		.input = b->pass->pick,
		.logits = b->logits,
		.ld = b->ld_v,
		.vocabulary = b->model->config.vocabulary,
		.count = b->count,
		.scratch = b->pick_scratch,
		.slot_token = b->slot_token,
		.out = b->picked,
	};
	queue_pick(&a, picks, &b->tuning, b->stream);
}

void cuda_decode(struct cuda *b, int columns, bool adapters, bool head)
{
	const struct model_config *c = &b->model->config;
	struct k_embed embed = { .step = &b->pass->step,
		                 .table = b->embedding,
		                 .slot_token = b->slot_token,
		                 .x = b->x,
		                 .ldx = b->ld_h };
	queue_embed(&embed, columns, &b->tuning, b->stream);
	for (int l = 0; l < c->layers; l++) {
		if (c->kind[l] == LAYER_DELTA)
			decode_delta(b, l, columns, adapters);
		else
			decode_attention(b, l, columns, adapters);
		struct k_stream gate_up = stage_of(b, l, STAGE_GATE_UP, adapters);
		gate_up.norm = b->layer[l].post_norm;
		gate_up.epilogue = K_SILU_MUL;
		gate_up.out = b->act_m;
		queue_stream(&gate_up, columns, &b->tuning, b->stream);
		struct k_stream down = stage_of(b, l, STAGE_DOWN, adapters);
		down.prologue = K_READY;
		down.in = b->act_m;
		down.epilogue = K_ADD;
		queue_stream(&down, columns, &b->tuning, b->stream);
	}
	if (head) {
		cuda_head(b, b->x, columns);
		cuda_picks(b, columns);
	}
}

void cuda_catch_up(struct cuda *b, int groups)
{
	for (int l = 0; l < b->model->config.layers; l++) {
		if (b->model->config.kind[l] != LAYER_DELTA)
			continue;
		struct k_delta a = delta_of(b, l);
		a.o = NULL;
		queue_delta(&a, groups, &b->tuning, b->stream);
	}
}

/* ---- prefill ---- */

/* y = w x (+ y), x in b->piece_act; with what the mix's adapters add. */
static void product(struct cuda *b, int l, enum stage stage, int n, float *y, int ld_y, bool add,
                    const struct lora_mix *mix)
{
	const struct k_matrix *w = &b->layer[l].w[stage];
	struct gemm g = {
		.w = w->high,
		.w_low = w->low,
		.x = b->piece_act.high,
		.x_low = b->piece_act.low,
		.y = y,
		.rows = n,
		.n = w->rows,
		.k = w->k,
		.ldw = w->ld,
		.ldx = b->piece_act.ld,
		.ldy = ld_y,
		.scale = 1,
		.add = add,
	};
	device_gemm(b->device, &g);
	for (int i = 0; i < mix->n; i++) {
		const struct k_adapter_stage *a =
			&b->adapter[mix->part[i].adapter - 1].stage[l * STAGE_COUNT + stage];
		if (a->a.rows == 0)
			continue;
		struct gemm down = g;
		down.w = a->a.high;
		down.w_low = a->a.low;
		down.ldw = a->a.ld;
		down.n = a->a.rows;
		down.y = b->piece_t;
		down.ldy = b->t_rows;
		down.add = false;
		device_gemm(b->device, &down);
		for (int s = 0; s < a->n; s++)
			prefill_lora(b->stream, y + a->segment[s].row, ld_y,
			             b->piece_t + a->segment[s].at, b->t_rows, a->segment[s].b,
			             a->segment[s].rows, a->segment[s].rank, n,
			             a->segment[s].scale * mix->part[i].weight);
	}
}

static void prefill_delta_layer(struct cuda *b, int l, int slot, int position, int n)
{
	const struct model_config *c = &b->model->config;
	struct k_delta d = delta_of(b, l);
	struct delta_piece piece = {
		.T = n,
		.position = position,
		.nk = c->key_heads,
		.nv = c->value_heads,
		.dk = c->key_dim,
		.dkp = b->dkp,
		.dv = c->value_dim,
		.K = c->conv,
		.eps = norm_eps(b),
		.y = b->piece_y,
		.ld = b->ld_in,
		.conv = d.conv,
		.a_log = d.a_log,
		.dt_bias = d.dt_bias,
		.norm = b->layer[l].norm,
		.ring = (float *)d.ring + (uint64_t)slot * b->ring_values,
		.ring_rows = RING_ROWS,
		.ring_ld = b->width,
		.state = d.state + (uint64_t)slot * b->state_values,
		.exact = b->precise,
		.scratch = b->delta_scratch,
		.high = b->piece_act.high,
		.low = b->piece_act.low,
		.ldo = b->piece_act.ld,
	};
	prefill_delta(b->stream, &piece);
}

static void prefill_attention_layer(struct cuda *b, int l, int slot, int position, int n)
{
	const struct model_config *c = &b->model->config;
	const struct cuda_layer *w = &b->layer[l];
	struct attention_piece piece = {
		.T = n,
		.position = position,
		.H = c->heads,
		.KV = c->kv_heads,
		.hd = c->head_dim,
		.hdp = b->hdp,
		.R = c->rotary,
		.eps = norm_eps(b),
		.rope = b->rope,
		.q = b->piece_y,
		.k = b->piece_y + 2 * c->heads * c->head_dim,
		.v = b->piece_y + (2 * c->heads + c->kv_heads) * c->head_dim,
		.ld = b->ld_in,
		.q_norm = w->q_norm,
		.k_norm = w->k_norm,
		.pages = b->table + (uint64_t)slot * b->pages_of_context,
		.k_pages = b->k_pages + (uint64_t)w->index * b->pages * b->page_bytes,
		.v_pages = b->v_pages + (uint64_t)w->index * b->pages * b->page_bytes,
		.f32 = b->precise,
		.q_turned = b->q_turned,
		.high = b->piece_act.high,
		.low = b->piece_act.low,
		.ldo = b->piece_act.ld,
	};
	prefill_attend(b->stream, &piece);
}

void cuda_prefill(struct cuda *b, int slot, int position, int n, const struct lora_mix *mix)
{
	const struct model_config *c = &b->model->config;
	struct k_act *act = &b->piece_act;
	prefill_embed(b->stream, b->piece_x, b->ld_h, b->piece_ids, b->embedding.high,
	              b->embedding.low, b->embedding.ld, n, b->h);
	for (int l = 0; l < c->layers; l++) {
		const struct cuda_layer *w = &b->layer[l];
		prefill_norm(b->stream, act->high, act->low, act->ld, b->piece_x, b->ld_h,
		             w->input_norm, n, b->h, norm_eps(b));
		product(b, l, STAGE_IN, n, b->piece_y, b->ld_in, false, mix);
		if (c->kind[l] == LAYER_DELTA)
			prefill_delta_layer(b, l, slot, position, n);
		else
			prefill_attention_layer(b, l, slot, position, n);
		product(b, l, STAGE_OUT, n, b->piece_x, b->ld_h, true, mix);
		prefill_norm(b->stream, act->high, act->low, act->ld, b->piece_x, b->ld_h,
		             w->post_norm, n, b->h, norm_eps(b));
		product(b, l, STAGE_GATE_UP, n, b->piece_y, b->ld_in, false, mix);
		prefill_silu_mul(b->stream, act->high, act->low, act->ld, b->piece_y,
		                 b->piece_y + b->mlp_rows, b->ld_in, n, c->mlp);
		product(b, l, STAGE_DOWN, n, b->piece_x, b->ld_h, true, mix);
	}
}
