# expect: not_a_shape|type|attribute
import cadquery as cq

part = cq.Solid.makeBox(1, 1, 1)
part.wrapped = "TopoDS_Solid"
fixture = part
