"""What the builder does in Python: make CadQuery ready once, then, in a jailed child, run one program.

Embedded in cadforge-builder as text; engine/python.c calls start() in the warm process, settle() in
each spare child, rehearse() while it waits, and job() in the child that got work. The module `_cadforge` is python.c's: refusals(),
statements(ends) and memory() -> (bytes of address space in use, limit).

Nothing here is a wall. The walls are the kernel's (engine/sandbox.c); the filter below only turns what
would fail anyway into a sentence that names the line and the remedy.
"""
import sys
from importlib.machinery import ModuleSpec

PROGRAM = "program.py"

# ---- what the lean install leaves out -------------------------------------------------------------

LEFT_OUT = {
    "vtkmodules": "VTK (pictures and VTK files)",
    "OCP.IVtkOCC": "VTK (pictures and VTK files)",
    "OCP.IVtkVTK": "VTK (pictures and VTK files)",
    "ezdxf": "ezdxf (DXF files)",
    "casadi": "casadi (Assembly.solve)",
    "scipy": "scipy (NURBS fitting)",
}


class _Absent(type):
    """A name of a package that is not installed: it may be passed around, not used."""

    def __call__(cls, *args, **kwargs):
        raise ImportError(f"{cls.__module__}.{cls.__name__}: {LEFT_OUT[cls._package]} is left out here")

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _absent(cls._package, cls.__module__, f"{cls.__name__}.{name}")


def _absent(package, module, name):
    return _Absent(name, (), {"__module__": module, "_package": package})


class _LeftOut:
    """Finder and loader of modules whose every name is absent."""

    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        for package in self.packages:
            if name == package or name.startswith(package + "."):
                return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        package = next(p for p in self.packages if (module.__name__ + ".").startswith(p + "."))

        def getattr_(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return _absent(package, module.__name__, name)

        module.__getattr__ = getattr_


# ---- the warm process -----------------------------------------------------------------------------


def _fonts(path):
    """One font for everybody: the volume of a text must not depend on the machine."""
    import os
    from OCP.Font import Font_FontMgr
    from OCP.TCollection import TCollection_AsciiString

    manager = Font_FontMgr.GetInstance_s()
    manager.ClearFontDataBase()
    if not os.path.exists(path):
        return False
    font = manager.CheckFont(path)
    return font is not None and manager.RegisterFont(font, True)


def _warm_up(cq, has_font):
    """Takes every path that would otherwise load code or fill caches in the child."""
    import codecs
    import linecache
    import traceback
    import uuid
    import warnings
    from io import BytesIO

    for name in ("utf-8", "ascii", "latin-1", "unicode_escape", "utf-16", "utf-8-sig", "idna"):
        codecs.lookup(name)
    "\ud800".encode("utf-8", "backslashreplace").decode()
    uuid.uuid1()
    uuid.uuid4()
    linecache.getline(PROGRAM, 1)
    try:
        raise ValueError("warm-up")
    except ValueError as e:
        "".join(traceback.TracebackException.from_exception(e).format())
    warnings.formatwarning("", UserWarning, PROGRAM, 1, "")

    # what is taken here a second time costs as much as the first: code that is warm is warm. So one
    # of each kind of path is enough, and the cheapest will do.
    plate = cq.Workplane("XY").box(40, 30, 8).cut(cq.Workplane("XY").cylinder(20, 3))
    plate = plate.edges("|Z").fillet(2)
    if has_font:
        cq.Workplane("XY").text("i", 5, 1)
    whole = cq.Assembly().add(plate, loc=cq.Location(cq.Vector(1, 2, 3))).toCompound()
    _brep(_shape_of(plate))
    cq.Shape.importBin(BytesIO(_brep(whole).getbuffer()))
    plate.val().Volume()
    sketch = cq.Sketch().segment((0, 0), (0, 3.0), "s1").arc((0.0, 3.0), (1.5, 1.5), (0.0, 0.0), "a1")
    sketch.constrain("s1", "Fixed", None).constrain("s1", "a1", "Coincident", None)
    sketch.constrain("a1", "s1", "Coincident", None).solve().assemble()


def start(font):
    """Imports and warms up. Returns the versions of what is in use."""
    import gc
    import importlib.util
    import time

    t0 = time.perf_counter()
    gc.disable()  # nothing that is imported here is garbage
    absent = []
    for package in LEFT_OUT:
        if "." in package or importlib.util.find_spec(package) is None:
            absent.append(package)
    import OCP

    for package in ("OCP.IVtkOCC", "OCP.IVtkVTK"):
        if "vtkmodules" not in absent and importlib.util.find_spec(package) is not None:
            absent.remove(package)
    t1 = time.perf_counter()
    sys.meta_path.insert(0, _LeftOut(tuple(absent)))

    # before anything meshes or cuts: a warm pool's threads would not survive the fork
    from OCP.OSD import OSD_ThreadPool

    OSD_ThreadPool.DefaultPool_s().Init(1)
    import numpy

    t2 = time.perf_counter()
    import cadquery as cq

    t3 = time.perf_counter()
    # what programs may import, and what reporting needs, so that no child has to open files
    import ast, collections, dataclasses, difflib, enum, fractions, functools, io, itertools  # noqa
    import json, math, random, re, statistics, string, tokenize, traceback, typing  # noqa
    import numpy.random  # noqa
    import cadquery.func  # noqa
    from OCP.STEPControl import STEPControl_Reader, STEPControl_Writer  # noqa

    has_font = _fonts(font)
    _warm_up(cq, has_font)
    _number_shapes(cq)
    _prepare_names()
    sys.tracebacklimit = 60
    # frozen without a collection: there is little garbage, and looking for it touches every object
    gc.freeze()
    gc.enable()
    t4 = time.perf_counter()
    version = {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "cadquery": cq.__version__,
        "ocp": OCP.__version__,
        "numpy": numpy.__version__,
        "left_out": sorted(absent),
        "font": has_font,
        "start_seconds": {"ocp": t1 - t0, "numpy": t2 - t1, "cadquery": t3 - t2, "warm_up": t4 - t3},
    }
    return json.dumps(version).encode()


# ---- the spare child ------------------------------------------------------------------------------


def settle():
    """In the spare child: its own streams, and the same dice for every program."""
    import random
    import numpy

    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = open(
            fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        STATE[name] = stream
    random.seed(0)
    numpy.random.seed(0)


def _rehearsal():
    """What most programs do, in steps of a few milliseconds. Each page of the warm process that a child
    writes to is copied when it first does so; a child with nothing else to do takes that on before its
    program comes. Nothing of it stays: the objects go, and the dice are laid as they were."""
    import cadquery as cq

    def read():
        import ast

        exec(compile(ast.parse("a = 1.5\ndef f(x):\n    return x * a\nb = f(2)"), PROGRAM, "exec"), {})

    def block():
        return cq.Workplane("XY").box(40, 30, 8)

    def hole():
        return block().faces(">Z").workplane().rect(20, 10, forConstruction=True).vertices().hole(3)

    def outline():
        return cq.Workplane("XZ").moveTo(0, 0).lineTo(9, 0).lineTo(9, 4).close().extrude(5)

    def turned():
        return cq.Workplane("XY").circle(5).extrude(9).translate((1, 2, 3))

    def joined():
        return block().union(turned())

    def rounded():
        return block().edges("|Z").fillet(2)

    def handed_over():
        _brep(_shape_of(joined()))

    def placed():
        cq.Assembly().add(block(), loc=cq.Location(cq.Vector(1, 2, 3))).toCompound()

    return (read, block, joined, hole, handed_over, rounded, outline, placed)


def rehearse(step):
    """In the spare child, again and again while no job has come. False when there is no more to do."""
    import random
    import numpy

    if "rehearsal" not in STATE:
        STATE["rehearsal"] = _rehearsal()
    steps = STATE["rehearsal"]
    try:
        steps[step]()
    except Exception:
        return False  # it only costs the time that it would have saved
    finally:
        random.seed(0)
        numpy.random.seed(0)
        STATE["numbers"].clear()
    return step + 1 < len(steps)


STATE = {}


# ---- dialects -------------------------------------------------------------------------------------

FINAL_NAMES = ("fixture", "result", "model", "solid", "body", "part")
NO_FINAL_OBJECT = (
    "CadQuery code must assign the final object to fixture/result/model/solid/body/part "
    "or call show_object(obj)."
)
SEED_DROPPED = ("import cadquery as cq", "from cadquery import exporters", "import math")
SEED_BLOCKED = (
    "__ open( exec( eval( compile( input( globals( getattr( setattr( delattr( subprocess socket "
    "requests urllib shutil pickle pathlib os. sys."
).split()
SEED_BUILTINS = (
    "abs bool dict enumerate float int len list max min pow range round set str sum tuple zip"
).split()
OPEN_MODULES = (
    "cadquery math numpy random itertools functools typing dataclasses collections __future__"
).split()
OPEN_REFUSED = "open exec eval compile input breakpoint __import__".split()
# attributes that lead from any object to the interpreter's insides
INSIDES = frozenset(
    "__subclasses__ __globals__ __builtins__ __bases__ __base__ __mro__ __code__ __closure__ __loader__ "
    "__spec__ __import__ __getattribute__ __reduce__ __reduce_ex__ __self__ __func__ __wrapped__ "
    "f_globals f_locals f_back f_builtins gi_frame cr_frame tb_frame tb_next co_code".split()
)


class Failure(Exception):
    """An exception of a program or of the rules, with what is known beyond it."""

    def __init__(self, exception, cause=None, line=None, column=None, remedy=None):
        super().__init__(exception)
        self.exception, self.cause, self.remedy = exception, cause, remedy
        self.line, self.column = line, column


class Text:
    """A program: the text as it came, what is executed, and how lines of the latter map back."""

    def __init__(self, source):
        self.given = source
        self.bom = 0  # bytes before the given text
        self.lines = None  # of the given text, made when first asked for
        self.code = source
        self.line_of = None  # executed line (from 0) -> given line (from 1); None: the same

    def source(self, line):
        if self.lines is None:
            self.lines = self.given.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if line is None or not 1 <= line <= len(self.lines):
            return None
        return self.lines[line - 1]

    def given_line(self, line):
        if self.line_of is None or line is None:
            return line
        if not self.line_of:
            return 1
        return self.line_of[min(max(line, 1), len(self.line_of)) - 1]


def _clean_seed(text, filtered):
    """The runner's cleaning (reward-seed.md, section 1 item 2), with a map of lines kept beside it."""
    given = text.given
    # each piece: (text without its ending, number of its line in the given text)
    pieces, line = [], 1
    for whole in given.splitlines(keepends=True):
        bare = whole.rstrip("\r\n") if whole[-1] in "\r\n" else whole
        if bare and bare[-1] in "\v\f\x1c\x1d\x1e\x85\u2028\u2029" and bare == whole:
            bare = bare[:-1]
        pieces.append((bare, line))
        line += whole[-1:] in ("\n", "\r")
    body = given.strip()
    first = given[: len(given) - len(given.lstrip())].splitlines(keepends=True)
    skip = sum(1 for w in first if w[-1] in "\v\f\x1c\x1d\x1e\x85\u2028\u2029\r\n")
    lines = body.splitlines()
    numbers = [n for _, n in pieces[skip : skip + len(lines)]]
    if lines and lines[0].startswith("```"):
        lead = lines[0][3:]
        for word in ("python", "py"):
            if lead.lower().startswith(word):
                lead = lead[len(word) :]
                break
        lines[0] = lead.lstrip()
    if lines and lines[-1].rstrip().endswith("```"):
        lines[-1] = lines[-1].rstrip()[:-3]

    kept = []
    for content, number in zip(lines, numbers):
        bare = content.strip()
        if bare in SEED_DROPPED:
            continue
        if filtered and (bare.startswith("import ") or bare.startswith("from ")):
            raise Failure(
                ValueError(f"Unsupported import line: {bare}"),
                "refused",
                number,
                len(content) - len(content.lstrip()) + 1,
                "cadquery as cq, math and exporters are there already; delete the line",
            )
        kept.append((content, number))
    while kept and not kept[0][0].strip():
        kept.pop(0)
    while kept and not kept[-1][0].strip():
        kept.pop()
    code = "\n".join(c for c, _ in kept).strip()
    text.line_of = [n for _, n in kept]
    if not filtered:
        text.code = code
        return
    low = code.lower()
    for token in SEED_BLOCKED:
        at = low.find(token)
        if at >= 0:
            line = low.count("\n", 0, at)
            raise Failure(
                ValueError(f"Blocked Python token in CadQuery code: {token}"),
                "refused",
                text.given_line(line + 1),
                at - low.rfind("\n", 0, at),
                f"write it without {token!r}, which is refused in comments, names and strings too",
            )
    text.code = code


def _settle_lines(text):
    """Makes executed and given line numbers agree where that changes nothing: when the dropped lines
    all stand before the first line that is kept, blank lines in front do it."""
    offset = (text.line_of[0] - 1) if text.line_of else 0
    if all(n == i + 1 + offset for i, n in enumerate(text.line_of or ())):
        text.code = "\n" * offset + text.code
        text.line_of = None


def _parse(text):
    import ast

    try:
        tree = compile(text.code, PROGRAM, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except MemoryError:
        if _memory_is_gone():
            raise
        raise Failure(  # the parser's own stack is full
            SyntaxError("too deeply nested: the parser's stack is full"),
            "syntax",
            None,
            None,
            "nest less deeply",
        ) from None
    if text.line_of is not None:
        seen = set()
        stack = [tree]
        while stack:
            node = stack.pop()
            if hasattr(node, "lineno") and id(node) not in seen:
                seen.add(id(node))
                node.lineno = text.given_line(node.lineno)
                node.end_lineno = text.given_line(node.end_lineno)
                if node.end_lineno < node.lineno:
                    node.end_lineno = node.lineno
            stack.extend(ast.iter_child_nodes(node))
    return tree


def _memory_is_gone():
    used, limit = STATE["c"].memory()
    return used > limit / 2


def _open_filter(tree, source):
    """What the open dialect refuses before it runs: ways into the interpreter's insides."""
    import ast

    if "_" not in source:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in INSIDES:
            raise Failure(
                AttributeError(f"attribute {node.attr!r} is refused in programs"),
                "refused",
                node.lineno,
                node.end_col_offset - len(node.attr.encode()) + 1,
                "a part needs CadQuery's own methods only; remove it",
            )


def _names_of(dialect, filtered, shown):
    import builtins
    import math
    import cadquery as cq
    from cadquery import exporters

    def show_object(obj, *args, **kwargs):
        shown.append(obj)

    names = {
        "cq": cq,
        "Assembly": cq.Assembly,
        "Color": cq.Color,
        "exporters": exporters,
        "math": math,
        "show_object": show_object,
    }
    if dialect == "seed" and filtered:
        own = {name: getattr(builtins, name) for name in SEED_BUILTINS}
        own["locals"] = lambda: names
        names["__builtins__"] = own
        return names
    own = dict(vars(builtins))
    own["exit"] = own["quit"] = sys.exit
    names["__name__"] = "__main__"
    if filtered:
        real_import = builtins.__import__

        def checked_import(name, globals=None, locals=None, fromlist=(), level=0):
            if level == 0 and name.partition(".")[0] not in OPEN_MODULES:
                raise _mark(
                    ImportError(f"import of {name!r} is refused in programs", name=name),
                    "a program may import " + ", ".join(OPEN_MODULES[:-1]) + "; remove the line",
                )
            return real_import(name, globals, locals, fromlist, level)

        def refused(name):
            def call(*args, **kwargs):
                raise _mark(
                    NameError(f"{name}() is refused in programs", name=name),
                    "a program builds its part from numbers alone; remove the call",
                )

            call.__name__ = call.__qualname__ = name
            return call

        for name in OPEN_REFUSED:
            own[name] = refused(name)
        own["__import__"] = checked_import
    names["__builtins__"] = own
    return names


def _mark(exception, remedy):
    exception.cadforge_remedy = remedy
    return exception


# ---- the final object -----------------------------------------------------------------------------


def _compound(shapes):
    """cadquery's compound(), which exporters.export uses; the fresh reference is taken at start()."""
    return STATE["compound"](*shapes)


def _number_shapes(cq):
    """Hashes shapes by the order in which they are first asked for theirs.

    CadQuery's selectors ("|Z or >X", "not #Y"), ancestors and siblings keep shapes in sets, and a
    shape's own hash comes from its address: which edge came first, and with it the last digits of
    a part, or which face a workplane lies on, would differ from one start of this program to the
    next. Equal shapes still have equal hashes.
    """
    numbers = STATE["numbers"] = {}

    def __hash__(self):
        return numbers.setdefault(self.hashCode(), len(numbers))

    cq.Shape.__hash__ = __hash__


def _prepare_names():
    import cadquery as cq
    from cadquery.occ_impl.exporters import compound
    from OCP.BinTools import BinTools, BinTools_FormatVersion
    from OCP.Bnd import Bnd_Box
    from OCP.BRepBndLib import BRepBndLib
    from OCP.BRepMesh import BRepMesh_IncrementalMesh
    from OCP.BRepTools import BRepTools
    from OCP.TopoDS import TopoDS_Shape
    from OCP.TopAbs import TopAbs_ShapeEnum
    from OCP.TopExp import TopExp_Explorer

    STATE.update(
        api=_api(),
        compound=compound,
        Shape=cq.Shape,
        Workplane=cq.Workplane,
        BinTools=BinTools,
        V4=BinTools_FormatVersion.BinTools_FormatVersion_CURRENT,
        Bnd_Box=Bnd_Box,
        BRepBndLib=BRepBndLib,
        TopoDS_Shape=TopoDS_Shape,
        mesher=BRepMesh_IncrementalMesh,
        clean=BRepTools.Clean_s,
        face=TopAbs_ShapeEnum.TopAbs_FACE,
        edge=TopAbs_ShapeEnum.TopAbs_EDGE,
        solid=TopAbs_ShapeEnum.TopAbs_SOLID,
        explorer=TopExp_Explorer,
    )


def _brep(shape):
    """Binary BREP without triangles, as a BytesIO."""
    from io import BytesIO

    if "V4" not in STATE:
        _prepare_names()
    out = BytesIO()
    STATE["BinTools"].Write_s(shape.wrapped, out, False, False, STATE["V4"])
    return out


def _shape_of(obj):
    """Items 5 and 6 of reward-seed.md section 1: what exporters.export would have meshed."""
    if "compound" not in STATE:
        _prepare_names()
    if hasattr(obj, "toCompound"):
        obj = obj.toCompound()
    return obj if isinstance(obj, STATE["Shape"]) else _compound(obj)


def _flatten(obj, depth=0):
    """The open dialect's lists: shapes, Workplanes and Assemblies, nested as they come."""
    if depth > 20:
        raise TypeError("lists are nested too deeply")
    if hasattr(obj, "toCompound"):
        return [obj.toCompound()]
    if isinstance(obj, STATE["Shape"]):
        return [obj]
    if isinstance(obj, STATE["Workplane"]):
        # its own iteration takes a compound apart, down to the shells of a solid that a shell() left in it
        obj = obj.vals()
    if isinstance(obj, dict):
        obj = obj.values()
    if isinstance(obj, (str, bytes)):
        raise TypeError(f"a {type(obj).__name__} is no shape")
    if isinstance(obj, (list, tuple, set, frozenset)) or hasattr(obj, "__iter__"):
        found = []
        for member in obj:
            found.extend(_flatten(member, depth + 1))
        return found
    raise TypeError(f"an object of type {type(obj).__name__} is no shape")


def _box(shape):
    box = STATE["Bnd_Box"]()
    STATE["BRepBndLib"].Add_s(shape.wrapped, box, False)
    return box


def _has(shape, kind):
    return STATE["explorer"](shape.wrapped, kind).More()


def _final(obj, dialect):
    """The shape, with the outcome that the published evaluator gives (items 6 and 7)."""
    import math

    try:
        if dialect == "seed" or isinstance(obj, STATE["Shape"]):
            shape = _shape_of(obj)
        else:
            shapes = _flatten(obj)
            shape = shapes[0] if len(shapes) == 1 else _compound(shapes)
        if shape.wrapped is None or shape.wrapped.IsNull():
            raise ValueError("the final object holds a null shape")
    except Exception as e:
        raise Failure(
            e,
            "not_a_shape",
            remedy="assign a Workplane, a Shape, an Assembly or a list of shapes to fixture",
        )
    if dialect == "seed":
        try:
            first = obj.toCompound() if hasattr(obj, "toCompound") else obj
            first = first.val() if hasattr(first, "val") else first
            measure = first.BoundingBox
            if _box(first).IsVoid():
                measure()  # raises as it does there
        except Exception as e:
            empty = "void" in str(e) or not _has(shape, STATE["edge"])
            raise Failure(
                e,
                "empty_shape" if empty else "not_a_shape",
                remedy="the final object holds nothing that has a size; look at its last cut or "
                "intersection"
                if empty
                else "assign a Workplane, a Shape or an Assembly to fixture",
            )
    if not _has(shape, STATE["face"]):
        if _has(shape, STATE["edge"]):
            what, remedy = "edges and wires but no face", "extrude, revolve or loft it into a solid"
        else:
            what, remedy = "nothing", "look at the last cut or intersection: it leaves nothing"
        raise Failure(
            ValueError(f"the final object holds {what}, so it has no triangles"), "empty_shape", remedy=remedy
        )
    box = _box(shape)
    if box.IsVoid() or not all(math.isfinite(v) and abs(v) < 1e50 for v in box.Get()):
        raise Failure(
            ValueError("the final object has a dimension that is NaN or infinite"),
            "empty_shape",
            remedy="check the divisions, roots and logarithms that its dimensions come from",
        )
    return shape


# ---- telling what went wrong ----------------------------------------------------------------------

REMEDIES = {
    "syntax": "repair the text there; every bracket and quotation mark that is opened must be closed",
    "name": "define the name before the line that uses it",
    "attribute": "use a method that the object has",
    "type": "check the number and the kinds of the arguments",
    "value": "check the values that go into the call",
    "kernel_error": "the CAD kernel could not make this shape: try smaller fillets, simpler profiles, "
    "overlapping solids",
    "memory_limit": "use fewer or simpler parts, or raise --memory",
    "process_limit": "a program runs in one process and one thread: start none",
    "refused": "a program has no files, no network and no other processes: remove what asks for them",
    "no_final_object": "assign the part to fixture, or call show_object(part)",
}


def _say(text, limit=4000):
    """A string that can be written as JSON and read as C: no lone surrogates, no NUL, bounded."""
    if len(text) > limit:
        text = text[: limit // 2] + " … " + text[-limit // 2 :]
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _module(e):
    module = type(e).__module__
    return module if isinstance(module, str) else ""


def _message(e):
    try:
        text = str(e)
    except BaseException as again:
        text = f"<str() of the exception raised {type(again).__name__}>"
    if not isinstance(text, str):
        text = repr(text)
    if _module(e).startswith("OCP"):
        # the kernel names functions with the address of their data, another one every time
        from re import sub

        text = sub(r"\b0x[0-9a-fA-F]+\s*", "", text)
    return text


def _own_frames(tb):
    """The traceback with nothing in it but the program's own frames, and its last one."""
    frames = []
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == PROGRAM:
            frames.append(tb)
        tb = tb.tb_next
    if not frames:
        return None, None, None
    from types import TracebackType

    chain = None
    for item in reversed(frames):
        chain = TracebackType(chain, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return chain, frames[-1], frames[0]


def _place(tb):
    """Line, and column from 0 in bytes or None, where a traceback item stands."""
    from itertools import islice

    line, column = tb.tb_lineno, None
    try:
        position = next(islice(tb.tb_frame.f_code.co_positions(), tb.tb_lasti // 2, None), None)
        if position and position[0] == line:
            column = position[2]
    except Exception:
        pass
    return line, column


def _traceback_text(e, text):
    """As the interpreter itself prints it, with the program's frames alone and their source lines."""
    from io import StringIO
    import re

    link, seen = e, 0
    while link is not None and seen < 8:
        trimmed, _, _ = _own_frames(link.__traceback__)
        link.__traceback__ = trimmed
        seen += 1
        following = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if seen == 8 and following is not None:
            link.__cause__ = link.__context__ = None
        link = following
    buffer, kept = StringIO(), sys.stderr
    sys.stderr = buffer
    try:
        STATE["excepthook"](type(e), e, e.__traceback__)
    finally:
        sys.stderr = kept
    printed = buffer.getvalue()
    if len(printed) > 60000:
        printed = printed[:30000] + "\n…\n" + printed[-30000:]
    out = []
    lines = printed.split("\n")
    for i, line in enumerate(lines):
        found = re.match(r'  File "program\.py", line (\d+)(, in .*)?$', line)
        if not found:
            out.append(line)
            continue
        number = int(found[1])
        if found[2] is None:  # of a SyntaxError: numbered in the executed text, source follows
            number = text.given_line(number)
            out.append(f'  File "program.py", line {number + text.offset}')
            continue
        out.append(f'  File "program.py", line {number + text.offset}{found[2]}')
        source = text.source(number)
        if source is not None and source.strip():
            out.append("    " + source.strip()[:500])
    result = "\n".join(out)
    if not result.startswith(("Traceback", "  File")) and e.__traceback__ is None:
        result = "Traceback (most recent call last):\n" + result
    return result


PROCESS_CALLS = {"clone", "clone3", "fork", "vfork", "execve", "execveat"}


def _cause_of(e, refused, compiling):
    names = {c.__name__ for c in type(e).__mro__}
    if hasattr(e, "cadforge_remedy"):
        return "refused"
    if isinstance(e, MemoryError) or "Standard_OutOfMemory" in names:
        return "memory_limit"
    if isinstance(e, SyntaxError):
        return "syntax" if compiling or e.filename == PROGRAM else "other_exception"
    if isinstance(e, (OSError, RuntimeError)):
        process = any(name in PROCESS_CALLS for name in refused)
        if "can't start new thread" in _message(e):
            return "process_limit"
        if isinstance(e, OSError):
            if process and isinstance(e, (PermissionError, BlockingIOError)):
                return "process_limit"
            if e.errno == 1 and not refused:  # clone3 and vfork are refused without being counted
                return "process_limit"
            if isinstance(e, PermissionError) or (refused and e.errno in (1, 13)):
                return "refused"
    module = _module(e)
    if module == "OCP" or module.startswith("OCP."):
        return "kernel_error"
    if "out of memory" in _message(e).lower() or "bad_alloc" in _message(e):
        return "memory_limit"
    for kind, cause in (
        (NameError, "name"),
        (AttributeError, "attribute"),
        (TypeError, "type"),
        (ValueError, "value"),
    ):
        if isinstance(e, kind):
            return cause
    return "other_exception"


# What models write for what CadQuery has.
SYNONYMS = {
    "cube": "box", "Box": "box", "cuboid": "box", "round": "fillet", "roundEdges": "fillet", "bevel": "chamfer",
    "subtract": "cut", "difference": "cut", "minus": "cut", "fuse": "union", "merge": "union", "join": "union",
    "combineWith": "union", "intersection": "intersect", "makeHole": "hole", "drill": "hole", "boreHole": "hole",
    "move": "translate", "linearExtrude": "extrude", "pad": "extrude", "rectangle": "rect", "square": "rect",
    "annulus": "circle(outer).circle(inner).extrude(height)", "tube": "circle(outer).circle(inner).extrude(height)",
    "ring": "circle(outer).circle(inner).extrude(height)", "cone": "cq.Solid.makeCone(r1, r2, height)",
    "torus": "cq.Solid.makeTorus(radius, tube)", "pyramid": "rect(a, b).extrude(height, taper=angle)",
    "scale": "no scaling: give the sizes that are wanted",
}  # fmt: skip


def _nearest(e):
    """The real name nearest to one that does not exist, in words, or an empty string."""
    from difflib import get_close_matches

    name = getattr(e, "name", None)
    if not isinstance(name, str) or len(name) > 100:
        return ""
    try:
        if isinstance(e, AttributeError):
            other = SYNONYMS.get(name)
            if other and (not other.isidentifier() or hasattr(e.obj, other)):
                return f"use {other}" if other.isidentifier() or "(" in other else f"there is {other}"
            if getattr(e.obj, "__name__", "") == "cadquery" and hasattr(STATE["Workplane"], other or name):
                return f'did you mean cq.Workplane("XY").{other or name}?'
            known = [n for n in dir(e.obj) if not n.startswith("_")]
        elif isinstance(e, NameError):
            known = [n for n in STATE.get("names", ()) if not n.startswith("_")]
        else:
            return ""
        found = get_close_matches(name, known[:5000], 1, 0.72)
    except Exception:
        return ""
    return f"did you mean {found[0]!r}?" if found else ""


def _column(source, byte_column):
    """Column from 1, in characters, of a byte offset from 0."""
    if byte_column is None:
        return None
    if source is None:
        return byte_column + 1
    return len(source.encode("utf-8", "surrogatepass")[:byte_column].decode("utf-8", "ignore")) + 1


def _assigned_at(tree, name):
    """Line of the last top-level statement that gives @name (or shows an object, for None)."""
    import ast

    for node in reversed(tree.body):
        if name is None:
            value = node.value if isinstance(node, ast.Expr) else None
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "show_object":
                return node.lineno
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return node.lineno
    return None


def _statements_done(tree, module_line, module_column):
    done = 0
    for node in tree.body:
        if (node.end_lineno, node.end_col_offset) > (module_line, module_column or 0):
            break
        done += 1
    return done


def _syntax_remedy(message):
    for words, remedy in (
        (("never closed", "unmatched", "does not match", "unterminated", "EOF", "too many"), REMEDIES["syntax"]),
        (("expected ':'",), "put a colon at the end of that line"),
        (("indent",), "indent the lines of one block alike, by spaces"),
        (("outside function", "outside loop"), "this word belongs into a function or loop"),
        (("f-string",), "repair what stands between the braces of the f-string"),
        (("invalid character", "non-printable"), "replace that character by a plain one"),
    ):
        if any(word in message for word in words):
            return remedy
    return "repair the text there; prose belongs into comments"


def _attribute_place(e):
    """Line and column from 0, in bytes, of the name that an attribute error is about; or None."""
    from itertools import islice

    _, last, _ = _own_frames(e.__traceback__)
    name = getattr(e, "name", None)
    if last is None or not isinstance(name, str):
        return None
    try:
        position = next(islice(last.tb_frame.f_code.co_positions(), last.tb_lasti // 2, None), None)
        return (position[1], position[3] - len(name.encode()), name) if position and position[3] else None
    except Exception:
        return None


def _report_failure(report, failure, text, tree, compiling):
    e = failure.exception
    report["ok"] = False
    refused = report["refused"]
    cause = failure.cause or _cause_of(e, refused, compiling)
    line, column = failure.line, failure.column
    if isinstance(e, SyntaxError) and (compiling or e.filename == PROGRAM):
        if line is None and e.lineno:
            line = text.given_line(e.lineno)
            column = e.offset or None
    elif line is None:
        _, last, first = _own_frames(e.__traceback__)
        if last is not None:
            line, byte_column = _place(last)
            column = _column(text.source(line), byte_column)
            place = _attribute_place(e) if isinstance(e, AttributeError) else None
            if place and place[1] >= 0:
                there = text.source(place[0])
                at = _column(there, place[1])
                if there is not None and there[at - 1 : at - 1 + len(place[2])] == place[2]:
                    line, column = place[0], at
            if tree is not None:
                report["statements_done"] = _statements_done(tree, *_place(first))
    source = text.source(line)
    message = _message(e)
    if isinstance(e, SyntaxError) and isinstance(e.msg, str):
        message = e.msg  # str() adds the place, which is told already
    kind = type(e).__name__
    trace = _traceback_text(e, text)
    remedy = failure.remedy or getattr(e, "cadforge_remedy", None) or _nearest(e)
    if cause == "syntax":
        remedy = remedy or _syntax_remedy(message)
    elif kind in ("Standard_DomainError", "Standard_ConstructionError"):
        remedy = remedy or "every length, radius and distance must be greater than 0"
    elif kind == "ParseException":  # the selector grammar, whole, says nothing to anybody
        message = "a selector string is not understood"
        remedy = "use one like >Z, <X, |Y, #Z, %CIRCLE or '>Z and |X'"
    remedy = remedy or REMEDIES.get(cause, "")
    message = message.rstrip()
    shown_line = line + text.offset if line is not None else None
    where = f"line {shown_line}: " if line is not None else ""
    sentence = f"{where}{kind}" + (f": {message}" if message else "")
    if remedy:
        sentence = sentence.rstrip(".")
    if refused and cause in ("refused", "process_limit"):
        sentence += " (refused by the sandbox: " + ", ".join(sorted(refused)) + ")"
    report.update(
        cause=cause,
        exception=_say(kind, 200),
        error=_say(sentence + (f"; {remedy}" if remedy else ""), 1500),
        line=shown_line,
        column=column,
        source=_say(source, 500) if source is not None else None,
        traceback=_say(trace, 60000),
    )
    if cause == "memory_limit":
        used, limit = STATE["c"].memory()
        report["limit"] = {"name": "memory", "limit": limit / 1048576, "used": used / 1048576}
    try:
        STATE["stderr"].write(report["traceback"].rstrip("\n") + "\n")
    except Exception:
        pass


# ---- static facts ---------------------------------------------------------------------------------


def _cad_names(tree, aliases):
    """Names that hold CAD objects as far as one can see without running: assigned from a chain that
    begins at cadquery, or from a call of a function that returns one."""
    import ast

    names, makers = set(), set()

    def is_cad(node):
        while True:
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id in makers:
                    return True
                node = node.func
            elif isinstance(node, ast.Attribute):
                if isinstance(node.value, ast.Name) and node.value.id in aliases:
                    return node.attr[:1].isupper()
                node = node.value
            elif isinstance(node, ast.Name):
                return node.id in names
            else:
                return False

    assigns = [n for n in ast.walk(tree) if isinstance(n, (ast.Assign, ast.FunctionDef))]
    returns = {
        f: [r.value for r in ast.walk(f) if isinstance(r, ast.Return) and r.value is not None]
        for f in assigns
        if isinstance(f, ast.FunctionDef)
    }
    for _ in range(4):
        before = len(names) + len(makers)
        for node in assigns:
            if isinstance(node, ast.FunctionDef):
                values = returns[node]
                if values and all(is_cad(v) for v in values):
                    makers.add(node.name)
            elif is_cad(node.value):
                names.update(t.id for t in node.targets if isinstance(t, ast.Name))
        if len(names) + len(makers) == before:
            break
    # a name that is also given something else may be that
    for node in assigns:
        if isinstance(node, ast.Assign) and not is_cad(node.value):
            names.difference_update(t.id for t in node.targets if isinstance(t, ast.Name))
    return names, makers


def _api():
    """Names of CadQuery: of all its classes (and of what any program holds), of the module with whether
    each is a class, of Workplane, and of its methods that give back no Workplane."""
    import cadquery as cq

    classes = [v for v in vars(cq).values() if isinstance(v, type)]
    anything = {n for c in classes for n in dir(c)}
    anything |= {n for t in (list, tuple, str, dict, float) for n in dir(t)}
    workplane = frozenset(dir(cq.Workplane))
    returns_other = {
        n
        for n in workplane
        if str(getattr(getattr(cq.Workplane, n), "__annotations__", {}).get("return", "T"))
        not in ("T", "~T", "Self", "Workplane", "typing_extensions.Self", "typing.Self")
    }
    module = {n: isinstance(getattr(cq, n), type) for n in dir(cq)}
    return frozenset(anything), module, workplane, frozenset(returns_other)


def _unknown_methods(tree, aliases):
    """Attributes of cadquery and of chains begun there that no class of its API has."""
    import ast
    from difflib import get_close_matches

    anything, module, workplane, returns_other = STATE["api"]
    names, makers = _cad_names(tree, aliases)
    found = []

    def kind_of(node):
        """'module', 'workplane', 'cad' or None for what an expression is; None: cannot be said."""
        if isinstance(node, ast.Name):
            if node.id in aliases:
                return "module"
            return "cad" if node.id in names else None
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                return "cad" if node.func.id in makers else None
            return kinds.get(node.func)
        return kinds.get(node)

    kinds = {}
    # a chain's inner parts come first when taken by their end
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    attributes.sort(key=lambda n: (n.end_lineno, n.end_col_offset))
    for node in attributes:
        kind = kind_of(node.value)
        if kind is None:
            continue
        known, owner = anything, "CadQuery"
        if kind == "module":
            known, owner = module, "cadquery"
            kinds[node] = "workplane" if node.attr == "Workplane" else "cad"
            if module.get(node.attr) is False:
                kinds[node] = None
        elif kind == "workplane":
            known, owner = workplane, "Workplane"
            kinds[node] = "cad" if node.attr in returns_other else "workplane"
        else:
            kinds[node] = "cad"
        if node.attr in known:
            continue
        kinds[node] = None
        likely = workplane if known is anything else known
        near = get_close_matches(node.attr, sorted(n for n in likely if not n.startswith("_")), 1, 0.6)
        found.append(
            {
                "name": _say(node.attr, 200),
                "on": owner,
                "line": node.end_lineno,
                "nearest": near[0] if near else None,
            }
        )
        if len(found) >= 200:
            break
    return found


def _number(node):
    import ast

    sign = 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        try:
            return sign * float(node.value)
        except OverflowError:
            return sign * float("inf")
    return None


class _Flow:
    """What of a program reaches its final object, as far as the tree says: a graph of what each name is
    made from, and the names that are met going backwards from the final object.

    A binding is (scope, name): the scope is a function, or None for the module. Names of attributes
    (and so of fields and methods) are (".", name), whatever object they are of. Nothing here knows
    order, and what might matter is taken to matter: a name that is not reached has no say in the
    shape, one that is reached may still turn out to have none when its number is changed.
    """

    # methods that change the object they are called of, which CadQuery's own do not
    CHANGING = frozenset(
        "add append appendleft clear constrain extend extendleft insert pop remove reverse setdefault "
        "solve sort update".split()
    )

    NODES_MAX = 200000  # nobody writes a part that long: nothing of it is said to be reached

    def __init__(self, tree):
        import ast

        self.ast = ast
        self.made_of = {}  # binding -> set of bindings
        self.used = {}  # expression -> what uses() found in it
        self.functions = {}  # binding -> list of functions and classes of that name
        self.methods = {}  # name -> list of functions in classes
        self.locals = {}  # function -> names that are its own
        self.outer = {}  # function -> function or None
        self.of_class = {}  # function -> class
        self.shown = set()
        self._scopes(tree)
        self._statements(tree)

    def _scopes(self, tree):
        """Finds functions, what is defined where, and which names are whose."""
        ast = self.ast
        stack = [(tree, None, None)]  # node, function around it, class right around it
        while stack:
            node, scope, cls = stack.pop()
            inner, inner_cls = scope, cls
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if cls is not None and not isinstance(node, ast.ClassDef):
                    self.methods.setdefault(node.name, []).append(node)
                    self.of_class[node] = cls
                else:
                    self.functions.setdefault((scope, node.name), []).append(node)
                    if scope is not None:
                        self.locals[scope].add(node.name)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                a = node.args
                own = {x.arg for x in a.posonlyargs + a.args + a.kwonlyargs}
                own.update(x.arg for x in (a.vararg, a.kwarg) if x is not None)
                self.locals[node], self.outer[node] = own, scope
                inner, inner_cls = node, None
            elif isinstance(node, ast.ClassDef):
                inner_cls = node
            elif isinstance(node, ast.Name):
                if scope is not None and cls is None and not isinstance(node.ctx, ast.Load):
                    self.locals[scope].add(node.id)
            elif isinstance(node, (ast.Global, ast.Nonlocal)) and scope is not None:
                self.locals.setdefault(("not", scope), set()).update(node.names)
            stack.extend((child, inner, inner_cls) for child in ast.iter_child_nodes(node))
        for scope in self.outer:
            self.locals[scope] -= self.locals.get(("not", scope), set())

    def bound(self, scope, name):
        while scope is not None and name not in self.locals[scope]:
            scope = self.outer[scope]
        return (scope, name)

    def _add(self, binding, sources):
        self.made_of.setdefault(binding, set()).update(sources)

    def _pass(self, call, scope, function, skip):
        """Links a call's arguments to the parameters of a function of the program; @skip: self."""
        ast = self.ast
        a = function.args
        names = [x.arg for x in a.posonlyargs + a.args][skip:]
        known = set(names) | {x.arg for x in a.kwonlyargs}
        rest = [x.arg for x in (a.vararg, a.kwarg) if x is not None]
        given, all_of_them = [], set()
        for i, arg in enumerate(call.args):
            if isinstance(arg, ast.Starred):
                all_of_them |= self.uses(arg.value, scope)
            elif i < len(names):
                given.append((names[i], arg))
            else:
                given.extend((r, arg) for r in rest)
        for k in call.keywords:
            if k.arg is None:
                all_of_them |= self.uses(k.value, scope)
            elif k.arg in known:
                given.append((k.arg, k.value))
            else:
                given.extend((r, k.value) for r in rest)
        for name, arg in given:
            self._add((function, name), self.uses(arg, scope))
            if isinstance(arg, ast.Name):  # what the function does to it is done to the caller's
                self._add(self.bound(scope, arg.id), {("done to", function, name)})
        if all_of_them:
            for name in list(known) + rest:
                self._add((function, name), all_of_them)

    def uses(self, expression, scope):
        """The bindings that an expression is made of. Changes that it makes are noted on the way."""
        known = self.used.get(expression)
        if known is not None:
            return known
        ast = self.ast
        found, stack = set(), [expression]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name):
                found.add(self.bound(scope, node.id))
            elif isinstance(node, ast.Attribute):
                found.add((".", node.attr))
                stack.append(node.value)
            elif isinstance(node, ast.NamedExpr):
                sources = self.uses(node.value, scope)
                self._add(self.bound(scope, node.target.id), sources)
                found |= sources
            elif isinstance(node, ast.Call):
                self._call(node, scope, found, stack)
            elif isinstance(node, ast.Lambda):
                stack.append(node.body)
                stack.extend(d for d in node.args.defaults + node.args.kw_defaults if d is not None)
            else:
                stack.extend(ast.iter_child_nodes(node))
        self.used[expression] = found
        return found

    def _call(self, node, scope, found, stack):
        ast = self.ast
        arguments = list(node.args) + [k.value for k in node.keywords]
        stack.append(node.func)
        if isinstance(node.func, ast.Name):
            binding = self.bound(scope, node.func.id)
            own = self.functions.get(binding, ())
            for f in own:
                if isinstance(f, ast.ClassDef):
                    self._construct(node, scope, f)
                else:
                    self._pass(node, scope, f, 0)
            if node.func.id == "show_object" and not own and arguments:
                self.shown |= self.uses(arguments[0], scope)
            if own:
                return
        for x in arguments:
            found |= self.uses(x, scope)
        if not isinstance(node.func, ast.Attribute):
            return
        for f in self.methods.get(node.func.attr, ()):
            self._pass(node, scope, f, 0 if self._is_static(f) else 1)
        if node.func.attr in self.CHANGING or node.func.attr in self.methods:
            self._change(node, scope)

    def _is_static(self, function):
        return any(
            isinstance(d, self.ast.Name) and d.id == "staticmethod" for d in function.decorator_list
        )

    def _construct(self, call, scope, cls):
        ast = self.ast
        makers = [f for f in self.methods.get("__init__", ()) if self.of_class[f] is cls]
        for f in makers:
            self._pass(call, scope, f, 1)
        if makers:
            return
        fields = [
            s.target.id
            for s in cls.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        ]
        for name, arg in zip(fields, call.args):
            self._add((".", name), self.uses(arg, scope))
        for k in call.keywords:
            if k.arg is not None:
                self._add((".", k.arg), self.uses(k.value, scope))

    def _base(self, node):
        """The name that a chain of calls, attributes and subscripts begins with, or None."""
        ast = self.ast
        while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.func if isinstance(node, ast.Call) else node.value
        return node.id if isinstance(node, ast.Name) else None

    def _change(self, call, scope):
        """A call that changes what its chain begins with."""
        base = self._base(call.func)
        if base is None:
            return
        sources = set()
        for a in list(call.args) + [k.value for k in call.keywords]:
            sources |= self.uses(a, scope)
        self._assign_to(self.bound(scope, base), sources, scope)

    def _assign_to(self, binding, sources, scope):
        self._add(binding, sources)
        if scope is None:
            return
        if binding[0] is scope:  # maybe a parameter: then it is the caller's that changes
            self._add(("done to", scope, binding[1]), sources | self._names_of(scope))
        else:
            self._add(binding, self._names_of(scope))

    def _names_of(self, function):
        if function in self.of_class:
            return {(".", function.name)}
        return {(self.outer[function], function.name)}

    def _target(self, target, sources, scope, cls):
        ast = self.ast
        stack = [target]
        while stack:
            t = stack.pop()
            if isinstance(t, ast.Name):
                if cls is not None:
                    self._add((".", t.id), sources)
                binding = self.bound(scope, t.id)
                self._add(binding, sources)
                if binding[0] is not scope and scope is not None:
                    self._add(binding, self._names_of(scope))
            elif isinstance(t, (ast.Tuple, ast.List)):
                stack.extend(t.elts)
            elif isinstance(t, ast.Starred):
                stack.append(t.value)
            elif isinstance(t, (ast.Attribute, ast.Subscript)):
                more = sources
                if isinstance(t, ast.Attribute):
                    self._add((".", t.attr), sources)
                else:
                    more = sources | self.uses(t.slice, scope)
                base = self._base(t)
                if base is not None:
                    self._assign_to(self.bound(scope, base), more, scope)

    def _statements(self, tree):
        ast = self.ast
        # statement, function, class, what decides whether it runs
        stack = [(s, None, None, frozenset()) for s in tree.body]
        while stack:
            node, scope, cls, control = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._function(node, scope, cls, control)
                stack.extend((s, node, None, frozenset()) for s in node.body)
                continue
            if isinstance(node, ast.ClassDef):
                sources = set(control)
                for x in node.bases + node.decorator_list:
                    sources |= self.uses(x, scope)
                self._add((scope, node.name), sources)
                stack.extend((s, scope, node, control) for s in node.body)
                continue
            inner = control
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                value = node.value
                sources = set(control) | (self.uses(value, scope) if value is not None else set())
                for t in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._target(t, sources, scope, cls)
            elif isinstance(node, ast.Return):
                sources = set(control) | (self.uses(node.value, scope) if node.value else set())
                self._returns(scope, sources)
            elif isinstance(node, (ast.For, ast.AsyncFor)):
                sources = control | self.uses(node.iter, scope)
                self._target(node.target, sources, scope, cls)
                inner = frozenset(sources)
            elif isinstance(node, (ast.With, ast.AsyncWith)):
                for item in node.items:
                    sources = control | self.uses(item.context_expr, scope)
                    if item.optional_vars is not None:
                        self._target(item.optional_vars, sources, scope, cls)
                    inner = inner | sources
            elif isinstance(node, ast.Expr):
                self._expression(node.value, scope, control)
            elif isinstance(node, (ast.If, ast.While)):
                inner = frozenset(control | self.uses(node.test, scope))
            elif isinstance(node, ast.Match):
                sources = control | self.uses(node.subject, scope)
                inner = frozenset(sources)
                for case in node.cases:
                    for x in ast.walk(case.pattern):
                        name = getattr(x, "name", None) or getattr(x, "rest", None)
                        if isinstance(name, str):
                            if scope is not None:
                                self.locals[scope].add(name)
                            self._add(self.bound(scope, name), sources)
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list):
                    stack.extend((s, scope, cls, inner) for s in block)
            for part in getattr(node, "handlers", ()) or getattr(node, "cases", ()):
                stack.extend((s, scope, cls, inner) for s in part.body)

    def _function(self, node, scope, cls, control):
        a = node.args
        names = [x.arg for x in a.posonlyargs + a.args]
        for name, default in zip(names[len(names) - len(a.defaults) :], a.defaults):
            self._add((node, name), self.uses(default, scope))
        for x, default in zip(a.kwonlyargs, a.kw_defaults):
            if default is not None:
                self._add((node, x.arg), self.uses(default, scope))
        sources = set(control)
        for d in node.decorator_list:
            sources |= self.uses(d, scope)
        self._add((".", node.name) if cls is not None else (scope, node.name), sources)

    def _returns(self, scope, sources):
        if scope is not None:
            for binding in self._names_of(scope):
                self._add(binding, sources)

    def _expression(self, value, scope, control):
        ast = self.ast
        sources = control | self.uses(value, scope)
        if isinstance(value, (ast.Yield, ast.YieldFrom, ast.Await)):
            self._returns(scope, sources)
        if isinstance(value, ast.Call):
            # a call whose result nobody takes is there for what it changes
            base = self._base(value.func)
            if base is not None and isinstance(value.func, ast.Attribute):
                self._assign_to(self.bound(scope, base), sources, scope)
            elif base == "show_object":
                self.shown |= control

    def reached(self, *finals):
        """All bindings that the final object, or one of several, is made of."""
        seen = set()
        stack = list(self.shown) if self.shown else [(None, final) for final in finals]
        while stack:
            binding = stack.pop()
            if binding in seen:
                continue
            seen.add(binding)
            stack.extend(self.made_of.get(binding, ()))
        return seen


CONVERSIONS = frozenset("radians degrees float int".split())


def _named_numbers(tree):
    """[(node of the number, its name, how it is written for people, function it is in, class)]: numbers
    that a name stands for, alone, signed, in a conversion, or in a tuple, list or dict of such."""
    import ast

    found = []

    def inside(node, name, label, scope, cls):
        stack = [(node, label)]
        while stack and len(found) < 20000:
            node, label = stack.pop()
            if _number(node) is not None:
                found.append((node, name, label, scope, cls))
            elif isinstance(node, (ast.Tuple, ast.List)):
                stack.extend((x, f"{label}[{i}]") for i, x in enumerate(node.elts))
            elif isinstance(node, ast.Dict):
                for k, v in zip(node.keys, node.values):
                    if isinstance(k, ast.Constant):
                        stack.append((v, f"{label}[{str(k.value)[:60]!r}]"))
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", None)) in CONVERSIONS
                and len(node.args) == 1
                and not node.keywords
                and _number(node.args[0]) is not None
            ):
                stack.append((node.args[0], label))

    def pair(target, value, scope, cls):
        stack = [(target, value)]
        while stack:
            t, v = stack.pop()
            if isinstance(t, ast.Name):
                inside(v, t.id, t.id, scope, cls)
            elif isinstance(t, ast.Attribute):
                inside(v, "." + t.attr, t.attr, scope, cls)
            elif (
                isinstance(t, (ast.Tuple, ast.List))
                and isinstance(v, (ast.Tuple, ast.List))
                and len(t.elts) == len(v.elts)
            ):
                stack.extend(zip(t.elts, v.elts))

    stack = [(tree, None, None)]
    while stack:
        node, scope, cls = stack.pop()
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pair(target, node.value, scope, cls)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pair(node.target, node.value, scope, cls)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            a = node.args
            names = [x.arg for x in a.posonlyargs + a.args]
            for name, default in zip(names[len(names) - len(a.defaults) :], a.defaults):
                inside(default, name, name, node, None)
            for x, default in zip(a.kwonlyargs, a.kw_defaults):
                if default is not None:
                    inside(default, x.arg, x.arg, node, None)
            scope, cls = node, None
        elif isinstance(node, ast.ClassDef):
            cls = node
        stack.extend((child, scope, cls) for child in ast.iter_child_nodes(node))
    return found


def _line_starts(given):
    """Byte offsets at which the given text's lines begin, as Python counts lines."""
    starts, at = [0], 0
    for line in given.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\0\n").replace(
        b"\r", b"\n"
    ).split(b"\n"):
        at += len(line) + 1
        starts.append(at)
    return starts


def _facts(tree, text, stand_in=(None,)):
    """engine/wire.h, FACTS: what the syntax tree says; lines and offsets as in the given text.
    @stand_in: names that are taken for the final object's while the program has none."""
    import ast
    import math

    aliases = {"cq", "cadquery"} if text.seed else set()
    imports, functions, dimensions, loads, calls = [], [], [], {}, {}
    nodes, numbers, literals, stores = 0, 0, [], set()
    for node in ast.walk(tree):
        nodes += 1
        if isinstance(node, ast.Constant):
            if type(node.value) in (int, float):
                numbers += 1
                literals.append(node)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                loads[node.id] = loads.get(node.id, 0) + 1
            else:
                stores.add(node.id)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                calls[node.func.id] = calls.get(node.func.id, 0) + 1
            elif isinstance(node.func, ast.Attribute):
                name = "." + node.func.attr
                calls[name] = calls.get(name, 0) + 1
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imports.append({"module": _say(alias.name, 200), "line": node.lineno + text.offset})
                if alias.name == "cadquery":
                    aliases.add(alias.asname or "cadquery")
        elif isinstance(node, ast.ImportFrom):
            imports.append({"module": _say(node.module or ".", 200), "line": node.lineno + text.offset})
    if not aliases:
        aliases = {"cq", "cadquery"}
    final = None
    if "show_object" in calls:
        final = "show_object"
    else:
        final = next((n for n in FINAL_NAMES if n in stores), None)
    flow = _Flow(tree if nodes <= _Flow.NODES_MAX else ast.Module([], []))
    reached = flow.reached(*([final] if final else stand_in))

    starts, bom = _line_starts(text.given), text.bom
    named, used, at_node = set(), set(), {}
    for node, name, label, scope, cls in _named_numbers(tree) if nodes <= _Flow.NODES_MAX else ():
        if name.startswith(".") or cls is not None:
            reaches = (".", name.lstrip(".")) in reached or (
                cls is not None and flow.bound(scope, name) in reached
            )
        else:
            reaches = flow.bound(scope, name) in reached
        # the literal itself: a sign before it is part of the number and not of the count
        literal = node
        while isinstance(literal, ast.UnaryOp):
            literal = literal.operand
        named.add(literal)
        if reaches:
            used.add(literal)
        if literal in at_node:  # a = b = 5
            at_node[literal]["reaches"] |= reaches
            continue
        value = _number(node)
        start = starts[node.lineno - 1] if node.lineno <= len(starts) else None
        end = starts[node.end_lineno - 1] if node.end_lineno <= len(starts) else None
        at_node[literal] = {
            "name": _say(label, 200),
            "value": value if math.isfinite(value) else None,
            "line": node.lineno + text.offset,
            "column": node.col_offset + 1,
            "uses": loads.get(name.lstrip("."), 0),
            "reaches": reaches,
            "whole": type(literal.value) is int,
            "from": None if start is None else bom + start + node.col_offset,
            "to": None if end is None else bom + end + node.end_col_offset,
        }
    dimensions.extend(at_node.values())
    dimensions.sort(key=lambda d: (d["line"], d["column"]))
    # 0, 1 and 2 in a formula are no dimensions: halves, origins, neighbours
    counted = [x for x in literals if x in named or x.value not in (0, 1, 2)]

    own = [(f, b) for b, group in flow.functions.items() for f in group]
    own += [(f, (".", f.name)) for group in flow.methods.values() for f in group]
    for f, binding in own:
        if isinstance(f, ast.ClassDef):
            continue
        a = f.args
        called = calls.get(f.name, 0) if binding[0] != "." else calls.get("." + f.name, 0)
        functions.append(
            {
                "name": _say(f.name, 200),
                "line": f.lineno + text.offset,
                "args": len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs),
                "called": called,
                "reaches": called > 0 and binding in reached,
            }
        )
    functions.sort(key=lambda f: f["line"])
    unknown = _unknown_methods(tree, aliases)
    for u in unknown:
        u["line"] += text.offset
    return {
        "syntax": {"ok": True},
        "dimensions": dimensions[:500],
        "functions": functions[:500],
        "numbers": {
            "total": numbers,
            "counted": len(counted),
            "named": len(named),
            "named_used": len(used),
        },
        "functions_used": sum(f["reaches"] for f in functions),
        "nodes": nodes,
        "statements": len(tree.body),
        "imports": imports[:200],
        "unknown_methods": unknown,
        "final": final,
    }


# ---- jobs -----------------------------------------------------------------------------------------


def _line_offset(request):
    return int(min(max(request.get("line_offset", 0), 0), 10**8))


def _decode(blob):
    try:
        source = blob.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = blob.count(b"\n", 0, e.start) + 1
        raise Failure(
            e, "bad_input", line, remedy=f"the byte at offset {e.start} is no UTF-8: save the file as UTF-8"
        )
    at = blob.find(b"\0")
    if at >= 0:
        line = blob.count(b"\n", 0, at) + 1
        raise Failure(
            ValueError("source code string cannot contain null bytes"),
            "bad_input",
            line,
            remedy=f"the byte at offset {at} is NUL: remove it",
        )
    return source


def _build(request, blob, report):
    dialect = request.get("dialect", "open")
    filtered = request.get("filter", True)
    text, tree, compiling = Text(""), None, True
    text.offset = _line_offset(request)
    text.seed = dialect == "seed"
    c = STATE["c"]
    try:
        try:
            text.given = text.code = _decode(blob)
            text.bom = 3 if bytes(blob[:3]) == b"\xef\xbb\xbf" else 0
            if text.seed:
                _clean_seed(text, filtered)
                _settle_lines(text)
            tree = _parse(text)
            report["statements_all"] = len(tree.body)
            if not text.seed and filtered:
                _open_filter(tree, text.code)
            if request.get("facts"):
                # never the reason for a failure: a tree too deep to be walked has no facts
                try:
                    report["facts"] = _facts(tree, text)
                except (RecursionError, MemoryError):
                    pass
            code = compile(tree, PROGRAM, "exec", dont_inherit=True)
            c.statements([n.end_lineno for n in tree.body[:100000]], len(tree.body))
            compiling = False
            shown = []
            names = STATE["names"] = _names_of(dialect, filtered, shown)
            exec(code, names, names)
            report["statements_done"] = len(tree.body)
            if shown:
                final = shown[-1]
            else:
                for name in FINAL_NAMES:
                    if name in names:
                        final = names[name]
                        break
                else:
                    raise Failure(
                        ValueError(NO_FINAL_OBJECT), "no_final_object", remedy=REMEDIES["no_final_object"]
                    )
            try:
                shape = _final(final, dialect)
            except Failure as failure:
                failure.line = _assigned_at(tree, None if shown else name)
                raise
            brep = _brep(shape)
            limit = int(request.get("brep_mib", 256)) << 20
            size = brep.getbuffer().nbytes
            if size > limit:
                report["limit"] = {"name": "brep", "limit": limit / 1048576, "used": size / 1048576}
                raise Failure(
                    ValueError(f"the shape takes {size >> 20} MiB as BREP, at most {limit >> 20} are taken"),
                    "shape_limit",
                    remedy="use fewer faces",
                )
            report["ok"], report["cause"] = True, "ok"
            return brep.getbuffer()
        except Failure:
            raise
        except BaseException as e:
            raise Failure(e) from None
    except Failure as failure:
        report["refused"] = c.refusals()
        if compiling and (
            isinstance(failure.exception, RecursionError)
            or (isinstance(failure.exception, MemoryError) and not _memory_is_gone())
        ):
            failure = Failure(
                SyntaxError(f"the program is nested too deeply ({type(failure.exception).__name__})"),
                "syntax",
                remedy="nest brackets and blocks less deeply",
            )
        _report_failure(report, failure, text, tree, compiling)
        if report["cause"] == "empty_shape" and isinstance(failure.exception, ValueError):
            report["no_triangles"] = True
        if tree is None and request.get("facts"):
            report["facts"] = {
                "syntax": {
                    "ok": False,
                    "line": report["line"],
                    "column": report["column"],
                    "message": _say(getattr(failure.exception, "msg", None) or _message(failure.exception), 500),
                }
            }
        return b""


def _names():
    """What exists in CadQuery, as gpu/guard.h wants it: the module's names, and for Workplane and Sketch each
    name of an object with the class that a chain goes on with after calling it, or None when that is not said."""
    import cadquery as cq

    classes = {"Workplane": cq.Workplane, "Sketch": cq.Sketch}

    def goes_on(cls, own, name):
        said = getattr(getattr(cls, name, None), "__annotations__", {}).get("return")
        if getattr(said, "__name__", None) in classes:
            said = said.__name__
        said = str(said).strip("'\"")
        if said in ("~T", "T", "Self", "typing.Self", "typing_extensions.Self"):
            return own
        return said if said in classes else None

    return {
        "facts": {
            "cadquery": cq.__version__,
            "module": sorted(dir(cq)),
            "classes": {
                own: {n: goes_on(cls, own, n) for n in sorted(dir(cls()))} for own, cls in classes.items()
            },
        },
        "error": None,
    }


def _only_facts(request, blob):
    text = Text("")
    text.offset = _line_offset(request)
    text.seed = request.get("dialect", "open") == "seed"
    try:
        text.given = text.code = _decode(blob)
        text.bom = 3 if bytes(blob[:3]) == b"\xef\xbb\xbf" else 0
        if text.seed:
            _clean_seed(text, False)
            _settle_lines(text)
        tree = _parse(text)
        return {"facts": _facts(tree, text), "error": None}
    except BaseException as e:
        failure = e if isinstance(e, Failure) else Failure(e)
        e = failure.exception
        line, column = failure.line, failure.column
        if line is None and isinstance(e, SyntaxError):
            line, column = text.given_line(e.lineno), e.offset
        if line is not None:
            line += text.offset
        where = f"line {line}: " if line is not None else ""
        message = _say(e.msg if isinstance(e, SyntaxError) else _message(e), 500)
        return {
            "facts": {"syntax": {"ok": False, "line": line, "column": column, "message": message}},
            "error": _say(f"{where}{type(e).__name__}: {message}", 1500),
        }


def _mesh(request, blob):
    """The triangles that the published evaluator would see, put into the BREP itself."""
    from io import BytesIO

    if "V4" not in STATE:
        _prepare_names()
    try:
        shape = STATE["TopoDS_Shape"]()
        STATE["BinTools"].Read_s(shape, BytesIO(blob))
        if shape.IsNull():
            raise ValueError("the BREP holds no shape")
        # a BREP may bring triangles of its own, which the mesher would believe if they say that they
        # are fine enough: of faces and, by True, polygons of edges
        STATE["clean"](shape, True)
        STATE["mesher"](shape, request.get("linear", 0.1), True, request.get("angular", 0.1), False)
        out = BytesIO()
        STATE["BinTools"].Write_s(shape, out, True, False, STATE["V4"])
        return {"ok": True, "cause": "ok", "error": None}, out.getbuffer()
    except MemoryError:
        raise
    except BaseException as e:
        said = " ".join(_message(e).split())
        sentence = f"the shape cannot be meshed ({type(e).__name__}: {said}); build it another way"
        return {"ok": False, "cause": _cause_of(e, {}, False), "error": _say(sentence, 500)}, b""


def _convert(request, blob):
    if request.get("to") == "mesh":
        return _mesh(request, blob)
    from io import BytesIO
    import cadquery as cq
    from OCP.IFSelect import IFSelect_ReturnStatus
    from OCP.STEPControl import STEPControl_Reader, STEPControl_StepModelType, STEPControl_Writer

    done = IFSelect_ReturnStatus.IFSelect_RetDone
    try:
        if request.get("to") == "step":
            shape = cq.Shape.importBin(BytesIO(blob))
            writer, out = STEPControl_Writer(), BytesIO()
            if writer.Transfer(shape.wrapped, STEPControl_StepModelType.STEPControl_AsIs) != done:
                raise ValueError("the shape cannot be expressed as STEP")
            if writer.WriteStream(out) != done:
                raise ValueError("the STEP file could not be written")
            return {"ok": True, "error": None}, out.getbuffer()
        reader = STEPControl_Reader()
        if reader.ReadStream("file.step", BytesIO(blob)) != done:
            raise ValueError("this is no STEP file, or it is damaged")
        reader.TransferRoots()
        if reader.NbShapes() == 0:
            raise ValueError("the STEP file holds no shape")
        shape = cq.Shape.cast(reader.OneShape())
        return {"ok": True, "error": None}, _brep(shape).getbuffer()
    except BaseException as e:
        what = "BREP" if request.get("to") == "step" else "STEP file"
        said = " ".join(_message(e).split())
        sentence = f"the {what} cannot be converted ({type(e).__name__}: {said}); it is damaged or no {what}"
        return {"ok": False, "error": _say(sentence, 500)}, b""


def job(kind, request, blob):
    """In the jailed child. kind: "build", "watch", "facts" or "convert". Returns (JSON, bytes)."""
    import json

    dumps = json.dumps
    request = json.loads(request) if request else {}
    answer = b""
    if kind in ("build", "watch"):
        report = dict(
            ok=False,
            cause="other_exception",
            exception=None,
            error=None,
            line=None,
            column=None,
            source=None,
            limit=None,
            statements_done=0,
            statements_all=0,
            refused={},
            traceback=None,
            facts=None,
        )
        if kind == "build":
            answer = _build(request, blob, report)
        else:
            import cadforge_watch

            cadforge_watch.Watched(request, report).go(blob)
        report["refused"] = STATE["c"].refusals()
    elif kind == "facts":
        report = _names() if request.get("names") else _only_facts(request, blob)
    else:
        report, answer = _convert(request, blob)
    for name in ("stdout", "stderr"):
        try:
            STATE[name].flush()
        except BaseException:
            pass
    return dumps(report).encode(), answer


def begin(c):
    """First of all: the C side's functions, and the interpreter's own way to print an exception."""
    STATE["c"] = c
    STATE["excepthook"] = sys.__excepthook__
