import math

import cadquery as cq

# Adjustable phone_stand, 120 x 120 x 160 mm, three solids pinned on one axis: base_plate with two
# knuckles and four screw_bosses; tilted_support with bottom_lip, side_stops and the middle knuckle of
# the hinge_barrel; hinge bolt whose nut holds the angle by friction. The phone faces -Y.
base_width = 120.0
base_depth = 120.0
stand_height = 160.0
base_thickness = 7.0
base_corner_radius = 16.0
base_edge_chamfer = 1.5
boss_diameter = 14.0
boss_height = 5.0
boss_hole_diameter = 4.5
boss_spacing = 90.0
barrel_diameter = 20.0
barrel_length = 76.0
middle_knuckle = 40.0
barrel_y = 2.0
barrel_z = 22.0
knuckle_foot = 34.0
pin_diameter = 6.4
pin_head_diameter = 13.0
pin_head_length = 5.0
tilt_deg = 18.0
panel_width = 78.0
panel_thickness = 6.0
panel_corner_radius = 14.0
panel_gap = 3.0
neck_foot = 4.0
window_width = 34.0
window_height = 62.0
window_radius = 10.0
window_rise = 48.0
lip_rise = 14.0
lip_reach = 20.0
lip_thickness = 5.0
lip_edge_height = 13.0
cable_gap = 16.0
stop_reach = 12.0
stop_thickness = 5.0
stop_height = 40.0
stop_rise = 46.0
stop_radius = 4.0

barrel_radius = barrel_diameter / 2
tilt = math.radians(tilt_deg)
panel_top = (stand_height - barrel_z - panel_thickness / 2 * math.sin(tilt)) / math.cos(tilt)
panel_low = barrel_radius + panel_gap
panel_face = -panel_thickness / 2


def along_x(diameter, length):
    start = cq.Workplane("YZ", origin=(0, barrel_y, barrel_z))
    return start.circle(diameter / 2).extrude(length / 2, both=True)


def lean(part):
    return part.rotate((0, 0, 0), (1, 0, 0), -tilt_deg).translate((0, barrel_y, barrel_z))


def standing(width, depth, low, high):
    return cq.Workplane("XY", origin=(0, 0, low)).rect(width, depth).extrude(high - low)


def make_base_plate():
    plate = standing(base_width, base_depth, 0, base_thickness).edges("|Z").fillet(base_corner_radius)
    plate = plate.faces(">Z").edges().chamfer(base_edge_chamfer)
    spots = cq.Workplane("XY").rarray(boss_spacing, boss_spacing, 2, 2)
    bosses = spots.circle(boss_diameter / 2).extrude(base_thickness + boss_height)
    holes = cq.Workplane("XY").rarray(boss_spacing, boss_spacing, 2, 2).circle(boss_hole_diameter / 2)
    return plate.union(bosses).cut(holes.extrude(base_thickness + boss_height))


def make_base_knuckles():
    foot = [(-knuckle_foot / 2, base_thickness), (knuckle_foot / 2, base_thickness)]
    foot += [(barrel_radius, barrel_z), (-barrel_radius, barrel_z)]
    cheek = cq.Workplane("YZ", origin=(0, barrel_y, 0)).polyline(foot).close().extrude(barrel_length / 2, both=True)
    room = standing(middle_knuckle, base_depth, base_thickness, stand_height)
    return cheek.union(along_x(barrel_diameter, barrel_length)).cut(room)


def make_panel():
    panel = standing(panel_width, panel_thickness, panel_low, panel_top).edges("|Y and >Z").fillet(panel_corner_radius)
    window = standing(window_width, panel_thickness, window_rise, window_rise + window_height)
    neck = standing(middle_knuckle, panel_thickness + neck_foot, 0, lip_rise)
    return lean(panel.cut(window.edges("|Y").fillet(window_radius)).union(neck))


def make_bottom_lip():
    shelf = standing(panel_width, lip_reach, lip_rise, lip_rise + lip_thickness)
    edge = standing(panel_width, lip_thickness, lip_rise, lip_rise + lip_edge_height)
    lip = shelf.union(edge.translate((0, (lip_thickness - lip_reach) / 2, 0)))
    gap = standing(cable_gap, lip_reach, lip_rise, lip_rise + lip_edge_height).translate((0, lip_thickness, 0))
    lip = lip.edges("|Z and <Y").fillet(stop_radius).cut(gap)
    return lean(lip.translate((0, panel_face - lip_reach / 2, 0)))


def make_side_stops():
    stop = standing(stop_thickness, stop_reach + panel_thickness, stop_rise, stop_rise + stop_height)
    stop = stop.edges("|X and <Y").fillet(stop_radius)
    stop = stop.translate(((panel_width - stop_thickness) / 2, -stop_reach / 2, 0))
    return lean(stop.union(stop.mirror("YZ")))


def make_pin():
    head = cq.Workplane("YZ", origin=(barrel_length / 2, barrel_y, barrel_z))
    nut = cq.Workplane("YZ", origin=(-barrel_length / 2, barrel_y, barrel_z))
    pin = along_x(pin_diameter, barrel_length).union(head.circle(pin_head_diameter / 2).extrude(pin_head_length))
    return pin.union(nut.polygon(6, pin_head_diameter).extrude(-pin_head_length))


bore = along_x(pin_diameter, barrel_length)
base = make_base_plate().union(make_base_knuckles()).cut(bore)
support = make_panel().union(make_bottom_lip()).union(make_side_stops())
support = support.union(along_x(barrel_diameter, middle_knuckle)).cut(bore)
fixture = cq.Workplane("XY").newObject([base.val(), support.val(), make_pin().val()])
