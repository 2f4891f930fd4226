/*
 * Each triangle is walked row by row; a row's columns come from three divisions of whole numbers.
 * A crossing sets one bit, at the first cell whose middle lies above it, and a running XOR along
 * the column makes insides of crossings, 64 cells at a time.
 */
#include "engine/voxel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION 65536
/* corners further out than 8192 cells are drawn in to there: products of differences stay below
 * 2^61 */
#define FAR (1ll << 29)

void voxel_turn_axes(int r, int order[3], int sign[3])
{
	static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		                          { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	/* an odd order is a mirror image by itself: it takes an odd number of minuses */
	static const int even[4][3] = { { 1, 1, 1 }, { 1, -1, -1 }, { -1, 1, -1 }, { -1, -1, 1 } };
	static const int odd[4][3] = { { 1, 1, -1 }, { 1, -1, 1 }, { -1, 1, 1 }, { -1, -1, -1 } };
	int o = r / 4;
	bool is_even = o == 0 || o == 3 || o == 4;

	memcpy(order, orders[o], sizeof(orders[o]));
	memcpy(sign, is_even ? even[r % 4] : odd[r % 4], sizeof(even[0]));
}

void voxel_turn(int r, int turn[3][3])
{
	int order[3], sign[3];

	voxel_turn_axes(r, order, sign);
	memset(turn, 0, 9 * sizeof(int));
	for (int i = 0; i < 3; i++)
		turn[i][order[i]] = sign[i];
}

int voxels_open(struct voxels *v, int n, const double lo[3], const double hi[3], struct err *e)
{
	struct voxels o = { .n = n, .words = (n + 63) / 64 };
	double longest = 0;

	for (int i = 0; i < 3; i++)
		longest = fmax(longest, hi[i] - lo[i]);
	if (!(longest > 0))
		longest = 1;
	for (int i = 0; i < 3; i++) {
		double len = hi[i] - lo[i], least = longest * 1e-6;
		o.lo[i] = len >= least ? lo[i] : (lo[i] + hi[i] - least) / 2;
		o.cell[i] = fmax(len, least) / n;
	}
	o.bits = calloc((size_t)n * (size_t)n * (size_t)o.words, sizeof(*o.bits));
	if (!o.bits)
		return err_set(e, ERR_MEM, "no memory for %d x %d x %d voxels", n, n, n);
	*v = o;
	return 0;
}

void voxels_release(struct voxels *v)
{
	free(v->bits);
	*v = (struct voxels){ 0 };
}

/* What one solid has set so far. */
struct crossings {
	uint64_t *bits; /* as struct voxels */
	uint8_t *odd;   /* per column: crossed an odd number of times */
	int x0, x1, y0, y1;
};

static int64_t fixed(double cells)
{
	double f = cells * FRACTION;

	if (!(f > -(double)FAR))
		return -FAR;
	if (f > (double)FAR)
		return FAR;
	return llrint(f);
}

/* floor(a / b), b > 0 */
static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return q - (a % b < 0);
}

/* The edge from p to q has its triangle on the left. Narrows [*from, *upto], columns of the row at
 * @y, to those on that side; of points on the edge itself, one of the two triangles that share it
 * gets them, as if every column stood a hair to the right and a smaller hair above. */
static bool clip_row(const int64_t p[2], const int64_t q[2], int64_t y, int64_t *from,
                     int64_t *upto)
{
	int64_t dx = q[0] - p[0], dy = q[1] - p[1];
	/* left: dx * (y - p.y) - dy * (x - p.x) > 0, or 0 and ours */
	bool ours = dy < 0 || (dy == 0 && dx > 0);
	int64_t c = dx * (y - p[1]) + dy * p[0] - (ours ? 0 : 1);

	if (dy == 0)
		return c >= 0;
	if (dy > 0) { /* x <= c / dy */
		int64_t last = floor_div(floor_div(c, dy), FRACTION);
		if (last < *upto)
			*upto = last;
	} else { /* x >= -c / -dy, upwards to the next column */
		int64_t first = -floor_div(floor_div(c, -dy), FRACTION);
		if (first > *from)
			*from = first;
	}
	return *from <= *upto;
}

static void cross_at(const struct voxels *v, struct crossings *c, int x, int y, double z)
{
	size_t column = (size_t)y * (size_t)v->n + (size_t)x;
	double first = ceil(z);

	c->odd[column] ^= 1;
	if (first >= v->n)
		return;
	int k = first > 0 ? (int)first : 0;
	c->bits[column * (size_t)v->words + (size_t)k / 64] ^= 1ull << (k % 64);
}

/* @p: corners in cells, a whole number being the middle of one. */
static void add_triangle(const struct voxels *v, struct crossings *c, double p[3][3])
{
	int64_t f[3][2], low = INT64_MAX, high = INT64_MIN, left = INT64_MAX, right = INT64_MIN;

	for (int i = 0; i < 3; i++) {
		f[i][0] = fixed(p[i][0]);
		f[i][1] = fixed(p[i][1]);
		left = f[i][0] < left ? f[i][0] : left;
		right = f[i][0] > right ? f[i][0] : right;
		low = f[i][1] < low ? f[i][1] : low;
		high = f[i][1] > high ? f[i][1] : high;
	}
	int64_t area = (f[1][0] - f[0][0]) * (f[2][1] - f[0][1]) -
	               (f[1][1] - f[0][1]) * (f[2][0] - f[0][0]);
	if (area == 0)
		return;
	int b = area > 0 ? 1 : 2, d = area > 0 ? 2 : 1;
	int64_t y0 = -floor_div(-low, FRACTION), y1 = floor_div(high, FRACTION);
	int64_t x0 = -floor_div(-left, FRACTION), x1 = floor_div(right, FRACTION);
	y0 = y0 > 0 ? y0 : 0;
	x0 = x0 > 0 ? x0 : 0;
	y1 = y1 < v->n - 1 ? y1 : v->n - 1;
	x1 = x1 < v->n - 1 ? x1 : v->n - 1;
	if (x0 > x1 || y0 > y1)
		return;
	/* z over the plane of the triangle, from its corners as they are and not as rounded */
	double ux = p[1][0] - p[0][0], uy = p[1][1] - p[0][1], uz = p[1][2] - p[0][2];
	double wx = p[2][0] - p[0][0], wy = p[2][1] - p[0][1], wz = p[2][2] - p[0][2];
	double det = ux * wy - uy * wx, zx = 0, zy = 0;
	double zmin = fmin(p[0][2], fmin(p[1][2], p[2][2]));
	double zmax = fmax(p[0][2], fmax(p[1][2], p[2][2]));
	if (det != 0) {
		zx = (uz * wy - uy * wz) / det;
		zy = (ux * wz - uz * wx) / det;
	}
	for (int64_t y = y0; y <= y1; y++) {
		int64_t from = x0, upto = x1, at = y * FRACTION;
		if (!clip_row(f[0], f[b], at, &from, &upto) ||
		    !clip_row(f[b], f[d], at, &from, &upto) ||
		    !clip_row(f[d], f[0], at, &from, &upto))
			continue;
		double z = p[0][2] + zy * ((double)y - p[0][1]) + zx * ((double)from - p[0][0]);
		for (int64_t x = from; x <= upto; x++, z += zx)
			cross_at(v, c, (int)x, (int)y, fmin(fmax(z, zmin), zmax));
		c->x0 = from < c->x0 ? (int)from : c->x0;
		c->x1 = upto > c->x1 ? (int)upto : c->x1;
		c->y0 = y < c->y0 ? (int)y : c->y0;
		c->y1 = y > c->y1 ? (int)y : c->y1;
	}
}

static uint64_t running_xor(uint64_t w)
{
	for (int s = 1; s < 64; s *= 2)
		w ^= w << s;
	return w;
}

/* The crossings of one solid become its inside, are united with what is there, and are forgotten.
 */
static void end_solid(struct voxels *v, struct crossings *c, long *shared)
{
	uint64_t all = v->n % 64 ? (1ull << (v->n % 64)) - 1 : ~0ull;

	for (int y = c->y0; y <= c->y1; y++)
		for (int x = c->x0; x <= c->x1; x++) {
			size_t column = (size_t)y * (size_t)v->n + (size_t)x;
			uint64_t *cross = c->bits + column * (size_t)v->words, carry = 0;
			uint64_t *to = v->bits + column * (size_t)v->words;
			for (int k = 0; k < v->words; k++) {
				uint64_t in = running_xor(cross[k]) ^ carry;
				carry = in >> 63 ? ~0ull : 0;
				if (k == v->words - 1)
					in &= all;
				cross[k] = 0;
				if (c->odd[column])
					continue;
				*shared += __builtin_popcountll(to[k] & in);
				to[k] |= in;
			}
			c->odd[column] = 0;
		}
	c->x0 = c->y0 = v->n;
	c->x1 = c->y1 = -1;
}

int voxels_fill(struct voxels *v, const struct facets *f, const int order[3], long *shared,
                struct err *e)
{
	static const int as_it_is[3] = { 0, 1, 2 };
	size_t columns = (size_t)v->n * (size_t)v->n;
	struct crossings c = { .x0 = v->n, .x1 = -1, .y0 = v->n, .y1 = -1 };
	long twice = 0;

	if (!order)
		order = as_it_is;
	c.bits = calloc(columns * (size_t)v->words, sizeof(*c.bits));
	c.odd = calloc(columns, 1);
	if (!c.bits || !c.odd) {
		free(c.bits);
		free(c.odd);
		return err_set(e, ERR_MEM, "no memory for %d x %d x %d voxels", v->n, v->n, v->n);
	}
	for (size_t i = 0; i < f->n; i++) {
		double p[3][3];
		if (i > 0 && f->solid_of && f->solid_of[i] != f->solid_of[i - 1])
			end_solid(v, &c, &twice);
		for (int k = 0; k < 3; k++)
			for (int a = 0; a < 3; a++)
				p[k][a] = (f->xyz[9 * i + 3 * (size_t)k + (size_t)order[a]] -
				           v->lo[a]) /
				                  v->cell[a] -
				          0.5;
		add_triangle(v, &c, p);
	}
	end_solid(v, &c, &twice);
	free(c.bits);
	free(c.odd);
	if (shared)
		*shared = twice;
	return 0;
}

long voxels_count(const struct voxels *v)
{
	size_t words = (size_t)v->n * (size_t)v->n * (size_t)v->words;
	long n = 0;

	for (size_t i = 0; i < words; i++)
		n += __builtin_popcountll(v->bits[i]);
	return n;
}

long voxels_shared(const struct voxels *a, const struct voxels *b)
{
	size_t words = (size_t)a->n * (size_t)a->n * (size_t)a->words;
	long n = 0;

	for (size_t i = 0; i < words; i++)
		n += __builtin_popcountll(a->bits[i] & b->bits[i]);
	return n;
}

double voxels_iou(const struct voxels *a, const struct voxels *b)
{
	long both = voxels_shared(a, b), any = voxels_count(a) + voxels_count(b) - both;

	return any ? (double)both / (double)any : 0;
}

static uint64_t reversed(uint64_t w)
{
	w = (w >> 1 & 0x5555555555555555u) | (w & 0x5555555555555555u) << 1;
	w = (w >> 2 & 0x3333333333333333u) | (w & 0x3333333333333333u) << 2;
	w = (w >> 4 & 0x0f0f0f0f0f0f0f0fu) | (w & 0x0f0f0f0f0f0f0f0fu) << 4;
	return __builtin_bswap64(w);
}

/* Word @k of a column, turned over when @flip. */
static uint64_t column_word(const uint64_t *column, const struct voxels *v, int k, bool flip)
{
	if (!flip)
		return column[k];
	if (v->n % 64 == 0)
		return reversed(column[v->words - 1 - k]);
	/* n is 32 more than a multiple of 64 */
	uint64_t high = reversed(column[v->words - 1 - k]) >> 32;
	uint64_t low = k + 1 < v->words ? reversed(column[v->words - 2 - k]) << 32 : 0;
	return high | low;
}

long voxels_shared_flipped(const struct voxels *a, const int sign[3], const struct voxels *b)
{
	long n = 0;

	for (int y = 0; y < a->n; y++)
		for (int x = 0; x < a->n; x++) {
			int fx = sign[0] < 0 ? a->n - 1 - x : x,
			    fy = sign[1] < 0 ? a->n - 1 - y : y;
			const uint64_t *p = a->bits + ((size_t)fy * (size_t)a->n + (size_t)fx) *
			                                      (size_t)a->words;
			const uint64_t *q =
				b->bits + ((size_t)y * (size_t)a->n + (size_t)x) * (size_t)a->words;
			for (int k = 0; k < a->words; k++)
				n += __builtin_popcountll(column_word(p, a, k, sign[2] < 0) & q[k]);
		}
	return n;
}

bool voxels_get(const struct voxels *v, int x, int y, int z)
{
	const uint64_t *p = v->bits + ((size_t)y * (size_t)v->n + (size_t)x) * (size_t)v->words;

	return p[z / 64] >> (z % 64) & 1;
}
