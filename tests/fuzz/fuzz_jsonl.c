/* Any bytes as lines of completions: each line is a completion, whose texts can be said in JSON
 * again and come back as they were, or an error in words. What programs are found in them lies
 * within. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include <string.h>

#include "engine/extract.h"
#include "src/base/utf8.h"
#include "src/jsonl.h"

static void claim_round_trip(const struct jsonl_completion *c)
{
	cJSON *o = cJSON_CreateObject();
	struct jsonl_completion again;
	struct buf line = { 0 };
	struct err e = { 0 };

	json_add_text(o, "task", c->task);
	json_add_text(o, "finish", c->finish);
	cJSON_AddStringToObject(o, "completion", c->completion);
	cJSON_AddItemToObject(o, "prompt",
	                      c->prompt ? cJSON_Duplicate(c->prompt, true) : cJSON_CreateNull());
	json_print(&line, o);
	FUZZ_CLAIM(jsonl_completion_parse(&again, line.data, line.len, &e) == 0);
	FUZZ_CLAIM(strcmp(again.completion, c->completion) == 0);
	FUZZ_CLAIM(!c->task == !again.task);
	FUZZ_CLAIM(cJSON_Compare(c->prompt, again.prompt, true) || !c->prompt);
	jsonl_completion_release(&again);
	buf_release(&line);
	cJSON_Delete(o);
}

static void one_line(const char *line, size_t len)
{
	struct jsonl_completion c;
	struct buf text = { 0 };
	struct extract x;
	struct err e = { 0 };

	/* bytes of any kind become a text of JSON's */
	jsonl_text(&text, line, len);
	FUZZ_CLAIM(utf8_valid(buf_str(&text), text.len, NULL));
	FUZZ_CLAIM(!memchr(buf_str(&text), 0, text.len));
	buf_release(&text);
	for (int rule = EXTRACT_FILE; rule <= EXTRACT_ANSWER; rule++) {
		FUZZ_CLAIM(extract_program(&x, (enum extract_rule)rule, line, len, &e) == 0);
		FUZZ_CLAIM(x.program.len <= len && x.offset <= len);
		FUZZ_CLAIM(extract_source_line(&x, line, len, 1) >= 1);
		extract_release(&x);
	}
	if (jsonl_blank(line, len))
		return;
	if (jsonl_completion_parse(&c, line, len, &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && e.text[0]);
		return;
	}
	FUZZ_CLAIM(c.completion);
	claim_round_trip(&c);
	jsonl_completion_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *p = (const char *)bytes, *end = p + len;

	if (len > 60000)
		return 0;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
		/* a copy of its own size, so that reading past it is seen */
		char *line = malloc(n ? n : 1);
		FUZZ_CLAIM(line);
		memcpy(line, p, n);
		one_line(line, n);
		free(line);
		p += n + (nl != NULL);
	}
	return 0;
}
