"""The page of `mindir serve` in a browser: a picture is given to it, and the right digit is shown.

  page.py --mindir PATH --screenshot FILE     needs chromium and the package websocket-client
"""
import argparse
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websocket

from serving import DIGITS, repository, server


class Browser:
    """A page that is open."""

    def __init__(self, address, profile):
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,1100", "--remote-debugging-port=0",
                   "--remote-allow-origins=*", f"--user-data-dir={profile}", f"http://{address}/"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        port = os.path.join(profile, "DevToolsActivePort")
        wait(lambda: os.path.exists(port) and os.path.getsize(port), "the browser")
        with open(port) as f:
            number = f.readline().strip()

        def page():
            with urllib.request.urlopen(f"http://127.0.0.1:{number}/json") as answer:
                return next((p for p in json.load(answer) if p["type"] == "page"), None)

        self.socket = websocket.create_connection(wait(page, "a page")["webSocketDebuggerUrl"], timeout=60)
        self.sent = 0

    def ask(self, method, **parameters):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.sent:
                return answer["result"]

    def value(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def quit(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def wait(what, name, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (OSError, StopIteration):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{name} did not come")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--screenshot", required=True)
    args = ap.parse_args()
    root, profile = tempfile.mkdtemp(), tempfile.mkdtemp()
    repository(root)
    try:
        with server(args.mindir, root) as (address, _):
            browser = Browser(address, profile)
            try:
                drop(browser)
                with open(args.screenshot, "wb") as f:
                    f.write(base64.b64decode(browser.ask("Page.captureScreenshot")["data"]))
            finally:
                browser.quit()
    finally:
        shutil.rmtree(root)
        shutil.rmtree(profile, ignore_errors=True)


def drop(browser):
    """Drops a picture on the card of the model, and waits for what is shown."""
    wait(lambda: browser.value("document.querySelector('section[data-model=digits] textarea')?.value.length > 0"), "the model's card")
    with open(os.path.join(DIGITS, "seven.png"), "rb") as f:
        picture = base64.b64encode(f.read()).decode()
    browser.value(f"""
        (() => {{
          const bytes = Uint8Array.from(atob("{picture}"), c => c.charCodeAt(0)), data = new DataTransfer();
          data.items.add(new File([bytes], "seven.png", {{ type: "image/png" }}));
          document.querySelector("section[data-model=digits]").dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, bubbles: true, cancelable: true }}));
        }})()""")
    first = "document.querySelector('section[data-model=digits] .bar span')?.textContent"
    shown = wait(lambda: browser.value(first), "a result")
    assert shown == "seven", shown
    # The figures follow within a second or two.
    wait(lambda: "1 rows in 1 runs" in (browser.value("document.querySelector('section small').textContent + document.body.innerText") or ""), "figures")
    print("page: seven")


if __name__ == "__main__":
    main()
