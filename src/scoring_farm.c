/*
 * scoring_farm.c - a scoring whose programs other machines build and score.
 */
#include "src/scoring_inside.h"

#include <math.h>
#include <stdlib.h>

#include "src/show.h"

/* ---- what other machines say ---- */

/* Those who listen are told at once what they would have been told one by one. */
static void tell_all(struct scoring *s, const struct job *j, struct scored *out)
{
	const struct scoring_ears *to = &s->o.ears;
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(out->json, "reward");
	size_t item = j->item.index;

	if (to->log && out->log.len > 0)
		to->log(to->ctx, item, "stdout", out->log.data, out->log.len);
	if (to->built)
		to->built(to->ctx, item, &out->build);
	if (!out->built)
		return;
	if (to->shape && out->stl.len > 0)
		to->shape(to->ctx, item, out->stl.data, out->stl.len);
	for (int i = 0; to->figure && s->mode == MODE_EXACT && i < TERM_COUNT; i++) {
		const char *name = reward_term_name((enum reward_term)i);
		double v = json_number_or(reward, name, NAN);
		if (i != TERM_EDITABILITY && isfinite(v))
			to->figure(to->ctx, item, name, v);
	}
}

/* What a worker does not know: what the file is called here, and the parent. */
static void complete(const struct job *j, struct scored *out)
{
	cJSON *file = cJSON_CreateObject();

	if (j->in->file) {
		show_add_file(file, j->in->file);
		for (cJSON *x; (x = cJSON_DetachItemFromArray(file, 0));) {
			char key[32];
			snprintf(key, sizeof(key), "%s", x->string);
			cJSON_ReplaceItemInObjectCaseSensitive(out->json, key, x);
		}
	}
	cJSON_Delete(file);
	if (j->in->parent)
		cJSON_ReplaceItemInObjectCaseSensitive(out->json, "delta",
		                                       exact_delta(j->in->parent, out->json));
}

static void on_farm(void *ctx, void *user, struct scored *out, const struct err *why)
{
	struct scoring *s = ctx;
	struct job *j = user;
	struct err e;

	if (out) {
		tell_all(s, j, out);
		complete(j, out);
		if (j->has_key)
			remembered_keep(s->remembered, j->key, out);
		s->to.done(s->to.ctx, j->item.index, out, NULL);
	} else {
		e = *why;
		if (j->in->file)
			err_wrap(&e, "%s", j->in->file);
		s->to.done(s->to.ctx, j->item.index, NULL, &e);
	}
	scoring_equals_end(s, j);
	scoring_job_free(j);
}

int scoring_farm_open(struct scoring *s, struct err *e)
{
	const struct farm_ops ops = { .ctx = s, .done = on_farm };

	if (!s->o.app->queue)
		return 0;
	s->farm = farm_open(s->o.app->queue, s->o.app->quiet, &ops, e);
	return s->farm ? 0 : -1;
}

/* Until all that were added are over. */
int scoring_farm_finish(struct scoring *s, struct err *e)
{
	const struct scoring_ears *to = &s->o.ears;

	for (;;) {
		struct pollfd fd[4];
		if (farm_work(s->farm, e) < 0)
			return -1;
		if (s->failed.kind || farm_waiting(s->farm) == 0)
			break;
		int n = farm_poll_fds(s->farm, fd, 4), ms = farm_timeout_ms(s->farm);
		int tick_ms = to->tick_ms > 0 ? to->tick_ms : 250;
		if (to->tick && to->tick(to->ctx) != 0)
			return err_set(e, ERR_CANCELLED, "cancelled");
		poll(fd, (nfds_t)n, ms < 0 || ms > tick_ms ? tick_ms : ms);
	}
	if (s->failed.kind)
		*e = s->failed;
	return s->failed.kind ? -1 : 0;
}
