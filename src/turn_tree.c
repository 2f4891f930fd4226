#include "src/turn_tree.h"

#include <stdbool.h>
#include <stdlib.h>

/* Children in a linked list, of which the one that goes on comes last. */
struct node {
	int parent, first, last, next; /* indexes; -1: none */
	int depth;
	bool to_best; /* the best turn, or above it */
};

static int find(const struct turn_node *v, int n, int number)
{
	int lo = 0, hi = n;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;
		if (v[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && v[lo].number == number ? lo : -1;
}

static void hang(struct node *t, int *first, int *last, int i)
{
	t[i].next = -1;
	if (*last >= 0)
		t[*last].next = i;
	else
		*first = i;
	*last = i;
}

/* The child that leads to the best becomes the last one. */
static void put_last(struct node *t, struct node *parent)
{
	int before = -1, i = parent->first;

	while (i >= 0 && !t[i].to_best) {
		before = i;
		i = t[i].next;
	}
	if (i < 0 || i == parent->last)
		return;
	if (before >= 0)
		t[before].next = t[i].next;
	else
		parent->first = t[i].next;
	hang(t, &parent->first, &parent->last, i);
}

int turn_tree(const struct turn_node *v, int n, int best, int *order, int *depth, struct err *e)
{
	struct node *t = calloc((size_t)n + 1, sizeof(*t));
	int first = -1, last = -1, rows = 0;

	if (!t)
		return err_set(e, ERR_MEM, "no memory for a tree of %d turns", n);
	for (int i = 0; i < n; i++)
		t[i].first = t[i].last = t[i].next = -1;
	for (int i = 0; i < n; i++) {
		t[i].parent =
			v[i].parent > 0 && v[i].parent < v[i].number ? find(v, n, v[i].parent) : -1;
		if (t[i].parent >= 0)
			hang(t, &t[t[i].parent].first, &t[t[i].parent].last, i);
		else
			hang(t, &first, &last, i);
	}
	for (int i = find(v, n, best); i >= 0; i = t[i].parent)
		t[i].to_best = true;
	for (int i = 0; i < n; i++)
		put_last(t, &t[i]);
	/* down to the first child, else to the next sibling of it or of what is above */
	for (int i = first; i >= 0;) {
		int p = t[i].parent;
		t[i].depth = p < 0 ? 0 : t[p].depth + (t[p].last != i);
		order[rows] = i;
		depth[rows++] = t[i].depth;
		if (t[i].first >= 0) {
			i = t[i].first;
			continue;
		}
		while (i >= 0 && t[i].next < 0)
			i = t[i].parent;
		if (i >= 0)
			i = t[i].next;
	}
	free(t);
	return 0;
}
