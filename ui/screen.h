/*
 * screen.h - what a screen is: it draws a view, and turns a key into an intent; it never does the
 * thing.
 */
#ifndef UI_SCREEN_H
#define UI_SCREEN_H

#include "ui/diff.h"
#include "ui/draw.h"
#include "ui/image.h"
#include "ui/intent.h"
#include "ui/pane.h"
#include "ui/view.h"

enum { UI_PANES_MAX = 8 };

/* What the screens keep between frames. Each uses its own; panes are numbered as the screen names
 * them. */
struct screen_state {
	struct list lists[UI_PANES_MAX];
	struct text_pane texts[UI_PANES_MAX];
	int focus, n_panes; /* focus: 0..n_panes-1, in Tab order */
	bool zoom;
	bool certainty, think; /* u, t: laid open */
	bool show_code;        /* d: the program instead of the diff */
	bool show_prompt;      /* p */
	bool show_score;       /* v: the whole score */
	bool show_image;       /* i: a picture has the place that it shares */
	int column;            /* a group's member, Compare's column */
	int scroll;            /* rows of what scrolls without being a list or a text */
	int shown;             /* the view's turn, class, ... that the selection followed last */
	struct diff_pane diff;
	uint64_t error_of; /* the text and line that were brought in sight because of an error */
	int alternative;   /* certainty: of the token at the cursor */
	int side;          /* two columns: the pane that last had the place several share */
	enum ui_image_mode image_mode; /* ui sets it: what this terminal gets */
	struct image_pane images[2];
};

struct screen {
	const char *name; /* "Tasks": in row 0 */
	const char *const *panes;
	int n_panes;
	/* what is not as list_init() and text_init() leave it; NULL: nothing */
	void (*init)(struct screen_state *s);
	/* into the rows between the frame's first and last two */
	void (*draw)(struct screen_state *s, const struct view *v, struct canvas *c, struct rect r);
	/* a key the keymap does not give away for all screens: true when taken; @out may then hold
	 * an intent. */
	bool (*key)(struct screen_state *s, const struct view *v, struct key k, struct intent *out);
	/* An action of the keymap meant for this screen (its intent or ui action already looked
	 * up): fills in n, m from the selection. */
	void (*fill)(struct screen_state *s, const struct view *v, struct intent *out);
	/* the status row, where the screen says more in it than view.status does: true when drawn
	 * (NULL: never) */
	bool (*status)(struct screen_state *s, const struct view *v, struct canvas *c,
	               struct rect row);
	int64_t (*selected)(const struct screen_state *s);
	void (*select)(struct screen_state *s, int64_t id);
	/* the pane that shows a picture, in cells, for @r; w 0: none */
	struct rect (*image)(const struct screen_state *s, const struct view *v, struct rect r);
	const struct view_text *(*text)(
		const struct screen_state *s,
		const struct view *v); /* of the focused pane: for / and y */
};

extern const struct screen screen_tasks, screen_live, screen_replay, screen_curriculum,
	screen_compare, screen_workers;
extern const struct screen *const screens[N_SCREENS];

#endif
