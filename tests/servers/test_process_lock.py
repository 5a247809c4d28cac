"""A child of a fork waits for no lock that another thread held, not even in a hook that runs early."""

import ssl
import subprocess
import sys
import threading

import pytest
from forks import in_a_fork
from machine import SUPPORT

from pysidctx.servers import watched_files
from pysidctx.servers.process_lock import ProcessLock
from pysidctx.servers.watched_files import FilesRead

# Its hook is older than those of pysidctx, which therefore run after it.
SCRIPT = """
import os, sys
os.register_at_fork(after_in_child=lambda: hook())
import ssl, threading
from types import SimpleNamespace
sys.path.append(sys.argv[1])
from forks import in_a_fork
from pysidctx import TicketKeys
from pysidctx.servers import SSLContextFactory

begun, done = threading.Event(), threading.Event()
factory = SSLContextFactory(TicketKeys())
made = []

def build():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(sys.argv[2])
    return ctx

def slow():
    begun.set()
    done.wait(20)
    return build()

def hook():
    made.append(factory(SimpleNamespace(), build))

thread = threading.Thread(target=factory, args=(SimpleNamespace(), slow))
thread.start()
assert begun.wait(20)
try:
    assert in_a_fork(lambda: isinstance(made[0], ssl.SSLContext) and "load_cert_chain" not in vars(ssl.SSLContext))
finally:
    done.set()
    thread.join()
"""


def test_a_hook_that_runs_first(pem_files):
    ran = subprocess.run([sys.executable, "-c", SCRIPT, SUPPORT, pem_files[0]], capture_output=True,
                         text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_lock_excludes_threads():
    lock = ProcessLock()
    with lock.here():
        assert not lock.here().acquire(blocking=False)
    assert lock.here().acquire(blocking=False)


def test_the_thread_that_forks_goes_on_noticing(pem_files):
    """While others, which are not there any more, have noticed files, too."""
    entered, done = threading.Event(), threading.Event()

    def other():
        with FilesRead().noticing():
            entered.set()
            done.wait(20)

    def work():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(pem_files[0])
        return [file.path for file in files] == [str(pem_files[0])]

    thread = threading.Thread(target=other)
    thread.start()
    files = FilesRead()
    try:
        assert entered.wait(20)
        with files.noticing():
            assert in_a_fork(work)
        assert in_a_fork(lambda: "load_cert_chain" not in vars(watched_files.CONTEXT))
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("process", ["same", "another"])
def test_the_one_of_another_process_is_not_kept(process, monkeypatch):
    lock = ProcessLock()
    first = lock.here()
    if process == "another":
        monkeypatch.setattr("pysidctx.servers.process_lock.os.getpid", lambda: -1)
    assert (lock.here() is first) == (process == "same")
    assert len(lock._of_process) == 1
