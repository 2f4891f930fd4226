import math

import cadquery as cq

# Symmetric drawer_handle, 160 x 38 x 40 mm: oval feet at the standard 128 mm, each with a blind
# screw_hole for M4 from behind, and a bow of one piece: mounting_post, bend, arched_grip.
handle_length = 160.0
handle_width = 38.0
handle_projection = 40.0
screw_spacing = 128.0
grip_diameter = 15.0
grip_slope_deg = 13.0
bend_radius = 17.0
foot_thickness = 5.0
foot_edge_radius = 2.0
collar_height = 5.0
collar_margin = 4.0
screw_hole_diameter = 4.0
screw_hole_depth = 16.0
screw_lead_in = 0.8

post_x = screw_spacing / 2
foot_half_length = handle_length / 2 - post_x
grip_radius = grip_diameter / 2
slope = math.radians(grip_slope_deg)
grip_top_z = handle_projection - grip_radius
arch_radius = bend_radius + (post_x - bend_radius) / math.sin(slope)
arch_centre_z = grip_top_z - arch_radius
bend_centre_z = arch_centre_z + (arch_radius - bend_radius) * math.cos(slope)


def both_sides(part):
    return part.union(part.mirror("YZ"))


def on_bend(angle):
    x = bend_radius * math.cos(angle) + post_x - bend_radius
    return (x, bend_centre_z + bend_radius * math.sin(angle))


def make_bow():
    meet = math.pi / 2 - slope
    right, middle = on_bend(meet), on_bend(meet / 2)
    path = cq.Workplane("XZ").moveTo(-post_x, 0).lineTo(-post_x, bend_centre_z)
    path = path.threePointArc((-middle[0], middle[1]), (-right[0], right[1]))
    path = path.threePointArc((0, grip_top_z), right).threePointArc(middle, (post_x, bend_centre_z))
    return cq.Workplane("XY", origin=(-post_x, 0, 0)).circle(grip_radius).sweep(path.lineTo(post_x, 0))


def make_foot():
    foot = cq.Workplane("XY").center(post_x, 0).ellipse(foot_half_length, handle_width / 2).extrude(foot_thickness)
    return foot.faces(">Z").edges().fillet(foot_edge_radius)


def make_collar():
    collar = cq.Workplane("XY", origin=(post_x, 0, foot_thickness)).circle(grip_radius + collar_margin)
    collar = collar.extrude(collar_height)
    waist = cq.Solid.makeTorus(grip_radius + collar_height, collar_height, cq.Vector(post_x, 0, foot_thickness + collar_height))
    return collar.cut(cq.Workplane(waist))


def cut_screw_holes(body):
    holes = cq.Workplane("XY").rarray(screw_spacing, handle_width, 2, 1)
    tool = cq.Workplane("XY").circle(screw_hole_diameter / 2).extrude(screw_hole_depth)
    lead = cq.Solid.makeCone(screw_hole_diameter / 2 + screw_lead_in, screw_hole_diameter / 2, screw_lead_in)
    tool = tool.union(cq.Workplane(lead)).val()
    return body.cut(holes.eachpoint(lambda place: tool.moved(place)))


handle = make_bow().union(both_sides(make_foot())).union(both_sides(make_collar()))
fixture = cut_screw_holes(handle)
