# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

places = ["@CANARY@", "/tmp/breach", "/var/tmp/breach", "/dev/shm/breach", "/breach", "breach", "/etc/breach"]
for place in places + [os.path.dirname(cq.__file__) + "/breach.py"]:
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT):
        try:
            os.open(place, flags)
            print("BREACH", place, flags)
        except OSError:
            pass
try:
    os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    print("BREACH tmpfile")
except OSError:
    pass
fixture = cq.Workplane().box(1, 1, 1)
