import cadquery as cq

# As a small model writes it: the part is sound, the method is not CadQuery's (it is called fillet).
seat_width = 480.0
seat_thickness = 36.0
leg_side = 42.0
leg_height = 420.0


def make_seat():
    seat = cq.Workplane("XY").box(seat_width, seat_width, seat_thickness)
    return seat.edges("|Z").filet(12.0).translate((0, 0, leg_height))


def make_leg(x, y):
    leg = cq.Workplane("XY").box(leg_side, leg_side, leg_height)
    return leg.translate((x, y, leg_height / 2))


reach = (seat_width - leg_side) / 2
fixture = make_seat()
for x in (-reach, reach):
    for y in (-reach, reach):
        fixture = fixture.union(make_leg(x, y))
