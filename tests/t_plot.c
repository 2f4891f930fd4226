/* Ticks a person would choose, numbers in few letters, and an SVG that is one whatever it is given.
 */
#include "tests/lib.h"

#include "src/plot.h"

static void ticks_are(double min, double max, const char *want)
{
	double tick[32];
	struct buf said = { 0 };
	int n = plot_ticks(min, max, 8, tick);

	for (int i = 0; i < n; i++)
		buf_printf(&said, "%s%g", i ? " " : "", tick[i]);
	assert_string_equal(buf_str(&said), want);
	buf_release(&said);
}

static void ticks_are_round_and_few(void **state)
{
	(void)state;
	ticks_are(0, 1, "0 0.2 0.4 0.6 0.8 1");
	ticks_are(0, 120, "0 20 40 60 80 100 120");
	ticks_are(-0.3, 0.31, "-0.3 -0.2 -0.1 0 0.1 0.2 0.3");
	ticks_are(1, 360, "50 100 150 200 250 300 350");
	ticks_are(1.5e-5, 2e-4, "5e-05 0.0001 0.00015 0.0002");
	ticks_are(3, 3, "");
	ticks_are(NAN, 1, "");
	ticks_are(0, INFINITY, "");
}

static void numbers_are_short(void **state)
{
	static const struct {
		double v, step;
		const char *want;
	} of[] = { { 0, 1, "0" },          { 1200, 200, "1,200" }, { 1234567, 1, "1,234,567" },
		   { 0.25, 0.05, "0.25" }, { 2e-4, 5e-5, "2e-4" }, { -3.5, 0.5, "-3.5" },
		   { 40, 20, "40" },       { 2e7, 1e7, "2e7" },    { 0.05, 0.05, "0.05" } };
	char text[32];
	(void)state;

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		plot_number(text, sizeof(text), of[i].v, of[i].step);
		assert_string_equal(text, of[i].want);
	}
}

static void smoothing_keeps_the_ends_where_they_are(void **state)
{
	const double y[5] = { 1, 2, 9, 4, 5 }, hole[3] = { 1, NAN, 3 };
	double out[5];
	(void)state;

	plot_smooth(y, 5, 3, out);
	assert_close(out[0], 1, 0);
	assert_close(out[1], 4, 1e-12);
	assert_close(out[2], 5, 1e-12);
	assert_close(out[4], 5, 0);
	plot_smooth(hole, 3, 3, out);
	assert_close(out[1], 2, 1e-12);
}

static void draw(struct plot p, struct buf *out)
{
	buf_clear(out);
	plot_svg(out, &p);
	assert_false(buf_failed(out));
	assert_contains(buf_str(out), "<svg ");
	assert_string_equal(buf_str(out) + out->len - 7, "</svg>\n");
	assert_null(strstr(buf_str(out), "nan"));
	assert_null(strstr(buf_str(out), "inf"));
}

static void a_plot_is_whole_whatever_it_is_given(void **state)
{
	double x[3000], y[3000];
	struct buf svg = { 0 };
	struct plot_line line[2] = { { .name = "<b>&\"run 1\"", .x = x, .y = y, .n = 3000 },
		                     { .name = "two", .x = x, .y = y, .n = 1, .points = true } };
	(void)state;

	for (int i = 0; i < 3000; i++) {
		x[i] = i;
		y[i] = i % 100 == 7 ? NAN : i % 100 == 8 ? INFINITY : sin(i * 0.01);
	}
	draw((struct plot){ .title = "a < b", .line = line, .n = 2 }, &svg);
	assert_contains(buf_str(&svg), "&lt;b&gt;&amp;&quot;run 1&quot;");
	assert_contains(buf_str(&svg), "a &lt; b");
	assert_contains(buf_str(&svg), "<circle ");
	/* thinned: no more than the picture has room for */
	assert_true(svg.len < 60000);
	draw((struct plot){ .line = line, .n = 2, .log_y = true, .y_label = "loss" }, &svg);
	draw((struct plot){ .line = line, .n = 2, .share_y = true }, &svg);
	assert_contains(buf_str(&svg), ">100 %<");
	line[0].n = line[1].n = 0;
	draw((struct plot){ .line = line, .n = 2 }, &svg);
	assert_contains(buf_str(&svg), "no figures yet");
	y[0] = 0;
	line[0].n = 1;
	draw((struct plot){ .line = line, .n = 1 }, &svg);
	draw((struct plot){ .line = line, .n = 1, .log_y = true }, &svg);
	assert_contains(buf_str(&svg), "no figures yet");
	buf_release(&svg);
}

static int count_of(const struct buf *svg, const char *what)
{
	int n = 0;

	for (const char *p = buf_str(svg); (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void stacked_areas_reach_their_sum_and_bear_their_names(void **state)
{
	const double x[] = { 1, 2, 3, 4 }, most[] = { 60, 50, 50, 40 },
		     rest[] = { NAN, 50, 50, 60 };
	const struct plot_line line[] = { { .name = "builds", .x = x, .y = most, .n = 4 },
		                          { .name = "fails", .x = x, .y = rest, .n = 4 } };
	struct buf svg = { 0 };
	(void)state;

	draw((struct plot){ .line = line, .n = 2, .stacked = true, .title = "classes" }, &svg);
	/* once in the legend, once in the area */
	assert_int_equal(count_of(&svg, ">builds<"), 2);
	assert_int_equal(count_of(&svg, ">fails<"), 2);
	assert_contains(buf_str(&svg), ">100<");
	draw((struct plot){ .line = line, .n = 2, .stacked = true, .share_y = true }, &svg);
	assert_contains(buf_str(&svg), ">1.5<");
	draw((struct plot){ .line = line, .n = 2, .stacked = true, .whole_x = true }, &svg);
	assert_null(strstr(buf_str(&svg), ">1.5<"));
	assert_contains(buf_str(&svg), ">2<");
	buf_release(&svg);
}

static void intervals_marks_and_dots_are_drawn_where_there_are_any(void **state)
{
	const double x[] = { 1, 2, 3, 4 }, y[] = { 0.25, 0.5, 0.75, NAN };
	const double low[] = { 0.125, 0.25, 0.5, NAN }, high[] = { 0.5, 0.75, 0.875, NAN };
	const struct plot_line line[] = {
		{ .name = "rate", .x = x, .y = y, .n = 4, .low = low, .high = high },
		{ .name = "each", .x = x, .y = y, .n = 4, .dots = true, .colour = 1 },
	};
	const struct plot_mark mark[] = { { 2, "alarm" }, { 99, "far off" }, { NAN, "none" } };
	struct buf svg = { 0 };
	(void)state;

	draw((struct plot){ .line = line, .n = 2, .share_y = true, .mark = mark, .n_marks = 3 },
	     &svg);
	assert_int_equal(count_of(&svg, "fill-opacity=\"0.15\""), 1);
	assert_int_equal(count_of(&svg, "<circle"), 4); /* three and the legend's */
	assert_int_equal(count_of(&svg, "#d55e00"), 0); /* both have the first one's colour */
	assert_int_equal(count_of(&svg, "alarm"), 1);
	assert_int_equal(count_of(&svg, "far off"), 0);
	buf_release(&svg);
}

static void a_long_legend_stands_in_rows_for_which_the_picture_grows(void **state)
{
	const double x[] = { 1, 2 }, y[] = { 1, 2 };
	struct plot_line line[12];
	struct buf svg = { 0 };
	(void)state;

	for (int i = 0; i < 12; i++)
		line[i] = (struct plot_line){
			.name = "disconnected or weak", .x = x, .y = y, .n = 2
		};
	draw((struct plot){ .line = line, .n = 2, .title = "two" }, &svg);
	assert_contains(buf_str(&svg), "height=\"340\"");
	draw((struct plot){ .line = line, .n = 12, .title = "many" }, &svg);
	assert_contains(buf_str(&svg), "height=\"412\"");
	buf_release(&svg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticks_are_round_and_few),
		cmocka_unit_test(numbers_are_short),
		cmocka_unit_test(smoothing_keeps_the_ends_where_they_are),
		cmocka_unit_test(a_plot_is_whole_whatever_it_is_given),
		cmocka_unit_test(stacked_areas_reach_their_sum_and_bear_their_names),
		cmocka_unit_test(intervals_marks_and_dots_are_drawn_where_there_are_any),
		cmocka_unit_test(a_long_legend_stands_in_rows_for_which_the_picture_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
