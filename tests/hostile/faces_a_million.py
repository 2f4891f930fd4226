# expect: wall_limit|memory_limit|shape_limit|cpu_limit
# wall: 2
# memory: 1024
import cadquery as cq

cell = cq.Workplane().box(1, 1, 1).val()
cells = [cell.moved(cq.Location(cq.Vector(3 * x, 3 * y, 3 * z))) for x in range(56) for y in range(56) for z in range(56)]
fixture = cells[0].fuse(*cells[1:])
