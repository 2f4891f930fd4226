/*
 * turn_tree.h - the turns of an episode as a tree on rows: what answers to what, and how far each
 * is indented.
 *
 * Pure. A turn answers to its parent; turns without one (the first, the siblings of a group) stand
 * at the left. Of a turn's children one goes on at its depth, below all else that hangs on it: the
 * one that leads to the best turn, or else the newest. The others are forks: one deeper, under
 * their parent, in order of their numbers, each with what hangs on it.
 */
#ifndef SRC_TURN_TREE_H
#define SRC_TURN_TREE_H

#include "src/base/err.h"

struct turn_node {
	int number, parent; /* parent 0, or a number that is not there or not lower: a root */
};

/* @v in order of their numbers. Writes the index of the turn on each row to @order[@n], and how far
 * it is indented to @depth[@n]. 0; -1 (ERR_MEM). */
int turn_tree(const struct turn_node *v, int n, int best, int *order, int *depth, struct err *e);

#endif
