"""`check`: its report on servers in trouble, the addresses that it connects to, and its exit codes."""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import libssl
import pytest
import trustme
from audited import answer, on_a_terminal
from machine import program
from peers import A, B
from servers import accepting
from tls_servers import BOTH, served_by, tls_server, told

from pysidctx.cli.check import arguments as check_arguments
from pysidctx.cli.check import client, connection
from pysidctx.cli.check import command as check
from pysidctx.cli.check.client import Client
from pysidctx.cli.check.connection import Target, visit


def test_nothing_listens(run):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        code, out, err = run(f"127.0.0.1:{bound.getsockname()[1]}")
    assert (code, out) == (2, "")
    assert err.startswith("pysidctx check: 127.0.0.1:") and "cannot be reached: Connection refused" in err
    assert err.count("\n") == 1


def test_no_such_host(run):
    code, _, err = run("no-such-host.invalid")
    assert code == 2
    assert "the address of 'no-such-host.invalid' cannot be found" in err


@pytest.mark.parametrize("greeting, said", [
    (b"", "closes connections at once"),
    (b"220 mail.test ESMTP\r\n" * 10, "does not speak TLS"),
    (b"HTTP/1.0 400 Bad Request\r\n\r\n", "does not speak TLS"),
    (b"+OK", "does not speak TLS"),
    (None, "accepts connections, but sent nothing in 0.5 s"),
], ids=["closes", "mail", "http", "stalls", "hangs"])
def test_what_is_no_tls_server(run, greeting, said):
    held = []

    def serve(plain):
        held.append(plain)
        if greeting is not None:
            plain.sendall(greeting)
            if greeting != b"+OK":
                plain.close()

    begun = time.monotonic()
    with accepting(serve) as (host, port):
        code, out, err = run(f"{host}:{port}", "--timeout", "0.5")
    for plain in held:
        plain.close()
    assert (code, out) == (2, "")
    assert f"{said}: is it a TLS server, and is this its port?" in err
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_any_message_ends_the_visit(server, monkeypatch, version, interrupt):
    """Even while OpenSSL waits for the rest of a message."""
    target, client = Target("127.0.0.1", server, "127.0.0.1"), Client(version)
    for number in itertools.count():
        messages = itertools.count()

        def interrupted(*said):
            if next(messages) == number:
                raise interrupt

        monkeypatch.setattr(connection.Messages, "__call__", interrupted)
        try:
            visit(target, A, client)
        except interrupt:
            continue
        assert next(messages) <= number  # there were no more
        assert number > 5
        break


def test_a_server_that_hangs_in_the_handshake(run):
    """The server answers at first. The audit still ends in bounded time."""
    connections = []

    def serve(plain):
        connections.append(plain)
        plain.recv(10)
        plain.sendall(b"\x16\x03\x03\x00\x40")  # the beginning of a record

    begun = time.monotonic()
    with accepting(serve) as (host, port):
        code, _, err = run(f"{host}:{port}", "--timeout", "0.3")
    for plain in connections:
        plain.close()
    assert code == 2
    assert "sent nothing" in err
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("kind, said", [
    ("expired", "certificate has expired"), ("unknown", "unable to get local issuer certificate"),
    ("self-signed", "self signed certificate"),
    ("good", None), ("another name", "Hostname mismatch"),
])
def test_certificates(run, kind, said, tmp_path):
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = datetime.datetime.now() - datetime.timedelta(days=1)
    issued = ca.issue_cert("other.test" if kind == "another name" else A,
                           not_after=yesterday if kind == "expired" else None)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(ctx)
    if kind == "self-signed":
        (tmp_path / "own.pem").write_bytes(ca.private_key_pem.bytes() + ca.cert_pem.bytes())
        ctx.load_cert_chain(tmp_path / "own.pem")
    trust = [] if kind in ("unknown", "self-signed") else ["--ca-file", tmp_path / "ca.pem"]
    with tls_server(ctx) as port:
        code, out, err = run(f"127.0.0.1:{port}", "--name", A, "--json", *trust)
    assert (code, err) == (0, "")
    found = [each for each in json.loads(out)["findings"] if each["check"] == "certificate"]
    if said is None:
        assert found == []
    else:
        (finding,) = found
        assert finding["grade"] == "note"
        assert said.replace("-", " ") in finding["seen"].replace("-", " ")
    # It looks at the server all the same.
    assert [each["grade"] for each in json.loads(out)["findings"] if each["check"] == "resumption"]


@pytest.mark.parametrize("arguments, said", [
    (["a.test:http"], "'http' is not a port number"),
    (["a.test:0"], "'0' is not a port number"),
    (["a.test:65536"], "'65536' is not a port number"),
    ([":8443"], "':8443' names no host: pass HOST:PORT, such as localhost:8443"),
    (["8443"], "is 8443 a port? Pass HOST:PORT, such as localhost:8443"), ([""], "'' names no host"),
    (["127.0.0.1:9", "--address", "b.test"], "--address takes an IP address"),
    (["127.0.0.1:9", "--client-cert", "/no/such/file"], "'/no/such/file' cannot be used: No such file"),
    (["127.0.0.1:9", "--ca-file", __file__], "cannot be used"),
    (["a.test:" + 5000 * "1"], "is not a port"),
    (["m\xfcnchen.test", "--name", "a.test"], "write an international name as A-labels"),
])
def test_arguments_that_cannot_be(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("arguments", [["--connections", "1"], ["--delay", "-1"], ["--timeout", "x"],
                                       ["--timeout", "1e10"],
                                       ["--most-connections", "0"]])
def test_numbers_that_cannot_be(run, arguments):
    with pytest.raises(SystemExit) as caught:
        run("127.0.0.1:9", *arguments)
    assert caught.value.code == 2


def test_errors_as_json(run):
    code, out, err = run("a.test:http", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out) == {"target": "a.test:http", "error": "'http' is not a port number: pass HOST:PORT"}


@pytest.mark.parametrize("text, expected", [
    ("a.test", ("a.test", 443)), ("a.test:8443", ("a.test", 8443)), ("::1", ("::1", 443)),
    ("[::1]", ("::1", 443)), ("[::1]:8443", ("::1", 8443)), ("127.0.0.1:1", ("127.0.0.1", 1)),
])
def test_hosts_and_ports(text, expected):
    assert check.split(text) == expected


def test_the_names_are_those_of_the_certificate(run, server):
    """A name that a client can ask for: wildcards and addresses are left out."""
    code, out, _ = run(f"127.0.0.1:{server}", "--json")
    assert json.loads(out)["names"] == [A, B, "localhost"]
    assert run(f"localhost:{server}", "--json")[0] == 0
    _, out, _ = run(f"localhost:{server}", "--demands", "c.test", "--json")
    assert json.loads(out)["names"] == ["localhost", A, B, "c.test"]


def test_names_that_are_left_out_are_told(found, ca):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(f"host{number}.test" for number in range(8))).configure_cert(ctx)
    with tls_server(ctx) as port:
        said = found(port, "--connections", "2")
        all_named = found(port, "--connections", "2", "--name", "host0.test")
    assert len(said["names"]) == 5
    assert told(said, "the certificate has 3 more names") == {"note"}
    assert not told(all_named, "more names")


def test_a_certificate_is_for_the_name_or_the_address(found, ca, tmp_path):
    """A certificate that names another host or address is reported."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(A, "10.9.8.7").configure_cert(ctx)
    with tls_server(ctx) as port:
        by_address = found(port, "--ca-file", tmp_path / "ca.pem")
        by_names = found(port, "--ca-file", tmp_path / "ca.pem", *BOTH)
    assert told(by_address, "is not trusted for 127.0.0.1: IP address mismatch") == {"note"}
    assert told(by_names, f"is not trusted for {B}: Hostname mismatch") == {"note"}
    assert not told(by_names, f"is not trusted for {A}")


def test_only_the_named_server_is_connected_to(run, server, monkeypatch):
    asked = []
    real = socket.create_connection

    def create_connection(address, **options):
        asked.append(address)
        return real(address, **options)

    monkeypatch.setattr(connection.socket, "create_connection", create_connection)
    code, out, _ = run(f"127.0.0.1:{server}", "--json")
    assert set(asked) == {("127.0.0.1", server)}
    assert json.loads(out)["connections"] == len(asked)


def test_another_address(run, server_ctx, make_server_ctx):
    """Machines of the same host: one with the same keys, one with others, and one where nothing runs."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(tls_server(server_ctx))
        for address, ctx in (("127.0.0.2", server_ctx), ("127.0.0.3", make_server_ctx())):
            made = stack.enter_context(socket.create_server((address, port)))
            thread = threading.Thread(target=serve_all, args=(made, ctx))
            thread.start()
            stack.callback(thread.join)
            stack.callback(made.shutdown, socket.SHUT_RDWR)
        code, out, _ = run(f"127.0.0.1:{port}", "--name", A, "--json", *(
            word for number in (2, 3, 4) for word in ("--address", f"127.0.0.{number}")))
    assert code == 0
    said = {"127.0.0.2": ("ok", "is resumed on"), "127.0.0.3": ("note", "no session is resumed on"),
            "127.0.0.4": ("note", "cannot be asked: Connection refused")}
    found = [each for each in json.loads(out)["findings"] if each["check"] == "address"]
    assert {each["where"] for each in found} >= {"TLS 1.2, ticket", "TLS 1.3"}
    for each in found:
        (address,) = [address for address in said if address in each["seen"]]
        assert each["grade"] == said[address][0] and said[address][1] in each["seen"]


def serve_all(listening, ctx):
    with contextlib.suppress(OSError):  # that it was shut down
        while True:
            answer(listening.accept()[0], ctx)


def test_a_limit_of_connections(run, server):
    code, out, _ = run(f"127.0.0.1:{server}", "--most-connections", "7", "--json")
    said = json.loads(out)
    assert code == 3
    assert said["connections"] == 7 and not said["finished"]
    assert "ended early, after 7 connections" in said["findings"][-1]["seen"]


@pytest.mark.parametrize("most", range(1, 46))
def test_wherever_it_ends_it_says_so(run, of_name, most):
    """A fault that was found before is still reported."""
    hosts = {name: of_name(name) for name in (A, B)}
    shared = os.urandom(80)
    for ctx in hosts.values():
        ctx.minimum_version = ssl.TLSVersion.TLSv1_3
        libssl.SSL_CTX_ctrl(libssl.pointer(ctx), libssl.SSL_CTRL_SET_TLSEXT_TICKET_KEYS, 80, shared)
    with served_by(lambda _, name: hosts[name]) as port:
        code, out, err = run(f"127.0.0.1:{port}", *BOTH, "--connections", "2", "--most-connections", most, "--json")
    said = json.loads(out)
    assert said["connections"] <= most
    if said["finished"]:
        assert most > 20 and said["faults"] == 2
    else:
        assert code == (1 if said["faults"] else 3)
        assert "ended early" in said["findings"][-1]["seen"]
        assert said["faults"] or most < 22


def test_a_limit_of_time(run, server):
    code, out, _ = run(f"127.0.0.1:{server}", "--most-seconds", "0.2", "--delay", "0.1", "--json")
    said = json.loads(out)
    assert code == 3
    assert said["connections"] <= 4 and not said["finished"]


def test_a_delay_takes_its_own_time(run, server):
    """As long as nobody says when it is to end."""
    begun = time.monotonic()
    code, out, _ = run(f"127.0.0.1:{server}", "--name", A, "--connections", "2", "--delay", "0.1", "--json")
    assert code == 0 and json.loads(out)["finished"]
    assert time.monotonic() - begun > 0.1 * (json.loads(out)["connections"] - 2)
    parsed = argparse.ArgumentParser()
    check_arguments.add_arguments(parser=parsed)
    _, options, _ = check.asked(parsed.parse_args([f"127.0.0.1:{server}", "--delay", "2"]))
    assert options.most_seconds == 60 + 2 * options.most_connections


def test_plain_text_for_those_without_a_terminal(server):
    ran = subprocess.run([sys.executable, "-m", "pysidctx", "check", f"127.0.0.1:{server}", "--name", A],
                         capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout and "\r" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert lines[0] == f"127.0.0.1:{server}, names a.test"
    assert any(line.startswith("note   the certificate is not trusted") for line in lines)
    assert any(line.startswith("       why: ") for line in lines)
    assert any(line.startswith("       do: ") for line in lines)
    assert lines[-2].startswith("faults: 0, notes: ")


def test_every_finding_that_is_not_ok_says_why_and_what_to_do(run, server):
    findings = json.loads(run(f"127.0.0.1:{server}", "--name", A, "--demands", B, "--json")[1])["findings"]
    assert {each["grade"] for each in findings} == {"ok", "note", "fault"}
    for finding in findings:
        assert finding["seen"]
        assert bool(finding["why"]) == bool(finding["do"]) == (finding["grade"] != "ok")


@pytest.mark.parametrize("names, kept", [
    ([".sub.test", A], [A]), (["x" * 64 + ".test", A], [A]), (["a.test\0.b.test"], []),
    (["\x1b[31mred.test", "A.TEST", A, "*.test"], [A]), ([f"{number}.test" for number in range(9)],
                                                       [f"{number}.test" for number in range(5)])])
def test_names_in_odd_certificates(names, kept, monkeypatch):
    class Odd:
        def get_extension_for_class(self, kind):
            return SimpleNamespace(value=SimpleNamespace(get_values_for_type=lambda kind: names))

    monkeypatch.setattr("cryptography.x509.load_der_x509_certificate", lambda data: SimpleNamespace(extensions=Odd()))
    assert [*dict.fromkeys(check.names_in(b""))][:check.MOST_NAMES] == kept


def test_certificates_that_cannot_be_read():
    assert check.names_in(b"no certificate") == []


@pytest.mark.parametrize("name", [".b.test", "x" * 64, "a b", "", "a\x1b[31m", "[/x].test", "b\u00fccher.test"])
def test_names_that_cannot_be_asked_for(run, name):
    code, out, err = run("127.0.0.1:9", "--name", A, "--name", name)
    assert (code, out) == (2, "")
    assert "is not a host name" in err and "\x1b" not in err


def test_a_url_is_no_host(run):
    assert "is a URL: pass only HOST" in run("https://a.test/")[2]


def test_a_key_with_a_pass_phrase_is_not_asked_for(run, tmp_path, certificate):
    path = tmp_path / "key.pem"
    subprocess.run([program("openssl", "openssl"), "ec", "-aes128", "-passout", "pass:secret", "-out", path],
                   input=certificate.private_key_pem.bytes(), check=True, capture_output=True)
    path.write_bytes(certificate.cert_chain_pems[0].bytes() + path.read_bytes())
    code, out, err = run("127.0.0.1:9", "--client-cert", path)
    assert code == 2 and "has a pass phrase" in err


def test_several_addresses_of_a_host(run, server, monkeypatch):
    """The first one that answers is audited."""
    monkeypatch.setattr(check, "addresses_of", lambda host, port: ["127.0.0.2", "127.0.0.1"])
    code, out, _ = run(f"a.test:{server}", "--json")
    assert code == 0 and json.loads(out)["address"] == "127.0.0.1"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour(server, environment):
    """A real terminal that the environment declares to have no colours."""
    code, said = on_a_terminal(server, "--name", A, **environment)
    assert code == 0
    assert "faults: 0" in said
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", said)
    if "TERM" in environment:
        assert "\x1b" not in said


def test_a_connection_shows_what_the_handshake_said(server_ctx, version):
    """Against what the server has."""
    server_ctx.verify_mode = ssl.CERT_OPTIONAL
    name = {ssl.TLSVersion.TLSv1_2: "TLS 1.2", ssl.TLSVersion.TLSv1_3: "TLS 1.3"}[version]
    with tls_server(server_ctx) as port:
        target = Target("127.0.0.1", port, "127.0.0.1")
        first = visit(target, A, Client(name))
        again = visit(target, A, Client(name), first.session)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            with ctx.wrap_socket(plain, server_hostname=A) as client:
                assert first.certificate == client.getpeercert(True)
    assert first.heard and first.admitted and first.asked and not first.resumed
    assert first.tickets[0].lifetime == first.session.ticket_lifetime_hint
    assert any(ticket.data in first.session.to_der() for ticket in first.tickets)
    assert again.resumed and again.certificate is None and not again.asked


@pytest.mark.parametrize("shown", [False, True])
def test_a_server_that_demands_a_certificate(server_ctx, client_certificate, version, shown, tmp_path):
    name = {ssl.TLSVersion.TLSv1_2: "TLS 1.2", ssl.TLSVersion.TLSv1_3: "TLS 1.3"}[version]
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    server_ctx.verify_mode = ssl.CERT_REQUIRED
    with tls_server(server_ctx) as port:
        found = visit(Target("127.0.0.1", port, "127.0.0.1"), A,
                      Client(name, certificate=str(chain) if shown else None))
    assert found.asked and found.certificate
    assert found.admitted == shown
    if not shown:
        assert found.refusal == {"TLS 1.2": "alert handshake_failure",
                                 "TLS 1.3": "alert certificate_required"}[name]
