/*
 * t_turn_tree.c - the turns of an episode as rows of a tree.
 */
#include "tests/lib.h"

#include "src/turn_tree.h"

/* "1 2 .3 4": numbers in rows, a dot for each step of indentation. */
static const char *rows(const struct turn_node *v, int n, int best)
{
	static char text[400];
	int order[32], depth[32], at = 0;
	struct err e = { 0 };

	assert_int_equal(turn_tree(v, n, best, order, depth, &e), 0);
	text[0] = '\0';
	for (int i = 0; i < n; i++) {
		at += snprintf(text + at, sizeof(text) - (size_t)at, i ? " " : "");
		for (int d = 0; d < depth[i]; d++)
			text[at++] = '.';
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%d", v[order[i]].number);
	}
	return text;
}

static void a_line_of_repairs_is_not_indented(void **state)
{
	static const struct turn_node v[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 3 } };

	(void)state;
	assert_string_equal(rows(v, 4, 4), "1 2 3 4");
	assert_string_equal(rows(v, 4, 2), "1 2 3 4");
	assert_string_equal(rows(v, 0, 0), "");
}

static void a_repair_that_was_left_aside_is_indented_under_its_parent(void **state)
{
	static const struct turn_node v[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 } };

	(void)state;
	assert_string_equal(rows(v, 4, 4), "1 2 .3 4");
	/* none of the two led to the best: the newest goes on */
	assert_string_equal(rows(v, 4, 2), "1 2 .3 4");
}

static void a_fork_is_indented_while_the_best_is_elsewhere(void **state)
{
	static const struct turn_node v[] = { { 1, 0 }, { 2, 1 }, { 3, 2 },
		                              { 4, 1 }, { 5, 4 }, { 6, 1 } };

	(void)state;
	assert_string_equal(rows(v, 6, 3), "1 .4 .5 .6 2 3");
	assert_string_equal(rows(v, 6, 5), "1 .2 .3 .6 4 5");
	assert_string_equal(rows(v, 6, 1), "1 .2 .3 .4 .5 6");
}

static void siblings_of_a_group_stand_at_the_left(void **state)
{
	static const struct turn_node v[] = { { 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 2 }, { 5, 2 } };

	(void)state;
	assert_string_equal(rows(v, 5, 5), "1 2 .4 5 3");
}

static void parents_that_cannot_be_make_roots(void **state)
{
	static const struct turn_node v[] = { { 1, 1 }, { 2, 9 }, { 3, 7 }, { 5, -4 }, { 7, 2 } };

	(void)state;
	assert_string_equal(rows(v, 5, 77), "1 2 7 3 5");
}

static void a_chain_of_many_turns_is_one_line(void **state)
{
	enum { N = 100000 };
	struct turn_node *v = calloc(N, sizeof(*v));
	int *order = calloc(N, sizeof(*order)), *depth = calloc(N, sizeof(*depth));
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < N; i++)
		v[i] = (struct turn_node){ i + 1, i };
	assert_int_equal(turn_tree(v, N, N / 2, order, depth, &e), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(depth[i], 0);
	}
	free(v);
	free(order);
	free(depth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_repairs_is_not_indented),
		cmocka_unit_test(a_repair_that_was_left_aside_is_indented_under_its_parent),
		cmocka_unit_test(a_fork_is_indented_while_the_best_is_elsewhere),
		cmocka_unit_test(siblings_of_a_group_stand_at_the_left),
		cmocka_unit_test(parents_that_cannot_be_make_roots),
		cmocka_unit_test(a_chain_of_many_turns_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
