# expect: refused
# expect-nofilter: refused
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
