"""The CAD kernel's own time for programs: one warm process runs and meshes each, unforked, unjailed, unscored.

usage: python bench_kernel.py GL_STUBS_DIR REPEATS FILE...        (or --list FILE-WITH-PATHS)
       python bench_kernel.py --cold GL_STUBS_DIR OUT.stl FILE    one program, the way the published evaluator does

Used by `cadforge bench` alone. The first form prints, for each file, a JSON line {file, seconds, repeats} with the
least time of its repeats; a program that fails gives seconds null. The second starts a Python that imports its tools
and starts another one that imports CadQuery, runs, meshes and writes STL, which the first then loads and measures. Programs run with all rights: only trusted ones belong here.
"""

import ctypes
import importlib.abc
import importlib.machinery
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# left out of the lean environment; where one is installed it is found first and the finder is never asked
LEFT_OUT = ("vtkmodules", "OCP.IVtkOCC", "OCP.IVtkVTK", "ezdxf", "casadi")


class AnyName(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent


class Absent(metaclass=AnyName):
    """Stands for whatever a left-out package would give; good for import statements and for nothing else."""

    def __init__(self, *args, **kwargs):
        pass


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if any(name == left or name.startswith(left + ".") for left in LEFT_OUT):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__getattr__ = lambda name: Absent


def prepare(stubs):
    for name in ("libGL.so.1", "libX11.so.6"):
        path = os.path.join(stubs, name)
        if os.path.exists(path):
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
    sys.meta_path.append(Finder())


def run(source, path, cq):
    """As the published runner does it: the import lines dropped, the names looked up, the object meshed."""
    lines = [
        line
        for line in source.splitlines()
        if line.strip() not in ("import cadquery as cq", "from cadquery import exporters", "import math")
        and not line.startswith("```")
    ]
    shown = []
    import math

    names = {
        "cq": cq,
        "math": math,
        "Assembly": cq.Assembly,
        "Color": cq.Color,
        "exporters": cq.exporters,
        "show_object": lambda obj, *a, **k: shown.append(obj),
    }
    exec(compile("\n".join(lines), path, "exec"), names)
    obj = shown[-1] if shown else None
    if obj is None:
        for name in ("fixture", "result", "model", "solid", "body", "part"):
            if name in names:
                obj = names[name]
                break
    if hasattr(obj, "toCompound"):
        return obj.toCompound()
    if isinstance(obj, cq.Shape):
        return obj
    return cq.Compound.makeCompound(obj.vals() if hasattr(obj, "vals") else list(obj))


def mesh(shape):
    from OCP.BRepMesh import BRepMesh_IncrementalMesh

    BRepMesh_IncrementalMesh(shape.wrapped, 0.1, True, 0.1, True)


def runner(stubs, out, path):
    prepare(stubs)
    import cadquery as cq

    export = cq.exporters.export  # before the program can put another in its place
    shape = run(open(path, encoding="utf-8").read(), path, cq)
    export(cq.Workplane(obj=shape), out, tolerance=0.1, angularTolerance=0.1)
    return 0


def cold(stubs, out, path):
    """An evaluator in one process and its runner in another, as published. Without trimesh (the lean environment has
    none) the evaluator measures nothing, which spares the peer about a second."""
    command = [sys.executable, os.path.abspath(__file__), "--runner", stubs, out, path]
    try:
        import numpy
        import scipy.spatial
        import trimesh
        from PIL import Image
    except ImportError:
        return subprocess.run(command).returncode
    if subprocess.run(command).returncode != 0:
        return 1
    found = trimesh.load(out, force="mesh")
    found.apply_scale(1000 / max(found.extents[2], 1e-9))
    pieces = found.split(only_watertight=False)
    return 0 if found.is_watertight or len(pieces) >= 0 and found.is_winding_consistent in (True, False) else 1


def main(argv):
    if argv[:1] == ["--cold"]:
        return cold(*argv[1:4])
    if argv[:1] == ["--runner"]:
        return runner(*argv[1:4])
    stubs, repeats = argv[0], int(argv[1])
    files = open(argv[3], encoding="utf-8").read().splitlines() if argv[2] == "--list" else argv[2:]
    prepare(stubs)
    import cadquery as cq

    mesh(cq.Workplane("XY").box(1, 2, 3).edges("|Z").fillet(0.1).val())
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()  # the bench says when both of its processes are warm
    for path in files:
        best = None
        with open(path, encoding="utf-8") as f:
            source = f.read()
        for _ in range(repeats):
            started = time.perf_counter()
            try:
                mesh(run(source, path, cq))
            except Exception:
                best = None
                break
            taken = time.perf_counter() - started
            best = taken if best is None else min(best, taken)
        print(json.dumps({"file": path, "seconds": best, "repeats": repeats}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
