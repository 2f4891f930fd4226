/*
 * The sheet of the experiment: what every policy answered, side by side, and its figures.
 */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/buf.h"
#include "src/experiment_sheet.h"

static void line(struct buf *b, const char *task, const char *cls, int member, bool built,
                 double dense)
{
	buf_printf(b, "{\"set\":\"%s\",\"task\":\"%s\"", cls ? "mend" : "held", task);
	if (cls)
		buf_printf(b, ",\"class\":\"%s\"", cls);
	buf_printf(b,
	           ",\"member\":%d,\"built\":%s,\"box\":false,\"total\":%g,\"dense\":%g,"
	           "\"strict\":%g,\"failure\":\"%s\"}\n",
	           member, built ? "true" : "false", built ? dense : -1.0, dense,
	           built ? 0.9 : -0.6, built ? "build_ok" : "syntax_closure");
}

static void add(struct sheet *s, enum experiment_arm a, int seed, struct buf *b)
{
	struct err e = { 0 };

	assert_int_equal(sheet_add(s, a, seed, buf_str(b), b->len, &e), 0);
	buf_release(b);
}

/* Two held-out tasks with two answers each and one broken program; of sft, and of dense twice. */
static void fill(struct sheet *s)
{
	struct buf b = { 0 };

	*s = (struct sheet){ .seeds = 2, .members = 2 };
	line(&b, "p", NULL, 1, true, 0.8);
	line(&b, "p", NULL, 2, false, 0.37);
	line(&b, "q", NULL, 1, false, 0.37);
	line(&b, "q", NULL, 2, false, 0.37);
	line(&b, "m", "undefined_name", 1, false, 0.3);
	line(&b, "m", "undefined_name", 2, true, 0.7);
	add(s, ARM_SFT, 0, &b);
	/* the first run builds all, in another order; an answer of it was lost */
	line(&b, "q", NULL, 2, true, 0.8);
	line(&b, "m", "undefined_name", 1, true, 0.7);
	line(&b, "p", NULL, 1, true, 0.8);
	line(&b, "p", NULL, 2, true, 0.8);
	add(s, ARM_DENSE, 1, &b);
	/* the second is as sft */
	line(&b, "p", NULL, 1, true, 0.8);
	line(&b, "p", NULL, 2, false, 0.37);
	line(&b, "q", NULL, 1, false, 0.37);
	line(&b, "q", NULL, 2, false, 0.37);
	add(s, ARM_DENSE, 2, &b);
}

static void a_rate_is_over_the_answers_of_all_seeds(void **state)
{
	struct sheet s;

	(void)state;
	fill(&s);
	struct interval sft = sheet_mean(&s, ARM_SFT, 0, SHEET_HELD, SHEET_BUILT);
	assert_int_equal(sft.n, 4);
	assert_float_equal(sft.value, 0.25, 1e-12);
	struct interval dense = sheet_mean(&s, ARM_DENSE, 0, SHEET_HELD, SHEET_BUILT);
	assert_int_equal(dense.n, 7); /* the lost one is no failure */
	assert_float_equal(dense.value, 4.0 / 7, 1e-12);
	assert_float_equal(sheet_mean(&s, ARM_DENSE, 1, SHEET_HELD, SHEET_BUILT).value, 1, 1e-12);
	assert_float_equal(sheet_mean(&s, ARM_DENSE, 2, SHEET_HELD, SHEET_BUILT).value, 0.25,
	                   1e-12);
	assert_true(isnan(sheet_mean(&s, ARM_STRICT, 0, SHEET_HELD, SHEET_BUILT).value));
	sheet_release(&s);
}

static void the_total_is_of_answers_that_built(void **state)
{
	struct sheet s;

	(void)state;
	fill(&s);
	struct interval t = sheet_mean(&s, ARM_SFT, 0, SHEET_HELD, SHEET_TOTAL);
	assert_int_equal(t.n, 1);
	assert_float_equal(t.value, 0.8, 1e-12);
	assert_float_equal(sheet_mean(&s, ARM_SFT, 0, SHEET_HELD, SHEET_DENSE).value,
	                   (0.8 + 3 * 0.37) / 4, 1e-12);
	sheet_release(&s);
}

static void broken_programs_are_kept_apart_by_class(void **state)
{
	int undefined = -1, syntax = -1;
	struct sheet s;

	(void)state;
	fill(&s);
	for (int i = 0; i < EXPERIMENT_CLASSES; i++) {
		if (experiment_class[i] == CLASS_UNDEFINED_NAME)
			undefined = i;
		if (experiment_class[i] == CLASS_SYNTAX_CLOSURE)
			syntax = i;
	}
	assert_int_equal(sheet_mean(&s, ARM_SFT, 0, undefined, SHEET_BUILT).n, 2);
	assert_int_equal(sheet_mean(&s, ARM_SFT, 0, SHEET_MEND, SHEET_BUILT).n, 2);
	assert_float_equal(sheet_mean(&s, ARM_SFT, 0, undefined, SHEET_BUILT).value, 0.5, 1e-12);
	assert_int_equal(sheet_mean(&s, ARM_SFT, 0, syntax, SHEET_BUILT).n, 0);
	sheet_release(&s);
}

static void a_difference_is_paired_and_a_policy_without_seeds_stands_beside_each(void **state)
{
	struct sheet s;

	(void)state;
	fill(&s);
	struct paired d = sheet_paired(&s, ARM_SFT, ARM_DENSE, 0, SHEET_HELD, SHEET_BUILT);
	assert_int_equal(d.n, 7);
	assert_int_equal(d.better, 2);
	assert_int_equal(d.worse, 0);
	assert_int_equal(d.equal, 5);
	assert_float_equal(d.difference.value, 2.0 / 7, 1e-12);
	d = sheet_paired(&s, ARM_SFT, ARM_DENSE, 2, SHEET_HELD, SHEET_BUILT);
	assert_int_equal(d.n, 4);
	assert_float_equal(d.difference.value, 0, 1e-12);
	assert_float_equal(d.p, 1, 1e-12);
	sheet_release(&s);
}

static void what_is_no_answer_is_told(void **state)
{
	static const char *const bad[] = { "{\"task\":\"p\",\"member\":3}\n", "{\"task\":\"p\"}\n",
		                           "{\"task\":\n" };
	struct sheet s = { .seeds = 1, .members = 2 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct err e = { 0 };
		assert_int_equal(sheet_add(&s, ARM_SFT, 0, bad[i], strlen(bad[i]), &e), -1);
		assert_true(e.text[0] != '\0');
	}
	sheet_release(&s);
	sheet_release(&s);
}

static void policies_have_names(void **state)
{
	char name[32];

	(void)state;
	experiment_policy_name(name, ARM_BASE, 3);
	assert_string_equal(name, "base");
	experiment_policy_name(name, ARM_CONTROL, 3);
	assert_string_equal(name, "control-3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_over_the_answers_of_all_seeds),
		cmocka_unit_test(the_total_is_of_answers_that_built),
		cmocka_unit_test(broken_programs_are_kept_apart_by_class),
		cmocka_unit_test(
			a_difference_is_paired_and_a_policy_without_seeds_stands_beside_each),
		cmocka_unit_test(what_is_no_answer_is_told),
		cmocka_unit_test(policies_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
