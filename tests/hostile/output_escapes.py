# expect: ok
# Escape sequences, bidi marks and NULs: they come through as bytes and are cleaned by who shows them.
import cadquery as cq

print("\x1b]0;owned\x07\x1b[2J\x1b[31mred", "\u202egnp.exe", "a\x00b", "\udcff\ud800", "\x9b31m")
fixture = cq.Workplane().box(1, 1, 1)
