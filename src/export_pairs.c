#include "src/export_pairs.h"

#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/sha256.h"

struct said {
	char *task;
	cJSON *prompt;
	struct said_answer *answer;
	int n, cap;
};

struct known {
	char key[SHA256_HEX];
	int prompt;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->key, ((const struct known *)b)->key);
}

int said_prompt(struct said_set *set, const char *task, const cJSON *prompt, bool *fresh,
                struct err *e)
{
	struct known *k = calloc(1, sizeof(*k)), **at = NULL;
	struct buf text = { 0 };

	buf_adds(&text, task);
	buf_addc(&text, '\n');
	json_print(&text, prompt);
	if (k && !buf_failed(&text)) {
		sha256_hex(buf_str(&text), text.len, k->key);
		at = tsearch(k, &set->by_key, by_key);
	}
	buf_release(&text);
	if (!at) {
		free(k);
		return err_set(e, ERR_MEM, "no memory for %d prompts", set->n + 1);
	}
	*fresh = *at == k;
	if (!*fresh) {
		free(k);
		return (*at)->prompt;
	}
	if (set->n == set->cap) {
		int cap = set->cap ? 2 * set->cap : 64;
		void *p = realloc(set->v, (size_t)cap * sizeof(*set->v));
		if (!p) {
			tdelete(k, &set->by_key, by_key);
			free(k);
			return err_set(e, ERR_MEM, "no memory for %d prompts", cap);
		}
		set->v = p;
		set->cap = cap;
	}
	k->prompt = set->n;
	set->v[set->n] =
		(struct said){ .task = strdup(task), .prompt = cJSON_Duplicate(prompt, true) };
	if (!set->v[set->n].task || !set->v[set->n++].prompt)
		return err_set(e, ERR_MEM, "no memory for %d prompts", set->n);
	return k->prompt;
}

int said_add(struct said_set *set, int prompt, int64_t episode, int turn, const char *program,
             double total, struct err *e)
{
	struct said *s = &set->v[prompt];
	char *copy;

	/* asked the same as the turn that it repairs */
	for (int i = s->n - 1; i >= 0; i--)
		if (s->answer[i].episode == episode && s->answer[i].turn == turn)
			return 0;
	copy = strdup(program);

	if (copy && s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 8;
		void *p = realloc(s->answer, (size_t)cap * sizeof(*s->answer));
		if (!p) {
			free(copy);
			copy = NULL;
		} else {
			s->answer = p;
			s->cap = cap;
		}
	}
	if (!copy)
		return err_set(e, ERR_MEM, "no memory for %d answers", s->n + 1);
	s->answer[s->n++] = (struct said_answer){ episode, turn, copy, total };
	return 0;
}

/* ---- which is the better one ---- */

enum opinion { NOBODY, LEVEL, FIRST, SECOND };

static bool is_turn(const struct said_answer *a, int64_t episode, int turn)
{
	return a->episode == episode && a->turn == turn;
}

/* Who said it, as long as it was one person. */
static void note_judge(const char **as, bool *several, const char *name)
{
	*several = *several || (*as && strcmp(*as, name) != 0);
	*as = *several ? NULL : name;
}

static enum opinion opinion_of(const struct judgements *j, const struct said_answer *a,
                               const struct said_answer *b, const char **as)
{
	int votes = 0, for_a = 0;
	bool several = false;

	*as = NULL;
	for (size_t i = 0; i < j->n; i++) {
		const struct judged *x = &j->v[i];
		if (!x->prefers || !judgements_pair_stands(j, i))
			continue;
		bool ab = is_turn(a, x->episode, x->turn) &&
		          is_turn(b, x->other_episode, x->other_turn);
		bool ba = is_turn(b, x->episode, x->turn) &&
		          is_turn(a, x->other_episode, x->other_turn);
		if (!ab && !ba)
			continue;
		votes++;
		for_a += x->equal ? 0 : ab ? 1 : -1;
		note_judge(as, &several, x->as);
	}
	/* a grade is said of one turn; of two by the same judge one may be higher */
	for (size_t i = 0; votes == 0 && i < j->n; i++) {
		const struct judged *x = &j->v[i];
		if (x->grade < 0 || !is_turn(a, x->episode, x->turn) ||
		    judgements_grade_of(j, x->as, a->episode, a->turn) != (long)i)
			continue;
		long k = judgements_grade_of(j, x->as, b->episode, b->turn);
		if (k < 0)
			continue;
		for_a += x->grade - j->v[k].grade;
		note_judge(as, &several, x->as);
	}
	if (votes == 0 && !*as && !several)
		return NOBODY;
	return for_a > 0 ? FIRST : for_a < 0 ? SECOND : LEVEL;
}

static bool is_judged(const struct judgements *j, const struct said_answer *a)
{
	for (size_t i = 0; i < j->n; i++)
		if (is_turn(a, j->v[i].episode, j->v[i].turn) ||
		    (j->v[i].prefers && is_turn(a, j->v[i].other_episode, j->v[i].other_turn)))
			return true;
	return false;
}

struct telling {
	const struct said *s;
	const struct judgements *j;
	const bool *judged; /* of each answer */
	double min, margin;
	int (*pair)(void *ctx, const struct said_pair *p, struct err *e);
	void *ctx;
};

static int tell(const struct telling *t, const struct said_answer *good,
                const struct said_answer *bad, bool judged, const char *as, struct err *e)
{
	const struct said_pair p = { t->s->task, t->s->prompt, good, bad, judged, as };

	/* the same program twice teaches nothing */
	if (!(good->total >= t->min) || strcmp(good->program, bad->program) == 0)
		return 0;
	return t->pair(t->ctx, &p, e);
}

static int judged_pairs(const struct telling *t, struct err *e)
{
	const char *as;

	for (int a = 0; a < t->s->n; a++)
		for (int b = a + 1; t->judged[a] && b < t->s->n; b++) {
			const struct said_answer *x = &t->s->answer[a], *y = &t->s->answer[b];
			enum opinion o = t->judged[b] ? opinion_of(t->j, x, y, &as) : NOBODY;
			if ((o == FIRST && tell(t, x, y, true, as, e) < 0) ||
			    (o == SECOND && tell(t, y, x, true, as, e) < 0))
				return -1;
		}
	return 0;
}

static int reward_pairs(const struct telling *t, struct err *e)
{
	const char *as;
	int best = -1;

	for (int k = 0; k < t->s->n; k++)
		if (best < 0 || t->s->answer[k].total > t->s->answer[best].total)
			best = k;
	for (int k = 0; k < t->s->n; k++) {
		const struct said_answer *x = &t->s->answer[best], *y = &t->s->answer[k];
		if (k == best || !(x->total - y->total >= t->margin) ||
		    (t->judged[best] && t->judged[k] && opinion_of(t->j, x, y, &as) != NOBODY))
			continue;
		if (tell(t, x, y, false, NULL, e) < 0)
			return -1;
	}
	return 0;
}

int said_pairs(const struct said_set *set, const struct judgements *j, double min, double margin,
               int (*pair)(void *ctx, const struct said_pair *p, struct err *e), void *ctx,
               struct err *e)
{
	for (int i = 0; i < set->n; i++) {
		const struct said *s = &set->v[i];
		bool *judged = calloc((size_t)s->n + 1, sizeof(*judged));
		if (!judged)
			return err_set(e, ERR_MEM, "no memory for %d answers", s->n);
		for (int k = 0; k < s->n; k++)
			judged[k] = is_judged(j, &s->answer[k]);
		const struct telling t = { s, j, judged, min, margin, pair, ctx };
		int rc = judged_pairs(&t, e);
		if (rc == 0)
			rc = reward_pairs(&t, e);
		free(judged);
		if (rc < 0)
			return -1;
	}
	return 0;
}

void said_release(struct said_set *set)
{
	for (int i = 0; i < set->n; i++) {
		for (int k = 0; k < set->v[i].n; k++)
			free(set->v[i].answer[k].program);
		free(set->v[i].answer);
		free(set->v[i].task);
		cJSON_Delete(set->v[i].prompt);
	}
	free(set->v);
	tdestroy(set->by_key, free);
	*set = (struct said_set){ 0 };
}
