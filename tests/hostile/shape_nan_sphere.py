# expect: empty_shape|kernel_error|value|ok
import cadquery as cq

fixture = cq.Workplane().sphere(float("nan"))
