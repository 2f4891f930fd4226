/*
 * Filling by the rows that a triangle's sides cross.
 *
 * The published masks come from Pillow, so its conventions are kept to the last pixel:
 *  - a side covers the rows of both its ends; a crossing is computed in single precision from the
 *    end the side was walked from, which makes the direction matter;
 *  - a span runs from the left crossing rounded half away from zero to the right one rounded half
 *    towards zero, both ends included;
 *  - a side that ends on a row above the triangle's last one counts twice there, so that crossings
 *    pair up; on the last row it counts once;
 *  - a level side is no crossing; it is painted whole;
 *  - where two slanted sides meet in a corner, and one row further both lie more than a pixel to
 *    the same side of it, the second one's crossing is drawn back to one pixel past the nearer of
 *    the two, so that the tip of a flat wedge hangs together with its body.
 * Rows on which no side ends have just two crossings; most rows of most triangles are such.
 */
#include "engine/silhouette.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 512 /* pixels of a triangle's box */

static const struct {
	const char *name;
	double weight;
} views[VIEW_COUNT] = {
	{ "front", 0.18 }, { "back", 0.12 }, { "left", 0.18 },
	{ "right", 0.18 }, { "top", 0.14 },  { "isometric", 0.20 },
};

const char *view_name(int view)
{
	return views[view].name;
}

double view_weight(int view)
{
	return views[view].weight;
}

bool mask_get(const struct mask *m, int x, int y)
{
	return m->row[y][x / 64] >> (x % 64) & 1;
}

/* Bits from..to of a word, both modulo 64. */
static inline uint64_t bits(unsigned from, unsigned to)
{
	return (~(uint64_t)0 << (from & 63)) & (~(uint64_t)0 >> (~to & 63));
}

/* Pixels from..to of a row, all within the mask; nothing when from > to. */
static inline void span(struct mask *m, int y, int from, int to)
{
	if (from > to)
		return;
	uint64_t *row = m->row[y];
	unsigned a = (unsigned)from / 64, b = (unsigned)to / 64;
	if (a == b) {
		row[a] |= bits((unsigned)from, (unsigned)to);
		return;
	}
	row[a] |= bits((unsigned)from, 63);
	for (unsigned w = a + 1; w < b; w++)
		row[w] = ~(uint64_t)0;
	row[b] |= bits(0, (unsigned)to);
}

/* True when the whole box is painted already; then nothing in it can change. */
static inline bool filled(const struct mask *m, unsigned x0, unsigned x1, int y0, int y1)
{
	for (unsigned w = x0 / 64; w <= x1 / 64; w++) {
		uint64_t want = bits(w == x0 / 64 ? x0 : 0, w == x1 / 64 ? x1 : 63);
		for (int y = y0; y <= y1; y++)
			if (want & ~m->row[y][w])
				return false;
	}
	return true;
}

struct side {
	int x, y; /* where it was walked from */
	int top, bottom;
	float slope; /* columns a row */
};

static inline float crossing(const struct side *s, int y)
{
	return (float)(y - s->y) * s->slope + (float)s->x;
}

/* Pixels first and last of a span between two crossings, and the whole number nearest to one, half
 * away from zero. Masks have no negative coordinates, which makes all three short. */
static inline int first_pixel(float x)
{
	return (int)(x + 0.5f);
}

static inline int last_pixel(float x)
{
	float f = x - 0.5f;
	int whole = (int)f;

	return whole + ((float)whole < f);
}

static inline float nearest(float x)
{
	int whole = (int)x;

	return (float)(whole + (x - (float)whole >= 0.5f));
}

static inline bool ends_at(const struct side *s, int y)
{
	return y == s->top || y == s->bottom;
}

/* The crossing of sides[i] at one of its ends, drawn back where the corner's tip would come off. */
static float corner_crossing(const struct side *sides, int i, int y, float x)
{
	const struct side *s = &sides[i];
	int next = y == s->bottom ? y - 1 : y + 1;

	for (int k = 0; k < i; k++) {
		const struct side *o = &sides[k];
		if (!ends_at(o, y) || o->slope == 0 || nearest(x) != nearest(crossing(o, y)))
			continue;
		if (next < o->top || next > o->bottom)
			continue; /* the other side goes the other way: no tip */
		float a = crossing(s, next), b = crossing(o, next);
		if (x > a + 1 && x > b + 1)
			return nearest(a > b ? a : b) + 1;
		if (x < a - 1 && x < b - 1)
			return nearest(a < b ? a : b) - 1;
		return x;
	}
	return x;
}

/* A row on which at least one side ends. */
static void corner_row(struct mask *m, const struct side *sides, int n, int y, int last)
{
	float x[6];
	int count = 0;

	for (int i = 0; i < n; i++) {
		const struct side *s = &sides[i];
		if (y < s->top || y > s->bottom)
			continue;
		float at = crossing(s, y);
		if (y == s->bottom && y < last) {
			x[count++] = at;
			x[count++] = at;
		} else if (ends_at(s, y) && s->slope != 0) {
			x[count++] = corner_crossing(sides, i, y, at);
		} else {
			x[count++] = at;
		}
	}
	for (int i = 1; i < count; i++)
		for (int k = i; k > 0 && x[k] < x[k - 1]; k--) {
			float t = x[k];
			x[k] = x[k - 1];
			x[k - 1] = t;
		}
	for (int i = 0; i + 1 < count; i += 2)
		span(m, y, first_pixel(x[i]), last_pixel(x[i + 1]));
}

/* Four rows at a time, in the same single-precision steps. */
typedef float float4 __attribute__((vector_size(16)));
typedef int int4 __attribute__((vector_size(16)));

/* Rows from @row up to @until on which just two sides pass and none ends. Returns @until. */
static int plain_rows(struct mask *m, const struct side *p, const struct side *q, int row,
                      int until)
{
	const int4 steps = { 0, 1, 2, 3 };

	for (; row + 4 <= until; row += 4) {
		float4 a = __builtin_convertvector(row - p->y + steps, float4) * p->slope +
		           (float)p->x;
		float4 b = __builtin_convertvector(row - q->y + steps, float4) * q->slope +
		           (float)q->x;
		int4 swap = a > b;
		float4 left = (float4)(((int4)b & swap) | ((int4)a & ~swap));
		float4 right = (float4)(((int4)a & swap) | ((int4)b & ~swap)) - 0.5f;
		int4 from = __builtin_convertvector(left + 0.5f, int4);
		int4 to = __builtin_convertvector(right, int4);
		to -= __builtin_convertvector(to, float4) < right; /* true is -1 */
		for (int i = 0; i < 4; i++)
			span(m, row + i, from[i], to[i]);
	}
	for (; row < until; row++) {
		float a = crossing(p, row), b = crossing(q, row);
		if (a <= b)
			span(m, row, first_pixel(a), last_pixel(b));
		else
			span(m, row, first_pixel(b), last_pixel(a));
	}
	return row;
}

static inline int least(const int v[3])
{
	int m = v[0] < v[1] ? v[0] : v[1];

	return m < v[2] ? m : v[2];
}

static inline int most(const int v[3])
{
	int m = v[0] > v[1] ? v[0] : v[1];

	return m > v[2] ? m : v[2];
}

void mask_triangle(struct mask *m, const int x[3], const int y[3])
{
	struct side sides[3];
	int n = 0, first = least(y), last = most(y);
	int left = least(x), right = most(x);

	if (left < 0 || first < 0 || right >= MASK_SIZE || last >= MASK_SIZE)
		return;

	if (first == last) {
		span(m, first, left, right);
		return;
	}
	if (filled(m, (unsigned)left, (unsigned)right, first, last))
		return;
	for (int i = 0; i < 3; i++) {
		int k = (i + 1) % 3;
		if (y[i] == y[k]) {
			/* The way back to where it began is not walked when it is no way. */
			if (i < 2 || x[i] != x[k])
				span(m, y[i], x[i] < x[k] ? x[i] : x[k], x[i] < x[k] ? x[k] : x[i]);
			continue;
		}
		sides[n++] = (struct side){
			.x = x[i],
			.y = y[i],
			.top = y[i] < y[k] ? y[i] : y[k],
			.bottom = y[i] < y[k] ? y[k] : y[i],
			.slope = (float)(x[k] - x[i]) / (float)(y[k] - y[i]),
		};
	}
	for (int row = first; row <= last;) {
		if (row == y[0] || row == y[1] || row == y[2]) {
			corner_row(m, sides, n, row++, last);
			continue;
		}
		/* Two sides pass here, and go on to the next corner. */
		const struct side *pass[2] = { NULL, NULL };
		int until = last, found = 0;
		for (int i = 0; i < n && found < 2; i++)
			if (row > sides[i].top && row < sides[i].bottom) {
				pass[found++] = &sides[i];
				if (sides[i].bottom < until)
					until = sides[i].bottom;
			}
		row = plain_rows(m, pass[0], pass[1], row, until);
	}
}

long mask_count(const struct mask *m)
{
	long n = 0;

	for (int y = 0; y < MASK_SIZE; y++)
		for (int w = 0; w < MASK_WORDS; w++)
			n += __builtin_popcountll(m->row[y][w]);
	return n;
}

double mask_iou(const struct mask *a, const struct mask *b)
{
	long both = 0, any = 0;

	for (int y = 0; y < MASK_SIZE; y++)
		for (int w = 0; w < MASK_WORDS; w++) {
			uint64_t p = a->row[y][w], q = b->row[y][w];
			if ((p | q) == 0)
				continue;
			both += __builtin_popcountll(p & q);
			any += __builtin_popcountll(p | q);
		}
	return any ? (double)both / (double)any : 0.0;
}

/* Image axes of a view: across and up. */
static void project(int view, const double *p, const double iso[2][3], double *a, double *b)
{
	switch (view) {
	case 0:
		*a = p[0];
		*b = p[2];
		break;
	case 1:
		*a = -p[0];
		*b = p[2];
		break;
	case 2:
		*a = p[1];
		*b = p[2];
		break;
	case 3:
		*a = -p[1];
		*b = p[2];
		break;
	case 4:
		*a = p[0];
		*b = p[1];
		break;
	default:
		/* Fused, as the matrix product of the published reward's BLAS: a corner of a box
		 * may land on a whole number, and there the last bit decides about a row of pixels.
		 */
		*a = fma(p[2], iso[0][2], fma(p[1], iso[0][1], p[0] * iso[0][0]));
		*b = fma(p[2], iso[1][2], fma(p[1], iso[1][1], p[0] * iso[1][0]));
		break;
	}
}

int silhouette_draw(struct mask *out, const struct mesh *mesh, int view, struct err *e)
{
	const double margin = 28.0;
	const double deg = 3.14159265358979323846 / 180.0;
	double cz = cos(42.0 * deg), sz = sin(42.0 * deg);
	double cx = cos(58.0 * deg), sx = sin(58.0 * deg);
	/* Rows 0 and 2 of Rz(42) Rx(58). */
	const double iso[2][3] = { { cz, -sz * cx, sz * sx }, { 0.0, sx, cx } };
	size_t n = mesh->n_vert;
	double *at = malloc((n ? n : 1) * 2 * sizeof(*at));
	int(*px)[2] = malloc((n ? n : 1) * sizeof(*px));
	double min[2] = { INFINITY, INFINITY }, max[2] = { -INFINITY, -INFINITY };

	if (!at || !px) {
		free(at);
		free(px);
		return err_set(e, ERR_MEM, "no memory for a view of %zu vertices", n);
	}
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n; i++) {
		project(view, mesh->v + 3 * i, iso, &at[2 * i], &at[2 * i + 1]);
		for (int c = 0; c < 2; c++) {
			double x = at[2 * i + c];
			if (x < min[c])
				min[c] = x;
			if (x > max[c])
				max[c] = x;
		}
	}
	double size = fmax(fmax(max[0] - min[0], max[1] - min[1]), 1e-9);
	double scale = (MASK_SIZE - 2 * margin) / size;
	for (size_t i = 0; i < n; i++) {
		px[i][0] = (int)((at[2 * i] - min[0]) * scale + margin);
		px[i][1] = (int)(MASK_SIZE - ((at[2 * i + 1] - min[1]) * scale + margin));
	}
	/* The union does not depend on the order; with the large ones first, most of the small ones
	 * find their place painted. */
	for (int small = 0; small < 2; small++)
		for (size_t i = 0; i < mesh->n_tri; i++) {
			const uint32_t *t = mesh->t + 3 * i;
			const int x[3] = { px[t[0]][0], px[t[1]][0], px[t[2]][0] };
			const int y[3] = { px[t[0]][1], px[t[1]][1], px[t[2]][1] };
			bool is_small = (most(x) - least(x)) * (most(y) - least(y)) < LARGE;
			if (is_small == (small == 1))
				mask_triangle(out, x, y);
		}
	free(at);
	free(px);
	return 0;
}
