# expect: refused
# expect-nofilter: ok
import resource
import cadquery as cq

for name in dir(resource):
    if name.startswith("RLIMIT_"):
        what = getattr(resource, name)
        soft, hard = resource.getrlimit(what)
        for wanted in ((hard, hard), (-1, -1), (soft, soft)):
            try:
                resource.setrlimit(what, wanted)
                print("BREACH", name)
            except (OSError, ValueError):
                pass
fixture = cq.Workplane().box(1, 1, 1)
