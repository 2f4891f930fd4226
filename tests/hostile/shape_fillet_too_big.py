# expect: kernel_error
# contains: line 5
import cadquery as cq

fixture = cq.Workplane().box(10, 10, 10).edges().fillet(50)
