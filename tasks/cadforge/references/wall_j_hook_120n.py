import cadquery as cq

# J hook of aluminum_6061 for load_120n at its tip, 160 x 90 x 180 mm: a forged J, thick at the root
# and slender at the tip, on a plate that narrows downwards; two countersunk M8 bolts at the top, where
# the load pulls. The wall is at -X.
reach = 160.0
plate_width = 90.0
plate_height = 180.0
plate_thickness = 8.0
plate_foot_width = 52.0
plate_shoulder_z = 112.0
plate_corner_radius = 16.0
plate_edge_chamfer = 1.5
bolt_hole_diameter = 9.0
bolt_head_diameter = 17.0
bolt_spacing = 60.0
bolt_z = 152.0
hook_width = 28.0
hook_edge_radius = 5.0
bowl_bottom_z = 10.0
shank_depth = 30.0
shank_top_z = 158.0
shank_slope = 26.0
tip_depth = 16.0
tip_rise = 34.0
pad_margin = 13.0
pad_height = 5.0
pad_taper_deg = 45.0

wall_x = -reach / 2
plate_face_x = wall_x + plate_thickness
outer_radius = reach / 2
bowl_z = bowl_bottom_z + outer_radius
inner_start_x = wall_x + shank_depth
inner_end_x = reach / 2 - tip_depth
inner_radius = (inner_end_x - inner_start_x) / 2
tip_z = bowl_z + tip_rise


def make_wall_mount():
    half, foot = plate_width / 2, plate_foot_width / 2
    outline = [(-foot, 0), (foot, 0), (half, plate_shoulder_z), (half, plate_height), (-half, plate_height)]
    outline.append((-half, plate_shoulder_z))
    plate = cq.Workplane("YZ", origin=(wall_x, 0, 0)).polyline(outline).close().extrude(plate_thickness)
    return plate.edges("|X").fillet(plate_corner_radius).faces(">X").edges().chamfer(plate_edge_chamfer)


def make_curved_arm():
    inner_x = (inner_start_x + inner_end_x) / 2
    side = cq.Workplane("XZ").moveTo(wall_x, shank_top_z).lineTo(wall_x, bowl_z)
    side = side.threePointArc((0, bowl_bottom_z), (reach / 2, bowl_z)).lineTo(reach / 2, tip_z)
    side = side.threePointArc((reach / 2 - tip_depth / 2, tip_z + tip_depth / 2), (inner_end_x, tip_z))
    side = side.lineTo(inner_end_x, bowl_z)
    side = side.threePointArc((inner_x, bowl_z - inner_radius), (inner_start_x, bowl_z))
    side = side.lineTo(inner_start_x, shank_top_z - shank_slope).lineTo(plate_face_x, shank_top_z).close()
    arm = side.extrude(hook_width / 2, both=True)
    return arm.faces("<Y or >Y").edges().fillet(hook_edge_radius)


def make_root_pad():
    length = shank_top_z - bowl_z + pad_margin + pad_margin
    start = cq.Workplane("YZ", origin=(plate_face_x, 0, (shank_top_z + bowl_z) / 2))
    return start.slot2D(length, hook_width + pad_margin, 90).extrude(pad_height, taper=pad_taper_deg)


def make_bolt_tool():
    head_radius = bolt_head_diameter / 2
    shank = cq.Workplane("XY").circle(bolt_hole_diameter / 2).extrude(-plate_thickness)
    return shank.union(cq.Workplane(cq.Solid.makeCone(0, head_radius, head_radius, cq.Vector(0, 0, -head_radius))))


def cut_bolt_holes(body):
    face = cq.Workplane("YZ", origin=(plate_face_x, 0, bolt_z))
    bolts = face.rarray(bolt_spacing, plate_height, 2, 1)
    tool = make_bolt_tool().val()
    return body.cut(bolts.eachpoint(lambda place: tool.moved(place), True))


j_hook = make_wall_mount().union(make_root_pad()).union(make_curved_arm())
fixture = cut_bolt_holes(j_hook)
