/*
 * ui.h - for tests of the workbench: a ui on a stream in memory, and golden screens.
 *
 * A golden screen is tests/golden/NAME.screen. With CADFORGE_GOLDEN=write in the environment the
 * files are written instead of compared: look at them, then commit them.
 */
#ifndef TESTS_UI_H
#define TESTS_UI_H

#include <locale.h>
#include <sys/stat.h>

#include "src/base/buf.h"
#include "tests/lib.h"
#include "ui/ui.h"

struct test_ui {
	struct ui *ui;
	FILE *stream;
	char *bytes; /* all that was sent to the terminal */
	size_t len;
	double now_s;
};

/* @term: terminfo name; @ascii as in ui_options. */
static inline void test_ui_open(struct test_ui *t, const char *term, int cols, int rows, int ascii,
                                enum screen_id screen)
{
	struct err e = { 0 };
	struct ui_options o = { .term = term,
		                .in_fd = -1,
		                .cols = cols,
		                .rows = rows,
		                .ascii = ascii,
		                .theme = "dark",
		                .screen = screen };

	*t = (struct test_ui){ .now_s = 100 };
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		fail_msg("no locale C.UTF-8 is here");
	unsetenv("NO_COLOR");
	unsetenv("TMUX");
	unsetenv("STY");
	t->stream = open_memstream(&t->bytes, &t->len);
	assert_non_null(t->stream);
	o.out = t->stream;
	if (ui_open(&t->ui, &o, &e) < 0)
		fail_msg("%s: %s", term, e.text);
}

static inline void test_ui_close(struct test_ui *t)
{
	ui_close(t->ui);
	fclose(t->stream);
	free(t->bytes);
}

/* Bytes of the frame. */
static inline size_t test_ui_draw(struct test_ui *t, const struct view *v)
{
	size_t before, n;

	fflush(t->stream);
	before = t->len;
	n = ui_draw(t->ui, v, t->now_s);
	fflush(t->stream);
	assert_int_equal(n, t->len - before);
	return n;
}

/* Types keys, a frame after each that gave an intent; the last intent that was no selection comes
 * back. */
static inline struct intent test_ui_keys(struct test_ui *t, const struct view *v, const char *keys)
{
	struct err e = { 0 };
	struct intent in, last = { .kind = INTENT_NONE };

	if (ui_type(t->ui, keys, &e) < 0)
		fail_msg("%s", e.text);
	while (ui_next(t->ui, v, t->now_s, &in) == 0 && in.kind != INTENT_NONE)
		if (in.kind != INTENT_SELECT)
			last = in;
	test_ui_draw(t, v);
	return last;
}

static inline void golden(const char *name, const char *text)
{
	const char *dir = getenv("srcdir") ? getenv("srcdir") : ".";
	const char *mode = getenv("CADFORGE_GOLDEN");
	struct buf want = { 0 };
	struct err e = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/golden/%s.screen", dir, name);
	if (mode && strcmp(mode, "write") == 0) {
		assert_int_equal(file_write_atomic(path, text, strlen(text), &e), 0);
		chmod(path, 0644);
		return;
	}
	if (buf_read_file(&want, path, 1 << 20, &e) < 0)
		fail_msg("%s", e.text);
	if (strcmp(buf_str(&want), text) != 0) {
		size_t at = 0, line = 1;
		while (text[at] && text[at] == buf_str(&want)[at])
			line += text[at++] == '\n';
		print_error("%s differs from line %zu on; it is now:\n%s", path, line, text);
		buf_release(&want);
		fail_msg("%s: CADFORGE_GOLDEN=write writes it anew", name);
	}
	buf_release(&want);
}

static inline void test_ui_golden(struct test_ui *t, const char *name, bool roles)
{
	struct buf out = { 0 };

	ui_dump(t->ui, roles, &out);
	golden(name, buf_str(&out));
	buf_release(&out);
}

#endif
