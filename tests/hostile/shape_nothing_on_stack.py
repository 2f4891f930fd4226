# expect: empty_shape|not_a_shape
import cadquery as cq

fixture = cq.Workplane("XY")
