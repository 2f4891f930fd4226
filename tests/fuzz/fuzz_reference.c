/*
 * A prepared reference that comes from elsewhere: its counts, tree and triangles are the input's,
 * the large arrays behind them are filled up. What is taken is whole and can be compared with.
 */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exact_match.h"

/* As exact_reference.c writes it. */
struct header {
	char magic[4];
	uint32_t version, n_tri, n_nodes, n_solids, n_points;
	int64_t faces;
	double len_mm[3];
};

static void compare(const struct exact_reference *r)
{
	static const double xyz[36] = { 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0,
		                        0, 0, 0, 0, 9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 9, 0, 9, 0 };
	static const double lo[3] = { 0, 0, 0 }, hi[3] = { 9, 9, 9 };
	static const struct exact_constants constants = { 0.05, 0.6, 0.02 };
	struct facets f = { .xyz = xyz, .n = 4 };
	struct exact_match m;
	struct err e = { 0 };
	int rotation;

	FUZZ_CLAIM(exact_rotation(r, &f, lo, hi, &rotation, &e) == 0);
	FUZZ_CLAIM(rotation >= 0 && rotation < VOXEL_TURNS);
	FUZZ_CLAIM(exact_compare(&m, r, &f, hi, &constants, &e) == 0);
	FUZZ_CLAIM(m.iou >= 0 && m.iou <= 1 && m.silhouette >= 0 && m.silhouette <= 1);
	FUZZ_CLAIM(m.similarity >= 0 && m.similarity <= 1 && m.chamfer_mm >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct exact_reference r;
	struct buf whole = { 0 }, again = { 0 };
	struct err e = { 0 };
	struct header h;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, bytes, sizeof(h));
	memcpy(h.magic, "CFxr", 4);
	h.version = EXACT_REFERENCE_VERSION;
	h.n_points = EXACT_POINTS;
	h.n_tri %= 64;
	h.n_nodes %= 64;
	h.n_solids %= 8;
	buf_add(&whole, &h, sizeof(h));
	buf_add(&whole, bytes + sizeof(h), len - sizeof(h));
	size_t want = sizeof(h) + h.n_nodes * sizeof(struct surface_node) +
	              h.n_tri * (9 * sizeof(float) + sizeof(uint32_t)) +
	              3 * EXACT_POINTS * sizeof(float) + 128 * 128 * 128 / 8 + 32 * 32 * 8 +
	              EXACT_OUTLINES * sizeof(struct mask);
	static const char zeros[4096];
	while (whole.len < want)
		buf_add(&whole, zeros, sizeof(zeros));
	whole.len = want;
	if (exact_reference_parse(&r, whole.data, whole.len, &e) == 0) {
		FUZZ_CLAIM(exact_reference_serialize(&r, &again, &e) == 0);
		FUZZ_CLAIM(again.len == whole.len &&
		           memcmp(again.data, whole.data, whole.len) == 0);
		compare(&r);
		exact_reference_release(&r);
	} else {
		FUZZ_CLAIM(e.kind == ERR_INPUT && e.text[0]);
	}
	buf_release(&whole);
	buf_release(&again);
	return 0;
}
