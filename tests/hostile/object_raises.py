# expect: not_a_shape
import cadquery as cq


class Raises:
    def __getattribute__(self, name):
        raise SystemError("boo")


fixture = [Raises()]
