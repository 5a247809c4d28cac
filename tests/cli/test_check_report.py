"""The reports of `check`: JSON that holds to its schema, one line that says it all, text in any width, exit codes."""

import io
import json
import re
import signal
import socket
import ssl
import subprocess
import time

import doctors
import pytest
from audited import (
    COMMAND,
    SEEN,
    SESSION_ID,
    TICKET,
    TLS13,
    crossing,
    on_a_terminal,
    plain_ssl,
    ran,
    ran_here,
    report,
    resumption,
    serving,
)
from peers import A, B
from rich.console import Console
from servers import accepting

from pysidctx import TicketKeys
from pysidctx.cli.check.audit import AuditedHost, Way
from pysidctx.cli.check.least_share import held_to
from pysidctx.cli.check.report import statements
from pysidctx.cli.check.report_text import show
from pysidctx.cli.check.summary import summary
from pysidctx.cli.check.verdicts import Finding

pytestmark = pytest.mark.one_python

BOTH = "--name", A, "--name", B
REFUSED = SEEN._replace(admitted=False, asked=True, refusal="alert certificate_required")


@pytest.fixture(scope="module")
def validator():
    return doctors.validator("check-report.schema.json")


@pytest.fixture
def client_pem(client_certificate, tmp_path):
    client_certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    return tmp_path / "client.pem"


@pytest.fixture
def ca_pem(ca, tmp_path):
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture(scope="module")
def servers_contexts():
    """How many workers, and with what in common."""
    def made(make_server_ctx, kind):
        if kind == "plain ssl":
            return [plain_ssl(make_server_ctx)]
        contexts = [make_server_ctx() for _ in range(4 if "workers" in kind else 1)]
        for ctx in contexts:
            if kind == "workers with the same keys":
                ctx.set_ciphers("DEFAULT")
            if kind == "TLS 1.2 alone":
                ctx.maximum_version = ssl.TLSVersion.TLSv1_2
            if kind == "no tickets":
                ctx.num_tickets, ctx.options = 0, ctx.options | ssl.OP_NO_TICKET
        if kind == "workers with the same keys":
            keys = TicketKeys()
            for ctx in contexts:
                keys.install(ctx)
        return contexts
    return made


@pytest.mark.parametrize("kind, arguments, code", [
    ("one", (), 0), ("one", ("--name", A, "--address", "127.0.0.2"), 0), ("plain ssl", (*BOTH, "--demands", B), 1),
    ("workers with the same keys", BOTH, 0), ("workers", BOTH, 0), ("TLS 1.2 alone", BOTH, 0),
    ("no tickets", BOTH, 0), ("one", ("--most-connections", "7"), 3), ("one", ("--most-connections", "1"), 3),
    ("workers", (*BOTH, "--least-share", "0.9"), 1), ("one", ("--name", A, "--fail-on", "note"), 1),
])
def test_json_holds_to_its_schema(run, validator, make_server_ctx, servers_contexts, kind, arguments, code):
    with serving(*servers_contexts(make_server_ctx, kind)) as port:
        returned, out, err = run(f"127.0.0.1:{port}", *arguments, "--json")
    assert (returned, err) == (code, "")
    said = json.loads(out)
    validator.validate(said)
    for grade in ("fault", "note"):
        assert said[f"{grade}s"] == sum(each["grade"] == grade for each in said["findings"])
    for each in said["findings"]:
        counted = re.match(r"(\d+) of (\d+) returning connections were resumed", each["seen"])
        if counted:
            assert [each["resumed"], each["tried"]] == [int(number) for number in counted.groups()]
            assert each["name"] in said["names"]
        if each["check"] == "ticket":
            assert f"tickets of {each['bytes']} bytes, valid for {each['seconds']} s" in each["seen"]


def test_a_schema_that_nothing_can_break_is_none(found, validator, make_server_ctx):
    with serving(make_server_ctx()) as port:
        said = found(port, *BOTH)
    for field in said:
        assert not validator.is_valid({name: value for name, value in said.items() if name != field})
    for finding in said["findings"]:
        assert validator.is_valid({**said, "findings": [finding]})
        for field in finding:
            without = {name: value for name, value in finding.items() if name != field}
            for broken in (without, {**finding, field: ["unknown"]}):
                assert not validator.is_valid({**said, "findings": [broken]})


def test_an_audit_that_fails_is_valid_json(validator, tmp_path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        done = ran(bound.getsockname()[1], "--json")
    assert (done.returncode, done.stderr) == (2, "")
    validator.validate(json.loads(done.stdout))
    assert "cannot be reached" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("number, code, said", [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by signal 15"),
    (signal.SIGHUP, 129, "ended by signal 1")])
def test_an_audit_that_is_stopped_is_valid_json(validator, number, code, said):
    accepted = []
    with accepting(accepted.append) as (_, port):
        process = subprocess.Popen(  # whatever this process ignores
            [*COMMAND, f"127.0.0.1:{port}", "--json", "--timeout", "60"], stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)])
        deadline = time.monotonic() + 60
        while not accepted and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        for plain in accepted:
            plain.close()
    assert process.returncode == code
    validator.validate(json.loads(out))
    assert json.loads(out)["error"] == said


def test_a_share_that_is_too_small_is_a_fault(found, make_server_ctx):
    """The fault gives the name and the version. Without the option there is none."""
    with serving(make_server_ctx(), make_server_ctx()) as port:
        strict, lenient, without = (found(port, "--name", A, *arguments) for arguments in (
            ("--least-share", "0.9"), ("--least-share", "0.01"), ()))
    assert without["faults"] == 0
    faults = [each for each in strict["findings"] if each["grade"] == "fault"]
    assert {each["where"] for each in faults} == {"TLS 1.2, ticket", "TLS 1.3"}
    for each in faults:
        assert (each["name"], each["check"]) == (A, "resumption")
        assert each["resumed"] / each["tried"] < 0.9 and "less than a share of 0.9" in each["seen"]
    assert all(each["grade"] != "fault" or each["resumed"] == 0 for each in lenient["findings"])


def test_a_share_that_is_not_known_is_a_fault(make_server_ctx, client_pem, ca_pem):
    with serving(make_server_ctx(verify=ssl.CERT_REQUIRED)) as port:
        unknown = ran_here(port, "--name", A, "--least-share", "0.9")
        known = ran_here(port, "--name", A, "--least-share", "0.9", "--client-cert", client_pem, "--ca-file", ca_pem)
    assert (unknown.returncode, known.returncode) == (1, 0)
    assert "fault  TLS 1.2; TLS 1.3: no session could be had; asked for is a share of 0.9" in unknown.stdout
    assert "--client-cert" in unknown.stdout


@pytest.mark.parametrize("findings, faults", [
    ([resumption(TICKET, A, 9), resumption(SESSION_ID, A, 0), resumption(TLS13, A, 9)], set()),
    ([resumption(TICKET, A, 9), resumption(SESSION_ID, A, 9), resumption(TLS13, A, 8)], {TLS13}),
    ([resumption(TICKET, A, 8, grade="ok"), resumption(TLS13, A, 9)], {TICKET}),
    ([Finding("resumption", TICKET, "info", "not offered", name=A), resumption(SESSION_ID, A, 9),
      resumption(TLS13, A, 9)], set()),
    ([Finding("resumption", TICKET, "info", "not offered", name=A), resumption(SESSION_ID, A, 2),
      resumption(TLS13, A, 9)], {SESSION_ID}),
    ([resumption(TICKET, A, 9), Finding("resumption", Way("TLS 1.3"), "note", "none is offered", "w", "d", name=A)],
     {Way("TLS 1.3")}),
    ([resumption(TICKET, A, 9), resumption(TLS13, A, 0, tried=0, grade="note", seen="could not be tried")], {TLS13}),
    ([resumption(TICKET, A, 9)], {Way("TLS 1.3")}),
])
def test_which_share_counts(findings, faults):
    """Clients use tickets where they are offered, so the share of tickets counts."""
    evidence = report(names=(A,)).evidence
    made = held_to(0.9, findings, evidence)
    assert {each.where for each in made if each.grade == "fault"} == faults
    assert all(each.why and each.do for each in made if each.grade == "fault")


def test_a_share_of_what_was_not_looked_at_is_no_fault():
    assert held_to(0.9, [resumption(TICKET, A, 9)], report(names=(A,), unfinished="7 connections").evidence) == [
        resumption(TICKET, A, 9)]


@pytest.mark.parametrize("text", ["0", "1.1", "-1", "nan", "x"])
def test_shares_that_cannot_be(text):
    done = ran_here(9, "--least-share", text)
    assert done.returncode == 2 and "--least-share" in done.stderr


@pytest.mark.parametrize("arguments, code", [
    ((), 0), (("--fail-on", "fault"), 0), (("--fail-on", "note"), 0),
    (("--fail-on", "note", "--most-connections", "7"), 3)])
def test_notes_about_the_audit_alone_fail_nobody(make_server_ctx, ca_pem, arguments, code):
    """With one name there is nothing to compare; an audit that ended early has its own exit code."""
    with serving(make_server_ctx()) as port:
        done = ran_here(port, "--name", A, "--ca-file", ca_pem, *arguments)
        distrusted = ran_here(port, "--name", A, *arguments)
    assert done.returncode == code
    assert "only one name is known" in done.stdout or code == 3
    assert distrusted.returncode == (1 if "note" in arguments else 0)


ALL = [resumption(TICKET, A, 9), resumption(TICKET, B, 9), resumption(TLS13, A, 9), resumption(TLS13, B, 9)]
APART = [crossing(way, made, offered) for way in (TICKET, TLS13) for made, offered in ((A, B), (B, A))]
DEMANDING = {version: [AuditedHost(name, REFUSED, SEEN) for name in (A, B)] for version in ("TLS 1.2", "TLS 1.3")}


@pytest.mark.parametrize("made, expected", [
    (report(*ALL, *APART, hosts=DEMANDING),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 names; client certificates demanded"),
    (report(*ALL, resumption(SESSION_ID, A, 0), resumption(SESSION_ID, B, 0), *APART,
            crossing(SESSION_ID, A, B, grade="note"), crossing(SESSION_ID, B, A, grade="note")),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 names"),
    (report(*ALL, resumption(SESSION_ID, A, 0), resumption(SESSION_ID, B, 0), *APART, crossing(SESSION_ID, A, B, 1)),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); crosses 1 of 2 pairs of names; never crosses 1 of 2 pairs of names"),
    (report(resumption(SESSION_ID, A, 0), names=(A,)),
     "resumes 0 of 9 (TLS 1.2 session ids); one name, so no crossing was looked for"),
    (report(resumption(TICKET, A, 1), resumption(TICKET, B, 4), resumption(TLS13, A, 9), resumption(TLS13, B, 9),
            resumption(SESSION_ID, A, 9), resumption(SESSION_ID, B, 9), *APART),
     "resumes 1 to 4 of 9 (TLS 1.2 tickets), 9 of 9 (TLS 1.2 session ids, TLS 1.3); never crosses 2 names"),
    (report(resumption(TICKET, A, 9), resumption(TLS13, A, 9), *(each for each in APART if each.made_for == A)),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3) on a.test; never crosses 1 of 2 pairs of names; crossing is not known "
     "for 1 of 2 pairs of names"),
    (report(*ALL, *APART[:-1], crossing(TLS13, B, A, 1)),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); crosses 1 of 2 pairs of names; never crosses 1 of 2 pairs of names"),
    (report(*ALL, *APART[:-1], crossing(TLS13, B, A, grade="note")),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 1 of 2 pairs of names; crossing is not known for 1 of 2 "
     "pairs of names"),
    (report(*ALL, *APART, unfinished="7 connections"),
     "ended early, after 7 connections: resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 of 2 pairs of "
     "names"),
    (report(unfinished="1 connections", hosts={}),
     "ended early, after 1 connections: no resumption was tried"),
    (report(resumption(TICKET, None, 9), names=()),
     "resumes 9 of 9 (TLS 1.2 tickets); no name, so no crossing was looked for"),
    (report(Finding("resumption", Way("TLS 1.3"), "note", "no session can be resumed: none is offered", "w", "d",
                    name=A), names=(A,)),
     "no session can be resumed: none is offered (TLS 1.3); one name, so no crossing was looked for"),
    (report(resumption(TICKET, A, 9), Finding("handshake", TLS13, "note", "a.test is refused: no", "w", "d", name=A),
            names=(A,)),
     "resumes 9 of 9 (TLS 1.2 tickets); one name, so no crossing was looked for; a.test is refused: no"),
    (report(*ALL, *APART, Finding("certificate", None, "note", "not trusted", "w", "d", name=A), verified=(A, B)),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 names; certificate not trusted for a.test"),
    (report(*ALL, *APART, hosts={"TLS 1.2": [AuditedHost(A, REFUSED, None), AuditedHost(B, SEEN, None)],
                                 "TLS 1.3": [AuditedHost(A, SEEN._replace(asked=True), None),
                                             AuditedHost(B, SEEN, None)]}),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 names; client certificates demanded by a.test in "
     "TLS 1.2; client certificates asked for by a.test in TLS 1.3"),
    (report(*ALL, crossing(TICKET, A, B, 1, "fault"), resumption(SESSION_ID, A, 0, grade="fault", seen="locked out"),
            crossing(TLS13, A, B, 1, "fault", check="client-certificate")._replace(seen="a session made for a.test")),
     "fault: a session made for a.test (TLS 1.3); and 2 more faults"),
    (report(*ALL, crossing(TICKET, A, B, 1, "fault"), crossing(TLS13, A, B, 1, "fault"), unfinished="9 connections"),
     "ended early, after 9 connections: fault: a session made for a.test is resumed for b.test (TLS 1.2, ticket; "
     "TLS 1.3)"),
])
def test_one_line_says_it_all(made, expected):
    assert summary(made) == expected


@pytest.mark.parametrize("kind, arguments, expected", [
    ("one", BOTH, "resumes 9 of 9 (TLS 1.2 tickets and session ids, TLS 1.3); crosses 2 of 2 pairs of names"),
    ("TLS 1.2 alone", ("--name", A), "resumes 9 of 9 (TLS 1.2 tickets and session ids); one name, so no crossing was "
                                     "looked for"),
    ("workers with the same keys", ("--name", A),
     "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); one name, so no crossing was looked for"),
    ("plain ssl", (*BOTH, "--demands", B), "fault: b.test accepts a client without a certificate, in a full handshake "
                                           "(TLS 1.2; TLS 1.3)"),
    ("one", ("--name", A, "--most-connections", "7"), "ended early, after 7 connections: "),
])
def test_the_last_line_of_real_audits(make_server_ctx, servers_contexts, ca_pem, kind, arguments, expected):
    with serving(*servers_contexts(make_server_ctx, kind)) as port:
        done = ran_here(port, *arguments, "--ca-file", ca_pem)
    last = done.stdout.splitlines()[-1]
    assert last.startswith(expected) if "early" in expected else last == expected


def test_what_is_the_same_is_told_once():
    made = report(*ALL, *APART, resumption(SESSION_ID, A, 0), resumption(SESSION_ID, B, 1), names=(A, B))
    assert [(each.where, each.seen) for each in statements(made)] == [
        ("TLS 1.2, ticket; TLS 1.3", "9 of 9 returning connections were resumed"),
        ("TLS 1.2, ticket; TLS 1.3", f"not resumed under another name: {A} > {B}, {B} > {A}"),
        ("TLS 1.2, session id", f"{A}: 0 of 9 returning connections were resumed"),
        ("TLS 1.2, session id", f"{B}: 1 of 9 returning connections were resumed")]


@pytest.mark.parametrize("name", ["a", "returning", "session"])
def test_names_that_are_words(name):
    (said,) = statements(report(resumption(TLS13, name, 3), names=(name, B)))
    assert said.seen == f"{name}: 3 of 9 returning connections were resumed"
    (said,) = statements(report(crossing(TLS13, name, B), crossing(TLS13, name, B), names=(name, B)))
    assert said.seen == f"not resumed under another name: {name} > {B}"


def plain(said):
    """The lines that a terminal shows at the end."""
    said = said.rpartition("\x1b[2K")[2]
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said).replace("\r", "").rstrip("\n").split("\n")


@pytest.mark.parametrize("columns", [40, 41, 60, 80, 132])
def test_words_wrap_between_words_with_a_hanging_indent(make_server_ctx, columns):
    with serving(plain_ssl(make_server_ctx)) as port:
        arguments = *BOTH, "--demands", B
        code, said = on_a_terminal(port, *arguments, columns=columns)
        wide = ran_here(port, *arguments).stdout
    lines = plain(said)
    assert code == 1
    assert max(map(len, lines)) <= columns
    assert all(line == line.rstrip() for line in lines)
    body = lines[1:next(number for number, line in enumerate(lines) if line.startswith("faults: "))]
    for line in body:
        assert re.match(r"(ok     |note   |fault  |       (why: |do: |    |     )?)\S", line)
    # The same words, none of them broken.
    assert set(" ".join(body).split()) == set(" ".join(wide.splitlines()[1:-2]).split())


def test_a_whole_audit_of_one_name_fits_on_a_terminal(make_server_ctx, client_pem, ca_pem):
    with serving(make_server_ctx(verify=ssl.CERT_REQUIRED)) as port:
        code, said = on_a_terminal(port, "--name", A, "--client-cert", client_pem, "--ca-file", ca_pem)
        _, distrusted = on_a_terminal(port, "--name", A, "--client-cert", client_pem)
    lines = plain(said)
    assert code == 0
    assert len(lines) < 24 and len(plain(distrusted)) < 24  # with the next prompt
    assert " ".join(lines[-2:]).endswith(
        "resumes 9 of 9 (TLS 1.2 tickets and session ids, TLS 1.3); one name, so no crossing was looked for; client "
        "certificates demanded")


def test_control_characters_of_a_server_do_not_reach_the_terminal():
    written = io.StringIO()
    made = report(resumption(TICKET, A, 0, grade="fault", seen="[bold]x[/bold] \x1b]0;title\x07\u009b31m\u202e"))
    show(Console(file=written), made)
    assert written.getvalue().count(r"[bold]x[/bold] \x1b]0;title\x07\x9b31m\u202e") == 2  # also in the last line
    assert set(filter(lambda each: not each.isprintable(), written.getvalue())) == {"\n"}
