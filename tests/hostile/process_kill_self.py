# expect: refused
# expect-nofilter: refused
import os

os.kill(os.getpid(), 9)
