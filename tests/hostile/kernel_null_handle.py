# expect: refused|attribute
# expect-nofilter: crash|kernel_error|other_exception|type|value|not_a_shape
from OCP.TopoDS import TopoDS_Face
from OCP.BRep import BRep_Tool

s = BRep_Tool.Surface_s(TopoDS_Face())
s.Value(0, 0)
