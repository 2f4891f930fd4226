# expect: memory_limit
# memory: 256
import cadquery as cq

rows = []
while True:
    rows.append([0] * 10000)
