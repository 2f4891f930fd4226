/* corpus_furniture.c - families that stand on legs. */
#include "src/corpus_families.h"

const struct family family_table = {
	.name = "table",
	.task = "table_six_leg_500n",
	.bbox = { "top_length", "top_width", "table_height" },
	.number = {
		{ "top_length", "length of the top|table length", "X, the long side of the top", 700, 1400, 50, 900 },
		{ "top_width", "width of the top|table width", "Y, the short side of the top", 450, 800, 50, 600 },
		{ "table_height", "table height|height", "Z, floor to the upper face of the top", 400, 900, 20, 720 },
		{ "top_thickness", "top thickness|thickness of the top", NULL, 18, 40, 2, 0, "28" },
		{ "leg_size", "leg size|side of the legs", NULL, 30, 70, 5, 0, "45" },
		{ "bar_height", "bar height|height of the bars", NULL, 20, 50, 5, 0, "35" },
		{ "overhang", .otherwise = "30" },
		{ "bar_z", .otherwise = "table_height / 5" },
		{ "span_x", .otherwise = "top_length - leg_size - 2 * overhang" },
		{ "span_y", .otherwise = "top_width - leg_size - 2 * overhang" },
	},
	.part = {
		{ "top", "union",
		  "top = cq.Workplane('XY', origin=(0, 0, table_height))\n"
		  "top.rect(top_length, top_width).extrude(-top_thickness)" },
		{ "legs", "union",
		  "spots = cq.Workplane('XY').rarray(span_x / 2, span_y, 3, 2)\n"
		  "spots.rect(leg_size, leg_size).extrude(table_height - top_thickness)" },
		{ "cross_bars", "union",
		  "spots = cq.Workplane('XY', origin=(0, 0, bar_z)).rarray(span_x / 2, span_y, 3, 1)\n"
		  "spots.rect(leg_size / 2, span_y).extrude(bar_height)" },
		{ "long_bar", "union",
		  "cq.Workplane('XY', origin=(0, 0, bar_z)).rect(span_x, leg_size / 2).extrude(bar_height)" },
	},
	.says = {
		"Model a small six-legged table as CadQuery: a rectangular top on six separate, visible legs that are tied low down by stretcher bars, strong enough for a 500 N downward force.",
		"a table with six legs and stretcher bars low down",
		"a six-legged table, its legs tied by bars near the floor",
		"a rectangular table on six square legs with bars between them",
		"a workshop table: flat top, six legs, three cross bars and a long bar",
		"a table on two rows of three legs, joined by stretchers",
		"a six leg table with low stretchers",
	},
	.limits = "top_length > top_width",
};

const struct family family_chair = {
	.name = "chair",
	.task = "four_leg_chair_700n",
	.bbox = { "chair_width", "chair_depth", "chair_height" },
	.number = {
		{ "chair_width", "width|chair width", "X, at most", 380, 600, 10, 500 },
		{ "chair_depth", "depth|chair depth", "Y, at most, front edge to the back of the backrest", 380, 600, 10, 500 },
		{ "chair_height", "chair height|overall height", "Z, at most, floor to the top of the backrest", 780, 1100, 20, 900 },
		{ "seat_height", "seat height|height of the seat", NULL, 400, 500, 10, 0, "chair_height / 2" },
		{ "seat_thickness", "seat thickness|thickness of the seat", NULL, 20, 45, 5, 0, "30" },
		{ "leg_size", "leg size|side of the legs", NULL, 30, 60, 5, 0, "40" },
		{ "back_thickness", "back thickness|thickness of the backrest", NULL, 15, 30, 5, 0, "25" },
		{ "bar_z", .otherwise = "seat_height / 4" },
		{ "leg_x", .otherwise = "chair_width - leg_size" },
		{ "leg_y", .otherwise = "chair_depth - leg_size" },
	},
	.part = {
		{ "seat", "union",
		  "seat = cq.Workplane('XY', origin=(0, 0, seat_height))\n"
		  "seat.rect(chair_width, chair_depth).extrude(-seat_thickness)" },
		{ "legs", "union",
		  "spots = cq.Workplane('XY').rarray(leg_x, leg_y, 2, 2)\n"
		  "spots.rect(leg_size, leg_size).extrude(seat_height - seat_thickness)" },
		{ "side_bars", "union",
		  "spots = cq.Workplane('XY', origin=(0, 0, bar_z)).rarray(leg_x, leg_y, 2, 1)\n"
		  "spots.rect(leg_size / 2, leg_y).extrude(leg_size)" },
		{ "cross_bar", "union",
		  "cq.Workplane('XY', origin=(0, 0, bar_z)).rect(leg_x, leg_size / 2).extrude(leg_size)" },
		{ "backrest", "union",
		  "back = cq.Workplane('XY', origin=(0, chair_depth / 2 - back_thickness / 2, seat_height))\n"
		  "back.rect(chair_width, back_thickness).extrude(chair_height - seat_height)" },
	},
	.says = {
		"Model a plain chair with four legs in editable CadQuery. A seat panel, four legs joined to it, bars between the legs near the floor and a backrest; it carries a sitting load of 700 N, stays within {chair_width} x {chair_depth} x {chair_height} mm, and nothing floats.",
		"a plain chair with four legs, bars between them and a backrest",
		"a simple kitchen chair: seat, four legs, low bars, straight back",
		"a four-legged chair with a flat back and bars near the floor",
		"a wooden chair with square legs and a panel as backrest",
		"a chair on four legs that are tied by bars",
		"a dining chair with four legs and a back",
	},
	.limits = "seat_height + 300 <= chair_height",
};

const struct family family_bench = {
	.name = "bench",
	.bbox = { "bench_length", "bench_width", "bench_height" },
	.number = {
		{ "bench_length", "bench length|length", "X", 800, 1600, 50 },
		{ "bench_width", "bench width|width", "Y", 250, 400, 10 },
		{ "bench_height", "bench height|height", "Z", 380, 500, 10 },
		{ "seat_thickness", "seat thickness|thickness of the seat", NULL, 20, 45, 5 },
		{ "leg_thickness", "leg thickness|thickness of the two sides", NULL, 20, 50, 5 },
		{ "leg_x", .otherwise = "bench_length - 4 * leg_thickness" },
	},
	.part = {
		{ "seat", "union",
		  "seat = cq.Workplane('XY', origin=(0, 0, bench_height))\n"
		  "seat.rect(bench_length, bench_width).extrude(-seat_thickness)" },
		{ "legs", "union",
		  "spots = cq.Workplane('XY').rarray(leg_x, bench_width, 2, 1)\n"
		  "spots.rect(leg_thickness, bench_width).extrude(bench_height - seat_thickness)" },
		{ "beam", "union",
		  "cq.Workplane('XY', origin=(0, 0, bench_height / 2)).rect(leg_x, leg_thickness).extrude(leg_thickness)" },
	},
	.says = {
		"a bench with two solid sides and a beam between them",
		"a garden bench: a long seat on two upright panels",
	},
	.limits = "",
};
