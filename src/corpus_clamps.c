/* corpus_clamps.c - families that hold something: vise, clamps, clips, hook, grippers. */
#include "src/corpus_families.h"

const struct family family_vise = {
	.name = "vise",
	.task = "bench_vise_simplified",
	.bbox = { "vise_length", "vise_width", "vise_height" },
	.number = {
		{ "vise_length", "vise length|overall length", "X, along the slide, with spindle and handle", 240, 320, 10, 280 },
		{ "vise_width", "vise width|overall width", "Y", 120, 180, 5, 140 },
		{ "vise_height", "vise height|overall height", "Z", 130, 180, 5, 150 },
		{ "base_thickness", "base thickness|thickness of the base", "Z", 14, 24, 1, 18 },
		{ "jaw_width", "jaw width|width of the jaws", "Y", 80, 130, 5, 110 },
		{ "jaw_opening", "jaw opening|gap between the jaws", "X, as drawn", 20, 45, 5, 30 },
		{ "spindle_diameter", "spindle diameter|diameter of the screw", "along X", 18, 28, 1, 22 },
		{ "rail_diameter", "rail diameter|diameter of the guide rails", "two, 68 apart", 14, 24, 1, 20 },
		{ "mounting_hole_diameter", "mounting hole diameter|diameter of the mounting holes", "four", 7, 14, 0.5, 11 },
		{ "screw_x", .otherwise = "spindle_diameter / 4 - vise_length / 2" },
		{ "screw_z", .otherwise = "vise_height * 0.57" },
	},
	.part = {
		{ "base", "union",
		  "base = cq.Workplane('XY', origin=(vise_length * 0.15, 0, 0)).rect(vise_length * 0.7, vise_width)\n"
		  "base = base.extrude(base_thickness).faces('>Z').workplane()\n"
		  "base = base.rarray(vise_length * 0.55, (vise_width + jaw_width) / 2, 2, 2).hole(mounting_hole_diameter)\n"
		  "rails = cq.Workplane('YZ', origin=(0, 0, 44)).rarray(68, 1, 2, 1).circle(rail_diameter / 2)\n"
		  "base.union(rails.extrude(vise_length * 0.35, both=True))" },
		{ "jaws", "union",
		  "jaw = cq.Workplane('XY', origin=(vise_length / 2 - 25, 0, vise_height)).rect(50, jaw_width).extrude(-vise_height)\n"
		  "moving_jaw = cq.Workplane('XY', origin=(vise_length / 2 - 75 - jaw_opening, 0, vise_height))\n"
		  "jaw.union(moving_jaw.rect(50, jaw_width).extrude(-vise_height * 0.55))" },
		{ "screw", "union",
		  "screw = cq.Workplane('YZ', origin=(screw_x, 0, screw_z)).circle(spindle_diameter / 2).extrude(vise_length - 50)\n"
		  "handle = cq.Workplane('XZ', origin=(screw_x, 0, screw_z)).circle(spindle_diameter / 4)\n"
		  "screw.union(handle.extrude(vise_width / 2, both=True))" },
	},
	.says = {
		"Model a simplified bench vise in editable CadQuery: fixed jaw, moving jaw, screw spindle, handle bar, base with mounting holes, guide rails, and an evident sliding direction.",
		"a simplified bench vise with two jaws, a spindle, guide rails and a drilled base",
		"a vise: base, fixed and moving jaw, screw with handle, two rails",
		"a small machine vise with a handle bar and four mounting holes",
		"a bench vise whose moving jaw slides on two rails",
		"a vise for a workbench with spindle and handle",
		"a plain vise with jaws, rails, spindle and handle bar",
	},
	.limits = "jaw_width + 2 * mounting_hole_diameter + 6 <= vise_width;jaw_width >= 68 + 8;"
		  "44 - rail_diameter / 2 >= base_thickness + 1;44 + rail_diameter / 2 + 2 <= vise_height * 0.45;"
		  "vise_length * 0.7 >= jaw_opening + 110;vise_length * 0.15 >= 26;vise_length * 0.35 >= jaw_opening + 60",
};

const struct family family_pipe_clamp = {
	.name = "pipe_clamp",
	.task = "pipe_clamp_saddle",
	.bbox = { "clamp_length", "clamp_width", "clamp_height" },
	.number = {
		{ "clamp_length", "clamp length|overall length", "X, over both flanges", 120, 240, 10, 160 },
		{ "clamp_width", "clamp width|width along the pipe", "Y, along the pipe", 50, 120, 5, 80 },
		{ "clamp_height", "clamp height|overall height", "Z", 50, 130, 5, 80 },
		{ "pipe_diameter", "pipe diameter|diameter of the pipe", "DN 50", 36, 84, 0.1, 60.3 },
		{ "arch_thickness", "arch thickness|thickness of the arch", "over the pipe, without the ribs", 6, 14, 1, 10 },
		{ "flange_thickness", "flange thickness|thickness of the flanges", "Z", 8, 18, 1, 14 },
		{ "bolt_hole_diameter", "bolt hole diameter|diameter of the bolt holes", "M10, four of them", 6, 14, 0.5, 11 },
		{ "rib_height", .otherwise = "6" },
		{ "rib_width", .otherwise = "clamp_width / 4" },
		{ "arch_radius", .otherwise = "pipe_diameter / 2 + arch_thickness" },
		{ "pipe_z", .otherwise = "clamp_height - arch_radius - rib_height" },
	},
	.part = {
		{ "flange", "union",
		  "flange = cq.Workplane('XY').rect(clamp_length, clamp_width).extrude(flange_thickness).faces('>Z').workplane()\n"
		  "flange.rarray(clamp_length / 2 + arch_radius + rib_height, clamp_width / 2, 2, 2).hole(bolt_hole_diameter)" },
		{ "arch", "union",
		  "arch = cq.Workplane('XZ', origin=(0, 0, pipe_z)).circle(arch_radius).extrude(clamp_width / 2, both=True)\n"
		  "arch.union(cq.Workplane('XY').rect(2 * arch_radius, clamp_width).extrude(pipe_z))" },
		{ "rib", "union",
		  "rib = cq.Workplane('XZ', origin=(0, 0, pipe_z)).circle(arch_radius + rib_height)\n"
		  "rib.extrude(rib_width / 2, both=True)" },
		{ "pipe", "cut",
		  "pipe = cq.Workplane('XZ', origin=(0, 0, pipe_z)).circle(pipe_diameter / 2).extrude(clamp_width, both=True)\n"
		  "pipe.union(cq.Workplane('XY').rect(pipe_diameter, clamp_width).extrude(pipe_z))" },
		{ "below", "cut",
		  "cq.Workplane('XY').rect(clamp_length, clamp_width).extrude(-clamp_height)" },
	},
	.says = {
		"Model a saddle clamp for a pipe in editable CadQuery: half-round saddle, a flange at each side, bolt holes, rounded ribs, and a surface where the pipe plainly bears.",
		"a saddle clamp for a pipe with two flanges and bolt holes",
		"a pipe saddle with a rib over its arch, bolted down by four bolts",
		"a clamp that holds a pipe down: round arch, flat flanges",
		"a half-round pipe clamp with four bolt holes",
		"a pipe strap with flanges and a rib",
		"a pipe holder: arch, rib, two drilled flanges",
	},
	.limits = "pipe_z >= 8;pipe_z <= pipe_diameter * 0.7;"
		  "bolt_hole_diameter + 8 <= clamp_length / 2 - arch_radius - rib_height;"
		  "bolt_hole_diameter + 8 <= clamp_width / 2;flange_thickness <= clamp_height / 4",
};

const struct family family_cable_clip = {
	.name = "cable_clip",
	.task = "cable_clip_snap",
	.bbox = { "clip_length", "clip_width", "clip_height" },
	.number = {
		{ "clip_length", "clip length|overall length", "X, with the pad", 36, 80, 1, 45 },
		{ "clip_width", "clip width|width along the cable", "Y, along the cable", 14, 44, 1, 28 },
		{ "clip_height", "clip height|overall height", "Z", 16, 36, 1, 22 },
		{ "pad_thickness", "pad thickness|thickness of the pad", "Z", 3, 6, 0.5, 4 },
		{ "cable_diameter", "cable diameter|diameter of the cable", "held in a channel with 0.4 of play", 6, 20, 0.5, 12 },
		{ "arm_thickness", "arm thickness|thickness of the arms", "of each snap arm", 1.8, 3.4, 0.2, 2.2 },
		{ "screw_hole_diameter", "screw hole diameter|diameter of the screw hole", "countersunk to 9", 3, 6, 0.5, 4.5 },
		{ "channel_radius", .otherwise = "cable_diameter / 2 + 0.2" },
		{ "block_length", .otherwise = "2 * channel_radius + 2 * arm_thickness" },
		{ "cable_x", .otherwise = "(block_length - clip_length) / 2" },
		{ "cable_z", .otherwise = "pad_thickness + channel_radius + 1" },
		{ "screw_x", .otherwise = "block_length / 2" },
	},
	.part = {
		{ "pad", "union", "cq.Workplane('XY').rect(clip_length, clip_width).extrude(pad_thickness)" },
		{ "arms", "union", "cq.Workplane('XY', origin=(cable_x, 0, 0)).rect(block_length, clip_width).extrude(clip_height)" },
		{ "channel", "cut",
		  "channel = cq.Workplane('XZ', origin=(cable_x, 0, cable_z)).circle(channel_radius)\n"
		  "channel.extrude(clip_width / 2, both=True)" },
		{ "mouth", "cut",
		  "top, low = channel_radius, channel_radius / 2\n"
		  "side = cq.Workplane('XZ', origin=(cable_x, 0, 0)).polyline(\n"
		  "    [(-top, clip_height), (top, clip_height), (low, cable_z), (-low, cable_z)]\n"
		  ")\n"
		  "side.close().extrude(clip_width / 2, both=True)" },
		{ "screw_hole", "cut",
		  "cq.Workplane('XY', origin=(screw_x, 0, 0)).circle(screw_hole_diameter / 2).extrude(pad_thickness)" },
	},
	.says = {
		"Model a snap-in cable clip in editable CadQuery: base pad, round channel for the cable, springy snap arms, a screw hole and lead-in chamfers.",
		"a cable clip with a pad, a round channel and two snap arms",
		"a clip for a cable, open at the top, screwed down beside it",
		"a snap-in clip that holds one cable on a flat pad",
		"a cable holder: pad with screw hole, two springy arms",
		"a small clip with a channel for a cable and one screw",
		"a cable clamp that the cable snaps into",
	},
	.limits = "block_length + screw_hole_diameter + 5 <= clip_length;"
		  "cable_z + channel_radius * 0.6 + 2 <= clip_height;"
		  "clip_height <= cable_z + channel_radius * 1.9;screw_hole_diameter + 4 <= clip_width;"
		  "screw_x + screw_hole_diameter / 2 + 2 <= clip_length / 2",
};

const struct family family_hook = {
	.name = "hook",
	.task = "wall_j_hook_120n",
	.bbox = { "reach", "plate_width", "plate_height" },
	.number = {
		{ "reach", "reach|reach from the wall", "X, from the wall to the foremost point of the hook", 100, 220, 5, 160 },
		{ "plate_width", "plate width|width of the plate", "Y, across the wall plate", 60, 120, 5, 90 },
		{ "plate_height", "plate height|height of the plate", "Z", 120, 260, 5, 180 },
		{ "plate_thickness", "plate thickness|thickness of the plate", NULL, 5, 12, 1, 0, "8" },
		{ "hook_width", "hook width|width of the hook", NULL, 16, 36, 2, 0, "28" },
		{ "hook_thickness", "hook thickness|thickness of the hook", NULL, 12, 26, 1, 0, "reach / 8" },
		{ "hole_diameter", "hole diameter|diameter of the holes", NULL, 5, 12, 0.5, 0, "9" },
		{ "hook_radius", .otherwise = "(reach - plate_thickness / 2) / 2" },
		{ "hook_x", .otherwise = "reach / 2 - hook_radius" },
		{ "hook_z", .otherwise = "hook_radius + 10" },
	},
	.part = {
		{ "plate", "union",
		  "plate = cq.Workplane('YZ', origin=(-reach / 2, 0, plate_height / 2))\n"
		  "plate.rect(plate_width, plate_height).extrude(plate_thickness)" },
		{ "bowl", "union",
		  "ring = cq.Workplane('XZ', origin=(hook_x, 0, hook_z)).circle(hook_radius)\n"
		  "ring = ring.circle(hook_radius - hook_thickness).extrude(hook_width / 2, both=True)\n"
		  "upper = cq.Workplane('XY', origin=(hook_x, 0, hook_z)).rect(reach, hook_width)\n"
		  "ring.cut(upper.extrude(hook_radius))" },
		{ "tip", "union",
		  "tip = cq.Workplane('XY', origin=((reach - hook_thickness) / 2, 0, hook_z))\n"
		  "tip.rect(hook_thickness, hook_width).extrude(plate_height / 6)" },
		{ "holes", "cut",
		  "spots = cq.Workplane('YZ', origin=(-reach / 2, 0, plate_height * 0.85))\n"
		  "spots.rarray(plate_width * 0.7, 1, 2, 1).circle(hole_diameter / 2).extrude(plate_thickness)" },
	},
	.says = {
		"Model a 6061 aluminium J hook for a wall that takes 120 N hanging from its tip: a compact plate against the wall and a curved arm that reads as a hook at a glance, with no ribbed cantilever.",
		"a J hook for a wall: flat plate and a round arm that ends in a tip",
		"a wall hook with a curved arm on a plate with two holes",
		"a coat hook shaped like a J on a screwed plate",
		"a hook for a wall, a half ring with a tip that points up",
		"a sturdy J-shaped hook with a wall plate",
		"a round hook on a plate, two screws at the top",
	},
	.limits = "hook_z + plate_height / 6 <= plate_height;hook_width + 10 <= plate_width;"
		  "hole_diameter + 6 <= plate_width * 0.3;hook_thickness <= hook_radius * 0.45;"
		  "plate_height * 0.85 + hole_diameter <= plate_height - 2;"
		  "plate_height * 0.85 - hole_diameter >= hook_z",
};

const struct family family_gripper = {
	.name = "gripper",
	.task = "robot_gripper_two_finger",
	.bbox = { "gripper_length", "gripper_width", "gripper_height" },
	.number = {
		{ "gripper_length", "gripper length|overall length", "X, palm to fingertips", 160, 220, 5, 160 },
		{ "gripper_width", "gripper width|overall width", "Y, across both fingers", 110, 170, 5, 120 },
		{ "gripper_height", "gripper height|overall height", "Z", 50, 80, 2, 60 },
		{ "flange_thickness", "flange thickness|thickness of the flange", "X, bolted to the robot", 8, 16, 1, 12 },
		{ "pin_diameter", "pin diameter|diameter of the pins", "eight pivots", 6, 10, 1, 8 },
		{ "link_reach", "link reach|reach of the links", "X, from pivot to pivot", 40, 65, 5, 50 },
		{ "mounting_hole_diameter", "mounting hole diameter|diameter of the mounting holes", "four, 102 x 38 apart", 4, 9, 0.1, 6.6 },
		{ "jaw_opening", "jaw opening|gap between the pads", "Y, between the pads", 25, 50, 1, 38 },
		{ "pivot_x", .otherwise = "flange_thickness - gripper_length * 0.35" },
		{ "finger_x", .otherwise = "pivot_x + link_reach" },
		{ "finger_y", .otherwise = "jaw_opening / 2 + 19" },
	},
	.part = {
		{ "palm", "union",
		  "flange = cq.Workplane('YZ', origin=(-gripper_length / 2, 0, 0)).rect(gripper_width, gripper_height)\n"
		  "flange = flange.extrude(flange_thickness).faces('<X').workplane()\n"
		  "flange = flange.rarray(gripper_width * 0.85, gripper_height * 0.64, 2, 2).hole(mounting_hole_diameter)\n"
		  "palm = cq.Workplane('YZ', origin=(pivot_x + 8, 0, 0)).rect(gripper_width * 0.85, 30)\n"
		  "flange.union(palm.extrude(-gripper_length / 5))" },
		{ "side", "union",
		  "links = cq.Workplane('XY', origin=(pivot_x + link_reach / 2, finger_y, 0))\n"
		  "pins = links.rarray(link_reach, 16, 2, 2).circle(pin_diameter / 2).extrude(20, both=True)\n"
		  "bars = links.rarray(1, 16, 1, 2).rect(link_reach, 8).extrude(4, both=True)\n"
		  "tip = cq.Workplane('YZ', origin=(gripper_length / 2, finger_y, 0))\n"
		  "pad = tip.center(-5, 0).rect(28, 20).extrude(-20)\n"
		  "pins.union(bars).union(pad).union(tip.rect(28, 30).extrude(finger_x - 8 - gripper_length / 2))" },
		{ "other_side", "union",
		  "@side.mirror('XZ')" },
	},
	.says = {
		"Model a simple robot gripper with two fingers in editable CadQuery: palm block, two parallel fingers, pivot bosses, linkage bars, pads at the fingertips and mounting holes.",
		"a robot gripper with two parallel fingers on links",
		"a two-finger gripper: flange, palm, link bars, fingers with pads",
		"a gripper for a robot arm with four mounting holes in its flange",
		"a parallel gripper whose fingers hang on two bars each",
		"a gripper with palm, pins, links and two fingers",
		"a robot's hand with two fingers and pads",
	},
	.limits = "finger_y + 14 <= gripper_width / 2;finger_y + 13 <= gripper_width * 0.425;finger_x + 30 <= gripper_length / 2;"
		  "mounting_hole_diameter + 6 <= gripper_width * 0.15;gripper_height * 0.32 - mounting_hole_diameter / 2 > 15.5",
};

const struct family family_shaft_clamp = {
	.name = "shaft_clamp",
	.task = "shaft_torque_clamp_120nm",
	.bbox = { "fixture_length", "fixture_width", "fixture_height" },
	.number = {
		{ "fixture_length", "fixture length|overall length", "X, fixed root to the free end", 200, 320, 10, 240 },
		{ "fixture_width", "fixture width|overall width", "Y", 70, 120, 5, 90 },
		{ "fixture_height", "fixture height|overall height", "Z", 56, 90, 2, 70 },
		{ "shaft_diameter", "shaft diameter|diameter of the shaft", NULL, 20, 36, 1, 0, "30" },
		{ "root_thickness", "root thickness|thickness of the root", NULL, 10, 18, 1, 0, "14" },
		{ "bolt_diameter", "bolt diameter|diameter of the root's holes", NULL, 8, 14, 1, 0, "13" },
		{ "web_thickness", "web thickness|thickness of the web", NULL, 10, 20, 1, 0, "14" },
		{ "boss_radius", .otherwise = "fixture_height / 2" },
		{ "boss_x", .otherwise = "fixture_length / 2 - boss_radius" },
		{ "root_x", .otherwise = "-fixture_length * 0.37" },
	},
	.part = {
		{ "root", "union",
		  "root = cq.Workplane('XY', origin=(root_x, 0, 0)).rect(fixture_length * 0.26, fixture_width).extrude(root_thickness)\n"
		  "root.faces('>Z').workplane().rarray(1, fixture_width * 0.65, 1, 2).hole(bolt_diameter)" },
		{ "web", "union",
		  "web = cq.Workplane('XZ').polyline([(root_x, 0), (boss_x, 0), (boss_x, fixture_height), (root_x, boss_radius)])\n"
		  "web.close().extrude(web_thickness / 2, both=True)" },
		{ "boss", "union",
		  "boss = cq.Workplane('XZ', origin=(boss_x, 0, boss_radius)).circle(boss_radius)\n"
		  "boss.extrude(fixture_width * 0.35, both=True)" },
		{ "bore", "cut",
		  "bore = cq.Workplane('XZ', origin=(boss_x, 0, boss_radius)).circle(shaft_diameter / 2)\n"
		  "bore.extrude(fixture_width, both=True)" },
		{ "pinch_bolts", "cut",
		  "spots = cq.Workplane('XY', origin=(boss_x + boss_radius * 0.7, 0, 0)).rarray(1, fixture_width / 3, 1, 2)\n"
		  "spots.circle(4).extrude(fixture_height)" },
	},
	.says = {
		"Model a compact 6061 aluminium clamp fixture that holds a stand-in shaft against 120 Nm of torque: root fixed by two bolts at the left, shaft boss near the free right end, a clear load path, safety factor over 2.0, as little mass as possible.",
		"a clamp fixture for a shaft: bolted root, web and a round boss",
		"a fixture that holds a shaft in a bored boss at its free end",
		"a torque clamp with two root bolts and two pinch bolts",
		"a lever with a round boss for a shaft and a bolted foot",
		"a shaft holder: foot plate, upright web, round clamp boss",
		"a shaft clamp with a boss and a bolted root",
	},
	.limits = "shaft_diameter + 20 <= fixture_height;bolt_diameter + 8 <= fixture_width * 0.35;"
		  "boss_radius * 0.7 - 4 >= shaft_diameter / 2 + 3;"
		  "web_thickness + bolt_diameter + 4 <= fixture_width * 0.65;web_thickness + 12 <= fixture_width / 3",
};
