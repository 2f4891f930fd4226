/* corpus_round.c - families of round parts. */
#include "src/corpus_families.h"

const struct family family_stator = {
	.name = "stator",
	.task = "axial_motor_stator_12_slot",
	.bbox = { "outer_diameter", "outer_diameter", "stator_height" },
	.number = {
		{ "outer_diameter", "outer diameter|diameter outside", "X and Y", 120, 260, 5, 180 },
		{ "stator_height", "height|stator height", "Z, ring and teeth", 15, 50, 2.5, 30 },
		{ "slots", "slots|teeth", NULL, 8, 18, 2, 12, .unit = A_COUNT },
		{ "bore_diameter", "bore diameter|shaft opening", NULL, 30, 80, 5, 0, "outer_diameter / 3" },
		{ "yoke_width", "yoke width|ring width", NULL, 12, 20, 1, 0, "outer_diameter / 10" },
		{ "tooth_width", "tooth width|width of a tooth", NULL, 5, 12, 0.5, 0, "outer_diameter / slots / 2" },
	},
	.part = {
		{ "ring", "union",
		  "ring = cq.Workplane('XY').circle(outer_diameter / 2).extrude(stator_height)\n"
		  "return_bore = outer_diameter / 2 - yoke_width\n"
		  "ring.cut(cq.Workplane('XY').circle(return_bore).extrude(stator_height))" },
		{ "teeth", "union",
		  "length = outer_diameter - yoke_width\n"
		  "bars = cq.Workplane('XY').polarArray(length / 4, 0, 360, slots)\n"
		  "bars.rect(length / 2, tooth_width).extrude(stator_height)" },
		{ "bore", "cut", "cq.Workplane('XY').circle(bore_diameter / 2).extrude(stator_height)" },
	},
	.says = {
		"Model a simple, compact steel stator for an axial motor with {slots} slots: plainly a round ring with radial teeth and an open centre for the shaft.",
		"a stator for an axial motor, a ring with teeth that point inwards",
		"a motor stator: round yoke, radial teeth and an open bore for the shaft",
		"a slotted stator ring with teeth and a bore in the middle",
		"an electric motor's stator with radial teeth around a shaft opening",
		"a steel ring with inner teeth for a motor",
		"a toothed stator for a motor, open in the centre",
	},
	.limits = "bore_diameter + 20 <= outer_diameter - 2 * yoke_width - 20;"
		  "tooth_width * slots * 1.3 <= 3.14 * bore_diameter;bore_diameter >= 20",
};
