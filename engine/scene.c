/*
 * Depth and shade of a pixel are one number, depth above shade, so that the nearer of two fragments
 * is the greater number and drawing is a maximum. Edges are drawn last, as ink, against that depth.
 */
#include "engine/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUB_BITS  4
#define SUB       (1 << SUB_BITS) /* steps of a pixel */
#define SHARP_COS 0.88            /* two surfaces that meet at less than 28 degrees are one round */
/* around a vertex; the hub of a wheel of spokes is flat anyway */
#define FAN_MAX   48
#define FEW       16
#define DEPTH_TOP ((1u << 24) - 2)

/* ---- making a scene ---- */

static uint32_t mix(uint32_t h, uint32_t k)
{
	k *= 0xcc9e2d51u;
	k = k << 15 | k >> 17;
	h ^= k * 0x1b873593u;
	h = h << 13 | h >> 19;
	return h * 5 + 0xe6546b64u;
}

static uint32_t hash_corner(const float p[3])
{
	uint32_t bits[3], h;

	memcpy(bits, p, sizeof(bits));
	h = mix(mix(mix(0, bits[0]), bits[1]), bits[2]);
	return h ^ h >> 16;
}

static size_t table_size(size_t n)
{
	size_t size = 64;

	while (size < 2 * n)
		size *= 2;
	return size;
}

static bool corner_of(const double *from, float to[3])
{
	/* + 0: there is one zero */
	to[0] = (float)from[0] + 0.0f;
	to[1] = (float)from[1] + 0.0f;
	to[2] = (float)from[2] + 0.0f;
	return isfinite(to[0]) && isfinite(to[1]) && isfinite(to[2]);
}

static int weld(struct scene *s, const double *xyz, size_t n, struct err *e)
{
	size_t size = table_size(3 * n);
	uint32_t *table = malloc(size * sizeof(*table));

	s->v = malloc(sizeof(*s->v) * 9 * (n ? n : 1));
	s->t = malloc(sizeof(*s->t) * 3 * (n ? n : 1));
	if (!table || !s->v || !s->t) {
		free(table);
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", n);
	}
	memset(table, 0xff, size * sizeof(*table));
	for (size_t i = 0; i < n; i++) {
		uint32_t *t = &s->t[3 * s->n_tri];
		float p[3][3];
		if (!corner_of(xyz + 9 * i, p[0]) || !corner_of(xyz + 9 * i + 3, p[1]) ||
		    !corner_of(xyz + 9 * i + 6, p[2]))
			continue;
		for (int k = 0; k < 3; k++) {
			size_t at = hash_corner(p[k]) & (size - 1);
			while (table[at] != UINT32_MAX &&
			       memcmp(&s->v[3 * (size_t)table[at]], p[k], sizeof(p[k])) != 0)
				at = (at + 1) & (size - 1);
			if (table[at] == UINT32_MAX) {
				table[at] = (uint32_t)s->n_vert;
				memcpy(&s->v[3 * s->n_vert++], p[k], sizeof(p[k]));
			}
			t[k] = table[at];
		}
		if (t[0] != t[1] && t[1] != t[2] && t[2] != t[0])
			s->n_tri++;
	}
	free(table);
	return 0;
}

/* Normals, and only such triangles as have one. */
static int face_normals(struct scene *s, struct err *e)
{
	size_t kept = 0;

	s->face = malloc(sizeof(*s->face) * 3 * (s->n_tri ? s->n_tri : 1));
	if (!s->face)
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", s->n_tri);
	for (size_t i = 0; i < s->n_tri; i++) {
		const float *a = &s->v[3 * (size_t)s->t[3 * i]],
			    *b = &s->v[3 * (size_t)s->t[3 * i + 1]],
			    *c = &s->v[3 * (size_t)s->t[3 * i + 2]];
		double u[3], w[3];
		for (int k = 0; k < 3; k++) {
			u[k] = (double)b[k] - a[k];
			w[k] = (double)c[k] - a[k];
		}
		double n[3] = { u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2],
			        u[0] * w[1] - u[1] * w[0] };
		double len = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
		if (!(len > 0) || !isfinite(len))
			continue;
		for (int k = 0; k < 3; k++) {
			s->face[3 * kept + (size_t)k] = (float)(n[k] / len);
			s->t[3 * kept + (size_t)k] = s->t[3 * i + (size_t)k];
		}
		kept++;
	}
	s->n_tri = kept;
	if (kept == 0)
		return err_set(e, ERR_INPUT, "there is no triangle to be seen");
	return 0;
}

static float face_dot(const struct scene *s, size_t i, size_t j)
{
	const float *a = &s->face[3 * i], *b = &s->face[3 * j];

	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static int find_edges(struct scene *s, struct err *e)
{
	size_t size = table_size(3 * s->n_tri);
	uint32_t *table = malloc(size * sizeof(*table));

	s->edge = malloc(sizeof(*s->edge) * 3 * s->n_tri);
	if (!table || !s->edge) {
		free(table);
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", s->n_tri);
	}
	memset(table, 0xff, size * sizeof(*table));
	s->closed = true;
	for (size_t i = 0; i < s->n_tri; i++)
		for (int k = 0; k < 3; k++) {
			uint32_t a = s->t[3 * i + (size_t)k], b = s->t[3 * i + (size_t)(k + 1) % 3];
			uint32_t lo = a < b ? a : b, hi = a < b ? b : a;
			size_t at = mix(mix(0, lo), hi);
			at = (at ^ at >> 15) & (size - 1);
			/* a third triangle at an edge begins another edge there */
			while (table[at] != UINT32_MAX) {
				const struct scene_edge *x = &s->edge[table[at]];
				if (x->a == lo && x->b == hi && x->t1 == UINT32_MAX)
					break;
				at = (at + 1) & (size - 1);
			}
			if (table[at] == UINT32_MAX) {
				table[at] = (uint32_t)s->n_edge;
				s->edge[s->n_edge++] = (struct scene_edge){ lo, hi, (uint32_t)i,
					                                    UINT32_MAX, true };
				continue;
			}
			struct scene_edge *x = &s->edge[table[at]];
			x->t1 = (uint32_t)i;
			x->sharp = face_dot(s, x->t0, i) < (float)SHARP_COS;
			/* both triangles go along it in one direction: one is turned over */
			for (int m = 0; m < 3; m++)
				if (s->t[3 * (size_t)x->t0 + (size_t)m] == a &&
				    s->t[3 * (size_t)x->t0 + (size_t)(m + 1) % 3] == b)
					s->closed = false;
		}
	for (size_t i = 0; i < s->n_edge && s->closed; i++)
		s->closed = s->edge[i].t1 != UINT32_MAX;
	free(table);
	return 0;
}

/* At each corner the mean of the faces around the vertex that belong to the same round. */
static int round_normals(struct scene *s, struct err *e)
{
	uint32_t *first = calloc(s->n_vert + 1, sizeof(*first));
	uint32_t *around = malloc(sizeof(*around) * 3 * s->n_tri);

	s->round = malloc(sizeof(*s->round) * 9 * s->n_tri);
	if (!first || !around || !s->round) {
		free(first);
		free(around);
		return err_set(e, ERR_MEM, "out of memory for %zu triangles", s->n_tri);
	}
	for (size_t i = 0; i < 3 * s->n_tri; i++)
		first[s->t[i] + 1]++;
	for (size_t i = 0; i < s->n_vert; i++)
		first[i + 1] += first[i];
	for (size_t i = 3 * s->n_tri; i-- > 0;)
		around[--first[s->t[i] + 1]] = (uint32_t)(i / 3);
	/* first[v + 1] is now where v's begin */
	for (size_t i = 0; i < 3 * s->n_tri; i++) {
		uint32_t v = s->t[i], from = first[v + 1],
			 to = v + 2 <= s->n_vert ? first[v + 2] : (uint32_t)(3 * s->n_tri);
		const float *own = &s->face[3 * (i / 3)];
		float x = 0, y = 0, z = 0, *out = &s->round[3 * i];
		for (uint32_t j = from; j < to && to - from <= FAN_MAX; j++) {
			const float *n = &s->face[3 * (size_t)around[j]];
			if (own[0] * n[0] + own[1] * n[1] + own[2] * n[2] < (float)SHARP_COS)
				continue;
			x += n[0];
			y += n[1];
			z += n[2];
		}
		float len = sqrtf(x * x + y * y + z * z);
		out[0] = len > 0 ? x / len : own[0];
		out[1] = len > 0 ? y / len : own[1];
		out[2] = len > 0 ? z / len : own[2];
	}
	free(first);
	free(around);
	return 0;
}

int scene_open(struct scene *s, const double *xyz, size_t n_tri, struct err *e)
{
	*s = (struct scene){ 0 };
	if (n_tri > UINT32_MAX / 16)
		return err_set(e, ERR_INPUT, "%zu triangles are too many for a picture", n_tri);
	if (weld(s, xyz, n_tri, e) < 0 || face_normals(s, e) < 0 || find_edges(s, e) < 0 ||
	    round_normals(s, e) < 0) {
		scene_release(s);
		return -1;
	}
	for (int k = 0; k < 3; k++) {
		s->lo[k] = INFINITY;
		s->hi[k] = -INFINITY;
	}
	for (size_t i = 0; i < 3 * s->n_tri; i++)
		for (int k = 0; k < 3; k++) {
			double x = s->v[3 * (size_t)s->t[i] + (size_t)k];
			s->lo[k] = x < s->lo[k] ? x : s->lo[k];
			s->hi[k] = x > s->hi[k] ? x : s->hi[k];
		}
	return 0;
}

void scene_release(struct scene *s)
{
	free(s->v);
	free(s->t);
	free(s->face);
	free(s->round);
	free(s->edge);
	*s = (struct scene){ 0 };
}

/* ---- cameras ---- */

const char *side_view_name(enum side_view v)
{
	static const char *const names[VIEW_SIDES] = { "front", "back", "left",
		                                       "right", "top",  "isometric" };

	return names[v];
}

void camera_fit(struct camera *c, enum side_view v, const double lo[3], const double hi[3])
{
	/* isometric: from the front, the right and above */
	const double h = 0.70710678118654752, r = 0.40824829046386302, d = 0.57735026918962576;
	const double axes[VIEW_SIDES][3][3] = {
		[VIEW_FRONT] = { { 1, 0, 0 }, { 0, 0, 1 }, { 0, -1, 0 } },
		[VIEW_BACK] = { { -1, 0, 0 }, { 0, 0, 1 }, { 0, 1, 0 } },
		[VIEW_LEFT] = { { 0, -1, 0 }, { 0, 0, 1 }, { -1, 0, 0 } },
		[VIEW_RIGHT] = { { 0, 1, 0 }, { 0, 0, 1 }, { 1, 0, 0 } },
		[VIEW_TOP] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } },
		[VIEW_ISOMETRIC] = { { h, h, 0 }, { -r, r, 2 * r }, { d, -d, d } },
	};
	double half[3], diagonal = 0;

	memcpy(c->axis, axes[v], sizeof(c->axis));
	for (int k = 0; k < 3; k++) {
		c->middle[k] = (lo[k] + hi[k]) / 2;
		diagonal += (hi[k] - lo[k]) * (hi[k] - lo[k]);
	}
	for (int i = 0; i < 3; i++) {
		half[i] = 0;
		for (int k = 0; k < 3; k++)
			half[i] += fabs(c->axis[i][k]) * (hi[k] - lo[k]) / 2;
	}
	double least = sqrt(diagonal) * 1e-6 + 1e-9;
	c->px_per_mm = fmin(c->w / (2 * fmax(half[0], least)), c->h / (2 * fmax(half[1], least)));
	double reach = half[2] * 1.01 + least, at = 0;
	for (int k = 0; k < 3; k++)
		at += c->axis[2][k] * c->middle[k];
	c->depth_mm[0] = at - reach;
	c->depth_mm[1] = at + reach;
}

void camera_project(const struct camera *c, const double p[3], double out[3])
{
	double q[3] = { 0, 0, 0 };

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			q[i] += c->axis[i][k] * (p[k] - (i < 2 ? c->middle[k] : 0));
	out[0] = c->x + c->w / 2.0 + q[0] * c->px_per_mm;
	out[1] = c->y + c->h / 2.0 - q[1] * c->px_per_mm;
	out[2] = q[2];
}

/* ---- surfaces ---- */

int depth_open(struct depth *d, int w, int h, struct err *e)
{
	size_t n = (size_t)w * (size_t)h;

	if (n > d->room) {
		depth_release(d);
		d->key = malloc(n * sizeof(*d->key));
		d->hue = malloc(n);
		d->inside = malloc(n);
		if (!d->key || !d->hue || !d->inside) {
			depth_release(d);
			return err_set(e, ERR_MEM, "out of memory for a picture of %d x %d pixels",
			               w, h);
		}
		d->room = n;
	}
	d->w = w;
	d->h = h;
	memset(d->key, 0, n * sizeof(*d->key));
	memset(d->inside, 0, n);
	return 0;
}

void depth_release(struct depth *d)
{
	free(d->key);
	free(d->hue);
	free(d->inside);
	*d = (struct depth){ 0 };
}

/* A triangle on the frame. */
struct flat {
	int32_t x[3], y[3];           /* sixteenths of a pixel, in the frame */
	int64_t area;                 /* twice, signed */
	int left, right, top, bottom; /* the pixels whose middles may be covered */
	double z[3];                  /* in steps of the depth buffer, 1 to DEPTH_TOP */
	double shade[3];              /* 0 to 255 */
};

/* What is the same for all fragments of one triangle. */
struct plane {
	double z0, zx, zy; /* at pixel (x, y): z0 + zx * x + zy * y */
	double s0, sx, sy;
};

struct drawing {
	const struct scene_look *l;
	struct depth *d;
	uint32_t cut; /* in steps; 0: none */
};

/* A lamp at the upper left, a weaker one at the right; where they and the viewer are for the part.
 */
struct lamps {
	double at[2][3], viewer[3];
};

static void lamps_hang(struct lamps *l, const struct camera *c)
{
	static const double lamp[2][3] = { { -0.42, 0.62, 0.6628 }, { 0.78, -0.12, 0.6142 } };

	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < 2; i++)
			l->at[i][k] = lamp[i][0] * c->axis[0][k] + lamp[i][1] * c->axis[1][k] +
			              lamp[i][2] * c->axis[2][k];
		l->viewer[k] = c->axis[2][k];
	}
}

static inline double along(const double a[3], const float n[3])
{
	return a[0] * n[0] + a[1] * n[1] + a[2] * n[2];
}

/* What turns away is lit as its back is; and some light comes from everywhere. */
static double shade_of(const struct lamps *l, const float n[3])
{
	double side = along(l->viewer, n) < 0 ? -1 : 1, first = along(l->at[0], n) * side,
	       second = along(l->at[1], n) * side;
	double sum = 0.4 + (first > 0 ? first * 0.52 : 0) + (second > 0 ? second * 0.2 : 0);

	return sum < 1 ? 255 * sum : 255;
}

static enum hue hue_at(const struct drawing *g, int x, int y, double z)
{
	const struct camera *c = g->l->camera;
	double q[3] = { (x + 0.5 - c->w / 2.0) / c->px_per_mm,
		        (c->h / 2.0 - y - 0.5) / c->px_per_mm,
		        c->depth_mm[0] + (z - 1) / DEPTH_TOP * (c->depth_mm[1] - c->depth_mm[0]) };
	double p[3];

	for (int k = 0; k < 3; k++)
		q[2] -= c->axis[2][k] * c->middle[k];
	for (int k = 0; k < 3; k++)
		p[k] = c->middle[k] + c->axis[0][k] * q[0] + c->axis[1][k] * q[1] +
		       c->axis[2][k] * q[2];
	return g->l->hues->of(g->l->hues->ctx, p);
}

/* Depth above shade. */
static inline uint32_t fragment(float z, float s)
{
	z = z < 1 ? 1 : z > (float)DEPTH_TOP ? (float)DEPTH_TOP : z;
	s = s < 0 ? 0 : s > 255 ? 255 : s;
	return (uint32_t)(int32_t)z << 8 | (uint32_t)(int32_t)s;
}

/* The pixels from @x0 up to @x1 of row @y. @front as rounding has left it: a sliver that was turned
 * over takes back what its neighbours have too much. */
static void draw_span(const struct drawing *g, const struct plane *p, bool front, int x0, int x1,
                      int y)
{
	size_t row = (size_t)y * (size_t)g->d->w;
	uint32_t *key = g->d->key + row;
	float z = (float)(p->z0 + p->zy * y), s = (float)(p->s0 + p->sy * y), zx = (float)p->zx,
	      sx = (float)p->sx;

	if (!g->cut && !g->l->hues) {
		for (int x = x0; x < x1; x++) {
			uint32_t k = fragment(z + zx * (float)x, s + sx * (float)x);
			key[x] = k > key[x] ? k : key[x];
		}
		return;
	}
	for (int x = x0; x < x1; x++) {
		uint32_t k = fragment(z + zx * (float)x, s + sx * (float)x), zi = k >> 8;
		if (g->cut && zi > g->cut) {
			int8_t *in = &g->d->inside[row + (size_t)x];
			if (front ? *in < INT8_MAX : *in > INT8_MIN)
				*in = (int8_t)(*in + (front ? 1 : -1));
			continue;
		}
		if (k <= key[x])
			continue;
		if (g->l->hues) {
			enum hue hue = hue_at(g, x, y, zi);
			if (g->l->only_marked && hue == HUE_PART)
				continue;
			g->d->hue[row + (size_t)x] = (uint8_t)hue;
		}
		key[x] = k;
	}
}

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return q * b > a ? q - 1 : q;
}

static int32_t least3(const int32_t v[3])
{
	int32_t m = v[0] < v[1] ? v[0] : v[1];

	return m < v[2] ? m : v[2];
}

static int32_t most3(const int32_t v[3])
{
	int32_t m = v[0] > v[1] ? v[0] : v[1];

	return m > v[2] ? m : v[2];
}

/* False when it cannot cover the middle of a pixel. */
static bool flat_setup(struct flat *f, const struct depth *d)
{
	f->area = (int64_t)(f->x[1] - f->x[0]) * (f->y[2] - f->y[0]) -
	          (int64_t)(f->x[2] - f->x[0]) * (f->y[1] - f->y[0]);
	/* first and last middle of a pixel in the box; shifts of negative numbers round down */
	f->left = (least3(f->x) + SUB / 2 - 1) >> SUB_BITS;
	f->right = (most3(f->x) - SUB / 2) >> SUB_BITS;
	f->top = (least3(f->y) + SUB / 2 - 1) >> SUB_BITS;
	f->bottom = (most3(f->y) - SUB / 2) >> SUB_BITS;
	f->left = f->left < 0 ? 0 : f->left;
	f->top = f->top < 0 ? 0 : f->top;
	f->right = f->right > d->w - 1 ? d->w - 1 : f->right;
	f->bottom = f->bottom > d->h - 1 ? d->h - 1 : f->bottom;
	return f->area != 0 && f->left <= f->right && f->top <= f->bottom;
}

/* Where few pixels are in question each is asked: that is quicker than dividing. */
static void draw_few(const struct drawing *g, const struct flat *f, const struct plane *p,
                     const int64_t a[3], const int64_t b[3], const int64_t c[3])
{
	bool plain = !g->cut && !g->l->hues;
	float zx = (float)p->zx, sx = (float)p->sx;

	for (int y = f->top; y <= f->bottom; y++) {
		uint32_t *key = g->d->key + (size_t)y * (size_t)g->d->w;
		int64_t e0 = c[0] + b[0] * y + a[0] * f->left,
			e1 = c[1] + b[1] * y + a[1] * f->left,
			e2 = c[2] + b[2] * y + a[2] * f->left;
		float z = (float)(p->z0 + p->zy * y), s = (float)(p->s0 + p->sy * y);
		for (int x = f->left; x <= f->right; x++, e0 += a[0], e1 += a[1], e2 += a[2]) {
			if ((e0 | e1 | e2) < 0)
				continue;
			if (!plain) {
				draw_span(g, p, f->area < 0, x, x + 1, y);
				continue;
			}
			uint32_t k = fragment(z + zx * (float)x, s + sx * (float)x);
			key[x] = k > key[x] ? k : key[x];
		}
	}
}

/* A pixel is covered when its middle is; a middle on a side belongs to the triangle whose left or
 * upper side that is, so that of two neighbours one has it. */
static void draw_flat(const struct drawing *g, const struct flat *f)
{
	int64_t a[3], b[3], c[3];
	int32_t xs[3], ys[3];
	const int left = f->left, right = f->right;

	for (int i = 0; i < 3; i++) {
		int k = f->area < 0 ? (3 - i) % 3 : i;
		xs[i] = f->x[k];
		ys[i] = f->y[k];
	}
	for (int i = 0; i < 3; i++) {
		int j = (i + 1) % 3;
		a[i] = ys[i] - ys[j];
		b[i] = xs[j] - xs[i];
		/* y grows downwards: sides that go up are left ones, level ones to the right are
		 * upper ones */
		bool owns = a[i] > 0 || (a[i] == 0 && b[i] > 0);
		c[i] = -(a[i] * xs[i] + b[i] * ys[i]) - (owns ? 0 : 1);
		/* at middles of pixels, per pixel */
		c[i] += (a[i] + b[i]) * (SUB / 2);
		a[i] *= SUB;
		b[i] *= SUB;
	}
	/* depth and shade are planes over the frame */
	double x0 = f->x[0] / (double)SUB, y0 = f->y[0] / (double)SUB;
	double ux = (f->x[1] - f->x[0]) / (double)SUB, uy = (f->y[1] - f->y[0]) / (double)SUB,
	       wx = (f->x[2] - f->x[0]) / (double)SUB, wy = (f->y[2] - f->y[0]) / (double)SUB;
	double det = 1 / (ux * wy - uy * wx);
	double dz1 = f->z[1] - f->z[0], dz2 = f->z[2] - f->z[0], ds1 = f->shade[1] - f->shade[0],
	       ds2 = f->shade[2] - f->shade[0];
	struct plane p;
	p.zx = (dz1 * wy - dz2 * uy) * det;
	p.zy = (dz2 * ux - dz1 * wx) * det;
	p.sx = (ds1 * wy - ds2 * uy) * det;
	p.sy = (ds2 * ux - ds1 * wx) * det;
	p.z0 = f->z[0] + p.zx * (0.5 - x0) + p.zy * (0.5 - y0);
	p.s0 = f->shade[0] + p.sx * (0.5 - x0) + p.sy * (0.5 - y0);
	if (right - left < FEW) {
		draw_few(g, f, &p, a, b, c);
		return;
	}
	for (int y = f->top; y <= f->bottom; y++) {
		int from = left, to = right;
		for (int i = 0; i < 3; i++) {
			int64_t at = c[i] + b[i] * y; /* and a * x: not below 0 */
			if (a[i] > 0) {
				int64_t x = -floor_div(at, a[i]);
				from = x > from ? (x > to ? to + 1 : (int)x) : from;
			} else if (a[i] < 0) {
				int64_t x = floor_div(at, -a[i]);
				to = x < to ? (x < from ? from - 1 : (int)x) : to;
			} else if (at < 0) {
				to = from - 1;
			}
		}
		if (from <= to)
			draw_span(g, &p, f->area < 0, from, to + 1, y);
	}
}

static double depth_steps(const struct camera *c, double mm)
{
	double f = (mm - c->depth_mm[0]) / (c->depth_mm[1] - c->depth_mm[0]);

	return 1 + (f < 0 ? 0 : f > 1 ? 1 : f) * (DEPTH_TOP - 1);
}

static float view_dot(const struct camera *c, const float n[3])
{
	return (float)(c->axis[2][0] * n[0] + c->axis[2][1] * n[1] + c->axis[2][2] * n[2]);
}

/* Of each triangle whether it is turned to the viewer. NULL: out of memory. */
static uint8_t *turned_to(const struct scene *s, const struct camera *c)
{
	uint8_t *out = malloc(s->n_tri);

	for (size_t i = 0; out && i < s->n_tri; i++)
		out[i] = view_dot(c, &s->face[3 * i]) > 0;
	return out;
}

/* A vertex on the frame. */
struct spot {
	int32_t x, y;
	float z;
};

static int32_t sixteenths(double px)
{
	/* far outside is as good as anywhere outside, and stays in range */
	const double far = 4.0 * CANVAS_MAX, up = 8.0 * CANVAS_MAX * SUB;

	/* truncation of what is positive is quicker than rounding */
	return (int32_t)((px < -far ? -far : px > far ? far : px) * SUB + (up + 0.5)) - (int32_t)up;
}

static struct spot *project_all(const struct scene *s, const struct camera *c)
{
	struct spot *out = malloc(sizeof(*out) * s->n_vert);
	double m[3][4];

	for (int i = 0; i < 3; i++) {
		double scale = i == 0   ? c->px_per_mm
		               : i == 1 ? -c->px_per_mm
		                        : (DEPTH_TOP - 1) / (c->depth_mm[1] - c->depth_mm[0]);
		m[i][3] = i == 0 ? c->w / 2.0 : i == 1 ? c->h / 2.0 : 1 - c->depth_mm[0] * scale;
		for (int k = 0; k < 3; k++) {
			m[i][k] = c->axis[i][k] * scale;
			m[i][3] -= i < 2 ? m[i][k] * c->middle[k] : 0;
		}
	}
	for (size_t i = 0; out && i < s->n_vert; i++) {
		double x = s->v[3 * i], y = s->v[3 * i + 1], z = s->v[3 * i + 2];
		double right = m[0][0] * x + m[0][1] * y + m[0][2] * z + m[0][3];
		double down = m[1][0] * x + m[1][1] * y + m[1][2] * z + m[1][3];
		double near = m[2][0] * x + m[2][1] * y + m[2][2] * z + m[2][3];
		near = near < 1 ? 1 : near > DEPTH_TOP ? DEPTH_TOP : near;
		out[i] = (struct spot){ sixteenths(right), sixteenths(down), (float)near };
	}
	return out;
}

int scene_surfaces(const struct scene *s, const struct scene_look *l, struct depth *d,
                   struct err *e)
{
	const struct camera *c = l->camera;
	struct drawing g = { l, d, 0 };
	struct lamps lamps;
	struct spot *spots = project_all(s, c);

	if (!spots)
		return err_set(e, ERR_MEM, "out of memory for a picture");
	lamps_hang(&lamps, c);
	if (!isnan(l->cut_mm))
		g.cut = (uint32_t)depth_steps(c, l->cut_mm);
	for (size_t i = 0; i < s->n_tri; i++) {
		struct flat f;
		if (l->cull && view_dot(c, &s->face[3 * i]) <= 0)
			continue;
		for (int k = 0; k < 3; k++) {
			const struct spot *p = &spots[s->t[3 * i + (size_t)k]];
			f.x[k] = p->x;
			f.y[k] = p->y;
			f.z[k] = p->z;
		}
		/* most triangles of a fine mesh cover no middle of a pixel at all */
		if (!flat_setup(&f, d))
			continue;
		for (int k = 0; k < 3; k++)
			f.shade[k] = shade_of(&lamps, &s->round[9 * i + 3 * (size_t)k]);
		draw_flat(&g, &f);
	}
	free(spots);
	/* the cut face hides what is behind it */
	for (size_t i = 0; g.cut && i < (size_t)d->w * (size_t)d->h; i++)
		if (d->inside[i] > 0)
			d->key[i] = g.cut << 8;
	return 0;
}

void scene_show(const struct depth *d, const struct scene_look *l, struct canvas *c)
{
	const struct camera *cam = l->camera;
	bool cut = !isnan(l->cut_mm);

	/* the frame's columns and rows that lie on the canvas */
	int left = cam->x < 0 ? -cam->x : 0, top = cam->y < 0 ? -cam->y : 0;
	int right = cam->x + d->w > c->w ? c->w - cam->x : d->w;
	int bottom = cam->y + d->h > c->h ? c->h - cam->y : d->h;

	for (int y = top; y < bottom; y++) {
		size_t at = (size_t)y * (size_t)d->w;
		uint8_t *hue = c->hue + (size_t)(cam->y + y) * (size_t)c->w + cam->x,
			*level = c->level + (size_t)(cam->y + y) * (size_t)c->w + cam->x;
		const uint32_t *key = d->key + at;
		for (int x = left; x < right; x++) {
			uint64_t two[2];
			if (!cut && x + 4 <= right &&
			    (memcpy(two, key + x, 16), !(two[0] | two[1]))) {
				x += 3;
				continue;
			}
			if (cut && d->inside[at + (size_t)x] > 0) {
				int stripe = (x + y) % 9;
				hue[x] = HUE_CUT;
				level[x] = stripe == 0                  ? 150
				           : stripe == 1 || stripe == 8 ? 205
				                                        : 255;
			} else if (key[x]) {
				hue[x] = l->hues ? d->hue[at + (size_t)x] : HUE_PART;
				level[x] = (uint8_t)key[x];
			}
		}
	}
}

/* ---- edges ---- */

/* Whether an edge that deep is seen there; @marked: on what is marked alone. */
static bool seen(const struct depth *d, int x, int y, double z, bool marked)
{
	if (x < 0 || y < 0 || x >= d->w || y >= d->h)
		return false;
	size_t at = (size_t)y * (size_t)d->w + (size_t)x;
	if (marked && (!d->key[at] || d->hue[at] != HUE_MISSING))
		return false;
	return (double)(d->key[at] >> 8) <= z;
}

/* From @p to @q (frame pixels, depth steps). @slack: how much nearer than the edge a surface may
 * stand that it belongs to. */
static void edge_line(const struct depth *d, const struct camera *cam, struct canvas *c,
                      const double p[3], const double q[3], double slack, double width, int darkest,
                      bool marked)
{
	bool steep = fabs(q[1] - p[1]) > fabs(q[0] - p[0]);
	const double *from = p, *to = q;
	int m = steep ? 1 : 0, n = steep ? 0 : 1;

	if (from[m] > to[m]) {
		from = q;
		to = p;
	}
	double run = to[m] - from[m], slope = run > 0 ? (to[n] - from[n]) / run : 0,
	       rise = run > 0 ? (to[2] - from[2]) / run : 0;
	double across = 1 / sqrt(1 + slope * slope), r = width / 2 + 0.5;
	int major = steep ? d->h : d->w, minor = steep ? d->w : d->h;
	double lo = fmax(from[m] - 0.5, 0), hi = fmin(to[m] + 0.5, major);

	for (int a = (int)floor(lo); a < hi; a++) {
		double t = a + 0.5 - from[m];
		t = t < 0 ? 0 : t > run ? run : t;
		double b = from[n] + slope * t, z = from[2] + rise * t + slack;
		double end = fmin(a + 1, to[m] + 0.5) - fmax(a, from[m] - 0.5);
		int k = (int)floor(b);
		/* the surface that it bounds may be on one side alone */
		if (!(steep ? seen(d, k, a, z, marked) || seen(d, k - 1, a, z, marked) ||
		                      seen(d, k + 1, a, z, marked)
		            : seen(d, a, k, z, marked) || seen(d, a, k - 1, z, marked) ||
		                      seen(d, a, k + 1, z, marked)))
			continue;
		for (int i = k - 1; i <= k + 1; i++) {
			int x = cam->x + (steep ? i : a), y = cam->y + (steep ? a : i);
			if (i < 0 || i >= minor || x < 0 || y < 0 || x >= c->w || y >= c->h)
				continue;
			double cover = r - fabs(i + 0.5 - b) * across;
			canvas_ink(c, x, y, fmin(cover, 1) * fmin(end, 1), darkest);
		}
	}
}

static void to_frame(const struct camera *c, const float *v, double out[3])
{
	const double p[3] = { v[0], v[1], v[2] };

	camera_project(c, p, out);
	out[0] -= c->x;
	out[1] -= c->y;
}

/* Where triangles go through the cutting plane. */
static void cut_outline(const struct scene *s, const struct scene_look *l, const struct depth *d,
                        struct canvas *c)
{
	const struct camera *cam = l->camera;

	for (size_t i = 0; i < s->n_tri; i++) {
		double q[3][3], cross[3][3];
		int n = 0;
		for (int k = 0; k < 3; k++)
			to_frame(cam, &s->v[3 * (size_t)s->t[3 * i + (size_t)k]], q[k]);
		for (int k = 0; k < 3 && n < 2; k++) {
			const double *u = q[k], *w = q[(k + 1) % 3];
			if ((u[2] > l->cut_mm) == (w[2] > l->cut_mm))
				continue;
			double t = (l->cut_mm - u[2]) / (w[2] - u[2]);
			cross[n][0] = u[0] + t * (w[0] - u[0]);
			cross[n][1] = u[1] + t * (w[1] - u[1]);
			cross[n++][2] = DEPTH_TOP;
		}
		if (n == 2)
			edge_line(d, cam, c, cross[0], cross[1], 1, 1.4, 235, false);
	}
}

int scene_edges(const struct scene *s, const struct scene_look *l, const struct depth *d,
                struct canvas *c, struct err *e)
{
	const struct camera *cam = l->camera;
	double step = (DEPTH_TOP - 1) / (cam->depth_mm[1] - cam->depth_mm[0]);
	bool cut = !isnan(l->cut_mm);
	/* most edges are told by this alone, which stays near while their triangles do not */
	uint8_t *to_us = turned_to(s, cam);

	if (!to_us)
		return err_set(e, ERR_MEM, "out of memory for a picture");
	for (size_t i = 0; i < s->n_edge; i++) {
		const struct scene_edge *x = &s->edge[i];
		uint32_t t1 = x->t1 == UINT32_MAX ? x->t0 : x->t1;
		if (!x->sharp && to_us[x->t0] == to_us[t1])
			continue;
		if (l->cull && !to_us[x->t0] && !to_us[t1])
			continue;
		float n0 = view_dot(cam, &s->face[3 * (size_t)x->t0]);
		float n1 = view_dot(cam, &s->face[3 * (size_t)t1]);
		double p[3], q[3];
		to_frame(cam, &s->v[3 * (size_t)x->a], p);
		to_frame(cam, &s->v[3 * (size_t)x->b], q);
		if (cut) {
			double *far = p[2] < q[2] ? p : q, *near = far == p ? q : p;
			if (far[2] > l->cut_mm)
				continue;
			if (near[2] > l->cut_mm) {
				double t = (l->cut_mm - far[2]) / (near[2] - far[2]);
				for (int k = 0; k < 3; k++)
					near[k] = far[k] + t * (near[k] - far[k]);
			}
		}
		/* within a pixel and a half a surface that leans rises by its slope */
		double facing = fmax(fabs((double)n0), fabs((double)n1));
		double lean = facing > 0.35 ? sqrt(1 - fmin(facing * facing, 1)) / facing : 2.7;
		double slack = (0.3 + 1.5 * lean) / cam->px_per_mm * step;
		p[2] = depth_steps(cam, p[2]);
		q[2] = depth_steps(cam, q[2]);
		edge_line(d, cam, c, p, q, slack, x->sharp ? 1.25 : 1.1, x->sharp ? 215 : 190,
		          l->only_marked);
	}
	free(to_us);
	if (cut)
		cut_outline(s, l, d, c);
	return 0;
}
