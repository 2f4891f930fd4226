#include "src/experiment.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "src/base/json.h"
#include "src/packs.h"

/* clang-format off */
#define R(name) #name, offsetof(struct experiment_recipe, name)
static const struct stage_setting settings[] = {
	{ R(seed), 3407, 0, 1e9, true, EXPERIMENT_TASKS, "of all that is drawn" },
	{ R(train), 64, 1, 5000, true, EXPERIMENT_TASKS, "tasks to learn from" },
	{ R(held), 60, 2, 5000, true, EXPERIMENT_TASKS, "tasks that are held out" },
	{ R(mend), 16, 1, 5000, true, EXPERIMENT_TASKS, "held-out broken programs of each failure class" },
	{ R(sft_tokens), 2e5, 1e3, 1e9, true, EXPERIMENT_SFT, "tokens fed to the first adapter, about" },
	{ R(sft_repairs), 0.3, 0, 1, false, EXPERIMENT_SFT, "share of its rows that are repairs" },
	{ R(noise), 0.5, 0, 1, false, EXPERIMENT_SFT, "share of its first tries whose answer does not build: the policy is to be weak" },
	{ R(noise_repairs), 0.5, 0, 1, false, EXPERIMENT_SFT, "share of its repairs whose answer is as broken as it was" },
	{ R(sft_lr), 2e-3, 0, 1, false, EXPERIMENT_SFT, "its learning rate" },
	{ R(seeds), 2, 1, 16, true, EXPERIMENT_DENSE, "runs of each kind" },
	{ R(steps), 30, 1, 1e5, true, EXPERIMENT_DENSE, "steps of dense and of strict" },
	{ R(prompts), 4, 1, 256, true, EXPERIMENT_DENSE, "groups of a step" },
	{ R(members), 8, 2, 64, true, EXPERIMENT_DENSE, "answers of a group" },
	{ R(lr), 3e-3, 0, 1, false, EXPERIMENT_DENSE, "learning rate of reinforcement" },
	{ R(temperature), 0.8, 0.01, 10, false, EXPERIMENT_DENSE, "at which answers are drawn, in training and test" },
	{ R(repair_steps), 8, 1, 1e5, true, EXPERIMENT_REPAIR, "steps of repair and of its control" },
	{ R(repair_share), 0.75, 0, 1, false, EXPERIMENT_REPAIR, "share of their prompts that are repairs of the class aimed at" },
	{ R(samples), 2, 1, 64, true, EXPERIMENT_EVALUATE, "answers of each policy to each held-out prompt" },
};
#undef R
/* clang-format on */

static const char *const names[] = { "tasks",  "sft",      "dense", "strict",
	                             "repair", "evaluate", "report" };
static int (*const make[])(void *, cJSON *, struct err *) = {
	experiment_make_tasks,  experiment_make_sft,    experiment_make_dense,
	experiment_make_strict, experiment_make_repair, experiment_make_evaluate,
	experiment_make_report,
};
const struct stages_plan experiment_plan = {
	.verb = "train experiment",
	.name = names,
	.make = make,
	.n = EXPERIMENT_STAGES,
	.setting = settings,
	.settings = (int)(sizeof(settings) / sizeof(*settings)),
};

int experiment_open(struct experiment *x, struct err *e)
{
	struct prompts_dirs dirs;

	if (!model_demo_base(x->stages.app, x->base, sizeof(x->base)))
		return err_set(e, ERR_LACKS,
		               "there is no demonstration model, on which the experiment is made: "
		               "'cadforge train demo --out DIR' makes one");
	if (stages_open(&x->stages, e) < 0)
		return -1;
	prompts_dirs(&dirs, x->stages.app);
	return prompt_set_load(&x->prompts, dirs.dir, dirs.n, "demo", e);
}

void experiment_close(struct experiment *x)
{
	prompt_set_release(&x->prompts);
	stages_close(&x->stages);
}

/* ---- policies ---- */

int experiment_model(struct experiment *x, struct model_flags *m, const char *adapter,
                     struct err *e)
{
	model_flags_init(m);
	m->model = x->base;
	m->backend = GPU_CPU;
	m->threads = x->threads;
	m->thinking = CHAT_THINKING_OFF;
	m->no_adapter = !*adapter;
	if (*adapter) {
		snprintf(m->names[0], sizeof(m->names[0]), "%s", adapter);
		m->adapter[m->n_adapters++] = (struct gpu_adapter){ m->names[0], 1 };
	}
	m->sampling.temperature = (float)x->recipe.temperature;
	m->sampling.top_p = 1;
	m->sampling.top_k = 0;
	m->temperature_given = true;
	return model_flags_finish(m, x->stages.app, e);
}

int experiment_policy(struct experiment *x, enum experiment_arm a, int seed, char out[4200],
                      struct err *e)
{
	static const char *const files[ARMS] = {
		"", "", "dense.json", "strict.json", "repair.json", "repair.json"
	};
	char name[32];
	const cJSON *run;
	cJSON *o;
	int rc = -1;

	out[0] = '\0';
	if (a == ARM_BASE)
		return 0;
	if (a == ARM_SFT) {
		stages_path(&x->stages, out, 4200, "sft");
		return 0;
	}
	if (!(o = stages_read(&x->stages, files[a], e)))
		return -1;
	experiment_policy_name(name, a, seed);
	run = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "runs"), name);
	if (run) {
		snprintf(out, 4200, "%s", json_string_or(run, "policy", ""));
		rc = 0;
	} else {
		err_set(e, ERR_INPUT, "%s/%s: there is no run %s", x->stages.out, files[a], name);
	}
	cJSON_Delete(o);
	return rc;
}
