/*
 * workbench.c - the frame around the screens: what is common to all of them, and the loop.
 *
 * One wait a round (src/loop.h). A key is answered and painted at once. What the host says is drawn
 * at most twenty times a second: between two frames its line is not even listened to, so that a
 * stream of five hundred tokens a second wakes this process twenty times.
 */
#include "src/workbench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/sha256.h"
#include "src/editor.h"
#include "src/export.h"
#include "src/host.h"
#include "src/loop.h"
#include "src/pack_write.h"
#include "src/packs.h"
#include "src/workbench_inside.h"

#define FRAME_S      0.05
#define FRAME_FULL_S 0.10 /* when the last one was more than FRAME_FULL bytes */
#define KEEP_S       2.0  /* what is kept is written so long after it changed */
#define STORE_S      0.2  /* the database is looked at again so long after somebody wrote */

enum { FRAME_FULL = 2048, STATE_MAX = 4 << 20, EDIT_MAX = 16 << 20 };

static const struct wb_screen *const screens[N_SCREENS] = {
	[SCREEN_TASKS] = &wb_tasks,     [SCREEN_LIVE] = &wb_live,
	[SCREEN_REPLAY] = &wb_replay,   [SCREEN_CURRICULUM] = &wb_curriculum,
	[SCREEN_COMPARE] = &wb_compare, [SCREEN_WORKERS] = &wb_workers,
};

static const char *const screen_words[N_SCREENS] = { "tasks",      "live",    "replay",
	                                             "curriculum", "compare", "workers" };

/* ---- what the screens ask for ---- */

void wb_dirty(struct workbench *w)
{
	w->inside->dirty = true;
}

const char *wb_text(struct workbench *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *t = arena_vprintf(&w->frame, fmt, ap);
	va_end(ap);
	return t;
}

void wb_status(struct workbench *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	w->view.status = arena_vprintf(&w->frame, fmt, ap);
	va_end(ap);
}

void wb_status_right(struct workbench *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	w->view.status_right = arena_vprintf(&w->frame, fmt, ap);
	va_end(ap);
}

void wb_say(struct workbench *w, enum message_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_clear(&w->inside->message);
	buf_vprintf(&w->inside->message, fmt, ap);
	va_end(ap);
	w->inside->message_kind = kind;
	w->inside->message_id++;
	wb_dirty(w);
}

void wb_fail(struct workbench *w, const struct err *e)
{
	if (e->kind != ERR_NONE && e->kind != ERR_CANCELLED)
		wb_say(w, MESSAGE_ERROR, "%s", e->text);
}

int64_t wb_selected(struct workbench *w, enum screen_id s)
{
	return w->ui ? ui_selected(w->ui, s) : -1;
}

const struct task *wb_task(const struct workbench *w, const char *id)
{
	for (int i = 0; i < w->tasks.n; i++)
		if (strcmp(w->tasks.tasks[i].id, id) == 0)
			return &w->tasks.tasks[i];
	return NULL;
}

const char *wb_who(struct workbench *w)
{
	const char *names[] = { getenv("CADFORGE_JUDGE"), getenv("USER") };
	const struct passwd *p;

	(void)w;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i] && *names[i])
			return names[i];
	p = getpwuid(geteuid());
	return p && p->pw_name && *p->pw_name ? p->pw_name : "somebody";
}

/* ---- a list over the screen ---- */

void wb_choice_close(struct workbench *w)
{
	struct wb_choice *c = &w->choice;

	for (int i = 0; i < c->n; i++) {
		free(c->rows[i].text);
		free(c->rows[i].right);
	}
	free(c->rows);
	free(c->title);
	free(c->fact);
	free(c->empty);
	*c = (struct wb_choice){ 0 };
	wb_dirty(w);
}

struct wb_choice *wb_choose(struct workbench *w, const char *title, const char *empty,
                            void (*chosen)(struct workbench *w, int64_t id, struct err *e))
{
	wb_choice_close(w);
	w->choice.title = strdup(title);
	w->choice.empty = empty ? strdup(empty) : NULL;
	w->choice.chosen = chosen;
	return &w->choice;
}

void wb_choice_add(struct workbench *w, int64_t id, enum mark mark, const char *text,
                   const char *right)
{
	struct wb_choice *c = &w->choice;

	if (c->n == c->cap) {
		int cap = c->cap ? 2 * c->cap : 32;
		struct wb_choice_row *rows = realloc(c->rows, (size_t)cap * sizeof(*rows));
		if (!rows)
			return;
		c->rows = rows;
		c->cap = cap;
	}
	c->rows[c->n++] = (struct wb_choice_row){
		.id = id,
		.mark = mark,
		.text = strdup(text),
		.right = right ? strdup(right) : NULL,
	};
	wb_dirty(w);
}

void wb_choice_fact(struct workbench *w, const char *fact)
{
	free(w->choice.fact);
	w->choice.fact = strdup(fact);
}

/* ---- a text over the screen ---- */

void wb_page_close(struct workbench *w)
{
	free(w->page.title);
	w->page.title = NULL;
	buf_release(&w->page.text);
	wb_dirty(w);
}

void wb_page(struct workbench *w, const char *title, enum text_kind kind, const char *text,
             size_t len)
{
	wb_page_close(w);
	w->page.title = strdup(title);
	buf_add(&w->page.text, text, len);
	w->page.kind = kind;
	w->page.id++;
}

/* ---- undo ---- */

static void undo_drop(struct wb_undo *u)
{
	if (u->release)
		u->release(u->data);
	free(u->what);
	*u = (struct wb_undo){ 0 };
}

void wb_undoable(struct workbench *w, const char *what,
                 int (*back)(struct workbench *w, void *data, struct err *e),
                 void (*release)(void *data), void *data)
{
	if (w->n_undo == WB_UNDO_MAX) {
		undo_drop(&w->undo[0]);
		memmove(w->undo, w->undo + 1, sizeof(*w->undo) * (WB_UNDO_MAX - 1));
		w->n_undo--;
	}
	w->undo[w->n_undo++] = (struct wb_undo){
		.what = strdup(what), .back = back, .release = release, .data = data
	};
}

static void undo(struct workbench *w, struct err *e)
{
	if (w->n_undo == 0) {
		wb_say(w, MESSAGE_SAY, "nothing to take back");
		return;
	}
	struct wb_undo u = w->undo[--w->n_undo];
	if (u.back(w, u.data, e) == 0)
		wb_say(w, MESSAGE_SAY, "taken back: %s", u.what ? u.what : "");
	undo_drop(&u);
}

/* ---- the database ---- */

/* Tells of writing to the database's files, and of files that come and go beside it. Saying it
 * again changes nothing. */
static void watch_store(struct workbench *w)
{
	char path[PATH_MAX + 8];

	if (w->inside->watch_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s", w->db);
	inotify_add_watch(w->inside->watch_fd, path, IN_MODIFY);
	snprintf(path, sizeof(path), "%s-wal", w->db);
	inotify_add_watch(w->inside->watch_fd, path, IN_MODIFY);
	snprintf(path, sizeof(path), "%s", w->db);
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	inotify_add_watch(w->inside->watch_fd, slash ? (*path ? path : "/") : ".",
	                  IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM);
}

static void store_drop(struct workbench *w, const char *why)
{
	store_close(w->store);
	w->store = NULL;
	snprintf(w->store_why, sizeof(w->store_why), "%s", why);
}

struct store *wb_store(struct workbench *w, struct err *e)
{
	struct stat st;
	struct err own = { 0 };

	if (w->store)
		return w->store;
	watch_store(w);
	if (stat(w->db, &st) < 0) {
		snprintf(w->store_why, sizeof(w->store_why),
		         "nothing was run yet: there is no database %.400s", w->db);
	} else if ((w->store = store_open(w->db, STORE_READ, NULL, &own))) {
		w->inside->store_inode = st.st_ino;
		w->inside->store_version = store_version_seen(w->store, &own);
		w->store_why[0] = '\0';
		w->changes++;
		return w->store;
	} else {
		snprintf(w->store_why, sizeof(w->store_why), "%s", own.text);
	}
	err_set(e, ERR_INPUT, "%s", w->store_why);
	return NULL;
}

struct store *wb_store_write(struct workbench *w, struct err *e)
{
	/* a screen does not wait for somebody else's writing as a batch would */
	const struct store_options o = { .busy_ms = 1500 };

	if (!w->inside->write)
		w->inside->write = store_open(w->db, STORE_WRITE, &o, e);
	return w->inside->write;
}

/* Looks whether anything was written; says it to the shown screen. */
static void store_look(struct workbench *w)
{
	struct stat st;
	struct err e = { 0 };

	w->inside->store_due = 0;
	if (w->store && (stat(w->db, &st) < 0 || st.st_ino != w->inside->store_inode)) {
		if (w->inside->write) {
			store_close(w->inside->write);
			w->inside->write = NULL;
		}
		store_drop(w, "");
		w->changes++;
		if (!wb_store(w, &e))
			wb_say(w, MESSAGE_ERROR, "the database %s was taken away", w->db);
	}
	if (!w->store && !wb_store(w, &e))
		return;
	int64_t version = store_version_seen(w->store, &e);
	if (version != w->inside->store_version) {
		w->inside->store_version = version;
		w->changes++;
	}
}

void wb_store_changed(struct workbench *w)
{
	w->changes++;
	wb_dirty(w);
}

static void watch_read(struct workbench *w)
{
	union {
		struct inotify_event head;
		char bytes[8192];
	} u;
	const char *slash = strrchr(w->db, '/'), *base = slash ? slash + 1 : w->db;
	ssize_t n;
	bool ours = false, came = false;

	while ((n = read(w->inside->watch_fd, u.bytes, sizeof(u.bytes))) > 0)
		for (char *p = u.bytes; p < u.bytes + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)(void *)p;
			bool beside = ev->len && strncmp(ev->name, base, strlen(base)) == 0;
			ours = ours || (ev->mask & (IN_Q_OVERFLOW | IN_MODIFY)) || beside;
			came = came || beside;
			p += sizeof(*ev) + ev->len;
		}
	if (came)
		watch_store(w);
	if (ours && w->inside->store_due == 0)
		w->inside->store_due = clock_now_s() + STORE_S;
}

/* ---- $VISUAL ---- */

/* The terminal is another program's while @run works with it. */
static void resume(struct workbench *w)
{
	int s;

	/* what was typed there is not for us */
	while (w->loop && (s = loop_signal(w->loop)) != 0)
		if (s == SIGTERM || s == SIGHUP)
			w->inside->leave = LEAVE_TERM;
	ui_resume(w->ui);
	ui_resize(w->ui, 0, 0);
	w->inside->urgent = true;
	wb_dirty(w);
}

int wb_edit_file(struct workbench *w, const char *path, struct err *e)
{
	if (!w->ui || ui_fd(w->ui) < 0)
		return err_set(e, ERR_LACKS, "an editor needs a terminal");
	ui_suspend(w->ui);
	int rc = editor_open(path, e);
	resume(w);
	return rc;
}

int wb_edit(struct workbench *w, const char *suffix, const char *text, size_t len, struct buf *out,
            struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	struct buf path = { 0 };
	int rc = -1;

	snprintf(dir, sizeof(dir), "%s/cadforge-edit-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return err_errno(e, ERR_IO, "%s", dir);
	buf_printf(&path, "%s/edit%s", dir, suffix);
	if (file_write_atomic(buf_str(&path), text, len, e) == 0 &&
	    wb_edit_file(w, buf_str(&path), e) == 0 &&
	    buf_read_file(out, buf_str(&path), EDIT_MAX, e) == 0) {
		bool blank = strspn(buf_str(out), " \t\r\n") >= out->len;
		rc = !blank && (out->len != len || memcmp(out->data, text, len) != 0);
	}
	unlink(buf_str(&path));
	rmdir(dir);
	buf_release(&path);
	return rc;
}

/* ---- export ---- */

void wb_export(struct workbench *w, int64_t episode, const char *where, struct err *e)
{
	struct export_options o = {
		.kind = EXPORT_FOLDER, .episodes = &episode, .n_episodes = 1, .tasks = &w->tasks
	};
	struct exported done = { 0 };
	struct store *s = wb_store(w, e);
	struct buf path = { 0 };

	if (!s)
		return;
	if (where && *where)
		buf_adds(&path, where);
	else
		buf_printf(&path, "episode-%lld", (long long)episode);
	const char *dot = strrchr(buf_str(&path), '.');
	if (dot && strcmp(dot, ".md") == 0)
		o.kind = EXPORT_MARKDOWN;
	else if (dot && strcmp(dot, ".html") == 0)
		o.kind = EXPORT_HTML;
	else if (dot && strcmp(dot, ".jsonl") == 0)
		o.kind = EXPORT_JSONL;
	if (export_to(s, &o, buf_str(&path), &done, e) == 0)
		wb_say(w, MESSAGE_SAY, "episode %lld is in %s", (long long)episode, buf_str(&path));
	buf_release(&path);
}

/* ---- screens ---- */

static bool screen_open(struct workbench *w, enum screen_id s, struct err *e)
{
	struct wb_inside *in = w->inside;

	if (in->opened[s])
		return true;
	in->why[s][0] = '\0';
	if (!screens[s]) {
		err_set(e, ERR_LACKS, "this cadforge has no screen %s", screen_words[s]);
	} else if (!screens[s]->open || screens[s]->open(w, e) == 0) {
		in->opened[s] = true;
		in->seen[s] = UINT64_MAX;
		const cJSON *kept = cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(in->kept, "screens"), screen_words[s]);
		if (screens[s]->recall && cJSON_IsObject(kept))
			screens[s]->recall(w, kept);
		return true;
	}
	snprintf(in->why[s], sizeof(in->why[s]), "%s", e->text);
	return false;
}

/* The shown screen learns of changes in the database before it is looked at. */
static void screen_fresh(struct workbench *w)
{
	enum screen_id s = w->screen;

	if (!w->inside->opened[s] || w->inside->seen[s] == w->changes)
		return;
	w->inside->seen[s] = w->changes;
	if (screens[s]->changed)
		screens[s]->changed(w);
	wb_dirty(w);
}

int workbench_show(struct workbench *w, enum screen_id s, struct err *e)
{
	if (s >= N_SCREENS)
		return err_set(e, ERR_USAGE, "there is no such screen");
	w->screen = s;
	w->inside->screen_asked++;
	wb_dirty(w);
	return screen_open(w, s, e) ? 0 : -1;
}

void wb_go(struct workbench *w, enum screen_id s)
{
	struct err e = { 0 };

	if (workbench_show(w, s, &e) < 0)
		wb_fail(w, &e);
}

/* ---- the view ---- */

static void fill_frame(struct workbench *w, struct view *v)
{
	struct wb_inside *in = w->inside;

	wb_host_view(w, v);
	v->message.kind = in->message_kind;
	v->message.text = buf_str(&in->message);
	v->message.id = in->message_id;
	v->screen = w->screen;
	v->screen_asked = in->screen_asked;
	if (w->choice.title) {
		struct view_choice_row *rows = wb_array(w, struct view_choice_row, w->choice.n);
		for (int i = 0; rows && i < w->choice.n; i++)
			rows[i] = (struct view_choice_row){ .id = w->choice.rows[i].id,
				                            .mark = w->choice.rows[i].mark,
				                            .text = w->choice.rows[i].text,
				                            .right = w->choice.rows[i].right };
		v->choice = (struct view_choice){ .title = w->choice.title,
			                          .fact = w->choice.fact,
			                          .rows = rows,
			                          .n_rows = rows ? w->choice.n : 0,
			                          .more = w->choice.more,
			                          .empty = w->choice.empty };
	}
	if (w->page.title) {
		v->page_title = w->page.title;
		v->page = (struct view_text){ .text = buf_str(&w->page.text),
			                      .len = w->page.text.len,
			                      .id = w->page.id,
			                      .version = 1,
			                      .kind = w->page.kind };
	}
}

static void fill_once(struct workbench *w)
{
	struct view *v = &w->view;

	arena_reset(&w->frame);
	*v = (struct view){ 0 };
	v->live.tokens_per_s = v->live.first_token_s = v->live.elapsed_s = NAN;
	v->live.score.total = v->live.score.delta = NAN;
	v->replay.score.total = v->replay.score.delta = NAN;
	fill_frame(w, v);
	if (w->inside->opened[w->screen])
		screens[w->screen]->view(w, v);
	else
		wb_status(w, "%s", w->inside->why[w->screen]);
}

const struct view *workbench_view(struct workbench *w)
{
	int room_w = 0, room_h = 0;

	screen_fresh(w);
	fill_once(w);
	if (w->ui)
		ui_image_room(w->ui, &w->view, &room_w, &room_h);
	if (room_w != w->room_w || room_h != w->room_h) {
		w->room_w = room_w;
		w->room_h = room_h;
		fill_once(w);
	}
	return &w->view;
}

/* ---- commands ---- */

/* The whole screen as text; as a picture when the name ends in .svg. */
static void save_screen(struct workbench *w, const char *name, struct err *e)
{
	struct buf out = { 0 };
	const char *dot = strrchr(name, '.');

	if (!*name) {
		err_set(e, ERR_USAGE, ":save-screen FILE, a name was expected (.svg: a picture)");
		return;
	}
	if (dot && strcmp(dot, ".svg") == 0)
		ui_dump_svg(w->ui, &out);
	else
		ui_dump(w->ui, dot && strcmp(dot, ".roles") == 0, &out);
	if (buf_failed(&out))
		err_set(e, ERR_MEM, "out of memory for the screen");
	else if (file_write_atomic(name, buf_str(&out), out.len, e) == 0)
		wb_say(w, MESSAGE_SAY, "the screen is in %s", name);
	buf_release(&out);
}

static void goto_ref(struct workbench *w, const char *text, struct err *e)
{
	int64_t episode;
	int turn;

	if (store_parse_ref(text, &episode, &turn, e) == 0)
		wb_show_episode(w, episode, turn);
}

/* A copy of what could not be handed to the terminal. */
static void keep_copy(struct workbench *w, const char *text, struct err *e)
{
	struct buf path = { 0 };

	if (!w->inside->state_dir[0]) {
		err_set(e, ERR_LACKS, "no place to keep a copy: HOME and XDG_STATE_HOME are unset");
		return;
	}
	buf_printf(&path, "%s/copy.txt", w->inside->state_dir);
	if (make_folders(w->inside->state_dir, e) == 0 &&
	    file_write_atomic(buf_str(&path), text, strlen(text), e) == 0)
		wb_say(w, MESSAGE_SAY, "copied to %s", buf_str(&path));
	buf_release(&path);
}

static bool command(struct workbench *w, const char *text, struct err *e)
{
	char name[32];
	size_t n = strcspn(text, " \t");
	const char *rest = text + n + strspn(text + n, " \t");

	if (n >= sizeof(name))
		return false;
	memcpy(name, text, n);
	name[n] = '\0';
	if (strcmp(name, "save-screen") == 0)
		save_screen(w, rest, e);
	else if (strcmp(name, "show") == 0)
		goto_ref(w, rest, e);
	else if (strcmp(name, "search") == 0)
		wb_search(w, rest, e);
	else if (strcmp(name, "settings") == 0)
		wb_settings_page(w);
	else if (strcmp(name, "export") == 0)
		workbench_intent(w, &(struct intent){ .kind = INTENT_EXPORT, .text = rest });
	else
		return false;
	return true;
}

/* ---- intents ---- */

static void suspend(struct workbench *w)
{
	ui_suspend(w->ui);
	/* the guard is in the group too, but it has nothing to do before we are gone */
	kill(getpid(), SIGSTOP);
	resume(w);
}

static void common(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_choice *c = &w->choice;

	switch (in->kind) {
	case INTENT_SCREEN:
		if (in->n < 0 || in->n >= N_SCREENS)
			break;
		wb_choice_close(w);
		wb_page_close(w);
		workbench_show(w, (enum screen_id)in->n, e);
		break;
	case INTENT_QUIT:
		w->inside->leave = LEAVE_QUIT;
		break;
	case INTENT_DETACH:
		w->inside->leave = LEAVE_DETACH;
		break;
	case INTENT_BACK:
		if (w->choice.title)
			wb_choice_close(w);
		else if (w->page.title)
			wb_page_close(w);
		break;
	case INTENT_CHOOSE:
		if (c->title && c->chosen) {
			void (*chosen)(struct workbench *, int64_t, struct err *) = c->chosen;
			wb_choice_close(w);
			chosen(w, in->n, e);
		}
		break;
	case INTENT_MORE:
		if (c->title && c->next && c->more)
			c->next(w, e);
		break;
	case INTENT_COMMAND:
		if (in->text && !command(w, in->text, e) &&
		    !(w->inside->opened[w->screen] && screens[w->screen]->command &&
		      screens[w->screen]->command(w, in->text, e)))
			err_set(e, ERR_USAGE, "'%.60s' is no command here: ? lists them", in->text);
		break;
	case INTENT_COPY:
		keep_copy(w, in->text ? in->text : "", e);
		break;
	case INTENT_UNDO:
		undo(w, e);
		break;
	case INTENT_SUSPEND:
		suspend(w);
		break;
	case INTENT_SET:
		wb_set(w, in->text ? in->text : "", e);
		break;
	case INTENT_EXPORT:
		err_set(e, ERR_USAGE, "nothing is shown here that could be exported");
		break;
	default:
		break;
	}
}

void workbench_intent(struct workbench *w, const struct intent *in)
{
	struct err e = { 0 };
	bool over = in->kind == INTENT_CHOOSE || in->kind == INTENT_MORE ||
	            (in->kind == INTENT_BACK && (w->choice.title || w->page.title));

	if (in->kind == INTENT_NONE)
		return;
	if (over || !w->inside->opened[w->screen] || !screens[w->screen]->intent ||
	    !screens[w->screen]->intent(w, in, &e))
		common(w, in, &e);
	if (e.kind != ERR_NONE)
		wb_fail(w, &e);
	if (w->inside->keep_due <= 0)
		w->inside->keep_due = clock_now_s() + KEEP_S;
	wb_dirty(w);
}

double workbench_tick(struct workbench *w, double now_s)
{
	if (!w->inside->opened[w->screen] || !screens[w->screen]->tick)
		return -1;
	return screens[w->screen]->tick(w, now_s);
}

/* ---- what is kept between starts ---- */

static void state_place(struct workbench *w)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char hex[SHA256_HEX], dir[sizeof(w->db)], real[PATH_MAX], name[PATH_MAX + sizeof(w->db)];
	struct wb_inside *in = w->inside;

	if (state && *state == '/')
		snprintf(in->state_dir, sizeof(in->state_dir), "%s/cadforge", state);
	else if (home && *home == '/')
		snprintf(in->state_dir, sizeof(in->state_dir), "%s/.local/state/cadforge", home);
	else
		return;
	/* the same whether the database is there already or not */
	snprintf(dir, sizeof(dir), "%s", w->db);
	char *slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	const char *base = slash ? slash + 1 : w->db;
	const char *folder = slash ? (*dir ? dir : "/") : ".";
	snprintf(name, sizeof(name), "%s/%s", realpath(folder, real) ? real : folder, base);
	sha256_hex(name, strlen(name), hex);
	snprintf(in->state_file, sizeof(in->state_file), "%s/workbench-%.16s.json", in->state_dir,
	         hex);
}

static void state_load(struct workbench *w)
{
	struct buf text = { 0 };
	struct err e = { 0 };

	state_place(w);
	if (w->inside->state_file[0] &&
	    buf_read_file(&text, w->inside->state_file, STATE_MAX, &e) == 0)
		w->inside->kept = json_parse(buf_str(&text), text.len, &e);
	if (!cJSON_IsObject(w->inside->kept)) {
		cJSON_Delete(w->inside->kept);
		w->inside->kept = cJSON_CreateObject();
	}
	buf_release(&text);
	/* what was set in earlier sessions holds, but for what the command line says */
	cJSON *flags = wb_flags_settings(w);
	const cJSON *x, *own = cJSON_GetObjectItemCaseSensitive(w->inside->kept, "settings");
	cJSON_ArrayForEach(x, own)
	{
		if (!cJSON_GetObjectItemCaseSensitive(flags, x->string))
			cJSON_AddItemToObject(w->inside->own, x->string, cJSON_Duplicate(x, true));
	}
	cJSON_Delete(flags);
	cJSON_Delete(w->settings);
	w->settings = cJSON_Duplicate(w->inside->own, true);
}

static void state_save(struct workbench *w)
{
	struct wb_inside *in = w->inside;
	struct err e = { 0 };
	struct buf text = { 0 };
	cJSON *o = in->kept, *each;

	in->keep_due = 0;
	if (!in->state_file[0] || !w->ui)
		return;
	ui_keep(w->ui, &text);
	cJSON_DeleteItemFromObjectCaseSensitive(o, "ui");
	cJSON *ui = json_parse(buf_str(&text), text.len, &e);
	if (ui)
		cJSON_AddItemToObject(o, "ui", ui);
	cJSON_DeleteItemFromObjectCaseSensitive(o, "screen");
	cJSON_AddStringToObject(o, "screen", screen_words[w->screen]);
	cJSON_DeleteItemFromObjectCaseSensitive(o, "settings");
	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(in->own, true));
	each = cJSON_GetObjectItemCaseSensitive(o, "screens");
	if (!cJSON_IsObject(each)) {
		cJSON_DeleteItemFromObjectCaseSensitive(o, "screens");
		each = cJSON_AddObjectToObject(o, "screens");
	}
	for (int s = 0; s < N_SCREENS; s++) {
		if (!in->opened[s] || !screens[s]->keep)
			continue;
		cJSON *own = cJSON_CreateObject();
		screens[s]->keep(w, own);
		cJSON_DeleteItemFromObjectCaseSensitive(each, screen_words[s]);
		cJSON_AddItemToObject(each, screen_words[s], own);
	}
	buf_clear(&text);
	json_print(&text, o);
	/* only what differs is written: a disk may be asleep, or full */
	if (!buf_failed(&text) && (text.len != in->written.len ||
	                           memcmp(text.data, buf_str(&in->written), text.len) != 0)) {
		if (make_folders(in->state_dir, &e) == 0 &&
		    file_write_atomic(in->state_file, buf_str(&text), text.len, &e) == 0) {
			buf_clear(&in->written);
			buf_add(&in->written, text.data, text.len);
		} else if (!in->keep_failed) {
			in->keep_failed = true;
			wb_say(w, MESSAGE_WARN, "settings are not kept: %s", e.text);
		}
	}
	buf_release(&text);
}

/* ---- beginning and end ---- */

int workbench_open(struct workbench *w, const struct workbench_options *o, struct err *e)
{
	struct err own = { 0 };

	*w = (struct workbench){ .app = *o->app, .model = *o->model };
	w->inside = calloc(1, sizeof(*w->inside));
	if (!w->inside)
		return err_set(e, ERR_MEM, "out of memory");
	w->inside->watch_fd = -1;
	w->app.quiet = true; /* nothing may write on the screen but ui */
	/* pointers into the flags' own memory move with them */
	for (int i = 0; i < w->model.n_adapters; i++)
		w->model.adapter[i].dir = w->model.names[i];
	w->settings = cJSON_CreateObject();
	w->inside->own = cJSON_CreateObject();
	if (!w->settings || store_path(w->db, sizeof(w->db), o->db, e) < 0) {
		workbench_close(w);
		return w->settings ? -1 : err_set(e, ERR_MEM, "out of memory");
	}
	if (packs_load(&w->tasks, &w->app, &own) < 0)
		snprintf(w->inside->tasks_why, sizeof(w->inside->tasks_why), "%s", own.text);
	wb_store(w, &own);
	return 0;
}

void workbench_close(struct workbench *w)
{
	if (!w->inside)
		return;
	wb_choice_close(w);
	wb_page_close(w);
	for (int s = 0; s < N_SCREENS; s++) {
		/* Replay's state is also made by a list of episodes, before it is opened */
		bool made = w->inside->opened[s] || (s == SCREEN_REPLAY && w->replay_state);
		if (made && screens[s]->close)
			screens[s]->close(w);
	}
	wb_host_close(w);
	while (w->n_undo > 0)
		undo_drop(&w->undo[--w->n_undo]);
	store_close(w->store);
	store_close(w->inside->write);
	task_set_release(&w->tasks);
	cJSON_Delete(w->settings);
	arena_release(&w->frame);
	if (w->inside->watch_fd >= 0)
		close(w->inside->watch_fd);
	cJSON_Delete(w->inside->kept);
	cJSON_Delete(w->inside->own);
	buf_release(&w->inside->message);
	buf_release(&w->inside->written);
	free(w->inside->tokens.v);
	free(w->inside);
	w->inside = NULL;
}

/* A process that gives the terminal back when this one was killed without a word. */
static int guard_start(struct workbench *w)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t all;
		char c;
		ssize_t n;
		close(fd[1]);
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		do
			n = read(fd[0], &c, 1);
		while (n < 0 && errno == EINTR);
		if (n == 0) {
			static const char said[] =
				"cadforge: the workbench was killed; what was committed is there, "
				"and what ran goes on: cadforge attach\r\n";
			ui_restore(w->ui);
			tcsetattr(STDIN_FILENO, TCSANOW, &w->inside->before);
			if (write(STDERR_FILENO, said, sizeof(said) - 1) < 0)
				_exit(1);
		}
		_exit(0);
	}
	close(fd[0]);
	if (pid < 0) {
		close(fd[1]);
		return -1;
	}
	w->inside->guard_pid = pid;
	return fd[1];
}

static void guard_end(struct workbench *w)
{
	if (w->inside->guard_fd < 0)
		return;
	if (write(w->inside->guard_fd, "q", 1) < 0)
		kill(w->inside->guard_pid, SIGKILL);
	close(w->inside->guard_fd);
	w->inside->guard_fd = -1;
	waitpid(w->inside->guard_pid, NULL, 0);
}

/* ---- the loop ---- */

static void draw(struct workbench *w)
{
	struct wb_inside *in = w->inside;

	workbench_view(w);
	in->last_bytes = ui_draw(w->ui, &w->view, clock_now_s());
	in->last_draw_s = clock_now_s();
	in->dirty = in->urgent = false;
}

/* All keys that are there, each with a view that knows what the one before did. */
static bool keys(struct workbench *w)
{
	struct intent in;
	bool any = false;
	int rc;

	/* what was heard since it was made may have moved what the view points to */
	if (w->inside->dirty)
		workbench_view(w);
	for (;;) {
		in = (struct intent){ 0 };
		rc = ui_next(w->ui, &w->view, clock_now_s(), &in);
		if (rc < 0)
			w->inside->leave = LEAVE_GONE;
		if (rc < 0 || in.kind == INTENT_NONE || w->inside->leave)
			break;
		workbench_intent(w, &in);
		any = true;
		if (w->inside->leave)
			break;
		workbench_view(w);
	}
	if (any || ui_dirty(w->ui))
		w->inside->urgent = w->inside->dirty = true;
	return any;
}

static void signals(struct workbench *w)
{
	struct err e = { 0 };
	int s;

	while ((s = loop_signal(w->loop)) != 0)
		switch (s) {
		case SIGWINCH:
			ui_resize(w->ui, 0, 0);
			wb_dirty(w);
			break;
		case SIGHUP:
			w->inside->leave = LEAVE_GONE;
			break;
		case SIGTERM:
			w->inside->leave = LEAVE_TERM;
			break;
		case SIGINT:
			ui_type(w->ui, "<C-c>", &e);
			break;
		case SIGTSTP:
			suspend(w);
			break;
		case SIGCONT:
			w->inside->urgent = true;
			wb_dirty(w);
			break;
		default:
			break;
		}
}

static double least(double a, double b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static double frame_due(const struct wb_inside *in)
{
	return in->last_draw_s + (in->last_bytes > FRAME_FULL ? FRAME_FULL_S : FRAME_S);
}

/* One wait and what came of it. */
static int turn_around(struct workbench *w, double at_most_s, struct err *e)
{
	struct wb_inside *in = w->inside;
	struct loop *l = w->loop;
	double now = clock_now_s(), wait = at_most_s;
	bool behind = in->dirty && now < frame_due(in);

	loop_begin(l);
	int tty = loop_watch(l, ui_fd(w->ui), POLLIN);
	int disk = loop_watch(l, in->watch_fd, POLLIN);
	int line = -1;
	/* between two frames nobody looks at what the host says */
	if (w->host && !behind)
		line = loop_watch(l, host_fd(w->host),
		                  (short)(POLLIN | (host_wants_write(w->host) ? POLLOUT : 0)));
	if (behind)
		wait = least(wait, frame_due(in) - now);
	double ui_wait = ui_timeout_s(w->ui, now);
	wait = least(wait, ui_wait);
	wait = least(wait, in->tick_wait < 0 ? -1 : fmax(in->tick_at - now, 0));
	if (in->keep_due > 0)
		wait = least(wait, fmax(in->keep_due - now, 0));
	if (in->store_due > 0)
		wait = least(wait, fmax(in->store_due - now, 0));
	if (loop_wait(l, wait, e) < 0)
		return -1;
	signals(w);
	if (in->leave)
		return 0;
	now = clock_now_s();
	if (loop_came(l, disk))
		watch_read(w);
	if (in->store_due > 0 && now >= in->store_due)
		store_look(w);
	if (w->host && (loop_came(l, line) || (behind && now >= frame_due(in))))
		wb_host_step(w);
	if (loop_came(l, tty) || ui_wait >= 0 || ui_fd(w->ui) < 0) {
		keys(w);
		if (ui_wait >= 0 && ui_timeout_s(w->ui, now) <= 0)
			in->urgent = in->dirty =
				true; /* a message ended, or figures that waited are due */
	}
	screen_fresh(w);
	if (in->tick_wait >= 0 || in->dirty) {
		in->tick_wait = workbench_tick(w, now);
		in->tick_at = now + in->tick_wait;
	}
	if (in->keep_due > 0 && now >= in->keep_due)
		state_save(w);
	if (in->dirty && !in->leave && (in->urgent || clock_now_s() >= frame_due(in)))
		draw(w);
	return 0;
}

/* ---- a script ---- */

/* A line is keys, as ui_type() takes them; or, with a colon before it, a command: `:wait idle`,
 * `:wait SECONDS`, `:save-screen FILE`, or any that the prompt knows. # begins a remark. */
static int script_line(struct workbench *w, const char *text, struct err *e)
{
	double seconds;
	char end;

	if (!*text || *text == '#')
		return 0;
	if (strcmp(text, ":wait idle") == 0) {
		while (!w->inside->leave && wb_host_busy(w))
			if (turn_around(w, 0.5, e) < 0)
				return -1;
	} else if (sscanf(text, ":wait %lf%c", &seconds, &end) == 1) {
		double until = clock_now_s() + seconds;
		while (!w->inside->leave && clock_now_s() < until)
			if (turn_around(w, until - clock_now_s(), e) < 0)
				return -1;
	} else if (strncmp(text, ":save-screen ", 13) == 0) {
		draw(w);
		save_screen(w, text + 13, e);
		if (e->kind != ERR_NONE)
			return -1;
		/* the message that it is saved is for people */
		buf_clear(&w->inside->message);
		w->inside->message_kind = MESSAGE_NONE;
	} else {
		struct buf typed = { 0 };
		buf_printf(&typed, "%s%s", text, *text == ':' ? "<Enter>" : "");
		int rc = ui_type(w->ui, buf_str(&typed), e);
		buf_release(&typed);
		if (rc < 0)
			return -1;
		keys(w);
		draw(w);
		/* what the key set going has begun */
		if (turn_around(w, 0.02, e) < 0)
			return -1;
	}
	return 0;
}

static int script_run(struct workbench *w, const char *file, struct err *e)
{
	struct buf text = { 0 };
	char *save = NULL;
	int line = 0, rc = 0;

	if (buf_read_file(&text, file, STATE_MAX, e) < 0)
		return -1;
	/* one at a time: strtok would pass over empty lines, and the number would be wrong */
	for (char *at = text.data; at && rc == 0 && !w->inside->leave; at = save) {
		save = strchr(at, '\n');
		if (save)
			*save++ = '\0';
		line++;
		rc = script_line(w, at, e);
		if (rc < 0)
			err_wrap(e, "%s:%d", file, line);
	}
	buf_release(&text);
	return rc;
}

static int leave(struct workbench *w, const struct workbench_options *o)
{
	struct wb_inside *in = w->inside;
	bool goes_on = wb_host_leave(w, in->leave == LEAVE_QUIT && !o->detach);

	state_save(w);
	ui_close(w->ui);
	w->ui = NULL;
	guard_end(w);
	loop_close(w->loop);
	if (goes_on && in->leave != LEAVE_GONE)
		app_tell("what runs goes on; 'cadforge attach' comes back to it");
	return in->leave == LEAVE_TERM   ? 128 + SIGTERM
	       : in->leave == LEAVE_GONE ? 128 + SIGHUP
	                                 : EXIT_DONE;
}

static void greet(struct workbench *w, const struct workbench_options *o)
{
	const cJSON *ui = cJSON_GetObjectItemCaseSensitive(w->inside->kept, "ui");
	const char *screen = json_string_or(w->inside->kept, "screen", "tasks");
	enum screen_id first = SCREEN_TASKS;
	struct err e = { 0 };

	if (cJSON_IsObject(ui)) {
		struct buf text = { 0 };
		json_print(&text, ui);
		ui_recall(w->ui, buf_str(&text));
		buf_release(&text);
	}
	for (int s = 0; s < N_SCREENS; s++)
		if (screens[s] && strcmp(screen, screen_words[s]) == 0)
			first = (enum screen_id)s;
	wb_host_greet(w, o->attach);
	if (o->attach >= 0)
		first = SCREEN_LIVE;
	if (o->episode > 0) {
		wb_show_episode(w, o->episode, o->turn);
		if (o->play && wb_play(w, o->speed, clock_now_s(), &e) < 0)
			wb_fail(w, &e);
	} else {
		wb_go(w, first);
	}
	if (w->inside->tasks_why[0])
		wb_say(w, MESSAGE_ERROR, "%s", w->inside->tasks_why);
	else if (w->store && store_warning(w->store))
		wb_say(w, MESSAGE_WARN, "%s", store_warning(w->store));
}

int workbench_run(const struct workbench_options *o)
{
	struct workbench w;
	struct loop l = { .signal_fd = -1 };
	struct err e = { 0 };
	int rc = 0;

	if (workbench_open(&w, o, &e) < 0)
		return app_fail(&e);
	w.inside->guard_fd = -1;
	bool terminal = o->ui.in_fd >= 0 && tcgetattr(o->ui.in_fd, &w.inside->before) == 0;
	if (loop_open(&l, &e) < 0 || ui_open(&w.ui, &o->ui, &e) < 0) {
		workbench_close(&w);
		loop_close(&l);
		return app_fail(&e);
	}
	w.loop = &l;
	if (terminal)
		w.inside->guard_fd = guard_start(&w);
	w.inside->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch_store(&w);
	w.inside->tick_wait = -1;
	state_load(&w);
	greet(&w, o);
	/* what was begun there (a playback) wants to go on by itself */
	w.inside->tick_wait = 0;
	w.inside->tick_at = clock_now_s();
	draw(&w);
	if (o->script)
		rc = script_run(&w, o->script, &e);
	else
		while (rc == 0 && !w.inside->leave)
			rc = turn_around(&w, -1, &e);
	if (!w.inside->leave)
		w.inside->leave = LEAVE_QUIT;
	int status = leave(&w, o);
	if (rc < 0)
		status = app_fail(&e);
	workbench_close(&w);
	return status;
}
