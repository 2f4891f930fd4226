# A drilled plate and three rods for a hinge. Of the right size, with its numbers named.
import cadquery as cq

length = 100.0
width = 70.0
height = 12.0
wall = 1.5
bore = 4.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


fixture = block(length, width, wall, 0, 0, wall / 2).union(cq.Workplane("XZ").circle(wall).extrude(width / 2, both=True).translate((0, 0, height - wall)))
fixture = fixture.union(rod(0, 0, 2 * wall, 0, height - wall)).union(cq.Workplane("YZ").circle(wall).extrude(length / 2, both=True).translate((0, 0, height / 2)))
fixture = fixture.faces("<Z").workplane(centerOption="CenterOfBoundBox").rarray(length * 0.7, width * 0.7, 2, 2).hole(bore)
fixture = edged(fixture)
