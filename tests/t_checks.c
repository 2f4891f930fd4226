#include "tests/lib.h"

#include "engine/checks.h"
#include "engine/probe.h"
#include "src/base/buf.h"

#include <dirent.h>

/* Shapes: tests/oracle/checks.py made tests/data/checks, tests/oracle/brep.py tests/data/brep. */

static const struct shape_limits room = { 200000, 5000000 };
static const int plain[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };

/* A shape opened for questions. */
struct part {
	struct shape *shape;
	struct geometry geometry;
	struct soup soup;
	struct probe probe;
};

static void part_close(struct part *p)
{
	probe_release(&p->probe);
	soup_release(&p->soup);
	geometry_release(&p->geometry);
	shape_free(p->shape);
}

/* False when there is nothing to ask: a wire. */
static bool part_try(struct part *p, const char *folder, const char *name, const int turn[3][3])
{
	const char *top = getenv("srcdir");
	enum shape_fault fault;
	struct buf b = { 0 };
	struct err e = { 0 };
	char path[512];

	*p = (struct part){ 0 };
	snprintf(path, sizeof(path), "%s/tests/data/%s/%s", top ? top : ".", folder, name);
	if (buf_read_file(&b, path, 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
	p->shape = shape_read_brep(b.data, b.len, false, &room, &fault, &e);
	buf_release(&b);
	if (!p->shape)
		return false;
	if (shape_measure(p->shape, &p->geometry, &fault, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	if (shape_mesh(p->shape, 0.2, true, 0.3, room.triangles_max, &p->soup, &fault, &e) < 0 ||
	    probe_open(&p->probe, p->shape, &p->geometry, turn, &e) < 0) {
		assert_int_equal(e.kind, ERR_INPUT);
		part_close(p);
		return false;
	}
	return true;
}

static struct part part_open(const char *name, const int turn[3][3])
{
	char file[200];
	struct part p;

	snprintf(file, sizeof(file), "%s.brep", name);
	if (!part_try(&p, "checks", file, turn))
		fail_msg("%s: no part", name);
	return p;
}

static cJSON *parsed(const char *text)
{
	struct err e = { 0 };
	cJSON *o = json_parse(text, strlen(text), &e);

	if (!o)
		fail_msg("%s: %s", text, e.text);
	return o;
}

/* The results of @checks, a json array, on the part. Caller deletes. */
static cJSON *evaluated(const struct probe *p, const char *checks)
{
	struct check_list l;
	struct err e = { 0 };
	cJSON *o = parsed(checks);

	if (checks_parse(&l, o, "test", &e) < 0)
		fail_msg("%s", e.text);
	cJSON *r = checks_evaluate(&l, p, &e);
	if (!r)
		fail_msg("%s", e.text);
	checks_release(&l);
	cJSON_Delete(o);
	return r;
}

/* One check on one part. */
struct claim {
	const char *part, *check; /* the check's kind and own fields */
	double score;             /* 1: ok */
	const char *why;          /* words of its sentence, NULL: any */
};

static void expect_claims(const struct claim *c, size_t n, const int turn[3][3])
{
	for (size_t i = 0; i < n; i++) {
		struct part p = part_open(c[i].part, turn);
		char text[1000];
		snprintf(text, sizeof(text), "[{\"id\":\"a\",\"covers\":[\"legs\"],%s}]",
		         c[i].check);
		cJSON *r = evaluated(&p.probe, text), *x = cJSON_GetArrayItem(r, 0);
		double score = json_number_or(x, "score", -1);
		const char *why = json_string_or(x, "why", "");
		print_message("%s: %.3f %s\n", c[i].part, score, why);
		assert_close(score, c[i].score, 0.002);
		const cJSON *ok = cJSON_GetObjectItem(x, "ok");
		if (cJSON_IsTrue(ok) != (c[i].score == 1) || !cJSON_IsBool(ok))
			fail_msg("%s: ok does not say so", c[i].check);
		if (c[i].why)
			assert_contains(why, c[i].why);
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(x, "covers")), 1);
		assert_close(checks_share(r), score, 1e-12);
		cJSON_Delete(r);
		part_close(&p);
	}
}

#define EXPECT(claims) expect_claims(claims, sizeof(claims) / sizeof(*(claims)), plain)

static int warm(void **state)
{
	struct err e = { 0 };
	(void)state;
	return shape_warm_up(&e);
}

static void a_box_is_as_long_as_it_should_be(void **state)
{
	static const struct claim claims[] = {
		{ "plate", "\"kind\":\"bbox_mm\",\"want\":[100,60,8]", 1, "100 x 60 x 8 mm" },
		{ "plate", "\"kind\":\"bbox_mm\",\"want\":[101.9,61,null]", 1, NULL },
		/* 12 short of 60, of which 1.2 are allowed: 10.8 / (0.25 * 60) is lost */
		{ "plate_thin", "\"kind\":\"bbox_mm\",\"want\":[100,60,8]", 0.28,
		  "Y is 12 mm too short" },
		{ "plate", "\"kind\":\"bbox_mm\",\"want\":[120,80,8],\"max\":true", 1, NULL },
		{ "plate", "\"kind\":\"bbox_mm\",\"want\":[80,80,8],\"max\":true", 0.08,
		  "X is 20 mm too long" },
		{ "plate",
		  "\"kind\":\"bbox_mm\",\"want\":[200,80,8],\"max\":true,\"min_fraction\":0.6", 0.6,
		  "X is 100 mm too short" },
		{ "plate",
		  "\"kind\":\"bbox_mm\",\"want\":[100.4,60,8],\"tolerance\":0.001,"
		  "\"tolerance_mm\":0.1",
		  0.98805, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void holes_are_counted_as_an_engineer_does(void **state)
{
	static const struct claim claims[] = {
		{ "plate",
		  "\"kind\":\"holes\",\"want\":4,\"axis\":\"z\",\"diameter_mm\":5.5,\"through\":true,"
		  "\"tolerance_mm\":0.3",
		  1, "Ø 5.5 ± 0.3 along Z, found 4 (Ø 5.5 at (-40, -20), (-40, 20)" },
		{ "plate_three_holes", "\"kind\":\"holes\",\"want\":4,\"axis\":\"z\"", 0.75,
		  "expected 4 holes along Z, found 3" },
		/* the counterbore by its own size */
		{ "plate", "\"kind\":\"holes\",\"want\":4,\"diameter_mm\":[9,11]", 1, NULL },
		{ "plate", "\"kind\":\"holes\",\"want\":4,\"diameter_mm\":8", 0,
		  "not counted: Ø 5.5 through along Z at (-40, -20, " },
		{ "plate", "\"kind\":\"holes\",\"want\":4,\"axis\":\"x\"", 0, NULL },
		{ "plate", "\"kind\":\"holes\",\"want\":0,\"through\":false", 1, NULL },
		{ "plate", "\"kind\":\"holes\",\"want\":3", 0.75, "found 4" },
		{ "plate", "\"kind\":\"holes\",\"want\":[2,null]", 1, "at least 2 holes" },
		{ "plate",
		  "\"kind\":\"holes\",\"want\":2,\"region\":{\"from\":[0,0,0],\"to\":[0.5,1,1]}", 1,
		  "within X 0 to 50 % of the box" },
		{ "plate",
		  "\"kind\":\"holes\",\"want\":4,\"axis\":\"z\",\"pattern\":{\"grid\":[2,2]}", 1,
		  NULL },
		{ "plate_three_holes",
		  "\"kind\":\"holes\",\"want\":4,\"axis\":\"z\",\"pattern\":{\"grid\":[2,2]}", 0.75,
		  NULL },
		{ "flange",
		  "\"kind\":\"holes\",\"want\":6,\"axis\":\"z\",\"pattern\":{\"circle\":"
		  "{\"diameter_mm\":80,\"equal\":true}}",
		  1, "on a circle Ø 80, evenly spaced" },
		{ "flange",
		  "\"kind\":\"holes\",\"want\":6,\"axis\":\"z\",\"pattern\":{\"circle\":{}}", 1,
		  NULL },
		{ "flange",
		  "\"kind\":\"holes\",\"want\":6,\"axis\":\"z\",\"pattern\":{\"circle\":"
		  "{\"diameter_mm\":70}}",
		  0.3333, NULL },
		{ "flange_astray",
		  "\"kind\":\"holes\",\"want\":6,\"axis\":\"z\",\"pattern\":{\"circle\":"
		  "{\"diameter_mm\":80}}",
		  0.8333, "5 of them so arranged" },
		{ "flange_astray",
		  "\"kind\":\"holes\",\"want\":5,\"axis\":\"z\",\"pattern\":{\"circle\":"
		  "{\"diameter_mm\":80}}",
		  0.8333, "found 6" },
		{ "joint", "\"kind\":\"holes\",\"want\":1,\"diameter_mm\":10", 1, NULL },
		{ "countersunk", "\"kind\":\"holes\",\"want\":2,\"diameter_mm\":5", 1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void what_is_to_be_symmetric_has_its_image(void **state)
{
	static const struct claim claims[] = {
		{ "plate",
		  "\"kind\":\"holes\",\"want\":[2,null],\"axis\":\"z\",\"mirror\":[\"yz\",\"xz\"]",
		  1, NULL },
		/* of three, two lack one image */
		{ "plate_three_holes",
		  "\"kind\":\"holes\",\"want\":[2,null],\"axis\":\"z\",\"mirror\":[\"yz\",\"xz\"]",
		  0.3333, "has no mirror image across the middle of" },
		{ "plate_three_holes",
		  "\"kind\":\"holes\",\"want\":[2,null],\"axis\":\"z\",\"mirror\":\"xz\"", 0.6667,
		  "the one at (40, -20, 2.5) has no mirror image across the middle of Y" },
		{ "truss", "\"kind\":\"windows\",\"axis\":\"y\",\"want\":3,\"mirror\":\"xy\"", 0,
		  "nor have 2 others" },
		{ "rounded",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":4,\"mirror\":\"yz\"", 1,
		  NULL },
		{ "slotted",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":4,\"mirror\":\"yz\"", 0,
		  NULL },
		{ "truss",
		  "\"kind\":\"faces\",\"surface\":\"plane\",\"axis\":\"x\",\"tilt_deg\":[20,30],"
		  "\"want\":6",
		  1, "tilted by 20 to 30 degrees to X" },
		{ "truss", "\"kind\":\"faces\",\"surface\":\"plane\",\"axis\":\"x\",\"want\":2", 1,
		  "along X" },
	};
	(void)state;
	EXPECT(claims);
}

static void slots_and_split_bores_are_holes(void **state)
{
	static const struct claim claims[] = {
		{ "slotted", "\"kind\":\"holes\",\"want\":2,\"diameter_mm\":6,\"axis\":\"z\"", 1,
		  "Ø 6 slot 20 long" },
		{ "slotted", "\"kind\":\"holes\",\"want\":1,\"through\":true,\"slotted\":true", 1,
		  "slotted through-hole" },
		{ "slotted", "\"kind\":\"holes\",\"want\":1,\"through\":false", 1, NULL },
		{ "slotted", "\"kind\":\"holes\",\"want\":0,\"slotted\":false", 1, NULL },
		{ "long_slot", "\"kind\":\"holes\",\"want\":0", 1, NULL },
		{ "long_slot", "\"kind\":\"holes\",\"want\":1,\"slotted\":true", 1, NULL },
		/* 2 asin(2 / 15) is open: 344.7 degrees are left */
		{ "split_clamp", "\"kind\":\"holes\",\"want\":1,\"diameter_mm\":30", 1, NULL },
		{ "split_clamp",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"side\":\"in\",\"want\":1,"
		  "\"turn_deg\":[344,345]",
		  1, NULL },
		/* 2 * (180 - 2 asin(3 / 15)): 313.9 degrees in two faces */
		{ "two_halves", "\"kind\":\"holes\",\"want\":1,\"diameter_mm\":30", 0, "open" },
		{ "two_halves",
		  "\"kind\":\"holes\",\"want\":1,\"diameter_mm\":30,\"min_turn_deg\":300,"
		  "\"through\":true",
		  1, NULL },
		{ "two_halves",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"side\":\"in\","
		  "\"want\":1",
		  0.5, "found 2" },
		{ "two_halves",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"side\":\"in\",\"want\":1,"
		  "\"per\":\"surface\",\"turn_deg\":[310,315]",
		  1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void a_cut_has_as_many_faces_as_it_should(void **state)
{
	static const struct claim claims[] = {
		{ "table", "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":6", 1,
		  "6 separate faces in the cut across Z at 50 % (360 mm from the low side)" },
		{ "table_five_legs", "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":6",
		  0.8333, "found 5" },
		{ "table", "\"kind\":\"section\",\"axis\":\"z\",\"at_mm\":130,\"want\":1", 1,
		  NULL },
		{ "table", "\"kind\":\"section\",\"axis\":\"z\",\"at\":[0.1,0.9],\"want\":1", 1,
		  NULL },
		{ "table",
		  "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":6,\"area_mm2\":"
		  "[9590,9610]",
		  1, "9600 mm2" },
		{ "table",
		  "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":6,\"area_mm2\":"
		  "[19200,null]",
		  0.5, "at least 19200 mm2" },
		{ "table",
		  "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":2,\"region\":"
		  "{\"from\":[0,0,0],\"to\":[0.2,1,1]}",
		  1, NULL },
		{ "table", "\"kind\":\"section\",\"axis\":\"z\",\"at\":1,\"want\":1", 1, NULL },
		{ "table", "\"kind\":\"section\",\"axis\":\"z\",\"at_mm\":5000,\"want\":1", 0,
		  NULL },
		{ "overlapping",
		  "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":1,"
		  "\"area_mm2\":[599,601]",
		  1, NULL },
		/* pin and block, 0.1 mm apart */
		{ "joint", "\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"want\":2", 1, NULL },
		{ "tube", "\"kind\":\"section\",\"axis\":\"x\",\"at\":0.5,\"want\":2", 1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void what_touches_the_ground_is_counted(void **state)
{
	static const struct claim claims[] = {
		{ "table", "\"kind\":\"contacts\",\"want\":6", 1, "found 6 at (" },
		{ "table_short_leg", "\"kind\":\"contacts\",\"want\":6", 0.8333, "found 5" },
		{ "table", "\"kind\":\"contacts\",\"want\":1,\"side\":\"+z\"", 1, "+Z side" },
		{ "leaning", "\"kind\":\"stands\"", 0.9, "tips over" },
		{ "standing", "\"kind\":\"stands\"", 1, "inside by" },
		{ "table", "\"kind\":\"stands\",\"margin\":0.9", 1, NULL },
	};
	struct part p = part_open("leaning", plain);
	double score = 1 - (p.geometry.center_of_mass_mm[0] - 10) / (0.25 * 130);
	(void)state;
	assert_true(score > 0 && score < 1);
	part_close(&p);
	for (size_t i = 0; i < sizeof(claims) / sizeof(*claims); i++) {
		struct claim c = claims[i];
		if (c.score == 0.9)
			c.score = score;
		expect_claims(&c, 1, plain);
	}
}

static void what_is_tied_together_is_one_piece(void **state)
{
	static const struct claim claims[] = {
		{ "table",
		  "\"kind\":\"pieces\",\"want\":1,\"region\":{\"from\":[0,0,0],\"to\":[1,1,0.4]}",
		  1, NULL },
		{ "table_untied",
		  "\"kind\":\"pieces\",\"want\":1,\"region\":{\"from\":[0,0,0],\"to\":[1,1,0.4]}",
		  0.1667, "found 6: something that joins them is missing" },
		{ "table_untied", "\"kind\":\"pieces\",\"want\":1", 1, NULL },
		{ "joint", "\"kind\":\"pieces\",\"want\":2", 1, NULL },
		{ "overlapping", "\"kind\":\"pieces\",\"want\":1", 1, NULL },
		{ "joint", "\"kind\":\"solids\",\"want\":1", 0.5, "union what belongs together" },
		{ "joint", "\"kind\":\"solids\",\"want\":[1,5]", 1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void openings_are_seen_through(void **state)
{
	static const struct claim claims[] = {
		{ "truss", "\"kind\":\"windows\",\"axis\":\"y\",\"want\":3", 1, "found 3 at (" },
		{ "truss_filled", "\"kind\":\"windows\",\"axis\":\"y\",\"want\":3", 0.6667, NULL },
		{ "truss", "\"kind\":\"windows\",\"axis\":\"y\",\"want\":0,\"min_area_mm2\":1000",
		  1, "opening" },
		{ "truss",
		  "\"kind\":\"windows\",\"axis\":\"y\",\"want\":1,\"region\":"
		  "{\"from\":[0,0,0],\"to\":[0.4,1,1]}",
		  1, NULL },
		{ "truss", "\"kind\":\"windows\",\"axis\":\"z\",\"want\":0", 1, NULL },
		{ "tube", "\"kind\":\"windows\",\"axis\":\"z\",\"want\":1,\"min_area_mm2\":1000", 1,
		  "at (0, 0)" },
	};
	(void)state;
	EXPECT(claims);
}

static void a_tooth_less_is_seen(void **state)
{
	static const struct claim claims[] = {
		{ "stator",
		  "\"kind\":\"slots\",\"axis\":\"z\",\"at\":0.5,\"radius\":0.9,\"want\":12", 1,
		  "found 12" },
		{ "stator_eleven",
		  "\"kind\":\"slots\",\"axis\":\"z\",\"at\":0.5,\"radius\":0.9,\"want\":12", 0.9167,
		  "found 11" },
		{ "stator",
		  "\"kind\":\"slots\",\"axis\":\"z\",\"at\":[0,1],\"radius\":[0.5,1],\"want\":12",
		  1, NULL },
		{ "stator",
		  "\"kind\":\"slots\",\"axis\":\"z\",\"at\":0.5,\"radius\":0.65,\"want\":0", 1,
		  NULL },
		{ "stator", "\"kind\":\"rotational_symmetry\",\"axis\":\"z\",\"order\":12", 1,
		  NULL },
		{ "stator", "\"kind\":\"rotational_symmetry\",\"axis\":\"z\",\"order\":4", 1,
		  NULL },
		{ "stator", "\"kind\":\"mirror_symmetry\",\"plane\":\"xz\"", 1, NULL },
		{ "stator", "\"kind\":\"mirror_symmetry\",\"plane\":\"yz\"", 1, NULL },
		{ "stator", "\"kind\":\"mirror_symmetry\",\"plane\":\"xy\"", 1, NULL },
	};
	struct part p = part_open("stator_eleven", plain);
	cJSON *r = evaluated(&p.probe, "[{\"id\":\"turn\",\"kind\":\"rotational_symmetry\","
	                               "\"axis\":\"z\",\"order\":12}]");
	double iou = json_number_or(cJSON_GetArrayItem(r, 0), "got", -1);
	(void)state;
	/* ring, and eleven teeth of which ten fall on teeth */
	double ring = M_PI * (3600 - 2025), tooth = 12 * 22 - 12 * 2;
	assert_close(iou, (ring + 10 * tooth) / (ring + 12 * tooth), 0.02);
	cJSON_Delete(r);
	part_close(&p);
	EXPECT(claims);
}

static void faces_are_counted_by_surface(void **state)
{
	static const struct claim claims[] = {
		{ "rounded",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":4,\"radius_mm\":[5,7],"
		  "\"side\":\"out\",\"axis\":\"z\",\"turn_deg\":[89,91]",
		  1, NULL },
		{ "rounded", "\"kind\":\"faces\",\"surface\":\"plane\",\"want\":6", 1, NULL },
		{ "rounded", "\"kind\":\"faces\",\"surface\":\"plane\",\"want\":2,\"axis\":\"z\"",
		  1, NULL },
		{ "rounded",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":4,\"radius_mm\":[8,9]", 0,
		  "not counted: R 6, 6, 6, 6" },
		{ "rounded", "\"kind\":\"faces\",\"surface\":[\"plane\",\"cylinder\"],\"want\":10",
		  1, "plane or cylinder faces" },
		{ "rounded", "\"kind\":\"faces\",\"surface\":\"curved\",\"want\":4", 1, NULL },
		{ "rounded", "\"kind\":\"faces\",\"surface\":\"freeform\",\"want\":0", 1, NULL },
		{ "countersunk",
		  "\"kind\":\"faces\",\"surface\":\"cone\",\"want\":2,\"side\":\"in\",\"radius_mm\":"
		  "[4.9,5.1]",
		  1, NULL },
		{ "tube",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"want\":1,\"side\":\"in\","
		  "\"turn_deg\":[359,360]",
		  1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

static void walls_and_volumes_are_measured(void **state)
{
	static const struct claim claims[] = {
		{ "tube", "\"kind\":\"wall_thickness_min_mm\",\"want\":2", 1, "thinnest is" },
		{ "tube", "\"kind\":\"wall_thickness_min_mm\",\"want\":4", 0.5, NULL },
		{ "table", "\"kind\":\"wall_thickness_min_mm\",\"want\":20", 1, NULL },
		{ "plate_thin", "\"kind\":\"volume_fraction\",\"want\":[0.999,1]", 1, NULL },
		{ "plate_thin", "\"kind\":\"volume_fraction\",\"want\":[0.1,0.5]", 0.5,
		  "got 100 %" },
		{ "overlapping", "\"kind\":\"volume_fraction\",\"want\":[0.99,1]", 1, NULL },
		{ "leaning",
		  "\"kind\":\"volume_fraction\",\"want\":[0.15,0.16],\"region\":"
		  "{\"from\":[0,0,0],\"to\":[1,1,0.8]}",
		  1, NULL },
		{ "leaning",
		  "\"kind\":\"clearance\",\"region\":{\"from\":[0.2,0,0],\"to\":[1,1,0.7]}", 1,
		  NULL },
		{ "leaning",
		  "\"kind\":\"clearance\",\"region\":{\"from\":[0.2,0,0.8],\"to\":[1,1,1]}", 0,
		  "got 100 %" },
		{ "leaning", "\"kind\":\"reach\",\"region\":{\"from\":[0.9,0,0.8],\"to\":[1,1,1]}",
		  1, NULL },
		{ "leaning",
		  "\"kind\":\"reach\",\"min_fill\":0.8,\"region\":{\"from\":[0.9,0,0.6],"
		  "\"to\":[1,1,1]}",
		  0.625, "at least 80 %" },
	};
	(void)state;
	EXPECT(claims);
}

static void a_pin_in_a_bore_is_a_joint(void **state)
{
	static const struct claim claims[] = {
		{ "joint", "\"kind\":\"joint\",\"axis\":\"z\",\"clearance_mm\":0.2,\"want\":1", 1,
		  "Ø 10 at (0, 0, " },
		{ "joint", "\"kind\":\"joint\",\"clearance_mm\":0.05,\"want\":1", 0, "found 0" },
		{ "joint", "\"kind\":\"joint\",\"axis\":\"x\",\"clearance_mm\":0.2,\"want\":1", 0,
		  NULL },
		{ "joint_loose", "\"kind\":\"joint\",\"clearance_mm\":0.2,\"want\":1", 0, NULL },
		{ "plate", "\"kind\":\"joint\",\"clearance_mm\":1,\"want\":0", 1, NULL },
	};
	(void)state;
	EXPECT(claims);
}

/* z becomes x, x becomes y, y becomes z: the same part lying on its side. */
static void a_part_is_checked_in_the_place_it_is_turned_to(void **state)
{
	static const int turn[3][3] = { { 0, 0, 1 }, { 1, 0, 0 }, { 0, 1, 0 } };
	static const struct claim claims[] = {
		{ "plate", "\"kind\":\"bbox_mm\",\"want\":[8,100,60]", 1, NULL },
		{ "plate", "\"kind\":\"holes\",\"want\":4,\"axis\":\"x\",\"through\":true", 1,
		  "(-40, -20), (-40, 20)" },
		{ "table", "\"kind\":\"section\",\"axis\":\"x\",\"at\":0.5,\"want\":6", 1, NULL },
		{ "table", "\"kind\":\"contacts\",\"side\":\"-x\",\"want\":6", 1, NULL },
		{ "table",
		  "\"kind\":\"pieces\",\"want\":1,\"region\":{\"from\":[0,0,0],\"to\":[0.4,1,1]}",
		  1, NULL },
		{ "stator", "\"kind\":\"rotational_symmetry\",\"axis\":\"x\",\"order\":12", 1,
		  NULL },
		{ "stator",
		  "\"kind\":\"slots\",\"axis\":\"x\",\"at\":0.5,\"radius\":0.9,\"want\":12", 1,
		  NULL },
		{ "truss", "\"kind\":\"windows\",\"axis\":\"z\",\"want\":3", 1, NULL },
		{ "joint", "\"kind\":\"joint\",\"axis\":\"x\",\"clearance_mm\":0.2,\"want\":1", 1,
		  NULL },
		{ "slotted", "\"kind\":\"holes\",\"want\":1,\"axis\":\"x\",\"through\":true", 1,
		  NULL },
		{ "rounded",
		  "\"kind\":\"faces\",\"surface\":\"cylinder\",\"axis\":\"x\",\"want\":4", 1,
		  NULL },
	};
	(void)state;
	expect_claims(claims, sizeof(claims) / sizeof(*claims), turn);
}

static const char all_kinds[] =
	"[{\"id\":\"a\",\"kind\":\"bbox_mm\",\"want\":[10,20,30]},"
	"{\"id\":\"b\",\"kind\":\"solids\",\"want\":1},"
	"{\"id\":\"c\",\"kind\":\"holes\",\"want\":4,\"min_turn_deg\":90},"
	"{\"id\":\"c2\",\"kind\":\"holes\",\"want\":4,\"axis\":\"z\",\"per\":\"axis\","
	"\"pattern\":{\"circle\":{}}},"
	"{\"id\":\"d\",\"kind\":\"section\",\"axis\":\"x\",\"at\":[0,1],\"want\":1},"
	"{\"id\":\"e\",\"kind\":\"pieces\",\"want\":1},"
	"{\"id\":\"f\",\"kind\":\"windows\",\"axis\":\"x\",\"want\":1},"
	"{\"id\":\"g\",\"kind\":\"contacts\",\"want\":1},"
	"{\"id\":\"h\",\"kind\":\"rotational_symmetry\",\"axis\":\"y\",\"order\":7},"
	"{\"id\":\"i\",\"kind\":\"mirror_symmetry\",\"plane\":\"xy\"},"
	"{\"id\":\"j\",\"kind\":\"faces\",\"surface\":\"curved\",\"want\":1,\"per\":\"surface\"},"
	"{\"id\":\"k\",\"kind\":\"slots\",\"axis\":\"z\",\"at\":[0,1],\"radius\":[0,1],\"want\":3},"
	"{\"id\":\"l\",\"kind\":\"wall_thickness_min_mm\",\"want\":1},"
	"{\"id\":\"m\",\"kind\":\"volume_fraction\",\"want\":[0.4,0.5]},"
	"{\"id\":\"n\",\"kind\":\"stands\",\"margin\":0.5},"
	"{\"id\":\"o\",\"kind\":\"clearance\",\"region\":{\"from\":[0,0,0],\"to\":[0.5,1,1]}},"
	"{\"id\":\"p\",\"kind\":\"reach\",\"region\":{\"from\":[0,0,0],\"to\":[0.5,1,1]}},"
	"{\"id\":\"q\",\"kind\":\"joint\",\"clearance_mm\":1,\"want\":1}]";

/* Open shells, single faces, tori, hollow balls, nothing at all. */
static void whatever_the_shape_each_check_has_an_answer(void **state)
{
	static const char *const folders[] = { "brep", "checks" };
	const char *top = getenv("srcdir");
	int parts = 0;
	(void)state;
	for (int k = 0; k < 2; k++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/tests/data/%s", top ? top : ".", folders[k]);
		DIR *d = opendir(path);
		assert_non_null(d);
		for (struct dirent *f; (f = readdir(d));) {
			struct part p;
			struct buf first = { 0 }, second = { 0 };
			const cJSON *x;
			if (!strstr(f->d_name, ".brep") ||
			    !part_try(&p, folders[k], f->d_name, plain))
				continue;
			parts++;
			cJSON *r = evaluated(&p.probe, all_kinds);
			cJSON_ArrayForEach(x, r)
			{
				double score = json_number_or(x, "score", -1);
				assert_true(score >= 0 && score <= 1);
				assert_true(strlen(json_string_or(x, "why", "")) > 10);
				if (cJSON_IsNull(cJSON_GetObjectItem(x, "ok")))
					assert_true(score == 0);
			}
			json_print(&first, r);
			cJSON_Delete(r);
			r = evaluated(&p.probe, all_kinds);
			json_print(&second, r);
			cJSON_Delete(r);
			assert_string_equal(buf_str(&first), buf_str(&second));
			buf_release(&first);
			buf_release(&second);
			part_close(&p);
		}
		closedir(d);
	}
	assert_true(parts > 40);
}

static void what_cannot_be_told_is_said(void **state)
{
	struct part p;
	(void)state;
	assert_true(part_try(&p, "brep", "open_shell.brep", plain));
	cJSON *r = evaluated(&p.probe, "[{\"id\":\"a\",\"kind\":\"stands\",\"weight\":3},"
	                               "{\"id\":\"b\",\"kind\":\"bbox_mm\",\"want\":[10,20,30]}]");
	const cJSON *x = cJSON_GetArrayItem(r, 0);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(x, "ok")));
	assert_contains(json_string_or(x, "why", ""), "no closed solid");
	assert_close(checks_share(r), 0.25, 1e-12);
	cJSON_Delete(r);
	part_close(&p);
}

static void a_list_of_no_checks_has_no_share(void **state)
{
	struct check_list l = { 0 };
	struct probe p = { 0 };
	struct err e = { 0 };
	cJSON *r = checks_evaluate(&l, &p, &e);
	(void)state;
	assert_non_null(r);
	assert_true(isnan(checks_share(r)));
	cJSON_Delete(r);
}

/* ---- reading ---- */

static void a_mistake_is_named_with_its_place(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "{}", "checks: an array wanted" },
		{ "[3]", "f.json: checks[0]: check: an object wanted, got 3" },
		{ "[{}]", "checks[0]: id: 1 to 63 of a-z" },
		{ "[{\"id\":\"A b\",\"kind\":\"solids\",\"want\":1}]", "got \"A b\"" },
		{ "[{\"id\":\"a\"}]", "check \"a\": kind: one of bbox_mm, solids" },
		{ "[{\"id\":\"a\",\"kind\":\"legs\"}]", "got \"legs\"" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\"}]", "want: a count n or [min, max]" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1.5}]", "got 1.5" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":[3,1]}]", "min at most max" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":[null,null]}]", "a count n" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1,\"axis\":\"z\"}]",
		  "axis: no such field of solids" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1,\"weight\":0}]",
		  "weight: a number" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1},"
		  "{\"id\":\"a\",\"kind\":\"solids\",\"want\":1}]",
		  "check \"a\": id: one of its own wanted, checks[0] has it too" },
		{ "[{\"id\":\"a\",\"kind\":\"bbox_mm\",\"want\":[1,2]}]", "want: [x, y, z] in mm" },
		{ "[{\"id\":\"a\",\"kind\":\"bbox_mm\",\"want\":[null,null,null]}]",
		  "at least one length" },
		{ "[{\"id\":\"a\",\"kind\":\"bbox_mm\",\"want\":[1,2,3],\"min_fraction\":0.5}]",
		  "only of use with" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"axis\":\"Z\"}]",
		  "axis: \"x\", \"y\" or \"z\" wanted, got \"Z\"" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"diameter_mm\":-3}]",
		  "a diameter above 0" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"pattern\":{\"row\":3}}]",
		  "pattern: {\"circle\"" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"pattern\":{\"grid\":[2,2]}}]",
		  "wanted with a pattern" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"through\":\"yes\"}]",
		  "true, false or null" },
		{ "[{\"id\":\"a\",\"kind\":\"section\",\"axis\":\"z\",\"want\":1}]",
		  "at: a number or [from, to], from 0 to 1 wanted, it is missing" },
		{ "[{\"id\":\"a\",\"kind\":\"section\",\"axis\":\"z\",\"at\":2,\"want\":1}]",
		  "got 2" },
		{ "[{\"id\":\"a\",\"kind\":\"section\",\"axis\":\"z\",\"at\":0.5,\"at_mm\":3,"
		  "\"want\":1}]",
		  "got both" },
		{ "[{\"id\":\"a\",\"kind\":\"rotational_symmetry\",\"axis\":\"z\",\"order\":1}]",
		  "order: a whole number from 2 to 360" },
		{ "[{\"id\":\"a\",\"kind\":\"mirror_symmetry\",\"plane\":\"zx\"}]", "plane: " },
		{ "[{\"id\":\"a\",\"kind\":\"faces\",\"surface\":\"round\",\"want\":1}]",
		  "surface: plane, cylinder" },
		{ "[{\"id\":\"a\",\"kind\":\"faces\",\"surface\":\"plane\",\"want\":1,"
		  "\"radius_mm\":[1,2]}]",
		  "radius_mm: planes and freeform surfaces have none" },
		{ "[{\"id\":\"a\",\"kind\":\"faces\",\"surface\":\"plane\",\"want\":1,"
		  "\"tilt_deg\":[10,20]}]",
		  "wanted with tilt_deg" },
		{ "[{\"id\":\"a\",\"kind\":\"holes\",\"want\":1,\"mirror\":[]}]",
		  "mirror: \"xy\"" },
		{ "[{\"id\":\"a\",\"kind\":\"volume_fraction\",\"want\":0.5}]",
		  "want: [min, max]" },
		{ "[{\"id\":\"a\",\"kind\":\"clearance\"}]", "region: {\"from\"" },
		{ "[{\"id\":\"a\",\"kind\":\"clearance\",\"region\":{\"from\":[0,0,0],"
		  "\"to\":[0,1,1]}}]",
		  "from below to wanted along x" },
		{ "[{\"id\":\"a\",\"kind\":\"clearance\",\"region\":{\"from\":[0,0,0],"
		  "\"to\":[1,1]}}]",
		  "region: to: [x, y, z] from 0 to 1" },
		{ "[{\"id\":\"a\",\"kind\":\"joint\",\"want\":1}]", "clearance_mm: a number" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1,\"covers\":[1]}]",
		  "covers: an array of keys" },
		{ "[{\"id\":\"a\",\"kind\":\"solids\",\"want\":1,\"want\":2}]", "there twice" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct check_list l = { NULL, 7 };
		struct err e = { 0 };
		cJSON *o = parsed(bad[i].text);
		assert_int_equal(checks_parse(&l, o, "f.json", &e), -1);
		print_message("%s\n", e.text);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, "f.json: ");
		assert_contains(e.text, bad[i].words);
		assert_int_equal(l.n, 0);
		assert_null(l.checks);
		cJSON_Delete(o);
	}
}

static void what_is_left_out_has_its_default(void **state)
{
	cJSON *o =
		parsed("[{\"id\":\"a\",\"kind\":\"holes\",\"want\":[2,null],\"diameter_mm\":100},"
	               "{\"id\":\"b\",\"kind\":\"contacts\",\"want\":4,\"weight\":2.5}]");
	struct check_list l;
	struct err e = { 0 };
	(void)state;
	assert_int_equal(checks_parse(&l, o, "f.json", &e), 0);
	assert_int_equal(l.n, 2);
	assert_close(l.checks[0].weight, 1, 0);
	assert_int_equal(l.checks[0].axis, -1);
	assert_int_equal(l.checks[0].count.max, 2147483647);
	assert_close(l.checks[0].diameter_mm.min, 98, 1e-9); /* 2 % of 100 is more than 1 mm */
	assert_int_equal(l.checks[0].through, -1);
	assert_string_equal(l.checks[0].about, "");
	assert_close(l.checks[1].weight, 2.5, 0);
	assert_int_equal(l.checks[1].axis, 2);
	assert_false(l.checks[1].high_side);
	checks_release(&l);
	checks_release(&l);
	assert_int_equal(checks_parse(&l, NULL, "f.json", &e), 0);
	assert_int_equal(l.n, 0);
	cJSON_Delete(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_box_is_as_long_as_it_should_be),
		cmocka_unit_test(holes_are_counted_as_an_engineer_does),
		cmocka_unit_test(what_is_to_be_symmetric_has_its_image),
		cmocka_unit_test(slots_and_split_bores_are_holes),
		cmocka_unit_test(a_cut_has_as_many_faces_as_it_should),
		cmocka_unit_test(what_touches_the_ground_is_counted),
		cmocka_unit_test(what_is_tied_together_is_one_piece),
		cmocka_unit_test(openings_are_seen_through),
		cmocka_unit_test(a_tooth_less_is_seen),
		cmocka_unit_test(faces_are_counted_by_surface),
		cmocka_unit_test(walls_and_volumes_are_measured),
		cmocka_unit_test(a_pin_in_a_bore_is_a_joint),
		cmocka_unit_test(a_part_is_checked_in_the_place_it_is_turned_to),
		cmocka_unit_test(whatever_the_shape_each_check_has_an_answer),
		cmocka_unit_test(what_cannot_be_told_is_said),
		cmocka_unit_test(a_list_of_no_checks_has_no_share),
		cmocka_unit_test(a_mistake_is_named_with_its_place),
		cmocka_unit_test(what_is_left_out_has_its_default),
	};
	return cmocka_run_group_tests(tests, warm, NULL);
}
