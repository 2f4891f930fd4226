#include "engine/checks.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX     63
#define ABOUT_MAX  200
#define COUNT_MAX  100000
#define LENGTH_MAX 1e7
#define COVERS_MAX 100

#define COMMON "id kind weight about covers tolerance tolerance_mm "

/* The name of each kind and the fields that it may have. */
static const struct {
	const char *name, *fields;
} kinds[CHECK_KINDS] = {
	[CHECK_BBOX] = { "bbox_mm", COMMON "want max min_fraction" },
	[CHECK_SOLIDS] = { "solids", COMMON "want" },
	[CHECK_HOLES] = { "holes", COMMON
	                  "want axis diameter_mm through region per pattern slotted min_turn_deg mirror" },
	[CHECK_SECTION] = { "section", COMMON "axis at at_mm want area_mm2 region min_area_mm2" },
	[CHECK_PIECES] = { "pieces", COMMON "want region" },
	[CHECK_WINDOWS] = { "windows", COMMON "axis want min_area_mm2 region mirror" },
	[CHECK_CONTACTS] = { "contacts", COMMON "want side" },
	[CHECK_ROTATIONAL] = { "rotational_symmetry", COMMON "axis order min_iou" },
	[CHECK_MIRROR] = { "mirror_symmetry", COMMON "plane min_iou" },
	[CHECK_FACES] = { "faces", COMMON
	                  "surface want radius_mm axis side turn_deg region per tilt_deg mirror" },
	[CHECK_SLOTS] = { "slots", COMMON "axis at radius want" },
	[CHECK_WALL] = { "wall_thickness_min_mm", COMMON "want" },
	[CHECK_VOLUME] = { "volume_fraction", COMMON "want region" },
	[CHECK_STANDS] = { "stands", COMMON "margin" },
	[CHECK_CLEARANCE] = { "clearance", COMMON "region max_fill" },
	[CHECK_REACH] = { "reach", COMMON "region min_fill" },
	[CHECK_JOINT] = { "joint", COMMON "axis clearance_mm want" },
};

static const char *const surfaces[SURFACE_KINDS] = { "plane", "cylinder", "cone",
	                                             "torus", "sphere",   "freeform" };
static const char *const axes[] = { "x", "y", "z" };
static const char *const planes[] = { "yz", "xz", "xy" }; /* by their normal */

const char *check_kind_name(enum check_kind k)
{
	return kinds[k].name;
}

const char *surface_kind_name(enum surface_kind k)
{
	return surfaces[k];
}

/* The field @key of @o, null when it is absent or null. */
static const cJSON *field(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNull(v) ? NULL : v;
}

/* "key: <wanted> wanted, got <what is there>" */
static int wanted(const cJSON *v, const char *key, const char *what, struct err *e)
{
	struct buf b = { 0 };

	if (!v)
		return err_set(e, ERR_INPUT, "%s: %s wanted, it is missing", key, what);
	json_print(&b, v);
	err_set(e, ERR_INPUT, "%s: %s wanted, got %.60s", key, what, buf_str(&b));
	buf_release(&b);
	return -1;
}

/* Is @word one of the words in @list, which blanks part? */
static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		size_t len = strcspn(list, " ");
		if (len == n && memcmp(list, word, n) == 0)
			return true;
		list += len + strspn(list + len, " ");
	}
	return false;
}

static int check_fields(const cJSON *o, const char *allowed, const char *of, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, o)
	{
		if (!listed(allowed, v->string))
			return err_set(e, ERR_INPUT, "%.60s: no such field of %s, which has: %s",
			               v->string, of, allowed);
		if (cJSON_GetObjectItemCaseSensitive(o, v->string) != v)
			return err_set(e, ERR_INPUT, "%s: the field is there twice", v->string);
	}
	return 0;
}

/* @min and @max belong to it. */
static int get_number(const cJSON *o, const char *key, double def, double min, double max,
                      double *out, struct err *e)
{
	const cJSON *v = field(o, key);
	char what[80];

	*out = def;
	if (!v && !isnan(def))
		return 0;
	if (cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max) {
		*out = v->valuedouble;
		return 0;
	}
	snprintf(what, sizeof(what), "a number from %g to %g", min, max);
	return wanted(v, key, what, e);
}

static int get_bool(const cJSON *o, const char *key, bool *out, struct err *e)
{
	const cJSON *v = field(o, key);

	*out = cJSON_IsTrue(v);
	if (v && !cJSON_IsBool(v))
		return wanted(v, key, "true or false", e);
	return 0;
}

/* The index of the word at @key; @def (when not -2: there must be one) when it is absent. */
static int get_word(const cJSON *o, const char *key, const char *const *words, int n, int def,
                    int *out, struct err *e)
{
	const cJSON *v = field(o, key);
	char what[160] = "";

	if (!v && def != -2) {
		*out = def;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		if (cJSON_IsString(v) && strcmp(v->valuestring, words[i]) == 0) {
			*out = i;
			return 0;
		}
		size_t at = strlen(what);
		snprintf(what + at, sizeof(what) - at, "%s\"%s\"",
		         i == 0       ? ""
		         : i + 1 == n ? " or "
		                      : ", ",
		         words[i]);
	}
	return wanted(v, key, what, e);
}

static bool whole(const cJSON *v, double min, double max)
{
	return cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max &&
	       v->valuedouble == floor(v->valuedouble);
}

static int get_count(const cJSON *o, const char *key, struct count_range *out, struct err *e)
{
	static const char what[] = "a count n or [min, max] (null leaves an end open)";
	const cJSON *v = field(o, key), *a, *b;

	if (whole(v, 0, COUNT_MAX)) {
		out->min = out->max = (int)v->valuedouble;
		return 0;
	}
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2)
		return wanted(v, key, what, e);
	a = cJSON_GetArrayItem(v, 0);
	b = cJSON_GetArrayItem(v, 1);
	if ((!cJSON_IsNull(a) && !whole(a, 0, COUNT_MAX)) ||
	    (!cJSON_IsNull(b) && !whole(b, 0, COUNT_MAX)) || (cJSON_IsNull(a) && cJSON_IsNull(b)))
		return wanted(v, key, what, e);
	out->min = cJSON_IsNull(a) ? 0 : (int)a->valuedouble;
	out->max = cJSON_IsNull(b) ? INT_MAX : (int)b->valuedouble;
	if (out->min > out->max)
		return wanted(v, key, "[min, max] with min at most max", e);
	return 0;
}

static bool in(const cJSON *v, double min, double max)
{
	return cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max;
}

/* [min, max], null for an open end, both in @lo .. @hi. @needed: must be there. */
static int get_range(const cJSON *o, const char *key, double lo, double hi, bool needed,
                     struct range *out, struct err *e)
{
	const cJSON *v = field(o, key), *a, *b;
	char what[120];

	out->min = -INFINITY;
	out->max = INFINITY;
	if (!v && !needed)
		return 0;
	snprintf(what, sizeof(what), "[min, max] from %g to %g (null leaves an end open)", lo, hi);
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2)
		return wanted(v, key, what, e);
	a = cJSON_GetArrayItem(v, 0);
	b = cJSON_GetArrayItem(v, 1);
	if ((!cJSON_IsNull(a) && !in(a, lo, hi)) || (!cJSON_IsNull(b) && !in(b, lo, hi)) ||
	    (cJSON_IsNull(a) && cJSON_IsNull(b)))
		return wanted(v, key, what, e);
	if (!cJSON_IsNull(a))
		out->min = a->valuedouble;
	if (!cJSON_IsNull(b))
		out->max = b->valuedouble;
	if (out->min > out->max)
		return wanted(v, key, "[min, max] with min at most max", e);
	return 0;
}

/* A number, or [from, to], both in @lo .. @hi. */
static int get_place(const cJSON *o, const char *key, double lo, double hi, struct range *out,
                     struct err *e)
{
	const cJSON *v = field(o, key);
	char what[80];

	if (in(v, lo, hi)) {
		out->min = out->max = v->valuedouble;
		return 0;
	}
	snprintf(what, sizeof(what), "a number or [from, to], from %g to %g", lo, hi);
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2 ||
	    !in(cJSON_GetArrayItem(v, 0), lo, hi) || !in(cJSON_GetArrayItem(v, 1), lo, hi) ||
	    cJSON_GetArrayItem(v, 0)->valuedouble > cJSON_GetArrayItem(v, 1)->valuedouble)
		return wanted(v, key, what, e);
	out->min = cJSON_GetArrayItem(v, 0)->valuedouble;
	out->max = cJSON_GetArrayItem(v, 1)->valuedouble;
	return 0;
}

static int get_corner(const cJSON *o, const char *key, double out[3], struct err *e)
{
	const cJSON *v = field(o, key);

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 3)
		return wanted(v, key, "[x, y, z] from 0 to 1", e);
	for (int i = 0; i < 3; i++) {
		if (!in(cJSON_GetArrayItem(v, i), 0, 1))
			return wanted(v, key, "[x, y, z] from 0 to 1", e);
		out[i] = cJSON_GetArrayItem(v, i)->valuedouble;
	}
	return 0;
}

static int get_region(const cJSON *o, bool needed, struct region *out, struct err *e)
{
	const cJSON *v = field(o, "region");

	*out = (struct region){ .to = { 1, 1, 1 } };
	if (!v && !needed)
		return 0;
	if (!cJSON_IsObject(v))
		return wanted(v, "region", "{\"from\": [x, y, z], \"to\": [x, y, z]}", e);
	if (check_fields(v, "from to", "a region", e) < 0 ||
	    get_corner(v, "from", out->from, e) < 0 || get_corner(v, "to", out->to, e) < 0)
		return err_wrap(e, "region");
	for (int i = 0; i < 3; i++)
		if (!(out->from[i] < out->to[i]))
			return err_set(e, ERR_INPUT,
			               "region: from below to wanted along %s, got %g and %g",
			               axes[i], out->from[i], out->to[i]);
	out->given = true;
	return 0;
}

static int get_box(struct check *c, const cJSON *o, struct err *e)
{
	static const char what[] = "[x, y, z] in mm, null for an axis that is free,";
	const cJSON *v = field(o, "want");
	int n = 0;

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 3)
		return wanted(v, "want", what, e);
	for (int i = 0; i < 3; i++) {
		const cJSON *x = cJSON_GetArrayItem(v, i);
		if (!cJSON_IsNull(x) && !in(x, 1e-6, LENGTH_MAX))
			return wanted(v, "want", what, e);
		c->want_mm[i] = cJSON_IsNull(x) ? NAN : x->valuedouble;
		n += !cJSON_IsNull(x);
	}
	if (n == 0)
		return wanted(v, "want", "at least one length", e);
	if (get_bool(o, "max", &c->max, e) < 0 ||
	    get_number(o, "min_fraction", 0, 0, 1, &c->min_fraction, e) < 0)
		return -1;
	if (field(o, "min_fraction") && !c->max)
		return err_set(e, ERR_INPUT, "min_fraction: only of use with \"max\": true");
	return 0;
}

static int get_diameter(struct check *c, const cJSON *o, struct err *e)
{
	const cJSON *v = field(o, "diameter_mm");

	c->diameter_want_mm = NAN;
	if (v && cJSON_IsArray(v))
		return get_range(o, "diameter_mm", 0, LENGTH_MAX, true, &c->diameter_mm, e);
	c->diameter_mm = (struct range){ -INFINITY, INFINITY };
	if (!v)
		return 0;
	if (!in(v, 1e-6, LENGTH_MAX))
		return wanted(v, "diameter_mm", "a diameter above 0, or [min, max],", e);
	double slack = fmax(c->tolerance_mm, c->tolerance * v->valuedouble);
	c->diameter_want_mm = v->valuedouble;
	c->diameter_mm.min = v->valuedouble - slack;
	c->diameter_mm.max = v->valuedouble + slack;
	return 0;
}

static int get_pattern(struct check *c, const cJSON *o, struct err *e)
{
	static const char what[] = "{\"circle\": {\"diameter_mm\": d}} or {\"grid\": [nx, ny]}";
	const cJSON *v = field(o, "pattern"), *circle, *grid;

	c->circle_mm = NAN;
	if (!v)
		return 0;
	if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) != 1)
		return wanted(v, "pattern", what, e);
	circle = field(v, "circle");
	grid = field(v, "grid");
	if (cJSON_IsObject(circle)) {
		c->pattern = PATTERN_CIRCLE;
		if (check_fields(circle, "diameter_mm equal", "a circle", e) < 0 ||
		    get_number(circle, "diameter_mm", field(circle, "diameter_mm") ? NAN : INFINITY,
		               1e-6, LENGTH_MAX, &c->circle_mm, e) < 0 ||
		    get_bool(circle, "equal", &c->circle_equal, e) < 0)
			return err_wrap(e, "pattern: circle");
		if (isinf(c->circle_mm))
			c->circle_mm = NAN;
		return 0;
	}
	if (cJSON_IsArray(grid) && cJSON_GetArraySize(grid) == 2 &&
	    whole(cJSON_GetArrayItem(grid, 0), 1, 1000) &&
	    whole(cJSON_GetArrayItem(grid, 1), 1, 1000)) {
		c->pattern = PATTERN_GRID;
		c->grid[0] = (int)cJSON_GetArrayItem(grid, 0)->valuedouble;
		c->grid[1] = (int)cJSON_GetArrayItem(grid, 1)->valuedouble;
		return 0;
	}
	return wanted(v, "pattern", what, e);
}

/* A plane or an array of planes, as bits of their normals. */
static int get_mirrors(struct check *c, const cJSON *o, struct err *e)
{
	static const char what[] = "\"xy\", \"xz\" or \"yz\", or an array of them";
	const cJSON *v = field(o, "mirror");
	int n = cJSON_IsArray(v) ? cJSON_GetArraySize(v) : v != NULL;

	for (int i = 0; i < n; i++) {
		const cJSON *x = cJSON_IsArray(v) ? cJSON_GetArrayItem(v, i) : v;
		unsigned had = c->mirrors;
		for (int k = 0; k < 3 && cJSON_IsString(x); k++)
			if (strcmp(x->valuestring, planes[k]) == 0)
				c->mirrors |= 1u << k;
		if (c->mirrors == had)
			return wanted(v, "mirror", what, e);
	}
	return v && n == 0 ? wanted(v, "mirror", what, e) : 0;
}

static int get_holes(struct check *c, const cJSON *o, struct err *e)
{
	static const char *const per[] = { "wall", "axis" };
	const cJSON *v = field(o, "through"), *slotted = field(o, "slotted");
	int which;

	if (get_count(o, "want", &c->count, e) < 0 ||
	    get_word(o, "axis", axes, 3, -1, &c->axis, e) < 0 || get_diameter(c, o, e) < 0 ||
	    get_region(o, false, &c->region, e) < 0 ||
	    get_word(o, "per", per, 2, 0, &which, e) < 0 || get_pattern(c, o, e) < 0 ||
	    get_mirrors(c, o, e) < 0)
		return -1;
	if (v && !cJSON_IsBool(v))
		return wanted(v, "through", "true, false or null", e);
	if (slotted && !cJSON_IsBool(slotted))
		return wanted(slotted, "slotted", "true, false or null", e);
	if (get_number(o, "min_turn_deg", 324, 90, 360, &c->min_turn_deg, e) < 0)
		return -1;
	c->slotted = slotted ? cJSON_IsTrue(slotted) : -1;
	c->through = v ? cJSON_IsTrue(v) : -1;
	c->per_axis = which == 1;
	if (c->pattern != PATTERN_NONE && c->axis < 0)
		return err_set(e, ERR_INPUT,
		               "axis: \"x\", \"y\" or \"z\" wanted with a pattern, it is missing");
	return 0;
}

/* NAN when it is left out. */
static int get_min_area(struct check *c, const cJSON *o, struct err *e)
{
	c->min_area_mm2 = NAN;
	if (!field(o, "min_area_mm2"))
		return 0;
	return get_number(o, "min_area_mm2", NAN, 0, 1e14, &c->min_area_mm2, e);
}

static int get_section(struct check *c, const cJSON *o, struct err *e)
{
	const cJSON *mm = field(o, "at_mm"), *at = field(o, "at");

	if (mm && at)
		return err_set(e, ERR_INPUT, "at, at_mm: one of them wanted, got both");
	c->at_is_mm = mm != NULL;
	if (get_word(o, "axis", axes, 3, -2, &c->axis, e) < 0 ||
	    (mm ? get_place(o, "at_mm", 0, LENGTH_MAX, &c->at, e)
	        : get_place(o, "at", 0, 1, &c->at, e)) < 0 ||
	    get_count(o, "want", &c->count, e) < 0 ||
	    get_range(o, "area_mm2", 0, 1e14, false, &c->area_mm2, e) < 0 ||
	    get_min_area(c, o, e) < 0)
		return -1;
	return get_region(o, false, &c->region, e);
}

static int get_contacts(struct check *c, const cJSON *o, struct err *e)
{
	static const char *const sides[] = { "-x", "-y", "-z", "+x", "+y", "+z" };
	int side;

	if (get_count(o, "want", &c->count, e) < 0 ||
	    get_word(o, "side", sides, 6, 2, &side, e) < 0)
		return -1;
	c->axis = side % 3;
	c->high_side = side >= 3;
	return 0;
}

static int get_symmetry(struct check *c, const cJSON *o, struct err *e)
{
	double order;

	if (get_number(o, "min_iou", 0.98, 0.01, 1, &c->min_iou, e) < 0)
		return -1;
	if (c->kind == CHECK_MIRROR)
		return get_word(o, "plane", planes, 3, -2, &c->axis, e);
	if (get_word(o, "axis", axes, 3, -2, &c->axis, e) < 0)
		return -1;
	if (!whole(field(o, "order"), 2, 360))
		return wanted(field(o, "order"), "order", "a whole number from 2 to 360", e);
	if (get_number(o, "order", NAN, 2, 360, &order, e) < 0)
		return -1;
	c->order = (int)order;
	return 0;
}

/* A word, or an array of words, as bits. */
static int get_surfaces(struct check *c, const cJSON *o, struct err *e)
{
	static const char what[] =
		"plane, cylinder, cone, torus, sphere, freeform or curved, or an "
		"array of them";
	const cJSON *v = field(o, "surface");
	int n = cJSON_IsArray(v) ? cJSON_GetArraySize(v) : 1;

	for (int i = 0; i < n; i++) {
		const cJSON *x = cJSON_IsArray(v) ? cJSON_GetArrayItem(v, i) : v;
		unsigned had = c->surfaces;
		for (int k = 0; k < SURFACE_KINDS && cJSON_IsString(x); k++)
			if (strcmp(x->valuestring, surfaces[k]) == 0)
				c->surfaces |= 1u << k;
		if (cJSON_IsString(x) && strcmp(x->valuestring, "curved") == 0)
			c->surfaces |= (1u << SURFACE_KINDS) - 1 - (1u << SURFACE_PLANE);
		if (c->surfaces == had)
			return wanted(v, "surface", what, e);
	}
	return n ? 0 : wanted(v, "surface", what, e);
}

static int get_faces(struct check *c, const cJSON *o, struct err *e)
{
	static const char *const sides[] = { "in", "out" };
	static const char *const per[] = { "face", "surface" };
	static const char *const round[] = { "radius_mm", "side", "turn_deg" };
	const unsigned none = 1u << SURFACE_PLANE | 1u << SURFACE_FREEFORM;
	const unsigned no_axis = 1u << SURFACE_SPHERE | 1u << SURFACE_FREEFORM;
	int which, side;

	if (get_surfaces(c, o, e) < 0 || get_word(o, "axis", axes, 3, -1, &c->axis, e) < 0 ||
	    get_word(o, "side", sides, 2, -1, &side, e) < 0 ||
	    get_word(o, "per", per, 2, 0, &which, e) < 0 ||
	    get_count(o, "want", &c->count, e) < 0 ||
	    get_range(o, "radius_mm", 0, LENGTH_MAX, false, &c->radius_mm, e) < 0 ||
	    get_range(o, "turn_deg", 0, 360, false, &c->turn_deg, e) < 0 ||
	    get_range(o, "tilt_deg", 0, 90, false, &c->tilt_deg, e) < 0 ||
	    get_mirrors(c, o, e) < 0 || get_region(o, false, &c->region, e) < 0)
		return -1;
	c->side = side < 0 ? SIDE_ANY : side == 0 ? SIDE_IN : SIDE_OUT;
	c->per_surface = which == 1;
	for (int i = 0; i < 3; i++)
		if (!(c->surfaces & ~none) && field(o, round[i]))
			return err_set(e, ERR_INPUT,
			               "%s: planes and freeform surfaces have none; leave it out",
			               round[i]);
	if (!field(o, "tilt_deg"))
		c->tilt_deg = (struct range){ 0, 5 };
	else if (c->axis < 0)
		return err_set(e, ERR_INPUT,
		               "axis: \"x\", \"y\" or \"z\" wanted with tilt_deg, it is missing");
	if (!(c->surfaces & ~no_axis) && field(o, "axis"))
		return err_set(e, ERR_INPUT,
		               "axis: spheres and freeform surfaces have none; leave it out");
	return 0;
}

static int get_volume(struct check *c, const cJSON *o, struct err *e)
{
	if (get_range(o, "want", 0, 1, true, &c->range, e) < 0)
		return -1;
	return get_region(o, false, &c->region, e);
}

static int get_covers(struct check *c, const cJSON *o, struct err *e)
{
	const cJSON *v = field(o, "covers"), *x;

	c->covers = v;
	if (!v)
		return 0;
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > COVERS_MAX)
		return wanted(v, "covers", "an array of keys of expect", e);
	cJSON_ArrayForEach(x, v)
	{
		if (!cJSON_IsString(x) || x->valuestring[0] == 0)
			return wanted(v, "covers", "an array of keys of expect", e);
	}
	return 0;
}

static int get_own_fields(struct check *c, const cJSON *o, struct err *e)
{
	switch (c->kind) {
	case CHECK_BBOX:
		return get_box(c, o, e);
	case CHECK_SOLIDS:
		return get_count(o, "want", &c->count, e);
	case CHECK_HOLES:
		return get_holes(c, o, e);
	case CHECK_SECTION:
		return get_section(c, o, e);
	case CHECK_PIECES:
		if (get_count(o, "want", &c->count, e) < 0)
			return -1;
		return get_region(o, false, &c->region, e);
	case CHECK_WINDOWS:
		if (get_word(o, "axis", axes, 3, -2, &c->axis, e) < 0 ||
		    get_count(o, "want", &c->count, e) < 0 || get_min_area(c, o, e) < 0 ||
		    get_mirrors(c, o, e) < 0)
			return -1;
		return get_region(o, false, &c->region, e);
	case CHECK_CONTACTS:
		return get_contacts(c, o, e);
	case CHECK_ROTATIONAL:
	case CHECK_MIRROR:
		return get_symmetry(c, o, e);
	case CHECK_FACES:
		return get_faces(c, o, e);
	case CHECK_SLOTS:
		if (get_word(o, "axis", axes, 3, -2, &c->axis, e) < 0 ||
		    get_place(o, "at", 0, 1, &c->at, e) < 0 ||
		    get_place(o, "radius", 0, 1, &c->radius, e) < 0)
			return -1;
		return get_count(o, "want", &c->count, e);
	case CHECK_WALL:
		return get_number(o, "want", NAN, 1e-3, LENGTH_MAX, &c->range.min, e);
	case CHECK_VOLUME:
		return get_volume(c, o, e);
	case CHECK_STANDS:
		return get_number(o, "margin", 0, 0, 1, &c->margin, e);
	case CHECK_CLEARANCE:
		if (get_number(o, "max_fill", 0.02, 0, 0.99, &c->max_fill, e) < 0)
			return -1;
		return get_region(o, true, &c->region, e);
	case CHECK_REACH:
		if (get_number(o, "min_fill", 0.5, 0.001, 1, &c->min_fill, e) < 0)
			return -1;
		return get_region(o, true, &c->region, e);
	case CHECK_JOINT:
		if (get_word(o, "axis", axes, 3, -1, &c->axis, e) < 0 ||
		    get_number(o, "clearance_mm", NAN, 0, 1000, &c->clearance_mm, e) < 0)
			return -1;
		return get_count(o, "want", &c->count, e);
	case CHECK_KINDS:
		break;
	}
	return err_set(e, ERR_INPUT, "kind: unknown");
}

static int get_kind(struct check *c, const cJSON *o, struct err *e)
{
	const cJSON *v = field(o, "kind");
	char what[400] = "";

	for (int i = 0; i < CHECK_KINDS; i++) {
		if (cJSON_IsString(v) && strcmp(v->valuestring, kinds[i].name) == 0) {
			c->kind = (enum check_kind)i;
			return 0;
		}
		size_t at = strlen(what);
		snprintf(what + at, sizeof(what) - at, "%s%s", i ? ", " : "one of ", kinds[i].name);
	}
	return wanted(v, "kind", what, e);
}

static int get_check(struct check *c, const cJSON *o, struct err *e)
{
	const cJSON *id = field(o, "id");

	if (!cJSON_IsString(id) || id->valuestring[0] == 0 || strlen(id->valuestring) > ID_MAX ||
	    id->valuestring[strspn(id->valuestring, "abcdefghijklmnopqrstuvwxyz0123456789_-")])
		return wanted(id, "id", "1 to 63 of a-z, 0-9, _ and -", e);
	c->id = id->valuestring;
	if (get_kind(c, o, e) < 0)
		return -1;
	if (check_fields(o, kinds[c->kind].fields, kinds[c->kind].name, e) < 0 ||
	    get_number(o, "weight", 1, 1e-6, 100, &c->weight, e) < 0 ||
	    get_number(o, "tolerance", 0.02, 0, 1, &c->tolerance, e) < 0 ||
	    get_number(o, "tolerance_mm", 1, 0, 1e6, &c->tolerance_mm, e) < 0 ||
	    get_covers(c, o, e) < 0)
		return -1;
	const cJSON *about = field(o, "about");
	if (about && (!cJSON_IsString(about) || strlen(about->valuestring) > ABOUT_MAX))
		return wanted(about, "about", "a phrase of at most 200 bytes", e);
	c->about = about ? about->valuestring : "";
	return get_own_fields(c, o, e);
}

int check_parse(struct check *out, const cJSON *o, int index, struct err *e)
{
	struct check c = { .axis = -1,
		           .through = -1,
		           .slotted = -1,
		           .diameter_mm = { -INFINITY, INFINITY },
		           .area_mm2 = { -INFINITY, INFINITY },
		           .radius_mm = { -INFINITY, INFINITY },
		           .turn_deg = { -INFINITY, INFINITY },
		           .range = { -INFINITY, INFINITY },
		           .region.to = { 1, 1, 1 },
		           .diameter_want_mm = NAN,
		           .circle_mm = NAN,
		           .min_area_mm2 = NAN };

	if (!cJSON_IsObject(o)) {
		wanted(o, "check", "an object", e);
		return err_wrap(e, "checks[%d]", index);
	}
	if (get_check(&c, o, e) < 0)
		return c.id ? err_wrap(e, "check \"%s\"", c.id) : err_wrap(e, "checks[%d]", index);
	*out = c;
	return 0;
}

void checks_release(struct check_list *l)
{
	free(l->checks);
	*l = (struct check_list){ 0 };
}

int checks_parse(struct check_list *out, const cJSON *array, const char *where, struct err *e)
{
	int n = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
	struct check_list l = { 0 };
	const cJSON *v;

	*out = l;
	if (array && !cJSON_IsArray(array)) {
		wanted(array, "checks", "an array", e);
		return err_wrap(e, "%s", where);
	}
	if (n > CHECKS_MAX)
		return err_set(e, ERR_INPUT, "%s: checks: at most %d wanted, got %d", where,
		               CHECKS_MAX, n);
	if (n == 0)
		return 0;
	l.checks = calloc((size_t)n, sizeof(*l.checks));
	if (!l.checks)
		return err_set(e, ERR_MEM, "%s: no memory for %d checks", where, n);
	cJSON_ArrayForEach(v, array)
	{
		struct check *c = &l.checks[l.n];
		if (check_parse(c, v, l.n, e) < 0)
			goto fail;
		for (int i = 0; i < l.n; i++) {
			if (strcmp(l.checks[i].id, c->id) == 0) {
				err_set(e, ERR_INPUT,
				        "check \"%s\": id: one of its own wanted, "
				        "checks[%d] has it too",
				        c->id, i);
				goto fail;
			}
		}
		l.n++;
	}
	*out = l;
	return 0;
fail:
	checks_release(&l);
	return err_wrap(e, "%s", where);
}

double checks_share(const cJSON *results)
{
	double sum = 0, weights = 0;
	const cJSON *r;

	cJSON_ArrayForEach(r, results)
	{
		double w = json_number_or(r, "weight", 0);
		sum += w * json_number_or(r, "score", 0);
		weights += w;
	}
	return weights > 0 ? sum / weights : NAN;
}
