# expect: refused
# expect-nofilter: wall_limit
# wall: 0.5
import sys


def trace(*a):
    while True:
        pass


sys.settrace(trace)
(lambda: None)()
