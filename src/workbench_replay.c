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
#include "src/workbench_replay_inside.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"

enum { LIST_PAGE = 50 /* rows of a list over the screen that are read at once */ };

#define AWAY_S 1.0 /* longer than a tick ever waits */

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
	if (r->episode != episode || !wb_replay_row(r, turn ? turn : r->best)) {
		int64_t before = r->episode;
		wb_replay_episode_release(r);
		r->episode = episode;
		if (wb_replay_read_rows(w, r, s, e) < 0) {
			struct err quiet;
			wb_replay_episode_release(r);
			r->episode = before;
			if (before && wb_replay_read_rows(w, r, s, &quiet) < 0)
				wb_replay_episode_release(r);
			return -1;
		}
	}
	r->pairwise = false;
	r->other = 0;
	r->from_turn = turn > 0;
	r->playing = r->seeking = false;
	if (r->n == 0) {
		wb_replay_turn_release(r);
		wb_replay_read_side(s, episode, 0, &r->right);
		wb_replay_read_side(s, episode, 0, &r->left);
		wb_dirty(w);
		return 0;
	}
	return wb_replay_show_turn(w, r,
	                           turn      ? turn
	                           : r->best ? r->best
	                                     : r->rows[r->n - 1].number,
	                           e);
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
	} else if (wb_replay_read_rows(w, r, s, &e) < 0) {
		wb_replay_episode_release(r); /* it was removed */
		turn = 0;
	} else if (!r->pairwise && r->n != n && r->n > 0) {
		/* new turns: what the shown one was followed by may be another */
		if (r->play && !r->playing)
			wb_replay_play_release(r);
		wb_replay_show_turn(
			w, r, turn && wb_replay_row(r, turn) ? turn : r->rows[r->n - 1].number, &e);
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
	wb_replay_episode_release(r);
	wb_replay_side_release(&r->right);
	wb_replay_side_release(&r->left);
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
	if (wb_replay_show_turn(w, r, number, e) == 0 && r->play && (r->playing || r->seeking))
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
			if (in->n != r->right.turn && wb_replay_row(r, (int)in->n))
				wb_replay_show_turn(w, r, (int)in->n, e);
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
			wb_replay_leave_pairs(w, r, e);
		go_episode(w, r, in, e);
		return true;
	case INTENT_OTHER_SIDE:
		if (r->pairwise || !r->right.turn)
			return true;
		if (in->n && !wb_replay_row(r, (int)in->n)) {
			err_set(e, ERR_INPUT, "episode %" PRId64 " has no turn %" PRId64,
			        r->episode, in->n);
			return true;
		}
		r->other = (int)in->n;
		wb_replay_show_turn(w, r, r->right.turn, e);
		return true;
	case INTENT_FORK:
		if (r->pairwise || !r->right.turn)
			err_set(e, ERR_USAGE, "there is no turn to go on from here");
		else
			wb_fork(w, r->episode, r->right.turn, e);
		return true;
	case INTENT_BRANCH:
		wb_replay_branch(w, r, in, e);
		return true;
	case INTENT_JUDGE:
		wb_replay_judge(w, r, in, e);
		return true;
	case INTENT_BLIND:
		wb_replay_go_blind(w, r, e);
		return true;
	case INTENT_PAIRWISE:
		if (r->pairwise)
			wb_replay_leave_pairs(w, r, e);
		else
			wb_replay_enter_pairs(w, r, e);
		return true;
	case INTENT_PREFER:
		wb_replay_prefer(w, r, (int)in->n, e);
		return true;
	case INTENT_PLAY:
	case INTENT_SPEED:
	case INTENT_SEEK:
		if (!r->pairwise && r->n > 0)
			play(w, r, in, e);
		return true;
	case INTENT_BACK:
		if (r->pairwise)
			wb_replay_leave_pairs(w, r, e);
		else if (r->playing || r->seeking)
			wb_replay_play_release(r);
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
	.view = wb_replay_view,
	.intent = replay_intent,
	.command = replay_command,
	.tick = replay_wait,
	.changed = replay_changed,
	.keep = replay_keep,
	.recall = replay_recall,
};
