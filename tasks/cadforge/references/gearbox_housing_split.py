import cadquery as cq

# Split housing of a one-stage gearbox, 260 x 180 x 160 mm: hollow body with rounded edges, bolted
# flange at the split, seam for the cover, a large and a small bearing bore along Y, ribs that carry
# the bearing load into the base, oil drain boss at the low end, base with four foot holes.
housing_length = 260.0
housing_width = 180.0
housing_height = 160.0
body_length = 206.0

body_width = 124.0
wall_thickness = 9.0
body_corner_radius = 26.0
lid_edge_radius = 14.0

flange_thickness = 24.0
flange_corner_radius = 30.0
flange_edge_radius = 3.0
flange_bolt_diameter = 11.0
corner_bolt_x = 112.0
corner_bolt_y = 71.0
end_bolt_x = 117.0
middle_bolt_x = -8.0
middle_bolt_y = 76.0

seam_width = 1.6
seam_depth = 2.0

base_length = 236.0
base_width = 166.0
base_thickness = 14.0
base_corner_radius = 16.0
foot_hole_diameter = 13.0
foot_span = 208.0
foot_pitch = 142.0

large_bore_diameter = 68.0
small_bore_diameter = 47.0
bearing_wall = 11.0
large_bore_x = 52.0
small_bore_x = -58.0
bore_chamfer = 1.5

rib_thickness = 9.0
rib_set_back = 5.0

drain_boss_diameter = 30.0
drain_bore_diameter = 16.0
drain_boss_length = 17.0
drain_z = 24.0

half = 0.5
split_z = half * housing_height
bores = ((large_bore_x, large_bore_diameter), (small_bore_x, small_bore_diameter))


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def carved(body, tools):
    return cq.Workplane("XY").newObject([body.val().cut(*[tool.val() for tool in tools])]).clean()


def rounded_block(length, width, height, radius, z=0.0):
    block = cq.Workplane("XY").box(length, width, height, centered=(True, True, False))
    return block.edges("|Z").fillet(radius).translate((0, 0, z))


def cylinder_along_y(x, diameter, length):
    return cq.Workplane("XZ", origin=(x, 0, split_z)).circle(half * diameter).extrude(half * length, both=True)


def make_body():
    body = rounded_block(body_length, body_width, housing_height, body_corner_radius)
    return body.faces(">Z").edges().fillet(lid_edge_radius)


def make_cavity():
    height = housing_height - wall_thickness - base_thickness
    length = body_length - wall_thickness - wall_thickness
    width = body_width - wall_thickness - wall_thickness
    return rounded_block(length, width, height, body_corner_radius - wall_thickness, base_thickness)


def make_flange():
    z = split_z - half * flange_thickness
    flange = rounded_block(housing_length, housing_width, flange_thickness, flange_corner_radius, z)
    return flange.faces("<Z or >Z").edges().fillet(flange_edge_radius)


def make_base():
    return rounded_block(base_length, base_width, base_thickness, base_corner_radius)


def make_bearing_boss(x, bore):
    boss = cylinder_along_y(x, bore + bearing_wall + bearing_wall, housing_width)
    return boss.faces("<Y or >Y").edges().chamfer(bore_chamfer)


def make_rib(x):
    """A plate across the body under and over a bearing: wide at base and flange, to the lid's edge."""
    reach = half * housing_width - rib_set_back
    foot = half * base_width - rib_set_back
    top = half * body_width
    outline = [(foot, base_thickness), (reach, split_z), (top, housing_height - lid_edge_radius)]
    mirrored = [(-y, z) for y, z in reversed(outline)]
    return cq.Workplane("YZ", origin=(x, 0, 0)).polyline(outline + mirrored).close().extrude(half * rib_thickness, both=True)


def make_drain_boss():
    end = cq.Workplane("YZ", origin=(-half * body_length - drain_boss_length, 0, drain_z))
    boss = end.circle(half * drain_boss_diameter).extrude(drain_boss_length + wall_thickness)
    return boss.faces("<X").edges().chamfer(bore_chamfer)


def flange_bolt_points():
    """Four at the corners, one at each end, one at each side between the bearings."""
    points = [(x, y) for x in (-corner_bolt_x, corner_bolt_x) for y in (-corner_bolt_y, corner_bolt_y)]
    points += [(-end_bolt_x, 0), (end_bolt_x, 0)]
    return points + [(middle_bolt_x, -middle_bolt_y), (middle_bolt_x, middle_bolt_y)]


def make_bores():
    shafts = [cylinder_along_y(x, bore, housing_width) for x, bore in bores]
    drain = cq.Workplane("YZ", origin=(-half * housing_length, 0, drain_z)).circle(half * drain_bore_diameter)
    return [*shafts, drain.extrude(half * housing_length - half * body_length + wall_thickness + wall_thickness)]


def make_bolt_holes():
    flange = cq.Workplane("XY", origin=(0, 0, split_z - flange_thickness))
    bolts = flange.pushPoints(flange_bolt_points()).circle(half * flange_bolt_diameter)
    feet = cq.Workplane("XY").rarray(foot_span, foot_pitch, 2, 2).circle(half * foot_hole_diameter)
    return [bolts.extrude(flange_thickness + flange_thickness), feet.extrude(base_thickness)]


def make_seam():
    """A groove all round the flange where lid and base part."""
    z = split_z - half * seam_width
    around = rounded_block(housing_length + seam_width, housing_width + seam_width, seam_width, flange_corner_radius, z)
    core_length = housing_length - seam_depth - seam_depth
    core = rounded_block(core_length, housing_width - seam_depth - seam_depth, seam_width, flange_corner_radius - seam_depth, z)
    return around.cut(core)


parts = [make_body(), make_flange(), make_base(), make_drain_boss()]
for bore_x, bore_diameter in bores:
    parts += [make_bearing_boss(bore_x, bore_diameter), make_rib(bore_x)]
fixture = carved(joined(parts), [make_cavity(), *make_bores(), *make_bolt_holes(), make_seam()])
