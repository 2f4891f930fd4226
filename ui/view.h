/*
 * view.h - what can be shown: the whole of one frame as plain data.
 *
 * src/workbench fills it from the session and the store; ui draws it and knows nothing else. All of
 * it is borrowed and const while a frame is drawn and keys are answered; a test writes one as a
 * literal. Strings are UTF-8 of strangers: ui makes them harmless (no escape, no bidi mark, no NUL
 * ever reaches the terminal raw) and cuts them to width. NULL texts are empty; NAN figures are "-".
 *
 * Items (tasks, turns, rows) have an id that stays theirs: selection, marks and scroll follow ids,
 * never positions. What depends on ui's own state (which item is selected, which half of the diff)
 * is asked for by an intent, and the next view has it.
 */
#ifndef UI_VIEW_H
#define UI_VIEW_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum screen_id {
	SCREEN_TASKS,
	SCREEN_LIVE,
	SCREEN_REPLAY,
	SCREEN_CURRICULUM,
	SCREEN_COMPARE,
	SCREEN_WORKERS,
	N_SCREENS
};

/* A state in one cell: "+" built, "~" built but weak (< 0.60), "x" failed, ">" running, "." never
 * run; with UTF-8 the signs of screens.md. */
enum mark { MARK_NONE, MARK_NEVER, MARK_BUILT, MARK_WEAK, MARK_FAILED, MARK_RUNNING };

enum text_kind { TEXT_PLAIN, TEXT_PYTHON, TEXT_LOG, TEXT_DIFF };

/* How sure the model was of a token: of the text from @start to the next token's start. */
struct view_token {
	uint32_t start;   /* byte in the text */
	float p, entropy; /* probability taken (0..1); nats. NAN: not known */
	int n_top;
	struct view_alternative {
		int32_t id;
		float p;
		const char *text;
	} top[5]; /* likeliest first, the one taken among them when it was */
	int32_t id;
};

/* A text in a pane. @id names what it is (scroll starts anew when it changes), @version grows when
 * its bytes change; while only bytes were appended @kept says from where on it is new. */
struct view_text {
	const char *text;
	size_t len;
	uint64_t id, version;
	size_t kept; /* bytes from the beginning that are as they were in version - 1 */
	enum text_kind kind;
	bool streaming; /* more is to come: the end has a cursor */
	int error_line; /* from 1: marked, with @error beside it; 0: none */
	const char *error;
	const struct view_token *tokens; /* or NULL */
	int n_tokens;
};

/* Aligned lines of two programs; a side that has no line there is NULL. */
struct view_diff_line {
	const char *left, *right;
	int left_no, right_no; /* 0: none */
	char sign;             /* ' ', '-', '+', '~' (changed) */
};

/* Pixels, rows from the top, three bytes each, pure white for the ground (which is left to the
 * terminal); @id changes when they do. w 0: none, and @why says
 * what would make one. */
struct view_image {
	const uint8_t *rgb;
	int w, h;
	uint64_t id;
	const char *caption; /* "120.0 x 60.0 x 138.4 mm" */
	const char *which;   /* "iso", "front", "section", "difference", ... */
	const char *why;
};

struct view_term {
	const char *name;     /* short: "build", "topology", ... */
	double value, weight; /* 0..1; NAN: not known yet, or does not apply */
	double adds;          /* to the total; NAN: not known */
	bool pending;         /* it is being worked out */
};

struct view_check {
	const char *id;
	int ok; /* 1, 0; -1: not known, does not apply */
	const char *want, *got, *why;
	double weight, score;
};

struct view_score {
	double total, delta; /* delta: to the parent turn */
	bool delta_is_best;  /* delta is to the best so far */
	double base;         /* what having built adds by itself, whatever the terms */
	const char *profile;
	struct view_term terms[8];
	int n_terms;
	const struct view_check *checks;
	int n_checks, checks_ok;
	const char *failure; /* failure class for people; NULL: none */
	double mastery, class_weight;
	const char *const *notes;
	int n_notes;
	/* facts of the solid, as label and value; a value of NULL: the label is a heading */
	const struct view_fact {
		const char *label, *value;
	} * facts;
	int n_facts;
	int turn; /* whose score it is; 0: none yet */
};

struct view_turn {
	int number, parent, depth; /* depth: how far it is indented (forks under their parents) */
	enum mark mark;
	double reward, delta;
	int tokens, member;
	double build_s;
	const char *failure, *source, *note; /* note: "clipped at 4096" and the like */
	int grade;                           /* of judgement; -1: none */
	bool is_best, hidden;                /* hidden: blind judging */
};

struct view_tasks {
	const struct view_task {
		int64_t id; /* of the row */
		const char *name, *pack, *level, *family, *last_failure;
		enum mark mark;
		double best;
		int runs;
		bool marked; /* chosen for "run marked" */
	} * rows;
	int n_rows;
	int runs_total, built_once;
	const char *order; /* what the rows are sorted by */
	/* the selected one */
	struct view_text prompt;
	const char *size;          /* "120 x 60 x 140 mm" */
	const char *checks_line;   /* "checks 7: bbox, ..." */
	const char *reference;     /* "y", "n", a word */
	struct view_image drawing; /* reference views */
	const struct view_check *checks;
	int n_checks;
};

enum live_phase {
	LIVE_IDLE,
	LIVE_GENERATE,
	LIVE_BUILD,
	LIVE_SCORE,
	LIVE_COMMIT,
	LIVE_WAIT,
	LIVE_DONE
};

struct view_live {
	const char *task, *level;
	int64_t episode;
	int turn, turns_max;     /* in flight; 0: none */
	int code_turn, log_turn; /* whose code and log are shown; 0: none yet */
	bool group_asked;        /* @group is shown instead of the code */
	enum live_phase phase;
	bool failed_last;
	struct view_text code, thinking, log,
		answer;       /* answer: all that came, when it is not code */
	const char *log_fact; /* "ok   0.4 s" */
	struct view_score score;
	struct view_image image;
	const char *image_of; /* "turn 2", "turn 2 line 31 (building)" */
	const struct view_turn *turns;
	int n_turns;
	int tokens, tokens_max;
	double tokens_per_s, first_token_s, elapsed_s; /* NAN: not known */
	const char *next; /* what comes when Enter is pressed, or by itself */
	/* while it streams, from the program so far */
	const char *early; /* "line 31 fails: NameError ..."; NULL */
	/* a group: siblings side by side */
	const struct view_member {
		int number, tokens;
		enum mark mark;
		double reward;
		bool best, streaming;
		struct view_text code;
		const char *failure;
	} * group;
	int n_group;
	const char *session[2]; /* "session 7 on 2026-11-22", "31 episodes  88 turns  41 built" */
	const char *why_not;       /* no model, no task: one sentence; NULL: it can run */
	const char *why_not_build; /* no CadQuery: one sentence, in Build log; NULL: it can build */
};

struct view_replay {
	int64_t episode;
	const char *task, *when, *model, *adapter, *head; /* head: status row, formatted */
	const struct view_turn *turns;
	int n_turns, turn, other; /* shown; the left side of the diff, 0: none */
	const struct view_diff_line *diff;
	int n_diff, added, removed;
	struct view_text code, prompt, log, page;
	struct view_score score;
	struct view_image image, other_image;
	const char *asked; /* "asked next: ..." */
	const char *judged;
	bool playing, blind, pairwise;
	bool seeking; /* @live is shown, though it does not play: after a seek */
	const char *judge_note,
		*judge_tags;                /* of the judgement that stands, for the form; @grade */
	int judge_grade;                    /* -1: none */
	const char *why_not;                /* nothing to show: what would fill it; NULL */
	const char *left_name, *right_name; /* of the diff's sides: "turn 1"; NULL: by number */
	double left_reward, right_reward;
	enum mark left_mark, right_mark;
	double speed, at_s, length_s; /* of the playback */
	struct view_live live; /* what stood there at @at_s, while playing or after seeking */
	double build_rate;
	int built;
	int64_t tokens;
	const char *agreement;     /* between judges, and with the reward */
	const char *pair_question; /* pairwise: "which is better?"; NULL */
};

struct view_curriculum {
	const struct view_class {
		int64_t id;
		const char *name;
		int64_t count;
		double share, mastery, weight, base;
		int next;
		enum { CLASS_FREE, CLASS_PINNED, CLASS_BANNED, CLASS_SET } hand; /* set by hand */
	} * rows;
	int n_rows;
	int64_t completions; /* that the counts are over */
	const char *formula; /* of the selected class, numbers filled in */
	const struct view_next {
		const char *task, *kind, *why;
		double weight;
	} * next;
	int n_next;
	struct view_text repair; /* the prompt it would give for the selected class */
	double rate[64];         /* build rate per batch of completions, oldest first; 0..1 */
	int n_rate;
	/* a training's figures over its steps, in place of the build rate */
	const struct view_curve {
		const char *name, *now; /* "Loss"; the newest figure as text */
		const double *v;        /* oldest first; NAN: none */
		int n;
		int64_t first, last; /* the steps at both ends */
		/* of the axis; both 0: from 0 to the greatest. @share: of 1, as percent */
		double lo, hi;
		bool share;
	} * curve;
	int n_curve;
	const char *alarm; /* what a guard of the training at work has told lately; NULL: nothing */
	const char *run; /* a training's status row; NULL: none runs */
	bool paused;
	const char *why_not;          /* no classes yet: what would fill them; NULL */
	const struct view_fact *step; /* "This step" */
	int n_step;
};

struct view_compare {
	const char *const *columns; /* labels */
	int n_columns, column;
	const struct view_compare_row {
		int64_t id;
		const char *name;
		struct view_cell {
			enum mark mark;
			double mean, best;
			int n, built;
			bool best_of_row;
		} * cells; /* n_columns */
		double spread;
	} * rows;
	int n_rows;
	const struct view_cell *means; /* n_columns, or NULL */
	const double (*rate)[3];       /* per column: build rate, lower and upper end of 95 % */
	const char *const *failures;   /* per column: mix, "syntax 3, undefined 1" */
	const char *order;
	/* the selected row, best of two columns */
	struct view_score left, right;
	struct view_image left_image, right_image;
	const char *left_name, *right_name;
};

/* Machines that build and score for this one. */
enum worker_state { WORKER_LIVE, WORKER_BUSY, WORKER_FROZEN, WORKER_GONE };

struct view_workers {
	const char *queue; /* where they take jobs from, without a password; NULL: nowhere is said */
	const struct view_worker {
		int64_t id;
		const char *name, *host, *model, *versions; /* model NULL: it has none */
		enum worker_state state;
		int pid, at_once, under_way;
		int64_t jobs, built, failed, taken_over, poison;
		double per_s;   /* jobs a second, lately */
		double cpu_s;   /* of processors, in all */
		double since_s; /* it began so long ago; */
		double seen_s;  /* it was heard of so long ago */
		struct view_took {
			double median_s, p95_s;
		} wait, build, score, work; /* in the queue; of a job from taking to answer: work */
	} * rows;
	int n_rows, live;
	int64_t waiting, under_way; /* jobs in the queue */
	double oldest_s;            /* the oldest of them; NAN: there is none */
	const char *trouble;        /* rows and figures are of @age_s ago: why; NULL */
	double age_s;
	const char *why_not; /* no rows: what to do; NULL */
};

/* A list laid over the screen: adapters, episodes, hits, what can be chosen. */
struct view_choice {
	const char *title, *fact; /* NULL title: none is open */
	const struct view_choice_row {
		int64_t id;
		enum mark mark;
		const char *text, *right;
	} * rows;
	int n_rows;
	bool more;         /* there are further ones: INTENT_MORE */
	const char *empty; /* what would fill it, and the key for it */
};

enum message_kind { MESSAGE_NONE, MESSAGE_SAY, MESSAGE_WARN, MESSAGE_ERROR };

struct view {
	/* the frame */
	const char *model, *device;           /* right of row 0, short; */
	const char *model_long, *device_long; /* the same for wide terminals */
	bool running;                         /* something works: Q asks, the clock runs */
	const char *status, *status_right;    /* the status row of the shown screen */
	struct {
		enum message_kind kind;
		const char *text;
		uint64_t id; /* changes with each message */
	} message;
	enum screen_id screen; /* that the workbench wants; ui follows when @screen_asked changes */
	uint64_t screen_asked;
	struct view_choice choice;
	struct view_text
		page; /* a text laid over the screen (len 0: none): help of a verb, a score */
	const char *page_title;
	struct view_tasks tasks;
	struct view_live live;
	struct view_replay replay;
	struct view_curriculum curriculum;
	struct view_compare compare;
	struct view_workers workers;
};

#endif
