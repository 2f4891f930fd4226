/* The workbench's frame: screens, keys, what goes to the terminal. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include "tests/ui.h"
#include "tests/ui_frame.h"
#include "ui/draw.h"
#include "ui/keymap.h"
#include "ui/prompt.h"
#include "ui/screen.h"
#include "ui/theme.h"

struct shot {
	const char *name, *term;
	int cols, rows, ascii;
	enum screen_id screen;
	const char *keys;
	bool roles;
};

static void screens_look_as_they_did(void **state)
{
	static const struct shot shots[] = {
		{ "tasks-80x24", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "jjj", false },
		{ "tasks-80x24-ascii", "xterm-256color", 80, 24, 1, SCREEN_TASKS, "jjj", false },
		{ "tasks-160x50", "xterm-256color", 160, 50, 0, SCREEN_TASKS, "jjj", false },
		{ "tasks-60x18", "xterm-256color", 60, 18, 0, SCREEN_TASKS, "<Tab>", false },
		{ "tasks-zoom", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "<Tab>z", false },
		{ "tasks-checks", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "<S-Tab>", false },
		{ "tasks-vt100", "vt100", 80, 24, 1, SCREEN_TASKS, "j", true },
		{ "tasks-xterm", "xterm", 80, 24, 0, SCREEN_TASKS, "j", true },
		{ "tasks-xterm-256color", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "j", true },
		{ "compare-80x24", "xterm-256color", 80, 24, 0, SCREEN_COMPARE, "j", false },
		{ "compare-80x24-ascii", "xterm-256color", 80, 24, 1, SCREEN_COMPARE, "j", false },
		{ "compare-160x50", "xterm-256color", 160, 50, 0, SCREEN_COMPARE, "j", false },
		{ "compare-images", "xterm-256color", 80, 24, 1, SCREEN_COMPARE, "<Tab><Tab>",
		  false },
		{ "workers-80x24", "xterm-256color", 80, 24, 0, SCREEN_WORKERS, "j", false },
		{ "workers-80x24-ascii", "xterm-256color", 80, 24, 1, SCREEN_WORKERS, "", false },
		{ "workers-160x50", "xterm-256color", 160, 50, 0, SCREEN_WORKERS, "j", false },
		{ "workers-60x18", "xterm-256color", 60, 18, 0, SCREEN_WORKERS, "j", false },
		{ "workers-60x18-one", "xterm-256color", 60, 18, 0, SCREEN_WORKERS, "jj<Tab>",
		  false },
		{ "help-80x24", "xterm-256color", 80, 24, 0, SCREEN_LIVE, "?", false },
		{ "help-80x24-ascii", "xterm-256color", 80, 24, 1, SCREEN_LIVE, "?", false },
		{ "help-filtered", "xterm-256color", 80, 24, 1, SCREEN_LIVE, "?sto", false },
		{ "prompt-filter", "xterm-256color", 80, 24, 1, SCREEN_TASKS, "/chair", false },
		{ "prompt-find", "xterm-256color", 80, 24, 1, SCREEN_TASKS, "<Tab>/arm", true },
		{ "prompt-find-utf8", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "<Tab>/arm",
		  false },
		{ "prompt-command", "xterm-256color", 80, 24, 1, SCREEN_TASKS, ":set tem", false },
		{ "prompt-quit", "xterm-256color", 80, 24, 1, SCREEN_TASKS, "q", false },
		{ "prompt-quit-utf8", "xterm-256color", 80, 24, 0, SCREEN_TASKS, "q", false },
		{ "too-small", "xterm-256color", 52, 16, 1, SCREEN_TASKS, "", false },
	};
	static uint8_t rgb[SAMPLE_W * SAMPLE_H * 3], other[SAMPLE_W * SAMPLE_H * 3];
	struct view v = sample_all(rgb, other);

	(void)state;
	for (size_t i = 0; i < sizeof(shots) / sizeof(*shots); i++) {
		const struct shot *s = &shots[i];
		struct test_ui t;
		test_ui_open(&t, s->term, s->cols, s->rows, s->ascii, s->screen);
		test_ui_draw(&t, &v);
		test_ui_keys(&t, &v, s->keys);
		test_ui_golden(&t, s->name, s->roles);
		test_ui_close(&t);
	}
}

static void an_empty_store_says_what_would_fill_it(void **state)
{
	struct view v = { 0 };
	struct test_ui t;

	(void)state;
	for (int i = 0; i < 2 * N_SCREENS; i++) {
		char name[40];
		bool ascii = i < N_SCREENS;
		test_ui_open(&t, "xterm-256color", 80, 24, ascii, (enum screen_id)(i % N_SCREENS));
		test_ui_draw(&t, &v);
		snprintf(name, sizeof(name), "empty-%d%s", i % N_SCREENS + 1, ascii ? "" : "-utf8");
		test_ui_golden(&t, name, false);
		test_ui_close(&t);
	}
}

static void a_queue_that_is_away_and_one_without_workers_are_told(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	v.status = "the queue is away";
	v.workers.trouble = "redis://forge.example:6379: Connection refused";
	v.workers.age_s = 12.4;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_WORKERS);
	test_ui_draw(&t, &v);
	test_ui_golden(&t, "workers-away-80x24", false);
	test_ui_close(&t);
	v.workers.rows = NULL;
	v.workers.n_rows = v.workers.live = 0;
	v.workers.why_not = "It is asked again every second.";
	test_ui_open(&t, "xterm-256color", 80, 24, 1, SCREEN_WORKERS);
	test_ui_draw(&t, &v);
	test_ui_golden(&t, "workers-none-80x24-ascii", false);
	test_ui_close(&t);
}

static void nothing_is_sent_while_nothing_changes(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	for (int i = 0; i < N_SCREENS; i++) {
		test_ui_open(&t, "xterm-256color", 80, 24, 0, (enum screen_id)i);
		assert_true(test_ui_draw(&t, &v) > 500);
		for (int k = 0; k < 60; k++) {
			t.now_s += 0.05;
			assert_int_equal(test_ui_draw(&t, &v), 0);
		}
		assert_true(ui_timeout_s(t.ui, t.now_s) < 0);
		test_ui_close(&t);
	}
}

/* 50 tokens a second of three letters each, 20 frames a second, at 80x24. */
static void a_streamed_token_costs_at_most_24_bytes(void **state)
{
	static const char *const terms[] = { "xterm-256color", "xterm", "linux" };

	(void)state;
	for (size_t k = 0; k < sizeof(terms) / sizeof(*terms); k++) {
		struct view v = sample_all(NULL, NULL);
		struct view_text code = sample_text(sample_code, TEXT_PYTHON, 7000);
		size_t len = code.len, bytes = 0;
		int tokens = 0, frames = 0;
		char status[120];
		struct test_ui t;
		test_ui_open(&t, terms[k], 80, 24, 0, SCREEN_LIVE);
		test_ui_draw(&t, &v);
		for (code.len = 0; code.len < len;) {
			int n = 50 * (frames + 1) / 20 - 50 * frames / 20;
			frames++;
			code.kept = code.len;
			tokens += n;
			code.len = code.len + 3 * (size_t)n < len ? code.len + 3 * (size_t)n : len;
			code.version++;
			code.streaming = true;
			v.live.code = code;
			v.live.tokens = tokens;
			v.live.tokens_per_s = 48 + frames % 5;
			v.live.elapsed_s = frames / 20.0;
			snprintf(status, sizeof(status),
			         "[generate]  %d/4096 tok  %d tok/s  0:%02d", tokens,
			         48 + frames % 5, frames / 20);
			v.status = status;
			t.now_s += 0.05;
			bytes += test_ui_draw(&t, &v);
		}
		print_message("%s: %.1f bytes a token\n", terms[k], (double)bytes / tokens);
		assert_true(bytes <= 24 * (size_t)tokens);
		test_ui_close(&t);
	}
}

static void running_figures_are_shown_twice_a_second(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;
	char status[40];
	size_t n;
	int changes = 0;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	for (int i = 0; i < 40; i++) {
		snprintf(status, sizeof(status), "running, %d tokens", 100 + i);
		v.status = status;
		t.now_s += 0.05;
		changes += test_ui_draw(&t, &v) > 0;
	}
	assert_in_range(changes, 3, 6); /* the words once, then the figures in two seconds */
	/* the last ones are not forgotten */
	assert_in_range(1000 * ui_timeout_s(t.ui, t.now_s), 0, 500);
	t.now_s += 0.5;
	assert_true(ui_timeout_s(t.ui, t.now_s) == 0);
	assert_true(test_ui_draw(&t, &v) > 0);
	assert_true(ui_timeout_s(t.ui, t.now_s) < 0);
	/* and nothing waits when a key was pressed */
	v.status = "running, 999 tokens";
	test_ui_keys(&t, &v, "j");
	assert_true(ui_timeout_s(t.ui, t.now_s) < 0);
	/* a message goes after four seconds, an error with a key */
	v.message.kind = MESSAGE_SAY;
	v.message.text = "kept";
	v.message.id = 1;
	test_ui_draw(&t, &v);
	assert_true(fabs(ui_timeout_s(t.ui, t.now_s) - 4) < 1e-6);
	t.now_s += 5;
	assert_true(ui_timeout_s(t.ui, t.now_s) == 0);
	assert_true(test_ui_draw(&t, &v) > 0);
	assert_true(ui_timeout_s(t.ui, t.now_s) < 0);
	v.message.kind = MESSAGE_ERROR;
	v.message.id = 2;
	assert_true(test_ui_draw(&t, &v) > 0);
	t.now_s += 50;
	assert_int_equal(test_ui_draw(&t, &v), 0);
	fflush(t.stream);
	n = t.len;
	test_ui_keys(&t, &v, "l");
	assert_true(t.len > n);
	test_ui_close(&t);
}

static void a_frame_that_differs_in_one_cell_is_a_few_bytes(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	test_ui_open(&t, "xterm-256color", 160, 50, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	v.status = "11 tasks, 6 built at least once, 4 marked";
	t.now_s += 1;
	assert_in_range(test_ui_draw(&t, &v), 1, 12);
	test_ui_close(&t);
}

static const char hostile[] = "a\033]0;pwned\007b\xe2\x80\xae"
			      "c\033[2Jd\x9b"
			      "31me\xc2\x9b"
			      "5mf\xff\xfe\r\bg\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"
			      "h\xe4\xb8\x96i\xcc\x81j";

static void check_harmless(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c == 0x9b || c == 0x9d) /* never but inside a character */
			assert_true(i > 0 && ((unsigned char)bytes[i - 1] & 0x80));
		assert_false(i + 1 < len && c == 0xc2 &&
		             ((unsigned char)bytes[i + 1] & 0xe0) == 0x80 &&
		             (unsigned char)bytes[i + 1] < 0xa0);
		if (c == 7)
			fail_msg("BEL after '%.*s'", (int)(i < 40 ? i : 40),
			         bytes + (i < 40 ? 0 : i - 40));
		assert_false(i + 2 < len && memcmp(bytes + i, "\xe2\x80\xae", 3) == 0);
		assert_false(i + 3 < len && memcmp(bytes + i, "\033]0", 3) == 0);
	}
}

static void nothing_of_a_strangers_text_reaches_the_terminal_raw(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct view_task rows[2] = {
		{ 1, hostile, hostile, hostile, hostile, hostile, MARK_BUILT, 0.5, 1, false },
		{ 2, "", NULL, NULL, NULL, NULL, MARK_FAILED, 1e300, -5, true }
	};
	struct view_text text = { .text = hostile,
		                  .len = sizeof(hostile) - 1,
		                  .id = 77,
		                  .version = 1,
		                  .kind = TEXT_PYTHON,
		                  .streaming = true,
		                  .error_line = 1,
		                  .error = hostile };

	(void)state;
	v.tasks.rows = rows;
	v.tasks.n_rows = 2;
	v.tasks.prompt = v.live.code = v.live.log = v.live.thinking = v.replay.code = text;
	v.model = v.device = v.status = v.status_right = v.tasks.size = hostile;
	v.message.kind = MESSAGE_ERROR;
	v.message.text = hostile;
	for (int ascii = 0; ascii < 2; ascii++)
		for (int i = 0; i < N_SCREENS; i++) {
			struct test_ui t;
			test_ui_open(&t, "xterm-256color", 80, 24, ascii, (enum screen_id)i);
			v.message.id = 0;
			test_ui_draw(&t, &v);
			v.message.id = 1;
			test_ui_draw(&t, &v);
			test_ui_keys(&t, &v, "<Tab><Tab>z");
			check_harmless(t.bytes, t.len);
			test_ui_close(&t);
		}
}

static void a_line_without_end_and_a_text_of_megabytes_are_drawn(void **state)
{
	struct view v = sample_all(NULL, NULL);
	size_t len = 3 << 20;
	char *text = malloc(len);
	struct test_ui t;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	for (size_t i = len / 2; i < len; i += 50)
		text[i] = '\n';
	v.live.code = (struct view_text){
		.text = text, .len = len, .id = 5, .version = 1, .kind = TEXT_PYTHON
	};
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_LIVE);
	test_ui_draw(&t, &v);
	test_ui_keys(&t, &v, "wGgw<PgDn>lllhG/xx<Enter>nN");
	test_ui_close(&t);
	free(text);
}

/* ---- keys ---- */

static void every_default_key_does_something_and_no_two_things(void **state)
{
	struct keymap k;
	struct err e = { 0 };
	char words[96];

	(void)state;
	assert_int_equal(keymap_open(&k, NULL, &e), 0);
	assert_true(k.n_rows > 90);
	for (int i = 0; i < k.n_rows; i++) {
		const struct keymap_row *r = &k.rows[i];
		assert_true((r->action != ACTION_NONE) != (r->intent != INTENT_NONE));
		assert_non_null(keymap_action(r));
		assert_true(strlen(keymap_words(r, words)) > 3);
		assert_ptr_equal(keymap_find(&k, r->screen == KEYMAP_ALL ? 0 : r->screen, r->key),
		                 r);
	}
	keymap_release(&k);
}

static void a_key_files_mistakes_are_named(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "live s stop-generation\nlive s build\n", "stop-generation in line 1" },
		{ "live j build\n", "everywhere it is down" },
		{ "all Q none\n", "quit needs one" },
		{ "all s next-pane\n", "live s is stop-generation" },
		{ "live s frobnicate\n", "user:1: 'frobnicate' is no action" },
		{ "nowhere s build\n", "'nowhere' is no place" },
		{ "live Fn build\n", "'Fn' is no key" },
		{ "live s build 1 2 3\n", "at most two numbers" },
		{ "live s build | x y\n", "at most two numbers" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct keymap k;
		struct err e = { 0 };
		int rc;
		assert_int_equal(keymap_open(&k, NULL, &e), 0);
		rc = keymap_read(&k, cases[i].text, strlen(cases[i].text), "user", true, &e);
		if (rc == 0)
			rc = keymap_check(&k, &e);
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, cases[i].says);
		keymap_release(&k);
	}
}

static void a_key_file_goes_over_the_defaults(void **state)
{
	char path[] = "/tmp/t_ui.keys.XXXXXX";
	const char text[] = "# mine\nlive s build | 1 make it\nall Q none\nall X quit\n";
	struct keymap k;
	struct err e = { 0 };
	struct key key;
	struct buf foot = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(keymap_open(&k, path, &e), 0);
	assert_true(key_parse("s", 1, &key));
	assert_int_equal(keymap_find(&k, SCREEN_LIVE, key)->intent, INTENT_BUILD);
	assert_true(key_parse("X", 1, &key));
	assert_int_equal(keymap_find(&k, SCREEN_REPLAY, key)->action, ACTION_QUIT);
	assert_true(key_parse("Q", 1, &key));
	assert_null(keymap_find(&k, SCREEN_REPLAY, key));
	keymap_footer(&k, SCREEN_LIVE, 80, false, &foot);
	assert_contains(buf_str(&foot), "s make it");
	assert_contains(buf_str(&foot), "? help");
	assert_in_range(foot.len, 20, 80);
	buf_release(&foot);
	keymap_release(&k);
	unlink(path);
}

static void the_footer_keeps_help_however_narrow(void **state)
{
	struct keymap k;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(keymap_open(&k, NULL, &e), 0);
	for (int s = 0; s < N_SCREENS; s++)
		for (int w = 10; w < 200; w += 7) {
			struct buf foot = { 0 };
			keymap_footer(&k, s, w, true, &foot);
			assert_contains(buf_str(&foot), "? help");
			assert_true(text_width(foot.data, foot.len) <= w);
			buf_release(&foot);
		}
	keymap_release(&k);
}

/* man/cadforge-keys.7, between its marks; CADFORGE_GOLDEN=write writes that part anew. */
static void the_manual_page_says_what_the_keymap_says(void **state)
{
	static const char begin[] = ".\\\" made from ui/keys.default: begin\n",
			  end[] = ".\\\" end\n";
	const char *dir = getenv("srcdir") ? getenv("srcdir") : ".",
		   *mode = getenv("CADFORGE_GOLDEN");
	struct buf page = { 0 }, want = { 0 }, whole = { 0 };
	struct keymap k;
	struct err e = { 0 };
	char path[512];
	char *from, *to;

	(void)state;
	snprintf(path, sizeof(path), "%s/man/cadforge-keys.7", dir);
	assert_int_equal(buf_read_file(&page, path, 1 << 20, &e), 0);
	assert_int_equal(keymap_open(&k, NULL, &e), 0);
	keymap_manual(&k, &want);
	from = strstr(buf_str(&page), begin);
	to = strstr(buf_str(&page), end);
	assert_non_null(from);
	assert_non_null(to);
	from += strlen(begin);
	buf_add(&whole, page.data, (size_t)(from - page.data));
	buf_adds(&whole, buf_str(&want));
	buf_adds(&whole, to);
	if (mode && strcmp(mode, "write") == 0) {
		assert_int_equal(file_write_atomic(path, whole.data, whole.len, &e), 0);
		chmod(path, 0644);
	} else {
		assert_string_equal(buf_str(&page), buf_str(&whole));
	}
	keymap_release(&k);
	buf_release(&page);
	buf_release(&want);
	buf_release(&whole);
}

static void keys_become_intents(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;
	struct intent in;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	in = test_ui_keys(&t, &v, "jr");
	assert_int_equal(in.kind, INTENT_RUN);
	assert_int_equal(in.n, 2);
	in = test_ui_keys(&t, &v, "2");
	assert_int_equal(in.kind, INTENT_SCREEN);
	assert_int_equal(ui_screen(t.ui), SCREEN_LIVE);
	assert_int_equal(test_ui_keys(&t, &v, "s").kind, INTENT_STOP);
	assert_int_equal(test_ui_keys(&t, &v, ":stop-after<Enter>").kind, INTENT_STOP_AFTER);
	in = test_ui_keys(&t, &v, ":set temperature 0.7<Enter>");
	assert_int_equal(in.kind, INTENT_SET);
	assert_string_equal(in.text, "temperature 0.7");
	in = test_ui_keys(&t, &v, ":save-screen x.screen<Enter>");
	assert_int_equal(in.kind, INTENT_COMMAND);
	assert_string_equal(in.text, "save-screen x.screen");
	in = test_ui_keys(&t, &v, "P8<Enter>");
	assert_int_equal(in.kind, INTENT_GROUP);
	assert_int_equal(in.n, 8);
	in = test_ui_keys(&t, &v, "x/tmp/here<Enter>");
	assert_int_equal(in.kind, INTENT_EXPORT);
	assert_string_equal(in.text, "/tmp/here");
	in = test_ui_keys(&t, &v, "<lt>");
	assert_int_equal(in.kind, INTENT_TURN_PART);
	assert_int_equal(in.n, -15);
	test_ui_close(&t);
}

static void quitting_asks_when_something_runs(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	assert_int_equal(test_ui_keys(&t, &v, "Q").kind, INTENT_QUIT);
	v.running = true;
	assert_int_equal(test_ui_keys(&t, &v, "Q").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "n").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "Qy").kind, INTENT_QUIT);
	/* ^C stops first, and offers to leave when it comes again */
	assert_int_equal(test_ui_keys(&t, &v, "<C-c>").kind, INTENT_STOP);
	t.now_s += 1;
	assert_int_equal(test_ui_keys(&t, &v, "<C-c>").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "y").kind, INTENT_QUIT);
	/* q closes one thing after another and asks at the bottom */
	v.running = false;
	test_ui_keys(&t, &v, "2z/x<Enter>");
	assert_int_equal(test_ui_keys(&t, &v, "q").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "q").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "q").kind, INTENT_SCREEN);
	assert_int_equal(test_ui_keys(&t, &v, "qy").kind, INTENT_QUIT);
	test_ui_close(&t);
}

static void a_filter_holds_and_the_selection_follows_its_item(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct view_task turned[11];
	struct test_ui t;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	test_ui_keys(&t, &v, "/HARD furn<Enter>");
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 10);
	test_ui_keys(&t, &v, "j");
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 11);
	/* the list comes in another order */
	for (int i = 0; i < 11; i++)
		turned[i] = sample_task_rows[10 - i];
	v.tasks.rows = turned;
	test_ui_draw(&t, &v);
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 11);
	test_ui_keys(&t, &v, "j");
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 10);
	/* the item goes: what took its place is selected, and told */
	v.tasks.n_rows = 1;
	test_ui_draw(&t, &v);
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 11);
	/* Esc shows all again; / and Esc leave what stood */
	test_ui_keys(&t, &v, "/nothing<Esc>");
	v.tasks.n_rows = 11;
	test_ui_keys(&t, &v, "<Esc>gG");
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 1);
	test_ui_close(&t);
}

static void a_prompt_is_edited_and_remembers(void **state)
{
	struct prompt p = { 0 };
	static const struct {
		const char *keys, *text;
	} cases[] = {
		{ "hello world<C-w>you", "hello you" },
		{ "abc<C-a>X<C-e>Y", "XabcY" },
		{ "abc<Left><Left><C-k>", "a" },
		{ "abc<Left><C-u>", "c" },
		{ "a\xc3\xa4\xe4\xb8\x96<Backspace><Left>z", "az\xc3\xa4" },
		{ "ab<Home><Delete>", "b" },
		{ "<Up>", "b" },
		{ "x<Up><Up><Down><Down>", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *k = cases[i].keys;
		struct key key;
		size_t n;
		prompt_open(&p, PROMPT_COMMAND, ":", NULL);
		for (; *k && (n = key_script(k, strlen(k), &key)) > 0; k += n)
			prompt_key(&p, key);
		assert_string_equal(buf_str(&p.text), cases[i].text);
		assert_int_equal(prompt_key(&p, (struct key){ .code = KEYS_ENTER }), PROMPT_DONE);
	}
	prompt_open(&p, PROMPT_COMMAND, ":", NULL);
	prompt_paste(&p, "one line\nrm -rf\n", 16);
	assert_string_equal(buf_str(&p.text), "one line");
	prompt_release(&p);
}

/* ---- themes ---- */

static void no_theme_has_blue_text_or_lacks_a_role(void **state)
{
	(void)state;
	for (int t = 0; t < N_THEMES; t++)
		for (int tier = TIER_NONE; tier <= TIER_DIRECT; tier++)
			for (int r = 0; r < N_ROLES; r++) {
				struct look k =
					theme_look((enum theme)t, (enum tier)tier, (enum role)r);
				uint32_t rgb;
				if (t == THEME_MONO || tier == TIER_NONE)
					assert_int_equal(k.fg, -1);
				if (tier == TIER_8) {
					assert_in_range(k.fg + 1, 0, 8);
					assert_int_not_equal(k.fg, 4);
					assert_int_not_equal(k.fg, 0);
				}
				if (k.fg < 0 || tier < TIER_256)
					continue;
				assert_true(tier == TIER_DIRECT || k.fg >= 16);
				rgb = tier == TIER_DIRECT ? (uint32_t)k.fg : color_rgb(k.fg);
				/* blue: much more of it than of both others */
				assert_false((rgb & 255) > (rgb >> 8 & 255) + 60 &&
				             (rgb & 255) > (rgb >> 16 & 255) + 60);
			}
	/* states differ without colour too */
	assert_string_not_equal(mark_sign(MARK_BUILT, true), mark_sign(MARK_FAILED, true));
	assert_string_not_equal(mark_sign(MARK_BUILT, true), mark_sign(MARK_WEAK, true));
	for (int i = 16; i < 256; i++)
		assert_int_equal(color_rgb(color_nearest(color_rgb(i))), color_rgb(i));
}

static void no_background_is_painted_and_no_palette_changed(void **state)
{
	struct view v = sample_all(NULL, NULL);

	(void)state;
	for (int i = 0; i < N_SCREENS; i++) {
		struct test_ui t;
		test_ui_open(&t, "xterm-256color", 80, 24, 0, (enum screen_id)i);
		test_ui_draw(&t, &v);
		assert_null(memmem(t.bytes, t.len, "\033[48;", 5));
		assert_null(memmem(t.bytes, t.len, "\033]4;", 4));
		test_ui_close(&t);
	}
}

static void no_color_is_honoured(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t = { .now_s = 1 };
	struct ui_options o = { .term = "xterm-256color", .in_fd = -1, .ascii = -1 };
	struct err e = { 0 };

	(void)state;
	setenv("NO_COLOR", "1", 1);
	t.stream = open_memstream(&t.bytes, &t.len);
	o.out = t.stream;
	assert_int_equal(ui_open(&t.ui, &o, &e), 0);
	test_ui_draw(&t, &v);
	assert_null(memmem(t.bytes, t.len, "\033[38;", 5));
	test_ui_close(&t);
	unsetenv("NO_COLOR");
}

/* ---- the terminal ---- */

static void terminals_are_known_guessed_or_refused_in_words(void **state)
{
	static const char *const good[] = { "xterm",
		                            "linux",
		                            "vt100",
		                            "ansi",
		                            "screen-256color",
		                            "xterm-ghostty",
		                            "no-such-terminal",
		                            "" };
	struct view v = sample_all(NULL, NULL);
	struct ui_options o = { .term = "dumb", .in_fd = -1 };
	struct err e = { 0 };
	struct ui *ui = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct test_ui t;
		test_ui_open(&t, good[i], 80, 24, -1, SCREEN_TASKS);
		assert_true(test_ui_draw(&t, &v) > 500);
		test_ui_close(&t);
	}
	o.out = stdout;
	assert_int_equal(ui_open(&ui, &o, &e), -1);
	assert_int_equal(e.kind, ERR_LACKS);
	assert_contains(e.text, "'dumb'");
	o.term = "xterm";
	o.theme = "pink";
	assert_int_equal(ui_open(&ui, &o, &e), -1);
	assert_contains(e.text, "'pink' is no theme");
}

struct pair {
	int master, slave;
};

static struct pair open_pair(void)
{
	struct pair p;
	struct winsize w = { .ws_row = 24, .ws_col = 80 };

	assert_int_equal(openpty(&p.master, &p.slave, NULL, NULL, &w), 0);
	assert_int_equal(fcntl(p.master, F_SETFL, O_NONBLOCK), 0);
	return p;
}

static size_t take(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (n < size && poll(&p, 1, 50) > 0 && (got = read(fd, out + n, size - n)) > 0)
		n += (size_t)got;
	return n;
}

static struct intent typed(struct ui *ui, const struct view *v, int master, const char *bytes)
{
	size_t len = strlen(bytes);
	struct intent in = { .kind = INTENT_NONE }, last = in;
	struct pollfd p = { .fd = ui_fd(ui), .events = POLLIN };

	assert_int_equal(write(master, bytes, len), len);
	assert_int_equal(poll(&p, 1, 2000), 1);
	do {
		assert_int_equal(ui_next(ui, v, 1, &in), 0);
		if (in.kind != INTENT_NONE && in.kind != INTENT_SELECT)
			last = in;
	} while (in.kind != INTENT_NONE);
	ui_draw(ui, v, 1);
	return last;
}

static void a_real_terminal_is_set_up_read_and_given_back(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct pair p = open_pair();
	struct ui_options o = { .term = "xterm-256color", .in_fd = p.slave, .ascii = -1 };
	struct termios before, during, after;
	struct err e = { 0 };
	struct ui *ui;
	static char bytes[1 << 18];
	size_t n;

	(void)state;
	o.out = fdopen(dup(p.slave), "w");
	assert_int_equal(tcgetattr(p.slave, &before), 0);
	assert_int_equal(ui_open(&ui, &o, &e), 0);
	assert_int_equal(tcgetattr(p.slave, &during), 0);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_true(ui_draw(ui, &v, 1) > 500);
	n = take(p.master, bytes, sizeof(bytes));
	assert_non_null(memmem(bytes, n, "\033[?1049h", 8));
	assert_non_null(memmem(bytes, n, "\033[?2004h", 8));
	assert_non_null(memmem(bytes, n, "caster_wheel_fork", 17));
	/* keys as terminals send them: arrows of both kinds, UTF-8, a paste, ^C */
	typed(ui, &v, p.master, "\033[B\033OB");
	assert_int_equal(ui_selected(ui, SCREEN_TASKS), 3);
	assert_int_equal(typed(ui, &v, p.master, "\033[200~Q\r\033[201~").kind, INTENT_NONE);
	typed(ui, &v, p.master, "/");
	typed(ui, &v, p.master, "\033[200~caster\nQQQ\033[201~");
	typed(ui, &v, p.master, "\r");
	assert_int_equal(ui_selected(ui, SCREEN_TASKS), 4);
	typed(ui, &v, p.master, "\033");
	/* a line that is down for a while: what is on the screen is not lost */
	ui_suspend(ui);
	assert_int_equal(tcgetattr(p.slave, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	n = take(p.master, bytes, sizeof(bytes));
	assert_non_null(memmem(bytes, n, "\033[?1049l", 8));
	assert_int_equal(ui_draw(ui, &v, 1), 0);
	ui_resume(ui);
	assert_true(ui_draw(ui, &v, 1) > 500);
	n = take(p.master, bytes, sizeof(bytes));
	assert_non_null(memmem(bytes, n, "caster_wheel_fork", 17));
	/* as after a crash */
	ui_restore(ui);
	assert_int_equal(tcgetattr(p.slave, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
	n = take(p.master, bytes, sizeof(bytes));
	assert_non_null(memmem(bytes, n, "\033[?1049l", 8));
	assert_non_null(memmem(bytes, n, "\033[?2004l", 8));
	assert_null(memmem(bytes, n, "\033]104", 5)); /* the palette is the user's */
	ui_close(ui);
	fclose(o.out);
	close(p.slave);
	close(p.master);
}

static void a_line_that_takes_nothing_delays_frames_and_no_key(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct pair p = open_pair();
	struct ui_options o = { .term = "xterm-256color", .in_fd = p.slave, .ascii = -1 };
	struct err e = { 0 };
	struct ui *ui;
	static char bytes[1 << 20];
	int refused = 0;

	(void)state;
	o.out = fdopen(dup(p.slave), "w");
	assert_int_equal(ui_open(&ui, &o, &e), 0);
	/* nobody reads: the pty fills up */
	for (int i = 0; i < 200 && !refused; i++) {
		assert_int_equal(ui_type(ui, i % 2 ? "1" : "2", &e), 0);
		struct intent in;
		do
			assert_int_equal(ui_next(ui, &v, 1, &in), 0);
		while (in.kind != INTENT_NONE);
		refused = ui_draw(ui, &v, 1) == 0;
	}
	assert_true(refused);
	assert_true(ui_dirty(ui));
	assert_true(ui_timeout_s(ui, 1) <= 0.05);
	assert_int_equal(ui_type(ui, "3", &e), 0);
	struct intent in;
	do
		assert_int_equal(ui_next(ui, &v, 1, &in), 0);
	while (in.kind != INTENT_NONE);
	assert_int_equal(ui_screen(ui), SCREEN_REPLAY);
	/* it reads again: the newest frame comes */
	for (int i = 0; i < 50 && ui_dirty(ui); i++) {
		take(p.master, bytes, sizeof(bytes));
		ui_draw(ui, &v, 1);
	}
	assert_false(ui_dirty(ui));
	ui_close(ui);
	fclose(o.out);
	close(p.slave);
	close(p.master);
}

static void a_keyboard_that_is_gone_is_said(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct pair p = open_pair();
	struct ui_options o = { .term = "xterm-256color", .in_fd = p.slave, .ascii = -1 };
	struct err e = { 0 };
	struct ui *ui;
	struct intent in = { .kind = INTENT_NONE };
	int rc = 0;

	(void)state;
	o.out = fdopen(dup(p.slave), "w");
	assert_int_equal(ui_open(&ui, &o, &e), 0);
	ui_draw(ui, &v, 1);
	close(p.master);
	for (int i = 0; i < 20 && rc == 0; i++)
		rc = ui_next(ui, &v, 1, &in);
	assert_int_equal(rc, -1);
	ui_draw(ui, &v, 2);
	ui_close(ui);
	fclose(o.out);
	close(p.slave);
}

static void bytes_at_random_from_the_keyboard_do_no_harm(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct pair p = open_pair();
	struct ui_options o = { .term = "xterm-256color", .in_fd = p.slave, .ascii = -1 };
	struct err e = { 0 };
	struct ui *ui;
	static char bytes[1 << 18];
	uint32_t seed = 3;
	struct intent in;

	(void)state;
	o.out = fdopen(dup(p.slave), "w");
	assert_int_equal(ui_open(&ui, &o, &e), 0);
	for (int i = 0; i < 300; i++) {
		unsigned char keys[64];
		for (size_t k = 0; k < sizeof(keys); k++) {
			seed = seed * 1664525 + 1013904223;
			/* half of them are what sequences are made of */
			keys[k] =
				seed >> 31
					? (unsigned char)"\033[<;0159~MmOAZ\303"[(seed >> 20) % 16]
					: (unsigned char)(seed >> 16);
		}
		assert_int_equal(write(p.master, keys, sizeof(keys)), sizeof(keys));
		do
			assert_int_equal(ui_next(ui, &v, i, &in), 0);
		while (in.kind != INTENT_NONE);
		ui_draw(ui, &v, i);
		while (read(p.master, bytes, sizeof(bytes)) > 0)
			;
	}
	ui_close(ui);
	fclose(o.out);
	close(p.slave);
	close(p.master);
}

static void a_copy_goes_through_the_terminal_without_hidden_signs(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	v.tasks.prompt = sample_text("arm\033[2J\n", TEXT_PLAIN, 99);
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	test_ui_keys(&t, &v, "<Tab>y");
	/* base64 of "arm\x1b[2J\n" with the escape spelled out */
	assert_non_null(memmem(t.bytes, t.len, "\033]52;c;YXJtXHgxYlsySgo=\007", 24));
	test_ui_close(&t);
	/* a terminal that takes none: the workbench keeps it */
	test_ui_open(&t, "vt100", 80, 24, 1, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	assert_int_equal(test_ui_keys(&t, &v, "<Tab>y").kind, INTENT_COPY);
	test_ui_close(&t);
}

static void the_scrolling_region_is_as_high_as_the_screen(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;

	(void)state;
	test_ui_open(&t, "xterm-256color", 100, 30, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	assert_null(memmem(t.bytes, t.len, "\033[1;24r", 7));
	assert_non_null(memmem(t.bytes, t.len, "\033[?1049h", 8));
	assert_non_null(memmem(t.bytes, t.len, "\033[?1h", 5));
	test_ui_close(&t);
}

static void sizes_may_change_at_any_moment(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t;
	uint32_t seed = 7;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_LIVE);
	for (int i = 0; i < 300; i++) {
		char screen[2] = { (char)('1' + i % 5), 0 };
		seed = seed * 1664525 + 1013904223;
		ui_resize(t.ui, 1 + (int)(seed >> 8) % 260, 1 + (int)(seed >> 20) % 90);
		test_ui_keys(&t, &v, screen);
	}
	ui_resize(t.ui, 20, 5);
	test_ui_draw(&t, &v);
	ui_resize(t.ui, 500, 200);
	test_ui_draw(&t, &v);
	ui_resize(t.ui, 80, 24);
	test_ui_keys(&t, &v, "1gjjj");
	test_ui_golden(&t, "tasks-80x24", false);
	test_ui_close(&t);
}

static void a_text_is_followed_until_one_scrolls_up(void **state)
{
	static char text[8000];
	struct text_pane p;
	struct canvas c = { .ascii = true };
	struct rect r = { 0, 0, 40, 10 };
	struct view_text t = {
		.text = text, .id = 3, .version = 1, .kind = TEXT_LOG, .streaming = true
	};
	char fact[40];

	(void)state;
	text_init(&p);
	assert_int_equal(cells_size(&c, 40, 10), 0);
	for (int i = 0; i < 200; i++) {
		t.kept = t.len;
		t.len += (size_t)snprintf(text + t.len, sizeof(text) - t.len, "line %d\n", i + 1);
		t.version++;
		cells_clear(&c);
		text_draw(&p, &c, r, &t, true);
		/* the end is in sight, and the top moves by half a pane at a time */
		assert_in_range(p.top, i + 2 > 10 ? i + 2 - 10 : 0, i + 1);
	}
	text_key(&p, (struct key){ .code = KEYS_UP }, &t);
	assert_false(p.follow);
	for (int i = 0; i < 37; i++) {
		t.kept = t.len;
		t.len += (size_t)snprintf(text + t.len, sizeof(text) - t.len, "more\n");
		t.version++;
	}
	text_draw(&p, &c, r, &t, true);
	assert_int_equal(p.missed, 37);
	assert_string_equal(text_fact(&p, fact), "+37");
	assert_int_equal(text_find(&p, &t, "LINE 19", 0), 0); /* capitals are meant */
	assert_int_equal(text_find(&p, &t, "line 19", 0), 11);
	text_key(&p, (struct key){ .code = KEYS_MATCH_NEXT }, &t);
	assert_true(p.at_line >= 0);
	text_key(&p, (struct key){ .code = KEYS_FOLLOW }, &t);
	assert_true(p.follow);
	text_draw(&p, &c, r, &t, true);
	assert_int_equal(p.missed, 0);
	/* another text begins at its own place */
	t.id = 4;
	t.streaming = false;
	t.kind = TEXT_PLAIN;
	text_draw(&p, &c, r, &t, true);
	assert_int_equal(p.top, 0);
	text_release(&p);
	cells_release(&c);
}

static void a_text_laid_out_as_it_grows_is_as_one_laid_out_at_once(void **state)
{
	struct text_pane grown, once;
	struct canvas a = { 0 }, b = { 0 };
	struct view_text t = { .id = 1, .kind = TEXT_PYTHON, .streaming = true };
	static const char source[] =
		"x = '''a\nb # no\n'''  # yes\ndef f(n):\n\treturn \"q\\\n s\"\n"
		"y = 1e-5 if not None else 0x1f\n\xe4\xb8\x96\xe7\x95\x8c = 3\n";

	(void)state;
	text_init(&grown);
	text_init(&once);
	assert_int_equal(cells_size(&a, 30, 12), 0);
	assert_int_equal(cells_size(&b, 30, 12), 0);
	t.text = source;
	for (size_t n = 1; n <= strlen(source); n++) {
		struct rect r = { 0, 0, 30, 12 };
		t.kept = t.len;
		t.len = n;
		t.version++;
		cells_clear(&a);
		cells_clear(&b);
		text_draw(&grown, &a, r, &t, true);
		text_release(&once);
		text_draw(&once, &b, r, &t, true);
		assert_int_equal(grown.n_lines, once.n_lines);
		assert_memory_equal(a.cells, b.cells, sizeof(struct cell) * 30 * 12);
	}
	assert_int_equal(cell_at(&a, 0, 1)->role, ROLE_CODE_TEXT);
	assert_int_equal(cell_at(&a, 5, 2)->role, ROLE_CODE_COMMENT);
	assert_int_equal(cell_at(&a, 0, 3)->role, ROLE_CODE_WORD);
	assert_int_equal(cell_at(&a, 4, 3)->role, ROLE_CODE_NAME);
	assert_int_equal(cell_at(&a, 1, 5)->role, ROLE_CODE_TEXT);
	assert_int_equal(cell_at(&a, 4, 6)->role, ROLE_CODE_NUMBER);
	assert_int_equal(cell_at(&a, 1, 7)->ch[0], 0); /* the right half of a wide one */
	text_release(&grown);
	text_release(&once);
	cells_release(&a);
	cells_release(&b);
}

static void borders_join_and_titles_are_cut_before_facts(void **state)
{
	struct canvas c = { 0 };
	struct rect all = { 0, 0, 20, 7 }, left, low;
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(cells_size(&c, 20, 7), 0);
	low = pane_take_bottom(&all, 3);
	left = pane_take_left(&all, 8);
	draw_pane(&c, low, "A long title of it", "+37", false);
	draw_pane(&c, left, "Ab", NULL, false);
	draw_pane(&c, all, NULL, NULL, true);
	for (int y = 0; y < 7; y++) {
		for (int x = 0; x < 20; x++) {
			uint32_t ch = cell_at(&c, x, y)->ch[0];
			buf_addc(&out, ch == 0x2500   ? '-'
			               : ch == 0x2502 ? '|'
			               : ch >= 0x2500 ? '+'
			                              : (char)ch);
		}
		buf_addc(&out, '\n');
	}
	assert_string_equal(buf_str(&out), "+- Ab -+-----------+\n"
	                                   "|      |           |\n"
	                                   "|      |           |\n"
	                                   "|      |           |\n"
	                                   "+- A long ~ - +37 -+\n"
	                                   "|                  |\n"
	                                   "+------------------+\n");
	assert_int_equal(cell_at(&c, 7, 0)->ch[0], 0x252c);
	assert_int_equal(cell_at(&c, 0, 4)->ch[0], 0x251c);
	assert_int_equal(cell_at(&c, 19, 4)->ch[0], 0x2524);
	buf_release(&out);
	cells_release(&c);
}

static void graphics_of_the_terminals_own_are_sent_once_and_taken_away(void **state)
{
	static uint8_t rgb[SAMPLE_W * SAMPLE_H * 3], other[SAMPLE_W * SAMPLE_H * 3];
	struct view v = sample_all(rgb, other);
	struct test_ui t = { .now_s = 1 };
	struct ui_options o = { .term = "xterm-256color",
		                .in_fd = -1,
		                .ascii = 0,
		                .cols = 160,
		                .rows = 50,
		                .image = UI_IMAGE_KITTY,
		                .screen = SCREEN_LIVE };
	struct err e = { 0 };
	size_t before;

	(void)state;
	unsetenv("TMUX");
	unsetenv("STY");
	t.stream = open_memstream(&t.bytes, &t.len);
	o.out = t.stream;
	assert_int_equal(ui_open(&t.ui, &o, &e), 0);
	test_ui_draw(&t, &v);
	assert_non_null(memmem(t.bytes, t.len, "\033_G", 3));
	before = t.len;
	test_ui_draw(&t, &v);
	assert_int_equal(t.len, before);
	/* help lies over it: it goes, and comes back */
	test_ui_keys(&t, &v, "?");
	assert_non_null(memmem(t.bytes + before, t.len - before, "\033_Ga=d", 6));
	before = t.len;
	test_ui_keys(&t, &v, "<Esc>");
	assert_true(t.len > before + 1000);
	test_ui_close(&t);
}

static void inside_a_multiplexer_pictures_are_characters_and_it_is_said(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct test_ui t = { .now_s = 1 };
	struct ui_options o = {
		.term = "xterm-256color", .in_fd = -1, .image = UI_IMAGE_KITTY, .ascii = -1
	};
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	setenv("TMUX", "/tmp/tmux-0/default,1,0", 1);
	t.stream = open_memstream(&t.bytes, &t.len);
	o.out = t.stream;
	assert_int_equal(ui_open(&t.ui, &o, &e), 0);
	test_ui_draw(&t, &v);
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "inside tmux or screen pictures are made of characters");
	buf_release(&out);
	test_ui_close(&t);
	unsetenv("TMUX");
}

static void the_mouse_is_off_until_it_is_asked_for(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct pair p = open_pair();
	struct ui_options o = { .term = "xterm-256color", .in_fd = p.slave, .ascii = -1 };
	struct err e = { 0 };
	struct ui *ui;
	static char bytes[1 << 18];
	size_t n;

	(void)state;
	o.out = fdopen(dup(p.slave), "w");
	assert_int_equal(ui_open(&ui, &o, &e), 0);
	ui_draw(ui, &v, 1);
	n = take(p.master, bytes, sizeof(bytes));
	assert_null(memmem(bytes, n, "1000h", 5));
	typed(ui, &v, p.master, "m");
	n = take(p.master, bytes, sizeof(bytes));
	assert_non_null(memmem(bytes, n, "1000h", 5));
	/* a click on the fifth row of the list, row 8 of the screen; the wheel goes on by three */
	typed(ui, &v, p.master, "\033[<0;10;8M\033[<0;10;8m");
	assert_int_equal(ui_selected(ui, SCREEN_TASKS), 5);
	typed(ui, &v, p.master, "\033[<65;10;8M");
	assert_int_equal(ui_selected(ui, SCREEN_TASKS), 8);
	/* on a screen's name */
	assert_int_equal(typed(ui, &v, p.master, "\033[<0;14;1M\033[<0;14;1m").kind, INTENT_SCREEN);
	assert_int_equal(ui_screen(ui), SCREEN_LIVE);
	ui_close(ui);
	fclose(o.out);
	close(p.slave);
	close(p.master);
}

/* ---- everything at random ---- */

static void a_hundred_thousand_keys_at_random_do_no_harm(void **state)
{
	static const char *const special[] = { "<Up>",        "<Down>",   "<Left>",  "<Right>",
		                               "<Home>",      "<End>",    "<PgUp>",  "<PgDn>",
		                               "<Enter>",     "<Tab>",    "<S-Tab>", "<Esc>",
		                               "<Backspace>", "<Delete>", "<lt>",    "<Space>" };
	static struct view_token tokens[800];
	struct view v = sample_all(NULL, NULL);
	struct view_choice_row rows[] = { { 5, MARK_BUILT, hostile, "r" },
		                          { 6, MARK_NONE, "b", NULL } };
	struct test_ui t;
	uint32_t seed = 20261123;
	int typed_keys = 0;

	(void)state;
	v.live.code.tokens = v.replay.code.tokens = tokens;
	v.live.code.n_tokens = sample_tokens(sample_code, tokens, 800);
	v.replay.code = v.live.code;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	while (typed_keys < 100000) {
		struct err e = { 0 };
		struct intent in;
		char keys[64] = "", one[8];
		for (int k = 0; k < 4; k++, typed_keys++) {
			seed = seed * 1664525 + 1013904223;
			if ((seed >> 16) % 5 == 0)
				strcat(keys, special[(seed >> 20) % 16]);
			else if ((seed >> 16) % 23 == 1)
				snprintf(one, sizeof(one), "<C-%c>",
				         'a' + (int)((seed >> 20) % 26)),
					strcat(keys, one);
			else
				snprintf(one, sizeof(one), "%c",
				         ' ' + 1 + (int)((seed >> 20) % 94)),
					strcat(keys, *one == '<' ? "x" : one);
		}
		assert_int_equal(ui_type(t.ui, keys, &e), 0);
		while (ui_next(t.ui, &v, t.now_s, &in) == 0 && in.kind != INTENT_NONE) {
			if (in.kind == INTENT_BACK || in.kind == INTENT_CHOOSE) {
				v.choice.title = NULL;
				v.page.len = 0;
			}
			assert_true(in.kind > INTENT_NONE && in.kind < N_INTENTS);
		}
		t.now_s += 0.05;
		/* now and then something else comes */
		if ((seed >> 9) % 101 == 0)
			v.choice = (struct view_choice){ .title = "Adapters",
				                         .rows = rows,
				                         .n_rows = 2 };
		if ((seed >> 9) % 103 == 0)
			v.page = sample_text(sample_log, TEXT_LOG, 4);
		if ((seed >> 9) % 37 == 0)
			ui_resize(t.ui, 30 + (int)((seed >> 14) % 200),
			          8 + (int)((seed >> 22) % 60));
		v.running = (seed >> 9) % 3 == 0;
		v.live.code.len = (seed >> 9) % 11 == 0 ? 40 : strlen(sample_code);
		v.live.code.version++;
		v.live.code.kept = 0;
		v.tasks.n_rows = (seed >> 9) % 7 == 0 ? (int)((seed >> 13) % 12) : 11;
		if ((seed >> 9) % 8 == 0)
			ui_draw(t.ui, &v, t.now_s);
		/* what was sent is not kept: it is megabytes */
		fflush(t.stream);
		rewind(t.stream);
	}
	test_ui_close(&t);
}

/* ---- what is kept, and pictures ---- */

static void what_one_chose_is_there_the_next_time(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct buf kept = { 0 };
	struct test_ui t;

	(void)state;
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	test_ui_keys(&t, &v, "jj<Tab>5");
	ui_keep(t.ui, &kept);
	test_ui_close(&t);
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	ui_recall(t.ui, buf_str(&kept));
	assert_int_equal(ui_screen(t.ui), SCREEN_COMPARE);
	assert_int_equal(ui_selected(t.ui, SCREEN_TASKS), 3);
	/* nonsense changes nothing */
	ui_recall(t.ui, "{\"screen\": 7, \"screens\": [1], \"theme\": {}}");
	ui_recall(t.ui, "nonsense");
	ui_recall(t.ui, NULL);
	test_ui_draw(&t, &v);
	assert_int_equal(ui_screen(t.ui), SCREEN_COMPARE);
	test_ui_close(&t);
	buf_release(&kept);
}

static void a_picture_of_the_screen_has_its_words_escaped(void **state)
{
	struct view v = sample_all(NULL, NULL);
	struct buf svg = { 0 };
	struct test_ui t;

	(void)state;
	v.status = "<script>&";
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_TASKS);
	test_ui_draw(&t, &v);
	ui_dump_svg(t.ui, &svg);
	assert_contains(buf_str(&svg), "caster_wheel_fork");
	assert_contains(buf_str(&svg), "&lt;script>&amp;");
	assert_null(strstr(buf_str(&svg), "<script"));
	assert_contains(buf_str(&svg), "</svg>\n");
	buf_release(&svg);
	test_ui_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(screens_look_as_they_did),
		cmocka_unit_test(an_empty_store_says_what_would_fill_it),
		cmocka_unit_test(a_queue_that_is_away_and_one_without_workers_are_told),
		cmocka_unit_test(nothing_is_sent_while_nothing_changes),
		cmocka_unit_test(a_streamed_token_costs_at_most_24_bytes),
		cmocka_unit_test(running_figures_are_shown_twice_a_second),
		cmocka_unit_test(a_frame_that_differs_in_one_cell_is_a_few_bytes),
		cmocka_unit_test(nothing_of_a_strangers_text_reaches_the_terminal_raw),
		cmocka_unit_test(a_line_without_end_and_a_text_of_megabytes_are_drawn),
		cmocka_unit_test(every_default_key_does_something_and_no_two_things),
		cmocka_unit_test(a_key_files_mistakes_are_named),
		cmocka_unit_test(a_key_file_goes_over_the_defaults),
		cmocka_unit_test(the_footer_keeps_help_however_narrow),
		cmocka_unit_test(the_manual_page_says_what_the_keymap_says),
		cmocka_unit_test(keys_become_intents),
		cmocka_unit_test(quitting_asks_when_something_runs),
		cmocka_unit_test(a_filter_holds_and_the_selection_follows_its_item),
		cmocka_unit_test(a_prompt_is_edited_and_remembers),
		cmocka_unit_test(no_theme_has_blue_text_or_lacks_a_role),
		cmocka_unit_test(no_background_is_painted_and_no_palette_changed),
		cmocka_unit_test(no_color_is_honoured),
		cmocka_unit_test(terminals_are_known_guessed_or_refused_in_words),
		cmocka_unit_test(a_real_terminal_is_set_up_read_and_given_back),
		cmocka_unit_test(a_line_that_takes_nothing_delays_frames_and_no_key),
		cmocka_unit_test(a_keyboard_that_is_gone_is_said),
		cmocka_unit_test(bytes_at_random_from_the_keyboard_do_no_harm),
		cmocka_unit_test(a_copy_goes_through_the_terminal_without_hidden_signs),
		cmocka_unit_test(the_scrolling_region_is_as_high_as_the_screen),
		cmocka_unit_test(sizes_may_change_at_any_moment),
		cmocka_unit_test(a_text_is_followed_until_one_scrolls_up),
		cmocka_unit_test(a_text_laid_out_as_it_grows_is_as_one_laid_out_at_once),
		cmocka_unit_test(borders_join_and_titles_are_cut_before_facts),
		cmocka_unit_test(graphics_of_the_terminals_own_are_sent_once_and_taken_away),
		cmocka_unit_test(inside_a_multiplexer_pictures_are_characters_and_it_is_said),
		cmocka_unit_test(the_mouse_is_off_until_it_is_asked_for),
		cmocka_unit_test(a_hundred_thousand_keys_at_random_do_no_harm),
		cmocka_unit_test(what_one_chose_is_there_the_next_time),
		cmocka_unit_test(a_picture_of_the_screen_has_its_words_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
