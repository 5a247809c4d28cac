"""Session.save() and Session.load(): whose file it is, and that it is whole."""

import os
import stat
from pathlib import Path

import libssl
import pytest
from handshakes import connect

from pysidctx import Session, SessionError, WrongContextError


@pytest.fixture
def session(server_ctx, client_ctx):
    return Session.of(connect(server_ctx, client_ctx).client).with_id_context(b"shop")


@pytest.fixture(params=[str, os.fsencode, lambda path: path], ids=["str", "bytes", "PathLike"])
def path(request, tmp_path):
    return request.param(tmp_path / "session.pem")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def load(path, **options):
    return Session.load(path, id_context=b"shop", **options)


def test_what_is_saved_is_loaded(session, path):
    session.save(path)
    assert Path(os.fsdecode(path)).read_text() == session.to_pem()
    again = load(path)
    assert again == session and again.to_der() == session.to_der()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_file_is_its_owner_s_alone(session, path, umask):
    before = os.umask(umask)
    try:
        session.save(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600 & ~umask


def test_a_file_that_is_there_is_replaced_whatever_its_mode(session, tmp_path):
    path = tmp_path / "session.pem"
    path.write_text("x" * 100_000)
    path.chmod(0o666)
    with open(path) as old:
        session.save(path)
        assert old.read() == "x" * 100_000, "those who have it open keep what they have"
    assert mode(path) == 0o600 and load(path) == session
    assert [path] == list(tmp_path.iterdir())


def test_a_relative_path(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session.save("session.pem")
    assert load("session.pem") == session


def test_a_symbolic_link_is_replaced_not_followed(session, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("kept")
    link.symlink_to(target)
    session.save(link)
    assert target.read_text() == "kept" and not link.is_symlink() and load(link) == session


def fail(*arguments):
    raise OSError("no space left")


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_after_an_error_the_file_is_what_it_was(session, tmp_path, monkeypatch, function):
    path = tmp_path / "session.pem"
    path.write_text("before")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="no space left"):
        session.save(path)
    assert path.read_text() == "before"
    assert [path] == list(tmp_path.iterdir()), "nothing is left beside it"


def test_paths_that_cannot_be(session, tmp_path):
    for path in (tmp_path / "none" / "session.pem", tmp_path):
        with pytest.raises(OSError):
            session.save(path)
        with pytest.raises(OSError):
            load(path)
    for path in (None, 1.5, object()):
        with pytest.raises(TypeError):
            session.save(path)
        with pytest.raises(TypeError):
            load(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_that_others_have_access_to_is_refused(session, tmp_path, wide):
    path = tmp_path / "session.pem"
    session.save(path)
    path.chmod(wide)
    with pytest.raises(SessionError, match=f"has mode {wide:04o}.*chmod 600.*shared=True"):
        load(path)
    assert load(path, shared=True) == session
    path.chmod(0o400)
    assert load(path) == session


def test_a_file_of_another_user_is_refused(session, tmp_path, monkeypatch):
    path = tmp_path / "session.pem"
    session.save(path)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    if owner != 0:
        with pytest.raises(SessionError, match=f"belongs to user {owner}.*shared=True"):
            load(path)
    else:
        assert load(path) == session, "root can read everything anyway"
        os.chown(path, 4712, -1)
        with pytest.raises(SessionError, match="belongs to user 4712.*shared=True"):
            load(path)
    assert load(path, shared=True) == session


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(SessionError, match="is not a regular file"):
        load(tmp_path / "fifo")  # at once, though nobody writes


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 100_000, b"\xff" * 100])
def test_what_is_not_a_session(tmp_path, content):
    path = tmp_path / "session.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SessionError, match="PEM"):
        load(path)
    assert libssl.ERR_peek_error() == 0


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "session.pem"
    path.touch(0o600)
    os.truncate(path, 1 << 40)
    with pytest.raises(SessionError, match="too large"):
        load(path)


def test_a_name_as_long_as_they_get(session, tmp_path):
    path = tmp_path / ("x" * 255)
    session.save(path)
    assert load(path) == session


def test_the_id_context_and_the_host_are_asked_for(session, tmp_path):
    path = tmp_path / "session.pem"
    session.save(path)
    with pytest.raises(TypeError, match="id_context"):
        Session.load(path)
    with pytest.raises(WrongContextError, match="b'shop', not b'bank'"):
        Session.load(path, id_context=b"bank")
    assert Session.load(path, id_context=None).id_context == b"shop"
    assert load(path, host="a.test").hostname == "a.test"
    with pytest.raises(SessionError, match="established with a.test, not with b.test"):
        load(path, host="b.test")
