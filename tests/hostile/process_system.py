# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

if os.system("echo BREACH") == 0:
    print("BREACH")
fixture = cq.Workplane().box(1, 1, 1)
