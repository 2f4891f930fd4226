import math

import cadquery as cq

# Ergonomic armchair, 620 x 650 x 1120 mm, one body for 1000 N on the seat and 100 N on the back:
# seat with a waterfall edge and a dip, backrest with lumbar curve and headrest that wrap round the
# sitter, carried by two bent uprights; four splayed legs with a ring of crossbars;
# armrests that run in one bow from the seat's side to the uprights. The sitter looks towards -Y.
chair_width = 620.0
chair_depth = 650.0
chair_height = 1120.0
seat_height = 455.0

seat_width = 500.0
seat_depth = 490.0
seat_thickness = 36.0
seat_middle_y = -45.0
seat_crest_y = -200.0
seat_dip_y = 20.0
seat_dip = 20.0
seat_rise = 10.0
seat_front_drop = 30.0
seat_corner_radius = 75.0

leg_radius = 19.0
leg_top_x = 175.0
leg_top_front_y = -190.0
leg_top_rear_y = 110.0
leg_embed = 14.0
glide_radius = 24.0
glide_height = 14.0

crossbar_radius = 12.0
side_bar_share = 0.36
cross_bar_share = 0.5

back_width = 400.0
back_thickness = 22.0
back_low_z = 560.0
back_high_z = 905.0
back_wrap_radius = 420.0
back_corner_radius = 60.0
lumbar_z = 660.0
lumbar_y = 184.0
back_low_y = 196.0
back_high_y = 262.0

head_width = 270.0
head_height = 140.0
head_thickness = 40.0
head_rear_y = 298.0
head_wrap = 30.0
head_corner_radius = 50.0

upright_radius = 16.0
upright_x = 105.0
upright_low = (180.0, 450.0)
upright_middle = (242.0, 740.0)

armrest_height = 665.0
armrest_width = 58.0
armrest_length = 290.0
armrest_thickness = 26.0
armrest_middle_y = -5.0
armrest_edge_radius = 9.0
arm_post_radius = 15.0
arm_post_x = 215.0
arm_post_bow = 12.0
arm_post_places = (-100.0, 80.0)

half = 0.5
half_turn = 180.0
foot_x = half * chair_width - glide_radius
foot_y = half * chair_depth - glide_radius
arm_x = half * (chair_width - armrest_width)
head_low_z = chair_height - head_height
head_middle_z = chair_height - half * head_height


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def rod(start, end, radius):
    a, b = cq.Vector(*start), cq.Vector(*end)
    return cq.Workplane("XY").newObject([cq.Solid.makeCylinder(radius, (b - a).Length, a, b - a)])


def swept_across(path, width, thickness=None):
    """Sweeps a bar's section (round without a thickness) along a path, from the path's start."""
    section = cq.Workplane(cq.Plane(path.val().startPoint(), path.plane.zDir, path.val().tangentAt(0)))
    section = section.circle(width) if thickness is None else section.rect(width, thickness)
    return section.sweep(path)


def wrapped(front, thickness, width, wrap_radius, corner_radius):
    """A panel whose front is an arc through three (y, z) points, turned round an upright axis before it.

    Seen from the front, its outline is a rectangle with rounded corners."""
    low, middle, high = front
    rear_low, rear_middle, rear_high = [(y + thickness, z) for y, z in front]
    profile = cq.Workplane("YZ").moveTo(*low).threePointArc(middle, high)
    profile = profile.lineTo(*rear_high).threePointArc(rear_middle, rear_low).close()
    axis_y = low[0] - wrap_radius
    turned = profile.revolve(half_turn, (axis_y, 0, 0), (axis_y, 1, 0))
    turned = turned.rotate((0, axis_y, 0), (0, axis_y, 1), -half * half_turn)
    outline = cq.Workplane("XZ", origin=(0, chair_depth, half * (low[1] + high[1]))).rect(width, high[1] - low[1])
    outline = outline.extrude(chair_depth).edges("|Y").fillet(corner_radius)
    return turned.intersect(outline)


def make_seat():
    """A board along three arcs - waterfall front, dip under the sit bones, rising rear."""
    front_y, rear_y = seat_middle_y - half * seat_depth, seat_middle_y + half * seat_depth
    core = seat_height - half * seat_thickness
    path = cq.Workplane("YZ").moveTo(rear_y, core + seat_rise)
    path = path.threePointArc((seat_dip_y, core - seat_dip), (seat_crest_y, core))
    path = path.tangentArcPoint((front_y, core - seat_front_drop), relative=False).wire()
    board = swept_across(path, seat_width, seat_thickness)
    outline = cq.Workplane("XY", origin=(0, seat_middle_y, 0)).rect(seat_width, seat_depth).extrude(chair_height)
    return board.intersect(outline.edges("|Z").fillet(seat_corner_radius))


def leg_line(side, end):
    """Foot and top of a leg's centre line."""
    top_y = leg_top_front_y if end < 0 else leg_top_rear_y
    return (side * foot_x, end * foot_y, 0), (side * leg_top_x, top_y, seat_height - seat_dip - half * seat_thickness + leg_embed)


def on_leg(side, end, share):
    foot, top = leg_line(side, end)
    return tuple(a + (b - a) * share for a, b in zip(foot, top))


def make_leg(side, end):
    ankle = on_leg(side, end, glide_height / seat_height)
    leg = rod(ankle, leg_line(side, end)[1], leg_radius)
    glide = cq.Workplane("XY", origin=(side * foot_x, end * foot_y, 0)).circle(glide_radius).extrude(glide_height)
    return [glide, leg]


def make_crossbars():
    bars = [rod(on_leg(side, -1, side_bar_share), on_leg(side, 1, side_bar_share), crossbar_radius) for side in (-1, 1)]
    bars += [rod(on_leg(-1, end, cross_bar_share), on_leg(1, end, cross_bar_share), crossbar_radius) for end in (-1, 1)]
    return bars


def make_backrest():
    front = [(back_low_y, back_low_z), (lumbar_y, lumbar_z), (back_high_y, back_high_z)]
    return wrapped(front, back_thickness, back_width, back_wrap_radius, back_corner_radius)


def make_headrest():
    """A pad that is hollow in front for the neck and round behind, with rounded corners."""
    reach = half * head_width
    front, rear = head_rear_y - head_thickness, head_rear_y
    pad = cq.Workplane("XY", origin=(0, 0, head_low_z)).moveTo(-reach, front - head_wrap)
    pad = pad.threePointArc((0, front), (reach, front - head_wrap)).lineTo(reach, rear - head_wrap)
    pad = pad.threePointArc((0, rear), (-reach, rear - head_wrap)).close().extrude(head_height)
    return pad.edges("|Y").fillet(head_corner_radius)


def make_upright(side):
    """From the rear of the seat, behind the backrest's lower and upper edge, into the headrest."""
    plane = cq.Workplane("YZ", origin=(side * upright_x, 0, 0)).moveTo(*upright_low)
    path = plane.threePointArc(upright_middle, (head_rear_y - upright_radius, head_middle_z)).wire()
    return swept_across(path, upright_radius)


def make_armrest(side):
    pad = cq.Workplane("XY", origin=(side * arm_x, armrest_middle_y, armrest_height - armrest_thickness))
    pad = pad.slot2D(armrest_length, armrest_width, angle=90).extrude(armrest_thickness)
    pad = pad.faces(">Z").edges().fillet(armrest_edge_radius)
    low = (side * arm_post_x, seat_height - seat_thickness + arm_post_radius)
    high = (side * arm_x, armrest_height - half * armrest_thickness)
    bow = (half * (low[0] + high[0]) + side * arm_post_bow, half * (low[1] + high[1]))
    posts = []
    for y in arm_post_places:
        path = cq.Workplane("XZ", origin=(0, y, 0)).moveTo(*low).threePointArc(bow, high).wire()
        posts.append(swept_across(path, arm_post_radius))
    return [pad, *posts]


parts = [make_seat(), make_backrest(), make_headrest(), *make_crossbars()]
for side in (-1, 1):
    parts += [*make_leg(side, -1), *make_leg(side, 1), make_upright(side), *make_armrest(side)]
fixture = joined(parts)
