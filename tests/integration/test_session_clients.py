"""Sessions across processes, sockets and event loops: what one client made another one resumes."""

import asyncio
import socket
import ssl
import subprocess
import sys

import pytest
from machine import SUPPORT, module
from readme import names_in_docs
from servers import TIMEOUT, accepting, answer, offer

from pysidctx import Session, set_session_id_context

# Arguments: make or resume, the port, the CA, the file and the version.
CLIENT = """
import ssl, sys
what, port, ca, path, version, tests = sys.argv[1:]
sys.path.append(tests)
import pysidctx
from servers import offer

ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.load_verify_locations(ca)
ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion[version]
pysidctx.set_session_id_context(ctx, b"shop/v1" if what == "make" else b"another")
session = None
if what == "resume":
    session = pysidctx.Session.load(path, id_context=b"shop/v1")
resumed, session = offer(("127.0.0.1", int(port)), ctx, session)
session.save(path)
print(resumed, session.id_context, session.hostname)
"""


IGNORE_UNEXPECTED_EOF = 1 << 7  # SSL_OP_IGNORE_UNEXPECTED_EOF


@pytest.fixture
def listener(make_server_ctx, tickets):
    ctx = make_server_ctx(tickets=tickets)
    # CPython 3.9 sets it with OpenSSL 3: a server that has closed in order then forgets so, and the
    # session, when asyncio's client does not answer.
    ctx.options &= ~IGNORE_UNEXPECTED_EOF
    set_session_id_context(ctx, b"server")
    return ctx


@pytest.fixture
def address(listener):
    with accepting(lambda plain: answer(plain, listener, {"listener": listener})) as found:
        yield found


def test_a_session_of_one_process_is_resumed_by_another(address, pem_files, version, tmp_path):
    def run(what):
        ran = subprocess.run(
            [sys.executable, "-c", CLIENT, what, str(address[1]), pem_files[1],
             tmp_path / "session.pem", version.name, SUPPORT],
            capture_output=True, text=True, timeout=TIMEOUT)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()
    assert run("make") == "False b'shop/v1' a.test"
    assert run("resume") == "True b'shop/v1' a.test"
    assert run("resume") == "True b'shop/v1' a.test"


def test_sockets_of_two_contexts(address, make_client_ctx, version):
    resumed, session = offer(address, make_client_ctx(version))
    assert not resumed
    resumed, session = offer(address, make_client_ctx(version), session)
    assert resumed
    written = Session.from_der(session.to_der(), id_context=session.id_context)
    assert offer(address, make_client_ctx(version), written)[0]


def test_the_visits_of_the_documentation(
    address, make_client_ctx, version, tmp_path, monkeypatch, capsys
):
    visit = names_in_docs("visit")["visit"]
    plain = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda where: plain(address, timeout=TIMEOUT))
    contexts = [make_client_ctx(version) for _ in range(3)]
    unused = iter(contexts)
    monkeypatch.setattr(ssl, "create_default_context", lambda: next(unused))
    path = tmp_path / "session.pem"

    visit("a.test", path)
    assert "a full handshake, because [Errno 2]" in capsys.readouterr().out
    assert Session.load(path, id_context=b"shop/v1").hostname == "a.test"
    visit("a.test", path)
    assert capsys.readouterr().out == ""
    visit("b.test", path)
    assert "because this session was established with a.test" in capsys.readouterr().out
    assert [ctx.session_stats()["hits"] for ctx in contexts] == [0, 1, 0]


@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_the_recipe_for_event_loops(address, make_client_ctx, version, library, ca):
    new_loop = module("uvloop", "uvloop").new_event_loop if library == "uvloop" else (
        asyncio.new_event_loop)
    names = names_in_docs("ResumingContext")
    ctx = names["ResumingContext"](ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(ctx)
    ctx.minimum_version = ctx.maximum_version = version

    async def visit(name):
        reader, writer = await asyncio.open_connection(*address, ssl=ctx, server_hostname=name)
        await reader.read()
        names["keep_session"](ctx, writer)
        resumed = writer.get_extra_info("ssl_object").session_reused
        writer.close()
        await writer.wait_closed()
        return resumed

    loop = new_loop()
    try:
        visits = [loop.run_until_complete(visit(name)) for name in ("a.test",) * 3 + ("b.test",) * 2]
        assert visits == [False, True, True, False, True]
    finally:
        loop.close()
