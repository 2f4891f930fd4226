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
const char *demo_stage_name(enum demo_stage s);

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
	double sft_tokens, sft_drills, sft_lr, sft_decay, sft_rank, sft_alpha, sft_repairs, sft_shuffled;
	/* the test */
	double held, repairs, unseen, turns;
};
struct demo_setting {
	const char *name;
	size_t at; /* of the double in struct demo_recipe */
	double usual, min, max;
	bool whole;
	enum demo_stage stage; /* the first that it changes */
	const char *what;
};
extern const struct demo_setting demo_settings[];
extern const int demo_settings_count;
void demo_recipe_default(struct demo_recipe *r);
/* "NAME=VALUE"; ERR_USAGE says what there is. */
int demo_recipe_set(struct demo_recipe *r, const char *text, struct err *e);

struct demo {
	const struct app *app; /* after app_find() and app_catch_interrupt() */
	struct store *store;
	struct demo_recipe recipe;
	char out[4096];
	double minutes; /* of the two trainings together, instead of tokens; 0 */
	int threads;    /* of the trainings; 0: all */
	struct prompt_set prompts;
	double told; /* the last line of progress */
};

/* Reads OUT's recipe, or begins one. @d->recipe: what was given, @given: names of it, commas
 * between; a recipe that is there must agree in those, unless @again says that the stages from
 * there on are made anew. */
int demo_open(struct demo *d, const char *given, enum demo_stage again, struct err *e);
void demo_close(struct demo *d);
/* Makes the stage unless it is done. ERR_CANCELLED when it was interrupted: called again it goes
 * on.
 */
int demo_make(struct demo *d, enum demo_stage s, struct err *e);
bool demo_done(const struct demo *d, enum demo_stage s);

/* ---- what the stages share ---- */

/* "OUT/NAME" */
void demo_path(const struct demo *d, char *out, size_t size, const char *name);
cJSON *demo_read(const struct demo *d, const char *name, struct err *e); /* OUT/NAME as JSON */
int demo_write(const struct demo *d, const char *name, const cJSON *o, struct err *e);
/* Removes OUT/NAME, a file or a folder with all that is in it. */
int demo_remove(const struct demo *d, const char *name, struct err *e);
/* A line on standard error; with @often at most every 5 s. */
void demo_say(struct demo *d, bool often, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

int demo_make_corpus(struct demo *d, cJSON *figures, struct err *e);
/* OUT/@to: the rows of OUT/@from, and drills until they are @share of all. Nothing is built. */
int demo_mix_drills(struct demo *d, const char *from, const char *to, double share, struct err *e);
int demo_make_tokenizer(struct demo *d, cJSON *figures, struct err *e);
int demo_make_base(struct demo *d, cJSON *figures, struct err *e);
int demo_make_sft(struct demo *d, cJSON *figures, struct err *e);
int demo_make_report(struct demo *d, cJSON *figures, struct err *e);

/* train demo: argv[0] is "demo". */
int cmd_train_demo(const struct cmd *self, int argc, char **argv);

#endif
