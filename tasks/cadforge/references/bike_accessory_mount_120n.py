import cadquery as cq

# Handlebar bike_mount of aluminum_6061, 180 x 80 x 90 mm, for load_120n on the deck at safety_factor_2:
# split clamp with two M6 bolts, short arm supported by a strut from below, deck with two M6 holes.
mount_length = 180.0
mount_width = 80.0
mount_height = 90.0
bar_diameter = 31.8
clamp_width = 56.0
clamp_wall = 11.0
clamp_edge_chamfer = 1.5
slit_width = 3.0
ear_reach = 22.0
ear_thickness = 12.0
ear_corner_radius = 8.0
bolt_hole_diameter = 6.6
bolt_head_diameter = 11.5
bolt_head_depth = 6.0
bolt_spacing = 34.0
bolt_inset = 10.0
arm_width = 26.0
arm_member = 10.0
arm_window_radius = 5.0
arm_shoulder = 6.0
strut_end_depth = 8.0
deck_length = 62.0
deck_thickness = 8.0
deck_corner_radius = 12.0
deck_edge_chamfer = 1.0
deck_hole_diameter = 6.6
deck_hole_spacing = 54.0

clamp_radius = bar_diameter / 2 + clamp_wall
bar_x = ear_reach + clamp_radius - mount_length / 2
bar_z = clamp_radius
deck_x = mount_length / 2 - deck_length / 2
deck_z = mount_height - deck_thickness
bolt_x = bolt_inset - mount_length / 2


def along_bar(diameter, length):
    start = cq.Workplane("XZ", origin=(bar_x, 0, bar_z))
    return start.circle(diameter / 2).extrude(length / 2, both=True)


def make_clamp():
    ring = along_bar(clamp_radius + clamp_radius, clamp_width)
    height = slit_width + ear_thickness + ear_thickness
    ears = cq.Workplane("XY").box(bar_x + mount_length / 2, clamp_width, height, centered=(False, True, True))
    ears = ears.edges("|Z and <X").fillet(ear_corner_radius).translate((-mount_length / 2, 0, bar_z))
    return ring.edges().chamfer(clamp_edge_chamfer).union(ears)


def make_supported_arm():
    tip_x = mount_length / 2 - deck_corner_radius
    outline = [(bar_x, bar_z + clamp_radius), (deck_x - deck_length / 2, deck_z + arm_shoulder)]
    outline += [(tip_x, deck_z + arm_shoulder), (tip_x, deck_z - strut_end_depth), (bar_x + clamp_radius / 2, arm_shoulder)]
    outline += [(bar_x, bar_z)]
    blank = cq.Workplane("XZ").polyline(outline).close()
    arm = blank.extrude(arm_width / 2, both=True)
    window = cq.Workplane("XZ").polyline(outline).close().offset2D(-arm_member, "intersection")
    window = window.extrude(arm_width / 2, both=True).edges("|Y").fillet(arm_window_radius)
    return arm.cut(window)


def make_deck():
    deck = cq.Workplane("XY").box(deck_length, mount_width, deck_thickness).edges("|Z").fillet(deck_corner_radius)
    deck = deck.faces(">Z").edges().chamfer(deck_edge_chamfer).translate((deck_x, 0, deck_z + deck_thickness / 2))
    holes = deck.faces(">Z").workplane(origin=(deck_x, 0, mount_height))
    return holes.rarray(deck_length, deck_hole_spacing, 1, 2).hole(deck_hole_diameter)


def cut_bar_and_slit(body):
    slit = cq.Workplane("XY").box(bar_x + mount_length / 2, mount_width, slit_width, centered=(False, True, True))
    return body.cut(along_bar(bar_diameter, mount_width)).cut(slit.translate((-mount_length / 2, 0, bar_z)))


def cut_clamp_bolts(body):
    ear_top = bar_z + slit_width / 2 + ear_thickness
    bolts = cq.Workplane("XY", origin=(bolt_x, 0, ear_top)).rarray(mount_length, bolt_spacing, 1, 2)
    return body.cut(bolts.circle(bolt_hole_diameter / 2).extrude(-ear_top)).cut(
        bolts.circle(bolt_head_diameter / 2).extrude(-bolt_head_depth)
    )


clamp = make_clamp().union(make_supported_arm())
fixture = cut_clamp_bolts(cut_bar_and_slit(clamp)).union(make_deck())
