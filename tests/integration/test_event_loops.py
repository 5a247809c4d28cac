"""Real sockets under asyncio, uvloop and gevent: the context's id context counts."""

import subprocess
import sys

import pytest
from machine import module

CONTEXTS_AND_CLIENT = """
import asyncio, socket, ssl, sys
import pysidctx

library, certificate, ca = sys.argv[1:]
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_ctx.load_cert_chain(certificate)
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(ca)
reused = []


def client(port, session=None):
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.settimeout(10)
        with client_ctx.wrap_socket(plain, server_hostname="a.test", session=session) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            return connection.session
"""

ASYNCIO = CONTEXTS_AND_CLIENT + """
async def answer(reader, writer):
    reused.append(writer.get_extra_info("ssl_object").session_reused)
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.split(".")[0] == library, type(loop)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_ctx)
    port = server.sockets[0].getsockname()[1]
    pysidctx.set_session_id_context(server_ctx, b"shop")
    session = await loop.run_in_executor(None, client, port)
    await loop.run_in_executor(None, client, port, session)
    pysidctx.set_session_id_context(server_ctx, b"bank")
    await loop.run_in_executor(None, client, port, session)
    server.close()
    await server.wait_closed()

if library == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
else:
    loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
assert reused == [False, True, False], reused
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent.server
""" + CONTEXTS_AND_CLIENT + """
def answer(connection, address):
    reused.append(connection.session_reused)
    connection.sendall(connection.recv(100))
    connection.close()


server = gevent.server.StreamServer(("127.0.0.1", 0), answer, ssl_context=server_ctx)
server.start()
pysidctx.set_session_id_context(server_ctx, b"shop")
session = client(server.server_port)
client(server.server_port, session)
pysidctx.set_session_id_context(server_ctx, b"bank")
client(server.server_port, session)
server.stop()
assert reused == [False, True, False], reused
"""


@pytest.mark.parametrize("library, script", [
    ("asyncio", ASYNCIO), ("uvloop", ASYNCIO), ("gevent", GEVENT),
])
def test_sessions_stay_within_the_id_context(library, script, pem_files):
    module(library, library)
    # In a process of its own: gevent replaces parts of the standard library.
    ran = subprocess.run(
        [sys.executable, "-c", script, library, *pem_files],
        capture_output=True, text=True, timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
