# expect: refused
# expect-nofilter: crash
# contains-nofilter: spoiled
# wall: 3
import os

while True:
    os.write(4, b"b" * 65536)
