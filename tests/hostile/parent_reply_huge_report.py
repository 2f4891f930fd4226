# expect: refused
# expect-nofilter: crash
# contains-nofilter: bytes of JSON, at most
# memory: 1024
import os
import struct
import time

report, blob = b"{\"ok\":false,\"cause\":\"value\",\"error\":\"" + b"x" * (60 << 20) + b"\"}", b""
head = b"CFm1" + struct.pack("<IIII", 0, 0, len(report), len(blob))
for at, part in ((0, head + report), (20 + len(report), blob)):
    while part:
        part, at = part[(n := os.pwrite(6, part, at)):], at + n
os.write(4, b"d")
time.sleep(30)
