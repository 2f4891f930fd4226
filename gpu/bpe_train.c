/*
 * The text becomes pieces with their counts, the pieces words of symbols, and the most frequent
 * pair of neighbours is joined again and again. The counts of pairs are kept up as words change,
 * and each pair knows the words it was seen in, so that a join costs what it touches. The next pair
 * comes from a heap whose entries may be out of date: one whose count has fallen since is put back.
 */
#include "gpu/bpe_train.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/bpe.h"
#include "gpu/pretokenize.h"
#include "gpu/tokenizer_write.h"
#include "gpu/unicode.h"
#include "src/base/utf8.h"

/* A longer piece is counted in parts, so that no word is ever long. */
enum { PART_BYTES = 128 };
#define NONE UINT32_MAX

struct piece {
	uint32_t at, len; /* in the trainer's bytes */
	uint64_t count;
};

struct bpe_trainer {
	struct buf bytes; /* of all pieces */
	struct piece *piece;
	uint32_t n, cap;
	uint32_t *slot; /* open addressing: number of a piece, or NONE */
	uint32_t mask;
};

/* Grows *@p, of @n things of @size, to have room for one more. */
static int room(void **p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	uint32_t more = *cap ? *cap * 2 : 16;
	void *q = more > *cap ? realloc(*p, (size_t)more * size) : NULL;
	if (!q)
		return -1;
	*p = q;
	*cap = more;
	return 0;
}

static uint32_t *new_slots(uint32_t mask)
{
	uint32_t *p = malloc(((size_t)mask + 1) * sizeof(*p));

	return p ? memset(p, 0xff, ((size_t)mask + 1) * sizeof(*p)) : NULL;
}

static uint32_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)(z ^ (z >> 31));
}

static uint32_t hash_bytes(const char *p, size_t n)
{
	uint64_t h = n, v = 0;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	v = 0;
	memcpy(&v, p, n);
	return mix((h ^ v) * 0x9e3779b97f4a7c15u);
}

/* ---- counting pieces ---- */

struct bpe_trainer *bpe_trainer_open(struct err *e)
{
	struct bpe_trainer *t = calloc(1, sizeof(*t));

	if (t) {
		t->mask = (1 << 12) - 1;
		t->slot = new_slots(t->mask);
	}
	if (!t || !t->slot) {
		free(t);
		err_set(e, ERR_MEM, "no memory to learn a vocabulary");
		return NULL;
	}
	return t;
}

void bpe_trainer_close(struct bpe_trainer *t)
{
	if (!t)
		return;
	buf_release(&t->bytes);
	free(t->piece);
	free(t->slot);
	free(t);
}

static uint32_t *piece_slot(const struct bpe_trainer *t, const char *p, size_t n)
{
	uint32_t i = hash_bytes(p, n) & t->mask;

	for (; t->slot[i] != NONE; i = (i + 1) & t->mask) {
		const struct piece *x = &t->piece[t->slot[i]];
		if (x->len == n && memcmp(t->bytes.data + x->at, p, n) == 0)
			break;
	}
	return &t->slot[i];
}

static int more_slots(struct bpe_trainer *t)
{
	uint32_t *was = t->slot, *now = new_slots(t->mask * 2 + 1);

	if (!now)
		return -1;
	t->slot = now;
	t->mask = t->mask * 2 + 1;
	for (uint32_t i = 0; i < t->n; i++)
		*piece_slot(t, t->bytes.data + t->piece[i].at, t->piece[i].len) = i;
	free(was);
	return 0;
}

static int count_part(struct bpe_trainer *t, const char *p, size_t n, struct err *e)
{
	uint32_t *slot = piece_slot(t, p, n);

	if (*slot != NONE) {
		t->piece[*slot].count++;
		return 0;
	}
	if (t->bytes.len + n > UINT32_MAX / 2)
		return err_set(e, ERR_INPUT,
		               "a vocabulary is learned from at most 2 GiB of different pieces of "
		               "text: give it less");
	if (t->n >= t->mask / 2) {
		if (more_slots(t) < 0)
			goto no_memory;
		slot = piece_slot(t, p, n);
	}
	if (room((void **)&t->piece, t->n, &t->cap, sizeof(*t->piece)) < 0)
		goto no_memory;
	t->piece[t->n] = (struct piece){ (uint32_t)t->bytes.len, (uint32_t)n, 1 };
	buf_add(&t->bytes, p, n);
	if (buf_failed(&t->bytes))
		goto no_memory;
	*slot = t->n++;
	return 0;
no_memory:
	return err_set(e, ERR_MEM, "no memory for %u pieces of text", t->n);
}

/* Text without added tokens, valid and in its normal form. */
static int count_plain(struct bpe_trainer *t, const char *text, size_t len, struct err *e)
{
	while (len > 0) {
		size_t n = pretokenize(text, len), left = n;
		while (left > 0) {
			size_t k = left;
			if (k > PART_BYTES) { /* not within a character */
				k = PART_BYTES;
				while (k > PART_BYTES - 4 &&
				       ((unsigned char)text[k] & 0xc0) == 0x80)
					k--;
			}
			if (count_part(t, text, k, e) < 0)
				return -1;
			text += k;
			left -= k;
		}
		len -= n;
	}
	return 0;
}

static int count_normal(struct bpe_trainer *t, const char *text, size_t len, struct buf *scratch,
                        struct err *e)
{
	if (unicode_nfc_span(text, len) == len)
		return count_plain(t, text, len, e);
	buf_clear(scratch);
	if (unicode_nfc(scratch, text, len, e) < 0)
		return -1;
	return count_plain(t, scratch->data, scratch->len, e);
}

int bpe_trainer_feed(struct bpe_trainer *t, const char *text, size_t len, struct err *e)
{
	struct buf mended = { 0 }, scratch = { 0 };
	size_t bad, from = 0;
	int rc = 0;

	if (!utf8_valid(text, len, &bad)) {
		unicode_mend(&mended, text, len);
		if (buf_failed(&mended))
			return err_set(e, ERR_MEM, "no memory for a text of %zu bytes", len);
		text = mended.data;
		len = mended.len;
	}
	for (size_t at = 0; rc == 0 && at < len;) {
		const char *next = memchr(text + at, '<', len - at);
		at = next ? (size_t)(next - text) : len;
		size_t n = added_token_here(text + at, len - at);
		if (n == 0 && at < len) {
			at++;
			continue;
		}
		rc = count_normal(t, text + from, at - from, &scratch, e);
		from = at += n;
	}
	if (rc == 0 && from < len)
		rc = count_normal(t, text + from, len - from, &scratch, e);
	buf_release(&scratch);
	buf_release(&mended);
	return rc;
}

/* ---- learning ---- */

struct word {
	uint32_t at; /* in symbols */
	uint32_t n;
	uint64_t count;
};

struct pair {
	int32_t left, right;
	uint64_t count; /* in all words together */
	uint32_t *word; /* that it was seen in; it may be gone from some */
	uint32_t n, cap;
	uint64_t queued; /* the count of its newest entry in the heap */
	bool joined;     /* it is a merge: one that comes up again, since a token can be made in
	                  * several ways, is joined by that one */
};

struct entry {
	uint64_t count;
	uint32_t pair;
};

struct learner {
	struct vocabulary v;
	uint32_t token_cap, merge_cap;
	uint32_t *token_slot; /* token of these bytes, or NONE */
	uint32_t token_mask;

	int32_t *symbol;
	struct word *word;
	uint32_t words;

	struct pair *pair;
	uint32_t pairs, pair_cap;
	uint32_t *pair_slot;
	uint32_t pair_mask;

	struct entry *heap;
	uint32_t entries, heap_cap;
};

static size_t token_len(const struct vocabulary *v, int32_t id)
{
	return v->at[id + 1] - v->at[id];
}

static int compare_tokens(const struct vocabulary *v, int32_t a, int32_t b)
{
	size_t n = token_len(v, a), k = token_len(v, b);
	int c = memcmp(v->bytes.data + v->at[a], v->bytes.data + v->at[b], n < k ? n : k);

	return c ? c : (n > k) - (n < k);
}

/* Whether @a is to be joined before @b. */
static bool before(const struct learner *l, struct entry a, struct entry b)
{
	const struct pair *p = &l->pair[a.pair], *q = &l->pair[b.pair];
	int c;

	if (a.count != b.count)
		return a.count > b.count;
	c = compare_tokens(&l->v, p->left, q->left);
	return (c ? c : compare_tokens(&l->v, p->right, q->right)) < 0;
}

static int heap_add(struct learner *l, struct entry x)
{
	uint32_t i = l->entries;

	if (room((void **)&l->heap, l->entries, &l->heap_cap, sizeof(*l->heap)) < 0)
		return -1;
	l->entries++;
	for (; i > 0 && before(l, x, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		l->heap[i] = l->heap[(i - 1) / 2];
	l->heap[i] = x;
	return 0;
}

static struct entry heap_take(struct learner *l)
{
	struct entry top = l->heap[0], last = l->heap[--l->entries];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < l->entries) {
		if (child + 1 < l->entries && before(l, l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l, l->heap[child], last))
			break;
		l->heap[i] = l->heap[child];
		i = child;
	}
	l->heap[i] = last;
	return top;
}

static uint32_t *pair_slot(const struct learner *l, int32_t left, int32_t right)
{
	uint32_t i = mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right) & l->pair_mask;

	for (; l->pair_slot[i] != NONE; i = (i + 1) & l->pair_mask) {
		const struct pair *p = &l->pair[l->pair_slot[i]];
		if (p->left == left && p->right == right)
			break;
	}
	return &l->pair_slot[i];
}

/* The pair's number; NONE: no memory. */
static uint32_t pair_of(struct learner *l, int32_t left, int32_t right)
{
	uint32_t *slot = pair_slot(l, left, right);

	if (*slot != NONE)
		return *slot;
	if (l->pairs >= l->pair_mask / 2) {
		uint32_t *now = new_slots(l->pair_mask * 2 + 1);
		if (!now)
			return NONE;
		free(l->pair_slot);
		l->pair_slot = now;
		l->pair_mask = l->pair_mask * 2 + 1;
		for (uint32_t i = 0; i < l->pairs; i++)
			*pair_slot(l, l->pair[i].left, l->pair[i].right) = i;
		slot = pair_slot(l, left, right);
	}
	if (room((void **)&l->pair, l->pairs, &l->pair_cap, sizeof(*l->pair)) < 0)
		return NONE;
	l->pair[l->pairs] = (struct pair){ .left = left, .right = right };
	*slot = l->pairs;
	return l->pairs++;
}

/* The pair at @at of word @w is there @w's count of times more. */
static int add_pair(struct learner *l, uint32_t w, uint32_t at)
{
	const int32_t *s = l->symbol + l->word[w].at + at;
	uint32_t k = pair_of(l, s[0], s[1]);

	if (k == NONE)
		return -1;
	struct pair *p = &l->pair[k];
	p->count += l->word[w].count;
	if (p->n > 0 && p->word[p->n - 1] == w)
		return 0;
	if (room((void **)&p->word, p->n, &p->cap, sizeof(*p->word)) < 0)
		return -1;
	p->word[p->n++] = w;
	return 0;
}

static void drop_pair(struct learner *l, uint32_t w, uint32_t at)
{
	const int32_t *s = l->symbol + l->word[w].at + at;

	l->pair[*pair_slot(l, s[0], s[1])].count -= l->word[w].count;
}

/* Puts a pair whose count has risen into the heap. */
static int queue_pair(struct learner *l, uint32_t k)
{
	struct pair *p = &l->pair[k];

	if (p->count < 2 || p->count <= p->queued)
		return 0;
	p->queued = p->count;
	return heap_add(l, (struct entry){ p->count, k });
}

/* Joins @left and @right to @to wherever they are neighbours in word @w, from the left. */
static int join_in(struct learner *l, uint32_t w, int32_t left, int32_t right, int32_t to)
{
	struct word *x = &l->word[w];
	int32_t *s = l->symbol + x->at;
	uint32_t n = 0;
	bool found = false;

	for (uint32_t i = 0; i + 1 < x->n && !found; i++)
		found = s[i] == left && s[i + 1] == right;
	if (!found)
		return 0;
	for (uint32_t i = 0; i + 1 < x->n; i++)
		drop_pair(l, w, i);
	for (uint32_t i = 0; i < x->n; n++) {
		bool both = i + 1 < x->n && s[i] == left && s[i + 1] == right;
		s[n] = both ? to : s[i];
		i += both ? 2 : 1;
	}
	x->n = n;
	for (uint32_t i = 0; i + 1 < n; i++) {
		uint32_t k;
		if (s[i] == to || s[i + 1] == to) { /* maybe new in this word */
			if (add_pair(l, w, i) < 0)
				return -1;
			continue;
		}
		k = *pair_slot(l, s[i], s[i + 1]);
		l->pair[k].count += x->count;
	}
	return 0;
}

static uint32_t *token_slot(const struct learner *l, const char *p, size_t n)
{
	uint32_t i = hash_bytes(p, n) & l->token_mask;

	for (; l->token_slot[i] != NONE; i = (i + 1) & l->token_mask) {
		int32_t id = (int32_t)l->token_slot[i];
		if (token_len(&l->v, id) == n && memcmp(l->v.bytes.data + l->v.at[id], p, n) == 0)
			break;
	}
	return &l->token_slot[i];
}

/* The token of these bytes, a new one if there is none; -1: no memory. */
static int32_t token_of(struct learner *l, const char *p, size_t n)
{
	struct vocabulary *v = &l->v;
	uint32_t *slot = token_slot(l, p, n);

	if (*slot != NONE)
		return (int32_t)*slot;
	if (room((void **)&v->at, (uint32_t)v->tokens + 1, &l->token_cap, sizeof(*v->at)) < 0)
		return -1;
	buf_add(&v->bytes, p, n);
	if (buf_failed(&v->bytes))
		return -1;
	*slot = (uint32_t)v->tokens;
	v->tokens++;
	v->at[v->tokens] = (uint32_t)v->bytes.len;
	return v->tokens - 1;
}

static void learner_release(struct learner *l)
{
	for (uint32_t i = 0; i < l->pairs; i++)
		free(l->pair[i].word);
	buf_release(&l->v.bytes);
	free(l->v.at);
	free(l->v.merge);
	free(l->token_slot);
	free(l->symbol);
	free(l->word);
	free(l->pair);
	free(l->pair_slot);
	free(l->heap);
}

/* The bytes as tokens, the pieces as words of them, all pairs counted. */
static int learner_begin(struct learner *l, const struct bpe_trainer *t, int size)
{
	uint32_t slots = 1024;

	while (slots < 2 * (uint32_t)size)
		slots *= 2;
	l->token_mask = slots - 1;
	l->token_slot = new_slots(l->token_mask);
	l->pair_mask = (1 << 16) - 1;
	l->pair_slot = new_slots(l->pair_mask);
	l->symbol = malloc((t->bytes.len + 1) * sizeof(*l->symbol));
	l->word = malloc(((size_t)t->n + 1) * sizeof(*l->word));
	if (!l->token_slot || !l->pair_slot || !l->symbol || !l->word ||
	    room((void **)&l->v.at, 0, &l->token_cap, sizeof(*l->v.at)) < 0)
		return -1;
	l->v.at[0] = 0;
	for (int b = 0; b < 256; b++) {
		char c = (char)b;
		if (token_of(l, &c, 1) < 0)
			return -1;
	}
	for (size_t i = 0; i < t->bytes.len; i++)
		l->symbol[i] = (unsigned char)t->bytes.data[i];
	for (uint32_t w = 0; w < t->n; w++) {
		const struct piece *p = &t->piece[w];
		l->word[w] = (struct word){ p->at, p->len, p->count };
		for (uint32_t i = 0; i + 1 < p->len; i++)
			if (add_pair(l, w, i) < 0)
				return -1;
	}
	l->words = t->n;
	for (uint32_t i = 0; i < l->pairs; i++)
		if (queue_pair(l, i) < 0)
			return -1;
	return 0;
}

/* One join: the pair to be joined, in all words where it may be. */
static int join_pair(struct learner *l, uint32_t k)
{
	struct vocabulary *v = &l->v;
	int32_t left = l->pair[k].left, right = l->pair[k].right, to;
	uint32_t n = l->pair[k].n, *word = l->pair[k].word;
	struct buf bytes = { 0 };

	buf_add(&bytes, v->bytes.data + v->at[left], token_len(v, left));
	buf_add(&bytes, v->bytes.data + v->at[right], token_len(v, right));
	to = buf_failed(&bytes) ? -1 : token_of(l, bytes.data, bytes.len);
	buf_release(&bytes);
	if (to < 0 ||
	    room((void **)&v->merge, (uint32_t)v->merges, &l->merge_cap, sizeof(*v->merge)) < 0)
		return -1;
	if (!l->pair[k].joined)
		v->merge[v->merges++] = (struct merge){ left, right };
	l->pair[k].joined = true;
	/* it is in no word after this, and its place may move while others grow */
	l->pair[k].word = NULL;
	l->pair[k].n = l->pair[k].cap = 0;
	for (uint32_t i = 0; i < n; i++)
		if (join_in(l, word[i], left, right, to) < 0) {
			free(word);
			return -1;
		}
	/* the pairs that came up by it */
	for (uint32_t i = 0; i < n; i++) {
		const struct word *x = &l->word[word[i]];
		const int32_t *s = l->symbol + x->at;
		for (uint32_t j = 0; j + 1 < x->n; j++)
			if ((s[j] == to || s[j + 1] == to) &&
			    queue_pair(l, *pair_slot(l, s[j], s[j + 1])) < 0) {
				free(word);
				return -1;
			}
	}
	free(word);
	return 0;
}

/* Joins until there are @tokens, or no pair comes twice. */
static int learn(struct learner *l, int tokens)
{
	while (l->v.tokens < tokens && l->entries > 0) {
		struct entry x = heap_take(l);
		struct pair *p = &l->pair[x.pair];
		if (x.count != p->count) {
			/* it has fallen since, or there is a newer entry with more */
			if (x.count == p->queued && p->count >= 2) {
				p->queued = p->count;
				if (heap_add(l, (struct entry){ p->count, x.pair }) < 0)
					return -1;
			} else if (x.count == p->queued) {
				p->queued = 0;
			}
			continue;
		}
		p->queued = 0;
		if (join_pair(l, x.pair) < 0)
			return -1;
	}
	return 0;
}

int bpe_trainer_write(struct bpe_trainer *t, const char *dir, int size, struct err *e)
{
	struct learner l = { 0 };
	int rc = -1;

	if (size < 256 + ADDED_TOKENS || size > BPE_IDS_MAX)
		return err_set(e, ERR_USAGE,
		               "a vocabulary of %d entries: from %d (the bytes and the added "
		               "tokens) to %d wanted",
		               size, 256 + ADDED_TOKENS, BPE_IDS_MAX);
	if (learner_begin(&l, t, size) < 0 || learn(&l, size - ADDED_TOKENS) < 0)
		err_set(e, ERR_MEM, "no memory to learn a vocabulary from %u pieces of text", t->n);
	else if (tokenizer_write(dir, &l.v, e) == 0)
		rc = l.v.tokens + ADDED_TOKENS;
	learner_release(&l);
	return rc;
}
