#include "src/tallies.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "src/curriculum.h"

/* More turns than this at once are not looked at one by one. */
enum { NEW_MAX = 2048 };

struct reading {
	struct tallies *t;
	bool failed;
	int64_t *id; /* of tallies that have a new turn */
	int n, seen, rows;
	int64_t last;
};

static int place_of(const struct tallies *t, int64_t id)
{
	int from = 0, to = t->n;

	while (from < to) {
		int mid = (from + to) / 2;
		if (t->v[mid].id < id)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

const struct tally *tallies_find(const struct tallies *t, int64_t id)
{
	int i = place_of(t, id);

	return i < t->n && t->v[i].id == id ? &t->v[i] : NULL;
}

/* The texts one after the other in one piece of memory. */
static bool own_texts(struct tally *out, const struct store_tally *row)
{
	const char *const from[] = { row->task,  row->profile, row->prompts, row->source,
		                     row->model, row->adapter, row->sampling };
	const char **const to[] = { &out->task,  &out->profile, &out->prompts, &out->source,
		                    &out->model, &out->adapter, &out->sampling };
	size_t bytes = 0;

	for (int i = 0; i < 7; i++)
		bytes += strlen(from[i]) + 1;
	char *p = out->own = malloc(bytes);
	for (int i = 0; p && i < 7; i++) {
		*to[i] = strcpy(p, from[i]);
		p += strlen(p) + 1;
	}
	return out->own != NULL;
}

static int keep(void *ctx, const struct store_tally *row)
{
	struct reading *r = ctx;
	struct tallies *t = r->t;
	int i = place_of(t, row->id);

	r->rows++;
	if (i == t->n || t->v[i].id != row->id) {
		struct tally new = { .id = row->id,
			             .repairs = curriculum_class_of(row->repairs),
			             .class = curriculum_class_of(row->class_name) };
		if (t->n == t->cap) {
			int cap = t->cap ? 2 * t->cap : 256;
			struct tally *more = realloc(t->v, (size_t)cap * sizeof(*more));
			if (!more) {
				r->failed = true;
				return 1;
			}
			t->v = more;
			t->cap = cap;
		}
		if (!own_texts(&new, row)) {
			r->failed = true;
			return 1;
		}
		memmove(&t->v[i + 1], &t->v[i], (size_t)(t->n - i) * sizeof(*t->v));
		t->v[i] = new;
		t->n++;
	}
	struct tally *x = &t->v[i];
	x->turns = row->turns;
	x->built = row->built;
	x->scored = row->scored;
	x->total = row->total;
	x->best = row->best;
	x->best_turn = row->best_turn;
	return 0;
}

static int see(void *ctx, const struct store_outcome *o)
{
	struct reading *r = ctx;
	bool known = false;

	r->last = o->id > r->last ? o->id : r->last;
	r->seen++;
	/* the newest ones are of few kinds */
	for (int i = r->n - 1; i >= 0 && !known; i--)
		known = r->id[i] == o->tally;
	if (!known)
		r->id[r->n++] = o->tally;
	return 0;
}

/* The next rows of all; the turns since are looked at when all are there. */
static int fill(struct tallies *t, struct store *s, int rows, struct reading *r, struct err *e)
{
	int limit = rows > 0 ? rows : INT_MAX;

	if (!t->filling) {
		/* how far they reach at least: what is committed from here on is looked at again,
		 * which counts nothing twice */
		if (store_newest_turn(s, 0, &t->last, e) < 0)
			return -1;
		t->filling = true;
		t->filled = 0;
	}
	if (store_tallies(s, t->filled, limit, keep, r, e) < 0)
		return -1;
	t->filling = r->rows == limit;
	t->filled = t->n ? t->v[t->n - 1].id : 0;
	return r->rows > 0;
}

/* The tallies that the next turns are counted in. */
static int follow(struct tallies *t, struct store *s, struct reading *r, struct err *e)
{
	if (store_outcomes(s, t->last, NEW_MAX, see, r, e) < 0)
		return -1;
	for (int i = 0; i < r->n; i++)
		if (store_tally(s, r->id[i], keep, r, e) < 0)
			return -1;
	t->last = r->last;
	return r->seen > 0;
}

int tallies_read(struct tallies *t, struct store *s, int rows, struct err *e)
{
	struct reading r = { .t = t };
	int64_t newest = 0;
	int rc = -1;
	bool more;

	if (store_newest_turn(s, 0, &newest, e) < 0)
		return -1;
	if (newest < t->last) { /* another database, or the newest were pruned: all anew */
		uint64_t version = t->version;
		tallies_release(t);
		t->version = version + 1;
	}
	r.id = calloc(NEW_MAX, sizeof(*r.id));
	if (!r.id)
		return err_set(e, ERR_MEM, "no memory for %d turns", NEW_MAX);
	do {
		r.last = t->last;
		r.n = r.seen = r.rows = 0;
		rc = !t->last || t->filling ? fill(t, s, rows, &r, e) : follow(t, s, &r, e);
		more = t->filling || r.seen == NEW_MAX;
		if (r.failed)
			rc = err_set(e, ERR_MEM, "no memory for the sums over turns");
		if (rc > 0)
			t->version++;
	} while (rc >= 0 && more && rows == 0);
	free(r.id);
	return rc < 0 ? -1 : more;
}

void tallies_release(struct tallies *t)
{
	for (int i = 0; i < t->n; i++)
		free(t->v[i].own);
	free(t->v);
	*t = (struct tallies){ 0 };
}
