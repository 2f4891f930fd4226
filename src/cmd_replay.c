/*
 * cmd_replay.c - an episode as it happened: in the workbench, as text, or as a cast drawn by the
 * workbench itself on a terminal that is not there.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "src/base/clock.h"
#include "src/base/utf8.h"
#include "src/cast.h"
#include "src/cmd_replay.h"
#include "src/db.h"
#include "src/replay.h"
#include "src/show.h"
#include "src/workbench.h"

#define SPEED_LEAST  0.25
#define SPEED_MOST   16.0
#define CAST_FRAME_S 0.05 /* as the workbench has it: twenty a second */
#define CAST_HOLD_S  2.0  /* the end stays so long */

enum { CAST_COLS = 80, CAST_ROWS = 24 };

struct replaying {
	struct db_flags f;
	int64_t episode;
	int turn;
	double speed; /* 0: not given */
	const char *cast, *theme;
	bool plain, ascii;
	int cols, rows;
};

/* ---- as text ---- */

/* Until @at_s of the replay has come, @begun_s after the clock's beginning. False: interrupted. */
static bool wait_for(double at_s, double speed, double begun_s)
{
	while (!app_interrupted()) {
		double left = at_s / speed - (clock_now_s() - begun_s);
		if (left <= 0)
			return true;
		if (left > 0.1)
			left = 0.1;
		struct timespec t = { .tv_sec = 0, .tv_nsec = (long)(left * 1e9) };
		nanosleep(&t, NULL);
	}
	return false;
}

static void print_clock(const struct replay_event *v)
{
	printf("[%7.1f] ", v->at_s);
}

static void print_figures(const struct live *l)
{
	for (int i = 0; i < LIVE_TERMS; i++)
		if (!isnan(l->terms[i]))
			printf("  %s %.3f", store_term_names[i], l->terms[i]);
}

static void print_seconds(struct buf *out, const cJSON *o)
{
	double s = json_number_or(o, "seconds", NAN);

	if (isfinite(s))
		buf_printf(out, ", %.1f s", s);
}

/* One event, after it was folded into @l. @open: text stands on the line that has no end yet. */
static void print_event(const struct replay *r, const struct replay_event *v, size_t text_before,
                        bool *open)
{
	const struct live *l = &r->live;
	const struct live_answer *a = &l->answer[v->member > 0 ? v->member - 1 : 0];
	bool text = strcmp(v->kind, "tokens") == 0, log = strcmp(v->kind, "log") == 0;
	struct buf clean = { 0 };

	if (text || log) {
		const char *p = text ? a->text.data + text_before : v->data;
		size_t n = text ? a->text.len - text_before : v->data ? strlen(v->data) : 0;
		if (n > 0)
			utf8_clean(&clean, p, n);
		if (log && *open)
			putchar('\n');
		fwrite(buf_str(&clean), 1, clean.len, stdout);
		*open = clean.len ? clean.data[clean.len - 1] != '\n' : *open;
		buf_release(&clean);
		return;
	}
	cJSON *o = v->data ? json_parse(v->data, strlen(v->data), NULL) : NULL;
	const char *what = json_string_or(o, "do", "");
	struct buf line = { 0 };
	if (strcmp(v->kind, "decision") == 0 && strcmp(what, "ask") == 0) {
		double parent = json_number_or(o, "parent", NAN);
		buf_printf(&line, "turn %d: ", v->turn);
		if (isnan(parent))
			buf_adds(&line, "a first try");
		else
			buf_printf(&line, "a repair of turn %.0f", parent);
		if (v->member)
			buf_printf(&line, ", member %d of its group", v->member);
	} else if (strcmp(v->kind, "decision") == 0 && strcmp(what, "end") == 0) {
		buf_printf(&line, "the end: %s", json_string_or(o, "why", "not known"));
		if (json_string_or(o, "error", NULL))
			buf_printf(&line, " (%s)", json_string_or(o, "error", ""));
	} else if (strcmp(v->kind, "prompt") == 0) {
		buf_printf(&line, "prompt: %.0f bytes", json_number_or(o, "bytes", 0));
	} else if (strcmp(v->kind, "completion") == 0) {
		buf_printf(&line, "answer: %.0f bytes, %s", json_number_or(o, "bytes", 0),
		           json_string_or(o, "finish", "?"));
		print_seconds(&line, o);
	} else if (strcmp(v->kind, "build") == 0) {
		buf_printf(
			&line, "build: %s",
			json_bool_or(o, "ok", false)
				? "ok"
				: json_string_or(o, "error", json_string_or(o, "cause", "failed")));
		print_seconds(&line, o);
	} else if (strcmp(v->kind, "turn") == 0 && v->made) {
		buf_printf(&line, "turn %d stored: total ", v->turn);
		if (isnan(a->total))
			buf_adds(&line, "-");
		else
			buf_printf(&line, "%.4f", a->total);
	}
	cJSON_Delete(o);
	if (line.len > 0) {
		if (*open)
			putchar('\n');
		*open = false;
		print_clock(v);
		db_print_line(stdout, buf_str(&line));
		if (strcmp(v->kind, "turn") == 0)
			print_figures(l);
		putchar('\n');
	}
	buf_release(&line);
}

static void print_event_json(const struct replay_event *v)
{
	cJSON *o = cJSON_CreateObject();
	bool text = strcmp(v->kind, "tokens") == 0 || strcmp(v->kind, "log") == 0;
	cJSON *data = v->data && !text ? json_parse(v->data, strlen(v->data), NULL) : NULL;

	json_add_figure(o, "at", v->at_s);
	json_add_figure(o, "turn", v->turn ? v->turn : NAN);
	json_add_figure(o, "member", v->member ? v->member : NAN);
	json_add_text(o, "kind", v->kind);
	if (data)
		cJSON_AddItemToObject(o, "data", data);
	else
		json_add_text(o, "data", v->data);
	show_json_line(o);
	cJSON_Delete(o);
}

static int as_text(const struct replaying *p, struct err *e)
{
	struct store *s = db_open(&p->f, STORE_READ, e);
	struct replay *r = s ? replay_open(s, p->episode, e) : NULL;
	bool paced = p->speed > 0 || (isatty(STDOUT_FILENO) && !p->f.app.json), open = false;
	double begun = clock_now_s(), from = 0;
	int rc = r ? 0 : -1;

	if (r && p->turn) {
		if ((rc = replay_seek_turn(r, p->turn, e)) == 0)
			rc = replay_step(r, -1, e);
		from = r->at_s;
	}
	if (rc == 0 && r->n == 0 && !p->f.app.quiet)
		fputs("nothing has happened in it yet\n", stderr);
	for (int i = r ? r->done : 0; rc == 0 && i < r->n; i++) {
		const struct replay_event *v = &r->event[i];
		const struct live_answer *a = &r->live.answer[v->member > 0 ? v->member - 1 : 0];
		size_t before = a->text.len;
		/* an answer begins anew with its round */
		if (r->live.turn != v->turn)
			before = 0;
		if (p->turn && v->turn != p->turn && v->at_s > from)
			continue;
		if (paced && !wait_for(v->at_s - from, p->speed > 0 ? p->speed : 1, begun))
			break;
		if (app_interrupted() || ferror(stdout))
			break;
		if (p->f.app.json) {
			if (!v->made)
				print_event_json(v);
			continue;
		}
		if ((rc = replay_step(r, i + 1 - r->done, e)) == 0)
			print_event(r, v, before <= a->text.len ? before : 0, &open);
		if (paced)
			fflush(stdout);
	}
	if (open)
		putchar('\n');
	replay_close(r);
	store_close(s);
	return rc;
}

/* ---- as a cast ---- */

/* What was written to @fd since @from. */
static int read_new(int fd, off_t from, struct buf *out, struct err *e)
{
	char part[65536];
	ssize_t n;

	buf_clear(out);
	while ((n = pread(fd, part, sizeof(part), from)) > 0) {
		buf_add(out, part, (size_t)n);
		from += n;
	}
	if (n < 0)
		return err_errno(e, ERR_IO, "reading a frame");
	return buf_failed(out) ? err_set(e, ERR_MEM, "no memory for a frame") : 0;
}

static int draw_cast(const struct replaying *p, struct workbench *w, int fd, struct cast *c,
                     struct err *e)
{
	double speed = p->speed > 0 ? p->speed : 1, now = clock_now_s(), at = 0, next;
	struct buf bytes = { 0 };
	off_t from = 0;
	int rc = 0;

	wb_show_episode(w, p->episode, p->turn);
	if (wb_play(w, speed, now, e) < 0)
		return -1;
	do {
		ui_draw(w->ui, workbench_view(w), now + at);
		if ((rc = read_new(fd, from, &bytes, e)) < 0 ||
		    (rc = cast_add(c, at, buf_str(&bytes), bytes.len, e)) < 0)
			break;
		from += (off_t)bytes.len;
		next = workbench_tick(w, now + at);
		at += next > CAST_FRAME_S ? next : CAST_FRAME_S;
		if (app_interrupted())
			rc = err_set(e, ERR_CANCELLED, "interrupted; nothing was written");
	} while (rc == 0 && next >= 0);
	if (rc == 0) {
		/* the end, and a moment to look at it */
		ui_draw(w->ui, workbench_view(w), now + at);
		if ((rc = read_new(fd, from, &bytes, e)) == 0 &&
		    (rc = cast_add(c, at, buf_str(&bytes), bytes.len, e)) == 0)
			rc = cast_add(c, at + CAST_HOLD_S, "\x1b[0m", 4, e);
	}
	buf_release(&bytes);
	return rc;
}

static int keep_begun(void *ctx, const struct store_episode *x)
{
	*(int64_t *)ctx = x->created_us;
	return 0;
}

static int as_cast(const struct replaying *p, struct err *e)
{
	struct model_flags model;
	struct workbench w;
	struct workbench_options o = {
		.app = &p->f.app,
		.model = &model,
		.db = p->f.db,
		.attach = -1,
		.ui = { .term = "xterm-256color",
		        .in_fd = -1,
		        .cols = p->cols,
		        .rows = p->rows,
		        .ascii = p->ascii ? 1 : -1,
		        .theme = p->theme ? p->theme : "dark",
		        .screen = SCREEN_REPLAY },
	};
	bool out = strcmp(p->cast, "-") == 0;
	const char *name = out ? "standard output" : p->cast;
	struct store *s = db_open(&p->f, STORE_READ, e);
	int64_t begun = 0;
	char title[200], *text = NULL;
	size_t len = 0;
	struct cast c;
	int rc = -1, fd = -1;
	FILE *screen = NULL, *lines = NULL;

	if (!s)
		return -1;
	/* an episode that is not there is told before anything is drawn */
	rc = store_episode(s, p->episode, keep_begun, &begun, e);
	store_close(s);
	if (rc < 0)
		return -1;
	model_flags_init(&model);
	if ((rc = workbench_open(&w, &o, e)) < 0)
		return -1;
	fd = memfd_create("cast", MFD_CLOEXEC);
	screen = fd >= 0 ? fdopen(fd, "w+") : NULL;
	/* the file gets its name once it is whole */
	lines = out ? stdout : open_memstream(&text, &len);
	if (!screen || !lines) {
		rc = err_errno(e, ERR_IO, "%s", name);
		goto done;
	}
	o.ui.out = screen;
	snprintf(title, sizeof(title), "cadforge: episode %" PRId64, p->episode);
	if ((rc = ui_open(&w.ui, &o.ui, e)) == 0 &&
	    (rc = cast_begin(&c, lines, name, p->cols, p->rows, begun, title, o.ui.term, e)) == 0)
		rc = draw_cast(p, &w, fd, &c, e);
	if (rc == 0 && fflush(lines) != 0)
		rc = err_errno(e, ERR_IO, "%s: writing", name);
	if (rc == 0 && !out)
		rc = file_write_atomic(p->cast, text, len, e);
	if (rc == 0 && !out && !p->f.app.quiet)
		fprintf(stderr, "%s: %ld frames, %.1f s\n", name, c.events, c.last_s);
done:
	ui_close(w.ui);
	w.ui = NULL;
	workbench_close(&w);
	if (screen)
		fclose(screen);
	else if (fd >= 0)
		close(fd);
	if (lines && !out)
		fclose(lines);
	free(text);
	return rc;
}

int replay_write_cast(const struct db_flags *f, int64_t episode, int turn, const char *file,
                      struct err *e)
{
	const struct replaying p = { .f = *f,
		                     .episode = episode,
		                     .turn = turn,
		                     .cast = file,
		                     .cols = CAST_COLS,
		                     .rows = CAST_ROWS };

	return as_cast(&p, e);
}

/* ---- the verb ---- */

static int in_workbench(const struct replaying *p)
{
	struct model_flags model;
	struct workbench_options o = {
		.app = &p->f.app,
		.model = &model,
		.db = p->f.db,
		.attach = -1,
		.episode = p->episode,
		.turn = p->turn,
		.play = true,
		.speed = p->speed,
		.ui = { .in_fd = STDIN_FILENO,
		        .ascii = p->ascii ? 1 : -1,
		        .theme = p->theme,
		        .screen = SCREEN_REPLAY },
	};

	model_flags_init(&model);
	return workbench_run(&o);
}

static int run(const struct cmd *self, int argc, char **argv)
{
	enum { SPEED = DB_FLAGS_END, CAST, PLAIN, SIZE, ASCII, THEME };
	static const struct option options[] = { DB_LONG_OPTIONS,
		                                 { "speed", required_argument, NULL, SPEED },
		                                 { "cast", required_argument, NULL, CAST },
		                                 { "plain", no_argument, NULL, PLAIN },
		                                 { "size", required_argument, NULL, SIZE },
		                                 { "ascii", no_argument, NULL, ASCII },
		                                 { "theme", required_argument, NULL, THEME },
		                                 { NULL, 0, NULL, 0 } };
	struct replaying p = { .cols = CAST_COLS, .rows = CAST_ROWS };
	struct err e = { 0 };
	bool sized = false;
	char end;
	int opt, rc;

	db_flags_init(&p.f);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = db_flag(&p.f, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		switch (opt) {
		case SPEED:
			if (app_number("--speed", optarg, SPEED_LEAST, SPEED_MOST, &p.speed) < 0)
				return EXIT_USAGE;
			break;
		case CAST:
			p.cast = optarg;
			break;
		case PLAIN:
			p.plain = true;
			break;
		case SIZE:
			if (sscanf(optarg, "%dx%d%c", &p.cols, &p.rows, &end) != 2 || p.cols < 20 ||
			    p.cols > 500 || p.rows < 5 || p.rows > 200)
				return app_usage(self,
				                 "--size: COLUMNSxROWS from 20x5 to 500x200 was "
				                 "expected, got '%.40s'",
				                 optarg);
			sized = true;
			break;
		case ASCII:
			p.ascii = true;
			break;
		case THEME:
			p.theme = optarg;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (argc - optind != 1)
		return app_usage(self, "one episode (12) or turn (12.3) is expected, got %d",
		                 argc - optind);
	if (store_parse_ref(argv[optind], &p.episode, &p.turn, &e) < 0)
		return app_fail(&e);
	if (p.cast && (p.plain || p.f.app.json))
		return app_usage(self, "--cast draws; --plain and --json print: one of them");
	if (!p.cast && sized)
		return app_usage(self, "--size is that of a cast: --cast FILE is missing");
	app_find(&p.f.app);
	if (!p.cast && !p.plain && !p.f.app.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return in_workbench(&p);
	app_catch_interrupt();
	rc = p.cast ? as_cast(&p, &e) : as_text(&p, &e);
	if (rc < 0)
		return app_fail(&e);
	return app_interrupted() ? EXIT_INTERRUPTED : EXIT_DONE;
}

const struct cmd cmd_replay = {
	.name = "replay",
	.usage = "replay EP[.T] [--speed X] [--plain] [--cast FILE]",
	.summary = "an episode as it happened: in the workbench, as text, as a cast",
	.help = "  EP, EP.T          from its beginning, or from that turn on (as text: that turn)\n"
		"  --speed X         0.25 to 16 times as fast (1; text into a file or pipe: at once)\n"
		"  --plain           as text, also on a terminal\n"
		"  --cast FILE       as an asciicast (version 2) of the workbench; - is standard output\n"
		"  --size COLSxROWS  of the cast (80x24)\n"
		"  --ascii, --theme dark|light|mono\n"
		"                    how the workbench is drawn\n" DB_HELP
		"\nPauses between turns are shortened to a second. JSON: {at, turn, member, kind, "
		"data} an event.\n",
	.run = run,
};
