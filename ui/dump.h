/*
 * dump.h - a canvas as text, as letters of roles, as a picture: for tests, scripts and reports.
 */
#ifndef UI_DUMP_H
#define UI_DUMP_H

#include "src/base/buf.h"
#include "ui/draw.h"
#include "ui/theme.h"

/* A line a row, trailing blanks cut. */
void dump_text(const struct canvas *c, struct buf *out);
/* A letter a cell (UI_ROLES; "S" what is reversed, "p" of a picture), trailing "." cut. */
void dump_roles(const struct canvas *c, struct buf *out);
/* An SVG: text in the theme's colours, lines and blocks as shapes, so that they join. @title is for
 * readers who do not see it. */
void dump_svg(const struct canvas *c, enum theme theme, const char *title, struct buf *out);

#endif
