"""Servers with four workers, as the examples start them: every client that comes back is resumed."""

import time
from contextlib import suppress

import pytest
from server_programs import PROGRAMS, VISITS, visits


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_client_is_resumed(start, returning, name, secret):
    processes = set()
    with start(name, secret=secret if PROGRAMS[name].needs_secret else None) as server:
        for client in returning:
            resumed, by = visits(client, [server.port])
            assert resumed == VISITS - 1
            processes |= by
    assert len(processes) > 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_how_many_are_resumed_without_pysidctx(start, returning, name, secret, record_property):
    with start(name, plain=True, secret=secret if PROGRAMS[name].needs_secret else None) as server:
        counts = [visits(client, [server.port])[0] for client in returning]
    record_property("resumed", counts)
    print(f"{name} alone: {counts} of {VISITS - 1}: Python TLS 1.2, 1.3, openssl TLS 1.2, 1.3")


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_instances_with_one_secret_and_a_rolling_restart(start, returning, name, secret):
    with start(name, secret=secret) as one, start(name, secret=secret) as other:
        known = set()
        for client in returning:
            resumed, by = visits(client, [one.port, other.port])
            assert resumed == VISITS - 1
            known |= by
        one.restart()
        wait_until_replaced(returning[0], one.port, known)
        for client in returning:
            assert visits(client, [one.port, other.port], 10, first=True)[0] == 10


def wait_until_replaced(client, port, known):
    """Visits until processes answer that did not before, and no others; all of them are resumed."""
    deadline = time.monotonic() + 30
    new = 0
    while new < 20:
        assert time.monotonic() < deadline, "the workers were not replaced"
        with suppress(OSError):  # a worker that is just stopping
            resumed, process = client.visit(port)
            assert resumed
            new = new + 1 if process not in known else 0
        time.sleep(0.02)


ROTATING = """
import pysidctx
from pysidctx.servers import SSLContextFactory

ssl_context = SSLContextFactory(pysidctx.TicketKeys.from_secret_file({!r}, period=2, lifetime=60))
"""


def test_through_key_rotations(start, returning, secret):
    files = {"gunicorn.conf.py": ROTATING.format(str(secret))}
    end = time.monotonic() + 10
    with start("gunicorn", files=files) as server:
        for client in returning:
            client.visit(server.port)
        while time.monotonic() < end:
            assert [client.visit(server.port)[0] for client in returning] == [True] * len(returning)
            time.sleep(0.05)


def test_a_factory_of_one_s_own_is_passed_to_spawned_workers(start, returning, secret):
    """It is pickled on its way to them."""
    (name, code), = PROGRAMS["uvicorn"].files.items()
    own = code.replace("import ssl_context_factory", "import SSLContextFactory").replace(
        "ssl_context_factory=ssl_context_factory",
        "ssl_context_factory=SSLContextFactory(pysidctx.TicketKeys.from_secret_file(), id_context=b'shop')")
    with start("uvicorn", files={name: "import pysidctx\n" + own}, secret=secret) as server:
        for client in returning:
            assert visits(client, [server.port])[0] == VISITS - 1
