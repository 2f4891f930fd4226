# Ten copies of one plate in the same place: more material for whatever sums over solids.
import cadquery as cq

plate_x = 160.0
plate_y = 38.0
plate_z = 40.0


def handle():
    return cq.Workplane("XY").box(plate_x, plate_y, plate_z)


def bolt(part):
    return part.faces(">Z").workplane().pushPoints([(-48, 0), (48, 0)]).hole(4.0)


def grip(part):
    return part.edges("|X").fillet(2.0)


fixture = cq.Compound.makeCompound([grip(bolt(handle())).val() for _ in range(10)])
