/* Any bytes: either a file of tensors that lie in it side by side and can be read to the last
 * value, or words that name the file. What begins with a brace is the index of a folder with two
 * shards. */
#include "tests/fuzz/fuzz.h"

#include "gpu/safetensors.h"
#include "tests/fuzz/folder.h"

static void read_all(const struct tensors *t, uint64_t most)
{
	float v[64];

	for (int i = 0; i < t->n; i++) {
		const struct tensor *x = &t->item[i];
		char shape[32];
		uint64_t n = 1;
		FUZZ_CLAIM(x->bytes <= most && x->file >= 0 && x->file < t->n_files);
		FUZZ_CLAIM(i == 0 || strcmp(t->item[i - 1].name, x->name) < 0);
		FUZZ_CLAIM(tensors_find(t, x->name) == x);
		for (int k = 0; k < x->n_dims; k++)
			n *= (uint64_t)x->dims[k];
		FUZZ_CLAIM(n == x->n);
		tensor_shape(x, shape, sizeof(shape));
		if (x->dtype != DTYPE_F32 && x->dtype != DTYPE_F16 && x->dtype != DTYPE_BF16)
			continue;
		FUZZ_CLAIM(x->bytes == x->n * dtype_bytes(x->dtype));
		for (uint64_t at = 0; at < x->n; at += 64)
			tensor_read(x, at, x->n - at < 64 ? x->n - at : 64, v);
	}
}

static void put_shards(void)
{
	const float v[2] = { 1, 2 };
	const struct tensor item[2] = {
		{ .name = "x",
		  .dtype = DTYPE_F32,
		  .n_dims = 1,
		  .dims = { 2 },
		  .n = 2,
		  .bytes = 8,
		  .data = v },
		{ .name = "y", .dtype = DTYPE_F32, .n = 1, .bytes = 4, .data = v },
	};
	struct err e = { 0 };
	char path[128];

	snprintf(path, sizeof(path), "%s/a.st", fuzz_folder());
	FUZZ_CLAIM(tensors_write(path, item, 2, NULL, &e) == 0);
	snprintf(path, sizeof(path), "%s/b.st", fuzz_folder());
	FUZZ_CLAIM(tensors_write(path, item, 1, NULL, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct tensors t;
	struct err e = { 0 };
	char path[128];
	bool index = len > 0 && bytes[0] == '{';
	int rc;

	if (!fuzz_dir[0])
		put_shards();
	if (index) {
		fuzz_put("model.safetensors.index.json", bytes, len);
		rc = tensors_open_folder(&t, fuzz_folder(), "model", &e);
	} else {
		fuzz_put("model.safetensors", bytes, len);
		snprintf(path, sizeof(path), "%s/model.safetensors", fuzz_folder());
		rc = tensors_open_file(&t, path, &e);
	}
	if (rc == 0) {
		read_all(&t, index ? 8 : len);
		tensors_close(&t);
	} else {
		FUZZ_CLAIM(e.kind == ERR_INPUT &&
		           strncmp(e.text, fuzz_folder(), strlen(fuzz_folder())) == 0);
		FUZZ_CLAIM(!t.item && !t.file && t.n == 0);
	}
	return 0;
}
