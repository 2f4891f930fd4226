/*
 * bench_watch.c - what it takes to execute a program while it is being written: of the stream, and
 * of time from a statement that is closed to what is known and seen of it.
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/pipeline.h"
#include "src/watch.h"

/* Each line a statement that changes the shape. */
static const char *const lines[] = {
	"import cadquery as cq\n",
	"W, D, H = 120.0, 80.0, 12.0\n",
	"base = cq.Workplane('XY').box(W, D, H)\n",
	"base = base.edges('|Z').fillet(8)\n",
	"base = base.faces('>Z').workplane().rect(90, 50, forConstruction=True).vertices().hole(6)\n",
	"wall = cq.Workplane('XY').box(W, 8, 60).translate((0, D / 2 - 4, 30))\n",
	"part = base.union(wall)\n",
	"part = part.faces('>Y').workplane().circle(14).cutThruAll()\n",
	"rib = cq.Workplane('YZ').polyline([(30, 6), (-20, 6), (30, 50)]).close().extrude(3, both=True)\n",
	"part = part.union(rib)\n",
	"part = part.edges('>Z').chamfer(1.5)\n",
	"fixture = part.translate((0, 0, H / 2))\n",
};
enum { LINES = sizeof(lines) / sizeof(*lines), TOKEN_BYTES = 4 };

struct eyes {
	int statements, shape_line;
	char error[200];
};

static void on_news(void *ctx, const struct watch_news *n)
{
	struct eyes *s = ctx;

	s->statements = n->statements;
	if (n->why)
		snprintf(s->error, sizeof(s->error), "%s", n->why->error ? n->why->error : "?");
}

static void on_shape(void *ctx, const void *stl, size_t len, const char *name, int line)
{
	struct eyes *s = ctx;

	(void)stl;
	(void)len;
	(void)name;
	s->shape_line = line;
}

static void on_done(void *ctx, size_t item, struct pipeline_item *it)
{
	(void)ctx;
	(void)item;
	(void)it;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Milliseconds until *@seen is @want. -1 with @e. */
static double wait_for(struct watch *w, const struct eyes *s, const int *seen, int want,
                       struct err *e)
{
	double from = clock_now_s();

	while (*seen != want) {
		if (bench_go_on(e) < 0)
			return -1;
		if (s->error[0] || clock_now_s() > from + 30) {
			err_set(e, ERR_LOST, "line %d of a watched program: %s", want,
			        s->error[0] ? s->error : "nothing was said for 30 s");
			return -1;
		}
		watch_step(w);
		poll(NULL, 0, 1);
	}
	return (clock_now_s() - from) * 1e3;
}

int bench_watch(struct bench *b, struct err *e)
{
	struct eyes s = { 0 };
	struct pipeline_options o = {
		.dialect = DIALECT_OPEN, .limits = b->app.limits, .measure = true, .done = on_done
	};
	const struct watch_options wo = { .dialect = DIALECT_OPEN,
		                          .limits = b->app.limits,
		                          .shapes = true };
	const struct watch_ops ops = { .ctx = &s, .news = on_news, .shape = on_shape };
	double known[LINES * 16], seen[LINES * 16], stream_s = 0;
	int n_known = 0, n_seen = 0, rounds = b->rounds < 16 ? b->rounds : 16, rc = -1;
	long tokens = 0;

	bench_say(b, "a program that is executed while it is written");
	app_engine_options(&b->app, &o.engine);
	struct pipeline *p = pipeline_open(&o, e);
	struct watch *w = p ? watch_open(p, &wo, &ops, e) : NULL;
	if (!w || pipeline_warm(p, e) < 0)
		goto out;
	for (int round = 0; round < rounds; round++) {
		s = (struct eyes){ 0 };
		watch_begin(w, EXTRACT_ANSWER);
		for (int i = 0; i < LINES; i++) {
			double t0 = clock_now_s(), ms;
			/* the stream's own thread: a token, and what there is to do then */
			for (size_t at = 0; at < strlen(lines[i]); at += TOKEN_BYTES, tokens++) {
				size_t left = strlen(lines[i]) - at;
				watch_text(w, lines[i] + at,
				           left < TOKEN_BYTES ? left : TOKEN_BYTES);
				watch_step(w);
			}
			stream_s += clock_now_s() - t0;
			if ((ms = wait_for(w, &s, &s.statements, i + 1, e)) < 0)
				goto out;
			known[n_known++] = ms;
			/* the import and the numbers have no shape */
			if (i < 2)
				continue;
			double more = wait_for(w, &s, &s.shape_line, i + 1, e);
			if (more < 0)
				goto out;
			seen[n_seen++] = ms + more;
			/* pictures are asked for four times a second, and a model writes no
			 * faster than that */
			for (double until = clock_now_s() + 0.5; clock_now_s() < until;) {
				watch_step(w);
				poll(NULL, 0, 5);
			}
		}
		watch_stop(w);
	}
	qsort(known, (size_t)n_known, sizeof(*known), by_size);
	qsort(seen, (size_t)n_seen, sizeof(*seen), by_size);
	bench_figure(b, "watch.statement", known[n_known / 2], "ms", 100, NAN, NAN, NULL);
	bench_figure(b, "watch.shape", seen[n_seen / 2], "ms", 250, NAN, NAN, NULL);
	bench_figure(b, "watch.shape_most", seen[n_seen - 1], "ms", NAN, NAN, NAN, NULL);
	bench_figure(b, "watch.stream", stream_s / (double)tokens * 1e6, "us", 100, NAN, NAN, NULL);
	rc = 0;
out:
	watch_close(w);
	pipeline_close(p);
	return rc;
}
