# expect: kernel_error
import cadquery as cq

fixture = cq.Workplane().box(0, 1, 1)
