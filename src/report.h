/*
 * report.h - what came of trainings, as a folder with a Markdown page, plots and pictures.
 *
 *     README.md, loss.svg, rate.svg, norm.svg, throughput.svg, builds.svg, sample-EP.png
 */
#ifndef SRC_REPORT_H
#define SRC_REPORT_H

#include "src/store.h"

enum { REPORT_RUNS_MAX = 8 };

/* Into @out, which must be new, empty, or an earlier report's (it has a README.md of ours): then
 * its files are replaced. 0; -1: ERR_INPUT (no such run, one that is no training), ERR_USAGE (the
 * folder is something else), ERR_IO. */
int report_write(struct store *s, const int64_t *runs, int n, const char *out, struct err *e);

#endif
