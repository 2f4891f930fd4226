# expect: refused
# expect-nofilter: ok|other_exception|value|not_a_shape
import sys
import cadquery as cq

sys.path.insert(0, "/tmp")
sys.meta_path.clear()
sys.excepthook = sys.__excepthook__ = lambda *a: None
fixture = cq.Workplane().box(1, 1, 1)
