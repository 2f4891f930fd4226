# expect: refused
# expect-nofilter: crash|shape_limit
import os
import struct
import time

os.pwrite(6, b"CFm1" + struct.pack("<IIII", 0, 0, 2, (1 << 30) - 1) + b"{}", 0)
os.write(4, b"d")
time.sleep(30)
