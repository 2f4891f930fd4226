# expect: refused
# expect-nofilter: crash
# contains-nofilter: more values than are taken
# Two bytes of text, 64 of memory in whoever reads it.
import os
import struct
import time

report, blob = b"{\"ok\":false,\"cause\":\"value\",\"x\":[" + b"0," * 1900000 + b"0]}", b""
head = b"CFm1" + struct.pack("<IIII", 0, 0, len(report), len(blob))
for at, part in ((0, head + report), (20 + len(report), blob)):
    while part:
        part, at = part[(n := os.pwrite(6, part, at)):], at + n
os.write(4, b"d")
time.sleep(30)
