#!/usr/bin/env python3
"""brep.py DIR - writes the shapes of tests/t_shape.c, t_scorer.c, t_exact.c and the fuzz corpus as BREP.

Made with CadQuery 2.8.0, cadquery-ocp-novtk 7.9.3.1.1. Needs a Python that imports cadquery.
"""
import io
import os
import sys

import cadquery as cq

out = sys.argv[1]


def sv(name, s):
    if isinstance(s, cq.Workplane):
        s = s.val()
    b = io.BytesIO()
    s.exportBin(b)
    with open(os.path.join(out, name + ".brep"), "wb") as f:
        f.write(b.getvalue())


W=cq.Workplane
box=W().box(10,20,30,centered=False)
sv('box',box)
sv('plate_holes', W().box(80,60,10,centered=(True,True,False)).faces('>Z').workplane().pushPoints([(-20,10)]).hole(6).faces('>Z').workplane(origin=(0,0,10)).pushPoints([(0,10)]).hole(5,4).faces('>Z').workplane(origin=(0,0,10)).pushPoints([(20,10)]).cboreHole(4,9,3).faces('>Z').workplane(origin=(0,0,10)).pushPoints([(20,-15)]).cskHole(4,8,90))
sv('two_boxes', cq.Compound.makeCompound([box.val(), box.val().moved(cq.Location(cq.Vector(13,24,30)))]))
sv('torus', cq.Solid.makeTorus(20,5))
sv('hollow_sphere', W().sphere(10).cut(W().sphere(6)))
sv('filleted', W().box(20,20,20).edges('|Z').fillet(3).faces('>Z').edges().fillet(1))
sv('open_shell', cq.Shell.makeShell(box.faces('not >Z').vals()))
sv('face', cq.Face.makePlane(10,20))
sv('wire', cq.Wire.makeCircle(5,cq.Vector(),cq.Vector(0,0,1)))
sv('empty', cq.Compound.makeCompound([]))
# clevis: two knuckles, one axis; fillet floor blind hole; slot; half pipe; split bore
cl=W().box(40,20,30).cut(W().box(16,20,20).translate((0,0,5))).cut(W('YZ').workplane(offset=-30).center(0,8).circle(4).extrude(60))
sv('clevis',cl)
bl=W().box(30,30,20).faces('>Z').workplane().hole(10,12)
bl=bl.faces(cq.selectors.BoxSelector((-6,-6,-3),(6,6,-1))).edges().fillet(2) 
sv('blind_rounded_floor',bl)
dr=W().box(20,20,30).cut(W('XY').workplane(offset=5).circle(3).extrude(10)).cut(cq.Workplane(obj=cq.Solid.makeCone(0,3,2,cq.Vector(0,0,3),cq.Vector(0,0,1))))
sv('drilled_tip', W().box(20,20,30).cut(W('XY').workplane(offset=5).circle(3).extrude(10)).cut(cq.Workplane(obj=cq.Solid.makeCone(0,3,2,cq.Vector(0,0,3),cq.Vector(0,0,1)))))
sv('slot', W().box(40,20,5).faces('>Z').workplane().slot2D(20,6).cutThruAll())
sv('half_pipe', W().box(40,20,10).cut(W('YZ').workplane(offset=-20).center(0,5).circle(4).extrude(40)))
# bore split in halves: two half plates fused w/o clean
h=W().box(20,10,10).translate((0,5,0)).cut(W().circle(3).extrude(30,both=True)); k=W().box(20,10,10).translate((0,-5,0)).cut(W().circle(3).extrude(30,both=True))
sv('bore_in_halves', h.union(k,clean=False))
sv('filleted_bore', W().box(20,20,10).faces('>Z').workplane().hole(6).faces('>Z').edges('%CIRCLE').fillet(1).faces('<Z').edges('%CIRCLE').chamfer(0.5))
sv('cross_drilled', W().cylinder(40,10).cut(W().circle(6).extrude(100,both=True)).cut(W('XZ').circle(2).extrude(100,both=True)))
sv('tilted', W().box(10,20,30).faces('>Z').workplane().hole(4).rotate((0,0,0),(1,2,3),33).translate((1000,-2000,500)))
sv('torus_tilted', cq.Workplane(obj=cq.Solid.makeTorus(20,5)).rotate((0,0,0),(1,1,0.3),40))
sv('spline', W().moveTo(0,0).spline([(10,5),(20,0),(20,10),(10,14),(0,10)],includeCurrent=True).close().extrude(5))
sv('touching', cq.Compound.makeCompound([box.val(), box.val().moved(cq.Location(cq.Vector(10,0,0)))]))
sv('nested_apart', cq.Compound.makeCompound([W().box(40,40,40).cut(W().box(30,30,30)).val(), W().sphere(5).val()]))
box.val().exportBrep(os.path.join(out, 'box_text.brep'))
rod=W().cylinder(20,5).val()
sv('same_part_thrice', cq.Compound.makeCompound([rod, rod.moved(cq.Location(cq.Vector(100,0,0),cq.Vector(1,0,0),90)), rod.moved(cq.Location(cq.Vector(0,60,7)))]))
sv('assembly', cq.Assembly().add(box).add(box,loc=cq.Location(cq.Vector(20,0,0),cq.Vector(0,0,1),90)).toCompound())
sv('mirrored', W().box(20,20,10).translate((30,0,0)).faces('>Z').workplane(origin=(35,0,0)).hole(4,6).mirror('YZ'))
# contact and topology of the exact profiles: tests/t_exact.c
C=cq.Compound.makeCompound
at=lambda x,y,z: cq.Location(cq.Vector(x,y,z))
sv('overlapping', C([box.val(), box.val().moved(at(5,0,0))]))
block=W().box(30,30,20).cut(W().circle(5.2).extrude(40,both=True)).val()
sv('pin_in_bore', C([block, W().circle(5).extrude(20,both=True).val()]))
sv('pin_flush', C([block, W().circle(5.2).extrude(20,both=True).val()]))
bar=W().box(60,6,6).val()
sv('crossed_bars', C([bar, bar.moved(cq.Location(cq.Vector(0,0,6),cq.Vector(0,0,1),90))]))
from OCP.BRep import BRep_Builder
from OCP.TopoDS import TopoDS_Shell, TopoDS_Solid
two=W(obj=box.val().fuse(box.val().moved(at(10,20,0))))
builder, shell, solid = BRep_Builder(), TopoDS_Shell(), TopoDS_Solid()
builder.MakeShell(shell)
for f in two.faces().vals(): builder.Add(shell, f.wrapped)
shell.Closed(True)
builder.MakeSolid(solid); builder.Add(solid, shell)
sv('boxes_on_an_edge', cq.Solid(solid))
ell=W().box(30,6,4,centered=False).union(W().box(6,6,40,centered=False)).union(W().box(10,22,4,centered=False))
sv('corner_piece', ell)
sv('corner_turned', ell.rotate((0,0,0),(1,0,0),90).translate((100,-7,3)))
sv('corner_long', W().box(60,6,4,centered=False).union(W().box(6,6,40,centered=False)).union(W().box(10,22,4,centered=False)))
