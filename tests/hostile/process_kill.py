# expect: refused
# expect-nofilter: ok
import os
import signal
import cadquery as cq

for pid in (-1, 0, 1, os.getppid(), int("@PARENT@"), int("@ASKER@"), -os.getppid()):
    for sig in (0, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, sig)
            print("BREACH", pid, sig)
        except OSError:
            pass
for deed in (lambda: os.killpg(0, 9), lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)):
    try:
        deed()
        print("BREACH")
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
