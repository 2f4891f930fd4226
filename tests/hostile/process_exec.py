# expect: refused
# expect-nofilter: ok
import ctypes
import os
import cadquery as cq

for program in ("/bin/sh", "/usr/bin/env", "/proc/self/exe"):
    try:
        os.execv(program, [program, "-c", "echo BREACH"])
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
