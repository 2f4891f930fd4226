/*
 * t_safetensors.c - tensors by name in files of strangers': what is right is found exactly, what is
 * wrong is named.
 */
#include "tests/model.h"

#include <fcntl.h>

struct place {
	char dir[64], path[128];
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	folder_make(p->dir);
	snprintf(p->path, sizeof(p->path), "%s/x.safetensors", p->dir);
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;

	folder_remove(p->dir);
	free(p);
	return 0;
}

/* A file of this header, this length of it (-1: the true one) and so many bytes of data. */
static void put_raw(const struct place *p, const char *name, const char *header, int64_t length,
                    size_t data)
{
	struct buf b = { 0 };
	uint64_t n = length < 0 ? strlen(header) : (uint64_t)length;

	for (int i = 0; i < 8; i++)
		buf_addc(&b, (char)(n >> 8 * i));
	buf_adds(&b, header);
	for (size_t i = 0; i < data; i++)
		buf_addc(&b, (char)i);
	put_file(p->dir, name, b.data, b.len);
	buf_release(&b);
}

static void what_is_written_is_read_back(void **state)
{
	const struct place *p = *state;
	float wide[6] = { 1, -2, 0.5f, 1e-40f, 3e38f, -0.0f }, got[6];
	uint16_t narrow[3] = { 0x3f80, 0xc000, 0x0001 };
	int64_t whole[2] = { 5, -7 };
	const char *const metadata[] = { "format", "pt", "made \"by\"", "a\ttest", NULL };
	struct tensor item[] = {
		{ .name = "c/narrow",
		  .dtype = DTYPE_BF16,
		  .n_dims = 1,
		  .dims = { 3 },
		  .n = 3,
		  .bytes = 6,
		  .data = narrow },
		{ .name = "b \xc3\xa9\"\\",
		  .dtype = DTYPE_F32,
		  .n_dims = 2,
		  .dims = { 2, 3 },
		  .n = 6,
		  .bytes = 24,
		  .data = wide },
		{ .name = "a", .dtype = DTYPE_F32, .n_dims = 2, .dims = { 0, 4 } },
		{ .name = "z",
		  .dtype = DTYPE_I64,
		  .n_dims = 1,
		  .dims = { 2 },
		  .n = 2,
		  .bytes = 16,
		  .data = whole },
		{ .name = "one", .dtype = DTYPE_F32, .n = 1, .bytes = 4, .data = wide },
	};
	struct tensors t;
	struct err e = { 0 };

	assert_int_equal(tensors_write(p->path, item, 5, metadata, &e), 0);
	if (tensors_open_file(&t, p->path, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(t.n, 5);
	for (int i = 1; i < t.n; i++)
		assert_true(strcmp(t.item[i - 1].name, t.item[i].name) < 0);
	const struct tensor *x = tensors_find(&t, "b \xc3\xa9\"\\");
	assert_non_null(x);
	assert_int_equal(x->n_dims, 2);
	assert_int_equal(x->dims[1], 3);
	assert_int_equal((uintptr_t)x->data % 4, 0);
	tensor_read(x, 0, 6, got);
	assert_memory_equal(got, wide, sizeof(wide));
	tensor_read(x, 4, 2, got);
	assert_memory_equal(got, wide + 4, 8);
	x = tensors_find(&t, "c/narrow");
	tensor_read(x, 0, 3, got);
	assert_true(got[0] == 1 && got[1] == -2 && got[2] == 0x1p-133f);
	x = tensors_find(&t, "z");
	assert_int_equal(x->dtype, DTYPE_I64);
	assert_memory_equal(x->data, whole, 16);
	assert_int_equal(tensors_find(&t, "a")->n, 0);
	assert_int_equal(tensors_find(&t, "one")->n_dims, 0);
	assert_null(tensors_find(&t, "b"));
	assert_null(tensors_find(&t, "__metadata__"));
	tensors_close(&t);
	tensors_close(&t);
}

static void every_bfloat16_and_half_is_widened_exactly(void **state)
{
	(void)state;
	for (uint32_t v = 0; v < 65536; v++) {
		float wide = bf16_widen((uint16_t)v);
		uint32_t bits;
		memcpy(&bits, &wide, 4);
		assert_int_equal(bits, v << 16);
		assert_int_equal(bf16_round(wide), isnan(wide) ? (v | 0x40) : v);

		/* by the definition: sign, 5 bits of exponent, 10 of fraction */
		int exponent = (int)(v >> 10 & 31), part = (int)(v & 1023);
		double want = exponent == 31 ? (part ? NAN : INFINITY)
		              : exponent     ? ldexp(1024 + part, exponent - 25)
		                             : ldexp(part, -24);
		wide = f16_widen((uint16_t)v);
		if (v & 0x8000)
			want = -want;
		if (isnan(want))
			assert_true(isnan(wide));
		else
			assert_true(wide == want && !signbit(wide) == !signbit(want));
		assert_int_equal(f16_round(wide), isnan(want) ? (v | 0x200) : v);
	}
}

static void rounding_to_halves_goes_to_the_nearest_and_even(void **state)
{
	(void)state;
	/* between every two neighbours: a little to either side of the middle, and the middle */
	for (uint32_t v = 0; v < 0x7bff; v++) {
		float low = f16_widen((uint16_t)v), high = f16_widen((uint16_t)(v + 1));
		float middle = low + (high - low) / 2;
		assert_int_equal(f16_round(middle), v + (v & 1));
		assert_int_equal(f16_round(nextafterf(middle, 0)), v);
		assert_int_equal(f16_round(nextafterf(-middle, -1e9f)), 0x8000 | (v + 1));
	}
	assert_int_equal(f16_round(65519.99f), 0x7bff);
	assert_int_equal(f16_round(65520), 0x7c00);
	assert_int_equal(f16_round(-1e30f), 0xfc00);
	assert_int_equal(f16_round(-0.0f), 0x8000);
	assert_int_equal(f16_round(1e-30f), 0);
}

static void narrowing_says_what_does_not_fit(void **state)
{
	const float v[] = { 1, 70000, INFINITY }, large[] = { 3.4e38f };
	uint16_t out[3];

	(void)state;
	assert_true(tensor_narrow(DTYPE_BF16, v, 3, out));
	assert_false(tensor_narrow(DTYPE_F16, v, 3, out));
	assert_true(tensor_narrow(DTYPE_F16, v, 1, out));
	assert_false(tensor_narrow(DTYPE_BF16, large, 1, out));
}

static void rounding_to_bfloat16_goes_to_the_nearest_and_even(void **state)
{
	static const struct {
		uint32_t from;
		uint16_t to;
	} cases[] = {
		{ 0x3f808000, 0x3f80 }, /* halfway: even stays */
		{ 0x3f818000, 0x3f82 }, /* halfway: odd goes up */
		{ 0x3f808001, 0x3f81 }, { 0x3f807fff, 0x3f80 }, { 0x7f7fffff, 0x7f80 },
		{ 0xff800000, 0xff80 }, { 0x7f800001, 0x7fc0 }, { 0xffffffff, 0xffff },
		{ 0x00008000, 0x0000 }, { 0x00018000, 0x0002 }, { 0x80000001, 0x8000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		float v;
		memcpy(&v, &cases[i].from, 4);
		assert_int_equal(bf16_round(v), cases[i].to);
	}
}

static void a_tensor_at_an_odd_byte_is_read(void **state)
{
	const struct place *p = *state;
	/* a header of 1 mod 8 bytes, and a byte tensor before the floats */
	const char *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
			     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},"
			     "\"c\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[9,11]}}  ";
	const unsigned char bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	float want[2], got[2];
	struct tensors t;
	struct err e = { 0 };

	put_raw(p, "x.safetensors", header, -1, 11);
	if (tensors_open_file(&t, p->path, &e) < 0)
		fail_msg("%s", e.text);
	tensor_read(tensors_find(&t, "b"), 0, 2, got);
	memcpy(want, bytes, 8);
	assert_memory_equal(got, want, 8);
	tensor_read(tensors_find(&t, "c"), 0, 1, got);
	assert_true(got[0] == f16_widen(0x0a09));
	tensors_close(&t);
}

#define A    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define T(s) "{\"a\":{\"dtype\":\"F32\",\"shape\":" s ",\"data_offsets\":[0,24]}}"
#define O(s) "{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":" s "}}"
#define B(s) A ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" s "}}"

static void what_is_wrong_with_a_file_is_named(void **state)
{
	static const struct {
		const char *header;
		int64_t length;
		size_t data;
		const char *says;
	} cases[] = {
		{ A "}", -1, 23,
		  "'a': data_offsets: it ends at byte 24 of the data, of which "
		  "there are 23: the file was cut short" },
		{ A "}", -1, 25, "the tensors end at byte 24 of the data, the file at 25" },
		{ A "}", 5, 24, "header: line 1" },
		{ A "}", 5000, 24, "a header of 5000 bytes was promised" },
		{ A "}", INT64_MAX, 24, "the header's length is 9223372036854775807" },
		{ A "}", 0, 0, "header" },
		{ "[]", -1, 0, "header: an object wanted" },
		{ "{\"a\":1}", -1, 0, "'a': {dtype, shape, data_offsets} wanted" },
		{ "{\"a\":{}}", -1, 0, "'a': dtype: a string wanted" },
		{ "{\"a\":{\"dtype\":\"F31\",\"shape\":[6],\"data_offsets\":[0,24]}}", -1, 24,
		  "'a': dtype: 'F31' is none" },
		{ "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", -1, 2,
		  "'a': F4 [3] does not end with a byte" },
		{ "{\"a\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[0,24]}}", -1, 24,
		  "'a': data_offsets: BF16 [6] takes 12 bytes, got 24" },
		{ T("6"), -1, 24, "'a': shape: an array wanted" },
		{ T("[-6]"), -1, 24, "'a': shape[0]: a whole number" },
		{ T("[2.5]"), -1, 24, "'a': shape[0]: a whole number" },
		{ T("[2,\"3\"]"), -1, 24, "'a': shape[1]: a whole number" },
		{ T("[1e300]"), -1, 24, "'a': shape[0]: a whole number" },
		{ T("[4294967296,4294967296]"), -1, 24, "'a': shape: the product is over 2^64" },
		{ T("[4294967296,4294967295]"), -1, 24, "is over 2^64 bits" },
		{ T("[1,1,1,1,1,1,1,1,6]"), -1, 24,
		  "'a': shape: at most 8 dimensions wanted, got 9" },
		{ T("[2,2]"), -1, 24, "'a': data_offsets: F32 [2, 2] takes 16 bytes, got 24" },
		{ O("[24,0]"), -1, 24, "'a': data_offsets: [24, 0] ends before it begins" },
		{ O("[0]"), -1, 24, "'a': data_offsets: two whole numbers" },
		{ O("[0,24,48]"), -1, 24, "'a': data_offsets: two whole numbers" },
		{ O("[-24,0]"), -1, 24, "'a': data_offsets: two whole numbers" },
		{ O("[0,1e18]"), -1, 24, "'a': data_offsets: two whole numbers" },
		{ O("[4,28]"), -1, 28,
		  "bytes 0 to 4 of the data, before tensor 'a', belong to no" },
		{ B("[20,24]"), -1, 24, "tensors 'a' and 'b' overlap at byte 20" },
		{ B("[0,4]"), -1, 24, "overlap at byte 0" },
		{ B("[28,32]"), -1, 32, "bytes 24 to 28 of the data, before tensor 'b'" },
		{ A ",\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[24,24]}}", -1, 24,
		  "'a' is there twice" },
		{ A ",\"__metadata__\":[]}", -1, 24, "__metadata__: an object wanted" },
		{ A ",\"__metadata__\":{\"x\":1}}", -1, 24, "__metadata__: 'x' is no string" },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tensors t;
		struct err e = { 0 };
		put_raw(p, "x.safetensors", cases[i].header, cases[i].length, cases[i].data);
		assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, p->path);
		assert_contains(e.text, cases[i].says);
		assert_null(t.item);
	}
}

static void what_is_no_file_of_tensors_is_named(void **state)
{
	const struct place *p = *state;
	struct tensors t;
	struct err e = { 0 };

	assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
	assert_contains(e.text, "No such file");
	put_text(p->dir, "x.safetensors", "{\"a\"");
	assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
	assert_contains(e.text, "this one has 4 bytes in all");
	assert_int_equal(tensors_open_file(&t, p->dir, &e), -1);
	assert_contains(e.text, "a regular file wanted");
	put_text(p->dir, "x.safetensors", "version https://git-lfs.github.com/spec/v1\n");
	assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
	assert_contains(e.text, "this is no safetensors file");
	unlink(p->path);
	assert_int_equal(mkfifo(p->path, 0600), 0); /* and does not hang */
	assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
	assert_contains(e.text, "a regular file wanted");
}

/* Every file that is one byte short of the good one, or has a byte changed in its header, is
 * refused or is another good one; nothing crashes. */
static void no_cut_and_no_changed_byte_gets_through(void **state)
{
	const struct place *p = *state;
	const char *header = B("[24,28]");
	size_t n = strlen(header), all = 8 + n + 28;
	struct tensors t;
	struct err e = { 0 };

	put_raw(p, "x.safetensors", header, -1, 28);
	assert_int_equal(tensors_open_file(&t, p->path, &e), 0);
	tensors_close(&t);
	for (size_t cut = 0; cut < all; cut++) {
		assert_int_equal(truncate(p->path, (off_t)(all - 1 - cut)), 0);
		assert_int_equal(tensors_open_file(&t, p->path, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
	}
	for (size_t i = 0; i < 8 + n; i++) {
		put_raw(p, "x.safetensors", header, -1, 28);
		int fd = open(p->path, O_RDWR);
		char c;
		assert_int_equal(pread(fd, &c, 1, (off_t)i), 1);
		c ^= 1;
		assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
		close(fd);
		if (tensors_open_file(&t, p->path, &e) == 0) {
			for (int k = 0; k < t.n; k++)
				assert_true(t.item[k].bytes <= 28);
			tensors_close(&t);
		}
	}
}

/* ---- an index ---- */

static void an_index_is_obeyed(void **state)
{
	const struct place *p = *state;
	float v[3] = { 1, 2, 3 };
	struct tensor item[] = {
		{ .name = "a", .dtype = DTYPE_F32, .n_dims = 1, .dims = { 1 }, .n = 1, .bytes = 4 },
		{ .name = "b", .dtype = DTYPE_F32, .n_dims = 1, .dims = { 1 }, .n = 1, .bytes = 4 },
		{ .name = "c", .dtype = DTYPE_F32, .n_dims = 1, .dims = { 1 }, .n = 1, .bytes = 4 },
	};
	struct tensors t;
	struct err e = { 0 };
	float got;

	for (int i = 0; i < 3; i++)
		item[i].data = &v[i];
	put_tensors(p->dir, "two.st", item, 2, NULL); /* a, b */
	v[0] = 10;
	put_tensors(p->dir, "one.st", item, 3, NULL); /* a, b, c */
	put_tensors(p->dir, "model.safetensors", item, 1, NULL);
	put_text(p->dir, "model.safetensors.index.json",
	         "{\"metadata\":{\"total_size\":12},\"weight_map\":"
	         "{\"a\":\"two.st\",\"b\":\"one.st\"}}");
	if (tensors_open_folder(&t, p->dir, "model", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(t.n, 2); /* c is not named */
	assert_int_equal(t.n_files, 2);
	tensor_read(tensors_find(&t, "a"), 0, 1, &got);
	assert_true(got == 1); /* two.st's, though one.st has one as well */
	assert_contains(t.file[tensors_find(&t, "a")->file].path, "two.st");
	assert_contains(t.file[tensors_find(&t, "b")->file].path, "one.st");
	tensors_close(&t);

	static const struct {
		const char *index, *says;
	} cases[] = {
		{ "{\"weight_map\":{\"a\":\"two.st\",\"c\":\"two.st\"}}",
		  "tensor 'c' is not in two.st, where the index says it is" },
		{ "{\"weight_map\":{\"a\":\"three.st\"}}", "three.st: No such file" },
		{ "{\"weight_map\":{\"a\":\"../two.st\"}}",
		  "'a': the name of a file in the same folder wanted, got '../two.st'" },
		{ "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "in the same folder wanted" },
		{ "{\"weight_map\":{\"a\":\"x\\\\two.st\"}}", "in the same folder wanted" },
		{ "{\"weight_map\":{\"a\":\"..\"}}", "in the same folder wanted" },
		{ "{\"weight_map\":{\"a\":\"\"}}", "in the same folder wanted" },
		{ "{\"weight_map\":{\"a\":7}}", "'a': the name of a file wanted" },
		{ "{\"weight_map\":{}}", "it names no tensor" },
		{ "{\"weight_map\":[]}", "weight_map: an object" },
		{ "{\"weight_map\":{\"a\":\"two.st\",\"a\":\"two.st\"}}", "'a' is there twice" },
		{ "{\"weight_map\":{\"a\":\"two.st\",\"a\":\"one.st\"}}", "'a' is there twice" },
		{ "{\"weight_map\":", "line 1, column 14: not JSON" },
		{ "7", "weight_map: an object" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		put_text(p->dir, "model.safetensors.index.json", cases[i].index);
		assert_int_equal(tensors_open_folder(&t, p->dir, "model", &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "model.safetensors.index.json: ");
		assert_contains(e.text, cases[i].says);
	}
}

static void a_file_is_replaced_whole_or_not_at_all(void **state)
{
	const struct place *p = *state;
	float v = 1;
	struct tensor item = { .name = "a", .dtype = DTYPE_F32, .n = 1, .bytes = 4, .data = &v };
	struct tensors t;
	struct err e = { 0 };
	char path[200];

	assert_int_equal(tensors_write(p->path, &item, 1, NULL, &e), 0);
	item.bytes = 3;
	assert_int_equal(tensors_write(p->path, &item, 1, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(tensors_open_file(&t, p->path, &e), 0);
	tensors_close(&t);
	item.bytes = 4;
	snprintf(path, sizeof(path), "%s/not/there", p->dir);
	assert_int_equal(tensors_write(path, &item, 1, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_IO);
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0); /* nothing was left behind */
	assert_int_equal(mkdir(p->dir, 0700), 0);
}

static void the_oracles_files_open(void **state)
{
	static const struct {
		const char *name, *tensor;
		int n;
	} cases[] = {
		{ "tiny-f32/model.safetensors", "model.layers.3.self_attn.q_norm.weight", 56 },
		{ "expected/logits_base.safetensors", "L65.argmax", 0 },
		{ "expected/trace_base_L65.safetensors", "layers.0.linear_attn.final_state", 0 },
	};
	char path[4096];
	struct tensors t;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (tensors_open_file(&t, oracle(path, cases[i].name), &e) < 0)
			fail_msg("%s", e.text);
		if (!tensors_find(&t, cases[i].tensor))
			fail_msg("%s: no %s", cases[i].name, cases[i].tensor);
		if (cases[i].n)
			assert_int_equal(t.n, cases[i].n);
		tensors_close(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_is_read_back, make_place,
		                                drop_place),
		cmocka_unit_test(every_bfloat16_and_half_is_widened_exactly),
		cmocka_unit_test(rounding_to_bfloat16_goes_to_the_nearest_and_even),
		cmocka_unit_test(rounding_to_halves_goes_to_the_nearest_and_even),
		cmocka_unit_test(narrowing_says_what_does_not_fit),
		cmocka_unit_test_setup_teardown(a_tensor_at_an_odd_byte_is_read, make_place,
		                                drop_place),
		cmocka_unit_test_setup_teardown(what_is_wrong_with_a_file_is_named, make_place,
		                                drop_place),
		cmocka_unit_test_setup_teardown(what_is_no_file_of_tensors_is_named, make_place,
		                                drop_place),
		cmocka_unit_test_setup_teardown(no_cut_and_no_changed_byte_gets_through, make_place,
		                                drop_place),
		cmocka_unit_test_setup_teardown(an_index_is_obeyed, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_file_is_replaced_whole_or_not_at_all, make_place,
		                                drop_place),
		cmocka_unit_test(the_oracles_files_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
