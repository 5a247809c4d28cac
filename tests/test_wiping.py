"""Secrets of sessions are wiped: the memory of a process is searched from outside of it."""

import os
import re
import subprocess
import sys

import libssl
import pytest
from handshakes import connect

from pysidctx import Session


class Watched:
    """A process that runs lines of code."""

    CODE = "import sys\nfor line in sys.stdin:\n    exec(line)\n    print(flush=True)"

    def __init__(self):
        # Bound lazily, the first call of a function leaves registers, with data, on the stack.
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, LD_BIND_NOW="1"))

    def run(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "\n"

    def count(self, secret):
        """How often `secret` is in what the process can write to."""
        found = 0
        with open(f"/proc/{self.process.pid}/maps") as maps, \
                open(f"/proc/{self.process.pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                start, end, access = re.match("(.*?)-(.*?) (....)", line).groups()
                if access.startswith("rw"):
                    memory.seek(int(start, 16))
                    found += memory.read(int(end, 16) - int(start, 16)).count(secret)
        return found


@pytest.fixture
def session(server_ctx, client_ctx):
    return Session.of(connect(server_ctx, client_ctx).client).with_id_context(b"shop")


@pytest.fixture
def watched():
    made = Watched()
    yield made
    made.process.communicate()


def test_nothing_of_it_is_left_in_memory(session, tmp_path, watched):
    path = tmp_path / "session.pem"
    session.save(path)
    key = libssl.master_key(session.to_der())
    text = path.read_bytes().splitlines()[1:-1]
    watched.run("import pysidctx")
    watched.run(f"session = pysidctx.Session.load({str(path)!r}, id_context=b'shop')")
    assert watched.count(key) == 1
    assert [watched.count(line) for line in text] == [0] * len(text)
    watched.run(f"session.save({str(path)!r})")
    watched.run("copy = session.with_id_context(b'bank')")
    assert watched.count(key) == 2
    assert [watched.count(line) for line in text] == [0] * len(text)
    watched.run("del session, copy")
    assert watched.count(key) == 0


def test_a_secret_that_is_kept_is_found(session, watched):
    """The search can fail: bytes of Python's own are not wiped."""
    der = session.to_der()
    watched.run(f"import pysidctx; der = bytes.fromhex({der.hex()!r})")
    watched.run("session = pysidctx.Session.from_der(der, id_context=b'shop')")
    watched.run("der = [session.to_der(), session.to_pem()]; del session")
    assert watched.count(libssl.master_key(der)) >= 1
    assert watched.count(session.to_pem().splitlines()[2].encode()) >= 1
