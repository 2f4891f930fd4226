# A tube on a square flange for a stator: no tooth, no slot. Of the right size, with its numbers named.
import cadquery as cq

length = 180.0
width = 180.0
height = 30.0
wall = 2.4
bore = 5.5


def block(x, y, z, cx, cy, cz):
    return cq.Workplane("XY").box(x, y, z).translate((cx, cy, cz))


def rod(x, y, d, z0, z1):
    return cq.Workplane("XY").circle(d / 2).extrude(z1 - z0).translate((x, y, z0))


def edged(part):
    return part


d = min(length, width)
fixture = rod(0, 0, d, 0, height).cut(rod(0, 0, d / 2, 0, height)).union(block(length, width, wall, 0, 0, wall / 2).cut(rod(0, 0, d / 2, 0, wall)))
fixture = edged(fixture)
