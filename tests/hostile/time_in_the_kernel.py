# expect: wall_limit
# wall: 0.8
# contains: line 
# Booleans of hundreds of overlapping spheres: the time goes by inside OpenCASCADE.
import cadquery as cq

points = [(x * 0.7, y * 0.7) for x in range(40) for y in range(40)]
balls = cq.Workplane().pushPoints(points).sphere(1.0, combine=False)
fixture = balls.combine(tol=1e-4)
