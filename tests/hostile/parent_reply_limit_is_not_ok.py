# expect: refused
# expect-nofilter: crash
# contains-nofilter: spoiled
import os
import struct
import time

report, blob = b"{\"ok\":true,\"cause\":\"wall_limit\"}", b"no brep"
head = b"CFm1" + struct.pack("<IIII", 0, 0, len(report), len(blob))
for at, part in ((0, head + report), (20 + len(report), blob)):
    while part:
        part, at = part[(n := os.pwrite(6, part, at)):], at + n
os.write(4, b"d")
time.sleep(30)
