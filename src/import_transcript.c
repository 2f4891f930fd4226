/*
 * import_transcript.c - an episode of an OpenEnv transcript: its programs are built and scored
 * here, and stored as the turns of one episode; what the server said of each is kept beside it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/reward_exact.h"
#include "src/import_inside.h"
#include "src/turn.h"

static void on_done(void *ctx, size_t index, struct scored *out)
{
	struct import *im = ctx;

	im->steps[index] = *out;
	*out = (struct scored){ 0 };
}

static int score_steps(struct import *im, const struct task *task,
                       const struct transcript_episode *ep, struct err *e)
{
	struct scoring_input *in = calloc((size_t)ep->n, sizeof(*in));

	if (!in)
		return err_set(e, ERR_MEM, "no memory for %d steps", ep->n);
	for (int i = 0; i < ep->n; i++)
		in[i] = (struct scoring_input){
			.task = task,
			.text = ep->step[i].code,
			.len = ep->step[i].len,
			.rule = EXTRACT_FILE, /* as a server takes it */
			.program_lines = true,
			.file = "program.py",
		};
	int rc = scoring_run_all(im->scoring, in, (size_t)ep->n, on_done, im, e);
	free(in);
	for (int i = 1; rc == 0 && i < ep->n; i++)
		cJSON_ReplaceItemInObjectCaseSensitive(
			im->steps[i].json, "delta",
			exact_delta(im->steps[i - 1].json, im->steps[i].json));
	return rc;
}

/* What the server said, one event a step of the episode's own: the turns are as bare as those of
 * any other import, and are replayed as such. */
static int store_said(struct import *im, const struct transcript_episode *ep, int64_t episode,
                      struct err *e)
{
	struct store_event_new *v = calloc((size_t)ep->n, sizeof(*v));
	char **text = calloc((size_t)ep->n, sizeof(*text));
	int n = 0, rc = v && text ? 0 : err_set(e, ERR_MEM, "no memory for %d events", ep->n);

	for (int i = 0; rc == 0 && i < ep->n; i++) {
		const char *said = ep->step[i].said;
		cJSON *o = said ? json_parse(said, strlen(said), NULL) : NULL;
		struct buf line = { 0 };
		if (!o)
			continue;
		cJSON_AddNumberToObject(o, "turn", i + 1);
		json_print(&line, o);
		cJSON_Delete(o);
		if (!(text[n] = buf_take(&line, NULL)))
			rc = err_set(e, ERR_MEM, "no memory for an event");
		v[n] = (struct store_event_new){ .kind = "observed", .data = text[n] };
		n++;
	}
	if (rc == 0 && n > 0)
		rc = store_events_add(im->o.store, episode, v, n, e);
	for (int i = 0; text && i < n; i++)
		free(text[i]);
	free(text);
	free(v);
	return rc;
}

static int store_steps_of(struct import *im, const struct task *task,
                          const struct transcript_episode *ep, const char *origin, int64_t *episode,
                          struct err *e)
{
	struct store *s = im->o.store;
	struct buf settings = { 0 };
	int number, rc;

	import_settings(im, &settings);
	const struct store_episode_new n = {
		.task = task->id,
		.pack = *task->pack ? task->pack : NULL,
		.profile = scoring_profile_name(im->scoring),
		.profile_hash = im->profile_hash,
		.source = "import",
		.origin = origin,
		.settings = buf_str(&settings),
	};
	rc = store_batch_begin(s, e);
	if (rc == 0) {
		rc = store_episode_start(s, &n, episode, e);
		for (int i = 0; rc == 0 && i < ep->n; i++) {
			const struct turn_new t = {
				.episode = *episode,
				.parent = i,
				.source = "import",
				.completion = ep->step[i].code,
				.completion_len = ep->step[i].len,
				.scored = &im->steps[i],
			};
			rc = turn_commit(s, &t, &number, e);
		}
		if (rc == 0)
			rc = store_said(im, ep, *episode, e);
		if (store_batch_end(s, rc == 0, rc == 0 ? e : NULL) < 0)
			rc = -1;
	}
	buf_release(&settings);
	return rc;
}

static int name_of(struct import *im, const struct task *task, const struct transcript_episode *ep,
                   char out[IMPORT_ORIGIN], struct err *e)
{
	struct buf all = { 0 };

	buf_printf(&all, "%s\n%s\ntranscript\n", im->profile_hash, task->id);
	for (int i = 0; i < ep->n; i++) {
		buf_printf(&all, "%zu\n", ep->step[i].len);
		buf_add(&all, ep->step[i].code, ep->step[i].len);
	}
	int rc = import_origin(im, &all, out, e);
	buf_release(&all);
	return rc;
}

static const cJSON *best_of(const struct import *im, int n)
{
	int best = 0;

	for (int i = 1; i < n; i++)
		if (im->steps[i].total > im->steps[best].total)
			best = i;
	return im->steps[best].json;
}

int import_transcript_episode(void *ctx, const struct transcript_episode *ep)
{
	struct import *im = ctx;
	struct imported_one told = { .file = im->file, .line = ep->line, .turns = ep->n };
	const struct task *task;
	char origin[IMPORT_ORIGIN];
	struct err e = { 0 };
	int rc;

	task = ep->task ? task_find(im->o.tasks, ep->task, &e) : im->o.task;
	if (!task) {
		if (!ep->task)
			err_set(&e, ERR_INPUT,
			        "task_id: neither reset, step nor observation says it; --task ID "
			        "does for all without");
		import_problem(im, im->file, ep->line, ep->task, &e);
		return 0;
	}
	told.task = task->id;
	if (import_start_scoring(im, &e) < 0 || name_of(im, task, ep, origin, &e) < 0 ||
	    store_episode_by_origin(im->o.store, origin, &told.episode, &e) < 0)
		goto fail;
	if (told.episode) {
		told.already = true;
		import_tell(im, &told);
		return 0;
	}
	if (!(im->steps = calloc((size_t)ep->n, sizeof(*im->steps)))) {
		err_set(&e, ERR_MEM, "no memory for %d steps", ep->n);
		goto fail;
	}
	rc = score_steps(im, task, ep, &e);
	if (rc == 0)
		rc = store_steps_of(im, task, ep, origin, &told.episode, &e);
	if (rc == 0) {
		told.score = best_of(im, ep->n);
		import_tell(im, &told);
	}
	for (int i = 0; i < ep->n; i++)
		scored_release(&im->steps[i]);
	free(im->steps);
	im->steps = NULL;
	if (rc == 0)
		return 0;
fail:
	im->failed = e;
	return 1;
}
