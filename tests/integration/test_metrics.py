"""Real servers with several workers, whose counts any of them shows: scraped, sent to StatsD, and read from outside."""

import os
import re
import signal
import socket
import ssl
import time

import pytest
from handshakes import VERSIONS
from server_programs import GUNICORN, PROGRAMS, PythonClient, of_gunicorn

from pysidctx.lockfree import counts

pytestmark = pytest.mark.one_python

WORKERS = 4

APP = """
import os
from prometheus_client import REGISTRY, Counter, generate_latest
from pysidctx.servers import prometheus

registry = REGISTRY
prometheus.register(registry)
requests = Counter("requests", "Requests.")


def wsgi(environ, start_response):
    requests.inc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"process {os.getpid()}\\n".encode() + generate_latest(registry)]
"""

# prometheus_client's multiprocess mode, for the application's own metrics.
MULTIPROCESS = """registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
"""


def scraped(said):
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) ([\d.e+]+)\r?$", said.decode(),
                                                             re.MULTILINE)}


@pytest.fixture
def client(pem_files):
    return PythonClient(pem_files[1], ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("multiprocess", [False, True], ids=["alone", "multiprocess"])
def test_any_worker_shows_the_totals_of_all(start, client, tmp_path, multiprocess):
    app, environment = APP, {}
    if multiprocess:
        app = app.replace("registry = REGISTRY\n", MULTIPROCESS).replace(
            "import REGISTRY, Counter", "import CollectorRegistry, Counter, multiprocess")
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    with start("gunicorn", files={"gunicorn.conf.py": GUNICORN, "app.py": app}, environment=environment) as server:
        # prometheus_client fails while another worker makes its file.
        while multiprocess and sum(file.stat().st_size > 0 for file in tmp_path.glob("counter_*.db")) < WORKERS:
            time.sleep(0.02)
        _, process = client.visit(server.port)
        first = scraped(client.said)
        processes, shown = {process}, [first]
        resumed = 0
        while len(processes) < WORKERS or len(shown) < 20:
            assert len(shown) < 400
            was_resumed, process = client.visit(server.port)
            resumed += was_resumed
            processes.add(process)
            shown.append(scraped(client.said))
            assert shown[-1]["pysidctx_handshakes_total"] - first["pysidctx_handshakes_total"] == len(shown) - 1
            assert shown[-1]['pysidctx_resumed_total{by="ticket"}'] == resumed
        assert resumed == len(shown) - 1
        if multiprocess:
            assert shown[-1]["requests_total"] == len(shown)
        assert "RuntimeWarning" not in server.log.read_text()


def test_what_a_killed_worker_had_counted_remains(start, client):
    with start("gunicorn", files={"gunicorn.conf.py": GUNICORN, "app.py": APP}) as server:
        for _ in range(5):
            _, process = client.visit(server.port)
            before = scraped(client.said)
            os.kill(process, signal.SIGKILL)
            while True:  # a connection may be in the queue of the killed worker
                try:
                    client.visit(server.port)
                    break
                except (OSError, ConnectionError):
                    time.sleep(0.05)
            after = scraped(client.said)
            assert after["pysidctx_handshakes_total"] > before["pysidctx_handshakes_total"]
            assert after['pysidctx_resumed_total{by="ticket"}'] >= before['pysidctx_resumed_total{by="ticket"}']


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn", "hypercorn"])
def test_a_file_is_read_from_outside(start, pem_files, secret, tmp_path, name):
    """Of workers that are forked and of those that are spawned."""
    memory = tmp_path / "stats"
    options = {"secret": secret} if PROGRAMS[name].needs_secret else {}
    with start(name, two_workers=True, environment={"PYSIDCTX_STATS": str(memory)}, **options) as server:
        before = counts.read_totals(memory)
        processes, made, resumed = set(), 0, 0
        for client in [PythonClient(pem_files[1], version) for version in VERSIONS]:
            for _ in range(20):
                was_resumed, process = client.visit(server.port)
                processes.add(process)
                made, resumed = made + 1, resumed + was_resumed
        deadline = time.monotonic() + 30
        while len(processes) < 2:  # the other worker may have started late
            assert time.monotonic() < deadline, "there are no two workers"
            was_resumed, process = client.visit(server.port)
            processes.add(process)
            made, resumed = made + 1, resumed + was_resumed
        found = counts.read_totals(memory)
        assert found.handshakes - before.handshakes == made >= 40
        assert found.resumed_by_ticket - before.resumed_by_ticket == resumed == made - 2
        assert "RuntimeWarning" not in server.log.read_text()
    assert counts.read_totals(memory).handshakes == found.handshakes


STATSD = f"""
import pysidctx.servers.statsd
from pysidctx.servers.statsd import post_worker_init
pysidctx.servers.statsd.INTERVAL = 0.1
{GUNICORN}"""


def test_statsd(start, client):
    """Each handshake is sent once, whichever worker sends it, also if the worker that has made it is killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        program = of_gunicorn(STATSD, "--statsd-host", f"127.0.0.1:{receiver.getsockname()[1]}",
                              "--statsd-prefix", "shop")
        sent = {}

        def receive():
            name, _, value = receiver.recv(1000).decode().partition(":")
            number, kind = value.split("|")[:2]
            if name.startswith("shop.pysidctx."):
                assert kind == "c"
                sent[name] = sent.get(name, 0) + int(number)

        with start("gunicorn statsd", found=program) as server:
            while "shop.pysidctx.handshakes" not in sent:  # the one that has found it started
                receive()
            begun = sent["shop.pysidctx.handshakes"]
            resumed = 0
            for _ in range(20):
                was_resumed, process = client.visit(server.port)
                resumed += was_resumed
            os.kill(process, signal.SIGKILL)
            while (sent["shop.pysidctx.handshakes"] < begun + 20
                   or sent.get("shop.pysidctx.resumed.ticket", 0) < resumed):
                receive()
        # When the workers have ended, nothing was sent twice.
        receiver.settimeout(0.5)
        try:
            while True:
                receive()
        except socket.timeout:
            pass
        assert sent["shop.pysidctx.handshakes"] == begun + 20
        assert sent["shop.pysidctx.resumed.ticket"] == resumed == 19
