# expect: wall_limit
# wall: 0.4
import cadquery as cq


class Slow(Exception):
    def __str__(self):
        while True:
            pass


raise Slow()
