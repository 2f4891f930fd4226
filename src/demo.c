#include "src/demo.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/demo_eval.h"
#include "src/packs.h"

enum { JSON_MAX = 64 << 20 };

/* clang-format off */
#define R(name) #name, offsetof(struct demo_recipe, name)
const struct demo_setting demo_settings[] = {
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
const int demo_settings_count = (int)(sizeof(demo_settings) / sizeof(*demo_settings));

static double *value_of(const struct demo_recipe *r, const struct demo_setting *s)
{
	return (double *)(void *)((char *)(void *)(uintptr_t)(const void *)r + s->at);
}

void demo_recipe_default(struct demo_recipe *r)
{
	for (int i = 0; i < demo_settings_count; i++)
		*value_of(r, &demo_settings[i]) = demo_settings[i].usual;
}

int demo_recipe_set(struct demo_recipe *r, const char *text, struct err *e)
{
	const char *is = strchr(text, '=');
	char *end = NULL;

	for (int i = 0; is && i < demo_settings_count; i++) {
		const struct demo_setting *s = &demo_settings[i];
		if (strlen(s->name) != (size_t)(is - text) ||
		    strncmp(s->name, text, (size_t)(is - text)) != 0)
			continue;
		double v = strtod(is + 1, &end);
		if (end == is + 1 || *end || !(v >= s->min && v <= s->max) ||
		    (s->whole && v != floor(v)))
			return err_set(e, ERR_USAGE,
			               "%s: a %snumber from %g to %g was expected, got '%.40s'",
			               s->name, s->whole ? "whole " : "", s->min, s->max, is + 1);
		*value_of(r, s) = v;
		return 0;
	}
	return err_set(
		e, ERR_USAGE,
		"'%.60s': NAME=VALUE was expected; 'cadforge train demo --help' lists the names",
		text);
}

const char *demo_stage_name(enum demo_stage s)
{
	static const char *const names[] = { "corpus", "tokenizer", "base",
		                             "sft",    "evaluate",  "report" };

	return names[s];
}

/* ---- the folder ---- */

void demo_path(const struct demo *d, char *out, size_t size, const char *name)
{
	if (snprintf(out, size, "%s/%s", d->out, name) >= (int)size)
		out[0] = '\0'; /* opening it then fails; demo_open() refuses such folders */
}

cJSON *demo_read(const struct demo *d, const char *name, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	cJSON *o = NULL;

	demo_path(d, path, sizeof(path), name);
	if (buf_read_file(&text, path, JSON_MAX, e) == 0 &&
	    !(o = json_parse(buf_str(&text), text.len, e)))
		err_wrap(e, "%s", path);
	buf_release(&text);
	return o;
}

int demo_write(const struct demo *d, const char *name, const cJSON *o, struct err *e)
{
	char path[PATH_MAX], *text = cJSON_Print(o);
	int rc;

	demo_path(d, path, sizeof(path), name);
	rc = text ? file_write_atomic(path, text, strlen(text), e)
	          : err_set(e, ERR_MEM, "no memory for %s", name);
	free(text);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int demo_remove(const struct demo *d, const char *name, struct err *e)
{
	char path[PATH_MAX];

	demo_path(d, path, sizeof(path), name);
	if (access(path, F_OK) == 0 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		return err_errno(e, ERR_IO, "%s cannot be removed", path);
	return 0;
}

void demo_say(struct demo *d, bool often, const char *fmt, ...)
{
	enum { EVERY_S = 5 };
	double now = clock_now_s();
	struct buf text = { 0 };
	va_list ap;

	if (d->app->quiet || (often && now - d->told < EVERY_S))
		return;
	d->told = now;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	app_tell("%s", buf_str(&text));
	buf_release(&text);
}

static void stage_file(char *out, size_t size, enum demo_stage s)
{
	snprintf(out, size, "%s.json", demo_stage_name(s));
}

bool demo_done(const struct demo *d, enum demo_stage s)
{
	char name[32], path[PATH_MAX];

	stage_file(name, sizeof(name), s);
	demo_path(d, path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

static cJSON *recipe_json(const struct demo_recipe *r)
{
	cJSON *o = cJSON_CreateObject();

	for (int i = 0; i < demo_settings_count; i++)
		cJSON_AddNumberToObject(o, demo_settings[i].name, *value_of(r, &demo_settings[i]));
	return o;
}

static bool named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* What was given must be as it is there, or belong to a stage that is not made yet. */
static int agree(struct demo *d, const cJSON *was, const char *given, enum demo_stage again,
                 struct err *e)
{
	for (int i = 0; i < demo_settings_count; i++) {
		const struct demo_setting *s = &demo_settings[i];
		double now = *value_of(&d->recipe, s),
		       before = json_number_or(was, s->name, s->usual);
		if (!named(given, s->name))
			*value_of(&d->recipe, s) = before;
		else if (now != before && s->stage < again && demo_done(d, s->stage))
			return err_set(e, ERR_USAGE,
			               "%s has %s = %g, and its stage %s is done: --stage %s makes "
			               "it anew with %g, another --out begins another model",
			               d->out, s->name, before, demo_stage_name(s->stage),
			               demo_stage_name(s->stage), now);
	}
	return 0;
}

int demo_open(struct demo *d, const char *given, enum demo_stage again, struct err *e)
{
	struct prompts_dirs dirs;
	char path[PATH_MAX];
	cJSON *o = NULL;

	if (strlen(d->out) > sizeof(d->out) - 200)
		return err_set(e, ERR_USAGE, "--out: the folder's path is too long");
	if (mkdir(d->out, 0777) < 0 && errno != EEXIST)
		return err_errno(e, ERR_IO, "%s", d->out);
	if (!realpath(d->out, path) || strlen(path) > sizeof(d->out) - 200)
		return err_errno(e, ERR_IO, "%s", d->out);
	snprintf(d->out, sizeof(d->out), "%s", path);
	demo_path(d, path, sizeof(path), "recipe.json");
	if (access(path, F_OK) == 0) {
		if (!(o = demo_read(d, "recipe.json", e)))
			return -1;
		int rc = agree(d, o, given, again, e);
		cJSON_Delete(o);
		if (rc < 0)
			return -1;
	}
	o = recipe_json(&d->recipe);
	int rc = demo_write(d, "recipe.json", o, e);
	cJSON_Delete(o);
	if (rc < 0)
		return -1;
	/* what rests on a stage that is made anew is made anew with it */
	for (int s = again; s < DEMO_STAGES; s++) {
		char name[32];
		stage_file(name, sizeof(name), (enum demo_stage)s);
		demo_path(d, path, sizeof(path), name);
		if (unlink(path) < 0 && errno != ENOENT)
			return err_errno(e, ERR_IO, "%s", path);
	}
	prompts_dirs(&dirs, d->app);
	return prompt_set_load(&d->prompts, dirs.dir, dirs.n, "demo", e);
}

void demo_close(struct demo *d)
{
	prompt_set_release(&d->prompts);
}

int demo_make(struct demo *d, enum demo_stage s, struct err *e)
{
	static int (*const make[])(struct demo *, cJSON *, struct err *) = {
		demo_make_corpus, demo_make_tokenizer, demo_make_base,
		demo_make_sft,    demo_make_evaluate,  demo_make_report,
	};
	double began = clock_now_s();
	char name[32];
	cJSON *o;
	int rc;

	if (demo_done(d, s)) {
		demo_say(d, false, "%s: done before", demo_stage_name(s));
		return 0;
	}
	for (int before = 0; before < (int)s; before++)
		if (!demo_done(d, (enum demo_stage)before))
			return err_set(e, ERR_USAGE,
			               "%s: stage %s comes before %s, and is not done", d->out,
			               demo_stage_name((enum demo_stage)before),
			               demo_stage_name(s));
	demo_say(d, false, "%s: begins", demo_stage_name(s));
	if (!(o = cJSON_CreateObject()))
		return err_set(e, ERR_MEM, "out of memory");
	rc = make[s](d, o, e);
	if (rc == 0) {
		if (!cJSON_HasObjectItem(o, "seconds"))
			cJSON_AddNumberToObject(o, "seconds", clock_now_s() - began);
		stage_file(name, sizeof(name), s);
		rc = demo_write(d, name, o, e);
	}
	if (rc == 0)
		demo_say(d, false, "%s: done after %.0f s", demo_stage_name(s),
		         clock_now_s() - began);
	cJSON_Delete(o);
	return rc;
}
