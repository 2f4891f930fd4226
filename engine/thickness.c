#include "engine/thickness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/numeric.h"

#define SAMPLES      600
#define THIN_SHARE   0.01
#define PARALLEL_MIN 0.8
#define LEAF_MAX     4
#define DEPTH_MAX    64

/* Two children, side by side at @first, or @n triangles of the order from @first. */
struct node {
	double lo[3], hi[3];
	uint32_t first, n;
};

struct tree {
	const double *xyz;
	const int *solid_of;
	uint32_t *order;
	struct node *nodes;
	uint32_t n_nodes;
};

static void box_of(const struct tree *t, struct node *x, uint32_t from, uint32_t n)
{
	for (int d = 0; d < 3; d++) {
		x->lo[d] = INFINITY;
		x->hi[d] = -INFINITY;
	}
	for (uint32_t i = from; i < from + n; i++) {
		const double *c = t->xyz + 9 * (size_t)t->order[i];
		for (int k = 0; k < 9; k++) {
			x->lo[k % 3] = least(x->lo[k % 3], c[k]);
			x->hi[k % 3] = most(x->hi[k % 3], c[k]);
		}
	}
}

static double middle_of(const struct tree *t, uint32_t i, int axis)
{
	const double *c = t->xyz + 9 * (size_t)t->order[i];

	return c[axis] + c[3 + axis] + c[6 + axis];
}

/* Splits each node at the middle of its box, or in two halves where that leaves one side empty. */
static void build(struct tree *t, uint32_t at, uint32_t from, uint32_t n, int depth)
{
	struct node *x = &t->nodes[at];
	int axis = 0;

	box_of(t, x, from, n);
	x->first = from;
	x->n = n;
	if (n <= LEAF_MAX || depth >= DEPTH_MAX)
		return;
	for (int d = 1; d < 3; d++)
		if (x->hi[d] - x->lo[d] > x->hi[axis] - x->lo[axis])
			axis = d;
	double cut = 1.5 * (x->lo[axis] + x->hi[axis]);
	uint32_t i = from, k = from + n;
	while (i < k) {
		if (middle_of(t, i, axis) < cut) {
			i++;
		} else {
			uint32_t swap = t->order[i];
			t->order[i] = t->order[--k];
			t->order[k] = swap;
		}
	}
	uint32_t left = i - from;
	if (left == 0 || left == n)
		left = n / 2;
	uint32_t child = t->n_nodes;
	t->n_nodes += 2;
	x->first = child;
	x->n = 0;
	build(t, child, from, left, depth + 1);
	build(t, child + 1, from + left, n - left, depth + 1);
}

/* Where the ray enters the box, INFINITY when it passes by or further away than @best. */
static double meets_box(const struct node *x, const double p[3], const double inv[3], double best)
{
	double from = 0, to = best;

	for (int d = 0; d < 3; d++) {
		double a = (x->lo[d] - p[d]) * inv[d], b = (x->hi[d] - p[d]) * inv[d];
		if (isnan(a) || isnan(b)) /* along a side of the box */
			continue;
		from = most(from, least(a, b));
		to = least(to, most(a, b));
	}
	return from <= to ? from : INFINITY;
}

/* Moeller and Trumbore 1997. The distance at which it is met, or INFINITY. */
static double meets_triangle(const double *c, const double p[3], const double dir[3])
{
	double e1[3], e2[3], h[3], s[3], q[3];

	for (int d = 0; d < 3; d++) {
		e1[d] = c[3 + d] - c[d];
		e2[d] = c[6 + d] - c[d];
		s[d] = p[d] - c[d];
	}
	for (int d = 0; d < 3; d++) {
		int i = (d + 1) % 3, k = (d + 2) % 3;
		h[d] = dir[i] * e2[k] - dir[k] * e2[i];
		q[d] = s[i] * e1[k] - s[k] * e1[i];
	}
	double a = e1[0] * h[0] + e1[1] * h[1] + e1[2] * h[2];
	if (a == 0)
		return INFINITY;
	double u = (s[0] * h[0] + s[1] * h[1] + s[2] * h[2]) / a;
	double v = (dir[0] * q[0] + dir[1] * q[1] + dir[2] * q[2]) / a;
	if (!(u >= -1e-9) || !(v >= -1e-9) || !(u + v <= 1 + 1e-9))
		return INFINITY;
	return (e2[0] * q[0] + e2[1] * q[1] + e2[2] * q[2]) / a;
}

/* The triangle of solid @solid that the ray from @p meets first beyond @from; -1 when none. */
static long first_hit(const struct tree *t, int solid, const double p[3], const double dir[3],
                      double from, double *dist)
{
	uint32_t stack[2 * DEPTH_MAX + 2];
	double inv[3], best = INFINITY;
	int n = 0;
	long hit = -1;

	for (int d = 0; d < 3; d++)
		inv[d] = 1 / dir[d];
	stack[n++] = 0;
	while (n) {
		const struct node *x = &t->nodes[stack[--n]];
		if (isinf(meets_box(x, p, inv, best)))
			continue;
		if (x->n == 0) {
			stack[n++] = x->first;
			stack[n++] = x->first + 1;
			continue;
		}
		for (uint32_t i = x->first; i < x->first + x->n; i++) {
			uint32_t k = t->order[i];
			if (t->solid_of[k] != solid)
				continue;
			double far = meets_triangle(t->xyz + 9 * (size_t)k, p, dir);
			if (far > from && (far < best || (far == best && (long)k < hit))) {
				best = far;
				hit = (long)k;
			}
		}
	}
	*dist = best;
	return hit;
}

/* Unit normal, and the area. */
static double normal_of(const double *c, double out[3])
{
	double a[3], b[3], len = 0;

	for (int d = 0; d < 3; d++) {
		a[d] = c[3 + d] - c[d];
		b[d] = c[6 + d] - c[d];
	}
	for (int d = 0; d < 3; d++) {
		int i = (d + 1) % 3, k = (d + 2) % 3;
		out[d] = a[i] * b[k] - a[k] * b[i];
		len += out[d] * out[d];
	}
	len = sqrt(len);
	for (int d = 0; d < 3; d++)
		out[d] = len > 0 ? out[d] / len : 0;
	return len / 2;
}

static int by_number(const void *p, const void *q)
{
	double a = *(const double *)p, b = *(const double *)q;

	return a < b ? -1 : a > b;
}

/* Steps evenly through the area, triangle by triangle; in a triangle by the golden ratio. */
static int sample(const struct tree *t, size_t n_tri, double area, double size, double *found)
{
	double done = 0, step = area / SAMPLES, next = step / 2;
	int n = 0, k = 0;

	for (size_t i = 0; i < n_tri && n < SAMPLES; i++) {
		const double *c = t->xyz + 9 * i;
		double normal[3], other[3], p[3], dir[3], dist;
		done += normal_of(c, normal);
		for (; next <= done && k < SAMPLES; next += step, k++) {
			double a = fmod(0.5 + k * 0.7548776662466927, 1),
			       b = fmod(0.5 + k * 0.5698402909980532, 1);
			if (a + b > 1) {
				a = 1 - a;
				b = 1 - b;
			}
			for (int d = 0; d < 3; d++) {
				p[d] = c[d] + a * (c[3 + d] - c[d]) + b * (c[6 + d] - c[d]);
				dir[d] = -normal[d];
			}
			long hit = first_hit(t, t->solid_of[i], p, dir, 1e-6 * size, &dist);
			if (hit < 0)
				continue;
			normal_of(t->xyz + 9 * (size_t)hit, other);
			double along = other[0] * dir[0] + other[1] * dir[1] + other[2] * dir[2];
			if (along >= PARALLEL_MIN)
				found[n++] = dist;
		}
	}
	return n;
}

int thickness_measure(double *out, const double *xyz, const int *solid_of, size_t n_tri,
                      struct err *e)
{
	struct tree t = { .xyz = xyz, .solid_of = solid_of };
	double found[SAMPLES], area = 0, normal[3];
	int rc = -1;

	*out = NAN;
	if (n_tri == 0)
		return 0;
	t.order = malloc(n_tri * sizeof(*t.order));
	t.nodes = malloc(2 * n_tri * sizeof(*t.nodes));
	if (!t.order || !t.nodes) {
		err_set(e, ERR_MEM, "no memory for a tree of %zu triangles", n_tri);
		goto done;
	}
	for (size_t i = 0; i < n_tri; i++) {
		t.order[i] = (uint32_t)i;
		area += normal_of(xyz + 9 * i, normal);
	}
	t.n_nodes = 1;
	build(&t, 0, 0, (uint32_t)n_tri, 0);
	double size = 0;
	for (int d = 0; d < 3; d++)
		size = most(size, t.nodes[0].hi[d] - t.nodes[0].lo[d]);
	int n = area > 0 ? sample(&t, n_tri, area, size, found) : 0;
	qsort(found, (size_t)n, sizeof(*found), by_number);
	if (n)
		*out = found[(int)(THIN_SHARE * n)];
	rc = 0;
done:
	free(t.nodes);
	free(t.order);
	return rc;
}
