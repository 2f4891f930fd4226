/*
 * plot.c - lines and stacked areas over two axes as SVG.
 */
#include "src/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 760,
	HEIGHT = 340,
	LEFT = 74,
	RIGHT = 20,
	TOP = 40,
	BOTTOM = 52,
	TICKS = 8,
	TICKS_MAX = 32,
	ROW = 18,     /* of the legend */
	LETTER = 7,   /* about, of 12 px text */
	POINTS = 1200 /* more than the picture has columns: thinned */
};

/* Okabe and Ito's colours (2008), which stay apart for colour-blind readers. */
static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7",
	                               "#e69f00", "#56b4e9", "#000000", "#999933",
	                               "#882255", "#44aa99", "#bbbbbb", "#6a3d9a" };
static const char *const dashes[] = { "", "7 3", "2 3", "9 3 2 3" };

static const char *colour_of(const struct plot *p, int k)
{
	int n = p->line[k].colour ? p->line[k].colour - 1 : k;

	return colours[n % (int)(sizeof(colours) / sizeof(*colours))];
}

static const char *dash_of(const struct plot *p, int k)
{
	int n = p->line[k].colour ? p->line[k].colour - 1 : k;

	return p->line[k].faint || p->stacked || p->line[k].dots
	               ? ""
	               : dashes[n % (int)(sizeof(dashes) / sizeof(*dashes))];
}

int plot_ticks(double min, double max, int most, double *tick)
{
	double span = max - min, step;
	int n = 0;

	if (!(span > 0) || !isfinite(span) || most < 2)
		return 0;
	step = pow(10, floor(log10(span / most)));
	for (int i = 0; span / step > most; i++)
		step *= i % 3 == 1 ? 2.5 : 2; /* 1, 2, 5, 10 */
	for (double k = ceil(min / step - 1e-9); k * step <= max + step * 1e-9 && n < most + 1; k++)
		tick[n++] = fabs(k * step) < step * 1e-9 ? 0 : k * step;
	return n;
}

void plot_number(char *out, size_t size, double v, double step)
{
	double a = fabs(v);
	int digits = step > 0 && step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;

	if (a != 0 && (a < 1e-3 || a >= 1e7)) {
		char text[32], *exp;
		snprintf(text, sizeof(text), "%.1e", v);
		exp = strchr(text, 'e');
		int digits_to = (int)(exp - text);
		if (digits_to > 2 && strncmp(exp - 2, ".0", 2) == 0)
			digits_to -= 2;
		snprintf(out, size, "%.*se%d", digits_to, text, atoi(exp + 1));
		return;
	}
	if (a >= 1000 && digits == 0) {
		long long n = llround(a);
		char tail[40] = "";
		while (n >= 1000) {
			char next[40];
			snprintf(next, sizeof(next), ",%03lld%.30s", n % 1000, tail);
			snprintf(tail, sizeof(tail), "%s", next);
			n /= 1000;
		}
		snprintf(out, size, "%s%lld%s", v < 0 ? "-" : "", n, tail);
		return;
	}
	snprintf(out, size, "%.*f", digits > 6 ? 6 : digits, v);
}

void plot_smooth(const double *y, int n, int window, double *out)
{
	for (int i = 0; i < n; i++) {
		/* as far to the left as to the right: the ends are not pulled to one side */
		int half = window / 2, sum_n = 0;
		double sum = 0;
		half = half > i ? i : half;
		half = half > n - 1 - i ? n - 1 - i : half;
		for (int k = i - half; k <= i + half; k++)
			if (isfinite(y[k])) {
				sum += y[k];
				sum_n++;
			}
		out[i] = sum_n ? sum / sum_n : NAN;
	}
}

struct axes {
	double x0, x1, y0, y1; /* y in log10 where the axis is */
	bool log_y;
	int top, height; /* where the drawing begins; of the picture */
};

static double up(const struct axes *a, double y)
{
	return a->log_y ? y > 0 ? log10(y) : NAN : y;
}

static double at_x(const struct axes *a, double x)
{
	return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct axes *a, double y)
{
	return a->height - BOTTOM -
	       (up(a, y) - a->y0) / (a->y1 - a->y0) * (a->height - a->top - BOTTOM);
}

static void add_text(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '<')
			buf_adds(out, "&lt;");
		else if (*p == '>')
			buf_adds(out, "&gt;");
		else if (*p == '&')
			buf_adds(out, "&amp;");
		else if (*p == '"')
			buf_adds(out, "&quot;");
		else if (*p >= ' ')
			buf_addc(out, (char)*p);
	}
}

static void label(struct buf *out, double x, double y, const char *more, const char *text)
{
	buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, more);
	add_text(out, text);
	buf_adds(out, "</text>\n");
}

static void take_in(struct axes *a, double x, double y, bool *any)
{
	if (!isfinite(x) || !isfinite(y))
		return;
	a->x0 = !*any || x < a->x0 ? x : a->x0;
	a->x1 = !*any || x > a->x1 ? x : a->x1;
	a->y0 = !*any || y < a->y0 ? y : a->y0;
	a->y1 = !*any || y > a->y1 ? y : a->y1;
	*any = true;
}

/* What is below the top of stacked line @k at point @i. */
static double stacked_to(const struct plot *p, int k, int i)
{
	double sum = 0;

	for (int j = 0; j <= k; j++)
		if (i < p->line[j].n && isfinite(p->line[j].y[i]) && p->line[j].y[i] > 0)
			sum += p->line[j].y[i];
	return sum;
}

static bool find_axes(const struct plot *p, struct axes *a)
{
	bool any = false;

	a->log_y = p->log_y && !p->stacked;
	for (int i = 0; p->stacked && p->n && i < p->line[0].n; i++) {
		take_in(a, p->line[0].x[i], 0, &any);
		take_in(a, p->line[0].x[i], stacked_to(p, p->n - 1, i), &any);
	}
	for (int k = 0; !p->stacked && k < p->n; k++) {
		const struct plot_line *l = &p->line[k];
		for (int i = 0; i < l->n; i++) {
			take_in(a, l->x[i], up(a, l->y[i]), &any);
			if (l->low && l->high && isfinite(up(a, l->y[i]))) {
				take_in(a, l->x[i], up(a, l->low[i]), &any);
				take_in(a, l->x[i], up(a, l->high[i]), &any);
			}
		}
	}
	if (!any)
		return false;
	if (p->share_y) {
		a->y0 = 0;
		a->y1 = 1;
	} else if (p->zero_y && !a->log_y && a->y0 > 0) {
		a->y0 = 0;
	}
	if (a->x1 <= a->x0) {
		a->x0 -= 0.5;
		a->x1 += 0.5;
	}
	double room = a->y1 > a->y0     ? (a->y1 - a->y0) * 0.05
	              : fabs(a->y1) > 0 ? fabs(a->y1) * 0.1
	                                : 1;
	if (!p->share_y) {
		a->y1 += room;
		if (!((p->zero_y || p->stacked) && a->y0 == 0))
			a->y0 -= room;
	}
	return true;
}

static void draw_y_ticks(struct buf *out, const struct plot *p, const struct axes *a)
{
	double tick[TICKS_MAX];
	char text[32];
	int n = plot_ticks(a->y0, a->y1, TICKS, tick);
	/* over less than a power of ten, round numbers of the value itself */
	bool powers = a->log_y && a->y1 - a->y0 >= 1;

	/* few powers: also twice and five times */
	if (powers && a->y1 - a->y0 < 3) {
		static const double of[] = { 1, 2, 5 };
		n = 0;
		for (int k = (int)floor(a->y0); k <= (int)ceil(a->y1); k++)
			for (int i = 0; i < 3; i++) {
				double at = k + log10(of[i]);
				if (at >= a->y0 && at <= a->y1 && n < TICKS_MAX)
					tick[n++] = at;
			}
	}
	if (a->log_y && !powers)
		n = plot_ticks(pow(10, a->y0), pow(10, a->y1), TICKS, tick);
	for (int i = 0; i < n; i++) {
		double v = powers ? pow(10, tick[i]) : tick[i];
		double y = at_y(a, v), step = n > 1 ? tick[1] - tick[0] : 1;
		if (powers && a->y1 - a->y0 >= 3 && fabs(tick[i] - round(tick[i])) > 1e-9)
			continue;
		if (p->share_y)
			snprintf(text, sizeof(text), "%.0f %%", 100 * v);
		else
			plot_number(text, sizeof(text), v, powers ? v : step);
		buf_printf(out,
		           "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" "
		           "stroke=\"#e3e3e3\"/>\n",
		           LEFT, y, WIDTH - RIGHT, y);
		label(out, LEFT - 8, y + 4, " text-anchor=\"end\"", text);
	}
}

static void draw_axes(struct buf *out, const struct plot *p, const struct axes *a)
{
	double tick[TICKS_MAX];
	char text[32];
	int n = plot_ticks(a->x0, a->x1, TICKS, tick);

	draw_y_ticks(out, p, a);
	for (int i = 0; i < n; i++) {
		double x = at_x(a, tick[i]);
		if (p->whole_x && fabs(tick[i] - round(tick[i])) > 1e-9)
			continue;
		plot_number(text, sizeof(text), tick[i],
		            n > 1 && !p->whole_x ? tick[1] - tick[0] : 1);
		buf_printf(out,
		           "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" "
		           "stroke=\"#808080\"/>\n",
		           x, a->height - BOTTOM, x, a->height - BOTTOM + 5);
		label(out, x, a->height - BOTTOM + 19, " text-anchor=\"middle\"", text);
	}
	buf_printf(out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#808080\"/>\n", LEFT,
	           a->top, a->height - BOTTOM, WIDTH - RIGHT);
}

/* Every how many points are drawn; the next one after @i of @n, the last included. */
static int every_of(int n)
{
	return n > POINTS ? (n + POINTS - 1) / POINTS : 1;
}

static int next_of(int i, int n)
{
	int every = every_of(n);

	return i + every < n ? i + every : i + 1 < n ? n - 1 : n;
}

static void draw_dots(struct buf *out, const struct axes *a, const struct plot_line *l,
                      const char *colour, const char *more)
{
	for (int i = 0; i < l->n; i = l->dots ? next_of(i, l->n) : i + 1)
		if (isfinite(l->x[i]) && isfinite(up(a, l->y[i])))
			buf_printf(out,
			           "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"%s/>\n",
			           at_x(a, l->x[i]), at_y(a, l->y[i]), l->dots ? "2.2" : "3.5",
			           colour, more);
}

/* An interval's stretches of points that have one. */
static void draw_band(struct buf *out, const struct axes *a, const struct plot_line *l,
                      const char *colour)
{
	for (int from = 0; from < l->n;) {
		int to = from;
		while (to < l->n && isfinite(l->x[to]) && isfinite(up(a, l->low[to])) &&
		       isfinite(up(a, l->high[to])))
			to++;
		if (to - from > 1) {
			buf_adds(out, "<path d=\"");
			for (int i = from; i < to; i++)
				buf_printf(out, "%s%.1f %.1f", i > from ? "L" : "M",
				           at_x(a, l->x[i]), at_y(a, l->high[i]));
			for (int i = to - 1; i >= from; i--)
				buf_printf(out, "L%.1f %.1f", at_x(a, l->x[i]), at_y(a, l->low[i]));
			buf_printf(out, "Z\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", colour);
		}
		from = to + 1;
	}
}

static void draw_line(struct buf *out, const struct plot *p, const struct axes *a, int k)
{
	const struct plot_line *l = &p->line[k];
	const char *colour = colour_of(p, k), *dash = dash_of(p, k);
	bool open = false;

	if (l->low && l->high)
		draw_band(out, a, l, colour);
	if (l->dots) {
		draw_dots(out, a, l, colour, l->faint ? " fill-opacity=\"0.35\"" : "");
		return;
	}
	buf_adds(out, "<path d=\"");
	for (int i = 0; i < l->n; i = next_of(i, l->n)) {
		double y = up(a, l->y[i]);
		if (!isfinite(l->x[i]) || !isfinite(y)) {
			open = false;
			continue;
		}
		buf_printf(out, "%s%.1f %.1f", open ? "L" : "M", at_x(a, l->x[i]),
		           at_y(a, l->y[i]));
		open = true;
	}
	buf_printf(out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\"%s%s%s%s/>\n", colour,
	           l->faint ? "1" : "2", l->faint ? " stroke-opacity=\"0.35\"" : "",
	           *dash ? " stroke-dasharray=\"" : "", dash, *dash ? "\"" : "");
	if (l->points)
		draw_dots(out, a, l, colour, "");
}

static void draw_area(struct buf *out, const struct plot *p, const struct axes *a, int k)
{
	const struct plot_line *first = &p->line[0];
	double most = 0;
	int where = -1;

	buf_adds(out, "<path d=\"");
	for (int i = 0; i < first->n; i = next_of(i, first->n))
		buf_printf(out, "%s%.1f %.1f", i ? "L" : "M", at_x(a, first->x[i]),
		           at_y(a, stacked_to(p, k, i)));
	for (int i = first->n - 1; i >= 0; i--)
		if (i % every_of(first->n) == 0 || i == first->n - 1)
			buf_printf(out, "L%.1f %.1f", at_x(a, first->x[i]),
			           at_y(a, k ? stacked_to(p, k - 1, i) : 0));
	buf_printf(out,
	           "Z\" fill=\"%s\" fill-opacity=\"0.75\" stroke=\"#ffffff\" "
	           "stroke-width=\"0.8\"/>\n",
	           colour_of(p, k));
	if (!p->line[k].name)
		return;
	/* its name where it is thickest, away from the edges */
	double room = LETTER * (double)strlen(p->line[k].name) / 2 + 4;
	for (int i = 0; i < first->n; i++) {
		double x = at_x(a, first->x[i]), thick;
		thick = at_y(a, k ? stacked_to(p, k - 1, i) : 0) - at_y(a, stacked_to(p, k, i));
		if (thick > most && x - room >= LEFT && x + room <= WIDTH - RIGHT) {
			most = thick;
			where = i;
		}
	}
	if (most >= 18)
		label(out, at_x(a, first->x[where]),
		      at_y(a, stacked_to(p, k, where)) + most / 2 + 4,
		      " text-anchor=\"middle\" stroke=\"#ffffff\" stroke-width=\"3\" "
		      "paint-order=\"stroke\"",
		      p->line[k].name);
}

static void draw_marks(struct buf *out, const struct plot *p, const struct axes *a)
{
	double free_from = 0;

	for (int i = 0; i < p->n_marks; i++) {
		const struct plot_mark *m = &p->mark[i];
		double x = at_x(a, m->x);
		if (!isfinite(m->x) || m->x < a->x0 || m->x > a->x1)
			continue;
		buf_printf(out,
		           "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" "
		           "stroke=\"#606060\" stroke-dasharray=\"1 3\"/>\n",
		           x, a->top, x, a->height - BOTTOM);
		if (!m->text || x < free_from)
			continue;
		free_from = x + LETTER * (double)strlen(m->text) + 8;
		bool right = free_from < WIDTH - RIGHT;
		label(out, right ? x + 3 : x - 3, a->top + 11,
		      right ? " font-size=\"11\" fill=\"#606060\""
		            : " font-size=\"11\" fill=\"#606060\" text-anchor=\"end\"",
		      m->text);
	}
}

static double entry_width(const struct plot_line *l)
{
	return LETTER * (double)strlen(l->name) + 44;
}

/* In rows below the title, or beside it; how many rows below. Draws when @out is there. */
static int legend(struct buf *out, const struct plot *p)
{
	double all = 0, room = WIDTH - LEFT - RIGHT, x = LEFT, y = 24;
	int rows = 0;

	for (int k = 0; k < p->n; k++)
		all += p->line[k].name ? entry_width(&p->line[k]) : 0;
	if (all > room - 8.5 * (double)strlen(p->title ? p->title : "")) {
		rows = 1;
		y += ROW;
	} else {
		x = WIDTH - RIGHT - all;
	}
	for (int k = 0; k < p->n; k++) {
		const struct plot_line *l = &p->line[k];
		if (!l->name)
			continue;
		const char *colour = colour_of(p, k), *dash = dash_of(p, k);
		if (rows && x > LEFT && x + entry_width(l) > WIDTH - RIGHT + 20) {
			rows++;
			x = LEFT;
			y += ROW;
		}
		if (out && p->stacked)
			buf_printf(out,
			           "<rect x=\"%.1f\" y=\"%.1f\" width=\"18\" height=\"11\" "
			           "fill=\"%s\" fill-opacity=\"0.75\"/>\n",
			           x + 8, y - 6, colour);
		else if (out && l->dots)
			buf_printf(out,
			           "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.2\" fill=\"%s\"%s/>\n",
			           x + 18, y, colour, l->faint ? " fill-opacity=\"0.35\"" : "");
		else if (out)
			buf_printf(out,
			           "<line x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\" "
			           "stroke=\"%s\" stroke-width=\"%s\"%s%s%s/>\n",
			           x, y, x + 26, y, colour,
			           l->faint ? "1\" stroke-opacity=\"0.35" : "2",
			           *dash ? " stroke-dasharray=\"" : "", dash, *dash ? "\"" : "");
		if (out)
			label(out, x + 31, y + 4, "", l->name);
		x += entry_width(l);
	}
	return rows;
}

void plot_svg(struct buf *out, const struct plot *p)
{
	int grown = legend(NULL, p) * ROW;
	struct axes a = { .top = TOP + grown, .height = HEIGHT + grown };
	int middle = (a.height - BOTTOM + a.top) / 2;

	buf_printf(out,
	           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
	           "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" "
	           "fill=\"#303030\">\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
	           WIDTH, a.height, WIDTH, a.height, WIDTH, a.height);
	label(out, LEFT, 28, " font-size=\"14\" font-weight=\"bold\"", p->title ? p->title : "");
	if (!find_axes(p, &a)) {
		label(out, WIDTH / 2.0, HEIGHT / 2.0, " text-anchor=\"middle\"", "no figures yet");
		buf_adds(out, "</svg>\n");
		return;
	}
	draw_axes(out, p, &a);
	legend(out, p);
	for (int k = 0; p->stacked && k < p->n; k++)
		draw_area(out, p, &a, k);
	for (int pass = 0; !p->stacked && pass < 2; pass++)
		for (int k = 0; k < p->n; k++)
			if (p->line[k].faint == (pass == 0))
				draw_line(out, p, &a, k);
	draw_marks(out, p, &a);
	label(out, (LEFT + WIDTH - RIGHT) / 2.0, a.height - 12, " text-anchor=\"middle\"",
	      p->x_label ? p->x_label : "");
	if (p->y_label) {
		char turn[96];
		snprintf(turn, sizeof(turn),
		         " text-anchor=\"middle\" transform=\"rotate(-90 18 %d)\"", middle);
		label(out, 18, middle, turn, p->y_label);
	}
	buf_adds(out, "</svg>\n");
}
