import cadquery as cq

# Cantilever truss, 260 x 80 x 130 mm, for load_250n at the load_boss with safety_factor_2: two Warren
# side frames of triangular bays, tied by round cross_members; root plate with two M10 mounting_holes.
truss_length = 260.0
truss_width = 80.0
truss_height = 130.0
root_thickness = 12.0
root_corner_radius = 3.0
root_window_radius = 10.0
root_window_width = 36.0
root_window_height = 44.0
mounting_hole_diameter = 11.0
mounting_hole_spacing = 84.0
frame_thickness = 7.0
member_depth = 10.0
window_radius = 4.0
bay_low_near = 0.34
bay_high = 0.48
bay_low_far = 0.68
cross_member_diameter = 10.0
boss_diameter = 40.0
boss_bore = 16.0
boss_edge_chamfer = 1.5

root_x = -truss_length / 2
boss_x = truss_length / 2 - boss_diameter / 2
boss_z = truss_height / 2
half_depth = member_depth / 2
apex = cq.Vector(boss_x, 0, boss_z)
low_root = cq.Vector(root_x + root_thickness, 0, half_depth)
high_root = cq.Vector(root_x + root_thickness, 0, truss_height - half_depth)
low_near = low_root + (apex - low_root) * bay_low_near
low_far = low_root + (apex - low_root) * bay_low_far
high_middle = high_root + (apex - high_root) * bay_high


def make_polygon(corners):
    return cq.Workplane("XZ").polyline([(c.x, c.z) for c in corners]).close()


def make_bay_window(corners):
    window = make_polygon(corners).offset2D(-half_depth, "intersection").extrude(truss_width / 2, both=True)
    return window.edges("|Y").fillet(window_radius)


def make_frames():
    outer = make_polygon([low_root, apex, high_root]).offset2D(half_depth, "arc")
    frame = outer.extrude(truss_width / 2, both=True)
    bays = [[low_root, low_near, high_root], [low_near, high_middle, high_root], [low_near, low_far, high_middle]]
    for corners in bays + [[low_far, apex, high_middle]]:
        frame = frame.cut(make_bay_window(corners))
    between = cq.Workplane("XY").box(truss_length, truss_width - frame_thickness - frame_thickness, truss_height)
    return frame.cut(between.translate((0, 0, truss_height / 2)))


def make_cross_members():
    nodes = [(c.x, c.z) for c in (low_near, high_middle, low_far)]
    rods = cq.Workplane("XZ").pushPoints(nodes).circle(cross_member_diameter / 2)
    return rods.extrude(truss_width / 2, both=True)


def make_load_boss():
    boss = cq.Workplane("XZ", origin=(boss_x, 0, boss_z)).circle(boss_diameter / 2)
    return boss.extrude(truss_width / 2, both=True).edges().chamfer(boss_edge_chamfer)


def make_root_plate():
    start = cq.Workplane("YZ", origin=(root_x, 0, truss_height / 2))
    plate = start.rect(truss_width, truss_height).extrude(root_thickness).edges("|X").fillet(root_corner_radius)
    window = start.rect(root_window_width, root_window_height).extrude(root_thickness).edges("|X").fillet(root_window_radius)
    holes = start.rarray(truss_width, mounting_hole_spacing, 1, 2).circle(mounting_hole_diameter / 2)
    return plate.cut(window).cut(holes.extrude(root_thickness))


def cut_boss_bore(body):
    bore = cq.Workplane("XZ", origin=(boss_x, 0, boss_z)).circle(boss_bore / 2)
    return body.cut(bore.extrude(truss_width / 2, both=True))


truss = make_frames().union(make_cross_members()).union(make_root_plate()).union(make_load_boss())
fixture = cut_boss_bore(truss)
