/*
 * editor.h - the user's editor: $VISUAL, $EDITOR, else the system's.
 */
#ifndef SRC_EDITOR_H
#define SRC_EDITOR_H

#include "src/base/err.h"

/* Opens @path in it and waits. The variables are read as a shell does, so that they may have flags.
 * The terminal must be free. 0; -1 (ERR_LACKS: no such editor, ERR_IO: it did not end well). */
int editor_open(const char *path, struct err *e);

#endif
