#include "engine/glb.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "src/base/json.h"

#define GLB_MAGIC  0x46546c67u /* "glTF" */
#define CHUNK_JSON 0x4e4f534au
#define CHUNK_BIN  0x004e4942u
#define DEPTH_MAX  64
#define VISITS_MAX 1000000 /* nodes met on the walk: a node used twice is met twice */
#define MM_PER_M   1000.0

enum component {
	COMPONENT_U8 = 5121,
	COMPONENT_U16 = 5123,
	COMPONENT_U32 = 5125,
	COMPONENT_F32 = 5126
};

struct matrix {
	double m[16]; /* column by column, as glTF has it */
};

struct reader {
	const cJSON *accessors, *views, *buffers, *meshes, *nodes;
	const unsigned char *bin;
	size_t bin_len;
	struct soup *out;
	long triangles_max;
	long visits;
	struct err *e;
};

/* One accessor, checked against its bytes: element i lies at p + i * stride. */
struct span {
	const unsigned char *p;
	size_t n, stride;
	int component;
};

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(struct buf *b, uint32_t v)
{
	char p[4] = { (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24) };

	buf_add(b, p, 4);
}

static int bad(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int bad(struct reader *r, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_INPUT, "GLB: %s", text);
}

static const cJSON *member(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* An integer of @o in 0..max, or @def when it is not there (-1: it must be). */
static int whole(struct reader *r, const cJSON *o, const char *key, double max, double def,
                 const char *where, double *out)
{
	const cJSON *v = member(o, key);

	if (!v && def >= 0) {
		*out = def;
		return 0;
	}
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0) || v->valuedouble > max ||
	    v->valuedouble != floor(v->valuedouble))
		return bad(r, "%s: %s: a whole number from 0 to %.0f was expected", where, key,
		           max);
	*out = v->valuedouble;
	return 0;
}

static const cJSON *element(struct reader *r, const cJSON *array, double i, const char *what,
                            const char *where)
{
	int n = array ? cJSON_GetArraySize(array) : 0;

	if (i >= n || i < 0) {
		bad(r, "%s: names %s %.0f, there are %d", where, what, i, n);
		return NULL;
	}
	/* cJSON arrays are lists: an array of a million nodes is walked a million times at most
	 * VISITS_MAX, which the time limit of the child bounds */
	const cJSON *v = cJSON_GetArrayItem(array, (int)i);
	if (!cJSON_IsObject(v)) {
		bad(r, "%s %.0f: an object was expected", what, i);
		return NULL;
	}
	return v;
}

static int get_span(struct reader *r, double index, bool position, struct span *out,
                    const char *where)
{
	const double big = 4294967295.0;
	char here[64];
	double component, count, view_index, at, view_at, view_len, stride, buffer;

	const cJSON *a = element(r, r->accessors, index, "accessor", where);
	if (!a)
		return -1;
	snprintf(here, sizeof(here), "accessor %.0f", index);
	if (member(a, "sparse"))
		return bad(r, "%s: sparse accessors are not read; export without them", here);
	if (whole(r, a, "componentType", 65535, -1, here, &component) < 0 ||
	    whole(r, a, "count", big, -1, here, &count) < 0 ||
	    whole(r, a, "byteOffset", big, 0, here, &at) < 0)
		return -1;
	const char *type = json_string_or(a, "type", "");
	size_t unit;
	if (position) {
		if (strcmp(type, "VEC3") != 0 || component != COMPONENT_F32)
			return bad(
				r,
				"%s: POSITION as %s of componentType %.0f; only VEC3 of float (5126) is read: export without quantization",
				here, *type ? type : "nothing", component);
		unit = 12;
	} else {
		if (strcmp(type, "SCALAR") != 0 ||
		    (component != COMPONENT_U8 && component != COMPONENT_U16 &&
		     component != COMPONENT_U32))
			return bad(
				r,
				"%s: indices as %s of componentType %.0f; SCALAR of 5121, 5123 or 5125 was expected",
				here, *type ? type : "nothing", component);
		unit = component == COMPONENT_U8 ? 1 : component == COMPONENT_U16 ? 2 : 4;
	}
	*out = (struct span){ .n = (size_t)count, .component = (int)component };
	if (!member(a, "bufferView"))
		return bad(
			r,
			"%s: has no bufferView (compressed or empty); export without compression",
			here);
	if (whole(r, a, "bufferView", big, -1, here, &view_index) < 0)
		return -1;
	const cJSON *v = element(r, r->views, view_index, "bufferView", here);
	if (!v)
		return -1;
	snprintf(here, sizeof(here), "bufferView %.0f", view_index);
	if (whole(r, v, "buffer", big, -1, here, &buffer) < 0 ||
	    whole(r, v, "byteOffset", big, 0, here, &view_at) < 0 ||
	    whole(r, v, "byteLength", big, -1, here, &view_len) < 0 ||
	    whole(r, v, "byteStride", 252, 0, here, &stride) < 0)
		return -1;
	const cJSON *b = element(r, r->buffers, buffer, "buffer", here);
	if (!b)
		return -1;
	if (buffer != 0 || member(b, "uri"))
		return bad(
			r,
			"%s: lies in buffer %.0f outside this file; pack everything into one GLB",
			here, buffer);
	if (stride != 0 && stride < (double)unit)
		return bad(r, "%s: byteStride %.0f is less than an element's %zu bytes", here,
		           stride, unit);
	/* doubles hold these sums exactly: each is under 2^42 */
	if (view_at + view_len > (double)r->bin_len)
		return bad(
			r,
			"%s: bytes %.0f to %.0f of a BIN chunk of %zu; the file is cut off or damaged",
			here, view_at, view_at + view_len, r->bin_len);
	out->stride = stride != 0 ? (size_t)stride : unit;
	double needs = count > 0 ? at + (count - 1) * (double)out->stride + (double)unit : 0;
	if (needs > view_len)
		return bad(r, "accessor %.0f: needs %.0f bytes of bufferView %.0f, which has %.0f",
		           index, needs, view_index, view_len);
	out->p = count > 0 ? r->bin + (size_t)view_at + (size_t)at : r->bin;
	return 0;
}

static size_t get_index(const struct span *s, size_t i)
{
	const unsigned char *p = s->p + i * s->stride;

	switch (s->component) {
	case COMPONENT_U8:
		return p[0];
	case COMPONENT_U16:
		return (size_t)p[0] | (size_t)p[1] << 8;
	default:
		return le32(p);
	}
}

static int get_corner(struct reader *r, const struct span *s, size_t i, const struct matrix *to,
                      float out[3], const char *where)
{
	double p[3], q[3];

	for (size_t k = 0; k < 3; k++) {
		uint32_t u = le32(s->p + i * s->stride + 4 * k);
		float f;
		memcpy(&f, &u, 4);
		p[k] = f;
	}
	for (int k = 0; k < 3; k++)
		q[k] = to->m[k] * p[0] + to->m[4 + k] * p[1] + to->m[8 + k] * p[2] + to->m[12 + k];
	out[0] = (float)(MM_PER_M * q[0]);
	out[1] = (float)(-MM_PER_M * q[2]);
	out[2] = (float)(MM_PER_M * q[1]);
	if (!isfinite(out[0]) || !isfinite(out[1]) || !isfinite(out[2]))
		return bad(r, "%s: position %zu is NaN, infinite or too large", where, i);
	return 0;
}

static double determinant(const struct matrix *a)
{
	const double *m = a->m;

	return m[0] * (m[5] * m[10] - m[6] * m[9]) - m[4] * (m[1] * m[10] - m[2] * m[9]) +
	       m[8] * (m[1] * m[6] - m[2] * m[5]);
}

static int read_primitive(struct reader *r, const cJSON *p, const struct matrix *to,
                          const char *where)
{
	struct span position, index = { 0 };
	double mode, at;

	if (!cJSON_IsObject(p))
		return bad(r, "%s: an object was expected", where);
	if (whole(r, p, "mode", 6, 4, where, &mode) < 0)
		return -1;
	if (mode < 4)
		return 0; /* points and lines have no surface */
	if (mode != 4)
		return bad(r, "%s: mode %.0f (a strip or fan); export plain triangles", where,
		           mode);
	const cJSON *extensions = member(p, "extensions");
	if (member(extensions, "KHR_draco_mesh_compression"))
		return bad(r, "%s: is compressed (Draco); export without compression", where);
	const cJSON *attributes = member(p, "attributes");
	if (!cJSON_IsObject(attributes))
		return bad(r, "%s: attributes: an object was expected", where);
	if (!member(attributes, "POSITION"))
		return 0; /* the specification lets a viewer skip it */
	if (whole(r, attributes, "POSITION", 4294967295.0, -1, where, &at) < 0 ||
	    get_span(r, at, true, &position, where) < 0)
		return -1;
	bool indexed = member(p, "indices") != NULL;
	if (indexed && (whole(r, p, "indices", 4294967295.0, -1, where, &at) < 0 ||
	                get_span(r, at, false, &index, where) < 0))
		return -1;
	size_t n = indexed ? index.n : position.n;
	if (n % 3)
		return bad(r, "%s: %zu corners are no whole number of triangles", where, n);
	if (n / 3 > (size_t)r->triangles_max - r->out->n_tri)
		return bad(r, "%s: more than %ld triangles in all; use a coarser mesh", where,
		           r->triangles_max);
	bool mirrored = determinant(to) < 0; /* the specification: then the winding turns */
	for (size_t t = 0; t < n; t += 3) {
		float corners[9];
		for (size_t c = 0; c < 3; c++) {
			size_t i = t + (mirrored && c ? 3 - c : c);
			size_t v = indexed ? get_index(&index, i) : i;
			if (v >= position.n)
				return bad(r, "%s: index %zu is %zu, there are %zu positions",
				           where, i, v, position.n);
			if (get_corner(r, &position, v, to, corners + 3 * c, where) < 0)
				return -1;
		}
		if (soup_add(r->out, corners, r->e) < 0)
			return -1;
	}
	return 0;
}

static int read_mesh(struct reader *r, double index, const struct matrix *to, const char *where)
{
	const cJSON *m = element(r, r->meshes, index, "mesh", where);
	const cJSON *p;
	int i = 0;

	if (!m)
		return -1;
	const cJSON *primitives = member(m, "primitives");
	if (!cJSON_IsArray(primitives))
		return bad(r, "mesh %.0f: primitives: an array was expected", index);
	cJSON_ArrayForEach(p, primitives)
	{
		char here[64];
		snprintf(here, sizeof(here), "mesh %.0f, primitive %d", index, i++);
		if (read_primitive(r, p, to, here) < 0)
			return -1;
	}
	return 0;
}

static const struct matrix identity = { { 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1 } };

static struct matrix times(const struct matrix *a, const struct matrix *b)
{
	struct matrix c;

	for (int col = 0; col < 4; col++)
		for (int row = 0; row < 4; row++) {
			double sum = 0;
			for (int k = 0; k < 4; k++)
				sum += a->m[4 * k + row] * b->m[4 * col + k];
			c.m[4 * col + row] = sum;
		}
	return c;
}

static int numbers(struct reader *r, const cJSON *o, const char *key, double *out, int n,
                   const char *where)
{
	struct err e = { 0 };

	if (!member(o, key))
		return 0;
	if (json_get_numbers(o, key, out, n, &e) < 0)
		return bad(r, "%s: %.200s", where, e.text);
	for (int i = 0; i < n; i++)
		if (!isfinite(out[i]))
			return bad(r, "%s: %s: finite numbers were expected", where, key);
	return 1;
}

static int local_matrix(struct reader *r, const cJSON *node, struct matrix *out, const char *where)
{
	double t[3] = { 0, 0, 0 }, q[4] = { 0, 0, 0, 1 }, s[3] = { 1, 1, 1 };
	int rc;

	*out = identity;
	rc = numbers(r, node, "matrix", out->m, 16, where);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (numbers(r, node, "translation", t, 3, where) < 0 ||
	    numbers(r, node, "rotation", q, 4, where) < 0 ||
	    numbers(r, node, "scale", s, 3, where) < 0)
		return -1;
	double x = q[0], y = q[1], z = q[2], w = q[3];
	double turn[9] = {
		1 - 2 * (y * y + z * z), 2 * (x * y + z * w),     2 * (x * z - y * w),
		2 * (x * y - z * w),     1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
		2 * (x * z + y * w),     2 * (y * z - x * w),     1 - 2 * (x * x + y * y)
	};
	for (int col = 0; col < 3; col++)
		for (int row = 0; row < 3; row++)
			out->m[4 * col + row] = turn[3 * col + row] * s[col];
	for (int row = 0; row < 3; row++)
		out->m[12 + row] = t[row];
	return 0;
}

/* A node that is its own descendant ends at DEPTH_MAX. */
static int read_node(struct reader *r, double index, const struct matrix *above, int depth,
                     const char *from)
{
	char where[64];
	struct matrix local;
	double mesh;

	const cJSON *node = element(r, r->nodes, index, "node", from);
	if (!node)
		return -1;
	snprintf(where, sizeof(where), "node %.0f", index);
	if (depth > DEPTH_MAX)
		return bad(r, "%s: lies deeper than %d levels, or is its own descendant", where,
		           DEPTH_MAX);
	if (++r->visits > VISITS_MAX)
		return bad(r, "%s: more than %d nodes are placed; merge the parts", where,
		           VISITS_MAX);
	if (local_matrix(r, node, &local, where) < 0)
		return -1;
	struct matrix to = times(above, &local);
	if (member(node, "mesh")) {
		if (whole(r, node, "mesh", 4294967295.0, -1, where, &mesh) < 0 ||
		    read_mesh(r, mesh, &to, where) < 0)
			return -1;
	}
	const cJSON *children = member(node, "children"), *c;
	if (children && !cJSON_IsArray(children))
		return bad(r, "%s: children: an array was expected", where);
	cJSON_ArrayForEach(c, children)
	{
		if (!cJSON_IsNumber(c) || c->valuedouble != floor(c->valuedouble))
			return bad(r, "%s: children: whole numbers were expected", where);
		if (read_node(r, c->valuedouble, &to, depth + 1, where) < 0)
			return -1;
	}
	return 0;
}

static int array_of(struct reader *r, const cJSON *root, const char *key, const cJSON **out)
{
	*out = member(root, key);
	if (*out && !cJSON_IsArray(*out))
		return bad(r, "%s: an array was expected", key);
	return 0;
}

/* Places the nodes of the scene; of all roots when there is no scene; every mesh as it is when
 * there is no node. */
static int read_scene(struct reader *r, const cJSON *root)
{
	const cJSON *scenes, *roots = NULL, *c;
	double which;

	if (array_of(r, root, "accessors", &r->accessors) < 0 ||
	    array_of(r, root, "bufferViews", &r->views) < 0 ||
	    array_of(r, root, "buffers", &r->buffers) < 0 ||
	    array_of(r, root, "meshes", &r->meshes) < 0 ||
	    array_of(r, root, "nodes", &r->nodes) < 0 || array_of(r, root, "scenes", &scenes) < 0 ||
	    whole(r, root, "scene", 4294967295.0, 0, "scene", &which) < 0)
		return -1;
	if (scenes && cJSON_GetArraySize(scenes) > 0) {
		const cJSON *scene = element(r, scenes, which, "scene", "scene");
		if (!scene)
			return -1;
		roots = member(scene, "nodes");
		if (roots && !cJSON_IsArray(roots))
			return bad(r, "scene %.0f: nodes: an array was expected", which);
		cJSON_ArrayForEach(c, roots)
		{
			if (!cJSON_IsNumber(c) || c->valuedouble != floor(c->valuedouble))
				return bad(r, "scene %.0f: nodes: whole numbers were expected",
				           which);
			if (read_node(r, c->valuedouble, &identity, 0, "scene") < 0)
				return -1;
		}
		return 0;
	}
	int n = r->nodes ? cJSON_GetArraySize(r->nodes) : 0;
	if (n == 0) {
		int meshes = r->meshes ? cJSON_GetArraySize(r->meshes) : 0;
		for (int i = 0; i < meshes; i++)
			if (read_mesh(r, i, &identity, "file") < 0)
				return -1;
		return 0;
	}
	/* a root is a node that is nobody's child */
	struct buf is_child = { 0 };
	char *mark = buf_room(&is_child, (size_t)n);
	if (!mark)
		return err_set(r->e, ERR_MEM, "GLB: out of memory");
	memset(mark, 0, (size_t)n);
	const cJSON *node;
	cJSON_ArrayForEach(node, r->nodes)
	{
		cJSON_ArrayForEach(c, member(node, "children"))
		{
			if (cJSON_IsNumber(c) && c->valuedouble >= 0 && c->valuedouble < n)
				mark[(int)c->valuedouble] = 1;
		}
	}
	int rc = 0;
	for (int i = 0; i < n && rc == 0; i++)
		if (!mark[i])
			rc = read_node(r, i, &identity, 0, "file");
	buf_release(&is_child);
	return rc;
}

static int check_version(struct reader *r, const cJSON *root)
{
	const cJSON *asset = member(root, "asset"), *need;

	if (strncmp(json_string_or(asset, "version", ""), "2.", 2) != 0)
		return bad(r, "asset.version: 2.0 was expected, got '%.20s'; export as glTF 2.0",
		           json_string_or(asset, "version", ""));
	cJSON_ArrayForEach(need, member(root, "extensionsRequired"))
	{
		const char *name = cJSON_IsString(need) ? need->valuestring : "";
		/* those that only colour, or that are refused where they are used */
		if (strncmp(name, "KHR_materials_", 14) == 0 ||
		    strncmp(name, "KHR_texture_", 12) == 0 ||
		    strcmp(name, "KHR_lights_punctual") == 0)
			continue;
		return bad(r, "extensionsRequired: %.80s is not read; export without it", name);
	}
	return 0;
}

int glb_read(struct soup *out, const void *bytes, size_t len, long triangles_max, struct err *e)
{
	const unsigned char *b = bytes;
	struct soup s = { 0 };
	struct reader r = { .out = &s, .triangles_max = triangles_max, .e = e };
	size_t at = 12, json_at = 0, json_len = 0;
	cJSON *root = NULL;
	int rc = -1, chunk = 0;

	if (len < 12 || le32(b) != GLB_MAGIC)
		return bad(
			&r,
			"byte 0: does not begin with 'glTF'; the file is cut off or no GLB (a .gltf must be packed first)");
	if (le32(b + 4) != 2)
		return bad(&r, "byte 4: version %u, only 2 is read", le32(b + 4));
	if (le32(b + 8) > len || le32(b + 8) < 20)
		return bad(&r, "byte 8: says %u bytes, the file has %zu; it is cut off or damaged",
		           le32(b + 8), len);
	len = le32(b + 8);
	for (; at < len; chunk++) {
		if (len - at < 8)
			return bad(&r, "byte %zu: a chunk header was expected, the file ends", at);
		size_t n = le32(b + at);
		uint32_t type = le32(b + at + 4);
		at += 8;
		if (n > len - at)
			return bad(
				&r,
				"byte %zu: a chunk of %zu bytes, %zu are left; the file is damaged",
				at - 8, n, len - at);
		if (chunk == 0 && type != CHUNK_JSON)
			return bad(&r, "byte %zu: the first chunk must be JSON", at - 4);
		if (chunk == 0) {
			json_at = at;
			json_len = n;
		} else if (type == CHUNK_BIN && !r.bin) {
			r.bin = b + at;
			r.bin_len = n;
		}
		at += n;
	}
	root = json_parse((const char *)b + json_at, json_len, e);
	if (!root)
		return err_wrap(e, "GLB: JSON chunk at byte %zu", json_at);
	if (!cJSON_IsObject(root))
		bad(&r, "JSON chunk: an object was expected");
	else if (check_version(&r, root) == 0 && read_scene(&r, root) == 0)
		rc = 0;
	cJSON_Delete(root);
	if (rc < 0) {
		soup_release(&s);
		return -1;
	}
	*out = s;
	return 0;
}

int glb_write(struct buf *out, const struct soup *s, struct err *e)
{
	float lo[3] = { INFINITY, INFINITY, INFINITY }, hi[3] = { -INFINITY, -INFINITY, -INFINITY };
	struct buf json = { 0 }, bin = { 0 };
	size_t n = s->n_tri * 3;
	int rc = -1;

	if (n == 0)
		return err_set(e, ERR_INPUT, "GLB: no triangle to write");
	if (s->n_tri > UINT32_MAX / 36 - 4096)
		return err_set(e, ERR_INPUT, "GLB: %zu triangles do not fit into its 4 GiB",
		               s->n_tri);
	if (!buf_room(&bin, n * 12)) {
		err_set(e, ERR_MEM, "GLB: out of memory for %zu bytes", n * 12);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const float *c = s->xyz + 3 * i;
		float p[3] = { (float)(c[0] / MM_PER_M), (float)(c[2] / MM_PER_M),
			       (float)(-c[1] / MM_PER_M) };
		for (int k = 0; k < 3; k++) {
			uint32_t u;
			p[k] += 0.0f; /* no minus zero */
			memcpy(&u, &p[k], 4);
			put32(&bin, u);
			lo[k] = fminf(lo[k], p[k]);
			hi[k] = fmaxf(hi[k], p[k]);
		}
	}
	buf_printf(
		&json,
		"{\"asset\":{\"version\":\"2.0\",\"generator\":\"cadforge\"},\"scene\":0,\"scenes\":[{\"nodes\":[0]}],"
		"\"nodes\":[{\"mesh\":0,\"name\":\"shape\"}],\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0},\"mode\":4,\"material\":0}]}],"
		"\"materials\":[{\"pbrMetallicRoughness\":{\"baseColorFactor\":[0.7,0.72,0.75,1],\"metallicFactor\":0.1,\"roughnessFactor\":0.6},\"doubleSided\":true}],"
		"\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":%zu,\"type\":\"VEC3\",\"min\":[%.9g,%.9g,%.9g],\"max\":[%.9g,%.9g,%.9g]}],"
		"\"bufferViews\":[{\"buffer\":0,\"byteLength\":%zu,\"target\":34962}],\"buffers\":[{\"byteLength\":%zu}]}",
		n, lo[0], lo[1], lo[2], hi[0], hi[1], hi[2], bin.len, bin.len);
	while (json.len % 4 && !buf_failed(&json))
		buf_addc(&json, ' ');
	put32(out, GLB_MAGIC);
	put32(out, 2);
	put32(out, (uint32_t)(12 + 8 + json.len + 8 + bin.len));
	put32(out, (uint32_t)json.len);
	put32(out, CHUNK_JSON);
	buf_add(out, json.data, json.len);
	put32(out, (uint32_t)bin.len);
	put32(out, CHUNK_BIN);
	buf_add(out, bin.data, bin.len);
	if (buf_failed(&json) || buf_failed(&bin) || buf_failed(out)) {
		err_set(e, ERR_MEM, "GLB: out of memory");
		goto out;
	}
	rc = 0;
out:
	buf_release(&json);
	buf_release(&bin);
	return rc;
}
