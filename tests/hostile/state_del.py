# expect: ok
import cadquery as cq


class Late:
    def __del__(self):
        print("gone")
        raise RuntimeError("in __del__")


keep = Late()
keep.me = keep
fixture = cq.Workplane().box(1, 1, 1)
