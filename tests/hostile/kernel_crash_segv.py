# expect: refused
# expect-nofilter: crash
# contains-nofilter: line 7
import ctypes

x = 1
ctypes.string_at(0)
