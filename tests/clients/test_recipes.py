"""HTTPS clients resume by the documentation's recipes: each library, in each way of resumption, with nginx."""

import asyncio
import gc
import http.client
import ssl
import warnings

import pytest
from machine import module
from peers import Peer
from recipes import HOST, REQUESTS, WAYS, client_context, nginx_of_ways, recipe

from loopback.processes import free_port
from pysidctx.clients import ClientSessions, everywhere

RESUMED = [False] + (REQUESTS - 1) * [True]
CLOSE = {"Connection": "close"}


def by_urllib3(ctx, url):
    pool = recipe("pool_of_urllib3")(ctx)
    return [pool.request("GET", url, headers=CLOSE).data.decode() for _ in range(REQUESTS)]


def by_requests(ctx, url):
    requests = module("requests", "requests")
    with requests.Session() as session:
        session.mount("https://", recipe("ContextAdapter")(ctx))
        return [session.get(url, headers=CLOSE).text for _ in range(REQUESTS)]


def by_httpx(ctx, url):
    with recipe("client_of_httpx")(ctx) as client:
        return [client.get(url, headers=CLOSE).text for _ in range(REQUESTS)]


def run(coroutine):
    """In a loop that ends before all is closed: the libraries close a TLS connection in the background."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return asyncio.run(coroutine)
        finally:
            gc.collect()


def by_httpx_in_loop(ctx, url):
    httpx = module("httpx", "httpx")

    async def fetch():
        async with httpx.AsyncClient(verify=ctx) as client:
            return [(await client.get(url, headers=CLOSE)).text for _ in range(REQUESTS)]

    return run(fetch())


def by_aiohttp(ctx, url):
    fetch_with_aiohttp = recipe("fetch_with_aiohttp")

    async def fetch():
        return [await fetch_with_aiohttp(ctx, url) for _ in range(REQUESTS)]

    return run(fetch())


def by_http_client(ctx, url):
    fetch = recipe("fetch_with_http_client")
    return [fetch(ctx, HOST, int(url.rpartition(":")[2])).decode() for _ in range(REQUESTS)]


def by_urllib(ctx, url):
    fetch = recipe("fetch_with_urllib")
    return [fetch(ctx, url).decode() for _ in range(REQUESTS)]


def by_streams(ctx, url, new_loop=asyncio.new_event_loop):
    fetch = recipe("fetch_with_streams")
    port = int(url.rpartition(":")[2])
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    loop = new_loop()
    try:
        return [loop.run_until_complete(fetch(ctx, HOST, port, request)).decode()[-1] for _ in range(REQUESTS)]
    finally:
        loop.close()


def by_uvloop(ctx, url):
    return by_streams(ctx, url, module("uvloop", "uvloop").new_event_loop)


LIBRARIES = {
    "urllib3": by_urllib3, "requests": by_requests, "httpx": by_httpx, "httpx, asyncio": by_httpx_in_loop,
    "aiohttp": by_aiohttp, "http.client": by_http_client, "urllib.request": by_urllib, "asyncio": by_streams,
    "uvloop": by_uvloop,
}


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory, ca):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def ports(tmp_path_factory, certificate):
    folder = tmp_path_factory.mktemp("nginx")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    found = {way: free_port() for way in WAYS}
    with Peer(nginx_of_ways, folder, found):
        yield found


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def resumed(seen):
    """Whether each handshake of a client was."""
    return seen.resumed


@pytest.fixture
def url(ports, way):
    return f"https://{HOST}:{ports[way]}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_but_the_first_are_resumed(library, way, url, ca_file, seen, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    ctx = client_context(ca_file, way)
    said = LIBRARIES[library](ctx, url)
    assert seen.resumed == RESUMED
    assert [each == "r" for each in said] == RESUMED
    assert all(seen.no_delay)


def test_without_sessions_none_is(way, url, ca_file, resumed):
    ctx = ssl.create_default_context(cafile=ca_file)
    assert by_http_client(ctx, url) == REQUESTS * ["."]
    assert resumed == REQUESTS * [False]


def test_contexts_that_requests_makes(way, url, ca_file, resumed):
    """Each call makes one, and loads the CAs into it. urllib3 turns the tickets of TLS 1.2 off in those."""
    requests = module("requests", "requests")
    expected = REQUESTS * [False] if way == "TLS 1.2, ticket" else RESUMED
    with everywhere() as everything:
        for _ in range(REQUESTS):
            requests.get(url, verify=str(ca_file), headers=CLOSE)
    assert resumed == expected
    assert everything.sessions.stats().resumed == sum(expected)
    requests.get(url, verify=str(ca_file), headers=CLOSE)
    assert not resumed[-1]


def test_libraries_share_what_they_keep(way, url, ca_file, resumed, monkeypatch):
    """One context for all of them."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    ctx = client_context(ca_file, way)
    for library in LIBRARIES.values():
        library(ctx, url)
    assert resumed == [False] + (len(LIBRARIES) * REQUESTS - 1) * [True]


def test_a_command_that_is_started_anew(way, url, ca_file, resumed, tmp_path, monkeypatch):
    """Its block in the documentation has no connections."""
    file = tmp_path / "sessions"
    command = recipe("make_connections")
    port = int(url.rpartition(":")[2])

    def connect(ctx, *arguments):
        if not isinstance(ctx, ssl.SSLContext):
            return
        ctx.minimum_version = ctx.maximum_version = WAYS[way][0]
        connection = http.client.HTTPSConnection(HOST, port, context=ctx)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()

    monkeypatch.setitem(command.__globals__, "print", connect)
    for _ in range(3):
        command(str(ca_file), str(file))
    assert resumed == [False, True, True]


def test_the_recipe_for_sockets(way, ports, ca_file, seen):
    open_tls = recipe("open_tls")
    ctx = client_context(ca_file, way)
    for _ in range(REQUESTS):
        with open_tls(ctx, HOST, ports[way]) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while connection.recv(4096):
                pass
    assert seen.resumed == RESUMED
    assert seen.no_delay == REQUESTS * [True]


def test_sessions_are_those_of_one_store(way, url, ca_file):
    """What a ClientSessions counts is what the libraries have done."""
    sessions = ClientSessions()
    ctx = client_context(ca_file, way)
    sessions.install(ctx)  # in the place of its own
    by_http_client(ctx, url)
    stats = sessions.stats()
    assert (stats.offered, stats.resumed, stats.declined, stats.hosts) == (REQUESTS - 1, REQUESTS - 1, 0, 1)
