/*
 * remembered.h - what came of programs that were scored already: a model's answers to one prompt
 * are often the same to the byte, and equal programs have equal scores.
 *
 * Only what the program itself decides is kept: not what a limit ended, a crash, or our own
 * machinery lost, for these may come out differently the next time.
 */
#ifndef SRC_REMEMBERED_H
#define SRC_REMEMBERED_H

#include "src/base/sha256.h"
#include "src/scoring.h"

struct remembered;

/* Room for the last @n programs that differ (1 or more). NULL: no memory. */
struct remembered *remembered_new(int n);
void remembered_free(struct remembered *m); /* NULL is fine */
void remembered_clear(struct remembered *m);

/* Whether it may be kept at all; without pictures, shapes and meshes. */
bool remembered_may(const struct scored *s);
/* Keeps a copy; what does not fit into memory, or may not be kept, is left out. */
void remembered_keep(struct remembered *m, const unsigned char key[SHA256_BYTES],
                     const struct scored *s);
/* Borrowed until the next remembered_keep(); NULL: not met yet. */
const struct scored *remembered_of(const struct remembered *m,
                                   const unsigned char key[SHA256_BYTES]);

/* All of it but pictures, shapes and meshes. -1: no memory, and @to is {0}. */
int scored_copy(struct scored *to, const struct scored *from);

#endif
