/*
 * seed.h - the vectors of tests/oracle/seed.py, and small meshes made by hand.
 */
#ifndef TESTS_SEED_H
#define TESTS_SEED_H

#include "tests/lib.h"

#include "engine/mesh.h"
#include "src/base/json.h"

static inline cJSON *seed_vectors(const char *name)
{
	struct buf path = { 0 }, text = { 0 };
	struct err e;

	buf_printf(&path, "%s/tests/data/seed/%s", SRCDIR, name);
	if (buf_read_file(&text, buf_str(&path), 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = json_parse(buf_str(&text), text.len, &e);
	if (!o)
		fail_msg("%s: %s", name, e.text);
	buf_release(&path);
	buf_release(&text);
	return o;
}

static inline const cJSON *at(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!v)
		fail_msg("no %s in a vector", key);
	return v;
}

static inline double num(const cJSON *o, const char *key)
{
	return at(o, key)->valuedouble;
}

static inline struct soup vector_soup(const cJSON *item)
{
	const cJSON *a = at(item, "soup"), *v;
	struct soup s = { 0 };
	float corners[9];
	int n = 0;

	cJSON_ArrayForEach(v, a)
	{
		corners[n++] = (float)v->valuedouble;
		if (n == 9) {
			assert_int_equal(soup_add(&s, corners, NULL), 0);
			n = 0;
		}
	}
	return s;
}

static inline const cJSON *vector_named(const cJSON *list, const char *name)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, list)
	{
		if (strcmp(at(v, "name")->valuestring, name) == 0)
			return v;
	}
	fail_msg("no vector %s", name);
	return NULL;
}

static inline struct mesh vector_mesh(const cJSON *item)
{
	struct soup s = vector_soup(item);
	struct mesh m;
	struct err e;

	if (mesh_from_soup(&m, &s, &e) < 0)
		fail_msg("%s", e.text);
	soup_release(&s);
	mesh_normalize(&m);
	return m;
}

/* A box of 12 triangles from @lo to @hi. */
static inline void add_box(struct soup *s, const float lo[3], const float hi[3])
{
	static const unsigned char corner[12][3] = { { 0, 2, 1 }, { 1, 2, 3 }, { 4, 5, 6 },
		                                     { 5, 7, 6 }, { 0, 1, 4 }, { 1, 5, 4 },
		                                     { 2, 6, 3 }, { 3, 6, 7 }, { 0, 4, 2 },
		                                     { 2, 4, 6 }, { 1, 3, 5 }, { 3, 7, 5 } };

	for (int t = 0; t < 12; t++) {
		float p[9];
		for (int k = 0; k < 9; k++)
			p[k] = corner[t][k / 3] >> (k % 3) & 1 ? hi[k % 3] : lo[k % 3];
		assert_int_equal(soup_add(s, p, NULL), 0);
	}
}

#endif
