# expect: refused
# expect-watched: ok|crash
# expect-nofilter: ok
# memory: 64
# brep: 4
# Memory files count to nobody's address space; they are as large as the shape may be, and no larger.
import os
import cadquery as cq

held = 0
for fd in range(3, 32):
    for i in range(200):
        try:
            held += os.pwrite(fd, b"\1" * (1 << 20), i << 20)
        except OSError:
            break
if held > 12 << 20:
    print("BREACH", held)
fixture = cq.Workplane().box(1, 1, 1)
