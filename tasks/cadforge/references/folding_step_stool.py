import math

import cadquery as cq

# Folding two-step stool, 420 x 360 x 480 mm. Front frame (feet in front) and rear frame cross at
# two pivot pins. The upper step swings on the front frame's top rod and hooks over the rear
# frame's; the lower step swings on the front frame and hooks over a rod of the rear one, so that
# both steps lock the cross when it stands and fold up with it. Six parts: frames, steps, pins.
stool_width = 420.0
stool_depth = 360.0
stool_height = 480.0
step_thickness = 22.0

upper_step_depth = 250.0
lower_step_depth = 186.0
lower_step_z = 236.0
lower_step_y = -34.0
step_corner_radius = 24.0
step_edge_radius = 3.0
step_side_gap = 3.0

groove_count = 7
groove_width = 5.0
groove_depth = 2.0
groove_pitch = 22.0
groove_margin = 28.0

bar_depth = 34.0
bar_thickness = 15.0
frame_gap = 2.0
pin_head_thickness = 6.0
foot_center_z = 14.0
top_rod_y = 88.0

rod_diameter = 16.0
barrel_diameter = 30.0
barrel_length = 56.0
barrel_offset = 120.0
hook_opening = 15.9
pivot_diameter = 14.0
pivot_head_diameter = 26.0
tie_height = 40.0

half = 0.5
bar_radius = half * bar_depth
foot_y = half * stool_depth - bar_radius
rod_drop = bar_radius
top_rod_z = stool_height - step_thickness - rod_drop
lower_rod_z = lower_step_z - step_thickness - rod_drop
outer_face = half * stool_width - pin_head_thickness
front_inner = outer_face - bar_thickness
rear_outer = front_inner - frame_gap
rear_inner = rear_outer - bar_thickness
lower_step_width = rear_inner + rear_inner - step_side_gap - step_side_gap
cross_share = foot_y / (foot_y + top_rod_y)


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def rod(diameter, x_from, x_to, y, z):
    return cq.Workplane("YZ", origin=(x_from, y, z)).circle(half * diameter).extrude(x_to - x_from)


def place_on_bar(z):
    """How far forward (of the middle) the centre line of the rear bars is at this height."""
    share = (z - foot_center_z) / (top_rod_z - foot_center_z)
    return foot_y - share * (foot_y + top_rod_y)


def make_side_bar(end, x_from, x_to):
    """A flat bar with round ends from the foot at y = end * foot_y to the top rod, cut flat below."""
    start, stop = (end * foot_y, foot_center_z), (-end * top_rod_y, top_rod_z)
    run, rise = stop[0] - start[0], stop[1] - start[1]
    middle = cq.Workplane("YZ", origin=(x_from, half * (start[0] + stop[0]), half * (start[1] + stop[1])))
    angle = math.degrees(math.atan2(rise, run))
    bar = middle.slot2D(math.hypot(run, rise) + bar_depth, bar_depth, angle).extrude(x_to - x_from)
    floor = cq.Workplane("XY").box(stool_width, stool_depth, stool_height, centered=(True, True, False))
    return bar.intersect(floor)


def make_tie(end, reach):
    """A flat tie between the bars just above the feet."""
    z = foot_center_z + tie_height
    tie = cq.Workplane("XY").box(reach + reach, half * bar_thickness, tie_height)
    return tie.translate((0, end * place_on_bar(z), z))


def pivot_place():
    return 0, foot_center_z + cross_share * (top_rod_z - foot_center_z)


def make_frame(end, inner, outer):
    """Two side bars, tied above the feet, with a rod at the top and one under the lower step."""
    bars = [make_side_bar(end, inner, outer), make_side_bar(end, -outer, -inner)]
    rods = [
        rod(rod_diameter, -outer, outer, -end * top_rod_y, top_rod_z),
        rod(rod_diameter, -outer, outer, end * place_on_bar(lower_rod_z), lower_rod_z),
    ]
    frame = joined([*bars, *rods, make_tie(end, inner)])
    return frame.cut(rod(pivot_diameter, -stool_width, stool_width, *pivot_place()))


def make_barrels(y, z):
    """Two barrels round a rod, each with the lug that joins it to the step above."""
    parts = []
    for side in (-1, 1):
        x = side * barrel_offset - half * barrel_length
        lug = cq.Workplane("XY").box(barrel_length, barrel_diameter, rod_drop, centered=(False, True, False))
        parts += [rod(barrel_diameter, x, x + barrel_length, y, z), lug.translate((x, y, z))]
    return parts


def cut_hooks(step, y, z):
    """Opens the barrels downward, so that they drop over the rod."""
    mouth = cq.Workplane("XY").box(stool_width, hook_opening, barrel_diameter, centered=(True, True, False))
    return step.cut(mouth.translate((0, y, z - barrel_diameter)))


def make_step(width, depth, y, top, hinge_y, hook_y):
    board = cq.Workplane("XY", origin=(0, y, top - step_thickness)).rect(width, depth).extrude(step_thickness)
    board = board.edges("|Z").fillet(step_corner_radius).faces(">Z").edges().fillet(step_edge_radius)
    z = top - step_thickness - rod_drop
    step = joined([board, *make_barrels(hinge_y, z), *make_barrels(hook_y, z)])
    for rod_y in (hinge_y, hook_y):
        step = step.cut(rod(rod_diameter, -stool_width, stool_width, rod_y, z))
    return cut_grooves(cut_hooks(step, hook_y, z), width, y, top)


def cut_grooves(step, width, y, top):
    grooves = cq.Workplane("XY", origin=(0, y, top)).rarray(1, groove_pitch, 1, groove_count)
    return step.cut(grooves.slot2D(width - groove_margin - groove_margin, groove_width).extrude(-groove_depth))


def make_pivot(side):
    pin = rod(pivot_diameter, rear_inner, outer_face, *pivot_place())
    heads = [
        rod(pivot_head_diameter, outer_face, outer_face + pin_head_thickness, *pivot_place()),
        rod(pivot_head_diameter, rear_outer, front_inner, *pivot_place()),
    ]
    pin = joined([pin, *heads])
    return pin if side > 0 else pin.mirror("YZ")


lower_rod_y = place_on_bar(lower_rod_z)
upper_step = make_step(stool_width, upper_step_depth, 0, stool_height, top_rod_y, -top_rod_y)
lower_step = make_step(lower_step_width, lower_step_depth, lower_step_y, lower_step_z, -lower_rod_y, lower_rod_y)
front_frame = make_frame(-1, front_inner, outer_face)
rear_frame = make_frame(1, rear_inner, rear_outer)
parts = [front_frame, rear_frame, upper_step, lower_step, make_pivot(-1), make_pivot(1)]
fixture = cq.Workplane("XY").newObject([part.val() for part in parts])
