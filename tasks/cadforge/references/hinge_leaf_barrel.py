import cadquery as cq

# Butt hinge opened flat, 100 x 70 x 12 mm: two leaves, five knuckles that alternate, one pin.
# The pin is pressed into the three knuckles of the frame leaf and runs free in the two of the
# door leaf, which bear axially on their lower neighbours: the weight of the door goes there.
hinge_width = 100.0
hinge_length = 70.0
barrel_diameter = 12.0
leaf_thickness = 3.0
leaf_corner_radius = 8.0

knuckle_count = 5
axial_play = 0.3
knuckle_chamfer = 0.4
leaf_clearance = 0.5

pin_diameter = 6.0
running_clearance = 0.05
pin_head_diameter = 9.0
pin_head_height = 2.0
pin_head_chamfer = 0.8

screws_per_leaf = 3
screw_hole_diameter = 4.5
countersink_diameter = 9.0
countersink_angle = 90.0
screw_pitch = 22.0
screw_offset = 17.0

half = 0.5
barrel_radius = half * barrel_diameter
pin_radius = half * pin_diameter
barrel_length = hinge_length - pin_head_height - pin_head_height
knuckle_pitch = barrel_length / knuckle_count
barrel_start = -half * barrel_length
leaf_reach = half * hinge_width
notch_reach = barrel_radius + leaf_clearance


def bar_along_y(radius, start, length):
    plane = cq.Plane(origin=(0, start, barrel_radius), xDir=(1, 0, 0), normal=(0, 1, 0))
    return cq.Workplane(plane).circle(radius).extrude(length)


def slab(x_from, x_to, y_from, y_to):
    plate = cq.Workplane("XY").box(x_to - x_from, y_to - y_from, leaf_thickness, centered=False)
    return plate.translate((x_from, y_from, 0))


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def knuckle_span(index, play):
    start = barrel_start + index * knuckle_pitch
    return start, knuckle_pitch - play


def make_leaf_plate(side, foreign):
    """The plate up to the pin's axis, with a notch for each knuckle of the other leaf."""
    plate = slab(0, leaf_reach, barrel_start, -barrel_start)
    plate = plate.edges("|Z and >X").fillet(leaf_corner_radius)
    for index in foreign:
        start, length = knuckle_span(index, 0)
        low = start - (leaf_clearance if index > 0 else knuckle_pitch)
        high = start + length + (leaf_clearance if index + 1 < knuckle_count else knuckle_pitch)
        plate = plate.cut(slab(-barrel_radius, notch_reach, low, high))
    return plate if side > 0 else plate.mirror("YZ")


def screw_points(side):
    first = -half * (screws_per_leaf - 1)
    column = side * (leaf_reach - screw_offset)
    return [(column, (first + row) * screw_pitch) for row in range(screws_per_leaf)]


def make_knuckle(index, play):
    barrel = bar_along_y(barrel_radius, *knuckle_span(index, play))
    return barrel.faces("<Y or >Y").edges().chamfer(knuckle_chamfer)


def make_leaf(side, own, foreign, play, bore_radius):
    knuckles = [make_knuckle(index, play) for index in own]
    leaf = joined([make_leaf_plate(side, foreign), *knuckles])
    leaf = leaf.cut(bar_along_y(bore_radius, barrel_start, barrel_length))
    top = cq.Workplane("XY", origin=(0, 0, leaf_thickness)).add(leaf).pushPoints(screw_points(side))
    return top.cskHole(screw_hole_diameter, countersink_diameter, countersink_angle)


def make_pin_head(end):
    start = min(end * half * hinge_length, end * (half * hinge_length - pin_head_height))
    head = bar_along_y(half * pin_head_diameter, start, pin_head_height)
    return head.faces(">Y" if end > 0 else "<Y").edges().chamfer(pin_head_chamfer)


def make_center_pin():
    shank = bar_along_y(pin_radius, -half * hinge_length, hinge_length)
    return joined([shank, make_pin_head(-1), make_pin_head(1)])


frame_knuckles = [index for index in range(knuckle_count) if index % 2 == 0]
door_knuckles = [index for index in range(knuckle_count) if index % 2]

frame_leaf = make_leaf(-1, frame_knuckles, door_knuckles, 0, pin_radius)
door_leaf = make_leaf(1, door_knuckles, frame_knuckles, axial_play, pin_radius + running_clearance)
fixture = cq.Workplane("XY").newObject([frame_leaf.val(), door_leaf.val(), make_center_pin().val()])
