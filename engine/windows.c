#include "engine/windows.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define SIDE   512
#define MARGIN 2 /* points of background all round, so that all of the outside is one */
#define POINTS 4

struct picture {
	int n[2];
	double lo[2], step;
	uint8_t *point; /* 0 background, 1 shadow, 2 background that was seen */
};

void windows_release(struct windows *w)
{
	free(w->w);
	*w = (struct windows){ 0 };
}

/* The points whose middles lie in the triangle's shadow, row by row. */
static void draw(struct picture *p, const double *c, int iu, int iv)
{
	double u[3], v[3], lo = INFINITY, hi = -INFINITY;

	for (int k = 0; k < 3; k++) {
		u[k] = (c[3 * k + iu] - p->lo[0]) / p->step - 0.5;
		v[k] = (c[3 * k + iv] - p->lo[1]) / p->step - 0.5;
		lo = v[k] < lo ? v[k] : lo;
		hi = v[k] > hi ? v[k] : hi;
	}
	int from = (int)fmax(0, ceil(lo)), to = (int)fmin(p->n[1] - 1, floor(hi));
	for (int y = from; y <= to; y++) {
		double left = INFINITY, right = -INFINITY;
		for (int k = 0; k < 3; k++) {
			int m = (k + 1) % 3;
			double a = v[k], b = v[m];
			if ((a < y && b < y) || (a > y && b > y))
				continue;
			double t = a == b ? 0 : (y - a) / (b - a);
			double x = u[k] + t * (u[m] - u[k]);
			left = x < left ? x : left;
			right = x > right ? x : right;
			if (a == b) {
				left = u[m] < left ? u[m] : left;
				right = u[m] > right ? u[m] : right;
			}
		}
		int x0 = (int)fmax(0, ceil(left)), x1 = (int)fmin(p->n[0] - 1, floor(right));
		for (int x = x0; x <= x1; x++)
			p->point[y * p->n[0] + x] = 1;
	}
}

/* Marks the background at @start and all that hangs together with it; @stack has room for all. */
static int flood(struct picture *p, int start, int *stack, double sum[2])
{
	int n = 0, count = 0, w = p->n[0];

	p->point[start] = 2;
	stack[n++] = start;
	while (n) {
		int at = stack[--n], x = at % w, y = at / w;
		const int next[4] = { x > 0 ? at - 1 : -1, x + 1 < w ? at + 1 : -1,
			              y > 0 ? at - w : -1, y + 1 < p->n[1] ? at + w : -1 };
		count++;
		sum[0] += x;
		sum[1] += y;
		for (int k = 0; k < 4; k++) {
			if (next[k] < 0 || p->point[next[k]] != 0)
				continue;
			p->point[next[k]] = 2;
			stack[n++] = next[k];
		}
	}
	return count;
}

static int larger_first(const void *p, const void *q)
{
	const struct window *a = p, *b = q;

	if (a->area_mm2 != b->area_mm2)
		return a->area_mm2 > b->area_mm2 ? -1 : 1;
	for (int d = 0; d < 2; d++)
		if (a->middle_mm[d] != b->middle_mm[d])
			return a->middle_mm[d] < b->middle_mm[d] ? -1 : 1;
	return 0;
}

int windows_find(struct windows *out, const double *xyz, size_t n_tri, int axis,
                 const double box[4], double min_area_mm2, struct err *e)
{
	double len[2] = { box[2] - box[0], box[3] - box[1] };
	double longest = fmax(len[0], len[1]), outside[2] = { 0 };
	int iu = (axis + 1) % 3, iv = (axis + 2) % 3, rc = -1;
	struct windows w = { 0 };
	struct picture p = { 0 };
	int *stack = NULL;

	*out = w;
	if (!(longest > 0))
		return 0;
	p.step = longest / SIDE;
	for (int d = 0; d < 2; d++) {
		p.n[d] = (int)ceil(len[d] / p.step) + 2 * MARGIN;
		p.lo[d] = box[d] - MARGIN * p.step;
	}
	size_t all = (size_t)p.n[0] * (size_t)p.n[1];
	p.point = calloc(all, 1);
	stack = malloc(all * sizeof(*stack));
	if (!p.point || !stack) {
		err_set(e, ERR_MEM, "no memory for a picture of %d x %d", p.n[0], p.n[1]);
		goto out;
	}
	/* what is closed is seen whole from the one side */
	for (size_t i = 0; i < n_tri; i++) {
		const double *c = xyz + 9 * i;
		double area = (c[3 + iu] - c[iu]) * (c[6 + iv] - c[iv]) -
		              (c[3 + iv] - c[iv]) * (c[6 + iu] - c[iu]);
		if (area > 0)
			draw(&p, c, iu, iv);
	}
	flood(&p, 0, stack, outside);
	int cap = 0;
	for (size_t i = 0; i < all; i++) {
		double sum[2] = { 0 };
		if (p.point[i] != 0)
			continue;
		int points = flood(&p, (int)i, stack, sum);
		double area = points * p.step * p.step;
		if (points < POINTS || area < min_area_mm2)
			continue;
		if (w.n == cap) {
			cap = cap ? 2 * cap : 32;
			struct window *x = realloc(w.w, (size_t)cap * sizeof(*x));
			if (!x) {
				err_set(e, ERR_MEM, "no memory for %d openings", cap);
				goto out;
			}
			w.w = x;
		}
		struct window *x = &w.w[w.n++];
		x->area_mm2 = area;
		for (int d = 0; d < 2; d++)
			x->middle_mm[d] = p.lo[d] + (sum[d] / points + 0.5) * p.step;
	}
	if (w.n)
		qsort(w.w, (size_t)w.n, sizeof(*w.w), larger_first);
	*out = w;
	w = (struct windows){ 0 };
	rc = 0;
out:
	windows_release(&w);
	free(stack);
	free(p.point);
	return rc;
}
