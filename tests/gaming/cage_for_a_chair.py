# The edges of the box as rods, for a chair. Of the right size, with its numbers named.
import cadquery as cq

length = 500.0
width = 500.0
height = 900.0
wall = 36.0
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


a = (length - wall) / 2
b = (width - wall) / 2
fixture = block(length, width, wall, 0, 0, wall / 2).cut(block(length - 2 * wall, width - 2 * wall, wall, 0, 0, wall / 2))
top = fixture.translate((0, 0, height - wall))
fixture = fixture.union(top)
for x in (-a, a):
    for y in (-b, b):
        fixture = fixture.union(block(wall, wall, height, x, y, height / 2))
fixture = edged(fixture)
