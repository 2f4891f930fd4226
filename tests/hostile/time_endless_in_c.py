# expect: wall_limit
# wall: 0.4
# One bytecode that never comes back: no Python signal handler would run.
# contains: line 9
import collections
import itertools
import cadquery as cq

collections.deque(itertools.repeat(1), maxlen=0)
fixture = cq.Workplane().box(1, 1, 1)
