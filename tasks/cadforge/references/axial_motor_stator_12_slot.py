import math

import cadquery as cq

# Twelve_slot stator of laminated steel, 180 mm across and 30 mm high: a round ring with twelve
# parallel radial_teeth, each with a tooth shoe, round the center_bore (shaft_opening).
outer_diameter = 180.0
stator_height = 30.0
bore_diameter = 76.0
slot_count = 12
tooth_width = 13.0
yoke_thickness = 16.0
shoe_height = 4.0
shoe_flare = 4.0
slot_opening = 4.0
slot_corner_radius = 3.0
edge_chamfer = 1.0

bore_radius = bore_diameter / 2
slot_outer_radius = outer_diameter / 2 - yoke_thickness
half_pitch = math.pi / slot_count


def tooth_flank(radius):
    """Half the width of the slot at this radius: what two parallel teeth leave."""
    return (radius * math.sin(half_pitch) - tooth_width / 2) / math.cos(half_pitch)


def make_ring():
    ring = cq.Workplane("XY").circle(outer_diameter / 2).extrude(stator_height).edges().chamfer(edge_chamfer)
    return ring.cut(cq.Workplane("XY").circle(bore_radius).extrude(stator_height))


def make_slot():
    lip = bore_radius + shoe_height
    shoulder = lip + shoe_flare
    mouth = slot_opening / 2
    half = [(bore_radius - shoe_height, mouth), (lip, mouth), (shoulder, tooth_flank(shoulder))]
    half.append((slot_outer_radius, tooth_flank(slot_outer_radius)))
    mirrored = [(x, -y) for x, y in reversed(half)]
    slot = cq.Workplane("XY").polyline(half + mirrored).close().extrude(stator_height)
    return slot.edges("|Z and >X").fillet(slot_corner_radius)


def make_slots():
    turn = math.degrees(half_pitch)
    slot = make_slot().rotate((0, 0, 0), (0, 0, 1), turn)
    spokes = [slot.rotate((0, 0, 0), (0, 0, 1), turn * (index + index)).val() for index in range(slot_count)]
    return cq.Workplane("XY").newObject(spokes)


fixture = make_ring().cut(make_slots(), clean=False)
