# expect: empty_shape
# contains: face
import cadquery as cq

fixture = cq.Workplane().rect(10, 10)
