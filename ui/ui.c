/*
 * ui.c - the door: keys become intents or are ui's own, views become frames.
 *
 * A key goes to what is topmost: the prompt, the help, what lies over the screen, the screen's own
 * mode, then by the keymap. A frame is drawn into a canvas from top to bottom, and the terminal
 * gets what differs.
 */
#include "ui/ui.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/base/json.h"
#include "src/base/utf8.h"
#include "ui/dump.h"
#include "ui/help.h"
#include "ui/keymap.h"
#include "ui/overlay.h"
#include "ui/prompt.h"
#include "ui/screen.h"
#include "ui/term.h"

enum { COLS_MIN = 60, ROWS_MIN = 18, KEYS_MAX = 1 << 20 };
#define MESSAGE_S 4.0
/* Figures that run (tokens, rates, clocks) are not sent oftener than a reader can follow. */
#define FIGURES_S 0.5

const struct screen *const screens[N_SCREENS] = { [SCREEN_TASKS] = &screen_tasks,
	                                          [SCREEN_LIVE] = &screen_live,
	                                          [SCREEN_REPLAY] = &screen_replay,
	                                          [SCREEN_CURRICULUM] = &screen_curriculum,
	                                          [SCREEN_COMPARE] = &screen_compare,
	                                          [SCREEN_WORKERS] = &screen_workers };

struct ui {
	struct term *term;
	struct keymap keys;
	struct screen_state states[N_SCREENS];
	int64_t told[N_SCREENS]; /* the selection that was last given as an intent */
	enum screen_id screen;
	uint64_t screen_asked;
	struct overlays overlays;
	struct help help;
	struct prompt prompt;
	enum ui_action prompt_action; /* what its text is for: find, quit, or an intent */
	struct intent prompt_intent;
	struct buf find_before; /* the filter, or what was found, before "/" */
	int top_before, sub_before;
	struct buf given, more; /* texts of the last intent */
	struct canvas canvas, last;
	enum theme theme;
	bool ascii, mouse, dirty;
	bool theme_asked; /* for this time: what was kept does not change it */
	enum ui_image_mode image_mode;
	const char *image_why; /* why it is not the mode that was asked for */
	/* keys that were given by ui_type() */
	struct key *typed;
	size_t n_typed, at_typed, cap_typed;
	struct buf paste;
	/* messages */
	uint64_t message_seen;
	double message_until; /* NAN: until a key */
	struct buf own_message;
	enum message_kind own_kind;
	double own_until, status_at, interrupted_at;
	bool status_held;  /* newer figures wait */
	bool keyed;        /* a key came since the last frame: nothing waits */
	double said_until; /* when the message on the screen is over; NAN: there is none, or it
	                      stays */
	/* terminal graphics that are on the screen */
	uint64_t graphic_id;
	struct rect graphic;
};

/* ---- opening ---- */

static struct screen_state *state(struct ui *ui)
{
	return &ui->states[ui->screen];
}

static void state_init(struct screen_state *s, const struct screen *screen)
{
	for (int i = 0; i < UI_PANES_MAX; i++) {
		list_init(&s->lists[i]);
		text_init(&s->texts[i]);
	}
	s->n_panes = screen->n_panes;
	if (screen->init)
		screen->init(s);
}

static void state_release(struct screen_state *s)
{
	for (int i = 0; i < UI_PANES_MAX; i++) {
		list_release(&s->lists[i]);
		text_release(&s->texts[i]);
	}
	for (size_t i = 0; i < sizeof(s->images) / sizeof(*s->images); i++)
		image_release(&s->images[i]);
}

static void release(struct ui *ui)
{
	term_close(ui->term);
	keymap_release(&ui->keys);
	for (int i = 0; i < N_SCREENS; i++)
		state_release(&ui->states[i]);
	overlay_release(&ui->overlays);
	help_release(&ui->help);
	prompt_release(&ui->prompt);
	cells_release(&ui->canvas);
	cells_release(&ui->last);
	buf_release(&ui->find_before);
	buf_release(&ui->given);
	buf_release(&ui->more);
	buf_release(&ui->paste);
	buf_release(&ui->own_message);
	free(ui->typed);
	free(ui);
}

static void images_as(struct ui *ui, enum ui_image_mode mode)
{
	ui->image_mode = image_mode_for(mode, term_name(ui->term), getenv("TMUX"), getenv("STY"),
	                                &ui->image_why);
	if (ui->ascii && ui->image_mode == UI_IMAGE_BLOCKS)
		ui->image_mode = UI_IMAGE_ASCII;
	for (int i = 0; i < N_SCREENS; i++)
		ui->states[i].image_mode = ui->image_mode;
}

static int size_canvas(struct ui *ui)
{
	int w, h;

	term_size(ui->term, &w, &h);
	if (cells_size(&ui->canvas, w, h) < 0)
		return -1;
	if (ui->last.w != w || ui->last.h != h)
		return cells_size(&ui->last, w, h);
	return 0;
}

int ui_open(struct ui **out, const struct ui_options *o, struct err *e)
{
	struct ui *ui = calloc(1, sizeof(*ui));
	int theme = theme_find(o->theme ? o->theme : "dark");

	if (!ui)
		return err_set(e, ERR_MEM, "no memory for the screen");
	ui->theme = THEME_DARK;
	ui->message_until = 0;
	ui->interrupted_at = -INFINITY;
	ui->said_until = NAN;
	ui->status_at = -INFINITY;
	ui->dirty = true;
	ui->help.list.selected = -1;
	for (int i = 0; i < N_SCREENS; i++) {
		state_init(&ui->states[i], screens[i]);
		ui->told[i] = -1;
	}
	if (theme < 0) {
		err_set(e, ERR_INPUT, "'%.40s' is no theme: dark, light or mono", o->theme);
		goto fail;
	}
	ui->theme = (enum theme)theme;
	ui->theme_asked = o->theme != NULL;
	if (keymap_open(&ui->keys, o->keys, e) < 0 ||
	    term_open(&ui->term, o->term, o->out ? o->out : stdout, o->in_fd, o->cols, o->rows,
	              o->mouse, e) < 0)
		goto fail;
	ui->mouse = o->mouse;
	ui->ascii = o->ascii == 1 || !term_utf8(ui->term);
	ui->screen = o->screen < N_SCREENS ? o->screen : SCREEN_TASKS;
	images_as(ui, o->image);
	if (size_canvas(ui) < 0) {
		err_set(e, ERR_MEM, "no memory for the screen");
		goto fail;
	}
	*out = ui;
	return 0;
fail:
	release(ui);
	return -1;
}

void ui_close(struct ui *ui)
{
	if (!ui)
		return;
	if (ui->graphic.w > 0) {
		struct buf erase = { 0 };
		image_escape_erase(&erase, ui->image_mode);
		term_send(ui->term, buf_str(&erase), erase.len);
		buf_release(&erase);
	}
	release(ui);
}

void ui_restore(const struct ui *ui)
{
	if (ui)
		term_restore(ui->term);
}

/* ---- messages of ui's own ---- */

static void say(struct ui *ui, enum message_kind kind, double now_s, const char *text)
{
	buf_clear(&ui->own_message);
	buf_adds(&ui->own_message, text);
	ui->own_kind = kind;
	ui->own_until = now_s + MESSAGE_S;
	ui->dirty = true;
}

/* What stands in the status row instead of the status; NULL: the status. */
static const char *message(const struct ui *ui, const struct view *v, double now_s,
                           enum message_kind *kind, double *until)
{
	if (ui->own_kind && now_s < ui->own_until) {
		*kind = ui->own_kind;
		*until = ui->own_until;
		return buf_str(&ui->own_message);
	}
	if (v->message.kind && v->message.text && v->message.id == ui->message_seen &&
	    (isnan(ui->message_until) || now_s < ui->message_until)) {
		*kind = v->message.kind;
		*until = ui->message_until;
		return v->message.text;
	}
	return NULL;
}

/* ---- keys ---- */

static void quit_asked(struct ui *ui, const struct view *v)
{
	ui->prompt_action = ACTION_QUIT;
	prompt_open(&ui->prompt, PROMPT_CONFIRM,
	            v->running ? "Something runs: quit, and end it? (:detach lets it go on) y/N "
	                       : "Quit? y/N ",
	            NULL);
}

/* Of the focused pane, or of the page that lies over all. */
static const struct view_text *pane_text(struct ui *ui, const struct view *v)
{
	const struct screen *s = screens[ui->screen];

	if (overlay_top(&ui->overlays, v) == OVERLAY_PAGE)
		return &v->page;
	return s->text ? s->text(state(ui), v) : NULL;
}

static struct text_pane *pane(struct ui *ui, const struct view *v)
{
	if (overlay_top(&ui->overlays, v) == OVERLAY_PAGE)
		return &ui->overlays.page;
	return &state(ui)->texts[state(ui)->focus];
}

static struct list *pane_list(struct ui *ui)
{
	return &state(ui)->lists[state(ui)->focus];
}

/* "/": a list is filtered, a text is searched, from the first letter on. */
static void find_begin(struct ui *ui, const struct view *v)
{
	bool text = pane_text(ui, v) != NULL;
	const struct buf *stands = text ? &pane(ui, v)->find : &pane_list(ui)->filter;

	buf_clear(&ui->find_before);
	buf_adds(&ui->find_before, buf_str(stands));
	ui->top_before = pane(ui, v)->top;
	ui->sub_before = pane(ui, v)->sub;
	ui->prompt_action = ACTION_FIND;
	prompt_open(&ui->prompt, PROMPT_FIND,
	            text ? "find: " : "filter: ", text ? "" : buf_str(stands));
}

static void find_now(struct ui *ui, const struct view *v, const char *what)
{
	const struct view_text *t = pane_text(ui, v);

	if (t) {
		struct text_pane *p = pane(ui, v);
		/* each letter looks from where one was, not from the last letter's match */
		p->at_line = -1;
		p->top = ui->top_before;
		p->sub = ui->sub_before;
		text_find(p, t, what, 0);
	} else {
		struct list *l = pane_list(ui);
		buf_clear(&l->filter);
		buf_adds(&l->filter, what);
	}
}

static void go_to(struct ui *ui, enum screen_id screen, struct intent *out)
{
	if (screen >= N_SCREENS)
		return;
	ui->screen = screen;
	*out = (struct intent){ .kind = INTENT_SCREEN, .n = screen };
}

/* Closes the topmost thing of the screen, or asks to quit. */
static void back(struct ui *ui, const struct view *v, struct intent *out)
{
	struct screen_state *s = state(ui);

	if (screens[ui->screen]->key &&
	    screens[ui->screen]->key(s, v, (struct key){ .code = KEYS_ESC }, out))
		return;
	if (pane_text(ui, v) && pane(ui, v)->find.len > 0)
		text_find(pane(ui, v), pane_text(ui, v), "", 0);
	else if (pane_list(ui)->filter.len > 0)
		buf_clear(&pane_list(ui)->filter);
	else if (s->zoom)
		s->zoom = false;
	else if (ui->screen != SCREEN_TASKS)
		go_to(ui, SCREEN_TASKS, out);
	else
		quit_asked(ui, v);
}

static void copy(struct ui *ui, const struct view *v, double now_s, struct intent *out)
{
	const struct view_text *t = pane_text(ui, v);
	struct buf clean = { 0 };
	char words[80];

	if (!t || !t->text || t->len == 0) {
		say(ui, MESSAGE_WARN, now_s, "nothing to copy in this pane: Tab to a text");
		return;
	}
	/* the clipboard is pasted into shells: nothing unseen may be in it */
	utf8_clean(&clean, t->text, t->len);
	if (term_copy(ui->term, buf_str(&clean), clean.len)) {
		snprintf(words, sizeof(words), "copied: %zu bytes, if this terminal lets programs",
		         clean.len);
		say(ui, MESSAGE_SAY, now_s, words);
		buf_release(&clean);
		return;
	}
	buf_clear(&ui->given);
	buf_adds(&ui->given, buf_str(&clean));
	buf_release(&clean);
	*out = (struct intent){ .kind = INTENT_COPY, .text = buf_str(&ui->given) };
}

static void to_screen(struct ui *ui, const struct view *v, struct key k, struct intent *out)
{
	const struct screen *s = screens[ui->screen];

	if (s->key)
		s->key(state(ui), v, k, out);
}

static void focus_by(struct ui *ui, int by)
{
	struct screen_state *s = state(ui);

	if (s->n_panes > 0)
		s->focus = (s->focus + by + s->n_panes) % s->n_panes;
}

static void interrupt(struct ui *ui, const struct view *v, double now_s, struct intent *out)
{
	/* the first stops, the second offers to leave */
	if (v->running && now_s - ui->interrupted_at > 3) {
		*out = (struct intent){ .kind = INTENT_STOP };
		say(ui, MESSAGE_SAY, now_s, "stopping; ^C again asks to quit");
	} else {
		quit_asked(ui, v);
	}
	ui->interrupted_at = now_s;
}

static void own_action(struct ui *ui, const struct view *v, enum ui_action a, double now_s,
                       struct intent *out)
{
	switch (a) {
	case ACTION_NEXT_PANE:
		focus_by(ui, 1);
		break;
	case ACTION_PREVIOUS_PANE:
		focus_by(ui, -1);
		break;
	case ACTION_ZOOM:
		state(ui)->zoom = !state(ui)->zoom;
		break;
	case ACTION_FIND:
		find_begin(ui, v);
		break;
	case ACTION_COPY:
		copy(ui, v, now_s, out);
		break;
	case ACTION_COMMAND_LINE:
		ui->prompt_action = ACTION_COMMAND_LINE;
		prompt_open(&ui->prompt, PROMPT_COMMAND, ":", NULL);
		break;
	case ACTION_HELP:
		help_open(&ui->help);
		break;
	case ACTION_MOUSE:
		ui->mouse = !ui->mouse;
		term_mouse(ui->term, ui->mouse);
		say(ui, MESSAGE_SAY, now_s,
		    ui->mouse ? "mouse on: m gives it back to the terminal" : "mouse off");
		break;
	case ACTION_ASCII:
		if (!term_utf8(ui->term)) {
			say(ui, MESSAGE_WARN, now_s,
			    "this locale has no UTF-8: set LC_ALL to one that has (C.UTF-8)");
			break;
		}
		ui->ascii = !ui->ascii;
		images_as(ui, ui->ascii                          ? UI_IMAGE_ASCII
		              : ui->image_mode == UI_IMAGE_ASCII ? UI_IMAGE_BLOCKS
		                                                 : ui->image_mode);
		break;
	case ACTION_REDRAW:
		term_redraw(ui->term);
		ui->graphic = (struct rect){ 0 };
		break;
	case ACTION_INTERRUPT:
		interrupt(ui, v, now_s, out);
		break;
	case ACTION_BACK:
		back(ui, v, out);
		break;
	case ACTION_QUIT:
		if (v->running)
			quit_asked(ui, v);
		else
			*out = (struct intent){ .kind = INTENT_QUIT };
		break;
	default:
		to_screen(ui, v, action_key(a), out);
	}
}

/* An intent of the keymap or the command line: asks for what it needs, fills in the selection. */
static void give(struct ui *ui, const struct view *v, struct intent in, const char *ask,
                 struct intent *out)
{
	const struct screen *s = screens[ui->screen];

	if (ask && *ask) {
		char question[96];
		snprintf(question, sizeof(question), "%s: ", ask);
		ui->prompt_action = ACTION_NONE;
		ui->prompt_intent = in;
		prompt_open(&ui->prompt, PROMPT_ASK, question, NULL);
		return;
	}
	if (in.kind == INTENT_SCREEN) {
		go_to(ui, in.n < 0 ? N_SCREENS : (enum screen_id)in.n, out);
		return;
	}
	if (in.kind == INTENT_JUDGE && !in.text && in.n == 0) {
		overlay_judge(&ui->overlays, v->replay.judge_grade, v->replay.judge_note,
		              v->replay.judge_tags);
		return;
	}
	if (s->fill)
		s->fill(state(ui), v, &in);
	*out = in;
}

static void do_row(struct ui *ui, const struct view *v, const struct keymap_row *r, double now_s,
                   struct intent *out)
{
	if (r->action)
		own_action(ui, v, r->action, now_s, out);
	else
		give(ui, v, (struct intent){ .kind = r->intent, .n = r->n, .m = r->m }, r->ask,
		     out);
}

/* Whole numbers at the beginning: "31", "-1 5 words". What is left of it comes back. */
static const char *numbers(const char *s, struct intent *in)
{
	for (int i = 0; i < 2; i++) {
		char *end;
		long long n = strtoll(s, &end, 10);
		if (end == s || (*end && !isspace((unsigned char)*end)))
			break;
		*(i ? &in->m : &in->n) = n;
		for (s = end; isspace((unsigned char)*s); s++)
			;
	}
	return s;
}

/* A line after ":". ui's own first, then intents by name, else the workbench knows it. */
static void command(struct ui *ui, const struct view *v, const char *line, double now_s,
                    struct intent *out)
{
	size_t n;
	enum ui_action a;
	enum intent_kind k;
	const char *rest;

	while (isspace((unsigned char)*line))
		line++;
	n = strcspn(line, " \t");
	if (n == 0)
		return;
	for (rest = line + n; isspace((unsigned char)*rest); rest++)
		;
	if (n == 5 && memcmp(line, "theme", 5) == 0) {
		int theme = theme_find(rest);
		if (theme < 0)
			say(ui, MESSAGE_ERROR, now_s, "no such theme: dark, light or mono");
		else
			ui->theme = (enum theme)theme;
		return;
	}
	if (n == 4 && memcmp(line, "goto", 4) == 0 && pane_text(ui, v) &&
	    isdigit((unsigned char)*rest) && ui->screen != SCREEN_REPLAY) {
		struct text_pane *p = pane(ui, v);
		long to = strtol(rest, NULL, 10);
		p->follow = false;
		p->sub = 0;
		for (p->top = 0; p->top + 1 < p->n_lines && p->lines[p->top].number < to; p->top++)
			;
		return;
	}
	for (int i = 0; !*rest && i < N_SCREENS; i++)
		if (strncasecmp(line, screens[i]->name, n) == 0 && screens[i]->name[n] == '\0') {
			go_to(ui, (enum screen_id)i, out);
			return;
		}
	action_find(line, n, &a, &k);
	if (n == 1 && *line == 'q')
		a = ACTION_QUIT;
	if (a == ACTION_FIND && *rest) {
		ui->top_before = pane(ui, v)->top;
		ui->sub_before = pane(ui, v)->sub;
		find_now(ui, v, rest);
		return;
	}
	if (a) {
		own_action(ui, v, a, now_s, out);
		return;
	}
	buf_clear(&ui->given);
	if (k && k != INTENT_COMMAND && k != INTENT_BACK && k != INTENT_CHOOSE &&
	    k != INTENT_MORE && k != INTENT_SELECT) {
		struct intent in = { .kind = k };
		/* the key that does it by default has the numbers that are meant without any */
		for (int i = 0; i < ui->keys.n_rows && !*rest; i++)
			if (ui->keys.rows[i].intent == k) {
				in.n = ui->keys.rows[i].n;
				in.m = ui->keys.rows[i].m;
				break;
			}
		if (k != INTENT_SET && k != INTENT_WEIGHT && k != INTENT_EXPORT)
			rest = numbers(rest, &in);
		if (*rest) {
			buf_adds(&ui->given, rest);
			in.text = buf_str(&ui->given);
		}
		give(ui, v, in, NULL, out);
		return;
	}
	buf_adds(&ui->given, line);
	*out = (struct intent){ .kind = INTENT_COMMAND, .text = buf_str(&ui->given) };
}

/* What was asked for is there. */
static void answered(struct ui *ui, const struct view *v, double now_s, struct intent *out)
{
	struct intent in = ui->prompt_intent;
	const char *text;

	if (ui->prompt_action == ACTION_QUIT) {
		*out = (struct intent){ .kind = INTENT_QUIT };
		return;
	}
	if (ui->prompt_action == ACTION_FIND)
		return; /* done while it was typed */
	if (ui->prompt_action == ACTION_COMMAND_LINE) {
		command(ui, v, buf_str(&ui->prompt.text), now_s, out);
		return;
	}
	buf_clear(&ui->given);
	buf_adds(&ui->given, buf_str(&ui->prompt.text));
	text = buf_str(&ui->given);
	if (!*text && in.kind != INTENT_OTHER_SIDE) {
		say(ui, MESSAGE_SAY, now_s, "nothing was typed: left as it was");
		return;
	}
	numbers(text, &in);
	in.text = text;
	give(ui, v, in, NULL, out);
}

static void prompt_takes(struct ui *ui, const struct view *v, struct key k, double now_s,
                         struct intent *out)
{
	switch (prompt_key(&ui->prompt, k)) {
	case PROMPT_EDITED:
		if (ui->prompt_action == ACTION_FIND)
			find_now(ui, v, buf_str(&ui->prompt.text));
		break;
	case PROMPT_DONE:
		answered(ui, v, now_s, out);
		break;
	case PROMPT_CANCELLED:
		if (ui->prompt_action == ACTION_FIND) {
			/* back to where one was */
			find_now(ui, v, buf_str(&ui->find_before));
			pane(ui, v)->top = ui->top_before;
			pane(ui, v)->sub = ui->sub_before;
		}
		break;
	case PROMPT_GOES_ON:
		break;
	}
}

/* The list or text at that cell gets the focus; a row of a list is selected. */
static void mouse(struct ui *ui, const struct view *v, int x, int y, int wheel, struct intent *out)
{
	struct screen_state *s = state(ui);
	struct key k = { .code = wheel < 0 ? KEYS_UP : KEYS_DOWN };

	if (!wheel && y == 0) {
		/* the screens' names, as they stand in row 0 */
		char digit[2] = "";
		for (int i = x; i >= 0; i--) {
			const struct cell *a = cell_at(&ui->last, i, 0);
			if (a->ch[0] >= '1' && a->ch[0] < '1' + N_SCREENS) {
				digit[0] = (char)a->ch[0];
				break;
			}
		}
		if (digit[0])
			go_to(ui, (enum screen_id)(digit[0] - '1'), out);
		return;
	}
	for (int i = 0; i < s->n_panes && i < UI_PANES_MAX; i++) {
		struct list *l = &s->lists[i];
		struct rect r = l->area.w > 0 ? l->area : s->texts[i].area;
		if (x < r.x || y < r.y || x >= r.x + r.w || y >= r.y + r.h)
			continue;
		s->focus = i;
		if (!wheel && l->area.w > 0) {
			/* from where it stands to the row that was meant */
			int to = l->top + (y - r.y) / (l->height > 0 ? l->height : 1);
			if (to >= l->shown)
				return;
			k.code = to < l->row ? KEYS_UP : KEYS_DOWN;
			for (int n = abs(to - l->row); n > 0; n--)
				to_screen(ui, v, k, out);
			return;
		}
		for (int n = 0; wheel && n < 3; n++)
			to_screen(ui, v, k, out);
		return;
	}
}

/* What a pane gets for a key: KEYS_DOWN for j, KEYS_ESC for q; other keys as they are. */
static struct key meaning(const struct keymap_row *r, struct key k)
{
	if (r && r->action == ACTION_BACK)
		return (struct key){ .code = KEYS_ESC };
	if (r && r->action && action_key(r->action).code)
		return action_key(r->action);
	return k;
}

static void key(struct ui *ui, const struct view *v, struct key k, double now_s, struct intent *out)
{
	const struct keymap_row *r;
	bool everywhere = k.ctrl && (k.code == 'c' || k.code == 'l');

	ui->dirty = ui->keyed = true;
	/* errors stay until a key */
	if (isnan(ui->message_until))
		ui->message_until = 0;
	if (ui->own_kind == MESSAGE_ERROR || k.code == KEYS_ESC)
		ui->own_kind = MESSAGE_NONE;
	if (ui->prompt.kind) {
		prompt_takes(ui, v, k, now_s, out);
		return;
	}
	if (ui->help.open) {
		r = help_key(&ui->help, &ui->keys, (int)ui->screen, k);
		if (r)
			do_row(ui, v, r, now_s, out);
		return;
	}
	r = keymap_find(&ui->keys, (int)ui->screen, k);
	if (!everywhere && overlay_top(&ui->overlays, v) != OVERLAY_NONE) {
		if (!overlay_typing(&ui->overlays, v))
			k = meaning(r, k);
		if (k.code == '/' && overlay_top(&ui->overlays, v) == OVERLAY_PAGE)
			find_begin(ui, v);
		else
			overlay_key(&ui->overlays, v, k, out);
		return;
	}
	/* a mode of the screen's own (certainty) has the keys before the keymap */
	if (!everywhere && state(ui)->certainty && screens[ui->screen]->key &&
	    screens[ui->screen]->key(state(ui), v, meaning(r, k), out))
		return;
	if (r)
		do_row(ui, v, r, now_s, out);
	else
		to_screen(ui, v, k, out);
}

static void pasted(struct ui *ui, const struct view *v, double now_s)
{
	ui->dirty = true;
	if (ui->prompt.kind) {
		prompt_paste(&ui->prompt, buf_str(&ui->paste), ui->paste.len);
		if (ui->prompt_action == ACTION_FIND)
			find_now(ui, v, buf_str(&ui->prompt.text));
	} else if (!overlay_paste(&ui->overlays, v, buf_str(&ui->paste), ui->paste.len)) {
		say(ui, MESSAGE_SAY, now_s, "pasted text goes into a prompt: / or : first");
	}
}

/* The selection moved, by a key or because its item went: the workbench has to know. */
static bool selection_moved(struct ui *ui, struct intent *out)
{
	const struct screen *s = screens[ui->screen];
	int64_t id = s->selected ? s->selected(state(ui)) : -1;

	if (id == ui->told[ui->screen])
		return false;
	ui->told[ui->screen] = id;
	if (id < 0)
		return false;
	*out = (struct intent){ .kind = INTENT_SELECT, .n = id, .m = 1 };
	return true;
}

int ui_next(struct ui *ui, const struct view *v, double now_s, struct intent *out)
{
	*out = (struct intent){ .kind = INTENT_NONE };
	for (;;) {
		struct key k;
		int x = 0, y = 0, wheel = 0, rc;
		if (selection_moved(ui, out))
			return 0;
		if (ui->at_typed < ui->n_typed) {
			k = ui->typed[ui->at_typed++];
			rc = 1;
		} else {
			ui->at_typed = ui->n_typed = 0;
			rc = term_key(ui->term, &k, &ui->paste, &x, &y, &wheel);
		}
		if (rc <= 0)
			return rc;
		if (k.code == KEYS_PASTE)
			pasted(ui, v, now_s);
		else if (k.code == KEYS_MOUSE && !ui->prompt.kind && !ui->help.open)
			mouse(ui, v, x, y, wheel, out);
		else if (k.code != KEYS_MOUSE)
			key(ui, v, k, now_s, out);
		ui->dirty = true;
		if (out->kind != INTENT_NONE)
			return 0;
	}
}

bool ui_dirty(const struct ui *ui)
{
	return ui->dirty;
}

int ui_type(struct ui *ui, const char *keys, struct err *e)
{
	size_t len = strlen(keys), at = 0;

	while (at < len) {
		struct key k;
		size_t n = key_script(keys + at, len - at, &k);
		if (n == 0)
			return err_set(
				e, ERR_INPUT,
				"no key here: '%.20s' (a character, <Enter>, <Esc>, <Tab>, <C-x>, "
				"<lt> ...)",
				keys + at);
		if (ui->n_typed == ui->cap_typed) {
			size_t cap = ui->cap_typed ? ui->cap_typed * 2 : 64;
			struct key *more = cap <= KEYS_MAX
			                           ? reallocarray(ui->typed, cap, sizeof(*more))
			                           : NULL;
			if (!more)
				return err_set(e, ERR_MEM, "no room for so many keys");
			ui->typed = more;
			ui->cap_typed = cap;
		}
		ui->typed[ui->n_typed++] = k;
		at += n;
	}
	return 0;
}

/* ---- a frame ---- */

static void draw_head(const struct ui *ui, const struct view *v, struct canvas *c)
{
	const char *model = c->w >= 140 && v->model_long ? v->model_long : v->model;
	const char *device = c->w >= 140 && v->device_long ? v->device_long : v->device;
	char right[160];
	int x = 0, w;

	/* as room shrinks the name goes first, then every second blank */
	if (c->w >= 92)
		x = draw_str(c, 0, 0, c->w, ROLE_STRONG, "cadforge");
	else
		x = -1;
	for (int i = 0; i < N_SCREENS; i++) {
		bool here = i == (int)ui->screen;
		x += i == 0 || c->w >= 80;
		if (here)
			draw_sign(c, x, 0, ROLE_TITLE, "[", '[');
		x++;
		draw_f(c, x, 0, 2, here ? ROLE_TITLE : ROLE_KEY, "%d", i + 1);
		x += 2;
		x += draw_str(c, x, 0, c->w - x, here ? ROLE_TITLE : ROLE_NORMAL, screens[i]->name);
		if (here)
			draw_sign(c, x, 0, ROLE_TITLE, "]", ']');
	}
	x += 2;
	snprintf(right, sizeof(right), "%s%s%s", model ? model : "", device && model ? "  " : "",
	         device ? device : "");
	w = text_width(right, strlen(right));
	if (w > c->w - x)
		w = c->w - x;
	if (w > 3)
		draw_str(c, c->w - w, 0, w, ROLE_NORMAL, right);
}

static enum role message_role(enum message_kind k)
{
	return k == MESSAGE_ERROR ? ROLE_BAD : k == MESSAGE_WARN ? ROLE_WEAK : ROLE_STRONG;
}

/* Is what stands there the same but for its figures? */
static bool figures_alone(const struct cell *a, const struct cell *b, int w)
{
	for (int x = 0; x < w; x++) {
		bool figure_a = a[x].ch[0] == ' ' || (a[x].ch[0] >= ',' && a[x].ch[0] <= ':'),
		     figure_b = b[x].ch[0] == ' ' || (b[x].ch[0] >= ',' && b[x].ch[0] <= ':');
		if (a[x].ch[0] != b[x].ch[0] && !(figure_a && figure_b))
			return false;
	}
	return true;
}

/* Figures that run are shown a moment later rather than each time. */
static void hold_figures(struct ui *ui, struct canvas *c, int y, double now_s)
{
	struct cell *now = cell_at(c, 0, y), *was = cell_at(&ui->last, 0, y);
	bool differs = memcmp(now, was, sizeof(*now) * (size_t)c->w) != 0;

	ui->status_held = false;
	if (!differs)
		return;
	if (!ui->keyed && now_s - ui->status_at < FIGURES_S && now_s >= ui->status_at &&
	    figures_alone(now, was, c->w)) {
		memcpy(now, was, sizeof(*now) * (size_t)c->w);
		ui->status_held = true;
		return;
	}
	ui->status_at = now_s;
}

static void draw_status(struct ui *ui, const struct view *v, struct canvas *c, double now_s,
                        int *cx, int *cy)
{
	const struct screen *s = screens[ui->screen];
	struct rect row = { 0, c->h - 2, c->w, 1 };
	enum message_kind kind;
	double until = NAN;
	const char *text = message(ui, v, now_s, &kind, &until);

	ui->said_until = ui->prompt.kind ? NAN : until;
	if (ui->prompt.kind) {
		*cx = prompt_draw(&ui->prompt, c, row);
		*cy = row.y;
		if (ui->prompt_action == ACTION_FIND) {
			char count[32];
			if (pane_text(ui, v))
				snprintf(count, sizeof(count), "%d found", pane(ui, v)->matches);
			else
				snprintf(count, sizeof(count), "%d shown", pane_list(ui)->shown);
			draw_right(c, c->w, row.y, 16, ROLE_NORMAL, count);
		}
		return;
	}
	if (text) {
		draw_str(c, 0, row.y, c->w, message_role(kind), text);
		return;
	}
	if (!s->status || !s->status(state(ui), v, c, row)) {
		const char *right = v->status_right ? v->status_right : "";
		int w = text_width(right, strlen(right));
		int used = draw_str(c, 0, row.y, c->w, ROLE_NORMAL, v->status);
		if (w > 0 && used + 1 + w <= c->w)
			draw_right(c, c->w, row.y, w, ROLE_NORMAL, right);
	}
	hold_figures(ui, c, row.y, now_s);
}

/* The keys' names stand out from their words: "Enter open  r run" begin after two blanks. */
static void draw_footer(struct ui *ui, const struct view *v, struct canvas *c)
{
	struct buf text = { 0 };
	int y = c->h - 1;
	const char *s;
	bool list = !pane_text(ui, v);

	if (ui->prompt.kind == PROMPT_FIND)
		buf_adds(&text,
		         list ? " type to filter   Enter keep it   Esc as it was"
		              : " type to find   Enter go on from there (n N)   Esc as it was");
	else if (ui->prompt.kind == PROMPT_CONFIRM)
		buf_adds(&text, " y yes   any other key: no");
	else if (ui->prompt.kind)
		buf_adds(&text, " Enter do it   Up Down what was typed before   Esc leave");
	else if (ui->help.open)
		buf_adds(&text, " type to filter   arrows scroll   Enter do it   Esc close");
	else if (overlay_top(&ui->overlays, v) != OVERLAY_NONE)
		buf_printf(&text, " %s", overlay_keys(&ui->overlays, v));
	else
		keymap_footer(&ui->keys, (int)ui->screen, c->w, list, &text);
	s = buf_str(&text);
	draw_str(c, 0, y, c->w, ROLE_NORMAL, s);
	if (!ui->prompt.kind)
		for (int x = 1, gap = 2; x < c->w; x++) {
			struct cell *a = cell_at(c, x, y);
			if (a->ch[0] == ' ') {
				gap++;
				continue;
			}
			if (gap >= 2)
				for (int k = x; k < c->w && cell_at(c, k, y)->ch[0] != ' '; k++)
					cell_at(c, k, y)->role = ROLE_KEY;
			gap = 0;
		}
	buf_release(&text);
}

static void forget_areas(struct screen_state *s)
{
	for (int i = 0; i < UI_PANES_MAX; i++)
		s->lists[i].area = s->texts[i].area = (struct rect){ 0 };
}

static struct rect middle(const struct canvas *c)
{
	return (struct rect){ 0, 1, c->w, c->h - 3 };
}

static void compose(struct ui *ui, const struct view *v, double now_s, int *cx, int *cy)
{
	struct canvas *c = &ui->canvas;
	char advice[64];

	ui->said_until = NAN;
	ui->status_held = false;
	cells_clear(c);
	c->ascii = ui->ascii;
	c->tier = ui->theme == THEME_MONO ? TIER_NONE : term_tier(ui->term);
	if (c->w < COLS_MIN || c->h < ROWS_MIN) {
		snprintf(advice, sizeof(advice), "%dx%d needed, this is %dx%d", COLS_MIN, ROWS_MIN,
		         c->w, c->h);
		draw_str(c, 0, c->h / 2, c->w, ROLE_STRONG, advice);
		return;
	}
	forget_areas(state(ui));
	draw_head(ui, v, c);
	screens[ui->screen]->draw(state(ui), v, c, middle(c));
	overlay_draw(&ui->overlays, v, c, middle(c));
	if (ui->help.open)
		help_draw(&ui->help, &ui->keys, (int)ui->screen, c, middle(c),
		          (struct rect){ 0, c->h - 2, c->w, 1 });
	else
		draw_status(ui, v, c, now_s, cx, cy);
	draw_footer(ui, v, c);
}

static const struct view_image *shown_image(const struct ui *ui, const struct view *v)
{
	switch (ui->screen) {
	case SCREEN_TASKS:
		return &v->tasks.drawing;
	case SCREEN_LIVE:
		return &v->live.image;
	case SCREEN_REPLAY:
		return &v->replay.image;
	case SCREEN_COMPARE:
		return &v->compare.left_image;
	default:
		return NULL;
	}
}

/* The terminal's own graphics, over the cells that the screen left blank for them. */
static size_t draw_graphic(struct ui *ui, const struct view *v)
{
	const struct view_image *im = shown_image(ui, v);
	const struct screen *s = screens[ui->screen];
	struct rect r = { 0 };
	struct buf out = { 0 };
	int w_px, h_px;
	size_t n;

	if (ui->image_mode != UI_IMAGE_KITTY && ui->image_mode != UI_IMAGE_SIXEL)
		return 0;
	if (im && im->w > 0 && s->image && !ui->help.open &&
	    overlay_top(&ui->overlays, v) == OVERLAY_NONE && ui->canvas.w >= COLS_MIN &&
	    ui->canvas.h >= ROWS_MIN)
		r = image_place(im, s->image(state(ui), v, middle(&ui->canvas)));
	if (r.w <= 0)
		r = (struct rect){ 0 };
	if (memcmp(&r, &ui->graphic, sizeof(r)) == 0 && (r.w == 0 || im->id == ui->graphic_id))
		return 0;
	if (ui->graphic.w > 0)
		image_escape_erase(&out, ui->image_mode);
	if (r.w > 0) {
		term_cell_px(ui->term, &w_px, &h_px);
		buf_printf(&out, "\0337\033[%d;%dH", r.y + 1, r.x + 1);
		image_escape(&out, im, ui->image_mode, r.w, r.h, w_px, h_px, NULL);
		buf_adds(&out, "\0338");
	}
	ui->graphic = r;
	ui->graphic_id = r.w > 0 ? im->id : 0;
	n = out.len;
	term_send(ui->term, buf_str(&out), n);
	buf_release(&out);
	return n;
}

/* The workbench wants another screen, or has something to say. */
static void follow_view(struct ui *ui, const struct view *v, double now_s)
{
	if (v->screen_asked != ui->screen_asked) {
		ui->screen_asked = v->screen_asked;
		if (v->screen < N_SCREENS)
			ui->screen = v->screen;
	}
	if (v->message.kind && v->message.id != ui->message_seen) {
		ui->message_seen = v->message.id;
		ui->message_until = v->message.kind == MESSAGE_ERROR ? NAN : now_s + MESSAGE_S;
	}
}

size_t ui_draw(struct ui *ui, const struct view *v, double now_s)
{
	int cx = -1, cy = -1;
	size_t n;
	struct canvas swap;

	follow_view(ui, v, now_s);
	if (ui->image_why) {
		say(ui, MESSAGE_WARN, now_s, ui->image_why);
		ui->image_why = NULL;
	}
	if (term_busy(ui->term)) {
		ui->dirty = true; /* the line is slow: this frame waits, and becomes the next one */
		return 0;
	}
	if (size_canvas(ui) < 0)
		return 0;
	compose(ui, v, now_s, &cx, &cy);
	n = term_draw(ui->term, &ui->canvas, ui->theme, cx, cy);
	n += draw_graphic(ui, v);
	swap = ui->last;
	ui->last = ui->canvas;
	ui->canvas = swap;
	ui->dirty = ui->keyed = false;
	return n;
}

double ui_timeout_s(const struct ui *ui, double now_s)
{
	double wait = -1, at[2] = { NAN, NAN };

	if (term_busy(ui->term))
		return 0.02;
	at[0] = ui->said_until;
	if (ui->status_held)
		at[1] = ui->status_at + FIGURES_S;
	for (int i = 0; i < 2; i++)
		if (!isnan(at[i])) {
			double left = at[i] - now_s > 0 ? at[i] - now_s : 0;
			wait = wait < 0 || left < wait ? left : wait;
		}
	return wait;
}

int ui_fd(const struct ui *ui)
{
	return term_fd(ui->term);
}

void ui_resize(struct ui *ui, int cols, int rows)
{
	if (term_resize(ui->term, cols, rows))
		ui->graphic = (struct rect){ 0 };
	ui->dirty = true;
}

void ui_suspend(struct ui *ui)
{
	term_suspend(ui->term);
	ui->graphic = (struct rect){ 0 };
}

void ui_resume(struct ui *ui)
{
	term_resume(ui->term);
	ui->dirty = true;
}

/* ---- what stands where ---- */

enum screen_id ui_screen(const struct ui *ui)
{
	return ui->screen;
}

int64_t ui_selected(const struct ui *ui, enum screen_id s)
{
	return screens[s]->selected ? screens[s]->selected(&ui->states[s]) : -1;
}

void ui_select(struct ui *ui, enum screen_id s, int64_t id)
{
	if (screens[s]->select)
		screens[s]->select(&ui->states[s], id);
	ui->told[s] = id;
	ui->dirty = true;
}

void ui_image_room(const struct ui *ui, const struct view *v, int *w_px, int *h_px)
{
	const struct screen *s = screens[ui->screen];
	struct canvas c = { 0 };
	struct rect r = { 0 };

	*w_px = *h_px = 0;
	term_size(ui->term, &c.w, &c.h);
	if (ui->image_mode == UI_IMAGE_OFF || c.w < COLS_MIN || c.h < ROWS_MIN)
		return;
	if (s->image)
		r = s->image(&ui->states[ui->screen], v, middle(&c));
	if (r.w > 0 && r.h > 0)
		image_room(r.w, r.h, ui->image_mode, w_px, h_px);
}

void ui_dump(const struct ui *ui, bool roles, struct buf *out)
{
	dump_text(&ui->last, out);
	if (roles) {
		buf_adds(out, "-- roles\n");
		dump_roles(&ui->last, out);
	}
}

void ui_dump_svg(const struct ui *ui, struct buf *out)
{
	char title[64];

	snprintf(title, sizeof(title), "cadforge: %s, %d x %d", screens[ui->screen]->name,
	         ui->last.w, ui->last.h);
	dump_svg(&ui->last, ui->theme, title, out);
}

/* ---- kept between starts ---- */

void ui_keep(const struct ui *ui, struct buf *json)
{
	cJSON *o = cJSON_CreateObject(), *panes;

	cJSON_AddStringToObject(o, "screen", screens[ui->screen]->name);
	cJSON_AddStringToObject(o, "theme", theme_name(ui->theme));
	cJSON_AddBoolToObject(o, "mouse", ui->mouse);
	panes = cJSON_AddObjectToObject(o, "screens");
	for (int i = 0; i < N_SCREENS; i++) {
		const struct screen_state *s = &ui->states[i];
		cJSON *p = cJSON_AddObjectToObject(panes, screens[i]->name);
		cJSON *wrap = cJSON_AddArrayToObject(p, "wrap");
		cJSON_AddNumberToObject(p, "focus", s->focus);
		cJSON_AddNumberToObject(
			p, "selected",
			(double)(screens[i]->selected ? screens[i]->selected(s) : -1));
		for (int k = 0; k < UI_PANES_MAX; k++)
			cJSON_AddItemToArray(wrap, cJSON_CreateBool(s->texts[k].wrap));
	}
	json_print(json, o);
	cJSON_Delete(o);
}

void ui_recall(struct ui *ui, const char *json)
{
	struct err e = { 0 };
	cJSON *o = json ? json_parse(json, strlen(json), &e) : NULL;
	const char *name = json_string_or(o, "screen", "");
	int theme = theme_find(json_string_or(o, "theme", ""));

	if (!o)
		return;
	for (int i = 0; i < N_SCREENS; i++) {
		struct screen_state *s = &ui->states[i];
		const cJSON *p = cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(o, "screens"), screens[i]->name);
		const cJSON *wrap = cJSON_GetObjectItemCaseSensitive(p, "wrap");
		double focus = json_number_or(p, "focus", 0),
		       id = json_number_or(p, "selected", -1);
		if (strcmp(screens[i]->name, name) == 0)
			ui->screen = (enum screen_id)i;
		if (focus >= 0 && focus < s->n_panes)
			s->focus = (int)focus;
		if (id >= 0 && id < 9e15 && screens[i]->select)
			screens[i]->select(s, (int64_t)id);
		for (int k = 0; k < UI_PANES_MAX; k++) {
			const cJSON *w = cJSON_GetArrayItem(wrap, k);
			if (cJSON_IsBool(w))
				s->texts[k].wrap = cJSON_IsTrue(w);
		}
	}
	if (theme >= 0 && !ui->theme_asked)
		ui->theme = (enum theme)theme;
	if (json_bool_or(o, "mouse", false) != ui->mouse) {
		ui->mouse = !ui->mouse;
		term_mouse(ui->term, ui->mouse);
	}
	cJSON_Delete(o);
	ui->dirty = true;
}
