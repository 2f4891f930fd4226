# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
import time
import cadquery as cq

time.sleep(3600)
fixture = cq.Workplane().box(1, 1, 1)
