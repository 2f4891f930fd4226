#include "engine/exact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exact_solids.h"
#include "engine/probe.h"
#include "engine/topology.h"

/* ---- the request ---- */

static int number_in(const cJSON *o, const char *key, double min, double max, double def,
                     double *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	*out = def;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= min && v->valuedouble <= max))
		return err_set(e, ERR_INPUT, "exact: %s: a number from %g to %g wanted", key, min,
		               max);
	*out = v->valuedouble;
	return 0;
}

/* A number, [min, max] with null for an open end, or null. */
static int count_in(const cJSON *o, const char *key, struct range *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	const cJSON *low = cJSON_GetArrayItem(v, 0), *high = cJSON_GetArrayItem(v, 1);

	out->min = out->max = NAN;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (cJSON_IsNumber(v) && v->valuedouble >= 0) {
		out->min = out->max = v->valuedouble;
		return 0;
	}
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2 ||
	    !(cJSON_IsNull(low) || cJSON_IsNumber(low)) ||
	    !(cJSON_IsNull(high) || cJSON_IsNumber(high)))
		return err_set(e, ERR_INPUT, "exact: %s: a count, [min, max] or null wanted", key);
	out->min = cJSON_IsNumber(low) ? low->valuedouble : 0;
	out->max = cJSON_IsNumber(high) ? high->valuedouble : INFINITY;
	if (!(out->min >= 0 && out->min <= out->max))
		return err_set(e, ERR_INPUT, "exact: %s: [%g, %g] is no range", key, out->min,
		               out->max);
	return 0;
}

int exact_request_parse(struct exact_request *out, cJSON *json, struct err *e)
{
	struct exact_request r = { .json = json };
	const char *way = json_string_or(json, "orientation", "free");
	const cJSON *c = cJSON_GetObjectItemCaseSensitive(json, "constants");
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(json, "checks");
	double reference;

	if (!cJSON_IsObject(json)) {
		err_set(e, ERR_INPUT, "exact: an object wanted");
		goto fail;
	}
	r.fixed = strcmp(way, "fixed") == 0;
	if (!r.fixed && strcmp(way, "free") != 0) {
		err_set(e, ERR_INPUT, "exact: orientation: '%.40s' is neither free nor fixed", way);
		goto fail;
	}
	if (count_in(json, "solids", &r.solids, e) < 0 ||
	    count_in(json, "genus", &r.genus, e) < 0 ||
	    number_in(json, "reference", 0, UINT32_MAX, 0, &reference, e) < 0 ||
	    number_in(c, "touch_mm", 0, 1e6, 0.05, &r.constants.touch_mm, e) < 0 ||
	    number_in(c, "iou_weight", 0, 1, 0.6, &r.constants.iou_weight, e) < 0 ||
	    number_in(c, "chamfer_scale", 1e-9, 1e9, 0.02, &r.constants.chamfer_scale, e) < 0)
		goto fail;
	r.reference = (uint32_t)reference;
	if (checks && !cJSON_IsNull(checks) &&
	    checks_parse(&r.checks, checks, "exact: checks", e) < 0)
		goto fail;
	*out = r;
	return 0;
fail:
	cJSON_Delete(json);
	*out = (struct exact_request){ 0 };
	return -1;
}

void exact_request_release(struct exact_request *r)
{
	checks_release(&r->checks);
	cJSON_Delete(r->json);
	*r = (struct exact_request){ 0 };
}

/* ---- triangles ---- */

static bool has_box(const struct geometry *g)
{
	for (int a = 0; a < 3; a++)
		if (!isfinite(g->box_min_mm[a]) || !isfinite(g->box_max_mm[a]))
			return false;
	return true;
}

/* 0 when the shape has no box of its own. */
static double deflection(const struct geometry *g)
{
	double sum = 0;

	if (!has_box(g))
		return 0;
	for (int a = 0; a < 3; a++) {
		double len = g->box_max_mm[a] - g->box_min_mm[a];
		sum += len * len;
	}
	return fmax(EXACT_LINEAR * sqrt(sum), 1e-6);
}

int exact_mesh(const struct shape *s, const struct geometry *g, long triangles_max,
               struct soup *out, enum shape_fault *fault, struct err *e)
{
	double linear = deflection(g);

	/* without a box: a share of each edge's own size, as the kernel offers it */
	return shape_mesh(s, linear > 0 ? linear : 0.01, !(linear > 0), EXACT_ANGULAR,
	                  triangles_max, out, fault, e);
}

/* ---- terms ---- */

static double ratio(double got, const struct range *want)
{
	if (isnan(want->min))
		return 1;
	if (!(got >= 0))
		return 0;
	if (got < want->min)
		return got / want->min;
	if (got > want->max)
		return want->max / got;
	return 1;
}

static void add_range(cJSON *o, const char *key, const struct range *r)
{
	const double both[2] = { r->min, r->max };

	if (r->min == r->max || isnan(r->min))
		json_add_figure(o, key, r->min);
	else
		json_add_figures(o, key, both, 2);
}

static const char *wanted(char *text, size_t cap, const struct range *r)
{
	if (r->min == r->max)
		snprintf(text, cap, "%g", r->min);
	else if (isinf(r->max))
		snprintf(text, cap, "%g or more", r->min);
	else
		snprintf(text, cap, "%g to %g", r->min, r->max);
	return text;
}

static const char *plural(double n)
{
	return n == 1 ? "" : "s";
}

/* The sentences that are true, one after the other. */
static void topology_why(struct buf *b, const struct exact_request *r, const struct geometry *g,
                         const struct exact_edges *x)
{
	char text[80];

	if (g->solids == 0)
		buf_adds(b, "there is no solid, only faces: close the surface into a solid; ");
	else if (!g->closed)
		buf_adds(b, "a shell is open: sew or fill its gap; ");
	if (x->free)
		buf_printf(b, "%ld edge%s belong%s to one face alone: close the gap there; ",
		           x->free, plural((double)x->free), x->free == 1 ? "s" : "");
	if (x->non_manifold)
		buf_printf(b,
		           "%ld edge%s shared by more than two faces: let parts overlap or stand "
		           "apart there, not meet in a line; ",
		           x->non_manifold, x->non_manifold == 1 ? " is" : "s are");
	if (!g->valid)
		buf_adds(b, "the CAD kernel finds the B-rep invalid: look for faces that cross "
		            "themselves, too large fillets, sweeps that fold; ");
	if (g->solids > 0 && !(g->volume_mm3 > 0))
		buf_adds(b, "its volume is not positive: a solid is inside out or flat; ");
	if (ratio(g->solids, &r->solids) < 1)
		buf_printf(b, "expected %s solid%s, found %d%s; ",
		           wanted(text, sizeof(text), &r->solids), plural(r->solids.max), g->solids,
		           g->solids > r->solids.max ? ": union what belongs together" : "");
	if (ratio(g->genus, &r->genus) < 1) {
		buf_printf(b, "expected genus %s (passages through the part), found ",
		           wanted(text, sizeof(text), &r->genus));
		if (g->genus < 0)
			buf_adds(b, "none that is defined; ");
		else
			buf_printf(b, "%d; ", g->genus);
	}
	if (b->len >= 2)
		b->data[b->len -= 2] = '\0';
}

static void add_topology(cJSON *o, const struct exact_request *r, const struct geometry *g,
                         const struct exact_edges *x)
{
	bool whole = g->valid && g->closed && x->free == 0 && x->non_manifold == 0 &&
	             g->solids > 0 && g->volume_mm3 > 0;
	double solids = ratio(g->solids, &r->solids), genus = ratio(g->genus, &r->genus);
	struct buf why = { 0 };

	cJSON_AddNumberToObject(o, "topology", whole ? solids * genus : 0);
	cJSON *d = cJSON_AddObjectToObject(o, "topology_details");
	cJSON_AddBoolToObject(d, "valid", g->valid);
	cJSON_AddBoolToObject(d, "closed", g->closed);
	cJSON_AddNumberToObject(d, "free_edges", (double)x->free);
	cJSON_AddNumberToObject(d, "non_manifold_edges", (double)x->non_manifold);
	json_add_figure(d, "volume_mm3", g->volume_mm3);
	cJSON_AddNumberToObject(d, "solids", g->solids);
	add_range(d, "solids_wanted", &r->solids);
	json_add_figure(d, "solids_ratio", isnan(r->solids.min) ? NAN : solids);
	json_add_figure(d, "genus", g->genus < 0 ? NAN : g->genus);
	add_range(d, "genus_wanted", &r->genus);
	json_add_figure(d, "genus_ratio", isnan(r->genus.min) ? NAN : genus);
	topology_why(&why, r, g, x);
	json_add_text(d, "why", why.len ? buf_str(&why) : NULL);
	buf_release(&why);
}

/* "12.5, 0, -3": to a hundredth, which is what a person can act on. */
static const char *place(char *text, size_t cap, const double p[3], const char *between)
{
	double r[3];

	for (int a = 0; a < 3; a++)
		r[a] = round(p[a] * 100) / 100 + 0.0; /* and no minus zero */
	snprintf(text, cap, "%.8g%s%.8g%s%.8g", r[0], between, r[1], between, r[2]);
	return text;
}

static void add_contact(cJSON *o, const struct exact_contact *c)
{
	double score = c->groups ? fmax(0, 1.0 / c->groups - c->overlap) : 0;
	char why[480] = "", at[80], size[80];
	size_t n = 0;

	cJSON_AddNumberToObject(o, "contact", score);
	cJSON *d = cJSON_AddObjectToObject(o, "contact_details");
	cJSON_AddNumberToObject(d, "solids", c->solids);
	cJSON_AddNumberToObject(d, "groups", c->groups);
	cJSON_AddNumberToObject(d, "overlap", c->overlap);
	if (c->groups > 1) {
		cJSON *l = cJSON_AddObjectToObject(d, "loose");
		json_add_figures(l, "at_mm", c->loose_at_mm, 3);
		json_add_figures(l, "size_mm", c->loose_mm, 3);
		json_add_figure(l, "gap_mm", c->gap_mm);
		n = (size_t)snprintf(why, sizeof(why),
		                     "the solids stand in %d groups that do not touch; the "
		                     "smallest, %s mm about (%s), ",
		                     c->groups, place(size, sizeof(size), c->loose_mm, " x "),
		                     place(at, sizeof(at), c->loose_at_mm, ", "));
		n += c->gap_mm > 0
		             ? (size_t)snprintf(why + n, sizeof(why) - n,
		                                "is at least %.3g mm from the rest: move it there "
		                                "or join them",
		                                c->gap_mm)
		             : (size_t)snprintf(why + n, sizeof(why) - n,
		                                "misses the rest by more than %g mm: let them "
		                                "overlap or meet, and union them",
		                                c->touch_mm);
	} else {
		cJSON_AddNullToObject(d, "loose");
	}
	if (c->overlap > 0)
		snprintf(
			why + n, sizeof(why) - n,
			"%sone solid lies with %.0f %% of it in another, about (%s): cut it to fit, "
			"or union the two",
			n ? "; " : "", fmax(1, 100 * c->overlap),
			place(at, sizeof(at), c->overlap_at_mm, ", "));
	if (c->solids == 0)
		snprintf(why, sizeof(why), "there is no solid");
	cJSON_AddNumberToObject(d, "by_mesh", c->by_mesh);
	json_add_text(d, "why", why[0] ? why : NULL);
}

static int add_mesh(cJSON *o, const struct soup *soup, struct err *e)
{
	struct topology t;
	struct mesh m;

	if (mesh_from_soup(&m, soup, e) < 0)
		return -1;
	mesh_normalize(&m); /* degenerate is a matter of size */
	int rc = topology_measure(&t, &m, e);
	mesh_release(&m);
	if (rc < 0)
		return -1;
	cJSON *d = cJSON_AddObjectToObject(o, "mesh");
	cJSON_AddNumberToObject(d, "vertices", (double)t.vertices);
	cJSON_AddNumberToObject(d, "triangles", (double)t.triangles);
	cJSON_AddNumberToObject(d, "components", (double)t.components);
	cJSON_AddNumberToObject(d, "boundary_edges", (double)t.boundary_edges);
	cJSON_AddNumberToObject(d, "non_manifold_edges", (double)t.non_manifold_edges);
	cJSON_AddNumberToObject(d, "degenerate_faces", (double)t.degenerate_faces);
	cJSON_AddBoolToObject(d, "watertight", t.watertight);
	cJSON_AddBoolToObject(d, "winding_consistent", t.winding_consistent);
	topology_release(&t);
	return 0;
}

/* ---- all of it ---- */

struct work {
	const struct exact_request *r;
	const struct shape *s;
	const struct geometry *g;
	const struct exact_reference *ref;
	struct probe probe;
	struct facets facets; /* of the probe */
	double lo[3], hi[3];
	int rotation;
};

static enum shape_fault fault_of(const struct err *e)
{
	return e->kind == ERR_MEM ? SHAPE_NO_MEMORY : SHAPE_DAMAGED;
}

/* Clearance of the loosest joint that the task declares; -1: none. */
static double joint_clearance(const struct check_list *l)
{
	double most = -1;

	for (int i = 0; i < l->n; i++)
		if (l->checks[i].kind == CHECK_JOINT)
			most = fmax(most, l->checks[i].clearance_mm);
	return most;
}

static void probe_facets(const struct probe *p, struct facets *f, double lo[3], double hi[3])
{
	*f = (struct facets){ .xyz = p->xyz, .solid_of = p->solid_of, .n = p->n_tri };
	memcpy(lo, p->box_min_mm, sizeof(p->box_min_mm));
	memcpy(hi, p->box_max_mm, sizeof(p->box_max_mm));
}

static int add_checks(cJSON *o, const struct work *w, struct err *e)
{
	const struct check_list *l = &w->r->checks;
	cJSON *best = NULL;
	int rotation = 0;
	double share = NAN;

	if (l->n == 0) {
		cJSON_AddNullToObject(o, "semantic_parts");
		cJSON_AddArrayToObject(o, "checks");
		cJSON_AddNumberToObject(o, "checks_rotation", 0);
		return 0;
	}
	best = checks_evaluate(l, &w->probe, e);
	if (!best)
		return -1;
	share = checks_share(best);
	if (w->rotation != 0) {
		struct probe turned;
		int turn[3][3];
		voxel_turn(w->rotation, turn);
		if (probe_open(&turned, w->s, w->g, turn, e) < 0) {
			cJSON_Delete(best);
			return -1;
		}
		cJSON *results = checks_evaluate(l, &turned, e);
		probe_release(&turned);
		if (!results) {
			cJSON_Delete(best);
			return -1;
		}
		if (checks_share(results) > share) {
			share = checks_share(results);
			rotation = w->rotation;
			cJSON_Delete(best);
			best = results;
		} else {
			cJSON_Delete(results);
		}
	}
	json_add_figure(o, "semantic_parts", fmin(fmax(share, 0), 1));
	cJSON_AddItemToObject(o, "checks", best);
	cJSON_AddNumberToObject(o, "checks_rotation", rotation);
	return 0;
}

static int add_match(cJSON *o, const struct work *w, struct err *e)
{
	static const char *const names[EXACT_OUTLINES] = { "front", "right", "top", "isometric" };
	struct exact_match m = {
		.iou = NAN, .chamfer_mm = NAN, .similarity = NAN, .silhouette = NAN
	};
	int order[3], sign[3], rc = 0;
	double len[3];

	if (w->ref) {
		double *placed = exact_placed(&w->facets, w->lo, w->hi, w->rotation);
		struct facets f = { .xyz = placed,
			            .solid_of = w->facets.solid_of,
			            .n = w->facets.n };
		if (!placed)
			return err_set(e, ERR_MEM, "no memory for %zu triangles", w->facets.n);
		voxel_turn_axes(w->rotation, order, sign);
		for (int a = 0; a < 3; a++)
			len[a] = w->hi[order[a]] - w->lo[order[a]];
		rc = exact_compare(&m, w->ref, &f, len, &w->r->constants, e);
		free(placed);
	}
	if (rc < 0)
		return -1;
	json_add_figure(o, "reference_similarity", m.similarity);
	json_add_figure(o, "iou", m.iou);
	json_add_figure(o, "chamfer_mm", m.chamfer_mm);
	json_add_figure(o, "silhouette", m.silhouette);
	if (w->ref) {
		cJSON *d = cJSON_AddObjectToObject(o, "outlines");
		for (int i = 0; i < EXACT_OUTLINES; i++)
			json_add_figure(d, names[i], m.outline_iou[i]);
	} else {
		cJSON_AddNullToObject(o, "outlines");
	}
	cJSON_AddNumberToObject(o, "rotation", w->rotation);
	json_add_figure(o, "reference_faces",
	                w->ref && w->ref->faces > 0 ? (double)w->ref->faces : NAN);
	return 0;
}

cJSON *exact_measure(const struct exact_request *r, const struct shape *s, const struct geometry *g,
                     const struct soup *soup, const struct exact_reference *ref,
                     enum shape_fault *fault, struct err *e)
{
	struct work w = { .r = r, .s = s, .g = g, .ref = ref };
	struct exact_contact contact;
	struct exact_edges edges;
	cJSON *o = cJSON_CreateObject();

	*fault = SHAPE_SOUND;
	if (!o) {
		*fault = SHAPE_NO_MEMORY;
		err_set(e, ERR_MEM, "no memory for the answer");
		return NULL;
	}
	if (exact_count_edges(s, &edges, fault, e) < 0)
		goto fail;
	add_topology(o, r, g, &edges);
	if (probe_open(&w.probe, s, g, NULL, e) < 0) {
		*fault = fault_of(e);
		goto fail;
	}
	probe_facets(&w.probe, &w.facets, w.lo, w.hi);
	if (exact_find_contact(s, &w.facets, deflection(g), r->constants.touch_mm,
	                       joint_clearance(&r->checks), &contact, fault, e) < 0)
		goto fail;
	add_contact(o, &contact);
	if (ref && !r->fixed && exact_rotation(ref, &w.facets, w.lo, w.hi, &w.rotation, e) < 0) {
		*fault = fault_of(e);
		goto fail;
	}
	if (add_checks(o, &w, e) < 0 || add_match(o, &w, e) < 0 || add_mesh(o, soup, e) < 0) {
		*fault = fault_of(e);
		goto fail;
	}
	cJSON_AddNumberToObject(o, "faces", g->faces);
	probe_release(&w.probe);
	return o;
fail:
	probe_release(&w.probe);
	cJSON_Delete(o);
	return NULL;
}

/* ---- references ---- */

int exact_prepare_shape(struct exact_reference *out, const struct shape *s,
                        const struct geometry *g, enum shape_fault *fault, struct err *e)
{
	double lo[3], hi[3];
	struct facets f;
	struct probe p;

	*fault = SHAPE_SOUND;
	if (probe_open(&p, s, g, NULL, e) < 0) {
		*fault = fault_of(e);
		return -1;
	}
	probe_facets(&p, &f, lo, hi);
	int rc = exact_reference_make(out, &f, lo, hi, g->faces, e);
	probe_release(&p);
	if (rc < 0)
		*fault = fault_of(e);
	return rc;
}

int exact_prepare_soup(struct exact_reference *out, const struct soup *s, enum shape_fault *fault,
                       struct err *e)
{
	struct facets f = { 0 };
	double *xyz = NULL, lo[3], hi[3];
	int *solid_of = NULL;

	*fault = SHAPE_SOUND;
	if (exact_solids_of_soup(s, &xyz, &solid_of, &f.n, e) < 0) {
		*fault = fault_of(e);
		return -1;
	}
	f.xyz = xyz;
	f.solid_of = solid_of;
	facets_box(&f, lo, hi);
	int rc = exact_reference_make(out, &f, lo, hi, 0, e);
	if (rc < 0)
		*fault = fault_of(e);
	free(xyz);
	free(solid_of);
	return rc;
}
