/*
 * grpo_settings.h - every hyper-parameter of reinforcement learning, by name: one table from which
 * the flags of `train grpo`, the keys of --config-json, the defaults and the lines of --help come.
 *
 * All settings of a run are one JSON object ("the settings"): the loop's (struct grpo_settings),
 * the policy's (gpu/policy.h), and what the verb needs to find model, tasks and prompts again. It
 * is what the run's row in the store keeps and what `train resume` goes on with. A key that is
 * absent has its default.
 *
 * The flag of a key is the key with dashes; that of a list is its singular, and may be repeated.
 *
 * Defaults are for a LoRA adapter on any model. What hangs on the model: the rate ("lr", see
 * grpo_usual_lr()), and the budget of an answer ("max_tokens", from the data: src/grpo_budget.h).
 */
#ifndef SRC_GRPO_SETTINGS_H
#define SRC_GRPO_SETTINGS_H

#include <stddef.h>

#include "src/grpo.h"

enum grpo_setting_kind {
	SETTING_WHOLE,
	SETTING_NUMBER,
	SETTING_TEXT,
	SETTING_CHOICE, /* one of @words */
	SETTING_SWITCH, /* true or false; as a flag on or off */
	SETTING_FOLDER, /* a path, made absolute */
	SETTING_LIST,   /* of texts; the flag adds one */
	SETTING_FOLDERS /* of paths; the flag adds one */
};

/* Who reads it. */
enum { SETTING_LOOP = 1, SETTING_POLICY = 2, SETTING_VERB = 4 };

struct grpo_setting {
	const char *key, *flag; /* flag NULL: the key with dashes */
	enum grpo_setting_kind kind;
	int of;                   /* SETTING_LOOP | ... */
	double usual, min, max;   /* of numbers; usual NAN: none is put in. Of a switch: 0 or 1 */
	const char *text, *words; /* the usual text, or NULL; the choices, "a|b" */
	size_t at, size;          /* of SETTING_LOOP: in struct grpo_settings; size of a text */
	const char *sign, *what;  /* for --help: "N", and a line or more */
};
extern const struct grpo_setting grpo_setting_table[];
extern const int grpo_setting_count;

/* "clip-low" of a key; @out: 40 bytes. */
void grpo_setting_flag(char *out, const struct grpo_setting *s);

/* Puts what a flag says into @all, a list's word after those that are there. ERR_USAGE names the
 * flag and what was expected. */
int grpo_setting_take(cJSON *all, const struct grpo_setting *s, const char *text, struct err *e);
/* Keys of @more that @all has not. ERR_INPUT: one that there is not, or of the wrong type. */
int grpo_settings_add(cJSON *all, const cJSON *more, struct err *e);
/* The published settings by name, where @all has not said otherwise. ERR_USAGE names those there
 * are. */
int grpo_settings_preset(cJSON *all, const char *name, struct err *e);
/* All presets, a line each, for --help. */
void grpo_settings_presets(struct buf *out);

/* @all into the loop's and the policy's. Every key is looked at. ERR_INPUT: key, what was expected,
 * what is there. *@policy is the caller's to delete; it has no "model", "out" when @all has none.
 */
int grpo_settings_read(struct grpo_settings *loop, cJSON **policy, const cJSON *all, struct err *e);

/* What @all does not say of loop and policy, as far as this table knows it: so that a run's row has
 * what it was, whatever later is usual. */
void grpo_settings_complete(cJSON *all);

/* The rate of AdamW on an adapter: 5e-6 for models of 10^9 parameters and more, as published;
 * 1.5e-3 for 10^7 and fewer (of 5e-4, 1.5e-3 and 6e-3 the one with which the demonstration model
 * had learnt most after ten steps); between them in proportion, by logarithms. All of a model: a
 * tenth of that. */
double grpo_usual_lr(double parameters, bool full);

/* The lines of --help. */
void grpo_settings_help(struct buf *out);

#endif
