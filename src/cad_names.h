/*
 * cad_names.h - what exists in CadQuery, as the builder says, in a file for the code guard
 * (gpu/guard.h).
 */
#ifndef SRC_CAD_NAMES_H
#define SRC_CAD_NAMES_H

#include "src/app.h"

/* Starts a builder of its own, asks, ends it: a second or so. @out gets the JSON. 0, or -1 with @e
 * (ERR_LACKS without CadQuery, ERR_CANCELLED when interrupted). */
int cad_names(const struct app *a, struct buf *out, struct err *e);

/* The same in a new file of the temporary folder that only we may read; @path gets its name. The
 * caller unlinks it. */
int cad_names_file(const struct app *a, char *path, size_t cap, struct err *e);

#endif
