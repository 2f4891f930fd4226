/* corpus_simple.c - families of plain parts that no task asks for. */
#include "src/corpus_families.h"

const struct family family_plate = {
	.name = "plate",
	.bbox = { "length", "width", "thickness" },
	.number = {
		{ "length", "length|long side", "X", 60, 240, 5 },
		{ "width", "width|short side", "Y", 40, 160, 5 },
		{ "thickness", "thickness|height", "Z", 3, 20, 1 },
		{ "hole_diameter", "hole diameter|diameter of the holes", "four holes", 4, 12, 0.5 },
		{ "hole_inset", "hole inset|distance of the holes from the edge", "edge to hole", 8, 16, 1 },
		{ "bore_diameter", "bore diameter|diameter of the middle hole", "in the middle", 10, 40, 2, .option = 1 },
		{ "corner_radius", "corner radius|radius of the corners", "rounded corners", 2, 8, 1, .option = 2 },
		{ "spacing_x", .otherwise = "length - 2 * hole_inset" },
		{ "spacing_y", .otherwise = "width - 2 * hole_inset" },
	},
	.part = {
		{ "plate", "union", "cq.Workplane('XY').rect(length, width).extrude(thickness)" },
		{ "corners", "intersect",
		  "block = cq.Workplane('XY').rect(length, width).extrude(thickness)\n"
		  "block.edges('|Z').fillet(corner_radius)", 2 },
		{ "holes", "cut",
		  "spots = cq.Workplane('XY').rarray(spacing_x, spacing_y, 2, 2)\n"
		  "spots.circle(hole_diameter / 2).extrude(thickness)" },
		{ "bore", "cut", "cq.Workplane('XY').circle(bore_diameter / 2).extrude(thickness)", 1 },
	},
	.option = {
		{ 50, false, "with a bore in the middle|with a large hole in the centre" },
		{ 40, false, "with rounded corners|its corners rounded" },
	},
	.says = {
		"a flat plate with four holes near its corners",
		"a mounting plate with a hole at each corner",
		"a rectangular plate, drilled four times",
		"a base plate with four screw holes",
		"a cover plate held by four screws",
		"an adapter plate with four holes",
	},
	.limits = "hole_diameter <= hole_inset;bore_diameter + 2 * hole_inset + 16 <= width;"
		  "length > width;corner_radius <= hole_inset",
	.weight = 15,
};

const struct family family_flange = {
	.name = "flange",
	.bbox = { "outer_diameter", "outer_diameter", "height" },
	.number = {
		{ "outer_diameter", "outer diameter|diameter outside", "X and Y", 60, 220, 5 },
		{ "height", "height|overall height", "Z", 20, 70, 5 },
		{ "thickness", "thickness|disc thickness", "of the disc", 6, 18, 1 },
		{ "hub_diameter", "hub diameter|diameter of the hub", "of the hub", 25, 100, 5 },
		{ "bore_diameter", "bore diameter|diameter of the bore", "through the hub", 10, 70, 2 },
		{ "holes", "holes|bolt holes", NULL, 3, 12, 1, .unit = A_COUNT },
		{ "hole_diameter", "hole diameter|diameter of the holes", "bolts", 4, 14, 1 },
	},
	.part = {
		{ "disc", "union", "cq.Workplane('XY').circle(outer_diameter / 2).extrude(thickness)" },
		{ "hub", "union", "cq.Workplane('XY').circle(hub_diameter / 2).extrude(height)" },
		{ "bore", "cut", "cq.Workplane('XY').circle(bore_diameter / 2).extrude(height)" },
		{ "bolts", "cut",
		  "spots = cq.Workplane('XY').polarArray((outer_diameter + hub_diameter) / 4, 0, 360, holes)\n"
		  "spots.circle(hole_diameter / 2).extrude(thickness)" },
	},
	.says = {
		"a flange with a hub and bolt holes around it",
		"a round flange: disc, hub, bore and a ring of holes",
		"a pipe flange with a raised hub",
		"a bolted flange with a bore",
		"a disc with a hub, bored and drilled",
		"a hub flange with holes on a circle",
	},
	.limits = "hub_diameter + 2 * hole_diameter + 12 <= outer_diameter;bore_diameter + 8 <= hub_diameter;"
		  "thickness + 5 <= height;holes * hole_diameter * 1.5 <= 1.5 * (outer_diameter + hub_diameter) / 2",
};

const struct family family_bush = {
	.name = "bush",
	.bbox = { "outer_diameter", "outer_diameter", "length" },
	.number = {
		{ "outer_diameter", "outer diameter|diameter outside", "X and Y", 16, 90, 2 },
		{ "length", "length|overall length", "Z", 10, 100, 5 },
		{ "bore_diameter", "bore diameter|inner diameter", "inside", 6, 70, 2 },
		{ "collar_thickness", "collar thickness|thickness of the collar", "at the foot", 2, 10, 1, .option = 1 },
		{ "body_diameter", "body diameter|diameter of the body", "above the collar", 12, 80, 2, .option = 1 },
	},
	.part = {
		{ "body", "union", "cq.Workplane('XY').circle(outer_diameter / 2).extrude(length)" },
		{ "step", "cut",
		  "step = cq.Workplane('XY', origin=(0, 0, collar_thickness)).circle(outer_diameter / 2)\n"
		  "step.circle(body_diameter / 2).extrude(length)", 1 },
		{ "bore", "cut", "cq.Workplane('XY').circle(bore_diameter / 2).extrude(length)" },
	},
	.option = { { 50, false, "with a collar at its foot|with a flanged foot" } },
	.says = {
		"a bush",
		"a plain bearing bush",
		"a round sleeve with a bore",
		"a spacer tube",
		"a bored cylinder",
		"a bearing sleeve",
	},
	.limits = "bore_diameter + 4 <= outer_diameter;body_diameter + 4 <= outer_diameter;bore_diameter + 4 <= body_diameter;"
		  "collar_thickness + 4 <= length",
};

const struct family family_angle = {
	.name = "angle",
	.bbox = { "length", "width", "height" },
	.number = {
		{ "length", "length|length of the foot", "X", 40, 140, 5 },
		{ "width", "width|width of the angle", "Y", 30, 120, 5 },
		{ "height", "height|height of the wall", "Z", 40, 140, 5 },
		{ "thickness", "thickness|wall thickness", "of both sides", 3, 12, 1 },
		{ "hole_diameter", "hole diameter|diameter of the holes", "two in the foot, two in the wall", 4, 12, 0.5 },
		{ "rib_thickness", "rib thickness|thickness of the rib", "between foot and wall", 3, 10, 1, .option = 1 },
		{ "wall_x", .otherwise = "-length / 2" },
	},
	.part = {
		{ "foot", "union", "cq.Workplane('XY').rect(length, width).extrude(thickness)" },
		{ "wall", "union", "cq.Workplane('YZ', origin=(wall_x, 0, height / 2)).rect(width, height).extrude(thickness)" },
		{ "rib", "union",
		  "rib = cq.Workplane('XZ', origin=(wall_x, 0, 0)).polyline([(0, 0), (length * 0.8, 0), (0, height * 0.8)])\n"
		  "rib.close().extrude(rib_thickness / 2, both=True)", 1 },
		{ "foot_holes", "cut",
		  "spots = cq.Workplane('XY', origin=(length / 5, 0, 0)).rarray(1, width * 0.6, 1, 2)\n"
		  "spots.circle(hole_diameter / 2).extrude(thickness)" },
		{ "wall_holes", "cut",
		  "spots = cq.Workplane('YZ', origin=(wall_x, 0, height * 0.7)).rarray(width * 0.6, 1, 2, 1)\n"
		  "spots.circle(hole_diameter / 2).extrude(thickness)" },
	},
	.option = { { 50, false, "with a rib in its corner|stiffened by a rib" } },
	.says = {
		"an angle bracket with two holes in each side",
		"an L-shaped bracket, drilled in foot and wall",
		"a right-angle bracket with four holes",
		"a steel angle with holes in both sides",
		"a corner bracket",
		"an L bracket with two holes a side",
	},
	.limits = "hole_diameter + 4 <= width * 0.4;hole_diameter / 2 + thickness + 3 <= length * 0.7;hole_diameter + 3 <= length * 0.3;"
		  "hole_diameter / 2 + 3 <= height * 0.3;thickness + hole_diameter / 2 + 3 <= height * 0.7;rib_thickness + hole_diameter + 4 <= width * 0.6",
};

const struct family family_knob = {
	.name = "knob",
	.bbox = { "knob_diameter", "knob_diameter", "knob_height" },
	.number = {
		{ "knob_diameter", "knob diameter|diameter of the knob", "X and Y", 24, 80, 2 },
		{ "knob_height", "knob height|overall height", "Z", 20, 60, 2 },
		{ "neck_diameter", "neck diameter|diameter of the neck", "below the head", 10, 40, 2 },
		{ "neck_height", "neck height|height of the neck", "below the head", 6, 24, 1 },
		{ "bore_diameter", "bore diameter|diameter of the bore", "from below", 4, 14, 1 },
	},
	.part = {
		{ "neck", "union", "cq.Workplane('XY').circle(neck_diameter / 2).extrude(knob_height)" },
		{ "head", "union",
		  "head = cq.Workplane('XY', origin=(0, 0, neck_height)).circle(knob_diameter / 2)\n"
		  "head.extrude(knob_height - neck_height)" },
		{ "bore", "cut", "cq.Workplane('XY').circle(bore_diameter / 2).extrude(knob_height / 2)" },
	},
	.says = { "a round knob with a neck and a bore from below", "a machine knob: head, neck, blind bore" },
	.limits = "neck_diameter + 6 <= knob_diameter;bore_diameter + 4 <= neck_diameter;neck_height + 6 <= knob_height",
};

const struct family family_tee = {
	.name = "tee",
	.bbox = { "tee_length", "tee_width", "tee_height" },
	.number = {
		{ "tee_length", "tee length|length of the flange", "X", 60, 200, 5 },
		{ "tee_width", "tee width|width", "Y", 20, 100, 5 },
		{ "tee_height", "tee height|overall height", "Z", 40, 160, 5 },
		{ "flange_thickness", "flange thickness|thickness of the flange", "Z", 4, 14, 1 },
		{ "web_thickness", "web thickness|thickness of the web", "X", 4, 14, 1 },
		{ "hole_diameter", "hole diameter|diameter of the hole", "through the web", 4, 12, 1 },
	},
	.part = {
		{ "flange", "union", "cq.Workplane('XY').rect(tee_length, tee_width).extrude(flange_thickness)" },
		{ "web", "union", "cq.Workplane('XY').rect(web_thickness, tee_width).extrude(tee_height)" },
		{ "hole", "cut",
		  "hole = cq.Workplane('YZ', origin=(0, 0, tee_height * 0.7)).circle(hole_diameter / 2)\n"
		  "hole.extrude(tee_length, both=True)" },
	},
	.says = { "a T-shaped bracket: flange and upright web with a hole", "a tee profile with a drilled web" },
	.limits = "hole_diameter + 6 <= tee_width;hole_diameter / 2 + 4 <= tee_height * 0.3;flange_thickness + hole_diameter / 2 + 4 <= tee_height * 0.7",
};
