/*
 * workbench_inside.h - what workbench.c, workbench_live.c and workbench_tasks.c share and the other
 * screens need not know.
 */
#ifndef SRC_WORKBENCH_INSIDE_H
#define SRC_WORKBENCH_INSIDE_H

#include <sys/types.h>
#include <sys/wait.h>
#include <termios.h>

#include "src/workbench.h"

enum leave {
	LEAVE_NOT,
	LEAVE_QUIT,   /* what runs is ended */
	LEAVE_DETACH, /* what runs goes on, and so it does after: */
	LEAVE_TERM,   /* a SIGTERM */
	LEAVE_GONE    /* the line was lost */
};

/* The tokens of an answer as a view has them. */
struct wb_tokens {
	struct view_token *v;
	int n, cap, first; /* first: the token of the answer that is the program's first */
	const void *of;
	uint64_t id;
	size_t code_at, last_start;
};

struct wb_inside {
	bool dirty, urgent; /* something is to be drawn; now, whatever the frame rate */
	enum leave leave;
	enum message_kind message_kind;
	struct buf message;
	uint64_t message_id, screen_asked;
	bool opened[N_SCREENS];
	char why[N_SCREENS][480];
	uint64_t seen[N_SCREENS]; /* of w->changes */
	char tasks_why[480];
	struct wb_tokens tokens;
	/* frames */
	double last_draw_s;
	size_t last_bytes;
	double tick_wait, tick_at;
	/* the database */
	bool host_lost; /* its line is to be closed */
	struct store *write;
	ino_t store_inode;
	int64_t store_version;
	int watch_fd;
	double store_due; /* 0: nothing to look at */
	cJSON *own;       /* settings that were made with :set, now and in earlier sessions */
	/* what is kept */
	char state_dir[4096], state_file[4160];
	cJSON *kept;
	struct buf written;
	double keep_due; /* 0: nothing changed */
	bool keep_failed;
	/* the guard of the terminal */
	int guard_fd;
	pid_t guard_pid;
	struct termios before;
};

/* $VISUAL on a file that stays. */
int wb_edit_file(struct workbench *w, const char *path, struct err *e);
/* All packs anew: a task was written. */
int wb_tasks_reload(struct workbench *w, struct err *e);

/* The triangles of a task's reference, kept between starts. 1: in @stl; 0: not there yet. */
int wb_drawing_load(const struct task *task, struct buf *stl);
void wb_drawing_keep(const struct task *task, const void *stl, size_t len);
/* They came, or @error says why not: shown when the task is the selected one. */
void wb_tasks_drawing(struct workbench *w, const char *task, const void *stl, size_t len,
                      const char *error);

/* ---- the host's line: workbench_live.c ---- */

/* At the start: takes up a host whose work went on. @attach: as in workbench_options. */
void wb_host_greet(struct workbench *w, int attach);
void wb_host_step(struct workbench *w);
bool wb_host_busy(const struct workbench *w);
/* Whether that task is under way, or waits to be. */
bool wb_host_runs(const struct workbench *w, const char *task);
/* Live shows that task, ready to be begun; @run: as a whole episode, now. 0, or -1 with @e. */
int wb_live_task(struct workbench *w, const char *task, bool run, struct err *e);
/* A whole episode; @later: after what runs. */
int wb_live_queue(struct workbench *w, const char *task, bool later, struct err *e);
/* What the frame says of model, device and whether something runs. */
void wb_host_view(struct workbench *w, struct view *v);
/* Hangs up. @end: what runs is ended. Whether something goes on. */
bool wb_host_leave(struct workbench *w, bool end);
void wb_host_close(struct workbench *w);
/* What the command line says of model and sampling; the caller's to delete. */
cJSON *wb_flags_settings(const struct workbench *w);
/* "NAME VALUE", as :set has it; NAME alone says what it is. */
void wb_set(struct workbench *w, const char *text, struct err *e);
void wb_settings_page(struct workbench *w);

#endif
