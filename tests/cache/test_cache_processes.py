"""Workers that are killed, stopped and forked: the others go on. `make soak` has many more."""

import os
import subprocess
import sys
import threading

import pytest
from forks import in_a_fork
from machine import SUPPORT
from tickets import visit

from pysidctx import SessionCache, set_session_id_context

SCRIPT = SUPPORT / "cache_soak.py"
KILLS = int(os.environ.get("KILLS", 30))


@pytest.mark.timeout(0 if "KILLS" in os.environ else 300)
def test_workers_that_are_killed_or_stopped_at_any_moment(pem_files, rng):
    seed = rng.getrandbits(32)
    ran = subprocess.run([sys.executable, SCRIPT, *pem_files, "--kills", str(KILLS), "--seed", str(seed)],
                         capture_output=True, text=True)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("0 with another client's certificate\n")


def test_forks_while_threads_store_find_and_forget(make_server_ctx, make_client_ctx):
    """Children go on with the same sessions, and hang nowhere."""
    cache, done, failed = SessionCache(size=1 << 20), threading.Event(), []
    ctx = make_server_ctx()
    set_session_id_context(ctx, b"shop")
    cache.install(ctx, when="always")
    client_ctx = make_client_ctx()
    _, session = visit(ctx, client_ctx)

    def serve():
        try:
            while not done.is_set():
                visit(ctx, client_ctx, visit(ctx, client_ctx)[1])
                cache.forget(id_context=b"another")
        except Exception as error:
            failed.append(error)

    def in_child():
        # OpenSSL's own locks may be those of a thread that the child lacks: what takes no SSL takes none of them.
        cache.forget(id_context=b"another")
        return len(cache) > 0 and cache.stats().stored > 0

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            assert in_a_fork(in_child)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed
    # Without other threads, a child resumes what was stored before.
    _, session = visit(ctx, client_ctx)
    assert in_a_fork(lambda: visit(ctx, client_ctx, session)[0])
    assert visit(ctx, client_ctx, session)[0]
