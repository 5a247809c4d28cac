"""The hook that `pysidctx serve` passes to servers that spawn their workers, and the secret that goes along."""

import gc
import multiprocessing
import os
import pickle
from types import SimpleNamespace

import pytest
from tickets import visit

from pysidctx.environment import CACHE, LIFETIME, SECRET_FILE
from pysidctx.servers import factory as servers
from pysidctx.servers.spawning_hook import SpawningHook

spawn = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def process(monkeypatch):
    """The defaults of a process that imports the hook, with no variables."""
    def importing():
        monkeypatch.setattr(servers, "_default", servers.Default())
    for name in SECRET_FILE, CACHE, LIFETIME:
        monkeypatch.delenv(name, raising=False)
    importing()
    return importing


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), workers=4)


def spawned(hook):
    """Run a process that takes the hook, until it has ended."""
    worker = spawn.Process(target=id, args=(hook,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def test_processes_with_one_secret_resume(process, config, build, client_ctx, monkeypatch):
    secret = bytearray(range(32))
    ctx = SpawningHook(secret)(config, build)
    process()
    same = SpawningHook(secret)
    _, session = visit(ctx, client_ctx)
    assert visit(same(config, build), client_ctx, session)[0]
    monkeypatch.setenv(LIFETIME, "600")  # what changes later is derived from the same secret
    assert visit(same(config, build), client_ctx, session)[0]
    assert servers.ticket_keys().lifetime == 600
    assert not visit(SpawningHook()(config, build), client_ctx, session)[0]


def test_the_secret_of_the_environment_wins(process, config, build, client_ctx, key_file, monkeypatch):
    monkeypatch.setenv(SECRET_FILE, str(key_file("secret", bytes(range(32)))))
    process()
    hook = SpawningHook()
    _, session = visit(hook(config, build), client_ctx)
    other = pickle.loads(pickle.dumps(hook))
    assert other is servers.ssl_context_factory
    process()
    assert visit(other(config, build), client_ctx, session)[0]


def test_one_that_the_environment_names_later(config, build, client_ctx, key_file, monkeypatch):
    """uvicorn reads the file of --env-file after it has taken the hook."""
    hook = SpawningHook()
    before = hook(config, build)
    monkeypatch.setenv(SECRET_FILE, str(key_file("secret", bytes(range(32)))))
    assert hook(config, build) is not before
    assert pickle.loads(pickle.dumps(hook)) is servers.ssl_context_factory


def test_the_secret_is_pickled_for_workers_alone():
    with pytest.raises(TypeError, match="can only be pickled for a worker that multiprocessing spawns"):
        pickle.dumps(SpawningHook())


def test_a_worker_leaves_no_descriptor():
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("this system has no /proc")
    hook = SpawningHook()
    counts = []
    for _ in range(3):  # the first one starts multiprocessing's resource tracker
        spawned(hook)
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[1] == counts[2]


def test_no_secret_is_shown():
    secret = bytearray(b"a secret of thirty-two bytes....")
    assert "thirty" not in repr(SpawningHook(secret)) + repr(servers.ticket_keys())
