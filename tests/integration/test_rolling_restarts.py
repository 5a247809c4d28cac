"""Servers whose workers are replaced and whose keys change: every client that comes back is resumed all the same."""

import time
from contextlib import suppress

import pytest
from server_programs import PROGRAMS, visits


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_instances_with_one_secret_and_a_rolling_restart(start, returning, name, secret):
    """One has two workers, which are replaced, and the other has one."""
    alone = PROGRAMS[name].with_workers(1)
    with start(name, secret=secret, two_workers=True) as one, start(name, secret=secret, found=alone) as other:
        known = set()
        for client in returning:
            resumed, by = visits(client, [one.port, other.port])
            assert resumed == client.visits - 1
            known |= by
        wait_until_known(3, returning[0], one.port, known)
        one.restart()
        wait_until_replaced(returning[0], one.port, known)
        for client in returning:
            assert visits(client, [one.port, other.port], client.visits // 2, first=True)[0] == client.visits // 2


def wait_until_known(count, client, port, known):
    """Visits until so many processes have answered, one of which may have started late."""
    deadline = time.monotonic() + 30
    while len(known) < count:
        assert time.monotonic() < deadline, "a worker has not started"
        resumed, process = client.visit(port)
        assert resumed
        known.add(process)


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
        time.sleep(0.02 if new else 0.1)


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
            time.sleep(0.4)
