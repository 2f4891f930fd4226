import cadquery as cq

# Bench vise, 280 x 140 x 150 mm, that slides along X. Six parts: base with the fixed jaw and two
# round guide rails, moving jaw that runs on the rails, spindle whose thread sits in the fixed jaw and
# whose collar pushes the moving jaw, handle bar through the spindle's head, two serrated jaw plates.
vise_length = 280.0
vise_width = 140.0
vise_height = 150.0
base_thickness = 18.0

base_length = 206.0
base_corner_radius = 18.0
mounting_hole_diameter = 11.0
mounting_hole_edge = 14.0

jaw_width = 110.0
jaw_edge_radius = 6.0
fixed_jaw_depth = 46.0
fixed_jaw_set_back = 34.0
moving_jaw_depth = 40.0
moving_jaw_floor_gap = 1.0
jaw_opening = 30.0
rib_thickness = 14.0
rib_top = 118.0
anvil_depth = 34.0
anvil_thickness = 26.0

plate_thickness = 7.0
plate_height = 32.0
plate_margin = 2.0
serration_pitch = 8.0
serration_width = 1.6
serration_count = 9

rail_diameter = 20.0
rail_spacing = 68.0
rail_z = 48.0
rail_end_length = 20.0
rail_end_width = 96.0
rail_end_margin = 5.0
rail_clearance = 0.2

spindle_z = 84.0
spindle_diameter = 22.0
spindle_tail = 4.0
collar_diameter = 36.0
collar_thickness = 9.0
head_diameter = 34.0
head_length = 26.0
edge_chamfer = 1.5

handle_diameter = 11.0
knob_diameter = 20.0
knob_length = 14.0
knob_edge_radius = 4.0

half = 0.5
left_end = -half * vise_length
right_end = half * vise_length
base_left = right_end - base_length
fixed_rear = right_end - fixed_jaw_set_back
fixed_front = fixed_rear - fixed_jaw_depth
moving_front = fixed_front - plate_thickness - jaw_opening - plate_thickness
moving_rear = moving_front - moving_jaw_depth
head_middle = left_end + half * head_length


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def block(x_from, x_to, width, z_from, z_to):
    solid = cq.Workplane("XY").box(x_to - x_from, width, z_to - z_from, centered=(False, True, False))
    return solid.translate((x_from, 0, z_from))


def rod_along_x(diameter, x_from, x_to, y, z):
    return cq.Workplane("YZ", origin=(x_from, y, z)).circle(half * diameter).extrude(x_to - x_from)


def rod_along_y(diameter, y_from, y_to):
    plane = cq.Plane(origin=(head_middle, y_from, spindle_z), xDir=(1, 0, 0), normal=(0, 1, 0))
    return cq.Workplane(plane).circle(half * diameter).extrude(y_to - y_from)


def rails(diameter, x_from, x_to):
    offset = half * rail_spacing
    return joined([rod_along_x(diameter, x_from, x_to, side * offset, rail_z) for side in (-1, 1)])


def make_base_plate():
    plate = block(base_left, right_end, vise_width, 0, base_thickness).edges("|Z").fillet(base_corner_radius)
    hole_x = half * base_length - mounting_hole_edge
    hole_y = half * vise_width - mounting_hole_edge
    holes = cq.Workplane("XY", origin=(half * (base_left + right_end), 0, 0))
    holes = holes.rarray(hole_x + hole_x, hole_y + hole_y, 2, 2).circle(half * mounting_hole_diameter)
    return plate.cut(holes.extrude(base_thickness))


def make_fixed_jaw():
    """The upright with its anvil behind and a rib down to the base."""
    jaw = block(fixed_front, fixed_rear, jaw_width, half * base_thickness, vise_height)
    jaw = jaw.edges("|Z or (|X and >Z)").fillet(jaw_edge_radius)
    anvil = block(fixed_rear - jaw_edge_radius, fixed_rear + anvil_depth - jaw_edge_radius, half * jaw_width, vise_height - anvil_thickness, vise_height - jaw_edge_radius)
    outline = [(fixed_rear - jaw_edge_radius, 0), (right_end - base_thickness, 0), (right_end - base_thickness, base_thickness), (fixed_rear, rib_top), (fixed_rear - jaw_edge_radius, rib_top)]
    rib = cq.Workplane("XZ").polyline(outline).close().extrude(half * rib_thickness, both=True)
    return joined([jaw, anvil.edges(">X and |Z").fillet(jaw_edge_radius), rib])


def make_rail_end():
    """The block at the front of the base that holds the rails' free ends."""
    end = block(base_left, base_left + rail_end_length, rail_end_width, half * base_thickness, rail_z + half * rail_diameter + rail_end_margin)
    return end.edges("|X and >Z").fillet(jaw_edge_radius)


def make_base():
    rail_pair = rails(rail_diameter, base_left, fixed_front + half * fixed_jaw_depth)
    body = joined([make_base_plate(), make_fixed_jaw(), make_rail_end(), rail_pair])
    thread = rod_along_x(spindle_diameter, base_left, fixed_rear - spindle_tail, 0, spindle_z)
    return body.cut(thread)


def make_moving_jaw():
    jaw = block(moving_rear, moving_front, jaw_width, base_thickness + moving_jaw_floor_gap, vise_height)
    jaw = jaw.edges("|Z or (|X and >Z)").fillet(jaw_edge_radius)
    bores = rails(rail_diameter + rail_clearance, moving_rear, moving_front)
    return jaw.cut(bores).cut(rod_along_x(spindle_diameter + rail_clearance, moving_rear, moving_front, 0, spindle_z))


def make_jaw_plate(x_from, x_to, face):
    """A hardened plate; crossed grooves on the gripping face hold the work."""
    width = jaw_width - jaw_edge_radius - jaw_edge_radius
    top = vise_height - plate_margin
    plate = block(x_from, x_to, width, top - plate_height, top)
    grip = cq.Workplane("YZ", origin=(face, 0, top - half * plate_height))
    grooves = grip.rarray(serration_pitch, 1, serration_count, 1).rect(serration_width, plate_height)
    return plate.cut(grooves.extrude(half * serration_width, both=True))


def make_spindle():
    thread = rod_along_x(spindle_diameter, left_end + head_length, fixed_rear - spindle_tail, 0, spindle_z)
    collar = rod_along_x(collar_diameter, moving_rear - collar_thickness, moving_rear, 0, spindle_z)
    head = rod_along_x(head_diameter, left_end, left_end + head_length, 0, spindle_z)
    head = head.faces("<X or >X").edges().chamfer(edge_chamfer)
    bore = rod_along_y(handle_diameter, -half * vise_width, half * vise_width)
    return joined([thread, collar.faces("<X").edges().chamfer(edge_chamfer), head]).cut(bore)


def make_handle():
    end = half * vise_width
    bar = rod_along_y(handle_diameter, -end, end)
    knobs = [rod_along_y(knob_diameter, -end, knob_length - end), rod_along_y(knob_diameter, end - knob_length, end)]
    return joined([bar, *[knob.faces("<Y or >Y").edges().fillet(knob_edge_radius) for knob in knobs]])


fixed_plate = make_jaw_plate(fixed_front - plate_thickness, fixed_front, fixed_front - plate_thickness)
moving_plate = make_jaw_plate(moving_front, moving_front + plate_thickness, moving_front + plate_thickness)
vise = [make_base(), make_moving_jaw(), make_spindle(), make_handle(), fixed_plate, moving_plate]
fixture = cq.Workplane("XY").newObject([part.val() for part in vise])
