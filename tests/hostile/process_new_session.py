# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

for deed in (os.setsid, lambda: os.setpgid(0, 0), lambda: os.nice(-5), lambda: os.setuid(0), lambda: os.setgid(0),
             lambda: os.setgroups([0]), lambda: os.setpriority(0, 0, -5), lambda: os.sched_setaffinity(0, {0}),
             lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))):
    try:
        deed()
        print("BREACH")
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
