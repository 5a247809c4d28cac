"""`check` of workers that share nothing: a few misses prove nothing, and the report says how likely chance is."""

import contextlib
import json
import math
import re
import socket
import ssl
import threading
from collections import Counter

import pytest
import trustme
from peers import A, B
from servers import TIMEOUT, accepting

from pysidctx import TicketKeys
from pysidctx.__main__ import main
from pysidctx.cli.check import audit, verdicts
from pysidctx.cli.check.audit import SURE, TRIES, Returning, Way, luck, tries

TICKET, ID, TLS13 = Way("TLS 1.2", True), Way("TLS 1.2", False), Way("TLS 1.3", True)
BOTH = "--name", A, "--name", B


LOADS = [(0.7, 0.1, 0.1, 0.1), (0.6, 0.2, 0.1, 0.1), (0.64, *[0.0072] * 50), (0.5, 0.5), (0.82, 0.18), (0.25,) * 4]


@pytest.mark.parametrize("loads", LOADS)
def test_luck_is_rarely_called_right(loads):
    """Workers that share nothing, and take any name's sessions: how often the counts at home ask for no more tries."""
    met = sum(load**2 for load in loads)
    wrong = 0.0
    for resumed in range(1, 10):
        misses = tries(resumed, 9, TRIES)
        if luck(resumed, 9, misses) < SURE:
            wrong += (1 - met)**misses * math.comb(9, resumed) * sum(
                load * load**resumed * (1 - load)**(9 - resumed) for load in loads)
    assert wrong <= SURE


@pytest.mark.parametrize("loads", LOADS[:2])
def test_audits_of_uneven_workers(monkeypatch, rng, loads):
    def visit(target, name, client, session=None):
        worker = rng.choices(range(len(loads)), loads)[0]
        resumed, ticket = session == worker, audit.Ticket(7200, rng.randbytes(8))
        return audit.Seen(True, True, "", resumed, None if resumed else name.encode(), False, [ticket], worker, "")

    monkeypatch.setattr(audit, "visit", visit)
    options, audits, wrong, most = audit.Options((A, B)), 100, 0, 0
    for _ in range(audits):
        made = audit.Audit(audit.Target("shop.test", 443, "127.0.0.1"), options).run()
        most = max(most, made.connections)
        wrong += any(each.check == "names" and each.grade == "ok" and not each.resumed
                     for each in verdicts.findings(made, options))
    assert wrong <= 3  # of 6 directions and ways each: 0.6 would be as claimed
    assert most <= 300


@pytest.mark.parametrize("resumed, expected", [(9, 6), (5, 12), (0, 4)])
def test_how_often_sessions_are_offered(resumed, expected):
    assert tries(resumed, 9, TRIES) == expected


def crossing(**fields):
    return audit.Crossing(A, B, 0, None, False, b"certificate", True, "")._replace(**fields)


@pytest.mark.parametrize("resumed, answered, missed, said", [
    (9, 9, 6, None), (9, 9, 2, "2.3%"), (1, 1, 2, "22%"), (2, 9, 12, "7.8%"), (5, 9, 12, "1.3%"), (5, 9, 50, None)])
def test_what_may_be_luck_is_a_note(resumed, answered, missed, said):
    made = verdicts.carried(TICKET, crossing(resumed=resumed, answered=answered, tries=missed), None, set())
    assert made.grade == ("note" if said else "ok")
    assert said is None or f"may be luck: {missed} tries miss with a probability of up to {said}" in made.seen
    moved = verdicts.moved(TICKET, crossing(resumed=resumed, answered=answered, tries=missed), False)
    assert ("luck" in moved.seen) == (said is not None)


def evidence(**returning):
    found = {way: {A: counts} for way, counts in zip((TICKET, ID, TLS13), returning.values())}
    return audit.Evidence({}, found, {}, {}, {}, {}, "", 1, 1.0)


@pytest.mark.parametrize("by_ticket, by_id, grade", [
    (Returning(9, 9), Returning(9, 0), "ok"), (Returning(9, 9), Returning(9, 3), "ok"),
    (Returning(9, 8), Returning(9, 0), "note"), (Returning(9, 0), Returning(9, 0), "note"),
    (Returning(9, 9), Returning(9, 9), "ok"), (None, Returning(9, 9), "ok"),
])
def test_session_ids_where_tickets_work(by_ticket, by_id, grade):
    (finding,) = verdicts.resumption(ID, evidence(ticket=by_ticket, id=by_id))
    assert finding.grade == grade and f"{by_id.resumed} of 9" in finding.seen
    assert "without ticket support" in (finding.seen if grade == "ok" else finding.why) or by_id.resumed


@pytest.mark.parametrize("resumed", [0, 3])
def test_session_ids_where_there_are_no_tickets(resumed):
    """All clients are affected."""
    (finding,) = verdicts.resumption(ID, evidence(ticket=None, id=Returning(9, resumed)))
    (moved,) = verdicts.moves(ID, evidence(ticket=None, id=Returning(9, 9))._replace(moves={ID: [crossing(tries=4)]}))
    for each in (finding, moved):
        assert each.grade == "note"
        assert "without ticket support" not in each.why + each.do
        assert "session cache" in each.do and "issue tickets" in each.do


def test_session_ids_that_cross_nowhere_as_far_as_was_tried():
    """What tickets tell for sure is said of them, too: one SSL_CTX has the id context of both."""
    apart, crossed = crossing(resumed=9, answered=9, tries=6), crossing(seen=object())
    unsure = crossing(resumed=2, answered=9, tries=12)
    hosts = {"TLS 1.2": [audit.AuditedHost(B, audit.Seen(True, True, "", False, b"b", False, [], None, ""), None)]}
    for by_ticket, by_id, grade in (
        (apart, unsure, "ok"), (apart, unsure._replace(at_home=False, resumed=0), "ok"), (unsure, unsure, "note"),
        (crossed._replace(at_home=True), unsure._replace(at_home=False, resumed=0), "info"),
        (unsure._replace(at_home=False), unsure._replace(at_home=False), "note"),
        (crossed, unsure, "note"), (apart._replace(problem="none"), unsure, "note"),
        (apart._replace(made="c.test"), unsure, "note"), (apart._replace(certified=True), unsure, "note"),
        (apart, unsure._replace(problem="none"), "note"),
    ):
        made = evidence()._replace(hosts=hosts, crossings={TICKET: [by_ticket], ID: [by_id]})
        assert [each.grade for each in verdicts.names(ID, made)] == [grade]


@pytest.mark.parametrize("by_ticket, grade", [(True, "ok"), (False, "note")])
def test_session_ids_on_another_machine_where_tickets_work(by_ticket, grade):
    taken = crossing(seen=object() if by_ticket else None, tries=2)
    made = evidence()._replace(moves={TICKET: [taken], ID: [crossing(tries=4)]})
    (finding,) = verdicts.moves(ID, made)
    assert finding.grade == grade


@contextlib.contextmanager
def workers(choose):
    """A TLS server whose connections go to contexts that `choose` gives, from their ClientHello."""
    def serve(plain):
        with contextlib.suppress(OSError), plain:
            plain.settimeout(TIMEOUT)
            ctx = choose(plain.recv(1 << 16, socket.MSG_PEEK))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with ctx.wrap_socket(plain, server_side=True) as made:
                made.unwrap()

    with accepting(lambda plain: threading.Thread(target=serve, args=(plain,)).start()) as (host, port):
        yield port


@pytest.fixture
def of_two(make_server_ctx):
    """A server of two names; of the one, each connection has ticket keys of its own."""
    first = make_server_ctx()
    return workers(lambda hello: make_server_ctx() if B.encode() in hello else first)


@pytest.fixture
def findings(capsys):
    def findings(port, *arguments):
        capsys.readouterr()
        main(["check", f"127.0.0.1:{port}", "--json", *arguments])
        return json.loads(capsys.readouterr().out)["findings"]
    return findings


def test_workers_that_share_nothing_are_not_called_right(findings, make_server_ctx, rng):
    """Each worker accepts its own sessions under any name, whether or not the audit sees it."""
    seen = set()
    for _ in range(5):
        contexts = [make_server_ctx() for _ in range(4)]
        with workers(lambda hello: rng.choice(contexts)) as port:
            for each in findings(port, *BOTH, "--connections", "6"):
                if each["check"] == "names":
                    assert "has the same certificate" in each["seen"] or each["grade"] in ("info", "note"), each
                    seen.add(re.sub(r"\d+ tries .*", "", each["seen"]))
    assert len(seen) >= 2


def test_a_good_server_gets_no_bad_notes(findings, make_server_ctx):
    """Its workers share their ticket keys, but no session cache."""
    keys, contexts = TicketKeys(), []
    for _ in range(40):
        contexts.append(make_server_ctx())
        keys.install(contexts[-1])
    turn = iter(contexts * 5)
    with workers(lambda hello: next(turn)) as port:
        found = findings(port, "--name", A)
    graded = {each["where"]: (each["grade"], each["seen"]) for each in found if each["check"] == "resumption"}
    all_of_them = "9 of 9 returning connections were resumed"
    few = "only clients without ticket support are affected, which are few"
    assert graded["TLS 1.2, ticket"] == graded["TLS 1.3"] == ("ok", all_of_them)
    assert graded["TLS 1.2, session id"] == ("ok", f"0 of 9 returning connections were resumed; {few}")


@pytest.mark.parametrize("shown, likely", [
    ({}, 1), ({b"a": 1}, 1), ({b"a": 7}, 0), ({b"a": 2, b"b": 3}, 0), ({b"a": 6, b"b": 1, b"c": 1}, 0.25)])
def test_how_likely_another_certificate_is(shown, likely):
    assert audit.unseen(Counter(shown)) == likely
    made = audit.Crossing(A, B, 1, object(), False, b"certificate", True, "", looked=True)
    host = audit.AuditedHost(B, audit.Seen(True, True, "", False, b"a", False, [], None, ""), None)
    graded = verdicts.judge(TICKET, made, host, Counter(shown))
    assert graded.grade == ("note" if likely else "fault")


def test_many_machines_with_their_own_certificates_are_no_fault(findings, ca, rng):
    """For both names, which share the keys of tickets: a session meets a certificate that was not seen before."""
    keys, machines = TicketKeys(), []
    for _ in range(30):
        machines.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        ca.issue_cert(A, B, key_type=trustme.KeyType.ECDSA).configure_cert(machines[-1])
        keys.install(machines[-1])
    for _ in range(4):
        with workers(lambda hello: rng.choice(machines)) as port:
            grades = {each["grade"] for each in findings(port, *BOTH) if each["check"] == "names"}
            assert grades <= {"ok", "note", "info"}


def test_a_name_that_resumes_nothing_of_its_own(findings, of_two):
    """What is offered to it and is not resumed is judged by where that is resumed."""
    with of_two as port:
        found = findings(port, *BOTH)
    made = {each["where"]: (each["grade"], each["tried"]) for each in found
            if each["check"] == "names" and each["made_for"] == A and each["way"] == "ticket"}
    assert made == {"TLS 1.2, ticket": ("ok", 12), "TLS 1.3": ("ok", 12)}
