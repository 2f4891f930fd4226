# expect: refused
# expect-nofilter: crash
# contains-nofilter: SIGABRT
import os

os.abort()
