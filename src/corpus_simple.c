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
