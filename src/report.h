/*
 * report.h - what came of trainings, as a folder: README.md with plots, pictures and the rows
 * behind them beside it, and all of it as one index.html.
 *
 *     README.md, index.html, *.svg, *.png; of reinforcement learning also steps-RUN.csv,
 *     answers-RUN.csv and data.json: the rows that every plot and table is made of
 */
#ifndef SRC_REPORT_H
#define SRC_REPORT_H

#include "src/store.h"

enum { REPORT_RUNS_MAX = 8, REPORT_LOGS_MAX = 16 };

struct report_options {
	const char *out;
	/* A page about evaluations: evaluation_page() of src/evaluation.h. NULL: none is made */
	int (*evaluations)(struct store *s, const int64_t *run, int n, const char *out,
	                   struct err *e);
	/* Draws what a program builds, as a PNG into @png; false: it cannot. NULL: there are only
	 * the pictures that were kept. */
	bool (*picture)(void *ctx, const char *task, const char *program, size_t len,
	                struct buf *png);
	void *ctx;
};

/* Of runs of the store: trainings on rows, reinforcement learning, evaluations; of one kind they
 * stand in the same plots. Into o->out, which must be new, empty, or an earlier report's: then its
 * files are replaced. 0; -1: ERR_INPUT (no such run, one that is no training), ERR_USAGE (the
 * folder is something else), ERR_IO. */
int report_write(struct store *s, const int64_t *runs, int n, const struct report_options *o,
                 struct err *e);

/* Of logs that another trainer wrote, of completions or of steps (src/report_log.c says which are
 * known). What a log does not have is named as missing; it is never shown as 0. -1: ERR_INPUT (no
 * row of it is known), and as above. */
int report_logs(const char *const *file, int n, const struct report_options *o, struct err *e);

#endif
