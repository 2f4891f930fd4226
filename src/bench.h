/*
 * bench.h - what the figures of `cadforge bench` share: sets of programs, one line a figure.
 */
#ifndef BENCH_H
#define BENCH_H

#include "engine/extract.h"
#include "src/app.h"

struct store;

enum { BENCH_SETS_MAX = 8, BENCH_FILES_MAX = 512 };

/* What can be asked for by word: X(CONSTANT, "word"). */
#define BENCH_KINDS(X)                                                                             \
	X(BUILD, "build")                                                                          \
	X(SCORE, "score")                                                                          \
	X(STORE, "store")                                                                          \
	X(UI, "ui")                                                                                \
	X(INFERENCE, "inference")                                                                  \
	X(GPU, "gpu")                                                                              \
	X(TRAIN, "train")                                                                          \
	X(GRPO, "grpo")                                                                            \
	X(FARM, "farm")                                                                            \
	X(SERVE, "serve")
enum bench_kind {
#define X(constant, word) BENCH_##constant,
	BENCH_KINDS(X)
#undef X
		BENCH_KINDS_COUNT
};

struct bench_program {
	char path[1024]; /* as found, */
	char bare[1200]; /* and its program alone, in a folder of the bench's own, for the peers */
	struct buf text;
	struct extract what;
	bool builds;
	double ours_s, kernel_s; /* least of the rounds; NAN when not measured */
};

struct bench_set {
	const char *name, *dir;
	struct bench_program *p;
	int n;
};

struct bench {
	struct app app;
	struct bench_set set[BENCH_SETS_MAX];
	int n_sets, rounds;
	double rate;      /* tokens a second of the paced engine; 0: as expected of the H200 */
	unsigned kinds;   /* of figures: bits of enum bench_kind */
	const char *only; /* one group alone; NULL: all of those */
	const char *peer_python;
	const char *published; /* folder of the published system; NULL: it is not at hand */
	char stubs[4200], python[4200], script[4200], where[300];
	char dir[64];  /* where the peers run, and write what they write */
	double last_s; /* of the pipeline's last item */
	bool last_ok;
	double *seconds; /* by item, for the rate runs */
	bool *ok;
};

/* One figure, on standard output. @bound: what @value must reach; NAN where none is set, and for
 * @peer and @ratio. @set may be NULL. */
void bench_figure(const struct bench *b, const char *name, double value, const char *unit,
                  double bound, double peer, double ratio, const char *set);
/* Progress, on standard error. */
void bench_say(const struct bench *b, const char *what);
/* 0, or -1 (ERR_CANCELLED) when the measuring is to end here. */
int bench_go_on(struct err *e);
/* Sorts @v; NAN for none. */
double bench_median(double *v, int n);

/* Seconds of one Python process per program that builds, @n at a time, as the published evaluator
 * works. NAN with @e. */
double bench_cold(struct bench *b, struct bench_set *s, int n, struct err *e);
/* One program through the published system's evaluator, a process of its own that starts another
 * one, fast, as its GRPO trainer runs it. What it said is dropped. */
int bench_published(struct bench *b, const char *program, struct err *e);
/* Seven views and the contact sheet of a part of some 20,000 triangles (src/bench_pictures.c). */
int bench_pictures(struct bench *b, struct err *e);
/* From a statement that is closed to what is known and seen of it; what it takes of the stream
 * (src/bench_watch.c). */
int bench_watch(struct bench *b, struct err *e);
/* The exact profile beside the published one (src/bench_score.c). */
int bench_score(struct bench *b, struct err *e);
/* The database: a commit, lists, one episode, words; with 10,000 episodes and, on demand, with a
 * million (src/bench_store.c). */
int bench_store(struct bench *b, struct err *e);
int bench_store_million(struct bench *b, struct err *e);
/* So many episodes of one turn each, that no two programs of are equal. */
int bench_store_fill(struct bench *b, struct store *s, long episodes, struct err *e);
/* The workbench over a pseudo-terminal, with a stream that comes as a host's does
 * (src/bench_ui.c). */
int bench_ui(struct bench *b, struct err *e);
/* The inference engine with random weights: on the CPU, and on a GPU where there is one
 * (src/bench_inference.c). */
int bench_inference(struct bench *b, struct err *e);
int bench_gpu(struct bench *b, struct err *e);
/* Steps of training on the CPU (src/bench_train.c). */
int bench_train(struct bench *b, struct err *e);
/* Reinforcement learning: what a device waits for, what a candidate takes, candidates a second of
 * the whole loop (src/bench_grpo.c). */
int bench_grpo(struct bench *b, struct err *e);
/* What the queue adds to a job, and what a second worker adds to the first; on a Redis server of
 * the bench's own (src/bench_farm.c). */
int bench_farm(struct bench *b, const struct bench_set *set, struct err *e);
/* The environment as its clients have it; with @steps above 0 only what so many trivial ones leave
 * behind (src/bench_serve.c). */
int bench_serve(struct bench *b, const struct bench_set *set, int steps, struct err *e);

#endif
