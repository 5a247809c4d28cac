"""Server names written by hand onto a socket: none gets a session of the name that it resembles."""

import socket
import ssl
from contextlib import closing

import libssl
import pytest
from client_hello import SERVER_NAME, ClientHello, server_name
from handshakes import connect, pair, shake

from pysidctx import HostMap

ALERT, HANDSHAKE = 21, 22
DECODE_ERROR, DECRYPT_ERROR, ILLEGAL_PARAMETER, UNRECOGNIZED_NAME = 50, 51, 47, 112
VALID = server_name(b"a.test")
LONG = b"a.test" + b"." + b"x" * 63 + b"." + b"y" * 63 + b"." + b"z" * 63

MALFORMED = {
    **{f"cut to {size} bytes": VALID[:size] for size in range(len(VALID))},
    **{f"list length {size}": server_name(b"a.test", list_length=size)
       for size in (0, 1, len(VALID) - 3, len(VALID) - 1, 0x100, 0xffff)},
    **{f"name length {size}": server_name(b"a.test", name_length=size)
       for size in (0, 1, 5, 7, 0x106, 0xffff)},
    **{f"name type {kind}": server_name(b"a.test", kind=kind) for kind in (1, 2, 255)},
    "no name in the name": server_name(b""),
    "NUL at the end": server_name(b"a.test\0"),
    "NUL and more": server_name(b"a.test\0.evil.test"),
    "NUL at the beginning": server_name(b"\0a.test"),
    "NUL alone": server_name(b"\0"),
    "256 bytes": server_name(LONG.ljust(256, b"x")),
    "two names": server_name(b"a.test", rest=VALID[2:]),
    "two names, two hosts": server_name(b"b.test", rest=VALID[2:]),
    "another type and a name": server_name(b"x", kind=1, rest=VALID[2:]),
    "a name and another type": server_name(b"a.test", rest=server_name(b"x", kind=1)[2:]),
    "a byte behind": VALID + b"x",
    "a name behind": VALID + VALID,
}
OTHERS = [
    b"a.tes", b"a.testx", b"xa.test", b".a.test", b"a.test..", b"a..test", b" a.test", b"a.test ",
    b"a.test\n", b"a.test/", b"a.test:443", b"*.test", b"*", b".", b"..", b"\xe1.test", b"a\xad.test",
    b"\xff" * 200, LONG[:255], LONG.ljust(255, b"x"), b"x" * 64 + b".w.test", b"*.w.test", b".w.test",
    b"x.y.w.test", b"x w.w.test", b"127.0.0.1", b"a,test", b"a_test",
]


@pytest.fixture
def hosts():
    return HostMap({"a.test": b"a", "b.test": b"b", "*.w.test": b"w"})


@pytest.fixture
def listener(make_server_ctx, hosts):
    ctx = make_server_ctx()
    hosts.install(ctx)
    return ctx


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version, check_hostname=False)


@pytest.fixture
def offering(listener, client_ctx):
    """A ClientHello for a.test that offers a session made there."""
    session = connect(listener, client_ctx).client.session
    sent = ssl.MemoryBIO()
    client = client_ctx.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.test", session=session)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return ClientHello.parse(sent.read())


class Answer:
    """What a server did with bytes that came over a socket."""

    def __init__(self, listener, records):
        with socket.create_server(("127.0.0.1", 0)) as accepting:
            with closing(socket.create_connection(accepting.getsockname())) as client:
                plain, _ = accepting.accept()
                client.settimeout(10)
                plain.settimeout(10)
                client.sendall(records)
                client.shutdown(socket.SHUT_WR)
                with plain, listener.wrap_socket(
                    plain, server_side=True, do_handshake_on_connect=False
                ) as server:
                    # It ends by an alert of the server's, or where nothing follows the ClientHello.
                    with pytest.raises((ssl.SSLError, OSError)):
                        server.do_handshake()
                    self.resumed = server.session_reused
                    said = client.recv(7, socket.MSG_WAITALL)
        self.alert = said[6] if said[0] == ALERT else None


def test_what_the_client_itself_wrote_resumes(listener, offering):
    """The names below would resume the session, too, if they were taken for a.test."""
    assert ClientHello.parse(offering.records()) == offering
    assert (SERVER_NAME, VALID) in offering.extensions
    answer = Answer(listener, offering.records())
    assert answer.alert is None
    assert answer.resumed


def after_a_change(version):
    """The alerts that a ClientHello may get that is well-formed, but not what the client bound itself to.

    With TLS 1.3 OpenSSL looks at the binder of an offered session before the id context.
    """
    return (ILLEGAL_PARAMETER, DECRYPT_ERROR) if version == ssl.TLSVersion.TLSv1_3 else (None,)


@pytest.mark.parametrize("name", [b"A.TEST", b"a.test.", b"A.tEst."])
def test_the_same_name_in_another_form_resumes(listener, offering, version, name):
    answer = Answer(listener, offering.with_server_names(server_name(name)).records())
    assert answer.alert in after_a_change(version)
    assert answer.resumed or version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_ones_end_in_an_alert(listener, hosts, offering, data):
    answer = Answer(listener, offering.with_server_names(data).records())
    assert answer.alert == DECODE_ERROR
    assert not answer.resumed
    assert hosts.stats() == (1, 0, 0, 1)


def test_a_name_as_long_as_fits_ends_in_an_alert(listener, hosts, offering):
    name = b"a.test".ljust(offering.room() - 5, b"x")
    answer = Answer(listener, offering.with_server_names(server_name(name)).records())
    assert answer.alert == DECODE_ERROR
    assert not answer.resumed
    alone = ClientHello(offering.head, ((SERVER_NAME, server_name(b"x" * (0xffff - 9))),))
    assert Answer(listener, alone.records()).alert == DECODE_ERROR
    assert hosts.stats().malformed == 2


def test_two_extensions_end_in_an_alert(listener, offering):
    for twice in ((VALID, VALID), (server_name(b"b.test"), VALID)):
        answer = Answer(listener, offering.with_server_names(*twice).records())
        assert answer.alert == ILLEGAL_PARAMETER
        assert not answer.resumed


@pytest.mark.parametrize("name", OTHERS, ids=repr)
@pytest.mark.parametrize("unmatched", ["serve", "reject"])
def test_names_that_resemble_are_other_names(
    listener, hosts, offering, version, name, unmatched
):
    hosts.unmatched = unmatched
    answer = Answer(listener, offering.with_server_names(server_name(name)).records())
    assert not answer.resumed
    if unmatched == "reject":
        assert answer.alert == UNRECOGNIZED_NAME
        assert hosts.stats() == (1, 0, 1, 0)
    else:
        assert answer.alert in after_a_change(version)
        assert hosts.stats() == (1, 1, 0, 0)


@pytest.mark.parametrize("name", OTHERS, ids=repr)
def test_no_client_resumes_with_a_name_that_resembles(listener, hosts, client_ctx, name):
    session = connect(listener, client_ctx).client.session
    ends = pair(listener, client_ctx, session=session)
    libssl.set_server_name(ends.client, name)
    assert not shake(ends).server.session_reused
    assert hosts.stats() == (1, 1, 0, 0)


def test_without_the_extension_there_is_no_name(listener, hosts, offering, version):
    answer = Answer(listener, offering.with_server_names().records())
    assert answer.alert in after_a_change(version)
    assert not answer.resumed
    assert hosts.stats() == (1, 1, 0, 0)


def test_any_bytes_are_another_name_or_malformed(listener, hosts, offering, version, rng):
    for _ in range(150):
        data = bytearray(VALID)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data) + 1)
            data[at:at + rng.randrange(2)] = rng.choice([b"", bytes([rng.randrange(256)]), b"\0", b"."])
        if bytes(data).lower() in (server_name(b"a.test"), server_name(b"b.test")):  # a host, and no other name
            continue
        answer = Answer(listener, offering.with_server_names(bytes(data)).records())
        assert not answer.resumed, bytes(data)
        assert answer.alert in (*after_a_change(version), DECODE_ERROR), bytes(data)
    stats = hosts.stats()
    assert stats.matched == 1
    assert stats.malformed > 50
