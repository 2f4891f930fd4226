# expect: empty_shape|kernel_error|value
import cadquery as cq

fixture = cq.Workplane().box(float("inf"), 1, 1)
