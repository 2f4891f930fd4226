# A drilled U channel for a drawer pull. Of the right size, with its numbers named.
import cadquery as cq

length = 160.0
width = 38.0
height = 40.0
wall = 3.0
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, wall, 0, 0, wall / 2)
for y in (-1, 1):
    fixture = fixture.union(block(length, wall, height, 0, y * (width - wall) / 2, height / 2))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length / 2, 1, 2, 1).hole(bore)
fixture = fixture.cut(cq.Workplane("XZ").circle(bore / 2).extrude(width, both=True).translate((0, 0, height * 0.75)))
fixture = edged(fixture)
