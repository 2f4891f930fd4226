import cadquery as cq

# Cage for a 74 mm bicycle bottle, 85 x 80 x 150 mm, moulded in one piece: a spine with two M5 slots
# for the frame (64 mm apart), two arms that rise from the spine round both sides, two lower arms
# that run down to the stop, a lip at the top for the bottle's groove, beads along the arms as ribs.
cage_width = 85.0
cage_depth = 80.0
cage_height = 150.0
bottle_diameter = 74.0

arm_thickness = 2.6
front_opening = 40.0
tip_radius = 5.0

upper_arm_rear_z = 62.0
upper_arm_front_z = 116.0
lower_arm_rear_z = 66.0
lower_arm_front_z = 3.0
arm_band = 15.0
bead_band = 5.0
bead_set_back = 14.0
tip_window = 0.1

spine_width = 26.0
spine_thickness = 5.0
spine_corner_radius = 8.0
window_width = 12.0
window_length = 36.0
lower_window_z = 32.0

bolt_hole_diameter = 5.4
bolt_slot_length = 9.0
bolt_spacing = 64.0
upper_bolt_z = 126.0

stop_thickness = 4.0
stop_ring_width = 7.0
stop_bar_width = 18.0
toe_height = 14.0
toe_thickness = 4.0

lip_height = 10.0
lip_depth = 5.0
lip_width = 16.0
lip_chamfer = 3.0

half = 0.5
bottle_radius = half * bottle_diameter
arm_radius = bottle_radius + arm_thickness
bead_root_radius = bottle_radius + half * arm_thickness
bead_radius = half * cage_width
rear_y = -half * cage_depth
front_y = half * cage_depth
bottle_y = rear_y + spine_thickness + bottle_radius
lower_bolt_z = upper_bolt_z - bolt_spacing
cut_depth = spine_thickness + arm_thickness
window_z = half * (upper_bolt_z + lower_bolt_z)


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def upright_plate(width, thickness, z_from, z_to, y_from):
    plate = cq.Workplane("XY").box(width, thickness, z_to - z_from, centered=(True, False, False))
    return plate.translate((0, y_from, z_from))


def hoop(inner_radius, outer_radius, z_from, z_to):
    ring = cq.Workplane("XY").circle(outer_radius).circle(inner_radius).extrude(z_to - z_from)
    return ring.translate((0, bottle_y, z_from))


def side_band(width):
    """Both arms as seen from the side: two bands of this width, from the spine up and down forward."""
    grow = half * width
    rear = bottle_y - bottle_radius
    front = bottle_y + bottle_radius
    bands = []
    for rear_z, front_z in ((upper_arm_rear_z, upper_arm_front_z), (lower_arm_rear_z, lower_arm_front_z)):
        outline = [(rear, rear_z - grow), (front, front_z - grow), (front, front_z + grow), (rear, rear_z + grow)]
        outline = [(rear_y, rear_z - grow), *outline, (rear_y, rear_z + grow)]
        bands.append(cq.Workplane("YZ").polyline(outline).close().extrude(cage_width, both=True))
    return joined(bands)


def make_arms():
    """The shell round the bottle, seen through the bands; the narrow bands stand out as beads."""
    gap = upright_plate(front_opening, cage_depth, 0, cage_height, bottle_y)
    bead_gap = upright_plate(front_opening + bead_set_back, cage_depth, 0, cage_height, bottle_y)
    shell = hoop(bottle_radius, arm_radius, 0, cage_height).intersect(side_band(arm_band))
    beads = hoop(bead_root_radius, bead_radius, 0, cage_height).intersect(side_band(bead_band))
    return joined([round_tips(shell.cut(gap)), beads.cut(bead_gap)])


def round_tips(arms):
    """Blunts the points of the upper arms; the lower arms end in the stop."""
    reach = half * front_opening
    near = cq.selectors.BoxSelector((-reach - tip_window, bottle_y, window_z), (reach + tip_window, front_y + cage_depth, cage_height))
    return arms.edges(near).edges(">Z").fillet(tip_radius)


def make_spine():
    spine = upright_plate(spine_width, spine_thickness, 0, cage_height, rear_y)
    return spine.edges("|Y and >Z").fillet(spine_corner_radius)


def make_bottom_stop():
    ring = hoop(bottle_radius - stop_ring_width, arm_radius, 0, stop_thickness)
    bar = upright_plate(stop_bar_width, cage_depth, 0, stop_thickness, rear_y)
    toe = upright_plate(stop_bar_width, toe_thickness, 0, toe_height, front_y - toe_thickness)
    room = upright_plate(cage_width, cage_depth, 0, cage_height, front_y)
    toe = toe.edges("|Y and >Z").fillet(tip_radius)
    return joined([ring, bar, toe]).cut(room)


def make_retaining_lip():
    lip = upright_plate(lip_width, lip_depth + spine_thickness, cage_height - lip_height, cage_height, rear_y)
    return lip.faces(">Y").edges("|X").chamfer(lip_chamfer)


def cut_spine_openings(body):
    back = cq.Workplane("XZ", origin=(0, rear_y, 0))
    slots = back.pushPoints([(0, lower_bolt_z), (0, upper_bolt_z)])
    slots = slots.slot2D(bolt_slot_length, bolt_hole_diameter, angle=90).extrude(-cut_depth)
    window = back.pushPoints([(0, window_z), (0, lower_window_z)]).slot2D(window_length, window_width, angle=90)
    return body.cut(slots).cut(window.extrude(-cut_depth))


cage = joined([make_spine(), make_arms(), make_bottom_stop(), make_retaining_lip()])
fixture = cut_spine_openings(cage)
