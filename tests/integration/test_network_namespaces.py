"""Two machines, each in a network namespace of its own, that replicate sessions; and what a broken link changes."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
import trustme
from conditions import waiting
from machine import SUPPORT, lack, program

pytestmark = pytest.mark.one_python

ADDRESSES = {"one": "10.73.0.1", "other": "10.73.0.2"}
LOCAL = "127.0.0.1"
PORT, VALKEY_PORT = 4433, 6379
CLIENTS = "client.pem", "second.pem"
PASSWORD = secrets.token_hex(8)


until = waiting(30)  # seconds


class Network:
    """Two namespaces with a link between them, which exist from make() until close()."""

    def __init__(self):
        self.ip = program("ip", "iproute2")
        self.names = {name: f"pysidctx-{os.getpid()}-{name}" for name in ADDRESSES}

    def make(self):
        for name in self.names.values():
            made = subprocess.run([self.ip, "netns", "add", name], capture_output=True, text=True)
            if made.returncode:
                lack(f"network namespaces are not permitted here: {made.stderr.strip()}")
        one, other = self.names.values()
        self.run("link", "add", "link0", "netns", one, "type", "veth", "peer", "name", "link0", "netns", other)
        for name, address in ADDRESSES.items():
            self.run("-n", self.names[name], "address", "add", f"{address}/24", "dev", "link0")
            for device in ("lo", "link0"):
                self.run("-n", self.names[name], "link", "set", device, "up")

    def run(self, *arguments):
        ran = subprocess.run([self.ip, *arguments], capture_output=True, text=True)
        if ran.returncode:
            lack(f"no link can be made between network namespaces here: {ran.stderr.strip()}")

    def set_link(self, state):
        self.run("-n", self.names["other"], "link", "set", "link0", state)

    def start(self, name, *command, **options):
        return subprocess.Popen([self.ip, "netns", "exec", self.names[name], *map(str, command)], **options)

    def close(self):
        for name in self.names.values():
            subprocess.run([self.ip, "netns", "delete", name], capture_output=True)


class Machine:
    """A process of cache_machine.py."""

    def __init__(self, network, name, folder):
        self.process = network.start(
            name, sys.executable, SUPPORT / "cache_machine.py", folder, PORT,
            f"valkey://:{PASSWORD}@{ADDRESSES['one']}:{VALKEY_PORT}/0", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = ADDRESSES[name]

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the machine has ended"
        return json.loads(line)

    def call(self, *said):
        self.process.stdin.write(json.dumps(said).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def session(self, client=CLIENTS[0]):
        """Of a full handshake with this machine, by a client on it."""
        resumed, session = self.call("visit", LOCAL, client, None)
        assert not resumed
        return session

    def resumes(self, session, client=CLIENTS[0], at=LOCAL):
        return self.call("visit", at, client, session)[0]

    def stop(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def network():
    made = Network()
    try:
        made.make()
        yield made
    finally:
        made.close()


@pytest.fixture
def machines(network, ca, certificate, tmp_path):
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    for name in CLIENTS:
        issued = ca.issue_cert(f"{name}@a.test", key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    (tmp_path / "secret").write_bytes(secrets.token_bytes(32))
    valkey = shutil.which("valkey-server") or program("redis-server", "redis-server")
    with ExitStack() as stack:
        server = network.start(
            "one", valkey, "--bind", ADDRESSES["one"], "--port", VALKEY_PORT, "--save", "", "--appendonly", "no",
            "--requirepass", PASSWORD, "--dir", tmp_path, stdout=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.kill)
        made = [Machine(network, name, tmp_path) for name in ADDRESSES]
        for machine in made:
            stack.callback(machine.stop)
        for machine in made:
            machine.answer()
        yield made


def travels(one, other):
    """Whether a session that was made on one machine is resumed on the other, once it had the time to arrive."""
    before = other.call("received")
    session = one.session()
    end = time.monotonic() + 3
    while other.call("received") < before + 2 and time.monotonic() < end:
        time.sleep(0.05)
    return other.resumes(session)


def test_a_link_that_goes_down_and_comes_back(network, machines):
    one, other = machines
    until(lambda: travels(one, other) and travels(other, one))
    session, forgotten = one.session(), one.session(CLIENTS[1])
    # A client on one machine goes to the other one, over the link.
    until(lambda: one.resumes(session, at=other.address))
    until(lambda: other.resumes(forgotten, CLIENTS[1]))

    network.set_link("down")
    until(lambda: other.call("error"))
    # The machine that is cut off resumes what it has, and nothing that was made meanwhile; nor does it hear of it.
    assert other.resumes(session)
    made_meanwhile = one.session()
    assert not other.resumes(made_meanwhile)
    (warning,) = other.call("forget", CLIENTS[1])
    assert "not yet on the others" in warning
    assert not other.resumes(forgotten, CLIENTS[1])
    assert one.resumes(forgotten, CLIENTS[1])
    assert one.call("error") is None

    network.set_link("up")
    until(lambda: not one.resumes(forgotten, CLIENTS[1]))
    until(lambda: other.resumes(made_meanwhile))
    until(lambda: travels(one, other) and travels(other, one))
    assert not other.resumes(forgotten, CLIENTS[1])
    assert one.call("error") is other.call("error") is None
