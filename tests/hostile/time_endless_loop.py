# expect: wall_limit
# wall: 0.4
# contains: still running
import cadquery as cq

fixture = cq.Workplane().box(1, 1, 1)
while True:
    pass
