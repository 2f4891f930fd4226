import math

import cadquery as cq

# Screw-down snap clip for a 12 mm cable, 45 x 28 x 22 mm: pad, round channel along Y between two
# springy arms, flared lips that spread when the cable is pushed in, countersunk M4 screw hole.
clip_length = 45.0
clip_width = 28.0
clip_height = 22.0
pad_thickness = 4.0
pad_corner_radius = 6.0
pad_edge_chamfer = 0.8

cable_diameter = 12.0
cable_clearance = 0.4
arm_thickness = 2.2
arm_width = 22.0
lip_tip_radius = 0.7
channel_offset = -11.0
channel_floor = 1.2
throat_half_angle = 42.0
lip_flare = 3.4
lip_root_angle = 24.0
root_angle = 20.0
root_half_width = 9.6

screw_hole_diameter = 4.5
countersink_diameter = 9.0
countersink_angle = 90.0
screw_offset = 12.5

half = 0.5
right_angle = 90.0
channel_radius = half * (cable_diameter + cable_clearance)
ring_radius = channel_radius + arm_thickness
channel_z = pad_thickness + channel_floor + channel_radius
lip_top = clip_height - channel_z


def on_circle(radius, degrees_from_top):
    angle = math.radians(degrees_from_top)
    return radius * math.sin(angle), radius * math.cos(angle)


throat_inner = on_circle(channel_radius, throat_half_angle)
lead_in = [throat_inner, (throat_inner[0] + lip_flare, lip_top)]
lip_root = on_circle(ring_radius, throat_half_angle + lip_root_angle)
root_top = on_circle(ring_radius, right_angle + root_angle)


def across(sketch, width):
    """Extrudes a sketch in XZ, drawn round the channel's axis, to both sides of the plane y = 0."""
    return sketch.extrude(half * width, both=True)


def at_channel():
    return cq.Workplane("XZ", origin=(channel_offset, 0, channel_z))


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def make_base_pad():
    pad = cq.Workplane("XY").box(clip_length, clip_width, pad_thickness, centered=(True, True, False))
    return pad.edges("|Z").fillet(pad_corner_radius).faces(">Z").edges().chamfer(pad_edge_chamfer)


def make_ring():
    return across(at_channel().circle(ring_radius), arm_width)


def make_root():
    """The arms' common root: wider at the pad, so that no sharp corner takes the bending."""
    bottom = half * pad_thickness - channel_z
    outline = [(-root_half_width, bottom), (root_half_width, bottom), root_top, (-root_top[0], root_top[1])]
    return across(at_channel().polyline(outline).close(), arm_width)


def make_lip(side):
    tip_x, tip_z = lead_in[1]
    points = [*lead_in, (tip_x + arm_thickness, tip_z), lip_root]
    return across(at_channel().polyline([(side * x, z) for x, z in points]).close(), arm_width)


def cut_channel(body):
    left_side = [(-x, z) for x, z in reversed(lead_in)]
    body = body.cut(across(at_channel().polyline([(0, 0), *lead_in, *left_side]).close(), clip_width))
    return body.cut(across(at_channel().circle(channel_radius), clip_width))


def make_snap_arms():
    spring = cut_channel(joined([make_ring(), make_root()]))
    spring = joined([spring, make_lip(-1), make_lip(1)])
    return spring.faces(">Z").edges("|Y").fillet(lip_tip_radius)


def drill_screw_hole(body):
    top = cq.Workplane("XY", origin=(screw_offset, 0, pad_thickness)).add(body)
    return top.pushPoints([(0, 0)]).cskHole(screw_hole_diameter, countersink_diameter, countersink_angle)


fixture = drill_screw_hole(joined([make_base_pad(), make_snap_arms()]))
