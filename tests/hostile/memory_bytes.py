# expect: memory_limit
# memory: 256
# contains: line 6
import cadquery as cq

block = bytearray(10 ** 11)
fixture = cq.Workplane().box(1, 1, 1)
