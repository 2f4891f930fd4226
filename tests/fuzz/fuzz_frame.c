/* Any bytes, arriving in pieces of a size that the first byte says: whole frames within the limits,
 * or a damaged stream for good. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/frame.h"
#include "src/base/json.h"

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame_reader r = { .json_max = LIMIT, .blob_max = LIMIT };
	int pair[2], state = 0;
	size_t at = 1, taken = 0;

	if (len < 2 || len > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
		return 0;
	while (at < len && state >= 0) {
		size_t n = (size_t)bytes[0] + 1 < len - at ? (size_t)bytes[0] + 1 : len - at;
		struct frame f;
		struct err e = { 0 };
		FUZZ_CLAIM(write(pair[0], bytes + at, n) == (ssize_t)n);
		at += n;
		FUZZ_CLAIM(frame_fill(&r, pair[1], &e) >= 0);
		while ((state = frame_next(&r, &f, &e)) > 0) {
			FUZZ_CLAIM(f.json_len <= LIMIT && f.blob_len <= LIMIT);
			taken += FRAME_HEADER_BYTES + f.json_len + f.blob_len;
			FUZZ_CLAIM(taken <= at - 1);
			/* what was given out is there to be read */
			cJSON_Delete(json_parse(f.json, f.json_len, &e));
			volatile uint8_t sum = 0;
			for (uint32_t i = 0; i < f.blob_len; i++)
				sum = (uint8_t)(sum + ((const uint8_t *)f.blob)[i]);
		}
		if (state < 0) {
			FUZZ_CLAIM(e.kind == ERR_PROTOCOL && e.text[0]);
			FUZZ_CLAIM(frame_next(&r, &f, &e) < 0);
		}
	}
	frame_reader_release(&r);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
