"""TicketKeys: what a ticket is, who takes it, and for how long."""

import secrets
import ssl
import time

import libssl
import pytest
from cryptography.exceptions import InvalidSignature
from handshakes import VERSIONS, connect, pair, shake
from tickets import key_of_period, opened, sealed, sleep_into_period, visit, with_ticket

from pysidctx import HostMap, Session, TicketKeys, TicketStats, set_session_id_context

SECRET = bytes(range(32))
HOUR = 3600
FOR_EVER = 2 ** 64 - 1


def halves(data, hmac_first=True):
    """The three parts of a key of 48 or 80 bytes: name, for HMAC, for AES."""
    half = (len(data) - 16) // 2
    first, second = data[16:16 + half], data[16 + half:]
    return (data[:16], first, second) if hmac_first else (data[:16], second, first)


def full_handshake(der):
    """The time of the full handshake, as a ticket carries it."""
    appdata = libssl.ticket_appdata(der)
    assert len(appdata) == 17 and appdata[0] == 2
    return int.from_bytes(appdata[1:9], "big")


def carried(full, until=FOR_EVER):
    """The times of the full handshake, and of the end of the client's certificates, as a ticket has them."""
    return b"\2" + full.to_bytes(8, "big") + until.to_bytes(8, "big")


def test_the_session_in_a_ticket_of_a_secret(two, client_ctx):
    set_session_id_context(two[0], b"shop")
    TicketKeys.from_secret(SECRET, period=HOUR).install(two[0])
    number = libssl.now() // HOUR
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
    appdata = carried(full_handshake(der), libssl.now() + left)
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


@pytest.mark.filterwarnings("ignore:the ticket keys have no effect:RuntimeWarning")
def test_a_client_that_renews_for_longer_than_the_lifetime(make_server_ctx, make_client_ctx, tickets):
    """Both versions at once: in TLS 1.2 a ticket is renewed as keys rotate."""
    ctx = make_server_ctx(tickets=tickets)
    keys = TicketKeys(period=1, lifetime=3)
    keys.install(ctx)
    for client_ctx in map(make_client_ctx, VERSIONS):
        while not renewed_until_it_expires(keys, ctx, client_ctx, tickets):
            pass


def renewed_until_it_expires(keys, ctx, client_ctx, tickets):
    """Whether the machine ran without a stall. After one, another key may be in use, and nothing is asserted."""
    before = keys.stats()
    times = [time.time()]
    resumed, session = visit(ctx, client_ctx)
    first = session
    renewals = -1
    while resumed or renewals < 0:
        renewals += 1
        times.append(time.time())
        assert times[-1] < times[0] + 10
        time.sleep(0.3)
        resumed, session = visit(ctx, client_ctx, session)
    times.append(time.time())
    if max(later - earlier for earlier, later in zip(times, times[1:])) > 0.8:
        return False
    assert renewals
    assert 2 <= times[-1] - times[0] < 5  # the lifetime is counted in whole seconds
    if tickets:
        assert libssl.ticket(session.to_der()) != libssl.ticket(first.to_der())
    after = keys.stats()
    assert after.expired - before.expired == (1 if tickets else 0)
    assert after.unknown_key == before.unknown_key
    return True


def test_rotation(two, client_ctx, version):
    """Tickets of earlier periods are accepted until their lifetime ends, and renewed."""
    keys = [TicketKeys.from_secret(SECRET, period=1, lifetime=60) for _ in two]
    for ctx, its in zip(two, keys):
        its.install(ctx)
    sleep_into_period(1)
    begun = libssl.now()
    _, session = visit(two[0], client_ctx)
    old = libssl.ticket(session.to_der())
    resumed, again = visit(two[1], client_ctx, session)
    assert resumed
    if libssl.now() == begun:
        assert old[:16] == key_of_period(SECRET, begun)[:16]
        assert version == VERSIONS[1] or libssl.ticket(again.to_der()) == old
    before = keys[1].stats()
    sleep_into_period(1)
    begun = libssl.now()
    resumed, renewed = visit(two[1], client_ctx, session)
    assert resumed
    assert libssl.ticket(renewed.to_der())[:16] in [
        key_of_period(SECRET, number)[:16] for number in range(begun, libssl.now() + 1)]
    assert keys[1].stats().renewed == before.renewed + 1
    for _ in range(2):
        sleep_into_period(1)
        assert visit(two[1], client_ctx, session)[0]


@pytest.mark.parametrize("ahead, resumed", [(1, True), (2, False), (-59, True), (-60, True), (-62, False)])
def test_periods_of_other_clocks(two, client_ctx, ahead, resumed):
    keys = TicketKeys.from_secret(SECRET, period=100, lifetime=6000)
    keys.install(two[0])
    number = libssl.now() // 100
    _, session = visit(two[0], client_ctx)
    ticket = libssl.ticket(session.to_der())
    # The next one may have begun.
    (number,) = [each for each in (number, number + 1)
                 if key_of_period(SECRET, each)[:16] == ticket[:16]]
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


@pytest.mark.filterwarnings("ignore:the ticket keys have no effect:RuntimeWarning")
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
    """OpenSSL's own keys serve again, and accept the tickets that they issued before."""
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
    """It has derived none yet, or none for a long time: no other TicketKeys in this process know the ticket's key."""
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
    """The context that the connection was switched to: SSL_dup() creates a new connection from it."""
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
