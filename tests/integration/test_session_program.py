"""Sessions of Session and of the openssl program, each in the other's hands."""

import re
import ssl
import subprocess

import pytest
from machine import program
from server_programs import FLAGS
from servers import TIMEOUT, accepting, answer, offer

from pysidctx import Session, SessionError, WrongContextError, set_session_id_context


@pytest.fixture
def openssl():
    found = program("openssl", "openssl")

    def run(*arguments, said=None):
        return subprocess.run([found, *arguments], capture_output=True, input=said, timeout=TIMEOUT,
                              check=True).stdout
    return run


@pytest.fixture
def address(make_server_ctx, tickets):
    listener = make_server_ctx(tickets=tickets)
    set_session_id_context(listener, b"server")
    with accepting(lambda plain: answer(plain, listener, {"listener": listener})) as found:
        yield found


@pytest.fixture
def s_client(openssl, address, pem_files, version):
    """Connects; says whether the session was New or Reused."""
    def connect(*options):
        output = openssl(
            "s_client", "-connect", "{}:{}".format(*address), "-servername", "a.test", "-ign_eof",
            "-CAfile", pem_files[1], FLAGS[version], *options)
        return re.search(rb"^(New|Reused), TLS", output, re.MULTILINE).group(1).decode()
    return connect


def test_s_client_makes_one_and_python_resumes_it(
    s_client, address, make_client_ctx, version, tmp_path
):
    path = tmp_path / "session.pem"
    assert s_client("-sess_out", path) == "New"
    with pytest.raises(SessionError, match="chmod 600"):
        Session.load(path, id_context=b"")
    path.chmod(0o600)
    with pytest.raises(WrongContextError, match="b'', not b'shop'"):
        Session.load(path, id_context=b"shop")
    # The server has acknowledged no name, so that the file does not say for whom it is.
    nameless = Session.load(path, id_context=b"")
    assert nameless.hostname is None
    with pytest.raises(SessionError, match="host="):
        offer(address, make_client_ctx(version), nameless)
    session = Session.load(path, id_context=b"", host="a.test")
    resumed, again = offer(address, make_client_ctx(version), session)
    assert resumed and again.hostname == "a.test" and again.id_context == b""


def test_python_makes_one_and_s_client_resumes_it(
    s_client, address, make_client_ctx, version, tmp_path
):
    path = tmp_path / "session.pem"
    _, session = offer(address, make_client_ctx(version))
    session.with_id_context(b"").save(path)  # as the program's clients have it
    assert s_client("-sess_in", path) == "Reused"


def test_s_client_fails_with_a_session_of_another_id_context(
    s_client, address, make_client_ctx, version, tmp_path
):
    path = tmp_path / "session.pem"
    _, session = offer(address, make_client_ctx(version))
    session.with_id_context(b"shop").save(path)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        s_client("-sess_in", path)
    assert b"attempt to reuse session in different context" in raised.value.stderr


def test_a_session_that_s_client_did_not_verify(openssl, address, make_client_ctx, version, tmp_path):
    path = tmp_path / "session.pem"
    openssl("s_client", "-connect", "{}:{}".format(*address), "-ign_eof", FLAGS[version],
            "-sess_out", path)
    session = Session.load(path, id_context=b"", host="a.test", shared=True)
    with pytest.raises(SessionError, match="was not verified"):
        offer(address, make_client_ctx(version), session)


def test_sess_id_tells_the_same(openssl, address, make_client_ctx, version, tmp_path):
    path = tmp_path / "session.pem"
    _, session = offer(address, make_client_ctx(version))
    session = session.with_id_context(b"shop\0\xff")
    session.save(path)
    told = openssl("sess_id", "-in", path, "-noout", "-text").decode()

    def value(name):
        return re.search(rf"^ *{name} *: (.*)$", told, re.MULTILINE).group(1).strip()
    assert bytes.fromhex(value("Session-ID")) == session.id
    assert bytes.fromhex(value("Session-ID-ctx")) == session.id_context
    assert value("Cipher") == session.cipher
    assert value("Protocol") == session.protocol
    assert value("Timeout") == f"{session.timeout.total_seconds():.0f} (sec)"
    assert int(value("Start Time")) == session.time.timestamp()
    assert ("TLS session ticket:" in told) is session.has_ticket
    certificate = openssl("sess_id", "-in", path, "-cert").decode()
    assert ssl.PEM_cert_to_DER_cert(certificate) == session.peer_certificate


def test_sess_id_writes_what_is_read_and_reads_what_is_written(
    openssl, address, make_client_ctx, version
):
    _, session = offer(address, make_client_ctx(version))
    pem = session.to_pem().encode()
    assert openssl("sess_id", said=pem) == pem
    assert openssl("sess_id", "-outform", "DER", said=pem) == session.to_der()
    assert openssl("sess_id", "-inform", "DER", said=session.to_der()) == pem
    moved = openssl("sess_id", "-context", "shop", said=pem)
    assert Session.from_pem(moved, id_context=b"shop") == session.with_id_context(b"shop")
    with_text = openssl("sess_id", "-text", said=pem)
    assert with_text != pem and Session.from_pem(with_text, id_context=None) == session
