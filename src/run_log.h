/*
 * run_log.h - what a run tells on its way: its row and its steps in the store, lines or objects for
 * whoever watches, and the words that others may leave for it. Shared by trainings of every kind.
 *
 * Rows are stored in stretches, so that a run costs the disk little: when run_log_flush() says so,
 * else every 10 seconds. While the store cannot be written the rows wait (the newest 4096), which
 * is told once; the run goes on.
 */
#ifndef SRC_RUN_LOG_H
#define SRC_RUN_LOG_H

#include "src/app.h"
#include "src/store.h"

enum { RUN_LOG_HELD_MAX = 4096, RUN_LOG_WORD = 32 };

struct run_log {
	const struct app *app;
	struct store *store; /* NULL: nothing is stored */
	int64_t run;         /* 0: the store has no row of it */
	bool bar;            /* progress is one line that is written over */
	bool store_told;     /* that it cannot be written */
	double flushed;
	struct store_step held[RUN_LOG_HELD_MAX];
	int n_held;
};

void run_log_init(struct run_log *l, const struct app *app, struct store *store);
void run_log_release(struct run_log *l);

/* The run's row: a new one of @kind with the settings @about, or, with @again not 0, that one goes
 * on. A store that cannot be written is told, and the run has number 0. */
void run_log_begin(struct run_log *l, const char *kind, int64_t again, const cJSON *about);
/* An event as a row: loss, lr, grad_norm, tokens, seconds have columns of their own, the rest is
 * its data. @kind is a literal; @step: where @o says none. */
void run_log_row(struct run_log *l, const char *kind, int64_t step, const cJSON *o);
void run_log_flush(struct run_log *l);
void run_log_tend(struct run_log *l); /* flushes what has waited for 10 s */
/* The row "end" with outcome and error, and the run's own end. */
void run_log_end(struct run_log *l, int64_t step, const char *outcome, const struct err *failure);

/* A line on standard error, its text made clean; not under --quiet. */
void run_log_say(struct run_log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void run_log_clear_bar(const struct run_log *l);
/* Under --json: {"event": KIND, "run", ...} on standard output. */
void run_log_print(const struct run_log *l, const char *kind, const cJSON *o);
/* "40 s", "12 min", "3.4 h", "?" */
void run_log_time(char *out, size_t size, double s);

/* The word that was left in @dir/ask, which is removed; false: there is none. */
bool run_log_word(const char *dir, char out[RUN_LOG_WORD]);

#endif
