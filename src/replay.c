#include "src/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

enum { ARTIFACT_TEXT_MAX = 8 << 20 };
#define SPEED_LEAST 0.25
#define SPEED_MOST  16.0

/* ---- gathering ---- */

struct gathering {
	struct replay *r;
	struct err *e;
	bool failed;
};

static void *grow(void *v, int *cap, int n, size_t size)
{
	if (n < *cap)
		return v;
	int more = *cap ? 2 * *cap : 64;
	void *p = realloc(v, (size_t)more * size);
	if (p)
		*cap = more;
	return p;
}

static int add(struct replay *r, struct replay_event v)
{
	struct replay_event *p = grow(r->event, &r->cap, r->n, sizeof(*p));

	if (!p)
		return -1;
	r->event = p;
	r->event[r->n++] = v;
	return 0;
}

static int keep_head(void *ctx, const struct store_episode *x)
{
	struct replay *r = ctx;

	snprintf(r->task, sizeof(r->task), "%s", x->task);
	snprintf(r->profile, sizeof(r->profile), "%s", x->profile);
	return 0;
}

static int keep_turn(void *ctx, const struct store_turn *t)
{
	struct gathering *g = ctx;
	struct replay *r = g->r;
	struct replay_turn *p = grow(r->turn, &r->cap_turns, r->n_turns, sizeof(*p));

	if (!p) {
		g->failed = true;
		return 1;
	}
	r->turn = p;
	p = &r->turn[r->n_turns++];
	*p = (struct replay_turn){ .number = t->number,
		                   .parent = t->parent,
		                   .member = t->member,
		                   .started_us = t->started_us,
		                   .committed_us = t->committed_us,
		                   .built = t->built,
		                   .total = t->total,
		                   .bare = true };
	snprintf(p->finish, sizeof(p->finish), "%s", t->finish ? t->finish : "");
	return 0;
}

static struct replay_turn *turn_of(const struct replay *r, int number)
{
	int lo = 0, hi = r->n_turns;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;
		if (r->turn[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n_turns && r->turn[lo].number == number ? &r->turn[lo] : NULL;
}

static int keep_event(void *ctx, const struct store_event *x)
{
	struct gathering *g = ctx;
	struct replay_turn *t = turn_of(g->r, x->turn);
	struct replay_event v = { .time_us = x->time_us,
		                  .turn = x->turn,
		                  .member = t ? t->member : 0,
		                  .kind = arena_string(&g->r->mem, x->kind),
		                  .data = arena_string(&g->r->mem, x->data) };

	if (x->turn && !t)
		return 0;
	if (t && strcmp(x->kind, "tokens") == 0)
		t->bare = false;
	g->failed = g->failed || add(g->r, v) < 0;
	if (t && strcmp(x->kind, "build") == 0 && t->built) {
		v = (struct replay_event){ .time_us = x->time_us,
			                   .turn = x->turn,
			                   .member = v.member,
			                   .kind = "shape",
			                   .made = true };
		g->failed = g->failed || add(g->r, v) < 0;
	}
	return g->failed;
}

/* The best of the turns that were there before @number: as src/episode.h has it. */
static int best_before(const struct replay *r, int number)
{
	const struct replay_turn *best = NULL;

	for (int i = 0; i < r->n_turns && r->turn[i].number < number; i++) {
		const struct replay_turn *t = &r->turn[i];
		if (!best || t->built > best->built ||
		    (t->built == best->built &&
		     (t->total > best->total || (isnan(best->total) && !isnan(t->total)))))
			best = t;
	}
	return best ? best->number : 0;
}

/* What a round begins with, and what ends a turn. */
static int frame_turns(struct replay *r)
{
	for (int i = 0; i < r->n_turns; i++) {
		const struct replay_turn *t = &r->turn[i];
		struct replay_event v = { .time_us = t->started_us,
			                  .turn = t->number,
			                  .member = t->member,
			                  .made = true };
		bool begins = t->member <= 1;
		int group = 1;
		if (begins) {
			if (t->member == 1)
				while (i + group < r->n_turns &&
				       r->turn[i + group].member == group + 1)
					group++;
			v.kind = "begin";
			cJSON *o = cJSON_CreateObject();
			struct buf line = { 0 };
			cJSON_AddStringToObject(o, "task", r->task);
			cJSON_AddStringToObject(o, "profile", r->profile);
			cJSON_AddNumberToObject(o, "episode", (double)r->episode);
			cJSON_AddNumberToObject(o, "group", group);
			cJSON_AddNumberToObject(o, "parent", t->parent);
			cJSON_AddNumberToObject(o, "best", best_before(r, t->number));
			cJSON_AddNumberToObject(o, "turns", r->n_turns);
			json_print(&line, o);
			cJSON_Delete(o);
			v.data = arena_text(&r->mem, buf_str(&line), line.len);
			buf_release(&line);
			if (add(r, v) < 0)
				return -1;
		}
		v.data = NULL;
		if (t->bare) {
			v.kind = "tokens";
			v.time_us = t->started_us;
			if (add(r, v) < 0)
				return -1;
			v.kind = "shape";
			v.time_us = t->committed_us;
			if (t->built && add(r, v) < 0)
				return -1;
		}
		v.kind = "turn";
		v.time_us = t->committed_us;
		if (add(r, v) < 0)
			return -1;
	}
	return 0;
}

/* ---- laying it out ---- */

/* What happens in one instant happens in this order. */
static int rank(const struct replay_event *v)
{
	return strcmp(v->kind, "begin") == 0 ? 0 : strcmp(v->kind, "turn") == 0 && v->made ? 2 : 1;
}

struct place {
	struct replay_event v;
	int seq;
};

static int by_time(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->v.time_us != y->v.time_us)
		return x->v.time_us < y->v.time_us ? -1 : 1;
	/* of the episode itself: after what its turns did */
	int tx = x->v.turn ? x->v.turn : INT32_MAX, ty = y->v.turn ? y->v.turn : INT32_MAX;
	if (tx != ty)
		return tx < ty ? -1 : 1;
	if (rank(&x->v) != rank(&y->v))
		return rank(&x->v) - rank(&y->v);
	return x->seq - y->seq;
}

/* Within a turn nothing is before its beginning, after its end, or before what the store has ahead
 * of it: a clock may have been set meanwhile. */
static void straighten(struct replay *r)
{
	for (int i = 0; i < r->n_turns; i++)
		r->turn[i].latest_us = r->turn[i].started_us;
	for (int k = 0; k < r->n; k++) {
		struct replay_event *v = &r->event[k];
		struct replay_turn *t = v->turn && rank(v) == 1 ? turn_of(r, v->turn) : NULL;
		if (!t)
			continue;
		if (v->time_us < t->latest_us)
			v->time_us = t->latest_us;
		t->latest_us = v->time_us;
	}
	for (int k = 0; k < r->n; k++) {
		struct replay_event *v = &r->event[k];
		const struct replay_turn *t = turn_of(r, v->turn);
		if (t && rank(v) == 2 && v->time_us < t->latest_us)
			v->time_us = t->latest_us;
	}
}

static int sort_events(struct replay *r)
{
	struct place *p = calloc((size_t)r->n + 1, sizeof(*p));

	if (!p)
		return -1;
	for (int i = 0; i < r->n; i++)
		p[i] = (struct place){ r->event[i], i };
	qsort(p, (size_t)r->n, sizeof(*p), by_time);
	for (int i = 0; i < r->n; i++)
		r->event[i] = p[i].v;
	free(p);
	return 0;
}

static void lay_out(struct replay *r)
{
	double at = 0;
	int open = 0, begin = 0;

	for (int i = 0; i < r->n; i++) {
		struct replay_event *v = &r->event[i];
		struct replay_turn *t = turn_of(r, v->turn);
		if (i > 0) {
			double gap = (double)(v->time_us - v[-1].time_us) / 1e6;
			if (open <= 0 && gap > REPLAY_PAUSE_S)
				gap = REPLAY_PAUSE_S;
			/* so that there is something to be seen */
			if (t && t->bare && rank(v) == 2 && gap < REPLAY_BARE_S)
				gap = REPLAY_BARE_S;
			at += gap;
		}
		v->at_s = at;
		if (strcmp(v->kind, "begin") == 0 && v->made)
			begin = i;
		if (!t)
			continue;
		if (t->from_s < 0) {
			t->from_s = at;
			t->begin = begin;
			open++;
		}
		if (rank(v) == 2) {
			t->to_s = at;
			open--;
		}
	}
	r->length_s = at;
}

struct replay *replay_open(struct store *s, int64_t episode, struct err *e)
{
	struct replay *r = calloc(1, sizeof(*r));
	struct gathering g = { r, e, false };

	if (!r) {
		err_set(e, ERR_MEM, "no memory for a replay");
		return NULL;
	}
	r->store = s;
	r->episode = episode;
	r->speed = 1;
	live_init(&r->live);
	if (store_episode(s, episode, keep_head, r, e) < 0 ||
	    store_turns(s, episode, keep_turn, &g, e) < 0)
		goto fail;
	if (!g.failed && store_events(s, episode, 0, keep_event, &g, e) < 0)
		goto fail;
	if (g.failed || frame_turns(r) < 0 || arena_failed(&r->mem))
		goto memory;
	straighten(r);
	if (sort_events(r) < 0)
		goto memory;
	for (int i = 0; i < r->n_turns; i++)
		r->turn[i].from_s = -1;
	lay_out(r);
	return r;
memory:
	err_set(e, ERR_MEM, "no memory for the events of episode %lld", (long long)episode);
fail:
	replay_close(r);
	return NULL;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	live_release(&r->live);
	arena_release(&r->mem);
	free(r->event);
	free(r->turn);
	free(r);
}

/* ---- the fold ---- */

/* One that is not there, was pruned or is damaged is an empty one: the rest is worth seeing. */
static int read_artifact(struct replay *r, int turn, const char *name, struct buf *out,
                         struct err *e)
{
	struct err why = { 0 };

	if (store_artifact(r->store, r->episode, turn, name, out, &why) == 0)
		return 0;
	buf_clear(out);
	if (why.kind == ERR_INPUT)
		return 0;
	*e = why;
	return -1;
}

static int feed_turn(struct replay *r, const struct replay_event *v, struct err *e)
{
	const struct replay_turn *t = turn_of(r, v->turn);
	struct buf text = { 0 };
	struct live_news n = { v->time_us, "turn", v->turn, v->member, NULL, NULL, 0 };
	cJSON *o;
	int rc;

	if (read_artifact(r, v->turn, "reward.json", &text, e) < 0)
		return -1;
	o = text.len ? json_parse(buf_str(&text), text.len, NULL) : NULL;
	buf_release(&text);
	if (!cJSON_IsObject(o)) {
		cJSON_Delete(o);
		o = cJSON_CreateObject();
	}
	cJSON_AddNumberToObject(o, "episode", (double)r->episode);
	cJSON_AddNumberToObject(o, "turn", t->number);
	json_add_figure(o, "parent", t->parent ? t->parent : NAN);
	cJSON_AddNumberToObject(o, "best", best_before(r, t->number + 1));
	json_add_text(o, "finish", t->finish[0] ? t->finish : NULL);
	n.data = o;
	rc = live_feed(&r->live, &n, e);
	cJSON_Delete(o);
	return rc;
}

static int feed_shape(struct replay *r, const struct replay_event *v, struct err *e)
{
	struct buf stl = { 0 };
	int rc = read_artifact(r, v->turn, "shape.stl", &stl, e);

	if (rc == 0 && stl.len) {
		struct live_news n = { v->time_us, "shape",       v->turn, v->member,
			               NULL,       buf_str(&stl), stl.len };
		rc = live_feed(&r->live, &n, e);
	}
	buf_release(&stl);
	return rc;
}

static int feed_text(struct replay *r, const struct replay_event *v, struct err *e)
{
	struct buf text = { 0 };
	int rc = read_artifact(r, v->turn, "completion.txt", &text, e);

	if (rc == 0 && text.len == 0)
		rc = read_artifact(r, v->turn, "program.py", &text, e);
	if (rc == 0)
		rc = live_event(&r->live, v->time_us, "tokens", v->turn, v->member, buf_str(&text),
		                text.len < ARTIFACT_TEXT_MAX ? text.len : ARTIFACT_TEXT_MAX, e);
	buf_release(&text);
	return rc;
}

static int feed_tokens(struct replay *r, const struct replay_event *v, struct err *e)
{
	struct buf text = { 0 };
	cJSON *o = NULL;
	int rc = read_artifact(r, v->turn, "tokens.json", &text, e);

	if (rc == 0 && text.len)
		o = json_parse(buf_str(&text), text.len, NULL);
	if (rc == 0 && o)
		rc = live_tokens(&r->live, v->member > 0 ? v->member - 1 : 0, o, e);
	cJSON_Delete(o);
	buf_release(&text);
	return rc;
}

static int feed(struct replay *r, const struct replay_event *v, struct err *e)
{
	if (v->made && strcmp(v->kind, "turn") == 0)
		return feed_turn(r, v, e);
	if (v->made && strcmp(v->kind, "shape") == 0)
		return feed_shape(r, v, e);
	if (v->made && strcmp(v->kind, "tokens") == 0)
		return feed_text(r, v, e);
	if (live_event(&r->live, v->time_us, v->kind, v->turn, v->member, v->data,
	               v->data ? strlen(v->data) : 0, e) < 0)
		return -1;
	return strcmp(v->kind, "completion") == 0 ? feed_tokens(r, v, e) : 0;
}

/* What stood there after @done events. Going back begins with the round before the one that is
 * sought: its score stands beside what streams. */
static int fold_to(struct replay *r, int done, struct err *e)
{
	if (done < r->done) {
		int from = 0, before = 0;
		for (int i = 0; i < done; i++)
			if (r->event[i].made && strcmp(r->event[i].kind, "begin") == 0) {
				from = before;
				before = i;
			}
		live_release(&r->live);
		live_init(&r->live);
		r->rewinds++;
		r->done = from;
	}
	while (r->done < done) {
		if (feed(r, &r->event[r->done], e) < 0)
			return -1;
		r->done++;
	}
	return 0;
}

static int count_until(const struct replay *r, double at_s)
{
	int lo = 0, hi = r->n;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;
		if (r->event[mid].at_s <= at_s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int replay_seek(struct replay *r, double at_s, struct err *e)
{
	r->at_s = at_s > r->length_s ? r->length_s : at_s > 0 ? at_s : 0;
	return fold_to(r, count_until(r, r->at_s), e);
}

int replay_seek_share(struct replay *r, int permille, struct err *e)
{
	/* the end is the end, whatever the product rounds to */
	return replay_seek(r, permille >= 1000 ? r->length_s : r->length_s * permille / 1000.0, e);
}

int replay_step(struct replay *r, int events, struct err *e)
{
	long done = (long)r->done + events;

	done = done < 0 ? 0 : done > r->n ? r->n : done;
	r->at_s = done > 0 ? r->event[done - 1].at_s : 0;
	return fold_to(r, (int)done, e);
}

int replay_seek_turn(struct replay *r, int number, struct err *e)
{
	const struct replay_turn *t = turn_of(r, number);

	if (!t)
		return err_set(e, ERR_INPUT, "episode %lld has no turn %d", (long long)r->episode,
		               number);
	r->at_s = t->from_s;
	/* of what happened at that moment, only what began it */
	int done = 0;
	while (done < r->n && !(r->event[done].turn == number))
		done++;
	return fold_to(r, done < r->n ? done + 1 : done, e);
}

/* ---- playing ---- */

int replay_play(struct replay *r, bool on, double now_s, struct err *e)
{
	if (on && !r->playing && r->done == r->n && replay_seek(r, 0, e) < 0)
		return -1;
	r->playing = on && r->n > 0;
	r->clock_s = now_s;
	return 0;
}

void replay_speed(struct replay *r, int steps)
{
	for (; steps > 0 && r->speed < SPEED_MOST; steps--)
		r->speed *= 2;
	for (; steps < 0 && r->speed > SPEED_LEAST; steps++)
		r->speed /= 2;
}

double replay_tick(struct replay *r, double now_s, bool *changed, struct err *e)
{
	double passed = now_s - r->clock_s, next;
	int done = r->done;

	*changed = false;
	if (!r->playing)
		return -1;
	r->clock_s = now_s;
	r->at_s += passed > 0 ? passed * r->speed : 0;
	if (r->at_s > r->length_s)
		r->at_s = r->length_s;
	int until = count_until(r, r->at_s);
	if (until > r->done && fold_to(r, until, e) < 0) {
		r->playing = false;
		return -1;
	}
	*changed = r->done != done;
	if (r->done == r->n) {
		r->playing = false;
		*changed = true;
		return -1;
	}
	next = (r->event[r->done].at_s - r->at_s) / r->speed;
	return next < 0 ? 0 : next > 0.5 ? 0.5 : next;
}

int replay_turn_at(const struct replay *r)
{
	int turn = 0;

	for (int i = 0; i < r->done; i++)
		if (r->event[i].turn)
			turn = r->event[i].turn;
	return turn;
}
