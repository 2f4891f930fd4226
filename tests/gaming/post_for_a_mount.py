# A plate with holes and a post for a mount that clamps a bar: no bore. Of the right size, with its numbers named.
import cadquery as cq

length = 180.0
width = 80.0
height = 90.0
wall = 6.4
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
