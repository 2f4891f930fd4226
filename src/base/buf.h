/*
 * buf.h - bytes that grow. Always NUL-terminated past the end, so that text in it can be read as a
 * string.
 *
 * `struct buf b = {0};` is an empty buffer; release is safe on it and twice. When memory runs out
 * the buffer is marked failed, further appends do nothing, and buf_failed() says so: check once, at
 * the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "src/base/err.h"

struct buf {
	char *data;      /* NULL while nothing was ever added */
	size_t len, cap; /* from data on */
	size_t gap;      /* bytes before data that buf_consume() left: dropping is cheap that way */
	bool failed;
	/* Set before anything is added: the bytes lie in pages of their own, which a fork does not
	 * inherit and which are given back when the buffer is released. There is no data in the
	 * fork then, only its address: of such a buffer it may release, and nothing else. */
	bool secret;
};

void buf_release(struct buf *b); /* is empty after, and still secret if it was */
void buf_clear(struct buf *b);   /* keeps the memory */
void buf_add(struct buf *b, const void *data, size_t len); /* appends bytes */
void buf_adds(struct buf *b, const char *text);            /* appends a string */
void buf_addc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
char *buf_room(struct buf *b,
               size_t n); /* at least n writable bytes at the end, or NULL; then buf_grew */
void buf_grew(struct buf *b, size_t n);    /* n bytes were written into the room */
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
bool buf_failed(const struct buf *b);
const char *buf_str(const struct buf *b); /* never NULL */
char *
buf_take(struct buf *b,
         size_t *len); /* caller frees with free(); the buffer is empty after; NULL when failed */

/* Reads a whole regular file of at most @max bytes. Errors (ERR_INPUT) name the path and what is
 * wrong with it: a directory, no rights, too large (with both sizes), a device. */
int buf_read_file(struct buf *b, const char *path, size_t max, struct err *e);

/* Writes @len bytes to @path by way of a temporary file beside it and a rename, so that a reader
 * sees the old file or the whole new one. */
int file_write_atomic(const char *path, const void *data, size_t len, struct err *e);

#endif
