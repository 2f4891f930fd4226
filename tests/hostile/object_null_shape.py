# expect: not_a_shape|empty_shape|kernel_error
import cadquery as cq

part = cq.Solid.makeBox(1, 1, 1)
part.wrapped.Nullify()
fixture = part
