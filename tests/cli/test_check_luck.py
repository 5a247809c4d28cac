"""`check` of workers that share nothing: few misses prove nothing, and it says how likely they are luck."""

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
from pysidctx.cli import audit, verdicts
from pysidctx.cli.audit import SURE, Returning, Way, luck, tries

TICKET, ID, TLS13 = Way("TLS 1.2", True), Way("TLS 1.2", False), Way("TLS 1.3", True)
BOTH = "--name", A, "--name", B


@pytest.mark.parametrize("resumed, answered, misses, expected", [
    (1, 2, 1, 0.5), (5, 10, 1, 0.5),  # by symmetry
    (0, 9, 1, 10 / 11),               # the rule of succession
    (9, 9, 2, 0.5 ** 11), (3, 9, 0, 1),
])
def test_how_likely_misses_are(resumed, answered, misses, expected):
    assert luck(resumed, answered, misses) == pytest.approx(expected)


def test_likelihood_by_trial(rng):
    """Workers of which a share resumes that nobody knows: of those that show these counts, so many miss on."""
    resumed, answered, misses, alike, missed = 3, 9, 4, 0, 0
    for _ in range(60000):
        share = rng.random()
        if sum(rng.random() < share for _ in range(answered)) == resumed:
            alike += 1
            missed += all(rng.random() >= share for _ in range(misses))
    expected = luck(resumed, answered, misses)
    assert abs(missed / alike - expected) < 5 * math.sqrt(expected / alike)


@pytest.mark.parametrize("resumed, answered, expected", [(9, 9, 2), (1, 1, 9), (4, 4, 6), (0, 9, 4)])
def test_how_often_a_session_is_offered(resumed, answered, expected):
    assert tries(resumed, answered) == expected


@pytest.mark.parametrize("resumed", range(1, 10))
def test_so_often_that_it_is_no_luck(resumed):
    assert luck(resumed, 9, tries(resumed, 9)) < SURE


def crossing(**fields):
    return audit.Crossing(A, B, 0, None, False, b"certificate", True, "")._replace(**fields)


@pytest.mark.parametrize("resumed, answered, missed, said", [
    (9, 9, 2, None), (1, 1, 2, "12%"), (2, 9, 12, "7.8%"), (5, 9, 12, "0.28%"), (5, 9, 20, None)])
def test_what_may_be_luck_is_a_note(resumed, answered, missed, said):
    made = verdicts.carried(TICKET, crossing(resumed=resumed, answered=answered, tries=missed), None, set())
    assert made.grade == ("note" if said else "ok")
    assert said is None or f"may be luck: {missed} tries miss with a probability of {said}" in made.seen
    moved = verdicts.moved(TICKET, crossing(resumed=resumed, answered=answered, tries=missed), False)
    assert ("luck" in moved.seen) == (said is not None)


def evidence(**returning):
    found = {way: {A: counts} for way, counts in zip((TICKET, ID, TLS13), returning.values())}
    return audit.Evidence({}, found, {}, {}, {}, {}, "", 1, 1.0)


@pytest.mark.parametrize("by_ticket, by_id, grade", [
    (Returning(9, 9), Returning(9, 0), "ok"), (Returning(9, 9), Returning(9, 3), "ok"),
    (Returning(9, 8), Returning(9, 0), "note"), (None, Returning(9, 0), "note"),
    (Returning(9, 0), Returning(9, 0), "note"),
])
def test_session_ids_where_tickets_work(by_ticket, by_id, grade):
    (finding,) = verdicts.resumption(ID, evidence(ticket=by_ticket, id=by_id))
    assert finding.grade == grade and f"{by_id.resumed} of 9" in finding.seen
    assert "take no tickets" in finding.seen if grade == "ok" else "takes no tickets" in finding.why or by_id.resumed


def test_session_ids_that_cross_nowhere_as_far_as_was_tried():
    """What tickets tell for sure is said of them, too: one SSL_CTX has the id context of both."""
    apart, crossed = crossing(resumed=9, answered=9, tries=2), crossing(seen=object())
    unsure = crossing(resumed=2, answered=9, tries=12)
    hosts = {"TLS 1.2": [audit.Host(B, audit.Seen(True, True, "", False, b"b", False, [], None, ""), None)]}
    for by_ticket, by_id, grade in (
        (apart, unsure, "ok"), (apart, unsure._replace(at_home=False, resumed=0), "ok"), (unsure, unsure, "note"),
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
    """Each takes its own sessions under any name, whether or not that is seen."""
    seen = set()
    for _ in range(5):
        contexts = [make_server_ctx() for _ in range(4)]
        with workers(lambda hello: rng.choice(contexts)) as port:
            for each in findings(port, *BOTH, "--connections", "6"):
                if each["check"] == "names":
                    assert "has the same certificate" in each["seen"] or each["grade"] == "note", each
                    seen.add(re.sub(r"\d+ tries .*", "", each["seen"]))
    assert len(seen) >= 2


def test_a_good_server_gets_no_bad_notes(findings, make_server_ctx):
    """With ticket keys that its workers share, and no cache that they do."""
    keys, contexts = TicketKeys(), []
    for _ in range(40):
        contexts.append(make_server_ctx())
        keys.install(contexts[-1])
    turn = iter(contexts * 5)
    with workers(lambda hello: next(turn)) as port:
        found = findings(port, "--name", A)
    graded = {each["where"]: (each["grade"], each["seen"]) for each in found if each["check"] == "resumption"}
    all_of_them = "9 of 9 returning connections were resumed"
    few = "only clients that take no tickets are concerned, which are few"
    assert graded["TLS 1.2, ticket"] == graded["TLS 1.3"] == ("ok", all_of_them)
    assert graded["TLS 1.2, session id"] == ("ok", f"0 of 9 returning connections were resumed; {few}")


@pytest.mark.parametrize("shown, likely", [
    ({}, 1), ({b"a": 1}, 1), ({b"a": 7}, 0), ({b"a": 2, b"b": 3}, 0), ({b"a": 6, b"b": 1, b"c": 1}, 0.25)])
def test_how_likely_another_certificate_is(shown, likely):
    assert audit.unseen(Counter(shown)) == likely
    made = audit.Crossing(A, B, 1, object(), False, b"certificate", True, "", looked=True)
    host = audit.Host(B, audit.Seen(True, True, "", False, b"a", False, [], None, ""), None)
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
            assert {each["grade"] for each in findings(port, *BOTH) if each["check"] == "names"} <= {"ok", "note"}


def test_a_name_that_resumes_nothing_of_its_own(findings, of_two):
    """What is offered to it and is not resumed is judged by where that is resumed."""
    with of_two as port:
        found = findings(port, *BOTH)
    made = {each["where"]: (each["grade"], each["tried"]) for each in found
            if each["check"] == "names" and each["made_for"] == A and each["way"] == "ticket"}
    assert made == {"TLS 1.2, ticket": ("ok", 12), "TLS 1.3": ("ok", 12)}
