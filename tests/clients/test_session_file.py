"""save() and load(): sessions for another process, bound to what their contexts trust."""

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import time
import warnings

import handshakes
import libssl
import pytest
from checked_names import tells_name
from handshakes import VERSIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine import program

import pysidctx
from pysidctx.clients import ClientSessions, everywhere, session_file

V12, V13 = VERSIONS


@pytest.fixture
def saved(tmp_path, server_ctx, make_client_ctx):
    """The path of a file with a session of TLS 1.2 and two tickets of TLS 1.3."""
    sessions = ClientSessions()
    for version, name in ((V12, "a.test"), (V13, "b.test")):
        handshakes.connect(server_ctx, sessions.install(make_client_ctx(version), share=True), name=name)
    path = tmp_path / "sessions.pem"
    sessions.save(path)
    # Moved, so that no two processes offer the same ticket.
    assert sessions.stats()[-2:] == (1, 1)
    return path


@pytest.fixture
def another(sessions, make_client_ctx):
    """A context as another process makes it."""
    return sessions.install(make_client_ctx())


def labels(path):
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.startswith(b"{")]


def test_another_process_resumes(saved, sessions, another, server_ctx, resumed):
    sessions.load(saved)
    assert sessions.stats().sessions == 3
    assert resumed(server_ctx, another, 3, name="b.test") == [True, True, True]
    another.maximum_version = V12
    assert resumed(server_ctx, another, 3) == [True, True, True]
    assert not resumed(server_ctx, another, name="localhost")
    assert sessions.stats().declined == 0


def test_tickets_are_taken_out_of_the_file_and_the_others_stay(saved, sessions, another, server_ctx, resumed):
    before = saved.read_bytes()
    sessions.load(saved)
    assert [label["host"] for label in labels(saved)] == ["a.test"]
    assert before.startswith(saved.read_bytes())
    second = ClientSessions()
    second.install(another)
    second.load(saved)
    assert second.stats().sessions == 1
    sessions.install(another)
    assert list(saved.parent.iterdir()) == [saved]


def test_a_file_of_tickets_alone_is_removed(saved, sessions, another):
    data = saved.read_bytes()
    saved.write_bytes(data[data.index(b'{"host"', 10):])
    sessions.load(saved)
    assert sessions.stats().sessions == 2
    assert list(saved.parent.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        sessions.load(saved)


def test_for_repeated_use_they_stay(saved, make_client_ctx):
    before = saved.read_bytes()
    sessions = ClientSessions(single_use=False)
    ctx = sessions.install(make_client_ctx())
    sessions.load(saved)
    assert saved.read_bytes() == before
    sessions.save(saved)
    assert sessions.stats().sessions == len(labels(saved)) == 3
    sessions.uninstall(ctx)


def test_the_newest_is_still_offered_first(saved, sessions, another, server_ctx):
    server_ctx.num_tickets = 8
    handshakes.connect(server_ctx, another)
    sessions.save(saved)
    sessions.load(saved)
    sessions.save(saved)
    assert [label["host"] for label in labels(saved)] == 8 * ["a.test"]


def test_without_a_context_of_equal_trust_nothing_is_loaded(saved, sessions, make_client_ctx, ca):
    before = saved.read_bytes()
    for ctx in (None, make_client_ctx(certificate=False), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        if ctx is not None:
            sessions.install(ctx)
        with pytest.warns(RuntimeWarning, match="3 sessions were not loaded.*before load"):
            sessions.load(saved)
        assert sessions.stats().sessions == 0
        assert saved.read_bytes() == before


def test_what_does_not_match_stays_in_the_file(saved, sessions, another, make_client_ctx, server_ctx):
    other = ClientSessions()
    ctx = other.install(make_client_ctx(certificate=False))
    handshakes.connect(server_ctx, ctx, name="localhost")
    extra = saved.parent / "other.pem"
    other.save(extra)
    with open(saved, "ab") as both:
        both.write(extra.read_bytes())
    with pytest.warns(RuntimeWarning, match="2 sessions"):
        sessions.load(saved)
    assert [label["host"] for label in labels(saved)] == ["a.test", "localhost", "localhost"]


def test_contexts_that_are_made_later_use_them_everywhere(saved, server_ctx, make_client_ctx, resumed):
    with everywhere() as everything:
        everything.sessions.load(saved)
        assert not resumed(server_ctx, make_client_ctx(certificate=False), name="b.test")
        assert resumed(server_ctx, make_client_ctx(), name="b.test")


@tells_name
def test_demands_are_compared(saved, sessions, make_client_ctx, server_ctx, resumed):
    unchecked = sessions.install(make_client_ctx(check_hostname=False))
    sessions.load(saved)
    assert not resumed(server_ctx, unchecked, name="b.test")


def test_cas_that_cannot_be_listed(tmp_path, sessions, another, server_ctx):
    another.load_verify_locations(capath=tmp_path)
    handshakes.connect(server_ctx, another)
    with pytest.warns(RuntimeWarning, match="2 sessions were not saved.*cafile"):
        sessions.save(tmp_path / "sessions.pem")
    assert sessions.stats().sessions == 2, "they are not lost"
    assert (tmp_path / "sessions.pem").read_bytes() == b""
    sessions.load(tmp_path / "sessions.pem")


def test_expired_sessions_are_left_out(saved, sessions, another):
    text = saved.read_text()
    for label in labels(saved):
        text = text.replace(str(label["until"]), str(libssl.now()))
    saved.write_text(text)
    sessions.load(saved)
    assert sessions.stats().sessions == 0


def test_it_ends_no_later_than_the_session_itself(saved, sessions, another, server_ctx):
    text = saved.read_text()
    for until in {label["until"] for label in labels(saved)}:
        text = text.replace(str(until), str(1 << 63))
    saved.write_text(text)
    sessions.load(saved)
    sessions.save(saved)
    assert {label["until"] < time.time() + 8000 for label in labels(saved)} == {True}


def test_whose_file_it_is(saved, sessions, another, tmp_path):
    assert stat.S_IMODE(os.stat(saved).st_mode) == 0o600
    saved.chmod(0o640)
    with pytest.raises(pysidctx.SessionError, match="chmod 600"):
        sessions.load(saved)
    assert sessions.stats().sessions == 0 and list(tmp_path.iterdir()) == [saved]


def test_a_failure_changes_nothing(saved, sessions, another, tmp_path):
    sessions.load(saved)
    before = sessions.stats()
    with pytest.raises(FileNotFoundError):
        sessions.save(tmp_path / "none" / "sessions.pem")
    assert sessions.stats()[-2:] == before[-2:]
    left = saved.read_bytes()
    saved.write_bytes(left[:-40])
    with pytest.raises(pysidctx.SessionError):
        sessions.load(saved)
    assert sessions.stats()[-2:] == before[-2:]


def test_a_refused_ticket_is_put_back(saved, sessions, another, tmp_path):
    """What is refused when the file is claimed already."""
    broken = saved.read_bytes() + b"{}\n" + saved.read_bytes()
    saved.write_bytes(broken)
    with pytest.raises(pysidctx.SessionError, match="save"):
        sessions.load(saved)
    assert saved.read_bytes() == broken and list(tmp_path.iterdir()) == [saved]


class Interrupting:
    """A label which is interrupted when a third host is read."""

    read = 0

    def __init__(self, label):
        self.label = label

    def __getattr__(self, name):
        if name == "host":
            Interrupting.read += 1
            if Interrupting.read == 3:
                raise KeyboardInterrupt
        return getattr(self.label, name)


def test_an_interrupted_load_offers_no_ticket_twice(saved, sessions, another, make_client_ctx, monkeypatch):
    real = session_file.parts
    monkeypatch.setattr(Interrupting, "read", 0)
    monkeypatch.setattr(session_file, "parts", lambda data: (
        (Interrupting(label), begin, end) for label, begin, end in real(data)))
    with pytest.raises(KeyboardInterrupt):
        sessions.load(saved)
    monkeypatch.undo()
    assert sessions.stats().sessions == 2  # one of them a ticket
    other = ClientSessions()
    context = other.install(make_client_ctx())
    other.load(saved)
    assert other.stats().sessions == 1  # the session of TLS 1.2
    del context


@pytest.mark.parametrize("replaced", [True, False])
def test_an_interrupted_save_leaves_tickets_in_one_place(replaced, tmp_path, server_ctx, make_client_ctx, monkeypatch):
    sessions, real = ClientSessions(), os.replace
    ctx = sessions.install(make_client_ctx(V13))
    handshakes.connect(server_ctx, ctx)

    def replace(*names):
        if replaced:
            real(*names)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        sessions.save(tmp_path / "sessions.pem")
    assert sessions.stats().sessions == (0 if replaced else 2)
    assert os.listdir(tmp_path) == (["sessions.pem"] if replaced else [])


def test_openssl_reads_the_first_block(saved):
    ran = subprocess.run([program("openssl", "openssl"), "sess_id", "-in", saved, "-noout", "-text"],
                         capture_output=True, text=True)
    assert ran.returncode == 0 and "TLSv1.2" in ran.stdout, ran.stderr


LOADING = """
import ssl, sys
import pysidctx
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.load_cert_chain(sys.argv[2])
ctx.load_verify_locations(sys.argv[3])
sessions = pysidctx.ClientSessions()
sessions.install(ctx)
print("ready", flush=True)
input()
try:
    sessions.load(sys.argv[1])
except FileNotFoundError:
    pass
print(sessions.stats().sessions)
"""


def test_of_several_processes_one_gets_the_tickets(saved, server_ctx, client_certificate, pem_files, tmp_path):
    data = saved.read_bytes()
    saved.write_bytes(data[data.index(b'{"host"', 10):])
    own = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(own)
    processes = [subprocess.Popen([sys.executable, "-c", LOADING, saved, own, pem_files[1]], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    counts = sorted(int(process.communicate()[0]) for process in processes)
    assert counts == [0, 0, 2]


few = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(cut=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=20)), max_size=3))
def test_damaged_files(saved, sessions, another, cut):
    original = saved.parent / "original.pem"
    if not original.exists():
        shutil.copy(saved, original)
    data = original.read_bytes()
    for begin, length, put in cut:
        data = data[:begin] + put + data[begin + length:]
    read_anything(saved, sessions, data)


@few
@given(data=st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["host", "address", "port", "until", "context", "id_context", "terms"]), inner, max_size=7),
    max_leaves=20).map(lambda told: json.dumps(told).encode() + b"\n-----BEGIN x\n-----END x\n"))
def test_files_of_anything(saved, sessions, another, data):
    read_anything(saved, sessions, data)


def read_anything(path, sessions, data):
    """It is loaded, or refused with a SessionError, and the sessions are never too many."""
    path.touch(0o600)
    path.write_bytes(data)
    sessions.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            sessions.load(path)
    except pysidctx.SessionError:
        assert sessions.stats().sessions == 0
        assert path.read_bytes() == data
    assert sessions.stats().sessions <= 3
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".pysidctx")]
