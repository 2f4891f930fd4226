# expect: refused
# expect-nofilter: refused
import os
import signal

signal.signal(signal.SIGSYS, signal.SIG_IGN)
os.fork()
print("BREACH")
