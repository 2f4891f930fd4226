/*
 * tokenizer_read.c - tokenizer.json and tokenizer_config.json, as strangers may have written them.
 *
 * The vocabulary and the merges are read from the text as it stands: a quarter of a million entries
 * each, which as cJSON's values would take most of the time and a hundred megabytes. cJSON gets the
 * rest of the file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/pretokenize.h"
#include "gpu/tokenizer_inside.h"
#include "gpu/unicode.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

enum {
	FILE_MAX = 64 << 20,    /* bytes; Qwen3.5's has 13 million */
	TOKEN_BYTES_MAX = 4096, /* the longest of Qwen3.5 has 256 */
	ADDED_BYTES_MAX = 256,
	ADDED_ALL_MAX = 1 << 20 /* bytes of all added tokens */
};

static bool bit(const uint32_t *set, int32_t id)
{
	return set[id / 32] >> (id % 32) & 1;
}

/* ---- the byte alphabet of GPT-2 ---- */

/* The code point that stands for each byte, and back: bytes that print stand for themselves, the
 * others for U+0100 and on. */
struct alphabet {
	int16_t byte[512]; /* of a code point; -1: it is no letter */
};

static void alphabet_make(struct alphabet *a)
{
	int next = 256;

	memset(a->byte, 0xff, sizeof(a->byte));
	for (int b = 0; b < 256; b++) {
		bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
		a->byte[prints ? b : next++] = (int16_t)b;
	}
}

/* Appends the bytes that @text spells. False, with @out as it was, when some character is no letter
 * of the alphabet. */
static bool alphabet_read(const struct alphabet *a, const char *text, size_t len, struct buf *out)
{
	const unsigned char *u = (const unsigned char *)text;
	char *to = buf_room(out, len);
	size_t n = 0;

	for (size_t i = 0; i < len && to; n++) {
		uint32_t cp = u[i++];
		if (cp >= 0xc2 && cp <= 0xc7 && i < len && (u[i] & 0xc0) == 0x80)
			cp = (cp & 0x1f) << 6 | (u[i++] & 0x3f);
		else if (cp >= 0x80)
			return false;
		if (a->byte[cp] < 0)
			return false;
		to[n] = (char)a->byte[cp];
	}
	if (to)
		buf_grew(out, n);
	return true;
}

/* ---- JSON text, read in place ---- */

struct scan {
	const char *p, *begin, *end;
};

static void scan_blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

/* Takes @c, blanks before it aside. */
static bool scan_take(struct scan *s, char c)
{
	scan_blanks(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* A string: the text between its quotes as it stands; true and p past it. */
static bool scan_string(struct scan *s, const char **text, size_t *len, bool *escaped)
{
	*escaped = false;
	if (!scan_take(s, '"'))
		return false;
	*text = s->p;
	for (; s->p < s->end && *s->p != '"'; s->p++)
		if (*s->p == '\\') {
			*escaped = true;
			if (++s->p == s->end)
				return false;
		}
	if (s->p == s->end)
		return false;
	*len = (size_t)(s->p++ - *text);
	return true;
}

static int hex4(const char *p, size_t n)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = i < (int)n ? p[i] : 'x';
		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* Appends a string's text with its escapes undone. False: an escape that JSON has not. */
static bool unescape(const char *p, size_t n, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	for (size_t i = 0; i < n;) {
		if (p[i] != '\\') {
			buf_addc(out, p[i++]);
			continue;
		}
		i++;
		const char *at = i < n && p[i] ? strchr(from, p[i]) : NULL;
		if (at) {
			buf_addc(out, to[at - from]);
			i++;
			continue;
		}
		int c = i < n && p[i] == 'u' ? hex4(p + i + 1, n - i - 1) : -1;
		i += 5;
		if (c >= 0xd800 && c < 0xdc00 && i + 1 < n && p[i] == '\\' && p[i + 1] == 'u') {
			int low = hex4(p + i + 2, n - i - 2);
			if (low < 0xdc00 || low > 0xdfff)
				return false;
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i += 6;
		}
		if (c < 0 || (c >= 0xd800 && c <= 0xdfff))
			return false;
		char utf8[4];
		buf_add(out, utf8, (size_t)unicode_put(utf8, (uint32_t)c));
	}
	return true;
}

/* A string's text, borrowed from the file or, where it has escapes, from @scratch. */
static bool scan_text(struct scan *s, struct buf *scratch, const char **text, size_t *len)
{
	bool escaped;

	if (!scan_string(s, text, len, &escaped))
		return false;
	if (!escaped)
		return true;
	size_t was = scratch->len;
	if (!unescape(*text, *len, scratch))
		return false;
	*text = scratch->data + was; /* NULL when memory ran out; scratch knows */
	*len = scratch->len - was;
	return !buf_failed(scratch);
}

/* Past a value, whatever it is; what lies in it is not checked. */
static bool scan_skip(struct scan *s)
{
	size_t depth = 0, n;
	const char *text;
	bool escaped;

	do {
		scan_blanks(s);
		if (s->p == s->end)
			return false;
		char c = *s->p;
		if (c == '"') {
			if (!scan_string(s, &text, &n, &escaped))
				return false;
			continue;
		}
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (depth == 0)
				return false;
			depth--;
		} else if (depth == 0) { /* a number or a word */
			while (s->p < s->end && !strchr(" \t\r\n,]}", *s->p))
				s->p++;
			return true;
		}
		s->p++;
	} while (depth > 0);
	return true;
}

/* Looks through an object for @keys and leaves in @found where their values begin and end, p NULL
 * for one that is not there. False: it is no object that can be followed. */
static bool scan_members(struct scan *s, const char *const *keys, struct scan *found, int n)
{
	const char *text;
	size_t len;
	bool escaped;

	memset(found, 0, (size_t)n * sizeof(*found));
	if (!scan_take(s, '{'))
		return false;
	if (scan_take(s, '}'))
		return true;
	do {
		if (!scan_string(s, &text, &len, &escaped) || !scan_take(s, ':'))
			return false;
		scan_blanks(s);
		const char *from = s->p;
		if (!scan_skip(s))
			return false;
		for (int i = 0; i < n; i++)
			if (strlen(keys[i]) == len && memcmp(keys[i], text, len) == 0) {
				if (found[i].p) /* twice: which one is meant? */
					return false;
				found[i] = (struct scan){ from, from, s->p };
			}
	} while (scan_take(s, ','));
	return scan_take(s, '}');
}

/* The file's text without what is in @hole, two places in their order; line ends stay, so that
 * errors name the right line. */
static void without(struct buf *out, const struct buf *file, const struct scan *hole)
{
	const char *from = file->data;

	for (int i = 0; i < 2; i++) {
		if (!hole[i].p)
			continue;
		buf_add(out, from, (size_t)(hole[i].begin + 1 - from));
		for (const char *p = hole[i].begin;
		     (p = memchr(p, '\n', (size_t)(hole[i].end - p))); p++)
			buf_addc(out, '\n');
		from = hole[i].end - 1;
	}
	buf_add(out, from, (size_t)(file->data + file->len - from));
}

/* ---- reading tokenizer.json ---- */

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static bool is_nothing(const cJSON *v)
{
	return !v || cJSON_IsNull(v) || cJSON_IsFalse(v) ||
	       (cJSON_IsString(v) && v->valuestring[0] == '\0') ||
	       (cJSON_IsNumber(v) && v->valuedouble == 0);
}

/* "field: want was expected, got ...": of a value that we do not implement. */
static int unlike(const char *field, const char *want, const cJSON *got, struct err *e)
{
	struct buf text = { 0 }, clean = { 0 };

	if (!got)
		buf_adds(&text, "nothing");
	else if (cJSON_IsArray(got) || cJSON_IsObject(got))
		buf_adds(&text, cJSON_IsArray(got) ? "a list" : "an object");
	else
		json_print(&text, got);
	utf8_clean_line(&clean, buf_str(&text), text.len < 160 ? text.len : 160);
	err_set(e, ERR_INPUT,
	        "%s: %s was expected, got %s%s (a tokenizer of Qwen3.5's family is needed)", field,
	        want, buf_str(&clean), text.len > 160 ? "..." : "");
	buf_release(&text);
	buf_release(&clean);
	return -1;
}

static bool says(const cJSON *o, const char *key, const char *want)
{
	const cJSON *v = get(o, key);
	return cJSON_IsString(v) && strcmp(v->valuestring, want) == 0;
}

/* A field that must be off: false, null, 0, "" or not there. */
static int want_off(const cJSON *o, const char *key, const char *field, struct err *e)
{
	const cJSON *v = get(o, key);
	return is_nothing(v) ? 0 : unlike(field, "nothing or false", v, e);
}

/* All that the ids depend on beside vocabulary and merges. Truncation and padding are their
 * caller's affair and are not looked at. */
static int check_family(const cJSON *root, struct err *e)
{
	const cJSON *model = get(root, "model"), *pre = get(root, "pre_tokenizer"), *v;

	if (!cJSON_IsObject(model))
		return unlike("model", "an object", model, e);
	v = get(model, "type"); /* old writers leave it out */
	if (v ? !says(model, "type", "BPE") : !cJSON_IsArray(get(model, "merges")))
		return unlike("model.type", "\"BPE\"", v, e);
	if (want_off(model, "dropout", "model.dropout", e) < 0 ||
	    want_off(model, "continuing_subword_prefix", "model.continuing_subword_prefix", e) <
	            0 ||
	    want_off(model, "end_of_word_suffix", "model.end_of_word_suffix", e) < 0 ||
	    want_off(model, "byte_fallback", "model.byte_fallback", e) < 0 ||
	    want_off(model, "ignore_merges", "model.ignore_merges", e) < 0)
		return -1;

	v = get(root, "normalizer");
	if (!says(v, "type", "NFC"))
		return unlike("normalizer.type", "\"NFC\"", cJSON_IsObject(v) ? get(v, "type") : v,
		              e);

	const cJSON *steps = get(pre, "pretokenizers");
	if (!says(pre, "type", "Sequence") || cJSON_GetArraySize(steps) != 2)
		return unlike("pre_tokenizer", "a Sequence of Split and ByteLevel",
		              cJSON_IsObject(pre) ? get(pre, "type") : pre, e);
	const cJSON *split = cJSON_GetArrayItem(steps, 0), *bytes = cJSON_GetArrayItem(steps, 1);
	if (!says(split, "type", "Split"))
		return unlike("pre_tokenizer.pretokenizers[0].type", "\"Split\"",
		              get(split, "type"), e);
	if (!says(get(split, "pattern"), "Regex", PRETOKENIZE_PATTERN))
		return unlike("pre_tokenizer.pretokenizers[0].pattern.Regex",
		              "Qwen3.5's pattern (with [\\p{L}\\p{M}]+)",
		              get(get(split, "pattern"), "Regex"), e);
	if (!says(split, "behavior", "Isolated"))
		return unlike("pre_tokenizer.pretokenizers[0].behavior", "\"Isolated\"",
		              get(split, "behavior"), e);
	if (!says(bytes, "type", "ByteLevel"))
		return unlike("pre_tokenizer.pretokenizers[1].type", "\"ByteLevel\"",
		              get(bytes, "type"), e);
	if (want_off(split, "invert", "pre_tokenizer.pretokenizers[0].invert", e) < 0 ||
	    want_off(bytes, "add_prefix_space", "pre_tokenizer.pretokenizers[1].add_prefix_space",
	             e) < 0)
		return -1;
	if (!cJSON_IsFalse(get(bytes, "use_regex"))) /* on when it is not there */
		return unlike("pre_tokenizer.pretokenizers[1].use_regex", "false",
		              get(bytes, "use_regex"), e);

	v = get(root, "decoder");
	if (!says(v, "type", "ByteLevel"))
		return unlike("decoder.type", "\"ByteLevel\"",
		              cJSON_IsObject(v) ? get(v, "type") : v, e);
	v = get(root, "post_processor"); /* what only trims offsets changes no id */
	if (v && !cJSON_IsNull(v) && !says(v, "type", "ByteLevel"))
		return unlike("post_processor.type", "\"ByteLevel\" or nothing",
		              cJSON_IsObject(v) ? get(v, "type") : v, e);
	return 0;
}

static bool whole_number(const cJSON *v, int64_t *out)
{
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= -1e9 && v->valuedouble <= 1e9) ||
	    v->valuedouble != (double)(int64_t)v->valuedouble)
		return false;
	*out = (int64_t)v->valuedouble;
	return true;
}

/* A token's text for a message. */
static const char *shown(const char *text, size_t n, char out[96])
{
	struct buf b = { 0 };

	utf8_clean_line(&b, text, n < 40 ? n : 40);
	snprintf(out, 96, "\"%.80s%s\"", buf_str(&b), n <= 40 ? "" : "...");
	buf_release(&b);
	return out;
}

/* ---- vocabulary and merges ---- */

static int line_of(const struct buf *file, const char *at)
{
	int line = 1;

	for (const char *p = file->data; (p = memchr(p, '\n', (size_t)(at - p))); p++)
		line++;
	return line;
}

static int read_vocabulary(struct tokenizer *t, const struct alphabet *a, const struct buf *file,
                           struct scan s, uint32_t *hidden, struct err *e)
{
	struct buf bytes = { 0 };
	const char *key;
	char text[96];
	size_t len;
	int rc = 0;

	s.p++;
	if (!scan_take(&s, '}')) {
		do {
			buf_clear(&bytes);
			int64_t id = 0;
			if (!scan_text(&s, &bytes, &key, &len) || !scan_take(&s, ':')) {
				rc = err_set(e, ERR_INPUT,
				             "model.vocab: line %d: \"token\": id was expected",
				             line_of(file, s.p));
				break;
			}
			scan_blanks(&s);
			const char *digits = s.p;
			while (s.p < s.end && *s.p >= '0' && *s.p <= '9' && s.p - digits < 12)
				id = 10 * id + *s.p++ - '0';
			scan_blanks(&s);
			if (s.p == digits || (*s.p != ',' && *s.p != '}')) {
				rc = err_set(e, ERR_INPUT, "model.vocab: %s: an id was expected",
				             shown(key, len, text));
				break;
			}
			/* what is not spelt in the alphabet no text can give, but it can be
			 * decoded */
			size_t was = bytes.len;
			bool spelt = alphabet_read(a, key, len, &bytes);
			if (buf_failed(&bytes)) {
				rc = err_set(e, ERR_MEM, "no memory for the vocabulary");
				break;
			}
			const char *p = spelt ? bytes.data + was : key;
			size_t n = spelt ? bytes.len - was : len;
			if (n == 0)
				continue;
			if (n > TOKEN_BYTES_MAX) {
				rc = err_set(e, ERR_INPUT,
				             "model.vocab: %s: %zu bytes; a token has at most %d",
				             shown(key, len, text), n, TOKEN_BYTES_MAX);
				break;
			}
			if (bpe_token(&t->bpe, id, p, n, e) < 0) {
				rc = err_wrap(e, "model.vocab: %s", shown(key, len, text));
				break;
			}
			if (!spelt)
				hidden[id / 32] |= 1u << (id % 32);
		} while (scan_take(&s, ','));
	}
	buf_release(&bytes);
	return rc;
}

/* The next merge: its two parts, borrowed from the file or from @scratch, whichever way it is
 * written. False: it is no merge. */
static bool next_merge(struct scan *s, struct buf scratch[2], const char *part[2], size_t n[2])
{
	buf_clear(&scratch[0]);
	buf_clear(&scratch[1]);
	if (scan_take(s, '['))
		return scan_text(s, &scratch[0], &part[0], &n[0]) && scan_take(s, ',') &&
		       scan_text(s, &scratch[1], &part[1], &n[1]) && scan_take(s, ']');
	if (!scan_text(s, &scratch[0], &part[0], &n[0]))
		return false;
	const char *space = memchr(part[0], ' ', n[0]);
	if (!space)
		return false;
	part[1] = space + 1;
	n[1] = n[0] - (size_t)(part[1] - part[0]);
	n[0] -= n[1] + 1;
	return true;
}

static int bad_merge(uint32_t rank, const char *part[2], const size_t n[2], int32_t left,
                     int32_t right, struct err *e)
{
	char a[96], b[96];

	shown(part[0], n[0], a);
	shown(part[1], n[1], b);
	if (left < 0 || right < 0)
		return err_set(e, ERR_INPUT,
		               "model.merges[%u]: %s and %s: %s is not in model.vocab", rank, a, b,
		               left < 0 ? a : b);
	return err_set(e, ERR_INPUT,
	               "model.merges[%u]: %s and %s: what they make is not in model.vocab", rank, a,
	               b);
}

static int read_merges(struct tokenizer *t, const struct alphabet *a, const struct buf *file,
                       struct scan s, struct err *e)
{
	struct buf bytes = { 0 }, scratch[2] = { { 0 }, { 0 } };
	const char *part[2];
	size_t n[2];
	uint32_t rank = 0;
	int rc = 0;

	s.p++;
	if (scan_take(&s, ']'))
		return 0;
	do {
		if (!next_merge(&s, scratch, part, n)) {
			rc = err_set(e, ERR_INPUT,
			             "model.merges[%u], line %d: \"a b\" or [\"a\", \"b\"] was "
			             "expected",
			             rank, line_of(file, s.p));
			break;
		}
		buf_clear(&bytes);
		alphabet_read(a, part[0], n[0], &bytes);
		size_t cut = bytes.len;
		alphabet_read(a, part[1], n[1], &bytes);
		if (buf_failed(&bytes)) {
			rc = err_set(e, ERR_MEM, "no memory for the merges");
			break;
		}
		int32_t left = bpe_find(&t->bpe, bytes.data, cut);
		int32_t right = bpe_find(&t->bpe, bytes.data + cut, bytes.len - cut);
		int32_t to =
			left >= 0 && right >= 0 ? bpe_find(&t->bpe, bytes.data, bytes.len) : -1;
		if (to < 0)
			rc = bad_merge(rank, part, n, left, right, e);
		else
			rc = bpe_merge(&t->bpe, left, right, to, rank++, e);
	} while (rc == 0 && scan_take(&s, ','));
	if (rc == 0 && !scan_take(&s, ']'))
		rc = err_set(e, ERR_INPUT, "model.merges[%u], line %d: , or ] was expected", rank,
		             line_of(file, s.p));
	buf_release(&bytes);
	buf_release(&scratch[0]);
	buf_release(&scratch[1]);
	return rc;
}

/* ---- added tokens ---- */

/* The added tokens of both files, before they are in the tree. */
struct additions {
	struct addition {
		const char *text; /* of the JSON */
		int32_t id;
	} * v;
	int n, cap;
	size_t bytes; /* of all texts */
};

/* Its letters stand for themselves in the byte alphabet. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static int add_one(struct tokenizer *t, struct additions *all, int64_t id, const cJSON *v,
                   struct err *e)
{
	const cJSON *content = get(v, "content");
	static const char *const off[] = { "single_word", "lstrip", "rstrip", "normalized" };
	char text[96];

	if (!cJSON_IsString(content))
		return unlike("content", "a text", content, e);
	size_t len = strlen(content->valuestring);
	if (len == 0)
		return 0;
	shown(content->valuestring, len, text);
	if (len > ADDED_BYTES_MAX)
		return err_set(e, ERR_INPUT, "%s: %zu bytes; an added token has at most %d", text,
		               len, ADDED_BYTES_MAX);
	for (int i = 0; i < 4; i++)
		if (want_off(v, off[i], off[i], e) < 0)
			return err_wrap(e, "%s", text);
	if (id < 0 || id >= BPE_IDS_MAX)
		return err_set(e, ERR_INPUT, "%s: id %lld: 0 to %d was expected", text,
		               (long long)id, BPE_IDS_MAX - 1);

	size_t have = 0;
	bool special;
	const char *now = tokenizer_bytes(t, (int32_t)id, &have, &special);
	if (have > 0 && (have != len || memcmp(now, content->valuestring, len) != 0)) {
		char other[96];
		return err_set(e, ERR_INPUT, "%s: id %lld belongs to %s already", text,
		               (long long)id, shown(now, have, other));
	}
	int32_t plain = bpe_find(&t->bpe, content->valuestring, len);
	if (plain >= 0 && plain != id && is_plain(content->valuestring))
		return err_set(e, ERR_INPUT, "%s: id %lld, but model.vocab gives that text id %d",
		               text, (long long)id, plain);
	if (have == 0 && bpe_token(&t->bpe, id, content->valuestring, len, e) < 0)
		return err_wrap(e, "%s", text);
	if (cJSON_IsTrue(get(v, "special")))
		t->special[id / 32] |= 1u << (id % 32);
	if (bit(t->added, (int32_t)id))
		return 0; /* both files have it */
	t->added[id / 32] |= 1u << (id % 32);
	if (all->n == all->cap) {
		int cap = all->cap ? 2 * all->cap : 64;
		struct addition *p = realloc(all->v, (size_t)cap * sizeof(*p));
		if (!p)
			return err_set(e, ERR_MEM, "no memory for %d added tokens", cap);
		all->v = p;
		all->cap = cap;
	}
	all->v[all->n++] = (struct addition){ content->valuestring, (int32_t)id };
	all->bytes += len;
	if (all->bytes > ADDED_ALL_MAX)
		return err_set(e, ERR_INPUT, "added tokens of more than %d bytes in all",
		               ADDED_ALL_MAX);
	return 0;
}

static int build_tree(struct tokenizer *t, const struct additions *all, struct err *e)
{
	size_t size = 16;

	while (size < 2 * (all->bytes + 1))
		size *= 2;
	t->edge = calloc(size, sizeof(*t->edge));
	if (!t->edge)
		return err_set(e, ERR_MEM, "no memory for the added tokens");
	t->edge_mask = (uint32_t)size - 1;
	t->only = -1;
	for (int k = 0; k < all->n; k++) {
		const unsigned char *p = (const unsigned char *)all->v[k].text;
		uint32_t at = 0;
		t->begins[*p] = true;
		t->only = k == 0 || t->only == *p ? *p : -2;
		for (; *p; p++) {
			uint32_t i = tokenizer_edge(t, at, *p);
			if (t->edge[i].key == 0) {
				t->edge[i].key = (at << 8 | *p) + 1;
				t->edge[i].id = -1;
			}
			at = i + 1;
		}
		if (t->edge[at - 1].id >= 0 && t->edge[at - 1].id != all->v[k].id) {
			char text[96];
			return err_set(e, ERR_INPUT, "added token %s has two ids, %d and %d",
			               shown(all->v[k].text, strlen(all->v[k].text), text),
			               t->edge[at - 1].id, all->v[k].id);
		}
		t->edge[at - 1].id = all->v[k].id;
	}
	return 0;
}

/* ---- the files ---- */

static int read_file(const char *dir, const char *name, struct buf *text, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_printf(&path, "%s/%s", dir, name);
	if (buf_failed(&path))
		rc = err_set(e, ERR_MEM, "no memory to open a tokenizer");
	else
		rc = buf_read_file(text, path.data, FILE_MAX, e);
	buf_release(&path);
	return rc;
}

/* The base: what model.vocab (hole[0]) and model.merges (hole[1]) of @file say. */
static int read_base(struct tokenizer *t, const struct buf *file, const struct scan hole[2],
                     struct err *e)
{
	struct alphabet a;
	uint32_t *hidden = calloc(BPE_IDS_MAX / 32, sizeof(*hidden));
	int rc = -1;

	if (!hidden)
		return err_set(e, ERR_MEM, "no memory for the vocabulary");
	alphabet_make(&a);
	if (read_vocabulary(t, &a, file, hole[0], hidden, e) < 0)
		goto out;
	if (bpe_index(&t->bpe, hidden, e) < 0) {
		err_wrap(e, "model.vocab");
		goto out;
	}
	for (int b = 0; b < 256; b++)
		if (t->bpe.byte[b] < 0) {
			err_set(e, ERR_INPUT,
			        "model.vocab: no token for the byte 0x%02x (a vocabulary of bytes "
			        "has one for each)",
			        b);
			goto out;
		}
	if (read_merges(t, &a, file, hole[1], e) == 0)
		rc = bpe_finish(&t->bpe, e);
out:
	free(hidden);
	return rc;
}

/* @root: tokenizer.json but for the two. */
static int read_main(struct tokenizer *t, const cJSON *root, const struct buf *file,
                     const struct scan hole[2], struct additions *all, struct err *e)
{
	const cJSON *model = get(root, "model"), *v;
	int rc = 0;

	if (!cJSON_IsObject(root))
		return err_set(e, ERR_INPUT, "an object was expected");
	if (check_family(root, e) < 0)
		return -1;
	if (!cJSON_IsObject(get(model, "vocab")) || !hole[0].p || *hole[0].p != '{')
		return unlike("model.vocab", "an object", get(model, "vocab"), e);
	if (!cJSON_IsArray(get(model, "merges")) || !hole[1].p || *hole[1].p != '[')
		return unlike("model.merges", "a list", get(model, "merges"), e);
	if (read_base(t, file, hole, e) < 0)
		return -1;
	v = get(root, "added_tokens");
	if (v && !cJSON_IsNull(v) && !cJSON_IsArray(v))
		return unlike("added_tokens", "a list", v, e);
	v = v ? v->child : NULL;
	for (int i = 0; rc == 0 && v; v = v->next, i++) {
		int64_t id;
		if (!whole_number(get(v, "id"), &id))
			rc = err_set(e, ERR_INPUT, "added_tokens[%d].id: a number was expected", i);
		else if (add_one(t, all, id, v, e) < 0)
			rc = err_wrap(e, "added_tokens[%d]", i);
	}
	return rc;
}

/* What tokenizer_config.json adds: tokens that are not in the other file, and the name of the end
 * of a text. */
static int read_config(struct tokenizer *t, const cJSON *root, struct additions *all,
                       const char **eos, struct err *e)
{
	const cJSON *list = get(root, "added_tokens_decoder"), *v;

	if (!cJSON_IsObject(root))
		return err_set(e, ERR_INPUT, "an object was expected");
	if (list && !cJSON_IsNull(list) && !cJSON_IsObject(list))
		return unlike("added_tokens_decoder", "an object", list, e);
	cJSON_ArrayForEach(v, list)
	{
		char *end;
		long id = strtol(v->string, &end, 10);
		if (v->string[0] < '0' || v->string[0] > '9' || *end || id >= BPE_IDS_MAX) {
			char text[96];
			return err_set(e, ERR_INPUT,
			               "added_tokens_decoder: %s: an id of 0 to %d was expected",
			               shown(v->string, strlen(v->string), text), BPE_IDS_MAX - 1);
		}
		if (add_one(t, all, id, v, e) < 0)
			return err_wrap(e, "added_tokens_decoder.%ld", id);
	}
	v = get(root, "eos_token");
	if (cJSON_IsObject(v))
		v = get(v, "content");
	if (cJSON_IsString(v))
		*eos = v->valuestring;
	return 0;
}

int tokenizer_read(struct tokenizer *t, const char *dir, struct err *e)
{
	static const char *const top[] = { "model" }, *const inside[] = { "vocab", "merges" };
	struct additions all = { 0 };
	struct buf file = { 0 }, rest = { 0 }, config_file = { 0 };
	struct scan model[1] = { { 0 } }, hole[2] = { { 0 }, { 0 } };
	cJSON *root = NULL, *config = NULL;
	const char *eos = NULL;
	int rc = -1;

	bpe_init(&t->bpe);
	t->eos = -1;
	t->added = calloc(BPE_IDS_MAX / 32, sizeof(*t->added));
	t->special = calloc(BPE_IDS_MAX / 32, sizeof(*t->special));
	if (!t->added || !t->special)
		return err_set(e, ERR_MEM, "no memory for a tokenizer");
	if (read_file(dir, "tokenizer.json", &file, e) < 0)
		goto out;

	/* where this fails cJSON says what is wrong, or check_family() */
	struct scan s = { .p = buf_str(&file),
		          .begin = buf_str(&file),
		          .end = buf_str(&file) + file.len };
	if (scan_members(&s, top, model, 1) && model[0].p &&
	    !scan_members(&model[0], inside, hole, 2))
		memset(hole, 0, sizeof(hole));
	bool in_order = hole[0].p < hole[1].p;
	struct scan sorted[2] = { hole[!in_order], hole[in_order] };
	for (int i = 0; i < 2; i++)
		if (sorted[i].p && *sorted[i].p != '{' && *sorted[i].p != '[')
			sorted[i].p = NULL;
	without(&rest, &file, sorted);
	if (buf_failed(&rest)) {
		err_set(e, ERR_MEM, "no memory to read %s/tokenizer.json", dir);
		goto out;
	}
	if (!(root = json_parse(buf_str(&rest), rest.len, e)) ||
	    read_main(t, root, &file, hole, &all, e) < 0) {
		err_wrap(e, "%s/tokenizer.json", dir);
		goto out;
	}
	struct buf path = { 0 };
	buf_printf(&path, "%s/tokenizer_config.json", dir);
	bool there = access(buf_str(&path), F_OK) == 0 || errno != ENOENT;
	buf_release(&path);
	if (there) {
		if (read_file(dir, "tokenizer_config.json", &config_file, e) < 0)
			goto out;
		if (!(config = json_parse(buf_str(&config_file), config_file.len, e)) ||
		    read_config(t, config, &all, &eos, e) < 0) {
			err_wrap(e, "%s/tokenizer_config.json", dir);
			goto out;
		}
	}
	if (build_tree(t, &all, e) < 0) {
		err_wrap(e, "%s", dir);
		goto out;
	}
	if (eos)
		t->eos = tokenizer_added(t, eos);
	rc = 0;
out:
	free(all.v);
	cJSON_Delete(root);
	cJSON_Delete(config);
	buf_release(&file);
	buf_release(&rest);
	buf_release(&config_file);
	return rc;
}
