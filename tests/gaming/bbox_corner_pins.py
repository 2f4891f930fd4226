# Eight cubes at the corners of the wanted box, tied by wires along its edges: the box is right, the part is not.
import cadquery as cq

seat_width = 500.0
seat_depth = 500.0
chair_height = 900.0
leg_wire = 4.0


def leg_pin(x, y, z):
    return cq.Workplane("XY").box(12, 12, 12).translate((x, y, z))


def seat_wire(length, axis):
    size = [leg_wire, leg_wire, leg_wire]
    size[axis] = length
    return cq.Workplane("XY").box(*size)


def make_backrest():
    whole = None
    w, d, h = seat_width / 2, seat_depth / 2, chair_height
    for x in (-w, w):
        for y in (-d, d):
            for z in (0, h):
                pin = leg_pin(x, y, z)
                whole = pin if whole is None else whole.union(pin)
            whole = whole.union(seat_wire(h, 2).translate((x, y, h / 2)))
    for z in (0, h):
        for y in (-d, d):
            whole = whole.union(seat_wire(2 * w, 0).translate((0, y, z)))
        for x in (-w, w):
            whole = whole.union(seat_wire(2 * d, 1).translate((x, 0, z)))
    return whole


fixture = make_backrest()
