# expect: refused
# expect-nofilter: crash
# contains-nofilter: spoiled
# Whether the builder was lost is not for a program to say: such a job would be run again.
import os
import struct
import time

report, blob = b"{\"ok\":false,\"cause\":\"builder_lost\",\"error\":\"not my fault\"}", b""
head = b"CFm1" + struct.pack("<IIII", 0, 0, len(report), len(blob))
for at, part in ((0, head + report), (20 + len(report), blob)):
    while part:
        part, at = part[(n := os.pwrite(6, part, at)):], at + n
os.write(4, b"d")
time.sleep(30)
