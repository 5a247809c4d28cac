"""The hook for servers: one context for equal settings, another one when files are rewritten."""

import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from functools import partial
from types import MethodType, SimpleNamespace

import pytest
from forks import in_a_fork
from handshakes import connect
from machine import SUPPORT

from pysidctx import TicketKeys
from pysidctx.environment import SECRET_FILE
from pysidctx.servers import SSLContextFactory
from pysidctx.servers import factory as servers


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), keyfile=None, cert_reqs=0)


@pytest.fixture
def built():
    return []


@pytest.fixture
def default_factory(config, built):
    def build():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(config.certfile)
        built.append(made)
        return made
    return build


@pytest.fixture
def factory():
    return SSLContextFactory(TicketKeys())


def certificate_of(ctx, client_ctx):
    return connect(ctx, client_ctx).client.getpeercert(True)


def test_one_context_for_equal_settings(factory, config, default_factory, built):
    first = factory(config, default_factory)
    assert factory(SimpleNamespace(**vars(config)), default_factory) is first
    assert built == [first]
    config.cert_reqs = 1
    assert factory(config, default_factory) is not first
    assert len(built) == 2


def test_every_context_of_the_factory_resumes(factory, config, default_factory, client_ctx):
    first = factory(config, default_factory)
    session = connect(first, client_ctx).client.session
    config.ciphers = "ALL"
    other = factory(config, default_factory)
    assert other is not first
    assert connect(other, client_ctx, session=session).server.session_reused


def test_an_id_context_of_one_s_own(config, default_factory, client_ctx):
    keys = TicketKeys()
    one, other = (SSLContextFactory(keys, id_context=name)(config, default_factory)
                  for name in (b"one", b"other"))
    session = connect(one, client_ctx).client.session
    assert not connect(other, client_ctx, session=session).server.session_reused
    assert connect(one, client_ctx, session=session).server.session_reused


@pytest.mark.parametrize("replace", [False, True], ids=["rewritten", "replaced"])
def test_a_new_certificate(factory, config, default_factory, client_ctx, ca, tmp_path, replace):
    kept = factory(config, default_factory)
    session = connect(kept, client_ctx).client.session
    old = certificate_of(kept, client_ctx)
    target = tmp_path / "new.pem" if replace else config.certfile
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(str(target))
    if replace:
        os.replace(target, config.certfile)
    # By the next connection of the context that a server has kept, and by the next call.
    new = certificate_of(kept, client_ctx)
    assert new != old
    assert not connect(kept, client_ctx, session=session).server.session_reused
    current = factory(config, default_factory)
    assert current is not kept
    assert certificate_of(current, client_ctx) == new
    assert factory(config, default_factory) is current


def test_sockets_have_the_new_certificate_too(
    factory, config, default_factory, client_ctx, ca, built
):
    kept = factory(config, default_factory)
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(config.certfile)
    one, other = socket.socketpair()
    with one, other, kept.wrap_socket(one, server_side=True, do_handshake_on_connect=False) as made:
        assert made.context is built[-1] is not kept


def test_a_certificate_that_is_unfit_is_logged_once(
    factory, config, default_factory, client_ctx, ca, caplog
):
    kept = factory(config, default_factory)
    old = certificate_of(kept, client_ctx)
    other = ca.issue_cert("a.test")
    with open(config.certfile, "wb") as file:  # the key is still to come
        file.write(other.cert_chain_pems[0].bytes())
    with caplog.at_level(logging.WARNING):
        assert [certificate_of(kept, client_ctx) for _ in range(3)] == [old] * 3
    (record,) = caplog.records
    assert record.name == "pysidctx"
    assert config.certfile in record.getMessage()
    assert "the previous context stays in use" in record.getMessage()
    with open(config.certfile, "ab") as file:
        file.write(other.private_key_pem.bytes())
    assert certificate_of(kept, client_ctx) != old


def test_a_missing_file_keeps_the_former_context(factory, config, default_factory, client_ctx):
    kept = factory(config, default_factory)
    os.unlink(config.certfile)
    connect(kept, client_ctx)
    assert factory(config, default_factory) is kept


def test_what_fails_at_first_is_raised(factory, config, default_factory):
    with open(config.certfile, "w"):
        pass
    with pytest.raises(ssl.SSLError):
        factory(config, default_factory)


def test_many_threads_build_one_context(factory, config, default_factory, built):
    barrier = threading.Barrier(8)
    seen = []

    def call():
        barrier.wait()
        seen.append(factory(config, default_factory))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == built * 8


def closure(value, build):
    def default_factory():
        made = build()
        made.verify_mode = value
        return made
    return default_factory


def default(value, build):
    return lambda value=value: closure(value, build)()


def bound(value, build):
    return SimpleNamespace(build=MethodType(lambda self: closure(value, build)(), value)).build


def around(value, build):
    return partial(closure(value, build))


def keyword(value, build):
    return partial(lambda *, value: closure(value, build)(), value=value)


def of_itself(value, build):
    def default_factory(again=True):
        return default_factory(False) if again else closure(value, build)()
    return default_factory


@pytest.mark.parametrize("make", [closure, default, bound, around, keyword, of_itself])
def test_functions_of_one_code_are_told_apart(factory, config, default_factory, built, make):
    """By what they were made with; and they are the same where that is."""
    modes = ssl.CERT_NONE, ssl.CERT_REQUIRED
    made = [factory(config, make(mode, default_factory)) for mode in modes]
    assert [ctx.verify_mode for ctx in made] == list(modes)
    assert [factory(config, make(mode, default_factory)) for mode in modes] == made
    assert len(built) == 2


def test_functions_that_cannot_be_compared(factory, config, default_factory, monkeypatch, caplog):
    class Build:
        def __call__(self):
            return default_factory()

    monkeypatch.setattr(servers, "MOST", 3)
    kept = Build()
    first = factory(config, kept)
    assert factory(config, kept) is first
    with caplog.at_level(logging.WARNING):
        made = [factory(config, Build()) for _ in range(5)]
    assert len({*map(id, made), id(first)}) == 6
    assert len(caplog.records) == 3
    assert "pass the same function" in caplog.records[0].getMessage()
    assert factory(config, kept) is not first


@pytest.mark.parametrize("id_context, error", [(b"", ValueError), (b"x" * 33, ValueError),
                                               ("shop", TypeError)])
@pytest.mark.parametrize("argument", ["id_context", "exact_id_context"])
def test_an_id_context_that_cannot_be_one(id_context, error, argument):
    with pytest.raises(error):
        SSLContextFactory(TicketKeys(), **{argument: id_context})


def test_whatever_fails_later_the_former_context_stays(factory, config, default_factory, client_ctx):
    failing = []

    def build():
        if failing:
            raise RuntimeError("the vault is closed")
        return default_factory()

    kept = factory(config, build)
    failing.append(True)
    os.utime(config.certfile, (1, 1))
    for _ in range(2):
        connect(kept, client_ctx)


def test_a_forked_process_waits_for_nobody_s_build(factory, config, default_factory):
    """A thread that was building at the fork is not in the child."""
    begun, done = threading.Event(), threading.Event()

    def build():
        begun.set()
        done.wait(20)
        return default_factory()

    thread = threading.Thread(target=factory, args=(config, build))
    thread.start()
    try:
        assert begun.wait(20)
        assert in_a_fork(lambda: bool(factory(config, default_factory)))
    finally:
        done.set()
        thread.join()


def test_classes_of_one_s_own_are_kept(factory, config, pem_files):
    class Context(ssl.SSLContext):
        def wrap_bio(self, *arguments, **options):
            made = super().wrap_bio(*arguments, **options)
            made.ours = True
            return made

    def build():
        made = Context(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(pem_files[0])
        return made

    made = factory(config, build)
    assert isinstance(made, Context)
    assert made.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).ours


# Prints how often a worker has warned.
PROCESSES = """
import multiprocessing, os, ssl, sys, warnings
from types import SimpleNamespace
sys.path.append(sys.argv[1])
{before}

def context(certificate, workers):
    from pysidctx.servers import ssl_context_factory
    def build():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate)
        return made
    return ssl_context_factory(SimpleNamespace(certfile=certificate, workers=workers), build)

def work(queue, certificate, workers):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = context(certificate, workers)
    queue.put([str(found.message) for found in caught if found.category is RuntimeWarning])

if __name__ == "__main__":
    processes = multiprocessing.get_context({method!r})
    queue = processes.Queue()
    process = processes.Process(target=work, args=(queue, sys.argv[2], {workers}))
    process.start()
    print(len(queue.get(timeout=60)))
    process.join()
"""


@pytest.mark.parametrize("method, before, workers, secret, warned", [
    ("spawn", "", 4, False, True),
    ("spawn", "", None, False, True),
    ("spawn", "", 1, False, False),
    ("spawn", "", 4, True, False),
    ("fork", "import pysidctx.servers", 4, False, False),
    ("fork", "", 4, False, True),
])
def test_when_a_worker_warns(method, before, workers, secret, warned, pem_files, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROCESSES.format(method=method, before=before, workers=workers))
    environment = {name: value for name, value in os.environ.items() if name != SECRET_FILE}
    if secret:
        path = tmp_path / "secret"
        path.touch(0o600)
        path.write_bytes(bytes(32))
        environment[SECRET_FILE] = str(path)
    ran = subprocess.run([sys.executable, script, SUPPORT, pem_files[0]], env=environment,
                         capture_output=True, text=True, timeout=100)
    assert (ran.stdout, ran.stderr) == (f"{int(warned)}\n", "")


def test_a_secret_file_that_is_named_later(config, default_factory, monkeypatch, tmp_path, client_ctx):
    monkeypatch.delenv(SECRET_FILE, raising=False)
    monkeypatch.setattr(servers, "_default", servers.Default())
    first = servers.ssl_context_factory(config, default_factory)
    assert servers.ssl_context_factory(config, default_factory) is first
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_bytes(bytes(32))
    monkeypatch.setenv(SECRET_FILE, str(path))
    second = servers.ssl_context_factory(config, default_factory)
    session = connect(second, client_ctx).client.session
    assert not connect(first, client_ctx, session=session).server.session_reused
    monkeypatch.setattr(servers, "_default", servers.Default())
    third = servers.ssl_context_factory(config, default_factory)
    assert third is not second
    assert connect(third, client_ctx, session=session).server.session_reused
    path.chmod(0o644)
    with pytest.raises(ValueError, match="secret' has mode 0644"):
        servers.Default()


def test_a_secret_file_that_cannot_be_read_is_told_each_time(
    config, default_factory, monkeypatch, tmp_path
):
    monkeypatch.delenv(SECRET_FILE, raising=False)
    monkeypatch.setattr(servers, "_default", servers.Default())
    first = servers.ssl_context_factory(config, default_factory)
    monkeypatch.setenv(SECRET_FILE, str(tmp_path / "missing"))
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="missing"):
            servers.ssl_context_factory(config, default_factory)
    monkeypatch.delenv(SECRET_FILE)
    assert servers.ssl_context_factory(config, default_factory) is first


@pytest.mark.parametrize("keys", ["tickets.secret", None, b"secret", TicketKeys])
def test_what_are_no_keys_is_refused_at_once(keys):
    with pytest.raises(TypeError, match=r"from_secret_file\(path\)"):
        SSLContextFactory(keys)


@pytest.mark.parametrize("given", [None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)])
def test_what_is_no_function_is_refused(given):
    with pytest.raises(TypeError, match=r"\(config, default_factory\)"):
        SSLContextFactory(TicketKeys())(SimpleNamespace(workers=1), given)
