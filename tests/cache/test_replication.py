"""Caches of several machines exchange their sessions, and what was forgotten, by a channel."""

import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack

import pytest
from channels import MemoryChannel
from conditions import waiting
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import SUPPORT
from tickets import visit

from pysidctx import SessionCache, set_session_id_context
from pysidctx.cache import replication

SKEW = 5  # seconds: sessions that follow a forget() so closely are refused, too


until = waiting(10)  # seconds


class Machine:
    def __init__(self, ctx, secret, channel):
        self.ctx, self.channel = ctx, channel
        self.cache = SessionCache.from_secret(secret, size=2 << 20)
        self.cache.install(ctx)
        self.replication = self.cache.replicate(channel)
        until(lambda: self.replication.leading)


class OneWay:
    """A channel that does not return what was published by it."""

    def __init__(self, channel):
        self.channel, self.own = channel, set()

    def publish(self, batch):
        self.own.add(batch)
        self.channel.publish(batch)

    def receive(self, since):
        return ((position, batch) for position, batch in self.channel.receive(since) if batch not in self.own)


@pytest.fixture
def channel():
    return MemoryChannel()


@pytest.fixture
def make_machine(make_server_ctx):
    secret = secrets.token_bytes(32)
    with ExitStack() as stack:
        def make(channel, secret=secret):
            ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
            set_session_id_context(ctx, b"shop")
            machine = Machine(ctx, secret, channel)
            stack.callback(machine.replication.stop)
            return machine
        yield make


@pytest.fixture
def machines(make_machine, channel):
    return [make_machine(channel) for _ in range(2)]


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version)


def sent(machine):
    """Wait until all that a machine has stored is in the channel."""
    until(lambda: machine.cache.stats().published + machine.cache.stats().dropped >= machine.cache._head())


def arrived(machine, count):
    until(lambda: machine.cache.stats().received >= count)


def first_session(one, other, client_ctx):
    before = other.cache.stats().received
    _, session = visit(one.ctx, client_ctx)
    sent(one)
    arrived(other, before + 2)
    return session


def test_clients_change_machines(machines, client_ctx):
    one, other = machines
    session = first_session(one, other, client_ctx)
    for machine in (other, one, other):
        resumed, session = visit(machine.ctx, client_ctx, session)
        assert resumed
        for each in machines:
            sent(each)
        time.sleep(0.1)
    assert other.cache.stats().peers_decoded == 1
    assert (one.cache.stats().dropped, other.cache.stats().dropped) == (0, 0)


def test_a_machine_that_comes_later(machines, make_machine, channel, client_ctx):
    one, other = machines
    session = first_session(one, other, client_ctx)
    late = make_machine(channel)
    arrived(late, 2)
    assert visit(late.ctx, client_ctx, session)[0]


@pytest.mark.parametrize("returns_own", [True, False])
def test_a_machine_that_comes_while_others_send_without_a_pause(machines, make_machine, channel, make_client_ctx,
                                                                returns_own, monkeypatch):
    monkeypatch.setattr(replication, "SKEW", 0.5)
    one, other = machines
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3)
    session = first_session(one, other, client_ctx)
    published = list(channel.batches)
    ended = threading.Event()

    def send():
        while not ended.wait(0.01):
            channel.put(replication.milliseconds().to_bytes(8, "big") + published[0][8:])

    thread = threading.Thread(target=send)
    thread.start()
    try:
        late = make_machine(channel if returns_own else OneWay(channel))
        arrived(late, 2)
    finally:
        ended.set()
        thread.join()
    assert visit(late.ctx, client_ctx, session)[0]


def test_forgotten_on_all(machines, make_machine, channel, client_ctx, client_certificate):
    one, other = machines
    session = first_session(one, other, client_ctx)
    other.cache.forget(peer=ssl.PEM_cert_to_DER_cert(client_certificate.cert_chain_pems[0].bytes().decode()))
    generation = other.cache._generation()
    assert generation == 1
    until(lambda: one.cache._generation() == 1)
    assert not visit(one.ctx, client_ctx, session)[0]
    # One that comes later reads the session before it reads that it was forgotten, and yet never finds it.
    late = make_machine(channel)
    arrived(late, 2)
    assert not visit(late.ctx, client_ctx, session)[0]
    assert late.cache.stats().forgotten == 1
    time.sleep(0.2)  # nobody answers what he was told
    assert {machine.cache._generation() for machine in (one, other, late)} == {1}


def test_forgotten_while_the_channel_is_down(machines, channel, client_ctx):
    one, other = machines
    session = first_session(one, other, client_ctx)
    channel.down = True
    until(lambda: one.replication.error)
    with pytest.warns(RuntimeWarning, match="not yet on the others"):
        one.cache.forget_all()
    assert not visit(one.ctx, client_ctx, session)[0]
    assert other.cache._generation() == 0
    before = len(channel.batches)
    channel.down = False
    until(lambda: other.cache._generation() == 1, 20)
    assert channel.batches[before][8 + 1] == 3  # the first message is of what was forgotten
    assert not visit(other.ctx, client_ctx, session)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        until(lambda: one.replication.error is None)
        one.cache.forget_all()


def test_an_error_is_told_until_the_channel_works(machines, channel):
    """Also while there is nothing to send."""
    one, _ = machines
    channel.down = True
    until(lambda: one.replication.error)
    for _ in range(50):
        assert one.replication.error == "ConnectionError: the channel is down"
        time.sleep(0.01)
    channel.down = False
    until(lambda: one.replication.error is None, 20)


def test_nothing_comes_back(machines, channel, make_client_ctx):
    """Replayed and reordered: a session that was used up in TLS 1.3, and one that was forgotten."""
    one, other = machines
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3)
    session = first_session(one, other, client_ctx)
    assert visit(other.ctx, client_ctx, session)[0]
    sent(other)
    time.sleep(0.2)
    received = one.cache.stats().received
    for batch in reversed(list(channel.batches)):
        channel.put(batch)
    time.sleep(0.3)
    assert one.cache.stats().received == received
    one.cache.forget_all()
    until(lambda: other.cache._generation() == one.cache._generation())
    for batch in reversed(list(channel.batches)):
        channel.put(batch)
    time.sleep(0.3)
    for machine in machines:
        assert not visit(machine.ctx, client_ctx, session)[0]


def test_another_secret_adds_nothing(machines, make_machine, channel, client_ctx):
    one, other = machines
    stranger = make_machine(channel, secret=secrets.token_bytes(32))
    _, session = visit(stranger.ctx, client_ctx)
    sent(stranger)
    until(lambda: one.cache.stats().dropped >= 2)
    stranger.cache.forget_all()
    time.sleep(0.2)
    assert (len(one.cache), one.cache.stats().received, one.cache._generation()) == (0, 0, 0)
    assert not visit(one.ctx, client_ctx, session)[0]


def test_forged_and_torn_messages(machines, channel, make_client_ctx):
    one, other = machines
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2)
    session = first_session(one, other, client_ctx)
    genuine = [batch for batch in channel.batches if len(batch) > 200]
    fresh = SessionCache.from_secret(bytes(32), size=1 << 20)

    @settings(max_examples=200)
    @given(st.data())
    def try_all(data):
        batch = bytearray(data.draw(st.sampled_from(genuine))[8:])
        for _ in range(data.draw(st.integers(1, 3))):
            batch[data.draw(st.integers(0, len(batch) - 1))] ^= data.draw(st.integers(1, 255))
        del batch[data.draw(st.integers(1, len(batch))):]
        other.cache._incoming(bytes(batch), data.draw(st.booleans()), 0)
        fresh._incoming(bytes(batch), False, 0)

    try_all()
    assert (len(fresh), fresh.stats().received) == (0, 0)
    assert visit(other.ctx, client_ctx, session)[0]
    for batch in (b"", b"?", os.urandom(7), os.urandom(100), bytes(8) + b"\1", bytes(8) + b"\1\3"):
        channel.put(batch)
    assert visit(other.ctx, client_ctx, session)[0]


def test_overtaken(machines, channel, make_client_ctx):
    """More than the outbox holds while nobody takes it: counted, and it goes on."""
    one, other = machines
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2)
    channel.free.clear()
    for _ in range(100):
        visit(one.ctx, client_ctx)
    assert one.cache.stats().dropped == 0
    channel.free.set()
    until(lambda: one.cache.stats().dropped > 0)
    sent(one)
    _, session = visit(one.ctx, client_ctx)
    until(lambda: visit(other.ctx, client_ctx, session)[0])


LEADER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from channels import MemoryChannel
from pysidctx import SessionCache
cache = SessionCache.from_secret(bytes(range(32)), memory=sys.argv[2], size=1 << 20)
with cache.replicate(MemoryChannel()) as replication:
    while not replication.leading:
        time.sleep(0.01)
    print("leading", flush=True)
    time.sleep(60)
"""


def test_one_of_a_machine_does_the_work(make_server_ctx, tmp_path, channel):
    """Of two processes with the same memory; when the first is killed, the other takes over."""
    def make():
        return SessionCache.from_secret(bytes(range(32)), memory=tmp_path / "memory", size=1 << 20)

    other = subprocess.Popen([sys.executable, "-c", LEADER, SUPPORT, tmp_path / "memory"], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"leading\n"
        with make().replicate(channel) as replication:
            time.sleep(0.3)
            assert not replication.leading
            other.kill()
            until(lambda: replication.leading)
    finally:
        other.kill()
        other.communicate()


LOCKED = """
import sys
from pysidctx import SessionCache
print(SessionCache.from_secret(bytes(range(32)), memory=sys.argv[1], size=1 << 20)._lead())
"""


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forgetting_does_not_give_the_lead_away(tmp_path):
    """It closes a descriptor of the memory. A child that is forked does not keep the lock."""
    memory = tmp_path / "memory"
    cache = SessionCache.from_secret(bytes(range(32)), memory=memory, size=1 << 20)

    def another_leads():
        said = subprocess.run([sys.executable, "-c", LOCKED, memory], capture_output=True, text=True, check=True)
        return said.stdout == "True\n"

    assert cache._lead()
    cache.forget_all()
    assert not another_leads()
    leave, wait = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(wait)
        os.read(leave, 1)
        os._exit(0)
    os.close(leave)
    try:
        cache._follow()
        assert another_leads()
        assert cache._lead()
        assert not another_leads()
    finally:
        os.close(wait)
        os.waitpid(child, 0)


def test_what_cannot_replicate(channel):
    with pytest.raises(TypeError, match="random keys"):
        SessionCache(size=1 << 20).replicate(channel)
    with pytest.raises(TypeError, match=r"no method publish\(\)"):
        SessionCache.from_secret(bytes(32), size=1 << 20).replicate(object())


def test_stop(machines):
    threads = threading.active_count()
    for machine in machines:
        machine.replication.stop()
        assert not machine.replication.leading
        assert "stopped" in repr(machine.replication)
    assert threading.active_count() == threads - 4
