#include "src/grpo_batch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

void grpo_batch_begin(struct grpo_batch *b, const struct grpo_settings *s)
{
	*b = (struct grpo_batch){ .s = s };
}

static void release_group(struct batch_group *g)
{
	for (int i = 0; i < g->n; i++) {
		free(g->v[i].id);
		free(g->v[i].logp);
		cJSON_Delete(g->v[i].messages);
	}
	free(g->v);
	cJSON_Delete(g->prompt.messages);
	free(g);
}

void grpo_batch_release(struct grpo_batch *b)
{
	for (int i = 0; i < b->n; i++)
		release_group(b->group[i]);
	free(b->group);
	*b = (struct grpo_batch){ 0 };
}

struct batch_group *grpo_batch_group(struct grpo_batch *b, const struct grpo_prompt *p)
{
	struct batch_group *g = calloc(1, sizeof(*g));
	struct batch_group **more =
		realloc(b->group, (size_t)(b->n + 1) * sizeof(struct batch_group *));

	if (more)
		b->group = more;
	if (!g || !more) {
		free(g);
		return NULL;
	}
	g->number = b->n;
	g->prompt = *p;
	g->members = b->s->members;
	b->group[b->n++] = g;
	return g;
}

/* ---- an answer ---- */

static void *copy(const void *from, size_t bytes)
{
	void *p = malloc(bytes ? bytes : 1);

	if (p)
		memcpy(p, from, bytes);
	return p;
}

static int take_tokens(struct grpo_batch *b, struct batch_answer *x, const struct rollout *r)
{
	if (!r->id || r->n <= 0) {
		b->no_tokens = b->no_tokens || r->scored;
		return 0;
	}
	x->n = r->n;
	x->id = copy(r->id, (size_t)r->n * sizeof(*r->id));
	if (r->logp)
		x->logp = copy(r->logp, (size_t)r->n * sizeof(*r->logp));
	return x->id && (x->logp || !r->logp) ? 0 : -1;
}

int grpo_batch_take(struct grpo_batch *b, struct batch_group *g, int base, const struct rollout *r,
                    struct err *e)
{
	struct batch_answer *x;

	if (g->n == g->cap) {
		int cap = g->cap ? 2 * g->cap : 16;
		struct batch_answer *more = realloc(g->v, (size_t)cap * sizeof(*more));
		if (!more)
			return err_set(e, ERR_MEM, "no memory for an answer");
		g->v = more;
		g->cap = cap;
	}
	x = &g->v[g->n++];
	*x = (struct batch_answer){
		.a = { .turn = r->turn,
		       .member = base + r->member,
		       .clipped = r->clipped,
		       .reward = NAN,
		       .before = NAN },
		.total = NAN,
		.entropy = r->entropy,
		.class = CLASS_COUNT,
		.episode = r->episode,
		.turn_id = r->turn_id,
		.number = r->number,
		.generate_s = r->generate_s,
		.score_s = r->score_s,
	};
	if (r->scored) {
		x->a.built = r->scored->built;
		x->a.reward = grpo_reward(b->s->reward, r->scored->json, r->text, r->text_len);
		x->total = r->scored->total;
		x->class = r->scored->cls;
	}
	if (isnan(x->a.reward) && !b->why.kind) {
		if (r->why.kind)
			b->why = r->why;
		else
			err_set(&b->why, ERR_LOST, "%s gives no reward for what ends so: %s",
			        b->s->reward,
			        r->scored ? build_cause_label(r->scored->build.cause) : "no score");
	}
	if (take_tokens(b, x, r) < 0)
		return err_set(e, ERR_MEM, "no memory for an answer's tokens");
	if (r->turn > 1 && r->messages && !(x->messages = cJSON_Duplicate(r->messages, true)))
		return err_set(e, ERR_MEM, "no memory for an answer's prompt");
	return 0;
}

int grpo_batch_lost(const struct batch_group *g)
{
	int n = 0;

	for (int i = 0; i < g->n; i++)
		n += g->v[i].a.turn == 1 && isnan(g->v[i].a.reward);
	return n;
}

/* ---- a group ---- */

static int by_turn(const void *a, const void *b)
{
	const struct batch_answer *x = a, *y = b;

	return x->a.turn != y->a.turn ? x->a.turn - y->a.turn : x->a.member - y->a.member;
}

void grpo_batch_over(struct grpo_batch *b, struct batch_group *g)
{
	struct grpo_answer *v = calloc((size_t)g->n + 1, sizeof(*v));

	g->over = true;
	qsort(g->v, (size_t)g->n, sizeof(*g->v), by_turn);
	for (int i = 0; i < g->n; i++) {
		struct batch_answer *x = &g->v[i];
		for (int k = 0; k < i; k++)
			if (g->v[k].a.member == x->a.member && g->v[k].a.turn == x->a.turn - 1)
				x->a.before = g->v[k].a.reward;
		/* what came without its tokens cannot be learnt from */
		if (!x->id)
			x->a.reward = NAN;
		if (v)
			v[i] = x->a;
	}
	grpo_group(&b->s->group, v, v ? g->n : 0, &g->f);
	for (int i = 0; v && i < g->n; i++)
		g->v[i].a = v[i];
	free(v);
}

/* ---- all of them ---- */

int grpo_batch_samples(const struct grpo_batch *b, struct policy_sample **out)
{
	int n = 0, all = 0;

	for (int i = 0; i < b->n; i++)
		all += b->group[i]->n;
	*out = calloc((size_t)all + 1, sizeof(**out));
	if (!*out)
		return -1;
	for (int i = 0; i < b->n; i++)
		for (int k = 0; k < b->group[i]->n; k++) {
			const struct batch_answer *x = &b->group[i]->v[k];
			if (x->a.use != GRPO_USED || b->group[i]->f.flat || !x->id)
				continue;
			(*out)[n++] = (struct policy_sample){
				.messages =
					x->messages ? x->messages : b->group[i]->prompt.messages,
				.id = x->id,
				.drawn = x->logp,
				.n = x->n,
				.advantage = x->a.advantage,
			};
		}
	return n;
}

int grpo_batch_rows(const struct grpo_batch *b, int64_t step, struct store_rollout **out)
{
	int n = 0, all = 0;

	for (int i = 0; i < b->n; i++)
		all += b->group[i]->n;
	*out = calloc((size_t)all + 1, sizeof(**out));
	if (!*out)
		return -1;
	for (int i = 0; i < b->n; i++)
		for (int k = 0; k < b->group[i]->n; k++) {
			const struct batch_group *g = b->group[i];
			const struct batch_answer *x = &g->v[k];
			if (x->turn_id == 0)
				continue;
			(*out)[n++] = (struct store_rollout){
				.turn_id = x->turn_id,
				.step = step,
				.group = g->number,
				.member = x->a.member,
				.round = x->a.turn,
				.kind = g->prompt.repair ? "repair" : "first",
				.reward = x->a.reward,
				.advantage = x->a.use == GRPO_LOST ? NAN : x->a.advantage,
				.use = g->replaced && x->a.use != GRPO_LOST
				               ? "replaced"
				               : grpo_use_name(x->a.use),
			};
		}
	return n;
}

void grpo_batch_figures(const struct grpo_batch *b, int64_t step, struct grpo_step_figures *out)
{
	grpo_step_begin(out, step);
	for (int i = 0; i < b->n; i++)
		grpo_step_add(out, &b->group[i]->f);
}

int grpo_batch_ended(const struct grpo_batch *b)
{
	int most = 0;

	for (int i = 0; i < b->n; i++)
		for (int k = 0; k < b->group[i]->n; k++) {
			const struct batch_answer *x = &b->group[i]->v[k];
			if (!x->a.clipped && x->n > most)
				most = x->n;
		}
	return most;
}

struct seen {
	double sum, squares, entropy, length;
	int n, n_entropy, n_length, longest, repairs, repair_answers, repair_built;
	const struct batch_answer *best, *worst;
	int classes[CLASS_COUNT];
};

static void see(struct seen *s, const struct batch_group *g, const struct batch_answer *x)
{
	double r = x->a.reward;

	if (x->n > 0) {
		s->length += x->n;
		s->n_length++;
		s->longest = x->n > s->longest ? x->n : s->longest;
	}
	if (isfinite(x->entropy)) {
		s->entropy += x->entropy;
		s->n_entropy++;
	}
	if (isnan(r))
		return;
	s->n++;
	s->sum += r;
	s->squares += r * r;
	if (x->class < CLASS_COUNT)
		s->classes[x->class]++;
	if (g->prompt.repair || x->a.turn > 1) {
		s->repair_answers++;
		s->repair_built += x->a.built;
	}
	if (!x->turn_id)
		return;
	if (!s->best || r > s->best->a.reward)
		s->best = x;
	if (!s->worst || r < s->worst->a.reward)
		s->worst = x;
}

static void add_answer(cJSON *data, const char *key, const struct batch_answer *x)
{
	cJSON *o;

	if (!x)
		return;
	o = cJSON_AddObjectToObject(data, key);
	cJSON_AddNumberToObject(o, "episode", (double)x->episode);
	cJSON_AddNumberToObject(o, "turn", x->number);
	json_add_figure(o, "reward", x->a.reward);
}

void grpo_batch_json(const struct grpo_batch *b, const struct grpo_step_figures *f, cJSON *data)
{
	struct seen s = { 0 };
	int replaced = 0;
	double mean, spread;
	cJSON *o;

	for (int i = 0; i < b->n; i++) {
		replaced += b->group[i]->replaced;
		s.repairs += b->group[i]->prompt.repair;
		for (int k = 0; k < b->group[i]->n; k++)
			see(&s, b->group[i], &b->group[i]->v[k]);
	}
	mean = s.n ? s.sum / s.n : NAN;
	spread = s.n > 1 ? (s.squares - s.n * mean * mean) / (s.n - 1) : NAN;
	json_add_figure(data, "reward", f->reward);
	json_add_figure(data, "reward_std", spread >= 0 ? sqrt(spread) : s.n > 1 ? 0 : NAN);
	json_add_figure(data, "reward_failed", f->failed);
	json_add_figure(data, "build_rate", f->build_rate);
	cJSON_AddNumberToObject(data, "groups", f->groups);
	cJSON_AddNumberToObject(data, "flat", f->flat);
	cJSON_AddNumberToObject(data, "all_built", f->all_built);
	cJSON_AddNumberToObject(data, "none_built", f->none_built);
	cJSON_AddNumberToObject(data, "replaced", replaced);
	cJSON_AddNumberToObject(data, "answers", f->answers);
	cJSON_AddNumberToObject(data, "built", f->built);
	cJSON_AddNumberToObject(data, "used", f->used);
	cJSON_AddNumberToObject(data, "clipped", f->clipped);
	cJSON_AddNumberToObject(data, "lost", f->lost);
	json_add_figure(data, "entropy", s.n_entropy ? s.entropy / s.n_entropy : NAN);
	json_add_figure(data, "length", s.n_length ? s.length / s.n_length : NAN);
	json_add_figure(data, "length_max", s.n_length ? s.longest : NAN);
	o = cJSON_AddObjectToObject(data, "classes");
	for (int i = 0; i < CLASS_COUNT; i++)
		if (s.classes[i])
			cJSON_AddNumberToObject(o, build_class_name((enum build_class)i),
			                        s.classes[i]);
	cJSON_AddNumberToObject(data, "repairs", s.repairs);
	json_add_figure(data, "repair_built",
	                s.repair_answers ? (double)s.repair_built / s.repair_answers : NAN);
	add_answer(data, "best", s.best);
	add_answer(data, "worst", s.worst);
}
