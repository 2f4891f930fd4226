# expect: output_limit
# output: 64
import cadquery as cq

print("x" * (50 << 20), end="")
fixture = cq.Workplane().box(1, 1, 1)
