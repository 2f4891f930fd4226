#include "src/grpo_settings.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/utf8.h"

enum { TEXT_MAX = 4000, LIST_MAX = 1 << 20 };

#define AT(field)      .at = offsetof(struct grpo_settings, field)
#define TEXT_AT(field) AT(field), .size = sizeof(((struct grpo_settings *)NULL)->field)

/* clang-format off */
const struct grpo_setting grpo_setting_table[] = {
	/* what is learnt from, and by whom: the verb's */
	{ "model", NULL, SETTING_FOLDER, SETTING_POLICY | SETTING_VERB, .sign = "DIR",
	  .what = "the model that learns (CADFORGE_MODEL, else the demonstration model with its adapter)" },
	{ "adapter", NULL, SETTING_FOLDER, SETTING_POLICY | SETTING_VERB, .sign = "DIR",
	  .what = "goes on with this adapter; none: begins one" },
	{ "out", NULL, SETTING_FOLDER, SETTING_POLICY | SETTING_VERB, .sign = "DIR",
	  .what = "the run's folder: policy, checkpoints (a new one of the user's)" },
	{ "packs", "pack", SETTING_FOLDERS, SETTING_VERB, .sign = "DIR",
	  .what = "tasks of this pack too; may be repeated. Without --task the run learns from all of them" },
	{ "tasks", "task", SETTING_LIST, SETTING_VERB, .sign = "ID",
	  .what = "a task to learn from; may be repeated (all of the packs given, else all there are)" },
	{ "held_out", "held-out", SETTING_LIST, SETTING_VERB, .sign = "ID",
	  .what = "a task that is answered on the way and never learnt from; may be repeated" },
	{ "prompt_set", NULL, SETTING_TEXT, SETTING_VERB, .sign = "NAME",
	  .what = "the words of prompts (the model's own set, else default)" },
	{ "backend", NULL, SETTING_CHOICE, SETTING_POLICY | SETTING_VERB, .words = "auto|cpu|cuda", .sign = "B",
	  .what = "auto, cpu or cuda, of engine and trainer" },
	{ "engine_dtype", NULL, SETTING_CHOICE, SETTING_VERB, .words = "bf16|f32|int8", .sign = "D",
	  .what = "how the engine holds the base's weights (as stored)" },

	/* a step */
	{ "steps", NULL, SETTING_WHOLE, SETTING_LOOP | SETTING_POLICY, .usual = 100, .min = 1, .max = 5e7, AT(steps),
	  .sign = "N", .what = "how many" },
	{ "prompts", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 4, .min = 1, .max = 4096, AT(prompts), .sign = "N",
	  .what = "groups that a step learns from" },
	{ "members", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 8, .min = 2, .max = 64, AT(members), .sign = "N",
	  .what = "answers a group" },
	{ "turns", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 1, .min = 1, .max = 16, AT(turns), .sign = "N",
	  .what = "of an answer that is repaired until it is enough" },
	{ "enough", NULL, SETTING_NUMBER, SETTING_LOOP, .usual = 0.92, .min = -1, .max = 1, AT(enough), .sign = "TOTAL",
	  .what = "that is enough" },
	{ "reward", NULL, SETTING_TEXT, SETTING_LOOP, .text = "exact-train", TEXT_AT(reward), .sign = "R",
	  .what = "dense, dense-full, strict, exact, exact-train, seed-fast, seed-full, or a profile's file" },
	{ "reference", NULL, SETTING_TEXT, SETTING_LOOP, .text = "", TEXT_AT(reference), .sign = "REF",
	  .what = "task, none, seed-task, a file or a folder, as of score (the profile's own)" },

	/* from rewards to advantages */
	{ "advantage", NULL, SETTING_CHOICE, SETTING_LOOP, .words = "group|centred", .sign = "A",
	  .what = "(r - mean) / std of the group (GRPO), or r - mean (Dr. GRPO)" },
	{ "delta", NULL, SETTING_NUMBER, SETTING_LOOP, .usual = 0, .min = 0, .max = 10, AT(group.delta), .sign = "X",
	  .what = "a repair's reward is raised by X times what it gained" },
	{ "mask_clipped", NULL, SETTING_SWITCH, SETTING_LOOP, .usual = 1, AT(group.mask_clipped), .sign = "on|off",
	  .what = "answers without an end are not learnt from" },
	{ "tries", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 2, .min = 1, .max = 64, AT(tries), .sign = "N",
	  .what = "groups drawn at most, times --prompts: those without spread are replaced (DAPO); 1: not" },
	{ "guards", "guard", SETTING_LIST, SETTING_LOOP, .sign = "NAME=POLICY[:LIMIT[:WINDOW]]",
	  .what = "reward, dead, clipped, kl or lost; off, warn, replace or stop; may be repeated "
	          "(reward=warn:0.05:64, dead=replace:0.5:8, clipped=replace:0.05:4, kl=warn:0.5:5, lost=warn:0.1:4)" },

	/* prompts */
	{ "repairs", NULL, SETTING_NUMBER, SETTING_LOOP, .usual = 0, .min = 0, .max = 1, AT(repairs), .sign = "SHARE",
	  .what = "of the prompts are repairs from the curriculum" },
	{ "curriculum", NULL, SETTING_TEXT, SETTING_LOOP, .text = "default", TEXT_AT(curriculum), .sign = "RULES",
	  .what = "its rules" },
	{ "stage", NULL, SETTING_CHOICE, SETTING_LOOP, .words = "auto|foundation|balanced|hard", TEXT_AT(stage),
	  .sign = "S", .what = "auto, foundation, balanced, hard" },
	{ "weight", NULL, SETTING_CHOICE, SETTING_LOOP, .words = "mastery|seed", TEXT_AT(weight), .sign = "W",
	  .what = "mastery, or seed: the published formula" },
	{ "mine", NULL, SETTING_SWITCH, SETTING_LOOP, .usual = 0, AT(mine), .sign = "on|off",
	  .what = "failures that the database had before are repaired too" },

	/* answers */
	{ "temperature", NULL, SETTING_NUMBER, SETTING_LOOP | SETTING_POLICY, .usual = 1, .min = 0.01, .max = 100,
	  AT(temperature), .sign = "T", .what = "of sampling" },
	{ "top_p", NULL, SETTING_NUMBER, SETTING_LOOP, .usual = 1, .min = 0, .max = 1, AT(top_p), .sign = "P",
	  .what = "1: all that the policy says; less biases what is learnt" },
	{ "top_k", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 0, .min = 0, .max = 1000, AT(top_k), .sign = "K",
	  .what = "0: all" },
	{ "max_tokens", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 0, .min = 0, .max = 1 << 20, AT(max_tokens),
	  .sign = "N", .what = "of an answer; 0: from the data, so that nothing is cut off" },
	{ "context", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 0, .min = 0, .max = 1 << 20, AT(context), .sign = "N",
	  .what = "tokens of prompt and answer (the model's, at most 32768)" },
	{ "slots", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 0, .min = 0, .max = 1024, AT(slots), .sign = "N",
	  .what = "answers decoded together (the engine's choice)" },

	/* the update */
	{ "reduction", NULL, SETTING_CHOICE, SETTING_POLICY, .words = "dapo|grpo|dr_grpo", .sign = "R",
	  .what = "of the loss: over all tokens (DAPO), by answer (GRPO), by longest answer (Dr. GRPO)" },
	{ "beta", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 100, .sign = "X",
	  .what = "pull to the reference, the base without an adapter (0)" },
	{ "watch_kl", NULL, SETTING_SWITCH, SETTING_POLICY, .usual = NAN, .sign = "on|off",
	  .what = "the distance to it is measured though beta is 0: one more forward a step (off)" },
	{ "clip_low", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "X",
	  .what = "of the ratio: at least 1 - X (0.2)" },
	{ "clip_high", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 100, .sign = "X",
	  .what = "at most 1 + X (0.2; DAPO's clip-higher: 0.28)" },
	{ "weighted_kl", NULL, SETTING_SWITCH, SETTING_POLICY, .usual = NAN, .sign = "on|off",
	  .what = "the pull is multiplied by the ratio (on)" },
	{ "updates", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = NAN, .min = 1, .max = 64, .sign = "N",
	  .what = "of the parameters on each step's answers (1)" },
	{ "importance_cap", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1000, .sign = "X",
	  .what = "of the weight that evens out how engine and trainer round (2); 0: none" },
	{ "method", NULL, SETTING_CHOICE, SETTING_POLICY, .words = "lora|full", .sign = "M",
	  .what = "an adapter, or all of the model" },
	{ "rank", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = NAN, .min = 1, .max = 1024, .sign = "N",
	  .what = "of a new adapter (16)" },
	{ "alpha", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1e6, .sign = "X", .what = "(32)" },
	{ "rslora", NULL, SETTING_SWITCH, SETTING_POLICY, .usual = NAN, .sign = "on|off", .what = "(off)" },
	{ "targets", "target", SETTING_LIST, SETTING_POLICY, .sign = "NAME",
	  .what = "a layer that it stands beside; may be repeated (the published seven)" },
	{ "lr", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 10, .sign = "X",
	  .what = "5e-6 from 10^9 parameters on, 1.5e-3 up to 10^7, between in proportion; all of a model: a tenth" },
	{ "lr_muon", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 10, .sign = "X",
	  .what = "of Muon (0.02)" },
	{ "optimizer", NULL, SETTING_CHOICE, SETTING_POLICY, .words = "adamw|muon", .sign = "O", .what = "adamw or muon" },
	{ "schedule", NULL, SETTING_CHOICE, SETTING_POLICY, .words = "constant|cosine|linear|flat-linear", .sign = "S",
	  .what = "of the rate: constant, cosine, linear, flat-linear" },
	{ "warmup", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = 0, .min = 0, .max = 1, .sign = "SHARE",
	  .what = "of the steps" },
	{ "floor", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 10, .sign = "LR",
	  .what = "at which the schedule ends (0)" },
	{ "decay_share", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "SHARE",
	  .what = "of flat-linear (0.3)" },
	{ "beta1", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "X", .what = "(0.9)" },
	{ "beta2", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "X", .what = "(0.999)" },
	{ "eps", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "X", .what = "(1e-8)" },
	{ "decay", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 10, .sign = "X", .what = "(0)" },
	{ "momentum", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1, .sign = "X",
	  .what = "of Muon (0.95)" },
	{ "clip", NULL, SETTING_NUMBER, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1e9, .sign = "NORM",
	  .what = "of all gradients (1); 0: not" },
	{ "pass_rows", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = NAN, .min = 1, .max = 1 << 24, .sign = "N",
	  .what = "tokens that are in the trainer's memory together" },
	{ "recompute", NULL, SETTING_SWITCH, SETTING_POLICY, .usual = NAN, .sign = "on|off",
	  .what = "less memory for more time (off)" },
	{ "memory_bytes", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = NAN, .min = 0, .max = 1e15, .sign = "N",
	  .what = "of the device, for the trainer (what is free)" },
	{ "dtype", NULL, SETTING_CHOICE, SETTING_POLICY, .words = "f32|bf16", .sign = "D", .what = "of what is saved" },
	{ "threads", NULL, SETTING_WHOLE, SETTING_POLICY | SETTING_VERB, .usual = NAN, .min = 0, .max = 4096, .sign = "N",
	  .what = "of the CPU, of engine and trainer, which take turns (all)" },

	/* the run */
	{ "seed", NULL, SETTING_WHOLE, SETTING_LOOP | SETTING_POLICY, .usual = 3407, .min = 0, .max = 9007199254740991.0,
	  AT(seed), .sign = "N", .what = "of order, sampling and first values" },
	{ "save_every", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = 10, .min = 0, .max = 5e7, .sign = "N",
	  .what = "steps between checkpoints" },
	{ "keep", NULL, SETTING_WHOLE, SETTING_POLICY, .usual = 3, .min = 1, .max = 1e6, .sign = "N",
	  .what = "checkpoints that stay" },
	{ "eval_every", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 0, .min = -1, .max = 5e7, AT(eval_every), .sign = "N",
	  .what = "steps between answers to held-out tasks; 0: at the end alone; -1: never" },
	{ "eval_answers", NULL, SETTING_WHOLE, SETTING_LOOP, .usual = 1, .min = 1, .max = 64, AT(eval_answers),
	  .sign = "N", .what = "to each of them; 1: the likeliest" },
};
/* clang-format on */
const int grpo_setting_count = sizeof(grpo_setting_table) / sizeof(*grpo_setting_table);

/* reward-seed.md, section 8: model and settings of the published runs. What they do not say is what
 * their trainer has by itself: no pull, token loss, linear schedule without warm-up, no masks and
 * no dynamic sampling. A step of theirs is prompts x members = batch x accumulation. */
static const struct {
	const char *name, *what, *settings;
} presets[] = {
	{ "seed-2b-dense", "the published 2B run under the dense reward",
	  "{\"prompts\":4,\"members\":4,\"steps\":80,\"reward\":\"dense\",\"max_tokens\":2048,"
	  "\"context\":8192,\"lr\":5e-6,\"schedule\":\"linear\",\"tries\":1,\"mask_clipped\":false,"
	  "\"importance_cap\":0}" },
	{ "seed-9b-dense", "the published 9B run under the dense reward",
	  "{\"prompts\":2,\"members\":2,\"steps\":40,\"reward\":\"dense\",\"max_tokens\":2048,"
	  "\"context\":8192,\"lr\":5e-6,\"schedule\":\"linear\",\"tries\":1,\"mask_clipped\":false,"
	  "\"importance_cap\":0}" },
	{ "seed-9b-strict", "the published 9B run under the build gate",
	  "{\"prompts\":2,\"members\":2,\"steps\":80,\"reward\":\"strict\",\"max_tokens\":2048,"
	  "\"context\":8192,\"lr\":3e-6,\"schedule\":\"linear\",\"tries\":1,\"mask_clipped\":false,"
	  "\"importance_cap\":0}" },
	{ "seed-9b-repair", "the published adaptive repair run",
	  "{\"prompts\":2,\"members\":2,\"steps\":45,\"reward\":\"strict\",\"max_tokens\":8192,"
	  "\"context\":16384,\"lr\":2e-6,\"schedule\":\"linear\",\"tries\":1,"
	  "\"mask_clipped\":false,\"importance_cap\":0,\"repairs\":1,\"mine\":true,"
	  "\"weight\":\"seed\",\"stage\":\"foundation\"}" },
	{ "seed-9b-loop", "a round of the published self-improving loop",
	  "{\"prompts\":2,\"members\":2,\"steps\":12,\"reward\":\"strict\",\"max_tokens\":1536,"
	  "\"context\":8192,\"lr\":2e-6,\"schedule\":\"linear\",\"tries\":1,\"mask_clipped\":false,"
	  "\"importance_cap\":0,\"repairs\":1,\"mine\":true,\"weight\":\"seed\",\"stage\":"
	  "\"foundation\"}" },
};
enum { PRESETS = sizeof(presets) / sizeof(*presets) };

void grpo_setting_flag(char *out, const struct grpo_setting *s)
{
	int n = 0;

	for (const char *p = s->flag ? s->flag : s->key; *p && n < 39; p++)
		out[n++] = *p == '_' ? '-' : *p;
	out[n] = '\0';
}

static const struct grpo_setting *find(const char *key)
{
	for (int i = 0; i < grpo_setting_count; i++)
		if (strcmp(grpo_setting_table[i].key, key) == 0)
			return &grpo_setting_table[i];
	return NULL;
}

static void put(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	cJSON_AddItemToObject(o, key, v);
}

static bool is_list(const struct grpo_setting *s)
{
	return s->kind == SETTING_LIST || s->kind == SETTING_FOLDERS;
}

static bool is_word(const char *words, const char *w)
{
	size_t n = strlen(w);

	for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (n > 0 && strncmp(p, w, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	return false;
}

/* A path that means the same in other processes and at another time; one that is not there stays
 * as it is, behind the folder that we are in. */
static cJSON *absolute(const char *path)
{
	char real[PATH_MAX], here[PATH_MAX];
	struct buf b = { 0 };
	cJSON *v;

	if (realpath(path, real)) {
		buf_adds(&b, real);
	} else {
		if (*path != '/' && getcwd(here, sizeof(here)))
			buf_printf(&b, "%s/", here);
		buf_adds(&b, path);
	}
	v = cJSON_CreateString(buf_str(&b));
	buf_release(&b);
	return v;
}

/* A text that may be a file's path. */
static cJSON *text_value(const char *text)
{
	return strchr(text, '/') && access(text, F_OK) == 0 ? absolute(text)
	                                                    : cJSON_CreateString(text);
}

/* ---- one value ---- */

static int wrong(struct err *e, const char *key, const char *wanted, const char *got)
{
	struct buf clean = { 0 };

	utf8_clean_line(&clean, got, strnlen(got, 60));
	err_set(e, ERR_INPUT, "setting %s: %s was expected, got %s", key, wanted, buf_str(&clean));
	buf_release(&clean);
	return -1;
}

static int check_number(const struct grpo_setting *s, const cJSON *v, struct err *e)
{
	char wanted[120], got[40];
	bool whole = s->kind == SETTING_WHOLE;

	snprintf(wanted, sizeof(wanted), "a %snumber from %.10g to %.10g", whole ? "whole " : "",
	         s->min, s->max);
	if (!cJSON_IsNumber(v))
		return wrong(e, s->key, wanted, cJSON_IsString(v) ? v->valuestring : "no number");
	snprintf(got, sizeof(got), "%.10g", v->valuedouble);
	if (!(v->valuedouble >= s->min && v->valuedouble <= s->max) ||
	    (whole && v->valuedouble != floor(v->valuedouble)))
		return wrong(e, s->key, wanted, got);
	return 0;
}

static int check(const struct grpo_setting *s, const cJSON *v, struct err *e)
{
	const cJSON *x;

	switch (s->kind) {
	case SETTING_WHOLE:
	case SETTING_NUMBER:
		return check_number(s, v, e);
	case SETTING_SWITCH:
		return cJSON_IsBool(v) ? 0 : wrong(e, s->key, "true or false", "something else");
	case SETTING_LIST:
	case SETTING_FOLDERS:
		if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > LIST_MAX)
			return wrong(e, s->key, "a list of texts", "something else");
		cJSON_ArrayForEach(
			x, v) if (!cJSON_IsString(x) || !*x->valuestring ||
		                  strlen(x->valuestring) >
		                          TEXT_MAX) return wrong(e, s->key, "a list of texts",
		                                                 "a list with something else");
		return 0;
	default:
		break;
	}
	if (!cJSON_IsString(v) || strlen(v->valuestring) > TEXT_MAX)
		return wrong(e, s->key, "a text", cJSON_IsString(v) ? "a longer one" : "no text");
	if (s->kind == SETTING_CHOICE && !is_word(s->words, v->valuestring))
		return wrong(e, s->key, s->words, v->valuestring);
	if (s->size && strlen(v->valuestring) >= s->size)
		return wrong(e, s->key, "a shorter text", v->valuestring);
	return 0;
}

/* ---- from flags, files and presets ---- */

int grpo_setting_take(cJSON *all, const struct grpo_setting *s, const char *text, struct err *e)
{
	char flag[40], *end;
	cJSON *v, *list;

	grpo_setting_flag(flag, s);
	switch (s->kind) {
	case SETTING_WHOLE:
	case SETTING_NUMBER: {
		errno = 0;
		double d = strtod(text, &end);
		if (!*text || *end || !isfinite(d))
			return err_set(e, ERR_USAGE, "--%s: a number was expected, got '%.40s'",
			               flag, text);
		v = cJSON_CreateNumber(d);
		break;
	}
	case SETTING_SWITCH:
		if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
			return err_set(e, ERR_USAGE, "--%s: on or off was expected, got '%.40s'",
			               flag, text);
		v = cJSON_CreateBool(text[1] == 'n');
		break;
	case SETTING_FOLDER:
	case SETTING_FOLDERS:
		if (!*text)
			return err_set(e, ERR_USAGE, "--%s: a path was expected", flag);
		/* "none" is a word of --adapter */
		v = strcmp(text, "none") == 0 ? cJSON_CreateString(text) : absolute(text);
		break;
	case SETTING_TEXT:
		v = text_value(text);
		break;
	default:
		v = cJSON_CreateString(text);
	}
	if (!is_list(s)) {
		if (check(s, v, e) < 0) {
			cJSON_Delete(v);
			if (e)
				e->kind = ERR_USAGE;
			return err_wrap(e, "--%s", flag);
		}
		put(all, s->key, v);
		return 0;
	}
	list = cJSON_GetObjectItemCaseSensitive(all, s->key);
	if (!list)
		list = cJSON_AddArrayToObject(all, s->key);
	cJSON_AddItemToArray(list, v);
	return 0;
}

int grpo_settings_add(cJSON *all, const cJSON *more, struct err *e)
{
	const cJSON *x, *p;

	if (!cJSON_IsObject(more))
		return err_set(e, ERR_INPUT, "an object of settings was expected");
	cJSON_ArrayForEach(x, more)
	{
		const struct grpo_setting *s = find(x->string);
		cJSON *v;
		if (!s) {
			struct buf clean = { 0 };
			utf8_clean_line(&clean, x->string, strnlen(x->string, 60));
			err_set(e, ERR_INPUT,
			        "there is no setting %s; 'cadforge train grpo --help' has them",
			        buf_str(&clean));
			buf_release(&clean);
			return -1;
		}
		if (check(s, x, e) < 0)
			return -1;
		if (cJSON_HasObjectItem(all, s->key))
			continue;
		if (s->kind == SETTING_FOLDER && strcmp(x->valuestring, "none") != 0) {
			v = absolute(x->valuestring);
		} else if (s->kind == SETTING_TEXT) {
			v = text_value(x->valuestring);
		} else if (s->kind == SETTING_FOLDERS) {
			v = cJSON_CreateArray();
			cJSON_ArrayForEach(p, x) cJSON_AddItemToArray(v, absolute(p->valuestring));
		} else {
			v = cJSON_Duplicate(x, true);
		}
		cJSON_AddItemToObject(all, s->key, v);
	}
	return 0;
}

int grpo_settings_preset(cJSON *all, const char *name, struct err *e)
{
	struct buf known = { 0 };

	for (int i = 0; i < PRESETS; i++) {
		if (strcmp(presets[i].name, name) == 0) {
			cJSON *o = json_parse(presets[i].settings, strlen(presets[i].settings), e);
			int rc = o ? grpo_settings_add(all, o, e) : -1;
			cJSON_Delete(o);
			buf_release(&known);
			return rc;
		}
		buf_printf(&known, "%s%s", i ? ", " : "", presets[i].name);
	}
	err_set(e, ERR_USAGE, "--preset: %s was expected, got '%.40s'", buf_str(&known), name);
	buf_release(&known);
	return -1;
}

void grpo_settings_presets(struct buf *out)
{
	for (int i = 0; i < PRESETS; i++)
		buf_printf(out, "  %-16s  %s\n", presets[i].name, presets[i].what);
}

/* ---- what the run reads ---- */

static cJSON *usual(const struct grpo_setting *s)
{
	char word[32];

	switch (s->kind) {
	case SETTING_WHOLE:
	case SETTING_NUMBER:
		return isnan(s->usual) ? NULL : cJSON_CreateNumber(s->usual);
	case SETTING_SWITCH:
		return isnan(s->usual) ? NULL : cJSON_CreateBool(s->usual != 0);
	case SETTING_CHOICE:
		if (!(s->of & (SETTING_LOOP | SETTING_POLICY)))
			return NULL;
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(s->words, "|"), s->words);
		return cJSON_CreateString(word);
	case SETTING_TEXT:
		return s->text ? cJSON_CreateString(s->text) : NULL;
	default:
		return NULL;
	}
}

static void store(struct grpo_settings *out, const struct grpo_setting *s, const cJSON *v)
{
	char *at = (char *)out + s->at;

	if (strcmp(s->key, "advantage") == 0)
		out->group.advantage =
			strcmp(v->valuestring, "group") == 0 ? ADVANTAGE_GROUP : ADVANTAGE_CENTRED;
	else if (strcmp(s->key, "steps") == 0)
		out->steps = (int64_t)v->valuedouble;
	else if (strcmp(s->key, "seed") == 0)
		out->seed = (uint64_t)v->valuedouble;
	else if (s->kind == SETTING_WHOLE)
		*(int *)(void *)at = (int)v->valuedouble;
	else if (s->kind == SETTING_NUMBER)
		*(double *)(void *)at = v->valuedouble;
	else if (s->kind == SETTING_SWITCH)
		*(bool *)(void *)at = cJSON_IsTrue(v);
	else if (s->size)
		snprintf(at, s->size, "%s", v->valuestring);
}

static int read_guards(struct grpo_settings *loop, const cJSON *list, struct err *e)
{
	const cJSON *x;

	grpo_guard_usual(loop->guard);
	cJSON_ArrayForEach(x,
	                   list) if (grpo_guard_set(loop->guard, x->valuestring, e) < 0) return -1;
	return 0;
}

int grpo_settings_read(struct grpo_settings *loop, cJSON **policy, const cJSON *all, struct err *e)
{
	cJSON *whole = cJSON_CreateObject(), *rest = cJSON_CreateObject();
	struct grpo_settings got = { 0 };
	int rc = -1;

	if (grpo_settings_add(whole, all, e) < 0)
		goto out;
	for (int i = 0; i < grpo_setting_count; i++) {
		const struct grpo_setting *s = &grpo_setting_table[i];
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(whole, s->key);
		cJSON *made = v ? NULL : usual(s);
		bool none = s->kind == SETTING_FOLDER && v && strcmp(v->valuestring, "none") == 0;
		v = v ? v : made;
		if (v && (s->of & SETTING_LOOP) && s->kind != SETTING_LIST)
			store(&got, s, v);
		if (v && (s->of & SETTING_POLICY) && !none)
			cJSON_AddItemToObject(rest, s->key, cJSON_Duplicate(v, true));
		cJSON_Delete(made);
	}
	if (read_guards(&got, cJSON_GetObjectItemCaseSensitive(whole, "guards"), e) < 0)
		goto out;
	*loop = got;
	*policy = rest;
	rest = NULL;
	rc = 0;
out:
	cJSON_Delete(whole);
	cJSON_Delete(rest);
	return rc;
}

void grpo_settings_complete(cJSON *all)
{
	for (int i = 0; i < grpo_setting_count; i++) {
		const struct grpo_setting *s = &grpo_setting_table[i];
		cJSON *v = cJSON_HasObjectItem(all, s->key) ? NULL : usual(s);
		if (v)
			cJSON_AddItemToObject(all, s->key, v);
	}
}

double grpo_usual_lr(double parameters, bool full)
{
	double share = (log10(parameters) - 7) / 2, lr; /* 0 at 10^7, 1 at 10^9 */

	share = share < 0 ? 0 : share > 1 ? 1 : share;
	lr = exp(log(1.5e-3) + share * (log(5e-6) - log(1.5e-3)));
	/* two digits: a figure that a person would have written */
	char text[32];
	snprintf(text, sizeof(text), "%.1e", full ? lr / 10 : lr);
	return strtod(text, NULL);
}

static void usual_text(char *out, size_t size, const struct grpo_setting *s)
{
	cJSON *v = usual(s);
	struct buf text = { 0 };

	out[0] = '\0';
	if (v && !(cJSON_IsString(v) && !*v->valuestring)) {
		if (cJSON_IsString(v))
			buf_adds(&text, v->valuestring);
		else if (cJSON_IsBool(v))
			buf_adds(&text, cJSON_IsTrue(v) ? "on" : "off");
		else
			json_print(&text, v);
		snprintf(out, size, " (%s)", buf_str(&text));
	}
	cJSON_Delete(v);
	buf_release(&text);
}

void grpo_settings_help(struct buf *out)
{
	for (int i = 0; i < grpo_setting_count; i++) {
		const struct grpo_setting *s = &grpo_setting_table[i];
		char flag[40], head[96], value[64];
		grpo_setting_flag(flag, s);
		snprintf(head, sizeof(head), "--%s %s", flag, s->sign);
		usual_text(value, sizeof(value), s);
		if (strlen(head) > 22)
			buf_printf(out, "  %s\n  %-22s  %s%s\n", head, "", s->what, value);
		else
			buf_printf(out, "  %-22s  %s%s\n", head, s->what, value);
	}
}
