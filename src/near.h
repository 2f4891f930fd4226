/*
 * near.h - texts that are the same, or nearly: by their words, five in a row.
 *
 * A word is a run of letters, digits, '_', '.' and what is no ASCII, or any other character that is
 * no blank. Layout, and what stands behind a # in its line, do not count. A *shingle* is the hash
 * of five words in a row.
 *
 * How much two texts share is estimated from 64 least hashes of their shingles (MinHash, Broder
 * 1997), within a few hundredths; texts are compared when one of sixteen bands of four agrees.
 */
#ifndef SRC_NEAR_H
#define SRC_NEAR_H

#include <stddef.h>
#include <stdint.h>

enum { NEAR_SHINGLE = 5, NEAR_HASHES = 64 };

uint64_t near_mix(uint64_t x); /* every bit of @x counts for every bit */
/* FNV-1a of @len bytes, going on from @h (NEAR_START at first). */
uint64_t near_hash(uint64_t h, const void *data, size_t len);
#define NEAR_START 0xcbf29ce484222325u

/* Every shingle, in order; the words there are. */
int near_shingles(const char *text, size_t len, void (*shingle)(void *ctx, uint64_t hash),
                  void *ctx);
/* One number for a text whatever its layout and the case of its letters. */
uint64_t near_same(const char *text, size_t len);

/* Texts that were seen. */
struct near_seen;
struct near_seen *near_seen_open(void);    /* NULL: no memory */
void near_seen_close(struct near_seen *s); /* NULL is fine */
/* Whether @key was there; it is from now on. 1, 0; -1: no memory. */
int near_seen_key(struct near_seen *s, uint64_t key);
/* Whether a text that shares at least @near (0..1) with this one was kept; else this one is from
 * now on. 1, 0; -1: no memory. */
int near_seen_text(struct near_seen *s, const char *text, size_t len, double near);

#endif
