# expect: not_a_shape
import cadquery as cq

fixture = cq.Workplane
