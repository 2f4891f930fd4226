/*
 * lately.h - what the last jobs of a worker took: medians, 95th percentiles and jobs a second, for
 * its row (src/queue.h).
 */
#ifndef SRC_LATELY_H
#define SRC_LATELY_H

#include "src/queue.h"

enum { LATELY_JOBS = 256 };

struct lately { /* {0} but for @opened_s */
	double opened_s;
	double took_s[QUEUE_PARTS][LATELY_JOBS], ended_s[LATELY_JOBS];
	long long n;
};

/* A job that ended @now_s, by clock_now_s(), and the seconds of its parts; NAN: it had none. */
void lately_add(struct lately *l, const double took_s[QUEUE_PARTS], double now_s);
/* Into took, slowest_s and per_s. Sorts, so once a second will do. */
void lately_sum(const struct lately *l, struct queue_row *r, double now_s);

#endif
