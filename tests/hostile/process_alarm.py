# expect: refused
# expect-nofilter: ok
import signal
import cadquery as cq

try:
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    print("BREACH")
except OSError:
    pass
fixture = cq.Workplane().box(1, 1, 1)
