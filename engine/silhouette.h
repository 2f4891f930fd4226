/*
 * silhouette.h - a mesh's outline from six sides as bit masks, and how alike two masks are.
 *
 * Section 4 of the published reward. Masks agree pixel for pixel with what Pillow 12.2.0's
 * ImageDraw.polygon fills for the same triangles; tests/oracle/silhouette.py proves it.
 */
#ifndef ENGINE_SILHOUETTE_H
#define ENGINE_SILHOUETTE_H

#include <stdbool.h>

#include "engine/mesh.h"

#define MASK_SIZE  512
#define MASK_WORDS (MASK_SIZE / 64)
#define VIEW_COUNT 6 /* front back left right top isometric, in this order everywhere */

/* Row 0 on top; pixel x of a row is bit x % 64 of word x / 64. */
struct mask {
	uint64_t row[MASK_SIZE][MASK_WORDS];
};

const char *view_name(int view); /* "front" ... */
double view_weight(int view);    /* 0.18 ...; they sum to 1 */

/* Fills one triangle with whole-number corners. All corners lie in the mask; a triangle that
 * reaches out of it is not painted (views are fitted into the mask, so none does). */
void mask_triangle(struct mask *m, const int x[3], const int y[3]);
long mask_count(const struct mask *m);
bool mask_get(const struct mask *m, int x, int y);
/* Shared over joint pixels; 0 when both are empty. */
double mask_iou(const struct mask *a, const struct mask *b);

/* All triangles of @mesh (normalized) as seen in @view, fitted to the mask by its own box.
 * 0, or -1 (ERR_MEM). */
int silhouette_draw(struct mask *out, const struct mesh *mesh, int view, struct err *e);

#endif
