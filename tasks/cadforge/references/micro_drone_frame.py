import math

import cadquery as cq

# Frame of a ducted micro drone, 180 x 180 x 28 mm, for 3-inch propellers: plate with a 25.5 mm M2
# stack pattern and a battery window, four arms at 45 degrees with a channel for the motor's wires,
# motor bosses (M2 on 12 mm, shaft hole), guards of full height that are open between their posts.
frame_size = 180.0
frame_height = 28.0
propeller_diameter = 77.0
propeller_clearance = 2.0

guard_thickness = 2.0
guard_rim_height = 9.0
guard_post_width = 9.0
window_corner_radius = 4.0

plate_size = 62.0
plate_corner_cut = 14.0
plate_thickness = 4.0
plate_window = 15.0
plate_window_radius = 4.0
strap_slot_length = 16.0
strap_slot_width = 3.0
strap_slot_offset = 26.0

arm_width = 13.0
arm_thickness = 6.0
spoke_width = 5.0
spoke_thickness = 3.5
wire_channel_width = 4.5
wire_channel_depth = 3.0
channel_start = 18.0

boss_diameter = 20.0
boss_height = 8.0
shaft_hole_diameter = 5.0
motor_screw_diameter = 2.2
motor_screw_circle = 12.0
motor_screw_count = 4

stack_pitch = 25.5
standoff_diameter = 6.0
standoff_height = 10.0
stack_screw_diameter = 2.2

half = 0.5
diagonal_degrees = 45.0
quarter_degrees = 90.0
guard_inner_radius = half * propeller_diameter + propeller_clearance
guard_radius = guard_inner_radius + guard_thickness
motor_offset = half * frame_size - guard_radius
arm_length = motor_offset * math.sqrt(2)
window_height = frame_height - guard_rim_height - spoke_thickness
window_width = guard_radius * math.sqrt(2) - guard_post_width


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def carved(body, tools):
    return cq.Workplane("XY").newObject([body.val().cut(*[tool.val() for tool in tools])]).clean()


def slab(length, width, height, x=0, z=0):
    """A bar along +X that starts at x."""
    bar = cq.Workplane("XY").box(length, width, height, centered=(False, True, False))
    return bar.translate((x, 0, z))


def disc(diameter, height, x=0, y=0, z=0):
    return cq.Workplane("XY").circle(half * diameter).extrude(height).translate((x, y, z))


def quarters(part):
    """The part and its copies after each quarter turn."""
    return [part.rotate((0, 0, 0), (0, 0, 1), turn * quarter_degrees) for turn in range(4)]


def make_guard():
    """A duct round the motor; windows leave a rim at the propeller's height and four posts."""
    ring = cq.Workplane("XY").circle(guard_radius).circle(guard_inner_radius).extrude(frame_height)
    window = cq.Workplane("XY").box(guard_radius + guard_radius + guard_thickness, window_width, window_height)
    window = window.edges("|X").fillet(window_corner_radius)
    window = window.translate((0, 0, spoke_thickness + half * window_height))
    turns = (diagonal_degrees, diagonal_degrees + quarter_degrees)
    windows = [window.rotate((0, 0, 0), (0, 0, 1), turn) for turn in turns]
    return carved(ring, windows).translate((arm_length, 0, 0))


def make_arm():
    """One arm along +X with its boss, guard and the spokes that carry the guard."""
    beam = slab(arm_length, arm_width, arm_thickness)
    reach = slab(guard_radius - half * guard_thickness, spoke_width, spoke_thickness, arm_length)
    cross = cq.Workplane("XY").box(spoke_width, guard_radius + guard_inner_radius, spoke_thickness, centered=(True, True, False))
    boss = disc(boss_diameter, boss_height, arm_length)
    return joined([beam, reach, cross.translate((arm_length, 0, 0)), boss, make_guard()])


def cut_arm_features(arm):
    end = arm_length - half * boss_diameter
    channel = slab(end - channel_start, wire_channel_width, arm_thickness, channel_start, arm_thickness - wire_channel_depth)
    motor = cq.Workplane("XY", origin=(arm_length, 0, 0))
    screws = motor.polarArray(half * motor_screw_circle, diagonal_degrees, 360, motor_screw_count)
    screws = screws.circle(half * motor_screw_diameter).extrude(boss_height)
    return carved(arm, [channel, screws, disc(shaft_hole_diameter, boss_height, arm_length)])


def make_center_plate():
    plate = cq.Workplane("XY").rect(plate_size, plate_size).extrude(plate_thickness)
    plate = plate.edges("|Z").chamfer(plate_corner_cut)
    return plate


def cut_center_openings(frame):
    base = cq.Workplane("XY")
    window = base.rect(plate_window, plate_window).extrude(arm_thickness).edges("|Z").fillet(plate_window_radius)
    slots = base.pushPoints([(0, -strap_slot_offset), (0, strap_slot_offset)])
    slots = slots.slot2D(strap_slot_length, strap_slot_width).extrude(plate_thickness)
    slots = slots.union(slots.rotate((0, 0, 0), (0, 0, 1), quarter_degrees))
    screws = base.rarray(stack_pitch, stack_pitch, 2, 2).circle(half * stack_screw_diameter).extrude(standoff_height)
    return carved(frame, [window, slots, screws])


def make_standoffs():
    offset = half * stack_pitch
    return quarters(disc(standoff_diameter, standoff_height, offset, offset))


arm = cut_arm_features(make_arm()).rotate((0, 0, 0), (0, 0, 1), diagonal_degrees)
frame = joined([make_center_plate(), *quarters(arm), *make_standoffs()])
fixture = cut_center_openings(frame)
