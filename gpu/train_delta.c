/*
 * train_delta.c - the gated DeltaNet of the CPU trainer: the chunked rule forward and back.
 *
 * An item is a key head of a sample, with its convolution, its value heads' chunks in order and
 * their gated norms: nothing of it meets another item but in sums over samples (gradients of
 * convolution, norm and gates), which each item leaves in a part of its own; the parts are added in
 * the order of the samples at the end.
 *
 * Kept: what the chunks are rebuilt from, in slots of 64 rows: the rule's output, T, the state that
 * came in, G and beta. A sample's first slot is start / 64 + its number, so that slots need no
 * table. All the rest, the convolution too, costs less to compute again than to store and load.
 */
#include "gpu/train_mixers_inside.h"

#include <math.h>
#include <string.h>

enum { DELTA_CHUNK = 64, DELTA_CONV_MAX = MIXER_CONV_MAX, DELTA_AHEAD = 12 /* rows */ };
#define DELTA_UNIT_EPS  1e-6f
#define DELTA_FORGOTTEN -17.0f /* e^-17 is 2^-24.5 */

static inline size_t delta_pad(int n)
{
	return ((size_t)n + 15) / 16 * 16;
}

struct delta_job {
	const struct mixer_rows *r;
	const uint64_t *order; /* mixers_order()'s */
	const struct delta_weights *w;
	int dk, dv, nk, nv, group, K;
	size_t dkp, dvp, w_pad; /* padded: dk, dv, both together */
	size_t channels, z_row;
	float q_scale, eps;
	const float *conv; /* [K][conv_row] */
	size_t conv_row;
	const float *u, *z, *a, *b, *dy;
	float *y, *du, *dz, *da, *db;
	float *kept, *parts, *scratch;
	size_t slot, part, per_thread; /* floats */
	bool conv_wanted, norm_wanted;
};

/* One chunk's kept things, of a value head. */
struct delta_head {
	int head;
	float *o, *t, *G, *beta;
	float *s; /* the state that came in; NULL: the sample's first chunk */
};

static void delta_head_at(struct delta_head *h, const struct delta_job *j, int sample, int chunk,
                          int head)
{
	const size_t slot = (size_t)j->r->start[sample] / DELTA_CHUNK + (size_t)(sample + chunk);
	float *at = j->kept + slot * j->slot + (size_t)head * (j->slot / (size_t)j->nv);
	h->head = head;
	h->o = at, at += DELTA_CHUNK * j->dvp;
	h->t = at, at += DELTA_CHUNK * DELTA_CHUNK;
	h->G = at, at += DELTA_CHUNK;
	h->beta = at, at += DELTA_CHUNK;
	h->s = chunk > 0 ? at : NULL;
}

/* Where an item leaves its share of sums over samples. */
struct delta_part {
	float *conv; /* [K][conv_row], the item's channels of it; NULL: not wanted */
	float *norm; /* [dvp] */
	float *gate; /* [group][2]: a_log, dt_bias */
};

static void delta_part_at(struct delta_part *p, const struct delta_job *j, int sample, int key)
{
	float *at = j->parts + (size_t)sample * j->part;
	p->gate = at + 2 * (size_t)key * (size_t)j->group;
	at += 2 * (size_t)j->nv;
	p->norm = j->norm_wanted ? at + (size_t)key * j->dvp : NULL;
	at += (size_t)j->nk * j->dvp;
	p->conv = j->conv_wanted ? at : NULL;
}

/* A thread's scratch: matrices of a chunk. */
struct delta_work {
	float eg[DELTA_CHUNK], bg[DELTA_CHUNK], h[DELTA_CHUNK]; /* e^G, beta e^G, e^(G_C - G) */
	float dg[DELTA_CHUNK], dbeta[DELTA_CHUNK];
	float q_inv[DELTA_CHUNK], k_inv[DELTA_CHUNK];
	float sum[DELTA_CHUNK], slope[DELTA_CHUNK]; /* a + dt_bias; then g, and d g / d a */
	float *q, *k, *v; /* as convolved, q and k normed: [64][dkp] twice, [64][dvp] */
	float *kk, *qk, *decay, *a, *p;     /* [64][64] */
	float *right, *uw, *duw, *dx, *tmp; /* [64][w_pad]; tmp also [w_pad][64], [dvp][dkp] */
	float *kt, *rows;                   /* [dkp][64], [64][dkp] */
	float *values, *d_o, *st;           /* [64][dvp] twice, [dvp][dkp] */
	float *dq, *dk, *dv, *ds, *ahead; /* gradients: [64][dkp] twice, [64][dvp], states, conv */
};

/* Floats it takes; with @base also where. */
static size_t delta_work_in(struct delta_work *x, const struct delta_job *j, float *base)
{
	const size_t C = DELTA_CHUNK, square = j->dkp * j->dvp, group = (size_t)j->group;
	const size_t taps = (size_t)(j->K - 1), wide = C * j->w_pad;
	struct {
		float **to;
		size_t n;
	} part[] = {
		{ &x->q, C * j->dkp },
		{ &x->k, C * j->dkp },
		{ &x->v, C * j->dvp },
		{ &x->kk, C * C },
		{ &x->qk, C * C },
		{ &x->decay, C * C },
		{ &x->a, C * C },
		{ &x->p, C * C },
		{ &x->right, wide },
		{ &x->uw, wide },
		{ &x->duw, wide },
		{ &x->dx, wide },
		{ &x->tmp, wide > square ? wide : square },
		{ &x->kt, C * j->dkp },
		{ &x->rows, C * j->dkp },
		{ &x->values, C * j->dvp },
		{ &x->d_o, C * j->dvp },
		{ &x->st, square },
		{ &x->dq, C * j->dkp },
		{ &x->dk, C * j->dkp },
		{ &x->dv, C * j->dvp },
		{ &x->ds, group * square },
		{ &x->ahead, taps * (2 * j->dkp + group * j->dvp) },
	};
	size_t at = 0;
	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		if (base)
			*part[i].to = base + at;
		at += part[i].n;
	}
	return at;
}

/* Row i of the identity begins at delta_unit + 15 - i. */
static const float delta_unit[31] = { [15] = 1 };

#define MIXER_TEXT "gpu/train_delta_isa.h"
#include "gpu/train_isa.h"

/* ---- the frame ---- */

static void job_shape(struct delta_job *j, const struct model_config *c)
{
	*j = (struct delta_job){
		.dk = c->key_dim,
		.dv = c->value_dim,
		.nk = c->key_heads,
		.nv = c->value_heads,
		.group = c->value_heads / c->key_heads,
		.K = c->conv,
		.dkp = delta_pad(c->key_dim),
		.dvp = delta_pad(c->value_dim),
		.channels = (size_t)config_channels(c),
		.z_row = (size_t)c->value_heads * (size_t)c->value_dim,
		.q_scale = (float)(1.0 / sqrt((double)c->key_dim)),
		.eps = (float)c->norm_eps,
	};
	j->w_pad = j->dkp + j->dvp;
	j->conv_row = delta_pad((int)j->channels);
	j->slot = (size_t)j->nv * (DELTA_CHUNK * (j->dvp + DELTA_CHUNK + 2) + j->dkp * j->dvp);
	j->part = delta_pad(
		(int)(2 * (size_t)j->nv + (size_t)j->nk * j->dvp + (size_t)j->K * j->conv_row));
	j->per_thread = (delta_work_in(&(struct delta_work){ 0 }, j, NULL) + 15) / 16 * 16;
}

size_t delta_kept_floats(const struct model_config *c, int rows, int samples)
{
	struct delta_job j;
	job_shape(&j, c);
	return ((size_t)rows / DELTA_CHUNK + (size_t)samples) * j.slot;
}

size_t delta_scratch_floats(const struct model_config *c, int rows, int samples, int threads)
{
	struct delta_job j;
	job_shape(&j, c);
	const size_t back = (size_t)samples * j.part, kept = delta_kept_floats(c, rows, samples);
	return mixers_order_floats(samples) + (size_t)j.K * j.conv_row +
	       (size_t)threads * j.per_thread + (back > kept ? back : kept);
}

/* Lays the scratch out; returns what is left of it. */
static float *job_begin(struct delta_job *j, const struct model_config *c,
                        const struct mixer_rows *r, const struct delta_weights *w, float *scratch)
{
	job_shape(j, c);
	j->r = r;
	j->w = w;
	j->order = mixers_order(r, &scratch);
	for (size_t n = 0; n < j->channels; n++)
		for (size_t k = 0; k < (size_t)j->K; k++)
			scratch[k * j->conv_row + n] = w->conv[n * (size_t)j->K + k];
	j->conv = scratch;
	j->scratch = scratch + (size_t)j->K * j->conv_row;
	return j->scratch + (size_t)pool_threads(r->pool) * j->per_thread;
}

static void forward_item(void *arg, int item, int thread)
{
	const struct delta_job *j = arg;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, delta_item_forward)
	(j, mixers_sample(j->order, item / j->nk), item % j->nk,
	 j->scratch + (size_t)thread * j->per_thread);
	tiny_numbers_restore(was);
}

static void backward_item(void *arg, int item, int thread)
{
	const struct delta_job *j = arg;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, delta_item_backward)
	(j, mixers_sample(j->order, item / j->nk), item % j->nk,
	 j->scratch + (size_t)thread * j->per_thread);
	tiny_numbers_restore(was);
}

void delta_forward(const struct model_config *c, const struct mixer_rows *r,
                   const struct delta_weights *w, const float *u, const float *z, const float *a,
                   const float *b, float *y, float *kept, float *scratch)
{
	struct mixer_rows rows = *r;
	rows.isa = mixer_version(r->isa, NULL);
	struct delta_job j;
	float *rest = job_begin(&j, c, &rows, w, scratch);
	j.kept = kept ? kept : rest;
	j.u = u, j.z = z, j.a = a, j.b = b, j.y = y;
	pool_run(r->pool, forward_item, &j, r->samples * j.nk);
}

static void parts_add(const struct delta_job *j, const struct delta_gradients *g)
{
	for (int s = 0; s < j->r->samples; s++)
		for (int key = 0; key < j->nk; key++) {
			struct delta_part p;
			delta_part_at(&p, j, s, key);
			for (int v = 0; v < j->group; v++) {
				const int head = key * j->group + v;
				if (g->a_log)
					g->a_log[head] += p.gate[2 * v];
				if (g->dt_bias)
					g->dt_bias[head] += p.gate[2 * v + 1];
			}
			for (int i = 0; g->norm && i < j->dv; i++)
				g->norm[i] += p.norm[i];
			if (key > 0 || !g->conv)
				continue;
			for (size_t n = 0; n < j->channels; n++)
				for (size_t k = 0; k < (size_t)j->K; k++)
					g->conv[n * (size_t)j->K + k] +=
						p.conv[k * j->conv_row + n];
		}
}

void delta_backward(const struct model_config *c, const struct mixer_rows *r,
                    const struct delta_weights *w, const float *u, const float *z, const float *a,
                    const float *b, const float *kept, const float *dy, float *du, float *dz,
                    float *da, float *db, const struct delta_gradients *g, float *scratch)
{
	struct mixer_rows rows = *r;
	rows.isa = mixer_version(r->isa, NULL);
	struct delta_job j;
	j = (struct delta_job){ 0 };
	float *rest = job_begin(&j, c, &rows, w, scratch);
	j.kept = (float *)(uintptr_t)kept; /* read only, going back */
	j.parts = rest;
	j.conv_wanted = g && g->conv;
	j.norm_wanted = g && g->norm;
	j.u = u, j.z = z, j.a = a, j.b = b, j.dy = dy;
	j.du = du, j.dz = dz, j.da = da, j.db = db;
	memset(rest, 0, (size_t)r->samples * j.part * sizeof *rest);
	pool_run(r->pool, backward_item, &j, r->samples * j.nk);
	if (g)
		parts_add(&j, g);
}
