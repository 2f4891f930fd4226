/*
 * corpus_families.h - the families, a file a kind. corpus_families.c says which training sees.
 */
#ifndef CORPUS_FAMILIES_H
#define CORPUS_FAMILIES_H

#include "src/corpus_inside.h"

extern const struct family family_stator;                            /* corpus_round.c */
extern const struct family family_table, family_chair, family_bench; /* corpus_furniture.c */
extern const struct family family_plate;                             /* corpus_simple.c */

#endif
