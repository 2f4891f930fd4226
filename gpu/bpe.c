#include "gpu/bpe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "src/base/clock.h"

enum { NEVER = UINT32_MAX, SHORT = 48, THREADS_MAX = 4 };

struct bpe_piece {
	uint32_t id; /* NEVER: empty */
	uint32_t tag;
};

struct bpe_pair {
	uint32_t left, right, rank, to; /* rank NEVER: empty */
};

struct bpe_join {
	uint32_t rank, to;
};

/* ---- hashes ---- */

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 r = (unsigned __int128)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t hash_bytes(const struct bpe *b, const unsigned char *p, size_t n)
{
	uint64_t h = b->seed ^ n, w = 0, v = 0;

	while (n > 16) {
		memcpy(&w, p, 8);
		memcpy(&v, p + 8, 8);
		h = mix(w ^ 0x9e3779b97f4a7c15u, v ^ h);
		p += 16;
		n -= 16;
	}
	if (n >= 8) {
		memcpy(&w, p, 8);
		memcpy(&v, p + n - 8, 8);
	} else if (n >= 4) {
		uint32_t lo, hi;
		memcpy(&lo, p, 4);
		memcpy(&hi, p + n - 4, 4);
		w = lo;
		v = hi;
	} else if (n > 0) {
		w = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
		v = 0;
	}
	return mix(mix(w ^ 0x9e3779b97f4a7c15u, v ^ h), b->seed | 1);
}

static inline uint32_t hash_pair(const struct bpe *b, uint32_t left, uint32_t right)
{
	return (uint32_t)mix(((uint64_t)left << 32 | right) ^ b->seed, 0x9e3779b97f4a7c15u);
}

static uint32_t mask_for(size_t n)
{
	size_t size = 16;

	while (size < 2 * n)
		size *= 2;
	return (uint32_t)(size - 1);
}

/* ---- making ---- */

void bpe_init(struct bpe *b)
{
	*b = (struct bpe){ 0 };
	memset(b->byte, 0xff, sizeof(b->byte));
	/* any number will do where there is no randomness yet */
	if (getrandom(&b->seed, sizeof(b->seed), GRND_NONBLOCK) != (ssize_t)sizeof(b->seed))
		b->seed = (uint64_t)(clock_now_s() * 1e9) * 0x9e3779b97f4a7c15u;
}

void bpe_release(struct bpe *b)
{
	buf_release(&b->bytes);
	free(b->token);
	free(b->piece);
	free(b->pair);
	free(b->first);
	free(b->whole);
	*b = (struct bpe){ 0 };
}

int bpe_token(struct bpe *b, int64_t id, const void *bytes, size_t len, struct err *e)
{
	if (id < 0 || id >= BPE_IDS_MAX)
		return err_set(e, ERR_INPUT, "id %lld: 0 to %d was expected", (long long)id,
		               BPE_IDS_MAX - 1);
	if (b->bytes.len + len > UINT32_MAX / 2)
		return err_set(e, ERR_INPUT, "tokens of more than 2 GiB in all");
	if (id >= b->cap) {
		int cap = b->cap ? b->cap : 1024;
		while (cap <= id)
			cap *= 2;
		struct bpe_token *t = realloc(b->token, (size_t)cap * sizeof(*t));
		if (!t)
			return err_set(e, ERR_MEM, "no memory for %d tokens", cap);
		memset(t + b->cap, 0, (size_t)(cap - b->cap) * sizeof(*t));
		b->token = t;
		b->cap = cap;
	}
	if (b->token[id].len > 0)
		return err_set(e, ERR_INPUT, "id %lld is given to two tokens", (long long)id);
	b->token[id] = (struct bpe_token){ (uint32_t)b->bytes.len, (uint32_t)len };
	buf_add(&b->bytes, bytes, len);
	if (id >= b->n)
		b->n = (int)id + 1;
	return buf_failed(&b->bytes) ? err_set(e, ERR_MEM, "no memory for the tokens") : 0;
}

/* Where the id of these bytes stands, or the empty place where it would. */
static inline struct bpe_piece *place(const struct bpe *b, const unsigned char *p, size_t n)
{
	uint64_t h = hash_bytes(b, p, n);
	uint32_t i = (uint32_t)h & b->piece_mask, tag = (uint32_t)(h >> 32);

	for (;; i = (i + 1) & b->piece_mask) {
		struct bpe_piece *s = &b->piece[i];
		if (s->id == NEVER)
			return s;
		if (s->tag != tag)
			continue;
		struct bpe_token t = b->token[s->id];
		if (t.len == n && memcmp(b->bytes.data + t.at, p, n) == 0)
			return s;
	}
}

static struct bpe_pair *empty_pairs(uint32_t mask)
{
	size_t bytes = ((size_t)mask + 1) * sizeof(struct bpe_pair);
	struct bpe_pair *p = malloc(bytes);

	return p ? memset(p, 0xff, bytes) : NULL;
}

int bpe_index(struct bpe *b, const uint32_t *hidden, struct err *e)
{
	b->piece_mask = mask_for((size_t)b->n);
	b->pair_mask = b->piece_mask; /* there are about as many */
	b->piece = malloc(((size_t)b->piece_mask + 1) * sizeof(*b->piece));
	b->pair = empty_pairs(b->pair_mask);
	b->first = malloc(65536 * sizeof(*b->first));
	if (!b->piece || !b->pair || !b->first)
		return err_set(e, ERR_MEM, "no memory for %d tokens", b->n);
	memset(b->piece, 0xff, ((size_t)b->piece_mask + 1) * sizeof(*b->piece));
	memset(b->first, 0xff, 65536 * sizeof(*b->first));
	for (int id = 0; id < b->n; id++) {
		struct bpe_token t = b->token[id];
		const unsigned char *p = (const unsigned char *)b->bytes.data + t.at;
		if (t.len == 0 || (hidden && hidden[id / 32] >> (id % 32) & 1))
			continue;
		struct bpe_piece *s = place(b, p, t.len);
		if (s->id != NEVER)
			return err_set(e, ERR_INPUT, "ids %u and %d are of equal bytes", s->id, id);
		s->id = (uint32_t)id;
		s->tag = (uint32_t)(hash_bytes(b, p, t.len) >> 32);
		if (t.len > b->longest)
			b->longest = t.len;
		if (t.len == 1)
			b->byte[*p] = id;
	}
	return 0;
}

int32_t bpe_find(const struct bpe *b, const void *bytes, size_t len)
{
	if (len == 0 || len > b->longest)
		return -1;
	struct bpe_piece *s = place(b, bytes, len);
	return s->id == NEVER ? -1 : (int32_t)s->id;
}

static struct bpe_pair *pair_place(const struct bpe *b, uint32_t left, uint32_t right)
{
	uint32_t i = hash_pair(b, left, right) & b->pair_mask;

	while (b->pair[i].rank != NEVER && (b->pair[i].left != left || b->pair[i].right != right))
		i = (i + 1) & b->pair_mask;
	return &b->pair[i];
}

static int more_pairs(struct bpe *b, struct err *e)
{
	struct bpe_pair *was = b->pair;
	uint32_t n = b->pair_mask + 1;

	if (!(b->pair = empty_pairs(2 * n - 1))) {
		b->pair = was;
		return err_set(e, ERR_MEM, "no memory for %u merges", n);
	}
	b->pair_mask = 2 * n - 1;
	for (uint32_t i = 0; i < n; i++)
		if (was[i].rank != NEVER)
			*pair_place(b, was[i].left, was[i].right) = was[i];
	free(was);
	return 0;
}

int bpe_merge(struct bpe *b, int32_t left, int32_t right, int32_t to, uint32_t rank, struct err *e)
{
	if (b->n_pairs >= b->pair_mask / 2 && more_pairs(b, e) < 0)
		return -1;
	struct bpe_pair *p = pair_place(b, (uint32_t)left, (uint32_t)right);
	b->n_pairs += p->rank == NEVER;
	*p = (struct bpe_pair){ (uint32_t)left, (uint32_t)right, rank, (uint32_t)to };
	struct bpe_token tl = b->token[left], tr = b->token[right];
	if (tl.len == 1 && tr.len == 1) {
		unsigned char x = (unsigned char)b->bytes.data[tl.at];
		unsigned char y = (unsigned char)b->bytes.data[tr.at];
		b->first[x << 8 | y] = (struct bpe_join){ rank, (uint32_t)to };
	}
	return 0;
}

/* ---- merging ---- */

static inline struct bpe_join join(const struct bpe *b, uint32_t left, uint32_t right)
{
	for (uint32_t i = hash_pair(b, left, right) & b->pair_mask;; i = (i + 1) & b->pair_mask) {
		const struct bpe_pair *s = &b->pair[i];
		if (s->left == left && s->right == right)
			return (struct bpe_join){ s->rank, s->to };
		if (s->rank == NEVER)
			return (struct bpe_join){ NEVER, 0 };
	}
}

/* A piece of at most SHORT bytes: the ranks of all neighbours lie in an array, the least is sought
 * anew each time, and a merge closes the gap. */
static int merge_short(const struct bpe *b, const unsigned char *piece, int n, int32_t *out)
{
	uint32_t rank[SHORT], to[SHORT]; /* of the pair that begins here */

	for (int i = 0; i < n; i++)
		out[i] = b->byte[piece[i]];
	for (int i = 0; i + 1 < n; i++) {
		struct bpe_join j = b->first[piece[i] << 8 | piece[i + 1]];
		rank[i] = j.rank;
		to[i] = j.to;
	}
	while (n > 1) {
		int at = 0;
		uint32_t least = rank[0];
		for (int i = 1; i + 1 < n; i++)
			if (rank[i] < least) {
				least = rank[i];
				at = i;
			}
		if (least == NEVER)
			break;
		out[at] = (int32_t)to[at];
		n--;
		for (int i = at + 1; i < n; i++)
			out[i] = out[i + 1];
		for (int i = at + 1; i + 1 < n; i++) {
			rank[i] = rank[i + 1];
			to[i] = to[i + 1];
		}
		if (at > 0) {
			struct bpe_join j = join(b, (uint32_t)out[at - 1], (uint32_t)out[at]);
			rank[at - 1] = j.rank;
			to[at - 1] = j.to;
		}
		if (at + 1 < n) {
			struct bpe_join j = join(b, (uint32_t)out[at], (uint32_t)out[at + 1]);
			rank[at] = j.rank;
			to[at] = j.to;
		}
	}
	return n;
}

/* A longer piece: a linked list, and a heap of (rank, place). */
struct link {
	uint32_t id, prev, next; /* NEVER: none; id NEVER: merged into what is before it */
	uint32_t rank, to;       /* of this and the next */
};

struct heap {
	uint64_t *v; /* rank << 32 | place, least first */
	size_t n;
};

static void heap_add(struct heap *h, uint64_t v)
{
	size_t i = h->n++;

	while (i > 0 && h->v[(i - 1) / 2] > v) {
		h->v[i] = h->v[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->v[i] = v;
}

static uint64_t heap_take(struct heap *h)
{
	uint64_t top = h->v[0], last = h->v[--h->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < h->n) {
		if (child + 1 < h->n && h->v[child + 1] < h->v[child])
			child++;
		if (h->v[child] >= last)
			break;
		h->v[i] = h->v[child];
		i = child;
	}
	h->v[i] = last;
	return top;
}

static void pair_up(const struct bpe *b, struct link *l, uint32_t at, struct heap *h)
{
	struct bpe_join j = { NEVER, 0 };

	if (l[at].next != NEVER)
		j = join(b, l[at].id, l[l[at].next].id);
	l[at].rank = j.rank;
	l[at].to = j.to;
	if (j.rank != NEVER)
		heap_add(h, (uint64_t)j.rank << 32 | at);
}

static int merge_long(const struct bpe *b, const unsigned char *piece, size_t n, int32_t *out,
                      struct err *e)
{
	struct heap h = { 0 };
	struct link *l = malloc(n * sizeof(*l));
	int count = 0;

	/* n - 1 at first; each merge takes one out and puts at most two in, and there are fewer
	 * than n of them */
	h.v = malloc(2 * n * sizeof(*h.v));
	if (!l || !h.v) {
		free(l);
		free(h.v);
		return err_set(e, ERR_MEM, "no memory to merge a piece of %zu bytes", n);
	}
	for (size_t i = 0; i < n; i++)
		l[i] = (struct link){ .id = (uint32_t)b->byte[piece[i]],
			              .prev = i > 0 ? (uint32_t)i - 1 : NEVER,
			              .next = i + 1 < n ? (uint32_t)i + 1 : NEVER };
	for (size_t i = 0; i < n; i++)
		pair_up(b, l, (uint32_t)i, &h);
	while (h.n > 0) {
		uint64_t top = heap_take(&h);
		uint32_t at = (uint32_t)top;
		/* it may have been merged since, or be another pair */
		if (l[at].id == NEVER || l[at].rank != (uint32_t)(top >> 32))
			continue;
		uint32_t gone = l[at].next;
		l[at].id = l[at].to;
		l[at].next = l[gone].next;
		if (l[at].next != NEVER)
			l[l[at].next].prev = at;
		l[gone].id = NEVER;
		pair_up(b, l, at, &h);
		if (l[at].prev != NEVER)
			pair_up(b, l, l[at].prev, &h);
	}
	for (uint32_t i = 0; i != NEVER; i = l[i].next)
		out[count++] = (int32_t)l[i].id;
	free(l);
	free(h.v);
	return count;
}

static int merge(const struct bpe *b, const unsigned char *piece, size_t n, int32_t *out,
                 struct err *e)
{
	return n <= SHORT ? merge_short(b, piece, (int)n, out) : merge_long(b, piece, n, out, e);
}

/* One of several threads that find the whole tokens; each has words of the bit set to itself. */
struct share {
	const struct bpe *b;
	uint32_t *whole;
	int from, to; /* ids; from is a multiple of 32 */
	int failed;
	pthread_t thread;
	bool running;
};

static void *find_whole(void *arg)
{
	struct share *s = arg;
	const struct bpe *b = s->b;
	struct err e;
	int32_t *out = malloc((b->longest + 1) * sizeof(*out));

	s->failed = !out;
	for (int id = s->from; id < s->to && out; id++) {
		struct bpe_token t = b->token[id];
		const unsigned char *p = (const unsigned char *)b->bytes.data + t.at;
		if (t.len == 0 || t.len > b->longest)
			continue;
		int n = merge(b, p, t.len, out, &e);
		if (n < 0) {
			s->failed = 1;
			break;
		}
		/* not so a token that was left out of the index: its bytes give others */
		if (n == 1 && out[0] == id)
			s->whole[id / 32] |= 1u << (id % 32);
	}
	free(out);
	return NULL;
}

int bpe_finish(struct bpe *b, struct err *e)
{
	struct share s[THREADS_MAX];
	long n = b->n < 10000 ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
	bool failed = false;

	if (n < 1 || n > THREADS_MAX)
		n = n < 1 ? 1 : THREADS_MAX;
	b->whole = calloc((size_t)b->n / 32 + 1, sizeof(*b->whole));
	if (!b->whole)
		return err_set(e, ERR_MEM, "no memory for %d tokens", b->n);
	for (int i = 0; i < n; i++) {
		int from = (int)(b->n * (int64_t)i / n) & ~31;
		int to = i + 1 == n ? b->n : (int)(b->n * (int64_t)(i + 1) / n) & ~31;
		s[i] = (struct share){ .b = b, .whole = b->whole, .from = from, .to = to };
		/* the last share is this thread's, and those for which there is no thread */
		s[i].running =
			i + 1 < n && pthread_create(&s[i].thread, NULL, find_whole, &s[i]) == 0;
		if (!s[i].running)
			find_whole(&s[i]);
	}
	for (int i = 0; i < n; i++) {
		if (s[i].running)
			pthread_join(s[i].thread, NULL);
		failed |= s[i].failed;
	}
	return failed ? err_set(e, ERR_MEM, "no memory for %d tokens", b->n) : 0;
}

int bpe_encode(const struct bpe *b, const unsigned char *piece, size_t len, int32_t *out,
               struct err *e)
{
	if (len == 1) {
		out[0] = b->byte[*piece];
		return 1;
	}
	if (len <= b->longest) {
		uint32_t id = place(b, piece, len)->id;
		if (id != NEVER && b->whole[id / 32] >> (id % 32) & 1) {
			out[0] = (int32_t)id;
			return 1;
		}
	}
	return merge(b, piece, len, out, e);
}
