# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
import os

for fd in range(3, 32):
    try:
        os.pwrite(fd, b"line=-99999999999999999999 module=% done=1e999 all=nan space=inf room=\xff" * 500, 0)
    except OSError:
        pass
while True:
    pass
