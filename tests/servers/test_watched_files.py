"""The files that are read while a server's context is built are watched, and its age is."""

import logging
import os
import ssl
import threading
from types import SimpleNamespace

import pytest
from handshakes import connect
from tickets import visit

from pysidctx import TicketKeys
from pysidctx.servers import SSLContextFactory, watched_files
from pysidctx.servers.watched_files import FilesRead, WatchedFile


@pytest.fixture
def built():
    return []


@pytest.fixture
def factory_of(built, pem_files):
    """A factory, and the context that it returns of a function that completes it."""
    def make(complete=lambda ctx: None, kind=ssl.SSLContext, **options):
        def build():
            ctx = kind(ssl.PROTOCOL_TLS_SERVER)
            ctx.load_cert_chain(pem_files[0])
            complete(ctx)
            built.append(ctx)
            return ctx
        factory = SSLContextFactory(TicketKeys(), **options)
        return factory(SimpleNamespace(), build)
    return make


def paths_read(work):
    files = FilesRead()
    with files.noticing():
        work()
    return [file.path for file in files]


class Strange(ssl.SSLContext):
    def load_verify_locations(self, *arguments, **options):
        super().load_verify_locations(*arguments, **options)


class Wrapping:
    """As truststore's, which has another context inside."""

    def __init__(self, protocol):
        self.inside = Strange(protocol)

    def load_verify_locations(self, path):
        self.inside.load_verify_locations(path)


@pytest.mark.parametrize("load", [
    lambda path: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path),
    lambda path: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path),
    lambda path: ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=path),
    lambda path: Strange(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path),
    lambda path: Wrapping(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path),
])
@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path], ids=["str", "bytes", "PathLike"])
def test_whoever_loads_a_file(load, kind, pem_files):
    path = kind(pem_files[1])
    assert paths_read(lambda: load(path)) == [os.fspath(path)]


def test_certificates_and_keys(pem_files):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found = [str(pem_files[0])] * 2
    assert paths_read(lambda: ctx.load_cert_chain(*found)) == found[:1]
    assert paths_read(lambda: ctx.load_cert_chain(certfile=found[0], keyfile=pem_files[0])) == found[:1]


def test_the_system_s_certificates(monkeypatch, pem_files, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem_files[1]))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}:{tmp_path / 'other'}")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert paths_read(ctx.load_default_certs) == [str(pem_files[1]), str(tmp_path), str(tmp_path / "other")]


@pytest.mark.parametrize("arguments, error", [
    ((), TypeError), ((1,), TypeError), (("missing",), OSError), (("zero\0byte",), ValueError),
])
def test_errors_are_ssl_s_own(arguments, error):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(error) as alone:
        ctx.load_cert_chain(*arguments)
    with pytest.raises(error) as noticed, FilesRead().noticing():
        ctx.load_cert_chain(*arguments)
    assert str(noticed.value) == str(alone.value)


def test_nothing_is_left_in_ssl(pem_files):
    before = dict(vars(watched_files.CONTEXT))
    with FilesRead().noticing(), FilesRead().noticing():
        assert vars(watched_files.CONTEXT) != before
    with pytest.raises(ZeroDivisionError), FilesRead().noticing():
        raise ZeroDivisionError
    assert dict(vars(watched_files.CONTEXT)) == before


def test_what_others_put_in_meanwhile_stays(monkeypatch, pem_files):
    with FilesRead().noticing():
        ours = watched_files.CONTEXT.load_cert_chain

        def theirs(self, *arguments):
            calls.append(arguments)
            return ours(self, *arguments)

        calls = []
        monkeypatch.setattr(watched_files.CONTEXT, "load_cert_chain", theirs, raising=False)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert paths_read(lambda: ctx.load_cert_chain(pem_files[0])) == [str(pem_files[0])]
    assert len(calls) == 1
    monkeypatch.undo()
    delattr(watched_files.CONTEXT, "load_cert_chain")


def test_threads_notice_their_own_files(tmp_path, pem_files):
    barrier = threading.Barrier(3)
    found = {}

    def work(number):
        own = tmp_path / str(number)
        own.write_bytes(pem_files[1].read_bytes())
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = FilesRead()
        for _ in range(50):
            barrier.wait(20)
            with files.noticing():
                ctx.load_verify_locations(own)
        found[number] = [file.path for file in files] == [str(own)]

    def bystander():
        for _ in range(50):
            barrier.wait(20)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(pem_files[1])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    threads.append(threading.Thread(target=bystander))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: True, 1: True}
    assert "load_verify_locations" not in vars(watched_files.CONTEXT)


def test_files_are_added_while_others_look(pem_files):
    files = FilesRead(pem_files)
    for file in files:
        files.add(f"{file.path}.other")
    assert len(list(files)) == 4


def test_a_folder_with_what_is_in_it(factory_of, tmp_path, built):
    folder = tmp_path / "trusted"
    folder.mkdir()
    ctx = factory_of(lambda ctx: ctx.load_verify_locations(capath=folder), exact_id_context=b"shop")
    for change in (lambda: (folder / "one").write_bytes(b"1"), lambda: (folder / "one").write_bytes(b"2"),
                   lambda: (folder / "one").unlink()):
        count = len(built)
        change()
        ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert len(built) == count + 1
    ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert len(built) == 4


def test_a_file_that_is_written_while_it_is_built(factory_of, tmp_path, pem_files, ca, built):
    """Also within one tick of the file system's clock, by as many bytes."""
    path = tmp_path / "own.pem"
    contents = [ca.issue_cert("a.test").private_key_and_cert_chain_pem.bytes().ljust(4096, b"\n")
                for _ in range(2)]
    path.write_bytes(contents[0])

    def complete(ctx):
        ctx.load_cert_chain(path)
        path.write_bytes(contents[1])

    ctx = factory_of(complete)
    for _ in range(3):
        ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert len(built) >= 2
    assert path.read_bytes() == contents[1]


def test_a_clock_that_stands_still(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    found = watched_files.status(path)
    monkeypatch.setattr(watched_files, "status", lambda path: found)
    file = WatchedFile(path)
    assert not file.has_changed()
    path.write_bytes(b"two")
    assert file.has_changed()
    monkeypatch.setattr(watched_files, "GRAIN", -10**18)
    assert not WatchedFile(path).has_changed()
    path.write_bytes(b"one")


def test_files_that_are_named(factory_of, pem_files, built, caplog):
    """These are the files that the function opens itself."""
    def complete(ctx):
        ctx.load_verify_locations(cadata=pem_files[1].read_text())

    missing = pem_files[1].with_name("missing")
    with caplog.at_level(logging.WARNING):
        ctx = factory_of(complete, watch=[pem_files[1], missing])
    assert [record.getMessage() for record in caplog.records] == [
        f"the path {str(missing)!r} in watch does not exist"]
    for path in pem_files[1], missing:
        count = len(built)
        with open(path, "ab") as file:
            file.write(b"\n")
        ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert len(built) == count + 1


@pytest.mark.parametrize("options, error, message", [
    ({"watch": "crl.pem"}, TypeError, "pass a list"),
    ({"watch": 1}, TypeError, "not iterable"),
    ({"max_age": "1"}, TypeError, "number of seconds"),
    ({"max_age": True}, TypeError, "number of seconds"),
    ({"max_age": 0}, ValueError, "more than 0"),
    ({"max_age": float("nan")}, ValueError, "more than 0"),
])
def test_what_cannot_be_watched(options, error, message):
    with pytest.raises(error, match=message):
        SSLContextFactory(TicketKeys(), **options)


def test_a_context_that_is_old(factory_of, client_ctx, built, monkeypatch, caplog):
    """A new context serves, and resumes the same sessions as long as the trust is the same."""
    failing = []

    def complete(ctx):
        if failing:
            raise RuntimeError("the vault is closed")

    now = [0.0]
    monkeypatch.setattr("pysidctx.servers.current_context.time", SimpleNamespace(monotonic=lambda: now[0]))
    ctx = factory_of(complete, max_age=60)
    _, session = visit(ctx, client_ctx)
    now[0] = 59.0
    visit(ctx, client_ctx)
    assert len(built) == 1
    now[0] = 60.0
    assert visit(ctx, client_ctx, session)[0]
    assert len(built) == 2
    visit(ctx, client_ctx)
    assert len(built) == 2
    failing.append(True)
    now[0] = 120.0
    for _ in range(2):
        assert visit(ctx, client_ctx, session)[0]
    (record,) = caplog.records
    assert "60 seconds old (max_age)" in record.getMessage() and "the vault is closed" in record.getMessage()
    failing.clear()
    visit(ctx, client_ctx)
    assert len(built) == 3


def test_without_an_age(factory_of, built, monkeypatch, client_ctx):
    now = [0.0]
    monkeypatch.setattr("pysidctx.servers.current_context.time", SimpleNamespace(monotonic=lambda: now[0]))
    ctx = factory_of(max_age=None)
    now[0] = 1e9
    connect(ctx, client_ctx)
    assert len(built) == 1


def test_a_function_that_always_returns_the_same(pem_files, caplog):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem_files[0])
    made = SSLContextFactory(TicketKeys(), watch=[pem_files[0]])(SimpleNamespace(), lambda: ctx)
    with open(pem_files[0], "ab") as file:
        file.write(b"\n")
    for _ in range(2):
        made.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    (record,) = caplog.records
    assert "create a new ssl.SSLContext in each call" in record.getMessage()
