/*
 * episode_view.h - what there is to see of a turn: its stored pictures, and its part as GLB.
 *
 * The GLB is made of the stored triangles (shape.stl) here, or, where those were pruned, of the
 * stored BREP or STEP by whoever is asked to.
 */
#ifndef SRC_EPISODE_VIEW_H
#define SRC_EPISODE_VIEW_H

#include "src/base/json.h"
#include "src/store.h"

enum {
	EPISODE_PICTURES_MAX = 16,
	/* of a part in a page: 14 MB of GLB, 19 MB of the file. What has more keeps its pictures */
	EPISODE_TRIANGLES_MAX = 400000,
};

struct episode_picture {
	char name[32]; /* "front" */
	struct buf png;
};

struct episode_view {
	struct episode_picture picture[EPISODE_PICTURES_MAX]; /* isometric first */
	int n;
	struct buf glb;
	char why[300]; /* without a GLB: why there is none, a sentence */
};
void episode_view_release(struct episode_view *v); /* safe on {0} and twice */

/* Makes a GLB of a shape, binary BREP or STEP text. 0, or -1 with @e. */
struct episode_mesher {
	int (*glb)(void *ctx, const void *shape, size_t len, bool is_step, struct buf *out,
	           struct err *e);
	void *ctx;
};

/* @artifacts: of the turn, [{"name", "kind", "there"}]; one that cannot be read is from then on not
 * there, is counted in *@damaged, and is no error. @mesher: NULL: none. 0, or -1 with @e (of the
 * store, ERR_MEM). */
int episode_view_read(struct episode_view *out, struct store *s, int64_t episode, int turn,
                      bool built, cJSON *artifacts, const struct episode_mesher *mesher,
                      int *damaged, struct err *e);

#endif
