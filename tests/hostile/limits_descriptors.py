# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

made = []
try:
    while len(made) < 1000:
        made.append(os.dup(1))
except OSError:
    pass
print("BREACH" if len(made) > 100 else "held")
fixture = cq.Workplane().box(1, 1, 1)
