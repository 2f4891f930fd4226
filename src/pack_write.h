/*
 * pack_write.h - writing packs: a first file for a new task, and a user's own copy of a pack that
 * is not theirs to change.
 */
#ifndef PACK_WRITE_H
#define PACK_WRITE_H

#include "src/base/buf.h"

/* Writes @dir/@id.json, a whole task that passes `tasks check --build`, and its reference; makes
 * the folder and its pack.json where they are missing. Nothing that is there is written over.
 * @path: where the task's file is now. 0, or -1 (ERR_USAGE: the name, or it is there already;
 * ERR_IO). */
int pack_new_task(struct buf *path, const char *dir, const char *id, struct err *e);

/* Copies the regular files of the pack in @from, and of its references/, to the folder @to, which
 * does not exist yet: whole or not at all. 0, or -1 (ERR_IO, ERR_INPUT, ERR_MEM). */
int pack_copy(const char *from, const char *to, struct err *e);

/* Makes the folder and those above it. */
int make_folders(const char *path, struct err *e);

#endif
