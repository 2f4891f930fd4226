/*
 * t_page.c - pages of turns and episodes: whole, and texts of strangers stay text.
 */
#include "tests/lib.h"

#include "src/base/utf8.h"
#include "src/episode_page.h"

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

/* ---- in HTML ---- */

static void put(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

static int times(const struct buf *b, const char *part)
{
	int n = 0;

	for (const char *p = buf_str(b); (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

/* Every element that is opened is closed, in turn; none but those that the page is made of. */
static void assert_sound(const struct buf *page)
{
	static const char *const empty[] = { "!doctype", "meta", "img", "line", "rect" };
	static const char *const known[] = {
		"html",       "head", "title",  "style",  "body",   "header", "p",       "h1",
		"h2",         "h3",   "h4",     "nav",    "div",    "button", "ol",      "ul",
		"li",         "a",    "b",      "span",   "main",   "figure", "section", "table",
		"tr",         "th",   "td",     "svg",    "text",   "pre",    "details", "summary",
		"figcaption", "kbd",  "footer", "script", "dialog", "canvas", "noscript"
	};
	char open[64][16];
	int depth = 0;

	for (const char *p = buf_str(page); (p = strchr(p, '<')); p++) {
		char name[16] = "";
		bool end = p[1] == '/', found = false;
		sscanf(p + 1 + end, "%15[a-z0-9!]", name);
		for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++)
			if (strcmp(name, empty[i]) == 0)
				goto next;
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			found = found || strcmp(name, known[i]) == 0;
		if (!found)
			fail_msg("an element '%s': %.60s", name, p);
		if (end && (depth == 0 || strcmp(open[depth - 1], name) != 0))
			fail_msg("</%s> closes '%s': %.60s", name, depth ? open[depth - 1] : "", p);
		if (end) {
			depth--;
		} else {
			assert_true(depth < 64);
			snprintf(open[depth++], sizeof(open[0]), "%s", name);
			/* its text is none of ours to read */
			if (strcmp(name, "script") == 0 || strcmp(name, "style") == 0)
				p = strstr(p, end ? ">" : "</") - 1;
		}
	next:;
	}
	assert_int_equal(depth, 0);
}

static void an_episode_in_html_is_one_file_that_asks_for_nothing(void **state)
{
	cJSON *s = score(built);
	struct page_turn t[3] = { turn(s), turn(s), turn(s) };
	struct episode_view view[3] = { 0 };
	struct buf b = { 0 };
	cJSON *prompt = score("[{\"role\": \"user\", \"content\": \"<img src=x onerror=y>\"}]");

	(void)state;
	t[0].number = 1;
	t[0].parent = 0;
	t[0].program = "y = 1\n";
	t[0].program_len = 6;
	t[2].number = 3;
	t[2].parent = 2;
	t[1].prompt = prompt;
	t[1].judgements = "me: 4 of 5 - a <b>note</b>\nyou: 2 of 5\n";
	snprintf(view[0].why, sizeof(view[0].why), "There is <no> part.");
	view[1].n = 1;
	snprintf(view[1].picture[0].name, sizeof(view[1].picture[0].name), "front");
	put(&view[1].picture[0].png, "\x89PNG");
	put(&view[1].glb, "glTF one");
	put(&view[2].glb, "glTF one");
	struct page_episode ep = { .task = "a<b>",
		                   .prompt = "\"quoted\" & <odd>",
		                   .profile = "exact",
		                   .when = "2026-11-22 10:00 UTC",
		                   .end = "turns",
		                   .best = 2,
		                   .turns = t,
		                   .n_turns = 3 };
	episode_page(&b, &ep, view);
	assert_sound(&b);
	has(&b, "<!doctype html>");
	has(&b, "content=\"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
	        "style-src 'sha256-");
	has(&b, "<h1>a&lt;b&gt;</h1>");
	has(&b, "&quot;quoted&quot; &amp; &lt;odd&gt;");
	has(&b, "alt=\"front of the part of turn 2\" src=\"data:image/png;base64,iVBORw==\"");
	has(&b, "<section class=\"turn best\" id=\"turn-2\" data-turn=\"2\" data-glb=\"glb-2\">");
	has(&b, "+0.2500</span> <span class=\"faint\">against turn 1</span>");
	has(&b, "There is &lt;no&gt; part.");
	has(&b, "2 solids · 12 faces · 10.00 × 20.00 × 30.50 mm · 6100 mm³");
	/* each term has its bar, and the line where the turn before was */
	has(&b, "<td>topology</td><td class=\"bar\"><svg");
	has(&b, "width=\"100.00\"");
	has(&b, "x1=\"100.00\"");
	has(&b, "<tr class=\"total\"><td>total</td>");
	has(&b, "legs</td><td class=\"state bad\">✗ no</td><td>at least 3</td><td>2</td>");
	has(&b, "Checks · 1 of 2 hold");
	has(&b, "<li>make it *wider*</li>");
	has(&b, "<li>me: 4 of 5 - a &lt;b&gt;note&lt;/b&gt;</li>\n<li>you: 2 of 5</li>");
	/* what it changed, with both numbers; then all of it */
	has(&b, "Difference to turn 1 <span class=\"faint\">· 2 lines came, 1 went");
	has(&b, "<span class=\"del\" data-a=\"   1\" data-b=\"    \">-y = 1\n</span>");
	has(&b, "<span class=\"add\" data-a=\"    \" data-b=\"   1\">+x = 1\n</span>");
	has(&b, "none: the program is the same");
	has(&b, "print('&lt;/pre&gt;&lt;script&gt;");
	has(&b, "&lt;img src=x");
	has(&b, "\\x1b[31mred");
	/* an equal part is in the file once, and its name is one of a file */
	assert_int_equal(times(&b, "Z2xURiBvbmU="), 1);
	assert_int_equal(times(&b, "data-glb=\"glb-2\""), 2);
	has(&b, "download=\"a-b--turn-2.glb\" href=\"data:model/gltf-binary;base64,Z2xURiBvbmU=\"");
	/* nothing from anywhere, and no script but the two */
	assert_int_equal(times(&b, "<script"), 2);
	assert_int_equal(times(&b, "</script"), 2);
	lacks(&b, "<img src=x");
	lacks(&b, "<b>note");
	lacks(&b, "http:");
	lacks(&b, "https:");
	lacks(&b, "@import");
	lacks(&b, "url(");
	lacks(&b, "innerHTML");
	/* what is ours of it is small */
	assert_in_range(b.len, 10000, 80000);
	for (int i = 0; i < 3; i++)
		episode_view_release(&view[i]);
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

/* In every place where a text of a stranger's comes to stand. */
static void hostile_text_is_shown_and_does_nothing(void **state)
{
	static const char evil[] =
		"</script></style></title></pre><script>alert(1)</script><img src=x onerror=alert(2)>"
		"\" onmouseover=\"alert(3) ' `${x}` &lt; <!-- ]]> \xe2\x80\xae\xe2\x81\xa6 \x1b[2J \x01 "
		"\xff\xc0\x80\r\r\n@@ -1 +1 @@\n--- a\n";
	struct buf text = { 0 }, b = { 0 };
	struct episode_view view[2] = { 0 };

	(void)state;
	cJSON *s = cJSON_CreateObject(), *build = cJSON_AddObjectToObject(s, "build");
	cJSON *list = cJSON_AddArrayToObject(s, "checks"), *check = cJSON_CreateObject();
	cJSON *said = cJSON_AddArrayToObject(s, "notes");
	cJSON_AddStringToObject(build, "class", evil);
	cJSON_AddStringToObject(build, "error", evil);
	cJSON_AddStringToObject(build, "exception", evil);
	cJSON_AddNumberToObject(build, "line", 1);
	for (size_t i = 0; i < 4; i++)
		cJSON_AddStringToObject(
			check, ((const char *[]){ "id", "want", "got", "about" })[i], evil);
	cJSON_AddItemToArray(list, check);
	cJSON_AddItemToArray(said, cJSON_CreateString(evil));
	cJSON *prompt = cJSON_CreateArray(), *m = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "role", evil);
	cJSON_AddStringToObject(m, "content", evil);
	cJSON_AddItemToArray(prompt, m);
	buf_add(&text, evil, sizeof(evil)); /* with its NUL */
	struct page_turn t[2];
	for (int i = 0; i < 2; i++) {
		t[i] = (struct page_turn){ .number = i + 1,
			                   .parent = i,
			                   .source = evil,
			                   .finish = evil,
			                   .model = evil,
			                   .score = s,
			                   .prompt = prompt,
			                   .program = text.data + i,
			                   .program_len = text.len - (size_t)i,
			                   .log = text.data,
			                   .log_len = text.len,
			                   .judgements = evil };
		snprintf(view[i].why, sizeof(view[i].why), "%s", evil);
		view[i].n = 1;
		snprintf(view[i].picture[0].name, sizeof(view[i].picture[0].name), "%.31s", evil);
		put(&view[i].picture[0].png, evil);
	}
	put(&view[1].glb, evil);
	struct page_episode ep = { .task = evil,
		                   .level = evil,
		                   .family = evil,
		                   .prompt = evil,
		                   .profile = evil,
		                   .prompts = evil,
		                   .when = evil,
		                   .end = evil,
		                   .best = 2,
		                   .turns = t,
		                   .n_turns = 2 };
	episode_page(&b, &ep, view);
	assert_sound(&b);
	assert_true(strlen(buf_str(&b)) == b.len);
	assert_true(utf8_valid(buf_str(&b), b.len, NULL));
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] < 0x20 && b.data[i] != '\n' && b.data[i] != '\t')
			fail_msg("byte %zu is %#x: %.40s", i, b.data[i], b.data + i);
	has(&b, "&lt;/script&gt;&lt;/style&gt;");
	has(&b, "\\u202e");
	assert_int_equal(times(&b, "<script"), 2);
	lacks(&b, "<img src=x");
	lacks(&b, "\" onmouseover");
	lacks(&b, "\xe2\x80\xae");
	lacks(&b, "\xe2\x81\xa6");
	/* the line that was at fault is marked */
	has(&b, "<span class=\"err\" id=\"turn-1-line-1\">");
	for (int i = 0; i < 2; i++)
		episode_view_release(&view[i]);
	buf_release(&b);
	buf_release(&text);
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
	buf_clear(&b);
	struct episode_view none = { 0 };
	episode_page(&b, &ep, &none);
	assert_sound(&b);
	has(&b, "</html>");
	ep.n_turns = 0;
	buf_clear(&b);
	episode_page(&b, &ep, NULL);
	assert_sound(&b);
	has(&b, "No turn was stored.");
	lacks(&b, "<script");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_in_markdown_has_all_of_it),
		cmocka_unit_test(a_turn_that_did_not_build_says_why),
		cmocka_unit_test(an_episode_in_markdown_shows_what_changed_and_says_things_once),
		cmocka_unit_test(an_episode_in_html_is_one_file_that_asks_for_nothing),
		cmocka_unit_test(hostile_text_is_shown_and_does_nothing),
		cmocka_unit_test(nothing_at_all_is_a_page_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
