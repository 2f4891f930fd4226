# expect: crash|kernel_error|attribute|type|value|other_exception|not_a_shape|empty_shape
import cadquery as cq

part = cq.Solid.makeBox(1, 1, 1)
face = part.Faces()[0]
face.wrapped.Nullify()
face.Area()
fixture = face
