"""`check`: what it says of servers in trouble, where it connects to, and how it ends."""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import pty
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import libssl
import pytest
import trustme
from machine import program
from peers import A, B
from servers import TIMEOUT, accepting

from pysidctx import Host, HostMap, TicketKeys
from pysidctx.__main__ import main
from pysidctx.cli import audit, check, check_arguments, client, connection, verdicts
from pysidctx.cli.audit import Way
from pysidctx.cli.client import Client
from pysidctx.cli.connection import Target, visit


@pytest.fixture
def run(capsys):
    """The command in this process: its exit code, and what it printed."""
    def run(*arguments):
        code = main(["check", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err
    return run


def greet(plain, ctx):
    plain.settimeout(TIMEOUT)
    with contextlib.suppress(OSError), plain, ctx.wrap_socket(plain, server_side=True) as made:
        made.sendall(b"hello")
        made.unwrap()


def serve_with(ctx, plain):
    """In a thread for the connection."""
    threading.Thread(target=greet, args=(plain, ctx)).start()


@contextlib.contextmanager
def tls_server(ctx):
    with accepting(lambda plain: serve_with(ctx, plain)) as (host, port):
        yield port


@pytest.fixture
def server(server_ctx):
    with tls_server(server_ctx) as port:
        yield port


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
    (None, "accepts connections, but said nothing in 0.5 s"),
], ids=["closes", "mail", "http", "hangs"])
def test_what_is_no_tls_server(run, greeting, said):
    held = []

    def serve(plain):
        held.append(plain)
        if greeting is not None:
            plain.sendall(greeting)
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
    """Though OpenSSL is asked for more at the time, and says that it wants it."""
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
    """It is there at first: the audit ends in bounded time all the same."""
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
    assert "said nothing" in err
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
    (["a.test:http"], "'http' is not a port"),
    (["a.test:0"], "'0' is not a port"),
    (["a.test:65536"], "'65536' is not a port"),
    (["127.0.0.1:9", "--address", "b.test"], "--address takes an IP address"),
    (["127.0.0.1:9", "--client-cert", "/no/such/file"], "'/no/such/file' cannot be used: No such file"),
    (["127.0.0.1:9", "--ca-file", __file__], "cannot be used"),
    (["a.test:" + 5000 * "1"], "is not a port"),
    (["m\xfcnchen.test", "--name", "a.test"], "write international names as A-labels"),
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
    assert json.loads(out) == {"target": "a.test:http", "error": "'http' is not a port: say HOST:PORT"}


@pytest.mark.parametrize("text, expected", [
    ("a.test", ("a.test", 443)), ("a.test:8443", ("a.test", 8443)), ("::1", ("::1", 443)),
    ("[::1]", ("::1", 443)), ("[::1]:8443", ("::1", 8443)), ("127.0.0.1:1", ("127.0.0.1", 1)),
])
def test_hosts_and_ports(text, expected):
    assert check.split(text) == expected


def test_the_names_are_those_of_the_certificate(run, server):
    """One that can be asked for; wildcards and addresses cannot."""
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
    """Not for whatever it says itself."""
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
            greet(listening.accept()[0], ctx)


def test_a_limit_of_connections(run, server):
    code, out, _ = run(f"127.0.0.1:{server}", "--most-connections", "7", "--json")
    said = json.loads(out)
    assert code == 3
    assert said["connections"] == 7 and not said["finished"]
    assert "ended early, after 7 connections" in said["findings"][-1]["seen"]


@pytest.mark.parametrize("most", range(1, 46))
def test_wherever_it_ends_it_says_so(run, of_name, most):
    """And a fault that was seen stays one."""
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


def test_a_demand_that_is_not_made_is_a_fault(run, server):
    code, out, _ = run(f"127.0.0.1:{server}", "--demands", A, "--json")
    assert code == 1
    assert "a.test lets in a client without a certificate" in out


def seen(**fields):
    empty = connection.Seen(True, True, "", False, b"certificate", False, [], None, "")
    return empty._replace(**fields)


REFUSED = seen(admitted=False, asked=True)


@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("other, with_certificate, certified, grade", [
    (seen(certificate=b"another"), None, False, "fault"),
    (REFUSED, None, False, "fault"),
    (REFUSED, seen(), True, {"TLS 1.2": "note", "TLS 1.3": "note"}),
    (REFUSED, REFUSED, True, "fault"),  # the certificate that the session is from is none to get in with
    (REFUSED._replace(certificate=b"another"), seen(), True, "fault"),
    (seen(certificate=None), None, False, "note"),
    (seen(asked=True), None, False, "note"),
    (seen(), None, False, {"TLS 1.2": "note", "TLS 1.3": "ok"}),
])
def test_what_a_crossing_means(version, other, with_certificate, certified, grade):
    crossing = audit.Crossing(A, B, 1, seen(resumed=True), certified, b"certificate", True, "", looked=True)
    shown = Counter() if other.certificate is None else Counter({other.certificate: 2})
    host = audit.Host(B, other, with_certificate)
    made = verdicts.judge(Way(version, True), crossing, host, shown)
    assert made.grade == (grade[version] if isinstance(grade, dict) else grade)


def test_a_certificate_that_was_not_looked_for_is_no_fault():
    crossing = audit.Crossing(A, B, 1, seen(resumed=True), False, b"certificate", True, "")
    made = verdicts.judge(Way("TLS 1.2", True), crossing, audit.Host(B, seen(), None),
                          Counter({b"another": 2}))
    assert made.grade == "note" and "is not known" in made.seen


@pytest.mark.parametrize("lifetime, fresh, grade", [
    (7200, True, "ok"), (7200, None, "ok"), (7200, False, "note"), (604801, True, "note"), (0, True, "note")])
def test_what_tickets_mean(lifetime, fresh, grade):
    finding = verdicts.described(Way("TLS 1.3", True), audit.Returning(
        9, 9, tickets=(connection.Ticket(lifetime, b"x" * 200),), fresh=fresh))
    assert finding.grade == grade
    assert f"tickets of 200 bytes, valid for {lifetime} s" in finding.seen


@pytest.fixture
def found(run):
    """What the audit of a port says, by check and grade."""
    def found(port, *arguments):
        code, out, err = run(f"127.0.0.1:{port}", *arguments, "--json")
        assert err == ""
        said = json.loads(out)
        assert code == bool(said.get("faults")) or "error" in said or not said["finished"]
        return said
    return found


def told(said, *words):
    """The grades of the findings with all these words."""
    return {each["grade"] for each in said["findings"] if all(word in each["seen"] for word in words)}


BOTH = "--name", A, "--name", B


def hosted(a, b, unmatched="serve"):
    """A listener whose hosts share sessions, because somebody said so."""
    hosts = HostMap({A: Host(a, b"shared"), B: Host(b, b"shared")})
    hosts.unmatched = unmatched
    listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():  # it has no certificate for others
        warnings.simplefilter("ignore", RuntimeWarning)
        hosts.install(listener)
    return listener


def test_a_session_that_gets_past_a_demand(found, make_server_ctx):
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED))) as port:
        said = found(port, *BOTH)
    assert said["faults"]
    assert told(said, f"made for {A} is resumed for {B}, which lets in nobody without") == {"fault"}


def test_a_session_that_gets_past_another_ca(
    found, certificate, make_server_ctx, client_certificate, tmp_path
):
    """One certificate for both hosts, whose clients have theirs from different CAs."""
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(other)
    trustme.CA(key_type=trustme.KeyType.ECDSA).configure_trust(other)
    other.verify_mode = ssl.CERT_REQUIRED
    with tls_server(hosted(make_server_ctx(verify=ssl.CERT_REQUIRED), other)) as port:
        said = found(port, *BOTH, "--client-cert", chain)
    assert told(said, f"{B} refuses the client's certificate") == {"note"}
    assert told(said, f"made for {A} with a certificate is resumed for {B}, which does not accept") == {"fault"}


def test_a_session_that_gets_where_a_certificate_is_asked_for(found, make_server_ctx):
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_OPTIONAL))) as port:
        said = found(port, *BOTH, "--demands", B)
    assert told(said, f"made for {A} is resumed for {B}, which asks for") == {"note"}
    assert told(said, f"{B} asks for a certificate, and completes the handshake without one") == {"note"}
    assert not said["faults"]


def test_a_name_that_is_refused_hides_nothing(found, make_server_ctx):
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED), "reject")) as port:
        said = found(port, "--name", "typo.test", *BOTH)
        nobody = found(port, "--name", "typo.test")
        nameless = found(port)
    assert told(said, "typo.test is refused: alert unrecognized_name") == {"note"}
    assert said["faults"]
    assert "shakes hands with nobody" in nobody["error"] and "Is this a name" in nobody["error"]
    assert "Name one that it serves with --name" in nameless["error"]


@contextlib.contextmanager
def dropping(ctx, dropped):
    """A server that closes some connections, told by their numbers, without a word."""
    numbers = itertools.count()

    def serve(plain):
        if dropped(next(numbers)):
            plain.close()
        else:
            serve_with(ctx, plain)

    with accepting(serve) as (host, port):
        yield port


@pytest.mark.parametrize("number", range(2, 8))
def test_one_dropped_connection_is_no_fault(found, server_ctx, number):
    """Nor is any version taken for missing."""
    with dropping(server_ctx, lambda each: each == number) as port:
        said = found(port, *BOTH)
    assert not told(said, "not offered (")
    assert not said["faults"]


def test_what_could_not_be_tried_is_not_called_right(found, server_ctx):
    """The server gives up when the first sessions have been made."""
    with dropping(server_ctx, lambda each: each > 32) as port:
        said = found(port, *BOTH, "--connections", "3")
    assert said["finished"]
    assert not told(said, "not resumed under another name")
    assert told(said, "could not be offered to") == {"note"}


def test_many_workers_with_keys_of_their_own(found, make_server_ctx):
    with accepting(lambda plain: serve_with(next(turn), plain)) as (host, port):
        turn = itertools.cycle([make_server_ctx() for _ in range(16)])
        few = found(port, *BOTH, "--most-connections", "1000")
        many = found(port, *BOTH, "--connections", "41", "--most-connections", "1000")
    assert told(few, "no session was seen to be resumed under another name") == {"note"}
    assert not told(few, "not resumed under")
    assert "note" in told(many, f"made for {A} is resumed for {B}, which has the same certificate")


def test_a_server_of_tls_1_3_without_tickets(found, server_ctx):
    """Whose silence after the handshake is waited for."""
    server_ctx.num_tickets = 0
    server_ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    with accepting(lambda plain: silent(server_ctx, plain)) as (host, port):
        said = found(port, "--name", A)
    assert told(said, "no session can be resumed: none is offered") == {"note"}
    assert told(said, "not offered (") == {"ok"}  # TLS 1.2


def silent(ctx, plain):
    def serve():
        with contextlib.suppress(OSError), plain, ctx.wrap_socket(plain, server_side=True) as made:
            made.recv(10)
    threading.Thread(target=serve).start()


def test_a_server_without_tickets(found, make_server_ctx):
    with tls_server(make_server_ctx(tickets=False)) as port:
        said = found(port, "--name", A)
    grades = {each["where"]: each["seen"] for each in said["findings"] if each["check"] == "resumption"}
    assert grades["TLS 1.2, ticket"] == "not offered"
    assert grades["TLS 1.2, session id"].startswith("9 of 9")


@pytest.mark.parametrize("names, kept", [
    ([".sub.test", A], [A]), (["x" * 64 + ".test", A], [A]), (["a.test\0.b.test"], []),
    (["\x1b[31mred.test", "A.TEST", A, "*.test"], [A]), ([f"{number}.test" for number in range(9)],
                                                       [f"{number}.test" for number in range(5)])])
def test_names_in_odd_certificates(names, kept, monkeypatch):
    class Odd:
        def get_extension_for_class(self, kind):
            return SimpleNamespace(value=SimpleNamespace(get_values_for_type=lambda kind: names))

    monkeypatch.setattr(check.x509, "load_der_x509_certificate", lambda data: SimpleNamespace(extensions=Odd()))
    assert [*dict.fromkeys(check.names_in(b""))][:check.MOST_NAMES] == kept


def test_certificates_that_cannot_be_read():
    assert check.names_in(b"no certificate") == []


@pytest.mark.parametrize("name", [".b.test", "x" * 64, "a b", "", "a\x1b[31m", "[/x].test", "b\u00fccher.test"])
def test_names_that_cannot_be_asked_for(run, name):
    code, out, err = run("127.0.0.1:9", "--name", A, "--name", name)
    assert (code, out) == (2, "")
    assert "is not a host name" in err and "\x1b" not in err


def test_a_url_is_no_host(run):
    assert "leave out what makes it a URL" in run("https://a.test/")[2]


def test_a_key_with_a_pass_phrase_is_not_asked_for(run, tmp_path, certificate):
    path = tmp_path / "key.pem"
    subprocess.run([program("openssl", "openssl"), "ec", "-aes128", "-passout", "pass:secret", "-out", path],
                   input=certificate.private_key_pem.bytes(), check=True, capture_output=True)
    path.write_bytes(certificate.cert_chain_pems[0].bytes() + path.read_bytes())
    code, out, err = run("127.0.0.1:9", "--client-cert", path)
    assert code == 2 and "has a pass phrase" in err


def test_several_addresses_of_a_host(run, server, monkeypatch):
    """The first that answers is taken."""
    monkeypatch.setattr(check, "addresses_of", lambda host, port: ["127.0.0.2", "127.0.0.1"])
    code, out, _ = run(f"a.test:{server}", "--json")
    assert code == 0 and json.loads(out)["address"] == "127.0.0.1"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour(server, environment):
    """A real one, of which it is known that it has none."""
    leader, follower = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "pysidctx", "check", f"127.0.0.1:{server}", "--name", A],
                          stdout=follower, stderr=follower, stdin=follower,
                          env={**os.environ, "TERM": "xterm", **environment}) as process:
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while more := os.read(leader, 4096):
                said += more
        os.close(leader)
    assert process.returncode == 0
    assert b"faults: 0" in said
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", said)
    if "TERM" in environment:
        assert b"\x1b" not in said


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


def breaking_off(plain, ctx):
    """Serve a connection as far as the first record of the server."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ctx.wrap_bio(incoming, outgoing, server_side=True)
    with contextlib.suppress(OSError), plain:
        plain.settimeout(TIMEOUT)
        incoming.write(plain.recv(1 << 16))
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
        said = outgoing.read()
        plain.sendall(said[:5 + int.from_bytes(said[3:5], "big")])


@contextlib.contextmanager
def served_by(choose, breaks=None):
    """A server that chooses by the number of a connection and its name; one connection it breaks off."""
    numbers = itertools.count()

    def serve(plain):
        plain.settimeout(TIMEOUT)
        hello = plain.recv(1 << 16, socket.MSG_PEEK)
        number = next(numbers)
        ctx = choose(number, B if B.encode() in hello else A)
        if number == breaks:
            breaking_off(plain, ctx)
        else:
            serve_with(ctx, plain)

    with accepting(serve) as (host, port):
        yield port


@pytest.fixture
def of_name(ca):
    """A context with a certificate of its own."""
    def made(*names, keys=None, verify=ssl.CERT_NONE):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(ctx)
        ca.configure_trust(ctx)
        ctx.verify_mode = verify
        if keys is not None:
            keys.install(ctx)
        return ctx
    return made


@pytest.mark.parametrize("number", range(1, 43, 3))
def test_what_breaks_off_hides_no_fault(found, of_name, number):
    keys = TicketKeys()
    hosts = {name: of_name(name, keys=keys) for name in (A, B)}
    with served_by(lambda _, name: hosts[name], breaks=number) as port:
        said = found(port, *BOTH, "--connections", "2")
    for made, offered in ((A, B), (B, A)):
        grades = {each["where"]: each["grade"] for each in said["findings"]
                  if f"made for {made} is resumed for {offered}" in each["seen"]}
        assert grades == {"TLS 1.2, ticket": "fault", "TLS 1.3": "fault"}
    assert not told(said, "not offered")  # TLS 1.2 has its cache, too


@pytest.mark.parametrize("number", range(1, 43, 3))
def test_what_breaks_off_is_no_fault(found, of_name, number):
    """Nor is it a demand."""
    hosts = {name: of_name(name, verify=ssl.CERT_OPTIONAL) for name in (A, B)}
    with served_by(lambda _, name: hosts[name], breaks=number) as port:
        said = found(port, *BOTH, "--connections", "2")
    assert not said["faults"]
    assert not told(said, "lets in nobody")


def test_machines_with_several_certificates_for_both_names(found, of_name):
    keys = TicketKeys()
    machines = [of_name(A, B, keys=keys) for _ in range(3)]
    with served_by(lambda number, name: machines[number % 3]) as port:
        said = found(port, *BOTH)
    assert not said["faults"]
    assert told(said, "which has the same certificate")


@pytest.mark.parametrize("verify, what", [(ssl.CERT_NONE, "has another certificate"),
                                          (ssl.CERT_REQUIRED, "lets in nobody without a certificate")])
def test_one_worker_of_the_other_name_takes_the_session(found, of_name, verify, what):
    first, *others = contexts = [of_name(A), *(of_name(B, verify=verify) for _ in range(4))]
    keys = os.urandom(80)  # OpenSSL's own, which let anybody past a demand
    for ctx in (first, others[-1]):
        assert libssl.SSL_CTX_ctrl(libssl.pointer(ctx), libssl.SSL_CTRL_SET_TLSEXT_TICKET_KEYS, 80, keys)
    workers = itertools.cycle(others)
    with served_by(lambda _, name: first if name == A else next(workers)) as port:
        said = found(port, *BOTH)
    assert "fault" in told(said, f"made for {A} is resumed for {B}, which {what}"), contexts


def test_clients_that_come_back_are_locked_out(found, of_name):
    """As by OpenSSL where a server verifies clients and has no session id context."""
    ctx = of_name(A)
    ctx.sni_callback = lambda connection, *_: (
        ssl.ALERT_DESCRIPTION_INTERNAL_ERROR if connection.session_reused else None)
    with tls_server(ctx) as port:
        said = found(port, "--name", A, "--connections", "4")
    assert told(said, "3 of 3 returning connections were refused: alert internal_error") == {"fault"}


@pytest.mark.parametrize("names", [(A, B), (B, A)])
def test_a_name_without_a_version_hides_it_for_no_other(found, of_name, names):
    old = of_name(A)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    hosts = HostMap({A: old, B: of_name(B)})
    listener = of_name(A)
    hosts.install(listener)
    with tls_server(listener) as port:
        said = found(port, *(word for name in names for word in ("--name", name)))
    assert [each["name"] for each in said["findings"] if "not offered (" in each["seen"]] == [A]
    assert {each["where"] for each in said["findings"] if each["check"] == "resumption"} >= {"TLS 1.3"}


def serve_tickets_late(plain, ctx):
    """Until it answers, a server keeps them to itself."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ctx.wrap_bio(incoming, outgoing, server_side=True)
    with contextlib.suppress(OSError), plain:
        plain.settimeout(TIMEOUT)
        for _ in range(2):
            incoming.write(plain.recv(1 << 16))
            try:
                server.do_handshake()
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
        while True:
            try:
                if not server.read(1 << 16):
                    return
            except ssl.SSLWantReadError:
                data = plain.recv(1 << 16)
                if not data:
                    return
                incoming.write(data)
                continue
            server.write(b"HTTP/1.1 200 OK\r\n\r\n")
            plain.sendall(outgoing.read())


def test_tickets_that_come_with_an_answer(found, server_ctx):
    server_ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    with accepting(lambda plain: threading.Thread(target=serve_tickets_late, args=(plain, server_ctx)).start()
                   ) as (host, port):
        silent_client = found(port, "--name", A)
        asking = found(port, "--name", A, "--request")
    (note,) = [each for each in silent_client["findings"] if "none is offered" in each["seen"]]
    assert "--request" in note["do"]
    assert told(asking, "9 of 9 returning connections were resumed") == {"ok"}
