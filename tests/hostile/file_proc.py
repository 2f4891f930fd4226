# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

for pid in ("self", "@PARENT@", "@ASKER@", "1", str(os.getppid())):
    for name in ("mem", "environ", "maps", "cmdline", "root", "cwd", "fd/0", "fd/3", "status"):
        try:
            open("/proc/%s/%s" % (pid, name), "rb").read(100)
            print("BREACH", pid, name)
        except OSError:
            pass
        try:
            open("/proc/%s/%s" % (pid, name), "wb").write(b"x")
            print("BREACH", pid, name)
        except OSError:
            pass
fixture = cq.Workplane().box(1, 1, 1)
