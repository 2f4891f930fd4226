/*
 * What the screens are made of, and what keys do to them: pictures, bars, certainty, overlays.
 */
#include "tests/ui.h"
#include "tests/ui_views.h"
#include "ui/bars.h"
#include "ui/certainty.h"
#include "ui/image.h"
#include "ui/overlay.h"
#include "ui/screen.h"

static uint8_t picture[3 * SAMPLE_W * SAMPLE_H];
static struct view_token tokens[400];

static struct canvas canvas(int w, int h, bool ascii)
{
	struct canvas c = { 0 };

	assert_int_equal(cells_size(&c, w, h), 0);
	cells_clear(&c);
	c.ascii = ascii;
	c.tier = TIER_256;
	return c;
}

/* Row @y as text. */
static const char *row(const struct canvas *c, int y)
{
	static char out[4000];
	size_t n = 0;

	for (int x = 0; x < c->w && n + 8 < sizeof out; x++) {
		uint32_t cp = cell_at(c, x, y)->ch[0];

		if (cp && cp < 0x80)
			out[n++] = (char)cp;
		else if (cp)
			out[n++] = '?';
	}
	out[n] = 0;
	return out;
}

/* ---- pictures ---- */

static struct view_image image(void)
{
	return (struct view_image){ .rgb = picture, .w = SAMPLE_W, .h = SAMPLE_H, .id = 7 };
}

static void a_picture_keeps_its_shape_in_cells_twice_as_high_as_wide(void **state)
{
	struct view_image im = image();
	struct rect r = image_place(&im, (struct rect){ 10, 5, 60, 60 });

	(void)state;
	/* 200 x 160 pixels in 60 columns: 48 columns' worth of height, 24 rows */
	assert_int_equal(r.w, 60);
	assert_int_equal(r.h, 24);
	assert_int_equal(r.x, 10);
	assert_int_equal(r.y, 5 + (60 - 24) / 2);
	r = image_place(&im, (struct rect){ 0, 0, 100, 8 });
	assert_int_equal(r.h, 8);
	assert_int_equal(r.w, 20);
}

static void the_ground_of_a_picture_is_the_terminals_own(void **state)
{
	struct canvas c = canvas(40, 16, false);
	struct image_pane p = { 0 };
	struct view_image im = image();
	int painted = 0;

	(void)state;
	image_draw(&p, &c, (struct rect){ 0, 0, 40, 16 }, &im, UI_IMAGE_BLOCKS);
	assert_false(cell_at(&c, 0, 0)->pixel);
	for (int i = 0; i < 40 * 16; i++) {
		const struct cell *k = &c.cells[i];

		painted += k->pixel;
		/* never the ground in front of a colour: that would be painted in the text's */
		assert_false(k->pixel && k->fg == CELL_DEFAULT && k->bg != CELL_DEFAULT &&
		             k->ch[0] != ' ');
	}
	assert_in_range(painted, 100, 500);
	image_release(&p);
	cells_release(&c);
}

static void a_picture_is_converted_once(void **state)
{
	struct canvas c = canvas(40, 16, false);
	struct image_pane p = { 0 };
	struct view_image im = image();
	struct rect r = { 0, 0, 40, 16 };
	struct cell *kept;

	(void)state;
	image_draw(&p, &c, r, &im, UI_IMAGE_BLOCKS);
	kept = p.cells;
	kept[0].ch[0] = 'Z';
	image_draw(&p, &c, r, &im, UI_IMAGE_BLOCKS);
	assert_ptr_equal(p.cells, kept);
	assert_int_equal(p.cells[0].ch[0], 'Z');
	im.id++;
	image_draw(&p, &c, r, &im, UI_IMAGE_BLOCKS);
	assert_int_not_equal(p.cells[0].ch[0], 'Z');
	image_release(&p);
	cells_release(&c);
}

static void ascii_and_eight_colours_get_shades(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct canvas c = canvas(40, 16, k == 0);
		struct image_pane p = { 0 };
		struct view_image im = image();
		int ink = 0;

		if (k)
			c.tier = TIER_8;
		image_draw(&p, &c, (struct rect){ 0, 0, 40, 16 }, &im, UI_IMAGE_BLOCKS);
		for (int i = 0; i < 40 * 16; i++) {
			assert_false(c.cells[i].pixel);
			assert_true(c.cells[i].ch[0] < 0x80);
			ink += c.cells[i].ch[0] != ' ';
		}
		assert_true(ink > 100);
		image_release(&p);
		cells_release(&c);
	}
}

static void terminal_graphics_are_not_for_multiplexers(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(image_mode_for(UI_IMAGE_KITTY, "xterm-kitty", NULL, NULL, &why),
	                 UI_IMAGE_KITTY);
	assert_null(why);
	assert_int_equal(image_mode_for(UI_IMAGE_KITTY, "tmux-256color", NULL, NULL, &why),
	                 UI_IMAGE_BLOCKS);
	assert_contains(why, "tmux");
	assert_int_equal(
		image_mode_for(UI_IMAGE_SIXEL, "xterm", "/tmp/tmux-0/default,1,0", NULL, &why),
		UI_IMAGE_BLOCKS);
	assert_int_equal(image_mode_for(UI_IMAGE_SIXEL, "xterm", NULL, "1.pts", &why),
	                 UI_IMAGE_BLOCKS);
	assert_int_equal(image_mode_for(UI_IMAGE_BLOCKS, "screen", "x", NULL, &why),
	                 UI_IMAGE_BLOCKS);
	assert_null(why);
}

static void kitty_and_sixel_are_written_when_asked(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct view_image im = image();

	(void)state;
	assert_int_equal(image_escape(&b, &im, UI_IMAGE_KITTY, 20, 8, 10, 20, &e), 0);
	assert_contains(buf_str(&b), "\033_G");
	buf_clear(&b);
	assert_int_equal(image_escape(&b, &im, UI_IMAGE_SIXEL, 20, 8, 10, 20, &e), 0);
	assert_contains(buf_str(&b), "\033P");
	assert_contains(buf_str(&b), "\033\\");
	buf_clear(&b);
	assert_int_equal(image_escape(&b, &im, UI_IMAGE_BLOCKS, 20, 8, 10, 20, &e), 0);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

static void what_would_make_a_picture_is_said_when_there_is_none(void **state)
{
	struct canvas c = canvas(30, 7, false);
	struct image_pane p = { 0 };
	struct view_image im = { .why = "build it first (b)" };

	(void)state;
	image_draw(&p, &c, (struct rect){ 0, 0, 30, 7 }, &im, UI_IMAGE_BLOCKS);
	assert_contains(row(&c, 3), "build it first (b)");
	cells_release(&c);
}

/* ---- bars ---- */

static void figures_have_one_form(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(count_text(out, 0), "0");
	assert_string_equal(count_text(out, 999), "999");
	assert_string_equal(count_text(out, 1204), "1,204");
	assert_string_equal(count_text(out, -1234567), "-1,234,567");
	assert_string_equal(count_text(out, INT64_MIN), "-9,223,372,036,854,775,808");
	assert_string_equal(delta_text(out, 0.0751), "+0.075");
	assert_string_equal(delta_text(out, -1), "-1.000");
	assert_string_equal(delta_text(out, NAN), "-");
	assert_string_equal(delta_text(out, INFINITY), "-");
	assert_string_equal(delta_text(out, 1e300), "-");
}

static void columns_grow_with_their_figures(void **state)
{
	static const double v[] = { 0, 0.25, 0.5, 1, NAN };
	struct canvas c = canvas(24, 10, true);
	int height[5] = { 0 };

	(void)state;
	bars_columns(&c, (struct rect){ 0, 0, 24, 10 }, v, 5, 0, 1, "0", "100", "batch", 1);
	for (int i = 0; i < 5; i++)
		for (int y = 0; y < 8; y++)
			height[i] += cell_at(&c, 4 + 3 * i + 1, y)->ch[0] == '#';
	assert_int_equal(height[0], 0);
	assert_int_equal(height[1], 2);
	assert_int_equal(height[2], 4);
	assert_int_equal(height[3], 8);
	assert_int_equal(height[4], 0);
	cells_release(&c);
}

static void failed_checks_come_first_when_not_all_fit(void **state)
{
	struct canvas c = canvas(60, 4, true);

	(void)state;
	assert_int_equal(bars_checks(&c, (struct rect){ 0, 0, 60, 4 }, sample_checks, 7, "(v)"), 4);
	assert_contains(row(&c, 0), "x holes");
	assert_contains(row(&c, 0), "4 x D6.6 along Z wanted, found 0");
	assert_contains(row(&c, 1), "x mirror");
	assert_contains(row(&c, 2), "+ bbox");
	assert_contains(row(&c, 3), "+ 4 more (v)");
	cells_release(&c);
}

static void a_term_that_is_not_known_is_no_zero(void **state)
{
	struct canvas c = canvas(31, 12, true);
	struct view_score s = sample_score();

	(void)state;
	s.terms[1].value = NAN;
	s.terms[2].value = NAN;
	s.terms[2].pending = true;
	bars_score(&c, (struct rect){ 0, 0, 31, 12 }, &s);
	assert_contains(row(&c, 3), "topology      -");
	assert_null(strchr(row(&c, 3), '0'));
	assert_contains(row(&c, 4), "contact     ...");
	cells_release(&c);
}

/* ---- certainty ---- */

static void certain(struct test_ui *t, struct view *v)
{
	sample_live_built(v, picture);
	v->live.code.tokens = tokens;
	v->live.code.n_tokens = sample_tokens(sample_code, tokens, 400);
	test_ui_open(t, "xterm-256color", 100, 30, 0, SCREEN_LIVE);
	test_ui_draw(t, v);
}

static void enter_on_an_alternative_branches_from_its_token(void **state)
{
	struct test_ui t;
	struct view v;
	struct intent in;

	(void)state;
	certain(&t, &v);
	/* the seventh token is the first that was unsure by entropy, the sixth by probability */
	in = test_ui_keys(&t, &v, "un<Enter>");
	assert_int_equal(in.kind, INTENT_BRANCH);
	assert_int_equal(in.n, 5);
	assert_int_equal(in.m, 901);
	in = test_ui_keys(&t, &v, "n<Enter>");
	assert_int_equal(in.kind, INTENT_BRANCH);
	assert_int_equal(in.n, 6);
	assert_int_equal(in.m, 900);
	in = test_ui_keys(&t, &v, "jj<Enter>");
	assert_int_equal(in.m, 902);
	test_ui_close(&t);
}

static void enter_on_what_was_taken_does_nothing(void **state)
{
	struct test_ui t;
	struct view v;

	(void)state;
	certain(&t, &v);
	assert_int_equal(test_ui_keys(&t, &v, "u<Enter>").kind, INTENT_NONE);
	/* left, Enter goes on again */
	assert_int_equal(test_ui_keys(&t, &v, "<Esc><Enter>").kind, INTENT_GO_ON);
	test_ui_close(&t);
}

static void every_probability_has_a_mark_and_a_role(void **state)
{
	static const struct {
		float p;
		char mark;
		enum role role;
	} cases[] = { { 1, ' ', ROLE_NORMAL },    { 0.9f, ' ', ROLE_NORMAL },
		      { 0.6f, '.', ROLE_NORMAL }, { 0.59f, ':', ROLE_WEAK },
		      { 0.3f, ':', ROLE_WEAK },   { 0.29f, '!', ROLE_BAD },
		      { 0, '!', ROLE_BAD },       { NAN, ' ', ROLE_FAINT } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(certainty_mark(cases[i].p), cases[i].mark);
		assert_int_equal(certainty_role(cases[i].p), cases[i].role);
	}
}

static void tokens_that_point_nowhere_are_borne(void **state)
{
	struct canvas c = canvas(40, 12, false);
	struct text_pane p = { 0 };
	struct view_token bad[3] = { { .start = 5, .p = NAN, .entropy = NAN },
		                     { .start = 4000000000u, .p = 2, .n_top = 5 },
		                     { .start = 3, .p = -1, .n_top = 99 } };
	struct view_text t = {
		.text = "a\n\033[31m\xff\xe2\x80\xae b\n", .len = 14, .tokens = bad, .n_tokens = 3
	};
	struct intent out = { .kind = INTENT_NONE };
	int alternative = 0;
	static const uint32_t keys[] = {
		KEYS_RIGHT, KEYS_END,   KEYS_PAGE_DOWN, KEYS_MATCH_NEXT,     KEYS_ENTER,
		KEYS_DOWN,  KEYS_DOWN,  KEYS_DOWN,      KEYS_DOWN,           KEYS_DOWN,
		KEYS_DOWN,  KEYS_ENTER, KEYS_HALF_UP,   KEYS_MATCH_PREVIOUS, KEYS_HOME,
		KEYS_LEFT
	};

	(void)state;
	text_init(&p);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		certainty_draw(&p, alternative, &c, (struct rect){ 0, 0, 40, 12 }, &t);
		certainty_key(&p, &alternative, (struct key){ .code = keys[i] }, &t, &out);
	}
	for (int i = 0; i < 40 * 12; i++)
		assert_true(c.cells[i].ch[0] >= ' ' && c.cells[i].ch[0] != 0x202e);
	text_release(&p);
	cells_release(&c);
}

/* ---- what lies over a screen ---- */

static const struct view_choice_row choice_rows[] = { { 11, MARK_NONE, "alpha one", "" },
	                                              { 12, MARK_NONE, "beta two", "" },
	                                              { 13, MARK_NONE, "beta three", "" } };

static void a_list_is_filtered_and_enter_takes_what_is_left(void **state)
{
	struct test_ui t;
	struct view v;
	struct intent in;

	(void)state;
	sample_live(&v, picture);
	v.choice = (struct view_choice){ .title = "Pick", .rows = choice_rows, .n_rows = 3 };
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_LIVE);
	test_ui_draw(&t, &v);
	in = test_ui_keys(&t, &v, "j<Enter>");
	assert_int_equal(in.kind, INTENT_CHOOSE);
	assert_int_equal(in.n, 12);
	in = test_ui_keys(&t, &v, "/bet thr");
	assert_int_equal(in.kind, INTENT_NONE);
	in = test_ui_keys(&t, &v, "<Enter>");
	assert_int_equal(in.kind, INTENT_CHOOSE);
	assert_int_equal(in.n, 13);
	/* the filter goes first, then the list */
	assert_int_equal(test_ui_keys(&t, &v, "<Esc>").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "q").kind, INTENT_BACK);
	/* nothing is left: nothing is taken */
	assert_int_equal(test_ui_keys(&t, &v, "/zzz<Enter>").kind, INTENT_NONE);
	test_ui_close(&t);
}

static void the_end_of_a_list_asks_for_more(void **state)
{
	struct test_ui t;
	struct view v;

	(void)state;
	sample_live(&v, picture);
	v.choice = (struct view_choice){
		.title = "Pick", .rows = choice_rows, .n_rows = 3, .more = true
	};
	test_ui_open(&t, "xterm-256color", 80, 24, 0, SCREEN_LIVE);
	test_ui_draw(&t, &v);
	assert_int_equal(test_ui_keys(&t, &v, "j").kind, INTENT_NONE);
	assert_int_equal(test_ui_keys(&t, &v, "j").kind, INTENT_MORE);
	test_ui_close(&t);
}

static void a_judgement_has_grade_note_and_tags(void **state)
{
	struct overlays o = { 0 };
	struct view v;
	struct intent out = { .kind = INTENT_NONE };
	static const char note[] = "M\xc3\xbcller: ok";
	static const struct key keys[] = { { .code = '3' },
		                           { .code = KEYS_RIGHT },
		                           { .code = KEYS_TAB },
		                           { .code = KEYS_BACKSPACE },
		                           { .code = 'K' },
		                           { .code = KEYS_HOME },
		                           { .code = KEYS_DELETE },
		                           { .code = KEYS_RIGHT },
		                           { .code = KEYS_BACKSPACE },
		                           { .code = 0xe9 },
		                           { .code = KEYS_TAB },
		                           { .code = 'w', .ctrl = true },
		                           { .code = 'a' },
		                           { .code = ' ' },
		                           { .code = 'b' },
		                           { .code = KEYS_ENTER } };

	(void)state;
	sample_replay(&v, picture, picture);
	overlay_judge(&o, 9, note, "old\nlines");
	assert_int_equal(overlay_top(&o, &v), OVERLAY_JUDGE);
	assert_int_equal(o.judge.grade, -1);
	assert_true(overlay_typing(&o, &v));
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		assert_true(overlay_key(&o, &v, keys[i], &out));
	assert_int_equal(out.kind, INTENT_JUDGE);
	assert_int_equal(out.n, 4);
	assert_string_equal(out.text, "\xc3\xa9ller: oK");
	assert_string_equal(out.more, "a b");
	assert_int_equal(overlay_top(&o, &v), OVERLAY_NONE);
	overlay_release(&o);
}

static void a_paste_is_made_harmless_and_stays_on_its_line(void **state)
{
	struct overlays o = { 0 };
	struct view v;
	struct intent out = { .kind = INTENT_NONE };
	char *much = malloc(1 << 20);

	(void)state;
	sample_replay(&v, picture, picture);
	overlay_judge(&o, 2, NULL, NULL);
	assert_false(overlay_paste(&o, &v, "x", 1)); /* a grade is not pasted */
	overlay_key(&o, &v, (struct key){ .code = KEYS_TAB }, &out);
	assert_true(overlay_paste(&o, &v, "a\nb\033[2J\0c", 9));
	assert_string_equal(buf_str(&o.judge.text[0]), "a\\nb\\x1b[2J\\x00c");
	assert_non_null(much);
	memset(much, 'y', 1 << 20);
	overlay_paste(&o, &v, much, 1 << 20);
	assert_true(o.judge.text[0].len < 10000);
	free(much);
	overlay_release(&o);
}

/* ---- replay's keys ---- */

static void the_change_before_and_after_is_a_key_away(void **state)
{
	enum { N = 200 };
	static struct view_diff_line d[N];
	struct test_ui t;
	struct view v;
	struct buf out = { 0 };

	(void)state;
	sample_replay(&v, picture, picture);
	for (int i = 0; i < N; i++)
		d[i] = (struct view_diff_line){ "same", "same", i + 1, i + 1, ' ' };
	d[50] = (struct view_diff_line){ "first-old", "first-new", 51, 51, '~' };
	d[150] = (struct view_diff_line){ NULL, "second-new", 0, 151, '+' };
	v.replay.diff = d;
	v.replay.n_diff = N;
	test_ui_open(&t, "xterm-256color", 160, 40, 0, SCREEN_REPLAY);
	test_ui_draw(&t, &v);
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "first-old");
	assert_null(strstr(buf_str(&out), "second-new"));
	test_ui_keys(&t, &v, "n");
	buf_clear(&out);
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "second-new");
	test_ui_keys(&t, &v, "N");
	buf_clear(&out);
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "first-new");
	buf_release(&out);
	test_ui_close(&t);
}

static void what_is_searched_for_in_a_diff_is_found_in_the_program(void **state)
{
	struct test_ui t;
	struct view v;
	struct buf out = { 0 };

	(void)state;
	sample_replay(&v, picture, picture);
	test_ui_open(&t, "xterm-256color", 100, 30, 0, SCREEN_REPLAY);
	test_ui_draw(&t, &v);
	test_ui_keys(&t, &v, "/both=<Enter>");
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "w = w.extrude(WHEEL_W / 2, both=True)");
	assert_null(strstr(buf_str(&out), "Diff"));
	test_ui_keys(&t, &v, "<Esc>");
	buf_clear(&out);
	ui_dump(t.ui, false, &out);
	assert_contains(buf_str(&out), "Diff  turn 1 -> 2");
	buf_release(&out);
	test_ui_close(&t);
}

/* ---- any size, any view ---- */

static void screens_draw_at_any_size_and_without_anything(void **state)
{
	static const struct screen *const mine[] = { &screen_live, &screen_replay,
		                                     &screen_curriculum };
	static const int sizes[] = {
		0, 1, 2, 3, 5, 9, 17, 24, 47, 59, 60, 79, 80, 99, 139, 140, 200
	};
	static const uint32_t keys[] = {
		KEYS_DOWN, KEYS_CERTAINTY, KEYS_RIGHT, KEYS_ENTER, KEYS_ESC,        KEYS_THINK,
		KEYS_DIFF, KEYS_PROMPT,    KEYS_SCORE, KEYS_END,   KEYS_MATCH_NEXT, KEYS_PAGE_UP
	};
	enum { VIEWS = 7, SIZES = sizeof sizes / sizeof *sizes };
	static struct view views[VIEWS];

	(void)state;
	sample_live(&views[1], picture);
	views[1].live.group = &(struct view_member){ .number = 1, .reward = NAN };
	views[1].live.n_group = 1;
	views[1].live.group_asked = true;
	sample_live_failed(&views[2], picture);
	sample_replay(&views[3], picture, picture);
	views[3].replay.pairwise = true;
	sample_training(&views[4]);
	/* figures that nobody would write */
	sample_replay(&views[5], picture, picture);
	views[5].replay.score.total = 1e300;
	views[5].replay.score.terms[0].value = -INFINITY;
	views[5].replay.score.terms[1].adds = 1e300;
	views[5].replay.at_s = INFINITY;
	views[5].replay.length_s = -1;
	views[5].replay.speed = NAN;
	views[5].replay.playing = true;
	sample_live(&views[6], picture);
	views[6].live.elapsed_s = 1e18;
	views[6].live.tokens = INT32_MAX;
	views[6].live.turn = views[6].live.turns_max = INT32_MIN;
	views[6].live.phase = (enum live_phase)99;
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < VIEWS; i++) {
			struct screen_state s = { 0 };

			for (int n = 0; n < UI_PANES_MAX; n++) {
				list_init(&s.lists[n]);
				text_init(&s.texts[n]);
			}
			s.n_panes = mine[k]->n_panes;
			if (mine[k]->init)
				mine[k]->init(&s);
			for (int a = 0; a < SIZES; a++)
				for (int b = 0; b < SIZES; b++) {
					struct canvas c = canvas(sizes[a] + 1, sizes[b] + 1, a & 1);
					struct rect r = { 0, 0, sizes[a], sizes[b] };
					struct intent out = { .kind = INTENT_NONE };

					s.focus = (a + b) % s.n_panes;
					s.zoom = b % 5 == 0;
					s.show_image = b & 1;
					mine[k]->draw(&s, &views[i], &c, r);
					if (mine[k]->status)
						mine[k]->status(
							&s, &views[i], &c,
							(struct rect){ 0, sizes[b], sizes[a], 1 });
					if (mine[k]->image) {
						struct rect im = mine[k]->image(&s, &views[i], r);

						assert_true(im.w >= 0 && im.h >= 0 && im.w <= r.w &&
						            im.h <= r.h);
					}
					mine[k]->key(
						&s, &views[i],
						(struct key){ .code = keys[(a * SIZES + b) % 12] },
						&out);
					/* nothing beyond its rectangle but its status row */
					assert_int_equal(cell_at(&c, sizes[a], 0)->ch[0], ' ');
					cells_release(&c);
				}
			for (int n = 0; n < UI_PANES_MAX; n++) {
				list_release(&s.lists[n]);
				text_release(&s.texts[n]);
			}
			image_release(&s.images[0]);
			image_release(&s.images[1]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_picture_keeps_its_shape_in_cells_twice_as_high_as_wide),
		cmocka_unit_test(the_ground_of_a_picture_is_the_terminals_own),
		cmocka_unit_test(a_picture_is_converted_once),
		cmocka_unit_test(ascii_and_eight_colours_get_shades),
		cmocka_unit_test(terminal_graphics_are_not_for_multiplexers),
		cmocka_unit_test(kitty_and_sixel_are_written_when_asked),
		cmocka_unit_test(what_would_make_a_picture_is_said_when_there_is_none),
		cmocka_unit_test(figures_have_one_form),
		cmocka_unit_test(columns_grow_with_their_figures),
		cmocka_unit_test(failed_checks_come_first_when_not_all_fit),
		cmocka_unit_test(a_term_that_is_not_known_is_no_zero),
		cmocka_unit_test(enter_on_an_alternative_branches_from_its_token),
		cmocka_unit_test(enter_on_what_was_taken_does_nothing),
		cmocka_unit_test(every_probability_has_a_mark_and_a_role),
		cmocka_unit_test(tokens_that_point_nowhere_are_borne),
		cmocka_unit_test(a_list_is_filtered_and_enter_takes_what_is_left),
		cmocka_unit_test(the_end_of_a_list_asks_for_more),
		cmocka_unit_test(a_judgement_has_grade_note_and_tags),
		cmocka_unit_test(a_paste_is_made_harmless_and_stays_on_its_line),
		cmocka_unit_test(the_change_before_and_after_is_a_key_away),
		cmocka_unit_test(what_is_searched_for_in_a_diff_is_found_in_the_program),
		cmocka_unit_test(screens_draw_at_any_size_and_without_anything),
	};

	sample_picture(picture, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
