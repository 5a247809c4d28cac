"""Nothing leaks; and a leak that is put there is found."""

import ctypes
import os
import subprocess
import sys

import pytest
from machine import SUPPORT, lack

SCRIPT = SUPPORT / "leaks.py"


def run(*arguments):
    if not hasattr(ctypes.CDLL(None), "mallinfo"):
        lack("this C library does not tell how much memory is in use: mallinfo(3) is glibc's")
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True,
                          env=dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0"))


@pytest.mark.timeout(0 if "ROUNDS" in os.environ else 300)
@pytest.mark.parametrize("case", [
    "call", "refused", "new objects", "connections", "fingerprints", "lookups", "changes",
    "routed connections", "rejected names", "round trips of sessions", "uses of sessions", "files of sessions",
    "refused sessions", "ticket keys", "tickets", "verified clients",
    "session caches", "stored sessions", "clients that resume", "contexts of clients",
])
def test_memory_stays_flat(case, pem_files):
    ran = run(case, *pem_files)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_a_leak_is_found(kind, pem_files):
    ran = run("new objects", *pem_files, f"--leak-{kind}")
    assert ran.returncode == 1
    assert ran.stdout.count("blocks more") == 3
