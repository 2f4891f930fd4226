"""Completions of a `cadforge serve --model` at an address. Called by serve_model.sh: serve_model.py URL FIRST. Speaks TAP."""

import json
import socket
import sys
import time
import urllib.error
import urllib.request

url, number = sys.argv[1], int(sys.argv[2])
bad = 0
PROMPT = {"prompt": "import cadquery as cq\n", "max_tokens": 12, "temperature": 0, "logprobs": 2}
CHAT = {"messages": [{"role": "user", "content": "A washer, M8."}], "max_tokens": 12, "temperature": 0,
        "logprobs": True, "top_logprobs": 2}


def claim(text, holds, why=""):
    global number, bad
    print(f"{'ok' if holds else 'not ok'} {number} - {text}")
    if not holds:
        print(f"# {why}"[:2000])
        bad = 1
    number += 1


def post(path, body):
    r = urllib.request.Request(url + path, json.dumps(body).encode())
    with urllib.request.urlopen(r, timeout=60) as answer:
        return answer.headers, answer.read().decode()


def refused(path, body):
    try:
        post(path, body)
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())["error"]["message"]
    return 200, ""


def pieces(path, body):
    headers, text = post(path, dict(body, stream=True, stream_options={"include_usage": True}))
    assert headers["content-type"] == "text/event-stream", headers
    events = text.split("\n\n")
    assert all(e.startswith("data: ") for e in events[:-1]) and events[-1] == "", text
    assert events[-2] == "data: [DONE]", text
    return [json.loads(e[6:]) for e in events[:-2]]


def figure(name):
    with urllib.request.urlopen(url + "/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise KeyError(name)


whole = json.loads(post("/v1/completions", PROMPT)[1])
got = pieces("/v1/completions", PROMPT)
choice, parts = whole["choices"][0], [e["choices"][0] for e in got if e["choices"]]
claim("a stream is the whole answer's text, token ids and log-probabilities, piece by piece",
      "".join(p["text"] for p in parts) == choice["text"]
      and [i for p in parts for i in p.get("token_ids", [])] == choice["token_ids"]
      and [v for p in parts if p["logprobs"] for v in p["logprobs"]["token_logprobs"]]
      == choice["logprobs"]["token_logprobs"]
      and len(choice["token_ids"]) == 12, (whole, got))
claim("its last piece says why it ended, the usage follows",
      parts[-1]["finish_reason"] == "length" and all(p["finish_reason"] is None for p in parts[:-1])
      and got[-1]["choices"] == [] and got[-1]["usage"] == whole["usage"], got[-2:])

whole = json.loads(post("/v1/chat/completions", CHAT)[1])
got = pieces("/v1/chat/completions", dict(CHAT, n=2))
choice = whole["choices"][0]
for index in (0, 1):
    parts = [c for e in got for c in e["choices"] if c["index"] == index]
    claim(f"a chat's stream is the whole answer's, answer {index} of two",
          "".join(p["delta"].get("content", "") for p in parts) == choice["message"]["content"]
          and [t for p in parts if p["logprobs"] for t in p["logprobs"]["content"]] == choice["logprobs"]["content"]
          and [p["finish_reason"] for p in parts][-1] == "length", (whole, parts))
claim("each token of a chat comes with its rivals",
      all(len(t["top_logprobs"]) == 2 for t in choice["logprobs"]["content"]), choice)

for path, body, words in (
    ("/v1/chat/completions", {"prompt": "x"}, "messages"),
    ("/v1/completions", {}, "prompt"),
    ("/v1/completions", dict(PROMPT, echo=True), "echo"),
    ("/v1/completions", dict(PROMPT, logprobs=1000, stream=True), "logprobs"),
):
    code, said = refused(path, body)
    claim(f"{path} without what it needs is refused in words: {words}", code == 400 and words in said, (code, said))

# an answer without an end, and a client that does not wait for it
host, port = url.split("//")[1].rsplit(":", 1)
for stream in (True, False):
    before = figure("cadforge_completions_total")
    body = json.dumps(dict(PROMPT, max_tokens=100000, ignore_eos=True, stream=stream)).encode()
    c = socket.create_connection((host, int(port)), timeout=60)
    c.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    if stream:
        text = b""
        while b"data: " not in text:
            text += c.recv(65536)
    until = time.monotonic() + 30
    while figure("cadforge_completions_under_way") != 1 and time.monotonic() < until:
        time.sleep(0.02)
    seen = figure("cadforge_completions_under_way")
    c.close()
    while figure("cadforge_completions_under_way") != 0 and time.monotonic() < until:
        time.sleep(0.02)
    claim(f"a client that leaves ends its answer, {'streamed' if stream else 'whole'}",
          seen == 1 and figure("cadforge_completions_under_way") == 0
          and figure("cadforge_completions_total") == before + 1)
again = json.loads(post("/v1/completions", PROMPT)[1])
claim("others are answered as before", len(again["choices"][0]["token_ids"]) == 12, again)
sys.exit(bad)
