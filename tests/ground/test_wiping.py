"""Secrets of sessions and ticket keys are wiped: a process's memory is searched from outside of it."""

import secrets
import time

import libssl
import pytest
from handshakes import connect
from machine import SUPPORT
from tickets import key_of_period
from watched import Watched

from pysidctx import Session


@pytest.fixture
def session(server_ctx, client_ctx):
    return Session.of(connect(server_ctx, client_ctx).client).with_id_context(b"shop")


@pytest.fixture
def watched():
    made = Watched()
    yield made
    made.process.communicate()


def test_nothing_of_it_is_left_in_memory(session, tmp_path, watched):
    path = tmp_path / "session.pem"
    session.save(path)
    key = libssl.master_key(session.to_der())
    text = path.read_bytes().splitlines()[1:-1]
    watched.run("import pysidctx")
    watched.run(f"session = pysidctx.Session.load({str(path)!r}, id_context=b'shop')")
    assert watched.count(key) == 1
    assert [watched.count(line) for line in text] == [0] * len(text)
    watched.run(f"session.save({str(path)!r})")
    watched.run("copy = session.with_id_context(b'bank')")
    assert watched.count(key) == 2
    assert [watched.count(line) for line in text] == [0] * len(text)
    watched.run("del session, copy")
    assert watched.count(key) == 0


def test_a_secret_that_is_kept_is_found(session, watched):
    """The search can fail: bytes of Python's own are not wiped."""
    der = session.to_der()
    watched.run(f"import pysidctx; der = bytes.fromhex({der.hex()!r})")
    watched.run("session = pysidctx.Session.from_der(der, id_context=b'shop')")
    watched.run("der = [session.to_der(), session.to_pem()]; del session")
    assert watched.count(libssl.master_key(der)) >= 1
    assert watched.count(session.to_pem().splitlines()[2].encode()) >= 1


HANDSHAKES = """
import ssl, sys; sys.path.append({tests!r}); from handshakes import connect; import pysidctx
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server_ctx.load_cert_chain({certificate!r})
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); client_ctx.load_verify_locations({ca!r})
def visits(): session = connect(server_ctx, client_ctx).client.session; \
    connect(server_ctx, client_ctx, session=session)
"""


def test_nothing_of_ticket_keys_is_left_in_memory(watched, pem_files, tmp_path):
    certificate, ca = map(str, pem_files)
    text = HANDSHAKES.format(tests=str(SUPPORT), certificate=certificate, ca=ca)
    watched.run(f"exec({text!r})")
    watched.run("visits()")
    secret, filed = secrets.token_bytes(48), secrets.token_bytes(80)
    paths = tmp_path / "secret", tmp_path / "key"
    for path, content in zip(paths, (secret, filed)):
        path.touch(0o600)
        path.write_bytes(content)
    number = int(time.time()) // 3600
    derived = [key_of_period(secret, number + more) for more in (-1, 0, 1)]
    # Of each key the two secrets, by parts that are not on the wire.
    parts = [secret[:32], filed[16:48], filed[48:], *(key[16:48] for key in derived),
             *(key[48:] for key in derived)]
    watched.run(f"keys = [pysidctx.TicketKeys.from_secret_file({str(paths[0])!r}), "
                f"pysidctx.TicketKeys.from_files([{str(paths[1])!r}])]")
    for index in range(2):
        watched.run(f"keys[{index}].install(server_ctx); visits()")
    assert [watched.count(part) for part in parts] == [1] * len(parts)
    watched.run("keys[1].reload(); visits(); keys[1].uninstall(server_ctx); visits()")
    assert [watched.count(part) for part in parts] == [1] * len(parts)
    watched.run("del keys")
    assert [watched.count(part) for part in parts] == [0] * len(parts)
