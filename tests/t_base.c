/* t_base.c - errors, buffers, clean text, JSON and frames: src/base. */
#include "tests/lib.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/linediff.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"

static void an_error_says_where_then_what(void **state)
{
	struct err e = { 0 };
	(void)state;
	assert_int_equal(err_set(&e, ERR_INPUT, "3 numbers wanted, got %d", 2), -1);
	assert_int_equal(err_wrap(&e, "task %s", "hook"), -1);
	assert_string_equal(e.text, "task hook: 3 numbers wanted, got 2");
	assert_int_equal(err_exit_status(&e), 2);
	assert_int_equal(err_set(NULL, ERR_INPUT, "nobody listens"), -1);
}

static void a_long_error_is_cut_and_still_a_string(void **state)
{
	struct err e = { 0 };
	char big[2000];
	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_IO, "%s", big);
	err_wrap(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void a_buffer_keeps_bytes_and_a_nul_after_them(void **state)
{
	struct buf b = { 0 };
	(void)state;
	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	for (int i = 0; i < 1943; i++) {
		buf_consume(&b, 2);
		assert_int_equal(strlen(b.data), b.len);
		if (i % 100 == 0)
			buf_addc(&b, '!');
	}
	assert_int_equal(b.len, 24);
	assert_string_equal(buf_str(&b) + 4, "!!!!!!!!!!!!!!!!!!!!");
	buf_clear(&b);
	buf_adds(&b, "998,999,");
	buf_consume(&b, 4);
	assert_string_equal(buf_str(&b), "999,");
	buf_consume(&b, 99);
	assert_int_equal(b.len, 0);
	buf_release(&b);
	buf_release(&b);
}

static void a_secret_buffer_grows_and_a_fork_has_none_of_it(void **state)
{
	struct buf b = { .secret = true };
	size_t len;
	int status;
	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 588890);
	assert_memory_equal(b.data + b.len - 6, "99999,", 6);
	pid_t pid = fork();
	if (pid == 0) {
		/* the pages are not there: EFAULT */
		int p[2];
		bool gone = pipe(p) == 0 && write(p[1], b.data, 1) < 0;
		buf_release(&b);
		_exit(gone ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	char *text = buf_take(&b, &len);
	assert_int_equal(strlen(text), len);
	free(text);
	assert_null(b.data);
	buf_adds(&b, "again");
	assert_string_equal(buf_str(&b), "again");
	buf_release(&b);
	buf_release(&b);
}

static void json_of_too_many_values_is_refused(void **state)
{
	struct err e = { 0 };
	cJSON *v;
	(void)state;
	v = json_parse_bounded("[1,2,\"a,b,c,[\"]", 15, 5, &e);
	assert_non_null(v);
	cJSON_Delete(v);
	assert_null(json_parse_bounded("[1,2,3,4]", 9, 4, &e));
	assert_contains(e.text, "line 1, column 7: JSON of more values than are taken");
}

static void a_header_alone_says_how_long_its_frame_is(void **state)
{
	unsigned char h[FRAME_HEADER_BYTES];
	struct err e = { 0 };
	uint32_t over = 0;
	size_t whole = 0;
	(void)state;
	frame_header(h, 1, 2, 30, 400);
	assert_int_equal(frame_whole(h, 0, 0, &whole, &over, &e), 0);
	assert_int_equal(whole, FRAME_HEADER_BYTES + 430);
	assert_int_equal(frame_whole(h, 29, 0, &whole, &over, &e), -1);
	assert_int_equal(over, 0);
	assert_int_equal(frame_whole(h, 30, 399, &whole, &over, &e), -1);
	assert_int_equal(over, 400);
}

static void reading_a_file_says_what_is_wrong_with_it(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	char dir[] = "/tmp/cadforge-base-XXXXXX", path[64];
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(buf_read_file(&b, dir, 10, &e), -1);
	assert_contains(e.text, "is a directory");
	snprintf(path, sizeof(path), "%s/missing", dir);
	assert_int_equal(buf_read_file(&b, path, 10, &e), -1);
	assert_contains(e.text, "No such file");
	snprintf(path, sizeof(path), "%s/pipe", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(buf_read_file(&b, path, 10, &e), -1);
	assert_contains(e.text, "not a regular file");
	unlink(path);
	snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(file_write_atomic(path, "0123456789ab", 12, &e), 0);
	assert_int_equal(buf_read_file(&b, path, 10, &e), -1);
	assert_contains(e.text, "has 12 bytes, at most 10");
	assert_int_equal(buf_read_file(&b, path, 12, &e), 0);
	assert_string_equal(buf_str(&b), "0123456789ab");
	buf_release(&b);
	unlink(path);
	rmdir(dir);
}

static const char *cleaned(struct buf *b, const char *text, size_t len)
{
	buf_clear(b);
	utf8_clean(b, text, len);
	return buf_str(b);
}

static void text_from_strangers_cannot_move_the_cursor(void **state)
{
	struct buf b = { 0 };
	(void)state;
	assert_string_equal(cleaned(&b, "a\x1b[2Jb", 6), "a\\x1b[2Jb");
	assert_string_equal(cleaned(&b, "a\0b", 3), "a\\x00b");
	assert_string_equal(cleaned(&b, "x\r\ny\rz", 6), "x\ny\\x0dz");
	assert_string_equal(cleaned(&b,
	                            "\xc2\x9b"
	                            "31m",
	                            5),
	                    "\\u009b31m");
	assert_string_equal(cleaned(&b,
	                            "\xe2\x80\xae"
	                            "abc",
	                            6),
	                    "\\u202eabc");
	assert_string_equal(cleaned(&b, "\xf3\xa0\x80\x81", 4), "\\U000e0001");
	assert_string_equal(cleaned(&b, "\xff\xc0\xaf", 3), "\\xff\\xc0\\xaf");
	assert_string_equal(cleaned(&b,
	                            "Gr\xc3\xb6\xc3\x9f"
	                            "e \xe5\xa3\x81\t\n",
	                            13),
	                    "Gr\xc3\xb6\xc3\x9f"
	                    "e \xe5\xa3\x81\t\n");
	buf_clear(&b);
	utf8_clean_line(&b, "a\nb\r\nc\x1b\n", 8);
	assert_string_equal(buf_str(&b), "a\\nb\\x0d\\nc\\x1b\\n");
	buf_release(&b);
	size_t at = 99;
	assert_true(utf8_plain("Gr\xc3\xb6"
	                       "\r\n\t\xe5\xa3\x81",
	                       10, &at));
	assert_false(utf8_plain("ab\x1b", 3, &at));
	assert_int_equal(at, 2);
	assert_false(utf8_plain("a\r", 2, &at));
	assert_int_equal(at, 1);
	assert_false(utf8_plain("abc\xe2\x80\xae", 6, &at));
	assert_int_equal(at, 3);
	assert_false(utf8_plain("\xc0\xaf", 2, &at));
	assert_int_equal(at, 0);
}

static void utf8_refuses_what_is_not_the_shortest_form(void **state)
{
	static const struct {
		const char *bytes;
		int len, want;
	} c[] = { { "a", 1, 1 },
		  { "\xc3\xb6", 2, 2 },
		  { "\xc3", 1, 0 },
		  { "\xe0\x80\xaf", 3, 0 },
		  { "\xed\xa0\x80", 3, 0 },
		  { "\xf4\x90\x80\x80", 4, 0 },
		  { "\xf0\x9f\x98\x80", 4, 4 },
		  { "\xf8\x88\x80\x80", 4, 0 },
		  { "\x80", 1, 0 } };
	uint32_t cp;
	size_t at;
	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++)
		assert_int_equal(utf8_decode(c[i].bytes, (size_t)c[i].len, &cp), c[i].want);
	assert_false(utf8_valid("ab\xff", 3, &at));
	assert_int_equal(at, 2);
}

static void json_errors_name_line_and_column(void **state)
{
	struct err e = { 0 };
	(void)state;
	assert_null(json_parse("{\"a\": 1,\n  oops}", 16, &e));
	assert_contains(e.text, "line 2");
	assert_null(json_parse("{} x", 4, &e));
	assert_contains(e.text, "text after");
	assert_null(json_parse("", 0, &e));
	char deep[5000];
	memset(deep, '[', sizeof(deep));
	assert_null(json_parse(deep, sizeof(deep), &e));
	assert_contains(e.text, "512 levels");
}

static void json_reads_are_typed_and_figures_that_do_not_apply_are_null(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	double v[3];
	long long n;
	(void)state;
	cJSON *o = json_parse("{\"box\":[1,2],\"n\":2.5}", 21, &e);
	assert_non_null(o);
	assert_int_equal(json_get_numbers(o, "box", v, 3, &e), -1);
	assert_string_equal(e.text, "box: 3 numbers wanted, got 2");
	assert_int_equal(json_get_int(o, "n", 0, 9, &n, &e), -1);
	assert_contains(e.text, "a whole number");
	cJSON_Delete(o);
	o = cJSON_CreateObject();
	json_add_figure(o, "a", NAN);
	json_add_figure(o, "b", 0.1);
	json_add_text(o, "c", NULL);
	json_print(&b, o);
	assert_string_equal(buf_str(&b), "{\"a\":null,\"b\":0.1,\"c\":null}");
	cJSON_Delete(o);
	buf_release(&b);
}

static void numbers_come_back_to_the_last_bit(void **state)
{
	static const double v[] = { 160.0 / 180.0, 888.8888888888889 / 1000,
		                    0.1 + 0.2,     1e-7,
		                    5e-324,        1.7976931348623157e308,
		                    -0.0,          123456789012345678.0 };
	struct err e = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct buf b = { 0 };
		cJSON *o = cJSON_CreateObject();
		json_add_figure(o, "v", v[i]);
		json_print(&b, o);
		cJSON_Delete(o);
		o = json_parse(buf_str(&b), b.len, &e);
		assert_true(json_number_or(o, "v", NAN) == v[i]);
		cJSON_Delete(o);
		buf_release(&b);
	}
}

static void frames_survive_being_cut_anywhere(void **state)
{
	struct buf all = { 0 };
	struct err e = { 0 };
	struct frame f;
	(void)state;
	frame_append(&all, 7, 42, "{\"a\":1}", 7, "blob\0x", 6);
	frame_append(&all, 8, 43, "", 0, NULL, 0);
	for (size_t cut = 0; cut <= all.len; cut++) {
		struct frame_reader r = { 0 };
		int pair[2], got = 0;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		for (int half = 0; half < 2; half++) {
			size_t from = half ? cut : 0, to = half ? all.len : cut;
			if (to > from) {
				assert_int_equal(write(pair[0], all.data + from, to - from),
				                 to - from);
				assert_int_equal(frame_fill(&r, pair[1], &e), to - from);
			}
			while (frame_next(&r, &f, &e) == 1) {
				if (got++ == 0) {
					assert_int_equal(f.type, 7);
					assert_int_equal(f.job, 42);
					assert_memory_equal(f.json, "{\"a\":1}", 7);
					assert_memory_equal(f.blob, "blob\0x", 6);
				} else {
					assert_int_equal(f.type, 8);
					assert_int_equal(f.json_len + f.blob_len, 0);
				}
			}
		}
		assert_int_equal(got, 2);
		close(pair[0]);
		assert_int_equal(frame_fill(&r, pair[1], &e), 0);
		close(pair[1]);
		frame_reader_release(&r);
	}
	buf_release(&all);
}

static void a_frame_that_lies_about_its_length_is_refused_at_once(void **state)
{
	struct frame_reader r = { .json_max = 100, .blob_max = 100 };
	struct err e = { 0 };
	struct frame f;
	unsigned char h[FRAME_HEADER_BYTES];
	int pair[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	frame_header(h, 1, 1, 101, 0);
	assert_int_equal(write(pair[0], h, sizeof(h)), sizeof(h));
	assert_true(frame_fill(&r, pair[1], &e) > 0);
	assert_int_equal(frame_next(&r, &f, &e), -1);
	assert_contains(e.text, "101 bytes of JSON, at most 100");
	frame_reader_release(&r);
	assert_int_equal(write(pair[0], "GET ", 4), 4);
	assert_true(frame_fill(&r, pair[1], &e) > 0);
	assert_int_equal(frame_next(&r, &f, &e), -1);
	assert_contains(e.text, "does not begin with");
	frame_reader_release(&r);
	close(pair[0]);
	close(pair[1]);
}

static void a_digest_is_that_of_the_standard(void **state)
{
	/* NIST's examples for FIPS 180-4, "SHA256ShortMsg" and the million a's */
	static const struct {
		const char *text, *hex;
	} known[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
		  "klmnopqrlmnopqrsmnopqrstnopqrstu",
		  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	};
	char hex[SHA256_HEX], part[1000];
	struct sha256 s;
	(void)state;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		sha256_hex(known[i].text, strlen(known[i].text), hex);
		assert_string_equal(hex, known[i].hex);
	}
	memset(part, 'a', sizeof(part));
	sha256_start(&s);
	for (int i = 0; i < 1000; i++) {
		sha256_add(&s, part, 0);
		sha256_add(&s, part, (size_t)i);
		sha256_add(&s, part, sizeof(part) - (size_t)i);
	}
	sha256_end_hex(&s, hex);
	assert_string_equal(hex,
	                    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void a_line_diff_shows_what_changed_and_no_more(void **state)
{
	static const struct {
		const char *a, *b, *want;
		int removed, added;
	} cases[] = {
		{ "a\nb\n", "a\nb\n", "", 0, 0 },
		{ "", "", "", 0, 0 },
		{ "", "a\n", "--- x\n+++ y\n@@ -0,0 +1 @@\n+a\n", 0, 1 },
		{ "a\n", "", "--- x\n+++ y\n@@ -1 +0,0 @@\n-a\n", 1, 0 },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
		  "--- x\n+++ y\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n", 1, 1 },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "2\n3\n4\n5\n6\n7\n8\n9\n10\n",
		  "--- x\n+++ y\n@@ -1,2 +1 @@\n-1\n 2\n@@ -9 +8,2 @@\n 9\n+10\n", 1, 1 },
		{ "a\nb\nc\nd\n", "b\nx\nd\n",
		  "--- x\n+++ y\n@@ -1,4 +1,3 @@\n-a\n b\n-c\n+x\n d\n", 2, 1 },
		{ "a", "a\n", "--- x\n+++ y\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n",
		  1, 1 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		struct linediff n;
		struct err e;
		assert_int_equal(linediff(&b, cases[i].a, strlen(cases[i].a), "x", cases[i].b,
		                          strlen(cases[i].b), "y", 1, &n, &e),
		                 0);
		assert_string_equal(buf_str(&b), cases[i].want);
		assert_int_equal(n.removed, cases[i].removed);
		assert_int_equal(n.added, cases[i].added);
		buf_release(&b);
	}
}

/* A row a line: sign and numbers; the rows have all of both texts. */
static void lines_are_set_beside_those_they_came_from(void **state)
{
	static const struct {
		const char *a, *b, *want;
		int removed, added;
	} cases[] = {
		{ "", "", "", 0, 0 },
		{ "a\nb", "a\nb\n", " 1,1 ~2,2", 1, 1 },
		{ "a\nb\n", "", "-1 -2", 2, 0 },
		{ "", "a\nb\n", "+1 +2", 0, 2 },
		/* the union that lost a parenthesis, and what was added below it */
		{ "def f():\n    arms = plate().union(arm(1).union(arm(-1)\n    return arms\n",
		  "def f():\n    arms = plate().union(arm(1)).union(arm(-1))\n    axle = "
		  "cq.Workplane()\n    return arms.union(axle)\n",
		  " 1,1 ~2,2 +3 ~3,4", 2, 3 },
		/* a line that came before the one that changed */
		{ "width = 10\nend\n", "# a plate\nwidth = 12\nend\n", "+1 ~1,2 2,3", 1, 2 },
		{ "import cadquery\nend\n", "x = 1\nend\n", "-1 +1 2,2", 1, 1 },
		{ "\n\nb\n", "\nb\n", " 1,1 -2 3,2", 1, 0 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct linediff_row *rows;
		struct linediff count;
		struct buf got = { 0 };
		struct err e;
		int n;
		assert_int_equal(linediff_rows(&rows, &n, cases[i].a, strlen(cases[i].a),
		                               cases[i].b, strlen(cases[i].b), &count, &e),
		                 0);
		for (int r = 0; r < n; r++) {
			const struct linediff_row *x = &rows[r];
			buf_adds(&got, r ? " " : "");
			if (x->sign != ' ' || r == 0)
				buf_addc(&got, x->sign);
			assert_true((x->left_no > 0) == (x->left != NULL));
			assert_true((x->right_no > 0) == (x->right != NULL));
			buf_printf(&got, x->left_no && x->right_no ? "%d,%d" : "%d",
			           x->left_no ? x->left_no : x->right_no, x->right_no);
			assert_false(x->left && memchr(x->left, '\n', x->left_len));
			assert_false(x->right && memchr(x->right, '\n', x->right_len));
		}
		assert_string_equal(buf_str(&got), cases[i].want);
		assert_int_equal(count.removed, cases[i].removed);
		assert_int_equal(count.added, cases[i].added);
		free(rows);
		buf_release(&got);
	}
}

/* The most work: every line differs, beyond what is compared pair by pair. */
static void a_line_diff_of_long_texts_ends_soon(void **state)
{
	struct buf a = { 0 }, b = { 0 }, out = { 0 };
	struct linediff n;
	struct err e;
	(void)state;

	for (int i = 0; i < 20000; i++) {
		buf_printf(&a, "%d\n", i);
		buf_printf(&b, "%d\n", -i - 1);
	}
	assert_int_equal(
		linediff(&out, buf_str(&a), a.len, "x", buf_str(&b), b.len, "y", 3, &n, &e), 0);
	assert_int_equal(n.removed, 20000);
	assert_int_equal(n.added, 20000);
	buf_release(&a);
	buf_release(&b);
	buf_release(&out);
}

static void a_json_value_s_line_is_found(void **state)
{
	const char *text = "{\"a\": [1,\n 2, {\"b\\\"\":\n\"{[,\"}],\n\n\"c\" :\n null, "
			   "\"d\": {},\n\"d\": true}";
	struct err e;
	cJSON *o = json_parse(text, strlen(text), &e);
	(void)state;

	assert_non_null(o);
	const cJSON *a = o->child, *two = a->child->next, *b = two->next, *c = a->next;
	size_t n = strlen(text);
	assert_int_equal(json_line_of(text, n, o, o), 1);
	assert_int_equal(json_line_of(text, n, o, a), 1);
	assert_int_equal(json_line_of(text, n, o, two), 2);
	assert_int_equal(json_line_of(text, n, o, b), 2);
	assert_int_equal(json_line_of(text, n, o, b->child), 3);
	assert_int_equal(json_line_of(text, n, o, c), 6);
	assert_int_equal(json_line_of(text, n, o, c->next), 6);
	assert_int_equal(json_line_of(text, n, o, c->next->next), 7);
	assert_int_equal(json_line_of(text, n, o, NULL), 1);
	cJSON_Delete(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_says_where_then_what),
		cmocka_unit_test(a_long_error_is_cut_and_still_a_string),
		cmocka_unit_test(a_buffer_keeps_bytes_and_a_nul_after_them),
		cmocka_unit_test(a_secret_buffer_grows_and_a_fork_has_none_of_it),
		cmocka_unit_test(json_of_too_many_values_is_refused),
		cmocka_unit_test(a_header_alone_says_how_long_its_frame_is),
		cmocka_unit_test(reading_a_file_says_what_is_wrong_with_it),
		cmocka_unit_test(text_from_strangers_cannot_move_the_cursor),
		cmocka_unit_test(utf8_refuses_what_is_not_the_shortest_form),
		cmocka_unit_test(json_errors_name_line_and_column),
		cmocka_unit_test(json_reads_are_typed_and_figures_that_do_not_apply_are_null),
		cmocka_unit_test(numbers_come_back_to_the_last_bit),
		cmocka_unit_test(frames_survive_being_cut_anywhere),
		cmocka_unit_test(a_frame_that_lies_about_its_length_is_refused_at_once),
		cmocka_unit_test(a_digest_is_that_of_the_standard),
		cmocka_unit_test(a_line_diff_shows_what_changed_and_no_more),
		cmocka_unit_test(lines_are_set_beside_those_they_came_from),
		cmocka_unit_test(a_line_diff_of_long_texts_ends_soon),
		cmocka_unit_test(a_json_value_s_line_is_found),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
