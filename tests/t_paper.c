/* A report is the same in Markdown and in HTML, and no text in it is more than text. */
#include "tests/lib.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/paper.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cadforge-paper-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char line[128];
	(void)state;

	snprintf(line, sizeof(line), "rm -rf '%s'", dir);
	return system(line);
}

static void read_file(const char *name, struct buf *out)
{
	char path[128];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	buf_clear(out);
	if (buf_read_file(out, path, 1 << 20, &e) < 0)
		fail_msg("%s", e.text);
}

static void both_forms_have_all_of_it_and_obey_nothing(void **state)
{
	static const char *const columns[] = { "task", ">reward" };
	const double x[] = { 1, 2 }, y[] = { 0.5, 0.75 };
	const struct plot_line line = { .x = x, .y = y, .n = 2 };
	struct err e = { 0 };
	struct buf md = { 0 }, html = { 0 };
	struct paper *p = paper_open(dir, "cadforge test", "Runs <4> & 5", &e);
	(void)state;

	assert_non_null(p);
	paper_heading(p, 2, "Curve of %s", "*run* 4");
	paper_text(p, "%d answers; <script>alert(1)</script>\033[2J\nend", 16);
	paper_warn(p, "reward rises");
	paper_item(p, "one");
	paper_item(p, "two|three");
	paper_table(p, columns, 2);
	paper_cell(p, "%s", "a|b <i>");
	paper_figure(p, "%.2f", 0.5);
	paper_cell(p, "chair");
	paper_figure(p, "%.2f", NAN);
	paper_cell(p, "not whole");
	paper_table_end(p);
	paper_plot(p, "curve.svg", &(struct plot){ .title = "Reward", .line = &line, .n = 1 },
	           "from %s", "steps.csv");
	paper_picture(p, "part.png", "\x89PNG", 4, "a \"part\"");
	paper_fold(p, "the program & more");
	paper_block(p, "python", "a = 1\n```\n</pre>\nb\nc\n", 22, 4);
	paper_fold_end(p);
	paper_file(p, "steps.csv", &md);
	paper_link(p, "steps.csv", "the rows");
	assert_int_equal(paper_close(p, &e), 0);

	read_file("README.md", &md);
	read_file("index.html", &html);
	assert_int_equal(strncmp(buf_str(&md), "<!-- written by cadforge test -->\n# Runs ", 41),
	                 0);
	assert_contains(buf_str(&md), "## Curve of \\*run\\* 4\n\n");
	assert_contains(buf_str(&md),
	                "16 answers; \\<script\\>alert(1)\\</script\\>\\\\x1b\\[2J\\\\nend");
	assert_contains(buf_str(&md), "- one\n- two\\|three\n\n| task | reward |\n|---|--:|\n");
	assert_contains(buf_str(&md),
	                "| a\\|b \\<i\\> | 0.50 |\n| chair | - |\n| not whole |  |\n");
	assert_contains(buf_str(&md), "![Reward](curve.svg)\n\nfrom steps.csv\n\n");
	assert_contains(buf_str(&md), "````python\na = 1\n```\n</pre>\nb\n...\n````\n");
	assert_contains(buf_str(&html), "<h1>Runs &lt;4&gt; &amp; 5</h1>");
	assert_contains(buf_str(&html),
	                "16 answers; &lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J\\nend");
	assert_contains(buf_str(&html), "<li>one</li>\n<li>two|three</li>\n</ul>\n");
	assert_contains(buf_str(&html), "<tr><td>a|b &lt;i&gt;<td class=n>0.50</tr>");
	assert_contains(buf_str(&html), "<figure><svg ");
	assert_contains(buf_str(&html),
	                "alt=\"a &quot;part&quot;\" src=\"data:image/png;base64,iVBORw==\"");
	assert_contains(buf_str(&html), "<pre>a = 1\n```\n&lt;/pre&gt;\nb\n...\n</pre>");
	assert_null(strstr(buf_str(&html), "<script"));
	read_file("curve.svg", &md);
	assert_contains(buf_str(&md), "</svg>");
	read_file("part.png", &md);
	assert_int_equal(md.len, 4);
	buf_release(&md);
	buf_release(&html);
}

static void only_an_earlier_report_is_written_over(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	struct paper *p = paper_open(dir, "cadforge test", "one", &e);
	char path[128];
	(void)state;

	/* one that did not come to its end, too */
	assert_non_null(p);
	paper_drop(p);
	read_file("README.md", &b);
	assert_contains(buf_str(&b), "not finished");
	p = paper_open(dir, "cadforge test", "two", &e);
	assert_non_null(p);
	assert_int_equal(paper_close(p, &e), 0);
	assert_null(paper_open(dir, "cadforge other", "three", &e));
	assert_int_equal(e.kind, ERR_USAGE);
	assert_contains(e.text, "no report of ours");
	snprintf(path, sizeof(path), "%s/README.md/below", dir);
	assert_null(paper_open(path, "cadforge test", "four", &e));
	/* what cannot be written is told at the end */
	snprintf(path, sizeof(path), "%s/index.html", dir);
	unlink(path);
	assert_int_equal(mkdir(path, 0777), 0);
	p = paper_open(dir, "cadforge test", "five", &e);
	assert_non_null(p);
	assert_int_equal(paper_close(p, &e), -1);
	assert_contains(e.text, "index.html");
	buf_release(&b);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(both_forms_have_all_of_it_and_obey_nothing),
		CLAIM(only_an_earlier_report_is_written_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
