# expect: cpu_limit
# wall: 20
# cpu: 0.4
import cadquery as cq

fixture = cq.Workplane().box(1, 1, 1)
while True:
    sum(range(1000))
