# Cubes that float all over the chair's box, named after its parts: outlines and words are there, no chair is.
import cadquery as cq

seat_width = 500.0
seat_depth = 500.0
chair_height = 900.0
leg_cube = 60.0
crossbar_count = 3
backrest_count = 4


def leg(x, y, z):
    return cq.Workplane("XY").box(leg_cube, leg_cube, leg_cube).translate((x, y, z))


def places(length, count, start):
    step = (length - leg_cube) / (count - 1)
    return [start + leg_cube / 2 + i * step for i in range(count)]


def seat_and_backrest():
    cubes = []
    for x in places(seat_width, crossbar_count, -seat_width / 2):
        for y in places(seat_depth, crossbar_count, -seat_depth / 2):
            for z in places(chair_height, backrest_count, 0.0):
                cubes.append(leg(x, y, z).val())
    return cubes


fixture = cq.Compound.makeCompound(seat_and_backrest())
