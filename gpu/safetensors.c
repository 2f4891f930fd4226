/*
 * The reader maps a file and then believes nothing: the header's length against the file's size,
 * the header as JSON of a bounded number of values, every range against its shape, all ranges
 * together against the data, which they must cover without gap or overlap. After that a pointer
 * into the map is as safe as one into our own memory, as long as nobody cuts the file short while
 * it is mapped.
 */
#include "gpu/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/json.h"

/* The format's own library stops at a header of 100 MB; a model of 10,000 tensors has one of about
 * 1 MB. */
#define HEADER_MAX_BYTES 100000000u
#define INDEX_MAX_BYTES  (64u << 20)
#define FILES_MAX        4096
#define WRITE_BYTES      (4u << 20)         /* of a tensor that is made as it is written */
#define EXACT_MAX        9007199254740992.0 /* 2^53: JSON's numbers are doubles */

/* Every dtype of the format, with the bits of an element. */
static const struct word {
	const char *name;
	enum dtype dtype;
	int bits;
} words[] = {
	{ "F32", DTYPE_F32, 32 },          { "F16", DTYPE_F16, 16 },
	{ "BF16", DTYPE_BF16, 16 },        { "I32", DTYPE_I32, 32 },
	{ "I64", DTYPE_I64, 64 },          { "BOOL", DTYPE_OTHER, 8 },
	{ "U8", DTYPE_OTHER, 8 },          { "I8", DTYPE_OTHER, 8 },
	{ "U16", DTYPE_OTHER, 16 },        { "I16", DTYPE_OTHER, 16 },
	{ "U32", DTYPE_OTHER, 32 },        { "U64", DTYPE_OTHER, 64 },
	{ "F64", DTYPE_OTHER, 64 },        { "C64", DTYPE_OTHER, 64 },
	{ "F8_E4M3", DTYPE_OTHER, 8 },     { "F8_E5M2", DTYPE_OTHER, 8 },
	{ "F8_E8M0", DTYPE_OTHER, 8 },     { "F8_E4M3FNUZ", DTYPE_OTHER, 8 },
	{ "F8_E5M2FNUZ", DTYPE_OTHER, 8 }, { "F6_E2M3", DTYPE_OTHER, 6 },
	{ "F6_E3M2", DTYPE_OTHER, 6 },     { "F4", DTYPE_OTHER, 4 },
};
enum { N_WORDS = sizeof(words) / sizeof(*words) };

const char *dtype_name(enum dtype t)
{
	return t >= 0 && t < DTYPE_OTHER ? words[t].name : "other";
}

size_t dtype_bytes(enum dtype t)
{
	return t >= 0 && t < DTYPE_OTHER ? (size_t)words[t].bits / 8 : 0;
}

/* ---- values ---- */

static float from_bits(uint32_t bits)
{
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

float bf16_widen(uint16_t v)
{
	return from_bits((uint32_t)v << 16);
}

uint16_t bf16_round(float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 0x40); /* a NaN whose high part is 0 would be inf */
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float f16_widen(uint16_t v)
{
	uint32_t sign = (uint32_t)(v & 0x8000) << 16, exponent = v >> 10 & 31, part = v & 0x3ff;

	if (exponent == 31)
		return from_bits(sign | 0x7f800000 | part << 13);
	if (exponent)
		return from_bits(sign | (exponent + 112) << 23 | part << 13);
	/* zero or subnormal: part * 2^-24, exact in f32 */
	float small = (float)part * 0x1p-24f;
	return sign ? -small : small;
}

uint16_t f16_round(float v)
{
	uint32_t bits, sign, size;

	memcpy(&bits, &v, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	size = bits & 0x7fffffff;
	if (size > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff)); /* NaN */
	if (size >= 0x47800000)
		return (uint16_t)(sign | 0x7c00); /* from 65,536 on; under that rounding decides */
	if (size < 0x38800000)                    /* subnormal: steps of 2^-24 */
		return (uint16_t)(sign | (uint32_t)rintf(from_bits(size) * 0x1p24f));
	size -= 112u << 23;
	return (uint16_t)(sign | (size + 0xfff + (size >> 13 & 1)) >> 13);
}

bool tensor_narrow(enum dtype dtype, const float *in, uint64_t n, void *out)
{
	uint16_t *narrow = out;
	bool fits = true;

	if (dtype == DTYPE_F32) {
		memcpy(out, in, n * sizeof(float));
		return true;
	}
	for (uint64_t i = 0; i < n; i++) {
		bool bf16 = dtype == DTYPE_BF16;
		narrow[i] = bf16 ? bf16_round(in[i]) : f16_round(in[i]);
		float back = bf16 ? bf16_widen(narrow[i]) : f16_widen(narrow[i]);
		fits &= isfinite(back) || !isfinite(in[i]);
	}
	return fits;
}

void tensor_read(const struct tensor *t, uint64_t from, uint64_t n, float *out)
{
	const unsigned char *p = (const unsigned char *)t->data + from * dtype_bytes(t->dtype);
	uint16_t v;

	switch (t->dtype) {
	case DTYPE_F32:
		if (n)
			memcpy(out, p, n * 4);
		return;
	case DTYPE_BF16:
		for (uint64_t i = 0; i < n; i++) {
			memcpy(&v, p + 2 * i, 2);
			out[i] = bf16_widen(v);
		}
		return;
	case DTYPE_F16:
		for (uint64_t i = 0; i < n; i++) {
			memcpy(&v, p + 2 * i, 2);
			out[i] = f16_widen(v);
		}
		return;
	default:
		return;
	}
}

void tensor_shape(const struct tensor *t, char *out, size_t len)
{
	size_t at = 0;

	if (len)
		out[0] = '\0';
	for (int i = 0; i <= t->n_dims && at < len; i++) {
		int n = i == t->n_dims ? snprintf(out + at, len - at, i ? "]" : "[]")
		                       : snprintf(out + at, len - at, "%s%" PRId64, i ? ", " : "[",
		                                  t->dims[i]);
		at += n > 0 ? (size_t)n : 0;
	}
}

/* ---- one file ---- */

static int by_name(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->file - y->file;
}

static int by_place(const void *a, const void *b)
{
	const struct tensor *const *x = a, *const *y = b;
	uintptr_t p = (uintptr_t)(*x)->data, q = (uintptr_t)(*y)->data;

	if (p != q)
		return p < q ? -1 : 1;
	return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* A whole number from 0 to 2^53. */
static bool whole(const cJSON *v, uint64_t *out)
{
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= EXACT_MAX) ||
	    v->valuedouble != floor(v->valuedouble))
		return false;
	*out = (uint64_t)v->valuedouble;
	return true;
}

static int read_shape(struct tensor *t, const cJSON *shape, struct err *e)
{
	const cJSON *v;
	uint64_t d;

	if (!cJSON_IsArray(shape))
		return err_set(e, ERR_INPUT, "shape: an array wanted");
	t->n = 1;
	cJSON_ArrayForEach(v, shape)
	{
		if (t->n_dims == TENSOR_DIMS_MAX)
			return err_set(e, ERR_INPUT, "shape: at most %d dimensions wanted, got %d",
			               TENSOR_DIMS_MAX, cJSON_GetArraySize(shape));
		if (!whole(v, &d))
			return err_set(e, ERR_INPUT,
			               "shape[%d]: a whole number from 0 to 2^53 wanted",
			               t->n_dims);
		t->dims[t->n_dims++] = (int64_t)d;
		if (__builtin_mul_overflow(t->n, d, &t->n))
			return err_set(e, ERR_INPUT, "shape: the product is over 2^64");
	}
	return 0;
}

/* One entry of the header; @data is where the data begins, @size how much of it there is. */
static int read_entry(struct tensor *t, const cJSON *entry, const unsigned char *data,
                      uint64_t size, struct err *e)
{
	const cJSON *dtype, *offsets;
	uint64_t begin, end, bits;
	const struct word *w = words;
	char shape[128];

	if (!cJSON_IsObject(entry))
		return err_set(e, ERR_INPUT, "{dtype, shape, data_offsets} wanted");
	dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
	if (!cJSON_IsString(dtype))
		return err_set(e, ERR_INPUT, "dtype: a string wanted");
	while (w < words + N_WORDS && strcmp(w->name, dtype->valuestring) != 0)
		w++;
	if (w == words + N_WORDS)
		return err_set(e, ERR_INPUT, "dtype: '%.40s' is none of the format's",
		               dtype->valuestring);
	t->dtype = w->dtype;
	t->word = w->name;
	if (read_shape(t, cJSON_GetObjectItemCaseSensitive(entry, "shape"), e) < 0)
		return -1;
	tensor_shape(t, shape, sizeof(shape));
	if (__builtin_mul_overflow(t->n, (uint64_t)w->bits, &bits))
		return err_set(e, ERR_INPUT, "%s %s is over 2^64 bits", w->name, shape);
	if (bits % 8)
		return err_set(e, ERR_INPUT, "%s %s does not end with a byte", w->name, shape);
	offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
	if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
	    !whole(offsets->child, &begin) || !whole(offsets->child->next, &end))
		return err_set(e, ERR_INPUT,
		               "data_offsets: two whole numbers from 0 to 2^53 wanted");
	if (begin > end)
		return err_set(e, ERR_INPUT,
		               "data_offsets: [%" PRIu64 ", %" PRIu64 "] ends before it begins",
		               begin, end);
	if (end > size)
		return err_set(e, ERR_INPUT,
		               "data_offsets: it ends at byte %" PRIu64
		               " of the data, of which there are %" PRIu64
		               ": the file was cut short; fetch it again",
		               end, size);
	if (end - begin != bits / 8)
		return err_set(e, ERR_INPUT,
		               "data_offsets: %s %s takes %" PRIu64 " bytes, got %" PRIu64, w->name,
		               shape, bits / 8, end - begin);
	t->bytes = end - begin;
	t->data = data + begin;
	return 0;
}

/* The ranges follow each other from the first byte of the data to the last. */
static int check_cover(const struct tensor *item, int n, const unsigned char *data, uint64_t size,
                       struct err *e)
{
	const struct tensor **order = n ? malloc((size_t)n * sizeof(const struct tensor *)) : NULL;
	uint64_t at = 0;
	int rc = 0;

	if (n && !order)
		return err_set(e, ERR_MEM, "no memory for %d tensors", n);
	for (int i = 0; i < n; i++)
		order[i] = &item[i];
	if (n)
		qsort(order, (size_t)n, sizeof(*order), by_place);
	for (int i = 0; i < n && rc == 0; i++) {
		uint64_t begin = (uint64_t)((const unsigned char *)order[i]->data - data);
		if (begin < at)
			rc = err_set(e, ERR_INPUT,
			             "tensors '%.120s' and '%.120s' overlap at byte %" PRIu64
			             " of the data",
			             order[i - 1]->name, order[i]->name, begin);
		else if (begin > at)
			rc = err_set(e, ERR_INPUT,
			             "bytes %" PRIu64 " to %" PRIu64
			             " of the data, before tensor '%.120s', belong to no tensor",
			             at, begin, order[i]->name);
		at = begin + order[i]->bytes;
	}
	if (rc == 0 && at != size)
		rc = err_set(e, ERR_INPUT,
		             "the tensors end at byte %" PRIu64 " of the data, the file at %" PRIu64
		             ": what is behind belongs to no tensor",
		             at, size);
	free(order);
	return rc;
}

static int map_file(struct mapped_file *f, const char *path, struct err *e)
{
	struct stat st;
	int rc = -1, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, errno == ENOMEM ? ERR_MEM : ERR_INPUT, "%.300s", path);
	if (fstat(fd, &st) < 0) {
		err_errno(e, ERR_IO, "%.300s", path);
	} else if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_INPUT, "%.300s: a regular file wanted", path);
	} else if (st.st_size < 8) {
		err_set(e, ERR_INPUT,
		        "%.300s: a safetensors file begins with 8 bytes of length, this one has "
		        "%jd bytes in all",
		        path, (intmax_t)st.st_size);
	} else {
		f->bytes = (uint64_t)st.st_size;
		f->base = mmap(NULL, f->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (f->base == MAP_FAILED) {
			f->base = NULL;
			err_errno(e, ERR_MEM, "%.300s: mapping %" PRIu64 " bytes", path, f->bytes);
		} else {
			rc = 0;
		}
	}
	close(fd);
	if (rc == 0 && !(f->path = strdup(path)))
		rc = err_set(e, ERR_MEM, "%.300s: no memory", path);
	return rc;
}

/* The header's entries as items whose names are copies of their own, sorted. */
static int read_header(struct tensors *t, const cJSON *root, const unsigned char *data,
                       uint64_t size, struct err *e)
{
	const cJSON *v;
	size_t names = 0;
	int n = 0;
	char *at;

	cJSON_ArrayForEach(v, root)
	{
		n++;
		names += strlen(v->string) + 1;
	}
	t->item = calloc((size_t)n + 1, sizeof(*t->item));
	t->names = at = malloc(names + 1);
	if (!t->item || !t->names)
		return err_set(e, ERR_MEM, "no memory for %d tensors", n);
	cJSON_ArrayForEach(v, root)
	{
		struct tensor *x = &t->item[t->n];
		if (strcmp(v->string, "__metadata__") == 0) {
			const cJSON *text;
			if (!cJSON_IsObject(v))
				return err_set(e, ERR_INPUT, "__metadata__: an object wanted");
			cJSON_ArrayForEach(text, v)
			{
				if (!cJSON_IsString(text))
					return err_set(e, ERR_INPUT,
					               "__metadata__: '%.80s' is no string",
					               text->string);
			}
			continue;
		}
		if (read_entry(x, v, data, size, e) < 0)
			return err_wrap(e, "tensor '%.120s'", v->string);
		strcpy(at, v->string);
		x->name = at;
		at += strlen(at) + 1;
		t->n++;
	}
	qsort(t->item, (size_t)t->n, sizeof(*t->item), by_name);
	for (int i = 1; i < t->n; i++)
		if (strcmp(t->item[i - 1].name, t->item[i].name) == 0)
			return err_set(e, ERR_INPUT, "tensor '%.120s' is there twice",
			               t->item[i].name);
	return check_cover(t->item, t->n, data, size, e);
}

int tensors_open_file(struct tensors *t, const char *path, struct err *e)
{
	uint64_t header = 0;
	cJSON *root = NULL;
	int rc = -1;

	memset(t, 0, sizeof(*t));
	t->file = calloc(1, sizeof(*t->file));
	if (!t->file)
		return err_set(e, ERR_MEM, "%.300s: no memory", path);
	t->n_files = 1;
	if (map_file(t->file, path, e) < 0)
		goto out;
	const unsigned char *base = t->file->base;
	uint64_t bytes = t->file->bytes;
	for (int i = 7; i >= 0; i--)
		header = header << 8 | base[i];
	if (header > HEADER_MAX_BYTES)
		err_set(e, ERR_INPUT,
		        "the header's length is %" PRIu64 ", at most %u are taken: "
		        "this is no safetensors file",
		        header, HEADER_MAX_BYTES);
	else if (header > bytes - 8)
		err_set(e, ERR_INPUT,
		        "a header of %" PRIu64 " bytes was promised, behind its length there are "
		        "%" PRIu64 ": the file was cut short; fetch it again",
		        header, bytes - 8);
	else if (!(root = json_parse_bounded((const char *)base + 8, header, JSON_VALUES_MAX, e)))
		err_wrap(e, "header");
	else if (!cJSON_IsObject(root))
		err_set(e, ERR_INPUT, "header: an object wanted");
	else
		rc = read_header(t, root, base + 8 + header, bytes - 8 - header, e);
	if (rc < 0)
		err_wrap(e, "%.200s", path);
out:
	cJSON_Delete(root);
	if (rc < 0)
		tensors_close(t);
	return rc;
}

void tensors_close(struct tensors *t)
{
	for (int i = 0; i < t->n_files; i++) {
		if (t->file[i].base)
			munmap(t->file[i].base, t->file[i].bytes);
		free(t->file[i].path);
	}
	free(t->file);
	free(t->item);
	free(t->names);
	memset(t, 0, sizeof(*t));
}

const struct tensor *tensors_find(const struct tensors *t, const char *name)
{
	int low = 0, high = t->n;

	while (low < high) {
		int mid = low + (high - low) / 2, c = strcmp(t->item[mid].name, name);
		if (c == 0)
			return &t->item[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- a folder ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The index's files, each once, sorted. */
static int list_shards(const cJSON *map, const char ***out, int *n_out, struct err *e)
{
	int all = cJSON_GetArraySize(map), n = 0, kept = 0;
	const char **name = calloc((size_t)all + 1, sizeof(*name));
	const cJSON *v;

	if (!name)
		return err_set(e, ERR_MEM, "no memory for %d tensors", all);
	*out = name;
	cJSON_ArrayForEach(v, map)
	{
		if (!cJSON_IsString(v))
			return err_set(e, ERR_INPUT,
			               "weight_map: '%.120s': the name of a file wanted",
			               v->string);
		const char *s = v->valuestring;
		if (!s[0] || strchr(s, '/') || strchr(s, '\\') || strcmp(s, ".") == 0 ||
		    strcmp(s, "..") == 0)
			return err_set(e, ERR_INPUT,
			               "weight_map: '%.120s': the name of a file in the same "
			               "folder wanted, got '%.120s'",
			               v->string, s);
		name[n++] = s;
	}
	if (n == 0)
		return err_set(e, ERR_INPUT, "weight_map: it names no tensor");
	qsort(name, (size_t)n, sizeof(*name), by_text);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(name[kept - 1], name[i]) != 0)
			name[kept++] = name[i];
	if (kept > FILES_MAX)
		return err_set(e, ERR_INPUT, "weight_map: %d files, at most %d are taken", kept,
		               FILES_MAX);
	*n_out = kept;
	return 0;
}

/* Takes what the index says is in shard @file, of the tensors in @shard, over into @t. The names
 * are those of @map, whose copies @at are: a shard's own go with it. */
static int take_shard(struct tensors *t, struct tensors *shard, int file, const char *name,
                      const cJSON *map, char **at, struct err *e)
{
	const cJSON *v;

	t->file[file] = shard->file[0];
	shard->n_files = 0;
	cJSON_ArrayForEach(v, map)
	{
		if (strcmp(v->valuestring, name) != 0)
			continue;
		const struct tensor *x = tensors_find(shard, v->string);
		if (!x)
			return err_set(e, ERR_INPUT,
			               "tensor '%.120s' is not in %.120s, where the index says it "
			               "is",
			               v->string, name);
		strcpy(*at, x->name);
		t->item[t->n] = *x;
		t->item[t->n].name = *at;
		t->item[t->n].file = file;
		t->n++;
		*at += strlen(*at) + 1;
	}
	return 0;
}

static int open_index(struct tensors *t, const char *dir, const cJSON *root, struct err *e)
{
	const cJSON *v, *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
	const char **shard = NULL;
	struct buf path = { 0 };
	size_t names = 0;
	int rc = -1, n = 0;
	char *at;

	if (!cJSON_IsObject(map))
		return err_set(e, ERR_INPUT, "weight_map: an object of tensors and files wanted");
	if (list_shards(map, &shard, &n, e) < 0)
		goto out;
	cJSON_ArrayForEach(v, map)
	{
		names += strlen(v->string) + 1;
	}
	t->item = calloc((size_t)cJSON_GetArraySize(map), sizeof(*t->item));
	t->names = at = malloc(names);
	t->file = calloc((size_t)n, sizeof(*t->file));
	if (!t->item || !t->names || !t->file) {
		err_set(e, ERR_MEM, "no memory for the tensors of %d files", n);
		goto out;
	}
	t->n_files = n;
	for (int i = 0; i < n; i++) {
		struct tensors one;
		buf_clear(&path);
		buf_printf(&path, "%s/%s", dir, shard[i]);
		if (buf_failed(&path)) {
			err_set(e, ERR_MEM, "no memory for a path");
			goto out;
		}
		if (tensors_open_file(&one, path.data, e) < 0)
			goto out;
		rc = take_shard(t, &one, i, shard[i], map, &at, e);
		tensors_close(&one);
		if (rc < 0)
			goto out;
		rc = -1;
	}
	qsort(t->item, (size_t)t->n, sizeof(*t->item), by_name);
	for (int i = 1; i < t->n; i++)
		if (strcmp(t->item[i - 1].name, t->item[i].name) == 0) {
			err_set(e, ERR_INPUT, "weight_map: tensor '%.120s' is there twice",
			        t->item[i].name);
			goto out;
		}
	rc = 0;
out:
	free(shard);
	buf_release(&path);
	return rc;
}

int tensors_open_folder(struct tensors *t, const char *dir, const char *stem, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	cJSON *root = NULL;
	int rc = -1;

	memset(t, 0, sizeof(*t));
	buf_printf(&path, "%s/%s.safetensors.index.json", dir, stem);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory for a path");
	} else if (access(path.data, F_OK) < 0 && errno == ENOENT) {
		buf_clear(&path);
		buf_printf(&path, "%s/%s.safetensors", dir, stem);
		if (buf_failed(&path))
			err_set(e, ERR_MEM, "no memory for a path");
		else
			rc = tensors_open_file(t, path.data, e);
	} else if (buf_read_file(&text, path.data, INDEX_MAX_BYTES, e) == 0) {
		root = json_parse_bounded(buf_str(&text), text.len, JSON_VALUES_MAX, e);
		if (root)
			rc = open_index(t, dir, root, e);
		if (rc < 0)
			err_wrap(e, "%.200s", path.data);
	}
	cJSON_Delete(root);
	buf_release(&text);
	buf_release(&path);
	if (rc < 0)
		tensors_close(t);
	return rc;
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, uint64_t len)
{
	const char *p = data;

	while (len > 0) {
		/* one call writes at most 2 GiB on Linux */
		ssize_t n = write(fd, p, len < 1u << 30 ? (size_t)len : 1u << 30);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* The wider dtypes first, so that every tensor lies at a multiple of its element. */
static int by_width(const void *a, const void *b)
{
	const struct tensor *const *x = a, *const *y = b;
	size_t p = dtype_bytes((*x)->dtype), q = dtype_bytes((*y)->dtype);

	if (p != q)
		return p > q ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

static int make_header(struct buf *out, const struct tensor *const *order, int n,
                       const char *const *metadata, struct err *e)
{
	cJSON *root = cJSON_CreateObject();
	uint64_t at = 0;

	if (metadata && metadata[0]) {
		cJSON *m = cJSON_AddObjectToObject(root, "__metadata__");
		for (int i = 0; metadata[i] && metadata[i + 1]; i += 2)
			cJSON_AddStringToObject(m, metadata[i], metadata[i + 1]);
	}
	for (int i = 0; i < n; i++) {
		const struct tensor *t = order[i];
		cJSON *o = cJSON_AddObjectToObject(root, t->name);
		bool other = t->dtype == DTYPE_OTHER && t->word;
		cJSON_AddStringToObject(o, "dtype", other ? t->word : dtype_name(t->dtype));
		cJSON *shape = cJSON_AddArrayToObject(o, "shape");
		for (int k = 0; k < t->n_dims; k++)
			cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dims[k]));
		cJSON *offsets = cJSON_AddArrayToObject(o, "data_offsets");
		cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at));
		at += t->bytes;
		cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at));
	}
	buf_add(out, "\0\0\0\0\0\0\0\0", 8);
	json_print(out, root);
	cJSON_Delete(root);
	while (!out->failed && out->len % 8)
		buf_addc(out, ' ');
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "no memory for a header");
	for (int i = 0; i < 8; i++)
		out->data[i] = (char)((uint64_t)(out->len - 8) >> 8 * i);
	return 0;
}

/* Asks for the rows of a tensor, as many at a time as fit in a few megabytes. */
static int write_rows(int fd, const char *path, const struct tensor *t, int i, tensor_rows_fn *rows,
                      void *ctx, struct err *e)
{
	int64_t all = t->n_dims > 0 ? t->dims[0] : 1;
	uint64_t width = all > 0 ? t->bytes / (uint64_t)all : 0;
	int64_t step = width < WRITE_BYTES ? (int64_t)(WRITE_BYTES / (width ? width : 1)) : 1;
	void *piece;
	int rc = 0;

	if (t->bytes == 0)
		return 0;
	if (step > all)
		step = all;
	piece = malloc((size_t)step * width);
	if (!piece)
		return err_set(e, ERR_MEM, "%.200s: no memory for tensor '%.120s'", path, t->name);
	for (int64_t at = 0; at < all && rc == 0; at += step) {
		int64_t n = all - at < step ? all - at : step;
		rc = rows(ctx, i, at, n, piece, e);
		if (rc == 0 && write_all(fd, piece, (uint64_t)n * width) < 0)
			rc = err_errno(e, ERR_IO, "%.300s: writing", path);
	}
	free(piece);
	return rc;
}

/* All of a file, in @order, onto the disk. */
static int write_file(int fd, const char *path, const struct buf *header,
                      const struct tensor *const *order, const struct tensor *item, int n,
                      tensor_rows_fn *rows, void *ctx, struct err *e)
{
	mode_t mask = umask(0);

	umask(mask);
	if (write_all(fd, header->data, header->len) < 0)
		return err_errno(e, ERR_IO, "%.300s: writing", path);
	for (int i = 0; i < n; i++) {
		const struct tensor *t = order[i];
		if (!t->data && rows) {
			if (write_rows(fd, path, t, (int)(t - item), rows, ctx, e) < 0)
				return -1;
		} else if (write_all(fd, t->data, t->bytes) < 0) {
			return err_errno(e, ERR_IO, "%.300s: writing", path);
		}
	}
	if (fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0)
		return err_errno(e, ERR_IO, "%.300s: writing", path);
	return 0;
}

int tensors_write_made(const char *path, const struct tensor *item, int n,
                       const char *const *metadata, tensor_rows_fn *rows, void *ctx, struct err *e)
{
	struct buf header = { 0 }, tmp = { 0 };
	const struct tensor **order = calloc((size_t)n + 1, sizeof(*order));
	int rc = -1, fd;

	buf_printf(&tmp, "%s.XXXXXX", path);
	if (!order || buf_failed(&tmp)) {
		err_set(e, ERR_MEM, "%.300s: no memory", path);
		goto out;
	}
	for (int i = 0; i < n; i++) {
		const struct tensor *t = &item[i];
		bool other = t->dtype == DTYPE_OTHER && t->word;
		order[i] = t;
		if (!other &&
		    (t->bytes != t->n * dtype_bytes(t->dtype) || dtype_bytes(t->dtype) == 0)) {
			err_set(e, ERR_USAGE, "%.200s: tensor '%.120s' has %" PRIu64 " bytes", path,
			        t->name, t->bytes);
			goto out;
		}
	}
	qsort(order, (size_t)n, sizeof(*order), by_width);
	if (make_header(&header, order, n, metadata, e) < 0)
		goto out;
	fd = mkostemp(tmp.data, O_CLOEXEC);
	if (fd < 0) {
		err_errno(e, ERR_IO, "%.300s: cannot be written", path);
		goto out;
	}
	rc = write_file(fd, path, &header, order, item, n, rows, ctx, e);
	if (close(fd) < 0 && rc == 0)
		rc = err_errno(e, ERR_IO, "%.300s: writing", path);
	if (rc == 0 && rename(tmp.data, path) < 0)
		rc = err_errno(e, ERR_IO, "%.300s: cannot be replaced", path);
	if (rc < 0)
		unlink(tmp.data);
out:
	free(order);
	buf_release(&header);
	buf_release(&tmp);
	return rc;
}

int tensors_write(const char *path, const struct tensor *item, int n, const char *const *metadata,
                  struct err *e)
{
	return tensors_write_made(path, item, n, metadata, NULL, NULL, e);
}
