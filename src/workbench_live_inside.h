/*
 * workbench_live_inside.h - what the files of Live share: src/workbench_live*.c and nobody else.
 *
 *     workbench_live.c       the state, its turns, a task, a turn that stands there, intents
 *     workbench_live_line.c  the line to the host, and settings over it
 *     workbench_live_news.c  what the host says
 *     workbench_live_view.c  the view that ui draws
 */
#ifndef WORKBENCH_LIVE_INSIDE_H
#define WORKBENCH_LIVE_INSIDE_H

#include "src/found.h"
#include "src/host.h"
#include "src/live.h"
#include "src/workbench_inside.h"

enum { LIVE_QUEUE_MAX = 256 };

struct row {
	int number, parent, member, tokens;
	bool built;
	double total, parent_total, build_s; /* NAN: none */
	char class_name[48], source[24], finish[16];
};

struct wb_live {
	struct live live;
	bool known;     /* the host said hello */
	bool asked;     /* for work, and no answer yet */
	bool attach;    /* to this host its own settings count */
	cJSON *waiting; /* commands that were given before it said hello */
	char queue[LIVE_QUEUE_MAX][64];
	int n_queue;
	/* what is worked on, or would be */
	char task[128];
	int64_t episode; /* 0: a new one */
	int parent;      /* what the next turn answers to; 0: the best */
	cJSON *score;    /* of the turn that was scored last */
	uint64_t generation;
	struct row *rows; /* its turns */
	int n_rows, *order, *depth;
	int best;
	/* the model, as the host says */
	char model[128], device[64], trouble[240];
	/* what the model's folder says of itself, as of the folder */
	char about_of[4200];
	struct model_about about;
	/* looking */
	struct picture_look look;
	struct wb_picture picture;
	bool reference_asked, group_shown, edit_prompt;
	double ticked_s;
	struct choosable {
		char *dir, *why; /* why not; NULL: it fits */
	} * adapters;            /* of the list over the screen */
	int n_adapters;
};

/* ---- workbench_live.c ---- */

/* Made on the first call; NULL: no memory. */
struct wb_live *wb_live_state_of(struct workbench *w);
/* The turns of the open episode, from the database. */
void wb_live_read_turns(struct workbench *w);
void wb_live_forget_turns(struct wb_live *v);
void wb_live_forget_adapters(struct wb_live *v);

/* ---- workbench_live_line.c ---- */

/* A turn is being made. */
bool wb_live_working(const struct live *x);
bool wb_live_at_work(const struct wb_live *v);
/* The answer that is looked at. */
const struct live_answer *wb_live_answer(const struct live *x);

/* ---- workbench_live_news.c ---- */

struct host_ops wb_live_ops(struct workbench *w);
/* What a model is called: the last part of its folder, or of a server its model's name. Borrowed.
 */
const char *wb_live_base_name(const char *path);

/* ---- workbench_live_view.c ---- */

void wb_live_view(struct workbench *w, struct view *view);
/* The model that writes, as far as it is known before the host has said so; NULL: none. Borrowed.
 */
const char *wb_live_model(struct workbench *w);

#endif
