# expect: refused|ok
# expect-nofilter: refused|ok
import cadquery as cq

make = getattr(cq, "__" + "builtins__")["open"]
try:
    make("/etc/passwd")
    print("BREACH")
except OSError:
    pass
fixture = cq.Workplane().box(1, 1, 1)
