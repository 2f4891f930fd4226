/*
 * workbench.h - the interactive program: what its screens share.
 *
 * ui/ draws views and gives back intents; src/host does the work in a process of its own; src/store
 * keeps it. The workbench is what lies between: it holds the state of each screen, fills the view
 * for the screen that is shown, and carries out intents. It never builds, asks a model or waits: a
 * frame, with all that is read for it, takes a few milliseconds.
 *
 * A screen is a struct wb_screen with a file of its own (src/workbench_tasks.c, ...). It is opened
 * before it is shown first, and keeps its state behind its own pointer below. Everything that its
 * view points to lives until the next view is filled: in the frame's arena (wb_text(), wb_array()),
 * or in the screen's own memory.
 */
#ifndef SRC_WORKBENCH_H
#define SRC_WORKBENCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/prompts.h"
#include "engine/task.h"
#include "src/app.h"
#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/model_flags.h"
#include "src/picture.h"
#include "src/store.h"
#include "ui/intent.h"
#include "ui/ui.h"
#include "ui/view.h"

struct workbench;
struct host;
struct live;
struct loop;

/* ---- a screen ---- */

struct wb_screen {
	/* Before it is first shown. 0; -1 with @e: a sentence is shown instead, and it is tried
	 * again at the next visit. May be NULL, as all of them. */
	int (*open)(struct workbench *w, struct err *e);
	void (*close)(struct workbench *w);
	/* Fills its part of @v (zeroed before), and says its status row: wb_status(). */
	void (*view)(struct workbench *w, struct view *v);
	/* An intent while it is shown. False: not one of its own (then the workbench's common ones
	 * are tried). What went wrong is left in @e and told by the workbench. */
	bool (*intent)(struct workbench *w, const struct intent *in, struct err *e);
	/* "word arguments" of the prompt line, while it is shown, when no other command has that
	 * name. False: not one of its own. */
	bool (*command)(struct workbench *w, const char *text, struct err *e);
	/* While it is shown, after each wait: seconds until it wants to be called again (a
	 * playback, say); < 0: not until something happens. It says wb_dirty() when there is
	 * something new to be seen. */
	double (*tick)(struct workbench *w, double now_s);
	/* Something was written to the database, here or by another process (also called once after
	 * open); only while it is shown, else before it is shown again. */
	void (*changed)(struct workbench *w);
	/* What is kept between starts, beside what ui keeps. @o: an object of its own. */
	void (*keep)(struct workbench *w, cJSON *o);
	void (*recall)(struct workbench *w, const cJSON *o);
};

/* A row of workbench.c's table each, by enum screen_id. */
extern const struct wb_screen wb_tasks, wb_live, wb_replay, wb_curriculum, wb_compare, wb_workers;

/* ---- a list laid over the screen ---- */

struct wb_choice {
	char *title, *fact, *empty;
	struct wb_choice_row {
		int64_t id;
		enum mark mark;
		char *text, *right;
	} * rows;
	int n, cap;
	bool more;
	/* Row @id was taken; the list is closed already, so another one may be opened. */
	void (*chosen)(struct workbench *w, int64_t id, struct err *e);
	void (*next)(struct workbench *w,
	             struct err *e); /* adds further rows; NULL: there are none */
};

/* ---- the whole ---- */

struct wb_undo {
	char *what; /* "grade 4 of 31.2" */
	/* Takes it back. @data is the undo's own. */
	int (*back)(struct workbench *w, void *data, struct err *e);
	void (*release)(void *data);
	void *data;
};

enum { WB_UNDO_MAX = 32 };

struct workbench {
	struct app app; /* after app_find() */
	struct model_flags model;
	char db[4096]; /* the database's file; it need not be there */
	bool ascii;

	struct task_set tasks; /* all packs */
	struct store *store;   /* a reading connection; NULL: there is no database yet, */
	char store_why[480];   /* or it cannot be read: why, in words */
	uint64_t changes;      /* grows with each change seen in the database */

	struct ui *ui;
	struct loop *loop;
	enum screen_id screen;
	struct arena frame; /* of the view that stands in @view */
	struct view view;
	uint64_t pictures;  /* made so far: numbers them */
	int room_w, room_h; /* pixels worth making for the shown screen's picture; 0: none */

	struct host *host; /* NULL: none yet */
	cJSON *settings;   /* the host's: temperature, seed, profile, ...; what was set before there
	                      is one */

	struct wb_choice choice;
	struct {
		char *title;
		struct buf text;
		enum text_kind kind;
		uint64_t id;
	} page;
	struct wb_undo undo[WB_UNDO_MAX];
	int n_undo;

	/* the screens' own */
	struct wb_tasks *tasks_state;
	struct wb_live *live_state;
	struct wb_replay *replay_state;
	struct wb_curriculum *curriculum_state;
	struct wb_compare *compare_state;
	struct wb_workers *workers_state;

	struct wb_inside *inside; /* workbench.c's own */
};

/* ---- for the screens ---- */

/* Something is to be drawn. */
void wb_dirty(struct workbench *w);
/* Into the frame's arena; "" without memory. */
const char *wb_text(struct workbench *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define wb_array(w, type, n) arena_array(&(w)->frame, type, n)

/* The status row of the shown screen, left and right; while the view is filled. */
void wb_status(struct workbench *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void wb_status_right(struct workbench *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A message in its place; MESSAGE_ERROR stays until a key. */
void wb_say(struct workbench *w, enum message_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The err as a message. */
void wb_fail(struct workbench *w, const struct err *e);

void wb_go(struct workbench *w, enum screen_id s);
/* What ui has selected on that screen; -1: nothing. */
int64_t wb_selected(struct workbench *w, enum screen_id s);

/* Opens an empty list over the screen, in place of one that is open; rows are added after.
 * @empty: what would fill it. Texts are copied. */
struct wb_choice *wb_choose(struct workbench *w, const char *title, const char *empty,
                            void (*chosen)(struct workbench *w, int64_t id, struct err *e));
void wb_choice_add(struct workbench *w, int64_t id, enum mark mark, const char *text,
                   const char *right);
void wb_choice_fact(struct workbench *w, const char *fact);
void wb_choice_close(struct workbench *w);

/* A text over the screen, until `q`. */
void wb_page(struct workbench *w, const char *title, enum text_kind kind, const char *text,
             size_t len);
void wb_page_close(struct workbench *w);

/* What was just done can be taken back by `:undo`. Takes @data. */
void wb_undoable(struct workbench *w, const char *what,
                 int (*back)(struct workbench *w, void *data, struct err *e),
                 void (*release)(void *data), void *data);

/* The reading connection; NULL with @e in words when there is nothing to read. */
struct store *wb_store(struct workbench *w, struct err *e);
/* A writing one for one deed (a judgement, a pin): made when needed, kept. Do not hold a batch over
 * frames. */
struct store *wb_store_write(struct workbench *w, struct err *e);
/* After own writing: all screens see it at once. */
void wb_store_changed(struct workbench *w);

/* The task of that id; NULL: no such one among the packs. */
const struct task *wb_task(const struct workbench *w, const char *id);
/* Who judges: CADFORGE_JUDGE, else the login name. */
const char *wb_who(struct workbench *w);

/* $VISUAL with @text in a file whose name ends in @suffix; the ui gives the terminal away
 * meanwhile. 1: changed, @out has it; 0: left as it was, or empty; -1 with @e. */
int wb_edit(struct workbench *w, const char *suffix, const char *text, size_t len, struct buf *out,
            struct err *e);

/* Shows that episode in Replay, at @turn (0: its best). */
void wb_show_episode(struct workbench *w, int64_t episode, int turn);
/* Plays what Replay shows: the episode from its beginning, or, when a turn was asked for, from
 * there. @speed: 0.25 to 16; @now_s: of the clock that its tick() is told. */
int wb_play(struct workbench *w, double speed, double now_s, struct err *e);
/* A list of the episodes that fit, over the screen; Enter shows one in Replay. */
void wb_list_episodes(struct workbench *w, const char *title, const struct store_filter *f);
/* Turns with all of these words, as a list over the screen. */
void wb_search(struct workbench *w, const char *words, struct err *e);
/* Goes on from that turn in Live. */
void wb_fork(struct workbench *w, int64_t episode, int turn, struct err *e);
/* Sends a command to the host (starting one where there is none); takes @command. */
int wb_ask_host(struct workbench *w, cJSON *command, struct err *e);
/* Writes the episode as a folder (src/export.h): "where", or a name of its own when NULL or "". */
void wb_export(struct workbench *w, int64_t episode, const char *where, struct err *e);

/* An object of score --json as the view has it; texts live with the frame, @score must as well.
 * NULL: nothing is known yet. */
void wb_score_view(struct workbench *w, const cJSON *score, struct view_score *out);
/* MARK_BUILT, MARK_WEAK (< 0.60), MARK_FAILED. */
/* "build", "topology", ...: short names of the terms, by their number in the store. */
const char *wb_term_name(int term);
enum mark wb_mark(bool built, double total);
/* A failure class in words; NULL for NULL and for "build_ok". */
const char *wb_class_words(const char *class_name);
/* "2026-11-22 10:41", local. */
const char *wb_when(struct workbench *w, int64_t time_us);

/* ---- pictures ---- */

/* A picture in a pane: what is shown, and the pixels of it that were made last. One for each place
 * where a picture stands. */
struct wb_picture {
	struct part *part, *reference;
	uint64_t part_id, reference_id; /* whose STL they were made of; 0: none */
	char why[240];                  /* why there is none */
	uint8_t *rgb;
	int w, h;
	uint64_t id; /* of the pixels */
	struct picture_look drawn;
	uint64_t drawn_part, drawn_reference;
};
/* Takes other triangles; does nothing when @id is what it has. @len 0: none, @why says what would
 * make one. */
void wb_picture_stl(struct wb_picture *p, uint64_t id, const void *stl, size_t len,
                    const char *why);
void wb_picture_reference(struct wb_picture *p, uint64_t id, const void *stl, size_t len);
/* Draws it anew where look, triangles or room are others, and fills @out. */
void wb_picture_view(struct workbench *w, struct wb_picture *p, const struct picture_look *look,
                     struct view_image *out);
void wb_picture_release(struct wb_picture *p); /* safe on {0} and twice */
/* An INTENT_IMAGE, _TURN_PART, _SECTION or _DIFFERENCE applied to a look; false: another intent. */
bool wb_look_intent(struct picture_look *l, const struct intent *in);

/* What unfolds, or unfolded, as a view has it: code, thinking, log, score, phase, siblings,
 * picture.
 * @id names it (another number, another text: panes begin at the top again); @now_us: the clock
 * that has gone on while it is at work. Turns, what comes next, and why not are the caller's. */
void wb_live_fill(struct workbench *w, struct live *x, uint64_t id, struct wb_picture *p,
                  const struct picture_look *look, int64_t now_us, struct view_live *out);

/* ---- the program ---- */

struct workbench_options {
	const struct app *app;
	const struct model_flags *model;
	const char *db;     /* --db, or NULL */
	const char *script; /* a file of keys, or NULL */
	bool detach;        /* what runs goes on when it is left */
	int attach;         /* a host's process; 0: the first there is; -1: not asked for */
	int64_t episode;    /* to be shown in Replay to begin with; 0: none */
	int turn;
	bool play; /* that episode, from its beginning */
	double speed;
	struct ui_options ui;
};
/* Until it is left. The exit status. */
int workbench_run(const struct workbench_options *o);

/* Its parts, for a program that shows without a terminal of its own (a cast): everything but ui,
 * host and loop. w->ui is the caller's to set and to close. */
int workbench_open(struct workbench *w, const struct workbench_options *o, struct err *e);
/* Goes to a screen, opened when it is its first time. 0; -1 with @e: it cannot be shown. */
int workbench_show(struct workbench *w, enum screen_id s, struct err *e);
/* Carries out one intent, as if ui had given it. */
void workbench_intent(struct workbench *w, const struct intent *in);
/* The shown screen's tick(); < 0: it waits for nothing. */
double workbench_tick(struct workbench *w, double now_s);
/* The view as of now: good until the next call. */
const struct view *workbench_view(struct workbench *w);
void workbench_close(struct workbench *w);

#endif
