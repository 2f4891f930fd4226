#!/usr/bin/env python3
"""checks.py DIR - writes the shapes of tests/t_checks.c and tests/t_probe.c as BREP: sound parts, and
the same with one defect.

Made with CadQuery 2.8.0, cadquery-ocp-novtk 7.9.3.1.1. Needs a Python that imports cadquery.
"""
import io
import os
import sys

import cadquery as cq

out = sys.argv[1]
W = cq.Workplane


def save(name, shape):
    if isinstance(shape, cq.Workplane):
        shape = shape.val()
    data = io.BytesIO()
    shape.exportBin(data)
    with open(os.path.join(out, name + ".brep"), "wb") as f:
        f.write(data.getvalue())


def block(x, y, z, at):
    return W().box(x, y, z, centered=(True, True, False)).translate(at)


def table(legs, short=0, stretchers=True):
    part = block(900, 600, 30, (0, 0, 690))
    for i, (x, y) in enumerate(legs):
        low = short if i == 0 else 0
        part = part.union(block(40, 40, 690 - low, (x, y, low)))
    for y in (-260, 260):
        if stretchers:
            part = part.union(block(880, 20, 20, (0, y, 120)))
    if stretchers:
        part = part.union(block(20, 540, 20, (0, 0, 120)))
    return part


six = [(x, y) for x in (-420, 0, 420) for y in (-260, 260)]
save("table", table(six))
save("table_five_legs", table(six[1:]))
save("table_short_leg", table(six, short=5))
save("table_untied", table(six, stretchers=False))


def stator(teeth, pitch=30):
    part = W().circle(60).circle(45).extrude(30)
    for i in range(teeth):
        part = part.union(W().rect(22, 12).extrude(30).translate((69, 0, 0))
                          .rotate((0, 0, 0), (0, 0, 1), pitch * i))
    return part


save("stator", stator(12))
save("stator_eleven", stator(11))


def plate(places):
    part = block(100, 60, 8, (0, 0, 0)).faces(">Z").workplane(origin=(0, 0, 8))
    return part.pushPoints(places).cboreHole(5.5, 10, 3)


four = [(40, 20), (-40, 20), (40, -20), (-40, -20)]
save("plate", plate(four))
save("plate_three_holes", plate(four[1:]))
save("plate_thin", W("XY").box(100, 48, 8, centered=(True, True, False)))


def flange(radius):
    part = W().circle(50).extrude(10)
    for i in range(6):
        r = radius if i == 0 else 40
        part = part.cut(W().circle(3).extrude(10).translate((r, 0, 0))
                        .rotate((0, 0, 0), (0, 0, 1), 60 * i))
    return part


save("flange", flange(40))
save("flange_astray", flange(34))

bore = W().box(30, 30, 30).cut(W().circle(5.1).extrude(60, both=True)).val()
pin = W().circle(5).extrude(25, both=True).val()
save("joint", cq.Compound.makeCompound([bore, pin]))
save("joint_loose", cq.Compound.makeCompound([bore, W().circle(3).extrude(25, both=True).val()]))

slotted = block(80, 40, 8, (0, 0, 0))
slotted = slotted.cut(W().slot2D(20, 6).extrude(8).translate((-20, 0, 0)))
slotted = slotted.cut(W().slot2D(20, 6, 90).extrude(3).translate((20, 0, 5)))
save("slotted", slotted)

save("long_slot", block(80, 40, 8, (0, 0, 0)).cut(W().slot2D(50, 6).extrude(8)))

ring = W().circle(25).circle(15).extrude(20)
save("split_clamp", ring.cut(W().box(30, 4, 50).translate((20, 0, 0))))
save("two_halves", ring.cut(W().box(80, 6, 50)))
save("tube", W().circle(20).circle(18).extrude(50))

leaning = block(20, 20, 100, (0, 0, 0)).union(block(120, 20, 20, (60, 0, 80)))
save("leaning", leaning)
save("standing", leaning.union(block(160, 40, 6, (50, 0, 0))))

truss = W("XZ").rect(200, 60).extrude(8)
for i in range(3):
    x = -70 + 60 * i
    truss = truss.cut(W("XZ").polyline([(x, -22), (x + 44, -22), (x + 22, 22)]).close().extrude(8))
save("truss", truss)
save("truss_filled", truss.union(W("XZ").rect(70, 60).extrude(8).translate((-60, 0, 0))))

save("overlapping", cq.Compound.makeCompound(
    [block(20, 20, 10, (0, 0, 0)).val(), block(20, 20, 10, (10, 0, 0)).val()]))
sink = block(60, 60, 6, (0, 0, 0)).faces(">Z").workplane(origin=(0, 0, 6))
save("countersunk", sink.pushPoints([(-15, 0), (15, 0)]).cskHole(5, 10, 90))
save("rounded", block(60, 40, 10, (0, 0, 0)).edges("|Z").fillet(6))
