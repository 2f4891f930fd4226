/* corpus_frames.c - families of brackets, frames and carriers. */
#include "src/corpus_families.h"

const struct family family_shelf_bracket = {
	.name = "shelf_bracket",
	.task = "shelf_bracket_triangular_200n",
	.bbox = { "arm_length", "bracket_width", "plate_height" },
	.number = {
		{ "arm_length", "arm length|length of the arm", "X, from the wall to the end of the arm", 120, 320, 10, 220 },
		{ "bracket_width", "bracket width|width", "Y", 30, 90, 5, 60 },
		{ "plate_height", "plate height|height of the plate", "Z, of the upright plate", 100, 260, 10, 180 },
		{ "plate_thickness", "plate thickness|thickness of the plate", NULL, 5, 12, 1, 0, "8" },
		{ "rib_thickness", "rib thickness|thickness of the rib", NULL, 6, 14, 1, 0, "10" },
		{ "hole_diameter", "hole diameter|diameter of the holes", NULL, 4, 10, 0.5, 0, "7" },
		{ "wall_x", .otherwise = "-arm_length / 2" },
	},
	.part = {
		{ "plate", "union",
		  "plate = cq.Workplane('YZ', origin=(wall_x, 0, plate_height / 2))\n"
		  "plate.rect(bracket_width, plate_height).extrude(plate_thickness)" },
		{ "arm", "union",
		  "arm = cq.Workplane('XY', origin=(0, 0, plate_height)).rect(arm_length, bracket_width)\n"
		  "arm.extrude(-plate_thickness)" },
		{ "rib", "union",
		  "rib = cq.Workplane('XZ', origin=(wall_x, 0, 0)).polyline(\n"
		  "    [(0, 10), (0, plate_height / 3), (arm_length / 2, plate_height), (arm_length * 0.8, plate_height)]\n"
		  ")\n"
		  "rib.close().extrude(rib_thickness / 2, both=True)" },
		{ "holes", "cut",
		  "spots = cq.Workplane('YZ', origin=(wall_x, 0, plate_height * 0.75)).rarray(bracket_width * 0.6, 1, 2, 1)\n"
		  "spots.circle(hole_diameter / 2).extrude(plate_thickness)" },
	},
	.says = {
		"Model a compact triangular bracket for a shelf in editable CadQuery: upright wall plate with two mounting holes, horizontal arm, diagonal rib between them, for 200 N pressing down.",
		"a shelf bracket with a wall plate, an arm and a diagonal rib",
		"a triangular bracket for a shelf, two holes in its wall plate",
		"a bracket: upright plate, level arm, slanted brace between them",
		"a wall bracket that carries a shelf on a braced arm",
		"a shelf support with a diagonal brace",
		"an angle bracket with a slanting rib and two wall holes",
	},
	.limits = "rib_thickness + hole_diameter + 4 <= bracket_width * 0.6;"
		  "hole_diameter + 4 <= bracket_width * 0.4;hole_diameter + 4 <= plate_height / 4",
};

const struct family family_truss = {
	.name = "truss",
	.task = "lightweight_truss_support_250n",
	.bbox = { "truss_length", "truss_width", "truss_height" },
	.number = {
		{ "truss_length", "truss length|overall length", "X, fixed side to the end of the load boss", 220, 340, 10, 260 },
		{ "truss_width", "truss width|overall width", "Y", 60, 110, 5, 80 },
		{ "truss_height", "truss height|overall height", "Z", 110, 170, 5, 130 },
		{ "side_thickness", "side thickness|thickness of the sides", NULL, 5, 10, 1, 0, "6" },
		{ "boss_diameter", "boss diameter|diameter of the load boss", NULL, 36, 56, 2, 0, "50" },
		{ "hole_diameter", "hole diameter|diameter of the fixing holes", NULL, 7, 13, 1, 0, "11" },
		{ "window", .otherwise = "truss_height * 0.38" },
		{ "bay", .otherwise = "truss_length * 0.19" },
		{ "root_x", .otherwise = "-truss_length / 2" },
		{ "boss_x", .otherwise = "(truss_length - boss_diameter) / 2" },
	},
	.part = {
		{ "root", "union",
		  "root = cq.Workplane('YZ', origin=(root_x, 0, 0)).rect(truss_width, truss_height).extrude(8)\n"
		  "root.faces('>X').workplane().rarray(1, truss_height * 0.7, 1, 2).hole(hole_diameter)" },
		{ "cross", "union",
		  "boss = cq.Workplane('XZ', origin=(boss_x, 0, 0)).circle(boss_diameter / 2).extrude(truss_width / 2, both=True)\n"
		  "rods = cq.Workplane('XZ', origin=(root_x + bay * 2.22, 0, 0)).rarray(bay, 1, 3, 1)\n"
		  "boss.union(rods.circle(5).extrude(truss_width / 2, both=True))" },
		{ "side", "union",
		  "side = cq.Workplane('XZ', origin=(0, truss_width / 2, 0)).moveTo(root_x, -truss_height / 2)\n"
		  "side = side.lineTo(boss_x, -18).lineTo(boss_x, 18).lineTo(root_x, truss_height / 2).close().extrude(side_thickness)\n"
		  "windows = cq.Workplane('XZ', origin=(root_x + bay * 2.1, truss_width / 2, 0)).rarray(bay, 1, 4, 1)\n"
		  "side.cut(windows.polygon(3, window).extrude(side_thickness))" },
		{ "other_side", "union",
		  "@side.mirror('XZ')" },
	},
	.says = {
		"Model a light truss support in CadQuery: connected triangular load paths, two holes for fixing at the left, a round load boss at the right, and enough ribs and cross members for 250 N downwards with a safety factor over 2.0.",
		"a light truss support with triangular windows and a round load boss",
		"a truss: two sides with triangles, cross rods, root plate and boss",
		"a cantilever truss fixed by two bolts, with a boss at its end",
		"a light support with two pierced sides tied by rods",
		"a truss bracket with a root plate and a load boss",
		"a triangulated support arm with a round end",
	},
	.limits = "bay >= window * 0.75 + 9;truss_height >= boss_diameter + 50;bay * 3.6 + window / 2 + boss_diameter + 4 <= truss_length",
};

const struct family family_servo_bracket = {
	.name = "servo_bracket",
	.task = "robot_servo_bracket",
	.bbox = { "bracket_length", "bracket_width", "bracket_height" },
	.number = {
		{ "bracket_length", "bracket length|length over the ears", "X, over the ears", 70, 120, 2, 80 },
		{ "bracket_width", "bracket width|width", "Y", 40, 80, 2, 60 },
		{ "bracket_height", "bracket height|height", "Z", 40, 75, 1, 55 },
		{ "wall_thickness", "wall thickness|thickness of the walls", NULL, 3, 6, 0.5, 0, "4" },
		{ "screw_diameter", "screw hole diameter|diameter of the screw holes", NULL, 3, 5.5, 0.5, 0, "4" },
		{ "rib_thickness", "rib thickness|thickness of the ribs", NULL, 4, 8, 1, 0, "6" },
		{ "ear_length", .otherwise = "bracket_length / 5" },
		{ "cradle_length", .otherwise = "bracket_length - 2 * ear_length" },
		{ "ear_z", .otherwise = "bracket_height - wall_thickness" },
	},
	.part = {
		{ "cradle", "union",
		  "cradle = cq.Workplane('XY').rect(cradle_length, bracket_width).extrude(bracket_height)\n"
		  "room = cq.Workplane('XY', origin=(0, 0, wall_thickness)).rect(cradle_length - 2 * wall_thickness, bracket_width)\n"
		  "cradle.cut(room.extrude(bracket_height))" },
		{ "side", "union",
		  "ear = cq.Workplane('XY', origin=((bracket_length - ear_length) / 2, 0, ear_z)).rect(ear_length, bracket_width)\n"
		  "ear = ear.extrude(wall_thickness).faces('>Z').workplane().rarray(1, bracket_width * 0.65, 1, 2).hole(screw_diameter)\n"
		  "rib = cq.Workplane('XZ', origin=(cradle_length / 2 - 1, 0, ear_z)).lineTo(ear_length, 0)\n"
		  "ear.union(rib.lineTo(0, -bracket_height / 2).close().extrude(rib_thickness / 2, both=True))" },
		{ "other_side", "union",
		  "@side.mirror('YZ')" },
		{ "notch", "cut",
		  "notch = cq.Workplane('YZ', origin=(cradle_length / 4, -bracket_width / 2, bracket_height / 3))\n"
		  "notch.rect(bracket_width / 4, bracket_height / 5).extrude(cradle_length / 3)" },
	},
	.says = {
		"Model a compact bracket for a robot servo: U-shaped cradle, four servo screw holes, two ears at the sides, a notch for the cable and a stiffening rib.",
		"a bracket for a servo: U-shaped cradle with an ear at each side",
		"a servo holder with two ears, four screw holes and a cable notch",
		"a U-shaped cradle for a robot servo, ribs below its ears",
		"a servo mount with ears, ribs and a notch",
		"a robot servo bracket with four screw holes",
		"a cradle for a servo with stiffened ears",
	},
	.limits = "cradle_length >= 8 * wall_thickness;screw_diameter + 4 <= ear_length;"
		  "rib_thickness + screw_diameter + 3 <= bracket_width * 0.65;screw_diameter + 4 <= bracket_width * 0.35;"
		  "ear_length >= 3 * wall_thickness",
};

const struct family family_bike_mount = {
	.name = "bike_mount",
	.task = "bike_accessory_mount_120n",
	.bbox = { "mount_length", "mount_width", "mount_height" },
	.number = {
		{ "mount_length", "mount length|overall length", "X, clamp and arm", 150, 240, 10, 180 },
		{ "mount_width", "mount width|overall width", "Y, along the bar", 60, 110, 5, 80 },
		{ "mount_height", "mount height|overall height", "Z", 70, 110, 5, 90 },
		{ "bar_diameter", "bar diameter|diameter of the bar", NULL, 25, 34, 0.2, 0, "30" },
		{ "bolt_diameter", "bolt diameter|diameter of the bolts", NULL, 5, 8, 0.5, 0, "7" },
		{ "arm_thickness", "arm thickness|thickness of the arm", NULL, 10, 20, 1, 0, "14" },
		{ "seat_thickness", "seat thickness|thickness of the seat", NULL, 6, 12, 1, 0, "10" },
		{ "clamp_length", .otherwise = "bar_diameter * 2" },
		{ "clamp_width", .otherwise = "mount_width * 0.6" },
		{ "clamp_x", .otherwise = "(clamp_length - mount_length) / 2" },
		{ "end_x", .otherwise = "mount_length / 2" },
	},
	.part = {
		{ "clamp", "union",
		  "clamp = cq.Workplane('XY', origin=(clamp_x, 0, 0)).rect(clamp_length, clamp_width).extrude(mount_height)\n"
		  "clamp = clamp.faces('>Z').workplane().center(clamp_length / 3, 0)\n"
		  "clamp.rarray(1, clamp_width * 0.65, 1, 2).hole(bolt_diameter)" },
		{ "arm", "union",
		  "arm = cq.Workplane('XZ').moveTo(clamp_x, 0).lineTo(0, 0).lineTo(end_x, mount_height - seat_thickness)\n"
		  "arm = arm.lineTo(end_x, mount_height).lineTo(clamp_x, mount_height).close()\n"
		  "arm.extrude(arm_thickness / 2, both=True)" },
		{ "seat", "union",
		  "seat = cq.Workplane('XY', origin=(end_x * 0.7, 0, mount_height)).rect(end_x * 0.6, mount_width)\n"
		  "seat.extrude(-seat_thickness).faces('>Z').workplane().rarray(1, mount_width * 0.6, 1, 2).hole(bolt_diameter)" },
		{ "bore", "cut",
		  "bore = cq.Workplane('XZ', origin=(clamp_x - clamp_length / 10, 0, mount_height / 2))\n"
		  "bore.circle(bar_diameter / 2).extrude(mount_width, both=True)" },
	},
	.says = {
		"Model a compact bicycle accessory mount in 6061 aluminium: a clamp for the bar and a short, supported arm, for 120 N downwards with a safety factor over 2.0.",
		"a bicycle mount: a clamp for the bar and a supported arm with a seat",
		"an accessory mount for a bike with a bar clamp and a short arm",
		"a holder for a handlebar, with an arm and a flat seat at its end",
		"a bike mount with a bored clamp block, bolts and an arm",
		"a mount that clamps a bar and carries an accessory",
		"a bar clamp with a braced arm for a bicycle",
	},
	.limits = "arm_thickness + bolt_diameter + 4 <= clamp_width * 0.65;bar_diameter + 20 <= mount_height;"
		  "bolt_diameter + 4 <= clamp_width * 0.35;arm_thickness + bolt_diameter + 4 <= mount_width * 0.6;"
		  "clamp_length <= mount_length * 0.42",
};

const struct family family_bottle_cage = {
	.name = "bottle_cage",
	.task = "bottle_cage_bike",
	.bbox = { "cage_width", "cage_depth", "cage_height" },
	.number = {
		{ "cage_width", "cage width|overall width", "X", 76, 100, 1, 85 },
		{ "cage_depth", "cage depth|overall depth", "Y, frame side to the front of the arms", 72, 96, 1, 80 },
		{ "cage_height", "cage height|overall height", "Z", 120, 200, 5, 150 },
		{ "bottle_diameter", "bottle diameter|diameter of the bottle", "the room that the arms leave", 66, 90, 1, 74 },
		{ "bolt_spacing", "bolt spacing|distance of the bolts", "Z, between the holes to the frame", 50, 80, 2, 64 },
		{ "bolt_hole_diameter", "bolt hole diameter|diameter of the bolt holes", "M5", 4.2, 6.6, 0.2, 5.4 },
		{ "spine_width", "spine width|width of the spine", "X", 20, 32, 1, 26 },
		{ "thickness", .otherwise = "4" },
		{ "back_y", .otherwise = "-cage_depth / 2" },
		{ "bottle_y", .otherwise = "(cage_depth - cage_width) / 2" },
	},
	.part = {
		{ "spine", "union",
		  "spine = cq.Workplane('XZ', origin=(0, back_y, cage_height / 2)).rect(spine_width, cage_height)\n"
		  "spine = spine.extrude(-thickness).faces('<Y').workplane().rarray(1, bolt_spacing, 1, 2).hole(bolt_hole_diameter)\n"
		  "stop = cq.Workplane('XY', origin=(0, back_y / 2, 0)).rect(spine_width, -back_y).extrude(2 * thickness)\n"
		  "lip = cq.Workplane('XY', origin=(0, back_y + 6, cage_height)).rect(spine_width, 12).extrude(-thickness)\n"
		  "spine.union(stop).union(lip)" },
		{ "rings", "union",
		  "ring = cq.Workplane('XY', origin=(0, bottle_y, cage_height * 0.22)).circle(cage_width / 2)\n"
		  "ring = ring.circle(bottle_diameter / 2).extrude(12)\n"
		  "ring = ring.union(ring.translate((0, 0, cage_height * 0.54)))\n"
		  "ring.intersect(cq.Workplane('XY').box(cage_width, cage_depth, 2 * cage_height))" },
		{ "ribs", "union",
		  "ribs = cq.Workplane('XY', origin=(0, bottle_y, cage_height / 4))\n"
		  "ribs.rarray((cage_width + bottle_diameter) / 2, 1, 2, 1).rect(thickness, 12).extrude(cage_height * 0.55)" },
	},
	.says = {
		"Model a light bottle cage for a bicycle in editable CadQuery: two holes to the frame, curved arms round both sides, a stop at the bottom, a retaining lip, and ribs with as little material as possible.",
		"a bottle cage for a bicycle: spine, round arms, bottom stop and lip",
		"a light bottle holder with two bolt holes in its spine",
		"a bike bottle cage with two rings on a flat spine",
		"a cage for a drinking bottle, two rings tied by ribs",
		"a bottle holder for a bicycle frame",
		"a bicycle bottle cage with rings, ribs and a stop",
	},
	.limits = "cage_width >= bottle_diameter + 8;cage_width <= bottle_diameter + 14;"
		  "cage_depth - (cage_width + bottle_diameter) / 2 >= 0.4;cage_depth - (cage_width + bottle_diameter) / 2 <= 2.6;"
		  "bolt_spacing <= cage_height * 0.5;spine_width <= cage_width - 40",
};

const struct family family_drone = {
	.name = "drone",
	.task = "micro_drone_frame",
	.bbox = { "frame_length", "frame_width", "frame_height" },
	.number = {
		{ "frame_length", "frame length|overall length", "X, over the guards", 160, 260, 10, 180 },
		{ "frame_width", "frame width|overall width", "Y, over the guards", 160, 260, 10, 180 },
		{ "frame_height", "frame height|overall height", "Z", 16, 36, 2, 28 },
		{ "propeller_diameter", "propeller diameter|diameter of the propellers", "turns in each guard with 2 to spare", 63, 115, 1, 77 },
		{ "plate_thickness", "plate thickness|thickness of the plate", "Z", 3, 6, 0.5, 4 },
		{ "arm_width", "arm width|width of the arms", "across each arm", 10, 18, 1, 13 },
		{ "motor_screw_circle", "motor screw circle|circle of the motor screws", "diameter, four M2 screws", 9, 16, 1, 12 },
		{ "stack_pitch", "stack pitch|pitch of the stack", "X and Y, four M2 screws of the electronics", 20, 31, 0.5, 25.5 },
		{ "guard_radius", .otherwise = "propeller_diameter / 2 + 2" },
		{ "guard_thickness", .otherwise = "2.5" },
		{ "motor_pitch", .otherwise = "frame_length - 2 * guard_radius - 2 * guard_thickness" },
	},
	.part = {
		{ "motors", NULL,
		  "cq.Workplane('XY').rarray(motor_pitch, motor_pitch, 2, 2)" },
		{ "guards", "union",
		  "@motors.circle(guard_radius + guard_thickness).circle(guard_radius).extrude(frame_height)" },
		{ "bosses", "union",
		  "@motors.circle(motor_screw_circle / 2 + 4).extrude(2 * plate_thickness)" },
		{ "plate", "union",
		  "cq.Workplane('XY').rect(2 * stack_pitch, 2 * stack_pitch).extrude(plate_thickness)" },
		{ "arm", "union",
		  "arm = cq.Workplane('XY').rect(motor_pitch * 1.4, arm_width).extrude(plate_thickness)\n"
		  "channel = cq.Workplane('XY').rect(motor_pitch, arm_width / 3).extrude(plate_thickness)\n"
		  "arm.cut(channel.translate((0, 0, plate_thickness / 2))).rotate((0, 0, 0), (0, 0, 1), 45)" },
		{ "other_arm", "union",
		  "@arm.mirror('YZ')" },
		{ "holes", "cut",
		  "stack = cq.Workplane('XY').rarray(stack_pitch, stack_pitch, 2, 2).circle(1.1).extrude(frame_height)\n"
		  "stack.union(@motors.circle(motor_screw_circle / 4).extrude(frame_height))" },
	},
	.says = {
		"Model a light micro-drone frame in editable CadQuery: central plate for electronics, four arms, four motor bosses, screw holes, channels for wires, and curved guards.",
		"a micro-drone frame with four arms, motor bosses and round guards",
		"a drone frame: central plate, crossed arms, four ring guards",
		"a small quadcopter frame with propeller guards",
		"a light frame for a drone with wire channels in its arms",
		"a quadcopter body with rings round its propellers",
		"a drone chassis with plate, arms, bosses and guards",
	},
	.limits = "frame_width >= frame_length;frame_width <= frame_length;motor_pitch >= 2 * guard_radius + 2 * guard_thickness + 2;"
		  "motor_pitch >= 2.6 * stack_pitch;motor_pitch <= guard_radius * 2.6;2 * stack_pitch * 0.71 <= motor_pitch * 0.7 - motor_screw_circle",
};
