# expect: shape_limit
# brep: 1
# wall: 20
# contains: MiB
import cadquery as cq

fixture = [cq.Solid.makeSphere(1 + n * 1e-3) for n in range(2000)]
