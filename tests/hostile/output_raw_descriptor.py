# expect: refused
# expect-nofilter: output_limit
# output: 64
import os

while True:
    os.write(1, b"y" * 65536)
