# expect: refused
# expect-nofilter: output_limit
# output: 64
import sys

while True:
    sys.stderr.write("warning " * 1000)
