# expect: empty_shape
import cadquery as cq

fixture = cq.Vertex.makeVertex(0, 0, 0)
