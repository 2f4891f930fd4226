# expect: refused
# expect-nofilter: value
# contains-nofilter: the first
import os
import struct
import time

report, blob = b"{\"ok\":false,\"ok\":true,\"cause\":\"value\",\"cause\":\"ok\",\"error\":\"the first\",\"error\":\"the second\"}", b"x"
head = b"CFm1" + struct.pack("<IIII", 0, 0, len(report), len(blob))
for at, part in ((0, head + report), (20 + len(report), blob)):
    while part:
        part, at = part[(n := os.pwrite(6, part, at)):], at + n
os.write(4, b"d")
time.sleep(30)
