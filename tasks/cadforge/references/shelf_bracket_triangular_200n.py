import cadquery as cq

# Triangular bracket for a shelf, 220 x 60 x 180 mm, for load_200n on the support_arm: wall_plate with
# two countersunk mounting_holes, and a web whose window leaves a diagonal_rib. The wall is at -X.
arm_length = 220.0
bracket_width = 60.0
plate_height = 180.0
plate_thickness = 8.0
arm_thickness = 7.0
corner_radius = 12.0
inner_radius = 10.0
web_thickness = 9.0
web_depth = 11.0
rib_depth = 20.0
rib_foot_z = 14.0
rib_tip_setback = 14.0
flange_overrun = 30.0
flange_width = 20.0
flange_thickness = 6.0
window_radius = 9.0
mounting_hole_diameter = 6.6
mounting_head_diameter = 13.0
mounting_hole_spacing = 38.0
mounting_hole_z = 136.0

wall_x = -arm_length / 2
plate_face_x = wall_x + plate_thickness
arm_under_z = plate_height - arm_thickness
rib_foot = cq.Vector(plate_face_x, rib_foot_z)
rib_tip = cq.Vector(arm_length / 2 - rib_tip_setback, arm_under_z)
along_rib = (rib_tip - rib_foot).normalized()
across_rib = cq.Vector(-along_rib.y, along_rib.x)


def in_xz(points):
    return cq.Workplane("XZ").polyline([(p.x, p.y) for p in points]).close()


def make_wall_plate():
    start = cq.Workplane("YZ", origin=(wall_x, 0, plate_height / 2))
    plate = start.rect(bracket_width, plate_height).extrude(plate_thickness)
    return plate.faces("<Z").edges("|X").fillet(corner_radius)


def make_support_arm():
    start = cq.Workplane("XY", origin=(0, 0, arm_under_z))
    arm = start.rect(arm_length, bracket_width).extrude(arm_thickness)
    return arm.faces(">X").edges("|Z").fillet(corner_radius)


def make_web():
    corner = cq.Vector(plate_face_x, arm_under_z)
    inside = corner + cq.Vector(web_depth, -web_depth)
    low = rib_foot + across_rib * rib_depth
    low = low + along_rib * ((inside.x - low.x) / along_rib.x)
    high = low + along_rib * ((inside.y - low.y) / along_rib.y)
    window = in_xz([inside, low, high]).extrude(bracket_width / 2, both=True).edges("|Y").fillet(window_radius)
    return in_xz([corner, rib_foot, rib_tip]).extrude(web_thickness / 2, both=True).cut(window)


def make_rib_flange():
    start = rib_foot - along_rib * flange_overrun
    end = rib_tip + along_rib * flange_overrun
    outline = [start, end, end + across_rib * flange_thickness, start + across_rib * flange_thickness]
    flange = in_xz(outline).extrude(flange_width / 2, both=True)
    return flange.intersect(in_xz([cq.Vector(wall_x, 0), rib_tip, cq.Vector(wall_x, arm_under_z)]).extrude(bracket_width, both=True))


def make_inner_corner():
    square = cq.Workplane("XZ", origin=(plate_face_x, 0, arm_under_z)).rect(inner_radius, -inner_radius, False)
    hollow = cq.Workplane("XZ", origin=(plate_face_x + inner_radius, 0, arm_under_z - inner_radius))
    fillet = square.extrude(bracket_width / 2, both=True)
    return fillet.cut(hollow.circle(inner_radius).extrude(bracket_width / 2, both=True))


def cut_mounting_holes(body):
    face = cq.Workplane("YZ", origin=(plate_face_x, 0, mounting_hole_z))
    spots = face.rarray(mounting_hole_spacing, bracket_width, 2, 1)
    radius = mounting_head_diameter / 2
    tool = cq.Workplane("XY").circle(mounting_hole_diameter / 2).extrude(-plate_thickness)
    tool = tool.union(cq.Workplane(cq.Solid.makeCone(0, radius, radius, cq.Vector(0, 0, -radius)))).val()
    return body.cut(spots.eachpoint(lambda place: tool.moved(place), True))


bracket = make_wall_plate().union(make_support_arm()).union(make_inner_corner())
fixture = cut_mounting_holes(bracket.union(make_web()).union(make_rib_flange()))
