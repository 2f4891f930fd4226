import math

import cadquery as cq

# Saddle clamp for a DN 50 pipe (60.3 mm), 160 x 80 x 80 mm: half-round saddle over the pipe, a
# flange at each side with two M10 bolts, three rounded hoop ribs of which the middle one runs out
# into the flanges. The pipe bears on two lands; a gap of pipe_nip is closed by the bolts.
clamp_length = 160.0
clamp_width = 80.0
clamp_height = 80.0
pipe_diameter = 60.3

pipe_nip = 1.0
arch_thickness = 10.0
flange_thickness = 14.0
flange_corner_radius = 12.0

land_width = 16.0
land_relief = 1.0
lead_in_chamfer = 1.5

rib_width = 14.0
rim_width = 8.0
rib_edge_radius = 2.5
rib_run_out = 6.0

bolt_hole_diameter = 11.0
bolt_span = 128.0
bolt_pitch = 48.0

half = 0.5
pipe_radius = half * pipe_diameter
arch_radius = pipe_radius + arch_thickness
rib_radius = clamp_height + pipe_nip - pipe_radius
axis_z = pipe_radius - pipe_nip
flange_reach = half * clamp_length


def along_y(sketch, width, y=0.0):
    """Extrudes a sketch in XZ to both sides of the plane at y."""
    return sketch.extrude(half * width, both=True).translate((0, y, 0))


def joined(parts):
    first, *others = [part.val() for part in parts]
    return cq.Workplane("XY").newObject([first.fuse(*others)]).clean()


def round_topped(radius):
    """Outline of an arch: straight sides from the floor to the pipe's axis, a half circle above."""
    return (
        cq.Workplane("XZ")
        .moveTo(-radius, 0)
        .lineTo(-radius, axis_z)
        .threePointArc((0, axis_z + radius), (radius, axis_z))
        .lineTo(radius, 0)
        .close()
    )


def run_out_corner():
    """Where the line from the flange's end touches the middle rib's circle."""
    x = flange_reach - rib_run_out
    z = flange_thickness - axis_z
    turn = math.atan2(z, x) + math.acos(rib_radius / math.hypot(x, z))
    return rib_radius * math.cos(turn), axis_z + rib_radius * math.sin(turn)


def make_flanges():
    plate = cq.Workplane("XY").box(clamp_length, clamp_width, flange_thickness, centered=(True, True, False))
    return plate.edges("|Z").fillet(flange_corner_radius)


def make_middle_rib():
    touch_x, touch_z = run_out_corner()
    end_x = flange_reach - rib_run_out
    rib = (
        cq.Workplane("XZ")
        .moveTo(-end_x, 0)
        .lineTo(-end_x, flange_thickness)
        .lineTo(-touch_x, touch_z)
        .threePointArc((0, clamp_height), (touch_x, touch_z))
        .lineTo(end_x, flange_thickness)
        .lineTo(end_x, 0)
        .close()
    )
    rib = along_y(rib, rib_width)
    return rib.edges("(|Y and >Z) or %CIRCLE").fillet(rib_edge_radius)


def make_rim(side):
    y = side * half * (clamp_width - rim_width)
    rim = along_y(round_topped(rib_radius), rim_width, y)
    return rim.edges("%CIRCLE").fillet(rib_edge_radius)


def cut_pipe_seat(body):
    seat = along_y(round_topped(pipe_radius), clamp_width)
    relief = along_y(round_topped(pipe_radius + land_relief), clamp_width - land_width - land_width)
    mouth = seat.faces("<Y or >Y").edges()
    body = body.cut(seat).cut(relief)
    ends = body.faces("<Y or >Y").edges(cq.selectors.RadiusNthSelector(0))
    return ends.chamfer(lead_in_chamfer)


def drill_bolt_holes(body):
    top = cq.Workplane("XY", origin=(0, 0, flange_thickness)).add(body)
    return top.rarray(bolt_span, bolt_pitch, 2, 2).hole(bolt_hole_diameter)


arch = along_y(round_topped(arch_radius), clamp_width)
saddle = joined([arch, make_flanges(), make_middle_rib(), make_rim(-1), make_rim(1)])
fixture = drill_bolt_holes(cut_pipe_seat(saddle))
