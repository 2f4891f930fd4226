/*
 * experiment_train.c - the stages dense, strict and repair: runs of reinforcement learning that
 * begin from equal policies with equal prompts, one a seed.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"
#include "src/experiment_inside.h"
#include "src/grpo_settings.h"
#include "src/packs.h"

enum { ALL_ROWS = 1 << 30 };

/* ---- what a run told ---- */

struct reading {
	struct experiment_steps *out;
	bool lost;
};

static int take_note(struct experiment_steps *s, const cJSON *o)
{
	const char *alarm = json_string_or(o, "alarm", NULL);

	for (int i = 0; alarm && i < ALARMS; i++)
		s->alarms[i] += strcmp(alarm, grpo_alarm_name((enum grpo_alarm)i)) == 0;
	return 0;
}

static int take_step(void *ctx, const struct store_step *v)
{
	struct reading *r = ctx;
	struct experiment_steps *s = r->out;
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;
	const cJSON *classes = cJSON_GetObjectItemCaseSensitive(o, "classes");
	struct experiment_step *more;

	if (strcmp(v->kind, "note") == 0)
		take_note(s, o);
	if (strcmp(v->kind, "step") != 0 || v->step < 1)
		goto out;
	/* a step that was made again after a kill counts as it was made last */
	while (s->n && s->v[s->n - 1].step >= v->step)
		s->n--;
	if (!(more = realloc(s->v, (size_t)(s->n + 1) * sizeof(*s->v)))) {
		r->lost = true;
		goto out;
	}
	s->v = more;
	struct experiment_step *x = &s->v[s->n++];
	*x = (struct experiment_step){ .step = (int)v->step, .seconds = v->seconds };
	x->reward = json_number_or(o, "reward", NAN);
	x->build_rate = json_number_or(o, "build_rate", NAN);
	x->answers = (int)json_number_or(o, "answers", 0);
	x->groups = (int)json_number_or(o, "groups", 0);
	x->flat = (int)json_number_or(o, "flat", 0);
	x->clipped = (int)json_number_or(o, "clipped", 0);
	x->repairs = (int)json_number_or(o, "repairs", 0);
	for (int i = 0; i < CLASS_COUNT; i++)
		x->cls[i] = (int)json_number_or(classes, build_class_name((enum build_class)i), 0);
out:
	cJSON_Delete(o);
	return r->lost;
}

int experiment_steps(struct experiment *x, enum experiment_arm a, int seed,
                     struct experiment_steps *out, struct err *e)
{
	char name[64], path[PATH_MAX];
	struct reading r = { .out = out };
	struct store *s;
	cJSON *o;
	int rc;

	*out = (struct experiment_steps){ .n = 0 };
	experiment_policy_name(name, a, seed);
	snprintf(name + strlen(name), sizeof(name) - strlen(name), ".json");
	if (!(o = stages_read(&x->stages, name, e)))
		return -1;
	int64_t run = (int64_t)json_number_or(o, "run", 0);
	cJSON_Delete(o);
	snprintf(name, sizeof(name), "seed-%d.db", seed);
	stages_path(&x->stages, path, sizeof(path), name);
	if (!(s = store_open(path, STORE_READ, NULL, e)))
		return -1;
	rc = store_steps(s, run, 0, ALL_ROWS, take_step, &r, e);
	store_close(s);
	return r.lost ? err_set(e, ERR_MEM, "no memory for the steps of %s", name) : rc;
}

void experiment_steps_release(struct experiment_steps *s)
{
	free(s->v);
	*s = (struct experiment_steps){ .n = 0 };
}

/* ---- a run ---- */

struct plan { /* of one run */
	enum experiment_arm arm;
	int seed, steps;
	const char *reward;
	char adapter[4200];
	const char *curriculum; /* file of rules; "": first tries alone */
	struct experiment *x;
	char file[64]; /* what is kept of it: OUT/ARM-N.json */
	bool kept;
	int64_t run;                      /* to go on with; 0: a new one */
	const struct grpo_result *result; /* of the one under way */
};

static cJSON *settings_of(const struct plan *p)
{
	struct experiment *x = p->x;
	const struct experiment_recipe *r = &x->recipe;
	/* equal prompts: a group that teaches nothing is not replaced */
	static const char *const guards[] = { "dead=warn" };
	char name[32], path[PATH_MAX];
	cJSON *o = cJSON_CreateObject();

	experiment_policy_name(name, p->arm, p->seed);
	stages_path(&x->stages, path, sizeof(path), name);
	cJSON_AddStringToObject(o, "model", x->base);
	cJSON_AddStringToObject(o, "adapter", p->adapter);
	cJSON_AddStringToObject(o, "out", path);
	cJSON_AddStringToObject(o, "prompt_set", x->prompts.name);
	cJSON_AddStringToObject(o, "backend", "cpu");
	cJSON_AddNumberToObject(o, "threads", x->threads);
	cJSON_AddNumberToObject(o, "steps", p->steps);
	cJSON_AddNumberToObject(o, "prompts", r->prompts);
	cJSON_AddNumberToObject(o, "members", r->members);
	cJSON_AddNumberToObject(o, "tries", 1);
	cJSON_AddItemToObject(o, "guards", cJSON_CreateStringArray(guards, 1));
	cJSON_AddStringToObject(o, "reward", p->reward);
	cJSON_AddStringToObject(o, "reference", "none");
	cJSON_AddNumberToObject(o, "temperature", r->temperature);
	cJSON_AddNumberToObject(o, "lr", r->lr);
	cJSON_AddStringToObject(o, "schedule", "constant");
	cJSON_AddNumberToObject(o, "warmup", 0);
	cJSON_AddNumberToObject(o, "seed", r->seed + p->seed);
	cJSON_AddNumberToObject(o, "eval_every", -1);
	cJSON_AddNumberToObject(o, "save_every", 10);
	cJSON_AddNumberToObject(o, "keep", 1);
	if (p->curriculum[0]) {
		cJSON_AddNumberToObject(o, "repairs", r->repair_share);
		cJSON_AddStringToObject(o, "curriculum", p->curriculum);
		cJSON_AddBoolToObject(o, "mine", true);
	}
	return o;
}

static int keep(struct plan *p, const struct grpo_result *done, struct err *e)
{
	cJSON *o = cJSON_CreateObject();
	int rc;

	cJSON_AddNumberToObject(o, "run", (double)p->run);
	if (done) {
		cJSON_AddStringToObject(o, "policy", done->policy);
		cJSON_AddNumberToObject(o, "answers", (double)done->answers);
		cJSON_AddNumberToObject(o, "seconds", done->seconds);
	}
	rc = stages_write(&p->x->stages, p->file, o, e);
	cJSON_Delete(o);
	return rc;
}

/* The run's number is kept with its first checkpoint: what a kill leaves goes on from there. */
static void on_event(void *ctx, const char *kind, const cJSON *object)
{
	struct plan *p = ctx;
	struct err ignored;

	(void)object;
	if (p->kept || strcmp(kind, "checkpoint") != 0 || !p->result->run)
		return;
	p->run = p->result->run;
	p->kept = keep(p, NULL, &ignored) == 0;
}

static int pick_tasks(const struct task_set *tasks, int **out)
{
	int n = 0;

	if (!(*out = calloc((size_t)tasks->n + 1, sizeof(**out))))
		return -1;
	for (int i = 0; i < tasks->n; i++)
		if (strcmp(tasks->tasks[i].pack, "train") == 0)
			(*out)[n++] = i;
	return n;
}

int experiment_tasks(struct experiment *x, struct task_set *out, struct err *e)
{
	char path[PATH_MAX];
	const char *dir = path;

	stages_path(&x->stages, path, sizeof(path), "tasks");
	return task_set_load(out, &dir, 1, e);
}

static int run_it(struct plan *p, struct store *store, const cJSON *all, struct grpo_result *result,
                  struct err *e)
{
	struct experiment *x = p->x;
	struct model_flags *m = calloc(1, sizeof(*m));
	struct task_set tasks = { 0 };
	struct grpo_options o = {
		.app = x->stages.app,
		.store = store,
		.model = m,
		.tasks = &tasks,
		.prompts = &x->prompts,
		.backend = GPU_CPU,
		.all = all,
		.kind = "grpo",
		.run = p->run,
		.ctx = p,
		.event = on_event,
	};
	cJSON *policy = NULL;
	int *task = NULL, rc = -1;

	if (!m)
		return err_set(e, ERR_MEM, "out of memory");
	if (experiment_model(x, m, p->adapter, e) == 0 && experiment_tasks(x, &tasks, e) == 0 &&
	    grpo_settings_read(&o.settings, &policy, all, e) == 0) {
		o.n_tasks = pick_tasks(&tasks, &task);
		o.task = task;
		o.policy = policy;
		rc = o.n_tasks < 0 ? err_set(e, ERR_MEM, "no memory for %d tasks", tasks.n)
		                   : grpo_run(&o, result, e);
	}
	cJSON_Delete(policy);
	free(task);
	task_set_release(&tasks);
	free(m);
	return rc;
}

/* Makes the run unless it is done, and adds it to @runs. */
static int learn(struct plan *p, cJSON *runs, struct err *e)
{
	struct experiment *x = p->x;
	char name[32], db[32], path[PATH_MAX];
	struct grpo_result result;
	struct store *store;
	cJSON *was, *all;
	int rc;

	experiment_policy_name(name, p->arm, p->seed);
	snprintf(p->file, sizeof(p->file), "%s.json", name);
	stages_path(&x->stages, path, sizeof(path), p->file);
	was = stages_read(&x->stages, p->file, NULL);
	if (cJSON_HasObjectItem(was, "policy")) {
		cJSON_AddItemToObject(runs, name, was);
		return 0;
	}
	p->run = (int64_t)json_number_or(was, "run", 0);
	cJSON_Delete(was);
	if (!p->run && stages_remove(&x->stages, name, e) < 0)
		return -1;
	snprintf(db, sizeof(db), "seed-%d.db", p->seed);
	stages_path(&x->stages, path, sizeof(path), db);
	if (!(store = store_open(path, STORE_WRITE, NULL, e)))
		return -1;
	stages_say(&x->stages, false, "%s: %d steps, reward %s", name, p->steps, p->reward);
	all = settings_of(p);
	p->result = &result;
	rc = run_it(p, store, all, &result, e);
	cJSON_Delete(all);
	store_close(store);
	if (rc < 0)
		return err_wrap(e, "%s", name);
	p->run = result.run;
	if (strcmp(result.outcome, "done") != 0) {
		keep(p, NULL, e);
		return err_set(e, ERR_CANCELLED,
		               "%s: stopped at step %lld of %d; the same command goes on", name,
		               (long long)result.step, p->steps);
	}
	if (keep(p, &result, e) < 0 || !(was = stages_read(&x->stages, p->file, e)))
		return -1;
	cJSON_AddItemToObject(runs, name, was);
	return 0;
}

static int learn_all(struct experiment *x, enum experiment_arm arm, const char *reward,
                     cJSON *figures, struct err *e)
{
	cJSON *runs = cJSON_AddObjectToObject(figures, "runs");

	for (int seed = 1; seed <= (int)x->recipe.seeds; seed++) {
		struct plan p = { .x = x,
			          .arm = arm,
			          .seed = seed,
			          .reward = reward,
			          .steps = (int)x->recipe.steps,
			          .curriculum = "" };
		if (experiment_policy(x, ARM_SFT, 0, p.adapter, e) < 0 || learn(&p, runs, e) < 0)
			return -1;
	}
	return 0;
}

int experiment_make_dense(void *experiment, cJSON *figures, struct err *e)
{
	return learn_all(experiment, ARM_DENSE, "dense", figures, e);
}

int experiment_make_strict(void *experiment, cJSON *figures, struct err *e)
{
	return learn_all(experiment, ARM_STRICT, "strict", figures, e);
}

/* ---- repair ---- */

/* The commonest class of programs that did not build, in the second half of all strict runs: what
 * first tries alone did not cure. */
static int choose_aim(struct experiment *x, enum build_class *aim, cJSON *figures, struct err *e)
{
	int count[CLASS_COUNT] = { 0 }, best = 0;
	cJSON *list = cJSON_AddObjectToObject(figures, "failures");

	for (int seed = 1; seed <= (int)x->recipe.seeds; seed++) {
		struct experiment_steps s;
		int rc = experiment_steps(x, ARM_STRICT, seed, &s, e);
		for (int i = s.n / 2; i < s.n; i++)
			for (int c = 0; c < CLASS_COUNT; c++)
				count[c] += s.v[i].cls[c];
		experiment_steps_release(&s);
		if (rc < 0)
			return -1;
	}
	for (int i = 0; i < EXPERIMENT_CLASSES; i++) {
		enum build_class c = experiment_class[i];
		cJSON_AddNumberToObject(list, build_class_name(c), count[c]);
		best = count[c] > count[experiment_class[best]] ? i : best;
	}
	*aim = experiment_class[best];
	cJSON_AddStringToObject(figures, "aim", build_class_name(*aim));
	return 0;
}

/* Rules of the curriculum by which that class alone has a weight. */
static int write_rules(struct experiment *x, enum build_class aim, struct err *e)
{
	const struct experiment_recipe *r = &x->recipe;
	cJSON *o = cJSON_CreateObject(), *base, *levels, *stages;
	int rc;

	cJSON_AddStringToObject(o, "format", "cadforge-curriculum-1");
	cJSON_AddStringToObject(o, "name", "aimed");
	cJSON_AddStringToObject(o, "about", "one class alone");
	base = cJSON_AddObjectToObject(o, "base");
	for (int i = 0; i < CLASS_COUNT; i++)
		if (i != CLASS_BUILD_OK)
			cJSON_AddNumberToObject(base, build_class_name((enum build_class)i),
			                        i == (int)aim);
	levels = cJSON_AddObjectToObject(o, "difficulty");
	for (int i = 0; i < 3; i++)
		cJSON_AddNumberToObject(levels, task_level_name((enum task_level)i), 1 + 0.5 * i);
	/* of the strict run's answers, not of the dense run's before it */
	cJSON_AddNumberToObject(o, "completions",
	                        fmin(fmax(r->steps * r->prompts * r->members, 16), 65536));
	cJSON_AddNumberToObject(o, "repairs", 64);
	stages = cJSON_AddObjectToObject(o, "stages");
	cJSON_AddNumberToObject(stages, "over", 256);
	cJSON_AddNumberToObject(stages, "least", 32);
	cJSON_AddNumberToObject(stages, "balanced_from", 0.3);
	cJSON_AddNumberToObject(stages, "hard_from", 0.6);
	rc = stages_write(&x->stages, "curriculum.json", o, e);
	cJSON_Delete(o);
	return rc;
}

int experiment_make_repair(void *experiment, cJSON *figures, struct err *e)
{
	struct experiment *x = experiment;
	char rules[PATH_MAX];
	enum build_class aim;
	cJSON *runs;

	if (choose_aim(x, &aim, figures, e) < 0 || write_rules(x, aim, e) < 0)
		return -1;
	stages_say(&x->stages, false, "repair: aimed at %s", build_class_name(aim));
	stages_path(&x->stages, rules, sizeof(rules), "curriculum.json");
	runs = cJSON_AddObjectToObject(figures, "runs");
	for (int seed = 1; seed <= (int)x->recipe.seeds; seed++)
		for (int control = 0; control < 2; control++) {
			struct plan p = { .x = x,
				          .arm = control ? ARM_CONTROL : ARM_REPAIR,
				          .seed = seed,
				          .reward = "strict",
				          .steps = (int)x->recipe.repair_steps,
				          .curriculum = control ? "" : rules };
			if (experiment_policy(x, ARM_STRICT, seed, p.adapter, e) < 0 ||
			    learn(&p, runs, e) < 0)
				return -1;
		}
	return 0;
}
