"""`check` of servers that send their tickets late: after data, or only to clients of their protocol."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from machine import module, program
from peers import FLAGS, A, B, Peer, s_server, write_certificates
from readme import names_in_docs
from servers import TIMEOUT, accepting

from pysidctx import Session
from pysidctx.cli.check import connection
from pysidctx.cli.check.client import Client
from pysidctx.cli.check.connection import Target, visit

pytestmark = pytest.mark.one_python

NODE_TLS = """
const tls = require('tls'), fs = require('fs');
const of = name => ({key: fs.readFileSync(name + '.pem'), cert: fs.readFileSync(name + '.pem')});
const server = tls.createServer({...of('a.test'), minVersion: process.argv[3]}, connection => {
    connection.on('error', () => {});
    connection.on('data', () => connection.end('bye'));
    connection.write('hello');
});
server.addContext('b.test', tls.createSecureContext(of('b.test')));
server.listen(+process.argv[2], '127.0.0.1');
"""
NODE_THAT_CLOSES = """
const tls = require('tls'), fs = require('fs');
const of = name => ({key: fs.readFileSync(name + '.pem'), cert: fs.readFileSync(name + '.pem')});
const server = tls.createServer({...of('a.test'), minVersion: 'TLSv1.3'}, connection => {
    connection.on('error', () => {});
    setTimeout(() => connection.destroy(), 20);
});
server.addContext('b.test', tls.createSecureContext(of('b.test')));
server.listen(+process.argv[2], '127.0.0.1');
"""
NODE_HTTP2 = """
const http2 = require('http2'), fs = require('fs');
const pem = fs.readFileSync('a.test.pem');
const server = http2.createSecureServer({key: pem, cert: pem}, (request, response) => response.end());
server.on('sessionError', () => {});
server.listen(+process.argv[2], '127.0.0.1');
"""
GRPC = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import grpc
pem = open("a.test.pem", "rb").read()
server = grpc.server(ThreadPoolExecutor(2))
server.add_secure_port("127.0.0.1:" + sys.argv[1], grpc.ssl_server_credentials([(pem, pem)]))
server.start()
server.wait_for_termination()
"""


def node(script, *options):
    def make(folder, port):
        (folder / "server.js").write_text(script)
        return [program("node", "nodejs"), "server.js", port, *options]
    return make


def grpc(folder, port):
    module("grpc", "grpcio")
    (folder / "server.py").write_text(GRPC)
    return [sys.executable, "server.py", port]


SERVERS = {"tls that writes at once": node(NODE_TLS, "TLSv1.2"), "http2": node(NODE_HTTP2), "grpc": grpc}


@pytest.fixture
def folder(tmp_path):
    write_certificates(tmp_path)
    return tmp_path


def seen(said, check):
    return {each["where"]: each["seen"] for each in said["findings"] if each["check"] == check}


def s_client_resumes(folder, port, made, offered, *options):
    """Return whether `openssl s_client` resumes a session. Tickets arrive after some time."""
    def after(seconds):
        file, kinds = folder / "session.pem", []
        for name, session in ((made, ["-sess_out", file]), (offered, ["-sess_in", file])):
            with subprocess.Popen(
                    [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name,
                     *options, *session],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
                time.sleep(seconds)
                kinds.append(b"\nReused, TLS" in client.communicate(b"Q\n", timeout=TIMEOUT)[0])
        assert not kinds[0]
        return kinds[1]

    return any(map(after, (0.4, 1, 3)))


@pytest.mark.parametrize("server", SERVERS)
def test_tickets_after_data_and_for_those_who_speak_the_protocol(folder, said, server):
    with Peer(SERVERS[server], folder) as peer:
        for version in ("TLS 1.2", "TLS 1.3"):
            assert s_client_resumes(folder, peer.port, A, A, *FLAGS[version], "-alpn", "h2")
        found = said(peer.port, "--name", A)
    resumption = seen(found, "resumption")
    for way in ("TLS 1.2, ticket", "TLS 1.3"):
        assert resumption[way].startswith("9 of 9"), resumption


@pytest.mark.parametrize("offered", [["--alpn", "http/1.1"], ["--alpn", ""], ["--request"]])
def test_a_protocol_that_a_server_does_not_speak_is_no_lack_of_tickets(folder, said, offered):
    """gRPC's demands h2, and ends the connection without."""
    with Peer(grpc, folder) as peer:
        found = said(peer.port, "--name", A, "--connections", "2", *offered)
    assert "none is offered" not in json.dumps(found)
    (refused,) = [each for each in found["findings"] if each["where"] == "TLS 1.3"]
    assert refused["grade"] == "note" and "--alpn" in refused["do"]


def test_sessions_that_cross_behind_a_greeting(folder, said):
    """In TLS 1.3 alone, from one certificate's name to another's."""
    with Peer(node(NODE_TLS, "TLSv1.3"), folder) as peer:
        assert s_client_resumes(folder, peer.port, A, B)
        found = said(peer.port, "--name", A, "--name", B)
    assert found["code"] == 1
    assert {each["seen"] for each in found["findings"] if each["grade"] == "fault"} == {
        f"a session made for {made} is resumed for {offered}, which has another certificate"
        for made, offered in ((A, B), (B, A))}


def test_sessions_that_cross_before_the_server_closes(folder, said):
    """Without a close_notify, soon after a resumed handshake, for which there are no new tickets."""
    with Peer(node(NODE_THAT_CLOSES), folder) as peer:
        assert s_client_resumes(folder, peer.port, A, B)
        found = said(peer.port, "--name", A, "--name", B, "--connections", "4")
    assert found["code"] == 1
    assert {each["seen"] for each in found["findings"] if each["grade"] == "fault"} == {
        f"a session made for {made} is resumed for {offered}, which has another certificate"
        for made, offered in ((A, B), (B, A))}
    assert seen(found, "resumption")["TLS 1.3"] == "3 of 3 returning connections were resumed"
    assert "the same again" not in json.dumps(found)


@pytest.mark.parametrize("asks", [False, True])
def test_a_connection_that_is_closed_is_refused_where_a_certificate_is_asked_for(server_ctx, asks):
    server_ctx.verify_mode = ssl.CERT_OPTIONAL if asks else ssl.CERT_NONE
    with without_tickets(server_ctx, lambda made: None) as port:
        found = visit(Target("127.0.0.1", port, "127.0.0.1"), A, Client("TLS 1.3"))
    assert (found.admitted, found.refusal, found.ended) == (
        (False, "the connection was closed", "") if asks else (True, "", "the server closed the connection"))


@pytest.fixture
def visits(monkeypatch):
    """The documentation's visit() to a port, and the contexts that it makes."""
    documented, contexts = names_in_docs("visit")["visit"], []
    make, connect = ssl.SSLContext, socket.create_connection

    def visit_of(port, path, ca_file):
        def context():
            contexts.append(make(ssl.PROTOCOL_TLS_CLIENT))
            contexts[-1].load_verify_locations(ca_file)
            return contexts[-1]

        with monkeypatch.context() as patched:
            patched.setattr(ssl, "create_default_context", context)
            patched.setattr(socket, "create_connection",
                            lambda where: connect(("127.0.0.1", port), timeout=TIMEOUT))
            documented(A, path)

    visit_of.contexts = contexts
    return visit_of


def test_the_visits_of_the_documentation_to_a_server_that_greets(folder, visits, capsys):
    path = folder / "session.pem"
    with Peer(node(NODE_TLS, "TLSv1.3"), folder) as peer:
        visits(peer.port, path, folder / "ca.pem")
        assert Session.load(path, id_context=b"shop/v1").resumable
        visits(peer.port, path, folder / "ca.pem")
    assert capsys.readouterr().out.count("a full handshake") == 1
    assert [ctx.session_stats()["hits"] for ctx in visits.contexts] == [0, 1]


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, ssl.CERT_REQUIRED], ids=["no tickets", "refused"])
@pytest.mark.parametrize("greets", [True, False], ids=["greets", "closes"])
def test_visits_that_bring_no_session_keep_the_one_before(make_server_ctx, pem_files, tmp_path, visits, verify, greets):
    path, server_ctx = tmp_path / "session.pem", make_server_ctx()
    with without_tickets(server_ctx, lambda made: made.recv(100) and made.sendall(b"hello")) as port:
        server_ctx.num_tickets = 2
        visits(port, path, pem_files[1])
    kept = path.read_bytes()
    server_ctx = make_server_ctx(verify=verify)
    with without_tickets(server_ctx, lambda made: made.sendall(b"hello") if greets else made.unwrap()) as port:
        visits(port, path, pem_files[1])
    assert path.read_bytes() == kept


@contextlib.contextmanager
def without_tickets(ctx, talk):
    """A server of TLS 1.3 that gives none, and talks as it likes."""
    ctx.num_tickets, ctx.minimum_version = 0, ssl.TLSVersion.TLSv1_3

    def serve(plain):
        with contextlib.suppress(OSError), plain:
            plain.settimeout(TIMEOUT)
            with ctx.wrap_socket(plain, server_side=True) as made:
                talk(made)

    with accepting(lambda plain: threading.Thread(target=serve, args=(plain,)).start()) as (host, port):
        yield port


def pour(made):
    while True:
        made.sendall(bytes(1 << 14))


@pytest.mark.parametrize("talk, ended, timeout", [
    (lambda made: made.unwrap(), "the server closed the connection", 5),
    (lambda made: made.sendall(b"hello"), "the server closed the connection", 5),  # without a close_notify
    (lambda made: None, "the server closed the connection", 5),
    (pour, f"{connection.MOST_DATA} bytes of data had", 5),
    (lambda made: made.recv(10), "the time for a connection was over", 0.5),
    (lambda made: made.recv(10), "", 5),
], ids=["closes", "talks and closes", "breaks off", "pours", "in too little time", "in time"])
def test_what_ended_the_reading_is_told(said, server_ctx, talk, ended, timeout):
    with without_tickets(server_ctx, talk) as port:
        found = said(port, "--name", A, "--timeout", timeout)
    (told,) = [each for each in found["findings"] if each["check"] == "resumption"]
    assert told["grade"] == "note"
    assert told["seen"] == (f"no session had come when {ended}" if ended
                            else "no session can be resumed: none is offered")


def test_protocols_are_offered(server_ctx, said):
    chosen = []
    server_ctx.set_alpn_protocols(["h2", "imap", "http/1.1"])

    def talk(made):
        chosen.append(made.selected_alpn_protocol())
        made.recv(10)

    with without_tickets(server_ctx, talk) as port:
        for arguments, expected in (((), "h2"), (("--request",), "http/1.1"), (("--alpn", "imap"), "imap"),
                                    (("--alpn", ""), None)):
            said(port, "--name", A, "--most-connections", "1", *arguments)
            assert chosen.pop() == expected
        for arguments in (("--alpn", "h2", "--request"), ("--alpn", "x" * 256), ("--alpn", "\u00e9")):
            assert said(port, *arguments)["code"] == 2


def test_a_server_of_another_protocol(folder, said):
    """Which refuses all others is asked for none."""
    with Peer(s_server, folder, "-alpn", "imap") as peer:
        found = said(peer.port, "--name", A)
        imap = said(peer.port, "--name", A, "--alpn", "imap")
        wrong = said(peer.port, "--name", A, "--alpn", "h2")
    assert seen(found, "alpn") == {"": "h2 and http/1.1 are refused (ALPN): no protocol is offered"}
    assert seen(imap, "alpn") == {}
    for each in (found, imap):
        assert seen(each, "resumption")["TLS 1.3"].startswith("9 of 9")
    assert "no_application_protocol" in wrong["error"] and "--alpn" in wrong["error"]


def test_an_alert_is_heard_by_those_who_talk_at_once(server_ctx):
    """In TLS 1.3 the server refuses when the client has begun to speak."""
    server_ctx.verify_mode = ssl.CERT_REQUIRED
    server_ctx.set_alpn_protocols(["h2"])
    with without_tickets(server_ctx, lambda made: None) as port:
        for _ in range(20):
            found = visit(Target("127.0.0.1", port, "127.0.0.1"), A, Client("TLS 1.3", alpn=("h2",)))
            assert found.refusal == "alert certificate_required" and not found.ours
