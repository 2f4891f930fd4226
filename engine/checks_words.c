/*
 * checks_words.c - figures, words, credit, places and mirror images, as all kinds have them.
 */
#include "engine/checks_inside.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char axis_names[] = "XYZ";

/* ---- figures and words ---- */

/* What the last digits of a double say is noise of the mesh, and no one's business. */
static double tidy(double x)
{
	double r = round(x * 1e4) / 1e4;

	return r == 0 ? 0 : r;
}

cJSON *verdict_figure(double x)
{
	return isfinite(x) ? cJSON_CreateNumber(tidy(x)) : cJSON_CreateNull();
}

cJSON *verdict_range(double min, double max)
{
	cJSON *a = cJSON_CreateArray();

	cJSON_AddItemToArray(a, verdict_figure(min));
	cJSON_AddItemToArray(a, verdict_figure(max));
	return a;
}

cJSON *verdict_count(struct count_range c)
{
	if (c.min == c.max)
		return cJSON_CreateNumber(c.min);
	return verdict_range(c.min, c.max == INT_MAX ? INFINITY : c.max);
}

/* "5.5": two decimals at most, none of them a 0 at the end. */
void say_number(struct buf *b, double x)
{
	char text[40];
	double r = round(x * 100) / 100;

	snprintf(text, sizeof(text), "%.2f", r == 0 ? 0 : r);
	size_t n = strlen(text);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	buf_add(b, text, n);
}

void say_range(struct buf *b, double min, double max, const char *unit)
{
	if (isinf(max)) {
		buf_adds(b, "at least ");
		say_number(b, min);
	} else if (isinf(min)) {
		buf_adds(b, "at most ");
		say_number(b, max);
	} else {
		say_number(b, min);
		buf_adds(b, " to ");
		say_number(b, max);
	}
	buf_adds(b, unit);
}

void say_count(struct buf *b, struct count_range c)
{
	if (c.min == c.max)
		buf_printf(b, "%d", c.min);
	else if (c.max == INT_MAX)
		buf_printf(b, "at least %d", c.min);
	else if (c.min == 0)
		buf_printf(b, "at most %d", c.max);
	else
		buf_printf(b, "%d to %d", c.min, c.max);
}

bool count_is_one(struct count_range c)
{
	return c.max == 1 || (c.min == 1 && c.max == INT_MAX);
}

const char *say_plural(bool one)
{
	return one ? "" : "s";
}

/* " within x 0 to 25 %, z 90 to 100 % of the box"; nothing for the whole box. @skip: an axis that
 * does not matter, or -1. */
void say_region(struct buf *b, const struct region *r, int skip)
{
	bool any = false;

	for (int i = 0; i < 3; i++) {
		if (!r->given || i == skip || (r->from[i] <= 0 && r->to[i] >= 1))
			continue;
		buf_adds(b, any ? ", " : " within ");
		buf_printf(b, "%c ", axis_names[i]);
		say_number(b, 100 * r->from[i]);
		buf_adds(b, " to ");
		say_number(b, 100 * r->to[i]);
		buf_adds(b, " %");
		any = true;
	}
	if (any)
		buf_adds(b, " of the box");
}

/* ---- credit ---- */

double credit_count(int got, struct count_range want)
{
	if (got < want.min)
		return (double)got / want.min;
	if (got > want.max)
		return (double)want.max / got;
	return 1;
}

double credit_range(double got, struct range want)
{
	if (got < want.min)
		return got > 0 ? got / want.min : 0;
	if (got > want.max)
		return want.max > 0 ? want.max / got : 0;
	return 1;
}

double credit_length(double excess, double over)
{
	return excess <= 0 ? 1 : fmax(0, 1 - excess / over);
}

/* ---- places ---- */

double eval_place(const struct eval *v, int axis, double fraction)
{
	return v->p->box_min_mm[axis] + fraction * v->len[axis];
}

bool eval_in_region(const struct eval *v, const struct region *r, const double at_mm[3])
{
	if (!r->given)
		return true;
	for (int i = 0; i < 3; i++) {
		double slack = 1e-6 * (1 + v->len[i]);
		if (at_mm[i] < eval_place(v, i, r->from[i]) - slack ||
		    at_mm[i] > eval_place(v, i, r->to[i]) + slack)
			return false;
	}
	return true;
}

double range_step(struct range r, int i, int n)
{
	return n == 1 ? r.min : r.min + (r.max - r.min) * i / (n - 1);
}

/* An answer that the shape did not give: 1 with the reason in why, or -1 when it was memory. */
int verdict_none(const struct err *own, struct verdict *out, struct err *e)
{
	if (own->kind == ERR_INPUT) {
		buf_clear(&out->why);
		buf_adds(&out->why, own->text);
		return 1;
	}
	*e = *own;
	return -1;
}

/* ---- mirror images ---- */

/* " (20, 15)": across @axis, or all three when it is -1. */
void say_point(struct buf *b, const double at_mm[3], int axis)
{
	bool any = false;

	buf_adds(b, "(");
	for (int i = 0; i < 3; i++) {
		if (i == axis)
			continue;
		buf_adds(b, any ? ", " : "");
		say_number(b, at_mm[i]);
		any = true;
	}
	buf_adds(b, ")");
}

static bool has_image(const struct eval *v, const struct check *c, const struct spot *s, int n,
                      int i, int axis)
{
	double slack = fmax(c->tolerance_mm, c->tolerance * v->len[axis]);

	for (int k = 0; k < n; k++) {
		bool same = isnan(s[i].size_mm) || fabs(s[k].size_mm - s[i].size_mm) <=
		                                           fmax(0.1, c->tolerance * s[i].size_mm);
		for (int d = 0; d < 3 && same; d++) {
			double want = d == axis ? 2 * eval_place(v, d, 0.5) - s[i].at_mm[d]
			                        : s[i].at_mm[d];
			same = fabs(s[k].at_mm[d] - want) <= slack;
		}
		if (same)
			return true;
	}
	return false;
}

void verdict_images(const struct eval *v, const struct check *c, const struct spot *s, int n,
                    const char *noun, struct verdict *out)
{
	int lonely = 0;

	for (int i = 0; i < n && c->mirrors; i++) {
		for (int axis = 0; axis < 3; axis++) {
			if (!(c->mirrors & 1u << axis) || has_image(v, c, s, n, i, axis))
				continue;
			if (lonely++ == 0) {
				buf_printf(&out->why, "; the %s at ", noun);
				say_point(&out->why, s[i].at_mm, -1);
				buf_printf(&out->why,
				           " has no mirror image across the middle of %c",
				           axis_names[axis]);
			}
			break;
		}
	}
	if (lonely > 1)
		buf_printf(&out->why, ", nor have %d others", lonely - 1);
	if (lonely)
		out->score = fmin(0.999999, out->score * (n - lonely) / n);
}
