/*
 * workbench_replay_view.c - Replay as ui draws it: it only points to what was read.
 */
#include "src/workbench_replay_inside.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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
	const struct row *row = wb_replay_row(r, turn);
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

void wb_replay_view(struct workbench *w, struct view *v)
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
	wb_replay_side_picture(w, &r->right, &r->look, &out->image);
	wb_replay_side_picture(w, &r->left, &r->look, &out->other_image);
	if (r->pairwise) {
		fill_pair(w, r, out);
		return;
	}
	const struct row *row = wb_replay_row(r, r->right.turn);
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
