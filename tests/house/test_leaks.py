"""Nothing leaks; and a leak that is put there is found."""

import subprocess
import sys

import pytest
from machine import SUPPORT

SCRIPT = SUPPORT / "leaks.py"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("case", [
    "call", "refused", "new objects", "connections", "fingerprints", "lookups", "changes",
    "routed connections", "round trips of sessions", "uses of sessions", "files of sessions",
    "refused sessions", "ticket keys", "tickets", "verified clients",
    "session caches", "stored sessions",
])
def test_memory_stays_flat(case, pem_files):
    ran = run(case, *pem_files)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_leak_is_found(pem_files):
    ran = run("new objects", *pem_files, "--seed-a-leak")
    assert ran.returncode == 1
    assert ran.stdout.count("bytes more") == 3
