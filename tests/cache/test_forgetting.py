"""forget() and forget_all(): which sessions are resumed afterwards, in which process, and what is refused."""

import fcntl
import gc
import os
import signal
import ssl
import threading
import time
import warnings

import pytest
from forks import forked, in_a_fork
from handshakes import VERSIONS, connect
from tickets import sleep_into_next_second, visit

from pysidctx import SessionCache, set_session_id_context

SIZE = 1 << 20
SECRET = bytes(range(32))


class Workers:
    """Two servers that share a cache, as two workers do, in one process; and their client."""

    def __init__(self, caches, contexts, client_ctx):
        self.caches, self.contexts, self.client_ctx = caches, contexts, client_ctx
        for ctx, cache in zip(contexts, caches):
            set_session_id_context(ctx, b"shop")
            cache.install(ctx)

    def session(self, at=0, client_ctx=None):
        resumed, session = visit(self.contexts[at], client_ctx or self.client_ctx)
        assert not resumed
        return session

    def resumes(self, session, at=1, client_ctx=None):
        return visit(self.contexts[at], client_ctx or self.client_ctx, session)[0]

    def forgotten(self):
        return [cache.stats().forgotten for cache in self.caches]


@pytest.fixture
def peer(client_certificate):
    return ssl.PEM_cert_to_DER_cert(client_certificate.cert_chain_pems[0].bytes().decode())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def in_file(path):
    return lambda: SessionCache.from_secret(SECRET, memory=path, size=SIZE)


@pytest.fixture
def workers(in_file, make_server_ctx, make_client_ctx, version):
    return Workers([in_file(), in_file()], [make_server_ctx(verify=ssl.CERT_REQUIRED) for _ in range(2)],
                   make_client_ctx(version))


WAYS = {
    "peer": lambda cache, peer: cache.forget(peer=peer),
    "id context": lambda cache, peer: cache.forget(id_context=bytearray(b"shop")),
    "all": lambda cache, peer: cache.forget_all(),
}
once = pytest.mark.parametrize("version", VERSIONS[1:], ids=["TLSv1_3"])
each_way = pytest.mark.parametrize("forget", WAYS.values(), ids=WAYS)


@each_way
def test_it_takes_effect_at_once_and_later_sessions_are_resumed(workers, peer, forget):
    session = workers.session()
    assert workers.resumes(session)
    session = workers.session()
    forget(workers.caches[0], peer)
    assert not workers.resumes(session, at=1) and not workers.resumes(session, at=0)
    assert workers.forgotten() == [1, 1]
    sleep_into_next_second()
    again = workers.session()
    assert workers.resumes(again, at=1) and not workers.resumes(session, at=1)


def test_other_peers_and_id_contexts_are_not_forgotten(workers, peer):
    session = workers.session()
    workers.caches[0].forget(peer=peer[:4] + bytes(len(peer) - 4))
    workers.caches[0].forget(id_context=b"shop\0")
    workers.caches[0].forget(id_context=b"")
    assert workers.resumes(session)


def test_what_a_resumption_has_renewed_is_forgotten_too(workers, peer):
    """It is as old as its full handshake. TLS 1.2 renews none."""
    resumed, renewed = visit(workers.contexts[1], workers.client_ctx, workers.session())
    assert resumed
    workers.caches[0].forget(peer=peer)
    sleep_into_next_second()
    assert not workers.resumes(renewed)


@each_way
def test_in_processes_that_were_forked(make_server_ctx, client_ctx, peer, forget):
    cache = SessionCache(size=SIZE)
    workers = Workers([cache, cache], [make_server_ctx(verify=ssl.CERT_REQUIRED) for _ in range(2)], client_ctx)
    first, second = workers.session(), workers.session()
    assert in_a_fork(lambda: workers.resumes(first))
    assert in_a_fork(lambda: forget(cache, peer) is None)
    assert not workers.resumes(second)
    assert in_a_fork(lambda: not workers.resumes(second))


@once
def test_more_than_the_list_can_hold(workers, peer):
    """4,000, and with one more all is forgotten: nothing is revived."""
    cache = workers.caches[0]
    forgotten = workers.session()
    cache.forget(peer=peer)
    for number in range(3998):
        cache.forget(id_context=b"%d" % number)
    sleep_into_next_second()
    first = workers.session()
    cache.forget(id_context=b"0")  # is there already
    cache.forget(id_context=b"the last")
    assert workers.resumes(first) and not workers.resumes(forgotten)
    second = workers.session()
    cache.forget(id_context=b"one too many")
    assert not workers.resumes(second) and not workers.resumes(forgotten)
    sleep_into_next_second()
    assert workers.resumes(workers.session())
    cache.forget(id_context=b"another")
    assert workers.resumes(workers.session())


@pytest.mark.parametrize("arguments, error", [
    ({}, TypeError), ({"peer": b"x", "id_context": b"x"}, TypeError), ({"peer": "x"}, TypeError),
    ({"id_context": "shop"}, TypeError), ({"id_context": 1}, TypeError), ({"peer": b""}, ValueError),
    ({"peer": b"x" * 500}, ValueError), ({"peer": b"-----BEGIN CERTIFICATE-----"}, ValueError),
    ({"id_context": bytes(33)}, ValueError), ({"id_context": memoryview(bytes(8))[::2]}, TypeError),
], ids=["nothing", "both", "peer str", "context str", "context int", "peer empty", "peer x", "peer PEM", "context long",
        "context strided"])
def test_bad_arguments_change_nothing(in_file, path, arguments, error):
    cache = in_file()
    before = path.read_bytes()
    with pytest.raises(error):
        cache.forget(**arguments)
    assert path.read_bytes() == before


def test_a_certificate_that_is_cut_off_or_has_more(in_file, peer):
    for wrong in (peer[:-1], peer + b"\0"):
        with pytest.raises(ValueError, match="not a certificate"):
            in_file().forget(peer=wrong)


@once
def test_while_another_process_has_the_lock_and_is_stopped(workers, peer, path):
    """Nothing is forgotten, look-ups go on, and afterwards it can be forgotten."""
    session = workers.session()
    ready, tell = os.pipe()
    child = forked()
    if child == 0:
        with open(path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            os.write(tell, b"x")
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    errors = []

    def forget():
        try:
            workers.caches[0].forget(peer=peer)
        except TimeoutError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=forget) for _ in range(3)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    assert workers.resumes(session)
    session = workers.session()
    for thread in threads:
        thread.join(60)
    # One after the other they would take three times as long.
    assert len(errors) == 3 and "stopped" in errors[0] and time.monotonic() - begun < 14
    assert workers.resumes(session, at=0) or workers.resumes(workers.session(), at=0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    session = workers.session()
    workers.caches[0].forget(peer=peer)
    assert not workers.resumes(session)


def test_no_name_is_lost_where_many_forget_at_once(in_file, path):
    """Also where descriptors of the same file are closed meanwhile, which ends locks of a process (F_SETLK)."""
    cache, done = in_file(), threading.Event()

    def open_and_close():
        while not done.is_set():
            os.close(os.open(path, os.O_RDONLY))

    def forget(first):
        for number in range(first, first + 150):
            cache.forget(id_context=b"%d" % number)

    closing = threading.Thread(target=open_and_close)
    closing.start()
    children = []
    for number in range(1, 3):
        child = forked()
        if child == 0:
            done = threading.Event()
            threading.Thread(target=open_and_close, daemon=True).start()
            forget(1000 * number)
            os._exit(0)
        children.append(child)
    forget(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    done.set()
    closing.join()
    assert int.from_bytes(path.read_bytes()[4096:4104], "little") == 450


def test_a_fork_while_threads_forget(in_file):
    """Neither hangs, and each forgets."""
    cache, done = in_file(), threading.Event()

    def forget():
        number = 0
        while not done.is_set():
            number += 1
            cache.forget(id_context=b"%d" % (number % 100))

    threads = [threading.Thread(target=forget) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert in_a_fork(lambda: cache.forget_all() is None)
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_descriptor_that_the_program_has_closed(in_file, path, tmp_path):
    """As one does that becomes a daemon: another file may have its number then, which is left alone."""
    cache = in_file()
    before = descriptors(path)
    other = in_file()
    (number,) = descriptors(path) - before
    os.close(number)
    with pytest.raises(OSError, match="descriptor"):
        other.forget_all()
    with open(tmp_path / "other", "w+b", opener=lambda *_: reopened(tmp_path / "other", number)) as file:
        with pytest.raises(OSError, match="after what closes all descriptors"):
            other.forget_all()
        del other
        gc.collect()
        assert file.write(b"x") == 1
        file.flush()
    cache.forget_all()


def descriptors(path):
    """This process's descriptors of a file."""
    return {int(number) for number in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{number}") == str(path)}


def reopened(path, number):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    if file != number:
        os.dup2(file, number)
        os.close(file)
    return number


def test_a_file_that_was_removed_or_replaced_is_warned_of(in_file, path):
    cache = in_file()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.forget_all()
    path.unlink()
    with pytest.warns(RuntimeWarning, match="removed or replaced"):
        cache.forget_all()
    new = in_file()
    with pytest.warns(RuntimeWarning, match="removed or replaced"):
        cache.forget(id_context=b"shop")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new.forget_all()
        SessionCache(size=SIZE).forget_all()


def test_established_connections_go_on(workers, peer):
    ends = connect(workers.contexts[0], workers.client_ctx)
    workers.caches[1].forget(peer=peer)
    assert ends.server.getpeercert(binary_form=True) == peer
