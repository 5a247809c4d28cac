"""`pysidctx.valkey.Channel` on a real server, which stops, restarts and fails."""

import logging
import secrets
import shutil
import signal
import ssl
import subprocess
import time
from contextlib import ExitStack

import pytest
from conditions import waiting
from machine import program
from server_programs import free_port
from tickets import visit
from valkey import Valkey

from pysidctx import SessionCache, set_session_id_context
from pysidctx.valkey import Channel

pytestmark = pytest.mark.one_python

PASSWORD = "a-password"


until = waiting(20)  # seconds


class Server:
    """A Valkey or Redis server that keeps nothing on disk."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.command = shutil.which("valkey-server") or program("redis-server", "redis-server")
        self.process = None

    def start(self, *options):
        self.process = subprocess.Popen(
            [self.command, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
             "--requirepass", PASSWORD, "--dir", str(self.folder), *map(str, options)], stdout=subprocess.DEVNULL)
        until(self.answers)

    def answers(self):
        try:
            return self.client().ping()
        except Exception:
            return False

    def client(self):
        return Valkey("127.0.0.1", self.port, password=PASSWORD, socket_timeout=1)

    def url(self, password=PASSWORD):
        return f"valkey://:{password}@127.0.0.1:{self.port}/0"

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Machine:
    def __init__(self, ctx, secret, url, **options):
        self.ctx = ctx
        self.cache = SessionCache.from_secret(secret, size=2 << 20)
        self.cache.install(ctx)
        self.channel = Channel(url, timeout=0.5, **options)
        self.replication = self.cache.replicate(self.channel)

    def stop(self):
        self.replication.stop()
        self.channel.close()


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def make_machine(make_server_ctx):
    secret = secrets.token_bytes(32)
    with ExitStack() as stack:
        def make(url, **options):
            ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
            set_session_id_context(ctx, b"shop")
            machine = Machine(ctx, secret, url, **options)
            stack.callback(machine.stop)
            return machine
        yield make


@pytest.fixture
def machines(make_machine, server):
    return [make_machine(server.url()) for _ in range(2)]


@pytest.fixture
def client_ctx(make_client_ctx):
    return make_client_ctx(ssl.TLSVersion.TLSv1_3)


def travels(one, other, client_ctx):
    """Whether a session of one machine is resumed on the other, once it had the time to arrive."""
    before = other.cache.stats().received
    _, session = visit(one.ctx, client_ctx)
    end = time.monotonic() + 3
    while other.cache.stats().received < before + 2 and time.monotonic() < end:
        time.sleep(0.02)
    return visit(other.ctx, client_ctx, session)[0]


def test_a_session_travels(machines, client_ctx):
    # Each direction has threads of its own, which begin when they do.
    until(lambda: travels(*machines, client_ctx))
    until(lambda: travels(*reversed(machines), client_ctx))
    for machine in machines:
        assert machine.replication.error is None
        assert 0 <= machine.cache.stats().lag < 10000


def test_killed_and_started_again(make_machine, server, client_ctx, caplog):
    caplog.set_level(logging.INFO, "pysidctx")
    one, other = (make_machine(server.url(), stream="killed") for _ in range(2))
    until(lambda: travels(one, other, client_ctx))
    server.stop()
    until(lambda: one.replication.error or travels(one, other, client_ctx) and False)
    with pytest.warns(RuntimeWarning, match="not yet on the others"):
        one.cache.forget_all()
    _, session = visit(other.ctx, client_ctx)
    assert visit(other.ctx, client_ctx, session)[0]  # which has not heard of it
    server.start()
    until(lambda: other.cache._generation() == 1)
    assert not visit(other.ctx, client_ctx, session)[0]
    until(lambda: one.replication.error is None and other.replication.error is None)

    def told(what):
        begin = f"channel {what}: <Channel on the stream 'killed'>"
        return sum(record.getMessage().startswith(begin) for record in caplog.records if record.name == "pysidctx")

    until(lambda: told("lost") == told("back") >= 2)
    assert PASSWORD not in caplog.text
    time.sleep(6)  # clocks differ: so long what is made after a forget() is refused, too
    until(lambda: travels(one, other, client_ctx))


def test_stopped(machines, server, client_ctx):
    """No handshake waits for a server that hangs."""
    one, other = machines
    until(lambda: travels(one, other, client_ctx))
    server.process.send_signal(signal.SIGSTOP)
    try:
        _, session = visit(one.ctx, client_ctx)
        until(lambda: one.replication.error)
        for _ in range(20):
            began = time.thread_time()
            resumed, session = visit(one.ctx, client_ctx, session)
            assert resumed and time.thread_time() - began < 1
    finally:
        server.process.send_signal(signal.SIGCONT)
    until(lambda: travels(one, other, client_ctx))


def test_flushed(machines, server, client_ctx):
    one, other = machines
    until(lambda: travels(one, other, client_ctx))
    server.client().flushall()
    until(lambda: travels(one, other, client_ctx))
    until(lambda: travels(other, one, client_ctx))


def test_out_of_memory(machines, server, client_ctx):
    one, other = machines
    until(lambda: travels(one, other, client_ctx))
    server.client().config_set("maxmemory", 1)
    visit(one.ctx, client_ctx)
    until(lambda: one.replication.error)
    assert "OutOfMemory" in one.replication.error
    server.client().config_set("maxmemory", 0)
    until(lambda: travels(one, other, client_ctx))


def test_garbage(machines, server, client_ctx):
    """Other programs write to the stream, and put another type of key in its place."""
    one, other = machines
    until(lambda: travels(one, other, client_ctx))
    client = server.client()
    for fields in ({b"batch": b"\0" * 100}, {b"other": b"x"}, {b"batch": b""}, {b"batch": secrets.token_bytes(3000)}):
        client.xadd("pysidctx", fields)
    until(lambda: travels(one, other, client_ctx))
    assert other.cache.stats().dropped >= 3
    client.delete("pysidctx")
    client.set("pysidctx", "text")
    visit(one.ctx, client_ctx)
    until(lambda: one.replication.error and other.replication.error)
    client.delete("pysidctx")
    until(lambda: travels(one, other, client_ctx))


def test_a_wrong_password(make_machine, server, client_ctx):
    """The error says so, and does not contain the password."""
    machine = make_machine(server.url("a-wrong-one"))
    until(lambda: machine.replication.error)
    assert "invalid username-password" in machine.replication.error
    assert "a-wrong-one" not in repr(machine.replication) + machine.replication.error
    _, session = visit(machine.ctx, client_ctx)
    assert visit(machine.ctx, client_ctx, session)[0]


def test_tls_with_a_client_certificate(make_machine, tmp_path, ca, certificate, client_certificate, client_ctx):
    """The URL names the files of the CA and of the client."""
    server, port = Server(tmp_path), free_port()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, issued in (("server", certificate), ("client", client_certificate)):
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    try:
        server.start("--tls-port", port, "--tls-cert-file", tmp_path / "server.pem", "--tls-key-file",
                     tmp_path / "server.pem", "--tls-ca-cert-file", tmp_path / "ca.pem")
        url = f"valkeys://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={tmp_path}/ca.pem"
        machines = [make_machine(f"{url}&ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.pem")
                    for _ in range(2)]
        until(lambda: travels(*machines, client_ctx))
        stranger = make_machine(url)
        until(lambda: stranger.replication.error)
    finally:
        server.stop()


def test_fleets_that_share_a_server(make_machine, server, client_ctx):
    machines = [make_machine(server.url(), stream=name) for name in ("one", "other")]
    until(lambda: all(machine.replication.leading for machine in machines))
    assert not travels(*machines, client_ctx)
    assert {key.decode() for key in server.client().keys()} == {"one", "other"}


def test_arguments():
    for options in ({"keep": 0}, {"timeout": 0}):
        with pytest.raises(ValueError, match="must be"):
            Channel("valkey://127.0.0.1", **options)
    with pytest.raises(ValueError):
        Channel("http://127.0.0.1")
