#!/usr/bin/python3
"""A page in a real browser: Chromium without a window, spoken to over a pipe (its DevTools protocol).

    page.py CHROMIUM PAGE.html [SHOTS]

Prints a line a claim: "ok TEXT" or "not ok TEXT". The page is one of an episode with at least three
turns, of which the last two have a part. With SHOTS, a folder, pictures of what is seen are left
there.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

WAIT_S = 60


class Browser:
    def __init__(self, program, folder):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        # the protocol is on descriptors 3 and 4 of the browser
        shell = 'exec "$0" "$@" 3<&%d 4>&%d' % (to_read, from_write)
        self.process = subprocess.Popen(
            ["sh", "-c", shell, program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe",
             "--user-data-dir=" + folder, "--use-gl=angle", "--use-angle=swiftshader",
             "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--disable-sync",
             "--hide-scrollbars", "about:blank"],
            pass_fds=[to_read, from_write], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=open(os.path.join(folder, "stderr"), "w"))
        os.close(to_read)
        os.close(from_write)
        self.out, self.inn = to_write, from_read
        os.set_blocking(self.inn, False)
        self.buffer, self.number, self.events, self.answers = b"", 0, [], {}

    def pump(self, until):
        end = time.monotonic() + WAIT_S
        while not until():
            try:
                piece = os.read(self.inn, 1 << 20)
                if not piece:
                    raise SystemExit("the browser has ended")
                self.buffer += piece
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SystemExit("the browser does not answer")
                time.sleep(0.005)
            while b"\0" in self.buffer:
                text, self.buffer = self.buffer.split(b"\0", 1)
                message = json.loads(text)
                if "id" in message:
                    self.answers[message["id"]] = message
                else:
                    self.events.append(message)

    def call(self, method, session=None, **params):
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        self.pump(lambda: number in self.answers)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise SystemExit("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def close(self):
        try:
            self.call("Browser.close")
        except (SystemExit, OSError):
            pass
        self.process.wait(WAIT_S)


class Tab:
    """One page, of a size, in a scheme of colours, with scripts or without."""

    def __init__(self, browser, url, width=1280, height=900, dark=False, scripts=True, phone=False):
        self.b, self.url = browser, url
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Network", "Log":
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)
        if phone:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        if not scripts:
            self.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.events.clear()
        self.call("Page.navigate", url=url)
        browser.pump(lambda: any(e["method"] == "Page.loadEventFired" for e in self.events()))
        if scripts:
            self.frames()

    def call(self, method, **params):
        return self.b.call(method, self.session, **params)

    def events(self):
        return [e for e in self.b.events if e.get("sessionId") == self.session]

    def js(self, text):
        r = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise SystemExit("%s: %s" % (text, r["exceptionDetails"]))
        return r["result"].get("value")

    def frames(self):
        """Until what is to be drawn is drawn."""
        self.js("new Promise(d => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(d))))")

    def pixels(self):
        """Of the 3D view: how many there are that are not its ground, and the picture itself."""
        self.frames()
        return self.js("""(() => { const c = document.querySelector("#stage canvas"), d = document.createElement("canvas");
            d.width = c.width; d.height = c.height; const x = d.getContext("2d"); x.drawImage(c, 0, 0);
            const p = x.getImageData(0, 0, d.width, d.height).data; let n = 0, seen = new Set();
            for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 0) { n++; seen.add(p[i] << 16 | p[i + 1] << 8 | p[i + 2]); }
            return { n, colours: seen.size, all: d.width * d.height, picture: c.toDataURL() }; })()""")

    def box(self, selector):
        self.js("document.querySelector(%s).scrollIntoView({ block: 'center' })" % json.dumps(selector))
        return self.js("(() => { const b = document.querySelector(%s).getBoundingClientRect();"
                       "return [b.x, b.y, b.width, b.height]; })()" % json.dumps(selector))

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector):
        x, y, w, h = self.box(selector)
        for kind in "mousePressed", "mouseReleased":
            self.mouse(kind, x + w / 2, y + h / 2, button="left", clickCount=1)
        self.frames()

    def drag(self, dx, dy, **more):
        x, y, w, h = self.box("#stage canvas")
        x, y = x + w / 2, y + h / 2
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1, **more)
        for k in range(1, 6):
            self.mouse("mouseMoved", x + dx * k / 5, y + dy * k / 5, button="left", buttons=1, **more)
        self.mouse("mouseReleased", x + dx, y + dy, button="left", clickCount=1, **more)

    def key(self, name, text=None):
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        code = codes.get(name, ord(name.upper()) if len(name) == 1 else 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code,
                  **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)
        self.frames()

    def turn(self):
        return self.js("[...document.querySelectorAll('section.turn')].filter(s => s.checkVisibility())"
                       ".map(s => s.dataset.turn).join(' ')")

    def shot(self, path, whole=False):
        if not path:
            return
        r = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as f:
            f.write(base64.b64decode(r["data"]))

    def complaints(self):
        """What the console, the page's scripts and its policy have said."""
        out = []
        for e in self.events():
            p = e["params"]
            if e["method"] == "Runtime.exceptionThrown":
                out.append(p["exceptionDetails"].get("text", "") + json.dumps(p["exceptionDetails"].get("exception", {})))
            elif e["method"] == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
                out.append(json.dumps(p["args"]))
            elif e["method"] == "Log.entryAdded" and p["entry"]["level"] == "error":
                out.append(p["entry"]["text"])
        return out

    def asked(self):
        """What was fetched beside the page itself and what is in it."""
        stopped = {e["params"]["requestId"] for e in self.events()
                   if e["method"] == "Network.loadingFailed" and e["params"].get("blockedReason") == "csp"}
        urls = [e["params"]["request"]["url"] for e in self.events()
                if e["method"] == "Network.requestWillBeSent" and e["params"]["requestId"] not in stopped]
        return [u for u in urls if not u.startswith(("data:", "blob:")) and u.split("#")[0] != self.url.split("#")[0]]

    def close(self):
        self.b.call("Target.closeTarget", targetId=self.target)


def claim(ok, text, more=None):
    print(("ok " if ok else "not ok ") + text, flush=True)
    if not ok and more is not None:
        print("# %s" % (more,), flush=True)


def with_scripts(b, url, shots):
    t = Tab(b, url)
    n = t.js("document.querySelectorAll('section.turn').length")
    t.shot(shots and shots + "/light.png")
    t.shot(shots and shots + "/light-whole.png", True)
    best = t.js("document.querySelector('section.best').dataset.turn")
    claim(t.turn() == best, "one turn is seen, the best one", t.turn())
    before = t.pixels()
    claim(before["n"] > 0.05 * before["all"] and before["colours"] > 8, "its part is drawn, shaded",
          {k: v for k, v in before.items() if k != "picture"})
    t.drag(120, 40)
    turned = t.pixels()
    claim(turned["picture"] != before["picture"] and turned["n"] > 0.05 * turned["all"], "dragging turns it")
    t.click("[data-do=reset]")
    claim(t.pixels()["picture"] == before["picture"], "Reset brings it back as it was")
    x, y, w, h = t.box("#stage canvas")
    where = t.js("scrollY")
    t.js("document.activeElement.blur()")
    t.mouse("mouseWheel", x + w / 2, y + h / 2, deltaX=0, deltaY=-120)
    t.b.pump(lambda: t.js("scrollY") != where or where == 0)
    claim(t.pixels()["picture"] == before["picture"], "the wheel of who scrolls by does not zoom")
    t.click("#stage canvas")
    x, y, w, h = t.box("#stage canvas")
    t.mouse("mouseWheel", x + w / 2, y + h / 2, deltaX=0, deltaY=-120)
    b.pump(lambda: t.pixels()["picture"] != before["picture"])
    claim(t.pixels()["n"] > before["n"], "once it was clicked it does")
    t.key("0", "0")
    claim(t.pixels()["picture"] == before["picture"], "0 resets")
    t.key("ArrowRight")
    claim(t.pixels()["picture"] != before["picture"] and t.turn() == best, "arrow keys turn the part that has the focus")
    t.click("[data-do=reset]")
    t.click("[data-do=edges]")
    claim(t.pixels()["picture"] != before["picture"], "the edges can be left out")
    t.click("[data-do=edges]")
    seen = set()
    for view in "front", "right", "top", "iso":
        t.click("[data-view=%s]" % view)
        seen.add(t.pixels()["picture"])
    claim(len(seen) == 4, "front, right, top and iso are four views")
    t.shot(shots and shots + "/iso.png")
    # from turn to turn
    t.js("document.activeElement.blur()")
    while not t.js("document.querySelector('#previous').disabled"):
        t.click("#previous")
    claim(t.turn() == "1", "Previous goes to the first turn", t.turn())
    t.shot(shots and shots + "/failed.png")
    claim(t.js("document.querySelector('.here .err').textContent.length > 0") and
          t.js("!document.querySelector('#stage')?.checkVisibility()"),
          "a turn that failed has its line marked, and no 3D view")
    t.click("#next")
    claim(t.turn() == "2" and t.js("location.hash") == "#turn-2", "Next goes to the next one", t.turn())
    second = t.pixels()["picture"]
    t.js("document.activeElement.blur()")
    t.key("ArrowRight")
    claim(t.turn() == "3" and t.pixels()["picture"] != second, "so does the right arrow, and the part is that turn's")
    t.shot(shots and shots + "/difference.png", True)
    t.key("p", "p")
    claim(t.turn() == "2", "p goes back", t.turn())
    t.click("nav.turns li:last-child a")
    claim(t.turn() == str(n) and t.js("document.querySelector('#next').disabled"), "a turn of the strip is gone to")
    t.js("location.hash = 'turn-2'")
    b.pump(lambda: t.turn() == "2")
    claim(True, "an address leads to its turn")
    claim(t.js("document.querySelectorAll('.here pre.python .k').length") > 0, "programs have colours")
    t.click("#all")
    claim(len(t.turn().split()) == n, "All shows all of them")
    t.click("#all")
    ground = t.js("getComputedStyle(document.body).backgroundColor")
    t.click("#theme")
    claim(t.js("getComputedStyle(document.body).backgroundColor") != ground, "light turns to dark")
    t.js("document.querySelector('.here .pictures img').click()")
    claim(t.js("document.querySelector('dialog').open"), "a picture is seen large")
    t.shot(shots and shots + "/large.png")
    t.js("document.querySelector('dialog').click()")
    claim(t.js("[...document.images].filter(i => i.checkVisibility()).every(i => i.naturalWidth > 0)"), "every picture is whole")
    claim(t.js("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the window")
    # nothing that text could slip in is obeyed, whatever it is
    t.js("""(() => { const s = document.createElement("script"); s.textContent = "window.slipped = 1"; document.body.append(s);
        const i = new Image(); i.src = "http://127.0.0.1:9/x.png"; document.body.append(i); })()""")
    t.frames()
    claim(t.js("window.slipped") is None, "the page's policy lets no other script run")
    blocked = [c for c in t.complaints() if "Content Security Policy" in c]
    others = [c for c in t.complaints() if "Content Security Policy" not in c]
    claim(len(blocked) == 2 and t.asked() == [], "and fetches nothing", [blocked, t.asked()])
    claim(others == [], "the console has no error", others)
    t.close()


def without_scripts(b, url, shots):
    t = Tab(b, url, scripts=False)
    t.shot(shots and shots + "/plain.png", True)
    claim(len(t.turn().split()) == t.js("document.querySelectorAll('section.turn').length"), "without scripts all turns are seen")
    claim(t.js("[...document.querySelectorAll('section.turn')].slice(1).every(s => s.querySelector('.pictures img').checkVisibility())"),
          "and pictures of their parts")
    claim(t.js("![...document.querySelectorAll('button, canvas')].some(x => x.checkVisibility())"), "and nothing that would do nothing")
    claim(t.asked() == [] and t.complaints() == [], "and nothing is fetched", [t.asked(), t.complaints()])
    t.close()


def elsewhere(b, url, shots):
    for name, how in ("dark", {"dark": True}), ("phone", {"width": 390, "height": 844, "phone": True}), \
            ("phone-dark", {"width": 390, "height": 844, "phone": True, "dark": True}):
        t = Tab(b, url, **how)
        t.shot(shots and shots + "/%s.png" % name)
        t.shot(shots and shots + "/%s-whole.png" % name, True)
        p = t.pixels()
        claim(p["n"] > 0.03 * p["all"] and t.js("document.documentElement.scrollWidth <= innerWidth"),
              "%s: the part is drawn, nothing is wider than the window" % name,
              [p["n"], p["all"], t.js("document.documentElement.scrollWidth"), t.js("innerWidth")])
        claim(t.asked() == [] and t.complaints() == [], "%s: nothing is fetched, no error" % name, [t.asked(), t.complaints()])
        if name == "phone":
            x, y, w, h = t.box("#stage canvas")
            before = t.pixels()["picture"]
            x, y = x + w / 2, y + h / 2
            t.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            for k in range(1, 6):
                t.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x + 12 * k, "y": y}])
            t.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            claim(t.pixels()["picture"] != before, "a finger turns it")
        t.close()


def main():
    program, page = sys.argv[1], os.path.abspath(sys.argv[2])
    shots = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        b = Browser(program, folder)
        try:
            with_scripts(b, "file://" + page, shots)
            without_scripts(b, "file://" + page, shots)
            elsewhere(b, "file://" + page, shots)
        finally:
            b.close()


main()
