/* Any bytes: either finite triangles that are written and read back alike, or words. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/stl.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct soup s = { 0 }, again = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	if (stl_read(&s, bytes, len, 10000, &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && e.text[0] && !s.xyz);
		return 0;
	}
	FUZZ_CLAIM(s.n_tri <= 10000);
	for (size_t i = 0; i < 9 * s.n_tri; i++)
		FUZZ_CLAIM(isfinite(s.xyz[i]));
	FUZZ_CLAIM(stl_write(&b, &s, &e) == 0);
	FUZZ_CLAIM(stl_read(&again, b.data, b.len, 10000, &e) == 0 && again.n_tri == s.n_tri);
	FUZZ_CLAIM(s.n_tri == 0 || memcmp(again.xyz, s.xyz, s.n_tri * 36) == 0);
	soup_release(&s);
	soup_release(&again);
	buf_release(&b);
	return 0;
}
