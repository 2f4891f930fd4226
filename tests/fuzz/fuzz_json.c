/* Any bytes: either a value that is written and read back alike, each part of it on a line of the
 * text, or words with a line. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

static void look(const char *text, size_t len, int lines, const cJSON *root, const cJSON *v,
                 int *left, int *last)
{
	for (; v && *left > 0; v = v->next) {
		int line = json_line_of(text, len, root, v);
		--*left;
		/* in the order of the text */
		FUZZ_CLAIM(line >= *last && line <= lines);
		*last = line;
		look(text, len, lines, root, v->child, left, last);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct err e = { 0 };
	struct buf once = { 0 }, twice = { 0 };
	char *text = malloc(len + 1);
	int lines = 1, left = 200, last = 1;

	if (!text)
		return 0;
	memcpy(text, bytes, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	cJSON *v = json_parse_bounded(text, len, 10000, &e);
	if (!v) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && strncmp(e.text, "line ", 5) == 0);
		free(text);
		return 0;
	}
	look(text, len, lines, v, v, &left, &last);
	json_print(&once, v);
	if (!buf_failed(&once)) {
		cJSON *again = json_parse(buf_str(&once), once.len, &e);
		FUZZ_CLAIM(again);
		json_print(&twice, again);
		FUZZ_CLAIM(strcmp(buf_str(&once), buf_str(&twice)) == 0);
		cJSON_Delete(again);
	}
	cJSON_Delete(v);
	buf_release(&once);
	buf_release(&twice);
	free(text);
	return 0;
}
