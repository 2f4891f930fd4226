import math

import cadquery as cq

# Plain four-legged chair for a sitting load_700n, within 500 x 500 x 900 mm: raked rear posts, seat
# panel on an apron, H of crossbars near the floor, backrest of three bowed slats. Front is -Y.
chair_width = 500.0
chair_depth = 500.0
chair_height = 900.0
seat_height = 450.0
seat_thickness = 24.0
seat_corner_radius = 40.0
seat_edge_radius = 8.0
seat_overhang = 16.0
leg_side = 40.0
foot_chamfer = 3.0
post_top_depth = 28.0
foot_kick = 44.0
back_rake = 36.0
apron_height = 60.0
apron_thickness = 22.0
crossbar_height = 32.0
crossbar_thickness = 22.0
crossbar_edge_radius = 4.0
side_bar_z = 150.0
slat_thickness = 18.0
slat_bow = 19.0
slat_height = 56.0
crest_height = 84.0
slat_pitch = 118.0
slat_edge_chamfer = 4.0

leg_x = chair_width / 2 - seat_overhang - leg_side / 2
front_y = seat_overhang + leg_side / 2 - chair_depth / 2
post_y = chair_depth / 2 - foot_kick - leg_side / 2
seat_back_y = post_y + leg_side / 2
frame_top = seat_height - seat_thickness
rake_deg = math.degrees(math.atan2(back_rake, chair_height - seat_height))
crest_z = chair_height - crest_height / 2


def box_at(size_x, size_y, size_z, centre):
    return cq.Workplane("XY").box(size_x, size_y, size_z).translate(centre)


def both_sides(part):
    return part.union(part.mirror("YZ"))


def post_centre_y(z):
    return post_y + back_rake * (z - seat_height) / (chair_height - seat_height)


def foot_centre_y(z):
    return post_y + foot_kick * max(0, frame_top - apron_height - z) / (frame_top - apron_height)


def make_seat():
    depth = seat_back_y + chair_depth / 2
    panel = cq.Workplane("XY").box(chair_width, depth, seat_thickness)
    panel = panel.edges("|Z and <Y").fillet(seat_corner_radius).edges("|Z and >Y").fillet(seat_overhang)
    panel = panel.faces(">Z").edges().fillet(seat_edge_radius)
    return panel.translate(cq.Vector(0, seat_back_y - depth / 2, seat_height - seat_thickness / 2))


def make_front_leg():
    leg = box_at(leg_side, leg_side, frame_top, cq.Vector(leg_x, front_y, frame_top / 2))
    return leg.faces("<Z").edges().chamfer(foot_chamfer)


def make_rear_post():
    knee_z = frame_top - apron_height
    back_y = post_y + leg_side / 2
    top_y = back_y + back_rake
    outline = [(back_y + foot_kick, 0), (back_y, knee_z), (back_y, seat_height), (top_y, chair_height)]
    outline += [(top_y - post_top_depth, chair_height), (back_y - leg_side, seat_height)]
    outline += [(back_y - leg_side, knee_z), (back_y + foot_kick - leg_side, 0)]
    start = cq.Workplane("YZ", origin=(leg_x - leg_side / 2, 0, 0))
    post = start.polyline(outline).close().extrude(leg_side)
    return post.faces("<Z or >Z").edges("|Y").chamfer(foot_chamfer)


def make_apron():
    z = frame_top - apron_height / 2
    side = box_at(apron_thickness, post_y - front_y, apron_height, cq.Vector(leg_x, (post_y + front_y) / 2, z))
    front = box_at(leg_x + leg_x, apron_thickness, apron_height, cq.Vector(0, front_y, z))
    back = box_at(leg_x + leg_x, apron_thickness, apron_height, cq.Vector(0, post_y, z))
    return both_sides(side).union(front).union(back)


def make_crossbars():
    rear_y = foot_centre_y(side_bar_z)
    middle = cq.Vector(leg_x, (rear_y + front_y) / 2, side_bar_z)
    side = box_at(crossbar_thickness, rear_y - front_y, crossbar_height, middle)
    side = side.edges("|Y").fillet(crossbar_edge_radius)
    cross = box_at(leg_x + leg_x, crossbar_thickness, crossbar_height, cq.Vector(0, middle.y, side_bar_z))
    return both_sides(side).union(cross.edges("|X").fillet(crossbar_edge_radius))


def make_slat(height, z):
    start = cq.Workplane("XY").moveTo(-leg_x, 0).threePointArc((0, slat_bow), (leg_x, 0))
    slat = start.lineTo(leg_x, slat_thickness).threePointArc((0, slat_bow + slat_thickness), (-leg_x, slat_thickness))
    slat = slat.close().extrude(height / 2, both=True).edges("%CIRCLE").chamfer(slat_edge_chamfer)
    slat = slat.rotate((0, 0, 0), (1, 0, 0), -rake_deg)
    return slat.translate(cq.Vector(0, post_centre_y(z) - slat_thickness / 2, z))


def make_backrest():
    crest = make_slat(crest_height, crest_z - slat_edge_chamfer)
    return crest.union(make_slat(slat_height, crest_z - slat_pitch)).union(make_slat(slat_height, crest_z - 2 * slat_pitch))


four_legs = both_sides(make_front_leg()).union(both_sides(make_rear_post()))
connected = four_legs.union(make_apron()).union(make_crossbars()).union(make_backrest())
fixture = connected.union(make_seat())
