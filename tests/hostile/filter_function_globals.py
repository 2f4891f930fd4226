# expect: ok|refused|attribute|other_exception
# The filter sees names, not strings: past it stand the kernel's walls.
import cadquery as cq

reach = getattr(cq.Workplane.box, "__glo" + "bals__")["__builtins__"]
os = reach["__import__"]("os")
try:
    os.fork()
    print("BREACH")
except OSError:
    pass
fixture = cq.Workplane().box(1, 1, 1)
