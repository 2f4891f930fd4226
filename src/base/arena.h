/*
 * arena.h - memory for things that all end at once: what one frame shows.
 *
 * `struct arena a = {0};` is an empty one. What was given out stays where it is until the reset;
 * nothing is given back alone. When memory runs out the giver returns NULL (texts: "") and
 * arena_failed() says so until the reset.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena_block;
struct arena {
	struct arena_block *first, *at; /* the one that is being filled */
	bool failed;
};

/* @n bytes of 0, aligned for anything. */
void *arena_zero(struct arena *a, size_t n);
/* Room for @n things of that type, zeroed. */
#define arena_array(a, type, n) ((__typeof__(type) *)arena_zero((a), sizeof(type) * (size_t)(n)))
/* Copies, NUL-terminated. */
const char *arena_text(struct arena *a, const char *text, size_t len);
const char *arena_string(struct arena *a, const char *text); /* NULL stays NULL */
const char *arena_printf(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
const char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);
bool arena_failed(const struct arena *a);
/* All of it is free again; about as much memory as this round took is kept for the next. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);       /* safe on {0} and twice */
size_t arena_bytes(const struct arena *a); /* held from the system */

#endif
