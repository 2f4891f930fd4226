#include "gpu/stops.h"

#include <stdlib.h>
#include <string.h>

int stops_init(struct stops *s, const char *const *text, int n)
{
	*s = (struct stops){ 0 };
	if (n < 1)
		return 0;
	s->text = calloc((size_t)n, sizeof(*s->text));
	s->len = calloc((size_t)n, sizeof(*s->len));
	bool failed = !s->text || !s->len;
	for (int i = 0; i < n && !failed; i++) {
		if (!text[i][0])
			continue;
		s->text[s->n] = strdup(text[i]);
		failed = !s->text[s->n];
		s->len[s->n++] = strlen(text[i]);
	}
	if (failed)
		stops_release(s);
	return failed ? -1 : 0;
}

void stops_release(struct stops *s)
{
	for (int i = 0; i < s->n; i++)
		free(s->text[i]);
	free(s->text);
	free(s->len);
	*s = (struct stops){ 0 };
}

size_t stops_scan(const struct stops *s, const struct buf *held, bool *found)
{
	size_t out = held->len;

	*found = false;
	for (int i = 0; i < s->n; i++) {
		const char *at =
			held->len ? memmem(held->data, held->len, s->text[i], s->len[i]) : NULL;
		if (at && (size_t)(at - held->data) < out) {
			out = (size_t)(at - held->data);
			*found = true;
		}
	}
	if (*found)
		return out;
	for (int i = 0; i < s->n; i++) {
		size_t n = s->len[i] - 1 < held->len ? s->len[i] - 1 : held->len;
		for (; n > 0; n--)
			if (memcmp(held->data + held->len - n, s->text[i], n) == 0)
				break;
		if (held->len - n < out)
			out = held->len - n;
	}
	return out;
}
