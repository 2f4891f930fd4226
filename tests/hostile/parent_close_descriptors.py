# expect: refused
# expect-nofilter: ok|crash|other_exception|builder_lost
import os
import cadquery as cq

for fd in range(1024):
    try:
        os.close(fd)
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
