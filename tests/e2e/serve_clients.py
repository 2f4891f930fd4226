#!/usr/bin/env python3
"""The client packages of PyPI, as they are, and cadforge_env on them, against a running `cadforge serve`.

serve_clients.py URL FIRST: run by a Python that has openenv-core or openenv. Speaks TAP, numbered from FIRST.
"""
import asyncio
import importlib.metadata
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

URL, n = sys.argv[1].rstrip("/"), int(sys.argv[2]) - 1
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "engine", "cadforge_env"))

from cadforge_env import CadForgeAction, CadForgeEnv, CadForgeEnvironment, fetch_artifact
from openenv.core import GenericEnvClient, MCPToolClient

HOOK = "wall_j_hook_120n"
BOX = "import cadquery as cq\nfixture = cq.Workplane().box(10, 20, {})"
versions = [f"{d.metadata['Name']} {d.version}" for d in importlib.metadata.distributions()
            if d.metadata["Name"] in ("openenv", "openenv-core")]
assert len(versions) == 1, f"one of openenv and openenv-core wanted, here are {versions}"
failed = False


def claim(holds, text, *seen):
    global n, failed
    n += 1
    print(f"{'ok' if holds else 'not ok'} {n} - {versions[0]}: {text}", flush=True)
    if not holds:
        failed = True
        for s in seen:
            print("#", repr(s)[:1500], flush=True)


def fails(ask):
    """What @ask raises."""
    try:
        return f"nothing raised, but {ask()!r}"
    except Exception as e:
        return f"{type(e).__name__}: {e}"


# ---------------------------------------------------------------- the package's own client
with GenericEnvClient(base_url=URL).sync() as env:
    r = env.reset(task_id=HOOK, seed=3)
    claim(r.reward == 0.0 and not r.done and r.observation["task_id"] == HOOK and r.observation["task_brief"]
          and r.observation["reward_json"] == {} and "Ready." in r.observation["verifier_notes"][0],
          "a reset gives the task asked for", r)
    r = env.step({"code": BOX.format(30)})
    first = r.reward
    o = r.observation
    claim(0 < r.reward < 0.92 and o["reward_json"]["total"] == r.reward and o["reward_json"]["build"] == 1
          and len(o["reward_json"]) == 9, "a part that builds has a reward of nine terms", r)
    claim(o["task_id"] == HOOK and env.state()["task_id"] == HOOK,
          "a step that names no task stays with the episode's", o)
    claim(o["artifacts_dir"].startswith("artifact:") and "/work" not in json.dumps(o) and "/tmp" not in json.dumps(o),
          "artifacts are references, and no path of the server is told", o)
    r = env.step({"code": "import cadquery as cq\nfixture = cq.Workplane().bax(1, 2, 3)"})
    o = r.observation
    claim(r.reward == -1.0 and o["reward_json"]["build"] == 0 and "contact" not in o["reward_json"]
          and "bax" in o["metadata"]["build_log"], "one that does not build has -1, and its error", r)
    claim(abs(o["metadata"]["reward_delta"] - (-1 - first)) < 1e-9 and len(o["trace"]) == 2
          and [t["step"] for t in o["trace"]] == [1, 2], "the turn before is told", o)
    state = env.state()
    claim(state["step_count"] == 2 and state["episode_id"], "state counts the steps", state)
    e = fails(lambda: env.step({"code": ""}))
    claim("VALIDATION_ERROR" in e and env.state()["step_count"] == 2, "an empty program is refused and not counted", e)


async def tools():
    async with MCPToolClient(base_url=URL) as mcp:
        mcp.use_production_mode = True
        names = sorted(t.name for t in await mcp.list_tools())
        told = [json.dumps(await mcp.call_tool("submit_cadquery", code=BOX.format(31)), default=str),
                json.dumps(await mcp.call_tool("measure"), default=str)]
        return names, told

names, told = asyncio.run(tools())
claim(names == ["build_log", "get_task", "list_tasks", "measure", "submit_cadquery"], "MCP: five tools", names)
claim("reward" in told[0] and "31" in told[1], "MCP: a program is submitted and measured", told)


# ---------------------------------------------------------------- ours, on top of it
async def eight():
    async def one(k):
        async with CadForgeEnv(URL) as env:
            await env.reset(task_id=HOOK)
            steps = [await env.step(CadForgeAction(code=BOX.format(40 + k + j))) for j in range(2)]
            return [s.reward for s in steps], (await env.state()).step_count
    return await asyncio.gather(*(one(k % 4) for k in range(8)))

with CadForgeEnv(URL).sync() as env:
    env.reset(task_id=HOOK)
    o = env.step(CadForgeAction(code=BOX.format(30))).observation
    claim(o.reward_json["total"] == first and o.trace[0].reward["total"] == first and o.trace[0].ok and not o.more,
          "the typed client knows every key, and the same program has the same reward", o)
    state = env.state()
    claim(state.step_count == 1 and state.last_reward["total"] == first and not state.more, "state, typed", state)
    stl = fetch_artifact(URL, o.artifacts_dir, "shape.stl")
    claim(len(stl) > 84, "an artifact is fetched by its reference", o.artifacts_dir, stl[:80])
    e = fails(lambda: fetch_artifact(URL, o.artifacts_dir, "../../../etc/passwd"))
    claim("404" in e or "400" in e, "no path leads out of them", e)
    o = env.reset(task_id="no_such_task").observation
    claim(o.task_brief == "" and any("unknown task" in x for x in o.verifier_notes), "an unknown task is told", o)
all8 = asyncio.run(eight())
claim(len({json.dumps(x) for x in all8[:4]}) == 4 and all8[:4] == all8[4:] and all(c == 2 for _, c in all8),
      "eight sessions at once do not see one another", all8)

# ---------------------------------------------------------------- TRL's environment class
server = urllib.parse.urlsplit(URL)


class Between:
    """A relay to the server, which can be cut off."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.through, self.pairs, self.made = True, [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listening.accept()
            if not self.through:
                near.close()
                continue
            self.made += 1
            far = socket.create_connection((server.hostname, server.port))
            self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for pair in self.pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []


between = Between()
env = CadForgeEnvironment(between.url, patience_s=30)
text = env.reset(task_id=HOOK, prompt=[{"role": "user", "content": "x"}], other=1)
claim("hook" in text.lower() and env.get_reward() == -1.0, "TRL: a row's task begins, other columns are ignored", text)
told = env.submit_cadquery(BOX.format(30))
claim(f"reward {first:.3f}" in told and env.get_reward() == first, "TRL: the tool tells the reward", told)
between.cut()
told = env.submit_cadquery(BOX.format(30))
claim(f"reward {first:.3f}" in told and env.get_reward() == first and between.made >= 2,
      "TRL: a connection lost between two steps is made again, with the same task", told)
between.through = False
between.cut()
threading.Timer(1.0, lambda: setattr(between, "through", True)).start()
text = env.reset(task_id=HOOK)
claim("hook" in text.lower(), "TRL: a server that is gone for a second is waited for", text)
threading.Timer(0.3, between.cut).start()
told = env.submit_cadquery("x = 0\nfor i in range(30000000):\n    x = x + i\n" + BOX.format(30))
claim(env.get_reward() > 0, "TRL: a connection lost in the middle of a build costs no reward", told)
again = pickle.loads(pickle.dumps(env))
claim(f"reward {first:.3f}" in again.submit_cadquery(BOX.format(30)), "TRL: a pickled copy opens a session of its own")
e = fails(lambda: env.reset(task_id="no_such_task"))
claim(e.startswith("ValueError") and "no such task" in e, "TRL: a task that is not there is an error of the data", e)
e = fails(lambda: CadForgeEnvironment("http://127.0.0.1:1", patience_s=0.5).reset(task_id=HOOK))
claim(e.startswith("ConnectionError") and "cadforge serve" in e, "TRL: patience has an end, told in words", e)

# ---------------------------------------------------------------- the package's own judgement
tool = os.path.join(os.path.dirname(sys.executable), "openenv")
said = subprocess.run([tool, "validate", "--url", URL], capture_output=True, text=True, timeout=60)
try:  # 0.2.3 tells it as JSON, 0.10 as lines
    report = json.loads(said.stdout[said.stdout.index("{"):])
    passed = [c["id"] for c in report["criteria"] if c["passed"]]
    whole = report["passed"] is True and len(passed) == len(report["criteria"])
except ValueError:
    passed = [line.split()[1] for line in said.stdout.splitlines() if line.split()[:1] == ["PASS"]]
    whole = "Verdict: PASS" in said.stdout and "FAIL" not in said.stdout
claim(said.returncode == 0 and whole and len(passed) >= 6, "openenv validate --url: " + ", ".join(passed), said.stdout,
      said.stderr)
sys.exit(failed)
