/*
 * t_page.c - pages of turns and episodes: whole, and texts of strangers stay text.
 */
#include "tests/lib.h"

#include "src/page.h"

static cJSON *score(const char *text)
{
	struct err e = { 0 };
	cJSON *o = json_parse(text, strlen(text), &e);

	if (!o)
		fail_msg("%s", e.text);
	return o;
}

static const char built[] =
	"{\"build\": {\"ok\": true, \"class\": \"build_ok\"}, \"reward\": {\"total\": 0.8123, "
	"\"topology\": 1, \"contact\": null}, \"geometry\": {\"solids\": 2, \"faces\": 12, "
	"\"bbox_mm\": [10, 20, 30.5], \"volume_mm3\": 6100}, \"delta\": {\"total\": 0.25, "
	"\"topology\": -0.5}, \"checks\": [{\"id\": \"legs\", \"want\": [3, null], \"got\": 2, \"ok\": "
	"false, \"why\": \"one | leg <i>off</i>\"}, {\"id\": \"box\", \"want\": \"x\", \"got\": \"x\", "
	"\"ok\": true, \"about\": \"outer size\"}, {\"id\": \"odd\", \"want\": null, \"got\": null, \"ok\": null}], \"notes\": "
	"[\"make it *wider*\"]}";

static struct page_turn turn(const cJSON *s)
{
	static const char program[] = "x = 1\nprint('</pre><script>```')\n";

	return (struct page_turn){ .number = 2,
		                   .parent = 1,
		                   .source = "command",
		                   .finish = "stop",
		                   .score = s,
		                   .program = program,
		                   .program_len = sizeof(program) - 1,
		                   .log = "\x1b[31mred\n",
		                   .log_len = 9 };
}

static void has(const struct buf *b, const char *part)
{
	if (!strstr(buf_str(b), part))
		fail_msg("'%s' is not in:\n%s", part, buf_str(b));
}

static void lacks(const struct buf *b, const char *part)
{
	if (strstr(buf_str(b), part))
		fail_msg("'%s' is in:\n%s", part, buf_str(b));
}

static void a_turn_in_markdown_has_all_of_it(void **state)
{
	cJSON *s = score(built);
	struct page_turn t = turn(s);
	struct buf b = { 0 };

	(void)state;
	t.sheet_name = "sheet.png";
	t.judgements = "me: 4 of 5\n";
	page_turn_markdown(&b, &t, 1);
	has(&b, "# Turn 2: total 0.8123\n");
	has(&b, "A repair of turn 1. Built: 2 solids, 12 faces; 10.00 x 20.00 x 30.50 mm");
	has(&b, "![views of the part](sheet.png)");
	has(&b, "| topology | 1.000 | -0.5000 |");
	has(&b, "| contact | - | - |");
	has(&b, "| **total** | **0.8123** | +0.2500 |");
	has(&b, "| legs | **no** | at least 3 | 2 | one \\| leg \\<i\\>off\\</i\\> |");
	has(&b, "| box | yes | x | x | outer size |");
	has(&b, "| odd | - | - | - |  |");
	has(&b, "- make it \\*wider\\*");
	has(&b, "me: 4 of 5");
	/* a fence that the program cannot end */
	has(&b, "````python\nx = 1\nprint('</pre><script>```')\n````\n");
	has(&b, "\\x1b[31mred");
	buf_release(&b);
	cJSON_Delete(s);
}

static void a_turn_that_did_not_build_says_why(void **state)
{
	cJSON *s = score("{\"build\": {\"ok\": false, \"class\": \"syntax_closure\", \"line\": 3, "
	                 "\"exception\": \"SyntaxError\", \"error\": \"'(' was never closed\"}, "
	                 "\"reward\": {\"total\": null}, \"checks\": [], \"notes\": [], \"delta\": "
	                 "null, \"geometry\": null}");
	struct page_turn t = turn(s);
	struct buf b = { 0 };

	(void)state;
	page_turn_markdown(&b, &t, 2);
	has(&b, "## Turn 2: total -\n");
	has(&b, "Not built: line 3: SyntaxError: '(' was never closed. Class: syntax_closure.");
	lacks(&b, "Reward");
	lacks(&b, "Checks");
	lacks(&b, "Notes");
	buf_release(&b);
	cJSON_Delete(s);
}

static void an_episode_in_markdown_shows_what_changed_and_says_things_once(void **state)
{
	static const char one[] = "a = 1\nb = 2\n", two[] = "a = 1\nb = '```'\n";
	cJSON *s = score(built);
	cJSON *first = score("[{\"role\": \"system\", \"content\": \"You write.\"}, {\"role\": "
	                     "\"user\", \"content\": \"A hook.\\nOf steel.\"}]");
	cJSON *second = score("[{\"role\": \"system\", \"content\": \"You write.\"}, {\"role\": "
	                      "\"user\", \"content\": \"A hook.\\nOf steel.\\n\\nIt leans.\"}]");
	cJSON *files = score("[{\"name\": \"shape.stl\", \"there\": true}, {\"name\": "
	                     "\"isometric.png\", \"there\": true}, {\"name\": \"gone.step\", "
	                     "\"there\": false}, {\"name\": \"a](b) c\", \"there\": true}]");
	struct page_turn t[3] = { turn(s), turn(s), turn(s) };
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		t[i].number = i + 1;
		t[i].parent = i;
		t[i].program = i ? two : one;
		t[i].program_len = strlen(t[i].program);
		t[i].prompt = i ? second : first;
	}
	t[1].folder = "turn-2";
	t[1].artifacts = files;
	struct page_episode ep = {
		.task = "hook", .profile = "exact", .best = 2, .turns = t, .n_turns = 3
	};
	page_markdown(&b, &ep);
	has(&b, "![the best turn](turn-2/isometric.png)\n");
	has(&b, "```python\na = 1\nb = 2\n```\n");
	has(&b,
	    "Against turn 1, 1 line came and 1 went:\n\n````diff\n--- turn 1\n+++ turn 2\n@@ -1,2 +1,2 @@\n"
	    " a = 1\n-b = 2\n+b = '```'\n````\n");
	has(&b, "<details><summary>all of it, 16 bytes</summary>\n\n````python\na = 1\n");
	has(&b, "The same as in turn 2.\n");
	has(&b, "<summary>system, 10 bytes</summary>\n\n```\nYou write.\n```\n\n</details>");
	has(&b, "system: as in turn 1.\n");
	has(&b, "<summary>user: as in turn 1, then 11 bytes</summary>\n\n```\nIt leans.\n```\n");
	has(&b, "Files: [shape.stl](turn-2/shape.stl), [isometric.png](turn-2/isometric.png).\n");
	lacks(&b, "gone.step");
	lacks(&b, "a](b)");
	buf_release(&b);
	cJSON_Delete(s);
	cJSON_Delete(first);
	cJSON_Delete(second);
	cJSON_Delete(files);
}

static void an_episode_in_html_is_one_file_without_script(void **state)
{
	cJSON *s = score(built);
	struct page_turn t[2] = { turn(s), turn(s) };
	struct buf b = { 0 };
	cJSON *prompt = score("[{\"role\": \"user\", \"content\": \"<img src=x onerror=y>\"}]");

	(void)state;
	t[0].number = 1;
	t[0].parent = 0;
	t[1].sheet = "\x89PNG";
	t[1].sheet_len = 4;
	t[1].prompt = prompt;
	struct page_episode ep = { .task = "a<b>",
		                   .prompt = "\"quoted\" & <odd>",
		                   .profile = "exact",
		                   .when = "2026-11-22T10:00:00.000000Z",
		                   .end = "turns",
		                   .best = 2,
		                   .turns = t,
		                   .n_turns = 2 };
	page_html(&b, &ep);
	has(&b, "<!doctype html>");
	has(&b, "<h1>a&lt;b&gt;</h1>");
	has(&b, "&quot;quoted&quot; &amp; &lt;odd&gt;");
	has(&b, "src=\"data:image/png;base64,iVBORw==\"");
	has(&b, "print('&lt;/pre&gt;&lt;script&gt;");
	has(&b, "&lt;img src=x");
	has(&b, "<section id=turn-2><h2>Turn 2: total 0.8123 (best)</h2>");
	lacks(&b, "<script");
	lacks(&b, "<img src=x");
	lacks(&b, "<b>note");
	buf_clear(&b);
	page_markdown(&b, &ep);
	has(&b, "# a\\<b\\>\n");
	has(&b, "| [1](#turn-1) | - | 0.8123 | +0.2500 | build_ok |\n"
	        "| **[2](#turn-2)** | [1](#turn-1) | ");
	has(&b, "## Turn 2\n\n**Total 0.8123**, +0.2500 against turn 1, the best. A repair of "
	        "[turn 1](#turn-1). Built");
	has(&b, "Ended: turns.");
	buf_release(&b);
	cJSON_Delete(s);
	cJSON_Delete(prompt);
}

static void nothing_at_all_is_a_page_too(void **state)
{
	struct page_turn t = { 0 };
	struct page_episode ep = { .task = "", .profile = "", .turns = &t, .n_turns = 1 };
	struct buf b = { 0 };

	(void)state;
	page_turn_markdown(&b, &t, 1);
	page_markdown(&b, &ep);
	page_html(&b, &ep);
	has(&b, "</html>");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_in_markdown_has_all_of_it),
		cmocka_unit_test(a_turn_that_did_not_build_says_why),
		cmocka_unit_test(an_episode_in_markdown_shows_what_changed_and_says_things_once),
		cmocka_unit_test(an_episode_in_html_is_one_file_without_script),
		cmocka_unit_test(nothing_at_all_is_a_page_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
