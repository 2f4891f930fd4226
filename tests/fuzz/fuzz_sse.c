/* Any bytes as a stream of events: in one piece and in pieces as long as the bytes say, the same
 * events or the same refusal; and the same for an answer's thoughts. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/sse.h"
#include "gpu/think.h"

static int note(void *ctx, const char *event, const char *data, size_t len)
{
	buf_printf(ctx, "<%s|", event);
	buf_add(ctx, data, len);
	buf_adds(ctx, ">");
	return 0;
}

static int feed(struct buf *out, const uint8_t *bytes, size_t len, bool cut)
{
	struct sse s = { .max = 200 };
	struct err e = { 0 };
	int rc = 0;

	for (size_t at = 0; at < len && rc == 0;) {
		size_t n = cut ? (size_t)bytes[at] % 7 + 1 : len;
		n = n > len - at ? len - at : n;
		rc = sse_feed(&s, (const char *)bytes + at, n, note, out, &e);
		at += n;
	}
	if (rc == 0)
		rc = sse_end(&s, note, out, &e);
	FUZZ_CLAIM(rc == 0 || e.kind == ERR_PROTOCOL);
	sse_release(&s);
	return rc;
}

static void think(struct buf *thought, struct buf *answer, const uint8_t *bytes, size_t len,
                  bool cut)
{
	struct think t;

	think_begin(&t, len % 2);
	for (size_t at = 0; at < len;) {
		size_t n = cut ? (size_t)bytes[at] % 5 + 1 : len;
		n = n > len - at ? len - at : n;
		think_feed(&t, (const char *)bytes + at, n, thought, answer);
		at += n;
	}
	think_end(&t, thought, answer);
	think_release(&t);
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf v[6] = { { 0 } };

	int a = feed(&v[0], bytes, len, false), b = feed(&v[1], bytes, len, true);
	FUZZ_CLAIM(a == b && same(&v[0], &v[1]));
	think(&v[2], &v[3], bytes, len, false);
	think(&v[4], &v[5], bytes, len, true);
	FUZZ_CLAIM(same(&v[2], &v[4]) && same(&v[3], &v[5]));
	for (int i = 0; i < 6; i++)
		buf_release(&v[i]);
	return 0;
}
