"""How large a report is, and when a browser first paints it.

A copy of the page, which is allowed to, tells a server on this machine when its first contents were painted: by the
browser's own clock, counted from the start of the navigation. Example: ``python benchmarks/report_paint.py
reports/index.html``.
"""

import argparse
import functools
import http.server
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
TELL = """<script>
new PerformanceObserver(list => {{
  const paint = list.getEntries().find(entry => entry.name === "first-contentful-paint");
  const tell = () => setTimeout(() => {{
    const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
    new Image().src = `{address}?paint=${{paint.startTime}}&loaded=${{loaded}}`;
  }});
  if (paint) document.readyState === "complete" ? tell() : addEventListener("load", tell);
}}).observe({{ type: "paint", buffered: true }});
</script></head>"""


class _Server(http.server.HTTPServer):
    """Takes what a page tells of itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: dict[str, float] = {}
        self.heard = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        fields = parse_qs(urlsplit(self.path).query)
        if "paint" in fields:
            self.server.told = {name: float(value) for name, (value,) in fields.items()}
            self.server.heard.set()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


def painted(browser: str, page: Path, width: int, seconds: float = 60.0) -> dict[str, float]:
    """Open a page once in a fresh browser.

    Args:
        browser: program.
        page: HTML file, in its folder, so that its pictures are found.
        width: of the window in pixels.
        seconds: that are waited for it.

    Returns:
        Milliseconds to the first contents, ``paint``, and until everything is loaded, ``loaded``.

    Raises:
        SystemExit: the page told nothing.
    """
    server = _Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    with (
        tempfile.TemporaryDirectory() as profile,
        tempfile.NamedTemporaryFile("w", dir=page.parent, suffix=".html") as copy,
    ):
        copy.write(text.replace("</head>", TELL.format(address=f"http://127.0.0.1:{server.server_port}/"), 1))
        copy.flush()
        options = (f"--user-data-dir={profile}", f"--window-size={width},1000", "--remote-debugging-port=0")
        opened = subprocess.Popen(
            [browser, *FLAGS, *options, Path(copy.name).absolute().as_uri()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not server.heard.wait(seconds):
                sys.exit(f"report_paint: {page} told nothing of its first paint within {seconds:g} s")
        finally:
            opened.terminate()
            opened.wait()
            server.shutdown()
            server.server_close()
    return server.told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="index.html of a report")
    parser.add_argument("--times", type=int, default=5, help="how often it is opened at each width")
    parser.add_argument("--width", type=int, nargs="+", default=[1400, 900, 400], help="of the window in pixels")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    size = f"{arguments.page}: {arguments.page.stat().st_size / 1e6:.2f} MB"
    if browser is None:
        sys.exit(f"{size}; report_paint: no Chromium on this machine, so that nothing was painted")
    open_once = functools.partial(painted, browser, arguments.page)
    for width in arguments.width:
        told = [open_once(width) for _ in range(arguments.times)]
        texts = []
        for name, words in (("paint", "first paint after"), ("loaded", "loaded after")):
            values = sorted(each[name] for each in told)
            texts.append(f"{words} {statistics.median(values):.0f} ms ({values[0]:.0f} to {values[-1]:.0f})")
        print(f"{size}; {width} pixels wide: {', '.join(texts)}, {arguments.times} times")


if __name__ == "__main__":
    main()
