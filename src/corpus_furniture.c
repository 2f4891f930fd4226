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
	.at_most = true,
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

const struct family family_curvy_chair = {
	.name = "curvy_chair",
	.task = "ergonomic_curvy_chair_1000n",
	.bbox = { "chair_width", "chair_depth", "chair_height" },
	.number = {
		{ "chair_width", "chair width|overall width", "X, over the armrests", 580, 700, 10, 620 },
		{ "chair_depth", "chair depth|overall depth", "Y", 600, 720, 10, 650 },
		{ "chair_height", "chair height|overall height", "Z, floor to the top of the headrest", 1060, 1240, 10, 1120 },
		{ "seat_height", "seat height|height of the seat", "Z", 420, 490, 5, 455 },
		{ "seat_width", "seat width|width of the seat", "X", 460, 540, 10, 500 },
		{ "seat_depth", "seat depth|depth of the seat", "Y", 450, 530, 10, 490 },
		{ "armrest_height", "armrest height|height of the armrests", "Z, top", 640, 700, 5, 665 },
		{ "backrest_width", "backrest width|width of the backrest", "X", 360, 440, 10, 400 },
		{ "headrest_height", "headrest height|height of the headrest", "Z, up to the top of the chair", 100, 160, 10, 140 },
		{ "leg_size", .otherwise = "45" },
		{ "back_y", .otherwise = "chair_depth / 4" },
	},
	.part = {
		{ "legs", "union",
		  "legs = cq.Workplane('XY').rarray(seat_width - leg_size, chair_depth - leg_size, 2, 2).rect(leg_size, leg_size)\n"
		  "bars = cq.Workplane('XY', origin=(0, 0, seat_height / 3)).rect(seat_width, chair_depth)\n"
		  "legs.extrude(armrest_height).union(bars.rect(seat_width - 90, chair_depth - 90).extrude(leg_size))" },
		{ "seat", "union",
		  "seat = cq.Workplane('XY', origin=(0, (seat_depth - chair_depth) / 2, seat_height))\n"
		  "seat.rect(seat_width, seat_depth).extrude(-leg_size)" },
		{ "back", "union",
		  "back = cq.Workplane('XY', origin=(0, back_y, chair_height)).moveTo(-backrest_width / 2, -leg_size)\n"
		  "back = back.threePointArc((0, leg_size), (backrest_width / 2, -leg_size)).close()\n"
		  "back.extrude(seat_height - chair_height - leg_size)" },
		{ "headrest", "union",
		  "cq.Workplane('XY', origin=(0, back_y, chair_height)).rect(260, 90).extrude(-headrest_height)" },
		{ "armrests", "union",
		  "arms = cq.Workplane('XY', origin=(0, 0, armrest_height)).rarray(chair_width - 80, 1, 2, 1)\n"
		  "arms.rect(80, chair_depth).extrude(-leg_size)" },
	},
	.says = {
		"Model a curvy ergonomic chair in editable CadQuery: curved seat, four splayed legs joined by crossbars, armrests, curved backrest and headrest. It carries 1000 N on the seat and 100 N on the back and is one connected, watertight body.",
		"an ergonomic chair with splayed legs, a curved back, armrests and a headrest",
		"a curvy armchair: dished seat, bent backrest, headrest, four slanted legs",
		"a comfortable chair with armrests and a headrest on splayed legs",
		"a curved lounge chair with four splayed legs and bars",
		"an armchair with a bent back and a headrest",
		"an ergonomic armchair with a curved seat and back",
	},
	.limits = "seat_width <= chair_width - leg_size * 2;armrest_height >= seat_height + 3 * leg_size;"
		  "chair_width / 2 - 80 <= seat_width / 2 - 10;seat_depth <= chair_depth - 120;seat_depth - chair_depth / 2 >= chair_depth / 4 - 30",
};

const struct family family_step_stool = {
	.name = "step_stool",
	.task = "folding_step_stool",
	.bbox = { "stool_width", "stool_depth", "stool_height" },
	.number = {
		{ "stool_width", "stool width|overall width", "X, over the side frames", 360, 500, 10, 420 },
		{ "stool_depth", "stool depth|overall depth", "Y", 320, 420, 10, 360 },
		{ "stool_height", "stool height|overall height", "Z, floor to the upper step", 420, 560, 10, 480 },
		{ "step_thickness", "step thickness|thickness of the steps", "Z", 18, 28, 1, 22 },
		{ "upper_step_depth", "upper step depth|depth of the upper step", "Y", 220, 280, 10, 250 },
		{ "lower_step_height", "lower step height|height of the lower step", "Z, its top", 210, 270, 2, 236 },
		{ "pivot_diameter", "pivot diameter|diameter of the pivots", "where the frames cross", 10, 20, 1, 14 },
		{ "bar_depth", "bar depth|depth of the bars", "of the side bars, 15 thick", 28, 40, 1, 34 },
		{ "side_x", .otherwise = "stool_width / 2 - 15" },
		{ "top_z", .otherwise = "stool_height - step_thickness" },
		{ "foot_y", .otherwise = "stool_depth / 2" },
		{ "head_y", .otherwise = "upper_step_depth / 2" },
	},
	.part = {
		{ "steps", "union",
		  "top = cq.Workplane('XY', origin=(0, 0, stool_height)).rect(stool_width, upper_step_depth).extrude(-step_thickness)\n"
		  "grooves = cq.Workplane('XY', origin=(0, 0, stool_height)).rarray(1, 40, 1, 5).rect(stool_width, 6)\n"
		  "lower = cq.Workplane('XY', origin=(0, -foot_y / 2, lower_step_height)).rect(2 * side_x, head_y)\n"
		  "top.cut(grooves.extrude(-2)).union(lower.extrude(-step_thickness))" },
		{ "frame", "union",
		  "bar = cq.Workplane('YZ', origin=(side_x, 0, 0)).moveTo(-foot_y, 0).lineTo(bar_depth - foot_y, 0)\n"
		  "bar = bar.lineTo(head_y, top_z).lineTo(head_y - bar_depth, top_z).close().extrude(8, both=True)\n"
		  "pivot = cq.Workplane('YZ', origin=(side_x, 0, top_z * 0.6)).circle(pivot_diameter / 2).extrude(15, both=True)\n"
		  "bar.union(bar.mirror('XZ')).union(pivot)" },
		{ "other_frame", "union",
		  "@frame.mirror('YZ')" },
		{ "barrel", "union",
		  "cq.Workplane('YZ', origin=(0, 0, top_z)).circle(9).extrude(side_x, both=True)" },
	},
	.says = {
		"Model a compact folding step stool in editable CadQuery: upper step, lower step, side frames that cross, hinge barrels, anti-slip grooves, and pivots that are visible and connected.",
		"a folding step stool with crossed side frames and two steps",
		"a step stool: grooved upper step, lower step, frames that cross at pivots",
		"a small folding ladder stool with two steps",
		"a stool with crossed legs, a lower step and a grooved top",
		"a kitchen step stool with two steps",
		"a two-step stool on crossed frames",
	},
	.limits = "lower_step_height <= top_z * 0.53;foot_y > head_y + 20;"
		  "(foot_y - bar_depth / 2) / (foot_y + head_y - bar_depth) >= 0.59;(foot_y - bar_depth / 2) / (foot_y + head_y - bar_depth) <= 0.63",
};

const struct family family_office_chair = {
	.name = "office_chair",
	.task = "office_chair",
	.bbox = { "chair_width", "chair_depth", "chair_height" },
	.number = {
		{ "chair_width", "chair width|overall width", "X, over the star base and the armrests", 660, 760, 10, 680 },
		{ "chair_depth", "chair depth|overall depth", "Y, over the star base", 660, 740, 10, 680 },
		{ "chair_height", "chair height|overall height", "Z, floor to the top of the headrest", 1100, 1300, 20, 1200 },
		{ "seat_height", "seat height|height of the seat", NULL, 450, 530, 10, 0, "510" },
		{ "seat_size", "seat size|side of the seat", NULL, 480, 540, 10, 0, "500" },
		{ "armrest_height", "armrest height|height of the armrests", NULL, 680, 760, 10, 0, "740" },
		{ "base_radius", .otherwise = "chair_depth / 2 - 25" },
		{ "back_y", .otherwise = "seat_size - chair_depth / 2 + 20" },
	},
	.part = {
		{ "base", "union",
		  "casters = cq.Workplane('XY').polarArray(base_radius, 90, 360, 5).circle(25).extrude(80)\n"
		  "arms = cq.Workplane('XY', origin=(0, 0, 60)).polarArray(base_radius / 2, 90, 360, 5)\n"
		  "casters.union(arms.rect(base_radius, 50).extrude(80))" },
		{ "column", "union",
		  "column = cq.Workplane('XY', origin=(0, 0, 100)).circle(25).extrude(seat_height - 150)\n"
		  "column.union(cq.Workplane('XY', origin=(0, 0, seat_height - 150)).rect(160, 160).extrude(100))" },
		{ "seat", "union",
		  "seat = cq.Workplane('XY', origin=(0, (seat_size - chair_depth) / 2, seat_height))\n"
		  "seat.rect(seat_size, seat_size).extrude(-80)" },
		{ "back", "union",
		  "back = cq.Workplane('XY', origin=(0, back_y, seat_height - 80)).rect(seat_size - 80, 60)\n"
		  "head = cq.Workplane('XY', origin=(0, back_y, chair_height)).rect(240, 80).extrude(-160)\n"
		  "back.extrude(chair_height - seat_height).union(head)" },
		{ "armrests", "union",
		  "arms = cq.Workplane('XY', origin=(0, -40, armrest_height)).rarray(chair_width - 110, 1, 2, 1)\n"
		  "arms.rect(110, 300).extrude(seat_height - armrest_height - 40)" },
	},
	.says = {
		"Model a complete office chair in editable CadQuery: a cushioned seat at sitting height, a backrest with a lumbar support that bulges forward, a headrest above it, an armrest at each side, a mechanism box under the seat, a gas cylinder below that, and a star base of five equal arms with a twin or single caster wheel under each tip, on which alone it stands. Everything is joined; nothing floats.",
		"an office chair on a star base with five casters, with back, headrest and armrests",
		"a swivel chair: star base, gas cylinder, seat, back, headrest, armrests",
		"a desk chair with five casters, armrests and a headrest",
		"an office chair with a gas cylinder and a five-armed base",
		"a swivel chair with a high back",
		"a desk chair on casters with a tall back and armrests",
	},
	.limits = "chair_width <= seat_size + 210;chair_width / 2 >= base_radius * 0.951 + 26;"
		  "chair_depth / 2 - seat_size <= -140;back_y + 45 <= chair_depth / 2",
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
