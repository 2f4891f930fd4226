/*
 * workbench_replay_pairs.c - judging: a turn, blind, two programs beside each other.
 */
#include "src/workbench_replay_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAIR_TURNS_MAX = 48, /* turns of a task that pairs are made of */
	TAGS_MAX = 32
};

/* ---- judging ---- */

struct taken {
	int64_t episode;
	int turn;
	char who[128];
};

static int take_back(struct workbench *w, void *data, struct err *e)
{
	static const char *const tags[] = { JUDGING_WITHDRAWN };
	const struct taken *t = data;
	struct store *s = wb_store_write(w, e);
	struct store_judgement_new j = { .episode = t->episode,
		                         .turn = t->turn,
		                         .as = t->who,
		                         .grade = -1,
		                         .tags = tags,
		                         .n_tags = 1 };
	int64_t id;

	if (!s || store_judge(s, &j, &id, e) < 0)
		return -1;
	wb_store_changed(w);
	return 0;
}

static int judge(struct workbench *w, const struct store_judgement_new *j, const char *what,
                 struct err *e)
{
	struct store *s = wb_store_write(w, e);
	struct taken *t;
	int64_t id;

	if (!s || store_judge(s, j, &id, e) < 0)
		return -1;
	if ((t = calloc(1, sizeof(*t)))) {
		*t = (struct taken){ .episode = j->episode, .turn = j->turn };
		snprintf(t->who, sizeof(t->who), "%s", j->as);
		wb_undoable(w, what, take_back, free, t);
	}
	wb_store_changed(w);
	return 0;
}

void wb_replay_judge(struct workbench *w, struct wb_replay *r, const struct intent *in,
                     struct err *e)
{
	const char *tags[TAGS_MAX + 1];
	char *words = strdup(in->more ? in->more : ""), *rest = words, *tag;
	struct store_judgement_new j = { .episode = r->episode,
		                         .turn = r->right.turn,
		                         .as = wb_who(w),
		                         .grade = (int)in->n,
		                         .note = in->text && *in->text ? in->text : NULL,
		                         .tags = tags };

	if (!words) {
		err_set(e, ERR_MEM, "no memory for the tags");
		return;
	}
	while ((tag = strsep(&rest, " ,\t")))
		if (*tag && j.n_tags < TAGS_MAX)
			tags[j.n_tags++] = tag;
	if (r->blind)
		tags[j.n_tags++] = "blind";
	if (r->pairwise || !r->right.turn)
		err_set(e, ERR_USAGE, "there is no turn to judge here");
	else if (j.grade < 0 && !j.note && j.n_tags == r->blind)
		wb_say(w, MESSAGE_SAY, "nothing was said: no judgement");
	else if (judge(w, &j,
	               j.grade >= 0 ? wb_text(w, "grade %d of %" PRId64 ".%d", j.grade, j.episode,
	                                      j.turn)
	                            : wb_text(w, "note on %" PRId64 ".%d", j.episode, j.turn),
	               e) == 0)
		wb_say(w, MESSAGE_SAY, "judged %" PRId64 ".%d%s, as %s", j.episode, j.turn,
		       j.grade >= 0 ? wb_text(w, ": %d of 5", j.grade) : "", j.as);
	free(words);
}

/* ---- pairs ---- */

struct candidates {
	int64_t episode[PAIR_TURNS_MAX];
	int turn[PAIR_TURNS_MAX], n;
};

static int add_best(void *ctx, const struct store_episode *x)
{
	struct candidates *c = ctx;

	if (x->best > 0 && x->best_built && c->n < PAIR_TURNS_MAX) {
		c->episode[c->n] = x->id;
		c->turn[c->n++] = x->best;
	}
	return c->n == PAIR_TURNS_MAX;
}

/* The two sides of the pair that is shown, or of the next one with programs that differ. False:
 * there is none left. */
static bool show_pair(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct store *s = wb_store(w, e);

	for (; s && r->pair < r->n_pairs; r->pair++) {
		const struct pair *p = &r->pairs[r->pair];
		wb_replay_read_side(s, p->left_episode, p->left, &r->left);
		wb_replay_read_side(s, p->right_episode, p->right, &r->right);
		if (r->left.program.len == r->right.program.len &&
		    memcmp(buf_str(&r->left.program), buf_str(&r->right.program),
		           r->left.program.len) == 0)
			continue;
		wb_replay_turn_release(r);
		wb_dirty(w);
		return wb_replay_compare(r, e) == 0;
	}
	return false;
}

void wb_replay_leave_pairs(struct workbench *w, struct wb_replay *r, struct err *e)
{
	free(r->pairs);
	r->pairs = NULL;
	r->n_pairs = r->pair = 0;
	r->pairwise = false;
	if (r->n > 0)
		wb_replay_show_turn(w, r, r->best ? r->best : r->rows[0].number, e);
}

/* Turns of the task that built, two by two, in an order and on sides of one's own, without those
 * that one has compared already. */
void wb_replay_enter_pairs(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct candidates c = { .n = 0 };
	struct store_filter f = store_filter_none();
	struct store *s = wb_store(w, e);
	const char *who = wb_who(w);
	uint64_t seed = judging_seed(who, r->task);

	if (!s || !r->episode)
		return;
	for (int i = 0; i < r->n && c.n < PAIR_TURNS_MAX / 2; i++)
		if (r->rows[i].built && r->rows[i].number != r->best) {
			c.episode[c.n] = r->episode;
			c.turn[c.n++] = r->rows[i].number;
		}
	f.task = r->task;
	if (store_episodes(s, &f, 0, PAIR_TURNS_MAX, add_best, &c, NULL, e) < 0)
		return;
	int all = c.n * (c.n - 1) / 2, n = 0;
	int *order = calloc((size_t)all + 1, sizeof(*order));
	int(*two)[2] = calloc((size_t)all + 1, sizeof(*two));
	free(r->pairs);
	r->pairs = calloc((size_t)all + 1, sizeof(*r->pairs));
	r->n_pairs = r->pair = 0;
	if (!order || !two || !r->pairs) {
		err_set(e, ERR_MEM, "no memory for %d pairs", all);
		goto out;
	}
	for (int i = 0; i < c.n; i++)
		for (int k = i + 1; k < c.n; k++, n++) {
			two[n][0] = i;
			two[n][1] = k;
		}
	judging_shuffle(seed, order, all);
	for (int i = 0; i < all; i++) {
		int a = two[order[i]][0], b = two[order[i]][1];
		if ((seed >> (i % 61) ^ (uint64_t)i * 0x9e3779b97f4a7c15u >> 40) & 1) {
			int swap = a;
			a = b;
			b = swap;
		}
		if (!judgements_has_pair(&r->judged, who, c.episode[a], c.turn[a], c.episode[b],
		                         c.turn[b]))
			r->pairs[r->n_pairs++] =
				(struct pair){ c.episode[a], c.episode[b], c.turn[a], c.turn[b] };
	}
	wb_replay_play_release(r);
	r->pairwise = true;
	if (!show_pair(w, r, e)) {
		wb_replay_leave_pairs(w, r, e);
		if (!e->kind)
			wb_say(w, MESSAGE_WARN,
			       "no two programs for %s are left to compare: two that built and "
			       "differ are needed",
			       r->task);
	}
out:
	free(order);
	free(two);
}

void wb_replay_prefer(struct workbench *w, struct wb_replay *r, int which, struct err *e)
{
	const struct pair *p = r->pairwise && r->pair < r->n_pairs ? &r->pairs[r->pair] : NULL;
	char tag[JUDGING_TAG];
	const char *const tags[] = { tag };

	if (!p) {
		err_set(e, ERR_USAGE, "no pair is shown: = begins with pairs");
		return;
	}
	bool right = which == 2;
	struct store_judgement_new j = { .episode = right ? p->right_episode : p->left_episode,
		                         .turn = right ? p->right : p->left,
		                         .as = wb_who(w),
		                         .grade = -1,
		                         .tags = tags,
		                         .n_tags = 1 };
	judging_tag(tag, which == 0, j.episode, right ? p->left_episode : p->right_episode,
	            right ? p->left : p->right);
	if (judge(w, &j, "preference", e) < 0)
		return;
	/* what it was is said now that it cannot sway */
	char words[2][48];
	for (int i = 0; i < 2; i++) {
		const struct side *side = i ? &r->right : &r->left;
		snprintf(words[i], sizeof(words[i]), "%" PRId64 ".%d %.3f", side->episode,
		         side->turn, side->total);
	}
	wb_say(w, MESSAGE_SAY, "%s; left was %s, right %s",
	       which == 0 ? "equal"
	       : right    ? "right is better"
	                  : "left is better",
	       words[0], words[1]);
	r->pair++;
	if (!show_pair(w, r, e)) {
		wb_replay_leave_pairs(w, r, e);
		if (!e->kind)
			wb_say(w, MESSAGE_SAY, "all pairs of %s are judged: left was %s, right %s",
			       r->task, words[0], words[1]);
	}
}

void wb_replay_go_blind(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct store *s = wb_store(w, e);
	int turn = r->right.turn;

	r->blind = !r->blind;
	if (!s || !r->episode || r->pairwise || wb_replay_read_rows(w, r, s, e) < 0)
		return;
	wb_replay_play_release(r);
	if (r->n > 0)
		wb_replay_show_turn(w, r, r->blind ? r->rows[0].number : turn, e);
	wb_say(w, MESSAGE_SAY, "%s",
	       r->blind ? "blind: model, adapter and reward are hidden until you have judged"
	                : "no longer blind");
}

/* An answer that begins as that turn's did, up to a token, and goes on otherwise. */
void wb_replay_branch(struct workbench *w, struct wb_replay *r, const struct intent *in,
                      struct err *e)
{
	int turn = r->right.turn, first = r->first_token;

	if (r->pairwise || r->n_token == 0 || in->n < 0 || in->n >= r->n_token || r->playing ||
	    r->seeking) {
		err_set(e, ERR_USAGE,
		        "a branch begins at a token of a turn that stands: u shows "
		        "them, q ends a playback");
		return;
	}
	wb_fork(w, r->episode, turn, e);
	if (e->kind)
		return;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "do", "branch");
	cJSON_AddNumberToObject(o, "episode", (double)r->episode);
	cJSON_AddNumberToObject(o, "turn", turn);
	cJSON_AddNumberToObject(o, "token", first + (double)in->n);
	cJSON_AddNumberToObject(o, "id", (double)in->m);
	wb_ask_host(w, o, e);
}
