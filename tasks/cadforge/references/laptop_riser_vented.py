import math

import cadquery as cq

# Vented riser for a laptop, 320 x 240 x 120 mm: a tilted platform with seven slots for air between
# two side rails, two hooked stops at the front, two rear legs and two short front feet, and a tie
# that keeps the rear legs from spreading.
riser_width = 320.0
riser_depth = 240.0
riser_height = 120.0
front_height = 42.0

rail_crest = 16.0
rail_thickness = 10.0
rail_band = 26.0
rail_lip = 8.0
leg_depth = 34.0
foot_depth = 30.0
leg_splay = 14.0
corner_radius = 5.0
window_radius = 12.0

platform_thickness = 6.0
platform_margin = 2.0

vent_count = 7
vent_width = 14.0
vent_length = 156.0
vent_pitch = 38.0

stop_width = 44.0
stop_spacing = 170.0
stop_height = 16.0
stop_depth = 10.0
stop_corner_radius = 6.0

tie_height = 22.0
tie_thickness = 8.0
tie_z = 24.0

half = 0.5
half_depth = half * riser_depth
rail_x = half * (riser_width - rail_thickness)
inner_width = riser_width - rail_thickness
slope = (riser_height - front_height) / (riser_depth - rail_crest)
tilt = math.atan(slope)
tilt_degrees = math.degrees(tilt)
drop = (rail_lip + half * platform_thickness) / math.cos(tilt)


def rail_top(y):
    return front_height + slope * (y + half_depth)


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def make_side_rail(side):
    """One flat frame: rail on top, front foot and splayed rear leg below, open in between."""
    outline = [(-half_depth, 0), (-half_depth, front_height), (half_depth - rail_crest, riser_height), (half_depth, riser_height), (half_depth, 0)]
    window_front = -half_depth + foot_depth
    window_rear = half_depth - leg_depth
    window = [
        (window_front, -corner_radius),
        (window_front, rail_top(window_front) - rail_band),
        (window_rear - leg_splay, rail_top(window_rear - leg_splay) - rail_band),
        (window_rear, -corner_radius),
    ]
    frame = cq.Workplane("YZ").polyline(outline).close().extrude(half * rail_thickness, both=True)
    opening = cq.Workplane("YZ").polyline(window).close().extrude(rail_thickness, both=True)
    opening = opening.edges("|X and >Z or (|X and (not <Z))").fillet(window_radius)
    frame = frame.edges("|X").edges(">Z or (not <Z)").fillet(corner_radius)
    return frame.cut(opening).translate((side * rail_x, 0, 0))


def on_platform(part):
    """Turns a part that was drawn flat, its middle at the origin, into the platform's place."""
    return part.rotate((0, 0, 0), (1, 0, 0), tilt_degrees).translate((0, 0, rail_top(0) - drop))


def make_platform():
    length = (riser_depth - platform_margin - platform_margin) / math.cos(tilt)
    plate = cq.Workplane("XY").box(inner_width, length, platform_thickness)
    vents = cq.Workplane("XY").rarray(vent_pitch, 1, vent_count, 1).slot2D(vent_length, vent_width, angle=90)
    return on_platform(plate.cut(vents.extrude(platform_thickness, both=True)))


def make_front_stop(side):
    """An upright tab that rises from the platform's front edge above the rails."""
    base = rail_top(-half_depth) - drop - platform_thickness
    stop = cq.Workplane("XY").box(stop_width, stop_depth, stop_height + front_height - base, centered=(True, False, False))
    stop = stop.edges("|Y and >Z").fillet(stop_corner_radius)
    return stop.translate((side * half * stop_spacing, -half_depth, base))


def make_rear_tie():
    tie = cq.Workplane("XY").box(inner_width, tie_thickness, tie_height)
    return tie.translate((0, half_depth - half * leg_depth, tie_z + half * tie_height))


rails = [make_side_rail(-1), make_side_rail(1)]
stops = [make_front_stop(-1), make_front_stop(1)]
fixture = joined([make_platform(), make_rear_tie(), *rails, *stops])
