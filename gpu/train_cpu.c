/*
 * The CPU trainer: parameters in flat arrays, one for each slot, and what is done with them between
 * passes. Passes: train_cpu_pass.c.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu/muon.h"
#include "gpu/train_cpu_inside.h"
#include "gpu/train_kernels.h"

enum {
	CHUNK = 1 << 15,        /* values of an item of updates and norms */
	PLANNED_LONGEST = 8192, /* rows of a sample, where memory is planned before batches come */
	PLANNED_SAMPLE = 128    /* rows of an average one */
};

/* ---- memory ---- */

float *train_room(size_t floats)
{
	if (floats == 0)
		floats = 1;
	void *p = mmap(NULL, floats * sizeof(float), PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, floats * sizeof(float), MADV_HUGEPAGE);
	return p;
}

void train_room_free(float *p, size_t floats)
{
	if (p)
		munmap(p, (floats ? floats : 1) * sizeof(float));
}

/* What the system could still give without swapping: MemAvailable, or less under a cgroup. */
static uint64_t memory_free(void)
{
	uint64_t free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t kib;
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			free_bytes = kib << 10;
	}
	if (f)
		fclose(f);
	uint64_t most, used;
	FILE *max = fopen("/sys/fs/cgroup/memory.max", "re");
	FILE *now = fopen("/sys/fs/cgroup/memory.current", "re");
	if (max && now && fscanf(max, "%" SCNu64, &most) == 1 &&
	    fscanf(now, "%" SCNu64, &used) == 1) {
		uint64_t left = most > used ? most - used : 0;
		free_bytes = left < free_bytes ? left : free_bytes;
	}
	if (max)
		fclose(max);
	if (now)
		fclose(now);
	return free_bytes;
}

static const char *gib(char out[32], uint64_t bytes)
{
	snprintf(out, 32, bytes < (uint64_t)1 << 30 ? "%.0f MiB" : "%.1f GiB",
	         bytes < (uint64_t)1 << 30 ? (double)bytes / 0x1p20 : (double)bytes / 0x1p30);
	return out;
}

static enum pass_mode mode_of(const struct cpu_trainer *t)
{
	return t->base.options.recompute ? PASS_RECOMPUTE : PASS_KEEP;
}

static int planned_samples(int rows)
{
	return 1 + rows / PLANNED_SAMPLE;
}

static size_t planned_floats(const struct cpu_trainer *t, int rows, enum pass_mode mode)
{
	return train_pass_floats(t, rows, planned_samples(rows),
	                         rows < PLANNED_LONGEST ? rows : PLANNED_LONGEST, mode);
}

/* ERR_MEM, with what would fit. */
static int too_much(const struct cpu_trainer *t, int rows, size_t floats, struct err *e)
{
	char want[32], have[32], fixed[32],
		advice[160] = "a smaller model, or more memory, is wanted";
	uint64_t left = t->limit_bytes > t->fixed_bytes ? t->limit_bytes - t->fixed_bytes : 0;
	int low = 0, high = rows;

	while (high - low > 16) {
		int mid = low + (high - low) / 2;
		if (planned_floats(t, mid, mode_of(t)) * sizeof(float) <= left)
			low = mid;
		else
			high = mid;
	}
	bool again = !t->base.options.recompute &&
	             planned_floats(t, rows, PASS_RECOMPUTE) * sizeof(float) <= left;
	if (low >= 16 && again)
		snprintf(advice, sizeof(advice),
		         "lower the rows of a pass from %d to %d, or recompute activations", rows,
		         low);
	else if (low >= 16)
		snprintf(advice, sizeof(advice), "lower the rows of a pass from %d to %d", rows,
		         low);
	else if (again)
		snprintf(advice, sizeof(advice), "recompute activations");
	return err_set(e, ERR_MEM,
	               "training needs %s (%s of it for parameters, gradients and moments) and %s "
	               "may be used: %s",
	               gib(want, t->fixed_bytes + floats * sizeof(float)),
	               gib(fixed, t->fixed_bytes), gib(have, t->limit_bytes), advice);
}

/* Room for passes of @floats. */
static int reserve(struct cpu_trainer *t, int rows, size_t floats, struct err *e)
{
	if (floats <= t->room_floats)
		return 0;
	if (t->fixed_bytes + floats * sizeof(float) > t->limit_bytes)
		return too_much(t, rows, floats, e);
	train_room_free(t->room, t->room_floats);
	t->room_floats = 0;
	t->room = train_room(floats);
	if (!t->room)
		return too_much(t, rows, floats, e);
	t->room_floats = floats;
	uint64_t bytes = t->fixed_bytes + floats * sizeof(float);
	if (bytes > t->base.peak_bytes)
		t->base.peak_bytes = bytes;
	return 0;
}

/* ---- where things are ---- */

/* Values of a tensor of the base: as they stand in its file when that is aligned F32, else widened
 * into *@at. With @at NULL only counts into *@floats. */
static const float *base_values(const struct tensor *x, float **at, size_t *floats)
{
	if (x->dtype == DTYPE_F32 && (uintptr_t)x->data % sizeof(float) == 0)
		return x->data;
	*floats += x->n;
	if (!at)
		return NULL;
	float *to = *at;
	tensor_read(x, 0, x->n, to);
	*at += x->n;
	return to;
}

static void place_base_vector(struct train_vector *v, const struct tensor *x, float **at,
                              size_t *floats)
{
	if (x)
		v->w = base_values(x, at, floats);
}

/* Points everything at the base; returns the floats of copies. */
static size_t place_base(struct cpu_trainer *t, float *room)
{
	const struct model *m = t->base.model;
	float *next = room, **at = room ? &next : NULL;
	size_t floats = 0;

	t->embedding = base_values(m->embedding, at, &floats);
	t->head = m->head == m->embedding ? t->embedding : base_values(m->head, at, &floats);
	place_base_vector(&t->final_norm, m->final_norm, at, &floats);
	for (int l = 0; l < t->c.layers; l++) {
		struct train_layer *y = &t->layer[l];
		const struct layer *x = &m->layer[l];
		place_base_vector(&y->input_norm, x->input_norm, at, &floats);
		place_base_vector(&y->post_norm, x->post_norm, at, &floats);
		place_base_vector(&y->q_norm, x->q_norm, at, &floats);
		place_base_vector(&y->k_norm, x->k_norm, at, &floats);
		place_base_vector(&y->conv, x->conv, at, &floats);
		place_base_vector(&y->a_log, x->a_log, at, &floats);
		place_base_vector(&y->dt_bias, x->dt_bias, at, &floats);
		place_base_vector(&y->norm, x->norm, at, &floats);
		for (int k = 0; k < MODULE_COUNT; k++)
			if (x->linear[k])
				y->linear[k].w = base_values(x->linear[k], at, &floats);
	}
	return floats;
}

static void place_shapes(struct cpu_trainer *t)
{
	for (int l = 0; l < t->c.layers; l++) {
		t->layer[l].kind = t->c.kind[l];
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			struct train_linear *x = &t->layer[l].linear[k];
			module_shape(&t->c, l, k, &x->out, &x->in);
		}
	}
}

/* The vector of a layer by the end of its tensor's name. */
static struct train_vector *vector_named(struct train_layer *y, const char *name)
{
	const struct {
		const char *end;
		struct train_vector *v;
	} known[] = {
		{ "input_layernorm.weight", &y->input_norm },
		{ "post_attention_layernorm.weight", &y->post_norm },
		{ "self_attn.q_norm.weight", &y->q_norm },
		{ "self_attn.k_norm.weight", &y->k_norm },
		{ "linear_attn.conv1d.weight", &y->conv },
		{ "linear_attn.A_log", &y->a_log },
		{ "linear_attn.dt_bias", &y->dt_bias },
		{ "linear_attn.norm.weight", &y->norm },
	};
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t k = strlen(known[i].end);
		if (n > k && strcmp(name + n - k, known[i].end) == 0)
			return known[i].v;
	}
	return NULL;
}

/* Full training: values and gradients are the parameters' own. */
static void place_full(struct cpu_trainer *t)
{
	for (int i = 0; i < t->base.params; i++) {
		const struct param *p = &t->base.param[i];
		float *value = t->slot[PARAM_VALUE] + p->at,
		      *gradient = t->slot[PARAM_GRADIENT] + p->at;
		if (p->module != MODULE_COUNT) {
			t->layer[p->layer].linear[p->module].w = value;
			t->layer[p->layer].linear[p->module].dw = gradient;
		} else if (p->layer >= 0) {
			struct train_vector *v = vector_named(&t->layer[p->layer], p->name);
			v->w = value;
			v->dw = gradient;
		} else if (p->kind == PARAM_VECTOR) {
			t->final_norm = (struct train_vector){ value, gradient };
		} else if (strcmp(p->name, "lm_head.weight") == 0) {
			t->head = value;
			t->d_head = gradient;
		} else {
			t->embedding = value;
			t->d_embedding = gradient;
		}
	}
	if (t->c.tied) {
		t->head = t->embedding;
		t->d_head = t->d_embedding;
	}
	for (int l = 0; l < t->c.layers; l++)
		t->layer[l].learns = t->layer[l].learns_before = true;
	t->lowest = -1;
}

static void place_lora(struct cpu_trainer *t)
{
	t->lowest = t->c.layers;
	for (int i = 0; i < t->base.params; i++) {
		const struct param *p = &t->base.param[i];
		struct train_layer *y = &t->layer[p->layer];
		struct train_linear *x = &y->linear[p->module];
		float *value = t->slot[PARAM_VALUE] + p->at,
		      *gradient = t->slot[PARAM_GRADIENT] + p->at;
		*(p->is_b ? &x->b : &x->a) = value;
		*(p->is_b ? &x->db : &x->da) = gradient;
		if (!p->is_b)
			x->rank = (int)p->rows;
		x->scale = train_lora_scale(&t->base.options, p->layer, p->module);
		y->learns = true;
		y->learns_before |=
			p->module != MODULE_O && p->module != MODULE_OUT && p->module < MODULE_GATE;
		t->lowest = p->layer < t->lowest ? p->layer : t->lowest;
	}
}

/* ---- between passes ---- */

struct sweep {
	struct cpu_trainer *t;
	const struct update *u;
	double scale;
	double *sum; /* of each item */
	struct piece {
		int param;
		size_t from, n; /* of its values */
	} * piece;
	int n;
};

/* All parameters in pieces of CHUNK; those that Muon updates are left out when @u asks for it. */
static int cut(struct sweep *s, struct cpu_trainer *t, const struct update *u, struct err *e)
{
	size_t most = (size_t)t->base.values / CHUNK + (size_t)t->base.params;

	*s = (struct sweep){ .t = t, .u = u };
	s->piece = malloc(most * sizeof(*s->piece));
	s->sum = calloc(most, sizeof(*s->sum));
	if (!s->piece || !s->sum) {
		free(s->piece);
		free(s->sum);
		return err_set(e, ERR_MEM, "no memory for a list of %zu pieces", most);
	}
	for (int i = 0; i < t->base.params; i++) {
		const struct param *p = &t->base.param[i];
		size_t n = (size_t)p->rows * (size_t)p->cols;
		if (u && u->muon && t->base.options.full && p->kind == PARAM_MATRIX)
			continue;
		for (size_t from = 0; from < n; from += CHUNK)
			s->piece[s->n++] =
				(struct piece){ i, from, n - from < CHUNK ? n - from : CHUNK };
	}
	return 0;
}

static void sweep_release(struct sweep *s)
{
	free(s->piece);
	free(s->sum);
}

static void square_item(void *arg, int item, int thread)
{
	struct sweep *s = arg;
	const struct piece *p = &s->piece[item];

	(void)thread;
	s->sum[item] =
		squares(s->t->slot[PARAM_GRADIENT] + s->t->base.param[p->param].at + p->from, p->n);
}

static int cpu_gradient_norm(struct trainer *base, double *norm, struct err *e)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;
	struct sweep s;
	double sum = 0;

	if (cut(&s, t, NULL, e) < 0)
		return -1;
	pool_run(t->pool, square_item, &s, s.n);
	for (int i = 0; i < s.n; i++)
		sum += s.sum[i];
	*norm = sqrt(sum);
	sweep_release(&s);
	return 0;
}

static void zero_item(void *arg, int item, int thread)
{
	struct sweep *s = arg;
	const struct piece *p = &s->piece[item];

	(void)thread;
	memset(s->t->slot[PARAM_GRADIENT] + s->t->base.param[p->param].at + p->from, 0,
	       p->n * sizeof(float));
}

static int cpu_zero_gradients(struct trainer *base, struct err *e)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;
	struct sweep s;

	if (cut(&s, t, NULL, e) < 0)
		return -1;
	pool_run(t->pool, zero_item, &s, s.n);
	sweep_release(&s);
	return 0;
}

static void adamw_item(void *arg, int item, int thread)
{
	struct sweep *s = arg;
	const struct piece *x = &s->piece[item];
	const struct param *p = &s->t->base.param[x->param];
	size_t at = (size_t)p->at + x->from;
	float *const *slot = s->t->slot;

	(void)thread;
	adamw_update(slot[PARAM_VALUE] + at, slot[PARAM_GRADIENT] + at, slot[PARAM_MOMENT1] + at,
	             slot[PARAM_MOMENT2] + at, x->n, s->u, p->kind != PARAM_VECTOR, s->scale);
}

static int cpu_update(struct trainer *base, const struct update *u, double scale, struct err *e)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;
	struct muon_matrix *matrix = NULL;
	struct sweep s;
	int n = 0, rc = 0;

	if (cut(&s, t, u, e) < 0)
		return -1;
	s.scale = scale;
	if (u->muon && t->base.options.full) {
		matrix = malloc((size_t)t->base.params * sizeof(*matrix));
		if (!matrix)
			rc = err_set(e, ERR_MEM, "no memory for a list of matrices");
		for (int i = 0; matrix && i < t->base.params; i++) {
			const struct param *p = &t->base.param[i];
			if (p->kind == PARAM_MATRIX)
				matrix[n++] = (struct muon_matrix){
					.rows = (int)p->rows,
					.cols = (int)p->cols,
					.value = t->slot[PARAM_VALUE] + p->at,
					.gradient = t->slot[PARAM_GRADIENT] + p->at,
					.momentum = t->slot[PARAM_MOMENT1] + p->at,
				};
		}
		if (rc == 0)
			rc = muon_update(t->pool, matrix, n, u, scale, e);
	}
	if (rc == 0)
		pool_run(t->pool, adamw_item, &s, s.n);
	free(matrix);
	sweep_release(&s);
	return rc;
}

static int cpu_read(struct trainer *base, int param, enum param_slot s, float *out, struct err *e)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;
	const struct param *p = &t->base.param[param];

	(void)e;
	memcpy(out, t->slot[s] + p->at, (size_t)p->rows * (size_t)p->cols * sizeof(float));
	return 0;
}

static int cpu_write(struct trainer *base, int param, enum param_slot s, const float *in,
                     struct err *e)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;
	const struct param *p = &t->base.param[param];

	(void)e;
	memcpy(t->slot[s] + p->at, in, (size_t)p->rows * (size_t)p->cols * sizeof(float));
	return 0;
}

/* ---- passes ---- */

/* The rows of the longest sample, or -1. */
static int check(const struct cpu_trainer *t, const struct train_batch *b, const float *coef,
                 struct err *e)
{
	int longest = 0, vocabulary = t->c.vocabulary;

	if (b->n < 1 || b->samples < 1 || b->start[0] != 0 || b->start[b->samples] != b->n)
		return err_set(e, ERR_INPUT,
		               "a batch of at least one row, cut into samples from 0 to its end, "
		               "is wanted");
	if (!(b->temperature >= 0 && isfinite(b->temperature)))
		return err_set(e, ERR_INPUT, "temperature: a number of 0 or more wanted, got %g",
		               (double)b->temperature);
	if (b->n > t->base.options.rows)
		return err_set(e, ERR_INPUT, "a batch of %d rows: memory was planned for %d", b->n,
		               t->base.options.rows);
	for (int s = 0; s < b->samples; s++) {
		int rows = b->start[s + 1] - b->start[s];
		if (b->start[s + 1] <= b->start[s] || b->start[s + 1] > b->n)
			return err_set(e, ERR_INPUT,
			               "sample %d goes from row %d to %d: starts have to rise", s,
			               b->start[s], b->start[s + 1]);
		longest = rows > longest ? rows : longest;
	}
	for (int i = 0; i < b->n; i++) {
		if (b->id[i] < 0 || b->id[i] >= vocabulary)
			return err_set(e, ERR_INPUT, "row %d: token %d: the vocabulary has %d", i,
			               b->id[i], vocabulary);
		if (b->label[i] < -1 || b->label[i] >= vocabulary)
			return err_set(e, ERR_INPUT, "row %d: label %d: the vocabulary has %d", i,
			               b->label[i], vocabulary);
		if (coef && b->label[i] < 0 && coef[i] != 0)
			return err_set(e, ERR_INPUT, "row %d has a coefficient and no label", i);
	}
	return longest;
}

static int pass(struct cpu_trainer *t, const struct train_batch *b, bool adapters,
                const float *coef, float *logp, struct err *e)
{
	enum pass_mode mode = coef ? mode_of(t) : PASS_FORWARD;
	int longest = check(t, b, coef, e);

	if (longest < 0 ||
	    reserve(t, b->n, train_pass_floats(t, b->n, b->samples, longest, mode), e) < 0)
		return -1;
	train_pass(t, b, longest, mode, adapters, coef, logp);
	return 0;
}

static int cpu_pass(struct trainer *t, const struct train_batch *b, const float *coef, float *logp,
                    struct err *e)
{
	return pass((struct cpu_trainer *)t, b, true, coef, logp, e);
}

static int cpu_pass_base(struct trainer *t, const struct train_batch *b, float *logp, struct err *e)
{
	return pass((struct cpu_trainer *)t, b, false, NULL, logp, e);
}

/* ---- opening ---- */

static void cpu_close(struct trainer *base)
{
	struct cpu_trainer *t = (struct cpu_trainer *)base;

	pool_close(t->pool);
	for (int s = 0; s < PARAM_SLOTS; s++)
		train_room_free(t->slot[s], (size_t)t->base.values);
	train_room_free(t->owned, t->owned ? place_base(t, NULL) : 0);
	train_room_free(t->room, t->room_floats);
	free(t->layer);
	free(t->base.param);
	free(t);
}

static const struct trainer_ops cpu_ops = {
	.name = "cpu",
	.close = cpu_close,
	.pass = cpu_pass,
	.pass_base = cpu_pass_base,
	.zero_gradients = cpu_zero_gradients,
	.gradient_norm = cpu_gradient_norm,
	.update = cpu_update,
	.read = cpu_read,
	.write = cpu_write,
};

/* Parameters, copies of the base, and room for a pass. */
static int take_memory(struct cpu_trainer *t, struct err *e)
{
	const struct train_options *o = &t->base.options;
	size_t copies = o->full ? 0 : place_base(t, NULL);
	size_t floats = planned_floats(t, o->rows, mode_of(t));

	t->fixed_bytes = (PARAM_SLOTS * t->base.values + copies) * sizeof(float);
	if (t->fixed_bytes + floats * sizeof(float) > t->limit_bytes)
		return too_much(t, o->rows, floats, e);
	for (int s = 0; s < PARAM_SLOTS; s++)
		if (!(t->slot[s] = train_room((size_t)t->base.values)))
			return too_much(t, o->rows, floats, e);
	if (copies > 0 && !(t->owned = train_room(copies)))
		return too_much(t, o->rows, floats, e);
	if (o->full) {
		place_full(t);
	} else {
		place_base(t, t->owned);
		place_lora(t);
	}
	return reserve(t, o->rows, floats, e);
}

struct trainer *train_cpu_open(const struct model *m, const struct train_options *o, struct err *e)
{
	struct cpu_trainer *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(e, ERR_MEM, "no memory for a trainer");
		return NULL;
	}
	t->base.ops = &cpu_ops;
	t->base.model = m;
	t->base.options = *o;
	t->c = m->config;
	t->limit_bytes = o->memory_bytes ? o->memory_bytes : memory_free();
	if (o->rows < 1) {
		err_set(e, ERR_INPUT, "rows of a pass: a number over 0 wanted, got %d", o->rows);
		goto fail;
	}
	if (t->c.conv > MIXER_CONV_MAX) {
		err_set(e, ERR_INPUT, "a convolution of %d taps: at most %d can be learnt",
		        t->c.conv, MIXER_CONV_MAX);
		goto fail;
	}
	if (!(o->dropout >= 0 && o->dropout < 1)) {
		err_set(e, ERR_INPUT, "dropout: a number from 0 to under 1 wanted, got %g",
		        (double)o->dropout);
		goto fail;
	}
	t->layer = calloc((size_t)t->c.layers, sizeof(*t->layer));
	if (!t->layer) {
		err_set(e, ERR_MEM, "no memory for %d layers", t->c.layers);
		goto fail;
	}
	place_shapes(t);
	if (train_params(&t->base.param, &t->base.params, &t->base.values, &t->c, o, e) < 0 ||
	    !(t->pool = pool_open(o->threads, e)))
		goto fail;
	if (!o->full)
		for (int i = 0; i < t->base.params; i++) /* for the plan of memory */
			t->layer[t->base.param[i].layer].linear[t->base.param[i].module].rank =
				(int)(t->base.param[i].is_b ? t->base.param[i].cols
			                                    : t->base.param[i].rows);
	if (take_memory(t, e) < 0 ||
	    train_first_values(m, o, t->base.param, t->base.params, t->slot[PARAM_VALUE], e) < 0)
		goto fail;
	return (struct trainer *)t;
fail:
	cpu_close((struct trainer *)t);
	return NULL;
}
