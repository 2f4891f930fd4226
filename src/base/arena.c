#include "src/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 10 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

void *arena_zero(struct arena *a, size_t n)
{
	const size_t unit = alignof(max_align_t);

	if (n > SIZE_MAX / 2) {
		a->failed = true;
		return NULL;
	}
	n = (n + unit - 1) / unit * unit;
	while (a->at && a->at->size - a->at->used < n && a->at->next) {
		a->at = a->at->next;
		a->at->used = 0;
	}
	if (!a->at || a->at->size - a->at->used < n) {
		size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
		struct arena_block *b = malloc(sizeof(*b) + size);
		if (!b) {
			a->failed = true;
			return NULL;
		}
		*b = (struct arena_block){ .size = size };
		if (a->at)
			a->at->next = b;
		else
			a->first = b;
		a->at = b;
	}
	void *p = a->at->data + a->at->used;
	a->at->used += n;
	memset(p, 0, n);
	return p;
}

const char *arena_text(struct arena *a, const char *text, size_t len)
{
	char *p = len < SIZE_MAX ? arena_zero(a, len + 1) : NULL;

	if (!p)
		return "";
	if (len)
		memcpy(p, text, len);
	return p;
}

const char *arena_string(struct arena *a, const char *text)
{
	return text ? arena_text(a, text, strlen(text)) : NULL;
}

const char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	p = n >= 0 ? arena_zero(a, (size_t)n + 1) : NULL;
	if (!p)
		return "";
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

const char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

bool arena_failed(const struct arena *a)
{
	return a->failed;
}

void arena_reset(struct arena *a)
{
	a->failed = false;
	/* several blocks become one that has room for all: what grows from round to round would
	 * else leave ever more of them behind */
	if (a->first && a->first->next) {
		size_t size = 0;
		for (const struct arena_block *b = a->first; b; b = b->next)
			size += b->used;
		arena_release(a);
		size += size / 2;
		struct arena_block *b = malloc(sizeof(*b) + size);
		if (b) {
			*b = (struct arena_block){ .size = size };
			a->first = b;
		}
	}
	a->at = a->first;
	if (a->at)
		a->at->used = 0;
}

void arena_release(struct arena *a)
{
	for (struct arena_block *b = a->first; b;) {
		struct arena_block *next = b->next;
		free(b);
		b = next;
	}
	*a = (struct arena){ 0 };
}

size_t arena_bytes(const struct arena *a)
{
	size_t n = 0;

	for (const struct arena_block *b = a->first; b; b = b->next)
		n += sizeof(*b) + b->size;
	return n;
}
