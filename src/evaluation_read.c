/*
 * evaluation_read.c - from the store's rows to figures, and two evaluations beside one another.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/curriculum.h"
#include "src/evaluation_inside.h"

enum { SEED = 0 }; /* of all resampling: equal rows, equal intervals */

/* ---- an item ---- */

void evaluation_item_none(struct evaluation_item *i, int task, int seed)
{
	*i = (struct evaluation_item){ .task = task,
		                       .seed = seed,
		                       .first = NAN,
		                       .total = NAN,
		                       .first_class = CLASS_COUNT,
		                       .cls = CLASS_COUNT,
		                       .iou = NAN,
		                       .chamfer_mm = NAN };
}

void evaluation_item_turn(struct evaluation_item *i, int number, bool built, double total,
                          enum build_class cls, bool clipped, int tokens)
{
	if (i->turns++ == 0) {
		i->first = total;
		i->first_built = built;
		i->first_class = cls;
	}
	i->tokens = i->tokens < 0 || tokens < 0 ? -1 : i->tokens + tokens;
	if (i->best && !(total > i->total) && !(isnan(i->total) && !isnan(total)))
		return;
	i->best = number;
	i->total = total;
	i->built = built;
	i->cls = cls;
	i->clipped = clipped;
}

void evaluation_item_score(struct evaluation_item *i, const cJSON *score)
{
	const cJSON *g = cJSON_GetObjectItemCaseSensitive(score, "geometry");
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(score, "exact");
	const cJSON *ref = cJSON_GetObjectItemCaseSensitive(x, "reference");

	i->valid = i->built && json_number_or(g, "solids", 0) >= 1 &&
	           json_bool_or(g, "closed", false) && json_bool_or(g, "valid", false);
	i->iou = i->built ? json_number_or(ref, "iou", NAN) : NAN;
	i->chamfer_mm = i->built ? json_number_or(ref, "chamfer_mm", NAN) : NAN;
}

/* ---- reading ---- */

struct reading {
	struct evaluation *v;
	struct store *s;
	int *place; /* of item (task, seed) in v->item; -1: none */
	struct {
		double generate_s, score_s, wall_s;
		bool there;
	} * took; /* by item's number */
	char kind[32];
};

static int see_run(void *ctx, const struct store_run *r)
{
	struct reading *d = ctx;

	d->v->run = r->id;
	d->v->started_us = r->started_us;
	d->v->ended_us = r->ended_us;
	snprintf(d->v->outcome, sizeof(d->v->outcome), "%s", r->outcome ? r->outcome : "");
	snprintf(d->kind, sizeof(d->kind), "%s", r->kind);
	d->v->settings = r->settings ? json_parse(r->settings, strlen(r->settings), NULL) : NULL;
	return 0;
}

static enum task_level level_of(const char *name)
{
	for (int l = TASK_EASY; l <= TASK_HARD; l++)
		if (strcmp(task_level_name((enum task_level)l), name) == 0)
			return (enum task_level)l;
	return TASK_EASY;
}

static int read_settings(struct reading *d, struct err *e)
{
	struct evaluation *v = d->v;
	const cJSON *o = v->settings, *list, *x;
	long long seeds = 0, turns = 0;
	int i = 0;

	if (!*d->kind)
		return err_set(e, ERR_INPUT, "there is no run of that number ('cadforge runs')");
	list = cJSON_GetObjectItemCaseSensitive(o, "tasks");
	v->n_tasks = cJSON_GetArraySize(list);
	if (strcmp(d->kind, "eval") != 0 || v->n_tasks < 1 ||
	    json_get_int(o, "seeds", 1, EVALUATION_SEEDS_MAX, &seeds, NULL) < 0 ||
	    json_get_int(o, "turns", 1, 1000, &turns, NULL) < 0)
		return err_set(e, ERR_INPUT, "run %" PRId64 " (%s) is no evaluation", v->run,
		               d->kind);
	v->seeds = (int)seeds;
	v->turns = (int)turns;
	v->expected = v->n_tasks * v->seeds;
	snprintf(v->arm, sizeof(v->arm), "%s", json_string_or(o, "arm", "?"));
	snprintf(v->profile, sizeof(v->profile), "%s", json_string_or(o, "profile", "?"));
	snprintf(v->prompts, sizeof(v->prompts), "%s", json_string_or(o, "prompts", "?"));
	v->task = calloc((size_t)v->n_tasks, sizeof(*v->task));
	v->item = calloc((size_t)v->expected, sizeof(*v->item));
	d->place = calloc((size_t)v->expected, sizeof(*d->place));
	d->took = calloc((size_t)v->expected + 1, sizeof(*d->took));
	if (!v->task || !v->item || !d->place || !d->took)
		return err_set(e, ERR_MEM, "no memory for %d items", v->expected);
	memset(d->place, -1, (size_t)v->expected * sizeof(*d->place));
	cJSON_ArrayForEach(x, list)
	{
		struct evaluation_task *t = &v->task[i++];
		snprintf(t->id, sizeof(t->id), "%s", json_string_or(x, "task", "?"));
		snprintf(t->hash, sizeof(t->hash), "%s", json_string_or(x, "hash", ""));
		t->level = level_of(json_string_or(x, "level", ""));
		t->diagonal_mm = json_number_or(x, "diagonal_mm", NAN);
	}
	return 0;
}

/* Rows come by task, turn, seed. */
static int see_rollout(void *ctx, const struct store_rollout *r)
{
	struct reading *d = ctx;
	struct evaluation *v = d->v;
	struct evaluation_item *i;
	int at;

	if (strcmp(r->kind, "eval") != 0 || r->group >= v->n_tasks || r->member > v->seeds)
		return 0;
	at = r->group * v->seeds + r->member - 1;
	if (d->place[at] < 0) {
		d->place[at] = v->n;
		evaluation_item_none(&v->item[v->n++], r->group, r->member);
	}
	i = &v->item[d->place[at]];
	/* two processes that went on with one run made an item twice: the first one holds */
	if (r->round != i->turns + 1 || (i->episode && i->episode != r->episode))
		return 0;
	i->episode = r->episode;
	evaluation_item_turn(i, r->turn, r->built, r->total,
	                     r->class_name ? curriculum_class_of(r->class_name) : CLASS_COUNT,
	                     r->clipped, r->completion_tokens);
	return 0;
}

static int see_step(void *ctx, const struct store_step *t)
{
	struct reading *d = ctx;
	cJSON *o;

	if (strcmp(t->kind, "eval") != 0 || t->step < 1 || t->step > d->v->expected || !t->data ||
	    d->took[t->step - 1].there)
		return 0;
	o = json_parse(t->data, strlen(t->data), NULL);
	d->took[t->step - 1].generate_s = json_number_or(o, "generate_s", NAN);
	d->took[t->step - 1].score_s = json_number_or(o, "score_s", NAN);
	d->took[t->step - 1].wall_s = json_number_or(o, "wall_s", NAN);
	d->took[t->step - 1].there = true;
	cJSON_Delete(o);
	return 0;
}

static int by_item(const void *pa, const void *pb)
{
	const struct evaluation_item *a = pa, *b = pb;

	return a->task != b->task ? a->task - b->task : a->seed - b->seed;
}

static int read_items(struct reading *d, struct err *e)
{
	struct evaluation *v = d->v;

	if (store_rollouts(d->s, v->run, 0, 0, see_rollout, d, e) < 0 ||
	    store_steps(d->s, v->run, 0, INT_MAX, see_step, d, e) < 0)
		return -1;
	for (int k = 0; k < v->n; k++) {
		struct evaluation_item *i = &v->item[k];
		struct buf text = { 0 };
		cJSON *score;
		int at = i->task * v->seeds + i->seed - 1;
		i->generate_s = d->took[at].there ? d->took[at].generate_s : NAN;
		i->score_s = d->took[at].there ? d->took[at].score_s : NAN;
		v->f.seconds += d->took[at].there ? d->took[at].wall_s : NAN;
		/* a score that was pruned, or is damaged, leaves its figures unknown */
		if (store_artifact(d->s, i->episode, i->best, "reward.json", &text, NULL) == 0 &&
		    (score = json_parse(buf_str(&text), text.len, NULL))) {
			evaluation_item_score(i, score);
			cJSON_Delete(score);
		}
		buf_release(&text);
	}
	qsort(v->item, (size_t)v->n, sizeof(*v->item), by_item);
	return 0;
}

/* ---- figures ---- */

/* Columns over the items of an evaluation. */
struct columns {
	int *cluster;
	double *v;
	int n;
};

enum column {
	BUILT,
	FIRST_BUILT,
	INVALID,
	TOTAL,
	FIRST_TOTAL,
	IOU,
	IOU_ALL,
	CHAMFER,
	CHAMFER_SHARE
};

static double figure(const struct evaluation *v, const struct evaluation_item *i, enum column c)
{
	switch (c) {
	case BUILT:
		return i->built;
	case FIRST_BUILT:
		return i->first_built;
	case INVALID:
		return !i->valid;
	case TOTAL:
		return i->total;
	case FIRST_TOTAL:
		return i->first;
	case IOU:
		return i->iou;
	case IOU_ALL:
		return isnan(i->iou) ? 0 : i->iou;
	case CHAMFER:
		return i->chamfer_mm;
	default:
		return i->chamfer_mm / v->task[i->task].diagonal_mm;
	}
}

static struct interval over_items(const struct evaluation *v, struct columns *w, enum column c,
                                  bool median)
{
	for (int i = 0; i < v->n; i++) {
		w->v[i] = figure(v, &v->item[i], c);
		w->cluster[i] = v->item[i].task;
	}
	return median ? statistics_median(w->v, w->cluster, v->n, SEED)
	              : statistics_mean(w->v, w->cluster, v->n, SEED);
}

/* A share. Where all values are alike no resample differs, and yet it is not certain: then it is
 * Wilson's interval over the tasks. */
static struct interval share(struct interval i, int tasks)
{
	struct interval w;

	if (i.low == i.high && (i.value == 0 || i.value == 1)) {
		w = statistics_rate(i.value > 0 ? tasks : 0, tasks);
		i.low = w.low;
		i.high = w.high;
	}
	return i;
}

/* Over tasks: at least one of @k of a task's first answers builds, or is right. */
static struct interval at_least_one(const struct evaluation *v, struct columns *w, int k,
                                    double right_from)
{
	for (int t = 0; t < v->n_tasks; t++) {
		int n = 0, c = 0;
		for (int i = 0; i < v->n; i++)
			if (v->item[i].task == t) {
				n++;
				c += isnan(right_from) ? v->item[i].first_built
				                       : v->item[i].first >= right_from;
			}
		w->v[t] = statistics_pass_at(n, c, k);
	}
	return share(statistics_mean(w->v, NULL, v->n_tasks, SEED), v->f.tasks);
}

static void count_tasks(struct evaluation *v)
{
	for (int t = 0; t < v->n_tasks; t++) {
		struct evaluation_task *x = &v->task[t];
		double total = 0, iou = 0, chamfer = 0;
		int n = 0, n_iou = 0, n_chamfer = 0;
		x->best = NAN;
		for (int k = 0; k < v->n; k++) {
			const struct evaluation_item *i = &v->item[k];
			if (i->task != t)
				continue;
			x->items++;
			x->first_built += i->first_built;
			x->built += i->built;
			x->valid += i->valid;
			x->right += i->total >= v->f.right_from;
			if (!isnan(i->total)) {
				total += i->total;
				n++;
				x->best = isnan(x->best) || i->total > x->best ? i->total : x->best;
			}
			if (!isnan(i->iou)) {
				iou += i->iou;
				n_iou++;
			}
			if (!isnan(i->chamfer_mm)) {
				chamfer += i->chamfer_mm;
				n_chamfer++;
			}
		}
		x->mean = n ? total / n : NAN;
		x->iou = n_iou ? iou / n_iou : NAN;
		x->chamfer_mm = n_chamfer ? chamfer / n_chamfer : NAN;
	}
}

static void count_items(struct evaluation *v)
{
	struct evaluation_figures *f = &v->f;
	double sum[3] = { 0 };

	f->items = v->n;
	f->best = NAN;
	f->lost = v->ended_us ? v->expected - v->n : 0;
	f->tokens = 0;
	for (int k = 0; k < v->n; k++) {
		const struct evaluation_item *i = &v->item[k];
		f->clipped += i->clipped;
		f->right += i->total >= f->right_from;
		f->first_right += i->first >= f->right_from;
		if (i->first_class < CLASS_COUNT)
			f->first_class[i->first_class]++;
		if (i->cls < CLASS_COUNT)
			f->cls[i->cls]++;
		if (!isnan(i->total) && !(i->total <= f->best))
			f->best = i->total;
		f->tokens += i->tokens < 0 ? NAN : (double)i->tokens;
		sum[0] += i->generate_s;
		sum[1] += i->score_s;
	}
	f->generate_s = sum[0];
	f->score_s = sum[1];
	for (int t = 0; t < v->n_tasks; t++)
		f->tasks += v->task[t].items > 0;
}

static int count(struct evaluation *v, struct err *e)
{
	struct evaluation_figures *f = &v->f;
	size_t most = (size_t)(v->n > v->n_tasks ? v->n : v->n_tasks) + 1;
	struct columns w = { .cluster = calloc(most, sizeof(*w.cluster)),
		             .v = calloc(most, sizeof(*w.v)) };

	if (!w.cluster || !w.v) {
		free(w.cluster);
		free(w.v);
		return err_set(e, ERR_MEM, "no memory for the figures of %d items", v->n);
	}
	f->right_from = json_number_or(v->settings, "enough", 0.92);
	count_tasks(v);
	count_items(v);
	f->build_rate = share(over_items(v, &w, BUILT, false), f->tasks);
	f->first_rate = share(over_items(v, &w, FIRST_BUILT, false), f->tasks);
	f->invalid = share(over_items(v, &w, INVALID, false), f->tasks);
	f->reward = over_items(v, &w, TOTAL, false);
	f->first_reward = over_items(v, &w, FIRST_TOTAL, false);
	f->median_reward = over_items(v, &w, TOTAL, true);
	f->iou = over_items(v, &w, IOU, false);
	f->iou_median = over_items(v, &w, IOU, true);
	f->iou_all = over_items(v, &w, IOU_ALL, false);
	f->chamfer_mm = over_items(v, &w, CHAMFER, false);
	f->chamfer_median_mm = over_items(v, &w, CHAMFER, true);
	f->chamfer_share = over_items(v, &w, CHAMFER_SHARE, false);
	if (f->iou.n == 0) /* nothing was measured against a reference: 0 would be made up */
		f->iou_all = f->iou;
	/* the last is all of them, so that what several seeds find together is seen */
	for (int k = 1; f->n_k < EVALUATION_KS && k <= v->seeds; k *= 2)
		f->k[f->n_k++] = k;
	if (f->k[f->n_k - 1] != v->seeds) {
		if (f->n_k < EVALUATION_KS)
			f->n_k++;
		f->k[f->n_k - 1] = v->seeds;
	}
	for (int k = 0; k < f->n_k; k++) {
		f->built_at[k] = at_least_one(v, &w, f->k[k], NAN);
		f->pass_at[k] = at_least_one(v, &w, f->k[k], f->right_from);
	}
	free(w.cluster);
	free(w.v);
	return 0;
}

int evaluation_read(struct evaluation *out, struct store *s, int64_t run, struct err *e)
{
	struct evaluation v = { 0 };
	struct reading d = { .v = &v, .s = s };
	int rc = -1;

	if (store_runs(s, run, 1, see_run, &d, e) == 0 && read_settings(&d, e) == 0 &&
	    read_items(&d, e) == 0 && count(&v, e) == 0)
		rc = 0;
	free(d.place);
	free(d.took);
	if (rc < 0)
		evaluation_release(&v);
	else
		*out = v;
	return rc;
}

void evaluation_release(struct evaluation *v)
{
	cJSON_Delete(v->settings);
	free(v->task);
	free(v->item);
	*v = (struct evaluation){ 0 };
}

/* ---- two beside one another ---- */

static bool same_text(const struct evaluation *a, const struct evaluation *b, const char *key)
{
	return strcmp(json_string_or(a->settings, key, ""), json_string_or(b->settings, key, "")) ==
	       0;
}

static int comparable(const struct evaluation *a, const struct evaluation *b, struct err *e)
{
	if (!same_text(a, b, "profile") || !same_text(a, b, "profile_hash"))
		return err_set(e, ERR_INPUT,
		               "run %" PRId64 " was scored under %s, run %" PRId64
		               " under %s%s: totals of different profiles do not compare",
		               a->run, a->profile, b->run, b->profile,
		               same_text(a, b, "profile") ? " as it was then" : "");
	if (!same_text(a, b, "reference"))
		return err_set(e, ERR_INPUT,
		               "run %" PRId64 " was measured against other references than run "
		               "%" PRId64,
		               a->run, b->run);
	if (a->turns != b->turns)
		return err_set(e, ERR_INPUT,
		               "run %" PRId64 " had %d turn%s an item, run %" PRId64 " %d: what is "
		               "mended in more turns does not compare with fewer",
		               a->run, a->turns, a->turns == 1 ? "" : "s", b->run, b->turns);
	return 0;
}

static bool same_item(const cJSON *a, const cJSON *b, const char *key)
{
	return cJSON_Compare(cJSON_GetObjectItemCaseSensitive(a, key),
	                     cJSON_GetObjectItemCaseSensitive(b, key), true);
}

static void say(struct evaluation_pair *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct evaluation_pair *p, const char *fmt, ...)
{
	size_t n = strlen(p->limits);
	va_list ap;

	if (n + 2 >= sizeof(p->limits))
		return;
	if (n)
		p->limits[n++] = ' ';
	va_start(ap, fmt);
	vsnprintf(p->limits + n, sizeof(p->limits) - n, fmt, ap);
	va_end(ap);
}

static void find_limits(struct evaluation_pair *p, const struct evaluation *a,
                        const struct evaluation *b, int changed)
{
	if (changed)
		say(p, "%d task%s changed between the two and %s left out.", changed,
		    changed == 1 ? "" : "s", changed == 1 ? "is" : "are");
	if (p->items < a->n || p->items < b->n)
		say(p, "Of %d and %d items, %d are in both.", a->n, b->n, p->items);
	if (a->n < a->expected || b->n < b->expected)
		say(p, "Not all items are done: %d of %d, %d of %d.", a->n, a->expected, b->n,
		    b->expected);
	if (!same_text(a, b, "prompts_hash"))
		say(p, "The prompts differ too (%s, %s).", a->prompts, b->prompts);
	if (!same_item(a->settings, b->settings, "sampling") ||
	    !same_item(a->settings, b->settings, "max_tokens"))
		say(p, "They were sampled differently.");
	if (!same_item(a->settings, b->settings, "enough"))
		say(p, "Their chains of turns ended at different totals.");
	if (p->tasks == 1)
		say(p, "One task: nothing follows for others.");
	else if (p->tasks < 6)
		say(p, "%d tasks: p cannot be below %.2g.", p->tasks, ldexp(1, 1 - p->tasks));
	if (p->items > p->tasks)
		say(p, "McNemar's test takes the seeds of one task as draws of their own; the "
		       "others do not.");
}

int evaluation_compare(struct evaluation_pair *out, const struct evaluation *a,
                       const struct evaluation *b, struct err *e)
{
	size_t most = (size_t)a->n + 1;
	double *va = calloc(6 * most, sizeof(*va));
	int *cluster = calloc(most, sizeof(*cluster));
	struct evaluation_pair p = { 0 };
	int changed = 0, rc = -1;

	if (!va || !cluster) {
		err_set(e, ERR_MEM, "no memory to compare %d items", a->n);
		goto out;
	}
	if (comparable(a, b, e) < 0)
		goto out;
	for (int t = 0; t < a->n_tasks; t++) {
		int other = 0, before = p.items;
		while (other < b->n_tasks && strcmp(a->task[t].id, b->task[other].id) != 0)
			other++;
		if (other == b->n_tasks)
			continue;
		if (strcmp(a->task[t].hash, b->task[other].hash) != 0) {
			changed++;
			continue;
		}
		for (int i = 0; i < a->n; i++) {
			const struct evaluation_item *x = &a->item[i], *y = NULL;
			for (int k = 0; x->task == t && k < b->n && !y; k++)
				if (b->item[k].task == other && b->item[k].seed == x->seed)
					y = &b->item[k];
			if (!y)
				continue;
			va[p.items] = x->total;
			va[most + (size_t)p.items] = y->total;
			va[2 * most + (size_t)p.items] = x->built;
			va[3 * most + (size_t)p.items] = y->built;
			va[4 * most + (size_t)p.items] = x->first;
			va[5 * most + (size_t)p.items] = y->first;
			cluster[p.items++] = t;
			p.both += x->built && y->built;
			p.neither += !x->built && !y->built;
			p.only_a += x->built && !y->built;
			p.only_b += !x->built && y->built;
		}
		p.tasks += p.items > before;
	}
	if (p.items == 0) {
		err_set(e, ERR_INPUT, "runs %" PRId64 " and %" PRId64 " have no item in common%s",
		        a->run, b->run, changed ? ": their tasks changed between the two" : "");
		goto out;
	}
	p.reward = statistics_paired(va, va + most, cluster, p.items, SEED);
	p.build = statistics_paired(va + 2 * most, va + 3 * most, cluster, p.items, SEED);
	p.first_reward = statistics_paired(va + 4 * most, va + 5 * most, cluster, p.items, SEED);
	p.mcnemar = statistics_mcnemar(p.only_a, p.only_b);
	find_limits(&p, a, b, changed);
	*out = p;
	rc = 0;
out:
	free(va);
	free(cluster);
	return rc;
}

/* ---- JSON ---- */

static void add_interval(cJSON *o, const char *key, const struct interval *i)
{
	cJSON *x = cJSON_AddObjectToObject(o, key);

	json_add_figure(x, "value", i->value);
	json_add_figure(x, "low", i->low);
	json_add_figure(x, "high", i->high);
	cJSON_AddNumberToObject(x, "n", i->n);
}

static void add_classes(cJSON *o, const char *key, const int n[CLASS_COUNT])
{
	cJSON *x = cJSON_AddObjectToObject(o, key);

	for (int i = 0; i < CLASS_COUNT; i++)
		if (n[i])
			cJSON_AddNumberToObject(x, build_class_name((enum build_class)i), n[i]);
}

cJSON *evaluation_item_json(const struct evaluation *v, const struct evaluation_item *i)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "arm", v->arm);
	cJSON_AddNumberToObject(o, "run", (double)v->run);
	cJSON_AddStringToObject(o, "task", v->task[i->task].id);
	cJSON_AddNumberToObject(o, "seed", i->seed);
	cJSON_AddNumberToObject(o, "episode", (double)i->episode);
	cJSON_AddNumberToObject(o, "turns", i->turns);
	json_add_figure(o, "best_turn", i->best ? i->best : NAN);
	cJSON_AddBoolToObject(o, "first_built", i->first_built);
	json_add_figure(o, "first_total", i->first);
	json_add_text(o, "first_class",
	              i->first_class < CLASS_COUNT ? build_class_name(i->first_class) : NULL);
	cJSON_AddBoolToObject(o, "built", i->built);
	cJSON_AddBoolToObject(o, "valid", i->valid);
	json_add_figure(o, "total", i->total);
	json_add_text(o, "class", i->cls < CLASS_COUNT ? build_class_name(i->cls) : NULL);
	json_add_figure(o, "iou", i->iou);
	json_add_figure(o, "chamfer_mm", i->chamfer_mm);
	cJSON_AddBoolToObject(o, "clipped", i->clipped);
	json_add_figure(o, "tokens", i->tokens < 0 ? NAN : (double)i->tokens);
	json_add_figure(o, "generate_s", i->generate_s);
	json_add_figure(o, "score_s", i->score_s);
	return o;
}

static cJSON *task_json(const struct evaluation_task *t)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "task", t->id);
	cJSON_AddStringToObject(o, "level", task_level_name(t->level));
	cJSON_AddNumberToObject(o, "items", t->items);
	cJSON_AddNumberToObject(o, "first_built", t->first_built);
	cJSON_AddNumberToObject(o, "built", t->built);
	cJSON_AddNumberToObject(o, "valid", t->valid);
	cJSON_AddNumberToObject(o, "right", t->right);
	json_add_figure(o, "mean", t->mean);
	json_add_figure(o, "best", t->best);
	json_add_figure(o, "iou", t->iou);
	json_add_figure(o, "chamfer_mm", t->chamfer_mm);
	return o;
}

cJSON *evaluation_json(const struct evaluation *v)
{
	const struct evaluation_figures *f = &v->f;
	cJSON *o = cJSON_CreateObject(), *list, *x;

	cJSON_AddStringToObject(o, "arm", v->arm);
	cJSON_AddNumberToObject(o, "run", (double)v->run);
	json_add_text(o, "outcome", *v->outcome ? v->outcome : NULL);
	cJSON_AddStringToObject(o, "profile", v->profile);
	cJSON_AddStringToObject(o, "prompts", v->prompts);
	cJSON_AddNumberToObject(o, "tasks", f->tasks);
	cJSON_AddNumberToObject(o, "seeds", v->seeds);
	cJSON_AddNumberToObject(o, "turns", v->turns);
	cJSON_AddNumberToObject(o, "items", f->items);
	cJSON_AddNumberToObject(o, "expected", v->expected);
	cJSON_AddNumberToObject(o, "lost", f->lost);
	add_interval(o, "build_rate", &f->build_rate);
	add_interval(o, "first_build_rate", &f->first_rate);
	add_interval(o, "invalidity", &f->invalid);
	add_interval(o, "reward", &f->reward);
	add_interval(o, "reward_median", &f->median_reward);
	add_interval(o, "first_reward", &f->first_reward);
	json_add_figure(o, "best", f->best);
	json_add_figure(o, "right_from", f->right_from);
	cJSON_AddNumberToObject(o, "right", f->right);
	cJSON_AddNumberToObject(o, "first_right", f->first_right);
	list = cJSON_AddArrayToObject(o, "pass_at");
	for (int k = 0; k < f->n_k; k++) {
		x = cJSON_CreateObject();
		cJSON_AddNumberToObject(x, "k", f->k[k]);
		add_interval(x, "built", &f->built_at[k]);
		add_interval(x, "right", &f->pass_at[k]);
		cJSON_AddItemToArray(list, x);
	}
	add_interval(o, "iou", &f->iou);
	add_interval(o, "iou_median", &f->iou_median);
	add_interval(o, "iou_failed_as_0", &f->iou_all);
	add_interval(o, "chamfer_mm", &f->chamfer_mm);
	add_interval(o, "chamfer_median_mm", &f->chamfer_median_mm);
	add_interval(o, "chamfer_share", &f->chamfer_share);
	add_classes(o, "first_classes", f->first_class);
	add_classes(o, "classes", f->cls);
	cJSON_AddNumberToObject(o, "clipped", f->clipped);
	json_add_figure(o, "tokens", f->tokens);
	json_add_figure(o, "seconds", f->seconds);
	json_add_figure(o, "generate_s", f->generate_s);
	json_add_figure(o, "score_s", f->score_s);
	list = cJSON_AddArrayToObject(o, "by_task");
	for (int t = 0; t < v->n_tasks; t++)
		cJSON_AddItemToArray(list, task_json(&v->task[t]));
	return o;
}

static void add_paired(cJSON *o, const char *key, const struct paired *p)
{
	cJSON *x = cJSON_AddObjectToObject(o, key);

	add_interval(x, "difference", &p->difference);
	json_add_figure(x, "p", p->p);
	cJSON_AddNumberToObject(x, "better", p->better);
	cJSON_AddNumberToObject(x, "worse", p->worse);
	cJSON_AddNumberToObject(x, "equal", p->equal);
}

cJSON *evaluation_pair_json(const struct evaluation_pair *p, const struct evaluation *a,
                            const struct evaluation *b)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "a", a->arm);
	cJSON_AddNumberToObject(o, "run_a", (double)a->run);
	cJSON_AddStringToObject(o, "b", b->arm);
	cJSON_AddNumberToObject(o, "run_b", (double)b->run);
	cJSON_AddNumberToObject(o, "items", p->items);
	cJSON_AddNumberToObject(o, "tasks", p->tasks);
	add_paired(o, "reward", &p->reward);
	add_paired(o, "first_reward", &p->first_reward);
	add_paired(o, "build_rate", &p->build);
	cJSON_AddNumberToObject(o, "only_a", p->only_a);
	cJSON_AddNumberToObject(o, "only_b", p->only_b);
	cJSON_AddNumberToObject(o, "both", p->both);
	cJSON_AddNumberToObject(o, "neither", p->neither);
	json_add_figure(o, "mcnemar_p", p->mcnemar);
	json_add_text(o, "limits", *p->limits ? p->limits : NULL);
	return o;
}
