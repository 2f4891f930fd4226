/*
 * What is learnt, by name: all tensors of a model in model_each()'s order, which is also that of
 * its file when it is written, or the A and B of an adapter, layer by layer.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/model_inside.h"
#include "gpu/random_weight.h"
#include "gpu/train.h"

struct list {
	struct param *item;
	int n, room;
	uint64_t values;
	const struct model *m; /* whose slots the tensors have */
};

static struct param *add(struct list *l, struct err *e)
{
	if (l->n == l->room) {
		int room = l->room ? 2 * l->room : 64;
		struct param *item = realloc(l->item, (size_t)room * sizeof(*item));
		if (!item) {
			err_set(e, ERR_MEM, "no memory for a list of %d parameters", room);
			return NULL;
		}
		l->item = item;
		l->room = room;
	}
	struct param *p = &l->item[l->n++];
	memset(p, 0, sizeof(*p));
	p->at = l->values;
	return p;
}

/* The layer and module whose tensor goes into @slot. */
static void find_module(struct param *p, const struct model *m, const struct tensor **slot)
{
	p->layer = -1;
	p->module = MODULE_COUNT;
	for (int l = 0; l < m->config.layers; l++) {
		const struct tensor **first = (const struct tensor **)(void *)&m->layer[l];
		if ((void *)slot < (void *)first || (void *)slot >= (void *)&m->layer[l + 1])
			continue;
		p->layer = l;
		for (enum module k = 0; k < MODULE_COUNT; k++)
			if (slot == &m->layer[l].linear[k])
				p->module = k;
	}
}

static int add_tensor(void *ctx, const struct wanted *w, struct err *e)
{
	struct list *l = ctx;
	struct param *p = add(l, e);

	if (!p)
		return -1;
	snprintf(p->name, sizeof(p->name), "%s", w->name);
	find_module(p, l->m, w->slot);
	p->rows = w->n_dims == 1 ? 1 : w->dims[0];
	p->cols = w->dims[w->n_dims - 1];
	if (w->role != ROLE_MATRIX)
		p->kind = PARAM_VECTOR;
	else if (p->module == MODULE_COUNT)
		p->kind = PARAM_EMBEDDING;
	else
		p->kind =
			p->module == MODULE_A || p->module == MODULE_B ? PARAM_GATE : PARAM_MATRIX;
	l->values += (uint64_t)p->rows * (uint64_t)p->cols;
	return 0;
}

static int full_params(struct list *l, const struct model_config *c, struct err *e)
{
	struct model m = { .config = *c };

	m.layer = calloc((size_t)c->layers, sizeof(*m.layer));
	if (!m.layer)
		return err_set(e, ERR_MEM, "no memory for %d layers", c->layers);
	l->m = &m;
	int rc = model_each(&m, "model.", "lm_head.weight", add_tensor, l, e);
	l->m = NULL;
	free(m.layer);
	return rc;
}

static int rank_of(const struct train_options *o, int layer, enum module k)
{
	if (o->from)
		return o->from->part[layer][k].rank;
	return o->targets >> k & 1 ? o->rank : 0;
}

static int lora_params(struct list *l, const struct model_config *c, const struct train_options *o,
                       struct err *e)
{
	int out, in;

	if (o->from && o->from->layers != c->layers)
		return err_set(
			e, ERR_INPUT,
			"the adapter to go on from is for a base of %d layers, this one has %d",
			o->from->layers, c->layers);
	if (!o->from && (o->rank < 1 || o->rank > 4096))
		return err_set(e, ERR_INPUT, "rank: a number from 1 to 4096 wanted, got %d",
		               o->rank);
	for (int i = 0; i < c->layers; i++)
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			if (!module_shape(c, i, k, &out, &in) || rank_of(o, i, k) == 0)
				continue;
			for (int b = 0; b < 2; b++) {
				struct param *p = add(l, e);
				if (!p)
					return -1;
				snprintf(p->name, sizeof(p->name),
				         "base_model.model.model.layers.%d.%s.lora_%c.weight", i,
				         module_path(k), 'A' + b);
				p->kind = PARAM_MATRIX;
				p->layer = i;
				p->module = k;
				p->is_b = b;
				p->rows = b ? out : rank_of(o, i, k);
				p->cols = b ? rank_of(o, i, k) : in;
				l->values += (uint64_t)p->rows * (uint64_t)p->cols;
			}
		}
	for (enum module k = 0; k < MODULE_COUNT && !o->from; k++) {
		bool there = false;
		for (int i = 0; i < c->layers; i++)
			there |= module_shape(c, i, k, &out, &in);
		if ((o->targets >> k & 1) && !there)
			return err_set(e, ERR_INPUT, "targets: no layer of this model has a %s",
			               module_name(k));
	}
	if (l->n == 0)
		return err_set(e, ERR_INPUT, "targets: none given, so nothing would be learnt");
	return 0;
}

int train_params(struct param **out, int *n, uint64_t *values, const struct model_config *c,
                 const struct train_options *o, struct err *e)
{
	struct list l = { 0 };

	if ((o->full ? full_params(&l, c, e) : lora_params(&l, c, o, e)) < 0) {
		free(l.item);
		return -1;
	}
	*out = l.item;
	*n = l.n;
	*values = l.values;
	return 0;
}

/* ---- first values ---- */

struct reading {
	float *at;
};

static int read_tensor(void *ctx, const struct wanted *w, struct err *e)
{
	struct reading *r = ctx;
	const struct tensor *t = *w->slot;

	if (!t->data)
		return err_set(e, ERR_USAGE,
		               "'%s' has values on a device alone and cannot be learnt", w->name);
	tensor_read(t, 0, t->n, r->at);
	r->at += t->n;
	return 0;
}

int train_first_values(const struct model *m, const struct train_options *o,
                       const struct param *param, int n, float *out, struct err *e)
{
	if (o->full) {
		struct model same = *m; /* model_each() takes one that it may fill */
		return model_each(&same, "model.", "lm_head.weight", read_tensor,
		                  &(struct reading){ out }, e);
	}
	for (int i = 0; i < n; i++) {
		const struct param *p = &param[i];
		size_t count = (size_t)p->rows * (size_t)p->cols;
		if (o->from) {
			const struct lora_part *part = &o->from->part[p->layer][p->module];
			const float *v = p->is_b ? part->b : part->a;
			if (!v)
				return err_set(e, ERR_USAGE,
				               "the adapter to go on from was only "
				               "looked at: its values are wanted");
			memcpy(out + p->at, v, count * sizeof(float));
		} else if (p->is_b) {
			memset(out + p->at, 0, count * sizeof(float));
		} else {
			float bound = 1 / sqrtf((float)p->cols);
			uint64_t key = random_weight_key(o->seed, (uint64_t)i);
			for (size_t j = 0; j < count; j++)
				out[p->at + j] = bound * (2 * random_weight_uniform(key, j) - 1);
		}
	}
	return 0;
}

/* ---- the adapter as it stands ---- */

float train_lora_scale(const struct train_options *o, int layer, enum module k)
{
	if (o->from)
		return o->from->part[layer][k].scale;
	return o->rslora ? o->alpha / sqrtf((float)o->rank) : o->alpha / (float)o->rank;
}

int train_adapter(struct trainer *t, struct adapter *out, struct err *e)
{
	const struct trainer_base *b = trainer_base(t);
	int layers = b->model->config.layers;
	struct adapter a = { .layers = layers, .parameters = b->values };
	float *v;

	if (b->options.full)
		return err_set(e, ERR_USAGE, "full training makes no adapter");
	a.part = calloc((size_t)layers, sizeof(*a.part));
	a.own = malloc(b->values * sizeof(float) + 1);
	if (!a.part || !a.own) {
		train_adapter_release(&a);
		return err_set(e, ERR_MEM, "no memory for an adapter of %" PRIu64 " values",
		               b->values);
	}
	v = a.own;
	for (int i = 0; i < b->params; i++) {
		const struct param *p = &b->param[i];
		struct lora_part *part = &a.part[p->layer][p->module];
		if (b->ops->read(t, i, PARAM_VALUE, v + p->at, e) < 0) {
			train_adapter_release(&a);
			return -1;
		}
		*(p->is_b ? &part->b : &part->a) = v + p->at;
		if (p->is_b)
			continue;
		part->rank = (int)p->rows;
		part->scale = train_lora_scale(&b->options, p->layer, p->module);
		a.rank_max = part->rank > a.rank_max ? part->rank : a.rank_max;
		a.modules++;
	}
	a.rslora = b->options.from ? b->options.from->rslora : b->options.rslora;
	*out = a;
	return 0;
}

void train_adapter_release(struct adapter *a)
{
	free(a->part);
	free(a->own);
	memset(a, 0, sizeof(*a));
}
