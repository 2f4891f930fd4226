#include "src/demo.h"

#include <stddef.h>
#include <string.h>

#include "src/demo_eval.h"
#include "src/packs.h"

/* clang-format off */
#define R(name) #name, offsetof(struct demo_recipe, name)
static const struct stage_setting settings[] = {
	{ R(seed), 3407, 0, 1e9, true, DEMO_CORPUS, "of all that is drawn" },
	{ R(base_tokens), 3.5e6, 1e3, 1e10, true, DEMO_CORPUS, "tokens fed to the base" },
	{ R(base_drills), 0.45, 0, 0.9, false, DEMO_CORPUS, "share of the early documents that are copy drills: until 40 % of the run, falling to none at 70 %" },
	{ R(base_repairs), 0.15, 0, 0.9, false, DEMO_CORPUS, "share of the base's other documents that are repairs" },
	{ R(base_shuffled), 0.25, 0, 1, false, DEMO_CORPUS, "share of them, from 35 % of the run on, whose prompt has the numbers in another order" },
	{ R(sft_tokens), 2.5e6, 1e3, 1e10, true, DEMO_CORPUS, "tokens fed to the adapter" },
	{ R(sft_drills), 0.45, 0, 0.9, false, DEMO_SFT, "share of the adapter's early documents that are drills" },
	{ R(sft_repairs), 0.25, 0, 0.9, false, DEMO_CORPUS, "share of the adapter's documents that are repairs" },
	{ R(sft_shuffled), 0.35, 0, 1, false, DEMO_CORPUS, "share whose prompt has the numbers in another order" },
	{ R(unique), 0.5, 0.01, 1, false, DEMO_CORPUS, "share of the tokens fed that is there to be fed; the rest is met again" },
	{ R(vocabulary), 2048, 300, 65536, true, DEMO_TOKENIZER, "entries of the tokenizer" },
	{ R(hidden), 192, 16, 8192, true, DEMO_BASE, "width" },
	{ R(layers), 6, 1, 128, true, DEMO_BASE, "layers" },
	{ R(attention_every), 3, 1, 128, true, DEMO_BASE, "every so manieth layer has full attention" },
	{ R(heads), 4, 1, 128, true, DEMO_BASE, "of attention" },
	{ R(kv_heads), 2, 1, 128, true, DEMO_BASE, "their keys and values" },
	{ R(head_dim), 48, 4, 512, true, DEMO_BASE, "values of a head" },
	{ R(rotary_share), 0.25, 0.01, 1, false, DEMO_BASE, "of a head that turns with the position" },
	{ R(rope_theta), 10000, 1, 1e9, false, DEMO_BASE, "base of the turning" },
	{ R(delta_heads), 4, 1, 128, true, DEMO_BASE, "heads of the recurrent layers" },
	{ R(delta_dim), 48, 4, 512, true, DEMO_BASE, "values of one" },
	{ R(conv), 4, 2, 16, true, DEMO_BASE, "taps of their convolution" },
	{ R(mlp), 512, 16, 65536, true, DEMO_BASE, "width of the MLP" },
	{ R(context), 4096, 64, 1048576, true, DEMO_BASE, "tokens that a sequence may have" },
	{ R(batch_tokens), 3072, 64, 1e6, true, DEMO_BASE, "tokens of a step" },
	{ R(base_lr), 0.004, 0, 1, false, DEMO_BASE, "learning rate of what is no matrix (AdamW)" },
	{ R(base_muon), 0.015, 0, 1, false, DEMO_BASE, "learning rate of the matrices (Muon)" },
	{ R(base_decay), 0, 0, 1, false, DEMO_BASE, "share of the run, its end, in which the rate falls to nothing" },
	{ R(base_all), 0, 0, 1, true, DEMO_BASE, "1: the prompts are learnt as well" },
	{ R(sft_lr), 0.002, 0, 1, false, DEMO_SFT, "learning rate of the adapter (AdamW)" },
	{ R(sft_decay), 0.7, 0, 1, false, DEMO_SFT, "share of the run in which it falls to nothing" },
	{ R(sft_rank), 16, 1, 1024, true, DEMO_SFT, "rank of the adapter, on all linear layers" },
	{ R(sft_alpha), 32, 0.01, 4096, false, DEMO_SFT, "its scale, times the rank" },
	{ R(held), 240, 1, 100000, true, DEMO_EVALUATE, "prompts held out, of known families" },
	{ R(repairs), 140, 0, 100000, true, DEMO_EVALUATE, "broken programs to be repaired" },
	{ R(unseen), 90, 0, 100000, true, DEMO_EVALUATE, "prompts of the families never seen" },
	{ R(turns), 3, 0, 100, true, DEMO_EVALUATE, "turns for each task; 0: the tasks are left out" },
};
#undef R
/* clang-format on */

static const char *const names[] = { "corpus", "tokenizer", "base", "sft", "evaluate", "report" };
static int (*const make[])(void *, cJSON *, struct err *) = {
	demo_make_corpus, demo_make_tokenizer, demo_make_base,
	demo_make_sft,    demo_make_evaluate,  demo_make_report,
};
const struct stages_plan demo_plan = {
	.verb = "train demo",
	.name = names,
	.make = make,
	.n = DEMO_STAGES,
	.setting = settings,
	.settings = (int)(sizeof(settings) / sizeof(*settings)),
};

int demo_open(struct demo *d, struct err *e)
{
	struct prompts_dirs dirs;

	if (stages_open(&d->stages, e) < 0)
		return -1;
	prompts_dirs(&dirs, d->stages.app);
	return prompt_set_load(&d->prompts, dirs.dir, dirs.n, "demo", e);
}

void demo_close(struct demo *d)
{
	prompt_set_release(&d->prompts);
	stages_close(&d->stages);
}
