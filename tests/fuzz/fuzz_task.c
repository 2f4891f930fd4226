/* Any bytes: either a task whose every field is what task.h says, or problems in words. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/checks.h"
#include "engine/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct task_problems p = { 0 };
	struct task t;
	struct err e = { 0 };
	char *text = malloc(len + 1);

	if (!text)
		return 0;
	memcpy(text, bytes, len);
	text[len] = '\0';
	int rc = task_read(&t, text, len, "some/where/a.json", true, &p);
	int lines = 1;
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	for (int i = 0; i < p.n; i++)
		FUZZ_CLAIM(p.v[i].text[0] && p.v[i].line >= 0 && p.v[i].line <= lines);
	if (rc < 0) {
		FUZZ_CLAIM(p.errors > 0);
		struct task again;
		FUZZ_CLAIM(task_parse(&again, text, len, "a", &e) == -1 && e.kind == ERR_INPUT);
	} else {
		struct check_list checks;
		FUZZ_CLAIM(t.id && t.family && t.prompt && t.expect && t.checks);
		FUZZ_CLAIM(strlen(t.id) <= TASK_ID_MAX && strlen(t.hash) == 64);
		FUZZ_CLAIM(t.n_hints >= 1 && t.hints[0][0]);
		for (int c = 0; c < 3; c++)
			FUZZ_CLAIM(t.bbox_mm[c] > 0 && t.bbox_mm[c] <= 1e7);
		for (int i = 0; i < t.n_dimensions; i++)
			FUZZ_CLAIM(t.dimensions[i].name && t.dimensions[i].value_mm > 0);
		FUZZ_CLAIM(!t.reference || strncmp(t.reference, "some/where/", 11) == 0);
		FUZZ_CLAIM(checks_parse(&checks, t.checks, "a", &e) == 0 && checks.n == t.n_checks);
		checks_release(&checks);
		task_release(&t);
	}
	task_problems_release(&p);
	free(text);
	return 0;
}
