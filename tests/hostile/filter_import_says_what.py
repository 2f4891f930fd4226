# expect: refused
# contains: numpy
# expect-nofilter: other_exception|no_final_object
import tkinter
