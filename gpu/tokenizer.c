#include "gpu/tokenizer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/pretokenize.h"
#include "gpu/tokenizer_inside.h"
#include "gpu/unicode.h"
#include "src/base/utf8.h"

enum { TEXT_MAX = 1 << 30 };

static bool bit(const uint32_t *set, int32_t id)
{
	return set[id / 32] >> (id % 32) & 1;
}

uint32_t tokenizer_edge(const struct tokenizer *t, uint32_t from, unsigned char byte)
{
	uint64_t key = (uint64_t)from << 8 | byte;
	uint32_t i = (uint32_t)(((key ^ t->bpe.seed) * 0x9e3779b97f4a7c15u) >> 32) & t->edge_mask;

	while (t->edge[i].key != 0 && t->edge[i].key != (uint32_t)key + 1)
		i = (i + 1) & t->edge_mask;
	return i;
}

/* The longest added token that @text begins with: its id and length, or -1. */
static int32_t added_here(const struct tokenizer *t, const char *text, size_t len, size_t *n)
{
	uint32_t at = 0;
	int32_t id = -1;

	for (size_t k = 0; k < len; k++) {
		uint32_t i = tokenizer_edge(t, at, (unsigned char)text[k]);
		if (t->edge[i].key == 0)
			break;
		at = i + 1;
		if (t->edge[i].id >= 0) {
			id = t->edge[i].id;
			*n = k + 1;
		}
	}
	return id;
}

struct tokenizer *tokenizer_open(const char *dir, struct err *e)
{
	struct tokenizer *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(e, ERR_MEM, "no memory for a tokenizer");
		return NULL;
	}
	if (tokenizer_read(t, dir, e) < 0) {
		tokenizer_close(t);
		return NULL;
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
