# expect: wall_limit
# wall: 0.4
import itertools
import cadquery as cq

fixture = cq.Workplane().box(1, 1, 1)
for n in itertools.count():
    n * n
