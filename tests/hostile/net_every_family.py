# expect: refused
# expect-nofilter: ok
import socket
import cadquery as cq

for family in range(46):
    for kind in (1, 2, 3, 5):
        for make in (socket.socket, socket.socketpair):
            try:
                make(family, kind)
                print("BREACH", family, kind)
            except OSError:
                pass
fixture = cq.Workplane().box(1, 1, 1)
