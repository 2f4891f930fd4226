#include "src/tallies.h"

#include <stdlib.h>
#include <string.h>

#include "src/curriculum.h"

/* More turns than this at once are not looked at one by one. */
enum { NEW_MAX = 2048 };

struct reading {
	struct tallies *t;
	bool failed;
	int64_t *id; /* of tallies that have a new turn */
	int n, seen;
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

int tallies_read(struct tallies *t, struct store *s, struct err *e)
{
	struct reading r = { .t = t };
	int64_t newest = 0;
	int rc = -1;

	if (store_newest_turn(s, &newest, e) < 0)
		return -1;
	if (newest < t->last) { /* another database, or the newest were pruned: all anew */
		uint64_t version = t->version;
		tallies_release(t);
		t->version = version + 1;
	}
	r.last = t->last;
	r.id = calloc(NEW_MAX, sizeof(*r.id));
	if (!r.id)
		return err_set(e, ERR_MEM, "no memory for %d turns", NEW_MAX);
	/* first how far they reach, then the sums: a turn that is committed in between is in the
	 * sums and is looked at again the next time, which counts nothing twice */
	if (store_outcomes(s, t->last, t->last ? NEW_MAX : 1, see, &r, e) < 0)
		goto out;
	rc = 0;
	if (!t->last || r.seen == NEW_MAX) {
		rc = store_tallies(s, 0, keep, &r, e);
	} else {
		for (int i = 0; i < r.n && rc == 0; i++)
			rc = store_tallies(s, r.id[i], keep, &r, e);
	}
	if (r.failed)
		rc = err_set(e, ERR_MEM, "no memory for the sums over turns");
	if (rc == 0 && r.last != t->last) {
		t->last = r.last;
		t->version++;
	}
out:
	free(r.id);
	return rc;
}

void tallies_release(struct tallies *t)
{
	for (int i = 0; i < t->n; i++)
		free(t->v[i].own);
	free(t->v);
	*t = (struct tallies){ 0 };
}
