# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
# The pipe over which its process says how far it is.
import os
import time

os.close(4)
time.sleep(3600)
