/* corpus_desk.c - families of small household things. */
#include "src/corpus_families.h"

const struct family family_handle = {
	.name = "handle",
	.task = "drawer_handle_two_bolt",
	.bbox = { "handle_length", "handle_width", "handle_projection" },
	.number = {
		{ "handle_length", "handle length|overall length", "X, over both posts", 100, 240, 5, 160 },
		{ "handle_width", "handle width|width", "Y, of the posts", 14, 44, 1, 38 },
		{ "handle_projection", "projection|handle projection", "Z, drawer front to the top of the grip", 28, 60, 1, 40 },
		{ "post_width", "post width|width of a post", NULL, 16, 30, 1, 0, "24" },
		{ "grip_thickness", "grip thickness|thickness of the grip", NULL, 8, 18, 1, 0, "handle_projection * 0.38" },
		{ "screw_diameter", "screw hole diameter|diameter of the screw holes", NULL, 3, 6, 0.5, 0, "4" },
		{ "half", .otherwise = "handle_length / 2" },
		{ "end_height", .otherwise = "handle_projection * 0.4" },
		{ "inner", .otherwise = "half - post_width" },
	},
	.part = {
		{ "body", "union",
		  "side = cq.Workplane('XZ').moveTo(-half, 0).lineTo(-half, end_height)\n"
		  "side = side.threePointArc((0, handle_projection), (half, end_height)).lineTo(half, 0)\n"
		  "side.close().extrude(handle_width / 2, both=True)" },
		{ "opening", "cut",
		  "room = cq.Workplane('XZ').moveTo(-inner, 0).lineTo(-inner, end_height / 2)\n"
		  "room = room.threePointArc((0, handle_projection - grip_thickness), (inner, end_height / 2))\n"
		  "room.lineTo(inner, 0).close().extrude(handle_width, both=True)" },
		{ "screws", "cut",
		  "spots = cq.Workplane('XY').rarray(handle_length - post_width, 1, 2, 1)\n"
		  "spots.circle(screw_diameter / 2).extrude(end_height * 0.8)" },
	},
	.says = {
		"Model a simple symmetric drawer pull in editable CadQuery: two posts, each with a screw hole from behind, and a smooth arched bar to grip.",
		"a drawer pull with an arched grip on two posts",
		"a handle for a drawer: two posts with screw holes, arched bar between them",
		"an arched cabinet handle, screwed from behind",
		"a bow handle with two screw holes",
		"a furniture handle with a curved grip",
		"a curved drawer handle on two posts",
	},
	.limits = "inner >= 30;screw_diameter + 6 <= post_width;screw_diameter + 6 <= handle_width;"
		  "handle_projection - grip_thickness >= end_height / 2 + 5;grip_thickness >= 7;"
		  "grip_thickness <= handle_projection * 0.45;half * 0.9 >= handle_projection",
};

const struct family family_lamp_joint = {
	.name = "lamp_joint",
	.task = "desk_lamp_arm_joint",
	.bbox = { "joint_length", "joint_width", "joint_height" },
	.number = {
		{ "joint_length", "joint length|overall length", "X, over both arms", 220, 340, 10, 260 },
		{ "joint_width", "joint width|overall width", "Y, along the hinge pins with their knobs", 60, 110, 5, 80 },
		{ "joint_height", "joint height|overall height", "Z", 150, 230, 5, 180 },
		{ "hub_radius", "hub radius|radius of the hubs", "of the bosses at foot and elbow", 20, 30, 1, 25 },
		{ "arm_depth", "arm depth|depth of the arms", "of both arms", 24, 40, 1, 30 },
		{ "pin_diameter", "pin diameter|diameter of the pins", "M8, along Y", 5, 12, 0.5, 8 },
		{ "knob_diameter", "knob diameter|diameter of the knobs", "two knobs", 28, 50, 1, 40 },
		{ "tip_height", "tip height|height of the tip", "Z, of the pivot of the mount", 70, 110, 2, 84 },
		{ "foot_x", .otherwise = "hub_radius - joint_length / 2" },
		{ "elbow_z", .otherwise = "joint_height - hub_radius" },
		{ "tip_x", .otherwise = "joint_length / 2 - 16" },
	},
	.part = {
		{ "pivots", NULL,
		  "cq.Workplane('XZ').pushPoints([(foot_x, hub_radius), (0, elbow_z)])" },
		{ "hubs", "union",
		  "knobs = @pivots.circle(knob_diameter / 2).extrude(joint_width / 2, both=True)\n"
		  "knobs.union(@pivots.circle(hub_radius).extrude(joint_width / 4, both=True))" },
		{ "arms", "union",
		  "arms = cq.Workplane('XZ').moveTo(foot_x, hub_radius).lineTo(foot_x + arm_depth, hub_radius)\n"
		  "arms = arms.lineTo(arm_depth, elbow_z - arm_depth).lineTo(tip_x, tip_height - arm_depth)\n"
		  "arms = arms.lineTo(tip_x, tip_height).lineTo(0, elbow_z).close()\n"
		  "arms.extrude(joint_width / 5, both=True)" },
		{ "mount", "union",
		  "mount = cq.Workplane('XY', origin=(tip_x, 0, tip_height)).circle(16).circle(6)\n"
		  "mount.extrude(-tip_height * 0.7)" },
		{ "openings", "cut",
		  "window = cq.Workplane('XZ', origin=((foot_x + arm_depth) / 2, 0, joint_height / 2))\n"
		  "window = window.rect(10, 14).extrude(joint_width, both=True)\n"
		  "window.union(@pivots.circle(pin_diameter / 2).extrude(joint_width, both=True))" },
	},
	.says = {
		"Model an adjustable joint of a desk lamp's arms in editable CadQuery: two linked arms, pivot bosses, holes for hinge pins, friction knobs, openings for the cable, and a small mount for the lamp head.",
		"a lamp joint: two arms between round hubs, knobs and a head mount",
		"a desk lamp's elbow with two arms, pin holes and knobs",
		"an arm joint of a lamp with hubs, a cable opening and a mount",
		"two linked lamp arms with friction knobs",
		"a lamp arm with an elbow and a socket for the head",
		"a lamp's double arm with knobs on its pivots",
	},
	.limits = "knob_diameter <= 2 * hub_radius;pin_diameter + 8 <= knob_diameter;tip_height + 20 <= elbow_z;"
		  "tip_height * 0.3 + 10 <= tip_height - arm_depth;foot_x + arm_depth + 40 <= 0;elbow_z >= 2.4 * hub_radius + arm_depth * 1.2;"
		  "elbow_z - tip_height <= tip_x * 0.85",
};

const struct family family_laptop_riser = {
	.name = "laptop_riser",
	.task = "laptop_riser_vented",
	.bbox = { "riser_width", "riser_depth", "riser_height" },
	.number = {
		{ "riser_width", "riser width|overall width", "X", 240, 400, 10, 320 },
		{ "riser_depth", "riser depth|overall depth", "Y", 200, 300, 10, 240 },
		{ "riser_height", "riser height|overall height", "Z, to the highest point of the platform", 90, 170, 5, 120 },
		{ "front_height", "front height|height at the front", "Z, top of the side rails at the front", 30, 60, 2, 42 },
		{ "platform_thickness", "platform thickness|thickness of the platform", "across the tilted plate", 4, 10, 1, 6 },
		{ "rail_thickness", "rail thickness|thickness of the rails", "X", 6, 16, 1, 10 },
		{ "stop_height", "stop height|height of the stops", "above the front of the rails", 10, 24, 1, 16 },
		{ "slots", "slots|vent slots", NULL, 3, 7, 1, 0, "5", .unit = A_COUNT },
		{ "front_y", .otherwise = "-riser_depth / 2" },
		{ "back_y", .otherwise = "riser_depth / 2" },
	},
	.part = {
		{ "platform", "union",
		  "low, high = front_height - platform_thickness, riser_height - platform_thickness\n"
		  "side = cq.Workplane('YZ').polyline(\n"
		  "    [(front_y, low), (front_y, front_height), (back_y, riser_height), (back_y, high)]\n"
		  ")\n"
		  "side.close().extrude(riser_width / 2, both=True)" },
		{ "vents", "cut",
		  "spots = cq.Workplane('XY').rarray(riser_width * 0.8 / slots, 1, slots, 1)\n"
		  "spots.rect(riser_width * 0.3 / slots, riser_depth * 0.6).extrude(riser_height)" },
		{ "rail", NULL,
		  "rail = cq.Workplane('YZ', origin=(riser_width / 2, 0, 0)).polyline(\n"
		  "    [(front_y, 0), (front_y, front_height), (back_y, riser_height), (back_y, 0)]\n"
		  ")\n"
		  "rail.close().extrude(-rail_thickness)" },
		{ "rails", "union", "@rail.union(@rail.mirror('YZ'))" },
		{ "stops", "union",
		  "stops = cq.Workplane('XY', origin=(0, front_y + platform_thickness, front_height + stop_height))\n"
		  "stops = stops.rarray(riser_width / 2, 1, 2, 1).rect(riser_width / 8, 2 * platform_thickness)\n"
		  "stops.extrude(-stop_height - platform_thickness)" },
	},
	.says = {
		"Model a vented laptop riser in editable CadQuery: tilted platform, a rail at each side, stops at the front, slots for air and rear legs.",
		"a laptop riser with a tilted platform, side rails and air slots",
		"a stand for a laptop: slanted vented plate on two rails, stops in front",
		"a vented laptop stand with two front stops",
		"a notebook riser whose plate is tilted and slotted",
		"a tilted stand for a laptop with vents",
		"a laptop stand with side rails and vent slots",
	},
	.limits = "front_height + stop_height <= riser_height - 10;front_height >= 4 * platform_thickness + 6;riser_height >= front_height * 1.8",
};

const struct family family_phone_stand = {
	.name = "phone_stand",
	.task = "phone_stand_adjustable_hinge",
	.bbox = { "stand_width", "stand_depth", "stand_height" },
	.number = {
		{ "stand_width", "stand width|overall width", "X", 80, 150, 5, 120 },
		{ "stand_depth", "stand depth|overall depth", "Y", 100, 150, 5, 120 },
		{ "stand_height", "stand height|overall height", "Z, to the top of the leaning support", 130, 200, 5, 160 },
		{ "base_thickness", "base thickness|thickness of the base", NULL, 5, 9, 1, 0, "6" },
		{ "support_thickness", "support thickness|thickness of the support", NULL, 8, 14, 1, 0, "10" },
		{ "barrel_diameter", "barrel diameter|diameter of the barrel", NULL, 14, 24, 1, 0, "18" },
		{ "screw_diameter", "screw hole diameter|diameter of the screw holes", NULL, 3, 6, 0.5, 0, "5" },
		{ "lip_z", .otherwise = "stand_height / 4" },
		{ "barrel_z", .otherwise = "barrel_diameter / 2 + 2" },
		{ "top_y", .otherwise = "stand_depth / 2" },
	},
	.part = {
		{ "base", "union",
		  "base = cq.Workplane('XY').rect(stand_width, stand_depth).extrude(base_thickness)\n"
		  "bosses = cq.Workplane('XY').rarray(stand_width * 0.75, stand_depth * 0.75, 2, 2).circle(screw_diameter + 2)\n"
		  "base.union(bosses.circle(screw_diameter / 2).extrude(2 * base_thickness))" },
		{ "barrel", "union",
		  "barrel = cq.Workplane('YZ', origin=(0, 0, barrel_z)).circle(barrel_diameter / 2)\n"
		  "barrel.circle(barrel_diameter / 5).extrude(stand_width * 0.45, both=True)" },
		{ "support", "union",
		  "support = cq.Workplane('YZ').moveTo(0, barrel_z).lineTo(support_thickness, barrel_z)\n"
		  "support = support.lineTo(top_y, stand_height).lineTo(top_y - support_thickness, stand_height)\n"
		  "support.close().extrude(stand_width * 0.4, both=True)" },
		{ "lip", "union",
		  "lip = cq.Workplane('XY', origin=(0, 0, lip_z)).rect(stand_width * 0.8, stand_depth * 0.4).extrude(support_thickness)\n"
		  "stops = cq.Workplane('XY', origin=(0, 0, lip_z)).rarray(stand_width * 0.7, 1, 2, 1)\n"
		  "lip.union(stops.rect(support_thickness, stand_depth * 0.4).extrude(lip_z))" },
	},
	.says = {
		"Model an adjustable stand for a phone in editable CadQuery: base plate, leaning back support, lip at the bottom, stops at both sides, a hinge barrel and screw bosses that can be seen.",
		"a phone stand with a base plate, a leaning support, a lip and a hinge barrel",
		"a stand for a phone: base, barrel, slanted back, lip with side stops",
		"a desk stand for a mobile phone with four screw bosses",
		"a phone holder that leans back on a hinge barrel",
		"a phone dock with a lip and two stops",
		"a leaning phone stand on a screwed base",
	},
	.limits = "barrel_z + barrel_diameter / 2 + 4 <= lip_z;stand_depth * 0.2 + 8 <= stand_depth * 0.375 - screw_diameter + 6;"
		  "base_thickness * 2 + 6 <= lip_z;base_thickness >= 3;barrel_diameter / 2 + 4 <= stand_depth * 0.3;"
		  "barrel_z - barrel_diameter / 2 <= base_thickness - 1;top_y >= 3 * support_thickness",
};
