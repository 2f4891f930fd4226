/*
 * part_glb.h - a stored shape as GLB, by the scorer: for those whose triangles are not stored.
 *
 * The programs that do it are started at the first need.
 */
#ifndef SRC_PART_GLB_H
#define SRC_PART_GLB_H

#include "src/app.h"
#include "src/base/buf.h"

struct part_glb;

/* @app is borrowed, after app_find(). NULL with @e (ERR_MEM). */
struct part_glb *part_glb_open(const struct app *app, struct err *e);
void part_glb_close(struct part_glb *p); /* NULL is fine */

/* @p: a struct part_glb. @shape: binary BREP, or STEP text. Appends to @out. 0, or -1: ERR_INPUT
 * (it cannot be read, or is beyond the limits), ERR_LACKS, ERR_MEM, ERR_CANCELLED (SIGINT). */
int part_glb_make(void *p, const void *shape, size_t len, bool is_step, struct buf *out,
                  struct err *e);

#endif
