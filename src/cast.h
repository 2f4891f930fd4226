/*
 * cast.h - a terminal's bytes with their times, as an asciicast (version 2): what players of that
 * format show.
 *
 * A header line {"version": 2, "width", "height", "timestamp", "title", "env"}, then an event a
 * line, [seconds, "o", bytes]. JSON has text only: bytes that are no UTF-8 become "?".
 */
#ifndef SRC_CAST_H
#define SRC_CAST_H

#include <stdint.h>
#include <stdio.h>

#include "src/base/err.h"

struct cast {
	FILE *out;        /* the caller's */
	const char *name; /* of it, for errors */
	double last_s;
	long events;
};

/* Writes the header. @time_us: since 1970. 0, or -1 with @e (ERR_IO, ERR_MEM). */
int cast_begin(struct cast *c, FILE *out, const char *name, int cols, int rows, int64_t time_us,
               const char *title, const char *term, struct err *e);
/* What went to the terminal at @at_s; never before the event before. Nothing for @len 0. */
int cast_add(struct cast *c, double at_s, const char *bytes, size_t len, struct err *e);

#endif
