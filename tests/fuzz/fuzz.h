/*
 * fuzz.h - what a fuzz target has: one function in libFuzzer's form. driver.c is a main() for it
 * where there is no libFuzzer.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Ends the process with a message: the code under test broke its contract. */
#define FUZZ_CLAIM(what)                                                                           \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "broken: %s (%s:%d)\n", #what, __FILE__, __LINE__);        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
