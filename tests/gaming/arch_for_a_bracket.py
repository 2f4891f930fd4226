# A drilled arch for a servo's cradle. Of the right size, with its numbers named.
import cadquery as cq

length = 80.0
width = 60.0
height = 55.0
wall = 6.6
bore = 4.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = cq.Workplane("XZ").ellipse(length / 2, height).extrude(width / 2, both=True).cut(cq.Workplane("XZ").ellipse(length / 2 - 2 * wall, height - 2 * wall).extrude(width, both=True))
fixture = fixture.intersect(block(length, width, height, 0, 0, height / 2)).union(block(length, width, wall, 0, 0, wall / 2))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length * 0.8, width * 0.5, 2, 2).hole(bore)
fixture = edged(fixture)
