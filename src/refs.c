#include "src/refs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(struct refs *r, int64_t episode, int turn, struct err *e)
{
	if (r->n == r->cap) {
		int cap = r->cap ? 2 * r->cap : 64;
		void *p = realloc(r->v, (size_t)cap * sizeof(*r->v));
		if (!p)
			return err_set(e, ERR_MEM, "no memory for %d episodes", cap);
		r->v = p;
		r->cap = cap;
	}
	r->v[r->n++] = (struct ref){ episode, turn };
	return 0;
}

struct page {
	struct refs *refs;
	int64_t last, from, to;
	struct err failed;
};

static int take_listed(void *ctx, const struct store_episode *ep)
{
	struct page *p = ctx;

	p->last = ep->id;
	if (ep->id < p->from)
		return 1;
	return ep->id <= p->to && add(p->refs, ep->id, 0, &p->failed) < 0 ? 1 : 0;
}

static int add_range(struct refs *r, struct store *s, int64_t from, int64_t to, struct err *e)
{
	struct store_filter f = store_filter_none();
	struct page p = { .refs = r, .from = from, .to = to };
	int begin = r->n;
	bool more = true;
	/* the listing begins below @after */
	int64_t after = to < INT64_MAX ? to + 1 : 0;

	while (more) {
		p.last = 0;
		if (store_episodes(s, &f, after, 1000, take_listed, &p, &more, e) < 0)
			return -1;
		if (p.failed.kind) {
			*e = p.failed;
			return -1;
		}
		if (p.last == 0 || p.last <= from)
			break;
		after = p.last;
	}
	for (int i = begin, k = r->n - 1; i < k; i++, k--) {
		struct ref t = r->v[i];
		r->v[i] = r->v[k];
		r->v[k] = t;
	}
	return 0;
}

int refs_add(struct refs *r, struct store *s, const char *text, struct err *e)
{
	long long from, to;
	int turn, used = 0, before = r->n;
	int64_t id;

	if (strcmp(text, "all") == 0) {
		if (add_range(r, s, 1, INT64_MAX, e) < 0)
			return -1;
		return r->n > before ? 0 : err_set(e, ERR_INPUT, "there is no episode yet");
	}
	if (sscanf(text, "%lld-%lld%n", &from, &to, &used) == 2 && !text[used] && from > 0 &&
	    to >= from) {
		if (add_range(r, s, from, to, e) < 0)
			return -1;
		return r->n > before ? 0
		                     : err_set(e, ERR_INPUT,
		                               "there is no episode from %lld to %lld", from, to);
	}
	if (store_parse_ref(text, &id, &turn, e) < 0)
		return err_wrap(e, "an episode's number, a range (3-9) or all was expected");
	return add(r, id, turn, e);
}

void refs_release(struct refs *r)
{
	free(r->v);
	*r = (struct refs){ 0 };
}
