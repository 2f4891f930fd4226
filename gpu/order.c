#include "gpu/order.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	GROUP = 50,  /* steps whose samples are sorted together */
	PARTS = 100, /* ... and at most this part of the run, when the mix changes over time */
	STEPS_MAX = 50000000
};
/* Places walked over in all, beside so many for each sample that is learnt. */
static const uint64_t COST_MAX = 1u << 24, COST_EACH = 64;

struct planned {
	uint64_t at;     /* first of its samples in pick[] */
	uint64_t tokens; /* up to and with it */
	double epoch;
};

struct order {
	const struct dataset *d;
	struct order_options o;
	int32_t *pick;
	uint64_t picks, picks_cap;
	struct planned *step; /* [steps + 1] */
	int64_t steps, steps_cap;
	int longest_pass;
};

/* ---- numbers by chance ---- */

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t draw_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)draw(state) * n) >> 64);
}

static double draw_unit(uint64_t *state)
{
	return (double)(draw(state) >> 11) * 0x1p-53;
}

static void shuffle(uint64_t *state, int32_t *v, uint64_t n)
{
	for (uint64_t i = n; i > 1; i--) {
		uint64_t k = draw_below(state, i);
		int32_t t = v[i - 1];
		v[i - 1] = v[k];
		v[k] = t;
	}
}

/* ---- the walk through the rounds ---- */

struct walk {
	struct order *p;
	uint64_t state;
	int32_t *list; /* the round's samples */
	uint64_t n, at, cap;
	double rounds; /* behind, whole ones */
	uint64_t cost;
};

static double rounds_behind(const struct walk *w)
{
	return w->rounds + (w->n > 0 ? (double)w->at / (double)w->n : 0);
}

/* How much of the run is behind when @step steps are planned. */
static double share_of(const struct walk *w, int64_t step)
{
	const struct order_options *o = &w->p->o;
	double x = o->steps > 0 ? (double)step / (double)o->steps : rounds_behind(w) / o->epochs;

	return x < 1 ? x : 1 - 0x1p-53;
}

static bool holds(const struct sample *s, double share)
{
	return (double)s->from <= share && share < (double)s->until;
}

static int begin_round(struct walk *w, double share, struct err *e)
{
	const struct dataset *d = w->p->d;

	w->n = w->at = 0;
	for (int i = 0; i < d->samples; i++) {
		const struct sample *s = &d->sample[i];
		double whole = floor((double)s->weight);
		int copies = (int)whole + (draw_unit(&w->state) < (double)s->weight - whole);
		if (share >= (double)s->until)
			continue;
		if (w->n + (uint64_t)copies > w->cap) {
			uint64_t cap = w->cap ? 2 * w->cap : 1024;
			while (cap < w->n + (uint64_t)copies)
				cap *= 2;
			int32_t *list = realloc(w->list, cap * sizeof(*list));
			if (!list)
				return err_set(e, ERR_MEM, "no memory for a round of %d samples",
				               d->samples);
			w->list = list;
			w->cap = cap;
		}
		while (copies-- > 0)
			w->list[w->n++] = i;
	}
	if (!w->p->o.as_file)
		shuffle(&w->state, w->list, w->n);
	w->cost += (uint64_t)d->samples + w->n;
	return 0;
}

/* The next sample that may be learnt when @step steps are planned. 1; 0: the rounds are over; -1.
 */
static int next(struct walk *w, int64_t step, int32_t *out, struct err *e)
{
	const struct order_options *o = &w->p->o;

	for (;;) {
		if (o->steps <= 0 && rounds_behind(w) >= o->epochs)
			return 0;
		if (w->at == w->n) {
			w->rounds += w->n > 0;
			w->n = w->at = 0;
			if (o->steps <= 0 && rounds_behind(w) >= o->epochs)
				return 0;
			if (begin_round(w, share_of(w, step), e) < 0)
				return -1;
			if (w->cost > COST_MAX + COST_EACH * w->p->picks)
				return err_set(e, ERR_INPUT,
				               "the run goes through its rows too often (%.3g "
				               "rounds): fewer steps or epochs, or larger weights",
				               w->rounds);
			continue;
		}
		double share = share_of(w, step);
		*out = w->list[w->at++];
		if (holds(&w->p->d->sample[*out], share))
			return 1;
	}
}

/* ---- steps ---- */

static int add_pick(struct order *p, int32_t sample, struct err *e)
{
	if (p->picks == p->picks_cap) {
		uint64_t cap = p->picks_cap ? 2 * p->picks_cap : 1024;
		int32_t *v = p->picks < INT_MAX ? realloc(p->pick, cap * sizeof(*v)) : NULL;
		if (!v)
			return err_set(e, p->picks < INT_MAX ? ERR_MEM : ERR_INPUT,
			               "a run of more than %llu samples: fewer steps or epochs",
			               (unsigned long long)p->picks);
		p->pick = v;
		p->picks_cap = cap;
	}
	p->pick[p->picks++] = sample;
	return 0;
}

/* The samples from @from on are a step. */
static int end_step(struct order *p, uint64_t from, double epoch, struct err *e)
{
	uint64_t tokens = p->steps > 0 ? p->step[p->steps - 1].tokens : 0;

	if (p->steps + 1 >= p->steps_cap) {
		int64_t cap = p->steps_cap ? 2 * p->steps_cap : 1024;
		struct planned *s = realloc(p->step, (size_t)cap * sizeof(*s));
		if (!s)
			return err_set(e, ERR_MEM, "no memory for a plan of %lld steps",
			               (long long)cap);
		p->step = s;
		p->steps_cap = cap;
	}
	if (p->steps >= STEPS_MAX)
		return err_set(e, ERR_INPUT, "a run of more than %d steps", STEPS_MAX);
	for (uint64_t i = from; i < p->picks; i++)
		tokens += (uint64_t)p->d->sample[p->pick[i]].n;
	p->step[p->steps++] = (struct planned){ .at = from, .tokens = tokens, .epoch = epoch };
	p->step[p->steps].at = p->picks;
	return 0;
}

struct filling {
	int samples;
	int64_t tokens;
};

/* Whether one more has room beside those that are in. */
static bool fits(const struct order_options *o, const struct filling *f, const struct sample *s)
{
	return f->samples == 0 || ((o->batch_samples == 0 || f->samples < o->batch_samples) &&
	                           (o->batch_tokens == 0 || f->tokens + s->n <= o->batch_tokens));
}

static void fill(struct filling *f, const struct sample *s)
{
	f->samples++;
	f->tokens += s->n;
}

static bool planned(const struct order *p)
{
	return p->o.steps > 0 && p->steps >= p->o.steps;
}

/* Steps as the samples come. */
static int plan_as_drawn(struct order *p, struct walk *w, struct err *e)
{
	struct filling f = { 0 };
	uint64_t from = 0;
	double epoch = 0;
	int32_t i;
	int rc;

	while ((rc = next(w, p->steps, &i, e)) > 0) {
		const struct sample *s = &p->d->sample[i];
		if (!fits(&p->o, &f, s)) {
			if (end_step(p, from, epoch, e) < 0)
				return -1;
			f = (struct filling){ 0 };
			from = p->picks;
			if (planned(p))
				return 0;
			if (!holds(s, share_of(w, p->steps)))
				continue;
		}
		fill(&f, s);
		epoch = rounds_behind(w);
		if (add_pick(p, i, e) < 0)
			return -1;
	}
	return rc < 0 ? -1 : f.samples > 0 && !planned(p) ? end_step(p, from, epoch, e) : 0;
}

struct lengthed {
	int n;
	int32_t sample;
	uint64_t drawn;
};

static int by_length(const void *a, const void *b)
{
	const struct lengthed *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->drawn < y->drawn ? -1 : x->drawn > y->drawn;
}

struct group {
	struct lengthed *v;
	uint64_t n, cap;
	int32_t *first,
		*turn; /* of each of its steps: the first sample; in which order they come */
};

/* Samples that are about @steps steps, and no more of a round than its end: so a step does not have
 * a sample twice when it need not. 1: the rounds are over after these; 0; -1. */
static int draw_group(struct group *g, struct walk *w, int64_t steps, struct err *e)
{
	struct order *p = w->p;
	struct filling f = { 0 };
	int64_t full = 0;
	int32_t i;

	g->n = 0;
	for (;;) {
		if (full > 0 && w->at == w->n)
			return 0;
		int rc = next(w, p->steps + full, &i, e);
		if (rc <= 0)
			return rc < 0 ? -1 : 1;
		const struct sample *s = &p->d->sample[i];
		if (!fits(&p->o, &f, s)) {
			f = (struct filling){ 0 };
			full++;
		}
		if (full == steps) {
			w->at--; /* it is the next group's first */
			return 0;
		}
		fill(&f, s);
		if (g->n == g->cap) {
			uint64_t cap = g->cap ? 2 * g->cap : 1024;
			struct lengthed *v = realloc(g->v, cap * sizeof(*v));
			int32_t *first = v ? realloc(g->first, cap * sizeof(*first)) : NULL;
			int32_t *turn = first ? realloc(g->turn, cap * sizeof(*turn)) : NULL;
			g->v = v ? v : g->v;
			g->first = first ? first : g->first;
			g->turn = turn ? turn : g->turn;
			if (!turn)
				return err_set(e, ERR_MEM, "no memory for the order of samples");
			g->cap = cap;
		}
		g->v[g->n] = (struct lengthed){ s->n, i, g->n };
		g->n++;
	}
}

/* Sorted, cut into steps, these in an order by chance. */
static int plan_group(struct order *p, struct group *g, struct walk *w, struct err *e)
{
	double before = p->steps > 0 ? p->step[p->steps - 1].epoch : 0;
	struct filling f = { 0 };
	int32_t steps = 0;

	qsort(g->v, g->n, sizeof(*g->v), by_length);
	for (uint64_t i = 0; i < g->n; i++) {
		const struct sample *s = &p->d->sample[g->v[i].sample];
		if (i == 0 || !fits(&p->o, &f, s)) {
			f = (struct filling){ 0 };
			g->turn[steps] = steps;
			g->first[steps++] = (int32_t)i;
		}
		fill(&f, s);
	}
	shuffle(&w->state, g->turn, (uint64_t)steps);
	for (int32_t k = 0; k < steps && !planned(p); k++) {
		int32_t b = g->turn[k];
		uint64_t end = b + 1 < steps ? (uint64_t)g->first[b + 1] : g->n, from = p->picks;
		for (uint64_t i = (uint64_t)g->first[b]; i < end; i++)
			if (add_pick(p, g->v[i].sample, e) < 0)
				return -1;
		double part = (double)(k + 1) / (double)steps;
		if (end_step(p, from, before + (rounds_behind(w) - before) * part, e) < 0)
			return -1;
	}
	return 0;
}

static bool mix_changes(const struct dataset *d)
{
	for (int i = 0; i < d->samples; i++)
		if (d->sample[i].from > 0 || d->sample[i].until < 1)
			return true;
	return false;
}

/* About how many steps there will be. */
static double guess_steps(const struct order *p)
{
	double samples = 0, tokens = 0, steps = 0;

	if (p->o.steps > 0)
		return (double)p->o.steps;
	for (int i = 0; i < p->d->samples; i++) {
		const struct sample *s = &p->d->sample[i];
		double share = (double)s->weight * (double)(s->until - s->from);
		samples += share;
		tokens += share * s->n;
	}
	if (p->o.batch_samples > 0)
		steps = samples / p->o.batch_samples;
	if (p->o.batch_tokens > 0)
		steps = fmax(steps, tokens / p->o.batch_tokens);
	return steps * p->o.epochs;
}

static int plan_by_length(struct order *p, struct walk *w, struct err *e)
{
	struct group g = { 0 };
	double part = mix_changes(p->d) ? floor(guess_steps(p) / PARTS) : GROUP;
	int64_t steps = part < 1 ? 1 : part < GROUP ? (int64_t)part : GROUP;
	int rc = 0;

	while (rc == 0 && !planned(p)) {
		rc = draw_group(&g, w, steps, e);
		if (rc >= 0 && plan_group(p, &g, w, e) < 0)
			rc = -1;
	}
	free(g.v);
	free(g.first);
	free(g.turn);
	return rc < 0 ? -1 : 0;
}

/* ---- passes ---- */

static int in_passes(const struct dataset *d, int pass_rows, const int32_t *sample, int n,
                     order_pass_fn *fn, void *ctx, struct err *e)
{
	int from = 0;
	int64_t tokens = 0;

	for (int i = 0; i < n; i++) {
		int more = d->sample[sample[i]].n;
		if (i > from && tokens + more > pass_rows) {
			if (fn(ctx, sample + from, i - from, e) < 0)
				return -1;
			from = i;
			tokens = 0;
		}
		tokens += more;
	}
	return from < n ? fn(ctx, sample + from, n - from, e) : 0;
}

int order_step(const struct order *o, int64_t step, order_pass_fn *fn, void *ctx, struct err *e)
{
	int n;
	const int32_t *sample = order_samples(o, step, &n);

	return in_passes(o->d, o->o.pass_rows, sample, n, fn, ctx, e);
}

int order_passes_of_all(const struct dataset *d, int pass_rows, order_pass_fn *fn, void *ctx,
                        struct err *e)
{
	size_t n = (size_t)d->samples;
	struct lengthed *v = malloc((n + 1) * sizeof(*v));
	int32_t *sample = malloc((n + 1) * sizeof(*sample));
	int rc = -1;

	if (v && sample) {
		for (size_t i = 0; i < n; i++)
			v[i] = (struct lengthed){ -d->sample[i].n, (int32_t)i, i };
		qsort(v, n, sizeof(*v), by_length);
		for (size_t i = 0; i < n; i++)
			sample[i] = v[i].sample;
		rc = in_passes(d, pass_rows, sample, (int)n, fn, ctx, e);
	} else {
		err_set(e, ERR_MEM, "no memory for the order of %zu samples", n);
	}
	free(v);
	free(sample);
	return rc;
}

struct measure {
	const struct dataset *d;
	int longest;
};

static int measure_pass(void *ctx, const int32_t *sample, int n, struct err *e)
{
	struct measure *m = ctx;
	int tokens = 0;

	(void)e;
	for (int i = 0; i < n; i++)
		tokens += m->d->sample[sample[i]].n;
	m->longest = tokens > m->longest ? tokens : m->longest;
	return 0;
}

/* ---- opening ---- */

static int by_from(const void *a, const void *b)
{
	const struct sample *const *x = a, *const *y = b;

	return ((*x)->from > (*y)->from) - ((*x)->from < (*y)->from);
}

/* At any share of the run some row may be learnt. */
static int check_parts(const struct dataset *d, struct err *e)
{
	const struct sample **v = malloc((size_t)d->samples * sizeof(*v));
	float reach = 0;
	int i;

	if (!v)
		return err_set(e, ERR_MEM, "no memory for the order of %d samples", d->samples);
	for (i = 0; i < d->samples; i++)
		v[i] = &d->sample[i];
	qsort(v, (size_t)d->samples, sizeof(const struct sample *), by_from);
	for (i = 0; i < d->samples && v[i]->from <= reach; i++)
		reach = fmaxf(reach, v[i]->until);
	float again = i < d->samples ? v[i]->from : 1;
	free(v);
	if (reach >= 1)
		return 0;
	return err_set(e, ERR_INPUT,
	               "no row may be learnt in the part of the run from %g to %g (\"from\" and "
	               "\"until\" of the rows)",
	               (double)reach, (double)again);
}

static int check(const struct dataset *d, const struct order_options *o, struct err *e)
{
	if (d->samples < 1)
		return err_set(e, ERR_INPUT, "no samples");
	if (o->batch_tokens < 0 || o->batch_samples < 0 ||
	    (o->batch_tokens == 0 && o->batch_samples == 0))
		return err_set(e, ERR_INPUT,
		               "batch_samples %d, batch_tokens %d: one of them must be above 0",
		               o->batch_samples, o->batch_tokens);
	if (o->pass_rows < d->longest)
		return err_set(e, ERR_INPUT,
		               "pass_rows %d: the longest sample has %d tokens, which one pass "
		               "must take",
		               o->pass_rows, d->longest);
	if (o->steps < 0 || o->steps > STEPS_MAX)
		return err_set(e, ERR_INPUT, "steps: 1 to %d, not %lld", STEPS_MAX,
		               (long long)o->steps);
	if (o->steps == 0 && !(o->epochs > 0 && o->epochs <= 1e6))
		return err_set(e, ERR_INPUT, "epochs: above 0, at most 1e6, not %g", o->epochs);
	return check_parts(d, e);
}

struct order *order_open(const struct dataset *d, const struct order_options *o, struct err *e)
{
	struct order *p;
	struct walk w = { .state = o->seed ^ 0x6f72646572u };
	struct measure m = { .d = d };
	int rc;

	if (check(d, o, e) < 0)
		return NULL;
	if (!(p = calloc(1, sizeof(*p)))) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->d = d;
	p->o = *o;
	w.p = p;
	if (guess_steps(p) > 1.1 * STEPS_MAX) {
		err_set(e, ERR_INPUT, "a run of about %.3g steps; at most %d are taken",
		        guess_steps(p), STEPS_MAX);
		free(p);
		return NULL;
	}
	rc = o->by_length && !o->as_file ? plan_by_length(p, &w, e) : plan_as_drawn(p, &w, e);
	free(w.list);
	if (rc == 0 && p->steps == 0)
		rc = err_set(e, ERR_INPUT, "epochs %g: too few for one sample", o->epochs);
	for (int64_t s = 1; rc == 0 && s <= p->steps; s++)
		order_step(p, s, measure_pass, &m, e);
	p->longest_pass = m.longest;
	if (rc == 0)
		return p;
	order_close(p);
	return NULL;
}

void order_close(struct order *o)
{
	if (!o)
		return;
	free(o->pick);
	free(o->step);
	free(o);
}

int64_t order_steps(const struct order *o)
{
	return o->steps;
}

const int32_t *order_samples(const struct order *o, int64_t step, int *n)
{
	const struct planned *s = &o->step[step - 1];

	*n = (int)(s[1].at - s->at);
	return o->pick + s->at;
}

double order_epoch(const struct order *o, int64_t step)
{
	return step > 0 ? o->step[step - 1].epoch : 0;
}

uint64_t order_tokens(const struct order *o, int64_t step)
{
	return step > 0 ? o->step[step - 1].tokens : 0;
}

int order_longest_pass(const struct order *o)
{
	return o->longest_pass;
}
