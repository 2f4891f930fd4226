#include "src/grpo_prompts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/base/utf8.h"
#include "src/curriculum_read.h"
#include "src/tallies.h"

enum { SALT_ORDER = 0x0d0e5, SALT_ITEMS = 0x17e35, NAMED_MAX = 8 };

struct order_task {
	const struct task *task;
	cJSON *messages;
	int tokens;
};

struct grpo_prompts {
	const struct grpo_options *o;
	struct grpo_budget *b;
	struct order_task *task; /* those that fit */
	int *order;              /* of this round through them */
	int n;
	int64_t round;
	int64_t taken, first; /* prompts in all; of them first tries */
	int tokens;           /* of an answer, in this step */
	struct curriculum *c;
	struct curriculum_item *item; /* of this step */
	int n_items, next_item;
	int64_t mined_from, mined_to; /* turns of before the run, that are counted; 0: none */
	struct buf left, told;
	int named;
};

uint64_t grpo_seed(uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t z = seed, part[2] = { a, b };

	for (int i = 0; i < 2; i++) {
		z += part[i] * 0x9e3779b97f4a7c15u + 0x9e3779b97f4a7c15u;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		z ^= z >> 31;
	}
	return z;
}

static void leave_out(struct grpo_prompts *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void leave_out(struct grpo_prompts *p, const char *fmt, ...)
{
	va_list ap;

	if (p->named++ >= NAMED_MAX)
		return;
	buf_adds(&p->left, p->left.len ? "; " : "left out: ");
	va_start(ap, fmt);
	buf_vprintf(&p->left, fmt, ap);
	va_end(ap);
}

const char *grpo_prompts_left_out(struct grpo_prompts *p)
{
	buf_clear(&p->told);
	if (p->named > NAMED_MAX)
		buf_printf(&p->left, "; and %d more", p->named - NAMED_MAX);
	utf8_clean_line(&p->told, buf_str(&p->left), p->left.len);
	buf_clear(&p->left);
	p->named = 0;
	return buf_str(&p->told);
}

/* ---- the order ---- */

static void shuffle(struct grpo_prompts *p, int64_t round)
{
	uint64_t seed = grpo_seed(p->o->settings.seed, SALT_ORDER, (uint64_t)round);

	p->round = round;
	for (int i = 0; i < p->n; i++)
		p->order[i] = i;
	for (int i = p->n - 1; i > 0; i--) {
		int k = (int)(grpo_seed(seed, (uint64_t)i, 0) % (uint64_t)(i + 1));
		int x = p->order[i];
		p->order[i] = p->order[k];
		p->order[k] = x;
	}
}

static const struct order_task *next_first(struct grpo_prompts *p)
{
	int64_t round = p->first / p->n;

	if (round != p->round)
		shuffle(p, round);
	return &p->task[p->order[p->first++ % p->n]];
}

static int read_tasks(struct grpo_prompts *p, struct err *e)
{
	const struct grpo_options *o = p->o;

	p->task = calloc((size_t)o->n_tasks + 1, sizeof(*p->task));
	p->order = calloc((size_t)o->n_tasks + 1, sizeof(*p->order));
	if (!p->task || !p->order)
		return err_set(e, ERR_MEM, "no memory for %d tasks", o->n_tasks);
	for (int i = 0; i < o->n_tasks; i++) {
		struct order_task *x = &p->task[p->n];
		x->task = &o->tasks->tasks[o->task[i]];
		x->messages = repair_messages(o->prompts, x->task, NULL, e);
		if (!x->messages || (x->tokens = grpo_budget_prompt(p->b, x->messages, e)) < 0)
			return err_wrap(e, "task %s", x->task->id);
		if (x->tokens > p->b->context / 4 * 3) {
			leave_out(p, "task %s, whose prompt has %d tokens of a context of %d",
			          x->task->id, x->tokens, p->b->context);
			cJSON_Delete(x->messages);
			x->messages = NULL;
			continue;
		}
		if (x->tokens > p->b->longest)
			p->b->longest = x->tokens;
		p->n++;
	}
	if (p->n == 0)
		return err_set(e, ERR_INPUT,
		               "no prompt fits into a context of %d tokens: a longer --context, or "
		               "tasks with fewer words",
		               p->b->context);
	p->round = -1;
	return 0;
}

/* ---- the curriculum ---- */

struct rows {
	struct grpo_prompts *p;
	const struct tallies *tallies;
	int64_t until;
	bool repairs_only;
	enum build_class class;
	int built_n;
	bool *built; /* repairs, the newest first */
	int cap;
};

static void add(struct grpo_prompts *p, int64_t id, int64_t episode, int turn, const char *task,
                enum build_class class, enum build_class repairs, bool built)
{
	int k = class < CLASS_COUNT ? curriculum_task(p->c, task, -1) : -1;
	struct curriculum_turn t = { .id = id,
		                     .episode = episode,
		                     .number = turn,
		                     .task = k,
		                     .class = class,
		                     .repairs = repairs,
		                     .built = built };

	if (k >= 0)
		curriculum_add(p->c, &t);
}

static int see_mined(void *ctx, const struct store_outcome *x)
{
	struct rows *r = ctx;
	const struct tally *t;

	if (x->id > r->until)
		return 1;
	t = tallies_find(r->tallies, x->tally);
	if (t)
		add(r->p, x->id, x->episode, x->turn, t->task, t->class, t->repairs, x->built);
	return 0;
}

static int see_old_repair(void *ctx, const struct store_outcome *x)
{
	struct rows *r = ctx;

	if (x->id < r->p->mined_from && r->built_n < r->cap)
		r->built[r->built_n++] = x->built;
	return r->built_n == r->cap;
}

/* The turns from before the run, and the repairs from before these. */
static int mine(struct grpo_prompts *p, struct err *e)
{
	struct store *s = p->o->store;
	struct tallies tallies = { 0 };
	struct rows r = { .p = p, .tallies = &tallies, .until = p->mined_to };
	int rc;

	r.cap = curriculum_rules(p->c)->repairs;
	r.built = calloc((size_t)r.cap, sizeof(*r.built));
	if (!r.built)
		return err_set(e, ERR_MEM, "no memory for the repairs of a class");
	rc = tallies_read(&tallies, s, 0, e);
	for (int i = 0; i < CLASS_COUNT && rc == 0; i++) {
		enum build_class class = (enum build_class)i;
		r.built_n = 0;
		rc = store_repairs(s, build_class_name(class), INT32_MAX, see_old_repair, &r, e);
		for (int k = r.built_n - 1; k >= 0 && rc == 0; k--)
			curriculum_add_repair(p->c, class, r.built[k]);
	}
	if (rc == 0)
		rc = store_outcomes(s, p->mined_from - 1, INT32_MAX, see_mined, &r, e);
	free(r.built);
	tallies_release(&tallies);
	return rc;
}

static int see_own(void *ctx, const struct store_rollout *x)
{
	if (strcmp(x->kind, "eval") != 0)
		add(ctx, x->turn_id, x->episode, x->turn, x->task,
		    curriculum_class_of(x->class_name), curriculum_class_of(x->repairs), x->built);
	return 0;
}

int grpo_prompts_feed(struct grpo_prompts *p, int64_t run, int64_t step, struct err *e)
{
	return store_rollouts(p->o->store, run, step, step, see_own, p, e);
}

static int open_curriculum(struct grpo_prompts *p, const cJSON *state, int64_t step, struct err *e)
{
	const struct grpo_options *o = p->o;
	struct curriculum_rules rules;

	if (curriculum_rules_load(&rules, NULL, o->app, o->settings.curriculum, e) < 0 ||
	    !(p->c = curriculum_open(&rules, e)))
		return -1;
	for (int i = 0; i < p->n; i++)
		if (curriculum_task(p->c, p->task[i].task->id, (int)p->task[i].task->level) < 0)
			return err_set(e, ERR_MEM, "no memory for %d tasks", p->n);
	if (state) {
		p->mined_from = (int64_t)json_number_or(state, "mined_from", 0);
		p->mined_to = (int64_t)json_number_or(state, "mined_to", 0);
	} else if (o->settings.mine &&
	           (store_newest_turn(o->store, rules.completions - 1, &p->mined_from, e) < 0 ||
	            store_newest_turn(o->store, 0, &p->mined_to, e) < 0)) {
		return -1;
	}
	if (p->mined_to && mine(p, e) < 0)
		return -1;
	return o->run && step > 0 ? store_rollouts(o->store, o->run, 1, step, see_own, p, e) : 0;
}

static int take_hand(void *ctx, const struct store_hand_row *h)
{
	static const enum curriculum_hand hand[] = { HAND_FREE, HAND_PIN, HAND_BAN, HAND_WEIGHT };
	struct grpo_prompts *p = ctx;

	curriculum_set_hand(p->c, curriculum_class_of(h->class_name), hand[h->change], h->weight);
	return 0;
}

static enum curriculum_formula formula(const struct grpo_prompts *p)
{
	return strcmp(p->o->settings.weight, "seed") == 0 ? CURRICULUM_SEED : CURRICULUM_MASTERY;
}

static enum curriculum_stage stage(const struct grpo_prompts *p)
{
	for (int i = STAGE_AUTO; i <= STAGE_HARD; i++)
		if (strcmp(p->o->settings.stage, curriculum_stage_name((enum curriculum_stage)i)) ==
		    0)
			return (enum curriculum_stage)i;
	return STAGE_AUTO;
}

void grpo_prompts_look(const struct grpo_prompts *p, struct curriculum_state *out)
{
	enum curriculum_stage s = stage(p);

	curriculum_look(p->c, formula(p), out);
	if (s != STAGE_AUTO)
		out->stage = s;
}

/* ---- a step ---- */

static bool is_repair(const struct grpo_prompts *p, int64_t k)
{
	double share = p->o->settings.repairs;

	return floor((double)(k + 1) * share + 1e-9) > floor((double)k * share + 1e-9);
}

int grpo_prompts_step(struct grpo_prompts *p, int64_t step, int most, int tokens, struct err *e)
{
	struct curriculum_ask ask = { .formula = formula(p), .stage = stage(p), .n = most };

	p->tokens = tokens;
	p->n_items = p->next_item = 0;
	if (store_hands(p->o->store, take_hand, p, e) < 0)
		return -1;
	if (!(p->o->settings.repairs > 0))
		return 0;
	ask.seed = (uint32_t)grpo_seed(p->o->settings.seed, SALT_ITEMS, (uint64_t)step);
	free(p->item);
	if (!(p->item = calloc((size_t)most, sizeof(*p->item))))
		return err_set(e, ERR_MEM, "no memory for %d repairs", most);
	p->n_items = curriculum_next(p->c, &ask, p->item, e);
	return p->n_items < 0 ? -1 : 0;
}

/* 1: @out is the repair; 0: it cannot be, which is told; -1. */
static int take_item(struct grpo_prompts *p, const struct curriculum_item *x,
                     struct grpo_prompt *out, struct err *e)
{
	const char *name = curriculum_task_name(p->c, x->task);
	const struct task *task = NULL;
	struct err why = { 0 };
	int tokens;

	if (x->kind != ITEM_REPAIR)
		return 0;
	for (int i = 0; i < p->n && !task; i++)
		if (strcmp(p->task[i].task->id, name) == 0)
			task = p->task[i].task;
	if (!task)
		return 0;
	cJSON *messages =
		curriculum_prompt(p->o->store, p->o->prompts, task, x->episode, x->turn, &why);
	if (!messages && why.kind == ERR_MEM) {
		*e = why;
		return -1;
	}
	if (!messages) {
		leave_out(p, "the repair of %" PRId64 ".%d: %s", x->episode, x->turn, why.text);
		return 0;
	}
	tokens = grpo_budget_prompt(p->b, messages, &why);
	if (tokens < 0 || tokens + p->tokens > p->b->context) {
		leave_out(p, "the repair of %" PRId64 ".%d, whose prompt has %d tokens", x->episode,
		          x->turn, tokens);
		cJSON_Delete(messages);
		return 0;
	}
	*out = (struct grpo_prompt){ .task = task,
		                     .messages = messages,
		                     .repair = true,
		                     .class = x->class,
		                     .episode = x->episode,
		                     .turn = x->turn };
	snprintf(out->why, sizeof(out->why), "%s", x->why);
	return 1;
}

int grpo_prompts_next(struct grpo_prompts *p, struct grpo_prompt *out, struct err *e)
{
	const struct order_task *x;
	int64_t k = p->taken++;

	while (is_repair(p, k) && p->next_item < p->n_items) {
		int rc = take_item(p, &p->item[p->next_item++], out, e);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
	x = next_first(p);
	*out = (struct grpo_prompt){ .task = x->task,
		                     .class = CLASS_COUNT,
		                     .messages = cJSON_Duplicate(x->messages, true) };
	return out->messages ? 0 : err_set(e, ERR_MEM, "no memory for a prompt");
}

/* ---- the whole ---- */

cJSON *grpo_prompts_state(const struct grpo_prompts *p)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "taken", (double)p->taken);
	cJSON_AddNumberToObject(o, "first", (double)p->first);
	cJSON_AddNumberToObject(o, "mined_from", (double)p->mined_from);
	cJSON_AddNumberToObject(o, "mined_to", (double)p->mined_to);
	return o;
}

struct grpo_prompts *grpo_prompts_open(const struct grpo_options *o, struct grpo_budget *b,
                                       struct err *e)
{
	struct grpo_prompts *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	p->o = o;
	p->b = b;
	if (read_tasks(p, e) < 0) {
		grpo_prompts_close(p);
		return NULL;
	}
	return p;
}

int grpo_prompts_begin(struct grpo_prompts *p, const cJSON *state, int64_t step, struct err *e)
{
	p->taken = (int64_t)json_number_or(state, "taken", 0);
	p->first = (int64_t)json_number_or(state, "first", 0);
	return open_curriculum(p, state, step, e);
}

void grpo_prompts_close(struct grpo_prompts *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->n; i++)
		cJSON_Delete(p->task[i].messages);
	free(p->task);
	free(p->order);
	free(p->item);
	curriculum_close(p->c);
	buf_release(&p->left);
	buf_release(&p->told);
	free(p);
}
