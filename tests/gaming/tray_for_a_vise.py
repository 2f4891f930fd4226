# An open box with six holes for a vise. Of the right size, with its numbers named.
import cadquery as cq

length = 280.0
width = 140.0
height = 150.0
wall = 11.2
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, height, 0, 0, height / 2).cut(block(length - 2 * wall, width - 2 * wall, height, 0, 0, height / 2 + wall))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length * 0.3, width * 0.4, 3, 2).hole(bore)
fixture = edged(fixture)
