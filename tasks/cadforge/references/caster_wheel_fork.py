import cadquery as cq

# Swivel caster, 90 x 80 x 130 mm, four solids that turn on one another: mounting_plate with
# four_holes and the outer race; u_fork with its swivel_stem; wheel; axle bolt with head and nut.
plate_length = 90.0
plate_width = 80.0
caster_height = 130.0
plate_thickness = 5.0
plate_corner_radius = 9.0
hole_diameter = 8.5
hole_spacing_x = 70.0
hole_spacing_y = 60.0
wheel_diameter = 78.0
wheel_width = 28.0
tread_radius = 6.0
rim_diameter = 56.0
rim_recess = 6.0
hub_diameter = 26.0
trail = 5.0
fork_gap = 32.0
fork_thickness = 5.0
fork_eye_diameter = 26.0
fork_shoulder = 46.0
crown_z = 98.0
crown_thickness = 6.0
crown_edge_radius = 4.0
race_diameter = 52.0
race_height = 18.0
race_edge_chamfer = 3.0
stem_diameter = 16.0
stem_head_diameter = 26.0
axle_diameter = 10.0
axle_head_diameter = 18.0
axle_head_thickness = 6.4
axle_nut_thickness = 8.0

axle_z = wheel_diameter / 2
race_top_z = caster_height - plate_thickness
race_z = race_top_z - race_height
fork_width = fork_gap + fork_thickness + fork_thickness
eye_radius = fork_eye_diameter / 2


def disc(diameter, low_z, high_z):
    return cq.Workplane("XY", origin=(0, 0, low_z)).circle(diameter / 2).extrude(high_z - low_z)


def across(diameter, length):
    start = cq.Workplane("XZ", origin=(-trail, 0, axle_z))
    return start.circle(diameter / 2).extrude(length / 2, both=True)


def make_mounting_plate():
    start = cq.Workplane("XY", origin=(0, 0, race_top_z))
    plate = start.rect(plate_length, plate_width).extrude(plate_thickness)
    plate = plate.edges("|Z").fillet(plate_corner_radius)
    plate = plate.faces(">Z").workplane().rarray(hole_spacing_x, hole_spacing_y, 2, 2).hole(hole_diameter)
    race = disc(race_diameter, race_z, race_top_z).faces("<Z").edges().chamfer(race_edge_chamfer)
    return plate.union(race).cut(make_stem())


def make_stem():
    head = disc(stem_head_diameter, race_top_z, caster_height)
    return disc(stem_diameter, crown_z, caster_height).union(head)


def make_fork_sides():
    shoulder = fork_shoulder / 2
    top_z = crown_z + crown_thickness
    outline = [(-shoulder, top_z), (shoulder, top_z), (shoulder, crown_z - eye_radius)]
    outline += [(eye_radius - trail, axle_z), (-eye_radius - trail, axle_z), (-shoulder, crown_z - eye_radius)]
    leg = cq.Workplane("XZ").polyline(outline).close().extrude(fork_width / 2, both=True)
    return leg.union(across(fork_eye_diameter, fork_width))


def make_u_fork():
    room = cq.Workplane("XY").box(plate_length, fork_gap, crown_z, centered=(True, True, False))
    fork = make_fork_sides().edges(">Z and |X").fillet(crown_edge_radius).cut(room)
    spacer = disc(stem_head_diameter, crown_z, race_z)
    return fork.union(spacer).union(make_stem()).cut(across(axle_diameter, plate_width))


def make_wheel():
    tyre = across(wheel_diameter, wheel_width).edges().fillet(tread_radius)
    web = wheel_width - rim_recess - rim_recess
    hollow = across(rim_diameter, wheel_width).cut(across(rim_diameter, web))
    wheel = tyre.cut(hollow).union(across(hub_diameter, fork_gap))
    return wheel.cut(across(axle_diameter, plate_width))


def make_axle():
    side = fork_width / 2
    shaft = across(axle_diameter, fork_width)
    head = cq.Workplane("XZ", origin=(-trail, -side, axle_z)).polygon(6, axle_head_diameter).extrude(axle_head_thickness)
    nut = cq.Workplane("XZ", origin=(-trail, side, axle_z)).polygon(6, axle_head_diameter).extrude(-axle_nut_thickness)
    return shaft.union(head).union(nut)


caster = [make_mounting_plate(), make_u_fork(), make_wheel(), make_axle()]
fixture = cq.Workplane("XY").newObject([part.val() for part in caster])
