import cadquery as cq

# Servo_bracket, 80 x 60 x 55 mm: u_cradle for a servo body of 46 mm, two side_ears with the four
# screw_holes M4 for its flange, cable_notch in one wall, a stiffening_rib under each ear.
bracket_length = 80.0
bracket_width = 60.0
bracket_height = 55.0
cradle_width = 47.0
wall_thickness = 4.5
floor_thickness = 5.0
floor_corner_radius = 6.0
floor_inner_radius = 3.0
ear_thickness = 5.0
ear_corner_radius = 6.0
screw_hole_diameter = 4.3
screw_spacing_x = 68.0
screw_spacing_y = 34.0
rib_thickness = 6.0
rib_drop = 30.0
rib_end_drop = 3.0
rib_setback = 2.0
notch_width = 14.0
notch_depth = 16.0
notch_radius = 4.0
floor_slot_length = 30.0
floor_slot_width = 14.0

outer_width = cradle_width + wall_thickness + wall_thickness
ear_z = bracket_height - ear_thickness


def upright(length, width, low_z, high_z):
    start = cq.Workplane("XY", origin=(0, 0, low_z))
    return start.rect(length, width).extrude(high_z - low_z)


def both_sides(part):
    return part.union(part.mirror("YZ"))


def make_u_cradle():
    block = upright(outer_width, bracket_width, 0, bracket_height).edges("<Z and |Y").fillet(floor_corner_radius)
    body = upright(cradle_width, bracket_width, floor_thickness, bracket_height)
    body = body.edges("<Z and |Y").fillet(floor_inner_radius)
    slot = cq.Workplane("XY").slot2D(floor_slot_length, floor_slot_width, 90).extrude(floor_thickness)
    return block.cut(body).cut(slot)


def make_side_ears():
    plate = upright(bracket_length, bracket_width, ear_z, bracket_height).edges("|Z").fillet(ear_corner_radius)
    return plate.cut(upright(cradle_width, bracket_width, ear_z, bracket_height))


def make_rib():
    wall_x = cradle_width / 2
    tip_x = bracket_length / 2 - rib_setback
    outline = [(wall_x, ear_z), (tip_x, ear_z), (tip_x, ear_z - rib_end_drop), (outer_width / 2, ear_z - rib_drop)]
    outline.append((wall_x, ear_z - rib_drop))
    return cq.Workplane("XZ").polyline(outline).close().extrude(rib_thickness / 2, both=True)


def cut_screw_holes(body):
    spots = cq.Workplane("XY", origin=(0, 0, ear_z)).rarray(screw_spacing_x, screw_spacing_y, 2, 2)
    return body.cut(spots.circle(screw_hole_diameter / 2).extrude(ear_thickness))


def cut_cable_notch(body):
    start = cq.Workplane("YZ", origin=(cradle_width / 2, -bracket_width / 2, ear_z / 2))
    notch = start.rect(notch_depth + notch_depth, notch_width).extrude(wall_thickness)
    return body.cut(notch.edges("|X").fillet(notch_radius))


bracket = make_u_cradle().union(make_side_ears()).union(both_sides(make_rib()))
fixture = cut_cable_notch(cut_screw_holes(bracket))
