/*
 * settings.h - what a host works with and a person may change between turns: who writes and how it
 * is sampled, what is counted, when an episode ends.
 *
 * As JSON, one name each:
 *     model (a folder or an address; null: none), adapters [{dir, scale}], backend "auto" "cuda"
 *     "cpu", dtype "bf16" "f32" "int8" or null, threads, context (0: the engine's choice), timeout
 *     temperature, top_p, top_k, min_p, presence_penalty, seed (whole; past 2^53 as a string),
 *     max_tokens, stop [texts], thinking "on" "off", guard
 *     command (a shell command that writes instead of a model; null: none), command_wall
 *     profile, reference (null: the profile's own), prompts
 *     turns, group, enough (null: never), no_gain, stop_on_error, early (build while it streams)
 */
#ifndef SRC_SETTINGS_H
#define SRC_SETTINGS_H

#include "src/episode.h"
#include "src/model_flags.h"

struct settings {
	struct model_flags flags; /* its texts are the settings' own */
	char *model, *dtype, *stop[INFER_STOPS_MAX];
	char *command, *profile, *reference, *prompts; /* NULL: none */
	double command_wall_s;
	struct episode_rules rules;
	bool early;
	/* set by name: they stay as they are when another model is set */
	bool adapters_given, prompts_given, temperature_given;
};

/* Defaults, the model of CADFORGE_MODEL. */
void settings_init(struct settings *s);
/* Where no model is set: the demonstration model with its adapter, if there is one (after
 * app_find()); and what the model's folder asks for. 0, or -1 with @e: what keeps the folder from
 * being asked; the settings hold all the same. */
int settings_default_model(struct settings *s, const struct app *app, struct err *e);
void settings_release(struct settings *s);

enum { SETTINGS_MODEL = 1, SETTINGS_SCORING = 2 }; /* what must be opened anew */

/* Changes what @o names, or nothing at all: -1 (ERR_USAGE) with the name, what was expected and
 * what came; ERR_MEM. Another model brings its own wishes (src/model_about.h) for the prompts and
 * the temperature, and no adapters, where these were never set by name. @changed (may be NULL) gets bits of the above added. */
int settings_set(struct settings *s, const cJSON *o, unsigned *changed, struct err *e);
/* All of them; the caller's to delete. */
cJSON *settings_json(const struct settings *s);
/* @to becomes as @from is. */
int settings_copy(struct settings *to, const struct settings *from, struct err *e);

#endif
