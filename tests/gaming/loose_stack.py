# Legs, seat and backrest as separate solids a hair too far apart to touch.
import cadquery as cq

seat_size = 500.0
seat_height = 450.0
chair_height = 900.0
leg_size = 40.0
gap = 0.2


def leg(x, y):
    return cq.Workplane("XY").box(leg_size, leg_size, seat_height - gap).translate((x, y, (seat_height - gap) / 2))


def seat():
    return cq.Workplane("XY").box(seat_size, seat_size, 30).translate((0, 0, seat_height + 15))


def backrest():
    return cq.Workplane("XY").box(seat_size, 20, 400).translate((0, 240, chair_height - 200))


def bar(y):
    return cq.Workplane("XY").box(seat_size - 2 * leg_size - 2 * gap, 20, 20).translate((0, y, 120))


reach = seat_size / 2 - leg_size / 2
parts = [leg(x, y) for x in (-reach, reach) for y in (-reach, reach)]
parts += [seat(), backrest(), bar(-reach), bar(reach)]
fixture = cq.Compound.makeCompound([p.val() for p in parts])
