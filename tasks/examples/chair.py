import cadquery as cq

# A plain four-legged chair for a 700 N sitting load, 500 x 500 x 900 mm: seat, legs, crossbars, backrest.
width = 500.0
depth = 500.0
height = 900.0
seat_height = 450.0
seat_thickness = 36.0
leg_side = 42.0
crossbar_width = 26.0
crossbar_depth = 40.0
crossbar_height = 170.0
backrest_thickness = 24.0
backrest_panel = 220.0
overlap = 4.0

leg_x = (width - leg_side) / 2
leg_y = (depth - leg_side) / 2


def block(x, y, z, center):
    return cq.Workplane("XY").box(x, y, z).translate(center)


def make_seat():
    seat = block(width, depth, seat_thickness, (0, 0, seat_height - seat_thickness / 2))
    return seat.edges("|Z").fillet(12.0)


def make_leg(x, y, top):
    return block(leg_side, leg_side, top, (x, y, top / 2))


def make_four_leg_frame():
    front_top = seat_height - seat_thickness + overlap
    frame = make_leg(-leg_x, -leg_y, front_top).union(make_leg(leg_x, -leg_y, front_top))
    return frame.union(make_leg(-leg_x, leg_y, height)).union(make_leg(leg_x, leg_y, height))


def make_crossbars():
    side_length = 2 * leg_y
    bars = block(crossbar_width, side_length, crossbar_depth, (-leg_x, 0, crossbar_height))
    bars = bars.union(block(crossbar_width, side_length, crossbar_depth, (leg_x, 0, crossbar_height)))
    return bars.union(block(2 * leg_x, crossbar_width, crossbar_depth, (0, 0, crossbar_height)))


def make_backrest():
    center_z = height - backrest_panel / 2
    return block(2 * leg_x, backrest_thickness, backrest_panel, (0, leg_y, center_z))


def make_connected_chair():
    # load_700n: every part runs into its neighbour, so that nothing floats.
    chair = make_four_leg_frame().union(make_crossbars()).union(make_seat())
    return chair.union(make_backrest()).clean()


fixture = make_connected_chair()
