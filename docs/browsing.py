"""A folder served on this machine, and the browser to look at it with, for scripts and tests."""

import contextlib
import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
# so that it calls no host of its own
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@contextlib.contextmanager
def chromium():
    """Start the Chromium that is installed, without a window."""
    from playwright.sync_api import sync_playwright  # here: tests ask first whether it is there

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def served(folder):
    """Serve the files of a folder. Gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    """A handler of requests that says nothing, not even when a page ends before its answer does."""

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()
