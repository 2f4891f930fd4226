#!/usr/bin/env python3
"""Bad input over the wire against a running `cadforge serve`: with sockets alone, nothing to install.

serve_bad.py PORT PID FIRST [--many]: PID is the server's, to count its descriptors; its capacity must be 1000 or more with
--many, else 8. Speaks TAP, numbered from FIRST. Each claim is made on a server that has had all those before it, and ends
with another client's step answered as ever.
"""
import base64
import json
import os
import resource
import selectors
import socket
import struct
import sys
import time

PORT, PID, n = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) - 1
MANY = "--many" in sys.argv
PROMPT_S = 20  # an answer that takes longer is none
BOX = "import cadquery as cq\nfixture = cq.Workplane().box(10, 20, {})"
SLOW = "x = 0\nfor i in range({}):\n    x = x + i\n" + BOX.format(5)
failed = False


def claim(holds, text, *seen):
    global n, failed
    n += 1
    print(f"{'ok' if holds else 'not ok'} {n} - {text}", flush=True)
    if not holds:
        failed = True
        for s in seen:
            print("#", repr(s)[:1000], flush=True)


class Gone(Exception):
    """The other side has closed; args[0] is the WebSocket's code, None without."""


def plain():
    return socket.create_connection(("127.0.0.1", PORT), timeout=PROMPT_S)


class Client:
    """A WebSocket that can also misbehave."""

    def __init__(self, path="/ws", wait=True):
        self.s, self.had = plain(), b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost:{PORT}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        if wait:
            self.opened()

    def opened(self):
        while b"\r\n\r\n" not in self.had:
            self.more()
        head, self.had = self.had.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Gone(head)
        return self

    def more(self):
        got = self.s.recv(65536)
        if not got:
            raise Gone(None)
        self.had += got

    @staticmethod
    def framed(payload, opcode=1, fin=True, masked=True, first=0):
        head = bytes([(0x80 if fin else 0) | opcode | first])
        size, m = len(payload), 0x80 if masked else 0
        if size < 126:
            head += bytes([m | size])
        elif size < 65536:
            head += struct.pack(">BH", m | 126, size)
        else:
            head += struct.pack(">BQ", m | 127, size)
        if not masked:
            return head + payload
        return head + b"\0\0\0\0" + payload # a mask of zeros is one, too

    def send(self, payload, **how):
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
        self.s.sendall(self.framed(payload if isinstance(payload, bytes) else payload.encode(), **how))

    def frame(self):
        """(opcode, payload); Gone at the end."""
        while True:
            if len(self.had) >= 2:
                size, at = self.had[1] & 127, 2
                if size == 126 and len(self.had) >= 4:
                    size, at = struct.unpack(">H", self.had[2:4])[0], 4
                elif size == 127 and len(self.had) >= 10:
                    size, at = struct.unpack(">Q", self.had[2:10])[0], 10
                elif size >= 126:
                    size = 1 << 62
                if len(self.had) >= at + size:
                    opcode, payload = self.had[0] & 15, self.had[at:at + size]
                    self.had = self.had[at + size:]
                    return opcode, payload
            self.more()

    def answer(self):
        while True:
            opcode, payload = self.frame()
            if opcode == 9:
                self.send(payload, opcode=10)
            elif opcode == 8:
                raise Gone(struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else None)
            elif opcode == 1:
                return json.loads(payload)

    def ask(self, payload, **how):
        self.send(payload, **how)
        return self.answer()

    def step(self, code):
        return self.ask({"type": "step", "data": {"code": code}})

    def closed(self):
        """The code with which the other side closes; "reset" when it hangs up without, "open" when it does not."""
        self.s.settimeout(5)
        try:
            while True:
                self.answer()
        except Gone as e:
            return e.args[0]
        except OSError as e:
            return "reset" if isinstance(e, ConnectionError) else "open"
        except ValueError as e:
            return f"an answer that is no JSON: {e}"
        finally:
            self.s.close()

    def leave(self):
        self.s.close()


def code_of(answer):
    return answer["data"].get("code") if answer["type"] == "error" else answer["type"]


def http(request, body=b""):
    """(status, body) of one raw request."""
    with plain() as s:
        try:
            s.sendall(request.encode() + body)
        except ConnectionError:
            pass  # it has answered before the end
        had = b""
        try:
            while got := s.recv(65536):
                had += got
                head, _, rest = had.partition(b"\r\n\r\n")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:") and len(rest) >= int(line.split(b":")[1]):
                        return int(head.split()[1]), rest
        except ConnectionError:
            pass
        return (int(had.split()[1]), had.partition(b"\r\n\r\n")[2]) if had else (None, b"")


def post(path, body, head=""):
    body = body if isinstance(body, bytes) else body.encode()
    return http(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n", body)


def health():
    return http("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def memory_mib():
    with open(f"/proc/{PID}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024


def until(holds, seconds=PROMPT_S):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def settled(k):
    return until(lambda: descriptors() <= k)


witness = Client()  # a well-behaved session, open all along
first = witness.step(BOX.format(30))["data"]["reward"]


def others():
    """Whether the others are served as ever."""
    try:
        steps = witness.ask({"type": "state"})["data"]["step_count"]
        if steps >= 10:
            witness.ask({"type": "reset"})
        reward, status = witness.step(BOX.format(30))["data"]["reward"], health()[0]
        return (reward, status) == (first, 200) or (reward, status)
    except (OSError, Gone, KeyError) as e:
        return e


# ---------------------------------------------------------------- frames and messages
c = Client()
seen = [c.ask("{"), c.ask(""), c.ask({"type": "fly"}), c.ask({"kind": 1}), c.ask({"type": "step"}),
        c.ask({"type": "step", "data": {}}), c.ask({"type": "step", "data": {"code": 7}}),
        c.ask({"type": "step", "data": {"code": "x = 1", "reward_mode": "free"}}),
        c.ask({"type": "step", "data": {"code": "x = 1", "more": 1}}), c.ask({"type": "reset", "data": None}),
        c.ask({"type": "state", "data": {}}), c.ask({"type": "reset", "data": {"task_id": 7}}), c.ask({"type": "state"})]
codes = [code_of(a) for a in seen]
claim(codes[:4] == ["INVALID_JSON", "INVALID_JSON", "UNKNOWN_TYPE", "UNKNOWN_TYPE"]
      and set(codes[4:11]) == {"VALIDATION_ERROR"} and codes[12] == "state" and seen[12]["data"]["step_count"] == 0,
      "wrong messages are answered with their codes, and the session goes on, nothing counted", seen)
c.send(json.dumps({"type": "reset", "data": {"task_id": "no_such"}})[:9], fin=False)
c.send(json.dumps({"type": "reset", "data": {"task_id": "no_such"}})[9:], opcode=0)
seen = c.answer()
claim(seen["type"] == "observation" and any("unknown task" in x for x in seen["data"]["observation"]["verifier_notes"]),
      "a message in pieces is joined; an unknown task is told", seen)
c.leave()
ends = {}
for name, how in {"reserved bits": dict(first=0x70), "reserved opcode": dict(opcode=3),
                  "a piece of nothing": dict(opcode=0), "a ping in pieces": dict(opcode=9, fin=False)}.items():
    c = Client()
    c.send(b'{"type": "state"}', **how)
    ends[name] = c.closed()
c = Client()
c.send(b'{"type": "st\xff\xfe"}')
ends["no UTF-8"] = c.closed()
claim(all(e in (1002, 1007, "reset", None) for e in ends.values()) and others() is True,
      "broken frames close their own connection", ends)
c = Client()
try:
    c.s.sendall(struct.pack(">BBQ", 0x81, 0xFF, 1 << 62) + b"\0\0\0\0" + b"x" * (17 << 20))
    huge = c.closed()
except OSError:
    huge = "reset"
c = Client()
try:
    c.send(b'"' + b"x" * (17 << 20) + b'"')
    big = c.closed()
except OSError as e:
    big = "reset"
deep = Client()
nested = deep.ask("[" * 100000)
claim(huge in (1009, 1002, "reset", None) and big in (1009, "reset", None) and code_of(nested) in (
      "INVALID_JSON", "SESSION_ERROR") and others() is True, "what is too long is refused: a frame, a message, a nesting",
      huge, big, nested)
deep.leave()
c = Client()
c.send(b"\x00\x01", opcode=2)
binary = code_of(c.answer())
end = c.closed()
claim(binary == "SESSION_ERROR", "a binary frame is no message, told in words", binary, end)

# ---------------------------------------------------------------- HTTP
seen = [post("/reset", "{"), post("/step", "{}"), post("/step", '{"action": {"code": ""}}'), post("/step", '{"action": 7}'),
        post("/reset", '{"seed": -1}'), post("/step", "[" * 100000)]
claim(all(s == 422 and json.loads(b)["detail"][0]["msg"] for s, b in seen), "wrong bodies are answered with 422 and why", seen)
seen = [http("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")[0], http("DELETE /reset HTTP/1.1\r\nHost: x\r\n\r\n")[0],
        http("GET /artifacts/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n")[0],
        http("GET /artifacts/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n")[0]]
claim(seen[:2] == [404, 405] and all(s in (400, 403, 404) for s in seen[2:]), "wrong paths and methods: 404, 405", seen)
seen = [post("/step", b"x" * (17 << 20))[0],
        http("POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")[0],
        http("POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")[0],
        http("GET /" + "a" * 100000 + " HTTP/1.1\r\nHost: x\r\n\r\n")[0],
        http("GET / HTTP/1.1\r\nX: " + "b" * 100000 + "\r\n\r\n")[0], http("\r\n\r\n\0\0\0")[0], http("\x16\x03\x01\x02")[0]]
claim(seen[0] in (413, None) and all(s is None or s >= 400 for s in seen[1:]) and others() is True,
      "bodies, heads and lines without end are refused", seen)

# ---------------------------------------------------------------- the order of things
c = Client()
seen = c.step(BOX.format(30))
claim(seen["type"] == "observation" and seen["data"]["reward"] == first, "a step before any reset is one of the default task", seen)
c.ask({"type": "reset"})
for k in range(12):
    seen = c.step("x = 1")
before = c.ask({"type": "state"})
late = c.step(BOX.format(31))
after = c.ask({"type": "state"})
claim(seen["data"]["done"] and before["data"]["step_count"] == 12 and after["data"]["step_count"] == 12
      and late["data"]["done"] and len(late["data"]["observation"]["verifier_notes"]) >
      0 and late["data"]["reward"] == seen["data"]["reward"], "a step after the last one builds nothing and counts nothing", late)
c.leave()

# ---------------------------------------------------------------- clients that are slow, mute, gone
count = descriptors()
slow = [plain() for _ in range(3)]
slow[0].sendall(b"GET /health HT")
slow[1].sendall(b"POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
claim(others() is True, "who sends half a request keeps nobody waiting")
c = Client()
for byte in Client.framed(b'{"type": "state"}'):
    c.s.sendall(bytes([byte]))
claim(c.answer()["type"] == "state", "a message byte by byte is read")
c.leave()
for s in slow:
    s.close()
reader = Client()  # asks and asks, and never reads
reader.s.setblocking(False)
sent = 0
try:
    for sent in range(200000):
        reader.s.send(Client.framed(b'{"type": "state"}'))
except BlockingIOError:
    pass
except OSError:
    pass
claim(others() is True and memory_mib() < 600, "who never reads answers fills no memory, and nobody else's time", sent, memory_mib())
reader.leave()
c = Client()
c.send({"type": "step", "data": {"code": SLOW.format(40000000)}})
began = time.monotonic()
c.send(b"there?", opcode=9)
opcode, payload = c.frame()
pong_s = time.monotonic() - began
claim(opcode == 10 and payload == b"there?" and pong_s < 0.5, "a ping in mid-build is answered", opcode, payload, pong_s)
c.leave()  # in mid-build
c = Client()
c.send({"type": "step", "data": {"code": SLOW.format(20000001)}})
c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.leave()  # the same with a reset
claim(others() is True, "who leaves in mid-build is let go of")
claim(settled(count), "nobody left a descriptor behind", count, descriptors())

# ---------------------------------------------------------------- too many
if not MANY:
    more = []
    try:
        while len(more) < 12:
            more.append(Client())
    except (OSError, Gone) as e:
        more.append(e)
    full = more[-1].ask({"type": "state"})
    end = more[-1].closed()
    claim(code_of(full) == "CAPACITY_REACHED" and full["data"]["max_sessions"] == 8 and "capacity" in full["data"]["message"]
          and end == 1000 and others() is True, "the ninth of eight is told so, and the eight go on", full, end)
    for c in more:
        c.leave()
    claim(settled(count), "and leaves nothing behind", count, descriptors())
    witness.leave()
    sys.exit(failed)

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
before_mib = memory_mib()
began = time.monotonic()
idle = [Client(wait=False) for _ in range(1000 - 65)]
for c in idle:
    c.opened()
    c.ask({"type": "reset", "data": {"task_id": "wall_j_hook_120n"}})
open_s = time.monotonic() - began
stepping = [Client() for _ in range(64)]
began = time.monotonic()
times = []
for turn in range(2):
    for k, c in enumerate(stepping):
        c.send({"type": "step", "data": {"code": BOX.format(100 + k)}})
        c.asked = time.monotonic()
    poll = selectors.DefaultSelector()
    for c in stepping:
        poll.register(c.s, selectors.EVENT_READ, c)
    rewards = []
    while poll.get_map():
        for key, _ in poll.select(PROMPT_S * 6):
            c = key.data
            poll.unregister(c.s)
            answer = c.answer()
            rewards.append(answer["data"].get("reward"))
            times.append(time.monotonic() - c.asked)
spent = time.monotonic() - began
full = Client()
refusal = full.ask({"type": "state"})
full.leave()
alive = sum(c.ask({"type": "state"})["data"]["task_id"] == "wall_j_hook_120n" for c in idle)
times.sort()
print(f"# 1,000 sessions: opened in {open_s:.1f} s, {memory_mib() - before_mib:.0f} MiB more; {len(times)} steps of 64 sessions in "
      f"{spent:.1f} s, median {times[len(times) // 2]:.2f} s, longest {times[-1]:.2f} s", flush=True)
claim(len(times) == 128 and all(r is not None and r > 0 for r in rewards) and alive == len(idle)
      and code_of(refusal) == "CAPACITY_REACHED" and others() is True,
      "1,000 sessions are open, 64 of them step, the next one is refused", len(times), rewards, alive, refusal)
for c in idle + stepping:
    c.leave()
claim(settled(count), "all of them leave nothing behind", count, descriptors())

began = time.monotonic()
kept, refused = [], 0
for k in range(10000):
    try:
        s = plain()
        if k % 3 == 0:
            s.sendall(b"GET /health HTTP/1.1\r\n")
        kept.append(s)
    except OSError:
        refused += 1
print(f"# 10,000 connections in {time.monotonic() - began:.1f} s, {refused} refused, the server has {descriptors()} descriptors, "
      f"{memory_mib():.0f} MiB", flush=True)
served = others()
claim(len(kept) == 10000 and served is True, "10,000 connections at once: the others are served as ever", len(kept), served)
for s in kept:
    s.close()
claim(settled(count), "and nothing is left of them", count, descriptors())
witness.leave()
sys.exit(failed)
