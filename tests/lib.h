/*
 * lib.h - what every cmocka test includes, in the order cmocka wants it.
 */
#ifndef TESTS_LIB_H
#define TESTS_LIB_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define assert_close(got, want, tol)                                                               \
	do {                                                                                       \
		double g_ = (got), w_ = (want);                                                    \
		if (!(fabs(g_ - w_) <= (tol)))                                                     \
			fail_msg("%s: got %.17g, want %.17g within %g", #got, g_, w_,              \
			         (double)(tol));                                                   \
	} while (0)

#define assert_contains(text, part)                                                                \
	do {                                                                                       \
		const char *t_ = (text), *p_ = (part);                                             \
		if (!t_ || !strstr(t_, p_))                                                        \
			fail_msg("'%s' is not in '%s'", p_, t_ ? t_ : "(null)");                   \
	} while (0)

#endif
