# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
import re
import cadquery as cq

re.match(r"(a+)+$", "a" * 60 + "b")
fixture = cq.Workplane().box(1, 1, 1)
