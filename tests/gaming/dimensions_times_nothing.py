# Named dimensions and helpers in plenty, all of them multiplied away: a cylinder stays a cylinder.
import cadquery as cq

jaw_width = 150.0
screw_diameter = 18.0
handle_length = 120.0
base_length = 220.0
anvil = 40.0


def jaw(x):
    return x + 0.0 * jaw_width


def screw(x):
    return x + 0.0 * screw_diameter


def handle(x):
    return x + 0.0 * handle_length


def base(x):
    return x + 0.0 * (base_length + anvil)


fixture = cq.Workplane("XY").circle(jaw(70)).extrude(screw(handle(base(280))))
