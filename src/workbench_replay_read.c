/*
 * workbench_replay_read.c - what Replay reads of an episode when it is opened, and of a turn when
 * it is selected.
 */
#include "src/workbench_replay_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/turn_tree.h"

/* ---- letting go ---- */

void wb_replay_side_release(struct side *s)
{
	cJSON_Delete(s->score);
	buf_release(&s->program);
	wb_picture_release(&s->picture);
	*s = (struct side){ 0 };
}

void wb_replay_turn_release(struct wb_replay *r)
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

void wb_replay_play_release(struct wb_replay *r)
{
	replay_close(r->play);
	r->play = NULL;
	r->playing = r->seeking = false;
	wb_picture_release(&r->play_picture);
}

void wb_replay_episode_release(struct wb_replay *r)
{
	wb_replay_play_release(r);
	wb_replay_turn_release(r);
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

struct row *wb_replay_row(const struct wb_replay *r, int number)
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
int wb_replay_read_rows(struct workbench *w, struct wb_replay *r, struct store *s, struct err *e)
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

void wb_replay_read_side(struct store *s, int64_t episode, int turn, struct side *out)
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
void wb_replay_side_picture(struct workbench *w, struct side *side, const struct picture_look *look,
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
	const struct row *row = wb_replay_row(r, r->right.turn);
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
			for (; *p && at < REPLAY_ASKED_BYTES - 1; p++)
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
int wb_replay_compare(struct wb_replay *r, struct err *e)
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
int wb_replay_show_turn(struct workbench *w, struct wb_replay *r, int number, struct err *e)
{
	struct store *s = wb_store(w, e);
	const struct row *row = wb_replay_row(r, number);

	if (!s)
		return -1;
	if (!row)
		return err_set(e, ERR_INPUT, "episode %" PRId64 " has no turn %d", r->episode,
		               number);
	wb_replay_turn_release(r);
	wb_replay_read_side(s, r->episode, number, &r->right);
	int other = r->other && r->other != number ? r->other : row->parent;
	wb_replay_read_side(s, r->episode, wb_replay_row(r, other) ? other : 0, &r->left);
	read_text(s, r->episode, number, "build.log", &r->log);
	read_prompt(r, s);
	read_tokens(r, s);
	wb_dirty(w);
	return wb_replay_compare(r, e);
}
