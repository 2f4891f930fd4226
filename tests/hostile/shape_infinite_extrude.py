# expect: empty_shape|kernel_error|value|crash
# wall: 3
import cadquery as cq

fixture = cq.Workplane().circle(float("inf")).extrude(1e308)
