/*
 * evaluation_inside.h - how an item comes about, turn by turn: the same while it is asked for
 * (evaluation.c) and when it is read from the store (evaluation_read.c).
 */
#ifndef SRC_EVALUATION_INSIDE_H
#define SRC_EVALUATION_INSIDE_H

#include "src/evaluation.h"

void evaluation_item_none(struct evaluation_item *i, int task, int seed);
/* The next turn; when it is the best so far, i->best is its number. @tokens -1: not known. */
void evaluation_item_turn(struct evaluation_item *i, int number, bool built, double total,
                          enum build_class cls, bool clipped, int tokens);
/* What only the score of the best turn knows: validity, IoU, distance. */
void evaluation_item_score(struct evaluation_item *i, const cJSON *score);

#endif
