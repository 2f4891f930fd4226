/*
 * export_shape.h - the part of a stored turn as a file: STEP, STL, BREP, GLB, or the picture of it.
 *
 * What is stored goes out as it is; what is not is made of the stored BREP (or STEP), in the jails,
 * as 'cadforge build' makes it. The file is written beside its name and renamed when it is whole.
 */
#ifndef SRC_EXPORT_SHAPE_H
#define SRC_EXPORT_SHAPE_H

#include "src/app.h"
#include "src/store.h"

/* Whether the ending of @path is one of these: .step .stp .stl .brep .glb .png */
bool export_shape_named(const char *path);

struct exported_shape {
	int turn; /* that it is of */
	size_t bytes;
	bool made; /* not stored as it is: made now */
};

/* @turn 0: the best one. 0; -1: ERR_INPUT (no such turn, it did not build, its shape was pruned),
 * ERR_USAGE (the ending, or what is there is no plain file), ERR_IO, ERR_LACKS, ERR_CANCELLED. */
int export_shape(const struct app *app, struct store *s, int64_t episode, int turn,
                 const char *path, struct exported_shape *done, struct err *e);

#endif
