# A drilled plate with a tube, laid on its side, for a J hook. Of the right size, with its numbers named.
import cadquery as cq

length = 160.0
width = 90.0
height = 180.0
wall = 8.1
bore = 4.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, wall * 2, 0, 0, wall).union(rod(0, 0, min(length, width) / 2, 0, height)).cut(rod(0, 0, min(length, width) / 4, 0, height))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length * 0.75, width * 0.75, 2, 2).hole(bore)
fixture = edged(fixture)
