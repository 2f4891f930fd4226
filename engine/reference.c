/*
 * References are data from elsewhere, and so are their bytes on the way to the scorer: every length
 * is checked before it is used, every number before it is believed.
 */
#include "engine/figures.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define JSON_MAX   (1u << 20)
#define PNG_MAX    (4u << 20)
#define COORD_MAX  1e6 /* a normalized shape is 1000 high; a flat one may be wide, but not that */
#define MAGIC      "CFref01\n"
#define MAGIC_SIZE 8

void reference_release(struct reference_set *r)
{
	for (int i = 0; i < REFERENCE_MAX; i++) {
		free(r->ref[i].points);
		free(r->ref[i].masks);
		point_tree_release(&r->ref[i].tree);
	}
	*r = (struct reference_set){ 0 };
}

bool reference_is_full(const struct reference_set *r)
{
	for (int i = 0; i < r->n; i++)
		if (!r->ref[i].points || !r->ref[i].masks)
			return false;
	return r->n > 0;
}

void reference_from_box(struct reference_set *out, const double box_over_height[3])
{
	*out = (struct reference_set){ .n = 1 };
	snprintf(out->ref[0].name, sizeof(out->ref[0].name), "glb");
	out->ref[0].weight = 1;
	for (int c = 0; c < 3; c++)
		out->ref[0].box[c] = 1000.0 * box_over_height[c];
}

static int check_box(const double box[3], struct err *e)
{
	static const char axis[] = "xyz";

	for (int c = 0; c < 3; c++)
		if (!(box[c] >= 0 && box[c] <= COORD_MAX))
			return err_set(e, ERR_INPUT, "%clen: a length from 0 to %g wanted, got %g",
			               axis[c], COORD_MAX, box[c]);
	if (box[2] <= 0)
		return err_set(e, ERR_INPUT, "zlen: a height above 0 wanted, got %g", box[2]);
	return 0;
}

static int check_weight(double w, struct err *e)
{
	if (!(w > 0 && w <= 1000))
		return err_set(e, ERR_INPUT, "weight: a number above 0 wanted, got %g", w);
	return 0;
}

static int check_points(const float *p, int n, struct err *e)
{
	for (int i = 0; i < 3 * n; i++)
		if (!(fabsf(p[i]) <= (float)COORD_MAX))
			return err_set(e, ERR_INPUT,
			               "point %d: coordinates from -%g to %g wanted, got %g", i / 3,
			               COORD_MAX, COORD_MAX, (double)p[i]);
	return 0;
}

/* Weights sum to 1. */
static void renormalize(struct reference_set *r)
{
	double sum = 0;

	for (int i = 0; i < r->n; i++)
		sum += r->ref[i].weight;
	for (int i = 0; i < r->n; i++)
		r->ref[i].weight /= sum;
}

static int read_description(struct reference *r, const char *dir, struct err *e)
{
	static const char *const lengths[3] = { "xlen", "ylen", "zlen" };
	struct buf path = { 0 }, text = { 0 };
	cJSON *o = NULL;
	int rc = -1;

	buf_printf(&path, "%s/reference.json", dir);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory for a path");
		goto out;
	}
	if (buf_read_file(&text, buf_str(&path), JSON_MAX, e) < 0)
		goto out;
	o = json_parse(buf_str(&text), text.len, e);
	if (!o)
		goto wrap;
	const cJSON *box = cJSON_GetObjectItemCaseSensitive(o, "normalized_bbox");
	if (!cJSON_IsObject(box)) {
		err_set(e, ERR_INPUT, "normalized_bbox: an object with xlen, ylen, zlen wanted");
		goto wrap;
	}
	for (int c = 0; c < 3; c++)
		if (json_get_number(box, lengths[c], &r->box[c], e) < 0) {
			err_wrap(e, "normalized_bbox");
			goto wrap;
		}
	if (check_box(r->box, e) < 0 || json_get_number(o, "weight", &r->weight, e) < 0 ||
	    check_weight(r->weight, e) < 0)
		goto wrap;
	if (cJSON_GetObjectItemCaseSensitive(o, "name")) {
		const char *name;
		if (json_get_string(o, "name", &name, e) < 0)
			goto wrap;
		if (strlen(name) == 0 || strlen(name) >= sizeof(r->name)) {
			err_set(e, ERR_INPUT, "name: 1 to %zu bytes wanted, got %zu",
			        sizeof(r->name) - 1, strlen(name));
			goto wrap;
		}
		snprintf(r->name, sizeof(r->name), "%s", name);
	}
	rc = 0;
	goto out;
wrap:
	err_wrap(e, "%s", buf_str(&path));
out:
	cJSON_Delete(o);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static int read_points(struct reference *r, const char *dir, struct err *e)
{
	const size_t one = 3 * sizeof(float);
	struct buf path = { 0 }, data = { 0 };
	int rc = -1;

	buf_printf(&path, "%s/points.f32", dir);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory for a path");
		goto out;
	}
	if (buf_read_file(&data, buf_str(&path), REFERENCE_POINTS_MAX * one, e) < 0)
		goto out;
	if (data.len == 0 || data.len % one != 0) {
		err_set(e, ERR_INPUT,
		        "%s: points of %zu bytes each wanted (1 to %d of them), got %zu bytes",
		        buf_str(&path), one, REFERENCE_POINTS_MAX, data.len);
		goto out;
	}
	r->points = malloc(data.len);
	if (!r->points) {
		err_set(e, ERR_MEM, "no memory for %zu bytes of points", data.len);
		goto out;
	}
	memcpy(r->points, data.data, data.len);
	r->n_points = (int)(data.len / one);
	if (check_points(r->points, r->n_points, e) < 0) {
		err_wrap(e, "%s", buf_str(&path));
		goto out;
	}
	rc = point_tree_build(&r->tree, r->points, r->n_points, e);
out:
	buf_release(&data);
	buf_release(&path);
	return rc;
}

/* libpng's simplified reader keeps its longjmp to itself and reports errors as values. */
static int mask_from_png(struct mask *out, const void *bytes, size_t len, struct err *e)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	unsigned char *grey = NULL;
	int rc = -1;

	if (!png_image_begin_read_from_memory(&image, bytes, len)) {
		err_set(e, ERR_INPUT, "not a PNG picture: %s", image.message);
		goto out;
	}
	if (image.width != MASK_SIZE || image.height != MASK_SIZE ||
	    image.format != PNG_FORMAT_GRAY) {
		err_set(e, ERR_INPUT, "an 8-bit grey picture of %d x %d wanted, got %u x %u%s",
		        MASK_SIZE, MASK_SIZE, image.width, image.height,
		        image.format == PNG_FORMAT_GRAY ? "" : " in another format");
		goto out;
	}
	grey = calloc(MASK_SIZE, MASK_SIZE);
	if (!grey) {
		err_set(e, ERR_MEM, "no memory for a picture");
		goto out;
	}
	if (!png_image_finish_read(&image, NULL, grey, MASK_SIZE, NULL)) {
		err_set(e, ERR_INPUT, "damaged PNG picture: %s", image.message);
		goto out;
	}
	memset(out, 0, sizeof(*out));
	for (int y = 0; y < MASK_SIZE; y++)
		for (int x = 0; x < MASK_SIZE; x++)
			if (grey[y * MASK_SIZE + x])
				out->row[y][x / 64] |= (uint64_t)1 << (x % 64);
	rc = 0;
out:
	free(grey);
	png_image_free(&image);
	return rc;
}

static int read_masks(struct reference *r, const char *dir, struct err *e)
{
	struct buf path = { 0 }, data = { 0 };
	int rc = -1;

	r->masks = malloc(VIEW_COUNT * sizeof(*r->masks));
	if (!r->masks) {
		err_set(e, ERR_MEM, "no memory for masks");
		goto out;
	}
	for (int v = 0; v < VIEW_COUNT; v++) {
		buf_clear(&path);
		buf_clear(&data);
		buf_printf(&path, "%s/%s.png", dir, view_name(v));
		if (buf_failed(&path)) {
			err_set(e, ERR_MEM, "no memory for a path");
			goto out;
		}
		if (buf_read_file(&data, buf_str(&path), PNG_MAX, e) < 0)
			goto out;
		if (mask_from_png(&r->masks[v], data.data, data.len, e) < 0) {
			err_wrap(e, "%s", buf_str(&path));
			goto out;
		}
	}
	rc = 0;
out:
	buf_release(&data);
	buf_release(&path);
	return rc;
}

static int read_reference(struct reference_set *set, const char *dir, const char *name,
                          struct err *e)
{
	struct reference *r = &set->ref[set->n++]; /* counted at once: released with the set */

	snprintf(r->name, sizeof(r->name), "%s", name);
	if (read_description(r, dir, e) < 0 || read_points(r, dir, e) < 0)
		return -1;
	return read_masks(r, dir, e);
}

static bool is_there(const char *dir, const char *name)
{
	struct buf path = { 0 };
	struct stat st;

	buf_printf(&path, "%s/%s", dir, name);
	bool there = !buf_failed(&path) && stat(buf_str(&path), &st) == 0;
	buf_release(&path);
	return there;
}

int reference_load(struct reference_set *out, const char *dir, struct err *e)
{
	static const char *const parts[] = { "ideal", "glb" }; /* in the order of the sum */
	struct reference_set set = { 0 };
	struct stat st;
	int rc = 0;

	if (stat(dir, &st) < 0)
		return err_errno(e, ERR_INPUT, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INPUT, "%s: a reference is a directory", dir);
	bool single = is_there(dir, "reference.json");
	if (single)
		rc = read_reference(&set, dir, "glb", e);
	for (size_t i = 0; !single && rc == 0 && i < sizeof(parts) / sizeof(*parts); i++) {
		struct buf path = { 0 };
		if (!is_there(dir, parts[i]))
			continue;
		buf_printf(&path, "%s/%s", dir, parts[i]);
		rc = buf_failed(&path) ? err_set(e, ERR_MEM, "no memory for a path")
		                       : read_reference(&set, buf_str(&path), parts[i], e);
		buf_release(&path);
	}
	if (rc == 0 && set.n == 0)
		rc = err_set(e, ERR_INPUT,
		             "%s: no reference here: a file reference.json, or folders ideal "
		             "or glb that hold one, wanted",
		             dir);
	if (rc < 0) {
		reference_release(&set);
		return -1;
	}
	renormalize(&set);
	*out = set;
	return 0;
}

/*
 * The bytes: MAGIC, u32 n, then for each: name[32], f64 weight, f64 box[3], u32 n_points, u32
 * masks (0 or 1), the points, the masks' words. In the byte order of the machine: both ends are on
 * it.
 */
struct record {
	char name[32];
	double weight, box[3];
	uint32_t n_points, masks;
};

int reference_serialize(const struct reference_set *r, struct buf *out, struct err *e)
{
	uint32_t n = (uint32_t)r->n;

	buf_add(out, MAGIC, MAGIC_SIZE);
	buf_add(out, &n, sizeof(n));
	for (int i = 0; i < r->n; i++) {
		const struct reference *f = &r->ref[i];
		struct record h = { .weight = f->weight,
			            .n_points = f->points ? (uint32_t)f->n_points : 0,
			            .masks = f->masks != NULL };
		memcpy(h.name, f->name, sizeof(h.name));
		memcpy(h.box, f->box, sizeof(h.box));
		buf_add(out, &h, sizeof(h));
		if (h.n_points)
			buf_add(out, f->points, 3 * sizeof(float) * h.n_points);
		if (h.masks)
			buf_add(out, f->masks, VIEW_COUNT * sizeof(*f->masks));
	}
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "no memory for a reference");
	return 0;
}

/* What is left to read; take() fails when there is less than asked for. */
struct cursor {
	const unsigned char *p;
	size_t left;
};

static int take(struct cursor *c, void *out, size_t n, struct err *e)
{
	if (c->left < n)
		return err_set(e, ERR_INPUT, "reference: %zu bytes wanted, %zu left", n, c->left);
	memcpy(out, c->p, n);
	c->p += n;
	c->left -= n;
	return 0;
}

static int parse_one(struct reference *r, struct cursor *c, struct err *e)
{
	struct record h;

	if (take(c, &h, sizeof(h), e) < 0)
		return -1;
	if (h.name[0] == 0 || !memchr(h.name, 0, sizeof(h.name)))
		return err_set(e, ERR_INPUT, "reference: a name of 1 to 31 bytes wanted");
	memcpy(r->name, h.name, sizeof(r->name));
	memcpy(r->box, h.box, sizeof(r->box));
	r->weight = h.weight;
	if (check_weight(h.weight, e) < 0 || check_box(h.box, e) < 0)
		return err_wrap(e, "reference %s", r->name);
	if (h.n_points > REFERENCE_POINTS_MAX || h.masks > 1)
		return err_set(e, ERR_INPUT, "reference %s: %u points, %u mask sets", r->name,
		               h.n_points, h.masks);
	if (h.n_points) {
		size_t bytes = 3 * sizeof(float) * h.n_points;
		if (c->left < bytes)
			return err_set(e, ERR_INPUT, "reference %s: %zu bytes of points wanted",
			               r->name, bytes);
		r->points = malloc(bytes);
		if (!r->points)
			return err_set(e, ERR_MEM, "no memory for %u points", h.n_points);
		r->n_points = (int)h.n_points;
		if (take(c, r->points, bytes, e) < 0 || check_points(r->points, r->n_points, e) < 0)
			return err_wrap(e, "reference %s", r->name);
		if (point_tree_build(&r->tree, r->points, r->n_points, e) < 0)
			return -1;
	}
	if (h.masks) {
		r->masks = malloc(VIEW_COUNT * sizeof(*r->masks));
		if (!r->masks)
			return err_set(e, ERR_MEM, "no memory for masks");
		if (take(c, r->masks, VIEW_COUNT * sizeof(*r->masks), e) < 0)
			return err_wrap(e, "reference %s", r->name);
	}
	return 0;
}

int reference_parse(struct reference_set *out, const void *bytes, size_t len, struct err *e)
{
	struct reference_set set = { 0 };
	struct cursor c = { bytes, len };
	char magic[MAGIC_SIZE];
	uint32_t n = 0;

	if (take(&c, magic, sizeof(magic), e) < 0)
		return -1;
	if (memcmp(magic, MAGIC, sizeof(magic)) != 0)
		return err_set(e, ERR_INPUT, "reference: these bytes are none of ours");
	if (take(&c, &n, sizeof(n), e) < 0)
		return -1;
	if (n < 1 || n > REFERENCE_MAX)
		return err_set(e, ERR_INPUT, "reference: 1 to %d of them wanted, got %u",
		               REFERENCE_MAX, n);
	for (uint32_t i = 0; i < n; i++) {
		set.n = (int)i + 1;
		if (parse_one(&set.ref[i], &c, e) < 0)
			goto fail;
	}
	if (c.left) {
		err_set(e, ERR_INPUT, "reference: %zu bytes too many", c.left);
		goto fail;
	}
	*out = set;
	return 0;
fail:
	reference_release(&set);
	return -1;
}
