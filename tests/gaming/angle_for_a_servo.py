# A drilled angle for a servo's cradle. Of the right size, with its numbers named.
import cadquery as cq

length = 80.0
width = 60.0
height = 55.0
wall = 4.4
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, wall, 0, 0, wall / 2).union(block(length, wall, height, 0, (width - wall) / 2, height / 2))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length / 2, width / 2, 2, 2).hole(bore)
fixture = edged(fixture)
