#include "gpu/tokenizer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/bpe.h"
#include "gpu/pretokenize.h"
#include "gpu/unicode.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

enum {
	FILE_MAX = 64 << 20,    /* bytes; Qwen3.5's has 13 million */
	VALUES_MAX = 8 << 20,   /* JSON values in it */
	TOKEN_BYTES_MAX = 4096, /* the longest of Qwen3.5 has 256 */
	ADDED_BYTES_MAX = 256,
	ADDED_ALL_MAX = 1 << 20, /* bytes of all added tokens */
	TEXT_MAX = 1 << 30,
};

/* Added tokens' texts as a tree of bytes. Its edges lie in a hash table: strangers' files may hold
 * many tokens that begin alike. */
struct edge {
	uint32_t node; /* (from << 8 | byte) + 1; 0: empty. A node's number is its place here + 1,
	                  the root's is 0 */
	int32_t id;    /* of the token that ends here; -1: none */
};

struct tokenizer {
	struct bpe bpe;
	uint32_t *added, *special; /* a bit an id; BPE_IDS_MAX of them */
	struct edge *edge;
	uint32_t edge_mask;
	bool begins[256]; /* some added token begins with this byte */
	int only;         /* all of them do with this one; -1: several, or none */
	int32_t eos;      /* tokenizer_config's; -1: none */
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
	size_t was = out->len;

	for (size_t i = 0; i < len;) {
		uint32_t cp = 0;
		int n = unicode_step(text + i, len - i, &cp);
		if (n <= 0 || cp >= 512 || a->byte[cp] < 0) {
			out->len = was;
			return false;
		}
		buf_addc(out, (char)a->byte[cp]);
		i += (size_t)n;
	}
	return true;
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
static const char *shown(const char *text, char out[96])
{
	struct buf b = { 0 };
	size_t n = strlen(text);

	utf8_clean_line(&b, text, n < 40 ? n : 40);
	snprintf(out, 96, "\"%.80s%s\"", buf_str(&b), n < 40 ? "" : "...");
	buf_release(&b);
	return out;
}

static int read_vocabulary(struct tokenizer *t, const struct alphabet *a, const cJSON *model,
                           uint32_t **hidden, struct err *e)
{
	const cJSON *vocab = get(model, "vocab"), *v;
	struct buf bytes = { 0 };
	char text[96];
	int64_t id;
	int rc = 0;

	if (!cJSON_IsObject(vocab))
		return unlike("model.vocab", "an object", vocab, e);
	cJSON_ArrayForEach(v, vocab)
	{
		buf_clear(&bytes);
		size_t len = strlen(v->string);
		if (!whole_number(v, &id)) {
			rc = err_set(e, ERR_INPUT, "model.vocab: %s: an id was expected",
			             shown(v->string, text));
			break;
		}
		/* what is not spelt in the alphabet no text can give, but it can be decoded */
		bool spelt = alphabet_read(a, v->string, len, &bytes);
		if (!spelt)
			buf_add(&bytes, v->string, len);
		if (bytes.len == 0)
			continue;
		if (bytes.len > TOKEN_BYTES_MAX) {
			rc = err_set(e, ERR_INPUT,
			             "model.vocab: %s: %zu bytes; a token has at most %d",
			             shown(v->string, text), bytes.len, TOKEN_BYTES_MAX);
			break;
		}
		if (bpe_token(&t->bpe, id, bytes.data, bytes.len, e) < 0) {
			rc = err_wrap(e, "model.vocab: %s", shown(v->string, text));
			break;
		}
		if (spelt)
			continue;
		if (!*hidden)
			*hidden = calloc(BPE_IDS_MAX / 32, sizeof(**hidden));
		if (!*hidden) {
			rc = err_set(e, ERR_MEM, "no memory for the vocabulary");
			break;
		}
		(*hidden)[id / 32] |= 1u << (id % 32);
	}
	if (rc == 0 && buf_failed(&bytes))
		rc = err_set(e, ERR_MEM, "no memory for the vocabulary");
	buf_release(&bytes);
	return rc;
}

/* A merge's two parts, whichever way it is written. */
static bool merge_parts(const cJSON *m, const char **left, size_t *n_left, const char **right)
{
	if (cJSON_IsString(m)) {
		const char *space = strchr(m->valuestring, ' ');
		if (!space || strchr(space + 1, ' '))
			return false;
		*left = m->valuestring;
		*n_left = (size_t)(space - m->valuestring);
		*right = space + 1;
		return true;
	}
	const cJSON *l = cJSON_IsArray(m) ? m->child : NULL, *r = l ? l->next : NULL;
	if (!r || r->next || !cJSON_IsString(l) || !cJSON_IsString(r))
		return false;
	*left = l->valuestring;
	*n_left = strlen(l->valuestring);
	*right = r->valuestring;
	return true;
}

static int read_merges(struct tokenizer *t, const struct alphabet *a, const cJSON *merges,
                       struct err *e)
{
	struct buf bytes = { 0 };
	char text[96];
	uint32_t rank = 0;
	const cJSON *m;
	int rc = 0;

	cJSON_ArrayForEach(m, merges)
	{
		const char *left, *right;
		size_t n_left;
		if (!merge_parts(m, &left, &n_left, &right)) {
			rc = err_set(e, ERR_INPUT,
			             "model.merges[%u]: \"a b\" or [\"a\", \"b\"] was expected",
			             rank);
			break;
		}
		buf_clear(&bytes);
		bool spelt = alphabet_read(a, left, n_left, &bytes);
		size_t cut = bytes.len;
		int32_t l = spelt ? bpe_find(&t->bpe, bytes.data, cut) : -1;
		spelt = alphabet_read(a, right, strlen(right), &bytes);
		if (buf_failed(&bytes)) {
			rc = err_set(e, ERR_MEM, "no memory for the merges");
			break;
		}
		int32_t r = spelt ? bpe_find(&t->bpe, bytes.data + cut, bytes.len - cut) : -1;
		int32_t to = l >= 0 && r >= 0 ? bpe_find(&t->bpe, bytes.data, bytes.len) : -1;
		if (to < 0) {
			const char *which = l < 0   ? "its left part"
			                    : r < 0 ? "its right part"
			                            : "what it makes";
			char both[96 * 2];
			snprintf(both, sizeof(both), "%.*s%s",
			         (int)(l >= 0 && r < 0 ? 0
			               : n_left < 90   ? n_left
			                               : 90),
			         left, l < 0 ? "" : right);
			rc = err_set(e, ERR_INPUT,
			             "model.merges[%u]: %s, %s, is not in model.vocab", rank, which,
			             shown(both, text));
			break;
		}
		bpe_merge(&t->bpe, l, r, to, rank);
		rank++;
	}
	buf_release(&bytes);
	return rc;
}

/* ---- added tokens ---- */

static uint32_t edge_at(const struct tokenizer *t, uint32_t from, unsigned char byte)
{
	uint64_t key = (uint64_t)from << 8 | byte;
	uint32_t i = (uint32_t)(((key ^ t->bpe.seed) * 0x9e3779b97f4a7c15u) >> 32) & t->edge_mask;

	while (t->edge[i].node != 0 && t->edge[i].node != (uint32_t)key + 1)
		i = (i + 1) & t->edge_mask;
	return i;
}

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
	shown(content->valuestring, text);
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
		char other[TOKEN_BYTES_MAX + 1], other_shown[96];
		memcpy(other, now, have);
		other[have] = '\0';
		return err_set(e, ERR_INPUT, "%s: id %lld belongs to %s already", text,
		               (long long)id, shown(other, other_shown));
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
			uint32_t i = edge_at(t, at, *p);
			if (t->edge[i].node == 0) {
				t->edge[i].node = (at << 8 | *p) + 1;
				t->edge[i].id = -1;
			}
			at = i + 1;
		}
		if (t->edge[at - 1].id >= 0 && t->edge[at - 1].id != all->v[k].id) {
			char text[96];
			return err_set(e, ERR_INPUT, "added token %s has two ids, %d and %d",
			               shown(all->v[k].text, text), t->edge[at - 1].id,
			               all->v[k].id);
		}
		t->edge[at - 1].id = all->v[k].id;
	}
	return 0;
}

/* The longest added token that @text begins with: its id and length, or -1. */
static int32_t added_here(const struct tokenizer *t, const char *text, size_t len, size_t *n)
{
	uint32_t at = 0;
	int32_t id = -1;

	for (size_t k = 0; k < len; k++) {
		uint32_t i = edge_at(t, at, (unsigned char)text[k]);
		if (t->edge[i].node == 0)
			break;
		at = i + 1;
		if (t->edge[i].id >= 0) {
			id = t->edge[i].id;
			*n = k + 1;
		}
	}
	return id;
}

/* ---- opening ---- */

static int read_json(const char *dir, const char *name, bool must, struct buf *text, cJSON **out,
                     struct err *e)
{
	struct buf path = { 0 };
	int rc = -1;

	buf_printf(&path, "%s/%s", dir, name);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory to open a tokenizer");
	} else if (!must && access(path.data, F_OK) < 0 && errno == ENOENT) {
		rc = 0;
	} else if (buf_read_file(text, path.data, FILE_MAX, e) == 0) {
		*out = json_parse_bounded(text->data, text->len, VALUES_MAX, e);
		if (*out)
			rc = 0;
		else
			err_wrap(e, "%s", path.data);
	}
	buf_release(&path);
	return rc;
}

static int read_main(struct tokenizer *t, const cJSON *root, struct additions *all, struct err *e)
{
	const cJSON *model = get(root, "model"), *merges = get(model, "merges"), *v;
	struct alphabet a;
	uint32_t *hidden = NULL;
	int rc = -1;

	alphabet_make(&a);
	if (!cJSON_IsObject(root))
		return err_set(e, ERR_INPUT, "an object was expected");
	if (check_family(root, e) < 0)
		return -1;
	if (!cJSON_IsArray(merges))
		return unlike("model.merges", "a list", merges, e);
	if (read_vocabulary(t, &a, model, &hidden, e) < 0)
		goto out;
	if (bpe_index(&t->bpe, hidden, cJSON_GetArraySize(merges), e) < 0) {
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
	if (read_merges(t, &a, merges, e) < 0 || bpe_finish(&t->bpe, e) < 0)
		goto out;
	rc = 0;
	v = get(root, "added_tokens");
	if (v && !cJSON_IsNull(v) && !cJSON_IsArray(v))
		rc = unlike("added_tokens", "a list", v, e);
	else if (v)
		v = v->child;
	for (int i = 0; rc == 0 && v; v = v->next, i++) {
		int64_t id;
		if (!whole_number(get(v, "id"), &id))
			rc = err_set(e, ERR_INPUT, "added_tokens[%d].id: a number was expected", i);
		else if (add_one(t, all, id, v, e) < 0)
			rc = err_wrap(e, "added_tokens[%d]", i);
	}
out:
	free(hidden);
	return rc;
}

/* What tokenizer_config.json adds: tokens that are not in the other file, and eos_token. @text:
 * where to copy eos_token's text, so that it is found once all tokens are there. */
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
			               shown(v->string, text), BPE_IDS_MAX - 1);
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

struct tokenizer *tokenizer_open(const char *dir, struct err *e)
{
	struct tokenizer *t = calloc(1, sizeof(*t));
	struct additions all = { 0 };
	struct buf text = { 0 }, config_text = { 0 };
	cJSON *root = NULL, *config = NULL;
	const char *eos = NULL;
	bool ok = false;

	if (!t) {
		err_set(e, ERR_MEM, "no memory for a tokenizer");
		return NULL;
	}
	bpe_init(&t->bpe);
	t->eos = -1;
	t->added = calloc(BPE_IDS_MAX / 32, sizeof(*t->added));
	t->special = calloc(BPE_IDS_MAX / 32, sizeof(*t->special));
	if (!t->added || !t->special) {
		err_set(e, ERR_MEM, "no memory for a tokenizer");
		goto out;
	}
	if (read_json(dir, "tokenizer.json", true, &text, &root, e) < 0 ||
	    read_json(dir, "tokenizer_config.json", false, &config_text, &config, e) < 0)
		goto out;
	if (read_main(t, root, &all, e) < 0) {
		err_wrap(e, "%s/tokenizer.json", dir);
		goto out;
	}
	if (config && read_config(t, config, &all, &eos, e) < 0) {
		err_wrap(e, "%s/tokenizer_config.json", dir);
		goto out;
	}
	if (build_tree(t, &all, e) < 0) {
		err_wrap(e, "%s", dir);
		goto out;
	}
	if (eos)
		t->eos = tokenizer_added(t, eos);
	ok = true;
out:
	free(all.v);
	cJSON_Delete(root);
	cJSON_Delete(config);
	buf_release(&text);
	buf_release(&config_text);
	if (!ok) {
		tokenizer_close(t);
		t = NULL;
	}
	return t;
}

void tokenizer_close(struct tokenizer *t)
{
	if (!t)
		return;
	bpe_release(&t->bpe);
	free(t->added);
	free(t->special);
	free(t->edge);
	free(t);
}

/* ---- asking ---- */

int tokenizer_size(const struct tokenizer *t)
{
	return t->bpe.n;
}

int32_t tokenizer_added(const struct tokenizer *t, const char *text)
{
	size_t len = strlen(text), n = 0;
	int32_t id = added_here(t, text, len, &n);

	return n == len ? id : -1;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len, bool *special)
{
	if (id < 0 || id >= t->bpe.n || t->bpe.token[id].len == 0) {
		*len = 0;
		*special = false;
		return "";
	}
	*len = t->bpe.token[id].len;
	*special = bit(t->special, id);
	return t->bpe.bytes.data + t->bpe.token[id].at;
}

int tokenizer_stops(const struct tokenizer *t, int32_t *out, int cap)
{
	const int32_t all[] = { tokenizer_added(t, "<|im_end|>"),
		                tokenizer_added(t, "<|endoftext|>"), t->eos };
	int n = 0;

	for (int i = 0; i < 3; i++) {
		bool known = all[i] < 0;
		for (int k = 0; k < n; k++)
			known |= out[k] == all[i];
		if (!known && n < cap)
			out[n++] = all[i];
	}
	return n;
}

void ids_release(struct ids *v)
{
	free(v->id);
	*v = (struct ids){ 0 };
}

/* Room for @n more. */
static int ids_room(struct ids *v, size_t n)
{
	size_t cap = v->cap > 0 ? (size_t)v->cap : 64;

	if (n <= (size_t)(v->cap - v->n))
		return 0;
	if (n > (size_t)(INT_MAX - v->n))
		return -1;
	while (cap < (size_t)v->n + n)
		cap *= 2;
	if (cap > INT_MAX)
		cap = INT_MAX;
	int32_t *id = realloc(v->id, cap * sizeof(*id));
	if (!id)
		return -1;
	v->id = id;
	v->cap = (int)cap;
	return 0;
}

int ids_add(struct ids *v, const int32_t *id, int n)
{
	if (n <= 0)
		return 0;
	if (ids_room(v, (size_t)n) < 0)
		return -1;
	memcpy(v->id + v->n, id, (size_t)n * sizeof(*id));
	v->n += n;
	return 0;
}

/* ---- encoding ---- */

/* Text without added tokens; @scratch is for its normal form. */
static int encode_plain(const struct tokenizer *t, const char *text, size_t len,
                        struct buf *scratch, struct ids *out, struct err *e)
{
	if (unicode_nfc_span(text, len) < len) {
		buf_clear(scratch);
		if (unicode_nfc(scratch, text, len, e) < 0)
			return -1;
		text = scratch->data;
		len = scratch->len;
	}
	for (size_t i = 0; i < len;) {
		size_t n = pretokenize(text + i, len - i);
		if (ids_room(out, n) < 0)
			return err_set(e, ERR_MEM, "no memory for %d token ids", out->n);
		int k = bpe_encode(&t->bpe, (const unsigned char *)text + i, n, out->id + out->n,
		                   e);
		if (k < 0)
			return -1;
		out->n += k;
		i += n;
	}
	return 0;
}

/* The next byte that an added token may begin with. */
static size_t next_beginning(const struct tokenizer *t, const char *text, size_t i, size_t len)
{
	if (t->only >= 0) {
		const char *at = memchr(text + i, t->only, len - i);
		return at ? (size_t)(at - text) : len;
	}
	while (i < len && !t->begins[(unsigned char)text[i]])
		i++;
	return i;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool added,
                     struct ids *out, struct err *e)
{
	struct buf mended = { 0 }, scratch = { 0 };
	size_t from = 0, at = 0, bad;
	int n_was = out->n, rc = 0;

	if (len > TEXT_MAX)
		return err_set(e, ERR_INPUT, "a text of %zu bytes; at most %d are taken at once",
		               len, TEXT_MAX);
	if (!utf8_valid(text, len, &bad)) {
		unicode_mend(&mended, text, len);
		if (buf_failed(&mended)) {
			rc = err_set(e, ERR_MEM, "no memory for a text of %zu bytes", len);
			goto out;
		}
		text = mended.data;
		len = mended.len;
	}
	while (added && rc == 0 && (at = next_beginning(t, text, at, len)) < len) {
		size_t n = 0;
		int32_t id = added_here(t, text + at, len - at, &n);
		if (id < 0) {
			at++;
			continue;
		}
		rc = encode_plain(t, text + from, at - from, &scratch, out, e);
		if (rc == 0 && ids_add(out, &id, 1) < 0)
			rc = err_set(e, ERR_MEM, "no memory for %d token ids", out->n);
		at += n;
		from = at;
	}
	if (rc == 0)
		rc = encode_plain(t, text + from, len - from, &scratch, out, e);
out:
	if (rc < 0)
		out->n = n_was;
	buf_release(&mended);
	buf_release(&scratch);
	return rc;
}

/* ---- decoding ---- */

#define REPLACEMENT "\xef\xbf\xbd"

/* Appends the characters that are certain once these bytes are there. */
static void decoder_bytes(struct decoder *d, const char *p, size_t n, struct buf *out)
{
	size_t sound = 0, i = 0; /* bytes from sound to i are to be copied */
	uint32_t cp;

	while (i < n && d->n_held > 0) {
		char c[5];
		memcpy(c, d->held, (size_t)d->n_held);
		c[d->n_held] = p[i];
		int k = unicode_step(c, (size_t)d->n_held + 1, &cp);
		if (k == 0) {
			d->held[d->n_held++] = (unsigned char)p[i++];
		} else if (cp != UNICODE_BAD) {
			buf_add(out, c, (size_t)k);
			d->n_held = 0;
			i++;
		} else {
			/* the new byte is none of them and is looked at again */
			buf_adds(out, REPLACEMENT);
			d->n_held = 0;
		}
	}
	sound = i;
	while (i < n) {
		int k = unicode_step(p + i, n - i, &cp);
		if (k > 0 && cp != UNICODE_BAD) {
			i += (size_t)k;
			continue;
		}
		buf_add(out, p + sound, i - sound);
		if (k > 0) {
			buf_adds(out, REPLACEMENT);
			i += (size_t)k;
		} else {
			memcpy(d->held, p + i, n - i);
			d->n_held = (int)(n - i);
			i = n;
		}
		sound = i;
	}
	buf_add(out, p + sound, i - sound);
}

void decoder_push(struct decoder *d, const struct tokenizer *t, int32_t id, bool skip_special,
                  struct buf *out)
{
	size_t n;
	bool special;
	const char *p = tokenizer_bytes(t, id, &n, &special);

	if (!(special && skip_special))
		decoder_bytes(d, p, n, out);
}

void decoder_finish(struct decoder *d, struct buf *out)
{
	if (d->n_held > 0)
		buf_adds(out, REPLACEMENT);
	d->n_held = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *id, int n, bool skip_special,
                      struct buf *out)
{
	struct decoder d = { 0 };

	for (int i = 0; i < n; i++)
		decoder_push(&d, t, id[i], skip_special, out);
	decoder_finish(&d, out);
}
