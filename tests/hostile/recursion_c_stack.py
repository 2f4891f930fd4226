# expect: refused
# expect-nofilter: crash|other_exception|memory_limit
import sys

sys.setrecursionlimit(10 ** 8)


class A:
    def __getattr__(self, name):
        return getattr(self, name + "x")


def dig(f):
    return [f] + sorted([1], key=lambda _: dig(f))


dig(1)
