/*
 * train_run.c - a run by its number.
 */
#include <stdio.h>
#include <string.h>

#include "src/cmd_train.h"

static int see_run(void *ctx, const struct store_run *x)
{
	struct train_run *r = ctx;

	r->id = x->id;
	r->started_us = x->started_us;
	r->ended_us = x->ended_us;
	snprintf(r->kind, sizeof(r->kind), "%s", x->kind);
	snprintf(r->outcome, sizeof(r->outcome), "%s", x->outcome ? x->outcome : "");
	r->about = x->settings ? json_parse(x->settings, strlen(x->settings), NULL) : NULL;
	return 0;
}

int train_run_read(struct store *s, int64_t id, struct train_run *out, struct err *e)
{
	*out = (struct train_run){ 0 };
	if (store_runs(s, id, 1, see_run, out, e) < 0)
		return -1;
	return out->id ? 0
	               : err_set(e, ERR_INPUT,
	                         "%s: there is no run %lld; 'cadforge runs' lists them",
	                         store_file(s), (long long)id);
}

void train_run_release(struct train_run *r)
{
	cJSON_Delete(r->about);
	*r = (struct train_run){ 0 };
}
