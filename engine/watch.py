"""A program that is still being written, executed as it comes: what a jailed child of cadforge-builder does for
a WATCH (engine/wire.h).

Its top-level statements are executed one by one, each as soon as it is closed: as soon as Python's own parser
takes the text before it for whole, and what follows cannot belong to it any more. After each it is seen which
name was bound to a shape last. The first error ends it, with the report that a build of the same text would
make. What is executed, and how, is what engine/builder.py's build executes: the same names, the same filters,
statement after statement instead of all at once.

Nothing here is a wall, and nothing that is told here is believed beyond what it says of this program itself.
"""
import ast
import codecs
import codeop
import json
import time

import cadforge_builder as builder

# the parser says "incomplete input" where the text ends before the error could be one; see codeop
UNFINISHED = ast.PyCF_ONLY_AST | codeop.PyCF_ALLOW_INCOMPLETE_INPUT
GOES_ON = ("else", "elif", "except", "finally")
BLOCKS = ("def ", "class ", "for ", "while ", "if ", "with ", "try", "async ", "@", "match ")
# statements that are whole at the end of their line; all others may go on after it
ONE_LINE = (
    ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Assert, ast.Delete,
    ast.Pass, ast.Raise, ast.Global, ast.Nonlocal, ast.Return, ast.Break, ast.Continue,
)  # fmt: skip
LOOK_S = 0.05  # between two notices while statements are being executed
COSTS = 10  # work that is done again and again may take one part in so many of the time
MEMBERS_MAX = 1000


class Watched:
    def __init__(self, request, report):
        self.report = report
        self.c = builder.STATE["c"]
        self.dialect = request.get("dialect", "open")
        self.filtered = request.get("filter", True)
        self.brep_max = int(request.get("brep_mib", 32)) << 20
        self.wants_facts = bool(request.get("facts"))
        self.text = builder.Text("")  # all of it that came
        self.text.offset = builder._line_offset(request)
        self.text.seed = self.dialect == "seed"
        self.decode = codecs.getincrementaldecoder("utf-8")("strict")
        self.bytes = 0
        self.held = ""  # a carriage return whose line feed may follow
        self.ended = False
        self.at, self.line = 0, 1  # of the text: what is taken ends here; the line that begins there
        self.tried = None  # what close() looked at last
        self.try_at, self.facts_at = 0.0, 0.0  # not before these times again
        self.waits = False  # for try_at
        self.ends = 0  # last line of the statement under way
        self.nodes = []  # statements that were executed
        self.flags = 0  # of the compiler: __future__ imports hold for what follows
        self.shown = []
        self.names = builder.STATE["names"] = builder._names_of(self.dialect, self.filtered, self.shown)
        self.known, self.shown_before = dict(self.names), 0
        cq = __import__("cadquery")
        self.kinds = (cq.Workplane, cq.Assembly)
        self.assembly, self.shape = cq.Assembly, cq.Shape
        self.solid = builder.STATE["solid"]
        self.name, self.name_line = None, 0  # bound to a shape last
        self.bound = {}  # all of them, in the order in which they first were
        self.sight, self.sight_line, self.sent_line = None, 0, 0  # the shape itself; the line it is of, that was sent
        self.solids = False
        self.asked = False
        self.news, self.told_facts, self.told_at = True, 0, 0.0

    # ---- the text ----

    def more(self, blob, end=False):
        """Bytes that follow those before."""
        if end:
            self.ended = True
        try:
            come = self.held + self.decode.decode(blob, self.ended)
        except UnicodeDecodeError as e:
            raise builder.Failure(
                e, "bad_input", self.text.given.count("\n") + 1, remedy="save the file as UTF-8"
            )
        if self.bytes == 0 and come:
            come = come.removeprefix("\ufeff")
        self.bytes += len(blob)
        self.held = ""
        if come.endswith("\r") and not self.ended:
            come, self.held = come[:-1], "\r"
        if "\r" in come:
            come = come.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in come:
            line = (self.text.given + come[: come.index("\0")]).count("\n") + 1
            raise builder.Failure(
                ValueError("source code string cannot contain null bytes"), "bad_input", line,
                remedy="there is a NUL in it: remove it",
            )  # fmt: skip
        self.text.given += come
        self.text.lines = None

    def hear(self, timeout_ms):
        """What the owner says next, if it says something."""
        said = self.c.next(timeout_ms)
        if said is None:
            return False
        words = json.loads(said[0]) if said[0] else {}
        self.asked = self.asked or bool(words.get("shape"))
        self.more(said[1], bool(words.get("end")))
        return True

    # ---- what is closed ----

    def _parse(self, source):
        """The tree, or None when the text ends too early for one."""
        try:
            return compile(source, builder.PROGRAM, "exec", UNFINISHED, dont_inherit=True)
        except SyntaxError as e:
            if "incomplete input" in str(e.msg):
                return None
            self._strict(source)
            raise

    def _strict(self, source):
        """The tree; or the error, told of the whole text as a build tells it."""
        try:
            return compile(source, builder.PROGRAM, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except SyntaxError as e:
            text = self.text.given[: self.at] + source
            compile(text, builder.PROGRAM, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
            e.lineno = (e.lineno or 1) + self.line - 1
            raise

    def _begins(self, line):
        """A line that no statement before it can go on with."""
        if not line or line[0] in " \t\f\n#)]}\\":
            return False
        n = 0
        while n < len(line) and (line[n].isalnum() or line[n] == "_"):
            n += 1
        if n == len(line):  # a word that is not whole yet
            return not any(word.startswith(line) for word in GOES_ON)
        return line[:n] not in GOES_ON

    def closed(self):
        """Trees of what is closed and not yet taken, or None; takes it."""
        tail = self.text.given[self.at :]
        whole = tail if self.ended else tail[: tail.rfind("\n") + 1]
        begun = not self.ended and self._begins(tail[len(whole) :])
        looked = (len(whole), begun, self.ended)
        if not whole.strip() or looked == self.tried:
            return None
        now = time.monotonic()
        if not self.ended:
            self.waits = now < self.try_at
            if self.waits:
                return None
            new = whole[self.tried[0] :] if self.tried else whole
            block = whole.lstrip("\n").startswith(BLOCKS)
            if self.tried and block and not begun and not any(map(self._begins, new.split("\n"))):
                return None  # lines inside a block close nothing
        self.tried = looked
        if self.ended:
            tree = self._strict(whole)
        else:
            tree = self._parse(whole)
        end = len(whole)
        if tree is None:
            tree, end = self._whole_part(whole)
        elif tree.body and not self.ended and not begun and not isinstance(tree.body[-1], ONE_LINE):
            first = tree.body[-1]
            if len(tree.body) == 1:
                tree = None
            else:  # all but the last
                line = min([first.lineno] + [d.lineno for d in getattr(first, "decorator_list", ())])
                end = self._line_at(whole, line)
                tree = self._parse(whole[:end])
        self.try_at = time.monotonic() + COSTS * (time.monotonic() - now)
        if tree is None:
            return None
        return self._take(whole[:end], tree)

    @staticmethod
    def _line_at(text, line):
        at = 0
        for _ in range(line - 1):
            at = text.index("\n", at) + 1
        return at

    def _whole_part(self, whole):
        """The statements before one that is still open."""
        end = len(whole)
        for _ in range(64):
            end = whole.rfind("\n", 0, end - 1) + 1 if end > 0 else 0
            if end <= 0:
                return None, 0
            line = whole[end : whole.find("\n", end) + 1]
            if not self._begins(line) or whole[:end].endswith("\\\n"):
                continue
            tree = self._parse(whole[:end])
            if tree is not None:
                return tree, end
        return None, 0

    def _take(self, source, tree):
        before = self.line - 1
        if self.text.seed:
            part = builder.Text(source)
            part.offset = 0
            try:
                builder._clean_seed(part, self.filtered)
                builder._settle_lines(part)
                tree = builder._parse(part)
            except builder.Failure as failure:
                if failure.line is not None:
                    failure.line += before
                raise
        if before:
            ast.increment_lineno(tree, before)
        if self.filtered and not self.text.seed:
            builder._open_filter(tree, source)
        self.at += len(source)
        self.line += source.count("\n")
        self.tried = None
        return tree.body

    # ---- what is executed ----

    def run(self, node):
        code = compile(
            ast.Module([node], []), builder.PROGRAM, "exec", self.flags, dont_inherit=True
        )
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            import __future__

            for alias in node.names:
                self.flags |= getattr(__future__, alias.name).compiler_flag
        exec(code, self.names, self.names)
        self.nodes.append(node)
        self.report["statements_done"] = self.report["statements_all"] = len(self.nodes)
        self.news = True
        self.look(node)

    def _is_shape(self, value):
        """Of CadQuery's own classes alone: what a program makes of them may do anything when it is asked."""
        kind = type(value)
        if kind in self.kinds:
            return True
        if isinstance(value, self.shape):
            return kind.__module__.startswith("cadquery.")
        if kind in (list, tuple) and 0 < len(value) <= MEMBERS_MAX:
            return all(type(v) in self.kinds or type(v).__module__.startswith("cadquery.") for v in value) and all(
                self._is_shape(v) for v in value
            )
        return False

    def look(self, node):
        """Which name is bound to a shape now, or had its assembly added to."""
        found = None
        changed = {n for n, v in self.names.items() if self.known.get(n) is not v and self._is_shape(v)}
        if changed:
            stored = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
            found = next((n for n in reversed(stored) if n in changed), None) or sorted(changed)[-1]
            self.known = dict(self.names)
        elif len(self.names) != len(self.known):
            self.known = dict(self.names)
        value = self.names.get(found)
        if found is None and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for call in ast.walk(node):
                base = self._base(call.func) if isinstance(call, ast.Call) else None
                if base is not None and type(self.names.get(base)) is self.assembly:
                    found, value = base, self.names[base]
        if len(self.shown) > self.shown_before:
            self.shown_before = len(self.shown)
            if self._is_shape(self.shown[-1]):
                value = self.shown[-1]
                found = next((n for n, v in self.names.items() if v is value), "show_object")
        if found is None:
            return
        self.name, self.name_line = found, node.end_lineno
        self.bound[found] = True
        try:
            shapes = builder._flatten(value)
            shape = shapes[0] if len(shapes) == 1 else builder._compound(shapes)
            solid = builder._has(shape, self.solid)
            # a face that was selected is no picture of the part
            if not solid and (self.solids or not builder._has(shape, builder.STATE["face"])):
                return
        except Exception:
            return
        self.solids = self.solids or solid
        self.sight, self.sight_name, self.sight_line = shape, found, node.end_lineno

    @staticmethod
    def _base(node):
        while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        return node.id if isinstance(node, ast.Name) else None

    # ---- what is told ----

    def _facts_due(self):
        """Seconds till facts are to be told; None: there are no new ones."""
        if not self.wants_facts or self.told_facts == len(self.nodes):
            return None
        return max(0.0, self.facts_at - time.monotonic())

    def facts(self):
        now = time.monotonic()
        try:
            full = builder._facts(ast.Module(self.nodes, []), self.text, list(self.bound))
        except (RecursionError, MemoryError):
            self.wants_facts = False
            return {}
        self.facts_at = now + COSTS * (time.monotonic() - now)
        self.told_facts = len(self.nodes)
        return {k: full[k] for k in ("numbers", "functions_used", "nodes", "statements")}

    def tell(self, idle):
        """A notice, if there is one to give and it is taken now. False: there is one and it was not."""
        due = self.asked and self.sight is not None and self.sight_line != self.sent_line
        # a picture does not wait for facts
        with_facts = idle and not due and not self.news and self._facts_due() == 0
        now = time.monotonic()
        if not (self.news or due or with_facts):
            return True
        if not idle and now < self.told_at + LOOK_S:
            return False
        words = {"statements": len(self.nodes), "line": self.line - 1 + self.text.offset}
        if self.name is not None:
            words.update(name=builder._say(self.name, 200), name_line=self.name_line + self.text.offset)
        blob = b""
        if due:
            try:
                blob = builder._brep(self.sight).getbuffer()
            except Exception:
                pass
            if len(blob) > self.brep_max:
                blob = b""
        if blob:
            words.update(
                shape_name=builder._say(self.sight_name, 200), shape_line=self.sight_line + self.text.offset
            )
        told_facts = self.told_facts
        if with_facts:
            words["facts"] = self.facts()
        if not self.c.notice(json.dumps(words).encode(), blob):
            self.told_facts = told_facts
            return False
        self.told_at, self.news = now, False
        if due:
            self.sent_line = self.sight_line
            self.asked = not blob
        return True

    def go(self, blob):
        """Till the end or the first error, which the report tells."""
        compiling = True
        try:
            try:
                self.more(blob)
                while True:
                    compiling = True
                    body = self.closed()
                    if body is None and self.ended:
                        while not self.tell(True):
                            self.hear(-1)
                        break
                    if body is None:
                        self.rest()
                        continue
                    for node in body:
                        compiling = False
                        self.ends = node.end_lineno
                        self.run(node)
                        compiling, self.ends = True, 0
                        while self.hear(0):
                            pass
                        self.tell(False)
                self.report.update(ok=True, cause="ok")
            except builder.Failure:
                raise
            except BaseException as e:
                raise builder.Failure(e) from None
        except builder.Failure as failure:
            self.fail(failure, compiling)

    def rest(self):
        """Nothing is closed: tells what is to be told, and waits for more."""
        if not self.waits:
            self.c.idle()
        told = self.tell(True)
        until = []
        if self.waits:
            until.append(self.try_at - time.monotonic())
        if told and self._facts_due() is not None:
            until.append(self._facts_due())
        self.hear(1 + int(1000 * max(0.0, min(until))) if until else -1)

    def fail(self, failure, compiling):
        self.report["refused"] = self.c.refusals()
        e = failure.exception
        if compiling and isinstance(e, (RecursionError, MemoryError)) and not builder._memory_is_gone():
            failure = builder.Failure(
                SyntaxError(f"the program is nested too deeply ({type(e).__name__})"),
                "syntax",
                remedy="nest brackets and blocks less deeply",
            )
        builder._report_failure(self.report, failure, self.text, None, compiling)
        if self.name is not None:
            self.report.update(name=builder._say(self.name, 200), name_line=self.name_line + self.text.offset)
        # a text that ends with this line fails as well
        self.report["cut_line"] = (self.ends or self.text.given.count("\n")) + self.text.offset
