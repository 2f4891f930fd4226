/*
 * toy_backend.h - a backend whose model is a hash, for tests of what stands above backends.
 *
 * A slot's state is a hash of its tokens and of where its prefill was cut, so that a wrong cut, a
 * wrong cut-back or a stale copy changes every later token. What the token before was followed by
 * the last time gets a push, so that texts repeat themselves and drafts hold now and then. Every
 * rule of backend.h is asserted; steps are worked off when they are collected, so that what they
 * point to must live till then. Time is the toy's own: a step takes base + columns * column
 * seconds.
 */
#ifndef TESTS_TOY_BACKEND_H
#define TESTS_TOY_BACKEND_H

#include "tests/lib.h"

#include "gpu/backend.h"
#include "src/base/clock.h"

enum { TOY_SLOTS = 128, TOY_V = 300, TOY_CONTEXT = 2048 };
enum { TOY_POISON = 299, TOY_BAD_ADAPTER = 99 };

struct toy_slot {
	bool open, picked;
	uint64_t h, before[BACKEND_WINDOW_MAX + 1]; /* state; states within the last window */
	int n, window;                              /* tokens; length of the last window, 0: none */
	int planned, flights; /* tokens with those of queued steps; how many hold it */
	int32_t last;         /* picked */
	int32_t id[TOY_CONTEXT];
};

struct toy {
	struct backend b;
	struct backend_ops ops;
	struct toy_slot slot[TOY_SLOTS];
	int slots, kv, context; /* limits: open slots, tokens in all slots */
	int push;               /* how strongly it repeats, in tenths */
	struct sampler *sampler;
	struct {
		struct step step;
		struct run run[BACKEND_DECODE_MAX + 1];
		struct pick pick[2 * BACKEND_DECODE_MAX];
	} queue[2];
	int queued, steps, prefills, refused, widest, open_most;
	int lost_at;      /* submit of this number, or -1 */
	int lost_collect; /* collect of this number, or -1 */
	int collects;
	double base_s, column_s;
};

static double toy_clock_s = 1000;

double clock_now_s(void)
{
	return toy_clock_s;
}

static inline uint64_t toy_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9E3779B97F4A7C15u;
	h ^= h >> 29;
	h *= 0xBF58476D1CE4E5B9u;
	return h ^ h >> 32;
}

static inline uint64_t toy_start(const struct lora_mix *m)
{
	uint64_t h = 1;
	for (int i = 0; i < m->n; i++)
		h = toy_mix(h, (uint64_t)m->part[i].adapter * 7919);
	return h;
}

static inline void toy_logits(uint64_t h, const int32_t *id, int n, int push, float *out)
{
	bool poisoned = false;
	for (int i = 0; i < TOY_V; i++)
		out[i] = (float)(toy_mix(h, (uint64_t)i + 1) >> 40) * (4.0f / (1 << 24));
	for (int j = n - 2; j >= 0; j--)
		if (id[j] == id[n - 1]) {
			out[id[j + 1]] += (float)push / 10;
			break;
		}
	for (int i = 0; i < n; i++)
		poisoned = poisoned || id[i] == TOY_POISON;
	out[TOY_POISON] = -50;
	if (poisoned)
		out[3] = NAN;
}

static inline struct toy *toy_of(const struct backend *b)
{
	return (struct toy *)(uintptr_t)b;
}

static inline int toy_open_slots(const struct toy *t)
{
	int n = 0;
	for (int i = 0; i < TOY_SLOTS; i++)
		n += t->slot[i].open;
	return n;
}

static inline int toy_tokens(const struct toy *t)
{
	int n = 0;
	for (int i = 0; i < TOY_SLOTS; i++)
		n += t->slot[i].open ? t->slot[i].planned : 0;
	return n;
}

static inline void toy_figures(const struct backend *b, struct backend_figures *f)
{
	struct toy *t = toy_of(b);
	*f = (struct backend_figures){ .slots_free = t->slots - toy_open_slots(t),
		                       .context = t->context,
		                       .vocabulary = TOY_V };
}

static inline int toy_slot_open(struct backend *b, int from, struct err *e)
{
	struct toy *t = toy_of(b);
	int open = toy_open_slots(t);
	if (open >= t->slots)
		return err_set(e, ERR_MEM, "toy: all %d slots are taken", t->slots);
	if (from >= 0 && toy_tokens(t) + t->slot[from].n > t->kv)
		return err_set(e, ERR_MEM, "toy: no room for a copy");
	for (int i = 0; i < TOY_SLOTS; i++) {
		struct toy_slot *s = &t->slot[i];
		if (s->open)
			continue;
		if (from >= 0) {
			assert_true(t->slot[from].open);
			assert_int_equal(t->slot[from].flights, 0);
			*s = t->slot[from];
			s->picked = false;
			s->window = 0;
		} else {
			s->h = 0;
			s->n = s->planned = s->flights = s->window = 0;
			s->picked = false;
		}
		s->open = true;
		if (open + 1 > t->open_most)
			t->open_most = open + 1;
		return i;
	}
	return -1;
}

static inline void toy_slot_close(struct backend *b, int slot)
{
	struct toy_slot *s = &toy_of(b)->slot[slot];
	assert_true(s->open);
	assert_int_equal(s->flights, 0);
	s->open = false;
}

static inline int toy_slot_position(const struct backend *b, int slot)
{
	return toy_of(b)->slot[slot].n;
}

static inline int toy_keep(struct backend *b, int slot, int n_kept, struct err *e)
{
	struct toy_slot *s = &toy_of(b)->slot[slot];
	(void)e;
	assert_true(s->open);
	assert_int_equal(s->flights, 0);
	assert_in_range(n_kept, 1, s->window);
	s->n -= s->window - n_kept;
	s->planned = s->n;
	s->h = s->before[n_kept];
	s->window = 0;
	s->picked = false;
	return 0;
}

static inline int toy_submit(struct backend *b, const struct step *step, struct err *e)
{
	struct toy *t = toy_of(b);
	bool used[TOY_SLOTS] = { false };
	int columns = 0, prefill = 0, more = 0;

	assert_true(t->queued < t->ops.depth);
	assert_in_range(step->n_runs, 1, BACKEND_DECODE_MAX + 1);
	assert_in_range(step->n_picks, 0, 2 * BACKEND_DECODE_MAX);
	if (t->lost_at >= 0 && t->steps >= t->lost_at)
		return err_set(e, ERR_LOST, "toy: the device fell off the bus");
	for (int i = 0; i < step->n_runs; i++) {
		const struct run *r = &step->run[i];
		const struct toy_slot *s = &t->slot[r->slot];
		assert_true(s->open && !used[r->slot]);
		used[r->slot] = true;
		assert_in_range(r->n, 1, BACKEND_PIECE);
		assert_true(s->planned + r->n <= t->context);
		if (r->window)
			assert_in_range(r->n, 1, BACKEND_WINDOW_MAX);
		if (r->window || r->n == 1)
			columns += r->n;
		else
			prefill++;
		assert_true(r->ids || (r->n == 1 && s->picked));
		for (int k = 0; r->ids && k < r->n; k++)
			assert_in_range(r->ids[k], 0, TOY_V - 1);
		more += r->n;
		for (int k = 0; k < r->mix.n; k++)
			if (r->mix.part[k].adapter == TOY_BAD_ADAPTER)
				return err_set(e, ERR_USAGE, "toy: no such adapter");
	}
	assert_in_range(columns, 0, BACKEND_DECODE_MAX);
	assert_true(prefill <= 1);
	for (int i = 0; i < step->n_picks; i++) {
		const struct run *r = &step->run[step->pick[i].run];
		assert_in_range(step->pick[i].run, 0, step->n_runs - 1);
		assert_in_range(step->pick[i].row, r->rows == ROWS_ALL ? 0 : r->n - 1, r->n - 1);
		assert_true(r->rows != ROWS_NONE);
	}
	if (toy_tokens(t) + more > t->kv) {
		t->refused++;
		return err_set(e, ERR_MEM, "toy: keys and values of %d tokens do not fit",
		               toy_tokens(t) + more);
	}
	for (int i = 0; i < step->n_runs; i++) {
		struct toy_slot *s = &t->slot[step->run[i].slot];
		s->planned += step->run[i].n;
		s->flights++;
		s->picked = false;
		t->queue[t->queued].run[i] = step->run[i];
	}
	for (int i = 0; i < step->n_picks; i++) {
		t->queue[t->queued].pick[i] = step->pick[i];
		t->slot[step->run[step->pick[i].run].slot].picked = true;
	}
	t->queue[t->queued].step = *step;
	t->queued++;
	t->steps++;
	t->prefills += prefill;
	if (columns > t->widest)
		t->widest = columns;
	return 0;
}

static inline int toy_collect(struct backend *b, struct picked *out, struct err *e)
{
	struct toy *t = toy_of(b);
	static float row[BACKEND_PIECE][TOY_V];
	int columns = 0;

	assert_true(t->queued > 0);
	if (t->lost_collect >= 0 && t->collects >= t->lost_collect)
		return err_set(e, ERR_LOST, "toy: the device fell off the bus");
	t->collects++;
	const struct step *step = &t->queue[0].step;
	for (int i = 0; i < step->n_runs; i++) {
		const struct run *r = &t->queue[0].run[i];
		struct toy_slot *s = &t->slot[r->slot];
		bool decode = r->window || r->n == 1;
		if (s->n == 0)
			s->h = toy_start(&r->mix);
		s->window = r->window ? r->n : 0;
		for (int k = 0; k < r->n; k++) {
			int32_t id = r->ids ? r->ids[k] : s->last;
			s->id[s->n++] = id;
			s->h = toy_mix(s->h, (uint64_t)id * 2 + decode);
			if (!decode && k == r->n - 1) /* the cut */
				s->h = toy_mix(s->h, ~(uint64_t)0);
			if (r->window)
				s->before[k + 1] = s->h;
			for (int p = 0; p < step->n_picks; p++)
				if (t->queue[0].pick[p].run == i && t->queue[0].pick[p].row == k) {
					toy_logits(s->h, s->id, s->n, t->push, row[k]);
					break;
				}
		}
		for (int p = 0; p < step->n_picks; p++) {
			const struct pick *pick = &t->queue[0].pick[p];
			if (pick->run != i)
				continue;
			sampler_pick(t->sampler, row[pick->row], &pick->input, &out[p]);
			s->last = out[p].id < 0 ? 0 : out[p].id;
		}
		s->flights--;
		columns += r->n;
	}
	toy_clock_s += t->base_s + t->column_s * columns;
	t->queue[0].step = t->queue[1].step;
	memcpy(t->queue[0].run, t->queue[1].run, sizeof(t->queue[0].run));
	memcpy(t->queue[0].pick, t->queue[1].pick, sizeof(t->queue[0].pick));
	t->queued--;
	return 0;
}

static inline struct toy *toy_new(int depth)
{
	struct toy *t = calloc(1, sizeof(*t));
	assert_non_null(t);
	t->ops = (struct backend_ops){ .name = "toy",
		                       .depth = depth,
		                       .figures = toy_figures,
		                       .slot_open = toy_slot_open,
		                       .slot_close = toy_slot_close,
		                       .slot_position = toy_slot_position,
		                       .keep = toy_keep,
		                       .submit = toy_submit,
		                       .collect = toy_collect };
	t->b.ops = &t->ops;
	t->slots = 100;
	t->kv = 1 << 30;
	t->context = TOY_CONTEXT;
	t->push = 60;
	t->lost_at = t->lost_collect = -1;
	t->base_s = 1e-3;
	t->column_s = 1e-5;
	t->sampler = sampler_open(TOY_V);
	return t;
}

static inline void toy_free(struct toy *t)
{
	sampler_close(t->sampler);
	free(t);
}

#endif
