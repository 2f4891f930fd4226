/*
 * toy_trainer.h - a trainer without a network: the values of real parameters, learnt by a rule of
 * its own that depends on all that a real one's would (ids, labels, seed, the values before), and
 * that can be made to fail.
 */
#ifndef TESTS_TOY_TRAINER_H
#define TESTS_TOY_TRAINER_H

#include "tests/lib.h"

#include "gpu/random_weight.h"
#include "gpu/train.h"

/* How the next one is to behave. */
struct toy_faults {
	int32_t nan_id;      /* rows of this id give a log p that is no number; 0: none */
	int32_t infinite_id; /* ... a gradient that is infinite */
	int rows_max;        /* more rows: no memory; 0: any */
};
static struct toy_faults toy_faults;

struct toy {
	struct trainer_base base;
	float *slot[PARAM_SLOTS];
	bool infinite;
};

static inline void toy_close(struct trainer *t)
{
	struct toy *y = (struct toy *)(void *)t;

	for (int s = 0; s < PARAM_SLOTS; s++)
		free(y->slot[s]);
	free(y->base.param);
	free(y);
}

/* log p = -(value - wanted)^2 of a value that id and label choose, a little more or less by the
 * seed.
 */
static inline int toy_pass(struct trainer *t, const struct train_batch *b, const float *coef,
                           float *logp, struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;

	if (toy_faults.rows_max && b->n > toy_faults.rows_max)
		return err_set(e, ERR_MEM, "no memory for %d rows", b->n);
	for (int i = 0; i < b->n; i++) {
		logp[i] = 0;
		if (b->label[i] < 0)
			continue;
		uint64_t k = random_weight_key(1, (uint64_t)(b->id[i] * 1000 + b->label[i])) %
		             y->base.values;
		float off = y->slot[PARAM_VALUE][k] - (float)(b->label[i] % 7) / 7;
		float much = coef ? 1 + 0.01f * (float)(b->seed % 8) : 1;
		logp[i] = -off * off * much;
		if (toy_faults.nan_id && b->id[i] == toy_faults.nan_id)
			logp[i] = NAN;
		y->infinite |= toy_faults.infinite_id && b->id[i] == toy_faults.infinite_id;
		if (coef)
			y->slot[PARAM_GRADIENT][k] += coef[i] * -2 * off * much;
	}
	return 0;
}

static inline int toy_zero(struct trainer *t, struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;

	(void)e;
	y->infinite = false;
	memset(y->slot[PARAM_GRADIENT], 0, y->base.values * sizeof(float));
	return 0;
}

static inline int toy_norm(struct trainer *t, double *norm, struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;
	double sum = 0;

	(void)e;
	for (uint64_t i = 0; i < y->base.values; i++)
		sum += (double)y->slot[PARAM_GRADIENT][i] * (double)y->slot[PARAM_GRADIENT][i];
	*norm = y->infinite ? (double)INFINITY : sqrt(sum);
	return 0;
}

static inline int toy_update(struct trainer *t, const struct update *u, double scale, struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;

	(void)e;
	adamw_update(y->slot[PARAM_VALUE], y->slot[PARAM_GRADIENT], y->slot[PARAM_MOMENT1],
	             y->slot[PARAM_MOMENT2], y->base.values, u, true, scale);
	return 0;
}

static inline int toy_read(struct trainer *t, int param, enum param_slot s, float *out,
                           struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;
	const struct param *p = &y->base.param[param];

	(void)e;
	memcpy(out, y->slot[s] + p->at, (size_t)(p->rows * p->cols) * sizeof(float));
	return 0;
}

static inline int toy_write(struct trainer *t, int param, enum param_slot s, const float *in,
                            struct err *e)
{
	struct toy *y = (struct toy *)(void *)t;
	const struct param *p = &y->base.param[param];

	(void)e;
	memcpy(y->slot[s] + p->at, in, (size_t)(p->rows * p->cols) * sizeof(float));
	return 0;
}

static inline struct trainer *toy_open(const struct model *m, const struct train_options *o,
                                       struct err *e)
{
	static const struct trainer_ops ops = { .name = "toy",
		                                .close = toy_close,
		                                .pass = toy_pass,
		                                .zero_gradients = toy_zero,
		                                .gradient_norm = toy_norm,
		                                .update = toy_update,
		                                .read = toy_read,
		                                .write = toy_write };
	struct toy *y = calloc(1, sizeof(*y));

	assert_non_null(y);
	y->base.ops = &ops;
	y->base.model = m;
	y->base.options = *o;
	if (toy_faults.rows_max && o->rows > toy_faults.rows_max) {
		err_set(e, ERR_MEM, "no memory for %d rows", o->rows);
		free(y);
		return NULL;
	}
	if (train_params(&y->base.param, &y->base.params, &y->base.values, &m->config, o, e) < 0) {
		free(y);
		return NULL;
	}
	for (int s = 0; s < PARAM_SLOTS; s++) {
		y->slot[s] = calloc(y->base.values, sizeof(float));
		assert_non_null(y->slot[s]);
	}
	if (train_first_values(m, o, y->base.param, y->base.params, y->slot[PARAM_VALUE], e) < 0) {
		toy_close((struct trainer *)y);
		return NULL;
	}
	return (struct trainer *)y;
}

#endif
