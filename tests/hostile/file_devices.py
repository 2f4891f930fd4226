# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

for path in ("/dev/mem", "/dev/kmsg", "/dev/tty", "/dev/ptmx", "/dev/fuse", "/dev/kvm", "/dev/sda", "/dev/zero"):
    try:
        os.open(path, os.O_RDONLY)
        print("BREACH", path)
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
