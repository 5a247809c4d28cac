"""Whatever the shared memory contains, a client resumes its own session, or gets a full handshake."""

import mmap
import re
import ssl

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tickets import sleep_into_next_second, visit
from tries import tries

from pysidctx import SessionCache, set_session_id_context

SIZE = 1 << 20
HEADER = 4096
COPY = 32 + 16 + 4000 * 24  # bytes of a list of what was forgotten
LIST = (16 + 2 * COPY + 63) // 64 * 64  # bytes of both copies, after the header
NUMBERS = 8 * (8 + 4096)  # bytes of the numbers at the end, with what goes to other machines
OUTGOING = 8 + 8 + 32 + 16 + 32 + 1024  # bytes of one entry there
MORE = settings(max_examples=tries(40), suppress_health_check=[HealthCheck.function_scoped_fixture])


class Shared:
    """A memory in a file, the sessions of two clients in it, and what was where."""

    def __init__(self, path, make_server_ctx, clients):
        self.path, self.make_server_ctx, self.clients = path, make_server_ctx, clients
        self.cache = self.opened()
        self.ctx = self.served_by(self.cache)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self.sessions = [visit(self.ctx, client_ctx)[1] for client_ctx, _ in clients]
        self.whole = self.memory[:]
        self.used = [HEADER + LIST + found.start() for found in re.finditer(rb"[^\0]", self.whole[HEADER + LIST:])]

    def opened(self):
        return SessionCache.from_secret(bytes(32), memory=self.path, size=SIZE)

    def served_by(self, cache):
        ctx = self.make_server_ctx(verify=ssl.CERT_REQUIRED)
        set_session_id_context(ctx, b"shop")
        cache.install(ctx)
        return ctx

    def restore(self):
        self.memory[:] = self.whole

    def resume(self, ctx):
        """Which clients resume. Each has its certificate, whatever happens."""
        resumed = []
        for session, (client_ctx, name) in zip(self.sessions, self.clients):
            ends = []
            again, _ = visit(ctx, client_ctx, session, before=ends.append)
            resumed.append(again)
            names = [name for _, name in ends[0].server.getpeercert()["subjectAltName"]]
            assert names == [name]
        return resumed


@pytest.fixture(scope="module")
def certificates(ca):
    return {name: ca.issue_cert(name, key_type=trustme.KeyType.ECDSA) for name in ("one@a.test", "other@a.test")}


@pytest.fixture
def shared(tmp_path, make_server_ctx, make_client_ctx, certificates, version):
    clients = []
    for name, certificate in certificates.items():
        client_ctx = make_client_ctx(version, certificate=False)
        certificate.configure_cert(client_ctx)
        clients.append((client_ctx, name))
    made = Shared(tmp_path / "memory", make_server_ctx, clients)
    yield made
    made.memory.close()


def test_nothing_changed(shared):
    assert shared.resume(shared.ctx) == [True, True]
    shared.restore()
    assert shared.resume(shared.served_by(shared.opened())) == [True, True]


@MORE
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=12))
def test_changed_bytes_in_what_is_used(shared, changes):
    """A process reads them that has read nothing before."""
    shared.restore()
    for place, bits in changes:
        shared.memory[shared.used[int(place * len(shared.used))]] ^= bits
    shared.resume(shared.served_by(shared.opened()))


@MORE
@given(changes=st.lists(st.tuples(st.integers(HEADER, SIZE - 100), st.binary(min_size=1, max_size=100)), max_size=50))
def test_overwritten_bytes_anywhere(shared, changes):
    shared.restore()
    for place, data in changes:
        shared.memory[place:place + len(data)] = data
    shared.resume(shared.served_by(shared.opened()))
    shared.resume(shared.ctx)


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\1"], ids=bytes.hex)
def test_memory_that_is_overwritten_serves_again(shared, filling):
    shared.memory[HEADER:] = filling * (SIZE - HEADER)
    assert shared.resume(shared.ctx) == [False, False]
    ctx = shared.served_by(shared.opened())
    sleep_into_next_second()
    shared.sessions = [visit(shared.ctx, client_ctx)[1] for client_ctx, _ in shared.clients]
    assert shared.resume(ctx) == [True, True]


def test_a_session_in_the_place_of_another_one(shared):
    """Its seal is bound to its name: no client gets another one's session, nor certificate."""
    begin = HEADER + LIST
    rest = SIZE - begin - NUMBERS
    rest -= rest // 32 // OUTGOING * OUTGOING
    peers = begin + rest // 4 // (8 * (16 + 32 + 1024)) * (8 * (16 + 32 + 1024))
    for first, last, most in ((begin, peers, 1024), (peers, begin + rest, 272)):
        entries = list(entries_in(shared.whole, first, last, most))
        assert len(entries) >= 2
        for end, body in entries:
            for other_end, other_body in entries:
                shared.memory[end:end + 8] = shared.whole[other_end:other_end + 8]
                shared.memory[body:body + 32 + most] = shared.whole[other_body:other_body + 32 + most]
                shared.resume(shared.served_by(shared.opened()))
                shared.restore()


def entries_in(memory, begin, end, most):
    """Where the end and the body of each entry are."""
    size = 8 * (16 + 32 + most)
    for place in range(begin, end - size + 1, size):
        for way in range(8):
            if any(memory[place + 8 * way:place + 8 * way + 8]):
                yield place + 64 + 8 * way, place + 128 + way * (32 + most)


def present_list(memory):
    """Where the list of the present generation is."""
    generation = int.from_bytes(memory[HEADER:HEADER + 8], "little")
    return HEADER + 16 + (generation & 1) * COPY


@pytest.mark.parametrize("place", [0, 12, 32, 40, 48, 96_000], ids=str)
def test_of_a_list_that_cannot_be_read_all_is_forgotten(shared, place):
    shared.cache.forget(id_context=b"another")
    sessions = shared.memory[:]
    shared.memory[present_list(shared.memory) + place] ^= 1
    fresh = shared.served_by(shared.opened())
    assert shared.resume(fresh) == [False, False]
    shared.memory[HEADER + LIST:] = sessions[HEADER + LIST:]
    assert shared.resume(fresh) == [False, False]  # also by the way that was read before
    sleep_into_next_second()
    after = [visit(fresh, client_ctx)[1] for client_ctx, _ in shared.clients]
    assert [visit(fresh, client[0], session)[0] for client, session in zip(shared.clients, after)] == [True, True]
    # The list can be read again, and says so.
    shared.memory[HEADER + LIST:] = sessions[HEADER + LIST:]
    assert shared.resume(shared.ctx) == shared.resume(shared.served_by(shared.opened())) == [False, False]


def test_an_older_list_revives_nothing_where_the_newer_one_was_seen(shared):
    shared.cache.forget(id_context=b"another")
    older = shared.memory[:HEADER + LIST]
    shared.cache.forget(id_context=b"shop")
    assert shared.resume(shared.ctx) == [False, False]
    shared.memory[:HEADER + LIST] = older
    shared.memory[HEADER + LIST:] = shared.whole[HEADER + LIST:]
    assert shared.resume(shared.ctx) == [False, False]
    # What it writes then says so to all.
    shared.cache.forget(id_context=b"one more")
    shared.memory[HEADER + LIST:] = shared.whole[HEADER + LIST:]
    assert shared.resume(shared.served_by(shared.opened())) == [False, False]


@pytest.mark.parametrize("generation", [1, 2, 7, 2 ** 63, 2 ** 64 - 2, 2 ** 64 - 1], ids=str)
def test_a_generation_that_is_none(shared, generation):
    shared.memory[HEADER:HEADER + 8] = generation.to_bytes(8, "little")
    assert shared.resume(shared.ctx) == [False, False]
    for number in range(3):
        shared.cache.forget(id_context=b"%d" % number)
        shared.memory[HEADER + LIST:] = shared.whole[HEADER + LIST:]
        fresh = shared.served_by(shared.opened())
        assert shared.resume(fresh) == shared.resume(shared.ctx) == [False, False]
    sleep_into_next_second()
    shared.sessions = [visit(shared.ctx, client_ctx)[1] for client_ctx, _ in shared.clients]
    assert shared.resume(fresh) == [True, True]
