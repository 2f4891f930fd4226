import math

import cadquery as cq

# Office_chair, 680 x 680 x 1200 mm: star_base with five_arms and five casters, gas_cylinder, mechanism
# with its lever, seat cushion, backrest with lumbar_support, headrest, two armrests. Front is -Y. The
# wheels turn on their axles, the piston swivels in the cylinder, cushions and pads rest on the frame.
chair_width = 680.0
chair_depth = 680.0
chair_height = 1200.0
seat_width = 500.0
seat_depth = 480.0
seat_thickness = 78.0
seat_top_z = 500.0
seat_centre_y = -40.0
seat_corner_radius = 70.0
seat_top_radius = 26.0
seat_under_radius = 12.0
back_width = 450.0
back_top_width = 390.0
back_low_z = 545.0
back_top_z = 1010.0
back_thickness = 52.0
back_corner_radius = 60.0
back_low_y = 212.0
lumbar_z = 660.0
lumbar_bulge = 40.0
lumbar_fade = 0.25
recline_deg = 12.0
head_width = 270.0
head_height = 140.0
head_thickness = 62.0
head_radius = 22.0
head_post_spacing = 120.0
head_post_diameter = 16.0
head_post_drop = 100.0
spine_width = 76.0
spine_thickness = 22.0
arm_pad_width = 84.0
arm_pad_length = 260.0
arm_pad_thickness = 28.0
arm_pad_radius = 12.0
arm_top_z = 700.0
arm_post_width = 34.0
arm_post_length = 64.0
arm_centre_y = -10.0
arm_bracket_thickness = 20.0
mechanism_width = 170.0
mechanism_length = 240.0
mechanism_height = 56.0
mechanism_edge_radius = 12.0
lever_diameter = 10.0
lever_reach = 220.0
lever_y = -50.0
piston_diameter = 28.0
cylinder_diameter = 50.0
cylinder_top_z = 270.0
hub_diameter = 100.0
hub_low_z = 84.0
hub_top_z = 152.0
arm_root_width = 50.0
arm_root_reach = 37.0
arm_root_height = 50.0
arm_tip_width = 38.0
arm_tip_height = 24.0
arm_count = 5
wheel_diameter = 60.0
wheel_width = 40.0
wheel_edge_radius = 8.0
axle_diameter = 12.0
fork_thickness = 8.0
fork_length = 40.0

wheel_radius = wheel_diameter / 2
caster_reach = chair_depth / 2 - wheel_radius
fork_top_z = wheel_diameter + fork_thickness
seat_low_z = seat_top_z - seat_thickness
mechanism_z = seat_low_z - mechanism_height
recline = math.radians(recline_deg)
head_z = chair_height - head_height
arm_x = (chair_width - arm_pad_width) / 2
turn_deg = 360 / arm_count


def block(width, depth, height, centre_y, low_z):
    return cq.Workplane("XY", origin=(0, centre_y, low_z)).rect(width, depth).extrude(height)


def cylinder(diameter, low_z, high_z, y):
    return cq.Workplane("XY", origin=(0, y, low_z)).circle(diameter / 2).extrude(high_z - low_z)


def both_sides(part):
    return part.union(part.mirror("YZ"))


def round_star(part):
    """Five copies about the middle of the base; the first points to the front."""
    copies = [part.rotate((0, 0, 0), (0, 0, 1), turn_deg * index).val() for index in range(arm_count)]
    return cq.Workplane("XY").newObject(copies)


def back_y(z):
    """The middle plane of the backrest: it leans back from its lower edge."""
    return back_low_y + (z - back_low_z) * math.tan(recline)


def make_base_arm():
    root = cq.Workplane("XZ", origin=(0, -arm_root_reach, hub_top_z - arm_root_height / 2))
    tip = root.rect(arm_root_width, arm_root_height).workplane(offset=caster_reach - arm_root_reach)
    drop = fork_top_z + arm_tip_height - hub_top_z + (arm_root_height - arm_tip_height) / 2
    arm = tip.center(0, drop).rect(arm_tip_width, arm_tip_height).loft()
    return arm.union(cylinder(arm_tip_width, fork_top_z, fork_top_z + arm_tip_height, -caster_reach))


def make_caster_fork():
    width = wheel_width + fork_thickness + fork_thickness
    fork = block(width, fork_length, fork_top_z - wheel_radius, -caster_reach, wheel_radius)
    eye = cq.Workplane("YZ", origin=(0, -caster_reach, wheel_radius)).circle(fork_length / 2).extrude(width / 2, both=True)
    room = block(wheel_width, wheel_diameter, wheel_diameter, -caster_reach, 0)
    axle = cq.Workplane("YZ", origin=(0, -caster_reach, wheel_radius)).circle(axle_diameter / 2)
    return fork.union(eye).cut(room).union(axle.extrude(wheel_width / 2, both=True))


def make_wheel():
    start = cq.Workplane("YZ", origin=(0, -caster_reach, wheel_radius))
    wheel = start.circle(wheel_radius).extrude(wheel_width / 2, both=True).edges().fillet(wheel_edge_radius)
    return wheel.cut(start.circle(axle_diameter / 2).extrude(wheel_width / 2, both=True))


def make_star_base():
    hub = cylinder(hub_diameter, hub_low_z, hub_top_z, 0)
    column = cylinder(cylinder_diameter, hub_low_z, cylinder_top_z, 0)
    bore = cylinder(piston_diameter, hub_top_z, cylinder_top_z, 0)
    arms = round_star(make_base_arm().union(make_caster_fork()))
    return hub.union(column).union(arms).cut(bore)


def make_mechanism():
    box = block(mechanism_width, mechanism_length, mechanism_height, 0, mechanism_z)
    box = box.edges("<Z").fillet(mechanism_edge_radius)
    lever = cq.Workplane("YZ", origin=(0, lever_y, mechanism_z + mechanism_height / 2)).circle(lever_diameter / 2)
    return box.union(lever.extrude(lever_reach))


def make_seat():
    seat = block(seat_width, seat_depth, seat_thickness, seat_centre_y, seat_low_z).edges("|Z").fillet(seat_corner_radius)
    return seat.faces(">Z").edges().fillet(seat_top_radius).faces("<Z").edges().fillet(seat_under_radius)


def make_backrest():
    back = back_thickness / 2
    bulges = ((lumbar_z, lumbar_bulge), ((lumbar_z + back_top_z) / 2, lumbar_bulge * lumbar_fade), (back_top_z, 0))
    front = [(back_y(z) - back - bulge, z) for z, bulge in bulges]
    side = cq.Workplane("YZ").moveTo(back_low_y - back, back_low_z).spline(front, includeCurrent=True)
    side = side.lineTo(back_y(back_top_z) + back, back_top_z).lineTo(back_low_y + back, back_low_z).close()
    outline = [(-back_width / 2, back_low_z), (back_width / 2, back_low_z), (back_top_width / 2, back_top_z)]
    outline.append((-back_top_width / 2, back_top_z))
    face = cq.Workplane("XZ").polyline(outline).close().extrude(-chair_depth).edges("|Y").fillet(back_corner_radius)
    return side.extrude(back_width / 2, both=True).intersect(face)


def make_headrest():
    rear_y = chair_depth / 2
    pad = block(head_width, head_thickness, head_height, rear_y - head_thickness / 2, head_z)
    pad = pad.edges().fillet(head_radius)
    post_y = rear_y - head_thickness / 2
    post = cylinder(head_post_diameter, back_top_z - head_post_drop, head_z + head_radius, post_y)
    return pad.union(both_sides(post.translate((head_post_spacing / 2, 0, 0))))


def make_spine():
    high = mechanism_z + spine_thickness
    back, top = back_thickness / 2, back_top_z - head_post_drop
    behind = spine_thickness / math.cos(recline)
    path = [(0, mechanism_z), (back_y(mechanism_z) + back + behind, mechanism_z)]
    path += [(back_y(top) + back + behind, top), (back_y(top) + back, top)]
    path += [(back_y(high) + back, high), (0, high)]
    return cq.Workplane("YZ").polyline(path).close().extrude(spine_width / 2, both=True)


def make_armrest_pad():
    pad = block(arm_pad_width, arm_pad_length, arm_pad_thickness, arm_centre_y, arm_top_z - arm_pad_thickness)
    pad = pad.edges("|Z").fillet(arm_pad_radius).faces(">Z").edges().chamfer(arm_pad_radius / 2)
    return pad.translate((arm_x, 0, 0))


def make_armrest_frame():
    low = seat_low_z - arm_bracket_thickness
    post = block(arm_post_width, arm_post_length, arm_top_z - arm_pad_thickness - low, arm_centre_y, low)
    bracket = block(arm_x + arm_x, arm_post_length, arm_bracket_thickness, arm_centre_y, low)
    return both_sides(post.translate((arm_x, 0, 0))).union(bracket)


def make_frame():
    piston = cylinder(piston_diameter, hub_top_z, mechanism_z, 0)
    return make_mechanism().union(make_spine()).union(make_armrest_frame()).union(piston)


pad = make_armrest_pad()
parts = [make_star_base(), make_frame(), make_seat(), make_backrest().union(make_headrest()), pad, pad.mirror("YZ")]
fixture = round_star(make_wheel()).add(cq.Workplane("XY").newObject([part.val() for part in parts]))
