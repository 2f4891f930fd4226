# expect: other_exception
# contains: left out
import cadquery as cq

part = cq.Workplane().box(1, 1, 1)
part.val().toVtkPolyData(0.1)
