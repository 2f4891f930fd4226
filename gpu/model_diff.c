#include "gpu/model_diff.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"

enum { CONFIG_MAX_BYTES = 16 << 20, VALUES_MAX = 100000 };

/* ---- fields of a config ---- */

static cJSON *read_json(const char *dir, const char *name, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	cJSON *o = NULL;

	buf_printf(&path, "%s/%s", dir, name);
	if (buf_failed(&path))
		err_set(e, ERR_MEM, "no memory for a path");
	else if (buf_read_file(&text, path.data, CONFIG_MAX_BYTES, e) == 0 &&
	         !(o = json_parse_bounded(buf_str(&text), text.len, VALUES_MAX, e)))
		err_wrap(e, "%.200s", path.data);
	buf_release(&text);
	buf_release(&path);
	return o;
}

static void add_value(cJSON *o, const char *key, const cJSON *v)
{
	cJSON_AddItemToObject(o, key, v ? cJSON_Duplicate(v, true) : cJSON_CreateNull());
}

static void add_field(cJSON *list, const char *key, const cJSON *a, const cJSON *b)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "field", key);
	add_value(o, "a", a);
	add_value(o, "b", b);
	cJSON_AddItemToArray(list, o);
}

/* Fields that differ; those of objects one by one, "rope_parameters.rope_theta". */
static void compare_fields(cJSON *list, const char *under, const cJSON *a, const cJSON *b)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, a)
	{
		const cJSON *w = cJSON_GetObjectItemCaseSensitive(b, v->string);
		struct buf key = { 0 };
		buf_printf(&key, "%s%s%s", under, *under ? "." : "", v->string);
		if (cJSON_IsObject(v) && cJSON_IsObject(w) && strlen(under) < 1000)
			compare_fields(list, buf_str(&key), v, w);
		else if (!w || !cJSON_Compare(v, w, true))
			add_field(list, buf_str(&key), v, w);
		buf_release(&key);
	}
	cJSON_ArrayForEach(v, b)
	{
		struct buf key = { 0 };
		buf_printf(&key, "%s%s%s", under, *under ? "." : "", v->string);
		if (!cJSON_GetObjectItemCaseSensitive(a, v->string))
			add_field(list, buf_str(&key), NULL, v);
		buf_release(&key);
	}
}

static int add_fields(cJSON *out, const char *a, const char *b, const char *name, struct err *e)
{
	cJSON *x = read_json(a, name, e), *y = x ? read_json(b, name, e) : NULL;
	int rc = y ? 0 : -1;

	if (rc == 0) {
		const cJSON *p = cJSON_GetObjectItemCaseSensitive(x, "text_config");
		const cJSON *q = cJSON_GetObjectItemCaseSensitive(y, "text_config");
		/* a nested file beside a flat one: what tells of the text model */
		bool one = cJSON_IsObject(p) != cJSON_IsObject(q);
		compare_fields(cJSON_AddArrayToObject(out, "fields"), "",
		               one && cJSON_IsObject(p) ? p : x, one && cJSON_IsObject(q) ? q : y);
	}
	cJSON_Delete(x);
	cJSON_Delete(y);
	return rc;
}

/* ---- the list of differences ---- */

struct tally {
	int all, equal, changed, only_a, only_b;
	cJSON **item;
	int n, cap;
};

static int keep(struct tally *t, cJSON *o, struct err *e)
{
	if (t->n == t->cap) {
		int cap = t->cap ? 2 * t->cap : 64;
		cJSON **more = realloc(t->item, (size_t)cap * sizeof(cJSON *));
		if (!more) {
			cJSON_Delete(o);
			return err_set(e, ERR_MEM, "no memory for %d differences", cap);
		}
		t->item = more;
		t->cap = cap;
	}
	t->item[t->n++] = o;
	return 0;
}

static double weight(const cJSON *o)
{
	return json_number_or(o, "relative", INFINITY);
}

static int by_weight(const void *a, const void *b)
{
	const cJSON *x = *(cJSON *const *)a, *y = *(cJSON *const *)b;
	double p = weight(x), q = weight(y);

	if (p != q)
		return p > q ? -1 : 1;
	return strcmp(json_string_or(x, "name", ""), json_string_or(y, "name", ""));
}

static void add_tally(cJSON *out, struct tally *t, const char *what)
{
	cJSON *list;

	cJSON_AddNumberToObject(out, what, t->all);
	cJSON_AddNumberToObject(out, "equal", t->equal);
	cJSON_AddNumberToObject(out, "changed", t->changed);
	cJSON_AddNumberToObject(out, "only_a", t->only_a);
	cJSON_AddNumberToObject(out, "only_b", t->only_b);
	if (t->n)
		qsort(t->item, (size_t)t->n, sizeof(cJSON *), by_weight);
	list = cJSON_AddArrayToObject(out, "differences");
	for (int i = 0; i < t->n; i++)
		cJSON_AddItemToArray(list, t->item[i]);
	t->n = 0;
}

static void tally_release(struct tally *t)
{
	for (int i = 0; i < t->n; i++)
		cJSON_Delete(t->item[i]);
	free(t->item);
}

static cJSON *difference(struct tally *t, const char *name, bool in_a, bool in_b, const char *what)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddStringToObject(o, "what", in_a && in_b ? what : in_a ? "only in a" : "only in b");
	t->changed += in_a && in_b;
	t->only_a += in_a && !in_b;
	t->only_b += in_b && !in_a;
	return o;
}

/* ---- models ---- */

/* "model.language_model.layers..." and "language_model.model.layers..." are "model.layers...". */
struct named {
	char name[200];
	const struct tensor *t;
};

static void plain_name(char out[200], const char *name)
{
	static const char *const prefix[] = { "model.language_model.", "language_model.model." };

	for (size_t i = 0; i < sizeof(prefix) / sizeof(*prefix); i++) {
		size_t n = strlen(prefix[i]);
		if (strncmp(name, prefix[i], n) == 0) {
			snprintf(out, 200, "model.%.190s", name + n);
			return;
		}
	}
	if (strcmp(name, "language_model.lm_head.weight") == 0)
		name = "lm_head.weight";
	snprintf(out, 200, "%.199s", name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static struct named *sorted(const struct tensors *t, struct err *e)
{
	struct named *v = calloc((size_t)t->n + 1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_MEM, "no memory for %d tensors", t->n);
		return NULL;
	}
	for (int i = 0; i < t->n; i++) {
		plain_name(v[i].name, t->item[i].name);
		v[i].t = &t->item[i];
	}
	qsort(v, (size_t)t->n, sizeof(*v), by_name);
	return v;
}

static bool readable(const struct tensor *t)
{
	return t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16 || t->dtype == DTYPE_BF16;
}

static bool same_shape(const struct tensor *a, const struct tensor *b)
{
	bool same = a->n_dims == b->n_dims;

	for (int i = 0; i < a->n_dims && same; i++)
		same = a->dims[i] == b->dims[i];
	return same;
}

struct distance {
	double a, b, between; /* sums of squares */
	double largest;
	uint64_t differing;
};

static void measure(const struct tensor *a, const struct tensor *b, struct distance *d)
{
	enum { PIECE = 4096 };
	float x[PIECE], y[PIECE];

	*d = (struct distance){ 0 };
	for (uint64_t at = 0; at < a->n; at += PIECE) {
		uint64_t n = a->n - at < PIECE ? a->n - at : PIECE;
		tensor_read(a, at, n, x);
		tensor_read(b, at, n, y);
		for (uint64_t i = 0; i < n; i++) {
			double by = (double)y[i] - x[i];
			d->a += (double)x[i] * x[i];
			d->b += (double)y[i] * y[i];
			d->between += by * by;
			d->largest = fmax(d->largest, fabs(by));
			d->differing += !(by == 0);
		}
	}
}

static void add_stored(cJSON *o, const struct tensor *t, const char *dtype, const char *shape)
{
	char text[128];

	json_add_text(o, dtype, !t ? NULL : t->word ? t->word : dtype_name(t->dtype));
	if (t)
		tensor_shape(t, text, sizeof(text));
	json_add_text(o, shape, t ? text : NULL);
}

/* @a or @b may be NULL, not both. */
static int compare_tensor(struct tally *t, const char *name, const struct tensor *a,
                          const struct tensor *b, struct err *e)
{
	struct distance d = { 0 };
	bool values = false;
	cJSON *o;

	t->all++;
	if (a && b && same_shape(a, b)) {
		values = readable(a) && readable(b);
		if (values)
			measure(a, b, &d);
		if (values ? d.differing == 0 && a->dtype == b->dtype
		           : a->dtype == b->dtype && a->bytes == b->bytes &&
		                     memcmp(a->data, b->data, a->bytes) == 0) {
			t->equal++;
			return 0;
		}
	}
	o = difference(t, name, a, b,
	               values && d.differing == 0   ? "dtype"
	               : a && b && same_shape(a, b) ? "values"
	                                            : "shape");
	add_stored(o, a, "dtype_a", "shape_a");
	add_stored(o, b, "dtype_b", "shape_b");
	if (values) {
		json_add_figure(o, "norm_a", sqrt(d.a));
		json_add_figure(o, "norm_b", sqrt(d.b));
		json_add_figure(o, "norm_difference", sqrt(d.between));
		json_add_figure(o, "relative", sqrt(d.between) / sqrt(d.a));
		json_add_figure(o, "largest", d.largest);
		cJSON_AddNumberToObject(o, "differing", (double)d.differing);
		cJSON_AddNumberToObject(o, "n", (double)a->n);
	}
	return keep(t, o, e);
}

static int compare_models(struct tally *t, const struct tensors *a, const struct tensors *b,
                          struct err *e)
{
	struct named *x = sorted(a, e), *y = x ? sorted(b, e) : NULL;
	int rc = y ? 0 : -1, i = 0, k = 0;

	while (rc == 0 && (i < a->n || k < b->n)) {
		int c = i == a->n ? 1 : k == b->n ? -1 : strcmp(x[i].name, y[k].name);
		rc = compare_tensor(t, c <= 0 ? x[i].name : y[k].name, c <= 0 ? x[i].t : NULL,
		                    c >= 0 ? y[k].t : NULL, e);
		i += c <= 0;
		k += c >= 0;
	}
	free(x);
	free(y);
	return rc;
}

cJSON *model_diff(const char *a, const char *b, struct err *e)
{
	cJSON *out = cJSON_CreateObject();
	struct tensors x = { 0 }, y = { 0 };
	struct tally t = { 0 };
	int rc = -1;

	cJSON_AddStringToObject(out, "kind", "models");
	if (add_fields(out, a, b, "config.json", e) == 0 &&
	    tensors_open_folder(&x, a, "model", e) == 0 &&
	    tensors_open_folder(&y, b, "model", e) == 0)
		rc = compare_models(&t, &x, &y, e);
	if (rc == 0)
		add_tally(out, &t, "tensors");
	tally_release(&t);
	tensors_close(&x);
	tensors_close(&y);
	if (rc == 0)
		return out;
	cJSON_Delete(out);
	return NULL;
}

/* ---- adapters ---- */

/* <B A, D C> = sum over i, k of (Bt D)[i, k] (A Ct)[i, k]: nothing larger than rank x rank. */
static double inner(const struct lora_part *p, const struct lora_part *q, int out, int in)
{
	double sum = 0;

	for (int i = 0; i < p->rank; i++)
		for (int k = 0; k < q->rank; k++) {
			double b = 0, a = 0;
			for (int r = 0; r < out; r++)
				b += (double)p->b[(size_t)r * (size_t)p->rank + (size_t)i] *
				     q->b[(size_t)r * (size_t)q->rank + (size_t)k];
			for (int c = 0; c < in; c++)
				a += (double)p->a[(size_t)i * (size_t)in + (size_t)c] *
				     q->a[(size_t)k * (size_t)in + (size_t)c];
			sum += a * b;
		}
	return sum * p->scale * q->scale;
}

static bool equal_parts(const struct lora_part *p, const struct lora_part *q, int out, int in)
{
	return p->rank == q->rank && p->scale == q->scale &&
	       memcmp(p->a, q->a, (size_t)p->rank * (size_t)in * sizeof(float)) == 0 &&
	       memcmp(p->b, q->b, (size_t)p->rank * (size_t)out * sizeof(float)) == 0;
}

static int compare_part(struct tally *t, const char *name, const struct lora_part *p,
                        const struct lora_part *q, int out, int in, struct err *e)
{
	double a, b, both, between;
	cJSON *o;

	t->all++;
	if (equal_parts(p, q, out, in)) {
		t->equal++;
		return 0;
	}
	o = difference(t, name, p->rank > 0, q->rank > 0, "values");
	a = inner(p, p, out, in);
	b = inner(q, q, out, in);
	both = inner(p, q, out, in);
	between = fmax(a + b - 2 * both, 0);
	cJSON_AddNumberToObject(o, "rank_a", p->rank);
	cJSON_AddNumberToObject(o, "rank_b", q->rank);
	json_add_figure(o, "norm_a", sqrt(a));
	json_add_figure(o, "norm_b", sqrt(b));
	json_add_figure(o, "norm_difference", sqrt(between));
	json_add_figure(o, "relative", p->rank && q->rank ? sqrt(between) / sqrt(a) : NAN);
	json_add_figure(o, "cosine", both / sqrt(a) / sqrt(b));
	return keep(t, o, e);
}

static int compare_adapters(struct tally *t, const struct adapter *a, const struct adapter *b,
                            const struct model_config *c, struct err *e)
{
	char name[96];
	int out, in;

	for (int l = 0; l < c->layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a->part[l][m], *q = &b->part[l][m];
			if ((p->rank == 0 && q->rank == 0) || !module_shape(c, l, m, &out, &in))
				continue;
			snprintf(name, sizeof(name), "layers.%d.%s", l, module_path(m));
			if (compare_part(t, name, p, q, out, in, e) < 0)
				return -1;
		}
	return 0;
}

cJSON *adapter_diff(const char *a, const char *b, const struct model_config *c, struct err *e)
{
	cJSON *out = cJSON_CreateObject();
	struct adapter x = { 0 }, y = { 0 };
	struct tally t = { 0 };
	int rc = -1;

	cJSON_AddStringToObject(out, "kind", "adapters");
	if (add_fields(out, a, b, "adapter_config.json", e) == 0 &&
	    adapter_open(&x, a, c, e) == 0 && adapter_open(&y, b, c, e) == 0)
		rc = compare_adapters(&t, &x, &y, c, e);
	if (rc == 0)
		add_tally(out, &t, "modules");
	tally_release(&t);
	adapter_close(&x);
	adapter_close(&y);
	if (rc == 0)
		return out;
	cJSON_Delete(out);
	return NULL;
}
