"""Sessions end in time, and one that hurts does so once."""

import datetime
import socket
import ssl
import threading
import time

import handshakes
import pytest
import trustme
from authorities import Authority
from brief_servers import INTERNAL_ERROR, serving, visit
from servers import accepting

import pysidctx

ALWAYS = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)


def in_seconds(number):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=number)


def wait_until(moment):
    time.sleep(max(0, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) + 1)


@pytest.mark.parametrize("which, version", [
    ("certificate", ssl.TLSVersion.TLSv1_2), ("certificate", ssl.TLSVersion.TLSv1_3),
    ("intermediate", ssl.TLSVersion.TLSv1_3),
])
def test_a_certificate_ends(which, version, sessions, resumed, tmp_path):
    end = in_seconds(5)
    root = Authority(ends=ALWAYS)
    intermediate = root.authority(ends=end if which == "intermediate" else ALWAYS)
    leaf = intermediate.client(ends=end if which == "certificate" else ALWAYS)
    chain = tmp_path / "chain.pem"
    chain.write_text(leaf.key_pem + leaf.pem + intermediate.pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.maximum_version = version
    client.load_verify_locations(cadata=root.pem)
    sessions.install(client)
    # In TLS 1.3, each connection gets new tickets; they end with the chain of the full handshake.
    assert resumed(server, client, 3, name="client") == [False, True, True]
    wait_until(end)
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)expired"):
        handshakes.connect(server, client, name="client")
    stats = sessions.stats()
    assert stats.expired >= 1 and (stats.offered, stats.sessions) == (2, 0)


def test_the_lifetime_of_tickets_ends(version, make_server_ctx, make_client_ctx, sessions, resumed):
    client = sessions.install(make_client_ctx(version))
    server = make_server_ctx()
    pysidctx.TicketKeys(lifetime=2, period=1).install(server)
    assert resumed(server, client, 2) == [False, True]
    time.sleep(3.1)
    assert not resumed(server, client)
    stats = sessions.stats()
    assert stats.expired >= 1 and stats.offered == stats.resumed == 1


def test_a_server_that_renews_its_certificate_and_keys(version, ca, make_server_ctx, make_client_ctx, sessions,
                                                       resumed):
    client = sessions.install(make_client_ctx(version))
    assert resumed(make_server_ctx(), client, 2) == [False, True]
    renewed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("a.test", key_type=trustme.KeyType.ECDSA).configure_cert(renewed)
    attempts = resumed(renewed, client, 5)
    # In TLS 1.3 the newest tickets are offered first; in TLS 1.2 the declined one is removed.
    assert attempts == [False] + 4 * [True]
    assert sessions.stats().declined == 1


@pytest.mark.parametrize("end", [b"", INTERNAL_ERROR], ids=["end of file", "alert"])
def test_a_server_that_dies_in_each_resumed_handshake(end, version, server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(version))
    tickets = 2 if version == ssl.TLSVersion.TLSv1_3 else 1
    with accepting(serving(server_ctx, end)) as address:
        for _ in range(2):
            assert not visit(address, client)
            assert sessions.stats().sessions == tickets
            with pytest.raises(OSError) as raised:
                visit(address, client)
            # While the exception holds the connection.
            assert sessions.stats()[-2:] == (0, 0)
            del raised
    assert sessions.stats().dropped == 2


@pytest.mark.parametrize("on", ["memory BIOs", "a socket"])
def test_a_handshake_that_waits_has_not_failed(on, server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    handshakes.connect(server_ctx, client)
    if on == "memory BIOs":
        ends = handshakes.pair(server_ctx, client)
        for _ in range(3):
            with pytest.raises(ssl.SSLWantReadError):
                ends.client.do_handshake()
        assert sessions.stats().sessions == 1
        assert handshakes.shake(ends).client.session_reused
        return
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = client.wrap_socket(ours, server_hostname="a.test", do_handshake_on_connect=False)
        for _ in range(3):
            with pytest.raises(ssl.SSLWantReadError):
                connection.do_handshake()
        assert sessions.stats().sessions == 1
        theirs.close()
        with pytest.raises(OSError):
            connection.do_handshake()
        assert sessions.stats().sessions == 0
        connection.close()


def test_a_handshake_that_is_given_up_has_failed(server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    handshakes.connect(server_ctx, client)
    ends = handshakes.pair(server_ctx, client)
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    del ends
    assert sessions.stats().sessions == 0


def test_an_end_of_file_on_a_memory_bio(server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    handshakes.connect(server_ctx, client)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = client.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    incoming.write_eof()
    with pytest.raises(ssl.SSLError):
        connection.do_handshake()
    assert sessions.stats().sessions == 0


def test_sessions_of_the_same_port_are_preferred(version, make_server_ctx, make_client_ctx, sessions):
    """Two servers of one name, which do not know each other's tickets."""
    client = sessions.install(make_client_ctx(version))
    last = make_server_ctx()
    with accepting(serving(make_server_ctx())) as first, accepting(serving(last)) as second:
        assert not visit(first, client)
        visit(second, client)  # is offered a session of the first, and declines
        visit(first, client)
        declined = sessions.stats().declined
        for address in (first, second, second, first):
            assert visit(address, client)
        assert visit(second, client)
        assert sessions.stats().declined == declined
        # Without a port, the newest is offered.
        assert handshakes.resumes(last, client, None)


def test_eight_threads_share_a_context(server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx())
    failed = []

    def work():
        try:
            for _ in range(25):
                handshakes.connect(server_ctx, client)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    stats = sessions.stats()
    assert stats.offered == stats.resumed >= 150
    assert stats.declined == 0
