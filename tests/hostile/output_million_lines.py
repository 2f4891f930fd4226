# expect: output_limit
# contains: 64 KiB
# output: 64
import cadquery as cq

for n in range(10 ** 6):
    print("line", n)
fixture = cq.Workplane().box(1, 1, 1)
