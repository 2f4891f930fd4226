# expect: value
import cadquery as cq

raise ValueError("very long " * 1000000)
