/*
 * evaluation.c - the doing: items are asked for, and each is stored when it is over.
 */
#include "src/evaluation.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/model.h"
#include "src/base/clock.h"
#include "src/base/sha256.h"
#include "src/evaluation_inside.h"
#include "src/far_engine.h"
#include "src/rollouts.h"
#include "src/scoring.h"

enum { AT_ONCE = 64, RUNS_LOOKED_AT = 400, TRIES = 2 };

struct doing {
	const struct evaluation_options *o;
	struct rollouts *rollouts;
	int64_t run;
	int all, done, asked; /* items; asked: the next one */
	int under_way;
	struct one {
		bool done, lost;
		int task, seed;
		struct evaluation_item item;
		struct store_rollout *row;
		int n;
		cJSON *settings; /* of its episode */
	} * v;
	double since;      /* when the last item was over, or all began: time that was worked */
	struct err failed; /* of a callback */
	bool stop, over;   /* over: all of it was there */
};

/* ---- settings ---- */

/* Of the weights, so that an adapter that was trained further under the same name is another. */
static int hash_file(const char *dir, const char *name, char out[SHA256_HEX], struct err *e)
{
	char path[PATH_MAX], block[1 << 16];
	struct sha256 h;
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return err_errno(e, ERR_INPUT, "%s/%s", dir, name);
	sha256_start(&h);
	while ((n = read(fd, block, sizeof(block))) > 0)
		sha256_add(&h, block, (size_t)n);
	close(fd);
	if (n < 0)
		return err_errno(e, ERR_IO, "%s: reading", path);
	sha256_end_hex(&h, out);
	return 0;
}

/* A server's and a random one's are known by their names alone. */
static int add_model_hash(cJSON *o, const char *dir, struct err *e)
{
	char path[PATH_MAX], hex[SHA256_HEX];
	struct model m;

	if (snprintf(path, sizeof(path), "%s/config.json", dir) >= (int)sizeof(path) ||
	    access(path, F_OK) < 0) {
		json_add_text(o, "model_hash", NULL);
		return 0;
	}
	if (model_open(&m, dir, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(m.hash); i++)
		snprintf(hex + 2 * i, 3, "%02x", m.hash[i]);
	model_close(&m);
	cJSON_AddStringToObject(o, "model_hash", hex);
	return 0;
}

static int add_adapters(cJSON *o, const struct model_flags *m, struct err *e)
{
	cJSON *list = cJSON_AddArrayToObject(o, "adapters");

	for (int i = 0; i < m->n_adapters; i++) {
		char hex[SHA256_HEX];
		cJSON *one;
		if (hash_file(m->adapter[i].dir, "adapter_model.safetensors", hex, e) < 0)
			return -1;
		one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "folder", m->adapter[i].dir);
		cJSON_AddNumberToObject(one, "scale", (double)m->adapter[i].weight);
		cJSON_AddStringToObject(one, "hash", hex);
		cJSON_AddItemToArray(list, one);
	}
	return 0;
}

static void add_tasks(cJSON *o, const struct evaluation_options *v)
{
	cJSON *list = cJSON_AddArrayToObject(o, "tasks");
	struct sha256 h;
	char hex[SHA256_HEX], seeds[64];

	sha256_start(&h);
	for (int i = 0; i < v->n_tasks; i++) {
		const struct task *t = v->task[i];
		cJSON *one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "task", t->id);
		cJSON_AddStringToObject(one, "pack", t->pack ? t->pack : "");
		cJSON_AddStringToObject(one, "hash", t->hash);
		cJSON_AddStringToObject(one, "level", task_level_name(t->level));
		json_add_figure(one, "diagonal_mm",
		                sqrt(t->bbox_mm[0] * t->bbox_mm[0] + t->bbox_mm[1] * t->bbox_mm[1] +
		                     t->bbox_mm[2] * t->bbox_mm[2]));
		cJSON_AddItemToArray(list, one);
		sha256_add(&h, t->id, strlen(t->id) + 1);
		sha256_add(&h, t->hash, strlen(t->hash) + 1);
	}
	snprintf(seeds, sizeof(seeds), "%d %llu", v->seeds, (unsigned long long)v->seed);
	sha256_add(&h, seeds, strlen(seeds));
	sha256_end_hex(&h, hex);
	hex[16] = '\0';
	cJSON_AddStringToObject(o, "set", hex);
}

static cJSON *settings_of(const struct evaluation_options *v, struct err *e)
{
	const struct scoring_options so = {
		.app = v->app, .profile = v->profile, .reference = v->reference, .rebuilds = -1
	};
	struct scoring *s = scoring_open(&so, e);
	cJSON *o, *sampling;
	const cJSON *x;

	if (!s)
		return NULL;
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "arm", v->arm);
	json_add_text(o, "model", v->model->model);
	cJSON_AddStringToObject(o, "model_name", v->model->about.name);
	if (add_model_hash(o, v->model->model, e) < 0 || add_adapters(o, v->model, e) < 0) {
		scoring_close(s);
		cJSON_Delete(o);
		return NULL;
	}
	sampling = model_flags_sampling(v->model);
	/* each item has its own */
	cJSON_DeleteItemFromObjectCaseSensitive(sampling, "seed");
	cJSON_AddItemToObject(o, "sampling", sampling);
	cJSON_AddStringToObject(o, "profile", scoring_profile_name(s));
	cJSON_AddStringToObject(o, "profile_hash", scoring_profile_hash(s));
	json_add_text(o, "reference", v->reference);
	cJSON_AddStringToObject(o, "prompts", v->prompts->name);
	cJSON_AddStringToObject(o, "prompts_hash", v->prompts->hash);
	cJSON_AddNumberToObject(o, "seeds", v->seeds);
	cJSON_AddNumberToObject(o, "seed", (double)v->seed);
	cJSON_AddNumberToObject(o, "turns", v->turns);
	json_add_figure(o, "enough", v->enough);
	cJSON_AddNumberToObject(o, "max_tokens", v->max_tokens);
	add_tasks(o, v);
	cJSON_ArrayForEach(x, v->about)
	{
		cJSON_DeleteItemFromObjectCaseSensitive(o, x->string);
		cJSON_AddItemToObject(o, x->string, cJSON_Duplicate(x, true));
	}
	scoring_close(s);
	return o;
}

/* ---- a run to go on with ---- */

struct looking {
	const char *settings;
	int64_t run;
	bool ended;
};

static int look_at_run(void *ctx, const struct store_run *r)
{
	struct looking *l = ctx;

	if (strcmp(r->kind, "eval") != 0 || !r->settings || strcmp(r->settings, l->settings) != 0)
		return 0;
	l->run = r->id;
	l->ended = r->ended_us != 0;
	return 1;
}

static int see_done(void *ctx, const struct store_rollout *r)
{
	struct doing *d = ctx;

	if (r->group >= 0 && r->group < d->o->n_tasks && r->member >= 1 &&
	    r->member <= d->o->seeds) {
		struct one *x = &d->v[r->group * d->o->seeds + r->member - 1];
		d->done += !x->done;
		x->done = true;
	}
	return 0;
}

static int begin_run(struct doing *d, struct err *e)
{
	const struct evaluation_options *o = d->o;
	cJSON *settings = settings_of(o, e);
	struct buf text = { 0 };
	struct looking l;
	int rc = -1;

	if (!settings)
		return -1;
	json_print(&text, settings);
	cJSON_Delete(settings);
	l = (struct looking){ .settings = buf_str(&text) };
	if (buf_failed(&text)) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	if (!o->anew && store_runs(o->store, 0, RUNS_LOOKED_AT, look_at_run, &l, e) < 0)
		goto out;
	d->run = l.run;
	if (!d->run)
		rc = store_run_start(o->store, "eval", buf_str(&text), &d->run, e);
	else
		rc = store_rollouts(o->store, d->run, 0, 0, see_done, d, e);
	if (rc == 0 && l.ended && d->done < d->all)
		rc = store_run_again(o->store, d->run, e);
	d->over = rc == 0 && l.ended && d->done == d->all;
out:
	buf_release(&text);
	return rc;
}

/* ---- answers ---- */

static void on_done(void *ctx, const struct rollout *r)
{
	struct doing *d = ctx;
	struct one *x = r->user;
	struct evaluation_item *i = &x->item;
	struct store_rollout *more;

	if (!r->scored) {
		x->lost = true;
		return;
	}
	if (!r->number) {
		/* the store says what is wrong with it where it can still be read */
		if (!d->failed.kind)
			err_set(&d->failed, ERR_IO,
			        "%s: an answer could not be stored, so the evaluation stops here: "
			        "make room, then the same command goes on%s%s",
			        store_file(d->o->store), r->why.text[0] ? "; " : "", r->why.text);
		x->lost = d->stop = true;
		return;
	}
	more = realloc(x->row, (size_t)(x->n + 1) * sizeof(*more));
	if (!more) {
		x->lost = true;
		return;
	}
	x->row = more;
	x->row[x->n++] = (struct store_rollout){ .turn_id = r->turn_id,
		                                 .group = x->task,
		                                 .member = x->seed,
		                                 .round = r->turn,
		                                 .kind = "eval",
		                                 .reward = r->scored->total,
		                                 .advantage = NAN,
		                                 .use = "" };
	i->episode = r->episode;
	evaluation_item_turn(i, r->number, r->scored->built, r->scored->total, r->scored->cls,
	                     r->clipped, r->n);
	i->generate_s += r->generate_s;
	i->score_s += r->score_s;
	if (i->best == r->number)
		evaluation_item_score(i, r->scored->json);
}

/* Its turns and what they took, together. */
static int store_item(struct doing *d, struct one *x, struct err *e)
{
	struct store *s = d->o->store;
	struct store_step step = { .kind = "eval",
		                   .step = (int64_t)(x - d->v) + 1,
		                   .loss = NAN,
		                   .lr = NAN,
		                   .norm = NAN,
		                   .seconds = x->item.generate_s + x->item.score_s,
		                   .tokens = x->item.tokens };
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };
	double now = clock_now_s();
	int rc;

	cJSON_AddStringToObject(o, "task", d->o->task[x->task]->id);
	cJSON_AddNumberToObject(o, "member", x->seed);
	cJSON_AddNumberToObject(o, "episode", (double)x->item.episode);
	json_add_figure(o, "generate_s", x->item.generate_s);
	json_add_figure(o, "score_s", x->item.score_s);
	json_add_figure(o, "wall_s", now - d->since);
	d->since = now;
	json_print(&text, o);
	cJSON_Delete(o);
	step.data = buf_str(&text);
	rc = store_batch_begin(s, e);
	if (rc == 0) {
		rc = store_rollouts_add(s, d->run, x->row, x->n, e);
		if (rc == 0)
			rc = store_steps_add(s, d->run, &step, 1, e);
		rc = store_batch_end(s, rc == 0, rc == 0 ? e : NULL) < 0 ? -1 : rc;
	}
	buf_release(&text);
	return rc;
}

static void release_one(struct one *x)
{
	free(x->row);
	x->row = NULL;
	x->n = 0;
	cJSON_Delete(x->settings);
	x->settings = NULL;
}

static int ask_more(struct doing *d)
{
	const struct evaluation_options *o = d->o;

	for (; d->asked < d->all && d->under_way < AT_ONCE; d->asked++) {
		struct one *x = &d->v[d->asked];
		struct rollout_group g = { .task = o->task[x->task],
			                   .members = 1,
			                   .turns = o->turns,
			                   .enough = o->enough,
			                   .seed = o->seed + (uint64_t)x->seed - 1,
			                   .user = x };
		if (x->done)
			continue;
		x->lost = false;
		evaluation_item_none(&x->item, x->task, x->seed);
		x->settings = cJSON_CreateObject();
		cJSON_AddStringToObject(x->settings, "arm", o->arm);
		cJSON_AddNumberToObject(x->settings, "seed", x->seed);
		cJSON_AddNumberToObject(x->settings, "turns", o->turns);
		g.settings = x->settings;
		if (rollouts_add(d->rollouts, &g, &d->failed) < 0)
			return -1;
		d->under_way++;
	}
	return 0;
}

static void on_group(void *ctx, int group, void *user)
{
	struct doing *d = ctx;
	struct one *x = user;

	(void)group;
	d->under_way--;
	if (!x->lost && x->n > 0 && !d->stop) {
		if (store_item(d, x, &d->failed) < 0) {
			d->stop = true;
		} else {
			x->done = true;
			d->done++;
			if (d->o->item &&
			    d->o->item(d->o->ctx, &x->item, d->o->task[x->task], d->done, d->all))
				d->stop = true;
		}
	}
	release_one(x);
	if (!d->stop && ask_more(d) < 0)
		d->stop = true;
}

static int on_tick(void *ctx)
{
	const struct doing *d = ctx;

	return d->stop || app_interrupted();
}

static int ask_all(struct doing *d, struct err *e)
{
	/* what was lost, by us and not by the model, is asked for once more */
	for (int pass = 0; pass < TRIES && d->done < d->all; pass++) {
		d->asked = 0;
		if (ask_more(d) < 0 || rollouts_run(d->rollouts, e) < 0 || d->failed.kind ||
		    d->stop) {
			if (d->failed.kind)
				*e = d->failed;
			else if (d->stop || !e->kind)
				err_set(e, ERR_CANCELLED, "stopped");
			return -1;
		}
	}
	return 0;
}

static int check(const struct evaluation_options *o, struct err *e)
{
	if (o->n_tasks < 1)
		return err_set(e, ERR_USAGE, "there is no task to evaluate on");
	if (o->seeds < 1 || o->seeds > EVALUATION_SEEDS_MAX || o->turns < 1)
		return err_set(e, ERR_USAGE, "seeds: 1 to %d were expected, and at least one turn",
		               EVALUATION_SEEDS_MAX);
	if (o->seeds > 1 && !(o->model->sampling.temperature > 0))
		return err_set(
			e, ERR_USAGE,
			"%d seeds at temperature 0 would all give the same answer: one seed, or "
			"a temperature above 0 (--temperature 0.6)",
			o->seeds);
	return 0;
}

int evaluation_run(const struct evaluation_options *o, int64_t *run, struct err *e)
{
	struct doing d = { .o = o, .all = o->n_tasks * o->seeds };
	struct engine_choice choice = { o->app, o->model };
	struct rollouts_options ro = { .app = o->app,
		                       .store = o->store,
		                       .source = "eval",
		                       .model = o->model,
		                       .prompts = o->prompts,
		                       .scoring = { .app = o->app,
		                                    .profile = o->profile,
		                                    .reference = o->reference,
		                                    .rebuilds = -1 },
		                       .max_tokens = o->max_tokens,
		                       .slots = o->slots,
		                       .light = o->light,
		                       .ctx = &d,
		                       .done = on_done,
		                       .group_over = on_group,
		                       .tick = on_tick,
		                       .engine = engine_choose,
		                       .engine_ctx = &choice };
	struct err late = { 0 };
	const char *outcome;
	int rc = -1;

	*run = 0;
	if (check(o, e) < 0)
		return -1;
	if (!(d.v = calloc((size_t)d.all, sizeof(*d.v))))
		return err_set(e, ERR_MEM, "no memory for %d items", d.all);
	for (int i = 0; i < d.all; i++) {
		d.v[i].task = i / o->seeds;
		d.v[i].seed = i % o->seeds + 1;
	}
	if (!o->light)
		ro.scoring.artifacts = SCORING_BREP | SCORING_STEP | SCORING_STL | SCORING_VIEWS;
	if (begin_run(&d, e) < 0)
		goto out;
	*run = ro.run = d.run;
	d.since = clock_now_s();
	rc = d.done < d.all ? -1 : 0;
	if (d.over)
		goto out;
	if (rc < 0 && (d.rollouts = rollouts_open(&ro, e)))
		rc = ask_all(&d, e);
	/* a stop, and whatever failed, is something to go on from */
	outcome = rc == 0 ? "done" : e->kind == ERR_CANCELLED ? "stopped" : "failed";
	if (store_run_end(o->store, d.run, outcome, &late) < 0 && rc == 0) {
		*e = late;
		rc = -1;
	}
out:
	rollouts_close(d.rollouts);
	for (int i = 0; i < d.all; i++)
		release_one(&d.v[i]);
	free(d.v);
	return rc;
}
