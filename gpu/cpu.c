/*
 * cpu.c - the CPU backend: weights as kernels want them, slots over shared pages of keys and
 * values, adapters, steps and picks. What a step computes: gpu/cpu_forward.c.
 *
 * Memory. Weights stay in the model's map, at the bytes they have there, unless another dtype is
 * asked for. Activations are sized at open. A slot's states come with the slot, its pages when a
 * step needs them, taken before anything is computed, so that a step that has no room is refused
 * whole. Pages are shared between copies of a slot; who writes into a shared one copies it first.
 */
#include "gpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/clock.h"

/* ---- weights ---- */

static void *own(struct cpu *b, size_t bytes, struct err *e)
{
	void **more = realloc(b->owned, (size_t)(b->n_owned + 1) * sizeof *more);
	if (more)
		b->owned = more;
	/* 2 MiB pages save a third of the time of reading them */
	size_t align = bytes >= (4u << 20) ? 2u << 20 : 64;
	void *p = more ? aligned_alloc(align, (bytes + align - 1) / align * align) : NULL;
	if (!p) {
		err_set(e, ERR_MEM, "no memory for weights: %zu MiB more wanted", bytes >> 20);
		return NULL;
	}
	if (align > 64)
		madvise(p, bytes, MADV_HUGEPAGE);
	return b->owned[b->n_owned++] = p;
}

/* @plus 1 for zero-centred norms. */
static float *vector(struct cpu *b, const struct tensor *t, float plus, struct err *e)
{
	float *v = own(b, row_pad(t->n) * sizeof *v, e);
	if (!v)
		return NULL;
	tensor_read(t, 0, t->n, v);
	for (uint64_t i = 0; i < t->n; i++)
		v[i] += plus;
	return v;
}

struct conversion {
	const struct tensor *from;
	struct mat *to;
};

static void convert_row(void *arg, int row, int thread)
{
	const struct conversion *a = arg;
	const struct mat *m = a->to;
	const size_t n = (size_t)m->cols;
	(void)thread;
	for (size_t at = 0; at < n; at += Q8_GROUP) {
		float w[Q8_GROUP];
		size_t count = n - at < Q8_GROUP ? n - at : Q8_GROUP;
		size_t i = (size_t)row * n + at;
		tensor_read(a->from, i, count, w);
		if (m->kind == MAT_F32) {
			memcpy((float *)m->data + i, w, count * sizeof *w);
		} else if (m->kind == MAT_BF16) {
			for (size_t j = 0; j < count; j++)
				((uint16_t *)m->data)[i + j] = bf16_round(w[j]);
		} else {
			/* the largest of a group becomes 127; NaN goes into the scale, so that it
			 * is not lost */
			float top = 0;
			for (size_t j = 0; j < count; j++)
				top = isnan(w[j]) || fabsf(w[j]) > top ? fabsf(w[j]) : top;
			float scale = top / 127;
			for (size_t j = 0; j < count; j++) {
				float q = scale > 0 && isfinite(scale) ? w[j] / scale : 0;
				q = q > 127 ? 127 : q < -127 ? -127 : q;
				((int8_t *)m->data)[i + j] = (int8_t)lrintf(q);
			}
			((float *)m->scale)[(size_t)row * ((n + Q8_GROUP - 1) / Q8_GROUP) +
			                    at / Q8_GROUP] = scale;
		}
	}
}

static int matrix(struct cpu *b, struct mat *m, const struct tensor *t, enum backend_dtype dtype,
                  struct err *e)
{
	m->rows = (int)t->dims[0];
	m->cols = (int)t->dims[1];
	m->data = t->data;
	m->kind = t->dtype == DTYPE_F32 ? MAT_F32 : t->dtype == DTYPE_F16 ? MAT_F16 : MAT_BF16;
	const enum mat_kind wanted = dtype == BACKEND_BF16   ? MAT_BF16
	                             : dtype == BACKEND_F32  ? MAT_F32
	                             : dtype == BACKEND_INT8 ? MAT_Q8
	                                                     : m->kind;
	if (wanted != m->kind) {
		size_t each = wanted == MAT_F32 ? 4 : wanted == MAT_BF16 ? 2 : 1;
		m->kind = wanted;
		m->data = own(b, t->n * each, e);
		if (!m->data)
			return -1;
		if (wanted == MAT_Q8) {
			size_t groups = ((size_t)m->cols + Q8_GROUP - 1) / Q8_GROUP;
			m->scale = own(b, groups * (size_t)m->rows * sizeof(float), e);
			if (!m->scale)
				return -1;
		}
		struct conversion a = { t, m };
		/* a region has fewer than 2^24 items; a vocabulary may have more rows */
		for (int row = 0; row < m->rows; row++)
			if (row == 0 && m->rows < 1 << 24) {
				pool_run(b->pool, convert_row, &a, m->rows);
				break;
			} else {
				convert_row(&a, row, 0);
			}
	}
	b->weight_bytes += (uint64_t)m->rows * mat_row_bytes(m);
	return 0;
}

static int layer_open(struct cpu *b, struct cpu_layer *to, const struct layer *from,
                      enum backend_dtype dtype, struct err *e)
{
	const struct model_config *c = &b->c;
	to->kind = from->kind;
	for (int m = 0; m < MODULE_COUNT; m++) {
		/* decay and beta are few and steer the state: never int8 */
		enum backend_dtype d = dtype == BACKEND_INT8 && (m == MODULE_A || m == MODULE_B)
		                               ? BACKEND_AS_STORED
		                               : dtype;
		if (from->linear[m] && matrix(b, &to->linear[m], from->linear[m], d, e) < 0)
			return -1;
	}
	to->input_norm = vector(b, from->input_norm, 1, e);
	to->post_norm = vector(b, from->post_norm, 1, e);
	if (!to->input_norm || !to->post_norm)
		return -1;
	if (from->kind == LAYER_ATTENTION) {
		to->q_norm = vector(b, from->q_norm, 1, e);
		to->k_norm = vector(b, from->k_norm, 1, e);
		return to->q_norm && to->k_norm ? 0 : -1;
	}
	to->minus_a = vector(b, from->a_log, 0, e);
	to->dt_bias = vector(b, from->dt_bias, 0, e);
	to->norm = vector(b, from->norm, 0, e);
	float *taps = vector(b, from->conv, 0, e); /* [channels][K] */
	to->conv = own(b, (size_t)c->conv * b->ld_channels * sizeof(float), e);
	if (!to->minus_a || !to->dt_bias || !to->norm || !taps || !to->conv)
		return -1;
	for (int i = 0; i < c->value_heads; i++)
		to->minus_a[i] = -expf(to->minus_a[i]);
	memset(to->conv, 0, (size_t)c->conv * b->ld_channels * sizeof(float));
	for (int i = 0; i < config_channels(c); i++)
		for (int j = 0; j < c->conv; j++)
			to->conv[(size_t)j * b->ld_channels + (size_t)i] = taps[i * c->conv + j];
	return 0;
}

static int weights_open(struct cpu *b, enum backend_dtype dtype, struct err *e)
{
	const struct model *m = b->model;
	const struct model_config *c = &b->c;
	b->layer = calloc((size_t)c->layers, sizeof *b->layer);
	b->inverse_frequency = calloc((size_t)c->rotary / 2 + 1, sizeof(float));
	if (!b->layer || !b->inverse_frequency)
		return err_set(e, ERR_MEM, "no memory for %d layers", c->layers);
	for (int i = 0; i < c->rotary / 2; i++)
		b->inverse_frequency[i] =
			1.0f / (float)pow(c->rope_theta, 2.0 * i / (double)c->rotary);
	int n_delta = 0, n_attention = 0;
	for (int i = 0; i < c->layers; i++) {
		b->layer[i].index = m->layer[i].kind == LAYER_DELTA ? n_delta++ : n_attention++;
		if (layer_open(b, &b->layer[i], &m->layer[i], dtype, e) < 0)
			return -1;
	}
	b->final_norm = vector(b, m->final_norm, 1, e);
	if (!b->final_norm)
		return -1;
	return matrix(b, &b->head, m->head, dtype, e);
}

/* ---- pages of keys and values ---- */

static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	unsigned long long kib = 0;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	if (kib)
		return (uint64_t)kib << 10;
	return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int pages_open(struct cpu *b, uint64_t kv_bytes, struct err *e)
{
	const struct model_config *c = &b->c;
	b->hd_pad = row_pad((size_t)c->head_dim);
	b->page_floats = (size_t)c->n_attention * (size_t)c->kv_heads * 2 * CPU_PAGE * b->hd_pad;
	b->pages_max = (b->context + CPU_PAGE - 1) / CPU_PAGE;
	const uint64_t page_bytes = b->page_floats * sizeof(float);
	uint64_t pages = (uint64_t)b->pages_max * (uint64_t)b->n_slots; /* nobody needs more */
	if (page_bytes > 0) {
		uint64_t room = (kv_bytes ? kv_bytes : memory_available() / 4) / page_bytes;
		pages = pages < room ? pages : room;
	}
	pages = pages < INT32_MAX ? pages : INT32_MAX;
	if (pages == 0)
		return err_set(e, ERR_MEM,
		               "%llu bytes for keys and values hold no page of %d tokens: %llu are "
		               "the least for this model",
		               (unsigned long long)kv_bytes, CPU_PAGE,
		               (unsigned long long)page_bytes);
	b->n_pages = b->n_free = (int)pages;
	b->free_page = malloc((size_t)pages * sizeof *b->free_page);
	b->page_users = calloc((size_t)pages, sizeof *b->page_users);
	b->kv_mapped = pages * page_bytes;
	if (b->kv_mapped) {
		b->kv = mmap(NULL, b->kv_mapped, PROT_READ | PROT_WRITE,
		             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (b->kv == MAP_FAILED)
			b->kv = NULL;
	}
	if (!b->free_page || !b->page_users || (b->kv_mapped && !b->kv))
		return err_set(e, ERR_MEM, "no memory for %llu MiB of keys and values",
		               (unsigned long long)b->kv_mapped >> 20);
	/* low numbers first: memory that was never touched is not taken */
	for (int i = 0; i < b->n_pages; i++)
		b->free_page[i] = b->n_pages - 1 - i;
	return 0;
}

static void page_drop(struct cpu *b, int32_t page)
{
	if (--b->page_users[page] == 0)
		b->free_page[b->n_free++] = page;
}

/* Pages that taking @n more tokens wants: new ones, and a copy of the last one when it is shared.
 */
static int pages_wanted(const struct cpu *b, const struct cpu_slot *s, int n)
{
	int want = (s->position + n + CPU_PAGE - 1) / CPU_PAGE - s->n_pages;
	if (want < 0)
		want = 0;
	int first = s->position / CPU_PAGE, last = (s->position + n - 1) / CPU_PAGE;
	for (int i = first; i <= last && i < s->n_pages; i++)
		want += b->page_users[s->page[i]] > 1;
	return want;
}

/* There are enough free ones. */
static void pages_take(struct cpu *b, struct cpu_slot *s, int n)
{
	int first = s->position / CPU_PAGE, last = (s->position + n - 1) / CPU_PAGE;
	for (int i = first; i <= last; i++) {
		if (i < s->n_pages && b->page_users[s->page[i]] == 1)
			continue;
		int32_t page = b->free_page[--b->n_free];
		b->page_users[page] = 1;
		if (i < s->n_pages) {
			if (b->page_floats)
				memcpy(b->kv + (size_t)page * b->page_floats,
				       b->kv + (size_t)s->page[i] * b->page_floats,
				       b->page_floats * sizeof(float));
			page_drop(b, s->page[i]);
		} else {
			s->n_pages = i + 1;
		}
		s->page[i] = page;
	}
}

/* ---- slots ---- */

static void slot_release(struct cpu *b, struct cpu_slot *s)
{
	for (int i = 0; i < s->n_pages; i++)
		page_drop(b, s->page[i]);
	free(s->state);
	free(s->page);
	free(s->undo.state);
	free(s->undo.u);
	free(s->undo.k);
	free(s->undo.d);
	free(s->undo.decay);
	*s = (struct cpu_slot){ 0 };
}

static struct cpu_slot *slot_get(const struct cpu *b, int slot)
{
	return slot >= 0 && slot < b->n_slots && b->slot[slot].open ? &b->slot[slot] : NULL;
}

static int cpu_slot_open(struct backend *base, int from, struct err *e)
{
	struct cpu *b = (struct cpu *)base;
	const struct cpu_slot *of = from < 0 ? NULL : slot_get(b, from);
	int i = 0;
	if (from >= 0 && !of)
		return err_set(e, ERR_USAGE, "slot %d is not open and cannot be copied", from);
	while (i < b->n_slots && b->slot[i].open)
		i++;
	if (i == b->n_slots)
		return err_set(e, ERR_MEM,
		               "all %d slots are taken: close a sequence or a kept prefix, or ask "
		               "for more slots",
		               b->n_slots);
	struct cpu_slot *s = &b->slot[i];
	s->state = aligned_alloc(64, row_pad(b->state_floats + 1) * sizeof(float));
	s->page = malloc((size_t)b->pages_max * sizeof *s->page);
	if (!s->state || !s->page) {
		slot_release(b, s);
		return err_set(e, ERR_MEM, "no memory for the state of another sequence: %zu MiB",
		               b->state_floats * sizeof(float) >> 20);
	}
	s->open = true;
	s->last = -1;
	if (of) {
		memcpy(s->state, of->state, b->state_floats * sizeof(float));
		memcpy(s->page, of->page, (size_t)of->n_pages * sizeof *s->page);
		s->n_pages = of->n_pages;
		s->position = of->position;
		s->last = of->last;
		for (int p = 0; p < s->n_pages; p++)
			b->page_users[s->page[p]]++;
	} else {
		memset(s->state, 0, b->state_floats * sizeof(float));
	}
	return i;
}

static void cpu_slot_close(struct backend *base, int slot)
{
	struct cpu *b = (struct cpu *)base;
	if (slot_get(b, slot))
		slot_release(b, &b->slot[slot]);
}

static int cpu_slot_position(const struct backend *base, int slot)
{
	const struct cpu_slot *s = slot_get((const struct cpu *)base, slot);
	return s ? s->position : -1;
}

static int undo_reserve(const struct cpu *b, struct cpu_slot *s, struct err *e)
{
	const struct model_config *c = &b->c;
	struct cpu_undo *u = &s->undo;
	if (u->decay)
		return 0;
	size_t rows = (size_t)c->n_delta * BACKEND_WINDOW_MAX + 1;
	if (!u->state)
		u->state = malloc((b->state_floats + 1) * sizeof(float));
	if (!u->u)
		u->u = malloc(rows * b->ld_channels * sizeof(float));
	if (!u->k)
		u->k = malloc(rows * (size_t)c->key_heads * b->ld_key * sizeof(float));
	if (!u->d)
		u->d = malloc(rows * (size_t)c->value_heads * b->ld_value * sizeof(float));
	if (u->state && u->u && u->k && u->d)
		u->decay = malloc(rows * (size_t)c->value_heads * sizeof(float));
	return u->decay ? 0
	                : err_set(e, ERR_MEM, "no memory to be able to cut a window back: %zu MiB",
	                          b->state_floats * sizeof(float) >> 20);
}

static int cpu_keep(struct backend *base, int slot, int n_kept, struct err *e)
{
	struct cpu *b = (struct cpu *)base;
	struct cpu_slot *s = slot_get(b, slot);
	if (!s)
		return err_set(e, ERR_USAGE, "slot %d is not open", slot);
	if (s->undo.n == 0)
		return err_set(e, ERR_USAGE,
		               "slot %d: its last run was no window: nothing can be cut back",
		               slot);
	if (n_kept < 1 || n_kept > s->undo.n)
		return err_set(e, ERR_USAGE, "slot %d: %d of a window of %d tokens cannot be kept",
		               slot, n_kept, s->undo.n);
	if (n_kept < s->undo.n)
		cpu_rewind(b, s, n_kept);
	s->undo.n = n_kept;
	s->position = s->undo.position + n_kept;
	return 0;
}

/* ---- adapters ---- */

static int cpu_adapter_add(struct backend *base, const struct adapter *a, struct err *e)
{
	struct cpu *b = (struct cpu *)base;
	const struct model_config *c = &b->c;
	if (a->layers != c->layers)
		return err_set(e, ERR_INPUT, "adapter %s has %d layers, the model %d", a->name,
		               a->layers, c->layers);
	int number = 0;
	while (number < b->n_adapters && b->adapter[number].values)
		number++;
	if (number == b->n_adapters) {
		struct cpu_adapter *more = realloc(b->adapter, (size_t)(number + 1) * sizeof *more);
		if (!more)
			return err_set(e, ERR_MEM, "no memory for adapter %s", a->name);
		b->adapter = more;
		more[number] = (struct cpu_adapter){ 0 };
		b->n_adapters++;
	}
	struct cpu_adapter *to = &b->adapter[number];
	size_t total = ROW_PAD; /* spread() reads so far beyond the last row */
	for (int l = 0; l < a->layers; l++)
		for (int m = 0; m < MODULE_COUNT; m++) {
			int out, in, rank = a->part[l][m].rank;
			if (rank == 0)
				continue;
			if (!module_shape(c, l, (enum module)m, &out, &in))
				return err_set(e, ERR_INPUT,
				               "adapter %s: layer %d of the model has no %s",
				               a->name, l, module_name((enum module)m));
			total += (size_t)rank * ((size_t)in + row_pad((size_t)out));
		}
	to->values = malloc(total * sizeof(float));
	to->part = calloc((size_t)a->layers, sizeof *to->part);
	if (!to->values || !to->part) {
		free(to->values);
		free(to->part);
		*to = (struct cpu_adapter){ 0 };
		return err_set(e, ERR_MEM, "no memory for adapter %s: %zu MiB", a->name,
		               total * sizeof(float) >> 20);
	}
	float *at = to->values;
	to->rank_max = 1;
	for (int l = 0; l < a->layers; l++)
		for (int m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a->part[l][m];
			int out, in;
			if (p->rank == 0 || !module_shape(c, l, (enum module)m, &out, &in))
				continue;
			struct cpu_part *part = &to->part[l][m];
			size_t n_a = (size_t)p->rank * (size_t)in;
			size_t ldb = row_pad((size_t)out), n_b = (size_t)p->rank * ldb;
			float *b_turned = at + n_a;
			memcpy(at, p->a, n_a * sizeof(float));
			memset(b_turned, 0, n_b * sizeof(float));
			for (int r = 0; r < out; r++)
				for (int k = 0; k < p->rank; k++)
					b_turned[(size_t)k * ldb + (size_t)r] =
						p->b[(size_t)r * (size_t)p->rank + (size_t)k];
			part->a = (struct mat){
				.kind = MAT_F32, .data = at, .rows = p->rank, .cols = in
			};
			part->b = b_turned;
			part->ldb = ldb;
			part->scale = p->scale;
			at += n_a + n_b;
			to->rank_max = p->rank > to->rank_max ? p->rank : to->rank_max;
		}
	return number + 1;
}

static const struct cpu_adapter *adapter_get(const struct cpu *b, int adapter)
{
	return adapter >= 1 && adapter <= b->n_adapters && b->adapter[adapter - 1].values
	               ? &b->adapter[adapter - 1]
	               : NULL;
}

static void cpu_adapter_drop(struct backend *base, int adapter)
{
	struct cpu *b = (struct cpu *)base;
	if (!adapter_get(b, adapter))
		return;
	free(b->adapter[adapter - 1].values);
	free(b->adapter[adapter - 1].part);
	b->adapter[adapter - 1] = (struct cpu_adapter){ 0 };
}

/* ---- steps ---- */

static bool row_wanted(const struct run *r, int row)
{
	return r->rows == ROWS_ALL || (r->rows == ROWS_LAST && row == r->n - 1);
}

static int run_check(const struct cpu *b, const struct step *st, int i, struct err *e)
{
	const struct run *r = &st->run[i];
	const struct cpu_slot *s = slot_get(b, r->slot);
	if (!s)
		return err_set(e, ERR_USAGE, "run %d: slot %d is not open", i, r->slot);
	for (int j = 0; j < i; j++)
		if (st->run[j].slot == r->slot)
			return err_set(e, ERR_USAGE, "runs %d and %d: both are of slot %d", j, i,
			               r->slot);
	if (r->n < 1 || r->n > (r->window ? BACKEND_WINDOW_MAX : BACKEND_PIECE))
		return err_set(e, ERR_USAGE, "run %d: 1 to %d tokens can be fed, not %d", i,
		               r->window ? BACKEND_WINDOW_MAX : BACKEND_PIECE, r->n);
	if (r->n > b->context - s->position)
		return err_set(
			e, ERR_USAGE,
			"run %d: slot %d holds %d tokens and %d more don't fit into the "
			"context of %d: shorten the prompt or open the model with a longer one",
			i, r->slot, s->position, r->n, b->context);
	if (!r->ids && (r->n != 1 || s->last < 0))
		return err_set(e, ERR_USAGE,
		               r->n != 1 ? "run %d: %d tokens, but no ids"
		                         : "run %d: no ids, and none was picked for its slot",
		               i, r->n);
	for (int j = 0; r->ids && j < r->n; j++)
		if (r->ids[j] < 0 || r->ids[j] >= b->c.vocabulary)
			return err_set(e, ERR_USAGE, "run %d: id %d is not within 0 to %d", i,
			               r->ids[j], b->c.vocabulary - 1);
	if (r->mix.n < 0 || r->mix.n > LORA_BLEND_MAX)
		return err_set(e, ERR_USAGE, "run %d: 0 to %d adapters can be blended, not %d", i,
		               LORA_BLEND_MAX, r->mix.n);
	for (int j = 0; j < r->mix.n; j++)
		if (!adapter_get(b, r->mix.part[j].adapter))
			return err_set(e, ERR_USAGE, "run %d: there is no adapter %d", i,
			               r->mix.part[j].adapter);
	return 0;
}

/* All that can be refused is refused here; then there is room for all of the step. */
static int step_check(struct cpu *b, const struct step *st, struct err *e)
{
	if (b->pending)
		return err_set(e, ERR_USAGE, "a step is queued that was not collected");
	if (st->n_runs < 1 || st->n_picks < 0)
		return err_set(e, ERR_USAGE, "a step of %d runs and %d picks", st->n_runs,
		               st->n_picks);
	int64_t pages = 0;
	for (int i = 0; i < st->n_runs; i++) {
		if (run_check(b, st, i, e) < 0)
			return -1;
		pages += pages_wanted(b, &b->slot[st->run[i].slot], st->run[i].n);
	}
	for (int i = 0; i < st->n_picks; i++) {
		const struct pick *p = &st->pick[i];
		if (p->run < 0 || p->run >= st->n_runs || p->row < 0 ||
		    p->row >= st->run[p->run].n || !row_wanted(&st->run[p->run], p->row))
			return err_set(e, ERR_USAGE,
			               "pick %d: row %d of run %d is not among its rows", i, p->row,
			               p->run);
	}
	if (pages > b->n_free)
		return err_set(e, ERR_MEM,
		               "keys and values: %lld pages of %d tokens are wanted, %d of %d are "
		               "free: close sequences or kept prefixes, or give them more memory",
		               (long long)pages, CPU_PAGE, b->n_free, b->n_pages);
	if (st->n_picks > b->picked_cap) {
		struct picked *more = realloc(b->picked, (size_t)st->n_picks * sizeof *more);
		if (!more)
			return err_set(e, ERR_MEM, "no memory for %d picks", st->n_picks);
		b->picked = more;
		b->picked_cap = st->n_picks;
	}
	for (int i = 0; i < st->n_runs; i++)
		if (st->run[i].window && undo_reserve(b, &b->slot[st->run[i].slot], e) < 0)
			return -1;
	return 0;
}

struct picking {
	struct cpu *b;
	const struct step *step;
	const float *logits;
	const int *row_of; /* [n_picks]: row of logits, or -1: not among them */
};

static void pick_item(void *arg, int item, int thread)
{
	const struct picking *a = arg;
	if (a->row_of[item] < 0)
		return;
	struct picked *p = &a->b->picked[item];
	const float *logits = a->logits + (size_t)a->row_of[item] * (size_t)a->b->c.vocabulary;
	if (sampler_pick(a->b->sampler[thread], logits, &a->step->pick[item].input, p) < 0) {
		*p = (struct picked){ 0 };
		p->id = -1;
	}
}

/* A pass: some columns of the step. */
struct pass {
	struct cpu_span *span;
	int *run, *first; /* of each span: its run, and its first token's number in it */
	int n_spans, cols;
	int32_t ids[CPU_COLS];
	int column[CPU_COLS]; /* whose logits are wanted, */
	int *row_of;          /* and for whom */
	int rows;
};

/* Logits of some rows of the pass, to who asked for them. */
static void pass_rows(struct cpu *b, const struct step *st, struct pass *p)
{
	const size_t V = (size_t)b->c.vocabulary;
	for (int from = 0; from < p->rows; from += CPU_HEAD_ROWS) {
		int n = p->rows - from < CPU_HEAD_ROWS ? p->rows - from : CPU_HEAD_ROWS;
		const int *column = p->column + from;
		const float *logits = cpu_head(b, column, n);
		for (int i = 0; i < st->n_picks; i++)
			p->row_of[i] = -1;
		for (int i = 0, s = 0; i < n; i++) {
			while (column[i] >= p->span[s].column + p->span[s].n)
				s++;
			const struct run *r = &st->run[p->run[s]];
			int row = p->first[s] + column[i] - p->span[s].column;
			if (r->logits && row_wanted(r, row))
				memcpy(r->logits + (r->rows == ROWS_ALL ? (size_t)row : 0) * V,
				       logits + (size_t)i * V, V * sizeof(float));
			for (int j = 0; j < st->n_picks; j++)
				if (st->pick[j].run == p->run[s] && st->pick[j].row == row)
					p->row_of[j] = i;
		}
		struct picking a = { b, st, logits, p->row_of };
		pool_run(b->pool, pick_item, &a, st->n_picks);
	}
}

static bool row_used(const struct step *st, int run, int row)
{
	const struct run *r = &st->run[run];
	if (!row_wanted(r, row))
		return false;
	if (r->logits)
		return true;
	for (int i = 0; i < st->n_picks; i++)
		if (st->pick[i].run == run && st->pick[i].row == row)
			return true;
	return false;
}

/* Fills @p with columns from token @token of run @run on; moves both on. */
static void pass_fill(const struct cpu *b, const struct step *st, struct pass *p, int *run,
                      int *token)
{
	p->n_spans = p->cols = p->rows = 0;
	while (*run < st->n_runs && p->cols < CPU_COLS) {
		const struct run *r = &st->run[*run];
		const struct cpu_slot *s = &b->slot[r->slot];
		int n = r->n - *token, room = CPU_COLS - p->cols;
		if (n > room && r->window)
			break; /* windows stay whole */
		n = n < room ? n : room;
		p->span[p->n_spans] = (struct cpu_span){
			.slot = r->slot,
			.position = s->position + *token,
			.column = p->cols,
			.n = n,
			.mix = &r->mix,
			.window = r->window,
		};
		p->run[p->n_spans] = *run;
		p->first[p->n_spans++] = *token;
		for (int i = 0; i < n; i++) {
			p->ids[p->cols + i] = r->ids ? r->ids[*token + i] : s->last;
			if (row_used(st, *run, *token + i))
				p->column[p->rows++] = p->cols + i;
		}
		p->cols += n;
		*token += n;
		if (*token == r->n) {
			(*run)++;
			*token = 0;
		}
	}
}

static int cpu_submit(struct backend *base, const struct step *st, struct err *e)
{
	struct cpu *b = (struct cpu *)base;
	if (step_check(b, st, e) < 0)
		return -1;

	struct pass *p = calloc(1, sizeof *p);
	int rc = -1;
	if (!p)
		return err_set(e, ERR_MEM, "no memory for a step");
	p->span = calloc((size_t)st->n_runs, sizeof *p->span);
	p->run = calloc((size_t)st->n_runs, sizeof *p->run);
	p->first = calloc((size_t)st->n_runs, sizeof *p->first);
	p->row_of = calloc((size_t)st->n_picks + 1, sizeof *p->row_of);
	if (!p->span || !p->run || !p->first || !p->row_of) {
		err_set(e, ERR_MEM, "no memory for a step of %d runs", st->n_runs);
		goto out;
	}
	/* room for the largest pass, before anything is done */
	for (int run = 0, token = 0; run < st->n_runs;) {
		pass_fill(b, st, p, &run, &token);
		if (cpu_work_reserve(b, p->span, p->n_spans, e) < 0 ||
		    cpu_head_reserve(b, p->rows, e) < 0)
			goto out;
	}
	for (int i = 0; i < st->n_runs; i++) {
		struct cpu_slot *s = &b->slot[st->run[i].slot];
		pages_take(b, s, st->run[i].n);
		s->undo.n = 0;
	}
	for (int run = 0, token = 0; run < st->n_runs;) {
		pass_fill(b, st, p, &run, &token);
		cpu_forward(b, p->span, p->n_spans, p->ids);
		pass_rows(b, st, p);
	}
	for (int i = 0; i < st->n_runs; i++)
		b->slot[st->run[i].slot].position += st->run[i].n;
	for (int i = 0; i < st->n_picks; i++)
		b->slot[st->run[st->pick[i].run].slot].last = b->picked[i].id;
	b->n_picked = st->n_picks;
	b->pending = true;
	rc = 0;
out:
	free(p->span);
	free(p->run);
	free(p->first);
	free(p->row_of);
	free(p);
	return rc;
}

static int cpu_collect(struct backend *base, struct picked *out, struct err *e)
{
	struct cpu *b = (struct cpu *)base;
	if (!b->pending)
		return err_set(e, ERR_USAGE, "no step is queued");
	if (b->n_picked)
		memcpy(out, b->picked, (size_t)b->n_picked * sizeof *out);
	b->pending = false;
	return 0;
}

/* ---- the backend ---- */

static void cpu_figures(const struct backend *base, struct backend_figures *out)
{
	const struct cpu *b = (const struct cpu *)base;
	*out = (struct backend_figures){ 0 };
	snprintf(out->device, sizeof out->device, "CPU, %s, %d thread%s", b->kernels->name,
	         pool_threads(b->pool), pool_threads(b->pool) == 1 ? "" : "s");
	out->weight_bytes = b->weight_bytes;
	out->slot_bytes = b->state_floats * sizeof(float);
	out->kv_bytes_per_token = b->page_floats * sizeof(float) / CPU_PAGE;
	out->kv_bytes_free = (uint64_t)b->n_free * b->page_floats * sizeof(float);
	for (int i = 0; i < b->n_slots; i++)
		out->slots_free += !b->slot[i].open;
	out->context = b->context;
	out->threads = pool_threads(b->pool);
	out->vocabulary = b->c.vocabulary;
}

static void cpu_close(struct backend *base)
{
	struct cpu *b = (struct cpu *)base;
	if (!b)
		return;
	for (int i = 0; b->slot && i < b->n_slots; i++)
		if (b->slot[i].open)
			slot_release(b, &b->slot[i]);
	for (int i = 1; i <= b->n_adapters; i++)
		cpu_adapter_drop(base, i);
	for (int i = 0; b->sampler && i < pool_threads(b->pool); i++)
		sampler_close(b->sampler[i]);
	cpu_work_close(b);
	if (b->kv)
		munmap(b->kv, b->kv_mapped);
	for (int i = 0; i < b->n_owned; i++)
		free(b->owned[i]);
	pool_close(b->pool);
	free(b->owned);
	free(b->layer);
	free(b->inverse_frequency);
	free(b->slot);
	free(b->free_page);
	free(b->page_users);
	free(b->adapter);
	free(b->sampler);
	free(b->picked);
	free(b);
}

static const struct backend_ops cpu_ops = {
	.name = "cpu",
	.depth = 1,
	.close = cpu_close,
	.figures = cpu_figures,
	.slot_open = cpu_slot_open,
	.slot_close = cpu_slot_close,
	.slot_position = cpu_slot_position,
	.keep = cpu_keep,
	.adapter_add = cpu_adapter_add,
	.adapter_drop = cpu_adapter_drop,
	.submit = cpu_submit,
	.collect = cpu_collect,
};

static int samplers_open(struct cpu *b, struct err *e)
{
	int n = pool_threads(b->pool);
	b->sampler = calloc((size_t)n, sizeof(struct sampler *));
	for (int i = 0; b->sampler && i < n; i++) {
		b->sampler[i] = sampler_open(b->c.vocabulary);
		if (!b->sampler[i])
			return err_set(e, ERR_MEM, "no memory to pick from %d tokens",
			               b->c.vocabulary);
	}
	return b->sampler ? 0 : err_set(e, ERR_MEM, "no memory for %d samplers", n);
}

struct backend *cpu_open(const struct model *m, const struct backend_options *o, struct err *e)
{
	if (!m->embedding->data) {
		err_set(e, ERR_USAGE,
		        "this random model has its values on a device: make it in "
		        "memory for the CPU");
		return NULL;
	}
	if (m->config.conv > CONV_MAX) {
		err_set(e, ERR_INPUT, "%s: linear_conv_kernel_dim is %d, at most %d can be used",
		        m->dir, m->config.conv, CONV_MAX);
		return NULL;
	}
	if (o->slots > UINT16_MAX) {
		err_set(e, ERR_USAGE, "%d slots: at most %d can be had", o->slots, UINT16_MAX);
		return NULL;
	}
	struct cpu *b = calloc(1, sizeof *b);
	if (!b) {
		err_set(e, ERR_MEM, "no memory for a backend");
		return NULL;
	}
	b->base.ops = &cpu_ops;
	b->model = m;
	b->c = m->config;
	const struct model_config *c = &b->c;
	b->kernels = kernels_best();
	b->context = o->context > 0 ? o->context : c->context < 32768 ? c->context : 32768;
	b->n_slots = o->slots > 0 ? o->slots : 64;
	b->ld_channels = row_pad((size_t)config_channels(c));
	b->ld_key = row_pad((size_t)c->key_dim);
	b->ld_value = row_pad((size_t)c->value_dim);
	b->recurrent_floats = (size_t)c->value_heads * (size_t)c->key_dim * b->ld_value;
	b->state_floats =
		(size_t)c->n_delta * (b->recurrent_floats + (size_t)(c->conv - 1) * b->ld_channels);
	b->slot = calloc((size_t)b->n_slots, sizeof *b->slot);
	if (!b->slot) {
		err_set(e, ERR_MEM, "no memory for %d slots", b->n_slots);
		goto fail;
	}
	b->pool = pool_open(o->threads, e);
	if (!b->pool || weights_open(b, o->dtype, e) < 0 || pages_open(b, o->kv_bytes, e) < 0 ||
	    cpu_work_open(b, e) < 0 || samplers_open(b, e) < 0)
		goto fail;
	return &b->base;
fail:
	cpu_close(&b->base);
	return NULL;
}

void cpu_trace(struct backend *base, cpu_trace_fn *fn, void *ctx)
{
	struct cpu *b = (struct cpu *)base;
	b->trace = fn;
	b->trace_ctx = ctx;
}

void cpu_state(const struct backend *base, int slot, int layer, float *out)
{
	const struct cpu *b = (const struct cpu *)base;
	const float *s = cpu_recurrent(b, b->slot[slot].state, b->layer[layer].index);
	const int dv = b->c.value_dim;
	for (int i = 0; i < b->c.value_heads * b->c.key_dim; i++)
		memcpy(out + (size_t)i * (size_t)dv, s + (size_t)i * b->ld_value,
		       (size_t)dv * sizeof(float));
}

int cpu_use_kernels(struct backend *base, const char *name)
{
	const struct kernels *k = kernels_named(name);
	if (!k)
		return -1;
	((struct cpu *)base)->kernels = k;
	return 0;
}

/* ---- what this machine can do ---- */

enum { SWEEP_BLOCK = 1 << 18, SWEEP_ROUNDS = 5 };

struct sweep {
	const struct kernels *kernels;
	const float *x;
	_Atomic int negative; /* so that the sums are not left out */
};

static void sweep_item(void *arg, int item, int thread)
{
	struct sweep *a = arg;
	(void)thread;
	if (a->kernels->sweep(a->x + (size_t)item * SWEEP_BLOCK, SWEEP_BLOCK) < 0)
		a->negative++;
}

double cpu_read_sweep(int threads, uint64_t bytes)
{
	const int items = (int)(bytes / (SWEEP_BLOCK * sizeof(float)));
	const size_t size = (size_t)items * SWEEP_BLOCK * sizeof(float);
	struct pool *pool = pool_open(threads, NULL);
	struct sweep a = { .kernels = kernels_best() };
	double best = 0;
	void *x = items > 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                           -1, 0)
	                    : MAP_FAILED;
	if (pool && x != MAP_FAILED) {
		madvise(x, size, MADV_HUGEPAGE);
		memset(x, 0, size);
		a.x = x;
		for (int i = 0; i < SWEEP_ROUNDS; i++) {
			double since = clock_now_s();
			pool_run(pool, sweep_item, &a, items);
			double rate = (double)size / (clock_now_s() - since);
			best = rate > best ? rate : best;
		}
	}
	if (x != MAP_FAILED)
		munmap(x, size);
	pool_close(pool);
	return best;
}

struct rate {
	const struct kernels *kernels;
	struct mat m;
	const float *x;
	size_t ldx;
	float *y;
	int cols;
};

enum { RATE_ROWS = 64 };

static void rate_item(void *arg, int item, int thread)
{
	struct rate *a = arg;
	(void)thread;
	int blocks = (a->m.rows + RATE_ROWS - 1) / RATE_ROWS;
	int column = item / blocks * DOT_COLS, row = item % blocks * RATE_ROWS;
	int rows = a->m.rows - row < RATE_ROWS ? a->m.rows - row : RATE_ROWS;
	int cols = a->cols - column < DOT_COLS ? a->cols - column : DOT_COLS;
	a->kernels->dot(&a->m, row, rows, a->x + (size_t)column * a->ldx, a->ldx, cols,
	                a->y + (size_t)column * (size_t)a->m.rows, (size_t)a->m.rows, 1, false);
}

double cpu_product_rate(int threads, int rows, int k, int cols)
{
	struct rate a = { .kernels = kernels_best(), .cols = cols, .ldx = row_pad((size_t)k) + 16 };
	float *w = calloc((size_t)rows * (size_t)k, sizeof *w);
	float *x = calloc((size_t)cols * a.ldx, sizeof *x);
	a.y = calloc((size_t)cols * (size_t)rows, sizeof *a.y);
	struct pool *pool = pool_open(threads, NULL);
	double best = 0;
	if (w && x && a.y && pool) {
		for (size_t i = 0; i < (size_t)rows * (size_t)k; i++)
			w[i] = (float)(i % 13) - 6;
		for (size_t i = 0; i < (size_t)cols * a.ldx; i++)
			x[i] = (float)(i % 7) - 3;
		a.m = (struct mat){ .kind = MAT_F32, .data = w, .rows = rows, .cols = k };
		a.x = x;
		const int items =
			(rows + RATE_ROWS - 1) / RATE_ROWS * ((cols + DOT_COLS - 1) / DOT_COLS);
		const double start = clock_now_s();
		while (clock_now_s() - start < 0.3) {
			double since = clock_now_s();
			pool_run(pool, rate_item, &a, items);
			double rate = 2.0 * rows * k * cols / (clock_now_s() - since);
			best = rate > best ? rate : best;
		}
	}
	free(w);
	free(x);
	free(a.y);
	pool_close(pool);
	return best;
}
