"""Which clients resume by themselves, as docs/do-i-need-this.md tells, at a server that closes each connection."""

import asyncio
import http.client
import socketserver
import ssl
import subprocess
import threading
import urllib.request

import pytest
from browser import Browser
from machine import module, program

import pysidctx

pytestmark = pytest.mark.one_python

VISITS = 4
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


class Server(socketserver.ThreadingTCPServer):
    """Closes each connection after its answer, and counts what was resumed."""

    daemon_threads = True

    def __init__(self, ctx):
        super().__init__(("127.0.0.1", 0), None)
        self.ctx, self.resumed, self.full = ctx, 0, 0
        self.url = f"https://localhost:{self.server_address[1]}/"

    def finish_request(self, plain, address):
        try:
            with self.ctx.wrap_socket(plain, server_side=True) as conn:
                while b"\r\n\r\n" not in (received := conn.recv(65536)) and received:
                    pass
                if received:
                    self.resumed, self.full = self.resumed + conn.session_reused, self.full + (not conn.session_reused)
                    conn.sendall(ANSWER)
                    conn.unwrap()
        except OSError:
            pass  # the client has closed first


@pytest.fixture
def server(make_server_ctx):
    found = Server(pysidctx.resumable(make_server_ctx(), pysidctx.TicketKeys()))
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_curl_within_one_command(server, pem_files):
    subprocess.run([program("curl", "curl"), "--silent", "--cacert", pem_files[1], *[server.url] * VISITS], check=True,
                   capture_output=True)
    assert (server.full, server.resumed) == (1, VISITS - 1)


def test_curl_not_from_one_command_to_the_next(server, pem_files):
    for _ in range(2):
        subprocess.run([program("curl", "curl"), "--silent", "--cacert", pem_files[1], server.url], check=True,
                       capture_output=True)
    assert (server.full, server.resumed) == (2, 0)


def test_chromium(server, tmp_path):
    with Browser(tmp_path / "browser", "--ignore-certificate-errors") as browser:
        for number in range(VISITS):
            browser.visit(f"{server.url}{number}", 390)
    assert server.resumed >= VISITS - 1


def with_urllib(url, ca_file):
    ctx = ssl.create_default_context(cafile=ca_file)
    for _ in range(VISITS):
        urllib.request.urlopen(url, context=ctx).read()


def with_http_client(url, ca_file):
    ctx = ssl.create_default_context(cafile=ca_file)
    client = http.client.HTTPSConnection(url.split("/")[2], context=ctx)
    for _ in range(VISITS):
        client.request("GET", "/")
        client.getresponse().read()


def with_requests(url, ca_file):
    with module("requests", "requests").Session() as session:
        for _ in range(VISITS):
            assert session.get(url, verify=str(ca_file)).content == b"hello"


def with_aiohttp(url, ca_file):
    aiohttp = module("aiohttp", "aiohttp")

    async def visit():
        ctx = ssl.create_default_context(cafile=ca_file)
        async with aiohttp.ClientSession() as session:
            for _ in range(VISITS):
                async with session.get(url, ssl=ctx) as response:
                    assert await response.read() == b"hello"

    asyncio.run(visit())


@pytest.mark.parametrize("visit", [with_urllib, with_http_client, with_requests, with_aiohttp])
def test_python_s_clients_do_not(server, pem_files, visit):
    visit(server.url, pem_files[1])
    assert (server.full, server.resumed) == (VISITS, 0)
