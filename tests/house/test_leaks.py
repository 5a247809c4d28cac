"""Nothing leaks; and a leak that is put there is found."""

import ctypes
import json
import os
import subprocess
import sys

import pytest
from machine import SUPPORT, lack

SCRIPT = SUPPORT / "leaks.py"


@pytest.fixture(scope="module")
def script(tmp_path_factory, ca, certificate):
    if not hasattr(ctypes.CDLL(None), "mallinfo"):
        lack("this C library does not tell how much memory is in use: mallinfo(3) is glibc's")
    folder = tmp_path_factory.mktemp("certificates")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    with subprocess.Popen([sys.executable, SCRIPT, folder / "server.pem", folder / "ca.pem"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0")) as process:
        yield process
        process.kill()  # also if a case has not ended


@pytest.fixture
def run(script, tmp_path):
    """Repeat a case in a process of its own; its exit code, and what it prints."""
    def run(*arguments):
        path = tmp_path / "printed"
        print(json.dumps([str(path), *arguments]), file=script.stdin, flush=True)
        code, printed = int(script.stdout.readline()), path.read_text()
        print(printed)
        return code, printed
    return run


@pytest.mark.timeout(0 if "ROUNDS" in os.environ else 300)
@pytest.mark.parametrize("case", [
    "call", "refused", "new objects", "connections", "fingerprints", "lookups", "changes",
    "routed connections", "rejected names", "round trips of sessions", "uses of sessions", "files of sessions",
    "refused sessions", "ticket keys", "tickets", "verified clients",
    "session caches", "stored sessions", "clients that resume", "contexts of clients",
])
def test_memory_stays_flat(case, run):
    assert run(case)[0] == 0


@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_a_leak_is_found(kind, run):
    code, printed = run("new objects", f"--leak-{kind}")
    assert code == 1
    assert printed.count("blocks more") == 3
