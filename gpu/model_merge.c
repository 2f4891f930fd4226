/*
 * Nothing is held in memory but a few rows: a base of 18 GB is read from its map, a linear layer's
 * rows get s B A added, and all goes out at once.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/model_write.h"
#include "src/base/folder.h"
#include "src/base/json.h"

enum { COPY_MAX_BYTES = 64 << 20 };
#define SHARD_BYTES 5000000000u

/* What becomes of one of the base's tensors. */
struct fate {
	const struct tensor *from;
	const struct lora_part *part; /* NULL: nothing is added */
	int in;                       /* of the part's module */
};

struct merging {
	struct model base;
	struct adapter adapter;
	enum dtype dtype;    /* of the text part; DTYPE_OTHER: as it is */
	struct tensor *item; /* as written, without data; in the base's order */
	struct fate *fate;
	int *shard; /* of each item */
	int n, shards;
	uint64_t bytes;
	int first; /* item that the shard being written begins with */
	float *row;
	uint64_t shard_bytes;
	bool (*stop)(void);
};

/* ---- what is written ---- */

static bool wide_always(const struct model *m, const struct tensor *t)
{
	for (int l = 0; l < m->config.layers; l++)
		if (t == m->layer[l].a_log || t == m->layer[l].norm)
			return true;
	return false;
}

/* Whether @t is of the text model, which alone changes its dtype. */
static bool of_text(const struct model *m, const struct tensor *t)
{
	if (t == m->embedding || t == m->final_norm || t == m->head)
		return true;
	for (int l = 0; l < m->config.layers; l++) {
		const struct layer *x = &m->layer[l];
		const struct tensor *const small[] = { x->input_norm, x->post_norm, x->q_norm,
			                               x->k_norm,     x->conv,      x->a_log,
			                               x->dt_bias,    x->norm };
		for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
			if (t == small[i])
				return true;
		for (int k = 0; k < MODULE_COUNT; k++)
			if (t == x->linear[k])
				return true;
	}
	return false;
}

static void find_part(const struct merging *g, struct fate *f)
{
	int out;

	for (int l = 0; l < g->base.config.layers; l++)
		for (enum module k = 0; k < MODULE_COUNT; k++)
			if (f->from == g->base.layer[l].linear[k] &&
			    g->adapter.part[l][k].rank > 0) {
				f->part = &g->adapter.part[l][k];
				module_shape(&g->base.config, l, k, &out, &f->in);
			}
}

/* In the order in which they lie in the base's files, so that those are read from end to end. */
static int by_place(const void *a, const void *b)
{
	const struct tensor *x = ((const struct fate *)a)->from;
	const struct tensor *y = ((const struct fate *)b)->from;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return (x->data > y->data) - (x->data < y->data);
}

static int plan(struct merging *g, struct err *e)
{
	uint64_t in_shard = 0;

	g->n = g->base.tensors.n;
	g->item = calloc((size_t)g->n, sizeof(*g->item));
	g->fate = calloc((size_t)g->n, sizeof(*g->fate));
	g->shard = calloc((size_t)g->n, sizeof(*g->shard));
	if (!g->item || !g->fate || !g->shard)
		return err_set(e, ERR_MEM, "no memory for %d tensors", g->n);
	for (int i = 0; i < g->n; i++) {
		g->fate[i].from = &g->base.tensors.item[i];
		find_part(g, &g->fate[i]);
	}
	qsort(g->fate, (size_t)g->n, sizeof(*g->fate), by_place);
	for (int i = 0; i < g->n; i++) {
		struct tensor *t = &g->item[i];
		const struct tensor *from = g->fate[i].from;
		*t = *from;
		if (g->dtype != DTYPE_OTHER && of_text(&g->base, from)) {
			t->dtype = wide_always(&g->base, from) ? DTYPE_F32 : g->dtype;
			t->word = dtype_name(t->dtype);
			t->bytes = t->n * dtype_bytes(t->dtype);
		}
		t->data = NULL;
		if (in_shard > 0 && in_shard + t->bytes > g->shard_bytes) {
			g->shards++;
			in_shard = 0;
		}
		g->shard[i] = g->shards;
		in_shard += t->bytes;
		g->bytes += t->bytes;
	}
	g->shards++;
	return 0;
}

static int rows(void *ctx, int i, int64_t from, int64_t n, void *out, struct err *e)
{
	struct merging *g = ctx;
	const struct tensor *to = &g->item[g->first + i];
	const struct fate *f = &g->fate[g->first + i];
	uint64_t rows_all = to->n_dims > 0 ? (uint64_t)to->dims[0] : 1, width = to->n / rows_all;

	if (g->stop && g->stop())
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (!f->part && to->dtype == f->from->dtype) {
		uint64_t bytes = to->bytes / rows_all;
		memcpy(out, (const char *)f->from->data + (uint64_t)from * bytes,
		       (uint64_t)n * bytes);
		return 0;
	}
	for (int64_t r = from; r < from + n; r++) {
		uint64_t at = (uint64_t)r * width;
		tensor_read(f->from, at, width, g->row);
		for (int k = 0; f->part && k < f->part->rank; k++) {
			const float *a = f->part->a + (size_t)k * (size_t)f->in;
			float b = f->part->scale * f->part->b[r * f->part->rank + k];
			for (int c = 0; c < f->in; c++)
				g->row[c] += b * a[c];
		}
		if (!tensor_narrow(to->dtype, g->row, width,
		                   (char *)out +
		                           (uint64_t)(r - from) * width * dtype_bytes(to->dtype)))
			return err_set(e, ERR_INPUT,
			               "tensor '%.120s': a sum is too large for %s: merge to F32",
			               to->name, dtype_name(to->dtype));
		for (uint64_t c = 0; f->part && c < width; c++)
			if (!isfinite(g->row[c]))
				return err_set(e, ERR_INPUT,
				               "tensor '%.120s': a sum is no finite number",
				               to->name);
	}
	return 0;
}

/* ---- weights ---- */

static void shard_name(const struct merging *g, int k, char out[64])
{
	if (g->shards == 1)
		strcpy(out, "model.safetensors");
	else
		snprintf(out, 64, "model-%05d-of-%05d.safetensors", k + 1, g->shards);
}

static int put_text(const struct new_folder *f, const char *name, const cJSON *o, struct err *e)
{
	struct buf text = { 0 }, path = { 0 };
	const char *to = new_folder_path(f, name, &path, e);
	int rc = -1;

	json_print(&text, o);
	buf_addc(&text, '\n');
	if (buf_failed(&text))
		err_set(e, ERR_MEM, "no memory for %s", name);
	else if (to)
		rc = file_write_atomic(to, text.data, text.len, e);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static int put_index(const struct merging *g, const struct new_folder *f, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *map;
	char name[64];
	int rc;

	cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "metadata"), "total_size",
	                        (double)g->bytes);
	map = cJSON_AddObjectToObject(o, "weight_map");
	for (int i = 0; i < g->n; i++) {
		shard_name(g, g->shard[i], name);
		cJSON_AddStringToObject(map, g->item[i].name, name);
	}
	rc = put_text(f, "model.safetensors.index.json", o, e);
	cJSON_Delete(o);
	return rc;
}

static int put_weights(struct merging *g, const struct new_folder *f, struct err *e)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	struct buf path = { 0 };
	uint64_t widest = 1;
	char name[64];
	int rc = 0;

	for (int i = 0; i < g->n; i++)
		if (g->item[i].n_dims > 1 && g->item[i].dims[0] > 0 &&
		    g->item[i].n / (uint64_t)g->item[i].dims[0] > widest)
			widest = g->item[i].n / (uint64_t)g->item[i].dims[0];
	g->row = malloc(widest * sizeof(*g->row));
	if (!g->row)
		return err_set(e, ERR_MEM, "no memory for a row of %" PRIu64 " values", widest);
	for (int k = 0, i = 0; k < g->shards && rc == 0; k++) {
		int n = 0;
		while (i + n < g->n && g->shard[i + n] == k)
			n++;
		shard_name(g, k, name);
		g->first = i;
		const char *to = new_folder_path(f, name, &path, e);
		rc = to ? tensors_write_made(to, g->item + i, n, metadata, rows, g, e) : -1;
		i += n;
	}
	buf_release(&path);
	return rc == 0 && g->shards > 1 ? put_index(g, f, e) : rc;
}

/* ---- the other files ---- */

static void say_dtype(cJSON *o, const char *word)
{
	static const char *const key[] = { "dtype", "torch_dtype" };

	for (size_t i = 0; i < sizeof(key) / sizeof(*key); i++)
		if (cJSON_GetObjectItemCaseSensitive(o, key[i]))
			cJSON_ReplaceItemInObjectCaseSensitive(o, key[i], cJSON_CreateString(word));
}

/* The base's config.json, which says the dtype that the weights are to be loaded in. */
static int put_config(const struct merging *g, const struct new_folder *f, struct err *e)
{
	const char *word = g->dtype == DTYPE_F32 ? "float32" : "bfloat16";
	struct buf path = { 0 }, text = { 0 };
	cJSON *o = NULL;
	int rc = -1;

	buf_printf(&path, "%s/config.json", g->base.dir);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory for a path");
	} else if (buf_read_file(&text, path.data, COPY_MAX_BYTES, e) == 0 &&
	           (o = json_parse(buf_str(&text), text.len, e))) {
		say_dtype(o, word);
		say_dtype(cJSON_GetObjectItemCaseSensitive(o, "text_config"), word);
		rc = put_text(f, "config.json", o, e);
	}
	cJSON_Delete(o);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), k = strlen(with);

	return n >= k && strcmp(text + n - k, with) == 0;
}

/* Config, tokenizer, template, licence: not weights, nor their index, nor what tells of the base as
 * it was. */
static bool carried(const char *name)
{
	static const char *const end[] = { ".json", ".jinja", ".txt", ".model" };

	if (ends(name, ".index.json") || strcmp(name, "adapter_config.json") == 0)
		return false;
	for (size_t i = 0; i < sizeof(end) / sizeof(*end); i++)
		if (name[0] != '.' && ends(name, end[i]))
			return true;
	return strncmp(name, "LICENSE", 7) == 0 || strncmp(name, "NOTICE", 6) == 0;
}

static int put_others(const struct merging *g, const struct new_folder *f, struct err *e)
{
	DIR *d = opendir(g->base.dir);
	int rc = 0;

	if (!d)
		return err_errno(e, ERR_INPUT, "%.300s", g->base.dir);
	for (struct dirent *x; rc >= 0 && (x = readdir(d));) {
		if (!carried(x->d_name))
			continue;
		if (g->dtype != DTYPE_OTHER && strcmp(x->d_name, "config.json") == 0)
			rc = put_config(g, f, e);
		else
			rc = new_folder_copy(f, g->base.dir, x->d_name, COPY_MAX_BYTES, e);
	}
	closedir(d);
	return rc < 0 ? -1 : 0;
}

int model_merge(const char *base_dir, const char *adapter_dir, const char *out_dir,
                const struct merge_options *o, struct err *e)
{
	struct merging g = { .dtype = o->dtype,
		             .shard_bytes = o->shard_bytes ? o->shard_bytes : SHARD_BYTES,
		             .stop = o->stop };
	struct new_folder f = { 0 };
	int rc = -1;

	if (g.dtype != DTYPE_F32 && g.dtype != DTYPE_BF16 && g.dtype != DTYPE_OTHER)
		return err_set(e, ERR_USAGE, "a model is merged as F32, BF16 or as its base is");
	if (model_open(&g.base, base_dir, e) < 0)
		return -1;
	if (adapter_open(&g.adapter, adapter_dir, &g.base.config, e) < 0 || plan(&g, e) < 0)
		;
	else if (new_folder_begin(&f, out_dir, g.bytes, e) == 0 && put_weights(&g, &f, e) == 0 &&
	         put_others(&g, &f, e) == 0)
		rc = new_folder_end(&f, e);
	new_folder_drop(&f);
	adapter_close(&g.adapter);
	model_close(&g.base);
	free(g.item);
	free(g.fate);
	free(g.shard);
	free(g.row);
	return rc;
}
