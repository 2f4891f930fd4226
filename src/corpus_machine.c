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
		{ "margin", .otherwise = "20" },
		{ "body_length", .otherwise = "housing_length - 2 * margin" },
		{ "body_width", .otherwise = "housing_width - 2 * margin" },
		{ "drain_z", .otherwise = "30" },
	},
	.part = {
		{ "body", "union",
		  "body = cq.Workplane('XY').rect(body_length, body_width).extrude(housing_height)\n"
		  "body.edges('|Z').fillet(wall_thickness)" },
		{ "flange", "union",
		  "flange = cq.Workplane('XY', origin=(0, 0, split_height - flange_thickness / 2))\n"
		  "flange.rect(housing_length, housing_width).extrude(flange_thickness)" },
		{ "ribs", "union", "cq.Workplane('XY').rect(wall_thickness, housing_width - margin).extrude(housing_height)" },
		{ "boss", "union",
		  "cq.Workplane('YZ', origin=(0, 0, drain_z)).circle(14).extrude(housing_length / 2 - margin / 2)" },
		{ "cavity", "cut",
		  "cavity = cq.Workplane('XY', origin=(0, 0, wall_thickness))\n"
		  "cavity = cavity.rect(body_length - 2 * wall_thickness, body_width - 2 * wall_thickness)\n"
		  "cavity.extrude(housing_height - 2 * wall_thickness)" },
		{ "bores", "cut",
		  "large = cq.Workplane('XZ', origin=(-bore_distance / 2, 0, split_height)).circle(large_bore_diameter / 2)\n"
		  "small = cq.Workplane('XZ', origin=(bore_distance / 2, 0, split_height)).circle(small_bore_diameter / 2)\n"
		  "large.extrude(housing_width, both=True).union(small.extrude(housing_width, both=True))" },
		{ "holes", "cut",
		  "spots = cq.Workplane('XY').rarray(housing_length - margin, housing_width - margin, 2, 2)\n"
		  "spots.circle(margin / 4).extrude(housing_height)" },
		{ "seam", "cut",
		  "seam = cq.Workplane('XY', origin=(0, 0, split_height)).rect(housing_length, housing_width)\n"
		  "seam.rect(housing_length - 4, housing_width - 4).extrude(2)" },
		{ "drain", "cut", "cq.Workplane('YZ', origin=(0, 0, drain_z)).circle(6).extrude(housing_length)" },
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
		{ "fork_thickness", .otherwise = "6" },
		{ "axle_diameter", .otherwise = "10" },
		{ "fork_y", .otherwise = "wheel_width / 2 + fork_thickness" },
		{ "fork_z", .otherwise = "overall_height * 0.72" },
	},
	.part = {
		{ "plate", "union",
		  "plate = cq.Workplane('XY', origin=(0, 0, overall_height)).rect(plate_length, plate_width)\n"
		  "plate.extrude(-plate_thickness)" },
		{ "stem", "union", "cq.Workplane('XY', origin=(0, 0, fork_z)).circle(fork_y / 2).extrude(overall_height - fork_z)" },
		{ "fork", "union",
		  "legs = cq.Workplane('XY', origin=(0, 0, wheel_radius - axle_diameter))\n"
		  "legs = legs.rarray(1, 2 * fork_y, 1, 2).rect(2 * axle_diameter, fork_thickness)\n"
		  "legs = legs.extrude(fork_z - wheel_radius + axle_diameter)\n"
		  "bridge = cq.Workplane('XY', origin=(0, 0, fork_z)).rect(2 * axle_diameter, 2 * fork_y + fork_thickness)\n"
		  "legs.union(bridge.extrude(fork_thickness))" },
		{ "wheel", "union",
		  "wheel = cq.Workplane('XZ', origin=(0, 0, wheel_radius)).circle(wheel_radius)\n"
		  "wheel.extrude(wheel_width / 2, both=True)" },
		{ "axle", "union",
		  "axle = cq.Workplane('XZ', origin=(0, 0, wheel_radius)).circle(axle_diameter / 2)\n"
		  "axle.extrude(fork_y + fork_thickness, both=True)" },
		{ "holes", "cut",
		  "spots = cq.Workplane('XY', origin=(0, 0, overall_height))\n"
		  "spots = spots.rarray(plate_length * 0.75, plate_width * 0.75, 2, 2)\n"
		  "spots.circle(hole_diameter / 2).extrude(-plate_thickness)" },
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
		  "2 * wheel_radius + 4 <= fork_z;2 * fork_y + 2 * fork_thickness + 4 <= plate_width;fork_z + 12 + plate_thickness <= overall_height",
};
