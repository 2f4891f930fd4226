/*
 * Models of a given shape with made-up values. For benches: no file is read, so that the real sizes
 * can be timed on any machine. For training from nothing: the values to begin with.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/model_inside.h"
#include "gpu/model_write.h"
#include "gpu/random_weight.h"
#include "src/base/sha256.h"

struct making {
	struct tensors *t;
	enum dtype dtype;
	size_t names; /* bytes taken or wanted */
	int n;
	char *at; /* where the next name goes; NULL: only counting */
	enum role *role;
};

static int make_item(void *ctx, const struct wanted *w, struct err *e)
{
	struct making *k = ctx;
	size_t len = strlen(w->name) + 1;

	(void)e;
	if (k->at) {
		struct tensor *t = &k->t->item[k->n];
		memcpy(k->at, w->name, len);
		t->name = k->at;
		t->dtype = role_dtype(w->role, k->dtype);
		t->n_dims = w->n_dims;
		t->n = 1;
		for (int i = 0; i < w->n_dims; i++) {
			t->dims[i] = w->dims[i];
			t->n *= (uint64_t)w->dims[i];
		}
		t->bytes = t->n * dtype_bytes(t->dtype);
		k->at += len;
	}
	k->names += len;
	k->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

/* Gives values to tensor @t, whose memory @data is. */
typedef void fill_fn(const struct model *m, const struct wanted *w, const struct tensor *t,
                     void *data, uint64_t key);

struct filling {
	struct model *m;
	fill_fn *fill;
	char *at; /* the next free byte of m->own; NULL: only adding up */
	uint64_t bytes;
	uint64_t seed;
	bool on_device;
};

static void fill_matrix(const struct tensor *t, void *data, uint64_t key)
{
	float *wide = data;
	uint16_t *narrow = data;

	if (t->dtype == DTYPE_F32)
		for (uint64_t i = 0; i < t->n; i++)
			wide[i] = random_weight(key, i);
	else
		for (uint64_t i = 0; i < t->n; i++)
			narrow[i] = bf16_round(random_weight(key, i));
}

/* model_random()'s values: the stock ones of a model before training. */
static void fill_stock(const struct model *m, const struct wanted *w, const struct tensor *t,
                       void *data, uint64_t key)
{
	(void)m;
	if (w->role == ROLE_MATRIX || w->role == ROLE_CONV) {
		fill_matrix(t, data, key);
		return;
	}
	for (uint64_t i = 0; i < t->n; i++) {
		float v = 0;
		if (w->role == ROLE_PLAIN_NORM || w->role == ROLE_DT_BIAS)
			v = 1;
		else if (w->role == ROLE_A_LOG) /* decay rates even in 0..16, as before training */
			v = logf(16 * (random_weight_uniform(key, i) + 0x1p-25f));
		if (t->dtype == DTYPE_F32)
			((float *)data)[i] = v;
		else
			((uint16_t *)data)[i] = bf16_round(v);
	}
}

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), k = strlen(with);

	return n >= k && strcmp(text + n - k, with) == 0;
}

/* The standard deviation of a fresh matrix's values. */
static float spread(const struct model *m, const struct wanted *w)
{
	static const enum module into_residual[] = { MODULE_O, MODULE_OUT, MODULE_DOWN };
	float v = 1 / sqrtf((float)w->dims[1]);
	char end[64];

	if (w->slot == &m->embedding || w->slot == &m->head)
		return 0.02f;
	for (size_t i = 0; i < sizeof(into_residual) / sizeof(*into_residual); i++) {
		snprintf(end, sizeof(end), ".%s.weight", module_path(into_residual[i]));
		if (ends(w->name, end))
			return v / sqrtf(2 * (float)m->config.layers);
	}
	return v;
}

/* model_fresh()'s values, F32. */
static void fill_fresh(const struct model *m, const struct wanted *w, const struct tensor *t,
                       void *data, uint64_t key)
{
	/* softplus of it is 1/4, 1/32, 1/256, 1/2048: with A = 1 the share of the state that a
	 * token forgets, so that heads remember about 4, 32, 256, 2,048 tokens in turn. As numbers,
	 * so that no library's logarithm decides the last bit: ln(e^(1/n) - 1). */
	static const float dt_bias[] = { -1.25869155f, -3.45007021f, -5.54322368f, -7.62437484f };
	float *out = data, scale;

	switch (w->role) {
	case ROLE_MATRIX:
		scale = spread(m, w) / 0.02f;
		for (uint64_t i = 0; i < t->n; i++)
			out[i] = scale * random_weight(key, i);
		break;
	case ROLE_CONV: /* [channels, 1, K]: the token itself, and a trace of those before it */
		for (uint64_t i = 0; i < t->n; i++) {
			bool last = (i + 1) % (uint64_t)w->dims[2] == 0;
			out[i] = last ? 1 : random_weight(key, i);
		}
		break;
	case ROLE_DT_BIAS:
		for (uint64_t i = 0; i < t->n; i++)
			out[i] = dt_bias[i % 4];
		break;
	case ROLE_NORM:
	case ROLE_PLAIN_NORM:
	case ROLE_A_LOG:
		for (uint64_t i = 0; i < t->n; i++)
			out[i] = w->role == ROLE_PLAIN_NORM;
		break;
	}
}

static int fill_item(void *ctx, const struct wanted *w, struct err *e)
{
	struct filling *f = ctx;
	struct tensors *all = &f->m->tensors;
	/* ours, and not const yet */
	struct tensor *t = &all->item[tensors_find(all, w->name) - all->item];

	(void)e;
	*w->slot = t;
	if (f->on_device && w->role == ROLE_MATRIX)
		return 0;
	if (f->at) {
		t->data = f->at;
		f->fill(f->m, w, t, f->at, random_weight_key(f->seed, (uint64_t)(t - all->item)));
		f->at += (t->bytes + 63) / 64 * 64;
	}
	f->bytes += (t->bytes + 63) / 64 * 64;
	return 0;
}

/* Makes @m, zeroed, with @f's values; @kind goes into its hash. */
static int make(struct model *m, const struct model_config *c, enum dtype dtype, const char *kind,
                struct filling *f, struct err *e)
{
	struct making k = { .t = &m->tensors, .dtype = dtype };
	struct sha256 sha;

	m->config = *c;
	m->dir = strdup(kind);
	m->layer = calloc((size_t)c->layers, sizeof(*m->layer));
	if (!m->dir || !m->layer)
		goto no_memory;
	model_each(m, "model.", "lm_head.weight", make_item, &k, e);
	m->tensors.item = calloc((size_t)k.n, sizeof(*m->tensors.item));
	m->tensors.names = k.at = malloc(k.names);
	if (!m->tensors.item || !m->tensors.names)
		goto no_memory;
	k.n = 0;
	model_each(m, "model.", "lm_head.weight", make_item, &k, e);
	m->tensors.n = k.n;
	qsort(m->tensors.item, (size_t)k.n, sizeof(*m->tensors.item), by_name);
	model_each(m, "model.", "lm_head.weight", fill_item, f, e);
	m->own = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->own == MAP_FAILED) {
		m->own = NULL;
		err_errno(e, ERR_MEM, "%s weights of %.1f GB", kind, (double)f->bytes / 1e9);
		model_close(m);
		return -1;
	}
	m->own_bytes = f->bytes;
	madvise(m->own, f->bytes, MADV_HUGEPAGE);
	f->at = m->own;
	model_each(m, "model.", "lm_head.weight", fill_item, f, e);
	if (c->tied)
		m->head = m->embedding;
	sha256_start(&sha);
	sha256_add(&sha, kind, strlen(kind));
	sha256_add(&sha, &f->seed, sizeof(f->seed));
	sha256_add(&sha, &dtype, sizeof(dtype));
	for (int i = 0; i < m->tensors.n; i++) {
		const struct tensor *t = &m->tensors.item[i];
		sha256_add(&sha, t->name, strlen(t->name) + 1);
		sha256_add(&sha, t->dims, sizeof(t->dims));
	}
	sha256_end(&sha, m->hash);
	return 0;
no_memory:
	model_close(m);
	return err_set(e, ERR_MEM, "no memory for the tensors' names");
}

int model_random(struct model *m, const struct model_config *c, enum dtype dtype, uint64_t seed,
                 bool on_device, struct err *e)
{
	struct filling f = { .m = m, .fill = fill_stock, .seed = seed, .on_device = on_device };

	memset(m, 0, sizeof(*m));
	if ((dtype != DTYPE_F32 && dtype != DTYPE_BF16) || seed == 0)
		return err_set(e, ERR_USAGE,
		               "random weights are F32 or BF16, and of a seed that is not 0");
	m->random_seed = seed;
	return make(m, c, dtype, "random", &f, e);
}

int model_fresh(struct model *m, const struct model_config *c, uint64_t seed, struct err *e)
{
	struct filling f = { .m = m, .fill = fill_fresh, .seed = seed };

	memset(m, 0, sizeof(*m));
	return make(m, c, DTYPE_F32, "fresh", &f, e);
}
