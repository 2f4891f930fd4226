/*
 * train_attention.c - gated attention of the CPU trainer, forward and back, exact and in strips: 64
 * queries of a head against all their keys.
 *
 * Two kinds of items. A sample's key head: keys normed, turned and transposed before, their
 * gradients summed over the group's query heads after. A sample's query head between: it leaves its
 * share of the keys' gradients in room of its own. Kept are the outputs before the gate and the
 * logarithm of each row's sum; probabilities are made again. Scores above the diagonal are not
 * computed but where a tile of eight rows straddles it.
 */
#include "gpu/train_mixers_inside.h"

#include <math.h>
#include <string.h>

enum { ATTENTION_BLOCK = 64 };

struct attention_job {
	const struct mixer_rows *r;
	const uint64_t *order; /* mixers_order()'s */
	const struct attention_weights *w;
	int hd, heads, kv, group, rotary, longest;
	size_t hdp, strip; /* hd padded; from row to row of a strip */
	float scale, eps;
	double theta;
	const float *q, *k, *v, *dy;
	float *y, *dq, *dk, *dv;
	float *kept;
	float *turns;               /* [longest][rotary]: cosines, then sines */
	float *keys, *values;       /* [kv][rows][hdp] */
	float *keys_t, *values_t;   /* a sample's: [kv][hdp][ld] */
	float *dk_heads, *dv_heads; /* [heads][rows][hdp] */
	float *parts;               /* [samples][heads + kv][hdp] */
	float *scratch;
	size_t rows, per_thread;
	bool norms_wanted;
};

static inline size_t pad_16(size_t n)
{
	return (n + 15) / 16 * 16;
}

/* Samples have room for their rows padded to 16 and 16 more. */
static inline size_t sample_at(const struct attention_job *j, int sample)
{
	return ((size_t)j->r->start[sample] / 16 + 2 * (size_t)sample) * 16;
}

static size_t rows_padded(int rows, int samples)
{
	return ((size_t)rows / 16 + 2 * (size_t)samples) * 16;
}

/* From row to row of a matrix with a column for each of @n keys: an odd number of vectors, or rows
 * would meet in the same sets of the cache. */
static size_t odd_row(size_t n)
{
	const size_t vectors = (n + 15) / 16;
	return (vectors + !(vectors & 1)) * 16;
}

struct attention_keys {
	int first, len, padded;
	size_t ld;
	float *k, *v, *kt, *vt; /* [padded][hdp]; [hdp][ld], vt NULL going forward */
};

static void attention_keys_at(struct attention_keys *k, const struct attention_job *j, int sample,
                              int head)
{
	const size_t at = sample_at(j, sample), straight = ((size_t)head * j->rows + at) * j->hdp;
	k->first = j->r->start[sample];
	k->len = j->r->start[sample + 1] - k->first;
	k->padded = (int)pad_16((size_t)k->len);
	k->ld = odd_row((size_t)k->len);
	k->k = j->keys + straight;
	k->v = j->values + straight;
	k->kt = j->keys_t + straight;
	k->vt = j->values_t ? j->values_t + straight : NULL;
}

static float *attention_back_at(const struct attention_job *j, int sample, int head, float *of)
{
	return of + ((size_t)head * j->rows + sample_at(j, sample)) * j->hdp;
}

static float *attention_part(const struct attention_job *j, int sample, int head)
{
	return j->parts + ((size_t)sample * (size_t)(j->heads + j->kv) + (size_t)head) * j->hdp;
}

/* Where a head's query begins in q; its gate is hd on. */
static size_t attention_query(const struct attention_job *j, int row, int head)
{
	return ((size_t)row * (size_t)j->heads + (size_t)head) * 2 * (size_t)j->hd;
}

/* Kept: [n][heads][hdp], then [n][heads]. */
static float *attention_kept_o(const struct attention_job *j, int row, int head)
{
	return j->kept + ((size_t)row * (size_t)j->heads + (size_t)head) * j->hdp;
}

static float *attention_lse(const struct attention_job *j, int row, int head)
{
	return j->kept + (size_t)j->r->n * (size_t)j->heads * j->hdp +
	       (size_t)row * (size_t)j->heads + (size_t)head;
}

/* A thread's scratch. */
struct attention_work {
	float factor[ATTENTION_BLOCK];
	float *p, *dp; /* strips */
	float *q, *o;  /* [64][hdp] */
};

static size_t attention_work_floats(const struct attention_job *j)
{
	return 2 * ATTENTION_BLOCK * (j->strip + j->hdp);
}

static void attention_work_in(struct attention_work *x, const struct attention_job *j, float *base)
{
	x->p = base;
	x->dp = x->p + ATTENTION_BLOCK * j->strip;
	x->q = x->dp + ATTENTION_BLOCK * j->strip;
	x->o = x->q + ATTENTION_BLOCK * j->hdp;
}

#define MIXER_TEXT "gpu/train_attention_isa.h"
#include "gpu/train_isa.h"

/* ---- the frame ---- */

static void job_shape(struct attention_job *j, const struct model_config *c, int rows, int samples,
                      int longest)
{
	*j = (struct attention_job){
		.hd = c->head_dim,
		.heads = c->heads,
		.kv = c->kv_heads,
		.group = c->heads / c->kv_heads,
		.rotary = c->rotary,
		.longest = longest,
		.hdp = pad_16((size_t)c->head_dim),
		.strip = odd_row((size_t)longest),
		.scale = (float)(1.0 / sqrt((double)c->head_dim)),
		.eps = (float)c->norm_eps,
		.theta = c->rope_theta,
		.rows = rows_padded(rows, samples),
	};
	j->per_thread = attention_work_floats(j);
}

size_t attention_kept_floats(const struct model_config *c, int rows, int samples)
{
	(void)samples;
	return (size_t)rows * (size_t)c->heads * (pad_16((size_t)c->head_dim) + 1);
}

size_t attention_scratch_floats(const struct model_config *c, int rows, int samples, int longest,
                                int threads)
{
	struct attention_job j;
	job_shape(&j, c, rows, samples, longest);
	const size_t side = j.rows * j.hdp, kept = attention_kept_floats(c, rows, samples);
	const size_t back = 2 * side * (size_t)(j.kv + j.heads) +
	                    (size_t)samples * (size_t)(j.heads + j.kv) * j.hdp;
	return mixers_order_floats(samples) + pad_16((size_t)longest * (size_t)j.rotary) +
	       (size_t)threads * j.per_thread + 2 * side * (size_t)j.kv +
	       (back > kept ? back : kept);
}

/* Lays out what both directions need; returns what is left. */
static float *job_begin(struct attention_job *j, const struct model_config *c,
                        const struct mixer_rows *r, const struct attention_weights *w,
                        float *scratch)
{
	int longest = 0;
	for (int s = 0; s < r->samples; s++)
		if (r->start[s + 1] - r->start[s] > longest)
			longest = r->start[s + 1] - r->start[s];
	job_shape(j, c, r->n, r->samples, longest);
	j->r = r;
	j->w = w;
	const size_t side = j->rows * j->hdp * (size_t)j->kv;
	j->order = mixers_order(r, &scratch);
	j->turns = scratch;
	j->scratch = j->turns + pad_16((size_t)longest * (size_t)j->rotary);
	j->keys = j->scratch + (size_t)pool_threads(r->pool) * j->per_thread;
	j->keys_t = j->keys + side;
	return j->keys_t + side;
}

static void turn_item(void *arg, int item, int thread)
{
	const struct attention_job *j = arg;
	const int half = j->rotary / 2;
	(void)thread;
	for (int m = 0; m < half; m++) {
		const float rate = 1.0f / (float)pow(j->theta, 2.0 * m / (double)j->rotary);
		for (int i = item * 64; i < j->longest && i < item * 64 + 64; i++) {
			float *to = j->turns + (size_t)i * (size_t)j->rotary + (size_t)m;
			to[0] = cosf((float)i * rate);
			to[half] = sinf((float)i * rate);
		}
	}
}

static void keys_item(void *arg, int item, int thread)
{
	const struct attention_job *j = arg;
	(void)thread;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, attention_keys)
	(j, mixers_sample(j->order, item / j->kv), item % j->kv);
	tiny_numbers_restore(was);
}

static void keys_back_item(void *arg, int item, int thread)
{
	const struct attention_job *j = arg;
	(void)thread;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, attention_keys_back)
	(j, mixers_sample(j->order, item / j->kv), item % j->kv);
	tiny_numbers_restore(was);
}

static void forward_item(void *arg, int item, int thread)
{
	const struct attention_job *j = arg;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, attention_item_forward)
	(j, mixers_sample(j->order, item / j->heads), item % j->heads,
	 j->scratch + (size_t)thread * j->per_thread);
	tiny_numbers_restore(was);
}

static void backward_item(void *arg, int item, int thread)
{
	const struct attention_job *j = arg;
	const unsigned was = tiny_numbers_off();
	MIXER_PICK(j->r->isa, attention_item_backward)
	(j, mixers_sample(j->order, item / j->heads), item % j->heads,
	 j->scratch + (size_t)thread * j->per_thread);
	tiny_numbers_restore(was);
}

void attention_forward(const struct model_config *c, const struct mixer_rows *r,
                       const struct attention_weights *w, const float *q, const float *k,
                       const float *v, float *y, float *kept, float *scratch)
{
	struct mixer_rows rows = *r;
	rows.isa = mixer_version(r->isa, NULL);
	struct attention_job j;
	float *rest = job_begin(&j, c, &rows, w, scratch);
	j.values = rest;
	rest += j.rows * j.hdp * (size_t)j.kv;
	j.kept = kept ? kept : rest;
	j.q = q, j.k = k, j.v = v, j.y = y;
	pool_run(r->pool, turn_item, &j, (j.longest + 63) / 64);
	pool_run(r->pool, keys_item, &j, r->samples * j.kv);
	pool_run(r->pool, forward_item, &j, r->samples * j.heads);
}

void attention_backward(const struct model_config *c, const struct mixer_rows *r,
                        const struct attention_weights *w, const float *q, const float *k,
                        const float *v, const float *kept, const float *dy, float *dq, float *dk,
                        float *dv, const struct attention_gradients *g, float *scratch)
{
	struct mixer_rows rows = *r;
	rows.isa = mixer_version(r->isa, NULL);
	struct attention_job j;
	float *rest = job_begin(&j, c, &rows, w, scratch);
	const size_t side = j.rows * j.hdp;
	j.values = rest, rest += side * (size_t)j.kv;
	j.values_t = rest, rest += side * (size_t)j.kv;
	j.dk_heads = rest, rest += side * (size_t)j.heads;
	j.dv_heads = rest, rest += side * (size_t)j.heads;
	j.parts = rest;
	j.norms_wanted = g && (g->q_norm || g->k_norm);
	if (j.norms_wanted)
		memset(rest, 0,
		       (size_t)r->samples * (size_t)(j.heads + j.kv) * j.hdp * sizeof *rest);
	j.kept = (float *)(uintptr_t)kept; /* read only, going back */
	j.q = q, j.k = k, j.v = v, j.dy = dy;
	j.dq = dq, j.dk = dk, j.dv = dv;
	pool_run(r->pool, turn_item, &j, (j.longest + 63) / 64);
	pool_run(r->pool, keys_item, &j, r->samples * j.kv);
	pool_run(r->pool, backward_item, &j, r->samples * j.heads);
	pool_run(r->pool, keys_back_item, &j, r->samples * j.kv);
	for (int s = 0; j.norms_wanted && s < r->samples; s++)
		for (int h = 0; h < j.heads + j.kv; h++) {
			float *to = h < j.heads ? g->q_norm : g->k_norm;
			for (int i = 0; to && i < j.hd; i++)
				to[i] += attention_part(&j, s, h)[i];
		}
}
