/* Any bytes: either finite triangles within the limit, or words. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/glb.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct soup s = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	if (glb_read(&s, bytes, len, 10000, &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && strncmp(e.text, "GLB: ", 5) == 0 && !s.xyz);
		return 0;
	}
	FUZZ_CLAIM(s.n_tri <= 10000);
	for (size_t i = 0; i < 9 * s.n_tri; i++)
		FUZZ_CLAIM(isfinite(s.xyz[i]));
	if (s.n_tri) {
		struct soup again = { 0 };
		FUZZ_CLAIM(glb_write(&b, &s, &e) == 0 && b.len % 4 == 0);
		/* 3e38 mm are 3e35 m and come back a rounding further, perhaps past the end */
		if (glb_read(&again, b.data, b.len, 10000, &e) == 0)
			FUZZ_CLAIM(again.n_tri == s.n_tri);
		soup_release(&again);
	}
	soup_release(&s);
	buf_release(&b);
	return 0;
}
