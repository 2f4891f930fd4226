/*
 * Models of a given shape with made-up values, for benches: no file is read, so that the real sizes
 * can be timed on any machine.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/model_inside.h"
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

/* A_log and the gated norm are F32 in real files whatever the rest is. */
static enum dtype dtype_of(enum role role, enum dtype dtype)
{
	return role == ROLE_A_LOG || role == ROLE_PLAIN_NORM ? DTYPE_F32 : dtype;
}

static int make_item(void *ctx, const struct wanted *w, struct err *e)
{
	struct making *k = ctx;
	size_t len = strlen(w->name) + 1;

	(void)e;
	if (k->at) {
		struct tensor *t = &k->t->item[k->n];
		memcpy(k->at, w->name, len);
		t->name = k->at;
		t->dtype = dtype_of(w->role, k->dtype);
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

struct filling {
	struct model *m;
	char *at; /* the next free byte of m->own; NULL: only adding up */
	uint64_t bytes;
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

static void fill(const struct tensor *t, void *data, enum role role, uint64_t key)
{
	if (role == ROLE_MATRIX || role == ROLE_CONV) {
		fill_matrix(t, data, key);
		return;
	}
	for (uint64_t i = 0; i < t->n; i++) {
		float v = 0;
		if (role == ROLE_PLAIN_NORM || role == ROLE_DT_BIAS)
			v = 1;
		else if (role == ROLE_A_LOG) /* decay rates even in 0..16, as before training */
			v = logf(16 * (random_weight_uniform(key, i) + 0x1p-25f));
		if (t->dtype == DTYPE_F32)
			((float *)data)[i] = v;
		else
			((uint16_t *)data)[i] = bf16_round(v);
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
		fill(t, f->at, w->role,
		     random_weight_key(f->m->random_seed, (uint64_t)(t - all->item)));
		f->at += (t->bytes + 63) / 64 * 64;
	}
	f->bytes += (t->bytes + 63) / 64 * 64;
	return 0;
}

int model_random(struct model *m, const struct model_config *c, enum dtype dtype, uint64_t seed,
                 bool on_device, struct err *e)
{
	struct making k = { .t = &m->tensors, .dtype = dtype };
	struct filling f = { .m = m, .on_device = on_device };
	struct sha256 sha;

	memset(m, 0, sizeof(*m));
	if ((dtype != DTYPE_F32 && dtype != DTYPE_BF16) || seed == 0)
		return err_set(e, ERR_USAGE,
		               "random weights are F32 or BF16, and of a seed that is not 0");
	m->config = *c;
	m->random_seed = seed;
	m->dir = strdup("random");
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
	model_each(m, "model.", "lm_head.weight", fill_item, &f, e);
	m->own = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->own == MAP_FAILED) {
		m->own = NULL;
		err_errno(e, ERR_MEM, "random weights of %.1f GB", (double)f.bytes / 1e9);
		model_close(m);
		return -1;
	}
	m->own_bytes = f.bytes;
	madvise(m->own, f.bytes, MADV_HUGEPAGE);
	f.at = m->own;
	model_each(m, "model.", "lm_head.weight", fill_item, &f, e);
	if (c->tied)
		m->head = m->embedding;
	sha256_start(&sha);
	sha256_add(&sha, "random", 7);
	sha256_add(&sha, &seed, sizeof(seed));
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
