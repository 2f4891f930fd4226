/*
 * workbench_replay_inside.h - what the files of Replay share: src/workbench_replay*.c and nobody
 * else.
 *
 *     workbench_replay.c        the state, playing, which turn and episode, lists, intents
 *     workbench_replay_read.c   what is read of an episode and of a turn
 *     workbench_replay_view.c   the view that ui draws
 *     workbench_replay_pairs.c  judging: turns, blind, two by two
 */
#ifndef WORKBENCH_REPLAY_INSIDE_H
#define WORKBENCH_REPLAY_INSIDE_H

#include "src/judging.h"
#include "src/base/linediff.h"
#include "src/replay.h"
#include "src/workbench.h"
#include "src/workbench_inside.h"

enum { REPLAY_ASKED_BYTES = 160 };

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
	char asked[REPLAY_ASKED_BYTES];
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

/* ---- workbench_replay_read.c ---- */

void wb_replay_side_release(struct side *s);
void wb_replay_turn_release(struct wb_replay *r);
void wb_replay_play_release(struct wb_replay *r);
void wb_replay_episode_release(struct wb_replay *r);
/* NULL: the episode has no such turn. */
struct row *wb_replay_row(const struct wb_replay *r, int number);
/* Rows and judgements of r->episode. */
int wb_replay_read_rows(struct workbench *w, struct wb_replay *r, struct store *s, struct err *e);
/* What cannot be read stays empty. */
void wb_replay_read_side(struct store *s, int64_t episode, int turn, struct side *out);
/* Its picture, where there is room for one. */
void wb_replay_side_picture(struct workbench *w, struct side *side, const struct picture_look *look,
                            struct view_image *out);
/* Both programs beside each other, as the view has it: made once, not in every frame. */
int wb_replay_compare(struct wb_replay *r, struct err *e);
/* Shows that turn of the open episode. */
int wb_replay_show_turn(struct workbench *w, struct wb_replay *r, int number, struct err *e);

/* ---- workbench_replay_view.c ---- */

void wb_replay_view(struct workbench *w, struct view *v);

/* ---- workbench_replay_pairs.c ---- */

void wb_replay_judge(struct workbench *w, struct wb_replay *r, const struct intent *in,
                     struct err *e);
/* Turns of the task that built, two by two, in an order and on sides of one's own, without those
 * that one has compared already. */
void wb_replay_enter_pairs(struct workbench *w, struct wb_replay *r, struct err *e);
void wb_replay_leave_pairs(struct workbench *w, struct wb_replay *r, struct err *e);
/* @which is the better one: 1 the left, 2 the right; 0: they are as good. */
void wb_replay_prefer(struct workbench *w, struct wb_replay *r, int which, struct err *e);
void wb_replay_go_blind(struct workbench *w, struct wb_replay *r, struct err *e);
/* An answer that begins as the turn's did, up to a token, and goes on otherwise. */
void wb_replay_branch(struct workbench *w, struct wb_replay *r, const struct intent *in,
                      struct err *e);

#endif
