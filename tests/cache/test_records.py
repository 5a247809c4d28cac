"""Records: each one restores, with its template, the session that it was written from."""

import ssl

import libssl
import pytest
import session_der
from handshakes import VERSIONS, connect, pair, shake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_der import AGE_ADD, ALPN, APPDATA, HOSTNAME, PEER
from tries import tries

FULL, UNTIL = 1_700_000_000, (1 << 64) - 1
TIMES = b"\2" + FULL.to_bytes(8, "big") + UNTIL.to_bytes(8, "big")
CASES = {
    "all": {},
    "no certificate": {"certificate": False},
    "no name": {"named": False},
    "no protocol": {"protocol": None},
    "a long protocol": {"protocol": "p" * 100},
    "nothing": {"certificate": False, "named": False, "protocol": None},
}
many = settings(max_examples=tries(400),
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def end_of(session):
    return libssl.SSL_SESSION_get_time(session) + libssl.SSL_SESSION_get_timeout(session)


@pytest.fixture
def again(cache, duplicate):
    """The DER of the session that its template and its record make, and the record."""

    def make(connection, session):
        key, der = cache.describe(session)
        record = cache.record_of(session, key, FULL, UNTIL, end_of(session))
        table = cache.Table(1)
        assert table.add(key, der)
        with duplicate(table, key) as (copy, _):
            assert cache.apply(libssl.pointer(connection), copy, libssl.session_id(session), record)
            return libssl.der_of(copy), record

    return make


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_session_is_what_it_was(make_stored, again, version, case):
    server, session = make_stored(version, **case)
    libssl.SSL_SESSION_set1_ticket_appdata(session, TIMES, len(TIMES))
    former, (der, record) = session_der.split(libssl.der_of(session)), again(server, session)
    assert (PEER in former, HOSTNAME in former, ALPN in former) == (
        case.get("certificate", True), case.get("named", True), case.get("protocol", "h2") is not None)
    former.pop(AGE_ADD, None)  # random for each ticket, for early data alone
    assert session_der.split(der) == former
    assert len(record) <= 272


@pytest.mark.parametrize("name, value", [
    (HOSTNAME, session_der.octets(HOSTNAME, b"")),
    (session_der.FLAGS, session_der.integer(session_der.FLAGS, 1)),
    (session_der.FLAGS, None),
    (session_der.VERIFY_RESULT, session_der.integer(session_der.VERIFY_RESULT, 18)),
    (session_der.ID_CONTEXT, session_der.octets(session_der.ID_CONTEXT, b"")),
    (session_der.ID_CONTEXT, session_der.octets(session_der.ID_CONTEXT, bytes(range(32)))),
    (15, session_der.integer(15, (1 << 32) - 1)),
    (17, session_der.integer(17, 4)),
    ("master_key", session_der.element(4, b"k")),
    ("ssl_version", session_der.element(2, b"\0\xfe\xfd")),  # DTLS 1.2
    ("cipher", session_der.element(4, b"\xc0\x2b")),
])
def test_what_a_session_may_hold(make_stored, again, version, name, value):
    server, session = make_stored(version)
    parts = session_der.split(libssl.der_of(session))
    parts.pop(AGE_ADD, None)
    parts[APPDATA] = session_der.octets(APPDATA, TIMES)
    parts.pop(name, None)
    if value is not None:
        parts[name] = value
    with libssl.session_from(session_der.join(parts)) as changed:
        assert libssl.der_of(changed) == session_der.join(parts)
        assert again(server, changed)[0] == session_der.join(parts)


def test_times(cache, make_stored, duplicate, version):
    server, session = make_stored(version)
    key, der = cache.describe(session)
    table = cache.Table(1)
    table.add(key, der)
    began = libssl.SSL_SESSION_get_time(session)
    for end, timeout in ((began + 100, 100), (began, 1), (began - 5, 1), (0, 1), (UNTIL, (1 << 31) - 1)):
        record = cache.record_of(session, key, FULL, UNTIL, end)
        assert cache.times_in(record) == (FULL, UNTIL)
        assert cache.key_in(record) == key
        with duplicate(table, key) as (copy, _):
            assert cache.apply(libssl.pointer(server), copy, bytes(32), record)
            assert libssl.SSL_SESSION_get_timeout(copy) == timeout
            assert libssl.SSL_SESSION_get_time(copy) == began
            assert libssl.session_id(copy) == bytes(32)


def test_what_is_too_long_is_not_written(cache, make_stored, version):
    _, session = make_stored(version, protocol=None)
    for length in range(1, 256):
        libssl.SSL_SESSION_set1_hostname(session, b"h" * length)
        record = cache.record_of(session, bytes(32), 1, 2, 3)
        assert (len(record), length) <= (272, 255)
        if record:
            longest = length
    assert len(cache.record_of(session, bytes(32), 1, 2, 3)) == 0
    libssl.SSL_SESSION_set1_hostname(session, b"h" * longest)
    assert len(cache.record_of(session, bytes(32), 1, 2, 3)) == 272
    assert longest > 100


def test_a_longer_secret_and_none_are_not_written(cache, make_stored, version):
    _, session = make_stored(version)
    parts = session_der.split(libssl.der_of(session))
    for length in (0, 49):
        parts["master_key"] = session_der.element(4, bytes(length))
        with libssl.session_from(session_der.join(parts)) as changed:
            assert cache.record_of(changed, bytes(32), 1, 2, 3) == b""


def test_application_data_of_others_is_not_lost(cache, make_stored, version):
    _, session = make_stored(version)
    libssl.SSL_SESSION_set1_ticket_appdata(session, b"theirs", 6)
    assert cache.record_of(session, bytes(32), 1, 2, 3) == b""


@pytest.fixture
def stored(cache, make_stored):
    """A connection, a table with the template of its session, and that one's key, id and record."""
    server, session = make_stored(ssl.TLSVersion.TLSv1_2)
    key, der = cache.describe(session)
    table = cache.Table(1)
    table.add(key, der)
    record = cache.record_of(session, key, FULL, UNTIL, end_of(session))
    return server, table, key, libssl.session_id(session), record


def attempt(cache, duplicate, stored, record):
    """Whether a record can be applied: then a session of it can be encoded and decoded, and nothing is queued."""
    server, table, key, id, _ = stored
    with duplicate(table, key) as (copy, _):
        applied = cache.apply(libssl.pointer(server), copy, id, record)
        assert libssl.ERR_peek_error() == 0
        if applied:
            assert (cache.key_in(record) is None, cache.times_in(record) is None) == (False, False)
            with libssl.session_from(libssl.der_of(copy)) as decoded:
                assert libssl.session_id(decoded) == id
    return applied


def test_each_shorter_and_longer_record_is_refused(cache, duplicate, stored):
    record = stored[-1]
    assert attempt(cache, duplicate, stored, record)
    for other in (*(record[:length] for length in range(len(record))), record + b"\0", record + bytes(200)):
        assert not attempt(cache, duplicate, stored, other)
        assert cache.key_in(other) is None and cache.times_in(other) is None


@many
@given(record=st.binary(max_size=300))
def test_random_bytes(cache, duplicate, stored, record):
    attempt(cache, duplicate, stored, record)
    attempt(cache, duplicate, stored, b"\1" + record)


@many
@given(data=st.data())
def test_changed_records(cache, duplicate, stored, data):
    record = bytearray(stored[-1])
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(record) - 1), st.integers(0, 255)),
                                          min_size=1, max_size=4)):
        record[place] = byte
    attempt(cache, duplicate, stored, bytes(record))


def test_each_bit(cache, duplicate, stored):
    for place in range(len(stored[-1]) * 8):
        record = bytearray(stored[-1])
        record[place // 8] ^= 1 << place % 8
        attempt(cache, duplicate, stored, bytes(record))


def test_a_record_without_a_secret_or_an_id_context_is_refused(cache, duplicate, stored):
    record = stored[-1]
    at = 1 + 32 + 5 * 8 + 4
    context = at + 1 + 48
    assert record[at] == 48
    for other in (record[:at] + b"\0" + record[context:], record[:at] + b"\xff" + record[context:],
                  record[:context] + b"\xff" + record[context + 1 + record[context]:]):
        assert not attempt(cache, duplicate, stored, other)


def test_an_unknown_cipher_is_refused(cache, duplicate, stored):
    record = stored[-1]
    at = 1 + 32 + 5 * 8 + 2
    assert not attempt(cache, duplicate, stored, record[:at] + b"\x2a\x2a" + record[at + 2:])


class Stored:
    """A server's store of sessions, in Python: OpenSSL's callbacks write to it and read from it."""

    def __init__(self, cache, server_ctx):
        self.cache, self.ctx = cache, libssl.pointer(server_ctx)
        self.table, self.records, self.hits, self.failed = cache.Table(10), {}, 0, []
        self._callbacks = libssl.NEW_SESSION(self._put), libssl.GET_SESSION(self._get)
        libssl.SSL_CTX_ctrl(self.ctx, libssl.SSL_CTRL_SET_SESS_CACHE_MODE, libssl.SSL_SESS_CACHE_SERVER_ALONE, None)
        libssl.SSL_CTX_sess_set_new_cb(self.ctx, self._callbacks[0])
        libssl.SSL_CTX_sess_set_get_cb(self.ctx, self._callbacks[1])

    def _put(self, connection, session):
        try:
            key, der = self.cache.describe(session)
            assert self.table.add(key, der)
            self.records[libssl.session_id(session)] = self.cache.record_of(session, key, FULL, UNTIL, end_of(session))
        except BaseException as error:
            self.failed.append(error)
        return 0

    def _get(self, connection, id, length, copy):
        copy[0] = 0
        name = bytes(id[:length])
        record = self.records.get(name)
        if record is None:
            return None
        session, _ = self.table.duplicate(self.cache.key_in(record))
        if not self.cache.apply(connection, session, name, record):
            self.failed.append(name)
        self.hits += 1
        return session


@pytest.mark.parametrize("known", [True, False], ids=["certificate", "no certificate"])
def test_servers_resume_them(cache, make_server_ctx, make_client_ctx, version, known):
    server_ctx = make_server_ctx(verify=ssl.CERT_OPTIONAL, tickets=False)
    stored = Stored(cache, server_ctx)
    client_ctx = make_client_ctx(version, certificate=known)
    session, peer = None, None
    for number in range(20):
        ends = connect(server_ctx, client_ctx, session=session)
        assert ends.server.session_reused is (number > 0)
        assert (ends.server.getpeercert(True) is not None) is known
        peer = peer or ends.server.getpeercert(True)
        assert ends.server.getpeercert(True) == peer
        session = ends.client.session
        assert not stored.failed
    assert stored.hits == 19


def test_each_client_gets_its_own(cache, ca, make_server_ctx, make_client_ctx):
    """Its session, with its certificate, in any order."""
    server_ctx = make_server_ctx(verify=ssl.CERT_REQUIRED, tickets=False)
    stored = Stored(cache, server_ctx)
    clients = []
    for number in range(4):
        ctx = make_client_ctx(VERSIONS[number % 2], certificate=False)
        ca.issue_cert(f"client{number}@a.test").configure_cert(ctx)
        ends = connect(server_ctx, ctx)
        clients.append((ctx, ends.client.session, ends.server.getpeercert(True)))
    assert len({peer for *_, peer in clients}) == 4
    for ctx, session, peer in clients * 2:
        ends = connect(server_ctx, ctx, session=session)
        assert ends.server.session_reused and ends.server.getpeercert(True) == peer
    assert not stored.failed and stored.hits == 8


def test_a_session_of_another_id_context_is_not_resumed(cache, make_server_ctx, make_client_ctx, version):
    """The id context is in the record, and OpenSSL compares it."""
    server_ctx, client_ctx = make_server_ctx(tickets=False), make_client_ctx(version)
    stored = Stored(cache, server_ctx)
    ends = pair(server_ctx, client_ctx)
    libssl.SSL_set_session_id_context(libssl.pointer(ends.server), b"one", 3)
    session = shake(ends).client.session
    ends = pair(server_ctx, client_ctx, session=session)
    libssl.SSL_set_session_id_context(libssl.pointer(ends.server), b"two", 3)
    assert not shake(ends).server.session_reused
    ends = pair(server_ctx, client_ctx, session=session)
    libssl.SSL_set_session_id_context(libssl.pointer(ends.server), b"one", 3)
    assert shake(ends).server.session_reused
    assert stored.hits == 2 and not stored.failed
