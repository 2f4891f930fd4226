# expect: ok
import cadquery as cq
fixture = cq.Workplane().box(1, 1, 1)
