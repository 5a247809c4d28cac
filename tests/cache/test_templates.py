"""Templates: one for all sessions of a peer, without what each has of its own, kept decoded in a table."""

import hashlib
import ssl
import threading
import time

import libssl
import pytest
import session_der
from forks import in_a_fork
from handshakes import VERSIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_der import AGE_ADD, FLAGS, PEER, VERIFY_RESULT
from tries import tries

PREFIX = bytes.fromhex("020101 02020303 04021301 0400 0400")
OWN = {1, 2, 4, 6, 9, 10, AGE_ADD, 15, 16, 18}
many = settings(max_examples=tries(400),
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def template(*elements):
    """A template of these elements, and its key."""
    der = session_der.element(0x30, PREFIX + b"".join(elements))
    return hashlib.sha256(der).digest(), der


@pytest.fixture
def peers(cache):
    """Makes templates of peers that differ in the result of verifying them: short ones, which are decoded quickly."""

    def make(count):
        made = []
        for number in range(count):
            with libssl.session_from(template(session_der.integer(VERIFY_RESULT, number + 1))[1]) as session:
                made.append(cache.describe(session))
        return made

    return make


def held(table, templates):
    """The numbers of those that are in the table."""
    found = []
    for number, (key, _) in enumerate(templates):
        duplicated = table.duplicate(key)
        if duplicated is not None:
            libssl.SSL_SESSION_free(duplicated[0])
            found.append(number)
    return found


@pytest.fixture
def changed(cache):
    """The template and the key of a session after a change of its elements."""

    def change(session, **elements):
        parts = session_der.split(libssl.der_of(session))
        for name, value in elements.items():
            parts.pop(int(name[1:]), None)
            if value is not None:
                parts[int(name[1:])] = value
        with libssl.session_from(session_der.join(parts)) as made:
            return cache.describe(made)

    return change


def test_all_sessions_of_a_peer_share_one(cache, make_stored, make_client_ctx, version):
    client_ctx = make_client_ctx()
    described = set()
    for number in range(100):
        _, session = make_stored(version, client_ctx=client_ctx, named=number % 2, protocol=f"p{number % 3}")
        libssl.SSL_SESSION_set_timeout(session, number + 1)
        libssl.SSL_SESSION_set1_ticket_appdata(session, bytes(number), number)
        described.add(cache.describe(session))
    assert len(described) == 1


def test_peers_do_not(cache, ca, make_stored, make_client_ctx, version):
    clients = [make_client_ctx(certificate=False) for _ in range(3)]
    for number, client_ctx in enumerate(clients[1:]):
        ca.issue_cert(f"client{number}@a.test").configure_cert(client_ctx)
    described = [cache.describe(make_stored(version, client_ctx=client_ctx)[1]) for client_ctx in clients]
    assert len({key for key, _ in described}) == len({der for _, der in described}) == 3


def test_what_cannot_be_set_tells_them_apart(make_stored, changed, version):
    _, session = make_stored(version)
    described = [changed(session, **elements) for elements in (
        {"_13": None}, {"_13": session_der.integer(FLAGS, 1)},                # the extended master secret
        {"_5": session_der.integer(VERIFY_RESULT, 18)},
        {"_17": session_der.integer(17, 1)}, {"_17": session_der.integer(17, 2)},  # maximum fragment lengths
        {"_12": session_der.octets(12, b"user")},                             # of SRP
    )]
    keys = {key for key, _ in filter(None, described)}
    assert len(keys) == len([*filter(None, described)]) >= 5


def test_the_extended_master_secret(cache, make_stored, make_client_ctx):
    if ssl.OPENSSL_VERSION_INFO < (3,):
        pytest.skip("before 3.0, OpenSSL cannot be told to do without it")
    described = []
    for options in (0, libssl.SSL_OP_NO_EXTENDED_MASTER_SECRET):
        client_ctx = make_client_ctx()
        client_ctx.options |= options
        described.append(cache.describe(make_stored(ssl.TLSVersion.TLSv1_2, client_ctx=client_ctx)[1]))
    (_, used), (_, unused) = described
    assert FLAGS in session_der.split(used) and FLAGS not in session_der.split(unused)


def test_protocol_versions_share_one_where_nothing_else_differs(make_stored, make_client_ctx, changed):
    client_ctx = make_client_ctx()
    described = {changed(make_stored(version, client_ctx=client_ctx)[1], _13=None, _19=None) for version in VERSIONS}
    assert len(described) == 1


def test_a_template_has_nothing_of_a_session_s_own(cache, make_stored, version):
    server, session = make_stored(version, protocol="protocol")
    libssl.SSL_SESSION_set1_ticket_appdata(session, b"application", 11)
    der = libssl.der_of(session)
    key, found = cache.describe(session)
    parts = session_der.split(found)
    secret, id = libssl.master_key(der), libssl.session_id(session)
    assert len(secret) >= 32 and len(id) == 32
    for own in (secret, id, b"a.test", b"protocol", b"application", libssl.session_id_context(server)):
        assert own in der and own not in found.replace(parts[PEER], b"")
    assert secret not in found and id not in found
    assert session_der.contents(found)[1].startswith(PREFIX)
    assert not OWN & {*parts}
    assert {*session_der.split(der)} - OWN == {*parts}
    assert hashlib.sha256(found).digest() == key


def test_the_peer(cache, make_stored, duplicate, version):
    table = cache.Table(10)
    server, session = make_stored(version)
    key, der = cache.describe(session)
    assert table.duplicate(key) is None
    assert table.add(key, der) and table.add(key, der)
    with duplicate(table, key) as (copy, peer):
        assert peer == hashlib.sha256(server.getpeercert(True)).digest()
        assert cache.describe(copy) == (key, der)
        assert libssl.master_key(libssl.der_of(copy)) == libssl.session_id(copy) == b""
    key, der = cache.describe(make_stored(version, certificate=False)[1])
    assert table.add(key, der)
    with duplicate(table, key) as (_, peer):
        assert peer == bytes(32)


def test_duplicates_outlive_the_table(cache, make_stored, version):
    _, session = make_stored(version)
    key, der = cache.describe(session)
    table = cache.Table(1)
    assert table.add(key, der)
    copies = [table.duplicate(key)[0] for _ in range(3)]
    table.drop()
    assert table.duplicate(key) is None
    del table
    for copy in copies:
        assert cache.describe(copy) == (key, der)
        libssl.SSL_SESSION_free(copy)


def test_a_template_under_another_key_is_refused(cache, peers):
    (key, der), (other, _) = peers(2)
    table = cache.Table(1)
    assert not table.add(other, der)
    assert not table.add(bytes(32), der)
    assert held(table, [(key, der), (other, der)]) == []
    assert table.add(key, der)


def refused(cache, der):
    """Whether a template is refused under its own key. An accepted one can be duplicated; no error is queued."""
    table, key = cache.Table(1), hashlib.sha256(der).digest()
    added = table.add(key, der)
    assert libssl.ERR_peek_error() == 0
    duplicated = table.duplicate(key)
    assert (duplicated is not None) is added
    if added:
        cache.describe(duplicated[0])
        assert libssl.ERR_peek_error() == 0
        libssl.SSL_SESSION_free(duplicated[0])
    return not added


@pytest.mark.parametrize("number", sorted(OWN))
def test_a_template_with_what_is_a_session_s_own_is_refused(cache, number):
    value = session_der.octets if number in (4, 6, 10, 16, 18) else session_der.integer
    der = template(value(number, b"x" if value is session_der.octets else 1))[1]
    with libssl.session_from(der):
        pass  # OpenSSL accepts it
    assert refused(cache, der)


def test_a_whole_session_is_no_template(cache, make_stored, version):
    assert refused(cache, libssl.der_of(make_stored(version)[1]))


def test_a_template_that_is_too_long_is_refused(cache, make_stored, changed):
    _, session = make_stored(VERSIONS[0])
    long = session_der.octets(7, b"h" * 65536)
    assert changed(session, _7=long) is None
    assert refused(cache, template(long)[1])
    fits = changed(session, _7=session_der.octets(7, b"h" * 60000))
    assert fits is not None and not refused(cache, fits[1])


def test_a_session_that_cannot_be_encoded(cache, make_stored):
    """It has no cipher."""
    empty = libssl.SSL_SESSION_new()
    assert cache.describe(empty) is None
    assert cache.record_of(empty, bytes(32), 1, 2, 3) == b""
    libssl.SSL_SESSION_free(empty)


@pytest.fixture
def described(cache, make_stored):
    return cache.describe(make_stored(VERSIONS[0])[1])[1]


def test_each_shorter_and_longer_template_is_refused(cache, described):
    assert not refused(cache, described)
    for other in (*(described[:length] for length in range(len(described))), described + b"\0", described * 2):
        assert refused(cache, other)


@many
@given(der=st.binary(max_size=300))
def test_random_bytes(cache, der):
    refused(cache, der)
    refused(cache, session_der.element(0x30, PREFIX + der))


@many
@given(data=st.data())
def test_changed_templates(cache, described, data):
    der = bytearray(described)
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(der) - 1), st.integers(0, 255)),
                                          min_size=1, max_size=4)):
        der[place] = byte
    refused(cache, bytes(der))


def test_each_bit(cache, described):
    for place in range(len(described) * 8):
        der = bytearray(described)
        der[place // 8] ^= 1 << place % 8
        refused(cache, bytes(der))


def test_many_peers_in_a_small_table(cache, peers):
    """As many as fit are kept, and never more."""
    templates = peers(10_000)
    table = cache.Table(100)
    for key, der in templates:
        assert table.add(key, der)
    kept = held(table, templates)
    assert 150 <= len(kept) <= 256
    assert min(kept) > 10_000 - 1_000  # the latest
    assert table.add(*templates[0]) and 0 in held(table, templates)


@pytest.mark.parametrize("count", [0, 1, 7, 100, 1_000])
def test_as_many_peers_as_were_asked_for(cache, peers, count):
    templates = peers(count)
    table = cache.Table(count)
    for key, der in templates:
        assert table.add(key, der)
    assert len(held(table, templates)) >= 0.97 * count
    assert cache.Table(0).add(*peers(1)[0])


def test_of_a_set_the_least_recently_used_goes(cache, duplicate, peers):
    """A table for one peer has one set, of eight slots."""
    templates = peers(12)
    table = cache.Table(1)
    for key, der in templates[:8]:
        assert table.add(key, der)
    for number in (7, 6, 5, 3, 2, 1, 0):  # 4 is not used
        with duplicate(table, templates[number][0]):
            pass
    assert table.add(*templates[8])
    with duplicate(table, templates[7][0]):
        pass
    assert table.add(*templates[9]) and table.add(*templates[10])
    assert held(table, templates) == [0, 1, 2, 3, 7, 8, 9, 10]


def test_too_large_a_table(cache):
    for count in ((1 << 64) - 1, 1 << 62):
        with pytest.raises(MemoryError, match=str(count)):
            cache.Table(count)


@pytest.fixture
def mixed(cache, ca, make_stored, make_client_ctx, peers):
    """Templates of many peers, some with certificates."""
    found = peers(60)
    for number in range(4):
        client_ctx = make_client_ctx(certificate=False)
        ca.issue_cert(f"client{number}@a.test").configure_cert(client_ctx)
        found.append(cache.describe(make_stored(VERSIONS[1], client_ctx=client_ctx)[1]))
    return found


def in_threads(count, work):
    """Run `work` of 0, 1, ... in threads; what they raise is raised here."""
    failed = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads, failed


def test_threads(cache, mixed, rng):
    """Eight duplicate and add without the GIL, while two drop all, in a table that is too small."""
    table, seed = cache.Table(20), rng.getrandbits(60)
    results, done = [], threading.Event()

    def work(number):
        if number < 8:
            results.append(table.churn(mixed, seed + number, 15_000))
        while number >= 8 and not done.is_set():
            table.drop()
            time.sleep(0.002)

    threads, failed = in_threads(10, work)
    for thread in threads[:8]:
        thread.join()
    done.set()
    for thread in threads[8:]:
        thread.join()
    assert not failed
    assert [wrong for _, wrong in results] == [0] * 8
    assert all(found > 100 for found, _ in results)


def test_forks_while_threads_read_the_table(cache, peers, rng):
    """A child, which lacks them, does not wait for them. They find nothing: OpenSSL locks what it duplicates."""
    table, done, templates, seed = cache.Table(20), threading.Event(), peers(20), rng.getrandbits(60)
    missing = [(hashlib.sha256(key).digest(), der) for key, der in templates]

    def work(number):
        while not done.is_set():
            assert table.churn(missing, seed + number, 100_000, lookups=True) == (0, 0)

    def child():
        table.drop()
        return held(table, templates) == [] and all(table.add(*one) for one in templates) and len(
            held(table, templates)) > 15

    for key, der in templates:
        table.add(key, der)
    threads, failed = in_threads(4, work)
    try:
        assert all(in_a_fork(child) for _ in range(20))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed
