# expect: refused
# expect-nofilter: ok
import sys
import cadquery as cq

sys.stdout.close()
sys.stderr = None
sys.stdout = object()
fixture = cq.Workplane().box(1, 1, 1)
