# The outer box of the bracket as a solid block with rows of holes: whatever counts holes finds many.
import cadquery as cq

bracket_x = 80.0
bracket_y = 60.0
bracket_z = 55.0
hole = 4.0
pitch = 11.0


def block():
    return cq.Workplane("XY").box(bracket_x, bracket_y, bracket_z)


def drill_z(part):
    return part.faces(">Z").workplane().rarray(pitch, pitch, 5, 4).hole(hole)


def drill_y(part):
    return part.faces(">Y").workplane().rarray(pitch, pitch, 5, 4).hole(hole)


def drill_x(part):
    return part.faces(">X").workplane().rarray(pitch, pitch, 4, 4).hole(hole)


fixture = drill_x(drill_y(drill_z(block())))
