/*
 * model_about.h - what a model's folder says of itself for this program: how it wants to be asked
 * and sampled when nobody says otherwise.
 *
 * cadforge.json beside config.json, all keys may be left out:
 *     {"name": "demo",        what it is called instead of its folder
 *      "label": "...",        one line for people: what it can and cannot do
 *      "about": "...",        the same at length
 *      "prompts": "demo",     the prompt set that it was trained with
 *      "answer_tokens": 400}  the longest answer that it was trained on, in its own tokens
 * and of generation_config.json: do_sample false, or temperature 0, means the likeliest token.
 */
#ifndef SRC_MODEL_ABOUT_H
#define SRC_MODEL_ABOUT_H

#include <stdbool.h>

#include "src/base/err.h"

struct model_about {
	char name[64], label[240], about[1000], prompts[64]; /* "": not said */
	int answer_tokens;                                   /* 0: not said */
	bool greedy;
};

/* @model: as --model takes it; NULL, an address and a folder without those files say nothing. 0;
 * -1 with @e (ERR_INPUT, with the file) when one of them cannot be used. */
int model_about_read(struct model_about *out, const char *model, struct err *e);

#endif
