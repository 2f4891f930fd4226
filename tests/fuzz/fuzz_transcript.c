/* Any bytes as a transcript: what comes of it are episodes with steps, each a text, under the
 * bounds; and a line is a message, or an error in words. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/transcript.h"

static int take(void *ctx, const struct transcript_episode *ep)
{
	int *episodes = ctx;

	++*episodes;
	FUZZ_CLAIM(ep->n >= 1 && ep->n <= TRANSCRIPT_STEPS_MAX && ep->session && ep->line >= 1);
	for (int i = 0; i < ep->n; i++) {
		const struct transcript_step *x = &ep->step[i];
		FUZZ_CLAIM(x->code && x->len > 0 && strlen(x->code) == x->len);
		FUZZ_CLAIM(utf8_valid(x->code, x->len, NULL));
		if (x->said) {
			cJSON *o = json_parse(x->said, strlen(x->said), NULL);
			FUZZ_CLAIM(cJSON_IsObject(o));
			cJSON_Delete(o);
		}
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *p = (const char *)bytes, *end = p + len;
	struct err e = { 0 };
	int episodes = 0, line = 0;

	if (len > 60000)
		return 0;
	struct transcript *t = transcript_new(take, &episodes);
	FUZZ_CLAIM(t);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
		/* a copy of its own size, so that reading past it is seen */
		char *copy = malloc(n ? n : 1);
		FUZZ_CLAIM(copy);
		memcpy(copy, p, n);
		bool is = transcript_is(copy, n);
		e = (struct err){ 0 };
		int rc = transcript_line(t, ++line, copy, n, &e);
		FUZZ_CLAIM(rc == 0 || (rc == -1 && e.kind == ERR_INPUT && e.text[0]));
		FUZZ_CLAIM(rc == -1 || is || memmem(copy, n, "completion", 10) ||
		           memmem(copy, n, "messages", 8) || memchr(copy, '\\', n));
		free(copy);
		p += n + (nl != NULL);
	}
	FUZZ_CLAIM(transcript_end(t, &e) == 0);
	FUZZ_CLAIM(episodes <= line);
	transcript_free(t);
	return 0;
}
