# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

for place in ("/", "/root", "/home", "/tmp", "/proc", "/etc", "/var", "/dev"):
    try:
        print("BREACH", place, os.listdir(place))
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
