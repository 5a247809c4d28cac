"""stats(): what hooks have done in this process, and what all workers of a server have counted."""

import os
import signal
import ssl
import stat
import subprocess
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
from forks import forked, in_a_fork
from handshakes import pair, shake
from tickets import visit

from pysidctx import HostMap, SessionCache, TicketKeys
from pysidctx.environment import STATS
from pysidctx.lockfree import counts
from pysidctx.lockfree.totals import Totals
from pysidctx.servers import SSLContextFactory, hook_stats, shared_counts, stats, ticket_keys
from pysidctx.servers import factory as servers


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), ca_certs=str(pem_files[1]), workers=4)


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "stats"


@pytest.fixture
def process(monkeypatch):
    """What a process that imports the hook counts in, with this value of the variable."""
    def importing(path):
        if path is None:
            monkeypatch.delenv(STATS, raising=False)
        else:
            monkeypatch.setenv(STATS, str(path))
        made = shared_counts.SharedCounts()
        for module in (servers, hook_stats):
            monkeypatch.setattr(module, "shared_counts", made)
        return made
    yield importing
    counts.share(None)


@pytest.fixture
def added(process):
    """Returns what was counted since the last call, as a dict without what was not."""
    process(None)
    former = [counts.totals()]

    def adding():
        now = stats().all_workers
        before, former[0] = former[0], now
        return {name: new - old for name, new, old in zip(Totals._fields, now, before) if new != old}
    return adding


def test_a_visit_that_is_resumed_by_ticket(added, config, build, make_client_ctx, version):
    ctx = SSLContextFactory(TicketKeys())(config, build)
    client_ctx = make_client_ctx(version)
    assert added() == {"contexts_built": 1}
    _, session = visit(ctx, client_ctx)
    issued = ctx.num_tickets if version is ssl.TLSVersion.TLSv1_3 else 1
    assert added() == {"handshakes": 1, "tickets_issued": issued}
    assert visit(ctx, client_ctx, session)[0]
    found = added()
    assert (found["handshakes"], found["resumed_by_ticket"], found["tickets_accepted"]) == (1, 1, 1)


def test_a_visit_that_is_resumed_from_the_cache(added, config, build, make_client_ctx, version):
    ctx = SSLContextFactory(TicketKeys(), cache=SessionCache(size=1 << 20), cache_when="always")(config, build)
    client_ctx = make_client_ctx(version)
    _, session = visit(ctx, client_ctx)
    first = added()
    assert (first["handshakes"], first["sessions_stored"] > 0, "resumed_stored" in first) == (1, True, False)
    assert visit(ctx, client_ctx, session)[0]
    found = added()
    assert (found["handshakes"], found["resumed_stored"], found["sessions_hits"]) == (1, 1, 1)
    assert "resumed_by_ticket" not in found


def test_a_ticket_under_another_id_context_is_accepted_and_not_resumed(added, config, build, client_ctx):
    keys = TicketKeys()
    one, other = (SSLContextFactory(keys, id_context=name)(config, build) for name in (b"one", b"other"))
    _, session = visit(one, client_ctx)
    added()
    assert not visit(other, client_ctx, session)[0]
    found = added()
    assert (found["handshakes"], found["tickets_accepted"], "resumed_by_ticket" in found) == (1, 1, False)


def test_a_ticket_of_another_key(added, config, build, client_ctx):
    one, other = (SSLContextFactory(TicketKeys())(config, build) for _ in range(2))
    _, session = visit(one, client_ctx)
    added()
    assert not visit(other, client_ctx, session)[0]
    assert added()["tickets_unknown_key"] == 1


def test_a_client_that_answers_a_hello_retry_request_counts_once(added, config, build, make_client_ctx):
    ctx = SSLContextFactory(TicketKeys())(config, build)
    ctx.set_ecdh_curve("secp521r1")  # of which clients send no share at first
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3)
    _, session = visit(ctx, client_ctx)
    added()
    assert visit(ctx, client_ctx, session)[0]
    found = added()
    assert (found["handshakes"], found["resumed_by_ticket"], found["tickets_accepted"]) == (1, 1, 2)


def test_names_that_are_rejected(added, config, build, make_server_ctx, client_ctx):
    hosts = HostMap({"a.test": make_server_ctx()})
    hosts.unmatched = "reject"

    def building():
        ctx = build()
        hosts.install(ctx)
        return ctx

    ctx = SSLContextFactory(TicketKeys())(config, building)
    _, session = visit(ctx, client_ctx)
    assert visit(ctx, client_ctx, session)[0]
    with pytest.raises(ssl.SSLError):
        shake(pair(ctx, client_ctx, name="b.test"))
    found = added()
    assert (found["names_matched"], found["names_rejected"]) == (2, 1)
    assert (found["handshakes"], found["resumed_by_ticket"]) == (3, 1)


def test_hooks_of_this_process(config, build, client_ctx, process):
    process(None)
    before = set(stats().hooks)
    hook = SSLContextFactory(TicketKeys(), cache=SessionCache(size=1 << 20), cache_when="always")
    assert set(stats().hooks) == before  # it has built no context
    ctx = hook(config, build)
    hosts = HostMap()
    hosts.install(ctx)
    visit(ctx, client_ctx)
    (found,) = set(stats().hooks) - before
    assert found.tickets == hook.keys.stats() and found.sessions == hook.cache.stats()
    assert found.hosts == (hosts.stats(),) and hosts.stats().unmatched == 1
    assert (found.contexts, found.renewed, found.failed) == (1, 0, 0)


def test_a_certificate_that_is_renewed_and_one_that_cannot_be_used(added, config, build, pem_files, caplog):
    hook = SSLContextFactory(TicketKeys())
    hook(config, build)
    added()
    pem = pem_files[0].read_bytes()
    pem_files[0].write_bytes(b"no certificate")
    hook(config, build)
    assert added() == {"context_failures": 1}
    pem_files[0].write_bytes(pem)
    hook(config, build)
    assert added() == {"contexts_built": 1, "certificate_renewals": 1}
    found = hook_stats.stats_of(hook)
    assert (found.contexts, found.renewed, found.failed) == (1, 1, 1)


def test_the_keys_of_the_one_line(config, build, client_ctx):
    before = ticket_keys().stats().issued
    visit(servers.ssl_context_factory(config, build), client_ctx)
    assert ticket_keys().stats().issued > before


def test_a_file(process, memory):
    made = process(memory)
    assert stats().memory == made.path == str(memory)
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    counts.add("handshakes")
    assert counts.read_totals(memory).handshakes == stats().all_workers.handshakes > 0
    before = counts.read_totals(memory)
    process(memory)  # the server was restarted
    assert counts.read_totals(memory) == before


WORKER = """
import sys
from pysidctx.lockfree import counts
from pysidctx.servers import stats
for _ in range(1000):
    counts.add("handshakes")
assert stats().memory == sys.argv[1]
print("ready", flush=True)
sys.stdin.read()
"""


def test_spawned_workers_of_which_one_is_stopped_and_one_is_killed(process, memory):
    process(memory)
    before = counts.read_totals(memory).handshakes
    workers = [subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, memory], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env={**os.environ, STATS: str(memory)}) for _ in range(4)]
    try:
        for worker in workers:
            assert worker.stdout.readline() == b"ready\n"
        workers[0].send_signal(signal.SIGSTOP)
        workers[1].kill()
        workers[1].wait()
        assert stats().all_workers.handshakes - before == 4000
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert counts.read_totals(memory).handshakes - before == 4000


def test_forked_workers_that_are_killed_while_they_count(process):
    """Each has told how much it had counted, and may have counted one more."""
    process(None)
    before = stats().all_workers.handshakes
    told = []
    for _ in range(8):
        reader, writer = os.pipe()
        child = forked()
        if child == 0:
            while True:
                counts.add("handshakes")
                os.write(writer, b".")
        os.close(writer)
        with open(reader, "rb", buffering=0) as stream:
            first = stream.read(100)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            rest = b"".join(iter(lambda: stream.read(1 << 16), b""))
        told.append(len(first) + len(rest))
    counted = stats().all_workers.handshakes - before
    assert sum(told) <= counted <= sum(told) + len(told)


def test_more_processes_than_slots(process):
    process(None)
    before = stats().all_workers.handshakes
    for _ in range(100):
        assert in_a_fork(lambda: counts.add("handshakes") is None)
    assert stats().all_workers.handshakes - before == 100


def test_a_fork_while_threads_count(process, switch_often):
    """Nothing hangs, and nothing is counted twice or lost."""
    process(None)
    before = stats().all_workers.handshakes
    ended = threading.Event()
    added = []

    def count():
        number = 0
        while not ended.is_set():
            counts.add("handshakes")
            number += 1
        added.append(number)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        assert in_a_fork(lambda: counts.add("handshakes") is None)
    ended.set()
    for thread in threads:
        thread.join()
    assert stats().all_workers.handshakes - before == sum(added) + 50


def test_what_was_counted_before_the_memory_was_shared():
    code = ("from pysidctx.lockfree import counts\ncounts.add('handshakes')\n"
            "assert counts.totals().handshakes == 1\ncounts.share(None)\ncounts.add('handshakes')\n"
            "assert counts.totals().handshakes == 2\n")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_difference_is_taken_once(process):
    process(None)
    counts.take_new()
    counts.add("handshakes")
    assert in_a_fork(lambda: counts.take_new().handshakes == 1)
    assert sum(counts.take_new()) == 0


# What cannot be used, with the reason.
def a_folder(memory):
    memory.mkdir()


def a_link(memory):
    memory.symlink_to(os.devnull)


def for_others(memory):
    memory.chmod(0o644)


def something_else(memory):
    memory.write_bytes(b"something else" * 100)


def of_another_version(memory):
    with open(memory, "r+b") as file:
        file.seek(40)
        file.write(b"other")


def truncated(memory):
    os.truncate(memory, 4096)


@pytest.mark.parametrize("spoil, reason", [
    (a_folder, "is not a regular file"), (a_link, "is a symbolic link"), (for_others, "has mode 0644"),
    (something_else, "contains no counts of pysidctx"), (of_another_version, "another version of pysidctx"),
    (truncated, "was truncated or extended")], ids=lambda value: getattr(value, "__name__", ""))
def test_one_that_cannot_be_used(process, memory, spoil, reason):
    if spoil in (for_others, of_another_version, truncated):
        process(memory)
    spoil(memory)
    with pytest.warns(RuntimeWarning, match=f"cannot be used: .*{reason}"):
        process(memory)
    assert stats().memory is None
    counts.add("handshakes")  # in memory of its own


def test_an_empty_variable(process):
    with pytest.raises(ValueError, match="PYSIDCTX_STATS is empty: set it to a path such as /dev/shm/NAME"):
        process("")


def test_a_file_that_was_removed(process, memory):
    process(memory)
    memory.unlink()
    with pytest.warns(RuntimeWarning, match="was removed or replaced while this process used it: restart"):
        stats()


def test_a_variable_that_is_set_later(process, memory, monkeypatch):
    process(None)
    monkeypatch.setenv(STATS, str(memory))
    with pytest.warns(RuntimeWarning, match="PYSIDCTX_STATS has changed since"):
        stats()


def test_a_spawned_worker_without_a_file(process, monkeypatch, config, build, memory):
    """It warns when it is asked, and only then."""
    monkeypatch.setattr(servers.multiprocessing, "parent_process", lambda: object())
    process(None)
    config.workers = None
    hook = SSLContextFactory(TicketKeys.from_secret(bytes(32)))
    hook(config, build)
    with pytest.warns(RuntimeWarning, match="this worker has imported pysidctx.servers itself"):
        stats()
    process(memory)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stats()
