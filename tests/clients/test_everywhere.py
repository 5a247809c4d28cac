"""everywhere(): the contexts that a program's libraries make resume, and share their sessions."""

import functools
import http.client
import http.server
import ssl
import subprocess
import sys
import threading
import urllib.request

import handshakes
import pytest
from checked_names import TELLS_NAME
from machine import module

import pysidctx
from pysidctx.clients import ClientSessions, everywhere

PYTHON_S = ssl.SSLContext.__dict__["__new__"]


@pytest.fixture(autouse=True)
def restored():
    yield
    assert ssl.SSLContext.__dict__["__new__"] is PYTHON_S


def test_new_contexts_resume(version, server_ctx, make_client_ctx, resumed):
    with everywhere() as everything:
        assert [resumed(server_ctx, make_client_ctx(version)) for _ in range(4)] == [False, True, True, True]
        assert everything.sessions.stats().hosts == 1
        kept = make_client_ctx(version)
    assert [resumed(server_ctx, ctx) for ctx in (kept, make_client_ctx(version))] == [False, False]


def test_contexts_of_other_terms_do_not(version, server_ctx, make_client_ctx, unverified, resumed):
    with everywhere():
        assert resumed(server_ctx, make_client_ctx(version), 2) == [False, True]
        assert not resumed(server_ctx, make_client_ctx(version, certificate=False))
        assert not resumed(server_ctx, unverified())
        assert not TELLS_NAME or not resumed(server_ctx, make_client_ctx(version, check_hostname=False))


def test_contexts_that_there_are_already_do_not(server_ctx, client_ctx, resumed):
    with everywhere():
        assert resumed(server_ctx, client_ctx, 2) == [False, False]


def test_servers_are_not_touched(make_server_ctx, make_client_ctx, resumed):
    with everywhere() as everything:
        server = make_server_ctx()
        assert not server.session_stats()["number"]
        resumed(server, make_client_ctx())
        with pytest.raises(ValueError):
            everything.sessions.uninstall(server)


def test_a_context_of_both_sides(server_ctx, both_sides, certificate, make_client_ctx, resumed):
    with everywhere():
        client, server = both_sides(), both_sides()
        client.check_hostname = True
        assert resumed(server_ctx, client, 2) == [False, True]
        # Nothing changes for one that serves.
        certificate.configure_cert(server)
        server.options |= ssl.OP_NO_TICKET
        mine = handshakes.connect(server, make_client_ctx(ssl.TLSVersion.TLSv1_2)).client.session
        assert server.session_stats()["number"] == 1 and mine.id
        server.options &= ~ssl.OP_NO_TICKET
        pysidctx.TicketKeys().install(server)
        ends = handshakes.connect(server, make_client_ctx(ssl.TLSVersion.TLSv1_3))
        assert ends.server.session_reused is False


def test_within_another(server_ctx, make_client_ctx, resumed):
    mine = ClientSessions()
    outer = everywhere()
    first = make_client_ctx()
    with everywhere(mine) as inner:
        assert inner.sessions is mine
        second = make_client_ctx()
        assert resumed(server_ctx, second, 2) == [False, True]
    third = make_client_ctx()
    assert [resumed(server_ctx, ctx) for ctx in (first, third, second)] == [False, True, False]
    outer.undo()
    outer.undo()
    assert not resumed(server_ctx, first)


def test_what_install_has_done_stays(server_ctx, make_client_ctx, resumed):
    mine = ClientSessions()
    ctx = mine.install(make_client_ctx())
    with everywhere(mine):
        assert resumed(server_ctx, ctx, 2) == [False, True]
    assert resumed(server_ctx, ctx)


@pytest.mark.parametrize("wraps", [lambda function: lambda wrapper: wrapper, functools.wraps])
def test_another_library_has_replaced_it_since(wraps, server_ctx, make_client_ctx, resumed):
    everything = everywhere()
    ours = ssl.SSLContext.__new__

    @wraps(ours)
    def theirs(cls, *arguments, **options):
        return ours(cls, *arguments, **options)

    ssl.SSLContext.__new__ = theirs
    try:
        assert [resumed(server_ctx, make_client_ctx()) for _ in range(2)] == [False, True]
        everything.undo()
        assert ssl.SSLContext.__new__ is theirs
        assert [resumed(server_ctx, make_client_ctx()) for _ in range(2)] == [False, False]
    finally:
        ssl.SSLContext.__new__ = PYTHON_S


def test_another_library_has_replaced_it_before(server_ctx, make_client_ctx, resumed):
    def theirs(cls, *arguments, **options):
        return PYTHON_S.__func__(cls, *arguments, **options)

    ssl.SSLContext.__new__ = theirs  # not as a staticmethod
    try:
        with everywhere():
            assert [resumed(server_ctx, make_client_ctx()) for _ in range(2)] == [False, True]
        assert ssl.SSLContext.__new__ is theirs
    finally:
        ssl.SSLContext.__new__ = PYTHON_S


def test_the_order_of_changes_does_not_matter(server_ctx, make_client_ctx, resumed):
    with everywhere():
        assert not resumed(server_ctx, make_client_ctx())
        later = make_client_ctx(certificate=False)
        assert not resumed(server_ctx, later)
        later.check_hostname = False
        later.check_hostname = True
        assert resumed(server_ctx, later)


@pytest.fixture
def https(server_ctx):
    """The port of a server that closes each connection."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = server_ctx.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_urllib_and_http_client(https, make_client_ctx, pem_files):
    with everywhere() as everything:
        for _ in range(3):
            context = ssl.create_default_context(cafile=pem_files[1])
            with urllib.request.urlopen(f"https://localhost:{https}/", context=context) as answer:
                assert answer.read() == b"ok"
        for _ in range(3):
            connection = http.client.HTTPSConnection("localhost", https,
                                                     context=ssl.create_default_context(cafile=pem_files[1]))
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            connection.close()
        assert everything.sessions.stats()[:3] == (everything.sessions.stats().stored, 5, 5)


def test_requests(https, pem_files):
    requests = module("requests", "requests")
    with everywhere() as everything:
        for _ in range(4):
            assert requests.get(f"https://localhost:{https}/", verify=str(pem_files[1])).text == "ok"
        stats = everything.sessions.stats()
    assert (stats.offered, stats.resumed) == (3, 3)


TRUSTSTORE = """
import os, ssl, sys
certificate, ca = sys.argv[1:3]
os.environ["SSL_CERT_FILE"], os.environ["SSL_CERT_DIR"] = ca, ""
sys.path.insert(0, sys.argv[4])
import handshakes, truststore, pysidctx.clients

server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate)
if sys.argv[3] == "first":
    truststore.inject_into_ssl()
everything = pysidctx.clients.everywhere()
if sys.argv[3] == "last":
    truststore.inject_into_ssl()
client = ssl.create_default_context()
assert isinstance(client, truststore.SSLContext)
assert [handshakes.resumes(server, client, None) for _ in range(3)] == [False, True, True]
everything.undo()
assert not handshakes.resumes(server, client, None)
truststore.extract_from_ssl()
"""


needs_truststore = pytest.mark.skipif(sys.version_info < (3, 10), reason="truststore is for Python 3.10 and later")


@needs_truststore
@pytest.mark.parametrize("order", ["first", "last"])
def test_truststore(order, pem_files):
    module("truststore", "truststore")
    support = handshakes.__file__.rsplit("/", 1)[0]
    ran = subprocess.run([sys.executable, "-c", TRUSTSTORE, *pem_files, order, support], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@needs_truststore
def test_a_wrapper_can_be_named(server_ctx, ca, resumed, monkeypatch, pem_files):
    truststore = module("truststore", "truststore")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem_files[1]))
    sessions = pysidctx.ClientSessions()
    wrapper = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert sessions.install(wrapper) is wrapper
    assert resumed(server_ctx, wrapper, 3) == [False, True, True]
    sessions.uninstall(wrapper)
    assert not resumed(server_ctx, wrapper)
