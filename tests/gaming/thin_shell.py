# The skin of the housing's box, a tenth of a millimetre thick: outlines are full, there is no housing.
import cadquery as cq

gearbox_length = 260.0
gearbox_width = 180.0
gearbox_height = 160.0
wall = 0.1


def housing():
    return cq.Workplane("XY").box(gearbox_length, gearbox_width, gearbox_height)


def hollow(part):
    inner = cq.Workplane("XY").box(gearbox_length - 2 * wall, gearbox_width - 2 * wall, gearbox_height - 2 * wall)
    return part.cut(inner)


def seam(part):
    return part.translate((0, 0, gearbox_height / 2))


fixture = seam(hollow(housing()))
