import cadquery as cq

# Clamp fixture of 6061 that holds a 30 mm shaft against torque_120nm at safety_factor_2, 240 x 90 x 70
# mm: fixed_root with twin_bolts M12 at the left, I-beam with a truss web as load_path, split shaft_boss
# with two M8 pinch bolts at the right. The shaft lies along Y.
fixture_length = 240.0
fixture_width = 90.0
fixture_height = 70.0
shaft_diameter = 30.0
root_length = 62.0
root_thickness = 14.0
root_corner_radius = 12.0
root_bolt_diameter = 13.5
root_bolt_spacing = 60.0
root_bolt_inset = 30.0
root_pad_diameter = 28.0
root_pad_height = 4.0
root_pad_chamfer = 1.5
beam_start = 14.0
beam_root_height = 46.0
flange_width = 30.0
flange_thickness = 6.0
web_thickness = 7.0
web_member = 6.0
web_window_radius = 4.0
web_split = 0.42
boss_width = 62.0
boss_edge_chamfer = 2.0
slit_width = 3.0
ear_length = 30.0
ear_height = 46.0
ear_setback = 4.0
pinch_head_diameter = 16.0
pinch_bolt_diameter = 9.0
pinch_bolt_spacing = 34.0
pinch_bolt_inset = 10.0

root_x = -fixture_length / 2
free_x = fixture_length / 2
boss_radius = fixture_height / 2
boss_x = free_x - boss_radius
boss_z = fixture_height / 2
beam_x = root_x + beam_start


def along_shaft(diameter, length):
    start = cq.Workplane("XZ", origin=(boss_x, 0, boss_z))
    return start.circle(diameter / 2).extrude(length / 2, both=True)


def in_xz(points, width):
    return cq.Workplane("XZ").polyline(points).close().extrude(width / 2, both=True)


def make_window(triangle):
    """The triangle less a member on each side: scaled about the centre of its inscribed circle."""
    corners = [cq.Vector(x, z) for x, z in triangle]
    sides = [(corners[i - 1] - corners[i - 2]).Length for i in range(len(corners))]
    centre = sum((c * side for c, side in zip(corners, sides)), cq.Vector(0, 0)) / sum(sides)
    area = (corners[1] - corners[0]).cross(corners[2] - corners[0]).Length / 2
    scale = 1 - web_member * sum(sides) / (area + area)
    inner = [centre + (c - centre) * scale for c in corners]
    return in_xz([(c.x, c.y) for c in inner], web_thickness).edges("|Y").fillet(web_window_radius)


def make_fixed_root():
    root = cq.Workplane("XY").box(root_length, fixture_width, root_thickness, centered=(False, True, False))
    root = root.edges("|Z").fillet(root_corner_radius).translate((root_x, 0, 0))
    spots = cq.Workplane("XY", origin=(root_x + root_bolt_inset, 0, root_thickness))
    pads = spots.rarray(fixture_length, root_bolt_spacing, 1, 2).circle(root_pad_diameter / 2).extrude(root_pad_height)
    return root.union(pads.faces(">Z").edges().chamfer(root_pad_chamfer))


def make_pockets(corners):
    outline = cq.Workplane("XZ").polyline(corners).close().offset2D(-flange_thickness)
    pocket = outline.extrude(flange_width / 2, both=True).edges("|Y").fillet(web_window_radius)
    return pocket.cut(cq.Workplane("XY").box(fixture_length, web_thickness, fixture_length))


def make_beam():
    corners = [(beam_x, 0), (boss_x, 0), (boss_x, fixture_height), (beam_x, beam_root_height)]
    foot, low, high, head = corners
    split = (beam_x + (boss_x - beam_x) * web_split, beam_root_height + (fixture_height - beam_root_height) * web_split)
    beam = in_xz(corners, flange_width).cut(make_pockets(corners))
    for triangle in ([foot, split, head], [foot, low, split], [low, high, split]):
        beam = beam.cut(make_window(triangle))
    return beam


def make_shaft_boss():
    boss = along_shaft(fixture_height, boss_width).edges().chamfer(boss_edge_chamfer)
    ears = cq.Workplane("XY").box(ear_length, boss_width - ear_setback, ear_height)
    return boss.union(ears.translate((free_x - ear_length / 2, 0, boss_z)))


def cut_root_bolts(body):
    start = cq.Workplane("XY", origin=(root_x + root_bolt_inset, 0, 0))
    bolts = start.rarray(fixture_length, root_bolt_spacing, 1, 2).circle(root_bolt_diameter / 2)
    return body.cut(bolts.extrude(fixture_height))


def cut_shaft_seat(body):
    slit = cq.Workplane("XY").box(boss_radius, fixture_width, slit_width, centered=(False, True, True))
    return body.cut(along_shaft(shaft_diameter, fixture_width)).cut(slit.translate((boss_x, 0, boss_z)))


def cut_pinch_bolts(body):
    start = cq.Workplane("XY", origin=(free_x - pinch_bolt_inset, 0, boss_z))
    bolts = start.rarray(fixture_length, pinch_bolt_spacing, 1, 2)
    head = start.workplane(offset=ear_height / 2).rarray(fixture_length, pinch_bolt_spacing, 1, 2)
    head = head.circle(pinch_head_diameter / 2).extrude(fixture_height)
    foot = head.mirror("XY", (0, 0, boss_z))
    return body.cut(bolts.circle(pinch_bolt_diameter / 2).extrude(boss_z, both=True)).cut(head).cut(foot)


body = make_beam().union(make_fixed_root()).union(make_shaft_boss())
fixture = cut_pinch_bolts(cut_shaft_seat(cut_root_bolts(body)))
