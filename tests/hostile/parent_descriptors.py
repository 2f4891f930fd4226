# expect: refused
# expect-nofilter: ok|crash|output_limit|other_exception
# Writes to whatever is open: its own pipes and memory files, nothing of its parent's.
import os
import cadquery as cq

for fd in range(1024):
    try:
        os.write(fd, b"CFm1\x12\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0{}")
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
