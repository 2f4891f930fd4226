/*
 * remembered.c - a ring of scores by the hash of what they were made from.
 */
#include <stdlib.h>
#include <string.h>

#include "src/remembered.h"

struct entry {
	unsigned char key[SHA256_BYTES];
	struct scored got;
	bool there;
};

struct remembered {
	int n, next;
	struct entry entry[];
};

struct remembered *remembered_new(int n)
{
	struct remembered *m = calloc(1, sizeof(*m) + (size_t)n * sizeof(*m->entry));

	if (m)
		m->n = n;
	return m;
}

void remembered_clear(struct remembered *m)
{
	for (int i = 0; i < m->n; i++) {
		scored_release(&m->entry[i].got);
		m->entry[i].there = false;
	}
	m->next = 0;
}

void remembered_free(struct remembered *m)
{
	if (m)
		remembered_clear(m);
	free(m);
}

static char *text_copy(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	*failed |= text && !copy;
	return copy;
}

static cJSON *json_copy(const cJSON *o, bool *failed)
{
	cJSON *copy = o ? cJSON_Duplicate(o, true) : NULL;

	*failed |= o && !copy;
	return copy;
}

static void buf_copy(struct buf *to, const struct buf *from, bool *failed)
{
	*to = (struct buf){ 0 };
	if (from->len > 0)
		buf_add(to, from->data, from->len);
	*failed |= buf_failed(to) || buf_failed(from);
}

int scored_copy(struct scored *to, const struct scored *from)
{
	bool failed = false;

	*to = *from;
	to->brep = to->stl = to->step = (struct buf){ 0 };
	to->pictures = NULL;
	to->n_pictures = 0;
	to->build.brep = (struct buf){ 0 };
	to->build.error = text_copy(from->build.error, &failed);
	to->build.exception = text_copy(from->build.exception, &failed);
	to->build.source = text_copy(from->build.source, &failed);
	to->build.traceback = text_copy(from->build.traceback, &failed);
	buf_copy(&to->build.log, &from->build.log, &failed);
	to->build.facts = json_copy(from->build.facts, &failed);
	to->build.refused = json_copy(from->build.refused, &failed);
	to->json = json_copy(from->json, &failed);
	to->facts = json_copy(from->facts, &failed);
	buf_copy(&to->program, &from->program, &failed);
	buf_copy(&to->log, &from->log, &failed);
	if (!failed)
		return 0;
	scored_release(to);
	*to = (struct scored){ 0 };
	return -1;
}

bool remembered_may(const struct scored *s)
{
	return !s->lost && !s->build.limit.name[0] && s->build.cause <= CAUSE_EMPTY_SHAPE;
}

void remembered_keep(struct remembered *m, const unsigned char key[SHA256_BYTES],
                     const struct scored *s)
{
	struct entry *x = &m->entry[m->next];
	struct scored copy;

	if (!remembered_may(s) || remembered_of(m, key) || scored_copy(&copy, s) < 0)
		return;
	scored_release(&x->got);
	x->got = copy;
	memcpy(x->key, key, SHA256_BYTES);
	x->there = true;
	m->next = (m->next + 1) % m->n;
}

const struct scored *remembered_of(const struct remembered *m,
                                   const unsigned char key[SHA256_BYTES])
{
	for (int i = 0; i < m->n; i++)
		if (m->entry[i].there && memcmp(m->entry[i].key, key, SHA256_BYTES) == 0)
			return &m->entry[i].got;
	return NULL;
}
