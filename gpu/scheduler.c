/*
 * scheduler.c - who is in the next step, and what became of the last.
 *
 * A request has a *stem*: the slot in which its prompt is prefilled, once for all its sequences.
 * When the prompt is done every sequence has its first token; they start from copies of the stem,
 * the last one takes the stem itself. A sequence that lost its slot (memory) is a sequence that
 * needs a stem again, and then has some tokens of its answer to feed before it goes on: there is no
 * other special case.
 *
 * A *flight* is a step that the backend has. What depends on picks waits until it is collected. A
 * sequence that ends while it is in a flight keeps its slot until that is collected.
 */
#include "gpu/scheduler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/lookup.h"
#include "gpu/prefix.h"
#include "gpu/stops.h"
#include "src/base/clock.h"

enum {
	SEQUENCES_MAX = 64,
	RUNS_MAX = BACKEND_DECODE_MAX + 1,
	PICKS_MAX = BACKEND_DECODE_MAX + SEQUENCES_MAX,
	FLIGHTS_MAX = 2,
	STOPS_MAX = 32
};

struct sequence {
	struct request *r;
	int index;
	bool ended;
	int slot;    /* -1: none */
	int fed;     /* tokens its slot has taken, those in flights among them */
	int flights; /* steps under way that it is in */
	int ahead;   /* tokens under way: picks of those steps */
	unsigned alone;
	struct sampling sampling;
	struct ids answer; /* drafts are written behind its end */
	struct decoder decoder;
	struct buf held, out; /* text not given out yet; text being given out */
	struct guard *guard;
	struct lookup *lookup;
	struct sequence_figures f;
	double first_s; /* when its first token came; 0: not yet */
};

struct request {
	uint32_t id;
	int32_t *prompt, *draft, *forced;
	int n_prompt, n_draft, n_forced;
	bool forced_begin; /* the answer goes on after them */
	int *cut;          /* where prefill is cut and kept, rising, all below n_prompt */
	unsigned char (*key)[PREFIX_KEY];
	int n_cuts;
	bool keeps; /* the cache may be used */
	struct lora_mix mix;
	int max_tokens;
	bool ignore_eos, speculate, penalties;
	struct stops stops;
	double added_s, begun_s, deadline_s; /* 0: not begun, none */
	struct sequence *seq;
	int n;
	int stem, stem_fed; /* -1: none */
	bool stem_ready;    /* all of the prompt is in it */
	int flights;        /* steps under way that the stem is in */
	int cached;
	unsigned alone;
};

/* One run of a flight. */
struct part {
	struct sequence *q; /* NULL: prefill of r */
	struct request *r;
	int n;          /* tokens fed */
	int drafted;    /* of them, last */
	int kind;       /* lookup_tell()'s */
	int first_pick; /* the picks follow each other */
	int n_picks;
	struct sequence *of[SEQUENCES_MAX]; /* prefill: whose the picks are */
};

struct flight {
	struct part part[RUNS_MAX];
	struct run run[RUNS_MAX];
	struct pick pick[PICKS_MAX];
	int n, n_picks;
	int columns; /* of decode */
	bool prefill, timed;
	double start_s;
	int32_t ids[RUNS_MAX][BACKEND_WINDOW_MAX];
	uint64_t *mask[PICKS_MAX]; /* taken when first needed */
	int32_t only[PICKS_MAX];   /* the one bit that is set in it; -1: any */
};

struct scheduler {
	struct backend *b;
	const struct tokenizer *t;
	struct scheduler_ops ops;
	int vocabulary, context, batch, window, depth;
	int32_t stop[STOPS_MAX];
	int n_stop;
	struct request **request; /* as they came */
	int n_requests, cap;
	uint32_t last_id;
	struct prefix_cache cache;
	struct flight *flight[FLIGHTS_MAX]; /* the oldest first; those from n_flights on are free */
	int n_flights;
	struct picked picked[PICKS_MAX];
	struct lookup_costs costs;
	bool crowded;   /* memory ran out: nobody starts until somebody ends */
	unsigned alone; /* rounds of one run a step, to find who is at fault */
	bool one_run;
	struct err lost; /* kind ERR_NONE while the backend lives */
};

/* ---- opening ---- */

struct scheduler *scheduler_open(struct backend *b, const struct tokenizer *t,
                                 const struct scheduler_options *o, const struct scheduler_ops *ops,
                                 struct err *e)
{
	static const struct scheduler_options none = { 0 };
	struct backend_figures f = { 0 };
	struct scheduler *s = calloc(1, sizeof(*s));

	o = o ? o : &none;
	if (!s)
		goto memory;
	b->ops->figures(b, &f);
	s->b = b;
	s->t = t;
	s->ops = *ops;
	s->vocabulary = f.vocabulary;
	s->context = f.context;
	s->batch = o->batch > 0 && o->batch < BACKEND_DECODE_MAX ? o->batch : BACKEND_DECODE_MAX;
	s->window = o->window > 0 && o->window < BACKEND_WINDOW_MAX ? o->window
	                                                            : BACKEND_WINDOW_MAX - 1;
	if (o->window < 0)
		s->window = 0;
	s->depth = b->ops->depth < FLIGHTS_MAX ? b->ops->depth : FLIGHTS_MAX;
	if (s->depth < 1)
		s->depth = 1;
	int snapshots = f.slots_free - 1;
	if (o->snapshots > 0 && o->snapshots < snapshots)
		snapshots = o->snapshots;
	if (o->snapshots < 0)
		snapshots = 0;
	if (s->vocabulary < 1 || s->context < 1) {
		err_set(e, ERR_USAGE, "backend %s: a vocabulary of %d and a context of %d tokens",
		        b->ops->name, s->vocabulary, s->context);
		scheduler_close(s);
		return NULL;
	}
	if (t)
		s->n_stop = tokenizer_stops(t, s->stop, STOPS_MAX / 2);
	for (int i = 0; i < o->n_eos && s->n_stop < STOPS_MAX; i++)
		s->stop[s->n_stop++] = o->eos[i];
	if (prefix_init(&s->cache, snapshots) < 0)
		goto memory;
	for (int i = 0; i < s->depth; i++) {
		if (!(s->flight[i] = calloc(1, sizeof(**s->flight))))
			goto memory;
		for (int p = 0; p < PICKS_MAX; p++)
			s->flight[i]->only[p] = -1;
	}
	return s;
memory:
	err_set(e, ERR_MEM, "no memory for the scheduler");
	scheduler_close(s);
	return NULL;
}

static void request_free(struct request *r)
{
	if (!r)
		return;
	for (int i = 0; r->seq && i < r->n; i++) {
		struct sequence *q = &r->seq[i];
		free(q->answer.id);
		buf_release(&q->held);
		buf_release(&q->out);
		guard_close(q->guard);
		if (q->lookup)
			lookup_release(q->lookup);
		free(q->lookup);
	}
	stops_release(&r->stops);
	free(r->seq);
	free(r->prompt);
	free(r->draft);
	free(r->forced);
	free(r->cut);
	free(r->key);
	free(r);
}

static void slot_drop(struct scheduler *s, int *slot)
{
	if (*slot >= 0 && s->lost.kind == ERR_NONE)
		s->b->ops->slot_close(s->b, *slot);
	*slot = -1;
}

void scheduler_close(struct scheduler *s)
{
	struct err e = { 0 };
	if (!s)
		return;
	while (s->n_flights > 0 && s->lost.kind == ERR_NONE) {
		if (s->b->ops->collect(s->b, s->picked, &e) < 0)
			s->lost = e;
		s->n_flights--;
	}
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		slot_drop(s, &r->stem);
		for (int k = 0; k < r->n; k++)
			slot_drop(s, &r->seq[k].slot);
		request_free(r);
	}
	if (s->lost.kind == ERR_NONE)
		scheduler_forget(s);
	prefix_release(&s->cache);
	for (int i = 0; i < FLIGHTS_MAX; i++) {
		for (int p = 0; s->flight[i] && p < PICKS_MAX; p++)
			free(s->flight[i]->mask[p]);
		free(s->flight[i]);
	}
	free(s->request);
	free(s);
}

void scheduler_forget(struct scheduler *s)
{
	if (s->lost.kind == ERR_NONE)
		prefix_forget(&s->cache, s->b);
}

/* ---- adding ---- */

static int check_sampling(const struct sampling *p, struct err *e)
{
	if (!(p->temperature >= 0 && p->temperature <= 1e6f))
		return err_set(e, ERR_USAGE, "temperature: 0 to 1e6 wanted, got %g",
		               (double)p->temperature);
	if (!(p->top_p > 0 && p->top_p <= 1))
		return err_set(e, ERR_USAGE, "top_p: above 0 and up to 1 wanted, got %g",
		               (double)p->top_p);
	if (p->top_k < 0)
		return err_set(e, ERR_USAGE, "top_k: 0 (off) or more wanted, got %d", p->top_k);
	if (!(p->min_p >= 0 && p->min_p < 1))
		return err_set(e, ERR_USAGE, "min_p: 0 (off) and below 1 wanted, got %g",
		               (double)p->min_p);
	if (!isfinite(p->presence) || !isfinite(p->frequency))
		return err_set(e, ERR_USAGE, "presence and frequency: numbers wanted, got %g, %g",
		               (double)p->presence, (double)p->frequency);
	if (!(p->repetition > 0 && isfinite(p->repetition)))
		return err_set(e, ERR_USAGE, "repetition: above 0 wanted (1 is off), got %g",
		               (double)p->repetition);
	if (p->top < 0 || p->top > SAMPLER_TOP_MAX)
		return err_set(e, ERR_USAGE, "alternatives: 0 to %d wanted, got %d",
		               SAMPLER_TOP_MAX, p->top);
	return 0;
}

static int check_ids(const struct scheduler *s, const char *what, const int32_t *id, int n,
                     struct err *e)
{
	if (n < 0)
		return err_set(e, ERR_USAGE, "%s: %d tokens", what, n);
	for (int i = 0; i < n; i++)
		if (id[i] < 0 || id[i] >= s->vocabulary)
			return err_set(e, ERR_USAGE,
			               "%s: token %d is %d, the model has ids from 0 to %d", what,
			               i, (int)id[i], s->vocabulary - 1);
	return 0;
}

static int check(const struct scheduler *s, const struct scheduler_request *r, struct err *e)
{
	if (s->lost.kind != ERR_NONE)
		return err_set(e, ERR_LOST, "%s", s->lost.text);
	if (r->n < 1 || r->n > SEQUENCES_MAX)
		return err_set(e, ERR_USAGE, "answers: 1 to %d wanted, got %d", SEQUENCES_MAX,
		               r->n);
	if (r->n_prompt < 1)
		return err_set(e, ERR_USAGE, "prompt: it is empty");
	if (r->n_prompt > s->context)
		return err_set(e, ERR_USAGE,
		               "prompt: %d tokens do not fit into a context of %d; shorten it or "
		               "open the model with a larger context",
		               r->n_prompt, s->context);
	if (check_ids(s, "prompt", r->prompt, r->n_prompt, e) < 0 ||
	    check_ids(s, "draft", r->draft, r->draft ? r->n_draft : 0, e) < 0 ||
	    check_ids(s, "forced answer", r->forced, r->forced ? r->n_forced : 0, e) < 0)
		return -1;
	if (r->forced && r->n_forced < 1)
		return err_set(e, ERR_USAGE, "forced answer: it is empty");
	if (r->n_heads < 0 || r->n_heads > SCHEDULER_HEADS)
		return err_set(e, ERR_USAGE, "heads: 0 to %d wanted, got %d", SCHEDULER_HEADS,
		               r->n_heads);
	for (int i = 0; i < r->n_heads; i++)
		if (r->head[i] < 1 || r->head[i] > r->n_prompt ||
		    (i && r->head[i] <= r->head[i - 1]))
			return err_set(e, ERR_USAGE,
			               "heads: rising numbers from 1 to %d wanted, number %d is %d",
			               r->n_prompt, i, r->head[i]);
	if (r->max_tokens < 0 || !(r->seconds >= 0))
		return err_set(e, ERR_USAGE, "budget: %d tokens, %g s; 0 is no limit",
		               r->max_tokens, r->seconds);
	if (r->n_stop < 0 || r->n_stop > SCHEDULER_STOPS)
		return err_set(e, ERR_USAGE, "stop texts: 0 to %d wanted, got %d", SCHEDULER_STOPS,
		               r->n_stop);
	if (!s->t && (r->n_stop > 0 || r->guard))
		return err_set(e, ERR_USAGE,
		               "stop texts and the code guard need a tokenizer, and this model has "
		               "none");
	for (int i = 0; i < r->n_stop; i++)
		if (strlen(r->stop[i]) > SCHEDULER_STOP_BYTES)
			return err_set(e, ERR_USAGE, "stop text %d: longer than %d bytes", i,
			               SCHEDULER_STOP_BYTES);
	return check_sampling(&r->sampling, e);
}

static int32_t *copied(const int32_t *id, int n, bool *failed)
{
	int32_t *copy = malloc((size_t)(n > 0 ? n : 1) * sizeof(*copy));
	if (!copy)
		*failed = true;
	else if (n > 0)
		memcpy(copy, id, (size_t)n * sizeof(*copy));
	return copy;
}

static int begin_sequences(struct scheduler *s, const struct scheduler_request *in,
                           struct request *r, struct err *e)
{
	for (int i = 0; i < r->n; i++) {
		struct sequence *q = &r->seq[i];
		q->r = r;
		q->index = i;
		q->slot = -1;
		q->sampling = in->sampling;
		q->sampling.seed += (uint64_t)i;
		q->f.prompt_tokens = r->n_prompt;
		if (in->guard && (!in->forced || in->forced_begin)) {
			if (i == 0) {
				q->guard = guard_open(s->t, in->guard, s->vocabulary, e);
				if (q->guard)
					guard_prompt(q->guard, r->prompt, r->n_prompt);
			} else {
				q->guard = guard_copy(r->seq[0].guard, e);
			}
			if (!q->guard)
				return err_wrap(e, "code guard");
		}
		if (!r->speculate)
			continue;
		q->lookup = calloc(1, sizeof(*q->lookup));
		if (!q->lookup || lookup_init(q->lookup) < 0 ||
		    (r->n_draft && lookup_add_text(q->lookup, r->draft, r->n_draft) < 0) ||
		    lookup_add_prompt(q->lookup, r->prompt, r->n_prompt) < 0)
			return err_set(e, ERR_MEM, "no memory for a request of %d tokens",
			               r->n_prompt);
	}
	return 0;
}

int scheduler_add(struct scheduler *s, const struct scheduler_request *in, uint32_t *request,
                  struct err *e)
{
	bool failed = false;

	if (check(s, in, e) < 0)
		return -1;
	if (s->n_requests == s->cap) {
		int cap = s->cap ? 2 * s->cap : 16;
		struct request **more = realloc(s->request, (size_t)cap * sizeof(struct request *));
		if (!more)
			return err_set(e, ERR_MEM, "no memory for another request");
		s->request = more;
		s->cap = cap;
	}
	struct request *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, ERR_MEM, "no memory for another request");
	r->stem = -1;
	r->n = in->n;
	r->n_prompt = in->n_prompt;
	r->n_draft = in->draft ? in->n_draft : 0;
	r->n_forced = in->forced ? in->n_forced : 0;
	r->forced_begin = in->forced_begin;
	r->mix = in->mix;
	r->keeps = in->mix.n == 0 || in->mix_key;
	r->max_tokens = in->max_tokens;
	r->ignore_eos = in->ignore_eos;
	r->speculate = in->speculate && s->window > 0;
	r->penalties = in->sampling.presence != 0 || in->sampling.frequency != 0 ||
	               in->sampling.repetition != 1;
	r->added_s = clock_now_s();
	r->deadline_s = in->seconds > 0 ? r->added_s + in->seconds : 0;
	r->prompt = copied(in->prompt, in->n_prompt, &failed);
	r->draft = copied(in->draft, r->n_draft, &failed);
	r->forced = copied(in->forced, r->n_forced, &failed);
	r->seq = calloc((size_t)r->n, sizeof(*r->seq));
	r->cut = calloc((size_t)in->n_heads + 1, sizeof(*r->cut));
	r->key = calloc((size_t)in->n_heads + 1, sizeof(*r->key));
	if (failed || !r->seq || !r->cut || !r->key ||
	    stops_init(&r->stops, in->stop, in->n_stop) < 0) {
		request_free(r);
		return err_set(e, ERR_MEM, "no memory for a request of %d tokens", in->n_prompt);
	}
	/* what is as long as the prompt leaves no token to compute */
	for (int i = 0; i < in->n_heads && in->head[i] < in->n_prompt - 1; i++)
		r->cut[r->n_cuts++] = in->head[i];
	if (in->n_prompt > 1)
		r->cut[r->n_cuts++] = in->n_prompt - 1;
	struct prefix_hash hash;
	prefix_hash_start(&hash, in->mix_key, r->prompt);
	for (int i = 0; i < r->n_cuts; i++)
		prefix_hash_next(&hash, r->cut[i], r->key[i]);
	if (begin_sequences(s, in, r, e) < 0) {
		request_free(r);
		return -1;
	}
	r->id = ++s->last_id ? s->last_id : ++s->last_id;
	s->request[s->n_requests++] = r;
	*request = r->id;
	return 0;
}

/* ---- ending ---- */

static void sequence_end(struct scheduler *s, struct sequence *q, enum sequence_end end,
                         const char *error)
{
	struct request *r = q->r;
	double now = clock_now_s();

	if (q->ended)
		return;
	q->ended = true;
	s->crowded = false;
	if (q->flights == 0)
		slot_drop(s, &q->slot);
	decoder_finish(&q->decoder, &q->held);
	if (q->held.len && !buf_failed(&q->held))
		s->ops.token(s->ops.ctx, r->id, q->index, -1, NULL, q->held.data, q->held.len);
	q->f.tokens = q->answer.n;
	q->f.wait_s = (r->begun_s > 0 ? r->begun_s : now) - r->added_s;
	q->f.prefill_s = r->begun_s > 0 ? (q->first_s > 0 ? q->first_s : now) - r->begun_s : 0;
	q->f.decode_s = q->first_s > 0 ? now - q->first_s : 0;
	if (r->begun_s > 0)
		q->f.cached_tokens = q->index == 0 ? r->cached : r->n_prompt;
	s->ops.done(s->ops.ctx, r->id, q->index, end, q->answer.id, q->answer.n, &q->f,
	            end == SEQUENCE_ERROR ? error : NULL);
}

static void request_end(struct scheduler *s, struct request *r, enum sequence_end end,
                        const char *error)
{
	for (int i = 0; i < r->n; i++)
		sequence_end(s, &r->seq[i], end, error);
}

/* The device is gone: everybody ends, and nothing of the backend is touched again. */
static int lose(struct scheduler *s, const struct err *why, struct err *e)
{
	s->lost = *why;
	s->n_flights = 0;
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		r->flights = 0;
		for (int k = 0; k < r->n; k++)
			r->seq[k].flights = r->seq[k].ahead = 0;
	}
	for (int i = 0; i < s->n_requests; i++)
		request_end(s, s->request[i], SEQUENCE_ERROR, s->lost.text);
	return err_set(e, ERR_LOST, "%s", s->lost.text);
}

void scheduler_cancel(struct scheduler *s, uint32_t request, int sequence)
{
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		if (r->id != request)
			continue;
		if (sequence < 0)
			request_end(s, r, SEQUENCE_CANCELLED, NULL);
		else if (sequence < r->n)
			sequence_end(s, &r->seq[sequence], SEQUENCE_CANCELLED, NULL);
		return;
	}
}

static bool request_alive(const struct request *r)
{
	for (int i = 0; i < r->n; i++)
		if (!r->seq[i].ended)
			return true;
	return false;
}

static bool needs_slot(const struct request *r)
{
	for (int k = 0; k < r->n; k++)
		if (!r->seq[k].ended && r->seq[k].slot < 0)
			return true;
	return false;
}

static void stem_drop(struct scheduler *s, struct request *r)
{
	slot_drop(s, &r->stem);
	r->stem_ready = false;
}

/* Slots of those that ended, requests that are over, budgets of time. */
static void sweep(struct scheduler *s)
{
	double now = clock_now_s();
	int kept = 0;

	for (int i = 0; i < s->n_requests; i++)
		if (s->request[i]->deadline_s > 0 && now >= s->request[i]->deadline_s)
			request_end(s, s->request[i], SEQUENCE_LENGTH, NULL);
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		bool busy = r->flights > 0, alive = request_alive(r);
		for (int k = 0; k < r->n; k++) {
			busy = busy || r->seq[k].flights > 0;
			if (r->seq[k].ended && r->seq[k].flights == 0)
				slot_drop(s, &r->seq[k].slot);
		}
		if (!needs_slot(r) && r->flights == 0)
			stem_drop(s, r);
		if (alive || busy)
			s->request[kept++] = r;
		else
			request_free(r);
	}
	s->n_requests = kept;
}

/* ---- a token came ---- */

static bool stops_here(const struct scheduler *s, int32_t id)
{
	for (int i = 0; i < s->n_stop; i++)
		if (s->stop[i] == id)
			return true;
	return false;
}

static int known(const struct sequence *q)
{
	return q->r->n_prompt + q->answer.n;
}

static bool room_for(struct ids *v, int n)
{
	if (v->n + n <= v->cap)
		return true;
	int cap = v->cap ? v->cap : 64;
	while (cap < v->n + n)
		cap *= 2;
	int32_t *id = realloc(v->id, (size_t)cap * sizeof(*id));
	if (!id)
		return false;
	v->id = id;
	v->cap = cap;
	return true;
}

static void no_pick(struct scheduler *s, struct sequence *q, const struct pick *pick)
{
	char why[200];
	bool open = !pick->input.mask;
	for (int i = 0; !open && i < (s->vocabulary + 63) / 64; i++)
		open = pick->input.mask[i] != 0;
	if (open)
		snprintf(why, sizeof(why),
		         "token %d: the model's values are not finite; weights or adapter are "
		         "damaged, or do not belong together",
		         q->answer.n);
	else
		snprintf(why, sizeof(why),
		         "token %d: the code guard allows no token; try without it", q->answer.n);
	sequence_end(s, q, SEQUENCE_ERROR, why);
}

/* Takes a pick into the answer; the sequence may have ended after. */
static void sequence_take(struct scheduler *s, struct sequence *q, const struct picked *p)
{
	struct request *r = q->r;
	bool found = false, full;

	if (!r->ignore_eos && stops_here(s, p->id)) {
		q->f.stop = p;
		sequence_end(s, q, SEQUENCE_STOP, NULL);
		q->f.stop = NULL;
		return;
	}
	if (!room_for(&q->answer, 1 + BACKEND_WINDOW_MAX)) {
		sequence_end(s, q, SEQUENCE_ERROR, "no memory for the answer's tokens");
		return;
	}
	if (q->answer.n == 0)
		q->first_s = clock_now_s();
	q->answer.id[q->answer.n++] = p->id;
	if (q->guard)
		guard_accept(q->guard, p->id);
	if (q->lookup && lookup_add_token(q->lookup, p->id) < 0) {
		lookup_release(q->lookup);
		free(q->lookup);
		q->lookup = NULL;
	}
	full = (r->max_tokens && q->answer.n >= r->max_tokens) ||
	       (r->n_forced && !r->forced_begin && q->answer.n >= r->n_forced) ||
	       known(q) > s->context;
	if (s->t)
		decoder_push(&q->decoder, s->t, p->id, false, &q->held);
	if (full)
		decoder_finish(&q->decoder, &q->held);
	size_t ready = stops_scan(&r->stops, &q->held, &found);
	if (full && !found)
		ready = q->held.len;
	buf_clear(&q->out);
	buf_add(&q->out, buf_str(&q->held), ready);
	if (found)
		buf_clear(&q->held);
	else
		buf_consume(&q->held, ready);
	if (found)
		q->decoder.n_held = 0;
	if (buf_failed(&q->held) || buf_failed(&q->out)) {
		sequence_end(s, q, SEQUENCE_ERROR, "no memory for the answer's text");
		return;
	}
	s->ops.token(s->ops.ctx, r->id, q->index, q->answer.n - 1, p, buf_str(&q->out), q->out.len);
	if (found)
		sequence_end(s, q, SEQUENCE_STOP, NULL);
	else if (full)
		sequence_end(s, q, SEQUENCE_LENGTH, NULL);
}

/* ---- who gets slots ---- */

static int active(const struct scheduler *s)
{
	int n = 0;
	for (int i = 0; i < s->n_requests; i++)
		for (int k = 0; k < s->request[i]->n; k++)
			n += s->request[i]->seq[k].slot >= 0 && !s->request[i]->seq[k].ended;
	return n;
}

/* A new slot, at the cost of kept prefixes if need be. 1; 0: none to be had now; -1: lost. */
static int slot_get(struct scheduler *s, int from, int *slot, struct err *e)
{
	struct err why = { 0 };
	while ((*slot = s->b->ops->slot_open(s->b, from, &why)) < 0) {
		if (why.kind == ERR_LOST)
			return lose(s, &why, e);
		if (!prefix_drop(&s->cache, s->b))
			return 0;
	}
	return 1;
}

/* Sequences whose prompt is ready start, as many as there is room for. */
static int start_sequences(struct scheduler *s, struct err *e)
{
	int decoding = active(s);

	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		int waiting = 0;
		for (int k = 0; k < r->n; k++)
			waiting += !r->seq[k].ended && r->seq[k].slot < 0;
		for (int k = 0; k < r->n && r->stem_ready; k++) {
			struct sequence *q = &r->seq[k];
			int got = 0;
			if (q->ended || q->slot >= 0)
				continue;
			if (decoding >= s->batch || (s->crowded && decoding > 0))
				return 0;
			if (waiting > 1 && (got = slot_get(s, r->stem, &q->slot, e)) < 0)
				return -1;
			if (!got && waiting > 1 && decoding > 0) {
				s->crowded = true;
				return 0;
			}
			if (!got) { /* the last, or the only one that can go on at all */
				q->slot = r->stem;
				r->stem = -1;
				r->stem_ready = false;
			}
			q->fed = r->n_prompt;
			waiting--;
			decoding++;
		}
	}
	return 0;
}

/* The request whose prompt is computed now: one at a time, as they came. NULL: none. */
static int choose_prefill(struct scheduler *s, struct request **out, struct err *e)
{
	struct request *r = NULL;
	int decoding = active(s);

	*out = NULL;
	for (int i = 0; i < s->n_requests; i++) {
		struct request *c = s->request[i];
		if (c->stem >= 0 && !c->stem_ready && request_alive(c)) {
			if (c->flights == 0 && !(s->crowded && decoding > 0))
				*out = c;
			return 0;
		}
		if (c->stem_ready) /* its sequences wait for their turn */
			return 0;
		if (!r && c->stem < 0 && needs_slot(c))
			r = c;
	}
	if (!r || s->crowded || decoding >= s->batch)
		return 0;
	for (;;) {
		int from = -1, at = 0;
		struct err why = { 0 };
		for (int i = r->n_cuts - 1; r->keeps && i >= 0 && from < 0; i--)
			if ((from = prefix_find(&s->cache, r->key[i])) >= 0)
				at = r->cut[i];
		r->stem = s->b->ops->slot_open(s->b, from, &why);
		if (r->stem >= 0) {
			r->stem_fed = at;
			if (!(r->begun_s > 0)) {
				r->begun_s = clock_now_s();
				r->cached = at;
			}
			*out = r;
			return 0;
		}
		if (why.kind == ERR_LOST)
			return lose(s, &why, e);
		if (prefix_drop(&s->cache, s->b))
			continue;
		if (decoding > 0 || s->n_flights > 0) {
			s->crowded = true;
			return 0;
		}
		for (int k = 0; k < r->n; k++)
			if (r->seq[k].slot < 0)
				sequence_end(s, &r->seq[k], SEQUENCE_ERROR, why.text);
		return 0;
	}
}

/* ---- building a step ---- */

static uint64_t *mask_room(struct scheduler *s, struct flight *f, int pick)
{
	if (!f->mask[pick])
		f->mask[pick] = calloc(((size_t)s->vocabulary + 63) / 64, sizeof(uint64_t));
	return f->mask[pick];
}

/* The pick of the answer's token @index, of which those before are in q->answer.id. @mask NULL: the
 * guard allows all. -1: no memory. */
static int add_pick(struct scheduler *s, struct flight *f, struct sequence *q, int run, int row,
                    int index, const uint64_t *mask)
{
	struct request *r = q->r;
	struct pick *p = &f->pick[f->n_picks];
	size_t words = ((size_t)s->vocabulary + 63) / 64;

	*p = (struct pick){ .run = run, .row = row };
	p->input.sampling = &q->sampling;
	p->input.position = (uint64_t)r->n_prompt + (uint64_t)index;
	if (r->penalties) {
		p->input.answer = q->answer.id;
		p->input.n_answer = index;
		p->input.prompt = r->prompt;
		p->input.n_prompt = r->n_prompt;
	}
	if (index < r->n_forced || mask) {
		uint64_t *m = mask_room(s, f, f->n_picks);
		if (!m)
			return -1;
		if (index < r->n_forced) {
			int32_t id = r->forced[index];
			if (f->only[f->n_picks] >= 0)
				m[f->only[f->n_picks] / 64] = 0;
			else
				memset(m, 0, words * sizeof(*m));
			m[id / 64] = (uint64_t)1 << (id % 64);
			f->only[f->n_picks] = id;
		} else {
			memcpy(m, mask, words * sizeof(*m));
			f->only[f->n_picks] = -1;
		}
		p->input.mask = m;
	}
	f->n_picks++;
	return 0;
}

/* Whether the next token of @q may be asked for before the last is known here. */
static bool queues_ahead(const struct sequence *q)
{
	const struct request *r = q->r;
	return !q->lookup && !q->guard && !r->penalties &&
	       (!r->n_forced || (r->forced_begin && q->answer.n >= r->n_forced));
}

static int most_drafts(const struct scheduler *s, const struct sequence *q)
{
	const struct request *r = q->r;
	int n = s->window, left = s->context - known(q);
	if (r->max_tokens && r->max_tokens - q->answer.n - 1 < n)
		n = r->max_tokens - q->answer.n - 1;
	if (r->n_forced && !r->forced_begin && r->n_forced - q->answer.n - 1 < n)
		n = r->n_forced - q->answer.n - 1;
	return n < left ? n : left;
}

/* One run of a sequence that decodes. @ahead: its last token is still with the backend. -1: no
 * memory. */
static int add_decode(struct scheduler *s, struct flight *f, struct sequence *q,
                      const struct lookup_draft *d, int drafts)
{
	struct request *r = q->r;
	const bool ahead = q->ahead > 0;
	int missing = known(q) + q->ahead - q->fed; /* 1, or more when its slot is made anew */
	int n = missing < BACKEND_WINDOW_MAX ? missing : BACKEND_WINDOW_MAX;
	int32_t *ids = f->ids[f->n];
	struct part *part = &f->part[f->n];
	struct guard *guard = NULL;

	*part = (struct part){ .q = q, .r = r, .n = n, .first_pick = f->n_picks };
	if (!ahead)
		memcpy(ids, q->answer.id + (q->fed - r->n_prompt), (size_t)n * sizeof(*ids));
	if (n == missing) {
		const uint64_t *mask = q->guard ? guard_mask(q->guard) : NULL;
		if (add_pick(s, f, q, f->n, n - 1, q->answer.n + q->ahead, mask) < 0)
			return -1;
		for (int i = 0; i < drafts; i++) {
			int32_t id = d->id[i];
			const uint64_t *here = f->pick[f->n_picks - 1].input.mask;
			/* what the guard forbids cannot be picked; forced tokens don't show
			 * here, so that drafting is as it would be without them */
			if (q->guard && here && !(here[id / 64] >> (id % 64) & 1))
				break;
			if (q->guard && !guard && !(guard = guard_copy(q->guard, NULL)))
				break;
			if (guard)
				guard_accept(guard, id);
			q->answer.id[q->answer.n + i] = id;
			ids[n + i] = id;
			if (add_pick(s, f, q, f->n, n + i, q->answer.n + i + 1,
			             guard ? guard_mask(guard) : NULL) < 0)
				break;
			part->drafted++;
		}
		guard_close(guard);
		part->kind = d ? d->kind : 0;
	}
	part->n = n + part->drafted;
	part->n_picks = f->n_picks - part->first_pick;
	f->run[f->n++] = (struct run){ .slot = q->slot,
		                       .n = part->n,
		                       .ids = ahead ? NULL : ids,
		                       .mix = r->mix,
		                       .rows = part->n_picks == 0 ? ROWS_NONE
		                               : part->drafted    ? ROWS_ALL
		                                                  : ROWS_LAST,
		                       .window = part->n > 1 };
	f->columns += part->n;
	return 0;
}

static int add_prefill(struct scheduler *s, struct flight *f, struct request *r)
{
	struct part *part = &f->part[f->n];
	int end = (r->stem_fed / BACKEND_PIECE + 1) * BACKEND_PIECE;

	for (int i = r->n_cuts - 1; i >= 0 && r->cut[i] > r->stem_fed; i--)
		if (r->cut[i] < end)
			end = r->cut[i];
	if (end > r->n_prompt)
		end = r->n_prompt;
	*part = (struct part){ .r = r, .n = end - r->stem_fed, .first_pick = f->n_picks };
	for (int k = 0; k < r->n && end == r->n_prompt; k++) {
		struct sequence *q = &r->seq[k];
		if (q->ended || q->answer.n > 0)
			continue;
		if (add_pick(s, f, q, f->n, part->n - 1, 0,
		             q->guard ? guard_mask(q->guard) : NULL) < 0)
			return -1;
		part->of[part->n_picks++] = q;
	}
	f->run[f->n++] = (struct run){ .slot = r->stem,
		                       .n = part->n,
		                       .ids = r->prompt + r->stem_fed,
		                       .mix = r->mix,
		                       .rows = part->n_picks ? ROWS_LAST : ROWS_NONE };
	f->prefill = true;
	return 0;
}

/* Those who decode, as they came; a pair of passes: first what everybody takes, then drafts in the
 * room that is left. -1: no memory. */
static int build(struct scheduler *s, struct flight *f, struct request *prefill)
{
	struct sequence *q[BACKEND_DECODE_MAX];
	struct lookup_draft draft[BACKEND_DECODE_MAX];
	int drafts[BACKEND_DECODE_MAX] = { 0 };
	int n = 0;
	int columns = prefill ? 1 : 0; /* a prompt's last token is computed as decoding is */
	double tokens = 0;

	f->n = f->n_picks = f->columns = 0;
	f->prefill = f->timed = false;
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		for (int k = 0; k < r->n && n < BACKEND_DECODE_MAX; k++) {
			struct sequence *c = &r->seq[k];
			if (c->ended || c->slot < 0 || (s->one_run && c->alone == s->alone))
				continue;
			/* what is under way ends it, or makes its slot anew */
			if (c->flights > 0 &&
			    (c->ahead == 0 ||
			     (r->max_tokens && c->answer.n + c->ahead >= r->max_tokens) ||
			     known(c) + c->ahead > s->context))
				continue;
			int missing = known(c) + c->ahead - c->fed;
			int take = missing < BACKEND_WINDOW_MAX ? missing : BACKEND_WINDOW_MAX;
			if (columns + take > BACKEND_DECODE_MAX)
				continue;
			columns += take;
			tokens += take == missing;
			q[n++] = c;
			if (s->one_run) {
				c->alone = s->alone;
				goto chosen;
			}
		}
	}
	for (int i = 0; i < n; i++) {
		int most = q[i]->lookup && known(q[i]) - q[i]->fed == 1 ? most_drafts(s, q[i]) : 0;
		if (most < 1 || !room_for(&q[i]->answer, 1 + BACKEND_WINDOW_MAX))
			continue;
		lookup_find(q[i]->lookup, most, &draft[i]);
		drafts[i] = lookup_worth(&s->costs, columns, tokens, &draft[i], most);
		columns += drafts[i];
		double chain = 1;
		for (int m = 0; m < drafts[i]; m++)
			tokens += chain *= draft[i].p;
	}
chosen:
	for (int i = 0; i < n; i++)
		if (add_decode(s, f, q[i], drafts[i] ? &draft[i] : NULL, drafts[i]) < 0)
			return -1;
	if (prefill && s->one_run && (n > 0 || prefill->alone == s->alone))
		prefill = NULL;
	if (prefill) {
		prefill->alone = s->alone;
		if (add_prefill(s, f, prefill) < 0)
			return -1;
	}
	return 0;
}

/* ---- flying it ---- */

static void fault(struct scheduler *s, const struct part *p, const char *text)
{
	if (p->q) {
		sequence_end(s, p->q, SEQUENCE_ERROR, text);
		return;
	}
	for (int k = 0; k < p->r->n; k++)
		if (p->r->seq[k].slot < 0)
			sequence_end(s, &p->r->seq[k], SEQUENCE_ERROR, text);
}

/* A step did not fit, and nothing is under way: gives something up, the least loss first. */
static void make_room(struct scheduler *s, const struct flight *f, const struct err *why)
{
	struct sequence *youngest = NULL;
	struct request *stem = NULL;
	int decoding = 0;

	if (prefix_drop(&s->cache, s->b))
		return;
	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = s->request[i];
		if (r->stem >= 0 && !(f->prefill && f->part[f->n - 1].r == r))
			stem = r;
		for (int k = 0; k < r->n; k++)
			if (!r->seq[k].ended && r->seq[k].slot >= 0) {
				youngest = &r->seq[k];
				decoding++;
			}
	}
	s->crowded = true;
	if (f->prefill && f->n > 1)
		return; /* those who decode go first: that may fit */
	if (stem) {
		stem_drop(s, stem);
	} else if (f->prefill) {
		struct request *r = f->part[f->n - 1].r;
		stem_drop(s, r);
		if (decoding == 0)
			fault(s, &f->part[f->n - 1], why->text);
	} else if (decoding > 1) {
		slot_drop(s, &youngest->slot);
	} else {
		fault(s, &f->part[0], why->text);
	}
}

static void commit(struct scheduler *s, struct flight *f)
{
	for (int i = 0; i < f->n; i++) {
		struct part *p = &f->part[i];
		if (p->q) {
			p->q->fed += p->n;
			p->q->flights++;
			p->q->ahead += p->n_picks > 0;
			p->q->f.drafted += p->drafted;
		} else {
			p->r->stem_fed += p->n;
			p->r->flights++;
		}
	}
	s->n_flights++;
}

static int landed_decode(struct scheduler *s, const struct flight *f, const struct part *p,
                         struct err *e)
{
	struct sequence *q = p->q;
	int held = 0;
	bool cut = false;

	q->flights--;
	q->ahead -= p->n_picks > 0;
	for (int i = 0; i < p->n_picks && !q->ended; i++) {
		const struct picked *got = &s->picked[p->first_pick + i];
		if (got->id < 0 || got->id >= s->vocabulary) {
			no_pick(s, q, &f->pick[p->first_pick + i]);
			break;
		}
		/* before it is taken: taking writes over the draft with what is the same or ends
		 * it */
		bool same =
			i < p->drafted && f->run[p - f->part].ids[p->n - p->drafted + i] == got->id;
		held += same;
		q->f.accepted += same;
		sequence_take(s, q, got);
		if (i < p->drafted && !same) {
			cut = true;
			break;
		}
	}
	if (p->drafted && q->lookup)
		lookup_tell(q->lookup, p->kind, p->drafted, held);
	if (q->ended) {
		if (q->flights == 0)
			slot_drop(s, &q->slot);
		return 0;
	}
	if (cut) {
		struct err why = { 0 };
		int keep = p->n - p->drafted + held;
		if (s->b->ops->keep(s->b, q->slot, keep, &why) < 0) {
			if (why.kind == ERR_LOST)
				return lose(s, &why, e);
			sequence_end(s, q, SEQUENCE_ERROR, why.text);
			return 0;
		}
		q->fed -= p->n - keep;
	}
	return 0;
}

static int landed_prefill(struct scheduler *s, const struct flight *f, const struct part *p,
                          struct err *e)
{
	struct request *r = p->r;

	r->flights--;
	for (int i = 0; i < r->n_cuts && r->keeps && request_alive(r); i++) {
		struct err why = { 0 };
		if (r->cut[i] == r->stem_fed &&
		    prefix_keep(&s->cache, s->b, r->key[i], r->stem, &why) < 0)
			return lose(s, &why, e);
	}
	if (r->stem_fed < r->n_prompt)
		return 0;
	r->stem_ready = true;
	for (int i = 0; i < p->n_picks; i++) {
		const struct picked *got = &s->picked[p->first_pick + i];
		struct sequence *q = p->of[i];
		if (q->ended)
			continue;
		if (got->id < 0 || got->id >= s->vocabulary)
			no_pick(s, q, &f->pick[p->first_pick + i]);
		else
			sequence_take(s, q, got);
	}
	return 0;
}

static int land(struct scheduler *s, struct err *e)
{
	struct flight *f = s->flight[0];
	struct err why = { 0 };

	if (s->b->ops->collect(s->b, s->picked, &why) < 0)
		return lose(s, &why, e);
	s->n_flights--;
	if (s->depth > 1) {
		s->flight[0] = s->flight[1];
		s->flight[1] = f;
	}
	if (f->timed)
		lookup_costs_note(&s->costs, f->columns, clock_now_s() - f->start_s);
	for (int i = 0; i < f->n; i++)
		if ((f->part[i].q ? landed_decode(s, f, &f->part[i], e)
		                  : landed_prefill(s, f, &f->part[i], e)) < 0)
			return -1;
	return 0;
}

/* Whether all that decode may be queued ahead of their picks. */
static bool may_queue_ahead(const struct scheduler *s)
{
	if (s->n_flights >= s->depth || s->one_run)
		return false;
	for (int i = 0; i < s->n_requests; i++)
		for (int k = 0; k < s->request[i]->n; k++) {
			const struct sequence *q = &s->request[i]->seq[k];
			if (!q->ended && q->slot >= 0 && !queues_ahead(q))
				return false;
		}
	return true;
}

/* 1: a step was submitted; 0: not; -1: lost. */
static int take_off(struct scheduler *s, struct err *e)
{
	struct flight *f = s->flight[s->n_flights];
	struct request *prefill;
	struct err why = { 0 };

	if (start_sequences(s, e) < 0 || choose_prefill(s, &prefill, e) < 0)
		return -1;
	if (build(s, f, prefill) < 0) {
		if (f->n < RUNS_MAX && f->part[f->n].r)
			fault(s, &f->part[f->n], "no memory for the masks of a step");
		return 0;
	}
	if (f->n == 0) {
		s->one_run = false;
		return 0;
	}
	struct step step = { f->run, f->n, f->pick, f->n_picks };
	f->timed = !f->prefill && s->n_flights == 0;
	f->start_s = clock_now_s();
	if (s->b->ops->submit(s->b, &step, &why) == 0) {
		commit(s, f);
		f->timed = f->timed && !may_queue_ahead(s);
		return 1;
	}
	if (why.kind == ERR_LOST)
		return lose(s, &why, e);
	if (s->n_flights > 0) /* what is under way may end somebody */
		return 0;
	if (why.kind == ERR_MEM) {
		make_room(s, f, &why);
	} else if (f->n == 1) {
		fault(s, &f->part[0], why.text);
	} else { /* one of them is at fault: each by itself */
		s->one_run = true;
		s->alone++;
	}
	return 0;
}

int scheduler_step(struct scheduler *s, struct err *e)
{
	int off = 0;

	if (s->lost.kind != ERR_NONE) {
		sweep(s);
		return err_set(e, ERR_LOST, "%s", s->lost.text);
	}
	sweep(s);
	if (s->n_flights == 0 || may_queue_ahead(s)) {
		if (s->n_flights == 0 && active(s) == 0)
			s->crowded = false;
		if ((off = take_off(s, e)) < 0)
			goto lost;
	}
	if (s->n_flights > 0 && (!off || !may_queue_ahead(s)) && land(s, e) < 0)
		goto lost;
	sweep(s);
	return s->n_requests > 0 ? 1 : 0;
lost:
	sweep(s);
	return -1;
}
