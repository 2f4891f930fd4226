# expect: refused
# expect-nofilter: wall_limit
# wall: 0.4
# It takes the signal that asks it where it is and answers with a loop.
import signal


def stay(*a):
    while True:
        pass


signal.signal(signal.SIGUSR2, stay)
while True:
    pass
