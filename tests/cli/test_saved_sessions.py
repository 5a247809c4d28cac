"""The command `session` with the file of a ClientSessions, which contains several sessions."""

import json
import re

import handshakes
import libssl
import pytest
from handshakes import VERSIONS

from pysidctx import Session, private_files
from pysidctx.__main__ import main
from pysidctx.clients import ClientSessions, session_file


@pytest.fixture
def saved(tmp_path, server_ctx, make_client_ctx):
    """A file with a session of TLS 1.2 and two tickets of TLS 1.3, for two hosts."""
    sessions = ClientSessions()
    for version, name in zip(VERSIONS, ("a.test", "b.test")):
        handshakes.connect(server_ctx, sessions.install(make_client_ctx(version), share=True), name=name)
    path = tmp_path / "sessions.pem"
    sessions.save(path)
    return path


def sessions_in(path):
    data = bytearray(path.read_bytes())
    return [(label, Session.from_pem(data[begin:end], id_context=None))
            for label, begin, end in session_file.parts(data)]


def test_each_session_is_printed(saved, capsys):
    assert main(["session", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["protocol"], each["host"]) for each in found] == [
        ("TLSv1.2", "a.test"), ("TLSv1.3", "b.test"), ("TLSv1.3", "b.test")]
    assert [(each["id"], each["port"]) for each in found] == [
        (session.id.hex(), label.port) for label, session in sessions_in(saved)]
    assert all(each["valid"] and each["resumable"] and "file" not in each for each in found)
    assert main(["session", str(saved)]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    assert len(blocks) == 3
    assert re.search(r"^host: +a\.test$", blocks[0], re.MULTILINE)


def test_no_secret_is_printed(saved, capsys):
    for options in ([], ["--json"]):
        assert main(["session", str(saved), *options]) == 0
        printed = capsys.readouterr().out.lower()
        for label, session in sessions_in(saved):
            assert libssl.master_key(session.to_der()).hex() not in printed
            assert libssl.ticket(session.to_der()).hex()[:32] not in printed
            assert label.trust.hex() not in printed


@pytest.mark.parametrize("until, ends", [(1000, "1970-01-01T00:16:40+00:00"), (2 ** 64 - 1, None)])
def test_a_session_ends_when_its_label_says_so_and_not_later(saved, until, ends, capsys):
    label, session = sessions_in(saved)[0]
    private_files.write(saved, memoryview(label._replace(until=until).line() + session.to_pem().encode()))
    assert main(["session", str(saved), "--json"]) == (1 if ends else 0)
    (found,) = json.loads(capsys.readouterr().out)
    assert found["ends"] == (ends or (session.time + session.timeout).isoformat())


def test_others_who_can_read_the_file_are_told_of(saved, capsys):
    saved.chmod(0o644)
    assert main(["session", str(saved)]) == 0
    assert capsys.readouterr().out.count("other users have access to this file") == 3


@pytest.mark.parametrize("content, said", [
    (b'{"host": "a.test"}\n', "is not complete"),
    (b'{"host": 1}\n-----BEGIN X-----\n-----END X-----\n', "no line before"),
    (b"{" * 10000, "is not complete")], ids=["no session", "label", "nested"])
def test_a_damaged_file_is_refused(tmp_path, key_file, content, said, capsys):
    path = key_file("sessions.pem", content)
    assert main(["session", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("pysidctx session: ") and said in told.err
