import math

import cadquery as cq

# Parallel gripper, 160 x 120 x 60 mm, that closes along Y: a palm with its flange for the robot,
# two fingers, each guided by two parallel links between its cheeks and those of the palm, eight
# pins, serrated pads. Fifteen parts: palm, fingers, links, pins.
gripper_length = 160.0
gripper_width = 120.0
gripper_height = 60.0
flange_thickness = 12.0

flange_corner_radius = 10.0
mounting_hole_diameter = 6.6
mounting_hole_y = 51.0
mounting_hole_z = 19.0
locating_diameter = 25.0
locating_depth = 4.0

palm_length = 44.0
palm_width = 86.0
body_height = 44.0
palm_corner_radius = 12.0
web_width = 12.0

front_pivot_x = -36.0
front_pivot_y = 15.0
rear_pivot_x = -57.0
rear_pivot_y = 32.0
link_reach = 50.0
link_spread = 15.0

link_width = 15.0
link_thickness = 12.0
link_side_gap = 0.2
pin_diameter = 8.0
pin_length = 56.0
pin_chamfer = 0.8
boss_diameter = 19.0
boss_height = 3.0

finger_root_y = 48.0
finger_tip_y = 40.0
finger_inner_y = 28.0
finger_tip_radius = 5.0
finger_slot_end = 25.0

pad_length = 38.0
pad_thickness = 9.0
pad_height = 36.0
groove_pitch = 6.0
groove_width = 2.4
groove_count = 5

half = 0.5
left_end = -half * gripper_length
right_end = half * gripper_length
palm_front = left_end + flange_thickness + palm_length
slot_height = link_thickness + link_side_gap + link_side_gap


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def at_middle(sketch, height):
    """Extrudes a sketch in XY to both sides of the middle plane of the gripper."""
    return sketch.extrude(half * height, both=True).translate((0, 0, half * gripper_height))


def slab(x_from, x_to, y_from, y_to, height):
    outline = [(x_from, y_from), (x_to, y_from), (x_to, y_to), (x_from, y_to)]
    return at_middle(cq.Workplane("XY").polyline(outline).close(), height)


def palm_pivots(side):
    return [(front_pivot_x, side * front_pivot_y), (rear_pivot_x, side * rear_pivot_y)]


def finger_pivots(side):
    return [(x + link_reach, y + side * link_spread) for x, y in palm_pivots(side)]


def make_bosses(points):
    return at_middle(cq.Workplane("XY").pushPoints(points).circle(half * boss_diameter), body_height + boss_height + boss_height)


def drill_pin_holes(body, points):
    return body.cut(at_middle(cq.Workplane("XY").pushPoints(points).circle(half * pin_diameter), gripper_height))


def make_flange():
    face = cq.Workplane("YZ", origin=(left_end, 0, half * gripper_height))
    plate = face.rect(gripper_width, gripper_height).extrude(flange_thickness).edges("|X").fillet(flange_corner_radius)
    holes = face.rarray(mounting_hole_y + mounting_hole_y, mounting_hole_z + mounting_hole_z, 2, 2)
    holes = holes.circle(half * mounting_hole_diameter).extrude(flange_thickness)
    return plate.cut(holes).cut(face.circle(half * locating_diameter).extrude(locating_depth))


def make_palm():
    """Flange, and above and below the links a cheek; a web joins the cheeks in the middle."""
    reach = half * palm_width
    body = slab(left_end + flange_thickness, palm_front, -reach, reach, body_height)
    body = body.edges("|Z and >X").fillet(palm_corner_radius)
    points = palm_pivots(-1) + palm_pivots(1)
    palm = joined([body, make_flange(), make_bosses(points)])
    for side in (-1, 1):
        edges = sorted((side * half * web_width, side * half * gripper_width))
        palm = palm.cut(slab(left_end + flange_thickness, palm_front, *edges, slot_height))
    return drill_pin_holes(palm, points)


def make_pad(side):
    face = side * (finger_inner_y - pad_thickness)
    edges = sorted((face, side * finger_inner_y))
    pad = slab(right_end - pad_length, right_end, *edges, pad_height)
    grooves = cq.Workplane("XY", origin=(right_end - half * pad_length, face, 0))
    grooves = grooves.rarray(groove_pitch, 1, groove_count, 1).rect(groove_width, groove_width)
    return pad.cut(at_middle(grooves, gripper_height))


def make_finger(side):
    (front_x, front_y), (rear_x, rear_y) = finger_pivots(side)
    outline = [(front_x, finger_inner_y), (right_end, finger_inner_y), (right_end, finger_tip_y), (rear_x, finger_root_y)]
    beam = at_middle(cq.Workplane("XY").polyline([(x, side * y) for x, y in outline]).close(), body_height)
    beam = beam.edges("|Z and >X").fillet(finger_tip_radius)
    root = make_strap((front_x, front_y), (rear_x, rear_y), boss_diameter, body_height)
    bosses = make_bosses(finger_pivots(side))
    finger = joined([beam, root, bosses, make_pad(side)])
    finger = finger.cut(slab(left_end, finger_slot_end, -gripper_width, gripper_width, slot_height))
    return drill_pin_holes(finger, finger_pivots(side))


def make_strap(start, end, width, height):
    """A bar with round ends between two points."""
    run, rise = end[0] - start[0], end[1] - start[1]
    middle = cq.Workplane("XY", origin=(half * (start[0] + end[0]), half * (start[1] + end[1]), 0))
    angle = math.degrees(math.atan2(rise, run))
    return at_middle(middle.slot2D(math.hypot(run, rise) + width, width, angle), height)


def make_links(side):
    links = []
    for palm_pivot, finger_pivot in zip(palm_pivots(side), finger_pivots(side)):
        bar = make_strap(palm_pivot, finger_pivot, link_width, link_thickness)
        links.append(drill_pin_holes(bar, [palm_pivot, finger_pivot]))
    return links


def make_pins(side):
    pins = []
    for x, y in palm_pivots(side) + finger_pivots(side):
        pin = at_middle(cq.Workplane("XY").circle(half * pin_diameter), pin_length)
        pins.append(pin.faces("<Z or >Z").edges().chamfer(pin_chamfer).translate((x, y, 0)))
    return pins


parts = [make_palm()]
for side in (-1, 1):
    parts += [make_finger(side), *make_links(side), *make_pins(side)]
fixture = cq.Workplane("XY").newObject([part.val() for part in parts])
