# expect: wall_limit|memory_limit
# wall: 0.4
import cadquery as cq

size = 7 ** (10 ** 9)
fixture = cq.Workplane().box(size, 1, 1)
