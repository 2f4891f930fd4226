/*
 * demo.h - the demonstration model from nothing: the recipe, its stages, and where each leaves
 * what.
 *
 *     corpus      programs, repairs and drills (src/corpus.h), every program built and scored
 *     tokenizer   2,048 entries, learnt from the corpus
 *     base        a fresh model of the recipe's shape, all of it trained
 *     sft         an adapter on that base
 *     evaluate    both put to the test (src/demo_eval.h)
 *     report      the page, with curves and pictures
 *
 * All of it lies in one folder, OUT:
 *     recipe.json, builds.jsonl (what every program came to, by its hash)
 *     corpus.json, tokenizer.json, base.json, sft.json, evaluate.json, report.json: a stage is done
 *         when its file is there; its figures
 *     base.jsonl, sft.jsonl, held.jsonl     rows, gpu/dataset.h
 *     sft-rows.jsonl                        sft.jsonl with drills
 *     tokenizer/, base-run/, sft-run/       the last two with checkpoints, gpu/training.h
 *     base-events.jsonl, sft-events.jsonl   what the trainings told
 *     evaluate/                             each answer, a line each
 *     demo/           what is installed: base/, sft/, README.md, pictures/
 */
#ifndef SRC_DEMO_H
#define SRC_DEMO_H

#include "engine/prompts.h"
#include "src/app.h"
#include "src/cmd.h"
#include "src/stages.h"
#include "src/store.h"

enum demo_stage {
	DEMO_CORPUS,
	DEMO_TOKENIZER,
	DEMO_BASE,
	DEMO_SFT,
	DEMO_EVALUATE,
	DEMO_REPORT,
	DEMO_STAGES
};

/* What shapes the result. One table in src/demo.c has names, defaults, ranges and what each is. */
struct demo_recipe {
	double seed, vocabulary;
	/* the base's shape */
	double hidden, layers, attention_every, heads, kv_heads, head_dim, rotary_share, rope_theta;
	double delta_heads, delta_dim, conv, mlp, context;
	/* training: tokens fed in all, and how */
	double batch_tokens, unique;
	double base_tokens, base_lr, base_muon, base_decay, base_drills, base_repairs,
		base_shuffled, base_all;
	double sft_tokens, sft_drills, sft_lr, sft_decay, sft_rank, sft_alpha, sft_repairs,
		sft_shuffled;
	/* the test */
	double held, repairs, unseen, turns;
};
/* Stages, and one table with names, defaults, ranges and what each value is. */
extern const struct stages_plan demo_plan;

struct demo {
	struct stages stages; /* its app is ours */
	struct store *store;
	struct demo_recipe recipe;
	double minutes; /* of the two trainings together, instead of tokens; 0 */
	int threads;    /* of the trainings; 0: all */
	struct prompt_set prompts;
};

/* stages_open(), and what the stages share. */
int demo_open(struct demo *d, struct err *e);
void demo_close(struct demo *d);

int demo_make_corpus(void *demo, cJSON *figures, struct err *e);
/* OUT/@to: the rows of OUT/@from, and drills until they are @share of all. Nothing is built. */
int demo_mix_drills(struct demo *d, const char *from, const char *to, double share, struct err *e);
int demo_make_tokenizer(void *demo, cJSON *figures, struct err *e);
int demo_make_base(void *demo, cJSON *figures, struct err *e);
int demo_make_sft(void *demo, cJSON *figures, struct err *e);
int demo_make_report(void *demo, cJSON *figures, struct err *e);

/* train demo: argv[0] is "demo". */
int cmd_train_demo(const struct cmd *self, int argc, char **argv);

#endif
