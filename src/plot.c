/*
 * plot.c - lines over two axes as SVG.
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
	POINTS = 1200 /* more than the picture has columns: thinned */
};

/* Okabe and Ito's colours (2008), which stay apart for colour-blind readers. */
static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7",
	                               "#e69f00", "#56b4e9", "#000000", "#999933" };
static const char *const dashes[] = { "", "7 3", "2 3", "9 3 2 3" };

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
	return HEIGHT - BOTTOM - (up(a, y) - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
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

static bool find_axes(const struct plot *p, struct axes *a)
{
	bool any = false;

	*a = (struct axes){ .log_y = p->log_y };
	for (int k = 0; k < p->n; k++)
		for (int i = 0; i < p->line[k].n; i++) {
			double x = p->line[k].x[i], y = up(a, p->line[k].y[i]);
			if (!isfinite(x) || !isfinite(y))
				continue;
			a->x0 = !any || x < a->x0 ? x : a->x0;
			a->x1 = !any || x > a->x1 ? x : a->x1;
			a->y0 = !any || y < a->y0 ? y : a->y0;
			a->y1 = !any || y > a->y1 ? y : a->y1;
			any = true;
		}
	if (!any)
		return false;
	if (p->share_y) {
		a->y0 = 0;
		a->y1 = 1;
	} else if (p->zero_y && !p->log_y && a->y0 > 0) {
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
		if (!(p->zero_y && a->y0 == 0))
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
		plot_number(text, sizeof(text), tick[i], n > 1 ? tick[1] - tick[0] : 1);
		buf_printf(out,
		           "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" "
		           "stroke=\"#808080\"/>\n",
		           x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5);
		label(out, x, HEIGHT - BOTTOM + 19, " text-anchor=\"middle\"", text);
	}
	buf_printf(out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#808080\"/>\n", LEFT, TOP,
	           HEIGHT - BOTTOM, WIDTH - RIGHT);
}

static void draw_line(struct buf *out, const struct axes *a, const struct plot_line *l, int k)
{
	const char *colour = colours[k % (int)(sizeof(colours) / sizeof(*colours))];
	const char *dash = l->faint ? "" : dashes[k % (int)(sizeof(dashes) / sizeof(*dashes))];
	int every = l->n > POINTS ? (l->n + POINTS - 1) / POINTS : 1;
	bool open = false;

	buf_adds(out, "<path d=\"");
	for (int i = 0; i < l->n; i += i + every < l->n ? every : i + 1 < l->n ? l->n - 1 - i : 1) {
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
	for (int i = 0; l->points && i < l->n; i++)
		if (isfinite(l->x[i]) && isfinite(up(a, l->y[i])))
			buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n",
			           at_x(a, l->x[i]), at_y(a, l->y[i]), colour);
}

static void draw_legend(struct buf *out, const struct plot *p)
{
	double x = WIDTH - RIGHT;

	/* from the right, so that the title has what is left */
	for (int k = p->n - 1; k >= 0; k--) {
		const char *name = p->line[k].name;
		const char *colour = colours[k % (int)(sizeof(colours) / sizeof(*colours))];
		const char *dash = dashes[k % (int)(sizeof(dashes) / sizeof(*dashes))];
		if (!name)
			continue;
		x -= 7.0 * (double)strlen(name) + 44;
		buf_printf(out,
		           "<line x1=\"%.1f\" y1=\"24\" x2=\"%.1f\" y2=\"24\" stroke=\"%s\" "
		           "stroke-width=\"2\"%s%s%s/>\n",
		           x, x + 26, colour, *dash ? " stroke-dasharray=\"" : "", dash,
		           *dash ? "\"" : "");
		label(out, x + 31, 28, "", name);
	}
}

void plot_svg(struct buf *out, const struct plot *p)
{
	struct axes a;

	buf_printf(out,
	           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
	           "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" "
	           "fill=\"#303030\">\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
	           WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
	label(out, LEFT, 28, " font-size=\"14\" font-weight=\"bold\"", p->title ? p->title : "");
	if (!find_axes(p, &a)) {
		label(out, WIDTH / 2.0, HEIGHT / 2.0, " text-anchor=\"middle\"", "no figures yet");
		buf_adds(out, "</svg>\n");
		return;
	}
	draw_axes(out, p, &a);
	draw_legend(out, p);
	for (int pass = 0; pass < 2; pass++)
		for (int k = 0; k < p->n; k++)
			if (p->line[k].faint == (pass == 0))
				draw_line(out, &a, &p->line[k], k);
	label(out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12, " text-anchor=\"middle\"",
	      p->x_label ? p->x_label : "");
	if (p->y_label) {
		char turn[96];
		snprintf(turn, sizeof(turn),
		         " text-anchor=\"middle\" transform=\"rotate(-90 18 %d)\"",
		         (HEIGHT - BOTTOM + TOP) / 2);
		label(out, 18, (HEIGHT - BOTTOM + TOP) / 2.0, turn, p->y_label);
	}
	buf_adds(out, "</svg>\n");
}
