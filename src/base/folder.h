/*
 * folder.h - a folder of files that is there whole or not at all.
 *
 * It is made beside its place under a name of its own, and renamed when all is in it and on the
 * disk. A crash leaves at most the unfinished one, NAME.XXXXXX, which nothing reads; an error
 * removes it.
 */
#ifndef BASE_FOLDER_H
#define BASE_FOLDER_H

#include <stdint.h>

#include "src/base/buf.h"

struct new_folder {
	char *dir;  /* where it is to be */
	char *made; /* where its files go until then */
};

/* @dir must not exist, or be an empty folder: ERR_INPUT says so otherwise. Its parent must. The
 * disk must have room for @bytes (0: not looked at): ERR_IO tells both figures. */
int new_folder_begin(struct new_folder *f, const char *dir, uint64_t bytes, struct err *e);
/* The path of a file in it, into @out; NULL with @e when memory ran out. */
const char *new_folder_path(const struct new_folder *f, const char *name, struct buf *out,
                            struct err *e);
/* Copies one regular file of at most @max bytes into it, under the same name. 1; 0 when @from_dir
 * has none of that name; -1. */
int new_folder_copy(const struct new_folder *f, const char *from_dir, const char *name, size_t max,
                    struct err *e);
/* Puts it on the disk and in its place. After an error too, @f is as after new_folder_drop(). */
int new_folder_end(struct new_folder *f, struct err *e);
/* Removes what there is of it; safe on {0}, twice, and after the end. */
void new_folder_drop(struct new_folder *f);

#endif
