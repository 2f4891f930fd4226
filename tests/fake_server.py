"""A server with OpenAI's interface that does what the model's name says: for tests/t_remote.c.

Prints its two ports (the second only redirects), then what it was asked, a JSON line a request."""
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = {}
lock = threading.Lock()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # whoever asked may have left


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def whole(self, status, text, kind="application/json", **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()

    def raw(self, data):
        self.wfile.write(data if isinstance(data, bytes) else data.encode())
        self.wfile.flush()

    def event(self, o):
        self.raw("data: " + (o if isinstance(o, str) else json.dumps(o)) + "\n\n")

    def piece(self, text, finish=None, **more):
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        how = asked["model"]
        with lock:
            seen[how] = nth = seen.get(how, 0) + 1
            print(json.dumps({"how": how, "path": self.path, "port": self.server.server_port,
                              "key": self.headers.get("Authorization"), "asked": asked}), flush=True)
        try:
            getattr(self, "do_" + how.replace("-", "_"))(asked, nth)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def do_well(self, asked, nth):
        self.begin()
        self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        self.raw(": a comment\n\n")
        for word in ("Grüß", " dich", "!"):
            self.piece(word)
        self.piece("", "stop")
        self.event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3,
                                             "prompt_tokens_details": {"cached_tokens": 4}}})
        self.event("[DONE]")

    def do_bytewise(self, asked, nth):
        self.begin()
        for byte in ('data: {"choices":[{"delta":{"content":"ab"}}]}\r\n\r\n'
                     'data: {"choices":[{"delta":{"content":"c\u00e9"},"finish_reason":"length"}]}\r\n\r\n').encode():
            self.raw(bytes([byte]))

    def do_thinks(self, asked, nth):
        self.begin()
        self.event({"choices": [{"delta": {"reasoning_content": "hm"}}]})
        self.piece("yes")
        self.piece("", "stop")

    def do_marks(self, asked, nth):
        self.begin()
        self.piece("<think>\nh")
        self.piece("m</thi")
        self.piece("nk>\n\nyes", "stop")

    def do_logprobs(self, asked, nth):
        self.begin()
        self.piece("ab", None, logprobs={"content": [
            {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "x", "logprob": -2}]},
            {"token": "b", "logprob": -1.5, "top_logprobs": []}]})
        self.piece("", "stop")

    def do_no_logprobs(self, asked, nth):
        if "logprobs" in asked:
            return self.whole(400, '{"error": {"message": "logprobs is not supported by this model"}}')
        return self.do_well(asked, nth)

    def do_drops(self, asked, nth):
        self.begin()
        self.piece("half an ans")

    def do_drops_at_once(self, asked, nth):
        if nth < 3:
            self.close_connection = True
            return None
        return self.do_well(asked, nth)

    def do_empty_stream(self, asked, nth):
        self.begin()

    def do_later(self, asked, nth):
        if nth == 1:
            return self.whole(429, '{"error": {"message": "slow down"}}', Retry_After="1")
        if nth == 2:
            return self.whole(503, "busy", "text/plain")
        return self.do_well(asked, nth)

    def do_always_429(self, asked, nth):
        self.whole(429, '{"error": {"message": "no quota"}}')

    def do_much_later(self, asked, nth):
        self.whole(429, '{"error": {"message": "no quota"}}', Retry_After="9999")

    def do_key(self, asked, nth):
        self.whole(401, json.dumps({"error": {"message": "bad key " + str(self.headers.get("Authorization"))}}))

    def do_detail(self, asked, nth):
        self.whole(404, '{"detail": "no model \\u001b[31m here"}')

    def do_error_event(self, asked, nth):
        self.begin()
        self.piece("so far")
        self.event({"error": {"message": "out of memory on rank 3"}})

    def do_filter(self, asked, nth):
        self.begin()
        self.piece("x", "content_filter")

    def do_nonsense(self, asked, nth):
        self.begin()
        self.event("{not json")

    def do_html(self, asked, nth):
        self.whole(200, "<html>welcome</html>", "text/html")

    def do_plain(self, asked, nth):
        self.whole(200, json.dumps({"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}],
                                    "usage": {"prompt_tokens": 2}}))

    def do_huge_line(self, asked, nth):
        self.begin()
        self.raw("data: ")
        for _ in range(40):
            self.raw(b"x" * 65536)

    def do_huge_answer(self, asked, nth):
        self.begin()
        for _ in range(200):
            self.piece("y" * 65536)

    def do_huge_body(self, asked, nth):
        self.whole(200, "z" * 3000000, "text/plain")

    def do_silent(self, asked, nth):
        time.sleep(4)

    def do_stalls(self, asked, nth):
        self.begin()
        self.piece("some")
        time.sleep(4)

    def do_slow(self, asked, nth):
        self.begin()
        for _ in range(6):
            time.sleep(0.2)
            self.piece("w")
        self.piece("", "stop")

    def do_bad_utf8(self, asked, nth):
        self.begin()
        self.raw(b'data: {"choices":[{"delta":{"content":"a\xffb"},"finish_reason":"stop"}]}\n\n')

    def do_elsewhere(self, asked, nth):
        port = ports[1] if self.server.server_port == ports[0] else None
        if port:
            return self.whole(307, "", Location=f"http://127.0.0.1:{port}/v1/chat/completions")
        return self.do_well(asked, nth)

    def do_file(self, asked, nth):
        self.whole(302, "", Location="file:///etc/passwd")

    def do_circle(self, asked, nth):
        self.whole(307, "", Location=self.path)


servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
ports = [s.server_port for s in servers]
for s in servers:
    threading.Thread(target=s.serve_forever, daemon=True).start()
print(json.dumps(ports), flush=True)
sys.stdin.read()
