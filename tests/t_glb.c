/* t_glb.c - GLB: units, axes, placement, and what is wrong with a damaged one. */
#include "tests/lib.h"

#include "engine/glb.h"

static void put32(struct buf *b, uint32_t v)
{
	unsigned char p[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
		               (unsigned char)(v >> 24) };
	buf_add(b, p, 4);
}

/* A GLB of @json and the BIN chunk @bin. */
static struct buf glb(const char *json, const void *bin, size_t bin_len)
{
	struct buf b = { 0 }, j = { 0 };

	buf_adds(&j, json);
	while (j.len % 4)
		buf_addc(&j, ' ');
	put32(&b, 0x46546c67);
	put32(&b, 2);
	put32(&b, (uint32_t)(28 + j.len + bin_len));
	put32(&b, (uint32_t)j.len);
	put32(&b, 0x4e4f534a);
	buf_add(&b, j.data, j.len);
	put32(&b, (uint32_t)bin_len);
	put32(&b, 0x004e4942);
	buf_add(&b, bin, bin_len);
	buf_release(&j);
	return b;
}

/* Four corners (48 bytes), then indices: u16 0 1 2 2 1 3 at 48, u8 0 1 2 at 60, u32 3 1 0 at 64. */
static void bin_fill(unsigned char bin[76])
{
	static const float v[12] = { 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0 };
	static const unsigned char i16[12] = { 0, 0, 1, 0, 2, 0, 2, 0, 1, 0, 3, 0 };
	static const unsigned char i8[4] = { 0, 1, 2, 0 };
	static const unsigned char i32[12] = { 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };

	memcpy(bin, v, 48);
	memcpy(bin + 48, i16, 12);
	memcpy(bin + 60, i8, 4);
	memcpy(bin + 64, i32, 12);
}

#define HEAD                                                                                       \
	"{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{\"byteLength\":76}],\"bufferViews\":["     \
	"{\"buffer\":0,\"byteLength\":48},{\"buffer\":0,\"byteOffset\":48,\"byteLength\":12},"     \
	"{\"buffer\":0,\"byteOffset\":60,\"byteLength\":3},{\"buffer\":0,\"byteOffset\":64,"       \
	"\"byteLength\":12}],\"accessors\":["                                                      \
	"{\"bufferView\":0,\"componentType\":5126,\"count\":4,\"type\":\"VEC3\"},"                 \
	"{\"bufferView\":1,\"componentType\":5123,\"count\":6,\"type\":\"SCALAR\"},"               \
	"{\"bufferView\":2,\"componentType\":5121,\"count\":3,\"type\":\"SCALAR\"},"               \
	"{\"bufferView\":3,\"componentType\":5125,\"count\":3,\"type\":\"SCALAR\"}],"
#define MESHES                                                                                     \
	"\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0},\"indices\":1},"            \
	"{\"attributes\":{\"POSITION\":0},\"indices\":2},{\"attributes\":{\"POSITION\":0},"        \
	"\"indices\":3},{\"attributes\":{\"POSITION\":0},\"mode\":1}]}]"

static int read_json(struct soup *s, const char *json, struct err *e)
{
	unsigned char bin[76];
	bin_fill(bin);
	struct buf b = glb(json, bin, sizeof(bin));
	int rc = glb_read(s, b.data, b.len, 1000, e);
	buf_release(&b);
	return rc;
}

static void metres_with_y_up_become_millimetres_with_z_up(void **state)
{
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	if (read_json(&s, HEAD MESHES "}", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(s.n_tri,
	                 4); /* two by u16, one by u8, one by u32; the lines are no surface */
	static const float first[9] = { 0, 0, 0, 1000, 0, 0, 0, 0, 1000 };
	for (int i = 0; i < 9; i++)
		assert_close(s.xyz[i], first[i], 0);
	static const float last[9] = { 1000, 0, 1000, 1000, 0, 0, 0, 0, 0 };
	for (int i = 0; i < 9; i++)
		assert_close(s.xyz[27 + i], last[i], 0);
	soup_release(&s);
}

static void nodes_place_scale_turn_and_mirror(void **state)
{
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	/* the child: scaled by 2, turned a quarter about Y, moved by x 5; its parent moves y 1 up
	 */
	if (read_json(
		    &s,
		    HEAD MESHES
		    ",\"scene\":0,\"scenes\":[{\"nodes\":[1]}],\"nodes\":[{\"mesh\":0,\"scale\":[2,2,2],"
		    "\"rotation\":[0,0.7071067811865476,0,0.7071067811865476],\"translation\":[5,0,0]},"
		    "{\"children\":[0],\"matrix\":[1,0,0,0,0,1,0,0,0,0,1,0,0,1,0,1]}]}",
		    &e) < 0)
		fail_msg("%s", e.text);
	/* (1 0 0) -> (0 0 -2) -> (5 1 -2) m with Y up = (5000, 2000, 1000) mm with Z up */
	assert_close(s.xyz[3], 5000, 1e-2);
	assert_close(s.xyz[4], 2000, 1e-2);
	assert_close(s.xyz[5], 1000, 1e-2);
	soup_release(&s);
	if (read_json(&s, HEAD MESHES ",\"nodes\":[{\"mesh\":0,\"scale\":[-1,1,1]}]}", &e) < 0)
		fail_msg("%s", e.text);
	/* mirrored: the winding turns so that the outside stays outside */
	assert_close(s.xyz[5], 1000, 0);
	assert_close(s.xyz[6], -1000, 0);
	soup_release(&s);
}

static void what_is_written_is_read_back(void **state)
{
	static const float t[9] = { 10, 20, 30, -40, 50, 60, 70, 80.5f, -90 };
	struct soup s = { 0 }, back = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	(void)state;
	assert_int_equal(glb_write(&b, &s, &e), -1);
	assert_int_equal(soup_add(&s, t, &e), 0);
	assert_int_equal(soup_add(&s, t, &e), 0);
	assert_int_equal(glb_write(&b, &s, &e), 0);
	assert_int_equal(b.len % 4, 0);
	if (glb_read(&back, b.data, b.len, 1000, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(back.n_tri, 2);
	for (int i = 0; i < 9; i++)
		assert_close(back.xyz[9 + i], t[i], 1e-4);
	soup_release(&s);
	soup_release(&back);
	buf_release(&b);
}

static void damage_is_named_with_its_place(void **state)
{
	static const struct {
		const char *json, *words;
	} bad[] = {
		{ "{\"asset\":{\"version\":\"1.0\"}}", "asset.version" },
		{ "{\"asset\":", "JSON chunk at byte 20: line 1" },
		{ "[]", "an object was expected" },
		{ HEAD "\"nodes\":[{\"children\":[0]}],\"scenes\":[{\"nodes\":[0]}]}",
		  "its own descendant" },
		{ HEAD "\"nodes\":[{\"mesh\":7}]}", "names mesh 7, there are 0" },
		{ HEAD "\"nodes\":[{\"mesh\":0,\"scale\":[1,2]}]," MESHES "}", "node 0: scale" },
		{ HEAD "\"scenes\":[{\"nodes\":[-1]}]}", "names node -1" },
		{ HEAD "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":1}}]}]}",
		  "accessor 1: POSITION as SCALAR" },
		{ HEAD
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0},\"mode\":5}]}]}",
		  "mesh 0, primitive 0: mode 5" },
		{ HEAD "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "4 corners are no whole number" },
		{ HEAD
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0},\"indices\":9}]}]}",
		  "names accessor 9" },
		{ "{\"asset\":{\"version\":\"2.0\"},\"extensionsRequired\":[\"KHR_draco_mesh_compression\"]}",
		  "KHR_draco_mesh_compression" },
		/* an accessor over the end of its view; a view over the end of the chunk; sums that
		 * would wrap 32 bits; a stride below the element */
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":48}],"
		  "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":5,\"type\":\"VEC3\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "accessor 0: needs 60 bytes of bufferView 0, which has 48" },
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":77}],"
		  "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":3,\"type\":\"VEC3\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "of a BIN chunk of 76" },
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":48,\"byteStride\":12}],"
		  "\"accessors\":[{\"bufferView\":0,\"byteOffset\":4294967292,\"componentType\":5126,\"count\":3,\"type\":\"VEC3\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "needs 4294967328 bytes" },
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":48,\"byteStride\":4}],"
		  "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":3,\"type\":\"VEC3\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "byteStride 4" },
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{\"uri\":\"x.bin\"}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":48}],"
		  "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":3,\"type\":\"VEC3\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]}",
		  "outside this file" },
		/* index 3 of three positions */
		{ "{\"asset\":{\"version\":\"2.0\"},\"buffers\":[{}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":36},"
		  "{\"buffer\":0,\"byteOffset\":48,\"byteLength\":12}],"
		  "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":3,\"type\":\"VEC3\"},"
		  "{\"bufferView\":1,\"componentType\":5123,\"count\":6,\"type\":\"SCALAR\"}],"
		  "\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0},\"indices\":1}]}]}",
		  "index 5 is 3, there are 3 positions" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct soup s = { 0 };
		struct err e = { 0 };
		if (read_json(&s, bad[i].json, &e) == 0)
			fail_msg("read: %s", bad[i].json);
		assert_contains(e.text, bad[i].words);
		assert_null(s.xyz);
	}
}

static void every_cut_is_refused(void **state)
{
	unsigned char bin[76];
	(void)state;
	bin_fill(bin);
	struct buf b = glb(HEAD MESHES "}", bin, sizeof(bin));
	for (size_t len = 0; len < b.len; len++) {
		struct soup s = { 0 };
		struct err e = { 0 };
		/* in memory of its own, so that a read past the end is seen by the sanitizer */
		char *copy = malloc(len + 1);
		memcpy(copy, b.data, len);
		if (glb_read(&s, copy, len, 1000, &e) == 0)
			fail_msg("cut to %zu bytes it was read", len);
		assert_contains(e.text, "GLB: ");
		free(copy);
	}
	buf_release(&b);
}

static void too_many_triangles_are_refused(void **state)
{
	unsigned char bin[76];
	struct soup s = { 0 };
	struct err e = { 0 };
	(void)state;
	bin_fill(bin);
	struct buf b = glb(HEAD MESHES "}", bin, sizeof(bin));
	assert_int_equal(glb_read(&s, b.data, b.len, 3, &e), -1);
	assert_contains(e.text, "more than 3 triangles");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metres_with_y_up_become_millimetres_with_z_up),
		cmocka_unit_test(nodes_place_scale_turn_and_mirror),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(damage_is_named_with_its_place),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(too_many_triangles_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
