/*
 * err.h - why our own machinery could not do what was asked, in words a person can act on.
 *
 * Passed last, by the caller who owns it. A program that fails to build is not an err: it is a
 * build with a class. Functions that fail return -1 (or NULL) with the err set.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

enum err_kind {
	ERR_NONE = 0,
	ERR_USAGE,     /* wrong flags or arguments */
	ERR_INPUT,     /* a file or a message that cannot be used */
	ERR_IO,        /* the system refused a read, write, spawn, ... */
	ERR_MEM,       /* out of memory */
	ERR_LACKS,     /* the environment lacks something; text says what installs it */
	ERR_PROTOCOL,  /* a helper program sent something that is no message of ours */
	ERR_LOST,      /* a helper program died under us */
	ERR_CANCELLED, /* asked for by the user; quiet */
};

struct err {
	enum err_kind kind;
	char text[480];
};

/* Sets kind and text; always returns -1, so that callers can `return err_set(...)`. @e may be NULL.
 */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "where: " before the text that is there; always returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* err_set with ": " and strerror(errno) at the end. */
int err_errno(struct err *e, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The exit status of cli.md for this kind: 2 for usage and input, 3 for lacks, 130 for cancelled,
 * else 1. */
int err_exit_status(const struct err *e);

#endif
