# expect: refused
# expect-nofilter: ok|wall_limit
# wall: 3
import gc
import sys
import cadquery as cq

gc.callbacks.append(lambda *a: None)
gc.set_threshold(1)
sys.setprofile(lambda *a: None)
fixture = cq.Workplane().box(1, 1, 1)
