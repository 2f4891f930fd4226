# A plate with holes and a post for a J hook. Of the right size, with its numbers named.
import cadquery as cq

length = 160.0
width = 90.0
height = 180.0
wall = 7.2
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, wall, 0, 0, wall / 2).union(block(length / 3, width / 3, height, 0, 0, height / 2))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length * 0.8, width * 0.8, 2, 2).hole(bore)
fixture = edged(fixture)
