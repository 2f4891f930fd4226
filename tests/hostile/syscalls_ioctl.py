# expect: refused
# expect-nofilter: ok
import fcntl
import cadquery as cq

for fd in range(8):
    for request in (0x5412, 0x5413, 0x5414, 0x541B, 0x8901, 0xC0045878, 0x5421):
        try:
            fcntl.ioctl(fd, request, b"\0" * 64)
            print("BREACH", fd, request)
        except OSError:
            pass
    for command in (fcntl.F_SETOWN, fcntl.F_SETFL, fcntl.F_SETLK, fcntl.F_NOTIFY, 1031):
        try:
            fcntl.fcntl(fd, command, b"\0" * 64)
            print("BREACH fcntl", fd, command)
        except OSError:
            pass
fixture = cq.Workplane().box(1, 1, 1)
