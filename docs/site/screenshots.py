"""Makes the pictures of docs/metrics.md, of a server that runs: `python docs/site/screenshots.py [FOLDER]`.

gunicorn serves with four workers and the hook, and clients come back to it. metrics.png is its page of metrics, as a
browser shows it; stats.png is what `pysidctx stats --watch` shows on a terminal. This needs chromium-headless-shell, a
package of Debian, and what `make test` installs.
"""

import fcntl
import html
import os
import pty
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import trustme

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from loopback.processes import free_port, start, stop, wait_until  # noqa: E402
from pysidctx.cli.stats import END_OF_LINE, END_OF_SCREEN, FIRST_LINE, FORMER_SCREEN  # noqa: E402

HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context\n"
# A registry of its own, so that the page has no metrics of Python's process.
APP = """
from prometheus_client import CollectorRegistry, make_wsgi_app
from pysidctx.servers import prometheus

registry = CollectorRegistry()
prometheus.register(registry)
metrics_app = make_wsgi_app(registry)

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return metrics_app(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]
"""
TERMINAL = """<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0; background: #1e1e1e">
<pre style="margin: 12px; color: #e0e0e0; font: 14px/1.35 'DejaVu Sans Mono', monospace">{}</pre>"""
CLIENTS, SECONDS = 12, 6
COLUMNS, LINES = 100, 30


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ca = trustme.CA()
        ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        (folder / "gunicorn.conf.py").write_text(HOOK)
        (folder / "app.py").write_text(APP)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSIDCTX_SECRET_FILE": "secret",
                       "PYSIDCTX_STATS": str(folder / "shop")}
        subprocess.run([sys.executable, "-m", "pysidctx", "secret", "secret"], cwd=folder, env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        port = free_port()
        server = start([sys.executable, "-m", "gunicorn", "--workers", 4, "--bind", f"127.0.0.1:{port}", "--certfile",
                        "server.pem", "app:wsgi"], folder, environment)
        try:
            wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close(), server, folder)
            screen = watched(ca, port, environment)
            (folder / "stats.html").write_text(TERMINAL.format(html.escape(screen)))
            photograph(folder, f"file://{folder}/stats.html", target / "stats.png", 360, 19 * screen.count("\n") + 43)
            photograph(folder, f"https://127.0.0.1:{port}/metrics", target / "metrics.png", 900, 595)
        finally:
            stop(server)


def watched(ca: trustme.CA, port: int, environment: dict[str, str]) -> str:
    """What `stats --watch` shows last, while clients come back."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen([sys.executable, "-m", "pysidctx", "stats", "--watch"], env=environment, stdin=theirs,
                               stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        contexts = [client_context(ca) for _ in range(CLIENTS)]
        sessions: list["ssl.SSLSession | None"] = [None] * CLIENTS
        end = time.monotonic() + SECONDS
        os.set_blocking(ours, False)
        while time.monotonic() < end:
            for number, ctx in enumerate(contexts):
                sessions[number] = visit(ctx, port, sessions[number])
                time.sleep(0.02)
            try:
                shown += os.read(ours, 1 << 16)
            except BlockingIOError:
                pass
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    last = shown.decode().split(FIRST_LINE)[-2]
    return re.sub("|".join(map(re.escape, (END_OF_LINE, END_OF_SCREEN, FORMER_SCREEN, "\r"))), "", last).rstrip()


def client_context(ca: trustme.CA) -> ssl.SSLContext:
    ctx = ssl.create_default_context()
    ca.configure_trust(ctx)
    return ctx


def visit(ctx: ssl.SSLContext, port: int, session: "ssl.SSLSession | None") -> "ssl.SSLSession | None":
    with socket.create_connection(("127.0.0.1", port)) as plain, ctx.wrap_socket(
            plain, server_hostname="localhost", session=session) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while connection.recv(4096):
            pass
        return connection.session


def photograph(folder: Path, address: str, target: Path, width: int, height: int) -> None:
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert program, "chromium-headless-shell is missing: apt-get install chromium-headless-shell"
    subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                    "--ignore-certificate-errors", f"--user-data-dir={folder}/browser",
                    f"--window-size={width},{height}", f"--screenshot={target}", address],
                   check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
