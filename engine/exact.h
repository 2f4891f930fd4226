/*
 * exact.h - the scorer's part of the exact reward: what reward-exact.md measures on the B-rep and
 * beside the reference, as one JSON object.
 *
 * Runs in the scorer's jailed child, inside engine/score_job. Asked for by WIRE_SCORE's "exact":
 *     checks       a task's checks (engine/checks.h); absent: none, and semantic_parts is null
 *     orientation  "free" (default): of the 24 rotations by axes the one that fits the reference
 *                  best; "fixed": as built
 *     solids       count that the task wants, a number or [min, max], or null
 *     genus        likewise, or null
 *     reference    id of a WIRE_REFERENCE of kind "exact", or 0
 *     constants    of the profile: touch_mm (0.05), iou_weight (0.6), chamfer_scale (0.02)
 *
 * Answer (figures that do not apply are null; all terms 0 to 1):
 *     topology, topology_details {valid, closed, free_edges, non_manifold_edges, volume_mm3,
 *         solids, solids_wanted, solids_ratio, genus, genus_wanted, genus_ratio, why}
 *     contact, contact_details {solids, groups, overlap, loose {at_mm, size_mm, gap_mm} | null,
 *         by_mesh, why}
 *     semantic_parts, checks [as checks_evaluate() gives them], checks_rotation
 *     reference_similarity, iou, chamfer_mm, silhouette, outlines {front, right, top, isometric},
 *         rotation
 *     faces, reference_faces (null where the reference is a mesh)
 *     mesh {vertices, triangles, components, boundary_edges, non_manifold_edges, degenerate_faces,
 *         watertight, winding_consistent}: of the triangles that were measured
 * why: one sentence to act on when the term is below 1, else null.
 *
 * The triangles are made here, as fine as 1/1000 of the part's diagonal and 0.2 rad, so that the
 * same part has the same ones wherever it is measured.
 *
 * checks_rotation: a part may be built in its own right way up and be taken for turned by a
 * reference of another design. So where the best fit is a rotation, the checks are evaluated as
 * built too, and the better share counts.
 */
#ifndef ENGINE_EXACT_H
#define ENGINE_EXACT_H

#include "engine/checks.h"
#include "engine/exact_match.h"
#include "engine/shape.h"

#define EXACT_LINEAR  0.001 /* of the diagonal of the box */
#define EXACT_ANGULAR 0.2   /* rad */

struct exact_request {
	cJSON *json; /* owned; the checks borrow from it */
	struct check_list checks;
	bool fixed;
	struct range solids, genus; /* NAN: not stated */
	uint32_t reference;
	struct exact_constants constants;
};

/* Takes @json (of WIRE_SCORE; given up in any case). NULL is no request: -1 too. 0, or -1
 * (ERR_INPUT naming the key, ERR_MEM) with @out empty. */
int exact_request_parse(struct exact_request *out, cJSON *json, struct err *e);
void exact_request_release(struct exact_request *r);

/* Triangles of @s for all that follows, kept in it, and as @out. @g: of shape_measure(). As
 * shape_mesh(). */
int exact_mesh(const struct shape *s, const struct geometry *g, long triangles_max,
               struct soup *out, enum shape_fault *fault, struct err *e);

/* @s with the triangles of exact_mesh(), @soup these. @ref NULL: none. Caller deletes the answer;
 * NULL with @fault and @e. */
cJSON *exact_measure(const struct exact_request *r, const struct shape *s, const struct geometry *g,
                     const struct soup *soup, const struct exact_reference *ref,
                     enum shape_fault *fault, struct err *e);

/* A reference of a shape with the triangles of exact_mesh(), or of loose triangles. 0, or -1 with
 * @fault and @e. */
int exact_prepare_shape(struct exact_reference *out, const struct shape *s,
                        const struct geometry *g, enum shape_fault *fault, struct err *e);
int exact_prepare_soup(struct exact_reference *out, const struct soup *s, enum shape_fault *fault,
                       struct err *e);

#endif
