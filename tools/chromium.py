"""A headless Chromium and one page of it, driven over its debugging pipe, so that nothing has to be installed beside
the browser; and a server for the files that the page is made of.

CHROMIUM names the browser, else `chromium` on the path. WebGPU is the browser's own software adapter.
"""

import base64
import contextlib
import functools
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

FLAGS = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--remote-debugging-pipe",
]


class Browser:
    """A headless Chromium and one page of it."""

    def __init__(self, profile):
        ours, theirs = os.pipe(), os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        command = [os.environ.get("CHROMIUM", "chromium"), *FLAGS, f"--user-data-dir={profile}"]
        shell = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=[ours[0], theirs[1]],
            stderr=subprocess.DEVNULL)
        os.close(ours[0])
        os.close(theirs[1])
        self.out = os.fdopen(ours[1], "wb", buffering=0)
        self.back = os.fdopen(theirs[0], "rb", buffering=0)
        self.rest, self.number, self.session, self.said = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Runtime.enable")

    def ask(self, method, **params):
        """Sends a command and waits for its answer; of the events in between, what the page says on its console
        and what it throws are kept in `said`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                part = self.back.read(1 << 16)
                if not part:
                    raise SystemExit("the browser ended")
                self.rest += part
            answer, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer)

    def note(self, event):
        params = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            said = (str(a.get("value", a.get("description", ""))) for a in params["args"])
            self.said.append(f"{params['type']}: {' '.join(said)}")
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.said.append(f"thrown: {details.get('exception', {}).get('description', details['text'])}")

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression)["result"].get("value")

    def screen(self, width, dark=False, phone=True):
        """The page is as wide as this, light or dark, and below 600 pixels a phone's."""
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                 mobile=phone and width < 600)

    def open(self, url, ready="document.readyState === 'complete'", seconds=60):
        """Opens a page and waits until `ready` holds in it."""
        self.ask("Page.navigate", url=url)
        self.until(f"location.href !== 'about:blank' && ({ready})", url, seconds)

    def until(self, ready, what, seconds=60):
        """Waits until `ready` holds in the page."""
        end = time.monotonic() + seconds
        while not self.value(ready):
            if time.monotonic() > end:
                text = self.value("document.body.innerText.slice(0, 400)")
                raise SystemExit(f"{what}: not ready after {seconds} s: {text}\n" + "\n".join(self.said))
            time.sleep(0.1)

    def shot(self, path, width, height=None):
        """A picture of the page, which must not be wider than its screen."""
        wide = self.value("document.documentElement.scrollWidth")
        if wide > width:
            raise SystemExit(f"{path.name}: {wide} pixels wide on a screen of {width}")
        tall = self.value("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height or tall, tall), "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        print(path, f"{width} x {clip['height']:.0f}")

    def picture(self, url, path, width, dark=False, height=None, ready="document.readyState === 'complete'"):
        """Opens a page and takes its picture."""
        self.screen(width, dark, phone=not url.endswith(".svg"))
        self.open(url, ready)
        self.shot(path, width, height)


@contextlib.contextmanager
def browser():
    """A browser with a profile of its own, ended afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        running = Browser(pathlib.Path(place) / "profile")
        try:
            yield running
        finally:
            running.process.terminate()
            running.process.wait()


class Files(http.server.SimpleHTTPRequestHandler):
    """Files, without a line for each and without a copy in a cache."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript",
                      ".wasm": "application/wasm"}

    def log_message(self, *_):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def server(folder, port=0):
    """A server of a folder's files for this machine alone."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Files, directory=folder))


@contextlib.contextmanager
def served(folder):
    """The address of a folder's files, as long as they are needed."""
    running = server(folder)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/"
    finally:
        running.shutdown()
