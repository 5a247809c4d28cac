"""Clients, each with a function that makes one connection, with a request and its answer.

They connect to an address, so that no name is looked up, and check another name in the certificate.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import aiohttp
import httpx
import urllib3

ADDRESS = "127.0.0.1"
HOST = "localhost"
CLOSE = {"Connection": "close"}

SSL, DELAYED = "ssl", "ssl, without TCP_NODELAY"

Visit = Callable[[], object]
Library = Callable[[ssl.SSLContext, int], AbstractContextManager[Visit]]


def sockets(no_delay: bool) -> Library:
    """One byte each way, to a server that returns it."""
    @contextmanager
    def made(ctx: ssl.SSLContext, port: int) -> Iterator[Visit]:
        def visit() -> None:
            with socket.create_connection((ADDRESS, port)) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, no_delay)
                with ctx.wrap_socket(plain, server_hostname=HOST) as connection:
                    connection.sendall(b"x")
                    if connection.recv(1) != b"x":
                        raise AssertionError("the server has closed the connection")

        yield visit

    return made


@contextmanager
def with_urllib3(ctx: ssl.SSLContext, port: int) -> Iterator[Visit]:
    pool = urllib3.PoolManager(ssl_context=ctx, server_hostname=HOST, assert_hostname=HOST, retries=False)
    yield lambda: pool.request("GET", url(port), headers=CLOSE).data
    pool.clear()


@contextmanager
def with_httpx(ctx: ssl.SSLContext, port: int) -> Iterator[Visit]:
    with httpx.Client(verify=ctx, trust_env=False) as client:
        yield lambda: client.get(url(port), headers=CLOSE, extensions={"sni_hostname": HOST}).text


@contextmanager
def with_aiohttp(ctx: ssl.SSLContext, port: int) -> Iterator[Visit]:
    async def open_client() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ctx))

    async def get() -> str:
        async with client.get(url(port), headers=CLOSE, server_hostname=HOST) as response:
            return await response.text()

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(open_client())
    try:
        yield lambda: loop.run_until_complete(get())
    finally:
        loop.run_until_complete(client.close())
        loop.close()


def url(port: int) -> str:
    return f"https://{ADDRESS}:{port}/"


HTTP: dict[str, Library] = {"urllib3": with_urllib3, "httpx": with_httpx, "aiohttp": with_aiohttp}
LIBRARIES: dict[str, Library] = {SSL: sockets(True), **HTTP, DELAYED: sockets(False)}
