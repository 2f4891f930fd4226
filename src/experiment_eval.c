/*
 * experiment_eval.c - the stage evaluate: every policy answers the same prompts under the same
 * seeds, as it does in training: drawn at the temperature of the recipe, one turn.
 *
 * A line an answer in OUT/evaluate/POLICY.jsonl: {"set": "held" | "mend", "task", "class" (of what
 * is mended), "member", "built", "box": as asked, "total", "dense", "strict", "failure": class,
 * "tokens", "clipped", "text"}, in the order of prompts and members.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/demo_build.h"
#include "src/experiment_inside.h"
#include "src/far_engine.h"
#include "src/grpo_prompts.h"
#include "src/pack_write.h"
#include "src/rollouts.h"

enum { MEND_MAX = 256 << 20, SALT_HELD = 1, SALT_MEND = 2 };

struct prompt {
	const struct task *task;
	const cJSON *messages; /* of a broken program; NULL: a first try */
	const char *cls;       /* of it; "" */
	int index;
};

struct eval {
	struct experiment *x;
	struct task_set tasks;
	cJSON *mend; /* an array */
	struct prompt *prompt;
	int n, members;
	cJSON **line; /* of each prompt's members */
	int done;
	struct err failed;
	struct rollouts *rollouts;
	char policy[32];
};

/* ---- prompts ---- */

static cJSON *read_mend(struct experiment *x, struct err *e)
{
	cJSON *list = cJSON_CreateArray();
	struct buf text = { 0 };
	char path[PATH_MAX];

	stages_path(&x->stages, path, sizeof(path), "mend.jsonl");
	int rc = buf_read_file(&text, path, MEND_MAX, e);
	for (const char *p = buf_str(&text), *end = p + text.len; rc == 0 && p < end;) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = line ? (size_t)(line - p) : (size_t)(end - p);
		cJSON *o = json_parse(p, len, e);
		if (o)
			cJSON_AddItemToArray(list, o);
		else
			rc = err_wrap(e, "%s", path);
		p += len + 1;
	}
	buf_release(&text);
	if (rc == 0)
		return list;
	cJSON_Delete(list);
	return NULL;
}

static int make_prompts(struct eval *v, struct err *e)
{
	const cJSON *o;

	if (experiment_tasks(v->x, &v->tasks, e) < 0 || !(v->mend = read_mend(v->x, e)))
		return -1;
	v->prompt = calloc((size_t)v->tasks.n + 1, sizeof(*v->prompt));
	if (!v->prompt)
		return err_set(e, ERR_MEM, "no memory for %d prompts", v->tasks.n);
	for (int i = 0; i < v->tasks.n; i++)
		if (strcmp(v->tasks.tasks[i].pack, "held") == 0) {
			v->prompt[v->n] = (struct prompt){ .task = &v->tasks.tasks[i], .cls = "" };
			v->prompt[v->n].index = v->n;
			v->n++;
		}
	cJSON_ArrayForEach(o, v->mend)
	{
		struct prompt *p = &v->prompt[v->n];
		if (!(p->task = task_find(&v->tasks, json_string_or(o, "task", ""), e)))
			return err_wrap(e, "mend.jsonl");
		p->messages = cJSON_GetObjectItemCaseSensitive(o, "messages");
		p->cls = json_string_or(o, "class", "");
		p->index = v->n++;
	}
	v->members = (int)v->x->recipe.samples;
	v->line = calloc((size_t)v->n * (size_t)v->members + 1, sizeof(cJSON *));
	return v->line ? 0 : err_set(e, ERR_MEM, "no memory for %d prompts", v->n);
}

/* ---- answers ---- */

static bool box_right(const struct task *t, const cJSON *score)
{
	double box[3];

	if (json_get_numbers(cJSON_GetObjectItemCaseSensitive(score, "geometry"), "bbox_mm", box, 3,
	                     NULL) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (!(fabs(box[i] - t->bbox_mm[i]) <= DEMO_BOX_MM))
			return false;
	return true;
}

static void on_answer(void *ctx, const struct rollout *r)
{
	struct eval *v = ctx;
	const struct prompt *p = r->user;
	cJSON *o;

	v->done++;
	stages_say(&v->x->stages, true, "evaluate: %s: %d of %d", v->policy, v->done,
	           v->n * v->members);
	if (!r->scored || r->member < 1 || r->member > v->members)
		return;
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "set", p->messages ? "mend" : "held");
	cJSON_AddStringToObject(o, "task", p->task->id);
	if (p->messages)
		cJSON_AddStringToObject(o, "class", p->cls);
	cJSON_AddNumberToObject(o, "member", r->member);
	cJSON_AddBoolToObject(o, "built", r->scored->built);
	cJSON_AddBoolToObject(o, "box", r->scored->built && box_right(p->task, r->scored->json));
	json_add_figure(o, "total", r->scored->total);
	json_add_figure(o, "dense", grpo_reward("dense", r->scored->json, r->text, r->text_len));
	json_add_figure(o, "strict", grpo_reward("strict", r->scored->json, r->text, r->text_len));
	cJSON_AddStringToObject(o, "failure", build_class_name(r->scored->cls));
	cJSON_AddNumberToObject(o, "tokens", r->n);
	cJSON_AddBoolToObject(o, "clipped", r->clipped);
	json_add_text(o, "text", r->text);
	cJSON **at = &v->line[p->index * v->members + r->member - 1];
	cJSON_Delete(*at);
	*at = o;
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int write_lines(struct eval *v, struct err *e)
{
	char name[64], path[PATH_MAX];
	struct buf text = { 0 };
	int rc;

	for (int i = 0; i < v->n * v->members; i++)
		if (v->line[i]) {
			json_print(&text, v->line[i]);
			buf_addc(&text, '\n');
		}
	snprintf(name, sizeof(name), "evaluate/%s.jsonl", v->policy);
	stages_path(&v->x->stages, path, sizeof(path), name);
	rc = buf_failed(&text) ? err_set(e, ERR_MEM, "no memory for the answers")
	                       : file_write_atomic(path, buf_str(&text), text.len, e);
	buf_release(&text);
	return rc;
}

/* All prompts by one policy; its file is written when all of them are answered. */
static int evaluate(struct eval *v, const char *adapter, struct err *e)
{
	struct experiment *x = v->x;
	char name[64], path[PATH_MAX];
	int rc = 0;

	snprintf(name, sizeof(name), "evaluate/%s.jsonl", v->policy);
	stages_path(&x->stages, path, sizeof(path), name);
	if (access(path, F_OK) == 0)
		return 0;
	v->done = 0;
	if (rollouts_adapter(v->rollouts, *adapter ? adapter : NULL, e) < 0)
		return -1;
	for (int i = 0; i < v->n && rc == 0; i++) {
		struct prompt *p = &v->prompt[i];
		struct rollout_group g = {
			.task = p->task,
			.messages = p->messages,
			.members = v->members,
			.turns = 1,
			.enough = NAN,
			.seed = grpo_seed((uint64_t)x->recipe.seed,
			                  p->messages ? SALT_MEND : SALT_HELD, (uint64_t)i),
			.user = p,
		};
		rc = rollouts_add(v->rollouts, &g, e) < 0 ? -1 : 0;
	}
	if (rc == 0)
		rc = rollouts_run(v->rollouts, e);
	if (rc == 0)
		rc = write_lines(v, e);
	for (int i = 0; i < v->n * v->members; i++) {
		cJSON_Delete(v->line[i]);
		v->line[i] = NULL;
	}
	return rc;
}

static int evaluate_all(struct eval *v, struct err *e)
{
	char adapter[4200];

	for (int a = 0; a < ARMS; a++) {
		int seeds =
			experiment_arm_seeds((enum experiment_arm)a) ? (int)v->x->recipe.seeds : 1;
		for (int seed = 1; seed <= seeds; seed++) {
			experiment_policy_name(v->policy, (enum experiment_arm)a, seed);
			if (experiment_policy(v->x, (enum experiment_arm)a, seed, adapter, e) < 0 ||
			    evaluate(v, adapter, e) < 0)
				return -1;
		}
	}
	return 0;
}

int experiment_make_evaluate(void *experiment, cJSON *figures, struct err *e)
{
	struct experiment *x = experiment;
	struct eval v = { .x = x };
	struct model_flags *m = calloc(1, sizeof(*m));
	struct engine_choice choice = { x->stages.app, m };
	char path[PATH_MAX];
	int rc = -1;

	if (!m)
		return err_set(e, ERR_MEM, "out of memory");
	struct rollouts_options o = {
		.app = x->stages.app,
		.source = "eval",
		.model = m,
		.prompts = &x->prompts,
		.scoring = { .app = x->stages.app, .profile = "seed-fast", .reference = "none" },
		.max_tokens = EXPERIMENT_TOKENS,
		.light = true,
		.ctx = &v,
		.done = on_answer,
		.tick = on_tick,
		.engine = engine_choose,
		.engine_ctx = &choice,
	};
	/* of an evaluation that is made anew nothing stays */
	if (x->stages.again <= EXPERIMENT_EVALUATE && stages_remove(&x->stages, "evaluate", e) < 0)
		goto out;
	stages_path(&x->stages, path, sizeof(path), "evaluate");
	if (make_folders(path, e) < 0 || make_prompts(&v, e) < 0 ||
	    experiment_model(x, m, "", e) < 0 || !(v.rollouts = rollouts_open(&o, e)))
		goto out;
	if ((rc = evaluate_all(&v, e)) == 0) {
		cJSON_AddNumberToObject(figures, "prompts", v.n);
		cJSON_AddNumberToObject(figures, "members", v.members);
	}
out:
	rollouts_close(v.rollouts);
	free(v.prompt);
	free(v.line);
	cJSON_Delete(v.mend);
	task_set_release(&v.tasks);
	free(m);
	return rc;
}
