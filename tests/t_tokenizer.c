/*
 * t_tokenizer.c - text to ids and back: against the oracle where it is there, against PCRE2,
 * utf8proc and a plain merging loop on random text, and tokenizers of other families refused.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tests/lib.h"

#include <pcre2.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <utf8proc.h>

#include "gpu/pretokenize.h"
#include "gpu/tokenizer.h"
#include "gpu/unicode.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "tests/tiny_tokenizer.h"

/* ---- a tokenizer of our own ---- */

static const char *const merges[][2] = { { "a", "b" },       { "b", "c" },    { "a", "a" },
	                                 { "ab", "c" },      { " ", "a" },    { "a", "bc" },
	                                 { "l", "l" },       { " ", " " },    { "  ", "  " },
	                                 { "\xc3", "\xa9" }, { "'", "s" },    { "\n", "\n" },
	                                 { "aa", "aa" },     { "he", "llo" }, { NULL, NULL } };
static const char *const extra[] = { "he", "llo", "xyz", NULL };
static const char *const added[] = { "!<|endoftext|>", "!<|im_start|>", "!<|im_end|>", "<a>",
	                             "<a><b>",         "<think>",       NULL };
enum { ENDOFTEXT = 256 + 14 + 3, IM_START, IM_END, A, AB, THINK, ONLY_CONFIG };

static const char config[] =
	"{\"added_tokens_decoder\":{\"279\":{\"content\":\"<only config>\",\"special\":true},"
	"\"275\":{\"content\":\"<|im_end|>\",\"special\":true}},"
	"\"eos_token\":{\"content\":\"<only config>\"}}";

static struct tokenizer *open_json(const char *json, size_t len, const char *with, struct err *e)
{
	char dir[64];

	tiny_folder(dir);
	tiny_write(dir, "tokenizer.json", json, len);
	if (with)
		tiny_write(dir, "tokenizer_config.json", with, strlen(with));
	struct tokenizer *t = tokenizer_open(dir, e);
	tiny_remove(dir);
	return t;
}

static struct tokenizer *ours(void)
{
	struct buf json = { 0 };
	struct err e = { 0 };

	tiny_json(&json, merges, extra, added, true);
	struct tokenizer *t = open_json(json.data, json.len, config, &e);
	if (!t)
		fail_msg("%s", e.text);
	buf_release(&json);
	return t;
}

/* The ids of a text as "1 2 3"; static. */
static const char *ids_of(const struct tokenizer *t, const char *text, size_t len, bool with_added)
{
	static char out[4096];
	struct ids v = { 0 };
	struct err e = { 0 };
	size_t n = 0;

	if (tokenizer_encode(t, text, len, with_added, &v, &e) < 0)
		fail_msg("%s", e.text);
	out[0] = '\0';
	for (int i = 0; i < v.n && n < sizeof(out) - 16; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%d", i ? " " : "", v.id[i]);
	ids_release(&v);
	return out;
}

#define assert_ids(t, text, want) assert_string_equal(ids_of(t, text, strlen(text), true), want)

static uint64_t draw(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1du >> 16;
}

static void pairs_merge_by_rank_and_leftmost_first(void **state)
{
	struct tokenizer *t = ours();
	(void)state;

	assert_ids(t, "", "");
	assert_ids(t, "ab", "256");
	assert_ids(t, "abc", "259"); /* ab is before bc */
	assert_ids(t, "bc", "257");
	assert_ids(t, "aaa", "258 97"); /* leftmost */
	assert_ids(t, "aaaaa", "268 97");
	assert_ids(t, "aabc", "97 259"); /* ab has the lower rank than aa */
	assert_ids(t, "\n\n\n", "267 10");
	assert_ids(t, "it's", "105 116 266");
	assert_ids(t, "x     a", "120 264 260");
	tokenizer_close(t);
}

static void a_token_that_no_merge_makes_is_never_used(void **state)
{
	struct tokenizer *t = ours();
	struct buf out = { 0 };
	(void)state;

	assert_ids(t, "xyz", "120 121 122");
	assert_ids(t, "hello", "104 101 262 111"); /* "he" + "llo" is a merge of what never is */
	tokenizer_decode(t, (int32_t[]){ 272, 269 }, 2, false, &out);
	assert_string_equal(buf_str(&out), "xyzhello");
	buf_release(&out);
	tokenizer_close(t);
}

static void every_character_is_normalized_first(void **state)
{
	struct tokenizer *t = ours();
	(void)state;

	assert_ids(t, "\xc3\xa9", "265");
	assert_ids(t, "e\xcc\x81", "265");
	assert_ids(t, "x<a>e\xcc\x81", "120 276 265");
	/* pieces between added tokens stand alone: no mark joins across */
	assert_ids(t, "e<a>\xcc\x81", "101 276 204 129");
	tokenizer_close(t);
}

static void added_tokens_match_leftmost_and_longest(void **state)
{
	struct tokenizer *t = ours();
	(void)state;

	assert_ids(t, "<a>", "276");
	assert_ids(t, "<a><b>", "277");
	assert_ids(t, "<a><a><b><a><", "276 277 276 60");
	assert_ids(t, "ab<|im_end|>c<|im_end", "256 275 99 60 124 105 109 95 101 110 100");
	assert_ids(t, "<only config>", "279");
	assert_ids(t, "<ONLY config>", "60 79 78 76 89 32 99 111 110 102 105 103 62");
	assert_int_equal(tokenizer_size(t), 280);
	assert_int_equal(tokenizer_added(t, "<a><b>"), AB);
	assert_int_equal(tokenizer_added(t, "<a><"), -1);
	assert_int_equal(tokenizer_added(t, ""), -1);
	assert_int_equal(tokenizer_added(t, "ab"), -1);
	tokenizer_close(t);
}

static void strangers_text_has_no_power(void **state)
{
	struct tokenizer *t = ours();
	(void)state;

	assert_string_equal(ids_of(t, "<a>", 3, false), "60 97 62");
	assert_null(strstr(ids_of(t, "x<|im_end|>", 11, false), "275"));
	tokenizer_close(t);
}

static void answers_end_where_the_files_say(void **state)
{
	struct tokenizer *t = ours();
	int32_t stop[4] = { 0 };
	(void)state;

	assert_int_equal(tokenizer_stops(t, stop, 4), 3);
	assert_int_equal(stop[0], IM_END);
	assert_int_equal(stop[1], ENDOFTEXT);
	assert_int_equal(stop[2], ONLY_CONFIG);
	assert_int_equal(tokenizer_stops(t, stop, 1), 1);
	tokenizer_close(t);
}

static void every_token_tells_its_bytes(void **state)
{
	struct tokenizer *t = ours();
	size_t n;
	bool special;
	(void)state;

	for (int b = 0; b < 256; b++) {
		const char *p = tokenizer_bytes(t, b, &n, &special);
		assert_int_equal(n, 1);
		assert_int_equal((unsigned char)*p, b);
		assert_false(special);
	}
	assert_memory_equal(tokenizer_bytes(t, IM_END, &n, &special), "<|im_end|>", 10);
	assert_true(special);
	tokenizer_bytes(t, THINK, &n, &special);
	assert_false(special);
	const int32_t none[] = { -1, 280, 1 << 30, INT32_MIN };
	for (int i = 0; i < 4; i++) {
		assert_non_null(tokenizer_bytes(t, none[i], &n, &special));
		assert_int_equal(n, 0);
	}
	tokenizer_close(t);
}

/* ---- bytes that are no text ---- */

static const struct {
	const char *bytes, *text; /* hexadecimal; . is U+FFFD */
} broken[] = {
	{ "61ff62", "a.b" },
	{ "80", "." },
	{ "c3", "." },
	{ "c328", ".(" },
	{ "c080", ".." },
	{ "e08080", "..." },
	{ "eda080", "..." },
	{ "e28261", ".a" },
	{ "e282", "." },
	{ "f09f98", "." },
	{ "f09f9820", ". " },
	{ "f0808080", "...." },
	{ "f4908080", "...." },
	{ "f5", "." },
	{ "e4b8f09f9880", ".\xf0\x9f\x98\x80" },
	{ "f09ff09f9880", ".\xf0\x9f\x98\x80" },
	{ "c3c3a9", ".\xc3\xa9" },
	{ "61", "a" },
};

static size_t unhex(const char *hex, char *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		out[i] = (char)strtol(two, NULL, 16);
	}
	return n;
}

static void with_dots(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (*text == '.')
			buf_adds(out, "\xef\xbf\xbd");
		else
			buf_addc(out, *text);
}

static void what_is_no_utf8_becomes_replacement_characters(void **state)
{
	struct tokenizer *t = ours();
	(void)state;

	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct buf want = { 0 }, got = { 0 };
		struct ids v = { 0 };
		struct err e;
		char bytes[16];
		size_t n = unhex(broken[i].bytes, bytes);
		int32_t id[16];

		with_dots(&want, broken[i].text);
		for (size_t k = 0; k < n; k++)
			id[k] = (unsigned char)bytes[k];
		tokenizer_decode(t, id, (int)n, false, &got);
		assert_string_equal(buf_str(&got), buf_str(&want));
		/* and so on the way in */
		buf_clear(&got);
		assert_int_equal(tokenizer_encode(t, bytes, n, true, &v, &e), 0);
		tokenizer_decode(t, v.id, v.n, false, &got);
		assert_string_equal(buf_str(&got), buf_str(&want));
		ids_release(&v);
		buf_release(&want);
		buf_release(&got);
	}
	tokenizer_close(t);
}

/* Whatever comes: text so far is valid, and with its end it is what the ids alone decode to. */
static void a_stream_never_shows_half_a_character(void **state)
{
	struct tokenizer *t = ours();
	static const unsigned char often[] = { 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98,
		                               0x80, 'a',  0xed, 0xa0, 0xff, 0xf4, 0x90 };
	uint64_t s = 7;
	(void)state;

	for (int run = 0; run < 3000; run++) {
		struct decoder d = { 0 };
		struct buf so_far = { 0 };
		int32_t id[12];
		bool skip = run & 1;
		size_t at;
		for (int n = 0; n < 12; n++) {
			struct buf whole = { 0 }, with_end = { 0 };
			uint64_t r = draw(&s);
			id[n] = r % 8 == 0   ? (int32_t)(256 + r / 8 % 26)
			        : r % 8 == 1 ? (int32_t)(r / 8 % 256)
			                     : often[r / 8 % sizeof(often)];
			decoder_push(&d, t, id[n], skip, &so_far);
			assert_true(utf8_valid(buf_str(&so_far), so_far.len, &at));
			struct decoder end = d;
			buf_add(&with_end, so_far.data, so_far.len);
			decoder_finish(&end, &with_end);
			tokenizer_decode(t, id, n + 1, skip, &whole);
			assert_string_equal(buf_str(&with_end), buf_str(&whole));
			/* held back is only what may yet become a character */
			assert_in_range(d.n_held, 0, 3);
			buf_release(&whole);
			buf_release(&with_end);
		}
		buf_release(&so_far);
	}
	tokenizer_close(t);
}

/* ---- merging, against the loop that the specification has ---- */

struct rule {
	char left[40], right[40];
};

static int plain_merge(const struct rule *rule, int n_rules, const char *text, char out[][40])
{
	int n = 0;

	for (; *text; text++)
		snprintf(out[n++], 40, "%c", *text);
	for (;;) {
		int best = n_rules, at = -1;
		for (int i = 0; i + 1 < n; i++)
			for (int r = 0; r < best; r++)
				if (strcmp(out[i], rule[r].left) == 0 &&
				    strcmp(out[i + 1], rule[r].right) == 0) {
					best = r;
					at = i;
				}
		if (at < 0)
			return n;
		char made[40];
		snprintf(made, sizeof(made), "%.19s%.19s", out[at], out[at + 1]);
		memcpy(out[at], made, sizeof(made));
		memmove(out[at + 1], out[at + 2], sizeof(*out) * (size_t)(n - at - 2));
		n--;
	}
}

static void pieces_short_and_long_merge_as_the_plain_loop_does(void **state)
{
	uint64_t s = 11;
	static char part[400][40];
	(void)state;

	for (int run = 0; run < 12; run++) {
		/* rules over a, b, c in an order that no training would give */
		struct rule rule[40];
		const char *list[41][2] = { { 0 } };
		char known[44][40] = { "a", "b", "c" };
		int n_known = 3, n = 0;
		while (n < 40 && n_known < 43) {
			struct rule *r = &rule[n];
			bool again = false;
			strcpy(r->left, known[draw(&s) % (uint64_t)n_known]);
			strcpy(r->right, known[draw(&s) % (uint64_t)n_known]);
			if (strlen(r->left) + strlen(r->right) > 12)
				continue;
			char made[40];
			snprintf(made, sizeof(made), "%.19s%.19s", r->left, r->right);
			for (int k = 0; k < n; k++)
				again |= strcmp(rule[k].left, r->left) == 0 &&
				         strcmp(rule[k].right, r->right) == 0;
			if (again)
				continue;
			bool new = true;
			for (int k = 0; k < n_known; k++)
				new &= strcmp(known[k], made) != 0;
			if (new)
				strcpy(known[n_known++], made);
			n++;
		}
		/* a rule may name a part that a later one makes: put some at the front */
		for (int k = 0; k < 10; k++) {
			size_t i = draw(&s) % (uint64_t)n, j = draw(&s) % (uint64_t)n;
			struct rule swap = rule[i];
			rule[i] = rule[j];
			rule[j] = swap;
		}
		for (int k = 0; k < n; k++) {
			list[k][0] = rule[k].left;
			list[k][1] = rule[k].right;
		}
		struct buf json = { 0 };
		struct err e = { 0 };
		tiny_json(&json, (const char *const(*)[2])list, NULL, NULL, run & 1);
		struct tokenizer *t = open_json(json.data, json.len, NULL, &e);
		if (!t)
			fail_msg("%s", e.text);
		for (int k = 0; k < 60; k++) {
			char text[400];
			size_t len = 1 + draw(&s) % (k % 6 == 0 ? 350 : k % 2 ? 12 : 70), bytes;
			bool special;
			struct ids v = { 0 };
			for (size_t i = 0; i < len; i++)
				text[i] = (char)('a' + draw(&s) % 3);
			text[len] = '\0';
			int want = plain_merge(rule, n, text, part);
			assert_int_equal(tokenizer_encode(t, text, len, true, &v, &e), 0);
			assert_int_equal(v.n, want);
			for (int i = 0; i < want; i++) {
				const char *p = tokenizer_bytes(t, v.id[i], &bytes, &special);
				assert_int_equal(bytes, strlen(part[i]));
				assert_memory_equal(p, part[i], bytes);
			}
			ids_release(&v);
		}
		tokenizer_close(t);
		buf_release(&json);
	}
}

static void hostile_texts_take_their_length_in_time(void **state)
{
	struct tokenizer *t = ours();
	size_t n = 1 << 20;
	char *text = malloc(n + 1);
	struct err e;
	(void)state;

	assert_non_null(text);
	for (int kind = 0; kind < 7; kind++) {
		static const char *const unit[] = { "a",   "ab", " ",
			                            "!",   "<",  "\xcc\x81\xcc\xa3\xe3\x82\x99",
			                            "<a><" };
		struct ids v = { 0 };
		size_t k = strlen(unit[kind]), len = n / k * k;
		for (size_t i = 0; i < len; i++)
			text[i] = unit[kind][i % k];
		clock_t from = clock();
		assert_int_equal(tokenizer_encode(t, text, len, true, &v, &e), 0);
		/* of the processor, whoever else is at work; a quadratic step would take minutes */
		assert_true(clock() - from < 20 * CLOCKS_PER_SEC);
		assert_true(v.n > 0);
		ids_release(&v);
	}
	free(text);
	tokenizer_close(t);
}

struct share {
	const struct tokenizer *t;
	const char *text;
	struct ids ids;
	bool same;
};

static void *encode_again(void *arg)
{
	struct share *s = arg;

	s->same = true;
	for (int i = 0; i < 50; i++) {
		struct ids v = { 0 };
		struct err e;
		s->same &= tokenizer_encode(s->t, s->text, strlen(s->text), true, &v, &e) == 0 &&
		           v.n == s->ids.n &&
		           memcmp(v.id, s->ids.id, sizeof(*v.id) * (size_t)v.n) == 0;
		ids_release(&v);
	}
	return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
	struct tokenizer *t = ours();
	struct share s[4];
	pthread_t thread[4];
	struct err e;
	(void)state;

	for (int i = 0; i < 4; i++) {
		s[i] = (struct share){ .t = t,
			               .text = i & 1 ? "abcaa e\xcc\x81 <a>\n" : "he's  x" };
		assert_int_equal(
			tokenizer_encode(t, s[i].text, strlen(s[i].text), true, &s[i].ids, &e), 0);
		assert_int_equal(pthread_create(&thread[i], NULL, encode_again, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		assert_true(s[i].same);
		ids_release(&s[i].ids);
	}
	tokenizer_close(t);
}

/* ---- characters, against the libraries ---- */

#define SPACES                                                                                      \
	"\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
	"\\x{205f}\\x{3000}"
/* PRETOKENIZE_PATTERN with \s as White_Space: PCRE2's takes U+180E */
#define EXPLICIT_PATTERN                                                                           \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"               \
	" ?[^" SPACES "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|[" SPACES "]*[\\r\\n]+|"                      \
	"[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

static pcre2_code *compile(const char *pattern)
{
	int error;
	size_t at;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	                               PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &at, NULL);

	assert_non_null(re);
	pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
	return re;
}

static size_t matches(const pcre2_code *re, pcre2_match_data *m, const char *text, size_t len)
{
	int rc = pcre2_match(re, (PCRE2_SPTR)text, len, 0, 0, m, NULL);

	return rc < 0 ? 0 : pcre2_get_ovector_pointer(m)[1];
}

static void classes_differ_from_pcre2_only_where_it_knows_nothing(void **state)
{
	pcre2_code *l = compile("\\p{L}"), *mk = compile("\\p{M}"), *nr = compile("\\p{N}"),
		   *sp = compile("[" SPACES "]"), *cn = compile("\\p{Cn}");
	pcre2_match_data *m = pcre2_match_data_create(4, NULL);
	int later = 0;
	(void)state;

	for (uint32_t c = 0; c < 0x110000; c++) {
		char text[4];
		if (c >= 0xd800 && c < 0xe000)
			continue;
		size_t n = (size_t)unicode_put(text, c);
		enum unicode_class want = matches(l, m, text, n)    ? UNICODE_LETTER
		                          : matches(mk, m, text, n) ? UNICODE_MARK
		                          : matches(nr, m, text, n) ? UNICODE_NUMBER
		                          : matches(sp, m, text, n) ? UNICODE_SPACE
		                                                    : UNICODE_OTHER;
		if (c == '\n' || c == '\r')
			want = UNICODE_NEWLINE;
		if (unicode_class(c) == want)
			continue;
		if (!matches(cn, m, text, n))
			fail_msg("U+%04X: class %d, PCRE2 %d", (unsigned)c, unicode_class(c), want);
		later++;
	}
	assert_true(later < 20000);
	assert_int_equal(unicode_class(0x2ebf0), UNICODE_LETTER); /* of Unicode 15.1 */
	assert_int_equal(unicode_class(0x1c89), UNICODE_LETTER);  /* of 16.0 */
	assert_int_equal(unicode_class(0x897), UNICODE_MARK);
	assert_int_equal(unicode_class(0x1ccf0), UNICODE_NUMBER);
	assert_int_equal(unicode_class(0x180e), UNICODE_OTHER);
	assert_int_equal(unicode_class(0x1c), UNICODE_OTHER);
	pcre2_match_data_free(m);
	pcre2_code_free(l);
	pcre2_code_free(mk);
	pcre2_code_free(nr);
	pcre2_code_free(sp);
	pcre2_code_free(cn);
}

/* A character of which both libraries know the class. */
static uint32_t some_character(uint64_t *s)
{
	static const uint32_t often[] = {
		' ',    ' ',    ' ',    '\n',   '\r',   '\t',   '\'',   '\'',   's',    'S',
		'r',    'e',    'E',    'l',    'L',    'v',    't',    'M',    'd',    'a',
		'Z',    '1',    '9',    '!',    '.',    '_',    0x17f,  0x301,  0x300,  0x323,
		0xa0,   0x3000, 0x2028, 0x85,   0x180e, 0x200b, 0xfeff, 0xe9,   0xbd,   0x2167,
		0x661,  0x4e00, 0xac00, 0x1100, 0x1161, 0x11a8, 0x915,  0x93c,  0x958,  0x1f600,
		0x200d, 0xfe0f, 0x1c,   0,      0x7f,   0x212b, 0x2000, 0x1680, 0x20dd, 0xfb1d
	};
	uint64_t r = draw(s);

	if (r % 5)
		return often[r / 5 % (sizeof(often) / sizeof(*often))];
	for (;;) {
		r = draw(s);
		uint32_t c = (uint32_t)(r / 4 %
		                        (r % 4 == 0   ? 0x110000
		                         : r % 4 == 1 ? 0x3000
		                                      : 0x700));
		/* what every version of Unicode from 9 on knows alike: old blocks */
		if ((c >= 0x700 && c < 0x900) || (c >= 0x980 && c < 0x1e00) || c >= 0x3200 ||
		    (c >= 0x20a0 && c < 0x2190) || (c >= 0x2b00 && c < 0x3000))
			continue;
		return c;
	}
}

static size_t some_text(uint64_t *s, char *out, size_t most)
{
	size_t n = 1 + draw(s) % most, len = 0;

	while (n--)
		len += (size_t)unicode_put(out + len, some_character(s));
	return len;
}

static void pieces_are_those_of_the_pattern(void **state)
{
	pcre2_code *re = compile(EXPLICIT_PATTERN);
	pcre2_match_data *m = pcre2_match_data_create(4, NULL);
	uint64_t s = 3;
	size_t pieces = 0;
	(void)state;

	for (int run = 0; run < 40000; run++) {
		char text[40 * 4];
		size_t len = some_text(&s, text, run % 3 ? 12 : 40);
		for (size_t i = 0; i < len; pieces++) {
			size_t want = matches(re, m, text + i, len - i);
			size_t got = pretokenize(text + i, len - i);
			if (got != want) {
				struct buf shown = { 0 };
				utf8_clean_line(&shown, text + i, len - i);
				fail_msg("'%s': %zu bytes, the pattern says %zu", buf_str(&shown),
				         got, want);
			}
			i += got;
		}
	}
	assert_true(pieces > 100000);
	pcre2_match_data_free(m);
	pcre2_code_free(re);
}

static void normal_form_is_utf8procs_for_old_characters(void **state)
{
	uint64_t s = 5;
	(void)state;

	for (int run = 0; run < 30000; run++) {
		char text[80 * 4 + 1];
		struct buf out = { 0 };
		struct err e;
		size_t len = 0, n = 1 + draw(&s) % (run % 50 ? 10 : 80);
		utf8proc_uint8_t *want;
		while (n--) {
			uint32_t c = some_character(&s);
			if (draw(&s) % 3 == 0) /* marks of many classes */
				c = (uint32_t)(0x300 + draw(&s) % 0x70);
			len += (size_t)unicode_put(text + len, c ? c : 'x');
		}
		assert_true(utf8proc_map((utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &want,
		                         UTF8PROC_STABLE | UTF8PROC_COMPOSE) >= 0);
		assert_int_equal(unicode_nfc(&out, text, len, &e), 0);
		assert_string_equal(buf_str(&out), (char *)want);
		/* what is said to be normal is */
		size_t span = unicode_nfc_span(text, len);
		assert_memory_equal(text, want, span);
		assert_int_equal(unicode_nfc_span(buf_str(&out), 0), 0);
		free(want);
		buf_release(&out);
	}
}

static void normal_form_leaves_what_came_after_unicode_9(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "a\xe0\xa3\x8a\xcc\xb4", NULL },            /* U+08CA, class 230 since 14 */
		{ "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0", NULL }, /* would compose since 13 */
		{ "a\xcc\x95\xe1\xac\x84\xcc\xb4", NULL },    /* a starter between */
		{ "a\xcc\x95\xcc\xb4", "a\xcc\xb4\xcc\x95" }, /* old marks move */
		{ "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c" },
		{ "\xe2\x84\xab", "\xc3\x85" },
		{ "\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc" },
		{ "\xef\xac\x81", NULL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf out = { 0 };
		struct err e;
		assert_int_equal(unicode_nfc(&out, cases[i].text, strlen(cases[i].text), &e), 0);
		assert_string_equal(buf_str(&out), cases[i].want ? cases[i].want : cases[i].text);
		buf_release(&out);
	}
}

/* ---- files of others ---- */

/* Replaces the first @from of the good file by @to. */
static void spoil(struct buf *out, const struct buf *good, const char *from, const char *to)
{
	const char *at = strstr(good->data, from);

	assert_non_null(at);
	buf_add(out, good->data, (size_t)(at - good->data));
	buf_adds(out, to);
	buf_adds(out, at + strlen(from));
}

static void other_families_are_refused_by_name(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "\"type\":\"BPE\"", "\"type\":\"WordPiece\"",
		  "model.type: \"BPE\" was expected, got \"WordPiece\"" },
		{ "\"type\":\"BPE\"", "\"type\":\"Unigram\"", "got \"Unigram\"" },
		{ "{\"type\":\"NFC\"}", "{\"type\":\"NFKC\"}",
		  "normalizer.type: \"NFC\" was expected, got \"NFKC\"" },
		{ "{\"type\":\"NFC\"}", "null", "normalizer.type: \"NFC\" was expected, got null" },
		{ "[\\\\p{L}\\\\p{M}]+", "\\\\p{L}+", "pattern.Regex: Qwen3.5's pattern" },
		{ "\"Isolated\"", "\"Removed\"", "behavior: \"Isolated\" was expected" },
		{ "\"invert\":false", "\"invert\":true", "invert" },
		{ "\"use_regex\":false", "\"use_regex\":true",
		  "pretokenizers[1].use_regex: false" },
		{ "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space" },
		{ "\"type\":\"Sequence\"", "\"type\":\"Metaspace\"",
		  "a Sequence of Split and ByteLevel was expected, got \"Metaspace\"" },
		{ "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"",
		  "decoder.type: \"ByteLevel\" was expected, got \"WordPiece\"" },
		{ "\"post_processor\":{\"type\":\"ByteLevel\"",
		  "\"post_processor\":{\"type\":\"TemplateProcessing\"", "post_processor.type" },
		{ "\"dropout\":null", "\"dropout\":0.1",
		  "model.dropout: nothing or false was "
		  "expected, got 0.1" },
		{ "\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
		  "model.continuing_subword_prefix" },
		{ "\"end_of_word_suffix\":\"\"", "\"end_of_word_suffix\":\"</w>\"",
		  "model.end_of_word_suffix" },
		{ "\"byte_fallback\":false", "\"byte_fallback\":true", "model.byte_fallback" },
		{ "\"ignore_merges\":false", "\"ignore_merges\":true", "model.ignore_merges" },
		{ "\"vocab\":{", "\"vocab\":[],\"other\":{",
		  "model.vocab: an object was expected" },
		{ "\"merges\":[", "\"merges\":7,\"other\":[", "model.merges: a list was expected" },
		{ "\"model\":{", "\"other\":{", "model: an object was expected, got nothing" },
	};
	struct buf good = { 0 };
	(void)state;

	tiny_json(&good, merges, extra, added, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf bad = { 0 };
		struct err e = { 0 };
		spoil(&bad, &good, cases[i].from, cases[i].to);
		assert_null(open_json(bad.data, bad.len, NULL, &e));
		assert_contains(e.text, cases[i].says);
		assert_contains(e.text, "tokenizer.json: ");
		assert_int_equal(e.kind, ERR_INPUT);
		buf_release(&bad);
	}
	buf_release(&good);
}

static void damage_is_named_with_its_place(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "[\"a\",\"b\"]", "[\"a\",\"Q\"]",
		  "model.merges[0]: \"a\" and \"Q\": what they make is not in model.vocab" },
		{ "[\"b\",\"c\"]", "[\"bcx\",\"c\"]",
		  "model.merges[1]: \"bcx\" and \"c\": \"bcx\" is not in model.vocab" },
		{ "[\"a\",\"a\"]", "[\"a\"]", "model.merges[2], line " },
		{ "[\"a\",\"a\"]", "\"aa\"", "model.merges[2], line " },
		{ "[\"a\",\"a\"]", "7", "model.merges[2], line " },
		{ "\"A\":65", "\"A\":66", "id 66 is given to two tokens" },
		{ "\"A\":65", "\"A\":-65", "\"A\": an id was expected" },
		{ "\"A\":65", "\"A\":6.5", "\"A\": an id was expected" },
		{ "\"A\":65", "\"A\":99999999999", "0 to 4194303 was expected" },
		{ "\"A\":65", "\"A\":65,", "model.vocab: line" },
		{ "\"A\":65,", "", "no token for the byte 0x41" },
		{ "\"A\":65", "\"A\":65,\"A\":1000", "of equal bytes" },
		{ "\"id\":273", "\"id\":65",
		  "added_tokens[0]: \"<|endoftext|>\": id 65 belongs to "
		  "\"A\" already" },
		{ "\"id\":273", "\"id\":\"x\"", "added_tokens[0].id: a number was expected" },
		{ "\"content\":\"<a>\"", "\"content\":7", "added_tokens[3]: content: a text" },
		{ "\"content\":\"<a>\"", "\"content\":\"ab\"", "gives that text id 256" },
		{ "\"content\":\"<a>\"", "\"content\":\"<think>\"", "has two ids" },
		{ "\"lstrip\":false", "\"lstrip\":true", "\"<|endoftext|>\": lstrip" },
		{ "\"normalized\":false", "\"normalized\":true", "normalized" },
		{ "\"version\"", "version", "not JSON" },
	};
	struct buf good = { 0 };
	struct err e = { 0 };
	(void)state;

	tiny_json(&good, merges, extra, added, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf bad = { 0 };
		spoil(&bad, &good, cases[i].from, cases[i].to);
		struct tokenizer *t = open_json(bad.data, bad.len, NULL, &e);
		if (t)
			fail_msg("%s was taken", cases[i].to);
		assert_contains(e.text, cases[i].says);
		buf_release(&bad);
	}
	/* cut short anywhere */
	for (size_t n = 0; n < good.len - 3; n += 1 + good.len / 300)
		assert_null(open_json(good.data, n, NULL, &e));
	assert_null(open_json(good.data, good.len, "[]", &e));
	assert_contains(e.text, "tokenizer_config.json: an object was expected");
	assert_null(open_json(good.data, good.len,
	                      "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<z>\"}}}", &e));
	assert_contains(e.text, "added_tokens_decoder: \"x\": an id");
	assert_null(open_json(good.data, good.len,
	                      "{\"added_tokens_decoder\":{\"275\":{\"content\":\"<z>\"}}}", &e));
	assert_contains(e.text, "id 275 belongs to \"<|im_end|>\" already");
	assert_null(tokenizer_open("no-such-folder", &e));
	assert_contains(e.text, "no-such-folder/tokenizer.json");
	buf_release(&good);
}

/* ---- the oracle ---- */

static const char *oracle(void)
{
	static char dir[4096];
	const char *named = getenv("CADFORGE_SHARED");
	const char *const places[] = { named ? named : "../shared",
		                       named ? named : SRCDIR "/../shared" };

	for (int i = 0; i < 2; i++) {
		struct stat st;
		snprintf(dir, sizeof(dir), "%s/oracle", places[i]);
		if (stat(dir, &st) == 0)
			return dir;
	}
	print_message("the oracle (shared/oracle) is not here: set CADFORGE_SHARED\n");
	return NULL;
}

static const cJSON *member(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void assert_same_ids(const struct ids *got, const cJSON *want, const char *what)
{
	const cJSON *v;
	int i = 0;

	if (got->n != cJSON_GetArraySize(want))
		fail_msg("%s: %d ids, want %d", what, got->n, cJSON_GetArraySize(want));
	cJSON_ArrayForEach(v, want)
	{
		if (got->id[i] != v->valueint)
			fail_msg("%s: id %d is %d, want %d", what, i, got->id[i], v->valueint);
		i++;
	}
}

static void check_case(const struct tokenizer *t, const cJSON *c)
{
	const char *text = json_string_or(c, "text", ""), *nfc = json_string_or(c, "nfc", "");
	const cJSON *pieces = member(c, "pretokens"), *v;
	struct ids v_ids = { 0 };
	struct buf out = { 0 };
	struct err e;

	assert_int_equal(tokenizer_encode(t, text, strlen(text), true, &v_ids, &e), 0);
	assert_same_ids(&v_ids, member(c, "ids"), text);
	assert_int_equal(unicode_nfc(&out, text, strlen(text), &e), 0);
	assert_string_equal(buf_str(&out), nfc);
	if (cJSON_IsArray(pieces)) {
		const char *p = nfc;
		cJSON_ArrayForEach(v, pieces)
		{
			size_t n = pretokenize(p, strlen(p));
			assert_int_equal(n, strlen(v->valuestring));
			assert_memory_equal(p, v->valuestring, n);
			p += n;
		}
		assert_int_equal(*p, 0);
	}
	buf_clear(&out);
	tokenizer_decode(t, v_ids.id, v_ids.n, false, &out);
	assert_string_equal(buf_str(&out), json_string_or(c, "decoded", ""));
	buf_clear(&out);
	tokenizer_decode(t, v_ids.id, v_ids.n, true, &out);
	assert_string_equal(buf_str(&out), json_string_or(c, "decoded_skip_special", ""));
	ids_release(&v_ids);
	buf_release(&out);
}

static void check_stream(const struct tokenizer *t, const cJSON *c)
{
	const cJSON *want = member(c, "prefix_decoded")->child, *v;
	struct decoder d = { 0 };
	struct buf out = { 0 };

	cJSON_ArrayForEach(v, member(c, "ids"))
	{
		struct buf prefix = { 0 };
		decoder_push(&d, t, v->valueint, false, &out);
		struct decoder end = d;
		buf_add(&prefix, buf_str(&out), out.len);
		decoder_finish(&end, &prefix);
		assert_string_equal(buf_str(&prefix), want->valuestring);
		want = want->next;
		buf_release(&prefix);
	}
	assert_null(want);
	buf_release(&out);
}

static void the_oracle_is_met(void **state)
{
	static const char *const models[] = { "tiny-f32", "tiny-bf16-sharded" };
	const char *dir = oracle();
	struct buf path = { 0 }, text = { 0 };
	struct err e = { 0 };
	const cJSON *v;
	(void)state;

	if (!dir)
		skip();
	buf_printf(&path, "%s/expected/tokenize.json", dir);
	assert_int_equal(buf_read_file(&text, buf_str(&path), 64 << 20, &e), 0);
	cJSON *root = json_parse(text.data, text.len, &e);
	assert_non_null(root);
	for (int i = 0; i < 2; i++) {
		buf_clear(&path);
		buf_printf(&path, "%s/%s", dir, models[i]);
		struct tokenizer *t = tokenizer_open(path.data, &e);
		if (!t)
			fail_msg("%s", e.text);
		int n = 0;
		cJSON_ArrayForEach(v, member(root, "cases"))
		{
			check_case(t, v);
			n++;
		}
		cJSON_ArrayForEach(v, member(root, "stream"))
		{
			check_stream(t, v);
			n++;
		}
		cJSON_ArrayForEach(v, member(root, "added"))
		{
			assert_int_equal(tokenizer_added(t, v->string), v->valueint);
			n++;
		}
		assert_true(n > 100);
		tokenizer_close(t);
	}
	cJSON_Delete(root);
	buf_release(&text);
	buf_release(&path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_merge_by_rank_and_leftmost_first),
		cmocka_unit_test(a_token_that_no_merge_makes_is_never_used),
		cmocka_unit_test(every_character_is_normalized_first),
		cmocka_unit_test(added_tokens_match_leftmost_and_longest),
		cmocka_unit_test(strangers_text_has_no_power),
		cmocka_unit_test(answers_end_where_the_files_say),
		cmocka_unit_test(every_token_tells_its_bytes),
		cmocka_unit_test(what_is_no_utf8_becomes_replacement_characters),
		cmocka_unit_test(a_stream_never_shows_half_a_character),
		cmocka_unit_test(pieces_short_and_long_merge_as_the_plain_loop_does),
		cmocka_unit_test(hostile_texts_take_their_length_in_time),
		cmocka_unit_test(threads_share_a_tokenizer),
		cmocka_unit_test(classes_differ_from_pcre2_only_where_it_knows_nothing),
		cmocka_unit_test(pieces_are_those_of_the_pattern),
		cmocka_unit_test(normal_form_is_utf8procs_for_old_characters),
		cmocka_unit_test(normal_form_leaves_what_came_after_unicode_9),
		cmocka_unit_test(other_families_are_refused_by_name),
		cmocka_unit_test(damage_is_named_with_its_place),
		cmocka_unit_test(the_oracle_is_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
