# expect: wall_limit
# expect-watched: ok
# wall: 0.4
import cadquery as cq


class Endless:
    def __iter__(self):
        while True:
            yield cq.Solid.makeBox(1, 1, 1)


fixture = Endless()
