/*
 * training_builds.c - which rows' programs build: through the scoring, many at once.
 */
#include <stdlib.h>
#include <string.h>

#include "src/scoring.h"
#include "src/training_rows.h"

enum { BUILD_AT_ONCE = 256 };

struct building {
	struct training_rows *r;
	int row[BUILD_AT_ONCE]; /* of each item */
	struct scoring_input in[BUILD_AT_ONCE];
};

static void on_built(void *ctx, size_t item, struct scored *out)
{
	struct building *b = ctx;
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(out->json, "build");

	if (!out->built)
		training_rows_drop(b->r, b->row[item], ROW_NOT_BUILT,
		                   json_string_or(build, "error", build_class_name(out->cls)));
}

int training_rows_check(struct training_rows *r, struct scoring *s, struct err *e)
{
	struct building *b = calloc(1, sizeof(*b));
	int rc = 0;

	if (!b)
		return err_set(e, ERR_MEM, "out of memory");
	b->r = r;
	for (int at = 0; rc == 0 && at < r->n;) {
		size_t n = 0;
		for (; at < r->n && n < BUILD_AT_ONCE; at++) {
			if (r->row[at].stored || !r->row[at].program)
				continue;
			b->row[n] = at;
			b->in[n++] = (struct scoring_input){ .text = r->row[at].program,
				                             .len = strlen(r->row[at].program),
				                             .rule = EXTRACT_FILE };
		}
		if (n > 0)
			rc = scoring_run_all(s, b->in, n, on_built, b, e);
	}
	free(b);
	return rc;
}
