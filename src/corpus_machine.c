/* corpus_machine.c - families of housings, hinges and wheels. */
#include "src/corpus_families.h"

const struct family family_gearbox = {
	.name = "gearbox",
	.task = "gearbox_housing_split",
	.bbox = { "housing_length", "housing_width", "housing_height" },
	.number = {
		{ "housing_length", "housing length|overall length", "X", 220, 340, 10, 260 },
		{ "housing_width", "housing width|overall width", "Y, along the bearing bores", 140, 240, 10, 180 },
		{ "housing_height", "housing height|overall height", "Z", 130, 210, 5, 160 },
		{ "split_height", "split height|height of the seam", "Z, of the seam", 65, 105, 5, 80 },
		{ "flange_thickness", "flange thickness|thickness of the flange", "Z, both halves", 16, 30, 2, 24 },
		{ "wall_thickness", "wall thickness|thickness of the walls", "of the body", 6, 12, 1, 9 },
		{ "large_bore_diameter", "large bore diameter|diameter of the large bore", "along Y", 52, 80, 1, 68 },
		{ "small_bore_diameter", "small bore diameter|diameter of the small bore", "along Y", 32, 55, 1, 47 },
		{ "bore_distance", "bore distance|distance of the bores", "X, between the bores", 80, 130, 5, 110 },
		{ "body_length", .otherwise = "housing_length - 40" },
		{ "body_width", .otherwise = "housing_width - 40" },
	},
	.part = {
		{ "body", "union",
		  "body = cq.Workplane('XY').rect(body_length, body_width).extrude(housing_height).edges('|Z').fillet(10)\n"
		  "ribs = cq.Workplane('XY').rect(wall_thickness, housing_width - 20).extrude(housing_height)\n"
		  "drain = cq.Workplane('YZ', origin=(0, 0, 30)).circle(14).circle(6).extrude(housing_length / 2 - 10)\n"
		  "body.union(ribs).union(drain)" },
		{ "flange", "union",
		  "flange = cq.Workplane('XY', origin=(0, 0, split_height)).rect(housing_length, housing_width)\n"
		  "flange = flange.extrude(flange_thickness / 2, both=True).faces('>Z').workplane()\n"
		  "flange.rarray(housing_length - 20, housing_width - 20, 2, 2).hole(10)" },
		{ "room", "cut",
		  "room = cq.Workplane('XY', origin=(0, 0, wall_thickness)).rect(body_length - 20, body_width - 20)\n"
		  "room.extrude(housing_height - 2 * wall_thickness)" },
		{ "bores", "cut",
		  "bores = cq.Workplane('XZ', origin=(-bore_distance / 2, 0, split_height))\n"
		  "large = bores.circle(large_bore_diameter / 2).extrude(housing_width, both=True)\n"
		  "large.union(bores.center(bore_distance, 0).circle(small_bore_diameter / 2).extrude(housing_width, both=True))" },
	},
	.says = {
		"Model a compact split gearbox housing in editable CadQuery: two bearing bores, flanges with bolts, ribs, a seam for a removable cover, an oil drain boss and rounded outer edges.",
		"a gearbox housing with two bearing bores, a bolted flange and a drain",
		"a hollow gear housing: body, split flange, two bores, drain boss",
		"a housing for two shafts with a flange and four bolt holes",
		"a gear case with a seam, ribs and two bores",
		"a split gear case with bearing bores",
		"a transmission housing with a flange, bores and a drain hole",
	},
	.limits = "large_bore_diameter / 2 + small_bore_diameter / 2 + 20 <= bore_distance;"
		  "bore_distance / 2 + large_bore_diameter / 2 + wall_thickness + 10 <= body_length / 2;"
		  "bore_distance / 2 - small_bore_diameter / 2 >= wall_thickness;bore_distance / 2 - large_bore_diameter / 2 >= wall_thickness;"
		  "split_height - large_bore_diameter / 2 >= 36;split_height + large_bore_diameter / 2 + 12 <= housing_height;"
		  "split_height - flange_thickness / 2 >= 48;split_height <= housing_height * 0.55;split_height >= housing_height * 0.45",
};

const struct family family_hinge = {
	.name = "hinge",
	.task = "hinge_leaf_barrel",
	.bbox = { "hinge_width", "hinge_height", "barrel_diameter" },
	.number = {
		{ "hinge_width", "hinge width|width of both leaves", "X, both leaves opened flat", 60, 140, 5, 100 },
		{ "hinge_height", "hinge height|height along the pin", "Y, along the pin", 40, 120, 5, 70 },
		{ "barrel_diameter", "barrel diameter|diameter of the barrel", "Z", 9, 18, 0.5, 12 },
		{ "leaf_thickness", "leaf thickness|thickness of the leaves", "of each leaf", 2.5, 5, 0.5, 3 },
		{ "pin_diameter", "pin diameter|diameter of the pin", "through the whole barrel", 4, 9, 0.5, 6 },
		{ "screw_hole_diameter", "screw hole diameter|diameter of the screw holes", "countersunk to 9", 3, 6, 0.5, 4.5 },
		{ "corner_radius", "corner radius|radius of the corners", NULL, 2, 8, 1, 0, "6" },
		{ "gap", .otherwise = "1" },
	},
	.part = {
		{ "leaves", "union",
		  "leaves = cq.Workplane('XY').rect(hinge_width, hinge_height).extrude(leaf_thickness)\n"
		  "leaves = leaves.edges('|Z').fillet(corner_radius).faces('>Z').workplane()\n"
		  "leaves = leaves.rarray(hinge_width * 0.6, hinge_height * 0.6, 2, 2)\n"
		  "leaves.cskHole(screw_hole_diameter, 2 * screw_hole_diameter, 82)" },
		{ "barrel", "union",
		  "barrel = cq.Workplane('XZ', origin=(0, 0, barrel_diameter / 2)).circle(barrel_diameter / 2)\n"
		  "barrel.extrude(hinge_height / 2, both=True)" },
		{ "slot", NULL,
		  "slot = cq.Workplane('XZ', origin=(0, hinge_height / 6, barrel_diameter / 2))\n"
		  "slot.circle(barrel_diameter / 2 + gap).circle(pin_diameter / 2).extrude(gap)" },
		{ "slots", "cut", "@slot.union(@slot.mirror('XZ'))" },
	},
	.says = {
		"Model a simple door hinge in editable CadQuery: two leaves, barrel knuckles that alternate, a pin through the centre, countersunk screw holes and rounded leaf corners.",
		"a door hinge with two leaves, a barrel and countersunk screw holes",
		"a flat hinge: two rounded leaves on a barrel with a pin",
		"a hinge with knuckles, a pin and four countersunk holes",
		"a butt hinge opened flat, its corners rounded",
		"a cabinet hinge with four screws",
		"a hinge with rounded leaves and four screw holes",
	},
	.limits = "barrel_diameter >= pin_diameter + 4;barrel_diameter >= 3 * leaf_thickness;"
		  "screw_hole_diameter * 0.58 <= leaf_thickness - 0.3;"
		  "hinge_width * 0.3 - screw_hole_diameter >= barrel_diameter / 2 + 2;"
		  "hinge_width * 0.2 >= screw_hole_diameter + 2;hinge_height * 0.2 >= screw_hole_diameter + 1.5;"
		  "leaf_thickness < barrel_diameter / 2 - pin_diameter / 2 + 2",
};

const struct family family_caster = {
	.name = "caster",
	.task = "caster_wheel_fork",
	.bbox = { "plate_length", "plate_width", "overall_height" },
	.number = {
		{ "plate_length", "plate length|length of the plate", "X", 80, 140, 5, 90 },
		{ "plate_width", "plate width|width of the plate", "Y", 60, 120, 5, 80 },
		{ "overall_height", "overall height|height", "Z, floor to the upper face of the plate", 100, 180, 5, 130 },
		{ "plate_thickness", "plate thickness|thickness of the plate", NULL, 5, 10, 1, 0, "6" },
		{ "wheel_width", "wheel width|width of the wheel", NULL, 18, 30, 1, 0, "24" },
		{ "hole_diameter", "hole diameter|diameter of the holes", NULL, 5, 10, 0.5, 0, "8" },
		{ "wheel_radius", .otherwise = "overall_height * 0.31" },
		{ "axle_radius", .otherwise = "5" },
		{ "fork_y", .otherwise = "wheel_width / 2 + 6" },
		{ "fork_z", .otherwise = "overall_height * 0.72" },
	},
	.part = {
		{ "plate", "union",
		  "plate = cq.Workplane('XY', origin=(0, 0, overall_height)).rect(plate_length, plate_width).extrude(-plate_thickness)\n"
		  "plate.faces('>Z').workplane().rarray(plate_length * 0.75, plate_width * 0.75, 2, 2).hole(hole_diameter)" },
		{ "stem", "union",
		  "stem = cq.Workplane('XY', origin=(0, 0, overall_height)).circle(fork_y / 2).extrude(fork_z - overall_height)\n"
		  "bridge = cq.Workplane('XY', origin=(0, 0, fork_z)).rect(20, 2 * fork_y + 6)\n"
		  "stem.union(bridge.extrude(6))" },
		{ "fork", "union",
		  "fork = cq.Workplane('XY', origin=(0, 0, fork_z + 1)).rarray(1, 2 * fork_y, 1, 2).rect(20, 6)\n"
		  "fork.extrude(wheel_radius - fork_z - 2 * axle_radius)" },
		{ "wheel", "union",
		  "wheel = cq.Workplane('XZ', origin=(0, 0, wheel_radius))\n"
		  "axle = wheel.circle(axle_radius).extrude(fork_y + 6, both=True)\n"
		  "wheel.circle(wheel_radius).extrude(wheel_width / 2, both=True).union(axle)" },
	},
	.says = {
		"Model a small swivel caster in editable CadQuery: wheel, axle, U-shaped fork, stem that swivels, and a top plate with four mounting holes.",
		"a caster with a wheel in a fork below a drilled plate",
		"a swivel caster: plate with four holes, stem, fork, wheel on an axle",
		"a furniture caster with a single wheel",
		"a wheel with fork, stem and top plate",
		"a small transport caster, its plate held by four screws",
		"a caster wheel with a fork and a plate",
	},
	.limits = "2 * wheel_radius <= plate_length;hole_diameter + 4 <= plate_width * 0.25;hole_diameter + 4 <= plate_length * 0.25;"
		  "2 * wheel_radius + 4 <= fork_z;2 * fork_y + 16 <= plate_width;fork_z + 12 + plate_thickness <= overall_height",
};
