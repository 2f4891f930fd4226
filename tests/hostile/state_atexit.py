# expect: refused
# expect-nofilter: ok
import atexit
import cadquery as cq

atexit.register(lambda: print("late"))
fixture = cq.Workplane().box(1, 1, 1)
