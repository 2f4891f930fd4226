/*
 * workbench_replay.c - Replay: any episode of the database, as it stands and as it happened; and
 * what people think of it.
 *
 * What is shown of an episode is read when it is opened, a turn's texts when it is selected; a
 * frame only points to them. While it is played or was sought the live part of the view is
 * src/replay's fold.
 *
 * Judging blind, model, adapter and reward of a turn are hidden until one has judged it, and the
 * turns stand in an order of one's own. Pairwise, two programs for one task stand beside each
 * other, whose they are unsaid; what is said of them is a preference (src/judging.h).
 */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/base/clock.h"
#include "src/base/linediff.h"
#include "src/judging.h"
#include "src/replay.h"
#include "src/turn_tree.h"
#include "src/workbench.h"

enum {
	LIST_PAGE = 50,      /* rows of a list over the screen that are read at once */
	PAIR_TURNS_MAX = 48, /* turns of a task that pairs are made of */
	TAGS_MAX = 32,
	ASKED_BYTES = 160
};

#define AWAY_S 1.0 /* longer than a tick ever waits */

struct row {
	int number, parent, member, tokens, depth;
	bool built;
	double total, parent_total;
	const char *class_name, *source, *model, *adapter, *finish;
	int grade; /* by who sits here; -1: none */
};

/* What is read of one turn. */
struct side {
	int64_t episode;
	int turn; /* 0: none */
	bool built;
	double total;
	cJSON *score;
	struct buf program;
	struct wb_picture picture;
	bool shape_read; /* into the picture: when one is shown first */
};

struct pair {
	int64_t left_episode, right_episode;
	int left, right;
};

struct wb_replay {
	/* the episode */
	int64_t episode; /* 0: none */
	char task[128], profile[64];
	int64_t created_us, last_us, tokens;
	int best, n_built;
	double best_total;
	struct arena mem; /* texts of the rows */
	struct row *rows; /* in the order they are shown in */
	int n;
	/* the turn */
	struct side right, left;
	int other; /* asked for as the left side; 0: the parent */
	struct buf prompt, log;
	char asked[ASKED_BYTES];
	struct view_token *token; /* those that the program begins with or after */
	int n_token, first_token; /* first: its place in the answer */
	struct buf token_text;    /* the alternatives' */
	struct arena diff_mem;
	struct view_diff_line *diff; /* in diff_mem, with the lines' texts */
	int n_diff;
	struct linediff count;
	struct picture_look look;
	/* what is thought of it */
	struct judgements judged; /* of the task */
	struct buf agreement;
	bool blind, pairwise;
	struct pair *pairs;
	int n_pairs, pair; /* pair: the one that is shown */
	/* as it happened */
	bool from_turn; /* a turn was asked for, not the episode */
	struct replay *play;
	bool playing, seeking;
	struct wb_picture play_picture;
	/* which episodes the next and previous ones are */
	struct store_filter filter;
	char filter_text[4][128]; /* task, class, model, adapter */
	/* the list over the screen */
	struct store_filter list;
	char list_text[4][128];
	char words[256];
	int64_t list_after;
};

/* ---- letting go ---- */

static void side_release(struct side *s)
{
	cJSON_Delete(s->score);
	buf_release(&s->program);
	wb_picture_release(&s->picture);
	*s = (struct side){ 0 };
}

static void turn_release(struct wb_replay *r)
{
	buf_clear(&r->prompt);
	buf_clear(&r->log);
	buf_clear(&r->token_text);
	r->asked[0] = '\0';
	free(r->token);
	r->token = NULL;
	r->n_token = 0;
	arena_reset(&r->diff_mem);
	r->diff = NULL;
	r->n_diff = 0;
	r->count = (struct linediff){ 0 };
}

static void play_release(struct wb_replay *r)
{
	replay_close(r->play);
	r->play = NULL;
	r->playing = r->seeking = false;
	wb_picture_release(&r->play_picture);
}

static void episode_release(struct wb_replay *r)
{
	play_release(r);
	turn_release(r);
	free(r->rows);
	r->rows = NULL;
	r->n = 0;
	r->episode = 0;
	r->other = 0;
	arena_reset(&r->mem);
	judgements_release(&r->judged);
	buf_clear(&r->agreement);
}

/* ---- reading an episode ---- */

static int read_head(void *ctx, const struct store_episode *x)
{
	struct wb_replay *r = ctx;

	snprintf(r->task, sizeof(r->task), "%s", x->task);
	snprintf(r->profile, sizeof(r->profile), "%s", x->profile);
	r->created_us = x->created_us;
	r->last_us = x->last_us;
	r->best = x->best;
	r->best_total = x->best_total;
	return 0;
}

static int read_row(void *ctx, const struct store_turn *t)
{
	struct wb_replay *r = ctx;
	struct row *p = realloc(r->rows, (size_t)(r->n + 1) * sizeof(*p));

	if (!p)
		return 1;
	r->rows = p;
	r->rows[r->n++] = (struct row){ .number = t->number,
		                        .parent = t->parent,
		                        .member = t->member,
		                        .tokens = t->completion_tokens,
		                        .built = t->built,
		                        .total = t->total,
		                        .parent_total = t->parent_total,
		                        .class_name = arena_string(&r->mem, t->class_name),
		                        .source = arena_string(&r->mem, t->source),
		                        .model = arena_string(&r->mem, t->model),
		                        .adapter = arena_string(&r->mem, t->adapter),
		                        .finish = arena_string(&r->mem, t->finish),
		                        .grade = -1 };
	r->n_built += t->built;
	r->tokens += t->completion_tokens > 0 ? t->completion_tokens : 0;
	return 0;
}

static struct row *row_of(const struct wb_replay *r, int number)
{
	for (int i = 0; i < r->n; i++)
		if (r->rows[i].number == number)
			return &r->rows[i];
	return NULL;
}

/* As a tree; or, to judge without knowing which was a repair of which, in an order of one's own. */
static int arrange(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct turn_node *node = calloc((size_t)r->n + 1, sizeof(*node));
	int *order = calloc((size_t)r->n + 1, sizeof(*order));
	int *depth = calloc((size_t)r->n + 1, sizeof(*depth));
	struct row *sorted = calloc((size_t)r->n + 1, sizeof(*sorted));
	char what[160];
	int rc = -1;

	if (!node || !order || !depth || !sorted) {
		err_set(e, ERR_MEM, "no memory for %d turns", r->n);
		goto out;
	}
	for (int i = 0; i < r->n; i++)
		node[i] = (struct turn_node){ r->rows[i].number, r->rows[i].parent };
	snprintf(what, sizeof(what), "%s/%" PRId64, r->task, r->episode);
	if (r->blind)
		judging_shuffle(judging_seed(wb_who(w), what), order, r->n);
	else if (turn_tree(node, r->n, r->best, order, depth, e) < 0)
		goto out;
	for (int i = 0; i < r->n; i++) {
		sorted[i] = r->rows[order[i]];
		sorted[i].depth = depth[i];
	}
	free(r->rows);
	r->rows = sorted;
	sorted = NULL;
	rc = 0;
out:
	free(node);
	free(order);
	free(depth);
	free(sorted);
	return rc;
}

static void read_judgements(struct workbench *w, struct wb_replay *r, struct store *s)
{
	const char *who = wb_who(w);

	judgements_release(&r->judged);
	buf_clear(&r->agreement);
	/* what people think is not what one came for: without it the rest is shown */
	if (judgements_read(&r->judged, s, 0, 0, r->task, NULL, NULL) < 0)
		return;
	judgements_words(&r->judged, &r->agreement);
	for (int i = 0; i < r->n; i++) {
		long k = judgements_grade_of(&r->judged, who, r->episode, r->rows[i].number);
		r->rows[i].grade = k >= 0 ? r->judged.v[k].grade : -1;
	}
}

/* Rows and judgements of r->episode. */
static int read_rows(struct workbench *w, struct wb_replay *r, struct store *s, struct err *e)
{
	free(r->rows);
	r->rows = NULL;
	r->n = r->n_built = 0;
	r->tokens = 0;
	arena_reset(&r->mem);
	if (store_episode(s, r->episode, read_head, r, e) < 0 ||
	    store_turns(s, r->episode, read_row, r, e) < 0 || arrange(w, r, e) < 0)
		return -1;
	if (arena_failed(&r->mem))
		return err_set(e, ERR_MEM, "no memory for episode %" PRId64, r->episode);
	read_judgements(w, r, s);
	return 0;
}

/* ---- reading a turn ---- */

/* Missing, pruned or damaged: an empty one. */
static void read_text(struct store *s, int64_t episode, int turn, const char *name, struct buf *out)
{
	if (store_artifact(s, episode, turn, name, out, NULL) < 0)
		buf_clear(out);
}

static int keep_side(void *ctx, const struct store_turn *t)
{
	struct side *s = ctx;

	s->built = t->built;
	s->total = t->total;
	return 0;
}

static void read_side(struct store *s, int64_t episode, int turn, struct side *out)
{
	struct buf text = { 0 };

	if (out->episode == episode && out->turn == turn && turn)
		return;
	cJSON_Delete(out->score);
	out->score = NULL;
	buf_clear(&out->program);
	out->episode = episode;
	out->turn = turn;
	out->built = false;
	out->total = NAN;
	out->shape_read = false;
	wb_picture_stl(&out->picture, 0, NULL, 0, "");
	if (!turn) {
		wb_picture_stl(&out->picture, 0, NULL, 0, "no turn stands here");
		return;
	}
	store_turn(s, episode, turn, keep_side, out, NULL);
	read_text(s, episode, turn, "program.py", &out->program);
	read_text(s, episode, turn, "reward.json", &text);
	out->score = text.len ? json_parse(buf_str(&text), text.len, NULL) : NULL;
	buf_release(&text);
}

/* Its picture, where there is room for one. */
static void side_picture(struct workbench *w, struct side *side, const struct picture_look *look,
                         struct view_image *out)
{
	struct err e = { 0 };
	struct store *s = wb_store(w, &e);
	struct buf stl = { 0 };

	if (side->turn && !side->shape_read && w->room_w > 0 && s) {
		read_text(s, side->episode, side->turn, "shape.stl", &stl);
		wb_picture_stl(&side->picture, (uint64_t)side->episode << 20 | (uint64_t)side->turn,
		               buf_str(&stl), stl.len,
		               side->built ? "its shape was thinned out of the database"
		                           : "it did not build: there is no shape");
		side->shape_read = true;
		buf_release(&stl);
	}
	wb_picture_view(w, &side->picture, look, out);
}

static const cJSON *last_message(const cJSON *messages)
{
	return cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1);
}

static cJSON *read_messages(struct store *s, int64_t episode, int turn)
{
	struct buf text = { 0 };
	cJSON *m = NULL;

	read_text(s, episode, turn, "prompt.json", &text);
	if (text.len)
		m = json_parse(buf_str(&text), text.len, NULL);
	buf_release(&text);
	return m;
}

/* Bytes of whole lines with which the last message of @a begins as that of @b does: what every
 * prompt of the task begins with. */
static size_t shared_head(const cJSON *a, const cJSON *b)
{
	const char *p = json_string_or(last_message(a), "content", "");
	const char *q = json_string_or(last_message(b), "content", "");
	size_t n = 0, line = 0;

	for (; p[n] && p[n] == q[n]; n++)
		if (p[n] == '\n')
			line = n + 1;
	return !q[n] && (!p[n] || p[n] == '\n') ? n : line;
}

/* First what is this turn's own, then what all turns were told. */
static void read_prompt(struct wb_replay *r, struct store *s)
{
	const struct row *row = row_of(r, r->right.turn);
	cJSON *mine = read_messages(s, r->episode, r->right.turn);
	cJSON *first = row && row->parent ? read_messages(s, r->episode, 1) : NULL;
	const cJSON *m, *last = last_message(mine);
	const char *said = json_string_or(last, "content", "");
	size_t head = first ? shared_head(mine, first) : 0;

	if (!mine)
		buf_printf(&r->prompt, "It was made without a prompt (%s).\n",
		           row && row->source ? row->source : "not known how");
	buf_adds(&r->prompt, said + head + strspn(said + head, "\n"));
	if (head > 0) {
		buf_adds(&r->prompt, "\n\n---- before that, as in turn 1 ----\n\n");
		buf_add(&r->prompt, said, head);
	}
	cJSON_ArrayForEach(m, mine)
	{
		if (m == last)
			break;
		buf_printf(&r->prompt, "\n\n---- %s ----\n\n", json_string_or(m, "role", "?"));
		buf_adds(&r->prompt, json_string_or(m, "content", ""));
	}
	/* what the turn's own child was asked: the first words that are about this turn */
	for (int i = 0; i < r->n && !r->asked[0]; i++) {
		if (r->rows[i].parent != r->right.turn)
			continue;
		cJSON *next = read_messages(s, r->episode, r->rows[i].number);
		const cJSON *one = row && row->parent ? first : mine;
		if (next && one) {
			const char *p = json_string_or(last_message(next), "content", "") +
			                shared_head(next, one);
			p += strspn(p, " \n\t");
			int at = snprintf(r->asked, sizeof(r->asked),
			                  "asked next (turn %d): ", r->rows[i].number);
			for (; *p && at < ASKED_BYTES - 1; p++)
				if (*p != '\n' || r->asked[at - 1] != ' ')
					r->asked[at++] = *p == '\n' ? ' ' : *p;
			r->asked[at] = '\0';
		}
		cJSON_Delete(next);
	}
	cJSON_Delete(mine);
	cJSON_Delete(first);
}

/* The tokens that the program was written with: their places in the answer (tokens.json) become
 * places in the program, which is a piece of it. */
static void read_tokens(struct wb_replay *r, struct store *s)
{
	struct buf text = { 0 }, answer = { 0 };
	const struct buf *code = &r->right.program;
	cJSON *o = NULL;

	read_text(s, r->episode, r->right.turn, "tokens.json", &text);
	if (text.len)
		o = json_parse(buf_str(&text), text.len, NULL);
	const cJSON *at = cJSON_GetObjectItemCaseSensitive(o, "at");
	if (cJSON_GetArraySize(at) > 0 && code->len > 0)
		read_text(s, r->episode, r->right.turn, "completion.txt", &answer);
	const char *found = answer.len && code->len
	                            ? memmem(answer.data, answer.len, code->data, code->len)
	                            : NULL;
	int n = found ? cJSON_GetArraySize(at) : 0;
	if (n == 0 || !(r->token = calloc((size_t)n, sizeof(*r->token))))
		goto out;
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(o, "ids"), *x = at->child;
	const cJSON *logprob = cJSON_GetObjectItemCaseSensitive(o, "logprobs");
	const cJSON *entropy = cJSON_GetObjectItemCaseSensitive(o, "entropy");
	const cJSON *top = cJSON_GetObjectItemCaseSensitive(o, "top");
	id = id ? id->child : NULL;
	logprob = logprob ? logprob->child : NULL;
	entropy = entropy ? entropy->child : NULL;
	top = top ? top->child : NULL;
	double from = (double)(found - answer.data);
	/* the texts move while they grow: first their places */
	for (int i = 0; i < n && x; i++) {
		double start = cJSON_IsNumber(x) ? x->valuedouble - from : NAN;
		double end = (cJSON_IsNumber(x->next) ? x->next->valuedouble : (double)answer.len) -
		             from;
		/* one that begins before the program and reaches into it is the program's first */
		if (start < (double)code->len && end > 0 && (start >= 0 || r->n_token == 0)) {
			struct view_token *t = &r->token[r->n_token++];
			const cJSON *a;
			if (r->n_token == 1)
				r->first_token = i;
			*t = (struct view_token){ .start = (uint32_t)fmax(start, 0),
				                  .p = NAN,
				                  .entropy = NAN };
			if (cJSON_IsNumber(id))
				t->id = id->valueint;
			if (cJSON_IsNumber(logprob))
				t->p = (float)exp(logprob->valuedouble);
			if (cJSON_IsNumber(entropy))
				t->entropy = (float)entropy->valuedouble;
			cJSON_ArrayForEach(a, top)
			{
				const cJSON *v = cJSON_GetArrayItem(a, 0);
				const cJSON *l = cJSON_GetArrayItem(a, 1);
				const cJSON *words = cJSON_GetArrayItem(a, 2);
				if (t->n_top == 5 || !cJSON_IsNumber(v) || !cJSON_IsNumber(l))
					break;
				t->top[t->n_top].id = v->valueint;
				t->top[t->n_top].p = (float)exp(l->valuedouble);
				t->top[t->n_top++].text =
					(const char *)(uintptr_t)(r->token_text.len + 1);
				if (cJSON_IsString(words))
					buf_adds(&r->token_text, words->valuestring);
				else
					buf_printf(&r->token_text, "token %d", v->valueint);
				buf_addc(&r->token_text, '\0');
			}
		}
		x = x->next;
		id = id ? id->next : NULL;
		logprob = logprob ? logprob->next : NULL;
		entropy = entropy ? entropy->next : NULL;
		top = top ? top->next : NULL;
	}
	for (int i = 0; i < r->n_token; i++)
		for (int k = 0; k < r->token[i].n_top; k++) {
			uintptr_t place = (uintptr_t)r->token[i].top[k].text - 1;
			r->token[i].top[k].text =
				buf_failed(&r->token_text) ? "" : r->token_text.data + place;
		}
out:
	cJSON_Delete(o);
	buf_release(&text);
	buf_release(&answer);
}

/* Both programs beside each other, as the view has it: made once, not in every frame. */
static int compare(struct wb_replay *r, struct err *e)
{
	struct linediff_row *rows;
	int n;

	arena_reset(&r->diff_mem);
	r->diff = NULL;
	r->n_diff = 0;
	if (linediff_rows(&rows, &n, buf_str(&r->left.program), r->left.program.len,
	                  buf_str(&r->right.program), r->right.program.len, &r->count, e) < 0)
		return -1;
	r->diff = arena_array(&r->diff_mem, struct view_diff_line, n + 1);
	for (int i = 0; r->diff && i < n; i++) {
		const struct linediff_row *d = &rows[i];
		struct view_diff_line *v = &r->diff[i];
		*v = (struct view_diff_line){ .left_no = d->left_no,
			                      .right_no = d->right_no,
			                      .sign = d->sign };
		if (d->left)
			v->left = arena_text(&r->diff_mem, d->left, d->left_len);
		if (d->right)
			v->right = arena_text(&r->diff_mem, d->right, d->right_len);
	}
	free(rows);
	if (arena_failed(&r->diff_mem))
		return err_set(e, ERR_MEM, "no memory for the difference of two programs");
	r->n_diff = n;
	return 0;
}

/* Shows that turn of the open episode. */
static int show_turn(struct workbench *w, struct wb_replay *r, int number, struct err *e)
{
	struct store *s = wb_store(w, e);
	const struct row *row = row_of(r, number);

	if (!s)
		return -1;
	if (!row)
		return err_set(e, ERR_INPUT, "episode %" PRId64 " has no turn %d", r->episode,
		               number);
	turn_release(r);
	read_side(s, r->episode, number, &r->right);
	int other = r->other && r->other != number ? r->other : row->parent;
	read_side(s, r->episode, row_of(r, other) ? other : 0, &r->left);
	read_text(s, r->episode, number, "build.log", &r->log);
	read_prompt(r, s);
	read_tokens(r, s);
	wb_dirty(w);
	return compare(r, e);
}

/* ---- the state ---- */

static struct wb_replay *state(struct workbench *w, struct err *e)
{
	if (!w->replay_state && (w->replay_state = calloc(1, sizeof(*w->replay_state)))) {
		w->replay_state->look.view = PICTURE_ISO;
		w->replay_state->filter = w->replay_state->list = store_filter_none();
	}
	if (!w->replay_state)
		err_set(e, ERR_MEM, "no memory for Replay");
	return w->replay_state;
}

static int show(struct workbench *w, int64_t episode, int turn, struct err *e)
{
	struct wb_replay *r = state(w, e);
	struct store *s = wb_store(w, e);

	if (!r || !s)
		return -1;
	if (r->episode != episode || !row_of(r, turn ? turn : r->best)) {
		int64_t before = r->episode;
		episode_release(r);
		r->episode = episode;
		if (read_rows(w, r, s, e) < 0) {
			struct err quiet;
			episode_release(r);
			r->episode = before;
			if (before && read_rows(w, r, s, &quiet) < 0)
				episode_release(r);
			return -1;
		}
	}
	r->pairwise = false;
	r->other = 0;
	r->from_turn = turn > 0;
	r->playing = r->seeking = false;
	if (r->n == 0) {
		turn_release(r);
		read_side(s, episode, 0, &r->right);
		read_side(s, episode, 0, &r->left);
		wb_dirty(w);
		return 0;
	}
	return show_turn(w, r, turn ? turn : r->best ? r->best : r->rows[r->n - 1].number, e);
}

void wb_show_episode(struct workbench *w, int64_t episode, int turn)
{
	struct err e = { 0 };

	if (show(w, episode, turn, &e) < 0)
		wb_fail(w, &e);
	else
		wb_go(w, SCREEN_REPLAY);
}

static int take_id(void *ctx, const struct store_episode *x)
{
	*(int64_t *)ctx = x->id;
	return 1;
}

/* The newest that fits and is older than @before; 0: none. */
static int newest(struct store *s, const struct store_filter *f, int64_t before, int64_t *id,
                  struct err *e)
{
	*id = 0;
	return store_episodes(s, f, before, 1, take_id, id, NULL, e);
}

static void replay_changed(struct workbench *w)
{
	struct wb_replay *r = w->replay_state;
	struct err e = { 0 };
	struct store *s = wb_store(w, &e);
	int turn = r->right.turn, n = r->n;
	int64_t id;

	if (!s)
		return;
	if (!r->episode) {
		if (newest(s, &r->filter, 0, &id, &e) == 0 && id)
			show(w, id, 0, &e);
	} else if (read_rows(w, r, s, &e) < 0) {
		episode_release(r); /* it was removed */
		turn = 0;
	} else if (!r->pairwise && r->n != n && r->n > 0) {
		/* new turns: what the shown one was followed by may be another */
		if (r->play && !r->playing)
			play_release(r);
		show_turn(w, r, turn && row_of(r, turn) ? turn : r->rows[r->n - 1].number, &e);
	}
	if (e.kind)
		wb_fail(w, &e);
}

static int replay_start(struct workbench *w, struct err *e)
{
	return state(w, e) ? 0 : -1;
}

static void replay_end(struct workbench *w)
{
	struct wb_replay *r = w->replay_state;

	if (!r)
		return;
	episode_release(r);
	side_release(&r->right);
	side_release(&r->left);
	buf_release(&r->prompt);
	buf_release(&r->log);
	buf_release(&r->token_text);
	buf_release(&r->agreement);
	arena_release(&r->mem);
	arena_release(&r->diff_mem);
	free(r->pairs);
	free(r);
	w->replay_state = NULL;
}

/* ---- the view ---- */

static bool hidden(const struct wb_replay *r, const struct row *row)
{
	return r->blind && row->grade < 0;
}

static const char *note_of(struct workbench *w, const struct row *row)
{
	if (row->finish && strcmp(row->finish, "length") == 0)
		return row->tokens > 0 ? wb_text(w, "clipped at %d tokens", row->tokens)
		                       : "clipped before its end";
	if (row->finish && strcmp(row->finish, "cancelled") == 0)
		return "stopped by hand";
	if (row->source && strcmp(row->source, "model") != 0 && strcmp(row->source, "fork") != 0)
		return wb_text(w, "from %s", row->source);
	return NULL;
}

static void fill_turns(struct workbench *w, struct wb_replay *r, struct view_replay *out)
{
	struct view_turn *v = wb_array(w, struct view_turn, r->n + 1);

	if (!v)
		return;
	for (int i = 0; i < r->n; i++) {
		const struct row *row = &r->rows[i];
		bool hide = hidden(r, row);
		v[i] = (struct view_turn){
			.number = row->number,
			.parent = hide ? 0 : row->parent,
			.depth = row->depth,
			.mark = hide ? MARK_NONE : wb_mark(row->built, row->total),
			.reward = hide ? NAN : row->total,
			.delta = hide ? NAN : row->total - row->parent_total,
			.tokens = hide ? -1 : row->tokens,
			.member = hide ? 0 : row->member,
			.build_s = NAN,
			.failure = hide ? NULL : wb_class_words(row->class_name),
			.source = hide ? NULL : row->source,
			.note = hide ? NULL : note_of(w, row),
			.grade = row->grade,
			.is_best = !hide && row->number == r->best,
			.hidden = hide,
		};
		if (row->number == r->right.turn && !hide)
			v[i].build_s = json_number_or(
				cJSON_GetObjectItemCaseSensitive(r->right.score, "build"),
				"seconds", NAN);
	}
	out->turns = v;
	out->n_turns = r->n;
}

static struct view_text text_of(const struct wb_replay *r, const struct buf *b, int what,
                                enum text_kind kind)
{
	return (struct view_text){ .text = buf_str(b),
		                   .len = b->len,
		                   .id = (uint64_t)r->right.episode << 28 |
		                         (uint64_t)r->right.turn << 4 | (uint64_t)what,
		                   .version = 1,
		                   .kind = kind };
}

/* "ann 4, bob 3"; NULL: nobody. */
static const char *judged_words(struct workbench *w, struct wb_replay *r)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < r->judged.n; i++) {
		const struct judged *x = &r->judged.v[i];
		if (x->episode == r->episode && x->turn == r->right.turn && x->grade >= 0 &&
		    judgements_grade_of(&r->judged, x->as, x->episode, x->turn) == (long)i)
			buf_printf(&b, "%s%s %d", b.len ? ", " : "", x->as, x->grade);
	}
	const char *t = b.len ? wb_text(w, "%s", buf_str(&b)) : NULL;
	buf_release(&b);
	return t;
}

static void fill_judgement(struct workbench *w, struct wb_replay *r, struct view_replay *out)
{
	long k = judgements_grade_of(&r->judged, wb_who(w), r->episode, r->right.turn);

	out->judge_grade = k >= 0 ? r->judged.v[k].grade : -1;
	out->judge_note = k >= 0 ? r->judged.v[k].note : NULL;
	out->judge_tags = k >= 0 ? r->judged.v[k].tags : NULL;
	out->judged = judged_words(w, r);
	out->agreement = r->agreement.len ? buf_str(&r->agreement) : NULL;
	out->blind = r->blind;
	out->pairwise = r->pairwise;
}

static void fill_error(struct wb_replay *r, struct view_text *code)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(r->right.score, "build");

	if (r->right.built)
		return;
	code->error_line = (int)json_number_or(build, "line", 0);
	code->error = json_string_or(build, "error", NULL);
}

/* A build's rate, the best, and when: the status row. */
static void fill_head(struct workbench *w, struct wb_replay *r, struct view_replay *out)
{
	bool hide = false;
	double seconds = (double)(r->last_us - r->created_us) / 1e6;

	for (int i = 0; i < r->n; i++)
		hide = hide || hidden(r, &r->rows[i]);
	out->build_rate = r->n ? (double)r->n_built / r->n : NAN;
	out->built = r->n_built;
	out->tokens = r->tokens;
	out->when = wb_when(w, r->created_us);
	if (hide || !r->best)
		out->head =
			wb_text(w, "episode %" PRId64 "  %s  %d turn%s%s  %s", r->episode, r->task,
		                r->n, r->n == 1 ? "" : "s", hide ? "  blind" : "", out->when);
	else
		out->head =
			wb_text(w, "episode %" PRId64 "  %s  %d turn%s  best %.3f (turn %d)  %s",
		                r->episode, r->task, r->n, r->n == 1 ? "" : "s", r->best_total,
		                r->best, out->when);
	wb_status(w, "%s", out->head);
	if (seconds > 0)
		wb_status_right(w, "%.0fm %02.0fs  %" PRId64 " tokens", floor(seconds / 60),
		                fmod(seconds, 60), r->tokens);
}

/* What stood there: the fold as Live shows it. */
static void fill_live(struct workbench *w, struct wb_replay *r, struct view_live *out)
{
	struct live *l = &r->play->live;
	struct view_turn *turns = wb_array(w, struct view_turn, r->n + 1);
	double gone_s =
		r->play->done > 0 ? r->play->at_s - r->play->event[r->play->done - 1].at_s : 0;

	/* between two events the clock goes on */
	wb_live_fill(w, l,
	             (uint64_t)r->episode << 20 | r->play->rewinds << 8 | (uint64_t)(l->turn & 255),
	             &r->play_picture, &r->look, l->last_us + (int64_t)(gone_s * 1e6), out);
	out->task = r->task;
	out->episode = r->episode;
	out->turns_max = r->n;
	out->group_asked = out->n_group > 1;
	/* the turns that were there by then */
	for (int i = 0; turns && i < r->n; i++) {
		const struct replay_turn *t = NULL;
		for (int k = 0; k < r->play->n_turns && !t; k++)
			if (r->play->turn[k].number == r->rows[i].number)
				t = &r->play->turn[k];
		if (!t || t->from_s > r->play->at_s)
			continue;
		/* what is hidden stays so while it is played */
		bool hide = hidden(r, &r->rows[i]), done = t->to_s <= r->play->at_s && !hide;
		turns[out->n_turns++] = (struct view_turn){
			.number = t->number,
			.parent = hide ? 0 : t->parent,
			.depth = r->rows[i].depth,
			.hidden = hide,
			.mark = hide   ? MARK_NONE
			        : done ? wb_mark(t->built, t->total)
			               : MARK_RUNNING,
			.reward = done ? t->total : NAN,
			.delta = done ? t->total - r->rows[i].parent_total : NAN,
			.tokens = done ? r->rows[i].tokens : -1,
			.member = hide ? 0 : t->member,
			.build_s = NAN,
			.failure = done ? wb_class_words(r->rows[i].class_name) : NULL,
			.grade = -1,
		};
	}
	out->turns = turns;
}

static void fill_play(struct workbench *w, struct wb_replay *r, struct view_replay *out)
{
	out->playing = r->play && r->play->playing;
	out->seeking = r->play && r->seeking && !out->playing;
	out->speed = r->play ? r->play->speed : 1;
	if (!r->play || !(r->playing || r->seeking))
		return;
	out->at_s = r->play->at_s;
	out->length_s = r->play->length_s;
	fill_live(w, r, &out->live);
	/* nothing is told before it happened */
	int turn = replay_turn_at(r->play);
	const struct row *row = row_of(r, turn);
	out->turn = turn;
	out->other = row ? row->parent : 0;
	out->turns = out->live.turns;
	out->n_turns = out->live.n_turns;
	out->judged = NULL;
	out->asked = NULL;
	out->built = 0;
	out->tokens = 0;
	for (int i = 0; i < out->n_turns; i++) {
		out->built += out->turns[i].mark == MARK_BUILT || out->turns[i].mark == MARK_WEAK;
		out->tokens += out->turns[i].tokens > 0 ? out->turns[i].tokens : 0;
	}
	out->build_rate = out->n_turns ? (double)out->built / out->n_turns : NAN;
	wb_status(w, "%s  turn %d  %.1f of %.1f s  %gx%s", r->play->playing ? "playing" : "held",
	          replay_turn_at(r->play), out->at_s, out->length_s, out->speed,
	          r->play->playing              ? ""
	          : r->play->done == r->play->n ? "  at its end"
	                                        : "");
}

static void fill_pair(struct workbench *w, struct wb_replay *r, struct view_replay *out)
{
	out->left_name = "left";
	out->right_name = "right";
	out->left_reward = out->right_reward = NAN;
	out->left_mark = out->right_mark = MARK_NONE;
	out->turn = 2;
	out->other = 1;
	out->pair_question = wb_text(w, "Which is better for %s?", r->task);
	struct view_turn *v = wb_array(w, struct view_turn, 2);
	for (int i = 0; v && i < 2; i++)
		v[i] = (struct view_turn){ .number = i + 1,
			                   .reward = NAN,
			                   .delta = NAN,
			                   .build_s = NAN,
			                   .tokens = -1,
			                   .grade = -1,
			                   .hidden = true };
	out->turns = v;
	out->n_turns = v ? 2 : 0;
	wb_status(w, "%s: pair %d of %d, whose they are is not said", r->task, r->pair + 1,
	          r->n_pairs);
}

static void replay_view(struct workbench *w, struct view *v)
{
	struct wb_replay *r = w->replay_state;
	struct view_replay *out = &v->replay;
	struct err e = { 0 };

	out->judge_grade = -1;
	out->build_rate = out->left_reward = out->right_reward = NAN;
	out->score.total = out->score.delta = NAN;
	out->speed = 1;
	if (!r->episode) {
		out->why_not = wb_store(w, &e) ? "No episode yet: run a task, in Tasks with r."
		                               : wb_text(w, "%s", e.text);
		wb_status(w, "%s", out->why_not);
		return;
	}
	out->episode = r->episode;
	out->task = r->task;
	out->diff = r->diff;
	out->n_diff = r->n_diff;
	out->added = r->count.added;
	out->removed = r->count.removed;
	fill_judgement(w, r, out);
	out->code = text_of(r, &r->right.program, 1, TEXT_PYTHON);
	out->code.tokens = r->n_token ? r->token : NULL;
	out->code.n_tokens = r->n_token;
	fill_error(r, &out->code);
	side_picture(w, &r->right, &r->look, &out->image);
	side_picture(w, &r->left, &r->look, &out->other_image);
	if (r->pairwise) {
		fill_pair(w, r, out);
		return;
	}
	const struct row *row = row_of(r, r->right.turn);
	bool hide = row && hidden(r, row);
	/* the model at work may be the one that is judged */
	if (hide)
		v->model = v->model_long = "blind";
	fill_turns(w, r, out);
	fill_head(w, r, out);
	out->turn = r->right.turn;
	out->other = hide ? 0 : r->left.turn;
	out->log = text_of(r, &r->log, 3, TEXT_LOG);
	if (hide) {
		/* what it answered to says what it came after; the task may be known */
		const struct task *task = wb_task(w, r->task);
		const char *prompt = task && task->prompt ? task->prompt : "";
		out->prompt = (struct view_text){ .text = prompt,
			                          .len = strlen(prompt),
			                          .id = (uint64_t)r->episode << 28 | 15,
			                          .version = 1 };
		out->judged = NULL;
	} else {
		out->prompt = text_of(r, &r->prompt, 2, TEXT_PLAIN);
		out->asked = r->asked[0] ? r->asked : NULL;
	}
	if (row && !hide) {
		out->model = row->model;
		out->adapter = row->adapter;
		/* where no model is at work, whose turn it is stands in its place */
		if (!w->host && row->model)
			v->model = v->model_long =
				wb_text(w, "by %s%s%s", row->model, row->adapter ? " + " : "",
			                row->adapter ? row->adapter : "");
		wb_score_view(w, r->right.score, &out->score);
		out->score.delta = row->total - row->parent_total;
		if (r->left.turn && r->left.turn != row->parent)
			out->score.delta = row->total - r->left.total;
		out->score.turn = row->number;
		out->right_reward = row->total;
		out->right_mark = wb_mark(row->built, row->total);
		if (r->left.turn) {
			out->left_reward = r->left.total;
			out->left_mark = wb_mark(r->left.built, r->left.total);
		}
	}
	fill_play(w, r, out);
}

/* ---- playing ---- */

static bool open_play(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct store *s = wb_store(w, e);

	if (r->play)
		return true;
	if (!s || !r->episode)
		return false;
	r->play = replay_open(s, r->episode, e);
	return r->play && (!r->right.turn || replay_seek_turn(r->play, r->right.turn, e) == 0);
}

static void play(struct workbench *w, struct wb_replay *r, const struct intent *in, struct err *e)
{
	double now = clock_now_s();

	if (!open_play(w, r, e))
		return;
	switch (in->kind) {
	case INTENT_PLAY:
		r->playing = !r->play->playing;
		r->seeking = !r->playing;
		replay_play(r->play, r->playing, now, e);
		break;
	case INTENT_SPEED:
		replay_speed(r->play, (int)in->n);
		break;
	default:
		if (r->play->playing)
			replay_play(r->play, false, now, e);
		r->playing = false;
		r->seeking = true;
		if (in->n)
			replay_step(r->play,
			            in->n > 0 ? (int)(in->n < INT_MAX ? in->n : INT_MAX)
			                      : (int)(in->n > -INT_MAX ? in->n : -INT_MAX),
			            e);
		else
			replay_seek_share(r->play, (int)in->m, e);
	}
}

int wb_play(struct workbench *w, double speed, double now_s, struct err *e)
{
	struct wb_replay *r = state(w, e);

	if (!r || !open_play(w, r, e))
		return e->kind ? -1 : err_set(e, ERR_INPUT, "there is no episode to play");
	/* of an episode all of it, of a turn what follows */
	if (!r->from_turn && replay_seek(r->play, 0, e) < 0)
		return -1;
	r->play->speed = speed > 0 ? speed : 1;
	r->playing = true;
	return replay_play(r->play, true, now_s, e);
}

static double replay_wait(struct workbench *w, double now_s)
{
	struct wb_replay *r = w->replay_state;
	struct err e = { 0 };
	bool changed = false;

	if (!r || !r->play || !r->play->playing)
		return -1;
	/* it stood while another screen was shown, or the process was stopped */
	if (now_s - r->play->clock_s > AWAY_S)
		r->play->clock_s = now_s - AWAY_S;
	double next = replay_tick(r->play, now_s, &changed, &e);
	if (e.kind)
		wb_fail(w, &e);
	if (!r->play->playing) {
		r->playing = false;
		r->seeking = true;
		changed = true;
	}
	if (changed || next >= 0)
		wb_dirty(w);
	return next;
}

/* ---- which turn, which episode ---- */

static void go_turn(struct workbench *w, struct wb_replay *r, const struct intent *in,
                    struct err *e)
{
	int at = -1;

	if (r->pairwise || r->n == 0)
		return;
	for (int i = 0; i < r->n; i++)
		if (r->rows[i].number == (in->n ? r->right.turn : in->m))
			at = i;
	if (in->n && at >= 0) {
		at += in->n > 0 ? 1 : -1;
		if (at < 0 || at >= r->n) {
			wb_say(w, MESSAGE_SAY, "that is the %s turn", at < 0 ? "first" : "last");
			return;
		}
	}
	if (at < 0) {
		err_set(e, ERR_INPUT, "episode %" PRId64 " has no turn %" PRId64, r->episode,
		        in->m);
		return;
	}
	int number = r->rows[at].number;
	if (show_turn(w, r, number, e) == 0 && r->play && (r->playing || r->seeking))
		replay_seek_turn(r->play, number, e);
}

/* The oldest that fits and is newer than @id: between it and ever nearer bounds. */
static int next_newer(struct store *s, const struct store_filter *f, int64_t id, int64_t *out,
                      struct err *e)
{
	int64_t latest, found;

	if (newest(s, f, 0, &latest, e) < 0)
		return -1;
	*out = 0;
	if (latest <= id)
		return 0;
	*out = latest;
	/* [low, high): the one sought is in it, or is *out */
	int64_t low = id + 1, high = latest;
	for (int64_t step = 1; low < high; step *= 2) {
		int64_t bound = low + step < high ? low + step : high;
		if (newest(s, f, bound, &found, e) < 0)
			return -1;
		if (found > id) {
			*out = high = found;
			step = 0;
			low = id + 1;
			/* from here on by halves */
			while (low < high) {
				int64_t mid = low + (high - low) / 2;
				if (newest(s, f, mid + 1, &found, e) < 0)
					return -1;
				if (found > id)
					*out = high = found;
				else
					low = mid + 1;
			}
			return 0;
		}
		low = bound;
	}
	return 0;
}

static void go_episode(struct workbench *w, struct wb_replay *r, const struct intent *in,
                       struct err *e)
{
	struct store *s = wb_store(w, e);
	int64_t id = in->m;

	if (!s)
		return;
	if (in->n < 0 && newest(s, &r->filter, r->episode, &id, e) < 0)
		return;
	if (in->n > 0 && next_newer(s, &r->filter, r->episode, &id, e) < 0)
		return;
	if (id)
		show(w, id, 0, e);
	else
		wb_say(w, MESSAGE_SAY, "that is the %s episode%s", in->n < 0 ? "oldest" : "newest",
		       r->filter.task || r->filter.class_name || r->filter.model ||
		                       r->filter.adapter
		               ? " that fits"
		               : "");
}

/* ---- lists over the screen ---- */

/* Copies what the filter points to. */
static void keep_filter(struct store_filter *to, char text[4][128], const struct store_filter *f)
{
	const char *const from[4] = { f->task, f->class_name, f->model, f->adapter };

	*to = *f;
	const char **place[4] = { &to->task, &to->class_name, &to->model, &to->adapter };
	for (int i = 0; i < 4; i++) {
		if (from[i])
			snprintf(text[i], sizeof(text[i]), "%s", from[i]);
		*place[i] = from[i] ? text[i] : NULL;
	}
}

static int list_episode(void *ctx, const struct store_episode *x)
{
	struct workbench *w = ctx;
	bool hide = w->replay_state->blind; /* as everywhere */
	const char *words = hide ? NULL : wb_class_words(x->last_class);
	char total[16];

	if (hide)
		snprintf(total, sizeof(total), "?");
	else if (isnan(x->best_total))
		snprintf(total, sizeof(total), "-");
	else
		snprintf(total, sizeof(total), "%.3f", x->best_total);
	wb_choice_add(w, x->id,
	              hide       ? MARK_NONE
	              : x->turns ? wb_mark(x->best_built, x->best_total)
	                         : MARK_NEVER,
	              wb_text(w, "%4" PRId64 "  %s  %d turn%s%s%s", x->id, x->task, x->turns,
	                      x->turns == 1 ? "" : "s", words ? "  " : "", words ? words : ""),
	              wb_text(w, "%s  %s", total, wb_when(w, x->created_us)));
	w->replay_state->list_after = x->id;
	return 0;
}

static void more_episodes(struct workbench *w, struct err *e)
{
	struct wb_replay *r = w->replay_state;
	struct store *s = wb_store(w, e);

	if (s)
		store_episodes(s, &r->list, r->list_after, LIST_PAGE, list_episode, w,
		               &w->choice.more, e);
}

static void chose_episode(struct workbench *w, int64_t id, struct err *e)
{
	struct wb_replay *r = w->replay_state;

	(void)e;
	/* the next and the previous one are of the same list */
	keep_filter(&r->filter, r->filter_text, &r->list);
	wb_show_episode(w, id, 0);
}

void wb_list_episodes(struct workbench *w, const char *title, const struct store_filter *f)
{
	struct err e = { 0 };
	struct wb_replay *r = state(w, &e);

	if (r) {
		keep_filter(&r->list, r->list_text, f);
		r->list_after = 0;
		wb_choose(w, title, "No episode fits: run a task, in Tasks with r.", chose_episode);
		w->choice.next = more_episodes;
		more_episodes(w, &e);
	}
	if (e.kind)
		wb_fail(w, &e);
}

static int list_hit(void *ctx, const struct store_hit *h)
{
	struct workbench *w = ctx;
	bool hide = w->replay_state->blind;
	struct buf line = { 0 };
	char total[16];

	for (const char *p = h->excerpt; *p; p++)
		if (*p != 2 && *p != 3)
			buf_addc(&line, *p);
	if (hide)
		snprintf(total, sizeof(total), "?");
	else if (isnan(h->total))
		snprintf(total, sizeof(total), "-");
	else
		snprintf(total, sizeof(total), "%.3f", h->total);
	wb_choice_add(
		w, h->episode << 20 | h->turn,
		hide ? MARK_NONE
		     : wb_mark(h->class_name && !isnan(h->total) && h->total > 0, h->total),
		wb_text(w, "%" PRId64 ".%d  %s: %s", h->episode, h->turn, h->where, buf_str(&line)),
		wb_text(w, "%s  %s", h->task, total));
	w->replay_state->list_after = h->turn_id;
	buf_release(&line);
	return 0;
}

static void more_hits(struct workbench *w, struct err *e)
{
	struct wb_replay *r = w->replay_state;
	struct store *s = wb_store(w, e);
	struct store_filter f = store_filter_none();

	if (s)
		store_search(s, r->words, &f, r->list_after, LIST_PAGE, list_hit, w,
		             &w->choice.more, e);
}

static void chose_hit(struct workbench *w, int64_t id, struct err *e)
{
	(void)e;
	wb_show_episode(w, id >> 20, (int)(id & ((1 << 20) - 1)));
}

void wb_search(struct workbench *w, const char *words, struct err *e)
{
	struct wb_replay *r = state(w, e);

	if (!r)
		return;
	if (!*words) {
		err_set(e, ERR_USAGE, "search: words were expected: search gusset hole");
		return;
	}
	snprintf(r->words, sizeof(r->words), "%s", words);
	r->list_after = 0;
	wb_choose(w, wb_text(w, "Turns with %s", words),
	          "No turn has all of these words: fewer of them find more.", chose_hit);
	w->choice.next = more_hits;
	more_hits(w, e);
	if (e->kind)
		wb_choice_close(w);
}

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

static void judge_turn(struct workbench *w, struct wb_replay *r, const struct intent *in,
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
		read_side(s, p->left_episode, p->left, &r->left);
		read_side(s, p->right_episode, p->right, &r->right);
		if (r->left.program.len == r->right.program.len &&
		    memcmp(buf_str(&r->left.program), buf_str(&r->right.program),
		           r->left.program.len) == 0)
			continue;
		turn_release(r);
		wb_dirty(w);
		return compare(r, e) == 0;
	}
	return false;
}

static void leave_pairs(struct workbench *w, struct wb_replay *r, struct err *e)
{
	free(r->pairs);
	r->pairs = NULL;
	r->n_pairs = r->pair = 0;
	r->pairwise = false;
	if (r->n > 0)
		show_turn(w, r, r->best ? r->best : r->rows[0].number, e);
}

/* Turns of the task that built, two by two, in an order and on sides of one's own, without those
 * that one has compared already. */
static void enter_pairs(struct workbench *w, struct wb_replay *r, struct err *e)
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
	play_release(r);
	r->pairwise = true;
	if (!show_pair(w, r, e)) {
		leave_pairs(w, r, e);
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

static void prefer(struct workbench *w, struct wb_replay *r, int which, struct err *e)
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
		leave_pairs(w, r, e);
		if (!e->kind)
			wb_say(w, MESSAGE_SAY, "all pairs of %s are judged: left was %s, right %s",
			       r->task, words[0], words[1]);
	}
}

static void go_blind(struct workbench *w, struct wb_replay *r, struct err *e)
{
	struct store *s = wb_store(w, e);
	int turn = r->right.turn;

	r->blind = !r->blind;
	if (!s || !r->episode || r->pairwise || read_rows(w, r, s, e) < 0)
		return;
	play_release(r);
	if (r->n > 0)
		show_turn(w, r, r->blind ? r->rows[0].number : turn, e);
	wb_say(w, MESSAGE_SAY, "%s",
	       r->blind ? "blind: model, adapter and reward are hidden until you have judged"
	                : "no longer blind");
}

/* An answer that begins as that turn's did, up to a token, and goes on otherwise. */
static void branch(struct workbench *w, struct wb_replay *r, const struct intent *in, struct err *e)
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

/* ---- intents ---- */

static bool replay_intent(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_replay *r = w->replay_state;

	if (wb_look_intent(&r->look, in))
		return true;
	switch (in->kind) {
	case INTENT_SELECT:
		/* a playback that comes to another turn takes the selection along: that is no
		 * wish to see the turn's beginning */
		if (r->play && (r->playing || r->seeking) && in->n == replay_turn_at(r->play)) {
			if (in->n != r->right.turn && row_of(r, (int)in->n))
				show_turn(w, r, (int)in->n, e);
		} else if (!r->pairwise && in->n > 0 && in->n != r->right.turn)
			go_turn(w, r, &(struct intent){ .kind = INTENT_TURN, .m = in->n }, e);
		return true;
	case INTENT_TURN:
		go_turn(w, r, in, e);
		return true;
	case INTENT_OPEN:
		return true;
	case INTENT_EPISODE:
		if (r->pairwise)
			leave_pairs(w, r, e);
		go_episode(w, r, in, e);
		return true;
	case INTENT_OTHER_SIDE:
		if (r->pairwise || !r->right.turn)
			return true;
		if (in->n && !row_of(r, (int)in->n)) {
			err_set(e, ERR_INPUT, "episode %" PRId64 " has no turn %" PRId64,
			        r->episode, in->n);
			return true;
		}
		r->other = (int)in->n;
		show_turn(w, r, r->right.turn, e);
		return true;
	case INTENT_FORK:
		if (r->pairwise || !r->right.turn)
			err_set(e, ERR_USAGE, "there is no turn to go on from here");
		else
			wb_fork(w, r->episode, r->right.turn, e);
		return true;
	case INTENT_BRANCH:
		branch(w, r, in, e);
		return true;
	case INTENT_JUDGE:
		judge_turn(w, r, in, e);
		return true;
	case INTENT_BLIND:
		go_blind(w, r, e);
		return true;
	case INTENT_PAIRWISE:
		if (r->pairwise)
			leave_pairs(w, r, e);
		else
			enter_pairs(w, r, e);
		return true;
	case INTENT_PREFER:
		prefer(w, r, (int)in->n, e);
		return true;
	case INTENT_PLAY:
	case INTENT_SPEED:
	case INTENT_SEEK:
		if (!r->pairwise && r->n > 0)
			play(w, r, in, e);
		return true;
	case INTENT_BACK:
		if (r->pairwise)
			leave_pairs(w, r, e);
		else if (r->playing || r->seeking)
			play_release(r);
		else
			return false;
		return true;
	case INTENT_EXPORT:
		if (!r->episode)
			return false;
		wb_export(w, r->episode, in->text, e);
		return true;
	default:
		return false;
	}
}

/* All that was said of this task, the newest first, and how far it agrees. */
static void show_judgements(struct workbench *w, struct wb_replay *r)
{
	struct buf b = { 0 };

	for (size_t i = r->judged.n; i-- > 0;) {
		const struct judged *x = &r->judged.v[i];
		buf_printf(&b, "%s  %" PRId64 ".%d  %s", wb_when(w, x->time_us), x->episode,
		           x->turn, x->as);
		if (x->grade >= 0)
			buf_printf(&b, "  %d of 5", x->grade);
		/* blind, what it got stays hidden with the rest */
		if (!isnan(x->total) && !r->blind)
			buf_printf(&b, "  reward %.3f", x->total);
		if (x->tags)
			buf_printf(&b, "  [%s]", x->tags);
		if (!x->standing)
			buf_adds(&b, "  taken back");
		buf_printf(&b, "%s%s\n", x->note ? "  " : "", x->note ? x->note : "");
	}
	if (r->judged.n == 0)
		buf_adds(&b, "Nothing was judged yet: J grades the turn that is shown, = compares "
		             "two.\n");
	else
		buf_printf(&b, "\n%s\n", buf_str(&r->agreement));
	wb_page(w, wb_text(w, "Judgements of %s", r->task), TEXT_PLAIN, buf_str(&b), b.len);
	buf_release(&b);
}

/* "filter task=hook class=syntax_closure min=0.5": which episodes { and } lead to. */
static bool replay_command(struct workbench *w, const char *text, struct err *e)
{
	static const char *const keys[] = { "task", "class", "model", "adapter", "min", "max" };
	struct wb_replay *r = w->replay_state;
	struct store_filter f = store_filter_none();
	char *words, *rest, *word;

	if (strcmp(text, "episodes") == 0) {
		wb_list_episodes(w, "Episodes", &r->filter);
		return true;
	}
	if (strcmp(text, "judgements") == 0) {
		show_judgements(w, r);
		return true;
	}
	if (strncmp(text, "filter", 6) != 0 || (text[6] && !isspace((unsigned char)text[6])))
		return false;
	if (!(words = rest = strdup(text + 6))) {
		err_set(e, ERR_MEM, "no memory for a filter");
		return true;
	}
	const char **const place[] = { &f.task, &f.class_name, &f.model, &f.adapter };
	while (!e->kind && (word = strsep(&rest, " \t"))) {
		char *value = strchr(word, '='), *end = NULL;
		size_t k = 0;
		if (!*word)
			continue;
		if (value)
			*value++ = '\0';
		while (k < 6 && strcmp(word, keys[k]) != 0)
			k++;
		if (k == 6 || !value || !*value) {
			err_set(e, ERR_USAGE,
			        "filter: '%.40s' is not understood; task=, class=, model=, "
			        "adapter=, min=, max= are",
			        word);
		} else if (k < 4) {
			*place[k] = value;
		} else {
			*(k == 4 ? &f.min : &f.max) = strtod(value, &end);
			if (end == value || *end)
				err_set(e, ERR_USAGE,
				        "filter: %s: a number was expected, got %.40s", keys[k],
				        value);
		}
	}
	if (!e->kind) {
		keep_filter(&r->filter, r->filter_text, &f);
		wb_list_episodes(w, "Episodes that fit", &r->filter);
	}
	free(words);
	return true;
}

/* ---- between starts ---- */

static void replay_keep(struct workbench *w, cJSON *o)
{
	const struct wb_replay *r = w->replay_state;

	cJSON_AddNumberToObject(o, "episode", (double)r->episode);
	cJSON_AddNumberToObject(o, "turn", r->pairwise ? 0 : r->right.turn);
	cJSON_AddStringToObject(o, "image", picture_view_name(r->look.view));
	cJSON_AddBoolToObject(o, "blind", r->blind);
}

static void replay_recall(struct workbench *w, const cJSON *o)
{
	struct wb_replay *r = w->replay_state;
	enum picture_view view = picture_view_named(json_string_or(o, "image", ""));
	double episode = json_number_or(o, "episode", 0), turn = json_number_or(o, "turn", 0);
	struct err e = { 0 };

	if (view < PICTURE_VIEWS)
		r->look.view = view;
	r->blind = json_bool_or(o, "blind", false);
	/* it may be of another database, or gone: then the newest is shown */
	if (!r->episode && episode >= 1 && episode < 1e15 && turn >= 0 && turn < 1e9 &&
	    show(w, (int64_t)episode, (int)turn, &e) < 0 && show(w, (int64_t)episode, 0, &e) < 0)
		r->episode = 0;
}

const struct wb_screen wb_replay = {
	.open = replay_start,
	.close = replay_end,
	.view = replay_view,
	.intent = replay_intent,
	.command = replay_command,
	.tick = replay_wait,
	.changed = replay_changed,
	.keep = replay_keep,
	.recall = replay_recall,
};
