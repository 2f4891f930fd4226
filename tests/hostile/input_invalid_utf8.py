# expect: bad_input
# contains: offset
import cadquery as cq
name = "ÿşÀ€"
