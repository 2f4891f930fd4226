/*
 * image.h - a picture in the terminal: as cells of the canvas, or as the terminal's own graphics
 * when these were asked for.
 *
 * Cells come from libchafa in symbol mode (block elements, foreground and background of each cell),
 * kept while picture, size and mode stay the same: converting costs a millisecond or more, drawing
 * a kept one next to nothing. In ASCII and on 8 colours they are shades of gray made of characters.
 */
#ifndef UI_IMAGE_H
#define UI_IMAGE_H

#include "src/base/buf.h"
#include "src/base/err.h"
#include "ui/draw.h"
#include "ui/ui.h"
#include "ui/view.h"

/* A picture as it was last drawn; {0} before. */
struct image_pane {
	uint64_t id;
	int w, h; /* cells */
	enum ui_image_mode mode;
	bool ascii;
	struct cell *cells; /* w * h */
};
void image_release(struct image_pane *p); /* safe on {0} and twice */

/* Draws it into @r, as large as its shape allows, in the middle. Without a picture: what would make
 * one, in words. UI_IMAGE_KITTY and UI_IMAGE_SIXEL leave the cells blank: the terminal gets the
 * picture by image_escape(), after the frame. */
void image_draw(struct image_pane *p, struct canvas *c, struct rect r, const struct view_image *im,
                enum ui_image_mode mode);
/* Cells that it takes of @r: what image_draw() fills. */
struct rect image_place(const struct view_image *im, struct rect r);
/* Pixels worth making for a room of @w x @h cells. */
void image_room(int w, int h, enum ui_image_mode mode, int *w_px, int *h_px);

/* Appends what draws it at the cursor, @w x @h cells large, in the terminal's own graphics (kitty
 * or sixel); @cell_w_px, @cell_h_px: of one cell, 0: not known. 0, or -1 (ERR_MEM). */
int image_escape(struct buf *out, const struct view_image *im, enum ui_image_mode mode, int w,
                 int h, int cell_w_px, int cell_h_px, struct err *e);
/* Appends what takes all of ours away again; nothing for sixel, whose cells are drawn over. */
void image_escape_erase(struct buf *out, enum ui_image_mode mode);
/* The mode that can be had: terminal graphics are not for multiplexers (@term: its name, @tmux and
 * @sty: what these variables hold, or NULL), which draw them in wrong places and leave traces.
 * @why says so when the answer is not @asked; else NULL. */
enum ui_image_mode image_mode_for(enum ui_image_mode asked, const char *term, const char *tmux,
                                  const char *sty, const char **why);

#endif
