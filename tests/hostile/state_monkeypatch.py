# expect: ok
# What it changes in CadQuery dies with its process; the clean build after it must not see it.
import math
import cadquery as cq
from cadquery import exporters

cq.Workplane.box = lambda self, *a, **k: self.sphere(5)
cq.Workplane.cut = lambda self, *a, **k: self
exporters.export = lambda *a, **k: None
math.pi = 3
fixture = cq.Workplane().sphere(1)
