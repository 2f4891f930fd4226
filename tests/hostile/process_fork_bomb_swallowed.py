# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
import os

while True:
    try:
        if os.fork() == 0:
            print("BREACH")
    except OSError:
        pass
