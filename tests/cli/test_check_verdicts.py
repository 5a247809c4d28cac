"""`check`: which findings are faults, where sessions cross or clients are refused, and what hides none."""

import contextlib
import itertools
import os
import ssl
import threading
import time
from collections import Counter

import libssl
import pytest
import trustme
from peers import A, B
from servers import TIMEOUT, accepting
from tls_servers import BOTH, hosted, serve_with, served_by, tls_server, told

from pysidctx import HostMap, TicketKeys
from pysidctx.cli.check import audit, connection, verdicts
from pysidctx.cli.check.audit import Way


def test_a_demand_that_is_not_made_is_a_fault(run, server):
    code, out, _ = run(f"127.0.0.1:{server}", "--demands", A, "--json")
    assert code == 1
    assert "a.test accepts a client without a certificate" in out


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
    host = audit.AuditedHost(B, other, with_certificate)
    made = verdicts.judge(Way(version, True), crossing, host, shown)
    assert made.grade == (grade[version] if isinstance(grade, dict) else grade)


def test_a_certificate_that_was_not_looked_for_is_no_fault():
    crossing = audit.Crossing(A, B, 1, seen(resumed=True), False, b"certificate", True, "")
    made = verdicts.judge(Way("TLS 1.2", True), crossing, audit.AuditedHost(B, seen(), None),
                          Counter({b"another": 2}))
    assert made.grade == "note" and "is not known" in made.seen


@pytest.mark.parametrize("lifetime, fresh, grade", [
    (7200, True, "ok"), (7200, None, "ok"), (7200, False, "note"), (604801, True, "note"), (0, True, "note")])
def test_what_tickets_mean(lifetime, fresh, grade):
    finding = verdicts.described(Way("TLS 1.3", True), audit.Returning(
        9, 9, tickets=(connection.Ticket(lifetime, b"x" * 200),), fresh=fresh))
    assert finding.grade == grade
    assert f"tickets of 200 bytes, valid for {lifetime} s" in finding.seen


@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("length, stored", [(16, True), (32, True), (33, False), (200, False)])
def test_tickets_that_are_too_short_for_a_session(version, length, stored):
    finding = verdicts.described(Way(version, True), audit.Returning(
        9, 9, tickets=(connection.Ticket(7200, b"x" * length),), fresh=True))
    assert ("name sessions that the server stores" in finding.seen) == stored


def test_a_session_that_gets_past_a_demand(found, make_server_ctx):
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED))) as port:
        said = found(port, *BOTH)
    assert said["faults"]
    assert told(said, f"made for {A} is resumed for {B}, which rejects clients without") == {"fault"}


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


def test_a_name_that_makes_no_session_is_told(found, make_server_ctx, tmp_path, client_certificate):
    pem = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    said = "made no session that could be offered"
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED))) as port:
        (finding,) = [each for each in found(port, *BOTH)["findings"] if said in each["seen"]]
        assert (finding["check"], finding["grade"], finding["name"]) == ("names", "note", B)
        assert "--client-cert" in finding["do"]
        assert not told(found(port, *BOTH, "--client-cert", pem), said)


def test_a_name_that_is_refused_hides_nothing(found, make_server_ctx):
    with tls_server(hosted(make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED), "reject")) as port:
        said = found(port, "--name", "typo.test", *BOTH)
        nobody = found(port, "--name", "typo.test")
        nameless = found(port)
    assert told(said, "typo.test is refused: alert unrecognized_name") == {"note"}
    assert said["faults"]
    assert "completes no TLS handshake" in nobody["error"] and "Does the server serve" in nobody["error"]
    assert "Pass a name that the server serves with --name" in nameless["error"]


@contextlib.contextmanager
def dropping(ctx, dropped):
    """A server that closes the connections with certain numbers without sending anything."""
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
    """No version is reported as missing, either."""
    with dropping(server_ctx, lambda each: each == number) as port:
        said = found(port, *BOTH)
    assert not told(said, "not offered (")
    assert not said["faults"]


def test_what_could_not_be_tried_is_not_called_right(found, server_ctx):
    """The server stops after the first sessions."""
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
    """The audit waits for tickets after the handshake, and none comes."""
    server_ctx.num_tickets = 0
    server_ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    with accepting(lambda plain: silent(server_ctx, plain)) as (host, port):
        said = found(port, "--name", A)
    assert told(said, "no session can be resumed: none is offered") == {"note"}
    assert told(said, "not offered (") == {"info"}  # TLS 1.2


def silent(ctx, plain):
    def serve():
        with contextlib.suppress(OSError), plain, ctx.wrap_socket(plain, server_side=True) as made:
            made.recv(10)
    threading.Thread(target=serve).start()


def test_a_server_without_tickets(found, make_server_ctx):
    with tls_server(make_server_ctx(tickets=False)) as port:
        said = found(port, "--name", A)
    found = {each["where"]: (each["grade"], each["seen"]) for each in said["findings"] if each["check"] == "resumption"}
    assert found["TLS 1.2, ticket"] == ("info", "not offered")
    assert found["TLS 1.2, session id"] == ("ok", "9 of 9 returning connections were resumed")


@libssl.INFO
def pause_after_the_last_message(connection, where, value):
    """OpenSSL has yet to store the session."""
    if libssl.SSL_state_string(connection) == b"TWFIN":
        time.sleep(0.02)


def test_a_server_that_is_slow_to_store_its_sessions(found, make_server_ctx):
    ctx = make_server_ctx(tickets=False)
    libssl.SSL_CTX_set_info_callback(libssl.pointer(ctx), pause_after_the_last_message)
    with tls_server(ctx) as port:
        said = found(port, "--name", A)
    counts = {each["where"]: each["seen"] for each in said["findings"] if each["check"] == "resumption"}
    assert counts["TLS 1.2, session id"] == "9 of 9 returning connections were resumed"


def test_tickets_that_are_never_taken_are_not_ok(found, make_server_ctx):
    with served_by(lambda *_: make_server_ctx()) as port:  # each connection has keys of its own
        said = found(port, "--name", A)
    assert told(said, "0 of 9 returning connections were resumed") == {"note"}
    assert told(said, "tickets of ") == {"info"}


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
    assert not told(said, "rejects clients without")


def test_machines_with_several_certificates_for_both_names(found, of_name):
    keys = TicketKeys()
    machines = [of_name(A, B, keys=keys) for _ in range(3)]
    with served_by(lambda number, name: machines[number % 3]) as port:
        said = found(port, *BOTH)
    assert not said["faults"]
    assert told(said, "which has the same certificate")


@pytest.mark.parametrize("verify, what", [(ssl.CERT_NONE, "has another certificate"),
                                          (ssl.CERT_REQUIRED, "rejects clients without a certificate")])
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
    """A server that sends its tickets only after its answer."""
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
