#include "src/judging.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void judging_tag(char out[JUDGING_TAG], bool equal, int64_t episode, int64_t other_episode,
                 int other_turn)
{
	const char *word = equal ? "level" : "over";

	if (episode == other_episode)
		snprintf(out, JUDGING_TAG, "%s:%d", word, other_turn);
	else
		snprintf(out, JUDGING_TAG, "%s:%" PRId64 ".%d", word, other_episode, other_turn);
}

/* ---- reading ---- */

enum { WORD_MAX = 256 };

/* "run:ab12.2": the turn of an episode that came from there, as exports name it. False: it is not
 * here. @text is cut. */
static bool by_origin(struct store *s, char *text, int64_t *episode, int *turn)
{
	char *dot = strrchr(text, '.'), *end;
	long n = dot ? strtol(dot + 1, &end, 10) : 0;

	if (n < 1 || n > INT32_MAX || *end)
		return false;
	*dot = '\0';
	*turn = (int)n;
	*episode = 0;
	return store_episode_by_origin(s, text, episode, NULL) == 0 && *episode;
}

/* What the tags say beyond being words. */
static void read_tags(struct store *s, struct judged *x)
{
	const char *p = x->tags ? x->tags : "";

	while (*p) {
		char word[WORD_MAX];
		size_t n = strcspn(p, " ");
		snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : 0), p);
		p += n + (p[n] == ' ');
		if (strcmp(word, JUDGING_WITHDRAWN) == 0)
			x->withdraws = true;
		bool equal = strncmp(word, "level:", 6) == 0;
		if (!equal && strncmp(word, "over:", 5) != 0)
			continue;
		int64_t ep;
		int turn;
		if ((n >= JUDGING_TAG ||
		     store_parse_ref(strchr(word, ':') + 1, &ep, &turn, NULL) < 0) &&
		    !by_origin(s, strchr(word, ':') + 1, &ep, &turn))
			continue;
		if (!turn) {
			if (ep > INT32_MAX)
				continue;
			turn = (int)ep;
			ep = x->episode;
		}
		if (ep == x->episode && turn == x->turn)
			continue;
		x->prefers = true;
		x->equal = equal;
		x->other_episode = ep;
		x->other_turn = turn;
	}
}

struct reading {
	struct judgements *j;
	struct store *s;
	bool failed;
};

static int keep(void *ctx, const struct store_judgement *r)
{
	struct reading *rd = ctx;
	struct judgements *j = rd->j;

	if (j->n == j->cap) {
		size_t cap = j->cap ? 2 * j->cap : 64;
		struct judged *more = realloc(j->v, cap * sizeof(*more));
		if (!more) {
			rd->failed = true;
			return 1;
		}
		j->v = more;
		j->cap = cap;
	}
	struct judged *x = &j->v[j->n++];
	*x = (struct judged){ .as = strdup(r->as),
		              .task = strdup(r->task),
		              .note = r->note ? strdup(r->note) : NULL,
		              .tags = r->tags ? strdup(r->tags) : NULL,
		              .id = r->id,
		              .episode = r->episode,
		              .time_us = r->time_us,
		              .turn = r->turn,
		              .grade = r->grade,
		              .total = r->total,
		              .standing = true,
		              .other_total = NAN };
	rd->failed = !x->as || !x->task || (r->note && !x->note) || (r->tags && !x->tags);
	read_tags(rd->s, x);
	return rd->failed;
}

static int keep_total(void *ctx, const struct store_turn *t)
{
	*(double *)ctx = t->total;
	return 0;
}

/* Each "withdrawn" takes back the last word of the same judge on that turn that still stands. */
static void take_back(struct judgements *j)
{
	for (size_t k = 0; k < j->n; k++) {
		const struct judged *w = &j->v[k];
		if (!w->withdraws)
			continue;
		for (size_t i = k; i-- > 0;) {
			struct judged *x = &j->v[i];
			if (x->standing && !x->withdraws && x->episode == w->episode &&
			    x->turn == w->turn && strcmp(x->as, w->as) == 0) {
				x->standing = false;
				break;
			}
		}
	}
}

int judgements_read(struct judgements *out, struct store *s, int64_t episode, int turn,
                    const char *task, const char *as, struct err *e)
{
	struct reading rd = { out, s, false };

	*out = (struct judgements){ 0 };
	int rc = store_judgements(s, episode, turn, task, as, keep, &rd, e);
	if (rc == 0 && rd.failed)
		rc = err_set(e, ERR_MEM, "out of memory for %zu judgements", out->n);
	for (size_t i = 0; rc == 0 && i < out->n; i++) {
		struct judged *x = &out->v[i];
		struct err gone = { 0 };
		if (x->prefers &&
		    store_turn(s, x->other_episode, x->other_turn, keep_total, &x->other_total,
		               &gone) < 0 &&
		    gone.kind != ERR_INPUT) {
			*e = gone;
			rc = -1;
		}
	}
	if (rc < 0)
		judgements_release(out);
	else
		take_back(out);
	return rc;
}

void judgements_release(struct judgements *j)
{
	for (size_t i = 0; i < j->n; i++) {
		free(j->v[i].as);
		free(j->v[i].task);
		free(j->v[i].note);
		free(j->v[i].tags);
	}
	free(j->v);
	*j = (struct judgements){ 0 };
}

/* ---- what counts ---- */

/* A number for a name: the index of the first that has it. */
static int number_of(const struct judgements *j, const char *name, bool task)
{
	for (size_t i = 0; i < j->n; i++)
		if (strcmp(task ? j->v[i].task : j->v[i].as, name) == 0)
			return (int)i;
	return -1;
}

static int64_t key_of(int64_t episode, int turn)
{
	return episode << 20 | turn;
}

struct graded *judgements_grades(const struct judgements *j, size_t *n)
{
	struct graded *v = calloc(j->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; v && i < j->n; i++) {
		const struct judged *x = &j->v[i];
		if (x->grade < 0 || !x->standing)
			continue;
		v[(*n)++] = (struct graded){ .turn = key_of(x->episode, x->turn),
			                     .task = number_of(j, x->task, true),
			                     .judge = number_of(j, x->as, false),
			                     .grade = x->grade,
			                     .total = x->total };
	}
	if (v)
		*n = graded_in_force(v, *n);
	return v;
}

struct preference *judgements_preferences(const struct judgements *j, size_t *n)
{
	struct preference *v = calloc(j->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; v && i < j->n; i++) {
		const struct judged *x = &j->v[i];
		if (!x->prefers || !x->standing)
			continue;
		v[(*n)++] = (struct preference){ .better = key_of(x->episode, x->turn),
			                         .worse = key_of(x->other_episode, x->other_turn),
			                         .equal = x->equal,
			                         .judge = number_of(j, x->as, false),
			                         .total_better = x->total,
			                         .total_worse = x->other_total };
	}
	if (v)
		*n = preferences_in_force(v, *n);
	return v;
}

long judgements_grade_of(const struct judgements *j, const char *as, int64_t episode, int turn)
{
	for (size_t i = j->n; i-- > 0;) {
		const struct judged *x = &j->v[i];
		if (x->episode != episode || x->turn != turn || strcmp(x->as, as) != 0)
			continue;
		if (x->grade >= 0 && x->standing)
			return (long)i;
	}
	return -1;
}

/* Which two, in whatever order. */
static bool same_two(const struct judged *a, const struct judged *b)
{
	bool straight = a->episode == b->episode && a->turn == b->turn &&
	                a->other_episode == b->other_episode && a->other_turn == b->other_turn;
	bool crossed = a->episode == b->other_episode && a->turn == b->other_turn &&
	               a->other_episode == b->episode && a->other_turn == b->turn;

	return straight || crossed;
}

bool judgements_pair_stands(const struct judgements *j, size_t i)
{
	const struct judged *x = &j->v[i];

	if (!x->prefers || !x->standing)
		return false;
	for (size_t k = i + 1; k < j->n; k++)
		if (j->v[k].prefers && j->v[k].standing && same_two(x, &j->v[k]) &&
		    strcmp(x->as, j->v[k].as) == 0)
			return false;
	return true;
}

bool judgements_has_pair(const struct judgements *j, const char *as, int64_t episode, int turn,
                         int64_t other_episode, int other_turn)
{
	const struct judged about = { .episode = episode,
		                      .turn = turn,
		                      .other_episode = other_episode,
		                      .other_turn = other_turn };

	for (size_t i = 0; i < j->n; i++) {
		const struct judged *x = &j->v[i];
		if (x->prefers && x->standing && same_two(x, &about) && strcmp(x->as, as) == 0)
			return true;
	}
	return false;
}

void judgements_words(const struct judgements *j, struct buf *out)
{
	size_t n = 0, n_pairs = 0;
	struct graded *v = judgements_grades(j, &n);
	struct preference *p = judgements_preferences(j, &n_pairs);
	struct preferences_agreement q;
	struct agreement a;

	if (v && n > 0) {
		agreement_of(v, n, &a);
		buf_printf(out, "%d judge%s, %d grade%s", a.judges, a.judges == 1 ? "" : "s",
		           a.grades, a.grades == 1 ? "" : "s");
		if (a.pairs)
			buf_printf(out, ": %.0f %% the same, %.0f %% within one", 100 * a.exact,
			           100 * a.within_one);
		if (!isnan(a.alpha))
			buf_printf(out, ", alpha %.2f", a.alpha);
		if (a.reward_pairs)
			buf_printf(out, "; the reward agrees with %.0f %% of %lld pairs",
			           100 * a.reward_agrees, a.reward_pairs);
	}
	if (p && n_pairs > 0) {
		preferences_of(p, n_pairs, &q);
		buf_printf(out, "%s%d preference%s", n ? "; " : "", q.pairs,
		           q.pairs == 1 ? "" : "s");
		if (q.shared)
			buf_printf(out, ", judges agree on %.0f %%", 100 * q.same);
		if (q.reward_pairs)
			buf_printf(out, ", the reward with %.0f %%", 100 * q.reward_agrees);
	}
	free(v);
	free(p);
}

/* ---- without knowing whose ---- */

/* splitmix64 (S. Vigna, public domain): a sequence that follows from where it begins. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void judging_shuffle(uint64_t seed, int *v, int n)
{
	for (int i = 0; i < n; i++)
		v[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int k = (int)(next_random(&seed) % (uint64_t)(i + 1)), keep_ = v[i];
		v[i] = v[k];
		v[k] = keep_;
	}
}

uint64_t judging_seed(const char *as, const char *what)
{
	/* FNV-1a over both, with a byte between them that no text has */
	uint64_t h = 0xcbf29ce484222325u;

	for (const char *p = as; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	h = (h ^ 0xff) * 0x100000001b3u;
	for (const char *p = what; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	return h;
}
