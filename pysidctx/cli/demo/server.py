"""The servers of the demo: HTTPS with two hosts, served by worker processes, plain or with pysidctx.

`python -m pysidctx.cli.demo.server plain|pysidctx|cache FOLDER WORKERS` prints its port, and ends with its
standard input. The folder has the PEM files that demo.py writes.
"""

import os
import signal
import socket
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Optional

import pysidctx

SHOP, BANK = "shop.test", "bank.test"
TIMEOUT = 5  # seconds, for each step of a connection
CACHE_SIZE = 8 << 20  # bytes: enough for all sessions of the demo


def host_context(folder: Path, name: str) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(folder / f"{name}.pem")
    ctx.load_verify_locations(folder / "ca.pem")
    if name == BANK:
        ctx.verify_mode = ssl.CERT_REQUIRED
    return ctx


def plain(folder: Path) -> ssl.SSLContext:
    """As the documentation of Python's ssl has it."""
    shop, bank = (host_context(folder, name) for name in (SHOP, BANK))

    def switch(connection: ssl.SSLObject, name: str, ctx: ssl.SSLContext) -> None:
        if name == BANK:
            connection.context = bank

    shop.sni_callback = switch
    return shop


def with_pysidctx(folder: Path, keys: pysidctx.TicketKeys, cache: Optional[pysidctx.SessionCache]) -> ssl.SSLContext:
    listener = host_context(folder, SHOP)
    hosts = pysidctx.HostMap({name: host_context(folder, name) for name in (SHOP, BANK)})
    hosts.unmatched = "reject"
    hosts.install(listener)
    keys.install(listener)
    if cache is not None:
        cache.install(listener)
    return listener


def serve(accepting: socket.socket, ctx: ssl.SSLContext) -> None:
    while True:
        plain, _ = accepting.accept()
        with suppress(OSError), plain:
            plain.settimeout(TIMEOUT)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with ctx.wrap_socket(plain, server_side=True) as connection:
                answer(connection)


def answer(connection: ssl.SSLSocket) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(4096)
        if not more:
            return
        said += more
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
    connection.unwrap()


def main(kind: str, folder: Path, workers: int) -> None:
    keys = pysidctx.TicketKeys()  # the workers inherit them
    cache = pysidctx.SessionCache(size=CACHE_SIZE) if kind == "cache" else None
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as accepting:
        children = []
        for _ in range(workers):
            child = os.fork()
            if child == 0:
                try:
                    # Each makes its own, as the workers of Python's servers do.
                    serve(accepting, plain(folder) if kind == "plain" else with_pysidctx(folder, keys, cache))
                finally:
                    os._exit(1)
            children.append(child)
        try:
            print(accepting.getsockname()[1], flush=True)
            sys.stdin.read()
        except BrokenPipeError:  # the demo has ended
            sys.stdout = None
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
