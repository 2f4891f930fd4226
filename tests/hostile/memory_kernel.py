# expect: memory_limit|wall_limit|kernel_error|crash
# memory: 128
# wall: 3
import cadquery as cq

points = [(x * 3.0, y * 3.0) for x in range(400) for y in range(400)]
fixture = cq.Workplane().rarray(3, 3, 400, 400).sphere(1.0, combine=False)
