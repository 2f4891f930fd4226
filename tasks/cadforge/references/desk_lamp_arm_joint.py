import math

import cadquery as cq

# Arm joint of a desk lamp, 260 x 80 x 180 mm, folding in the XZ plane. The lower arm is two plates
# with a hub at the foot and a spacer that guides the cable; the upper arm is one bar between them.
# A star knob with its M8 stud and a cap nut clamps each of the two joints, so that friction holds
# them; the lamp's mount hangs from the second one. Seven parts.
joint_length = 260.0
joint_width = 80.0
joint_height = 180.0
hub_radius = 25.0

elbow_x = -14.0
tip_z = 84.0
arm_depth = 30.0
tongue_half_width = 12.0
plate_thickness = 12.0
pin_diameter = 8.0
bore_edge_chamfer = 1.0

spacer_length = 26.0
cable_hole_diameter = 11.0
cable_slot_length = 56.0
cable_slot_width = 11.0

knob_diameter = 40.0
knob_lobes = 7
knob_scallop_diameter = 10.0
knob_chamfer = 2.5
nut_flats = 22.0
nut_thickness = 8.0
nut_dome_radius = 8.0

mount_radius = 24.0
mount_gap = 2.0
bridge_thickness = 13.0
socket_diameter = 40.0
socket_bore_diameter = 27.0
socket_length = 22.0

half = 0.5
clevis_half_width = tongue_half_width + plate_thickness
outer_half_width = half * joint_width
foot = (hub_radius - half * joint_length, hub_radius)
elbow = (elbow_x, joint_height - hub_radius)
tip = (half * joint_length - mount_radius, tip_z)
bridge_top = tip_z - mount_radius - mount_gap
bridge_low = bridge_top - bridge_thickness


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def section_at(point=(0, 0)):
    """A plane across Y with its origin at this (x, z); extrude(+) goes towards +Y."""
    return cq.Workplane(cq.Plane(origin=(point[0], 0, point[1]), xDir=(1, 0, 0), normal=(0, -1, 0)))


def from_to(sketch, y_from, y_to):
    return sketch.extrude(y_to - y_from).mirror("XZ").translate((0, y_from, 0))


def disc(point, radius, y_from, y_to):
    return from_to(section_at(point).circle(radius), y_from, y_to)


def strap(start, end, width, y_from, y_to, length=None):
    """A flat bar with round ends from point to point; of another length when one is given."""
    run, rise = end[0] - start[0], end[1] - start[1]
    middle = (half * (start[0] + end[0]), half * (start[1] + end[1]))
    long = math.hypot(run, rise) + width if length is None else length
    return from_to(section_at(middle).slot2D(long, width, math.degrees(math.atan2(rise, run))), y_from, y_to)


def along(start, end):
    """The plane across the line from start to end, in its middle."""
    direction = cq.Vector(end[0] - start[0], 0, end[1] - start[1])
    middle = (half * (start[0] + end[0]), 0, half * (start[1] + end[1]))
    return cq.Workplane(cq.Plane(origin=middle, xDir=(0, 1, 0), normal=direction))


def drill_pin(body, point):
    return body.cut(disc(point, half * pin_diameter, -outer_half_width, outer_half_width))


def make_lower_arm():
    plates = []
    for y_from, y_to in ((-clevis_half_width, -tongue_half_width), (tongue_half_width, clevis_half_width)):
        bar = strap(foot, elbow, arm_depth, y_from, y_to)
        window = strap(foot, elbow, cable_slot_width, y_from, y_to, cable_slot_length)
        plates += [bar.cut(window), disc(elbow, hub_radius, y_from, y_to)]
    hub = disc(foot, hub_radius, -clevis_half_width, clevis_half_width)
    return drill_pin(drill_pin(joined([hub, make_spacer(), *plates]), foot), elbow)


def make_spacer():
    """A block between the plates; the cable goes through it along the arm."""
    reach = tongue_half_width + tongue_half_width
    line = along(foot, elbow)
    block = line.rect(reach, arm_depth).extrude(half * cable_slot_length + spacer_length)
    block = block.cut(line.rect(reach, arm_depth).extrude(half * cable_slot_length))
    return block.cut(line.circle(half * cable_hole_diameter).extrude(joint_length))


def make_upper_arm():
    w = tongue_half_width
    bar = strap(elbow, tip, arm_depth, -w, w)
    body = joined([bar, disc(elbow, hub_radius, -w, w), disc(tip, mount_radius - mount_gap, -w, w)])
    body = body.cut(strap(elbow, tip, cable_slot_width, -w, w, cable_slot_length))
    return drill_pin(drill_pin(body, elbow), tip)


def make_lamp_mount():
    """A fork round the upper arm's end, a bridge under it, and the socket for the lamp's stem."""
    x, z = tip
    parts = []
    for y_from, y_to in ((-clevis_half_width, -tongue_half_width), (tongue_half_width, clevis_half_width)):
        drop = from_to(section_at((x, half * (z + bridge_low))).rect(mount_radius + mount_radius, z - bridge_low), y_from, y_to)
        parts += [drop, disc(tip, mount_radius, y_from, y_to)]
    width = clevis_half_width + clevis_half_width
    top = cq.Workplane("XY", origin=(x, 0, bridge_top))
    parts.append(top.rect(mount_radius + mount_radius, width).extrude(-bridge_thickness))
    low = cq.Workplane("XY", origin=(x, 0, bridge_low))
    parts.append(low.circle(half * socket_diameter).extrude(-socket_length))
    mount = joined(parts).cut(low.circle(half * socket_bore_diameter).extrude(-socket_length))
    return drill_pin(mount.cut(top.circle(half * cable_hole_diameter).extrude(-bridge_thickness)), tip)


def make_friction_knob(point):
    """Star knob with its stud in one piece."""
    knob = disc(point, half * knob_diameter, clevis_half_width, outer_half_width)
    knob = knob.faces(">Y").edges().chamfer(knob_chamfer)
    lobes = section_at(point).polarArray(half * knob_diameter, 0, 360, knob_lobes)
    scallops = from_to(lobes.circle(half * knob_scallop_diameter), clevis_half_width, outer_half_width)
    stud = disc(point, half * pin_diameter, -clevis_half_width - nut_thickness, clevis_half_width)
    return joined([knob.cut(scallops), stud])


def make_cap_nut(point):
    flat_to_corner = math.cos(math.radians(30))
    nut = section_at(point).polygon(6, nut_flats / flat_to_corner)
    nut = from_to(nut, -clevis_half_width - nut_thickness, -clevis_half_width)
    dome = disc(point, nut_dome_radius, -outer_half_width, -clevis_half_width)
    dome = dome.faces("<Y").edges().fillet(half * nut_dome_radius)
    thread = disc(point, half * pin_diameter, -clevis_half_width - nut_thickness, -clevis_half_width)
    return joined([nut, dome]).cut(thread)


parts = [make_lower_arm(), make_upper_arm(), make_lamp_mount()]
for pivot in (elbow, tip):
    parts += [make_friction_knob(pivot), make_cap_nut(pivot)]
fixture = cq.Workplane("XY").newObject([part.val() for part in parts])
