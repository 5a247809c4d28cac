"""TicketKeys: what a ticket is, who takes it, for how long, and what is said where keys are unfit."""

import copy
import os
import pickle
import secrets
import ssl
import threading
import time

import libssl
import pytest
from cryptography.exceptions import InvalidSignature
from forks import in_a_fork
from handshakes import VERSIONS, connect, pair, shake
from tickets import (
    key_of_period, opened, sealed, sleep_into_period, visit, with_ticket,
)

from pysidctx import (
    HostMap, Session, TicketKeys, TicketStats, resumable, set_session_id_context,
)

SECRET = bytes(range(32))
HOUR = 3600
FOR_EVER = 2 ** 64 - 1


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version)


@pytest.fixture
def key_file(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.touch(0o600)
        path.write_bytes(data)
        return path
    return write


def halves(data, hmac_first=True):
    """The three parts of a key of 48 or 80 bytes: name, for HMAC, for AES."""
    half = (len(data) - 16) // 2
    first, second = data[16:16 + half], data[16 + half:]
    return (data[:16], first, second) if hmac_first else (data[:16], second, first)


def full_handshake(der):
    """When a ticket says that it was."""
    appdata = libssl.ticket_appdata(der)
    assert len(appdata) == 17 and appdata[0] == 2
    return int.from_bytes(appdata[1:9], "big")


def carried(full, until=FOR_EVER):
    """The times of the full handshake, and of the end of the client's certificates, as a ticket has them."""
    return b"\2" + full.to_bytes(8, "big") + until.to_bytes(8, "big")


def test_the_session_in_a_ticket_of_a_secret(two, client_ctx):
    set_session_id_context(two[0], b"shop")
    TicketKeys.from_secret(SECRET, period=HOUR).install(two[0])
    number = int(time.time()) // HOUR
    _, session = visit(two[0], client_ctx)
    ticket = libssl.ticket(session.to_der())
    key = max((key_of_period(SECRET, number + more) for more in (0, 1)),
              key=lambda key: key[:16] == ticket[:16])
    der = opened(ticket, *halves(key))
    assert Session.from_der(der, id_context=b"shop").protocol == session.protocol
    assert abs(full_handshake(der) - time.time()) < 60


@pytest.mark.parametrize("size, layout", [(48, "nginx"), (80, "nginx"), (48, "apache"), (80, "apache")])
def test_the_session_in_a_ticket_of_a_file(two, client_ctx, key_file, size, layout):
    data = secrets.token_bytes(size)
    path = key_file("key", data)
    TicketKeys.from_files([path], layout=layout).install(two[0])
    _, session = visit(two[0], client_ctx)
    ticket = libssl.ticket(session.to_der())
    content = opened(ticket, *halves(data, hmac_first=size == 80 or layout == "apache"))
    assert Session.from_der(content, id_context=b"Python\0").cipher == session.cipher
    if size == 48:
        with pytest.raises(InvalidSignature):
            opened(ticket, *halves(data, hmac_first=layout == "nginx"))


def test_a_ticket_that_another_program_made_is_resumed(two, client_ctx, key_file):
    data = secrets.token_bytes(80)
    TicketKeys.from_files([key_file("key", data)]).install(two[0])
    _, session = visit(two[0], client_ctx)
    der = opened(libssl.ticket(session.to_der()), *halves(data))
    again = with_ticket(session, sealed(der, *halves(data), iv=secrets.token_bytes(16)))
    assert visit(two[0], client_ctx, again)[0]


@pytest.mark.parametrize("appdata", [b"", b"\2", b"\1" + bytes(16), b"\2" + bytes(17)])
def test_a_ticket_that_does_not_tell_its_age_is_not(two, client_ctx, key_file, appdata):
    data = secrets.token_bytes(80)
    keys = TicketKeys.from_files([key_file("key", data)])
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    der = opened(libssl.ticket(session.to_der()), *halves(data))
    with libssl.session_from(der) as changed:
        libssl.SSL_SESSION_set1_ticket_appdata(changed, appdata or None, len(appdata))
        der = libssl.der_of(changed)
    assert not visit(two[0], client_ctx, with_ticket(session, sealed(der, *halves(data))))[0]
    assert keys.stats().invalid == 1


@pytest.mark.parametrize("left, resumed", [(-1, False), (0, False), (60, True)])
def test_a_ticket_ends_with_the_client_s_certificates(two, client_ctx, key_file, left, resumed):
    data = secrets.token_bytes(80)
    keys = TicketKeys.from_files([key_file("key", data)])
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    der = opened(libssl.ticket(session.to_der()), *halves(data))
    appdata = carried(full_handshake(der), int(time.time()) + left)
    with libssl.session_from(der) as changed:
        libssl.SSL_SESSION_set1_ticket_appdata(changed, appdata, 17)
        der = libssl.der_of(changed)
    found, session = visit(two[0], client_ctx, with_ticket(session, sealed(der, *halves(data))))
    assert found == resumed
    assert keys.stats().expired == (not resumed)
    if resumed and client_ctx.minimum_version == VERSIONS[1]:
        renewed = opened(libssl.ticket(session.to_der()), *halves(data))
        assert libssl.ticket_appdata(renewed) == appdata
        assert session.ticket_lifetime_hint <= left


def test_keys_that_are_installed_in_mid_handshake(two, make_client_ctx):
    """A session whose age is not known then yields a ticket that is not accepted."""
    client_ctx = make_client_ctx(VERSIONS[1])
    _, session = visit(two[0], client_ctx)
    ends = pair(two[0], client_ctx)
    session.resume_on(ends.client)
    for end in (ends.client, ends.server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    keys = TicketKeys()
    keys.install(two[0])
    shake(ends)
    assert ends.server.session_reused
    assert not visit(two[0], client_ctx, Session.of(ends.client))[0]
    assert keys.stats().expired == 1


@pytest.mark.parametrize("age, resumed", [(0, True), (50, True), (101, False), (-200, True), (-400, False)])
def test_the_age_of_a_ticket(two, client_ctx, key_file, age, resumed):
    data = secrets.token_bytes(80)
    keys = TicketKeys.from_files([key_file("key", data)], lifetime=100)
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    der = opened(libssl.ticket(session.to_der()), *halves(data))
    full = full_handshake(der) - age
    with libssl.session_from(der) as changed:
        libssl.SSL_SESSION_set1_ticket_appdata(changed, carried(full), 17)
        der = libssl.der_of(changed)
    found, session = visit(two[0], client_ctx, with_ticket(session, sealed(der, *halves(data))))
    assert found == resumed
    assert keys.stats().expired == (not resumed)
    if resumed and client_ctx.minimum_version == VERSIONS[1]:
        # The time is handed on, and the client told how much is left.
        assert full_handshake(opened(libssl.ticket(session.to_der()), *halves(data))) == full
        assert abs(session.ticket_lifetime_hint - (100 - age)) <= 2


@pytest.mark.parametrize("make", [
    lambda: [TicketKeys()] * 2,
    lambda: [TicketKeys.from_secret(SECRET), TicketKeys.from_secret(bytearray(SECRET))],
], ids=["the same", "one secret"])
def test_workers_resume_each_other_s_sessions(two, client_ctx, make):
    keys = make()
    for ctx, its in zip(two, keys):
        its.install(ctx)
    resumed, session = visit(two[0], client_ctx)
    assert not resumed
    for number in range(1, 7):
        resumed, session = visit(two[number % 2], client_ctx, session)
        assert resumed


def test_other_keys_are_unknown(two, client_ctx):
    keys = TicketKeys(), TicketKeys()
    for ctx, its in zip(two, keys):
        its.install(ctx)
    _, session = visit(two[0], client_ctx)
    assert not visit(two[1], client_ctx, session)[0]
    assert [its.stats().unknown_key for its in keys] == [0, 1]
    assert visit(two[0], client_ctx, session)[0]


def test_other_secrets_and_other_periods_have_other_keys(two, client_ctx):
    for other in (TicketKeys.from_secret(SECRET + b"\0"), TicketKeys.from_secret(SECRET, period=600)):
        TicketKeys.from_secret(SECRET).install(two[0])
        other.install(two[1])
        _, session = visit(two[0], client_ctx)
        assert not visit(two[1], client_ctx, session)[0]


def test_what_is_counted(two, client_ctx, version):
    keys = TicketKeys()
    keys.install(two[0])
    tls13 = version == VERSIONS[1]
    _, session = visit(two[0], client_ctx)
    assert keys.stats() == TicketStats(2 if tls13 else 1, 0, 0, 0, 0, 0)
    visit(two[0], client_ctx, session)
    assert keys.stats() == TicketStats(3 if tls13 else 1, 1, tls13, 0, 0, 0)


def test_every_changed_byte_ends_in_a_full_handshake(two, client_ctx, rng):
    keys = TicketKeys()
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    ticket = libssl.ticket(session.to_der())
    for place in range(len(ticket)):
        changed = bytearray(ticket)
        changed[place] ^= rng.randrange(1, 256)
        assert not visit(two[0], client_ctx, with_ticket(session, bytes(changed)))[0]
    stats = keys.stats()
    assert (stats.unknown_key, stats.invalid) == (16, len(ticket) - 16)
    assert visit(two[0], client_ctx, session)[0]


@pytest.mark.parametrize("ticket", [
    b"\0", bytes(16), bytes(31), bytes(32), bytes(64), bytes(65), bytes(62_000)], ids=len)  # as long as fits
def test_tickets_of_other_lengths_end_in_a_full_handshake(two, client_ctx, ticket):
    keys = TicketKeys()
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    name = libssl.ticket(session.to_der())[:16]
    for known in (ticket, (name + ticket)[:len(ticket)]):
        assert not visit(two[0], client_ctx, with_ticket(session, known))[0]
    assert keys.stats().accepted == 0


def test_an_empty_ticket_ends_in_a_full_handshake(two, client_ctx):
    keys = TicketKeys()
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    der = with_ticket(session, b"").to_der()
    assert libssl.ticket(der) == b""
    offered = visit(two[0], client_ctx, before=lambda ends: libssl.set_session(ends.client, der))
    assert not offered[0]
    assert keys.stats().accepted == 0


@pytest.mark.filterwarnings("ignore:no tickets are made:RuntimeWarning")
def test_a_client_that_renews_for_longer_than_the_lifetime(make_server_ctx, make_client_ctx, tickets):
    """Both versions at once: in TLS 1.2 a ticket is renewed as keys rotate."""
    ctx = make_server_ctx(tickets=tickets)
    keys = TicketKeys(period=1, lifetime=3)
    keys.install(ctx)
    for client_ctx in map(make_client_ctx, VERSIONS):
        begun = time.time()
        resumed, session = visit(ctx, client_ctx)
        first = session.to_der()
        renewals = -1
        while time.time() < begun + 10 and (resumed or renewals < 0):
            renewals += 1
            time.sleep(0.3)
            before = time.time()
            resumed, session = visit(ctx, client_ctx, session)
            # Of what is counted in whole seconds.
            assert before - begun < 4 if resumed else time.time() - begun >= 2
        assert not resumed
        assert renewals
        if tickets:
            assert libssl.ticket(session.to_der()) != libssl.ticket(first)
    assert keys.stats().expired == (2 if tickets else 0)
    assert keys.stats().unknown_key == 0


def test_rotation(two, client_ctx, version):
    """Tickets of earlier periods are accepted until their lifetime ends, and renewed."""
    keys = [TicketKeys.from_secret(SECRET, period=1, lifetime=60) for _ in two]
    for ctx, its in zip(two, keys):
        its.install(ctx)
    sleep_into_period(1)
    begun = int(time.time())
    _, session = visit(two[0], client_ctx)
    old = libssl.ticket(session.to_der())
    resumed, again = visit(two[1], client_ctx, session)
    assert resumed
    if int(time.time()) == begun:
        assert old[:16] == key_of_period(SECRET, begun)[:16]
        assert version == VERSIONS[1] or libssl.ticket(again.to_der()) == old
    before = keys[1].stats()
    sleep_into_period(1)
    begun = int(time.time())
    resumed, renewed = visit(two[1], client_ctx, session)
    assert resumed
    assert libssl.ticket(renewed.to_der())[:16] in [
        key_of_period(SECRET, number)[:16] for number in range(begun, int(time.time()) + 1)]
    assert keys[1].stats().renewed == before.renewed + 1
    for _ in range(2):
        sleep_into_period(1)
        assert visit(two[1], client_ctx, session)[0]


@pytest.mark.parametrize("ahead, resumed", [(1, True), (2, False), (-59, True), (-60, True), (-62, False)])
def test_periods_of_other_clocks(two, client_ctx, ahead, resumed):
    keys = TicketKeys.from_secret(SECRET, period=100, lifetime=6000)
    keys.install(two[0])
    number = int(time.time()) // 100
    _, session = visit(two[0], client_ctx)
    ticket = libssl.ticket(session.to_der())
    for number in (number, number + 1):
        if key_of_period(SECRET, number)[:16] == ticket[:16]:
            break
    der = opened(ticket, *halves(key_of_period(SECRET, number)))
    theirs = halves(key_of_period(SECRET, number + ahead))
    found, session = visit(two[0], client_ctx, with_ticket(session, sealed(der, *theirs)))
    assert found == resumed
    # From a clock that is ahead: newer than what a renewal would give.
    if ahead == 1 and client_ctx.minimum_version == VERSIONS[0]:
        assert keys.stats().renewed == 0


def test_files_in_rotation(two, client_ctx, key_file, version):
    one, other = key_file("one", secrets.token_bytes(80)), key_file("other", secrets.token_bytes(48))
    keys = TicketKeys.from_files(iter([one, str(other)]))
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    former = one.read_bytes()
    new = secrets.token_bytes(80)
    one.write_bytes(new)
    assert visit(two[0], client_ctx, session)[0]  # not read again yet
    other.write_bytes(former)
    keys.reload()
    resumed, renewed = visit(two[0], client_ctx, session)
    assert resumed
    assert libssl.ticket(renewed.to_der())[:16] == new[:16]
    other.write_bytes(secrets.token_bytes(80))
    keys.reload()
    assert not visit(two[0], client_ctx, session)[0]  # forgotten
    assert visit(two[0], client_ctx, renewed)[0]


def test_a_reload_that_fails_changes_nothing(two, client_ctx, key_file):
    paths = key_file("one", secrets.token_bytes(80)), key_file("other", secrets.token_bytes(80))
    keys = TicketKeys.from_files(paths)
    keys.install(two[0])
    _, session = visit(two[0], client_ctx)
    paths[0].write_bytes(secrets.token_bytes(80))
    paths[1].write_bytes(b"short")
    with pytest.raises(ValueError, match="other' is 5 bytes long"):
        keys.reload()
    paths[1].unlink()
    with pytest.raises(FileNotFoundError, match="other"):
        keys.reload()
    assert visit(two[0], client_ctx, session)[0]


@pytest.mark.filterwarnings("ignore:no tickets are made:RuntimeWarning")
@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "no tickets"])
def test_a_context_without_tickets(make_server_ctx, client_ctx, tickets):
    ctx = make_server_ctx(tickets=tickets)
    keys = TicketKeys(lifetime=100)
    keys.install(ctx)
    set_session_id_context(ctx, b"shop")
    _, session = visit(ctx, client_ctx)
    resumed, session = visit(ctx, client_ctx, session)
    assert resumed
    if not tickets and client_ctx.minimum_version == VERSIONS[1]:
        assert session.ticket_lifetime_hint <= 100
    assert bool(keys.stats().issued) == tickets


def test_the_session_timeout(two):
    pointers = [libssl.pointer(ctx) for ctx in two]
    before = libssl.SSL_CTX_get_timeout(pointers[0])
    keys = TicketKeys(lifetime=1000)
    keys.install(two[0])
    TicketKeys(lifetime=2000).install(two[1])
    assert [libssl.SSL_CTX_get_timeout(each) for each in pointers] == [1000, 2000]
    keys.install(two[1])
    keys.uninstall(two[0])
    keys.uninstall(two[1])
    assert [libssl.SSL_CTX_get_timeout(each) for each in pointers] == [before, before]
    libssl.SSL_CTX_set_timeout(pointers[0], 77)
    keys.install(two[0])
    keys.uninstall(two[0])
    assert libssl.SSL_CTX_get_timeout(pointers[0]) == 77


def test_uninstalled(two, client_ctx):
    """OpenSSL's own keys serve again; and what they issued before is known."""
    _, own = visit(two[0], client_ctx)
    keys = TicketKeys()
    keys.install(two[0])
    assert not visit(two[0], client_ctx, own)[0]
    _, ours = visit(two[0], client_ctx)
    keys.uninstall(two[0])
    resumed, new = visit(two[0], client_ctx, ours)
    assert not resumed
    assert new.ticket_lifetime_hint == libssl.SSL_CTX_get_timeout(libssl.pointer(two[0]))
    resumed, own = visit(two[0], client_ctx, own)
    assert resumed
    assert visit(two[0], client_ctx, own)[0]
    assert not visit(two[1], client_ctx, own)[0]
    with pytest.raises(ValueError, match="not installed"):
        keys.uninstall(two[0])
    keys.install(two[0])
    assert visit(two[0], client_ctx, ours)[0]
    assert not visit(two[0], client_ctx, own)[0]
    with pytest.raises(ValueError, match="not installed"):
        TicketKeys().uninstall(two[0])


def test_the_keys_outlive_their_object(two, client_ctx):
    TicketKeys().install(two[0])
    _, session = visit(two[0], client_ctx)
    assert visit(two[0], client_ctx, session)[0]


@pytest.mark.filterwarnings("ignore:the ticket keys of a host:RuntimeWarning")  # the listener's come later
def test_a_host_map_has_its_listener_s_keys(two, make_server_ctx, client_ctx):
    """Also where its hosts have keys of their own, or OpenSSL's."""
    host, other = make_server_ctx(), make_server_ctx()
    TicketKeys().install(other)
    HostMap({"a.test": host, "b.test": other}).install(two[0])
    HostMap({"a.test": host, "b.test": other}).install(two[1])
    keys = TicketKeys()
    for ctx in two:
        keys.install(ctx)
    for name in ("a.test", "b.test"):
        ends = connect(two[0], client_ctx, name=name)
        for number in range(4):
            ends = connect(two[number % 2], client_ctx, name=name, session=ends.client.session)
            assert ends.server.session_reused
    assert keys.stats().accepted == 8
    assert keys.stats().unknown_key == 0


def test_a_host_map_whose_process_has_derived_no_keys(two, make_server_ctx, client_ctx):
    """Not yet, or none since long ago: the ticket's are known to no other TicketKeys of this process."""
    ours = TicketKeys.from_secret(SECRET, period=1, lifetime=60)
    ours.install(two[1])
    for ctx in two:
        HostMap({"a.test": make_server_ctx()}).install(ctx)
    for _ in range(2):
        theirs = TicketKeys.from_secret(SECRET, period=1, lifetime=60)
        theirs.install(two[0])
        _, session = visit(two[0], client_ctx)
        theirs.uninstall(two[0])
        del theirs
        assert visit(two[1], client_ctx, session)[0]
        time.sleep(3)
    assert ours.stats()[1:] == (2, ours.stats().renewed, 0, 0, 0)


def test_keys_for_a_connection_that_is_there_already(two, make_server_ctx, client_ctx):
    """It was created before they were installed, and is switched before its ticket is read."""
    keys = TicketKeys()
    keys.install(two[1])
    for ctx in two:
        HostMap({"a.test": make_server_ctx()}).install(ctx)
    _, session = visit(two[1], client_ctx)
    resumed, session = visit(two[0], client_ctx, session, before=lambda ends: keys.install(two[0]))
    assert resumed
    assert visit(two[1], client_ctx, session)[0]


def test_ssl_dup_has_the_keys_of_its_own_context(two, make_server_ctx, client_ctx):
    """That which the connection was switched to: SSL_dup() creates one anew."""
    TicketKeys().install(two[0])
    TicketKeys().install(two[1])

    def switch(ends):
        ends.server.context = two[1]
        libssl.duplicate(ends.server)

    resumed, session = visit(two[0], client_ctx, before=switch)
    for _ in range(2):
        resumed, session = visit(two[0], client_ctx, session, before=switch)
        assert resumed
    assert visit(two[1], client_ctx, session)[0]
    assert not visit(two[0], client_ctx, session)[0]


def test_threads_while_keys_change(two, client_ctx, key_file):
    paths = [key_file(str(number), secrets.token_bytes(80)) for number in range(2)]
    rotating = TicketKeys(period=1, lifetime=100)
    filed = TicketKeys.from_files(paths)
    rotating.install(two[0])
    filed.install(two[1])
    end = time.monotonic() + 2.5
    failed = []

    def client(ctx):
        session = None
        try:
            while time.monotonic() < end:
                _, session = visit(ctx, client_ctx, session)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(two[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        paths[1].write_bytes(paths[0].read_bytes())
        paths[0].write_bytes(secrets.token_bytes(80))
        filed.reload()
        rotating.uninstall(two[0])
        TicketKeys().install(two[0])
        rotating.install(two[0])
    for thread in threads:
        thread.join()
    assert not failed
    assert rotating.stats().issued and filed.stats().accepted


def test_a_forked_process_has_the_keys(two, client_ctx):
    keys = TicketKeys(period=1, lifetime=100)
    for ctx in two:
        keys.install(ctx)
    _, session = visit(two[0], client_ctx)
    assert in_a_fork(lambda: visit(two[1], client_ctx, session)[0])


def test_a_fork_while_threads_use_the_keys(two, client_ctx, key_file):
    """What they were at is not waited for; nor is there a handshake: OpenSSL has locks of its own."""
    filed = TicketKeys.from_files([key_file("key", secrets.token_bytes(80))])
    filed.install(two[0])
    done = threading.Event()

    def client():
        while not done.is_set():
            # Many keys, which its first handshake derives.
            TicketKeys(period=1, lifetime=1000).install(two[1])
            visit(two[1], client_ctx)

    def work():
        filed.reload()
        filed.uninstall(two[0])
        filed.install(two[0])
        return True

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_a_fork(work) for _ in range(30))
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_resumable(two, client_ctx, make_server_ctx):
    keys = TicketKeys()
    for ctx in two:
        assert resumable(ctx, keys) is ctx
    others = [resumable(make_server_ctx(verify=mode), keys)
              for mode in (ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)]
    apart = resumable(make_server_ctx(), keys, id_context=b"shop")
    resumed, session = visit(two[0], client_ctx)
    assert visit(two[1], client_ctx, session)[0]
    for verifying in others:
        assert not visit(verifying, client_ctx, session)[0]
    assert not visit(apart, client_ctx, session)[0]
    _, session = visit(apart, client_ctx)
    assert not visit(two[0], client_ctx, session)[0]
    assert visit(resumable(two[0], keys, id_context=bytearray(b"shop")), client_ctx, session)[0]
    assert not visit(resumable(others[0], keys, id_context=b"shop"), client_ctx, session)[0]


def test_an_id_context_that_stands_alone(two, client_ctx, make_server_ctx, tmp_path):
    """For contexts that differ, and for one whose CAs cannot be listed."""
    keys = TicketKeys()
    two[1].load_verify_locations(capath=tmp_path)
    with pytest.raises(ValueError, match="exact_id_context="):
        resumable(two[1], keys, id_context=b"shop")
    differing = make_server_ctx(verify=ssl.CERT_OPTIONAL)
    _, session = visit(resumable(two[0], keys, exact_id_context=b"shop"), client_ctx)
    for ctx in two[1], differing:
        assert visit(resumable(ctx, keys, exact_id_context=bytearray(b"shop")), client_ctx, session)[0]


def test_a_certificate_that_is_demanded_later(two, make_client_ctx, version):
    """Also where the id context stays: it was derived before, or said."""
    keys = TicketKeys()
    with_certificate, without = make_client_ctx(version), make_client_ctx(version, certificate=False)
    for ctx in two:
        resumable(ctx, keys, exact_id_context=b"shop")
    _, session = visit(two[0], without)
    two[1].verify_mode = ssl.CERT_REQUIRED
    assert visit(two[0], without, session)[0]
    resumed, made = visit(two[1], with_certificate, session)
    assert not resumed
    assert visit(two[1], with_certificate, made)[0]
    two[1].verify_mode = ssl.CERT_OPTIONAL
    assert visit(two[1], without, session)[0]


def test_a_certificate_that_is_asked_for_after_the_handshake(two, make_client_ctx):
    client_ctx = make_client_ctx(VERSIONS[1])
    keys = TicketKeys()
    for ctx in two:
        ctx.verify_mode, ctx.post_handshake_auth = ssl.CERT_REQUIRED, True
        resumable(ctx, keys)
    _, session = visit(two[0], client_ctx)
    assert visit(two[1], client_ctx, session)[0]


@pytest.mark.parametrize("arguments, options, error, message", [
    ((object(), TicketKeys()), {}, TypeError, "expected an ssl.SSLContext"),
    ((ssl.PROTOCOL_TLS_SERVER, b"secret"), {}, TypeError, "needs TicketKeys, not bytes"),
    ((ssl.PROTOCOL_TLS_CLIENT, TicketKeys()), {}, ValueError, "for clients"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b""}, ValueError, "not be empty"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b"x" * 33}, ValueError, "33 bytes"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": "shop"}, TypeError, "encode"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"exact_id_context": b""}, ValueError, "not be empty"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b"a", "exact_id_context": b"a"}, ValueError,
     "give one of them"),
], ids=lambda value: "")
def test_resumable_refuses(arguments, options, error, message, certificate):
    target, keys = arguments
    if isinstance(target, int):
        target = ssl.SSLContext(target)
    with pytest.raises(error, match=message):
        resumable(target, keys, **options)
    if isinstance(target, ssl.SSLContext):
        assert libssl.SSL_CTX_get_timeout(libssl.pointer(target)) != TicketKeys().lifetime


def test_a_refused_context_keeps_its_id_context(two, client_ctx):
    former = libssl.session_id_context(connect(two[0], client_ctx).client)
    with pytest.raises(ValueError, match="for clients"):
        resumable(client_ctx, TicketKeys())
    assert libssl.session_id_context(connect(two[0], client_ctx).client) == former


@pytest.mark.parametrize("call, error, message", [
    (lambda: TicketKeys(b"secret" * 6), TypeError, "from_secret"),
    (lambda: TicketKeys(period=1.0), TypeError, "period is an int of seconds, not float"),
    (lambda: TicketKeys(lifetime=True), TypeError, "lifetime is an int of seconds, not bool"),
    (lambda: TicketKeys(period=0), ValueError, "period is 1 to 604800 seconds, not 0"),
    (lambda: TicketKeys(lifetime=604801), ValueError, "lifetime is 1 to 604800 seconds, not 604801"),
    (lambda: TicketKeys(lifetime=-1), ValueError, "not -1"),
    (lambda: TicketKeys(period=1 << 70), ValueError, "period is 1 to"),
    (lambda: TicketKeys(period=10, lifetime=10001), ValueError, "choose a longer period"),
    (lambda: TicketKeys.from_secret(b"x" * 31), ValueError, "31 bytes long, 32 to 1024"),
    (lambda: TicketKeys.from_secret(b"x" * 1025), ValueError, "1025 bytes long"),
    (lambda: TicketKeys.from_secret("x" * 32), TypeError, "bytes-like data, not str"),
    (lambda: TicketKeys.from_secret(memoryview(SECRET * 2)[::2]), TypeError, "contiguous"),
    (lambda: TicketKeys.from_files("key"), TypeError, "list"),
    (lambda: TicketKeys.from_files([]), ValueError, "at least one"),
    (lambda: TicketKeys.from_files(["key"], layout="haproxy"), ValueError, "nginx.*apache"),
    (lambda: TicketKeys.from_files(["key"], lifetime=0), ValueError, "lifetime"),
    (lambda: TicketKeys().reload(), ValueError, "not from files"),
    (lambda: TicketKeys().install(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), ValueError, "clients"),
    (lambda: TicketKeys().install(object()), TypeError, "SSLContext"),
    (lambda: TicketKeys().uninstall(object()), TypeError, "SSLContext"),
    (lambda: pickle.dumps(TicketKeys()), TypeError, "pickled"),
    (lambda: copy.copy(TicketKeys()), TypeError, "copied"),
], ids=lambda value: "")
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def from_secret_file(path):
    return TicketKeys.from_secret_file(path)


def from_key_file(path):
    return TicketKeys.from_files([path])


@pytest.fixture(params=[from_secret_file, from_key_file])
def read(request):
    return request.param


def refused(read, path, error, message, content=None):
    with pytest.raises(error, match=message) as caught:
        read(path)
    said = str(caught.value)
    assert os.fsdecode(path) in said
    if content is not None and len(content) > 8:
        assert content.decode("latin-1") not in said and content.hex() not in said


@pytest.mark.parametrize("read, size", [
    *((from_secret_file, size) for size in (0, 1, 31, 1025, 1 << 21)),
    *((from_key_file, size) for size in (0, 1, 32, 47, 49, 64, 79, 81, 4096, 4097, 1 << 21)),
])
def test_files_of_wrong_sizes(read, key_file, size):
    content = b"s" * size
    refused(read, key_file("key", content), ValueError, "bytes long|too large", content[:20])


def test_a_file_in_base64(key_file):
    refused(from_key_file, key_file("key", b"A" * 108 + b"\n"), ValueError, "not as text")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o660, 0o620, 0o777])
def test_files_that_others_have_access_to(read, key_file, mode):
    path = key_file("key", b"s" * 80)
    path.chmod(mode)
    refused(read, path, ValueError, f"has mode {mode:04o}.*chmod 600", b"s" * 20)


def test_root_may_let_a_group_read_a_file(read, key_file):
    path = key_file("key", b"s" * 80)
    path.chmod(0o640)
    if path.stat().st_uid == 0:
        read(path)
    else:
        refused(read, path, ValueError, "has mode 0640")


def test_files_of_other_users(read, key_file):
    path = key_file("key", b"s" * 80)
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 4711, -1)
    refused(read, path, ValueError, "belongs to user 4711")
    path.chmod(0o640)  # a group's access is for root alone to give
    refused(read, path, ValueError, "has mode 0640")


def test_what_is_no_file(read, tmp_path, key_file):
    refused(read, tmp_path, OSError, "directory")
    refused(read, tmp_path / "missing", FileNotFoundError, "No such file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(read, tmp_path / "pipe", ValueError, "is not a file")


def test_an_unreadable_file(read, key_file):
    path = key_file("key", b"s" * 80)
    path.chmod(0)
    if os.geteuid() == 0:
        def work():
            os.seteuid(65534)
            refused(read, path, PermissionError, "denied")
            return True
        assert in_a_fork(work)
    else:
        refused(read, path, PermissionError, "denied")


def test_two_keys_of_one_name(key_file):
    data = secrets.token_bytes(80)
    paths = key_file("one", data), key_file("other", data[:48])
    with pytest.raises(ValueError, match="other' and '.*one' have keys of the same name"):
        TicketKeys.from_files(paths)


def test_paths_of_all_kinds(key_file):
    path = key_file("key", b"s" * 80)
    for given in (path, str(path), os.fsencode(path)):
        assert from_key_file(given).period is None
        assert from_secret_file(given).period == 3600


def test_nothing_secret_is_shown(key_file):
    path = key_file("key", b"secret!!" * 10)
    keys = from_key_file(path)
    assert repr(keys) == f"<TicketKeys from {str(path)!r}, lifetime=86400>"
    assert repr(TicketKeys(period=60, lifetime=300)) == "<TicketKeys period=60 lifetime=300>"
    assert (keys.lifetime, keys.period) == (86400, None)
