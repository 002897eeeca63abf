"""A client of WebDriver (W3C) for chromedriver, with the standard library only."""
import base64
import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Browser:
    """One browser with an empty profile in a directory."""

    def __init__(self, profile):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        flags = [*FLAGS, f"--user-data-dir={profile}"]
        capabilities = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": flags},
        }
        for _ in range(100):
            try:
                self.request("GET", "/status")
                break
            except OSError:
                time.sleep(0.1)
        self.session = "/session/" + self.request("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def post(self, path, **body):
        return self.request("POST", self.session + path, body)

    def open(self, path):
        self.post("/url", url=Path(path).resolve().as_uri())

    def run(self, script, *args):
        # A plot is drawn in the frame after it has changed.
        frames = "return new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); setTimeout(done, 2000); })"
        self.post("/execute/sync", script=frames, args=[])
        return self.post("/execute/sync", script=script, args=list(args))

    def find(self, selector):
        return [found[ELEMENT] for found in self.post("/elements", using="css selector", value=selector)]

    def label(self, element):
        return self.request("GET", f"{self.session}/element/{element}/computedlabel")

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.post(f"/element/{self.find(selector)[0]}/click")

    def write(self, selector, text):
        self.post(f"/element/{self.find(selector)[0]}/value", text=text)

    def press(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def hover(self, selector, x, y):
        """Moves the pointer to a place of an element, from 0 to 1."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        left, top, width, height = self.run(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
            selector,
        )
        move = {"type": "pointerMove", "x": int(left + width * x), "y": int(top + height * y), "duration": 0}
        self.post("/actions", actions=[{"type": "pointer", "id": "mouse", "actions": [move]}])

    def cdp(self, command, **params):
        return self.post("/goog/cdp/execute", cmd=command, params=params)

    def log(self):
        """What the console said since it was asked last."""
        return self.post("/se/log", type="browser")

    def colors(self, scheme):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path, whole=True):
        picture = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **({"clip": self.clip()} if whole else {}))
        Path(path).write_bytes(base64.b64decode(picture["data"]))

    def clip(self):
        width, height = self.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        return {"x": 0, "y": 0, "width": width, "height": min(height, 16000), "scale": 1}

    def close(self):
        try:
            self.request("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(10)
