/*
 * term.c - curses on a file in memory, the terminal's modes, and keys.
 *
 * Curses writes to a memfd instead of the terminal. So its bytes can be counted, a frame goes out
 * in one piece, any stream can be a terminal (a cast, a test), and a line that is slow is waited
 * for outside: the pending bytes are sent when the terminal takes them and no frame is composed
 * meanwhile. The price is that terminal modes and sizes are set and asked here and not by curses.
 */
#include "ui/term.h"

/* curses.h has names of its own for half of the dictionary */
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include <nettle/base64.h>

#include "ui/terminfo.h"

/* terminfo's strings, from term.h, which defines more of the dictionary */
extern char *tigetstr(const char *);
extern int tigetflag(const char *);

enum {
	KEY_PASTE_BEGIN = KEY_MAX + 1,
	KEY_PASTE_END,
	KEY_FOCUS_EVENT,
	PASTE_MAX = 1 << 20,
	COPY_MAX = 74994 /* bytes; xterm takes 100,000 of base64 */
};

struct term {
	char name[64];
	FILE *stream;      /* where it goes when it has no descriptor */
	int out_fd, in_fd; /* -1: none */
	int tty_fd;        /* our own description of out_fd, which does not block; -1: none */
	int mem_fd;
	FILE *mem, *keys;
	SCREEN *screen;
	WINDOW *pad; /* reading keys from a pad draws nothing */
	bool raw, mouse, clever, suspended, pasting, gone;
	struct termios saved;
	struct buf pending;
	enum tier tier;
	bool utf8;
	int cols, rows;
	struct canvas shown;
	enum theme theme;
	int cursor_x, cursor_y;
	bool all; /* nothing of what is on the screen is known */
	int pairs[N_ROLES];
	char palette[16];  /* terminfo's orig_colors; "" */
	char restore[256]; /* what term_restore() writes */
	size_t restore_len;
};

/* ---- bytes out ---- */

/* Curses resets the palette when it begins and ends. We never change it, and what the user made of
 * it must stay. */
static size_t without_palette(const struct term *t, char *bytes, size_t n)
{
	size_t len = strlen(t->palette);
	char *at;

	while (len > 0 && (at = memmem(bytes, n, t->palette, len))) {
		memmove(at, at + len, (size_t)(bytes + n - at) - len);
		n -= len;
	}
	return n;
}

/* Moves what curses wrote to the pending bytes. */
static size_t drain(struct term *t)
{
	off_t n = lseek(t->mem_fd, 0, SEEK_CUR);
	char *room;

	if (n <= 0)
		return 0;
	room = buf_room(&t->pending, (size_t)n);
	if (room && pread(t->mem_fd, room, (size_t)n, 0) == n)
		buf_grew(&t->pending, (size_t)(n = (off_t)without_palette(t, room, (size_t)n)));
	if (ftruncate(t->mem_fd, 0) == 0)
		lseek(t->mem_fd, 0, SEEK_SET);
	return (size_t)n;
}

bool term_busy(struct term *t)
{
	int fd = t->tty_fd >= 0 ? t->tty_fd : t->out_fd;

	if (t->pending.len == 0)
		return false;
	if (fd < 0) {
		fwrite(t->pending.data, 1, t->pending.len, t->stream);
		fflush(t->stream);
		buf_clear(&t->pending);
		return false;
	}
	while (t->pending.len > 0) {
		ssize_t n = write(fd, t->pending.data, t->pending.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) { /* the line is down: there is nobody to send it to */
			t->gone = true;
			buf_clear(&t->pending);
			return false;
		}
		buf_consume(&t->pending, (size_t)n);
	}
	return false;
}

/* Waits until all is sent, but not for ever. */
static void flush(struct term *t)
{
	for (int i = 0; i < 20 && term_busy(t); i++) {
		struct pollfd p = { .fd = t->tty_fd, .events = POLLOUT };
		poll(&p, 1, 100);
	}
}

void term_send(struct term *t, const void *data, size_t len)
{
	set_term(t->screen);
	drain(t);
	buf_add(&t->pending, data, len);
	term_busy(t);
}

static void send_text(struct term *t, const char *text)
{
	term_send(t, text, strlen(text));
}

bool term_copy(struct term *t, const char *text, size_t len)
{
	char *code;

	if (!t->clever || len > COPY_MAX)
		return false;
	code = malloc(BASE64_ENCODE_RAW_LENGTH(len) + 1);
	if (!code)
		return false;
	base64_encode_raw(code, len, (const uint8_t *)text);
	send_text(t, "\033]52;c;");
	term_send(t, code, BASE64_ENCODE_RAW_LENGTH(len));
	send_text(t, "\a");
	free(code);
	return true;
}

/* ---- set-up and giving back ---- */

static void set_raw(struct term *t)
{
	struct termios now = t->saved;

	if (!t->raw)
		return;
	now.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
	now.c_oflag &= ~(tcflag_t)OPOST;
	now.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
	now.c_cc[VMIN] = 1;
	now.c_cc[VTIME] = 0;
	tcsetattr(t->in_fd, TCSADRAIN, &now);
}

static void restore_add(struct term *t, const char *text)
{
	size_t n;

	if (!text || text == (char *)-1)
		return;
	/* without the padding that tputs() would make pauses of: "$<50>" */
	for (; *text; text += n) {
		n = 1;
		if (text[0] == '$' && text[1] == '<' && strchr(text, '>')) {
			n = (size_t)(strchr(text, '>') - text) + 1;
			continue;
		}
		if (t->restore_len < sizeof(t->restore))
			t->restore[t->restore_len++] = *text;
	}
}

static void prepare_restore(struct term *t)
{
	if (t->clever) {
		restore_add(t, "\033[?2004l");
		restore_add(t, "\033[?1000l\033[?1002l\033[?1006l");
	}
	restore_add(t, tigetstr("rmkx"));
	restore_add(t, tigetstr("op"));
	restore_add(t, tigetstr("sgr0"));
	restore_add(t, tigetstr("cnorm"));
	restore_add(t, tigetstr("rmcup"));
	restore_add(t, "\r");
}

static bool known(const char *capability)
{
	const char *text = tigetstr(capability);

	return text && text != (char *)-1;
}

/* A name that terminfo here knows. A terminal whose name came over SSH from a newer machine is
 * most often one that takes xterm's sequences. */
static SCREEN *open_screen(struct term *t, const char *name)
{
	const char *tries[4] = { name, NULL };
	int n = 1;

	if (!name || !*name) {
		tries[0] = "vt100"; /* what every terminal takes */
	} else {
		if (strstr(name, "256color") || strstr(name, "direct") || strstr(name, "kitty") ||
		    strstr(name, "ghostty") || strstr(name, "alacritty") || strstr(name, "foot"))
			tries[n++] = "xterm-256color";
		else if (strstr(name, "xterm"))
			tries[n++] = "xterm";
		tries[n++] = "vt100";
	}
	for (int i = 0; i < n; i++) {
		enum terminfo can = terminfo_look(tries[i]);
		/* one that is known and cannot do it is not to be taken for another */
		if (can == TERMINFO_POOR)
			return NULL;
		if (can == TERMINFO_UNKNOWN)
			continue;
		snprintf(t->name, sizeof(t->name), "%s", tries[i]);
		return newterm(tries[i], t->mem, t->keys);
	}
	return NULL;
}

static void ask_size(const struct term *t, int *cols, int *rows)
{
	struct winsize w;
	int fd = t->out_fd >= 0 ? t->out_fd : t->in_fd;

	*cols = 80;
	*rows = 24;
	if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
		*cols = w.ws_col;
		*rows = w.ws_row;
	}
}

static void release(struct term *t)
{
	if (t->pad)
		delwin(t->pad);
	if (t->screen)
		delscreen(t->screen);
	if (t->mem)
		fclose(t->mem); /* mem_fd with it */
	else if (t->mem_fd >= 0)
		close(t->mem_fd);
	if (t->keys)
		fclose(t->keys);
	if (t->tty_fd >= 0)
		close(t->tty_fd);
	cells_release(&t->shown);
	buf_release(&t->pending);
	free(t);
}

static void keys_known(void)
{
	static const struct {
		const char *bytes;
		int key;
	} more[] = { { "\033[200~", KEY_PASTE_BEGIN },
		     { "\033[201~", KEY_PASTE_END },
		     { "\033[I", KEY_FOCUS_EVENT },
		     { "\033[O", KEY_FOCUS_EVENT },
		     { "\033[A", KEY_UP },
		     { "\033[B", KEY_DOWN },
		     { "\033[C", KEY_RIGHT },
		     { "\033[D", KEY_LEFT },
		     { "\033OA", KEY_UP },
		     { "\033OB", KEY_DOWN },
		     { "\033OC", KEY_RIGHT },
		     { "\033OD", KEY_LEFT },
		     { "\033[H", KEY_HOME },
		     { "\033[F", KEY_END },
		     { "\033OH", KEY_HOME },
		     { "\033OF", KEY_END },
		     { "\033[1~", KEY_HOME },
		     { "\033[4~", KEY_END },
		     { "\033[3~", KEY_DC },
		     { "\033[5~", KEY_PPAGE },
		     { "\033[6~", KEY_NPAGE },
		     { "\033[Z", KEY_BTAB } };

	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++)
		if (key_defined(more[i].bytes) <= 0)
			define_key(more[i].bytes, more[i].key);
}

/* Everything that the terminal has to be told besides what curses tells it. */
static void modes_on(struct term *t)
{
	/* curses does this only where the terminal is its own file */
	if (known("smkx"))
		send_text(t, tigetstr("smkx"));
	if (t->clever)
		send_text(t, "\033[?2004h");
	term_mouse(t, t->mouse);
}

int term_open(struct term **out, const char *name, FILE *stream, int in_fd, int cols, int rows,
              bool mouse, struct err *e)
{
	struct term *t = calloc(1, sizeof(*t));
	char path[40];

	if (!t)
		return err_set(e, ERR_MEM, "no memory for the terminal");
	t->stream = stream;
	t->out_fd = fileno(stream);
	t->in_fd = in_fd;
	t->tty_fd = t->mem_fd = -1;
	t->cursor_x = t->cursor_y = -1;
	t->all = true;
	t->mouse = mouse;
	t->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	t->mem_fd = memfd_create("cadforge-screen", MFD_CLOEXEC);
	t->mem = t->mem_fd >= 0 ? fdopen(t->mem_fd, "w") : NULL;
	if (in_fd >= 0) {
		int own = fcntl(in_fd, F_DUPFD_CLOEXEC, 3);
		t->keys = own >= 0 ? fdopen(own, "r") : NULL;
	} else {
		t->keys = fopen("/dev/null", "re");
	}
	if (!t->mem || !t->keys) {
		err_errno(e, ERR_IO, "the screen's memory");
		release(t);
		return -1;
	}
	/* an Escape by itself is one at once, as far as a slow line lets us tell */
	if (!getenv("ESCDELAY"))
		set_escdelay(25);
	if (!name)
		name = getenv("TERM");
	t->screen = open_screen(t, name);
	if (!t->screen) {
		err_set(e, ERR_LACKS,
		        "the terminal '%s' cannot move its cursor, which the workbench needs: set "
		        "TERM to what it is (TERM=xterm-256color, for most), or use the verbs, "
		        "which need no terminal (cadforge --help)",
		        name ? name : "");
		release(t);
		return -1;
	}
	t->clever = known("kmous");
	if (has_colors() && !getenv("NO_COLOR") && start_color() == OK &&
	    use_default_colors() == OK)
		t->tier = COLORS > 256    ? TIER_DIRECT
		          : COLORS >= 256 ? TIER_256
		          : COLORS >= 8   ? TIER_8
		                          : TIER_NONE;
	if (known("oc"))
		snprintf(t->palette, sizeof(t->palette), "%s", tigetstr("oc"));
	t->pad = newpad(1, 1);
	nonl();
	keypad(t->pad, TRUE);
	nodelay(t->pad, TRUE);
	keys_known();
	leaveok(stdscr, TRUE);
	curs_set(0);
	prepare_restore(t);
	if (t->out_fd >= 0 && isatty(t->out_fd)) {
		/* the description that we were given is shared with the shell: it must not be
		 * made non-blocking */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", t->out_fd);
		t->tty_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (in_fd >= 0 && isatty(in_fd) && tcgetattr(in_fd, &t->saved) == 0)
		t->raw = true;
	set_raw(t);
	if (cols > 0 && rows > 0) {
		t->cols = cols;
		t->rows = rows;
	} else {
		ask_size(t, &t->cols, &t->rows);
	}
	resize_term(t->rows, t->cols);
	/* what curses has written so far is for 80x24, the scrolling region above all; it begins
	 * anew with the first frame */
	endwin();
	drain(t);
	buf_clear(&t->pending);
	modes_on(t);
	*out = t;
	return 0;
}

void term_suspend(struct term *t)
{
	if (t->suspended)
		return;
	set_term(t->screen);
	term_mouse(t, false);
	if (t->clever)
		send_text(t, "\033[?2004l");
	if (!known("rmcup") && !t->all) {
		/* no other screen lies under this one */
		erase();
		wnoutrefresh(stdscr);
		doupdate();
	}
	endwin();
	drain(t);
	flush(t);
	if (t->raw)
		tcsetattr(t->in_fd, TCSADRAIN, &t->saved);
	t->suspended = true;
}

void term_resume(struct term *t)
{
	if (!t->suspended)
		return;
	set_term(t->screen);
	/* what it was may have changed meanwhile: ours are set upon what is there now */
	if (t->raw)
		tcgetattr(t->in_fd, &t->saved);
	set_raw(t);
	t->suspended = false;
	term_redraw(t);
	modes_on(t);
}

void term_close(struct term *t)
{
	if (!t)
		return;
	set_term(t->screen);
	if (t->gone) {
		if (t->raw)
			tcsetattr(t->in_fd, TCSANOW, &t->saved);
	} else {
		term_suspend(t);
	}
	release(t);
}

void term_restore(const struct term *t)
{
	size_t at = 0;

	if (!t || t->suspended)
		return;
	while (at < t->restore_len && t->out_fd >= 0) {
		int fd = t->tty_fd >= 0 ? t->tty_fd : t->out_fd;
		ssize_t n = write(fd, t->restore + at, t->restore_len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };
			if (poll(&p, 1, 500) > 0)
				continue;
		}
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (t->raw)
		tcsetattr(t->in_fd, TCSANOW, &t->saved);
}

/* ---- facts ---- */

enum tier term_tier(const struct term *t)
{
	return t->tier;
}

bool term_utf8(const struct term *t)
{
	return t->utf8;
}

const char *term_name(const struct term *t)
{
	return t->name;
}

int term_fd(const struct term *t)
{
	return t->in_fd;
}

void term_size(const struct term *t, int *cols, int *rows)
{
	*cols = t->cols;
	*rows = t->rows;
}

void term_cell_px(const struct term *t, int *w, int *h)
{
	struct winsize s;

	*w = *h = 0;
	if (t->out_fd >= 0 && ioctl(t->out_fd, TIOCGWINSZ, &s) == 0 && s.ws_col > 0 &&
	    s.ws_row > 0) {
		*w = s.ws_xpixel / s.ws_col;
		*h = s.ws_ypixel / s.ws_row;
	}
}

bool term_resize(struct term *t, int cols, int rows)
{
	if (cols <= 0 || rows <= 0)
		ask_size(t, &cols, &rows);
	if (cols == t->cols && rows == t->rows)
		return false;
	set_term(t->screen);
	t->cols = cols;
	t->rows = rows;
	resize_term(rows, cols);
	term_redraw(t);
	return true;
}

/* ---- a frame ---- */

void term_redraw(struct term *t)
{
	set_term(t->screen);
	clearok(curscr, TRUE);
	t->all = true;
}

/* The pair for a colour of text or of a picture; made when it is first wanted. */
static int pair_of(const struct term *t, int32_t fg, int32_t bg)
{
	int pair;

	if ((fg < 0 && bg < 0) || t->tier == TIER_NONE)
		return 0;
	pair = alloc_pair(fg, bg);
	return pair < 0 ? 0 : pair;
}

static int32_t pixel_color(const struct term *t, uint32_t rgb)
{
	if (rgb == CELL_DEFAULT || t->tier < TIER_256)
		return -1;
	/* 0 to 7 are the palette's names even where colours are direct */
	return t->tier == TIER_DIRECT ? (int32_t)(rgb < 8 ? 0x080808 : rgb) : color_nearest(rgb);
}

static bool same(const struct cell *a, const struct cell *b)
{
	return a->ch[0] == b->ch[0] && a->ch[1] == b->ch[1] && a->ch[2] == b->ch[2] &&
	       a->role == b->role && a->reverse == b->reverse && a->pixel == b->pixel &&
	       (!a->pixel || (a->fg == b->fg && a->bg == b->bg));
}

/* What of a cell's characters curses will count as we do: its widths are the C library's. */
static void cell_text(const struct cell *a, bool wide, wchar_t text[4])
{
	int n = 0;

	text[n++] = (wchar_t)a->ch[0];
	if (wcwidth(text[0]) != (wide ? 2 : 1))
		text[0] = wide ? L'\uff1f' : L'?';
	for (int i = 1; i < 3; i++)
		if (a->ch[i] && wcwidth((wchar_t)a->ch[i]) == 0)
			text[n++] = (wchar_t)a->ch[i];
	text[n] = L'\0';
}

static void put_cell(struct term *t, const struct canvas *c, int x, int y)
{
	const struct cell *a = &c->cells[y * c->w + x];
	bool wide = x + 1 < c->w && a[1].ch[0] == 0;
	struct look look = { .fg = -1 };
	attr_t attr = A_NORMAL;
	wchar_t text[4];
	cchar_t cc;
	int pair;

	if (a->ch[0] == 0)
		return;
	if (a->pixel) {
		pair = pair_of(t, pixel_color(t, a->fg), pixel_color(t, a->bg));
	} else {
		look = theme_look(t->theme, t->tier, a->role);
		/* blanks have no colour of their own: no bytes for it */
		if (a->ch[0] == ' ' && !a->reverse && !look.reverse && !look.underline)
			look.fg = -1, look.bold = false;
		pair = t->pairs[a->role];
		if (look.fg < 0)
			pair = 0;
		else if (pair == 0)
			pair = t->pairs[a->role] = pair_of(t, look.fg, -1);
	}
	if (look.bold)
		attr |= A_BOLD;
	if (look.underline)
		attr |= A_UNDERLINE;
	if (look.reverse || a->reverse)
		attr |= A_REVERSE;
	cell_text(a, wide, text);
	setcchar(&cc, text, attr, 0, &pair);
	mvadd_wch(y, x, &cc);
}

/* A row with a wide character on either side is given whole: curses blanks the other half of one
 * that is written over. */
static bool has_wide(const struct cell *row, int w)
{
	for (int x = 0; x < w; x++)
		if (row[x].ch[0] == 0)
			return true;
	return false;
}

size_t term_draw(struct term *t, const struct canvas *c, enum theme theme, int x, int y)
{
	bool changed = t->all;
	size_t bytes;

	if (t->suspended || c->w != t->cols || c->h != t->rows || term_busy(t))
		return 0;
	set_term(t->screen);
	if (t->shown.w != c->w || t->shown.h != c->h || theme != t->theme)
		t->all = true;
	if (theme != t->theme)
		memset(t->pairs, 0, sizeof(t->pairs));
	t->theme = theme;
	if (t->all && (t->shown.w != c->w || t->shown.h != c->h) &&
	    cells_size(&t->shown, c->w, c->h) < 0)
		return 0;
	for (int row = 0; row < c->h; row++) {
		const struct cell *now = &c->cells[row * c->w];
		struct cell *was = &t->shown.cells[row * c->w];
		bool whole = t->all;
		if (!whole && (has_wide(now, c->w) || has_wide(was, c->w)))
			for (int k = 0; k < c->w && !whole; k++)
				whole = !same(&now[k], &was[k]);
		for (int k = 0; k < c->w; k++)
			if (whole || !same(&now[k], &was[k])) {
				put_cell(t, c, k, row);
				was[k] = now[k];
				changed = true;
			}
	}
	if (x != t->cursor_x || y != t->cursor_y) {
		changed = true;
		if ((x < 0) != (t->cursor_x < 0)) {
			curs_set(x >= 0);
			leaveok(stdscr, x < 0);
		}
		t->cursor_x = x;
		t->cursor_y = y;
	}
	if (!changed)
		return 0;
	t->all = false;
	if (x >= 0)
		move(y, x);
	wnoutrefresh(stdscr);
	doupdate();
	bytes = drain(t);
	term_busy(t);
	return bytes;
}

void term_mouse(struct term *t, bool on)
{
	if (!t->clever)
		return;
	set_term(t->screen);
	if (on)
		mousemask(BUTTON1_CLICKED | BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED,
		          NULL);
	else
		mousemask(0, NULL);
	mouseinterval(0);
	drain(t);
	term_busy(t);
}

/* ---- keys ---- */

static uint32_t special(wint_t c)
{
	static const struct {
		int curses;
		uint32_t ours;
	} names[] = { { KEY_UP, KEYS_UP },
		      { KEY_DOWN, KEYS_DOWN },
		      { KEY_LEFT, KEYS_LEFT },
		      { KEY_RIGHT, KEYS_RIGHT },
		      { KEY_HOME, KEYS_HOME },
		      { KEY_A1, KEYS_HOME },
		      { KEY_FIND, KEYS_HOME },
		      { KEY_END, KEYS_END },
		      { KEY_C1, KEYS_END },
		      { KEY_SELECT, KEYS_END },
		      { KEY_PPAGE, KEYS_PAGE_UP },
		      { KEY_A3, KEYS_PAGE_UP },
		      { KEY_NPAGE, KEYS_PAGE_DOWN },
		      { KEY_C3, KEYS_PAGE_DOWN },
		      { KEY_ENTER, KEYS_ENTER },
		      { KEY_BTAB, KEYS_BACKTAB },
		      { KEY_BACKSPACE, KEYS_BACKSPACE },
		      { KEY_DC, KEYS_DELETE } };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if ((wint_t)names[i].curses == c)
			return names[i].ours;
	return 0;
}

static void plain(wint_t c, struct key *k)
{
	*k = (struct key){ .code = c };
	switch (c) {
	case '\r':
	case '\n':
		k->code = KEYS_ENTER;
		return;
	case '\t':
		k->code = KEYS_TAB;
		return;
	case 27:
		k->code = KEYS_ESC;
		return;
	case 8:
	case 127:
		k->code = KEYS_BACKSPACE;
		return;
	default:
		break;
	}
	if (c < 32) {
		k->code = c == 0 ? ' ' : c < 27 ? c + 'a' - 1 : c + 64;
		k->ctrl = true;
	}
}

/* Is the other end still there? */
static bool alive(const struct term *t)
{
	struct pollfd p = { .fd = t->in_fd, .events = POLLIN };
	int n = 0;

	if (t->gone)
		return false;
	if (t->in_fd < 0 || poll(&p, 1, 0) <= 0)
		return true;
	if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
		return false;
	/* readable, and yet there is nothing: the end of it. What is there came just now */
	return !(p.revents & POLLIN) || (ioctl(t->in_fd, FIONREAD, &n) == 0 && n > 0);
}

static void paste_add(struct buf *paste, wint_t c)
{
	char unit[4];
	int n = 0;

	if (paste->len + 4 > PASTE_MAX)
		return;
	if (c == '\r')
		c = '\n';
	if (c < 0x80) {
		unit[n++] = (char)c;
	} else if (c < 0x800) {
		unit[n++] = (char)(0xc0 | c >> 6);
		unit[n++] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		unit[n++] = (char)(0xe0 | c >> 12);
		unit[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		unit[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		unit[n++] = (char)(0xf0 | c >> 18);
		unit[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		unit[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		unit[n++] = (char)(0x80 | (c & 0x3f));
	}
	buf_add(paste, unit, (size_t)n);
}

int term_key(struct term *t, struct key *k, struct buf *paste, int *x, int *y, int *wheel)
{
	if (t->in_fd < 0 || t->suspended)
		return 0;
	set_term(t->screen);
	for (int ignored = 0; ignored < 4096;) {
		wint_t c;
		int got = wget_wch(t->pad, &c);
		uint32_t ours;
		if (got == ERR)
			return alive(t) ? 0 : -1;
		if (got == KEY_CODE_YES && c == KEY_PASTE_BEGIN) {
			t->pasting = true;
			buf_clear(paste);
			continue;
		}
		if (got == KEY_CODE_YES && c == KEY_PASTE_END) {
			if (!t->pasting)
				continue;
			t->pasting = false;
			*k = (struct key){ .code = KEYS_PASTE };
			return 1;
		}
		if (t->pasting && got == OK && c == 3)
			t->pasting = false; /* ^C gets out of a paste whose end was lost */
		if (t->pasting) {
			if (got == OK)
				paste_add(paste, c);
			continue;
		}
		if (got == KEY_CODE_YES && c == KEY_MOUSE) {
			MEVENT event;
			if (getmouse(&event) != OK)
				continue;
			*x = event.x;
			*y = event.y;
			*wheel = event.bstate & BUTTON4_PRESSED   ? -1
			         : event.bstate & BUTTON5_PRESSED ? 1
			                                          : 0;
			*k = (struct key){ .code = KEYS_MOUSE };
			return 1;
		}
		if (got == KEY_CODE_YES) {
			ours = special(c);
			ignored++;
			if (!ours)
				continue;
			*k = (struct key){ .code = ours };
			return 1;
		}
		plain(c, k);
		return 1;
	}
	return 0;
}
