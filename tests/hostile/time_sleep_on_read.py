# expect: refused
# expect-nofilter: ok|wall_limit
# wall: 0.4
import os
import cadquery as cq

os.read(0, 1)
fixture = cq.Workplane().box(1, 1, 1)
