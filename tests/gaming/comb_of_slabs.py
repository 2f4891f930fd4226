# A comb of thin slabs from floor to top: contacts, sections and outlines find something everywhere.
import cadquery as cq

stool_x = 420.0
stool_y = 360.0
stool_z = 480.0
slab = 6.0
slabs = 12


def one(x):
    return cq.Workplane("XY").box(slab, stool_y, stool_z).translate((x, 0, stool_z / 2))


def spine():
    return cq.Workplane("XY").box(stool_x, slab, slab).translate((0, 0, stool_z / 2))


def comb():
    whole = spine()
    for i in range(slabs):
        whole = whole.union(one(-stool_x / 2 + slab / 2 + i * (stool_x - slab) / (slabs - 1)))
    return whole


fixture = comb()
