# expect: refused
# expect-nofilter: crash
import os

os._exit(0)
