# expect: ok
# expect-nofilter: ok|other_exception
import cadquery as cq

try:
    import builtins

    builtins.len = lambda x: 0
    builtins.print = None
except ImportError:
    pass
fixture = cq.Workplane().box(1, 1, 1)
