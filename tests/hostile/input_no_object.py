# expect: no_final_object
# contains: assign
import cadquery as cq

part_of_it = cq.Workplane().box(1, 1, 1)
