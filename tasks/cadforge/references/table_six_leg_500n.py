import math

import cadquery as cq

# Six-legged table, 900 x 600 x 720 mm, for load_500n on the tabletop: tapered legs under an apron,
# tied low down by three crossbars and one long stretcher. Z up, floor at 0.
top_length = 900.0
top_width = 600.0
table_height = 720.0
top_thickness = 28.0
top_corner_radius = 32.0
top_edge_radius = 6.0
overhang = 45.0
leg_side = 52.0
foot_side = 34.0
foot_chamfer = 4.0
apron_height = 85.0
apron_thickness = 22.0
apron_setback = 6.0
stretcher_z = 150.0
stretcher_height = 38.0
stretcher_thickness = 24.0
stretcher_edge_radius = 5.0

under_top = table_height - top_thickness
taper_height = under_top - apron_height
taper_deg = math.degrees(math.atan2(leg_side - foot_side, taper_height + taper_height))
long_span = top_length - leg_side - overhang - overhang
cross_span = top_width - leg_side - overhang - overhang
leg_pairs = cq.Workplane("XY").rarray(long_span / 2, cross_span, 3, 2)
crossings = cq.Workplane("XY").rarray(long_span / 2, cross_span, 3, 1)


def copies(places, solid):
    return places.eachpoint(lambda place: solid.val().moved(place))


def make_tabletop():
    top = cq.Workplane("XY").box(top_length, top_width, top_thickness, centered=(True, True, False))
    top = top.edges("|Z").fillet(top_corner_radius).faces(">Z").edges().fillet(top_edge_radius)
    return top.translate(cq.Vector(0, 0, under_top))


def make_leg():
    knee = cq.Workplane("XY", origin=cq.Vector(0, 0, taper_height))
    head = knee.rect(leg_side, leg_side).extrude(apron_height)
    shin = knee.rect(leg_side, leg_side).extrude(-taper_height, taper=taper_deg)
    return head.union(shin).faces("<Z").edges().chamfer(foot_chamfer)


def make_apron():
    outer = cq.Workplane("XY", origin=cq.Vector(0, 0, taper_height))
    length = long_span + leg_side - apron_setback - apron_setback
    width = cross_span + leg_side - apron_setback - apron_setback
    frame = outer.rect(length, width).offset2D(-apron_thickness).rect(length, width).extrude(apron_height)
    return frame.union(outer.rect(apron_thickness, width).extrude(apron_height))


def make_stretcher(length):
    bar = cq.Workplane("XY").box(length, stretcher_thickness, stretcher_height)
    return bar.edges("|X").fillet(stretcher_edge_radius).translate(cq.Vector(0, 0, stretcher_z))


def make_crossbars():
    crossbar = make_stretcher(cross_span).rotate((0, 0, 0), (0, 0, 1), 90)
    return copies(crossings, crossbar).union(make_stretcher(long_span))


support = make_apron().union(copies(leg_pairs, make_leg())).union(make_crossbars())
fixture = make_tabletop().union(support)
