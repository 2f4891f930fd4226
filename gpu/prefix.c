#include "gpu/prefix.h"

#include <stdlib.h>
#include <string.h>

int prefix_init(struct prefix_cache *c, int cap)
{
	*c = (struct prefix_cache){ .cap = cap > 0 ? cap : 0 };
	if (c->cap && !(c->entry = calloc((size_t)c->cap, sizeof(*c->entry))))
		return -1;
	return 0;
}

void prefix_release(struct prefix_cache *c)
{
	free(c->entry);
	*c = (struct prefix_cache){ 0 };
}

int prefix_find(struct prefix_cache *c, const unsigned char key[PREFIX_KEY])
{
	for (int i = 0; i < c->n; i++)
		if (memcmp(c->entry[i].key, key, PREFIX_KEY) == 0) {
			c->entry[i].used = ++c->clock;
			return c->entry[i].slot;
		}
	return -1;
}

bool prefix_drop(struct prefix_cache *c, struct backend *b)
{
	int oldest = 0;
	if (c->n == 0)
		return false;
	for (int i = 1; i < c->n; i++)
		if (c->entry[i].used < c->entry[oldest].used)
			oldest = i;
	b->ops->slot_close(b, c->entry[oldest].slot);
	c->entry[oldest] = c->entry[--c->n];
	return true;
}

int prefix_keep(struct prefix_cache *c, struct backend *b, const unsigned char key[PREFIX_KEY],
                int slot, struct err *e)
{
	struct err why = { 0 };
	int copy = -1;

	if (c->cap == 0 || prefix_find(c, key) >= 0)
		return 0;
	if (c->n == c->cap)
		prefix_drop(c, b);
	while ((copy = b->ops->slot_open(b, slot, &why)) < 0)
		if (why.kind == ERR_LOST || !prefix_drop(c, b))
			break;
	if (copy < 0) {
		if (why.kind != ERR_LOST)
			return 0;
		if (e)
			*e = why;
		return -1;
	}
	struct prefix_entry *entry = &c->entry[c->n++];
	memcpy(entry->key, key, PREFIX_KEY);
	entry->slot = copy;
	entry->used = ++c->clock;
	return 0;
}

void prefix_forget(struct prefix_cache *c, struct backend *b)
{
	while (prefix_drop(c, b))
		;
}

void prefix_hash_start(struct prefix_hash *h, const unsigned char mix_key[32], const int32_t *id)
{
	static const unsigned char none[32] = { 0 };
	sha256_start(&h->sum);
	sha256_add(&h->sum, mix_key ? mix_key : none, 32);
	h->id = id;
	h->at = 0;
}

void prefix_hash_next(struct prefix_hash *h, int head, unsigned char key[PREFIX_KEY])
{
	const int32_t cut = -1;
	struct sha256 so_far;

	sha256_add(&h->sum, h->id + h->at, (size_t)(head - h->at) * sizeof(*h->id));
	h->at = head;
	so_far = h->sum;
	sha256_end(&so_far, key);
	sha256_add(&h->sum, &cut, sizeof(cut)); /* no id is negative: a cut is no token */
}
