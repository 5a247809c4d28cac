"""Real sockets under asyncio, uvloop and gevent: the context's id context counts."""

import subprocess
import sys

import pytest
from machine import module

ASYNCIO = """
import asyncio, importlib, ssl, sys
import pysidctx

loop_module, certificate, ca = sys.argv[1:]
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_ctx.load_cert_chain(certificate)
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(ca)

reused = []


async def answer(reader, writer):
    reused.append(writer.get_extra_info("ssl_object").session_reused)
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()


def client(port, session):
    import socket
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.settimeout(10)
        with client_ctx.wrap_socket(plain, server_hostname="a.test", session=session) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            return connection.session


async def main():
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.split(".")[0] == loop_module, type(loop)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_ctx)
    port = server.sockets[0].getsockname()[1]
    async def connect(session=None):
        return await loop.run_in_executor(None, client, port, session)
    pysidctx.set_session_id_context(server_ctx, b"shop")
    session = await connect()
    await connect(session)
    pysidctx.set_session_id_context(server_ctx, b"bank")
    await connect(session)
    server.close()
    await server.wait_closed()

if loop_module == "uvloop":
    loop = importlib.import_module("uvloop").new_event_loop()
else:
    loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
assert reused == [False, True, False], reused
"""

GEVENT = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent.server, gevent.ssl, socket, ssl
import pysidctx

_, certificate, ca = sys.argv[1:]
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_ctx.load_cert_chain(certificate)
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(ca)
reused = []


def answer(connection, address):
    reused.append(connection.session_reused)
    connection.sendall(connection.recv(100))
    connection.close()


server = gevent.server.StreamServer(("127.0.0.1", 0), answer, ssl_context=server_ctx)
server.start()


def connect(session=None):
    with socket.create_connection(("127.0.0.1", server.server_port)) as plain:
        plain.settimeout(10)
        with client_ctx.wrap_socket(plain, server_hostname="a.test", session=session) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            return connection.session


pysidctx.set_session_id_context(server_ctx, b"shop")
session = connect()
connect(session)
pysidctx.set_session_id_context(server_ctx, b"bank")
connect(session)
server.stop()
assert reused == [False, True, False], reused
"""


@pytest.mark.parametrize("library, script", [
    ("asyncio", ASYNCIO), ("uvloop", ASYNCIO), ("gevent", GEVENT),
])
def test_sessions_stay_within_the_id_context(library, script, tmp_path, ca, certificate):
    module(library, library)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server")
    ca.cert_pem.write_to_path(tmp_path / "ca")
    # In a process of its own: gevent replaces parts of the standard library.
    ran = subprocess.run(
        [sys.executable, "-c", script, library, tmp_path / "server", tmp_path / "ca"],
        capture_output=True, text=True, timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
