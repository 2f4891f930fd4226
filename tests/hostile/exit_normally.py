# expect: other_exception
import cadquery as cq

fixture = cq.Workplane().box(1, 1, 1)
exit(0)
