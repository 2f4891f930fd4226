# expect: refused
# expect-nofilter: memory_limit|ok|refused|value|other_exception
# memory: 256
import mmap
import cadquery as cq

maps = []
for n in range(40):
    m = mmap.mmap(-1, 64 << 20)
    m.write(b"x" * (64 << 20))
    maps.append(m)
print("BREACH: 2.5 GiB of shared memory")
