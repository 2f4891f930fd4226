#include "engine/exact_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exact_match.h"
#include "engine/topology.h"

/* The bytes: this header, then the arrays in the order of write_arrays(), all little endian as they
 * lie in memory. */
struct header {
	char magic[4];
	uint32_t version, n_tri, n_nodes, n_solids, n_points;
	int64_t faces;
	double len_mm[3];
};

static const char magic[4] = { 'C', 'F', 'x', 'r' };

void facets_box(const struct facets *f, double lo[3], double hi[3])
{
	for (int a = 0; a < 3; a++) {
		lo[a] = f->n ? f->xyz[a] : 0;
		hi[a] = lo[a];
	}
	for (size_t i = 0; i < 3 * f->n; i++)
		for (int a = 0; a < 3; a++) {
			lo[a] = fmin(lo[a], f->xyz[3 * i + (size_t)a]);
			hi[a] = fmax(hi[a], f->xyz[3 * i + (size_t)a]);
		}
}

void exact_reference_release(struct exact_reference *r)
{
	surface_tree_release(&r->tree);
	free(r->solid_of);
	free(r->points);
	voxels_release(&r->fine);
	voxels_release(&r->coarse);
	free(r->outlines);
	*r = (struct exact_reference){ 0 };
}

static void half_box(const double len[3], double lo[3], double hi[3])
{
	for (int a = 0; a < 3; a++) {
		hi[a] = len[a] / 2;
		lo[a] = -hi[a];
	}
}

static int open_arrays(struct exact_reference *r, struct err *e)
{
	double lo[3], hi[3];

	half_box(r->len_mm, lo, hi);
	r->points = malloc(3 * EXACT_POINTS * sizeof(*r->points));
	r->outlines = malloc(EXACT_OUTLINES * sizeof(*r->outlines));
	if (!r->points || !r->outlines)
		return err_set(e, ERR_MEM, "no memory for a reference");
	if (voxels_open(&r->fine, EXACT_FINE, lo, hi, e) < 0 ||
	    voxels_open(&r->coarse, EXACT_COARSE, lo, hi, e) < 0)
		return -1;
	r->diagonal_mm = sqrt(r->len_mm[0] * r->len_mm[0] + r->len_mm[1] * r->len_mm[1] +
	                      r->len_mm[2] * r->len_mm[2]);
	return 0;
}

int exact_reference_make(struct exact_reference *out, const struct facets *f, const double lo[3],
                         const double hi[3], long faces, struct err *e)
{
	struct exact_reference r = { .faces = faces };
	double *placed = exact_placed(f, lo, hi, 0);
	struct facets own = { .xyz = placed, .solid_of = f->solid_of, .n = f->n };
	uint32_t *order = NULL;
	int rc = -1;

	if (!placed)
		return err_set(e, ERR_MEM, "no memory for a reference of %zu triangles", f->n);
	for (int a = 0; a < 3; a++)
		r.len_mm[a] = hi[a] - lo[a];
	if (open_arrays(&r, e) < 0 || surface_tree_build(&r.tree, &own, &order, e) < 0)
		goto out;
	r.solid_of = calloc(f->n, sizeof(*r.solid_of));
	if (!r.solid_of) {
		err_set(e, ERR_MEM, "no memory for a reference of %zu triangles", f->n);
		goto out;
	}
	/* numbered as they come: the caller's numbers may be any */
	uint32_t *number = calloc(f->n, sizeof(*number));
	if (!number) {
		err_set(e, ERR_MEM, "no memory for a reference of %zu triangles", f->n);
		goto out;
	}
	for (size_t i = 1; i < f->n; i++)
		number[i] = number[i - 1] +
		            (f->solid_of && f->solid_of[i] != f->solid_of[i - 1] ? 1 : 0);
	r.n_solids = number[f->n - 1] + 1;
	for (size_t i = 0; i < f->n; i++)
		r.solid_of[i] = number[order[i]];
	free(number);
	if (voxels_fill(&r.fine, &own, NULL, NULL, e) < 0 ||
	    voxels_fill(&r.coarse, &own, NULL, NULL, e) < 0 ||
	    surface_points(&own, EXACT_POINTS, EXACT_SEED, r.points, e) < 0)
		goto out;
	if (voxels_count(&r.fine) == 0) {
		err_set(e, ERR_INPUT,
		        "the reference encloses no volume: close its surface, or export a solid");
		goto out;
	}
	exact_outlines(r.outlines, &own, r.len_mm);
	*out = r;
	r = (struct exact_reference){ 0 };
	rc = 0;
out:
	exact_reference_release(&r);
	free(order);
	free(placed);
	return rc;
}

/* ---- bytes ---- */

struct part {
	void *at;
	size_t len;
};

enum { PARTS = 7 };

/* Everything but the header, in order. */
static void parts_of(const struct exact_reference *r, struct part p[PARTS])
{
	const struct voxels *v[2] = { &r->fine, &r->coarse };

	p[0] = (struct part){ r->tree.nodes, r->tree.n_nodes * sizeof(*r->tree.nodes) };
	p[1] = (struct part){ r->tree.xyz, r->tree.n * 9 * sizeof(*r->tree.xyz) };
	p[2] = (struct part){ r->solid_of, r->tree.n * sizeof(*r->solid_of) };
	p[3] = (struct part){ r->points, 3 * EXACT_POINTS * sizeof(*r->points) };
	for (int i = 0; i < 2; i++)
		p[4 + i] = (struct part){ v[i]->bits, (size_t)v[i]->n * (size_t)v[i]->n *
			                                      (size_t)v[i]->words *
			                                      sizeof(*v[i]->bits) };
	p[6] = (struct part){ r->outlines, EXACT_OUTLINES * sizeof(*r->outlines) };
}

int exact_reference_serialize(const struct exact_reference *r, struct buf *out, struct err *e)
{
	struct header h = { .version = EXACT_REFERENCE_VERSION,
		            .n_tri = (uint32_t)r->tree.n,
		            .n_nodes = (uint32_t)r->tree.n_nodes,
		            .n_solids = r->n_solids,
		            .n_points = EXACT_POINTS,
		            .faces = r->faces };
	struct part p[PARTS];

	memcpy(h.magic, magic, sizeof(magic));
	memcpy(h.len_mm, r->len_mm, sizeof(h.len_mm));
	buf_add(out, &h, sizeof(h));
	parts_of(r, p);
	for (int i = 0; i < PARTS; i++)
		buf_add(out, p[i].at, p[i].len);
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "no memory for the bytes of a reference");
	return 0;
}

static int damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_INPUT, "prepared reference: %s; prepare it again", what);
}

static bool contents_sound(const struct exact_reference *r)
{
	for (size_t i = 0; i < r->tree.n; i++)
		if (r->solid_of[i] >= r->n_solids)
			return false;
	for (int i = 0; i < 3 * EXACT_POINTS; i++)
		if (!isfinite(r->points[i]))
			return false;
	return surface_tree_sound(&r->tree);
}

int exact_reference_parse(struct exact_reference *out, const void *bytes, size_t len, struct err *e)
{
	struct exact_reference r = { 0 };
	const char *from = bytes;
	struct part p[PARTS];
	struct header h;
	size_t want = sizeof(h);
	int rc = -1;

	if (len < sizeof(h) || memcmp(bytes, magic, sizeof(magic)) != 0)
		return damaged(e, "it does not begin as one");
	memcpy(&h, bytes, sizeof(h));
	if (h.version != EXACT_REFERENCE_VERSION || h.n_points != EXACT_POINTS)
		return damaged(e, "it is of another version");
	if (h.n_tri < 1 || h.n_tri > 1u << 26 || h.n_nodes < 1 || h.n_nodes > h.n_tri ||
	    h.n_solids < 1 || h.n_solids > h.n_tri || h.faces < 0)
		return damaged(e, "its counts are none");
	for (int a = 0; a < 3; a++) {
		if (!(h.len_mm[a] >= 0 && h.len_mm[a] < 1e12))
			return damaged(e, "its box is none");
		r.len_mm[a] = h.len_mm[a];
	}
	r.faces = (long)h.faces;
	r.n_solids = h.n_solids;
	if (open_arrays(&r, e) < 0)
		goto out;
	/* sizes first: no room is made for what is not there */
	r.tree.n = h.n_tri;
	r.tree.n_nodes = h.n_nodes;
	parts_of(&r, p);
	for (int i = 0; i < PARTS; i++)
		want += p[i].len;
	if (len != want) {
		err_set(e, ERR_INPUT, "prepared reference: %zu bytes, %zu wanted; prepare it again",
		        len, want);
		goto out;
	}
	r.tree.nodes = malloc(p[0].len);
	r.tree.xyz = malloc(p[1].len);
	r.solid_of = malloc(p[2].len);
	if (!r.tree.nodes || !r.tree.xyz || !r.solid_of) {
		err_set(e, ERR_MEM, "no memory for a reference of %zu bytes", len);
		goto out;
	}
	parts_of(&r, p);
	from += sizeof(h);
	for (int i = 0; i < PARTS; i++) {
		memcpy(p[i].at, from, p[i].len);
		from += p[i].len;
	}
	if (!contents_sound(&r)) {
		damaged(e, "its contents are damaged");
		goto out;
	}
	*out = r;
	r = (struct exact_reference){ 0 };
	rc = 0;
out:
	exact_reference_release(&r);
	return rc;
}

/* ---- meshes without solids ---- */

struct piece {
	double lo[3], hi[3], volume, size;
	int solid; /* whose it is */
};

static void corner(const struct mesh *m, size_t triangle, int k, double p[3])
{
	memcpy(p, m->v + 3 * (size_t)m->t[3 * triangle + (size_t)k], 3 * sizeof(double));
}

static void measure_pieces(const struct mesh *m, const uint32_t *component_of, struct piece *piece,
                           long n)
{
	for (long i = 0; i < n; i++)
		piece[i] = (struct piece){ .lo = { INFINITY, INFINITY, INFINITY },
			                   .hi = { -INFINITY, -INFINITY, -INFINITY } };
	for (size_t i = 0; i < m->n_tri; i++) {
		struct piece *p = &piece[component_of[i]];
		double c[3][3];
		for (int k = 0; k < 3; k++) {
			corner(m, i, k, c[k]);
			for (int a = 0; a < 3; a++) {
				p->lo[a] = fmin(p->lo[a], c[k][a]);
				p->hi[a] = fmax(p->hi[a], c[k][a]);
				c[k][a] -= m->v[a]; /* near the part: digits are kept */
			}
		}
		p->volume += c[0][0] * (c[1][1] * c[2][2] - c[1][2] * c[2][1]) +
		             c[0][1] * (c[1][2] * c[2][0] - c[1][0] * c[2][2]) +
		             c[0][2] * (c[1][0] * c[2][1] - c[1][1] * c[2][0]);
	}
	for (long i = 0; i < n; i++) {
		struct piece *p = &piece[i];
		p->size = (p->hi[0] - p->lo[0]) * (p->hi[1] - p->lo[1]) * (p->hi[2] - p->lo[2]);
		p->solid = (int)i;
	}
}

static bool holds(const struct piece *outer, const struct piece *inner)
{
	for (int a = 0; a < 3; a++)
		if (inner->lo[a] < outer->lo[a] || inner->hi[a] > outer->hi[a])
			return false;
	return true;
}

/* Solids are few where cavities are; a cloud of crumbs is not worth the pairs. */
#define PIECES_MAX 4096

static void give_cavities(struct piece *piece, long n)
{
	for (long i = 0; i < n; i++) {
		long best = -1;
		if (piece[i].volume >= 0)
			continue;
		for (long k = 0; k < n; k++)
			if (piece[k].volume > 0 && holds(&piece[k], &piece[i]) &&
			    (best < 0 || piece[k].size < piece[best].size))
				best = k;
		if (best >= 0)
			piece[i].solid = (int)best;
	}
}

/* Which solid each triangle is of; NULL when out of memory. */
static uint32_t *solids_of_mesh(const struct mesh *m, struct topology *t, struct err *e)
{
	uint32_t *solid = calloc(m->n_tri, sizeof(*solid));
	bool whole = t->watertight && t->winding_consistent && t->components > 1 &&
	             t->components <= PIECES_MAX;
	struct piece *piece = whole ? malloc((size_t)t->components * sizeof(*piece)) : NULL;

	if (!solid || (whole && !piece)) {
		free(solid);
		free(piece);
		err_set(e, ERR_MEM, "no memory for a mesh of %zu triangles", m->n_tri);
		return NULL;
	}
	if (whole) {
		measure_pieces(m, t->component_of, piece, t->components);
		give_cavities(piece, t->components);
		for (size_t i = 0; i < m->n_tri; i++)
			solid[i] = (uint32_t)piece[t->component_of[i]].solid;
	}
	free(piece);
	return solid;
}

int exact_solids_of_soup(const struct soup *s, double **xyz, int **solid_of, size_t *n,
                         struct err *e)
{
	struct topology t = { 0 };
	struct mesh m = { 0 };
	uint32_t *solid = NULL, solids = 0;
	size_t *begin = NULL;
	int rc = -1;

	if (mesh_from_soup(&m, s, e) < 0)
		return -1;
	if (topology_measure(&t, &m, e) < 0)
		goto out;
	solid = solids_of_mesh(&m, &t, e);
	if (!solid)
		goto out;
	for (size_t i = 0; i < m.n_tri; i++)
		if (solid[i] >= solids)
			solids = solid[i] + 1;
	begin = calloc((size_t)solids + 1, sizeof(*begin));
	double *p = malloc(m.n_tri * 9 * sizeof(*p));
	int *of = malloc(m.n_tri * sizeof(*of));
	if (!begin || !p || !of) {
		free(p);
		free(of);
		err_set(e, ERR_MEM, "no memory for a mesh of %zu triangles", m.n_tri);
		goto out;
	}
	for (size_t i = 0; i < m.n_tri; i++)
		begin[solid[i] + 1]++;
	for (uint32_t i = 0; i < solids; i++)
		begin[i + 1] += begin[i];
	for (size_t i = 0; i < m.n_tri; i++) {
		size_t to = begin[solid[i]]++;
		of[to] = (int)solid[i];
		for (int k = 0; k < 3; k++)
			corner(&m, i, k, p + 9 * to + 3 * k);
	}
	*xyz = p;
	*solid_of = of;
	*n = m.n_tri;
	rc = 0;
out:
	free(begin);
	free(solid);
	topology_release(&t);
	mesh_release(&m);
	return rc;
}
