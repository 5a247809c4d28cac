"""HTTPS in Python without a framework.

`python -m benchmarks.connections.programs.own KIND WORKERS PORT HOW` runs in a folder with server.pem.
KIND is threads (one for each connection), asyncio or uvloop. HOW is plain, or keys: resumable(); each: an id
context set on each connection; map: a HostMap of a million; tickets: keys, with client certificates, whose CA is in
ca.pem; cache: a SessionCache, too. Each worker makes its own context, as those of
gunicorn, uvicorn and hypercorn do; one that is made before the fork would share its ticket keys.
"""

import asyncio
import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import cast

from pysidctx import HostMap, SessionCache, TicketKeys, resumable, set_session_id_context

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
HOSTS = 1_000_000


def context(how: str) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    if how in ("tickets", "cache"):
        ctx.load_verify_locations("ca.pem")
        ctx.verify_mode = ssl.CERT_REQUIRED
    if how in ("keys", "tickets", "cache"):
        resumable(ctx, TicketKeys.from_secret_file(os.environ["PYSIDCTX_SECRET_FILE"]),
                  cache=SessionCache() if how == "cache" else None)
    elif how == "map":
        HostMap({"localhost": b"benchmark",
                 **{f"host{number}.example.org": b"benchmark" for number in range(HOSTS)}}).install(ctx)
    return ctx


def serve_threads(accepting: socket.socket, how: str) -> None:
    ctx = context(how)
    while True:
        plain, _ = accepting.accept()
        threading.Thread(target=answer, args=(plain, ctx, how == "each"), daemon=True).start()


def answer(plain: socket.socket, ctx: ssl.SSLContext, each: bool) -> None:
    with suppress(OSError), plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with ctx.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as connection:
            if each:
                set_session_id_context(connection, b"benchmark")
            connection.do_handshake()
            connection.recv(4096)  # clients write their requests at once
            connection.sendall(ANSWER)
            connection.unwrap()


class Answer(asyncio.Protocol):
    """To one request, without streams: as servers are written that are to be fast."""

    def __init__(self) -> None:
        self.heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.heard.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)
            self.transport.close()


async def serve_on_loop(accepting: socket.socket, how: str) -> None:
    server = await asyncio.get_running_loop().create_server(Answer, sock=accepting, ssl=context(how))
    await server.serve_forever()


def serve(kind: str, accepting: socket.socket, how: str) -> None:
    if kind == "threads":
        serve_threads(accepting, how)
    elif kind == "uvloop":
        import uvloop
        uvloop.run(serve_on_loop(accepting, how))
    else:
        asyncio.run(serve_on_loop(accepting, how))


def main(kind: str, workers: int, port: int, how: str) -> None:
    # Said to be TCP's: asyncio sets TCP_NODELAY only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as accepting:
        accepting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        accepting.bind(("127.0.0.1", port))
        accepting.listen(1024)
        # All are ended at once. This one waits for its workers, so that their time counts as that of the benchmark.
        signal.signal(signal.SIGTERM, lambda received, frame: None)
        for _ in range(workers):
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                serve(kind, accepting, how)
        with suppress(ChildProcessError):
            while True:
                os.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
