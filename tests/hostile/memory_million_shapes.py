# expect: memory_limit|wall_limit
# memory: 192
# wall: 2.5
import cadquery as cq

solids = []
for n in range(10 ** 7):
    solids.append(cq.Solid.makeSphere(1.0 + n * 1e-6))
fixture = cq.Compound.makeCompound(solids)
