# expect: refused
# expect-nofilter: crash|ok|no_final_object|other_exception
# A reply of its own: it may spoil the report on itself, and nothing else.
import os

report = b'{"ok":true,"cause":"ok","score":1.0}'
blob = b"no brep"
frame = b"CFm1" + (18).to_bytes(4, "little") + bytes(4) + len(report).to_bytes(4, "little") + len(blob).to_bytes(4, "little")
for fd in range(3, 32):
    try:
        os.pwrite(fd, frame + report + blob, 0)
    except OSError:
        pass
for fd in range(3, 32):
    try:
        os.write(fd, b"d")
    except OSError:
        pass
