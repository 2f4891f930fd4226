/*
 * near.c - words, shingles, signatures.
 */
#include "src/near.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BANDS = 16 };

/* Texts by hash, and the signatures of all kept ones by their bands. */
struct near_seen {
	uint64_t *exact; /* open addressing; 0: empty */
	size_t exact_cap, n_exact;
	uint32_t *signature; /* NEAR_HASHES a text */
	int n, cap;
	struct band {
		uint64_t key; /* 0: empty */
		int32_t text;
	} * band;
	size_t band_cap, n_band;
};

uint64_t near_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t near_hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

/* ---- words ---- */

static bool is_word(unsigned char c)
{
	return isalnum(c) || c == '_' || c == '.' || c >= 0x80;
}

/* The word at or after *@at: its place and length there; false: there is no further one. */
static bool next_word(const char *text, size_t len, size_t *at, size_t *word_len)
{
	size_t i = *at + *word_len;

	while (i < len && (text[i] == '#' || isspace((unsigned char)text[i])))
		if (text[i] == '#')
			while (i < len && text[i] != '\n')
				i++;
		else
			i++;
	if (i >= len)
		return false;
	*at = i;
	if (is_word((unsigned char)text[i]))
		while (i < len && is_word((unsigned char)text[i]))
			i++;
	else
		i++;
	*word_len = i - *at;
	return true;
}

int near_shingles(const char *text, size_t len, void (*shingle)(void *ctx, uint64_t hash),
                  void *ctx)
{
	uint64_t last[NEAR_SHINGLE] = { 0 };
	size_t at = 0, n = 0;
	int words = 0;

	while (next_word(text, len, &at, &n)) {
		uint64_t all = 0;
		memmove(last, last + 1, sizeof(last) - sizeof(*last));
		last[NEAR_SHINGLE - 1] = near_hash(NEAR_START, text + at, n);
		if (++words < NEAR_SHINGLE)
			continue;
		for (int k = 0; k < NEAR_SHINGLE; k++)
			all = near_mix(all ^ last[k]);
		shingle(ctx, all);
	}
	return words;
}

uint64_t near_same(const char *text, size_t len)
{
	uint64_t h = NEAR_START;
	size_t at = 0, n = 0;

	while (next_word(text, len, &at, &n)) {
		for (size_t i = 0; i < n; i++) {
			char c = (char)tolower((unsigned char)text[at + i]);
			h = near_hash(h, &c, 1);
		}
		h = near_hash(h, " ", 1);
	}
	return near_mix(h);
}

/* ---- signatures ---- */

static void least(void *ctx, uint64_t shingle)
{
	uint32_t *out = ctx;

	for (int k = 0; k < NEAR_HASHES; k++) {
		uint32_t h =
			(uint32_t)(near_mix(shingle + (uint64_t)k * 0x9e3779b97f4a7c15u) >> 32);
		out[k] = h < out[k] ? h : out[k];
	}
}

/* The least hash of all shingles, for each of NEAR_HASHES hash functions. */
static void sign(const char *text, size_t len, uint32_t out[NEAR_HASHES])
{
	for (int k = 0; k < NEAR_HASHES; k++)
		out[k] = UINT32_MAX;
	if (near_shingles(text, len, least, out) < NEAR_SHINGLE)
		for (int k = 0; k < NEAR_HASHES; k++)
			out[k] = (uint32_t)near_hash((uint64_t)k, text, len);
}

/* ---- texts that were seen ---- */

struct near_seen *near_seen_open(void)
{
	return calloc(1, sizeof(struct near_seen));
}

void near_seen_close(struct near_seen *s)
{
	if (!s)
		return;
	free(s->exact);
	free(s->signature);
	free(s->band);
	free(s);
}

int near_seen_key(struct near_seen *s, uint64_t key)
{
	key = key ? key : 1;
	if ((s->n_exact + 1) * 2 > s->exact_cap) {
		size_t cap = s->exact_cap ? 2 * s->exact_cap : 1024;
		uint64_t *more = calloc(cap, sizeof(*more));
		if (!more)
			return -1;
		for (size_t i = 0; i < s->exact_cap; i++)
			for (size_t at = s->exact[i] & (cap - 1); s->exact[i];
			     at = (at + 1) & (cap - 1))
				if (!more[at]) {
					more[at] = s->exact[i];
					break;
				}
		free(s->exact);
		s->exact = more;
		s->exact_cap = cap;
	}
	size_t at = key & (s->exact_cap - 1);
	for (; s->exact[at]; at = (at + 1) & (s->exact_cap - 1))
		if (s->exact[at] == key)
			return 1;
	s->exact[at] = key;
	s->n_exact++;
	return 0;
}

static int grow_bands(struct near_seen *s)
{
	size_t cap = s->band_cap ? 2 * s->band_cap : 4096;
	struct band *more = calloc(cap, sizeof(*more));

	if (!more)
		return -1;
	for (size_t i = 0; i < s->band_cap; i++)
		for (size_t at = s->band[i].key & (cap - 1); s->band[i].key;
		     at = (at + 1) & (cap - 1))
			if (!more[at].key) {
				more[at] = s->band[i];
				break;
			}
	free(s->band);
	s->band = more;
	s->band_cap = cap;
	return 0;
}

int near_seen_text(struct near_seen *s, const char *text, size_t len, double near)
{
	uint32_t sig[NEAR_HASHES];

	sign(text, len, sig);
	if (s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 256;
		uint32_t *more = realloc(s->signature, (size_t)cap * sizeof(sig));
		if (!more)
			return -1;
		s->signature = more;
		s->cap = cap;
	}
	for (int pass = 0; pass < 2; pass++)
		for (int b = 0; b < BANDS; b++) {
			uint64_t key =
				near_hash(NEAR_START + (uint64_t)b, sig + b * (NEAR_HASHES / BANDS),
			                  NEAR_HASHES / BANDS * sizeof(*sig));
			key = key ? key : 1;
			if (pass == 1 && (s->n_band + 1) * 2 > s->band_cap && grow_bands(s) < 0)
				return -1;
			if (!s->band_cap)
				continue;
			size_t at = key & (s->band_cap - 1);
			for (; s->band[at].key; at = (at + 1) & (s->band_cap - 1)) {
				if (pass == 1 || s->band[at].key != key)
					continue;
				const uint32_t *o =
					s->signature + (size_t)s->band[at].text * NEAR_HASHES;
				int same = 0;
				for (int k = 0; k < NEAR_HASHES; k++)
					same += o[k] == sig[k];
				if (same >= near * NEAR_HASHES)
					return 1;
			}
			if (pass == 1) {
				s->band[at] = (struct band){ key, s->n };
				s->n_band++;
			}
		}
	memcpy(s->signature + (size_t)s->n * NEAR_HASHES, sig, sizeof(sig));
	s->n++;
	return 0;
}
