# expect: empty_shape
import cadquery as cq

fixture = cq.Workplane().box(1, 1, 1).cut(cq.Workplane().box(3, 3, 3))
