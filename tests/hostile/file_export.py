# expect: ok
# The exporters fail silently or are refused in the jail; the outcome does not depend on it.
import cadquery as cq
from cadquery import exporters

fixture = cq.Workplane().box(1, 1, 1)
try:
    exporters.export(fixture, "/tmp/cadforge-breach.stl")
    exporters.export(fixture, "/tmp/cadforge-breach.step")
except Exception as e:
    print(type(e).__name__)
