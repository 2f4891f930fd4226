# Flat boards in the right places for a curved chair. Of the right size, with its numbers named.
import cadquery as cq

length = 620.0
width = 650.0
height = 1120.0
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
fixture = block(length, width, wall, 0, 0, height / 2)
for x in (-a, a):
    for y in (-b, b):
        fixture = fixture.union(block(wall, wall, height / 2, x, y, height / 4))
fixture = fixture.union(block(length, wall, height / 2, 0, b, height * 3 / 4))
fixture = edged(fixture)
