/*
 * plot.h - lines over two axes, or amounts stacked upon one another, as an SVG picture.
 *
 * Pure: numbers in, text out; the same numbers give the same bytes. It is read with light and dark
 * pages behind it, so it brings its own background. Texts are escaped; colours are told apart by
 * people who see few of them, and each line has a dash of its own beside its colour, each stacked
 * amount its name where there is room. The legend stands beside the title when it fits there, else
 * in rows below, for which the picture grows.
 */
#ifndef SRC_PLOT_H
#define SRC_PLOT_H

#include <stdbool.h>

#include "src/base/buf.h"

enum { PLOT_LINES_MAX = 32 };

struct plot_line {
	const char *name; /* in the legend; NULL: none */
	const double *x, *y;
	int n;       /* points; those that are no finite number are left out and break the line */
	bool points; /* a mark at each point: there are few */
	bool faint;  /* behind the others: what is smoothed by one of them */
	bool dots;   /* marks alone, small */
	int colour;  /* and dash: those of the line of that number, from 1; 0: its own */
	const double *low, *high; /* [n] an interval around it, as a band; or NULL */
};

struct plot_mark { /* a line from top to bottom */
	double x;
	const char *text; /* short, at its top; or NULL */
};

struct plot {
	const char *title, *x_label, *y_label;
	bool log_y;   /* by powers of ten; values of 0 and less are left out */
	bool share_y; /* 0 to 1, as percent */
	bool zero_y;  /* the axis begins at 0 */
	bool whole_x; /* steps: no tick stands between two of them */
	bool stacked; /* areas one upon the other, the first at the bottom; all lines have the first
	               * one's x, and what is no number counts as 0 */
	const struct plot_line *line;
	int n;
	const struct plot_mark *mark;
	int n_marks;
};

/* Appended to @out. */
void plot_svg(struct buf *out, const struct plot *p);

/* Ticks of an axis from @min to @max: at most @most, at 1, 2 or 5 times a power of ten, within it.
 * Their number; @tick gets them. */
int plot_ticks(double min, double max, int most, double *tick);
/* A tick's number: "0.02", "1,200", "2e-4". */
void plot_number(char *out, size_t size, double v, double step);

/* Running mean over @window points, centred, into @out [n]. */
void plot_smooth(const double *y, int n, int window, double *out);

#endif
