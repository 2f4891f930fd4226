# expect: ok
import cadquery as cq
note = "‮⁦ reversed ⁩"
fixture = cq.Workplane().box(1, 1, 1)
